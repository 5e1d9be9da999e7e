/* The inside of the sys file system. */
#pragma once

#include "vfs/pseudo-internal.h"

#define SYS_CGROUP "fs/cgroup"

/* ---- sys-cgroup.c: the one control group of this kernel's tree ---- */
int sys_cgroup_procs(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_memory_current(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_memory_max(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_memory_stat(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_swap_max(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_cpu_stat(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_cpus(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_mems(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_pids_current(const struct pseudo_access *access, struct strbuf *ret_text);
int sys_cgroup_pids_max(const struct pseudo_access *access, struct strbuf *ret_text);
