/* Runs all tests, each in a process of its own, in the ways that it asks for, and reports on
 * standard output. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

#define USUAL_SECONDS 40
#define REPORT_SIZE   (256 * 1024)
#define SKIPPED       77

/* Shared by the runner, a test and all its children. */
struct report {
    int lock;
    bool failed;
    size_t used;
    char text[REPORT_SIZE];
};

static struct report *report;
static unsigned int line_number;
static const char *only; /* a part of the names of the tests that are wanted */
struct options options = {.fuzz_seconds = 10, .seed = 1, .slow = 1};
int leaked_fd = -1;

static const struct test *const groups[] = {
    access_tests,  information_tests, record_tests, batch_tests,   list_tests,     buffer_tests,
    string_tests,  netlink_tests,     genl_tests,   control_tests, physical_tests, process_tests,
    latency_tests, fuzz_tests,        load_tests,   fault_tests,
};

/* ---- inside a test ---- */

static void append(const char *format, va_list arguments)
{
    while (__atomic_exchange_n(&report->lock, 1, __ATOMIC_ACQUIRE))
        usleep(100);
    size_t room = REPORT_SIZE - report->used;
    int length = vsnprintf(report->text + report->used, room, format, arguments);
    if (length > 0)
        report->used += (size_t)length < room ? (size_t)length : room - 1;
    __atomic_store_n(&report->lock, 0, __ATOMIC_RELEASE);
}

static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append(format, arguments);
    va_end(arguments);
}

void failed(const char *file, int line, const char *text, const char *format, ...)
{
    va_list arguments;
    char words[512];

    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    report->failed = true;
    say("%s:%d: not true: %s: %s\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, text,
        words);
    _exit(1);
}

void skip(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append(format, arguments);
    va_end(arguments);
    _exit(SKIPPED);
}

/* Lines of a table begin with a byte that no other text has. */
void row(const char *table, const char *format, ...)
{
    va_list arguments;
    char cells[512];

    va_start(arguments, format);
    vsnprintf(cells, sizeof(cells), format, arguments);
    va_end(arguments);
    say("\001%s %s\n", table, cells);
}

/* ---- results ---- */

static void print_escaped(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '\n')
            fputs("\\n", stdout);
        else if (c == '\t')
            fputs("\\t", stdout);
        else if (c == '\\')
            fputs("\\\\", stdout);
        else
            putchar(c < 32 || c > 126 ? '?' : c);
    }
}

static void print_result(const char *word, const char *way, const char *name, const char *text,
                         size_t length)
{
    printf("@%u %s %s%s%s ", ++line_number, word, way, way[0] ? "/" : "", name);
    print_escaped(text, length > 3000 ? 3000 : length);
    putchar('\n');
    fflush(stdout);
}

/* Takes the lines of tables out of the text, and prints them. */
static size_t print_rows(char *text)
{
    char *out = text;

    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        char *next = end ? end + 1 : line + strlen(line);

        if (*line == '\001' && end) {
            char *space = strchr(line, ' ');
            *space = '\0';
            print_result("row", "", line + 1, space + 1, (size_t)(end - space - 1));
        } else {
            memmove(out, line, (size_t)(next - line));
            out += next - line;
        }
        line = next;
    }
    return (size_t)(out - text);
}

static void judge(const char *way, const struct test *test, int status, const char *extra,
                  unsigned int milliseconds)
{
    report->text[report->used < REPORT_SIZE ? report->used : REPORT_SIZE - 1] = '\0';
    size_t length = print_rows(report->text);
    if (extra)
        length += (size_t)snprintf(report->text + length, REPORT_SIZE - length, "%s", extra);
    if (WIFSIGNALED(status))
        length += (size_t)snprintf(report->text + length, REPORT_SIZE - length,
                                   "killed by signal %d\n", WTERMSIG(status));
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED && !report->failed;
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && !report->failed && !extra;
    if (good) /* how long it took, to know where the time goes */
        length = (size_t)snprintf(report->text, REPORT_SIZE, "%u ms", milliseconds);
    print_result(skipped ? "skip" : good ? "pass" : "fail", way, test->name, report->text, length);
}

/* Waits, at most so long; then kills the test with all its children. Returns what is to be said
 * about that. */
