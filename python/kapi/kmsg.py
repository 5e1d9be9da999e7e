"""The kernel's log from /dev/kmsg, for machines without the module."""

from __future__ import annotations

from typing import Any, Dict, List

from .system import System

LEVELS = ("EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")
FACILITIES = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
              "authpriv", "ftp")


def parse(record: str) -> Dict[str, Any]:
    """One record of Documentation/ABI/testing/dev-kmsg: "prefix,seq,microseconds,flags;text"."""
    head, _, text = record.partition(";")
    prefix, _sequence, stamp = (head.split(",") + ["0", "0", "0"])[:3]
    number = int(prefix)
    facility = number >> 3
    return {"level": LEVELS[number & 7], "message": text.partition("\n")[0],
            "timestamp": int(stamp),
            "facility": FACILITIES[facility] if facility < len(FACILITIES) else str(facility)}


def records(system: System) -> List[Dict[str, Any]]:
    """All records that are there now. Raises OSError (EPERM, EACCES) where that is forbidden."""
    found = []
    for data in system.log_records():
        found.append(parse(data.decode("utf-8", "replace")))
    return found
