/*
 * The frame of the conformance suite: small checks of what the manual pages of Linux say about
 * system calls. Each check is a function that runs in a process, a session and a fresh scratch
 * directory of its own, and ends at the first thing that is not as it should be:
 *
 *     CHECK(not_empty, "rename(2) ENOTEMPTY")
 *     {
 *         ok(mkdir("a", 0755));
 *         ...
 *         fails(rename("a", "b"), ENOTEMPTY);
 *     }
 *
 * The file defines FAMILY before it includes this. Everything must pass natively, as root and as an
 * ordinary user (or skip itself): that says what is right. A check takes milliseconds; it has
 * SECONDS before it is killed.
 */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 10
#define NOBODY  65534

struct check {
    const char *family;
    const char *name;
    const char *reference; /* page of the manual and what of it */
    void (*run)(void);
};

/* A line in the table of checks (a section of the program), and the head of the function. */
#define CHECK(id, text)                                                     \
    static void check_##id(void);                                           \
    static const struct check entry_##id = {FAMILY, #id, text, check_##id}; \
    static const struct check *const listed_##id                            \
        __attribute__((section("conformance_checks"), used)) = &entry_##id; \
    static void check_##id(void)

/* A check that is one refused call. */
#define REFUSED(id, text, call, code) \
    CHECK(id, text)                   \
    {                                 \
        fails(call, code);            \
    }

_Noreturn void conform_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
long conform_ok(const char *file, int line, const char *text, long result);
void conform_fails(const char *file, int line, const char *text, long result, int wanted);
void conform_is(const char *file, int line, const char *text, long long actual, long long wanted);
void conform_same(const char *file, int line, const char *text, const char *actual,
                  const char *wanted);
void conform_join(const char *file, int line, pid_t pid, int status);

#define fail(...) conform_fail(__FILE__, __LINE__, __VA_ARGS__)
#define must(...) ((__VA_ARGS__) ? (void)0 : fail("not true: %s", #__VA_ARGS__))
/* The call must not return -1; its value. */
#define ok(...) conform_ok(__FILE__, __LINE__, #__VA_ARGS__, (long)(__VA_ARGS__))
/* The call must return -1 with this errno. */
#define fails(call, code)    conform_fails(__FILE__, __LINE__, #call, (long)(call), code)
#define is(actual, wanted)   conform_is(__FILE__, __LINE__, #actual, (long long)(actual), wanted)
#define same(actual, wanted) conform_same(__FILE__, __LINE__, #actual, actual, wanted)
/* A function of the pthread kind, which returns its errno. */
#define zero(...) is(__VA_ARGS__, 0)

/* Cannot be checked here; nothing of the check has failed. */
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- files ---- */

void file(const char *path, const char *text);    /* creates or replaces it */
void content(const char *path, const char *text); /* is this */
char *slurp(const char *path);                    /* allocated; /proc files, too */
mode_t mode_of(const char *path);                 /* its permission bits, no link followed */
ino_t inode_of(const char *path);
nlink_t links_of(const char *path);
off_t size_of(const char *path);
bool exists(const char *path); /* no link followed */
int count_names(const char *path);
bool has_name(const char *path, const char *name);
const char *here(void); /* the scratch directory */

/* ---- processes and threads ---- */

/* A child that dies with its parent. */
pid_t spawn(void);
/* It exits with 0. */
#define joins(pid)        conform_join(__FILE__, __LINE__, pid, 0)
#define exits(pid, value) conform_join(__FILE__, __LINE__, pid, (value) << 8)
#define killed(pid, sig)  conform_join(__FILE__, __LINE__, pid, sig)
bool joined(pid_t pid);
/* The block runs in a child, which is waited for. */
#define IN_CHILD          IN_CHILD_(__COUNTER__)
#define IN_CHILD_(number) IN_CHILD__(number)
#define IN_CHILD__(number) \
    for (pid_t child_##number = spawn(); child_##number == 0 || joined(child_##number); _exit(0))

pthread_t start(void *(*run)(void *), void *argument);
void *end_of(pthread_t thread);

/* From now on an ordinary user without capabilities, who owns the scratch directory. */
void as_user(void);
void as_root(void); /* skips the check for others */
bool has_capability(int capability);

void nap(unsigned milliseconds);
uint64_t now_ns(void);
/* Interrupts whatever blocks: SIGALRM every 5 ms, after 10 ms, with these flags of sigaction. */
void ticking(int flags);
void no_ticking(void);
extern volatile sig_atomic_t ticks;
/* A handler that counts into `ticks`. */
void count_signal(int number);
void handle(int number, void (*handler)(int), int flags);
/* Waits (at most two seconds) until a process or thread sleeps. */
void until_sleeping(pid_t tid);

/* The program itself, started anew to be a helper: see helpers.c. */
extern const char *self_path;
/* Runs it with its output read back (static buffer). Fails unless it exits with 0. */
char *helper_says(char *const argv[], char *const envp[]);
