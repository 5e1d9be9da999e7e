/* Directories: making, removing, reading. */
#include "guest.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MANY = 500 };

static void make_many(const char *folder)
{
    OK(mkdir(folder, 0777));
    for (int i = 0; i < MANY; i++)
        OK(close((int)OK(open(guest_format("%s/%04d", folder, i), O_CREAT | O_WRONLY, 0666))));
}

static void reading(void)
{
    bool seen[MANY] = {false};
    int dots = 0;
    struct dirent *entry;
    DIR *dir;

    make_many("dir");
    dir = opendir("dir");
    CHECK(dir != NULL);
    while ((entry = readdir(dir))) {
        long number;

        if (entry->d_name[0] == '.') {
            dots++;
            CHECK_EQ(entry->d_type, DT_DIR);
            continue;
        }
        number = strtol(entry->d_name, NULL, 10);
        CHECK(number >= 0 && number < MANY && !seen[number]);
        seen[number] = true;
        CHECK_EQ(entry->d_type, DT_REG);
    }
    CHECK_EQ(dots, 2);
    for (int i = 0; i < MANY; i++)
        CHECK(seen[i]);
}

static int count_entries(DIR *dir)
{
    int count = 0;

    while (readdir(dir))
        count++;
    return count;
}

static void rewinding(void)
{
    DIR *dir;

    OK(mkdir("dir", 0777));
    guest_write("dir/a", "x");
    dir = opendir("dir");
    CHECK_EQ(count_entries(dir), 3);
    CHECK_EQ(count_entries(dir), 0);
    guest_write("dir/b", "x");
    rewinddir(dir);
    CHECK_EQ(count_entries(dir), 4);
    OK(unlink("dir/a"));
    rewinddir(dir);
    CHECK_EQ(count_entries(dir), 3);
}

static void positions(void)
{
    char names[MANY + 2][256];
    struct dirent *entry;
    long middle = 0;
    int count = 0;
    DIR *dir;

    make_many("dir");
    dir = opendir("dir");
    while ((entry = readdir(dir))) {
        strncpy(names[count++], entry->d_name, 255);
        if (count == 100)
            middle = telldir(dir);
    }
    CHECK_EQ(count, MANY + 2);
    seekdir(dir, middle);
    for (int i = 100; i < count; i++) {
        entry = readdir(dir);
        CHECK(entry != NULL);
        CHECK_TEXT(entry->d_name, names[i]);
    }
}

static void removing_while_reading(void)
{
    struct dirent *entry;
    int removed = 0;
    DIR *dir;

    make_many("dir");
    dir = opendir("dir");
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            OK(unlinkat(dirfd(dir), entry->d_name, 0));
            removed++;
        }
    CHECK_EQ(removed, MANY);
    OK(rmdir("dir"));
}

static void small_buffers(void)
{
    char buffer[4096];
    int total = 0;
    int fd;

    make_many("dir");
    fd = (int)OK(open("dir", O_RDONLY | O_DIRECTORY));
    FAILS(syscall(SYS_getdents64, fd, buffer, 8), EINVAL);
    for (;;) {
        long got = OK(syscall(SYS_getdents64, fd, buffer, 64));

        if (got == 0)
            break;
        for (long at = 0; at < got; total++)
            at += ((struct dirent64 *)(buffer + at))->d_reclen;
    }
    CHECK_EQ(total, MANY + 2);
    OK(lseek(fd, 0, SEEK_SET));
    FAILS(syscall(SYS_getdents64, fd, 1, 4096), EFAULT);
    FAILS(syscall(SYS_getdents64, 999, buffer, sizeof(buffer)), EBADF);
    guest_write("file", "x");
    fd = (int)OK(open("file", O_RDONLY));
    FAILS(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), ENOTDIR);
}

