/*
 * The C library, against real guests.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "cerebro/process_kernel.h"

#define SH(script)                    \
    (char *[])                        \
    {                                 \
        "/bin/sh", "-c", script, NULL \
    }

static process_kernel_t *create(void)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "test");

    assert_non_null(kernel);
    return kernel;
}

/* Runs a program to its end; returns its wait status. */
static int run(process_kernel_t *kernel, char *const argv[])
{
    int status = -1;
    pid_t pid = pk_spawn(kernel, argv);

    if (pid < 0)
        fail_msg("%s (%s)", pk_last_error(), pk_last_hint());
    assert_int_equal(pk_wait(kernel, &status), 0);
    return status;
}

static void test_plain_run(void **state)
{
    process_kernel_t *kernel = create();

    (void)state;
    assert_int_equal(pk_init(), 0);
    assert_int_equal(run(kernel, SH("exit 7")), 7 << 8);
    assert_int_equal(run(kernel, SH("kill -TERM $$")), SIGTERM);
    pk_destroy(kernel);
}

static atomic_uint opens;

static long count_open(struct pk_call *call, void *user)
{
    char path[4096];

    assert_ptr_equal(pk_get_private(pk_get_current()), &opens);
    assert_ptr_equal(user, &opens);
    assert_int_equal(pk_call_nr(call), SYS_openat);
    if (pk_call_read_string(call, pk_call_arg(call, 1), path, sizeof(path)) < 0)
        return -EFAULT;
    if (strcmp(path, "/no/such/file") == 0)
        return -EXDEV;
    atomic_fetch_add(&opens, 1);
    return pk_call_forward(call);
}

static void test_handler_sees_counts_and_refuses(void **state)
{
    process_kernel_t *kernel = create();
    pk_statistics_t stats = {.size = sizeof(stats)};

    (void)state;
    atomic_store(&opens, 0);
    pk_set_private(kernel, &opens);
    assert_int_equal(pk_set_handler(kernel, SYS_openat, count_open, &opens), 0);
    assert_int_equal(run(kernel, SH("cat /no/such/file 2>&1 | grep -q cross-device && "
                                    "cat /etc/passwd >/dev/null && exit 5")),
                     5 << 8);
    assert_true(atomic_load(&opens) > 5);
    pk_get_stats(kernel, &stats);
    assert_int_equal(stats.syscalls_intercepted, atomic_load(&opens) + 1);
    assert_int_equal(stats.errors, 0);
    pk_destroy(kernel);
}

static int plain_handler(int nr, void *args)
{
    const uint64_t *values = args;

    return nr == SYS_umask && values[0] == 0123 ? 0456 : PK_FORWARD;
}

static void test_form_of_the_specification(void **state)
{
    process_kernel_t *kernel = create();

    (void)state;
    assert_int_equal(pk_register_syscall(kernel, SYS_umask, plain_handler), 0);
    assert_int_equal(run(kernel, (char *[]){"/usr/bin/python3", "-c",
                                            "import os,sys; a=os.umask(0o123); os.umask(0o22); "
                                            "sys.exit(a == 0o456 and os.umask(0) == 0o22)",
                                            NULL}),
                     1 << 8);
    pk_destroy(kernel);
}

static long native_pid(struct pk_call *call, void *user)
{
    atomic_fetch_add((atomic_uint *)user, 1);
    return pk_call_native(call);
}

static void test_native_and_denied(void **state)
{
    process_kernel_t *kernel = create();
    atomic_uint calls = 0;

    (void)state;
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, native_pid, &calls), 0);
    assert_int_equal(pk_deny(kernel, SYS_chdir, ENOTEMPTY), 0);
    assert_int_equal(run(kernel, (char *[]){"/usr/bin/python3", "-c",
                                            "import os,errno,sys\n"
                                            "assert os.getppid() > 0\n"
                                            "try: os.chdir('/')\n"
                                            "except OSError as e: sys.exit(e.errno)",
                                            NULL}),
                     ENOTEMPTY << 8);
    assert_true(atomic_load(&calls) > 0);
    pk_destroy(kernel);
}

