/* mounts, mountinfo, mountstats: the guest's own mount table, as seen from the reader's root. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "vfs/proc-internal.h"

#define CGROUP_PATH "/sys/fs/cgroup"

struct mount_list {
    const struct pk_context *context;
    struct strbuf *text;
    void (*add)(struct mount_list *list, const struct vfs_mount_info *mount, const char *path);
    int last_id;
    struct vfs_mount_info sys; /* the mount of our own sys; `type` NULL: none */
};

/* The kernel writes blanks and backslashes in octal, so that fields stay fields. */
static void add_field(struct strbuf *text, const char *field)
{
    for (; *field; field++) {
        if (strchr(" \t\n\\#", *field))
            strbuf_addf(text, "\\%03o", (unsigned char)*field);
        else
            strbuf_add(text, field, 1);
    }
}

static const char *options(unsigned flags, char text[48])
{
    size_t length = 2;

    memcpy(text, flags & VFS_MOUNT_READ_ONLY ? "ro" : "rw", 2);
#define ADD_OPTION(flag, word)                         \
    if (flags & (flag)) {                              \
        memcpy(text + length, word, sizeof(word) - 1); \
        length += sizeof(word) - 1;                    \
    }
    ADD_OPTION(VFS_MOUNT_NOSUID, ",nosuid")
    ADD_OPTION(VFS_MOUNT_NODEV, ",nodev")
    ADD_OPTION(VFS_MOUNT_NOEXEC, ",noexec")
#undef ADD_OPTION
    memcpy(text + length, ",relatime", sizeof(",relatime"));
    return text;
}

static void add_mounts_line(struct mount_list *list, const struct vfs_mount_info *mount,
                            const char *path)
{
    char text[48];

    add_field(list->text, mount->source);
    strbuf_add(list->text, " ", 1);
    add_field(list->text, path);
    strbuf_addf(list->text, " %s %s 0 0\n", mount->type, options(mount->flags, text));
}

static void add_mountinfo_line(struct mount_list *list, const struct vfs_mount_info *mount,
                               const char *path)
{
    char text[48];

    strbuf_addf(list->text, "%d %d %u:%u / ", mount->id, mount->parent_id, major(mount->device),
                minor(mount->device));
    add_field(list->text, path);
    strbuf_addf(list->text, " %s - %s ", options(mount->flags, text), mount->type);
    add_field(list->text, mount->source);
    strbuf_addf(list->text, " %.2s\n", text);
}

static void add_mountstats_line(struct mount_list *list, const struct vfs_mount_info *mount,
                                const char *path)
{
    strbuf_add_string(list->text, "device ");
    add_field(list->text, mount->source);
    strbuf_add_string(list->text, " mounted on ");
    add_field(list->text, path);
    strbuf_addf(list->text, " with fstype %s\n", mount->type);
}

/* Mounts outside of the reader's root are not shown; nor can they be reached. */
static bool is_below_root(const struct pk_context *context, const char *path)
{
    const char *root = context->root ? vfs_place_path(context->root) : "/";
    size_t length = strlen(root);

    return length <= 1 ||
           (strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

static int visit_mount(const struct vfs_mount_info *mount, void *user)
{
    struct mount_list *list = user;
    const char *path = *mount->path ? mount->path : "/";

    if (mount->id > list->last_id)
        list->last_id = mount->id;
    if (strcmp(mount->type, "sysfs") == 0 && strcmp(path, "/sys") == 0)
        list->sys = *mount;
    if (is_below_root(list->context, path))
        list->add(list, mount, proc_path_below_root(list->context, path));
    return 0;
}

/*
 * Programs that size themselves by their limits (the JVM, for one) look for the control group file
 * system in this table before they read its files, which our sys provides.
 */
static void add_cgroup(struct mount_list *list)
{
    struct vfs_mount_info mount = list->sys;

    if (mount.type == NULL || !is_below_root(list->context, CGROUP_PATH))
        return;
    mount.parent_id = mount.id;
    mount.id = list->last_id + 1;
    mount.source = "cgroup2";
    mount.type = "cgroup2";
    mount.flags |= VFS_MOUNT_READ_ONLY;
    list->add(list, &mount, proc_path_below_root(list->context, CGROUP_PATH));
}

static int list_mounts(const struct pseudo_access *access, struct strbuf *ret_text,
                       void (*add)(struct mount_list *, const struct vfs_mount_info *,
                                   const char *))
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    struct mount_list list = {.text = ret_text, .add = add};
    int r = proc_task_open(access->fs, access->node, &task);

    if (r < 0)
        return r;
    list.context = task.context;
    r = vfs_for_each_mount(access->fs->fs.vfs, visit_mount, &list);
    if (r < 0)
        return r;
    add_cgroup(&list);
    return strbuf_status(ret_text);
}

int proc_mounts(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return list_mounts(access, ret_text, add_mounts_line);
}

int proc_mountinfo(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return list_mounts(access, ret_text, add_mountinfo_line);
}

int proc_mountstats(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return list_mounts(access, ret_text, add_mountstats_line);
}

struct mount_search {
    const char *path;
    size_t length; /* of the longest mount point found */
    int id;
};

static int search_mount(const struct vfs_mount_info *mount, void *user)
{
    struct mount_search *search = user;
    size_t length = strlen(mount->path);

    if (length == 1)
        length = 0; /* "/" */
    if (strncmp(mount->path, search->path, length) != 0 ||
        (search->path[length] != '/' && search->path[length] != '\0'))
        return 0;
    if (search->id < 0 || length >= search->length) {
        search->id = mount->id;
        search->length = length;
    }
    return 0;
}

int proc_mount_id(struct vfs *vfs, const char *path)
{
    struct mount_search search = {.path = path, .id = -1};

    vfs_for_each_mount(vfs, search_mount, &search);
    return search.id;
}

int vfs_mount_id(struct vfs *vfs, const char *path)
{
    return proc_mount_id(vfs, path);
}
