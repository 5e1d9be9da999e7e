"""`cerebro ps`, `doctor` and `syscalls`."""

from __future__ import annotations

import json
import re
import subprocess

from harness import base_environment, cerebro, run_argv, supervisor_of


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
        table = cerebro("ps").ok().out.splitlines()
        assert re.match(r" *KERNEL +GUEST +UPTIME +PROCS +MEMORY +COMMAND", table[0])
        line = next(line for line in table if line.split()[0] == str(supervisor.pid))
        assert "sh" in line and int(line.split()[3]) == 2
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
