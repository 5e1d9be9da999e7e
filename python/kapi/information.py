"""The information methods: what the machine is and does. Nothing is changed by them."""

from __future__ import annotations

import errno
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

from . import abi, kmsg, netlink, procfs, sysfs
from .connection import Connection
from .errors import KernelAPIError

Values = Dict[str, Any]

_LOAD_UNIT = 65536


def _named(values: Values, source: str) -> Values:
    return {**values, "source": source}


def _all_named(found: List[Values], source: str) -> List[Values]:
    return [_named(values, source) for values in found]


def _loads(record: abi.LoadavgInfo) -> Values:
    values = record.values()
    for name in ("load1", "load5", "load15"):
        values[name] = values[name] / _LOAD_UNIT
    return values


def _process_values(fields: Tuple[Any, ...], now: int) -> Values:
    values = dict(zip(abi.PROCESS_FIELDS, fields))
    values["comm"] = values["comm"].partition(b"\0")[0].decode("utf-8", "replace")
    values["state"] = values["state"].decode("ascii", "replace")
    if not values.pop("valid") & abi.PROCESS_HAS_IO:
        values.update(dict.fromkeys(procfs.IO_KEYS))
    procfs.add_cpu_percent(values, now)
    values["source"] = "device"
    return values


class Information(Connection):
    """Each method returns dictionaries with the fields of the device's structure and `source`:
    "device", or where the fallback found it ("procfs", "sysfs", "netlink").

    All raise RuntimeError when connect() was not called, or failed without fallback, or when the
    question cannot be answered.
    """

    def _simple(self, what: str, request: int, record: Type[abi.Record],
                host: Callable[[], Values]) -> Values:
        return self._device_or(
            what, lambda: _named(self._ask(request, record(), what).values(), "device"), host)

    def _many(self, what: str, command: int, request: int, record: Type[abi.Record],
              host: Callable[[], List[Values]]) -> List[Values]:
        def device() -> List[Values]:
            found = self._records(command, request, record, what)
            return _all_named([one.values() for one in found], "device")
        return self._device_or(what, device, host)

    def get_memory_info(self) -> Values:
        """Memory in bytes: total_ram, free_ram, used_ram, buffers, cached, swap_total, swap_free,
        slab, page_tables, vmalloc_used, committed_as, dirty, writeback, anon_pages, mapped, shmem.
        """
        return self._simple("memory", abi.GET_MEMORY_INFO, abi.MemoryInfo,
                            lambda: _named(procfs.memory_info(self.system), "procfs"))

    def get_cpu_info(self) -> Values:
        """Processors: num_cpus (possible), num_online_cpus, cpu_freq in kHz, cpu_model, vendor_id,
        cpu_family, uptime in seconds, the *_time fields in ticks of 1/100 s summed over all,
        cache_size in KiB, cache_alignment in bytes.
        """
        return self._simple("cpu", abi.GET_CPU_INFO, abi.CpuInfo,
                            lambda: _named(procfs.cpu_info(self.system), "procfs"))

    def get_process_info(self, pid: int) -> Optional[Values]:
        """One process, or None when there is none of this number (in the caller's view).

        memory_usage and vsize in bytes, rss in pages, start_time in nanoseconds after boot,
        cpu_usage in percent of one processor since its start, rsslim in bytes (2**64-1: none).
        """
        if not 0 < pid < 2**31:
            return None

        def device() -> Optional[Values]:
            record = self._ask(abi.GET_PROCESS_INFO, abi.ProcessInfo(pid=pid), "process")
            return None if record.pid == -1 else _named(record.values(), "device")

        def host() -> Optional[Values]:
            values = procfs.process_info(self.system, pid)
            return None if values is None else _named(values, "procfs")
        return self._device_or("process", device, host)

    def get_process_list(self) -> List[Values]:
        """All processes that the caller may see, in ascending order of pid.

        Times in nanoseconds, sizes (rss and shared, too) in bytes. The counters of input and output
        are None where the caller may not inspect the process. A driver with the command answers all
        of them in one call; with an older one, and without any, /proc is read.
        """
        def host() -> List[Values]:
            return _all_named(procfs.process_list(self.system), "procfs")

        def device() -> List[Values]:
            if self.version is None:
                return host()
            records, now = self._process_records()
            return [_process_values(fields, now) for fields in records]
        return self._device_or("process list", device, host)

    def get_network_stats(self) -> Values:
        """Counters of packets, bytes and errors, summed over the caller's network interfaces."""
        return self._simple("network", abi.GET_NETWORK_STATS, abi.NetworkStats, self._host_network)

    def _host_network(self) -> Values:
        try:
            return _named(netlink.link_stats(self.system), "netlink")
        except (OSError, KernelAPIError):
            empty = abi.NetworkStats().values()
            return _named({**empty, **procfs.network_stats(self.system)}, "procfs")

    def get_filesystem_info(self) -> Values:
        """The file system at the caller's "/": sizes in blocks of block_size bytes."""
        return self._simple("filesystem", abi.GET_FILE_SYSTEM_INFO, abi.FilesystemInfo,
                            lambda: _named(procfs.filesystem_info(self.system), "procfs"))

    def get_load_average(self) -> Values:
        """load1, load5 and load15 as numbers; running_tasks and total_tasks count threads."""
        return self._device_or(
            "load",
            lambda: _named(_loads(self._ask(abi.GET_LOADAVG, abi.LoadavgInfo(), "load")), "device"),
            lambda: _named(procfs.load_average(self.system), "procfs"))

    def get_kernel_config(self) -> Values:
        """How the kernel was built; hz in ticks a second, page_size in bytes."""
        return self._simple("config", abi.GET_KERNEL_CONFIG, abi.KernelConfig,
                            lambda: _named(procfs.kernel_config(self.system), "procfs"))

    def get_kernel_modules(self) -> List[Values]:
        """Loaded modules; size in bytes, load_addr 0 for those who may not know it."""
        return self._many("modules", 7, abi.GET_KERNEL_MODULES, abi.ModuleInfo,
                          lambda: _all_named(procfs.kernel_modules(self.system), "procfs"))

    def get_interrupts(self) -> List[Values]:
        """Numbered interrupt lines; cpu_count has the counters of the first eight processors."""
        return self._many("interrupts", 8, abi.GET_INTERRUPTS, abi.InterruptInfo,
                          lambda: _all_named(procfs.interrupts(self.system), "procfs"))

    def get_pci_devices(self) -> List[Values]:
        """PCI devices by their numbers; sysfs.PciNames knows the names."""
        return self._many("pci", 11, abi.GET_PCI_DEVICES, abi.PciDeviceInfo,
                          lambda: _all_named(sysfs.pci_devices(self.system), "sysfs"))

    def get_block_devices(self) -> List[Values]:
        """Whole disks; size in bytes, sectors of 512 bytes."""
        return self._many("block", 12, abi.GET_BLOCK_DEVICES, abi.BlockDeviceInfo,
                          lambda: _all_named(sysfs.block_devices(self.system), "sysfs"))

    def get_thermal_info(self) -> List[Values]:
        """Thermal zones, in thousandths of a degree Celsius; empty where there are none."""
        return self._many("thermal", 13, abi.GET_THERMAL_INFO, abi.ThermalInfo,
                          lambda: _all_named(sysfs.thermal_zones(self.system), "sysfs"))

    def read_kernel_log(self) -> List[Values]:
        """Records of the kernel's log, oldest first; timestamp in microseconds after boot.

        Raises RuntimeError with errno EPERM where the user may not read it.
        """
        return self._many("log", 14, abi.READ_KERNEL_LOG, abi.KernelLog,
                          lambda: _all_named(kmsg.records(self.system), "kmsg"))

    # ---- several at once ----

    def get_snapshot(self) -> Values:
        """Memory, cpu, network, filesystem, load and config of one moment, under these names.

        One call where the driver has batches, else one after the other. `start_ns` and `end_ns`
        are there in the first case: nanoseconds after boot.
        """
        if self.connected and self.version is not None:
            return self._snapshot_at_once()
        return {
            "memory": self.get_memory_info(), "cpu": self.get_cpu_info(),
            "network": self.get_network_stats(), "filesystem": self.get_filesystem_info(),
            "load": self.get_load_average(), "config": self.get_kernel_config(),
        }

    def _snapshot_at_once(self) -> Values:
        wanted = (("memory", 1, abi.MemoryInfo()), ("cpu", 2, abi.CpuInfo()),
                  ("network", 5, abi.NetworkStats()), ("filesystem", 6, abi.FilesystemInfo()),
                  ("load", 9, abi.LoadavgInfo()), ("config", 10, abi.KernelConfig()))
        entries = self._batch([(command, 0, record) for _, command, record in wanted])
        found: Values = {}
        for (name, _, record), entry in zip(wanted, entries):
            if entry.status:
                raise KernelAPIError(f"{name}: error {-entry.status}", -entry.status)
            values = _loads(record) if isinstance(record, abi.LoadavgInfo) else record.values()
            found[name] = _named(values, "device")
        return found

    # ---- kernel commands ----

    def execute_kernel_command(self, command: str) -> Values:
        """Runs one of get_all_available_commands().

        Returns `command`, `result` (text), `status` (0, or a negative errno: -EINVAL and the
        result "Unknown command" for others) and `source`.
        """
        def device() -> Values:
            record = abi.KernelCmd(command=self._encode_text(command, "command", 256))
            self._call(abi.EXECUTE_KERNEL_CMD, record, "command")
            values = record.values()
            return _named({**values, "command": command}, "device")

        def host() -> Values:
            work = procfs.COMMANDS.get(command)
            if work is None:
                return {"command": command, "result": "Unknown command",
                        "status": -errno.EINVAL, "source": "procfs"}
            return {"command": command, "result": work(self.system), "status": 0,
                    "source": "procfs"}
        return self._device_or("command", device, host)

    @staticmethod
    def _encode_text(text: str, what: str, room: int) -> bytes:
        """Text for a char array of `room` bytes. Raises ValueError when it does not fit whole."""
        data = text.encode("utf-8", "surrogateescape")
        if len(data) >= room:
            raise ValueError(f"{what} is longer than {room - 1} bytes")
        if b"\0" in data:
            raise ValueError(f"{what} contains a NUL byte")
        return data

    def get_all_available_commands(self) -> List[str]:
        """What execute_kernel_command() knows."""
        return list(procfs.COMMANDS)
