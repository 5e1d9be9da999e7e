/* The kernel and its commands, and the file system at the caller's root. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/kapi-internal.h"

#define ST_VALID 0x20 /* statfs(2) always sets it; the C library hides it */

/* ---- file system ---- */

/* The mount that covers a path: the longest one that is a prefix of it. */
struct covering {
    const char *path;
    size_t best;
    struct kapi_filesystem_info *info;
};

static int visit_mount(const struct vfs_mount_info *mount, void *user)
{
    struct covering *covering = user;
    size_t length = strlen(mount->path);
    bool covers = length == 1 || (strncmp(covering->path, mount->path, length) == 0 &&
                                  (covering->path[length] == '/' || !covering->path[length]));

    if (!covers || length < covering->best)
        return 0;
    covering->best = length;
    linux_kapi_copy_line(covering->info->fs_type, sizeof(covering->info->fs_type), mount->type);
    linux_kapi_copy_line(covering->info->device_name, sizeof(covering->info->device_name),
                         mount->source);
    return 0;
}

int linux_kapi_filesystem_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    struct vfs *vfs = caller->request->kernel->vfs;
    struct vfs_place *own = caller->request->context->root;
    cleanup_place struct vfs_place *root = own ? vfs_place_ref(own) : vfs_root(vfs);
    struct kapi_filesystem_info *info = record;
    struct covering covering = {.path = vfs_place_path(root), .info = info};
    struct statfs statfs;
    int r = vfs_statfs(root, &statfs);

    (void)index;
    if (r < 0)
        return r;
    vfs_for_each_mount(vfs, visit_mount, &covering);
    info->total_blocks = statfs.f_blocks;
    info->free_blocks = statfs.f_bfree;
    info->available_blocks = statfs.f_bavail;
    info->total_inodes = statfs.f_files;
    info->free_inodes = statfs.f_ffree;
    info->block_size = (uint64_t)(statfs.f_frsize ? statfs.f_frsize : statfs.f_bsize);
    info->max_filename_len = (uint64_t)statfs.f_namelen;
    info->flags = (uint64_t)statfs.f_flags | ST_VALID;
    snprintf(info->mount_point, sizeof(info->mount_point), "/");
    return 0;
}

/* ---- configuration ---- */

/* The coarse clock advances with each tick: its resolution tells how many there are. */
static uint64_t ticks_per_second(void)
{
    struct timespec tick;

    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0 || tick.tv_nsec <= 0)
        return 0;
    return (1000000000ULL + (uint64_t)tick.tv_nsec / 2) / (uint64_t)tick.tv_nsec;
}

static void copy_span(char *field, size_t size, const char *from, const char *end)
{
    size_t length = (size_t)(end - from);

    if (length >= size)
        length = size - 1;
    memcpy(field, from, length);
    field[length] = '\0';
}

/* Behind "#1 " come words of the configuration in capitals, then the date. */
static const char *skip_build_words(const char *text)
{
    static const char *const words[] = {"SMP ",          "PREEMPT_DYNAMIC ", "PREEMPT_RT ",
                                        "PREEMPT_LAZY ", "PREEMPT ",         "RT "};
    bool again = true;

    text += strcspn(text, " ");
    text += strspn(text, " ");
    while (again) {
        again = false;
        for (size_t i = 0; i < array_length(words); i++) {
            size_t length = strlen(words[i]);

            if (strncmp(text, words[i], length) == 0) {
                text += length;
                again = true;
            }
        }
    }
    return text;
}

/* "Linux version 6.1.0 (user@host) (gcc (Debian) 12, GNU ld) #1 SMP DATE" */
static void add_version(const char *text, struct kapi_kernel_config *config)
{
    const char *by = strchr(text, '('), *at = by ? strchr(by, '@') : NULL;
    const char *close = at ? strchr(at, ')') : NULL, *build = strstr(text, ") #");

    if (close == NULL || build == NULL || build < close + 3)
        return;
    copy_span(config->compile_by, sizeof(config->compile_by), by + 1, at);
    copy_span(config->compile_host, sizeof(config->compile_host), at + 1, close);
    copy_span(config->compiler, sizeof(config->compiler), close + 3, build);
    linux_kapi_copy_line(config->compile_time, sizeof(config->compile_time), build + 2);
    linux_kapi_copy_line(config->build_date, sizeof(config->build_date),
                         skip_build_words(build + 2));
}

