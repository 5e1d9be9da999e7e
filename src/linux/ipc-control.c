/* shmctl, semctl, msgctl: what the host says of an object, with owners and keys of the guest. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/ipc-internal.h"

/* A control call; the kinds differ in their commands and structures. */
struct control {
    struct pk_request *request;
    enum ipc_kind kind;
    int id, command;
    uint64_t address; /* of the structure in the guest */
};

/* What the commands of a kind are called (linux/shm.h, linux/sem.h, linux/msg.h). */
struct commands {
    int stat_at, stat_any, info;
    size_t data_size;
};

static const struct commands commands[] = {
    [IPC_SEGMENT] = {SHM_STAT, 15, SHM_INFO, sizeof(struct shmid_ds)},
    [IPC_SEMAPHORES] = {SEM_STAT, 20, SEM_INFO, sizeof(struct semid_ds)},
    [IPC_QUEUE] = {MSG_STAT, 13, MSG_INFO, sizeof(struct msqid_ds)},
};

static struct ipc_perm *permissions_of(enum ipc_kind kind, union ipc_data *data)
{
    return kind == IPC_SEGMENT      ? &data->segment.shm_perm
           : kind == IPC_SEMAPHORES ? &data->semaphores.sem_perm
                                    : &data->queue.msg_perm;
}

/* ---- looking ---- */

/* Our own attachment is nobody's business. */
static void hide_ourselves(const struct ipc_object *object, struct shmid_ds *segment)
{
    segment->shm_cpid = object->creator;
    if (object->held)
        segment->shm_nattch--;
    if (segment->shm_lpid != getpid())
        return;
    segment->shm_lpid = 0;
    segment->shm_atime = 0;
    segment->shm_dtime = 0;
}

static void show_as_the_guests(const struct ipc_object *object, union ipc_data *data)
{
    struct ipc_perm *shown = permissions_of(object->kind, data);
    unsigned kept = object->kind == IPC_SEGMENT ? shown->mode & SHM_LOCKED : 0;

    shown->__key = object->key;
    shown->uid = object->owner.uid;
    shown->gid = object->owner.gid;
    shown->cuid = object->owner.cuid;
    shown->cgid = object->owner.cgid;
    shown->mode = object->owner.mode | kept | (object->removed ? SHM_DEST : 0);
    if (object->kind == IPC_SEGMENT)
        hide_ourselves(object, &data->segment);
    if (object->changed && object->kind == IPC_SEGMENT)
        data->segment.shm_ctime = object->changed;
    else if (object->changed && object->kind == IPC_SEMAPHORES)
        data->semaphores.sem_ctime = object->changed;
    else if (object->changed)
        data->queue.msg_ctime = object->changed;
}

int ipc_ask_for_guest(const struct ipc_object *object, union ipc_data *ret_data)
{
    int r = ipc_ask(object, ret_data);

    if (r == 0)
        show_as_the_guests(object, ret_data);
    return r;
}

static int look(const struct control *control, const struct ipc_object *object, bool anybody)
{
    union ipc_data data;
    int r = anybody ? 0 : ipc_permits(control->request, &object->owner, IPC_MAY_READ);

    if (r == 0)
        r = ipc_ask_for_guest(object, &data);
    if (r < 0)
        return r;
    return pk_write(control->request, control->address, &data, commands[control->kind].data_size);
}

static struct pk_answer look_at_position(const struct control *control)
{
    bool anybody = control->command == commands[control->kind].stat_any;
    const struct ipc_object *object = NULL;
    int r;

    if (control->id >= 0)
        object = ipc_at(ipc_objects_of(control->request), control->kind, (size_t)control->id);
    r = object ? look(control, object, anybody) : -EINVAL;
    return pk_value(r < 0 ? r : object->id);
}

/* ---- all of a kind ---- */

/* How many there are, and how much is in them: pages, semaphores, or messages and bytes. */
struct sum {
    size_t count;
    unsigned long amount, bytes;
};

static struct sum sum_up(const struct control *control)
{
    struct ipc_objects *objects = ipc_objects_of(control->request);
    unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
    struct sum sum = {0};
    const struct ipc_object *object;
    union ipc_data data;

    for (; (object = ipc_at(objects, control->kind, sum.count)); sum.count++) {
        if (ipc_ask(object, &data) < 0)
            continue;
        if (control->kind == IPC_SEGMENT)
            sum.amount += (data.segment.shm_segsz + page - 1) / page;
        else if (control->kind == IPC_SEMAPHORES)
            sum.amount += data.semaphores.sem_nsems;
        else
            sum.amount += data.queue.msg_qnum;
        if (control->kind == IPC_QUEUE)
            sum.bytes += data.queue.__msg_cbytes;
    }
    return sum;
}

/* These return the position of the last object; 0 also when there is none. */
static struct pk_answer answer_info(const struct control *control, const struct sum *sum,
                                    const void *info, size_t size)
{
    int r = pk_write(control->request, control->address, info, size);

    return pk_value(r < 0 ? r : sum->count ? (int64_t)sum->count - 1 : 0);
}

static struct pk_answer segment_info(const struct control *control)
{
    struct sum sum = sum_up(control);
    struct shm_info used = {.used_ids = (int)sum.count, .shm_tot = sum.amount};
    struct shminfo limits;

    if (control->command == SHM_INFO)
        return answer_info(control, &sum, &used, sizeof(used));
    if (shmctl(0, IPC_INFO, (struct shmid_ds *)(void *)&limits) < 0)
        return pk_error(-errno);
    return answer_info(control, &sum, &limits, sizeof(limits));
}

