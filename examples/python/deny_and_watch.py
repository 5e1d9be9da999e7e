#!/usr/bin/python3
"""Takes calls away from a program, and tells of all that happens to it.

    deny_and_watch.py chdir,mkdir,connect PROGRAM ARGUMENTS
"""

import errno
import signal
import sys

import cerebro


def tell(event: cerebro.Event) -> None:
    if event.type == cerebro.EventType.STARTED:
        print("watch: started", file=sys.stderr)
    elif event.type == cerebro.EventType.DENIAL:
        print(f"watch: denied: {event.what} ({event.rule}); {event.advice}", file=sys.stderr)
    elif event.type == cerebro.EventType.ENDED and event.status is not None:
        reason = f"exit code {event.status}" if event.status.signal is None \
            else signal.Signals(event.status.signal).name
        print(f"watch: ended with {reason}", file=sys.stderr)


def main(argv: "list[str]") -> int:
    if len(argv) < 3:
        print("usage: deny_and_watch.py CALL[,CALL...] PROGRAM [ARGUMENTS]", file=sys.stderr)
        return 2
    with cerebro.Kernel("watched", type=cerebro.CUSTOM) as kernel:
        kernel.on_event(tell)
        kernel.option("--quiet")  # the kernel's own lines: we have ours
        for name in argv[1].split(","):
            kernel.deny(name, errno.EPERM)
        status = kernel.run(argv[2:])
        calls = kernel.statistics().syscalls_intercepted
        print(f"watch: {calls} calls intercepted", file=sys.stderr)
        return status.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except cerebro.Error as error:
        sys.exit(f"deny_and_watch: {error}")
