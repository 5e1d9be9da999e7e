/* What fork, vfork, threads and exec do with cwd, umask and root. */
#include "guest.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *start;

static void prepare(void)
{
    start = guest_cwd();
    OK(mkdir("one", 0777));
    OK(mkdir("two", 0777));
    guest_write("one/file", "one");
    guest_write("two/file", "two");
}

static void child_moves(void *argument)
{
    (void)argument;
    guest_content("file", "one");
    OK(chdir("../two"));
    umask(077);
    guest_content("file", "two");
}

static void fork_copies(void)
{
    prepare();
    OK(chdir("one"));
    umask(022);
    guest_join(guest_fork(child_moves, NULL));
    guest_content("file", "one");
    CHECK_EQ(umask(0), 022);
}

static void grandchildren(void *argument)
{
    long depth = (long)argument;

    if (depth == 0) {
        guest_content("file", "one");
        return;
    }
    guest_join(guest_fork(grandchildren, (void *)(depth - 1)));
}

static void many_generations(void)
{
    prepare();
    OK(chdir("one"));
    guest_join(guest_fork(grandchildren, (void *)20));
}

static void *thread_moves(void *argument)
{
    (void)argument;
    OK(chdir("two"));
    umask(011);
    return NULL;
}

static void threads_share(void)
{
    pthread_t thread;

    prepare();
    CHECK_EQ(pthread_create(&thread, NULL, thread_moves, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    guest_content("file", "two");
    CHECK_EQ(umask(0), 011);
}

static void *thread_sees(void *argument)
{
    (void)argument;
    guest_content("file", "one");
    return NULL;
}

static void new_threads_see_the_present(void)
{
    pthread_t thread;

    prepare();
    for (int i = 0; i < 20; i++) {
        OK(chdir(i % 2 ? start : "."));
        OK(chdir("one"));
        CHECK_EQ(pthread_create(&thread, NULL, thread_sees, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        OK(chdir(".."));
    }
}

static void *thread_forks(void *argument)
{
    (void)argument;
    guest_join(guest_fork(child_moves, NULL));
    return NULL;
}

static void fork_in_a_thread(void)
{
    pthread_t thread;

    prepare();
    OK(chdir("one"));
    CHECK_EQ(pthread_create(&thread, NULL, thread_forks, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    guest_content("file", "one");
}

static void vfork_child_moves_alone(void)
{
    pid_t pid;

    prepare();
    OK(chdir("one"));
    pid = vfork();
    if (pid == 0) {
        if (chdir("../two") < 0 || access("../one/file", R_OK) < 0)
            _exit(1);
        umask(077);
        _exit(0);
    }
    guest_join(pid);
    guest_content("file", "one");
    CHECK(umask(0) != 077);
}

static void vfork_child_executes_elsewhere(void)
{
    const char *show = guest_program("show-static");
    char *argv[] = {"show", "cwd", NULL};
    char *found;
    int ends[2];
    pid_t pid;

    prepare();
    OK(chdir("one"));
    OK(pipe(ends));
    pid = vfork();
    if (pid == 0) {
        chdir("../two");
        dup2(ends[1], 1);
        execv(show, argv);
        _exit(127);
    }
    guest_join(pid);
    OK(close(ends[1]));
    found = calloc(1, 4096);
    CHECK(read(ends[0], found, 4095) > 0);
    CHECK_TEXT(found, guest_format("%s/two\n", start));
    CHECK_TEXT(guest_cwd(), guest_format("%s/one", start));
}

static void spawned(void)
{
    posix_spawn_file_actions_t actions;
    char *argv[] = {"show", "cwd", NULL};
    pid_t pid;

    prepare();
    OK(chdir("one"));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, "../two");
    posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT, 0666);
    CHECK_EQ(posix_spawn(&pid, guest_program("show-pie"), &actions, NULL, argv, environ), 0);
    guest_join(pid);
    guest_content("../two/out", guest_format("%s/two\n", start));
    guest_content("file", "one");
}

static void exec_keeps(void)
{
    char *argv[] = {(char *)guest_program("show-static"), "cwd", NULL};
    char *shell[] = {"/bin/sh", "-c", "umask; cat file", NULL};

    prepare();
    OK(chdir("one"));
    umask(0124);
    CHECK_TEXT(guest_output(argv, NULL), guest_format("%s/one\n", start));
    CHECK_TEXT(guest_output(shell, NULL), "0124\none");
}

/*
 * Orphans: each grandchild makes its first call only after its parent is gone and its grandparent
 * has changed directory.
 */
struct meeting {
    volatile int moved;
    volatile int wrong;
    volatile int done;
};

static void orphan(struct meeting *meeting)
{
    struct stat stat_buf;

    while (!meeting->moved)
        sched_yield();
    if (stat("file-of-one", &stat_buf) < 0)
        __atomic_fetch_add(&meeting->wrong, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&meeting->done, 1, __ATOMIC_SEQ_CST);
    _exit(0);
}

static void orphans(void)
{
    enum { COUNT = 200 };
    struct meeting *meeting =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int children[COUNT];

    prepare();
    guest_write("one/file-of-one", "x");
    OK(chdir("one"));
    for (int i = 0; i < COUNT; i++) {
        children[i] = (int)OK(fork());
        if (children[i] == 0) {
            if (fork() == 0) {
                nice(10);
                orphan(meeting);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < COUNT; i++)
        guest_join(children[i]);
    OK(chdir("../two"));
    meeting->moved = 1;
    for (int i = 0; i < 3000 && meeting->done < COUNT; i++)
        guest_sleep_ms(10);
    CHECK_EQ(meeting->done, COUNT);
    CHECK_EQ(meeting->wrong, 0);
}

static int clone_body(void *argument)
{
    (void)argument;
    return chdir("two") < 0;
}

static void clone_that_shares(void)
{
    char *stack = malloc(65536);
    int pid;

    prepare();
    pid = clone(clone_body, stack + 65536, CLONE_FS | SIGCHLD, NULL);
    OK(pid);
    guest_join(pid);
    guest_content("file", "two");
}

/* Both sides change what both have; what either forks has a copy. */
struct steps {
    volatile int step;
};

static void wait_step(struct steps *steps, int step)
{
    for (int i = 0; i < 20000 && steps->step < step; i++)
        guest_sleep_ms(1);
    CHECK(steps->step >= step);
}

static void reads_one(void *argument)
{
    wait_step(argument, 4);
    guest_content("file", "two");
    CHECK_EQ(umask(0), 0117);
}

static int shares_body(void *argument)
{
    struct steps *steps = argument;
    pid_t copy;

    OK(chdir("two"));
    umask(0117);
    copy = guest_fork(reads_one, steps);
    steps->step = 1;
    wait_step(steps, 2);
    guest_content("file", "one");
    CHECK_EQ(umask(0022), 0124);
    OK(unshare(CLONE_FS));
    OK(chdir("../two"));
    steps->step = 3;
    guest_join(copy);
    wait_step(steps, 4);
    CHECK_TEXT(guest_cwd(), guest_format("%s/two", start));
    return 0;
}

static void clone_shares_until_unshared(void)
{
    struct steps *steps =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *stack = malloc(65536);
    int pid;

    prepare();
    pid = (int)OK(clone(shares_body, stack + 65536, CLONE_FS | SIGCHLD, steps));
    wait_step(steps, 1);
    guest_content("file", "two");
    CHECK_EQ(umask(0124), 0117);
    OK(chdir("../one"));
    steps->step = 2;
    wait_step(steps, 3);
    guest_content("file", "one");
    CHECK_EQ(umask(0), 0022);
    OK(chdir(".."));
    steps->step = 4;
    guest_join(pid);
}

/* As programs of before threads used it, and as vfork(). */
static int moves_and_ends(void *argument)
{
    sigset_t blocked;

    sigprocmask(SIG_SETMASK, NULL, &blocked);
    return chdir(argument) < 0 || sigismember(&blocked, SIGUSR1);
}

static void clone_forms(void)
{
    static const int forms[] = {CLONE_FS, CLONE_FS | CLONE_VM, CLONE_FS | CLONE_FILES,
                                CLONE_FS | CLONE_VM | CLONE_VFORK,
                                CLONE_FS | CLONE_UNTRACED | CLONE_PARENT_SETTID};
    char *stack = malloc(65536);
    sigset_t some;
    sigset_t now;

    prepare();
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    sigprocmask(SIG_SETMASK, &some, NULL);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        pid_t told = 0;
        int pid;

        OK(chdir(start));
        pid = (int)OK(clone(moves_and_ends, stack + 65536, forms[i] | SIGCHLD, "two", &told));
        guest_join(pid);
        guest_content("file", "two");
        CHECK_EQ(told, forms[i] & CLONE_PARENT_SETTID ? pid : 0);
        sigprocmask(SIG_SETMASK, NULL, &now);
        CHECK(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1));
    }
    FAILS(clone(moves_and_ends, stack + 65536, CLONE_FS | CLONE_SIGHAND | SIGCHLD, "two"), EINVAL);
    OK(clone(moves_and_ends, stack + 65536, CLONE_FS, "one") > 0 ? 0 : -1); /* no signal */
    CHECK_EQ(waitpid(-1, NULL, __WALL) > 0, 1);
    CHECK_TEXT(guest_cwd(), guest_format("%s/two", start));
}

static volatile sig_atomic_t alarms;

static void count_alarm(int number)
{
    (void)number;
    alarms++;
}

static void clone_under_signals(void)
{
    struct sigaction action = {.sa_handler = count_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 300}, {0, 300}};
    char *stack = malloc(65536);

    prepare();
    OK(sigaction(SIGALRM, &action, NULL));
    OK(setitimer(ITIMER_REAL, &often, NULL));
    for (int i = 0; i < 200; i++) {
        int pid = (int)OK(clone(moves_and_ends, stack + 65536, CLONE_FS | SIGCHLD,
                                i % 2 ? "../one"
                                : i   ? "../two"
                                      : "two"));

        guest_join(pid);
        guest_content("file", i % 2 ? "one" : "two");
    }
    OK(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL));
    CHECK(alarms > 0);
    FAILS(waitpid(-1, NULL, __WALL), ECHILD);
}

static void in_the_jail(void *argument)
{
    struct stat up;
    struct stat root;

    (void)argument;
    OK(stat("/..", &up));
    OK(stat("/", &root));
    CHECK_EQ(up.st_ino, root.st_ino);
    guest_content("/file", "one");
    guest_content("/../../file", "one");
    FAILS(open("/etc/passwd", O_RDONLY), ENOENT);
    OK(chdir("/sub"));
    CHECK_TEXT(guest_cwd(), "/sub");
    guest_content("../link", "one");
}

static void jail(void *argument)
{
    (void)argument;
    OK(chroot("one"));
    OK(chdir("/"));
    in_the_jail(NULL);
    guest_join(guest_fork(in_the_jail, NULL));
}

static void changed_root(void)
{
    prepare();
    OK(mkdir("one/sub", 0777));
    OK(symlink("/file", "one/link"));
    if (geteuid() != 0) {
        FAILS(chroot("one"), EPERM);
        return;
    }
    guest_join(guest_fork(jail, NULL));
    guest_content("one/file", "one");
    FAILS(chroot("one/file"), ENOTDIR);
    FAILS(chroot("missing"), ENOENT);
}

static const struct guest_case cases[] = {
    {"fork-copies", fork_copies},
    {"many-generations", many_generations},
    {"threads-share", threads_share},
    {"new-threads-see-the-present", new_threads_see_the_present},
    {"fork-in-a-thread", fork_in_a_thread},
    {"vfork-child-moves-alone", vfork_child_moves_alone},
    {"vfork-child-executes-elsewhere", vfork_child_executes_elsewhere},
    {"spawned", spawned},
    {"exec-keeps", exec_keeps},
    {"orphans", orphans},
    {"clone-that-shares", clone_that_shares},
    {"clone-shares-until-unshared", clone_shares_until_unshared},
    {"clone-forms", clone_forms},
    {"clone-under-signals", clone_under_signals},
    {"changed-root", changed_root},
};

GUEST_MAIN(cases)
