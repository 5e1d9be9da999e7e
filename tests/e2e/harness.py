"""What the end-to-end tests share: running `cerebro`, and seeing what it leaves behind.

The environment says what is tested; tools/run-tests sets it, and each variable has a default that
fits a plain `pytest tests/e2e` in a built tree:

    CEREBRO               the program (build/src/cli/cerebro)
    GUEST_PROGRAMS        folder of the guest programs (build/tests)
    EXAMPLES              folder of the examples (`examples` beside the former)
    CEREBRO_TEST_OPTIONS  options added to every `cerebro run`, such as "--without userns"
    CEREBRO_TEST_WRAPPER  command in front of every `cerebro`, such as "deny-userns"
    CEREBRO_TEST_NATIVE   1: run programs as they are, without cerebro (the oracle)
    CEREBRO_TEST_SANITIZED  prefix of the files that sanitizers write; empty: no sanitizers
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CEREBRO = os.environ.get("CEREBRO", str(REPOSITORY / "build/src/cli/cerebro"))
GUEST_PROGRAMS = Path(os.environ.get("GUEST_PROGRAMS", str(REPOSITORY / "build/tests")))
EXAMPLES = Path(os.environ.get("EXAMPLES", str(GUEST_PROGRAMS.parent / "examples")))
EXTRA_OPTIONS = shlex.split(os.environ.get("CEREBRO_TEST_OPTIONS", ""))
WRAPPER = shlex.split(os.environ.get("CEREBRO_TEST_WRAPPER", ""))
NATIVE = os.environ.get("CEREBRO_TEST_NATIVE") == "1"
SANITIZED = os.environ.get("CEREBRO_TEST_SANITIZED", "")

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PR_SET_CHILD_SUBREAPER = 36
KEPT = ("XDG_RUNTIME_DIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TORTURE")


@dataclass(frozen=True)
class Result:
    """What a command did. `status` is 128 + N for a death by signal N, and None when the command
    was killed because it took too long."""

    argv: tuple[str, ...]
    status: int | None
    out: str
    err: str
    seconds: float

    def __str__(self) -> str:
        return (f"{shlex.join(self.argv)}\n-> {self.status} after {self.seconds:.1f} s\n"
                f"--- stdout\n{self.out}\n--- stderr\n{self.err}")

    def ok(self) -> "Result":
        assert self.status == 0, str(self)
        return self

    def denials(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("cerebro: denied: ")]


def base_environment(**more: str) -> dict[str, str]:
    home = os.environ.get("HOME", "/")
    env = {"PATH": SYSTEM_PATH, "HOME": home, "LANG": "C.UTF-8", "TERM": "xterm",
           "CEREBRO_AUDIT": "none"}
    env.update({name: os.environ[name] for name in KEPT if name in os.environ})
    env.update(more)
    return env


def shown_by_a_shell(returncode: int) -> int:
    """128 + N for a command that signal N killed."""
    return 128 - returncode if returncode < 0 else returncode


def run_host(argv: Sequence[str], *, stdin: str | bytes = b"", timeout: float = 60.0,
             cwd: str | Path | None = None, env: Mapping[str, str] | None = None) -> Result:
    """Runs a command in a session of its own; kills all of it after `timeout` seconds."""
    argv = tuple(str(word) for word in argv)
    start = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True, cwd=cwd,
                               env=dict(env if env is not None else base_environment()))
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        out, err = process.communicate(data, timeout)
        status: int | None = shown_by_a_shell(process.returncode)
    except subprocess.TimeoutExpired:
        kill_tree(process.pid)
        out, err = process.communicate()
        status = None
    return Result(argv, status, out.decode(errors="replace"), err.decode(errors="replace"),
                  time.monotonic() - start)


def run_argv(program: Sequence[str | Path], options: Iterable[str | Path] = ()) -> list[str]:
    """The command line that runs `program` under cerebro with these options."""
    words = [str(word) for word in program]
    if NATIVE:
        return words
    return [*WRAPPER, CEREBRO, "run", *EXTRA_OPTIONS, *map(str, options), "--", *words]


def run(*program: str | Path, options: Iterable[str | Path] = (), stdin: str | bytes = b"",
        timeout: float = 60.0, cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None) -> Result:
    """`cerebro run OPTIONS -- PROGRAM...`."""
    return run_host(run_argv(program, options), stdin=stdin, timeout=timeout, cwd=cwd, env=env)


def sh(script: str, **how) -> Result:  # type: ignore[no-untyped-def]
    return run("/bin/sh", "-c", script, **how)


def bash(script: str, **how) -> Result:  # type: ignore[no-untyped-def]
    return run("/bin/bash", "-c", script, **how)


def cerebro(*words: str | Path, timeout: float = 30.0, **how) -> Result:  # type: ignore[no-untyped-def]
    """Any other cerebro command."""
    return run_host([*WRAPPER, CEREBRO, *map(str, words)], timeout=timeout, **how)


def tool(name: str) -> str | None:
    """Full path of a program of the host's distribution."""
    return shutil.which(name, path=SYSTEM_PATH)


