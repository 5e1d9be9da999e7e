/*
 * Putting a layer into effect. First everything is done on the host, then the host writes it to its
 * disks, and then it goes from the layer: a crash at any time leaves a layer that can be committed
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "layer/layer-internal.h"

#define DEVICES_MAX 16

struct commit {
    struct selecting selecting;
    struct links links;
    struct base_error *error;
    char **done; /* paths that are to go from the layer; owned */
    size_t done_count;
    int devices[DEVICES_MAX]; /* a directory of each file system that was written to */
    dev_t device_ids[DEVICES_MAX];
    unsigned device_count;
    bool sync_all;
};

/* A directory whose attributes come when all below it is done. */
struct directory {
    struct look now, before;
    bool selected, made;
    uint64_t failed; /* how much had failed before */
    size_t done;     /* ... and how much was done */
    struct layer_change change;
};

/* ---- telling ---- */

static int tell_change(struct commit *commit, const struct layer_change *change)
{
    const struct layer_report *report = &commit->selecting.task->report;

    task_found(&commit->selecting, change->path);
    commit->selecting.counts.changes++;
    return report->change ? report->change(report->user, change) : 0;
}

static void tell_lost(struct commit *commit, const char *path, const struct strbuf *lost)
{
    const struct layer_report *report = &commit->selecting.task->report;

    if (lost->length && report->lost)
        report->lost(report->user, path, strbuf_text(lost));
}

/* What would hold for all that comes after. */
static bool ends_all(int error)
{
    static const int ends[] = {ENOSPC, EDQUOT, EROFS, EIO, ENOMEM, EMFILE, ENFILE};

    for (size_t i = 0; i < array_length(ends); i++)
        if (error == -ends[i])
            return true;
    return false;
}

static const char *hint_of(int error)
{
    switch (error) {
    case -EACCES:
    case -EPERM:
        return "commit as a user who may do that, or name the PATHs that you want";
    case -EBUSY:
        return "a mount point, or the layer itself, is there or below: commit other PATHs";
    case -ELOOP:
    case -ENOTDIR:
        return "the host has something else than a directory on the way: commit that first";
    default:
        return NULL;
    }
}

/* Returns 0, or the error when there is no point in going on. */
static int tell_failure(struct commit *commit, const char *path, int failure)
{
    const struct layer_report *report = &commit->selecting.task->report;
    struct base_error error = {0};

    task_found(&commit->selecting, path);
    commit->selecting.counts.failed++;
    base_fail(&error, failure, hint_of(failure), "cannot commit %s: %s", path, strerror(-failure));
    if (ends_all(failure)) {
        *commit->error = error;
        return failure;
    }
    if (report->failed)
        report->failed(report->user, path, &error);
    return 0;
}

/* ---- what is to happen at the end ---- */

static int add_done(struct commit *commit, const char *path)
{
    size_t count = commit->done_count;

    if ((count & (count + 1)) == 0) {
        char **grown = reallocarray(commit->done, 2 * (count + 1), sizeof(char *));

        if (grown == NULL)
            return -ENOMEM;
        commit->done = grown;
    }
    commit->done[count] = strdup(path);
    if (commit->done[count] == NULL)
        return -ENOMEM;
    commit->done_count++;
    return 0;
}

static void shorten_done(struct commit *commit, size_t count)
{
    while (commit->done_count > count)
        free(commit->done[--commit->done_count]);
}

static void note_device(struct commit *commit, int dir_fd)
{
    struct stat stat;
    int fd;

    if (fstat(dir_fd, &stat) < 0)
        return;
    for (unsigned i = 0; i < commit->device_count; i++)
        if (commit->device_ids[i] == stat.st_dev)
            return;
    fd = commit->device_count < DEVICES_MAX
             ? openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
             : -1;
    if (fd < 0) {
        commit->sync_all = true;
        return;
    }
    commit->device_ids[commit->device_count] = stat.st_dev;
    commit->devices[commit->device_count++] = fd;
}

static int write_to_disk(struct commit *commit)
{
    int r = 0;

    for (unsigned i = 0; i < commit->device_count; i++) {
        if (syncfs(commit->devices[i]) < 0 && r == 0)
            r = -errno;
        close(commit->devices[i]);
    }
    commit->device_count = 0;
    if (commit->sync_all)
        sync();
    return r;
}

