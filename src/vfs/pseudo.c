/* The tree behind made-up file systems: items from a table, nodes, and the operations on them. */
#include "vfs/pseudo-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/vfs-internal.h"

#define HOST_TEXT_MAX (16U << 20)
#define ITEMS_MAX     4096U

static bool is_template(const struct pseudo_item *item)
{
    return item->name_length > 0 && item->name[0] == '<';
}

struct pseudo_item *pseudo_item_find(const struct pseudo_item *parent, const char *name,
                                     size_t length)
{
    for (unsigned i = 0; i < parent->child_count; i++) {
        struct pseudo_item *child = parent->children[i];

        if (child->name_length == length && memcmp(child->name, name, length) == 0)
            return child;
    }
    return NULL;
}

static void item_free(struct pseudo_item *item)
{
    if (item == NULL)
        return;
    for (unsigned i = 0; i < item->child_count; i++)
        item_free(item->children[i]);
    free(item->children);
    free(item->implied);
    free(item);
}

/* Makes a child, with a line of its own until the table gives it one. */
static struct pseudo_item *item_new(struct pseudo_fs *fs, struct pseudo_item *parent,
                                    const char *name, size_t length)
{
    struct pseudo_item *item = calloc(1, sizeof(*item));
    struct pseudo_item **children;

    if (item == NULL || fs->item_count + 1 >= ITEMS_MAX)
        goto fail;
    item->implied = calloc(1, sizeof(*item->implied));
    if (item->implied == NULL)
        goto fail;
    if (parent) {
        children =
            reallocarray(parent->children, parent->child_count + 1, sizeof(struct pseudo_item *));
        if (children == NULL)
            goto fail;
        parent->children = children;
        children[parent->child_count++] = item;
    }
    item->implied->path = name;
    item->implied->mode = S_IFDIR | 0555;
    item->entry = item->implied;
    item->name = name;
    item->name_length = length;
    item->parent = parent;
    item->id = ++fs->item_count;
    return item;
fail:
    item_free(item);
    return NULL;
}

int pseudo_add(struct pseudo_fs *fs, const struct pseudo_entry *entry)
{
    struct pseudo_item *item = fs->root;
    bool made = false;

    for (const char *p = entry->path; *p;) {
        size_t length = strcspn(p, "/");
        struct pseudo_item *child = pseudo_item_find(item, p, length);

        if (child == NULL) {
            child = item_new(fs, item, p, length);
            made = true;
        }
        if (child == NULL)
            return -ENOMEM;
        item = child;
        p += length + (p[length] == '/');
    }
    if (!made && item->entry != item->implied)
        return -EEXIST;
    item->entry = entry;
    return 0;
}

