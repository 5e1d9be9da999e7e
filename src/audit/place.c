#include "audit/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/rotation.h"
#include "base/cleanup.h"

int audit_place(char path[PATH_MAX])
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length = 0;

    if (state && state[0] == '/')
        length = snprintf(path, PATH_MAX, "%s/cerebro", state);
    else if (geteuid() == 0)
        length = snprintf(path, PATH_MAX, "/var/log/cerebro");
    else if (home && home[0] == '/')
        length = snprintf(path, PATH_MAX, "%s/.local/state/cerebro", home);
    return length > 0 && length < PATH_MAX ? 0 : -ENOENT;
}

/* mkdir -p; what is there already is left as it is. */
static void make_path(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    mkdir(path, 0700);
}

int audit_place_open(bool make)
{
    char path[PATH_MAX];
    int r = audit_place(path);
    int fd;

    if (r < 0)
        return r;
    fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make) {
        make_path(path);
        fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    return fd < 0 ? -errno : fd;
}

/* What is there of a path that is to be made. */
static int check_above(char *path)
{
    int r;

    while ((r = faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0) == -ENOENT) {
        char *slash = strrchr(path, '/');

        slash[slash == path] = '\0';
    }
    return r;
}

int audit_place_check(void)
{
    char path[PATH_MAX];
    cleanup_close int directory = audit_place_open(false);
    cleanup_close int fd = -1;
    struct stat stat;

    if (directory == -ENOENT)
        return audit_place(path) < 0 ? -ENOENT : check_above(path);
    if (directory < 0)
        return directory;
    if (faccessat(directory, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return -errno;
    fd = openat(directory, AUDIT_FILE_NAME,
                O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return -errno;
    return rotation_accepts(&stat) ? 0 : -EPERM;
}
