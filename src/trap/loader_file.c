/*
 * The loader on the host: its path must be the one that is written inside it. A tree that was moved
 * or copied after the build gets a private copy with the right path.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "trap/trap-internal.h"

/* The loader is two pages and some section headers; anything else is not ours. */
#define LOADER_FILE_MAX (256 * 1024)
#define LOADER_NAME     "loader"

/* What mkdtemp() makes of PRIVATE_PREFIX "XXXXXX". */
#define PRIVATE_PREFIX "cerebro-"
#define PRIVATE_LENGTH (sizeof(PRIVATE_PREFIX) - 1 + 6)

/* A younger one may not have been locked yet. */
#define STALE_SECONDS 5

/* A loader file in memory. */
struct image {
    unsigned char bytes[LOADER_FILE_MAX];
    size_t size;
};

static int image_read(int fd, struct image *image)
{
    ssize_t size;

    image->size = 0;
    while ((size = pread(fd, image->bytes + image->size, sizeof(image->bytes) - image->size,
                         (off_t)image->size)) > 0)
        image->size += (size_t)size;
    if (size < 0)
        return -errno;
    return image->size == sizeof(image->bytes) ? -EFBIG : 0;
}

/* Finds the file offset of the path page. Returns it, or -ENOEXEC when this is no loader. */
static off_t image_path_offset(const struct image *image)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image->bytes;

    if (image->size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phoff > image->size ||
        header->e_phnum > (image->size - header->e_phoff) / sizeof(Elf64_Phdr))
        return -ENOEXEC;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        uint64_t offset;

        memcpy(&segment, image->bytes + header->e_phoff + i * sizeof(segment), sizeof(segment));
        if (segment.p_type != PT_LOAD || segment.p_vaddr > LOADER_PATH_PAGE ||
            segment.p_filesz < LOADER_END - segment.p_vaddr)
            continue;
        offset = segment.p_offset + (LOADER_PATH_PAGE - segment.p_vaddr);
        if (offset > image->size || image->size - offset < LOADER_PAGE_SIZE)
            return -ENOEXEC;
        return (off_t)offset;
    }
    return -ENOEXEC;
}

/* True when the text of the path page is slashes and a terminated path. */
static bool is_path_page(const unsigned char *page)
{
    for (size_t i = 0; i < LOADER_SLASHES; i++)
        if (page[i] != '/')
            return false;
    return memchr(page + LOADER_SLASHES, '\0', LOADER_PATH_SIZE) != NULL;
}

