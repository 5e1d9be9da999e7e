/*
 * The keeper of an attachment: the process that owns the listener of the filter in the target. It
 * denies, passes calls to the program that attached, or lets them pass; and goes on with the last
 * until no process carries the filter any more, whatever becomes of the program. `cerebro keep`,
 * started by attach/link.c.
 *
 * It talks on the channel (control/channel.h), listens for later attachments at its target's name,
 * and answers on the control channel (control/control.h): "attachment", "stats", "measure",
 * "detach".
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Something that whoever answers for the machine wants to read later. */
struct keeper_record {
    const char *event; /* "attach", "policy", "denied", "control", "detach" */
    const char *what;  /* "policy": the rules, as words; "control": "signal 15 to 4711"; else "" */
    pid_t pid;         /* of the thread that was denied something, or the target */
    pid_t by;          /* who asked for it, by the number on the host; 0: nobody */
    int nr;            /* the denied call; -1: of another architecture, or none */
    int errnum;        /* positive; 0 */
};

struct keeper_options {
    pid_t target;
    int channel; /* taken over */
    /*
     * Where records go. `log` says whose: a descriptor that comes with new rules (taken over), or
     * -1 with rules that name none. Both may be NULL; neither may wait.
     */
    void (*log)(void *user, int fd);
    void (*record)(void *user, const struct keeper_record *record);
    void *user;
};

/*
 * Keeps until the last process with the filter is gone. One thread. Returns 0, or a negative errno
 * when it could not begin (the channel has been told why).
 */
int keeper_run(const struct keeper_options *options);
