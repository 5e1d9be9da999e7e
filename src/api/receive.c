/*
 * The threads of a kernel that has a guest.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/api-internal.h"
#include "base/cleanup.h"
#include "base/io.h"

#define NS_PER_MS 1000000ULL

static int start_thread(void *(*entry)(void *), process_kernel_t *kernel)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t old;
    int r;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* The program's signals go to the program's threads; a fault that is blocked would kill. */
    sigfillset(&all);
    for (size_t i = 0; i < array_length(api_faults); i++)
        sigdelset(&all, api_faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    atomic_fetch_add(&kernel->references, 1);
    r = pthread_create(&thread, &attributes, entry, kernel);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (r)
        api_unref(kernel);
    return -r;
}

void api_denial(process_kernel_t *kernel, const struct channel_message *message)
{
    char text[CHANNEL_TEXT_MAX + 1];
    size_t lines = 0;

    memcpy(text, message->text, sizeof(message->text));
    text[sizeof(text) - 1] = '\0';
    for (size_t i = 0; i < sizeof(text) - 1 && lines < 2; i++)
        if (text[i] == '\0') {
            text[i] = '\n';
            lines++;
        }
    api_tell(kernel, PK_EVENT_DENIAL, 0, 0, text);
}

static struct pk_call *new_call(process_kernel_t *kernel, const struct channel_call *request)
{
    struct pk_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return NULL;
    call->kernel = kernel;
    call->request = *request;
    list_init(&call->node);
    atomic_fetch_add(&kernel->references, 1);
    return call;
}

static void *receiver(void *argument);

/* Before this thread leaves the waiting: somebody has to wait for the next message. */
static void find_successor(process_kernel_t *kernel)
{
    kernel->idle--;
    if (kernel->idle > 0 || kernel->receivers >= API_RECEIVERS_MAX)
        return;
    if (start_thread(receiver, kernel) == 0) {
        kernel->receivers++;
        kernel->idle++;
    }
}

static void serve_call(process_kernel_t *kernel, const struct channel_message *message)
{
    struct pk_call *call = new_call(kernel, &message->call);

    if (call == NULL || message->call.nr < 0 || message->call.nr >= API_NUMBERS) {
        free(call);
        return;
    }
    pthread_mutex_lock(&kernel->lock);
    find_successor(kernel);
    if (kernel->timeout_ms)
        call->deadline_ns = io_now_ns() + kernel->timeout_ms * NS_PER_MS;
    if (list_is_empty(&kernel->calls) && call->deadline_ns)
        pthread_cond_broadcast(&kernel->changed);
    list_append(&kernel->calls, &call->node);
    pthread_mutex_unlock(&kernel->lock);
    api_handle(call);
    pthread_mutex_lock(&kernel->lock);
    kernel->idle++;
    pthread_mutex_unlock(&kernel->lock);
}

/* The guest has ended, or its kernel has: once for each guest. */
static void conclude(process_kernel_t *kernel, const struct channel_message *ended)
{
    int status = ended ? ended->ended.wait_status : SIGKILL;
    pid_t front;

    pthread_mutex_lock(&kernel->lock);
    front = kernel->running ? kernel->front : 0;
    kernel->front = 0;
    pthread_mutex_unlock(&kernel->lock);
    if (front == 0)
        return;
    while (waitpid(front, NULL, 0) < 0 && errno == EINTR)
        ;
    api_tell(kernel, PK_EVENT_ENDED, 0, status, "");
    pthread_mutex_lock(&kernel->lock);
    kernel->wait_status = status;
    kernel->running = false;
    pthread_cond_broadcast(&kernel->changed);
    pthread_mutex_unlock(&kernel->lock);
}

/* Returns false when there is nothing more to come. */
static bool receive_one(process_kernel_t *kernel)
{
    struct channel_message message;
    int sent = -1;
    int r = channel_receive(kernel->channel, &message, &sent);

    if (r == -EPROTO)
        return true;
    if (r < 0) {
        conclude(kernel, NULL);
        return false;
    }
    base_close(sent);
    if (message.type == CHANNEL_CALL)
        serve_call(kernel, &message);
    else if (message.type == CHANNEL_DENIAL)
        api_denial(kernel, &message);
    else if (message.type == CHANNEL_ENDED)
        conclude(kernel, &message);
    return true;
}

static void *receiver(void *argument)
{
    process_kernel_t *kernel = argument;
    void *stack = NULL;
    bool fenced = api_fence_enter(&stack) == 0;

    while (receive_one(kernel))
        ;
    pthread_mutex_lock(&kernel->lock);
    kernel->idle--;
    kernel->receivers--;
    pthread_cond_broadcast(&kernel->changed);
    pthread_mutex_unlock(&kernel->lock);
    if (fenced)
        api_fence_leave(stack);
    api_unref(kernel);
    return NULL;
}

static void wait_until(process_kernel_t *kernel, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000ULL),
                             .tv_nsec = (long)(deadline_ns % 1000000000ULL)};

    pthread_cond_clockwait(&kernel->changed, &kernel->lock, CLOCK_MONOTONIC, &until);
}

/* The list is in the order of arrival, so the first is due first. */
static void look_at_first(process_kernel_t *kernel)
{
    struct pk_call *call = list_entry(kernel->calls.next, struct pk_call, node);
    int nr = call->request.nr;

    if (call->deadline_ns > io_now_ns()) {
        wait_until(kernel, call->deadline_ns);
        return;
    }
    /* Its handler still has it; it is only not looked after any more. */
    list_remove(&call->node);
    api_answer(call, -ETIMEDOUT);
    atomic_fetch_add(&kernel->errors, 1);
    pthread_mutex_unlock(&kernel->lock);
    api_tell(kernel, PK_EVENT_TIMEOUT, nr, 0, "");
    pthread_mutex_lock(&kernel->lock);
}

static void *watchdog(void *argument)
{
    process_kernel_t *kernel = argument;

    pthread_mutex_lock(&kernel->lock);
    while (kernel->running)
        if (list_is_empty(&kernel->calls))
            pthread_cond_wait(&kernel->changed, &kernel->lock);
        else
            look_at_first(kernel);
    kernel->has_watchdog = false;
    pthread_cond_broadcast(&kernel->changed);
    pthread_mutex_unlock(&kernel->lock);
    api_unref(kernel);
    return NULL;
}

int api_start_threads(process_kernel_t *kernel)
{
    int r;

    api_fence_install();
    kernel->receivers = 1;
    kernel->idle = 1;
    r = start_thread(receiver, kernel);
    if (r < 0) {
        kernel->receivers = kernel->idle = 0;
        return r;
    }
    if (kernel->timeout_ms && start_thread(watchdog, kernel) == 0)
        kernel->has_watchdog = true;
    return 0;
}