def guest(name: str) -> str:
    return str(GUEST_PROGRAMS / name)


# ---- processes ----

def become_reaper() -> None:
    """Orphans of what we start become our children: so they can be found, and ended by pid."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True)
class Process:
    pid: int
    comm: str
    state: str
    parent: int
    ticks: int  # user and system time


def read_process(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Process(pid, head.partition("(")[2], fields[0], int(fields[1]),
                   int(fields[11]) + int(fields[12]))


def all_processes() -> list[Process]:
    found = (read_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process]


def descendants(root: int) -> list[Process]:
    """Living and dead processes below `root`, parents before children."""
    children: dict[int, list[Process]] = {}
    for process in all_processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += [process.pid for process in below]
    return found


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_tree(root: int) -> None:
    for process in descendants(root):
        send(process.pid, signal.SIGKILL)
    send(root, signal.SIGKILL)


def reap() -> None:
    """Collects dead children that nobody else waits for."""
    for process in descendants(os.getpid()):
        if process.state == "Z" and process.parent == os.getpid():
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                pass


def left_over(grace: float = 3.0) -> list[Process]:
    """Descendants of ours that are still alive after `grace` seconds; they are killed then."""
    limit = time.monotonic() + grace
    while True:
        reap()
        alive = [p for p in descendants(os.getpid()) if p.state != "Z"]
        if not alive or time.monotonic() > limit:
            break
        time.sleep(0.02)
    for process in alive:
        send(process.pid, signal.SIGKILL)
    if alive:
        time.sleep(0.1)
        reap()
    return alive


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


def supervisor_of(front: int) -> Process | None:
    """The process kernel of a running `cerebro run`."""
    for process in descendants(front):
        if process.comm == "cerebro-kernel" and process.parent == front:
            return process
    return None


# ---- files ----

PRIVATE_NAME = re.compile(r"cerebro-\w{6}")  # what mkdtemp makes of cerebro-XXXXXX
WATCHED = ("/dev/shm", "/tmp", "/var/tmp", "/run")


def host_files() -> set[str]:
    """Files of Cerebro in the places where programs leave things."""
    found: set[str] = set()
    for folder in WATCHED:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found |= {f"{folder}/{name}" for name in names
                  if PRIVATE_NAME.fullmatch(name) and owned(f"{folder}/{name}")}
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        found |= {str(path) for path in Path(runtime).rglob("*") if not path.is_dir()}
    return found


def owned(path: str) -> bool:
    try:
        return os.lstat(path).st_uid == os.getuid()
    except OSError:
        return False


def sanitizer_reports() -> str:
    """What AddressSanitizer, LeakSanitizer and UBSan wrote; the files are removed."""
    if not SANITIZED:
        return ""
    prefix = Path(SANITIZED)
    text = ""
    for path in sorted(prefix.parent.glob(prefix.name + ".*")):
        report = path.read_text(errors="replace")
        path.unlink()
        # A thread that ends while the leak checker looks for it is no finding.
        lines = [line for line in report.splitlines()
                 if line.strip() and "Unable to get registers from thread" not in line]
        if lines:
            text += f"{path.name}:\n" + "\n".join(lines) + "\n"
    return text
