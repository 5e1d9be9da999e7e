/* Reaching a file outside the view by its name, or by a way around names. */
#include "attack.h"

#include <sched.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <utime.h>

#define UP "../../../../../../../../../../../../../../../../../../../.."

static const char *secret(void)
{
    return attack_env("GUEST_SECRET");
}

static void look_at(const char *path)
{
    attack_look(path, open(path, O_RDONLY));
}

static void by_name(void)
{
    look_at(secret());
    look_at(guest_format("/%s", secret()));
    look_at(guest_format(UP "%s", secret()));
    look_at(guest_format("/" UP "%s", secret()));
    look_at(guest_format("/proc/self/../.." UP "%s", secret()));
    look_at(guest_format("/dev/../" UP "%s", secret()));
    look_at(guest_format("./" UP "/.%s", secret()));
    look_at(guest_format("/tmp/" UP "%s", secret()));
}

static void by_magic_links(void)
{
    int root = open("/", O_RDONLY | O_DIRECTORY);

    look_at(guest_format("/proc/self/root%s", secret()));
    look_at(guest_format("/proc/self/root/" UP "%s", secret()));
    look_at(guest_format("/proc/self/cwd/" UP "%s", secret()));
    look_at(guest_format("/proc/thread-self/root%s", secret()));
    look_at(guest_format("/proc/self/task/%d/root%s", gettid(), secret()));
    look_at(guest_format("/proc/1/root%s", secret()));
    look_at(guest_format("/proc/1/cwd/" UP "%s", secret()));
    look_at(guest_format("/proc/%d/root%s", getppid(), secret()));
    look_at(guest_format("/proc/self/fd/%d/" UP "%s", root, secret()));
    look_at(guest_format("/dev/fd/%d/..%s", root, secret()));
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            attack_look("a descriptor as directory",
                        openat(fd, guest_format(UP "%s", secret()), O_RDONLY));
}

