"""--limit: what a program may use, and that it is told."""

from __future__ import annotations

import json
import os
import signal

import pytest

from harness import Result, bash, run, sh, wait_until

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
    # Others may run on the same host: what goes away by itself is theirs.
    assert wait_until(lambda: groups() <= before, 3), groups() - before


def groups() -> set[str]:
    found = set()
    for root, folders, _ in os.walk("/sys/fs/cgroup"):
        found |= {f"{root}/{name}" for name in folders if name.startswith("cerebro")}
        if root.count("/") > 6:
            folders.clear()
    return found


# ---- a breach is told ----

def reached(name: str, got: Result) -> str:
    lines = [line for line in got.err.splitlines()
             if line.startswith(f"cerebro: limit reached: {name} ")]
    assert len(lines) == 1 and "; to allow more: --limit" in lines[0], str(got)[-2000:]
    return lines[0]


def has_groups() -> bool:
    """Whether the host lets us make control groups; without, nobody counts memory or processes."""
    return os.geteuid() == 0 and os.access("/sys/fs/cgroup/pids/cgroup.procs", os.W_OK)


def test_memory_breach() -> None:
    code = "block = bytearray(1 << 30); print('ate it all')"
    got = run("/usr/bin/python3", "-c", code, options=["--limit", "memory=128M"])
    skip_without_means(got.err)
    assert "ate it all" not in got.out
    if has_groups():
        assert got.status == 137 and " 128M (processes killed: 1)" in reached("memory", got)
    else:
        assert got.status == 1 and "MemoryError" in got.err, str(got)


def test_memory_breach_of_a_child() -> None:
    code = "block = bytearray(1 << 30); print('ate it all')"
    got = sh(f"python3 -c \"{code}\"; echo goes on; exit 2", options=["--limit", "memory=128M"])
    skip_without_means(got.err)
    assert got.status == 2 and got.out == "goes on\n", str(got)
    if has_groups():
        reached("memory", got)


def test_pids_breach() -> None:
    got = bash(FORK_BOMB, options=["--limit", "pids=50"], timeout=40)
    skip_without_means(got.err)
    if has_groups():
        assert " 50 (new processes refused: " in reached("pids", got)
    else:
        assert " 50 (no cgroup here, but it was seen to be full, times: " in reached("pids", got)
    assert "fork: " in got.err  # bash was told, whatever held the limit


def test_pids_breach_at_the_very_end() -> None:
    """The program gives up at once, with all of its processes still there."""
    script = ("import os, time\ntry:\n    while True:\n        if os.fork() == 0:\n"
              "            time.sleep(30)\nexcept OSError as error:\n    os._exit(error.errno)")
    got = run("/usr/bin/python3", "-c", script, options=["--limit", "pids=20"], timeout=40)
    skip_without_means(got.err)
    assert got.status == 11, str(got)
    reached("pids", got)


def test_death_for_want_of_memory() -> None:
    code = ("import os\ntry: block = bytearray(1 << 30)\nexcept MemoryError: pass\n"
            "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nos.abort()")
    got = run("/usr/bin/python3", "-c", code, options=["--limit", "memory=128M"])
    skip_without_means(got.err)
    if has_groups():
        reached("memory", got)
    else:
        assert got.status == 134 and "cerebro: limit perhaps reached: memory 128M (" in got.err, str(got)
        assert "; to allow more: --limit memory=N\n" in got.err
    assert "perhaps" not in run("/usr/bin/python3", "-c", code).err


def test_pids_of_other_runs_do_not_count() -> None:
    """Each tree has its number for itself, also where the host counts all of a user's."""
    from harness import base_environment, run_argv
    import subprocess
    others = [subprocess.Popen(run_argv(["/bin/sh", "-c", "echo ready; exec sleep 30"]),
                               stdout=subprocess.PIPE, env=base_environment())
              for _ in range(3)]
    try:
        for other in others:
            assert other.stdout and other.stdout.readline() == b"ready\n"
        got = sh("for i in 1 2 3 4 5 6 7 8; do sleep 0.5 & done; wait; echo all",
                 options=["--limit", "pids=12"])
        skip_without_means(got.err)
        assert got.out == "all\n" and "limit reached" not in got.err, str(got)
    finally:
        for other in others:
            other.terminate()
            other.communicate(timeout=10)


