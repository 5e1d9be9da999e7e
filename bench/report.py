"""Samples into summaries, summaries into tables; and the facts about the machine."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

BUSY_LOAD = 0.5
BEGIN_MARK = "<!-- bench:begin -->"
END_MARK = "<!-- bench:end -->"


@dataclass(frozen=True)
class Sample:
    """One measurement of one row under one runner, in seconds (per operation for micro rows)."""

    value: float
    low: float
    cpu: float | None = None


@dataclass(frozen=True)
class Summary:
    median: float
    low: float
    p25: float
    p75: float
    rounds: int
    ratio: float | None = None
    low_ratio: float | None = None
    cpu: float | None = None
    cpu_ratio: float | None = None

    @property
    def noise(self) -> float:
        return (self.p75 - self.p25) / self.median if self.median else 0.0


# round number -> sample; rounds are kept apart because ratios are taken within a round
Series = dict[int, Sample]
Table = dict[str, dict[str, Summary]]  # row -> runner -> summary


def quantile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between the two nearest ranks."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def paired_ratio(values: dict[int, float], base: dict[int, float]) -> float | None:
    """Median of the ratios within each round: what slowed the whole round cancels out."""
    ratios = [values[n] / base[n] for n in values if base.get(n)]
    return statistics.median(ratios) if ratios else None


def summarise(series: Series, native: Series | None) -> Summary:
    values = {n: s.value for n, s in series.items()}
    cpus = {n: s.cpu for n, s in series.items() if s.cpu is not None}
    base = {n: s.value for n, s in (native or {}).items()}
    base_cpus = {n: s.cpu for n, s in (native or {}).items() if s.cpu is not None}
    low = min(s.low for s in series.values())
    base_low = min((s.low for s in (native or {}).values()), default=0.0)
    return Summary(
        median=statistics.median(values.values()), low=low,
        p25=quantile(list(values.values()), 0.25), p75=quantile(list(values.values()), 0.75),
        rounds=len(values), ratio=paired_ratio(values, base),
        low_ratio=low / base_low if base_low else None,
        cpu=statistics.median(cpus.values()) if cpus else None,
        cpu_ratio=paired_ratio(cpus, base_cpus))


def summarise_all(samples: dict[str, dict[str, Series]]) -> Table:
    return {row: {name: summarise(series, by_runner.get("native"))
                  for name, series in by_runner.items() if series}
            for row, by_runner in samples.items()}


def duration(seconds: float) -> str:
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{three_digits(seconds * factor)} {unit}"
    return f"{three_digits(seconds)} s"


def three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}"


def ratio_text(ratio: float | None) -> str:
    return "" if ratio is None else f"x{ratio:.2f}"


def median_cell(name: str, summary: Summary) -> str:
    parts = [duration(summary.median), "" if name == "native" else ratio_text(summary.ratio),
             f"±{summary.noise:.0%}" if summary.rounds > 1 else ""]
    return " ".join(part for part in parts if part)


def low_cell(name: str, summary: Summary) -> str:
    return f"{duration(summary.low)} {'' if name == 'native' else ratio_text(summary.low_ratio)}"


def cpu_cell(name: str, summary: Summary) -> str:
    if summary.cpu is None:
        return "-"
    return f"{duration(summary.cpu)} {'' if name == 'native' else ratio_text(summary.cpu_ratio)}"


CELLS = {"median": median_cell, "minimum": low_cell, "cpu": cpu_cell}


def grid(table: Table, runners: list[str], what: str,
         failed: set[tuple[str, str]]) -> list[list[str]]:
    """`failed` holds (row, runner) pairs, so that a failure is told from "not asked"."""
    lines = [["workload", *runners]]
    rows = [row for row, cells in table.items()
            if what != "cpu" or any(s.cpu is not None for s in cells.values())]
    for row in rows:
        line = [row]
        for name in runners:
            summary = table[row].get(name)
            empty = "failed" if (row, name) in failed else "-"
            line.append(CELLS[what](name, summary).strip() if summary else empty)
        lines.append(line)
    return lines if rows else []


def align(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in lines)


def markdown(lines: list[list[str]]) -> str:
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    rows.insert(1, "|" + "---|" * len(lines[0]))
    return "\n".join(rows)


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine_facts() -> dict[str, str | int]:
    return {"cpu": cpu_model(), "cores": os.cpu_count() or 0, "kernel": platform.release(),
            "machine": platform.machine()}


def load() -> float:
    return os.getloadavg()[0]


def header(facts: dict[str, str | int], before: float, after: float, rounds: int) -> str:
    return (f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, {rounds} rounds, "
            f"load {before:.2f} before, {after:.2f} after")


def load_warning(before: float) -> str:
    if before <= BUSY_LOAD:
        return ""
    return (f"warning: the load average was {before:.2f} at the start: somebody else uses the "
            "machine; trust ratios more than times, and low noise more than either")


def as_json(table: Table) -> dict[str, dict[str, dict[str, object]]]:
    return {row: {name: {**asdict(summary), "noise": summary.noise}
                  for name, summary in cells.items()} for row, cells in table.items()}


def replace_block(path: Path, block: str) -> None:
    """Between the marks only: the rest of the page belongs to whoever wrote it."""
    marked = f"{BEGIN_MARK}\n{block}\n{END_MARK}"
    if not path.exists():
        path.write_text(marked + "\n")
        return
    head, _, rest = path.read_text().partition(BEGIN_MARK)
    path.write_text(head + marked + rest.partition(END_MARK)[2])


def can_replace_block(path: Path) -> bool:
    if not path.exists():
        return path.parent.is_dir()
    head, begin, rest = path.read_text().partition(BEGIN_MARK)
    return bool(begin) and END_MARK in rest
