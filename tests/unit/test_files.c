/*
 * The file family of the Linux personality against the host's kernel: the same calls on both sides
 * must give the same results. First a table of cases whose errors depend on the order of checks,
 * then long random sequences, each over four kinds of file systems.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "file_sides.h"
#include "skip.h"

#define P(text)  ((uintptr_t)(text))
#define HERE     ((uint64_t)AT_FDCWD)
#define BAD      8 /* no such address */
#define NAME_255 NAME_50 NAME_50 NAME_50 NAME_50 NAME_50 "12345"
#define NAME_50  "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee"
#define PATH_1K  D100 D100 D100 D100 D100 D100 D100 D100 D100 D100
#define D100     D10 D10 D10 D10 D10 D10 D10 D10 D10 D10
#define D10      "./././././"
#define TMPFILE  (O_TMPFILE & ~O_DIRECTORY)

/* One call, in the form NR(name)(arguments...). */
#define C(name, ...)    \
    {                   \
        ABI_NR_##name,  \
        {               \
            __VA_ARGS__ \
        }               \
    }
#define STEPS_MAX 5

#define ON(kind)  (1u << (kind))
#define ON_LAYERS (ON(SIDE_OVERLAY) | ON(SIDE_UPPER))

struct test_case {
    const char *name;
    struct side_call steps[STEPS_MAX];
    unsigned differs; /* kinds of file systems on which the answer is another one on purpose */
};

static const struct open_how how_read = {.flags = O_RDONLY};
static const struct open_how how_unknown_flag = {.flags = 1ULL << 40};
static const struct open_how how_unknown_bit = {.flags = 1 << 30};
static const struct open_how how_mode_without_creat = {.mode = 0644};
static const struct open_how how_mode_bits = {.flags = O_CREAT | O_WRONLY, .mode = 010000};
static const struct open_how how_resolve = {.resolve = 0x100};
static const struct open_how how_both = {.resolve = RESOLVE_BENEATH | RESOLVE_IN_ROOT};
static const struct open_how how_beneath = {.resolve = RESOLVE_BENEATH};
static const struct open_how how_in_root = {.resolve = RESOLVE_IN_ROOT};
static const struct open_how how_no_links = {.resolve = RESOLVE_NO_SYMLINKS};
static const struct open_how how_no_magic = {.resolve = RESOLVE_NO_MAGICLINKS};
static const struct open_how how_path_write = {.flags = O_PATH | O_RDWR};
static const struct open_how how_path = {.flags = O_PATH | O_NOFOLLOW};
static const struct open_how how_large = {.flags = 0100000};
static const struct open_how how_cached_creat = {
    .flags = O_CREAT | O_WRONLY, .mode = 0644, .resolve = RESOLVE_CACHED};
static const struct {
    struct open_how how;
    uint64_t more;
} how_long = {{.flags = O_RDONLY}, 0}, how_long_set = {{.flags = O_RDONLY}, 1};

static const struct timespec times_set[2] = {{1000, 5}, {2000, 7}};
static const struct timespec times_bad[2] = {{1000, 1000000000}, {2000, 7}};
static const struct timespec times_omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
static const struct timespec times_half[2] = {{0, UTIME_OMIT}, {3000, 1}};
static const struct timespec times_now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
static const struct timeval timevals[2] = {{1000, 5}, {2000, 7}};
static const struct timeval timevals_bad[2] = {{1000, 1000000}, {2000, 7}};
static const uint64_t utime_values[2] = {5, 6};
static const struct {
    uint64_t value;
    uint32_t size, flags;
} xattr_get_args = {OUT, 100, 0}, xattr_bad_args = {OUT, 100, 1};

