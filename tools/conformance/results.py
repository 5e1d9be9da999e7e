"""What the suite says of its checks, what is expected of them, and what both make together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

PASS, SKIP, FAIL = "pass", "skip", "fail"
LINE = re.compile(r"^(pass|fail|skip) ([\w-]+\.\w+)(?: (.*))?$")
USERS = ("user", "root")


class BadSuite(Exception):
    """The suite or the list of expectations cannot be used."""


@dataclass(frozen=True)
class End:
    verdict: str
    reason: str = ""


def family_of(name: str) -> str:
    return name.partition(".")[0]


def parse_output(text: str) -> dict[str, End]:
    found = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            found[match[2]] = End(match[1], match[3] or "")
    return found


def complete(ends: dict[str, End], names: Iterable[str], why: str) -> dict[str, End]:
    """A check that said nothing has failed: its runner ended before it, or was ended."""
    return {name: ends.get(name, End(FAIL, why)) for name in names}


# ---- what is expected to fail ----

@dataclass(frozen=True)
class Expectation:
    """A check that passes natively and is known not to pass under a process kernel."""

    name: str
    places: tuple[str, ...]  # "memory", "root:host", "*"
    reason: str
    sometimes: bool = False  # may pass as well

    def holds(self, name: str, user: str, way: str) -> bool:
        return self.name == name and any(
            place in ("*", way, f"{user}:*", f"{user}:{way}") for place in self.places)


def parse_expectation(line: str, ways: Iterable[str]) -> Expectation:
    words = line.split(None, 2)
    if len(words) < 3:
        raise BadSuite(f"a name, its ways and a reason are wanted: {line!r}")
    name, places, reason = words
    known = {"*", *ways}
    for place in places.split(","):
        user, colon, way = place.rpartition(":")
        if way not in known or (colon and user not in USERS):
            raise BadSuite(f"there is no way {place!r}: {line!r}")
    return Expectation(name.rstrip("?"), tuple(places.split(",")), reason, name.endswith("?"))


def read_expectations(path: Path, ways: Iterable[str]) -> list[Expectation]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise BadSuite(f"{path}: {error.strerror}") from error
    return [parse_expectation(line, ways) for line in lines if line.strip() and not line.startswith("#")]


# ---- comparing ----

@dataclass
class Comparison:
    """One way to run the suite beside the native one."""

    user: str
    way: str
    passing: set[str] = field(default_factory=set)     # natively
    differing: dict[str, End] = field(default_factory=dict)  # passes natively, not this way
    expected: dict[str, str] = field(default_factory=dict)   # of these: name and reason
    surprises: dict[str, str] = field(default_factory=dict)  # passes although it is expected to fail

    @property
    def unexpected(self) -> dict[str, End]:
        return {name: end for name, end in self.differing.items() if name not in self.expected}

    def passes_of(self, family: str) -> int:
        return sum(1 for name in self.passing - set(self.differing) if family_of(name) == family)


def compare(native: dict[str, End], under: dict[str, End], user: str, way: str,
            expectations: list[Expectation]) -> Comparison:
    result = Comparison(user, way, {name for name, end in native.items() if end.verdict == PASS})
    for name in sorted(result.passing):
        known = next((each for each in expectations if each.holds(name, user, way)), None)
        if under[name].verdict != PASS:
            result.differing[name] = under[name]
            if known:
                result.expected[name] = known.reason
        elif known and not known.sometimes:
            result.surprises[name] = known.reason
    return result


def unknown_names(expectations: list[Expectation], names: Iterable[str]) -> list[str]:
    known = set(names)
    return sorted({each.name for each in expectations} - known)
