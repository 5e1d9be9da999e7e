/*
 * The device itself. Each open has a buffer of its own, as with the module: a memfd, made by the
 * first call that needs it, and mapped by the guest itself. Its size is sealed, and the process
 * kernel never maps it: what a guest writes there is bytes to be handed back and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/kapi-internal.h"
#include "linux/linux.h"
#include "vfs/device.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Documentation/admin-guide/devices.txt: 240 to 254 are for local use. */
#define LOCAL_MAJOR 240
#define LOCAL_MINOR 1

#define COMMANDS 14 /* that only inform */

/* One open file. */
struct kapi_open {
    int memfd; /* -1: not needed yet */
    int64_t position;
    uint32_t cursors[COMMANDS + 1]; /* next record of 7, 8, 11-14 */
};

static const struct kapi_information informations[] = {
    {1, sizeof(struct kapi_memory_info), false, 0, linux_kapi_memory_info},
    {2, sizeof(struct kapi_cpu_info), false, 0, linux_kapi_cpu_info},
    {3, sizeof(struct kapi_process_info), false, 0, linux_kapi_process_info},
    {5, sizeof(struct kapi_network_stats), false, 0, linux_kapi_network_stats},
    {6, sizeof(struct kapi_filesystem_info), false, 0, linux_kapi_filesystem_info},
    {7, sizeof(struct kapi_module_info), true, KAPI_GET_KERNEL_MODULE_AT, linux_kapi_module_info},
    {8, sizeof(struct kapi_interrupt_info), true, KAPI_GET_INTERRUPT_AT, linux_kapi_interrupt_info},
    {9, sizeof(struct kapi_loadavg_info), false, 0, linux_kapi_loadavg_info},
    {10, sizeof(struct kapi_kernel_config), false, 0, linux_kapi_kernel_config},
    {11, sizeof(struct kapi_pci_device_info), true, KAPI_GET_PCI_DEVICE_AT, linux_kapi_no_record},
    {12, sizeof(struct kapi_block_device_info), true, KAPI_GET_BLOCK_DEVICE_AT,
     linux_kapi_no_record},
    {13, sizeof(struct kapi_thermal_info), true, KAPI_GET_THERMAL_ZONE_AT, linux_kapi_no_record},
    {14, sizeof(struct kapi_kernel_log), true, KAPI_READ_KERNEL_LOG_AT, linux_kapi_no_record},
};

const struct kapi_information *linux_kapi_information(unsigned number)
{
    for (size_t i = 0; i < array_length(informations); i++)
        if (informations[i].number == number)
            return &informations[i];
    return NULL;
}

static struct kapi_open *open_of(const struct vfs_device_file *file)
{
    return vfs_device_state(file);
}

static int device_open(struct vfs_device_file *file, const struct vfs_actor *actor)
{
    struct kapi_open *open = calloc(1, sizeof(*open));

    (void)actor;
    if (open == NULL)
        return -ENOMEM;
    open->memfd = -1;
    vfs_device_set_state(file, open);
    return 0;
}

static void device_release(struct vfs_device_file *file)
{
    struct kapi_open *open = open_of(file);

    base_close(open->memfd);
    free(open);
    vfs_device_set_state(file, NULL);
}

/* ---- the buffer ---- */

static int need_buffer(struct kapi_open *open)
{
    cleanup_close int fd = -1;

    if (open->memfd >= 0)
        return 0;
    fd = memfd_create("kernel_api_exporter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, KAPI_BUFFER_SIZE) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return -errno;
    open->memfd = take_fd(&fd);
    return 0;
}

static size_t bytes_left(const struct kapi_open *open, size_t length)
{
    size_t left =
        open->position < KAPI_BUFFER_SIZE ? (size_t)(KAPI_BUFFER_SIZE - open->position) : 0;

    return length < left ? length : left;
}

static ssize_t device_read(struct vfs_device_file *file, void *bytes, size_t length)
{
    struct kapi_open *open = open_of(file);
    int r = need_buffer(open);
    ssize_t n;

    if (r < 0)
        return r;
    n = pread(open->memfd, bytes, bytes_left(open, length), open->position);
    if (n < 0)
        return -errno;
    open->position += n;
    return n;
}

static ssize_t device_write(struct vfs_device_file *file, const void *bytes, size_t length)
{
    struct kapi_open *open = open_of(file);
    size_t part = bytes_left(open, length);
    int r = need_buffer(open);
    ssize_t n;

    if (r < 0)
        return r;
    if (length > 0 && part == 0)
        return -ENOSPC;
    n = pwrite(open->memfd, bytes, part, open->position);
    if (n < 0)
        return -errno;
    open->position += n;
    return n;
}

static int64_t device_seek(struct vfs_device_file *file, int64_t offset, int whence)
{
    struct kapi_open *open = open_of(file);
    int64_t base = whence == SEEK_CUR ? open->position : whence == SEEK_END ? KAPI_BUFFER_SIZE : 0;

    if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END)
        return -EINVAL;
    if (offset < -base || offset > KAPI_BUFFER_SIZE - base)
        return -EINVAL;
    open->position = base + offset;
    return open->position;
}

