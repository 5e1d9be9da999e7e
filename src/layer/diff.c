#include <string.h>

#include "layer/layer-internal.h"

static int visit(struct walk *walk, struct item *item)
{
    struct selecting *selecting = walk->user;
    const struct layer_report *report = &selecting->task->report;
    enum selection selection = task_selects(selecting, item->path);
    int r = 0;

    if (selection == SELECTED_NOT)
        return WALK_ON;
    if (selection == SELECTED && item->different) {
        task_found(selecting, item->path);
        selecting->counts.changes++;
        if (report->change)
            r = report->change(report->user, &item->change);
    }
    if (r < 0)
        return r;
    return look_is(&item->now, S_IFDIR) ? WALK_INTO : WALK_ON;
}

int layer_diff(struct layer *layer, const struct layer_task *task, struct layer_counts *ret_counts,
               struct base_error *error)
{
    struct selecting selecting = {.task = task};
    struct walk walk = {.layer = layer, .visit = visit, .user = &selecting};
    int r = walk_layer(&walk);

    *ret_counts = selecting.counts;
    if (r < 0)
        return base_fail(error, r, NULL, "cannot compare the layer %s with %s: %s",
                         layer->directory, layer->root, strerror(-r));
    return task_complete(&selecting, error);
}