static int write_private(const struct image *image, const char *path)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0500);
    size_t done = 0;

    if (fd < 0)
        return -errno;
    while (done < image->size) {
        ssize_t n = write(fd, image->bytes + done, image->size - done);

        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

/* A file system may forbid execution (noexec): try, by mapping it so. */
static int open_executable(const char *path, int *ret_fd)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    void *page;

    if (fd < 0)
        return -errno;
    page = mmap(NULL, LOADER_PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    munmap(page, LOADER_PAGE_SIZE);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* True when nobody uses the copy in this directory, and nothing but a copy can be in it. */
static bool is_unused(int directory)
{
    cleanup_close int fd = openat(directory, LOADER_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat stat;

    if (fd < 0)
        return errno == ENOENT;
    return fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && (stat.st_mode & 0777) == 0500 &&
           flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void remove_if_stale(int parent, const char *name)
{
    cleanup_close int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat stat;

    if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_uid != geteuid() ||
        (stat.st_mode & 0777) != 0700 || time(NULL) - stat.st_ctime < STALE_SECONDS ||
        !is_unused(fd))
        return;
    unlinkat(fd, LOADER_NAME, 0);
    unlinkat(parent, name, AT_REMOVEDIR); /* fails where something else is in it, too */
}

/*
 * Removes the copies of runs that were killed so completely, with their reaper, that nobody was
 * left to do it. A copy in use is locked, and the host takes the lock away with the process.
 */
static void remove_stale_below(const char *parent)
{
    cleanup_dir DIR *directory = opendir(parent);
    struct dirent *entry;

    while (directory && (entry = readdir(directory)))
        if (strncmp(entry->d_name, PRIVATE_PREFIX, sizeof(PRIVATE_PREFIX) - 1) == 0 &&
            strlen(entry->d_name) == PRIVATE_LENGTH)
            remove_if_stale(dirfd(directory), entry->d_name);
}

void loader_file_remove(const char *path, const char *directory)
{
    if (directory == NULL)
        return;
    unlink(path);
    rmdir(directory);
}

/*
 * Makes a directory of our own below `parent` and the copy in it. Nobody else can enter a directory
 * made by mkdtemp (mode 0700), so there is no name to race for.
 */
static int copy_below(struct trap *trap, struct image *image, off_t offset, const char *parent)
{
    cleanup_free char *directory = NULL;
    cleanup_free char *path = NULL;
    char *text = (char *)image->bytes + offset + LOADER_SLASHES;
    int r;

    remove_stale_below(parent);
    if (asprintf(&directory, "%s/" PRIVATE_PREFIX "XXXXXX", parent) < 0)
        return -ENOMEM;
    if (strlen(directory) + sizeof(LOADER_NAME) + 1 > LOADER_PATH_SIZE)
        return -ENAMETOOLONG;
    if (mkdtemp(directory) == NULL)
        return -errno;
    if (asprintf(&path, "%s/" LOADER_NAME, directory) < 0) {
        rmdir(directory);
        return -ENOMEM;
    }
    memset(text, 0, LOADER_PATH_SIZE);
    memcpy(text, path, strlen(path) + 1);
    r = write_private(image, path);
    if (r == 0)
        r = open_executable(path, &trap->loader_fd);
    if (r == 0)
        flock(trap->loader_fd, LOCK_EX | LOCK_NB); /* where there are no locks nobody tidies up */
    if (r < 0) {
        loader_file_remove(path, directory);
        return r;
    }
    trap->loader_path = take_ptr(path);
    trap->loader_dir = take_ptr(directory);
    return 0;
}

static int make_private_copy(struct trap *trap, struct image *image, off_t offset,
                             struct base_error *error)
{
    const char *parents[] = {getenv("XDG_RUNTIME_DIR"), "/dev/shm", "/tmp", "/var/tmp"};
    int r = -ENOENT;

    for (size_t i = 0; i < array_length(parents) && r < 0; i++)
        if (parents[i] && parents[i][0] == '/')
            r = copy_below(trap, image, offset, parents[i]);
    if (r == 0)
        return 0;
    return base_fail(error, r, "install Cerebro, or run it where it was built",
                     "the loader was moved, and no directory takes a private copy of it: %s",
                     strerror(-r));
}

static int use_loader(struct trap *trap, const char *path, int fd, struct image *image,
                      struct base_error *error)
{
    off_t offset;
    int r = image_read(fd, image);

    offset = r < 0 ? r : image_path_offset(image);
    if (offset < 0 || !is_path_page(image->bytes + offset))
        return base_fail(error, ENOEXEC, "install Cerebro again", "%s is not Cerebro's loader",
                         path);
    trap->loader_path_offset = offset;
    if (strcmp((char *)image->bytes + offset + LOADER_SLASHES, path) != 0)
        return make_private_copy(trap, image, offset, error);
    trap->loader_path = strdup(path);
    if (trap->loader_path == NULL)
        return base_fail(error, ENOMEM, NULL, "no memory for the loader's path");
    trap->loader_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return trap->loader_fd < 0 ? base_fail(error, errno, NULL, "cannot keep the loader open") : 0;
}

int trap_loader_fd(const struct trap *trap)
{
    return trap->loader_fd;
}

int loader_file_open(struct trap *trap, const char *path, struct base_error *error)
{
    cleanup_close int fd = path[0] == '/' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    cleanup_free struct image *image = malloc(sizeof(*image));

    if (fd < 0)
        return base_fail(error, path[0] == '/' ? errno : EINVAL, "install Cerebro again",
                         "cannot open the loader %s", path);
    if (image == NULL)
        return base_fail(error, ENOMEM, NULL, "no memory for the loader");
    return use_loader(trap, path, fd, image, error);
}
