#include "cli/log-time.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* True when all of the text fits the format, but for parts of a second and a final Z. */
static bool fits(const char *text, const char *format, struct tm *tm, bool *ret_utc)
{
    const char *end = strptime(text, format, tm);

    if (end == NULL)
        return false;
    if (*end == '.' && strstr(format, "%S"))
        end += 1 + strspn(end + 1, "0123456789");
    *ret_utc = *end == 'Z';
    return end[*ret_utc] == '\0';
}

static bool parse_ago(const char *text, time_t now, time_t *ret_time)
{
    static const struct {
        char letter;
        long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    long number;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    number = strtol(text, &end, 10);
    for (size_t i = 0; i < array_length(units) && errno == 0; i++)
        if (end[0] == units[i].letter && end[1] == '\0' && number <= now / units[i].seconds) {
            *ret_time = now - number * units[i].seconds;
            return true;
        }
    return false;
}

static bool parse_date(const char *text, time_t now, time_t *ret_time)
{
    static const char *const formats[] = {
        "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M",
        "%Y-%m-%d",          "%H:%M:%S",          "%H:%M"};

    for (size_t i = 0; i < array_length(formats); i++) {
        bool utc = strchr(text, 'Z') != NULL;
        struct tm tm;

        if (utc)
            gmtime_r(&now, &tm);
        else
            localtime_r(&now, &tm);
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_isdst = -1;
        if (!fits(text, formats[i], &tm, &utc))
            continue;
        *ret_time = utc ? timegm(&tm) : mktime(&tm);
        return true;
    }
    return false;
}

int log_parse_time(const char *text, time_t now, char ret_stamp[LOG_STAMP_SIZE])
{
    struct tm utc;
    time_t when;

    if (!parse_ago(text, now, &when) && !parse_date(text, now, &when))
        return -EINVAL;
    if (gmtime_r(&when, &utc) == NULL)
        return -EINVAL;
    strftime(ret_stamp, LOG_STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    return 0;
}

void log_local_time(const char *stamp, char ret_text[LOG_STAMP_SIZE])
{
    struct tm tm = {0};
    time_t when;

    if (strptime(stamp, "%Y-%m-%dT%H:%M:%S", &tm) == NULL) {
        snprintf(ret_text, LOG_STAMP_SIZE, "?");
        return;
    }
    when = timegm(&tm);
    localtime_r(&when, &tm);
    strftime(ret_text, LOG_STAMP_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
}