static struct pk_answer semaphore_info(const struct control *control)
{
    struct sum sum = sum_up(control);
    struct seminfo info;
    union ipc_semaphore_argument argument = {.info = &info};

    if (semctl(0, 0, IPC_INFO, argument) < 0)
        return pk_error(-errno);
    if (control->command == SEM_INFO) {
        info.semusz = (int)sum.count;
        info.semaem = (int)sum.amount;
    }
    return answer_info(control, &sum, &info, sizeof(info));
}

static struct pk_answer queue_info(const struct control *control)
{
    struct sum sum = sum_up(control);
    struct msginfo info;

    if (msgctl(0, IPC_INFO, (struct msqid_ds *)(void *)&info) < 0)
        return pk_error(-errno);
    if (control->command == MSG_INFO) {
        info.msgpool = (int)sum.count;
        info.msgmap = (int)sum.amount;
        info.msgtql = (int)sum.bytes;
    }
    return answer_info(control, &sum, &info, sizeof(info));
}

static struct pk_answer info(const struct control *control)
{
    return control->kind == IPC_SEGMENT      ? segment_info(control)
           : control->kind == IPC_SEMAPHORES ? semaphore_info(control)
                                             : queue_info(control);
}

/* ---- changing ---- */

/* Of a queue the size can be set too, which the host does; it may shrink and grow to its limit. */
static int set_queue_size(const struct ipc_object *object, const union ipc_data *wanted)
{
    union ipc_data data;
    int r = ipc_ask(object, &data);

    if (r < 0 || wanted->queue.msg_qbytes == data.queue.msg_qbytes)
        return r;
    data.queue.msg_qbytes = wanted->queue.msg_qbytes;
    return msgctl(object->id, IPC_SET, &data.queue) < 0 ? -errno : 0;
}

static int set(const struct control *control, struct ipc_object *object)
{
    union ipc_data data = {0};
    const struct ipc_perm *wanted = permissions_of(control->kind, &data);
    int r = pk_read(control->request, control->address, &data, commands[control->kind].data_size);

    if (r == 0 && !ipc_owned(control->request, &object->owner))
        r = -EPERM;
    if (r == 0 && (wanted->uid == (uid_t)-1 || wanted->gid == (gid_t)-1))
        r = -EINVAL;
    if (r == 0 && control->kind == IPC_QUEUE)
        r = set_queue_size(object, &data);
    if (r < 0)
        return r;
    object->owner.uid = wanted->uid;
    object->owner.gid = wanted->gid;
    object->owner.mode = wanted->mode & 0777;
    object->changed = time(NULL);
    return 0;
}

static struct pk_answer change(const struct control *control)
{
    struct ipc_objects *objects = ipc_objects_of(control->request);
    struct ipc_object *object = ipc_find(objects, control->kind, control->id);

    if (object == NULL)
        return pk_error(-EINVAL);
    if (control->command == IPC_STAT)
        return pk_value(look(control, object, false));
    if (control->command == IPC_SET)
        return pk_value(set(control, object));
    if (!ipc_owned(control->request, &object->owner))
        return pk_error(-EPERM);
    return pk_value(ipc_remove(objects, object));
}

/* The commands that all kinds have; false for others. */
static bool is_common(const struct control *control)
{
    const struct commands *of_kind = &commands[control->kind];
    int command = control->command;

    return command == IPC_STAT || command == IPC_SET || command == IPC_RMID ||
           command == IPC_INFO || command == of_kind->info || command == of_kind->stat_at ||
           command == of_kind->stat_any;
}

static struct pk_answer do_common(const struct control *control)
{
    const struct commands *of_kind = &commands[control->kind];

    if (control->id < 0)
        return pk_error(-EINVAL);
    if (control->command == IPC_INFO || control->command == of_kind->info)
        return info(control);
    if (control->command == of_kind->stat_at || control->command == of_kind->stat_any)
        return look_at_position(control);
    return change(control);
}

/* ---- the calls ---- */

/* The host does the rest, all of it with numbers in registers or the guest's own memory. */
static struct pk_answer pass(const struct control *control, unsigned wanted)
{
    const struct ipc_object *object =
        ipc_find(ipc_objects_of(control->request), control->kind, control->id);
    int r = object ? ipc_permits(control->request, &object->owner, wanted) : -EINVAL;

    return r < 0 ? pk_error(r) : pk_native();
}

struct pk_answer ipc_do_shmctl(struct pk_request *request)
{
    const struct control control = {request, IPC_SEGMENT, (int)request->args[0],
                                    (int)request->args[1], request->args[2]};

    if (is_common(&control))
        return do_common(&control);
    if (control.command == SHM_LOCK || control.command == SHM_UNLOCK)
        return pass(&control, 0);
    return pk_error(-EINVAL);
}

struct pk_answer ipc_do_semctl(struct pk_request *request)
{
    const struct control control = {request, IPC_SEMAPHORES, (int)request->args[0],
                                    (int)request->args[2], request->args[3]};

    if (is_common(&control))
        return do_common(&control);
    switch (control.command) {
    case GETVAL:
    case GETALL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
        return pass(&control, IPC_MAY_READ);
    case SETVAL:
    case SETALL:
        return pass(&control, IPC_MAY_WRITE);
    default:
        return pk_error(-EINVAL);
    }
}

struct pk_answer ipc_do_msgctl(struct pk_request *request)
{
    const struct control control = {request, IPC_QUEUE, (int)request->args[0],
                                    (int)request->args[1], request->args[2]};

    return is_common(&control) ? do_common(&control) : pk_error(-EINVAL);
}