/* The last word about a number counts, and none is left after pk_allow(). */
static void test_allowed_again(void **state)
{
    process_kernel_t *kernel = create();
    atomic_uint calls = 0;

    (void)state;
    assert_int_equal(pk_deny(kernel, SYS_chdir, ENOTEMPTY), 0);
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, native_pid, &calls), 0);
    assert_int_equal(pk_allow(kernel, SYS_chdir), 0);
    assert_int_equal(pk_allow(kernel, SYS_getppid), 0);
    assert_int_equal(pk_allow(kernel, SYS_close), -EINVAL);
    assert_int_equal(pk_allow(kernel, 100000), -EINVAL);
    assert_int_equal(run(kernel, (char *[]){"/usr/bin/python3", "-c",
                                            "import os\nos.getppid()\nos.chdir('/')", NULL}),
                     0);
    assert_int_equal(atomic_load(&calls), 0);
    pk_destroy(kernel);
}

#define CONNECT                                         \
    "import socket,sys\n"                               \
    "s = socket.socket()\n"                             \
    "try: s.connect(('127.0.0.1', int(sys.argv[1])))\n" \
    "except OSError as e: sys.exit(e.errno)\n"

/* A listener of the host; its port. */
static int open_port(char text[16])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, length), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    snprintf(text, 16, "%u", ntohs(name.sin_port));
    return fd;
}

static void test_network_rules(void **state)
{
    process_kernel_t *kernel = create();
    char port[16], rule[64];
    char *argv[] = {"/usr/bin/python3", "-c", CONNECT, port, NULL};
    int fd = open_port(port);

    (void)state;
    snprintf(rule, sizeof(rule), "127.0.0.1:%s", port);
    assert_int_equal(pk_net_allow(kernel, rule), 0);
    assert_int_equal(run(kernel, argv), 0);
    assert_int_equal(pk_net_deny(kernel, "tcp/127.0.0.0/8"), 0);
    assert_int_equal(run(kernel, argv), EACCES << 8);
    assert_int_equal(pk_net_deny(kernel, "no rule"), 0);
    assert_true(pk_spawn(kernel, argv) < 0);
    pk_destroy(kernel);
    close(fd);
}

static long give_file(struct pk_call *call, void *user)
{
    char path[4096];
    long r;
    int fd;

    (void)user;
    if (pk_call_read_string(call, pk_call_arg(call, 1), path, sizeof(path)) < 0 ||
        strcmp(path, "/answer") != 0)
        return pk_call_forward(call);
    fd = memfd_create("answer", MFD_CLOEXEC);
    assert_int_equal(write(fd, "forty-two\n", 10), 10);
    lseek(fd, 0, SEEK_SET);
    r = pk_call_return_fd(call, fd, true);
    close(fd);
    return r;
}

static void test_descriptor(void **state)
{
    process_kernel_t *kernel = create();

    (void)state;
    assert_int_equal(pk_set_handler(kernel, SYS_openat, give_file, NULL), 0);
    assert_int_equal(run(kernel, SH("test \"$(cat /answer)\" = forty-two && exit 9")), 9 << 8);
    pk_destroy(kernel);
}

/* Its text becomes another; the value says who has asked. */
static long look_and_change(struct pk_call *call, void *user)
{
    char text[8];

    (void)user;
    assert_int_equal(pk_call_read(call, pk_call_arg(call, 0), text, sizeof(text)), 0);
    assert_int_equal(pk_call_read(call, 16, text, sizeof(text)), -EFAULT);
    assert_int_equal(pk_call_read(call, 16, text, 0), 0);
    assert_int_equal(pk_call_write(call, 16, text, sizeof(text)), -EFAULT);
    assert_int_equal(pk_call_read_string(call, 16, text, sizeof(text)), -EFAULT);
    assert_int_equal(pk_call_read_string(call, pk_call_arg(call, 0), text, 4), -ENAMETOOLONG);
    assert_int_equal(pk_call_arg(call, 6), 0);
    if (strcmp(text, "ping") != 0)
        return -EINVAL;
    assert_int_equal(pk_call_write(call, pk_call_arg(call, 0), "pong", 5), 0);
    return pk_call_arg(call, 1) ? pk_call_tid(call) : pk_call_pid(call);
}

