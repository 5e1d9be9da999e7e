/* Extended attributes. */
#define FAMILY "xattr"
#include "conform.h"

#include <sys/xattr.h>

/* A file on which user attributes work, or the check skips itself. */
static void attributed(void)
{
    file("f", "");
    if (setxattr("f", "user.a", "one", 3, 0) < 0 && errno == EOPNOTSUPP)
        skip("no user attributes here");
    must(getxattr("f", "user.a", NULL, 0) == 3);
}

REFUSED(get_missing_file, "getxattr(2) ENOENT", getxattr("no", "user.a", NULL, 0), ENOENT)
REFUSED(get_pointer, "getxattr(2) EFAULT", syscall(SYS_getxattr, ".", 8, NULL, 0), EFAULT)
REFUSED(get_empty_name, "getxattr(2) ERANGE", getxattr(".", "", NULL, 0), ERANGE)
REFUSED(set_flags, "setxattr(2) EINVAL", setxattr(".", "user.a", "x", 1, 8), EINVAL)
REFUSED(set_no_namespace, "setxattr(2) EOPNOTSUPP", setxattr(".", "nothing.a", "x", 1, 0),
        EOPNOTSUPP)
REFUSED(set_bad_descriptor, "fsetxattr(2) EBADF", fsetxattr(-1, "user.a", "x", 1, 0), EBADF)
REFUSED(set_too_large, "setxattr(2) E2BIG", setxattr(".", "user.a", "x", 65537, 0), E2BIG)
REFUSED(list_missing_file, "listxattr(2) ENOENT", listxattr("no", NULL, 0), ENOENT)
REFUSED(remove_missing_file, "removexattr(2) ENOENT", removexattr("no", "user.a"), ENOENT)

CHECK(long_name, "xattr(7) ERANGE: at most 255 bytes")
{
    char name[300] = "user.";

    attributed();
    memset(name + 5, 'n', 251);
    fails(setxattr("f", name, "x", 1, 0), ERANGE);
    name[255] = '\0';
    must(setxattr("f", name, "x", 1, 0) == 0 || errno == ENOSPC);
}

CHECK(round_trip, "setxattr(2), getxattr(2)")
{
    char value[8] = "";

    attributed();
    is(getxattr("f", "user.a", value, sizeof(value)), 3);
    same(value, "one");
    ok(setxattr("f", "user.a", "", 0, 0));
    is(getxattr("f", "user.a", value, sizeof(value)), 0);
}

CHECK(create_and_replace, "setxattr(2) XATTR_CREATE, XATTR_REPLACE")
{
    attributed();
    fails(setxattr("f", "user.a", "x", 1, XATTR_CREATE), EEXIST);
    fails(setxattr("f", "user.b", "x", 1, XATTR_REPLACE), ENODATA);
    ok(setxattr("f", "user.a", "two", 3, XATTR_REPLACE));
    ok(setxattr("f", "user.b", "x", 1, XATTR_CREATE));
}

CHECK(no_data, "getxattr(2) ENODATA")
{
    attributed();
    fails(getxattr("f", "user.none", NULL, 0), ENODATA);
    fails(removexattr("f", "user.none"), ENODATA);
}

CHECK(small_buffer, "getxattr(2) ERANGE")
{
    char value[2];

    attributed();
    fails(getxattr("f", "user.a", value, 2), ERANGE);
    fails(listxattr("f", value, 2), ERANGE);
}

CHECK(list_names, "listxattr(2)")
{
    char names[256];
    ssize_t size;
    int found = 0;

    attributed();
    ok(setxattr("f", "user.b", "x", 1, 0));
    size = ok(listxattr("f", NULL, 0));
    is(listxattr("f", names, sizeof(names)), size);
    for (char *at = names; at < names + size; at += strlen(at) + 1)
        found += strcmp(at, "user.a") == 0 || strcmp(at, "user.b") == 0;
    is(found, 2);
}

CHECK(remove_one, "removexattr(2)")
{
    attributed();
    ok(removexattr("f", "user.a"));
    fails(getxattr("f", "user.a", NULL, 0), ENODATA);
}

CHECK(by_descriptor, "fgetxattr(2), fsetxattr(2)")
{
    char value[8] = "";
    int fd;

    attributed();
    fd = (int)ok(open("f", O_RDONLY));
    is(fgetxattr(fd, "user.a", value, sizeof(value)), 3);
    ok(fsetxattr(fd, "user.b", "two", 3, 0));
    is(getxattr("f", "user.b", value, sizeof(value)), 3);
    ok(fremovexattr(fd, "user.b"));
    must(flistxattr(fd, NULL, 0) >= 7);
}

CHECK(path_descriptor, "open(2) O_PATH: fgetxattr EBADF")
{
    attributed();
    fails(fgetxattr((int)ok(open("f", O_PATH)), "user.a", NULL, 0), EBADF);
}

CHECK(of_links, "xattr(7): no user attributes on symbolic links")
{
    attributed();
    ok(symlink("f", "l"));
    is(getxattr("l", "user.a", NULL, 0), 3);
    fails(lsetxattr("l", "user.a", "x", 1, 0), EPERM);
    must(lgetxattr("l", "user.a", NULL, 0) == -1);
}

CHECK(of_fifos, "xattr(7): no user attributes on special files")
{
    attributed();
    ok(mkfifo("p", 0644));
    fails(setxattr("p", "user.a", "x", 1, 0), EPERM);
}

CHECK(of_directories, "xattr(7): user attributes on directories")
{
    attributed();
    ok(mkdir("d", 0755));
    ok(setxattr("d", "user.a", "dir", 3, 0));
    is(getxattr("d", "user.a", NULL, 0), 3);
}

CHECK(need_permission, "xattr(7): as the content")
{
    as_user();
    attributed();
    ok(chmod("f", 0));
    fails(getxattr("f", "user.a", NULL, 0), EACCES);
    fails(setxattr("f", "user.a", "x", 1, 0), EACCES);
    ok(listxattr("f", NULL, 0));
}

CHECK(trusted_needs_capability, "xattr(7): trusted attributes")
{
    file("f", "");
    as_user();
    must(setxattr("f", "trusted.a", "x", 1, 0) == -1 && (errno == EPERM || errno == EOPNOTSUPP));
    must(getxattr("f", "trusted.a", NULL, 0) == -1 && (errno == ENODATA || errno == EOPNOTSUPP));
}

CHECK(survive_rename, "xattr(7): attributes are of the inode")
{
    attributed();
    ok(rename("f", "g"));
    ok(link("g", "h"));
    is(getxattr("h", "user.a", NULL, 0), 3);
}

CHECK(change_ctime, "inode(7): setxattr changes ctime, not mtime")
{
    struct timespec times[2] = {{100, 0}, {200, 0}};
    struct stat status;

    attributed();
    ok(utimensat(AT_FDCWD, "f", times, 0));
    ok(setxattr("f", "user.a", "x", 1, 0));
    ok(stat("f", &status));
    is(status.st_mtim.tv_sec, 200);
    must(status.st_ctim.tv_sec > 1000);
}

CHECK(are_not_inherited, "xattr(7): a new file has none")
{
    attributed();
    ok(unlink("f"));
    file("f", "");
    fails(getxattr("f", "user.a", NULL, 0), ENODATA);
}
