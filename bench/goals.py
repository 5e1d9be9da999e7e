"""What Cerebro promises about speed, as checks on a finished table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from report import Summary, Table, duration

# A verdict: held or not (None: cannot be judged), and the numbers behind it.
Verdict = tuple[bool | None, str]


@dataclass(frozen=True)
class Goal:
    text: str
    judge: Callable[[Table], Verdict]


def find(table: Table, row: str, runner: str) -> Summary | None:
    return table.get(row, {}).get(runner)


def ratio_at_most(row: str, limit: float) -> Goal:
    def judge(table: Table) -> Verdict:
        got = find(table, row, "cerebro")
        if not got or got.ratio is None:
            return None, "not measured"
        return got.ratio <= limit, f"x{got.ratio:.2f}"

    return Goal(f"{row}: at most x{limit:.2f} of native", judge)


def time_at_most(row: str, limit: float) -> Goal:
    def judge(table: Table) -> Verdict:
        got = find(table, row, "cerebro")
        if not got:
            return None, "not measured"
        return got.median <= limit, duration(got.median)

    return Goal(f"{row}: at most {duration(limit)}", judge)


def times_faster(row: str, other: str, times: float) -> Goal:
    def judge(table: Table) -> Verdict:
        ours, theirs = find(table, row, "cerebro"), find(table, row, other)
        if not ours or not theirs:
            return None, "not measured"
        return (theirs.median >= times * ours.median,
                f"{duration(ours.median)} against {duration(theirs.median)}")

    how = f"at least {times:g} times faster than" if times != 1 else "not slower than"
    return Goal(f"{row}: {how} {other}", judge)


GOALS = [
    *(ratio_at_most(row, 1.10) for row in ("pread-4k", "pipe", "pipe-1cpu", "futex-wake",
                                           "futex-pingpong", "fork")),
    ratio_at_most("exec-static", 1.30),
    ratio_at_most("exec-dynamic", 1.30),
    times_faster("start-true", "bwrap", 1),
    time_at_most("stat", 10e-6),
    time_at_most("open-close", 12e-6),
    *(times_faster(row, other, 3) for row in ("stat", "open-close")
      for other in ("proot", "runsc")),
    ratio_at_most("compile", 1.25),
    ratio_at_most("python-start", 1.35),
]


def check(table: Table) -> tuple[list[str], int]:
    """The lines to print and how many goals were missed."""
    words = {True: "PASS", False: "FAIL", None: "SKIP"}
    lines, missed = [], 0
    for goal in GOALS:
        held, detail = goal.judge(table)
        missed += held is False
        lines.append(f"{words[held]}  {goal.text}  ({detail})")
    return lines, missed
