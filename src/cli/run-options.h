/* The options of `cerebro run`, parsed. */
#pragma once

#include "audit/audit.h"
#include "launch/launch.h"
#include "profile/profile.h"
#include "trace/trace.h"

#define RUN_BINDS_MAX    1024
#define RUN_HIDDEN_MAX   512
#define RUN_PROFILES_MAX 8

struct profile_recorder;

struct run_options {
    struct launch_options launch;
    struct launch_bind binds[RUN_BINDS_MAX];
    const char *hidden[RUN_HIDDEN_MAX];
    struct profile profile; /* the sum of those that were named; what it says comes first */
    const char *profiles[RUN_PROFILES_MAX]; /* their names */
    unsigned profile_count;
    char **environment; /* owned; what launch.envp points to */
    size_t environment_count;
    bool rule_given;  /* by --allow-net or --deny-net, not only by a profile */
    bool allow_given; /* by --allow-net */
    bool net_given;   /* by --net; network rules mean the host's otherwise */
    bool diff;
    bool json;
    bool quiet;
    bool traced;
    struct trace_options trace;
    const char *trace_file;  /* NULL: stderr */
    struct pk_faults faults; /* owned; what launch.faults points to, if there are any */
    struct audit_options audit;
    bool learns;                       /* `cerebro learn`: --output is known */
    const char *output;                /* of it */
    struct profile_recorder *recorder; /* NULL: nobody records; not owned */
    int learned_fd; /* with a recorder: where the supervisor writes the profile */
};

extern const char run_help[];

/*
 * Parses the command line of `run`, or of `learn`. Returns 0, or the exit status after printing
 * what is wrong. `*ret_options` is zeroed by the caller, but for `learns`.
 */
int run_options_parse(int argc, char **argv, struct run_options *ret_options);

void run_options_free(struct run_options *options);

/* Runs the program; returns the exit status. */
int run_program(const struct run_options *options, struct launch_result *ret_result);

/* ---- run-audit.c ---- */

/* --audit-rotate. Returns 0, or the exit status after printing what is wrong; changes `text`. */
int run_set_rotation(struct audit_options *audit, char *text);

/* ---- run-mount.c ---- */

/* --mount. Returns 0, or the exit status after printing what is wrong. `text` is kept and changed.
 */
/* NAME=VALUE with commas; changes `text`. In run-limits.c. */
int run_set_limits(struct pk_limits *limits, char *text);
int run_add_mount(struct run_options *options, char *text);

/* ---- run-places.c ---- */

/* Where profiles are on this machine, and the variables of paths. */
struct run_places {
    struct profile_places places;
    char shipped[4096], user[4096], cwd[4096];
    char real_home[4096], other_homes[PROFILE_HOMES_MAX][4096];
};

/*
 * The other home directories are those that /etc/passwd gives to the user, to the one who called
 * sudo(8), and to the owner of the current directory: the command is often run with somebody else's
 * HOME.
 */
void run_places_find(struct run_places *ret_places);

/* ---- run-profile.c ---- */

/*
 * Loads the profiles and applies what they say to the options, before those of the command line
 * are. Returns 0, or the exit status after printing what is wrong.
 */
int run_profiles_apply(struct run_options *options);

/*
 * Decides, when all options are known, which network there is, and drops rules that are for none.
 * Returns 0, or the exit status after printing what does not go together.
 */
int run_net_settle(struct run_options *options);

/* ---- run-trace.c ---- */

/* Take the values of the options. Return 0, or the exit status after printing what is wrong. */
int run_set_trace(struct run_options *options, const char *set); /* NULL: every call */
int run_set_trace_status(struct run_options *options, const char *text);
int run_add_trace_path(struct run_options *options, const char *path);
int run_add_fault(struct run_options *options, const char *rule);

/* When all options are known: is there anything that a trace could show? Returns likewise. */
int run_check_trace(const struct run_options *options);

/* ---- setting, for both ---- */

/* Adds one piece of the view or hidden path; false when there are too many. */
bool run_add_bind(struct run_options *options, const struct launch_bind *bind);
bool run_add_hidden(struct run_options *options, const char *path);

/* Sets a variable; `text` ("NAME=VALUE") is borrowed. Returns 0 or -ENOMEM. */
int run_set_variable(struct run_options *options, char *text);
void run_unset_variable(struct run_options *options, const char *name);
