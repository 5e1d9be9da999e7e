/*
 * Key rings: add_key, request_key, keyctl. Natively these are the host's; every case joins a
 * session of its own and puts its keys there or in its process' ring.
 */
#include "guest.h"

#include <linux/keyctl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREAD_RING  KEY_SPEC_THREAD_KEYRING
#define PROCESS_RING KEY_SPEC_PROCESS_KEYRING
#define SESSION_RING KEY_SPEC_SESSION_KEYRING

/* The kernel's own names of these are in no header (security/keys, keyutils.h). */
#define KEY_POS_VIEW    0x01000000
#define KEY_POS_SEARCH  0x08000000
#define KEY_POS_SETATTR 0x20000000
#define KEY_POS_ALL     0x3f000000
#define KEY_USR_SETATTR 0x00200000
#define KEY_USR_ALL     0x003f0000

static long control(int operation, long a, long b, long c, long d)
{
    return syscall(SYS_keyctl, operation, a, b, c, d);
}

static int add(const char *type, const char *name, const char *payload, int ring)
{
    return (int)syscall(SYS_add_key, type, name, payload, payload ? strlen(payload) : 0, ring);
}

static int request(const char *type, const char *name, const char *callout, int ring)
{
    return (int)syscall(SYS_request_key, type, name, callout, ring);
}

static int join(const char *name)
{
    return (int)OK(control(KEYCTL_JOIN_SESSION_KEYRING, (long)name, 0, 0, 0));
}

/* Natively what is gone goes a moment later. */
static void wait_until_gone(int key)
{
    for (int i = 0; i < 500; i++) {
        if (control(KEYCTL_DESCRIBE, key, 0, 0, 0) < 0 && errno == ENOKEY)
            return;
        usleep(10000);
    }
    FAIL("the key is still there");
}

static const char *text_of(int key)
{
    static char text[64];
    long length = OK(control(KEYCTL_READ, key, (long)text, sizeof(text) - 1, 0));

    CHECK(length < (long)sizeof(text));
    text[length] = '\0';
    return text;
}

static void keys_are_kept(void)
{
    char small[3] = "##";
    int key, again;

    join(NULL);
    key = (int)OK(add("user", "one", "secret", SESSION_RING));
    CHECK(key > 0);
    CHECK_TEXT(text_of(key), "secret");
    again = (int)OK(add("user", "one", "other", SESSION_RING));
    CHECK_EQ(again, key);
    CHECK_TEXT(text_of(key), "other");
    CHECK(OK(add("user", "two", "x", SESSION_RING)) != key);
    CHECK_EQ(control(KEYCTL_READ, key, 0, 0, 0), 5);
    CHECK_EQ(control(KEYCTL_READ, key, (long)small, 2, 0), 5);
    CHECK_TEXT(small, "##");
    FAILS(control(KEYCTL_READ, key, 1, 5, 0), EFAULT);
    OK(control(KEYCTL_UPDATE, key, (long)"new", 3, 0));
    CHECK_TEXT(text_of(key), "new");
    FAILS(control(KEYCTL_UPDATE, key, 0, 0, 0), EINVAL);
    FAILS(control(KEYCTL_UPDATE, key, (long)"x", 5000, 0), EINVAL);
}

