"""Fault injection: what guests get, and how often."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from harness import Result, base_environment, cerebro, descendants, guest, run, run_argv, sh, tool

# As hosts are that let a signal take a thread out of a served call (before Linux 5.19).
OLD = ["--without", "journal"]


def inject(call: str, count: int, *rules: str, options: list[str] | None = None) -> tuple[str, int, int, int]:
    """What tests/guest/inject.c has seen: letters, signals, the last value, milliseconds."""
    words = [word for rule in rules for word in ("--inject", rule)]
    got = run(guest("inject"), call, str(count), options=[*words, *(options or [])]).ok()
    letters, signals, value, took = got.out.split()
    return letters, int(signals), int(value), int(took)


def report(result: Result) -> list[dict]:  # type: ignore[type-arg]
    return json.loads(result.err.splitlines()[-1])["injections"]


@pytest.mark.parametrize("when, letters", [
    ("", "EEEEEEEE"), (":when=3", "..E....."), (":when=3+", "..EEEEEE"), (":when=3+2", "..E.E.E."),
    (":when=2..4", ".EEE...."), (":when=2..6+2", ".E.E.E..")])
def test_invocations(when: str, letters: str) -> None:
    assert inject("open", 8, f"open:error=ENOSPC{when}")[0] == letters


@pytest.mark.parametrize("call", ["read", "mmap"])
def test_native_calls(call: str) -> None:
    """The other reads get their bytes; the loader's own calls of mmap are neither counted nor hit."""
    assert inject(call, 6, f"{call}:error=EIO:when=2..4+2")[0] == ".I.I.."


def test_values() -> None:
    assert inject("getpid", 3, "getpid:retval=42:when=3")[2] == 42


def test_clocks_without_a_vdso() -> None:
    # The first call is the one that begins to take the time.
    assert inject("clock_gettime", 3, "clock_gettime:error=EIO:when=3")[0] == ".I."


def test_signals() -> None:
    assert inject("stat", 4, "stat:signal=USR1:when=2+2")[:2] == ("....", 2)
    assert inject("stat", 3, "stat:signal=SIGUSR1:error=EIO:when=2")[:2] == (".I.", 1)
    assert inject("nanosleep", 1, "nanosleep:signal=USR1")[:2] == ("N", 1)
    assert inject("open", 2, "open:signal=USR1:when=1")[:2] == ("..", 1)


def test_signals_behind_the_call() -> None:
    """On an old host the signal may come only when the next call is under way, and interrupt that."""
    letters, signals = inject("stat", 4, "stat:signal=USR1:error=EIO:when=2", options=OLD)[:2]
    assert letters in (".I..", ".IN.") and signals == 1
    assert inject("nanosleep", 1, "nanosleep:signal=USR1", options=OLD)[:2] == ("N", 1)


def test_a_deadly_signal() -> None:
    assert run(guest("inject"), "open", "3", options=["--inject", "open:signal=KILL:when=2"]).status == 137


@pytest.mark.parametrize("host", [[], OLD])
@pytest.mark.parametrize("call, rule", [
    ("stat", "stat:delay_enter=60ms:when=2..3"), ("stat", "stat:delay_exit=60ms:when=2..3"),
    ("open", "open:delay_exit=60000:when=2..3"), ("read", "read:delay_enter=0.06s:when=2..3"),
    ("read", "read:delay_enter=30ms:delay_exit=30ms:retval=1:when=2..3")])
def test_delays(call: str, rule: str, host: list[str]) -> None:
    letters, _, _, took = inject(call, 4, rule, options=host)
    assert letters == "...." and took >= 119


def test_delays_of_several_at_once() -> None:
    script = " & ".join(f"{guest('inject')} stat 1" for _ in range(8)) + " & wait"
    start = time.monotonic()
    got = sh(script, options=["--inject", "stat:delay_enter=300ms:delay_exit=300ms"]).ok()
    assert len(got.out.splitlines()) == 8 and time.monotonic() - start < 4.5
    assert all(int(line.split()[3]) >= 599 for line in got.out.splitlines()), str(got)


