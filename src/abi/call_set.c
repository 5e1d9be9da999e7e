#include "abi/call_set.h"

#include <assert.h>
#include <errno.h>
#include <regex.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"

static_assert(ABI_NR_MAX < ABI_CALL_SET_NUMBERS, "a set has a bit for each call");

#define WORD_MAX 256 /* longer than any name; a regular expression must do with it, too */

static const char set_hint[] =
    "write names of calls (see: cerebro syscalls), %file, %network and the like, or /REGEX, with "
    "commas; ! in front means all others";

/* Groups of calls that have the same name in strace. */
static const struct {
    const char *word;
    const char *names; /* with blanks around each */
} groups[] = {
    {"%stat", " stat "},
    {"%lstat", " lstat "},
    {"%fstat", " fstat newfstatat "},
    {"%%stat", " stat lstat fstat newfstatat statx "},
    {"%statfs", " statfs "},
    {"%fstatfs", " fstatfs "},
    {"%%statfs", " statfs fstatfs ustat "},
    {"%clock", " adjtimex clock_adjtime clock_getres clock_gettime clock_settime gettimeofday"
               " settimeofday time "},
    {"%pure", " getegid geteuid getgid getpgrp getpid getppid gettid getuid "},
};

/* What a word of a set means. */
struct word {
    const char *name;     /* of one call */
    int nr;               /* -1: not by number */
    int family;           /* -1: none */
    const char *group;    /* NULL: none */
    const regex_t *regex; /* NULL: none */
};

static bool takes_path(const struct abi_syscall *call)
{
    for (unsigned i = 0; i < call->nargs; i++)
        if (call->args[i].kind == ABI_ARG_PATH)
            return true;
    return false;
}

static bool takes_descriptor(const struct abi_syscall *call)
{
    for (unsigned i = 0; i < call->nargs; i++)
        if (call->args[i].kind == ABI_ARG_FD || call->args[i].kind == ABI_ARG_DIRFD)
            return true;
    return false;
}

static bool is_of_family(const struct abi_syscall *call, int family)
{
    return (int)call->family == family || (family == ABI_FAMILY_FILE && takes_path(call)) ||
           (family == ABI_FAMILY_DESCRIPTOR && takes_descriptor(call));
}

static bool is_in_group(const struct abi_syscall *call, const char *names)
{
    size_t length = strlen(call->name);

    for (const char *at = strstr(names, call->name); at; at = strstr(at + 1, call->name))
        if (at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

static bool is_meant(const struct abi_syscall *call, const struct word *word)
{
    if (word->regex)
        return regexec(word->regex, call->name, 0, NULL, 0) == 0;
    if (word->group)
        return is_in_group(call, word->group);
    if (word->family >= 0)
        return is_of_family(call, word->family);
    return word->nr >= 0 ? call->nr == word->nr : strcmp(call->name, word->name) == 0;
}

/* Adds what the word means; returns whether that was any. */
static bool add_meant(struct abi_call_set *set, const struct word *word)
{
    bool any = false;

    for (size_t i = 0; i < ABI_SYSCALL_COUNT; i++) {
        const struct abi_syscall *call = abi_syscall_at(i);

        if (!is_meant(call, word))
            continue;
        abi_call_set_add(set, call->nr);
        any = true;
    }
    return any;
}

static int add_regex(struct abi_call_set *set, const char *text, const char *option,
                     struct base_error *error)
{
    regex_t regex;
    int r = regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);
    bool any;

    if (r != 0) {
        char why[128];

        regerror(r, &regex, why, sizeof(why));
        return base_fail(error, EINVAL, set_hint, "%s: '/%s': %s", option, text, why);
    }
    any = add_meant(set, &(struct word){.regex = &regex});
    regfree(&regex);
    return any ? 0
               : base_fail(error, EINVAL, set_hint, "%s: no system call matches '/%s'", option,
                           text);
}

static const char *group_named(const char *text)
{
    for (size_t i = 0; i < array_length(groups); i++)
        if (strcmp(groups[i].word, text) == 0)
            return groups[i].names;
    return NULL;
}

static int family_named(const char *text)
{
    enum abi_family family;

    return abi_family_by_name(text + (text[0] == '%'), &family) == 0 ? (int)family : -1;
}

static int add_word(struct abi_call_set *set, struct abi_call_set *named, const char *text,
                    const char *option, struct base_error *error)
{
    struct word word = {.name = text, .nr = -1, .family = family_named(text)};
    bool is_optional = text[0] == '?';
    uint64_t number;

    if (text[0] == '\0')
        return base_fail(error, EINVAL, set_hint, "%s: a name is missing", option);
    if (strcmp(text, "none") == 0)
        return 0;
    if (strcmp(text, "all") == 0) {
        memset(set, 0xff, sizeof(*set));
        return 0;
    }
    if (text[0] == '/')
        return add_regex(set, text + 1, option, error);
    word.name += is_optional;
    word.group = group_named(text);
    if (io_parse_u64(text, ABI_NR_MAX, &number) == 0)
        word.nr = (int)number;
    if (add_meant(set, &word)) {
        if (word.group == NULL && word.family < 0)
            add_meant(named, &word);
        return 0;
    }
    if (is_optional)
        return 0;
    return base_fail(error, EINVAL, set_hint, "%s: there is no %s '%s'", option,
                     text[0] == '%' ? "family" : "system call", text);
}

int abi_call_set_parse(const char *text, const char *option, struct abi_call_set *ret_set,
                       struct abi_call_set *ret_named, struct base_error *error)
{
    struct abi_call_set set = {0}, named = {0};
    bool others = text[0] == '!';

    for (const char *at = text + others;;) {
        size_t length = strcspn(at, ",");
        char word[WORD_MAX];
        int r;

        if (length >= sizeof(word))
            return base_fail(error, EINVAL, set_hint, "%s: '%.32s...' is too long", option, at);
        memcpy(word, at, length);
        word[length] = '\0';
        r = add_word(&set, &named, word, option, error);
        if (r < 0)
            return r;
        if (at[length] == '\0')
            break;
        at += length + 1;
    }
    for (size_t i = 0; others && i < array_length(set.bits); i++)
        set.bits[i] = ~set.bits[i];
    *ret_set = set;
    if (ret_named)
        *ret_named = others ? (struct abi_call_set){0} : named;
    return 0;
}
