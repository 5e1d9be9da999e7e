/*
 * Whether all that tells or takes time agrees: `clock RATE` waits in many ways, measures each wait
 * with every clock, and compares the sum with the host's own time, which must be RATE times
 * shorter. Natively RATE is 1. times(2) is taken for the host's: no vDSO answers it, nor any test's
 * handler.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#define SPAN  0.2
#define SLACK 3.0 /* a busy host lets nobody sleep on time */

static struct timespec spec(double seconds)
{
    time_t whole = (time_t)seconds;

    return (struct timespec){whole, (long)((seconds - (double)whole) * 1e9)};
}

static double now(clockid_t clock)
{
    struct timespec time = {0};

    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double now_of_day(void)
{
    struct timeval time = {0};

    gettimeofday(&time, NULL);
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double now_of_host(void)
{
    struct tms unused;

    return (double)times(&unused) / (double)sysconf(_SC_CLK_TCK);
}

static int by_nanosleep(void)
{
    struct timespec span = spec(SPAN);

    return nanosleep(&span, NULL);
}

static int by_span(void)
{
    struct timespec span = spec(SPAN);

    return clock_nanosleep(CLOCK_BOOTTIME, 0, &span, NULL);
}

static int by_deadline(void)
{
    struct timespec until = spec(now(CLOCK_MONOTONIC) + SPAN);

    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int by_real_deadline(void)
{
    struct timespec until = spec(now(CLOCK_REALTIME) + SPAN);

    return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
}

/* Nobody posts it: a futex with a deadline of CLOCK_REALTIME. */
static int by_semaphore(void)
{
    struct timespec until = spec(now(CLOCK_REALTIME) + SPAN);
    sem_t semaphore;

    sem_init(&semaphore, 0, 0);
    return sem_timedwait(&semaphore, &until) == -1 && errno == ETIMEDOUT ? 0 : -1;
}

static int by_condition(void)
{
    struct timespec until = spec(now(CLOCK_MONOTONIC) + SPAN);
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;

    pthread_mutex_lock(&lock);
    return pthread_cond_clockwait(&never, &lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT ? 0 : -1;
}

static int by_poll(void)
{
    return poll(NULL, 0, (int)(SPAN * 1000));
}

static void *post(void *semaphore)
{
    usleep((useconds_t)(SPAN * 1e6));
    sem_post(semaphore);
    return NULL;
}

/* Woken long before the deadline. */
static int by_waking(void)
{
    struct timespec until = spec(now(CLOCK_REALTIME) + 1000);
    pthread_t thread;
    sem_t semaphore;
    int r;

    sem_init(&semaphore, 0, 0);
    pthread_create(&thread, NULL, post, &semaphore);
    r = sem_timedwait(&semaphore, &until);
    pthread_join(thread, NULL);
    return r;
}

static int fail(const char *what, double is)
{
    printf("%s: %f\n", what, is);
    return 1;
}

static int try_one(const char *name, int (*wait)(void))
{
    double monotonic = now(CLOCK_MONOTONIC);
    double real = now(CLOCK_REALTIME);
    double day = now_of_day();
    double coarse = now(CLOCK_MONOTONIC_COARSE);
    time_t second = time(NULL);

    if (wait() != 0)
        return fail(name, errno);
    monotonic = now(CLOCK_MONOTONIC) - monotonic;
    if (monotonic < SPAN || monotonic > SPAN + SLACK)
        return fail(name, monotonic);
    if (now(CLOCK_REALTIME) - real < SPAN || now_of_day() - day < SPAN - 0.001)
        return fail(name, now_of_day() - day);
    if (now(CLOCK_MONOTONIC_COARSE) - coarse < SPAN - 0.05)
        return fail(name, now(CLOCK_MONOTONIC_COARSE) - coarse);
    if (time(NULL) - second > 1 + monotonic + SLACK ||
        now(CLOCK_REALTIME) < (double)time(NULL) - 0.1)
        return fail("time()", (double)time(NULL));
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*wait)(void);
    } ways[] = {{"nanosleep", by_nanosleep},
                {"clock_nanosleep", by_span},
                {"clock_nanosleep until", by_deadline},
                {"clock_nanosleep until, real", by_real_deadline},
                {"semaphore", by_semaphore},
                {"condition", by_condition},
                {"poll", by_poll},
                {"woken", by_waking}};
    double rate = argc > 1 ? strtod(argv[1], NULL) : 1;
    double host = now_of_host();
    double guest = now(CLOCK_MONOTONIC);
    int failed = 0;

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        failed |= try_one(ways[i].name, ways[i].wait);
    guest = now(CLOCK_MONOTONIC) - guest;
    host = now_of_host() - host;
    if (guest / host < rate * 0.9 || guest / host > rate * 1.1)
        return fail("rate", guest / host);
    puts(failed ? "failed" : "fine");
    return failed;
}
