"""Tables of the command line, made of the client's dictionaries. Nothing here prints."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Tuple

from .format import format_bytes, format_time
from .sysfs import PciNames

Values = Dict[str, Any]
Column = Tuple[str, Callable[[Values], str]]

_MEMORY_ORDER = ("total_ram", "used_ram", "free_ram", "buffers", "cached", "shmem", "slab",
                 "anon_pages", "mapped", "page_tables", "dirty", "writeback", "vmalloc_used",
                 "committed_as", "swap_total", "swap_free")


def printable(text: Any) -> str:
    """Text without control characters: names of processes and log lines come from anybody."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def pairs(rows: Sequence[Tuple[str, Any]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return "".join(f"{name:<{width}}  {printable(value)}\n" for name, value in rows)


def table(columns: Sequence[Column], rows: Sequence[Values]) -> str:
    """A table with a heading; columns whose cells are all numbers are put to the right."""
    cells = [[printable(show(row)) for _, show in columns] for row in rows]
    widths = [max([len(name), *(len(line[at]) for line in cells)])
              for at, (name, _) in enumerate(columns)]
    right = [bool(cells) and all(line[at][:1].isdigit() or line[at][:1] == "-" for line in cells)
             for at in range(len(columns))]
    lines = [[name for name, _ in columns], *cells]
    return "".join(_line(line, widths, right) for line in lines)


def _line(cells: List[str], widths: List[int], right: List[bool]) -> str:
    parts = [cell.rjust(width) if to_right else cell.ljust(width)
             for cell, width, to_right in zip(cells, widths, right)]
    return "  ".join(parts).rstrip() + "\n"


def plain(name: str) -> Callable[[Values], str]:
    return lambda row: str(row[name])


def size(name: str) -> Callable[[Values], str]:
    return lambda row: format_bytes(row[name])


# ---- single records ----

def memory(values: Values) -> str:
    return pairs([(name, format_bytes(values[name])) for name in _MEMORY_ORDER])


def cpu(values: Values) -> str:
    shown = {**values, "cpu_freq": f"{values['cpu_freq'] / 1000:.0f} MHz",
             "uptime": format_time(values["uptime"]), "cache_size": f"{values['cache_size']} KiB"}
    for name, value in values.items():
        if name.endswith("_time"):
            shown[name] = f"{value / 100:.2f} s"
    return plain_record(shown)


def plain_record(values: Values) -> str:
    return pairs([(name, value) for name, value in values.items() if name != "source"])


def process(values: Values) -> str:
    shown = {**values, "memory_usage": format_bytes(values["memory_usage"]),
             "vsize": format_bytes(values["vsize"]), "cpu_usage": f"{values['cpu_usage']} %",
             "start_time": f"{values['start_time'] / 1e9:.2f} s after boot",
             "rsslim": "none" if values["rsslim"] >= 2**63 - 1 else format_bytes(values["rsslim"])}
    return plain_record(shown)


def filesystem(values: Values) -> str:
    block = values["block_size"]
    rows: List[Tuple[str, Any]] = [(name, values[name])
                                   for name in ("mount_point", "device_name", "fs_type")]
    rows += [(name, format_bytes(values[f"{name}_blocks"] * block))
             for name in ("total", "free", "available")]
    rows += [(name, values[name])
             for name in ("total_inodes", "free_inodes", "block_size", "max_filename_len")]
    return pairs([*rows, ("flags", hex(values["flags"]))])


def load(values: Values) -> str:
    return (f"{values['load1']:.2f} {values['load5']:.2f} {values['load15']:.2f}, "
            f"{values['running_tasks']} of {values['total_tasks']} tasks running\n")


# ---- lists ----

def processes(rows: List[Values]) -> str:
    return table([("PID", plain("pid")), ("PPID", plain("ppid")), ("UID", plain("uid")),
                  ("STATE", plain("state")), ("THREADS", plain("num_threads")),
                  ("RSS", size("rss")), ("CPU%", plain("cpu_percent")), ("COMMAND", plain("comm"))],
                 rows)


def modules(rows: List[Values]) -> str:
    return table([("MODULE", plain("name")), ("SIZE", size("size")),
                  ("USED", plain("used_by_count")), ("STATE", plain("state")),
                  ("BY", plain("used_by"))], rows)


def interrupts(rows: List[Values]) -> str:
    return table([("IRQ", plain("irq")), ("COUNT", plain("count")), ("TYPE", plain("type")),
                  ("DEVICE", plain("device"))], rows)


def pci(rows: List[Values]) -> str:
    names = PciNames()

    def named(row: Values) -> str:
        vendor, device = row["vendor_id"], row["device_id"]
        text = f"{names.vendor(vendor)} {names.device(vendor, device)}".strip()
        return text or f"{vendor:04x}:{device:04x}"
    return table([("ADDRESS", lambda row: str(row["device_name"]).partition(" ")[0]),
                  ("CLASS", lambda row: f"{row['class_code']:06x}"), ("DEVICE", named)], rows)


def block(rows: List[Values]) -> str:
    return table([("DISK", plain("name")), ("SIZE", size("size")), ("READS", plain("read_ios")),
                  ("READ", lambda row: format_bytes(row["read_sectors"] * 512)),
                  ("WRITES", plain("write_ios")),
                  ("WRITTEN", lambda row: format_bytes(row["write_sectors"] * 512)),
                  ("MODEL", plain("model"))], rows)


def thermal(rows: List[Values]) -> str:
    def degrees(name: str) -> Callable[[Values], str]:
        return lambda row: f"{row[name] / 1000:.1f} C" if row[name] else ""
    return table([("ZONE", plain("type")), ("NOW", degrees("temperature")),
                  ("MAX", degrees("max_temp")), ("CRITICAL", degrees("critical_temp"))], rows)


def log(rows: List[Values]) -> str:
    return "".join(f"[{row['timestamp'] / 1e6:12.6f}] {printable(row['level'])}: "
                   f"{printable(row['message'])}\n" for row in rows)
