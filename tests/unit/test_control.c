/*
 * The control channel, both sides in one process: the server in a loop of our own.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "control/control.h"

#define FDS 32

struct loop {
    struct pollfd fds[FDS];
    void (*ready[FDS])(void *user, int fd);
    void *users[FDS];
    unsigned count;
    atomic_bool stop;
    struct control_server *server;
    pthread_t thread;
};

static int watch(void *user, int fd, void (*ready)(void *ready_user, int fd), void *ready_user)
{
    struct loop *loop = user;

    loop->fds[loop->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    loop->ready[loop->count] = ready;
    loop->users[loop->count++] = ready_user;
    return 0;
}

static void unwatch(void *user, int fd)
{
    struct loop *loop = user;

    for (unsigned i = 0; i < loop->count; i++)
        if (loop->fds[i].fd == fd)
            loop->fds[i].fd = -1;
}

static void *turn(void *argument)
{
    struct loop *loop = argument;

    while (!atomic_load(&loop->stop)) {
        unsigned count = loop->count;

        poll(loop->fds, count, 5);
        for (unsigned i = 0; i < count; i++)
            if (loop->fds[i].fd >= 0 && loop->fds[i].revents)
                loop->ready[i](loop->users[i], loop->fds[i].fd);
    }
    return NULL;
}

static int echo(void *user, const char *argument, struct strbuf *answer)
{
    assert_ptr_equal(user, &echo);
    strbuf_add_string(answer, argument);
    return 0;
}

static int large(void *user, const char *argument, struct strbuf *answer)
{
    (void)user;
    (void)argument;
    for (int i = 0; i < 300000; i++)
        strbuf_addf(answer, "%d,", i % 10);
    return 0;
}

static int refuse(void *user, const char *argument, struct strbuf *answer)
{
    (void)user;
    (void)argument;
    strbuf_add_string(answer, "not on a Friday");
    return -EPERM;
}

static int set_up(void **state)
{
    static struct loop loop;
    struct control_loop door = {.watch = watch, .unwatch = unwatch, .user = &loop};

    memset(&loop, 0, sizeof(loop));
    assert_int_equal(control_server_new(&door, &loop.server), 0);
    assert_int_equal(control_server_add(loop.server, "echo", echo, (void *)&echo), 0);
    assert_int_equal(control_server_add(loop.server, "large", large, NULL), 0);
    assert_int_equal(control_server_add(loop.server, "refuse", refuse, NULL), 0);
    assert_int_equal(pthread_create(&loop.thread, NULL, turn, &loop), 0);
    *state = &loop;
    return 0;
}

static int tear_down(void **state)
{
    struct loop *loop = *state;

    atomic_store(&loop->stop, true);
    pthread_join(loop->thread, NULL);
    control_server_free(loop->server);
    return 0;
}

static int client(void)
{
    struct base_error error = {0};
    int fd = -1;

    assert_int_equal(control_connect(getpid(), &fd, &error), 0);
    return fd;
}

static void test_answers(void **state)
{
    cleanup_close int fd = client();
    cleanup_strbuf struct strbuf text = {0};
    struct base_error error = {0};

    (void)state;
    assert_int_equal(control_ask(fd, "echo two words", &text, &error), 0);
    assert_string_equal(strbuf_text(&text), "two words");
    strbuf_free(&text);
    assert_int_equal(control_ask(fd, "echo", &text, &error), 0);
    assert_string_equal(strbuf_text(&text), "");
}

static void test_large_answer(void **state)
{
    cleanup_close int fd = client();
    cleanup_strbuf struct strbuf text = {0};
    struct base_error error = {0};

    (void)state;
    assert_int_equal(control_ask(fd, "large", &text, &error), 0);
    assert_int_equal(text.length, 600000);
    assert_memory_equal(text.data + text.length - 4, "8,9,", 4);
}

static void test_refusals_say_why(void **state)
{
    cleanup_close int fd = client();
    cleanup_strbuf struct strbuf text = {0};
    struct base_error error = {0};
    struct base_error unknown = {0};

    (void)state;
    assert_int_equal(control_ask(fd, "refuse", &text, &error), -EPERM);
    assert_string_equal(error.sentence, "not on a Friday");
    assert_int_equal(control_ask(fd, "dance", &text, &unknown), -ENOSYS);
    assert_non_null(strstr(unknown.sentence, "'dance'"));
    assert_int_equal(text.length, 0);
}

static void test_nobody_there(void **state)
{
    struct base_error error = {0};
    int fd = -7;

    (void)state;
    assert_int_equal(control_connect(1 << 30, &fd, &error), -ESRCH);
    assert_int_equal(fd, -7);
    assert_non_null(strstr(error.hint, "cerebro ps"));
}

/* A client that talks nonsense is cut off, and the others are served. */
static void test_nonsense(void **state)
{
    static const char *const messages[] = {"", "x", "stats", "0123456789abcdef",
                                           "0123456789abcdefghij"};
    cleanup_close int good = client();
    cleanup_strbuf struct strbuf text = {0};
    struct base_error error = {0};
    char byte;

    (void)state;
    for (size_t i = 0; i < array_length(messages); i++) {
        cleanup_close int bad = client();

        assert_true(send(bad, messages[i], strlen(messages[i]), MSG_NOSIGNAL) >= 0);
        assert_int_equal(recv(bad, &byte, 1, 0), 0);
    }
    assert_int_equal(control_ask(good, "echo fine", &text, &error), 0);
}

