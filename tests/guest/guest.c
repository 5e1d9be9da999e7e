#include "guest.h"

#include <dirent.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_SECONDS 60

static char program_directory[PATH_MAX];

_Noreturn void guest_fail(const char *file, int line, const char *format, ...)
{
    const char *slash = strrchr(file, '/');
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    dprintf(STDOUT_FILENO, "  %s:%d: %s\n", slash ? slash + 1 : file, line, text);
    _exit(1);
}

_Noreturn void guest_skip(const char *reason)
{
    dprintf(STDOUT_FILENO, "  skipped: %s\n", reason);
    _exit(GUEST_SKIPPED);
}

long guest_ok(const char *file, int line, const char *text, long result)
{
    if (result == -1)
        guest_fail(file, line, "%s: %s", text, strerror(errno));
    return result;
}

void guest_fails(const char *file, int line, const char *text, long result, int wanted)
{
    if (result != -1)
        guest_fail(file, line, "%s returned %ld instead of failing with %s", text, result,
                   strerrorname_np(wanted));
    if (errno != wanted)
        guest_fail(file, line, "%s failed with %s instead of %s", text, strerrorname_np(errno),
                   strerrorname_np(wanted));
}

void guest_equal(const char *file, int line, const char *text, long long actual, long long wanted)
{
    if (actual != wanted)
        guest_fail(file, line, "%s is %lld (0%llo) instead of %lld (0%llo)", text, actual,
                   (unsigned long long)actual, wanted, (unsigned long long)wanted);
}

void guest_same_text(const char *file, int line, const char *text, const char *actual,
                     const char *wanted)
{
    if (actual == NULL || strcmp(actual, wanted) != 0)
        guest_fail(file, line, "%s is \"%s\" instead of \"%s\"", text, actual ? actual : "(none)",
                   wanted);
}

void guest_write(const char *path, const char *text)
{
    int fd = (int)OK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    size_t length = strlen(text);

    CHECK_EQ(write(fd, text, length), length);
    OK(close(fd));
}

static char *read_all(int fd)
{
    size_t size = 4096;
    size_t used = 0;
    char *text = malloc(size);
    ssize_t got;

    while ((got = read(fd, text + used, size - used - 1)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        OK(got);
        used += (size_t)got;
        if (used + 1 == size)
            text = realloc(text, size *= 2);
    }
    text[used] = '\0';
    return text;
}

char *guest_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text;

    if (fd < 0)
        FAIL("cannot open %s: %s", path, strerror(errno));
    text = read_all(fd);
    close(fd);
    return text;
}

void guest_content(const char *path, const char *text)
{
    char *found = guest_read(path);

    if (strcmp(found, text) != 0)
        FAIL("%s contains \"%.200s\" instead of \"%.200s\"", path, found, text);
    free(found);
}

char *guest_link(const char *path)
{
    char *target = calloc(1, PATH_MAX + 1);
    ssize_t length = readlink(path, target, PATH_MAX);

    if (length < 0)
        FAIL("readlink %s: %s", path, strerror(errno));
    return target;
}

char *guest_cwd(void)
{
    char *path = getcwd(NULL, 0);

    CHECK(path != NULL);
    return path;
}

char *guest_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    OK(vasprintf(&text, format, args));
    va_end(args);
    return text;
}

const char *guest_program(const char *name)
{
    return guest_format("%s/%s", program_directory, name);
}

int guest_wait(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            FAIL("waitpid %d: %s", pid, strerror(errno));
    return status;
}

void guest_join(pid_t pid)
{
    int status = guest_wait(pid);

    if (WIFSIGNALED(status))
        FAIL("a child was killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == GUEST_SKIPPED)
        _exit(GUEST_SKIPPED);
    if (WEXITSTATUS(status) != 0)
        FAIL("a child exited with %d", WEXITSTATUS(status));
}

char *guest_output(char *const argv[], int *ret_status)
{
    int ends[2];
    char *text;
    pid_t pid;
    int status;

    OK(pipe2(ends, O_CLOEXEC));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    text = read_all(ends[0]);
    close(ends[0]);
    status = guest_wait(pid);
    if (ret_status)
        *ret_status = status;
    else if (status != 0)
        FAIL("%s ended with wait status %#x: %s", argv[0], status, text);
    return text;
}

void guest_sleep_ms(unsigned milliseconds)
{
    struct timespec left = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

uint64_t guest_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

pid_t guest_fork(void (*body)(void *), void *argument)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        body(argument);
        _exit(0);
    }
    return pid;
}

