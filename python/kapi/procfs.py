"""What the device tells, read from /proc: for machines without the module.

The dictionaries have the keys and units of those that the device gives. What an unprivileged
process cannot find out is 0 or "".
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, Callable, Dict, List, Optional

from .system import System

Values = Dict[str, Any]

_CLOCK_MONOTONIC_COARSE = 6  # <linux/time.h>; the time module has no name for it

_MEMORY_KEYS = {
    "total_ram": "MemTotal", "free_ram": "MemFree", "buffers": "Buffers", "cached": "Cached",
    "swap_total": "SwapTotal", "swap_free": "SwapFree", "slab": "Slab",
    "page_tables": "PageTables", "vmalloc_used": "VmallocUsed", "committed_as": "Committed_AS",
    "dirty": "Dirty", "writeback": "Writeback", "anon_pages": "AnonPages", "mapped": "Mapped",
    "shmem": "Shmem",
}


def memory_info(system: System) -> Values:
    table: Dict[str, int] = {}
    for line in system.read(system.proc / "meminfo").splitlines():
        key, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            table[key] = int(number[0]) * (1024 if number[-1] == "kB" else 1)
    values = {name: table.get(key, 0) for name, key in _MEMORY_KEYS.items()}
    values["used_ram"] = values["total_ram"] - values["free_ram"]
    return values


# ---- processors ----

def count_cpus(text: str) -> int:
    """How many a list such as "0-3,8" names."""
    total = 0
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            total += int(last or first) - int(first) + 1
    return total


def cpuinfo_table(system: System) -> Dict[str, str]:
    """The lines of the first processor in /proc/cpuinfo."""
    table: Dict[str, str] = {}
    for line in system.read(system.proc / "cpuinfo").splitlines():
        key, colon, value = line.partition(":")
        if not colon:
            break
        table[key.strip()] = value.strip()
    return table


def _number(text: str, default: float = 0) -> float:
    match = re.match(r"\s*-?[\d.]+", text)
    return float(match.group()) if match else default


def _cpu_list(system: System, name: str) -> int:
    try:
        return count_cpus(system.read(system.sys / "devices/system/cpu" / name))
    except OSError:
        return 0


def uptime(system: System) -> float:
    """Seconds since the machine was started."""
    return float(system.read(system.proc / "uptime").split()[0])


def cpu_times(system: System) -> List[int]:
    """The sums over all processors in /proc/stat, in its ticks (USER_HZ)."""
    line = system.read(system.proc / "stat").partition("\n")[0].split()
    return ([int(word) for word in line[1:]] + [0] * 10)[:10]


def cpu_info(system: System) -> Values:
    table = cpuinfo_table(system)
    user, _nice, kernel, idle, iowait, irq, softirq, _steal, guest, _ = cpu_times(system)
    online = _cpu_list(system, "online") or (os.cpu_count() or 1)
    return {
        "num_cpus": _cpu_list(system, "possible") or online, "num_online_cpus": online,
        "cpu_freq": int(_number(table.get("cpu MHz", "")) * 1000),
        "cpu_model": table.get("model name", ""), "uptime": int(uptime(system)),
        "idle_time": idle, "user_time": user, "system_time": kernel, "iowait_time": iowait,
        "irq_time": irq, "softirq_time": softirq, "guest_time": guest,
        "cache_size": int(_number(table.get("cache size", ""))),
        "cache_alignment": int(_number(table.get("cache_alignment", ""))),
        "vendor_id": table.get("vendor_id", ""), "cpu_family": table.get("cpu family", ""),
    }


# ---- processes ----

def _signed(text: str) -> int:
    return int(text)


def _cpu_percent(system: System, ticks: int, started: int, now: Optional[float]) -> int:
    """Share of one processor since the start of the process, in percent."""
    hertz = system.sysconf("SC_CLK_TCK") or 100
    age = (uptime(system) if now is None else now) - started / hertz
    return int(100 * ticks / hertz / age) if age > 0 else 0


def parse_stat(system: System, text: str, now: Optional[float] = None) -> Values:
    """The fields of one /proc/PID/stat; the name in it may hold blanks and brackets."""
    head, _, tail = text.rpartition(")")
    pid, _, comm = head.partition("(")
    f = tail.split()  # f[0] is field 3 of proc(5)
    page = system.sysconf("SC_PAGE_SIZE") or 4096
    hertz = system.sysconf("SC_CLK_TCK") or 100
    rss = _signed(f[21])
    return {
        "pid": int(pid), "comm": comm, "memory_usage": rss * page,
        "cpu_usage": _cpu_percent(system, int(f[11]) + int(f[12]), int(f[19]), now),
        "num_threads": int(f[17]), "ppid": int(f[1]), "pgrp": int(f[2]), "session": int(f[3]),
        "tty_nr": int(f[4]), "start_time": int(f[19]) * (1000000000 // hertz),
        "vsize": int(f[20]), "rss": rss, "rsslim": int(f[22]),
        "priority": _signed(f[15]), "nice": int(f[16]),
        "num_threads_full": int(f[17]), "state": f[0], "flags": int(f[6]),
    }


def process_info(system: System, pid: int) -> Optional[Values]:
    try:
        return parse_stat(system, system.read(system.proc / str(pid) / "stat"))
    except (FileNotFoundError, ProcessLookupError):
        return None


IO_KEYS = {"read_chars": "rchar", "write_chars": "wchar", "read_calls": "syscr",
           "write_calls": "syscw", "read_bytes": "read_bytes", "write_bytes": "write_bytes"}


def _table(text: str) -> Dict[str, str]:
    return dict(line.partition(":")[::2] for line in text.splitlines())


def _io(system: System, pid: int) -> Values:
    """Counters of input and output; None for those who may not inspect the process."""
    try:
        table = _table(system.read(system.proc / str(pid) / "io"))
    except OSError:
        return dict.fromkeys(IO_KEYS)
    return {name: int(table.get(key, "0")) for name, key in IO_KEYS.items()}


def _list_record(system: System, pid: int) -> Values:
    text = system.read(system.proc / str(pid) / "stat")
    status = _table(system.read(system.proc / str(pid) / "status"))
    plain = parse_stat(system, text, 0.0)
    f = text.rpartition(")")[2].split()
    tick = 1000000000 // (system.sysconf("SC_CLK_TCK") or 100)
    uids, gids = status["Uid"].split(), status["Gid"].split()
    shared = sum(int(status.get(key, "0").split()[0]) for key in ("RssFile", "RssShmem"))
    same = ("pid", "ppid", "pgrp", "session", "comm", "tty_nr", "flags", "num_threads",
            "priority", "nice", "state", "start_time", "vsize", "rsslim")
    return {
        **{name: plain[name] for name in same}, "rss": plain["memory_usage"],
        "uid": int(uids[0]), "euid": int(uids[1]), "gid": int(gids[0]), "egid": int(gids[1]),
        "rt_priority": int(f[37]), "policy": int(f[38]), "processor": int(f[36]),
        "utime": int(f[11]) * tick, "stime": int(f[12]) * tick, "cutime": int(f[13]) * tick,
        "cstime": int(f[14]) * tick, "shared": shared * 1024,
        "min_faults": int(f[7]), "maj_faults": int(f[9]),
        "voluntary_switches": int(status.get("voluntary_ctxt_switches", "0")),
        "involuntary_switches": int(status.get("nonvoluntary_ctxt_switches", "0")),
        **_io(system, pid),
    }


def add_cpu_percent(values: Values, now_ns: int) -> None:
    """Adds cpu_percent: the share of one processor since the start of the process."""
    age = now_ns - values["start_time"]
    used = values["utime"] + values["stime"]
    values["cpu_percent"] = round(100 * used / age, 1) if age > 0 else 0.0


def process_list(system: System) -> List[Values]:
    """All processes in ascending order of pid; those that end meanwhile are left out."""
    now = int(uptime(system) * 1e9)
    found = []
    for pid in sorted(int(name) for name in system.names(system.proc) if name.isdigit()):
        try:
            values = _list_record(system, pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        add_cpu_percent(values, now)
        found.append(values)
    return found


# ---- the whole system ----

def load_average(system: System) -> Values:
    words = system.read(system.proc / "loadavg").split()
    running, _, total = words[3].partition("/")
    return {"load1": float(words[0]), "load5": float(words[1]), "load15": float(words[2]),
            "running_tasks": int(running), "total_tasks": int(total), "last_pid": int(words[4])}


def network_stats(system: System) -> Values:
    """Sums of /proc/net/dev, which has fewer counters than netlink; the others are 0."""
    names = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "rx_fifo_errors",
             "rx_frame_errors", "", "multicast", "tx_bytes", "tx_packets", "tx_errors",
             "tx_dropped", "tx_fifo_errors", "collisions", "tx_carrier_errors", "")
    sums: Values = {}
    for line in system.read(system.proc / "net/dev").splitlines()[2:]:
        for name, word in zip(names, line.rpartition(":")[2].split()):
            sums[name] = sums.get(name, 0) + int(word)
    sums.pop("", None)
    return sums


def unescape(text: str) -> str:
    r"""Blanks and backslashes in the mount tables are written as \040 and their kind."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def root_mount(system: System) -> Values:
    """Type and source of what is mounted last at "/"."""
    found = {"fs_type": "", "device_name": ""}
    for line in system.read(system.proc / "self/mountinfo").splitlines():
        words = line.split()
        if len(words) > 6 and words[4] == "/" and "-" in words:
            kind, source = words[words.index("-") + 1:][:2]
            found = {"fs_type": kind, "device_name": unescape(source)}
    return found


