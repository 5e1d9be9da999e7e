/* From a path to an object, as path_resolution(7) says. */
#include "guest.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void same_object(const char *a, const char *b)
{
    struct stat first;
    struct stat second;

    OK(stat(a, &first));
    OK(stat(b, &second));
    if (first.st_ino != second.st_ino || first.st_dev != second.st_dev)
        FAIL("%s and %s are not the same object", a, b);
}

static void make_chain(int length)
{
    char name[32];
    char target[32];

    guest_write("end", "the end\n");
    OK(symlink("end", "link-1"));
    for (int i = 2; i <= length; i++) {
        snprintf(name, sizeof(name), "link-%d", i);
        snprintf(target, sizeof(target), "link-%d", i - 1);
        OK(symlink(target, name));
    }
}

static void symlink_limit(void)
{
    struct stat stat_buf;

    make_chain(42);
    guest_content("link-1", "the end\n");
    guest_content("link-40", "the end\n");
    FAILS(open("link-41", O_RDONLY), ELOOP);
    FAILS(stat("link-42", &stat_buf), ELOOP);
    /* Not following the last one saves one. */
    OK(lstat("link-42", &stat_buf));
    CHECK(S_ISLNK(stat_buf.st_mode));
}

static void symlink_limit_counts_all(void)
{
    char path[1024] = "";

    /* 41 times through the same link is as bad as through 41 links. */
    OK(symlink(".", "here"));
    guest_write("file", "x");
    for (int i = 0; i < 40; i++)
        strncat(path, "here/", sizeof(path) - strlen(path) - 1);
    strncat(path, "file", sizeof(path) - strlen(path) - 1);
    guest_content(path, "x");
    memmove(path + 5, path, strlen(path) + 1);
    memcpy(path, "here/", 5);
    FAILS(open(path, O_RDONLY), ELOOP);
}

static void symlink_loops(void)
{
    struct stat stat_buf;

    OK(symlink("b", "a"));
    OK(symlink("a", "b"));
    OK(symlink("self", "self"));
    FAILS(open("a", O_RDONLY), ELOOP);
    FAILS(stat("self", &stat_buf), ELOOP);
    FAILS(open("self/x", O_RDONLY), ELOOP);
    FAILS(chdir("a"), ELOOP);
    FAILS(open("a", O_RDONLY | O_CREAT, 0666), ELOOP);
    FAILS(mkdir("a", 0777), EEXIST);
    FAILS(rename("self/x", "y"), ELOOP);
    OK(unlink("self"));
}

static void symlink_targets(void)
{
    char *cwd = guest_cwd();
    char *target = guest_format("%s/deep/er", cwd);

    OK(mkdir("deep", 0777));
    OK(mkdir("deep/er", 0777));
    guest_write("deep/file", "file in deep");
    guest_write("file", "file here");
    OK(symlink(target, "absolute"));
    OK(symlink("deep/er", "relative"));
    OK(symlink("../file", "deep/up"));
    OK(symlink("deep//er/", "slashes"));
    /* ".." after a link is the parent of where the link leads. */
    guest_content("absolute/../file", "file in deep");
    guest_content("relative/../file", "file in deep");
    guest_content("slashes/../file", "file in deep");
    guest_content("deep/up", "file here");
    guest_content("deep/er/../up", "file here");
    guest_content("./deep/././er/../../file", "file here");
    guest_content("deep//er///..//file", "file in deep");
}

static void dotdot_at_root(void)
{
    same_object("/", "/..");
    same_object("/", "/../../../..");
    same_object("/", "/./../.");
    same_object("/dev", "/../dev");
    OK(chdir("/"));
    OK(chdir(".."));
    CHECK_TEXT(guest_cwd(), "/");
    CHECK_TEXT((OK(chdir("/dev")), guest_cwd()), "/dev");
    OK(chdir("../.."));
    CHECK_TEXT(guest_cwd(), "/");
}