static bool is_on_host(const struct pseudo_fs *fs, const struct pseudo_entry *entry)
{
    if (fs->hooks->present)
        return fs->hooks->present(fs, entry);
    return fs->host >= 0 && faccessat(fs->host, entry->path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * Lines that depend on the host are looked up there when somebody asks for them and not at the
 * start: most programs never do. A directory without a line is there when something in it is.
 */
static bool is_present(const struct pseudo_fs *fs, struct pseudo_item *item)
{
    bool present = item->entry != item->implied || item->child_count == 0;

    if (item->presence != PSEUDO_UNKNOWN)
        return item->presence == PSEUDO_PRESENT;
    if (item->entry->flags & PSEUDO_IF_HOST)
        present = is_on_host(fs, item->entry);
    for (unsigned i = 0; !present && item->entry == item->implied && i < item->child_count; i++)
        present = is_present(fs, item->children[i]);
    item->presence = present ? PSEUDO_PRESENT : PSEUDO_ABSENT;
    return present;
}

int pseudo_init(struct pseudo_fs *fs, struct vfs *vfs, const struct vfs_fs_ops *ops,
                const struct pseudo_hooks *hooks, const char *host_path,
                const struct pseudo_entry *entries, size_t count)
{
    struct pseudo_node *root;

    fs->fs.ops = ops;
    fs->fs.vfs = vfs;
    fs->fs.refs = 1;
    fs->fs.device = vfs_new_device(vfs);
    fs->hooks = hooks;
    fs->host = host_path ? open(host_path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    fs->root = item_new(fs, NULL, "", 0);
    if (fs->root == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int r = pseudo_add(fs, &entries[i]);

        if (r < 0)
            return r;
    }
    root = pseudo_node_new(fs, fs->root, NULL);
    if (root == NULL)
        return -ENOMEM;
    fs->fs.root = &root->node;
    return 0;
}

void pseudo_fini(struct pseudo_fs *fs)
{
    item_free(fs->root);
    fs->root = NULL;
    base_close(take_fd(&fs->host));
}

struct pseudo_node *pseudo_node_new(struct pseudo_fs *fs, struct pseudo_item *item,
                                    const struct pseudo_node *parent)
{
    struct pseudo_node *node = calloc(1, sizeof(*node));

    if (node == NULL)
        return NULL;
    node->node.fs = &fs->fs;
    node->node.refs = 1;
    node->node.type = item->entry->mode & S_IFMT;
    node->mode = item->entry->mode;
    node->item = item;
    node->number = -1;
    if (parent) {
        node->pid = parent->pid;
        node->tid = parent->tid;
        node->number = parent->number;
    }
    return node;
}

void pseudo_release(struct vfs_node *node)
{
    struct pseudo_node *pseudo = pseudo_node_of(node);

    free(pseudo->path);
    free(pseudo);
}

uint64_t pseudo_inode(const struct pseudo_item *item, pid_t pid, pid_t tid, int number)
{
    uint64_t thread = (uint64_t)(tid ? tid : pid) & 0x3fffff;
    uint64_t which = (uint64_t)(number + 1) & 0xfffffff;

    return (uint64_t)(tid != 0) << 62 | thread << 40 | which << 12 | item->id;
}

struct pk_kernel *pseudo_kernel(const struct pseudo_access *access)
{
    return vfs_kernel(access->fs->fs.vfs);
}

static struct pseudo_access access_of(struct pseudo_node *node, const struct vfs_actor *actor)
{
    return (struct pseudo_access){.fs = pseudo_fs_of(node->node.fs),
                                  .node = node,
                                  .entry = node->item->entry,
                                  .actor = actor};
}

int pseudo_stat(struct vfs_node *vfs_node, struct statx *ret_stat)
{
    struct pseudo_node *node = pseudo_node_of(vfs_node);
    struct pseudo_fs *fs = pseudo_fs_of(vfs_node->fs);
    struct pk_kernel *kernel = vfs_kernel(vfs_node->fs->vfs);
    struct statx stat = {0};
    int r = 0;

    stat.stx_mask = STATX_BASIC_STATS;
    stat.stx_blksize = 4096;
    stat.stx_nlink = S_ISDIR(node->mode) ? 2 : 1;
    stat.stx_mode = (uint16_t)node->mode;
    stat.stx_ino =
        node->inode ? node->inode : pseudo_inode(node->item, node->pid, node->tid, node->number);
    stat.stx_atime.tv_sec = (int64_t)kernel->start_time;
    stat.stx_mtime = stat.stx_atime;
    stat.stx_ctime = stat.stx_atime;
    stat.stx_dev_major = major(vfs_node->fs->device);
    stat.stx_dev_minor = minor(vfs_node->fs->device);
    for (unsigned i = 0; S_ISDIR(node->mode) && !node->path && i < node->item->child_count; i++)
        stat.stx_nlink += S_ISDIR(node->item->children[i]->entry->mode);
    if (fs->hooks->stat)
        r = fs->hooks->stat(node, &stat);
    if (r >= 0)
        *ret_stat = stat;
    return r;
}

int pseudo_statfs(struct vfs_node *node, struct statfs *ret_statfs)
{
    struct statfs statfs = {0};

    statfs.f_type = (__fsword_t)node->fs->ops->magic;
    statfs.f_bsize = 4096;
    statfs.f_frsize = 4096;
    statfs.f_namelen = 255;
    *ret_statfs = statfs;
    return 0;
}

/* What mode and owner say, and who is excused of that. */
static int check_mode(const struct pseudo_access *access, int may)
{
    struct statx stat;
    int r = pseudo_stat(&access->node->node, &stat);

    if (r >= 0 && may)
        r = vfs_permission(access->actor, &stat, may);
    if (r == -EACCES && access->fs->hooks->excused && access->fs->hooks->excused(access))
        r = 0;
    return r;
}

int pseudo_permit(struct vfs_node *node, int mode, const struct vfs_actor *actor)
{
    struct pseudo_access access = access_of(pseudo_node_of(node), actor);

    return check_mode(&access, mode); /* R_OK, W_OK and X_OK are VFS_MAY_* */
}

/* The process kernel itself may do everything; everybody else goes by mode, owner and hook. */
static int check(const struct pseudo_access *access, int may)
{
    int r;

    if (access->actor == NULL || access->actor->pid == 0)
        return 0;
    r = may ? check_mode(access, may) : 0;
    if (r >= 0 && access->fs->hooks->check)
        r = access->fs->hooks->check(access);
    return r;
}

static bool is_visible(const struct pseudo_node *directory, struct pseudo_item *item)
{
    const struct pseudo_fs *fs = pseudo_fs_of(directory->node.fs);

    return !is_template(item) && is_present(fs, item) &&
           (fs->hooks->visible == NULL || fs->hooks->visible(directory, item->entry));
}

static int find_child(const struct pseudo_access *access, const char *name,
                      struct pseudo_node **ret_node)
{
    struct pseudo_node *node = access->node;
    struct pseudo_item *item = NULL;

    if (node->path == NULL)
        item = pseudo_item_find(node->item, name, strlen(name));
    if (item && is_visible(node, item)) {
        struct pseudo_node *child = pseudo_node_new(access->fs, item, node);

        if (child == NULL)
            return -ENOMEM;
        *ret_node = child;
        return 0;
    }
    if (access->entry->directory)
        return access->entry->directory->lookup(access, name, ret_node);
    return -ENOENT;
}

/* A link stands in the way: its object, or its text for the core to go on with. */
static int follow_link(struct pseudo_node *node, struct vfs_lookup *lookup)
{
    struct pseudo_access access = access_of(node, lookup->actor);
    cleanup_strbuf struct strbuf text = {0};
    int r = check(&access, 0);

    if (r < 0)
        return r;
    if (access.entry->follow) {
        r = access.entry->follow(&access, &lookup->place);
        return r < 0 ? r : VFS_LOOKUP_MAGIC;
    }
    r = access.entry->generate(&access, &text);
    if (r < 0)
        return r;
    lookup->target = strdup(strbuf_text(&text));
    return lookup->target ? VFS_LOOKUP_LINK : -ENOMEM;
}

/* Goes one component down: *node (consumed) becomes the child. */
static int step(struct pseudo_node **node, const char *name, size_t length,
                const struct vfs_actor *actor)
{
    struct pseudo_access access = access_of(*node, actor);
    struct pseudo_node *child = NULL;
    char text[256];
    int r;

    if (!S_ISDIR((*node)->mode))
        return -ENOTDIR;
    if (length >= sizeof(text))
        return -ENAMETOOLONG;
    memcpy(text, name, length);
    text[length] = '\0';
    r = check(&access, VFS_MAY_EXEC);
    if (r >= 0)
        r = find_child(&access, text, &child);
    if (r < 0)
        return r;
    vfs_node_unref(&(*node)->node);
    *node = child;
    return 0;
}

int pseudo_lookup(struct vfs_node *base, const char *rel, struct vfs_lookup *lookup)
{
    struct pseudo_node *node = pseudo_node_of(vfs_node_ref(base));
    int r = 0;

    for (const char *p = rel; *p;) {
        size_t length = strcspn(p, "/");
        bool last = p[length] == '\0';

        r = step(&node, p, length, lookup->actor);
        if (r < 0)
            break;
        p += length;
        if (S_ISLNK(node->mode) && (!last || lookup->follow_last)) {
            lookup->consumed = (size_t)(p - rel);
            r = follow_link(node, lookup);
            break;
        }
        p += !last;
    }
    if (r == VFS_LOOKUP_NODE)
        lookup->node = &node->node;
    else
        vfs_node_unref(&node->node);
    return r;
}

static int regenerate(struct vfs_node *node, const struct vfs_actor *actor, void *cookie,
                      struct strbuf *ret_text)
{
    struct pseudo_access access = access_of(pseudo_node_of(node), actor);

    (void)cookie;
    return access.entry->generate ? access.entry->generate(&access, ret_text) : 0;
}

int vfs_read_generated(struct vfs *vfs, const struct vfs_walk *walk, struct strbuf *ret_text)
{
    cleanup_place struct vfs_place *place = NULL;
    struct pseudo_access access;
    int r = vfs_resolve(vfs, walk, &place);

    if (r < 0)
        return r;
    if (place->node->fs->ops->lookup != pseudo_lookup || !S_ISREG(place->node->type))
        return -EOPNOTSUPP;
    access = access_of(pseudo_node_of(place->node), walk->actor);
    r = check(&access, VFS_MAY_READ);
    return r < 0 ? r : regenerate(place->node, walk->actor, NULL, ret_text);
}

static int store(struct vfs_node *node, const struct vfs_actor *actor, void *cookie,
                 const char *text, size_t length)
{
    struct pseudo_access access = access_of(pseudo_node_of(node), actor);

    (void)cookie;
    return access.entry->store(&access, text, length);
}

static int control(struct vfs_node *node, const struct vfs_actor *actor, void *cookie,
                   struct pk_request *request)
{
    struct pseudo_access access = access_of(pseudo_node_of(node), actor);

    (void)cookie;
    return access.entry->control(&access, request);
}

static int may_of_flags(int flags)
{
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return VFS_MAY_READ;
    case O_WRONLY:
        return VFS_MAY_WRITE;
    default:
        return VFS_MAY_READ | VFS_MAY_WRITE;
    }
}

int pseudo_open(struct vfs_node *vfs_node, const struct vfs_open_request *request,
                struct vfs_opened *ret_opened)
{
    struct pseudo_access access = access_of(pseudo_node_of(vfs_node), request->actor);
    struct vfs_generated generated = {.regenerate = regenerate};
    int may = may_of_flags(request->flags);
    bool writes = (may & VFS_MAY_WRITE) != 0;
    int r;

    if (request->flags & O_PATH)
        return -EOPNOTSUPP; /* the core makes a descriptor that only names the place */
    r = check(&access, may);
    if (r < 0)
        return r;
    if (access.entry->open && (S_ISCHR(access.node->mode) || S_ISREG(access.node->mode)))
        return access.entry->open(&access, request, ret_opened);
    if (S_ISDIR(access.node->mode))
        return -EOPNOTSUPP; /* likewise, with entries from readdir */
    if (!S_ISREG(access.node->mode))
        return -ENXIO;
    if (writes && access.entry->store == NULL)
        return -EACCES;
    if (writes)
        generated.store = store;
    if (access.entry->control)
        generated.control = control;
    return vfs_open_generated(vfs_node, request, &generated,
                              writes || (access.entry->flags & PSEUDO_LIVE), ret_opened);
}

ssize_t pseudo_readlink(struct vfs_node *node, char *text, size_t size,
                        const struct vfs_actor *actor)
{
    struct pseudo_access access = access_of(pseudo_node_of(node), actor);
    cleanup_strbuf struct strbuf target = {0};
    int r;

    if (!S_ISLNK(access.node->mode))
        return -EINVAL;
    r = check(&access, 0);
    if (r >= 0)
        r = access.entry->generate(&access, &target);
    if (r < 0)
        return r;
    if (target.length < size)
        size = target.length;
    memcpy(text, strbuf_text(&target), size);
    return (ssize_t)size;
}

/* Counts entries up to the one to start with, then hands them on. */
struct pseudo_listing {
    uint64_t from;
    uint64_t next;
    bool done;
    vfs_emit emit;
    void *user;
};

bool pseudo_list(struct pseudo_listing *listing, const char *name, uint64_t inode, mode_t type)
{
    if (!listing->done && listing->next++ >= listing->from)
        listing->done = !listing->emit(listing->user, name, inode, type & S_IFMT);
    return !listing->done;
}

static void list_items(const struct pseudo_node *node, struct pseudo_listing *listing)
{
    for (unsigned i = 0; i < node->item->child_count; i++) {
        struct pseudo_item *item = node->item->children[i];
        char name[256];

        if (!is_visible(node, item) || item->name_length >= sizeof(name))
            continue;
        memcpy(name, item->name, item->name_length);
        name[item->name_length] = '\0';
        if (!pseudo_list(listing, name, pseudo_inode(item, node->pid, node->tid, node->number),
                         item->entry->mode))
            return;
    }
}

int pseudo_readdir(struct vfs_node *node, uint64_t from, const struct vfs_actor *actor,
                   vfs_emit emit, void *user)
{
    struct pseudo_access access = access_of(pseudo_node_of(node), actor);
    struct pseudo_listing listing = {.from = from, .emit = emit, .user = user};

    if (!S_ISDIR(access.node->mode))
        return -ENOTDIR;
    if (access.node->path == NULL)
        list_items(access.node, &listing);
    if (listing.done || access.entry->directory == NULL)
        return 0;
    return access.entry->directory->list(&access, &listing);
}

int pseudo_host_text(const struct pseudo_fs *fs, const char *path, struct strbuf *ret_text)
{
    return fs->host < 0 ? -ENOENT : io_read_file(fs->host, path, HOST_TEXT_MAX, ret_text);
}

int pseudo_generate_host(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return pseudo_host_text(access->fs, access->entry->path, ret_text);
}

int pseudo_generate_data(const struct pseudo_access *access, struct strbuf *ret_text)
{
    strbuf_add_string(ret_text, access->entry->data);
    return strbuf_status(ret_text);
}
