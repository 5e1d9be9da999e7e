/* What files, directories, clocks and timers are told in. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <time.h>
#include <utime.h>

#include "base/cleanup.h"
#include "trace/trace-internal.h"

#define DIRENTS_SIZE_MAX (64 * 1024)

/* struct open_how of include/uapi/linux/openat2.h, as it was made. */
struct how {
    uint64_t flags, mode, resolve;
};

/* The start of a struct linux_dirent64; of the older form (d_ino, d_off) the length is there, too.
 */
struct dirent_head {
    uint64_t ino;
    int64_t offset;
    uint16_t length;
};

static bool is_device(mode_t mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode);
}

/* As strace abbreviates it: type, mode, and size or device. */
void trace_decode_statbuf(struct trace_decoder *d)
{
    struct stat stat;

    if (!trace_copy(d, trace_value(d), &stat, sizeof(stat)))
        return;
    strbuf_add_string(d->out, "{st_mode=");
    trace_flags(d->out, ABI_ARG_FILE_MODE, stat.st_mode);
    if (is_device(stat.st_mode))
        strbuf_addf(d->out, ", st_rdev=makedev(%#x, %#x), ...}", major(stat.st_rdev),
                    minor(stat.st_rdev));
    else
        strbuf_addf(d->out, ", st_size=%" PRId64 ", ...}", (int64_t)stat.st_size);
}

void trace_decode_statx(struct trace_decoder *d)
{
    struct statx stat;

    if (!trace_copy(d, trace_value(d), &stat, sizeof(stat)))
        return;
    strbuf_add_string(d->out, "{stx_mask=");
    trace_flags(d->out, ABI_ARG_STATX_MASK, stat.stx_mask);
    strbuf_add_string(d->out, ", stx_attributes=");
    trace_flags(d->out, ABI_ARG_STATX_ATTRIBUTES, stat.stx_attributes);
    strbuf_add_string(d->out, ", stx_mode=");
    trace_flags(d->out, ABI_ARG_FILE_MODE, stat.stx_mode);
    strbuf_addf(d->out, ", stx_size=%" PRIu64 ", ...}", (uint64_t)stat.stx_size);
}

void trace_decode_statfs(struct trace_decoder *d)
{
    struct statfs fs;

    if (!trace_copy(d, trace_value(d), &fs, sizeof(fs)))
        return;
    strbuf_add_string(d->out, "{f_type=");
    trace_flags(d->out, ABI_ARG_FS_MAGIC, (uint32_t)fs.f_type);
    strbuf_addf(d->out, ", f_bsize=%ld, f_blocks=%lu, f_bfree=%lu, f_bavail=%lu", fs.f_bsize,
                fs.f_blocks, fs.f_bfree, fs.f_bavail);
    strbuf_addf(d->out, ", f_files=%lu, f_ffree=%lu, f_fsid={val=[%#x, %#x]}", fs.f_files,
                fs.f_ffree, (unsigned)fs.f_fsid.__val[0], (unsigned)fs.f_fsid.__val[1]);
    strbuf_addf(d->out, ", f_namelen=%ld, f_frsize=%ld, f_flags=", fs.f_namelen, fs.f_frsize);
    trace_flags(d->out, ABI_ARG_FS_FLAGS, (uint64_t)fs.f_flags);
    strbuf_add_string(d->out, "}");
}

void trace_decode_open_how(struct trace_decoder *d)
{
    struct how how;

    if (trace_neighbour(d, 1) < sizeof(how)) {
        trace_address(d->out, trace_value(d));
        return;
    }
    if (!trace_copy(d, trace_value(d), &how, sizeof(how)))
        return;
    strbuf_add_string(d->out, "{flags=");
    trace_flags(d->out, ABI_ARG_OPEN_FLAGS, how.flags);
    if (how.flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) || how.mode)
        strbuf_addf(d->out, ", mode=%#03" PRIo64, how.mode);
    strbuf_add_string(d->out, ", resolve=");
    trace_flags(d->out, ABI_ARG_RESOLVE_FLAGS, how.resolve);
    strbuf_add_string(d->out, "}");
}

/* How many there are, as strace abbreviates it. */
void trace_decode_dirents(struct trace_decoder *d)
{
    size_t length = (size_t)d->result < DIRENTS_SIZE_MAX ? (size_t)d->result : DIRENTS_SIZE_MAX;
    cleanup_free char *bytes = malloc(length + 1);
    unsigned count = 0;

    trace_address(d->out, trace_value(d));
    if (bytes == NULL || pk_read(d->request, trace_value(d), bytes, length) < 0)
        return;
    for (size_t at = 0; at + sizeof(struct dirent_head) <= length; count++) {
        struct dirent_head head;

        memcpy(&head, bytes + at, sizeof(head));
        if (head.length == 0)
            break;
        at += head.length;
    }
    strbuf_addf(d->out, " /* %u entries */", count);
}