def test_files_breach() -> None:
    code = "files = []\ntry:\n    while True: files.append(open('/etc/passwd'))\nexcept OSError: pass"
    got = run("/usr/bin/python3", "-c", code, options=["--limit", "files=200"])
    assert got.status == 0 and " 200 (descriptors refused: 1)" in reached("files", got)


def test_files_too_few() -> None:
    got = sh("true", options=["--limit", "files=20"])
    assert got.status == 125 and "open files" in got.err and "try: " in got.err


def test_cpu_breach() -> None:
    got = sh("while :; do :; done", options=["--limit", "cpu=1"], timeout=30)
    assert got.status == 128 + signal.SIGXCPU
    reached("cpu", got)


def test_cpu_breach_can_be_handled_but_not_ignored() -> None:
    got = bash("trap 'echo time is up; exit 4' XCPU; while :; do :; done",
               options=["--limit", "cpu=1"], timeout=30)
    assert (got.status, got.out) == (4, "time is up\n"), str(got)
    got = sh("trap '' XCPU; while :; do :; done", options=["--limit", "cpu=1"], timeout=30)
    assert got.status == 137, str(got)


def test_fsize_breach() -> None:
    got = sh("ulimit -c 0; exec head -c 3M /dev/zero >/tmp/x", options=["--limit", "fsize=1M"])
    assert got.status == 128 + signal.SIGXFSZ and " 1M (" in reached("fsize", got)


def test_no_breach_is_told_without_one() -> None:
    got = sh("ls / >/dev/null", options=["--limit", "memory=200M,pids=50,files=200,cpu=5,fsize=1M"])
    skip_without_means(got.err)
    assert got.ok().err == ""


def test_breaches_in_json_and_not_when_quiet() -> None:
    script = "ulimit -c 0; exec head -c 3M /dev/zero >/tmp/x"
    got = sh(script, options=["--limit", "fsize=1M", "--json"])
    report = json.loads(got.err.splitlines()[-1])
    assert report["limits_reached"] == [{"name": "fsize", "limit": 1 << 20, "times": 1,
                                         "evidence": "counted"}]
    assert sh(script, options=["--limit", "fsize=1M", "--quiet"]).err == ""


# ---- time, processors, input and output ----

def test_wall_time() -> None:
    """SIGTERM first, as a program may want to end in its own way."""
    got = sh("trap 'echo told; exit 7' TERM; while :; do sleep 0.05; done",
             options=["--limit", "wall=400ms"])
    assert (got.status, got.out) == (7, "told\n"), str(got)
    assert " 0.4s (all processes ended" in reached("wall", got) and 0.4 <= got.seconds < 5
    got = sh("sleep 30", options=["--limit", "wall=0.3"])
    assert got.status == 128 + signal.SIGTERM and reached("wall", got)


def test_wall_time_of_who_does_not_listen() -> None:
    got = sh("trap '' TERM; (setsid sleep 30 &); kill -STOP $$; sleep 30", options=["--limit", "wall=0.2s"])
    assert got.status == 128 + signal.SIGKILL and reached("wall", got) and got.seconds < 10, str(got)
    got = sh("sleep 30 & exit 3", options=["--limit", "wall=0.3", "--wait-all"])
    assert got.status == 3 and got.seconds < 10, str(got)
    got = sh("echo in time", options=["--limit", "wall=20"])
    assert (got.status, got.out, got.err) == (0, "in time\n", ""), str(got)


TREE = """
import os, time
for _ in range(5):
    if os.fork() == 0:
        block = bytearray(40_000_000)
        time.sleep(0.5)
        os._exit(0)
for _ in range(5):
    os.wait()
print("ended well")
"""


