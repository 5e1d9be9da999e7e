"""Client of the kernel API exporter (/dev/kernel_api_exporter), standard library only."""

from .client import KernelAPIClient
from .errors import KernelAPIError, NotConnectedError
from .format import format_bytes, format_time

__all__ = ["KernelAPIClient", "KernelAPIError", "NotConnectedError", "format_bytes", "format_time"]
__version__ = "0.1.0"
