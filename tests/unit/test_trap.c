/*
 * The trap on real processes: starts guests under the personality of trap_mini.h, which executes
 * this program again with the name of one of the guests in trap_guest.h. Every group runs with the
 * host's features and with each of them taken away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/io.h"
#include "trap/paths.gen.h"
#include "unit/trap_guest.h"
#include "unit/trap_mini.h"

/* What a test changes about the start. */
struct setup {
    bool no_killable;
    bool no_send;
    bool no_recv_end;
    bool walls;
    bool wait_for_all;
    const char *loader; /* NULL: the one of the build */
};

static struct trap_features host_features;
static char self_path[PATH_MAX];

/* The sanitizers' own machinery does not work inside a guest. */
static char *guest_environment[] = {(char *)"PATH=/usr/bin:/bin",
                                    (char *)"ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0",
                                    NULL};

static struct trap_features features_of(const struct setup *setup)
{
    struct trap_features features = host_features;

    features.wait_killable = features.wait_killable && !setup->no_killable;
    features.addfd_send = features.addfd_send && !setup->no_send;
    features.recv_ends = features.recv_ends && !setup->no_recv_end;
    return features;
}

static struct pk_kernel *new_kernel(void)
{
    struct pk_config config = {
        .name = "test", .net = PK_NET_HOST, .ipc_isolated = true, .unix_isolated = true};
    struct pk_kernel *kernel = NULL;

    assert_int_equal(mini_kernel(&config, &kernel), 0);
    return kernel;
}

/* Starts a program (argv[0] is its absolute path). NULL with a message when that fails. */
static struct trap *start(struct pk_kernel *kernel, const struct setup *setup, char *const *argv)
{
    struct trap_features features = features_of(setup);
    struct trap_start template = {.loader_path =
                                      setup->loader ? setup->loader : TRAP_LOADER_IN_BUILD,
                                  .argv = argv,
                                  .envp = guest_environment,
                                  .process_group = getpgrp(),
                                  .walls = setup->walls,
                                  .wait_for_all = setup->wait_for_all};
    struct base_error error = {0};
    struct trap *trap = NULL;

    if (mini_start(kernel, &features, &template, argv[0], &trap, &error) < 0)
        print_message("start: %s (%s)\n", error.sentence, error.hint);
    return trap;
}

/* Runs a program to its end. Returns its wait status. */
static int run(const struct setup *setup, char *const *argv, struct pk_stats *ret_stats)
{
    struct pk_kernel *kernel = new_kernel();
    struct trap *trap = start(kernel, setup, argv);
    int status = -1;

    assert_non_null(trap);
    assert_int_equal(trap_run(trap, &status), 0);
    trap_free(trap);
    if (ret_stats)
        *ret_stats = kernel->stats;
    pk_kernel_free(kernel);
    return status;
}

static int run_guest(const struct setup *setup, const char *name, const char *argument)
{
    char *argv[] = {self_path, (char *)name, (char *)argument, NULL};

    return run(setup, argv, NULL);
}

static const struct setup plain = {0};
static const struct setup variants[] = {
    {0},
    {.no_killable = true},
    {.no_killable = true, .no_send = true, .no_recv_end = true},
    {.no_recv_end = true},
};

/* Runs a guest under each variant and expects success. */
static void in_all_variants(const char *name, const char *argument)
{
    for (size_t i = 0; i < array_length(variants); i++) {
        int status = run_guest(&variants[i], name, argument);

        if (status != 0)
            print_message("guest %s, variant %zu: wait status %#x\n", name, i, status);
        assert_int_equal(status, 0);
    }
}

static void test_exit_status(void **state)
{
    char *killed[] = {(char *)"/bin/sh", (char *)"-c", (char *)"kill -TERM $$", NULL};

    (void)state;
    assert_int_equal(run_guest(&plain, "exit", "0"), 0);
    assert_int_equal(run_guest(&plain, "exit", "42"), 42 << 8);
    assert_int_equal(run(&plain, killed, NULL), SIGTERM);
}

static void test_programs(void **state)
{
    char *pipeline[] = {(char *)"/bin/bash", (char *)"-c",
                        (char *)"set -e; x=$(printf '%s\\n' c b a | sort | tr -d '\\n'); "
                                "[ $x = abc ]; trap 'exit 7' USR1; kill -USR1 $$; exit 1",
                        NULL};
    struct pk_stats stats;

    (void)state;
    assert_int_equal(run(&plain, pipeline, &stats), 7 << 8);
    assert_true(stats.execs >= 2);
    assert_true(stats.descriptors_handed >= 4);
}

static void test_script(void **state)
{
    static const char text[] = "#!/bin/sh -e\n[ \"$#\" = 2 ] && [ \"$2\" = two ] && exit 5\n";
    char path[] = "/tmp/trap-script-XXXXXX";
    char *argv[] = {path, (char *)"one", (char *)"two", NULL};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, text, sizeof(text) - 1), 0);
    assert_int_equal(fchmod(fd, 0700), 0);
    close(fd);
    assert_int_equal(run(&plain, argv, NULL), 5 << 8);
    unlink(path);
}

