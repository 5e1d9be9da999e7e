#!/usr/bin/env python3
"""Client of the kernel API exporter: the names of the specification, in one module.

The work is in the package `kapi` beside this file. Run as a program it shows what the kernel tells;
see `kapi --help` for the command line.
"""

import sys

from kapi import (KernelAPIClient, KernelAPIError, NotConnectedError, format_bytes,
                  format_time)
from kapi.abi import DEVICE_PATH
from kapi.demo import (demonstrate_commands, demonstrate_communication,
                       demonstrate_information, main, print_header, print_section)

__all__ = ["DEVICE_PATH", "KernelAPIClient", "KernelAPIError", "NotConnectedError",
           "demonstrate_commands", "demonstrate_communication", "demonstrate_information",
           "format_bytes", "format_time", "main", "print_header", "print_section"]

if __name__ == "__main__":
    sys.exit(main())
