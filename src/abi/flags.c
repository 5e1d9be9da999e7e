/* Argument values as text. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "abi/flags-internal.h"
#include "abi/syscalls.h"

#define AT_FDCWD_VALUE    (-100)
#define CLONE_SIGNAL_MASK UINT64_C(0xff)

/* A growing text with a fixed room: len counts on after the room is full. */
struct text {
    char *out;
    size_t size;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    char piece[64]; /* longer than any name and any number */
    va_list list;
    size_t length, room;

    va_start(list, format);
    (void)vsnprintf(piece, sizeof(piece), format, list);
    va_end(list);

    length = strlen(piece);
    if (text->len + 1 < text->size) {
        room = text->size - text->len - 1;
        memcpy(text->out + text->len, piece, length < room ? length : room);
    }
    text->len += length;
}

static size_t finish(struct text *text)
{
    if (text->size > 0)
        text->out[text->len < text->size ? text->len : text->size - 1] = '\0';
    return text->len;
}

/* Adds a name, with a bar if it is not the first one. */
static void add_name(struct text *text, const char *name)
{
    add(text, "%s%s", text->len > 0 ? "|" : "", name);
}

static void add_rest(struct text *text, uint64_t rest)
{
    if (rest != 0)
        add(text, "%s0x%" PRIx64, text->len > 0 ? "|" : "", rest);
}

static const char *name_of(const struct abi_value_name *names, size_t count, uint64_t value)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i].value == value)
            return names[i].name;
    }
    return NULL;
}

/* Writes the names of all bits and returns those that have none. */
static uint64_t add_bits(struct text *text, const struct abi_flag_kind *kind, uint64_t value)
{
    for (size_t i = 0; i < kind->nbits; i++) {
        uint64_t bits = kind->bits[i].value;

        if (bits != 0 && (value & bits) == bits) {
            add_name(text, kind->bits[i].name);
            value &= ~bits;
        }
    }
    return value;
}

/* Unknown values of an enumeration are numbers, not bits. */
static void add_enum(struct text *text, const struct abi_flag_kind *kind, uint32_t value)
{
    const char *name = name_of(kind->fields, kind->nfields, value);

    if (name != NULL)
        add_name(text, name);
    else
        add(text, "%" PRId32, (int32_t)value);
}

static void add_flags(struct text *text, const struct abi_flag_kind *kind, uint64_t value)
{
    uint64_t rest = value & ~kind->field_mask;
    const char *name = NULL;

    if (kind->nfields > 0)
        name = name_of(kind->fields, kind->nfields, value & kind->field_mask);
    if (name != NULL)
        add_name(text, name);
    else
        rest = value;

    rest = add_bits(text, kind, rest);
    if (text->len == 0 && rest == 0)
        add_name(text, kind->zero != NULL ? kind->zero : "0");
    add_rest(text, rest);
}

static void add_signal(struct text *text, int signum)
{
    const char *name = abi_signal_name(signum);

    if (name != NULL)
        add_name(text, name);
    else
        add(text, "%d", signum);
}

/* The exit signal sits in the low byte; none is usual for threads and is not shown. */
static void add_clone_flags(struct text *text, uint64_t value)
{
    int signum = (int)(value & CLONE_SIGNAL_MASK);
    uint64_t flags = value & UINT32_MAX & ~CLONE_SIGNAL_MASK;
    uint64_t rest = add_bits(text, abi_flag_kind(ABI_ARG_CLONE_FLAGS), flags);

    add_rest(text, rest);
    if (abi_signal_name(signum) != NULL)
        add_name(text, abi_signal_name(signum));
    else if (signum != 0 || text->len == 0)
        add(text, "%s%d", text->len > 0 ? "|" : "", signum);
}

/* A request without a name is taken apart: direction, type, number, size of the argument. */
static void add_ioctl(struct text *text, uint32_t request)
{
    static const char *const directions[] = {"_IOC_NONE", "_IOC_WRITE", "_IOC_READ",
                                             "_IOC_READ|_IOC_WRITE"};
    const struct abi_flag_kind *kind = abi_flag_kind(ABI_ARG_IOCTL_CMD);
    const char *name = name_of(kind->fields, kind->nfields, request);

    if (name != NULL) {
        add_name(text, name);
        return;
    }
    add(text, "_IOC(%s, 0x%x, ", directions[request >> 30], (request >> 8) & 0xff);
    add(text, "0x%x, 0x%x)", request & 0xff, (request >> 16) & 0x3fff);
}

/* A queue's or segment's flags have its permission bits among them. */
static void add_ipc_flags(struct text *text, uint32_t value)
{
    uint64_t rest = add_bits(text, abi_flag_kind(ABI_ARG_IPC_FLAGS), value);

    if (rest != 0 || text->len == 0)
        add(text, "%s%#03" PRIo32, text->len > 0 ? "|" : "", (uint32_t)rest);
}

