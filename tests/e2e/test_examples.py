"""The programs in examples/, as their users see them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import CEREBRO, EXAMPLES, Result, base_environment, guest, run_host, tool, wait_until

PYTHON = "/usr/bin/python3"


def example(name: str, *words: str | Path, **how) -> Result:  # type: ignore[no-untyped-def]
    env = base_environment(CEREBRO=str(CEREBRO), **how.pop("env", {}))
    return run_host([str(EXAMPLES / name), *map(str, words)], env=env, **how)


# ---- what all of them do with bad input ----

RUN_A_PROGRAM = [("slow-open", "1"), ("restricted",), ("virtual-fs",), ("double-time",)]


@pytest.mark.parametrize("words", RUN_A_PROGRAM, ids=lambda words: words[0])
def test_exit_status_and_missing_programs(words: tuple[str, ...]) -> None:
    assert example(*words, "/bin/sh", "-c", "exit 7").status == 7
    assert example(*words, "/bin/sh", "-c", "kill -TERM $$").status == 128 + signal.SIGTERM
    got = example(*words, "/no/such/program")
    assert got.status == 125 and "/no/such/program" in got.err and "try: " in got.err


@pytest.mark.parametrize("words", [*RUN_A_PROGRAM, ("windows-app", "w", "x.exe")],
                         ids=lambda words: words[0])
def test_library_without_its_program_says_so(words: tuple[str, ...], work: Path) -> None:
    wine = work / "wine"
    wine.write_text("#!/bin/sh\n")
    wine.chmod(0o755)
    env = {"CEREBRO": "/no/such/cerebro", "PATH": f"{work}:/usr/bin:/bin"}
    got = run_host([str(EXAMPLES / words[0]), *words[1:], "/bin/true"], cwd=work,
                   env=base_environment(**env))
    assert got.status == 125 and "/no/such/cerebro" in got.err and "try: set CEREBRO" in got.err


@pytest.mark.parametrize("words", [("slow-open",), ("slow-open", "soon", "ls"), ("virtual-fs",),
                                   ("double-time",), ("windows-app", "prefix")],
                         ids=" ".join)
def test_usage(words: tuple[str, ...]) -> None:
    got = example(*words)
    assert got.status == 2 and got.err.startswith(f"usage: {words[0]} ") and got.out == ""


# ---- slow-open ----

def test_slow_open_counts_and_slows_down() -> None:
    got = example("slow-open", "30", "/bin/cat", "/etc/passwd", "/etc/group").ok()
    count = re.fullmatch(r"slow-open: (\d+) opens\n", got.err)
    assert got.out.startswith("root:") and count and int(count[1]) >= 3
    assert got.seconds > int(count[1]) * 0.03


# ---- restricted ----

def test_restricted_guest_can_do_no_harm() -> None:
    got = example("restricted").ok()
    told = dict(line.split(": ", 1) for line in got.out.splitlines())
    assert told.pop("512 MiB of memory") in ("Killed", "Cannot allocate memory")
    assert told == {"ptrace": "Operation not permitted", "exec": "Operation not permitted",
                    "network": "Network is unreachable"}
    denied = re.findall(r"^restricted: denied: (\S+)", got.err, re.M)
    assert denied == ["ptrace", "execve", "connect"]


def test_restricted_program_runs_but_starts_no_other() -> None:
    assert example("restricted", "/bin/cat", "/etc/passwd").ok().out.startswith("root:")
    got = example("restricted", "/bin/sh", "-c", "echo started; /bin/ls /; echo $?; exec /bin/ls")
    assert got.out.splitlines()[0] == "started" and got.out.splitlines()[1] == "126"
    assert got.status == 126 and "bin" not in got.out
    assert "restricted: denied: execve (the program that runs it denies it)" in got.err


def test_restricted_program_within_its_limit_is_left_alone() -> None:
    script = "b = bytearray(64 << 20); b[::4096] = b'x' * len(b[::4096]); print(len(b))"
    assert example("restricted", PYTHON, "-c", script).ok().out == f"{64 << 20}\n"


# ---- virtual-fs ----

def test_virtual_files_are_listed_and_read() -> None:
    got = example("virtual-fs", "/bin/ls", "-l", "/virtual").ok()
    assert got.err == ""
    lines = [line.split() for line in got.out.splitlines()[1:]]
    assert sorted((line[0], line[1], line[4], line[-1]) for line in lines) == [
        ("-r--r--r--", "1", "20", "hello"), ("-r--r--r--", "1", "3", "answer")]
    got = example("virtual-fs", "/bin/cat", "/virtual/hello", "/virtual/answer").ok()
    assert got.out == "Hello from nowhere.\n42\n"


def test_virtual_files_are_files() -> None:
    script = ("test -d /virtual && test -f /virtual/hello && ! test -e /virtual/other && "
              "echo /virtual/*; wc -c < /virtual/hello; tail -c 3 /virtual/answer; "
              "cmp /virtual/hello /virtual/hello && grep -c nowhere /virtual/hello; find /virtual")
    got = example("virtual-fs", "/bin/sh", "-c", script).ok()
    lines = got.out.splitlines()
    assert lines[:4] == ["/virtual/answer /virtual/hello", "20", "42", "1"]
    assert sorted(lines[4:]) == ["/virtual", "/virtual/answer", "/virtual/hello"]


def test_a_directory_can_be_read_again_and_each_open_has_its_own_position() -> None:
    script = ("import os; a, b = (os.open('/virtual', os.O_RDONLY) for _ in range(2)); "
              "print(len(os.listdir(a)), len(os.listdir(a)), len(os.listdir(b))); "
              "f = os.open('/virtual/hello', 0); g = os.open('/virtual/hello', 0); "
              "print(os.read(f, 5), os.read(g, 5), os.fstat(f).st_size, os.fstat(a).st_mode)")
    assert example("virtual-fs", PYTHON, "-c", script).ok().out == (
        f"2 2 2\nb'Hello' b'Hello' 20 {0o40555}\n")


def test_virtual_files_cannot_be_written_and_others_are_as_usual() -> None:
    got = example("virtual-fs", "/bin/sh", "-c", "echo no > /virtual/hello; cat /virtual/other")
    assert got.status == 1 and "Read-only file system" in got.err
    assert "/virtual/other: No such file or directory" in got.err
    got = example("virtual-fs", "/bin/sh", "-c", "ls /etc/passwd; echo yes > /tmp/x; cat /tmp/x; "
                  "ls /virtually").out
    assert got == "/etc/passwd\nyes\n"


# ---- double-time ----

@pytest.mark.parametrize("form", ["clock", "clock-static"])
def test_clocks_natively(form: str) -> None:
    assert run_host([guest(form), "1"]).ok().out == "fine\n"


@pytest.mark.parametrize("form", ["clock", "clock-static"])
def test_all_clocks_and_waits_run_at_double_speed(form: str) -> None:
    assert example("double-time", guest(form), "2").ok().out == "fine\n"


def test_children_and_their_programs_have_double_time_too() -> None:
    script = f"({guest('clock')} 2) & {guest('clock-static')} 2; wait $!; exec {guest('clock')} 2"
    assert example("double-time", "/bin/sh", "-c", script).ok().out == "fine\nfine\nfine\n"


def test_date_and_python_have_double_time() -> None:
    script = "date +%s.%N; sleep 2; date +%s.%N"
    start, end = map(float, example("double-time", "/bin/sh", "-c", script).ok().out.split())
    assert abs(start - time.time()) < 60 and 2 <= end - start < 30
    script = """if True:
        import os, threading, time
        begin, host = time.monotonic(), os.times().elapsed
        wall = time.time()
        time.sleep(1)
        threading.Event().wait(1)
        print(round((time.monotonic() - begin) / (os.times().elapsed - host), 1),
              round((time.time() - wall) / (time.monotonic() - begin), 1))
        """
    assert example("double-time", PYTHON, "-c", script).ok().out == "2.0 1.0\n"


def test_signals_end_sleeps_at_double_time() -> None:
    script = "sleep 600 & sleep 0.5; kill $!; wait $!; echo $?"
    got = example("double-time", "/bin/sh", "-c", script, timeout=40).ok()
    assert got.out == f"{128 + signal.SIGTERM}\n"
    script = """if True:
        import ctypes, errno, signal, time
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.siginterrupt(signal.SIGALRM, True)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        libc = ctypes.CDLL(None, use_errno=True)
        span, left = (ctypes.c_long * 2)(500, 0), (ctypes.c_long * 2)()
        print(libc.nanosleep(span, left), errno.errorcode[ctypes.get_errno()], 400 < left[0] < 500)
        """
    assert example("double-time", PYTHON, "-c", script, timeout=40).ok().out == "-1 EINTR True\n"


def test_guest_that_is_killed_while_it_sleeps_leaves_nothing() -> None:
    got = example("double-time", "/bin/sh", "-c", "sleep 600 & sleep 600 & kill -KILL $$",
                  timeout=40)
    assert got.status == 128 + signal.SIGKILL


def test_end_of_an_example_is_the_end_of_its_guests() -> None:
    process = subprocess.Popen([str(EXAMPLES / "double-time"), "/bin/sh", "-c", "echo $$; sleep 600"],
                               stdout=subprocess.PIPE, text=True,
                               env=base_environment(CEREBRO=str(CEREBRO)))
    assert process.stdout
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=20)
    assert wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 20)


# ---- windows-app ----

WINE = """#!/bin/sh
echo "prefix $WINEPREFIX, program $*"
echo kept > "$WINEPREFIX/registry"
echo lost > "$HOME/lost" 2>/dev/null
"""


def test_windows_app_says_what_is_missing(work: Path) -> None:
    got = example("windows-app", work / "prefix", "notepad.exe", env={"PATH": str(work)})
    assert got.status == 125 and got.out == ""
    assert "no Windows kernels yet, and Wine is not installed" in got.err and "try: " in got.err


def test_windows_app_runs_in_a_prefix_of_its_own(work: Path) -> None:
    wine = work / "bin/wine"
    wine.parent.mkdir()
    wine.write_text(WINE)
    wine.chmod(0o755)
    env = {"PATH": f"{wine.parent}:/usr/bin:/bin", "HOME": str(work)}
    got = example("windows-app", "prefix", "notepad.exe", "a b", env=env, cwd=work).ok()
    assert got.out == f"prefix {work}/prefix, program notepad.exe a b\n"
    assert (work / "prefix/registry").read_text() == "kept\n"
    assert not (work / "lost").exists()


@pytest.mark.skipif(tool("wine") is None, reason="Wine is not installed")
def test_windows_app_with_wine(work: Path) -> None:
    got = example("windows-app", "prefix", "cmd.exe", "/c", "echo hello", cwd=work, timeout=300)
    assert got.status == 0 and "hello" in got.out


# ---- embedded-device ----

def test_a_guest_drives_the_device() -> None:
    got = example("embedded-device").ok()
    assert got.out.splitlines() == [
        "board 0xb0a2d", "LED: on", "2 transfers: through the board's memory",
        "writing the id: Operation not permitted",
        "beyond its memory: Numerical result out of range",
        "a pipe: Inappropriate ioctl for device"]


# ---- one-host ----

REACH = """if True:
    import socket, sys
    for address in sys.argv[1:]:
        host, port = address.split(":")
        try:
            print(socket.create_connection((host, int(port)), 10).recv(9).decode())
        except OSError as error:
            print(type(error).__name__)
    """


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Addresses of two servers that greet; the second has the same port, where it is free."""
    with ExitStack() as stack:
        addresses = []
        for host in ("127.0.0.1", "127.0.0.2"):
            server = stack.enter_context(socket.create_server((host, 0)))
            threading.Thread(target=greet, args=[server], daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            addresses.append(f"{host}:{server.getsockname()[1]}")
        yield addresses[0], addresses[1]


def greet(server: socket.socket) -> None:
    try:
        while True:
            connection, _ = server.accept()
            connection.sendall(b"welcome")
            connection.close()
    except OSError:
        return  # shut down


def test_one_host_is_reached_and_no_other(two_hosts: tuple[str, str]) -> None:
    one, other = two_hosts
    got = example("one-host", one, PYTHON, "-c", REACH, one, other).ok()
    assert got.out == "welcome\nPermissionError\n" or got.out == "welcome\nConnectionRefusedError\n"
    assert re.findall(r"^one-host: denied: connect to (\S+)", got.err, re.M) == [other]


def test_one_host_with_any_port(two_hosts: tuple[str, str]) -> None:
    one, other = two_hosts
    got = example("one-host", other.partition(":")[0], PYTHON, "-c", REACH, one, other).ok()
    assert got.out.splitlines()[1] == "welcome" and "denied: connect to " + one in got.err


@pytest.mark.parametrize("rule", ["", "a b", "127.0.0.1:web:80"])
def test_one_host_that_is_none(rule: str) -> None:
    got = example("one-host", rule, "/bin/true")
    assert got.status == 125 and "one-host: the kernel did not start" in got.err
