"""System V IPC and message queues: nothing of the host's is in reach, and nothing stays behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import base_environment, run, run_argv, run_host, supervisor_of, tool, wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
IPC_RMID = 0
KEY = 0x5A000000 | os.getpid() & 0xFFFFFF


def names() -> set[str]:
    """The identifiers of all objects of the host."""
    found = set()
    for kind in ("shm", "sem", "msg"):
        for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]:
            found.add(f"{kind} {line.split()[1]}")
    return found


@pytest.fixture
def hosts() -> Iterator[dict[str, int]]:
    """One of each kind on the host, open to everybody."""
    made = {"shm": LIBC.shmget(KEY, 4096, 0o1666), "sem": LIBC.semget(KEY, 1, 0o1666),
            "msg": LIBC.msgget(KEY, 0o1666)}
    assert min(made.values()) >= 0
    yield made
    LIBC.shmctl(made["shm"], IPC_RMID, None)
    LIBC.semctl(made["sem"], 0, IPC_RMID)
    LIBC.msgctl(made["msg"], IPC_RMID, None)


def test_objects_of_the_host_are_out_of_reach(hosts: dict[str, int]) -> None:
    script = f"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_long
def code(result):
    return errno.errorcode[ctypes.get_errno()] if result == -1 else result
shm, sem, msg = {hosts["shm"]}, {hosts["sem"]}, {hosts["msg"]}
print(code(libc.shmget({KEY}, 4096, 0)), code(libc.semget({KEY}, 1, 0)), code(libc.msgget({KEY}, 0)))
print(code(libc.shmat(shm, None, 0)), code(libc.shmctl(shm, 0, None)),
      code(libc.semop(sem, ctypes.create_string_buffer(b"\\0\\0\\1\\0\\0\\0"), 1)),
      code(libc.semctl(sem, 0, 12)), code(libc.semctl(sem, 0, 0)),
      code(libc.msgsnd(msg, ctypes.create_string_buffer(b"\\1" + bytes(15)), 4, 0)),
      code(libc.msgctl(msg, 0, None)))
"""
    got = run("/usr/bin/python3", "-c", script).ok()
    assert got.out == "ENOENT ENOENT ENOENT\n" + " ".join(["EINVAL"] * 7) + "\n"
    assert LIBC.semctl(hosts["sem"], 0, 12) == 0


@pytest.mark.skipif(not tool("ipcmk"), reason="ipcmk is not installed")
def test_ipcs_shows_what_is_there() -> None:
    got = run("/bin/sh", "-c", "ipcmk -M 12288 && ipcmk -S 3 && ipcmk -Q && ipcs -m -s -q").ok()
    rows = [line.split() for line in got.out.splitlines() if line.startswith("0x")]
    assert [row[4:] for row in rows] == [["0", "0"], ["12288", "0"], ["3"]]


MAKE = """
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
assert min(libc.shmget(0, 4096, 0o600), libc.semget(0, 2, 0o600), libc.msgget(0, 0o600)) >= 0
print("made", flush=True)
time.sleep({seconds})
"""


def test_nothing_stays_behind() -> None:
    before = names()
    run("/usr/bin/python3", "-c", MAKE.format(seconds=0)).ok()
    assert not names() - before


@pytest.mark.parametrize("victim", ["front", "supervisor"])
def test_nothing_stays_behind_after_a_kill(victim: str) -> None:
    before = names()
    process = subprocess.Popen(run_argv(["/usr/bin/python3", "-c", MAKE.format(seconds=1000)]),
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=base_environment())
    assert process.stdout and process.stdout.readline() == "made\n"
    supervisor = supervisor_of(process.pid)
    assert supervisor
    os.kill(process.pid if victim == "front" else supervisor.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert wait_until(lambda: not names() - before), names() - before


def test_message_queues_have_no_names_on_the_host() -> None:
    script = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
print(libc.mq_open(b"/cerebro-test", 0o102, 0o600, None) >= 0 or errno.errorcode[ctypes.get_errno()])
"""
    got = run("/usr/bin/python3", "-c", script).ok()
    if got.out == "ENOSYS\n":
        pytest.skip("the host has no message queues")
    assert got.out == "True\n"
    code = "import ctypes; print(ctypes.CDLL(None, use_errno=True).mq_open(b'/cerebro-test', 0))"
    assert run_host(["/usr/bin/python3", "-c", code]).ok().out == "-1\n"