static void by_links(void)
{
    OK(symlink(secret(), "absolute"));
    OK(symlink(guest_format(UP "%s", secret()), "relative"));
    OK(symlink("/proc/self/root", "magic"));
    OK(symlink("/", "root"));
    look_at("absolute");
    look_at("relative");
    look_at(guest_format("magic%s", secret()));
    look_at(guest_format("root/" UP "%s", secret()));
    DENIED(link(secret(), "hard"));
    DENIED(linkat(AT_FDCWD, secret(), AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
    DENIED(rename(secret(), "moved"));
    DENIED(syscall(SYS_renameat2, AT_FDCWD, secret(), AT_FDCWD, "moved", 0));
}

static void by_descriptors(void)
{
    int root = (int)OK(open("/", O_RDONLY | O_DIRECTORY));
    int path_only = (int)OK(open("/", O_PATH));
    int here;

    attack_look("openat(root)", openat(root, secret() + 1, O_RDONLY));
    attack_look("openat(root, ..)", openat(root, guest_format("..%s", secret()), O_RDONLY));
    attack_look("openat(O_PATH root, ..)",
                openat(path_only, guest_format(UP "%s", secret()), O_RDONLY));
    /* A directory that moves while it is held. */
    OK(mkdir("a", 0777));
    OK(mkdir("a/b", 0777));
    here = (int)OK(open("a/b", O_RDONLY | O_DIRECTORY));
    OK(rename("a/b", "b"));
    OK(rmdir("a"));
    attack_look("a moved directory", openat(here, guest_format(UP "%s", secret()), O_RDONLY));
    OK(fchdir(here));
    OK(rmdir("../b"));
    attack_look("a removed directory", openat(here, guest_format(UP "%s", secret()), O_RDONLY));
    look_at(guest_format("../" UP "%s", secret()));
}

static void by_another_root(void)
{
    int root = (int)OK(open("/", O_RDONLY | O_DIRECTORY));

    OK(mkdir("jail", 0777));
    if (chroot("jail") < 0) {
        attack_tried("chroot", strerrorname_np(errno));
        return;
    }
    OK(fchdir(root));
    for (int i = 0; i < 40; i++)
        OK(chdir(".."));
    chroot(".");
    look_at(secret());
    look_at(guest_format(UP "%s", secret()));
}

struct handle {
    unsigned bytes;
    int type;
    unsigned char data[128];
};

static void by_handles(void)
{
    struct handle handle = {.bytes = 128};
    int mount_id;
    int root = (int)OK(open("/", O_RDONLY | O_DIRECTORY));

    OK(syscall(SYS_name_to_handle_at, AT_FDCWD, "/", &handle, &mount_id, 0));
    DENIED(syscall(SYS_open_by_handle_at, root, &handle, O_RDONLY));
    /* Inode 2 is the root of an ext4 host. */
    handle = (struct handle){.bytes = 8, .type = 1, .data = {2}};
    DENIED(syscall(SYS_open_by_handle_at, root, &handle, O_RDONLY));
    DENIED(syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY | O_DIRECTORY));
}

static void by_mounting(void)
{
    OK(mkdir("mnt", 0777));
    DENIED(mount(secret(), "mnt", NULL, MS_BIND, NULL));
    DENIED(mount("proc", "mnt", "proc", 0, NULL));
    DENIED(mount("none", "/", NULL, MS_REMOUNT, NULL));
    DENIED(umount2("/tmp", MNT_DETACH));
    DENIED(umount2("/proc", MNT_DETACH));
    DENIED(syscall(SYS_pivot_root, "mnt", "mnt"));
    DENIED(syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    DENIED(syscall(SYS_fsopen, "proc", 0));
    DENIED(syscall(SYS_move_mount, AT_FDCWD, "/proc", AT_FDCWD, "mnt", 0));
    DENIED(unshare(CLONE_NEWNS));
}

static void by_devices(void)
{
    static const char *const dangerous[] = {
        "/dev/mem",    "/dev/kmem",           "/dev/port",       "/dev/kmsg", "/dev/sda",
        "/dev/vda",    "/dev/fuse",           "/dev/kvm",        "/dev/disk", "/dev/loop0",
        "/proc/kcore", "/proc/sysrq-trigger", "/proc/kpageflags"};

    for (size_t i = 0; i < sizeof(dangerous) / sizeof(dangerous[0]); i++)
        attack_denied(__FILE__, __LINE__, dangerous[i], open(dangerous[i], O_RDWR));
    if (mknod("disk", S_IFBLK | 0666, makedev(254, 0)) == 0)
        DENIED(open("disk", O_RDONLY));
    if (mknod("memory", S_IFCHR | 0666, makedev(1, 1)) == 0)
        DENIED(open("memory", O_RDWR));
    if (mknod("kmsg", S_IFCHR | 0666, makedev(1, 11)) == 0)
        DENIED(open("kmsg", O_RDWR));
}

static void changing_from_afar(void)
{
    struct utimbuf times = {1, 1};

    DENIED(truncate(secret(), 0));
    DENIED(unlink(secret()));
    DENIED(chmod(secret(), 0777));
    DENIED(chown(secret(), getuid(), getgid()));
    DENIED(utime(secret(), &times));
    DENIED(setxattr(secret(), "user.x", "x", 1, 0));
    DENIED(open(secret(), O_WRONLY));
    DENIED(open(secret(), O_PATH));
}

static void learning_about_it(void)
{
    struct stat stat_buf;
    struct statfs fs_buf;
    char buffer[64];

    DENIED(access(secret(), F_OK));
    DENIED(stat(secret(), &stat_buf));
    DENIED(statfs(secret(), &fs_buf));
    DENIED(readlink(secret(), buffer, sizeof(buffer)));
    DENIED(getxattr(secret(), "user.x", buffer, sizeof(buffer)));
    DENIED(inotify_add_watch(inotify_init1(0), secret(), IN_ACCESS));
    DENIED(execl(secret(), "x", NULL));
    DENIED(chdir(secret()));
}

static void making_outside(void)
{
    const char *outside = attack_env("GUEST_OUTSIDE");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    /* These may work in a layer. The host must not see anything: the test looks. */
    close(open(guest_format("%s/file", outside), O_WRONLY | O_CREAT, 0666));
    close(open(guest_format("/proc/self/root%s/file2", outside), O_WRONLY | O_CREAT, 0666));
    mkdir(guest_format("%s/dir", outside), 0777);
    mkdir(guest_format(UP "%s/dir2", outside), 0777);
    symlink("x", guest_format("%s/link", outside));
    mknod(guest_format("%s/fifo", outside), S_IFIFO | 0666, 0);
    snprintf(name.sun_path, sizeof(name.sun_path), "%.90s/socket", outside);
    if (fd >= 0)
        bind(fd, (struct sockaddr *)&name, sizeof(name));
    close(open(outside, O_TMPFILE | O_RDWR, 0666));
    rmdir(guest_format("%s/kept", outside));
    attack_tried("making things outside", "the test looks for them");
}

static const struct guest_case cases[] = {
    {"by-name", by_name},
    {"by-magic-links", by_magic_links},
    {"by-links", by_links},
    {"by-descriptors", by_descriptors},
    {"by-another-root", by_another_root},
    {"by-handles", by_handles},
    {"by-mounting", by_mounting},
    {"by-devices", by_devices},
    {"changing-from-afar", changing_from_afar},
    {"learning-about-it", learning_about_it},
    {"making-outside", making_outside},
};

GUEST_MAIN(cases)
