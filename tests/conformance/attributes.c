/* chmod, chown, umask, file attributes. */
#define FAMILY "attributes"
#include "conform.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#define SYS_fchmodat2_ 452

REFUSED(chmod_missing, "chmod(2) ENOENT", chmod("no", 0600), ENOENT)
REFUSED(chmod_pointer, "chmod(2) EFAULT", chmod((char *)8, 0600), EFAULT)
REFUSED(fchmod_bad, "fchmod(2) EBADF", fchmod(-1, 0600), EBADF)
REFUSED(fchmodat2_flags, "fchmodat2(2) EINVAL", syscall(SYS_fchmodat2_, AT_FDCWD, ".", 0755, 1),
        EINVAL)
REFUSED(chown_missing, "chown(2) ENOENT", chown("no", (uid_t)-1, (gid_t)-1), ENOENT)
REFUSED(fchown_bad, "fchown(2) EBADF", fchown(-1, 0, 0), EBADF)
REFUSED(fchownat_flags, "fchownat(2) EINVAL", fchownat(AT_FDCWD, ".", (uid_t)-1, (gid_t)-1, 1),
        EINVAL)
REFUSED(flags_of_pipe, "ioctl_iflags(2) ENOTTY", ioctl(0, FS_IOC_GETFLAGS, &(int){0}), ENOTTY)

CHECK(chmod_bits, "chmod(2): all twelve bits")
{
    file("f", "");
    for (mode_t mode = 0; mode <= 07777; mode += 0111)
        if (!(mode & 02000)) {
            ok(chmod("f", mode));
            is(mode_of("f"), mode);
        }
}

CHECK(chmod_ignores_type, "chmod(2): bits of the file type are ignored")
{
    file("f", "");
    ok(chmod("f", S_IFDIR | 0640));
    is(mode_of("f"), 0640);
}

CHECK(chmod_follows, "chmod(2): links are followed")
{
    file("f", "");
    ok(symlink("f", "l"));
    ok(chmod("l", 0600));
    is(mode_of("f"), 0600);
    is(mode_of("l"), 0777);
}

CHECK(fchmod_works, "fchmod(2): on any open descriptor")
{
    int fd;

    file("f", "");
    fd = (int)ok(open("f", O_RDONLY));
    ok(fchmod(fd, 0));
    is(mode_of("f"), 0);
    ok(unlink("f"));
    ok(fchmod(fd, 0600));
}

CHECK(chmod_not_owner, "chmod(2) EPERM")
{
    as_root();
    file("f", "");
    ok(chmod("f", 0666));
    IN_CHILD
    {
        as_user();
        fails(chmod("f", 0600), EPERM);
        fails(fchmod((int)ok(open("f", O_RDWR)), 0600), EPERM);
    }
}

