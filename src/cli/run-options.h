/* The options of `cerebro run`, parsed. */
#pragma once

#include "launch/launch.h"

#define RUN_BINDS_MAX 64

struct run_options {
    struct launch_options launch;
    struct launch_bind binds[RUN_BINDS_MAX];
    char **environment; /* owned; what launch.envp points to */
    size_t environment_count;
    bool net_given; /* by --net; network rules mean the host's otherwise */
    bool diff;
    bool json;
    bool quiet;
    const char *trace_file; /* NULL: stderr */
    const char *audit;      /* path or "fd:N"; NULL: no audit log */
};

extern const char run_help[];

/* Parses the command line. Returns 0, or the exit status after printing what is wrong. */
int run_options_parse(int argc, char **argv, struct run_options *ret_options);

void run_options_free(struct run_options *options);
