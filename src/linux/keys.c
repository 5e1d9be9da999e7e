/*
 * add_key(2), request_key(2), keyctl(2): arguments are copied in, the key service (keys.h) does the
 * work, and what it answers is copied out.
 */
#include <errno.h>
#include <linux/keyctl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/keys.h"
#include "linux/linux-internal.h"

#define ADD_MAX    ((1U << 20) - 1) /* bytes that add_key() takes */
#define UPDATE_MAX 4096U

#define CAPABILITIES_MAX 1024 /* bytes of KEYCTL_CAPABILITIES that are cleared */

/* A copy of the guest's that may be secret. */
struct secret {
    void *bytes;
    size_t length;
};

static void secret_free(struct secret *secret)
{
    if (secret->bytes)
        explicit_bzero(secret->bytes, secret->length);
    free(secret->bytes);
}
#define cleanup_secret __attribute__((cleanup(secret_free)))

static void strbuf_wipe(struct strbuf *text)
{
    if (text->data)
        explicit_bzero(text->data, text->capacity);
    strbuf_free(text);
}
#define cleanup_wiped __attribute__((cleanup(strbuf_wipe)))

static int read_secret(struct pk_request *request, uint64_t address, uint64_t length,
                       struct secret *secret)
{
    if (length == 0)
        return 0;
    secret->bytes = malloc(length);
    if (secret->bytes == NULL)
        return -ENOMEM;
    secret->length = length;
    return pk_read(request, address, secret->bytes, length);
}

/* key_get_type_from_user(). */
static int read_type(struct pk_request *request, uint64_t address, char type[KEY_TYPE_MAX + 1])
{
    ssize_t length = pk_read_string(request, address, type, KEY_TYPE_MAX + 1);

    if (length == -ENAMETOOLONG || length == 0)
        return -EINVAL;
    if (length < 0)
        return (int)length;
    return type[0] == '.' ? -EPERM : 0;
}

/* strndup_user(). */
static int read_name(struct pk_request *request, uint64_t address, char name[KEY_NAME_MAX + 1])
{
    ssize_t length = pk_read_string(request, address, name, KEY_NAME_MAX + 1);

    if (length == -ENAMETOOLONG)
        return -EINVAL;
    return length < 0 ? (int)length : 0;
}

/* ---- who calls ---- */

static struct key_caller caller_of(struct pk_request *request)
{
    struct key_caller caller = {
        .keys = linux_state(request->kernel)->keys,
        .identity = &request->context->identity,
        .pid = request->task->process->pid,
        .tid = request->task->tid,
        .session = request->context->session_ring,
        .fallback = request->context->key_fallback,
    };

    keys_begin(&caller);
    return caller;
}

/* What the call changed of its process is a new context. */
static int keep(struct pk_request *request, const struct key_caller *caller)
{
    struct pk_context *context;

    if (caller->session == request->context->session_ring &&
        caller->fallback == request->context->key_fallback)
        return 0;
    context = linux_copy_context(request);
    if (context == NULL)
        return -ENOMEM;
    context->session_ring = caller->session;
    context->key_fallback = caller->fallback;
    return pk_context_adopt(request, context);
}

/* Serial numbers are positive, so one type does for them and for errors. */
static struct pk_answer conclude(struct pk_request *request, const struct key_caller *caller,
                                 int32_t result)
{
    int r = keep(request, caller);

    return pk_value(r < 0 ? r : result);
}

/* A quota may be used up by what has ended and was not noticed yet. */
#define TWICE(caller, call)               \
    ({                                    \
        int32_t twice_ = (call);          \
        if (twice_ == -EDQUOT) {          \
            keys_collect((caller)->keys); \
            twice_ = (call);              \
        }                                 \
        twice_;                           \
    })

/* ---- add_key, request_key ---- */

static struct pk_answer do_add_key(struct pk_request *request)
{
    char type[KEY_TYPE_MAX + 1], name[KEY_NAME_MAX + 1] = "";
    cleanup_secret struct secret payload = {0};
    struct key_caller caller;
    int r;

    if (request->args[3] > ADD_MAX)
        return pk_error(-EINVAL);
    r = read_type(request, request->args[0], type);
    if (r == 0 && request->args[1])
        r = read_name(request, request->args[1], name);
    if (r == 0 && name[0] == '.' && strncmp(type, "keyring", 7) == 0)
        r = -EPERM;
    if (r == 0)
        r = read_secret(request, request->args[2], request->args[3], &payload);
    if (r < 0)
        return pk_error(r);
    caller = caller_of(request);
    return conclude(request, &caller,
                    TWICE(&caller, keys_add(&caller, type, name, payload.bytes, payload.length,
                                            (int32_t)request->args[4])));
}

