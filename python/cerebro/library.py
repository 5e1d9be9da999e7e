"""libcerebro: where it is found, and its functions with their types.

Functions are bound when they are used for the first time, so that a library that lacks some of
them serves for everything else.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Tuple, Union

from .errors import Error

SONAME = "libcerebro.so.0"

# int (*handler)(struct pk_call *call, void *user), and the one for events.
HANDLER = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class EventRecord(ctypes.Structure):
    """pk_event_t."""

    _fields_ = [("size", ctypes.c_size_t), ("type", ctypes.c_int), ("nr", ctypes.c_int),
                ("status", ctypes.c_int), ("text", ctypes.c_char_p)]


class StatisticsRecord(ctypes.Structure):
    """pk_statistics_t."""

    _fields_ = [("size", ctypes.c_size_t), ("syscalls_intercepted", ctypes.c_uint64),
                ("memory_allocated", ctypes.c_uint64), ("io_operations", ctypes.c_uint64),
                ("errors", ctypes.c_uint64), ("served", ctypes.c_uint64),
                ("denials", ctypes.c_uint64)]


NO_HANDLER = HANDLER(0)
EVENT_HANDLER = ctypes.CFUNCTYPE(None, ctypes.POINTER(EventRecord), ctypes.c_void_p)

_POINTER, _INT, _LONG, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p
_ARGV = ctypes.POINTER(_TEXT)

# Name: result, arguments.
PROTOTYPES: Dict[str, Tuple[Any, Tuple[Any, ...]]] = {
    "pk_init": (_INT, ()),
    "pk_last_error": (_TEXT, ()),
    "pk_last_hint": (_TEXT, ()),
    "pk_syscall_number": (_INT, (_TEXT,)),
    "pk_syscall_name": (_TEXT, (_INT,)),
    "pk_create": (_POINTER, (_INT, _TEXT)),
    "pk_destroy": (None, (_POINTER,)),
    "pk_get_current": (_POINTER, ()),
    "pk_get_stats": (None, (_POINTER, ctypes.POINTER(StatisticsRecord))),
    "pk_set_option": (_INT, (_POINTER, _TEXT, _TEXT)),
    "pk_bind": (_INT, (_POINTER, _TEXT, _TEXT, ctypes.c_bool)),
    "pk_limit": (_INT, (_POINTER, _TEXT, ctypes.c_uint64)),
    "pk_deny": (_INT, (_POINTER, _INT, _INT)),
    "pk_allow": (_INT, (_POINTER, _INT)),
    "pk_hide": (_INT, (_POINTER, _TEXT)),
    "pk_set_profile": (_INT, (_POINTER, _TEXT)),
    "pk_net_allow": (_INT, (_POINTER, _TEXT)),
    "pk_net_deny": (_INT, (_POINTER, _TEXT)),
    "pk_set_handler": (_INT, (_POINTER, _INT, HANDLER, _POINTER)),
    "pk_set_handler_timeout": (_INT, (_POINTER, ctypes.c_uint)),
    "pk_set_fence": (_INT, (_POINTER, ctypes.c_bool)),
    "pk_set_event_handler": (_INT, (_POINTER, EVENT_HANDLER, _POINTER)),
    "pk_call_arg": (ctypes.c_uint64, (_POINTER, ctypes.c_uint)),
    "pk_call_pid": (_INT, (_POINTER,)),
    "pk_call_tid": (_INT, (_POINTER,)),
    "pk_call_read": (_INT, (_POINTER, ctypes.c_uint64, _POINTER, ctypes.c_size_t)),
    "pk_call_write": (_INT, (_POINTER, ctypes.c_uint64, _TEXT, ctypes.c_size_t)),
    "pk_call_read_string": (ctypes.c_ssize_t,
                            (_POINTER, ctypes.c_uint64, _POINTER, ctypes.c_size_t)),
    "pk_call_native": (_LONG, (_POINTER,)),
    "pk_call_forward": (_LONG, (_POINTER,)),
    "pk_call_return_fd": (_LONG, (_POINTER, _INT, ctypes.c_bool)),
    "pk_call_defer": (_LONG, (_POINTER,)),
    "pk_call_return": (_INT, (_POINTER, _LONG)),
    "pk_spawn": (_INT, (_POINTER, _ARGV)),
    "pk_signal": (_INT, (_POINTER, _INT)),
    "pk_wait": (_INT, (_POINTER, ctypes.POINTER(_INT))),
    "pk_attach": (_INT, (_POINTER, _INT)),
    "pk_detach": (_INT, (_POINTER,)),
    "pk_register_allocator": (_INT, (_POINTER, _POINTER, _POINTER)),
    "pk_malloc": (_POINTER, (_POINTER, ctypes.c_size_t)),
    "pk_free": (None, (_POINTER, _POINTER)),
}

# These never wait, so that they are called without letting go of the interpreter's lock.
QUICK = frozenset((
    "pk_last_error", "pk_last_hint", "pk_syscall_number", "pk_syscall_name", "pk_get_current",
    "pk_call_arg", "pk_call_pid", "pk_call_tid", "pk_call_native", "pk_call_forward",
    "pk_call_defer"))

# The release that has brought what the first ones lacked.
NEEDED = "0.1.0"


class Library:
    """The loaded library: its functions are attributes. Functions are safe in every thread."""

    def __init__(self, path: str) -> None:
        """Loads the library. Raises Error (ENOENT) when that cannot be done."""
        self.path = path
        try:
            self._waiting = ctypes.CDLL(path)
            self._quick = ctypes.PyDLL(path)
        except OSError as error:
            raise Error(errno.ENOENT, f"cannot load the library: {error}",
                        "set CEREBRO_LIBRARY to the path of libcerebro.so") from error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in PROTOTYPES:
            raise AttributeError(name)
        try:
            function = getattr(self._quick if name in QUICK else self._waiting, name)
        except AttributeError:
            raise Error(errno.ENOSYS, f"{self.path} has no {name}()",
                        f"libcerebro {NEEDED} or later is needed; this is an earlier state "
                        f"of it") from None
        function.restype, function.argtypes = PROTOTYPES[name]
        setattr(self, name, function)
        bound: Callable[..., Any] = function
        return bound

    def has(self, name: str) -> bool:
        """Whether the library has this function."""
        return hasattr(self._quick, name)

    def check(self, result: int) -> int:
        """The result, unless it is a negative errno: raises Error with what the library says."""
        if result < 0:
            raise self.last_error(-result)
        return result

    def last_error(self, number: int) -> Error:
        """What went wrong last in this thread. Lack of memory has no sentence of its own."""
        if number == errno.ENOMEM:
            return Error(number)
        return Error(number, self.pk_last_error().decode(errors="replace"),
                     self.pk_last_hint().decode(errors="replace"))


def _candidates() -> Iterator[str]:
    """Where the library may be, best first: the prefix that this package is installed in, that of
    the interpreter, and where the loader looks."""
    prefixes = [*Path(__file__).resolve().parents[1:6], Path(sys.prefix)]
    for prefix in prefixes:
        for folder in ("lib", "lib64", f"lib/{os.uname().machine}-linux-gnu"):
            path = prefix / folder / SONAME
            if path.exists():
                yield str(path)
    found = ctypes.util.find_library("cerebro")
    if found:
        yield found


def find() -> str:
    """The path or name of the library: CEREBRO_LIBRARY in the environment, else what is installed,
    else its name as the loader knows it."""
    told = os.environ.get("CEREBRO_LIBRARY")
    return told if told else next(_candidates(), SONAME)


_lock = threading.Lock()
_loaded: Optional[Library] = None


def load() -> Library:
    """The library, loaded the first time. Raises Error (ENOENT) when there is none."""
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = Library(find())
        return _loaded


def encode(text: "Union[str, bytes, os.PathLike[str]]") -> bytes:
    """Text as the library takes it. Raises ValueError for a null byte, at which it would end."""
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise ValueError(f"a null byte in {text!r}")
    return encoded


def syscall_number(name: str) -> int:
    """The number of a system call of x86-64, by its name. Raises Error (EINVAL) when there is no
    such call."""
    library = load()
    return library.check(library.pk_syscall_number(encode(name)))


def syscall_name(number: int) -> str:
    """The name of a system call of x86-64. Raises Error (EINVAL) when there is no such number."""
    known = 0 <= number < 2**31
    name: Optional[bytes] = load().pk_syscall_name(number) if known else None
    if name is None:
        raise Error(errno.EINVAL, f"there is no system call {number}", "see: cerebro syscalls")
    return name.decode()
