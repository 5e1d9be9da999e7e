/* rename, renameat, renameat2. */
#define FAMILY "rename"
#include "conform.h"

REFUSED(missing, "rename(2) ENOENT", rename("no", "x"), ENOENT)
REFUSED(empty_old, "rename(2) ENOENT", rename("", "x"), ENOENT)
REFUSED(bad_pointer, "rename(2) EFAULT", rename((char *)8, "x"), EFAULT)
REFUSED(bad_flags, "renameat2(2) EINVAL", renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 1 << 20), EINVAL)
REFUSED(both_flags, "renameat2(2) EINVAL",
        renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL)
REFUSED(bad_directory, "renameat(2) EBADF", renameat(-7, "a", AT_FDCWD, "b"), EBADF)

CHECK(empty_new, "rename(2) ENOENT")
{
    file("f", "");
    fails(rename("f", ""), ENOENT);
    fails(rename("f", "no/x"), ENOENT);
}

CHECK(replaces, "rename(2): newpath is replaced")
{
    ino_t inode;

    file("a", "one");
    file("b", "two");
    inode = inode_of("a");
    ok(rename("a", "b"));
    must(!exists("a"));
    is(inode_of("b"), (long long)inode);
    content("b", "one");
    is(count_names("."), 1);
}

CHECK(replaced_stays_open, "rename(2): open descriptors of newpath are unaffected")
{
    struct stat status;
    char text[4] = "";
    int fd;

    file("a", "one");
    file("b", "two");
    fd = (int)ok(open("b", O_RDONLY));
    ok(rename("a", "b"));
    is(read(fd, text, 3), 3);
    same(text, "two");
    ok(fstat(fd, &status));
    is(status.st_nlink, 0);
}

CHECK(open_descriptor_follows, "rename(2): open descriptors of oldpath are unaffected")
{
    int fd = (int)ok(open("a", O_RDWR | O_CREAT, 0644));

    ok(rename("a", "b"));
    is(write(fd, "text", 4), 4);
    content("b", "text");
}

CHECK(same_file, "rename(2): hard links of one file: nothing happens")
{
    file("a", "text");
    ok(link("a", "b"));
    ok(rename("a", "b"));
    must(exists("a"));
    must(exists("b"));
    is(links_of("a"), 2);
}

CHECK(itself, "rename(2): a name to itself")
{
    file("a", "text");
    ok(rename("a", "a"));
    content("a", "text");
    ok(mkdir("d", 0755));
    ok(rename("d", "d"));
}

CHECK(not_empty, "rename(2) ENOTEMPTY")
{
    ok(mkdir("a", 0755));
    ok(mkdir("b", 0755));
    file("b/f", "");
    must(rename("a", "b") == -1 && (errno == ENOTEMPTY || errno == EEXIST));
    must(exists("b/f"));
}

CHECK(empty_directory_is_replaced, "rename(2): an empty directory is replaced")
{
    ok(mkdir("a", 0755));
    file("a/f", "text");
    ok(mkdir("b", 0755));
    ok(rename("a", "b"));
    content("b/f", "text");
    must(!exists("a"));
}

CHECK(directory_over_file, "rename(2) ENOTDIR")
{
    ok(mkdir("d", 0755));
    file("f", "");
    fails(rename("d", "f"), ENOTDIR);
}

CHECK(file_over_directory, "rename(2) EISDIR")
{
    ok(mkdir("d", 0755));
    file("f", "");
    fails(rename("f", "d"), EISDIR);
    fails(rename("f", "d/"), ENOTDIR);
}

CHECK(into_itself, "rename(2) EINVAL")
{
    ok(mkdir("d", 0755));
    ok(mkdir("d/e", 0755));
    fails(rename("d", "d/x"), EINVAL);
    fails(rename("d", "d/e/x"), EINVAL);
    fails(rename("d", "d/e"), EINVAL);
}

CHECK(over_its_parent, "rename(2) ENOTEMPTY")
{
    ok(mkdir("d", 0755));
    ok(mkdir("d/e", 0755));
    fails(rename("d/e", "d"), ENOTEMPTY);
}

CHECK(dots, "rename(2) EBUSY for . and ..")
{
    ok(mkdir("d", 0755));
    fails(rename("d/.", "x"), EBUSY);
    fails(rename("d", "d/.."), EBUSY);
    fails(rename(".", "x"), EBUSY);
}

CHECK(link_itself, "rename(2): links are not followed")
{
    char text[16] = "";

    file("f", "");
    ok(symlink("f", "a"));
    file("b", "");
    ok(rename("a", "b"));
    is(readlink("b", text, sizeof(text)), 1);
    ok(rename("f", "a"));
    ok(symlink("a", "c"));
    ok(rename("b", "c"));
    must(exists("a"));
}

