#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/version.gen.h"

/* One line each. */
/* clang-format off */
static const struct cli_command *const commands[] = {
    &cli_run_command,
    &cli_learn_command,
    &cli_diff_command,
    &cli_commit_command,
    &cli_discard_command,
    &cli_explain_command,
    &cli_ps_command,
    &cli_attach_command,
    &cli_detach_command,
    &cli_keep_command,
    &cli_top_command,
    &cli_inspect_command,
    &cli_log_command,
    &cli_doctor_command,
    &cli_syscalls_command,
    &cli_kapi_command,
};
/* clang-format on */

void cli_print_error(const struct base_error *error)
{
    fprintf(stderr, "cerebro: %s\n", error->sentence);
    if (error->hint[0])
        fprintf(stderr, "  try: %s\n", error->hint);
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "cerebro%s%s: ", command[0] ? " " : "", command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n  try: cerebro%s%s --help\n", command[0] ? " " : "", command);
    return CLI_USAGE_ERROR;
}

int cli_usage_error(const char *command, const struct base_error *error)
{
    fprintf(stderr, "cerebro %s: %s\n", command, error->sentence);
    if (error->hint[0])
        fprintf(stderr, "  try: %s\n", error->hint);
    fprintf(stderr, "  try: cerebro %s --help\n", command);
    return CLI_USAGE_ERROR;
}

char *cli_format_size(unsigned long long bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < array_length(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < array_length(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int print_help(void)
{
    printf("Cerebro runs a program under a small kernel of its own, without root.\n\n"
           "usage: cerebro COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < array_length(commands); i++)
        if (commands[i]->summary)
            printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n`cerebro help COMMAND` explains a command. First try: cerebro run -- bash\n");
    return 0;
}

static int help(int argc, char **argv)
{
    const struct cli_command *command;

    if (argc < 2)
        return print_help();
    command = find_command(argv[1]);
    if (command == NULL)
        return cli_usage("", "there is no command '%s'", argv[1]);
    fputs(command->help, stdout);
    return 0;
}

static bool asks_for_help(int argc, char **argv)
{
    /* Only before the program's own arguments. */
    return argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

/*
 * Of a closed standard stream, the number would go to the next descriptor we open, and what we
 * print would go there, too. The program still starts without it: close-on-exec.
 */
static void occupy_standard_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* Output that could not be written is no success. */
static int flush_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "cerebro: cannot write the output: %s\n", strerror(errno));
    return status ? status : 1;
}

static int dispatch(int argc, char **argv)
{
    const struct cli_command *command;

    if (argc < 2) {
        print_help();
        return CLI_USAGE_ERROR;
    }
    if (strcmp(argv[1], "help") == 0)
        return help(argc - 1, argv + 1);
    if (asks_for_help(argc, argv))
        return print_help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("cerebro %s\n", CEREBRO_VERSION);
        return 0;
    }
    command = find_command(argv[1]);
    if (command == NULL)
        return cli_usage("", "there is no command '%s'", argv[1]);
    if (asks_for_help(argc - 1, argv + 1)) {
        fputs(command->help, stdout);
        return 0;
    }
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    occupy_standard_streams();
    return flush_output(dispatch(argc, argv));
}
