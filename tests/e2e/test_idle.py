"""What a process kernel costs while its guest does nothing, and how much memory it takes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from harness import base_environment, run_argv, supervisor_of

pytestmark = pytest.mark.measure

TICKS = os.sysconf("SC_CLK_TCK")

def cpu_ns(pid: int) -> int:
    """Time on a processor of all threads, in nanoseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total

def start(script: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(run_argv(["/bin/bash", "-c", script]), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, start_new_session=True,
                               env=base_environment())
    assert process.stdout and process.stdout.readline() == b"ready\n"
    return process

def test_idle_costs_nothing() -> None:
    process = start("sleep 1000 & (sleep 1000 | cat) & echo ready; exec sleep 1000")
    try:
        supervisor = supervisor_of(process.pid)
        assert supervisor
        time.sleep(0.5)
        pids = (supervisor.pid, process.pid)
        before = [cpu_ns(pid) for pid in pids]
        time.sleep(3)
        grown = [cpu_ns(pid) - old for pid, old in zip(pids, before)]
        assert sum(grown) < 10_000_000, f"{grown} ns in 3 seconds of idleness"
    finally:
        process.terminate()
        process.communicate(timeout=10)

def peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")

SESSION = """
for i in $(seq 100); do cat /etc/passwd | sort | head -n 3 >/tmp/out; done
ls -R /usr/share/doc >/tmp/list 2>/dev/null
find /etc -type f >/tmp/list 2>/dev/null
for i in $(seq 50); do echo $i >/tmp/f$i; done; rm /tmp/f*
ps aux >/dev/null 2>&1
echo ready
read line
"""

def test_memory_of_a_shell_session() -> None:
    process = start(SESSION)
    try:
        supervisor = supervisor_of(process.pid)
        assert supervisor
        peak = peak_kib(supervisor.pid)
        assert peak < 16 * 1024, f"{peak} KiB at the peak"
    finally:
        process.communicate(b"\n", timeout=10)

def test_memory_does_not_grow() -> None:
    """A long session needs no more than a short one."""
    script = """
work() { for i in $(seq $1); do mkdir /tmp/d; echo x >/tmp/d/f; cat /tmp/d/f >/dev/null
  (cd /tmp/d; pwd >/dev/null); rm -r /tmp/d; done; }
work 100; echo ready; read line; work 600; echo again; read line
"""
    process = start(script)
    try:
        assert process.stdin and process.stdout
        supervisor = supervisor_of(process.pid)
        assert supervisor
        before = resident_kib(supervisor.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"again\n"
        grown = resident_kib(supervisor.pid) - before
        assert grown < 1024, f"{grown} KiB more after 600 rounds"
    finally:
        process.communicate(b"\n", timeout=20)

def test_descriptors_do_not_grow() -> None:
    """They gather up to a bound, then those that nobody has open are released."""
    script = """
work() { for i in $(seq $1); do cat /proc/self/status >/dev/null; ls /tmp >/dev/null; done; }
work 50; echo ready; read line; work 1200; echo again; read line
"""
    process = start(script)
    try:
        assert process.stdin and process.stdout
        supervisor = supervisor_of(process.pid)
        assert supervisor
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"again\n"
        try:
            count = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
        except PermissionError:
            pytest.skip("the process kernel is not dumpable: only root can count")
        assert count < 1500, f"{count} descriptors are open after 2,400 programs"
    finally:
        process.communicate(b"\n", timeout=20)


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def test_memory_of_a_little_session() -> None:
    """Listing all of /usr and running twenty commands."""
    process = start("ls -R /usr >/dev/null 2>&1; for i in $(seq 20); do id >/dev/null; done; "
                    "echo ready; read line")
    try:
        supervisor = supervisor_of(process.pid)
        assert supervisor
        peak = peak_kib(supervisor.pid)
        assert peak < 16 * 1024, f"{peak} KiB at the peak"
    finally:
        process.communicate(b"\n", timeout=10)


def test_nothing_grows_over_short_lived_processes() -> None:
    """Neither descriptors nor memory remember processes that have ended."""
    script = """
work() { i=0; while [ $i -lt $1 ]; do cat /etc/passwd >/dev/null; i=$((i + 1)); done; }
work 100; echo ready; read line; work 500; echo again; read line
"""
    process = start(script)
    try:
        assert process.stdin and process.stdout
        supervisor = supervisor_of(process.pid)
        assert supervisor
        before = resident_kib(supervisor.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"again\n"
        grown = resident_kib(supervisor.pid) - before
        assert grown < 512, f"{grown} KiB more after 500 processes"
        try:
            count = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
        except PermissionError:
            pytest.skip("the process kernel is not dumpable: only root can count")
        assert count < 100, f"{count} descriptors are open after 600 processes"
    finally:
        process.communicate(b"\n", timeout=20)


def test_no_descriptor_is_kept_of_an_open() -> None:
    script = """
import os, sys
def work(count):
    for i in range(count):
        os.close(os.open("/etc/passwd", os.O_RDONLY)); os.stat("/usr"); os.listdir("/usr/lib")
        os.close(os.open("/proc/self/status", os.O_RDONLY))
        os.close(os.open("/tmp/f", os.O_RDWR | os.O_CREAT)); os.unlink("/tmp/f")
work(200); print("ready", flush=True); sys.stdin.readline()
work(2000); print("again", flush=True); sys.stdin.readline()
"""
    process = subprocess.Popen(run_argv(["/usr/bin/python3", "-c", script]), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, start_new_session=True,
                               env=base_environment())
    try:
        assert process.stdin and process.stdout and process.stdout.readline() == b"ready\n"
        supervisor = supervisor_of(process.pid)
        assert supervisor
        before = resident_kib(supervisor.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"again\n"
        # Young handles of /proc files are kept for two seconds, used or not: some 300 bytes each.
        grown = resident_kib(supervisor.pid) - before
        assert grown < 1536, f"{grown} KiB more after 2,000 rounds"
        try:
            count = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
        except PermissionError:
            pytest.skip("the process kernel is not dumpable: only root can count")
        assert count < 200, f"{count} descriptors are open after 2,200 rounds"
    finally:
        process.communicate(b"\n", timeout=20)
