/* Path resolution: path_resolution(7), symlink(7), chdir, getcwd, chroot. */
#define FAMILY "paths"
#include "conform.h"

REFUSED(chdir_missing, "chdir(2) ENOENT", chdir("no"), ENOENT)
REFUSED(chdir_empty, "chdir(2) ENOENT", chdir(""), ENOENT)
REFUSED(chdir_pointer, "chdir(2) EFAULT", chdir((char *)8), EFAULT)
REFUSED(fchdir_bad, "fchdir(2) EBADF", fchdir(-1), EBADF)
REFUSED(getcwd_too_small, "getcwd(2) ERANGE", syscall(SYS_getcwd, (char[1]){0}, 1), ERANGE)
REFUSED(getcwd_pointer, "getcwd(2) EFAULT", syscall(SYS_getcwd, (char *)8, 4096), EFAULT)

CHECK(chdir_file, "chdir(2) ENOTDIR")
{
    file("f", "");
    fails(chdir("f"), ENOTDIR);
    fails(fchdir((int)ok(open("f", O_RDONLY))), ENOTDIR);
}

CHECK(chdir_needs_search, "chdir(2) EACCES")
{
    as_user();
    ok(mkdir("d", 0600));
    fails(chdir("d"), EACCES);
    fails(fchdir((int)ok(open("d", O_RDONLY))), EACCES);
}

CHECK(getcwd_length, "getcwd(2): the system call returns the length with the zero")
{
    char path[PATH_MAX];

    long length = ok(syscall(SYS_getcwd, path, sizeof(path)));

    is(length, (long long)strlen(path) + 1);
}

CHECK(getcwd_removed, "getcwd(3) ENOENT in a removed directory")
{
    char path[PATH_MAX];

    ok(mkdir("d", 0755));
    ok(chdir("d"));
    ok(rmdir("../d"));
    fails(syscall(SYS_getcwd, path, sizeof(path)), ENOENT);
    fails(open("x", O_WRONLY | O_CREAT, 0644), ENOENT);
    fails(mkdir("x", 0755), ENOENT);
    ok(access(".", F_OK));
}

CHECK(up_from_removed, "path_resolution(7): .. of a removed directory still works")
{
    file("f", "");
    ok(mkdir("d", 0755));
    ok(chdir("d"));
    ok(rmdir("../d"));
    ok(access("../f", F_OK));
    ok(chdir(".."));
    ok(access("f", F_OK));
}

CHECK(directory_moves_along, "getcwd(2): the name after a rename")
{
    char path[PATH_MAX];

    ok(mkdir("d", 0755));
    ok(mkdir("e", 0755));
    ok(chdir("d"));
    ok(rename("../d", "../e/n"));
    ok(syscall(SYS_getcwd, path, sizeof(path)));
    same(strrchr(path, '/'), "/n");
    ok(chdir(".."));
    ok(syscall(SYS_getcwd, path, sizeof(path)));
    same(strrchr(path, '/'), "/e");
}

CHECK(descriptor_moves_along, "openat(2): dirfd is a directory, not a name")
{
    int fd;

    ok(mkdir("d", 0755));
    fd = (int)ok(open("d", O_RDONLY));
    ok(rename("d", "n"));
    ok(openat(fd, "f", O_WRONLY | O_CREAT, 0644));
    must(exists("n/f"));
}

CHECK(root_is_its_parent, "path_resolution(7): /.. is /")
{
    is(inode_of("/.."), inode_of("/"));
    is(inode_of("/../../."), inode_of("/"));
}

CHECK(slashes, "path_resolution(7): many slashes are one")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    ok(access(".//d///f", F_OK));
    ok(access("././d/./f", F_OK));
    ok(access("d//", F_OK));
}

CHECK(loop, "path_resolution(7) ELOOP")
{
    ok(symlink("b", "a"));
    ok(symlink("a", "b"));
    fails(open("a", O_RDONLY), ELOOP);
    fails(access("a/x", F_OK), ELOOP);
    fails(chdir("a"), ELOOP);
    fails(mkdir("a/x", 0755), ELOOP);
}

CHECK(forty_links, "path_resolution(7): at most 40 links")
{
    char name[32] = "f";
    char next[32];

    file("f", "");
    for (int i = 0; i < 41; i++) {
        snprintf(next, sizeof(next), "l%d", i);
        ok(symlink(name, next));
        snprintf(name, sizeof(name), "%s", next);
    }
    ok(access("l39", F_OK));
    fails(access("l40", F_OK), ELOOP);
}

