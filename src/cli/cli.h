/*
 * The `cerebro` command: one file per subcommand, one line per subcommand in the table of main.c.
 * This is the only room that prints.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/strbuf.h"

#define CLI_USAGE_ERROR 2

struct cli_command {
    const char *name;
    const char *summary; /* one line for `cerebro help`; NULL: not shown there */
    const char *help;    /* the whole text of `cerebro NAME --help` */
    /* argv[0] is the subcommand's name. Returns the exit status. */
    int (*run)(int argc, char **argv);
};

extern const struct cli_command cli_run_command;
extern const struct cli_command cli_learn_command;
extern const struct cli_command cli_diff_command; /* this and the next two: layer.c */
extern const struct cli_command cli_commit_command;
extern const struct cli_command cli_discard_command;
extern const struct cli_command cli_explain_command;
extern const struct cli_command cli_ps_command;
extern const struct cli_command cli_attach_command;
extern const struct cli_command cli_detach_command;
extern const struct cli_command cli_keep_command; /* not for people */
extern const struct cli_command cli_doctor_command;
extern const struct cli_command cli_syscalls_command;
extern const struct cli_command cli_kapi_command;
extern const struct cli_command cli_top_command;
extern const struct cli_command cli_log_command;
extern const struct cli_command cli_inspect_command;

/* Prints "cerebro: sentence" and "  try: hint" on stderr. */
void cli_print_error(const struct base_error *error);

/* Prints a usage error of a subcommand and where its help is; returns CLI_USAGE_ERROR. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Appends text that others have named, for a terminal: control characters, what turns the direction
 * of writing, and bytes that are no UTF-8 become "?".
 */
void cli_add_printable(struct strbuf *out, const char *text);

/* The same for what a parser says, with its hint. */
int cli_usage_error(const char *command, const struct base_error *error);

/* Writes a number of bytes as "12.3 MiB"; returns `text`. */
char *cli_format_size(unsigned long long bytes, char text[32]);