static void through_what_is_no_directory(void)
{
    struct stat stat_buf;

    guest_write("file", "x");
    OK(symlink("nowhere", "dangling"));
    FAILS(open("file/x", O_RDONLY), ENOTDIR);
    FAILS(open("file/..", O_RDONLY), ENOTDIR);
    FAILS(open("file/.", O_RDONLY), ENOTDIR);
    FAILS(open("missing/..", O_RDONLY), ENOENT);
    FAILS(open("missing/../file", O_RDONLY), ENOENT);
    FAILS(open("dangling", O_RDONLY), ENOENT);
    FAILS(open("dangling/x", O_RDONLY), ENOENT);
    FAILS(stat("dangling", &stat_buf), ENOENT);
    OK(lstat("dangling", &stat_buf));
    FAILS(mkdir("file/new", 0777), ENOTDIR);
    FAILS(mkdir("missing/new", 0777), ENOENT);
    FAILS(chdir("file"), ENOTDIR);
    FAILS(chdir("missing"), ENOENT);
}

static void trailing_slashes_existing(void)
{
    struct stat stat_buf;
    char buffer[64];

    OK(mkdir("dir", 0777));
    guest_write("file", "x");
    OK(symlink("dir", "to-dir"));
    OK(symlink("file", "to-file"));
    OK(close((int)OK(open("dir/", O_RDONLY))));
    OK(close((int)OK(open("dir///", O_RDONLY | O_DIRECTORY))));
    FAILS(open("file/", O_RDONLY), ENOTDIR);
    FAILS(open("to-file/", O_RDONLY), ENOTDIR);
    FAILS(stat("file/", &stat_buf), ENOTDIR);
    FAILS(unlink("file/"), ENOTDIR);
    FAILS(unlink("to-dir/"), ENOTDIR);
    FAILS(rmdir("to-dir/"), ENOTDIR);
    FAILS(rmdir("to-dir"), ENOTDIR);
    OK(lstat("to-dir/", &stat_buf));
    CHECK(S_ISDIR(stat_buf.st_mode));
    OK(lstat("to-dir", &stat_buf));
    CHECK(S_ISLNK(stat_buf.st_mode));
    FAILS(readlink("to-dir/", buffer, sizeof(buffer)), EINVAL);
    FAILS(rename("to-dir/", "other"), ENOTDIR);
    FAILS(rename("file/", "other"), ENOTDIR);
    FAILS(truncate("file/", 0), ENOTDIR);
    OK(close((int)OK(open("to-dir/", O_RDONLY | O_NOFOLLOW))));
}

static void trailing_slashes_new(void)
{
    OK(mkdir("dir", 0777));
    guest_write("file", "x");
    OK(symlink("nowhere", "dangling"));
    OK(mkdir("new/", 0777));
    OK(rename("new/", "newer/"));
    OK(rmdir("newer//"));
    FAILS(open("new/", O_RDONLY | O_CREAT, 0666), EISDIR);
    FAILS(rename("file", "other/"), ENOTDIR);
    FAILS(symlink("x", "name/"), ENOENT);
    FAILS(link("file", "name/"), ENOENT);
    FAILS(mknod("name/", S_IFIFO | 0666, 0), ENOENT);
    FAILS(mkdir("dangling", 0777), EEXIST);
    FAILS(mkdir("dangling/", 0777), EEXIST);
    FAILS(mkdir("dir/", 0777), EEXIST);
    FAILS(mkdir("file/", 0777), EEXIST);
}

static void last_component_special(void)
{
    OK(mkdir("dir", 0777));
    OK(mkdir("dir/sub", 0777));
    OK(chdir("dir"));
    FAILS(rmdir("."), EINVAL);
    FAILS(rmdir(".."), ENOTEMPTY);
    FAILS(rmdir("sub/."), EINVAL);
    FAILS(rmdir("sub/.."), ENOTEMPTY);
    FAILS(rmdir("/"), EBUSY);
    FAILS(unlink("."), EISDIR);
    FAILS(unlink("/"), EISDIR);
    FAILS(unlink("sub"), EISDIR);
    FAILS(mkdir(".", 0777), EEXIST);
    FAILS(mkdir("..", 0777), EEXIST);
    FAILS(mkdir("/", 0777), EEXIST);
    FAILS(symlink("x", "."), EEXIST);
    FAILS(rename(".", "other"), EBUSY);
    FAILS(rename("..", "other"), EBUSY);
    FAILS(rename("sub", ".."), EBUSY);
    FAILS(open(".", O_RDWR), EISDIR);
    FAILS(open(".", O_WRONLY | O_CREAT, 0666), EISDIR);
    FAILS(open("..", O_RDONLY | O_CREAT | O_EXCL, 0666), EEXIST);
}

