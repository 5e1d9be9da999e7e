/* `cerebro log`: the audit log, readably. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "audit/journal.h"
#include "audit/place.h"
#include "audit/reader.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/log-time.h"

#define LINES_MAX   1000000
#define FOLLOW_MS   200
#define NO_JOURNAL  127
#define JOURNAL_HOW "journalctl -t " JOURNAL_IDENTIFIER " -o cat"
#define NOBODY      (-1)

static const char help[] =
    "usage: cerebro log [OPTIONS]\n"
    "\n"
    "Shows what process kernels have refused, and what was done to them: the audit log, from the\n"
    "oldest record to the newest. See `cerebro run --audit` for what is recorded and where.\n"
    "\n"
    "  -n, --lines N     the last N records only\n"
    "  -f, --follow      go on with what is recorded from now on\n"
    "  --since T         from then on: 2026-12-31, \"2026-12-31 18:00\" (with Z: UTC), 18:00, or\n"
    "                    so long ago: 90s, 15m, 2h, 7d\n"
    "  --event LIST      only these kinds, with commas: denied, reported, limit, control, attach,\n"
    "                    detach, policy, driver, lost; with --audit also start, exec, exec-failed,\n"
    "                    unknown-call, end\n"
    "  --pid N           only those of a process, or of the kernel with that number\n"
    "  --json            the records as they are, one JSON object a line\n"
    "  --file FILE       read FILE, and FILE.1, FILE.2 ... before it\n"
    "\n"
    "Exit status: 0, also when nothing was recorded; 1 the log cannot be read; 2 wrong usage.\n";

static const char *const kinds[] = {"denied", "reported",    "limit",        "control", "attach",
                                    "detach", "policy",      "driver",       "lost",    "start",
                                    "exec",   "exec-failed", "unknown-call", "end"};

struct log_options {
    bool has_lines;
    bool follow;
    bool json;
    bool has_pid;
    unsigned lines;
    pid_t pid;
    char since[LOG_STAMP_SIZE]; /* "": from the beginning */
    const char *events;         /* NULL: all */
    const char *file;           /* NULL: where this user's log is */
};

struct log_view {
    const struct log_options *options;
    char **kept; /* a ring of the last lines, with --lines */
    uint64_t shown;
    uint64_t malformed;
    uint64_t forged;
    bool has_header;
    bool is_file; /* more may come behind its end */
};

/* ---- one record ---- */

