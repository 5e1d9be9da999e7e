/*
 * ioctl(2): requests that the filter does not know to be harmless, and all requests on descriptors
 * of the window. Whatever is not listed here does not exist for a guest: ENOTTY, since a request
 * can name host objects in ways that only its driver knows.
 */
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/eventpoll.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "linux/file-internal.h"
#include "linux/net-internal.h"
#include "vfs/watch.h"

/* include/uapi/linux: newer than the C library's headers, or not in those that can be included */
#define REQUEST_INOTIFY_NEXT_WD  0x40044900 /* INOTIFY_IOC_SETNEXTWD */
#define REQUEST_TIMERFD_TICKS    0x40085400 /* TFD_IOC_SET_TICKS */
#define REQUEST_EPOLL_SET_PARAMS 0x40088a01 /* EPIOCSPARAMS */
#define REQUEST_EPOLL_GET_PARAMS 0x80088a02 /* EPIOCGPARAMS */
#define REQUEST_FIEMAP           0xc020660b /* FS_IOC_FIEMAP */
#define REQUEST_TCGETS2          0x802c542a
#define REQUEST_TCSETS2          0x402c542b
#define REQUEST_TCSETSF2         0x402c542d

enum verdict {
    UNKNOWN,
    NATIVE,    /* acts on the object behind the descriptor and names no other */
    OWNER,     /* aims signals at a process */
    INTERFACE, /* shows the host's network interfaces: with its network only */
    CONFIGURE, /* changes them */
    FLAGS,     /* changes the host's inode even through a read-only descriptor */
    FLAGS_EXTENDED,
    BLOCKS,   /* block numbers of the host's disk */
    PEER,     /* opens the other end of this very pty */
    TERMINAL, /* speaks to the terminal on behalf of its user, or outlives the guest there */
};

static enum verdict judge_terminal(unsigned request)
{
    switch (request) {
    case TCGETS ... TCFLSH:
    case TIOCNXCL ... TIOCOUTQ: /* also TIOCSCTTY, TIOCGPGRP, TIOCSPGRP: this session's */
    case TIOCGWINSZ ... TIOCMGET:
    case TIOCMBIS ... TIOCSSOFTCAR:
    case TIOCPKT:
    case TIOCNOTTY:
    case TIOCGETD:
    case TCSBRKP:
    case TIOCSBRK ... TIOCGSID:
    case TIOCGPTN:
    case TIOCSPTLCK:
    case TIOCGDEV:
    case TIOCSIG:
    case TIOCGPKT ... TIOCGPTLCK:
    case TIOCGEXCL:
    case TIOCGICOUNT:
    case REQUEST_TCGETS2:
    case REQUEST_TCSETS2 ... REQUEST_TCSETSF2:
        return NATIVE;
    case TIOCGPTPEER:
        return PEER;
    case TIOCEXCL:
    case TIOCSTI:
    case TIOCLINUX:
    case TIOCCONS:
    case TIOCSETD:
    case TIOCVHANGUP:
        return TERMINAL;
    default:
        return UNKNOWN;
    }
}

static enum verdict judge_socket(unsigned request)
{
    switch (request) {
    case FIOSETOWN:
    case SIOCSPGRP:
        return OWNER;
    case FIOGETOWN:
    case SIOCGPGRP:
    case SIOCATMARK:
    case SIOCGSTAMP_OLD:
    case SIOCGSTAMPNS_OLD:
    case SIOCOUTQNSD:
        return NATIVE;
    case SIOCGIFNAME:
    case SIOCGIFCONF:
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFMETRIC:
    case SIOCGIFMTU:
    case SIOCGIFHWADDR:
    case SIOCGIFINDEX:
    case SIOCGIFTXQLEN:
    case SIOCGIFMAP:
        return INTERFACE;
    case SIOCSIFFLAGS:
    case SIOCSIFADDR:
    case SIOCSIFDSTADDR:
    case SIOCSIFBRDADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFMTU:
        return CONFIGURE;
    default: /* SIOCUNIXFILE among them, which would open a socket's host path */
        return UNKNOWN;
    }
}

static enum verdict judge_file(unsigned request)
{
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
    case FIONBIO:
    case FIOASYNC:
    case FIONREAD:
    case FIOQSIZE:
    case FIGETBSZ:
    case FICLONE: /* the other file is a descriptor that the guest holds */
    case FICLONERANGE:
    case FIDEDUPERANGE:
    case FS_IOC_GETFLAGS:
    case FS_IOC_GETVERSION:
    case FS_IOC_FSGETXATTR:
    case FS_IOC_GETFSLABEL:
    case RNDGETENTCNT:
    case REQUEST_INOTIFY_NEXT_WD:
    case REQUEST_TIMERFD_TICKS:
    case REQUEST_EPOLL_SET_PARAMS:
    case REQUEST_EPOLL_GET_PARAMS:
        return NATIVE;
    case FS_IOC_SETFLAGS:
        return FLAGS;
    case FS_IOC_FSSETXATTR:
        return FLAGS_EXTENDED;
    case FIBMAP:
    case REQUEST_FIEMAP:
        return BLOCKS;
    default:
        return UNKNOWN;
    }
}

static enum verdict judge(unsigned request)
{
    enum verdict verdict = judge_file(request);

    if (verdict == UNKNOWN)
        verdict = judge_terminal(request);
    return verdict == UNKNOWN ? judge_socket(request) : verdict;
}

/*
 * Flags of the host's inode stay as they are. Setting what is set already succeeds, so that tools
 * which copy flags go on.
 */
