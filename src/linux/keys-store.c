/* The keys: making, charging, linking and wiping them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/cleanup.h"
#include "linux/keys-internal.h"

#define SERIAL_FIRST 3 /* key_alloc_serial() of security/keys/key.c */
#define PAYLOAD_MAX  32767
#define BIG_MAX      ((1U << 20) - 1)
#define BIG_CHARGED  16

/* logon: "service:name", so that programs tell theirs apart (logon_vet_description()). */
static bool has_prefix(const char *name)
{
    const char *colon = strchr(name, ':');

    return colon && colon != name;
}

static const struct key_type types[] = {
    {.name = "keyring", .readable = true, .is_ring = true},
    {.name = "user", .readable = true, .updatable = true, .least = 1, .most = PAYLOAD_MAX},
    {.name = "logon", .updatable = true, .least = 1, .most = PAYLOAD_MAX, .vet = has_prefix},
    {.name = "big_key",
     .readable = true,
     .updatable = true,
     .least = 1,
     .most = BIG_MAX,
     .charged = BIG_CHARGED},
};

const struct key_type *key_type_find(const char *name)
{
    for (size_t i = 0; i < array_length(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

/* ---- the store ---- */

struct keys *keys_new(const struct pk_key_limits *limits)
{
    struct keys *keys = calloc(1, sizeof(*keys));

    if (keys) {
        keys->limits = limits;
        keys->collect_at = KEY_NEVER;
    }
    return keys;
}

static void free_users(struct keys *keys)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&keys->users, &cursor)))
        free(slot->value);
    map_free(&keys->users);
}

static void wipe(void *bytes, size_t length)
{
    if (bytes)
        explicit_bzero(bytes, length);
    free(bytes);
}

static void free_key(struct key *key)
{
    wipe(key->payload, key->length);
    wipe(key->name, strlen(key->name));
    free(key->links);
    wipe(key, sizeof(*key));
}

void keys_free(struct keys *keys)
{
    struct map_slot *slot;
    size_t cursor = 0;

    if (keys == NULL)
        return;
    keys_rings_free(keys);
    while ((slot = map_next(&keys->by_serial, &cursor)))
        free_key(slot->value);
    map_free(&keys->by_serial);
    free_users(keys);
    free(keys);
}

void keys_shift_clock(struct keys *keys, int64_t seconds)
{
    keys->shift += seconds;
}

int64_t keys_now(const struct keys *keys)
{
    return (int64_t)time(NULL) + keys->shift;
}

struct key *keys_by_serial(struct keys *keys, int32_t serial)
{
    return serial > 0 ? map_get(&keys->by_serial, (uint64_t)serial) : NULL;
}

/* ---- users and their quotas ---- */

struct key_user *key_user_get(struct keys *keys, uid_t uid)
{
    struct key_user *user = map_get(&keys->users, (uint64_t)uid + 1);

    if (user)
        return user;
    user = calloc(1, sizeof(*user));
    if (user == NULL)
        return NULL;
    user->uid = uid;
    if (map_set(&keys->users, (uint64_t)uid + 1, user) < 0) {
        free(user);
        return NULL;
    }
    return user;
}

/* A user is forgotten with the last key. */
static void drop_user_without_keys(struct keys *keys, struct key_user *user)
{
    if (user->count == 0)
        free(map_remove(&keys->users, (uint64_t)user->uid + 1));
}

static bool has_quota(const struct keys *keys, const struct key_user *user, unsigned more_keys,
                      size_t more_bytes)
{
    const struct pk_key_limits *limits = keys->limits;
    unsigned most = user->uid == 0 ? limits->root_count : limits->count;
    unsigned most_bytes = user->uid == 0 ? limits->root_bytes : limits->bytes;

    return user->in_quota + more_keys <= most && user->bytes + more_bytes <= most_bytes;
}

static bool has_room(const struct keys *keys, unsigned more_keys, size_t more_bytes)
{
    return keys->by_serial.count + more_keys <= KEYS_MAX &&
           keys->bytes + more_bytes <= KEYS_MAX_BYTES;
}

static void charge(struct keys *keys, struct key *key, ssize_t quota)
{
    struct key_user *user = key_user_get(keys, key->payer);

    key->charged += (size_t)quota;
    if (user)
        user->bytes += (size_t)quota;
}

/* ---- keys ---- */

struct key *key_ref(struct key *key)
{
    key->references++;
    return key;
}

static void bury(struct keys *keys, struct key *key)
{
    if (--key->references)
        return;
    key->next_dead = keys->dead;
    keys->dead = key;
}

static size_t size_of(const struct key *key)
{
    return sizeof(*key) + strlen(key->name) + key->length + key->link_room * sizeof(key->links[0]);
}

