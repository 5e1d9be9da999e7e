/*
 * A kernel for embedded hardware: a board with registers and a memory of its own, which a guest
 * drives with open and ioctl on /dev/board0. Neither exists on the host.
 *
 *     cc embedded-device.c -o embedded-device $(pkg-config --cflags --libs cerebro)
 *     ./embedded-device                    the guest is this program again: see drive() below
 *
 * The device is recognised by the inode of what open has given, so the guest may dup and fork; all
 * other ioctls are served as usual. Blocks travel through buffers from an allocator with the
 * qualities that DMA asks for: locked, page by page, out of a fixed pool.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerebro/process_kernel.h>

/* ---- what guest and device agree on ---- */

enum { REG_ID, REG_LED, REG_TRANSFERS, REG_COUNT }; /* all but the LED can only be read */
struct board_register {
    uint32_t number, value;
};
struct board_transfer {
    uint64_t address;
    uint32_t offset, length;
};

#define BOARD_READ   _IOWR('b', 1, struct board_register)
#define BOARD_WRITE  _IOW('b', 2, struct board_register)
#define BOARD_TO     _IOW('b', 3, struct board_transfer) /* guest memory to the board's */
#define BOARD_FROM   _IOW('b', 4, struct board_transfer)
#define BOARD_MEMORY 65536

/* ---- the guest ---- */

static int drive(void)
{
    char text[32] = "through the board's memory", back[32] = "";
    struct board_register reg = {.number = REG_ID};
    struct board_transfer to = {(uintptr_t)text, 4096, sizeof(text)};
    struct board_transfer from = {(uintptr_t)back, 4096, sizeof(back)};
    int fd = open("/dev/board0", O_RDWR);

    if (fd < 0 || ioctl(fd, BOARD_READ, &reg) < 0)
        return 1;
    printf("board %#x\n", reg.value);
    reg = (struct board_register){REG_LED, 1};
    printf("LED: %s\n", ioctl(fd, BOARD_WRITE, &reg) == 0 ? "on" : strerror(errno));
    if (ioctl(fd, BOARD_TO, &to) < 0 || ioctl(dup(fd), BOARD_FROM, &from) < 0)
        return 1;
    reg.number = REG_TRANSFERS;
    ioctl(fd, BOARD_READ, &reg);
    printf("%u transfers: %s\n", reg.value, back);
    reg.number = REG_ID;
    printf("writing the id: %s\n", ioctl(fd, BOARD_WRITE, &reg) < 0 ? strerror(errno) : "done");
    to.offset = BOARD_MEMORY;
    printf("beyond its memory: %s\n", ioctl(fd, BOARD_TO, &to) < 0 ? strerror(errno) : "done");
    printf("a pipe: %s\n", ioctl(STDIN_FILENO, BOARD_READ, &reg) < 0 ? strerror(errno) : "done");
    return 0;
}

/* ---- memory for transfers: 16 slots; one word says which are taken ---- */

#define SLOTS     16
#define SLOT_SIZE 8192

static char *pool;
static atomic_uint taken;

static void *dma_malloc(size_t size)
{
    for (unsigned slot = 0; size <= SLOT_SIZE && slot < SLOTS; slot++)
        if (!(atomic_fetch_or(&taken, 1U << slot) >> slot & 1))
            return pool + slot * SLOT_SIZE;
    return NULL;
}

static void dma_free(void *memory)
{
    atomic_fetch_and(&taken, ~(1U << ((char *)memory - pool) / SLOT_SIZE));
}

/* ---- the device; several handlers run at a time, but a guest's own races are its own ---- */

static atomic_uint registers[REG_COUNT] = {0xb0a2d};
static char memory[BOARD_MEMORY];
static int node; /* a memfd that stands for the device */