static int device_mmap(struct vfs_device_file *file, size_t length, int protection, int flags,
                       uint64_t *offset, int *ret_fd)
{
    struct kapi_open *open = open_of(file);
    int r;

    if ((flags & MAP_TYPE) == MAP_PRIVATE) /* it would share nothing */
        return -EINVAL;
    if (protection & PROT_EXEC)
        return -EPERM;
    if (length == 0 || length > KAPI_BUFFER_SIZE || *offset > KAPI_BUFFER_SIZE - length)
        return -EINVAL;
    r = need_buffer(open);
    if (r < 0)
        return r;
    *ret_fd = open->memfd;
    return 0;
}

/* ---- commands ---- */

union record {
    struct kapi_memory_info memory;
    struct kapi_cpu_info cpu;
    struct kapi_process_info process;
    struct kapi_network_stats network;
    struct kapi_filesystem_info filesystem;
    struct kapi_module_info module;
    struct kapi_interrupt_info interrupt;
    struct kapi_loadavg_info loadavg;
    struct kapi_kernel_config config;
    struct kapi_pci_device_info pci;
    struct kapi_block_device_info block;
    struct kapi_thermal_info thermal;
    struct kapi_kernel_log log;
};

/* One record, by the cursor of this open where the command has many. */
static struct pk_answer inform(struct kapi_open *open, struct kapi_caller *caller,
                               const struct kapi_information *line, uint64_t argument)
{
    union record record = {0};
    uint32_t index = line->many ? open->cursors[line->number] : 0;
    int32_t pid = 0;
    int r = 0;

    if (line->number == 3)
        r = pk_read(caller->request, argument, &pid, sizeof(pid));
    if (r == 0)
        r = line->fill(caller, line->number == 3 ? (uint32_t)pid : index, &record);
    if (r == -ENODATA && line->many)
        open->cursors[line->number] = 0;
    if (r < 0)
        return pk_error(r);
    r = pk_write(caller->request, argument, &record, line->size);
    if (r == 0 && line->many)
        open->cursors[line->number] = index + 1;
    return pk_value(r);
}

/* The twins: a number and a reserved word stand before the structure. */
static struct pk_answer inform_at(struct kapi_caller *caller, const struct kapi_information *line,
                                  uint64_t argument)
{
    union record record = {0};
    uint32_t head[2];
    int r = pk_read(caller->request, argument, head, sizeof(head));

    if (r == 0 && head[1] != 0)
        r = -EINVAL;
    if (r == 0)
        r = line->fill(caller, head[0], &record);
    if (r == 0)
        r = pk_write(caller->request, argument + sizeof(head), &record, line->size);
    return pk_value(r);
}

static bool is_old_code(const struct kapi_information *line, uint32_t code)
{
    unsigned direction = line->number == 3 ? _IOC_READ | _IOC_WRITE : _IOC_READ;

    return code == _IOC(direction, KAPI_IOC_MAGIC, line->number, line->size);
}

static struct pk_answer versioned(struct kapi_caller *caller, uint32_t code, uint64_t argument)
{
    switch (_IOC_NR(code)) {
    case _IOC_NR(KAPI_GET_VERSION):
        return linux_kapi_get_version(caller, argument, _IOC_SIZE(code));
    case _IOC_NR(KAPI_BATCH):
        return linux_kapi_batch(caller, argument, _IOC_SIZE(code));
    case _IOC_NR(KAPI_GET_PROCESS_LIST):
        return linux_kapi_get_process_list(caller, argument, _IOC_SIZE(code));
    default:
        return pk_error(-ENOTTY);
    }
}

static struct pk_answer dispatch(struct kapi_open *open, struct kapi_caller *caller,
                                 uint32_t command, uint64_t argument)
{
    const struct kapi_information *line = linux_kapi_information(_IOC_NR(command));

    if (_IOC_TYPE(command) != KAPI_IOC_MAGIC)
        return pk_error(-ENOTTY);
    if (line && is_old_code(line, command))
        return inform(open, caller, line, argument);
    if (line && line->at_code && command == line->at_code)
        return inform_at(caller, line, argument);
    if (_IOC_NR(command) > KAPI_IOC_MAXNR && _IOC_DIR(command) == (_IOC_READ | _IOC_WRITE))
        return versioned(caller, command, argument);
    return linux_kapi_control(caller, command, argument);
}

static struct pk_answer device_ioctl(struct vfs_device_file *file, struct pk_request *request,
                                     uint32_t command, uint64_t argument)
{
    struct kapi_caller caller = {.request = request};
    struct pk_answer answer;

    linux_actor(request, &caller.actor);
    answer = dispatch(open_of(file), &caller, command, argument);
    strbuf_free(&caller.list);
    return answer;
}

static const struct vfs_device_ops operations = {.open = device_open,
                                                 .read = device_read,
                                                 .write = device_write,
                                                 .ioctl = device_ioctl,
                                                 .mmap = device_mmap,
                                                 .seek = device_seek,
                                                 .release = device_release};

int linux_kapi_add(struct vfs_fs *dev)
{
    /* Everybody may use it: it tells a guest about itself and reaches nothing else. */
    static const struct vfs_device device = {
        .ops = &operations, .mode = 0666, .number = LOCAL_MAJOR << 8 | LOCAL_MINOR};

    return vfs_dev_add(dev, KAPI_DEVICE_NAME, &device);
}