static void empty_paths(void)
{
    struct stat stat_buf;
    struct stat other;
    char buffer[64];
    int fd;

    FAILS(open("", O_RDONLY), ENOENT);
    FAILS(open("", O_RDONLY | O_CREAT, 0666), ENOENT);
    FAILS(stat("", &stat_buf), ENOENT);
    FAILS(chdir(""), ENOENT);
    FAILS(mkdir("", 0777), ENOENT);
    FAILS(unlink(""), ENOENT);
    FAILS(rename("", "x"), ENOENT);
    FAILS(readlink("", buffer, sizeof(buffer)), ENOENT);
    FAILS(symlink("", "x"), ENOENT);
    guest_write("file", "12345");
    fd = (int)OK(open("file", O_RDONLY));
    OK(fstatat(fd, "", &stat_buf, AT_EMPTY_PATH));
    CHECK_EQ(stat_buf.st_size, 5);
    FAILS(fstatat(fd, "", &stat_buf, 0), ENOENT);
    FAILS(fstatat(fd, "x", &stat_buf, AT_EMPTY_PATH), ENOTDIR);
    OK(fstatat(AT_FDCWD, "", &stat_buf, AT_EMPTY_PATH));
    OK(stat(".", &other));
    CHECK_EQ(stat_buf.st_ino, other.st_ino);
    OK(fchownat(fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH));
    FAILS(fstatat(999, "", &stat_buf, AT_EMPTY_PATH), EBADF);
}

static void name_lengths(void)
{
    char name[300];
    char path[5000];
    struct stat stat_buf;

    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    guest_write(name, "long name");
    guest_content(name, "long name");
    OK(unlink(name));
    name[255] = 'n';
    name[256] = '\0';
    FAILS(open(name, O_RDONLY), ENAMETOOLONG);
    FAILS(open(name, O_WRONLY | O_CREAT, 0666), ENAMETOOLONG);
    FAILS(mkdir(name, 0777), ENAMETOOLONG);
    FAILS(stat(name, &stat_buf), ENAMETOOLONG);
    /* A path has 4096 bytes with its terminator. */
    guest_write("f", "x");
    memset(path, '/', sizeof(path));
    for (size_t i = 0; i < 4094; i += 2)
        path[i] = '.';
    memcpy(path + 4094, "f", 2);
    CHECK_EQ(strlen(path), 4095);
    guest_content(path, "x");
    memcpy(path + 4094, "/f", 3);
    FAILS(open(path, O_RDONLY), ENAMETOOLONG);
    memset(path, 'p', sizeof(path));
    path[4999] = '\0';
    FAILS(open(path, O_RDONLY), ENAMETOOLONG);
    FAILS(symlink(path, "s"), ENAMETOOLONG);
}

static void deep_directories(void)
{
    enum { DEPTH = 60 };
    char name[101];
    char *path;

    /* The path from "/" gets longer than PATH_MAX; relative ones still work. */
    memset(name, 'd', 100);
    name[100] = '\0';
    for (int i = 0; i < DEPTH; i++) {
        OK(mkdir(name, 0777));
        OK(chdir(name));
    }
    guest_write("file", "deep");
    guest_content("file", "deep");
    path = getcwd(NULL, 0);
    if (path == NULL && errno != ENAMETOOLONG && errno != ERANGE)
        FAIL("getcwd: %s", strerror(errno));
    for (int i = 0; i < DEPTH; i++)
        OK(chdir(".."));
    OK(chdir(name));
}

static void bad_pointers(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct stat stat_buf;
    char *end = memory + page;

    CHECK(memory != MAP_FAILED);
    OK(munmap(end, page));
    guest_write("file", "x");
    FAILS(open((const char *)1, O_RDONLY), EFAULT);
    FAILS(open(NULL, O_RDONLY), EFAULT);
    FAILS(syscall(SYS_stat, "file", 1), EFAULT);
    FAILS(syscall(SYS_mkdir, -4096L, 0777), EFAULT);
    /* A string may end with the last byte of a page, and may not go on into nothing. */
    memcpy(end - 5, "file", 5);
    OK(stat(end - 5, &stat_buf));
    memcpy(end - 4, "file", 4);
    FAILS(stat(end - 4, &stat_buf), EFAULT);
    FAILS(rename("file", end - 4), EFAULT);
    OK(stat("file", &stat_buf));
}

