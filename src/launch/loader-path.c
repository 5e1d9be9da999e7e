/*
 * Where the loader and the shipped profiles are: beside the program in a build tree, else where
 * they were installed.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch/launch-internal.h"
#include "launch/paths.gen.h" /* LOADER_*, PROFILES_* */

static bool fits(int length, size_t size)
{
    return length > 0 && (size_t)length < size;
}

/* "<directory of this program>/<relative>" when that file is there. */
static bool beside_program(const char *relative, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (length < 0)
        return false;
    self[length] = '\0';
    slash = strrchr(self, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return fits(snprintf(path, size, "%s/%s", self, relative), size) && access(path, X_OK) == 0;
}

int launch_loader_path(char *path, size_t size, struct base_error *error)
{
    char found[PATH_MAX];

    if (!beside_program(LOADER_IN_BUILD, found, sizeof(found)) &&
        !beside_program(LOADER_INSTALLED, found, sizeof(found)))
        return base_fail(error, ENOENT, "build with `make`, or install with `make install`",
                         "the loader is missing: no %s beside this program", LOADER_INSTALLED);
    if (realpath(found, path) == NULL || strlen(path) >= size)
        return base_fail(error, errno, NULL, "cannot use the loader %s", found);
    return 0;
}

int launch_archive_path(char *path, size_t size, struct base_error *error)
{
    if (!beside_program(ARCHIVE_IN_BUILD, path, size) &&
        !beside_program(ARCHIVE_INSTALLED, path, size))
        return base_fail(error, ENOENT, "build with `make`, or install with `make install`",
                         "the program that reads archives is missing: no %s beside this program",
                         ARCHIVE_INSTALLED);
    return 0;
}

int launch_profiles_path(char *path, size_t size)
{
    char found[PATH_MAX];

    if (!beside_program(PROFILES_IN_BUILD, found, sizeof(found)) &&
        !beside_program(PROFILES_INSTALLED, found, sizeof(found)))
        return -ENOENT;
    if (size < PATH_MAX)
        return -ENAMETOOLONG;
    return realpath(found, path) == NULL ? -errno : 0;
}
