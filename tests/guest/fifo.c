/* Opening a FIFO waits for the other side, and signals see a native wait. */
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void count(int number)
{
    (void)number;
    handled++;
}

static void catch_signal(int number, int flags)
{
    struct sigaction action = {.sa_handler = count, .sa_flags = flags};

    OK(sigaction(number, &action, NULL));
}

static void make(void)
{
    OK(mkfifo("fifo", 0666));
}

static void late_writer(void *argument)
{
    guest_sleep_ms((unsigned)(long)argument);
    {
        int fd = (int)OK(open("fifo", O_WRONLY));

        CHECK_EQ(write(fd, "hello", 5), 5);
    }
}

static void reader_waits(void)
{
    uint64_t start = guest_now_ns();
    char buffer[8];
    pid_t pid;
    int fd;

    make();
    pid = guest_fork(late_writer, (void *)100);
    fd = (int)OK(open("fifo", O_RDONLY));
    CHECK(guest_now_ns() - start > 80 * 1000000ULL);
    CHECK_EQ(read(fd, buffer, sizeof(buffer)), 5);
    CHECK_EQ(read(fd, buffer, sizeof(buffer)), 0);
    guest_join(pid);
}

static void late_reader(void *argument)
{
    char buffer[8];
    int fd;

    guest_sleep_ms((unsigned)(long)argument);
    fd = (int)OK(open("fifo", O_RDONLY));
    CHECK_EQ(read(fd, buffer, sizeof(buffer)), 2);
}

static void writer_waits(void)
{
    pid_t pid;
    int fd;

    make();
    pid = guest_fork(late_reader, (void *)100);
    fd = (int)OK(open("fifo", O_WRONLY));
    CHECK_EQ(write(fd, "ok", 2), 2);
    guest_join(pid);
}

static void without_waiting(void)
{
    char buffer[8];
    int reader;
    int writer;

    make();
    FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    reader = (int)OK(open("fifo", O_RDONLY | O_NONBLOCK));
    writer = (int)OK(open("fifo", O_WRONLY | O_NONBLOCK));
    FAILS(read(reader, buffer, 1), EAGAIN);
    CHECK_EQ(write(writer, "x", 1), 1);
    CHECK_EQ(read(reader, buffer, 1), 1);
    OK(close((int)OK(open("fifo", O_RDWR))));
    OK(close((int)OK(open("fifo", O_PATH))));
}

static void interrupted(void *argument)
{
    (void)argument;
    catch_signal(SIGUSR1, 0);
    FAILS(open("fifo", O_RDONLY), EINTR);
    CHECK_EQ(handled, 1);
}

static void signal_interrupts(void)
{
    pid_t pid;

    make();
    pid = guest_fork(interrupted, NULL);
    guest_sleep_ms(150);
    OK(kill(pid, SIGUSR1));
    guest_join(pid);
}

static void restarted(void *argument)
{
    char buffer[8];
    int fd;

    (void)argument;
    catch_signal(SIGUSR1, SA_RESTART);
    fd = (int)OK(open("fifo", O_RDONLY));
    CHECK(handled >= 1);
    CHECK_EQ(read(fd, buffer, sizeof(buffer)), 5);
}

static void call_is_restarted(void)
{
    pid_t pid;

    make();
    pid = guest_fork(restarted, NULL);
    for (int i = 0; i < 8; i++) {
        guest_sleep_ms(i == 0 ? 150 : 20);
        OK(kill(pid, SIGUSR1));
    }
    guest_sleep_ms(20);
    late_writer(0);
    guest_join(pid);
}

static void stopped_and_continued(void)
{
    int status;
    pid_t pid;

    make();
    catch_signal(SIGUSR1, SA_RESTART);
    pid = guest_fork(late_reader, 0);
    guest_sleep_ms(100);
    for (int i = 0; i < 3; i++) {
        OK(kill(pid, SIGSTOP));
        CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED)), pid);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
        OK(kill(pid, SIGCONT));
        CHECK_EQ(OK(waitpid(pid, &status, WCONTINUED)), pid);
        CHECK(WIFCONTINUED(status));
    }
    {
        int fd = (int)OK(open("fifo", O_WRONLY));

        CHECK_EQ(write(fd, "ok", 2), 2);
    }
    guest_join(pid);
}

