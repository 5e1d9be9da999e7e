/* Kernels: their making, what their guests may do, their end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "api/api-internal.h"
#include "base/cleanup.h"
#include "base/strbuf.h"
#include "control/control.h"

/* All kernels, for pk_shutdown(). */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all};

static void free_options(process_kernel_t *kernel)
{
    for (size_t i = 0; i < kernel->option_count; i++)
        free(kernel->options[i]);
    free(kernel->options);
}

void api_unref(process_kernel_t *kernel)
{
    if (atomic_fetch_sub(&kernel->references, 1) > 1)
        return;
    free_options(kernel);
    api_memory_unref(kernel->memory);
    base_close(kernel->channel);
    base_close(kernel->listener);
    pthread_cond_destroy(&kernel->changed);
    pthread_mutex_destroy(&kernel->lock);
    free(kernel);
}

PK_API process_kernel_t *pk_create(process_kernel_type_t type, const char *name)
{
    process_kernel_t *kernel;

    if (type != PK_TYPE_GENERIC && type != PK_TYPE_CUSTOM) {
        errno = type == PK_TYPE_WINDOWS ? ENOSYS : EINVAL;
        api_fail(errno, NULL, "there is no kernel of type %d", (int)type);
        return NULL;
    }
    kernel = calloc(1, sizeof(*kernel));
    if (kernel == NULL)
        return NULL;
    kernel->memory = api_memory_new();
    if (kernel->memory == NULL) {
        free(kernel);
        return NULL;
    }
    atomic_init(&kernel->references, 1);
    pthread_mutex_init(&kernel->lock, NULL);
    pthread_cond_init(&kernel->changed, NULL);
    kernel->type = type;
    kernel->channel = kernel->listener = -1;
    kernel->timeout_ms = API_TIMEOUT_DEFAULT;
    list_init(&kernel->calls);
    list_init(&kernel->queue);
    snprintf(kernel->name, sizeof(kernel->name), "%s", name ? name : "cerebro");
    pthread_mutex_lock(&all_lock);
    list_append(&all, &kernel->node);
    pthread_mutex_unlock(&all_lock);
    return kernel;
}

PK_API void pk_destroy(process_kernel_t *kernel)
{
    if (kernel == NULL)
        return;
    pthread_mutex_lock(&all_lock);
    list_remove(&kernel->node);
    pthread_mutex_unlock(&all_lock);
    pthread_mutex_lock(&kernel->lock);
    if (kernel->running)
        api_ask_to_stop(kernel);
    while (kernel->running)
        pthread_cond_wait(&kernel->changed, &kernel->lock);
    api_await_threads(kernel);
    kernel->on_event = NULL;
    pthread_mutex_unlock(&kernel->lock);
    api_unref(kernel);
}

/*
 * In a child: the threads and the guest are its parent's. A copy of a channel would keep the other
 * side believing that the parent lives.
 */
static void disown(process_kernel_t *kernel)
{
    base_close(take_fd(&kernel->channel));
    base_close(take_fd(&kernel->listener));
    pthread_mutex_init(&kernel->lock, NULL);
    pthread_cond_init(&kernel->changed, NULL);
    kernel->running = kernel->has_watchdog = false;
    kernel->receivers = kernel->idle = kernel->at_end = kernel->late = 0;
    kernel->guest = kernel->front = 0;
}

/*
 * With the list's lock, so that the child finds the list whole: the function that it runs may leave
 * with exit(3), and so call the program's pk_shutdown().
 */
pid_t api_fork(void)
{
    process_kernel_t *kernel;
    pid_t pid;

    pthread_mutex_lock(&all_lock);
    pid = fork();
    if (pid == 0)
        list_for_each(kernel, &all, node) disown(kernel);
    pthread_mutex_unlock(&all_lock);
    return pid;
}

/* All guests at once: the handlers of one kernel may hang while those of the next run out of time.
 */
static void stop_all(void)
{
    process_kernel_t *kernel;

    pthread_mutex_lock(&all_lock);
    list_for_each(kernel, &all, node)
    {
        pthread_mutex_lock(&kernel->lock);
        if (kernel->running)
            api_ask_to_stop(kernel);
        pthread_mutex_unlock(&kernel->lock);
    }
    pthread_mutex_unlock(&all_lock);
}