static void names_and_types(void)
{
    static char large[5000];

    join(NULL);
    FAILS(add("nothing", "name", "x", SESSION_RING), ENODEV);
    FAILS(add(".type", "name", "x", SESSION_RING), EPERM);
    FAILS(add("", "name", "x", SESSION_RING), EINVAL);
    FAILS(add("a type with a name that is longer than thirty-one", "name", "x", SESSION_RING),
          EINVAL);
    FAILS(add("user", "", "x", SESSION_RING), EINVAL);
    FAILS(add("user", NULL, "x", SESSION_RING), EINVAL);
    FAILS(add("user", "empty", NULL, SESSION_RING), EINVAL);
    FAILS(add("keyring", "ring", "x", SESSION_RING), EINVAL);
    FAILS(add("keyring", ".ring", NULL, SESSION_RING), EPERM);
    FAILS(add("logon", "no-service", "x", SESSION_RING), EINVAL);
    FAILS(add("logon", ":no-service", "x", SESSION_RING), EINVAL);
    memset(large, 'x', sizeof(large) - 1);
    FAILS(add("user", large, "x", SESSION_RING), EINVAL);
    FAILS(syscall(SYS_add_key, "user", "name", "x", 1 << 20, SESSION_RING), EINVAL);
    FAILS(syscall(SYS_add_key, "user", "name", large, 32768, SESSION_RING), EFAULT);
    FAILS(syscall(SYS_add_key, "user", (char *)1, "x", 1, SESSION_RING), EFAULT);
    FAILS(syscall(SYS_add_key, (char *)1, "name", "x", 1, SESSION_RING), EFAULT);
    FAILS(add("user", "name", "x", 0), EINVAL);
    FAILS(add("user", "name", "x", KEY_SPEC_GROUP_KEYRING), EINVAL);
    FAILS(add("user", "name", "x", KEY_SPEC_REQKEY_AUTH_KEY), ENOKEY);
    FAILS(add("user", "name", "x", -9), EINVAL);
    FAILS(control(99, 0, 0, 0, 0), EOPNOTSUPP);
}

static void what_is_said_of_keys(void)
{
    char text[100], wanted[100];
    int ring, key;

    ring = join(NULL);
    key = (int)OK(add("user", "a;name", "x", SESSION_RING));
    snprintf(wanted, sizeof(wanted), "user;%d;%d;3f010000;a;name", geteuid(), getegid());
    CHECK_EQ(control(KEYCTL_DESCRIBE, key, (long)text, sizeof(text), 0), strlen(wanted) + 1);
    CHECK_TEXT(text, wanted);
    snprintf(wanted, sizeof(wanted), "keyring;%d;%d;3f030000;_ses", geteuid(), getegid());
    OK(control(KEYCTL_DESCRIBE, SESSION_RING, (long)text, sizeof(text), 0));
    CHECK_TEXT(text, wanted);
    CHECK_EQ(control(KEYCTL_GET_KEYRING_ID, SESSION_RING, 0, 0, 0), ring);
    CHECK_EQ(control(KEYCTL_GET_SECURITY, key, 0, 0, 0) >= 1, 1);
    FAILS(control(KEYCTL_DESCRIBE, 0, 0, 0, 0), EINVAL);
    text[0] = 1;
    CHECK_EQ(control(KEYCTL_CAPABILITIES, (long)text, 100, 0, 0), 2);
    CHECK(text[0] & KEYCTL_CAPS0_CAPABILITIES && text[0] & KEYCTL_CAPS0_MOVE);
    CHECK_EQ(text[50], 0);
}

static void rings_in_rings(void)
{
    int top, ring, inner, key, links[4];

    top = join(NULL);
    ring = (int)OK(add("keyring", "ring", NULL, SESSION_RING));
    inner = (int)OK(add("keyring", "inner", NULL, ring));
    key = (int)OK(add("user", "deep", "x", inner));
    CHECK_EQ(control(KEYCTL_SEARCH, top, (long)"user", (long)"deep", 0), key);
    CHECK_EQ(request("user", "deep", NULL, 0), key);
    FAILS(control(KEYCTL_SEARCH, top, (long)"user", (long)"none", 0), ENOKEY);
    FAILS(control(KEYCTL_SEARCH, key, (long)"user", (long)"deep", 0), ENOTDIR);
    FAILS(control(KEYCTL_LINK, ring, inner, 0, 0), EDEADLK);
    FAILS(control(KEYCTL_LINK, ring, ring, 0, 0), EDEADLK);
    CHECK_EQ(control(KEYCTL_READ, inner, (long)links, sizeof(links), 0), 4);
    CHECK_EQ(links[0], key);
    OK(control(KEYCTL_LINK, key, top, 0, 0));
    OK(control(KEYCTL_UNLINK, key, inner, 0, 0));
    FAILS(control(KEYCTL_UNLINK, key, inner, 0, 0), ENOENT);
    FAILS(control(KEYCTL_UNLINK, inner, key, 0, 0), ENOTDIR);
    CHECK_EQ(control(KEYCTL_READ, inner, 0, 0, 0), 0);
    OK(control(KEYCTL_MOVE, key, top, inner, 0));
    OK(control(KEYCTL_LINK, key, top, 0, 0));
    FAILS(control(KEYCTL_MOVE, key, top, inner, KEYCTL_MOVE_EXCL), EEXIST);
    FAILS(control(KEYCTL_MOVE, key, ring, top, 0), ENOENT);
    FAILS(control(KEYCTL_MOVE, key, top, inner, 8), EINVAL);
    OK(control(KEYCTL_CLEAR, top, 0, 0, 0));
    wait_until_gone(key);
    wait_until_gone(inner);
    FAILS(add("user", "gone", "x", inner), ENOKEY);
}

