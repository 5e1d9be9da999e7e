/*
 * Runs a command while signals arrive all the time: SIGWINCH and SIGCHLD at its whole process
 * group, SIGUSR1 at the command itself, which is expected to handle it.
 *
 *   storm MICROSECONDS COMMAND...      exits with the command's status
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void nothing(int number)
{
    (void)number;
}

static void install(int number)
{
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};

    sigaction(number, &action, NULL);
}

static pid_t start(char **argv)
{
    pid_t pid = fork();

    if (pid == 0) {
        setpgid(0, 0);
        execvp(argv[0], argv);
        perror(argv[0]);
        _exit(127);
    }
    if (pid > 0)
        setpgid(pid, pid);
    return pid;
}

static long storm(pid_t pid, long microseconds, int *ret_status)
{
    struct timespec pause_time = {0, microseconds * 1000};
    long sent = 0;

    while (waitpid(pid, ret_status, WNOHANG) == 0) {
        nanosleep(&pause_time, NULL);
        kill(-pid, SIGWINCH);
        kill(-pid, SIGCHLD);
        /* Not before the command had time to install its handler. */
        if (sent > 200)
            kill(pid, SIGUSR1);
        sent++;
    }
    return sent;
}

int main(int argc, char **argv)
{
    int status = 0;
    long sent;
    pid_t pid;

    if (argc < 3) {
        fprintf(stderr, "usage: storm MICROSECONDS COMMAND...\n");
        return 2;
    }
    install(SIGWINCH);
    install(SIGUSR1);
    pid = start(argv + 2);
    if (pid < 0) {
        perror("fork");
        return 1;
    }
    sent = storm(pid, strtol(argv[1], NULL, 10), &status);
    fprintf(stderr, "%ld rounds of signals\n", sent);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
