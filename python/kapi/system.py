"""The operating system as the client uses it, in one small class.

The client calls nothing else, so a test hands in another object and needs neither a device nor
privileges.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
from pathlib import Path
from typing import Any, List


class System:
    """Everything with an effect outside this process. All methods raise OSError."""

    def __init__(self, proc: str = "/proc", sys: str = "/sys") -> None:
        self.proc = Path(proc)
        self.sys = Path(sys)

    # ---- the device ----

    def open_device(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        """`argument` is a writable buffer, changed in place, or 0."""
        return int(fcntl.ioctl(fd, request, argument))

    def seek(self, fd: int, position: int) -> int:
        return os.lseek(fd, position, os.SEEK_SET)

    def map(self, fd: int, size: int) -> mmap.mmap:
        return mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def netlink(self, protocol: int) -> socket.socket:
        """A bound netlink socket; the kernel chooses the port, so clients do not collide."""
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            sock.bind((0, 0))
        except OSError:
            sock.close()
            raise
        return sock

    # ---- files ----

    def read(self, path: Path) -> str:
        """A whole file as text; bytes that are no UTF-8 survive as surrogates."""
        return path.read_bytes().decode("utf-8", "surrogateescape")

    def names(self, path: Path) -> List[str]:
        return sorted(os.listdir(path))

    def link(self, path: Path) -> str:
        return os.readlink(path)

    def log_records(self) -> List[bytes]:
        """The records of the kernel's log; one that was overwritten meanwhile is left out."""
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        found: List[bytes] = []
        try:
            while True:
                try:
                    found.append(os.read(fd, 8192))
                except BlockingIOError:
                    return found
                except OSError as error:
                    if error.errno != errno.EPIPE:
                        raise
        finally:
            os.close(fd)

    # ---- processes and the machine ----

    def kill(self, pid: int, number: int) -> None:
        os.kill(pid, number)

    def set_affinity(self, pid: int, cpus: List[int]) -> None:
        os.sched_setaffinity(pid, cpus)

    def statvfs(self, path: str) -> os.statvfs_result:
        return os.statvfs(path)

    def uname(self) -> os.uname_result:
        return os.uname()

    def sysconf(self, name: str) -> int:
        return os.sysconf(name)
