/* What add_key(2), request_key(2) and keyctl(2) ask for, on keys that keys_lookup() finds. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/keys-internal.h"

static bool is_admin(const struct key_caller *caller)
{
    return caller->identity->effective >> CAP_SYS_ADMIN & 1;
}

static uint32_t default_mask(const struct key_type *type)
{
    uint32_t mask = KEY_DEFAULT_MASK;

    if (type->readable)
        mask |= KEY_MAY_READ << KEY_POSSESSOR;
    if (type->is_ring || type->updatable)
        mask |= KEY_MAY_WRITE << KEY_POSSESSOR;
    return mask;
}

static int check_payload(const struct key_type *type, size_t length)
{
    return length < type->least || length > type->most ? -EINVAL : 0;
}

/* ---- add_key ---- */

/* An update makes a negative key a positive one, and takes away the end of its time. */
static int update(struct key_caller *caller, struct key_found found, const void *payload,
                  size_t length)
{
    int r = key_permits(caller, found, KEY_MAY_WRITE);

    if (r == 0)
        r = key_set_payload(caller->keys, found.key, payload, length);
    if (r < 0)
        return r;
    found.key->expires = KEY_NEVER;
    key_set_rejected(caller->keys, found.key, 0);
    return 0;
}

static int create(struct key_caller *caller, const struct key_type *type, const char *name,
                  struct key **ret_key)
{
    return key_make(caller->keys, type, name, caller->identity->fsuid, caller->identity->fsgid,
                    default_mask(type), KEY_IN_QUOTA, ret_key);
}

static int32_t create_and_link(struct key_caller *caller, const struct key_type *type,
                               const char *name, const void *payload, size_t length,
                               struct key *ring)
{
    struct key *key;
    int32_t serial;
    int r = create(caller, type, name, &key);

    if (r < 0)
        return r;
    serial = key->serial;
    if (!type->is_ring)
        r = key_set_payload(caller->keys, key, payload, length);
    if (r == 0)
        r = ring_add(caller->keys, ring, key);
    key_unref(caller->keys, key);
    return r < 0 ? r : serial;
}

int32_t keys_add(struct key_caller *caller, const char *type_name, const char *name,
                 const void *payload, size_t length, int32_t id)
{
    const struct key_type *type = key_type_find(type_name);
    struct key_found ring;
    struct key *old;
    int r = keys_lookup(caller, id, KEY_CREATE, KEY_MAY_WRITE, &ring);

    if (r < 0)
        return r;
    if (type == NULL)
        return -ENODEV;
    if (!ring.key->type->is_ring)
        return -ENOTDIR;
    r = check_payload(type, length);
    if (r == 0 && *name == '\0')
        r = -EINVAL;
    r = r < 0 ? r : ring_check(ring.key);
    if (r < 0)
        return r;
    old = type->updatable ? ring_find(ring.key, type, name) : NULL;
    if (old == NULL || old->invalid || old->revoked)
        return create_and_link(caller, type, name, payload, length, ring.key);
    r = update(caller, (struct key_found){old, ring.possessed}, payload, length);
    return r < 0 ? r : old->serial;
}

int keys_update(struct key_caller *caller, int32_t id, const void *payload, size_t length)
{
    struct key_found found;
    int r = keys_lookup(caller, id, 0, KEY_MAY_WRITE, &found);

    if (r < 0)
        return r;
    if (!found.key->type->updatable)
        return -EOPNOTSUPP;
    r = check_payload(found.key->type, length);
    return r < 0 ? r : update(caller, found, payload, length);
}

/* ---- request_key ---- */

/* The first ring that is there, from the one that was chosen on (construct_get_dest_keyring()). */
static int fallback_ring(struct key_caller *caller, struct key_found *ret_ring)
{
    struct key *ring = NULL;
    int first = caller->fallback;
    struct key_found found;
    int r = 0;

    if (first == KEY_REQKEY_DEFL_DEFAULT || first == KEY_REQKEY_DEFL_THREAD_KEYRING)
        ring = keys_thread_ring(caller);
    if (ring == NULL && first <= KEY_REQKEY_DEFL_PROCESS_KEYRING)
        ring = keys_process_ring(caller);
    if (ring == NULL && first <= KEY_REQKEY_DEFL_SESSION_KEYRING)
        ring = keys_session_ring(caller);
    found = (struct key_found){ring, true};
    if (ring == NULL)
        r = keys_lookup(caller,
                        first == KEY_REQKEY_DEFL_USER_KEYRING ? KEY_SPEC_USER_KEYRING
                                                              : KEY_SPEC_USER_SESSION_KEYRING,
                        KEY_DEFER, 0, &found);
    r = r < 0 ? r : key_permits(caller, found, KEY_MAY_WRITE);
    if (r == 0)
        *ret_ring = found;
    return r;
}

