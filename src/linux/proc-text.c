/* Files below /proc whose content only the personality knows (pk_personality.proc_text). */
#include <string.h>

#include "linux/linux-internal.h"

int linux_proc_text(struct pk_request *request, const char *path, struct strbuf *ret_text)
{
    if (strcmp(path, "keys") == 0)
        return linux_proc_keys(request, false, ret_text);
    if (strcmp(path, "key-users") == 0)
        return linux_proc_keys(request, true, ret_text);
    return linux_proc_ipc(request, path, ret_text);
}