/* A program of one segment, made here: exits with 33 when its zeroed memory is zero. */
static int write_tiny_program(char *path, uint16_t type, bool executable_stack)
{
    uint64_t base = type == ET_EXEC ? 0x400000 : 0;
    /* lea rax,[rip+0x800]; movzx edi,byte [rax]; add edi,33; mov eax,231; syscall */
    static const unsigned char code[] = {0x48, 0x8d, 0x05, 0x00, 0x08, 0x00, 0x00,
                                         0x0f, 0xb6, 0x38, 0x83, 0xc7, 0x21, 0xb8,
                                         0xe7, 0x00, 0x00, 0x00, 0x0f, 0x05};
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[2];
        unsigned char code[sizeof(code)];
        unsigned char rest[0xa00]; /* behind the file's end of the segment: to be cleared */
    } file = {.header = {.e_type = type,
                         .e_machine = EM_X86_64,
                         .e_version = EV_CURRENT,
                         .e_ehsize = sizeof(Elf64_Ehdr),
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phoff = sizeof(Elf64_Ehdr),
                         .e_phnum = 2}};
    int fd = mkstemp(path);

    memcpy(file.header.e_ident, ELFMAG, SELFMAG);
    file.header.e_ident[EI_CLASS] = ELFCLASS64;
    file.header.e_ident[EI_DATA] = ELFDATA2LSB;
    file.header.e_ident[EI_VERSION] = EV_CURRENT;
    file.header.e_entry = base + offsetof(__typeof__(file), code);
    file.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                    .p_flags = PF_R | PF_W | PF_X,
                                    .p_vaddr = base,
                                    .p_filesz = offsetof(__typeof__(file), rest),
                                    .p_memsz = 0x5000,
                                    .p_align = 0x1000};
    file.segments[1] = (Elf64_Phdr){.p_type = PT_GNU_STACK,
                                    .p_flags = PF_R | PF_W | (executable_stack ? PF_X : 0)};
    memcpy(file.code, code, sizeof(code));
    memset(file.rest, 0x55, sizeof(file.rest));
    if (fd < 0 || io_write_all(fd, &file, sizeof(file)) < 0 || fchmod(fd, 0700) < 0)
        return -1;
    return close(fd);
}

static void test_elf_forms(void **state)
{
    static const uint16_t types[] = {ET_EXEC, ET_DYN};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char path[] = "/tmp/trap-tiny-XXXXXX";
        char *argv[] = {path, NULL};

        assert_int_equal(write_tiny_program(path, types[i % 2], i / 2), 0);
        assert_int_equal(run(&plain, argv, NULL), 33 << 8);
        unlink(path);
    }
}

static void test_exec(void **state)
{
    (void)state;
    in_all_variants("exec-errors", NULL);
    in_all_variants("exec-ways", NULL);
    in_all_variants("exec-state", NULL);
}

static void test_exec_race(void **state)
{
    (void)state;
    in_all_variants("exec-race", getenv("TRAP_TEST_LONG") ? "500" : "25");
}

static void test_exec_storm(void **state)
{
    (void)state;
    in_all_variants("exec-storm", getenv("TRAP_TEST_LONG") ? "1000" : "50");
}

static void test_attack(void **state)
{
    (void)state;
    assert_int_equal(run_guest(&plain, "attack", NULL), 0);
}

static void test_fifo(void **state)
{
    (void)state;
    in_all_variants("fifo", NULL);
    in_all_variants("fifo-siblings", NULL);
    in_all_variants("fifo-many", NULL);
}

static void test_exactly_once(void **state)
{
    int status;

    (void)state;
    assert_int_equal(run_guest(&plain, "exactly-once", "2000"), 0);
    /* An answer can be lost behind our back there (notify.c); without the journal it is half. */
    status = run_guest(&variants[1], "exactly-once", "2000");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 40);
}

static void test_inject(void **state)
{
    (void)state;
    in_all_variants("inject", NULL);
}

static void test_walls(void **state)
{
    struct setup setup = {.walls = true};

    (void)state;
    assert_int_equal(run_guest(&setup, "exit", "6"), 6 << 8);
    assert_int_equal(run_guest(&setup, "attack", NULL), 0);
}

static void test_moved_loader(void **state)
{
    char directory[] = "/tmp/trap-moved-XXXXXX";
    char path[64];
    char *copy[] = {(char *)"/bin/cp", (char *)TRAP_LOADER_IN_BUILD, path, NULL};
    struct setup setup = {.loader = path};
    struct setup wrong = {.loader = "/bin/true"};
    char *program[] = {(char *)"/bin/true", NULL};
    struct pk_kernel *kernel;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/loader", directory);
    assert_int_equal(run(&plain, copy, NULL), 0);
    assert_int_equal(run_guest(&setup, "exec-ways", NULL), 0);
    unlink(path);
    rmdir(directory);
    kernel = new_kernel();
    assert_null(start(kernel, &wrong, program));
    pk_kernel_free(kernel);
}

