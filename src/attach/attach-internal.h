/*
 * For the inside of the attach room only.
 *
 * The steps of an attachment: examine (target.c), find or start the keeper (link.c), stop all
 * threads (stop.c), run some calls in one of them (inject.c) that install the filter (install.c),
 * hand the listener to the keeper, let go.
 *
 * Once a thread is seized, it is either detached while it stands still, or left to the end of the
 * tracing thread, with which the host detaches whatever is left.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/user.h>

#include "attach/attach.h"

/* ---- target.c ---- */

#define ATTACH_YAMA_SCOPE "/proc/sys/kernel/yama/ptrace_scope"

/* What /proc says about a process. */
struct target {
    pid_t pid;
    pid_t group; /* not `pid`: it is a thread */
    pid_t tracer;
    uid_t uids[3]; /* real, effective, saved */
    char state;    /* as in ps(1) */
    char comm[32];
    int seccomp;      /* 0 none, 1 strict, 2 filter */
    unsigned filters; /* how many it has; 0 before Linux 5.9 */
    bool kernel_thread;
    uint64_t memory; /* bytes of its address space */
    unsigned threads;
};

/* Reads that. Returns 0 or -ESRCH. */
int target_read(pid_t pid, struct target *ret_target);

/* Refuses what cannot be attached to, as far as that shows. Returns 0 or a negative errno. */
int target_examine(pid_t pid, struct target *ret_target, struct base_error *error);

/*
 * Says why the host does not let us trace a process (ptrace(2) said `code`). `yama` is the host's
 * kernel.yama.ptrace_scope, -1 where there is none. Returns a negative errno.
 */
int target_explain(const struct target *target, int code, int yama, struct base_error *error);

/* kernel.yama.ptrace_scope, or -1. */
int target_yama(void);

/* The parent of a process, 0 when it is gone. */
pid_t target_parent(pid_t pid);

/* True when the process is a guest of a process kernel. */
bool target_is_guest(pid_t pid);

/* ---- limits.c ---- */

const char *limit_name(enum channel_limit limit);
int limit_resource(enum channel_limit limit); /* RLIMIT_... */

/*
 * What a limit of a process is, and what it is to be. Returns 0, or a negative errno with `error`
 * filled in: -EINVAL when it may not have that much.
 */
int limit_plan(pid_t pid, enum channel_limit limit, uint64_t value, struct rlimit *ret_now,
               struct rlimit *ret_wanted, struct base_error *error);

/* Refuses limits that the keeper could not set. Returns 0 or -EINVAL. */
int limits_check(const struct target *target, const struct channel_rules *rules,
                 struct base_error *error);

/* ---- container.c ---- */

/*
 * True when the process has the filters of its container and no others, and these let pass what
 * attaching needs: so that it can be done although they are there.
 */
bool container_allows(const struct target *target);

/* ---- filter.c ---- */

/*
 * The filter that sends these numbers, and all calls of another architecture, to its listener and
 * allows the rest. Returns 0 with malloc'ed instructions, or a negative errno.
 */
int attach_filter(const uint64_t filtered[CHANNEL_NUMBERS / 64], struct sock_fprog *ret_program);

/* ---- stop.c ---- */

enum stop_state { STOP_WANTED, STOP_STANDS, STOP_GONE, STOP_STUCK };

struct stop_thread {
    pid_t tid;
    enum stop_state state;
    bool group_stop; /* stands because its process was stopped by a signal */
};

/* A process that is being held. A zeroed one with its pid is where to begin. */
struct stopped {
    pid_t pid;
    struct stop_thread *threads;
    size_t count;
    size_t capacity;
};

/*
 * Stops all threads. One that does not stop within a short time (it waits in vfork(2), or for a
 * device) is left alone. Returns 0, or a negative errno: -EPERM and others of ptrace(2), -ESRCH
 * when it has ended.
 */
int stop_all(struct stopped *stopped);

/* Lets all go that stand, and frees the list. */
void stop_release(struct stopped *stopped);

/*
 * Looks for a new stop of a thread, without waiting. Returns 1 with what happened (a signal, with
 * the event in the higher bits), 0 when there is nothing new, or -ESRCH when it has ended.
 */
int stop_look(pid_t pid, pid_t tid, int *ret_what);

/* The same, but waits, at most for so many milliseconds: then -ETIME. Returns 0 or so. */
int stop_await(pid_t pid, pid_t tid, unsigned patience_ms, int *ret_what);

/* Makes a call that the stop has broken off restart where it would not by itself. */
void stop_mend_call(struct user_regs_struct *regs);

/* ---- inject.c ---- */

struct injection {
    pid_t pid;
    pid_t tid;
    struct user_regs_struct regs; /* as they were */
    uint64_t mask;                /* blocked signals, as they were */
    uint64_t instruction;         /* where a `syscall` lies */
    uint64_t section;             /* address of the pointer to a restartable sequence; 0: none */
    uint64_t section_value;
    bool group_stop;
};

/*
 * Takes over a thread that stands. Returns 0, -ENOEXEC when it runs 32-bit code, or another
 * negative errno.
 */
int inject_begin(const struct stopped *stopped, const struct stop_thread *thread, bool suspend,
                 struct injection *ret_injection);

/* Runs a system call. Returns 0 with its result, or a negative errno when the thread is lost. */
int inject_run(struct injection *injection, long nr, const uint64_t args[6], int64_t *ret_value);

/* Puts everything back as it was; the thread stands. */
int inject_end(struct injection *injection);

/* ---- install.c ---- */

/*
 * Installs the filter in the process that stands still, for all its threads. Returns 0 with the
 * listener, or a negative errno with `error` filled in; -EAGAIN: it changed its program meanwhile.
 */
int install_filter(struct stopped *stopped, const struct target *target,
                   const struct sock_fprog *program, int *ret_listener, struct base_error *error);

/* ---- link.c ---- */

/* The abstract name at which the keeper of a target is found. */
socklen_t link_address(pid_t target, struct sockaddr_un *ret_address);

/* Connects to the keeper of a target. Returns 0, -ENOENT when there is none, or with `error`. */
int link_find(pid_t target, int *ret_channel, pid_t *ret_keeper, struct base_error *error);

/* Starts a keeper and waits until it is ready. */
int link_start(pid_t target, const char *program, int *ret_channel, pid_t *ret_keeper,
               struct base_error *error);

/*
 * Hands the rules over, before them the descriptor of the audit log, and with them the listener
 * (each unless -1), and waits for the answer.
 */
int link_hand_over(int channel, const struct channel_rules *rules, int audit, int listener,
                   int *ret_listener, struct base_error *error);
