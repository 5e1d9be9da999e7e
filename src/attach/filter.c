/*
 * The filter of an attachment: a binary search over the number, so that its cost does not grow with
 * the count of rules. From Linux 5.11 on the kernel does not even run it for the numbers that it
 * allows, because the way there looks at nothing but architecture and number.
 *
 * Calls of another architecture (int 0x80, 32-bit children) and x32 numbers go to the listener,
 * too: the keeper refuses them while rules are in place, because they would be a way around, and
 * lets them pass after detaching. A verdict of the filter itself could not be taken back.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "attach/attach-internal.h"
#include "base/cleanup.h"
#include "trap/bpf.h"

#define X32_BIT 0x40000000U

/* A case for each change between allowed and notified, and two for what lies above the table. */
#define MAX_CASES (CHANNEL_NUMBERS + 3)

static size_t make_cases(const uint64_t *filtered, bpf_label allow, bpf_label notify,
                         struct bpf_case *cases)
{
    size_t count = 0;

    for (int nr = 0; nr < CHANNEL_NUMBERS; nr++) {
        bpf_label target = attach_has(filtered, nr) ? notify : allow;

        if (count == 0 || cases[count - 1].target != target)
            cases[count++] =
                (struct bpf_case){.first = (uint32_t)nr, .target = target, .weight = 1};
    }
    if (cases[count - 1].target != allow)
        cases[count++] = (struct bpf_case){.first = CHANNEL_NUMBERS, .target = allow, .weight = 1};
    cases[count++] = (struct bpf_case){.first = X32_BIT, .target = notify, .weight = 1};
    /* Negative numbers: no call at all. */
    cases[count++] = (struct bpf_case){.first = 0x80000000U, .target = allow, .weight = 1};
    return count;
}

int attach_filter(const uint64_t filtered[CHANNEL_NUMBERS / 64], struct sock_fprog *ret_program)
{
    cleanup_bpf_code struct bpf_code code = {0};
    struct bpf_case cases[MAX_CASES];
    bpf_label allow = bpf_new_label(&code);
    bpf_label notify = bpf_new_label(&code);
    size_t count = make_cases(filtered, allow, notify, cases);

    bpf_load(&code, offsetof(struct seccomp_data, arch));
    bpf_branch(&code, BPF_JEQ, AUDIT_ARCH_X86_64, BPF_NEXT, notify);
    bpf_load(&code, offsetof(struct seccomp_data, nr));
    bpf_search(&code, cases, count);
    bpf_bind(&code, allow);
    bpf_return(&code, SECCOMP_RET_ALLOW);
    bpf_bind(&code, notify);
    bpf_return(&code, SECCOMP_RET_USER_NOTIF);
    return bpf_assemble(&code, ret_program);
}
