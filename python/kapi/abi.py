"""The binary interface of /dev/kernel_api_exporter: command numbers and structures.

The layouts are those of include/cerebro/kapi.h (x86-64, natural alignment); tests/python checks
the sizes against that header. Text fields are NUL-terminated; `data` fields are bytes of which
every one counts, so they are arrays of numbers here (a ctypes char array ends at the first NUL).
"""

from __future__ import annotations

import ctypes
import struct
from ctypes import c_char, c_int, c_int32, c_int64, c_ubyte, c_uint, c_uint32, c_uint64
from typing import Any, Dict

DEVICE_PATH = "/dev/kernel_api_exporter"
SHARED_BUFFER_SIZE = 16384
NETLINK_KAPI = 31
NETLINK_MAX_REPLY = 1024
PHYS_MEM_MAX = 4096

_READ, _WRITE = 2, 1


class Record(ctypes.Structure):
    """A structure of the device that can tell its fields as a dictionary."""

    def values(self) -> Dict[str, Any]:
        """Field names and values: text as str, byte arrays as bytes, other arrays as list."""
        return {name: _plain(getattr(self, name)) for name, *_ in self._fields_
                if not name.startswith("_")}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, ctypes.Array):
        return bytes(value) if value._type_ is c_ubyte else list(value)
    return value


class MemoryInfo(Record):
    """All in bytes."""

    _fields_ = [(name, c_uint64) for name in (
        "total_ram", "free_ram", "used_ram", "buffers", "cached", "swap_total", "swap_free",
        "slab", "page_tables", "vmalloc_used", "committed_as", "dirty", "writeback", "anon_pages",
        "mapped", "shmem")]


class CpuInfo(Record):
    _fields_ = [
        ("num_cpus", c_uint), ("num_online_cpus", c_uint), ("cpu_freq", c_uint64),
        ("cpu_model", c_char * 64), ("uptime", c_uint64), ("idle_time", c_uint64),
        ("user_time", c_uint64), ("system_time", c_uint64), ("iowait_time", c_uint64),
        ("irq_time", c_uint64), ("softirq_time", c_uint64), ("guest_time", c_uint64),
        ("cache_size", c_uint), ("cache_alignment", c_uint), ("vendor_id", c_char * 16),
        ("cpu_family", c_char * 16)]


class ProcessInfo(Record):
    _fields_ = [
        ("pid", c_int), ("comm", c_char * 16), ("memory_usage", c_uint64), ("cpu_usage", c_uint),
        ("num_threads", c_int), ("ppid", c_int), ("pgrp", c_int), ("session", c_int),
        ("tty_nr", c_int), ("start_time", c_uint64), ("vsize", c_uint64), ("rss", c_int64),
        ("rsslim", c_uint64), ("priority", c_int64), ("nice", c_int64),
        ("num_threads_full", c_uint64), ("state", c_char), ("flags", c_uint)]


class KernelCmd(Record):
    _fields_ = [("command", c_char * 256), ("result", c_char * 1024), ("status", c_int)]


class NetworkStats(Record):
    """Sums over the interfaces of the caller's network namespace."""

    _fields_ = [(name, c_uint64) for name in (
        "rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors",
        "rx_dropped", "tx_dropped", "multicast", "collisions", "rx_length_errors",
        "rx_over_errors", "rx_crc_errors", "rx_frame_errors", "rx_fifo_errors",
        "rx_missed_errors", "tx_aborted_errors", "tx_carrier_errors", "tx_fifo_errors",
        "tx_heartbeat_errors", "tx_window_errors")]


class FilesystemInfo(Record):
    _fields_ = [
        ("fs_type", c_char * 32), ("total_blocks", c_uint64), ("free_blocks", c_uint64),
        ("available_blocks", c_uint64), ("total_inodes", c_uint64), ("free_inodes", c_uint64),
        ("block_size", c_uint64), ("max_filename_len", c_uint64), ("mount_point", c_char * 256),
        ("device_name", c_char * 64), ("flags", c_uint64)]


class ModuleInfo(Record):
    _fields_ = [
        ("name", c_char * 64), ("size", c_uint64), ("used_by_count", c_int),
        ("used_by", c_char * 256), ("state", c_char * 16), ("load_addr", c_uint64),
        ("version", c_char * 32)]


class InterruptInfo(Record):
    _fields_ = [
        ("irq", c_uint), ("count", c_uint64), ("type", c_char * 32), ("device", c_char * 64),
        ("cpu_count", c_uint * 8)]


class LoadavgInfo(Record):
    """load1, load5 and load15 are fixed point with 16 bits of fraction."""

    _fields_ = [(name, c_uint64) for name in (
        "load1", "load5", "load15", "running_tasks", "total_tasks", "last_pid")]


