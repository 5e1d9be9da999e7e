/* link, symlink, unlink, readlink. */
#define FAMILY "links"
#include "conform.h"

REFUSED(link_missing, "link(2) ENOENT", link("no", "x"), ENOENT)
REFUSED(link_pointer, "link(2) EFAULT", link(".", (char *)8), EFAULT)
REFUSED(link_directory, "link(2) EPERM", link(".", "x"), EPERM)
REFUSED(link_bad_flags, "linkat(2) EINVAL", linkat(AT_FDCWD, "a", AT_FDCWD, "b", 1), EINVAL)
REFUSED(link_other_file_system, "link(2) EXDEV", link("/proc/version", "x"), EXDEV)
REFUSED(unlink_missing, "unlink(2) ENOENT", unlink("no"), ENOENT)
REFUSED(unlink_empty, "unlink(2) ENOENT", unlink(""), ENOENT)
REFUSED(unlink_directory, "unlink(2) EISDIR", unlink("."), EISDIR)
REFUSED(unlink_bad_flags, "unlinkat(2) EINVAL", unlinkat(AT_FDCWD, "x", 1), EINVAL)
REFUSED(symlink_empty_target, "symlink(2) ENOENT", symlink("", "x"), ENOENT)
REFUSED(symlink_empty_name, "symlink(2) ENOENT", symlink("x", ""), ENOENT)
REFUSED(readlink_missing, "readlink(2) ENOENT", readlink("no", (char[8]){0}, 8), ENOENT)
REFUSED(readlink_directory, "readlink(2) EINVAL", readlink(".", (char[8]){0}, 8), EINVAL)
REFUSED(readlink_no_room, "readlink(2) EINVAL", readlink("/proc/self", (char[8]){0}, 0), EINVAL)
REFUSED(readlink_pointer, "readlink(2) EFAULT", readlink("/proc/self", (char *)8, 100), EFAULT)

CHECK(link_exists, "link(2) EEXIST")
{
    file("a", "");
    file("b", "");
    fails(link("a", "b"), EEXIST);
    fails(link("a", "a"), EEXIST);
    ok(symlink("no", "l"));
    fails(link("a", "l"), EEXIST);
}

CHECK(link_count, "link(2): one inode, one content")
{
    file("a", "one");
    ok(link("a", "b"));
    is(links_of("a"), 2);
    is(inode_of("a"), (long long)inode_of("b"));
    file("b", "two");
    content("a", "two");
    ok(unlink("a"));
    is(links_of("b"), 1);
    content("b", "two");
}

CHECK(link_of_link, "link(2): a symbolic link is not followed")
{
    struct stat status;

    file("f", "");
    ok(symlink("f", "l"));
    ok(link("l", "m"));
    ok(lstat("m", &status));
    must(S_ISLNK(status.st_mode));
    is(status.st_nlink, 2);
}

CHECK(link_follow, "linkat(2) AT_SYMLINK_FOLLOW")
{
    file("f", "");
    ok(symlink("f", "l"));
    ok(linkat(AT_FDCWD, "l", AT_FDCWD, "m", AT_SYMLINK_FOLLOW));
    is(inode_of("m"), (long long)inode_of("f"));
}

CHECK(link_to_missing_directory, "link(2) ENOENT, ENOTDIR")
{
    file("f", "");
    fails(link("f", "no/x"), ENOENT);
    fails(link("f", "f/x"), ENOTDIR);
    fails(link("f/x", "g"), ENOTDIR);
    fails(link("f", "x/"), ENOENT);
}

CHECK(link_needs_write, "link(2) EACCES")
{
    as_user();
    file("f", "");
    ok(mkdir("d", 0555));
    fails(link("f", "d/x"), EACCES);
}

CHECK(link_survives_changes, "link(2): attributes are of the inode")
{
    file("a", "x");
    ok(link("a", "b"));
    ok(chmod("b", 0600));
    is(mode_of("a"), 0600);
    ok(truncate("a", 100));
    is(size_of("b"), 100);
}

