"""What goes wrong, and how it is told."""

from __future__ import annotations

import errno
import os
from typing import Optional


class KernelAPIError(RuntimeError):
    """An operation failed. `errno` is the positive error number, 0 where there is none."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.errno = number


class NotConnectedError(KernelAPIError):
    """The device is needed and not open."""

    def __init__(self, message: str, number: int = errno.ENOTCONN) -> None:
        super().__init__(message, number)


# What the numbers mean on this device; others are told in the words of the C library.
_MEANINGS = {
    errno.EPERM: "operation not permitted (a capability is missing, the module was loaded with "
                 "this command switched off, or the kernel is locked down)",
    errno.EACCES: "permission denied (ask to be put into the group kapi)",
    errno.ENOTTY: "this driver does not know the command",
    errno.ENODATA: "there is no (further) record",
    errno.ESRCH: "no such process",
    errno.EAGAIN: "too many calls in too short a time",
    errno.ENODEV: "no such device",
    errno.ENXIO: "no driver behind the device node",
}


def describe(number: int) -> str:
    """The text of an error number, positive or negative; "success" for 0."""
    number = abs(number)
    if number == 0:
        return "success"
    return _MEANINGS.get(number) or os.strerror(number)


def device_error(what: str, error: OSError) -> KernelAPIError:
    """The exception for a system call on the device that failed."""
    number: Optional[int] = error.errno
    return KernelAPIError(f"{what}: {describe(number or 0)}", number or 0)
