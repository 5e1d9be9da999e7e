/*
 * A log of whole lines that several processes write at once, and that is bounded: when the file
 * NAME has its size, it becomes NAME.1, that becomes NAME.2, and so on; the last one is removed.
 *
 * Nothing is lost between writers: each line is one write(2) with O_APPEND, which the file systems
 * of Linux do not mix (NFS does); a writer looks before each line whether NAME is still the file
 * that it has open, and after it whether that file has been removed meanwhile. Who rotates holds
 * flock(2) on the directory, and looks again when he has it. Nobody waits for the lock: who does
 * not get it writes on, and the next one rotates. A file that has twice its size is rotated without
 * the lock, so the bound holds whoever keeps it.
 *
 * One thread for each struct.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define ROTATION_FILES_MAX 32

struct rotation {
    int directory;
    int fd; /* -1: to be opened by the next write */
    dev_t device;
    ino_t inode;
    uint64_t size_max; /* bytes at which a file is full */
    unsigned files;    /* that are kept, with NAME itself: 1..ROTATION_FILES_MAX */
    char name[NAME_MAX + 1];
};

/*
 * Starts with the file `name` in `directory` (consumed, also on failure), which is opened, or made
 * with mode 0600. Only a regular file with one name that belongs to the calling user will do: no
 * symbolic link, no FIFO, nothing that somebody else has put there. The directory must be one that
 * files can be renamed in. Returns 0, -ELOOP, -EPERM, or another negative errno.
 */
int rotation_open(struct rotation *rotation, int directory, const char *name, uint64_t size_max,
                  unsigned files);

/*
 * Whether a file is one to write to: regular, with one name at most, of the calling user. None: who
 * else writes has rotated and removed it in this moment.
 */
bool rotation_accepts(const struct stat *stat);

/*
 * Appends lines. Does not block but for the disk. Returns how many bytes were written, fewer only
 * when the disk is full, or a negative errno.
 */
ssize_t rotation_write(struct rotation *rotation, const void *lines, size_t length);

/* Harmless when it was never opened and is zero but for descriptors of -1. */
void rotation_close(struct rotation *rotation);

/* The name of file `index` of the log: NAME, NAME.1 ... Returns `text`. */
char *rotation_name(const char *name, unsigned index, char text[NAME_MAX + 16]);
