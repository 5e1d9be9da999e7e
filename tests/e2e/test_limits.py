"""--limit: what a program may use, and that it is told."""

from __future__ import annotations

import os

import pytest

from harness import bash, run, sh

EAT = """
import sys
blocks = []
for _ in range(400):
    blocks.append(b"x" * 1_000_000)
    blocks[-1] = bytes(bytearray(blocks[-1]))
print("ate it all")
"""


def skip_without_means(error: str) -> None:
    if "cannot limit" in error:
        pytest.skip(error.strip().splitlines()[0])


def test_memory() -> None:
    got = run("/usr/bin/python3", "-c", EAT, options=["--limit", "memory=100M"], timeout=60)
    skip_without_means(got.err)
    assert got.status not in (0, None) and "ate it all" not in got.out
    assert run("/usr/bin/python3", "-c", EAT, timeout=60).ok().out == "ate it all\n"
    assert sh("echo fine", options=["--limit", "memory=100M"]).ok().out == "fine\n"


def test_memory_is_shown() -> None:
    got = sh("grep MemTotal /proc/meminfo", options=["--limit", "memory=100M"])
    skip_without_means(got.err)
    assert int(got.ok().out.split()[1]) <= 100 * 1024


FORK_BOMB = """
b() { b | b & }
b
sleep 1.5
echo survived
"""


def test_fork_bomb() -> None:
    """It stays within its number of processes, the shell goes on, and nothing is left."""
    got = bash(FORK_BOMB, options=["--limit", "pids=30"], timeout=40)
    skip_without_means(got.err)
    assert got.status is not None, "the bomb won"
    assert got.seconds < 30


def test_pids_are_counted() -> None:
    script = """
import os, time
count = 0
try:
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        count += 1
except OSError as error:
    print(count, error.errno)
"""
    got = run("/usr/bin/python3", "-c", script, options=["--limit", "pids=20"], timeout=40)
    skip_without_means(got.err)
    count, number = got.ok().out.split()
    assert 5 <= int(count) <= 20 and number == "11"
    assert got.seconds < 20


def test_open_files() -> None:
    script = """
files = []
try:
    for _ in range(2000):
        files.append(open("/etc/passwd"))
except OSError as error:
    print(len(files), error.errno)
print(open("/proc/self/comm").read()) if not files.clear() else None
"""
    got = run("/usr/bin/python3", "-c", script, options=["--limit", "files=256"]).ok()
    count, number = got.out.split()[:2]
    assert 150 <= int(count) <= 256 and number == "24"
    assert sh("ulimit -n", options=["--limit", "files=256"]).ok().out == "256\n"


def test_file_size() -> None:
    got = sh("trap '' XFSZ; dd if=/dev/zero of=/tmp/x bs=1k count=100 2>/dev/null; wc -c </tmp/x",
             options=["--limit", "fsize=10K"])
    assert got.out.strip() == "10240", str(got)


def test_processor_time() -> None:
    got = sh("while :; do :; done", options=["--limit", "cpu=1"], timeout=30)
    assert got.status in (128 + 24, 128 + 9), str(got)
    assert got.seconds < 20


def test_several_at_once() -> None:
    got = sh("ulimit -n; ulimit -f; ulimit -t", options=["--limit", "files=200,fsize=1M,cpu=9"])
    assert got.ok().out.split() == ["200", "2048", "9"]


def test_the_users_own_limits_count_too() -> None:
    from harness import run_argv, run_host
    words = " ".join(f"'{word}'" for word in run_argv(["/bin/sh", "-c", "ulimit -n; cat /etc/hostname"]))
    got = run_host(["/bin/sh", "-c", f"ulimit -n 200; {words}"]).ok()
    assert got.out.startswith("200\n")


def test_nothing_is_left_of_the_groups() -> None:
    before = groups()
    sh("true", options=["--limit", "memory=64M"])
    assert groups() == before


def groups() -> set[str]:
    found = set()
    for root, folders, _ in os.walk("/sys/fs/cgroup"):
        found |= {f"{root}/{name}" for name in folders if name.startswith("cerebro")}
        if root.count("/") > 6:
            folders.clear()
    return found
