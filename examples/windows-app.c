/*
 * A Windows application with a kernel of its own: 2 GiB of memory, no network, and a Windows
 * directory (the "prefix") that no other application sees.
 *
 *     cc windows-app.c -o windows-app $(pkg-config --cflags --libs cerebro)
 *     ./windows-app PREFIX PROGRAM.EXE [ARGUMENTS]
 *
 * PREFIX is a directory for what the application installs and keeps; it is made when it is missing.
 *
 * This is written for kernels of the type PK_TYPE_WINDOWS, which run such programs themselves.
 * While libcerebro has none (pk_create() fails with ENOSYS), it falls back on Wine in a generic
 * kernel, where Wine is installed. Without a cgroup of its own (`cerebro doctor` tells) the memory
 * limit is one on each process' address space, and Wine reserves more of that than it uses: then
 * leave it out.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerebro/process_kernel.h>

#define GIBIBYTE (1024UL * 1024UL * 1024UL)

static int complain(void)
{
    fprintf(stderr, "windows-app: %s\n  try: %s\n", pk_last_error(), pk_last_hint());
    return 125;
}

/* What holds for both types of kernel. */
static int isolate(process_kernel_t *kernel, const char *prefix)
{
    int r = pk_limit(kernel, "memory", 2 * GIBIBYTE);

    r = r < 0 ? r : pk_set_option(kernel, "--net", "none");
    return r < 0 ? r : pk_bind(kernel, prefix, NULL, false);
}

/* Wine finds its prefix by the environment, and talks of its own affairs when nobody stops it. */
static int prepare_wine(process_kernel_t *kernel, const char *prefix)
{
    char assignment[PATH_MAX + 16];
    char absolute[PATH_MAX];
    int r;

    if (realpath(prefix, absolute) == NULL)
        return -errno;
    snprintf(assignment, sizeof(assignment), "WINEPREFIX=%s", absolute);
    r = pk_set_option(kernel, "--env", assignment);
    return r < 0 ? r : pk_set_option(kernel, "--env", "WINEDEBUG=-all");
}

static bool has_wine(void)
{
    const char *at = getenv("PATH");
    char path[PATH_MAX];

    while (at) {
        snprintf(path, sizeof(path), "%.*s/wine", (int)strcspn(at, ":"), at);
        if (access(path, X_OK) == 0)
            return true;
        at = strchr(at, ':');
        at = at ? at + 1 : NULL;
    }
    return false;
}

static int finish(process_kernel_t *kernel)
{
    int status;

    if (pk_wait(kernel, &status) < 0)
        return complain();
    pk_destroy(kernel);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_with_wine(char **argv, int argc)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_GENERIC, "windows-app");
    char **words = calloc((size_t)argc, sizeof(*words)); /* wine, PROGRAM.EXE ..., NULL */

    if (kernel == NULL || words == NULL || isolate(kernel, argv[1]) < 0 ||
        prepare_wine(kernel, argv[1]) < 0)
        return complain();
    words[0] = "wine";
    memcpy(words + 1, argv + 2, (size_t)(argc - 2) * sizeof(*words));
    if (pk_spawn(kernel, words) < 0)
        return complain();
    free(words);
    return finish(kernel);
}

int main(int argc, char **argv)
{
    process_kernel_t *kernel;

    if (argc < 3) {
        fprintf(stderr, "usage: windows-app PREFIX PROGRAM.EXE [ARGUMENTS]\n");
        return 2;
    }
    if (mkdir(argv[1], 0700) < 0 && errno != EEXIST) {
        fprintf(stderr, "windows-app: cannot make %s: %s\n", argv[1], strerror(errno));
        return 125;
    }
    kernel = pk_create(PK_TYPE_WINDOWS, "windows-app");
    if (kernel == NULL && errno == ENOSYS) {
        if (has_wine())
            return run_with_wine(argv, argc);
        fprintf(stderr, "windows-app: this libcerebro has no Windows kernels yet, and Wine is not "
                        "installed\n  try: apt install wine\n");
        return 125;
    }
    if (kernel == NULL || isolate(kernel, argv[1]) < 0 || pk_spawn(kernel, argv + 2) < 0)
        return complain();
    return finish(kernel);
}