/* A ring that ends takes what only it has with it; a chain of links may be six rings long. */
static void long_chains(void)
{
    int rings[9];
    char name[16];

    join(NULL);
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof(name), "ring-%d", i);
        rings[i] = (int)OK(add("keyring", name, NULL, SESSION_RING));
    }
    for (int i = 7; i > 1; i--)
        OK(control(KEYCTL_LINK, rings[i], rings[i - 1], 0, 0));
    OK(control(KEYCTL_LINK, rings[1], rings[0], 0, 0));
    FAILS(control(KEYCTL_LINK, rings[0], rings[8], 0, 0), ELOOP);
}

static void dead_keys(void)
{
    int ring, key;

    ring = join(NULL);
    key = (int)OK(add("user", "revoked", "x", SESSION_RING));
    OK(control(KEYCTL_REVOKE, key, 0, 0, 0));
    FAILS(control(KEYCTL_READ, key, 0, 0, 0), EKEYREVOKED);
    FAILS(control(KEYCTL_DESCRIBE, key, 0, 0, 0), EKEYREVOKED);
    FAILS(request("user", "revoked", NULL, 0), EKEYREVOKED);
    CHECK(OK(add("user", "revoked", "y", SESSION_RING)) != key);
    key = (int)OK(add("user", "invalid", "x", SESSION_RING));
    OK(control(KEYCTL_INVALIDATE, key, 0, 0, 0));
    wait_until_gone(key);
    /* The host takes it from its rings first, and it is nobody's until it is freed. */
    CHECK(control(KEYCTL_READ, key, 0, 0, 0) < 0 && (errno == ENOKEY || errno == EACCES));
    key = (int)OK(add("user", "short", "x", SESSION_RING));
    OK(control(KEYCTL_SET_TIMEOUT, key, 1, 0, 0));
    CHECK_TEXT(text_of(key), "x");
    usleep(1100000);
    FAILS(control(KEYCTL_READ, key, 0, 0, 0), EKEYEXPIRED);
    FAILS(request("user", "short", NULL, 0), ENOKEY);
    FAILS(control(KEYCTL_SEARCH, ring, (long)"user", (long)"short", 0), EKEYEXPIRED);
    FAILS(control(KEYCTL_SET_TIMEOUT, key, 0, 0, 0), EKEYEXPIRED);
    OK(control(KEYCTL_REVOKE, ring, 0, 0, 0));
    FAILS(add("user", "late", "x", SESSION_RING), EKEYREVOKED);
}

