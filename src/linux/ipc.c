/*
 * shmget, semget, msgget and the calls that use an object; see ipc.h. How objects are looked at,
 * changed and removed is in ipc-control.c.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/ipc-internal.h"

struct ipc_objects *ipc_objects_of(struct pk_request *request)
{
    return linux_state(request->kernel)->ipc;
}

bool ipc_owned(const struct pk_request *request, const struct ipc_owner *owner)
{
    uid_t euid = request->context->identity.euid;

    return euid == owner->uid || euid == owner->cuid || linux_capable(request, CAP_SYS_ADMIN);
}

struct ipc_owner ipc_owner_of(const struct pk_request *request, unsigned mode)
{
    const struct pk_identity *identity = &request->context->identity;

    return (struct ipc_owner){.uid = identity->euid,
                              .cuid = identity->euid,
                              .gid = identity->egid,
                              .cgid = identity->egid,
                              .mode = mode & 0777};
}

static bool in_group(const struct pk_identity *identity, gid_t gid)
{
    bool found = identity->egid == gid;

    for (unsigned i = 0; i < identity->group_count; i++)
        found |= identity->groups[i] == gid;
    return found;
}

/* ipcperms() of ipc/util.c. `wanted` has its bits in all three places, or in any of them. */
int ipc_permits(const struct pk_request *request, const struct ipc_owner *owner, unsigned wanted)
{
    const struct pk_identity *identity = &request->context->identity;
    unsigned requested = wanted >> 6 | wanted >> 3 | wanted;
    unsigned granted = owner->mode;

    if (identity->euid == owner->cuid || identity->euid == owner->uid)
        granted >>= 6;
    else if (in_group(identity, owner->cgid) || in_group(identity, owner->gid))
        granted >>= 3;
    if ((requested & ~granted & 07) && !linux_capable(request, CAP_IPC_OWNER))
        return -EACCES;
    return 0;
}

/* ---- shmget, semget, msgget ---- */

struct getting {
    struct pk_request *request;
    enum ipc_kind kind;
    key_t key;
    size_t size;
    int flags;
};

static int make(const struct getting *get)
{
    struct ipc_object *object;
    int r = ipc_object_new(ipc_objects_of(get->request), get->kind, get->size,
                           get->flags & ~(0777 | IPC_CREAT | IPC_EXCL), &object);

    if (r < 0)
        return r;
    object->key = get->key;
    object->creator = get->request->task->process->pid;
    object->owner = ipc_owner_of(get->request, (unsigned)get->flags);
    return object->id;
}

/* A segment or a set of semaphores must be as large as is asked for. */
static int check_size(const struct getting *get, const struct ipc_object *object)
{
    union ipc_data data;
    int r = ipc_ask(object, &data);

    if (r < 0)
        return r;
    if (get->kind == IPC_SEGMENT && get->size > data.segment.shm_segsz)
        return -EINVAL;
    if (get->kind == IPC_SEMAPHORES && get->size > data.semaphores.sem_nsems)
        return -EINVAL;
    return 0;
}

/* ipcget() of ipc/util.c. */
static struct pk_answer do_get(const struct getting *get)
{
    const struct ipc_object *object = NULL;
    int r;

    if (get->key != IPC_PRIVATE)
        object = ipc_find_key(ipc_objects_of(get->request), get->kind, get->key);
    if (object == NULL && get->key != IPC_PRIVATE && !(get->flags & IPC_CREAT))
        return pk_error(-ENOENT);
    if (object == NULL)
        return pk_value(make(get));
    if ((get->flags & IPC_CREAT) && (get->flags & IPC_EXCL))
        return pk_error(-EEXIST);
    r = check_size(get, object);
    if (r == 0)
        r = ipc_permits(get->request, &object->owner, (unsigned)get->flags & 0777);
    return pk_value(r < 0 ? r : object->id);
}