static void release(struct keys *keys, struct key *key)
{
    struct key_user *user = key_user_get(keys, key->payer);

    for (size_t i = 0; i < key->link_count; i++)
        bury(keys, key->links[i]);
    map_remove(&keys->by_serial, (uint64_t)key->serial);
    keys->bytes -= size_of(key);
    if (user) {
        user->bytes -= key->charged;
        user->in_quota--;
        user->count--;
        user->positive -= key->rejected == 0;
        drop_user_without_keys(keys, user);
    }
    free_key(key);
}

/* Rings can stand in rings in any number: one after the other, not one within the other. */
static void free_dead(struct keys *keys)
{
    struct key *key;

    while ((key = keys->dead)) {
        keys->dead = key->next_dead;
        release(keys, key);
    }
}

void key_unref(struct keys *keys, struct key *key)
{
    if (key == NULL)
        return;
    bury(keys, key);
    if (!keys->collecting)
        free_dead(keys);
}

/* Random, as natively, so that nobody learns from it what others do. */
static int32_t fresh_serial(struct keys *keys)
{
    uint32_t number;

    do {
        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
            number = (uint32_t)(keys->by_serial.count + ++keys->walk) * 2654435761U;
        number >>= 1;
    } while (number < SERIAL_FIRST || keys_by_serial(keys, (int32_t)number));
    return (int32_t)number;
}

static struct key *allocate(struct keys *keys, const struct key_type *type, const char *name)
{
    struct key *key = calloc(1, sizeof(*key));

    if (key == NULL)
        return NULL;
    key->name = strdup(name);
    key->serial = fresh_serial(keys);
    if (key->name == NULL || map_set(&keys->by_serial, (uint64_t)key->serial, key) < 0) {
        free(key->name);
        free(key);
        return NULL;
    }
    key->type = type;
    key->references = 1;
    key->expires = KEY_NEVER;
    keys->bytes += size_of(key);
    return key;
}

int key_make(struct keys *keys, const struct key_type *type, const char *name, uid_t uid, gid_t gid,
             uint32_t mask, enum key_alloc how, struct key **ret_key)
{
    size_t charged = strlen(name) + 1;
    struct key_user *user;
    struct key *key;

    if (*name == '\0' || (type->vet && !type->vet(name)))
        return -EINVAL;
    user = key_user_get(keys, uid);
    if (user == NULL)
        return -ENOMEM;
    if (!has_room(keys, 1, sizeof(*key) + charged) ||
        (how == KEY_IN_QUOTA && !has_quota(keys, user, 1, charged))) {
        drop_user_without_keys(keys, user);
        return -EDQUOT;
    }
    key = allocate(keys, type, name);
    if (key == NULL) {
        drop_user_without_keys(keys, user);
        return -ENOMEM;
    }
    key->uid = key->payer = uid;
    key->gid = gid;
    key->mask = mask;
    user->count++;
    user->positive++;
    user->in_quota++;
    charge(keys, key, (ssize_t)charged);
    *ret_key = key;
    return 0;
}

int key_set_payload(struct keys *keys, struct key *key, const void *payload, size_t length)
{
    struct key_user *user = key_user_get(keys, key->payer);
    size_t charged = strlen(key->name) + 1 + (key->type->charged ? key->type->charged : length);
    unsigned char *copy;

    if (user == NULL)
        return -ENOMEM;
    if (charged > key->charged && !has_quota(keys, user, 0, charged - key->charged))
        return -EDQUOT;
    if (length > key->length && !has_room(keys, 0, length - key->length))
        return -EDQUOT;
    copy = malloc(length);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, payload, length);
    keys->bytes += length - key->length;
    wipe(key->payload, key->length);
    key->payload = copy;
    key->length = length;
    charge(keys, key, (ssize_t)charged - (ssize_t)key->charged);
    return 0;
}

void key_drop_payload(struct keys *keys, struct key *key)
{
    keys->bytes -= key->length;
    wipe(take_ptr(key->payload), key->length);
    key->length = 0;
    charge(keys, key, (ssize_t)(strlen(key->name) + 1) - (ssize_t)key->charged);
}

int key_set_payer(struct keys *keys, struct key *key, uid_t uid)
{
    struct key_user *old = key_user_get(keys, key->payer);
    struct key_user *user = key_user_get(keys, uid);
    int r = old && user ? 0 : -ENOMEM;

    if (r == 0 && !has_quota(keys, user, 1, key->charged))
        r = -EDQUOT;
    if (r == 0) {
        old->count--;
        old->in_quota--;
        old->positive -= key->rejected == 0;
        old->bytes -= key->charged;
        user->count++;
        user->in_quota++;
        user->positive += key->rejected == 0;
        user->bytes += key->charged;
        key->payer = uid;
        drop_user_without_keys(keys, old);
    } else if (user) {
        drop_user_without_keys(keys, user);
    }
    return r;
}

