#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/archive.h"
#include "archive/wire.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/passing.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* include/uapi/linux/memfd.h, since 6.3 */
#endif

/* Larger contents go to a file without a name and not to memory. */
#define IN_MEMORY_MAX (64ULL << 20)
/* How long unpacking a file may take: so long, and longer for more than 8 MB a second takes. */
#define UNPACK_MS           10000
#define UNPACK_BYTES_PER_MS 8192
/* While the index is read. */
#define ASK_EVERY_MS 300

struct archive {
    struct archive_tree tree;
    int fd, spool, socket;
    pid_t pid;        /* 0: it has ended */
    struct stat stat; /* of the file, when the index was read */
    bool (*unwanted)(void);
    char buffer[131072];
    size_t length; /* received and not yet taken */
};

struct archive_tree *archive_tree_of(struct archive *archive)
{
    return &archive->tree;
}

/* ---- the process ---- */

static void move(int from, int to)
{
    if (from == to ? fcntl(from, F_SETFD, 0) < 0 : dup2(from, to) < 0)
        _exit(127);
}

/* In the child: async-signal-safe calls only. */
static void become_helper(const struct archive *archive, int socket, const char *helper,
                          pid_t parent)
{
    char *const none[] = {NULL};
    char *const argv[] = {(char *)"cerebro-archive", NULL};
    /* Out of the way of the numbers they get. */
    int high[] = {fcntl(socket, F_DUPFD, 10), fcntl(archive->fd, F_DUPFD, 10),
                  fcntl(archive->spool, F_DUPFD, 10)};
    int null = open("/dev/null", O_RDWR);
    sigset_t mask;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || null < 0)
        _exit(127);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    move(high[0], WIRE_SOCKET_FD);
    move(high[1], WIRE_ARCHIVE_FD);
    move(high[2], WIRE_SPOOL_FD);
    close_range(WIRE_SPOOL_FD + 1, ~0U, 0);
    sigemptyset(&mask);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    execve(helper, argv, none);
    _exit(127);
}

static int start_helper(struct archive *archive, const char *helper)
{
    pid_t parent = getpid();
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
        return -errno;
    archive->socket = sockets[0];
    archive->pid = fork();
    if (archive->pid == 0)
        become_helper(archive, sockets[1], helper, parent);
    close(sockets[1]);
    if (archive->pid > 0)
        return 0;
    archive->pid = 0;
    return -errno;
}

