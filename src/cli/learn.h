/* `cerebro learn`: the part that runs in the supervisor. */
#pragma once

#include "cli/run-options.h"

/* Writes the profile of the recorded run to options->learned_fd. */
void learn_write(const struct run_options *options);
