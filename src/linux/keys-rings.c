/*
 * The rings of a process: of the thread, the process, the session and the user (thread-keyring(7)
 * and its kind), and the way from a number to a key.
 *
 * Nobody tells of the end of a thread or process, so rings are kept by number and start time, and
 * those of who has ended are dropped before a quota is said to be used up, and when many gather.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "linux/keys-internal.h"

#define START_TIME_FIELD 22 /* of /proc/PID/stat, counted from 1; proc(5) */
#define SWEEP_FIRST      64

#define MASK(possessor, user) ((uint32_t)(possessor) << KEY_POSSESSOR | (user) << KEY_USER)
#define MASK_OF_THREAD        MASK(KEY_MAY_ALL, KEY_MAY_VIEW)
#define MASK_OF_SESSION       MASK(KEY_MAY_ALL, KEY_MAY_VIEW | KEY_MAY_READ)
#define MASK_OF_NAMED         MASK(KEY_MAY_ALL, KEY_MAY_VIEW | KEY_MAY_READ | KEY_MAY_LINK)
#define MASK_OF_USER          MASK(KEY_MAY_ALL & ~KEY_MAY_SETATTR, KEY_MAY_ALL)

/* ---- threads and processes ---- */

/* 0: there is no such thread. */
static uint64_t start_time(pid_t pid, pid_t tid)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];
    const char *p;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
    if (io_read_file(AT_FDCWD, path, 8192, &text) < 0)
        return 0;
    p = strrchr(strbuf_text(&text), ')'); /* the name may contain anything */
    for (unsigned field = 2; p && field < START_TIME_FIELD; field++) {
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    return p ? strtoull(p, NULL, 10) : 0;
}

static bool is_alive(const struct key_anchor *anchor)
{
    uint64_t started = start_time(anchor->pid, anchor->tid);

    return started && started == anchor->started;
}

static void drop_anchor(struct keys *keys, struct map *map, struct key_anchor *anchor)
{
    map_remove(map, (uint64_t)anchor->tid);
    key_unref(keys, anchor->ring);
    free(anchor);
}

static void drop_anchors(struct keys *keys, struct map *map,
                         bool (*stays)(const struct key_anchor *anchor, pid_t pid), pid_t pid)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(map, &cursor)))
        if (!stays(slot->value, pid))
            drop_anchor(keys, map, slot->value);
}

static bool stays_alive(const struct key_anchor *anchor, pid_t pid)
{
    (void)pid;
    return is_alive(anchor);
}

static bool is_of_another(const struct key_anchor *anchor, pid_t pid)
{
    return anchor->pid != pid;
}

static bool never_stays(const struct key_anchor *anchor, pid_t pid)
{
    (void)anchor;
    (void)pid;
    return false;
}

void keys_exec(struct keys *keys, pid_t pid)
{
    drop_anchors(keys, &keys->threads, is_of_another, pid);
    drop_anchors(keys, &keys->processes, is_of_another, pid);
}

static struct key *ring_of(struct keys *keys, struct map *map, pid_t pid, pid_t tid)
{
    struct key_anchor *anchor = map_get(map, (uint64_t)tid);

    if (anchor == NULL)
        return NULL;
    if (anchor->pid == pid && is_alive(anchor))
        return anchor->ring;
    drop_anchor(keys, map, anchor);
    return NULL;
}

/* It follows the ids of its thread (key_fsuid_changed()). */
struct key *keys_thread_ring(struct key_caller *caller)
{
    struct key *ring = ring_of(caller->keys, &caller->keys->threads, caller->pid, caller->tid);

    if (ring) {
        ring->uid = caller->identity->fsuid;
        ring->gid = caller->identity->fsgid;
    }
    return ring;
}

struct key *keys_process_ring(struct key_caller *caller)
{
    return ring_of(caller->keys, &caller->keys->processes, caller->pid, caller->pid);
}

static int make_anchor(struct key_caller *caller, struct map *map, pid_t tid, const char *name)
{
    const struct pk_identity *identity = caller->identity;
    struct key_anchor *anchor = calloc(1, sizeof(*anchor));
    int r = anchor ? 0 : -ENOMEM;

    if (r == 0)
        r = key_make(caller->keys, key_type_find("keyring"), name, identity->uid, identity->gid,
                     MASK_OF_THREAD, KEY_OVER_QUOTA, &anchor->ring);
    if (r == 0) {
        anchor->pid = caller->pid;
        anchor->tid = tid;
        anchor->started = start_time(caller->pid, tid);
        r = map_set(map, (uint64_t)tid, anchor);
        if (r < 0)
            key_unref(caller->keys, anchor->ring);
    }
    if (r < 0)
        free(anchor);
    return r;
}

