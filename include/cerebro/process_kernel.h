/*
 * Process kernels for C programs: a kernel of its own for every process that you start.
 *
 *     process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "slow");
 *
 *     pk_set_handler(kernel, SYS_openat, slow_open, NULL);
 *     pk_spawn(kernel, (char *[]){"/bin/ls", "-l", NULL});
 *     pk_wait(kernel, &status);
 *     pk_destroy(kernel);
 *
 * A process kernel is a process of its own, started by pk_spawn(): a handler that hangs or crashes
 * holds up the guest thread that waits for it, and nothing else. When your program ends, its guests
 * end.
 *
 * Errors: functions return 0 (or what they say) or a negative errno; pk_last_error() has a sentence
 * and what to do. Nothing is printed, and no function exits.
 *
 * Threads: every function may be called from any thread. Handlers run on threads of the library,
 * several at a time, with all signals blocked but those that a fault raises. A kernel must not be
 * destroyed while another thread uses it, nor from one of its handlers.
 *
 * Link with -lcerebro (pkg-config cerebro).
 */
#ifndef CEREBRO_PROCESS_KERNEL_H
#define CEREBRO_PROCESS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PK_API __attribute__((visibility("default")))

typedef enum {
    PK_TYPE_GENERIC, /* the Linux personality as it is */
    PK_TYPE_WINDOWS, /* not there yet: pk_create() fails with ENOSYS */
    PK_TYPE_CUSTOM,  /* the same with handlers of yours */
} process_kernel_type_t;

typedef struct process_kernel process_kernel_t; /* opaque */

/* What a kernel has done. `size` is set by the caller to sizeof, so that later ones can be longer.
 */
typedef struct pk_statistics {
    size_t size;
    uint64_t syscalls_intercepted; /* calls that a handler has seen */
    uint64_t memory_allocated;     /* bytes handed out by pk_malloc() and not yet freed */
    uint64_t io_operations;        /* descriptors given and guest memory read or written */
    uint64_t errors;               /* handlers that failed, crashed or came too late */
    uint64_t served;               /* calls that the process kernel itself has answered */
    uint64_t denials;
} pk_statistics_t;

/* ---- the library ---- */

/*
 * Prepares the library; calling it is optional, and harmless again and again. Returns 0, or -ENOENT
 * when the `cerebro` program cannot be found (set CEREBRO in the environment to its path).
 */
PK_API int pk_init(void);

/* Destroys all kernels that are left, ending their guests. */
PK_API void pk_shutdown(void);

/*
 * The sentence and the advice of the last failure in this thread, "" when there was none. Valid
 * until the next call of the library in this thread.
 */
PK_API const char *pk_last_error(void);
PK_API const char *pk_last_hint(void);

/*
 * Numbers and names of the system calls of x86-64 ("openat"), whether they can be intercepted or
 * not. pk_syscall_number() returns -EINVAL for a name that is none, pk_syscall_name() NULL for a
 * number that is none; the name lives as long as the program.
 */
PK_API int pk_syscall_number(const char *name);
PK_API const char *pk_syscall_name(int syscall_nr);

/* ---- kernels ---- */

/*
 * Makes a kernel that has no guest yet. `name` (at most 63 bytes; NULL: "cerebro") is for people.
 * NULL with errno set: ENOMEM, EINVAL (no such type), ENOSYS (a type that is not there yet).
 */
PK_API process_kernel_t *pk_create(process_kernel_type_t type, const char *name);

/*
 * Ends the guest, waits for its end and frees the kernel. One that was attached to is left running.
 * Handlers that still run are waited for as long as they may take (5 seconds where that is for
 * ever), so what they use can be freed afterwards unless one of them hangs. NULL is allowed.
 */
PK_API void pk_destroy(process_kernel_t *kernel);

/* In a handler: the kernel that it serves. Elsewhere NULL. */
PK_API process_kernel_t *pk_get_current(void);

/* A pointer of yours that goes with the kernel. */
PK_API void pk_set_private(process_kernel_t *kernel, void *private_data);
PK_API void *pk_get_private(const process_kernel_t *kernel);

/*
 * Fills in a pk_statistics_t whose `size` says how much of it there is. The specification's
 * `void *`: any other size is left alone.
 */
