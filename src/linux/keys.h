/*
 * The key service: key rings of a guest's own, as keyrings(7) and the pages it names describe them.
 * The host's key rings are those of its user, and no guest gets near them: keys are memory of the
 * process kernel, bounded, and wiped before it is given back.
 *
 * Differences from Linux: the session key ring and the default for request_key() belong to the
 * process, not to the thread; there is no helper that makes keys (/sbin/request-key), so that a
 * request is always answered no; types that need the host (asymmetric, encrypted, trusted...),
 * persistent key rings and notifications are not there.
 *
 * keys-store.c keeps the keys, keys-search.c finds them and says who may do what, keys-rings.c
 * knows the rings of a process, keys-act.c does what add_key(), request_key() and keyctl() ask for;
 * keys.c has the calls themselves, keys-proc.c the files below /proc.
 *
 * Threads: kernel thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/map.h"
#include "base/strbuf.h"
#include "core/kernel.h"

#define KEY_NAME_MAX 4095 /* KEY_MAX_DESC_SIZE with its end, security/keys/internal.h */
#define KEY_TYPE_MAX 31   /* the longest name of a type that is looked up */
#define KEY_NEVER    INT64_MAX

/* Bits of a permission mask, and the four places where they stand (keyrings(7)). */
#define KEY_MAY_VIEW    0x01U
#define KEY_MAY_READ    0x02U
#define KEY_MAY_WRITE   0x04U
#define KEY_MAY_SEARCH  0x08U
#define KEY_MAY_LINK    0x10U
#define KEY_MAY_SETATTR 0x20U
#define KEY_MAY_ALL     0x3fU
#define KEY_POSSESSOR   24
#define KEY_USER        16
#define KEY_GROUP       8

struct key_type {
    const char *name;
    bool readable, updatable;
    bool is_ring;
    size_t least, most;            /* bytes of a payload */
    size_t charged;                /* bytes of quota, whatever the payload has; 0: those of it */
    bool (*vet)(const char *name); /* may a key have this description? NULL: any */
};

/* The type of this name; NULL: there is none. */
const struct key_type *key_type_find(const char *name);

struct key {
    int32_t serial;
    unsigned references; /* links in rings, and who holds it else */
    const struct key_type *type;
    char *name; /* its description */
    uid_t uid;
    gid_t gid; /* (gid_t)-1: none */
    uint32_t mask;
    uid_t payer;    /* whose quota it is in */
    size_t charged; /* with this many bytes */
    bool revoked, invalid;
    bool of_user;    /* _uid.N or _uid_ses.N */
    bool closed;     /* a ring that takes no more links */
    int rejected;    /* negative key: the errno that finding it gives; else 0 */
    int64_t expires; /* CLOCK_REALTIME seconds; KEY_NEVER */
    int64_t revoked_at;
    unsigned char *payload;
    size_t length;
    struct key **links; /* of a ring, in the order of their making */
    size_t link_count, link_room;
    uint64_t seen; /* the walk that was here last, and how deep it was */
    unsigned depth;
    uint64_t held;         /* the walk that found that its caller possesses it */
    struct key *next_dead; /* on its way to be freed */
};

struct keys;

/* Who makes a call. */
struct key_caller {
    struct keys *keys;
    const struct pk_identity *identity;
    pid_t pid, tid;
    /* The serial number of the session key ring, 0: none; and the default for request_key(). Both
     * may be changed; whoever made the caller keeps them. */
    int32_t session;
    int fallback;
};

/* A key together with whether the caller possesses it. NULL key: none. */
struct key_found {
    struct key *key;
    bool possessed;
};

/* ---- keys-store.c ---- */

/* `limits` is borrowed and read whenever a key is made. NULL: no memory. */
struct keys *keys_new(const struct pk_key_limits *limits);

/* Wipes and frees all keys. NULL is fine. */
void keys_free(struct keys *keys);

/* Seconds that are added to the clock; for tests. */
void keys_shift_clock(struct keys *keys, int64_t seconds);
int64_t keys_now(const struct keys *keys);

struct key *keys_by_serial(struct keys *keys, int32_t serial);

/* ---- keys-act.c ----
 *
 * Each is the work of a call; arguments are copies in our memory. They return what the call
 * returns: a value, or a negative errno of the manual page.
 */

/* Each call begins with this: what has ended is dropped now and then, and never later in a call. */
void keys_begin(struct key_caller *caller);

/*
 * Drops links to keys that have been dead for the delay, and rings of who has ended: after -EDQUOT,
 * before the call is tried once more.
 */
void keys_collect(struct keys *keys);

int32_t keys_add(struct key_caller *caller, const char *type, const char *name, const void *payload,
                 size_t length, int32_t ring);

/* `callout` NULL: only looks. */
int32_t keys_request(struct key_caller *caller, const char *type, const char *name,
                     const char *callout, int32_t ring);

int32_t keys_ring_id(struct key_caller *caller, int32_t id, bool create);
int32_t keys_join_session(struct key_caller *caller, const char *name);
int keys_update(struct key_caller *caller, int32_t id, const void *payload, size_t length);
int keys_revoke(struct key_caller *caller, int32_t id);
int keys_invalidate(struct key_caller *caller, int32_t id);
int keys_clear(struct key_caller *caller, int32_t ring);
int keys_link(struct key_caller *caller, int32_t id, int32_t ring);
int keys_unlink(struct key_caller *caller, int32_t id, int32_t ring);
int keys_move(struct key_caller *caller, int32_t id, int32_t from, int32_t to, unsigned flags);
int32_t keys_search(struct key_caller *caller, int32_t ring, const char *type, const char *name,
                    int32_t to);
int keys_chown(struct key_caller *caller, int32_t id, uid_t uid, gid_t gid);
int keys_set_mask(struct key_caller *caller, int32_t id, uint32_t mask);
int keys_set_timeout(struct key_caller *caller, int32_t id, unsigned seconds);
int keys_set_fallback(struct key_caller *caller, int fallback);

/* `type` NULL: the ring takes no more links. */
int keys_restrict(struct key_caller *caller, int32_t ring, const char *type, const char *how);

/* Appends the text with its end, or the payload, or the serial numbers of a ring's links. */
int keys_describe(struct key_caller *caller, int32_t id, struct strbuf *ret_text);
int keys_read(struct key_caller *caller, int32_t id, struct strbuf *ret_bytes);

/* What KEYCTL_GET_SECURITY does without a security module: 0 when the caller may view the key. */
int keys_check_view(struct key_caller *caller, int32_t id);

/* ---- keys-rings.c ---- */

/* An exec: the process starts without thread and process key rings. */
void keys_exec(struct keys *keys, pid_t pid);

/*
 * The processes whose session key rings are kept; called with a function that is to be given each
 * serial number in use.
 */
typedef void (*keys_sessions)(void *user, void (*in_use)(struct keys *keys, int32_t serial));
void keys_set_sessions(struct keys *keys, keys_sessions sessions, void *user);

/* ---- keys-proc.c ---- */

int keys_list(struct key_caller *caller, struct strbuf *ret_text);
int keys_list_users(struct keys *keys, struct strbuf *ret_text);
