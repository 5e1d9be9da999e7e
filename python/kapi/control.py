"""The control methods: they change the machine, and need the rights to do so.

Each returns a dictionary with `status` (0, or a negative errno), `message` (in words) and `source`.
A refusal by the driver is a status and no exception; exceptions are for calls that could not be
made. kill, suspend, resume and affinity work without the device, too, within the rights of the
caller; all others raise RuntimeError then.
"""

from __future__ import annotations

import errno
import signal as signals
from typing import Any, Callable, Dict, List, Optional

from . import abi
from .errors import KernelAPIError, describe
from .information import Information

Status = Dict[str, Any]

_DANGEROUS = [
    "kill_process", "suspend_process", "resume_process", "load_kernel_module",
    "unload_kernel_module", "toggle_network_interface", "mount_filesystem", "unmount_filesystem",
    "inject_kernel_log", "force_memory_reclaim", "set_cpu_affinity", "panic_kernel",
    "read_physical_memory", "write_physical_memory", "virtual_to_physical", "patch_memory",
]


def _status(status: int, message: str, source: str) -> Status:
    return {"status": status, "message": message or describe(status), "source": source}


def checked_pid(pid: int, lowest: int = 1) -> int:
    """0 and negative numbers mean whole groups to kill(2): never through here."""
    if not isinstance(pid, int) or not lowest <= pid < 2**31:
        raise ValueError(f"not the number of a process: {pid!r}")
    return pid


def _cpus_of(mask: int) -> List[int]:
    return [number for number in range(64) if mask >> number & 1]


