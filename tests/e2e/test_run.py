"""`cerebro run`: what a user sees of exit statuses, environment, errors and reports."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from harness import EXTRA_OPTIONS, cerebro, guest, run, run_host, sh

DENIAL = re.compile(r"^cerebro: denied: .+ \(.+\); to allow: .+$")


@pytest.mark.parametrize("status", [0, 1, 2, 42, 125, 255])
def test_exit_status_is_the_programs(status: int) -> None:
    assert sh(f"exit {status}").status == status


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "ABRT", "USR1", "INT", "PIPE"])
def test_death_by_signal(name: str) -> None:
    number = signal.Signals[f"SIG{name}"].value
    assert sh(f"ulimit -c 0; kill -{name} $$; sleep 5").status == 128 + number


def test_streams_are_passed_through() -> None:
    got = sh("cat; echo to stderr >&2; printf 'no newline'", stdin="to stdin\n").ok()
    assert got.out == "to stdin\nno newline"
    assert got.err == "to stderr\n"


def test_large_streams() -> None:
    data = os.urandom(3_000_000).hex()
    got = run("/bin/cat", stdin=data).ok()
    assert got.out == data


def test_arguments_are_exact() -> None:
    words = ["", "a b", "$HOME", "*", "-x", "--", "ä\n", "'\""]
    got = run("/usr/bin/printf", r"%s\0", *words).ok()
    assert got.out.split("\0")[:-1] == words


def test_double_dash_is_optional_and_options_end_at_the_program() -> None:
    got = run_host(run_prefix() + ["/bin/echo", "--trace", "--help"]).ok()
    assert got.out == "--trace --help\n"
    assert got.err == ""


def run_prefix() -> list[str]:
    from harness import CEREBRO, WRAPPER
    return [*WRAPPER, CEREBRO, "run", *EXTRA_OPTIONS]


def test_environment_is_passed() -> None:
    got = run("/usr/bin/env", env={"PATH": "/usr/bin", "SPECIAL": "one=two", "EMPTY": ""}).ok()
    assert sorted(line for line in got.out.splitlines() if not line.startswith("_=")) == [
        "EMPTY=", "PATH=/usr/bin", "SPECIAL=one=two"]


def test_env_option() -> None:
    got = sh("echo $A $B", options=["--env", "A=1", "--env", "B=2 3", "--env", "A=4"]).ok()
    assert got.out == "4 2 3\n"
    assert run("/bin/true", options=["--env", "nonsense"]).status == 2


def test_working_directory(work: Path) -> None:
    assert run("/bin/pwd", cwd=work).ok().out == f"{work}\n"
    assert run("/bin/pwd", options=["--cwd", "/usr/lib"]).ok().out == "/usr/lib\n"
    got = run("/bin/pwd", options=["--cwd", "/no/such"])
    assert got.status == 125 and "/no/such" in got.err and "try:" in got.err


def test_program_is_searched_in_path(work: Path) -> None:
    script = work / "my-own-tool"
    script.write_text("#!/bin/sh\necho mine $0\n")
    script.chmod(0o755)
    env = {"PATH": f"/nowhere:{work}:/usr/bin:/bin"}
    assert run("my-own-tool", env=env).ok().out == f"mine {script}\n"
    assert run("./my-own-tool", cwd=work).ok().out == "mine ./my-own-tool\n"


def test_path_of_the_guest_counts(work: Path) -> None:
    script = work / "my-own-tool"
    script.write_text("#!/bin/sh\necho found\n")
    script.chmod(0o755)
    got = run("my-own-tool", options=["--env", f"PATH={work}"])
    assert got.ok().out == "found\n"


@pytest.mark.parametrize("program", ["no-such-program-anywhere", "/no/such/program", "./missing"])
def test_not_found(program: str) -> None:
    got = run(program)
    assert got.status == 127
    assert got.err.startswith("cerebro: ") and program in got.err


def test_not_executable(work: Path) -> None:
    plain = work / "plain"
    plain.write_text("just text\n")
    assert run(plain).status == 126
    plain.chmod(0o755)
    got = run(plain)
    assert got.status == 126 and got.err.startswith("cerebro: ")
    got = run(work)
    assert got.status == 126
    script = work / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert run(script).status in (126, 127)


def test_damaged_programs(work: Path) -> None:
    data = Path("/bin/true").read_bytes()
    damaged = {"cut": data[:100], "magic": b"\x7fELF" + bytes(60), "empty": b"",
               "machine": data[:18] + b"\x28\x00" + data[20:],
               "offset": data[:32] + b"\xff" * 8 + data[40:],
               "count": data[:56] + b"\xff\xff" + data[58:]}
    for name, content in damaged.items():
        path = work / name
        path.write_bytes(content)
        path.chmod(0o755)
        got = run(path)
        assert got.status == 126, f"{name}: {got}"
        assert got.err.startswith("cerebro: "), f"{name}: {got}"


@pytest.mark.parametrize("words", [
    ["run"], ["run", "--no-such-option", "--", "/bin/true"], ["run", "--net", "nonsense", "true"],
    ["run", "--limit", "memory", "true"], ["run", "--limit", "memory=lots", "true"],
    ["run", "--uid", "root", "true"], ["run", "--trace=nonsense", "true"], ["run", "--bind"],
    ["nonsense"], ["run", "--limit", "nonsense=3", "true"]])
def test_usage_errors(words: list[str]) -> None:
    got = cerebro(*words)
    assert got.status == 2 and got.out == ""
    assert got.err.startswith("cerebro") and "try: cerebro" in got.err


@pytest.mark.parametrize("options", [
    ["--bind", "/no/such/dir"], ["--root", "/no/such/dir"], ["--overlay", "/no/such/dir"],
    ["--root", "/etc/passwd"], ["--bind", "/etc:relative"]])
def test_what_cannot_be_done_is_explained(options: list[str]) -> None:
    got = run("/bin/true", options=options)
    assert got.status == 125, str(got)
    assert re.match(r"cerebro: .+\n  try: .+\n", got.err), str(got)


def test_help_and_version() -> None:
    assert "usage: cerebro" in cerebro("--help").ok().out
    assert re.match(r"cerebro \d+\.\d+\.\d+\n", cerebro("--version").ok().out)
    text = cerebro("run", "--help").ok().out
    assert cerebro("help", "run").ok().out == text
    for option in ("--bind", "--write", "--mount", "--root", "--overlay", "--net", "--uid", "--env", "--cwd",
                   "--limit", "--trace", "--stats", "--diff", "--json", "--quiet"):
        assert option in text
    assert cerebro("help", "nonsense").status == 2
    assert cerebro().status == 2


def test_json_report(work: Path) -> None:
    got = sh(f"echo new >{work}/made; exit 3",
             options=["--json", "--stats", "--diff"])
    assert got.status == 3
    report = json.loads(got.err)
    assert report["ran"] is True and report["exit_status"] == 3
    assert report["program"].endswith("sh") and report["duration_ms"] > 0
    assert isinstance(report["denials"], list) and report["stats"]
    made = [entry for entry in report["diff"] if entry["path"] == f"{work}/made"]
    assert made and made[0]["change"] in ("A", "added") and made[0]["size"] == 4
    assert not (work / "made").exists()


def test_json_report_of_a_signal() -> None:
    report = json.loads(sh("kill -TERM $$; sleep 5", options=["--json"]).err)
    assert report["signal"] == signal.SIGTERM and report["exit_status"] == 143


def test_json_report_of_denials() -> None:
    got = run("/usr/bin/python3", "-c", CONNECT, options=["--json"])
    denials = json.loads(got.err)["denials"]
    assert denials
    for denial in denials:
        assert set(denial) >= {"what", "rule", "allow", "errno", "pid"}
    assert any("--net host" in denial["allow"] for denial in denials)


CONNECT = """
import socket
try:
    socket.create_connection(("127.0.0.1", 9), 2)
