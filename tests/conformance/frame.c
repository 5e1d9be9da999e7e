/* What checks use: how they end, and the small things that many of them do. */
#include "conform.h"

#include <grp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "frame.h"

volatile sig_atomic_t ticks;
const char *self_path = "";
struct verdict *verdict_here;

static _Noreturn void conclude(int state, const char *format, va_list arguments)
{
    char text[sizeof(verdict_here->text)];
    int none = VERDICT_NONE;

    vsnprintf(text, sizeof(text), format, arguments);
    for (char *at = text; *at; at++)
        if (*at == '\n')
            *at = ' ';
    /* The first one counts: what a child met, not that its parent saw it end badly. */
    if (__atomic_compare_exchange_n(&verdict_here->state, &none, state, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST))
        memcpy(verdict_here->text, text, sizeof(text));
    _exit(state == VERDICT_SKIP ? 0 : 1);
}

static _Noreturn void conclude_with(int state, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    conclude(state, format, arguments);
}

_Noreturn void conform_fail(const char *file, int line, const char *format, ...)
{
    const char *base = strrchr(file, '/');
    char text[200];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    conclude_with(VERDICT_FAIL, "%s:%d: %s", base ? base + 1 : file, line, text);
}

_Noreturn void skip(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    conclude(VERDICT_SKIP, format, arguments);
}

static const char *name_of(int code)
{
    const char *name = strerrorname_np(code);

    return name ? name : "success";
}

long conform_ok(const char *file, int line, const char *text, long result)
{
    if (result == -1)
        conform_fail(file, line, "%s: %s", text, name_of(errno));
    return result;
}

void conform_fails(const char *file, int line, const char *text, long result, int wanted)
{
    if (result != -1)
        conform_fail(file, line, "%s = %ld, not %s", text, result, name_of(wanted));
    if (errno != wanted)
        conform_fail(file, line, "%s: %s, not %s", text, name_of(errno), name_of(wanted));
}

void conform_is(const char *file, int line, const char *text, long long actual, long long wanted)
{
    if (actual != wanted)
        conform_fail(file, line, "%s is %lld (0x%llx), not %lld (0x%llx)", text, actual, actual,
                     wanted, wanted);
}

void conform_same(const char *file, int line, const char *text, const char *actual,
                  const char *wanted)
{
    if (strcmp(actual, wanted) != 0)
        conform_fail(file, line, "%s is \"%.60s\", not \"%.60s\"", text, actual, wanted);
}

/* ---- files ---- */

void file(const char *path, const char *text)
{
    int fd = (int)ok(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));

    is(write(fd, text, strlen(text)), (long)strlen(text));
    ok(close(fd));
}

char *slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    size_t length = 0;
    size_t room = 65536;
    char *text = malloc(room);
    ssize_t got;

    if (fd < 0)
        fail("%s: %s", path, name_of(errno));
    while ((got = read(fd, text + length, room - length - 1)) > 0) {
        length += (size_t)got;
        if (room - length < 4096)
            text = realloc(text, room *= 2);
    }
    ok(got);
    text[length] = '\0';
    close(fd);
    return text;
}

void content(const char *path, const char *text)
{
    char *found = slurp(path);

    same(found, text);
    free(found);
}

static struct stat stat_of(const char *path)
{
    struct stat status;

    if (lstat(path, &status) < 0)
        fail("%s: %s", path, name_of(errno));
    return status;
}

mode_t mode_of(const char *path)
{
    return stat_of(path).st_mode & 07777;
}

ino_t inode_of(const char *path)
{
    return stat_of(path).st_ino;
}

nlink_t links_of(const char *path)
{
    return stat_of(path).st_nlink;
}

off_t size_of(const char *path)
{
    return stat_of(path).st_size;
}

bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

static int count_matching(const char *path, const char *name)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (!dir)
        fail("%s: %s", path, name_of(errno));
    while ((entry = readdir(dir)) != NULL)
        if (name ? strcmp(entry->d_name, name) == 0
                 : strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            count++;
    closedir(dir);
    return count;
}