PK_API void pk_get_stats(process_kernel_t *kernel, void *stats_out);

/* ---- memory of the program's own ---- */

/*
 * Has pk_malloc() and pk_free() use these two functions; NULL, NULL: the C library's again. At any
 * time, also while blocks are in use: each is freed by the function that was registered when it was
 * allocated. They may be called from several threads at once, and need not tell sizes nor align.
 * Returns 0, or -EINVAL for one without the other.
 *
 * The guest's own malloc is another matter: pk_set_option(kernel, "--allocator", "libfoo.so").
 */
PK_API int pk_register_allocator(process_kernel_t *kernel, void *(*malloc_fn)(size_t),
                                 void (*free_fn)(void *));

/*
 * Memory for your program, aligned as malloc(3) does and counted in the kernel's memory_allocated
 * (`size` bytes; the allocator is asked for up to 47 more, in which its length is noted). In a
 * handler NULL means the handler's kernel, here and above. NULL with errno set: ENOMEM, EINVAL (no
 * kernel). The block is yours until pk_free(), also beyond the end of the kernel.
 */
PK_API void *pk_malloc(process_kernel_t *kernel, size_t size);

/*
 * Gives back what pk_malloc() returned; NULL does nothing. Where it came from is noted with the
 * block, so `kernel` may be NULL everywhere.
 */
PK_API void pk_free(process_kernel_t *kernel, void *memory);

/* ---- what the guest may do; before pk_spawn(), -EBUSY after ---- */

/*
 * Any option of `cerebro run`, as there: pk_set_option(kernel, "--net", "host"), ("--write", "."),
 * ("--limit", "memory=256M"); `value` is NULL for one without. Returns 0, -EINVAL or -ENOMEM; what
 * a value is worth is found out by pk_spawn().
 */
PK_API int pk_set_option(process_kernel_t *kernel, const char *option, const char *value);

/* The same by purpose. Paths may be relative to the current directory. */
PK_API int pk_bind(process_kernel_t *kernel, const char *source, const char *target,
                   bool read_only);
PK_API int pk_limit(process_kernel_t *kernel, const char *name, uint64_t value);

/*
 * Network rules: the guest gets the host's network, but only what they leave of it. `rule` is one
 * of --allow-net and --deny-net: "[listen/][tcp/|udp/]HOST[:PORT[-PORT]]". With any allow rule
 * everything else is denied; a deny rule wins always. As pk_set_option(): a rule that says nothing,
 * or a name that has no address, is found out by pk_spawn().
 */
PK_API int pk_net_allow(process_kernel_t *kernel, const char *rule);
PK_API int pk_net_deny(process_kernel_t *kernel, const char *rule);

/* A path that the guest cannot look into; one that does not exist is no error. */
PK_API int pk_hide(process_kernel_t *kernel, const char *path);

/*
 * What a profile says (a name, or the path of a file), see cerebro-profile(5); may be called again
 * for another. Whatever else is set wins over it.
 */
PK_API int pk_set_profile(process_kernel_t *kernel, const char *name);

/* Lets every call of this number fail with this errno (positive), e.g. (SYS_ptrace, EPERM). */
PK_API int pk_deny(process_kernel_t *kernel, int syscall_nr, int errnum);

/* Takes back an earlier pk_deny(), or a handler: the number is served as usual. */
PK_API int pk_allow(process_kernel_t *kernel, int syscall_nr);

/* ---- handlers ---- */

struct pk_call; /* one call of a guest, on its way */

/*
 * Decides about one call. Returns the call's result, or a negative errno; or what one of
 * pk_call_native(), pk_call_forward(), pk_call_return_fd() and pk_call_defer() returned. It runs
 * while the guest's thread waits, which takes no signal but SIGKILL meanwhile.
 */
typedef long (*pk_call_handler)(struct pk_call *call, void *user);

/*
 * Has calls of this number handled; NULL: not any more. Before pk_spawn(), -EBUSY after. Returns 0,
 * -EINVAL for a number that cannot be intercepted (close, forks, waits, ends of threads, signal
 * return) or is none, -ENOMEM. With a handler for clock_gettime, gettimeofday, time, clock_getres
 * or getcpu the guest has no vDSO, which would answer them unseen.
 */
