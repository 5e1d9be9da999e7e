/*
 * Handlers of the Linux personality on a small tree in memory, called without any trap: the guest
 * is this process itself, its memory is read and its descriptors are duplicated directly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "core/kernel.h"
#include "linux/linux.h"
#include "linux/unix-names.h"
#include "skip.h"
#include "vfs/vfs.h"

struct fixture {
    struct pk_kernel *kernel;
    struct vfs *vfs;
    struct vfs_place *root;
    struct rlimit locks; /* of this process, to be restored */
    struct pk_process process;
    struct pk_task task;
    const struct pk_context *context;
    unsigned denials;
};

/* ---- a port to this very process ---- */

/* By the host, which copies up to the end of the mapping and knows nothing of red zones. */
static ssize_t port_read(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    struct iovec ours = {bytes, length};
    struct iovec theirs = {(void *)address, length};
    ssize_t n = syscall(SYS_process_vm_readv, getpid(), &ours, 1, &theirs, 1, 0);

    (void)request;
    return n < 0 ? -errno : n;
}

static ssize_t port_write(struct pk_request *request, uint64_t address, const void *bytes,
                          size_t length)
{
    struct iovec ours = {(void *)bytes, length};
    struct iovec theirs = {(void *)address, length};
    ssize_t n = syscall(SYS_process_vm_writev, getpid(), &ours, 1, &theirs, 1, 0);

    (void)request;
    return n < 0 ? -errno : n;
}

static int port_get_fd(struct pk_request *request, int number)
{
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 0);

    (void)request;
    return fd < 0 ? -errno : fd;
}

static int port_add_fd(struct pk_request *request, int fd, int number, unsigned fd_flags)
{
    int r = number < 0 ? fcntl(fd, fd_flags ? F_DUPFD_CLOEXEC : F_DUPFD, 0) : dup3(fd, number, 0);

    (void)request;
    return r < 0 ? -errno : r;
}

static bool port_is_waiting(struct pk_request *request)
{
    (void)request;
    return true;
}

static const struct pk_port_ops port = {
    .read = port_read,
    .write = port_write,
    .get_fd = port_get_fd,
    .add_fd = port_add_fd,
    .is_waiting = port_is_waiting,
};

static void count_denial(void *user, const struct pk_denial *denial)
{
    struct fixture *f = user;

    assert_non_null(denial->rule);
    assert_non_null(denial->allow);
    f->denials++;
}

/* ---- making calls ---- */

static struct pk_answer call(struct fixture *f, int nr, const uint64_t args[6])
{
    struct pk_request request = {.kernel = f->kernel,
                                 .task = &f->task,
                                 .context = f->context,
                                 .call = abi_syscall_by_nr(nr),
                                 .nr = nr,
                                 .port = &port};
    struct pk_answer answer;

    memcpy(request.args, args, sizeof(request.args));
    assert_non_null(f->kernel->handlers[nr]);
    answer = f->kernel->handlers[nr](&request);
    f->context = request.context;
    free(request.note);
    return answer;
}

#define CALL(f, nr, ...) call(f, nr, (const uint64_t[6]){__VA_ARGS__})
#define ARG(pointer)     ((uint64_t)(uintptr_t)(pointer))

/* The value of a call that is answered at once. */
#define VALUE(f, nr, ...) value_of(CALL(f, nr, __VA_ARGS__))

static int64_t value_of(struct pk_answer answer)
{
    assert_int_equal(answer.kind, PK_ANSWER_VALUE);
    return answer.value;
}

static void assert_native(struct pk_answer answer)
{
    assert_int_equal(answer.kind, PK_ANSWER_NATIVE);
}

/* ---- the tree ---- */

static struct vfs_actor kernel_actor(struct fixture *f)
{
    return (struct vfs_actor){
        .pid = getpid(), .tid = getpid(), .identity = &f->kernel->config.identity};
}

static void add_file(struct fixture *f, const char *path, mode_t mode, const void *bytes,
                     size_t length)
{
    struct vfs_actor actor = kernel_actor(f);
    struct vfs_walk walk = {.actor = &actor, .root = f->root, .base = f->root, .path = path};
    struct vfs_opened opened = {.fd = -1};

    assert_int_equal(vfs_open(f->vfs, &walk, O_CREAT | O_WRONLY | O_TRUNC, mode, &opened), 0);
    assert_int_equal(io_write_all(opened.fd, bytes, length), 0);
    close(opened.fd);
}

static void add_text(struct fixture *f, const char *path, mode_t mode, const char *text)
{
    add_file(f, path, mode, text, strlen(text));
}

