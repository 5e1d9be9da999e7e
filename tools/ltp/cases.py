"""Which tests there are: the lists of the Linux Test Project, and where its programs lie."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

# pread02_64 and setuid01_16 are further builds of pread02 and setuid01; the two digits are the test's number, so
# that dup201 is the first test of dup2.
FAMILY = re.compile(r"_?\d\d(_\d\d?)?(_16|_64)?$")
SHELL = re.compile(r"[|&;<>$`*?~(){}\[\]]")


class BadLtp(Exception):
    """There is no Linux Test Project at that place; the text says what is missing."""


@dataclass(frozen=True)
class Case:
    """A line of a list: a name and a command."""

    name: str
    command: str

    @property
    def family(self) -> str:
        return FAMILY.sub("", self.name) or self.name

    @property
    def argv(self) -> list[str]:
        return ["/bin/sh", "-c", self.command] if SHELL.search(self.command) else shlex.split(self.command)


@dataclass(frozen=True)
class Ltp:
    """An installed Linux Test Project, or one that was built where its source is."""

    root: Path
    folders: tuple[Path, ...]  # of programs
    version: str

    @property
    def path(self) -> str:
        system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ":".join([*map(str, self.folders), system])


def parse_list(text: str) -> list[Case]:
    """Lines are "NAME COMMAND"; those that begin with # are comments."""
    cases = []
    for line in text.splitlines():
        words = line.split(None, 1)
        if words and not words[0].startswith("#"):
            cases.append(Case(words[0], words[1].strip() if len(words) > 1 else words[0]))
    return cases


def programs_in(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_file() and os.access(entry.path, os.X_OK) for entry in entries)


def folders_of(root: Path) -> tuple[Path, ...]:
    installed = root / "testcases/bin"
    if installed.is_dir():
        return (installed,)
    return tuple(Path(name) for name, _, _ in sorted(os.walk(root / "testcases")) if programs_in(Path(name)))


def open_ltp(root: Path) -> Ltp:
    root = root.resolve()
    if not (root / "runtest").is_dir():
        raise BadLtp(f"{root} has no folder runtest: it is no Linux Test Project, neither installed nor built")
    folders = folders_of(root)
    if not folders:
        raise BadLtp(f"{root} has no programs: build it first (make -C testcases/kernel/syscalls)")
    names = (root / "VERSION", root / "Version")
    version = next((name.read_text().strip() for name in names if name.is_file()), "unknown")
    return Ltp(root, folders, version)


def read_lists(ltp: Ltp, names: list[str]) -> list[Case]:
    cases: dict[str, Case] = {}
    for name in names:
        path = ltp.root / "runtest" / name
        if not path.is_file():
            raise BadLtp(f"there is no list {path}")
        for case in parse_list(path.read_text()):
            cases.setdefault(case.name, case)
    return list(cases.values())
