"""`cerebro ps`, `doctor` and `syscalls`."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import (CEREBRO, SANITIZED, base_environment, cerebro, descendants, kill_tree, run_argv,
                     run_host, supervisor_of, wait_until)


def start_sleeper() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(run_argv(["/bin/sh", "-c", "echo ready; sleep 1000; :"]),
                               stdout=subprocess.PIPE, start_new_session=True,
                               env=base_environment())
    assert process.stdout and process.stdout.readline() == b"ready\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.communicate(timeout=10)


def test_ps_shows_a_running_kernel() -> None:
    process = start_sleeper()
    try:
        supervisor = supervisor_of(process.pid)
        assert supervisor
        assert wait_until(lambda: len(descendants(supervisor.pid)) == 3)  # with reaper and sleep
        table = cerebro("ps").ok().out.splitlines()
        assert re.match(r" *KERNEL +GUEST +KIND +UPTIME +PROCS +MEMORY +COMMAND", table[0])
        line = next(line for line in table if line.split()[0] == str(supervisor.pid))
        assert "/bin/sh" in line and int(line.split()[4]) >= 2 and line.split()[2] == "run"
        found = json.loads(cerebro("ps", "--json").ok().out)
        mine = next(item for item in found if supervisor.pid in item.values())
        assert any("sh" in str(value) for value in mine.values())
    finally:
        end(process)
    assert str(supervisor.pid) not in cerebro("ps").ok().out.split()


def test_ps_without_kernels() -> None:
    assert isinstance(json.loads(cerebro("ps", "--json").ok().out), list)


def test_doctor() -> None:
    text = cerebro("doctor").ok().out
    found = json.loads(cerebro("doctor", "--json").ok().out)
    assert text and found
    for name in ("user-notification", "user-namespaces", "landlock"):
        assert name in text and name in json.dumps(found)
    # A filter of hundreds of instructions that looks at arguments cannot be free.
    assert 0 < found["filter_checked_ns"] < 100_000 and found["filter_instructions"] > 100
    assert re.search(r"adds \d+ ns to a native call, \d+ ns where it looks", text)


def test_syscalls_table() -> None:
    table = json.loads(cerebro("syscalls", "--json").ok().out)
    assert len(table) > 360
    names = {entry["name"] for entry in table}
    assert {"openat", "io_uring_setup", "clone3"} <= names
    text = cerebro("syscalls").ok().out
    assert len(text.splitlines()) > 360


def test_one_syscall() -> None:
    by_name = json.loads(cerebro("syscalls", "openat", "--json").ok().out)
    by_number = json.loads(cerebro("syscalls", "257", "--json").ok().out)
    assert by_name == by_number
    assert "openat" in cerebro("syscalls", "257").ok().out
    got = cerebro("syscalls", "no_such_call")
    assert got.status != 0 and got.err.startswith("cerebro")


def test_syscalls_of_a_family() -> None:
    network = json.loads(cerebro("syscalls", "--family", "network", "--json").ok().out)
    names = {entry["name"] for entry in network}
    assert "connect" in names and "openat" not in names
    refused = json.loads(cerebro("syscalls", "--disposition", "refused", "--json").ok().out)
    assert "ptrace" in {entry["name"] for entry in refused}
    assert cerebro("syscalls", "--family", "nonsense").status == 2


def test_output_that_cannot_be_written() -> None:
    words = [*cerebro("syscalls").argv]
    got = subprocess.run(["/bin/sh", "-c", f"{words[0]} syscalls >/dev/full"],
                         capture_output=True, timeout=20, env=base_environment())
    assert got.returncode != 0


def test_ps_names_the_first_guest_process() -> None:
    """The reaper between supervisor and guest is no guest, and is not counted."""
    process = start_sleeper()
    try:
        supervisor = supervisor_of(process.pid)
        assert supervisor
        assert wait_until(lambda: len(descendants(supervisor.pid)) == 3)  # with sleep
        below = descendants(supervisor.pid)
        reaper = next(p for p in below if p.comm == "cerebro-reaper")
        guest = next(p for p in below if p.parent == reaper.pid)
        row = next(item for item in json.loads(cerebro("ps", "--json").ok().out)
                   if item["kernel"] == supervisor.pid)
        assert row["guest"] == guest.pid and row["processes"] == len(below) - 1
        assert row["uid"] == os.geteuid() and row["memory_bytes"] > 0 and row["uptime_s"] < 60
        assert row["command"].endswith("/bin/sh -c echo ready; sleep 1000; :")
    finally:
        end(process)


def test_ps_is_not_taken_in_by_names() -> None:
    """A guest, or any process, that calls itself a process kernel is none."""
    script = ("import ctypes, os, time\n"
              "prctl = ctypes.CDLL(None).prctl\n"
              "prctl(15, b'cerebro-kernel', 0, 0, 0)\n"
              "if os.fork() == 0:\n"
              "    prctl(15, b'cerebro-reaper', 0, 0, 0)\n"
              "    if os.fork() == 0: prctl(15, b'victim', 0, 0, 0)\n"
              "elif os.fork() == 0: prctl(15, b'cerebro-kernel', 0, 0, 0)\n"
              "print('ready', flush=True)\ntime.sleep(1000)")
    for words in (run_argv(["/usr/bin/python3", "-c", script]), ["/usr/bin/python3", "-c", script]):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True,
                                   env=base_environment())
        try:
            assert process.stdout and [process.stdout.readline() for _ in range(4)]
            mine = {p.pid for p in descendants(process.pid)} | {process.pid}
            supervisor = supervisor_of(process.pid) if words[0] != "/usr/bin/python3" else None
            shown = [item["kernel"] for item in json.loads(cerebro("ps", "--json").ok().out)]
            assert mine & set(shown) == ({supervisor.pid} if supervisor else set())
        finally:
            kill_tree(process.pid)
            process.communicate(timeout=10)


@pytest.mark.parametrize("words", [["ps"], ["top", "--once"]])
def test_processes_that_cannot_be_seen(words: list[str]) -> None:
    wrapper = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"]
    if SANITIZED or run_host([*wrapper, "true"]).status != 0:
        pytest.skip("no mount namespace here, or sanitizers, which need /proc")
    got = run_host([*wrapper, CEREBRO, *words])
    assert got.status == 1 and "is /proc mounted?" in got.err, str(got)


def test_ps_keeps_the_terminal_safe() -> None:
    process = subprocess.Popen(run_argv(["/bin/sh", "-c", "echo ready; sleep 1000; : \x1b[31mred\x9b\n"]),
                               stdout=subprocess.PIPE, start_new_session=True,
                               env=base_environment())
    try:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        text = cerebro("ps").ok().out
        assert "\x1b" not in text and "?[31mred??" in text
        commands = [item["command"] for item in json.loads(cerebro("ps", "--json").ok().out)]
        assert any("\x1b[31mred" in command for command in commands)
    finally:
        end(process)


def test_doctor_in_both_forms_agrees() -> None:
    """Every feature of the JSON is in the text with the same state; the status says the same."""
    text = cerebro("doctor")
    data = cerebro("doctor", "--json")
    assert text.status == data.status == 0
    found = json.loads(data.out)
    features = found["features"] if isinstance(found, dict) else found
    for feature in features:
        line = next(line for line in text.out.splitlines() if line.split()[:1] == [feature["name"]])
        assert line.split()[1] in ("yes", "no")
    assert len(features) >= 10


def test_wrong_usage_of_commands() -> None:
    for words in (["ps", "--nonsense"], ["ps", "argument"], ["doctor", "argument"],
                  ["syscalls", "--nonsense"], ["nonsense"], []):
        got = cerebro(*words)
        assert got.status == 2, str(got)
        assert "try: " in got.err or not words


def test_kapi() -> None:
    load = json.loads(cerebro("kapi", "load", "--json").ok().out)
    assert load["source"] in ("device", "procfs") and load["total_tasks"] > 0
    assert "processes" in cerebro("kapi", "--help").ok().out
    wrong = cerebro("kapi", "no-such-command")
    assert wrong.status == 2 and "usage: cerebro kapi" in wrong.err


def test_kapi_takes_nothing_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the current directory')\n")
    got = cerebro("kapi", "load", "--json", cwd=tmp_path,
                  env=base_environment(PYTHONPATH=str(tmp_path)))
    assert "load1" in json.loads(got.ok().out)


def test_kapi_wants_confirmation() -> None:
    got = cerebro("kapi", "kill", "999999999")
    assert got.status == 2 and "--yes" in got.err
