/* The key service by itself: bounds, quotas, what is dropped when, and walks that cannot blow up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "linux/keys-internal.h"

struct fixture {
    struct pk_key_limits limits;
    struct pk_identity identity;
    struct key_caller caller;
    int32_t session_in_use; /* by another process */
};

#define THREAD  KEY_SPEC_THREAD_KEYRING
#define PROCESS KEY_SPEC_PROCESS_KEYRING
#define SESSION KEY_SPEC_SESSION_KEYRING

static void name_sessions(void *user, void (*in_use)(struct keys *keys, int32_t serial))
{
    struct fixture *f = user;

    in_use(f->caller.keys, f->caller.session);
    in_use(f->caller.keys, f->session_in_use);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->limits = (struct pk_key_limits){
        .count = 200, .bytes = 20000, .root_count = 100000, .root_bytes = 1 << 30, .delay = 300};
    f->identity = (struct pk_identity){
        .uid = 1000, .euid = 1000, .fsuid = 1000, .gid = 1000, .egid = 1000, .fsgid = 1000};
    f->caller = (struct key_caller){
        .keys = keys_new(&f->limits), .identity = &f->identity, .pid = getpid(), .tid = getpid()};
    assert_non_null(f->caller.keys);
    keys_set_sessions(f->caller.keys, name_sessions, f);
    *state = f;
    return 0;
}

/* Whatever a test did, nothing is counted when all is gone. */
static int tear_down(void **state)
{
    struct fixture *f = *state;

    keys_free(f->caller.keys);
    free(f);
    return 0;
}

static int32_t add_user_key(struct fixture *f, const char *name, int32_t ring)
{
    return keys_add(&f->caller, "user", name, "payload", 7, ring);
}

static int32_t add_ring(struct fixture *f, const char *name, int32_t ring)
{
    return keys_add(&f->caller, "keyring", name, NULL, 0, ring);
}

static struct key_user *user_of(struct fixture *f, uid_t uid)
{
    return map_get(&f->caller.keys->users, (uint64_t)uid + 1);
}

/* ---- quotas and bounds ---- */

static void what_a_key_costs(void **state)
{
    struct fixture *f = *state;
    size_t before;
    int32_t key;

    assert_true(add_user_key(f, "first", PROCESS) > 0);
    before = user_of(f, 1000)->bytes;
    key = add_user_key(f, "second", PROCESS);
    assert_true(key > 0);
    assert_int_equal(user_of(f, 1000)->bytes - before, strlen("second") + 1 + 7 + KEY_LINK_BYTES);
    assert_int_equal(keys_update(&f->caller, key, "xy", 2), 0);
    assert_int_equal(user_of(f, 1000)->bytes - before, strlen("second") + 1 + 2 + KEY_LINK_BYTES);
    assert_int_equal(keys_revoke(&f->caller, key), 0);
    assert_int_equal(user_of(f, 1000)->bytes - before, strlen("second") + 1 + KEY_LINK_BYTES);
    assert_int_equal(keys_unlink(&f->caller, key, PROCESS), 0);
    assert_int_equal(user_of(f, 1000)->bytes, before);
    assert_int_equal(user_of(f, 1000)->in_quota, 2);
}

static void users_reach_their_quotas(void **state)
{
    struct fixture *f = *state;
    char name[16], payload[1000] = "";
    int32_t key = 1;
    unsigned made = 0;

    f->limits.count = 10;
    for (; key > 0 && made<20; made += key> 0) {
        snprintf(name, sizeof(name), "%u", made);
        key = add_user_key(f, name, PROCESS);
    }
    assert_int_equal(key, -EDQUOT);
    assert_int_equal(user_of(f, 1000)->in_quota, 10); /* exactly */
    f->limits.count = 200;
    f->limits.bytes = (unsigned)user_of(f, 1000)->bytes + 100;
    assert_int_equal(keys_add(&f->caller, "user", "large", payload, 100, PROCESS), -EDQUOT);
    assert_int_equal(keys_add(&f->caller, "user", "0", payload, 1000, PROCESS), -EDQUOT);
    assert_true(keys_add(&f->caller, "user", "fits", payload, 91, PROCESS) > 0);
    assert_int_equal(user_of(f, 1000)->bytes, f->limits.bytes);
}

