#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/list.h"
#include "base/map.h"
#include "base/strbuf.h"

static void map_keeps_what_an_array_keeps(void **state)
{
    enum { KEYS = 500, ROUNDS = 20000 };
    static char values[KEYS];
    bool present[KEYS] = {false};
    struct map map = {0};
    size_t count = 0;

    (void)state;
    srandom(1);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned key = (unsigned)random() % KEYS;

        if (random() % 2) {
            assert_int_equal(map_set2(&map, key, key * 7, &values[key]), 0);
            count += !present[key];
            present[key] = true;
        } else {
            assert_ptr_equal(map_remove2(&map, key, key * 7), present[key] ? &values[key] : NULL);
            count -= present[key];
            present[key] = false;
        }
        assert_int_equal(map.count, count);
    }
    for (unsigned key = 0; key < KEYS; key++)
        assert_ptr_equal(map_get2(&map, key, key * 7), present[key] ? &values[key] : NULL);
    /* Deleted marks must not let it grow without end. */
    assert_true(map.capacity <= 4096);
    map_free(&map);
}

static void map_walk_allows_removal(void **state)
{
    static char value;
    struct map map = {0};
    struct map_slot *slot;
    size_t cursor = 0;
    int seen = 0;

    (void)state;
    for (uint64_t key = 1; key <= 100; key++)
        map_set(&map, key, &value);
    while ((slot = map_next(&map, &cursor))) {
        seen++;
        map_remove(&map, slot->key);
    }
    assert_int_equal(seen, 100);
    assert_int_equal(map.count, 0);
    map_free(&map);
}

static void strbuf_escapes_json(void **state)
{
    cleanup_strbuf struct strbuf buf = {0};

    (void)state;
    assert_string_equal(strbuf_text(&buf), "");
    strbuf_add_json(&buf, "a\"b\\c\n\x7f");
    assert_string_equal(strbuf_text(&buf), "a\\\"b\\\\c\\u000a\\u007f");
    strbuf_truncate(&buf, 1);
    strbuf_addf(&buf, "%d", 12);
    assert_string_equal(strbuf_text(&buf), "a12");
    assert_int_equal(strbuf_status(&buf), 0);
}

/* Names of files are bytes, and JSON is UTF-8. */
static void strbuf_keeps_json_valid(void **state)
{
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa7", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa7"},
        {"\xff", "\\ufffd"},
        {"\xc2\x9b\xc2\xa0", "\\u009b\xc2\xa0"},   /* what is ESC [ to a terminal */
        {"a\xc3", "a\\ufffd"},                     /* cut off */
        {"\xe2\x82z", "\\ufffd\\ufffdz"},          /* cut off */
        {"\xc0\xaf", "\\ufffd\\ufffd"},            /* overlong */
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cleanup_strbuf struct strbuf buf = {0};

        strbuf_add_json(&buf, cases[i].text);
        assert_string_equal(strbuf_text(&buf), cases[i].json);
    }
}

static void numbers_are_parsed_whole(void **state)
{
    uint64_t value = 99;

    (void)state;
    assert_int_equal(io_parse_u64("18446744073709551615", UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(io_parse_u64("18446744073709551616", UINT64_MAX, &value), -ERANGE);
    assert_int_equal(io_parse_u64("11", 10, &value), -ERANGE);
    assert_int_equal(io_parse_u64("", 10, &value), -EINVAL);
    assert_int_equal(io_parse_u64("-1", 10, &value), -EINVAL);
    assert_int_equal(io_parse_u64(" 1", 10, &value), -EINVAL);
    assert_int_equal(io_parse_u64("1x", 10, &value), -EINVAL);
    assert_true(value == UINT64_MAX); /* untouched by failures */
    assert_int_equal(io_parse_size("512M", &value), 0);
    assert_true(value == 512UL << 20);
    assert_int_equal(io_parse_size("2g", &value), 0);
    assert_true(value == 2UL << 30);
    assert_int_equal(io_parse_size("99999999T", &value), -ERANGE);
    assert_int_equal(io_parse_size("1MB", &value), -EINVAL);
}

static void first_error_is_kept(void **state)
{
    struct base_error error = {0};

    (void)state;
    assert_int_equal(base_fail(&error, -ENOENT, "do this", "no %s", "file"), -ENOENT);
    assert_int_equal(base_fail(&error, EPERM, NULL, "later"), -EPERM);
    assert_int_equal(error.code, ENOENT);
    assert_string_equal(error.sentence, "no file");
    assert_string_equal(error.hint, "do this");
    assert_int_equal(base_fail(NULL, EPERM, NULL, "nobody listens"), -EPERM);
}

static void files_are_read_up_to_a_limit(void **state)
{
    cleanup_strbuf struct strbuf text = {0};
    cleanup_close int fd = io_memfd("test", "hello world", 11);
    char path[IO_FD_PATH_SIZE];

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(io_read_file(AT_FDCWD, io_fd_path(fd, path), 5, &text), 0);
    assert_string_equal(strbuf_text(&text), "hello");
    assert_int_equal(io_read_file(AT_FDCWD, "/does/not/exist", 5, &text), -ENOENT);
}

static void list_keeps_order(void **state)
{
    struct item {
        int number;
        struct list link;
    } items[3] = {{1, {0}}, {2, {0}}, {3, {0}}};
    struct list head;
    struct item *item;
    struct item *next;
    int expected = 1;

    (void)state;
    list_init(&head);
    for (size_t i = 0; i < array_length(items); i++)
        list_append(&head, &items[i].link);
    list_for_each_safe(item, next, &head, link)
    {
        assert_int_equal(item->number, expected++);
        list_remove(&item->link);
        list_remove(&item->link);
    }
    assert_true(list_is_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_keeps_what_an_array_keeps), cmocka_unit_test(map_walk_allows_removal),
        cmocka_unit_test(strbuf_escapes_json),           cmocka_unit_test(strbuf_keeps_json_valid),
        cmocka_unit_test(numbers_are_parsed_whole),      cmocka_unit_test(first_error_is_kept),
        cmocka_unit_test(files_are_read_up_to_a_limit),  cmocka_unit_test(list_keeps_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
