/*
 * The debug file system of a guest that may look at its kernel: one file for each section of
 * inspect.h in the directory "cerebro", for everybody in the guest to read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "vfs/inspect.h"
#include "vfs/pseudo-internal.h"

#define DEBUGFS_MAGIC 0x64626720
#define FILES_MAX     32

struct debug_fs {
    struct pseudo_fs pseudo;
    struct pseudo_entry entries[FILES_MAX];
    char paths[FILES_MAX][32];
};

static int produce(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return vfs_inspect(access->fs->fs.vfs, access->entry->data, false, ret_text);
}

static void destroy(struct vfs_fs *fs)
{
    pseudo_fini(pseudo_fs_of(fs));
    free(fs);
}

static int add_files(struct debug_fs *fs)
{
    const char *name;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < FILES_MAX && (name = vfs_inspect_name(i)); i++) {
        snprintf(fs->paths[i], sizeof(fs->paths[i]), "cerebro/%s", name);
        fs->entries[i] = (struct pseudo_entry){.path = fs->paths[i],
                                               .mode = S_IFREG | 0444,
                                               .flags = PSEUDO_LIVE,
                                               .generate = produce,
                                               .data = name};
        r = pseudo_add(&fs->pseudo, &fs->entries[i]);
    }
    return r;
}

int vfs_debug_new(struct vfs *vfs, struct vfs_fs **ret_fs)
{
    static const struct pseudo_hooks hooks = {.stat = NULL};
    static const struct pseudo_entry root = {.path = "", .mode = S_IFDIR | 0555};
    static const struct vfs_fs_ops ops = {PSEUDO_OPS("debugfs", DEBUGFS_MAGIC, destroy)};
    struct debug_fs *fs = calloc(1, sizeof(*fs));
    int r;

    if (fs == NULL)
        return -ENOMEM;
    r = pseudo_init(&fs->pseudo, vfs, &ops, &hooks, NULL, &root, 1);
    if (r == 0)
        r = add_files(fs);
    if (r < 0) {
        if (fs->pseudo.fs.root)
            vfs_node_unref(fs->pseudo.fs.root);
        destroy(&fs->pseudo.fs);
        return r;
    }
    *ret_fs = &fs->pseudo.fs;
    return 0;
}
