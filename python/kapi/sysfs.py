"""Hardware, read from /sys: for machines without the module. Keys and units as the device's."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional

from .system import System

Values = Dict[str, Any]

SECTOR = 512  # the unit of /sys/block and /proc/diskstats, whatever the disk's own is


def _text(system: System, path: Path) -> str:
    try:
        return system.read(path).strip()
    except OSError:
        return ""


def _number(system: System, path: Path, base: int = 10) -> int:
    try:
        return int(_text(system, path) or "0", base)
    except ValueError:
        return 0


def _names(system: System, path: Path) -> List[str]:
    try:
        return system.names(path)
    except FileNotFoundError:
        return []


# ---- PCI ----

def _base_addresses(system: System, path: Path) -> List[int]:
    lines = _text(system, path / "resource").splitlines()[:6]
    starts = [int(line.split()[0], 16) for line in lines if line.split()]
    return (starts + [0] * 6)[:6]


def _pci_device(system: System, path: Path) -> Values:
    vendor = _number(system, path / "vendor", 16)
    device = _number(system, path / "device", 16)
    return {
        "vendor_id": vendor, "device_id": device,
        "subsystem_vendor": _number(system, path / "subsystem_vendor", 16),
        "subsystem_device": _number(system, path / "subsystem_device", 16),
        "device_name": f"{path.name} {vendor:04x}:{device:04x}", "vendor_name": f"{vendor:04x}",
        "class_code": _number(system, path / "class", 16),
        "revision": _number(system, path / "revision", 16),
        "base_addr": _base_addresses(system, path), "irq": _number(system, path / "irq"),
    }


def pci_devices(system: System) -> List[Values]:
    folder = system.sys / "bus/pci/devices"
    return [_pci_device(system, folder / name) for name in _names(system, folder)]


# ---- disks ----

def _disk(system: System, path: Path) -> Values:
    counters = [int(word) for word in _text(system, path / "stat").split()] + [0] * 17
    return {
        "name": path.name.replace("!", "/"),
        "size": _number(system, path / "size") * SECTOR,
        "queue_depth": _number(system, path / "queue/nr_requests"),
        "read_ios": counters[0], "read_sectors": counters[2],
        "write_ios": counters[4], "write_sectors": counters[6],
        "discard_ios": counters[11], "discard_sectors": counters[13],
        "model": _text(system, path / "device/model"),
        "serial": _text(system, path / "device/serial") or _text(system, path / "serial"),
    }


def block_devices(system: System) -> List[Values]:
    """Whole disks, not partitions."""
    folder = system.sys / "block"
    return [_disk(system, folder / name) for name in _names(system, folder)]


# ---- thermal zones ----

def _cooling_device(system: System, zone: Path) -> str:
    for name in _names(system, zone):
        if re.fullmatch(r"cdev\d+", name):
            return _text(system, zone / name / "type")
    return ""


def _trips(system: System, zone: Path) -> Dict[str, List[int]]:
    """Temperatures of the trip points by their type, in the order of their numbers."""
    found: Dict[str, List[int]] = {"": []}
    for number in range(64):
        kind = _text(system, zone / f"trip_point_{number}_type")
        if not kind:
            break
        value = _number(system, zone / f"trip_point_{number}_temp")
        found[""].append(value)
        found.setdefault(kind, []).append(value)
    return found


def _zone(system: System, zone: Path) -> Values:
    trips = _trips(system, zone)
    hot: List[int] = trips.get("hot") or trips.get("passive") or trips[""]
    return {
        "type": _text(system, zone / "type"), "temperature": _number(system, zone / "temp"),
        "critical_temp": max(trips.get("critical", [0])), "max_temp": max(hot, default=0),
        "cooling_device": _cooling_device(system, zone), "trip_point_count": len(trips[""]),
        "trip_temps": (trips[""] + [0] * 10)[:10],
    }


def thermal_zones(system: System) -> List[Values]:
    folder = system.sys / "class/thermal"
    return [_zone(system, folder / name) for name in _names(system, folder)
            if name.startswith("thermal_zone")]


# ---- names of PCI devices, which the kernel does not have ----

class PciNames:
    """Vendor and device names from the database that Debian's pci.ids package installs."""

    PLACES = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids")

    def __init__(self, path: Optional[str] = None) -> None:
        places = (path,) if path else self.PLACES
        self._path = next((place for place in places if os.path.exists(place)), None)
        self._names: Optional[Dict[int, str]] = None

    def _load(self) -> Dict[int, str]:
        """Vendors under their number, devices under vendor * 65536 + device + 2**32."""
        names: Dict[int, str] = {}
        vendor = -1
        if self._path is None:
            return names
        with open(self._path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("C "):  # classes follow
                    break
                match = re.match(r"(\t?)([0-9a-f]{4})  (.+)$", line)
                if match and not match.group(1):
                    vendor = int(match.group(2), 16)
                    names[vendor] = match.group(3)
                elif match and vendor >= 0:
                    names[2**32 + vendor * 65536 + int(match.group(2), 16)] = match.group(3)
        return names

    def vendor(self, vendor: int) -> str:
        """Name of a vendor, "" when it is not known."""
        if self._names is None:
            self._names = self._load()
        return self._names.get(vendor, "")

    def device(self, vendor: int, device: int) -> str:
        """Name of a device, "" when it is not known."""
        if self._names is None:
            self._names = self._load()
        return self._names.get(2**32 + vendor * 65536 + device, "")
