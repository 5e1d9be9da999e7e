/* status, stat, limits and their kind: the host's text with the virtual parts put in. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/proc-internal.h"

#define CAP_SYS_RESOURCE 24
#define AUXV_WORDS_MAX   128

/* What the rules below know of the line they replace. */
struct status_line {
    struct proc_fs *fs;
    const struct proc_task *task;
    const struct vfs_actor *actor; /* who reads; NULL: the process kernel */
    const char *value;             /* the host's, terminated */
};

static void put_name(const struct status_line *line, struct strbuf *text)
{
    char name[16];

    strbuf_add_string(text, "Name:\t");
    if (proc_comm_stored(line->fs, line->task, name))
        proc_comm_escape(text, name);
    else
        strbuf_add_string(text, line->value);
    strbuf_add(text, "\n", 1);
}

static void put_umask(const struct status_line *line, struct strbuf *text)
{
    strbuf_addf(text, "Umask:\t%#04o\n", line->task->context->mask);
}

/* True when the task is in a call that this process kernel answers. */
static bool is_in_served_call(const struct proc_task *task)
{
    cleanup_strbuf struct strbuf text = {0};
    const struct abi_syscall *call;
    char *end;
    long nr;

    if (proc_task_text(task, "syscall", &text) < 0)
        return false;
    nr = strtol(strbuf_text(&text), &end, 10); /* "running", "-1 ...", "257 0x..." */
    if (end == strbuf_text(&text) || nr < 0 || nr > INT_MAX)
        return false;
    call = abi_syscall_by_nr((int)nr);
    return call && call->disposition == ABI_DISPOSITION_SERVED;
}

/*
 * The host sees a task sleep while we answer its call: whoever reads, to begin with. To the guest
 * it is at work in its kernel. A call that really waits is deferred, and sleeps in pause(2); it,
 * and an exec, are under ptrace for moments, which nobody is to see.
 */
static char seen_state(const struct proc_task *task, const struct vfs_actor *actor, char host)
{
    if (actor && actor->tid == task->tid)
        return 'R';
    if ((host == 'S' || host == 'D') && is_in_served_call(task))
        return 'R';
    return host == 't' ? 'S' : host;
}

static void put_state(const struct status_line *line, struct strbuf *text)
{
    char state = seen_state(line->task, line->actor, line->value[0]);
    const char *name = state == 'R' ? "R (running)" : "S (sleeping)";

    strbuf_addf(text, "State:\t%s\n", state == line->value[0] ? line->value : name);
}

static void put_tracer(const struct status_line *line, struct strbuf *text)
{
    (void)line;
    strbuf_add_string(text, "TracerPid:\t0\n");
}

static void put_uids(const struct status_line *line, struct strbuf *text)
{
    const struct pk_identity *id = &line->task->context->identity;

    strbuf_addf(text, "Uid:\t%u\t%u\t%u\t%u\n", id->uid, id->euid, id->suid, id->fsuid);
}

static void put_gids(const struct status_line *line, struct strbuf *text)
{
    const struct pk_identity *id = &line->task->context->identity;

    strbuf_addf(text, "Gid:\t%u\t%u\t%u\t%u\n", id->gid, id->egid, id->sgid, id->fsgid);
}

static void put_groups(const struct status_line *line, struct strbuf *text)
{
    const struct pk_identity *id = &line->task->context->identity;

    strbuf_add_string(text, "Groups:\t");
    for (unsigned i = 0; i < id->group_count; i++)
        strbuf_addf(text, "%u ", id->groups[i]);
    strbuf_add_string(text, id->group_count ? "\n" : " \n");
}

#define PUT_CAPABILITIES(function, key, member)                                             \
    static void function(const struct status_line *line, struct strbuf *text)               \
    {                                                                                       \
        strbuf_addf(text, key ":\t%016" PRIx64 "\n", line->task->context->identity.member); \
    }

PUT_CAPABILITIES(put_inheritable, "CapInh", inheritable)
PUT_CAPABILITIES(put_permitted, "CapPrm", permitted)
PUT_CAPABILITIES(put_effective, "CapEff", effective)
PUT_CAPABILITIES(put_bounding, "CapBnd", bounding)
PUT_CAPABILITIES(put_ambient, "CapAmb", ambient)

static void put_no_new_privs(const struct status_line *line, struct strbuf *text)
{
    strbuf_addf(text, "NoNewPrivs:\t%d\n", line->task->context->identity.no_new_privs);
}

