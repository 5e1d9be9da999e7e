#!/usr/bin/python3
"""A program that reaches one host of the network, and no other.

    one_host.py 192.0.2.7:443 curl https://192.0.2.7/
"""

import sys

import cerebro


def main(argv: "list[str]") -> int:
    if len(argv) < 3:
        print("usage: one_host.py HOST[:PORT] PROGRAM [ARGUMENTS]", file=sys.stderr)
        return 2
    with cerebro.Kernel("one-host") as kernel:
        kernel.net_allow(argv[1])

        @kernel.on_event
        def tell(event: cerebro.Event) -> None:
            if event.type == cerebro.EventType.DENIAL:
                print(f"one_host: refused: {event.what}", file=sys.stderr)

        return kernel.run(argv[2:]).exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except cerebro.Error as error:
        sys.exit(f"one_host: {error}")
