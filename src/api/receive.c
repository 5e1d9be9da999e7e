/*
 * The threads of a kernel that has a guest.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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
    /* A guest may have put newlines into a name, and must not write the other lines. */
    for (size_t i = 0; i < sizeof(text) - 1 && lines < 2; i++)
        if (text[i] == '\n') {
            text[i] = '?';
        } else if (text[i] == '\0') {
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
    list_init(&call->queued);
    atomic_init(&call->references, 2);
    atomic_fetch_add(&kernel->references, 1);
    return call;
}

/*
 * Where a receiver waits. The guest and its kernel work on one CPU as long as they take turns
 * (trap/placement.h); a receiver takes its turn there, too, since a wake-up on another CPU costs
 * more than all the rest of a call. It is held there only while it waits: a handler, and threads
 * that it starts, have all CPUs. Where handlers take long the next calls are better off elsewhere.
 */
struct post {
    cpu_set_t anywhere;
    int next_cpu; /* -1: anywhere */
    bool held;
};

#define SHORT_NS 50000

static void take_post(struct post *post)
{
    cpu_set_t one;

    if (post->next_cpu < 0 || post->next_cpu >= CPU_SETSIZE)
        return;
    CPU_ZERO(&one);
    CPU_SET(post->next_cpu, &one);
    post->held = sched_setaffinity(0, sizeof(one), &one) == 0;
}

static void leave_post(struct post *post)
{
    if (post->held)
        sched_setaffinity(0, sizeof(post->anywhere), &post->anywhere);
    post->held = false;
}

static void *receiver(void *argument);

/*
 * Before this thread leaves the waiting: somebody has to wait for the next message. False: nobody
 * can, and somebody who runs a handler will see to the queue.
 */
static bool find_successor(process_kernel_t *kernel)
{
    if (kernel->idle > 1) {
        kernel->idle--;
        return true;
    }
    if (kernel->receivers < API_RECEIVERS_MAX && start_thread(receiver, kernel) == 0) {
        kernel->receivers++;
        return true;
    }
    if (kernel->receivers > 1)
        return false;
    kernel->idle--;
    return true;
}

/* Has the watchdog look after the call. */
static void note_call(process_kernel_t *kernel, struct pk_call *call)
{
    if (kernel->timeout_ms)
        call->deadline_ns = io_now_ns() + kernel->timeout_ms * NS_PER_MS;
    if (kernel->watchdog_idle && call->deadline_ns)
        pthread_cond_broadcast(&kernel->changed);
    list_append(&kernel->calls, &call->node);
}

/* False when this thread goes on waiting. */
static bool begin_call(process_kernel_t *kernel, struct pk_call *call)
{
    bool runs;

    pthread_mutex_lock(&kernel->lock);
    note_call(kernel, call);
    runs = find_successor(kernel);
    if (!runs)
        list_append(&kernel->queue, &call->queued);
    pthread_mutex_unlock(&kernel->lock);
    return runs;
}

static struct pk_call *first_queued(process_kernel_t *kernel)
{
    struct pk_call *call;

    if (list_is_empty(&kernel->queue))
        return NULL;
    call = list_entry(kernel->queue.next, struct pk_call, queued);
    list_remove(&call->queued);
    return call;
}

/* The next call of the queue, or NULL: then this thread waits for messages again. */
static struct pk_call *end_call(process_kernel_t *kernel)
{
    struct pk_call *next;

    pthread_mutex_lock(&kernel->lock);
    next = first_queued(kernel);
    kernel->idle += next == NULL;
    pthread_mutex_unlock(&kernel->lock);
    return next;
}

static void serve_call(process_kernel_t *kernel, struct post *post,
                       const struct channel_message *message)
{
    uint64_t start = io_now_ns();
    struct pk_call *call;

    if (message->call.nr < 0 || message->call.nr >= API_NUMBERS)
        return;
    call = new_call(kernel, &message->call);
    if (call == NULL) {
        struct pk_call lost = {.kernel = kernel, .request = message->call};

        api_answer(&lost, -ENOMEM);
        return;
    }
    if (!begin_call(kernel, call))
        return;
    api_handle(call);
    post->next_cpu = io_now_ns() - start < SHORT_NS ? message->call.cpu : -1;
    while ((call = end_call(kernel)))
        api_handle(call);
}

/* What is known of how it ended; -1: nothing. */
static int status_of(const process_kernel_t *kernel, const struct channel_message *last)
{
    if (last && last->type == CHANNEL_ENDED)
        return last->ended.wait_status;
    return kernel->attached ? -1 : SIGKILL;
}