static void test_memory_and_numbers(void **state)
{
    process_kernel_t *kernel = create();
    pk_statistics_t stats = {.size = sizeof(stats)};

    (void)state;
    assert_int_equal(pk_set_handler(kernel, SYS_getcpu, look_and_change, NULL), 0);
    assert_int_equal(
        run(kernel, (char *[]){"/usr/bin/python3", "-c",
                               "import ctypes,os,sys,threading\nc=ctypes.CDLL(None)\n"
                               "def ask(which, wanted):\n"
                               "    b=ctypes.create_string_buffer(b'ping',8)\n"
                               "    r=c.syscall(309, b, ctypes.c_long(which))\n"
                               "    if r == wanted() and b.value == b'pong': good.append(1)\n"
                               "good=[]\n"
                               "ask(0, os.getpid)\n"
                               "t=threading.Thread(target=ask,args=(1,threading.get_native_id))\n"
                               "t.start();t.join()\n"
                               "sys.exit(len(good))",
                               NULL}),
        2 << 8);
    pk_get_stats(kernel, &stats);
    assert_true(stats.io_operations >= 2);
    assert_int_equal(stats.errors, 0);
    pk_destroy(kernel);
}

struct events {
    atomic_uint started, denials, timeouts, crashes, ended;
    int denied_nr;
    char denial[512];
};

static void on_event(const pk_event_t *event, void *user)
{
    struct events *events = user;

    switch (event->type) {
    case PK_EVENT_STARTED:
        atomic_fetch_add(&events->started, 1);
        break;
    case PK_EVENT_DENIAL:
        atomic_fetch_add(&events->denials, 1);
        events->denied_nr = event->nr;
        snprintf(events->denial, sizeof(events->denial), "%s", event->text);
        break;
    case PK_EVENT_DETACHED:
        break;
    case PK_EVENT_TIMEOUT:
        atomic_fetch_add(&events->timeouts, event->nr == SYS_getppid);
        break;
    case PK_EVENT_CRASH:
        atomic_fetch_add(&events->crashes, event->nr == SYS_getppid);
        break;
    case PK_EVENT_ENDED:
        atomic_fetch_add(&events->ended, 1);
        break;
    }
}

static char *const ask_parent[] = {"/usr/bin/python3", "-c",
                                   "import ctypes,sys\nc=ctypes.CDLL(None,use_errno=True)\n"
                                   "sys.exit(ctypes.get_errno() if c.syscall(110) == -1 else 0)",
                                   NULL};

static long crash(struct pk_call *call, void *user)
{
    volatile uintptr_t nowhere = 16;

    (void)call;
    (void)user;
    return *(volatile int *)nowhere;
}

static void test_crash_is_fenced(void **state)
{
    process_kernel_t *kernel = create();
    struct events events = {0};
    pk_statistics_t stats = {.size = sizeof(stats)};

    (void)state;
    pk_set_event_handler(kernel, on_event, &events);
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, crash, NULL), 0);
    assert_int_equal(run(kernel, ask_parent), EIO << 8);
    assert_int_equal(atomic_load(&events.crashes), 1);
    assert_int_equal(atomic_load(&events.started), 1);
    assert_int_equal(atomic_load(&events.ended), 1);
    pk_get_stats(kernel, &stats);
    assert_int_equal(stats.errors, 1);
    pk_destroy(kernel);
}

static void take_fault(int number)
{
    (void)number;
    _exit(33);
}

/* A child is the program: it has a handler for such faults, which is what it ends by. */
static void test_fault_without_fence_is_the_programs(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        process_kernel_t *kernel = create();

        signal(SIGSEGV, take_fault);
        if (pk_set_fence(kernel, false) < 0 ||
            pk_set_handler(kernel, SYS_getppid, crash, NULL) < 0 ||
            pk_spawn(kernel, ask_parent) < 0)
            _exit(1);
        pk_wait(kernel, NULL);
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 33 << 8);
}

static void test_names_of_calls(void **state)
{
    (void)state;
    assert_int_equal(pk_syscall_number("openat"), SYS_openat);
    assert_int_equal(pk_syscall_number("read"), SYS_read);
    assert_int_equal(pk_syscall_number("open_at"), -EINVAL);
    assert_non_null(strstr(pk_last_error(), "open_at"));
    assert_int_equal(pk_syscall_number(""), -EINVAL);
    assert_int_equal(pk_syscall_number(NULL), -EINVAL);
    assert_string_equal(pk_syscall_name(SYS_ptrace), "ptrace");
    assert_null(pk_syscall_name(-1));
    assert_null(pk_syscall_name(100000));
    for (int nr = 0; nr < 600; nr++)
        if (pk_syscall_name(nr))
            assert_int_equal(pk_syscall_number(pk_syscall_name(nr)), nr);
}

