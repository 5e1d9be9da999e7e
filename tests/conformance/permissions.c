/* Who may do what: users, groups, capabilities, set-ID bits. */
#define FAMILY "permissions"
#include "conform.h"

#include <grp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

/* From now on `uid` and `gid` with one supplementary group. */
static void become(uid_t uid, gid_t gid, gid_t group)
{
    ok(setgroups(1, &group));
    ok(setresgid(gid, gid, gid));
    ok(setresuid(uid, uid, uid));
}

static void owned(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
    file(path, "text");
    ok(chown(path, uid, gid));
    ok(chmod(path, mode));
}

CHECK(classes, "path_resolution(7): owner, group, others")
{
    as_root();
    owned("owner", 1001, 2000, 0400);
    owned("group", 1000, 2001, 0040);
    owned("more", 1000, 2002, 0040);
    owned("others", 1000, 2000, 0004);
    owned("none", 1000, 2000, 0440);
    IN_CHILD
    {
        become(1001, 2001, 2002);
        ok(open("owner", O_RDONLY));
        ok(open("group", O_RDONLY));
        ok(open("more", O_RDONLY));
        ok(open("others", O_RDONLY));
        fails(open("none", O_RDONLY), EACCES);
        fails(open("others", O_WRONLY), EACCES);
    }
}

CHECK(group_denies_although_others_may, "path_resolution(7): only one class counts")
{
    as_root();
    owned("f", 1000, 2002, 0604);
    IN_CHILD
    {
        become(1001, 2001, 2002);
        fails(open("f", O_RDONLY), EACCES);
    }
}

CHECK(root_reads_all, "capabilities(7) CAP_DAC_OVERRIDE")
{
    as_root();
    owned("f", 1000, 1000, 0);
    ok(open("f", O_RDWR));
    ok(mkdir("d", 0));
    file("d/f", "");
    is(count_names("d"), 1);
}

CHECK(file_system_uid, "setfsuid(2)")
{
    as_root();
    owned("f", 1000, 1000, 0600);
    setfsgid(1001);
    is(setfsuid(1001), 0);
    is(setfsuid((uid_t)-1), 1001);
    fails(open("f", O_RDONLY), EACCES);
    setfsuid(0);
    ok(open("f", O_RDONLY));
}

CHECK(created_files_have_the_effective_ids, "open(2): the owner is the effective (file system) uid")
{
    struct stat status;

    as_root();
    ok(chmod(".", 0777));
    ok(setresgid((gid_t)-1, 2001, (gid_t)-1));
    ok(setresuid((uid_t)-1, 1001, (uid_t)-1));
    file("f", "");
    ok(mkdir("d", 0755));
    ok(symlink("x", "l"));
    ok(lstat("f", &status));
    is(status.st_uid, 1001);
    is(status.st_gid, 2001);
    ok(lstat("d", &status));
    is(status.st_uid, 1001);
    ok(lstat("l", &status));
    is(status.st_uid, 1001);
}

CHECK(descriptor_outlives_right, "open(2): permissions are checked at open only")
{
    char byte;
    int fd;

    as_user();
    file("f", "text");
    fd = (int)ok(open("f", O_RDWR));
    ok(chmod("f", 0));
    is(read(fd, &byte, 1), 1);
    is(write(fd, "x", 1), 1);
}

CHECK(dropped_root_keeps_descriptors, "open(2): a descriptor is a right")
{
    char byte;
    int fd;

    as_root();
    owned("f", 0, 0, 0600);
    fd = (int)ok(open("f", O_RDONLY));
    as_user();
    fails(open("f", O_RDONLY), EACCES);
    is(read(fd, &byte, 1), 1);
}

CHECK(reopen_is_a_new_open, "proc(5): /proc/self/fd/N is checked again")
{
    char path[64];

    as_user();
    file("f", "text");
    ok(chmod("f", 0444));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)ok(open("f", O_RDONLY)));
    fails(open(path, O_WRONLY), EACCES);
    ok(open(path, O_RDONLY));
}

CHECK(sticky_owner_of_directory, "unlink(2): the owner of a sticky directory may")
{
    as_root();
    ok(mkdir("d", 0777));
    ok(chmod("d", 01777));
    ok(chown("d", NOBODY, NOBODY));
    owned("d/f", 1, 1, 0600);
    IN_CHILD
    {
        as_user();
        ok(unlink("d/f"));
    }
}

CHECK(search_of_every_directory, "path_resolution(7): search permission on the whole prefix")
{
    as_root();
    ok(mkdir("a", 0700));
    ok(mkdir("a/b", 0777));
    owned("a/b/f", 0, 0, 0666);
    IN_CHILD
    {
        as_user();
        fails(open("a/b/f", O_RDONLY), EACCES);
        fails(chdir("a/b"), EACCES);
        fails(mkdir("a/b/c", 0755), EACCES);
    }
}

CHECK(directory_descriptor_passes_prefix, "openat(2): the prefix of dirfd is not searched")
{
    int fd;

    as_root();
    ok(mkdir("a", 0700));
    ok(mkdir("a/b", 0777));
    owned("a/b/f", 0, 0, 0666);
    fd = (int)ok(open("a/b", O_PATH));
    IN_CHILD
    {
        as_user();
        ok(openat(fd, "f", O_RDONLY));
        fails(openat(fd, "../b/f", O_RDONLY), EACCES);
    }
}

CHECK(execute_needs_x, "execve(2) EACCES")
{
    as_user();
    file("f", "#!/bin/sh\n");
    fails(execl("./f", "f", NULL), EACCES);
    ok(chmod("f", 0666));
    fails(execl("./f", "f", NULL), EACCES);
}

CHECK(execute_without_read, "execve(2): reading is not needed for a program")
{
    as_user();
    file("f", "not a program\n");
    ok(chmod("f", 0111));
    fails(execl("./f", "f", NULL), ENOEXEC);
}

CHECK(no_atime_needs_owner, "open(2) O_NOATIME EPERM")
{
    as_root();
    owned("f", 0, 0, 0644);
    IN_CHILD
    {
        as_user();
        fails(open("f", O_RDONLY | O_NOATIME), EPERM);
    }
    ok(open("f", O_RDONLY | O_NOATIME));
}

CHECK(read_only_proc_file, "open(2) EACCES for a file of /proc")
{
    as_user();
    fails(open("/proc/version", O_WRONLY), EACCES);
    fails(open("/proc/sys/kernel/hostname", O_WRONLY), EACCES);
}

CHECK(creating_needs_write, "open(2) EACCES")
{
    as_user();
    ok(mkdir("d", 0555));
    fails(open("d/f", O_WRONLY | O_CREAT, 0644), EACCES);
    fails(open("d", O_TMPFILE | O_RDWR, 0644), EACCES);
    fails(mknod("d/f", 0644, 0), EACCES);
    fails(symlink("x", "d/l"), EACCES);
}

CHECK(creating_what_is_there, "open(2) O_CREAT on what exists needs no right to the directory")
{
    as_user();
    ok(mkdir("d", 0755));
    file("d/f", "");
    ok(chmod("d", 0555));
    ok(open("d/f", O_WRONLY | O_CREAT, 0644));
    fails(open("d/f", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
}
CHECK(signal_to_foreign, "kill(2) EPERM")
{
    pid_t pid;

    as_root();
    pid = spawn();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    IN_CHILD
    {
        as_user();
        fails(kill(pid, SIGTERM), EPERM);
        fails(kill(pid, 0), EPERM);
    }
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}
