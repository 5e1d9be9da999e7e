"""Runs one test, natively or under a process kernel, and leaves nothing behind."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .cases import Case, Ltp
from .outcome import ABSENT, PASS, End, Pair, telling_line, verdict_of

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
OUTPUT_BYTES = 1 << 20
ENDING_SECONDS = 10.0  # for a process kernel to end its guests, before it is killed, too
PREFIX = "cerebro-ltp-"
# Where a test writes: the private /tmp (natively: tmpfs), a throw-away layer over a directory of the host, or that
# directory itself. Natively the kind of file system is the same, since tests leave out what theirs cannot do.
PLACES = ("memory", "layer", "host")
TMPFS = "/dev/shm"


@dataclass(frozen=True)
class Setting:
    """What all runs have in common."""

    ltp: Ltp
    cerebro: str
    options: tuple[str, ...]  # of `cerebro run`
    seconds: float            # for each test
    place: str                # one of PLACES
    scratch: str              # a directory of the host's disk, for scratch directories
    everything: bool          # also under a process kernel what does not pass natively


def adopt_orphans() -> None:
    """Called in each worker: processes that a test left behind become our children, so that they can be ended; and
    the worker dies with the process that started it."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_worker)


def end_worker(*_: object) -> None:
    end_children()
    for folder in SCRATCH:
        remove_tree(folder)
    os._exit(1)


SCRATCH: set[str] = set()  # directories of the run under way, for end_worker()


def parents() -> dict[int, int]:
    found = {}
    for name in os.listdir("/proc"):
        try:
            text = Path("/proc", name, "stat").read_text() if name.isdigit() else ""
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text:
            found[int(name)] = int(text.rpartition(")")[2].split()[1])
    return found


def descendants() -> list[int]:
    table = parents()
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in table.items() if parent == pid]
    return found[1:]


def end_children() -> None:
    """Kills and reaps all that this process has for children, also those of others that it adopted."""
    for _ in range(200):
        for pid in descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def remove_tree(path: str) -> None:
    """Also directories that a test made unreadable."""
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(folder, name)
            try:
                if not stat.S_ISLNK(os.lstat(inner).st_mode):
                    os.chmod(inner, 0o700)
            except OSError:
                pass
    shutil.rmtree(path, ignore_errors=True)


def environment(setting: Setting, scratch: str) -> dict[str, str]:
    return {"PATH": setting.ltp.path, "LTPROOT": str(setting.ltp.root), "TMPDIR": scratch, "HOME": scratch,
            "LANG": "C", "TERM": "dumb", "LTP_COLORIZE_OUTPUT": "n", "LTP_TIMEOUT_MUL": "1"}


def command_under(setting: Setting, case: Case, scratch: str) -> list[str]:
    write = ["--write", scratch] if setting.place == "host" else []
    return [setting.cerebro, "run", "--quiet", *write, "--cwd", place_inside(setting, scratch), *setting.options,
            "--", *case.argv]


def place_inside(setting: Setting, scratch: str) -> str:
    return "/tmp" if setting.place == "memory" else scratch


def wait_for(process: subprocess.Popen, seconds: float, patience: float) -> int | None:
    """Its status; None when it had to be ended, first politely for `patience` seconds."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return None


def run_once(argv: list[str], env: dict[str, str], cwd: str, seconds: float, patience: float) -> End:
    with tempfile.TemporaryFile() as output:
        start = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True, cwd=cwd, env=env)
        status = wait_for(process, seconds, patience)
        taken = time.monotonic() - start
        end_children()
        output.seek(0)
        verdict = verdict_of(status)
        text = output.read(OUTPUT_BYTES).decode(errors="replace")
        return End(verdict, status, round(taken, 3), telling_line(text, verdict))


class Scratch:
    """A directory for one run, that anybody may use: tests change their user."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> str:
        self.path = tempfile.mkdtemp(prefix=PREFIX, dir=self.where)
        SCRATCH.add(self.path)
        os.chmod(self.path, 0o777)
        return self.path

    def __exit__(self, *_: object) -> None:
        remove_tree(self.path)
        SCRATCH.discard(self.path)


def run_native(setting: Setting, case: Case) -> End:
    program = shutil.which(case.argv[0], path=setting.ltp.path)
    if not program:
        return End(ABSENT)
    with Scratch(TMPFS if setting.place == "memory" else setting.scratch) as scratch:
        env = environment(setting, scratch)
        return run_once([program, *case.argv[1:]], env, scratch, setting.seconds, 0.0)


def run_under(setting: Setting, case: Case) -> End:
    with Scratch(setting.scratch) as scratch:
        env = environment(setting, place_inside(setting, scratch))
        return run_once(command_under(setting, case, scratch), env, scratch, setting.seconds, ENDING_SECONDS)


def run_pair(setting: Setting, case: Case, tries: int = 1) -> Pair:
    pair = Pair(case, run_native(setting, case), tries=tries)
    if pair.native.verdict != ABSENT and (pair.native.verdict == PASS or setting.everything):
        pair.under = run_under(setting, case)
    return pair
