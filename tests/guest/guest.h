/*
 * What the guest programs share: a list of cases, each run in a process and a fresh directory of
 * its own, and checks that end the case with a message. A program exits with 0 when every case
 * passed or was skipped, 77 when all were skipped, else with 1. It must pass natively: that is
 * what says which behaviour is right.
 *
 *   PROGRAM            all cases
 *   PROGRAM NAME...    these cases
 *   PROGRAM --list     their names
 *
 * Environment: GUEST_DIR is the directory for scratch files (default /tmp).
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GUEST_SKIPPED 77

struct guest_case {
    const char *name;
    void (*run)(void);
};

/* Runs the cases that the arguments name, within 60 seconds each. Returns the exit status. */
int guest_main(int argc, char **argv, const struct guest_case *cases, size_t count);

#define GUEST_MAIN(cases)                                                         \
    int main(int argc, char **argv)                                               \
    {                                                                             \
        return guest_main(argc, argv, cases, sizeof(cases) / sizeof((cases)[0])); \
    }

_Noreturn void guest_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void guest_skip(const char *reason);

long guest_ok(const char *file, int line, const char *text, long result);
void guest_fails(const char *file, int line, const char *text, long result, int wanted);
void guest_equal(const char *file, int line, const char *text, long long actual, long long wanted);
void guest_same_text(const char *file, int line, const char *text, const char *actual,
                     const char *wanted);

#define FAIL(...)        guest_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition) ((condition) ? (void)0 : FAIL("not true: %s", #condition))
/* The call must not return -1; its value. */
#define OK(call) guest_ok(__FILE__, __LINE__, #call, (long)(call))
/* The call must return -1 with this errno. */
#define FAILS(call, code) guest_fails(__FILE__, __LINE__, #call, (long)(call), code)
#define CHECK_EQ(actual, wanted) \
    guest_equal(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(wanted))
#define CHECK_TEXT(actual, wanted) guest_same_text(__FILE__, __LINE__, #actual, actual, wanted)

/* Small things that many cases do; all end the case when they fail. */
void guest_write(const char *path, const char *text);   /* creates or replaces a file */
char *guest_read(const char *path);                     /* the text of a file; freshly allocated */
void guest_content(const char *path, const char *text); /* the file has this text */
char *guest_link(const char *path);                     /* target of a symbolic link; allocated */
char *guest_cwd(void);                                  /* allocated */
char *guest_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *guest_program(const char *name); /* path of another guest program */
int guest_wait(pid_t pid);                   /* wait status */
void guest_join(pid_t pid);                  /* it must have exited with 0 */
/* Runs `argv` with its output read back; `ret_status` may be NULL (then it must exit with 0). */
char *guest_output(char *const argv[], int *ret_status);
void guest_sleep_ms(unsigned milliseconds);
uint64_t guest_now_ns(void);

/* As root: a child that runs `body` as user and group `id`; joins it. */
void guest_as(uid_t id, void (*body)(void));

/* The case's own process forks; the child runs `body`, exits with 0 if it returns. */
pid_t guest_fork(void (*body)(void *), void *argument);
