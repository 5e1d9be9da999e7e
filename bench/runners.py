"""The ways to run a program that the bench compares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from processes import Processes

REPOSITORY = Path(__file__).resolve().parent.parent
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SELF_TEST_SECONDS = 15.0


@dataclass(frozen=True)
class Needs:
    """What a workload asks of its runner; every runner grants the same."""

    write: Path | None = None
    net: bool = False


Wrap = Callable[[list[str], Needs], list[str]]


@dataclass(frozen=True)
class Variant:
    """One set of flags. A runner may have several: the first that passes the self-test is used."""

    program: str
    wrap: Wrap
    env: dict[str, str] = field(default_factory=dict)


@dataclass
class Runner:
    name: str
    about: str
    variants: list[Variant]
    first_program_only: bool = False  # what it starts runs outside: such rows would mislead
    chosen: Variant | None = None
    reason: str = ""

    def command(self, argv: list[str], needs: Needs) -> list[str]:
        assert self.chosen
        return self.chosen.wrap(argv, needs)

    def environment(self, base: dict[str, str]) -> dict[str, str]:
        assert self.chosen
        return {**base, **self.chosen.env}

    def settle(self, processes: Processes, env: dict[str, str], cwd: Path) -> bool:
        """Chooses a variant; without one, `reason` says why the runner is skipped."""
        problems: list[str] = []
        for variant in self.variants:
            problem = self_test(variant, processes, env, cwd)
            if not problem:
                self.chosen, self.reason = variant, ""
                return True
            problems.append(problem)
        self.reason = "; ".join(dict.fromkeys(problems))
        return False


def installed(program: str) -> str | None:
    return shutil.which(program, path=SYSTEM_PATH)


def self_test(variant: Variant, processes: Processes, env: dict[str, str], cwd: Path) -> str:
    """Empty when the variant works, else what is wrong."""
    if not installed(variant.program):
        return f"{variant.program} not found"
    env = {**env, **variant.env}
    for argv, wanted in ((["/bin/true"], b""), (["/bin/echo", "ok"], b"ok\n")):
        command = variant.wrap(argv, Needs())
        got = processes.run(command, env, cwd, SELF_TEST_SECONDS, capture=True)
        if not got.ok:
            return f"self-test `{' '.join(command)}`: {got.why()}"
        if got.out != wanted:
            return f"self-test `{' '.join(command)}` printed {got.out[:80]!r}"
    return ""


def native_wrap(argv: list[str], _needs: Needs) -> list[str]:
    return argv


def cerebro_variant(program: str) -> Variant:
    if "/" in program:
        program = os.path.abspath(program)  # it is started from other directories

    def wrap(argv: list[str], needs: Needs) -> list[str]:
        write = ["--write", str(needs.write)] if needs.write else []
        net = ["--net", "host"] if needs.net else []
        return [program, "run", *write, *net, "--", *argv]

    return Variant(program, wrap)


def bwrap_wrap(argv: list[str], needs: Needs) -> list[str]:
    net = ["--share-net"] if needs.net else []
    write = ["--bind", str(needs.write), str(needs.write)] if needs.write else []
    return ["bwrap", "--unshare-all", *net, "--ro-bind", "/", "/", "--dev", "/dev",
            "--proc", "/proc", "--tmpfs", "/tmp", *write, "--", *argv]


def proot_wrap(argv: list[str], _needs: Needs) -> list[str]:
    return ["proot", "-r", "/", *argv]


def runsc_variant(state: Path, *flags: str) -> Variant:
    """`state` is ours, so that a killed sandbox leaves nothing in /var/run.

    Host networking only together with --rootless: as root, `runsc do` would otherwise build a
    bridge on the host (veth, iptables, ip_forward=1) and leave part of it behind.
    """

    def wrap(argv: list[str], needs: Needs) -> list[str]:
        network = ["--network=host", "--rootless"] if needs.net else ["--network=none"]
        write = ["-force-overlay=false"] if needs.write else []
        every = dict.fromkeys([*network, *flags])  # no flag twice
        return ["runsc", f"--root={state}", *every, "do", *write, "--", *argv]

    return Variant("runsc", wrap)


def runsc_variants(state: Path) -> list[Variant]:
    """systrap replaced ptrace in 2023 and is faster; old builds do not know it."""
    rights = [[], ["--ignore-cgroups"]] if os.geteuid() == 0 else [["--rootless"]]
    return [runsc_variant(state, f"--platform={platform}", *more)
            for platform in ("systrap", "ptrace") for more in rights]


def qemu_variant(program: str) -> Variant:
    def wrap(argv: list[str], _needs: Needs) -> list[str]:
        return [program, installed(argv[0]) or argv[0], *argv[1:]]

    return Variant(program, wrap)


def default_cerebro() -> str:
    return os.environ.get("CEREBRO", str(REPOSITORY / "build/src/cli/cerebro"))


def all_runners(cerebro: str, state: Path) -> list[Runner]:
    return [
        Runner("native", "no wrapper", [Variant("/bin/true", native_wrap)]),
        Runner("cerebro", "cerebro run, default view", [cerebro_variant(cerebro)]),
        Runner("bwrap", "bubblewrap, all namespaces, read-only /", [Variant("bwrap", bwrap_wrap)]),
        Runner("proot", "proot -r / (ptrace)", [
            Variant("proot", proot_wrap),
            Variant("proot", proot_wrap, {"PROOT_NO_SECCOMP": "1"})]),
        Runner("runsc", "gVisor's runsc do", runsc_variants(state)),
        Runner("qemu", "qemu-user; rows that start programs are left out",
               [qemu_variant("qemu-x86_64-static"), qemu_variant("qemu-x86_64")],
               first_program_only=True),
    ]
