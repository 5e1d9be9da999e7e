/* What the files of the key service share (keys-*.c). */
#pragma once

#include "linux/keys.h"

/* Bounds on all keys of a guest together, whatever its quotas say. */
#define KEYS_MAX       65536
#define KEYS_MAX_BYTES (32U << 20)

#define KEY_LINK_BYTES    4  /* of quota, KEYQUOTA_LINK_BYTES */
#define KEY_DEPTH_MAX     6  /* KEYRING_SEARCH_MAX_DEPTH */
#define KEY_NEGATIVE_TIME 60 /* seconds, key_negative_timeout */

#define KEY_DEFAULT_MASK                                                                 \
    ((KEY_MAY_VIEW | KEY_MAY_SEARCH | KEY_MAY_LINK | KEY_MAY_SETATTR) << KEY_POSSESSOR | \
     KEY_MAY_VIEW << KEY_USER)

/* What a user has; one for each who has keys. */
struct key_user {
    uid_t uid;
    unsigned count;      /* keys */
    unsigned positive;   /* of them, no negative ones */
    unsigned in_quota;   /* keys */
    size_t bytes;        /* of quota */
    struct key *ring;    /* _uid.N; held */
    struct key *session; /* _uid_ses.N; held */
};

/* The ring of a thread (`tid`) or of a process (`tid` 0). */
struct key_anchor {
    pid_t pid, tid;
    uint64_t started; /* of the thread or process: numbers are reused */
    struct key *ring; /* held */
};

struct keys {
    const struct pk_key_limits *limits;
    struct map by_serial; /* serial -> struct key */
    struct map users;     /* uid + 1 -> struct key_user */
    struct map threads;   /* tid -> struct key_anchor */
    struct map processes; /* pid -> struct key_anchor */
    struct map sessions;  /* serial -> struct key, held; rings that contexts name */
    size_t bytes;         /* of all that is kept */
    struct key *dead;     /* to be freed by key_unref() */
    bool collecting;
    uint64_t walk;      /* number of the last walk */
    int64_t collect_at; /* when some key will have been dead for long enough */
    int64_t shift;
    keys_sessions name_sessions;
    void *sessions_user;
    size_t sweep_at;   /* how many rings of threads, processes and sessions may gather */
    struct map marked; /* while session rings are swept: serials in use */
    bool mark_failed;
};

/* ---- keys-store.c ---- */

enum key_alloc {
    KEY_IN_QUOTA,
    KEY_OVER_QUOTA, /* counted, but not refused */
};

/*
 * Makes a key with one reference, the caller's. Returns 0, -EDQUOT, -EINVAL for a description that
 * the type does not allow, or -ENOMEM.
 */
int key_make(struct keys *keys, const struct key_type *type, const char *name, uid_t uid, gid_t gid,
             uint32_t mask, enum key_alloc how, struct key **ret_key);

struct key *key_ref(struct key *key);
/* NULL is fine. The last one wipes and frees. */
void key_unref(struct keys *keys, struct key *key);

/* Replaces the payload (copied). Returns 0, -EDQUOT or -ENOMEM; then it is as it was. */
int key_set_payload(struct keys *keys, struct key *key, const void *payload, size_t length);

/* Wipes it, as it is with a revoked key. */
void key_drop_payload(struct keys *keys, struct key *key);

/* Makes another user pay. Returns 0, -EDQUOT or -ENOMEM. */
int key_set_payer(struct keys *keys, struct key *key, uid_t uid);

/* Makes it a negative key, or a positive one again. */
void key_set_rejected(struct keys *keys, struct key *key, int negative_errno);

/*
 * Adds a link, in the place of one to a key of the same type and description if there is one.
 * Returns 0, -EKEYREVOKED, -EPERM (closed), -EDQUOT or -ENOMEM.
 */
int ring_add(struct keys *keys, struct key *ring, struct key *key);
/* Whether it would be refused; nothing changes. */
int ring_check(const struct key *ring);
/* Returns 0 or -ENOENT. */
int ring_remove(struct keys *keys, struct key *ring, const struct key *key);
void ring_clear(struct keys *keys, struct key *ring);
/* The link to a key of this type and description; NULL: none. */
struct key *ring_find(const struct key *ring, const struct key_type *type, const char *name);

/* A key has been revoked, invalidated or given an end: links to it go away after the delay. */
void keys_note_end(struct keys *keys, int64_t when);
struct key_user *key_user_get(struct keys *keys, uid_t uid);

/* ---- keys-proc.c ---- */

/* The group as it is shown; that of a ring without one, too. */
int key_shown_gid(const struct key *key);

/* ---- keys-search.c ---- */

/* Returns 0 or -EACCES. */
int key_permits(const struct key_caller *caller, struct key_found found, unsigned wanted);

/* Whether it can be used: 0, -ENOKEY, -EKEYREVOKED or -EKEYEXPIRED. */
int key_validate(const struct keys *keys, const struct key *key);

/*
 * Searches a ring and the rings below it for a key that the caller may find. `exact` NULL: by type
 * and description, and only what is alive. Returns 0, -EAGAIN (nothing there), -ENOTDIR, -EACCES,
 * or what is wrong with the key that is there.
 */
struct key_query {
    const struct key_type *type;
    const char *name;
    const struct key *exact;
    bool skip_expired; /* as if they were not there */
};
int ring_search(struct key_caller *caller, struct key_found ring, const struct key_query *query,
                struct key_found *ret_found);

/* The same in the rings of the caller. */
int keys_search_own(struct key_caller *caller, const struct key_query *query,
                    struct key_found *ret_found);

/* Marks what the caller possesses: key->held is the number of the walk then. */
void keys_mark_held(struct key_caller *caller);

/* Whether a link would make a circle (-EDEADLK) or a chain that is too long (-ELOOP); else 0. */
int ring_check_circle(struct keys *keys, const struct key *ring, struct key *key);

/* ---- keys-rings.c ---- */

enum key_lookup {
    KEY_CREATE = 1,  /* a special ring that is missing is made */
    KEY_PARTIAL = 2, /* negative keys, too */
    KEY_UNLINK = 4,  /* no checks at all */
    KEY_DEFER = 8,   /* the caller checks */
};

/*
 * The key with this serial number, or the special ring (KEY_SPEC_...), for somebody who needs the
 * rights. Returns 0, -EINVAL, -ENOKEY, -EKEYREVOKED, -EKEYEXPIRED, -EACCES, -EDQUOT or -ENOMEM.
 */
int keys_lookup(struct key_caller *caller, int32_t id, unsigned flags, unsigned wanted,
                struct key_found *ret_found);

/* The rings of a caller that are there, NULL for those that are not. */
struct key *keys_thread_ring(struct key_caller *caller);
struct key *keys_process_ring(struct key_caller *caller);
struct key *keys_session_ring(struct key_caller *caller);
struct key *keys_user_session_ring(struct key_caller *caller);

/* Makes a ring the session key ring of the caller. Returns 0 or -ENOMEM. */
int keys_install_session(struct key_caller *caller, struct key *ring);
int keys_make_session(struct key_caller *caller, const char *name, struct key **ret_ring);

/* Drops the rings of threads, processes and sessions that have ended. */
void keys_sweep(struct keys *keys);
void keys_rings_free(struct keys *keys);
