#include "audit/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
