#!/usr/bin/python3
"""A program that nobody trusts: 256 MiB of memory, no other programs, no tracing, no network.

    restricted.py ./program ARGUMENTS
"""

import errno
import sys

import cerebro


def main(argv: "list[str]") -> int:
    if len(argv) < 2:
        print("usage: restricted.py PROGRAM [ARGUMENTS]", file=sys.stderr)
        return 2
    with cerebro.Kernel("restricted", type=cerebro.CUSTOM) as kernel:
        kernel.limit(memory="256M", pids=64, files=256)
        kernel.deny("ptrace", errno.EPERM)
        for name in ("execve", "execveat"):  # the program itself is started by the kernel
            kernel.deny(name, errno.EACCES)
        status = kernel.run(argv[1:])
        if status.signal:
            print(f"restricted: ended by signal {status.signal}", file=sys.stderr)
        return status.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except cerebro.Error as error:
        sys.exit(f"restricted: {error}")
