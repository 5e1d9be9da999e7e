"""How a test ended, and what two ends make of a pair."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field

from .cases import Case

PASS, SKIP, FAIL, TIMEOUT, ABSENT = "pass", "skip", "fail", "timeout", "absent"
TCONF = 32  # the exit status that says: not to be tested here
TROUBLE = re.compile(r"\b(TFAIL|TBROK|TWARN)\b|^cerebro: ")
NOT_HERE = re.compile(r"\bTCONF\b")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINE_LENGTH = 240


@dataclass(frozen=True)
class End:
    """One run of one test."""

    verdict: str
    status: int | None = None  # negative: the signal that ended it; None: it did not end, or never began
    seconds: float = 0.0
    line: str = ""             # the first that tells of trouble


def verdict_of(status: int | None) -> str:
    if status is None:
        return TIMEOUT
    return {0: PASS, TCONF: SKIP}.get(status, FAIL)


def telling_line(output: str, verdict: str) -> str:
    """The first line that says why a test did not pass, else the last that says anything."""
    if verdict == PASS:
        return ""
    lines = [line.strip() for line in COLOUR.sub("", output).splitlines() if line.strip()]
    wanted = NOT_HERE if verdict == SKIP else TROUBLE
    found = next((line for line in lines if wanted.search(line)), lines[-1] if lines else "")
    return found[:LINE_LENGTH]


@dataclass
class Pair:
    """One test natively and under a process kernel. `under` is None where the test does not pass natively."""

    case: Case
    native: End
    under: End | None = None
    tries: int = 1

    @property
    def counts(self) -> bool:
        return self.native.verdict == PASS

    @property
    def differs(self) -> bool:
        return self.counts and self.under is not None and self.under.verdict != PASS

    def record(self) -> dict:
        return {"name": self.case.name, "command": self.case.command, "family": self.case.family,
                "native": asdict(self.native), "under": asdict(self.under) if self.under else None,
                "tries": self.tries}


@dataclass
class Summary:
    """Counts over many pairs."""

    native: Counter = field(default_factory=Counter)  # of verdicts
    passing: int = 0  # natively
    under: int = 0    # of these

    def add(self, pair: Pair) -> None:
        self.native[pair.native.verdict] += 1
        self.passing += pair.counts
        self.under += pair.counts and not pair.differs

    @property
    def share(self) -> float:
        return 100.0 * self.under / self.passing if self.passing else 0.0


def summarise(pairs: list[Pair]) -> tuple[Summary, dict[str, Summary]]:
    total, families = Summary(), {}
    for pair in pairs:
        total.add(pair)
        families.setdefault(pair.case.family, Summary()).add(pair)
    return total, families


def describe_end(end: End) -> str:
    if end.verdict == TIMEOUT:
        return "did not end"
    if end.verdict == ABSENT:
        return "no such program"
    return f"signal {-end.status}" if end.status is not None and end.status < 0 else f"status {end.status}"
