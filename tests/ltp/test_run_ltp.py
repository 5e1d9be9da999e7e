"""The runner of the Linux Test Project: what it reads, what it concludes, and that it leaves nothing behind."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from ltp import cases, leftovers, outcome, runner  # noqa: E402
from ltp.outcome import End, Pair  # noqa: E402


def test_lists_are_read():
    found = cases.parse_list("#DESCRIPTION: calls\n\nopen01 open01\nfork11 fork_procs -n 100\n  alone\n")
    assert [(case.name, case.argv) for case in found] == [
        ("open01", ["open01"]), ("fork11", ["fork_procs", "-n", "100"]), ("alone", ["alone"])]
    assert cases.Case("x", "a | b").argv == ["/bin/sh", "-c", "a | b"]


@pytest.mark.parametrize("name, family", [
    ("open01", "open"), ("dup201", "dup2"), ("pread02_64", "pread"), ("setuid01_16", "setuid"),
    ("epoll_create1_02", "epoll_create1"), ("mmap21_01", "mmap"), ("confstr", "confstr")])
def test_families(name, family):
    assert cases.Case(name, name).family == family


@pytest.mark.parametrize("status, verdict", [
    (0, "pass"), (32, "skip"), (1, "fail"), (33, "fail"), (-11, "fail"), (None, "timeout")])
def test_verdicts(status, verdict):
    assert outcome.verdict_of(status) == verdict


def test_the_line_that_tells():
    text = "a.c:1: TINFO: x\n\x1b[1;31ma.c:2: TFAIL: \x1b[0mno\na.c:3: TBROK: later\nSummary:\n"
    assert outcome.telling_line(text, "fail") == "a.c:2: TFAIL: no"
    assert outcome.telling_line("a.c:1: TCONF: not here\n", "skip") == "a.c:1: TCONF: not here"
    assert outcome.telling_line("Segmentation fault\n\n", "fail") == "Segmentation fault"
    assert outcome.telling_line("anything", "pass") == "" == outcome.telling_line("", "fail")


def test_only_what_passes_natively_counts():
    good, bad, skip = End("pass", 0), End("fail", 1), End("skip", 32)
    pairs = [Pair(cases.Case(name, name), native, under) for name, native, under in (
        ("a01", good, good), ("a02", good, bad), ("b01", good, skip), ("c01", bad, None), ("c02", skip, good))]
    total, families = outcome.summarise(pairs)
    assert (total.passing, total.under) == (3, 1)
    assert total.share == pytest.approx(100 / 3)
    assert (families["a"].passing, families["a"].under) == (2, 1)
    assert [pair.case.name for pair in pairs if pair.differs] == ["a02", "b01"]


def test_objects_of_a_user():
    head = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid\n"
    text = head + "  0 7 600 0 0 1 2 65534 0 0 0\n 1627389956 8 600 0 0 1 2 0 0 0 0\n"
    assert leftovers.parse_objects(text, 65534) == {7}
    assert leftovers.parse_objects(head, 0) == set() == leftovers.parse_objects("", 0)


# ---- with programs that stand for LTP's, and one that stands for cerebro ----

def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


@pytest.fixture
def ltp(tmp_path):
    programs = {"good01": "exit 0", "none01": "echo TCONF; exit 32", "only01": "test -z \"$UNDER\"",
                "hang01": "test -z \"$UNDER\" || sleep 1000", "dirt01": "mkdir -p d/e; touch d/e/f; chmod 0 d/e; exit 0",
                "left01": f"sleep 1000 & echo $! >> {tmp_path}/left; exit 0"}
    for name, text in programs.items():
        program(tmp_path / "ltp/testcases/bin" / name, text + "\n")
    lists = tmp_path / "ltp/runtest"
    lists.mkdir()
    (lists / "syscalls").write_text("".join(f"{name} {name}\n" for name in [*programs, "absent01"]))
    (lists / "syscalls-ipc").write_text("# none\n")
    program(tmp_path / "cerebro", "while [ \"$1\" != -- ]; do shift; done; shift\nUNDER=1 exec \"$@\"\n")
    (tmp_path / "scratch").mkdir()
    return tmp_path


def run(ltp, *words):
    argv = [sys.executable, str(ROOT / "tools/run-ltp"), "--ltp", str(ltp / "ltp"), "--cerebro", str(ltp / "cerebro"),
            "--scratch", str(ltp / "scratch"), "--place", "host", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def is_running(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_a_whole_run(ltp):
    report = ltp / "report.json"
    got = run(ltp, "--seconds", "1", "--jobs", "2", "--once", "--json", str(report))
    assert got.returncode == 1, got
    assert "3 of 5 pass under cerebro run: 60.00 %" in got.stdout
    assert "DIFF  hang01: did not end" in got.stdout and "DIFF  only01: status 1" in got.stdout
    record = json.loads(report.read_text())
    assert (record["passing"], record["under"]) == (5, 3)
    verdicts = {test["name"]: test["native"]["verdict"] for test in record["tests"]}
    assert verdicts["none01"] == "skip" and verdicts["absent01"] == "absent"
    assert list((ltp / "scratch").iterdir()) == []
    assert not any(is_running(int(pid)) for pid in (ltp / "left").read_text().split())


def test_what_differed_can_be_run_again(ltp):
    report = ltp / "report.json"
    run(ltp, "--only", "good|only", "--once", "--json", str(report))
    got = run(ltp, "--again", str(report))
    assert "0 of 1 pass" in got.stdout and got.returncode == 1


def test_all_pass(ltp):
    got = run(ltp, "--only", "good|none")
    assert got.returncode == 0 and "1 of 1 pass under cerebro run: 100.00 %" in got.stdout


@pytest.mark.parametrize("words, text", [
    (["--list", "nothing"], "there is no list"), (["--only", "zzz"], "no test has such a name"),
    (["--cerebro", "/nonexistent"], "there is no program")])
def test_bad_words(ltp, words, text):
    got = run(ltp, *words)
    assert got.returncode == 2 and text in got.stderr


def test_nothing_to_run_under(ltp):
    """A program that cannot be started is no difference between tests."""
    (ltp / "cerebro").write_text("#!/nonexistent\n")
    got = run(ltp, "--only", "good")
    assert got.returncode == 2 and "No such file" in got.stderr


def test_not_an_ltp(tmp_path):
    with pytest.raises(cases.BadLtp, match="no folder runtest"):
        cases.open_ltp(tmp_path)


def test_interrupted_run_leaves_nothing(ltp):
    argv = [sys.executable, str(ROOT / "tools/run-ltp"), "--ltp", str(ltp / "ltp"), "--cerebro", str(ltp / "cerebro"),
            "--scratch", str(ltp / "scratch"), "--place", "host", "--only", "hang"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        end = time.monotonic() + 30
        while not list((ltp / "scratch").iterdir()) and time.monotonic() < end:
            time.sleep(0.01)
        process.terminate()
        assert process.wait(30) == 130
    while list((ltp / "scratch").iterdir()) and time.monotonic() < end:
        time.sleep(0.01)
    assert list((ltp / "scratch").iterdir()) == []


def test_directories_that_cannot_be_read_are_removed(tmp_path):
    (tmp_path / "x/y/z").mkdir(parents=True)
    (tmp_path / "x/y").chmod(0)
    runner.remove_tree(str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()
