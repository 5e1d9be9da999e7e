"""One system call of a guest, as a handler sees it."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import warnings
from typing import TYPE_CHECKING, Optional, Tuple, Union

from .errors import Error, guest_errno
from .library import Library, syscall_name

if TYPE_CHECKING:
    from .kernel import Kernel

_ARGUMENTS = range(6)
_PATH_MAX = 4096


class Answer:
    """How a call is answered, where that is no number: what native(), forward(), return_fd() and
    defer() of a Call return, for that call only."""

    __slots__ = ("call", "code")

    def __init__(self, call: "Call", code: int) -> None:
        self.call = call
        self.code = code


Result = Union[int, Answer]


def result_code(call: "Call", result: object) -> int:
    """What the library is told. Raises TypeError or ValueError for what is no result."""
    if isinstance(result, Answer):
        if result.call is not call:
            raise ValueError("this is the answer of another call")
        return result.code
    if not isinstance(result, int):
        raise TypeError(f"a call is answered with an int or what a method of Call returns, "
                        f"not {type(result).__name__}")
    if not -4095 <= result < 2**63:
        raise ValueError(f"no system call returns {result}")
    return result


class Call:
    """One call of a guest, on its way; given to a handler, and valid until that returns, or after
    defer() until finish(). After that every method raises Error (ESTALE).

    Guest memory is copied: copy once and decide on the copy, since another thread of the guest can
    change it at any time. Methods may be called from any thread.
    """

    __slots__ = ("nr", "kernel", "_library", "_pointer", "_thread", "_lock", "_deferral", "_args")

    def __init__(self, library: Library, kernel: "Kernel", pointer: int, nr: int) -> None:
        self.nr = nr  # the system call's number
        self.kernel = kernel
        self._library = library
        self._pointer = pointer  # 0: answered, and freed
        self._thread = threading.get_ident()
        self._lock = threading.Lock()  # the library may be in there, and the call must not be freed
        self._deferral = 0  # what the library has said to its being deferred; 0: it is not
        self._args: Optional[Tuple[int, ...]] = None

    def __repr__(self) -> str:
        return f"<cerebro.Call {self.name}{'' if self._pointer else ', answered'}>"

    def __del__(self) -> None:
        if not self._deferral or not self._pointer:
            return
        try:
            warnings.warn(f"nobody has answered a deferred {self.name}", ResourceWarning,
                          source=self)
        finally:
            self._return(-errno.EIO)

    def _live(self) -> int:
        if not self._pointer:
            raise Error(errno.ESTALE, "the call is answered",
                        "defer() keeps it beyond its handler")
        return self._pointer

    def _expire(self) -> None:
        """The handler has returned."""
        with self._lock:
            if not self._deferral:
                self._pointer = 0

    # ---- what it is ----

    @property
    def deferred(self) -> bool:
        """Whether defer() was called."""
        return self._deferral != 0

    @property
    def name(self) -> str:
        """The system call's name."""
        return syscall_name(self.nr)

    @property
    def args(self) -> Tuple[int, ...]:
        """The six arguments as unsigned 64 bit numbers; what lies beyond the call's own is
        whatever the registers held."""
        if self._args is None:
            with self._lock:
                pointer = self._live()
                arg = self._library.pk_call_arg
                self._args = tuple([arg(pointer, index) for index in _ARGUMENTS])
        return self._args

    def int_arg(self, index: int) -> int:
        """An argument of type int (descriptors, flags): its lower 32 bits, signed."""
        return ctypes.c_int32(self.args[index] & 0xFFFFFFFF).value

    @property
    def pid(self) -> int:
        """The process that calls, as the host numbers it."""
        with self._lock:
            return int(self._library.pk_call_pid(self._live()))

    @property
    def tid(self) -> int:
        """The thread that calls, as the host numbers it."""
        with self._lock:
            return int(self._library.pk_call_tid(self._live()))

    # ---- guest memory ----

    def _memory_error(self, number: int, address: int, length: int) -> Error:
        hint = "the guest is gone" if number == errno.ESRCH else ""
        return Error(number, f"{self.name}: {os.strerror(number)} "
                     f"({length} bytes at {address:#x})", hint)

    def read(self, address: int, length: int) -> bytes:
        """Copies `length` bytes of the guest. Raises Error: EFAULT when not all of them are there,
        ESRCH when the guest is gone; ValueError for what can be no address or length."""
        _check_range(address, length)
        buffer = ctypes.create_string_buffer(length) if length else None
        with self._lock:
            r = self._library.pk_call_read(self._live(), address, buffer, length)
        if r < 0:
            raise self._memory_error(-r, address, length)
        return buffer.raw if buffer else b""

    def write(self, address: int, data: Union[bytes, bytearray, memoryview]) -> None:
        """Copies bytes to the guest. Raises as read(), and TypeError for what has no bytes."""
        data = memoryview(data).tobytes()  # bytes() would make of a number so many zeros
        _check_range(address, len(data))
        with self._lock:
            r = self._library.pk_call_write(self._live(), address, data, len(data))
        if r < 0:
            raise self._memory_error(-r, address, len(data))

    def read_string(self, address: int, limit: int = _PATH_MAX) -> str:
        """Copies a string that ends with a null byte, decoded as file names are (os.fsdecode).
        Raises as read(), and Error (ENAMETOOLONG) when it does not end within `limit` bytes."""
        _check_range(address, limit)
        buffer = ctypes.create_string_buffer(limit) if limit else None
        with self._lock:
            r = self._library.pk_call_read_string(self._live(), address, buffer, limit)
        if r < 0:
            raise self._memory_error(-r, address, limit)
        return os.fsdecode(buffer.value) if buffer else ""

    # ---- answers ----

    def native(self) -> Answer:
        """The host kernel runs the call as it stands, past the process kernel. Never for a call
        that names something (open, connect, exec): another thread of the guest can change the
        name after your check."""
        with self._lock:
            return Answer(self, self._library.pk_call_native(self._live()))

    def forward(self) -> Answer:
        """The process kernel serves the call as if there were no handler."""
        with self._lock:
            return Answer(self, self._library.pk_call_forward(self._live()))

    def return_fd(self, fd: int, cloexec: bool = False) -> Answer:
        """Gives the guest a duplicate of `fd`, which stays yours; the call returns its number
        there. With `cloexec` it does not outlive an exec. Raises Error (EBADF) for what is no
        open descriptor."""
        with self._lock:
            r = int(self._library.pk_call_return_fd(self._live(), fd, cloexec))
        if r == -errno.EBADF:
            raise Error(errno.EBADF, f"{fd} is no open descriptor")
        return Answer(self, r)

    def defer(self) -> Answer:
        """Answers later, with finish(); no timeout runs. What the handler returns then does not
        matter. Only in the handler, and once."""
        with self._lock:
            pointer = self._live()
            if self._deferral:
                raise Error(errno.EALREADY, "the call is deferred")
            if self._thread != threading.get_ident():
                raise Error(errno.EPERM, "only the handler of a call can defer it")
            self._deferral = self._library.pk_call_defer(pointer)
            return Answer(self, self._deferral)

    def finish(self, result: Union[Result, OSError]) -> bool:
        """Answers a deferred call: a number, forward(), native(), return_fd(), or an OSError.
        Returns whether the guest has still waited. Raises Error (EINVAL) when the call is not
        deferred, TypeError or ValueError for what is no result."""
        if not self._deferral:
            raise Error(errno.EINVAL, "the call is not deferred", "return the result instead")
        if isinstance(result, OSError):
            return self._return(-guest_errno(result))
        code = result_code(self, result)
        if code == self._deferral:
            raise ValueError("a deferred call is answered with something else")
        return self._return(code)

    def _return(self, code: int) -> bool:
        with self._lock:
            pointer = self._live()
            self._pointer = 0
            return bool(self._library.pk_call_return(pointer, code) == 0)


def _check_range(address: int, length: int) -> None:
    if not 0 <= address < 2**64:
        raise ValueError(f"no address: {address!r}")
    if length < 0:
        raise ValueError(f"no length: {length!r}")
