/*
 * What the attack programs share. Each attempt is printed with its answer; a case fails as soon as
 * one succeeds. They are for running under Cerebro only: natively some attempts do succeed.
 *
 * Environment, set by tests/e2e/test_attack.py:
 *   GUEST_SECRET       host file outside the view; its content has the word SECRET in its first
 * line or two GUEST_OUTSIDE      host directory outside the view, or beneath a throw-away layer
 *   GUEST_OUTSIDE_PID  a host process of the same user
 */
#pragma once

#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The call must be refused; whatever the errno, it is printed. */
#define DENIED(call) attack_denied(__FILE__, __LINE__, #call, (long)(call))

static inline const char *attack_env(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL)
        guest_skip("only through tests/e2e/test_attack.py");
    return value;
}

static inline void attack_tried(const char *what, const char *answer)
{
    dprintf(STDOUT_FILENO, "  tried %s: %s\n", what, answer);
}

static inline void attack_denied(const char *file, int line, const char *what, long result)
{
    if (result >= 0)
        guest_fail(file, line, "ESCAPED: %s gave %ld", what, result);
    attack_tried(what, strerrorname_np(errno));
}

/* Reads from a descriptor that an attempt may have got; the secret must not come out. */
static inline void attack_look(const char *what, int fd)
{
    char text[64] = "";

    if (fd < 0) {
        attack_tried(what, strerrorname_np(errno));
        return;
    }
    if (read(fd, text, sizeof(text) - 1) > 0 && strstr(text, "SECRET"))
        guest_fail(__FILE__, __LINE__, "ESCAPED: %s read the secret", what);
    attack_tried(what, "something else than the secret");
    close(fd);
}
