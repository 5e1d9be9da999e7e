/*
 * The front as a member of the shell's job, for front.c only: it stops when the program stops, goes
 * on when the shell says so, and leaves the terminal as it was.
 *
 * The keyboard's stop signals go to front and program alike, but only the program decides what they
 * do (an editor tidies up first, a shell ignores them), and it may stop for reasons of its own. So
 * the front never stops by itself: it follows the program, with the same signal, so that the shell
 * shows the same reason.
 *
 * One thread; all of this in the process of the front.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

/* From now on stop signals wait for what the program does. `guest` is its first process. */
void job_begin(pid_t guest);

/*
 * The program is reported to have stopped by `signal`: stops with it, until the shell continues the
 * job. A report that is outdated does nothing. `report_fd` is where the next one will come from.
 */
void job_stopped(pid_t guest, int signal, int report_fd);

/*
 * Waits until a report can be read. The program goes on when we are continued while it is stopped
 * and nobody else has told it.
 */
void job_wait(pid_t guest, int report_fd);

/* The mode of the user's terminal; a program that dies in raw mode must not leave it so. */
struct job_terminal {
    bool saved;
    struct termios mode;
};

void job_save_terminal(struct job_terminal *terminal);

/*
 * Puts the mode back and takes the terminal back from the program's groups, which are dead. Does
 * nothing where the terminal is somebody else's by now (a run in the background).
 */
void job_restore_terminal(const struct job_terminal *terminal);
