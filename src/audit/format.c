/* Records as JSON. Names and addresses are in them; what a call carries never is. */
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "audit/audit-internal.h"

/* Paths are at most PATH_MAX; what is longer was made to be. */
#define TEXT_MAX 4096

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

void format_record(const struct pk_audit_record *record, struct strbuf *out)
{
    add_time(out, &record->time);
    add_member(out, "event", record->event);
    strbuf_addf(out, ",\"pid\":%d", record->pid);
    add_member(out, "comm", record->comm);
    add_member(out, "call", record->call);
    add_member(out, "what", record->what);
    add_member(out, "rule", record->rule);
    add_answer(out, record->answer);
    strbuf_addf(out, ",\"kernel\":%d,\"uid\":%u,\"by\":%d}", getpid(), getuid(), record->by);
}

void format_gap(const struct timespec *time, uint64_t records, struct strbuf *out)
{
    add_time(out, time);
    strbuf_addf(out, ",\"event\":\"lost\",\"records\":%" PRIu64 ",\"kernel\":%d,\"uid\":%u}",
                records, getpid(), getuid());
}