/* ---- sessions ---- */

void keys_set_sessions(struct keys *keys, keys_sessions sessions, void *user)
{
    keys->name_sessions = sessions;
    keys->sessions_user = user;
}

struct key *keys_session_ring(struct key_caller *caller)
{
    return caller->session ? map_get(&caller->keys->sessions, (uint64_t)caller->session) : NULL;
}

int keys_install_session(struct key_caller *caller, struct key *ring)
{
    struct map *sessions = &caller->keys->sessions;
    int r = 0;

    if (map_get(sessions, (uint64_t)ring->serial) == NULL) {
        r = map_set(sessions, (uint64_t)ring->serial, ring);
        if (r == 0)
            key_ref(ring);
    }
    if (r == 0)
        caller->session = ring->serial;
    return r;
}

/* `name` NULL: a nameless one, which may overrun the quota where it is the first. */
int keys_make_session(struct key_caller *caller, const char *name, struct key **ret_ring)
{
    const struct pk_identity *identity = caller->identity;
    bool first = name == NULL && keys_session_ring(caller) == NULL;
    struct key *ring;
    int r;

    r = key_make(caller->keys, key_type_find("keyring"), name ? name : "_ses", identity->uid,
                 identity->gid, name ? MASK_OF_NAMED : MASK_OF_SESSION,
                 first ? KEY_OVER_QUOTA : KEY_IN_QUOTA, &ring);
    if (r < 0)
        return r;
    r = keys_install_session(caller, ring);
    key_unref(caller->keys, ring);
    if (r == 0)
        *ret_ring = ring;
    return r;
}

static void mark_session(struct keys *keys, int32_t serial)
{
    if (serial && map_set(&keys->marked, (uint64_t)serial, keys) < 0)
        keys->mark_failed = true;
}

static void sweep_sessions(struct keys *keys)
{
    struct map_slot *slot;
    size_t cursor = 0;

    if (keys->name_sessions == NULL)
        return;
    keys->mark_failed = false;
    keys->name_sessions(keys->sessions_user, mark_session);
    while (!keys->mark_failed && (slot = map_next(&keys->sessions, &cursor))) {
        struct key *ring = slot->value;

        if (map_get(&keys->marked, (uint64_t)ring->serial))
            continue;
        map_remove(&keys->sessions, (uint64_t)ring->serial);
        key_unref(keys, ring);
    }
    map_free(&keys->marked);
}

void keys_sweep(struct keys *keys)
{
    drop_anchors(keys, &keys->threads, stays_alive, 0);
    drop_anchors(keys, &keys->processes, stays_alive, 0);
    sweep_sessions(keys);
}

/* The rings of the caller are looked at now, so that none of them goes away later in the call. */
void keys_begin(struct key_caller *caller)
{
    struct keys *keys = caller->keys;
    size_t count = keys->threads.count + keys->processes.count + keys->sessions.count;

    if (count > keys->sweep_at || keys_now(keys) >= keys->collect_at) {
        keys_collect(keys);
        count = keys->threads.count + keys->processes.count + keys->sessions.count;
        keys->sweep_at = count * 2 + SWEEP_FIRST;
    }
    keys_thread_ring(caller);
    keys_process_ring(caller);
}

/* ---- users ---- */

static int make_user_ring(struct keys *keys, uid_t uid, const char *prefix, struct key **ret_ring)
{
    char name[32];
    int r;

    snprintf(name, sizeof(name), "%s.%u", prefix, uid);
    r = key_make(keys, key_type_find("keyring"), name, uid, (gid_t)-1, MASK_OF_USER, KEY_IN_QUOTA,
                 ret_ring);
    if (r == 0)
        (*ret_ring)->of_user = true;
    return r;
}

/* The rings of a user stay as long as the process kernel does. */
static int user_rings(struct keys *keys, uid_t uid, struct key_user **ret_user)
{
    struct key *ring, *session;
    struct key_user *user = map_get(&keys->users, (uint64_t)uid + 1);
    int r;

    if (user == NULL || user->session == NULL) {
        r = make_user_ring(keys, uid, "_uid", &ring);
        if (r < 0)
            return r;
        r = make_user_ring(keys, uid, "_uid_ses", &session);
        if (r == 0) {
            r = ring_add(keys, session, ring);
            if (r < 0)
                key_unref(keys, session);
        }
        if (r < 0) {
            key_unref(keys, ring);
            return r;
        }
        user = key_user_get(keys, uid); /* there, since it has keys */
        user->ring = ring;
        user->session = session;
    }
    *ret_user = user;
    return 0;
}

