/* Pieces of text: strings, flags, structures' members. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "trace/trace-internal.h"

void trace_flags(struct strbuf *out, enum abi_arg_kind kind, uint64_t value)
{
    char text[512];

    abi_format_flags(kind, value, text, sizeof(text));
    strbuf_add_string(out, text);
}

void trace_address(struct strbuf *out, uint64_t address)
{
    trace_flags(out, ABI_ARG_PTR, address);
}

/* An octal escape is as short as what follows allows. */
static void add_escape(struct strbuf *out, unsigned char byte, int next)
{
    static const char bytes[] = "\"\\\n\t\r\v\f", letters[] = "\"\\ntrvf";
    const char *found = byte ? strchr(bytes, byte) : NULL;

    if (found) {
        strbuf_addf(out, "\\%c", letters[found - bytes]);
        return;
    }
    strbuf_addf(out, next >= '0' && next <= '7' ? "\\%03o" : "\\%o", byte);
}

void trace_quoted(struct strbuf *out, const void *bytes, size_t length, bool cut)
{
    const unsigned char *text = bytes;

    strbuf_add_string(out, "\"");
    for (size_t i = 0; i < length; i++) {
        if (text[i] >= ' ' && text[i] < 0x7f && text[i] != '"' && text[i] != '\\')
            strbuf_add(out, text + i, 1);
        else
            add_escape(out, text[i], i + 1 < length ? text[i + 1] : -1);
    }
    strbuf_add_string(out, cut ? "\"..." : "\"");
}

void trace_bytes(struct trace_decoder *d, uint64_t address, uint64_t length)
{
    char bytes[TRACE_STRING_MAX];
    size_t shown = length < sizeof(bytes) ? (size_t)length : sizeof(bytes);

    if (address == 0 || pk_read(d->request, address, bytes, shown) < 0)
        trace_address(d->out, address);
    else
        trace_quoted(d->out, bytes, shown, length > shown);
}

/* As pk_read_string(), but what there is of a string that is too long is kept. */
static ssize_t read_text(struct trace_decoder *d, uint64_t address, char *text, size_t size)
{
    ssize_t length = pk_read_string(d->request, address, text, size);

    if (length == -ENAMETOOLONG)
        return (ssize_t)size;
    return length;
}

void trace_string(struct trace_decoder *d, uint64_t address, size_t limit)
{
    char text[TRACE_PATH_MAX];
    ssize_t length;

    if (limit >= sizeof(text))
        limit = sizeof(text) - 1;
    length = address ? read_text(d, address, text, limit + 1) : -EFAULT;
    if (length < 0) {
        trace_address(d->out, address);
        return;
    }
    if (d->content && d->content->length == 0)
        strbuf_add(d->content, text, (size_t)length <= limit ? (size_t)length : limit);
    if ((size_t)length > limit)
        trace_quoted(d->out, text, limit, true);
    else
        trace_quoted(d->out, text, (size_t)length, false);
}

bool trace_copy(struct trace_decoder *d, uint64_t address, void *bytes, size_t length)
{
    if (address && pk_read(d->request, address, bytes, length) == 0)
        return true;
    trace_address(d->out, address);
    return false;
}

void trace_member(struct strbuf *out, const char *name)
{
    char last = out->length ? strbuf_text(out)[out->length - 1] : '{';

    strbuf_addf(out, last == '{' ? "%s=" : ", %s=", name);
}

void trace_time(struct strbuf *out, int64_t seconds, int64_t fraction, const char *name)
{
    strbuf_addf(out, "{tv_sec=%" PRId64 ", %s=%" PRId64 "}", seconds, name, fraction);
}

/* "INT", "RTMIN", "RT_1": as in sets, without the prefix. */
static void add_signal(struct strbuf *out, int number)
{
    const char *name = abi_signal_name(number);

    if (number == 32)
        strbuf_add_string(out, "RTMIN");
    else if (number > 32)
        strbuf_addf(out, "RT_%d", number - 32);
    else
        strbuf_add_string(out, name + strlen("SIG"));
}

void trace_signal_set(struct strbuf *out, uint64_t set)
{
    bool others = __builtin_popcountll(set) >= 42; /* where strace turns to "~" */
    bool any = false;

    if (others)
        set = ~set;
    strbuf_add_string(out, others ? "~[" : "[");
    for (int number = 1; number <= 64; number++) {
        if (!(set >> (number - 1) & 1))
            continue;
        if (any)
            strbuf_add_string(out, " ");
        add_signal(out, number);
        any = true;
    }
    strbuf_add_string(out, "]");
}
