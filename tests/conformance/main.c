/*
 * Runs the checks of the conformance suite, several at a time, and says how each ended.
 *
 *   conformance [--jobs N] [--scratch DIR] [NAME...]   NAME: a family, FAMILY.check or a pattern of
 * fnmatch(3) conformance --list [NAME...]                       "FAMILY.check TAB reference" of
 * each
 *
 * A line for each check: "pass FAMILY.check", or "fail FAMILY.check REASON", or "skip FAMILY.check
 * REASON". Exit status: 0 when none failed, 1 when some did, 2 for wrong usage or when it cannot
 * work.
 */
#include "conform.h"

#include <fnmatch.h>
#include <ftw.h>
#include <getopt.h>
#include <sys/prctl.h>

#include "frame.h"

#define MOST_JOBS 16

extern const struct check *const __start_conformance_checks[];
extern const struct check *const __stop_conformance_checks[];

struct job {
    const struct check *check; /* NULL: idle */
    pid_t pid;
    uint64_t deadline;
    struct verdict *verdict; /* shared with the check */
    char scratch[PATH_MAX];
};

struct runner {
    struct job jobs[MOST_JOBS];
    int job_count;
    const char *scratch;
    int failed;
};

static bool is_chosen(const struct check *check, char **names, int count)
{
    char whole[128];

    snprintf(whole, sizeof(whole), "%s.%s", check->family, check->name);
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], check->family) == 0 || fnmatch(names[i], whole, 0) == 0)
            return true;
    return count == 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)at;
    if (kind == FTW_DP || kind == FTW_D || kind == FTW_DNR)
        rmdir(path);
    else
        unlink(path);
    return 0;
}

static int open_up(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)at;
    if (kind == FTW_DNR || (kind == FTW_D && (status->st_mode & 0700) != 0700))
        chmod(path, 0700);
    return 0;
}

static void remove_tree(const char *path)
{
    if (rmdir(path) == 0)
        return;
    nftw(path, open_up, 16, FTW_PHYS);
    nftw(path, remove_one, 16, FTW_PHYS | FTW_DEPTH);
    if (access(path, F_OK) == 0) { /* a directory that could be read only after the first walk */
        nftw(path, open_up, 16, FTW_PHYS);
        nftw(path, remove_one, 16, FTW_PHYS | FTW_DEPTH);
    }
}

/* The check's own process: a session of its own, nothing on standard input and output. */
static _Noreturn void run_check(struct runner *runner, struct job *job)
{
    sigset_t none;
    int nothing = open("/dev/null", O_RDWR);

    (void)runner;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setsid();
    umask(022);
    dup2(nothing, 0);
    dup2(nothing, 1);
    close(nothing);
    verdict_here = job->verdict;
    if (chdir(job->scratch) < 0)
        fail("chdir to the scratch directory");
    job->check->run();
    _exit(0);
}

static void start_check(struct runner *runner, struct job *job, const struct check *check)
{
    snprintf(job->scratch, sizeof(job->scratch), "%s/%s.%s.XXXXXX", runner->scratch, check->family,
             check->name);
    if (!mkdtemp(job->scratch) || chmod(job->scratch, 0755) < 0) {
        fprintf(stderr, "conformance: %s: %s\n", job->scratch, strerror(errno));
        exit(2);
    }
    memset(job->verdict, 0, sizeof(*job->verdict));
    job->check = check;
    job->deadline = now_ns() + (uint64_t)SECONDS * 1000000000;
    job->pid = fork();
    if (job->pid == 0)
        run_check(runner, job);
    if (job->pid < 0) {
        perror("conformance: fork");
        exit(2);
    }
}

static void tell(struct runner *runner, const struct job *job, int status)
{
    const struct verdict *verdict = job->verdict;
    const char *word = "pass";
    char reason[300] = "";

    if (verdict->state != VERDICT_NONE) {
        word = verdict->state == VERDICT_SKIP ? "skip" : "fail";
        snprintf(reason, sizeof(reason), " %s", verdict->text);
    } else if (status < 0) {
        word = "fail";
        snprintf(reason, sizeof(reason), " no end after %d seconds", SECONDS);
    } else if (status != 0) {
        word = "fail";
        snprintf(reason, sizeof(reason), " ended with wait status 0x%x", (unsigned)status);
    }
    runner->failed += word[0] == 'f';
    printf("%s %s.%s%s\n", word, job->check->family, job->check->name, reason);
    fflush(stdout);
}