static void masks_hold(void)
{
    char text[100];
    int key;

    join(NULL);
    key = (int)OK(add("logon", "service:name", "x", SESSION_RING));
    FAILS(control(KEYCTL_READ, key, 0, 0, 0), EOPNOTSUPP);
    key = (int)OK(add("user", "masked", "x", SESSION_RING));
    FAILS(control(KEYCTL_SETPERM, key, 0x40000000, 0, 0), EINVAL);
    OK(control(KEYCTL_SETPERM, key, KEY_POS_VIEW | KEY_POS_SETATTR | KEY_POS_SEARCH, 0, 0));
    CHECK_TEXT(text_of(key), "x"); /* who can find it may read it */
    FAILS(control(KEYCTL_UPDATE, key, (long)"y", 1, 0), EACCES);
    FAILS(control(KEYCTL_LINK, key, PROCESS_RING, 0, 0), EACCES);
    FAILS(add("user", "masked", "y", SESSION_RING), EACCES);
    OK(control(KEYCTL_SETPERM, key, KEY_POS_SETATTR | KEY_POS_SEARCH, 0, 0));
    FAILS(control(KEYCTL_DESCRIBE, key, (long)text, sizeof(text), 0), EACCES);
    OK(control(KEYCTL_SETPERM, key, KEY_POS_VIEW | KEY_USR_SETATTR, 0, 0));
    FAILS(control(KEYCTL_READ, key, 0, 0, 0), EACCES); /* it cannot be found any more */
    FAILS(control(KEYCTL_DESCRIBE, key, (long)text, sizeof(text), 0), EACCES);
    FAILS(request("user", "masked", NULL, 0), ENOKEY);
    OK(control(KEYCTL_SETPERM, SESSION_RING, KEY_POS_SEARCH | KEY_POS_VIEW, 0, 0));
    FAILS(add("user", "more", "x", SESSION_RING), EACCES);
}

static void owners(void)
{
    int key;

    if (geteuid() == 0)
        guest_skip("root may give keys away");
    join(NULL);
    key = (int)OK(add("user", "mine", "x", SESSION_RING));
    OK(control(KEYCTL_CHOWN, key, -1, -1, 0));
    OK(control(KEYCTL_CHOWN, key, geteuid(), getegid(), 0));
    FAILS(control(KEYCTL_CHOWN, key, geteuid() + 1, -1, 0), EACCES);
    FAILS(control(KEYCTL_CHOWN, key, -1, 0, 0), EACCES);
}

/* ---- the rings of a process ---- */

static void *thread_ring_of_thread(void *main_ring)
{
    CHECK(OK(control(KEYCTL_GET_KEYRING_ID, THREAD_RING, 1, 0, 0)) != (long)main_ring);
    OK(request("user", "of-process", NULL, 0));
    FAILS(request("user", "of-thread", NULL, 0), ENOKEY);
    return NULL;
}

static void in_child(void *session)
{
    CHECK_EQ(control(KEYCTL_GET_KEYRING_ID, SESSION_RING, 0, 0, 0), (long)session);
    FAILS(control(KEYCTL_GET_KEYRING_ID, THREAD_RING, 0, 0, 0), ENOKEY);
    FAILS(control(KEYCTL_GET_KEYRING_ID, PROCESS_RING, 0, 0, 0), ENOKEY);
    FAILS(request("user", "of-process", NULL, 0), ENOKEY);
    OK(request("user", "of-session", NULL, 0));
    OK(add("user", "from-child", "x", SESSION_RING));
    CHECK(join(NULL) != (long)session);
    FAILS(request("user", "of-session", NULL, 0), ENOKEY);
}

static void what_is_inherited(void)
{
    pthread_t thread;
    int session;
    long ring;

    session = join(NULL);
    ring = OK(control(KEYCTL_GET_KEYRING_ID, THREAD_RING, 1, 0, 0));
    OK(add("user", "of-thread", "x", THREAD_RING));
    OK(add("user", "of-process", "x", PROCESS_RING));
    OK(add("user", "of-session", "x", SESSION_RING));
    CHECK_EQ(pthread_create(&thread, NULL, thread_ring_of_thread, (void *)ring), 0);
    pthread_join(thread, NULL);
    guest_join(guest_fork(in_child, (void *)(long)session));
    OK(request("user", "from-child", NULL, 0));
    CHECK_EQ(control(KEYCTL_GET_KEYRING_ID, SESSION_RING, 0, 0, 0), session);
}

