"""Interception through the channel: what the C library builds on (src/control/channel.h)."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from harness import CEREBRO, base_environment, guest, run, sh, wait_until

STARTED, CALL, DENIAL, ENDED, FAILED, FORWARD, SIGNAL, STOP = range(1, 9)
NOTIF_SEND = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND
GETPID, OPENAT, EXECVE = 39, 257, 59
CLOCK_GETTIME, GETTIMEOFDAY, TIME, CLOCK_GETRES, GETCPU = 228, 96, 201, 229, 309


@dataclass
class Call:
    id: int
    tid: int
    pid: int
    nr: int
    args: tuple[int, ...]


@dataclass
class Kernel:
    """The program's side of a channel."""

    channel: socket.socket
    process: subprocess.Popen[str]
    listener: int = -1
    pid: int = 0
    ended: tuple[int, int] | None = None  # wait status, exit status
    failure: str = ""
    denials: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def receive(self) -> int:
        data, fds, _, _ = socket.recv_fds(self.channel, 4096, 1)
        if not data:
            return 0
        kind = struct.unpack_from("I", data)[0]
        body = data[8:].ljust(1100, b"\0")
        if kind == STARTED:
            _, self.pid, _ = struct.unpack_from("Iii", body)
            self.listener = fds[0]
        elif kind == CALL:
            number, tid, pid, nr, _, *rest = struct.unpack_from("QiiiI7Q", body)
            self.calls.append(Call(number, tid, pid, nr, tuple(rest[:6])))
        elif kind == DENIAL:
            self.denials.append(body.split(b"\0")[0].decode())
        elif kind == ENDED:
            wait_status, exit_status = struct.unpack_from("ii", body)
            self.ended = (wait_status, exit_status)
        elif kind == FAILED:
            self.failure = body[8:].split(b"\0")[0].decode()
        return kind

    def answer(self, call: Call, value: int, error: int = 0) -> None:
        fcntl.ioctl(self.listener, NOTIF_SEND, struct.pack("QqiI", call.id, value, -error, 0))

    def forward(self, call: Call) -> None:
        self.channel.send(struct.pack("IIQi", FORWARD, 0, call.id, call.tid))

    def serve(self, handler: Callable[[Kernel, Call], None]) -> None:
        while (kind := self.receive()) not in (0, ENDED, FAILED):
            if kind == CALL:
                handler(self, self.calls[-1])


@contextmanager
def kernel(numbers: str, *program: str) -> Iterator[Kernel]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    argv = [str(CEREBRO), "run", "--channel", str(theirs.fileno()), "--intercept", numbers, "--",
            *program]
    process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=base_environment())
    theirs.close()
    found = Kernel(ours, process)
    try:
        yield found
    finally:
        ours.close()
        if found.listener >= 0:
            os.close(found.listener)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            pytest.fail("it did not end with its program")


def by_number(**handlers: Callable[[Kernel, Call], None]) -> Callable[[Kernel, Call], None]:
    def handle(where: Kernel, call: Call) -> None:
        handlers.get(f"nr{call.nr}", lambda k, c: k.forward(c))(where, call)
    return handle


SHOW_PID = ("/usr/bin/python3", "-c", "import os; print(os.getpid())")


def test_native_call_is_answered() -> None:
    with kernel(str(GETPID), *SHOW_PID) as it:
        it.serve(by_number(nr39=lambda k, c: k.answer(c, 4242)))
        assert it.process.stdout and it.process.stdout.read() == "4242\n"
        assert it.ended == (0, 0)


def test_call_is_refused() -> None:
    with kernel(str(GETPID), *SHOW_PID) as it:
        it.serve(by_number(nr39=lambda k, c: k.answer(c, 0, 13)))
        # The C library hands on what getpid returns: it cannot fail natively.
        assert it.process.stdout and it.process.stdout.read() == "-13\n"


def test_forwarded_calls_are_served_as_usual() -> None:
    """Native ones too, and an exec."""
    script = "read line </etc/hostname; echo $line; exec /bin/echo done"
    with kernel(f"{GETPID},{OPENAT},{EXECVE},0,1", "/bin/sh", "-c", script) as it:
        it.serve(by_number())
        assert it.process.stdout
        assert it.process.stdout.read().split()[-1] == "done"
        seen = {call.nr for call in it.calls}
        assert {OPENAT, EXECVE, 0, 1} <= seen


