"""Kernel: a process kernel, its guest and its handlers.

Who holds whom: the library's callbacks carry a number, by which a table of weak references finds
the Kernel. So a Kernel that nobody knows any more can be collected although its guest runs, and a
handler that returns after that comes back to code that still exists.
"""

from __future__ import annotations

import _thread
import atexit
import ctypes
import errno
import itertools
import logging
import os
import signal
import threading
import warnings
import weakref
from contextlib import contextmanager
from types import TracebackType
from typing import (Any, Callable, Dict, Iterator, Optional, Sequence, Set, Type, TypeVar, Union)

from . import library as lib
from .call import Call, Result, result_code
from .errors import Error, guest_errno
from .memory import Memory
from .values import Event, EventType, ExitStatus, KernelType, Statistics

Handler = Callable[[Call], Result]
EventHandler = Callable[[Event], object]
Syscall = Union[int, str]  # a number, or a name as in the manual: "openat"
Path = Union[str, "os.PathLike[str]"]

_H = TypeVar("_H", bound=Handler)
_E = TypeVar("_E", bound=Optional[EventHandler])

_log = logging.getLogger("cerebro")
_log.addHandler(logging.NullHandler())

_NUMBER_BITS = 10  # of a system call, in the number that a callback carries
_NUMBER_MASK = (1 << _NUMBER_BITS) - 1

_tokens = itertools.count(1)
_event_threads: Set[int] = set()  # those that tell of an event
_kernels: "weakref.WeakValueDictionary[int, Kernel]" = weakref.WeakValueDictionary()


def _on_call(pointer: int, carried: int) -> int:
    kernel = _kernels.get(carried >> _NUMBER_BITS)
    return -errno.EIO if kernel is None else kernel._serve(pointer, carried & _NUMBER_MASK)


def _on_event(record: Any, carried: int) -> None:
    me = threading.get_ident()
    outermost = me not in _event_threads
    _event_threads.add(me)
    kernel = _kernels.get(carried >> _NUMBER_BITS)
    try:
        if kernel is not None:
            kernel._receive(record.contents)
    finally:
        kernel = None  # nobody else may know it any more; that is still in the callback
        if outermost:
            _event_threads.discard(me)


def _is_in_callback(library: lib.Library) -> bool:
    return threading.get_ident() in _event_threads or library.pk_get_current() is not None


# Never freed: a handler that hangs may return at any time.
_CALL_ENTRY = lib.HANDLER(_on_call)
_EVENT_ENTRY = lib.EVENT_HANDLER(_on_event)


