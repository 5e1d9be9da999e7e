/* What a recorder has seen; for the inside of the profile room only. */
#pragma once

#include "base/map.h"
#include "profile/profile-internal.h"
#include "profile/record.h"

#define RECORD_LINES_MAX 200 /* of each kind of comment */

struct record_name {
    char *path;
    unsigned seen; /* 1 << enum pk_seen */
};

struct record_lines {
    char *lines[RECORD_LINES_MAX];
    unsigned count;
};

struct profile_recorder {
    struct pk_observer observer;
    struct map index; /* (hash, try) -> struct record_name */
    uint64_t lost;    /* names that did not fit */
    struct record_lines denied;
    struct record_lines addresses;
};