/* A directory in which something is left stays, with what it says. */
static void forget(struct layer *layer, const char *path)
{
    const char *name;
    cleanup_close int parent = walk_to_parent(layer->fd, path, &name);
    struct stat stat;

    if (parent < 0 || fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (unlinkat(parent, name, S_ISDIR(stat.st_mode) ? AT_REMOVEDIR : 0) == 0)
        look_forget_owner(parent, name);
}

static int take_from_layer(struct layer *layer, struct commit *commit)
{
    int r = write_to_disk(commit);

    /* Children come before their directories. */
    for (size_t i = 0; i < commit->done_count; i++) {
        if (r == 0)
            forget(layer, commit->done[i]);
        free(commit->done[i]);
    }
    free(commit->done);
    return r;
}

/* ---- each name ---- */

static int add_directory(struct walk *walk, struct item *item, bool selected, bool made)
{
    struct directory *directory = calloc(1, sizeof(*directory));
    const struct commit *commit = walk->user;

    if (directory == NULL)
        return -ENOMEM;
    *directory = (struct directory){.now = item->now,
                                    .before = item->before,
                                    .selected = selected,
                                    .made = made,
                                    .failed = commit->selecting.counts.failed,
                                    .done = commit->done_count,
                                    .change = item->change};
    item->now = item->before = LOOK_NONE;
    /* The level comes next; until then it waits in the one above. */
    walk->level->user = directory;
    return WALK_INTO;
}

/* What the guest wrote into its own layer's directory would be written to the layer. */
static bool is_layer(const struct layer *layer, const struct look *look)
{
    return look->fd >= 0 && look->stat.st_dev == layer->device && look->stat.st_ino == layer->inode;
}

static int commit_directory(struct walk *walk, struct item *item, bool selected)
{
    struct commit *commit = walk->user;
    bool dry = commit->selecting.task->dry_run;
    bool make = !look_is(&item->before, S_IFDIR);
    int r = 0;

    if (make && !selected && item->before.fd >= 0)
        return tell_failure(commit, item->path, -ENOTDIR);
    if (is_layer(walk->layer, &item->before))
        return tell_failure(commit, item->path, -EBUSY);
    if (make && !dry) {
        r = make_directory(walk->layer, item);
        if (r < 0)
            return tell_failure(commit, item->path, r);
        note_device(commit, item->level->host_fd);
    }
    if (make || (dry && selected && item->different))
        r = tell_change(commit, &item->change);
    if (r < 0)
        return r;
    return dry ? WALK_INTO : add_directory(walk, item, selected, make);
}

/* What is to be done to a name that is not, or no longer, a directory. */
static int put_into_effect(const struct layer *layer, struct commit *commit,
                           const struct item *item, struct strbuf *lost)
{
    const unsigned anew = LAYER_TYPE | LAYER_CONTENT;
    const struct layer_change *change = &item->change;

    if (item->level->host_fd < 0)
        return -ENOTDIR;
    note_device(commit, item->level->host_fd);
    if (change->kind == LAYER_DELETED)
        return remove_tree(layer, item->level->host_fd, item->name);
    if (change->kind == LAYER_MODIFIED && !(change->what & anew))
        return make_attributes(layer, item->before.fd, &item->now, &item->before, false, lost);
    return make_object(layer, &commit->links, item, lost);
}

static int commit_name(struct walk *walk, struct item *item)
{
    struct commit *commit = walk->user;
    cleanup_strbuf struct strbuf lost = {0};
    int r = 0;

    if (item->different && !commit->selecting.task->dry_run) {
        r = put_into_effect(walk->layer, commit, item, &lost);
        if (r < 0)
            return tell_failure(commit, item->path, r);
    }
    if (item->different)
        r = tell_change(commit, &item->change);
    tell_lost(commit, item->path, &lost);
    if (r == 0 && item->now.fd >= 0 && !commit->selecting.task->dry_run)
        r = add_done(commit, item->path);
    return r;
}

static int visit(struct walk *walk, struct item *item)
{
    struct commit *commit = walk->user;
    enum selection selection = task_selects(&commit->selecting, item->path);

    walk->level->user = NULL;
    if (selection == SELECTED_NOT)
        return WALK_ON;
    if (look_is(&item->now, S_IFDIR))
        return commit_directory(walk, item, selection == SELECTED);
    return selection == SELECTED ? commit_name(walk, item) : WALK_ON;
}

static int finish_directory(struct walk *walk, struct level *level, struct directory *directory)
{
    struct commit *commit = walk->user;
    const char *path = strbuf_text(&walk->path);
    cleanup_strbuf struct strbuf lost = {0};
    int r = 0;

    directory->change.path = path;
    if (directory->made || (directory->selected && directory->change.what)) {
        r = make_attributes(walk->layer, level->host_fd, &directory->now, &directory->before,
                            directory->made, &lost);
        if (r < 0)
            return tell_failure(commit, path, r);
        if (!directory->made)
            r = tell_change(commit, &directory->change);
        tell_lost(commit, path, &lost);
        note_device(commit, level->host_fd);
    }
    if (r < 0)
        return r;
    /* While something below is left, so is what the layer says about the directory. */
    if (directory->selected && directory->failed == commit->selecting.counts.failed)
        return add_done(commit, path);
    /* If that hides all that the host has, what it does not hide has to stay, too. */
    if (level->hidden)
        shorten_done(commit, directory->done);
    return 0;
}

static int left(struct walk *walk, struct level *level)
{
    struct directory *directory = level->above ? level->above->user : NULL;
    int r = 0;

    if (directory == NULL)
        return 0;
    level->above->user = NULL;
    if (level->host_fd >= 0 && !walk->ended)
        r = finish_directory(walk, level, directory);
    look_close(&directory->now);
    look_close(&directory->before);
    free(directory);
    return r;
}

int layer_commit(struct layer *layer, const struct layer_task *task,
                 struct layer_counts *ret_counts, struct base_error *error)
{
    struct base_error first = {0};
    struct commit commit = {.selecting = {.task = task}, .error = &first};
    struct walk walk = {.layer = layer, .visit = visit, .left = left, .user = &commit};
    int r = walk_layer(&walk);
    int taken = take_from_layer(layer, &commit);

    links_free(&commit.links);
    *ret_counts = commit.selecting.counts;
    if (first.code)
        return base_fail(error, first.code, first.hint, "%s", first.sentence);
    if (r < 0 || taken < 0)
        return base_fail(error, r < 0 ? r : taken, "what is left can be committed again",
                         "cannot commit all of the layer %s: %s", layer->directory,
                         strerror(r < 0 ? -r : -taken));
    return task_complete(&commit.selecting, error);
}