static atomic_bool go_on;

static long hang(struct pk_call *call, void *user)
{
    (void)call;
    (void)user;
    while (!atomic_load(&go_on))
        usleep(1000);
    return 5;
}

static void test_handler_that_hangs(void **state)
{
    process_kernel_t *kernel = create();
    struct events events = {0};

    (void)state;
    atomic_store(&go_on, false);
    pk_set_event_handler(kernel, on_event, &events);
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, hang, NULL), 0);
    assert_int_equal(pk_set_handler_timeout(kernel, 50), 0);
    assert_int_equal(run(kernel, ask_parent), ETIMEDOUT << 8);
    assert_int_equal(atomic_load(&events.timeouts), 1);
    atomic_store(&go_on, true);
    pk_destroy(kernel);
}

static long nonsense(struct pk_call *call, void *user)
{
    (void)call;
    (void)user;
    return -4096;
}

static void test_nonsense_is_an_error(void **state)
{
    process_kernel_t *kernel = create();

    (void)state;
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, nonsense, NULL), 0);
    assert_int_equal(run(kernel, ask_parent), EIO << 8);
    pk_destroy(kernel);
}

#define CALLS_AFTER 20

static atomic_uint after, right;

/* A handler that leaves its thread in disorder and crashes; the next ones find it in order. */
static long disorder(struct pk_call *call, void *user)
{
    const cpu_set_t *cpus = user;
    cpu_set_t now;
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    if (atomic_fetch_add(&after, 1) < 2) {
        pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
        return crash(call, NULL);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    sched_getaffinity(0, sizeof(now), &now);
    atomic_fetch_add(&right, sigismember(&mask, SIGUSR1) && CPU_EQUAL(&now, cpus));
    return 1;
}

static void test_handlers_find_their_thread_in_order(void **state)
{
    process_kernel_t *kernel = create();
    cpu_set_t cpus;

    (void)state;
    atomic_store(&after, 0);
    atomic_store(&right, 0);
    assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, disorder, &cpus), 0);
    assert_int_equal(run(kernel, (char *[]){"/usr/bin/python3", "-c",
                                            "import os\nfor i in range(22): os.getppid()", NULL}),
                     0);
    assert_int_equal(atomic_load(&after), CALLS_AFTER + 2);
    assert_int_equal(atomic_load(&right), CALLS_AFTER);
    pk_destroy(kernel);
}

/* Returns when two of them run at the same time, each time. */
static long meet(struct pk_call *call, void *user)
{
    (void)call;
    pthread_barrier_wait(user);
    return 1;
}

static void test_handlers_run_side_by_side(void **state)
{
    process_kernel_t *kernel = create();
    pthread_barrier_t barrier;

    (void)state;
    pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, meet, &barrier), 0);
    assert_int_equal(run(kernel, (char *[]){"/usr/bin/python3", "-c",
                                            "import ctypes, threading\n"
                                            "c = ctypes.CDLL(None)\n"
                                            "def f():\n"
                                            "  for i in range(200): assert c.syscall(110) == 1\n"
                                            "t = [threading.Thread(target=f) for i in range(2)]\n"
                                            "for x in t: x.start()\n"
                                            "for x in t: x.join()",
                                            NULL}),
                     0);
    pthread_barrier_destroy(&barrier);
    pk_destroy(kernel);
}

static _Atomic(struct pk_call *) kept;

static long keep(struct pk_call *call, void *user)
{
    (void)user;
    atomic_store(&kept, call);
    return pk_call_defer(call);
}

static void test_deferred_answer(void **state)
{
    process_kernel_t *kernel = create();
    int status;

    (void)state;
    atomic_store(&kept, NULL);
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, keep, NULL), 0);
    assert_int_equal(pk_set_handler_timeout(kernel, 20), 0);
    assert_true(pk_spawn(kernel, ask_parent) > 0);
    while (atomic_load(&kept) == NULL)
        usleep(1000);
    usleep(60000); /* beyond the timeout, which does not run */
    assert_int_equal(pk_call_return(atomic_load(&kept), -EDOM), 0);
    assert_int_equal(pk_wait(kernel, &status), 0);
    assert_int_equal(status, EDOM << 8);
    pk_destroy(kernel);
}