static struct pk_answer do_shmget(struct pk_request *request)
{
    const struct getting get = {request, IPC_SEGMENT, (key_t)request->args[0], request->args[1],
                                (int)request->args[2]};

    return do_get(&get);
}

static struct pk_answer do_semget(struct pk_request *request)
{
    int count = (int)request->args[1];
    const struct getting get = {request, IPC_SEMAPHORES, (key_t)request->args[0], (size_t)count,
                                (int)request->args[2]};

    return count < 0 ? pk_error(-EINVAL) : do_get(&get);
}

static struct pk_answer do_msgget(struct pk_request *request)
{
    const struct getting get = {request, IPC_QUEUE, (key_t)request->args[0], 0,
                                (int)request->args[1]};

    return do_get(&get);
}

/* ---- use ---- */

/* The host runs the call when it is about an object of the guest's that the caller may use so. */
static struct pk_answer use(struct pk_request *request, enum ipc_kind kind, unsigned wanted)
{
    const struct ipc_object *object =
        ipc_find(ipc_objects_of(request), kind, (int)request->args[0]);
    int r = object ? ipc_permits(request, &object->owner, wanted) : -EINVAL;

    return r < 0 ? pk_error(r) : pk_native();
}

static struct pk_answer do_shmat(struct pk_request *request)
{
    unsigned wanted = IPC_MAY_READ;

    if (!(request->args[2] & SHM_RDONLY))
        wanted |= IPC_MAY_WRITE;
    if (request->args[2] & SHM_EXEC)
        wanted |= IPC_MAY_EXECUTE;
    return use(request, IPC_SEGMENT, wanted);
}

/*
 * Whether operations only wait for zero, which takes no right to change anything. Another thread
 * may rewrite them afterwards: that takes from nobody but the guest itself.
 */
static int operations_alter(struct pk_request *request, bool *ret_alter)
{
    uint64_t count = request->args[2];
    struct sembuf operations[64];

    *ret_alter = true;
    if (count > array_length(operations))
        return 0;
    if (pk_read(request, request->args[1], operations, count * sizeof(operations[0])) < 0)
        return -EFAULT;
    *ret_alter = false;
    for (uint64_t i = 0; i < count; i++)
        *ret_alter |= operations[i].sem_op != 0;
    return 0;
}

static struct pk_answer do_semop(struct pk_request *request)
{
    bool alter;
    int r;

    if (request->args[2] == 0 || (int)request->args[0] < 0)
        return pk_error(-EINVAL);
    r = operations_alter(request, &alter);
    return r < 0 ? pk_error(r) : use(request, IPC_SEMAPHORES, alter ? IPC_MAY_WRITE : IPC_MAY_READ);
}

static struct pk_answer do_msgsnd(struct pk_request *request)
{
    return use(request, IPC_QUEUE, IPC_MAY_WRITE);
}

static struct pk_answer do_msgrcv(struct pk_request *request)
{
    return use(request, IPC_QUEUE, IPC_MAY_READ);
}

/* ---- the room ---- */

void linux_ipc_set_board(struct pk_kernel *kernel, struct linux_ipc_board *board)
{
    ipc_objects_set_board(linux_state(kernel)->ipc, board);
}

int linux_register_ipc(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_shmget, do_shmget},           {ABI_NR_shmat, do_shmat},
        {ABI_NR_semget, do_semget},           {ABI_NR_semop, do_semop},
        {ABI_NR_semtimedop, do_semop},        {ABI_NR_msgget, do_msgget},
        {ABI_NR_msgsnd, do_msgsnd},           {ABI_NR_msgrcv, do_msgrcv},
        {ABI_NR_shmctl, ipc_do_shmctl},       {ABI_NR_semctl, ipc_do_semctl},
        {ABI_NR_msgctl, ipc_do_msgctl},       {ABI_NR_mq_open, ipc_do_mq_open},
        {ABI_NR_mq_unlink, ipc_do_mq_unlink},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
    return 0;
}
