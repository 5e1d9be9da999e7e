/*
 * Terminals: the controlling one (tty), new pairs (ptmx) and their slaves (pts/N). They are the
 * host's own. A guest can open by name only the terminals it started with and those whose master
 * was opened here: every other name in the host's /dev/pts belongs to somebody else.
 *
 * A terminal is kept as an O_PATH descriptor of its node. When the pair is gone, the descriptor
 * stays dead even if the number is given out again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/dev-internal.h"

#define UNIX98_PTY_SLAVE_MAJOR 136
#define UNIX98_PTY_MAJORS      8

static void terminal_free(struct dev_terminal *terminal)
{
    list_remove(&terminal->link);
    base_close(terminal->node);
    free(terminal);
}

void dev_terminals_free(struct dev_fs *fs)
{
    struct dev_terminal *terminal, *next;

    list_for_each_safe(terminal, next, &fs->terminals, link) terminal_free(terminal);
}

/* The node of a pty loses its last link when the master is closed. */
static bool is_alive(const struct dev_terminal *terminal)
{
    struct stat stat;

    return fstat(terminal->node, &stat) == 0 && stat.st_nlink > 0;
}

/* Entries of other terminals are lines of the tree: those stay. */
static void forget_dead(struct dev_fs *fs)
{
    struct dev_terminal *terminal, *next;

    list_for_each_safe(terminal, next, &fs->terminals,
                       link) if (terminal->pty >= 0 && !is_alive(terminal)) terminal_free(terminal);
}

static struct dev_terminal *find_number(struct dev_fs *fs, dev_t number)
{
    struct dev_terminal *terminal;

    list_for_each(terminal, &fs->terminals,
                  link) if (terminal->number == number && is_alive(terminal)) return terminal;
    return NULL;
}

struct dev_terminal *dev_terminal_of(struct dev_fs *fs, const struct pseudo_node *node)
{
    struct dev_terminal *terminal;

    list_for_each(terminal, &fs->terminals, link)
    {
        /* A number that is free again may have been given to another, while the dead are listed. */
        if ((node->number < 0 ? node->item->entry == &terminal->entry
                              : terminal->pty == node->number) &&
            is_alive(terminal))
            return terminal;
    }
    return NULL;
}

static bool is_pty_slave(dev_t number)
{
    return major(number) >= UNIX98_PTY_SLAVE_MAJOR &&
           major(number) < UNIX98_PTY_SLAVE_MAJOR + UNIX98_PTY_MAJORS;
}

static int pty_number(dev_t number)
{
    return (int)((major(number) - UNIX98_PTY_SLAVE_MAJOR) * 256 + minor(number));
}

/* Takes the O_PATH descriptor over in every case. */
static int terminal_add(struct dev_fs *fs, int node, int pty, struct dev_terminal **ret_terminal)
{
    struct dev_terminal *terminal = calloc(1, sizeof(*terminal));
    struct stat stat;

    if (terminal == NULL || fstat(node, &stat) < 0) {
        free(terminal);
        base_close(node);
        return -ENOMEM;
    }
    terminal->node = node;
    terminal->number = stat.st_rdev;
    terminal->pty = pty;
    terminal->uid = (uid_t)-1;
    terminal->gid = (gid_t)-1;
    list_append(&fs->terminals, &terminal->link);
    *ret_terminal = terminal;
    return 0;
}

/* A serial line or console: it gets a line of its own in the tree. */
static int name_terminal(struct dev_fs *fs, struct dev_terminal *terminal, const char *name)
{
    int r;

    if (strlen(name) >= sizeof(terminal->name))
        return 0;
    memcpy(terminal->name, name, strlen(name) + 1);
    terminal->entry = (struct pseudo_entry){
        .path = terminal->name, .mode = S_IFCHR | 0620, .open = dev_open_terminal};
    r = pseudo_add(&fs->base, &terminal->entry);
    return r == -EEXIST ? 0 : r;
}