static const struct test_case cases[] = {
    /* open: the flags come before the path, the path before the walk */
    {"open", {C(open, P("f"), O_RDONLY)}},
    {"open, missing", {C(open, P("zz"), O_RDONLY)}},
    {"open, empty", {C(open, P(""), O_RDONLY)}},
    {"open, fault", {C(open, BAD, O_RDONLY)}},
    {"open, fault and bad flags", {C(open, BAD, O_CREAT | O_DIRECTORY, 0644)}},
    {"open, slash", {C(open, P("f/"), O_RDONLY)}},
    {"open, dot below file", {C(open, P("f/."), O_RDONLY)}},
    {"open, file as directory", {C(open, P("f/a"), O_RDONLY)}},
    {"open, missing directory", {C(open, P("zz/a"), O_RDONLY)}},
    {"open, long name", {C(open, P(NAME_255), O_RDONLY)}},
    {"open, too long name", {C(open, P(NAME_255 "6"), O_RDONLY)}},
    {"open, too long name below missing", {C(open, P("zz/" NAME_255 "6"), O_RDONLY)}},
    {"open, long path", {C(open, P(PATH_1K PATH_1K PATH_1K "f"), O_RDONLY)}},
    {"open, too long path", {C(open, P(PATH_1K PATH_1K PATH_1K PATH_1K D100 "f"), O_RDONLY)}},
    {"open, directory for writing", {C(open, P("d"), O_WRONLY)}},
    {"open, directory", {C(open, P("d"), O_RDONLY)}},
    {"open, directory truncated", {C(open, P("d"), O_RDONLY | O_TRUNC)}},
    {"open, O_DIRECTORY on file", {C(open, P("f"), O_DIRECTORY)}},
    {"open, O_DIRECTORY on link", {C(open, P("ld"), O_DIRECTORY)}},
    {"open, O_DIRECTORY O_NOFOLLOW on link", {C(open, P("ld"), O_DIRECTORY | O_NOFOLLOW)}},
    {"open, O_NOFOLLOW", {C(open, P("l"), O_NOFOLLOW)}},
    {"open, O_NOFOLLOW in the middle", {C(open, P("ld/a"), O_NOFOLLOW)}},
    {"open, O_NOFOLLOW with slash", {C(open, P("ld/"), O_NOFOLLOW)}},
    {"open, link", {C(open, P("l2"), O_RDONLY)}},
    {"open, link with slash in text", {C(open, P("lslash"), O_RDONLY)}},
    {"open, link through parent", {C(open, P("lup"), O_RDONLY)}},
    {"open, loop", {C(open, P("loop"), O_RDONLY)}},
    {"open, loop O_PATH", {C(open, P("loop"), O_PATH | O_NOFOLLOW)}},
    {"open, broken", {C(open, P("lbroken"), O_RDONLY)}},
    {"open, socket", {C(open, P("sock"), O_RDONLY)}},
    {"open, socket O_PATH", {C(open, P("sock"), O_PATH), C(fstat, FD(0), OUT)}},
    {"open, FIFO nonblocking read", {C(open, P("p"), O_RDONLY | O_NONBLOCK), C(fstat, FD(0), OUT)}},
    {"open, FIFO nonblocking write", {C(open, P("p"), O_WRONLY | O_NONBLOCK)}},
    {"open, FIFO both", {C(open, P("p"), O_RDWR), C(fstat, FD(0), OUT)}},
    {"open, FIFO O_CREAT", {C(open, P("p"), O_RDWR | O_CREAT, 0644)}},
    {"open, O_EXCL on existing", {C(open, P("f"), O_CREAT | O_EXCL | O_WRONLY, 0644)}},
    {"open, O_EXCL on link", {C(open, P("lbroken"), O_CREAT | O_EXCL | O_WRONLY, 0644)}},
    {"open, O_EXCL on directory", {C(open, P("d"), O_CREAT | O_EXCL, 0644)}},
    {"open, O_CREAT through broken link",
     {C(open, P("lbroken"), O_CREAT | O_WRONLY, 0644), C(lstat, P("none"), OUT)}},
    {"open, O_CREAT O_NOFOLLOW on broken", {C(open, P("lbroken"), O_CREAT | O_NOFOLLOW, 0644)}},
    {"open, O_CREAT on directory", {C(open, P("d"), O_CREAT, 0644)}},
    {"open, O_CREAT with slash", {C(open, P("new/"), O_CREAT | O_WRONLY, 0644)}},
    {"open, O_CREAT with slash on file", {C(open, P("f/"), O_CREAT | O_WRONLY, 0644)}},
    {"open, O_CREAT with slash on directory", {C(open, P("d/"), O_CREAT | O_RDONLY, 0644)}},
    {"open, O_CREAT dot", {C(open, P("."), O_CREAT | O_RDONLY, 0644)}},
    {"open, O_CREAT dotdot", {C(open, P("d/.."), O_CREAT | O_RDONLY, 0644)}},
    {"open, O_CREAT root", {C(open, P("/"), O_CREAT | O_RDONLY, 0644)}},
    {"open, O_CREAT | O_DIRECTORY", {C(open, P("new"), O_CREAT | O_DIRECTORY, 0644)}},
    {"open, O_CREAT mode", {C(open, P("new"), O_CREAT | O_WRONLY, 07777), C(stat, P("new"), OUT)}},
    {"open, O_CREAT mode, truncated",
     {C(open, P("new"), O_CREAT | O_WRONLY, 07777), C(truncate, P("new"), 3),
      C(stat, P("new"), OUT)}},
    {"open, O_CREAT strange mode",
     {C(open, P("new"), O_CREAT | O_WRONLY, 0170644), C(stat, P("new"), OUT)}},
    {"open, O_CREAT mode 0", {C(open, P("new"), O_CREAT | O_RDWR, 0), C(stat, P("new"), OUT)}},
    {"open, O_CREAT below file", {C(open, P("f/new"), O_CREAT | O_RDWR, 0644)}},
    {"open, O_CREAT in read-only directory", {C(open, P("wd/new"), O_CREAT | O_RDWR, 0644)}},
    {"open, in closed directory", {C(open, P("nd/a"), O_RDONLY)}},
    {"open, missing in closed directory", {C(open, P("nd/zz"), O_RDONLY)}},
    {"open, closed file", {C(open, P("none0"), O_RDONLY)}},
    {"open, read-only file for writing", {C(open, P("ro"), O_RDWR)}},
    {"open, read-only file truncated",
     {C(open, P("ro"), O_RDONLY | O_TRUNC), C(stat, P("ro"), OUT)}},
    {"open, truncated", {C(open, P("f"), O_WRONLY | O_TRUNC), C(stat, P("f"), OUT)}},
    {"open, access mode 3", {C(open, P("f"), O_ACCMODE)}},
    {"open, unknown flags dropped", {C(open, P("f"), 0x40000000 | O_RDONLY)}},
    {"open, O_TMPFILE without write", {C(open, P("d"), O_TMPFILE | O_RDONLY, 0600)}},
    {"open, O_TMPFILE bit alone", {C(open, P("d"), TMPFILE | O_RDWR, 0600)}},
    {"open, O_TMPFILE on file", {C(open, P("f"), O_TMPFILE | O_RDWR, 0600)}},
    {"open, O_TMPFILE missing", {C(open, P("zz"), O_TMPFILE | O_RDWR, 0600)}},
    {"open, O_TMPFILE and O_CREAT", {C(open, P("d"), O_TMPFILE | O_CREAT | O_RDWR, 0600)}},
    {"open, O_TMPFILE", {C(open, P("d"), O_TMPFILE | O_RDWR, 0666), C(fstat, FD(0), OUT)}},
    {"open, O_PATH ignores flags", {C(open, P("f"), O_PATH | O_CREAT | O_EXCL | O_TRUNC, 0644)}},
    {"open, O_PATH missing", {C(open, P("zz"), O_PATH | O_CREAT, 0644)}},
    {"open, O_PATH link", {C(open, P("l"), O_PATH | O_NOFOLLOW), C(fstat, FD(0), OUT)}},
    {"open, O_PATH closed file", {C(open, P("none0"), O_PATH), C(fstat, FD(0), OUT)}},
    {"open, O_PATH directory flag", {C(open, P("f"), O_PATH | O_DIRECTORY)}},
    {"creat", {C(creat, P("new"), 0666), C(stat, P("new"), OUT)}},
    {"creat, existing", {C(creat, P("f"), 0600), C(stat, P("f"), OUT)}},
    {"creat, directory", {C(creat, P("d"), 0600)}},
    {"openat, bad descriptor", {C(openat, 999, P("f"), O_RDONLY)}},
    {"openat, bad descriptor, absolute", {C(openat, 999, P("/"), O_RDONLY)}},
    {"openat, bad descriptor, empty", {C(openat, 999, P(""), O_RDONLY)}},
    {"openat, bad descriptor, fault", {C(openat, 999, BAD, O_RDONLY)}},
    {"openat, negative", {C(openat, (uint64_t)-5, P("f"), O_RDONLY)}},
    {"openat, file descriptor", {C(open, P("f"), O_RDONLY), C(openat, FD(0), P("a"), O_RDONLY)}},
    {"openat, directory", {C(open, P("d"), O_RDONLY), C(openat, FD(0), P("a"), O_RDONLY)}},
    {"openat, O_PATH directory", {C(open, P("d"), O_PATH), C(openat, FD(0), P("b"), O_RDONLY)}},
    {"openat, dotdot", {C(open, P("d"), O_PATH), C(openat, FD(0), P("../f"), O_RDONLY)}},
    {"openat, create",
     {C(open, P("d"), O_PATH), C(openat, FD(0), P("n"), O_CREAT | O_RDWR, 0600),
      C(stat, P("d/n"), OUT)}},
    {"openat, moved directory",
     {C(open, P("d"), O_PATH), C(rename, P("d"), P("e/moved")), C(openat, FD(0), P("a"), O_RDONLY),
      C(openat, FD(1), P("../../f"), O_RDONLY)}},
    {"openat, removed directory",
     {C(open, P("e"), O_PATH), C(rmdir, P("e")), C(openat, FD(0), P("n"), O_CREAT | O_RDWR, 0600),
      C(openat, FD(0), P("."), O_RDONLY), C(mkdirat, FD(0), P("n"), 0700)}},
    {"openat2", {C(openat2, HERE, P("f"), P(&how_read), sizeof(how_read))}},
    {"openat2, short", {C(openat2, HERE, P("f"), P(&how_read), 16)}},
    {"openat2, zero", {C(openat2, HERE, P("f"), P(&how_read), 0)}},
    {"openat2, huge", {C(openat2, HERE, P("f"), P(&how_read), 5000)}},
    {"openat2, fault", {C(openat2, HERE, P("f"), BAD, sizeof(how_read))}},
    {"openat2, long", {C(openat2, HERE, P("f"), P(&how_long), sizeof(how_long))}},
    {"openat2, long and set", {C(openat2, HERE, P("f"), P(&how_long_set), sizeof(how_long))}},
    {"openat2, unknown flag", {C(openat2, HERE, BAD, P(&how_unknown_flag), 24)}},
    {"openat2, unknown bit", {C(openat2, HERE, P("f"), P(&how_unknown_bit), 24)}},
    {"openat2, O_LARGEFILE", {C(openat2, HERE, P("f"), P(&how_large), 24)}},
    {"openat2, mode alone", {C(openat2, HERE, P("f"), P(&how_mode_without_creat), 24)}},
    {"openat2, mode bits", {C(openat2, HERE, P("new"), P(&how_mode_bits), 24)}},
    {"openat2, unknown resolve", {C(openat2, HERE, P("f"), P(&how_resolve), 24)}},
    {"openat2, beneath and root", {C(openat2, HERE, P("f"), P(&how_both), 24)}},
    {"openat2, beneath", {C(openat2, HERE, P("d/../f"), P(&how_beneath), 24)}},
    {"openat2, beneath left", {C(openat2, HERE, P("../w/f"), P(&how_beneath), 24)}},
    {"openat2, beneath left by link", {C(openat2, HERE, P("lup"), P(&how_beneath), 24)}},
    {"openat2, beneath absolute", {C(openat2, HERE, P("/"), P(&how_beneath), 24)}},
    {"openat2, in root", {C(openat2, HERE, P("/../../f"), P(&how_in_root), 24)}},
    {"openat2, in root by link", {C(openat2, HERE, P("lup"), P(&how_in_root), 24)}},
    {"openat2, no links", {C(openat2, HERE, P("l"), P(&how_no_links), 24)}},
    {"openat2, no links in the middle", {C(openat2, HERE, P("ld/a"), P(&how_no_links), 24)}},
    {"openat2, no magic links", {C(openat2, HERE, P("l"), P(&how_no_magic), 24)}},
    {"openat2, O_PATH for writing", {C(openat2, HERE, P("f"), P(&how_path_write), 24)}},
    {"openat2, O_PATH", {C(openat2, HERE, P("l"), P(&how_path), 24), C(fstat, FD(0), OUT)}},
    {"openat2, cached creation",
     {C(openat2, HERE, P("new"), P(&how_cached_creat), 24), C(stat, P("new"), OUT)}},

    /* stat */
    {"stat", {C(stat, P("f"), OUT), C(stat, P("x"), OUT), C(stat, P("h1"), OUT)}},
    {"stat, fault of result", {C(stat, P("f"), BAD)}},
    {"stat, fault of path", {C(stat, BAD, OUT)}},
    {"stat, missing and fault", {C(stat, P("zz"), BAD)}},
    {"stat, empty", {C(stat, P(""), OUT)}},
    {"stat, slash", {C(stat, P("f/"), OUT), C(stat, P("d/"), OUT), C(stat, P("d//."), OUT)}},
    {"stat, link", {C(stat, P("l2"), OUT), C(lstat, P("l2"), OUT), C(lstat, P("ld/"), OUT)}},
    {"stat, link to file with slash", {C(stat, P("l/"), OUT), C(lstat, P("l/"), OUT)}},
    {"stat, loop", {C(stat, P("loop"), OUT), C(lstat, P("loop"), OUT), C(lstat, P("loop/"), OUT)}},
    {"stat, FIFO and socket", {C(stat, P("p"), OUT), C(stat, P("sock"), OUT)}},
    {"stat, closed", {C(stat, P("nd/a"), OUT), C(stat, P("nd"), OUT), C(stat, P("none0"), OUT)}},
    {"stat, dotdot below file", {C(stat, P("f/.."), OUT), C(stat, P("zz/.."), OUT)}},
    {"fstat, bad", {C(fstat, 999, OUT), C(fstat, (uint64_t)-1, OUT), C(fstat, HERE, OUT)}},
    {"fstat, fault", {C(open, P("f"), O_RDONLY), C(fstat, FD(0), BAD)}},
    {"fstat, O_PATH", {C(open, P("d/a"), O_PATH), C(fstat, FD(0), OUT)}},
    /* A file of the lower layer keeps its own link when the upper one hides it. */
    {"fstat, unlinked",
     {C(open, P("f"), O_RDONLY), C(unlink, P("f")), C(fstat, FD(0), OUT)},
     ON_LAYERS},
    {"fstat, unlinked above",
     {C(open, P("h1"), O_RDONLY), C(unlink, P("h1")), C(unlink, P("h2")), C(fstat, FD(0), OUT)}},
    {"newfstatat", {C(newfstatat, HERE, P("f"), OUT, 0), C(newfstatat, HERE, P("l"), OUT, 0x100)}},
    {"newfstatat, flags",
     {C(newfstatat, HERE, P("f"), OUT, 0x200), C(newfstatat, HERE, P("zz"), OUT, 0x10000),
      C(newfstatat, HERE, BAD, OUT, 0x10000)}},
    {"newfstatat, automount", {C(newfstatat, HERE, P("f"), OUT, AT_NO_AUTOMOUNT)}},
    {"newfstatat, empty",
     {C(newfstatat, HERE, P(""), OUT, 0), C(newfstatat, HERE, P(""), OUT, AT_EMPTY_PATH)}},
    {"newfstatat, empty descriptor",
     {C(open, P("f"), O_RDONLY), C(newfstatat, FD(0), P(""), OUT, AT_EMPTY_PATH),
      C(newfstatat, FD(0), P(""), OUT, 0), C(newfstatat, FD(0), P("x"), OUT, AT_EMPTY_PATH)}},
    {"newfstatat, NULL",
     {C(open, P("f"), O_RDONLY), C(newfstatat, FD(0), 0, OUT, AT_EMPTY_PATH),
      C(newfstatat, FD(0), 0, OUT, 0), C(newfstatat, HERE, 0, OUT, AT_EMPTY_PATH)}},
    {"newfstatat, NULL and flags",
     {C(open, P("f"), O_RDONLY), C(newfstatat, FD(0), 0, OUT, AT_EMPTY_PATH | 0x10000),
      C(newfstatat, FD(0), P(""), OUT, AT_EMPTY_PATH | 0x10000),
      C(newfstatat, HERE, P(""), OUT, AT_EMPTY_PATH | 0x10000)}},
    {"newfstatat, bad descriptor",
     {C(newfstatat, 999, P(""), OUT, AT_EMPTY_PATH),
      C(newfstatat, (uint64_t)-7, P(""), OUT, AT_EMPTY_PATH), C(newfstatat, 999, P("f"), OUT, 0),
      C(newfstatat, 999, P("/"), OUT, 0)}},
    {"statx",
     {C(statx, HERE, P("f"), 0, STATX_BASIC_STATS, OUT),
      C(statx, HERE, P("l"), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, OUT)}},
    {"statx, mask 0", {C(statx, HERE, P("f"), 0, 0, OUT)}},
    {"statx, reserved",
     {C(statx, HERE, P("f"), 0, STATX__RESERVED, OUT), C(statx, HERE, BAD, 0, STATX__RESERVED, OUT),
      C(statx, HERE, P("zz"), 0, STATX__RESERVED, OUT)}},
    {"statx, sync",
     {C(statx, HERE, P("f"), AT_STATX_FORCE_SYNC, 0x7ff, OUT),
      C(statx, HERE, P("f"), AT_STATX_DONT_SYNC, 0x7ff, OUT),
      C(statx, HERE, P("f"), AT_STATX_SYNC_TYPE, 0x7ff, OUT)}},
    {"statx, flags",
     {C(statx, HERE, P("f"), 0x200, 0x7ff, OUT), C(statx, HERE, BAD, 0x10000, 0x7ff, OUT),
      C(statx, HERE, BAD, 0, 0x7ff, OUT)}},
    {"statx, descriptor",
     {C(open, P("d"), O_PATH), C(statx, FD(0), P(""), AT_EMPTY_PATH, 0x7ff, OUT),
      C(statx, FD(0), 0, AT_EMPTY_PATH, 0x7ff, OUT),
      C(statx, FD(0), 0, AT_EMPTY_PATH | 0x200, 0x7ff, OUT), C(statx, FD(0), 0, 0, 0x7ff, OUT)}},
    {"statx, fault of result", {C(statx, HERE, P("f"), 0, 0x7ff, BAD)}},
    {"statfs",
     {C(statfs, P("f"), OUT), C(statfs, P("zz"), OUT), C(statfs, P("f"), BAD), C(statfs, BAD, OUT),
      C(statfs, P(""), OUT)}},
    {"fstatfs",
     {C(open, P("f"), O_PATH), C(fstatfs, FD(0), OUT), C(fstatfs, 999, OUT),
      C(fstatfs, FD(0), BAD)}},
    {"ustat, no device", {C(ustat, 0xabcde, OUT)}},

    /* access */
    {"access",
     {C(access, P("f"), F_OK), C(access, P("f"), R_OK | W_OK), C(access, P("x"), X_OK),
      C(access, P("f"), X_OK), C(access, P("d"), X_OK)}},
    {"access, mode",
     {C(access, P("f"), 8), C(access, P("zz"), 8), C(access, BAD, 8), C(access, BAD, 0)}},
    {"access, closed",
     {C(access, P("none0"), R_OK), C(access, P("none0"), X_OK), C(access, P("nd/a"), F_OK),
      C(access, P("ro"), W_OK)}},
    {"access, links",
     {C(access, P("l"), R_OK), C(access, P("lbroken"), F_OK), C(access, P("loop"), F_OK),
      C(access, P("l/"), F_OK)}},
    {"faccessat2, flags",
     {C(faccessat2, HERE, P("f"), R_OK, 0x10000), C(faccessat2, HERE, P("f"), R_OK, AT_EACCESS),
      C(faccessat2, HERE, P("lbroken"), F_OK, AT_SYMLINK_NOFOLLOW),
      C(faccessat2, HERE, P("lbroken"), W_OK, AT_SYMLINK_NOFOLLOW)}},
    {"faccessat2, empty",
     {C(open, P("f"), O_PATH), C(faccessat2, FD(0), P(""), R_OK, AT_EMPTY_PATH),
      C(faccessat2, FD(0), P(""), R_OK, 0), C(faccessat2, FD(0), 0, R_OK, AT_EMPTY_PATH),
      C(faccessat2, 999, P(""), R_OK, AT_EMPTY_PATH)}},
    {"faccessat ignores a fourth",
     {C(faccessat, HERE, P("f"), R_OK, 0x10000), C(faccessat, 999, P("f"), R_OK)}},

    /* readlink */
    {"readlink",
     {C(readlink, P("l"), OUT, 100), C(readlink, P("l"), OUT, 0), C(readlink, P("lup"), OUT, 3),
      C(readlink, P("f"), OUT, 100)}},
    {"readlink, errors",
     {C(readlink, P("zz"), OUT, 100), C(readlink, P("zz"), OUT, 0), C(readlink, BAD, OUT, 0),
      C(readlink, BAD, OUT, 10), C(readlink, P("l"), BAD, 10)}},
    {"readlink, slash",
     {C(readlink, P("ld/"), OUT, 100), C(readlink, P("d/"), OUT, 100),
      C(readlink, P("l/"), OUT, 100)}},
    {"readlink, empty", {C(readlink, P(""), OUT, 100), C(readlink, P("."), OUT, 100)}},
    {"readlinkat, of descriptor",
     {C(open, P("l"), O_PATH | O_NOFOLLOW), C(readlinkat, FD(0), P(""), OUT, 100),
      C(readlinkat, FD(0), P("a"), OUT, 100), C(readlinkat, 999, P(""), OUT, 100),
      C(readlinkat, HERE, P("l"), OUT, (uint64_t)-1)}},
    {"readlinkat, of file", {C(open, P("f"), O_PATH), C(readlinkat, FD(0), P(""), OUT, 100)}},

    /* mkdir, mknod, symlink */
    {"mkdir",
     {C(mkdir, P("new"), 0777), C(stat, P("new"), OUT), C(mkdir, P("new/x/"), 07777),
      C(stat, P("new/x"), OUT)}},
    {"mkdir, taken",
     {C(mkdir, P("f"), 0777), C(mkdir, P("d"), 0777), C(mkdir, P("lbroken"), 0777),
      C(mkdir, P("lbroken/"), 0777), C(mkdir, P("f/"), 0777)}},
    {"mkdir, dots",
     {C(mkdir, P("."), 0777), C(mkdir, P(".."), 0777), C(mkdir, P("d/."), 0777),
      C(mkdir, P("/"), 0777), C(mkdir, P("new/."), 0777)}},
    {"mkdir, errors",
     {C(mkdir, P(""), 0777), C(mkdir, BAD, 0777), C(mkdir, P("f/a"), 0777),
      C(mkdir, P("zz/a"), 0777), C(mkdir, P("wd/a"), 0777)}},
    {"mkdir, more errors",
     {C(mkdir, P("wd/new"), 0777), C(mkdir, P("nd/new"), 0777), C(mkdir, P(NAME_255 "6"), 0777),
      C(mkdir, P("loop/a"), 0777), C(mkdir, P(NAME_255), 0777)}},
    {"mkdirat",
     {C(open, P("d"), O_PATH), C(mkdirat, FD(0), P("new"), 0700), C(mkdirat, 999, P("new"), 0700),
      C(mkdirat, FD(0), P("../new"), 0700), C(stat, P("d/new"), OUT)}},
    {"mkdirat, file descriptor", {C(open, P("f"), O_PATH), C(mkdirat, FD(0), P("new"), 0700)}},
    {"mknod",
     {C(mknod, P("new"), 0666, 0), C(stat, P("new"), OUT), C(mknod, P("n2"), 0106644, 0),
      C(stat, P("n2"), OUT)}},
    {"mknod, FIFO",
     {C(mknod, P("new"), S_IFIFO | 0666, 5), C(stat, P("new"), OUT),
      C(mknod, P("new"), S_IFSOCK | 0666, 0)}},
    {"mknod, type",
     {C(mknod, P("new"), S_IFDIR | 0777, 0), C(mknod, P("new"), S_IFLNK | 0777, 0),
      C(mknod, BAD, S_IFDIR, 0), C(mknod, BAD, 0, 0), C(mknod, P("f"), S_IFDIR, 0)}},
    {"mknod, names",
     {C(mknod, P("new/"), S_IFREG | 0644, 0), C(mknod, P("f"), S_IFREG | 0644, 0),
      C(mknod, P("f/"), S_IFREG, 0), C(mknod, P("."), S_IFREG, 0),
      C(mknod, P("lbroken"), S_IFIFO, 0)}},
    {"mknod, more names",
     {C(mknod, P("d/"), S_IFREG | 0644, 0), C(mknod, P("/"), S_IFREG, 0),
      C(mknod, P("zz/"), S_IFIFO, 0), C(mknod, P("wd/n"), S_IFIFO, 0)}},
    {"symlink",
     {C(symlink, P("anything"), P("new")), C(lstat, P("new"), OUT),
      C(readlink, P("new"), OUT, 100)}},
    {"symlink, errors",
     {C(symlink, P(""), P("new")), C(symlink, BAD, BAD), C(symlink, P("x"), BAD),
      C(symlink, P("x"), P("")), C(symlink, P(""), P("f"))}},
    {"symlink, names",
     {C(symlink, P("x"), P("f")), C(symlink, P("x"), P("new/")), C(symlink, P("x"), P("d/")),
      C(symlink, P("x"), P("lbroken")), C(symlink, P("x"), P("lbroken/"))}},
    {"symlink, more names",
     {C(symlink, P("x"), P(".")), C(symlink, P("x"), P("/")), C(symlink, P("x"), P("f/new")),
      C(symlink, P("x"), P("wd/new"))}},
    {"symlinkat",
     {C(open, P("d"), O_PATH), C(symlinkat, P("a"), FD(0), P("l")),
      C(symlinkat, P("a"), 999, P("l")), C(stat, P("d/l"), OUT)}},

    /* link */
    {"link",
     {C(link, P("f"), P("new")), C(stat, P("new"), OUT), C(link, P("l"), P("n2")),
      C(lstat, P("n2"), OUT), C(lstat, P("l"), OUT)}},
    {"link, errors",
     {C(link, P("zz"), P("new")), C(link, P("zz"), BAD), C(link, P("f"), BAD), C(link, BAD, BAD),
      C(link, P(""), P("new"))}},
    {"link, directory",
     {C(link, P("d"), P("new")), C(link, P("d"), P("f")), C(link, P("d/"), P("new")),
      C(link, P("f/"), P("new"))}},
    {"link, names",
     {C(link, P("f"), P("x")), C(link, P("f"), P("new/")), C(link, P("f"), P("d/")),
      C(link, P("f"), P(".")), C(link, P("f"), P("lbroken"))}},
    {"link, permission",
     {C(link, P("f"), P("wd/new")), C(link, P("nd/a"), P("new")), C(link, P("none0"), P("new"))}},
    {"linkat, flags",
     {C(linkat, HERE, P("f"), HERE, P("new"), 0x100), C(linkat, HERE, BAD, HERE, BAD, 0x100)}},
    {"linkat, follow",
     {C(linkat, HERE, P("l"), HERE, P("new"), AT_SYMLINK_FOLLOW), C(lstat, P("new"), OUT),
      C(linkat, HERE, P("lbroken"), HERE, P("n2"), AT_SYMLINK_FOLLOW),
      C(linkat, HERE, P("loop"), HERE, P("n2"), AT_SYMLINK_FOLLOW)}},
    {"linkat, descriptor",
     {C(open, P("f"), O_RDONLY), C(linkat, FD(0), P(""), HERE, P("new"), AT_EMPTY_PATH),
      C(stat, P("new"), OUT), C(linkat, FD(0), P(""), HERE, P("n2"), 0),
      C(linkat, 999, P(""), HERE, P("n2"), AT_EMPTY_PATH)}},
    {"linkat, temporary file",
     {C(open, P("d"), O_TMPFILE | O_RDWR, 0644),
      C(linkat, FD(0), P(""), HERE, P("new"), AT_EMPTY_PATH), C(stat, P("new"), OUT)}},
    {"linkat, exclusive temporary file",
     {C(open, P("d"), O_TMPFILE | O_RDWR | O_EXCL, 0644),
      C(linkat, FD(0), P(""), HERE, P("new"), AT_EMPTY_PATH), C(stat, P("new"), OUT)}},
    {"linkat, unlinked",
     {C(open, P("f"), O_RDWR), C(unlink, P("f")),
      C(linkat, FD(0), P(""), HERE, P("new"), AT_EMPTY_PATH)}},
    {"linkat, directory descriptor",
     {C(open, P("d"), O_PATH), C(linkat, FD(0), P(""), HERE, P("new"), AT_EMPTY_PATH),
      C(linkat, FD(0), P("a"), FD(0), P("new"), 0)}},

    /* unlink, rmdir */
    {"unlink",
     {C(unlink, P("f")), C(stat, P("f"), OUT), C(unlink, P("l")), C(unlink, P("h1")),
      C(stat, P("h2"), OUT)}},
    {"unlink, errors",
     {C(unlink, P("zz")), C(unlink, P("")), C(unlink, BAD), C(unlink, P("d")),
      C(unlink, P("f/a"))}},
    {"unlink, slashes",
     {C(unlink, P("f/")), C(unlink, P("d/")), C(unlink, P("zz/")), C(unlink, P("lbroken/")),
      C(unlink, P("ld/"))}},
    {"unlink, dots",
     {C(unlink, P(".")), C(unlink, P("d/.")), C(unlink, P("d/..")), C(unlink, P("/")),
      C(unlink, P("f/."))}},
    {"unlink, permission",
     {C(unlink, P("wd/a")), C(unlink, P("wd/zz")), C(unlink, P("nd/a")), C(unlink, P("ro")),
      C(stat, P("wd/a"), OUT)}},
    {"unlinkat, flags",
     {C(unlinkat, HERE, P("f"), 0x100), C(unlinkat, HERE, BAD, 0x100),
      C(unlinkat, HERE, P("e"), AT_REMOVEDIR), C(unlinkat, HERE, P("f"), AT_REMOVEDIR),
      C(stat, P("e"), OUT)}},
    {"unlinkat, descriptor",
     {C(open, P("d"), O_PATH), C(unlinkat, FD(0), P("a"), 0), C(unlinkat, 999, P("b"), 0),
      C(unlinkat, FD(0), P(""), 0), C(unlinkat, FD(0), P("sub"), 0)}},
    {"rmdir",
     {C(rmdir, P("e")), C(rmdir, P("d/sub/deep/")), C(rmdir, P("d")), C(rmdir, P("zz")),
      C(rmdir, P("f"))}},
    {"rmdir, dots",
     {C(rmdir, P(".")), C(rmdir, P("..")), C(rmdir, P("e/.")), C(rmdir, P("e/..")),
      C(rmdir, P("/"))}},
    {"rmdir, slashes",
     {C(rmdir, P("f/")), C(rmdir, P("ld")), C(rmdir, P("ld/")), C(rmdir, P("zz/")),
      C(rmdir, P("e//"))}},
    {"rmdir, errors",
     {C(rmdir, P("")), C(rmdir, BAD), C(rmdir, P("f/a")), C(rmdir, P("nd")),
      C(rmdir, P("lbroken"))}},

    /* rename */
    {"rename",
     {C(rename, P("f"), P("new")), C(stat, P("new"), OUT), C(stat, P("f"), OUT),
      C(rename, P("d"), P("e/d")), C(stat, P("e/d/sub/deep"), OUT)}},
    {"rename, over",
     {C(rename, P("f"), P("x")), C(stat, P("x"), OUT), C(rename, P("d"), P("e")),
      C(stat, P("e/a"), OUT), C(rename, P("e"), P("x"))}},
    {"rename, types",
     {C(rename, P("f"), P("d")), C(rename, P("d"), P("f")), C(rename, P("e"), P("d")),
      C(rename, P("f"), P("e")), C(rename, P("l"), P("e"))}},
    {"rename, same",
     {C(rename, P("f"), P("f")), C(rename, P("h1"), P("h2")), C(stat, P("h1"), OUT),
      C(rename, P("d"), P("d")), C(rename, P("zz"), P("zz"))}},
    {"rename, missing",
     {C(rename, P("zz"), P("new")), C(rename, P("zz"), P("f")), C(rename, P("f"), P("zz/a")),
      C(rename, P("zz/a"), P("f")), C(rename, P("f"), P("x/a"))}},
    {"rename, faults",
     {C(rename, BAD, P("new")), C(rename, P("f"), BAD), C(rename, P("zz"), BAD),
      C(rename, P(""), P("new")), C(rename, P("f"), P(""))}},
    {"rename, into itself",
     {C(rename, P("d"), P("d/new")), C(rename, P("d"), P("d/sub/new")),
      C(rename, P("d/sub"), P("d")), C(rename, P("d/sub/deep"), P("d")),
      C(rename, P("d"), P("d/sub"))}},
    {"rename, dots",
     {C(rename, P("."), P("new")), C(rename, P("d/."), P("new")), C(rename, P("f"), P(".")),
      C(rename, P("f"), P("d/..")), C(rename, P("d/.."), P("zz/.."))}},
    {"rename, slashes",
     {C(rename, P("f/"), P("new")), C(rename, P("f"), P("new/")), C(rename, P("d/"), P("new/")),
      C(rename, P("new"), P("n2/")), C(rename, P("zz/"), P("n3"))}},
    {"rename, slashes of links",
     {C(rename, P("ld/"), P("new")), C(rename, P("l/"), P("new")), C(rename, P("e"), P("ld/")),
      C(rename, P("e"), P("lbroken/"))}},
    {"rename, permission",
     {C(rename, P("wd/a"), P("new")), C(rename, P("f"), P("wd/new")), C(rename, P("f"), P("wd/a")),
      C(rename, P("nd/a"), P("new")), C(rename, P("wd"), P("e/wd"))}},
    {"rename, link",
     {C(rename, P("l"), P("new")), C(readlink, P("new"), OUT, 10), C(rename, P("x"), P("lbroken")),
      C(lstat, P("lbroken"), OUT)}},
    {"renameat",
     {C(open, P("d"), O_PATH), C(renameat, FD(0), P("a"), HERE, P("new")),
      C(renameat, HERE, P("f"), FD(0), P("a")), C(stat, P("d/a"), OUT),
      C(renameat, 999, P("x"), HERE, P("n2"))}},
    {"renameat2, flags",
     {C(renameat2, HERE, P("f"), HERE, P("new"), 8), C(renameat2, HERE, BAD, HERE, BAD, 8),
      C(renameat2, HERE, P("f"), HERE, P("new"), 3),
      C(renameat2, HERE, P("f"), HERE, P("new"), 6)}},
    {"renameat2, no replace",
     {C(renameat2, HERE, P("f"), HERE, P("x"), 1), C(renameat2, HERE, P("f"), HERE, P("f"), 1),
      C(renameat2, HERE, P("zz"), HERE, P("x"), 1), C(renameat2, HERE, P("f"), HERE, P("new"), 1),
      C(renameat2, HERE, P("x"), HERE, P("d/."), 1)}},
    {"renameat2, no replace, slashes",
     {C(renameat2, HERE, P("f"), HERE, P("d/"), 1), C(renameat2, HERE, P("d"), HERE, P("e/"), 1),
      C(renameat2, HERE, P("f"), HERE, P("new/"), 1)}},
    {"renameat2, exchange",
     {C(renameat2, HERE, P("f"), HERE, P("x"), 2), C(stat, P("f"), OUT), C(stat, P("x"), OUT),
      C(renameat2, HERE, P("f"), HERE, P("zz"), 2), C(renameat2, HERE, P("zz"), HERE, P("f"), 2)}},
    {"renameat2, exchange types",
     {C(renameat2, HERE, P("f"), HERE, P("d"), 2), C(stat, P("f/a"), OUT), C(stat, P("d"), OUT),
      C(renameat2, HERE, P("f"), HERE, P("f/a"), 2),
      C(renameat2, HERE, P("f/a"), HERE, P("f"), 2)}},
    {"renameat2, exchange slashes",
     {C(renameat2, HERE, P("f/"), HERE, P("d"), 2), C(renameat2, HERE, P("f"), HERE, P("x/"), 2),
      C(renameat2, HERE, P("f"), HERE, P("d/"), 2), C(renameat2, HERE, P("f"), HERE, P("zz/"), 2)}},

    /* mode, owner, length */
    {"chmod",
     {C(chmod, P("f"), 0600), C(stat, P("f"), OUT), C(chmod, P("d"), 07777), C(stat, P("d"), OUT),
      C(chmod, P("l"), 0640)}},
    {"chmod, errors",
     {C(chmod, P("zz"), 0600), C(chmod, BAD, 0600), C(chmod, P(""), 0600), C(chmod, P("f/"), 0600),
      C(chmod, P("lbroken"), 0600)}},
    {"chmod, strange mode", {C(chmod, P("f"), 0170644), C(stat, P("f"), OUT)}},
    {"fchmod",
     {C(open, P("f"), O_RDONLY), C(fchmod, FD(0), 0604), C(stat, P("f"), OUT), C(fchmod, 999, 0600),
      C(fchmod, (uint64_t)-1, 0600)}},
    {"fchmod, O_PATH",
     {C(open, P("f"), O_PATH), C(fchmod, FD(0), 0604),
      C(fchmodat2, FD(0), P(""), 0604, AT_EMPTY_PATH), C(stat, P("f"), OUT)}},
    {"fchmodat2",
     {C(fchmodat2, HERE, P("l"), 0600, AT_SYMLINK_NOFOLLOW),
      C(fchmodat2, HERE, P("f"), 0600, AT_SYMLINK_NOFOLLOW),
      C(fchmodat2, HERE, P("f"), 0600, 0x200), C(fchmodat2, HERE, BAD, 0600, 0x200),
      C(fchmodat2, HERE, 0, 0600, AT_EMPTY_PATH)}},
    {"fchmodat ignores a fourth", {C(fchmodat, HERE, P("l"), 0600, 0x10000), C(stat, P("f"), OUT)}},
    {"fchmod, unlinked",
     {C(open, P("h1"), O_RDONLY), C(unlink, P("h1")), C(unlink, P("h2")), C(fchmod, FD(0), 0604),
      C(fstat, FD(0), OUT)}},
    {"chown, nothing",
     {C(chown, P("f"), (uint32_t)-1, (uint32_t)-1), C(stat, P("f"), OUT),
      C(lchown, P("lbroken"), (uint32_t)-1, (uint32_t)-1),
      C(chown, P("lbroken"), (uint32_t)-1, (uint32_t)-1), C(chown, BAD, 0, 0)}},
    {"chown",
     {C(chown, P("f"), 12, 34), C(stat, P("f"), OUT), C(lchown, P("l"), 56, 78),
      C(lstat, P("l"), OUT), C(stat, P("l"), OUT)}},
    {"chown, clears bits",
     {C(chmod, P("x"), 06755), C(chown, P("x"), 12, 34), C(stat, P("x"), OUT)}},
    {"fchown",
     {C(open, P("f"), O_RDONLY), C(fchown, FD(0), 1, 1), C(stat, P("f"), OUT),
      C(fchown, 999, 1, 1)}},
    {"fchown, O_PATH",
     {C(open, P("f"), O_PATH), C(fchown, FD(0), 1, 1),
      C(fchownat, FD(0), P(""), 1, 1, AT_EMPTY_PATH), C(stat, P("f"), OUT)}},
    {"fchownat, flags",
     {C(fchownat, HERE, P("f"), 1, 1, 0x200), C(fchownat, HERE, BAD, 1, 1, 0x200),
      C(fchownat, HERE, P("lbroken"), 1, 1, AT_SYMLINK_NOFOLLOW),
      C(fchownat, HERE, 0, 1, 1, AT_EMPTY_PATH), C(fchownat, HERE, P(""), 1, 1, 0)}},
    {"truncate",
     {C(truncate, P("f"), 2), C(stat, P("f"), OUT), C(truncate, P("l"), 10), C(stat, P("f"), OUT)}},
    {"truncate, errors",
     {C(truncate, P("f"), (uint64_t)-1), C(truncate, BAD, (uint64_t)-1), C(truncate, BAD, 1),
      C(truncate, P("d"), 1), C(truncate, P("p"), 1)}},
    {"truncate, more errors",
     {C(truncate, P("zz"), 1), C(truncate, P("ro"), 1), C(truncate, P("none0"), 1),
      C(truncate, P("f/"), 1), C(truncate, P("sock"), 1)}},

    /* times */
    {"utimensat",
     {C(utimensat, HERE, P("f"), P(times_set), 0), C(stat, P("f"), OUT),
      C(utimensat, HERE, P("f"), P(times_half), 0), C(stat, P("f"), OUT)}},
    {"utimensat, now",
     {C(utimensat, HERE, P("f"), 0, 0), C(utimensat, HERE, P("f"), P(times_now), 0),
      C(utimensat, HERE, P("ro"), P(times_now), 0), C(utimensat, HERE, P("none0"), 0, 0)}},
    {"utimensat, omit",
     {C(utimensat, HERE, P("zz"), P(times_omit), 0),
      C(utimensat, HERE, BAD, P(times_omit), 0x10000)}},
    {"utimensat, bad times",
     {C(utimensat, HERE, P("f"), P(times_bad), 0), C(utimensat, HERE, P("zz"), P(times_bad), 0),
      C(utimensat, HERE, P("zz"), BAD, 0), C(utimensat, HERE, P("f"), P(times_bad), 0x10000)}},
    {"utimensat, link",
     {C(utimensat, HERE, P("l"), P(times_set), AT_SYMLINK_NOFOLLOW), C(lstat, P("l"), OUT),
      C(utimensat, HERE, P("lbroken"), P(times_set), 0)}},
    {"utimensat, descriptor",
     {C(open, P("f"), O_RDONLY), C(utimensat, FD(0), 0, P(times_set), 0), C(stat, P("f"), OUT),
      C(utimensat, FD(0), 0, P(times_set), 0x100), C(utimensat, 999, 0, P(times_set), 0)}},
    {"utimensat, O_PATH",
     {C(open, P("f"), O_PATH), C(utimensat, FD(0), 0, P(times_set), 0),
      C(utimensat, FD(0), P(""), P(times_set), AT_EMPTY_PATH),
      C(utimensat, HERE, 0, P(times_set), 0)}},
    {"utimes",
     {C(utimes, P("f"), P(timevals)), C(stat, P("f"), OUT), C(utimes, P("f"), 0),
      C(utimes, P("zz"), P(timevals_bad)), C(utimes, P("zz"), BAD)}},
    {"futimesat",
     {C(open, P("f"), O_RDONLY), C(futimesat, FD(0), 0, P(timevals)), C(stat, P("f"), OUT),
      C(futimesat, HERE, 0, P(timevals)), C(futimesat, 999, P("f"), P(timevals))}},
    {"utime",
     {C(utime, P("f"), P(utime_values)), C(stat, P("f"), OUT), C(utime, P("f"), 0),
      C(utime, P("zz"), BAD), C(utime, BAD, 0)}},

    /* extended attributes */
    {"setxattr",
     {C(setxattr, P("f"), P("user.a"), P("value"), 5, 0),
      C(getxattr, P("f"), P("user.a"), OUT, 100), C(listxattr, P("f"), OUT, 100),
      C(removexattr, P("f"), P("user.a")), C(getxattr, P("f"), P("user.a"), OUT, 100)}},
    {"setxattr, flags",
     {C(setxattr, P("f"), P("user.a"), P("v"), 1, XATTR_REPLACE),
      C(setxattr, P("f"), P("user.a"), P("v"), 1, XATTR_CREATE),
      C(setxattr, P("f"), P("user.a"), P("v"), 1, XATTR_CREATE),
      C(setxattr, P("f"), P("user.a"), P("v"), 1, 4), C(setxattr, BAD, BAD, BAD, 1, 4)}},
    {"setxattr, names",
     {C(setxattr, P("f"), P(""), P("v"), 1, 0),
      C(setxattr, P("f"), P("user." NAME_255), P("v"), 1, 0),
      C(setxattr, P("f"), BAD, P("v"), 1, 0), C(setxattr, P("zz"), P(""), P("v"), 1, 0),
      C(setxattr, P("f"), P("nonsense"), P("v"), 1, 0)}},
    {"setxattr, values",
     {C(setxattr, P("f"), P("user.a"), BAD, 1, 0),
      C(setxattr, P("zz"), P("user.a"), P("v"), 65537, 0),
      C(setxattr, P("f"), P("user.a"), BAD, 0, 0), C(getxattr, P("f"), P("user.a"), OUT, 0)}},
    {"setxattr, types",
     {C(setxattr, P("p"), P("user.a"), P("v"), 1, 0),
      C(lsetxattr, P("l"), P("user.a"), P("v"), 1, 0),
      C(setxattr, P("d"), P("user.a"), P("v"), 1, 0),
      C(setxattr, P("zz"), P("user.a"), P("v"), 1, 0),
      C(setxattr, BAD, P("user.a"), P("v"), 1, 0)}},
    {"getxattr, sizes",
     {C(setxattr, P("f"), P("user.a"), P("value"), 5, 0), C(getxattr, P("f"), P("user.a"), OUT, 0),
      C(getxattr, P("f"), P("user.a"), OUT, 3), C(getxattr, P("f"), P("user.a"), BAD, 100),
      C(getxattr, P("f"), P("user.a"), OUT, 1 << 20)}},
    {"getxattr, errors",
     {C(getxattr, P("f"), P("user.none"), OUT, 100), C(getxattr, P("zz"), P("user.none"), OUT, 100),
      C(getxattr, P("zz"), P(""), OUT, 100), C(getxattr, BAD, BAD, OUT, 100),
      C(lgetxattr, P("lbroken"), P("user.none"), OUT, 100)}},
    {"listxattr",
     {C(setxattr, P("f"), P("user.a"), P("v"), 1, 0), C(listxattr, P("f"), OUT, 3),
      C(listxattr, P("zz"), OUT, 3), C(llistxattr, P("lbroken"), OUT, 100),
      C(listxattr, P("lbroken"), OUT, 100)}},
    {"fsetxattr",
     {C(open, P("f"), O_RDONLY), C(fsetxattr, FD(0), P("user.a"), P("v"), 1, 0),
      C(fgetxattr, FD(0), P("user.a"), OUT, 100), C(flistxattr, FD(0), OUT, 100),
      C(fremovexattr, FD(0), P("user.a"))}},
    {"fsetxattr, errors",
     {C(fsetxattr, 999, P("user.a"), P("v"), 1, 0), C(fsetxattr, 999, BAD, P("v"), 1, 0),
      C(fgetxattr, 999, P(""), OUT, 1), C(flistxattr, 999, OUT, 1),
      C(flistxattr, (uint64_t)-1, OUT, 1)}},
    {"fsetxattr, O_PATH",
     {C(open, P("f"), O_PATH), C(fsetxattr, FD(0), P("user.a"), P("v"), 1, 0),
      C(fgetxattr, FD(0), P("user.a"), OUT, 1), C(flistxattr, FD(0), OUT, 9),
      C(fremovexattr, FD(0), P("user.a"))}},
    {"removexattr",
     {C(removexattr, P("f"), P("user.none")), C(removexattr, P("zz"), P("user.a")),
      C(removexattr, P("zz"), P("")), C(lremovexattr, P("l"), P("user.a"))}},
    {"listxattrat",
     {C(setxattr, P("f"), P("user.a"), P("v"), 1, 0), C(listxattrat, HERE, P("f"), 0, OUT, 100),
      C(listxattrat, HERE, P("f"), 0x200, OUT, 100),
      C(listxattrat, HERE, P("lbroken"), AT_SYMLINK_NOFOLLOW, OUT, 100),
      C(listxattrat, 999, P(""), AT_EMPTY_PATH, OUT, 100)}},
    {"getxattrat",
     {C(getxattrat, HERE, P("f"), 0, P("user.a"), P(&xattr_get_args), 16),
      C(getxattrat, HERE, P("f"), 0, P("user.a"), P(&xattr_bad_args), 16),
      C(getxattrat, HERE, P("f"), 0, P("user.a"), P(&xattr_get_args), 8),
      C(getxattrat, HERE, P("f"), 0, P("user.a"), P(&xattr_get_args), 8000),
      C(getxattrat, HERE, P("f"), 0x200, P(""), P(&xattr_get_args), 16)}},
    {"removexattrat",
     {C(open, P("f"), O_RDONLY), C(setxattr, P("f"), P("user.a"), P("v"), 1, 0),
      C(removexattrat, FD(0), P(""), AT_EMPTY_PATH, P("user.a")),
      C(removexattrat, FD(0), 0, AT_EMPTY_PATH, P("user.a")),
      C(removexattrat, HERE, BAD, 0x200, P("user.a"))}},

    /* directories */
    {"getdents64",
     {C(open, P("d"), O_RDONLY), C(getdents64, FD(0), OUT, 32768),
      C(getdents64, FD(0), OUT, 32768)}},
    {"getdents",
     {C(open, P("d"), O_RDONLY), C(getdents, FD(0), OUT, 32768), C(getdents, FD(0), OUT, 32768)}},
    {"getdents64, errors",
     {C(open, P("d"), O_RDONLY), C(getdents64, FD(0), OUT, 5), C(getdents64, FD(0), BAD, 32768),
      C(getdents64, 999, OUT, 100), C(getdents64, FD(0), OUT, 32768)}},
    {"getdents64, file", {C(open, P("f"), O_RDONLY), C(getdents64, FD(0), OUT, 100)}},
    {"getdents64, O_PATH", {C(open, P("d"), O_PATH), C(getdents64, FD(0), OUT, 100)}},
    {"getdents64, removed",
     {C(open, P("e"), O_RDONLY), C(rmdir, P("e")), C(getdents64, FD(0), OUT, 100)}},
    {"chdir",
     {C(chdir, P("d")), C(stat, P("a"), OUT), C(getcwd, OUT, 4096), C(chdir, P("..")),
      C(getcwd, OUT, 4096)}},
    {"chdir, errors",
     {C(chdir, P("f")), C(chdir, P("zz")), C(chdir, P("")), C(chdir, BAD), C(chdir, P("nd"))}},
    {"chdir, link", {C(chdir, P("ld")), C(getcwd, OUT, 4096), C(stat, P("../f"), OUT)}},
    {"chdir, file through link", {C(chdir, P("l")), C(chdir, P("loop"))}},
    {"fchdir",
     {C(open, P("d"), O_PATH), C(fchdir, FD(0)), C(getcwd, OUT, 4096), C(fchdir, 999),
      C(stat, P("a"), OUT)}},
    {"fchdir, file", {C(open, P("f"), O_RDONLY), C(fchdir, FD(0))}},
    {"fchdir, moved",
     {C(open, P("d"), O_PATH), C(rename, P("d"), P("e/q")), C(fchdir, FD(0)), C(getcwd, OUT, 4096),
      C(stat, P("../../f"), OUT)}},
    {"getcwd, errors",
     {C(getcwd, OUT, 2), C(getcwd, BAD, 4096), C(getcwd, OUT, 0), C(getcwd, BAD, 1)}},
    {"getcwd, removed",
     {C(chdir, P("e")), C(rmdir, P("../e")), C(getcwd, OUT, 4096),
      C(open, P("new"), O_CREAT | O_RDWR, 0600), C(stat, P("."), OUT)}},
    {"getcwd, removed, parent",
     {C(chdir, P("e")), C(rmdir, P("../e")), C(stat, P(".."), OUT), C(mkdir, P("x"), 0700),
      C(stat, P("../f"), OUT)}},
    {"getcwd, moved",
     {C(chdir, P("d/sub")), C(rename, P("../../d"), P("../../new")), C(getcwd, OUT, 4096)}},
    {"umask",
     {C(umask, 077), C(umask, 07777), C(umask, 0), C(open, P("new"), O_CREAT | O_RDWR, 0666),
      C(stat, P("new"), OUT)}},
    {"umask, used",
     {C(umask, 077), C(mkdir, P("new"), 0777), C(stat, P("new"), OUT),
      C(mknod, P("n2"), S_IFIFO | 0666, 0), C(stat, P("n2"), OUT)}},
    {"chroot, errors",
     {C(chroot, P("f")), C(chroot, P("zz")), C(chroot, BAD), C(chroot, P("")),
      C(chroot, P("lbroken"))}},
    {"inotify, mask",
     {C(inotify_add_watch, 999, P("f"), 0), C(inotify_add_watch, 999, P("f"), IN_OPEN),
      C(inotify_add_watch, 999, BAD, 0x00100000), C(inotify_add_watch, 999, P("f"), IN_ONLYDIR)}},
    {"inotify, wrong descriptor",
     {C(open, P("f"), O_RDONLY), C(inotify_add_watch, FD(0), P("zz"), IN_OPEN),
      C(inotify_add_watch, FD(0), P("f"), IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE)}},
};

