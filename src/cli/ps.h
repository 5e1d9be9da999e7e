/* The running process kernels, as the host's /proc shows them: for `cerebro ps` and `cerebro top`.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"

/* A process of the host; times in ticks of sysconf(_SC_CLK_TCK). */
struct process {
    pid_t pid;
    pid_t parent;
    char name[32];
    char state; /* as in /proc/PID/stat: R, S, T ... */
    unsigned threads;
    uint64_t ticks;      /* user and system time */
    uint64_t dead_ticks; /* of children that it has waited for */
    uint64_t start_ticks;
    uint64_t resident_pages;
};

struct table {
    struct process *rows; /* by pid */
    size_t count;
};

struct kernel_row {
    const struct process *supervisor; /* or the keeper */
    const char *kind;                 /* "run", "attached", "detached" or "silent" */
    uid_t uid;
    pid_t guest; /* the first process: the reaper's oldest child */
    unsigned processes;
    unsigned threads; /* of all of them */
    uint64_t ticks;   /* of all of them, with those that have ended */
    uint64_t memory;  /* bytes that are resident */
    double uptime;    /* seconds */
    struct strbuf command;
};

struct ps_list {
    struct table table; /* all processes */
    struct kernel_row *rows;
    size_t count;
};

/* Looks at all processes. Returns 0 with a list to be freed, or a negative errno. */
int ps_list_read(struct ps_list *ret_list);
void ps_list_free(struct ps_list *list);

/* Says that the processes could not be looked at; returns the exit status. */
int ps_fail(int failure);

/* Writes a duration as "1h02m" or "3m04s". */
void ps_format_uptime(double seconds, char text[32]);

/* Replaces what would steer a terminal (cli_add_printable()). */
void ps_make_printable(struct strbuf *text);