int count_names(const char *path)
{
    return count_matching(path, NULL);
}

bool has_name(const char *path, const char *name)
{
    return count_matching(path, name) == 1;
}

const char *here(void)
{
    static char path[PATH_MAX];

    if (!getcwd(path, sizeof(path)))
        fail("getcwd: %s", name_of(errno));
    return path;
}

/* ---- processes and threads ---- */

pid_t spawn(void)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        fail("fork: %s", name_of(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent)
            _exit(1);
    }
    return pid;
}

static pid_t wait_for(pid_t pid, int *ret_status)
{
    pid_t result;

    do
        result = waitpid(pid, ret_status, 0);
    while (result < 0 && errno == EINTR);
    return result;
}

void conform_join(const char *file, int line, pid_t pid, int wanted)
{
    int status;

    if (wait_for(pid, &status) != pid)
        conform_fail(file, line, "waitpid: %s", name_of(errno));
    if ((status & ~0x80) != wanted)
        conform_fail(file, line, "a child's wait status is 0x%x, not 0x%x", (unsigned)status,
                     (unsigned)wanted);
}

bool joined(pid_t pid)
{
    joins(pid);
    return false;
}

pthread_t start(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    zero(pthread_create(&thread, NULL, run, argument));
    return thread;
}

void *end_of(pthread_t thread)
{
    void *value = NULL;

    zero(pthread_join(thread, &value));
    return value;
}

void as_user(void)
{
    if (geteuid() != 0)
        return;
    ok(chown(".", NOBODY, NOBODY));
    ok(setgroups(0, NULL));
    ok(setresgid(NOBODY, NOBODY, NOBODY));
    ok(setresuid(NOBODY, NOBODY, NOBODY));
    /* A change of identity takes what a dumpable process may do with itself. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

void as_root(void)
{
    if (geteuid() != 0)
        skip("needs root");
}

bool has_capability(int capability)
{
    char *status = slurp("/proc/self/status");
    const char *line = strstr(status, "\nCapEff:");
    unsigned long long set = line ? strtoull(line + 8, NULL, 16) : 0;

    free(status);
    return set >> capability & 1;
}

void nap(unsigned milliseconds)
{
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};

    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void count_signal(int number)
{
    (void)number;
    ticks++;
}

void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    ok(sigaction(number, &action, NULL));
}

void ticking(int flags)
{
    struct itimerval timer = {{0, 5000}, {0, 10000}};

    handle(SIGALRM, count_signal, flags);
    ok(setitimer(ITIMER_REAL, &timer, NULL));
}

void no_ticking(void)
{
    struct itimerval timer = {{0, 0}, {0, 0}};

    ok(setitimer(ITIMER_REAL, &timer, NULL));
}

static char state_of(pid_t tid)
{
    char path[64];
    char *text;
    const char *end;
    char state;

    snprintf(path, sizeof(path), "/proc/%d/stat", tid);
    text = slurp(path);
    end = strrchr(text, ')');
    state = end ? end[2] : '?';
    free(text);
    return state;
}

void until_sleeping(pid_t tid)
{
    for (int tries = 0; tries < 1000; tries++) {
        if (state_of(tid) == 'S' && tries > 1)
            return;
        nap(2);
    }
    fail("%d does not go to sleep", tid);
}

char *helper_says(char *const argv[], char *const envp[])
{
    static char text[16384];
    int ends[2];
    size_t length = 0;
    ssize_t got;
    pid_t pid;

    ok(pipe2(ends, O_CLOEXEC));
    pid = spawn();
    if (pid == 0) {
        dup2(ends[1], 1);
        execve(self_path, argv, envp);
        fail("execve: %s", name_of(errno));
    }
    close(ends[1]);
    while ((got = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    joins(pid);
    return text;
}