def test_memory_of_a_tree() -> None:
    """No process has too much, all of them together have."""
    got = run("/usr/bin/python3", "-c", TREE, options=["--limit", "memory=120M"])
    skip_without_means(got.err)
    assert reached("memory", got) and (has_groups() or got.status == 128 + signal.SIGKILL), str(got)
    got = run("/usr/bin/python3", "-c", TREE, options=["--limit", "memory=400M"])
    assert (got.status, got.out, got.err) == (0, "ended well\n", ""), str(got)


def test_shared_memory_counts_once() -> None:
    code = "import os, time\nblock = bytearray(60_000_000)\n" \
           "for _ in range(4):\n    os.fork() or (time.sleep(0.5), os._exit(0))\n" \
           "for _ in range(4):\n    os.wait()\nprint('fine')"
    got = run("/usr/bin/python3", "-c", code, options=["--limit", "memory=150M"])
    skip_without_means(got.err)
    assert (got.status, got.out, got.err) == (0, "fine\n", ""), str(got)


def test_processors() -> None:
    spin = "timeout 0.8 sh -c 'while :; do :; done'"
    got = sh(f"{spin} & {spin} & wait; times",
             options=["--limit", "cpus=0.5"])
    if got.status == 125:
        assert "cpu controller" in got.err and "--limit cpu=SECONDS" in got.err and not got.out, str(got)
        return
    minutes, seconds = got.out.split()[2].rstrip("s").split("m")
    assert float(minutes) == 0 and 0.1 < float(seconds) < 0.75, str(got)


def test_input_and_output() -> None:
    got = sh("dd if=/dev/zero of=/var/tmp/x bs=64k count=1 2>/dev/null; echo fine", options=["--limit", "io=10M"])
    assert (got.status, got.out) == (0, "fine\n") or \
        (got.status == 125 and "io controller" in got.err and not got.out), str(got)


@pytest.mark.parametrize(("text", "what"), [
    ("wall=soon", "positive time"), ("wall=0", "positive time"), ("wall=1.2.3", "positive time"),
    ("wall=99999999999999999999", "positive time"), ("cpus=-1", "processors"), ("cpus=0", "processors"),
    ("io=fast", "positive number"), ("disk=1", "wall, cpus and io")])
def test_wrong_values(text: str, what: str) -> None:
    got = sh("true", options=["--limit", text])
    assert got.status == 2 and what in got.err, str(got)


# ---- what was used ----

def test_usage() -> None:
    code = "import os, time\nif os.fork() == 0:\n    block = bytearray(80_000_000)\n    time.sleep(0.35)\n" \
           "    os._exit(0)\nos.wait()\nend = time.process_time() + 0.2\n" \
           "while time.process_time() < end: pass\nopen('/tmp/x', 'wb').write(bytes(3_000_000))"
    got = run("/usr/bin/python3", "-c", code, options=["--stats", "--json"]).ok()
    usage = json.loads(got.err.splitlines()[-1])["usage"]
    assert 80e6 < usage["memory_peak"] < 200e6 and 80e6 < usage["largest_process"] < 200e6, usage
    assert usage["processes_peak"] == 2 and 0.2e6 <= usage["user_us"] + usage["system_us"] < 5e6, usage
    assert 3e6 <= usage["written_bytes"] < 6e6 and usage["read_bytes"] > 1000, usage
    got = run("/usr/bin/python3", "-c", code, options=["--stats", "--wait-all"]).ok()
    assert "peaks: " in got.err and " 2 processes" in got.err and "processor time" in got.err, str(got)


def test_what_was_not_measured_is_not_shown() -> None:
    got = run("/bin/true", options=["--stats"]).ok()
    peaks = next(line for line in got.err.splitlines() if line.startswith("peaks: "))
    assert " 0 B of memory" not in peaks and "1 process, " in peaks