static void put_seccomp(const struct status_line *line, struct strbuf *text)
{
    (void)line;
    strbuf_add_string(text, "Seccomp:\t0\n");
}

static void put_seccomp_filters(const struct status_line *line, struct strbuf *text)
{
    (void)line;
    strbuf_add_string(text, "Seccomp_filters:\t0\n");
}

static const struct {
    const char *key;
    void (*put)(const struct status_line *line, struct strbuf *text);
} status_rules[] = {
    {"Name", put_name},
    {"Umask", put_umask},
    {"State", put_state},
    {"TracerPid", put_tracer},
    {"Uid", put_uids},
    {"Gid", put_gids},
    {"Groups", put_groups},
    {"CapInh", put_inheritable},
    {"CapPrm", put_permitted},
    {"CapEff", put_effective},
    {"CapBnd", put_bounding},
    {"CapAmb", put_ambient},
    {"NoNewPrivs", put_no_new_privs},
    {"Seccomp", put_seccomp},
    {"Seccomp_filters", put_seccomp_filters},
};

/* In a nested pid namespace the host lists one number for each level: the first is ours. */
static void put_namespace_ids(const char *key, const char *value, struct strbuf *text)
{
    strbuf_addf(text, "%s:\t%.*s\n", key, (int)strcspn(value, "\t"), value);
}

/* Rewrites one line, which is cut in place at its colon. */
static void put_status_line(const struct status_line *line, char *key, struct strbuf *text)
{
    for (size_t i = 0; i < array_length(status_rules); i++) {
        if (strcmp(key, status_rules[i].key) == 0) {
            status_rules[i].put(line, text);
            return;
        }
    }
    if (strncmp(key, "NS", 2) == 0)
        put_namespace_ids(key, line->value, text);
    else
        strbuf_addf(text, "%s:\t%s\n", key, line->value);
}

int proc_status(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_strbuf struct strbuf host = {0};
    struct status_line line = {.fs = proc_fs_of(access), .task = &task, .actor = access->actor};
    char *rest, *key;
    int r = proc_task_open(access->fs, access->node, &task);

    if (r >= 0)
        r = proc_task_text(&task, "status", &host);
    if (r < 0)
        return r;
    rest = host.data;
    while ((key = strsep(&rest, "\n")) && *key) {
        char *colon = strchr(key, ':');

        if (colon == NULL)
            continue;
        *colon = '\0';
        line.value = colon + 1 + (colon[1] == '\t');
        put_status_line(&line, key, ret_text);
    }
    return strbuf_status(ret_text);
}

/* Addresses and the place of waiting in stat are for those who may inspect the process only. */
static bool is_private_field(unsigned field)
{
    return (field >= 26 && field <= 30) || field == 35 || (field >= 45 && field <= 52);
}

static void put_stat_fields(const struct proc_task *task, const struct vfs_actor *actor, char *rest,
                            struct strbuf *text)
{
    bool may_inspect = proc_may_inspect(actor, task);
    char *field;

    for (unsigned number = 3; (field = strsep(&rest, " \n")) && *field; number++) {
        if (number == 3)
            field[0] = seen_state(task, actor, field[0]);
        if (!may_inspect && is_private_field(number))
            field = "0";
        strbuf_addf(text, " %s", field);
    }
    strbuf_add_string(text, "\n");
}

int proc_stat(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_strbuf struct strbuf host = {0};
    char *name, *comm, *end, shown[16];
    int r = proc_task_open(access->fs, access->node, &task);

    if (r >= 0)
        r = proc_task_text(&task, "stat", &host);
    if (r < 0)
        return r;
    name = host.data ? strchr(host.data, '(') : NULL;
    end = name ? strrchr(name, ')') : NULL;
    if (end == NULL || end[1] != ' ')
        return -ESRCH;
    *end = '\0';
    comm = name + 1;
    strbuf_add(ret_text, host.data, (size_t)(comm - host.data));
    if (proc_comm_stored(proc_fs_of(access), &task, shown))
        comm = shown; /* as it is: only status escapes */
    strbuf_addf(ret_text, "%s)", comm);
    put_stat_fields(&task, access->actor, end + 2, ret_text);
    return strbuf_status(ret_text);
}

static void add_limit(struct strbuf *text, uint64_t value)
{
    if (value == UINT64_MAX)
        strbuf_addf(text, "%-20s ", "unlimited");
    else
        strbuf_addf(text, "%-20" PRIu64 " ", value);
}

/*
 * The columns of a limits line: 26 for the name, 21 each for the two limits, then the unit. What
 * the guest did not set (UINT64_MAX) is the host's for open files, and no limit for locks.
 */