int linux_kapi_kernel_config(struct kapi_caller *caller, uint32_t index, void *record)
{
    struct kapi_kernel_config *config = record;
    cleanup_strbuf struct strbuf version = {0}, cpuinfo = {0};
    const char *sizes;
    struct utsname name;
    int r = linux_kapi_text(caller, &version, "/proc/version");

    (void)index;
    if (r == 0)
        r = linux_kapi_text(caller, &cpuinfo, "/proc/cpuinfo");
    if (r < 0 || uname(&name) < 0)
        return r < 0 ? r : -errno;
    add_version(strbuf_text(&version), config);
    linux_kapi_copy_line(config->version, sizeof(config->version), name.release);
    snprintf(config->arch, sizeof(config->arch), "x86_64");
    config->hz = ticks_per_second();
    config->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    sizes = linux_kapi_line(strbuf_text(&cpuinfo), "address sizes");
    if (sizes)
        sscanf(sizes, "%" SCNu64 " bits physical, %" SCNu64, (uint64_t *)&config->phys_addr_bits,
               (uint64_t *)&config->virt_addr_bits);
    return 0;
}

/* ---- commands ---- */

static int put_number(char *result, size_t size, uint64_t number)
{
    snprintf(result, size, "%" PRIu64, number);
    return 0;
}

static int put_release(struct kapi_caller *caller, char *result, size_t size)
{
    struct utsname name;

    (void)caller;
    if (uname(&name) < 0)
        return -errno;
    snprintf(result, size, "%s", name.release);
    return 0;
}

static int put_uptime(struct kapi_caller *caller, char *result, size_t size)
{
    struct timespec now;

    (void)caller;
    if (clock_gettime(CLOCK_BOOTTIME, &now) < 0)
        return -errno;
    return put_number(result, size, (uint64_t)now.tv_sec);
}

static int put_hostname(struct kapi_caller *caller, char *result, size_t size)
{
    snprintf(result, size, "%s", linux_state(caller->request->kernel)->hostname);
    return 0;
}

static int put_domainname(struct kapi_caller *caller, char *result, size_t size)
{
    snprintf(result, size, "%s", linux_state(caller->request->kernel)->domainname);
    return 0;
}

static int put_total_memory(struct kapi_caller *caller, char *result, size_t size)
{
    struct kapi_memory_info info = {0};
    int r = linux_kapi_memory_info(caller, 0, &info);

    return r < 0 ? r : put_number(result, size, info.total_ram);
}

static int put_free_memory(struct kapi_caller *caller, char *result, size_t size)
{
    struct kapi_memory_info info = {0};
    int r = linux_kapi_memory_info(caller, 0, &info);

    return r < 0 ? r : put_number(result, size, info.free_ram);
}

static int put_cpu_count(struct kapi_caller *caller, char *result, size_t size)
{
    struct kapi_cpu_info info = {0};
    int r = linux_kapi_cpu_info(caller, 0, &info);

    return r < 0 ? r : put_number(result, size, info.num_online_cpus);
}

static int put_page_size(struct kapi_caller *caller, char *result, size_t size)
{
    (void)caller;
    return put_number(result, size, (uint64_t)sysconf(_SC_PAGESIZE));
}

static int put_hz(struct kapi_caller *caller, char *result, size_t size)
{
    (void)caller;
    return put_number(result, size, ticks_per_second());
}

/* The kernel's counter starts five minutes before it would run over in 32 bits. */
static int put_jiffies(struct kapi_caller *caller, char *result, size_t size)
{
    uint64_t hertz = ticks_per_second();
    struct timespec now;

    (void)caller;
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        return -errno;
    return put_number(result, size,
                      (1ULL << 32) - 300 * hertz + (uint64_t)now.tv_sec * hertz +
                          (uint64_t)now.tv_nsec * hertz / 1000000000);
}

void linux_kapi_kernel_command(struct kapi_caller *caller, struct kapi_kernel_cmd *command)
{
    static const struct {
        const char *name;
        int (*put)(struct kapi_caller *caller, char *result, size_t size);
    } commands[] = {
        {"get_kernel_version", put_release},
        {"get_uptime", put_uptime},
        {"get_hostname", put_hostname},
        {"get_domainname", put_domainname},
        {"get_total_memory", put_total_memory},
        {"get_free_memory", put_free_memory},
        {"get_cpu_count", put_cpu_count},
        {"get_page_size", put_page_size},
        {"get_hz", put_hz},
        {"get_jiffies", put_jiffies},
    };

    memset(command->result, 0, sizeof(command->result));
    for (size_t i = 0; i < array_length(commands); i++) {
        if (strcmp(command->command, commands[i].name) == 0) {
            command->status = commands[i].put(caller, command->result, sizeof(command->result));
            return;
        }
    }
    command->status = -EINVAL;
    snprintf(command->result, sizeof(command->result), "Unknown command");
}
