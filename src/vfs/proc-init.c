/*
 * Process 1, where no process of the tree has that number: programs ask about it, and natively it
 * is always there. What is shown is the same in every run: an idle init of root's, about which
 * nothing but its name and state is told to anybody.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "vfs/proc-internal.h"

#define STAT_FIELDS 52 /* of /proc/PID/stat, proc(5) */
#define INIT        1

bool proc_init_is_shown(struct pk_kernel *kernel)
{
    return !pk_pid_is_ours(kernel, INIT);
}

/* Group and session as getpgid(1) and getsid(1) have them, which the host answers. */
int proc_init_stat(const struct pseudo_access *access, struct strbuf *ret_text)
{
    (void)access;
    strbuf_addf(ret_text, "%d (init) S 0 %d %d 0 -1 4194560", INIT, (int)getpgid(INIT),
                (int)getsid(INIT));
    for (unsigned field = 10; field <= STAT_FIELDS; field++) {
        const char *value = field == 18 ? "20" : field == 20 ? "1" : field == 38 ? "17" : "0";

        strbuf_addf(ret_text, " %s", value); /* priority, threads, exit signal */
    }
    strbuf_add(ret_text, "\n", 1);
    return strbuf_status(ret_text);
}

int proc_init_status(const struct pseudo_access *access, struct strbuf *ret_text)
{
    const struct pk_kernel *kernel = pseudo_kernel(access);
    const uint64_t all = (1ULL << 41) - 1; /* up to CAP_CHECKPOINT_RESTORE */

    strbuf_addf(ret_text,
                "Name:\tinit\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n"
                "PPid:\t0\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\n"
                "Groups:\t \nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\nThreads:\t1\n",
                INIT, INIT, INIT, INIT, (int)getpgid(INIT), (int)getsid(INIT));
    strbuf_addf(ret_text,
                "SigQ:\t0/0\nSigPnd:\t%016x\nShdPnd:\t%016x\nSigBlk:\t%016x\nSigIgn:\t%016x\n"
                "SigCgt:\t%016x\n",
                0, 0, 0, 0, 0);
    strbuf_addf(ret_text,
                "CapInh:\t%016x\nCapPrm:\t%016" PRIx64 "\nCapEff:\t%016" PRIx64
                "\nCapBnd:\t%016" PRIx64 "\nCapAmb:\t%016x\nNoNewPrivs:\t0\nSeccomp:\t0\n",
                0, all, all, kernel->config.identity.bounding, 0);
    return strbuf_status(ret_text);
}
