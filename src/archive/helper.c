/*
 * The process itself. What it reads comes from anybody, so before the first byte of it is looked at
 * everything is given up but reading the archive, writing to files that it was handed, and talking
 * to its parent.
 */
#include "archive/helper-internal.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A dictionary of xz or zstd is part of it; the largest that its own tools make by default fit. */
#define MEMORY_MAX (1ULL << 30)
#define CPU_MAX    1800 /* seconds */

#define ALLOW(number)                                    \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* The number of the call unless its third argument, the protection, has PROT_EXEC. */
#define ALLOW_NOT_EXECUTABLE(number)                                                \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 4),                            \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])), \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),                      \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),                       \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static const struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW(SYS_read),
    ALLOW(SYS_pread64),
    ALLOW(SYS_write),
    ALLOW(SYS_pwrite64),
    ALLOW(SYS_writev),
    ALLOW(SYS_recvmsg),
    ALLOW(SYS_close),
    ALLOW(SYS_munmap),
    ALLOW(SYS_mremap),
    ALLOW(SYS_brk),
    ALLOW(SYS_madvise),
    ALLOW(SYS_futex),
    ALLOW(SYS_clock_gettime),
    ALLOW(SYS_getrandom),
    ALLOW(SYS_getpid),
    ALLOW(SYS_exit),
    ALLOW(SYS_exit_group),
    ALLOW(SYS_rt_sigreturn),
    ALLOW_NOT_EXECUTABLE(SYS_mmap),
    ALLOW_NOT_EXECUTABLE(SYS_mprotect),
    /* Not killed: libarchive can do without files of character sets and other programs. */
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
};

static void send_all(const void *bytes, size_t length)
{
    const char *at = bytes;

    while (length) {
        ssize_t done = write(WIRE_SOCKET_FD, at, length);

        if (done < 0 && errno != EINTR)
            _exit(1);
        if (done > 0) {
            at += done;
            length -= (size_t)done;
        }
    }
}

/* Several records in one call: an index has many. */
static char pending[65536];
static size_t pending_length;

static void flush(void)
{
    send_all(pending, pending_length);
    pending_length = 0;
}

static void append(const void *bytes, size_t length)
{
    if (length > sizeof(pending) - pending_length)
        flush();
    memcpy(pending + pending_length, bytes, length);
    pending_length += length;
}

void helper_send(const struct wire_record *record, const char *name, const char *target)
{
    struct wire_record whole = *record;

    whole.name_length = (uint16_t)strlen(name);
    whole.target_length = (uint16_t)strlen(target);
    append(&whole, sizeof(whole));
    append(name, whole.name_length);
    append(target, whole.target_length);
    if (record->kind != WIRE_ENTRY && record->kind != WIRE_LEFT_OUT)
        flush();
}

void helper_fail(int error, const char *detail)
{
    struct wire_record record = {.kind = WIRE_ERROR, .mode = (uint32_t)error};
    char text[200];

    snprintf(text, sizeof(text), "%s", detail ? detail : "");
    helper_send(&record, text, "");
    _exit(1);
}

static void set_bound(int resource, rlim_t bound)
{
    struct rlimit limit = {bound, bound};

    if (setrlimit(resource, &limit) < 0)
        helper_fail(errno, "cannot set the bounds of the process that reads it");
}

static void give_up_everything(void)
{
    const struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]),
                                       .filter = (struct sock_filter *)filter};

    set_bound(RLIMIT_AS, MEMORY_MAX);
    set_bound(RLIMIT_CPU, CPU_MAX);
    set_bound(RLIMIT_CORE, 0);
    set_bound(RLIMIT_FSIZE, 64ULL << 30);
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        helper_fail(errno, "cannot lock up the process that reads it");
}

/* Waits for a request; false: the parent is gone. */
static bool receive(struct wire_request *request, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {request, sizeof(*request)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t got;

    do
        got = recvmsg(WIRE_SOCKET_FD, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof(*request) || message.msg_controllen < CMSG_LEN(sizeof(int)))
        return false;
    memcpy(ret_fd, CMSG_DATA(&control.header), sizeof(*ret_fd));
    return true;
}

static void serve(struct helper *helper)
{
    struct wire_request request;
    int fd;

    while (receive(&request, &fd)) {
        struct wire_record record = {.kind = WIRE_DONE};

        record.mode = (uint32_t)content_of_member(helper, &request, fd);
        close(fd);
        helper_send(&record, "", "");
    }
}

int main(void)
{
    static struct helper helper;
    struct stat stat;

    /* Names that an archive has in Unicode are to be told in UTF-8, whatever the user's locale. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        setlocale(LC_CTYPE, "C");
    if (fstat(WIRE_ARCHIVE_FD, &stat) < 0)
        return 1;
    helper.file_size = helper.window.end = stat.st_size;
    give_up_everything();
    helper_index(&helper);
    if (helper.is_zip)
        serve(&helper);
    return 0;
}