PK_API int pk_set_handler(process_kernel_t *kernel, int syscall_nr, pk_call_handler handler,
                          void *user);

/*
 * The specification's form: `args` points to six values of type uint64_t. Returns as a
 * pk_call_handler; PK_FORWARD serves the call as usual.
 */
PK_API int pk_register_syscall(process_kernel_t *kernel, int syscall_nr,
                               int (*handler)(int nr, void *args));
#define PK_FORWARD (-4097)

/*
 * How long a handler may take, in milliseconds; after that the guest's call fails with ETIMEDOUT,
 * and what the handler answers later is dropped. 0: for ever. The default is 5000.
 */
PK_API int pk_set_handler_timeout(process_kernel_t *kernel, unsigned milliseconds);

/*
 * Whether a fault in a handler ends at the handler (true, the default) or goes to whoever the
 * program has for such signals, which without a handler ends the program. For interpreters: a
 * handler that is left in the middle keeps the locks of its run time, and all other threads wait
 * for them for ever. Before pk_spawn(), -EBUSY after. Returns 0.
 */
PK_API int pk_set_fence(process_kernel_t *kernel, bool fence);

PK_API int pk_call_nr(const struct pk_call *call);
PK_API uint64_t pk_call_arg(const struct pk_call *call, unsigned index); /* 0 to 5, else 0 */
PK_API pid_t pk_call_pid(const struct pk_call *call);
PK_API pid_t pk_call_tid(const struct pk_call *call);

/*
 * Copies guest memory. Copy once, decide on the copy: another thread of the guest can change it at
 * any time. Return 0 (pk_call_read_string: the length without the terminator) or -EFAULT, -ESRCH
 * when the guest is gone, -ENAMETOOLONG when the string does not end within `size` bytes.
 */
PK_API int pk_call_read(struct pk_call *call, uint64_t address, void *bytes, size_t length);
PK_API int pk_call_write(struct pk_call *call, uint64_t address, const void *bytes, size_t length);
PK_API ssize_t pk_call_read_string(struct pk_call *call, uint64_t address, char *text, size_t size);

/*
 * The host kernel runs the call as it stands, past the process kernel. Never for a call that names
 * something (open, connect, exec): another thread can change the name after your check.
 */
PK_API long pk_call_native(struct pk_call *call);

/* The process kernel serves the call as if there were no handler. */
PK_API long pk_call_forward(struct pk_call *call);

/*
 * Gives the guest a duplicate of `fd` (kept); the call returns its number there. `cloexec`: it does
 * not outlive an exec.
 */
PK_API long pk_call_return_fd(struct pk_call *call, int fd, bool cloexec);

/*
 * Answers later: from any thread, with pk_call_return(), which frees the call. No timeout runs.
 * pk_call_return() in the handler itself, without pk_call_defer(), answers at once; what the
 * handler returns is ignored then, and the call is freed afterwards.
 */
PK_API long pk_call_defer(struct pk_call *call);
PK_API int pk_call_return(struct pk_call *call, long result);

/* ---- guests ---- */

/*
 * Starts a program, with arguments, the environment of this process, and its standard streams.
 * Returns the pid of the guest's first process, or a negative errno (-EBUSY: it has a guest).
 */
PK_API pid_t pk_spawn(process_kernel_t *kernel, char *const argv[]);