static void test_destroy_ends_the_guest(void **state)
{
    process_kernel_t *kernel = create();
    pid_t pid = pk_spawn(kernel, SH("sleep 1000"));

    (void)state;
    assert_true(pid > 0);
    pk_destroy(kernel);
    assert_int_equal(kill(pid, 0), -1);
}

static void test_signal_and_two_kernels(void **state)
{
    process_kernel_t *one = create();
    process_kernel_t *other = create();
    int status;

    (void)state;
    assert_int_equal(pk_signal(one, SIGTERM), -ESRCH);
    assert_int_equal(pk_signal(one, -1), -EINVAL);
    assert_int_equal(pk_signal(one, SIGRTMAX + 1), -EINVAL);
    assert_true(pk_spawn(one, SH("sleep 1000")) > 0);
    assert_true(pk_spawn(other, SH("exit 3")) > 0);
    assert_int_equal(pk_spawn(one, SH("exit 4")), -EBUSY);
    assert_int_equal(pk_deny(one, SYS_chdir, EPERM), -EBUSY);
    assert_int_equal(pk_set_fence(one, false), -EBUSY);
    assert_int_equal(pk_wait(other, &status), 0);
    assert_int_equal(status, 3 << 8);
    assert_int_equal(pk_signal(one, SIGTERM), 0);
    assert_int_equal(pk_wait(one, &status), 0);
    assert_int_equal(status, SIGTERM);
    pk_shutdown();
}

static void test_options_and_denials(void **state)
{
    process_kernel_t *kernel = create();
    struct events events = {0};

    (void)state;
    pk_set_event_handler(kernel, on_event, &events);
    assert_int_equal(pk_set_option(kernel, "--env", "COLOUR=green"), 0);
    assert_int_equal(pk_set_option(kernel, "plain", NULL), -EINVAL);
    assert_int_equal(pk_limit(kernel, "files", 200), 0);
    assert_int_equal(run(kernel, SH("test $COLOUR = green && test $(ulimit -n) = 200 && "
                                    "python3 -c 'import socket; "
                                    "socket.socket().connect((\"127.0.0.1\", 9))' 2>/dev/null; "
                                    "exit 6")),
                     6 << 8);
    assert_int_equal(atomic_load(&events.denials), 1);
    assert_non_null(strstr(events.denial, "127.0.0.1:9\n"));
    assert_non_null(strstr(events.denial, "--net host"));
    pk_destroy(kernel);
}

static void test_faults_are_injected(void **state)
{
    process_kernel_t *kernel = create();

    (void)state;
    assert_int_equal(pk_set_option(kernel, "--inject", "getppid:error=EDOM:when=1"), 0);
    assert_int_equal(run(kernel, ask_parent), EDOM << 8);
    assert_int_equal(pk_set_option(kernel, "--inject", "close:error=EIO"), 0);
    assert_true(pk_spawn(kernel, SH("true")) < 0);
    pk_destroy(kernel);
}

static void test_what_the_program_denies_is_told(void **state)
{
    process_kernel_t *kernel = create();
    struct events events = {0};
    char log[] = "/var/tmp/test-api-XXXXXX";
    cleanup_close int fd = mkostemp(log, O_CLOEXEC);
    cleanup_strbuf struct strbuf text = {0};

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(pk_set_option(kernel, "--audit", log), 0);
    pk_set_event_handler(kernel, on_event, &events);
    assert_int_equal(pk_deny(kernel, SYS_getppid, EDOM), 0);
    assert_int_equal(run(kernel, ask_parent), EDOM << 8);
    assert_int_equal(atomic_load(&events.denials), 1);
    assert_int_equal(events.denied_nr, SYS_getppid);
    assert_ptr_equal(strstr(events.denial, "getppid\n"), events.denial);
    pk_destroy(kernel);
    assert_int_equal(io_read_file(AT_FDCWD, log, 1 << 20, &text), 0);
    unlink(log);
    assert_non_null(
        strstr(strbuf_text(&text), "\"call\":\"getppid\",\"what\":\"system call getppid\""));
    assert_non_null(strstr(strbuf_text(&text), "\"answer\":\"EDOM\""));
}

static int write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    if (file == NULL)
        return -errno;
    fputs(text, file);
    return fclose(file);
}

