"""The harness itself: it must notice guests that die, results that get lost, and what the kernel complains of."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from vm import image, kernels, machine, mirror, results  # noqa: E402
from vm.machine import Ended  # noqa: E402

GOOD = "@1 pass root/a 3 ms\n@2 row table x\\ty\n@3 skip b why\\nnot\n@4 end all\n"
CONSOLE = "[0.1] BUG: of the boot, before we begin\nkapi-test: begin\n"


def ended(results_text=GOOD, console=CONSOLE, too_long=False):
    return Ended(console, results_text, 5.0, too_long)


def outcomes(report):
    return {record.name: record.outcome for record in report.records}


def test_results_are_read():
    report = results.read_results(ended())
    assert outcomes(report) == {"root/a": "passed", "b": "skipped", "console-is-clean": "passed"}
    assert report.rows == [("table", ["x", "y"])]
    assert report.records[1].text == "why\nnot"


@pytest.mark.parametrize("text, name", [
    ("@1 pass a\n@3 end all\n", "results-are-complete"),
    ("@1 pass a\n@2 pa", "results-are-complete"),
    ("@1 pass a\n", "machine-ends"),
    ("", "machine-ends"),
    ("@1 fail a text\n@2 end all\n", "a"),
])
def test_lost_results_are_failures(text, name):
    assert outcomes(results.read_results(ended(text)))[name] == "failed"


def test_guest_that_never_boots():
    assert outcomes(results.read_results(ended("", "nothing", True)))["kernel-boots"] == "failed"


class Stand(machine.Machine):
    """Runs a shell script in the place of QEMU: $folder is where its serial lines go, $boot its number."""

    def argv(self, folder):
        boots = self.image.parent / "boots"
        boots.write_text((boots.read_text() if boots.exists() else "") + "x")
        return ["sh", "-c", f"folder={folder}; boot={len(boots.read_text())}\n{self.image.read_text()}"]


RACE = "[    1.1] Oops: int3: 0000 [#1] SMP NOPTI"


@pytest.mark.parametrize("script, begun, false_starts, failed", [
    ("good", True, 0, False),
    ("[ $boot = 1 ] && echo Kernel panic >$folder/console && exit; good", True, 1, False),
    (f"[ $boot = 1 ] && {{ good; echo '{RACE}' >>$folder/console; exit; }}; good", True, 1, False),
    ("[ $boot = 1 ] && exec sleep 100; good", True, 1, False),
    ("echo Kernel panic >$folder/console", False, 2, True),
    ("good; echo 'Oops: 0002 [#1] SMP' >>$folder/console", True, 0, True),
])
def test_boots_that_come_to_nothing_are_made_again(tmp_path, monkeypatch, script, begun, false_starts, failed):
    monkeypatch.setattr(machine, "QEMU", "sh")
    (tmp_path / "image").write_text("good() { echo 'kapi-test: begin' >$folder/console; "
                                    f"printf '@1 pass a\\n@2 end all\\n' >$folder/results; }}\n{script}\n")
    after = Stand(tmp_path / "image", tmp_path, 20, boot_seconds=1).run()
    assert (machine.BEGIN in after.console, len(after.false_starts)) == (begun, false_starts)
    assert any(outcome == "failed" for outcome in outcomes(results.read_results(after)).values()) is failed


@pytest.mark.parametrize("line", [
    "BUG: unable to handle page fault for address: 0000000000001234",
    "WARNING: CPU: 0 PID: 77 at net/core/dev.c:1 x+0x1/0x2", "WARNING: suspicious RCU usage",
    "Oops: 0002 [#1] SMP", "general protection fault, probably for non-canonical address",
    "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:", "INFO: task abuse:12 blocked for more than 122 seconds.",
    "BUG: KASAN: slab-out-of-bounds in kapi_run+0x1/0x2", "UBSAN: array-index-out-of-bounds in x.c:1",
    "RTNL: assertion failed at net/core/dev.c (1)", "kmemleak: 3 new suspected memory leaks",
    "Kernel panic - not syncing: Fatal exception", "refcount_t: underflow; use-after-free.",
    "WARNING: possible circular locking dependency detected", "BUG: sleeping function called from invalid context",
    "Bad page state in process abuse", "list_del corruption, next is LIST_POISON1",
])
def test_complaints_of_the_kernel_are_failures(line):
    report = results.read_results(ended(console=CONSOLE + f"[    5.1] {line}\n"))
    assert outcomes(report)["console-is-clean"] == "failed"


def test_expected_panic():
    words = CONSOLE + "kapi-test: panic expected\nKernel panic - not syncing: kapi\nCall Trace:\n"
    assert outcomes(results.read_results(ended(console=words), panics=True)) == {
        "root/a": "passed", "b": "skipped", "console-is-clean": "passed", "panic-command-panics": "passed"}
    assert outcomes(results.read_results(ended(), panics=True))["panic-command-panics"] == "failed"


def test_traces_of_injected_faults_are_no_complaints():
    trace = "abuse: page allocation failure: order:0\nCall Trace:\n"
    quiet = CONSOLE + f"kapi-test: faults begin\n{trace}kapi-test: faults end\n"
    for words, outcome in ((quiet, "passed"), (quiet + trace, "failed"),
                           (quiet.replace("Call Trace", "BUG: KASAN: x"), "failed")):
        assert outcomes(results.read_results(ended(console=words)))["console-is-clean"] == outcome


def test_apt_sources_in_both_formats(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian/ bookworm main\n")
    (tmp_path / "sources.list.d/x.sources").write_text(
        "Types: deb\n# a remark\nURIs: http://two.example/debian-security\nSuites: bookworm-security\n"
        "Components: main\nSigned-By: /s.gpg\n\nTypes: deb\nEnabled: no\nURIs: http://off.example\nSuites: bookworm\n")
    found = mirror.host_sources(tmp_path)
    assert mirror.base_source(False, found, "bookworm") == mirror.Source("http://one.example/debian", ("bookworm",), "/k.gpg")
    assert mirror.base_source(True, found, "bookworm").uri == "http://two.example/debian-security"
    with pytest.raises(mirror.Unavailable):
        mirror.base_source(False, found, "trixie")


def test_versions_are_ordered_by_number():
    versions = ["6.12.9-1~deb12u1", "6.12.117-1~deb12u1", "6.12.20-1"]
    assert max(versions, key=kernels.numbers) == "6.12.117-1~deb12u1"


@pytest.mark.parametrize("line, expected", [
    ("/x/kmod/core.c:3:5: warning: unused variable 'a' [-Wunused-variable]", True),
    ("WARNING: modpost: \"nothing\" [x.ko] undefined!", True),
    ("warning: the compiler differs from the one used to build the kernel", False),
    ("  LD [M]  /x/kmod/kernel_driver.ko", False),
])
def test_warnings_of_a_build(line, expected):
    assert kernels.is_warning(line) is expected


def test_initramfs_can_be_unpacked(tmp_path):
    source = tmp_path / "file"
    source.write_bytes(b"abc")
    tree = image.Tree()
    tree.file("a/b/file", source, 0o640)
    tree.link("a/link", "b/file")
    tree.write(tmp_path / "out.cpio")
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(["busybox", "cpio", "-idm", "-F", str(tmp_path / "out.cpio")], cwd=target, check=False,
                   capture_output=True)  # device nodes need root
    assert (target / "a/b/file").read_bytes() == b"abc"
    assert stat.S_IMODE((target / "a/b/file").stat().st_mode) == 0o640
    assert (target / "a/link").readlink() == Path("b/file")
