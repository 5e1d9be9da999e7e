/*
 * What the files of the file family (file-*.c) share: path arguments the way the calls that end in
 * "at" take them, names that are to be made or removed, descriptors, and the count of changes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "linux/linux-internal.h"

/*
 * A linux_walk with only the part set that its clean-up looks at: clearing all of it would cost
 * 4 KiB of stores for every call.
 */
#define FILE_WALK(name)                  \
    cleanup_walk struct linux_walk name; \
    name.base = NULL

/* The enum vfs_walk_flags that AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH stand for. */
unsigned file_walk_flags(unsigned at_flags);

/*
 * Finds the object that (dirfd, path) names; of `at_flags` AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH
 * matter, the caller has refused what the call does not know. Returns 0 or a negative errno.
 */
int file_resolve(struct pk_request *request, int dirfd, uint64_t path, unsigned at_flags,
                 struct vfs_place **ret_place);

/* The same for calls that take a NULL path for an empty one under AT_EMPTY_PATH (Linux 6.11). */
int file_resolve_or_null(struct pk_request *request, int dirfd, uint64_t path, unsigned at_flags,
                         struct vfs_place **ret_place);

/*
 * Duplicates a guest descriptor for a call that O_PATH descriptors do not serve: -EBADF for those.
 * The caller closes it.
 */
int file_get_open_fd(struct pk_request *request, int fd);

/* The place behind such a descriptor. */
int file_place_of_open_fd(struct pk_request *request, int fd, struct vfs_place **ret_place);

/*
 * Copies a structure whose size the guest names, as the kernel's copy_struct_from_user(): a shorter
 * one is completed with zeroes, a longer one must be zero in what is not known here (-E2BIG).
 * `size` is at most a page, which the caller has checked. Returns 0, -EFAULT or -E2BIG.
 */
int file_read_struct(struct pk_request *request, uint64_t address, size_t size, void *ret_bytes,
                     size_t known_size);

/* A name that is to be made, removed or renamed: the directory it is in, and the name there. */
struct file_entry {
    struct linux_walk at;
    struct vfs_place *parent; /* reference held */
    char name[256];
    bool slash; /* the path ended in a slash */
};

void file_entry_release(struct file_entry *entry);
/* Declares an entry that is released at the end of the scope; again without clearing it all. */
#define FILE_ENTRY(name)                                                 \
    __attribute__((cleanup(file_entry_release))) struct file_entry name; \
    name.at.base = NULL;                                                 \
    name.parent = NULL

/* Finds directory and name. Returns 0 or a negative errno. */
int file_find_entry(struct pk_request *request, int dirfd, uint64_t path, struct file_entry *entry);

/* True when the last component is a plain name, and not "/", "." or "..". */
bool file_entry_is_plain(const struct file_entry *entry);

/* The object under the entry's name, a symbolic link not followed. -ENOENT when there is none. */
int file_entry_object(struct pk_request *request, const struct file_entry *entry,
                      struct vfs_place **ret_place);

/*
 * Finds directory and name for something that is to be made: -EEXIST for "/", "." and "..". A
 * trailing slash is for directories only: else -EEXIST when the name is taken and -ENOENT when not.
 */
int file_find_new_entry(struct pk_request *request, int dirfd, uint64_t path, bool directory,
                        struct file_entry *entry);

/*
 * Answers a call that changes names or attributes. The one place where the kernel's generation is
 * counted up (on success).
 */
struct pk_answer file_changed(struct pk_request *request, int64_t result);

/*
 * Answers dup(2) or fcntl(2) with F_DUPFD of the descriptor in the first argument: one that the
 * process kernel serves gets another number in the window, from `lowest` on; all others, and served
 * ones when the window is full, are duplicated natively.
 */
struct pk_answer file_duplicate(struct pk_request *request, int lowest, unsigned fd_flags);

/*
 * Serves read(2) and its kind, or ioctl(2) with FIONREAD, on an inotify instance in the window.
 * `fd` is a duplicate of the guest's descriptor. Native for all other descriptors.
 */
struct pk_answer file_watch_call(struct pk_request *request, int fd);

/* One for each file; called by linux_register_files(). */
void file_set_open_handlers(struct pk_kernel *kernel);
void file_set_stat_handlers(struct pk_kernel *kernel);
void file_set_access_handlers(struct pk_kernel *kernel);
void file_set_dir_handlers(struct pk_kernel *kernel);
void file_set_link_handlers(struct pk_kernel *kernel);
void file_set_attr_handlers(struct pk_kernel *kernel);
void file_set_time_handlers(struct pk_kernel *kernel);
void file_set_xattr_handlers(struct pk_kernel *kernel);
void file_set_io_handlers(struct pk_kernel *kernel);
void file_set_fcntl_handlers(struct pk_kernel *kernel);
void file_set_lock_handlers(struct pk_kernel *kernel);
void file_set_ioctl_handlers(struct pk_kernel *kernel);
void file_set_watch_handlers(struct pk_kernel *kernel);
void file_set_handle_handlers(struct pk_kernel *kernel);
