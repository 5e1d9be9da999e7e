/* The trace of an attached process, on the standard error stream. */
#pragma once

#include <stdint.h>

#include "attach/attach.h"

struct attach_trace {
    uint32_t families; /* bit per enum abi_family; 0: all */
};

/* Before attaching: from here on Ctrl-C detaches instead of ending this program. */
void attach_trace_prepare(void);

/* Prints, and answers, until the target ends, somebody detaches it, or a signal asks for that. */
void attach_trace_run(const struct attach_trace *trace, const struct channel_rules *rules,
                      const struct attachment *attachment);