/* A copy of a host program that needs no interpreter is not at hand everywhere: make one up. */
static void add_program(struct fixture *f, const char *path, mode_t mode)
{
    unsigned char bytes[4096] = {0};
    static const unsigned char header[] = {
        0x7f, 'E',  'L',  'F', 2,  1, 1,  0, 0, 0,    0,    0, 0, 0, 0, 0, /* ident */
        2,    0,    62,   0,   1,  0, 0,  0,                               /* EXEC, x86-64 */
        0x00, 0x05, 0x40, 0,   0,  0, 0,  0,                               /* entry 0x400500 */
        64,   0,    0,    0,   0,  0, 0,  0, 0, 0,    0,    0, 0, 0, 0, 0, /* phoff, shoff */
        0,    0,    0,    0,   64, 0, 56, 0, 1, 0,    0,    0, 0, 0, 0, 0, /* one program header */
        1,    0,    0,    0,   5,  0, 0,  0,                               /* LOAD, r-x */
        0,    0,    0,    0,   0,  0, 0,  0,                               /* offset */
        0,    0,    0x40, 0,   0,  0, 0,  0, 0, 0,    0x40, 0, 0, 0, 0, 0, /* addresses 0x400000 */
        0,    0x10, 0,    0,   0,  0, 0,  0, 0, 0x10, 0,    0, 0, 0, 0, 0, /* sizes 0x1000 */
        0,    0x10, 0,    0,   0,  0, 0,  0,                               /* alignment */
    };

    memcpy(bytes, header, sizeof(header));
    add_file(f, path, mode, bytes, sizeof(bytes));
}

static void make_directory(struct fixture *f, const char *name)
{
    struct vfs_actor actor = kernel_actor(f);

    assert_int_equal(vfs_mkdir(f->root, name, 0755, &actor), 0);
}

static void fixture_open(struct fixture *f, const struct pk_config *config)
{
    struct pk_sink sink = {.denial = count_denial, .user = f};
    struct pk_exec_plan plan = {.exe = (char *)"/prog"};
    struct vfs_fs *fs;

    memset(f, 0, sizeof(*f));
    getrlimit(RLIMIT_LOCKS, &f->locks);
    assert_int_equal(pk_kernel_new(config, &sink, &f->kernel, NULL), 0);
    f->kernel->window_base = 900;
    assert_int_equal(vfs_new(f->kernel, &f->vfs), 0);
    assert_int_equal(vfs_memory_new(f->vfs, 0, 0, 0755, &fs), 0);
    assert_int_equal(vfs_mount(f->vfs, "/", fs, 0, "memory", "tmpfs"), 0);
    f->root = vfs_root(f->vfs);
    assert_int_equal(linux_register(f->kernel), 0);
    assert_int_equal(linux_first_context(f->kernel, f->root, f->root, 022, &plan, &f->context), 0);
    assert_int_equal(pk_context_tag(getpid(), f->context->id), 0);
    f->process = (struct pk_process){.pid = getpid(), .pidfd = -1};
    f->task = (struct pk_task){.tid = getpid(), .process = &f->process};
}

static void fixture_close(struct fixture *f)
{
    setrlimit(RLIMIT_LOCKS, &f->locks);
    vfs_place_unref(f->root);
    linux_unregister(f->kernel);
    pk_kernel_free(f->kernel);
    vfs_free(f->vfs);
}

static struct pk_config root_config(void)
{
    return (struct pk_config){.name = "test",
                              .virtual_identity = true,
                              .identity = {.effective = (1ULL << 41) - 1,
                                           .permitted = (1ULL << 41) - 1,
                                           .bounding = (1ULL << 41) - 1,
                                           .dumpable = true}};
}

static struct pk_config user_config(void)
{
    struct pk_config config = root_config();
    struct pk_identity *id = &config.identity;

    id->uid = id->euid = id->suid = id->fsuid = 1000;
    id->gid = id->egid = id->sgid = id->fsgid = 1000;
    id->effective = id->permitted = 0;
    return config;
}

/* ---- exec ---- */

static struct pk_answer exec_path(struct fixture *f, const char *path)
{
    return CALL(f, ABI_NR_execve, ARG(path), 0, 0);
}

static void assert_exec_error(struct fixture *f, const char *path, int wanted)
{
    struct pk_answer answer = exec_path(f, path);

    if (answer.kind != PK_ANSWER_VALUE || answer.value != wanted)
        print_error("exec of %s\n", path);
    assert_int_equal(answer.kind, PK_ANSWER_VALUE);
    assert_int_equal(answer.value, wanted);
}

static void test_exec(void **state)
{
    struct pk_config config = root_config();
    struct fixture f;
    struct pk_answer answer;

    (void)state;
    fixture_open(&f, &config);
    make_directory(&f, "bin");
    add_program(&f, "/bin/prog", 0755);
    answer = exec_path(&f, "bin/../bin/prog");
    assert_int_equal(answer.kind, PK_ANSWER_EXEC);
    assert_string_equal(answer.plan->exe, "/bin/prog");
    assert_string_equal(answer.plan->execfn, "bin/../bin/prog");
    assert_string_equal(answer.plan->comm, "prog");
    assert_int_equal(answer.plan->start, 0x400500);
    assert_int_equal(answer.plan->interpreter_fd, -1);
    assert_null(answer.plan->argv_prefix);
    assert_false(answer.plan->secure);
    pk_answer_discard(&answer);
    fixture_close(&f);
}

