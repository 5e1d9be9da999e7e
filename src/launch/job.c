#include "launch/job-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"

/* How long word of a program that was continued with us may take. */
#define WORD_MS 20

static const int stop_signals[] = {SIGTSTP, SIGTTIN, SIGTTOU};

/* Set by the handler, looked at where SIGCONT is blocked. */
static volatile sig_atomic_t continued;
static volatile sig_atomic_t forward_to;

static void on_continue(int number)
{
    (void)number;
    continued = 1;
}

/* What the terminal sends, it sends to the program, too. */
static void on_stop_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    (void)context;
    if (info->si_code <= 0)
        kill((pid_t)forward_to, number);
    errno = saved;
}

static void handle_stop_signal(int number)
{
    struct sigaction action = {.sa_sigaction = on_stop_signal, .sa_flags = SA_RESTART | SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static void set_mask(int how, sigset_t *ret_old)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCONT);
    sigprocmask(how, &set, ret_old);
}

void job_begin(pid_t guest)
{
    struct sigaction action = {.sa_handler = on_continue};

    forward_to = guest;
    sigemptyset(&action.sa_mask);
    sigaction(SIGCONT, &action, NULL);
    set_mask(SIG_BLOCK, NULL);
    for (size_t i = 0; i < array_length(stop_signals); i++)
        handle_stop_signal(stop_signals[i]);
}

static bool is_stopped(pid_t guest)
{
    cleanup_strbuf struct strbuf text = {0};
    const char *bracket;
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/stat", guest);
    if (io_read_file(AT_FDCWD, path, 4096, &text) < 0)
        return false;
    bracket = strrchr(strbuf_text(&text), ')');
    return bracket && strncmp(bracket, ") T", 3) == 0;
}

/* Waits for word, and for SIGCONT when asked to. True when there is some. */
static bool wait_for_word(int report_fd, int timeout_ms, bool until_continued)
{
    struct pollfd report = {.fd = report_fd, .events = POLLIN};
    struct timespec timeout = {.tv_nsec = timeout_ms * 1000000L};
    sigset_t mask;

    sigprocmask(SIG_BLOCK, NULL, &mask);
    if (until_continued)
        sigdelset(&mask, SIGCONT);
    return ppoll(&report, 1, timeout_ms < 0 ? NULL : &timeout, &mask) > 0;
}

/*
 * We were continued. If the program was, too, there is word of it; if not, whoever continued us
 * meant the program: it may be in a group of its own, or somebody knows only our number.
 */
static void pass_on_continue(pid_t guest, int report_fd)
{
    pid_t group;

    if (!is_stopped(guest) || wait_for_word(report_fd, WORD_MS, false) || !is_stopped(guest))
        return;
    group = getpgid(guest);
    if (group > 0 && group != getpgrp())
        kill(-group, SIGCONT);
    else
        kill(guest, SIGCONT);
}

void job_wait(pid_t guest, int report_fd)
{
    while (!wait_for_word(report_fd, -1, true)) {
        if (!continued)
            continue;
        continued = 0;
        pass_on_continue(guest, report_fd);
    }
}

/* Returns false where the host lets no one stop who could not be continued (an orphaned group). */
static bool stop_with(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    struct sigaction old;

    continued = 0;
    sigaction(number, &action, &old);
    set_mask(SIG_UNBLOCK, NULL);
    raise(number);
    set_mask(SIG_BLOCK, NULL);
    if (number != SIGSTOP)
        sigaction(number, &old, NULL);
    return continued;
}

/* A program with the terminal in a group of its own gets it back when the job does. */
static pid_t foreground_of(int terminal, pid_t guest)
{
    pid_t group = terminal < 0 ? -1 : tcgetpgrp(terminal);

    return group > 0 && group == getpgid(guest) && group != getpgrp() ? group : 0;
}

void job_stopped(pid_t guest, int number, int report_fd)
{
    cleanup_close int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    pid_t foreground = foreground_of(terminal, guest);
    sigset_t pending;

    sigpending(&pending);
    if (!is_stopped(guest))
        return;
    /* The group is being continued at this moment: it may not have got to the program yet. */
    if (sigismember(&pending, SIGCONT) &&
        (wait_for_word(report_fd, WORD_MS, false) || !is_stopped(guest)))
        return;
    if (!stop_with(number)) {
        if (number == SIGTSTP)
            kill(guest, SIGCONT); /* natively, it would not have stopped */
        return;
    }
    continued = 0;
    if (foreground && tcgetpgrp(terminal) == getpgrp())
        tcsetpgrp(terminal, foreground);
    pass_on_continue(guest, report_fd);
}

void job_save_terminal(struct job_terminal *terminal)
{
    terminal->saved = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &terminal->mode) == 0;
}

void job_restore_terminal(const struct job_terminal *terminal)
{
    pid_t group = terminal->saved ? tcgetpgrp(STDIN_FILENO) : -1;

    if (group < 0 || (group != getpgrp() && (kill(-group, 0) == 0 || errno != ESRCH)))
        return;
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(STDIN_FILENO, getpgrp());
    tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->mode);
    signal(SIGTTOU, SIG_DFL);
}
