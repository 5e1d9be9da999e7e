/*
 * Further walls around the guest, behind the filter. None of them is needed for anything to work;
 * they hold where the filter or a handler should fail.
 *
 * Landlock: no file system access but reading and executing the loader, no TCP when the guest gets
 * no network, no signals and no abstract sockets beyond the guest. Costs nothing measurable, works
 * without privileges, does not touch descriptors that are handed in.
 *
 * Namespaces: mount (an empty read-only root that holds the loader at its own path), IPC and UTS,
 * together 0.15 ms at the start. A network namespace would cost 0.4 ms more and adds little to a
 * filter that hands out no network sockets and a Landlock that keeps TCP and abstract sockets in;
 * there is one where Landlock cannot do that, or where walls are required.
 *
 * With CAP_SYS_ADMIN no user namespace is needed. Without it one is, and as it can map only our own
 * ids, the host's fstat(2) would show everybody else as "nobody" in there. So that is done only
 * when identities are virtual (fstat is served then) or walls are required.
 *
 * No PID namespace: numbers inside and outside would differ, and every number that a call carries
 * would have to be translated.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "trap/trap-internal.h"

/* A directory that is there on every host that we run on, and that the guest has no use for. */
#define ROOT_BUILT_AT "/proc"

/* include/uapi/linux/landlock.h by ABI version; the headers we are built with may be older. */
#define LANDLOCK_FS_ABI_1    ((1ULL << 13) - 1)
#define LANDLOCK_FS_ABI_2    (1ULL << 13)      /* REFER */
#define LANDLOCK_FS_ABI_3    (1ULL << 14)      /* TRUNCATE */
#define LANDLOCK_FS_ABI_5    (1ULL << 15)      /* IOCTL_DEV */
#define LANDLOCK_NET_ABI_4   ((1ULL << 2) - 1) /* BIND_TCP, CONNECT_TCP */
#define LANDLOCK_SCOPE_ABI_6 ((1ULL << 2) - 1) /* abstract sockets, signals */

/* From here on a domain keeps signals and abstract sockets in. */
#define SCOPING_ABI 6

struct landlock_attributes {
    uint64_t handled_fs;
    uint64_t handled_net; /* ABI 4 */
    uint64_t scoped;      /* ABI 6 */
};

static struct landlock_attributes landlock_attributes(int abi, enum pk_net_mode net)
{
    struct landlock_attributes attributes = {.handled_fs = LANDLOCK_FS_ABI_1};

    attributes.handled_fs |= abi >= 2 ? LANDLOCK_FS_ABI_2 : 0;
    attributes.handled_fs |= abi >= 3 ? LANDLOCK_FS_ABI_3 : 0;
    attributes.handled_fs |= abi >= 5 ? LANDLOCK_FS_ABI_5 : 0;
    attributes.handled_net = abi >= 4 && net == PK_NET_NONE ? LANDLOCK_NET_ABI_4 : 0;
    attributes.scoped = abi >= 6 ? LANDLOCK_SCOPE_ABI_6 : 0;
    return attributes;
}

static size_t landlock_attributes_size(int abi)
{
    if (abi >= 6)
        return sizeof(struct landlock_attributes);
    return abi >= 4 ? offsetof(struct landlock_attributes, scoped)
                    : offsetof(struct landlock_attributes, handled_net);
}

/* Makes a ruleset with the loader as its only exception. Returns it or a negative errno. */
static int make_ruleset(const struct trap *trap)
{
    int abi = trap->features.landlock_abi;
    struct landlock_attributes attributes = landlock_attributes(abi, trap->kernel->config.net);
    cleanup_close int path = open(trap->loader_path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr loader = {.allowed_access = LANDLOCK_ACCESS_FS_EXECUTE |
                                                                  LANDLOCK_ACCESS_FS_READ_FILE,
                                                .parent_fd = path};
    cleanup_close int ruleset = -1;

    if (path < 0)
        return -errno;
    ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attributes, landlock_attributes_size(abi), 0);
    if (ruleset < 0 ||
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &loader, 0) < 0)
        return -errno;
    return take_fd(&ruleset);
}

static bool may_unshare(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};

    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1U << CAP_SYS_ADMIN));
}

