#include "archive/helper-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERIFIED_MAX 8

static bool is_format(struct archive *reader, int format)
{
    return (archive_format(reader) & ARCHIVE_FORMAT_BASE_MASK) == format;
}

/* Whether content lies in the file as it is. */
static bool can_be_direct(struct archive *reader)
{
    return archive_filter_code(reader, 0) == ARCHIVE_FILTER_NONE &&
           (is_format(reader, ARCHIVE_FORMAT_TAR) || is_format(reader, ARCHIVE_FORMAT_CPIO) ||
            is_format(reader, ARCHIVE_FORMAT_AR) || is_format(reader, ARCHIVE_FORMAT_ISO9660));
}

/* The reader's position, as one in the file. */
static off_t position(const struct helper *helper, struct archive *reader)
{
    return helper->window.begin + archive_filter_bytes(reader, 0);
}

/* True when the file has these bytes at `at`. */
static bool is_there(off_t at, const char *bytes, size_t length)
{
    char buffer[4096];

    length = length < sizeof(buffer) ? length : sizeof(buffer);
    return pread(WIRE_ARCHIVE_FD, buffer, length, at) == (ssize_t)length &&
           memcmp(buffer, bytes, length) == 0;
}

static void spool(struct helper *helper, struct archive *reader, struct wire_record *record)
{
    int error;

    if (record->size > HELPER_SPOOL_MAX - helper->spool_used)
        helper_fail(E2BIG, NULL);
    error = content_copy(reader, WIRE_SPOOL_FD, (off_t)helper->spool_used, record->size);
    if (error)
        helper_fail(error, archive_error_string(reader));
    record->source = HELPER_SPOOL;
    record->offset = helper->spool_used;
    helper->spool_used += record->size;
}

/*
 * Of the first files the place is compared with what libarchive reads; of those on an ISO 9660 file
 * system always, because it goes to the place only then. Returns the place, -1: it is another.
 */
static off_t verify_place(struct helper *helper, struct archive *reader, uint64_t size)
{
    bool iso = is_format(reader, ARCHIVE_FORMAT_ISO9660);
    off_t at = position(helper, reader);
    const void *bytes;
    size_t length;
    la_int64_t offset;
    int error, r = archive_read_data_block(reader, &bytes, &length, &offset);

    if (r < ARCHIVE_WARN)
        helper_fail(helper_error(reader), archive_error_string(reader));
    if (iso)
        at = position(helper, reader);
    if (r == ARCHIVE_OK && offset == 0 && is_there(at, bytes, length))
        return at;
    helper->is_direct = iso; /* somebody's own idea of the format */
    if (r != ARCHIVE_OK)
        return -1;
    /* What has been read of it now will not come again. */
    error = content_write(WIRE_SPOOL_FD, (off_t)helper->spool_used, size, bytes, length, offset);
    if (error)
        helper_fail(error, NULL);
    return -1;
}

static bool place_directly(struct helper *helper, struct archive *reader,
                           struct wire_record *record)
{
    off_t at = position(helper, reader);

    if (record->size > (uint64_t)helper->window.end ||
        at > helper->window.end - (off_t)record->size)
        helper_fail(ENODATA, NULL);
    if (is_format(reader, ARCHIVE_FORMAT_ISO9660) || helper->verified++ < VERIFIED_MAX)
        at = verify_place(helper, reader, record->size);
    if (at < 0)
        return false;
    record->source = HELPER_DIRECT;
    record->offset = (uint64_t)at;
    return true;
}

static void place_content(struct helper *helper, struct archive *reader,
                          struct archive_entry *entry, struct wire_record *record)
{
    if (helper->is_zip) {
        record->source = HELPER_PACKED;
        record->offset = (uint64_t)(content_find_header(position(helper, reader)) + 1);
        return;
    }
    if (!helper->is_direct || archive_entry_sparse_count(entry) > 0 ||
        !place_directly(helper, reader, record))
        spool(helper, reader, record);
}

static void add_times(struct archive_entry *entry, struct wire_record *record)
{
    long ns = archive_entry_mtime_is_set(entry) ? archive_entry_mtime_nsec(entry) : 0;

    record->mtime = archive_entry_mtime_is_set(entry) ? archive_entry_mtime(entry) : 0;
    record->mtime_ns = ns >= 0 && ns < 1000000000 ? (uint32_t)ns : 0;
}

static uint32_t id_of(la_int64_t id)
{
    return id >= 0 && id < UINT32_MAX ? (uint32_t)id : 65534;
}

