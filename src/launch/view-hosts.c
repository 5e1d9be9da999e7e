/* The names in network rules, shown in the view's /etc/hosts. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "launch/launch-internal.h"

/* The process kernel itself, while it prepares the view. */
static const struct pk_identity kernel_identity = {.effective = ~0ULL, .permitted = ~0ULL};
static const struct vfs_actor preparer = {.identity = &kernel_identity, .mask = 0};

#define HOSTS_FILE "/etc/hosts"
#define HOSTS_MAX  (16 << 20)

/* Appends what the view has in its /etc/hosts; a missing one is empty. */
static int read_hosts(struct vfs *vfs, struct strbuf *text)
{
    cleanup_place struct vfs_place *root = vfs_root(vfs);
    struct vfs_walk walk = {.actor = &preparer, .root = root, .base = root, .path = HOSTS_FILE};
    cleanup_strbuf struct strbuf found = {0};
    cleanup_close int fd = -1;
    struct vfs_opened opened;
    char path[IO_FD_PATH_SIZE];
    int r = vfs_open(vfs, &walk, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, &opened);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    fd = opened.fd;
    r = io_read_file(AT_FDCWD, io_fd_path(fd, path), HOSTS_MAX, &found);
    if (r == 0)
        strbuf_add(text, strbuf_text(&found), found.length);
    return r < 0 ? r : 0;
}

/* A file that only we have; it is readable by all, as the real one. */
static int mount_hosts(struct vfs *vfs, const struct strbuf *text)
{
    cleanup_close int fd = io_memfd("hosts", strbuf_text(text), text->length);
    char path[IO_FD_PATH_SIZE];
    struct vfs_fs *fs;
    int r;

    if (fd < 0 || fchmod(fd, 0644) < 0)
        return fd < 0 ? fd : -errno;
    r = view_make_mount_point(vfs, HOSTS_FILE, S_IFREG);
    if (r == 0)
        r = vfs_host_new(vfs, io_fd_path(fd, path), &fs);
    if (r < 0)
        return r;
    return vfs_mount(vfs, HOSTS_FILE, fs, VFS_MOUNT_NODEV | VFS_MOUNT_NOSUID | VFS_MOUNT_READ_ONLY,
                     "hosts", "bind");
}

int view_add_hosts(struct vfs *vfs, const struct pk_net_rules *rules, struct base_error *error)
{
    cleanup_strbuf struct strbuf text = {0};
    int r;

    net_names_hosts(rules, &text);
    if (strbuf_status(&text) == 0 && text.length == 0)
        return 0;
    r = read_hosts(vfs, &text);
    r = r < 0 ? r : strbuf_status(&text);
    r = r < 0 ? r : mount_hosts(vfs, &text);
    if (r < 0)
        return base_fail(error, r, "write addresses instead of names into the rules",
                         "cannot show the names of network rules in " HOSTS_FILE ": %s",
                         strerror(-r));
    return 0;
}
