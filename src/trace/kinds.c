/* Which function decodes which kind of argument, and when. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "trace/trace-internal.h"

/* Bits. */
enum when {
    IN = 1 << 0,     /* before the call is served */
    OUT = 1 << 1,    /* after it was, with success */
    EITHER = 1 << 2, /* whichever it can: what it leaves empty is asked for once more */
};

static void decode_path(struct trace_decoder *d)
{
    trace_string(d, trace_value(d), TRACE_PATH_MAX);
}

static void decode_str(struct trace_decoder *d)
{
    trace_string(d, trace_value(d), TRACE_STRING_MAX);
}

static void decode_buf_in(struct trace_decoder *d)
{
    trace_bytes(d, trace_value(d), trace_neighbour(d, 1));
}

static void decode_buf_out(struct trace_decoder *d)
{
    uint64_t room = trace_neighbour(d, 1);

    if (room == 0) /* only its size was asked for */
        trace_address(d->out, trace_value(d));
    else
        trace_bytes(d, trace_value(d), (uint64_t)d->result < room ? (uint64_t)d->result : room);
}

static const struct {
    trace_decode *decode;
    unsigned when;
} kinds[ABI_ARG_COUNT] = {
    [ABI_ARG_PATH] = {decode_path, IN},
    [ABI_ARG_STR] = {decode_str, IN},
    [ABI_ARG_PATH_OUT] = {decode_path, OUT},
    [ABI_ARG_BUF_IN] = {decode_buf_in, IN},
    [ABI_ARG_BUF_OUT] = {decode_buf_out, OUT},
    [ABI_ARG_ARGV] = {trace_decode_argv, IN},
    [ABI_ARG_ENVP] = {trace_decode_envp, IN},
    [ABI_ARG_TIMESPEC] = {trace_decode_timespec, IN},
    [ABI_ARG_TIMESPEC_OUT] = {trace_decode_timespec, OUT},
    [ABI_ARG_TIMESPEC_PAIR] = {trace_decode_timespec_pair, IN},
    [ABI_ARG_TIMEVAL] = {trace_decode_timeval, IN},
    [ABI_ARG_TIMEVAL_OUT] = {trace_decode_timeval, OUT},
    [ABI_ARG_TIMEVAL_PAIR] = {trace_decode_timeval_pair, IN},
    [ABI_ARG_UTIMBUF] = {trace_decode_utimbuf, IN},
    [ABI_ARG_ITIMERVAL] = {trace_decode_itimer, IN},
    [ABI_ARG_ITIMERVAL_OUT] = {trace_decode_itimer, OUT},
    [ABI_ARG_ITIMERSPEC] = {trace_decode_itimer, IN},
    [ABI_ARG_ITIMERSPEC_OUT] = {trace_decode_itimer, OUT},
    [ABI_ARG_STATBUF] = {trace_decode_statbuf, OUT},
    [ABI_ARG_STATX] = {trace_decode_statx, OUT},
    [ABI_ARG_STATFS] = {trace_decode_statfs, OUT},
    [ABI_ARG_OPEN_HOW] = {trace_decode_open_how, IN},
    [ABI_ARG_DIRENTS] = {trace_decode_dirents, OUT},
    [ABI_ARG_OFF_PTR] = {trace_decode_off, IN | OUT},
    [ABI_ARG_UINT_OUT] = {trace_decode_uint, OUT},
    [ABI_ARG_IOVEC] = {trace_decode_iovec, IN},
    [ABI_ARG_IOVEC_OUT] = {trace_decode_iovec, OUT},
    [ABI_ARG_MSGHDR] = {trace_decode_msghdr, IN},
    [ABI_ARG_MSGHDR_OUT] = {trace_decode_msghdr, OUT},
    [ABI_ARG_MMSGHDR] = {trace_decode_mmsghdr, OUT},
    [ABI_ARG_MMSGHDR_OUT] = {trace_decode_mmsghdr, OUT},
    [ABI_ARG_SOCKADDR] = {trace_decode_sockaddr, IN},
    [ABI_ARG_SOCKADDR_OUT] = {trace_decode_sockaddr, OUT},
    [ABI_ARG_SOCKLEN] = {trace_decode_socklen, IN | OUT},
    [ABI_ARG_SOCKOPT_IN] = {trace_decode_sockopt_value, IN},
    [ABI_ARG_SOCKOPT_OUT] = {trace_decode_sockopt_value, OUT},
    [ABI_ARG_SIGSET] = {trace_decode_sigset, IN},
    [ABI_ARG_SIGSET_OUT] = {trace_decode_sigset, OUT},
    [ABI_ARG_SIGACTION] = {trace_decode_sigaction, IN},
    [ABI_ARG_SIGACTION_OUT] = {trace_decode_sigaction, OUT},
    [ABI_ARG_SIGINFO] = {trace_decode_siginfo, IN},
    [ABI_ARG_SIGINFO_OUT] = {trace_decode_siginfo, OUT},
    [ABI_ARG_STACK] = {trace_decode_stack, IN},
    [ABI_ARG_STACK_OUT] = {trace_decode_stack, OUT},
    [ABI_ARG_FDPAIR] = {trace_decode_fdpair, OUT},
    [ABI_ARG_POLLFD] = {trace_decode_pollfd, IN},
    [ABI_ARG_EPOLL_EVENT] = {trace_decode_epoll, IN},
    [ABI_ARG_EPOLL_EVENTS_OUT] = {trace_decode_epoll, OUT},
    [ABI_ARG_RLIMIT] = {trace_decode_rlimit, IN},
    [ABI_ARG_RLIMIT_OUT] = {trace_decode_rlimit, OUT},
    [ABI_ARG_RUSAGE] = {trace_decode_rusage, OUT},
    [ABI_ARG_WSTATUS] = {trace_decode_wstatus, OUT},
    [ABI_ARG_UTSNAME] = {trace_decode_utsname, OUT},
    [ABI_ARG_SYSINFO] = {trace_decode_sysinfo, OUT},
    [ABI_ARG_GIDS] = {trace_decode_gids, IN},
    [ABI_ARG_GIDS_OUT] = {trace_decode_gids, OUT},
    [ABI_ARG_CAP_HEADER] = {trace_decode_cap_header, IN},
    [ABI_ARG_CAP_DATA] = {trace_decode_cap_data, IN},
    [ABI_ARG_CAP_DATA_OUT] = {trace_decode_cap_data, OUT},
    [ABI_ARG_CPUSET] = {trace_decode_cpuset, IN},
    [ABI_ARG_CPUSET_OUT] = {trace_decode_cpuset, OUT},
    [ABI_ARG_FCNTL_ARG] = {trace_decode_fcntl, EITHER},
    [ABI_ARG_IOCTL_ARG] = {trace_decode_ioctl, EITHER},
    [ABI_ARG_PRCTL_ARG] = {trace_decode_prctl, EITHER},
    [ABI_ARG_SOCKET_PROTOCOL] = {trace_decode_protocol, IN},
    [ABI_ARG_SOCKOPT] = {trace_decode_sockopt, IN},
};