/* ---- comparing ---- */

static char tree[64]; /* "/tmp/XXXXXX/t": where both sides have it */
static char base[48];

static int make_base(void **state)
{
    (void)state;
    snprintf(base, sizeof(base), "/tmp/cerebro-files-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    chmod(base, 0755);
    snprintf(tree, sizeof(tree), "%s/t", base);
    return 0;
}

static int remove_base(void **state)
{
    (void)state;
    return rmdir(base);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names and types of a listing, sorted; "." and ".." included. */
static void describe_listing(const unsigned char *records, int64_t length, bool old,
                             struct strbuf *text)
{
    char *lines[256];
    size_t count = 0;

    for (int64_t at = 0; at < length && count < 256;) {
        uint16_t size;
        unsigned type;
        char line[300];

        memcpy(&size, records + at + 16, sizeof(size));
        type = old ? records[at + size - 1] : records[at + 18];
        snprintf(line, sizeof(line), "%s:%u", (const char *)records + at + (old ? 18 : 19), type);
        lines[count++] = strdup(line);
        at += size;
    }
    qsort(lines, count, sizeof(char *), compare_lines);
    for (size_t i = 0; i < count; i++) {
        strbuf_addf(text, "%s ", lines[i]);
        free(lines[i]);
    }
}

/* Labels and capabilities of the host's security modules are nobody's business here. */
static void describe_names(const unsigned char *names, int64_t length, struct strbuf *text)
{
    for (int64_t at = 0; at < length; at += (int64_t)strlen((const char *)names + at) + 1)
        if (strncmp((const char *)names + at, "user.", 5) == 0)
            strbuf_addf(text, "%s ", names + at);
}

static void describe_stat(const unsigned char *output, struct strbuf *text)
{
    struct stat stat;

    memcpy(&stat, output, sizeof(stat));
    strbuf_addf(text, "mode %o owner %u:%u device %lx", stat.st_mode, stat.st_uid, stat.st_gid,
                (unsigned long)stat.st_rdev);
    if (!S_ISDIR(stat.st_mode))
        strbuf_addf(text, " size %ld links %lu", (long)stat.st_size, (unsigned long)stat.st_nlink);
    /* Only what a call has set is the same on both sides. */
    if (stat.st_mtim.tv_sec < 100000)
        strbuf_addf(text, " mtime %ld.%ld", stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec);
    if (stat.st_atim.tv_sec < 100000)
        strbuf_addf(text, " atime %ld.%ld", stat.st_atim.tv_sec, stat.st_atim.tv_nsec);
}

static void describe_statx(const unsigned char *output, struct strbuf *text)
{
    struct statx stat;

    memcpy(&stat, output, sizeof(stat));
    /* Since Linux 6.13 some file systems leave these two out when nobody asks for them. */
    strbuf_addf(text, "mask %x mode %o owner %u:%u",
                stat.stx_mask & STATX_BASIC_STATS & ~(STATX_MTIME | STATX_CTIME), stat.stx_mode,
                stat.stx_uid, stat.stx_gid);
    if (!S_ISDIR(stat.stx_mode))
        strbuf_addf(text, " size %llu links %u", stat.stx_size, stat.stx_nlink);
}

/* What a call gave, as text, without what may differ between file systems. */
static void describe(struct side *side, const struct side_call *call, int64_t result,
                     struct strbuf *text)
{
    const unsigned char *output = side_output(side);

    switch (call->nr) {
    case ABI_NR_getdents:
    case ABI_NR_getdents64:
        strbuf_addf(text, "%d ", result < 0 ? (int)result : 0);
        describe_listing(output, result, call->nr == ABI_NR_getdents, text);
        return;
    case ABI_NR_listxattr:
    case ABI_NR_llistxattr:
    case ABI_NR_flistxattr:
    case ABI_NR_listxattrat:
        strbuf_addf(text, "%d ", result < 0 ? (int)result : 0);
        describe_names(output, result, text);
        return;
    }
    strbuf_addf(text, "%d ", (int)result);
    if (result < 0)
        return;
    switch (call->nr) {
    case ABI_NR_stat:
    case ABI_NR_lstat:
    case ABI_NR_fstat:
    case ABI_NR_newfstatat:
        describe_stat(output, text);
        break;
    case ABI_NR_statx:
        describe_statx(output, text);
        break;
    case ABI_NR_readlink:
    case ABI_NR_readlinkat:
    case ABI_NR_getcwd:
    case ABI_NR_getxattr:
    case ABI_NR_fgetxattr:
        strbuf_add_string(text, (const char *)output);
        break;
    }
}

/* Does one of the two names of a rename belong to a directory? */
static bool renames_directory(struct side *kernel, const struct side_call *call)
{
    bool at = call->nr != ABI_NR_rename;

    for (int i = 0; i < 2; i++) {
        uint64_t dirfd = at ? call->args[2 * i] : HERE;
        uint64_t path = at ? call->args[2 * i + 1] : call->args[i];
        struct stat stat;

        if (side_call(kernel, &(struct side_call)C(newfstatat, dirfd, path, OUT, 0)) < 0)
            continue;
        memcpy(&stat, side_output(kernel), sizeof(stat));
        if (S_ISDIR(stat.st_mode))
            return true;
    }
    return false;
}

/*
 * An overlay does not move directories of its lower layer, as the kernel's without redirect_dir:
 * EXDEV, and programs copy instead.
 */
static bool is_layer_rename(struct side *kernel, struct side *guest, const struct side_call *call,
                            int64_t result)
{
    bool layers = ON_LAYERS & ON(side_kind(guest));
    bool rename =
        call->nr == ABI_NR_rename || call->nr == ABI_NR_renameat || call->nr == ABI_NR_renameat2;

    return result == -EXDEV && layers && rename && renames_directory(kernel, call);
}

/* Makes the call on both sides; false when they differ. */
static bool same(struct side *kernel, struct side *guest, const struct side_call *call,
                 const char *name)
{
    cleanup_strbuf struct strbuf expected = {0};
    cleanup_strbuf struct strbuf got = {0};
    int64_t result = side_call(guest, call);

    describe(guest, call, result, &got);
    if (is_layer_rename(kernel, guest, call, result))
        return true;
    result = side_call(kernel, call);
    describe(kernel, call, result, &expected);
    if (strcmp(strbuf_text(&expected), strbuf_text(&got)) == 0)
        return true;
    print_message("%s: %s: kernel %s, guest %s\n", name, abi_syscall_by_nr(call->nr)->name,
                  strbuf_text(&expected), strbuf_text(&got));
    return false;
}

static bool same_trees(struct side *kernel, struct side *guest, const char *name)
{
    cleanup_free char *expected = side_snapshot(kernel);
    cleanup_free char *got = side_snapshot(guest);

    if (strcmp(expected, got) == 0)
        return true;
    print_message("%s: trees differ\n--- kernel\n%s--- guest\n%s", name, expected, got);
    return false;
}

static bool run_case(enum side_kind kind, const struct test_case *test)
{
    struct side *kernel = side_new(SIDE_KERNEL, tree);
    struct side *guest = side_new(kind, tree);
    bool right = true;

    side_populate(kernel);
    side_populate(guest);
    for (int i = 0; i < STEPS_MAX && (test->steps[i].nr || test->steps[i].args[0]); i++)
        right &= same(kernel, guest, &test->steps[i], test->name);
    if (right)
        right = same_trees(kernel, guest, test->name);
    side_free(guest);
    side_free(kernel);
    return right;
}

static void run_table(enum side_kind kind)
{
    int wrong = 0;

    for (size_t i = 0; i < array_length(cases); i++)
        wrong += !(cases[i].differs & ON(kind)) && !run_case(kind, &cases[i]);
    assert_int_equal(wrong, 0);
}

static void test_table_on_host(void **state)
{
    (void)state;
    run_table(SIDE_HOST);
}

static void test_table_on_memory(void **state)
{
    (void)state;
    run_table(SIDE_MEMORY);
}

static void test_table_on_overlay(void **state)
{
    (void)state;
    run_table(SIDE_OVERLAY);
}

static void test_table_on_host_upper(void **state)
{
    (void)state;
    run_table(SIDE_UPPER);
}

/* ---- random sequences ---- */

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static uintptr_t random_path(uint32_t *seed)
{
    static const char *const paths[] = {
        "a",   "b",    "c",     "d",       "d/a",      "d/b",   "e",    "e/a",
        "l",   "l/a",  "ld",    "ld/a",    "ld/../a",  "d/sub", "d/c",  "d/sub/a",
        "a/a", "a/b",  "a/a/a", "b/a",     "c/",       "d/",    "./a",  "../w/b",
        "f",   "h1",   "h2",    "lbroken", "none",     "p",     "e/d",  "e/d/a",
        "d/.", "e/..", "a//b",  "l2",      "lslash/a", "wd/a",  "wd/b", "x",
    };

    return (uintptr_t)paths[next_random(seed) % array_length(paths)];
}

static struct side_call random_call(uint32_t *seed)
{
    static const int open_flags[] = {
        O_RDONLY,    O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_EXCL, O_WRONLY | O_TRUNC,
        O_DIRECTORY, O_NOFOLLOW,       O_PATH | O_NOFOLLOW,         O_RDWR | O_CREAT | O_NOFOLLOW,
    };
    uintptr_t a = random_path(seed);
    uintptr_t b = random_path(seed);
    uint32_t n = next_random(seed);

    switch (next_random(seed) % 20) {
    case 0:
    case 1:
    case 2:
        /* Never without O_NONBLOCK: there is a FIFO in the tree. */
        return (struct side_call)C(open, a, (unsigned)open_flags[n % 8] | O_NONBLOCK, 0666);
    case 3:
    case 4:
        return (struct side_call)C(mkdir, a, 0777);
    case 5:
        return (struct side_call)C(rmdir, a);
    case 6:
        return (struct side_call)C(unlink, a);
    case 7:
    case 8:
        return (struct side_call)C(rename, a, b);
    case 9:
        return (struct side_call)C(renameat2, HERE, a, HERE, b, n % 3);
    case 10:
        return (struct side_call)C(link, a, b);
    case 11:
        return (struct side_call)C(symlink, a, b);
    case 12:
        /* The working directory must stay one for the side that really goes there. */
        return (struct side_call)C(chmod, a, (n & 0777) | (strstr((char *)a, "..") ? 0700 : 0));
    case 13:
        return (struct side_call)C(truncate, a, n % 20);
    case 14:
        return (struct side_call)C(stat, a, OUT);
    case 15:
        return (struct side_call)C(lstat, a, OUT);
    case 16:
        return (struct side_call)C(readlink, a, OUT, 100);
    case 17:
        return (struct side_call)C(mknod, a, n % 2 ? S_IFIFO | 0644 : S_IFREG | 0600, 0);
    case 18:
        return (struct side_call)C(access, a, n % 8);
    default:
        return (struct side_call)C(setxattr, a, P("user.r"), P("value"), n % 5, n % 3);
    }
}

/* A random sequence of calls; false when the sides came to differ. */
static bool run_random(enum side_kind kind, uint32_t seed, int count)
{
    struct side *kernel = side_new(SIDE_KERNEL, tree);
    struct side *guest = side_new(kind, tree);
    uint32_t state = seed;
    bool right = true;
    char name[64];

    side_populate(kernel);
    side_populate(guest);
    for (int i = 0; i < count && right; i++) {
        struct side_call call = random_call(&state);
        bool at = call.args[0] == HERE;

        snprintf(name, sizeof(name), "random, seed %u, step %d", seed, i);
        right =
            same(kernel, guest, &call, name) && (i % 50 != 49 || same_trees(kernel, guest, name));
        if (!right)
            print_message("%s: of %s, %d\n", name, (const char *)(uintptr_t)call.args[at],
                          (int)call.args[at + 1]);
        side_drop(kernel);
        side_drop(guest);
    }
    side_free(guest);
    side_free(kernel);
    return right;
}

static void run_random_kind(enum side_kind kind)
{
    int wrong = 0;

    for (uint32_t seed = 1; seed <= 15; seed++)
        wrong += !run_random(kind, seed * 2654435761u, 200);
    assert_int_equal(wrong, 0);
}

static void test_random_on_host(void **state)
{
    (void)state;
    run_random_kind(SIDE_HOST);
}

static void test_random_on_memory(void **state)
{
    (void)state;
    run_random_kind(SIDE_MEMORY);
}

static void test_random_on_overlay(void **state)
{
    (void)state;
    run_random_kind(SIDE_OVERLAY);
}

static void test_random_on_host_upper(void **state)
{
    (void)state;
    run_random_kind(SIDE_UPPER);
}

/* ---- what the host cannot tell ---- */

static struct side *new_guest(enum side_kind kind)
{
    struct side *guest = side_new(kind, tree);

    side_populate(guest);
    return guest;
}

static void expect_answer(struct side *guest, struct side_call call, struct pk_answer expected)
{
    struct pk_answer answer = side_answer(guest, &call);

    assert_int_equal(answer.kind, expected.kind);
    assert_int_equal(answer.value, expected.value);
    pk_answer_discard(&answer);
}

/* A FIFO without a peer is opened by a worker, with the flags that the guest gave. */
static void test_fifo_is_deferred(void **state)
{
    struct side *guest = new_guest(SIDE_MEMORY);
    struct pk_answer answer, final;
    int peer;

    (void)state;
    answer = side_answer(guest, &(struct side_call)C(open, P("p"), O_RDONLY | O_CLOEXEC));
    assert_int_equal(answer.kind, PK_ANSWER_DEFERRED);
    final = answer.job->finish(answer.job, NULL, -EINTR);
    assert_int_equal(final.value, -EINTR);
    assert_int_equal(side_call(guest, &(struct side_call)C(open, P("p"), O_RDWR)), 0);
    peer = side_fd(guest, 0);
    assert_int_equal(answer.job->run(answer.job), 0);
    final = answer.job->finish(answer.job, NULL, 0);
    assert_int_equal(final.kind, PK_ANSWER_DESCRIPTOR);
    assert_int_equal(final.fd_flags, O_CLOEXEC);
    assert_int_equal(fcntl(final.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(write(peer, "x", 1), 1);
    assert_int_equal(read(final.fd, &(char){0}, 1), 1);
    pk_answer_discard(&final);
    pk_answer_discard(&answer);
    side_free(guest);
}

static void test_close_on_exec(void **state)
{
    struct side *guest = new_guest(SIDE_HOST);
    struct pk_answer answer;

    (void)state;
    answer = side_answer(guest, &(struct side_call)C(open, P("f"), O_RDONLY));
    assert_int_equal(answer.fd_flags, 0);
    pk_answer_discard(&answer);
    answer = side_answer(guest, &(struct side_call)C(open, P("f"), O_RDONLY | O_CLOEXEC));
    assert_int_equal(answer.fd_flags, O_CLOEXEC);
    pk_answer_discard(&answer);
    side_free(guest);
}

/* After chroot(2) the names are those inside; what lies outside is said to. */
static void test_chroot(void **state)
{
    struct side *guest = new_guest(SIDE_MEMORY);
    char text[300];

    (void)state;
    if (geteuid() != 0) {
        expect_answer(guest, (struct side_call)C(chroot, P("d")), pk_error(-EPERM));
        side_free(guest);
        SKIP("chroot needs root");
    }
    expect_answer(guest, (struct side_call)C(chroot, P("d")), pk_value(0));
    snprintf(text, sizeof(text), "(unreachable)%s/w", tree);
    assert_int_equal(side_call(guest, &(struct side_call)C(getcwd, OUT, 4096)), strlen(text) + 1);
    assert_string_equal((const char *)side_output(guest), text);
    expect_answer(guest, (struct side_call)C(chdir, P("/sub")), pk_value(0));
    assert_int_equal(side_call(guest, &(struct side_call)C(getcwd, OUT, 4096)), 5);
    assert_string_equal((const char *)side_output(guest), "/sub");
    expect_answer(guest, (struct side_call)C(chdir, P("../../..")), pk_value(0));
    assert_int_equal(side_call(guest, &(struct side_call)C(getcwd, OUT, 4096)), 2);
    assert_int_equal(side_call(guest, &(struct side_call)C(access, P("/a"), F_OK)), 0);
    side_free(guest);
}

static uint64_t generation(struct side *guest)
{
    return atomic_load(&side_kernel(guest)->generation);
}

/* Every change counts, and nothing else does. */
static void test_generation(void **state)
{
    static const struct side_call changes[] = {
        C(mkdir, P("n"), 0777),
        C(chmod, P("f"), 0600),
        C(rename, P("n"), P("m")),
        C(rmdir, P("m")),
        C(truncate, P("f"), 1),
        C(utimes, P("f"), 0),
        C(creat, P("n"), 0600),
        C(unlink, P("n")),
        C(symlink, P("x"), P("n")),
        C(link, P("f"), P("n2")),
        C(mknod, P("n3"), S_IFIFO),
        C(open, P("f"), O_TRUNC | O_RDWR),
        C(setxattr, P("f"), P("user.a"), P("v"), 1, 0),
        C(removexattr, P("f"), P("user.a")),
        C(lchown, P("f"), (uint32_t)-1, (uint32_t)-1),
    };
    static const struct side_call others[] = {
        C(stat, P("f"), OUT),   C(access, P("f"), R_OK), C(readlink, P("l"), OUT, 10),
        C(open, P("f"), 0),     C(umask, 022),           C(chdir, P(".")),
        C(statfs, P("f"), OUT), C(getcwd, OUT, 4096),    C(getxattr, P("d"), P("user.a"), OUT, 9),
    };
    struct side *guest = new_guest(SIDE_MEMORY);

    (void)state;
    for (size_t i = 0; i < array_length(changes); i++) {
        uint64_t before = generation(guest);

        assert_true(side_call(guest, &changes[i]) >= 0);
        assert_true(generation(guest) > before);
    }
    for (size_t i = 0; i < array_length(others); i++) {
        uint64_t before = generation(guest);

        side_call(guest, &others[i]);
        assert_int_equal(generation(guest), before);
    }
    side_free(guest);
}

/* A descriptor in the window that the process kernel does not serve is the host's business. */
static void test_ordinary_descriptor_in_window(void **state)
{
    static const struct side_call native[] = {
        C(read, SIDE_WINDOW, OUT, 10),
        C(write, SIDE_WINDOW, OUT, 10),
        C(pread64, SIDE_WINDOW, OUT, 1, 0),
        C(lseek, SIDE_WINDOW, 0, 0),
        C(fsync, SIDE_WINDOW),
        C(fdatasync, SIDE_WINDOW),
        C(flock, SIDE_WINDOW, 1),
        C(dup, SIDE_WINDOW),
        C(dup2, SIDE_WINDOW, 5),
        C(mmap, 0, 1, 1, 1, SIDE_WINDOW, 0),
        C(ftruncate, SIDE_WINDOW, 1),
        C(fallocate, SIDE_WINDOW, 0, 0, 1),
        C(sendfile, 1, SIDE_WINDOW, 0, 1),
        C(copy_file_range, SIDE_WINDOW, 0, 1, 0, 1, 0),
        C(fcntl, SIDE_WINDOW, F_DUPFD, 3),
        C(fcntl, SIDE_WINDOW, F_GETFL),
        C(ioctl, SIDE_WINDOW, 0x541b, OUT),
    };
    struct side *guest = new_guest(SIDE_HOST);

    (void)state;
    assert_int_equal(side_call(guest, &(struct side_call)C(open, P("f"), O_RDWR)), 0);
    assert_int_equal(dup2(side_fd(guest, 0), SIDE_WINDOW), SIDE_WINDOW);
    for (size_t i = 0; i < array_length(native); i++)
        expect_answer(guest, native[i], pk_native());
    close(SIDE_WINDOW);
    expect_answer(guest, (struct side_call)C(read, SIDE_WINDOW, OUT, 10), pk_error(-EBADF));
    expect_answer(guest, (struct side_call)C(dup, SIDE_WINDOW), pk_error(-EBADF));
    side_free(guest);
}

/* A directory of layers is served: it gets a number in the window, and so do its duplicates. */
static void test_served_descriptor(void **state)
{
    struct side *guest = new_guest(SIDE_OVERLAY);
    struct pk_answer answer;

    (void)state;
    answer = side_answer(guest, &(struct side_call)C(open, P("."), O_RDONLY | O_CLOEXEC));
    assert_int_equal(answer.kind, PK_ANSWER_DESCRIPTOR);
    assert_int_equal(answer.number, SIDE_WINDOW);
    assert_int_equal(dup2(answer.fd, SIDE_WINDOW), SIDE_WINDOW);
    pk_answer_discard(&answer);
    answer = side_answer(guest, &(struct side_call)C(dup, SIDE_WINDOW));
    assert_int_equal(answer.kind, PK_ANSWER_DESCRIPTOR);
    assert_int_equal(answer.number, SIDE_WINDOW + 1);
    assert_int_equal(answer.fd_flags, 0);
    pk_answer_discard(&answer);
    answer = side_answer(
        guest, &(struct side_call)C(fcntl, SIDE_WINDOW, F_DUPFD_CLOEXEC, SIDE_WINDOW + 7));
    assert_int_equal(answer.number, SIDE_WINDOW + 7);
    assert_int_equal(answer.fd_flags, O_CLOEXEC);
    pk_answer_discard(&answer);
    expect_answer(guest, (struct side_call)C(fcntl, SIDE_WINDOW, F_DUPFD, 1000), pk_native());
    expect_answer(guest, (struct side_call)C(fcntl, SIDE_WINDOW, F_DUPFD, (uint64_t)-1),
                  pk_native());
    expect_answer(guest, (struct side_call)C(read, SIDE_WINDOW, OUT, 1), pk_error(-EISDIR));
    expect_answer(guest, (struct side_call)C(sendfile, 1, SIDE_WINDOW, 0, 1), pk_error(-EINVAL));
    expect_answer(guest, (struct side_call)C(copy_file_range, 1, 0, SIDE_WINDOW, 0, 1, 0),
                  pk_error(-EISDIR));
    expect_answer(guest, (struct side_call)C(fallocate, SIDE_WINDOW, 0, 0, 1), pk_error(-EBADF));
    assert_true(side_call(guest, &(struct side_call)C(getdents64, SIDE_WINDOW, OUT, 4096)) > 0);
    expect_answer(guest, (struct side_call)C(mmap, 0x100000, 1, 1, 0x12, SIDE_WINDOW, 0),
                  pk_error(-EPERM));
    close(SIDE_WINDOW);
    side_free(guest);
}

/* What a guest may ask of a descriptor outside of the window. */
static void test_ioctl_and_fcntl(void **state)
{
    struct side *guest = new_guest(SIDE_HOST);
    int flags;

    (void)state;
    assert_int_equal(side_call(guest, &(struct side_call)C(open, P("f"), O_RDONLY)), 0);
    expect_answer(guest, (struct side_call)C(ioctl, FD(0), 0x12345678, OUT), pk_error(-ENOTTY));
    expect_answer(guest, (struct side_call)C(ioctl, 999, 0x12345678, OUT), pk_error(-EBADF));
    expect_answer(guest, (struct side_call)C(ioctl, FD(0), 0x5401, OUT), pk_native());
    expect_answer(guest, (struct side_call)C(ioctl, FD(0), 0x8912, OUT), pk_error(-ENODEV));
    expect_answer(guest, (struct side_call)C(ioctl, FD(0), 0xc020660b, OUT), pk_error(-EOPNOTSUPP));
    expect_answer(guest, (struct side_call)C(ioctl, FD(0), 0x5412, OUT), pk_error(-ENOTTY));
    /* FS_IOC_SETFLAGS works on the inode, whatever the descriptor was opened for. */
    if (ioctl(side_fd(guest, 0), 0x80086601, &flags) == 0) {
        expect_answer(guest, (struct side_call)C(ioctl, FD(0), 0x40086602, P(&flags)), pk_value(0));
        flags ^= 0x10; /* FS_IMMUTABLE_FL */
        expect_answer(guest, (struct side_call)C(ioctl, FD(0), 0x40086602, P(&flags)),
                      pk_error(-EOPNOTSUPP));
    }
    expect_answer(guest, (struct side_call)C(fcntl, FD(0), 12345, 0), pk_error(-EINVAL));
    expect_answer(guest, (struct side_call)C(fcntl, FD(0), F_SETLEASE, 99), pk_error(-EINVAL));
    expect_answer(guest, (struct side_call)C(fcntl, FD(0), F_GETLK, OUT), pk_native());
    side_free(guest);
}

/* file_getattr(2) shows what statx(2) tells; file_setattr(2) takes back what it showed. */
static void test_file_attributes(void **state)
{
    struct side *guest = new_guest(SIDE_HOST);
    uint64_t attributes[4];
    int64_t r = side_call(guest, &(struct side_call)C(file_getattr, HERE, P("f"), OUT, 32, 0));

    (void)state;
    if (r != -EOPNOTSUPP) {
        assert_int_equal(r, 0);
        memcpy(attributes, side_output(guest), sizeof(attributes));
        assert_int_equal(attributes[0], 0);
        assert_int_equal(attributes[3], 0);
        expect_answer(guest, (struct side_call)C(file_setattr, HERE, P("f"), P(attributes), 24, 0),
                      pk_value(0));
        attributes[0] = 8; /* FS_XFLAG_IMMUTABLE */
        expect_answer(guest, (struct side_call)C(file_setattr, HERE, P("f"), P(attributes), 24, 0),
                      pk_error(-EOPNOTSUPP));
    }
    expect_answer(guest, (struct side_call)C(file_getattr, HERE, P("f"), OUT, 8, 0),
                  pk_error(-EINVAL));
    expect_answer(guest, (struct side_call)C(file_getattr, HERE, P("f"), OUT, 5000, 0),
                  pk_error(-E2BIG));
    expect_answer(guest, (struct side_call)C(file_getattr, HERE, P("zz"), OUT, 24, 0),
                  pk_error(-ENOENT));
    expect_answer(guest, (struct side_call)C(file_getattr, HERE, P("f"), OUT, 24, 0x200),
                  pk_error(-EINVAL));
    side_free(guest);
}

static void test_inotify(void **state)
{
    struct side *guest = new_guest(SIDE_HOST);
    struct inotify_event event;
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    (void)state;
    side_give(guest, fd);
    assert_true(
        side_call(guest, &(struct side_call)C(inotify_add_watch, FD(0), P("d"), IN_CREATE)) > 0);
    assert_int_equal(side_call(guest, &(struct side_call)C(inotify_add_watch, FD(0), P("f"),
                                                           IN_OPEN | IN_ONLYDIR)),
                     -ENOTDIR);
    assert_int_equal(
        side_call(guest, &(struct side_call)C(inotify_add_watch, FD(0), P("zz"), IN_OPEN)),
        -ENOENT);
    assert_int_equal(side_call(guest, &(struct side_call)C(mkdir, P("d/n"), 0700)), 0);
    union {
        struct inotify_event event;
        char bytes[300];
    } buffer;
    assert_true(read(fd, &buffer, sizeof(buffer)) > 0);
    event = buffer.event;
    assert_true(event.mask & IN_CREATE);
    side_free(guest);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_on_host),
        cmocka_unit_test(test_table_on_memory),
        cmocka_unit_test(test_table_on_overlay),
        cmocka_unit_test(test_table_on_host_upper),
        cmocka_unit_test(test_random_on_host),
        cmocka_unit_test(test_random_on_memory),
        cmocka_unit_test(test_random_on_overlay),
        cmocka_unit_test(test_random_on_host_upper),
        cmocka_unit_test(test_fifo_is_deferred),
        cmocka_unit_test(test_close_on_exec),
        cmocka_unit_test(test_chroot),
        cmocka_unit_test(test_generation),
        cmocka_unit_test(test_ordinary_descriptor_in_window),
        cmocka_unit_test(test_served_descriptor),
        cmocka_unit_test(test_ioctl_and_fcntl),
        cmocka_unit_test(test_file_attributes),
        cmocka_unit_test(test_inotify),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