CHECK(unlink_changes_ctime, "inode(7): unlink changes the ctime of the file")
{
    struct stat before;
    struct stat after;

    file("a", "x");
    ok(link("a", "b"));
    ok(stat("a", &before));
    nap(12);
    ok(unlink("b"));
    ok(stat("a", &after));
    must(after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
         after.st_ctim.tv_nsec > before.st_ctim.tv_nsec);
    is(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

CHECK(unlink_trailing_slash, "unlink(2) ENOTDIR")
{
    file("f", "");
    fails(unlink("f/"), ENOTDIR);
    ok(mkdir("d", 0755));
    fails(unlink("d/"), EISDIR);
}

CHECK(unlink_link, "unlink(2): the link, not what it names")
{
    file("f", "");
    ok(symlink("f", "l"));
    ok(unlink("l"));
    must(exists("f"));
    must(!exists("l"));
}

CHECK(unlink_needs_write, "unlink(2) EACCES")
{
    as_user();
    ok(mkdir("d", 0755));
    file("d/f", "");
    ok(chmod("d", 0555));
    fails(unlink("d/f"), EACCES);
    fails(unlink("d/no"), ENOENT);
}

CHECK(unlink_needs_no_right_to_the_file, "unlink(2): the permission is the directory's")
{
    as_user();
    file("f", "");
    ok(chmod("f", 0));
    ok(unlink("f"));
}

CHECK(unlink_sticky, "unlink(2) EPERM in a sticky directory")
{
    as_root();
    ok(mkdir("d", 0777));
    ok(chmod("d", 01777));
    file("d/f", "");
    IN_CHILD
    {
        as_user();
        fails(unlink("d/f"), EPERM);
    }
}

CHECK(unlink_fifo_and_socket, "unlink(2): processes that have it open may go on")
{
    char text[4] = "";
    int fd;

    ok(mkfifo("p", 0644));
    fd = (int)ok(open("p", O_RDWR));
    ok(unlink("p"));
    is(write(fd, "abc", 3), 3);
    is(read(fd, text, 3), 3);
    same(text, "abc");
}

CHECK(symlink_exists, "symlink(2) EEXIST")
{
    file("f", "");
    fails(symlink("x", "f"), EEXIST);
    ok(symlink("no", "l"));
    fails(symlink("x", "l"), EEXIST);
    fails(symlink("x", "new/"), ENOENT);
}

CHECK(symlink_any_text, "symlink(2): the target is not looked at")
{
    char text[64] = "";

    ok(symlink("//any/../thing//", "l"));
    is(readlink("l", text, sizeof(text)), 16);
    same(text, "//any/../thing//");
    is(size_of("l"), 16);
}

CHECK(symlink_mode, "symlink(7): permissions are always 0777")
{
    umask(077);
    ok(symlink("x", "l"));
    is(mode_of("l"), 0777);
}

CHECK(symlink_longest, "symlink(2) ENAMETOOLONG")
{
    static char target[PATH_MAX + 2];
    static char text[PATH_MAX + 2];

    memset(target, 'x', PATH_MAX - 1);
    ok(symlink(target, "l"));
    is(readlink("l", text, sizeof(text)), PATH_MAX - 1);
    memset(target, 'x', PATH_MAX);
    fails(symlink(target, "m"), ENAMETOOLONG);
}

CHECK(readlink_cuts, "readlink(2): truncated silently, no zero")
{
    char text[8] = "#######";

    ok(symlink("abcdefgh", "l"));
    is(readlink("l", text, 3), 3);
    same(text, "abc####");
}

CHECK(readlink_file, "readlink(2) EINVAL")
{
    char text[8];

    file("f", "");
    fails(readlink("f", text, sizeof(text)), EINVAL);
    fails(readlinkat(AT_FDCWD, "", text, sizeof(text)), ENOENT);
}

CHECK(readlink_needs_search_only, "readlink(2) EACCES: search permission")
{
    char text[8];

    as_user();
    ok(mkdir("d", 0755));
    ok(symlink("x", "d/l"));
    ok(chmod("d", 0111));
    is(readlink("d/l", text, sizeof(text)), 1);
    ok(chmod("d", 0666));
    fails(readlink("d/l", text, sizeof(text)), EACCES);
}