CHECK(chmod_changes_ctime_only, "inode(7): chmod changes ctime")
{
    struct timespec times[2] = {{100, 0}, {200, 0}};
    struct stat before;
    struct stat after;

    file("f", "");
    ok(utimensat(AT_FDCWD, "f", times, 0));
    ok(stat("f", &before));
    nap(12);
    ok(chmod("f", 0600));
    ok(stat("f", &after));
    is(after.st_mtim.tv_sec, 200);
    must(after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
         after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
}

CHECK(setgid_of_foreign_group, "chmod(2): set-group-ID is cleared for a group one is not in")
{
    as_root();
    file("f", "");
    ok(chown("f", NOBODY, 1234));
    IN_CHILD
    {
        as_user();
        ok(chmod("f", 02755));
        is(mode_of("f"), 0755);
    }
}

CHECK(chown_self, "chown(2): to oneself, and -1")
{
    as_user();
    file("f", "");
    ok(chown("f", geteuid(), getegid()));
    ok(chown("f", (uid_t)-1, (gid_t)-1));
    ok(lchown("f", (uid_t)-1, getegid()));
}

CHECK(chown_not_root, "chown(2) EPERM")
{
    as_user();
    file("f", "");
    fails(chown("f", 1, (gid_t)-1), EPERM);
    fails(chown("f", (uid_t)-1, 1), EPERM);
}

CHECK(chown_root, "chown(2)")
{
    struct stat status;

    as_root();
    file("f", "");
    ok(chown("f", 1234, 4321));
    ok(stat("f", &status));
    is(status.st_uid, 1234);
    is(status.st_gid, 4321);
    ok(chown("f", (uid_t)-1, 5));
    ok(stat("f", &status));
    is(status.st_uid, 1234);
    is(status.st_gid, 5);
}

CHECK(chown_link, "lchown(2): the link itself")
{
    struct stat status;

    as_root();
    file("f", "");
    ok(symlink("f", "l"));
    ok(lchown("l", 7, 8));
    ok(lstat("l", &status));
    is(status.st_uid, 7);
    ok(stat("l", &status));
    is(status.st_uid, 0);
    ok(chown("l", 9, 9));
    ok(stat("f", &status));
    is(status.st_uid, 9);
}

CHECK(chown_clears_set_id, "chown(2): set-user-ID and set-group-ID are cleared")
{
    file("f", "");
    ok(chmod("f", 06755));
    ok(chown("f", geteuid(), (gid_t)-1));
    is(mode_of("f"), 0755);
}

CHECK(chown_keeps_setgid_without_x, "chown(2): set-group-ID without group execute is kept")
{
    file("f", "");
    ok(chmod("f", 02644));
    ok(chown("f", geteuid(), getegid()));
    is(mode_of("f"), 02644);
}

CHECK(chown_of_directory, "chown(2): a directory keeps its bits")
{
    ok(mkdir("d", 0755));
    ok(chmod("d", 02755));
    ok(chown("d", geteuid(), (gid_t)-1));
    is(mode_of("d"), 02755);
}

CHECK(chown_empty_path, "fchownat(2) AT_EMPTY_PATH")
{
    int fd;

    file("f", "");
    fd = (int)ok(open("f", O_PATH));
    ok(fchownat(fd, "", geteuid(), (gid_t)-1, AT_EMPTY_PATH));
    fails(fchownat(fd, "", geteuid(), (gid_t)-1, 0), ENOENT);
}

CHECK(chmod_through_proc, "chmod(2) on /proc/self/fd/N of an O_PATH descriptor")
{
    char path[64];

    file("f", "");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)ok(open("f", O_PATH)));
    ok(chmod(path, 0611));
    is(mode_of("f"), 0611);
}

CHECK(chmod_link_itself, "fchmodat(2) AT_SYMLINK_NOFOLLOW: EOPNOTSUPP for links")
{
    ok(symlink("f", "l"));
    file("f", "");
    if (syscall(SYS_fchmodat2_, AT_FDCWD, "f", 0611, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOSYS)
        skip("not known to this kernel");
    is(mode_of("f"), 0611);
    fails(syscall(SYS_fchmodat2_, AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
}

CHECK(umask_returns_old, "umask(2)")
{
    umask(027);
    is(umask(07777), 027);
    is(umask(022), 0777);
}

CHECK(umask_is_inherited, "umask(2): by fork, not shared with children")
{
    umask(077);
    IN_CHILD
    {
        is(umask(0), 077);
    }
    is(umask(0), 077);
}

static void *set_umask(void *nothing)
{
    umask(027);
    return nothing;
}

CHECK(umask_is_shared_by_threads, "umask(2): threads share it")
{
    umask(0);
    end_of(start(set_umask, NULL));
    ok(mkdir("d", 0777));
    is(mode_of("d"), 0750);
}

CHECK(read_only_file_of_owner, "inode(7): the owner's bits count, not the others'")
{
    as_user();
    file("f", "");
    ok(chmod("f", 0077));
    fails(open("f", O_RDONLY), EACCES);
}
