/* For the inside of the trace room only: how arguments are decoded, and what they are put into. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/syscalls.h"
#include "base/strbuf.h"
#include "core/request.h"
#include "trace/trace.h"

#define TRACE_STRING_MAX 32   /* bytes shown of a buffer or text, as strace's default */
#define TRACE_ARRAY_MAX  32   /* elements shown of an array, likewise */
#define TRACE_PATH_MAX   4096 /* names of files are shown whole */

/* A call on its way: request->traced. */
struct trace_record {
    pid_t pid, tid;
    bool denied;                         /* a rule refused it */
    bool injected;                       /* its answer is one of --inject */
    bool delayed;                        /* ... or it was held up for it */
    unsigned shown;                      /* how many arguments are shown */
    struct strbuf args[ABI_MAX_ARGS];    /* as text; empty: not decoded yet */
    struct strbuf content[ABI_MAX_ARGS]; /* of strings: what they say, without quotes */
};

/* An argument that is to be decoded, for the functions of a kind. */
struct trace_decoder {
    struct pk_request *request;
    const struct trace_options *options;
    struct strbuf *out;
    struct strbuf *content;
    unsigned index;
    bool after;     /* the call has been served, with success */
    int64_t result; /* of it, `after` only */
};

static inline uint64_t trace_value(const struct trace_decoder *d)
{
    return d->request->args[d->index];
}

/* The argument `distance` further on; 0 where there is none. */
static inline uint64_t trace_neighbour(const struct trace_decoder *d, int distance)
{
    int index = (int)d->index + distance;

    return index >= 0 && index < ABI_MAX_ARGS ? d->request->args[index] : 0;
}

/* ---- kinds.c ---- */

/* Decodes argument `index` as far as that is possible now. */
void trace_argument(struct trace_record *record, const struct trace_options *options,
                    struct pk_request *request, unsigned index, bool after, int64_t result);

/* How many of its arguments a call has, given those that say so (open without O_CREAT). */
unsigned trace_shown(const struct pk_request *request);

/* Appends what the call returned, as strace shows it. */
void trace_result(struct strbuf *out, const struct pk_request *request, int64_t result);

/* ---- json.c ---- */

/* What became of a call. */
struct trace_outcome {
    const char *decision; /* served, descriptor, native, exec, denied, injected */
    bool known;           /* `result` is what the guest got */
    int64_t result;
    uint64_t elapsed_ns;
    const char *note; /* NULL: none */
};

void trace_json(struct strbuf *out, const struct pk_request *request,
                const struct trace_record *record, const struct trace_outcome *outcome);

/* ---- select.c ---- */

/* Whether the call names one of the paths. Costs a look at each name and descriptor. */
bool trace_names_path(const struct trace_options *options, struct pk_request *request);

/* ---- write.c: pieces of text ---- */

/* A value by its kind, see abi_format_flags(). */
void trace_flags(struct strbuf *out, enum abi_arg_kind kind, uint64_t value);

/* "NULL" or the address. */
void trace_address(struct strbuf *out, uint64_t address);

/* Bytes in quotes; `cut`: there are more of them. */
void trace_quoted(struct strbuf *out, const void *bytes, size_t length, bool cut);

/* So many bytes of guest memory in quotes, cut at TRACE_STRING_MAX; an address if unreadable. */
void trace_bytes(struct trace_decoder *d, uint64_t address, uint64_t length);

/* A string of guest memory in quotes, cut at `limit`. */
void trace_string(struct trace_decoder *d, uint64_t address, size_t limit);

/*
 * Copies a structure; when that is not possible, writes the address and returns false. A NULL is
 * not possible.
 */
bool trace_copy(struct trace_decoder *d, uint64_t address, void *bytes, size_t length);

/* ", name=" in front of a member; without the comma behind an opening brace. */
void trace_member(struct strbuf *out, const char *name);

/* "{tv_sec=1, tv_nsec=2}", or with another name of the second member. */
void trace_time(struct strbuf *out, int64_t seconds, int64_t fraction, const char *name);

/* The names of signals, "[INT TERM]"; "~[...]" when most are there. */
void trace_signal_set(struct strbuf *out, uint64_t set);

/* ---- a function for each kind that is more than a value ---- */

typedef void trace_decode(struct trace_decoder *d);

trace_decode trace_decode_argv, trace_decode_envp; /* process.c */
trace_decode trace_decode_sigset, trace_decode_sigaction, trace_decode_siginfo, trace_decode_stack;
trace_decode trace_decode_rlimit, trace_decode_rusage, trace_decode_wstatus, trace_decode_utsname;
trace_decode trace_decode_sysinfo, trace_decode_gids, trace_decode_cap_header;
trace_decode trace_decode_cap_data, trace_decode_cpuset, trace_decode_uint;

trace_decode trace_decode_statbuf, trace_decode_statx, trace_decode_statfs; /* file.c */
trace_decode trace_decode_open_how, trace_decode_dirents, trace_decode_off, trace_decode_fdpair;
trace_decode trace_decode_timespec, trace_decode_timespec_pair, trace_decode_timeval;
trace_decode trace_decode_timeval_pair, trace_decode_utimbuf, trace_decode_itimer;

trace_decode trace_decode_iovec, trace_decode_msghdr, trace_decode_mmsghdr; /* net.c */
trace_decode trace_decode_sockaddr, trace_decode_socklen, trace_decode_protocol;
trace_decode trace_decode_sockopt, trace_decode_sockopt_value, trace_decode_pollfd;
trace_decode trace_decode_epoll;

trace_decode trace_decode_fcntl, trace_decode_ioctl, trace_decode_prctl; /* command.c */

/* How many arguments fcntl and prctl have with this command. */
unsigned trace_fcntl_shown(const struct pk_request *request);
unsigned trace_prctl_shown(const struct pk_request *request);

/* A socket address that has been copied. */
void trace_sockaddr(struct strbuf *out, const void *address, size_t length);
