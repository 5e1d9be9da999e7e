/* Pseudo-terminals and their line discipline. */
#define FAMILY "terminals"
#include "conform.h"

#include <sys/ioctl.h>
#include <termios.h>

static int slave;

static char *slave_name(int master)
{
    static char path[64];
    int number;

    ok(ioctl(master, TIOCGPTN, &number));
    snprintf(path, sizeof(path), "/dev/pts/%d", number);
    return path;
}

static int terminal(void)
{
    int off = 0;
    int master = (int)ok(open("/dev/ptmx", O_RDWR | O_NOCTTY));

    ok(ioctl(master, TIOCSPTLCK, &off));
    slave = (int)ok(open(slave_name(master), O_RDWR | O_NOCTTY));
    return master;
}

static void raw(void)
{
    struct termios settings;

    ok(tcgetattr(slave, &settings));
    cfmakeraw(&settings);
    ok(tcsetattr(slave, TCSANOW, &settings));
}

CHECK(is_a_terminal, "isatty(3)")
{
    int master = terminal();

    is(isatty(slave), 1);
    is(isatty(master), 1);
}

CHECK(locked, "unlockpt(3): EIO until it is unlocked")
{
    int master = (int)ok(open("/dev/ptmx", O_RDWR | O_NOCTTY));

    fails(open(slave_name(master), O_RDWR | O_NOCTTY), EIO);
    ok(unlockpt(master));
    ok(open(slave_name(master), O_RDWR | O_NOCTTY));
}

CHECK(name, "ptsname(3), ttyname(3)")
{
    int master = terminal();
    char path[64];

    zero(ptsname_r(master, path, sizeof(path)));
    zero(ttyname_r(slave, path, sizeof(path)));
    same(path, slave_name(master));
}

CHECK(canonical_lines, "termios(3) ICANON: a line at a time")
{
    int master = terminal();
    char text[16] = "";
    struct pollfd fd = {slave, POLLIN, 0};

    ok(write(master, "ab", 2));
    is(poll(&fd, 1, 0), 0);
    ok(write(master, "c\nd", 3));
    is(read(slave, text, sizeof(text)), 4);
    same(text, "abc\n");
}

CHECK(erase, "termios(3) VERASE")
{
    int master = terminal();
    char text[16] = "";

    ok(write(master,
             "ab\x7f"
             "c\n",
             5));
    is(read(slave, text, sizeof(text)), 3);
    same(text, "ac\n");
}

CHECK(end_of_file, "termios(3) VEOF")
{
    int master = terminal();
    char text[16];

    ok(write(master, "\x04", 1));
    is(read(slave, text, sizeof(text)), 0);
}

CHECK(echo, "termios(3) ECHO, OPOST ONLCR")
{
    int master = terminal();
    char text[16] = "";

    ok(write(master, "a\n", 2));
    is(read(master, text, sizeof(text)), 3);
    same(text, "a\r\n");
}

CHECK(raw_mode, "cfmakeraw(3)")
{
    int master = terminal();
    char text[16] = "";

    raw();
    ok(write(master, "\x03x", 2));
    is(read(slave, text, sizeof(text)), 2);
    ok(write(slave, "a\n", 2));
    memset(text, 0, sizeof(text));
    is(read(master, text, sizeof(text)), 2);
    same(text, "a\n");
}

CHECK(size, "tty_ioctl(4) TIOCSWINSZ, SIGWINCH")
{
    struct winsize size = {24, 80, 0, 0};
    int master = terminal();

    handle(SIGWINCH, count_signal, 0);
    ok(ioctl(slave, TIOCSCTTY, 0));
    ok(ioctl(master, TIOCSWINSZ, &size));
    size.ws_row = 0;
    ok(ioctl(slave, TIOCGWINSZ, &size));
    is(size.ws_row, 24);
    for (int i = 0; i < 500 && !ticks; i++)
        nap(1);
    is(ticks, 1);
}

CHECK(master_closed, "pty(7): hang-up; read 0, write EIO")
{
    int master = terminal();
    char byte;

    raw();
    ok(close(master));
    is(read(slave, &byte, 1), 0);
    fails(write(slave, "x", 1), EIO);
}

CHECK(slave_closed, "pty(7): read of the master EIO")
{
    int master = terminal();
    char byte;

    ok(close(slave));
    fails(read(master, &byte, 1), EIO);
}

CHECK(gone_when_closed, "pts(4): the name goes with the master")
{
    int master = terminal();
    char path[64];

    snprintf(path, sizeof(path), "%s", slave_name(master));
    must(exists(path));
    ok(close(master)); /* the slave is open: nobody else gets its number */
    must(!exists(path));
    fails(open(path, O_RDWR | O_NOCTTY), ENOENT);
}

CHECK(settings_errors, "tcsetattr(3) EBADF, ENOTTY, EINVAL")
{
    struct termios settings;

    terminal();
    ok(tcgetattr(slave, &settings));
    fails(tcgetattr(99, &settings), EBADF);
    fails(tcgetattr(0, &settings), ENOTTY);
    fails(tcsetattr(slave, 99, &settings), EINVAL);
}

CHECK(queue, "tty_ioctl(4) FIONREAD, TCFLSH")
{
    int master = terminal();
    int count = 0;

    raw();
    ok(write(master, "abc", 3));
    for (int i = 0; i < 100 && count != 3; i++) {
        ok(ioctl(slave, FIONREAD, &count));
        nap(1);
    }
    is(count, 3);
    ok(tcflush(slave, TCIFLUSH));
    ok(ioctl(slave, FIONREAD, &count));
    is(count, 0);
}

CHECK(peer, "tty_ioctl(4) TIOCGPTPEER")
{
    int master = terminal();
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    char text[4] = "";

    ok(peer);
    raw();
    ok(write(peer, "abc", 3));
    is(read(master, text, 3), 3);
    same(text, "abc");
}

CHECK(injection, "tty_ioctl(4) TIOCSTI: refused or as typed")
{
    char text[4] = "";

    terminal();
    raw();
    ok(ioctl(slave, TIOCSCTTY, 0));
    if (ioctl(slave, TIOCSTI, "x") < 0) {
        must(errno == EIO || errno == EPERM);
        return;
    }
    is(read(slave, text, 1), 1);
    same(text, "x");
}
