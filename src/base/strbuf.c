#include "base/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void strbuf_free(struct strbuf *buf)
{
    free(buf->data);
    memset(buf, 0, sizeof(*buf));
}

static bool reserve(struct strbuf *buf, size_t extra)
{
    size_t needed = buf->length + extra + 1;
    size_t capacity = buf->capacity ? buf->capacity : 64;
    char *data;

    if (buf->failed)
        return false;
    if (needed <= buf->capacity)
        return true;
    while (capacity < needed)
        capacity *= 2;
    data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void strbuf_add(struct strbuf *buf, const void *bytes, size_t length)
{
    if (!reserve(buf, length))
        return;
    memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
}

void strbuf_add_string(struct strbuf *buf, const char *string)
{
    strbuf_add(buf, string, strlen(string));
}

void strbuf_addv(struct strbuf *buf, const char *format, va_list args)
{
    va_list again;
    int length;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0 || !reserve(buf, (size_t)length))
        return;
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, args);
    buf->length += (size_t)length;
}

void strbuf_addf(struct strbuf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    strbuf_addv(buf, format, args);
    va_end(args);
}

size_t strbuf_utf8_length(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t length = *c >= 0xf0 ? 4 : *c >= 0xe0 ? 3 : 2;

    if (*c < 0x80)
        return 1;
    if (*c < 0xc2 || *c > 0xf4 || (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) ||
        (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

void strbuf_add_json(struct strbuf *buf, const char *string)
{
    for (const unsigned char *c = (const unsigned char *)string; *c; c++) {
        size_t length = strbuf_utf8_length((const char *)c);

        if (length == 0)
            strbuf_add_string(buf, "\\ufffd");
        else if (length == 2 && *c == 0xc2 && c[1] < 0xa0)
            strbuf_addf(buf, "\\u%04x", c[1]);
        else if (*c == '"' || *c == '\\')
            strbuf_addf(buf, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            strbuf_addf(buf, "\\u%04x", *c);
        else
            strbuf_add(buf, c, length);
        c += length ? length - 1 : 0;
    }
}

void strbuf_truncate(struct strbuf *buf, size_t length)
{
    if (buf->data && length < buf->length) {
        buf->length = length;
        buf->data[length] = '\0';
    }
}

const char *strbuf_text(const struct strbuf *buf)
{
    return buf->data ? buf->data : "";
}

int strbuf_status(const struct strbuf *buf)
{
    return buf->failed ? -ENOMEM : 0;
}