static void directory_descriptors(void)
{
    struct stat stat_buf;
    int dir;
    int file;

    OK(mkdir("dir", 0777));
    guest_write("dir/file", "in dir");
    dir = (int)OK(open("dir", O_RDONLY | O_DIRECTORY));
    file = (int)OK(openat(dir, "file", O_RDONLY));
    OK(fstatat(dir, "file", &stat_buf, 0));
    FAILS(openat(file, "x", O_RDONLY), ENOTDIR);
    FAILS(openat(999, "x", O_RDONLY), EBADF);
    OK(fstatat(999, "/", &stat_buf, 0));
    OK(mkdirat(dir, "sub", 0777));
    OK(renameat(dir, "file", AT_FDCWD, "moved"));
    guest_content("moved", "in dir");
    /* A descriptor follows its directory wherever that goes. */
    OK(rename("dir", "renamed"));
    OK(symlinkat("sub", dir, "link"));
    CHECK_TEXT(guest_link("renamed/link"), "sub");
    OK(unlinkat(dir, "link", 0));
    FAILS(unlinkat(dir, "sub", 0), EISDIR);
    OK(unlinkat(dir, "sub", AT_REMOVEDIR));
    OK(fchdir(dir));
    CHECK(strstr(guest_cwd(), "/renamed") != NULL);
    FAILS(fchdir(file), ENOTDIR);
    FAILS(fchdir(999), EBADF);
}

static void renamed_working_directory(void)
{
    char *start = guest_cwd();

    OK(mkdir("a", 0777));
    OK(mkdir("a/b", 0777));
    OK(chdir("a/b"));
    OK(rename("../../a", "../../c"));
    CHECK_TEXT(guest_cwd(), guest_format("%s/c/b", start));
    guest_write("file", "x");
    OK(chdir(".."));
    CHECK_TEXT(guest_cwd(), guest_format("%s/c", start));
    guest_content("b/file", "x");
}

static void removed_working_directory(void)
{
    char buffer[4096];
    struct stat stat_buf;

    OK(mkdir("gone", 0777));
    OK(chdir("gone"));
    OK(rmdir("../gone"));
    FAILS(syscall(SYS_getcwd, buffer, sizeof(buffer)), ENOENT);
    FAILS(open("x", O_WRONLY | O_CREAT, 0666), ENOENT);
    FAILS(mkdir("x", 0777), ENOENT);
    FAILS(open("x", O_RDONLY), ENOENT);
    OK(stat(".", &stat_buf));
    OK(chdir(".."));
}

