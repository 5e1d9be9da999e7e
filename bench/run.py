#!/usr/bin/python3
"""Cerebro beside native, bubblewrap, proot, gVisor and qemu-user: the same work, interleaved.

    bench/run.py                           everything (about ten minutes)
    bench/run.py --quick                   a smoke run (about a minute)
    bench/run.py --only stat,compile --runners native,cerebro --rounds 9
    bench/run.py --check --strict          exit status 1 when a goal is missed

Every round runs every workload under every runner, one after the other; the tables show medians
over the rounds and the median of the ratios within each round. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import goals
import report
from processes import Interrupted, Processes, become_reaper, ignore_signals, raise_on_signals
from runners import REPOSITORY, SYSTEM_PATH, Runner, all_runners, default_cerebro
from workloads import QUICK, Area, Failed, Sizes, Workload, all_workloads, install_micro

FULL_ROUNDS = 5
QUICK_ROUNDS = 3
PRIVATE = Path("/tmp")  # every sandbox has its own


@dataclass
class Run:
    """What has been measured so far; complete enough to print at any moment."""

    runners: list[Runner]
    workloads: list[Workload]
    samples: dict[str, dict[str, report.Series]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)  # (workload, runner)
    proofs: dict[str, tuple[str, str]] = field(default_factory=dict)  # workload: (runner, proof)

    def names(self) -> list[str]:
        return [runner.name for runner in self.runners]

    def failed_rows(self) -> set[tuple[str, str]]:
        rows = {workload.name: workload.rows() for workload in self.workloads}
        return {(row, runner) for name, runner in self.failures for row in rows[name]}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def names_option(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--only", type=names_option, metavar="NAME[,NAME]", help="these workloads")
    parser.add_argument("--runners", type=names_option, metavar="NAME[,NAME]", help="these runners")
    parser.add_argument("--rounds", type=positive, metavar="N")
    parser.add_argument("--pin", type=int, metavar="CPU", help="run everything on one CPU")
    parser.add_argument("--minima", action="store_true", help="also print the table of minima")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE",
                        help="write the tables between the bench marks of FILE")
    parser.add_argument("--cerebro", default=default_cerebro(), metavar="PATH")
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build", metavar="DIR")
    parser.add_argument("--check", action="store_true", help="compare with the goals")
    parser.add_argument("--strict", action="store_true", help="with --check: exit 1 on FAIL")
    parser.add_argument("--list", action="store_true", help="workloads and runners, then exit")
    return parser.parse_args(argv)


def select(wanted: list[str] | None, known: list, what: str) -> list:
    """Keeps the order of `known`, so that native comes first whatever the order asked for."""
    if wanted is None:
        return known
    if missing := set(wanted) - {item.name for item in known}:
        raise SystemExit(f"bench: no {what} named {', '.join(sorted(missing))} (see --list)")
    return [item for item in known if item.name in wanted]


def print_list(workloads: list[Workload], runners: list[Runner]) -> None:
    print("workloads:")
    for workload in workloads:
        print(f"  {workload.name:<16} {workload.about}")
    print("runners:")
    for runner in runners:
        print(f"  {runner.name:<16} {runner.about}")


def temporary_parent() -> Path:
    wanted = Path(os.environ.get("TMPDIR", "/var/tmp")).resolve()
    if wanted == PRIVATE or PRIVATE in wanted.parents:
        return Path("/var/tmp")  # guests could not see the data
    return wanted


def clean_environment(top: Path) -> dict[str, str]:
    """The same small environment for all, whatever the caller's shell has set."""
    return {
        "PATH": SYSTEM_PATH,
        "LANG": "C.UTF-8", "HOME": str(top / "data"), "TMPDIR": str(top / "work"),
        "PYTHONDONTWRITEBYTECODE": "1", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
    }


def usable_runners(runners: list[Runner], area: Area) -> list[Runner]:
    usable = []
    for runner in runners:
        if runner.settle(area.processes, area.env, area.data):
            usable.append(runner)
        else:
            print(f"skipped {runner.name}: {runner.reason}")
    return usable


def prepared(workloads: list[Workload], area: Area) -> list[Workload]:
    ready = []
    for workload in workloads:
        try:
            workload.prepare(area)
            ready.append(workload)
        except (Failed, OSError) as error:
            print(f"skipped {workload.name}: {error}")
    return ready


def check_proof(run: Run, workload: Workload, runner: Runner, proof: str) -> None:
    """A sandbox that finds nothing finds it fast: its result must be the first runner's."""
    first, wanted = run.proofs.setdefault(workload.name, (runner.name, proof))
    if not workload.agrees(proof, wanted):
        raise Failed(f"result {proof[:80]!r} differs from {first}'s {wanted[:80]!r}")


def measure_one(run: Run, area: Area, workload: Workload, runner: Runner, number: int) -> None:
    key = (workload.name, runner.name)
    if key in run.failures or (workload.starts_programs and runner.first_program_only):
        return
    try:
        samples, proof = workload.measure(area, runner)
        check_proof(run, workload, runner, proof)
    except (Failed, OSError) as error:
        run.failures[key] = str(error)
        for row in workload.rows():
            run.samples.get(row, {}).pop(runner.name, None)
        return
    for row, sample in samples.items():
        run.samples.setdefault(row, {}).setdefault(runner.name, {})[number] = sample


