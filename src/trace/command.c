/* Arguments that mean what the command before them says: fcntl, ioctl, prctl. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>

#include "base/cleanup.h"
#include "trace/trace-internal.h"

#define KERNEL_CONTROL_CHARACTERS 19 /* NCCS of the kernel's struct termios */
#define TASK_NAME_SIZE            16

/* ---- fcntl ---- */

unsigned trace_fcntl_shown(const struct pk_request *request)
{
    static const uint64_t without[] = {F_GETFD,    F_GETFL,      F_GETOWN,   F_GETSIG,
                                       F_GETLEASE, F_GETPIPE_SZ, F_GET_SEALS};

    for (size_t i = 0; i < array_length(without); i++)
        if ((uint32_t)request->args[1] == without[i])
            return 2;
    return 3;
}

static void add_lock(struct trace_decoder *d)
{
    struct flock lock;

    if (!trace_copy(d, trace_value(d), &lock, sizeof(lock)))
        return;
    strbuf_add_string(d->out, "{l_type=");
    trace_flags(d->out, ABI_ARG_LOCK_TYPE, (uint16_t)lock.l_type);
    strbuf_add_string(d->out, ", l_whence=");
    trace_flags(d->out, ABI_ARG_WHENCE, (uint16_t)lock.l_whence);
    strbuf_addf(d->out, ", l_start=%" PRId64 ", l_len=%" PRId64, (int64_t)lock.l_start,
                (int64_t)lock.l_len);
    strbuf_addf(d->out, d->after ? ", l_pid=%d}" : "}", lock.l_pid);
}

void trace_decode_fcntl(struct trace_decoder *d)
{
    switch ((int)trace_neighbour(d, -1)) {
    case F_SETFD:
        trace_flags(d->out, ABI_ARG_DESCRIPTOR_FLAGS, trace_value(d));
        break;
    case F_SETFL: /* an access mode is ignored, and shown all the same */
        trace_flags(d->out, ABI_ARG_OPEN_FLAGS, trace_value(d));
        break;
    case F_ADD_SEALS:
        trace_flags(d->out, ABI_ARG_SEALS, trace_value(d));
        break;
    case F_GETLK:
    case F_OFD_GETLK:
        if (d->after)
            add_lock(d);
        break;
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        add_lock(d);
        break;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_SETPIPE_SZ:
    case F_SETOWN:
        trace_flags(d->out, ABI_ARG_INT, trace_value(d));
        break;
    case F_SETSIG:
        trace_flags(d->out, ABI_ARG_SIGNAL, trace_value(d));
        break;
    default:
        trace_flags(d->out, ABI_ARG_HEX, trace_value(d));
        break;
    }
}

/* ---- ioctl ---- */

static void add_window_size(struct trace_decoder *d)
{
    struct winsize size;

    if (trace_copy(d, trace_value(d), &size, sizeof(size)))
        strbuf_addf(d->out, "{ws_row=%u, ws_col=%u, ws_xpixel=%u, ws_ypixel=%u}", size.ws_row,
                    size.ws_col, size.ws_xpixel, size.ws_ypixel);
}

static void add_number(struct trace_decoder *d)
{
    int32_t number;

    if (trace_copy(d, trace_value(d), &number, sizeof(number)))
        strbuf_addf(d->out, "[%" PRId32 "]", number);
}

/* The delays of output and the width of characters are small numbers between the flags. */
static void add_output_delays(struct strbuf *out, uint32_t flags)
{
    strbuf_addf(out, "NL%u|CR%u|", flags >> 8 & 1, flags >> 9 & 3);
    if ((flags >> 11 & 3) == 3)
        strbuf_add_string(out, "XTABS");
    else
        strbuf_addf(out, "TAB%u", flags >> 11 & 3);
    strbuf_addf(out, "|BS%u|VT%u|FF%u", flags >> 13 & 1, flags >> 14 & 1, flags >> 15 & 1);
}

static void add_rest(struct strbuf *out, enum abi_arg_kind kind, uint32_t flags)
{
    if (flags == 0)
        return;
    strbuf_add_string(out, "|");
    trace_flags(out, kind, flags);
}

