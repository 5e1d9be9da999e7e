/*
 * `cerebro kapi`: the command line of the kernel API exporter is the Python client's (python/kapi),
 * which this only finds and executes.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/kapi-paths.gen.h" /* KAPI_IN_BUILD, KAPI_INSTALLED */

#define FIXED_WORDS 4 /* python3 -I -B FILE */

static const char help[] =
    "usage: cerebro kapi [--device PATH] [--no-fallback] COMMAND [OPTIONS]\n"
    "\n"
    "Shows and steers the kernel through /dev/kernel_api_exporter. Without the kernel module it\n"
    "shows what /proc, /sys and netlink tell, and says so. Inside a guest the device is about the\n"
    "guest.\n"
    "\n"
    "Commands that show something; each takes --json and --watch [SECONDS]\n"
    "  memory, cpu, process PID, processes, network, filesystem, load, config, modules,\n"
    "  interrupts, pci, block, thermal, log\n"
    "  status                 the driver, its version and what it allows\n"
    "  command [NAME]         one of the kernel's own commands; without NAME they are listed\n"
    "  export FILE            everything as JSON; - is standard output\n"
    "\n"
    "Commands that change something; those that can do harm ask before, or take --yes\n"
    "  kill PID [--signal N], suspend PID, resume PID, affinity PID MASK\n"
    "  load-module FILE [--params LIST], unload-module NAME, interface NAME up|down\n"
    "  mount DEVICE PATH [--type T] [--options O], umount PATH\n"
    "  log-write TEXT [--level L], reclaim, panic\n"
    "  phys-read ADDRESS SIZE, phys-write ADDRESS HEX, translate ADDRESS [--pid PID],\n"
    "  patch ADDRESS HEX [--restore HEX]\n"
    "\n"
    "`cerebro kapi COMMAND --help` explains a command. Exit status: 0 done, 1 it failed, 2 wrong\n"
    "usage.\n";

/* "<directory of this program>/<relative>" when that file is there. */
static bool beside_program(const char *relative, char path[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;
    int written;

    if (length < 0)
        return false;
    self[length] = '\0';
    slash = strrchr(self, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    written = snprintf(path, PATH_MAX, "%s/%s", self, relative);
    return written > 0 && written < PATH_MAX && access(path, R_OK) == 0;
}

/*
 * -I: no search path of the user's and nothing of the current directory, so that what root runs is
 * what was installed. -B: no files are left beside it.
 */
static int execute(const char *file, int argc, char **argv)
{
    cleanup_free char **words = calloc((size_t)argc + FIXED_WORDS, sizeof(*words));
    struct base_error error = {0};

    if (words == NULL)
        return 1;
    words[0] = (char *)"python3";
    words[1] = (char *)"-I";
    words[2] = (char *)"-B";
    words[3] = (char *)file;
    for (int i = 1; i < argc; i++)
        words[FIXED_WORDS - 1 + i] = argv[i];
    setenv("KAPI_PROGRAM", "cerebro kapi", 1);
    execv("/usr/bin/python3", words);
    if (errno == ENOENT)
        execvp("python3", words);
    base_fail(&error, errno, "install python3 (3.9 or newer)", "cannot run python3: %s",
              strerror(errno));
    cli_print_error(&error);
    return 1;
}

static int run(int argc, char **argv)
{
    struct base_error error = {0};
    char path[PATH_MAX];

    if (beside_program(KAPI_IN_BUILD, path) || beside_program(KAPI_INSTALLED, path))
        return execute(path, argc, argv);
    base_fail(&error, ENOENT, "install with `make install`",
              "the Python client is missing: no %s beside this program", KAPI_INSTALLED);
    cli_print_error(&error);
    return 1;
}

const struct cli_command cli_kapi_command = {
    .name = "kapi",
    .summary = "shows and steers the host's kernel (KAPI)",
    .help = help,
    .run = run,
};
