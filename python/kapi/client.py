"""KernelAPIClient: everything that /dev/kernel_api_exporter offers, in one class."""

from __future__ import annotations

import json
import os
import tempfile
import time
from types import TracebackType
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Type

from . import abi, format as text_format
from .control import Control, checked_pid
from .errors import KernelAPIError

Values = Dict[str, Any]


class KernelAPIClient(Control):
    """A client of the kernel API exporter.

        with KernelAPIClient() as client:
            print(client.get_memory_info()["free_ram"])

    `device` is the path of the device node. With `fallback` (the default) the information methods
    answer from /proc, /sys and netlink where there is no device; each answer's `source` says which
    it was. `netlink_timeout` is in seconds. `system` replaces the operating system in tests.

    Failures are RuntimeError (KernelAPIError, with `errno`), arguments that can never be right are
    ValueError. Nothing here prints.
    """

    def __enter__(self) -> "KernelAPIClient":
        """Connects. Raises RuntimeError when there is no device and no fallback either."""
        if not self.connect() and not self.fallback:
            raise self.last_error or KernelAPIError("not connected")
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.disconnect()

    def __del__(self) -> None:
        try:
            self.disconnect()
        except (OSError, AttributeError, ValueError):  # a half-made object, or the very end
            pass

    # ---- physical memory ----

    @staticmethod
    def _check_physical(phys_addr: int, size: int) -> None:
        if not 0 <= phys_addr < 2**64:
            raise ValueError(f"not a physical address: {phys_addr!r}")
        if not 0 < size <= abi.PHYS_MEM_MAX:
            raise ValueError(f"from 1 to {abi.PHYS_MEM_MAX} bytes at a time, not {size}")

    def read_physical_memory(self, phys_addr: int, size: int) -> Values:
        """Reads 1 to 4096 bytes of physical memory: status, message and `data` (all the bytes; none
        when the status is not 0).
        """
        self._check_physical(phys_addr, size)
        record = abi.PhysMem(phys_addr=phys_addr, size=size)
        result = self._control("read memory", abi.READ_PHYS_MEM, record)
        return {**result, "data": bytes(record.data)[:size] if record.status == 0 else b""}

    def write_physical_memory(self, phys_addr: int, data: bytes) -> Values:
        """Writes 1 to 4096 bytes to physical memory. Can corrupt the system."""
        self._check_physical(phys_addr, len(data))
        record = abi.PhysMem(phys_addr=phys_addr, size=len(data))
        record.data[:len(data)] = list(bytes(data))
        return self._control("write memory", abi.WRITE_PHYS_MEM, record)

    def virtual_to_physical(self, virt_addr: int, pid: int = 0) -> Values:
        """Translates an address of a process (0: of the kernel): virtual_address,
        physical_address, status, message.
        """
        checked_pid(pid, 0)
        if not 0 <= virt_addr < 2**64:
            raise ValueError(f"not an address: {virt_addr!r}")
        record = abi.VirtToPhys(virt_addr=virt_addr, pid=pid)
        result = self._control("translate", abi.VIRT_TO_PHYS, record)
        return {"virtual_address": virt_addr, "physical_address": record.phys_addr, **result}

    def patch_memory(self, phys_addr: int, patch_data: bytes, restore: bool = False,
                     original_data: Optional[bytes] = None) -> Values:
        """Replaces bytes of physical memory and returns what was there in `original_data` (b"" when
        the status is not 0).

        With `restore`, `original_data` (as long as `patch_data`) is written back, provided that the
        patch is still in place.
        """
        self._check_physical(phys_addr, len(patch_data))
        if restore and (original_data is None or len(original_data) != len(patch_data)):
            raise ValueError("to restore, the original bytes are needed, as many as were patched")
        size = len(patch_data)
        record = abi.MemPatch(phys_addr=phys_addr, size=size, restore=1 if restore else 0)
        record.patch_data[:size] = list(bytes(patch_data))
        if original_data is not None and restore:
            record.original_data[:size] = list(bytes(original_data))
        result = self._control("patch memory", abi.PATCH_MEMORY, record)
        original = bytes(record.original_data)[:size] if record.status == 0 else b""
        return {**result, "original_data": original}

    # ---- helpers ----

    @staticmethod
    def _struct_to_dict(struct_obj: Any, field_mapping: Sequence[Tuple[str, Any]]) -> Values:
        """The named fields of a ctypes structure as plain values."""
        result: Values = {}
        for field_name, _field_type in field_mapping:
            value = getattr(struct_obj, field_name)
            if isinstance(value, bytes):
                value = value.partition(b"\0")[0].decode("utf-8", "replace")
            result[field_name] = value
        return result

    format_bytes = staticmethod(text_format.format_bytes)
    format_time = staticmethod(text_format.format_time)

    def _sections(self) -> Dict[str, Callable[[], Any]]:
        return {
            "memory": self.get_memory_info, "cpu": self.get_cpu_info,
            "network": self.get_network_stats, "filesystem": self.get_filesystem_info,
            "load_average": self.get_load_average, "kernel_config": self.get_kernel_config,
            "processes": self.get_process_list, "modules": self.get_kernel_modules,
            "interrupts": self.get_interrupts, "pci_devices": self.get_pci_devices,
            "block_devices": self.get_block_devices, "thermal": self.get_thermal_info,
        }

    def collect_system_info(self) -> Values:
        """Everything that export_system_info() writes. What cannot be had is named in `errors`."""
        info: Values = {"timestamp": time.time(), "source": self.source}
        errors: Dict[str, str] = {}
        for name, work in self._sections().items():
            try:
                info[name] = work()
            except KernelAPIError as error:
                if self.source == "none":
                    raise
                errors[name] = str(error)
        info["kernel_commands"] = self._all_commands()
        info["errors"] = errors
        return info

    def _all_commands(self) -> Dict[str, str]:
        found = {}
        for command in self.get_all_available_commands():
            try:
                answer = self.execute_kernel_command(command)
            except KernelAPIError:
                continue
            if answer["status"] == 0:
                found[command] = answer["result"]
        return found

    def export_system_info(self, filename: Optional[str] = None) -> str:
        """Writes everything there is to know as JSON and returns the file's name.

        By default the name is made of the time, in the current directory. The file is complete or
        not there: it is written beside its place and then renamed. Only the user may read it.
        """
        name = filename or time.strftime("kernel_info_%Y%m%d_%H%M%S.json")
        info = self.collect_system_info()
        try:
            _write_beside(name, json.dumps(info, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            raise KernelAPIError(f"cannot write {name}: {error.strerror}",
                                 error.errno or 0) from error
        return name


def _write_beside(name: str, text: str) -> None:
    folder = os.path.dirname(os.path.abspath(name))
    fd, temporary = tempfile.mkstemp(prefix=".kernel_info_", dir=folder)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, name)
    except BaseException:
        os.unlink(temporary)
        raise
