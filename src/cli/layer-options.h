/* What `cerebro diff`, `commit` and `discard` have in common. */
#pragma once

#include "base/strbuf.h"
#include "layer/layer.h"

struct layer_options {
    const char *command;
    const char *directory;
    const char *root;
    bool json, dry_run, yes;
    char *paths[LAYER_PATHS_MAX]; /* owned */
    unsigned path_count;
};

/* Which options a command knows: letters of these. */
#define LAYER_OPTION_ROOT    "r"
#define LAYER_OPTION_DRY_RUN "n"
#define LAYER_OPTION_YES     "y"

/*
 * Parses the command line of a command. Returns 0, or the exit status after printing what is wrong.
 * The caller frees in every case.
 */
int layer_options_parse(int argc, char **argv, const char *known,
                        struct layer_options *ret_options);
void layer_options_free(struct layer_options *options);

/* Where changes are printed to. */
struct layer_output {
    bool json;
    struct strbuf changes, failed, lost; /* of the JSON object */
};

/* The task of these options, with a report that prints. `output` must outlive it. */
struct layer_task layer_options_task(const struct layer_options *options,
                                     struct layer_output *output);

/* Prints the JSON object, if there is to be one, and frees. `done` may be NULL: what `changes` are.
 */
void layer_output_end(struct layer_output *output, const char *root, const char *done);