static void end_helper(struct archive *archive)
{
    base_close(archive->socket);
    archive->socket = -1;
    if (archive->pid == 0)
        return;
    kill(archive->pid, SIGKILL);
    while (waitpid(archive->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    archive->pid = 0;
}

/* The end of waiting in this round, in milliseconds; 0: there is none left. */
static int next_round(const struct archive *archive, uint64_t until)
{
    uint64_t now = until ? io_now_ns() : 0;

    if (!until)
        return archive->unwanted ? ASK_EVERY_MS : -1;
    return now < until ? (int)((until - now) / 1000000) + 1 : 0;
}

/*
 * Receives more. `until` 0: as long as it is wanted. Returns bytes, 0 at the end, or a negative
 * errno.
 */
static ssize_t receive(struct archive *archive, uint64_t until)
{
    struct pollfd wait = {.fd = archive->socket, .events = POLLIN};
    ssize_t got;
    int r, ms;

    do {
        if (!until && archive->unwanted && archive->unwanted())
            return -EINTR;
        ms = next_round(archive, until);
        if (ms == 0)
            return -ETIME;
        r = poll(&wait, 1, ms);
    } while (r == 0 || (r < 0 && errno == EINTR));
    if (r < 0)
        return -errno;
    do
        got = read(archive->socket, archive->buffer + archive->length,
                   sizeof(archive->buffer) - archive->length);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        archive->length += (size_t)got;
    return got < 0 ? -errno : got;
}

/* The next message. -EPIPE: the process has ended. */
static int next_message(struct archive *archive, uint64_t until, struct wire_message *message,
                        size_t *taken)
{
    for (;;) {
        long used = wire_parse(archive->buffer + *taken, archive->length - *taken, message);
        ssize_t got;

        if (used != 0) {
            *taken += used > 0 ? (size_t)used : 0;
            return used < 0 ? (int)used : 0;
        }
        memmove(archive->buffer, archive->buffer + *taken, archive->length - *taken);
        archive->length -= *taken;
        *taken = 0;
        got = receive(archive, until);
        if (got <= 0)
            return got < 0 ? (int)got : -EPIPE;
    }
}

/* ---- the index ---- */

/* A place must lie in the file; of the spool the end is known only at the end. */
static bool is_in_archive(const struct archive *archive, const struct wire_record *record)
{
    return record->source != ARCHIVE_DIRECT ||
           (record->size <= (uint64_t)archive->stat.st_size &&
            record->offset <= (uint64_t)archive->stat.st_size - record->size);
}

static int add_entry(struct archive *archive, const struct wire_message *message)
{
    const struct wire_record *record = &message->record;
    struct archive_entry entry = {.mode = record->mode,
                                  .uid = record->uid,
                                  .gid = record->gid,
                                  .size = record->size,
                                  .mtime = {record->mtime, record->mtime_ns},
                                  .source = record->source,
                                  .offset = record->offset,
                                  .ordinal = record->ordinal,
                                  .name = message->name,
                                  .target = message->target};

    return is_in_archive(archive, record) ? archive_tree_add(&archive->tree, &entry) : -EBADMSG;
}

static int fail_index(const char *path, int error, const char *detail, struct base_error *result)
{
    static const struct {
        int error;
        const char *what, *hint;
    } texts[] = {
        {ENOEXEC, "is no archive that can be read",
         "name a tar, zip, 7z, cpio, iso, ar or deb file"},
        {ENOKEY, "is encrypted", "decrypt it first, for example with 7z x, and bind the directory"},
        {ENODATA, "is truncated", "fetch it again; its end is missing"},
        {EBADMSG, "is damaged", "fetch it again, and compare its checksum"},
        {E2BIG, "has too much in it", "unpack it on the host, if you trust it, and use --bind"},
        {EOPNOTSUPP, "is of a kind that cannot be read", "unpack it on the host and use --bind"},
        {ENOSPC, "does not fit", "make room where TMPDIR points to, or in /var/tmp"},
        {ENOMEM, "needs more memory than the process that reads it may have",
         "unpack it on the host and use --bind"},
        {EINTR, "was not read to its end", NULL},
        {EPIPE, "could not be read: the process that reads it ended",
         "it may be damaged, or made to do harm"},
    };

    for (size_t i = 0; i < array_length(texts); i++)
        if (texts[i].error == error)
            return base_fail(result, error, texts[i].hint, "the archive %s %s%s%s", path,
                             texts[i].what, detail[0] ? ": " : "", detail);
    return base_fail(result, error, NULL, "cannot read the archive %s: %s", path, strerror(error));
}

/* What comes from the process is shown to the user only as plain text. */
static void make_plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
            *text = '?';
}

static int read_index(struct archive *archive, const char *path, struct base_error *error)
{
    cleanup_free struct wire_message *message = malloc(sizeof(*message));
    size_t taken = 0;
    bool serves = false;
    int r = message ? 0 : -ENOMEM;

    while (r == 0 && (r = next_message(archive, 0, message, &taken)) == 0) {
        uint8_t kind = message->record.kind;

        if (kind == WIRE_END)
            break;
        if (kind == WIRE_LEFT_OUT)
            archive->tree.left_out++;
        else
            r = kind == WIRE_ENTRY ? add_entry(archive, message) : -EBADMSG;
        if (kind == WIRE_ERROR) {
            make_plain(message->name);
            return fail_index(path, (int)message->record.mode, message->name, error);
        }
    }
    if (r < 0)
        return fail_index(path, -r, "", error);
    serves = message->record.size == 1;
    archive->length = 0;
    if (!serves)
        end_helper(archive);
    return 0;
}

/* Places that cannot be. Beyond the end of the spool there is nothing but zeros. */
static int check_places(const struct archive *archive)
{
    for (size_t i = 0; i < archive->tree.object_count; i++) {
        const struct archive_object *object = archive->tree.objects[i];

        if (object->source == ARCHIVE_SPOOL &&
            (object->offset > ARCHIVE_SPOOL_MAX || object->size > ARCHIVE_SPOOL_MAX))
            return -EBADMSG;
        if (object->source == ARCHIVE_PACKED && archive->pid == 0)
            return -EBADMSG;
    }
    return 0;
}

/* ---- opening ---- */

/* A file without a name on a disk; where that cannot be had, memory. */
static int make_nameless(void)
{
    const char *places[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
    int fd;

    for (size_t i = 0; i < array_length(places); i++) {
        if (places[i] == NULL || places[i][0] != '/')
            continue;
        fd = open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0700);
        if (fd >= 0)
            return fd;
    }
    fd = memfd_create("cerebro-archive", MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_file(struct archive *archive, const char *path, struct base_error *error)
{
    archive->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (archive->fd < 0 || fstat(archive->fd, &archive->stat) < 0)
        return base_fail(error, errno, "name a file that exists and that you can read",
                         "cannot open the archive %s: %s", path, strerror(errno));
    if (!S_ISREG(archive->stat.st_mode))
        return base_fail(error, EINVAL, "bind a directory with --bind",
                         "%s is no regular file, so it is no archive", path);
    archive->spool = make_nameless();
    return archive->spool < 0 ? archive->spool : 0;
}

int archive_open(const char *path, const char *helper, bool (*unwanted)(void),
                 struct archive **ret_archive, struct base_error *error)
{
    struct archive *archive = calloc(1, sizeof(*archive));
    int r;

    if (archive == NULL)
        return base_fail(error, ENOMEM, NULL, "no memory for the archive %s", path);
    archive->fd = archive->spool = archive->socket = -1;
    archive->unwanted = unwanted;
    r = open_file(archive, path, error);
    if (r == 0)
        r = archive_tree_init(&archive->tree, archive->stat.st_mtim);
    if (r == 0)
        r = start_helper(archive, helper);
    if (r == 0)
        r = read_index(archive, path, error);
    if (r == 0)
        r = check_places(archive);
    if (r < 0) {
        archive_free(archive);
        return fail_index(path, -r, "", error);
    }
    *ret_archive = archive;
    return 0;
}

void archive_free(struct archive *archive)
{
    if (archive == NULL)
        return;
    end_helper(archive);
    base_close(archive->fd);
    base_close(archive->spool);
    archive_tree_free(&archive->tree);
    free(archive);
}

/* ---- content ---- */

static int make_memory(uint64_t size)
{
    cleanup_close int fd = memfd_create("archive", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    char path[IO_FD_PATH_SIZE];
    int opened;

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("archive", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return -errno;
    /* A memfd as it comes counts for nobody's; whether somebody has it open is asked later. */
    opened = open(io_fd_path(fd, path), O_RDWR | O_CLOEXEC);
    if (opened < 0 || fcntl(opened, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        base_close(opened);
        return -errno;
    }
    return opened;
}

static int make_file(uint64_t size)
{
    int fd;

    if (size <= IN_MEMORY_MAX)
        return make_memory(size);
    fd = make_nameless();
    if (fd >= 0 && ftruncate(fd, (off_t)size) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    return fd;
}

static int copy_data(int from, off_t at, off_t end, int to, off_t to_at)
{
    if (lseek(to, to_at, SEEK_SET) < 0)
        return -errno;
    while (at < end) {
        ssize_t done = sendfile(to, from, &at, (size_t)(end - at));

        if (done < 0 && errno != EINTR)
            return -errno;
        if (done == 0)
            return -EIO;
    }
    return 0;
}

/* Holes of the spool stay holes; beyond its end there is nothing but holes. */
static int copy_range(int from, const struct archive_object *object, int to)
{
    off_t begin = (off_t)object->offset, end = begin + (off_t)object->size;
    off_t at = begin;
    int r = 0;

    while (r == 0 && at < end) {
        off_t data = lseek(from, at, SEEK_DATA), hole;

        if ((data < 0 && errno == ENXIO) || data >= end)
            break;
        hole = data < 0 ? data : lseek(from, data, SEEK_HOLE);
        if (hole < 0)
            return -errno;
        r = copy_data(from, data, hole < end ? hole : end, to, data - begin);
        at = hole;
    }
    return r;
}

static int send_request(struct archive *archive, const struct archive_object *object, int fd)
{
    struct wire_request request = {
        .offset = object->offset, .size = object->size, .ordinal = object->ordinal};
    struct iovec part = {&request, sizeof(request)};

    return passing_send(archive->socket, &part, 1, fd, 0) == (ssize_t)sizeof(request) ? 0 : -EIO;
}

static int unpack(struct archive *archive, const struct archive_object *object, int fd)
{
    uint64_t until = io_now_ns() + (UNPACK_MS + object->size / UNPACK_BYTES_PER_MS) * 1000000ULL;
    cleanup_free struct wire_message *message = malloc(sizeof(*message));
    size_t taken = 0;
    int r = message == NULL ? -ENOMEM : archive->pid ? send_request(archive, object, fd) : -EIO;

    if (r == 0)
        r = next_message(archive, until, message, &taken);
    if (r == 0 && (message->record.kind != WIRE_DONE || taken != archive->length))
        r = -EBADMSG;
    archive->length = 0;
    if (r < 0 && r != -ENOMEM) {
        end_helper(archive); /* it hangs, has died, or cannot be believed */
        return -EIO;
    }
    if (r == 0 && message->record.mode)
        r = message->record.mode == ENOSPC ? -ENOSPC : -EIO;
    return r;
}

/* The index holds for the file as it was. */
static int check_unchanged(const struct archive *archive)
{
    const struct stat *was = &archive->stat;
    struct stat now;

    if (fstat(archive->fd, &now) < 0)
        return -errno;
    return now.st_size == was->st_size && now.st_mtim.tv_sec == was->st_mtim.tv_sec &&
                   now.st_mtim.tv_nsec == was->st_mtim.tv_nsec
               ? 0
               : -ESTALE;
}

static int fill(struct archive *archive, const struct archive_object *object, int fd)
{
    int r;

    if (object->source == ARCHIVE_EMPTY)
        return 0;
    if (object->source == ARCHIVE_SPOOL)
        return copy_range(archive->spool, object, fd);
    r = check_unchanged(archive);
    if (r < 0)
        return r;
    return object->source == ARCHIVE_DIRECT ? copy_range(archive->fd, object, fd)
                                            : unpack(archive, object, fd);
}

int archive_content(struct archive *archive, const struct archive_object *object)
{
    cleanup_close int fd = make_file(object->size);
    int r = fd < 0 ? fd : fill(archive, object, fd);

    if (r < 0)
        return r;
    if (object->size <= IN_MEMORY_MAX && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return -errno;
    return take_fd(&fd);
}