static void add_terminal(struct trace_decoder *d)
{
    struct {
        uint32_t input, output, control, local;
        unsigned char line, characters[KERNEL_CONTROL_CHARACTERS];
    } terminal;

    if (!trace_copy(d, trace_value(d), &terminal, sizeof(terminal)))
        return;
    strbuf_add_string(d->out, "{c_iflag=");
    trace_flags(d->out, ABI_ARG_TERMINAL_INPUT, terminal.input);
    strbuf_add_string(d->out, ", c_oflag=");
    add_output_delays(d->out, terminal.output);
    add_rest(d->out, ABI_ARG_TERMINAL_OUTPUT, terminal.output & 0xffff00ffu);
    strbuf_add_string(d->out, ", c_cflag=");
    trace_flags(d->out, ABI_ARG_TERMINAL_SPEED, terminal.control & CBAUD);
    strbuf_addf(d->out, "|CS%u", 5 + (terminal.control >> 4 & 3));
    add_rest(d->out, ABI_ARG_TERMINAL_CONTROL, terminal.control & ~(uint32_t)(CBAUD | CSIZE));
    strbuf_add_string(d->out, ", c_lflag=");
    trace_flags(d->out, ABI_ARG_TERMINAL_LOCAL, terminal.local);
    strbuf_add_string(d->out, ", ...}");
}

void trace_decode_ioctl(struct trace_decoder *d)
{
    uint32_t command = (uint32_t)trace_neighbour(d, -1);

    switch (command) {
    case TIOCGWINSZ:
    case TIOCSWINSZ:
        if (d->after || command == TIOCSWINSZ)
            add_window_size(d);
        break;
    case TCGETS:
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        if (d->after || command != TCGETS)
            add_terminal(d);
        break;
    case TIOCGPGRP:
    case TIOCGSID:
    case FIONREAD:
    case TIOCOUTQ:
    case TIOCGPTN:
        if (d->after)
            add_number(d);
        break;
    case TIOCSPGRP:
    case TIOCSPTLCK:
    case FIONBIO:
    case FIOASYNC:
        add_number(d);
        break;
    default:
        trace_flags(d->out, ABI_ARG_HEX, trace_value(d));
        break;
    }
}

/* ---- prctl ---- */

/* Operations with one argument, which strace shows without the others. */
static bool has_one_argument(uint64_t operation)
{
    static const uint64_t with[] = {PR_SET_NAME,
                                    PR_GET_NAME,
                                    PR_SET_PDEATHSIG,
                                    PR_GET_PDEATHSIG,
                                    PR_CAPBSET_READ,
                                    PR_CAPBSET_DROP,
                                    PR_SET_KEEPCAPS,
                                    PR_SET_DUMPABLE,
                                    PR_SET_SECUREBITS,
                                    PR_SET_TIMERSLACK,
                                    PR_SET_TSC,
                                    PR_GET_TSC,
                                    PR_SET_CHILD_SUBREAPER,
                                    PR_GET_CHILD_SUBREAPER,
                                    PR_GET_TID_ADDRESS};

    for (size_t i = 0; i < array_length(with); i++)
        if (with[i] == operation)
            return true;
    return false;
}

unsigned trace_prctl_shown(const struct pk_request *request)
{
    switch (request->args[0]) {
    case PR_GET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_GET_SECCOMP:
    case PR_GET_SECUREBITS:
    case PR_GET_TIMERSLACK:
    case PR_GET_TIMING:
        return 1;
    default:
        return has_one_argument(request->args[0]) ? 2 : 5;
    }
}

void trace_decode_prctl(struct trace_decoder *d)
{
    switch (trace_neighbour(d, -1)) {
    case PR_SET_NAME:
        trace_string(d, trace_value(d), TASK_NAME_SIZE - 1);
        break;
    case PR_GET_NAME:
        if (d->after)
            trace_string(d, trace_value(d), TASK_NAME_SIZE - 1);
        break;
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER:
    case PR_GET_TSC:
        if (d->after)
            add_number(d);
        break;
    case PR_SET_PDEATHSIG:
        trace_flags(d->out, ABI_ARG_SIGNAL, trace_value(d));
        break;
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
        trace_flags(d->out, ABI_ARG_CAPABILITY, trace_value(d));
        break;
    case PR_SET_KEEPCAPS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_SET_CHILD_SUBREAPER:
    case PR_SET_TIMERSLACK:
        trace_flags(d->out, ABI_ARG_SIZE, trace_value(d));
        break;
    default:
        trace_flags(d->out, ABI_ARG_HEX, trace_value(d));
        break;
    }
}