static void test_exec_errors(void **state)
{
    struct pk_config config = root_config();
    struct fixture f;
    char text[300];

    (void)state;
    fixture_open(&f, &config);
    make_directory(&f, "dir");
    add_program(&f, "/plain", 0644);
    add_text(&f, "/text", 0755, "echo hello\n");
    add_text(&f, "/empty", 0755, "");
    add_text(&f, "/exe", 0755, "MZ");
    add_text(&f, "/nobody", 0755, "#!/does/not/exist\n");
    add_text(&f, "/todir", 0755, "#!/dir\n");
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "#!/", 3);
    add_text(&f, "/cut", 0755, text);
    assert_exec_error(&f, "/none", -ENOENT);
    assert_exec_error(&f, "", -ENOENT);
    assert_exec_error(&f, "/dir", -EACCES);
    assert_exec_error(&f, "/plain", -EACCES);
    assert_exec_error(&f, "/plain/x", -ENOTDIR);
    assert_exec_error(&f, "/text", -ENOEXEC);
    assert_exec_error(&f, "/empty", -ENOEXEC);
    assert_exec_error(&f, "/exe", -ENOEXEC);
    assert_exec_error(&f, "/nobody", -ENOENT);
    assert_exec_error(&f, "/todir", -EACCES);
    assert_exec_error(&f, "/cut", -ENOEXEC);
    assert_int_equal(VALUE(&f, ABI_NR_execve, 0, 0, 0), -EFAULT);
    fixture_close(&f);
}

static void assert_words(const struct pk_exec_plan *plan, const char *const *words, unsigned count)
{
    const char *at = plan->argv_prefix;

    assert_int_equal(plan->argv_prefix_count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_string_equal(at, words[i]);
        at += strlen(at) + 1;
    }
    assert_int_equal(at - plan->argv_prefix, plan->argv_prefix_length);
}

static void test_scripts(void **state)
{
    struct pk_config config = root_config();
    struct pk_answer answer;
    struct fixture f;

    (void)state;
    fixture_open(&f, &config);
    add_program(&f, "/prog", 0755);
    add_text(&f, "/s1", 0755, "#! /prog -a b \n");
    add_text(&f, "/s2", 0755, "#!/s1\n");
    add_text(&f, "/s3", 0755, "#!/s2 -c\n");
    add_text(&f, "/s4", 0755, "#!s3\n");
    add_text(&f, "/s5", 0755, "#!/s4\n");
    add_text(&f, "/s6", 0755, "#!/s5\n");
    add_text(&f, "/loop", 0755, "#!/loop\n");
    answer = exec_path(&f, "./s1");
    assert_int_equal(answer.kind, PK_ANSWER_EXEC);
    assert_words(answer.plan, (const char *const[]){"/prog", "-a b", "./s1"}, 3);
    assert_string_equal(answer.plan->comm, "s1");
    assert_string_equal(answer.plan->exe, "/prog");
    assert_string_equal(answer.plan->execfn, "./s1");
    pk_answer_discard(&answer);
    answer = exec_path(&f, "/s3");
    assert_int_equal(answer.kind, PK_ANSWER_EXEC);
    assert_words(answer.plan, (const char *const[]){"/prog", "-a b", "/s1", "/s2", "-c", "/s3"}, 6);
    pk_answer_discard(&answer);
    answer = exec_path(&f, "/s5"); /* five scripts, then the program */
    assert_int_equal(answer.kind, PK_ANSWER_EXEC);
    pk_answer_discard(&answer);
    assert_exec_error(&f, "/s6", -ELOOP);
    assert_exec_error(&f, "/loop", -ELOOP);
    fixture_close(&f);
}

static void test_execveat(void **state)
{
    struct pk_config config = root_config();
    struct pk_answer answer;
    struct fixture f;
    struct vfs_actor actor;

    (void)state;
    fixture_open(&f, &config);
    actor = kernel_actor(&f);
    add_program(&f, "/prog", 0755);
    assert_int_equal(vfs_symlink(f.root, "link", "prog", &actor), 0);
    answer = CALL(&f, ABI_NR_execveat, (uint64_t)AT_FDCWD, ARG("link"), 0, 0, 0);
    assert_int_equal(answer.kind, PK_ANSWER_EXEC);
    assert_string_equal(answer.plan->comm, "link");
    assert_string_equal(answer.plan->exe, "/prog");
    pk_answer_discard(&answer);
    assert_int_equal(
        VALUE(&f, ABI_NR_execveat, (uint64_t)AT_FDCWD, ARG("link"), 0, 0, AT_SYMLINK_NOFOLLOW),
        -ELOOP);
    assert_int_equal(VALUE(&f, ABI_NR_execveat, (uint64_t)AT_FDCWD, ARG("prog"), 0, 0, 0x40),
                     -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_execveat, 777, ARG("prog"), 0, 0, 0), -EBADF);
    assert_int_equal(VALUE(&f, ABI_NR_execveat, 777, ARG(""), 0, 0, 0), -ENOENT);
    fixture_close(&f);
}

