"""Numbers as people read them. Nothing here prints."""

from __future__ import annotations

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def format_bytes(bytes_value: int) -> str:
    """A number of bytes with one decimal and a unit of powers of 1024: ``"1.5 GB"``."""
    value = float(bytes_value)
    unit = 0
    while abs(value) >= 1024 and unit + 1 < len(_UNITS):
        value /= 1024
        unit += 1
    if unit == 0:
        return f"{int(bytes_value)} B"
    return f"{value:.1f} {_UNITS[unit]}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def format_time(seconds: int) -> str:
    """A time span in seconds by its two largest units: ``"2 hours, 30 minutes"``.

    Parts that are zero are left out; less than a second is ``"0 seconds"``.
    """
    rest = max(0, int(seconds))
    parts = []
    for word, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number, rest = divmod(rest, size)
        if number:
            parts.append(_counted(number, word))
        elif parts:
            break
    return ", ".join(parts[:2]) or "0 seconds"