/*
 * Attaches the kernel to a process that runs already: all its threads, and all it starts from now
 * on; what it started before is not covered. It keeps its own view: names are the host's, and only
 * handlers, pk_deny() and the limits memory, files, cpu and fsize apply (the first is one of the
 * address space, cpu counts from now on; soft limits, put back when detached). Any other option is
 * refused with -EINVAL. pk_call_forward() does the same as pk_call_native() there. Calls that the
 * vDSO answers (reading a clock, as a rule) are no system calls and not seen.
 *
 * The process is stopped for some milliseconds while a seccomp filter is put into it. It must be
 * one that this process may trace: of the same user and dumpable, and where
 * kernel.yama.ptrace_scope is 1 a child of this one or its descendant; root may attach to all. If
 * it is not privileged it gets no_new_privs: set-user-ID programs that it starts later have no
 * effect. Another thread of yours that waits for "any child" meanwhile may be told of stops of the
 * target, and a program that is killed within these milliseconds takes the target with it.
 *
 * What a process gets it keeps to its end: the filter stays after pk_detach(), and its calls go to
 * a keeper, a process of its own, which lets them pass. Each call that had a handler or a denial
 * costs 3 to 5 microseconds more then, all others nothing. A later pk_attach() uses the same
 * filter, needs no ptrace, takes a fraction of a millisecond, and can only have handlers and
 * denials for numbers that the first one had. Calls of 32-bit code (int 0x80) and x32 calls fail
 * with ENOSYS while a kernel is attached, because nobody could look at them. Who kills the keeper
 * with SIGKILL makes the calls in the filter fail with ENOSYS for good.
 *
 * Returns 0, or -ESRCH (no such process), -EPERM (may not be traced), -EBUSY (traced by another;
 * a guest of a process kernel; attached to; or this kernel has a guest), -EINVAL (yourself, a
 * thread, one of the host kernel's; an option), -ENOEXEC (32-bit), -EACCES (it has a seccomp filter
 * of its own, not that of a container: only root can suspend it), -ENOTSUP (numbers that its filter
 * has not).
 * pk_last_error() says which.
 */
PK_API int pk_attach(process_kernel_t *kernel, pid_t pid);

/*
 * Leaves the process that the kernel is attached to: calls that wait for a handler go on natively.
 * Handlers may still run when it returns; a later pk_attach() or pk_spawn() waits for them as
 * pk_destroy() does.
 * The same as the end of your program, or pk_destroy(). Returns 0, -ESRCH when it is attached to
 * none, -EINVAL when its guest was spawned. `cerebro detach` can do that, too.
 */
PK_API int pk_detach(process_kernel_t *kernel);

/*
 * Runs fn(arg) under the kernel, in a child made by fork(2): what it writes to memory stays there.
 * Results come back through memory that is shared (mmap MAP_SHARED), a pipe or a file. The kernel
 * is attached to the child before fn begins, as pk_attach() does. Waits for the end of the child.
 *
 * In a program with several threads, fn may only do what is safe in a signal handler, as after any
 * fork. What stdio has buffered before is in the child, too; fn has to flush what it prints. The
 * child ends when the calling thread does.
 *
 * Returns 0 when fn returned, the exit status when it called exit(3), 128 + the signal that killed
 * it (pk_last_error() names it, and pk_wait() has the status that tells it from an exit), or a
 * negative errno when it did not start.
 */
PK_API int pk_execute(process_kernel_t *kernel, void (*fn)(void *), void *arg);

/* Sends a signal to the guest's first process. Returns 0, -ESRCH, or -EINVAL for no signal. */
PK_API int pk_signal(process_kernel_t *kernel, int number);

/*
 * Waits for the end of the guest, or until it is detached. Returns 0 with the first process' status
 * as waitpid(2) gives it (NULL is allowed), or -ESRCH when there is no guest. It may be spawned
 * again afterwards. Of one that was attached to, the status is -1 (none of the WIF... macros holds)
 * when it was detached, or where the host could not tell: before Linux 6.15, if its parent took
 * note of its end first.
 */
PK_API int pk_wait(process_kernel_t *kernel, int *ret_status);

/* ---- events ---- */

typedef enum {
    PK_EVENT_STARTED,
    PK_EVENT_DENIAL,   /* text: what, rule and advice, in three lines; `nr` if it was pk_deny() */
    PK_EVENT_TIMEOUT,  /* a handler took too long: `nr` */
    PK_EVENT_CRASH,    /* a handler crashed: `nr`; the guest got EIO */
    PK_EVENT_ENDED,    /* status */
    PK_EVENT_DETACHED, /* from a process that goes on natively */
} pk_event_type_t;

typedef struct pk_event {
    size_t size;
    pk_event_type_t type;
    int nr;
    int status;
    const char *text; /* "" where there is none; valid during the call */
} pk_event_t;

/*
 * Called on a thread of the library, for PK_EVENT_STARTED on that of pk_spawn() or pk_attach();
 * NULL: nobody is told. Returns 0.
 */
PK_API int pk_set_event_handler(process_kernel_t *kernel,
                                void (*handler)(const pk_event_t *event, void *user), void *user);

#ifdef __cplusplus
}
#endif

#endif
