"""Children of the bench: timed, bounded, and never left behind.

Every child gets its own session, so a Ctrl-C in the terminal reaches only the bench, which then
ends what it started. Sandboxes start helpers in sessions of their own; the bench therefore makes
itself the reaper of all its descendants, finds whatever is left after a run, and ends it by pid.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 2.0
KEPT_OUTPUT = 64 * 1024 * 1024
KEPT_ERRORS = 2000


class Interrupted(Exception):
    """Ctrl-C or a termination signal: clean up and stop."""


@dataclass(frozen=True)
class Outcome:
    status: int | None  # None: timed out
    wall: float
    cpu: float
    out: bytes
    err: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    def why(self) -> str:
        if self.status is None:
            return f"timed out after {self.wall:.0f} s"
        said = " / ".join(self.err.strip().splitlines()[-3:])
        return f"exit status {self.status}" + (f": {said[-300:]}" if said else "")


def become_reaper() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def raise_on_signals() -> None:
    def stop(number: int, _frame: object) -> None:
        raise Interrupted(signal.Signals(number).name)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)


def ignore_signals() -> None:
    """For the clean-up: a second Ctrl-C must not leave half of it undone."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parent_of(pid: str) -> int | None:
    try:
        text = Path("/proc", pid, "stat").read_text(errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[1])  # the name may hold anything, even ")"


def own_children() -> set[int]:
    me = os.getpid()
    return {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and parent_of(pid) == me}


def reap(pid: int) -> bool:
    """True when the child is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Processes:
    """All children of the bench; `kept` are those that run in the background on purpose."""

    def __init__(self) -> None:
        self.kept: set[int] = set()

    def start(self, argv: list[str], env: dict[str, str], cwd: Path,
              out: int = subprocess.DEVNULL, err: int | None = None) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.DEVNULL if err is None else err,
                                 start_new_session=True)
        self.kept.add(child.pid)
        return child

    def run(self, argv: list[str], env: dict[str, str], cwd: Path, timeout: float,
            capture: bool = False) -> Outcome:
        """Output goes through a pipe or to /dev/null: runsc of 2022 overwrites a shared file."""
        before = cpu_of_children()
        with tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            try:
                child = self.start(argv, env, cwd, err=errors.fileno(),
                                   out=subprocess.PIPE if capture else subprocess.DEVNULL)
            except OSError as error:
                return Outcome(127, 0.0, 0.0, b"", str(error))
            try:
                ended, out = self._follow(child, start + timeout)
                wall = time.perf_counter() - start
            finally:
                self.stop(child)
            errors.seek(0, os.SEEK_END)
            errors.seek(max(0, errors.tell() - KEPT_ERRORS))
            err = errors.read().decode(errors="replace")
        status = child.returncode if ended else None
        return Outcome(status, wall, cpu_of_children() - before, out, err)

    def _follow(self, child: subprocess.Popen[bytes], deadline: float) -> tuple[bool, bytes]:
        """Reads until the child ends. A pidfd, since Popen.wait(timeout) sleeps between looks."""
        kept = bytearray()
        exit_fd = os.pidfd_open(child.pid)
        poll = select.poll()
        poll.register(exit_fd, select.POLLIN)
        if child.stdout:
            os.set_blocking(child.stdout.fileno(), False)
            poll.register(child.stdout, select.POLLIN)
        try:
            while (left := deadline - time.perf_counter()) > 0:
                ready = {fd for fd, _ in poll.poll(left * 1000)}
                if exit_fd in ready:
                    self._drain(child, kept)
                    return True, bytes(kept)
                if ready and not self._drain(child, kept) and child.stdout:
                    poll.unregister(child.stdout)
            return False, bytes(kept)
        finally:
            os.close(exit_fd)

    @staticmethod
    def _drain(child: subprocess.Popen[bytes], kept: bytearray) -> bool:
        """Takes what is there; False at the end of the output."""
        while child.stdout:
            chunk = child.stdout.read(65536)
            if chunk is None:
                return True
            if not chunk:
                return False
            kept += chunk[: max(0, KEPT_OUTPUT - len(kept))]
        return False

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """Ends the child if it still runs, with its session and whatever it left to us."""
        if child.poll() is None:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        if child.stdout:
            child.stdout.close()
        self.kept.discard(child.pid)
        self.sweep()

    def sweep(self, grace: float = GRACE_SECONDS) -> None:
        """Helpers that are just leaving get a moment; the rest is killed, by generation."""
        deadline = time.monotonic() + grace
        while strays := [pid for pid in own_children() - self.kept if not reap(pid)]:
            if time.monotonic() > deadline:
                for pid in strays:
                    kill(pid)
            time.sleep(0.002)

    def stop_all(self) -> None:
        for pid in list(self.kept):
            kill(pid)
        self.kept.clear()
        self.sweep(grace=0.0)