static void choose_namespaces(const struct trap *trap, const struct trap_start *start,
                              struct trap_walls *walls)
{
    bool scoped = walls->landlock_ruleset >= 0 && trap->features.landlock_abi >= SCOPING_ABI;
    bool no_network = trap->kernel->config.net == PK_NET_NONE;

    walls->user_namespace = !may_unshare();
    walls->namespaces =
        !walls->user_namespace || (trap->features.user_namespaces &&
                                   (trap->kernel->config.virtual_identity || start->require_walls));
    walls->network_namespace = walls->namespaces && no_network && (!scoped || start->require_walls);
    /* The process kernel makes sockets for guests in the host's network namespace. */
    walls->unix_isolated = walls->namespaces && scoped;
}

int walls_plan(struct trap *trap, const struct trap_start *start, struct trap_walls *ret_walls,
               struct base_error *error)
{
    struct trap_walls walls = {.landlock_ruleset = -1};
    bool wanted = start->walls || start->require_walls;

    if (wanted && trap->features.landlock_abi > 0)
        walls.landlock_ruleset = make_ruleset(trap);
    if (wanted)
        choose_namespaces(trap, start, &walls);
    if (start->require_walls && (!walls.namespaces || walls.landlock_ruleset < 0)) {
        walls_release(&walls);
        return base_fail(error, EPERM, "see: cerebro doctor",
                         "this host has no %s, and further walls are required",
                         walls.namespaces ? "Landlock" : "namespaces for us");
    }
    *ret_walls = walls;
    return 0;
}

void walls_release(struct trap_walls *walls)
{
    base_close(walls->landlock_ruleset);
    walls->landlock_ruleset = -1;
}

/* Writes one of the files that set up a user namespace. */
static int write_text(const char *path, const char *text)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
}

/* Our own ids as themselves; nobody else exists in there. */
static int map_ids(uid_t uid, gid_t gid)
{
    char text[64];
    int r;

    snprintf(text, sizeof(text), "%u %u 1", uid, uid);
    r = write_text("/proc/self/uid_map", text);
    if (r == 0)
        r = write_text("/proc/self/setgroups", "deny");
    snprintf(text, sizeof(text), "%u %u 1", gid, gid);
    return r < 0 ? r : write_text("/proc/self/gid_map", text);
}

/* Makes the directories and the empty file that the loader is mounted on. */
static int make_mount_point(char *path)
{
    cleanup_close int fd = -1;

    for (char *slash = strchr(path + sizeof(ROOT_BUILT_AT), '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
    return fd < 0 ? -errno : 0;
}

static int build_root(const char *loader)
{
    char path[sizeof(ROOT_BUILT_AT) + LOADER_PATH_SIZE];
    unsigned long locked = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
    int r;

    snprintf(path, sizeof(path), ROOT_BUILT_AT "%s", loader);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", ROOT_BUILT_AT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") < 0)
        return -errno;
    r = make_mount_point(path);
    if (r < 0)
        return r;
    if (mount(loader, path, NULL, MS_BIND, NULL) < 0 || mount(NULL, path, NULL, locked, NULL) < 0 ||
        mount(NULL, ROOT_BUILT_AT, NULL, locked | MS_NOEXEC, NULL) < 0)
        return -errno;
    return 0;
}

/* pivot_root does not work where the host's root is an initramfs; moving the mount does. */
static int change_root(void)
{
    if (chdir(ROOT_BUILT_AT) < 0)
        return -errno;
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ? -errno : 0;
    if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

int walls_enter_namespaces(const struct child_plan *plan)
{
    const struct trap_walls *walls = plan->walls;
    int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int r = 0;

    if (!walls->namespaces)
        return 0;
    flags |= walls->user_namespace ? CLONE_NEWUSER : 0;
    flags |= walls->network_namespace ? CLONE_NEWNET : 0;
    if (unshare(flags) < 0)
        return -errno;
    /* New capabilities made us undumpable: /proc/self would belong to root now. */
    if (prctl(PR_SET_DUMPABLE, 1) < 0)
        return -errno;
    if (walls->user_namespace)
        r = map_ids(uid, gid);
    if (r == 0)
        r = build_root(plan->loader_path);
    return r < 0 ? r : change_root();
}

int walls_restrict(const struct trap_walls *walls)
{
    if (walls->landlock_ruleset < 0)
        return 0;
    return syscall(SYS_landlock_restrict_self, walls->landlock_ruleset, 0) < 0 ? -errno : 0;
}
