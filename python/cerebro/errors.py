"""What goes wrong, and how it is told."""

from __future__ import annotations

import errno
import os


class Error(OSError):
    """A function of the library failed.

    `errno` is the positive error number, `sentence` says what happened, and `hint` what to do about
    it ("" where there is nothing to say). Raised in a handler, the guest's call fails with that
    errno, as with any OSError.
    """

    def __init__(self, number: int, sentence: str = "", hint: str = "") -> None:
        self.sentence = sentence or os.strerror(number)
        self.hint = hint
        super().__init__(number, self.sentence)

    def __str__(self) -> str:
        return f"{self.sentence} ({self.hint})" if self.hint else self.sentence


def guest_errno(error: OSError) -> int:
    """The errno that a guest is told. What is none is EIO: socket.gaierror has numbers of its own,
    and OSError takes whatever it is given."""
    number = error.errno
    return number if isinstance(number, int) and 0 < number <= 4095 else errno.EIO