class KernelConfig(Record):
    _fields_ = [
        ("version", c_char * 64), ("compile_time", c_char * 64), ("compile_by", c_char * 64),
        ("compile_host", c_char * 64), ("compiler", c_char * 64), ("build_date", c_char * 64),
        ("hz", c_uint64), ("page_size", c_uint64), ("phys_addr_bits", c_uint64),
        ("virt_addr_bits", c_uint64), ("arch", c_char * 32)]


class PciDeviceInfo(Record):
    _fields_ = [
        ("vendor_id", c_uint), ("device_id", c_uint), ("subsystem_vendor", c_uint),
        ("subsystem_device", c_uint), ("device_name", c_char * 128), ("vendor_name", c_char * 64),
        ("class_code", c_uint), ("revision", c_uint), ("base_addr", c_uint64 * 6),
        ("irq", c_uint)]


class BlockDeviceInfo(Record):
    _fields_ = [
        ("name", c_char * 32), ("size", c_uint64), ("queue_depth", c_uint64),
        ("read_ios", c_uint64), ("read_sectors", c_uint64), ("write_ios", c_uint64),
        ("write_sectors", c_uint64), ("discard_ios", c_uint64), ("discard_sectors", c_uint64),
        ("model", c_char * 64), ("serial", c_char * 32)]


class ThermalInfo(Record):
    """Temperatures in thousandths of a degree Celsius."""

    _fields_ = [
        ("type", c_char * 32), ("temperature", c_int), ("critical_temp", c_int),
        ("max_temp", c_int), ("cooling_device", c_char * 64), ("trip_point_count", c_int),
        ("trip_temps", c_int * 10)]


class KernelLog(Record):
    _fields_ = [
        ("level", c_char * 16), ("message", c_char * 512), ("timestamp", c_uint64),
        ("facility", c_char * 32)]


class ProcessControl(Record):
    _fields_ = [("pid", c_int), ("signal", c_int), ("status", c_int), ("message", c_char * 256)]


class ModuleControl(Record):
    _fields_ = [
        ("path", c_char * 256), ("name", c_char * 64), ("params", c_char * 256),
        ("status", c_int), ("message", c_char * 256)]


class NetControl(Record):
    _fields_ = [
        ("interface", c_char * 16), ("up", c_int), ("status", c_int), ("message", c_char * 256)]


class FsControl(Record):
    _fields_ = [
        ("device", c_char * 128), ("path", c_char * 256), ("type", c_char * 32),
        ("options", c_char * 256), ("status", c_int), ("message", c_char * 256)]


class LogInjection(Record):
    _fields_ = [("level", c_char * 16), ("message", c_char * 512), ("status", c_int)]


class CpuControl(Record):
    _fields_ = [
        ("pid", c_int), ("mask", c_uint64), ("status", c_int), ("message", c_char * 256)]


class PhysMem(Record):
    """phys_mem_read and phys_mem_write have the same layout."""

    _fields_ = [
        ("phys_addr", c_uint64), ("size", c_uint64), ("data", c_ubyte * PHYS_MEM_MAX),
        ("status", c_int), ("message", c_char * 256)]


class VirtToPhys(Record):
    _fields_ = [
        ("virt_addr", c_uint64), ("pid", c_int), ("phys_addr", c_uint64), ("status", c_int),
        ("message", c_char * 256)]


class MemPatch(Record):
    _fields_ = [
        ("phys_addr", c_uint64), ("size", c_uint64), ("original_data", c_ubyte * PHYS_MEM_MAX),
        ("patch_data", c_ubyte * PHYS_MEM_MAX), ("restore", c_int), ("status", c_int),
        ("message", c_char * 256)]


def ioc(direction: int, number: int, size: int) -> int:
    """The _IOC() macro of the kernel with magic 'k'."""
    return direction << 30 | size << 16 | ord("k") << 8 | number


def _ior(number: int, record: Any) -> int:
    return ioc(_READ, number, ctypes.sizeof(record))


def _iow(number: int, record: Any) -> int:
    return ioc(_WRITE, number, ctypes.sizeof(record))


def _iowr(number: int, record: Any) -> int:
    return ioc(_READ | _WRITE, number, ctypes.sizeof(record))


