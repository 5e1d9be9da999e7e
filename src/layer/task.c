#include <errno.h>
#include <string.h>

#include "layer/layer-internal.h"

/* True when `path` is `directory` or below it. */
static bool is_below(const char *path, const char *directory)
{
    size_t length = strcmp(directory, "/") == 0 ? 0 : strlen(directory);

    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

enum selection task_selects(const struct selecting *selecting, const char *path)
{
    const struct layer_task *task = selecting->task;
    enum selection selection = task->path_count ? SELECTED_NOT : SELECTED;

    for (unsigned i = 0; i < task->path_count; i++) {
        if (is_below(path, task->paths[i]))
            return SELECTED;
        if (is_below(task->paths[i], path))
            selection = SELECTED_ABOVE;
    }
    return selection;
}

void task_found(struct selecting *selecting, const char *path)
{
    for (unsigned i = 0; i < selecting->task->path_count; i++)
        selecting->found[i] |= is_below(path, selecting->task->paths[i]);
}

int task_complete(const struct selecting *selecting, struct base_error *error)
{
    for (unsigned i = 0; i < selecting->task->path_count; i++)
        if (!selecting->found[i])
            return base_fail(error, ENOENT, "see what has with: cerebro diff DIR",
                             "nothing has changed at %s", selecting->task->paths[i]);
    return 0;
}
