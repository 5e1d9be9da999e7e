/* For exec.c and exec-plan.c only: how a program is found and planned. */
#pragma once

#include "core/exec.h"
#include "core/kernel.h"
#include "linux/linux-internal.h"

/* The circumstances of one exec. */
struct exec_request {
    struct pk_kernel *kernel;
    const struct vfs_actor *actor;
    struct vfs_place *root;
    struct vfs_place *cwd;
    const char *filename; /* as the program will know itself: AT_EXECFN, a script's name */
    bool comm_from_place; /* the file was given as a descriptor: it names the thread */
    int script_fd;        /* descriptor of the caller that `filename` goes through, or -1 */
    const char *reason;   /* out: a static sentence when the file is to blame, else NULL */
};

/*
 * Makes the plan that starts the program at this place. Returns 0 with a plan for the caller, or a
 * negative errno as execve(2) gives it. `opened` is what vfs_resolve_opened() gave, consumed in
 * every case.
 */
int exec_make_plan(struct exec_request *exec, struct vfs_place *program, int opened,
                   struct pk_exec_plan **ret_plan);