static const char *wait_for(pid_t pid, unsigned int seconds, int *ret_status)
{
    uint64_t end = now_ns() + (uint64_t)seconds * 1000000000;
    const char *extra = NULL;
    bool killed = false;

    while (waitpid(pid, ret_status, WNOHANG) == 0) {
        if (now_ns() > end) {
            extra = killed ? "it cannot even be killed\n" : "it does not come to an end\n";
            if (killed)
                break;
            kill(-pid, SIGKILL);
            killed = true;
            end = now_ns() + 10000000000;
        }
        usleep(1000);
    }
    kill(-pid, SIGKILL);
    return extra;
}

static void run_test(const struct test *test, enum way way, const char *way_name)
{
    int status = 0;
    unsigned int seconds = (test->seconds ? test->seconds : USUAL_SECONDS) * options.slow;

    if (only && !strstr(test->name, only))
        return;
    memset(report, 0, offsetof(struct report, text) + 1);
    leaked_fd = way == WAY_LOAD ? -1 : open(KAPI_DEVICE_PATH, O_RDWR | O_CLOEXEC);
    uint64_t start = now_ns();
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        become(way);
        test->run(way);
        _exit(0);
    }
    const char *extra = wait_for(pid, seconds, &status);
    if (leaked_fd >= 0)
        close(leaked_fd);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    judge(way_name, test, status, extra, (unsigned int)((now_ns() - start) / 1000000));
}

static void run_way(enum way way, const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(groups); i++)
        for (const struct test *test = groups[i]; test->name; test++)
            if (test->ways & way && (options.slow > 1 || !(test->ways & WAY_SANITIZER)))
                run_test(test, way, name);
}

/* ---- the settings ---- */

/* What the udev rule does: the group may open the device. */
static void hand_to_group(void)
{
    if (chown(KAPI_DEVICE_PATH, 0, KAPI_GROUP) != 0 || chmod(KAPI_DEVICE_PATH, 0660) != 0)
        fprintf(stderr, "cannot hand the device to its group: %s\n", strerror(errno));
}

/* Processes that the tests before have killed may still be on their way out, with the device open.
 */
static int unload_patiently(void)
{
    int r = module_unload(MODULE_NAME);

    for (int i = 0; r == -EAGAIN && i < 10000; i++) {
        usleep(1000);
        r = module_unload(MODULE_NAME);
    }
    return r;
}

static bool fresh_module(const char *parameters)
{
    int r = unload_patiently();

    if (r == 0 || r == -ENOENT)
        r = module_load(MODULE_FILE, parameters);
    for (int i = 0; r == 0 && access(KAPI_DEVICE_PATH, F_OK) != 0 && i < 1000; i++)
        usleep(1000);
    char text[128];
    snprintf(text, sizeof(text), "parameters \"%s\": %s", parameters, strerror(-r));
    print_result(r == 0 ? "pass" : "fail", "", "module-loads", text, strlen(text));
    return r == 0;
}

static void lock_down(const char *level)
{
    int fd = open("/sys/kernel/security/lockdown", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, level, strlen(level)) < 0)
        fprintf(stderr, "cannot lock down: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void run_all(void)
{
    if (!fresh_module(""))
        return;
    run_way(WAY_ROOT, "root"); /* the first test looks at the device as the kernel makes it */
    hand_to_group();
    run_way(WAY_NOBODY, "nobody");
    run_way(WAY_USERNS, "userns");
    run_way(WAY_LOAD, "load");
    if (!fresh_module(ALLOW_ALL))
        return;
    hand_to_group();
    run_way(WAY_ALLOWED, "allowed");
    run_way(WAY_ALLOWED_NOBODY, "allowed-nobody");
    run_way(WAY_ALLOWED_USERNS, "allowed-userns");
    lock_down("integrity");
    run_way(WAY_INTEGRITY, "integrity");
    lock_down("confidentiality");
    run_way(WAY_CONFIDENTIALITY, "confidentiality");
}

/* The last of all: no result can be reported after it, the console has to show it. */
static void expect_panic(void)
{
    int console = open("/dev/console", O_WRONLY | O_CLOEXEC);
    int fd = open(KAPI_DEVICE_PATH, O_RDWR | O_CLOEXEC);

    if (console < 0 || fd < 0 || only)
        return;
    dprintf(console, "\nkapi-test: panic expected\n");
    usleep(200000);
    kapi_call(fd, KAPI_PANIC_KERNEL, NULL);
    dprintf(console, "kapi-test: no panic, %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            options.fuzz_seconds = (unsigned int)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            options.seed = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--slow") == 0)
            options.slow = (unsigned int)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
    }
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return 1;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    run_all();
    printf("@%u end all\n", ++line_number);
    fflush(stdout);
    sleep(1); /* the line may still be on its way out of the serial port */
    expect_panic();
    return 0;
}