def test_program_that_goes_ends_the_guest() -> None:
    with kernel(str(GETPID), "/bin/sleep", "1000") as it:
        assert it.receive() == STARTED
        pid = it.pid
    assert wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10)


def test_program_that_does_not_answer_can_still_stop_it() -> None:
    with kernel(str(GETPID), *SHOW_PID) as it:
        while it.receive() != CALL:
            pass
        it.channel.send(struct.pack("II", STOP, 0))
        while it.receive() not in (0, ENDED):
            pass
        assert it.ended is not None and os.WIFSIGNALED(it.ended[0])


def test_signal() -> None:
    with kernel(str(GETPID), "/bin/sleep", "1000") as it:
        assert it.receive() == STARTED
        it.channel.send(struct.pack("IIi", SIGNAL, 0, signal.SIGTERM))
        it.serve(by_number())
        assert it.ended == (signal.SIGTERM, 128 + signal.SIGTERM)


def test_failure_is_told() -> None:
    with kernel(str(GETPID), "/nowhere/program") as it:
        it.serve(by_number())
        assert "/nowhere/program" in it.failure
        assert it.process.stderr and it.process.stderr.read() == ""


def test_denials_are_told() -> None:
    script = "import socket; socket.create_connection(('127.0.0.1', 9))"
    with kernel(str(GETPID), "/usr/bin/python3", "-c", script) as it:
        it.serve(by_number())
        assert any("127.0.0.1" in denial for denial in it.denials)


@pytest.mark.parametrize("number", ["3", "56", "60", "15", "99999", "x"])
def test_numbers_that_cannot_be_intercepted(number: str) -> None:
    done = subprocess.run([str(CEREBRO), "run", "--intercept", number, "--", "/bin/true"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and "cannot be intercepted" in done.stderr


def test_nonsense_on_the_channel_is_survived() -> None:
    with kernel(str(GETPID), *SHOW_PID) as it:
        while it.receive() != CALL:
            pass
        it.channel.send(struct.pack("IIQi", FORWARD, 0, 12345, it.calls[-1].tid))
        it.channel.send(struct.pack("II", 777, 0))
        it.answer(it.calls[-1], 7)
        it.serve(by_number(nr39=lambda k, c: k.answer(c, 7)))
        assert it.process.stdout and it.process.stdout.read() == "7\n"


FORMS = ["show-static", "show-pie", "show-static-pie", "show-nopie"]


@pytest.mark.parametrize("form", FORMS)
def test_guests_have_a_vdso_unless_told_otherwise(form: str) -> None:
    assert run(guest(form), "auxv").ok().out == "fine\n"
    got = run(guest(form), "auxv", options=["--no-vdso"])
    assert (got.status, got.out) == (1, "no vDSO\n")


def test_without_vdso_children_and_their_programs_have_none_either() -> None:
    script = (f"{guest('show-pie')} auxv; (exec {guest('show-static')} auxv); "
              "grep -c vdso /proc/self/maps")
    assert sh(script, options=["--no-vdso"]).out == "no vDSO\nno vDSO\n0\n"


@pytest.mark.parametrize("number", [CLOCK_GETTIME, GETTIMEOFDAY, TIME, CLOCK_GETRES, GETCPU])
def test_who_intercepts_the_time_sees_every_look_at_it(number: int) -> None:
    with kernel(str(number), guest("show-pie"), "auxv") as it:
        it.serve(by_number())
        assert it.process.stdout and it.process.stdout.read() == "no vDSO\n"


def test_other_interceptions_leave_the_vdso() -> None:
    with kernel(str(GETPID), guest("show-pie"), "auxv") as it:
        it.serve(by_number())
        assert it.process.stdout and it.process.stdout.read() == "fine\n"


@pytest.mark.parametrize("clock", ["import time; print(int(time.time()))",
                                   "import time; print(int(time.clock_gettime(0)))"])
def test_time_is_what_the_handler_says(clock: str) -> None:
    def answer(where: Kernel, call: Call) -> None:
        memory = os.open(f"/proc/{call.tid}/mem", os.O_RDWR)
        os.pwrite(memory, struct.pack("qq", 86400, 0), call.args[1])
        os.close(memory)
        where.answer(call, 0)

    with kernel(str(CLOCK_GETTIME), "/usr/bin/python3", "-c", clock) as it:
        it.serve(by_number(nr228=answer))
        assert it.process.stdout and it.process.stdout.read() == "86400\n"
