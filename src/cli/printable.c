#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

/*
 * U+200E, U+200F, U+2028 to U+202E and U+2066 to U+2069: a line that they are in reads otherwise
 * than it is, or is two.
 */
static bool turns_text(const unsigned char *c, size_t length)
{
    if (length != 3 || c[0] != 0xe2)
        return false;
    return (c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xa8 && c[2] <= 0xae))) ||
           (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9);
}

/* Also U+0080 to U+009F: to a terminal U+009B is the same as ESC [. */
static bool steers(const unsigned char *c, size_t length)
{
    if (length == 1)
        return *c < 0x20 || *c == 0x7f;
    return (c[0] == 0xc2 && c[1] < 0xa0) || turns_text(c, length);
}

void cli_add_printable(struct strbuf *out, const char *text)
{
    while (*text) {
        size_t length = strbuf_utf8_length(text);

        if (length == 0 || steers((const unsigned char *)text, length))
            strbuf_add_string(out, "?");
        else
            strbuf_add(out, text, length);
        text += length ? length : 1;
    }
}
