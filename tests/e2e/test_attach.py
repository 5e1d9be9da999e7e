"""Attaching to processes that run already: `cerebro attach`, `cerebro detach`, `cerebro ps`."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import (CEREBRO, SANITIZED, base_environment, cerebro, descendants, guest,
                     read_process, run_argv, run_host, supervisor_of, wait_until)

PYTHON = "/usr/bin/python3"


@contextmanager
def target(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """A program to attach to, with pipes to it."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=base_environment())
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def busy(mode: str = "busy") -> Iterator[subprocess.Popen[str]]:
    """tests/host/attach-target.c, which notices when anything is not as natively."""
    with target(guest("attach-target"), mode) as process:
        assert process.stdout.readline() == "ready\n"
        yield process


def finish(process: subprocess.Popen[str]) -> None:
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors


def ask(process: subprocess.Popen[str], line: str) -> str:
    """One command of a shell, and the line that it prints."""
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def row_of(pid: int) -> dict[str, object] | None:
    rows = json.loads(cerebro("ps", "--json").ok().out)
    return next((row for row in rows if row["guest"] == pid), None)


@contextmanager
def traced(pid: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`cerebro attach --trace` in the background, once it is in place."""
    process = subprocess.Popen([CEREBRO, "attach", "--json", *options, str(pid)], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=base_environment())
    try:
        line = process.stdout.readline()
        assert json.loads(line)["target"] == pid
        yield process
    finally:
        process.kill()
        process.communicate()


def test_deny_holds_for_later_children_until_detach(work: Path) -> None:
    with target("/bin/sh") as shell:
        cerebro("attach", "--deny", "mkdir,mkdirat,ptrace", shell.pid).ok()
        assert ask(shell, f"mkdir {work}/a 2>/dev/null; echo $?") == "1"
        row = row_of(shell.pid)
        assert row and row["kind"] == "attached"
        assert "not permitted" in ask(shell, f"mkdir {work}/a 2>&1")
        cerebro("detach", shell.pid).ok()
        assert row_of(shell.pid)["kind"] == "detached"
        assert ask(shell, f"mkdir {work}/a; echo $?") == "0"
        assert (work / "a").is_dir()
        keeper = row["kernel"]
    assert wait_until(lambda: read_process(keeper) is None or read_process(keeper).state == "Z")


def test_denials_are_recorded(work: Path) -> None:
    log = work / "audit.jsonl"
    with target("/bin/sh") as shell:
        cerebro("attach", "--deny", "mkdir", "--audit", log, shell.pid).ok()
        ask(shell, f"mkdir {work}/c 2>/dev/null; echo $?")
        cerebro("detach", shell.pid).ok()
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [record["event"] for record in records] == ["attach", "policy", "denied", "detach"]
    assert records[0]["pid"] == shell.pid and records[0]["comm"] == "sh"
    assert records[1]["pid"] == shell.pid and records[1]["what"] == "deny mkdir"
    assert records[2]["call"] == "mkdir" and records[2]["answer"] == "EPERM"
    assert records[2]["what"] == "system call mkdir" and records[2]["by"] == 0
    assert len({one["by"] for one in (records[0], records[1], records[3])} - {0}) == 2  # attach, detach
    assert records[2]["comm"] == "mkdir" and records[2]["pid"] != shell.pid
    assert cerebro("attach", "--deny", "mkdir", "--audit", "/nowhere/x", os.getpid()).status == 1


def test_attachments_are_in_the_log_of_the_user(work: Path) -> None:
    env = base_environment(XDG_STATE_HOME=str(work), CEREBRO_AUDIT="file")
    with target("/bin/sh") as shell:
        cerebro("attach", "--deny", "rmdir,mkdir", "--limit", "files=64", shell.pid, env=env).ok()
        cerebro("detach", shell.pid, env=env).ok()
    shown = cerebro("log", "--json", env=env).ok().out
    records = [json.loads(line) for line in shown.splitlines()]
    assert [(record["event"], record["what"]) for record in records] == [
        ("attach", ""), ("policy", "deny mkdir, rmdir; files 64"), ("detach", "")]


def test_attachments_in_top_and_a_keeper_that_is_stopped(work: Path) -> None:
    with target("/bin/sh") as shell:
        cerebro("attach", "--deny", "mkdir,mkdirat", shell.pid).ok()
        assert ask(shell, f"mkdir {work}/a 2>/dev/null; echo $?") == "1"
        keeper = row_of(shell.pid)["kernel"]
        look = ("top", "--once", "-d", "0.1", "-p", keeper)
        one, = json.loads(cerebro(*look, "--json").ok().out)
        assert (one["kind"], one["state"], one["guest"]) == ("attached", "answers", shell.pid)
        assert (one["tasks"], one["denials"], one["calls_per_s"], one["calls"]) == (1, 1, 0, [])
        assert "  [attached] /bin/sh" in cerebro(*look).ok().out
        os.kill(keeper, signal.SIGSTOP)
        try:
            wait_until(lambda: read_process(keeper).state == "T")
            got = cerebro("ps", "--json").ok()
            row = next(row for row in json.loads(got.out) if row["kernel"] == keeper)
            assert (row["kind"], row["guest"]) == ("silent", shell.pid) and got.seconds < 5
            assert re.search(rf"^ *{keeper} .* \[stopped\] /bin/sh", cerebro(*look).ok().out, re.M)
        finally:
            os.kill(keeper, signal.SIGCONT)
        cerebro("detach", shell.pid).ok()
        assert "  [detached] /bin/sh" in cerebro(*look).ok().out


def test_attach_again_takes_the_same_filter() -> None:
    with target("/bin/sh") as shell:
        first = json.loads(cerebro("attach", "--json", "--deny", "mkdir", shell.pid).ok().out)
        assert first["again"] is False and first["target"] == shell.pid
        again = cerebro("attach", "--deny", "mkdir", shell.pid)
        assert again.status == 1 and "already" in again.err and "cerebro detach" in again.err
        cerebro("detach", first["keeper"]).ok()  # by the keeper's number
        second = json.loads(cerebro("attach", "--json", "--deny", "mkdir", shell.pid).ok().out)
        assert second["again"] is True and second["keeper"] == first["keeper"]
        cerebro("detach", "--json", shell.pid).ok()
        other = cerebro("attach", "--deny", "rmdir", shell.pid)
        assert other.status == 1 and "has only: mkdir" in other.err
        late = cerebro("detach", shell.pid)
        assert late.status == 1 and "not attached any more" in late.err


def test_trace_shows_decoded_calls_and_denials(work: Path) -> None:
    with target("/bin/sh") as shell:
        with traced(shell.pid, "--trace=file", "--deny", "mkdir") as tracer:
            ask(shell, f"mkdir {work}/b 2>/dev/null; cat /etc/hostname >/dev/null; echo done")
            tracer.send_signal(signal.SIGINT)
            _, lines = tracer.communicate(timeout=20)
            assert tracer.returncode == 0
        assert re.search(rf'\[\d+\] mkdir\("{work}/b", 0777\) = -1 EPERM \(.*\) <denied ', lines)
        assert re.search(r'openat\(AT_FDCWD, "/etc/hostname", O_RDONLY\) = \? <native ', lines)
        assert row_of(shell.pid)["kind"] == "detached"
        assert ask(shell, f"mkdir {work}/b; echo $?") == "0"


def test_trace_as_objects() -> None:
    with target("/bin/sh") as shell:
        with traced(shell.pid, "--trace=chdir", "--trace-json") as tracer:
            ask(shell, "cd /etc; echo done")
            tracer.send_signal(signal.SIGINT)
            _, lines = tracer.communicate(timeout=20)
        call = json.loads(lines.splitlines()[0])
        assert call["call"] == "chdir" and call["args"] == {"path": "/etc"}
        assert call["pid"] == shell.pid and call["decision"] == "native" and call["result"] is None


def test_trace_ends_with_its_target() -> None:
    with target("/bin/sh") as shell:
        with traced(shell.pid, "--trace=process") as tracer:
            shell.stdin.write("exit 3\n")
            shell.stdin.flush()
            assert tracer.wait(20) == 0
        assert shell.wait(20) == 3


def test_limits_are_held_and_put_back() -> None:
    with target("/bin/sh") as shell:
        before = resource.prlimit(shell.pid, resource.RLIMIT_NOFILE)
        cerebro("attach", "--limit", "files=33,fsize=1M", shell.pid).ok()
        assert resource.prlimit(shell.pid, resource.RLIMIT_NOFILE)[0] == 33
        assert resource.prlimit(shell.pid, resource.RLIMIT_FSIZE)[0] == 1 << 20
        assert ask(shell, "ulimit -S -n 50 2>/dev/null || echo no; ulimit -n") == "no"
        assert shell.stdout.readline().strip() == "33"
        cerebro("detach", shell.pid).ok()
        assert resource.prlimit(shell.pid, resource.RLIMIT_NOFILE) == before
        assert ask(shell, "ulimit -S -n 50; ulimit -n") == "50"


@pytest.mark.parametrize("limit,reason", [("pids=5", "pids cannot be limited"),
                                          ("memory=4K", "address space already"),
                                          ("files=0", "not a positive number"),
                                          ("colour=1", "no limit")])
def test_limits_that_cannot_be_held(limit: str, reason: str) -> None:
    with target("/bin/sh") as shell:
        result = cerebro("attach", "--limit", limit, shell.pid)
        assert result.status in (1, 2) and reason in result.err
        assert Path(f"/proc/{shell.pid}/status").read_text().count("Seccomp:\t0")


def test_killed_program_leaves_its_target_native() -> None:
    with busy() as process:
        with traced(process.pid, "--trace=identity,process") as tracer:
            tracer.send_signal(signal.SIGSTOP)  # holds the calls of all threads
            assert wait_until(lambda: all(
                read_process(int(tid)).state == "S"
                for tid in os.listdir(f"/proc/{process.pid}/task")))
            tracer.kill()
            tracer.communicate()
            finish(process)


def test_first_attachments_to_busy_targets() -> None:
    for mode in ("busy", "threads", "forks", "storm"):
        for _ in range(2 if SANITIZED else 5):
            with busy(mode) as process:
                result = json.loads(cerebro("attach", "--json", "--deny", "ptrace",
                                            process.pid).ok().out)
                assert result["held_ms"] < 5000
                cerebro("detach", process.pid).ok()
                finish(process)


def test_target_that_is_killed_meanwhile() -> None:
    for i in range(8):
        with busy() as process:
            attach = subprocess.Popen([CEREBRO, "attach", "--deny", "ptrace", str(process.pid)],
                                      stderr=subprocess.PIPE, text=True, env=base_environment())
            time.sleep(0.002 * i)
            process.kill()
            process.wait(20)
            _, errors = attach.communicate(timeout=30)
            assert attach.returncode in (0, 1)
            assert attach.returncode == 0 or "cerebro: " in errors


def test_stopped_target_stays_stopped() -> None:
    with busy() as process:
        process.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: read_process(process.pid).state == "T")
        cerebro("attach", "--deny", "ptrace", process.pid).ok()
        time.sleep(0.05)
        assert read_process(process.pid).state == "T"
        process.send_signal(signal.SIGCONT)
        finish(process)


def test_later_child_is_covered_by_its_parent() -> None:
    with target("/bin/sh") as shell:
        cerebro("attach", "--deny", "mkdir", shell.pid).ok()
        child = int(ask(shell, "sleep 60 & echo $!"))
        try:
            result = cerebro("attach", "--deny", "mkdir", child)
            assert result.status == 1 and f"started by process {shell.pid}" in result.err
        finally:
            os.kill(child, signal.SIGKILL)


def test_many_waiting_calls() -> None:
    """More calls than the channel takes at once: none is lost, whatever happens to the program."""
    script = ("import ctypes, threading, time\n"
              "libc, counts = ctypes.CDLL(None), [0] * 400\n"
              "def work(i):\n"
              "    while True: libc.getppid(); counts[i] += 1; time.sleep(0.05)\n"
              "threading.stack_size(65536)\n"
              "for i in range(400): threading.Thread(target=work, args=(i,), daemon=True).start()\n"
              "print('ready', flush=True)\n"
              "while input() == 'ask':\n"
              "    counts[:] = [0] * 400; time.sleep(1); print(min(counts), flush=True)\n")
    with target(PYTHON, "-c", script) as process:
        assert process.stdout.readline() == "ready\n"
        with traced(process.pid, "--trace=identity,process") as tracer:
            tracer.send_signal(signal.SIGSTOP)
            assert ask(process, "ask") == "0"
            tracer.send_signal(signal.SIGCONT)
            assert wait_until(lambda: int(ask(process, "ask")) > 0, 20)
            tracer.send_signal(signal.SIGSTOP)
            assert wait_until(lambda: ask(process, "ask") == "0", 20)
            tracer.kill()
            tracer.communicate()
        assert wait_until(lambda: int(ask(process, "ask")) > 0, 20)


def test_calls_of_other_architectures_are_no_way_around() -> None:
    with target(guest("attach-target"), "int80") as process:
        first = process.stdout.readline()
        if first == "none\n":
            pytest.skip("the host runs no 32-bit calls")
        cerebro("attach", "--deny", "getppid", process.pid).ok()
        assert wait_until(lambda: process.stdout.readline() == "ENOSYS\n")
        cerebro("detach", process.pid).ok()
        assert wait_until(lambda: process.stdout.readline() == "fine\n")


# A 32-bit program: pause(), again and again.
ELF32 = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, 0x08048054, 52, 0, 0, 52,
                    32, 1, 0, 0, 0)
ELF32 += struct.pack("<IIIIIIII", 1, 0, 0x08048000, 0x08048000, 128, 128, 5, 4096)
ELF32 = ELF32.ljust(0x54, b"\0") + bytes.fromhex("b81d000000cd80ebf7")


def test_32_bit_program_is_refused(work: Path) -> None:
    program = work / "pause32"
    program.write_bytes(ELF32.ljust(128, b"\0"))
    program.chmod(0o755)
    try:
        process = subprocess.Popen([str(program)])
    except OSError:
        pytest.skip("the host runs no 32-bit programs")
    try:
        result = cerebro("attach", "--deny", "mkdir", process.pid)
        assert result.status == 1 and "32-bit" in result.err
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_target_with_a_filter_of_its_own(is_root: bool) -> None:
    with busy("filtered") as process:
        result = cerebro("attach", "--deny", "ptrace", process.pid)
        if is_root:
            result.ok()
        else:
            assert result.status == 1 and "filter of its own" in result.err
        finish(process)


def test_what_cannot_be_attached_to(is_root: bool) -> None:
    def refused(pid: int, words: str) -> None:
        result = cerebro("attach", "--deny", "mkdir", pid)
        assert result.status == 1 and words in result.err, str(result)

    refused(0x3fffffff, "no process")
    if not is_root:
        refused(1, "another user")
    run = subprocess.Popen(run_argv(["/bin/sleep", "30"]), env=base_environment())
    try:
        # Before its exec the guest has the name of the reaper that it is a child of.
        assert wait_until(lambda: [one.comm for one in descendants(run.pid)][2:] == ["sleep"])
        refused(descendants(run.pid)[-1].pid, "guest of a process kernel")
        refused(supervisor_of(run.pid).pid, "belongs to Cerebro itself")
        detached = cerebro("detach", supervisor_of(run.pid).pid)
        assert detached.status == 1 and "not attached" in detached.err
    finally:
        run.terminate()
        run.wait()


def test_usage() -> None:
    for words in (["attach"], ["attach", "1"], ["attach", "--deny", "nonsense", "1"],
                  ["attach", "--deny", "close", "1"], ["attach", "--trace=x", "1"],
                  ["attach", "--deny", "mkdir", "one"], ["attach", "--what", "1"],
                  ["detach"], ["detach", "x"], ["detach", "1", "2"], ["keep"],
                  ["keep", "--target", "1", "--channel", "77"]):
        result = cerebro(*words)
        assert result.status == 2 and f"cerebro {words[0]}: " in result.err, str(result)
    assert cerebro("detach", 0x3fffffff).status == 1
    failed = json.loads(cerebro("attach", "--json", "--deny", "mkdir", 0x3fffffff).out)
    assert failed["error"]["errno"] == "ESRCH"


def test_keeper_holds_no_pipe_open() -> None:
    """Whoever reads what `cerebro attach` prints sees its end at once."""
    with target("/bin/sh") as shell:
        start = time.monotonic()
        subprocess.run([CEREBRO, "attach", "--deny", "mkdir", str(shell.pid)], check=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20,
                       env=base_environment())
        assert time.monotonic() - start < 15
        keeper = row_of(shell.pid)["kernel"]
        os.kill(keeper, signal.SIGTERM)  # takes no notice
        assert ask(shell, "mkdir /nowhere/x 2>&1 | grep -c permitted") == "1"


def test_in_a_container_with_a_filter(work: Path) -> None:
    """Everybody has the container's filter there, who attaches, too."""
    script = work / "inside.py"
    script.write_text(
        "import ctypes, os, subprocess, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "class Insn(ctypes.Structure): _fields_ = [('code', ctypes.c_ushort), ('jt', ctypes.c_ubyte),"
        " ('jf', ctypes.c_ubyte), ('k', ctypes.c_uint)]\n"
        "class Program(ctypes.Structure): _fields_ = [('len', ctypes.c_ushort),"
        " ('filter', ctypes.POINTER(Insn))]\n"
        "allow = Insn(6, 0, 0, 0x7fff0000)\n"
        "assert libc.prctl(38, 1, 0, 0, 0) == 0\n"
        "assert libc.prctl(22, 2, ctypes.byref(Program(1, ctypes.pointer(allow)))) == 0\n"
        "target = subprocess.Popen(['/bin/sh', '-c', 'read x; mkdir /nowhere/x 2>&1'], text=True,"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "attach = subprocess.run([sys.argv[1], 'attach', '--deny', 'mkdir', str(target.pid)])\n"
        "print(attach.returncode, target.communicate('\\n')[0])\n")
    unshare = ["/usr/bin/unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "/bin/true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no pid namespace can be made here")
    result = run_host([*unshare, PYTHON, str(script), CEREBRO], timeout=60)
    assert result.status == 0 and result.out.startswith("0 "), str(result)
    assert "not permitted" in result.out
