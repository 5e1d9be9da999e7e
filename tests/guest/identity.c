/* Who a program is: run as root, or with --uid 0, where root is an imitation. */
#include "guest.h"

#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void need_root(void)
{
    if (geteuid() != 0)
        guest_skip("needs to be root, real or not");
}

static void owner_is(const char *path, uid_t uid, gid_t gid)
{
    struct stat stat_buf;

    OK(lstat(path, &stat_buf));
    if (stat_buf.st_uid != uid || stat_buf.st_gid != gid)
        FAIL("%s belongs to %u:%u instead of %u:%u", path, stat_buf.st_uid, stat_buf.st_gid, uid,
             gid);
}

static void is_root(void)
{
    uid_t ids[3];

    need_root();
    CHECK_EQ(getuid(), 0);
    CHECK_EQ(getgid(), 0);
    CHECK_EQ(getegid(), 0);
    OK(getresuid(&ids[0], &ids[1], &ids[2]));
    CHECK_EQ(ids[0] + ids[1] + ids[2], 0);
    guest_write("file", "x");
    owner_is("file", 0, 0);
    owner_is("/etc/passwd", 0, 0);
}

static void changing_owners(void)
{
    struct stat stat_buf;
    int fd;

    need_root();
    guest_write("file", "x");
    OK(symlink("file", "soft"));
    OK(mkdir("dir", 0755));
    OK(chown("file", 1000, 1001));
    owner_is("file", 1000, 1001);
    OK(chown("file", (uid_t)-1, 7));
    owner_is("file", 1000, 7);
    OK(lchown("soft", 5, 6));
    owner_is("soft", 5, 6);
    owner_is("file", 1000, 7);
    OK(chown("soft", 8, 9));
    owner_is("file", 8, 9);
    fd = (int)OK(open("file", O_RDONLY));
    OK(fchown(fd, 10, 11));
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_uid, 10);
    OK(fchownat(AT_FDCWD, "soft", 12, 13, AT_SYMLINK_NOFOLLOW));
    owner_is("soft", 12, 13);
    OK(fchownat(fd, "", 14, 15, AT_EMPTY_PATH));
    owner_is("file", 14, 15);
    OK(chown("dir", 16, 17));
    owner_is("dir", 16, 17);
    OK(rename("dir", "other"));
    owner_is("other", 16, 17);
    OK(link("file", "hard"));
    owner_is("hard", 14, 15);
}

/* Links, FIFOs and sockets: on some hosts their owner is not kept with the object itself. */
static void owners_follow_names(void)
{
    need_root();
    OK(mkdir("dir", 0755));
    OK(symlink("x", "soft"));
    OK(symlink("x", "other"));
    OK(mkfifo("fifo", 0644));
    OK(lchown("soft", 5, 6));
    OK(lchown("other", 15, 16));
    OK(chown("fifo", 7, (gid_t)-1));
    owner_is("soft", 5, 6);
    owner_is("fifo", 7, 0);
    OK(rename("soft", "dir/moved"));
    owner_is("dir/moved", 5, 6);
    OK(rename("fifo", "dir/fifo"));
    owner_is("dir/fifo", 7, 0);
    OK(symlink("x", "soft"));
    owner_is("soft", 0, 0);
    OK(rename("dir", "folder"));
    owner_is("folder/moved", 5, 6);
    OK(syscall(SYS_renameat2, AT_FDCWD, "other", AT_FDCWD, "folder/moved", RENAME_EXCHANGE));
    owner_is("other", 5, 6);
    owner_is("folder/moved", 15, 16);
    OK(link("other", "hard"));
    owner_is("hard", 5, 6);
    OK(unlink("other"));
    OK(symlink("y", "other"));
    owner_is("other", 0, 0);
    OK(rename("hard", "other"));
    owner_is("other", 5, 6);
    OK(rename("soft", "other"));
    owner_is("other", 0, 0);
    OK(mkdir("read-only", 0755));
    OK(symlink("x", "read-only/soft"));
    guest_write("read-only/file", "x");
    OK(chmod("read-only/file", 0444));
    OK(chmod("read-only", 0555));
    OK(lchown("read-only/soft", 5, 6));
    owner_is("read-only/soft", 5, 6);
    OK(chown("read-only/file", 7, 8));
    owner_is("read-only/file", 7, 8);
    OK(chown("read-only", 9, 10));
    owner_is("read-only", 9, 10);
    for (int i = 0; i < 30; i++)
        OK(symlink("x", guest_format("folder/a-name-of-some-length-%d", i)));
    for (int i = 0; i < 30; i++)
        OK(lchown(guest_format("folder/a-name-of-some-length-%d", i), 1000 + (uid_t)i, 9));
    for (int i = 0; i < 30; i++)
        owner_is(guest_format("folder/a-name-of-some-length-%d", i), 1000 + (uid_t)i, 9);
}