void key_set_rejected(struct keys *keys, struct key *key, int negative_errno)
{
    struct key_user *user = key_user_get(keys, key->payer);

    if (user)
        user->positive = user->positive + (key->rejected != 0) - (negative_errno != 0);
    key->rejected = negative_errno;
}

/* ---- links ---- */

static size_t index_of(const struct key *ring, const struct key_type *type, const char *name)
{
    size_t i = 0;

    while (i < ring->link_count && (ring->links[i]->type != type || //
                                    strcmp(ring->links[i]->name, name) != 0))
        i++;
    return i;
}

struct key *ring_find(const struct key *ring, const struct key_type *type, const char *name)
{
    size_t i = index_of(ring, type, name);

    return i < ring->link_count ? ring->links[i] : NULL;
}

int ring_check(const struct key *ring)
{
    if (ring->revoked)
        return -EKEYREVOKED;
    return ring->closed ? -EPERM : 0;
}

/* Room for one more link, of memory and of quota. */
static int make_room(struct keys *keys, struct key *ring)
{
    const struct key_user *user = key_user_get(keys, ring->payer);
    size_t room = ring->link_room ? ring->link_room * 2 : 4;
    struct key **links;

    if (user && !has_quota(keys, user, 0, KEY_LINK_BYTES))
        return -EDQUOT;
    if (ring->link_count < ring->link_room)
        return 0;
    if (!has_room(keys, 0, (room - ring->link_room) * sizeof(links[0])))
        return -EDQUOT;
    links = reallocarray(ring->links, room, sizeof(links[0]));
    if (links == NULL)
        return -ENOMEM;
    keys->bytes += (room - ring->link_room) * sizeof(links[0]);
    ring->links = links;
    ring->link_room = room;
    return 0;
}

int ring_add(struct keys *keys, struct key *ring, struct key *key)
{
    size_t i = index_of(ring, key->type, key->name);
    int r = ring_check(ring);

    if (r < 0)
        return r;
    if (i < ring->link_count) {
        struct key *old = ring->links[i];

        ring->links[i] = key_ref(key);
        key_unref(keys, old);
        return 0;
    }
    r = make_room(keys, ring);
    if (r < 0)
        return r;
    ring->links[ring->link_count++] = key_ref(key);
    charge(keys, ring, KEY_LINK_BYTES);
    return 0;
}

static void remove_at(struct keys *keys, struct key *ring, size_t i)
{
    struct key *key = ring->links[i];

    ring->link_count--;
    memmove(&ring->links[i], &ring->links[i + 1], (ring->link_count - i) * sizeof(ring->links[0]));
    charge(keys, ring, -KEY_LINK_BYTES);
    key_unref(keys, key);
}

int ring_remove(struct keys *keys, struct key *ring, const struct key *key)
{
    size_t i = index_of(ring, key->type, key->name);

    if (i == ring->link_count)
        return -ENOENT;
    remove_at(keys, ring, i);
    return 0;
}

void ring_clear(struct keys *keys, struct key *ring)
{
    while (ring->link_count)
        remove_at(keys, ring, ring->link_count - 1);
}

/* ---- keys that have been dead for a while ---- */

void keys_note_end(struct keys *keys, int64_t when)
{
    int64_t delay = keys->limits->delay;

    if (when < KEY_NEVER - delay && when + delay < keys->collect_at)
        keys->collect_at = when + delay;
}

static bool is_gone(const struct keys *keys, const struct key *key, int64_t now)
{
    int64_t delay = keys->limits->delay;

    if (key->invalid)
        return true;
    if (key->revoked && key->revoked_at + delay <= now)
        return true;
    return key->expires < KEY_NEVER - delay && key->expires + delay <= now;
}

static void collect_links(struct keys *keys, struct key *ring, int64_t now)
{
    for (size_t i = ring->link_count; i-- > 0;) {
        struct key *key = ring->links[i];

        if (is_gone(keys, key, now))
            remove_at(keys, ring, i);
        else if (key->revoked)
            keys_note_end(keys, key->revoked_at);
        else
            keys_note_end(keys, key->expires);
    }
}

/* Nothing is freed while the keys are gone through. */
void keys_collect(struct keys *keys)
{
    int64_t now = keys_now(keys);
    struct map_slot *slot;
    size_t cursor = 0;

    keys_sweep(keys);
    keys->collect_at = KEY_NEVER;
    keys->collecting = true;
    while ((slot = map_next(&keys->by_serial, &cursor)))
        collect_links(keys, slot->value, now);
    keys->collecting = false;
    free_dead(keys);
}
