/* Who may do what with a key, and where keys are found. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/keys-internal.h"

static bool in_group(const struct pk_identity *identity, gid_t gid)
{
    bool found = identity->fsgid == gid;

    for (unsigned i = 0; i < identity->group_count; i++)
        found |= identity->groups[i] == gid;
    return found;
}

/* key_task_permission() of security/keys/permission.c: what the possessor may is added. */
int key_permits(const struct key_caller *caller, struct key_found found, unsigned wanted)
{
    const struct key *key = found.key;
    uint32_t granted = key->mask;

    if (key->uid == caller->identity->fsuid)
        granted >>= KEY_USER;
    else if (key->gid != (gid_t)-1 && (key->mask & KEY_MAY_ALL << KEY_GROUP) &&
             in_group(caller->identity, key->gid))
        granted >>= KEY_GROUP;
    if (found.possessed)
        granted |= key->mask >> KEY_POSSESSOR;
    return wanted & ~granted ? -EACCES : 0;
}

int key_validate(const struct keys *keys, const struct key *key)
{
    if (key->invalid)
        return -ENOKEY;
    if (key->revoked)
        return -EKEYREVOKED;
    return keys_now(keys) >= key->expires ? -EKEYEXPIRED : 0;
}

struct walk {
    struct key_caller *caller;
    const struct key_query *query;
    bool possessed;
    int result; /* 0: found */
    struct key *found;
};

/* keyring_search_iterator(): notes what is wrong with a key that is the one but cannot be had. */
static bool consider(struct walk *walk, struct key *key)
{
    const struct key_query *query = walk->query;
    const struct keys *keys = walk->caller->keys;
    int r = query->exact ? 0 : key_validate(keys, key);

    if (r == -EKEYEXPIRED && query->skip_expired)
        return false;
    if (r == -ENOKEY)
        r = -EKEYREVOKED;
    if (r == 0)
        r = key_permits(walk->caller, (struct key_found){key, walk->possessed}, KEY_MAY_SEARCH);
    if (r == 0 && query->exact == NULL)
        r = key->rejected;
    walk->result = r;
    if (r == 0)
        walk->found = key;
    return r == 0;
}

static struct key *candidate(const struct key *ring, const struct key_query *query)
{
    struct key *key = ring_find(ring, query->type, query->name);

    return query->exact && key != query->exact ? NULL : key;
}

/*
 * A ring that was seen at the same depth or above is not entered again: what is below it has been
 * looked at. So the work is bounded by the links, however often they meet.
 */
static bool search_below(struct walk *walk, struct key *ring, unsigned depth)
{
    struct key *key;

    if (ring->invalid || ring->revoked)
        return false;
    if (ring->seen == walk->caller->keys->walk && ring->depth <= depth)
        return false;
    ring->seen = walk->caller->keys->walk;
    ring->depth = depth;
    key = candidate(ring, walk->query);
    if (key && consider(walk, key))
        return true;
    if (depth == KEY_DEPTH_MAX)
        return false;
    for (size_t i = 0; i < ring->link_count; i++) {
        struct key *below = ring->links[i];

        if (below->type->is_ring &&
            key_permits(walk->caller, (struct key_found){below, walk->possessed}, KEY_MAY_SEARCH) ==
                0 &&
            search_below(walk, below, depth + 1))
            return true;
    }
    return false;
}

static bool is_it(const struct key *key, const struct key_query *query)
{
    if (query->exact)
        return key == query->exact;
    return key->type == query->type && strcmp(key->name, query->name) == 0;
}

int ring_search(struct key_caller *caller, struct key_found ring, const struct key_query *query,
                struct key_found *ret_found)
{
    struct walk walk = {
        .caller = caller, .query = query, .possessed = ring.possessed, .result = -EAGAIN};

    if (!ring.key->type->is_ring)
        return -ENOTDIR;
    if (key_permits(caller, ring, KEY_MAY_SEARCH) < 0)
        return -EACCES;
    caller->keys->walk++;
    if (is_it(ring.key, query))
        consider(&walk, ring.key);
    else
        search_below(&walk, ring.key, 0);
    if (walk.found == NULL)
        return walk.result;
    *ret_found = (struct key_found){walk.found, ring.possessed};
    return 0;
}

/* search_cred_keyrings_rcu(): a find, else a negative key, else nothing, else another error. */
int keys_search_own(struct key_caller *caller, const struct key_query *query,
                    struct key_found *ret_found)
{
    struct key *session = keys_session_ring(caller);
    struct key *rings[] = {keys_thread_ring(caller), keys_process_ring(caller),
                           session ? session : keys_user_session_ring(caller)};
    int nothing = 0, other = -EAGAIN;

    for (size_t i = 0; i < array_length(rings); i++) {
        int r = rings[i] ? ring_search(caller, (struct key_found){rings[i], true}, query, ret_found)
                         : -EAGAIN;

        if (r == 0)
            return 0;
        if (rings[i] == NULL)
            continue;
        if (r == -ENOKEY || (r == -EAGAIN && nothing == 0))
            nothing = r;
        else if (r != -EAGAIN)
            other = r;
    }
    return nothing ? nothing : other;
}

static void mark_below(struct key_caller *caller, struct key *ring, unsigned depth)
{
    if (ring->invalid || ring->revoked ||
        (ring->seen == caller->keys->walk && ring->depth <= depth) || depth > KEY_DEPTH_MAX)
        return;
    ring->seen = caller->keys->walk;
    ring->depth = depth;
    for (size_t i = 0; i < ring->link_count; i++) {
        struct key *key = ring->links[i];

        if (key_permits(caller, (struct key_found){key, true}, KEY_MAY_SEARCH) < 0)
            continue;
        key->held = caller->keys->walk;
        if (key->type->is_ring)
            mark_below(caller, key, depth + 1);
    }
}

void keys_mark_held(struct key_caller *caller)
{
    struct key *session = keys_session_ring(caller);
    struct key *rings[] = {keys_thread_ring(caller), keys_process_ring(caller),
                           session ? session : keys_user_session_ring(caller)};

    caller->keys->walk++;
    for (size_t i = 0; i < array_length(rings); i++) {
        if (rings[i] == NULL ||
            key_permits(caller, (struct key_found){rings[i], true}, KEY_MAY_SEARCH) < 0)
            continue;
        rings[i]->held = caller->keys->walk;
        mark_below(caller, rings[i], 0);
    }
}

/* ---- circles ---- */

/* Entered again only where it lies deeper than before: that alone can make a chain too long. */
static int look_for(struct keys *keys, const struct key *wanted, struct key *ring, unsigned depth)
{
    if (ring == wanted)
        return -EDEADLK;
    if (depth > KEY_DEPTH_MAX)
        return -ELOOP;
    if (ring->seen == keys->walk && ring->depth >= depth)
        return 0;
    ring->seen = keys->walk;
    ring->depth = depth;
    for (size_t i = 0; i < ring->link_count; i++) {
        int r =
            ring->links[i]->type->is_ring ? look_for(keys, wanted, ring->links[i], depth + 1) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

int ring_check_circle(struct keys *keys, const struct key *ring, struct key *key)
{
    if (!key->type->is_ring)
        return 0;
    keys->walk++;
    return look_for(keys, ring, key, 0);
}