static void test_set_user_id(void **state)
{
    struct pk_config config = user_config();
    struct pk_identity root = root_config().identity;
    struct vfs_actor actor;
    struct pk_answer answer;
    struct fixture f;

    (void)state;
    fixture_open(&f, &config);
    f.kernel->config.identity = root; /* who makes the file; the context keeps the user */
    actor = kernel_actor(&f);
    add_program(&f, "/su", 0755);
    cleanup_place struct vfs_place *place = NULL;
    struct vfs_walk walk = {.actor = &actor, .root = f.root, .base = f.root, .path = "/su"};
    assert_int_equal(vfs_resolve(f.vfs, &walk, &place), 0);
    assert_int_equal(vfs_chmod(place, 04755, &actor), 0);
    answer = exec_path(&f, "/su");
    assert_int_equal(answer.kind, PK_ANSWER_EXEC);
    assert_int_equal(answer.plan->uid, 1000);
    assert_int_equal(answer.plan->euid, 0);
    assert_true(answer.plan->secure);
    pk_answer_discard(&answer);
    assert_int_equal(VALUE(&f, ABI_NR_prctl, PR_SET_NO_NEW_PRIVS, 1), 0);
    answer = exec_path(&f, "/su");
    assert_int_equal(answer.kind, PK_ANSWER_EXEC);
    assert_int_equal(answer.plan->euid, 1000);
    assert_false(answer.plan->secure);
    pk_answer_discard(&answer);
    vfs_place_unref(take_ptr(place));
    fixture_close(&f);
}

/* ---- identity and prctl ---- */

static void test_identity_calls(void **state)
{
    struct pk_config config = root_config();
    struct __user_cap_header_struct header = {.version = 0};
    struct __user_cap_data_struct data[2];
    uint32_t ids[3] = {9, 9, 9};
    struct fixture f;

    (void)state;
    fixture_open(&f, &config);
    assert_int_equal(VALUE(&f, ABI_NR_setgroups, 2, ARG(((gid_t[]){7, 5}))), 0);
    assert_int_equal(VALUE(&f, ABI_NR_getgroups, 0, 0), 2);
    assert_int_equal(VALUE(&f, ABI_NR_getgroups, 1, ARG(ids)), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_getgroups, 3, ARG(ids)), 2);
    assert_int_equal(ids[0], 5);
    assert_int_equal(VALUE(&f, ABI_NR_capget, ARG(&header), 0), 0);
    assert_int_equal(header.version, _LINUX_CAPABILITY_VERSION_3);
    assert_int_equal(VALUE(&f, ABI_NR_capget, ARG(&header), 0), 0); /* it is known by now */
    assert_int_equal(VALUE(&f, ABI_NR_capget, ARG(&header), ARG(data)), 0);
    assert_int_equal(data[0].effective, 0xffffffff);
    assert_int_equal(data[1].effective, 0x1ff);
    assert_int_equal(VALUE(&f, ABI_NR_setresuid, 1, 2, 3), 0);
    assert_int_equal(VALUE(&f, ABI_NR_getresuid, ARG(&ids[0]), ARG(&ids[1]), ARG(&ids[2])), 0);
    assert_int_equal(ids[0] * 100 + ids[1] * 10 + ids[2], 123);
    assert_int_equal(VALUE(&f, ABI_NR_getuid, 0), 1);
    assert_int_equal(VALUE(&f, ABI_NR_geteuid, 0), 2);
    assert_int_equal(VALUE(&f, ABI_NR_setuid, 0), -EPERM);
    assert_int_equal(VALUE(&f, ABI_NR_prctl, PR_GET_DUMPABLE), 0);
    assert_int_equal(VALUE(&f, ABI_NR_prctl, PR_SET_DUMPABLE, 1), 0);
    assert_int_equal(VALUE(&f, ABI_NR_prctl, PR_GET_DUMPABLE), 1);
    assert_int_equal(VALUE(&f, ABI_NR_prctl, PR_SET_DUMPABLE, 2), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_prctl, PR_CAPBSET_READ, 41), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_prctl, PR_SET_SECCOMP, 2), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_prctl, 9999), -EINVAL);
    assert_int_equal(f.denials, 0); /* nothing of this deserves a line */
    fixture_close(&f);
}

static void test_fixed_identity(void **state)
{
    struct pk_config config = user_config();
    struct fixture f;

    (void)state;
    config.virtual_identity = false;
    config.identity.effective = config.identity.permitted = 1ULL << CAP_SETUID;
    fixture_open(&f, &config);
    assert_int_equal(VALUE(&f, ABI_NR_setuid, 1000), 0);
    assert_int_equal(VALUE(&f, ABI_NR_setuid, 5), -EPERM); /* getuid() would not show it */
    assert_int_equal(f.denials, 1);
    fixture_close(&f);
}

/* ---- limits, names of the machine ---- */

