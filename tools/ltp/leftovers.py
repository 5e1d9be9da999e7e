"""System V objects, which outlive the processes that made them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

OPTIONS = {"shm": "-m", "sem": "-s", "msg": "-q"}  # of ipcrm(1)


def parse_objects(text: str, uid: int) -> set[int]:
    """The numbers in a file of /proc/sysvipc that belong to a user."""
    head, *lines = text.splitlines() or [""]
    columns = head.split()
    number = next((i for i, name in enumerate(columns) if name.endswith("id")), 1)
    owner = columns.index("uid") if "uid" in columns else -1
    rows = [line.split() for line in lines]
    return {int(row[number]) for row in rows if owner >= 0 and int(row[owner]) == uid}


def own_objects() -> set[tuple[str, int]]:
    found = set()
    for kind in OPTIONS:
        path = Path("/proc/sysvipc", kind)
        text = path.read_text() if path.exists() else ""
        found |= {(kind, number) for number in parse_objects(text, os.geteuid())}
    return found


def remove_new(before: set[tuple[str, int]]) -> None:
    """Removes what this user's processes have made since then."""
    for kind, number in own_objects() - before:
        subprocess.run(["ipcrm", OPTIONS[kind], str(number)], capture_output=True, check=False)