def warm_up(run: Run, area: Area) -> None:
    say("warming up")
    for workload in run.workloads:
        if not workload.warm_up or not run.runners:
            continue
        try:
            workload.measure(area, run.runners[0])
        except (Failed, OSError):
            pass  # the first round meets it again and reports it


def measure(run: Run, area: Area, rounds: int) -> None:
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}, load {report.load():.2f}")
        for workload in run.workloads:
            for runner in run.runners:
                measure_one(run, area, workload, runner, number)


def tables(run: Run, minima: bool) -> list[tuple[str, list[list[str]]]]:
    table = report.summarise_all(run.samples)
    wanted = [("median", "Median, ratio to native, noise (p25 to p75 over the median)"),
              ("cpu", "CPU time of all processes, ratio to native")]
    if minima:
        wanted.insert(1, ("minimum", "Minimum, ratio to native's minimum"))
    grids = [(title, report.grid(table, run.names(), what, run.failed_rows()))
             for what, title in wanted]
    return [(title, lines) for title, lines in grids if lines]


def print_failures(run: Run) -> None:
    for (workload, runner), why in run.failures.items():
        print(f"failed {workload} under {runner}: {why}")


def print_commands(runners: list[Runner], area: Area) -> None:
    for runner in runners:
        if runner.name != "native" and runner.chosen:
            command = " ".join(runner.command(["PROGRAM"], Workload().needs(area)))
            env = " ".join(f"{key}={value}" for key, value in runner.chosen.env.items())
            print(f"{runner.name}: {env + ' ' if env else ''}{command}")


def write_json(path: Path, run: Run, facts: dict[str, object]) -> None:
    rows = report.as_json(report.summarise_all(run.samples))
    failures = [{"workload": workload, "runner": runner, "reason": why}
                for (workload, runner), why in run.failures.items()]
    path.write_text(json.dumps({"facts": facts, "unit": "seconds", "rows": rows,
                                "failures": failures}, indent=1) + "\n")


def publish(run: Run, options: argparse.Namespace, before: float, rounds: int) -> int:
    facts, after = report.machine_facts(), report.load()
    head = report.header(facts, before, after, rounds)
    shown = tables(run, options.minima)
    print(f"\n{head}")
    for title, lines in shown:
        print(f"\n{title}\n{report.align(lines)}")
    print_failures(run)
    if options.json:
        write_json(options.json, run, {**facts, "load_before": before, "load_after": after,
                                       "rounds": rounds, "quick": options.quick})
    if options.markdown:
        parts = [head, *(f"{title}:\n\n{report.markdown(lines)}" for title, lines in shown)]
        report.replace_block(options.markdown, "\n\n".join(parts))
    return judge(run, options) if options.check else 0


def judge(run: Run, options: argparse.Namespace) -> int:
    lines, missed = goals.check(report.summarise_all(run.samples))
    print("\n" + "\n".join(lines))
    return 1 if missed and options.strict else 0


def bench(options: argparse.Namespace, area: Area, workloads: list[Workload],
          runners: list[Runner]) -> int:
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else FULL_ROUNDS)
    before = report.load()
    if warning := report.load_warning(before):
        print(warning)
    usable = usable_runners(runners, area)
    install_micro(area, options.build)
    run = Run(usable, prepared(workloads, area))
    print_commands(usable, area)
    try:
        warm_up(run, area)
        measure(run, area, rounds)
    except Interrupted as stopped:
        publish(run, options, before, rounds)
        print(f"stopped by {stopped}: the tables are incomplete")
        return 130
    return publish(run, options, before, rounds)


def run_in_temporary_area(options: argparse.Namespace, workloads: list[Workload]) -> int:
    processes = Processes()
    top = Path(tempfile.mkdtemp(prefix="cerebro-bench-", dir=temporary_parent()))
    try:
        area = Area(top, QUICK if options.quick else Sizes(), clean_environment(top), processes)
        top.chmod(0o755)  # runsc's sandbox process runs as nobody
        area.data.mkdir()
        area.work.mkdir()
        runners = select(options.runners, all_runners(options.cerebro, top / "runsc"), "runner")
        return bench(options, area, workloads, runners)
    except (Interrupted, Failed) as stopped:
        say(f"bench: {stopped}")
        return 130 if isinstance(stopped, Interrupted) else 1
    finally:
        ignore_signals()
        processes.stop_all()
        shutil.rmtree(top, ignore_errors=True)


def main(argv: list[str]) -> int:
    options = parse_arguments(argv)
    workloads = select(options.only, all_workloads(), "workload")
    if options.list:
        print_list(workloads, all_runners(options.cerebro, Path("runsc")))
        return 0
    if options.markdown and not report.can_replace_block(options.markdown):
        raise SystemExit(f"bench: {options.markdown} has no line '{report.BEGIN_MARK}'")
    if options.pin is not None:
        os.sched_setaffinity(0, {options.pin})
    become_reaper()
    raise_on_signals()
    return run_in_temporary_area(options, workloads)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
