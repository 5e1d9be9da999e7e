/*
 * Time runs twice as fast for one program and all that it starts.
 *
 *     cc double-time.c -o double-time $(pkg-config --cflags --libs cerebro)
 *     ./double-time sh -c 'date; sleep 10; date'      takes five seconds
 *
 * Clocks are answered at double speed, sleeps take half as long, and waits for a futex end when the
 * guest's clock says so (locks, conditions and semaphores with a timeout). The vDSO, which tells
 * the time without a call, is left out of guests whose clock_gettime is intercepted.
 *
 * Not covered: the processor's time stamp counter (rdtsc), which no handler sees. The timeouts of
 * poll, select and epoll, alarms, timers and timerfds run at the host's pace, that is, twice as
 * long as asked by the guest's clock, but never shorter. Times of files and /proc/uptime are the
 * host's.
 *
 * A guest that sleeps waits in this program, where no signal ends its call: so signals are looked
 * for.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerebro/process_kernel.h>

#define SECOND 1000000000LL
#define CLOCKS 12

static int64_t begin[CLOCKS]; /* of each clock, when this program started */

static int64_t host_time(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static int64_t guest_time(clockid_t clock)
{
    return 2 * host_time(clock) - begin[clock];
}

/* Not those of processor time, which cannot run faster; the coarse ones are as the fine ones. */
static bool is_doubled(clockid_t *clock)
{
    if (*clock == CLOCK_REALTIME_COARSE || *clock == CLOCK_MONOTONIC_COARSE)
        *clock = *clock == CLOCK_REALTIME_COARSE ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    return *clock >= 0 && *clock < CLOCKS && *clock != CLOCK_PROCESS_CPUTIME_ID &&
           *clock != CLOCK_THREAD_CPUTIME_ID && begin[*clock] != 0;
}

static long write_time(struct pk_call *call, uint64_t address, int64_t ns, int64_t unit)
{
    int64_t words[2] = {ns / SECOND, ns % SECOND / unit};

    return address ? pk_call_write(call, address, words, sizeof(words)) : 0;
}

static long tell_time(struct pk_call *call, void *user)
{
    int64_t seconds = guest_time(CLOCK_REALTIME) / SECOND;
    clockid_t clock = (clockid_t)pk_call_arg(call, 0);
    static const struct timezone utc;
    long r = 0;

    (void)user;
    switch (pk_call_nr(call)) {
    case SYS_clock_gettime:
        return is_doubled(&clock) ? write_time(call, pk_call_arg(call, 1), guest_time(clock), 1)
                                  : pk_call_forward(call);
    case SYS_gettimeofday:
        if (pk_call_arg(call, 1))
            r = pk_call_write(call, pk_call_arg(call, 1), &utc, sizeof(utc));
        return r < 0 ? r : write_time(call, pk_call_arg(call, 0), guest_time(CLOCK_REALTIME), 1000);
    default:
        if (pk_call_arg(call, 0))
            r = pk_call_write(call, pk_call_arg(call, 0), &seconds, sizeof(seconds));
        return r < 0 ? r : seconds;
    }
}

/* ---- waiting: calls that are answered later, by one thread that looks after all of them ---- */

struct sleeper {
    struct sleeper *next;
    struct pk_call *call;
    int64_t until;      /* host's monotonic clock */
    uint64_t remainder; /* address for what is left after a signal; 0: none */
    uint64_t word;      /* address of a futex; 0: it only sleeps */
    uint32_t value;     /* that it had */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sleeper *sleepers;
static bool finished; /* the guest has ended; under the lock, too */

/* Whether a signal waits for the thread, or the thread is gone. */
static bool is_interrupted(const struct pk_call *call)
{
    static const char *const names[] = {"SigPnd:", "ShdPnd:", "SigBlk:"};
    unsigned long masks[3] = {0};
    char text[4096], path[64];
    size_t length = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", pk_call_tid(call));
    file = fopen(path, "re");
    if (file)
        length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    if (file)
        fclose(file);
    for (int i = 0; i < 3 && length; i++) {
        const char *at = strstr(text, names[i]);

        masks[i] = at ? strtoul(at + strlen(names[i]), NULL, 16) : 0;
    }
    return length == 0 || ((masks[0] | masks[1]) & ~masks[2]);
}

/* Returns false while it has to wait on. The woken of a futex is told by its word, as libraries do.
 */
static bool is_answered(struct sleeper *it, unsigned round)
{
    int64_t left = it->until - host_time(CLOCK_MONOTONIC);
    uint32_t value = it->value;
    long result;

    if (it->word &&
        (pk_call_read(it->call, it->word, &value, sizeof(value)) < 0 || value != it->value))
        result = 0;
    else if (left <= 0)
        result = it->word ? -ETIMEDOUT : 0;
    else if ((round % 16 == 0 && is_interrupted(it->call)) || finished)
        result = -EINTR;
    else
        return false;
    if (result == -EINTR)
        write_time(it->call, it->remainder, 2 * left, 1);
    pk_call_return(it->call, result);
    return true;
}

/* Answers those that have slept enough. Returns false when there is nobody left to sleep. */
static bool look_at_all(unsigned round)
{
    bool go_on;

    pthread_mutex_lock(&lock);
    for (struct sleeper **at = &sleepers; *at;) {
        struct sleeper *it = *at;

        if (is_answered(it, round)) {
            *at = it->next;
            free(it);
        } else {
            at = &it->next;
        }
    }
    go_on = !finished || sleepers;
    pthread_mutex_unlock(&lock);
    return go_on;
}

static void *look_after_sleepers(void *unused)
{
    for (unsigned round = 0; look_at_all(round); round++)
        usleep(1000);
    return unused;
}

/* `ns` is a span, or a time of `clock` if `absolute`, as the guest counts. */
static long sleep_for(struct pk_call *call, clockid_t clock, bool absolute, int64_t ns,
                      const struct sleeper *how)
{
    struct sleeper *it = malloc(sizeof(*it));
    int64_t span = absolute ? (ns + begin[clock]) / 2 - host_time(clock) : ns / 2;
    long result;

    if (it == NULL)
        return -ENOMEM;
    *it = *how;
    it->call = call;
    it->until = host_time(CLOCK_MONOTONIC) + span;
    result = pk_call_defer(call); /* before anybody can answer it */
    pthread_mutex_lock(&lock);
    it->next = sleepers;
    sleepers = it;
    pthread_mutex_unlock(&lock);
    return result;
}

static long read_time(struct pk_call *call, uint64_t address, int64_t *ret_ns)
{
    struct timespec time;

    if (pk_call_read(call, address, &time, sizeof(time)) < 0)
        return -EFAULT;
    if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= SECOND)
        return -EINVAL;
    *ret_ns =
        time.tv_sec < INT64_MAX / SECOND / 4 ? time.tv_sec * SECOND + time.tv_nsec : INT64_MAX / 4;
    return 0;
}

static long nap(struct pk_call *call, void *user)
{
    bool with_clock = pk_call_nr(call) == SYS_clock_nanosleep;
    clockid_t clock = with_clock ? (clockid_t)pk_call_arg(call, 0) : CLOCK_MONOTONIC;
    bool absolute = with_clock && (pk_call_arg(call, 1) & TIMER_ABSTIME);
    struct sleeper how = {.remainder = absolute ? 0 : pk_call_arg(call, with_clock ? 3 : 1)};
    int64_t ns;
    long r;

    (void)user;
    if (!is_doubled(&clock))
        return pk_call_forward(call);
    r = read_time(call, pk_call_arg(call, with_clock ? 2 : 0), &ns);
    return r < 0 ? r : sleep_for(call, clock, absolute, ns, &how);
}

/* Without a timeout the registers alone decide, so the host may run it. */
static long wait_on_futex(struct pk_call *call, void *user)
{
    int operation = (int)pk_call_arg(call, 1);
    int command = operation & FUTEX_CMD_MASK;
    struct sleeper how = {.word = pk_call_arg(call, 0), .value = (uint32_t)pk_call_arg(call, 2)};
    uint32_t value;
    int64_t ns;
    long r;

    (void)user;
    if ((command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET) || pk_call_arg(call, 3) == 0)
        return pk_call_native(call);
    r = read_time(call, pk_call_arg(call, 3), &ns);
    if (r == 0)
        r = pk_call_read(call, how.word, &value, sizeof(value));
    if (r == 0 && value != how.value)
        r = -EAGAIN;
    return r < 0 ? r
                 : sleep_for(call,
                             operation & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC,
                             command == FUTEX_WAIT_BITSET, ns, &how);
}

static int complain(void)
{
    fprintf(stderr, "double-time: %s\n  try: %s\n", pk_last_error(), pk_last_hint());
    return 125;
}

int main(int argc, char **argv)
{
    static const struct {
        int nr;
        pk_call_handler handler;
    } calls[] = {{SYS_clock_gettime, tell_time}, {SYS_gettimeofday, tell_time},
                 {SYS_time, tell_time},          {SYS_nanosleep, nap},
                 {SYS_clock_nanosleep, nap},     {SYS_futex, wait_on_futex}};
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "double-time");
    pthread_t thread;
    int status;

    if (argc < 2) {
        fprintf(stderr, "usage: double-time PROGRAM [ARGUMENTS]\n");
        return 2;
    }
    if (kernel == NULL || pthread_create(&thread, NULL, look_after_sleepers, NULL) != 0)
        return complain();
    for (clockid_t clock = 0; clock < CLOCKS; clock++)
        begin[clock] = host_time(clock);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (pk_set_handler(kernel, calls[i].nr, calls[i].handler, NULL) < 0)
            return complain();
    if (pk_spawn(kernel, argv + 1) < 0 || pk_wait(kernel, &status) < 0)
        return complain();
    pthread_mutex_lock(&lock);
    finished = true;
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    pk_destroy(kernel);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