PK_API void pk_shutdown(void)
{
    stop_all();
    for (;;) {
        process_kernel_t *kernel = NULL;

        pthread_mutex_lock(&all_lock);
        if (!list_is_empty(&all))
            kernel = list_entry(all.next, process_kernel_t, node);
        pthread_mutex_unlock(&all_lock);
        if (kernel == NULL)
            return;
        pk_destroy(kernel);
    }
}

PK_API void pk_set_private(process_kernel_t *kernel, void *private_data)
{
    atomic_store(&kernel->private_data, private_data);
}

PK_API void *pk_get_private(const process_kernel_t *kernel)
{
    return atomic_load(&((process_kernel_t *)kernel)->private_data);
}

void api_tell(process_kernel_t *kernel, pk_event_type_t type, int nr, int status, const char *text)
{
    pk_event_t event = {
        .size = sizeof(event), .type = type, .nr = nr, .status = status, .text = text};
    void (*handler)(const pk_event_t *event, void *user);
    void *user;

    pthread_mutex_lock(&kernel->lock);
    handler = kernel->on_event;
    user = kernel->event_user;
    pthread_mutex_unlock(&kernel->lock);
    if (handler)
        handler(&event, user);
}

PK_API int pk_set_event_handler(process_kernel_t *kernel,
                                void (*handler)(const pk_event_t *event, void *user), void *user)
{
    pthread_mutex_lock(&kernel->lock);
    kernel->on_event = handler;
    kernel->event_user = user;
    pthread_mutex_unlock(&kernel->lock);
    return 0;
}

/* ---- what is fixed before the guest starts ---- */

/* Locks the kernel if it has no guest. */
static int lock_idle(process_kernel_t *kernel)
{
    pthread_mutex_lock(&kernel->lock);
    if (!kernel->running)
        return 0;
    pthread_mutex_unlock(&kernel->lock);
    return api_fail(EBUSY, "do it before pk_spawn()", "kernel %s has a guest", kernel->name);
}

static int add_option(process_kernel_t *kernel, const char *text)
{
    char **options = reallocarray(kernel->options, kernel->option_count + 1, sizeof(*options));
    char *copy = strdup(text);

    if (options)
        kernel->options = options;
    if (options == NULL || copy == NULL) {
        free(copy);
        return -ENOMEM;
    }
    kernel->options[kernel->option_count++] = copy;
    return 0;
}

PK_API int pk_set_option(process_kernel_t *kernel, const char *option, const char *value)
{
    int r;

    if (strncmp(option, "--", 2) != 0 || option[2] == '\0')
        return api_fail(EINVAL, "see: cerebro run --help", "'%s' is no option", option);
    r = lock_idle(kernel);
    if (r < 0)
        return r;
    r = add_option(kernel, option);
    if (r == 0 && value)
        r = add_option(kernel, value);
    pthread_mutex_unlock(&kernel->lock);
    return r;
}

PK_API int pk_bind(process_kernel_t *kernel, const char *source, const char *target, bool read_only)
{
    cleanup_free char *absolute = realpath(source, NULL);
    cleanup_strbuf struct strbuf value = {0};

    if (absolute == NULL)
        return api_fail(errno, NULL, "cannot bind %s: %s", source, strerror(errno));
    if (strchr(absolute, ':') || (target && strchr(target, ':')))
        return api_fail(EINVAL, "bind the directory above", "a colon cannot be bound: %s", source);
    strbuf_addf(&value, "%s:%s%s", absolute, target ? target : absolute, read_only ? ":ro" : "");
    if (strbuf_status(&value) < 0)
        return -ENOMEM;
    return pk_set_option(kernel, "--bind", strbuf_text(&value));
}

PK_API int pk_net_allow(process_kernel_t *kernel, const char *rule)
{
    return pk_set_option(kernel, "--allow-net", rule);
}

PK_API int pk_net_deny(process_kernel_t *kernel, const char *rule)
{
    return pk_set_option(kernel, "--deny-net", rule);
}

PK_API int pk_limit(process_kernel_t *kernel, const char *name, uint64_t value)
{
    char text[128];

    if (snprintf(text, sizeof(text), "%s=%llu", name, (unsigned long long)value) >=
        (int)sizeof(text))
        return api_fail(EINVAL, NULL, "there is no such limit");
    return pk_set_option(kernel, "--limit", text);
}

