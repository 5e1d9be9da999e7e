/*
 * Profiles: small YAML files that say what a program may see and do (cerebro-profile(5)).
 *
 * A profile is the sum of layers: the files that it extends, the shipped file of its name, the
 * user's file of that name, and further profiles named after it. Later layers add to lists and
 * replace single values. This room reads and merges; it starts nothing and prints nothing.
 *
 * Threads: no state is shared; a profile is used by one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/limit-values.h"

/* Bounds of what is read; more is an error. */
#define PROFILE_FILE_MAX  65536 /* bytes of a file */
#define PROFILE_NODES_MAX 4096  /* values in a file */
#define PROFILE_DEPTH_MAX 8     /* of nesting, and of profiles that extend others */
#define PROFILE_FILES_MAX 32    /* files in one profile */
#define PROFILE_PATHS_MAX 512
#define PROFILE_TEXT_MAX  4095 /* bytes of one value */

#define PROFILE_HOMES_MAX 3 /* home directories but the one in HOME */

/* Where profiles are, and what the variables in paths stand for. Borrowed; absolute paths. */
struct profile_places {
    const char *shipped;   /* directory of the profiles that come with Cerebro; NULL: none */
    const char *user;      /* the user's own; NULL: none */
    const char *home;      /* ~ and ${HOME}; NULL: not known, a path that needs it is an error */
    const char *cwd;       /* "." and ${CWD}; without symbolic links, as all that follow */
    const char *real_home; /* the same directory as `home`; NULL: not there */
    const char *other_homes[PROFILE_HOMES_MAX]; /* whatever HOME says; NULLs are left out */
};

enum profile_layer { PROFILE_SHIPPED, PROFILE_USER, PROFILE_FILE };

struct profile_file {
    enum profile_layer layer;
    char *path; /* as it can be opened */
};

/* Where a value comes from, for messages and for `cerebro explain`. line 0: nobody has set it. */
struct profile_origin {
    unsigned file; /* index into profile.files */
    unsigned line, column;
};

enum profile_path_kind {
    PROFILE_READ,      /* visible, read-only */
    PROFILE_WRITE,     /* visible, writes reach the host */
    PROFILE_CREATE,    /* the same, and made as a directory when it is missing */
    PROFILE_HIDE,      /* cannot be entered */
    PROFILE_SCRATCH,   /* an empty writable directory in memory */
    PROFILE_DIRECTORY, /* in a minimal view: an empty directory */
    PROFILE_DROP,      /* takes the path out of what lower layers say; never in a merged profile */
};

struct profile_path {
    enum profile_path_kind kind;
    char *path; /* absolute, without "." and "..", variables replaced */
    char *text; /* as written */
    struct profile_origin origin;
};

enum profile_environment_kind { PROFILE_ENV_SET, PROFILE_ENV_UNSET, PROFILE_ENV_KEEP };

struct profile_variable {
    enum profile_environment_kind kind;
    char *name;
    char *value; /* SET; else NULL */
    struct profile_origin origin;
};

struct profile_rule {
    bool allow;
    char *text; /* as `cerebro run --allow-net` and --deny-net take it */
    struct profile_origin origin;
};

struct profile_denied {
    int nr;     /* system call */
    int errnum; /* positive */
    struct profile_origin origin;
};

/* A single value; `value` means nothing while origin.line is 0. */
struct profile_value {
    uint64_t value;
    struct profile_origin origin;
};

struct profile {
    struct profile_file files[PROFILE_FILES_MAX];
    unsigned file_count;
    char *name;                        /* of the profile named last */
    char *description;                 /* NULL: none */
    struct profile_value report_only;  /* 0 or 1 */
    struct profile_value minimal_view; /* 0 or 1 */
    struct profile_path *paths;        /* in the order in which they are to be mounted */
    size_t path_count;
    struct profile_value network; /* 0 none, 1 host */
    struct profile_rule *rules;
    size_t rule_count;
    struct profile_value limits[PK_LIMIT_COUNT]; /* in the units of struct pk_limits */
    struct profile_value clear_environment;      /* 0 or 1 */
    struct profile_variable *variables;
    size_t variable_count;
    struct profile_value uid, gid;
    struct profile_denied *denied;
    size_t denied_count;
};

#define cleanup_profile __attribute__((cleanup(profile_free)))

/* Frees what a profile holds and makes it empty. A zeroed profile is an empty one. */
void profile_free(struct profile *profile);

/*
 * Adds a profile to `profile`: one by name (all its layers), or the file of a path (with a slash,
 * or ending in ".yaml"). Returns 0, or a negative errno with `error` naming file, line and column;
 * then the profile is good for profile_free() only.
 */
int profile_load(struct profile *profile, const char *name, const struct profile_places *places,
                 struct base_error *error);

/*
 * Adds a text as if it were the file `path`, which may extend nothing. For tests: profile_load() is
 * this for each file.
 */
int profile_parse(struct profile *profile, const char *path, const char *text, size_t length,
                  const struct profile_places *places, struct base_error *error);

/*
 * Say a path (absolute), a network rule (as --allow-net and --deny-net take it), or a denied call,
 * as if a file had. Return 0 or a negative errno; -E2BIG: there are too many.
 */
int profile_add_path(struct profile *profile, enum profile_path_kind kind, const char *path);
int profile_add_rule(struct profile *profile, bool allow, const char *text);
int profile_add_denied(struct profile *profile, int nr, int errnum);

/*
 * Whether a program under the profile has the host's network: as its mode says; without a mode,
 * when there are rules, which are for nothing else.
 */
bool profile_has_network(const struct profile *profile);

/* The key of a kind of path below `paths`. */
const char *profile_path_key(enum profile_path_kind kind);