static void test_hidden_and_profile(void **state)
{
    char directory[] = "/var/tmp/cerebro-api-XXXXXX";
    char file[64];
    char script[256];
    process_kernel_t *kernel = create();

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/only.yaml", directory);
    assert_int_equal(write_file(file, "environment: {set: {COLOUR: blue}}\n"), 0);
    assert_int_equal(pk_set_profile(kernel, file), 0);
    assert_int_equal(pk_hide(kernel, directory), 0);
    assert_int_equal(pk_hide(kernel, "/no/such/path"), 0);
    snprintf(script, sizeof(script), "test $COLOUR = blue && ! ls %s 2>/dev/null && exit 6",
             directory);
    assert_int_equal(run(kernel, SH(script)), 6 << 8);
    assert_int_equal(pk_hide(kernel, ""), -EINVAL);
    assert_int_equal(pk_set_profile(kernel, NULL), -EINVAL);
    pk_destroy(kernel);
    unlink(file);
    rmdir(directory);
}

/* What is done to a guest by way of the library is in the audit log, and by whom. */
static void test_actions_are_recorded(void **state)
{
    char log[] = "/var/tmp/test-api-XXXXXX";
    char by[32];
    process_kernel_t *kernel = create();
    cleanup_close int fd = mkostemp(log, O_CLOEXEC);
    cleanup_strbuf struct strbuf text = {0};

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(pk_set_option(kernel, "--audit", log), 0);
    assert_true(pk_spawn(kernel, SH("trap '' TERM; sleep 1000")) > 0);
    assert_int_equal(pk_signal(kernel, SIGWINCH), 0);
    pk_destroy(kernel);
    assert_int_equal(io_read_file(AT_FDCWD, log, 1 << 20, &text), 0);
    unlink(log);
    assert_non_null(strstr(strbuf_text(&text), "\"what\":\"signal 28 to "));
    assert_non_null(strstr(strbuf_text(&text), "\"what\":\"stop\""));
    snprintf(by, sizeof(by), "\"by\":%d}\n", getpid());
    assert_non_null(strstr(strbuf_text(&text), by));
}

static void test_bad_input(void **state)
{
    process_kernel_t *kernel = create();

    (void)state;
    assert_null(pk_create((process_kernel_type_t)77, "x"));
    assert_int_equal(errno, EINVAL);
    assert_null(pk_create(PK_TYPE_WINDOWS, "x"));
    assert_int_equal(errno, ENOSYS);
    assert_int_equal(pk_set_handler(kernel, SYS_close, keep, NULL), -EINVAL);
    assert_int_equal(pk_set_handler(kernel, 100000, keep, NULL), -EINVAL);
    assert_int_equal(pk_deny(kernel, SYS_chdir, 0), -EINVAL);
    assert_int_equal(pk_wait(kernel, NULL), -ESRCH);
    assert_int_equal(pk_spawn(kernel, (char *[]){NULL}), -EINVAL);
    assert_int_equal(pk_spawn(kernel, (char *[]){"/no/program", NULL}), -ENOENT);
    assert_non_null(strstr(pk_last_error(), "/no/program"));
    assert_int_equal(pk_bind(kernel, "/no/directory", NULL, true), -ENOENT);
    pk_destroy(kernel);
    pk_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_run),
        cmocka_unit_test(test_handler_sees_counts_and_refuses),
        cmocka_unit_test(test_form_of_the_specification),
        cmocka_unit_test(test_native_and_denied),
        cmocka_unit_test(test_allowed_again),
        cmocka_unit_test(test_network_rules),
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_memory_and_numbers),
        cmocka_unit_test(test_crash_is_fenced),
        cmocka_unit_test(test_fault_without_fence_is_the_programs),
        cmocka_unit_test(test_names_of_calls),
        cmocka_unit_test(test_handler_that_hangs),
        cmocka_unit_test(test_nonsense_is_an_error),
        cmocka_unit_test(test_handlers_find_their_thread_in_order),
        cmocka_unit_test(test_handlers_run_side_by_side),
        cmocka_unit_test(test_deferred_answer),
        cmocka_unit_test(test_destroy_ends_the_guest),
        cmocka_unit_test(test_signal_and_two_kernels),
        cmocka_unit_test(test_options_and_denials),
        cmocka_unit_test(test_faults_are_injected),
        cmocka_unit_test(test_what_the_program_denies_is_told),
        cmocka_unit_test(test_hidden_and_profile),
        cmocka_unit_test(test_actions_are_recorded),
        cmocka_unit_test(test_bad_input),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
