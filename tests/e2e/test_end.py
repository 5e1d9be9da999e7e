"""The end: whatever happens, nothing goes on running and nothing is left."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import (CEREBRO, SANITIZED, base_environment, descendants, guest, host_files,
                     kill_tree, left_over, read_process, reap, run_argv, run_host, send,
                     supervisor_of, wait_until)

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
    assert process.returncode == -signal.Signals[f"SIG{name}"]


ACTING = """
import os
os.setgid(1000); os.setuid(1000)
print("ready", flush=True)
while True:
    try:
        os.stat("/root/x"); os.open("/etc/shadow", 0)
    except OSError:
        pass
"""


def test_front_dies_while_a_guest_has_other_ids(is_root: bool) -> None:
    """The host forgets the supervisor's parent-death signal when it acts as somebody else."""
    if not is_root:
        pytest.skip("only root's guests can have other ids on the host")
    for _ in range(INSTANTS):
        process = start(["/usr/bin/python3", "-c", ACTING])
        time.sleep(random.random() / 50)
        pids = [found.pid for found in descendants(process.pid)]
        process.kill()
        finish(process, pids)


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


def test_signals_to_the_supervisor_while_it_takes_down() -> None:
    """The first of them ends the tree; the others find a kernel that is half gone."""
    for _ in range(5):
        process = busy()
        supervisor = supervisor_of(front_of(process))
        assert supervisor
        pids = [found.pid for found in descendants(front_of(process))]
        deadline = time.monotonic() + 10
        while not all_gone([supervisor.pid]) and time.monotonic() < deadline:
            send(supervisor.pid, signal.SIGTERM)
        finish(process, pids)
        assert process.returncode != 125, "the process kernel did not end in good order"


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


# ---- signals that a process sends, not the keyboard ----

@pytest.mark.parametrize("name", ["INT", "QUIT", "TERM", "HUP", "ALRM"])
def test_status_after_a_signal_to_the_front(name: str) -> None:
    process = start(["/bin/sh", "-c", "ulimit -c 0; echo ready; exec sleep 1001"])
    process.send_signal(signal.Signals[f"SIG{name}"])
    finish(process, [])
    assert process.returncode == -signal.Signals[f"SIG{name}"]


@pytest.mark.parametrize("name", ["KILL", "SEGV", "ABRT", "USR1", "PIPE"])
def test_death_by_a_signal_is_passed_on(name: str) -> None:
    """Whoever waits sees the same signal, and no core file of Cerebro's own."""
    script = f"ulimit -c 0; kill -{name} $$; sleep 5"
    process = subprocess.Popen(["/bin/bash", "-c", 'ulimit -c unlimited; exec "$@"', "bash",
                                *run_argv(["/bin/sh", "-c", script])],
                               stdout=subprocess.DEVNULL, env=base_environment())
    _, status = os.waitpid(process.pid, 0)
    process.returncode = status
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.Signals[f"SIG{name}"]
    assert not os.WCOREDUMP(status)


def test_death_by_a_signal_with_json_is_a_status() -> None:
    process = subprocess.run(run_argv(["/bin/sh", "-c", "kill -TERM $$"], ["--json"]),
                             capture_output=True, env=base_environment(), timeout=30)
    assert process.returncode == 143 and b'"signal":15' in process.stderr


def test_status_that_only_looks_like_a_signal() -> None:
    process = subprocess.run(run_argv(["/bin/sh", "-c", "exit 130"]), env=base_environment(),
                             timeout=30)
    assert process.returncode == 130


def stop_of(process: subprocess.Popen[bytes]) -> int:
    pid, status = os.waitpid(process.pid, os.WUNTRACED)
    assert pid == process.pid and os.WIFSTOPPED(status), status
    return os.WSTOPSIG(status)


def test_stop_is_seen_by_the_parent() -> None:
    """A child that stops itself to wait for its parent, which knows only one number: the front's."""
    script = "for i in 1 2 3; do kill -STOP $$; echo $i; done; exit 4"
    process = subprocess.Popen(run_argv(["/bin/bash", "-c", script]), stdout=subprocess.PIPE,
                               start_new_session=True, env=base_environment())
    for number in range(1, 4):
        assert stop_of(process) == signal.SIGSTOP
        process.send_signal(signal.SIGCONT)
        assert process.stdout and process.stdout.readline() == b"%d\n" % number
    finish(process, [])
    assert process.returncode == 4


def first_guest(process: subprocess.Popen[bytes]) -> int:
    below = descendants(process.pid)
    reaper = next(found for found in below if found.comm == "cerebro-reaper")
    return next(found.pid for found in below if found.parent == reaper.pid)


