/*
 * The path walk on hostile names: the first half of the input builds a small memory tree of
 * directories, files and links, and mounts a second one in it; the rest is a list of paths to be
 * walked. What is found must have a canonical path that leads to the same object again, and must
 * lie within the root of the walk.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "core/kernel.h"
#include "vfs/fs.h"

#define INPUT_MAX   4096
#define OBJECTS_MAX 48
#define WALKS_MAX   32
#define PATH_SIZE   5000

struct input {
    const uint8_t *data;
    size_t left;
};

struct world {
    struct pk_kernel kernel;
    struct pk_identity identity;
    struct vfs_actor actor;
    struct vfs *vfs;
    struct vfs_place *root;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static unsigned next_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

/* Few names, so that paths meet what is there; one byte in 16 stands for itself. */
static void next_path(struct input *input, char path[PATH_SIZE])
{
    static const char *const parts[] = {"a",  "b",   "c",  "d", "..", ".", "/", "//",
                                        "/a", "/..", "/b", "m", "/c", "x", ""};
    unsigned count = next_byte(input) % 24;
    size_t length = 0;

    path[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        unsigned byte = next_byte(input);
        char raw[2] = {(char)next_byte(input), '\0'};
        const char *part = byte % 16 == 15 ? raw : parts[byte % 16];
        unsigned repeat = byte == 255 ? 300 : 1; /* names and paths that are too long */

        while (repeat-- > 0 && length + strlen(part) + 2 < PATH_SIZE) {
            memcpy(path + length, part, strlen(part));
            length += strlen(part);
        }
        if ((byte & 16) && length + 2 < PATH_SIZE)
            path[length++] = '/';
        path[length] = '\0';
    }
}

static int resolve(struct world *world, struct vfs_place *root, struct vfs_place *base,
                   const char *path, unsigned flags, struct vfs_place **ret_place)
{
    struct vfs_walk walk = {
        .actor = &world->actor, .root = root, .base = base, .path = path, .flags = flags};

    return vfs_resolve(world->vfs, &walk, ret_place);
}

static void make_object(struct world *world, struct input *input)
{
    struct vfs_walk walk = {.actor = &world->actor, .root = world->root, .base = world->root};
    struct vfs_place *parent cleanup_place = NULL;
    char path[PATH_SIZE], name[256];
    unsigned kind = next_byte(input);
    bool slash;

    next_path(input, path);
    walk.path = path;
    if (vfs_resolve_parent(world->vfs, &walk, &parent, name, &slash) < 0)
        return;
    require(strlen(name) > 0, "a last component has a name");
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return;
    switch (kind % 5) {
    case 0:
    case 1:
        vfs_mkdir(parent, name, kind & 64 ? 0600 : 0755, &world->actor);
        break;
    case 2:
        vfs_mknod(parent, name, S_IFREG | 0644, 0, &world->actor);
        break;
    case 3:
        next_path(input, path);
        vfs_symlink(parent, name, path, &world->actor);
        break;
    default:
        vfs_unlink(parent, name, kind & 64, &world->actor);
        break;
    }
}

static void mount_inner(struct world *world)
{
    struct vfs_fs *fs;

    vfs_mkdir(world->root, "m", 0755, &world->actor);
    if (vfs_memory_new(world->vfs, 0, 0, 0755, &fs) == 0)
        (void)vfs_mount(world->vfs, "/m", fs, 0, "none", "tmpfs");
}

static bool is_canonical(const char *path)
{
    size_t length = strlen(path);

    if (path[0] != '/' || (length > 1 && path[length - 1] == '/'))
        return false;
    if (strstr(path, "//") || strstr(path, "/./") || strstr(path, "/../"))
        return false;
    return length < 2 || (strcmp(path + length - 2, "/.") != 0 &&
                          (length < 3 || strcmp(path + length - 3, "/..") != 0));
}

static void check_found(struct world *world, struct vfs_place *found)
{
    struct vfs_place *again cleanup_place = NULL;
    struct statx first, second;

    require(is_canonical(vfs_place_path(found)), "the path is canonical");
    if (strlen(vfs_place_path(found)) >= 4096)
        return;
    require(resolve(world, world->root, world->root, vfs_place_path(found),
                    VFS_NOFOLLOW | VFS_NO_SYMLINKS, &again) == 0,
            "the path leads somewhere");
    require(vfs_stat(found, &first) == 0 && vfs_stat(again, &second) == 0, "both can be looked at");
    require(first.stx_ino == second.stx_ino && first.stx_dev_minor == second.stx_dev_minor,
            "the path leads to the object");
}

