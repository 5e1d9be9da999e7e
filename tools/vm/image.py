"""Initramfs images: a file tree written as an uncompressed cpio archive, without root and without cpio(1)."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


class Tree:
    """What will be the root directory of a guest. All of it belongs to root."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        for name in ("dev", "proc", "sys", "tmp", "run", "mnt", "root", "etc", "bin", "lib"):
            self.folder(name)
        self.entries["dev/console"] = Entry(stat.S_IFCHR | 0o600, device=(5, 1))
        for name in ("sbin", "usr/bin", "usr/sbin"):
            self.link(name, "/bin")

    def folder(self, name: str, mode: int = 0o755) -> None:
        self.parents(name)
        self.entries.setdefault(name, Entry(stat.S_IFDIR | mode))

    def parents(self, name: str) -> None:
        for folder in reversed(Path(name).parents):
            if str(folder) != ".":
                self.entries.setdefault(str(folder), Entry(stat.S_IFDIR | 0o755))

    def link(self, name: str, target: str) -> None:
        self.parents(name)
        self.entries[name] = Entry(stat.S_IFLNK | 0o777, target.encode())

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        self.parents(name)
        self.entries[name] = Entry(stat.S_IFREG | mode, text.encode())

    def file(self, name: str, source: Path, mode: int | None = None) -> None:
        self.parents(name)
        found = stat.S_IMODE(source.stat().st_mode) if mode is None else mode
        self.entries[name] = Entry(stat.S_IFREG | found, source.read_bytes())

    def copy(self, source: Path, name: str = "", skip: tuple[str, ...] = ()) -> None:
        """All below a folder, links as links; `skip` are names of files and folders left out."""
        for folder, folders, files in os.walk(source):
            folders[:] = [word for word in folders if word not in skip]
            for word in [*files, *(f for f in folders if Path(folder, f).is_symlink())]:
                path = Path(folder, word)
                inside = str(Path(name) / path.relative_to(source))
                if word in skip or self.is_below_link(inside):
                    continue
                if path.is_symlink():
                    self.link(inside, str(path.readlink()))
                elif path.is_file():
                    self.file(inside, path)

    def is_below_link(self, name: str) -> bool:
        return any(stat.S_ISLNK(self.entries[str(folder)].mode) for folder in Path(name).parents
                   if str(folder) in self.entries)

    def write(self, path: Path) -> None:
        with open(path, "wb") as file:
            for number, (name, entry) in enumerate(self.entries.items(), 1):
                file.write(record(name, entry, number))
            file.write(record("TRAILER!!!", Entry(0), 0))


def record(name: str, entry: Entry, number: int) -> bytes:
    """One member in the format that the kernel reads (Documentation/driver-api/early-userspace/buffer-format)."""
    word = name.encode() + b"\0"
    fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(word), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + word
    return padded(head) + padded(entry.data)


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
