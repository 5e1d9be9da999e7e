#!/usr/bin/python3
"""Time runs twice as fast for a program: an hour of its own takes half an hour of ours.

    half_time.py sh -c 'date; sleep 10; date'

Clocks are answered here, and sleeps take half as long. A guest whose calls for the time are
intercepted has no vDSO, which would tell the time without a call. Not covered: the time stamp
counter (rdtsc), and the timeouts of poll, select, futexes and timers, which are the host's. A guest
that sleeps takes no signal but SIGKILL.
"""

import struct
import sys
import threading
import time

import cerebro

SECOND = 10**9
TIMER_ABSTIME = 1
CLOCKS = (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, 4, 5, 6, time.CLOCK_BOOTTIME, time.CLOCK_TAI)
begin = {clock: time.clock_gettime_ns(clock) for clock in CLOCKS}  # 4 to 6: RAW and COARSE ones


def guest_time(clock: int) -> int:
    """In nanoseconds."""
    return 2 * time.clock_gettime_ns(clock) - begin[clock]


def clock_gettime(call: cerebro.Call) -> cerebro.Result:
    clock = call.int_arg(0)
    if clock not in begin:  # a process' own, say
        return call.native()
    call.write(call.args[1], struct.pack("qq", *divmod(guest_time(clock), SECOND)))
    return 0


def gettimeofday(call: cerebro.Call) -> cerebro.Result:
    seconds, rest = divmod(guest_time(time.CLOCK_REALTIME), SECOND)
    if call.args[0]:
        call.write(call.args[0], struct.pack("qq", seconds, rest // 1000))
    if call.args[1]:
        call.write(call.args[1], bytes(8))  # struct timezone: obsolete
    return 0


def time_call(call: cerebro.Call) -> cerebro.Result:
    seconds = guest_time(time.CLOCK_REALTIME) // SECOND
    if call.args[0]:
        call.write(call.args[0], struct.pack("q", seconds))
    return seconds


def sleep(call: cerebro.Call) -> cerebro.Result:
    """Answers later, so that nobody waits here and no timeout runs."""
    clock, flags, address = (call.int_arg(0), call.int_arg(1), call.args[2]) \
        if call.name == "clock_nanosleep" else (time.CLOCK_REALTIME, 0, call.args[0])
    seconds, rest = struct.unpack("qq", call.read(address, 16))
    if seconds < 0 or not 0 <= rest < SECOND or clock not in begin:
        return call.native()  # the host knows what is wrong with it
    ours = seconds * SECOND + rest
    if flags & TIMER_ABSTIME:
        ours -= guest_time(clock)
    timer = threading.Timer(max(ours, 0) / 2 / SECOND, call.finish, [0])
    timer.daemon = True
    answer = call.defer()
    timer.start()
    return answer


def main(argv: "list[str]") -> int:
    if len(argv) < 2:
        print("usage: half_time.py PROGRAM [ARGUMENTS]", file=sys.stderr)
        return 2
    with cerebro.Kernel("half-time", type=cerebro.CUSTOM) as kernel:
        kernel.set_handler("clock_gettime", clock_gettime)
        kernel.set_handler("gettimeofday", gettimeofday)
        kernel.set_handler("time", time_call)
        kernel.handler("nanosleep", "clock_nanosleep")(sleep)
        return kernel.run(argv[1:]).exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except cerebro.Error as error:
        sys.exit(f"half_time: {error}")
