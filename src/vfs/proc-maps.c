/* maps, smaps: host paths become guest paths, the loader gets a name. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "core/exec.h"
#include "vfs/proc-internal.h"
#include "vfs/vfs-internal.h" /* the identities of memory files */

#define DELETED " (deleted)"

/* The host writes line feeds as \012; nothing else is escaped. */
void proc_maps_unescape(char *path)
{
    char *out = path;

    for (const char *p = path; *p;) {
        if (strncmp(p, "\\012", 4) == 0) {
            *out++ = '\n';
            p += 4;
        } else {
            *out++ = *p++;
        }
    }
    *out = '\0';
}

static void add_escaped(struct strbuf *text, const char *path)
{
    for (; *path; path++) {
        if (*path == '\n')
            strbuf_add_string(text, "\\012");
        else
            strbuf_add(text, path, 1);
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Objects that the host's kernel names with a slash though they are no files of any directory. */
static bool is_made_up(const char *path)
{
    static const char *const prefixes[] = {"/memfd:", "/dev/zero (deleted)", "/SYSV",
                                           "/anon_hugepage", "/[aio]"};

    for (size_t i = 0; i < array_length(prefixes); i++)
        if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* A file of the memory file system is a memfd on the host: the guest is to see the file's path. */
static bool add_memory_file(struct vfs *vfs, const char *line, struct strbuf *text)
{
    const struct vfs_identity *identity;
    unsigned major_number, minor_number;
    unsigned long long inode;

    if (sscanf(line, "%*s %*s %*s %x:%x %llu", &major_number, &minor_number, &inode) != 3)
        return false;
    identity = map_get2(&vfs->identities, makedev(major_number, minor_number), inode);
    if (identity == NULL || identity->place == NULL)
        return false;
    add_escaped(text, vfs_place_path(identity->place));
    if (vfs_place_is_deleted(identity->place))
        strbuf_add_string(text, DELETED);
    return true;
}

static void add_path(struct vfs *vfs, const char *line, char *path, struct strbuf *text)
{
    bool deleted = ends_with(path, DELETED);
    char guest[PATH_MAX];

    if (strncmp(path, "/memfd:", 7) == 0 && add_memory_file(vfs, line, text))
        return;
    if (path[0] != '/' || is_made_up(path)) {
        strbuf_add_string(text, path);
        return;
    }
    if (deleted)
        path[strlen(path) - strlen(DELETED)] = '\0';
    proc_maps_unescape(path);
    if (vfs_guest_path(vfs, path, guest, sizeof(guest)))
        add_escaped(text, guest);
    else
        strbuf_add_string(text, "/(outside)");
    if (deleted)
        strbuf_add_string(text, DELETED);
}

/*
 * One mapping: "start-end perms offset major:minor inode   path". The path starts in column 73 on
 * 64-bit hosts, or later when addresses are long; it may be missing.
 */
static void rewrite_mapping(struct vfs *vfs, char *line, struct strbuf *text)
{
    uint64_t start = strtoull(line, NULL, 16);
    char *field = line, *path;
    int width;

    for (int i = 0; i < 5 && field; i++) {
        field = strchr(field, ' ');
        field = field ? field + strspn(field, " ") : NULL;
    }
    path = field && *field ? field : NULL;
    if (start < PK_EXEC_LOWEST_ADDRESS) {
        char end[32] = "", permissions[8] = "";

        sscanf(line, "%*[^-]-%31s %7s", end, permissions);
        width = snprintf(NULL, 0, "%08llx-%s %s 00000000 00:00 0", (unsigned long long)start, end,
                         permissions);
        strbuf_addf(text, "%08llx-%s %s 00000000 00:00 0%*s[cerebro]\n", (unsigned long long)start,
                    end, permissions, width < 72 ? 73 - width : 1, "");
        return;
    }
    if (path == NULL) {
        strbuf_addf(text, "%s\n", line);
        return;
    }
    strbuf_add(text, line, (size_t)(path - line));
    add_path(vfs, line, path, text);
    strbuf_add(text, "\n", 1);
}

/* Attribute lines of smaps start with a capital letter, mappings with a hexadecimal digit. */
static bool is_mapping(const char *line)
{
    size_t digits = strspn(line, "0123456789abcdef");

    return digits > 0 && line[digits] == '-';
}

int proc_rewrite_maps(struct vfs *vfs, const char *host_text, struct strbuf *ret_text)
{
    cleanup_free char *copy = strdup(host_text);
    char *rest = copy, *line;

    if (copy == NULL)
        return -ENOMEM;
    while ((line = strsep(&rest, "\n")) && *line) {
        if (is_mapping(line))
            rewrite_mapping(vfs, line, ret_text);
        else
            strbuf_addf(ret_text, "%s\n", line);
    }
    return strbuf_status(ret_text);
}

static int rewritten(const struct pseudo_access *access, const char *name, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_strbuf struct strbuf host = {0};
    int r = proc_task_open(access->fs, access->node, &task);

    if (r >= 0)
        r = proc_task_text(&task, name, &host);
    if (r < 0)
        return r;
    return proc_rewrite_maps(access->fs->fs.vfs, strbuf_text(&host), ret_text);
}

int proc_maps(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return rewritten(access, "maps", ret_text);
}

int proc_smaps(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return rewritten(access, "smaps", ret_text);
}
