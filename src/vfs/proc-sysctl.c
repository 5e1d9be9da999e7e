/*
 * sys/: a value is the host's until the guest writes one. What is written is kept for this kernel
 * alone; nothing ever reaches the host.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/proc-internal.h"

#define VALUE_MAX       4096
#define DIGITS_MAX      20 /* of a 64-bit number */
#define NAME_LENGTH_MAX 64 /* __NEW_UTS_LEN */

void proc_sysctl_free(struct proc_fs *fs)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&fs->values, &cursor)))
        free(slot->value);
    map_free(&fs->values);
}

static uint64_t key_of(const struct pseudo_access *access)
{
    return access->node->item->id;
}

/* `data`, where a line has it, stands in for a file that the host does not have or show. */
int proc_sysctl(const struct pseudo_access *access, struct strbuf *ret_text)
{
    const char *value = map_get(&proc_fs_of(access)->values, key_of(access));
    cleanup_strbuf struct strbuf host = {0};
    int r;

    if (value) {
        strbuf_add_string(ret_text, value);
        return strbuf_status(ret_text);
    }
    r = pseudo_generate_host(access, &host);
    if (r < 0 && access->entry->data)
        return pseudo_generate_data(access, ret_text);
    if (r < 0)
        return r;
    strbuf_add(ret_text, strbuf_text(&host), host.length);
    return strbuf_status(ret_text);
}

static int keep(const struct pseudo_access *access, const char *value)
{
    struct map *values = &proc_fs_of(access)->values;
    char *copy = strdup(value);
    char *old;
    int r;

    if (copy == NULL)
        return -ENOMEM;
    old = map_remove(values, key_of(access));
    r = map_set(values, key_of(access), copy);
    if (r < 0)
        free(copy);
    free(old);
    return r;
}

static int count_words(const char *text)
{
    int words = 0;

    while (*(text += strspn(text, " \t\n"))) {
        words++;
        text += strcspn(text, " \t\n");
    }
    return words;
}

/* Numbers as the kernel's proc_dointvec() takes them: as many as the value has, or fewer. */
int proc_sysctl_store_numbers(const struct pseudo_access *access, const char *text, size_t length)
{
    cleanup_strbuf struct strbuf value = {0}, old = {0};
    char copy[256], *rest = copy;
    int r = proc_sysctl(access, &old);

    if (r < 0)
        return r;
    if (length >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (count_words(copy) == 0 || count_words(copy) > count_words(strbuf_text(&old)))
        return -EINVAL;
    while (*(rest += strspn(rest, " \t\n"))) {
        size_t sign = rest[0] == '-';
        size_t digits = strspn(rest + sign, "0123456789");

        if (digits == 0 || digits > DIGITS_MAX || !strchr(" \t\n", rest[sign + digits]))
            return -EINVAL;
        strbuf_addf(&value, "%s%.*s", value.length ? "\t" : "", (int)(sign + digits), rest);
        rest += sign + digits;
    }
    strbuf_add(&value, "\n", 1);
    r = strbuf_status(&value);
    return r < 0 ? r : keep(access, strbuf_text(&value));
}

/* One line of text, as proc_dostring() takes it. */
int proc_sysctl_store_text(const struct pseudo_access *access, const char *text, size_t length)
{
    cleanup_strbuf struct strbuf value = {0};
    int r;

    if (length > VALUE_MAX)
        return -EINVAL;
    for (size_t i = 0; i < length && text[i] && text[i] != '\n'; i++)
        strbuf_add(&value, &text[i], 1);
    strbuf_add(&value, "\n", 1);
    r = strbuf_status(&value);
    return r < 0 ? r : keep(access, strbuf_text(&value));
}

/* The names of uname(2): the personality's own copy, so that both ways show and set the same. */
static int add_name(const struct pseudo_access *access, const char *name, struct strbuf *ret_text)
{
    if (name == NULL)
        return proc_sysctl(access, ret_text);
    strbuf_addf(ret_text, "%s\n", name);
    return strbuf_status(ret_text);
}

static int store_name(const struct pseudo_access *access, char *name, const char *text,
                      size_t length)
{
    size_t used = 0;

    if (name == NULL)
        return proc_sysctl_store_text(access, text, length);
    while (used < length && used < NAME_LENGTH_MAX && text[used] && text[used] != '\n')
        used++;
    memcpy(name, text, used);
    name[used] = '\0';
    return 0;
}

int proc_sysctl_hostname(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return add_name(access, pseudo_kernel(access)->hostname, ret_text);
}

int proc_sysctl_domainname(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return add_name(access, pseudo_kernel(access)->domainname, ret_text);
}

int proc_sysctl_store_hostname(const struct pseudo_access *access, const char *text, size_t length)
{
    return store_name(access, pseudo_kernel(access)->hostname, text, length);
}

int proc_sysctl_store_domainname(const struct pseudo_access *access, const char *text,
                                 size_t length)
{
    return store_name(access, pseudo_kernel(access)->domainname, text, length);
}

int proc_sysctl_threads_max(const struct pseudo_access *access, struct strbuf *ret_text)
{
    uint64_t limit = pseudo_kernel(access)->config.limits.pids;

    if (limit == 0)
        return proc_sysctl(access, ret_text);
    strbuf_addf(ret_text, "%" PRIu64 "\n", limit);
    return strbuf_status(ret_text);
}

static unsigned *key_limit(const struct pseudo_access *access)
{
    struct pk_key_limits *limits = &pseudo_kernel(access)->key_limits;
    const struct {
        const char *name;
        unsigned *value;
    } names[] = {{"gc_delay", &limits->delay},
                 {"maxkeys", &limits->count},
                 {"maxbytes", &limits->bytes},
                 {"root_maxkeys", &limits->root_count},
                 {"root_maxbytes", &limits->root_bytes}};
    const char *name = strrchr(access->entry->path, '/') + 1;
    size_t i = 0;

    while (strcmp(names[i].name, name) != 0) /* the table has no others */
        i++;
    return names[i].value;
}

int proc_sysctl_key_limit(const struct pseudo_access *access, struct strbuf *ret_text)
{
    strbuf_addf(ret_text, "%u\n", *key_limit(access));
    return strbuf_status(ret_text);
}

int proc_parse_number(const char *text, size_t length, uint64_t max, uint64_t *ret_value)
{
    char copy[32];

    while (length && strchr(" \t\n", text[length - 1]))
        length--;
    if (length >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return io_parse_u64(copy, max, ret_value) < 0 ? -EINVAL : 0;
}

int proc_sysctl_store_key_limit(const struct pseudo_access *access, const char *text, size_t length)
{
    uint64_t value;
    int r = proc_parse_number(text, length, INT_MAX, &value);

    if (r < 0)
        return r;
    *key_limit(access) = (unsigned)value;
    return 0;
}

int proc_personality(const struct pseudo_access *access, struct strbuf *ret_text)
{
    const struct pk_personality *personality = pseudo_kernel(access)->personality;
    const struct vfs_actor *actor = access->actor;

    if (actor == NULL || actor->request == NULL || personality == NULL ||
        personality->proc_text == NULL)
        return 0; /* nobody looks */
    return personality->proc_text(actor->request, access->entry->path, ret_text);
}

/* A new random identifier with every read (RFC 4122, version 4). */
int proc_sysctl_uuid(const struct pseudo_access *access, struct strbuf *ret_text)
{
    unsigned char b[16];

    (void)access;
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        return -EIO;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof(b); i++)
        strbuf_addf(ret_text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    strbuf_add(ret_text, "\n", 1);
    return strbuf_status(ret_text);
}
