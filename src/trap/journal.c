/*
 * The journal: on hosts without SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV a signal can take a thread
 * out of its notification after we have acted. The answer cannot be delivered then, and the thread
 * restarts the call: acting again would fail (mkdir: EEXIST) or do it twice. So an outcome that
 * could not be delivered is kept, and given to the restart.
 *
 * The restart is known by thread, number, arguments, instruction, and by a digest of the guest
 * memory that the arguments may point to: the same call with another name in the same buffer is
 * another call. Only the very next notification of a thread can be its restart.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "core/exec.h"
#include "trap/trap-internal.h"

/* Threads that are killed leave their entry behind; beyond this many all are dropped. */
#define ENTRIES_MAX  1024
#define DIGEST_BYTES 256

struct journal_entry {
    int nr;
    uint64_t args[6];
    uint64_t instruction;
    uint64_t digest;
    struct journal_outcome outcome;
};

/* A digest of the first bytes behind each argument that is an address. */
static uint64_t digest_arguments(pid_t tid, int nr, const uint64_t args[6])
{
    const struct abi_syscall *call = abi_syscall_by_nr(nr);
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (unsigned i = 0; call && i < call->nargs; i++) {
        unsigned char bytes[DIGEST_BYTES];
        size_t room = LOADER_PAGE_SIZE - args[i] % LOADER_PAGE_SIZE;
        struct iovec local = {.iov_base = bytes,
                              .iov_len = room < sizeof(bytes) ? room : sizeof(bytes)};
        struct iovec remote = {.iov_base = (void *)args[i], .iov_len = local.iov_len};
        ssize_t n =
            args[i] < PK_EXEC_LOWEST_ADDRESS ? 0 : process_vm_readv(tid, &local, 1, &remote, 1, 0);
        unsigned char *end = memchr(bytes, '\0', n > 0 ? (size_t)n : 0);

        /* A string's digest ends with it: what follows may be anything. */
        if (end)
            n = end - bytes;
        for (ssize_t at = 0; at < n; at++)
            hash = (hash ^ bytes[at]) * 0x100000001b3ULL;
        hash = (hash ^ i) * 0x100000001b3ULL;
    }
    return hash;
}

static void entry_free(struct journal_entry *entry)
{
    if (entry)
        base_close(entry->outcome.fd);
    free(entry);
}

void journal_free_all(struct trap *trap)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&trap->journal, &cursor)))
        entry_free(slot->value);
    map_free(&trap->journal);
}

void journal_add(struct trap *trap, const struct trap_call *call,
                 const struct journal_outcome *outcome)
{
    const struct pk_request *request = &call->request;
    struct journal_entry *entry;

    if (trap->journal.count >= ENTRIES_MAX)
        journal_free_all(trap);
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        base_close(outcome->fd);
        return;
    }
    entry->nr = request->nr;
    memcpy(entry->args, request->args, sizeof(entry->args));
    entry->instruction = request->instruction;
    entry->digest = digest_arguments(call->tid, request->nr, request->args);
    entry->outcome = *outcome;
    entry_free(map_remove(&trap->journal, (uint64_t)call->tid));
    if (map_set(&trap->journal, (uint64_t)call->tid, entry) < 0)
        entry_free(entry);
}

static bool is_restart(const struct journal_entry *entry, const struct seccomp_notif *notif)
{
    return entry->nr == notif->data.nr && entry->instruction == notif->data.instruction_pointer &&
           memcmp(entry->args, notif->data.args, sizeof(entry->args)) == 0 &&
           entry->digest == digest_arguments((pid_t)notif->pid, entry->nr, entry->args);
}

/*
 * The thread went elsewhere: it never learns of the descriptor that it has got, so it has to close
 * it, unless the number stands for something else by now. Returns true when it did; its call comes
 * again.
 */
static bool close_left(struct trap *trap, const struct journal_entry *entry,
                       const struct seccomp_notif *notif)
{
    struct trap_call call = {.trap = trap, .id = notif->id, .tid = (pid_t)notif->pid};
    struct pk_injected_call close_it = {.nr = SYS_close, .args = {(uint64_t)entry->outcome.left}};
    int64_t value;

    if (entry->outcome.left < 0 || syscall(SYS_kcmp, trap->self, call.tid, KCMP_FILE,
                                           entry->outcome.fd, entry->outcome.left) != 0)
        return false;
    call.request.nr = notif->data.nr;
    memcpy(call.request.args, notif->data.args, sizeof(call.request.args));
    call.request.instruction = notif->data.instruction_pointer;
    call.request.port_data = &call;
    inject_calls(&call.request, &close_it, 1, &value);
    if (call.held)
        inject_restart(&call);
    return call.held;
}

static int deliver(struct trap *trap, struct journal_outcome *outcome, uint64_t id)
{
    int left = -1;
    int r;

    if (outcome->left >= 0)
        return trap_send(trap, id, outcome->left);
    if (outcome->fd < 0)
        return trap_send(trap, id, outcome->value);
    r = trap_send_fd(trap, id, outcome->fd, outcome->number, outcome->fd_flags, &left);
    outcome->left = left;
    return r;
}

bool journal_replay(struct trap *trap, const struct seccomp_notif *notif)
{
    struct journal_entry *entry;
    bool gone;
    int r;

    if (trap->journal.count == 0)
        return false;
    entry = map_get(&trap->journal, notif->pid);
    if (entry == NULL)
        return false;
    if (!is_restart(entry, notif)) {
        gone = close_left(trap, entry, notif);
        entry_free(map_remove(&trap->journal, notif->pid));
        return gone;
    }
    r = deliver(trap, &entry->outcome, notif->id);
    /* Interrupted again: it will come back once more. */
    if (r == -ENOENT)
        return true;
    if (r < 0)
        trap_send(trap, notif->id, r);
    entry_free(map_remove(&trap->journal, notif->pid));
    return true;
}