static void a_failed_link_costs_nothing(void **state)
{
    struct fixture *f = *state;
    size_t before;
    unsigned count;

    assert_true(add_user_key(f, "a", PROCESS) > 0);
    before = user_of(f, 1000)->bytes;
    count = user_of(f, 1000)->count;
    f->limits.bytes = (unsigned)before + 2 + 7; /* the key would fit, the link does not */
    assert_int_equal(add_user_key(f, "b", PROCESS), -EDQUOT);
    assert_int_equal(user_of(f, 1000)->bytes, before);
    assert_int_equal(user_of(f, 1000)->count, count);
}

static void all_memory_is_bounded(void **state)
{
    struct fixture *f = *state;
    size_t most = (1U << 20) - 1;
    char *payload = calloc(1, most), name[16];
    int32_t key = 1;
    unsigned made = 0;

    f->identity.uid = f->identity.fsuid = 0;
    for (; key > 0 && made<100; made += key> 0) {
        snprintf(name, sizeof(name), "%u", made);
        key = keys_add(&f->caller, "big_key", name, payload, most, PROCESS);
    }
    free(payload);
    assert_int_equal(key, -EDQUOT);
    assert_in_range(made, 30, 32);
    assert_true(f->caller.keys->bytes <= KEYS_MAX_BYTES);
    assert_int_equal(keys_clear(&f->caller, PROCESS), 0);
    assert_true(f->caller.keys->bytes < 1000);
}

/* ---- what ends ---- */

