#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int base_fail(struct base_error *error, int code, const char *hint, const char *format, ...)
{
    va_list args;

    code = abs(code);
    if (error == NULL || error->code != 0)
        return -code;
    error->code = code;
    va_start(args, format);
    vsnprintf(error->sentence, sizeof(error->sentence), format, args);
    va_end(args);
    snprintf(error->hint, sizeof(error->hint), "%s", hint ? hint : "");
    return -code;
}