struct key *keys_user_session_ring(struct key_caller *caller)
{
    struct key_user *user = map_get(&caller->keys->users, (uint64_t)caller->identity->uid + 1);

    return user ? user->session : NULL;
}

void keys_rings_free(struct keys *keys)
{
    drop_anchors(keys, &keys->threads, never_stays, 0);
    drop_anchors(keys, &keys->processes, never_stays, 0);
    map_free(&keys->threads);
    map_free(&keys->processes);
    map_free(&keys->sessions);
}

/* ---- from a number to a key ---- */

static int special_of_task(struct key_caller *caller, int32_t id, unsigned flags,
                           struct key **ret_key)
{
    bool of_thread = id == KEY_SPEC_THREAD_KEYRING;
    struct map *map = of_thread ? &caller->keys->threads : &caller->keys->processes;
    struct key *ring = of_thread ? keys_thread_ring(caller) : keys_process_ring(caller);
    int r;

    if (ring == NULL && !(flags & KEY_CREATE))
        return -ENOKEY;
    if (ring == NULL) {
        r = make_anchor(caller, map, of_thread ? caller->tid : caller->pid,
                        of_thread ? "_tid" : "_pid");
        if (r < 0)
            return r;
        ring = of_thread ? keys_thread_ring(caller) : keys_process_ring(caller);
    }
    if (ring == NULL)
        return -ENOKEY; /* it has ended meanwhile */
    *ret_key = ring;
    return 0;
}

/*
 * Who has none gets one of his own to put something in, and that of his user to look at; the
 * latter is replaced as soon as something is to be put in.
 */
static int special_session(struct key_caller *caller, unsigned flags, struct key **ret_key)
{
    struct key *ring = keys_session_ring(caller);
    struct key_user *user;
    int r;

    if (ring && !(ring->of_user && (flags & KEY_CREATE))) {
        *ret_key = ring;
        return 0;
    }
    r = user_rings(caller->keys, caller->identity->uid, &user);
    if (r < 0)
        return r;
    if (flags & KEY_CREATE)
        return keys_make_session(caller, NULL, ret_key);
    r = keys_install_session(caller, user->session);
    if (r == 0)
        *ret_key = user->session;
    return r;
}

static int special_of_user(struct key_caller *caller, int32_t id, struct key **ret_key)
{
    struct key_user *user;
    int r = user_rings(caller->keys, caller->identity->uid, &user);

    if (r == 0)
        *ret_key = id == KEY_SPEC_USER_KEYRING ? user->ring : user->session;
    return r;
}

static int find_special(struct key_caller *caller, int32_t id, unsigned flags, struct key **ret_key)
{
    switch (id) {
    case KEY_SPEC_THREAD_KEYRING:
    case KEY_SPEC_PROCESS_KEYRING:
        return special_of_task(caller, id, flags, ret_key);
    case KEY_SPEC_SESSION_KEYRING:
        return special_session(caller, flags, ret_key);
    case KEY_SPEC_USER_KEYRING:
    case KEY_SPEC_USER_SESSION_KEYRING:
        return special_of_user(caller, id, ret_key);
    case KEY_SPEC_REQKEY_AUTH_KEY:
    case KEY_SPEC_REQUESTOR_KEYRING:
        return -ENOKEY; /* nobody instantiates keys for others here */
    default:
        return -EINVAL;
    }
}

static int find_numbered(struct key_caller *caller, int32_t id, struct key_found *ret_found)
{
    struct key *key = keys_by_serial(caller->keys, id);
    struct key_query query;

    if (key == NULL)
        return -ENOKEY;
    query = (struct key_query){.type = key->type, .name = key->name, .exact = key};
    if (keys_search_own(caller, &query, ret_found) < 0)
        *ret_found = (struct key_found){key, false};
    return 0;
}

int keys_lookup(struct key_caller *caller, int32_t id, unsigned flags, unsigned wanted,
                struct key_found *ret_found)
{
    struct key_found found = {.possessed = true};
    int r;

    r = id > 0 ? find_numbered(caller, id, &found) : find_special(caller, id, flags, &found.key);
    if (r < 0)
        return r;
    if (!(flags & (KEY_UNLINK | KEY_DEFER))) {
        r = flags & KEY_PARTIAL ? 0 : found.key->rejected;
        r = r < 0 ? r : key_validate(caller->keys, found.key);
        r = r < 0 ? r : key_permits(caller, found, wanted);
        if (r < 0)
            return r;
    }
    *ret_found = found;
    return 0;
}