/* Called by what_exec_keeps() with the number of the session ring that it must find. */
static void after_exec(void)
{
    const char *wanted = getenv("GUEST_SESSION");

    if (wanted == NULL)
        guest_skip("only after an exec");
    CHECK_EQ(control(KEYCTL_GET_KEYRING_ID, SESSION_RING, 0, 0, 0), strtol(wanted, NULL, 10));
    FAILS(control(KEYCTL_GET_KEYRING_ID, THREAD_RING, 0, 0, 0), ENOKEY);
    FAILS(control(KEYCTL_GET_KEYRING_ID, PROCESS_RING, 0, 0, 0), ENOKEY);
    CHECK_EQ(control(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE, 0, 0, 0),
             KEY_REQKEY_DEFL_USER_KEYRING);
}

static void what_exec_keeps(void)
{
    char number[32];

    snprintf(number, sizeof(number), "%d", join(NULL));
    setenv("GUEST_SESSION", number, 1);
    OK(control(KEYCTL_GET_KEYRING_ID, THREAD_RING, 1, 0, 0));
    OK(control(KEYCTL_GET_KEYRING_ID, PROCESS_RING, 1, 0, 0));
    OK(control(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_USER_KEYRING, 0, 0, 0));
    execl("/proc/self/exe", "keys", "after-exec", NULL);
    FAIL("exec: %s", strerror(errno));
}

static void named_sessions(void)
{
    const char *name = guest_format("guest-session-%d", getpid());
    int ring, other;

    FAILS(control(KEYCTL_JOIN_SESSION_KEYRING, (long)".name", 0, 0, 0), EPERM);
    FAILS(control(KEYCTL_JOIN_SESSION_KEYRING, 1, 0, 0, 0), EFAULT);
    ring = join(name);
    other = join(name);
    CHECK(other != ring); /* it cannot be searched, so there is none of that name */
    ring = other;
    OK(control(KEYCTL_SETPERM, ring, KEY_POS_ALL | KEY_USR_ALL, 0, 0));
    CHECK_EQ(join(name), 0); /* it is in it already */
    OK(control(KEYCTL_LINK, ring, PROCESS_RING, 0, 0));
    other = join(NULL);
    CHECK(other != ring);
    CHECK_EQ(join(name), ring);
}

static void user_rings(void)
{
    char text[100], wanted[100];
    long ring = OK(control(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0, 0, 0));
    long session = OK(control(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_SESSION_KEYRING, 0, 0, 0));

    CHECK(ring != session);
    OK(control(KEYCTL_DESCRIBE, KEY_SPEC_USER_KEYRING, (long)text, sizeof(text), 0));
    snprintf(wanted, sizeof(wanted), "keyring;%d;65534;1f3f0000;_uid.%d", getuid(), getuid());
    CHECK_TEXT(text, wanted);
    OK(control(KEYCTL_SEARCH, session, (long)"keyring", (long)strrchr(text, ';') + 1, 0));
}

/* ---- requests ---- */

static void nobody_makes_keys(void)
{
    int ring, key, links[4];

    ring = join(NULL);
    FAILS(request("user", "wanted", NULL, SESSION_RING), ENOKEY);
    CHECK_EQ(control(KEYCTL_READ, ring, 0, 0, 0), 0);
    FAILS(request("nothing", "wanted", NULL, 0), ENOKEY);
    FAILS(request("keyring", "wanted", "please", 0), EPERM);
    key = (int)OK(add("user", "here", "x", SESSION_RING));
    CHECK_EQ(request("user", "here", "please", PROCESS_RING), key);
    CHECK_EQ(control(KEYCTL_READ, PROCESS_RING, (long)links, sizeof(links), 0), 4);
    CHECK_EQ(links[0], key);
    FAILS(request("user", "here", NULL, key), ENOTDIR);
    FAILS(control(KEYCTL_INSTANTIATE, key, 0, 0, 0), EPERM);
    FAILS(control(KEYCTL_NEGATE, key, 1, 0, 0), EPERM);
    FAILS(control(KEYCTL_ASSUME_AUTHORITY, key, 0, 0, 0), ENOKEY);
    CHECK_EQ(control(KEYCTL_ASSUME_AUTHORITY, 0, 0, 0, 0), 0);
}

