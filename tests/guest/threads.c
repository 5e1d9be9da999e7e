/* Many threads, short-lived and long. */
#include "guest.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *short_life(void *argument)
{
    struct stat stat_buf;
    int fd = open(argument ? "/proc/self/comm" : "file", O_RDONLY);

    if (fd < 0 || stat("file", &stat_buf) < 0 || close(fd) < 0)
        FAIL("a thread: %s", strerror(errno));
    return (void *)1;
}

static void thousand(void)
{
    guest_write("file", "x");
    for (int round = 0; round < 50; round++) {
        pthread_t threads[20];

        for (long i = 0; i < 20; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, short_life, (void *)(i % 2)), 0);
        for (int i = 0; i < 20; i++) {
            void *result;

            CHECK_EQ(pthread_join(threads[i], &result), 0);
            CHECK(result == (void *)1);
        }
    }
}

static void *busy(void *argument)
{
    long number = (long)argument;
    char path[64];
    char text[64];

    for (int i = 0; i < 100; i++) {
        char found[64] = "";
        int fd;

        snprintf(path, sizeof(path), "file-%ld-%d", number, i % 7);
        snprintf(text, sizeof(text), "%ld %d", number, i);
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
        if (fd < 0 || write(fd, text, strlen(text)) < 0 || pread(fd, found, 63, 0) < 0)
            FAIL("%s: %s", path, strerror(errno));
        CHECK_TEXT(found, text);
        close(fd);
        if (i % 7 == 6 && unlink(path) < 0)
            FAIL("unlink %s: %s", path, strerror(errno));
    }
    return NULL;
}

static void side_by_side(void)
{
    pthread_t threads[8];

    for (long i = 0; i < 8; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, busy, (void *)i), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static int winners;

static void *contender(void *argument)
{
    for (long i = 0; i < 100; i++) {
        char path[32];
        int fd;

        snprintf(path, sizeof(path), "once-%ld", i);
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0666);
        if (fd >= 0) {
            __atomic_fetch_add(&winners, 1, __ATOMIC_SEQ_CST);
            close(fd);
        } else if (errno != EEXIST) {
            FAIL("%s: %s", path, strerror(errno));
        }
    }
    return argument;
}

static void only_one_creates(void)
{
    pthread_t threads[6];

    for (int i = 0; i < 6; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, contender, NULL), 0);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(winners, 100);
}

static void *outlives(void *argument)
{
    (void)argument;
    guest_sleep_ms(100);
    guest_write("written", "after the first thread has ended");
    _exit(7);
}

static void first_thread_ends_first(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        pthread_t thread;

        pthread_create(&thread, NULL, outlives, NULL);
        pthread_exit(NULL);
    }
    CHECK_EQ(guest_wait(pid), 7 << 8);
    guest_content("written", "after the first thread has ended");
}

static void *for_ever(void *argument)
{
    for (;;) {
        struct stat stat_buf;

        stat("/etc/passwd", &stat_buf);
        pthread_testcancel();
    }
    return argument;
}

static void cancelled(void)
{
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *result;

        CHECK_EQ(pthread_create(&thread, NULL, for_ever, NULL), 0);
        guest_sleep_ms(2);
        CHECK_EQ(pthread_cancel(thread), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
    }
}

static void exit_with_busy_threads(void)
{
    for (int i = 0; i < 50; i++) {
        pid_t pid = (pid_t)OK(fork());

        if (pid == 0) {
            pthread_t thread;

            for (int n = 0; n < 4; n++)
                pthread_create(&thread, NULL, for_ever, NULL);
            usleep((useconds_t)(rand() % 3000));
            _exit(11);
        }
        CHECK_EQ(guest_wait(pid), 11 << 8);
    }
}

static void *forker(void *argument)
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(access("file", R_OK) < 0);
        if (pid < 0 || guest_wait(pid) != 0)
            FAIL("a child of a thread failed");
    }
    return argument;
}

static void forking_threads(void)
{
    pthread_t threads[4];

    guest_write("file", "x");
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, forker, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static const struct guest_case cases[] = {
    {"thousand", thousand},
    {"side-by-side", side_by_side},
    {"only-one-creates", only_one_creates},
    {"first-thread-ends-first", first_thread_ends_first},
    {"cancelled", cancelled},
    {"exit-with-busy-threads", exit_with_busy_threads},
    {"forking-threads", forking_threads},
};

GUEST_MAIN(cases)