static void makes_link(void)
{
    OK(symlink("x", "open/soft"));
    OK(mkfifo("open/fifo", 0644));
    owner_is("open/soft", 1234, 1234);
    owner_is("open/fifo", 1234, 1234);
}

static void owners_of_makers(void)
{
    need_root();
    OK(mkdir("open", 0777));
    OK(chmod("open", 0777));
    guest_as(1234, makes_link);
    owner_is("open/soft", 1234, 1234);
    owner_is("open/fifo", 1234, 1234);
}

static void owner_change_clears_bits(void)
{
    struct stat stat_buf;

    need_root();
    guest_write("file", "x");
    OK(chmod("file", 06755));
    OK(chown("file", 1, 1));
    OK(stat("file", &stat_buf));
    CHECK_EQ(stat_buf.st_mode & 07777, 0755);
    OK(chmod("file", 06755));
    OK(stat("file", &stat_buf));
    CHECK_EQ(stat_buf.st_mode & 07777, 06755);
}

static void drop(void *argument)
{
    uid_t ids[3];

    (void)argument;
    OK(setresgid(101, 102, 103));
    OK(setresuid(201, 202, 203));
    OK(getresuid(&ids[0], &ids[1], &ids[2]));
    CHECK(ids[0] == 201 && ids[1] == 202 && ids[2] == 203);
    OK(getresgid(&ids[0], &ids[1], &ids[2]));
    CHECK(ids[0] == 101 && ids[1] == 102 && ids[2] == 103);
    CHECK_EQ(getuid() * 1000 + geteuid(), 201202);
    FAILS(setuid(0), EPERM);
    FAILS(setresuid(0, (uid_t)-1, (uid_t)-1), EPERM);
    FAILS(setgid(0), EPERM);
    OK(seteuid(203));
    CHECK_EQ(geteuid(), 203);
    OK(setresuid(203, 203, 203));
    FAILS(seteuid(201), EPERM);
    FAILS(chown("root-file", 203, 203), EPERM);
    FAILS(open("root-file", O_RDONLY), EACCES);
    FAILS(chmod("root-file", 0777), EPERM);
    FAILS(setgroups(0, NULL), EPERM);
    FAILS(chroot("/"), EPERM);
    guest_write("open/own", "x");
    owner_is("open/own", 203, 102);
}

static void dropping(void)
{
    need_root();
    guest_write("root-file", "x");
    OK(chmod("root-file", 0600));
    OK(mkdir("open", 0777));
    OK(chmod("open", 0777));
    OK(chmod(".", 0755));
    guest_join(guest_fork(drop, NULL));
    owner_is("open/own", 203, 102);
    CHECK_EQ(getuid(), 0);
}

static void temporary(void *argument)
{
    (void)argument;
    OK(setegid(1000));
    OK(seteuid(1000));
    CHECK_EQ(geteuid(), 1000);
    CHECK_EQ(getuid(), 0);
    FAILS(open("root-file", O_RDONLY), EACCES);
    OK(seteuid(0));
    OK(setegid(0));
    guest_content("root-file", "x");
    OK(setreuid(5, 6));
    CHECK_EQ(getuid() * 10 + geteuid(), 56);
}

static void temporarily_somebody_else(void)
{
    need_root();
    guest_write("root-file", "x");
    OK(chmod("root-file", 0600));
    guest_join(guest_fork(temporary, NULL));
}

static void groups(void *argument)
{
    gid_t list[4] = {11, 22, 33};

    (void)argument;
    OK(setgroups(3, list));
    memset(list, 0, sizeof(list));
    CHECK_EQ(OK(getgroups(0, NULL)), 3);
    CHECK_EQ(OK(getgroups(4, list)), 3);
    CHECK_EQ(list[0] + list[1] + list[2], 66);
    FAILS(getgroups(1, list), EINVAL);
    OK(setresgid(1, 1, 1));
    OK(setresuid(1, 1, 1));
    guest_content("for-group-22", "x");
    FAILS(open("for-group-44", O_RDONLY), EACCES);
}

static void supplementary_groups(void)
{
    need_root();
    OK(chmod(".", 0755));
    guest_write("for-group-22", "x");
    guest_write("for-group-44", "x");
    OK(chown("for-group-22", 0, 22));
    OK(chown("for-group-44", 0, 44));
    OK(chmod("for-group-22", 0640));
    OK(chmod("for-group-44", 0640));
    guest_join(guest_fork(groups, NULL));
}

static void child_of_dropped(void *argument)
{
    char *out;

    (void)argument;
    OK(setresgid(77, 77, 77));
    OK(setresuid(88, 88, 88));
    out = guest_output((char *[]){"/bin/sh", "-c", "id -u; id -g", NULL}, NULL);
    CHECK_TEXT(out, "88\n77\n");
}

