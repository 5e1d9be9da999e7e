#include "cli/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/io.h"

#define QUEUE_MAX      (256 * 1024)
#define LAST_CHANCE_MS 1000

/* A guest that makes denied calls in a loop must not fill the disk: so many at once and a second.
 */
#define BURST       20000.0
#define RATE_PER_NS (2000.0 / 1e9)

/* Paths are at most PATH_MAX; what is longer was made to be. */
#define TEXT_MAX 4096

/* ---- opening ---- */

static int open_path(const char *path)
{
    /* Non-blocking, so that a FIFO nobody reads is an error now and a full one later. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : fd;
}

/*
 * A second open of the same file has a mode of its own: O_NONBLOCK on the given one would change it
 * for everybody who shares it. Sockets cannot be opened again, nor files that belong to others.
 */
static int open_inherited(struct audit *audit, int given)
{
    char path[IO_FD_PATH_SIZE];
    int mode = fcntl(given, F_GETFL);
    struct stat stat;
    int fd;

    if (mode < 0 || fstat(given, &stat) < 0)
        return -errno;
    if ((mode & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (given > STDERR_FILENO)
        fcntl(given, F_SETFD, FD_CLOEXEC);
    audit->is_socket = S_ISSOCK(stat.st_mode);
    fd = audit->is_socket ? -1
                          : open(io_fd_path(given, path),
                                 O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    audit->may_block = !audit->is_socket;
    fd = fcntl(given, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return fd < 0 ? -errno : fd;
}

int audit_open(struct audit *audit, const char *target, struct base_error *error)
{
    bool inherited = strncmp(target, "fd:", 3) == 0;
    uint64_t number;

    *audit = (struct audit){.fd = -1, .tokens = BURST, .filled_ns = io_now_ns()};
    if (!inherited)
        audit->fd = open_path(target);
    else if (io_parse_u64(target + 3, INT_MAX, &number) < 0)
        audit->fd = -EINVAL;
    else
        audit->fd = open_inherited(audit, (int)number);
    if (audit->fd >= 0)
        return 0;
    return base_fail(error, audit->fd,
                     inherited             ? "name a descriptor that is open for writing: fd:N"
                     : audit->fd == -ENXIO ? "start its reader first"
                                           : "name a file that you may write",
                     "cannot open the audit log %s: %s", target, strerror(-audit->fd));
}

/* ---- writing ---- */

static ssize_t try_write(const struct audit *audit, const char *bytes, size_t length)
{
    struct pollfd room = {.fd = audit->fd, .events = POLLOUT};
    ssize_t n;

    if (audit->may_block) {
        if (poll(&room, 1, 0) != 1)
            return -EAGAIN;
        length = length < PIPE_BUF ? length : PIPE_BUF;
    }
    do
        n = audit->is_socket ? send(audit->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                             : write(audit->fd, bytes, length);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void lose(struct audit *audit, uint64_t records)
{
    audit->lost += records;
    audit->lost_untold += records;
}

/* Writes as much as goes. Returns how much that was; the reason for the rest is in `error`. */
static size_t write_some(struct audit *audit, const char *bytes, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = try_write(audit, bytes + done, length - done);

        if (n <= 0) {
            audit->error = n < 0 ? (int)-n : EIO;
            audit->dead = n == -EPIPE || n == -ECONNRESET || n == -EBADF;
            break;
        }
        done += (size_t)n;
    }
    return done;
}

static void drop_front(struct strbuf *queue, size_t length)
{
    memmove(queue->data, queue->data + length, queue->length - length);
    strbuf_truncate(queue, queue->length - length);
}

static void drop_queue(struct audit *audit)
{
    for (size_t i = 0; i < audit->queue.length; i++)
        if (audit->queue.data[i] == '\n')
            lose(audit, 1);
    strbuf_free(&audit->queue);
}

/* Returns true when nothing is queued any more. */
static bool flush(struct audit *audit)
{
    struct strbuf *queue = &audit->queue;

    if (queue->length)
        drop_front(queue, write_some(audit, queue->data, queue->length));
    if (audit->dead)
        drop_queue(audit);
    return queue->length == 0;
}

/* A line that was begun is always kept: half a record would spoil the next one. */
static void put_line(struct audit *audit, const struct strbuf *line)
{
    size_t done = 0;

    if (flush(audit) && !audit->dead)
        done = write_some(audit, line->data, line->length);
    if (done == line->length)
        return;
    if (audit->dead || audit->queue.length + line->length > QUEUE_MAX) {
        lose(audit, 1);
        return;
    }
    strbuf_add(&audit->queue, line->data + done, line->length - done);
}

/* ---- records ---- */

static void add_member(struct strbuf *line, const char *name, const char *text)
{
    cleanup_strbuf struct strbuf cut = {0};

    strbuf_addf(line, ",\"%s\":\"", name);
    if (strlen(text) > TEXT_MAX) {
        strbuf_add(&cut, text, TEXT_MAX);
        text = strbuf_text(&cut);
    }
    strbuf_add_json(line, text);
    strbuf_add_string(line, "\"");
}

static void add_time(struct strbuf *line, const struct timespec *time)
{
    struct tm utc;
    char stamp[32];

    gmtime_r(&time->tv_sec, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    strbuf_addf(line, "{\"time\":\"%s.%03ldZ\"", stamp, time->tv_nsec / 1000000);
}

static void add_answer(struct strbuf *line, int answer)
{
    const char *name = answer < 0 ? abi_errno_name(-answer) : NULL;

    if (answer == 0)
        strbuf_add_string(line, ",\"answer\":\"ok\"");
    else if (name)
        add_member(line, "answer", name);
    else
        strbuf_addf(line, ",\"answer\":\"%d\"", answer);
}

/* The gap is noted where it is, so that nobody takes the log for complete. */
static void put_gap(struct audit *audit, const struct timespec *time)
{
    cleanup_strbuf struct strbuf line = {0};
    uint64_t count = audit->lost_untold;

    if (count == 0 || audit->dead || !flush(audit))
        return;
    add_time(&line, time);
    strbuf_addf(&line, ",\"event\":\"lost\",\"records\":%" PRIu64 "}\n", count);
    if (strbuf_status(&line) < 0)
        return;
    audit->lost_untold = 0;
    put_line(audit, &line);
}

static bool take_token(struct audit *audit)
{
    uint64_t now = io_now_ns();

    audit->tokens += (double)(now - audit->filled_ns) * RATE_PER_NS;
    audit->filled_ns = now;
    if (audit->tokens > BURST)
        audit->tokens = BURST;
    if (audit->tokens < 1)
        return false;
    audit->tokens -= 1;
    return true;
}

void audit_record(struct audit *audit, const struct pk_audit_record *record)
{
    cleanup_strbuf struct strbuf line = {0};

    if (audit->fd < 0)
        return;
    add_time(&line, &record->time);
    add_member(&line, "event", record->event);
    strbuf_addf(&line, ",\"pid\":%d", record->pid);
    add_member(&line, "comm", record->comm);
    add_member(&line, "call", record->call);
    add_member(&line, "what", record->what);
    add_member(&line, "rule", record->rule);
    add_answer(&line, record->answer);
    strbuf_add_string(&line, "}\n");
    if (strbuf_status(&line) < 0 || !take_token(audit)) {
        lose(audit, 1);
        return;
    }
    put_gap(audit, &record->time);
    put_line(audit, &line);
}

uint64_t audit_finish(struct audit *audit)
{
    struct pollfd room = {.fd = audit->fd, .events = POLLOUT};
    uint64_t end = io_now_ns() + LAST_CHANCE_MS * 1000000ULL;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    put_gap(audit, &now);
    while (!flush(audit) && audit->error == EAGAIN && io_now_ns() < end)
        poll(&room, 1, 50);
    drop_queue(audit);
    return audit->lost;
}

void audit_close(struct audit *audit)
{
    if (audit->fd >= 0)
        close(audit->fd);
    audit->fd = -1;
    strbuf_free(&audit->queue);
}