static const char *text_of(struct json_object *record, const char *name)
{
    struct json_object *value;

    return json_object_object_get_ex(record, name, &value) &&
                   json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

static int64_t number_of(struct json_object *record, const char *name)
{
    struct json_object *value;

    return json_object_object_get_ex(record, name, &value) ? json_object_get_int64(value) : 0;
}

static bool is_listed(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; length && at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

static bool is_wanted(const struct log_options *options, struct json_object *record)
{
    if (options->since[0] && strcmp(text_of(record, "time"), options->since) < 0)
        return false;
    if (options->events && !is_listed(options->events, text_of(record, "event")))
        return false;
    return !options->has_pid || number_of(record, "pid") == options->pid ||
           number_of(record, "kernel") == options->pid || number_of(record, "by") == options->pid;
}

static void describe(struct json_object *record, struct strbuf *out)
{
    const char *rule = text_of(record, "rule");
    const char *answer = text_of(record, "answer");
    int64_t by = number_of(record, "by");

    if (strcmp(text_of(record, "event"), "lost") == 0) {
        strbuf_addf(out, "%" PRId64 " records are missing here", number_of(record, "records"));
        return;
    }
    cli_add_printable(out, text_of(record, "what"));
    if (answer[0] && strcmp(answer, "ok") != 0) {
        strbuf_add_string(out, " = ");
        cli_add_printable(out, answer);
    }
    if (rule[0]) {
        strbuf_add_string(out, " (");
        cli_add_printable(out, rule);
        strbuf_add_string(out, ")");
    }
    if (by)
        strbuf_addf(out, " [by %" PRId64 "]", by);
}

static void format_row(struct json_object *record, struct strbuf *out)
{
    cleanup_strbuf struct strbuf event = {0};
    cleanup_strbuf struct strbuf comm = {0};
    char when[LOG_STAMP_SIZE];

    cli_add_printable(&event, text_of(record, "event"));
    cli_add_printable(&comm, text_of(record, "comm"));
    log_local_time(text_of(record, "time"), when);
    strbuf_addf(out, "%-19s %-11s %7" PRId64 " %-15s ", when, strbuf_text(&event),
                number_of(record, "pid"), strbuf_text(&comm));
    describe(record, out);
}

/* ---- all of them ---- */

static void print(struct log_view *view, const char *line)
{
    if (!view->options->json && !view->has_header)
        printf("%-19s %-11s %7s %-15s %s\n", "TIME", "EVENT", "PID", "PROGRAM", "WHAT");
    view->has_header = true;
    printf("%s\n", line);
}

static void show_line(struct log_view *view, const char *line)
{
    const struct log_options *options = view->options;

    if (view->kept == NULL) {
        print(view, line);
        return;
    }
    if (options->lines == 0)
        return;
    free(view->kept[view->shown % options->lines]);
    view->kept[view->shown++ % options->lines] = strdup(line);
}

/* NULL for what is no record, and nothing else. */
static struct json_object *parse(const char *text, size_t length)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *record = NULL;

    if (tokener && length <= INT_MAX)
        record = json_tokener_parse_ex(tokener, text, (int)length);
    if (record && (json_tokener_get_parse_end(tokener) != length ||
                   !json_object_is_type(record, json_type_object) ||
                   text_of(record, "time")[0] == '\0' || text_of(record, "event")[0] == '\0')) {
        json_object_put(record);
        record = NULL;
    }
    if (tokener)
        json_tokener_free(tokener);
    return record;
}

/* `writer` is the user who is known to have written it, or NOBODY. Returns false for no record. */
static bool take_record(struct log_view *view, const char *text, size_t length, int64_t writer)
{
    struct json_object *record = parse(text, length);
    cleanup_strbuf struct strbuf row = {0};

    if (record == NULL)
        return false;
    if (writer != NOBODY &&
        (!json_object_object_get_ex(record, "uid", NULL) || number_of(record, "uid") != writer))
        view->forged++;
    else if (is_wanted(view->options, record)) {
        if (view->options->json)
            strbuf_add(&row, text, length);
        else
            format_row(record, &row);
        show_line(view, strbuf_text(&row));
    }
    json_object_put(record);
    return true;
}

static const char *find_begin(const char *text, const char *end)
{
    static const char begin[] = "{\"time\":\"";

    return memmem(text, (size_t)(end - text), begin, strlen(begin));
}

/*
 * Who was killed, or had no room on the disk, in the middle of a record leaves its beginning before
 * the next one. Records begin where this is found: no text in one has a quote that is not escaped.
 */
static void take_line(struct log_view *view, const struct strbuf *line)
{
    const char *end = strbuf_text(line) + line->length;
    const char *at;
    const char *next;

    if (take_record(view, strbuf_text(line), line->length, NOBODY))
        return;
    view->malformed++;
    for (at = find_begin(strbuf_text(line), end); at; at = next) {
        next = find_begin(at + 1, end);
        take_record(view, at, (size_t)((next ? next : end) - at), NOBODY);
    }
}

/* Everybody can write into the journal, which notes who it was. */
static void take_entry(struct log_view *view, const struct strbuf *line)
{
    struct json_object *entry = json_tokener_parse(strbuf_text(line));
    const char *message = text_of(entry, "MESSAGE");
    const char *uid = text_of(entry, "_UID");

    if (uid[0] == '\0' || !take_record(view, message, strlen(message), strtoll(uid, NULL, 10)))
        view->malformed++;
    json_object_put(entry);
}

/* The ring has done its work when the end is reached: what comes then is shown at once. */
static void show_kept(struct log_view *view)
{
    unsigned size = view->options->lines;

    for (unsigned i = 0; view->kept && i < size; i++) {
        char *line = view->kept[(view->shown + i) % size];

        if (line)
            print(view, line);
        free(line);
    }
    free(view->kept);
    view->kept = NULL;
    fflush(stdout);
}

/* Between two looks. Returns false when nobody reads any more what is shown. */
static bool nap(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, FOLLOW_MS) <= 0;
}