/* "[5]", or "[5] => [9]" when the call has moved it. */
void trace_decode_off(struct trace_decoder *d)
{
    cleanup_strbuf struct strbuf text = {0};
    int64_t offset;

    if (d->after && (trace_value(d) == 0 || strbuf_text(d->out)[0] != '['))
        return;
    if (!d->after) {
        if (trace_copy(d, trace_value(d), &offset, sizeof(offset)))
            strbuf_addf(d->out, "[%" PRId64 "]", offset);
        return;
    }
    if (pk_read(d->request, trace_value(d), &offset, sizeof(offset)) < 0)
        return;
    strbuf_addf(&text, "[%" PRId64 "]", offset);
    if (strcmp(strbuf_text(&text), strbuf_text(d->out)) != 0)
        strbuf_addf(d->out, " => %s", strbuf_text(&text));
}

void trace_decode_fdpair(struct trace_decoder *d)
{
    int pair[2];

    if (trace_copy(d, trace_value(d), pair, sizeof(pair)))
        strbuf_addf(d->out, "[%d, %d]", pair[0], pair[1]);
}

/* ---- times ---- */

void trace_decode_timespec(struct trace_decoder *d)
{
    struct timespec time;

    if (trace_copy(d, trace_value(d), &time, sizeof(time)))
        trace_time(d->out, time.tv_sec, time.tv_nsec, "tv_nsec");
}

void trace_decode_timeval(struct trace_decoder *d)
{
    struct timeval time;

    if (trace_copy(d, trace_value(d), &time, sizeof(time)))
        trace_time(d->out, time.tv_sec, time.tv_usec, "tv_usec");
}

/* The date behind a time of a file, which nobody reads in seconds. */
static void add_date(struct strbuf *out, time_t seconds, int64_t fraction, unsigned digits)
{
    struct tm parts;
    char text[64];

    if (localtime_r(&seconds, &parts) == NULL)
        return;
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    strbuf_addf(out, " /* %s", text);
    if (fraction)
        strbuf_addf(out, ".%0*" PRId64, (int)digits, fraction);
    strftime(text, sizeof(text), "%z", &parts);
    strbuf_addf(out, "%s */", text);
}

static void add_file_time(struct strbuf *out, const struct timespec *time)
{
    if (time->tv_nsec == UTIME_NOW || time->tv_nsec == UTIME_OMIT) {
        strbuf_add_string(out, time->tv_nsec == UTIME_NOW ? "UTIME_NOW" : "UTIME_OMIT");
        return;
    }
    trace_time(out, time->tv_sec, time->tv_nsec, "tv_nsec");
    add_date(out, time->tv_sec, time->tv_nsec, 9);
}

void trace_decode_timespec_pair(struct trace_decoder *d)
{
    struct timespec times[2];

    if (!trace_copy(d, trace_value(d), times, sizeof(times)))
        return;
    strbuf_add_string(d->out, "[");
    add_file_time(d->out, &times[0]);
    strbuf_add_string(d->out, ", ");
    add_file_time(d->out, &times[1]);
    strbuf_add_string(d->out, "]");
}

void trace_decode_timeval_pair(struct trace_decoder *d)
{
    struct timeval times[2];

    if (!trace_copy(d, trace_value(d), times, sizeof(times)))
        return;
    for (unsigned i = 0; i < 2; i++) {
        strbuf_add_string(d->out, i ? ", " : "[");
        trace_time(d->out, times[i].tv_sec, times[i].tv_usec, "tv_usec");
        add_date(d->out, times[i].tv_sec, times[i].tv_usec, 6);
    }
    strbuf_add_string(d->out, "]");
}

void trace_decode_utimbuf(struct trace_decoder *d)
{
    struct utimbuf times;

    if (!trace_copy(d, trace_value(d), &times, sizeof(times)))
        return;
    strbuf_addf(d->out, "{actime=%" PRId64, (int64_t)times.actime);
    add_date(d->out, times.actime, 0, 0);
    strbuf_addf(d->out, ", modtime=%" PRId64, (int64_t)times.modtime);
    add_date(d->out, times.modtime, 0, 0);
    strbuf_add_string(d->out, "}");
}

/* struct itimerval or itimerspec: the interval, and the time left. */
void trace_decode_itimer(struct trace_decoder *d)
{
    enum abi_arg_kind kind = d->request->call->args[d->index].kind;
    bool micro = kind == ABI_ARG_ITIMERVAL || kind == ABI_ARG_ITIMERVAL_OUT;
    const char *name = micro ? "tv_usec" : "tv_nsec";
    int64_t times[4];

    if (!trace_copy(d, trace_value(d), times, sizeof(times)))
        return;
    strbuf_add_string(d->out, "{it_interval=");
    trace_time(d->out, times[0], times[1], name);
    strbuf_add_string(d->out, ", it_value=");
    trace_time(d->out, times[2], times[3], name);
    strbuf_add_string(d->out, "}");
}
