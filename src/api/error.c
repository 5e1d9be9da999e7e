/* The last failure of each thread, in words. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api-internal.h"

static __thread struct base_error last;

int api_fail(int code, const char *hint, const char *format, ...)
{
    va_list args;

    last.code = abs(code);
    va_start(args, format);
    vsnprintf(last.sentence, sizeof(last.sentence), format, args);
    va_end(args);
    snprintf(last.hint, sizeof(last.hint), "%s", hint ? hint : "");
    return -last.code;
}

int api_take_error(const struct base_error *error)
{
    last = *error;
    return -last.code;
}

PK_API const char *pk_last_error(void)
{
    return last.sentence;
}

PK_API const char *pk_last_hint(void)
{
    return last.hint;
}