static long transfer(struct pk_call *call, const struct board_transfer *block, int to_board)
{
    char *buffer;
    long r;

    if (block->length > BOARD_MEMORY || block->offset > BOARD_MEMORY - block->length)
        return -ERANGE;
    buffer = pk_malloc(pk_get_current(), block->length);
    if (buffer == NULL)
        return -ENOMEM;
    if (!to_board)
        memcpy(buffer, memory + block->offset, block->length);
    r = to_board ? pk_call_read(call, block->address, buffer, block->length)
                 : pk_call_write(call, block->address, buffer, block->length);
    if (r == 0 && to_board)
        memcpy(memory + block->offset, buffer, block->length);
    if (r == 0)
        atomic_fetch_add(&registers[REG_TRANSFERS], 1);
    pk_free(pk_get_current(), buffer);
    return r;
}

static long access_register(struct pk_call *call, struct board_register *reg, int is_write)
{
    if (reg->number >= REG_COUNT || (is_write && reg->number != REG_LED))
        return reg->number >= REG_COUNT ? -ENXIO : -EPERM;
    if (is_write)
        atomic_store(&registers[reg->number], reg->value);
    reg->value = atomic_load(&registers[reg->number]);
    return is_write ? 0 : pk_call_write(call, pk_call_arg(call, 2), reg, sizeof(*reg));
}

/* Arguments are copied once, and the copy decides: another thread can change the guest's memory. */
static long board_ioctl(struct pk_call *call, void *user)
{
    unsigned request = (unsigned)pk_call_arg(call, 1);
    struct board_register reg;
    struct board_transfer block;
    struct stat it, ours;
    char link[64];

    (void)user;
    snprintf(link, sizeof(link), "/proc/%d/fd/%d", pk_call_pid(call), (int)pk_call_arg(call, 0));
    if (stat(link, &it) < 0 || fstat(node, &ours) < 0 || it.st_ino != ours.st_ino ||
        it.st_dev != ours.st_dev)
        return pk_call_forward(call);
    if (request == BOARD_READ || request == BOARD_WRITE)
        return pk_call_read(call, pk_call_arg(call, 2), &reg, sizeof(reg)) < 0
                   ? -EFAULT
                   : access_register(call, &reg, request == BOARD_WRITE);
    if (request == BOARD_TO || request == BOARD_FROM)
        return pk_call_read(call, pk_call_arg(call, 2), &block, sizeof(block)) < 0
                   ? -EFAULT
                   : transfer(call, &block, request == BOARD_TO);
    return -ENOTTY;
}

static long board_open(struct pk_call *call, void *user)
{
    char path[64];

    (void)user;
    if (pk_call_read_string(call, pk_call_arg(call, 1), path, sizeof(path)) < 0 ||
        strcmp(path, "/dev/board0") != 0)
        return pk_call_forward(call);
    return pk_call_return_fd(call, node, pk_call_arg(call, 2) & O_CLOEXEC);
}

static int complain(void)
{
    fprintf(stderr, "embedded-device: %s\n  try: %s\n", pk_last_error(), pk_last_hint());
    return 125;
}

int main(int argc, char **argv)
{
    char self[4096] = "";
    char *guest[] = {self, "--drive", NULL};
    process_kernel_t *kernel;
    int status;

    if (argc == 2 && strcmp(argv[1], "--drive") == 0)
        return drive();
    node = memfd_create("board0", MFD_CLOEXEC);
    pool =
        mmap(NULL, SLOTS * SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (node < 0 || pool == MAP_FAILED || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 125;
    if (mlock(pool, SLOTS * SLOT_SIZE) < 0)
        perror("embedded-device: the pool is not locked");
    kernel = pk_create(PK_TYPE_CUSTOM, "embedded-device");
    if (kernel == NULL || pk_register_allocator(kernel, dma_malloc, dma_free) < 0 ||
        pk_set_handler(kernel, SYS_openat, board_open, NULL) < 0 ||
        pk_set_handler(kernel, SYS_ioctl, board_ioctl, NULL) < 0)
        return complain();
    if (pk_spawn(kernel, guest) < 0 || pk_wait(kernel, &status) < 0)
        return complain();
    pk_destroy(kernel);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
