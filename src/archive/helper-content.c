#include "archive/helper-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A local header of a zip archive: APPNOTE.TXT 4.3.7. */
#define ZIP_HEADER_SIZE 30
#define ZIP_NAMES_MAX   (2 * 65535) /* name and extra field */

int content_write(int fd, off_t base, uint64_t size, const char *bytes, size_t length, off_t at)
{
    if (at < 0 || (uint64_t)at > size || length > size - (uint64_t)at)
        return EBADMSG;
    at += base;
    while (length) {
        ssize_t done = pwrite(fd, bytes, length, at);

        if (done < 0 && errno != EINTR)
            return errno;
        if (done > 0) {
            bytes += done;
            at += done;
            length -= (size_t)done;
        }
    }
    return 0;
}

int content_copy(struct archive *reader, int fd, off_t base, uint64_t size)
{
    const void *bytes;
    la_int64_t at;
    size_t length;
    int r, error;

    while ((r = archive_read_data_block(reader, &bytes, &length, &at)) == ARCHIVE_OK) {
        error = content_write(fd, base, size, bytes, length, at);
        if (error)
            return error;
    }
    if (r != ARCHIVE_EOF)
        return helper_error(reader);
    return 0;
}

off_t content_find_header(off_t data)
{
    static unsigned char bytes[ZIP_HEADER_SIZE + ZIP_NAMES_MAX];
    off_t from = data > (off_t)sizeof(bytes) ? data - (off_t)sizeof(bytes) : 0;
    ssize_t length = pread(WIRE_ARCHIVE_FD, bytes, (size_t)(data - from), from);

    /* Most names are short, so it is near. */
    for (ssize_t i = length - ZIP_HEADER_SIZE; i >= 0 && length == data - from; i--) {
        const unsigned char *header = bytes + i;
        int names = header[26] + 256 * header[27] + header[28] + 256 * header[29];

        if (memcmp(header, "PK\3\4", 4) == 0 && i + ZIP_HEADER_SIZE + names == length)
            return from + i;
    }
    return -1;
}

/* At once where the member is said to be. */
static int read_there(const struct wire_request *request, off_t end, int fd)
{
    static struct window window;
    struct archive_entry *entry;
    struct archive *reader;
    int error;

    if (request->offset == 0 || (off_t)request->offset >= end)
        return ESPIPE;
    window.begin = (off_t)request->offset - 1; /* 0 stands for "not known" */
    window.end = end;
    reader = window_open(&window, true, &error);
    if (reader == NULL)
        return error;
    if (archive_read_next_header(reader, &entry) >= ARCHIVE_WARN)
        error = content_copy(reader, fd, 0, request->size);
    else
        error = helper_error(reader);
    archive_read_free(reader);
    return error;
}

/* By going through all members before it. */
static int read_in_turn(struct helper *helper, const struct wire_request *request, int fd)
{
    struct archive_entry *entry;
    int error = 0, r = ARCHIVE_OK;
    struct archive *reader = window_open(&helper->window, false, &error);

    if (reader == NULL)
        return error;
    for (uint32_t i = 0; i <= request->ordinal && r >= ARCHIVE_WARN && r != ARCHIVE_EOF; i++)
        r = archive_read_next_header(reader, &entry);
    if (r < ARCHIVE_WARN || r == ARCHIVE_EOF)
        error = EBADMSG;
    else
        error = content_copy(reader, fd, 0, request->size);
    archive_read_free(reader);
    return error;
}

int content_of_member(struct helper *helper, const struct wire_request *request, int fd)
{
    int error = read_there(request, helper->file_size, fd);

    /* A member without its size in front of it, for example, can only be read with the directory.
     */
    return error ? read_in_turn(helper, request, fd) : 0;
}