ST_VALID = 0x20  # statfs(2) always sets it; the C library hides it


def filesystem_info(system: System) -> Values:
    root = system.statvfs("/")
    return {
        **root_mount(system), "total_blocks": root.f_blocks, "free_blocks": root.f_bfree,
        "available_blocks": root.f_bavail, "total_inodes": root.f_files,
        "free_inodes": root.f_ffree, "block_size": root.f_frsize,
        "max_filename_len": root.f_namemax, "mount_point": "/", "flags": root.f_flag | ST_VALID,
    }


# ---- the kernel ----

# Linux version 6.1.0-1-amd64 (builder@host) (gcc-12 (Debian 12.2) 12.2, GNU ld) #1 SMP DATE
_VERSION = re.compile(r"Linux version \S+ \(([^@)]*)@([^)]*)\) \((.*)\) (#.*)$")


def kernel_config(system: System) -> Values:
    names = system.uname()
    match = _VERSION.match(system.read(system.proc / "version").strip())
    by, host, compiler, build = match.groups() if match else ("", "", "", names.version)
    sizes = re.findall(r"(\d+) bits", cpuinfo_table(system).get("address sizes", ""))
    date = re.sub(r"^#\S+\s+((SMP|PREEMPT\S*|RT)\s+)*", "", build)
    return {
        "version": names.release, "compile_time": build, "compile_by": by, "compile_host": host,
        "compiler": compiler, "build_date": date, "hz": ticks_per_second(),
        "page_size": system.sysconf("SC_PAGE_SIZE"),
        "phys_addr_bits": int(sizes[0]) if sizes else 0,
        "virt_addr_bits": int(sizes[1]) if len(sizes) > 1 else 0, "arch": names.machine,
    }


