#include "audit/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "audit/audit-internal.h"
#include "audit/journal.h"
#include "base/cleanup.h"
#include "base/io.h"

#define QUEUE_MAX              (256 * 1024)
#define LAST_CHANCE_MS         1000
#define LAST_CHANCE_UNASKED_MS 100

/* ---- writing ---- */

/* How many bytes went; more is to be tried when those were not all. */
static ssize_t try_write(struct audit *audit, const char *bytes, size_t length)
{
    struct pollfd room = {.fd = audit->fd, .events = POLLOUT};
    ssize_t n;

    if (audit->kind == AUDIT_ROTATED)
        return rotation_write(&audit->rotation, bytes, length);
    if (audit->kind == AUDIT_JOURNAL)
        return journal_send(audit->fd, bytes, length);
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
    /* Each record ends with "}", and no text in it has a newline. */
    for (size_t i = 1; i < audit->queue.length; i++)
        if (audit->queue.data[i] == '\n' && audit->queue.data[i - 1] == '}')
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

/* Wraps a JSON object as the kind of log wants it; consumes `json`. */
static void put_json(struct audit *audit, const struct pk_audit_record *record, struct strbuf *json)
{
    cleanup_strbuf struct strbuf line = {0};

    if (audit->kind == AUDIT_JOURNAL)
        journal_encode(record, strbuf_text(json), &line);
    else
        strbuf_addf(&line, "%s\n", strbuf_text(json));
    if (strbuf_status(json) < 0 || strbuf_status(&line) < 0)
        lose(audit, 1);
    else
        put_line(audit, &line);
}

/* The gap is noted where it is, so that nobody takes the log for complete. */
static void put_gap(struct audit *audit, const struct timespec *time)
{
    struct pk_audit_record record = {.event = "lost", .time = *time};
    cleanup_strbuf struct strbuf json = {0};
    uint64_t count = audit->lost_untold;

    if (count == 0 || audit->dead || !flush(audit))
        return;
    format_gap(time, count, &json);
    if (strbuf_status(&json) < 0)
        return;
    audit->lost_untold = 0;
    put_json(audit, &record, &json);
}

static bool is_one_of(const char *event, const char *const *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(event, events[i]) == 0)
            return true;
    return false;
}

/* What belongs to the life of every program, and would bury the rest. */
static bool is_action(const char *event)
{
    static const char *const life[] = {"start", "exec", "exec-failed", "unknown-call", "end"};

    return !is_one_of(event, life, array_length(life));
}

/* What a guest can do as often as it likes. */
static bool is_of_guest(const struct pk_audit_record *record)
{
    static const char *const others[] = {"start",  "end",    "limit", "attach",
                                         "detach", "policy", "driver"};

    return record->by == 0 && !is_one_of(record->event, others, array_length(others));
}

static bool take_token(struct audit *audit, double kept)
{
    uint64_t now = io_now_ns();
    double burst = (audit->unasked ? AUDIT_BURST_UNASKED : AUDIT_BURST) + AUDIT_RESERVE;
    double rate = audit->unasked ? AUDIT_PER_NS_UNASKED : AUDIT_PER_NS;

    audit->tokens += (double)(now - audit->filled_ns) * rate;
    audit->filled_ns = now;
    if (audit->tokens > burst)
        audit->tokens = burst;
    if (audit->tokens < 1 + kept)
        return false;
    audit->tokens -= 1;
    return true;
}

void audit_record(struct audit *audit, const struct pk_audit_record *record)
{
    cleanup_strbuf struct strbuf json = {0};
    struct pk_audit_record full = *record;

    if (audit->kind == AUDIT_OFF || (audit->actions_only && !is_action(record->event)))
        return;
    if (audit->kind == AUDIT_STANDING)
        target_open_standing(audit);
    if (!take_token(audit, is_of_guest(record) ? AUDIT_RESERVE : 0)) {
        lose(audit, 1);
        return;
    }
    pk_audit_name(&full);
    format_record(&full, &json);
    put_gap(audit, &record->time);
    put_json(audit, &full, &json);
}

uint64_t audit_finish(struct audit *audit)
{
    struct pollfd room = {.fd = audit->fd, .events = POLLOUT};
    uint64_t patience = audit->unasked ? LAST_CHANCE_UNASKED_MS : LAST_CHANCE_MS;
    uint64_t end = io_now_ns() + patience * 1000000;
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
    base_close(take_fd(&audit->fd));
    rotation_close(&audit->rotation);
    strbuf_free(&audit->queue);
    audit->kind = AUDIT_OFF;
}
