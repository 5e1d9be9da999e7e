#include "core/limit-values.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"

enum unit { UNIT_BYTES, UNIT_TIME, UNIT_THOUSANDTHS };

#define THOUSANDTHS_MAX (UINT64_MAX / 1000 / 3600 / 1000)

static const struct {
    const char *name;
    size_t field;
    enum unit unit;
} limits_known[PK_LIMIT_COUNT] = {
    [PK_LIMIT_MEMORY] = {"memory", offsetof(struct pk_limits, memory), UNIT_BYTES},
    [PK_LIMIT_PIDS] = {"pids", offsetof(struct pk_limits, pids), UNIT_BYTES},
    [PK_LIMIT_FILES] = {"files", offsetof(struct pk_limits, open_files), UNIT_BYTES},
    [PK_LIMIT_CPU] = {"cpu", offsetof(struct pk_limits, cpu_seconds), UNIT_BYTES},
    [PK_LIMIT_FSIZE] = {"fsize", offsetof(struct pk_limits, file_size), UNIT_BYTES},
    [PK_LIMIT_WALL] = {"wall", offsetof(struct pk_limits, wall_ms), UNIT_TIME},
    [PK_LIMIT_CPUS] = {"cpus", offsetof(struct pk_limits, cpus_thousandths), UNIT_THOUSANDTHS},
    [PK_LIMIT_IO] = {"io", offsetof(struct pk_limits, io_bytes), UNIT_BYTES},
};

const char *pk_limit_name(enum pk_limit limit)
{
    return limits_known[limit].name;
}

int pk_limit_find(const char *name)
{
    for (int i = 0; i < PK_LIMIT_COUNT; i++)
        if (strcmp(limits_known[i].name, name) == 0)
            return i;
    return -ENOENT;
}

uint64_t *pk_limit_field(struct pk_limits *limits, enum pk_limit limit)
{
    return (uint64_t *)((char *)limits + limits_known[limit].field);
}

/* "12", "1.5", "0.25": thousandths, and what is behind them. */
static int parse_thousandths(const char *text, uint64_t *ret_value, const char **ret_rest)
{
    uint64_t whole = 0, part = 0, digit = 1000;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        whole = whole * 10 + (uint64_t)(*at - '0');
        if (whole > THOUSANDTHS_MAX)
            return -EINVAL;
    }
    if (at == text)
        return -EINVAL;
    if (*at == '.' && (at[1] < '0' || at[1] > '9'))
        return -EINVAL;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) {
            digit /= 10;
            if (digit == 0)
                return -EINVAL;
            part += (uint64_t)(*at - '0') * digit;
        }
    *ret_value = whole * 1000 + part;
    *ret_rest = at;
    return 0;
}

static int parse_time(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *suffix;
        uint64_t factor, divisor;
    } units[] = {{"", 1, 1}, {"s", 1, 1}, {"ms", 1, 1000}, {"m", 60, 1}, {"h", 3600, 1}};
    uint64_t value;
    const char *rest;

    if (parse_thousandths(text, &value, &rest) < 0)
        return -EINVAL;
    for (size_t i = 0; i < array_length(units); i++)
        if (strcmp(rest, units[i].suffix) == 0) {
            *ret_ms = value * units[i].factor / units[i].divisor;
            return 0;
        }
    return -EINVAL;
}

int pk_limit_parse(enum pk_limit limit, const char *text, uint64_t *ret_value)
{
    const char *rest = "";
    uint64_t value;
    int r;

    switch (limits_known[limit].unit) {
    case UNIT_TIME:
        r = parse_time(text, &value);
        break;
    case UNIT_THOUSANDTHS:
        r = parse_thousandths(text, &value, &rest);
        break;
    default:
        r = io_parse_size(text, &value);
        break;
    }
    if (r < 0 || *rest || value == 0)
        return -EINVAL;
    *ret_value = value;
    return 0;
}

char *pk_limit_format(enum pk_limit limit, uint64_t value, char text[32])
{
    static const char units[] = "KMGT";
    int unit = -1;

    if (limits_known[limit].unit == UNIT_TIME || limits_known[limit].unit == UNIT_THOUSANDTHS) {
        const char *suffix = limits_known[limit].unit == UNIT_TIME ? "s" : "";
        unsigned part = (unsigned)(value % 1000);
        int digits = 3;

        for (; digits > 1 && part % 10 == 0; digits--)
            part /= 10;
        if (part)
            snprintf(text, 32, "%" PRIu64 ".%0*u%s", value / 1000, digits, part, suffix);
        else
            snprintf(text, 32, "%" PRIu64 "%s", value / 1000, suffix);
        return text;
    }
    while (units[unit + 1] && value % 1024 == 0 && value) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, unit < 0 ? "%" PRIu64 : "%" PRIu64 "%c", value, unit < 0 ? 0 : units[unit]);
    return text;
}

const char *pk_limit_hint(enum pk_limit limit)
{
    switch (limits_known[limit].unit) {
    case UNIT_TIME:
        return "a positive time, such as 90, 1.5s, 500ms, 10m or 2h";
    case UNIT_THOUSANDTHS:
        return "a positive number of processors, such as 2 or 0.5";
    default:
        return "a positive number";
    }
}
