/*
 * attach.c - what attaching costs: to the one who attaches, and to the target.
 *
 *     bench_attach [ROUNDS]
 *
 * The target is a child that makes two calls many times when it is asked to: getppid, which has a
 * handler, and getuid, which is not in the filter. Times are medians (of calls: the smallest of 30
 * batches, so that what else runs on the host does not count).
 */
#define _GNU_SOURCE 1

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cerebro/process_kernel.h"

enum { BATCHES = 30, CALLS = 1000, ROUNDS = 100, ROUNDS_MAX = 10000 };

struct target {
    pid_t pid;
    int ask, answer;
};

struct prices {
    double handled, others; /* ns */
};

static void check(long r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bench_attach: %s: %s (%s)\n", what, pk_last_error(), pk_last_hint());
    exit(1);
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double price_of(long nr)
{
    double best = 1e18;

    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now_ns();
        double each;

        for (int i = 0; i < CALLS; i++)
            syscall(nr);
        each = (now_ns() - start) / CALLS;
        best = each < best ? each : best;
    }
    return best;
}

static _Noreturn void be_target(int ask, int answer)
{
    char byte;

    while (read(ask, &byte, 1) == 1) {
        struct prices prices = {.handled = price_of(SYS_getppid), .others = price_of(SYS_getuid)};

        if (write(answer, &prices, sizeof(prices)) != (ssize_t)sizeof(prices))
            break;
    }
    _exit(0);
}

static struct target start(void)
{
    struct target target;
    int asks[2];
    int answers[2];

    check(pipe(asks), "pipe");
    check(pipe(answers), "pipe");
    target.pid = fork();
    check(target.pid, "fork");
    if (target.pid == 0) {
        close(asks[1]);
        close(answers[0]);
        be_target(asks[0], answers[1]);
    }
    close(asks[0]);
    close(answers[1]);
    target.ask = asks[1];
    target.answer = answers[0];
    return target;
}

static void end(const struct target *target)
{
    close(target->ask);
    close(target->answer);
    kill(target->pid, SIGKILL);
    waitpid(target->pid, NULL, 0);
}

static void show_prices(const struct target *target, const char *when)
{
    struct prices prices;

    check(write(target->ask, "", 1), "write");
    if (read(target->answer, &prices, sizeof(prices)) != (ssize_t)sizeof(prices))
        exit(1);
    printf("%-28s %8.0f ns %8.0f ns\n", when, prices.handled, prices.others);
}

static long pass(struct pk_call *call, void *user)
{
    (void)user;
    return pk_call_native(call);
}

static process_kernel_t *make_kernel(void)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "bench");

    check(pk_set_handler(kernel, SYS_getppid, pass, NULL), "pk_set_handler");
    return kernel;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void show_times(const char *what, double *times, int count)
{
    qsort(times, (size_t)count, sizeof(*times), compare);
    printf("%-28s %8.3f ms, of 95 in 100 below %.3f ms\n", what, times[count / 2] / 1e6,
           times[count * 95 / 100] / 1e6);
}

static void measure_first(int rounds, double *times)
{
    for (int i = 0; i < rounds; i++) {
        process_kernel_t *kernel = make_kernel();
        struct target target = start();
        double begin = now_ns();

        check(pk_attach(kernel, target.pid), "pk_attach");
        times[i] = now_ns() - begin;
        pk_destroy(kernel);
        end(&target);
    }
    show_times("attach, the first time", times, rounds);
}

static void measure_again(int rounds, double *times)
{
    process_kernel_t *kernel = make_kernel();
    struct target target = start();
    double *ends = times + rounds;

    printf("%-28s %11s %11s\n", "a call of the target", "handled", "others");
    show_prices(&target, "native");
    check(pk_attach(kernel, target.pid), "pk_attach");
    show_prices(&target, "attached, empty handler");
    check(pk_detach(kernel), "pk_detach");
    show_prices(&target, "detached");
    for (int i = 0; i < rounds; i++) {
        double begin = now_ns();
        double middle;

        check(pk_attach(kernel, target.pid), "pk_attach");
        middle = now_ns();
        check(pk_detach(kernel), "pk_detach");
        times[i] = middle - begin;
        ends[i] = now_ns() - middle;
    }
    show_times("attach again", times, rounds);
    show_times("detach", ends, rounds);
    pk_destroy(kernel);
    end(&target);
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : ROUNDS;
    double *times;

    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_attach [ROUNDS], 1 to %d\n", ROUNDS_MAX);
        return 2;
    }
    times = calloc((size_t)rounds * 2, sizeof(*times));
    if (times == NULL)
        return 1;
    measure_again((int)rounds, times);
    measure_first((int)rounds, times);
    free(times);
    return 0;
}