static void test_limits(void **state)
{
    struct pk_config config = root_config();
    struct rlimit limit = {100, 200}, old, real, before;
    struct fixture f;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    fixture_open(&f, &config);
    assert_int_equal(VALUE(&f, ABI_NR_prlimit64, 0, RLIMIT_LOCKS, ARG(&limit), ARG(&old)), 0);
    assert_true(old.rlim_cur == RLIM_INFINITY && old.rlim_max == RLIM_INFINITY);
    assert_int_equal(VALUE(&f, ABI_NR_getrlimit, RLIMIT_LOCKS, ARG(&old)), 0);
    assert_int_equal(old.rlim_cur, 100);
    assert_int_equal(old.rlim_max, 200);
    getrlimit(RLIMIT_LOCKS, &real);
    assert_int_equal(real.rlim_cur, f.context->id); /* still carries the context */
    limit.rlim_max = 201;
    assert_int_equal(VALUE(&f, ABI_NR_setrlimit, RLIMIT_LOCKS, ARG(&limit)), -EPERM);
    limit.rlim_cur = 202;
    assert_int_equal(VALUE(&f, ABI_NR_setrlimit, RLIMIT_LOCKS, ARG(&limit)), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_setrlimit, 99, ARG(&limit)), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_prlimit64, 1, RLIMIT_CORE, 0, ARG(&old)), -EPERM);
    /* a small limit is shown, but the window stays reachable */
    limit = (struct rlimit){64, before.rlim_max};
    assert_int_equal(VALUE(&f, ABI_NR_setrlimit, RLIMIT_NOFILE, ARG(&limit)), 0);
    assert_int_equal(VALUE(&f, ABI_NR_getrlimit, RLIMIT_NOFILE, ARG(&old)), 0);
    assert_int_equal(old.rlim_cur, 64);
    getrlimit(RLIMIT_NOFILE, &real);
    assert_true(real.rlim_cur >= 964 || real.rlim_cur == real.rlim_max);
    setrlimit(RLIMIT_NOFILE, &before);
    fixture_close(&f);
}

static void test_host_name(void **state)
{
    struct pk_config config = root_config();
    struct utsname name;
    struct fixture f;

    (void)state;
    fixture_open(&f, &config);
    assert_int_equal(VALUE(&f, ABI_NR_sethostname, ARG("guest"), 5), 0);
    assert_int_equal(VALUE(&f, ABI_NR_sethostname, ARG("guest"), 65), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_uname, ARG(&name)), 0);
    assert_string_equal(name.nodename, "guest");
    assert_string_equal(name.machine, "x86_64");
    fixture_close(&f);
    config = user_config();
    fixture_open(&f, &config);
    assert_int_equal(VALUE(&f, ABI_NR_sethostname, ARG("guest"), 5), -EPERM);
    fixture_close(&f);
}

/* ---- signals ---- */

static pid_t sleeping_child(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return pid;
}

static int end_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_signals(void **state)
{
    struct pk_config config = root_config();
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct fixture f;
    pid_t child, group;

    (void)state;
    fixture_open(&f, &config);
    child = sleeping_child();
    assert_native(CALL(&f, ABI_NR_kill, (uint64_t)getpid(), SIGTERM));
    assert_native(CALL(&f, ABI_NR_kill, (uint64_t)child, SIGTERM));
    assert_native(CALL(&f, ABI_NR_tgkill, (uint64_t)child, (uint64_t)child, SIGTERM));
    assert_int_equal(VALUE(&f, ABI_NR_kill, (uint64_t)child, 65), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_kill, (uint64_t)INT32_MIN, 0), -ESRCH);
    assert_int_equal(VALUE(&f, ABI_NR_tkill, 0, 0), -EINVAL);
    assert_int_equal(f.denials, 0);
    assert_int_equal(VALUE(&f, ABI_NR_kill, (uint64_t)getppid(), 0), -ESRCH); /* a stranger */
    assert_int_equal(f.denials, 1);
    /* a child that carries no context of ours is a stranger, too: a helper of the kernel's */
    prlimit(child, RLIMIT_LOCKS, &unlimited, NULL);
    assert_int_equal(VALUE(&f, ABI_NR_kill, (uint64_t)child, SIGTERM), -ESRCH);
    kill(child, SIGKILL);
    end_of(child);
    /* a group gets the signal member by member, and only those of the tree */
    group = sleeping_child();
    child = sleeping_child();
    assert_int_equal(setpgid(group, group), 0);
    assert_int_equal(setpgid(child, group), 0);
    prlimit(child, RLIMIT_LOCKS, &unlimited, NULL);
    assert_int_equal(VALUE(&f, ABI_NR_kill, (uint64_t)-group, SIGTERM), 0);
    assert_int_equal(WTERMSIG(end_of(group)), SIGTERM);
    assert_int_equal(kill(child, 0), 0);
    assert_int_equal(VALUE(&f, ABI_NR_kill, (uint64_t)-group, SIGTERM), -ESRCH);
    kill(child, SIGKILL);
    end_of(child);
    fixture_close(&f);
}

static void test_processes(void **state)
{
    struct pk_config config = root_config();
    struct fixture f;

    (void)state;
    fixture_open(&f, &config);
    assert_native(CALL(&f, ABI_NR_unshare, CLONE_FILES | CLONE_FS));
    assert_int_equal(VALUE(&f, ABI_NR_unshare, CLONE_NEWUSER), -EPERM);
    assert_int_equal(VALUE(&f, ABI_NR_setns, 0, 0), -EPERM);
    assert_int_equal(VALUE(&f, ABI_NR_pidfd_open, 1, 0), -ESRCH);
    assert_int_equal(VALUE(&f, ABI_NR_seccomp, 1, 0, 0), -EINVAL);
    assert_native(CALL(&f, ABI_NR_sched_setaffinity, (uint64_t)getpid(), 0, 0));
    assert_int_equal(VALUE(&f, ABI_NR_sched_setaffinity, 1, 0, 0), -EPERM);
    assert_int_equal(VALUE(&f, ABI_NR_setpriority, PRIO_PROCESS, 1, 5), -EPERM);
    fixture_close(&f);
}

