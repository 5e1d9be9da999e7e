/*
 * Shells' redirections into writable generated files: `echo 1 >/proc/sys/...` opens the file, which
 * gives a number in the window, and duplicates it to 1, where writes are native and not seen.
 *
 * So the number below the window gets the end of a pipe. What is written lies in the pipe until the
 * guest makes its next served call, before which it is handed to the file: nobody can look at the
 * file without a served call, so nobody sees that it comes late. (A child that is forked in between
 * has inherited what was before.) Its errors do come late: they are told to the user instead. A
 * program that fills the pipe gets EAGAIN.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vfs/descriptor-internal.h"

#define REDIRECTS_MAX 64

struct redirect {
    struct list node; /* on vfs.redirects */
    int pipe_fd;      /* owned; our end, which does not wait */
    struct vfs_generated generated;
    struct vfs_node *target; /* owned */
    pid_t pid;
    pid_t tid;
    struct pk_identity identity; /* of who made it */
    mode_t mask;
};

static void redirect_free(struct vfs *vfs, struct redirect *redirect)
{
    list_remove(&redirect->node);
    vfs->redirect_count--;
    base_close(redirect->pipe_fd);
    vfs_node_unref(redirect->target);
    free(redirect);
}

static int open_pipe(struct vfs_node *node, const struct vfs_generated *generated,
                     struct pk_request *request, int ends[2], struct redirect **ret_redirect)
{
    struct vfs_actor actor = actor_of_request(request);
    struct redirect *redirect = calloc(1, sizeof(*redirect));

    if (redirect == NULL)
        return -ENOMEM;
    /* O_DIRECT: each write is a packet, and so handed over whole. Nobody waits for a full pipe. */
    if (pipe2(ends, O_CLOEXEC | O_DIRECT | O_NONBLOCK) < 0) {
        free(redirect);
        return -errno;
    }
    *redirect = (struct redirect){.pipe_fd = ends[0],
                                  .generated = *generated,
                                  .target = vfs_node_ref(node),
                                  .pid = actor.pid,
                                  .tid = actor.tid,
                                  .identity = *actor.identity,
                                  .mask = actor.mask};
    *ret_redirect = redirect;
    return 0;
}

int vfs_redirect(struct vfs_node *node, const struct vfs_generated *generated,
                 struct pk_request *request)
{
    struct vfs *vfs = node->fs->vfs;
    struct redirect *redirect;
    int ends[2];
    int r;

    if (vfs->redirect_count >= REDIRECTS_MAX)
        return -EMFILE;
    r = open_pipe(node, generated, request, ends, &redirect);
    if (r < 0)
        return r;
    list_append(&vfs->redirects, &redirect->node);
    vfs->redirect_count++;
    return ends[1];
}

static void tell_of_failure(struct vfs *vfs, int error)
{
    pk_report_late(vfs->kernel, error, "the program was told that its write had worked",
                   "write with tee or sysctl -w, which see errors", "write to a file of /proc");
}

/* Returns whether there may be more. */
static bool hand_over(struct vfs *vfs, struct redirect *redirect)
{
    struct vfs_actor actor = {.pid = redirect->pid,
                              .tid = redirect->tid,
                              .identity = &redirect->identity,
                              .mask = redirect->mask};
    char text[PIPE_BUF + 1];
    ssize_t length = read(redirect->pipe_fd, text, PIPE_BUF);
    int r;

    if (length <= 0) {
        if (length == 0) /* all copies of the other end are closed */
            redirect_free(vfs, redirect);
        return false;
    }
    text[length] = '\0';
    r = redirect->generated.store(redirect->target, &actor, redirect->generated.cookie, text,
                                  (size_t)length);
    if (r < 0)
        tell_of_failure(vfs, r);
    return true;
}

void vfs_settle(struct vfs *vfs)
{
    struct redirect *redirect;
    struct redirect *next;

    list_for_each_safe(redirect, next, &vfs->redirects, node) while (hand_over(vfs, redirect));
}

void vfs_redirects_free(struct vfs *vfs)
{
    struct redirect *redirect;
    struct redirect *next;

    list_for_each_safe(redirect, next, &vfs->redirects, node) redirect_free(vfs, redirect);
}
