/* What the walk tells an observer of names (struct pk_observer). */
#include "vfs/vfs-internal.h"

void walker_saw(const struct walker *walker, enum pk_seen how)
{
    if (walker->vfs->kernel->observer && walker->mount && !walker->deleted)
        pk_saw(walker->vfs->kernel, walker->path.length ? walker->path.text : "/", how);
}

void walker_saw_link(const struct walker *walker, size_t end)
{
    cleanup_strbuf struct strbuf named = {0};

    if (walker->vfs->kernel->observer == NULL || walker->mount == NULL || walker->deleted)
        return;
    strbuf_add(&named, walker->path.text, end);
    strbuf_add_string(&named, walker->path.text + end);
    if (walker->rest[0] && walker->rest[0] != '/')
        strbuf_add_string(&named, "/");
    strbuf_add_string(&named, walker->rest);
    if (strbuf_status(&named) == 0)
        pk_saw(walker->vfs->kernel, strbuf_text(&named), PK_SEEN_LINK);
}
