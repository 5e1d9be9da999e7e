/*
 * The trap's side of the loader's private call: writes the plan into the loader's stack, installs
 * the descriptors, and tells the personality that the exec is past its point of no return.
 *
 * Any failure from here on is answered with an error, on which the loader ends the process with
 * SIGSEGV: what the host kernel does when it cannot map a program that it has begun to load.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "core/exec.h"
#include "trap/trap-internal.h"

_Static_assert(LOADER_MAPPINGS == PK_EXEC_MAPPINGS_MAX, "one limit");
_Static_assert(LOADER_PROGRAM == PK_EXEC_PROGRAM && LOADER_INTERPRETER == PK_EXEC_INTERPRETER &&
                   LOADER_ANONYMOUS == PK_EXEC_ANONYMOUS,
               "one numbering");

/* A plan as the loader reads it, being filled from the front. */
struct wire {
    union {
        struct loader_plan plan;
        char bytes[LOADER_PLAN_SIZE];
    };
    size_t used;
};

static int wire_add_bytes(struct wire *wire, const void *bytes, size_t size, uint32_t *ret_offset)
{
    if (size > sizeof(wire->bytes) - wire->used)
        return -E2BIG;
    memcpy(wire->bytes + wire->used, bytes, size);
    *ret_offset = (uint32_t)wire->used;
    wire->used += size;
    return 0;
}

static void encode_mapping(const struct pk_exec_mapping *from, struct loader_mapping *to)
{
    to->address = from->address;
    to->length = from->length;
    to->offset = from->offset;
    to->zero_from = from->zero_from;
    to->zero_to = from->zero_to;
    to->protection = from->protection;
    to->file = from->file;
}

static void encode_header(const struct pk_exec_plan *plan, struct loader_plan *to)
{
    to->mapping_count = plan->mapping_count;
    to->start = plan->start;
    to->entry = plan->program_entry;
    to->base = plan->base;
    to->headers = plan->headers;
    to->header_count = plan->header_count;
    to->header_size = plan->header_size;
    to->secure = plan->secure;
    to->uid = plan->uid;
    to->euid = plan->euid;
    to->gid = plan->gid;
    to->egid = plan->egid;
    to->execfn_size = (uint32_t)strlen(plan->execfn) + 1;
    to->prefix_size = plan->argv_prefix ? plan->argv_prefix_length : 0;
    to->prefix_count = plan->argv_prefix ? plan->argv_prefix_count : 0;
    memcpy(to->comm, plan->comm, sizeof(to->comm));
    to->comm[sizeof(to->comm) - 1] = '\0';
}

/* The loader trusts these, so they are checked once more where they leave the trap. */
static bool is_sound(const struct pk_exec_plan *plan)
{
    size_t strings = 0;

    if (plan->execfn == NULL || plan->mapping_count > PK_EXEC_MAPPINGS_MAX)
        return false;
    for (unsigned i = 0; i < plan->mapping_count; i++)
        if (plan->mappings[i].address < PK_EXEC_LOWEST_ADDRESS)
            return false;
    if (plan->argv_prefix == NULL)
        return true;
    for (uint32_t i = 0; i < plan->argv_prefix_length; i++)
        strings += plan->argv_prefix[i] == '\0';
    return strings == plan->argv_prefix_count && strings > 0 &&
           plan->argv_prefix[plan->argv_prefix_length - 1] == '\0';
}

static int encode(const struct trap *trap, const struct pk_exec_plan *plan, int interpreter,
                  const struct pending_installed *stale, struct wire *wire)
{
    struct loader_plan *to = &wire->plan;
    int r;

    if (!is_sound(plan))
        return -EINVAL;
    memset(to, 0, sizeof(*to));
    encode_header(plan, to);
    to->interpreter_fd = interpreter;
    to->stale_count = stale->count;
    memcpy(to->stale, stale->fds, sizeof(to->stale));
    to->flags = (plan->executable_stack ? LOADER_EXECUTABLE_STACK : 0) |
                (trap->features.mseal ? LOADER_SEAL : 0) |
                (trap->kernel->config.no_vdso ? LOADER_NO_VDSO : 0);
    wire->used = sizeof(*to) + plan->mapping_count * sizeof(to->mappings[0]);
    for (unsigned i = 0; i < plan->mapping_count; i++)
        encode_mapping(&plan->mappings[i], &to->mappings[i]);
    r = wire_add_bytes(wire, plan->execfn, to->execfn_size, &to->execfn_offset);
    if (r == 0 && to->prefix_size)
        r = wire_add_bytes(wire, plan->argv_prefix, to->prefix_size, &to->prefix_offset);
    to->size = (uint32_t)wire->used;
    return r;
}