struct identity_body {
    uid_t id;
    void (*body)(void);
};

static void become(void *argument)
{
    const struct identity_body *wanted = argument;

    OK(setgroups(0, NULL));
    OK(setresgid(wanted->id, wanted->id, wanted->id));
    OK(setresuid(wanted->id, wanted->id, wanted->id));
    wanted->body();
}

void guest_as(uid_t id, void (*body)(void))
{
    struct identity_body wanted = {id, body};

    guest_join(guest_fork(become, &wanted));
}

static int remove_entry(const char *path, const struct stat *stat_buf, int type, struct FTW *ftw)
{
    (void)type;
    (void)ftw;
    if (S_ISDIR(stat_buf->st_mode))
        chmod(path, 0700);
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static void remove_tree(const char *path)
{
    /* Twice: a directory that could not be read in the first pass has been opened up by it. */
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0)
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void enter_scratch(char path[PATH_MAX])
{
    const char *base = getenv("GUEST_DIR");

    snprintf(path, PATH_MAX, "%s/guest-XXXXXX", base ? base : "/tmp");
    if (mkdtemp(path) == NULL || chmod(path, 0755) < 0 || chdir(path) < 0) {
        printf("cannot make a scratch directory %s: %s\n", path, strerror(errno));
        exit(1);
    }
}

/* The wait status of the case's process, which is killed when it takes too long. */
static int wait_with_limit(pid_t pid)
{
    uint64_t limit = guest_now_ns() + CASE_SECONDS * 1000000000ULL;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct timespec second = {1, 0};
        sigset_t child;

        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        sigtimedwait(&child, NULL, &second);
        if (guest_now_ns() > limit) {
            printf("  no end after %d seconds\n", CASE_SECONDS);
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
            limit = UINT64_MAX;
        }
    }
    return status;
}

static int run_case(const struct guest_case *wanted)
{
    char scratch[PATH_MAX];
    sigset_t child;
    int status;
    pid_t pid;

    fflush(stdout);
    enter_scratch(scratch);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_UNBLOCK, &child, NULL);
        setpgid(0, 0);
        wanted->run();
        _exit(0);
    }
    status = wait_with_limit(pid);
    sigprocmask(SIG_UNBLOCK, &child, NULL);
    chdir("/");
    remove_tree(scratch);
    if (WIFSIGNALED(status)) {
        printf("  killed by signal %d\n", WTERMSIG(status));
        return 1;
    }
    return WEXITSTATUS(status);
}

static bool is_wanted(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

static void find_programs(const char *argv0)
{
    char *full = realpath(argv0, NULL);
    char *slash = full ? strrchr(full, '/') : NULL;

    if (slash)
        *slash = '\0';
    snprintf(program_directory, sizeof(program_directory), "%s", full ? full : ".");
    free(full);
}

int guest_main(int argc, char **argv, const struct guest_case *cases, size_t count)
{
    int failed = 0;
    int passed = 0;
    int skipped = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    find_programs(argv[0]);
    for (size_t i = 0; i < count; i++) {
        int status;

        if (argc == 2 && strcmp(argv[1], "--list") == 0) {
            printf("%s\n", cases[i].name);
            passed++;
            continue;
        }
        if (!is_wanted(argc, argv, cases[i].name))
            continue;
        status = run_case(&cases[i]);
        printf("%s %s\n",
               status == 0               ? "ok  "
               : status == GUEST_SKIPPED ? "skip"
                                         : "FAIL",
               cases[i].name);
        passed += status == 0;
        skipped += status == GUEST_SKIPPED;
        failed += status != 0 && status != GUEST_SKIPPED;
    }
    if (passed + failed + skipped == 0) {
        printf("no such case\n");
        return 2;
    }
    return failed ? 1 : passed ? 0 : GUEST_SKIPPED;
}
