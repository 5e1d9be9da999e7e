"""`cerebro top`: one look as text and JSON, and the screen, in a tmux pane of a fixed size."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import (CEREBRO, WRAPPER, base_environment, cerebro, descendants, run_argv, run_host, supervisor_of,
                     tool, wait_until)

BUSY = "while :; do test -e /nothing; test -e /etc/hostname; done"
HEADER = " KERNEL TASKS CALLS/S    P50    P99 DENIED %KERN %PROG MEMORY  UPTIME  COMMAND"
CALLS = "CALL                  CALLS/S ERRORS/S     P50     P99     MAX"
WIDTH = 110
KEYS = "q quit  arrows select  d details  s sort by: {}  +- delay: {} s"

# A number of each column, so that a row becomes the same text on every host.
ROW = re.compile(r" *\d+ +\d+ +[\d.]+[kM]? +([\d.]+[nums]|-) +([\d.]+[nums]|-) +\d+ +\d+ +\d+ +[\d.]+[KMG]"
                 r" +\d+m\d\ds  ")


class Kernels:
    """Programs under cerebro, by the number of their kernel."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, script: str) -> int:
        front = subprocess.Popen(self.argv(script), stdout=subprocess.PIPE, env=base_environment())
        self.started.append(front)
        assert front.stdout and front.stdout.readline() == b"up\n"
        supervisor = supervisor_of(front.pid)
        assert supervisor
        return supervisor.pid

    def argv(self, script: str) -> list[str]:
        return run_argv(["/bin/sh", "-c", f"echo up; {script}"], ["--quiet"])

    def command(self, script: str) -> str:
        """What is shown of it: on the screen as far as there is room, and no blanks at its end."""
        return " ".join(self.argv(script)[len(WRAPPER):])[:WIDTH - HEADER.index("COMMAND")].rstrip()

    def end(self) -> None:
        for front in self.started:
            supervisor = supervisor_of(front.pid)
            if supervisor:
                os.kill(supervisor.pid, signal.SIGCONT)
            front.terminate()
        for front in self.started:
            front.wait(10)


@pytest.fixture
def kernels() -> Iterator[Kernels]:
    found = Kernels()
    yield found
    found.end()


def look(*words: str) -> dict[int, dict[str, Any]]:
    got = cerebro("top", "--once", "--json", *words).ok()
    return {one["kernel"]: one for one in json.loads(got.out)}


# ---- one look ----

def test_what_it_knows(kernels: Kernels) -> None:
    busy, idle = kernels.start(BUSY), kernels.start("sleep 100 & sleep 100")
    # Its programs are still starting.
    assert wait_until(lambda: look("-d", "0.2", "-p", str(idle))[idle]["calls_per_s"] == 0)
    seen = look("-d", "0.5")
    one = seen[busy]
    assert one["state"] == "answers" and not one["stopped"] and one["uid"] == os.getuid()
    assert one["calls_per_s"] > 100 and 0 < one["p50_ns"] <= one["p99_ns"] < 10 ** 10
    assert one["served"] > 0 and one["denials"] == 0 and one["memory_bytes"] > 100000
    assert one["tasks"] == one["processes"] == 1 and BUSY in one["command"]
    call = one["calls"][0]
    assert call["name"] in ("faccessat2", "newfstatat", "access", "stat", "faccessat")
    assert call["errors_per_s"] > 0 and 0 < call["p50_ns"] <= call["p99_ns"]
    assert sum(c["calls_per_s"] for c in one["calls"]) == pytest.approx(one["calls_per_s"], rel=0.05)
    assert seen[idle]["tasks"] == 3 and seen[idle]["calls_per_s"] == 0


def test_denials_are_counted(kernels: Kernels) -> None:
    one = kernels.start("python3 -c 'import socket; socket.socket().connect((\"127.0.0.1\", 9))' "
                        "2>/dev/null; echo done; sleep 100")
    front = kernels.started[0]
    assert front.stdout and front.stdout.readline() == b"done\n"
    assert look("-d", "0.1")[one]["denials"] == 1


def test_as_text(kernels: Kernels) -> None:
    one = kernels.start(BUSY)
    got = cerebro("top", "--once", "-d", "0.3", "--sort", "pid").ok()
    summary, header, *rows = got.out.splitlines()
    assert re.fullmatch(r"cerebro top: \d+ kernels?, \d+ tasks, [\d.]+[kM]? calls/s, \d+ denials", summary)
    assert header == HEADER
    row = next(row for row in rows if row.split()[0] == str(one))
    assert ROW.match(row), row
    numbers = [int(row.split()[0]) for row in rows]
    assert numbers == sorted(numbers)
    assert len(cerebro("top", "--once", "-d", "0.1", "-p", str(one)).ok().out.splitlines()) == 3