def test_stopped_and_continued_from_outside() -> None:
    process = start(["/bin/sh", "-c", "echo ready; exec sleep 1000"])
    guest_pid = first_guest(process)
    for _ in range(3):
        send(guest_pid, signal.SIGSTOP)
        assert stop_of(process) == signal.SIGSTOP
        send(guest_pid, signal.SIGCONT)
        assert wait_until(lambda: front_state(process) == "S"), front_state(process)
    send(guest_pid, signal.SIGSTOP)
    assert stop_of(process) == signal.SIGSTOP
    send(guest_pid, signal.SIGKILL)
    finish(process, [])
    assert process.returncode == -signal.SIGKILL


def front_state(process: subprocess.Popen[bytes]) -> str:
    found = read_process(process.pid)
    return found.state if found else ""


def test_stopped_while_the_tree_is_killed() -> None:
    process = start(["/bin/sh", "-c", "echo ready; kill -STOP $$"])
    assert stop_of(process) == signal.SIGSTOP
    supervisor = supervisor_of(process.pid)
    assert supervisor
    send(supervisor.pid, signal.SIGTERM)
    finish(process, [])


def test_parent_of_the_front_dies() -> None:
    """Nothing happens, as to any program: the run goes on and its output is complete."""
    words = shlex.join(run_argv(["/bin/sh", "-c", "sleep 0.4; echo still here"]))
    got = run_host(["/bin/sh", "-c", f"{words} & kill -9 $$"])
    assert got.out == "still here\n", str(got)


# ---- surroundings ----

STREAMS = ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", STREAMS)
def test_closed_streams(closed: str) -> None:
    """The program finds them closed, and nothing that Cerebro prints goes astray."""
    script = ("import os\nclosed = []\nfor fd in range(3):\n"
              "    try: os.fstat(fd)\n    except OSError: closed.append(fd)\n"
              "os.stat('/etc/passwd')\nos._exit(40 + sum(1 << fd for fd in closed))")
    wanted = sum(bit for sign, bit in (("<", 1), (" >", 2), ("2>", 4)) if sign in " " + closed)
    # The interpreter itself must not open anything first: no site, no locale.
    words = shlex.join(run_argv(["/usr/bin/python3", "-I", "-S", "-c", script],
                                ["--trace", "--stats", "--diff"]))
    got = run_host(["/bin/sh", "-c", f"{words} {closed}"])
    assert got.status == 40 + wanted, str(got)[-2000:]
    if ">&-" in closed:
        assert got.out == ""


def test_closed_streams_with_errors_to_tell() -> None:
    words = shlex.join(run_argv(["/no/such/program"]))
    assert run_host(["/bin/sh", "-c", f"{words} <&- >&- 2>&-"]).status == 127


def test_output_that_nobody_reads() -> None:
    words = shlex.join(run_argv(["/bin/sh", "-c", "exit 6"], ["--stats", "--trace", "--diff"]))
    got = run_host(["/bin/bash", "-c", f"{words} 2> >(exec true) >/dev/full; echo $?"])
    assert got.out == "6\n"


def test_trace_that_cannot_be_written() -> None:
    from harness import run
    got = run("/bin/sh", "-c", "exit 4", options=["--trace-to", "/dev/full"])
    assert got.status == 4
    assert "the trace is incomplete: /dev/full" in got.err


FULL = """
set -e
mkdir disk data
mount -t tmpfs -o size=256k none disk
mkdir disk/upper
seq 60000 >data/list
exec "$@"
"""

FILL = """
cd data
head -c 1000000 /dev/zero >big; echo big $?
echo more >>list; echo change $?
: >big
echo fits >small && cat small
tail -n 1 list
"""


def test_full_disk(work: Path, is_root: bool) -> None:
    """ENOSPC reaches the program, what was there stays whole, and room that is freed is usable."""
    unshare = ["unshare", "-m"]
    if not is_root or run_host([*unshare, "true"]).status != 0:
        pytest.skip("only root can make a small disk")
    words = run_argv(["/bin/sh", "-c", FILL], ["--overlay", "disk/upper"])
    got = run_host([*unshare, "sh", "-c", FULL, "sh", *words], cwd=work)
    if "mount: " in got.err:
        pytest.skip(got.err.strip())
    assert got.err.count("No space left on device") == 2, str(got)
    lines = got.out.splitlines()
    assert lines[0] != "big 0" and lines[1] != "change 0", str(got)
    assert lines[2:] == ["fits", "60000"], str(got)