static void reap(pid_t front)
{
    while (front > 0 && waitpid(front, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* The guest waits for no answer any more, so no handler is asked. */
static void drop_queue(process_kernel_t *kernel)
{
    struct pk_call *call;

    pthread_mutex_lock(&kernel->lock);
    while ((call = first_queued(kernel))) {
        list_remove(&call->node);
        api_drop(call, -EIO);
    }
    pthread_mutex_unlock(&kernel->lock);
}

/* The guest has ended or was left alone, or its kernel has ended: once for each guest. */
static void conclude(process_kernel_t *kernel, const struct channel_message *last)
{
    bool ended = !kernel->attached || (last && last->type == CHANNEL_ENDED);
    int status = status_of(kernel, last);
    pid_t front;
    bool late;

    pthread_mutex_lock(&kernel->lock);
    late = kernel->concluded || !kernel->running;
    kernel->concluded = true;
    front = kernel->front;
    kernel->front = 0;
    pthread_mutex_unlock(&kernel->lock);
    if (late)
        return;
    /* Other receivers wait in vain, even if a child of the program has a copy of the other end. */
    shutdown(kernel->channel, SHUT_RD);
    drop_queue(kernel);
    reap(front);
    api_tell(kernel, ended ? PK_EVENT_ENDED : PK_EVENT_DETACHED, 0, status, "");
    pthread_mutex_lock(&kernel->lock);
    kernel->wait_status = status;
    kernel->running = false;
    pthread_cond_broadcast(&kernel->changed);
    pthread_mutex_unlock(&kernel->lock);
}

/*
 * The end of the channel says nothing yet while another receiver may still hold the last message,
 * which says how the guest ended.
 */
static bool is_last_at_end(process_kernel_t *kernel)
{
    bool last;

    pthread_mutex_lock(&kernel->lock);
    last = ++kernel->at_end == kernel->idle;
    pthread_mutex_unlock(&kernel->lock);
    return last;
}

/* Returns false when there is nothing more to come. */
static bool receive_one(process_kernel_t *kernel, struct post *post)
{
    struct channel_message message;
    int sent = -1;
    int r;

    take_post(post);
    r = channel_receive(kernel->channel, &message, &sent);
    leave_post(post);
    if (r == -EPROTO)
        return true;
    if (r < 0) {
        if (is_last_at_end(kernel))
            conclude(kernel, NULL);
        return false;
    }
    base_close(sent);
    if (message.type == CHANNEL_CALL)
        serve_call(kernel, post, &message);
    else if (message.type == CHANNEL_DENIAL)
        api_denial(kernel, &message);
    else if (message.type == CHANNEL_ENDED || message.type == CHANNEL_DETACHED)
        conclude(kernel, &message);
    return true;
}

static void *receiver(void *argument)
{
    process_kernel_t *kernel = argument;
    void *stack = NULL;
    bool fenced = api_fence_enter(&stack) == 0;
    struct post post = {.next_cpu = -1};

    sched_getaffinity(0, sizeof(post.anywhere), &post.anywhere);
    while (receive_one(kernel, &post))
        ;
    pthread_mutex_lock(&kernel->lock);
    kernel->idle--;
    kernel->at_end--;
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

/*
 * The list is in the order of arrival, so the first is due first, and nothing that arrives while it
 * is waited for is due before: a call wakes nobody but its handler.
 */
static void look_at_first(process_kernel_t *kernel)
{
    struct pk_call *call = list_entry(kernel->calls.next, struct pk_call, node);
    int nr = call->request.nr;

    if (call->deadline_ns > io_now_ns()) {
        wait_until(kernel, call->deadline_ns);
        return;
    }
    list_remove(&call->node);
    if (!list_is_empty(&call->queued)) {
        list_remove(&call->queued);
        api_drop(call, -ETIMEDOUT);
    } else {
        /* Its handler still has it; it is only not looked after any more. */
        api_answer(call, -ETIMEDOUT);
        call->late = true;
        kernel->late++;
    }
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
        if (list_is_empty(&kernel->calls)) {
            kernel->watchdog_idle = true;
            pthread_cond_wait(&kernel->changed, &kernel->lock);
            kernel->watchdog_idle = false;
        } else {
            look_at_first(kernel);
        }
    kernel->has_watchdog = false;
    pthread_cond_broadcast(&kernel->changed);
    pthread_mutex_unlock(&kernel->lock);
    api_unref(kernel);
    return NULL;
}

void api_await_threads(process_kernel_t *kernel)
{
    unsigned patience = kernel->timeout_ms ? kernel->timeout_ms : API_TIMEOUT_DEFAULT;
    uint64_t deadline = io_now_ns() + patience * NS_PER_MS;

    while ((kernel->receivers > kernel->late || kernel->has_watchdog) && io_now_ns() < deadline)
        wait_until(kernel, deadline);
}

/* Who is asked reads at once, but may be behind with many calls. */
void api_ask_to_stop(const process_kernel_t *kernel)
{
    struct channel_message stop = {.type = CHANNEL_STOP};
    struct timespec nap = {.tv_nsec = NS_PER_MS};

    while (channel_send(kernel->channel, &stop, 0, -1) == -EAGAIN)
        nanosleep(&nap, NULL);
}

/* With the lock: the guest, and with it these threads, may end before they are counted. */
int api_start_threads(process_kernel_t *kernel)
{
    int r;

    api_fence_install();
    pthread_mutex_lock(&kernel->lock);
    r = start_thread(receiver, kernel);
    kernel->receivers = kernel->idle = r == 0;
    if (r == 0 && kernel->timeout_ms)
        kernel->has_watchdog = start_thread(watchdog, kernel) == 0;
    pthread_mutex_unlock(&kernel->lock);
    return r;
}