static long openat2_call(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .resolve = resolve};

    return syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static void openat2_resolve(void)
{
    int dir;
    long fd;

    OK(mkdir("dir", 0777));
    OK(mkdir("dir/sub", 0777));
    guest_write("dir/file", "inside");
    guest_write("outside", "outside");
    OK(symlink("file", "dir/link"));
    OK(symlink("../outside", "dir/out"));
    OK(symlink("/file", "dir/root-link"));
    dir = (int)OK(open("dir", O_RDONLY));
    OK(openat2_call(dir, "sub/../link", O_RDONLY, RESOLVE_BENEATH));
    FAILS(openat2_call(dir, "../outside", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    FAILS(openat2_call(dir, "out", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    FAILS(openat2_call(dir, "/file", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    FAILS(openat2_call(dir, "link", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    OK(openat2_call(dir, "file", O_RDONLY, RESOLVE_NO_SYMLINKS));
    OK(openat2_call(dir, "/file", O_RDONLY, RESOLVE_IN_ROOT));
    OK(openat2_call(dir, "root-link", O_RDONLY, RESOLVE_IN_ROOT));
    OK(openat2_call(dir, "../../../file", O_RDONLY, RESOLVE_IN_ROOT));
    FAILS(openat2_call(dir, "out", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
    fd = OK(openat2_call(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0));
    FAILS(openat2_call(AT_FDCWD, "/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
    OK(close((int)fd));
}

static void openat2_arguments(void)
{
    struct {
        struct open_how how;
        uint64_t more;
    } big = {.how = {.flags = O_RDONLY}};

    guest_write("file", "x");
    FAILS(openat2_call(AT_FDCWD, "file", O_RDONLY, 1ULL << 40), EINVAL);
    FAILS(openat2_call(AT_FDCWD, "file", 1ULL << 40, 0), EINVAL);
    FAILS(openat2_call(AT_FDCWD, "file", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
    FAILS(syscall(SYS_openat2, AT_FDCWD, "file", &big, 8), EINVAL);
    OK(syscall(SYS_openat2, AT_FDCWD, "file", &big, sizeof(big)));
    big.more = 1;
    FAILS(syscall(SYS_openat2, AT_FDCWD, "file", &big, sizeof(big)), E2BIG);
    big.how.mode = 0666;
    FAILS(syscall(SYS_openat2, AT_FDCWD, "file", &big.how, sizeof(big.how)), EINVAL);
}

static void search_permission_body(void)
{
    struct stat stat_buf;

    FAILS(stat("closed/file", &stat_buf), EACCES);
    FAILS(open("closed/missing", O_RDONLY), EACCES);
    FAILS(chdir("closed"), EACCES);
    FAILS(open("closed/../closed/file", O_RDONLY), EACCES);
    FAILS(open("secret", O_RDONLY), EACCES);
    FAILS(open("read-only/new", O_WRONLY | O_CREAT, 0666), EACCES);
    FAILS(mkdir("read-only/new", 0777), EACCES);
    FAILS(unlink("read-only/file"), EACCES);
    guest_content("read-only/file", "x");
    FAILS(access("secret", R_OK), EACCES);
    OK(access("secret", F_OK));
}

static void search_permission(void)
{
    OK(mkdir("closed", 0777));
    OK(mkdir("read-only", 0777));
    guest_write("closed/file", "x");
    guest_write("read-only/file", "x");
    guest_write("secret", "x");
    OK(chmod("secret", 0000));
    OK(chmod("closed", 0000));
    OK(chmod("read-only", 0555));
    if (geteuid() == 0)
        guest_as(12345, search_permission_body);
    else
        search_permission_body();
}

static void sticky_stranger(void)
{
    FAILS(unlink("sticky/file"), EPERM);
    FAILS(rename("sticky/file", "sticky/other"), EPERM);
    FAILS(rmdir("sticky/dir"), EPERM);
    guest_write("sticky/own", "mine");
    OK(rename("sticky/own", "sticky/renamed"));
    FAILS(rename("sticky/renamed", "sticky/file"), EPERM);
    OK(unlink("sticky/renamed"));
}

static void sticky_owner(void)
{
    OK(rename("sticky/file", "sticky/other"));
    OK(unlink("sticky/other"));
    OK(rmdir("sticky/dir"));
}

static void sticky_maker(void)
{
    guest_write("sticky/file", "x");
    OK(mkdir("sticky/dir", 0777));
}

static void sticky_directory(void)
{
    if (geteuid() != 0)
        guest_skip("needs to be root to have two users");
    OK(mkdir("sticky", 0777));
    OK(chmod("sticky", 01777));
    guest_as(1001, sticky_maker);
    guest_as(1002, sticky_stranger);
    guest_as(1001, sticky_owner);
}

static const struct guest_case cases[] = {
    {"symlink-limit", symlink_limit},
    {"symlink-limit-counts-all", symlink_limit_counts_all},
    {"symlink-loops", symlink_loops},
    {"symlink-targets", symlink_targets},
    {"dotdot-at-root", dotdot_at_root},
    {"through-what-is-no-directory", through_what_is_no_directory},
    {"trailing-slashes-existing", trailing_slashes_existing},
    {"trailing-slashes-new", trailing_slashes_new},
    {"last-component-special", last_component_special},
    {"empty-paths", empty_paths},
    {"name-lengths", name_lengths},
    {"deep-directories", deep_directories},
    {"bad-pointers", bad_pointers},
    {"directory-descriptors", directory_descriptors},
    {"renamed-working-directory", renamed_working_directory},
    {"removed-working-directory", removed_working_directory},
    {"openat2-resolve", openat2_resolve},
    {"openat2-arguments", openat2_arguments},
    {"search-permission", search_permission},
    {"sticky-directory", sticky_directory},
};

GUEST_MAIN(cases)
