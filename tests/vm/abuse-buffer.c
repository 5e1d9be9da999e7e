/* The 16 KiB behind read, write, lseek, fsync and mmap: hole 12. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

#define SIZE KAPI_BUFFER_SIZE

static char *map_buffer(int fd)
{
    char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    check(map != MAP_FAILED, "mmap: %s", strerror(errno));
    return map;
}

static void buffer_reads_and_writes(enum way way)
{
    int fd = device_open();
    char *map = map_buffer(fd), text[SIZE + 8];

    for (size_t i = 0; i < SIZE; i++)
        check(map[i] == 0, "byte %zu of a new buffer is %d", i, map[i]);
    check(write(fd, "hello", 5) == 5 && memcmp(map, "hello", 6) == 0,
          "mapping shows what was written: %.5s", map);
    check(lseek(fd, 0, SEEK_CUR) == 5, "position after writing");
    memcpy(map + 5, " world", 6);
    check(msync(map, SIZE, MS_SYNC) == 0, "msync: %s", strerror(errno));
    check(lseek(fd, 0, SEEK_SET) == 0 && read(fd, text, 11) == 11 &&
              memcmp(text, "hello world", 11) == 0,
          "%.11s", text);
    check(fsync(fd) == 0, "fsync: %s", strerror(errno));
    check(lseek(fd, 0, SEEK_SET) == 0 && read(fd, text, sizeof(text)) == SIZE,
          "a read ends at the end of the buffer");
    check(read(fd, text, 1) == 0, "end of the buffer");
    check(pread(fd, text, 8, SIZE - 4) == 4, "a short read at the end");
    check(pread(fd, text, 8, SIZE) == 0 && pread(fd, text, 8, SIZE + 100000) == 0,
          "a read beyond the end");
}

static void buffer_ends(enum way way)
{
    int fd = device_open();
    char byte = 'x', text[64] = {0};
    char *volatile nowhere = (char *)8;

    check(pwrite(fd, text, 64, SIZE - 10) == 10, "a short write at the end: %s", strerror(errno));
    check(pwrite(fd, &byte, 1, SIZE) == -1 && (errno == ENOSPC || errno == EFBIG),
          "a write at the end: %s", strerror(errno));
    check(pwrite(fd, &byte, 1, (off_t)1 << 62) == -1, "a write far away");
    check(pread(fd, &byte, 1, (off_t)1 << 62) <= 0, "a read far away");
    check(pread(fd, &byte, 1, -1) == -1 && errno == EINVAL, "a negative position: %s",
          strerror(errno));
    check(lseek(fd, -1, SEEK_SET) == -1 && errno == EINVAL, "seek before the start: %s",
          strerror(errno));
    check(lseek(fd, 0, SEEK_END) == SIZE, "the end is at %ld", (long)lseek(fd, 0, SEEK_END));
    check(lseek(fd, SIZE + 1, SEEK_SET) == -1 || read(fd, &byte, 1) == 0,
          "seek beyond the end and read");
    check(lseek(fd, 100, SEEK_SET) == 100 && lseek(fd, -200, SEEK_CUR) == -1, "seek back too far");
    check(read(fd, nowhere, 16) == -1 && errno == EFAULT, "read to a bad address: %s",
          strerror(errno));
    check(write(fd, nowhere, 16) == -1 && errno == EFAULT, "write from a bad address: %s",
          strerror(errno));
    check(read(fd, NULL, 0) == 0, "read of nothing");
}

static void buffer_is_private_to_an_open(enum way way)
{
    int first = device_open(), second = device_open();
    char *map = map_buffer(second), text[8] = "secret!";

    check(write(first, text, 8) == 8, "%s", strerror(errno));
    for (size_t i = 0; i < SIZE; i++)
        check(map[i] == 0, "another open sees byte %zu", i);
    check(pread(second, text, 8, 0) == 8 && text[0] == 0, "another open reads %.7s", text);
}

static void buffer_is_zero_after_others(enum way way)
{
    static char block[SIZE];

    for (int i = 0; i < 50; i++) {
        int fd = device_open();

        check(read(fd, block, SIZE) == SIZE, "%s", strerror(errno));
        for (size_t at = 0; at < SIZE; at++)
            check(block[at] == 0, "round %d: byte %zu is left over", i, at);
        memset(block, 0xa5, SIZE);
        check(pwrite(fd, block, SIZE, 0) == SIZE, "%s", strerror(errno));
        close(fd);
    }
}

static void buffer_lives_as_long_as_its_mapping(enum way way)
{
    int fd = device_open();
    char *map = map_buffer(fd);

    close(fd);
    memset(map, 0x5a, SIZE);
    pid_t pid = fork(); /* a shared mapping goes along */
    if (pid == 0) {
        map[0] = 1;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    check(map[0] == 1 && map[SIZE - 1] == 0x5a, "the mapping is gone");
}

