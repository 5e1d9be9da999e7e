/*
 * A growing string. Allocation failure is remembered and reported once at the end, so that a
 * sequence of appends needs a single check. Always terminated while not failed.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct strbuf {
    char *data; /* NULL until the first append */
    size_t length;
    size_t capacity;
    bool failed;
};

#define cleanup_strbuf __attribute__((cleanup(strbuf_free)))

/* Frees the text and makes the buffer empty again. A zeroed strbuf is an empty one. */
void strbuf_free(struct strbuf *buf);

/* Appends `length` bytes, which may include NUL. */
void strbuf_add(struct strbuf *buf, const void *bytes, size_t length);
void strbuf_add_string(struct strbuf *buf, const char *string);
void strbuf_addf(struct strbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_addv(struct strbuf *buf, const char *format, va_list args);

/*
 * Appends text as the inside of a JSON string: quotes, backslashes and control characters (C0, DEL
 * and C1) escaped, so that a terminal can be shown it. Names of files are bytes: those that are no
 * UTF-8 become U+FFFD, so that the result is always JSON.
 */
void strbuf_add_json(struct strbuf *buf, const char *string);

/*
 * The bytes of the UTF-8 character that the text begins with: 1 to 4, or 0 for what is none (RFC
 * 3629: no surrogates, no overlong form, nothing above U+10FFFF). The text ends with NUL, which is
 * a character of one byte.
 */
size_t strbuf_utf8_length(const char *text);

/* Cuts the text to at most `length` bytes. */
void strbuf_truncate(struct strbuf *buf, size_t length);

/* Returns the text ("" when empty); never NULL; valid until the next change. */
const char *strbuf_text(const struct strbuf *buf);

/* Returns 0, or -ENOMEM when any append failed. */
int strbuf_status(const struct strbuf *buf);