static int read_all(struct log_view *view, struct audit_reader *reader)
{
    cleanup_strbuf struct strbuf line = {0};
    int r;

    while ((r = audit_reader_next(reader, &line)) >= 0) {
        if (r > 0) {
            if (view->is_file)
                take_line(view, &line);
            else
                take_entry(view, &line);
            if (view->options->follow && view->kept == NULL)
                fflush(stdout);
            continue;
        }
        show_kept(view);
        if (!view->options->follow || !view->is_file || ferror(stdout) || !nap())
            break;
    }
    show_kept(view);
    return r < 0 ? r : 0;
}

static int view_with(const struct log_options *options, struct audit_reader *reader, bool is_file)
{
    struct log_view view = {.options = options, .is_file = is_file};
    int r;

    /* Of a journal that is followed there is no end at which a ring could be shown. */
    if (options->has_lines && (is_file || !options->follow)) {
        view.kept = calloc(options->lines + 1, sizeof(char *));
        if (view.kept == NULL)
            return -ENOMEM;
    }
    r = read_all(&view, reader);
    audit_reader_free(reader);
    fflush(stdout);
    if (view.malformed)
        fprintf(stderr, "cerebro log: passed over %" PRIu64 " lines that are no records\n",
                view.malformed);
    if (view.forged)
        fprintf(stderr,
                "cerebro log: left out %" PRIu64 " records that are not by the user they name\n",
                view.forged);
    return r;
}

/* ---- where it is read from ---- */

static int fail(const char *path, int failure, const char *hint)
{
    struct base_error error = {0};

    base_fail(&error, failure, hint, "cannot read the audit log %s: %s", path, strerror(-failure));
    cli_print_error(&error);
    return 1;
}

static int read_path(const struct log_options *options, const char *path, bool may_be_missing)
{
    struct audit_reader *reader;
    int r = audit_reader_open(path, &reader);

    if (r == -ENOENT && may_be_missing) {
        fprintf(stderr, "cerebro log: nothing has been recorded yet (%s)\n", path);
        while (r == -ENOENT && options->follow && nap())
            r = audit_reader_open(path, &reader);
        if (r == -ENOENT)
            return 0;
    }
    if (r == 0)
        r = view_with(options, reader, true);
    return r < 0 ? fail(path, r, "name another one with --file, or read it as its owner") : 0;
}

