/* A profile as text: what `cerebro learn` writes. */
#include <inttypes.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "profile/record-internal.h"

/* No comment begins behind it: it is no reason to make a profile that is too long to be read. */
#define COMMENTS_END (PROFILE_FILE_MAX * 3 / 4)

static void add_quoted(struct strbuf *out, const char *text)
{
    strbuf_add_string(out, "\"");
    strbuf_add_json(out, text); /* what JSON escapes, YAML reads alike */
    strbuf_add_string(out, "\"");
}

/* One character of UTF-8; 0 for the end and for what is none. `*length` is its bytes. */
static uint32_t decode(const char *text, size_t *length)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned count = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    uint32_t character = count == 1 ? bytes[0] : bytes[0] & (0x7fU >> count);

    *length = count;
    if (count > 1 && (bytes[0] < 0xc0 || bytes[0] > 0xf4))
        return 0;
    for (unsigned i = 1; i < count; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (bytes[i] & 0x3f);
    }
    return character < least[count] ? 0 : character;
}

/*
 * Whether a reader of YAML takes the text for what it is: it knows UTF-8 only, refuses control
 * characters that are not escaped, and folds line separators.
 */
static bool can_be_written(const char *text)
{
    while (*text) {
        size_t length;
        uint32_t c = decode(text, &length);

        if (c == 0 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
            (c >= 0xd800 && c < 0xe000) || c == 0xfffe || c == 0xffff || c > 0x10ffff)
            return false;
        text += length;
    }
    return true;
}

static const char *behind(const char *path, const char *directory)
{
    size_t length = directory ? strlen(directory) : 0;

    if (length < 2 || strncmp(path, directory, length) != 0 ||
        (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return path + length;
}

/* Written so that the profile holds for another directory and another user, too. */
static void add_path(struct strbuf *out, const char *path, const struct profile_places *places)
{
    cleanup_strbuf struct strbuf text = {0};
    bool at_home = places->home && behind(places->home, places->cwd);
    const char *rest = at_home ? NULL : behind(path, places->cwd);

    if (rest) {
        strbuf_addf(&text, ".%s", rest);
    } else {
        rest = behind(path, places->home);
        strbuf_addf(&text, "%s%s", rest ? "~" : "", rest ? rest : path);
    }
    strbuf_add_string(out, "    - ");
    add_quoted(out, strbuf_text(&text));
    strbuf_add_string(out, "\n");
}

static bool has_kind(const struct profile *profile, enum profile_path_kind kind)
{
    for (size_t i = 0; i < profile->path_count; i++)
        if (profile->paths[i].kind == kind && can_be_written(profile->paths[i].path))
            return true;
    return false;
}

static void add_kind(struct strbuf *out, const struct profile *profile, enum profile_path_kind kind,
                     const struct profile_places *places)
{
    if (!has_kind(profile, kind))
        return;
    strbuf_addf(out, "  %s:\n", profile_path_key(kind));
    for (size_t i = 0; i < profile->path_count; i++)
        if (profile->paths[i].kind == kind && can_be_written(profile->paths[i].path))
            add_path(out, profile->paths[i].path, places);
}

/* Comments are for people: bytes that could spoil the file become question marks. */
static void add_comment(struct strbuf *out, const char *text)
{
    for (; *text; text++)
        strbuf_addf(out, "%c", *text >= ' ' && *text < 0x7f ? *text : '?');
    strbuf_add_string(out, "\n");
}

static size_t count_unwritable(const struct profile *profile)
{
    size_t count = 0;

    for (size_t i = 0; i < profile->path_count; i++)
        count += !can_be_written(profile->paths[i].path);
    return count;
}

static void add_lines(struct strbuf *out, const char *title, const struct record_lines *lines)
{
    unsigned i = 0;

    if (lines->count)
        strbuf_addf(out, "# %s:\n", title);
    for (; i < lines->count && out->length < COMMENTS_END; i++) {
        strbuf_add_string(out, "#   ");
        add_comment(out, lines->lines[i]);
    }
    if (i < lines->count)
        strbuf_addf(out, "#   ... and %u more\n", lines->count - i);
}

static void add_limits(struct strbuf *out, const struct profile *profile)
{
    bool any = false;
    char value[32];

    for (int i = 0; i < PK_LIMIT_COUNT; i++) {
        if (profile->limits[i].origin.line == 0)
            continue;
        strbuf_addf(out, "%s  %s: %s\n", any ? "" : "limits:\n", pk_limit_name((enum pk_limit)i),
                    pk_limit_format((enum pk_limit)i, profile->limits[i].value, value));
        any = true;
    }
}

static void add_denied(struct strbuf *out, const struct profile *profile)
{
    if (profile->denied_count)
        strbuf_add_string(out, "calls:\n  deny:\n");
    for (size_t i = 0; i < profile->denied_count; i++) {
        const char *error = abi_errno_name(profile->denied[i].errnum);

        strbuf_addf(out, "    - %s=%s\n", abi_syscall_by_nr(profile->denied[i].nr)->name,
                    error ? error : "EPERM");
    }
}

static void add_rules(struct strbuf *out, const struct profile *profile, bool allow)
{
    bool any = false;

    for (size_t i = 0; i < profile->rule_count; i++) {
        if (profile->rules[i].allow != allow || !can_be_written(profile->rules[i].text))
            continue;
        if (!any)
            strbuf_addf(out, "  %s:\n", allow ? "allow" : "deny");
        strbuf_add_string(out, "    - ");
        add_quoted(out, profile->rules[i].text);
        strbuf_add_string(out, "\n");
        any = true;
    }
}

void profile_write(const struct profile *profile, const struct profile_recorder *recorder,
                   const struct profile_places *places, const char *title, struct strbuf *ret_text)
{
    size_t unwritable = count_unwritable(profile);

    strbuf_add_string(ret_text, "# ");
    add_comment(ret_text, title);
    if (profile->description && can_be_written(profile->description)) {
        strbuf_add_string(ret_text, "description: ");
        add_quoted(ret_text, profile->description);
        strbuf_add_string(ret_text, "\n");
    }
    strbuf_addf(ret_text, "view: %s\n", profile->minimal_view.value ? "minimal" : "host");
    if (unwritable)
        strbuf_addf(ret_text, "# %zu names are no text and are not part of this profile\n",
                    unwritable);
    if (profile->path_count > unwritable)
        strbuf_add_string(ret_text, "paths:\n");
    for (int kind = 0; kind < PROFILE_DROP; kind++)
        add_kind(ret_text, profile, (enum profile_path_kind)kind, places);
    strbuf_addf(ret_text, "network:\n  mode: %s\n", profile->network.value ? "host" : "none");
    add_rules(ret_text, profile, true);
    add_rules(ret_text, profile, false);
    if (recorder)
        add_lines(ret_text, "addresses that were named", &recorder->addresses);
    add_limits(ret_text, profile);
    if (profile->uid.origin.line)
        strbuf_addf(ret_text, "personality:\n  uid: \"%" PRIu64 ":%" PRIu64 "\"\n",
                    profile->uid.value, profile->gid.value);
    add_denied(ret_text, profile);
    if (recorder)
        add_lines(ret_text, "refused during the run", &recorder->denied);
    if (recorder && recorder->lost)
        strbuf_addf(ret_text,
                    "# the run named too much: %" PRIu64 " names are not part of this profile\n",
                    recorder->lost);
}