REUSE = """
import os
def fill(name):
    with open(name, "wb") as file:
        file.write(bytes(700000))
for way in ("remove", "replace", "truncate", "last of two names", "while it is open"):
    fill("/data/a")
    if way == "remove":
        os.unlink("/data/a")
    elif way == "replace":
        open("/data/b", "w").close()
        os.rename("/data/b", "/data/a")
    elif way == "truncate":
        os.close(os.open("/data/a", os.O_WRONLY | os.O_TRUNC))
    elif way == "last of two names":
        os.link("/data/a", "/data/c")
        os.unlink("/data/a")
        os.unlink("/data/c")
    else:
        file = open("/data/a", "r+b")
        os.unlink("/data/a")
        file.seek(600000)
        file.write(b"there")
        file.seek(600000)
        os.fchmod(file.fileno(), 0o640)
        assert file.read(5) == b"there" and os.fstat(file.fileno()).st_mode & 0o777 == 0o640
        file.close()
    fill("/data/next")
    os.unlink("/data/next")
    print(way)
"""


def test_space_of_removed_files_comes_back(work: Path, is_root: bool) -> None:
    """On a disk with room for one of the files, not for two, in a layer that is kept."""
    unshare = ["unshare", "-m"]
    if not is_root or run_host([*unshare, "true"]).status != 0:
        pytest.skip("only root can make a small disk")
    (work / "reuse.py").write_text(REUSE)
    setup = ("set -e; mkdir disk; mount -t tmpfs -o size=1m none disk; mkdir disk/upper disk/upper/data; "
             'exec "$@"')
    words = run_argv(["/usr/bin/python3", work / "reuse.py"],
                     ["--overlay", "disk/upper", "--bind", f"{work / 'reuse.py'}:ro"])
    got = run_host([*unshare, "sh", "-c", setup, "sh", *words], cwd=work)
    if "mount: " in got.err:
        pytest.skip(got.err.strip())
    assert got.ok().out.splitlines() == ["remove", "replace", "truncate",
                                         "last of two names", "while it is open"], str(got)


def test_arguments_at_the_hosts_limits() -> None:
    """What fits a native exec fits through Cerebro, too: one long string, many, much in all."""
    code = "import sys; print(len(sys.argv) - 1, sum(map(len, sys.argv[1:])))"
    for count, length in ((1, 131071), (13, 131071), (20000, 60)):
        got = run_host([*run_argv(["/usr/bin/python3", "-c", code]), *["x" * length] * count])
        assert got.out == f"{count} {count * length}\n", got.err[-500:]


def test_environment_at_the_hosts_limits() -> None:
    code = "import os; print(sum(len(v) for k, v in os.environ.items() if k.startswith('LONG')))"
    for count, length in ((1, 131000), (13, 131000), (10000, 60)):
        env = base_environment(**{f"LONG{i}": "x" * length for i in range(count)})
        got = run_host(run_argv(["/usr/bin/python3", "-c", code]), env=env)
        assert got.out == f"{count * length}\n", got.err[-500:]


@pytest.mark.parametrize("limit", [64, 100, 128, 256])
def test_few_descriptors(limit: int) -> None:
    """Either it works, /proc and directories included, or it says what it needs."""
    script = "cat /proc/self/status | grep -c Name; ls /tmp; ls / | grep -c usr"
    words = shlex.join(run_argv(["/bin/sh", "-c", script]))
    got = run_host(["/bin/bash", "-c", f"ulimit -n {limit}; {words}"])
    if limit >= 128:
        assert got.ok().out == "1\n1\n", str(got)
    else:
        assert got.status == 125 and "the hard limit on open files is" in got.err, str(got)
        assert "try: " in got.err


def test_many_files_with_few_descriptors() -> None:
    script = ("i=0; while [ $i -lt 300 ]; do echo $i >/tmp/f$i || exit 1; i=$((i+1)); done; "
              "cat /tmp/f* | sort -n | tail -n 1; ls /tmp | wc -l")
    words = shlex.join(run_argv(["/bin/sh", "-c", script]))
    got = run_host(["/bin/bash", "-c", f"ulimit -n 160; {words}"])
    assert got.ok().out == "299\n300\n", str(got)


def test_nohup() -> None:
    words = shlex.join(run_argv(["/bin/sh", "-c", "kill -HUP $$; echo survived"]))
    got = run_host(["/bin/sh", "-c", f"nohup {words} </dev/null 2>/dev/null"])
    assert got.ok().out == "survived\n"


def test_in_a_session_of_its_own() -> None:
    words = run_argv(["/bin/sh", "-c", "(exec 3</dev/tty) 2>/dev/null; echo $?; exit 5"])
    got = run_host(["setsid", "-w", *words])
    assert got.status == 5 and got.out.strip() != "0", str(got)


