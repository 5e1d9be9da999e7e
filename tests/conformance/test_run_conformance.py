"""The runner of the conformance suite: what it reads and concludes, and what the frame of the checks makes of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / os.environ.get("BUILD", "build") / "tests/conformance"
RUNNER = ROOT / "tools/run-conformance"
WAYS = ("memory", "host", "overlay", "uid0")
sys.path.insert(0, str(ROOT / "tools"))

from conformance import results  # noqa: E402
from conformance.results import BadSuite, End, Expectation  # noqa: E402


def test_lines_are_read():
    text = "pass a.one\nnoise\nfail b.two x.c:3: a reason\nskip posix-shm.three needs root\npass b.\n"
    assert results.parse_output(text) == {
        "a.one": End("pass"), "b.two": End("fail", "x.c:3: a reason"), "posix-shm.three": End("skip", "needs root")}


def test_a_check_that_said_nothing_has_failed():
    ends = results.complete({"a.one": End("pass")}, ["a.one", "a.two"], "gone")
    assert ends == {"a.one": End("pass"), "a.two": End("fail", "gone")}


@pytest.mark.parametrize("line, place, holds", [
    ("a.b * why", ("user", "host"), True), ("a.b memory,host why", ("user", "host"), True),
    ("a.b memory why", ("user", "host"), False), ("a.b root:host why", ("user", "host"), False),
    ("a.b root:* why", ("root", "uid0"), True), ("a.c * why", ("user", "host"), False)])
def test_where_an_expectation_holds(line, place, holds):
    assert results.parse_expectation(line, WAYS).holds("a.b", *place) is holds


@pytest.mark.parametrize("line", ["a.b", "a.b host", "a.b hots why", "a.b admin:host why"])
def test_bad_expectations_are_refused(line):
    with pytest.raises(BadSuite):
        results.parse_expectation(line, WAYS)


def test_what_differs_and_what_surprises():
    good, bad, skip = End("pass"), End("fail", "x"), End("skip", "y")
    native = {"a.1": good, "a.2": good, "a.3": good, "a.4": good, "a.5": bad, "a.6": good}
    under = {"a.1": good, "a.2": bad, "a.3": skip, "a.4": good, "a.5": bad, "a.6": good}
    expectations = [Expectation(name, ("*",), "why", sometimes) for name, sometimes in (
        ("a.3", False), ("a.4", False), ("a.6", True), ("a.5", False))]
    found = results.compare(native, under, "user", "host", expectations)
    assert set(found.differing) == {"a.2", "a.3"}
    assert set(found.unexpected) == {"a.2"}
    assert set(found.surprises) == {"a.4"}
    assert found.passes_of("a") == 3
    assert results.unknown_names(expectations, ["a.3", "a.4", "a.5"]) == ["a.6"]


def test_the_list_can_be_read():
    assert results.read_expectations(ROOT / "tests/conformance/expected.txt", WAYS)


needs_suite = pytest.mark.skipif(not SUITE.exists(), reason="the suite is not built (ninja guest-programs)")


def listed():
    done = subprocess.run([SUITE, "--list"], capture_output=True, text=True, check=True)
    return dict(line.split("\t") for line in done.stdout.splitlines())


@needs_suite
def test_the_suite_lists_its_checks():
    checks = listed()
    assert len(checks) >= 400
    assert len({name.split(".")[0] for name in checks}) >= 30
    assert all("(" in reference and ")" in reference for reference in checks.values())


@needs_suite
def test_checks_are_chosen_by_family_name_and_pattern():
    for words, wanted in ((["rename"], "rename."), (["rename.not_empty"], "rename.not_empty"), (["rena*.not_*"], "rename.not_")):
        done = subprocess.run([SUITE, "--list", *words], capture_output=True, text=True, check=True)
        names = [line.split("\t")[0] for line in done.stdout.splitlines()]
        assert names and all(name.startswith(wanted) for name in names)
    assert subprocess.run([SUITE, "--jobs", "0"], capture_output=True, check=False).returncode == 2


@needs_suite
def test_nothing_is_left_in_the_scratch_directory(tmp_path):
    done = subprocess.run([SUITE, "--scratch", tmp_path, "directories", "permissions"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
    assert list(tmp_path.iterdir()) == []


@needs_suite
def test_a_difference_and_a_surprise_make_it_fail(tmp_path):
    """`cerebro` that runs the program natively but where told: a check that differs, then one that was expected to."""
    fake = tmp_path / "cerebro"
    fake.write_text("#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done; shift\n\"$@\" | sed 's/^pass rename.dots/fail rename.dots broken/'\n")
    fake.chmod(0o755)
    empty, wrong = tmp_path / "none.txt", tmp_path / "wrong.txt"
    empty.write_text("# nothing\n")
    wrong.write_text("rename.dots * broken here\nrename.itself host it is not\n")

    def run(expected, *words):
        report = tmp_path / "report.json"
        argv = [RUNNER, "--cerebro", fake, "--suite", SUITE, "--scratch", tmp_path, "--way", "host", "--expected", expected,
                "--json", report, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, json.loads(report.read_text())

    status, output, record = run(empty, "rename")
    assert status == 1 and "DIFF   host rename.dots: fail: broken" in output
    assert any(check["under"]["host"]["verdict"] == "fail" for check in record["checks"])
    status, output, _ = run(wrong, "rename")
    assert status == 1 and "PASS   host rename.itself" in output and "DIFF" not in output
    assert run(wrong, "rename.dots")[0] == 0


@needs_suite
def test_what_fails_natively_is_told_and_too_much_of_it_is_a_failure(tmp_path):
    fake = tmp_path / "suite"
    words = "for n in $(seq 40); do [ \"$1\" = --list ] && printf 'a.c%s\\tx(2) y\\n' $n || {}; done\n"
    argv = [RUNNER, "--cerebro", "/bin/true", "--suite", fake, "--scratch", tmp_path, "--expected", "/dev/null"]
    for failing, status in ((1, 0), (10, 1)):
        line = f"[ $n -gt {failing} ] && echo skip a.c$n || echo fail a.c$n broken"
        fake.write_text("#!/bin/sh\n" + words.replace("{}", "{ " + line + "; }"))
        fake.chmod(0o755)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        assert "native a.c1: broken" in done.stdout and f"{failing} fail natively" in done.stdout


def test_bad_use_is_told():
    done = subprocess.run([RUNNER, "--suite", "/no/such"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no program /no/such" in done.stderr
