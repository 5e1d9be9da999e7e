"""The trace: against the real strace, and what is selected of it."""

from __future__ import annotations

import difflib
import json
import re
import time
from pathlib import Path

import pytest

from harness import Result, cerebro, guest, run, run_host, sh, tool

DECISION = re.compile(r" <(\w+) ([\d.]+) us>.*$")
LINE = re.compile(r"\[(\d+)\] (\w+)\(.*\) = .* <(served|descriptor|native|exec|denied|injected) [\d.]+ us>")


def between_marks(text: str) -> list[str]:
    """Calls of tests/guest/trace-calls.c, without what cannot be the same: numbers of processes,
    addresses on the stack, our decision and time."""
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        match = re.match(r"\[?(\d+)\]? +(.*)", line)
        if not match:
            continue
        pid, call = match.groups()
        if "mark-begin" in call or "mark-end" in call:
            inside = "mark-begin" in call
        elif inside:
            call = re.sub(rf"\b{pid}\b", "PID", DECISION.sub("", call))
            found.append(re.sub(r"0x7ff[0-9a-f]+", "ADDRESS", call))
    return found


def name_of(call: str) -> str:
    return call.partition("(")[0]


def test_calls_are_shown_as_strace_shows_them(work: Path) -> None:
    strace = tool("strace")
    if strace is None:
        pytest.skip("no strace here")
    theirs, ours = work / "theirs", work / "ours"
    for folder in theirs, ours:
        folder.mkdir()
    native = run_host([strace, "-f", "-a1", "-o", str(work / "strace"), guest("trace-calls")], cwd=theirs)
    if native.status != 0:
        pytest.skip(f"strace cannot trace here: {native.err}")
    run(guest("trace-calls"), options=["--write", ours, "--trace-to", work / "trace"], cwd=ours).ok()
    shown = between_marks((work / "trace").read_text())
    served = {name_of(call) for call in shown}
    wanted = [call for call in between_marks((work / "strace").read_text()) if name_of(call) in served]
    assert len(wanted) > 60
    # Of a call that the host ran nobody here knows the result.
    pairs = [(want.rpartition(" = ")[0] + " = ?" if have.endswith(" = ?") else want, have)
             for want, have in zip(wanted, shown)]
    assert len(wanted) == len(shown) and all(want == have for want, have in pairs), "\n".join(
        difflib.unified_diff([p[0] for p in pairs], shown, "strace", "cerebro", lineterm="", n=0))


def traced(result: Result) -> list[str]:
    return [line for line in result.err.splitlines() if LINE.match(line)]


def names(result: Result) -> set[str]:
    return {LINE.match(line)[2] for line in traced(result)}  # type: ignore[index]


def test_every_line_has_decision_and_time() -> None:
    got = run("/bin/cat", "/etc/hostname", options=["--trace"]).ok()
    assert len(traced(got)) == len(got.err.splitlines()) > 3, str(got)
    assert re.search(r'openat\(AT_FDCWD, "/etc/hostname", O_RDONLY\) = \d+ <descriptor ', got.err)


def test_programs_and_natives() -> None:
    got = sh("/bin/true a 'b c'; kill -0 $$", options=["--trace"]).ok()
    assert re.search(r'execve\("/bin/true", \["/bin/true", "a", "b c"\], 0x\w+ /\* \d+ vars \*/\) = 0 <exec ', got.err), str(got)
    assert re.search(r"kill\(\d+, 0\) = \? <native ", got.err), str(got)


def test_denied_calls_say_so() -> None:
    got = run("/bin/mkdir", "/tmp/x", options=["--trace=mkdir", "--deny", "mkdir"])
    assert re.search(r'mkdir\("/tmp/x", 0777\) = -1 EPERM \(.*\) <denied .*> denied: ', got.err), str(got)


@pytest.mark.parametrize("chosen, there, absent", [
    ("%file", "openat", "connect"), ("file", "openat", "connect"), ("openat", "openat", "newfstatat"),
    ("/^open", "openat", "newfstatat"), ("!openat", "newfstatat", "openat"),
    ("openat,?no_such_call", "openat", "newfstatat"), ("%%stat", "newfstatat", "openat")])