def test_inside_itself() -> None:
    """One process kernel inside another cannot be: the inner one says so at once."""
    if SANITIZED:
        pytest.skip("LeakSanitizer needs ptrace, which a guest has not")
    folder = Path(CEREBRO).resolve().parents[2]
    got = run_host(run_argv([CEREBRO, "run", "--", "/bin/true"],
                            ["--quiet", "--bind", f"{folder}:{folder}:ro"]), timeout=20)
    assert got.status == 125, str(got)
    assert "already answers system calls of this process" in got.err and "try:" in got.err


# ---- --wait-all ----

def test_first_process_decides_without_wait_all() -> None:
    from harness import sh
    got = sh("(sleep 30; echo late) & exit 3")
    assert got.status == 3 and got.out == "" and got.seconds < 20


def test_wait_all() -> None:
    """Daemons go on after the first process, whose status still counts."""
    from harness import run
    daemon = "setsid sh -c '(sleep 0.5; echo late >&2; echo late) &' & exit 3"
    got = run("/bin/sh", "-c", daemon, options=["--wait-all"])
    assert (got.status, got.out, got.err) == (3, "late\n", "late\n")
    got = run("/bin/sh", "-c", "(sleep 0.3; ls / >/dev/null && echo served) & kill -9 $$",
              options=["--wait-all"])
    assert (got.status, got.out) == (137, "served\n")


def test_signal_while_waiting_for_all() -> None:
    process = start(["/bin/sh", "-c", "(exec sleep 1000) & echo ready; exit 3"], "--wait-all")
    time.sleep(0.3)
    supervisor = supervisor_of(process.pid)
    assert supervisor
    send(supervisor.pid, signal.SIGTERM)
    finish(process, [])
    assert process.returncode == 3


# ---- a tree that was moved has private copies of the loader ----

@pytest.fixture
def moved(work: Path) -> Path:
    built = Path(CEREBRO).resolve().parents[2]
    for name in ("src/cli/cerebro", "src/trap/cerebro-loader"):
        (work / name).parent.mkdir(parents=True)
        shutil.copy(built / name, work / name)
    return work / "src/cli/cerebro"


def copies(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith("cerebro-"))


def start_moved(program: Path, runtime: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([program, "run", "--", "/bin/sh", "-c", "echo ready; exec sleep 1000"],
                               stdout=subprocess.PIPE, start_new_session=True,
                               env=base_environment(XDG_RUNTIME_DIR=str(runtime)))
    assert process.stdout and process.stdout.readline() == b"ready\n"
    return process


def kill_completely(process: subprocess.Popen[bytes]) -> None:
    """All at once, so that nobody is left to tidy up."""
    pids = [process.pid, *(found.pid for found in descendants(process.pid))]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            send(pid, number)
    finish(process, pids)


def test_private_copies_of_killed_runs_are_removed(moved: Path, work: Path) -> None:
    runtime = work / "runtime"
    runtime.mkdir()
    lives = start_moved(moved, runtime)
    killed = start_moved(moved, runtime)
    ours = copies(runtime)
    assert len(ours) == 2
    others = runtime / "cerebro-others"  # as long a name, and not ours to remove
    others.mkdir(0o700)
    (others / "precious").touch()
    kill_completely(killed)
    # As a rule nobody could tidy up; a reaper on another processor may have been quick enough.
    assert len(copies(runtime)) in (2, 3)
    time.sleep(5.5)
    env = base_environment(XDG_RUNTIME_DIR=str(runtime))
    run_host([moved, "run", "--", "/bin/true"], env=env).ok()
    left = copies(runtime)
    assert len(left) == 2 and "cerebro-others" in left and set(left) - {"cerebro-others"} < set(ours)
    # The one that lives can still start programs.
    shell = run_host([moved, "run", "--", "/bin/sh", "-c", "/bin/true && echo fine"], env=env)
    assert shell.ok().out == "fine\n"
    lives.terminate()
    finish(lives, [])
    assert copies(runtime) == ["cerebro-others"] and (others / "precious").exists()


# ---- control groups ----

def groups() -> set[str]:
    return {f"{root}/{name}" for root, names, _ in os.walk("/sys/fs/cgroup") for name in names
            if name.startswith("cerebro-")}


@pytest.mark.parametrize("victim", VICTIMS)
def test_no_group_is_left(victim: str, is_root: bool) -> None:
    if not is_root:
        pytest.skip("only root makes control groups here")
    before = groups()
    process = busy("--limit", "pids=100,memory=500M")
    supervisor = supervisor_of(process.pid)
    assert supervisor
    kill_at(victim, process.pid, supervisor.pid)
    finish(process, [])
    assert not left_over(3)
    if groups() - before:
        # Killed after its last guest had ended and before it tidied up: the next run does.
        run_host(run_argv(["/bin/true"], ["--limit", "pids=100,memory=500M"]))
    # Others may run on the same host: what goes away by itself is theirs.
    assert wait_until(lambda: groups() <= before, 5), groups() - before