static void fallbacks(void)
{
    join(NULL);
    CHECK_EQ(control(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE, 0, 0, 0), 0);
    CHECK_EQ(control(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_SESSION_KEYRING, 0, 0, 0), 0);
    CHECK_EQ(control(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_THREAD_KEYRING, 0, 0, 0),
             KEY_REQKEY_DEFL_SESSION_KEYRING);
    OK(control(KEYCTL_GET_KEYRING_ID, THREAD_RING, 0, 0, 0));
    FAILS(control(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_GROUP_KEYRING, 0, 0, 0), EINVAL);
    FAILS(control(KEYCTL_SET_REQKEY_KEYRING, 70, 0, 0, 0), EINVAL);
}

static void closed_rings(void)
{
    int ring, key;

    join(NULL);
    key = (int)OK(add("user", "key", "x", SESSION_RING));
    ring = (int)OK(add("keyring", "closed", NULL, SESSION_RING));
    FAILS(control(KEYCTL_RESTRICT_KEYRING, ring, (long)"user", (long)"x", 0), ENOENT);
    FAILS(control(KEYCTL_RESTRICT_KEYRING, ring, 0, (long)"x", 0), EINVAL);
    FAILS(control(KEYCTL_RESTRICT_KEYRING, key, 0, 0, 0), ENOTDIR);
    OK(control(KEYCTL_RESTRICT_KEYRING, ring, 0, 0, 0));
    FAILS(control(KEYCTL_RESTRICT_KEYRING, ring, 0, 0, 0), EEXIST);
    FAILS(control(KEYCTL_LINK, key, ring, 0, 0), EPERM);
    FAILS(add("user", "new", "x", ring), EPERM);
}

static void quotas(void)
{
    char name[16];
    int made = 0, result = 0;

    if (geteuid() == 0)
        guest_skip("root may have a million keys");
    join(NULL);
    while (made < 1000 && result >= 0) {
        snprintf(name, sizeof(name), "key-%d", made);
        result = add("user", name, "x", SESSION_RING);
        made += result > 0;
    }
    CHECK_EQ(errno, EDQUOT);
    CHECK(made > 50 && made <= 200);
    FAILS(control(KEYCTL_UPDATE, SESSION_RING, (long)"x", 1, 0), EOPNOTSUPP);
    OK(control(KEYCTL_CLEAR, SESSION_RING, 0, 0, 0));
    for (int i = 0; i < 500 && (result = add("user", "again", "x", SESSION_RING)) < 0; i++)
        usleep(10000);
    CHECK(result > 0);
}

static void files_below_proc(void)
{
    char line[100], *text;
    int key;

    join(NULL);
    key = (int)OK(add("user", "shown", "four", SESSION_RING));
    text = guest_read("/proc/keys");
    snprintf(line, sizeof(line), "%08x I--Q---     1 perm 3f010000 %5d %5d user      shown: 4\n",
             (unsigned)key, geteuid(), getegid());
    CHECK(strstr(text, line) != NULL);
    snprintf(line, sizeof(line), "%5u: ", geteuid());
    CHECK(strstr(guest_read("/proc/key-users"), line) != NULL);
    CHECK(strtol(guest_read("/proc/sys/kernel/keys/maxkeys"), NULL, 10) > 0);
    CHECK(strtol(guest_read("/proc/sys/kernel/keys/root_maxbytes"), NULL, 10) > 0);
}

static const struct guest_case cases[] = {
    {"keys-are-kept", keys_are_kept},
    {"names-and-types", names_and_types},
    {"what-is-said-of-keys", what_is_said_of_keys},
    {"rings-in-rings", rings_in_rings},
    {"long-chains", long_chains},
    {"dead-keys", dead_keys},
    {"masks-hold", masks_hold},
    {"owners", owners},
    {"what-is-inherited", what_is_inherited},
    {"what-exec-keeps", what_exec_keeps},
    {"after-exec", after_exec},
    {"named-sessions", named_sessions},
    {"user-rings", user_rings},
    {"nobody-makes-keys", nobody_makes_keys},
    {"fallbacks", fallbacks},
    {"closed-rings", closed_rings},
    {"files-below-proc", files_below_proc},
    {"quotas", quotas},
};

GUEST_MAIN(cases)
