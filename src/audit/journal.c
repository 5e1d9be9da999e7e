#include "audit/journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Of syslog(3). */
#define PRIORITY_WARNING 4
#define PRIORITY_NOTICE  5
#define PRIORITY_INFO    6

bool journal_is_there(const char *path)
{
    struct stat stat;

    return lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode);
}

int journal_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
        sizeof(address.sun_path))
        return -ENAMETOOLONG;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return take_fd(&fd);
}

static int priority_of(const char *event)
{
    if (strcmp(event, "denied") == 0 || strcmp(event, "lost") == 0)
        return PRIORITY_WARNING;
    return strcmp(event, "exec") == 0 ? PRIORITY_INFO : PRIORITY_NOTICE;
}

void journal_encode(const struct pk_audit_record *record, const char *json, struct strbuf *out)
{
    strbuf_addf(out,
                "PRIORITY=%d\nSYSLOG_IDENTIFIER=" JOURNAL_IDENTIFIER
                "\nCEREBRO_EVENT=%s\nCEREBRO_KERNEL=%d\nCEREBRO_PID=%d\nMESSAGE=%s\n\n",
                priority_of(record->event), record->event, getpid(), record->pid, json);
}

ssize_t journal_send(int fd, const char *bytes, size_t length)
{
    const char *end = memmem(bytes, length, "\n\n", 2);
    ssize_t n;

    if (end == NULL)
        return -EINVAL;
    do
        n = send(fd, bytes, (size_t)(end + 1 - bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : end + 2 - bytes;
}