/* ---- sockets ---- */

/* Without a network: there is a socket, it reaches nobody else, and the user is told of its use. */
static void check_stand_in(struct fixture *f, int domain, int type)
{
    struct sockaddr_in6 far = {.sin6_family = (sa_family_t)domain, .sin6_flowinfo = 0x0302010a};
    struct sockaddr_storage name = {0};
    struct pk_answer answer = CALL(f, ABI_NR_socket, domain, type | SOCK_CLOEXEC, 0);
    int room = sizeof(name);
    unsigned told = f->denials;

    assert_int_equal(answer.kind, PK_ANSWER_DESCRIPTOR);
    assert_int_equal(answer.fd_flags, O_CLOEXEC);
    assert_int_equal(VALUE(f, ABI_NR_setsockopt, answer.fd, IPPROTO_TCP, 1, ARG(&room), 4), 0);
    assert_int_equal(VALUE(f, ABI_NR_getsockname, answer.fd, ARG(&name), ARG(&room)), 0);
    assert_int_equal(name.ss_family, domain);
    assert_int_equal(f->denials, told);
    far.sin6_addr.s6_addr[0] = 0xfd;
    room = sizeof(far);
    assert_int_equal(VALUE(f, ABI_NR_connect, answer.fd, ARG(&far), room), -ENETUNREACH);
    assert_int_equal(VALUE(f, ABI_NR_bind, answer.fd, ARG(&far), room), -EAFNOSUPPORT);
    assert_int_equal(VALUE(f, ABI_NR_sendto, answer.fd, ARG("x"), 1, 0, ARG(&far), room),
                     -ENETUNREACH);
    close(answer.fd);
}

