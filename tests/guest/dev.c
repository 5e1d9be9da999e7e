/* Devices and terminals. */
#include "guest.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void nodes(void)
{
    const struct {
        const char *path;
        dev_t device;
    } known[] = {{"/dev/null", makedev(1, 3)},    {"/dev/zero", makedev(1, 5)},
                 {"/dev/full", makedev(1, 7)},    {"/dev/random", makedev(1, 8)},
                 {"/dev/urandom", makedev(1, 9)}, {"/dev/tty", makedev(5, 0)}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct stat stat_buf;

        if (stat(known[i].path, &stat_buf) < 0)
            FAIL("%s: %s", known[i].path, strerror(errno));
        CHECK(S_ISCHR(stat_buf.st_mode));
        CHECK_EQ(stat_buf.st_rdev, known[i].device);
        CHECK_EQ(stat_buf.st_mode & 0666, 0666);
    }
}

static void reading_and_writing(void)
{
    unsigned char first[16] = "";
    unsigned char second[16] = "";
    int fd = (int)OK(open("/dev/urandom", O_RDONLY));

    CHECK_EQ(read(fd, first, 16), 16);
    CHECK_EQ(read(fd, second, 16), 16);
    CHECK(memcmp(first, second, 16) != 0);
    fd = (int)OK(open("/dev/zero", O_RDONLY));
    CHECK_EQ(read(fd, first, 16), 16);
    CHECK_EQ(first[0] + first[15], 0);
    CHECK_EQ(write((int)OK(open("/dev/null", O_WRONLY)), first, 16), 16);
    CHECK_EQ(read((int)OK(open("/dev/null", O_RDONLY)), first, 16), 0);
    FAILS(write((int)OK(open("/dev/full", O_WRONLY)), first, 16), ENOSPC);
}

static void mapping_zero(void)
{
    int fd = (int)OK(open("/dev/zero", O_RDWR));
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    CHECK(memory != MAP_FAILED);
    memory[5000] = 7;
    CHECK_EQ(memory[0] + memory[5000], 7);
}

static void standard_streams(void)
{
    struct stat by_link;
    struct stat by_number;

    OK(stat("/dev/stdin", &by_link));
    OK(fstat(0, &by_number));
    CHECK_EQ(by_link.st_ino, by_number.st_ino);
    CHECK_TEXT(guest_link("/dev/fd"), "/proc/self/fd");
    OK(stat("/dev/fd/1", &by_link));
}

static void shared_memory(void)
{
    char *name = guest_format("/guest-%d", getpid());
    int fd = (int)OK(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    volatile char *memory;
    pid_t pid;

    OK(ftruncate(fd, 4096));
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        int other = (int)OK(shm_open(name, O_RDWR, 0));
        char *same = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);

        same[1] = 42;
        _exit(0);
    }
    guest_join(pid);
    CHECK_EQ(memory[1], 42);
    OK(shm_unlink(name));
    FAILS(shm_open(name, O_RDWR, 0), ENOENT);
}

static void terminal_pair(void)
{
    struct winsize size = {.ws_row = 33, .ws_col = 99};
    struct winsize found;
    struct termios mode;
    char buffer[64] = "";
    char name[64];
    int slave;
    int master = (int)OK(posix_openpt(O_RDWR | O_NOCTTY));

    OK(grantpt(master));
    OK(unlockpt(master));
    CHECK_EQ(ptsname_r(master, name, sizeof(name)), 0);
    CHECK(strncmp(name, "/dev/pts/", 9) == 0);
    slave = (int)OK(open(name, O_RDWR | O_NOCTTY));
    CHECK(isatty(slave));
    CHECK_TEXT(ttyname(slave), name);
    OK(ioctl(master, TIOCSWINSZ, &size));
    OK(ioctl(slave, TIOCGWINSZ, &found));
    CHECK_EQ(found.ws_row * 1000 + found.ws_col, 33099);
    OK(tcgetattr(slave, &mode));
    cfmakeraw(&mode);
    OK(tcsetattr(slave, TCSANOW, &mode));
    CHECK_EQ(write(master, "typed", 5), 5);
    CHECK_EQ(read(slave, buffer, sizeof(buffer)), 5);
    CHECK_EQ(write(slave, "shown", 5), 5);
    CHECK_EQ(read(master, buffer, sizeof(buffer)), 5);
    CHECK_TEXT(buffer, "shown");
}

/* Byte by byte: what follows the text is for the next one who reads. */
static void read_until(int fd, const char *text)
{
    char all[4096] = "";
    size_t used = 0;

    while (strstr(all, text) == NULL) {
        struct pollfd poll_fd = {fd, POLLIN, 0};
        ssize_t got;

        if (poll(&poll_fd, 1, 10000) != 1)
            FAIL("waited for \"%s\", saw \"%s\"", text, all);
        got = used < sizeof(all) - 1 ? read(fd, all + used, 1) : 0;
        if (got <= 0)
            FAIL("end of the terminal, saw \"%s\"", all);
        used += (size_t)got;
    }
}

static void controlling_terminal(void)
{
    int master;
    pid_t pid = (pid_t)OK(forkpty(&master, NULL, NULL, NULL));

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c",
              "trap 'echo caught' INT; tty; echo to-tty >/dev/tty; ps >/dev/null 2>&1; "
              "while :; do read line && echo got $line; [ \"$line\" = end ] && exit 3; done",
              NULL);
        _exit(127);
    }
    read_until(master, "/dev/pts/");
    read_until(master, "to-tty");
    CHECK_EQ(write(master, "hello\n", 6), 6);
    read_until(master, "got hello");
    guest_sleep_ms(100); /* a trap that comes right before the shell's read waits for a line */
    CHECK_EQ(write(master, "\003", 1), 1);
    read_until(master, "caught");
    CHECK_EQ(write(master, "end\n", 4), 4);
    read_until(master, "got end");
    CHECK_EQ(guest_wait(pid), 3 << 8);
}

static void stopped_by_the_terminal(void)
{
    int master;
    int status;
    pid_t pid = (pid_t)OK(forkpty(&master, NULL, NULL, NULL));

    if (pid == 0) {
        execl("/bin/cat", "cat", NULL);
        _exit(127);
    }
    CHECK_EQ(write(master, "a\n", 2), 2);
    read_until(master, "a\r\na");
    /* The child leads its session, so its group is orphaned: only SIGSTOP stops it. */
    CHECK_EQ(tcgetpgrp(master), pid);
    OK(kill(pid, SIGSTOP));
    CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED)), pid);
    OK(kill(pid, SIGCONT));
    CHECK_EQ(write(master, "\004", 1), 1);
    CHECK_EQ(guest_wait(pid), 0);
}

static void no_terminal(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        setsid();
        FAILS(open("/dev/tty", O_RDWR), ENXIO);
        _exit(0);
    }
    guest_join(pid);
}

static const struct guest_case cases[] = {
    {"nodes", nodes},
    {"reading-and-writing", reading_and_writing},
    {"mapping-zero", mapping_zero},
    {"standard-streams", standard_streams},
    {"shared-memory", shared_memory},
    {"terminal-pair", terminal_pair},
    {"controlling-terminal", controlling_terminal},
    {"stopped-by-the-terminal", stopped_by_the_terminal},
    {"no-terminal", no_terminal},
};

GUEST_MAIN(cases)