static void waits_for_ever(void *argument)
{
    (void)argument;
    open("fifo", O_RDONLY);
}

static void ended_by(int number)
{
    uint64_t start;
    pid_t pid;
    int status;

    pid = guest_fork(waits_for_ever, NULL);
    guest_sleep_ms(100);
    start = guest_now_ns();
    OK(kill(pid, number));
    status = guest_wait(pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), number);
    CHECK(guest_now_ns() - start < 2000 * 1000000ULL);
}

static void killed_while_waiting(void)
{
    make();
    ended_by(SIGTERM);
    ended_by(SIGKILL);
    ended_by(SIGINT);
}

static void *open_reader(void *argument)
{
    char buffer[8];
    int fd = (int)OK(open("fifo", O_RDONLY));

    CHECK_EQ(read(fd, buffer, sizeof(buffer)), 5);
    return argument;
}

static void others_go_on(void)
{
    pthread_t thread;

    make();
    CHECK_EQ(pthread_create(&thread, NULL, open_reader, NULL), 0);
    guest_sleep_ms(50);
    for (int i = 0; i < 200; i++)
        guest_write("file", "work goes on");
    late_writer(0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void thread_group_ends(void *argument)
{
    pthread_t thread;

    (void)argument;
    pthread_create(&thread, NULL, open_reader, NULL);
    guest_sleep_ms(100);
}

static void exit_while_a_thread_waits(void)
{
    make();
    guest_join(guest_fork(thread_group_ends, NULL));
}

static void many_waiters(void)
{
    pid_t children[20];

    make();
    for (int i = 0; i < 20; i++)
        children[i] = guest_fork(waits_for_ever, NULL);
    guest_sleep_ms(200);
    OK(close((int)OK(open("fifo", O_WRONLY))));
    for (int i = 0; i < 20; i++)
        guest_join(children[i]);
}

static void mass(void)
{
    char *out;

    make();
    out = guest_output((char *[]){"/bin/sh", "-c",
                                  "i=0; while [ $i -lt 100 ]; do echo $i >fifo & "
                                  "read n <fifo; wait $!; [ $n = $i ] || exit 1; "
                                  "i=$((i+1)); done; echo done",
                                  NULL},
                       NULL);
    CHECK_TEXT(out, "done\n");
}

static void spins(void *argument)
{
    (void)argument;
    for (;;)
        ;
}

/* Two of them in turn, so that neither side can meet what the other has not closed yet. */
static const char *fifo_of(long turn)
{
    return turn % 2 ? "odd" : "even";
}

static void opens_in_turn(void *argument)
{
    for (long i = 0; i < (long)argument; i++)
        OK(close((int)OK(open(fifo_of(i), O_WRONLY))));
}

/* Both sides wait for moments only, and are taken off their processor in the midst of it. */
static void on_busy_processors(void)
{
    enum { TIMES = 2500, SPINNERS = 3 };
    pid_t spinners[SPINNERS];
    pid_t writer;

    OK(mkfifo(fifo_of(0), 0666));
    OK(mkfifo(fifo_of(1), 0666));
    for (int i = 0; i < SPINNERS; i++)
        spinners[i] = guest_fork(spins, NULL);
    writer = guest_fork(opens_in_turn, (void *)(long)TIMES);
    for (long i = 0; i < TIMES; i++) {
        int fd = (int)OK(open(fifo_of(i), O_RDONLY));
        char byte;

        CHECK_EQ(read(fd, &byte, 1), 0);
        OK(close(fd));
    }
    guest_join(writer);
    for (int i = 0; i < SPINNERS; i++) {
        OK(kill(spinners[i], SIGKILL));
        guest_wait(spinners[i]);
    }
}

static const struct guest_case cases[] = {
    {"reader-waits", reader_waits},
    {"writer-waits", writer_waits},
    {"without-waiting", without_waiting},
    {"signal-interrupts", signal_interrupts},
    {"call-is-restarted", call_is_restarted},
    {"stopped-and-continued", stopped_and_continued},
    {"killed-while-waiting", killed_while_waiting},
    {"others-go-on", others_go_on},
    {"exit-while-a-thread-waits", exit_while_a_thread_waits},
    {"many-waiters", many_waiters},
    {"mass", mass},
    {"on-busy-processors", on_busy_processors},
};

GUEST_MAIN(cases)
