#include "linux/script.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* First byte in [from, last] that is not blank; NULL when there is none. */
static const char *skip_blanks(const char *from, const char *last)
{
    for (; from <= last; from++)
        if (!is_blank(*from))
            return from;
    return NULL;
}

/* First blank or NUL in [from, last]; NULL when there is none. */
static const char *find_terminator(const char *from, const char *last)
{
    for (; from <= last; from++)
        if (is_blank(*from) || *from == '\0')
            return from;
    return NULL;
}

/*
 * Finds the end of the first line. Without a newline the line ends with the buffer, but then the
 * interpreter's name must end before it: a name cut off could be that of another file.
 */
static const char *find_end(const char *buffer)
{
    const char *last = buffer + SCRIPT_BUFFER_SIZE - 1;
    const char *start;
    size_t length = strnlen(buffer, SCRIPT_BUFFER_SIZE);
    const char *newline = memchr(buffer, '\n', length);

    if (newline)
        return newline;
    start = skip_blanks(buffer + 2, last);
    if (start == NULL || find_terminator(start, last) == NULL)
        return NULL;
    return last;
}

/* Copies a text that ends before `end` or at a NUL. */
static void copy_text(char to[SCRIPT_BUFFER_SIZE], const char *from, const char *end)
{
    size_t length = strnlen(from, (size_t)(end - from));

    memcpy(to, from, length);
    to[length] = '\0';
}

int script_parse(const char buffer[SCRIPT_BUFFER_SIZE], struct script_line *ret_line)
{
    const char *end, *name, *separator, *argument = NULL;

    if (buffer[0] != '#' || buffer[1] != '!')
        return -ENOEXEC;
    end = find_end(buffer);
    if (end == NULL)
        return -ENOEXEC;
    while (is_blank(end[-1]))
        end--;
    name = skip_blanks(buffer + 2, end);
    if (name == NULL || name == end)
        return -ENOEXEC;
    separator = find_terminator(name, end);
    if (separator && *separator != '\0')
        argument = skip_blanks(separator, end);
    if (argument == end)
        argument = NULL;
    copy_text(ret_line->interpreter, name, argument ? separator : end);
    ret_line->has_argument = argument != NULL;
    if (argument)
        copy_text(ret_line->argument, argument, end);
    return 0;
}