static void end_job(struct runner *runner, struct job *job, int status)
{
    kill(-job->pid, SIGKILL); /* what the check left behind */
    tell(runner, job, status);
    remove_tree(job->scratch);
    job->check = NULL;
}

static struct job *job_of(struct runner *runner, pid_t pid)
{
    for (int i = 0; i < runner->job_count; i++)
        if (runner->jobs[i].check && runner->jobs[i].pid == pid)
            return &runner->jobs[i];
    return NULL;
}

static bool is_busy(const struct runner *runner)
{
    for (int i = 0; i < runner->job_count; i++)
        if (runner->jobs[i].check)
            return true;
    return false;
}

static void reap(struct runner *runner)
{
    struct job *job;
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if ((job = job_of(runner, pid)) != NULL)
            end_job(runner, job, status);
    for (int i = 0; i < runner->job_count; i++) {
        job = &runner->jobs[i];
        if (!job->check || now_ns() < job->deadline)
            continue;
        kill(-job->pid, SIGKILL);
        kill(job->pid, SIGKILL);
        waitpid(job->pid, &status, 0);
        end_job(runner, job, -1);
    }
}

/* Until a child ends, or a tenth of a second. */
static void wait_a_little(void)
{
    struct timespec tenth = {0, 100000000};
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigtimedwait(&child, NULL, &tenth);
}

static struct job *idle_job(struct runner *runner)
{
    for (;;) {
        for (int i = 0; i < runner->job_count; i++)
            if (!runner->jobs[i].check)
                return &runner->jobs[i];
        wait_a_little();
        reap(runner);
    }
}

static void run_all(struct runner *runner, char **names, int count)
{
    const struct check *const *at;

    for (at = __start_conformance_checks; at < __stop_conformance_checks; at++) {
        if (is_chosen(*at, names, count))
            start_check(runner, idle_job(runner), *at);
        reap(runner);
    }
    while (is_busy(runner)) {
        wait_a_little();
        reap(runner);
    }
}

static int list(char **names, int count)
{
    const struct check *const *at;

    for (at = __start_conformance_checks; at < __stop_conformance_checks; at++)
        if (is_chosen(*at, names, count))
            printf("%s.%s\t%s\n", (*at)->family, (*at)->name, (*at)->reference);
    return 0;
}

static void prepare(struct runner *runner)
{
    static char path[PATH_MAX];
    struct verdict *shared = mmap(NULL, MOST_JOBS * sizeof(*shared), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigset_t child;
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (shared == MAP_FAILED || length < 0) {
        perror("conformance");
        exit(2);
    }
    self_path = path;
    for (int i = 0; i < MOST_JOBS; i++)
        runner->jobs[i].verdict = &shared[i];
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    close_range(3, ~0u, 0);
}

static int usage(void)
{
    fprintf(stderr, "usage: conformance [--list] [--jobs N] [--scratch DIR] [NAME...]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"list", no_argument, NULL, 'l'},
                                            {"jobs", required_argument, NULL, 'j'},
                                            {"scratch", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    static struct runner runner = {.job_count = 4, .scratch = "."};
    static char scratch[PATH_MAX];
    bool only_list = false;
    int option;

    if (argc > 1 && strcmp(argv[1], "--helper") == 0)
        return helper_main(argc, argv);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'l')
            only_list = true;
        else if (option == 'j')
            runner.job_count = (int)strtol(optarg, NULL, 10);
        else if (option == 's')
            runner.scratch = optarg;
        else
            return usage();
    }
    if (runner.job_count < 1 || runner.job_count > MOST_JOBS)
        return usage();
    if (only_list)
        return list(argv + optind, argc - optind);
    if (!realpath(runner.scratch, scratch)) {
        fprintf(stderr, "conformance: %s: %s\n", runner.scratch, strerror(errno));
        return 2;
    }
    runner.scratch = scratch;
    prepare(&runner);
    run_all(&runner, argv + optind, argc - optind);
    return runner.failed ? 1 : 0;
}
