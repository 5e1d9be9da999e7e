/*
 * The keeper of an attachment: the process that owns the listener of the filter in the target. It
 * denies, passes calls to the program that attached, or lets them pass; and goes on with the last
 * until no process carries the filter any more, whatever becomes of the program. `cerebro keep`,
 * started by attach/link.c.
 *
 * It talks on the channel (control/channel.h), listens for later attachments at its target's name,
 * and answers on the control channel (control/control.h): "attachment", "stats", "detach".
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* A denied call, for whoever keeps a record. */
struct keeper_denial {
    pid_t pid;
    int nr;
    int errnum; /* positive */
};

struct keeper_options {
    pid_t target;
    int channel;                                                    /* taken over */
    void (*denied)(void *user, const struct keeper_denial *denial); /* may be NULL */
    void *user;
};

/*
 * Keeps until the last process with the filter is gone. One thread. Returns 0, or a negative errno
 * when it could not begin (the channel has been told why).
 */
int keeper_run(const struct keeper_options *options);