/* Nobody can make the key: a negative one says so for a minute, as with a helper that refuses. */
static int make_negative(struct key_caller *caller, const struct key_type *type, const char *name,
                         struct key *ring)
{
    struct key *key;
    int r = create(caller, type, name, &key);

    if (r < 0)
        return r;
    key_set_rejected(caller->keys, key, -ENOKEY);
    key->expires = keys_now(caller->keys) + KEY_NEGATIVE_TIME;
    keys_note_end(caller->keys, key->expires);
    r = ring_add(caller->keys, ring, key);
    key_unref(caller->keys, key);
    return r < 0 ? r : -ENOKEY;
}

static int link_found(struct key_caller *caller, struct key_found found, struct key *ring)
{
    int r = key_permits(caller, found, KEY_MAY_LINK);

    if (r == 0 && !ring->type->is_ring)
        r = -ENOTDIR;
    r = r < 0 ? r : ring_check(ring);
    r = r < 0 ? r : ring_check_circle(caller->keys, ring, found.key);
    return r < 0 ? r : ring_add(caller->keys, ring, found.key);
}

static int request_missing(struct key_caller *caller, const struct key_query *query,
                           struct key_found ring)
{
    int r = 0;

    if (query->type->is_ring)
        return -EPERM;
    if (ring.key == NULL)
        r = fallback_ring(caller, &ring);
    if (r == 0 && !ring.key->type->is_ring)
        r = -ENOTDIR;
    r = r < 0 ? r : ring_check(ring.key);
    return r < 0 ? r : make_negative(caller, query->type, query->name, ring.key);
}

int32_t keys_request(struct key_caller *caller, const char *type, const char *name,
                     const char *callout, int32_t id)
{
    struct key_query query = {.type = key_type_find(type), .name = name, .skip_expired = true};
    struct key_found ring = {NULL, false}, found;
    int r = id ? keys_lookup(caller, id, KEY_CREATE, KEY_MAY_WRITE, &ring) : 0;

    if (r < 0)
        return r;
    if (query.type == NULL)
        return -ENOKEY;
    r = keys_search_own(caller, &query, &found);
    if (r == -EAGAIN)
        return callout ? request_missing(caller, &query, ring) : -ENOKEY;
    if (r == 0 && ring.key)
        r = link_found(caller, found, ring.key);
    return r < 0 ? r : found.key->serial;
}

/* ---- rings ---- */

int32_t keys_ring_id(struct key_caller *caller, int32_t id, bool make)
{
    struct key_found found;
    int r = keys_lookup(caller, id, make ? KEY_CREATE : 0, KEY_MAY_SEARCH, &found);

    return r < 0 ? r : found.key->serial;
}

/* find_keyring_by_name(): any ring that lets the caller search it without possessing it. */
static struct key *ring_of_name(struct key_caller *caller, const char *name)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&caller->keys->by_serial, &cursor))) {
        struct key *key = slot->value;

        if (key->type->is_ring && !key->revoked && !key->of_user && strcmp(key->name, name) == 0 &&
            key_permits(caller, (struct key_found){key, false}, KEY_MAY_SEARCH) == 0)
            return key;
    }
    return NULL;
}

int32_t keys_join_session(struct key_caller *caller, const char *name)
{
    struct key *ring = name ? ring_of_name(caller, name) : NULL;
    int r;

    if (ring && ring == keys_session_ring(caller))
        return 0;
    r = ring ? keys_install_session(caller, ring) : keys_make_session(caller, name, &ring);
    return r < 0 ? r : ring->serial;
}

int keys_clear(struct key_caller *caller, int32_t id)
{
    struct key_found ring;
    int r = keys_lookup(caller, id, KEY_CREATE, KEY_MAY_WRITE, &ring);

    if (r == 0 && !ring.key->type->is_ring)
        r = -ENOTDIR;
    if (r == 0)
        ring_clear(caller->keys, ring.key);
    return r;
}

int keys_link(struct key_caller *caller, int32_t id, int32_t ring_id)
{
    struct key_found ring, found;
    int r = keys_lookup(caller, ring_id, KEY_CREATE, KEY_MAY_WRITE, &ring);

    if (r == 0)
        r = keys_lookup(caller, id, KEY_CREATE, KEY_MAY_LINK, &found);
    return r < 0 ? r : link_found(caller, found, ring.key);
}