static void exec_journalctl(const struct log_options *options, int out)
{
    char lines[16];
    /* -a: what is longer than 4096 bytes, too. */
    const char *argv[16] = {
        "journalctl", "-t", JOURNAL_IDENTIFIER, "-a", "-o", "json", "--output-fields=MESSAGE,_UID",
        "--no-pager", "-q"};
    size_t count = 9;

    snprintf(lines, sizeof(lines), "%u", options->lines);
    if (options->follow)
        argv[count++] = "-f";
    if (options->follow && options->has_lines) {
        argv[count++] = "-n";
        argv[count++] = lines;
    } else if (options->follow) {
        argv[count++] = "--no-tail";
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(out, STDOUT_FILENO);
    execvp(argv[0], (char *const *)argv);
    _exit(NO_JOURNAL);
}

/* The journal's own program knows its files, and who may read what of them. */
static int read_journal(const struct log_options *options)
{
    struct audit_reader *reader = NULL;
    int ends[2];
    int status = 0;
    pid_t child;
    int r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail("in the journal", -errno, JOURNAL_HOW);
    child = fork();
    if (child == 0)
        exec_journalctl(options, ends[1]);
    close(ends[1]);
    r = child < 0 ? -errno : audit_reader_from(ends[0], &reader);
    if (r == 0)
        r = view_with(options, reader, false);
    if (child > 0)
        waitpid(child, &status, 0);
    if (r == 0 && status != 0)
        r = WIFEXITED(status) && WEXITSTATUS(status) == NO_JOURNAL ? -ENOENT : -EIO;
    return r < 0 ? fail("in the journal", r, JOURNAL_HOW) : 0;
}

/* Runs do not say so: nobody has asked them for a log. */
static void warn_of_place(const char *path)
{
    int r = audit_place_check();

    if (r < 0)
        fprintf(stderr, "cerebro log: nothing more is recorded: %s: %s\n", path,
                r == -ELOOP   ? "it is a symbolic link"
                : r == -EPERM ? "it is not a file of yours alone"
                              : strerror(-r));
}

static int read_own(const struct log_options *options)
{
    char directory[PATH_MAX];
    char path[PATH_MAX + sizeof("/" AUDIT_FILE_NAME)];

    if (audit_place(directory) < 0)
        return fail("of this user", -ENOENT, "set HOME or XDG_STATE_HOME, or name it with --file");
    snprintf(path, sizeof(path), "%s/" AUDIT_FILE_NAME, directory);
    warn_of_place(path);
    return read_path(options, path, true);
}

static int read_log(const struct log_options *options)
{
    const char *wish = getenv("CEREBRO_AUDIT");

    if (options->file)
        return read_path(options, options->file, false);
    if (wish == NULL || wish[0] == '\0')
        wish = journal_is_there(JOURNAL_SOCKET) ? "journal" : "file";
    if (strcmp(wish, "journal") == 0)
        return read_journal(options);
    if (strcmp(wish, "file") != 0 && strcmp(wish, "none") != 0 && strncmp(wish, "fd:", 3) != 0)
        return read_path(options, wish, true);
    return read_own(options);
}

/* ---- options ---- */

static int set_number(const char *option, const char *text, uint64_t max, uint64_t *ret_number)
{
    if (io_parse_u64(text, max, ret_number) < 0)
        return cli_usage("log", "%s takes a number up to %" PRIu64 ", not '%s'", option, max, text);
    return 0;
}

static bool is_kind(const char *word, size_t length)
{
    for (size_t i = 0; i < array_length(kinds); i++)
        if (strlen(kinds[i]) == length && memcmp(kinds[i], word, length) == 0)
            return true;
    return false;
}

static int set_events(struct log_options *options, const char *list)
{
    for (const char *at = list; at; at = strchr(at, ',')) {
        size_t length;

        at += *at == ',';
        length = strcspn(at, ",");
        if (!is_kind(at, length))
            return cli_usage("log", "--event knows no '%.*s'", (int)length, at);
    }
    options->events = list;
    return 0;
}

static int set_option(struct log_options *options, int option, const char *value)
{
    uint64_t number = 0;
    int r = 0;

    switch (option) {
    case 'n':
        r = set_number("--lines", value, LINES_MAX, &number);
        options->lines = (unsigned)number;
        options->has_lines = true;
        return r;
    case 'p':
        r = set_number("--pid", value, INT_MAX, &number);
        options->pid = (pid_t)number;
        options->has_pid = true;
        return r;
    case 's':
        if (log_parse_time(value, time(NULL), options->since) < 0)
            return cli_usage("log", "--since: '%s' is no time", value);
        return 0;
    case 'f':
        options->follow = true;
        return 0;
    case 'j':
        options->json = true;
        return 0;
    case 'e':
        return set_events(options, value);
    case 'F':
        options->file = value;
        return 0;
    default:
        return CLI_USAGE_ERROR;
    }
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"lines", required_argument, NULL, 'n'}, {"follow", no_argument, NULL, 'f'},
        {"since", required_argument, NULL, 's'}, {"event", required_argument, NULL, 'e'},
        {"pid", required_argument, NULL, 'p'},   {"json", no_argument, NULL, 'j'},
        {"file", required_argument, NULL, 'F'},  {NULL, 0, NULL, 0}};
    struct log_options options = {0};
    int option;
    int r = 0;

    opterr = 0;
    while (r == 0 && (option = getopt_long(argc, argv, ":n:f", known, NULL)) != -1) {
        if (option == ':')
            return cli_usage("log", "%s needs a value", argv[optind - 1]);
        if (option == '?')
            return cli_usage("log", "there is no option '%s'", argv[optind - 1]);
        r = set_option(&options, option, optarg);
    }
    if (r == 0 && optind < argc)
        return cli_usage("log", "it takes no argument, not '%s'", argv[optind]);
    return r ? r : read_log(&options);
}

const struct cli_command cli_log_command = {
    .name = "log",
    .summary = "show what was refused and done",
    .help = help,
    .run = run,
};
