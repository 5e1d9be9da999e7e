/*
 * net/ of a process. With the host's network the tables are those that the process has there;
 * without network they are empty, like those of a fresh network namespace.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vfs/proc-internal.h"

static int host_table(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_open(access->fs, access->node, &task);

    if (r < 0)
        return r;
    return proc_task_text(&task, strchr(access->entry->path, '/') + 1, ret_text);
}

static bool has_network(const struct pseudo_access *access)
{
    return pseudo_kernel(access)->config.net == PK_NET_HOST;
}

static size_t length_of_lines(const char *text, int lines)
{
    const char *p = text;

    for (; lines > 0 && *p; lines--) {
        p += strcspn(p, "\n");
        p += *p == '\n';
    }
    return (size_t)(p - text);
}

/* `data` says how many lines of heading remain in an empty table. */
int proc_net_table(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_strbuf struct strbuf host = {0};
    int r = host_table(access, &host);

    if (r < 0)
        return r;
    if (has_network(access))
        strbuf_add(ret_text, strbuf_text(&host), host.length);
    else
        strbuf_add(ret_text, strbuf_text(&host),
                   length_of_lines(strbuf_text(&host), access->entry->data[0] - '0'));
    return strbuf_status(ret_text);
}

int proc_net_dev(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_strbuf struct strbuf host = {0};
    int r = host_table(access, &host);

    if (r < 0)
        return r;
    if (has_network(access)) {
        strbuf_add(ret_text, strbuf_text(&host), host.length);
        return strbuf_status(ret_text);
    }
    strbuf_add(ret_text, strbuf_text(&host), length_of_lines(strbuf_text(&host), 2));
    strbuf_add_string(ret_text, "    lo:       0       0    0    0    0     0          0         0"
                                "        0       0    0    0    0     0       0          0\n");
    return strbuf_status(ret_text);
}

/* "Num RefCount Protocol Flags Type St Inode Path": paths are the host's, seven fields in. */
static void add_unix_line(struct vfs *vfs, const char *line, struct strbuf *text)
{
    const char *path = line;
    char guest[PATH_MAX];

    for (int field = 0; field < 7 && *path; field++) {
        path += strspn(path, " ");
        path += strcspn(path, " ");
    }
    if (path[0] != ' ' || path[1] != '/')
        strbuf_addf(text, "%s\n", line);
    else if (vfs_guest_path(vfs, path + 1, guest, sizeof(guest)))
        strbuf_addf(text, "%.*s %s\n", (int)(path - line), line, guest);
    else
        strbuf_addf(text, "%.*s\n", (int)(path - line), line);
}

int proc_net_unix(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_strbuf struct strbuf host = {0};
    char *rest, *line;
    int r = host_table(access, &host);

    if (r < 0)
        return r;
    rest = host.data;
    for (int number = 0; (line = strsep(&rest, "\n")) && *line; number++) {
        if (number == 0)
            strbuf_addf(ret_text, "%s\n", line);
        else if (has_network(access))
            add_unix_line(access->fs->fs.vfs, line, ret_text);
    }
    return strbuf_status(ret_text);
}