CHECK(dangling_target, "rename(2): newpath is a link: it is overwritten")
{
    struct stat status;

    file("f", "text");
    ok(symlink("no", "l"));
    ok(rename("f", "l"));
    ok(lstat("l", &status));
    must(S_ISREG(status.st_mode));
    must(!exists("no"));
}

CHECK(trailing_slash, "rename(2): a slash at the end asks for a directory")
{
    file("f", "");
    fails(rename("f/", "x"), ENOTDIR);
    fails(rename("f", "x/"), ENOTDIR);
    ok(mkdir("d", 0755));
    ok(rename("d/", "e/"));
    must(exists("e"));
}

CHECK(parents_count_links, "rename(2): .. moves along")
{
    ok(mkdir("a", 0755));
    ok(mkdir("b", 0755));
    ok(mkdir("a/d", 0755));
    ok(rename("a/d", "b/d"));
    is(inode_of("b/d/.."), (long long)inode_of("b"));
    is(count_names("a"), 0);
    is(count_names("b"), 1);
}

CHECK(no_replace, "renameat2(2) RENAME_NOREPLACE")
{
    file("a", "one");
    file("b", "two");
    fails(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    content("b", "two");
    ok(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    content("c", "one");
}

CHECK(no_replace_itself, "renameat2(2) RENAME_NOREPLACE: the same name exists")
{
    file("a", "");
    fails(renameat2(AT_FDCWD, "a", AT_FDCWD, "a", RENAME_NOREPLACE), EEXIST);
}

CHECK(no_replace_dangling, "renameat2(2) RENAME_NOREPLACE: a dangling link exists")
{
    file("a", "");
    ok(symlink("no", "l"));
    fails(renameat2(AT_FDCWD, "a", AT_FDCWD, "l", RENAME_NOREPLACE), EEXIST);
}

CHECK(exchange, "renameat2(2) RENAME_EXCHANGE")
{
    ino_t a;
    ino_t b;

    file("a", "one");
    ok(mkdir("b", 0755));
    file("b/f", "two");
    a = inode_of("a");
    b = inode_of("b");
    ok(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
    content("b", "one");
    content("a/f", "two");
    is(inode_of("a"), (long long)b);
    is(inode_of("b"), (long long)a);
}

CHECK(exchange_missing, "renameat2(2) RENAME_EXCHANGE ENOENT")
{
    file("a", "one");
    fails(renameat2(AT_FDCWD, "a", AT_FDCWD, "no", RENAME_EXCHANGE), ENOENT);
    content("a", "one");
}

CHECK(exchange_with_child, "renameat2(2) RENAME_EXCHANGE EINVAL")
{
    ok(mkdir("d", 0755));
    ok(mkdir("d/e", 0755));
    fails(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e", RENAME_EXCHANGE), EINVAL);
}

CHECK(needs_write, "rename(2) EACCES")
{
    as_user();
    ok(mkdir("d", 0755));
    file("d/f", "");
    ok(mkdir("e", 0755));
    file("e/f", "");
    ok(chmod("d", 0555));
    fails(rename("d/f", "x"), EACCES);
    fails(rename("e/f", "d/x"), EACCES);
    fails(rename("d/f", "d/g"), EACCES);
}

CHECK(sticky, "rename(2) EPERM in a sticky directory")
{
    as_root();
    ok(mkdir("d", 0777));
    ok(chmod("d", 01777));
    file("d/f", "");
    ok(chown("d/f", 1, 1));
    IN_CHILD
    {
        as_user();
        file("d/mine", "");
        fails(rename("d/f", "d/g"), EPERM);
        fails(rename("d/mine", "d/f"), EPERM);
        ok(rename("d/mine", "d/yours"));
    }
}

CHECK(other_file_system, "rename(2) EXDEV")
{
    file("f", "");
    must(rename("f", "/proc/x") == -1 && (errno == EXDEV || errno == EACCES || errno == EPERM));
    must(exists("f"));
}

CHECK(changes_ctime_not_mtime, "rename(2): mtime of the file is not changed")
{
    struct timespec times[2] = {{100, 0}, {200, 5}};
    struct stat status;

    file("f", "");
    ok(utimensat(AT_FDCWD, "f", times, 0));
    ok(rename("f", "g"));
    ok(stat("g", &status));
    is(status.st_mtim.tv_sec, 200);
    is(status.st_mtim.tv_nsec, 5);
    must(status.st_ctim.tv_sec > 1000);
}
CHECK(directories_change_mtime, "inode(7): mtime of both directories")
{
    struct timespec times[2] = {{100, 0}, {200, 0}};
    struct stat status;

    ok(mkdir("a", 0755));
    ok(mkdir("b", 0755));
    file("a/f", "");
    ok(utimensat(AT_FDCWD, "a", times, 0));
    ok(utimensat(AT_FDCWD, "b", times, 0));
    ok(rename("a/f", "b/f"));
    ok(stat("a", &status));
    must(status.st_mtim.tv_sec > 1000);
    ok(stat("b", &status));
    must(status.st_mtim.tv_sec > 1000);
}
