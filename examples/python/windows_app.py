#!/usr/bin/python3
"""A Windows application with a kernel of its own: 2 GiB of memory, no network, and a Windows
directory (the "prefix") that no other application sees.

    windows_app.py PREFIX PROGRAM.EXE [ARGUMENTS]

It is written for kernels of the type WINDOWS. While the library has none, it falls back on Wine in
a generic kernel, where Wine is installed.
"""

import errno
import os
import shutil
import sys

import cerebro


def isolate(kernel: cerebro.Kernel, prefix: str) -> cerebro.Kernel:
    kernel.limit(memory="2G")
    kernel.option("--net", "none")
    kernel.bind(prefix)
    return kernel


def make_kernel(prefix: str) -> "tuple[cerebro.Kernel, list[str]]":
    """The kernel, and what stands in front of the program."""
    try:
        return isolate(cerebro.Kernel("windows-app", type=cerebro.WINDOWS), prefix), []
    except cerebro.Error as error:
        if error.errno != errno.ENOSYS:
            raise
    if shutil.which("wine") is None:
        raise cerebro.Error(errno.ENOSYS, "no Windows kernels yet, and Wine is not installed",
                            "apt install wine")
    kernel = isolate(cerebro.Kernel("windows-app"), prefix)
    kernel.option("--env", f"WINEPREFIX={prefix}")
    kernel.option("--env", "WINEDEBUG=-all")
    return kernel, ["wine"]


def main(argv: "list[str]") -> int:
    if len(argv) < 3:
        print("usage: windows_app.py PREFIX PROGRAM.EXE [ARGUMENTS]", file=sys.stderr)
        return 2
    prefix = os.path.abspath(argv[1])
    os.makedirs(prefix, mode=0o700, exist_ok=True)
    kernel, before = make_kernel(prefix)
    with kernel:
        return kernel.run([*before, *argv[2:]]).exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except cerebro.Error as error:
        sys.exit(f"windows_app: {error}")
