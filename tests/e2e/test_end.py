"""The end: whatever happens, nothing goes on running and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import (base_environment, descendants, guest, host_files, kill_tree, left_over,
                     read_process, reap, run_argv, send, supervisor_of, wait_until)

INSTANTS = 100 if os.environ.get("TORTURE") == "long" else 10

# A tree with all kinds of members: native loops, served calls, pipes, threads, waiting ones.
BUSY = """
trap '' TERM HUP
(while :; do :; done) &
(while :; do cat /etc/passwd | grep -q root; done) &
(while :; do echo x >/tmp/x; rm /tmp/x; done) &
setsid sleep 1000 &
(sh -c 'sleep 1000 & sleep 1000 & wait') &
mkfifo /tmp/fifo; cat /tmp/fifo &
echo ready
wait
"""

# First native spinning children: they never make a served call again.
SPINNING = """
import os
for _ in range(3):
    if os.fork() == 0:
        while True:
            pass
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            pass
    os._exit(0)
print("ready", flush=True)
while True:
    pass
"""


def start(program: list[str], *options: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(run_argv(program, options), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                               start_new_session=True, env=base_environment())
    assert process.stdout and process.stdout.readline() == b"ready\n"
    return process


def busy(*options: str) -> subprocess.Popen[bytes]:
    return start(["/bin/sh", "-c", BUSY], *options)


def spinning() -> subprocess.Popen[bytes]:
    return start(["/usr/bin/python3", "-c", SPINNING])


def front_of(process: subprocess.Popen[bytes]) -> int:
    """`cerebro` itself: the wrapper, if there is one, has become it by exec."""
    return process.pid


def all_gone(pids: list[int]) -> bool:
    reap()
    states = [read_process(pid) for pid in pids]
    return all(state is None or state.state == "Z" for state in states)


def finish(process: subprocess.Popen[bytes], pids: list[int]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        kill_tree(process.pid)
        process.wait()
        pytest.fail("it hangs")
    finally:
        if process.stdout:
            process.stdout.close()
    assert wait_until(lambda: all_gone(pids), 5), f"left: {left_over(0)}"


VICTIMS = ("front", "supervisor", "both", "supervisor-first", "front-first")


def kill_at(victim: str, front: int, supervisor: int) -> None:
    order = {"front": [front], "supervisor": [supervisor], "both": [front, supervisor],
             "supervisor-first": [supervisor, front], "front-first": [front, supervisor]}[victim]
    for number, pid in enumerate(order):
        if number and victim.endswith("first"):
            time.sleep(random.random() / 200)
        send(pid, signal.SIGKILL)


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("tree", ["busy", "spinning"])
def test_killed_at_random_instants(victim: str, tree: str) -> None:
    for _ in range(max(1, INSTANTS // 3)):
        process = busy() if tree == "busy" else spinning()
        time.sleep(random.random() / 5)
        front = front_of(process)
        supervisor = supervisor_of(front)
        assert supervisor, f"no supervisor below {front}: {descendants(front)}"
        pids = [found.pid for found in descendants(front)]
        kill_at(victim, front, supervisor.pid)
        finish(process, pids)


def test_killed_while_starting() -> None:
    files = host_files()
    for _ in range(INSTANTS * 3):
        process = subprocess.Popen(run_argv(["/bin/sh", "-c", "sleep 1000"]),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True, env=base_environment())
        time.sleep(random.random() / 50)
        pids = [found.pid for found in descendants(process.pid)]
        process.kill()
        finish(process, pids)
        assert not left_over(3), "a half-started tree lives on"
    assert host_files() - files == set()


def test_supervisor_killed_is_told() -> None:
    process = subprocess.Popen(run_argv(["/bin/sh", "-c", "echo ready; sleep 1000"]),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True, env=base_environment())
    assert process.stdout and process.stdout.readline() == b"ready\n"
    supervisor = supervisor_of(process.pid)
    assert supervisor
    send(supervisor.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 125
    assert b"cerebro: the process kernel was killed" in err


@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_signal_to_the_front_ends_a_plain_program(name: str) -> None:
    process = start(["/bin/sh", "-c", "sleep 1000 & echo ready; exec sleep 1001"])
    pids = [found.pid for found in descendants(process.pid)]
    process.send_signal(signal.Signals[f"SIG{name}"])
    finish(process, pids)
    assert process.returncode in (128 + signal.Signals[f"SIG{name}"], -signal.Signals[f"SIG{name}"])


def test_signal_to_the_front_reaches_a_handler() -> None:
    script = "trap 'echo handled; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(run_argv(["/bin/sh", "-c", script]), stdout=subprocess.PIPE,
                               start_new_session=True, env=base_environment())
    assert process.stdout and process.stdout.readline() == b"ready\n"
    process.terminate()
    out, _ = process.communicate(timeout=10)
    assert out == b"handled\n" and process.returncode == 9


@pytest.mark.parametrize("name", ["USR1", "USR2", "WINCH"])
def test_other_signals_are_passed_on(name: str) -> None:
    script = f"trap 'echo got {name}; exit 0' {name}; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(run_argv(["/bin/sh", "-c", script]), stdout=subprocess.PIPE,
                               start_new_session=True, env=base_environment())
    assert process.stdout and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.Signals[f"SIG{name}"])
    out, _ = process.communicate(timeout=10)
    assert out == f"got {name}\n".encode()


def test_signal_to_the_supervisor_ends_the_tree() -> None:
    process = busy()
    supervisor = supervisor_of(process.pid)
    assert supervisor
    pids = [found.pid for found in descendants(process.pid)]
    send(supervisor.pid, signal.SIGTERM)
    finish(process, pids)


def test_whole_group_killed() -> None:
    process = busy()
    time.sleep(0.1)
    pids = [found.pid for found in descendants(process.pid)]
    os.killpg(process.pid, signal.SIGKILL)
    finish(process, pids)


def test_reader_gone() -> None:
    """`cerebro run -- yes | head -1` ends."""
    words = " ".join(f"'{word}'" for word in run_argv(["/usr/bin/yes"]))
    from harness import run_host
    got = run_host(["/bin/bash", "-c", f"{words} | head -n 1; echo ${{PIPESTATUS[0]}}"], timeout=20)
    assert got.out == "y\n141\n", str(got)


def test_first_process_ends_while_others_spin() -> None:
    process = start(["/usr/bin/python3", "-c", """
import os, sys
for _ in range(4):
    if os.fork() == 0:
        while True:
            pass
print("ready", flush=True)
sys.exit(5)
"""])
    finish(process, [])
    assert process.returncode == 5


def test_nothing_is_left_on_the_host(work: Path) -> None:
    before = {folder: set(os.listdir(folder)) for folder in ("/dev/shm",)}
    files = host_files()
    for _ in range(3):
        process = busy("--write", str(work))
        process.kill()
        finish(process, [found.pid for found in descendants(process.pid)])
    assert not left_over(3)
    assert {folder: {name for name in os.listdir(folder) if "cerebro" in name} -
            known for folder, known in before.items()} == {"/dev/shm": set()}
    assert host_files() - files == set()


def test_many_short_runs() -> None:
    from harness import run
    for number in range(30):
        assert run(guest("show-static"), "exit", str(number)).status == number