CHECK(link_to_directory_with_slash, "symlink(7): a trailing slash follows the link")
{
    struct stat status;

    ok(mkdir("d", 0755));
    ok(symlink("d", "l"));
    ok(lstat("l", &status));
    must(S_ISLNK(status.st_mode));
    ok(lstat("l/", &status));
    must(S_ISDIR(status.st_mode));
}

CHECK(link_to_file_with_slash, "path_resolution(7) ENOTDIR")
{
    struct stat status;

    file("f", "");
    ok(symlink("f", "l"));
    fails(lstat("l/", &status), ENOTDIR);
    fails(unlink("l/"), ENOTDIR);
    must(exists("l"));
}

CHECK(dangling, "path_resolution(7) ENOENT")
{
    struct stat status;

    ok(symlink("no", "l"));
    fails(stat("l", &status), ENOENT);
    fails(chmod("l", 0600), ENOENT);
    fails(truncate("l", 0), ENOENT);
    fails(chdir("l"), ENOENT);
    ok(lstat("l", &status));
}

CHECK(relative_link, "symlink(7): relative to the directory of the link")
{
    ok(mkdir("d", 0755));
    file("d/f", "inner");
    file("f", "outer");
    ok(symlink("f", "d/l"));
    content("d/l", "inner");
    ok(symlink("../f", "d/m"));
    content("d/m", "outer");
}

CHECK(dot_dot_of_link, "path_resolution(7): .. of a linked directory is its real parent")
{
    ok(mkdir("d", 0755));
    ok(mkdir("d/e", 0755));
    file("d/f", "");
    ok(symlink("d/e", "l"));
    ok(access("l/../f", F_OK));
}

CHECK(path_too_long, "path_resolution(7) ENAMETOOLONG")
{
    static char path[PATH_MAX + 2];

    memset(path, '/', sizeof(path));
    path[PATH_MAX] = '\0';
    fails(access(path, F_OK), ENAMETOOLONG);
    path[PATH_MAX - 1] = '\0';
    ok(access(path, F_OK));
}

CHECK(deep_tree, "path_resolution(7): deeper than PATH_MAX, step by step")
{
    static char path[2 * PATH_MAX];
    char name[201];

    memset(name, 'd', 200);
    name[200] = '\0';
    for (int i = 0; i < 25; i++) {
        ok(mkdir(name, 0755));
        ok(chdir(name));
    }
    file("f", "text");
    content("f", "text");
    fails(syscall(SYS_getcwd, path, 4096), ENAMETOOLONG);
    for (int i = 0; i < 25; i++) {
        if (i == 0)
            ok(unlink("f"));
        ok(chdir(".."));
        ok(rmdir(name));
    }
}

static void *enter(void *path)
{
    ok(chdir(path));
    return NULL;
}

CHECK(directory_is_shared_by_threads, "clone(2) CLONE_FS: threads have one directory")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    end_of(start(enter, (void *)"d"));
    ok(access("f", F_OK));
}

CHECK(directory_is_not_shared_by_children, "fork(2): a copy of the directory")
{
    ok(mkdir("d", 0755));
    IN_CHILD ok(chdir("d"));
    ok(access("d", F_OK));
}

CHECK(prefix_needs_search, "path_resolution(7) EACCES")
{
    struct stat status;

    as_user();
    ok(mkdir("d", 0755));
    file("d/f", "");
    ok(chmod("d", 0600));
    fails(stat("d/f", &status), EACCES);
    fails(stat("d/none", &status), EACCES);
    fails(open("d/f", O_RDONLY), EACCES);
    fails(unlink("d/f"), EACCES);
    fails(stat("d/.", &status), EACCES);
    ok(count_names("d"));
}

CHECK(missing_wins_over_file, "path_resolution(7): the first wrong component counts")
{
    file("f", "");
    fails(open("no/../f", O_RDONLY), ENOENT);
    fails(open("f/../f", O_RDONLY), ENOTDIR);
    fails(open("f/.", O_RDONLY), ENOTDIR);
}

CHECK(chroot_is_for_root, "chroot(2) EPERM")
{
    as_user();
    fails(chroot("."), EPERM);
}

CHECK(chroot_confines, "chroot(2)")
{
    as_root();
    if (!has_capability(18))
        skip("needs CAP_SYS_CHROOT");
    ok(mkdir("r", 0755));
    file("r/f", "inner");
    ok(chroot("r"));
    content("/f", "inner");
    ok(chdir("/"));
    content("../../f", "inner");
    fails(chroot("/no"), ENOENT);
    fails(chroot("/f"), ENOTDIR);
}

CHECK(non_utf8_names, "path_resolution(7): names are bytes")
{
    file("\xff\xfe\x01", "");
    must(has_name(".", "\xff\xfe\x01"));
    ok(unlink("\xff\xfe\x01"));
}