static int set_flags(struct pk_request *request, int fd)
{
    int wanted, present;

    if (pk_read(request, request->args[2], &wanted, sizeof(wanted)) < 0)
        return -EFAULT;
    if (ioctl(fd, FS_IOC_GETFLAGS, &present) < 0)
        return -errno;
    return wanted == present ? 0 : -EOPNOTSUPP;
}

static int set_extended_flags(struct pk_request *request, int fd)
{
    struct fsxattr wanted, present;

    if (pk_read(request, request->args[2], &wanted, sizeof(wanted)) < 0)
        return -EFAULT;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &present) < 0)
        return -errno;
    if (wanted.fsx_xflags != present.fsx_xflags || wanted.fsx_extsize != present.fsx_extsize ||
        wanted.fsx_projid != present.fsx_projid || wanted.fsx_cowextsize != present.fsx_cowextsize)
        return -EOPNOTSUPP;
    return 0;
}

static struct pk_answer refuse_terminal(struct pk_request *request)
{
    return pk_denied(request, -EPERM, "a guest does not speak for the user of a terminal",
                     "it is never allowed", "ioctl 0x%x on a terminal", (unsigned)request->args[1]);
}

/* As without CAP_NET_ADMIN; on anything but an internet socket there is no such request. */
static struct pk_answer refuse_configuration(struct pk_request *request, int fd)
{
    struct ifreq wanted;
    int domain = net_domain(fd);

    if (domain != AF_INET && domain != AF_INET6)
        return pk_error(-ENOTTY);
    return pk_error(pk_read(request, request->args[2], &wanted, sizeof(wanted)) < 0 ? -EFAULT
                                                                                    : -EPERM);
}

static bool is_slave(int fd, unsigned number)
{
    struct stat stat;

    /* UNIX98_PTY_SLAVE_MAJOR of include/uapi/linux/major.h: 8 majors of 256 */
    return fstat(fd, &stat) == 0 && S_ISCHR(stat.st_mode) && major(stat.st_rdev) >= 136 &&
           major(stat.st_rdev) < 144 &&
           (major(stat.st_rdev) - 136) * 256 + minor(stat.st_rdev) == number;
}

/*
 * ptm_open_peer() of the kernel. The guest may not open files by itself, so the terminal is opened
 * as its name in /dev/pts would be.
 */
static struct pk_answer open_peer(struct pk_request *request, int master)
{
    int flags = (int)request->args[2] & (O_ACCMODE | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    cleanup_place struct vfs_place *root = vfs_root(request->kernel->vfs);
    struct vfs_opened opened = {.fd = -1};
    struct vfs_actor actor;
    unsigned number;
    char path[32];
    int r;

    if (ioctl(master, TIOCGPTN, &number) < 0)
        return pk_error(-ENOTTY);
    if (root == NULL)
        return pk_error(-ENOMEM);
    snprintf(path, sizeof(path), "/dev/pts/%u", number);
    linux_actor(request, &actor);
    r = vfs_open(request->kernel->vfs,
                 &(struct vfs_walk){.actor = &actor, .root = root, .base = root, .path = path},
                 flags & ~O_CLOEXEC, 0, &opened);
    if (r < 0)
        return pk_error(r);
    if (!opened.window && !opened.blocks && is_slave(opened.fd, number))
        return pk_descriptor(opened.fd, (unsigned)flags & O_CLOEXEC);
    base_close(opened.fd); /* something else was mounted there */
    return pk_error(-EIO);
}

static struct pk_answer serve_plain(struct pk_request *request, int fd)
{
    switch (judge((unsigned)request->args[1])) {
    case NATIVE:
        return pk_native();
    case OWNER:
        return linux_set_owner(request);
    case INTERFACE:
        return request->kernel->config.net == PK_NET_HOST ? pk_native() : pk_error(-ENODEV);
    case CONFIGURE:
        return refuse_configuration(request, fd);
    case FLAGS:
        return pk_value(set_flags(request, fd));
    case FLAGS_EXTENDED:
        return pk_value(set_extended_flags(request, fd));
    case BLOCKS:
        return pk_error(-EOPNOTSUPP);
    case PEER:
        return open_peer(request, fd);
    case TERMINAL:
        return isatty(fd) ? refuse_terminal(request) : pk_error(-ENOTTY);
    case UNKNOWN:
        break;
    }
    return pk_error(-ENOTTY);
}

/* What do_vfs_ioctl() does by itself for every file, whatever its driver. */
static bool is_about_descriptor(unsigned request)
{
    return request == FIOCLEX || request == FIONCLEX || request == FIONBIO || request == FIOASYNC;
}

static struct pk_answer serve_ioctl(struct pk_request *request)
{
    cleanup_close int fd = file_get_open_fd(request, (int)request->args[0]);
    struct vfs_handle *handle;

    if (fd < 0)
        return pk_error(fd);
    if (is_about_descriptor((unsigned)request->args[1]))
        return pk_native();
    if ((unsigned)request->args[1] == FIONREAD && vfs_watcher_of_fd(request->kernel->vfs, fd))
        return file_watch_call(request, fd);
    handle = vfs_handle_of_fd(request->kernel->vfs, fd);
    return handle ? vfs_handle_call(handle, request, fd) : serve_plain(request, fd);
}

void file_set_ioctl_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {{ABI_NR_ioctl, serve_ioctl}};

    linux_set_handlers(kernel, handlers, array_length(handlers));
}
