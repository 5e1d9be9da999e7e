"""A virtual machine: QEMU without acceleration, one kernel, one initramfs, two serial lines."""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .mirror import Unavailable, scratch

QEMU = "qemu-system-x86_64"
# Console on the first line, results on the second: kernel messages never get between them. A busy host makes
# the guest look stuck, so the kernel's own stall detectors wait longer than usual.
COMMAND_LINE = ("console=ttyS0 rdinit=/init panic=-1 secretmem.enable=1 tsc=reliable clocksource=tsc watchdog_thresh=60 "
                "rcupdate.rcu_cpu_stall_timeout=120 random.trust_cpu=on loglevel=7")
PR_SET_PDEATHSIG = 1
DISK_BYTES = 32 << 20


@dataclass
class Ended:
    """What is left of a machine after it was switched off."""

    console: str
    results: str
    seconds: float
    too_long: bool
    reason: str = ""
    status: int = 0


@dataclass
class Machine:
    image: Path
    initramfs: Path
    seconds: float
    memory: str = "512M"
    processors: int = 2
    options: str = ""        # more words for the kernel's command line

    def argv(self, folder: Path) -> list[str]:
        return [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
                "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(self.processors), "-m", self.memory,
                "-kernel", str(self.image), "-initrd", str(self.initramfs),
                "-append", f"{COMMAND_LINE} {self.options}".strip(),
                "-serial", f"file:{folder}/console", "-serial", f"file:{folder}/results",
                "-drive", f"file={folder}/disk,format=raw,if=none,id=disk",
                "-device", "nvme,drive=disk,serial=kapi-serial"]

    def run(self) -> Ended:
        """Boots, waits for the guest to switch itself off, leaves nothing behind."""
        if not shutil.which(QEMU):
            raise Unavailable(f"{QEMU} is not installed (tools/install-deps vm)")
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
        too_long = False
        try:
            process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            too_long = True
        finally:  # also when we are interrupted
            if process.poll() is None:
                process.kill()
                process.wait()
        return process.returncode, too_long, read(folder / "qemu")


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def read(path: Path) -> str:
    return path.read_text(errors="replace").replace("\r", "") if path.exists() else ""