int keys_unlink(struct key_caller *caller, int32_t id, int32_t ring_id)
{
    struct key_found ring, found;
    int r = keys_lookup(caller, ring_id, 0, KEY_MAY_WRITE, &ring);

    if (r == 0)
        r = keys_lookup(caller, id, KEY_PARTIAL | KEY_UNLINK, 0, &found);
    if (r == 0 && !ring.key->type->is_ring)
        r = -ENOTDIR;
    return r < 0 ? r : ring_remove(caller->keys, ring.key, found.key);
}

static int move(struct key_caller *caller, struct key_found found, struct key *from, struct key *to,
                unsigned flags)
{
    int r;

    if (!from->type->is_ring || !to->type->is_ring)
        return -ENOTDIR;
    if (ring_find(from, found.key->type, found.key->name) != found.key)
        return -ENOENT;
    if (flags & KEYCTL_MOVE_EXCL && ring_find(to, found.key->type, found.key->name))
        return -EEXIST;
    r = ring_check(to);
    r = r < 0 ? r : ring_check_circle(caller->keys, to, found.key);
    r = r < 0 ? r : ring_add(caller->keys, to, found.key);
    return r < 0 ? r : ring_remove(caller->keys, from, found.key);
}

int keys_move(struct key_caller *caller, int32_t id, int32_t from_id, int32_t to_id, unsigned flags)
{
    struct key_found found, from, to;
    int r;

    if (flags & ~KEYCTL_MOVE_EXCL)
        return -EINVAL;
    r = keys_lookup(caller, id, KEY_CREATE, KEY_MAY_LINK, &found);
    r = r < 0 ? r : keys_lookup(caller, from_id, 0, KEY_MAY_WRITE, &from);
    r = r < 0 ? r : keys_lookup(caller, to_id, KEY_CREATE, KEY_MAY_WRITE, &to);
    if (r < 0 || from.key == to.key)
        return r;
    return move(caller, found, from.key, to.key, flags);
}

int32_t keys_search(struct key_caller *caller, int32_t id, const char *type, const char *name,
                    int32_t to_id)
{
    struct key_query query = {.type = key_type_find(type), .name = name};
    struct key_found ring, to = {NULL, false}, found;
    int r = keys_lookup(caller, id, 0, KEY_MAY_SEARCH, &ring);

    if (r == 0 && to_id)
        r = keys_lookup(caller, to_id, KEY_CREATE, KEY_MAY_WRITE, &to);
    if (r < 0)
        return r;
    if (query.type == NULL)
        return -ENOKEY;
    r = ring_search(caller, ring, &query, &found);
    if (r == -EAGAIN)
        return -ENOKEY;
    if (r == 0 && to.key)
        r = link_found(caller, found, to.key);
    return r < 0 ? r : found.key->serial;
}

int keys_restrict(struct key_caller *caller, int32_t id, const char *type, const char *how)
{
    struct key_found ring;
    int r = keys_lookup(caller, id, 0, KEY_MAY_SETATTR, &ring);

    if (r < 0)
        return r;
    if ((type == NULL) != (how == NULL))
        return -EINVAL;
    if (!ring.key->type->is_ring)
        return -ENOTDIR;
    if (type)
        return key_type_find(type) ? -ENOENT : -ENOKEY; /* no type here knows a rule */
    if (ring.key->closed)
        return -EEXIST;
    ring.key->closed = true;
    return 0;
}

/* ---- what is said of a key, and what is in it ---- */

int keys_check_view(struct key_caller *caller, int32_t id)
{
    struct key_found found;

    return keys_lookup(caller, id, KEY_PARTIAL, KEY_MAY_VIEW, &found);
}

int keys_describe(struct key_caller *caller, int32_t id, struct strbuf *ret_text)
{
    struct key_found found;
    int r = keys_lookup(caller, id, KEY_PARTIAL, KEY_MAY_VIEW, &found);

    if (r < 0)
        return r;
    strbuf_addf(ret_text, "%s;%d;%d;%08x;%s", found.key->type->name, (int)found.key->uid,
                key_shown_gid(found.key), found.key->mask, found.key->name);
    strbuf_add(ret_text, "", 1);
    return strbuf_status(ret_text);
}

int keys_read(struct key_caller *caller, int32_t id, struct strbuf *ret_bytes)
{
    struct key_found found;
    const struct key *key;
    int r;

    if (keys_lookup(caller, id, KEY_DEFER, 0, &found) < 0)
        return -ENOKEY;
    key = found.key;
    if (key->rejected)
        return key->rejected;
    if (key_permits(caller, found, KEY_MAY_READ) < 0 && !found.possessed)
        return -EACCES;
    if (!key->type->readable)
        return -EOPNOTSUPP;
    r = key_validate(caller->keys, key);
    if (r < 0)
        return r;
    if (!key->type->is_ring)
        strbuf_add(ret_bytes, key->payload, key->length);
    for (size_t i = 0; i < key->link_count; i++)
        strbuf_add(ret_bytes, &key->links[i]->serial, sizeof(key->links[i]->serial));
    return strbuf_status(ret_bytes);
}

