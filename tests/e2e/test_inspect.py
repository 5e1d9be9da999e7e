"""`cerebro inspect`, debugfs inside a guest, and what /sys shows of the host and of the limits."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import CEREBRO, base_environment, cerebro, run, run_argv, run_host, sh, supervisor_of, tool

SECTIONS = ["summary", "calls", "latency", "decisions", "denials", "limits", "tasks", "mounts", "descriptors"]
DEBUG = "/sys/kernel/debug"
NAME = "inspected-one"


class Running:
    """A guest that stays: its program has a name that no other kernel on this machine has."""

    def __init__(self, folder: Path) -> None:
        program = folder / NAME
        program.write_text("#!/bin/sh\nunshare -r true 2>/dev/null\n"
                           "exec 7</proc/self/status\necho up\nread line\n")
        program.chmod(0o755)
        self.front = subprocess.Popen(
            run_argv([program], ["--quiet", "--limit", "memory=512M,files=900", "--bind", folder]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=base_environment())
        assert self.front.stdout and self.front.stdout.readline() == b"up\n"
        supervisor = supervisor_of(self.front.pid)
        assert supervisor
        self.kernel = supervisor.pid

    def end(self) -> None:
        self.front.communicate(b"\n", timeout=10)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    one = Running(tmp_path)
    yield one
    one.end()


def inspect(*words: str | int) -> Any:
    return json.loads(cerebro("inspect", "--json", *map(str, words)).ok().out)


def rows(text: str) -> list[dict[str, str]]:
    lines = text.splitlines()
    assert lines[0].startswith("# ")
    columns = lines[0].split()[1:]
    found = [dict(zip(columns, line.split(" "), strict=True)) for line in lines[1:]]
    return found


# ---- from outside ----

def test_inspect_a_running_one(running: Running) -> None:
    everything = inspect(running.kernel)
    assert list(everything) == SECTIONS
    assert everything["summary"]["name"] == NAME and everything["summary"]["net"] == "none"
    calls = {call["name"]: call for call in everything["calls"]}
    assert calls["execve"]["count"] >= 1
    decisions = {call["name"]: call for call in everything["decisions"]}
    assert decisions["execve"]["exec"] >= 1 and set(calls) == set(decisions)
    assert {limit["name"]: limit["limit"] for limit in everything["limits"]} == {
        "memory": str(512 << 20), "pids": "max", "files": "900", "cpu": "max", "fsize": "max"}
    assert everything["summary"]["guest"] in [task["pid"] for task in everything["tasks"]]
    assert {"/", "/proc", "/sys"} <= {mount["path"] for mount in everything["mounts"]}
    status = [one for one in everything["descriptors"] if one["path"].endswith("/status")]
    assert [one["type"] for one in status] == ["file"]
    denial = everything["denials"][0]
    assert denial["call"] == "unshare" and denial["errno"] == "EPERM" and denial["rule"]


def test_inspect_is_found_by_name_and_by_its_program(running: Running) -> None:
    summary = inspect(NAME, "summary")
    assert summary["name"] == NAME
    for word in (running.kernel, summary["guest"]):
        assert inspect(word, "summary")["guest"] == summary["guest"]


def test_inspect_says_the_same_as_text_and_as_json(running: Running) -> None:
    for section in ("calls", "mounts", "limits"):
        text = rows(cerebro("inspect", str(running.kernel), section).ok().out)
        data = inspect(running.kernel, section)
        assert text == [{name: str(value) or "-" for name, value in row.items()} for row in data]
    summary = cerebro("inspect", str(running.kernel), "summary").ok().out
    assert f"name {NAME}\n" in summary
    everything = cerebro("inspect", str(running.kernel)).ok().out
    assert [line[3:] for line in everything.splitlines() if line.startswith("== ")] == SECTIONS


def test_inspect_measures_what_happens_meanwhile() -> None:
    argv = run_argv(["/bin/sh", "-c", "echo up; while :; do test -e /etc/hostname; done"], ["--quiet"])
    front = subprocess.Popen(argv, stdout=subprocess.PIPE, env=base_environment())
    try:
        assert front.stdout and front.stdout.readline() == b"up\n"
        supervisor = supervisor_of(front.pid)
        assert supervisor
        assert inspect(supervisor.pid, "latency", "--measure", "0") == []
        measured = inspect(supervisor.pid, "latency")
        assert sum(row["count"] for row in measured) > 10
        assert all(row["from_ns"] < row["to_ns"] for row in measured)
    finally:
        front.terminate()
        front.wait(10)


def test_inspect_lists_what_can_be_inspected(running: Running) -> None:
    """Others run on this machine: then there is a list, else the only one is shown."""
    found = inspect()
    if "kernels" in found:
        assert running.kernel in [one["kernel"] for one in found["kernels"]] and found["sections"] == SECTIONS
    else:
        assert found["summary"]["name"] == NAME


def test_inspect_of_one_that_has_ended(tmp_path: Path) -> None:
    one = Running(tmp_path)
    one.end()
    got = cerebro("inspect", str(one.kernel))
    assert got.status == 1 and f"no process kernel {one.kernel}" in got.err and "cerebro ps" in got.err
    got = cerebro("inspect", NAME)
    assert got.status == 1 and f"named '{NAME}'" in got.err


def test_inspect_of_another_user(running: Running, is_root: bool) -> None:
    if not is_root or not tool("setpriv"):
        pytest.skip("needs root")
    somebody = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"]
    if run_host([*somebody, CEREBRO, "--version"]).status != 0:
        pytest.skip("the program is not for every user")
    got = run_host([*somebody, CEREBRO, "inspect", str(running.kernel)])
    assert got.status == 1 and "belongs to another user" in got.err and got.out == "", str(got)
    got = run_host([*somebody, CEREBRO, "inspect", NAME])
    assert got.status == 1 and "of yours" in got.err, str(got)


def test_a_guest_cannot_inspect(running: Running) -> None:
    """Neither its own kernel nor another of the same user, by the name at which they listen."""
    script = ("import os, socket, sys\n"
              "for pid in (int(sys.argv[1]), os.getppid(), *range(os.getpid() - 5, os.getpid())):\n"
              "    try: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(f'\\0cerebro/{pid}')\n"
              "    except ConnectionRefusedError: continue\n"
              "    print('connected to', pid)\n")
    got = run("/usr/bin/python3", "-c", script, str(running.kernel), options=["--net", "host"]).ok()
    assert got.out == "", str(got)
    listens = run_host(["/usr/bin/python3", "-c", script, str(running.kernel)]).ok()
    assert f"connected to {running.kernel}" in listens.out.splitlines(), str(listens)


@pytest.mark.parametrize("words", [["1", "nothing"], ["1", "calls", "more"], ["--nothing"], ["--measure"],
                                   ["--measure", "x"], ["--measure", "3601"]])
def test_wrong_usage(words: list[str]) -> None:
    got = cerebro("inspect", *words)
    assert got.status == 2 and "cerebro inspect --help" in got.err, str(got)


# ---- from inside ----

def test_debugfs_is_closed_by_default(is_root: bool) -> None:
    got = sh(f"ls {DEBUG} && test ! -e {DEBUG}/cerebro && grep -c debugfs /proc/mounts")
    if is_root:
        assert (got.status, got.out) == (1, "0\n"), str(got)
    else:
        assert got.status != 0 and "Permission denied" in got.err, str(got)


def test_debugfs_shows_what_inspect_shows() -> None:
    script = f"cd {DEBUG}/cerebro && ls && cat limits && cat latency && cat calls"
    got = run("/bin/sh", "-c", script, options=["--debugfs", "--limit", "files=800"]).ok()
    assert got.out.split()[:len(SECTIONS)] == sorted(SECTIONS)
    assert "\nfiles 800 -\n" in got.out
    assert "# name from_ns to_ns count\n" in got.out and "\nexecve " in got.out


def test_debugfs_cannot_be_written() -> None:
    script = f"for f in {DEBUG}/cerebro/calls {DEBUG}/new; do echo x >$f && echo written; done; exit 0"
    got = run("/bin/sh", "-c", script, options=["--debugfs"]).ok()
    assert got.out == "" and len(got.err.splitlines()) == 2, str(got)


# ---- /sys ----

@pytest.mark.parametrize("program", ["lscpu", "nproc"])
def test_processors_are_the_hosts(program: str) -> None:
    path = tool(program)
    if path is None:
        pytest.skip("no " + program)
    assert run(path).ok().out == run_host([path]).ok().out


def test_control_group_shows_the_limits() -> None:
    script = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max cpuset.cpus.effective; nproc"
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    first = sorted(os.sched_getaffinity(0))[0]
    got = sh(script, options=["--limit", "memory=300M,pids=50"]).ok().out.splitlines()
    assert got[:3] == [str(300 << 20), "50", "max 100000"] and cpus
    held = run_host(["taskset", "-c", str(first), *run_argv(["/bin/sh", "-c", script])]).ok()
    assert held.out.splitlines() == ["max", "max", "max 100000", str(first), "1"]


def test_java_sizes_itself_by_the_limits() -> None:
    """By default its heap is at most a quarter of the memory that it finds."""
    java = tool("java")
    if java is None:
        pytest.skip("no java")
    got = run(java, "-XX:+PrintFlagsFinal", "-version", options=["--limit", "memory=2G"]).ok()
    line = next(line for line in got.out.splitlines() if " MaxHeapSize " in line)
    assert int(line.split()[3]) == 512 << 20, line


def test_lsblk_finds_no_device() -> None:
    lsblk = tool("lsblk")
    if lsblk is None:
        pytest.skip("no lsblk")
    got = run(lsblk)
    assert got.out == "" and "sysfs" not in got.err, str(got)


def test_sys_shows_nothing_of_the_hosts_network_and_groups() -> None:
    """The guest tries all names that the host has, and every way that leads there natively."""
    others = [name for name in os.listdir("/sys/class/net") if name != "lo"]
    groups = [entry.name for entry in os.scandir("/sys/fs/cgroup") if entry.is_dir()]
    paths = [f"/sys/class/net/{name}" for name in others] + [f"/sys/class/net/lo/../{name}" for name in others]
    paths += [f"/sys/devices/virtual/net/{name}" for name in others]
    paths += [f"/sys/devices/system/cpu/../../../class/net/{name}" for name in others]
    paths += [f"/sys/devices/system/cpu/cpu0/subsystem/../../../virtual/net/{name}" for name in others]
    paths += [f"/sys/fs/cgroup/{name}" for name in groups] + ["/sys/kernel/notes", "/sys/firmware", "/sys/kernel/slab"]
    got = run("/bin/sh", "-c", 'for p; do test -e "$p" && echo "$p"; done; exit 0', "sh", *paths).ok()
    assert got.out == ""
    got = sh("ls /sys/class/net; cat /proc/self/cgroup; cat /sys/class/net/lo/statistics/*").ok()
    assert got.out.splitlines()[:2] == ["lo", "0::/"] and set(got.out.splitlines()[2:]) == {"0"}


def test_sys_is_not_for_writing() -> None:
    script = ("import errno, os\n"
              "for p in '/sys/fs/cgroup/pids.max', '/sys/new', '/sys/kernel/mm/transparent_hugepage/enabled':\n"
              "    try: print('written', os.open(p, os.O_WRONLY | os.O_CREAT))\n"
              "    except OSError as e: print(e.errno in (errno.EACCES, errno.EPERM, errno.EROFS))\n")
    assert run("/usr/bin/python3", "-c", script).ok().out == "True\n" * 3