class Kernel:
    """A process kernel.

        with cerebro.Kernel("slow", type=cerebro.CUSTOM) as kernel:
            @kernel.handler("openat")
            def slow(call):
                time.sleep(0.01)
                return call.forward()
            kernel.spawn(["/bin/ls", "-l"])
            status = kernel.wait()

    `name` (at most 63 bytes) is for people, as in `cerebro ps`. At the end of the with statement,
    or with close(), the guest is ended; the end of the program does that, too.

    Handlers and event handlers run on threads of the library, several at a time as far as the
    interpreter's lock allows. What a handler may answer is described at handler(). A segmentation
    fault in a handler (in an extension module, say) ends the program and with it the guests, as
    everywhere in Python: `python3 -X faulthandler` tells where.

    Every method may be called from any thread. Failures are Error, with `errno`; that a method
    which prepares a guest comes too late is EBUSY, and EBADF that the kernel is closed.
    """

    def __init__(self, name: Optional[str] = None,
                 type: KernelType = KernelType.GENERIC) -> None:
        """Raises Error: ENOSYS for a type that is not there yet (WINDOWS), EINVAL for no type,
        ENOENT when there is no library."""
        self._pointer = 0
        self.name = name or "cerebro"
        self.type = type
        self.pid: Optional[int] = None  # of the first process of the last guest
        self._status: Optional[ExitStatus] = None
        self._handlers: Dict[int, Handler] = {}
        self._event_handler: Optional[EventHandler] = None
        self._in_event: Set[int] = set()  # threads
        self._state = threading.Condition()  # guards the next three
        self._users = 0  # threads that are in the library with our pointer
        self._closed = False
        self._foreign = False  # made by the parent process, before a fork
        self._starting = threading.RLock()  # the event STARTED comes while it is held
        self._ended = threading.Event()
        self._ended.set()
        self._library = lib.load()
        self._token = next(_tokens)
        self._create()
        _kernels[self._token] = self

    def _create(self) -> None:
        pointer = self._library.pk_create(int(self.type), lib.encode(self.name))
        if pointer is None:
            number = errno.ENOSYS if self.type == KernelType.WINDOWS else errno.EINVAL
            raise self._library.last_error(number)
        self._pointer = pointer
        carried = self._token << _NUMBER_BITS
        self._library.pk_set_event_handler(pointer, _EVENT_ENTRY, carried)
        # A handler that is left in the middle would keep the interpreter's lock for ever.
        self._library.check(self._library.pk_set_fence(pointer, False))

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"guest {self.pid}" if self.running else "no guest"
        return f"<cerebro.Kernel {self.name!r}, {state}>"

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._pointer or self._closed or self._foreign:
            return
        try:
            if self.running:
                warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self)
        finally:
            self._end_forgotten()

    def _end_forgotten(self) -> None:
        """A callback was perhaps the last one to know the kernel, and would wait for itself."""
        if not _is_in_callback(self._library):
            self.close()
            return
        self._closed = True
        _thread.start_new_thread(self._library.pk_destroy, (self._pointer,))

    # ---- the way into the library ----

    @contextmanager
    def _use(self) -> Iterator[int]:
        """The pointer, which is not freed meanwhile."""
        with self._state:
            if self._foreign:
                raise Error(errno.EBADF, f"kernel {self.name} belongs to the parent process",
                            "make another one after the fork")
            if self._closed:
                raise Error(errno.EBADF, f"kernel {self.name} is closed")
            self._users += 1
        try:
            yield self._pointer
        finally:
            with self._state:
                self._users -= 1
                self._state.notify_all()

    def _do(self, function: str, *arguments: object) -> int:
        """Calls a function with the kernel as its first argument. Raises Error when it fails."""
        with self._use() as pointer:
            result = getattr(self._library, function)(pointer, *arguments)
            return self._library.check(result)

    def _refuse_inside(self, what: str) -> None:
        """In a callback of this kernel the end of its guest would be waited for in vain."""
        inside = threading.get_ident() in self._in_event
        if inside or (self._pointer and self._library.pk_get_current() == self._pointer):
            raise Error(errno.EDEADLK, f"a handler cannot {what} its own kernel",
                        "do it in another thread")

    def close(self) -> None:
        """Ends the guest, waits for its end and frees the kernel; nothing when that is done. Raises
        Error (EDEADLK) in a handler of this kernel."""
        if self._closed or self._foreign:
            return
        self._refuse_inside("close")
        with self._state:
            if self._closed:
                return
            self._closed = True
            while self._users:
                self._state.wait()
        self._library.pk_destroy(self._pointer)
        self._pointer = 0

    def _leave_to_parent(self) -> None:
        """In the child of a fork: the library's threads are not here, and the guest is not ours."""
        self._state = threading.Condition()
        self._foreign = True

    # ---- what the guest may do ----

    def option(self, option: str, value: Optional[str] = None) -> None:
        """Any option of `cerebro run`, as there: option("--net", "host"). What a value is worth is
        found out by spawn()."""
        self._do("pk_set_option", lib.encode(option), None if value is None else lib.encode(value))

    def bind(self, source: Path, target: Optional[Path] = None, read_only: bool = False) -> None:
        """Shows a host file or directory at `target` (the same path by default); writes reach the
        host unless `read_only`. Raises Error: ENOENT for no such file, EINVAL for a colon in it."""
        self._do("pk_bind", lib.encode(source), None if target is None else lib.encode(target),
                 read_only)

    def limit(self, **limits: Union[int, str]) -> None:
        """Limits of the guest: memory and fsize (bytes, or text as "256M"), pids, files, cpu
        (seconds): limit(memory="256M", pids=10). spawn() finds out whether there is such a
        limit."""
        for name, value in limits.items():
            if isinstance(value, str):
                self.option("--limit", f"{name}={value}")
            elif isinstance(value, int) and 0 <= value < 2**64:
                self._do("pk_limit", lib.encode(name), value)
            else:
                raise ValueError(f"no limit: {name}={value}")

    def profile(self, name: str) -> None:
        """Takes the rules of a profile, as `cerebro run --profile`."""
        self._do("pk_set_profile", lib.encode(name))

    def hide(self, path: Path) -> None:
        """Makes a path invisible, as `cerebro run --hide`."""
        self._do("pk_hide", lib.encode(path))

    def net_allow(self, rule: str) -> None:
        """Allows the network beyond a rule "HOST[:PORT]", as `cerebro run --allow-net`."""
        self._do("pk_net_allow", lib.encode(rule))

    def net_deny(self, rule: str) -> None:
        """Takes a part of the network away, as `cerebro run --deny-net`."""
        self._do("pk_net_deny", lib.encode(rule))

    def deny(self, syscall: Syscall, number: int = errno.EPERM) -> None:
        """Lets every call of this number or name fail with an errno. Raises Error (EINVAL) for a
        call that cannot be intercepted (close, forks, waits, ends of threads, signal return) or
        is none."""
        nr = _number(syscall)
        if not 0 < number <= 4095:
            raise Error(errno.EINVAL, f"{number} is no errno")
        self._do("pk_deny", nr, number)
        self._handlers.pop(nr, None)

    def allow(self, syscall: Syscall) -> None:
        """Takes a deny() or a handler back. Raises as deny()."""
        nr = _number(syscall)
        self._do("pk_allow", nr)
        self._handlers.pop(nr, None)

    # ---- handlers ----

    def handler(self, *syscalls: Syscall) -> Callable[[_H], _H]:
        """Has calls of these numbers or names handled by the decorated function, before spawn().

        The function is given a Call and returns an int (the call's result, or a negative errno),
        or what one of the call's methods forward(), native(), return_fd() and defer() returned.
        An OSError that it raises is the call's failure with that errno (EIO where it has none, as
        socket.gaierror); anything else that it raises or returns is a failure with EIO, of which an EXCEPTION event and the logger
        "cerebro" tell.

        Raises as deny().
        """
        if not syscalls:
            raise TypeError("handler() takes the calls to be handled: handler(\"openat\")")

        def register(function: _H) -> _H:
            for syscall in syscalls:
                self.set_handler(syscall, function)
            return function
        return register

    def set_handler(self, syscall: Syscall, function: Optional[Handler]) -> None:
        """The same without a decorator; None: calls of this number are not handled any more."""
        nr = _number(syscall)
        if function is None:
            self._do("pk_set_handler", nr, lib.NO_HANDLER, None)
            self._handlers.pop(nr, None)
            return
        self._do("pk_set_handler", nr, _CALL_ENTRY, self._token << _NUMBER_BITS | nr)
        self._handlers[nr] = function

    def handler_timeout(self, seconds: Optional[float]) -> None:
        """How long a handler may take (5 seconds by default); after that the guest's call fails
        with ETIMEDOUT, and what the handler answers later is dropped. None: for ever."""
        if seconds is not None and not 0 < seconds < 2**31 / 1000:
            raise ValueError(f"no time: {seconds!r} seconds")
        milliseconds = 0 if seconds is None else max(1, round(seconds * 1000))
        self._do("pk_set_handler_timeout", milliseconds)

    def on_event(self, function: _E) -> _E:
        """Has a function told of events, with an Event; None: nobody. It can be a decorator.
        STARTED comes on the thread of spawn(), the others come on threads of the library."""
        self._event_handler = function
        return function

    def _serve(self, pointer: int, nr: int) -> int:
        call = Call(self._library, self, pointer, nr)
        try:
            return result_code(call, self._handlers[nr](call))
        except OSError as error:
            code = -guest_errno(error)
        except BaseException as error:
            self._report(error, nr)
            code = -errno.EIO
        finally:
            call._expire()
        if call.deferred:
            _finish_failed(call, code)
        return max(code, -4095)

    def _report(self, error: BaseException, nr: int) -> None:
        if nr < 0:
            _log.error("kernel %s: the event handler has failed", self.name, exc_info=error)
            return
        _log.error("kernel %s: the handler of %s has failed", self.name, lib.syscall_name(nr),
                   exc_info=error)
        self._tell(Event(EventType.EXCEPTION, nr, exception=error))

    # ---- events ----

    def _tell(self, event: Event) -> None:
        function = self._event_handler
        if function is None:
            return
        me = threading.get_ident()
        self._in_event.add(me)
        try:
            function(event)
        except KeyboardInterrupt:  # in spawn(): the program's main thread
            _thread.interrupt_main()
        except BaseException as error:
            self._report(error, -1)
        finally:
            self._in_event.discard(me)

    def _receive(self, record: lib.EventRecord) -> None:
        try:
            kind: Union[EventType, int] = EventType(record.type)
        except ValueError:
            kind = record.type
        status = ExitStatus(record.status) if kind == EventType.ENDED else None
        text = os.fsdecode(record.text or b"")
        # 0 is what other events have there.
        of_call = kind in (EventType.TIMEOUT, EventType.CRASH) or record.nr > 0
        event = Event(kind, record.nr if of_call else -1, status, text)
        try:
            self._tell(event)
        finally:
            if kind in (EventType.ENDED, EventType.DETACHED):
                self._status = status
                self._ended.set()

    # ---- guests ----

    @property
    def running(self) -> bool:
        """Whether there is a guest."""
        return not self._ended.is_set()

    @property
    def returncode(self) -> Optional[ExitStatus]:
        """How the last guest ended, or None: there was none, or it runs."""
        return self._status if self._ended.is_set() else None

    @contextmanager
    def _start(self) -> Iterator[None]:
        """Around the start of a guest; when there is one, the library tells of that."""
        with self._starting:
            new = self._ended.is_set()
            if new and self.pid is not None:
                self._settle()
            if new:
                self._status = None
                self._ended.clear()
            try:
                yield
            except BaseException:
                if new:
                    self._ended.set()
                raise

    def _settle(self) -> None:
        """Waits until the library is done with a guest of whose end it has told."""
        self._do("pk_wait", None)

    def spawn(self, argv: Sequence[Union[str, bytes, "os.PathLike[str]"]]) -> int:
        """Starts a program as the guest, with arguments, the environment of this process, and its
        standard streams (write out what is buffered for them before). Returns the pid of its first
        process. Raises Error: EBUSY when there is a guest, ENOENT for no such program, and whatever
        an option or a limit turns out to be wrong with; ValueError for a null byte."""
        if isinstance(argv, (str, bytes)):
            raise TypeError("spawn() takes a list: the program and its arguments")
        words = [lib.encode(word) for word in argv]
        vector = (ctypes.c_char_p * (len(words) + 1))(*words, None)
        with self._start():
            self.pid = self._do("pk_spawn", vector)
        return self.pid

    def run(self, argv: Sequence[Union[str, bytes, "os.PathLike[str]"]]) -> ExitStatus:
        """spawn() and wait()."""
        self.spawn(argv)
        return self.wait()

    def attach(self, pid: int) -> None:
        """Takes a process that runs, with its threads, as the guest; see `cerebro attach`. Raises
        Error: ESRCH for no such process, EPERM when it may not be traced, EBUSY when it is traced
        or this kernel has a guest."""
        if not 0 < pid < 2**31:
            raise Error(errno.ESRCH, f"there is no process {pid}")
        with self._start():
            self._do("pk_attach", pid)
            self.pid = pid

    def detach(self) -> None:
        """Lets an attached process go on without this kernel; wait() has no status then. Raises
        Error: ESRCH when it is attached to none, EINVAL when the guest was spawned."""
        self._do("pk_detach")
        self._status = None
        self._ended.set()

    def signal(self, number: int) -> None:
        """Sends a signal to the guest's first process. Raises Error: ESRCH when there is none,
        EINVAL for no signal."""
        number = int(number)
        if not 0 <= number < signal.NSIG:
            raise Error(errno.EINVAL, f"there is no signal {number}")
        self._do("pk_signal", number)

    def wait(self, timeout: Optional[float] = None) -> ExitStatus:
        """Waits for the end of the guest, at most `timeout` seconds; signals (control-C)
        interrupt it as anything in Python. Returns how its first process ended. Another guest may
        be spawned then. Raises TimeoutError, Error (ESRCH) when there was no guest, Error
        (EDEADLK) in a handler."""
        if self.running:
            self._refuse_inside("wait for")
        if not self._ended.wait(timeout):
            raise TimeoutError(f"kernel {self.name}: the guest has not ended in {timeout} seconds")
        status = self._status
        try:
            self._settle()
        except Error as error:  # closed meanwhile, by another thread, after the end of its guest
            if status is None or error.errno != errno.EBADF:
                raise
        if status is None:
            raise Error(errno.ESRCH, f"kernel {self.name} has no guest", "start one with spawn()")
        return status

    def poll(self) -> Optional[ExitStatus]:
        """How the guest ended, or None: it runs. Raises Error (ESRCH) when there was none."""
        return None if self.running else self.wait()

    # ---- numbers and memory ----

    def statistics(self) -> Statistics:
        """What the kernel has done so far."""
        record = lib.StatisticsRecord(size=ctypes.sizeof(lib.StatisticsRecord))
        with self._use() as pointer:
            self._library.pk_get_stats(pointer, ctypes.byref(record))
        return Statistics(*(getattr(record, name) for name in Statistics._fields))

    def register_allocator(self, malloc: object, free: object) -> None:
        """Has allocate() use these two C functions, foreign functions of ctypes as
        ctypes.CDLL("libjemalloc.so.2").malloc; None, None: the C library's. They are called on any
        thread and stay in use for blocks that they gave out, so their library must stay loaded."""
        self._do("pk_register_allocator", _address(malloc), _address(free))

    def allocate(self, size: int) -> Memory:
        """Memory of this program's, from the registered allocator, counted in the statistics.
        Raises Error (ENOMEM)."""
        if size < 0:
            raise ValueError(f"no size: {size}")
        if size >= 2**63:  # the library would be told the rest of it
            raise Error(errno.ENOMEM, f"cannot allocate {size} bytes")
        with self._use() as pointer:
            address = self._library.pk_malloc(pointer, size)
            if address is None:
                raise Error(errno.ENOMEM, f"cannot allocate {size} bytes")
            return Memory(self._library, address, size)


def _number(syscall: Syscall) -> int:
    if isinstance(syscall, str):
        return lib.syscall_number(syscall)
    lib.syscall_name(syscall)  # which says so when there is no such number
    return syscall


def _address(function: object) -> Optional[int]:
    if function is None:
        return None
    return ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]


def _finish_failed(call: Call, code: int) -> None:
    """Its handler has deferred the call and failed afterwards: is there nobody else to answer?"""
    try:
        call._return(code)
    except Error:
        pass


def shutdown() -> None:
    """Closes all kernels, ending their guests. Done at the end of the program."""
    kernels = list(_kernels.values())
    helpers = []
    # All at once: one that waits for a handler that hangs must not let those of the next run out of time.
    for kernel in kernels[1:]:
        helper = threading.Thread(target=kernel.close)
        try:
            helper.start()
        except RuntimeError:  # newer interpreters start no thread at their end
            break
        helpers.append(helper)
    for kernel in kernels:
        kernel.close()
    for helper in helpers:
        helper.join()


def _forget_parents() -> None:
    for kernel in list(_kernels.values()):
        kernel._leave_to_parent()


atexit.register(shutdown)
os.register_at_fork(after_in_child=_forget_parents)