static struct pk_answer do_request_key(struct pk_request *request)
{
    char type[KEY_TYPE_MAX + 1], name[KEY_NAME_MAX + 1], callout[KEY_NAME_MAX + 1];
    bool asks = request->args[2] != 0;
    struct key_caller caller;
    int r = read_type(request, request->args[0], type);

    if (r == 0)
        r = read_name(request, request->args[1], name);
    if (r == 0 && asks)
        r = read_name(request, request->args[2], callout);
    if (r < 0)
        return pk_error(r);
    caller = caller_of(request);
    return conclude(request, &caller,
                    TWICE(&caller, keys_request(&caller, type, name, asks ? callout : NULL,
                                                (int32_t)request->args[3])));
}

/* ---- keyctl ---- */

/* The ids that most operations have in their first places. */
#define ID(number) ((int32_t)request->args[number])

static int32_t join_session(struct pk_request *request, struct key_caller *caller)
{
    char name[KEY_NAME_MAX + 1];
    int r = request->args[1] ? read_name(request, request->args[1], name) : 0;

    if (r < 0)
        return r;
    if (request->args[1] == 0)
        return TWICE(caller, keys_join_session(caller, NULL));
    if (name[0] == '.')
        return -EPERM;
    return TWICE(caller, keys_join_session(caller, name));
}

static int32_t update(struct pk_request *request, struct key_caller *caller)
{
    cleanup_secret struct secret payload = {0};
    int r;

    if (request->args[3] > UPDATE_MAX)
        return -EINVAL;
    r = read_secret(request, request->args[2], request->args[3], &payload);
    if (r < 0)
        return r;
    return TWICE(caller, keys_update(caller, ID(1), payload.bytes, payload.length));
}

static int32_t search(struct pk_request *request, struct key_caller *caller)
{
    char type[KEY_TYPE_MAX + 1], name[KEY_NAME_MAX + 1];
    int r = read_type(request, request->args[2], type);

    if (r == 0)
        r = read_name(request, request->args[3], name);
    return r < 0 ? r : TWICE(caller, keys_search(caller, ID(1), type, name, ID(4)));
}

static int32_t restrict_ring(struct pk_request *request, struct key_caller *caller)
{
    char type[KEY_TYPE_MAX + 1], how[KEY_NAME_MAX + 1];
    bool typed = request->args[2] != 0, told = request->args[3] != 0;
    int r = typed ? read_type(request, request->args[2], type) : 0;

    if (r == 0 && typed && told)
        r = read_name(request, request->args[3], how);
    return r < 0 ? r : keys_restrict(caller, ID(1), typed ? type : NULL, told ? how : NULL);
}

/* All of it or nothing; how much it is, in any case. */
static int32_t give(struct pk_request *request, const struct strbuf *bytes)
{
    if (request->args[2] && request->args[3] >= bytes->length && bytes->length &&
        pk_write(request, request->args[2], bytes->data, bytes->length) < 0)
        return -EFAULT;
    return (int32_t)bytes->length;
}

static int32_t describe(struct pk_request *request, struct key_caller *caller)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = keys_describe(caller, ID(1), &text);

    return r < 0 ? r : give(request, &text);
}

static int32_t read_key(struct pk_request *request, struct key_caller *caller)
{
    cleanup_wiped struct strbuf bytes = {0};
    int r = keys_read(caller, ID(1), &bytes);

    return r < 0 ? r : give(request, &bytes);
}

/* No security module: an empty label. */
static int32_t get_security(struct pk_request *request, struct key_caller *caller)
{
    int r = keys_check_view(caller, ID(1));

    if (r < 0)
        return r;
    if (request->args[2] && request->args[3] && pk_write(request, request->args[2], "", 1) < 0)
        return -EFAULT;
    return 1;
}

static int32_t capabilities(struct pk_request *request)
{
    static const unsigned char known[2] = {KEYCTL_CAPS0_CAPABILITIES | KEYCTL_CAPS0_BIG_KEY |
                                           KEYCTL_CAPS0_INVALIDATE | KEYCTL_CAPS0_RESTRICT_KEYRING |
                                           KEYCTL_CAPS0_MOVE};
    unsigned char bytes[CAPABILITIES_MAX] = {0};
    uint64_t size = request->args[2] < sizeof(bytes) ? request->args[2] : sizeof(bytes);

    memcpy(bytes, known, sizeof(known));
    if (size && pk_write(request, request->args[1], bytes, size) < 0)
        return -EFAULT;
    return sizeof(known);
}

