#!/usr/bin/python3
"""Counts every open of a program and slows it down by some milliseconds.

    slow_open.py 5 ls -l /usr
"""

import sys
import time

import cerebro


def main(argv: "list[str]") -> int:
    if len(argv) < 3:
        print("usage: slow_open.py MILLISECONDS PROGRAM [ARGUMENTS]", file=sys.stderr)
        return 2
    delay, opens = float(argv[1]) / 1000, []
    with cerebro.Kernel("slow-open", type=cerebro.CUSTOM) as kernel:
        @kernel.handler("open", "openat", "openat2", "creat")
        def slow_open(call: cerebro.Call) -> cerebro.Result:
            opens.append(call.nr)  # handlers run several at a time; append() is safe there
            time.sleep(delay)
            return call.forward()

        status = kernel.run(argv[2:])
    print(f"slow_open: {len(opens)} opens", file=sys.stderr)
    return status.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except cerebro.Error as error:
        sys.exit(f"slow_open: {error}")
