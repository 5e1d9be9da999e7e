/* Where profiles are, and whose directories these are. */
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/run-options.h"

#define LINE_MAX_OF_PASSWD 4096

static const char *absolute(const char *path)
{
    return path && path[0] == '/' ? path : NULL;
}

/* Without symbolic links; NULL where there is nothing. */
static const char *canonical(const char *path, char buffer[4096])
{
    cleanup_free char *found = path ? realpath(path, NULL) : NULL;

    return found && snprintf(buffer, 4096, "%s", found) < 4096 ? buffer : NULL;
}

/* ---- home directories ---- */

/* On whose files we may be at work. Returns how many there are, PROFILE_HOMES_MAX at most. */
static unsigned find_users(const char *cwd, uid_t ret_users[PROFILE_HOMES_MAX])
{
    const char *sudo = getenv("SUDO_UID");
    struct stat stat_buf;
    uint64_t number;
    unsigned count = 0;

    ret_users[count++] = getuid();
    if (sudo && io_parse_u64(sudo, UINT32_MAX - 1, &number) == 0)
        ret_users[count++] = (uid_t)number;
    if (stat(cwd, &stat_buf) == 0)
        ret_users[count++] = stat_buf.st_uid;
    return count;
}

/*
 * The file is read as it is: getpwuid() loads libraries that /etc/nsswitch.conf names, and this is
 * a static program. So homes that only a directory service knows are not found.
 */
static void find_other_homes(struct run_places *found)
{
    FILE *file = fopen("/etc/passwd", "re");
    uid_t users[PROFILE_HOMES_MAX];
    unsigned count = find_users(found->places.cwd, users);
    char line[LINE_MAX_OF_PASSWD];
    struct passwd entry, *next;

    while (file && fgetpwent_r(file, &entry, line, sizeof(line), &next) == 0)
        for (unsigned i = 0; i < count; i++)
            if (entry.pw_uid == users[i] && found->places.other_homes[i] == NULL)
                found->places.other_homes[i] =
                    canonical(absolute(entry.pw_dir), found->other_homes[i]);
    if (file)
        fclose(file);
}

/* ---- all places ---- */

static void find_user_profiles(struct run_places *found)
{
    const char *config = absolute(getenv("XDG_CONFIG_HOME"));
    const char *home = found->places.home;
    int length = -1;

    if (config)
        length = snprintf(found->user, sizeof(found->user), "%s/cerebro/profiles", config);
    else if (home)
        length = snprintf(found->user, sizeof(found->user), "%s/.config/cerebro/profiles", home);
    if (length > 0 && (size_t)length < sizeof(found->user))
        found->places.user = found->user;
}

void run_places_find(struct run_places *ret_places)
{
    struct profile_places *places = &ret_places->places;

    *places = (struct profile_places){.home = absolute(getenv("HOME")), .cwd = "/"};
    if (launch_profiles_path(ret_places->shipped, sizeof(ret_places->shipped)) == 0)
        places->shipped = ret_places->shipped;
    find_user_profiles(ret_places);
    if (getcwd(ret_places->cwd, sizeof(ret_places->cwd)))
        places->cwd = ret_places->cwd;
    places->real_home = canonical(places->home, ret_places->real_home);
    find_other_homes(ret_places);
}
