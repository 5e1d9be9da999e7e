/*
 * The audit log: rotation while several processes write, and reading it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/audit.h"
#include "audit/journal.h"
#include "audit/place.h"
#include "audit/reader.h"
#include "audit/rotation.h"
#include "base/cleanup.h"
#include "base/io.h"

#define NAME "log.jsonl"

struct folder {
    char path[64];
    char log[96];
    int fd;
};

static int make_folder(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));

    if (folder == NULL)
        return -1;
    snprintf(folder->path, sizeof(folder->path), "/var/tmp/test-audit-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    snprintf(folder->log, sizeof(folder->log), "%s/" NAME, folder->path);
    folder->fd = open(folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *state = folder;
    return 0;
}

static int remove_folder(void **state)
{
    struct folder *folder = *state;
    char name[NAME_MAX + 16];

    for (unsigned i = 0; i < ROTATION_FILES_MAX; i++)
        unlinkat(folder->fd, rotation_name(NAME, i, name), 0);
    unlinkat(folder->fd, "other", 0);
    close(folder->fd);
    assert_int_equal(rmdir(folder->path), 0);
    free(folder);
    return 0;
}

static int start(struct rotation *rotation, struct folder *folder, uint64_t size, unsigned files)
{
    return rotation_open(rotation, dup(folder->fd), NAME, size, files);
}

static off_t size_of(struct folder *folder, unsigned index)
{
    char name[NAME_MAX + 16];
    struct stat stat;

    return fstatat(folder->fd, rotation_name(NAME, index, name), &stat, 0) < 0 ? -1 : stat.st_size;
}

static void test_it_is_bounded(void **state)
{
    struct folder *folder = *state;
    struct rotation rotation;
    struct stat stat;

    assert_int_equal(start(&rotation, folder, 100, 3), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rotation_write(&rotation, "0123456789abcdef\n", 17), 17);
    rotation_close(&rotation);
    /* Six lines fill a file: 16 times, and four lines more. */
    assert_int_equal(size_of(folder, 0), 4 * 17);
    assert_int_equal(size_of(folder, 1), 6 * 17);
    assert_int_equal(size_of(folder, 2), 6 * 17);
    assert_int_equal(size_of(folder, 3), -1);
    assert_int_equal(fstatat(folder->fd, NAME, &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
}

/* Any program that can read the directory can do that. */
static void test_it_is_bounded_whoever_keeps_the_lock(void **state)
{
    struct folder *folder = *state;
    cleanup_close int lock = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rotation rotation;

    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(start(&rotation, folder, 100, 3), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rotation_write(&rotation, "0123456789abcdef\n", 17), 17);
    rotation_close(&rotation);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(size_of(folder, i), 17, 200 + 17);
    assert_int_equal(size_of(folder, 3), -1);
}

static void test_one_file_alone(void **state)
{
    struct folder *folder = *state;
    struct rotation rotation;

    assert_int_equal(start(&rotation, folder, 30, 1), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(rotation_write(&rotation, "0123456789abcdef\n", 17), 17);
    rotation_close(&rotation);
    assert_int_equal(size_of(folder, 0), 17);
    assert_int_equal(size_of(folder, 1), -1);
}

static void test_what_somebody_put_there(void **state)
{
    struct folder *folder = *state;
    struct rotation rotation;

    assert_int_equal(symlinkat("/etc/passwd", folder->fd, NAME), 0);
    assert_int_equal(start(&rotation, folder, 100, 3), -ELOOP);
    unlinkat(folder->fd, NAME, 0);
    assert_int_equal(mkfifoat(folder->fd, NAME, 0600), 0);
    assert_int_equal(start(&rotation, folder, 100, 3), -ENXIO);
    unlinkat(folder->fd, NAME, 0);
    close(openat(folder->fd, "other", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(linkat(folder->fd, "other", folder->fd, NAME, 0), 0);
    assert_int_equal(start(&rotation, folder, 100, 3), -EPERM);
}

static void test_a_log_that_was_removed_begins_anew(void **state)
{
    struct folder *folder = *state;
    struct rotation rotation;

    assert_int_equal(start(&rotation, folder, 1000, 3), 0);
    assert_int_equal(rotation_write(&rotation, "a\n", 2), 2);
    unlinkat(folder->fd, NAME, 0);
    assert_int_equal(rotation_write(&rotation, "b\n", 2), 2);
    rotation_close(&rotation);
    assert_int_equal(size_of(folder, 0), 2);
}

/* ---- several writers ---- */

#define WRITERS 4
#define LINES   3000

/* So that no file is removed: 4 * 3000 lines of 32 bytes in files of 20,000. */
#define ENOUGH 25

static void write_lines(struct folder *folder, int writer)
{
    struct rotation rotation;
    char line[64];

    if (start(&rotation, folder, 20000, ENOUGH) < 0)
        _exit(1);
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof(line), "%02d %06d %021d\n", writer, i, i);
        if (rotation_write(&rotation, line, 32) != 32)
            _exit(2);
    }
    _exit(0);
}

static void start_writers(struct folder *folder, pid_t children[WRITERS])
{
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0)
            write_lines(folder, i);
    }
}