static void rings_end_with_their_process(void **state)
{
    struct fixture *f = *state;
    struct key_caller child = f->caller;
    int status, to_child[2];
    pid_t pid;
    char byte;

    assert_int_equal(pipe(to_child), 0);
    pid = fork();
    if (pid == 0) {
        close(to_child[1]);
        _exit(read(to_child[0], &byte, 1) == 0 ? 0 : 1);
    }
    child.pid = child.tid = pid;
    assert_true(keys_add(&child, "user", "child's", "x", 1, PROCESS) > 0);
    assert_true(keys_add(&child, "user", "child's", "x", 1, THREAD) > 0);
    assert_int_equal(f->caller.keys->by_serial.count, 4);
    keys_collect(f->caller.keys);
    assert_int_equal(f->caller.keys->by_serial.count, 4);
    close(to_child[0]);
    close(to_child[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    keys_collect(f->caller.keys);
    assert_int_equal(f->caller.keys->by_serial.count, 0);
    assert_int_equal(f->caller.keys->bytes, 0);
    assert_int_equal(f->caller.keys->users.count, 0);
}

static void exec_takes_rings_away(void **state)
{
    struct fixture *f = *state;

    assert_true(add_user_key(f, "a", PROCESS) > 0);
    assert_true(add_user_key(f, "a", THREAD) > 0);
    keys_exec(f->caller.keys, getpid() + 1);
    assert_true(keys_ring_id(&f->caller, PROCESS, false) > 0);
    keys_exec(f->caller.keys, getpid());
    assert_int_equal(keys_ring_id(&f->caller, PROCESS, false), -ENOKEY);
    assert_int_equal(keys_ring_id(&f->caller, THREAD, false), -ENOKEY);
    assert_int_equal(f->caller.keys->bytes, 0);
}

static void sessions_end_with_their_last_process(void **state)
{
    struct fixture *f = *state;
    int32_t first = keys_join_session(&f->caller, NULL), second;

    assert_true(first > 0);
    f->session_in_use = first;
    second = keys_join_session(&f->caller, NULL);
    assert_true(second > 0 && second != first);
    keys_collect(f->caller.keys);
    assert_non_null(keys_by_serial(f->caller.keys, first));
    f->session_in_use = 0;
    keys_collect(f->caller.keys);
    assert_null(keys_by_serial(f->caller.keys, first));
    assert_non_null(keys_by_serial(f->caller.keys, second));
}

static void dead_keys_go_after_the_delay(void **state)
{
    struct fixture *f = *state;
    int32_t revoked, expired, ring = keys_ring_id(&f->caller, PROCESS, true);

    revoked = add_user_key(f, "revoked", ring);
    expired = add_user_key(f, "expired", ring);
    assert_int_equal(keys_revoke(&f->caller, revoked), 0);
    assert_int_equal(keys_set_timeout(&f->caller, expired, 60), 0);
    keys_shift_clock(f->caller.keys, 299);
    keys_begin(&f->caller);
    assert_int_equal(keys_check_view(&f->caller, revoked), -EKEYREVOKED);
    assert_int_equal(keys_check_view(&f->caller, expired), -EKEYEXPIRED);
    keys_shift_clock(f->caller.keys, 2);
    keys_begin(&f->caller);
    assert_int_equal(keys_check_view(&f->caller, revoked), -ENOKEY);
    assert_int_equal(keys_check_view(&f->caller, expired), -EKEYEXPIRED);
    keys_shift_clock(f->caller.keys, 60);
    keys_begin(&f->caller);
    assert_int_equal(keys_check_view(&f->caller, expired), -ENOKEY);
}

static void negative_keys_stand_for_a_minute(void **state)
{
    struct fixture *f = *state;
    struct strbuf bytes = {0};
    int32_t key, ring = keys_join_session(&f->caller, NULL);

    assert_int_equal(keys_request(&f->caller, "user", "x", "please", 0), -ENOKEY);
    assert_int_equal(keys_read(&f->caller, ring, &bytes), 0);
    assert_int_equal(bytes.length, sizeof(key));
    memcpy(&key, bytes.data, sizeof(key));
    strbuf_free(&bytes);
    assert_int_equal(keys_read(&f->caller, key, &bytes), -ENOKEY);
    assert_int_equal(user_of(f, 1000)->positive, user_of(f, 1000)->count - 1);
    assert_int_equal(keys_add(&f->caller, "user", "x", "y", 1, ring), key);
    assert_int_equal(keys_request(&f->caller, "user", "x", NULL, 0), key);
    assert_int_equal(user_of(f, 1000)->positive, user_of(f, 1000)->count);
}

/* ---- owners ---- */

static void root_gives_keys_away(void **state)
{
    struct fixture *f = *state;
    int32_t key;
    size_t bytes;

    f->identity.uid = f->identity.fsuid = 0;
    f->identity.effective = 1ULL << CAP_SYS_ADMIN;
    key = add_user_key(f, "gift", PROCESS);
    bytes = user_of(f, 0)->bytes;
    assert_int_equal(keys_chown(&f->caller, key, 7, 8), 0);
    assert_int_equal(user_of(f, 7)->bytes, strlen("gift") + 1 + 7);
    assert_int_equal(user_of(f, 7)->in_quota, 1);
    assert_int_equal(user_of(f, 0)->bytes, bytes - user_of(f, 7)->bytes);
    f->limits.count = 1;
    key = add_user_key(f, "another", PROCESS);
    assert_int_equal(keys_chown(&f->caller, key, 7, 8), -EDQUOT);
    assert_int_equal(keys_chown(&f->caller, key, 9, 8), 0);
    assert_int_equal(keys_clear(&f->caller, PROCESS), 0);
    assert_null(user_of(f, 7));
    assert_null(user_of(f, 9));
}

static void strangers_get_nothing(void **state)
{
    struct fixture *f = *state;
    struct pk_identity other = {.uid = 2000, .euid = 2000, .fsuid = 2000, .fsgid = 2000};
    struct key_caller stranger = {.keys = f->caller.keys, .identity = &other, .pid = 1, .tid = 1};
    struct strbuf bytes = {0};
    int32_t key = add_user_key(f, "mine", PROCESS);
    int32_t user_ring = keys_ring_id(&f->caller, KEY_SPEC_USER_KEYRING, false);

    assert_true(user_ring > 0);
    assert_int_equal(keys_read(&stranger, key, &bytes), -EACCES);
    assert_int_equal(keys_describe(&stranger, key, &bytes), -EACCES);
    assert_int_equal(keys_update(&stranger, key, "x", 1), -EACCES);
    assert_int_equal(keys_revoke(&stranger, key), -EACCES);
    assert_int_equal(keys_invalidate(&stranger, key), -EACCES);
    assert_int_equal(keys_set_mask(&stranger, key, KEY_MAY_ALL), -EACCES);
    assert_int_equal(keys_chown(&stranger, key, 2000, 2000), -EACCES);
    assert_int_equal(keys_set_timeout(&stranger, key, 1), -EACCES);
    assert_int_equal(keys_link(&stranger, key, KEY_SPEC_USER_KEYRING), -EACCES);
    assert_int_equal(keys_search(&stranger, user_ring, "user", "mine", 0), -EACCES);
    assert_int_equal(keys_clear(&stranger, user_ring), -EACCES);
    assert_int_equal(keys_list(&stranger, &bytes), 0);
    assert_null(strstr(strbuf_text(&bytes), "mine"));
    strbuf_free(&bytes);
    assert_int_equal(keys_set_mask(&f->caller, key, 0x3f3f0000 | KEY_MAY_READ), 0);
    assert_int_equal(keys_read(&stranger, key, &bytes), 0);
    assert_memory_equal(bytes.data, "payload", 7);
    strbuf_free(&bytes);
    keys_unlink(&stranger, key, PROCESS);
}

/* ---- walks ---- */

/* A chain can be made as long as one likes from its top downwards. */
static void long_chains_end(void **state)
{
    struct fixture *f = *state;
    int32_t ring;

    f->identity.uid = f->identity.fsuid = 0;
    ring = add_ring(f, "top", PROCESS);
    for (int i = 0; i < 20000; i++) {
        int32_t below = add_ring(f, "ring", PROCESS); /* in the place of the one before */

        assert_true(below > 0);
        assert_int_equal(keys_set_mask(&f->caller, below, 0x3f3f0000), 0);
        assert_int_equal(keys_link(&f->caller, below, ring), 0);
        ring = below;
    }
    assert_int_equal(f->caller.keys->by_serial.count, 20002);
    assert_int_equal(keys_search(&f->caller, PROCESS, "user", "none", 0), -ENOKEY);
    assert_int_equal(keys_clear(&f->caller, PROCESS), 0);
    assert_int_equal(f->caller.keys->by_serial.count, 1);
}

/* Six layers of thirty rings, each with a link to all of the next: 30^6 ways from top to bottom. */
static void many_ways_are_gone_once(void **state)
{
    struct fixture *f = *state;
    int32_t rings[7][30];
    clock_t before;
    char name[32];

    f->identity.uid = f->identity.fsuid = 0;
    for (int layer = 6; layer >= 0; layer--)
        for (int i = 0; i < 30; i++) {
            snprintf(name, sizeof(name), "%d-%d", layer, i);
            rings[layer][i] = add_ring(f, name, PROCESS);
            for (int j = 0; layer < 6 && j < 30; j++)
                assert_int_equal(keys_link(&f->caller, rings[layer + 1][j], rings[layer][i]), 0);
        }
    before = clock();
    assert_int_equal(keys_search(&f->caller, rings[0][0], "user", "none", 0), -ENOKEY);
    assert_int_equal(keys_link(&f->caller, rings[0][0], rings[6][0]), -EDEADLK);
    assert_int_equal(keys_request(&f->caller, "user", "none", NULL, 0), -ENOKEY);
    assert_true(clock() - before < CLOCKS_PER_SEC);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_a_key_costs),
        TEST(users_reach_their_quotas),
        TEST(a_failed_link_costs_nothing),
        TEST(all_memory_is_bounded),
        TEST(rings_end_with_their_process),
        TEST(exec_takes_rings_away),
        TEST(sessions_end_with_their_last_process),
        TEST(dead_keys_go_after_the_delay),
        TEST(negative_keys_stand_for_a_minute),
        TEST(root_gives_keys_away),
        TEST(strangers_get_nothing),
        TEST(long_chains_end),
        TEST(many_ways_are_gone_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
