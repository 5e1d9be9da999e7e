"""A kernel that finds faults by itself: KASAN, lockdep, kmemleak, UBSAN and fault injection, from Debian's source.

Building it takes about a quarter of an hour of two processors, once for each version; the image and what a module is
built with stay in the cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from .kernels import Kernel, numbers
from .mirror import Suite, Unavailable, locked, run

SERIES = "6.12"
SUITES = ("bookworm-security", "trixie-security", "trixie", "bookworm-backports")
NEEDED = {"flex": "flex", "bison": "bison", "bc": "bc", "gcc": "gcc", "make": "make", "xz": "xz-utils"}
BUILD_SECONDS = 3 * 3600

# On top of tinyconfig. Names without CONFIG_; "-" switches off.
MACHINE = """64BIT SMP PCI PCI_MSI ACPI HYPERVISOR_GUEST PARAVIRT X86_LOCAL_APIC X86_IO_APIC HIGH_RES_TIMERS NO_HZ_IDLE
    PRINTK TTY VT- SERIAL_8250 SERIAL_8250_CONSOLE EARLY_PRINTK BLOCK BLK_DEV BLK_DEV_NVME BLK_DEV_INITRD RD_GZIP-
    MULTIUSER POSIX_TIMERS FUTEX EPOLL SIGNALFD TIMERFD EVENTFD AIO SHMEM ADVISE_SYSCALLS FILE_LOCKING
    BINFMT_ELF BINFMT_SCRIPT COREDUMP PROC_FS PROC_SYSCTL PROC_PAGE_MONITOR SYSFS SYSFS_SYSCALL TMPFS DEVTMPFS DEVMEM
    SWAP TRANSPARENT_HUGEPAGE TRANSPARENT_HUGEPAGE_MADVISE SECRETMEM MEMBARRIER RSEQ
    TASKSTATS TASK_XACCT TASK_IO_ACCOUNTING TASK_DELAY_ACCT- CPU_FREQ THERMAL THERMAL_EMULATION
    NAMESPACES UTS_NS IPC_NS USER_NS PID_NS NET_NS SYSVIPC POSIX_MQUEUE
    NET UNIX INET PACKET NETDEVICES NET_CORE DUMMY
    AUDIT AUDITSYSCALL SECURITY SECURITYFS SECURITY_LOCKDOWN_LSM SECURITY_LOCKDOWN_LSM_EARLY HARDENED_USERCOPY
    MODULES MODULE_UNLOAD KALLSYMS KALLSYMS_ALL BUG GENERIC_BUG IKCONFIG- CC_OPTIMIZE_FOR_PERFORMANCE
    CC_OPTIMIZE_FOR_SIZE- EXPERT RELOCATABLE SLUB_TINY- SCHED_AUTOGROUP- PERF_EVENTS STRICT_DEVMEM RTC_CLASS RTC_DRV_CMOS"""
SANITIZERS = """DEBUG_KERNEL DEBUG_FS KASAN KASAN_GENERIC KASAN_OUTLINE KASAN_INLINE- KASAN_VMALLOC STACKTRACE
    PROVE_LOCKING PROVE_RCU DEBUG_LOCK_ALLOC DEBUG_ATOMIC_SLEEP DEBUG_LIST DEBUG_OBJECTS DEBUG_OBJECTS_FREE
    DEBUG_OBJECTS_TIMERS DEBUG_OBJECTS_WORK DEBUG_OBJECTS_RCU_HEAD DEBUG_NOTIFIERS DEBUG_CREDENTIALS
    DEBUG_KMEMLEAK DEBUG_KMEMLEAK_AUTO_SCAN- DEBUG_STACK_USAGE SCHED_STACK_END_CHECK DEBUG_VM DEBUG_SPINLOCK DEBUG_MUTEXES
    UBSAN UBSAN_BOUNDS UBSAN_SHIFT UBSAN_BOOL UBSAN_ENUM UBSAN_TRAP- REFCOUNT_FULL DETECT_HUNG_TASK
    FAULT_INJECTION FAILSLAB FAIL_PAGE_ALLOC FAULT_INJECTION_DEBUG_FS FAULT_INJECTION_USERCOPY
    PAGE_POISONING INIT_STACK_NONE FRAME_WARN_2048- WERROR- MODULE_FORCE_LOAD- VMAP_STACK"""
# Without these nothing of it is worth a run; a dependency that is missing lets options vanish silently.
ESSENTIAL = ("KASAN", "PROVE_LOCKING", "DEBUG_KMEMLEAK", "FAILSLAB", "FAULT_INJECTION_DEBUG_FS", "UBSAN", "MODULES",
             "MODULE_UNLOAD", "NET_NS", "USER_NS", "PID_NS", "SECURITY_LOCKDOWN_LSM", "AUDITSYSCALL", "BLK_DEV_NVME", "DEVTMPFS",
             "SERIAL_8250_CONSOLE", "PROC_PAGE_MONITOR", "DEBUG_ATOMIC_SLEEP")
# What a module is built with; the rest of the tree goes when the image is there.
KEPT = ("scripts", "include", "arch/x86", "tools/objtool", "tools/include", "tools/build", "tools/scripts")


def obtain(cache: Path, tell: Callable[[str], None] = print) -> Kernel:
    """Fetches the source and builds the kernel, where that is not done yet."""
    with locked(cache / "sanitizer"):
        suite, package = newest_source(cache)
        home = cache / "sanitizer" / f"{package.name}_{package.version}".replace(":", "%").replace("~", "-")
        if not (home / "done").exists():
            check_tools()
            tell(f"building a sanitizer kernel from {package.name} ({package.version}, {suite.name}): a quarter of an hour")
            shutil.rmtree(home, ignore_errors=True)
            build(suite.download([package.name])[0], home)
            prune(home)
            (home / "done").touch()
    release = (home / "include/config/kernel.release").read_text().strip()
    return Kernel("kasan", release, package.version, home, suite.name, home / "bzImage", home)


def newest_source(cache: Path) -> tuple:
    found, reasons = [], []
    for name in SUITES:
        try:
            suite = Suite(cache, name)
            suite.update()
            found += [(suite, package) for package in suite.packages("linux-source-", re.escape(SERIES))]
        except Unavailable as error:
            reasons.append(str(error))
    if not found:
        raise Unavailable("; ".join(reasons) or f"no suite has linux-source-{SERIES}")
    return max(found, key=lambda pair: numbers(pair[1].version))


def check_tools() -> None:
    missing = [package for program, package in NEEDED.items() if not shutil.which(program)]
    missing += [package for header, package in (("/usr/include/libelf.h", "libelf-dev"),)
                if not os.path.exists(header)]
    if missing:
        raise Unavailable(f"to build a kernel these are needed: {' '.join(missing)} (tools/install-deps kasan)")


def build(deb: Path, home: Path) -> None:
    home.mkdir(parents=True)
    run(["dpkg", "-x", str(deb), str(home / "package")])
    archive = next((home / "package").glob("usr/src/linux-source-*.tar.*"))
    run(["tar", "-xf", str(archive), "-C", str(home), "--strip-components=1", "--exclude=*/Documentation", "--exclude=*/sound"],
        timeout=900)
    shutil.rmtree(home / "package")
    # Kconfig files are read even of what is not built.
    for name in ("Documentation", "sound"):
        (home / name).mkdir(exist_ok=True)
        (home / name / "Kconfig").touch()
        (home / name / "Makefile").touch()
    configure(home)
    make(home, "bzImage", "modules_prepare", timeout=BUILD_SECONDS)
    # Module.symvers of a kernel without any module of its own
    make(home, "modules", timeout=BUILD_SECONDS)
    shutil.copy(home / "arch/x86/boot/bzImage", home / "bzImage")


def configure(home: Path) -> None:
    make(home, "tinyconfig", timeout=600)
    lines = [f"# CONFIG_{word[:-1]} is not set" if word.endswith("-") else f"CONFIG_{word}=y"
             for word in (MACHINE + SANITIZERS).split()]
    lines += ["CONFIG_NR_CPUS=8", "CONFIG_LOG_BUF_SHIFT=18", "CONFIG_FRAME_WARN=0", "CONFIG_DEBUG_KMEMLEAK_MEM_POOL_SIZE=40000",
              'CONFIG_LSM="lockdown"', "CONFIG_SERIAL_8250_NR_UARTS=4", "CONFIG_SERIAL_8250_RUNTIME_UARTS=4",
              "CONFIG_DEFAULT_HUNG_TASK_TIMEOUT=300"]
    with open(home / ".config", "a") as file:
        file.write("\n".join(lines) + "\n")
    make(home, "olddefconfig", timeout=600)
    text = (home / ".config").read_text()
    missing = [name for name in ESSENTIAL if f"\nCONFIG_{name}=y\n" not in text]
    if missing:
        raise Unavailable(f"the configuration lost {', '.join(missing)}")


def make(home: Path, *targets: str, timeout: float) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "KBUILD"))}
    jobs = str(os.cpu_count() or 2)
    with open(home / "build.log", "a") as log:
        process = subprocess.Popen(["nice", "-n", "15", "make", "-C", str(home), f"-j{jobs}", *targets], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        try:
            status = process.wait(timeout)
        except BaseException:
            os.killpg(process.pid, 9)
            process.wait()
            raise
    if status != 0:
        words = (home / "build.log").read_text(errors="replace").splitlines()[-30:]
        raise Unavailable("the sanitizer kernel does not build:\n" + "\n".join(words))


def prune(home: Path) -> None:
    """The source of a kernel is large; a module needs its headers and build programs only."""
    keep = {home / name for name in KEPT}
    for path in list(home.iterdir()):
        if path.is_dir() and not any(k == path or path in k.parents for k in keep):
            shutil.rmtree(path)
    for part in ("arch", "tools"):
        for path in list((home / part).iterdir()):
            if path.is_dir() and path not in keep:
                shutil.rmtree(path)
    for pattern in ("vmlinux*", ".tmp_vmlinux*", "arch/x86/**/*.o", "arch/x86/**/*.a", "*.o", "System.map"):
        for path in home.glob(pattern):
            if path.is_file() and path.name != "vmlinux.symvers" and not path.match("arch/x86/tools/*"):
                path.unlink()