except OSError as error:
    print(error.errno)
"""


def test_denial_line_and_quiet() -> None:
    got = run("/usr/bin/python3", "-c", CONNECT)
    lines = got.denials()
    assert lines, str(got)
    assert all(DENIAL.match(line) for line in lines), str(got)
    assert any("--net host" in line for line in lines)
    assert run("/usr/bin/python3", "-c", CONNECT, options=["--quiet"]).denials() == []


def test_denial_is_told_once() -> None:
    got = run("/usr/bin/python3", "-c", f"for i in range(5):\n  exec({CONNECT!r})")
    lines = got.denials()
    assert len(lines) == len(set(lines)), str(got)


def test_trace_lines() -> None:
    got = run("/bin/cat", "/etc/hostname", options=["--trace"]).ok()
    lines = [line for line in got.err.splitlines() if "/etc/hostname" in line]
    assert any(re.search(r'open(at)?\(.*"/etc/hostname"', line) for line in lines), str(got)
    assert got.out == Path("/etc/hostname").read_text()


def test_trace_families() -> None:
    got = run("/bin/cat", "/etc/hostname", options=["--trace=network"]).ok()
    assert "/etc/hostname" not in got.err
    got = run("/bin/cat", "/etc/hostname", options=["--trace=file,network"]).ok()
    assert "/etc/hostname" in got.err


def test_trace_to_file(work: Path) -> None:
    trace = work / "trace"
    got = run("/bin/cat", "/etc/hostname", options=["--trace-to", trace]).ok()
    assert got.err == "" and "/etc/hostname" in trace.read_text()


def test_trace_names_errors() -> None:
    got = run("/bin/cat", "/no/such/file", options=["--trace=file"])
    assert got.status == 1
    assert any("/no/such/file" in line and "ENOENT" in line for line in got.err.splitlines())


def test_stats_table() -> None:
    got = run("/bin/ls", "/", options=["--stats"]).ok()
    assert re.search(r"openat\b.*\d", got.err), str(got)


def test_diff_lines(work: Path) -> None:
    (work / "old").write_text("old")
    (work / "gone").write_text("gone")
    got = sh(f"cd {work} && echo more >>old && rm gone && mkdir dir && echo x >dir/new",
             options=["--diff"]).ok()
    lines = got.err.splitlines()
    assert f"M {work}/old" in lines and f"D {work}/gone" in lines, str(got)
    assert f"A {work}/dir/new" in lines or f"A {work}/dir" in lines, str(got)
    assert (work / "old").read_text() == "old" and (work / "gone").exists()


def test_diff_of_nothing() -> None:
    got = run("/bin/true", options=["--diff"]).ok()
    assert not re.search(r"^[AMD] /", got.err, re.M), str(got)


def test_stdin_may_be_closed() -> None:
    words = run_prefix() + ["--", "/bin/echo", "works"]
    script = " ".join(f"'{word}'" for word in words)
    assert run_host(["/bin/sh", "-c", f"{script} <&-"]).ok().out == "works\n"
    assert run_host(["/bin/sh", "-c", f"{script} >&-; echo $?"]).status == 0


def test_inherited_descriptors_work(work: Path) -> None:
    (work / "given").write_text("through a descriptor\n")
    words = " ".join(f"'{word}'" for word in run_prefix() + ["--", "/bin/cat"])
    got = run_host(["/bin/sh", "-c", f"{words} <{work}/given >{work}/taken"]).ok()
    assert got.err == "" and (work / "taken").read_text() == "through a descriptor\n"


def test_background_processes_end_with_the_program() -> None:
    got = sh("sleep 300 & sleep 301 & echo $$", timeout=20).ok()
    assert got.seconds < 10


def test_wait_all(work: Path) -> None:
    got = sh(f"(sleep 1; echo late >{work}/late) & exit 7",
             options=["--wait-all", "--write", work], timeout=20)
    assert got.status == 7 and (work / "late").read_text() == "late\n"


def test_no_walls() -> None:
    assert sh("echo works; exit 5", options=["--no-walls"]).status == 5


def test_cerebro_inside_cerebro_is_answered_clearly() -> None:
    from harness import CEREBRO
    got = run(CEREBRO, "run", "--", "/bin/true", timeout=30)
    assert got.status is not None
    if got.status != 0:
        assert "cerebro: " in got.err


def test_umask_is_inherited(work: Path) -> None:
    words = " ".join(f"'{word}'" for word in
                     [*run_prefix(), "--write", str(work), "--", "/bin/sh", "-c",
                      f"umask; echo x >{work}/file"])
    got = run_host(["/bin/sh", "-c", f"umask 027; {words}"]).ok()
    assert got.out.strip() in ("0027", "027")
    assert (work / "file").stat().st_mode & 0o777 == 0o640


def test_ignored_signals_stay_ignored() -> None:
    words = " ".join(f"'{word}'" for word in
                     [*run_prefix(), "--", guest("show-pie"), "signals"])
    got = run_host(["/bin/sh", "-c", f"trap '' HUP; {words}"]).ok()
    assert "ignored 1\n" in got.out, str(got)


def test_missing_walls_do_not_hold_it_up() -> None:
    """Where user namespaces are forbidden the first attempt at a start fails; the next is at once."""
    assert sh("echo started", options=["--uid", "0"]).ok().seconds < 5
