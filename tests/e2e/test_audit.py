"""--audit: what is recorded, and that nothing which happens to the log reaches the program."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness import base_environment, run, run_argv, run_host, sh

MEMBERS = ["time", "event", "pid", "comm", "call", "what", "rule", "answer", "kernel", "uid", "by"]

# Each one another denied action: more than 4 MB of records.
MANY = """
import socket
one = socket.socket(socket.AF_INET)
for _ in range(15000):
    try:
        one.connect(("127.0.0.1", 9))
    except OSError:
        pass
print("done")
"""


def records(text: str) -> list[dict]:
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_what_is_recorded(work: Path) -> None:
    script = ("cat /etc/hostname >/dev/null; python3 -c 'import socket; "
              "socket.socket().connect((\"127.0.0.1\", 9))' 2>/dev/null; exit 3")
    log = work / "log"
    got = sh(script, options=["--audit", log])
    assert got.status == 3, str(got)
    found = records(log.read_text())
    assert all(list(record) == MEMBERS for record in found)
    assert [record["event"] for record in found] == ["start", "exec", "exec", "exec", "denied", "end"]
    start, shell, cat, python, denied, end = found
    assert (start["what"], start["call"]) == ("/bin/sh", "")
    assert (cat["comm"], cat["call"], cat["answer"]) == ("cat", "execve", "ok")
    assert cat["what"].endswith("/bin/cat") and cat["pid"] != shell["pid"] == start["pid"]
    assert (denied["call"], denied["what"], denied["answer"]) == (
        "connect", "connect to 127.0.0.1:9", "ECONNREFUSED")
    assert denied["rule"].startswith("network is off") and denied["comm"].startswith("python3")
    assert denied["pid"] == python["pid"]
    assert (end["what"], end["pid"]) == ("exit 3", start["pid"])
    for record in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert [record["time"] for record in found] == sorted(record["time"] for record in found)


def test_it_is_appended_and_private(work: Path) -> None:
    log = work / "log"
    for _ in range(2):
        sh("kill -TERM $$", options=["--audit", log])
    found = records(log.read_text())
    assert [record["what"] for record in found if record["event"] == "end"] == ["signal 15"] * 2
    assert log.stat().st_mode & 0o777 == 0o600


def test_failed_exec_and_names_that_are_no_text(work: Path) -> None:
    log = work / "log"
    code = ("import os\n"
            "open(b'/tmp/\\xff\\n\\x22', 'wb').write(b'\\x7fELF nonsense')\n"
            "os.chmod(b'/tmp/\\xff\\n\\x22', 0o755)\n"
            "try: os.execv(b'/tmp/\\xff\\n\\x22', [b'x'])\n"
            "except OSError: pass\n")
    run("/usr/bin/python3", "-c", code, options=["--audit", log]).ok()
    failed = [record for record in records(log.read_text()) if record["event"] == "exec-failed"]
    assert len(failed) == 1 and failed[0]["what"] == "/tmp/\ufffd\n\"", failed
    assert failed[0]["answer"] == "ENOEXEC" and failed[0]["rule"]


def test_full_disk() -> None:
    got = sh("echo works", options=["--audit", "/dev/full"])
    assert (got.status, got.out) == (0, "works\n")
    assert re.fullmatch(r"cerebro: the audit log is incomplete: \d+ records lost: "
                        r"No space left on device\n", got.err), got.err


def test_file_that_cannot_be_written() -> None:
    for target, hint in (("/no/such/folder/log", "name a file"), ("fd:77", "fd:N"),
                         ("fd:", "fd:N"), ("fd:1x", "fd:N"), ("/proc/self", "name a file")):
        got = sh("echo not reached", options=["--audit", target])
        assert got.status == 125 and got.out == "" and hint in got.err, str(got)


def test_fifo_without_reader(work: Path) -> None:
    os.mkfifo(work / "fifo")
    got = sh("echo not reached", options=["--audit", work / "fifo"])
    assert got.status == 125 and "start its reader first" in got.err


def slow(*options: str, **how) -> subprocess.Popen[bytes]:  # type: ignore[no-untyped-def]
    return subprocess.Popen(run_argv(["/usr/bin/python3", "-c", MANY], options),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=base_environment(), **how)


def test_pipe_that_nobody_empties() -> None:
    """The program is as fast as ever; what fits the pipe is whole, the rest is counted."""
    reader, writer = os.pipe()
    process = slow("--quiet", "--audit", f"fd:{writer}", pass_fds=[writer])
    out, err = process.communicate(timeout=60)
    os.close(writer)
    assert out == b"done\n" and process.returncode == 0
    lost = re.search(rb"incomplete: (\d+) records lost", err)
    assert lost
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    whole = text[:text.rfind("\n") + 1]
    assert len(records(whole)) + int(lost[1]) >= 15003
    assert len(text) > 60000


def test_pipe_whose_reader_is_late() -> None:
    """Nothing is lost as long as the queue suffices."""
    reader, writer = os.pipe()
    script = "i=0; while [ $i -lt 600 ]; do /bin/true; i=$((i + 1)); done; echo ran; sleep 1; exec true"
    process = subprocess.Popen(run_argv(["/bin/sh", "-c", script], ["--audit", f"fd:{writer}"]),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writer],
                               env=base_environment())
    os.close(writer)
    assert process.stdout and process.stdout.readline() == b"ran\n"  # the pipe is full by now
    with os.fdopen(reader) as pipe:
        found = records(pipe.read())
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert len(found) == 605 and found[-1]["event"] == "end"


def test_reader_that_goes_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = slow("--quiet", "--audit", f"fd:{writer}", pass_fds=[writer])
    os.close(writer)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"done\n") and b"Broken pipe" in err


def test_socket() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.run(run_argv(["/bin/true"], ["--audit", f"fd:{theirs.fileno()}"]),
                             pass_fds=[theirs.fileno()], env=base_environment(), timeout=30)
    theirs.close()
    assert process.returncode == 0
    with ours, ours.makefile() as text:
        assert [record["event"] for record in records(text.read())] == ["start", "exec", "end"]


def test_shared_descriptor_keeps_its_mode(work: Path) -> None:
    """The descriptor stays a blocking one for those who share it, and the program has it not."""
    reader, writer = os.pipe()
    subprocess.run(run_argv(["/bin/sh", "-c", f"! (exec 9>&{writer}) 2>/dev/null"],
                            ["--audit", f"fd:{writer}"]),
                   pass_fds=[writer], env=base_environment(), timeout=30, check=True)
    assert os.get_blocking(writer)
    os.close(writer)
    os.close(reader)


def test_standard_stream() -> None:
    got = sh("echo out", options=["--audit", "fd:2"]).ok()
    assert got.out == "out\n" and records(got.err)[-1]["what"] == "exit 0"


def test_program_cannot_change_the_log(work: Path) -> None:
    log = work / "log"
    log.touch()
    script = (f"cd {work}; echo false >log; echo false >>log; rm log; mv log other; truncate -s 0 log; "
              f"ln log second && echo false >>second; chmod 0 log; cat log >/dev/null; exit 0")
    sh(script, options=["--write", work, "--audit", log]).ok()
    found = records(log.read_text())
    assert found[0]["event"] == "start" and found[-1]["event"] == "end"


def test_denials_in_a_loop_do_not_fill_the_disk(work: Path) -> None:
    """The gap is noted in the log itself, and the end of the run is there."""
    log = work / "log"
    got = run("/usr/bin/python3", "-c", MANY.replace("15000", "60000"),
              options=["--quiet", "--audit", log], timeout=120).ok()
    found = records(log.read_text())
    lost = sum(record["records"] for record in found if record["event"] == "lost")
    if sys.gettrace() is None and got.seconds < 10:
        assert lost > 0 and f"{lost} records lost" in got.err
    assert len([r for r in found if r["event"] == "denied"]) + lost >= 60000 - 5


def test_run_without_audit_writes_none(work: Path) -> None:
    got = run_host(run_argv(["/bin/true"]), cwd=work)
    assert got.ok().err == "" and list(work.iterdir()) == []


@pytest.mark.parametrize("words", [["--audit"], ["--audit="]])
def test_wrong_usage(words: list[str]) -> None:
    got = run_host(run_argv([], words)[:-1])
    assert got.status in (2, 125)