static void send_left_out(void)
{
    struct wire_record record = {.kind = WIRE_LEFT_OUT};

    helper_send(&record, "", "");
}

/* A record without its content. False: it cannot be told of. */
static bool describe(struct archive_entry *entry, struct wire_record *record, const char **name,
                     const char **target)
{
    la_int64_t size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0;
    const char *hard = archive_entry_hardlink(entry);

    *name = archive_entry_pathname(entry);
    *target = hard ? hard : archive_entry_symlink(entry);
    if (*target == NULL)
        *target = "";
    if (*name == NULL || strlen(*name) > WIRE_NAME_MAX || strlen(*target) > WIRE_NAME_MAX ||
        size < 0)
        return false;
    record->kind = WIRE_ENTRY;
    record->mode = hard ? 0 : archive_entry_filetype(entry) | (archive_entry_perm(entry) & 07777);
    if (!hard && !(record->mode & S_IFMT))
        record->mode |= S_IFREG; /* a zip archive from elsewhere says nothing about it */
    record->uid = id_of(archive_entry_uid(entry));
    record->gid = id_of(archive_entry_gid(entry));
    record->size = hard || S_ISREG(record->mode) ? (uint64_t)size : 0;
    add_times(entry, record);
    return true;
}

static void index_entry(struct helper *helper, struct archive *reader, struct archive_entry *entry)
{
    struct wire_record record = {.ordinal = helper->ordinal};
    const char *name, *target;

    if (archive_entry_is_encrypted(entry))
        helper_fail(ENOKEY, NULL);
    if (helper->ordinal++ == HELPER_ENTRIES_MAX)
        helper_fail(E2BIG, NULL);
    if (!describe(entry, &record, &name, &target)) {
        send_left_out();
        return;
    }
    if (record.size)
        place_content(helper, reader, entry, &record);
    helper_send(&record, name, target);
}

/* A Debian package is an ar archive, in which an archive of the files is one member. */
static bool enter_package(struct helper *helper, struct archive *reader,
                          struct archive_entry *entry)
{
    off_t at = position(helper, reader);

    if (!is_format(reader, ARCHIVE_FORMAT_AR) ||
        strncmp(archive_entry_pathname(entry), "data.tar", 8))
        return false;
    if (archive_entry_size(entry) > helper->window.end - at)
        helper_fail(ENODATA, NULL);
    helper->window.begin = at;
    helper->window.end = at + archive_entry_size(entry);
    return true;
}

static bool is_package(struct archive *reader, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);

    return is_format(reader, ARCHIVE_FORMAT_AR) && name && strcmp(name, "debian-binary") == 0;
}

static void check_header(struct archive *reader, int r)
{
    if (r < ARCHIVE_WARN)
        helper_fail(helper_error(reader), archive_error_string(reader));
}

/* Returns false when the window is another one now, to be read from its beginning. */
static bool index_all(struct helper *helper, struct archive *reader)
{
    struct archive_entry *entry;
    bool package = false;
    int r;

    while ((r = archive_read_next_header(reader, &entry)) != ARCHIVE_EOF) {
        if (r == ARCHIVE_RETRY)
            continue;
        check_header(reader, r);
        if (helper->ordinal == 0) {
            helper->is_zip = is_format(reader, ARCHIVE_FORMAT_ZIP);
            helper->is_direct = can_be_direct(reader);
            package = package || is_package(reader, entry);
        }
        if (package && archive_entry_pathname(entry) && enter_package(helper, reader, entry))
            return false;
        if (!package)
            index_entry(helper, reader, entry);
    }
    if (package)
        helper_fail(ENODATA, "a Debian package without data");
    return true;
}

/* A zip archive has its directory at the end. */
static void check_first_bytes(const struct helper *helper, int error)
{
    char bytes[4];

    if (error == ENOEXEC && pread(WIRE_ARCHIVE_FD, bytes, 4, helper->window.begin) == 4 &&
        memcmp(bytes, "PK\3\4", 4) == 0)
        helper_fail(ENODATA, "the directory at the end of the zip archive is missing");
}

void helper_index(struct helper *helper)
{
    struct wire_record record = {.kind = WIRE_END};
    int error = 0;
    bool complete;

    do {
        struct archive *reader = window_open(&helper->window, false, &error);

        if (reader == NULL) {
            check_first_bytes(helper, error);
            helper_fail(error, NULL);
        }
        complete = index_all(helper, reader);
        archive_read_free(reader);
    } while (!complete);
    record.size = helper->is_zip;
    helper_send(&record, "", "");
}