static void hole_12_mmap_ignores_offset(enum way way)
{
    int fd = device_open();
    char byte = 'z';
    static const struct {
        off_t offset;
        size_t length;
    } bad[] = {{12288, 8192}, {16384, 4096},          {0, SIZE + 4096},
               {4096, SIZE},  {(off_t)1 << 40, 4096}, {0x7ffffffffffff000, 4096}};

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        check(mmap(NULL, bad[i].length, PROT_READ, MAP_SHARED, fd, bad[i].offset) == MAP_FAILED,
              "%zu bytes at %lx are mapped", bad[i].length, (long)bad[i].offset);
    char *last = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 12288);
    check(last != MAP_FAILED, "the last page: %s", strerror(errno));
    check(pwrite(fd, &byte, 1, 12288) == 1 && last[0] == 'z', "the offset is that of the buffer");
}

static void hole_12_mmap_cannot_execute_or_grow(enum way way)
{
    int fd = device_open();
    char *map = map_buffer(fd);

    check(mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) == MAP_FAILED,
          "mapped executable");
    check(mprotect(map, SIZE, PROT_READ | PROT_EXEC) != 0, "made executable later");
    check(mremap(map, SIZE, SIZE * 2, MREMAP_MAYMOVE) == MAP_FAILED, "a mapping grew");
    char *half = mremap(map, SIZE, SIZE / 2, 0);
    check(half == map, "a mapping cannot shrink: %s", strerror(errno));
    check(mremap(map, SIZE / 2, SIZE, MREMAP_MAYMOVE) == MAP_FAILED, "a half mapping grew again");
    check(madvise(map, SIZE / 2, MADV_DODUMP) != 0, "MADV_DODUMP: it would get into core dumps");
}

static void read_only_descriptor_cannot_write(enum way way)
{
    int fd = open(KAPI_DEVICE_PATH, O_RDONLY | O_CLOEXEC);
    char byte = 1;

    check(fd >= 0, "%s", strerror(errno));
    check(write(fd, &byte, 1) == -1 && errno == EBADF, "write: %s", strerror(errno));
    char *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    check(map == MAP_FAILED || mprotect(map, SIZE, PROT_READ | PROT_WRITE) != 0,
          "made writable later");
    check(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED,
          "mapped writable");
}

const struct test buffer_tests[] = {
    {"buffer-reads-and-writes", buffer_reads_and_writes, WAYS_DEFAULT | WAY_ALLOWED, 0},
    {"buffer-ends", buffer_ends, WAYS_DEFAULT, 0},
    {"buffer-lives-as-long-as-its-mapping", buffer_lives_as_long_as_its_mapping, WAYS_DEFAULT, 0},
    {"hole-12-buffer-is-private-to-an-open", buffer_is_private_to_an_open,
     WAYS_DEFAULT | WAY_ALLOWED | WAYS_LOCKED, 0},
    {"hole-12-buffer-is-zero-after-others", buffer_is_zero_after_others,
     WAYS_DEFAULT | WAY_ALLOWED | WAYS_LOCKED, 0},
    {"hole-12-mmap-ignores-offset", hole_12_mmap_ignores_offset,
     WAYS_DEFAULT | WAY_ALLOWED | WAYS_LOCKED, 0},
    {"hole-12-mmap-cannot-execute-or-grow", hole_12_mmap_cannot_execute_or_grow,
     WAYS_DEFAULT | WAY_ALLOWED | WAYS_LOCKED, 0},
    {"read-only-descriptor-cannot-write", read_only_descriptor_cannot_write, WAYS_DEFAULT, 0},
    {0},
};
