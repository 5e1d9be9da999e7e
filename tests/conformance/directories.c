/* mkdir, rmdir, getdents, mknod. */
#define FAMILY "directories"
#include "conform.h"

#include <sys/sysmacros.h>

REFUSED(mkdir_exists, "mkdir(2) EEXIST", mkdir(".", 0755), EEXIST)
REFUSED(mkdir_root, "mkdir(2) EEXIST", mkdir("/", 0755), EEXIST)
REFUSED(mkdir_missing_parent, "mkdir(2) ENOENT", mkdir("no/d", 0755), ENOENT)
REFUSED(mkdir_empty, "mkdir(2) ENOENT", mkdir("", 0755), ENOENT)
REFUSED(mkdir_pointer, "mkdir(2) EFAULT", mkdir((char *)8, 0755), EFAULT)
REFUSED(rmdir_dot, "rmdir(2) EINVAL", rmdir("."), EINVAL)
REFUSED(rmdir_dotdot, "rmdir(2) ENOTEMPTY", rmdir(".."), ENOTEMPTY)
REFUSED(rmdir_root, "rmdir(2) EBUSY", rmdir("/"), EBUSY)
REFUSED(rmdir_missing, "rmdir(2) ENOENT", rmdir("no"), ENOENT)
REFUSED(mknod_directory, "mknod(2) EPERM", mknod("d", S_IFDIR | 0755, 0), EPERM)
REFUSED(mknod_no_type, "mknod(2) EINVAL", mknod("d", 0170000 | 0644, 0), EINVAL)
REFUSED(getdents_bad, "getdents(2) EBADF", syscall(SYS_getdents64, -1, (char[64]){0}, 64), EBADF)

CHECK(mkdir_mode, "mkdir(2): mode & ~umask & 01777")
{
    umask(022);
    ok(mkdir("d", 0777));
    is(mode_of("d"), 0755);
    umask(0);
    ok(mkdir("e", 01777));
    is(mode_of("e"), 01777);
}

CHECK(mkdir_over_file_and_link, "mkdir(2) EEXIST")
{
    file("f", "");
    fails(mkdir("f", 0755), EEXIST);
    fails(mkdir("f/", 0755), EEXIST);
    fails(mkdir("f/d", 0755), ENOTDIR);
    ok(symlink("no", "l"));
    fails(mkdir("l", 0755), EEXIST);
    fails(mkdir("l/", 0755), EEXIST);
    must(!exists("no"));
}

CHECK(mkdir_trailing_slash, "mkdir(2): slashes at the end")
{
    ok(mkdir("d///", 0755));
    must(exists("d"));
    fails(mkdir("d/.", 0755), EEXIST);
    fails(mkdir("no/.", 0755), ENOENT);
}

CHECK(mkdir_needs_write, "mkdir(2) EACCES")
{
    as_user();
    ok(mkdir("d", 0555));
    fails(mkdir("d/e", 0755), EACCES);
}

CHECK(mkdir_setgid, "mkdir(2): group and set-group-ID of the parent")
{
    struct stat status;

    as_root();
    ok(mkdir("d", 0755));
    ok(chown("d", 0, 1234));
    ok(chmod("d", 02755));
    ok(mkdir("d/e", 0755));
    is(mode_of("d/e"), 02755);
    ok(stat("d/e", &status));
    is(status.st_gid, 1234);
    file("d/f", "");
    ok(stat("d/f", &status));
    is(status.st_gid, 1234);
    is(mode_of("d/f"), 0644);
}

CHECK(rmdir_not_empty, "rmdir(2) ENOTEMPTY")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    fails(rmdir("d"), ENOTEMPTY);
    ok(unlink("d/f"));
    ok(rmdir("d"));
}

CHECK(rmdir_file, "rmdir(2) ENOTDIR")
{
    file("f", "");
    fails(rmdir("f"), ENOTDIR);
    ok(mkdir("d", 0755));
    ok(symlink("d", "l"));
    fails(rmdir("l"), ENOTDIR);
    fails(rmdir("l/"), ENOTDIR);
    fails(rmdir("d/."), EINVAL);
    fails(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
    ok(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
}

CHECK(rmdir_open, "getdents(2) ENOENT: the directory was removed")
{
    struct stat status;
    char buffer[256];
    int fd;

    ok(mkdir("d", 0755));
    fd = (int)ok(open("d", O_RDONLY));
    ok(rmdir("d"));
    fails(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), ENOENT);
    ok(fstat(fd, &status));
    is(status.st_nlink, 0);
    fails(openat(fd, "f", O_RDWR | O_CREAT, 0644), ENOENT);
    fails(mkdirat(fd, "e", 0755), ENOENT);
}

CHECK(rmdir_needs_write, "rmdir(2) EACCES")
{
    as_user();
    ok(mkdir("d", 0755));
    ok(mkdir("d/e", 0755));
    ok(chmod("d", 0555));
    fails(rmdir("d/e"), EACCES);
}

CHECK(rmdir_again, "rmdir(2): the name is free again")
{
    for (int i = 0; i < 3; i++) {
        ok(mkdir("d", 0755));
        is(count_names("d"), 0);
        file("d/f", "");
        ok(unlink("d/f"));
        ok(rmdir("d"));
    }
    file("d", "text");
    content("d", "text");
}

CHECK(dots_are_listed, "readdir(3): . and .. with the right inodes")
{
    struct dirent *entry;
    DIR *dir = opendir(".");
    int found = 0;

    must(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0) {
            is(entry->d_ino, (long long)inode_of("."));
            found |= 1;
        } else if (strcmp(entry->d_name, "..") == 0) {
            found |= 2;
        }
    }
    is(found, 3);
}

