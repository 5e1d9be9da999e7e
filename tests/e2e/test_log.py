"""The standing audit log and `cerebro log`: what is kept without being asked for, and how it reads."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from harness import (CEREBRO, Result, base_environment, cerebro, run, run_argv, run_host, sh, tool, wait_until)

DENY = ("import socket, sys\n"
        "for port in range(int(sys.argv[1])):\n"
        "    try: socket.socket().connect(('127.0.0.1', 7000 + port))\n"
        "    except OSError: pass\n")

pytestmark = pytest.mark.skipif(Path("/run/systemd/journal/socket").exists(),
                                reason="denials go to this host's journal")


@pytest.fixture
def state(work: Path) -> dict[str, str]:
    return base_environment(XDG_STATE_HOME=str(work), CEREBRO_AUDIT="")


def deny(env: dict[str, str], count: int = 1, options: tuple[str, ...] = ()) -> Result:
    return run("/usr/bin/python3", "-c", DENY, str(count), options=["--quiet", *options], env=env).ok()


def shown(env: dict[str, str], *words: str) -> list[str]:
    got = cerebro("log", *words, env=env).ok()
    assert got.err == "", str(got)
    return got.out.splitlines()


def records(env: dict[str, str], *words: str) -> list[dict]:
    return [json.loads(line) for line in shown(env, "--json", *words)]


def test_denials_are_kept_and_nothing_else(state: dict[str, str], work: Path) -> None:
    sh("true; cat /etc/hostname", env=state).ok()
    assert list(work.iterdir()) == []
    got = cerebro("log", env=state).ok()
    assert got.out == "" and "nothing has been recorded yet" in got.err
    deny(state, 2)
    header, *rows = shown(state)
    assert header.split() == ["TIME", "EVENT", "PID", "PROGRAM", "WHAT"]
    assert ["connect to 127.0.0.1:7000 = ECONNREFUSED (network is off" in rows[0], len(rows)] == [True, 2]
    log = work / "cerebro/audit.jsonl"
    assert [path.stat().st_mode & 0o777 for path in (log, log.parent)] == [0o600, 0o700]
    first = records(state)[0]
    assert first["event"] == "denied" and first["uid"] == os.getuid() and first["by"] == 0


def test_wishes(state: dict[str, str], work: Path) -> None:
    for options, env in ((["--audit", "none"], state),
                         ([], base_environment(XDG_STATE_HOME=str(work), CEREBRO_AUDIT="none"))):
        deny(env, options=tuple(options))
        assert list(work.iterdir()) == []
    deny(base_environment(XDG_STATE_HOME=str(work), CEREBRO_AUDIT=str(work / "mine")))
    assert len((work / "mine").read_text().splitlines()) == 1
    deny(state, options=("--audit", "file"))
    assert [one["event"] for one in records(state)] == ["start", "exec", "denied", "end"]
    got = run("/bin/true", options=["--audit", "journal"])
    assert got.status == 125 and "there is no systemd journal here" in got.err


def test_choosing(state: dict[str, str]) -> None:
    deny(state, 5)
    deny(state, 1)
    everything = records(state)
    assert len(everything) == 6
    assert records(state, "-n", "2") == everything[-2:]
    assert records(state, "-n", "0") == []
    kernel = everything[-1]["kernel"]
    assert records(state, "--pid", str(kernel)) == everything[-1:]
    assert records(state, "--pid", str(everything[0]["pid"])) == everything[:5]
    assert records(state, "--event", "lost,denied") == everything
    assert records(state, "--event", "control") == []
    assert records(state, "--since", "1h") == everything == records(state, "--since", "2020-01-01")
    assert records(state, "--since", "2999-12-31 10:00") == []
    for stamp in (everything[0]["time"], everything[0]["time"][:19] + "Z"):
        assert records(state, "--since", stamp) == everything


@pytest.mark.parametrize("words", [["-n"], ["-n", "x"], ["--pid", "-1"], ["--since", "soon"],
                                   ["--since", ""], ["word"], ["--nothing"], ["--event", "deny"], ["--event", ""],
                                   ["--event", "lost,"], ["--since", "2026-01-01.5"]])
def test_wrong_usage(words: list[str]) -> None:
    got = cerebro("log", *words)
    assert got.status == 2 and got.out == "" and "cerebro log --help" in got.err, str(got)


def test_files_that_rotate(state: dict[str, str], work: Path) -> None:
    log = work / "many"
    for _ in range(3):
        run("/usr/bin/python3", "-c", DENY, "40",
            options=["--quiet", "--audit", log, "--audit-rotate", "4K,3"]).ok()
    sizes = [path.stat().st_size for path in (log.with_name("many.2"), log.with_name("many.1"), log)]
    assert all(4096 <= size < 5000 for size in sizes[:2]) and not log.with_name("many.3").exists()
    found = records(state, "--file", str(log))
    assert len(found) > 25 and found[-1]["event"] == "end"
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)


@pytest.mark.parametrize("value", ["0", "x", "4K,0", "4K,99", "4K,"])
def test_wrong_rotation(value: str) -> None:
    got = run("/bin/true", options=["--audit-rotate", value])
    assert got.status == 2 and "--audit-rotate" in got.err


def test_only_files_rotate(work: Path) -> None:
    got = run("/bin/true", options=["--audit", "/dev/null", "--audit-rotate", "1M"])
    assert got.status == 125 and "only a regular file can rotate" in got.err
    (work / "link").symlink_to("/etc/hostname")
    got = run("/bin/true", options=["--audit", work / "link", "--audit-rotate", "1M"])
    assert got.status == 125, str(got)


def test_a_directory_where_nothing_can_rotate(work: Path) -> None:
    """It would grow without the bound that was asked for."""
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    folder = work / "fixed"
    folder.mkdir()
    (folder / "log").touch(0o600)
    folder.chmod(0o500)
    got = run("/bin/true", options=["--audit", folder / "log", "--audit-rotate", "1M"])
    folder.chmod(0o700)
    assert got.status == 125 and "Permission denied" in got.err and "in a directory" in got.err, str(got)


def test_a_guest_that_keeps_the_lock_does_not_unbind_the_log(work: Path) -> None:
    code = ("import fcntl, os\nfcntl.flock(os.open(os.environ['AT'], os.O_RDONLY), fcntl.LOCK_EX)\n"
            + DENY.replace("int(sys.argv[1])", "120"))
    folder = work / "log"
    folder.mkdir()
    run("/usr/bin/python3", "-c", code, options=["--quiet", "--env", f"AT={folder}", "--audit", folder / "log",
                                                 "--audit-rotate", "4K,3"]).ok()
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert len(sizes) > 1 and max(sizes) < 9000, sizes


def test_lines_that_are_no_records(state: dict[str, str], work: Path) -> None:
    log = work / "log"
    log.write_text('{"time":"2026-01-01T00:00:00.000Z","event":"control","what":"\\u001b[2Jx"}\n'
                   '{"time":"2026-01\n\n[1]\n{"event":"denied"}\n\x00\xff\n'
                   '{"time":"2026-01-01T00:00:01.000Z","event":"lost","records":7}\n')
    got = cerebro("log", "--file", log, env=state).ok()
    assert got.err == "cerebro log: passed over 5 lines that are no records\n"
    assert "?[2Jx" in got.out and "7 records are missing here" in got.out
    got = cerebro("log", "--file", work / "nothing", env=state)
    assert got.status == 1 and "cannot read" in got.err
    got = cerebro("log", "--file", work, env=state)
    assert got.status == 1 and "Is a directory" in got.err


def test_records_that_were_cut(state: dict[str, str], work: Path) -> None:
    """What follows on the same line is still a record, also one of which only the newline is missing."""
    log = work / "log"
    one = '{"time":"2026-01-01T00:00:00.000Z","event":"denied","what":"%s \\"time\\""}'
    log.write_text(one % "a" + "\n" + one[:60] + one % "b" + "\n" + one % "c" + one % "d" + "\n"
                   + "\0" * 5000 + one % "e" + "\n" + one % "f" + " \0\n")
    got = cerebro("log", "--file", log, "--json", env=state).ok()
    assert [json.loads(line)["what"][0] for line in got.out.splitlines()] == list("abcde")
    assert got.err == "cerebro log: passed over 4 lines that are no records\n"


@pytest.mark.parametrize("member", ["event", "comm", "what", "rule", "answer"])
def test_the_terminal_is_safe(state: dict[str, str], work: Path, member: str) -> None:
    """Anybody can write into the journal, and into a file of his own."""
    log = work / "log"
    record = {"time": "2026-01-01T00:00:00.000Z", "event": "denied", "answer": "EPERM", "what": "w",
              member: "\x1b[2J \x9b2J \u202e \u2028 \xe4"}
    log.write_text(json.dumps(record, ensure_ascii=False) + "\n")
    got = cerebro("log", "--file", log, env=state).ok()
    assert "?[2J ?2J ? ? \xe4" in got.out and got.err == ""


def test_a_guest_cannot_write_lines_of_ours(work: Path) -> None:
    """By the name of what it is denied: a socket of the host, to which it has no right."""
    name = "\x1b[2J\ncerebro: denied: \x9b"
    folder = os.open(work, os.O_PATH)  # its own path may be longer than an address
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{name}")
        server.listen()
        os.close(folder)
        got = run("/usr/bin/python3", "-c", "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])",
                  f"/mnt/{name}", options=["--bind", f"{work}:/mnt:ro"])
    assert got.denials() == ["cerebro: denied: connect to /mnt/?[2J?cerebro: denied: ? (sockets of the host are out "
                             "of reach); to allow: show it writable with --bind"], str(got)


def test_limits_are_recorded(state: dict[str, str]) -> None:
    code = "l = []\ntry:\n  while True: l.append(open('/etc/passwd'))\nexcept OSError: print(len(l))"
    run("/usr/bin/python3", "-c", code, options=["--quiet", "--limit", "files=140"], env=state).ok()
    one, = records(state, "--event", "limit")
    assert one["what"].startswith("files 140: descriptors refused: ") and one["rule"] == "limit reached"


def test_fifo_has_an_end(work: Path) -> None:
    os.mkfifo(work / "log")
    with subprocess.Popen([CEREBRO, "log", "--json", "--file", work / "log"], stdout=subprocess.PIPE,
                          env=base_environment(), text=True) as reader:
        writers: list[int] = []

        def has_reader() -> bool:
            try:
                writers.append(os.open(work / "log", os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return False
            return True
        assert wait_until(has_reader)
        with os.fdopen(writers[0], "w") as writer:
            writer.write('{"time":"2026-01-01T00:00:00.000Z","event":"denied"}\n')
        assert "denied" in reader.communicate(timeout=20)[0] and reader.returncode == 0


def test_following_what_is_not_there_yet(state: dict[str, str]) -> None:
    with subprocess.Popen([CEREBRO, "log", "-f", "--json"], env=state, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        assert "nothing has been recorded yet" in process.stderr.readline()
        deny(state)
        assert json.loads(process.stdout.readline())["event"] == "denied"
        process.stdout.close()  # and it ends, although nothing more is recorded
        assert process.wait(20) == 0


def test_following_a_file_that_is_emptied(state: dict[str, str], work: Path) -> None:
    deny(state, 3)
    with subprocess.Popen([CEREBRO, "log", "-f", "-n", "1", "--json"], env=state, stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            assert process.stdout and json.loads(process.stdout.readline())["what"].endswith(":7002")
            os.truncate(work / "cerebro/audit.jsonl", 0)
            deny(state, 1)
            assert json.loads(process.stdout.readline())["what"].endswith(":7000")
        finally:
            process.terminate()


def test_without_a_home() -> None:
    if os.getuid() == 0:
        pytest.skip("root's log is in /var/log")
    env = base_environment(CEREBRO_AUDIT="")
    del env["HOME"]
    deny(env)
    got = cerebro("log", env=env)
    assert got.status == 1 and got.err.startswith("cerebro: cannot read the audit log of this user: ")
    assert "set HOME or XDG_STATE_HOME" in got.err


def test_following(state: dict[str, str], work: Path) -> None:
    deny(state, 3)
    process = subprocess.Popen([CEREBRO, "log", "-f", "-n", "1", "--json"], env=state,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert json.loads(process.stdout.readline())["what"].endswith(":7002")
        deny(state, 1)
        assert json.loads(process.stdout.readline())["what"].endswith(":7000")
        (work / "cerebro/audit.jsonl").rename(work / "cerebro/audit.jsonl.1")
        deny(state, 2)
        assert json.loads(process.stdout.readline())["what"].endswith(":7000")
        assert json.loads(process.stdout.readline())["what"].endswith(":7001")
    finally:
        process.terminate()
        process.wait()


def test_two_at_once(state: dict[str, str]) -> None:
    runs = [subprocess.Popen(run_argv(["/usr/bin/python3", "-c", DENY, "100"], ["--quiet"]), env=state)
            for _ in range(3)]
    assert [process.wait(60) for process in runs] == [0, 0, 0]
    found = records(state)
    assert sum(one["event"] == "denied" for one in found) == 300
    assert len({one["kernel"] for one in found}) == 3


def test_full_disk_and_no_place(state: dict[str, str], work: Path) -> None:
    (work / "cerebro").mkdir()
    (work / "cerebro/audit.jsonl").symlink_to("/dev/full")
    for place in (str(work), "/proc/nowhere"):
        got = run("/usr/bin/python3", "-c", DENY, "3", options=["--quiet"],
                  env=dict(state, XDG_STATE_HOME=place)).ok()
        assert got.err == ""


def test_a_place_where_nothing_is_recorded_is_told_of(state: dict[str, str], work: Path) -> None:
    """Runs are silent about it, and the log must not look as if there was nothing to record."""
    log = work / "cerebro/audit.jsonl"
    deny(state)
    assert cerebro("log", env=state).ok().err == ""
    os.link(log, work / "second")
    deny(state)
    got = cerebro("log", "--json", env=state).ok()
    assert len(got.out.splitlines()) == 1
    assert got.err == f"cerebro log: nothing more is recorded: {log}: it is not a file of yours alone\n"
    log.unlink()
    log.symlink_to(work / "second")
    assert f"{log}: it is a symbolic link\n" in cerebro("log", env=state).ok().err
    shutil.rmtree(log.parent)
    (work / "cerebro").write_text("")
    assert "Not a directory" in cerebro("log", env=state).err
    if os.getuid():
        work.joinpath("cerebro").unlink()
        work.chmod(0o500)
        assert "Permission denied" in cerebro("log", env=state).ok().err
        work.chmod(0o700)


def test_the_guest_cannot_change_it(state: dict[str, str], work: Path) -> None:
    """Neither the file as it is, nor those that others make of it, nor the directory."""
    deny(state)
    log = work / "cerebro/audit.jsonl"
    script = ("import os, sys, time\n"
              "def no(what, *args):\n"
              "    try: what(*args)\n"
              "    except OSError: return\n"
              "    sys.exit(f'{what} {args}')\n"
              "os.chdir(sys.argv[1])\n"
              "for name in sys.argv[2].split():\n"
              "    no(os.open, name, os.O_WRONLY | os.O_APPEND)\n"
              "    no(os.truncate, name, 0); no(os.unlink, name); no(os.rename, name, 'x')\n"
              "    no(os.link, name, 'x'); no(os.chmod, name, 0); no(os.utime, name)\n"
              "no(os.open, 'audit.jsonl.9', os.O_WRONLY | os.O_CREAT)\n"
              "no(os.symlink, 'x', 'audit.jsonl.9'); no(os.mkdir, 'audit.jsonl.9')\n"
              "open('other', 'w').close(); no(os.rename, 'other', 'audit.jsonl')\n"
              "no(os.rename, '.', '../gone'); no(os.rename, '../cerebro', '../gone')\n"
              "for mode in (0o500, 0, 0o777): no(os.chmod, '.', mode); no(os.fchmod, os.open('.', 0), mode)\n"
              "no(os.setxattr, '.', 'system.posix_acl_access', bytes.fromhex(\n"
              "    '02000000 01000500ffffffff 04000500ffffffff 20000000ffffffff'))\n"
              "os.chmod('.', 0o700)\n")
    before = log.read_text()
    run("/usr/bin/python3", "-c", script, log.parent, "audit.jsonl", options=["--write", work],
        env=state).ok()
    assert log.read_text() == before
    log.rename(work / "cerebro/audit.jsonl.1")
    deny(state)
    run("/usr/bin/python3", "-c", script, log.parent, "audit.jsonl audit.jsonl.1",
        options=["--write", work], env=state).ok()
    assert len(records(state)) == 2


def test_the_guest_cannot_take_its_place_before(state: dict[str, str], work: Path) -> None:
    sh(f"ln -s /etc {work}/cerebro; mkdir {work}/cerebro/sub; rmdir {work}/cerebro",
       options=["--write", work], env=state)
    assert (work / "cerebro").is_dir() and not (work / "cerebro").is_symlink()


def test_control_in_a_guest_and_through_the_api(state: dict[str, str], work: Path) -> None:
    code = ("import sys; sys.path.insert(0, sys.argv[1])\n"
            "import os, subprocess\n"
            "from kapi import KernelAPIClient\n"
            "child = subprocess.Popen(['sleep', '20'])\n"
            "with KernelAPIClient() as client:\n"
            "    client.suspend_process(child.pid); client.kill_process(child.pid, 9)\n"
            "    client.kill_process(1, 15)\n"
            "child.wait(); print(child.pid)\n")
    source = Path(__file__).resolve().parents[2] / "python"
    shutil.copytree(source / "kapi", work / "kapi", ignore=shutil.ignore_patterns("__pycache__"))
    got = run("/usr/bin/python3", "-B", "-c", code, work, env=state).ok()
    child = got.out.strip()
    found = records(state, "--event", "control")
    assert [(one["what"], one["answer"]) for one in found] == [
        (f"kernel API: suspend {child}", "ok"), (f"kernel API: signal 9 to {child}", "ok"),
        ("kernel API: signal 15 to 1", "ESRCH")]
    assert all(one["call"] == "ioctl" and one["comm"] == "python3" for one in found)


@pytest.mark.skipif(not tool("unshare"), reason="unshare is not installed")
def test_journal(work: Path) -> None:
    """A journal of our own, in a mount namespace; what it would show is what was sent to it."""
    script = ("mount -t tmpfs none /run && mkdir -p /run/systemd/journal && exec \"$@\"")
    wrapper = ["unshare", "-rm", "sh", "-c", script, "sh"]
    if run_host([*wrapper, "true"]).status != 0:
        pytest.skip("no mount namespace here")
    code = ("import socket, subprocess, sys\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "s.bind('/run/systemd/journal/socket'); s.settimeout(10)\n"
            "status = subprocess.run(sys.argv[1:]).returncode\n"
            "sys.stdout.write(s.recv(65536).decode()); sys.exit(status)\n")
    got = run_host([*wrapper, "/usr/bin/python3", "-c", code,
                    *run_argv(["/usr/bin/python3", "-c", DENY, "1"], ["--quiet"])],
                   env=base_environment(XDG_STATE_HOME=str(work), CEREBRO_AUDIT="")).ok()
    fields = dict(line.partition("=")[::2] for line in got.out.splitlines())
    assert fields["SYSLOG_IDENTIFIER"] == "cerebro" and fields["CEREBRO_EVENT"] == "denied"
    message = json.loads(fields["MESSAGE"])
    assert message["event"] == "denied" and str(message["pid"]) == fields["CEREBRO_PID"]
    assert list(work.iterdir()) == []


def test_reading_the_journal(work: Path) -> None:
    """journalctl is asked, with what it needs, and its lines are shown as those of a file."""
    fake = work / "bin"
    fake.mkdir()
    entries = [{"_UID": uid, "MESSAGE": json.dumps({"time": "2026-01-01T00:00:00.000Z", "event": "denied",
                                                    "what": what, **more})}
               for uid, what, more in (("1000", "that", {"uid": 1000}), ("1000", "forged", {"uid": 0}),
                                       ("1000", "unsigned", {}), ("0", "this", {"uid": 0}))]
    entries += [{"_UID": "1", "MESSAGE": [1, 255]}, {"MESSAGE": "{}"}, {"_UID": "0", "MESSAGE": "text"}]
    (work / "entries").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (fake / "journalctl").write_text(f"#!/bin/sh\necho \"$@\" >&2\ncat {work}/entries\n")
    (fake / "journalctl").chmod(0o755)
    env = base_environment(CEREBRO_AUDIT="journal", PATH=f"{fake}:/usr/bin:/bin")
    words = "-t cerebro -a -o json --output-fields=MESSAGE,_UID --no-pager -q"
    got = cerebro("log", env=env).ok()
    assert got.err.splitlines() == [words, "cerebro log: passed over 3 lines that are no records", "cerebro log: "
                                    "left out 2 records that are not by the user they name"]
    assert [row.split()[-1] for row in got.out.splitlines()[1:]] == ["that", "this"]
    got = cerebro("log", "-f", "-n", "3", env=env).ok()
    assert got.err.splitlines()[0] == f"{words} -f -n 3"
    got = cerebro("log", env=dict(env, PATH="/nowhere"))
    assert got.status == 1 and "journalctl -t cerebro" in got.err
