"""The guest programs: each checks itself, natively (the oracle) and under cerebro."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness import EXTRA_OPTIONS, GUEST_PROGRAMS, NATIVE, Result, base_environment, guest, run

SKIPPED = 77

# Where names matter: the private /tmp, the layer over the host, a writable piece of the host.
EVERYWHERE = ["walk", "walk-open", "files", "attributes", "directories", "watch", "inherit", "fifo",
              "unix", "datagrams", "exec", "exec-scripts"]
ONCE = ["exec-races", "fds", "exactly-once", "kill", "calls", "ipc", "keys", "process", "proc", "dev", "kapi", "threads",
        "signals"]


def judge(got: Result) -> None:
    if got.status == SKIPPED:
        pytest.skip(got.out.strip().splitlines()[0].strip())
    assert got.status == 0, "\n".join(
        [f"exit status {got.status} after {got.seconds:.1f} s"]
        + [line for line in got.out.splitlines() if not line.startswith(("ok ", "skip "))]
        + got.err.splitlines()[-20:])


def cases_of(program: str) -> list[str]:
    """The cases of a program, so that each is a test of its own."""
    path = GUEST_PROGRAMS / program
    if not os.access(path, os.X_OK):
        return []
    listed = subprocess.run([path, "--list"], capture_output=True, text=True, timeout=20,
                            check=True).stdout.split("\n")
    return [line for line in listed if line and not line.startswith("ok ")]


def all_cases(programs: Iterable[str]) -> list[tuple[str, str]]:
    return [(program, case) for program in programs for case in cases_of(program)]


def only_if(condition: bool, cases: list) -> list:  # type: ignore[type-arg]
    """The cases, or none of them where they would mean nothing."""
    return cases if condition else []


def case_name(value: object) -> str:
    return str(value)


@pytest.mark.parametrize(("program", "case"), all_cases(EVERYWHERE), ids=case_name)
@pytest.mark.parametrize("place", ["memory", "host"] if NATIVE else ["memory", "layer", "host"])
def test_names(program: str, case: str, place: str, work: Path) -> None:
    options = ["--write", work] if place == "host" else []
    folder = "/tmp" if place == "memory" else str(work)
    judge(run(guest(program), case, options=options,
              env=environment(folder), timeout=90))
    if place == "layer":
        assert list(work.iterdir()) == [], "something of the layer is on the host"


@pytest.mark.parametrize(("program", "case"), all_cases(ONCE), ids=case_name)
def test_other(program: str, case: str) -> None:
    judge(run(guest(program), case, env=environment("/tmp"), timeout=90))


@pytest.mark.parametrize("case", only_if(not NATIVE, cases_of("identity")))
@pytest.mark.parametrize("place", ["memory", "layer", "kept"])
def test_identity_as_fake_root(case: str, place: str, work: Path) -> None:
    folder = "/tmp" if place == "memory" else str(work / "scratch")
    (work / "scratch").mkdir()
    (work / "upper").mkdir()
    options = ["--overlay", work / "upper"] if place == "kept" else []
    judge(run(guest("identity"), case, options=["--uid", "0", *options],
              env=environment(folder), timeout=90))


@pytest.mark.parametrize("case", only_if(not NATIVE, [
    case for case in cases_of("identity") if "owners" in case]))
def test_owners_as_fake_root(case: str, work: Path) -> None:
    """On the host itself, where it shows what the user may not do as what was recorded."""
    judge(run(guest("identity"), case, options=["--uid", "0", "--write", work],
              env=environment(str(work)), timeout=90))


@pytest.mark.parametrize("case", cases_of("lease"))
def test_lease(case: str, work: Path) -> None:
    """On the host itself: of what is in memory or in a layer the process kernel has a descriptor, too."""
    judge(run(guest("lease"), case, options=["--write", work], env=environment(str(work)), timeout=90))


def test_no_lease_on_what_is_only_read(work: Path) -> None:
    """It would hold up the host's programs."""
    script = f"import fcntl, os; fcntl.fcntl(os.open('{work}/file', os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)"
    (work / "file").write_text("content")
    got = run("/usr/bin/python3", "-c", script, options=["--bind", f"{work}:{work}:ro"])
    assert NATIVE or "PermissionError" in got.err or "BlockingIOError" in got.err, got


@pytest.mark.parametrize("case", only_if(os.geteuid() == 0, cases_of("identity")))
def test_identity_as_it_is(case: str) -> None:
    judge(run(guest("identity"), case, env=environment("/tmp"), timeout=90))


@pytest.mark.parametrize(("program", "case"),
                         only_if(not NATIVE, all_cases(["walk", "files", "attributes"])),
                         ids=case_name)
def test_names_as_fake_root(program: str, case: str, work: Path) -> None:
    judge(run(guest(program), case, options=["--uid", "0"], env=environment(str(work)),
              timeout=90))


@pytest.mark.parametrize("case", only_if(not NATIVE, cases_of("device")))
def test_device(case: str) -> None:
    judge(run(guest("device"), case, options=["--test-device"], env=environment("/tmp")))


def environment(folder: str) -> dict[str, str]:
    # Without WAIT_KILLABLE_RECV a signal can cut a call that is being served; the journal of the
    # last call makes up for nearly all of these, see tests/guest/exactly-once.c.
    anomalies = "5" if any("journal" in word for word in EXTRA_OPTIONS) else "0"
    return base_environment(GUEST_DIR=folder, GUEST_ANOMALIES=anomalies)
