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

/* ---- fold.c: from any number of paths to those of a profile ---- */

struct fold_path {
    char *path; /* owned */
    enum profile_path_kind kind;
    unsigned strength; /* the strongest of one path counts */
};

/* Paths in any order, some of them several times. A zeroed one is empty. */
struct fold {
    struct fold_path *paths;
    size_t count, capacity;
};

void fold_free(struct fold *fold);

/*
 * Adds a path (absolute, canonical; copied) that was used in this way. `given`: the user has said
 * so, and neither another use nor anything else changes it. Returns 0 or -ENOMEM.
 */
int fold_add(struct fold *fold, const char *path, enum profile_path_kind kind, bool given);

/*
 * Adds to `profile` what it takes to use all these paths, but for those that were given. Where more
 * than a few things of a directory were read, the directory is; where they would not fit into a
 * profile, wider ones are. Sorts `fold`. Returns 0, -ENOMEM, or -E2BIG when there are too many that
 * have to be told one by one.
 */
int fold_finish(struct fold *fold, const struct profile_places *places, struct profile *profile);
