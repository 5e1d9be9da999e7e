"""Memory from a kernel's allocator."""

from __future__ import annotations

import ctypes
import errno
from types import TracebackType
from typing import Optional, Type

from .errors import Error
from .library import Library


class Memory:
    """A block from Kernel.allocate(), `size` bytes at `address`; it is given back by free(), at the
    end of a with statement, or when nobody knows it any more. It may outlive its kernel."""

    def __init__(self, library: Library, address: int, size: int) -> None:
        self._library = library
        self.address = address  # 0: given back
        self.size = size

    @property
    def view(self) -> memoryview:
        """Its bytes, to be read and written; to be let go before free(). Raises Error (ESTALE)
        after that."""
        if not self.address:
            raise Error(errno.ESTALE, "the memory is given back")
        return memoryview((ctypes.c_char * self.size).from_address(self.address)).cast("B")

    def free(self) -> None:
        """Gives it back; nothing when that is done."""
        address, self.address = self.address, 0
        if address:
            self._library.pk_free(None, address)

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.free()

    def __del__(self) -> None:
        self.free()
