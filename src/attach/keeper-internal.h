/* For the inside of the keeper only. One thread; nothing here may wait but the poll of the loop. */
#pragma once

#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "attach/attach-internal.h"
#include "attach/keeper.h"
#include "base/map.h"
#include "base/strbuf.h"

struct control_server;

/* ---- keeper-loop.c ---- */

#define LOOP_MAX 64

struct loop_watch {
    void (*ready)(void *user, int fd);
    void *user;
};

struct loop {
    struct pollfd fds[LOOP_MAX]; /* fd -1: taken out, closed up after the round */
    struct loop_watch watches[LOOP_MAX];
    size_t count;
};

int loop_watch(struct loop *loop, int fd, void (*ready)(void *user, int fd), void *user);
void loop_unwatch(struct loop *loop, int fd);

/* Also calls `ready` when the descriptor takes more; or not any more. */
void loop_want_room(struct loop *loop, int fd, bool wants);

/* Waits for something and serves it. */
void loop_turn(struct loop *loop);

/* ---- the keeper ---- */

/* The last call of a thread that was passed to the program: answered or not, nobody says. */
struct held {
    struct channel_call call;
    bool unsent; /* the channel was full */
};

struct keeper {
    const struct keeper_options *options;
    pid_t target;
    int pidfd;
    int listener; /* -1: none yet */
    int channel;  /* of the program whose rules hold; -1: none */
    int starter;  /* the first channel, from which the listener comes */
    int audit;    /* came with CHANNEL_AUDIT from the next one; -1: nothing did */
    int door;     /* where later attachments connect; -1: closed */
    bool active;  /* rules hold */
    bool target_ended;
    bool unused; /* the last process with the filter is gone, or there never was one */
    struct channel_rules rules;
    uint64_t filtered[CHANNEL_NUMBERS / 64]; /* what the filter sends; never changes */
    struct rlimit former[CHANNEL_LIMIT_COUNT];
    bool limited[CHANNEL_LIMIT_COUNT];
    struct map held; /* tid -> struct held */
    unsigned unsent;
    uint64_t calls, passed, denials;
    uint64_t started_ns;
    struct loop loop;
    struct control_server *control;
};

/* ---- keeper-calls.c ---- */

/* Serves the listener. */
void keeper_on_listener(void *user, int fd);

/* Sends what the channel had no room for. */
void keeper_send_rest(struct keeper *keeper);

/* Lets every call pass that was given to the program. */
void keeper_continue_held(struct keeper *keeper);

/* ---- keeper-rules.c ---- */

/* Serves a channel: that of the program, or of one that would like to be it. */
void keeper_on_channel(void *user, int fd);

/* Has a denial recorded, and counts it; `nr` is -1 for a call of another architecture. */
void keeper_deny(struct keeper *keeper, pid_t pid, int nr, int errnum);

/*
 * Ends the rules: limits are put back, calls pass, the program is told. `by` is who asked for it;
 * 0: nobody.
 */
void keeper_detach(struct keeper *keeper, pid_t by);

/* Tells the program that the target has ended. */
void keeper_tell_end(struct keeper *keeper, int wait_status);

/* Adds what `cerebro ps` shows. */
int keeper_describe(void *user, const char *argument, struct strbuf *answer);