CHECK(types_and_inodes, "readdir(3): d_type and d_ino agree with lstat")
{
    struct dirent *entry;
    struct stat status;
    DIR *dir;
    int seen = 0;

    file("f", "");
    ok(mkdir("d", 0755));
    ok(symlink("f", "l"));
    ok(mkfifo("p", 0644));
    ok(mknod("s", S_IFSOCK | 0644, 0));
    dir = opendir(".");
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        ok(lstat(entry->d_name, &status));
        is(entry->d_ino, (long long)status.st_ino);
        if (entry->d_type != DT_UNKNOWN)
            is(entry->d_type, (long long)IFTODT(status.st_mode));
        seen++;
    }
    is(seen, 5);
}

CHECK(many_entries_once, "getdents(2): every name once, whatever the buffer")
{
    static char seen[300];
    char buffer[200];
    char name[16];
    long got;
    int fd;

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        ok(mknod(name, S_IFREG | 0644, 0));
    }
    fd = (int)ok(open(".", O_RDONLY));
    while ((got = ok(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)))) > 0) {
        for (long at = 0; at < got;) {
            struct dirent64 *entry = (struct dirent64 *)(buffer + at);

            if (entry->d_name[0] == 'n')
                seen[strtol(entry->d_name + 1, NULL, 10)]++;
            at += entry->d_reclen;
        }
    }
    for (int i = 0; i < 300; i++)
        is(seen[i], 1);
}

CHECK(small_buffer, "getdents(2) EINVAL: the buffer is too small")
{
    char buffer[8];

    fails(syscall(SYS_getdents64, ok(open(".", O_RDONLY)), buffer, sizeof(buffer)), EINVAL);
}

CHECK(getdents_pointer, "getdents(2) EFAULT")
{
    fails(syscall(SYS_getdents64, ok(open(".", O_RDONLY)), (char *)8, 4096), EFAULT);
}

CHECK(getdents_file, "getdents(2) ENOTDIR")
{
    char buffer[256];

    file("f", "");
    fails(syscall(SYS_getdents64, ok(open("f", O_RDONLY)), buffer, sizeof(buffer)), ENOTDIR);
}

CHECK(remove_while_reading, "readdir(3): rm -r reads and removes")
{
    struct dirent *entry;
    char name[16];
    DIR *dir;

    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        ok(mknod(name, S_IFREG | 0644, 0));
    }
    dir = opendir(".");
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] == 'n')
            ok(unlink(entry->d_name));
    is(count_names("."), 0);
}

CHECK(rewind_shows_new, "rewinddir(3)")
{
    DIR *dir = opendir(".");
    struct dirent *entry;
    int count = 0;

    while (readdir(dir))
        ;
    file("new", "");
    rewinddir(dir);
    while ((entry = readdir(dir)) != NULL)
        count += strcmp(entry->d_name, "new") == 0;
    is(count, 1);
}

CHECK(telldir_seekdir, "telldir(3), seekdir(3)")
{
    char name[16];
    char after[256] = "";
    long place;
    DIR *dir;

    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        file(name, "");
    }
    dir = opendir(".");
    for (int i = 0; i < 7; i++)
        readdir(dir);
    place = telldir(dir);
    snprintf(after, sizeof(after), "%s", readdir(dir)->d_name);
    while (readdir(dir))
        ;
    seekdir(dir, place);
    same(readdir(dir)->d_name, after);
}

CHECK(position_is_shared, "getdents(2): duplicates share the position")
{
    char buffer[4096];
    int fd = (int)ok(open(".", O_RDONLY));
    int copy = (int)ok(dup(fd));

    must(ok(syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0);
    is(syscall(SYS_getdents64, copy, buffer, sizeof(buffer)), 0);
    is(lseek(copy, 0, SEEK_SET), 0);
    must(ok(syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0);
}

CHECK(read_directory, "read(2) EISDIR")
{
    char byte;
    int fd = (int)ok(open(".", O_RDONLY));

    fails(read(fd, &byte, 1), EISDIR);
    fails(write(fd, "x", 1), EBADF);
    fails(ftruncate(fd, 0), EINVAL);
}

CHECK(pread_directory, "pread(2) EISDIR")
{
    char byte;

    fails(pread((int)ok(open(".", O_RDONLY)), &byte, 1, 0), EISDIR);
}

CHECK(fsync_directory, "fsync(2) of a directory")
{
    ok(fsync((int)ok(open(".", O_RDONLY))));
}

CHECK(mmap_directory, "mmap(2) ENODEV")
{
    void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, (int)ok(open(".", O_RDONLY)), 0);

    must(at == MAP_FAILED);
    must(errno == ENODEV);
}

CHECK(list_needs_read, "opendir(3) EACCES")
{
    as_user();
    ok(mkdir("d", 0311));
    fails(open("d", O_RDONLY), EACCES);
    file("d/f", "");
    ok(access("d/f", F_OK));
}

CHECK(mknod_regular, "mknod(2): a regular file; umask")
{
    ok(mknod("f", 0666, 0));
    is(mode_of("f"), 0644);
    fails(mknod("f", 0666, 0), EEXIST);
    fails(mknod("x/", 0666, 0), ENOENT);
}

CHECK(mknod_device_needs_root, "mknod(2) EPERM")
{
    as_user();
    fails(mknod("n", S_IFCHR | 0644, makedev(1, 3)), EPERM);
    fails(mknod("n", S_IFBLK | 0644, makedev(1, 3)), EPERM);
    must(!exists("n"));
}

CHECK(long_names_are_listed, "readdir(3): names of 255 bytes")
{
    char name[256];

    memset(name, 'n', 255);
    name[255] = '\0';
    file(name, "");
    must(has_name(".", name));
}