void trace_argument(struct trace_record *record, const struct trace_options *options,
                    struct pk_request *request, unsigned index, bool after, int64_t result)
{
    enum abi_arg_kind kind = request->call->args[index].kind;
    struct strbuf *out = &record->args[index];
    struct trace_decoder d = {.request = request,
                              .options = options,
                              .out = out,
                              .content = &record->content[index],
                              .index = index,
                              .after = after,
                              .result = result};
    unsigned now = after ? OUT : IN;

    if (kinds[kind].decode == NULL) {
        if (out->length == 0)
            trace_flags(out, kind, request->args[index]);
    } else if ((kinds[kind].when & now) || (kinds[kind].when == EITHER && out->length == 0)) {
        kinds[kind].decode(&d);
    }
}

/* Creating a file needs a mode, opening one does not. */
static unsigned open_shown(const struct pk_request *request)
{
    const struct abi_syscall *call = request->call;
    uint64_t flags = request->args[call->nargs - 2];

    return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? call->nargs : call->nargs - 1;
}

/* Only devices have a number. */
static unsigned mknod_shown(const struct pk_request *request)
{
    unsigned count = request->call->nargs;
    mode_t mode = (mode_t)request->args[count - 2];

    return S_ISCHR(mode) || S_ISBLK(mode) ? count : count - 1;
}

/* A plain wait has a time limit, a plain wake-up has none. */
static unsigned futex_shown(const struct pk_request *request)
{
    uint64_t operation = request->args[1] & 0x7f;

    return operation == FUTEX_WAIT ? 4 : operation == FUTEX_WAKE ? 3 : request->call->nargs;
}

unsigned trace_shown(const struct pk_request *request)
{
    switch (request->nr) {
    case ABI_NR_open:
    case ABI_NR_openat:
        return open_shown(request);
    case ABI_NR_mknod:
    case ABI_NR_mknodat:
        return mknod_shown(request);
    case ABI_NR_fcntl:
        return trace_fcntl_shown(request);
    case ABI_NR_prctl:
        return trace_prctl_shown(request);
    case ABI_NR_mremap:
        return request->args[3] & MREMAP_FIXED ? 5 : 4;
    case ABI_NR_futex:
        return futex_shown(request);
    default:
        return request->call->nargs;
    }
}

/* fcntl(F_GETFL) and its kind: the number, and what it means. */
static void add_fcntl_result(struct strbuf *out, const struct pk_request *request, int64_t result)
{
    uint64_t command = request->args[1];

    if (command != F_GETFL && command != F_GETFD && command != F_GET_SEALS) {
        strbuf_addf(out, "%" PRId64, result);
        return;
    }
    strbuf_addf(out, "%#" PRIx64, (uint64_t)result);
    if (command != F_GETFL && result == 0)
        return;
    strbuf_add_string(out, command == F_GET_SEALS ? " (seals " : " (flags ");
    trace_flags(out,
                command == F_GETFL   ? ABI_ARG_OPEN_FLAGS
                : command == F_GETFD ? ABI_ARG_DESCRIPTOR_FLAGS
                                     : ABI_ARG_SEALS,
                (uint64_t)result);
    strbuf_add_string(out, ")");
}

void trace_result(struct strbuf *out, const struct pk_request *request, int64_t result)
{
    switch (request->nr) {
    case ABI_NR_umask:
        strbuf_addf(out, "%#03" PRIo64, (uint64_t)result);
        break;
    case ABI_NR_mmap:
    case ABI_NR_mremap:
    case ABI_NR_brk:
    case ABI_NR_shmat:
        strbuf_addf(out, "%#" PRIx64, (uint64_t)result);
        break;
    case ABI_NR_fcntl:
        add_fcntl_result(out, request, result);
        break;
    default:
        strbuf_addf(out, "%" PRId64, result);
        break;
    }
}