static bool is_within(const char *path, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

    return strncmp(path, root, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Walking in two steps leads where walking at once does; only the count of links starts anew. */
static void check_split(struct world *world, struct vfs_place *base, const char *path,
                        unsigned flags, unsigned choice)
{
    struct vfs_place *whole cleanup_place = NULL;
    struct vfs_place *middle cleanup_place = NULL;
    struct vfs_place *end cleanup_place = NULL;
    struct statx first, second;
    char head[PATH_SIZE];
    size_t at = strlen(path) ? choice % strlen(path) : 0;
    int once, twice;

    while (at > 0 && path[at] != '/')
        at--;
    if (at == 0 || strlen(path) >= 4096 || path[at + strspn(path + at, "/")] == '\0')
        return;
    snprintf(head, sizeof(head), "%.*s/", (int)at, path);
    once = resolve(world, world->root, base, path, flags, &whole);
    twice = resolve(world, world->root, base, head, 0, &middle);
    if (twice == 0)
        twice =
            resolve(world, world->root, middle, path + at + strspn(path + at, "/"), flags, &end);
    if (once == -ELOOP)
        return;
    require(once == twice, "two steps end like one");
    if (once < 0)
        return;
    require(vfs_stat(whole, &first) == 0 && vfs_stat(end, &second) == 0, "both can be looked at");
    require(first.stx_ino == second.stx_ino && first.stx_dev_minor == second.stx_dev_minor,
            "two steps find the same");
    require(strcmp(vfs_place_path(whole), vfs_place_path(end)) == 0, "two steps, one path");
}

static void walk_once(struct world *world, struct input *input)
{
    static const unsigned modes[] = {0, 0, VFS_BENEATH, VFS_IN_ROOT, VFS_NO_SYMLINKS, VFS_NO_XDEV};
    unsigned choice = next_byte(input);
    unsigned flags = modes[choice % array_length(modes)] | (choice & 64 ? VFS_NOFOLLOW : 0);
    struct vfs_place *base cleanup_place = NULL;
    struct vfs_place *found cleanup_place = NULL;
    bool jailed = choice & 128;
    char path[PATH_SIZE];

    next_path(input, path);
    if (resolve(world, world->root, world->root, path, 0, &base) < 0 ||
        !S_ISDIR(vfs_place_type(base))) {
        vfs_place_unref(base);
        base = vfs_place_ref(world->root);
    }
    next_path(input, path);
    check_split(world, base, path, flags & VFS_NOFOLLOW, next_byte(input) * 16 + choice);
    if (resolve(world, jailed ? base : world->root, base, path, flags, &found) < 0)
        return;
    check_found(world, found);
    if (jailed || (flags & (VFS_BENEATH | VFS_IN_ROOT)))
        require(is_within(vfs_place_path(found), vfs_place_path(base)), "the walk stays inside");
    if (S_ISLNK(vfs_place_type(found)))
        require(flags & VFS_NOFOLLOW, "links are followed");
}

static bool world_open(struct world *world)
{
    struct vfs_fs *fs;

    memset(world, 0, sizeof(*world));
    world->identity.effective = world->identity.permitted = ~0ULL;
    world->actor.identity = &world->identity;
    if (vfs_new(&world->kernel, &world->vfs) < 0)
        return false;
    if (vfs_memory_new(world->vfs, 0, 0, 0755, &fs) == 0 &&
        vfs_mount(world->vfs, "/", fs, 0, "none", "tmpfs") == 0)
        world->root = vfs_root(world->vfs);
    return world->root != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size > INPUT_MAX ? INPUT_MAX : size};
    struct world world;

    if (!world_open(&world)) {
        vfs_free(world.vfs);
        return 0;
    }
    for (unsigned i = next_byte(&input) % OBJECTS_MAX; i > 0 && input.left; i--)
        make_object(&world, &input);
    mount_inner(&world);
    for (unsigned i = next_byte(&input) % 16; i > 0 && input.left; i--)
        make_object(&world, &input);
    for (unsigned i = 0; i < WALKS_MAX && input.left; i++)
        walk_once(&world, &input);
    vfs_place_unref(world.root);
    vfs_free(world.vfs);
    return 0;
}
