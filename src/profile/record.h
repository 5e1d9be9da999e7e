/*
 * Recording what a program does (`cerebro learn`), and the smallest profile under which it can do
 * that again. Used on one thread.
 */
#pragma once

#include "base/strbuf.h"
#include "core/kernel.h"
#include "profile/profile.h"

/* At most so many names are kept; what comes later is counted. */
#define RECORD_NAMES_MAX 100000

struct profile_recorder;

/* Returns NULL when memory is short. */
struct profile_recorder *profile_recorder_new(void);
void profile_recorder_free(struct profile_recorder *recorder); /* NULL is allowed */

/* The observer to hand to the kernel; valid as long as the recorder is. */
const struct pk_observer *profile_recorder_observer(struct profile_recorder *recorder);

/* Something was refused: it becomes a comment. */
void profile_recorder_denied(struct profile_recorder *recorder, const char *what, const char *rule);

/*
 * Adds the paths of the recorded run to `profile`, generalised: /usr as a whole, directories of
 * which many files were read, an empty directory where files were made that are nobody's business.
 * Never the whole of the home directory or of a directory such as /etc. What is there is asked of
 * the host. Returns 0 or a negative errno.
 */
int profile_generalise(const struct profile_recorder *recorder, const struct profile_places *places,
                       struct profile *profile);

/*
 * Appends the profile as YAML. `recorder` (NULL: none) adds comments: what was denied, the
 * addresses that were used. `title` is the first comment.
 */
void profile_write(const struct profile *profile, const struct profile_recorder *recorder,
                   const struct profile_places *places, const char *title, struct strbuf *ret_text);