class Control(Information):
    """The methods of ioctls 15 to 26."""

    def _control(self, what: str, request: int, record: Any) -> Status:
        """Never repeated: the first attempt may have had its effect."""
        self._call(request, record, what)
        # The message of a log line is what was sent, not what came of it.
        said = b"" if isinstance(record, abi.LogInjection) else record.message
        return _status(record.status, said.decode("utf-8", "replace"), "device")

    def _plain_control(self, what: str, request: int) -> Status:
        """Commands without a structure tell by errno."""
        self._need_device(what)
        try:
            self._call(request, 0, what)
        except KernelAPIError as error:
            if error.errno in (errno.ENOTTY, errno.EBADF):
                raise
            return _status(-error.errno, str(error), "device")
        return _status(0, f"{what}: done", "device")

    def _on_host(self, what: str, work: Callable[[], None]) -> Optional[Status]:
        """Does it with a system call of ours when the fallback answers; None: ask the device."""
        if self.connected or not self._reading_host:
            return None
        try:
            work()
        except OSError as error:
            return _status(-(error.errno or errno.EIO), f"{what}: {error.strerror}", "syscall")
        return _status(0, f"{what}: done", "syscall")

    def _signal(self, what: str, request: int, pid: int, number: int) -> Status:
        checked_pid(pid)
        if not 0 <= number <= 64:
            raise ValueError(f"not a signal: {number!r}")
        record = abi.ProcessControl(pid=pid, signal=number)
        done = self._on_host(what, lambda: self.system.kill(pid, number))
        return done if done is not None else self._control(what, request, record)

    def kill_process(self, pid: int, signal: int = 9) -> Status:
        """Sends a signal (default SIGKILL; 0 only checks) to one process.

        Raises ValueError for pids below 1 and numbers that are no signal.
        """
        return self._signal("kill", abi.KILL_PROCESS, pid, signal)

    def suspend_process(self, pid: int) -> Status:
        """Stops a process (SIGSTOP) until it is resumed."""
        return self._signal("suspend", abi.SUSPEND_PROCESS, pid, int(signals.SIGSTOP))

    def resume_process(self, pid: int) -> Status:
        """Lets a stopped process go on (SIGCONT)."""
        return self._signal("resume", abi.RESUME_PROCESS, pid, int(signals.SIGCONT))

    def set_cpu_affinity(self, pid: int, cpu_mask: int) -> Status:
        """Restricts a process (0: the caller) to the processors of a mask: bit N is processor N.

        Raises ValueError for an empty mask or one of more than 64 bits.
        """
        checked_pid(pid, 0)
        if not 0 < cpu_mask < 2**64:
            raise ValueError(f"not a mask of processors 0 to 63: {cpu_mask!r}")
        record = abi.CpuControl(pid=pid, mask=cpu_mask)
        done = self._on_host("affinity",
                             lambda: self.system.set_affinity(pid, _cpus_of(cpu_mask)))
        return done if done is not None else self._control("affinity", abi.SET_CPU_AFFINITY, record)

    def load_kernel_module(self, path: str, params: str = "") -> Status:
        """Loads a module from a file (absolute path), with parameters "NAME=VALUE ..."."""
        record = abi.ModuleControl(path=self._encode_text(path, "path", 256),
                                   params=self._encode_text(params, "params", 256))
        return self._control("load module", abi.LOAD_MODULE, record)

    def unload_kernel_module(self, name: str) -> Status:
        """Removes a module by its name."""
        record = abi.ModuleControl(name=self._encode_text(name, "name", 64))
        return self._control("unload module", abi.UNLOAD_MODULE, record)

    def toggle_network_interface(self, interface: str, up: bool = True) -> Status:
        """Takes an interface of the caller's network namespace up or down."""
        record = abi.NetControl(interface=self._encode_text(interface, "interface", 16),
                                up=1 if up else 0)
        return self._control("interface", abi.TOGGLE_INTERFACE, record)

    def mount_filesystem(self, device: str, path: str, fs_type: str = "ext4",
                         options: str = "") -> Status:
        """Mounts `device` at `path`; `options` as for mount -o."""
        record = abi.FsControl(device=self._encode_text(device, "device", 128),
                               path=self._encode_text(path, "path", 256),
                               type=self._encode_text(fs_type, "type", 32),
                               options=self._encode_text(options, "options", 256))
        return self._control("mount", abi.MOUNT_FS, record)

    def unmount_filesystem(self, path: str) -> Status:
        """Unmounts what is mounted at `path`."""
        record = abi.FsControl(path=self._encode_text(path, "path", 256))
        return self._control("unmount", abi.UMOUNT_FS, record)

    def inject_kernel_log(self, message: str, level: str = "INFO") -> Status:
        """Writes a line to the kernel's log; the driver marks it with the caller's ids.

        A message of more than 511 bytes is cut at a character.
        """
        text = self._encode_string(message.replace("\0", ""), 511)
        record = abi.LogInjection(message=text, level=self._encode_text(level, "level", 16))
        return self._control("log", abi.INJECT_LOG, record)

    def force_memory_reclaim(self) -> Status:
        """Makes the kernel drop its caches: everything is slower for a while."""
        return self._plain_control("reclaim", abi.FORCE_PAGE_RECLAIM)

    def panic_kernel(self) -> None:
        """Crashes the machine at once. Returns only by raising RuntimeError: it was refused."""
        self._need_device("panic")
        self._call(abi.PANIC_KERNEL, 0, "panic")
        raise KernelAPIError("panic: the kernel goes on", errno.EPERM)

    @staticmethod
    def _encode_string(string_value: Any, max_length: int) -> bytes:
        """Text as UTF-8 (bytes as they are) of at most `max_length` bytes, no character halved."""
        if not isinstance(string_value, str):
            return bytes(string_value)[:max_length]
        data = string_value.encode("utf-8", "surrogateescape")
        end = min(max_length, len(data))
        while 0 < end < len(data) and data[end] & 0xc0 == 0x80:
            end -= 1  # the cut would be within a character
        return data[:end]

    def get_dangerous_commands(self) -> List[str]:
        """Names of the methods that change the machine or reach into its memory."""
        return list(_DANGEROUS)
