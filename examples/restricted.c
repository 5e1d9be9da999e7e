/*
 * A restricted kernel for a program that is not trusted: 256 MiB of memory, no network, no ptrace,
 * and no exec but the one that starts it. What is denied is told through the event handler.
 *
 *     cc restricted.c -o restricted $(pkg-config --cflags --libs cerebro)
 *     ./restricted PROGRAM [ARGUMENTS]
 *     ./restricted                         a guest of our own that tries it all
 *
 * It sees the host's files but changes none, and nothing that it started outlives it. All of that
 * holds for what it forks, too.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerebro/process_kernel.h>

#define MEBIBYTE (1024UL * 1024UL)

/* ---- the guest ---- */

/* A process of its own: where the limit is a cgroup's, the host kills whoever goes beyond it. */
static int hog_is_stopped(void)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        for (int i = 0; i < 512; i++) {
            char *block = malloc(MEBIBYTE);

            if (block == NULL)
                _exit(1);
            memset(block, i, MEBIBYTE);
        }
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("512 MiB of memory: %s\n", status == 0         ? "granted"
                                      : WIFEXITED(status) ? strerror(ENOMEM)
                                                          : strsignal(WTERMSIG(status)));
    return status != 0;
}

static int fails(const char *what, long result)
{
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "granted");
    return result < 0;
}

static int misbehave(void)
{
    struct sockaddr_in web = {.sin_family = AF_INET, .sin_port = htons(80)};
    int stopped = hog_is_stopped();

    inet_pton(AF_INET, "192.0.2.1", &web.sin_addr);
    stopped &= fails("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    stopped &= fails("exec", execl("/bin/true", "true", (char *)NULL));
    stopped &= fails(
        "network", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&web, sizeof(web)));
    return stopped ? 0 : 1;
}

/* ---- its kernel ---- */

/* The text has three lines: what, which rule, how to allow it. */
static void on_event(const pk_event_t *event, void *user)
{
    const char *rule = strchr(event->text, '\n');

    (void)user;
    if (event->type == PK_EVENT_DENIAL && rule)
        fprintf(stderr, "restricted: denied: %.*s (%.*s)\n", (int)(rule - event->text), event->text,
                (int)strcspn(rule + 1, "\n"), rule + 1);
}

static int complain(void)
{
    fprintf(stderr, "restricted: %s\n  try: %s\n", pk_last_error(), pk_last_hint());
    return 125;
}

static int restrict_guest(process_kernel_t *kernel)
{
    static const int blocked[] = {SYS_ptrace, SYS_execve, SYS_execveat, SYS_process_vm_writev};

    for (size_t i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++)
        if (pk_deny(kernel, blocked[i], EPERM) < 0)
            return -1;
    pk_set_event_handler(kernel, on_event, NULL);
    /* Said although it is the default: whoever reads this should not have to know. */
    if (pk_set_option(kernel, "--net", "none") < 0)
        return -1;
    return pk_limit(kernel, "memory", 256 * MEBIBYTE);
}

int main(int argc, char **argv)
{
    char self[4096] = "";
    char *own_guest[] = {self, "--misbehave", NULL};
    process_kernel_t *kernel;
    int status;

    if (argc == 2 && strcmp(argv[1], "--misbehave") == 0)
        return misbehave();
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 125;
    kernel = pk_create(PK_TYPE_CUSTOM, "restricted");
    if (kernel == NULL || restrict_guest(kernel) < 0)
        return complain();
    if (pk_spawn(kernel, argc > 1 ? argv + 1 : own_guest) < 0 || pk_wait(kernel, &status) < 0)
        return complain();
    pk_destroy(kernel);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
