/* Starting a guest: `cerebro run` with a channel to us. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/api-internal.h"
#include "api/paths.gen.h"
#include "base/cleanup.h"
#include "base/strbuf.h"

extern char **environ;

/* The program, as the user says, where it was installed, or where a shell would find it. */
const char *api_program_path(void)
{
    const char *path = getenv("CEREBRO");

    if (path && *path)
        return path;
    return access(API_CEREBRO_INSTALLED, X_OK) == 0 ? API_CEREBRO_INSTALLED : "cerebro";
}

PK_API int pk_init(void)
{
    const char *path = api_program_path();

    if (strchr(path, '/') == NULL || access(path, X_OK) == 0)
        return 0;
    return api_fail(errno, "set CEREBRO to the path of the cerebro program", "cannot run %s: %s",
                    path, strerror(errno));
}

/* A list of words that ends with NULL. */
struct words {
    const char **list;
    size_t count;
    bool failed;
};

static void add_word(struct words *words, const char *word)
{
    const char **list = reallocarray(words->list, words->count + 2, sizeof(*list));

    if (list == NULL) {
        words->failed = true;
        return;
    }
    words->list = list;
    list[words->count++] = word;
    list[words->count] = NULL;
}

static void intercepted_numbers(const process_kernel_t *kernel, struct strbuf *text)
{
    for (int nr = 0; nr < API_NUMBERS; nr++) {
        const struct api_handler *handler = &kernel->handlers[nr];

        if (handler->handler || handler->plain || handler->deny)
            strbuf_addf(text, "%s%d", text->length ? "," : "", nr);
    }
}

static int make_words(const process_kernel_t *kernel, const char *channel, const char *numbers,
                      char *const argv[], struct words *words)
{
    add_word(words, "cerebro");
    add_word(words, "run");
    add_word(words, "--channel");
    add_word(words, channel);
    if (*numbers) {
        add_word(words, "--intercept");
        add_word(words, numbers);
    }
    for (size_t i = 0; i < kernel->option_count; i++)
        add_word(words, kernel->options[i]);
    add_word(words, "--");
    for (size_t i = 0; argv[i]; i++)
        add_word(words, argv[i]);
    return words->failed ? -ENOMEM : 0;
}

