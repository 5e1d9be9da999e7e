"""A virtual machine: QEMU without acceleration, one kernel, one initramfs, two serial lines."""

from __future__ import annotations

import ctypes
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .mirror import Unavailable, scratch

QEMU = "qemu-system-x86_64"
# Console on the first line, results on the second: kernel messages never get between them. A busy host makes
# the guest look stuck, so the kernel's own stall detectors wait longer than usual.
COMMAND_LINE = ("console=ttyS0 rdinit=/init panic=-1 secretmem.enable=1 tsc=reliable clocksource=tsc watchdog_thresh=60 "
                "rcupdate.rcu_cpu_stall_timeout=120 random.trust_cpu=on loglevel=7")
PR_SET_PDEATHSIG = 1
DISK_BYTES = 32 << 20
BEGIN = "kapi-test: begin"  # said by the guest before it loads the module
BOOT_SECONDS = 120
BOOTS = 3
# The emulator's threads race with a kernel that rewrites its own code (static branches): a processor still runs the
# breakpoint that another has taken away, and the kernel dies of it. Nothing of ours puts breakpoints anywhere.
EMULATOR_FAULT = re.compile(r"\bint3: 0000\b")


@dataclass
class Ended:
    """What is left of a machine after it was switched off."""

    console: str
    results: str
    seconds: float
    too_long: bool
    reason: str = ""
    status: int = 0
    false_starts: list[str] = field(default_factory=list)  # why earlier boots do not count

    def why_not_begun(self) -> str:
        """"" for a machine that came to our tests and ran them, well or not."""
        if EMULATOR_FAULT.search(self.console):
            return "the emulator ran a breakpoint that was gone"
        if BEGIN not in self.console:
            return f"no test began within {self.seconds:.0f} s"
        return ""


@dataclass
class Machine:
    image: Path
    initramfs: Path
    seconds: float
    memory: str = "512M"
    processors: int = 2
    options: str = ""        # more words for the kernel's command line
    boot_seconds: float = BOOT_SECONDS

    def argv(self, folder: Path) -> list[str]:
        return [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
                "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(self.processors), "-m", self.memory,
                "-kernel", str(self.image), "-initrd", str(self.initramfs),
                "-append", f"{COMMAND_LINE} {self.options}".strip(),
                "-serial", f"file:{folder}/console", "-serial", f"file:{folder}/results",
                "-drive", f"file={folder}/disk,format=raw,if=none,id=disk",
                "-device", "nvme,drive=disk,serial=kapi-serial"]

    def run(self) -> Ended:
        """Boots, again if that comes to nothing, and waits for the guest to switch itself off."""
        if not shutil.which(QEMU):
            raise Unavailable(f"{QEMU} is not installed (tools/install-deps vm)")
        false_starts: list[str] = []
        while True:
            ended = self.boot()
            ended.false_starts = false_starts
            reason = ended.why_not_begun()
            if not reason or len(false_starts) + 1 == BOOTS:
                return ended
            false_starts.append(reason)

    def boot(self) -> Ended:
        """One boot to its end; leaves nothing behind."""
        with scratch("machine") as name:
            folder = Path(name)
            with open(folder / "disk", "wb") as disk:
                disk.truncate(DISK_BYTES)
            start = time.monotonic()
            status, too_long, said = self.wait(folder)
            return Ended(read(folder / "console"), read(folder / "results"), time.monotonic() - start, too_long,
                         said, status)

    def wait(self, folder: Path) -> tuple[int, bool, str]:
        with open(folder / "qemu", "wb") as said:
            process = subprocess.Popen(self.argv(folder), stdin=subprocess.DEVNULL, stdout=said,
                                       stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        try:
            too_long = not self.ends(process, folder)
        finally:  # also when we are interrupted
            if process.poll() is None:
                process.kill()
                process.wait()
        return process.returncode, too_long, read(folder / "qemu")

    def ends(self, process: subprocess.Popen[bytes], folder: Path) -> bool:
        """Whether the machine switched itself off in time; one that hangs while it boots gets less of it."""
        start, begun = time.monotonic(), False
        while process.poll() is None:
            seconds = time.monotonic() - start
            if seconds > self.boot_seconds and not begun:
                begun = BEGIN in read(folder / "console")
            if seconds > self.seconds or seconds > self.boot_seconds and not begun:
                return False
            time.sleep(0.1)
        return True


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def read(path: Path) -> str:
    return path.read_text(errors="replace").replace("\r", "") if path.exists() else ""