/* ---- attributes and ends ---- */

int keys_revoke(struct key_caller *caller, int32_t id)
{
    struct keys *keys = caller->keys;
    struct key_found found;
    int r = keys_lookup(caller, id, 0, KEY_MAY_WRITE, &found);

    if (r == -EACCES)
        r = keys_lookup(caller, id, 0, KEY_MAY_SETATTR, &found);
    if (r < 0)
        return r;
    found.key->revoked = true;
    found.key->revoked_at = keys_now(keys);
    keys_note_end(keys, found.key->revoked_at);
    if (found.key->type->is_ring)
        ring_clear(keys, found.key);
    else
        key_drop_payload(keys, found.key);
    return 0;
}

int keys_invalidate(struct key_caller *caller, int32_t id)
{
    struct key_found found;
    int r = keys_lookup(caller, id, 0, KEY_MAY_SEARCH, &found);

    if (r < 0)
        return r;
    found.key->invalid = true;
    keys_collect(caller->keys);
    return 0;
}

static bool in_group(const struct key_caller *caller, gid_t gid)
{
    const struct pk_identity *identity = caller->identity;
    bool found = identity->fsgid == gid;

    for (unsigned i = 0; i < identity->group_count; i++)
        found |= identity->groups[i] == gid;
    return found;
}

int keys_chown(struct key_caller *caller, int32_t id, uid_t uid, gid_t gid)
{
    struct key_found found;
    struct key *key;
    int r;

    if (uid == (uid_t)-1 && gid == (gid_t)-1)
        return 0;
    r = keys_lookup(caller, id, KEY_CREATE | KEY_PARTIAL, KEY_MAY_SETATTR, &found);
    if (r < 0)
        return r;
    key = found.key;
    if (!is_admin(caller) && ((uid != (uid_t)-1 && uid != key->uid) ||
                              (gid != (gid_t)-1 && gid != key->gid && !in_group(caller, gid))))
        return -EACCES;
    if (uid != (uid_t)-1 && uid != key->uid) {
        r = key_set_payer(caller->keys, key, uid);
        if (r < 0)
            return r;
        key->uid = uid;
    }
    if (gid != (gid_t)-1)
        key->gid = gid;
    return 0;
}

int keys_set_mask(struct key_caller *caller, int32_t id, uint32_t mask)
{
    struct key_found found;
    int r;

    if (mask & ~(KEY_MAY_ALL << KEY_POSSESSOR | KEY_MAY_ALL << KEY_USER | KEY_MAY_ALL << KEY_GROUP |
                 KEY_MAY_ALL))
        return -EINVAL;
    r = keys_lookup(caller, id, KEY_CREATE | KEY_PARTIAL, KEY_MAY_SETATTR, &found);
    if (r == 0 && !is_admin(caller) && found.key->uid != caller->identity->fsuid)
        r = -EACCES;
    if (r == 0)
        found.key->mask = mask;
    return r;
}

int keys_set_timeout(struct key_caller *caller, int32_t id, unsigned seconds)
{
    struct key_found found;
    int r = keys_lookup(caller, id, KEY_CREATE | KEY_PARTIAL, KEY_MAY_SETATTR, &found);

    if (r < 0)
        return r;
    found.key->expires = seconds ? keys_now(caller->keys) + seconds : KEY_NEVER;
    keys_note_end(caller->keys, found.key->expires);
    return 0;
}

int keys_set_fallback(struct key_caller *caller, int fallback)
{
    int old = caller->fallback;
    struct key_found found;
    int r = 0;

    if (fallback == KEY_REQKEY_DEFL_NO_CHANGE)
        return old;
    if (fallback < KEY_REQKEY_DEFL_DEFAULT || fallback > KEY_REQKEY_DEFL_USER_SESSION_KEYRING)
        return -EINVAL;
    if (fallback == KEY_REQKEY_DEFL_THREAD_KEYRING)
        r = keys_lookup(caller, KEY_SPEC_THREAD_KEYRING, KEY_CREATE | KEY_DEFER, 0, &found);
    if (fallback == KEY_REQKEY_DEFL_PROCESS_KEYRING)
        r = keys_lookup(caller, KEY_SPEC_PROCESS_KEYRING, KEY_CREATE | KEY_DEFER, 0, &found);
    if (r < 0)
        return r;
    caller->fallback = fallback;
    return old;
}
