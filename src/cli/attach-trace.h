/* The trace of an attached process, on the standard error stream. */
#pragma once

#include "attach/attach.h"
#include "trace/trace.h"

/* Before attaching: from here on Ctrl-C detaches instead of ending this program. */
void attach_trace_prepare(void);

/*
 * Prints, and answers, until the target ends, somebody detaches it, or a signal asks for that.
 * Where its lines go is not the options' to say.
 */
void attach_trace_run(const struct trace_options *trace, const struct channel_rules *rules,
                      const struct attachment *attachment);
