/*
 * micro.h - what a micro benchmark is.
 *
 * A benchmark is three functions: set_up once, run a batch of n operations (the only part that
 * is timed), tear_down once. A function that cannot go on calls micro_die(): a benchmark that
 * measures a failing call would report a fine number for nothing.
 */
#pragma once

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct micro_state {
    const char *data;    /* prepared files, may be read-only */
    const char *work;    /* a writable directory */
    const char *nothing; /* path of the static program that does nothing */

    char path[PATH_MAX];
    char *buffer;
    int fd;

    int to_child[2];
    int from_child[2];
    pid_t child;
    cpu_set_t cpus; /* the affinity to restore */

    pthread_t partner;
    atomic_uint turn;
};

struct micro {
    const char *name;
    const char *what;
    void (*set_up)(struct micro_state *state);
    void (*run)(struct micro_state *state, uint64_t count);
    void (*tear_down)(struct micro_state *state);
};

/* Each table ends with an entry without name. */
extern const struct micro micro_files[];
extern const struct micro micro_processes[];
extern const struct micro micro_services[];

/* Makes the files that the reading benchmarks use; harmless if they exist. */
void micro_prepare(const char *data);

_Noreturn void micro_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Joins "dir/name" into a buffer of PATH_MAX bytes. */
void micro_join(char *out, const char *dir, const char *name);
