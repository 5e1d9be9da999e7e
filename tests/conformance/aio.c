/* Asynchronous I/O of the kernel. */
#define FAMILY "aio"
#include "conform.h"

#include <linux/aio_abi.h>

static aio_context_t context;

static void set_up(void)
{
    if (syscall(SYS_io_setup, 8, &context) < 0 && errno == ENOSYS)
        skip("not in this kernel");
    must(context);
}

static long submit(struct iocb *block)
{
    return syscall(SYS_io_submit, context, 1, &block);
}

REFUSED(setup_none, "io_setup(2) EINVAL", syscall(SYS_io_setup, 0, &context), EINVAL)
REFUSED(setup_pointer, "io_setup(2) EFAULT", syscall(SYS_io_setup, 1, 8), EFAULT)
REFUSED(destroy_bad, "io_destroy(2) EINVAL", syscall(SYS_io_destroy, 8), EINVAL)
REFUSED(submit_bad, "io_submit(2) EINVAL", syscall(SYS_io_submit, 8, 1, NULL), EINVAL)
REFUSED(setup_used, "io_setup(2) EINVAL: the context is not 0", ({
            context = 5;
            syscall(SYS_io_setup, 1, &context);
        }),
        EINVAL)

CHECK(write_and_read, "io_submit(2), io_getevents(2)")
{
    char text[8] = "";
    struct io_event event;
    int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0644));
    struct iocb block = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                         .aio_fildes = (uint32_t)fd,
                         .aio_buf = (uintptr_t) "text",
                         .aio_nbytes = 4,
                         .aio_data = 7};

    set_up();
    is(submit(&block), 1);
    is(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
    is(event.res, 4);
    is(event.data, 7);
    content("f", "text");
    block.aio_lio_opcode = IOCB_CMD_PREAD;
    block.aio_buf = (uintptr_t)text;
    is(submit(&block), 1);
    is(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
    same(text, "text");
    ok(syscall(SYS_io_destroy, context));
}

CHECK(bad_descriptor, "io_submit(2) EBADF")
{
    struct iocb block = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = 99};

    set_up();
    fails(submit(&block), EBADF);
}
CHECK(times_out, "io_getevents(2): 0 after the timeout")
{
    struct io_event event;

    set_up();
    is(syscall(SYS_io_getevents, context, 1, 1, &event, &(struct timespec){0, 1000000}), 0);
}