def kernel_modules(system: System) -> List[Values]:
    """/proc/modules: name size uses users state address."""
    try:
        lines = system.read(system.proc / "modules").splitlines()
    except FileNotFoundError:  # a kernel without modules
        return []
    found = []
    for line in lines:
        words = line.split()
        found.append({
            "name": words[0], "size": int(words[1]),
            "used_by_count": int(words[2]) if words[2].isdigit() else 0,
            "used_by": "" if words[3] == "-" else words[3].strip(","), "state": words[4],
            "load_addr": int(words[5], 16) if len(words) > 5 else 0,
            "version": _module_version(system, words[0])})
    return found


def _module_version(system: System, name: str) -> str:
    try:
        return system.read(system.sys / "module" / name / "version").strip()
    except OSError:
        return ""


def action_names(text: str) -> str:
    """What follows the chip: a number of the line with its mode ("4-edge"), then the names."""
    mode, _, names = text.strip().partition(" ")
    return (names if "-" in mode and names else text).strip()


def interrupts(system: System) -> List[Values]:
    """The numbered lines of /proc/interrupts (the others are no devices)."""
    lines = system.read(system.proc / "interrupts").splitlines()
    cpus = len(lines[0].split()) if lines else 0
    found = []
    for line in lines[1:]:
        number, _, rest = line.partition(":")
        words = rest.split(None, cpus)
        if not number.strip().isdigit() or len(words) < cpus:
            continue
        counts = [int(word) for word in words[:cpus]]
        kind, _, device = (words[cpus] if len(words) > cpus else "").strip().partition(" ")
        found.append({"irq": int(number), "count": sum(counts), "type": kind,
                      "device": action_names(device),
                      "cpu_count": (counts + [0] * 8)[:8]})
    return found


# ---- kernel commands: what execute_kernel_command() knows ----

def _memory_command(key: str) -> Callable[[System], str]:
    return lambda system: str(memory_info(system)[key])


def ticks_per_second() -> int:
    """The coarse clock advances with each tick: its resolution tells how many there are."""
    return round(1 / time.clock_getres(_CLOCK_MONOTONIC_COARSE))


def _jiffies(system: System) -> str:
    """The kernel's counter starts five minutes before it would run over in 32 bits."""
    hertz = ticks_per_second()
    return str(2**32 - 300 * hertz + int(time.clock_gettime(time.CLOCK_MONOTONIC) * hertz))


def domain_name(system: System) -> str:
    return system.read(system.proc / "sys/kernel/domainname").strip()


COMMANDS: Dict[str, Callable[[System], str]] = {
    "get_kernel_version": lambda system: system.uname().release,
    "get_uptime": lambda system: str(int(uptime(system))),
    "get_hostname": lambda system: system.uname().nodename,
    "get_domainname": domain_name,
    "get_total_memory": _memory_command("total_ram"),
    "get_free_memory": _memory_command("free_ram"),
    "get_cpu_count": lambda system: str(cpu_info(system)["num_online_cpus"]),
    "get_page_size": lambda system: str(system.sysconf("SC_PAGE_SIZE")),
    "get_hz": lambda system: str(ticks_per_second()),
    "get_jiffies": _jiffies,
}
