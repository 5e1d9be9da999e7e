/*
 * Calls that change something happen exactly once, however many signals arrive meanwhile.
 *
 * GUEST_ANOMALIES (default 0) is how many wrong results per 1,000 rounds are put up with: hosts
 * without SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV leave a small window.
 */
#include "guest.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { ROUNDS = 3000 };

static volatile sig_atomic_t ticks;

static void tick(int number)
{
    (void)number;
    ticks++;
}

static void start_timer(int flags)
{
    struct sigaction action = {.sa_handler = tick, .sa_flags = flags};
    struct itimerval often = {{0, 60}, {0, 60}};

    OK(sigaction(SIGALRM, &action, NULL));
    OK(setitimer(ITIMER_REAL, &often, NULL));
}

static void stop_timer(void)
{
    struct itimerval off = {{0, 0}, {0, 0}};

    OK(setitimer(ITIMER_REAL, &off, NULL));
}

static void judge(int anomalies, const char *what)
{
    const char *allowed = getenv("GUEST_ANOMALIES");
    long chances = ticks > ROUNDS ? ticks : ROUNDS; /* a quick timer hits a round more than once */
    long limit = allowed ? strtol(allowed, NULL, 10) * chances / 1000 : 0;

    stop_timer();
    if (anomalies > limit)
        FAIL("%d wrong results of %s in %d rounds (%d signals)", anomalies, what, ROUNDS,
             (int)ticks);
    CHECK(ticks > 100);
}

/* Without SA_RESTART a call may be interrupted, but then it must have done nothing. */
static bool again(long result, bool may_be_interrupted)
{
    return result < 0 && errno == EINTR && may_be_interrupted;
}

static int directories_made(int flags)
{
    bool interruptible = !(flags & SA_RESTART);
    int anomalies = 0;

    start_timer(flags);
    for (int i = 0; i < ROUNDS; i++) {
        int r;

        do
            r = mkdir("dir", 0777);
        while (again(r, interruptible));
        anomalies += r < 0;
        do
            r = rmdir("dir");
        while (again(r, interruptible));
        anomalies += r < 0;
    }
    return anomalies;
}

static void directories_restarted(void)
{
    judge(directories_made(SA_RESTART), "mkdir and rmdir");
}

static void directories_interrupted(void)
{
    judge(directories_made(0), "mkdir and rmdir");
}

static void files_opened(void)
{
    int anomalies = 0;

    start_timer(SA_RESTART);
    for (int i = 0; i < ROUNDS; i++) {
        int fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0666);

        if (fd < 0)
            anomalies++;
        else
            close(fd);
        anomalies += unlink("file") < 0;
    }
    judge(anomalies, "open(O_EXCL) and unlink");
}

static int count_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void descriptors_do_not_leak(void)
{
    int before = count_open();

    guest_write("file", "x");
    start_timer(SA_RESTART);
    for (int i = 0; i < ROUNDS; i++) {
        int fd;

        do
            fd = open("file", O_RDONLY);
        while (again(fd, true));
        CHECK(fd >= 0);
        close(fd);
    }
    stop_timer();
    /* An open that was repeated must not have left the first descriptor behind. */
    CHECK_EQ(count_open(), before);
}

static void names_changed(void)
{
    int anomalies = 0;

    guest_write("a", "x");
    start_timer(SA_RESTART);
    for (int i = 0; i < ROUNDS / 2; i++) {
        anomalies += link("a", "b") < 0;
        anomalies += rename("b", "c") < 0;
        anomalies += symlink("c", "d") < 0;
        anomalies += unlink("c") < 0;
        anomalies += unlink("d") < 0;
    }
    judge(anomalies, "link, rename, symlink, unlink");
}

static void children_started(void)
{
    char *out;

    start_timer(SA_RESTART);
    for (int i = 0; i < 60; i++) {
        out = guest_output((char *[]){(char *)guest_program("show-static"), "args", NULL}, NULL);
        free(out);
    }
    stop_timer();
}

static const struct guest_case cases[] = {
    {"directories-restarted", directories_restarted},
    {"directories-interrupted", directories_interrupted},
    {"files-opened", files_opened},
    {"descriptors-do-not-leak", descriptors_do_not_leak},
    {"names-changed", names_changed},
    {"children-started", children_started},
};

GUEST_MAIN(cases)