static void test_socket_kinds(void **state)
{
    struct pk_config config = root_config();
    struct fixture f;

    (void)state;
    fixture_open(&f, &config);
    check_stand_in(&f, AF_INET, SOCK_STREAM);
    check_stand_in(&f, AF_INET6, SOCK_DGRAM);
    assert_int_equal(f.denials, 3);
    assert_int_equal(VALUE(&f, ABI_NR_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP), -EPERM);
    assert_int_equal(VALUE(&f, ABI_NR_socket, AF_NETLINK, SOCK_RAW, 0), -EAFNOSUPPORT);
    assert_int_equal(VALUE(&f, ABI_NR_socket, AF_PACKET, SOCK_RAW, 0), -EPERM);
    assert_int_equal(VALUE(&f, ABI_NR_socket, AF_ALG, SOCK_SEQPACKET, 0), -EAFNOSUPPORT);
    assert_native(CALL(&f, ABI_NR_socket, AF_UNIX, SOCK_STREAM, 0));
    f.kernel->config.net = PK_NET_HOST;
    assert_native(CALL(&f, ABI_NR_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    assert_native(CALL(&f, ABI_NR_socket, AF_INET6, SOCK_DGRAM, IPPROTO_UDP));
    assert_int_equal(VALUE(&f, ABI_NR_socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP),
                     -EPROTONOSUPPORT);
    fixture_close(&f);
}

static socklen_t local_address(struct sockaddr_un *address, const char *name, size_t length)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, length);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* A guest's datagram socket sends through us, or not at all. */
static void test_datagrams(void **state)
{
    struct pk_config config = root_config();
    struct fixture f;
    struct sockaddr_un name;
    struct msghdr message = {.msg_name = &name};
    struct iovec part = {(char *)"hello", 5};
    struct pk_answer server, client;
    socklen_t length;
    char text[8];

    (void)state;
    fixture_open(&f, &config);
    length = local_address(&name, "\0test", 5);
    server = CALL(&f, ABI_NR_socket, AF_UNIX, SOCK_DGRAM, 0);
    client = CALL(&f, ABI_NR_socket, AF_UNIX, SOCK_RAW | SOCK_CLOEXEC, 0);
    assert_int_equal(server.kind, PK_ANSWER_DESCRIPTOR);
    assert_int_equal(server.number, 900);
    assert_int_equal(client.fd_flags, O_CLOEXEC);
    assert_int_equal(VALUE(&f, ABI_NR_bind, server.fd, ARG(&name), length), 0);
    assert_int_equal(VALUE(&f, ABI_NR_sendto, client.fd, ARG("hello"), 5, 0, ARG(&name), length),
                     5);
    assert_int_equal(recv(server.fd, text, sizeof(text), MSG_DONTWAIT), 5);
    message.msg_namelen = length;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    assert_int_equal(VALUE(&f, ABI_NR_sendmsg, client.fd, ARG(&message), 0), 5);
    assert_int_equal(recv(server.fd, text, sizeof(text), MSG_DONTWAIT), 5);
    /* natively, by a name of the host */
    length = sizeof(name);
    assert_int_equal(getsockname(server.fd, (struct sockaddr *)&name, &length), 0);
    assert_int_equal(sendto(client.fd, "x", 1, 0, (struct sockaddr *)&name, length), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(connect(client.fd, (struct sockaddr *)&name, length), 0);
    assert_int_equal(send(client.fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPIPE);
    close(server.fd);
    close(client.fd);
    fixture_close(&f);
}

static void test_packet_pair(void **state)
{
    struct pk_config config = root_config();
    int pair[2] = {-1, -1};
    struct fixture f;
    char text[16];

    (void)state;
    fixture_open(&f, &config);
    assert_int_equal(VALUE(&f, ABI_NR_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ARG(pair)),
                     0);
    assert_int_equal(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(send(pair[0], "one", 3, 0), 3);
    assert_int_equal(send(pair[0], "two", 3, 0), 3);
    assert_int_equal(recv(pair[1], text, sizeof(text), 0), 3); /* borders are kept */
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(VALUE(&f, ABI_NR_socketpair, AF_UNIX, SOCK_DGRAM, 0, 0), -EFAULT);
    assert_int_equal(VALUE(&f, ABI_NR_socketpair, AF_INET, SOCK_STREAM, 0, ARG(pair)), -EOPNOTSUPP);
    fixture_close(&f);
}

/* Binds one socket to a name, connects another to it, and looks at the names of both. */
static void check_local(struct fixture *f, const char *name, size_t name_length)
{
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address, shown;
    socklen_t length = local_address(&address, name, name_length);
    int room = sizeof(shown);

    assert_int_equal(VALUE(f, ABI_NR_connect, client, ARG(&address), length),
                     name[0] ? -ENOENT : -ECONNREFUSED);
    assert_int_equal(VALUE(f, ABI_NR_bind, listener, ARG(&address), length), 0);
    assert_int_equal(VALUE(f, ABI_NR_connect, client, ARG(&address), length), -ECONNREFUSED);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(VALUE(f, ABI_NR_connect, client, ARG(&address), length), 0);
    assert_int_equal(VALUE(f, ABI_NR_getpeername, client, ARG(&shown), ARG(&room)), 0);
    assert_memory_equal(&shown, &address, length);
    assert_int_equal(room, length);
    room = sizeof(shown);
    assert_int_equal(VALUE(f, ABI_NR_getsockname, listener, ARG(&shown), ARG(&room)), 0);
    assert_memory_equal(&shown, &address, length);
    room = 2; /* too little room: cut off, but the whole length is told */
    assert_int_equal(VALUE(f, ABI_NR_getsockname, listener, ARG(&shown), ARG(&room)), 0);
    assert_int_equal(room, length);
    close(client);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(VALUE(f, ABI_NR_bind, client, ARG(&address), length), -EADDRINUSE);
    close(client);
    close(listener);
}

static void test_local_names(void **state)
{
    struct pk_config config = root_config();
    char longest[108] = {0};
    struct sockaddr_un address;
    struct fixture f;
    int fd;

    (void)state;
    fixture_open(&f, &config);
    make_directory(&f, "run");
    check_local(&f, "run/socket", sizeof("run/socket"));
    check_local(&f, "\0abstract", sizeof("\0abstract") - 1);
    memset(longest + 1, 'x', sizeof(longest) - 1);
    check_local(&f, longest, sizeof(longest));
    /* nothing of this is known by its name on the host */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address,
                             local_address(&address, "\0abstract", sizeof("\0abstract") - 1)),
                     -1);
    assert_int_equal(access("/run/socket", F_OK), -1);
    /* addresses that are none */
    local_address(&address, "x", 2);
    assert_int_equal(VALUE(&f, ABI_NR_bind, fd, ARG(&address), 1), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_bind, fd, ARG(&address), 129), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_bind, fd, ARG(&address), (uint64_t)-1), -EINVAL);
    assert_int_equal(VALUE(&f, ABI_NR_bind, fd, 0, 16), -EFAULT);
    assert_int_equal(VALUE(&f, ABI_NR_bind, 777, ARG(&address), 4), -EBADF);
    assert_int_equal(VALUE(&f, ABI_NR_bind, open("/", O_RDONLY | O_CLOEXEC), ARG(&address), 4),
                     -ENOTSOCK);
    close(fd);
    fixture_close(&f);
}

static void test_autobind(void **state)
{
    struct pk_config config = root_config();
    struct sockaddr_un address = {.sun_family = AF_UNIX}, shown;
    int room = sizeof(shown);
    struct fixture f;
    int fd;

    (void)state;
    fixture_open(&f, &config);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(VALUE(&f, ABI_NR_bind, fd, ARG(&address), 2), 0);
    assert_int_equal(VALUE(&f, ABI_NR_getsockname, fd, ARG(&shown), ARG(&room)), 0);
    assert_int_equal(room, 2 + 6);
    assert_int_equal(shown.sun_path[0], 0);
    close(fd);
    fixture_close(&f);
}