def test_sets_of_calls(chosen: str, there: str, absent: str) -> None:
    got = run("/bin/cat", "/etc/hostname", options=[f"--trace={chosen}"]).ok()
    assert there in names(got) and absent not in names(got), str(got)


def test_sets_add_up() -> None:
    got = run("/bin/cat", "/etc/hostname", options=["--trace=openat", "--trace=access"]).ok()
    assert names(got) == {"openat", "access"}, str(got)


def test_paths(work: Path) -> None:
    (work / "a").write_text("x")
    (work / "b").mkdir()
    got = sh("cat a; cat ./b/../a; cat /etc/hostname", cwd=work,
             options=["--write", work, "--trace-path", work / "a"]).ok()
    lines = [line for line in traced(got) if "openat" in line]
    assert len(lines) == 2 and '"a"' in lines[0] and '"./b/../a"' in lines[1], str(got)
    assert any(re.search(r"newfstatat\(\d+, \"\", .*AT_EMPTY_PATH", line) for line in traced(got)), str(got)
    assert "/etc/hostname" not in got.err


def test_status() -> None:
    failed = sh("cat /etc/hostname /none", options=["--trace=openat", "--trace-status=failed"])
    assert traced(failed) and all("= -1 E" in line for line in traced(failed)), str(failed)
    good = sh("cat /etc/hostname /none", options=["--trace=openat", "--trace-status=successful"])
    assert traced(good) and all("= -1 E" not in line for line in traced(good)), str(good)


def test_objects(work: Path) -> None:
    run("/bin/cat", "/etc/hostname", options=["--trace-json", "--trace-to", work / "trace"]).ok()
    calls = [json.loads(line) for line in (work / "trace").read_text().splitlines()]
    opened = [call for call in calls if call["call"] == "openat" and call["args"]["path"] == "/etc/hostname"]
    assert len(opened) == 1 and opened[0]["args"]["dirfd"] == "AT_FDCWD"
    assert opened[0]["result"] >= 3 and opened[0]["decision"] == "descriptor" and opened[0]["us"] > 0
    assert opened[0]["pid"] == opened[0]["tid"] and opened[0]["nr"] == 257
    assert all(call.keys() >= {"time", "pid", "tid", "nr", "call", "args", "raw", "result", "decision"}
               for call in calls)


def test_calls_that_wait_are_shown_when_they_end(work: Path) -> None:
    script = "mkfifo pipe; { sleep 0.3; echo hello >pipe; } & cat pipe"
    got = sh(script, cwd=work, options=["--write", work, "--trace=openat"]).ok()
    waited = [line for line in traced(got) if '"pipe", O_RDONLY' in line]
    assert got.out == "hello\n" and len(waited) == 1, str(got)
    assert float(DECISION.search(waited[0])[2]) > 100_000, str(got)  # type: ignore[index]


@pytest.mark.parametrize("options, sentence", [
    (["--trace=opne"], "there is no system call 'opne'"), (["--trace=%flie"], "there is no family '%flie'"),
    (["--trace=open,"], "a name is missing"), (["--trace=/("], "--trace: '/("),
    (["--trace=close"], "close runs natively and is never seen"),
    (["--trace-status=odd"], "there is no 'odd'"), (["--trace-path", "x"], "takes an absolute path"),
    (["--trace-to"], "needs a value"),
])
def test_mistakes(options: list[str], sentence: str) -> None:
    got = cerebro("run", *options, "--", "/bin/echo", "ran") if options != ["--trace-to"] else cerebro("run", *options)
    assert got.status == 2 and sentence in got.err and "  try: " in got.err and got.out == "", str(got)


def test_a_native_call_that_is_injected_into_can_be_shown() -> None:
    got = run(guest("inject"), "getpid", "1", options=["--trace=getpid", "--inject", "getpid:retval=42"]).ok()
    assert "getpid() = 42 (INJECTED) <injected " in got.err, str(got)