/* Only who instantiates a key for another has an authority, and that is never asked of a guest. */
static int32_t assume_authority(int32_t id)
{
    if (id < 0)
        return -EINVAL;
    return id == 0 ? 0 : -ENOKEY;
}

static int32_t on_keys(struct pk_request *request, struct key_caller *caller)
{
    switch ((int)request->args[0]) {
    case KEYCTL_UPDATE:
        return update(request, caller);
    case KEYCTL_REVOKE:
        return keys_revoke(caller, ID(1));
    case KEYCTL_CHOWN:
        return TWICE(caller,
                     keys_chown(caller, ID(1), (uid_t)request->args[2], (gid_t)request->args[3]));
    case KEYCTL_SETPERM:
        return keys_set_mask(caller, ID(1), (uint32_t)request->args[2]);
    case KEYCTL_DESCRIBE:
        return describe(request, caller);
    case KEYCTL_READ:
        return read_key(request, caller);
    case KEYCTL_SET_TIMEOUT:
        return keys_set_timeout(caller, ID(1), (unsigned)request->args[2]);
    case KEYCTL_INVALIDATE:
        return keys_invalidate(caller, ID(1));
    case KEYCTL_GET_SECURITY:
        return get_security(request, caller);
    case KEYCTL_INSTANTIATE:
    case KEYCTL_INSTANTIATE_IOV:
    case KEYCTL_NEGATE:
    case KEYCTL_REJECT:
        return -EPERM;
    case KEYCTL_ASSUME_AUTHORITY:
        return assume_authority(ID(1));
    case KEYCTL_CAPABILITIES:
        return capabilities(request);
    default:
        return -EOPNOTSUPP;
    }
}

static int32_t on_rings(struct pk_request *request, struct key_caller *caller)
{
    switch ((int)request->args[0]) {
    case KEYCTL_GET_KEYRING_ID:
        return TWICE(caller, keys_ring_id(caller, ID(1), request->args[2] != 0));
    case KEYCTL_JOIN_SESSION_KEYRING:
        return join_session(request, caller);
    case KEYCTL_CLEAR:
        return keys_clear(caller, ID(1));
    case KEYCTL_LINK:
        return TWICE(caller, keys_link(caller, ID(1), ID(2)));
    case KEYCTL_UNLINK:
        return keys_unlink(caller, ID(1), ID(2));
    case KEYCTL_MOVE:
        return TWICE(caller, keys_move(caller, ID(1), ID(2), ID(3), (unsigned)request->args[4]));
    case KEYCTL_SEARCH:
        return search(request, caller);
    case KEYCTL_RESTRICT_KEYRING:
        return restrict_ring(request, caller);
    case KEYCTL_SET_REQKEY_KEYRING:
        return keys_set_fallback(caller, ID(1));
    default:
        return on_keys(request, caller);
    }
}

static struct pk_answer do_keyctl(struct pk_request *request)
{
    struct key_caller caller = caller_of(request);

    return conclude(request, &caller, on_rings(request, &caller));
}

/* ---- the rest of the process kernel ---- */

struct naming {
    struct pk_kernel *kernel;
    struct keys *keys;
    void (*in_use)(struct keys *keys, int32_t serial);
};

static int name_session(pid_t pid, void *user)
{
    struct naming *naming = user;
    const struct pk_context *context = linux_context_of(naming->kernel, pid);

    if (context)
        naming->in_use(naming->keys, context->session_ring);
    return 0;
}

/* Twice: a process that was looked at before its parent's last change may have forked since. */
static void name_sessions(void *user, void (*in_use)(struct keys *keys, int32_t serial))
{
    struct pk_kernel *kernel = user;
    struct naming naming = {kernel, linux_state(kernel)->keys, in_use};

    if (kernel->current_context)
        in_use(naming.keys, kernel->current_context->session_ring);
    pk_for_each_process(kernel, name_session, &naming);
    pk_for_each_process(kernel, name_session, &naming);
}

int linux_proc_keys(struct pk_request *request, bool users, struct strbuf *ret_text)
{
    struct key_caller caller = caller_of(request);

    return users ? keys_list_users(caller.keys, ret_text) : keys_list(&caller, ret_text);
}

int linux_register_keys(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_add_key, do_add_key},
        {ABI_NR_request_key, do_request_key},
        {ABI_NR_keyctl, do_keyctl},
    };

    keys_set_sessions(linux_state(kernel)->keys, name_sessions, kernel);
    linux_set_handlers(kernel, handlers, array_length(handlers));
    return 0;
}