static void shared_position(void)
{
    char buffer[65536];
    int fd;
    int copy;

    make_many("dir");
    fd = (int)OK(open("dir", O_RDONLY | O_DIRECTORY));
    copy = (int)OK(dup(fd));
    CHECK(OK(syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0);
    CHECK_EQ(OK(syscall(SYS_getdents64, copy, buffer, sizeof(buffer))), 0);
    OK(lseek(copy, 0, SEEK_SET));
    CHECK(OK(syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0);
    CHECK(read(fd, buffer, 10) < 0);
}

static void numbers_agree(void)
{
    struct dirent *entry;
    DIR *dir;

    OK(mkdir("dir", 0777));
    guest_write("dir/file", "x");
    OK(mkdir("dir/sub", 0777));
    OK(symlink("x", "dir/soft"));
    dir = opendir("dir");
    while ((entry = readdir(dir))) {
        struct stat stat_buf;

        OK(fstatat(dirfd(dir), entry->d_name, &stat_buf, AT_SYMLINK_NOFOLLOW));
        CHECK_EQ(entry->d_ino, stat_buf.st_ino);
        CHECK_EQ(entry->d_type, (stat_buf.st_mode & S_IFMT) >> 12);
    }
}

static void making_and_removing(void)
{
    struct stat stat_buf;

    OK(mkdir("dir", 0777));
    FAILS(mkdir("dir", 0777), EEXIST);
    guest_write("dir/file", "x");
    FAILS(rmdir("dir"), ENOTEMPTY);
    FAILS(rmdir("dir/file"), ENOTDIR);
    FAILS(rmdir("missing"), ENOENT);
    FAILS(unlink("dir"), EISDIR);
    OK(unlink("dir/file"));
    OK(rmdir("dir"));
    FAILS(stat("dir", &stat_buf), ENOENT);
    guest_write("dir", "now a file");
    guest_content("dir", "now a file");
}

static void reading_a_removed_one(void)
{
    DIR *dir;

    OK(mkdir("dir", 0777));
    dir = opendir("dir");
    OK(rmdir("dir"));
    CHECK(count_entries(dir) <= 2);
    FAILS(openat(dirfd(dir), "new", O_CREAT | O_WRONLY, 0666), ENOENT);
}

static void removed_and_made_again(void)
{
    DIR *dir;

    OK(mkdir("dir", 0777));
    guest_write("dir/old", "x");
    OK(unlink("dir/old"));
    OK(rmdir("dir"));
    OK(mkdir("dir", 0777));
    dir = opendir("dir");
    CHECK_EQ(count_entries(dir), 2);
    FAILS(open("dir/old", O_RDONLY), ENOENT);
}

static void moving_trees(void)
{
    OK(mkdir("a", 0777));
    OK(mkdir("a/b", 0777));
    OK(mkdir("other", 0777));
    guest_write("a/b/file", "deep");
    OK(rename("a", "other/a"));
    guest_content("other/a/b/file", "deep");
    OK(rename("other/a/b", "b"));
    guest_content("b/file", "deep");
    CHECK_EQ(OK(rmdir("other/a")), 0);
}

static void generated_ones(void)
{
    char own[32];
    struct dirent *entry;
    bool found = false;
    DIR *dir = opendir("/proc");

    CHECK(dir != NULL);
    snprintf(own, sizeof(own), "%d", getpid());
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, own) == 0)
            found = true;
    CHECK(found);
    rewinddir(dir);
    CHECK(count_entries(dir) > 10);
    dir = opendir("/dev");
    CHECK(dir != NULL && count_entries(dir) > 8);
    FAILS(mkdir("/proc/new", 0777), ENOENT);
}

static void watching(void)
{
    int fd = inotify_init1(IN_NONBLOCK);
    int watch;

    OK(fd);
    watch = inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE);
    OK(watch);
    FAILS(inotify_add_watch(fd, "missing", IN_CREATE), ENOENT);
    FAILS(inotify_add_watch(0 - 1, ".", IN_CREATE), EBADF);
    FAILS(inotify_add_watch(fd, ".", 0), EINVAL);
    OK(inotify_rm_watch(fd, watch));
}

static const struct guest_case cases[] = {
    {"reading", reading},
    {"rewinding", rewinding},
    {"positions", positions},
    {"removing-while-reading", removing_while_reading},
    {"small-buffers", small_buffers},
    {"shared-position", shared_position},
    {"numbers-agree", numbers_agree},
    {"making-and-removing", making_and_removing},
    {"reading-a-removed-one", reading_a_removed_one},
    {"removed-and-made-again", removed_and_made_again},
    {"moving-trees", moving_trees},
    {"generated-ones", generated_ones},
    {"watching", watching},
};

GUEST_MAIN(cases)
