"""A kernel of the tests' own behind the client: devices, netlink and files, nothing real."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

sys.path.insert(0, os.environ.get("KAPI_PYTHON", str(Path(__file__).resolve().parents[2] / "python")))

from kapi import abi  # noqa: E402
from kapi.system import System  # noqa: E402


def fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class FakeSocket:
    """Queued datagrams: (bytes, flags, sender)."""

    def __init__(self) -> None:
        self.sent: List[bytes] = []
        self.queue: List[Tuple[bytes, int, Tuple[int, int]]] = []
        self.closed = False

    def getsockname(self) -> Tuple[int, int]:
        return (4711, 0)

    def sendto(self, data: bytes, address: Tuple[int, int]) -> int:
        assert address == (0, 0)
        self.sent.append(data)
        return len(data)

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def recvmsg(self, size: int) -> Tuple[bytes, list, int, Tuple[int, int]]:
        if not self.queue:
            raise socket.timeout("timed out")
        data, flags, sender = self.queue.pop(0)
        return data[:size], [], flags, sender

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "FakeSocket":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def reply(text: bytes, kind: int = 0, port: int = 4711, sequence: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(text), kind, 0, sequence, port) + text


class FakeSystem(System):
    """The device answers with the functions in `commands`; others are ENOTTY."""

    def __init__(self, *args: Any, fd: int = 0, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fd = fd  # 0: a valid descriptor that a careless client takes for none
        self.commands: Dict[int, Callable[[Any], None]] = {}
        self.calls: List[int] = []
        self.open_error: Optional[int] = None
        self.closed: List[int] = []
        self.memory = mmap.mmap(-1, abi.SHARED_BUFFER_SIZE)
        self.socket: Any = FakeSocket()
        self.killed: List[Tuple[int, int]] = []
        self.affinities: List[Tuple[int, List[int]]] = []

    def open_device(self, path: str) -> int:
        if self.open_error:
            raise fail(self.open_error)
        return self.fd

    def close(self, fd: int) -> None:
        self.closed.append(fd)

    def ioctl(self, fd: int, request: int, argument: Any) -> int:
        assert fd == self.fd
        self.calls.append(request)
        if request not in self.commands:
            raise fail(errno.ENOTTY)
        self.commands[request](argument)
        return 0

    def map(self, fd: int, size: int) -> mmap.mmap:
        assert (fd, size) == (self.fd, abi.SHARED_BUFFER_SIZE)
        return self.memory

    def netlink(self, protocol: int) -> Any:
        if self.socket is None:
            raise fail(errno.EPROTONOSUPPORT)
        return self.socket

    def kill(self, pid: int, number: int) -> None:
        self.killed.append((pid, number))

    def set_affinity(self, pid: int, cpus: List[int]) -> None:
        self.affinities.append((pid, cpus))

    # ---- a driver with the commands beyond 30 ----

    def have_version(self) -> None:
        def version(record: abi.Version) -> None:
            assert record.size == ctypes.sizeof(abi.Version)
            record.abi_version, record.features = 1, 0x13
            record.module_version = b"1.2"
        self.commands[abi.GET_VERSION] = version

    def have_batch(self, work: Callable[[abi.BatchEntry], None]) -> None:
        def batch(record: abi.Batch) -> None:
            assert record.entry_size == ctypes.sizeof(abi.BatchEntry)
            entries = (abi.BatchEntry * record.count).from_address(record.entries)
            for entry in entries:
                work(entry)
        self.have_version()
        self.commands[abi.BATCH] = batch


def put(entry: abi.BatchEntry, records: List[abi.Record]) -> None:
    """Writes records behind one another into an entry's buffer, as many as fit."""
    size = ctypes.sizeof(records[0])
    fitting = records[:entry.length // size]
    for at, record in enumerate(fitting):
        ctypes.memmove(entry.buffer + at * size, ctypes.addressof(record), size)
    entry.count, entry.length = len(fitting), size * len(fitting)