def test_a_run_ends_while_a_guest_is_delayed() -> None:
    process = subprocess.Popen(run_argv([guest("inject"), "stat", "1"], ["--inject", "stat:delay_enter=1000s"]),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=base_environment())
    deadline = time.monotonic() + 20
    while not any(p.comm == "inject" for p in descendants(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (-signal.SIGTERM, 143)


def test_counts_are_of_the_whole_tree() -> None:
    one = guest("inject")
    got = sh(f"{one} open 4; {one} open 4", options=["--inject", "open:error=ENOSPC:when=3..6", "--json"]).ok()
    assert [line.split()[0] for line in got.out.splitlines()] == ["..EE", "EE.."], str(got)
    assert report(got) == [{"rule": "open:error=ENOSPC:when=3..6", "calls": 8, "injected": 4}]


def test_numbers_are_counted_by_themselves_and_the_last_rule_holds() -> None:
    rules = ("%file:error=ENOSPC:when=2", "stat:error=EIO:when=1")
    assert inject("open", 3, *rules)[0] == ".E."
    assert inject("stat", 3, *rules)[0] == "I.."


def test_forks_fail() -> None:
    assert inject("fork", 2, "fork:error=EAGAIN")[0] == "AA"
    got = sh("/bin/true; echo went on", options=["--inject", "fork,vfork,clone:error=EAGAIN"])
    assert got.status != 0 and "fork" in got.err.lower(), str(got)


def test_programs_that_cannot_be_started() -> None:
    got = sh("/bin/echo one; /bin/echo two; /bin/echo three; :", options=["--inject", "execve:error=ENOENT:when=2"])
    assert "one\n" in got.out and "three\n" in got.out and "two\n" not in got.out, str(got)


def test_a_full_disk(work: Path) -> None:
    got = run("/bin/dd", "if=/dev/zero", "of=out", "bs=1024", "count=4", cwd=work,
              options=["--write", work, "--inject", "write:error=ENOSPC:when=3"])
    assert got.status == 1 and "No space left on device" in got.err, str(got)
    assert (work / "out").stat().st_size == 2048


def test_a_data_base_survives(work: Path) -> None:
    if tool("sqlite3") is None:
        pytest.skip("no sqlite3 here")
    with sqlite3.connect(work / "db") as db:
        db.execute("create table t(x)")
        db.execute("insert into t values (1)")
    db.close()
    fill = "begin; " + "insert into t values (2); " * 50 + "commit;"
    got = run(tool("sqlite3"), "db", fill, cwd=work,  # type: ignore[arg-type]
              options=["--write", work, "--inject", "fsync,fdatasync:error=EIO", "--json"])
    assert got.status != 0 and "disk I/O error" in got.err, str(got)
    assert report(got)[0]["injected"] >= 1
    with sqlite3.connect(work / "db") as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert db.execute("select * from t").fetchall() == [(1,)]
    db.close()


def test_statistics_tell_what_was_injected() -> None:
    got = run(guest("inject"), "open", "4", options=["--inject", "open:error=EIO:when=2", "--stats"]).ok()
    assert "injected 1 times in 4 calls: open:error=EIO:when=2" in got.err, str(got)


@pytest.mark.parametrize("rule, sentence", [
    ("open", "does not say what is to be injected"), ("opne:error=EIO", "there is no system call 'opne'"),
    ("open:error=ENOTHING", "there is no such error"), ("open:error=EIO:when=0", "when takes FIRST"),
    ("close:error=EIO", "close cannot be watched"), ("fork:signal=USR1", "fork cannot be watched"),
    ("read:delay_exit=1s", "read runs natively"), ("open:poke_exit=@arg2=1", "only strace can do this")])
def test_mistakes(rule: str, sentence: str) -> None:
    got = cerebro("run", "--inject", rule, "--", "/bin/echo", "ran")
    assert got.status == 2 and sentence in got.err and "  try: " in got.err and got.out == "", str(got)
