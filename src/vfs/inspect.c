/* The sections, and how their fields become text or JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "vfs/inspect-internal.h"

static const struct inspect_section sections[] = {
    {.name = "summary",
     .summary = "the kernel at a glance",
     .columns = {"name", "guest", "uptime_ns", "net", "virtual_identity", "processes", "calls",
                 "denials", "execs", "descriptors_handed", "deferred", "cancelled", "unknown_calls",
                 "contexts", "handles", "times_measured"},
     .record = true,
     .produce = inspect_summary},
    {.name = "calls",
     .summary = "how often each call was served",
     .columns = {"nr", "name", "count", "errors", "total_ns", "max_ns"},
     .produce = inspect_calls},
    {.name = "latency",
     .summary = "how long they took, as a histogram",
     .columns = {"name", "from_ns", "to_ns", "count"},
     .produce = inspect_latency},
    {.name = "decisions",
     .summary = "how they were answered",
     .columns = {"name", "value", "descriptor", "native", "exec", "deferred", "later", "denied"},
     .produce = inspect_decisions},
    {.name = "denials",
     .summary = "the denials of late, oldest first",
     .columns = {"age_ms", "times", "pid", "call", "errno", "let_through", "what", "rule"},
     .produce = inspect_denials},
    {.name = "limits",
     .summary = "limits and what is used of them",
     .columns = {"name", "limit", "used"},
     .produce = inspect_limits},
    {.name = "tasks",
     .summary = "processes of the guest",
     .columns = {"pid", "seen_threads", "context", "uid", "euid", "gid", "egid", "umask", "root",
                 "cwd"},
     .produce = inspect_tasks},
    {.name = "mounts",
     .summary = "what the guest's names lead to",
     .columns = {"id", "parent", "path", "type", "flags", "source"},
     .produce = inspect_mounts},
    {.name = "descriptors",
     .summary = "open descriptors that the kernel serves",
     .columns = {"inode", "type", "path_only", "age_ms", "path"},
     .produce = inspect_descriptors},
};

/* ---- fields ---- */

static bool must_be_escaped(const char *text, const char *c)
{
    unsigned char byte = (unsigned char)*c;

    return byte <= ' ' || byte == 0x7f || byte == '\\' || (c == text && byte == '#') ||
           (c == text && strcmp(text, "-") == 0);
}

static void add_field(struct strbuf *out, const char *text)
{
    if (*text == '\0')
        strbuf_add_string(out, "-");
    for (const char *c = text; *c; c++)
        if (must_be_escaped(text, c))
            strbuf_addf(out, "\\%03o", (unsigned char)*c);
        else
            strbuf_add(out, c, 1);
}

static void begin_json(struct inspect *inspect)
{
    const char *open = "";

    if (inspect->column == 0)
        open = inspect->record || inspect->first_row ? "{" : ",{";
    strbuf_addf(inspect->text, "%s\"%s\":", inspect->column ? "," : open,
                inspect->columns[inspect->column]);
}

static void begin_field(struct inspect *inspect)
{
    if (inspect->json)
        begin_json(inspect);
    else if (inspect->record)
        strbuf_addf(inspect->text, "%s ", inspect->columns[inspect->column]);
    else if (inspect->column)
        strbuf_add_string(inspect->text, " ");
}

static void end_field(struct inspect *inspect)
{
    bool last = inspect->columns[++inspect->column] == NULL;

    if (inspect->json)
        strbuf_add_string(inspect->text, last ? "}" : "");
    else
        strbuf_add_string(inspect->text, last || inspect->record ? "\n" : "");
    if (last) {
        inspect->column = 0;
        inspect->first_row = false;
    }
}

void inspect_number(struct inspect *inspect, uint64_t value)
{
    begin_field(inspect);
    strbuf_addf(inspect->text, "%" PRIu64, value);
    end_field(inspect);
}

void inspect_signed(struct inspect *inspect, int64_t value)
{
    begin_field(inspect);
    strbuf_addf(inspect->text, "%" PRId64, value);
    end_field(inspect);
}

void inspect_bool(struct inspect *inspect, bool value)
{
    begin_field(inspect);
    strbuf_add_string(inspect->text, value ? "true" : "false");
    end_field(inspect);
}

void inspect_string(struct inspect *inspect, const char *text)
{
    begin_field(inspect);
    if (inspect->json) {
        strbuf_add_string(inspect->text, "\"");
        strbuf_add_json(inspect->text, text);
        strbuf_add_string(inspect->text, "\"");
    } else {
        add_field(inspect->text, text);
    }
    end_field(inspect);
}

/* ---- sections ---- */

static void add_header(const struct inspect *inspect)
{
    strbuf_add_string(inspect->text, "#");
    for (unsigned i = 0; inspect->columns[i]; i++)
        strbuf_addf(inspect->text, " %s", inspect->columns[i]);
    strbuf_add_string(inspect->text, "\n");
}

static int produce(struct vfs *vfs, const struct inspect_section *section, bool json,
                   struct strbuf *text)
{
    struct inspect inspect = {.vfs = vfs,
                              .kernel = vfs_kernel(vfs),
                              .text = text,
                              .columns = section->columns,
                              .json = json,
                              .record = section->record,
                              .first_row = true};
    int r;

    if (json && !section->record)
        strbuf_add_string(text, "[");
    else if (!json && !section->record)
        add_header(&inspect);
    r = section->produce(&inspect);
    if (json && !section->record)
        strbuf_add_string(text, "]");
    return r < 0 ? r : strbuf_status(text);
}

const char *vfs_inspect_name(unsigned index)
{
    return index < array_length(sections) ? sections[index].name : NULL;
}

const char *vfs_inspect_summary(unsigned index)
{
    return index < array_length(sections) ? sections[index].summary : NULL;
}

int vfs_inspect(struct vfs *vfs, const char *section, bool json, struct strbuf *ret_text)
{
    for (unsigned i = 0; i < array_length(sections); i++)
        if (strcmp(sections[i].name, section) == 0)
            return produce(vfs, &sections[i], json, ret_text);
    return -ENOENT;
}

int vfs_inspect_all(struct vfs *vfs, bool json, struct strbuf *ret_text)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < array_length(sections); i++) {
        if (json)
            strbuf_addf(ret_text, "%s\"%s\":", i ? "," : "{", sections[i].name);
        else
            strbuf_addf(ret_text, "%s== %s\n", i ? "\n" : "", sections[i].name);
        r = produce(vfs, &sections[i], json, ret_text);
    }
    if (json)
        strbuf_add_string(ret_text, "}");
    return r < 0 ? r : strbuf_status(ret_text);
}