/* posix_spawn() keeps a descriptor that is duplicated onto its own number open in the program. */
static int start(const char *const *words, int channel, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int r;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, channel, channel);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    r = posix_spawnp(ret_pid, api_program_path(), &actions, &attributes, (char *const *)words,
                     environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int launch(const process_kernel_t *kernel, int channel, char *const argv[], pid_t *ret_pid)
{
    cleanup_strbuf struct strbuf number = {0};
    cleanup_strbuf struct strbuf numbers = {0};
    struct words words = {0};
    int r;

    strbuf_addf(&number, "%d", channel);
    intercepted_numbers(kernel, &numbers);
    r = strbuf_status(&number) < 0 || strbuf_status(&numbers) < 0 ? -ENOMEM : 0;
    if (r == 0)
        r = make_words(kernel, strbuf_text(&number), strbuf_text(&numbers), argv, &words);
    if (r == 0)
        r = start(words.list, channel, ret_pid);
    free(words.list);
    if (r < 0)
        return api_fail(r, "set CEREBRO to the path of the cerebro program", "cannot start %s: %s",
                        api_program_path(), strerror(-r));
    return 0;
}

static int failed(pid_t front, const struct channel_message *message)
{
    struct base_error error = {.code = message->failed.code};
    int status = 0;

    while (waitpid(front, &status, 0) < 0 && errno == EINTR)
        ;
    if (message->type != CHANNEL_FAILED)
        return api_fail(EIO, "its reason is on the standard error stream",
                        "the kernel did not start (exit status %d)", WEXITSTATUS(status));
    memcpy(error.sentence, message->failed.sentence, sizeof(error.sentence) - 1);
    memcpy(error.hint, message->failed.hint, sizeof(error.hint) - 1);
    return api_take_error(&error);
}

/* A guest whose calls nobody would answer: with the channel's end it is ended. */
static int end_at_once(process_kernel_t *kernel, int code)
{
    pthread_mutex_lock(&kernel->lock);
    base_close(take_fd(&kernel->channel));
    pthread_mutex_unlock(&kernel->lock);
    while (waitpid(kernel->front, NULL, 0) < 0 && errno == EINTR)
        ;
    return api_fail(code, NULL, "cannot start a thread: %s", strerror(abs(code)));
}

/* Waits until the guest has started, or has not. */
static int await_start(process_kernel_t *kernel)
{
    struct channel_message message = {0};
    int sent = -1;
    int r;

    do {
        base_close(sent);
        r = channel_receive(kernel->channel, &message, &sent);
        if (r == 0 && message.type == CHANNEL_DENIAL)
            api_denial(kernel, &message);
    } while (r == 0 && message.type == CHANNEL_DENIAL);
    if (r < 0 || message.type != CHANNEL_STARTED || sent < 0) {
        base_close(sent);
        return failed(kernel->front, &message);
    }
    pthread_mutex_lock(&kernel->lock);
    kernel->listener = sent;
    kernel->guest = message.started.pid;
    kernel->supervisor = message.started.supervisor;
    pthread_mutex_unlock(&kernel->lock);
    return 0;
}

/* Threads of an earlier guest, but for hanging handlers, are gone before its channel is closed. */
int api_take_turn(process_kernel_t *kernel)
{
    pthread_mutex_lock(&kernel->lock);
    if (!kernel->running)
        api_await_threads(kernel);
    if (kernel->running) {
        pthread_mutex_unlock(&kernel->lock);
        return api_fail(EBUSY, "wait for it, or make another kernel", "kernel %s has a guest",
                        kernel->name);
    }
    if (kernel->receivers > 0 || kernel->has_watchdog) {
        pthread_mutex_unlock(&kernel->lock);
        return api_fail(EBUSY, "make another kernel",
                        "a handler of kernel %s has not returned since its last guest",
                        kernel->name);
    }
    base_close(take_fd(&kernel->channel));
    base_close(take_fd(&kernel->listener));
    kernel->running = true;
    kernel->attached = kernel->concluded = false;
    pthread_mutex_unlock(&kernel->lock);
    return 0;
}

void api_give_up(process_kernel_t *kernel)
{
    pthread_mutex_lock(&kernel->lock);
    base_close(take_fd(&kernel->channel));
    kernel->running = false;
    kernel->front = 0;
    pthread_cond_broadcast(&kernel->changed);
    pthread_mutex_unlock(&kernel->lock);
}

static int spawn(process_kernel_t *kernel, char *const argv[])
{
    cleanup_close int theirs = -1;
    int pair[2];
    pid_t front;
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return api_fail(errno, NULL, "cannot make a socket pair: %s", strerror(errno));
    theirs = pair[1];
    pthread_mutex_lock(&kernel->lock);
    kernel->channel = pair[0];
    pthread_mutex_unlock(&kernel->lock);
    r = launch(kernel, theirs, argv, &front);
    if (r < 0)
        return r;
    pthread_mutex_lock(&kernel->lock);
    kernel->front = front;
    pthread_mutex_unlock(&kernel->lock);
    base_close(take_fd(&theirs));
    r = await_start(kernel);
    if (r < 0)
        return r;
    api_tell(kernel, PK_EVENT_STARTED, 0, 0, "");
    r = api_start_threads(kernel);
    return r < 0 ? end_at_once(kernel, r) : 0;
}

PK_API pid_t pk_spawn(process_kernel_t *kernel, char *const argv[])
{
    int r;

    if (argv == NULL || argv[0] == NULL)
        return api_fail(EINVAL, NULL, "pk_spawn() needs a program");
    r = api_take_turn(kernel);
    if (r < 0)
        return r;
    r = spawn(kernel, argv);
    if (r < 0) {
        api_give_up(kernel);
        return r;
    }
    return kernel->guest;
}

PK_API int pk_signal(process_kernel_t *kernel, int number)
{
    struct channel_message message = {.type = CHANNEL_SIGNAL, .number = number};
    int r = -ESRCH;

    if (number < 0 || number > SIGRTMAX)
        return api_fail(EINVAL, NULL, "there is no signal %d", number);
    pthread_mutex_lock(&kernel->lock);
    if (kernel->running)
        r = channel_send(kernel->channel, &message, sizeof(message.number), -1);
    pthread_mutex_unlock(&kernel->lock);
    if (r == -EPIPE || r == -EBADF || r == -ESRCH)
        return api_fail(ESRCH, "start one with pk_spawn()", "kernel %s has no guest", kernel->name);
    return r;
}

PK_API int pk_wait(process_kernel_t *kernel, int *ret_status)
{
    pthread_mutex_lock(&kernel->lock);
    if (kernel->guest == 0) {
        pthread_mutex_unlock(&kernel->lock);
        return api_fail(ESRCH, "start one with pk_spawn()", "kernel %s has no guest", kernel->name);
    }
    while (kernel->running)
        pthread_cond_wait(&kernel->changed, &kernel->lock);
    if (ret_status)
        *ret_status = kernel->wait_status;
    pthread_mutex_unlock(&kernel->lock);
    return 0;
}