GET_MEMORY_INFO = _ior(1, MemoryInfo)
GET_CPU_INFO = _ior(2, CpuInfo)
GET_PROCESS_INFO = _iowr(3, ProcessInfo)
EXECUTE_KERNEL_CMD = _iowr(4, KernelCmd)
GET_NETWORK_STATS = _ior(5, NetworkStats)
GET_FILE_SYSTEM_INFO = _ior(6, FilesystemInfo)
GET_KERNEL_MODULES = _ior(7, ModuleInfo)
GET_INTERRUPTS = _ior(8, InterruptInfo)
GET_LOADAVG = _ior(9, LoadavgInfo)
GET_KERNEL_CONFIG = _ior(10, KernelConfig)
GET_PCI_DEVICES = _ior(11, PciDeviceInfo)
GET_BLOCK_DEVICES = _ior(12, BlockDeviceInfo)
GET_THERMAL_INFO = _ior(13, ThermalInfo)
READ_KERNEL_LOG = _ior(14, KernelLog)
KILL_PROCESS = _iow(15, ProcessControl)
SUSPEND_PROCESS = _iow(16, ProcessControl)
RESUME_PROCESS = _iow(17, ProcessControl)
LOAD_MODULE = _iow(18, ModuleControl)
UNLOAD_MODULE = _iow(19, ModuleControl)
TOGGLE_INTERFACE = _iow(20, NetControl)
MOUNT_FS = _iow(21, FsControl)
UMOUNT_FS = _iow(22, FsControl)
INJECT_LOG = _iow(23, LogInjection)
FORCE_PAGE_RECLAIM = ioc(0, 24, 0)
SET_CPU_AFFINITY = _iow(25, CpuControl)
PANIC_KERNEL = ioc(0, 26, 0)
READ_PHYS_MEM = _iowr(27, PhysMem)
WRITE_PHYS_MEM = _iow(28, PhysMem)
VIRT_TO_PHYS = _iowr(29, VirtToPhys)
PATCH_MEMORY = _iowr(30, MemPatch)

# ---- beyond 30: version, batch, process list, records by number ----

ABI_VERSION = 1
BATCH_MAX = 64
ENTRY_MORE = 1
LIST_COUNT = 1
LIST_TRUNCATED = 1 << 16
PROCESS_HAS_MEMORY = 1
PROCESS_HAS_IO = 2
NO_LIMIT = 2**64 - 1

FEATURES = {1: "control", 2: "dangerous", 4: "phys_write", 8: "shared_buffer", 16: "netlink",
            32: "genl", 64: "lockdown"}


class Version(Record):
    _fields_ = [
        ("size", c_uint32), ("abi_version", c_uint32), ("features", c_uint32),
        ("buffer_size", c_uint32), ("batch_max", c_uint32), ("process_record_size", c_uint32),
        ("module_version", c_char * 32)]


class BatchEntry(Record):
    _fields_ = [
        ("command", c_uint32), ("status", c_int32), ("index", c_uint32), ("count", c_uint32),
        ("buffer", c_uint64), ("length", c_uint32), ("flags", c_uint32)]


class Batch(Record):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("count", c_uint32), ("entry_size", c_uint32),
        ("entries", c_uint64), ("start_ns", c_uint64), ("end_ns", c_uint64)]


class ProcessList(Record):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("buffer", c_uint64), ("length", c_uint64),
        ("record_size", c_uint32), ("cursor", c_uint32), ("count", c_uint32),
        ("remaining", c_uint32), ("time_ns", c_uint64)]


class ProcessRecord(Record):
    """Times in nanoseconds, sizes in bytes."""

    _fields_ = [
        ("pid", c_int32), ("ppid", c_int32), ("pgrp", c_int32), ("session", c_int32),
        ("comm", c_char * 16), ("tty_nr", c_int32), ("valid", c_uint32), ("uid", c_uint32),
        ("euid", c_uint32), ("gid", c_uint32), ("egid", c_uint32), ("flags", c_uint32),
        ("num_threads", c_uint32), ("priority", c_int32), ("nice", c_int32),
        ("rt_priority", c_uint32), ("policy", c_uint32), ("processor", c_uint32),
        ("state", c_char), ("_reserved", c_ubyte * 3), ("start_time", c_uint64),
        ("utime", c_uint64), ("stime", c_uint64), ("cutime", c_uint64), ("cstime", c_uint64),
        ("vsize", c_uint64), ("rss", c_uint64), ("shared", c_uint64), ("rsslim", c_uint64),
        ("min_faults", c_uint64), ("maj_faults", c_uint64), ("voluntary_switches", c_uint64),
        ("involuntary_switches", c_uint64), ("read_bytes", c_uint64), ("write_bytes", c_uint64),
        ("read_chars", c_uint64), ("write_chars", c_uint64), ("read_calls", c_uint64),
        ("write_calls", c_uint64)]


_CODES = {c_int32: "i", c_uint32: "I", c_uint64: "Q", c_char: "c"}


def _code(kind: Any) -> str:
    if kind in _CODES:
        return _CODES[kind]
    return f"{kind._length_}{'s' if kind._type_ is c_char else 'x'}"


# The same record for the struct module: a list of hundreds is unpacked much faster by it.
PROCESS_FIELDS = [name for name, *_ in ProcessRecord._fields_ if name != "_reserved"]
PROCESS_STRUCT = struct.Struct("=" + "".join(_code(kind) for _, kind, *_ in ProcessRecord._fields_))
assert PROCESS_STRUCT.size == ctypes.sizeof(ProcessRecord)

GET_VERSION = _iowr(31, Version)
BATCH = _iowr(32, Batch)
GET_PROCESS_LIST = _iowr(33, ProcessList)
