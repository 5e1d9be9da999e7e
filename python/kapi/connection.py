"""The way to the device: opening, commands, batches, the shared buffer and netlink."""

from __future__ import annotations

import ctypes
import errno
import mmap
import socket
import time
from typing import Any, Callable, List, Optional, Sequence, Tuple, Type, TypeVar

from . import abi, netlink
from .errors import KernelAPIError, NotConnectedError, describe, device_error
from .system import System

R = TypeVar("R", bound=abi.Record)
T = TypeVar("T")

_TRANSIENT = (errno.EINTR, errno.EAGAIN, errno.EBUSY)
_ATTEMPTS = 4
_FIRST_PAUSE = 0.01  # seconds; doubled with each attempt
_RECORDS_BUFFER = 256 * 1024
_LIST_BUFFER = 256 * 1024
_ENDLESS = 4096  # rounds after which a list that never ends is taken for a broken driver


class Connection:
    """An open device, or the knowledge that there is none.

    One object may be used by several threads, but not while another one connects or disconnects.
    """

    def __init__(self, device: str = abi.DEVICE_PATH, fallback: bool = True,
                 netlink_timeout: float = 2.0, system: Optional[System] = None) -> None:
        self.device_path = device
        self.fallback = fallback
        self.netlink_timeout = netlink_timeout
        self.system = system if system is not None else System()
        self.device_fd: Optional[int] = None
        self.netlink_socket: Optional[socket.socket] = None
        self.shared_memory: Optional[mmap.mmap] = None
        self.connected = False
        self.last_error: Optional[KernelAPIError] = None
        self.version: Optional[abi.Version] = None
        self._reading_host = False  # connect() found no device, and the fallback is allowed
        self._no_netlink = "the client is not connected"
        self._no_shared_memory = "the client is not connected"

    # ---- coming and going ----

    def connect(self) -> bool:
        """Opens the device, maps its buffer and makes the netlink socket.

        Returns True when the device is open. Returns False when there is no device or the user may
        not open it; `last_error` says why, and with `fallback` the information methods answer from
        /proc and /sys from now on. Netlink and the shared buffer are optional: without them only
        their own methods fail.

        Raises RuntimeError when the device is there and does not work.
        """
        if self.connected:
            return True
        try:
            self.device_fd = self.system.open_device(self.device_path)
        except OSError as error:
            return self._without_device(error)
        self.connected = True
        self._reading_host = False
        self.last_error = None
        try:
            self.version = self._ask_version()
            self._map()
            self._open_netlink()
        except BaseException:
            self.disconnect()
            raise
        return True

    def _without_device(self, error: OSError) -> bool:
        self.last_error = NotConnectedError(
            f"{self.device_path}: {describe(error.errno or errno.ENODEV)}",
            error.errno or errno.ENODEV)
        if error.errno not in (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM,
                               errno.ENOTDIR):
            raise device_error(f"cannot open {self.device_path}", error) from error
        self._reading_host = self.fallback
        return False

    def _ask_version(self) -> Optional[abi.Version]:
        version = abi.Version(size=ctypes.sizeof(abi.Version))
        try:
            self._call(abi.GET_VERSION, version, "version")
        except KernelAPIError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                return None  # a driver of the first version
            raise
        return version

    def _map(self) -> None:
        assert self.device_fd is not None
        try:
            self.shared_memory = self.system.map(self.device_fd, abi.SHARED_BUFFER_SIZE)
        except (OSError, ValueError) as error:
            self._no_shared_memory = f"the buffer cannot be mapped: {error}"

    def _open_netlink(self) -> None:
        try:
            self.netlink_socket = self.system.netlink(abi.NETLINK_KAPI)
        except OSError as error:
            self._no_netlink = describe(error.errno or 0)

    def disconnect(self) -> None:
        """Releases device, buffer and socket. Harmless when there is nothing to release."""
        if self.shared_memory is not None:
            self.shared_memory.close()
            self.shared_memory = None
        if self.netlink_socket is not None:
            self.netlink_socket.close()
            self.netlink_socket = None
        if self.device_fd is not None:
            fd, self.device_fd = self.device_fd, None
            self.system.close(fd)
        self.connected = False
        self._reading_host = False
        self.version = None
        self._no_netlink = self._no_shared_memory = "the client is not connected"

    def is_connected(self) -> bool:
        """True while the device is open. False also while the fallback answers."""
        return self.connected

    @property
    def source(self) -> str:
        """Where answers come from: "device", "host" (/proc, /sys, netlink) or "none"."""
        if self.connected:
            return "device"
        return "host" if self._reading_host else "none"

    def features(self) -> List[str]:
        """What the driver and its parameters allow; empty for a driver of the first version."""
        if self.version is None:
            return []
        return [name for bit, name in abi.FEATURES.items() if self.version.features & bit]

    # ---- commands ----

    def _need_device(self, what: str) -> int:
        if self.device_fd is None or not self.connected:
            reason = str(self.last_error) if self.last_error else "call connect() first"
            number = self.last_error.errno if self.last_error else errno.ENOTCONN
            raise NotConnectedError(f"{what}: not connected ({reason})", number)
        return self.device_fd

    def _call(self, request: int, argument: Any, what: str) -> int:
        """One ioctl. Raises KernelAPIError."""
        fd = self._need_device(what)
        try:
            return self.system.ioctl(fd, request, argument)
        except OSError as error:
            raise device_error(what, error) from error

    def _ask(self, request: int, record: R, what: str) -> R:
        """An information command: asked again a few times when the driver is busy."""
        pause = _FIRST_PAUSE
        for attempt in range(_ATTEMPTS):
            try:
                self._call(request, record, what)
                return record
            except KernelAPIError as error:
                if error.errno not in _TRANSIENT or attempt + 1 == _ATTEMPTS:
                    raise
            time.sleep(pause)
            pause *= 2
        return record

    def _device_or(self, what: str, device: Callable[[], T], host: Callable[[], T]) -> T:
        """What the device says; without one, what the host's files say."""
        if self.connected or not self._reading_host:
            self._need_device(what)
            return device()
        try:
            return host()
        except (OSError, ValueError, IndexError) as error:
            number = getattr(error, "errno", None) or 0
            raise KernelAPIError(f"{what}: {error}", number) from error

    # ---- several records ----

    def _batch(self, entries: Sequence[Tuple[int, int, Any]]) -> List[abi.BatchEntry]:
        """Runs (command, index, buffer) entries in one call; needs a driver that has it."""
        array = (abi.BatchEntry * len(entries))()
        for slot, (command, index, buffer) in zip(array, entries):
            slot.command, slot.index = command, index
            slot.buffer, slot.length = ctypes.addressof(buffer), ctypes.sizeof(buffer)
        batch = abi.Batch(size=ctypes.sizeof(abi.Batch), count=len(entries),
                          entry_size=ctypes.sizeof(abi.BatchEntry),
                          entries=ctypes.addressof(array))
        self._ask(abi.BATCH, batch, "batch")
        return list(array)

    def _records(self, command: int, request: int, record: Type[R], what: str) -> List[R]:
        """All records of a command that answers for one at a time."""
        if self.version is None:
            return self._records_one_by_one(request, record, what)
        found: List[R] = []
        buffer = (ctypes.c_ubyte * _RECORDS_BUFFER)()
        index = 0
        for _ in range(_ENDLESS):
            entry = self._batch([(command, index, buffer)])[0]
            if entry.status == -errno.ENODATA:
                return found
            if entry.status:
                raise KernelAPIError(f"{what}: {describe(entry.status)}", -entry.status)
            size = ctypes.sizeof(record)
            count = min(entry.count, len(buffer) // size)
            found += [record.from_buffer_copy(buffer, at * size) for at in range(count)]
            if not entry.flags & abi.ENTRY_MORE or count == 0 or entry.index <= index:
                return found
            index = entry.index
        raise KernelAPIError(f"{what}: the list does not end", errno.EIO)

    def _records_one_by_one(self, request: int, record: Type[R], what: str) -> List[R]:
        """The first version's way: a cursor in the open file, back at the start after ENODATA."""
        found: List[R] = []
        for _ in range(_ENDLESS * 16):
            try:
                found.append(self._ask(request, record(), what))
            except KernelAPIError as error:
                if error.errno == errno.ENODATA:
                    return found
                raise
        raise KernelAPIError(f"{what}: the list does not end", errno.EIO)

    def _process_records(self) -> Tuple[List[Tuple[Any, ...]], int]:
        """The fields of all processes, and when the list was begun (nanoseconds after boot)."""
        size = abi.PROCESS_STRUCT.size
        buffer = bytearray(_LIST_BUFFER // size * size)
        room = (ctypes.c_ubyte * len(buffer)).from_buffer(buffer)
        found: List[Tuple[Any, ...]] = []
        cursor = begin = 0
        for _ in range(_ENDLESS):
            ask = abi.ProcessList(size=ctypes.sizeof(abi.ProcessList), cursor=cursor,
                                  buffer=ctypes.addressof(room), length=len(buffer),
                                  record_size=size)
            self._ask(abi.GET_PROCESS_LIST, ask, "process list")
            begin = begin or ask.time_ns
            end = min(ask.count * size, len(buffer))
            found += abi.PROCESS_STRUCT.iter_unpack(memoryview(buffer)[:end])
            if not ask.flags & abi.LIST_TRUNCATED or ask.cursor == cursor:
                return found, begin
            cursor = ask.cursor
        raise KernelAPIError("process list: it does not end", errno.EIO)

    # ---- shared buffer ----

    def _buffer(self) -> mmap.mmap:
        if self.shared_memory is None:
            raise NotConnectedError(f"shared memory is not available: {self._no_shared_memory}")
        return self.shared_memory

    def _range(self, size: int, offset: int) -> None:
        if offset < 0 or size < 0 or offset + size > abi.SHARED_BUFFER_SIZE:
            raise ValueError(f"{size} bytes at {offset} are not within the buffer of "
                             f"{abi.SHARED_BUFFER_SIZE} bytes")

    def write_shared_memory(self, data: Any, offset: int = 0) -> None:
        """Writes bytes, or text as UTF-8, to the buffer shared with the driver.

        `offset` and the length of `data` are in bytes and must lie within its 16 KiB.
        Raises RuntimeError without a buffer, ValueError outside of it, TypeError for other data.
        """
        payload = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(
            memoryview(data))
        buffer = self._buffer()
        self._range(len(payload), offset)
        buffer[offset:offset + len(payload)] = payload
        try:
            buffer.flush()
        except OSError:  # drivers of the first version have no fsync; the mapping is coherent
            pass

    def read_shared_bytes(self, size: Optional[int] = None, offset: int = 0) -> bytes:
        """The buffer's bytes as they are, by default to its end. Errors as for writing."""
        buffer = self._buffer()
        length = abi.SHARED_BUFFER_SIZE - offset if size is None else size
        self._range(length, offset)
        return buffer[offset:offset + length]

    def read_shared_memory(self, size: Optional[int] = None, offset: int = 0) -> str:
        """The buffer's content as text.

        With `size` exactly that many bytes count, NULs included. Without it the rest of the buffer
        is read and the zeros at its end are left out. Bytes that are no UTF-8 become surrogates
        (PEP 383), so that ``text.encode("utf-8", "surrogateescape")`` gives them back.
        """
        data = self.read_shared_bytes(size, offset)
        if size is None:
            data = data.rstrip(b"\0")
        return data.decode("utf-8", "surrogateescape")

    # ---- netlink ----

    def send_netlink_message(self, message: str) -> str:
        """Sends text over netlink family 31 and returns the kernel's answer.

        Only answers of the kernel itself count. Raises RuntimeError when there is no such family,
        no answer within `netlink_timeout` seconds or a refusal; ValueError for a message of more
        than 1008 bytes.
        """
        if self.netlink_socket is None:
            raise NotConnectedError(f"netlink is not available: {self._no_netlink}")
        return netlink.exchange(self.netlink_socket, message, self.netlink_timeout,
                                abi.NETLINK_MAX_REPLY)