def test_a_stopped_kernel_holds_nobody_up(kernels: Kernels) -> None:
    stopped, other = kernels.start("sleep 100"), kernels.start(BUSY)
    os.kill(stopped, signal.SIGSTOP)
    got = cerebro("top", "--once", "--json", "-d", "0.3").ok()
    seen = {one["kernel"]: one for one in json.loads(got.out)}
    assert seen[stopped]["state"] == "silent" and seen[stopped]["stopped"]
    assert seen[stopped]["calls_per_s"] is None and seen[stopped]["tasks"] == 2
    assert seen[other]["state"] == "answers" and got.seconds < 9
    text = cerebro("top", "--once", "-d", "0.1").ok().out
    assert re.search(rf"^ *{stopped} .*  \[stopped\] ", text, re.M)
    os.kill(stopped, signal.SIGCONT)
    assert look("-d", "0.3")[stopped]["state"] == "answers"


def test_the_kernel_of_another_user(kernels: Kernels, is_root: bool) -> None:
    if not is_root or not tool("setpriv"):
        pytest.skip("needs root")
    one = kernels.start("sleep 100")
    got = run_host(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", CEREBRO, "top",
                    "--once", "--json", "-d", "0.1"])
    if "cannot" in got.err or "Permission" in got.err:
        pytest.skip("the program is not for every user")
    seen = {kernel["kernel"]: kernel for kernel in json.loads(got.ok().out)}
    # Whether it is seen at all depends on what the host shows of other users' processes.
    if one in seen:
        assert seen[one]["state"] == "foreign" and seen[one]["calls_per_s"] is None


@pytest.mark.parametrize("words", [["-d"], ["-d", "0"], ["-d", "x"], ["-d", "nan"], ["-p", "x"], ["-p", ""], ["-p", "0"],
                                   ["--sort", "x"],
                                   ["--json"], ["word"], ["--nothing"]])
def test_wrong_usage(words: list[str]) -> None:
    got = cerebro("top", *words)
    assert got.status == 2 and "cerebro top --help" in got.err, str(got)


def test_without_a_terminal() -> None:
    got = cerebro("top")
    assert got.status == 1 and "needs a terminal" in got.err and "--once" in got.err


@pytest.mark.parametrize("term,says", [("nonsense", "terminal 'nonsense'"), ("", "TERM does not say"),
                                       ("dumb", "a terminal 'dumb' cannot show a screen")])
def test_a_terminal_that_nobody_knows(term: str, says: str) -> None:
    master, slave = pty.openpty()
    got = subprocess.run([CEREBRO, "top"], stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                         env=base_environment(TERM=term), timeout=30, text=True)
    os.close(slave)
    os.close(master)
    assert got.returncode == 1 and says in got.stderr and "--once" in got.stderr


# ---- the screen ----

class Pane:
    def __init__(self, folder: Path) -> None:
        self.env = base_environment(TMUX_TMPDIR=str(folder), PS1="ready> ", SHELL="/bin/sh")
        self("new-session", "-d", "-x", str(WIDTH), "-y", "40", "/bin/sh")

    def __call__(self, *words: str) -> str:
        got = run_host(["tmux", "-f", "/dev/null", "-L", "top", *words], env=self.env)
        return got.ok().out

    def keys(self, *keys: str) -> None:
        self("send-keys", *keys)

    def lines(self) -> list[str]:
        return self("capture-pane", "-p").rstrip("\n").split("\n")

    def wait(self, condition: Callable[[list[str]], bool]) -> list[str]:
        assert wait_until(lambda: condition(self.lines()), 20), "\n".join(self.lines())
        return self.lines()


@pytest.fixture
def pane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pane]:
    if not tool("tmux"):
        pytest.skip("tmux is not installed")
    one = Pane(tmp_path_factory.mktemp("t"))
    yield one
    one("kill-server")


def top_in(pane: Pane, *words: str) -> None:
    """Starts it in the pane's shell."""
    pane.wait(lambda lines: lines[-1].startswith("ready>"))
    pane.keys(shlex.join([CEREBRO, "top", *words]), "Enter")
    pane.wait(lambda lines: HEADER in lines)


def row_of(lines: list[str], kernel: int) -> str:
    return next((line for line in lines if line.split()[:1] == [str(kernel)]), "")