/* The S_IFMT bits have a name; of the others set-id and sticky do. */
static void add_file_mode(struct text *text, uint32_t mode)
{
    static const struct abi_value_name types[] = {
        {0140000, "S_IFSOCK"}, {0120000, "S_IFLNK"}, {0100000, "S_IFREG"}, {0060000, "S_IFBLK"},
        {0040000, "S_IFDIR"},  {0020000, "S_IFCHR"}, {0010000, "S_IFIFO"},
    };
    const char *type = name_of(types, sizeof(types) / sizeof(types[0]), mode & 0170000);

    add(text, "%s%s", type ? type : "", type ? "|" : "");
    if (type)
        mode &= ~0170000u;
    add(text, "%s%s%s", mode & 04000 ? "S_ISUID|" : "", mode & 02000 ? "S_ISGID|" : "",
        mode & 01000 ? "S_ISVTX|" : "");
    add(text, "%#03" PRIo32, mode & ~07000u & 0xffff);
}

/* glibc's makedev() layout, which is the kernel's new_encode_dev() for 32 bit numbers. */
static void add_dev(struct text *text, uint64_t dev)
{
    uint64_t major = (dev >> 8) & 0xfff;
    uint64_t minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);

    add(text, "makedev(%#" PRIx64 ", %#" PRIx64 ")", major, minor);
}

/* Writes kinds that are plain numbers; returns false if the kind is not one. */
static bool add_number(struct text *text, enum abi_arg_kind kind, uint64_t value)
{
    switch (kind) {
    case ABI_ARG_INT:
    case ABI_ARG_PID:
    case ABI_ARG_FD:
        add(text, "%" PRId32, (int32_t)value);
        return true;
    case ABI_ARG_UID:
    case ABI_ARG_GID: /* -1 means "leave it", and reads better than 4294967295 */
        add(text, (uint32_t)value == UINT32_MAX ? "-%u" : "%u",
            (uint32_t)value == UINT32_MAX ? 1u : (uint32_t)value);
        return true;
    case ABI_ARG_UINT:
        add(text, "%" PRIu32, (uint32_t)value);
        return true;
    case ABI_ARG_SIZE:
        add(text, "%" PRIu64, value);
        return true;
    case ABI_ARG_OFF:
        add(text, "%" PRId64, (int64_t)value);
        return true;
    case ABI_ARG_MODE:
        add(text, "%#03" PRIo32, (uint32_t)(value & 0xffff));
        return true;
    case ABI_ARG_HEX:
        add(text, value != 0 ? "0x%" PRIx64 : "%" PRIx64, value);
        return true;
    case ABI_ARG_DEV:
        add_dev(text, value & UINT32_MAX);
        return true;
    default:
        return false;
    }
}

/* Writes named kinds with a form of their own; returns false if the kind is not one. */
static bool add_special(struct text *text, enum abi_arg_kind kind, uint64_t value)
{
    switch (kind) {
    case ABI_ARG_DIRFD:
        if ((int32_t)value == AT_FDCWD_VALUE)
            add(text, "AT_FDCWD");
        else
            add(text, "%" PRId32, (int32_t)value);
        return true;
    case ABI_ARG_SIGNAL:
        add_signal(text, (int32_t)value);
        return true;
    case ABI_ARG_CLONE_FLAGS:
        add_clone_flags(text, value);
        return true;
    case ABI_ARG_IOCTL_CMD:
        add_ioctl(text, (uint32_t)value);
        return true;
    case ABI_ARG_IPC_FLAGS:
        add_ipc_flags(text, (uint32_t)value);
        return true;
    case ABI_ARG_IPC_KEY:
        add(text, value & UINT32_MAX ? "0x%" PRIx32 : "IPC_PRIVATE", (uint32_t)value);
        return true;
    case ABI_ARG_FILE_MODE:
        add_file_mode(text, (uint32_t)value);
        return true;
    case ABI_ARG_NONE:
        return true;
    default:
        return false;
    }
}

size_t abi_format_flags(enum abi_arg_kind kind, uint64_t value, char *out, size_t size)
{
    struct text text = {.out = out, .size = size, .len = 0};
    const struct abi_flag_kind *names = abi_flag_kind(kind);

    if (add_number(&text, kind, value) || add_special(&text, kind, value))
        return finish(&text);
    if (names != NULL && names->field_mask == ABI_ENUM_MASK)
        add_enum(&text, names, (uint32_t)value);
    else if (names != NULL)
        add_flags(&text, names, value & UINT32_MAX);
    else if (value == 0)
        add(&text, "NULL");
    else
        add(&text, "0x%" PRIx64, value);
    return finish(&text);
}