PK_API int pk_hide(process_kernel_t *kernel, const char *path)
{
    cleanup_free char *cwd = NULL;
    cleanup_strbuf struct strbuf absolute = {0};

    if (path == NULL || path[0] == '\0')
        return api_fail(EINVAL, NULL, "pk_hide() needs a path");
    if (path[0] == '/')
        return pk_set_option(kernel, "--hide", path);
    cwd = getcwd(NULL, 0);
    if (cwd == NULL)
        return api_fail(errno, NULL, "the current directory is not known: %s", strerror(errno));
    strbuf_addf(&absolute, "%s/%s", cwd, path);
    return strbuf_status(&absolute) < 0 ? -ENOMEM
                                        : pk_set_option(kernel, "--hide", strbuf_text(&absolute));
}

PK_API int pk_set_profile(process_kernel_t *kernel, const char *name)
{
    if (name == NULL || name[0] == '\0')
        return api_fail(EINVAL, NULL, "pk_set_profile() needs a name");
    return pk_set_option(kernel, "--profile", name);
}

static int set_handler(process_kernel_t *kernel, int nr, const struct api_handler *handler)
{
    int r;

    if (nr < 0 || nr >= API_NUMBERS || abi_syscall_by_nr(nr) == NULL)
        return api_fail(EINVAL, "see: cerebro syscalls", "there is no system call %d", nr);
    if (!abi_may_intercept(nr))
        return api_fail(EINVAL, "see the manual", "system call %s cannot be intercepted",
                        abi_syscall_by_nr(nr)->name);
    r = lock_idle(kernel);
    if (r < 0)
        return r;
    kernel->handlers[nr] = *handler;
    pthread_mutex_unlock(&kernel->lock);
    return 0;
}

PK_API int pk_set_handler(process_kernel_t *kernel, int syscall_nr, pk_call_handler handler,
                          void *user)
{
    return set_handler(kernel, syscall_nr, &(struct api_handler){.handler = handler, .user = user});
}

PK_API int pk_register_syscall(process_kernel_t *kernel, int syscall_nr,
                               int (*handler)(int nr, void *args))
{
    return set_handler(kernel, syscall_nr, &(struct api_handler){.plain = handler});
}

PK_API int pk_deny(process_kernel_t *kernel, int syscall_nr, int errnum)
{
    if (errnum <= 0 || errnum > 4095)
        return api_fail(EINVAL, NULL, "%d is no errno", errnum);
    return set_handler(kernel, syscall_nr, &(struct api_handler){.deny = errnum});
}

PK_API int pk_allow(process_kernel_t *kernel, int syscall_nr)
{
    return set_handler(kernel, syscall_nr, &(struct api_handler){0});
}

PK_API int pk_set_handler_timeout(process_kernel_t *kernel, unsigned milliseconds)
{
    int r = lock_idle(kernel);

    if (r < 0)
        return r;
    kernel->timeout_ms = milliseconds;
    pthread_mutex_unlock(&kernel->lock);
    return 0;
}

PK_API int pk_set_fence(process_kernel_t *kernel, bool fence)
{
    int r = lock_idle(kernel);

    if (r < 0)
        return r;
    kernel->unfenced = !fence;
    pthread_mutex_unlock(&kernel->lock);
    return 0;
}

/* ---- statistics ---- */

static uint64_t number_in(const char *json, const char *name)
{
    const char *at = strstr(json, name);

    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* A kernel that has no guest, or is busy ending, has nothing to say. */
static void ask_kernel(pid_t supervisor, pk_statistics_t *stats)
{
    cleanup_strbuf struct strbuf answer = {0};
    cleanup_close int fd = -1;

    if (supervisor <= 0 || control_connect(supervisor, &fd, NULL) < 0 ||
        control_ask(fd, "stats", &answer, NULL) < 0)
        return;
    stats->served = number_in(strbuf_text(&answer), "\"syscalls_intercepted\":");
    stats->denials = number_in(strbuf_text(&answer), "\"denials\":");
}

PK_API void pk_get_stats(process_kernel_t *kernel, void *stats_out)
{
    pk_statistics_t *out = stats_out;
    pk_statistics_t stats = {.size = out->size};
    pid_t supervisor;

    if (out->size < sizeof(size_t) || out->size > sizeof(stats))
        return;
    pthread_mutex_lock(&kernel->lock);
    supervisor = kernel->running ? kernel->supervisor : 0;
    pthread_mutex_unlock(&kernel->lock);
    stats.syscalls_intercepted = atomic_load(&kernel->intercepted);
    stats.memory_allocated = api_memory_allocated(kernel->memory);
    stats.io_operations = atomic_load(&kernel->io_operations);
    stats.errors = atomic_load(&kernel->errors);
    ask_kernel(supervisor, &stats);
    memcpy(out, &stats, out->size);
}