static void children_and_programs_inherit(void)
{
    need_root();
    guest_join(guest_fork(child_of_dropped, NULL));
}

static void file_system_identity(void *argument)
{
    (void)argument;
    setfsgid(301);
    setfsuid(300);
    CHECK_EQ(setfsuid((uid_t)-1), 300);
    guest_write("open/own", "x");
    owner_is("open/own", 300, 301);
    FAILS(open("root-file", O_RDONLY), EACCES);
}

static void file_system_ids(void)
{
    need_root();
    OK(chmod(".", 0755));
    guest_write("root-file", "x");
    OK(chmod("root-file", 0600));
    OK(mkdir("open", 0777));
    OK(chmod("open", 0777));
    guest_join(guest_fork(file_system_identity, NULL));
}

static void device_nodes(void)
{
    struct stat stat_buf;

    need_root();
    umask(0);
    if (mknod("null", S_IFCHR | 0666, makedev(1, 3)) < 0 && errno == EPERM)
        guest_skip("this root may not make devices");
    OK(mknod("disk", S_IFBLK | 0600, makedev(8, 1)));
    OK(stat("null", &stat_buf));
    CHECK_EQ(stat_buf.st_mode, S_IFCHR | 0666);
    CHECK_EQ(stat_buf.st_rdev, makedev(1, 3));
    OK(stat("disk", &stat_buf));
    CHECK_EQ(stat_buf.st_mode, S_IFBLK | 0600);
    CHECK_EQ(stat_buf.st_rdev, makedev(8, 1));
    OK(chown("disk", 0, 6));
    OK(rename("disk", "renamed"));
    OK(stat("renamed", &stat_buf));
    CHECK_EQ(stat_buf.st_gid, 6);
    CHECK(S_ISBLK(stat_buf.st_mode));
    OK(unlink("renamed"));
}

struct caps {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
};

static void lose(void *argument)
{
    struct caps caps = {.header = {.version = _LINUX_CAPABILITY_VERSION_3}};

    (void)argument;
    OK(syscall(SYS_capget, &caps.header, caps.data));
    CHECK(caps.data[0].effective & (1U << CAP_CHOWN));
    OK(setresuid(9, 9, 9));
    OK(syscall(SYS_capget, &caps.header, caps.data));
    CHECK_EQ(caps.data[0].effective, 0);
    CHECK_EQ(caps.data[0].permitted, 0);
}

static void capabilities(void)
{
    need_root();
    guest_join(guest_fork(lose, NULL));
}

static void status_shows_it(void *argument)
{
    char *status;

    (void)argument;
    OK(setresgid(21, 22, 23));
    OK(setresuid(11, 12, 13));
    status = guest_read("/proc/self/status");
    CHECK(strstr(status, "Uid:\t11\t12\t13\t12\n") != NULL);
    CHECK(strstr(status, "Gid:\t21\t22\t23\t22\n") != NULL);
}

static void shown_in_proc(void)
{
    char *status;

    need_root();
    status = guest_read("/proc/self/status");
    CHECK(strstr(status, "Uid:\t0\t0\t0\t0\n") != NULL);
    guest_join(guest_fork(status_shows_it, NULL));
}

static void set_group_directory(void)
{
    need_root();
    OK(mkdir("dir", 0777));
    OK(chown("dir", 0, 4711));
    OK(chmod("dir", 02777));
    guest_write("dir/file", "x");
    owner_is("dir/file", 0, 4711);
    OK(mkdir("dir/sub", 0777));
    owner_is("dir/sub", 0, 4711);
}

static void unpacking(void)
{
    char *out;

    need_root();
    out = guest_output((char *[]){"/bin/sh", "-c",
                                  "set -e; mkdir a; echo x >a/f; chown 12:34 a/f; chmod 2751 a/f; "
                                  "tar cf a.tar a; mkdir b; tar xpf a.tar -C b; "
                                  "stat -c '%u:%g %a' b/a/f",
                                  NULL},
                       NULL);
    CHECK_TEXT(out, "12:34 2751\n");
}

static const struct guest_case cases[] = {
    {"is-root", is_root},
    {"changing-owners", changing_owners},
    {"owners-follow-names", owners_follow_names},
    {"owners-of-makers", owners_of_makers},
    {"owner-change-clears-bits", owner_change_clears_bits},
    {"dropping", dropping},
    {"temporarily-somebody-else", temporarily_somebody_else},
    {"supplementary-groups", supplementary_groups},
    {"children-and-programs-inherit", children_and_programs_inherit},
    {"file-system-ids", file_system_ids},
    {"device-nodes", device_nodes},
    {"capabilities", capabilities},
    {"shown-in-proc", shown_in_proc},
    {"set-group-directory", set_group_directory},
    {"unpacking", unpacking},
};

GUEST_MAIN(cases)