static void wait_for_writers(const pid_t children[WRITERS])
{
    for (int i = 0; i < WRITERS; i++) {
        int status;

        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
}

/* Counts lines, each of which must be the next one of its writer. */
static unsigned read_lines(struct audit_reader *reader, int next[WRITERS])
{
    cleanup_strbuf struct strbuf line = {0};
    unsigned count = 0;

    while (audit_reader_next(reader, &line) == 1) {
        int writer, number, again;

        assert_int_equal(sscanf(strbuf_text(&line), "%d %d %d", &writer, &number, &again), 3);
        assert_int_equal(line.length, 31);
        assert_int_equal(number, again);
        assert_int_equal(number, next[writer]);
        next[writer]++;
        count++;
    }
    return count;
}

static void test_writers_lose_nothing(void **state)
{
    struct folder *folder = *state;
    struct audit_reader *reader;
    pid_t children[WRITERS];
    int next[WRITERS] = {0};

    start_writers(folder, children);
    wait_for_writers(children);
    assert_true(size_of(folder, 5) >= 20000);
    assert_int_equal(audit_reader_open(folder->log, &reader), 0);
    assert_int_equal(read_lines(reader, next), WRITERS * LINES);
    audit_reader_free(reader);
}

static void test_reader_follows_them(void **state)
{
    struct folder *folder = *state;
    struct audit_reader *reader = NULL;
    pid_t children[WRITERS];
    int next[WRITERS] = {0};
    unsigned count = 0;

    close(openat(folder->fd, NAME, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(audit_reader_open(folder->log, &reader), 0);
    start_writers(folder, children);
    for (int i = 0; i < 200 && count < WRITERS * LINES; i++) {
        count += read_lines(reader, next);
        usleep(100000);
    }
    wait_for_writers(children);
    assert_int_equal(count, WRITERS * LINES);
    assert_int_equal(read_lines(reader, next), 0);
    audit_reader_free(reader);
}

/* ---- the reader ---- */

static void put(struct folder *folder, const char *name, const char *text)
{
    cleanup_close int fd = openat(folder->fd, name, O_CREAT | O_WRONLY | O_APPEND, 0600);

    assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
}

static void expect(struct audit_reader *reader, const char *text)
{
    cleanup_strbuf struct strbuf line = {0};

    assert_int_equal(audit_reader_next(reader, &line), text ? 1 : 0);
    if (text)
        assert_string_equal(strbuf_text(&line), text);
}

static void test_order_gaps_and_ends(void **state)
{
    struct folder *folder = *state;
    struct audit_reader *reader;

    put(folder, NAME ".7", "oldest\ncut");
    put(folder, NAME ".2", "\nlast\n");
    put(folder, NAME, "now\nnot yet");
    assert_int_equal(audit_reader_open(folder->log, &reader), 0);
    expect(reader, "oldest");
    expect(reader, "cut");
    expect(reader, "");
    expect(reader, "last");
    expect(reader, "now");
    expect(reader, NULL);
    put(folder, NAME, " but now\n");
    expect(reader, "not yet but now");
    expect(reader, NULL);
    audit_reader_free(reader);
}

static void test_a_log_that_was_cut(void **state)
{
    struct folder *folder = *state;
    struct audit_reader *reader;

    put(folder, NAME, "first\nsecond\nbegun");
    assert_int_equal(audit_reader_open(folder->log, &reader), 0);
    expect(reader, "first");
    expect(reader, "second");
    expect(reader, NULL);
    assert_int_equal(truncate(folder->log, 0), 0);
    put(folder, NAME, "anew\n");
    expect(reader, "anew");
    expect(reader, NULL);
    audit_reader_free(reader);
}

/* Opened a second time, it would wait for a writer for ever. */
static void test_fifo(void **state)
{
    struct folder *folder = *state;
    struct audit_reader *reader;
    int writer;

    assert_int_equal(mkfifoat(folder->fd, NAME, 0600), 0);
    writer = open(folder->log, O_RDWR | O_CLOEXEC);
    assert_int_equal(audit_reader_open(folder->log, &reader), 0);
    assert_int_equal(io_write_all(writer, "line\n", 5), 0);
    close(writer);
    expect(reader, "line");
    expect(reader, NULL);
    audit_reader_free(reader);
}

static void test_there_is_no_log(void **state)
{
    struct folder *folder = *state;
    struct audit_reader *reader;

    assert_int_equal(audit_reader_open(folder->log, &reader), -ENOENT);
    put(folder, NAME ".1", "rotated a moment ago\n");
    assert_int_equal(audit_reader_open(folder->log, &reader), 0);
    expect(reader, "rotated a moment ago");
    audit_reader_free(reader);
}

/* ---- the whole log ---- */

static const struct pk_audit_record denial = {.event = "denied",
                                              .pid = 1,
                                              .comm = "guest",
                                              .call = "socket",
                                              .what = "a \"socket\"\nof\x01 it",
                                              .rule = "why",
                                              .answer = -EACCES,
                                              .time = {.tv_sec = 1714555800}};

static void test_journal(void **state)
{
    struct folder *folder = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_DGRAM, 0);
    cleanup_strbuf struct strbuf queue = {0};
    char expected[256];
    char got[1024];
    ssize_t n;
    int fd;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/other", folder->path);
    assert_false(journal_is_there(address.sun_path));
    assert_int_equal(journal_open(address.sun_path), -ENOENT);
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(journal_is_there(address.sun_path));
    fd = journal_open(address.sun_path);
    assert_true(fd >= 0);
    journal_encode(&denial, "{\"one\":1}", &queue);
    journal_encode(&denial, "{\"two\":2}", &queue);
    n = journal_send(fd, queue.data, queue.length);
    assert_true(n > 0 && (size_t)n < queue.length);
    assert_int_equal(journal_send(fd, queue.data + n, queue.length - (size_t)n),
                     queue.length - (size_t)n);
    n = recv(server, got, sizeof(got) - 1, 0);
    got[n] = '\0';
    snprintf(expected, sizeof(expected),
             "PRIORITY=4\nSYSLOG_IDENTIFIER=cerebro\nCEREBRO_EVENT=denied\nCEREBRO_KERNEL=%d\n"
             "CEREBRO_PID=1\nMESSAGE={\"one\":1}\n",
             getpid());
    assert_string_equal(got, expected);
    n = recv(server, got, sizeof(got) - 1, 0);
    got[n] = '\0';
    assert_non_null(strstr(got, "MESSAGE={\"two\":2}\n"));
    close(fd);
    close(server);
}

/* What a flood of denials has not pushed out. */
static bool ends_with_event(struct audit_reader *reader, const char *event)
{
    cleanup_strbuf struct strbuf line = {0};
    char member[32];
    bool found = false;

    snprintf(member, sizeof(member), "\"event\":\"%s\"", event);
    while (audit_reader_next(reader, &line) == 1)
        found = strstr(strbuf_text(&line), member);
    return found;
}

static void test_standing_log_takes_actions_only(void **state)
{
    struct folder *folder = *state;
    struct pk_audit_record exec = denial;
    struct pk_audit_record detach = denial;
    struct audit_options options = {0};
    struct audit_protected found;
    struct audit_reader *reader;
    struct audit audit;
    char path[160];

    setenv("XDG_STATE_HOME", folder->path, 1);
    unsetenv("CEREBRO_AUDIT");
    exec.event = "exec";
    assert_int_equal(audit_open(&audit, &options, NULL), 0);
    audit_protect(&audit, false, &found);
    assert_null(found.name);
    audit_record(&audit, &exec);
    snprintf(path, sizeof(path), "%s/cerebro", folder->path);
    assert_int_equal(access(path, F_OK), -1);
    if (journal_is_there(JOURNAL_SOCKET)) {
        audit_close(&audit);
        skip();
    }
    audit_protect(&audit, true, &found);
    assert_string_equal(found.name, AUDIT_FILE_NAME);
    for (int i = 0; i < 3000; i++)
        audit_record(&audit, &denial);
    detach.event = "detach";
    audit_record(&audit, &detach);
    assert_true(audit_finish(&audit) > 1500);
    audit_close(&audit);
    snprintf(path, sizeof(path), "%s/cerebro/" AUDIT_FILE_NAME, folder->path);
    assert_int_equal(audit_reader_open(path, &reader), 0);
    snprintf(path, sizeof(path),
             "{\"time\":\"2024-05-01T09:30:00.000Z\",\"event\":\"denied\",\"pid\":1,"
             "\"comm\":\"guest\"");
    for (int i = 0; i < 1000; i++) {
        cleanup_strbuf struct strbuf line = {0};

        assert_int_equal(audit_reader_next(reader, &line), 1);
        assert_memory_equal(line.data, path, strlen(path));
        if (i == 0)
            assert_non_null(strstr(line.data, "\"a \\\"socket\\\"\\u000aof\\u0001 it\""));
    }
    assert_true(ends_with_event(reader, "detach"));
    audit_reader_free(reader);
    snprintf(path, sizeof(path), "%s/cerebro/" AUDIT_FILE_NAME, folder->path);
    unlink(path);
    snprintf(path, sizeof(path), "%s/cerebro", folder->path);
    assert_int_equal(rmdir(path), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_it_is_bounded),
        IN_FOLDER(test_it_is_bounded_whoever_keeps_the_lock),
        IN_FOLDER(test_one_file_alone),
        IN_FOLDER(test_what_somebody_put_there),
        IN_FOLDER(test_a_log_that_was_removed_begins_anew),
        IN_FOLDER(test_writers_lose_nothing),
        IN_FOLDER(test_reader_follows_them),
        IN_FOLDER(test_order_gaps_and_ends),
        IN_FOLDER(test_a_log_that_was_cut),
        IN_FOLDER(test_fifo),
        IN_FOLDER(test_there_is_no_log),
        IN_FOLDER(test_journal),
        IN_FOLDER(test_standing_log_takes_actions_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
