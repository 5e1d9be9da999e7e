/* Attaching kernels to processes that run already. */
#include "attach/attach.h"

#include <errno.h>
#include <string.h>

#include "api/api-internal.h"
#include "base/cleanup.h"

static int take_limits(const char *text, struct channel_rules *rules)
{
    struct base_error error = {0};

    return attach_parse_limits(text, rules, &error) < 0 ? api_take_error(&error) : 0;
}

/* Of the options of `cerebro run`, a process that has its view already can only have limits. */
static int take_options(const process_kernel_t *kernel, struct channel_rules *rules)
{
    int r = 0;

    for (size_t i = 0; i < kernel->option_count && r == 0; i++) {
        const char *option = kernel->options[i];

        if (strcmp(option, "--limit") == 0 && i + 1 < kernel->option_count)
            r = take_limits(kernel->options[++i], rules);
        else if (strncmp(option, "--limit=", strlen("--limit=")) == 0)
            r = take_limits(option + strlen("--limit="), rules);
        else
            r = api_fail(EINVAL, "start the program with pk_spawn()",
                         "%s has no meaning for a process that runs already", option);
    }
    return r;
}

static void take_handlers(const process_kernel_t *kernel, struct channel_rules *rules)
{
    for (int nr = 0; nr < API_NUMBERS; nr++) {
        const struct api_handler *handler = &kernel->handlers[nr];

        if (handler->handler || handler->plain || handler->deny)
            attach_add(rules->passed, nr);
    }
}

static int make_rules(const process_kernel_t *kernel, struct channel_rules *ret_rules)
{
    *ret_rules = (struct channel_rules){.strict = 1};
    take_handlers(kernel, ret_rules);
    return take_options(kernel, ret_rules);
}

static int attach(process_kernel_t *kernel, pid_t pid)
{
    struct attach_options options = {.program = api_program_path(), .audit = -1};
    struct attachment attachment;
    struct base_error error = {0};
    struct channel_rules rules;
    int r = make_rules(kernel, &rules);

    if (r < 0)
        return r;
    if (attach_process(pid, &rules, &options, &attachment, &error) < 0)
        return api_take_error(&error);
    pthread_mutex_lock(&kernel->lock);
    kernel->channel = attachment.channel;
    kernel->listener = attachment.listener;
    kernel->guest = pid;
    kernel->supervisor = attachment.keeper;
    kernel->attached = true;
    pthread_mutex_unlock(&kernel->lock);
    /* Before the threads, which may tell of its end. */
    api_tell(kernel, PK_EVENT_STARTED, 0, 0, "");
    r = api_start_threads(kernel);
    return r < 0 ? api_fail(r, NULL, "cannot start a thread: %s", strerror(-r)) : 0;
}

PK_API int pk_attach(process_kernel_t *kernel, pid_t pid)
{
    int r = api_take_turn(kernel);

    if (r < 0)
        return r;
    r = attach(kernel, pid);
    if (r < 0) {
        /* Closing the channel detaches. */
        api_give_up(kernel);
    }
    return r;
}

PK_API int pk_detach(process_kernel_t *kernel)
{
    int r = 0;

    pthread_mutex_lock(&kernel->lock);
    if (!kernel->running)
        r = api_fail(ESRCH, "attach it with pk_attach()", "kernel %s is attached to no process",
                     kernel->name);
    else if (!kernel->attached)
        r = api_fail(EINVAL, "end it with pk_destroy()", "the guest of kernel %s was spawned",
                     kernel->name);
    if (r == 0)
        api_ask_to_stop(kernel);
    while (r == 0 && kernel->running && kernel->attached)
        pthread_cond_wait(&kernel->changed, &kernel->lock);
    pthread_mutex_unlock(&kernel->lock);
    return r;
}