/* Remembers the terminal behind one of our own descriptors; none is no error. */
static int inherit(struct dev_fs *fs, int fd)
{
    char link[IO_FD_PATH_SIZE], path[128];
    struct dev_terminal *terminal;
    struct stat by_fd, by_name;
    cleanup_close int node = -1;
    ssize_t n;
    int r;

    if (!isatty(fd) || fstat(fd, &by_fd) < 0 || find_number(fs, by_fd.st_rdev))
        return 0;
    n = readlink(io_fd_path(fd, link), path, sizeof(path) - 1);
    if (n <= 5 || memcmp(path, "/dev/", 5) != 0)
        return 0;
    path[n] = '\0';
    node = openat(fs->base.host, path + 5, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (node < 0 || fstat(node, &by_name) < 0 || by_name.st_rdev != by_fd.st_rdev ||
        by_name.st_ino != by_fd.st_ino || by_name.st_dev != by_fd.st_dev)
        return 0;
    if (is_pty_slave(by_fd.st_rdev) && strncmp(path, "/dev/pts/", 9) == 0)
        return terminal_add(fs, take_fd(&node), pty_number(by_fd.st_rdev), &terminal);
    if (is_pty_slave(by_fd.st_rdev) || by_fd.st_rdev == makedev(5, 0))
        return 0;
    r = terminal_add(fs, take_fd(&node), -1, &terminal);
    return r < 0 ? r : name_terminal(fs, terminal, path + 5);
}

int dev_terminals_inherit(struct dev_fs *fs)
{
    for (int fd = 0; fd <= 2; fd++) {
        int r = inherit(fs, fd);

        if (r < 0)
            return r;
    }
    return 0;
}

/* Two fields of the host's stat: the session and the controlling terminal of a process. */
static int read_session(const char *pid, pid_t *ret_session, dev_t *ret_tty)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];
    const char *p;
    int session, r;
    unsigned tty;

    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    r = io_read_file(AT_FDCWD, path, 4096, &text);
    if (r < 0)
        return r;
    p = strrchr(strbuf_text(&text), ')');
    if (p == NULL || sscanf(p, ") %*c %*d %*d %d %u", &session, &tty) != 2)
        return -ESRCH;
    *ret_session = session;
    /* new_encode_dev(): minor bits 0-7, major bits 8-19, the rest of minor above */
    *ret_tty = tty ? makedev(tty >> 8 & 0xfff, (tty & 0xff) | (tty >> 12 & 0xfff00)) : 0;
    return 0;
}

static int session_of(const struct vfs_actor *actor, pid_t *ret_session, dev_t *ret_tty)
{
    char pid[16];

    if (actor == NULL || actor->pid == 0)
        return -ENXIO;
    snprintf(pid, sizeof(pid), "%d", actor->pid);
    return read_session(pid, ret_session, ret_tty);
}

/*
 * Opening a terminal makes it the controlling one of a session leader that has none. The open
 * happens here, so the guest is made to ask for it: through a second descriptor, before it has the
 * one that the call returns.
 */
static void take_control(const struct vfs_open_request *request, int fd)
{
    struct pk_request *call = request->actor ? request->actor->request : NULL;
    struct pk_injected_call calls[2];
    int64_t values[2];
    pid_t session;
    dev_t tty;
    int number;

    if (call == NULL || request->flags & O_NOCTTY || (request->flags & O_ACCMODE) == O_WRONLY ||
        session_of(request->actor, &session, &tty) < 0 || session != request->actor->pid || tty)
        return;
    number = pk_add_fd(call, fd, -1, O_CLOEXEC);
    if (number < 0)
        return;
    calls[0] = (struct pk_injected_call){SYS_ioctl, {(uint64_t)number, TIOCSCTTY, 0}};
    calls[1] = (struct pk_injected_call){SYS_close, {(uint64_t)number}};
    /* in the window of served descriptors the command would come back to us */
    if (pk_in_window(call->kernel, (uint64_t)number))
        call->port->inject(call, &calls[1], 1, values);
    else
        call->port->inject(call, calls, 2, values);
}

int dev_open_terminal(const struct pseudo_access *access, const struct vfs_open_request *request,
                      struct vfs_opened *ret_opened)
{
    struct dev_terminal *terminal = dev_terminal_of(dev_fs_of(access), access->node);
    int fd;

