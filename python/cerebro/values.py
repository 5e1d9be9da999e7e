"""The plain values: kinds of kernels, events, exit statuses, statistics."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from typing import NamedTuple, Optional, Union


class KernelType(enum.IntEnum):
    """What a kernel is for, see Kernel."""

    GENERIC = 0  # the Linux personality as it is
    WINDOWS = 1
    CUSTOM = 2  # the same with handlers of yours


class EventType(enum.IntEnum):
    """What an event tells of."""

    STARTED = 0
    DENIAL = 1  # something was refused to the guest
    TIMEOUT = 2  # a handler took too long
    CRASH = 3  # a handler crashed; not with this package, see Kernel
    ENDED = 4
    DETACHED = 5  # from a process that goes on natively
    EXCEPTION = 1000  # a function of yours has raised something that is no answer


class ExitStatus(int):
    """How the guest's first process ended, as subprocess tells it: the number is its exit code, or
    -N when signal N ended it. So `status == 0` is success. Of a process that was attached to the
    host cannot always tell: 255 with a wait_status of -1."""

    wait_status: int  # as os.waitpid() gives it

    def __new__(cls, wait_status: int) -> "ExitStatus":
        code = -os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) \
            else os.WEXITSTATUS(wait_status)
        status = super().__new__(cls, code)
        status.wait_status = wait_status
        return status

    @property
    def returncode(self) -> int:
        """The plain number."""
        return int(self)

    @property
    def exit_code(self) -> int:
        """What a shell would say: 128 + N when signal N ended it. For sys.exit()."""
        return 128 - int(self) if self < 0 else int(self)

    @property
    def signal(self) -> Optional[int]:
        """The signal that ended it, or None."""
        return -int(self) if self < 0 else None

    def __repr__(self) -> str:
        return f"ExitStatus(signal {self.signal})" if self < 0 else f"ExitStatus({int(self)})"

    def __reduce__(self) -> "tuple[type[ExitStatus], tuple[int]]":
        return ExitStatus, (self.wait_status,)


@dataclass(frozen=True)
class Event:
    """Something that happened to a kernel.

    `nr` is the number of the system call (TIMEOUT, CRASH, EXCEPTION in a handler; else -1),
    `status` the end of the guest (ENDED), `text` what the library says, `exception` what was
    raised (EXCEPTION). A type that this package does not know is a plain int.
    """

    type: Union[EventType, int]
    nr: int = -1
    status: Optional[ExitStatus] = None
    text: str = ""
    exception: Optional[BaseException] = None

    def _line(self, index: int) -> str:
        lines = self.text.split("\n")
        return lines[index] if index < len(lines) else ""

    @property
    def what(self) -> str:
        """DENIAL: what the guest wanted, e.g. "connect 127.0.0.1:9"."""
        return self._line(0)

    @property
    def rule(self) -> str:
        """DENIAL: the rule that forbids it."""
        return self._line(1)

    @property
    def advice(self) -> str:
        """DENIAL: the option that would allow it."""
        return self._line(2)


class Statistics(NamedTuple):
    """What a kernel has done so far."""

    syscalls_intercepted: int  # calls that a handler has seen
    memory_allocated: int  # bytes handed out by Kernel.allocate() and not yet freed
    io_operations: int  # descriptors given, and guest memory read or written
    errors: int  # handlers that crashed, came too late or answered nonsense
    served: int  # calls that the process kernel has answered; 0 when there is no guest
    denials: int  # the same