static void put_limit_line(const char *line, const struct pk_context *context, struct strbuf *text)
{
    bool locks = strncmp(line, "Max file locks ", 15) == 0;
    bool files = strncmp(line, "Max open files ", 15) == 0 && context->nofile_soft != UINT64_MAX;

    if ((!locks && !files) || strlen(line) < 68) {
        strbuf_addf(text, "%s\n", line);
        return;
    }
    strbuf_add(text, line, 26);
    add_limit(text, locks ? context->locks_soft : context->nofile_soft);
    if (locks || context->nofile_hard != UINT64_MAX)
        add_limit(text, locks ? context->locks_hard : context->nofile_hard);
    else
        strbuf_add(text, line + 47, 21);
    strbuf_addf(text, "%s\n", line + 68);
}

int proc_limits(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_strbuf struct strbuf host = {0};
    char *rest, *line;
    int r = proc_task_open(access->fs, access->node, &task);

    if (r >= 0)
        r = proc_task_text(&task, "limits", &host);
    if (r < 0)
        return r;
    rest = host.data;
    while ((line = strsep(&rest, "\n")) && *line)
        put_limit_line(line, task.context, ret_text);
    return strbuf_status(ret_text);
}

/* Skips a list of pointers that ends with NULL; 0 when it does not within reason. */
static uint64_t skip_pointers(pid_t pid, uint64_t address)
{
    uint64_t words[512];

    for (unsigned chunk = 0; chunk < 4096; chunk++) {
        struct iovec local = {words, sizeof(words)};
        struct iovec remote = {(void *)(uintptr_t)address, sizeof(words)};
        ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

        for (ssize_t i = 0; i < n / 8; i++)
            if (words[i] == 0)
                return address + 8 * ((uint64_t)i + 1);
        if (n != (ssize_t)sizeof(words))
            return 0;
        address += sizeof(words);
    }
    return 0;
}

/* Reads the vector that the loader left on the stack, behind arguments and environment. */
static ssize_t read_stack_auxv(const struct proc_task *task, uint64_t words[AUXV_WORDS_MAX])
{
    struct iovec local = {words, AUXV_WORDS_MAX * sizeof(words[0])};
    struct iovec remote = {NULL, AUXV_WORDS_MAX * sizeof(words[0])};
    uint64_t address;

    if (proc_stat_field(task, 28, &address) < 0 || address == 0)
        return -ESRCH;
    address = skip_pointers(task->pid, address + 8);
    address = address ? skip_pointers(task->pid, address) : 0;
    if (address == 0)
        return -EFAULT;
    remote.iov_base = (void *)(uintptr_t)address;
    return process_vm_readv(task->pid, &local, 1, &remote, 1, 0);
}

/*
 * The host shows the vector that it made for the loader; the program was given a corrected one on
 * its stack. That one is shown when it still has the same keys in the same order: the guest may
 * have written over it since.
 */
int proc_auxv(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_strbuf struct strbuf host = {0};
    uint64_t words[AUXV_WORDS_MAX];
    const char *source;
    int r = proc_task_open(access->fs, access->node, &task);

    if (r >= 0)
        r = proc_task_text(&task, "auxv", &host);
    if (r < 0)
        return r;
    source = (const char *)words;
    /* read by number: what was read counts only when the task still had its number afterwards */
    if (host.length > sizeof(words) || read_stack_auxv(&task, words) < (ssize_t)host.length ||
        faccessat(task.dir, "stat", F_OK, 0) < 0)
        source = strbuf_text(&host);
    for (size_t i = 0; i + 8 <= host.length; i += 16)
        if (memcmp(source + i, strbuf_text(&host) + i, 8) != 0)
            source = strbuf_text(&host);
    strbuf_add(ret_text, source, host.length);
    return strbuf_status(ret_text);
}

/* The text names a namespace and tells whether two processes share it: nothing more. */
int proc_namespace(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    char text[64];
    ssize_t n;
    int r = proc_task_open(access->fs, access->node, &task);

    if (r < 0)
        return r;
    n = readlinkat(task.dir, strchr(access->entry->path, '/') + 1, text, sizeof(text));
    if (n < 0)
        return -errno;
    strbuf_add(ret_text, text, (size_t)n);
    return strbuf_status(ret_text);
}

int proc_namespace_follow(const struct pseudo_access *access, struct vfs_place **ret_place)
{
    (void)access;
    (void)ret_place;
    return -EACCES;
}