    if (terminal == NULL)
        return -ENXIO;
    /* O_NONBLOCK: a serial line may wait for a carrier; the guest's own choice is set afterwards */
    fd = dev_reopen(terminal->node, request->flags | O_NONBLOCK);
    if (fd < 0)
        return fd;
    if (!(request->flags & O_NONBLOCK) &&
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0) {
        base_close(fd);
        return -EIO;
    }
    take_control(request, fd);
    *ret_opened = (struct vfs_opened){.fd = fd};
    return 0;
}

/*
 * The controlling terminal of the guest, which need not be ours: a shell in a terminal multiplexer
 * has one that was opened here.
 */
int dev_open_tty(const struct pseudo_access *access, const struct vfs_open_request *request,
                 struct vfs_opened *ret_opened)
{
    struct dev_fs *fs = dev_fs_of(access);
    struct dev_terminal *terminal;
    pid_t session, our_session;
    dev_t tty, our_tty = 0;
    int fd = session_of(request->actor, &session, &tty);

    if (fd < 0)
        return fd;
    if (tty == 0)
        return -ENXIO;
    if (read_session("self", &our_session, &our_tty) >= 0 && our_tty == tty &&
        our_session == session) {
        fd = dev_reopen(dev_host_fd(fs, "tty"), request->flags);
    } else {
        terminal = find_number(fs, tty);
        fd = terminal ? dev_reopen(terminal->node, request->flags) : -ENXIO;
    }
    if (fd < 0)
        return fd;
    *ret_opened = (struct vfs_opened){.fd = fd};
    return 0;
}

/* While the master is open its number can be nobody else's, so the node found now is the slave. */
static int remember_slave(struct dev_fs *fs, int master)
{
    struct dev_terminal *terminal;
    cleanup_close int node = -1;
    struct stat stat;
    unsigned number;
    char name[16];

    if (ioctl(master, TIOCGPTN, &number) < 0)
        return -errno;
    snprintf(name, sizeof(name), "%u", number);
    node = fs->pts < 0 ? -1 : openat(fs->pts, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (node < 0 || fstat(node, &stat) < 0 || !S_ISCHR(stat.st_mode) ||
        !is_pty_slave(stat.st_rdev) || pty_number(stat.st_rdev) != (int)number)
        return -EIO;
    return terminal_add(fs, take_fd(&node), (int)number, &terminal);
}

int dev_open_ptmx(const struct pseudo_access *access, const struct vfs_open_request *request,
                  struct vfs_opened *ret_opened)
{
    struct dev_fs *fs = dev_fs_of(access);
    cleanup_close int fd = -1;
    int r;

    forget_dead(fs);
    fd = dev_reopen(dev_host_fd(fs, "ptmx"), request->flags);
    if (fd < 0)
        return fd;
    r = remember_slave(fs, fd);
    if (r < 0)
        return r;
    *ret_opened = (struct vfs_opened){.fd = take_fd(&fd)};
    return 0;
}

static struct pseudo_item *pty_item(const struct pseudo_access *access)
{
    return pseudo_item_find(access->node->item, "<pty>", strlen("<pty>"));
}

static int pts_lookup(const struct pseudo_access *access, const char *name,
                      struct pseudo_node **ret_node)
{
    struct pseudo_node *node;
    uint64_t number;

    if ((name[0] == '0' && name[1]) || io_parse_u64(name, 1 << 20, &number) < 0)
        return -ENOENT;
    node = pseudo_node_new(access->fs, pty_item(access), NULL);
    if (node == NULL)
        return -ENOMEM;
    node->number = (int)number;
    if (dev_terminal_of(dev_fs_of(access), node) == NULL) {
        vfs_node_unref(&node->node);
        return -ENOENT;
    }
    *ret_node = node;
    return 0;
}

static int pts_list(const struct pseudo_access *access, struct pseudo_listing *listing)
{
    struct dev_fs *fs = dev_fs_of(access);
    struct dev_terminal *terminal;
    char name[16];

    forget_dead(fs);
    list_for_each(terminal, &fs->terminals, link)
    {
        if (terminal->pty < 0)
            continue;
        snprintf(name, sizeof(name), "%d", terminal->pty);
        if (!pseudo_list(listing, name, pseudo_inode(pty_item(access), 0, 0, terminal->pty),
                         S_IFCHR))
            break;
    }
    return 0;
}

const struct pseudo_directory dev_pts_directory = {pts_lookup, pts_list};