/* Who asks without waiting gets each answer in turn, and none before it is there. */
static void test_without_waiting(void **state)
{
    cleanup_close int fd = -1;
    cleanup_strbuf struct strbuf text = {0};
    struct base_error error = {0};
    struct pollfd ready = {.events = POLLIN};

    (void)state;
    assert_int_equal(control_connect_now(getpid(), &fd, &error), 0);
    assert_int_equal(control_take(fd, &text, &error), -EAGAIN);
    assert_int_equal(error.code, 0);
    assert_int_equal(control_begin(fd, "echo one"), 0);
    assert_int_equal(control_begin(fd, "refuse"), 0);
    ready.fd = fd;
    assert_int_equal(poll(&ready, 1, 10000), 1);
    assert_int_equal(control_take(fd, &text, &error), 0);
    assert_string_equal(strbuf_text(&text), "one");
    assert_int_equal(poll(&ready, 1, 10000), 1);
    assert_int_equal(control_take(fd, &text, &error), -EPERM);
    assert_string_equal(error.sentence, "not on a Friday");
    assert_int_equal(control_take(fd, &text, NULL), -EAGAIN);
}

static int who(void *user, const char *argument, struct strbuf *answer)
{
    struct loop *loop = user;

    (void)argument;
    strbuf_addf(answer, "%d", control_server_peer(loop->server));
    return 0;
}

static void test_who_asks(void **state)
{
    struct loop *loop = *state;
    cleanup_strbuf struct strbuf text = {0};
    char expected[16];
    int fd;

    assert_int_equal(control_server_peer(loop->server), 0);
    assert_int_equal(control_server_add(loop->server, "who", who, loop), 0);
    fd = client();
    assert_int_equal(control_ask(fd, "who", &text, NULL), 0);
    snprintf(expected, sizeof(expected), "%d", getpid());
    assert_string_equal(strbuf_text(&text), expected);
    close(fd);
}

static void test_too_many_clients(void **state)
{
    int fds[CONTROL_CLIENTS_MAX + 4];
    cleanup_strbuf struct strbuf text = {0};
    unsigned served = 0;

    (void)state;
    for (size_t i = 0; i < array_length(fds); i++)
        fds[i] = client();
    for (size_t i = 0; i < array_length(fds); i++) {
        struct base_error error = {0};

        served += control_ask(fds[i], "echo", &text, &error) == 0;
    }
    assert_int_equal(served, CONTROL_CLIENTS_MAX);
    for (size_t i = 0; i < array_length(fds); i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals_say_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_asks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_clients, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
