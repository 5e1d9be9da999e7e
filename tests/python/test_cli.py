"""The command line: tables, JSON, confirmation, exit status."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fake import FakeSystem, abi, fail
from kapi import KernelAPIClient, cli, demo, format_bytes, format_time, report

PYTHON_DIR = Path(os.environ.get("KAPI_PYTHON", Path(__file__).resolve().parents[2] / "python"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def kapi(system: FakeSystem, *words: str, answers: io.StringIO = io.StringIO()) -> Any:
    out, err = io.StringIO(), io.StringIO()

    def make(**how: Any) -> KernelAPIClient:
        return KernelAPIClient(system=system, **how)
    status = cli._run(list(words), "kapi", out, err, answers, make)
    return status, out.getvalue(), err.getvalue()


def machine() -> FakeSystem:
    """No device, the real /proc."""
    system = FakeSystem()
    system.open_error = errno.ENOENT
    return system


@pytest.mark.parametrize("name", [name for name in cli.QUESTIONS if name not in (
    "process", "log")])
def test_questions(name: str) -> None:
    system = machine()
    system.socket = None
    status, out, err = kapi(system, name)
    assert status == 0, err
    status, out, _ = kapi(system, name, "--json")
    assert status == 0
    value = json.loads(out)
    first = value if isinstance(value, dict) else (value or [{"source": "sysfs"}])[0]
    assert first["source"] in ("procfs", "sysfs", "netlink")


def test_one_process() -> None:
    status, out, err = kapi(machine(), "process", str(os.getpid()))
    assert status == 0 and f"{os.getpid()}" in out and "from procfs" in err
    status, _, err = kapi(machine(), "process", "2147483647")
    assert status == 1 and "no process" in err


def test_device_needs_no_remark() -> None:
    system = FakeSystem()
    system.commands[abi.GET_MEMORY_INFO] = lambda record: setattr(record, "total_ram", 3 << 30)
    status, out, err = kapi(system, "memory")
    assert (status, err) == (0, "") and "3.0 GB" in out


def test_no_fallback() -> None:
    status, out, err = kapi(machine(), "--no-fallback", "memory")
    assert (status, out) == (1, "") and "kernel_api_exporter" in err


def test_orders_want_a_yes() -> None:
    system = FakeSystem()
    system.commands[abi.KILL_PROCESS] = lambda record: setattr(record, "message", b"sent")
    status, _, err = kapi(system, "kill", "42")
    assert status == 2 and "--yes" in err and abi.KILL_PROCESS not in system.calls
    status, _, err = kapi(system, "kill", "42", answers=Terminal("no\n"))
    assert status == 1 and abi.KILL_PROCESS not in system.calls
    status, out, _ = kapi(system, "kill", "42", answers=Terminal("yes\n"))
    assert (status, out) == (0, "sent\n")
    status, out, _ = kapi(system, "kill", "42", "--yes", "--json")
    assert status == 0 and json.loads(out)["status"] == 0


@pytest.mark.parametrize("words", [
    ["panic"], ["reclaim"], ["load-module", "/x.ko"], ["unload-module", "x"],
    ["mount", "/dev/x", "/y"], ["umount", "/y"], ["phys-write", "0", "00"], ["patch", "0", "00"],
    ["interface", "lo", "down"], ["suspend", "1"]])
def test_every_dangerous_order_is_guarded(words: list[str]) -> None:
    system = FakeSystem()
    status, _, err = kapi(system, *words)
    assert status == 2 and "confirm with --yes" in err
    assert all(call == abi.GET_VERSION for call in system.calls)


def test_refused_orders() -> None:
    system = FakeSystem()

    def refuse(record: Any) -> None:
        record.status, record.message = -errno.EPERM, b"lockdown\x1b[31m\nforged"
    system.commands[abi.READ_PHYS_MEM] = refuse
    status, out, err = kapi(system, "phys-read", "0x1000", "16")
    assert (status, out) == (1, "") and err == "kapi phys-read: lockdown\\x1b[31m\\x0aforged\n"

    def panic(record: Any) -> None:
        raise fail(errno.EPERM)
    system.commands[abi.PANIC_KERNEL] = panic
    assert kapi(system, "panic", "--yes")[0] == 1


def test_binary_results_are_hexadecimal() -> None:
    system = FakeSystem()
    system.commands[abi.READ_PHYS_MEM] = lambda record: record.data.__setitem__(
        slice(0, 4), [0, 1, 0, 255])
    assert kapi(system, "phys-read", "4096", "4")[1].startswith("000100ff\n")
    status, out, _ = kapi(system, "phys-read", "4096", "4", "--json")
    assert json.loads(out)["data"] == "000100ff"


def test_wrong_usage() -> None:
    for words in ([], ["nothing"], ["memory", "--watch", "x"], ["process"], ["kill", "x"]):
        with pytest.raises(SystemExit) as stop:
            kapi(FakeSystem(), *words)
        assert stop.value.code == 2
    assert kapi(machine(), "memory", "--watch", "0")[0] == 2
    assert kapi(FakeSystem(), "kill", "0", "--yes")[0] == 1


def test_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt
    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        kapi(machine(), "load", "--watch", "0.5")
    assert pauses == [0.5] * 3


def test_export_and_status(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    assert kapi(machine(), "export", str(path))[0] == 0
    assert json.loads(path.read_text())["source"] == "host"
    assert json.loads(kapi(machine(), "export", "-")[1])["memory"]["source"] == "procfs"
    values = json.loads(kapi(machine(), "status", "--json")[1])
    assert values["source"] == "host" and "No such" in values["reason"]


def test_kernel_commands() -> None:
    assert "get_hz" in kapi(machine(), "command")[1]
    assert kapi(machine(), "command", "get_hostname")[1] == os.uname().nodename + "\n"
    status, out, err = kapi(machine(), "command", "rm")
    assert (status, out) == (1, "") and "Unknown command" in err


def test_run_as_a_program() -> None:
    for argv in ([str(PYTHON_DIR / "kapi/__main__.py")], ["-m", "kapi"]):
        done = subprocess.run([sys.executable, "-I" if argv[0] != "-m" else "-B", *argv, "load",
                               "--json"], capture_output=True, text=True, cwd=PYTHON_DIR)
        assert done.returncode == 0, done.stderr
        assert "load1" in json.loads(done.stdout)


def test_a_reader_that_has_seen_enough() -> None:
    shell = f"{sys.executable} -I {PYTHON_DIR}/kapi/__main__.py processes --json | head -c1 >/dev/null"
    done = subprocess.run(["bash", "-c", f"{shell}; echo ${{PIPESTATUS[0]}}"],
                          capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


# ---- text ----

@pytest.mark.parametrize("value,text", [
    (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KB"), (1536 << 20, "1.5 GB"), (2**60, "1.0 EB"),
    (2**70, "1024.0 EB")])
def test_bytes(value: int, text: str) -> None:
    assert format_bytes(value) == text == KernelAPIClient.format_bytes(value)


@pytest.mark.parametrize("value,text", [
    (0, "0 seconds"), (1, "1 second"), (61, "1 minute, 1 second"), (9000, "2 hours, 30 minutes"),
    (86400, "1 day"), (90061, "1 day, 1 hour"), (3605, "1 hour"), (-5, "0 seconds")])
def test_time(value: int, text: str) -> None:
    assert format_time(value) == text == KernelAPIClient.format_time(value)


def test_names_cannot_steer_the_terminal() -> None:
    assert report.printable("a\x1b]0;x\x07\nb") == "a\\x1b]0;x\\x07\\x0ab"


def test_demonstrations(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import kapi_client
    assert kapi_client.print_header is demo.print_header
    with KernelAPIClient(system=machine()) as client:
        assert demo.demonstrate_information(client) == 0
        demo.demonstrate_commands(client)
        assert demo.demonstrate_communication(client) == 2
    out = capsys.readouterr().out
    assert "get_uptime" in out and "not available" in out
    demo.print_header("Title")
    demo.print_section("Part")
    assert "Part\n----" in capsys.readouterr().out
