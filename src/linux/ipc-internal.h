/* What the files of the IPC family share (ipc.c, ipc-control.c, ipc-mqueue.c). */
#pragma once

#include "linux/ipc.h"
#include "linux/linux-internal.h"

#define IPC_MAY_READ    0444U
#define IPC_MAY_WRITE   0222U
#define IPC_MAY_EXECUTE 0111U

/* ---- ipc.c ---- */

struct ipc_objects *ipc_objects_of(struct pk_request *request);

/* True when the caller may change and remove the object: its owner, its creator, or root. */
bool ipc_owned(const struct pk_request *request, const struct ipc_owner *owner);

/* 0 when the caller has these rights (IPC_MAY_...), else -EACCES. */
int ipc_permits(const struct pk_request *request, const struct ipc_owner *owner, unsigned wanted);

/* What the caller makes belongs to him. */
struct ipc_owner ipc_owner_of(const struct pk_request *request, unsigned mode);

/* ---- ipc-control.c ---- */

struct pk_answer ipc_do_shmctl(struct pk_request *request);
struct pk_answer ipc_do_semctl(struct pk_request *request);
struct pk_answer ipc_do_msgctl(struct pk_request *request);

/* ipc_ask() with owners, key and times as the guest is to see them. */
int ipc_ask_for_guest(const struct ipc_object *object, union ipc_data *ret_data);

/* ---- ipc-mqueue.c ---- */

/* POSIX message queues. NULL: no memory; freeing takes NULL and closes them all. */
struct ipc_mqueues *ipc_mqueues_new(const char token[17]);
void ipc_mqueues_free(struct ipc_mqueues *queues);

struct pk_answer ipc_do_mq_open(struct pk_request *request);
struct pk_answer ipc_do_mq_unlink(struct pk_request *request);
