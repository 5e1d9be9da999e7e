#include "archive/helper-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static la_ssize_t on_read(struct archive *reader, void *data, const void **ret_bytes)
{
    struct window *window = data;
    size_t wanted = sizeof(window->buffer);
    ssize_t got;

    if ((off_t)wanted > window->end - window->at)
        wanted = (size_t)(window->end - window->at);
    got = pread(WIRE_ARCHIVE_FD, window->buffer, wanted, window->at);
    if (got < 0) {
        archive_set_error(reader, errno, "cannot read the file");
        return ARCHIVE_FATAL;
    }
    window->at += got;
    *ret_bytes = window->buffer;
    return got;
}

/* Not beyond the end: that would hide that the archive is truncated. */
static la_int64_t on_skip(struct archive *reader, void *data, la_int64_t request)
{
    struct window *window = data;

    (void)reader;
    if (request > window->end - window->at)
        request = window->end - window->at;
    window->at += request;
    return request;
}

static la_int64_t on_seek(struct archive *reader, void *data, la_int64_t offset, int whence)
{
    struct window *window = data;
    off_t from = whence == SEEK_SET ? window->begin : whence == SEEK_END ? window->end : window->at;

    if (offset > window->end - from || offset < window->begin - from) {
        archive_set_error(reader, EINVAL, "it refers to what is not in the file");
        return ARCHIVE_FATAL;
    }
    window->at = from + offset;
    return window->at - window->begin;
}

static void support(struct archive *reader, bool zip_stream)
{
    if (zip_stream) {
        archive_read_support_format_zip_streamable(reader);
        return;
    }
    archive_read_support_filter_all(reader);
    archive_read_support_format_tar(reader);
    archive_read_support_format_zip_seekable(reader);
    archive_read_support_format_7zip(reader);
    archive_read_support_format_cpio(reader);
    archive_read_support_format_iso9660(reader);
    archive_read_support_format_ar(reader);
}

struct archive *window_open(struct window *window, bool zip_stream, int *ret_error)
{
    struct archive *reader = archive_read_new();

    if (reader == NULL) {
        *ret_error = ENOMEM;
        return NULL;
    }
    support(reader, zip_stream);
    window->at = window->begin;
    archive_read_set_callback_data(reader, window);
    archive_read_set_read_callback(reader, on_read);
    archive_read_set_skip_callback(reader, on_skip);
    archive_read_set_seek_callback(reader, on_seek);
    if (archive_read_open1(reader) == ARCHIVE_OK)
        return reader;
    *ret_error = helper_error(reader);
    archive_read_free(reader);
    return NULL;
}

int helper_error(struct archive *reader)
{
    const char *text = archive_error_string(reader);

    /* Asked too early, libarchive dies of the question. */
    if (archive_format(reader) != 0 && archive_read_has_encrypted_entries(reader) == 1)
        return ENOKEY;
    if (text == NULL)
        return EBADMSG;
    if (strstr(text, "Unrecognized archive format"))
        return ENOEXEC;
    if (strcasestr(text, "truncated") || strcasestr(text, "premature") ||
        strstr(text, "No progress is possible") || strstr(text, "end of file"))
        return ENODATA;
    if (archive_errno(reader) == ENOMEM)
        return ENOMEM;
    if (strcasestr(text, "encrypt"))
        return ENOKEY;
    if (strcasestr(text, "unsupported") || strcasestr(text, "external program"))
        return EOPNOTSUPP;
    return EBADMSG;
}
