/* Which known word somebody may have meant. */
#include <stdio.h>
#include <string.h>

#include "profile/profile-internal.h"

#define WORD_MAX 32

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Levenshtein's distance, two rows at a time. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t width = strlen(b);

    if (strlen(a) > WORD_MAX || width > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t above = row[j];

            row[j] = smallest(above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
            corner = above;
        }
    }
    return row[width];
}

static const char *nearest(const char *word, const char *const *known)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2; /* more letters may be wrong in a longer word */

    for (; *known; known++) {
        size_t far = distance(word, *known);

        if (far < least) {
            least = far;
            best = *known;
        }
    }
    return best;
}

char *suggest(const char *word, const char *const *known, char *hint, size_t size)
{
    const char *near = nearest(word, known);
    size_t used;

    if (near) {
        snprintf(hint, size, "did you mean '%s'?", near);
        return hint;
    }
    used = (size_t)snprintf(hint, size, "known are");
    for (size_t i = 0; known[i] && used < size; i++)
        used += (size_t)snprintf(hint + used, size - used, "%s %s", i ? "," : "", known[i]);
    return hint;
}