def test_layout(pane: Pane, kernels: Kernels) -> None:
    busy, idle = kernels.start(BUSY), kernels.start("sleep 100")
    top_in(pane, "-d", "0.3", "-p", f"{busy},{idle}")
    lines = pane.wait(lambda lines: bool(ROW.match(row_of(lines, busy)))
                      and bool(ROW.match(row_of(lines, idle))) and row_of(lines, busy) == lines[2])
    for row, script in ((2, BUSY), (3, "sleep 100")):
        match = ROW.match(lines[row])
        assert match and lines[row][match.end():] == kernels.command(script), lines[row]
        lines[row] = lines[row][:13]
    lines[0] = re.sub(r"[\d.]+[kM]?(?= calls/s)", "N", lines[0])
    assert lines == ["cerebro top: 2 kernels, 3 tasks, N calls/s, 0 denials", HEADER,
                     f"{busy:7}     1", f"{idle:7}     2", *[""] * 35, KEYS.format("calls", "0.3")]
    pane.keys("q")


def test_keys(pane: Pane, kernels: Kernels) -> None:
    busy = kernels.start(BUSY)
    top_in(pane, "-d", "1", "--sort", "pid", "-p", str(busy))
    pane.keys("s")
    pane.wait(lambda lines: lines[-1] == KEYS.format("calls", "1.0"))
    pane.keys("s", "+", "+")
    pane.wait(lambda lines: lines[-1] == KEYS.format("cpu", "4.0"))
    pane.keys("-", "-", "-", "Down", "Up", "x", "F5")
    pane.wait(lambda lines: lines[-1] == KEYS.format("cpu", "0.5"))
    pane.keys("d")
    pane.wait(lambda lines: CALLS in lines)
    lines = pane.wait(lambda lines: any(re.match(r"\w+ +[\d.]+k? +[\d.]+k? +[\d.]+[nums] ", line)
                                        for line in lines))
    assert lines[1].startswith(f"kernel {busy}: ") and lines[-1].startswith("q quit  d back to the list")
    assert re.match(r"guest \d+, user \d+, 1 processes, 1 threads, up 0m\d\ds$", lines[2])
    assert re.match(r"memory: program [\d.]+[KMG], kernel [\d.]+[KMG]; CPU: program \d+%, kernel \d+%$", lines[3])
    assert re.match(r"served \d+, programs started \d+, denied 0 ", lines[4]) and lines[5] == CALLS
    pane.keys("q")


def test_sizes(pane: Pane, kernels: Kernels) -> None:
    kernels.start(BUSY)
    top_in(pane, "-d", "0.3")
    for width, height in ((60, 10), (20, 5), (10, 3), (2, 1), (140, 30)):
        pane("resize-window", "-x", str(width), "-y", str(height))
        lines = pane.wait(lambda lines: lines[0].startswith("cerebro top: "[:width].rstrip())
                          and len(lines) <= height)
        assert all(len(line) <= width for line in lines)
    pane.wait(lambda lines: HEADER in lines and lines[-1] == KEYS.format("calls", "0.3"))
    pane.keys("q")
    pane.wait(lambda lines: any(line.startswith("ready>") for line in lines))


@pytest.mark.parametrize("way", ["q", "C-c", "C-\\", "TERM"])
def test_the_terminal_is_sane_afterwards(pane: Pane, kernels: Kernels, way: str, work: Path) -> None:
    one = kernels.start("sleep 100")
    pane.keys(f"stty -a >{work}/before", "Enter")
    top_in(pane, "-d", "0.3", "-p", str(one))
    pane.wait(lambda lines: bool(row_of(lines, one)))
    assert pane("display", "-p", "#{alternate_on} #{cursor_flag}").split() == ["1", "0"]
    if way == "TERM":
        shell = int(pane("display", "-p", "#{pane_pid}"))
        os.kill(next(one.pid for one in descendants(shell) if one.comm == "cerebro"), signal.SIGTERM)
    else:
        pane.keys(way)
    pane.wait(lambda lines: any(line.startswith("ready>") for line in lines))
    pane.keys(f"stty -a >{work}/after; echo it is $((6 * 7))", "Enter")
    pane.wait(lambda lines: any(line.endswith("it is 42") for line in lines))
    assert (work / "after").read_text() == (work / "before").read_text()
    assert pane("display", "-p", "#{alternate_on} #{cursor_flag}").split() == ["0", "1"]


def test_a_kernel_that_ends_and_one_that_stops(pane: Pane, kernels: Kernels) -> None:
    first, second = kernels.start("sleep 100"), kernels.start("sleep 100")
    top_in(pane, "-d", "0.3", "-p", f"{first},{second}")
    pane.wait(lambda lines: bool(row_of(lines, first)) and bool(row_of(lines, second)))
    os.kill(second, signal.SIGSTOP)
    kernels.started[0].terminate()
    pane.wait(lambda lines: not row_of(lines, first) and "[stopped]" in row_of(lines, second))
    pane.keys("q")
    pane.wait(lambda lines: any(line.startswith("ready>") for line in lines))
