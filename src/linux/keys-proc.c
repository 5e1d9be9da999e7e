/* /proc/keys and /proc/key-users (proc_keys(5), proc_key-users(5)). */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "linux/keys-internal.h"

#define OVERFLOW_ID 65534 /* what an id shows that is none */

int key_shown_gid(const struct key *key)
{
    return key->gid == (gid_t)-1 ? OVERFLOW_ID : (int)key->gid;
}

/* "perm", "expd", or what is left in the largest unit that fits. */
static void time_left(const struct keys *keys, const struct key *key, char text[16])
{
    static const struct {
        int64_t below, unit;
        char letter;
    } units[] = {{60, 1, 's'},
                 {60 * 60, 60, 'm'},
                 {60 * 60 * 24, 60 * 60, 'h'},
                 {60 * 60 * 24 * 7, 60 * 60 * 24, 'd'},
                 {KEY_NEVER, 60 * 60 * 24 * 7, 'w'}};
    int64_t left = key->expires - keys_now(keys);
    size_t i = 0;

    if (key->expires == KEY_NEVER || left <= 0) {
        snprintf(text, 16, "%s", left <= 0 ? "expd" : "perm");
        return;
    }
    while (left >= units[i].below)
        i++;
    snprintf(text, 16, "%u%c", (unsigned)(left / units[i].unit), units[i].letter);
}

static void add_summary(const struct key *key, struct strbuf *text)
{
    strbuf_add_string(text, key->name);
    if (key->rejected)
        return;
    if (!key->type->is_ring)
        strbuf_addf(text, ": %zu", key->length);
    else if (key->link_count)
        strbuf_addf(text, ": %zu", key->link_count);
    else
        strbuf_add_string(text, ": empty");
}

static void add_line(const struct keys *keys, const struct key *key, struct strbuf *text)
{
    char left[16];

    time_left(keys, key, left);
    strbuf_addf(text, "%08x I%c-Q-%c%c %5u %4s %08x %5d %5d %-9.9s ", (unsigned)key->serial,
                key->revoked ? 'R' : '-', key->rejected ? 'N' : '-', key->invalid ? 'i' : '-',
                key->references, left, key->mask, (int)key->uid, key_shown_gid(key),
                key->type->name);
    add_summary(key, text);
    strbuf_add(text, "\n", 1);
}

static int by_serial(const void *a, const void *b)
{
    int32_t x = (*(struct key *const *)a)->serial, y = (*(struct key *const *)b)->serial;

    return (x > y) - (x < y);
}

static bool may_view(const struct key_caller *caller, struct key *key)
{
    struct key_found found = {key, key->held == caller->keys->walk};

    return key_permits(caller, found, KEY_MAY_VIEW) == 0;
}

int keys_list(struct key_caller *caller, struct strbuf *ret_text)
{
    const struct map *map = &caller->keys->by_serial;
    cleanup_free struct key **all = calloc(map->count + 1, sizeof(*all));
    struct map_slot *slot;
    size_t cursor = 0, count = 0;

    if (all == NULL)
        return -ENOMEM;
    while ((slot = map_next(map, &cursor)))
        all[count++] = slot->value;
    qsort(all, count, sizeof(*all), by_serial);
    keys_mark_held(caller);
    for (size_t i = 0; i < count; i++)
        if (may_view(caller, all[i]))
            add_line(caller->keys, all[i], ret_text);
    return strbuf_status(ret_text);
}

static int by_uid(const void *a, const void *b)
{
    uid_t x = (*(struct key_user *const *)a)->uid, y = (*(struct key_user *const *)b)->uid;

    return (x > y) - (x < y);
}

static void add_user(const struct keys *keys, const struct key_user *user, struct strbuf *text)
{
    const struct pk_key_limits *limits = keys->limits;

    strbuf_addf(text, "%5u: %5u %u/%u %u/%u %zu/%u\n", user->uid, user->count, user->count,
                user->positive, user->in_quota, user->uid ? limits->count : limits->root_count,
                user->bytes, user->uid ? limits->bytes : limits->root_bytes);
}

int keys_list_users(struct keys *keys, struct strbuf *ret_text)
{
    cleanup_free struct key_user **all = calloc(keys->users.count + 1, sizeof(*all));
    struct map_slot *slot;
    size_t cursor = 0, count = 0;

    if (all == NULL)
        return -ENOMEM;
    while ((slot = map_next(&keys->users, &cursor)))
        all[count++] = slot->value;
    qsort(all, count, sizeof(*all), by_uid);
    for (size_t i = 0; i < count; i++)
        add_user(keys, all[i], ret_text);
    return strbuf_status(ret_text);
}
