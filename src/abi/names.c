/* Names of errno values and signals. The numbers are x86-64's own, not those of the host's libc. */
#include <stddef.h>
#include <string.h>

#include "abi/syscalls.h"

struct name_number {
    const char *name;
    int number;
};

/* Names are found by a plain walk: this is for traces and command lines, not for hot paths. */
static const struct name_number errnos[] = {
#define ABI_ERRNO(name, number) {#name, number},
#include "abi/errno.def"
    {"EWOULDBLOCK", 11}, /* aliases come last, so that they are never the answer for a number */
    {"EDEADLOCK", 35},
    {"ENOTSUP", 95},
};

/* Where a number has two names, the first one is shown. */
static const struct name_number signals[] = {
    {"SIGHUP", 1},       {"SIGINT", 2},       {"SIGQUIT", 3},      {"SIGILL", 4},
    {"SIGTRAP", 5},      {"SIGABRT", 6},      {"SIGBUS", 7},       {"SIGFPE", 8},
    {"SIGKILL", 9},      {"SIGUSR1", 10},     {"SIGSEGV", 11},     {"SIGUSR2", 12},
    {"SIGPIPE", 13},     {"SIGALRM", 14},     {"SIGTERM", 15},     {"SIGSTKFLT", 16},
    {"SIGCHLD", 17},     {"SIGCONT", 18},     {"SIGSTOP", 19},     {"SIGTSTP", 20},
    {"SIGTTIN", 21},     {"SIGTTOU", 22},     {"SIGURG", 23},      {"SIGXCPU", 24},
    {"SIGXFSZ", 25},     {"SIGVTALRM", 26},   {"SIGPROF", 27},     {"SIGWINCH", 28},
    {"SIGIO", 29},       {"SIGPWR", 30},      {"SIGSYS", 31},      {"SIG32", 32},
    {"SIG33", 33},       {"SIGRTMIN", 34},    {"SIGRTMIN+1", 35},  {"SIGRTMIN+2", 36},
    {"SIGRTMIN+3", 37},  {"SIGRTMIN+4", 38},  {"SIGRTMIN+5", 39},  {"SIGRTMIN+6", 40},
    {"SIGRTMIN+7", 41},  {"SIGRTMIN+8", 42},  {"SIGRTMIN+9", 43},  {"SIGRTMIN+10", 44},
    {"SIGRTMIN+11", 45}, {"SIGRTMIN+12", 46}, {"SIGRTMIN+13", 47}, {"SIGRTMIN+14", 48},
    {"SIGRTMIN+15", 49}, {"SIGRTMAX-14", 50}, {"SIGRTMAX-13", 51}, {"SIGRTMAX-12", 52},
    {"SIGRTMAX-11", 53}, {"SIGRTMAX-10", 54}, {"SIGRTMAX-9", 55},  {"SIGRTMAX-8", 56},
    {"SIGRTMAX-7", 57},  {"SIGRTMAX-6", 58},  {"SIGRTMAX-5", 59},  {"SIGRTMAX-4", 60},
    {"SIGRTMAX-3", 61},  {"SIGRTMAX-2", 62},  {"SIGRTMAX-1", 63},  {"SIGRTMAX", 64},
    {"SIGIOT", 6},       {"SIGPOLL", 29},     {"SIGCLD", 17},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *find_name(const struct name_number *list, size_t count, int number)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].number == number)
            return list[i].name;
    }
    return NULL;
}

static int find_number(const struct name_number *list, size_t count, size_t skip, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name + skip, name) == 0)
            return list[i].number;
    }
    return 0;
}

const char *abi_errno_name(int errnum)
{
    return find_name(errnos, COUNT(errnos), errnum);
}

int abi_errno_by_name(const char *name)
{
    return find_number(errnos, COUNT(errnos), 0, name);
}

const char *abi_signal_name(int signum)
{
    return find_name(signals, COUNT(signals), signum);
}

int abi_signal_by_name(const char *name)
{
    size_t prefix = strncmp(name, "SIG", 3) == 0 ? 0 : 3;

    return find_number(signals, COUNT(signals), prefix, name);
}
