/*
 * Which mounts of the host guests may enter. Below "/" lie /proc, /sys and /dev: their files act on
 * the host as a whole or on the process kernel itself. The root of such a mount appears as an empty
 * directory (mount points of our own lie there), everything below it does not exist.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "vfs/host-internal.h"

static char allowed_device;

/* f_type values from include/uapi/linux/magic.h and the file systems' own sources. */
static const uint32_t forbidden_magics[] = {
    0x9fa0,     /* proc */
    0x62656572, /* sysfs */
    0x1cd1,     /* devpts */
    0x27e0eb,   /* cgroup */
    0x63677270, /* cgroup2 */
    0x64626720, /* debugfs */
    0x74726163, /* tracefs */
    0x73636673, /* securityfs */
    0xcafe4a11, /* bpf */
    0x19800202, /* mqueue */
    0x62656570, /* configfs */
    0x6165676c, /* pstore */
    0xde5e81e4, /* efivarfs */
    0x42494e4d, /* binfmt_misc */
    0x65735543, /* fusectl */
    0x67596969, /* rpc_pipefs */
    0x6e667364, /* nfsd */
    0xf97cff8c, /* selinuxfs */
    0x43415d53, /* smackfs */
    0x5a3c69f0, /* apparmorfs */
    0x6c6f6f70, /* binderfs */
    0x07655821, /* resctrl */
    0x6e736673, /* nsfs */
    0x50494446, /* pidfs */
};

/* devtmpfs has the magic of tmpfs; only the mount table tells them apart. */
static bool is_devtmpfs(dev_t device)
{
    cleanup_file FILE *table = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;

    if (table == NULL)
        return true; /* without the table nothing is known to be harmless */
    while (!found && getline(&line, &size, table) > 0) {
        unsigned major_number, minor_number;
        const char *type = strstr(line, " - ");

        if (type == NULL || sscanf(line, "%*d %*d %u:%u", &major_number, &minor_number) != 2)
            continue;
        found =
            makedev(major_number, minor_number) == device && strncmp(type + 3, "devtmpfs ", 9) == 0;
    }
    free(line);
    return found;
}

bool host_is_forbidden(int fd, dev_t device)
{
    struct statfs info;

    if (fstatfs(fd, &info) < 0)
        return true;
    for (size_t i = 0; i < array_length(forbidden_magics); i++)
        if ((uint32_t)info.f_type == forbidden_magics[i])
            return true;
    return (uint32_t)info.f_type == 0x01021994 && is_devtmpfs(device);
}

bool host_device_allowed(struct host_fs *fs, dev_t device, int fd)
{
    if (device == fs->device || map_get(&fs->verdicts, device))
        return true;
    if (host_is_forbidden(fd, device))
        return false;
    /* Failing to remember costs time only. */
    (void)map_set(&fs->verdicts, device, &allowed_device);
    return true;
}