/* A full queue: the answer is a job, which ends when there is room. */
static void test_connect_waits(void **state)
{
    struct pk_config config = root_config();
    struct timeval kept = {.tv_sec = 7}, now;
    socklen_t size = sizeof(now);
    struct sockaddr_un address;
    struct pk_answer answer;
    struct fixture f;
    int listener, waiting, fds[2];
    socklen_t length;

    (void)state;
    fixture_open(&f, &config);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    length = local_address(&address, "\0queue", 6);
    assert_int_equal(VALUE(&f, ABI_NR_bind, listener, ARG(&address), length), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (i ? SOCK_NONBLOCK : 0), 0);
        assert_int_equal(VALUE(&f, ABI_NR_connect, fds[i], ARG(&address), length), i ? -EAGAIN : 0);
    }
    waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(waiting, SOL_SOCKET, SO_SNDTIMEO, &kept, sizeof(kept)), 0);
    answer = CALL(&f, ABI_NR_connect, waiting, ARG(&address), length);
    assert_int_equal(answer.kind, PK_ANSWER_DEFERRED);
    getsockopt(waiting, SOL_SOCKET, SO_SNDTIMEO, &now, &size);
    assert_int_equal(now.tv_sec, 7); /* the guest's own timeout is as it was */
    close(accept(listener, NULL, NULL));
    assert_int_equal(answer.job->run(answer.job), 0);
    assert_int_equal(answer.job->finish(answer.job, NULL, 0).value, 0);
    pk_answer_discard(&answer);
    close(fds[0]);
    close(fds[1]);
    close(waiting);
    close(listener);
    fixture_close(&f);
}

static void test_internet(void **state)
{
    struct pk_config config = root_config();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct fixture f;
    int listener, client, sender;
    int room = sizeof(address);

    (void)state;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        SKIP("no internet sockets here");
    fixture_open(&f, &config);
    /* a socket from elsewhere is of no use without the network */
    assert_int_equal(VALUE(&f, ABI_NR_bind, listener, ARG(&address), sizeof(address)),
                     -EAFNOSUPPORT);
    f.kernel->config.net = PK_NET_HOST;
    assert_int_equal(VALUE(&f, ABI_NR_bind, listener, ARG(&address), sizeof(address)), 0);
    assert_int_equal(VALUE(&f, ABI_NR_getsockname, listener, ARG(&address), ARG(&room)), 0);
    assert_int_equal(listen(listener, 4), 0);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(VALUE(&f, ABI_NR_connect, client, ARG(&address), sizeof(address)), 0);
    close(client);
    close(listener);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(VALUE(&f, ABI_NR_connect, client, ARG(&address), sizeof(address)),
                     -ECONNREFUSED);
    close(client);
    /* datagrams */
    client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address.sin_port = 0;
    assert_int_equal(VALUE(&f, ABI_NR_bind, client, ARG(&address), sizeof(address)), 0);
    assert_int_equal(VALUE(&f, ABI_NR_getsockname, client, ARG(&address), ARG(&room)), 0);
    assert_int_equal(
        VALUE(&f, ABI_NR_sendto, sender, ARG("hello"), 5, 0, ARG(&address), sizeof(address)), 5);
    assert_int_equal(
        VALUE(&f, ABI_NR_sendto, sender, ARG("hello"), 70000, 0, ARG(&address), sizeof(address)),
        -EMSGSIZE);
    char text[16];
    assert_int_equal(recv(client, text, sizeof(text), MSG_DONTWAIT), 5);
    close(client);
    close(sender);
    fixture_close(&f);
}

static void test_abstract_names(void **state)
{
    static const char token[17] = "0123456789abcdef";
    struct unix_name guest = {.address.sun_family = AF_UNIX}, host, back;

    (void)state;
    for (size_t length = 0; length <= 107; length++) {
        memset(guest.address.sun_path + 1, 'a', length);
        guest.length = (socklen_t)(UNIX_NAME_HEADER + 1 + length);
        unix_abstract_to_host(token, &guest, &host);
        assert_true(host.length <= sizeof(host.address));
        assert_memory_equal(host.address.sun_path, "\0cerebro-0123456789abcdef", 25);
        if (length > 82) {
            assert_false(unix_abstract_to_guest(token, &host, &back));
            continue;
        }
        assert_true(unix_abstract_to_guest(token, &host, &back));
        assert_int_equal(back.length, guest.length);
        assert_memory_equal(&back.address, &guest.address, guest.length);
        assert_false(unix_abstract_to_guest("fedcba9876543210", &host, &back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec),           cmocka_unit_test(test_exec_errors),
        cmocka_unit_test(test_scripts),        cmocka_unit_test(test_execveat),
        cmocka_unit_test(test_set_user_id),    cmocka_unit_test(test_identity_calls),
        cmocka_unit_test(test_fixed_identity), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_host_name),      cmocka_unit_test(test_signals),
        cmocka_unit_test(test_processes),      cmocka_unit_test(test_socket_kinds),
        cmocka_unit_test(test_datagrams),      cmocka_unit_test(test_packet_pair),
        cmocka_unit_test(test_local_names),    cmocka_unit_test(test_autobind),
        cmocka_unit_test(test_connect_waits),  cmocka_unit_test(test_internet),
        cmocka_unit_test(test_abstract_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
