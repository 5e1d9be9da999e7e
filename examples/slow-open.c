/*
 * Counts every open of a program and slows it down by some milliseconds.
 *
 *     cc slow-open.c -o slow-open $(pkg-config --cflags --libs cerebro)
 *     ./slow-open 5 ls -l /usr
 */
#define _GNU_SOURCE 1
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerebro/process_kernel.h>

struct slow {
    useconds_t delay;
    atomic_ulong opens;
};

static long slow_open(struct pk_call *call, void *user)
{
    struct slow *slow = user;

    atomic_fetch_add(&slow->opens, 1);
    usleep(slow->delay);
    return pk_call_forward(call);
}

static int complain(void)
{
    fprintf(stderr, "slow-open: %s\n  try: %s\n", pk_last_error(), pk_last_hint());
    return 125;
}

int main(int argc, char **argv)
{
    static const int opens[] = {SYS_open, SYS_openat, SYS_openat2, SYS_creat};
    struct slow slow = {0};
    process_kernel_t *kernel;
    char *end = argc < 3 ? NULL : argv[1];
    int status;

    if (end)
        slow.delay = (useconds_t)strtoul(argv[1], &end, 10) * 1000;
    if (end == NULL || end == argv[1] || *end) {
        fprintf(stderr, "usage: slow-open MILLISECONDS PROGRAM [ARGUMENTS]\n");
        return 2;
    }
    kernel = pk_create(PK_TYPE_CUSTOM, "slow-open");
    if (kernel == NULL)
        return complain();
    for (size_t i = 0; i < sizeof(opens) / sizeof(opens[0]); i++)
        if (pk_set_handler(kernel, opens[i], slow_open, &slow) < 0)
            return complain();
    if (pk_spawn(kernel, argv + 2) < 0 || pk_wait(kernel, &status) < 0)
        return complain();
    pk_destroy(kernel);
    fprintf(stderr, "slow-open: %lu opens\n", atomic_load(&slow.opens));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