static int children_of_this_process(void)
{
    int status;

    return waitpid(-1, &status, WNOHANG | __WALL) < 0 && errno == ECHILD ? 0 : 1;
}

static void test_tree_ends_with_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(variants); i++) {
        assert_int_equal(run_guest(&variants[i], "leave-children", "3"), 3 << 8);
        assert_int_equal(children_of_this_process(), 0);
    }
}

static void test_orphans_live_on(void **state)
{
    struct setup setup = {.wait_for_all = true};
    char path[] = "/tmp/trap-orphans-XXXXXX";
    int fd = mkstemp(path);
    struct stat status;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(run_guest(&setup, "orphans", path), 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 200);
    close(fd);
    unlink(path);
}

static void *stop_later(void *argument)
{
    guest_sleep_ms(50);
    trap_stop(argument);
    return NULL;
}

static void test_stop(void **state)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)"trap '' TERM; sleep 100 & wait",
                    NULL};

    (void)state;
    for (size_t i = 0; i < array_length(variants); i++) {
        struct pk_kernel *kernel = new_kernel();
        struct trap *trap = start(kernel, &variants[i], argv);
        pthread_t thread;
        int status = 0;

        assert_non_null(trap);
        assert_int_equal(pthread_create(&thread, NULL, stop_later, trap), 0);
        assert_int_equal(trap_run(trap, &status), 0);
        pthread_join(thread, NULL);
        assert_int_equal(status, SIGKILL);
        trap_free(trap);
        pk_kernel_free(kernel);
        assert_int_equal(children_of_this_process(), 0);
    }
}

/* A guest that was started but never run, and one that could not be started. */
static void test_not_run(void **state)
{
    char *argv[] = {(char *)"/bin/true", NULL};
    struct pk_kernel *kernel = new_kernel();
    struct trap *trap = start(kernel, &plain, argv);

    (void)state;
    assert_non_null(trap);
    trap_free(trap);
    assert_int_equal(children_of_this_process(), 0);
    pk_kernel_free(kernel);
}

/*
 * The process kernel is killed: whoever holds the other end of the pipe must be gone soon. Even
 * numbered rounds kill it while the guest is starting.
 */
static void test_kernel_killed(void **state)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c",
                    (char *)"(setsid sleep 1000 &) ; while :; do /bin/true; done", NULL};

    (void)state;
    for (int round = 0; round < 6; round++) {
        int ends[2];
        char byte;
        pid_t pid;

        assert_int_equal(pipe(ends), 0); /* inherited by the guest */
        pid = fork();
        if (pid == 0) {
            struct pk_kernel *kernel = new_kernel();
            struct trap *trap;
            int status;

            close(ends[0]);
            trap = start(kernel, &plain, argv);
            _exit(trap && trap_run(trap, &status) == 0 ? 0 : 1);
        }
        close(ends[1]);
        guest_sleep_ms(round % 2 ? 100 : round * 2);
        kill(pid, SIGKILL);
        assert_int_equal(guest_wait(pid), SIGKILL);
        assert_int_equal(read(ends[0], &byte, 1), 0);
        close(ends[0]);
    }
}

static void test_kill_descendants(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        guest_leave_children("0");
        _exit(trap_kill_descendants() == 0 && waitpid(-1, NULL, WNOHANG) < 0 ? 0 : 1);
    }
    assert_int_equal(guest_wait(pid), 0);
}

static void test_bad_start(void **state)
{
    char *argv[] = {(char *)"/bin/true", NULL};
    struct pk_kernel *kernel = new_kernel();
    struct trap_start template = {.loader_path = "relative/path", .argv = argv};
    struct base_error error = {0};
    struct trap *trap = NULL;

    (void)state;
    assert_int_equal(mini_start(kernel, &host_features, &template, argv[0], &trap, &error),
                     -EINVAL);
    assert_null(trap);
    assert_true(error.sentence[0] != '\0');
    pk_kernel_free(kernel);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_elf_forms),
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_exec_race),
        cmocka_unit_test(test_exec_storm),
        cmocka_unit_test(test_attack),
        cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_exactly_once),
        cmocka_unit_test(test_inject),
        cmocka_unit_test(test_walls),
        cmocka_unit_test(test_moved_loader),
        cmocka_unit_test(test_tree_ends_with_first),
        cmocka_unit_test(test_orphans_live_on),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_not_run),
        cmocka_unit_test(test_kernel_killed),
        cmocka_unit_test(test_kill_descendants),
        cmocka_unit_test(test_bad_start),
    };
    struct base_error error = {0};
    ssize_t length;

    if (argc > 1)
        return guest_main(argv);
    length = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
    self_path[length > 0 ? length : 0] = '\0';
    if (trap_probe(&host_features) < 0 || trap_check_features(&host_features, &error) < 0) {
        fprintf(stderr, "skipped: %s\n", error.sentence);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
