/* POSIX message queues. */
#define FAMILY "mqueue"
#include "conform.h"

#include <mqueue.h>

static char name[32];

static mqd_t queue(int flags, long messages)
{
    struct mq_attr attributes = {.mq_maxmsg = messages, .mq_msgsize = 16};
    mqd_t fd;

    snprintf(name, sizeof(name), "/conform-%d", getpid());
    fd = mq_open(name, O_RDWR | O_CREAT | O_EXCL | flags, 0600, &attributes);
    if (fd < 0 && errno == ENOSYS)
        skip("no message queues here");
    ok(fd);
    return fd;
}

/* A queue without a name. */
static mqd_t nameless(int flags, long messages)
{
    mqd_t fd = queue(flags, messages);

    ok(mq_unlink(name));
    return fd;
}

REFUSED(missing, "mq_open(3) ENOENT", mq_open("/conform-no", O_RDWR), ENOENT)
REFUSED(no_name, "mq_open(3) ENOENT", mq_open("/", O_RDWR), ENOENT)
REFUSED(slash_inside, "mq_open(3) EACCES", mq_open("/a/b", O_RDWR), EACCES)
REFUSED(unlink_missing, "mq_unlink(3) ENOENT", mq_unlink("/conform-no"), ENOENT)
REFUSED(bad_size, "mq_open(3) EINVAL",
        mq_open("/conform-bad", O_RDWR | O_CREAT, 0600, &(struct mq_attr){.mq_maxmsg = -1}), EINVAL)
REFUSED(send_bad, "mq_send(3) EBADF", mq_send(0, "x", 1, 0), EBADF)

CHECK(exclusive, "mq_open(3) EEXIST")
{
    queue(0, 2);
    must(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL) < 0);
    is(errno, EEXIST);
    ok(mq_open(name, O_RDONLY));
    ok(mq_unlink(name));
    fails(mq_unlink(name), ENOENT);
}

CHECK(priorities, "mq_receive(3): highest priority first, oldest first")
{
    mqd_t fd = nameless(0, 4);
    unsigned priority;
    char text[17] = "";

    ok(mq_send(fd, "low", 4, 1));
    ok(mq_send(fd, "high", 5, 9));
    ok(mq_send(fd, "low2", 5, 1));
    is(mq_receive(fd, text, 16, &priority), 5);
    same(text, "high");
    is(priority, 9);
    is(mq_receive(fd, text, 16, &priority), 4);
    is(mq_receive(fd, text, 16, &priority), 5);
    same(text, "low2");
}

CHECK(limits, "mq_send(3) EAGAIN, EMSGSIZE, EINVAL; mq_receive(3) EMSGSIZE")
{
    mqd_t fd = nameless(O_NONBLOCK, 1);
    char text[17];

    fails(mq_receive(fd, text, 16, NULL), EAGAIN);
    fails(mq_send(fd, "12345678901234567", 17, 0), EMSGSIZE);
    fails(mq_send(fd, "x", 1, 40000), EINVAL);
    ok(mq_send(fd, "x", 1, 0));
    fails(mq_send(fd, "x", 1, 0), EAGAIN);
    fails(mq_receive(fd, text, 15, NULL), EMSGSIZE);
}

CHECK(access_mode, "mq_send(3) EBADF: opened for reading")
{
    mqd_t fd;

    queue(0, 1);
    fd = (mqd_t)ok(mq_open(name, O_RDONLY));
    fails(mq_send(fd, "x", 1, 0), EBADF);
    fd = (mqd_t)ok(mq_open(name, O_WRONLY));
    fails(mq_receive(fd, (char[16]){0}, 16, NULL), EBADF);
    ok(mq_unlink(name));
}

CHECK(attributes, "mq_getattr(3), mq_setattr(3)")
{
    struct mq_attr attributes;
    mqd_t fd = nameless(0, 3);

    ok(mq_send(fd, "x", 1, 0));
    ok(mq_getattr(fd, &attributes));
    is(attributes.mq_maxmsg, 3);
    is(attributes.mq_msgsize, 16);
    is(attributes.mq_curmsgs, 1);
    attributes.mq_flags = O_NONBLOCK;
    ok(mq_setattr(fd, &attributes, NULL));
    ok(mq_getattr(fd, &attributes));
    is(attributes.mq_flags, O_NONBLOCK);
}

CHECK(times_out, "mq_timedreceive(3) ETIMEDOUT, EINVAL")
{
    struct timespec end = {1, 0};
    mqd_t fd = nameless(0, 1);
    char text[16];

    fails(mq_timedreceive(fd, text, 16, NULL, &end), ETIMEDOUT);
    end.tv_nsec = -1;
    fails(mq_timedreceive(fd, text, 16, NULL, &end), EINVAL);
}

CHECK(interrupted, "mq_receive(3) EINTR")
{
    mqd_t fd = nameless(0, 1);

    ticking(0);
    fails(mq_receive(fd, (char[16]){0}, 16, NULL), EINTR);
}

CHECK(waits_for_a_message, "mq_receive(3): blocks until one comes")
{
    mqd_t fd = nameless(0, 1);
    char text[16];
    pid_t pid = spawn();

    if (pid == 0) {
        nap(3);
        ok(mq_send(fd, "late", 5, 0));
        _exit(0);
    }
    is(mq_receive(fd, text, 16, NULL), 5);
    joins(pid);
}

CHECK(notification, "mq_notify(3): a signal, once; EBUSY")
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    mqd_t fd = nameless(0, 2);

    handle(SIGUSR1, count_signal, SA_RESTART);
    ok(mq_notify(fd, &event));
    fails(mq_notify(fd, &event), EBUSY);
    ok(mq_send(fd, "x", 1, 0));
    for (int i = 0; i < 200 && !ticks; i++)
        nap(1);
    is(ticks, 1);
    ok(mq_notify(fd, NULL));
}

CHECK(is_a_descriptor, "mq_overview(7): poll")
{
    mqd_t fd = nameless(0, 1);
    struct pollfd poll_ = {fd, POLLIN | POLLOUT, 0};

    is(poll(&poll_, 1, 0), 1);
    is(poll_.revents, POLLOUT);
    ok(mq_send(fd, "x", 1, 0));
    is(poll(&poll_, 1, 0), 1);
    is(poll_.revents, POLLIN);
}

CHECK(permission, "mq_open(3) EACCES")
{
    as_root();
    queue(0, 1);
    IN_CHILD
    {
        as_user();
        must(mq_open(name, O_RDONLY) < 0);
        is(errno, EACCES);
        fails(mq_unlink(name), EACCES);
    }
    ok(mq_unlink(name));
}