static void remember(struct pending_installed *installed, int number)
{
    if (number >= 0 && installed->count < LOADER_STALE_MAX)
        installed->fds[installed->count++] = number;
}

static int try_install(struct trap_call *call, int fd, bool answer,
                       struct pending_installed *installed)
{
    int left = -1;
    int r = answer ? trap_send_fd(call->trap, call->id, fd, -1, O_CLOEXEC, &left)
                   : trap_add_fd(call->trap, call->id, fd, -1, O_CLOEXEC);

    remember(installed, left >= 0 ? left : r);
    return r;
}

/*
 * Installs a descriptor for the loader, which closes it again. A guest that has used up its numbers
 * can exec natively, so its limit is raised for the moment of the installation where it may be.
 */
static int install(struct trap_call *call, int fd, bool answer, struct pending_installed *installed)
{
    struct rlimit old;
    int r = try_install(call, fd, answer, installed);

    if (r != -EMFILE || trap_make_room(call->tid, &old) < 0)
        return r;
    r = try_install(call, fd, answer, installed);
    prlimit(call->tid, RLIMIT_NOFILE, &old, NULL);
    return r;
}

static int commit(struct trap_call *call, const struct pk_exec_plan *plan)
{
    const struct pk_personality *personality = call->request.kernel->personality;

    if (personality == NULL || personality->exec_committed == NULL)
        return 0;
    return personality->exec_committed(&call->request, plan);
}

/* `installed` holds what is stale at first, and gets what the loader does not know of yet. */
static int load(struct trap_call *call, struct pk_exec_plan *plan,
                struct pending_installed *installed)
{
    const struct pending_installed stale = *installed;
    struct pk_request *request = &call->request;
    struct wire wire;
    int interpreter = -1;
    int r = 0;

    if (plan->interpreter_fd >= 0) {
        interpreter = install(call, plan->interpreter_fd, false, installed);
        r = interpreter < 0 ? interpreter : 0;
    }
    if (r == 0)
        r = encode(call->trap, plan, interpreter, &stale, &wire);
    if (r == 0)
        r = pk_write(request, request->args[1], wire.bytes, wire.used);
    if (r == 0)
        r = commit(call, plan);
    if (r == 0)
        r = install(call, plan->program_fd, true, installed);
    return r;
}

/*
 * An exec leaves one thread, with the number of the process, in the loader's code. Whoever else
 * makes this call only imitates the loader.
 */
static bool is_loader(const struct trap_call *call)
{
    const struct pk_request *request = &call->request;

    return request->task->tid == request->task->process->pid &&
           request->instruction >= LOADER_TEXT && request->instruction < LOADER_PATH_PAGE &&
           request->args[2] == LOADER_PLAN_SIZE && request->args[3] < LOADER_TOKENS &&
           request->args[4] == LOADER_PLAN_MAGIC;
}

/* Whether the loader may come again for the same plan. */
static bool may_ask_again(const struct trap *trap, int r)
{
    return !trap->features.wait_killable && (r >= 0 || r == -ENOENT || r == -ESRCH);
}

void loader_serve(struct trap *trap, const struct seccomp_notif *notif)
{
    struct trap_call call = {.trap = trap};
    struct pending_installed installed = {0};
    struct pk_exec_plan *plan = NULL;
    pid_t pid = (pid_t)notif->pid;
    unsigned token = (unsigned)notif->data.args[3];
    int r = -EINVAL; /* what the host says of an option that it does not know */

    if (trap_fill_request(&call, notif) && is_loader(&call))
        plan = pending_take(trap, pid, token, &installed);
    if (plan)
        r = load(&call, plan, &installed);
    if (r < 0 && !trap_is_waiting(trap, notif->id))
        r = -ENOENT;
    if (r < 0 && r != -ENOENT)
        trap_send(trap, notif->id, r);
    if (plan && may_ask_again(trap, r))
        pending_keep(trap, pid, token, take_ptr(plan), &installed);
    trap->kernel->current_context = NULL;
    pk_exec_plan_free(plan);
}
