/*
 * /proc/sysvipc: the objects of the guest. Where it has a namespace of its own the host's kernel
 * has the table, which is read from within for a moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "linux/ipc-internal.h"

#define TABLE_MAX (4U << 20) /* bytes */

/* The headings and lines of ipc/shm.c, ipc/sem.c and ipc/msg.c. */
static const char segment_heading[] =
    "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
    "      atime      dtime      ctime                   rss                  swap\n";
static const char semaphore_heading[] =
    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
static const char queue_heading[] =
    "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid"
    "      stime      rtime      ctime\n";

static void add_segment(const struct ipc_object *object, const struct shmid_ds *data,
                        struct strbuf *text)
{
    const struct ipc_perm *perm = &data->shm_perm;

    strbuf_addf(
        text, "%10d %10d  %4o %21zu %5d %5d  %5lu %5u %5u %5u %5u %10ld %10ld %10ld %21u %21u\n",
        perm->__key, object->id, perm->mode, data->shm_segsz, data->shm_cpid, data->shm_lpid,
        (unsigned long)data->shm_nattch, perm->uid, perm->gid, perm->cuid, perm->cgid,
        (long)data->shm_atime, (long)data->shm_dtime, (long)data->shm_ctime, 0u, 0u);
}

static void add_semaphores(const struct ipc_object *object, const struct semid_ds *data,
                           struct strbuf *text)
{
    const struct ipc_perm *perm = &data->sem_perm;

    strbuf_addf(text, "%10d %10d  %4o %10lu %5u %5u %5u %5u %10ld %10ld\n", perm->__key, object->id,
                perm->mode, (unsigned long)data->sem_nsems, perm->uid, perm->gid, perm->cuid,
                perm->cgid, (long)data->sem_otime, (long)data->sem_ctime);
}

static void add_queue(const struct ipc_object *object, const struct msqid_ds *data,
                      struct strbuf *text)
{
    const struct ipc_perm *perm = &data->msg_perm;

    strbuf_addf(text, "%10d %10d  %4o  %10lu %10lu %5d %5d %5u %5u %5u %5u %10ld %10ld %10ld\n",
                perm->__key, object->id, perm->mode, (unsigned long)data->__msg_cbytes,
                (unsigned long)data->msg_qnum, data->msg_lspid, data->msg_lrpid, perm->uid,
                perm->gid, perm->cuid, perm->cgid, (long)data->msg_stime, (long)data->msg_rtime,
                (long)data->msg_ctime);
}

static void add_object(const struct ipc_object *object, const union ipc_data *data,
                       struct strbuf *text)
{
    if (object->kind == IPC_SEGMENT)
        add_segment(object, &data->segment, text);
    else if (object->kind == IPC_SEMAPHORES)
        add_semaphores(object, &data->semaphores, text);
    else
        add_queue(object, &data->queue, text);
}

static int list_own(struct pk_request *request, enum ipc_kind kind, struct strbuf *ret_text)
{
    struct ipc_objects *objects = ipc_objects_of(request);
    struct ipc_object *object;
    union ipc_data data;

    strbuf_add_string(ret_text, kind == IPC_SEGMENT      ? segment_heading
                                : kind == IPC_SEMAPHORES ? semaphore_heading
                                                         : queue_heading);
    for (size_t i = 0; (object = ipc_at(objects, kind, i)); i++)
        if (ipc_ask_for_guest(object, &data) == 0)
            add_object(object, &data, ret_text);
    return strbuf_status(ret_text);
}

/* A thread's IPC namespace is its own; nothing else happens on this one meanwhile. */
static int list_of_namespace(struct pk_request *request, const char *path, struct strbuf *ret_text)
{
    cleanup_close int ours = open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC);
    cleanup_close int theirs = -1;
    char name[64];
    int r;

    snprintf(name, sizeof(name), "/proc/%d/ns/ipc", request->task->tid);
    theirs = open(name, O_RDONLY | O_CLOEXEC);
    if (ours < 0 || theirs < 0 || setns(theirs, CLONE_NEWIPC) < 0)
        return -EACCES;
    snprintf(name, sizeof(name), "/proc/%s", path);
    r = io_read_file(AT_FDCWD, name, TABLE_MAX, ret_text);
    if (setns(ours, CLONE_NEWIPC) < 0 && r >= 0)
        r = -errno;
    return r < 0 ? r : 0;
}

int linux_proc_ipc(struct pk_request *request, const char *path, struct strbuf *ret_text)
{
    static const char *const names[] = {[IPC_SEGMENT] = "sysvipc/shm",
                                        [IPC_SEMAPHORES] = "sysvipc/sem",
                                        [IPC_QUEUE] = "sysvipc/msg"};

    if (request->kernel->config.ipc_isolated)
        return list_of_namespace(request, path, ret_text);
    for (size_t i = 0; i < array_length(names); i++)
        if (strcmp(names[i], path) == 0)
            return list_own(request, (enum ipc_kind)i, ret_text);
    return -ENOENT;
}
