"""Debian's package mirror, used beside the host: nothing is installed and no host name is known.

Each suite has apt directories of its own below the cache, so a suite that has vanished spoils no other. The base
addresses and the keyring are those of the host's own apt sources, whatever they are.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INDEX_SECONDS = 6 * 3600  # an index younger than this is new enough
APT_SECONDS = 240


class Unavailable(Exception):
    """Something cannot be had here (no network, no such suite); its text is the reason of a skip."""


@dataclass(frozen=True)
class Source:
    uri: str
    suites: tuple[str, ...]
    signed_by: str


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    depends: tuple[str, ...]


def run(argv: list[str], timeout: float = APT_SECONDS, cwd: Path | None = None,
        env: dict[str, str] | None = None) -> str:
    """Output of a program; Unavailable with the end of its words when it fails."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd,
                              timeout=timeout, env=env, errors="replace", check=False)
    except FileNotFoundError as error:
        raise Unavailable(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{argv[0]}: no end after {timeout:.0f} seconds") from error
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"{argv[0]}: {words[-1] if words else f'status {done.returncode}'}")
    return done.stdout


def scratch(what: str) -> tempfile.TemporaryDirectory:
    """A folder that goes with the `with` statement; below TMPDIR, so that whoever started us can remove all of it."""
    return tempfile.TemporaryDirectory(prefix=f"cerebro-test-{what}-", dir=os.environ.get("TMPDIR") or "/var/tmp")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One run at a time in a folder of the cache; another run waits and then finds it done."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def host_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    files = sorted(etc.glob("sources.list.d/*"))
    found = []
    for path in [etc / "sources.list", *files]:
        if path.suffix == ".list" and path.is_file():
            found += list(one_line_sources(path.read_text()))
        elif path.suffix == ".sources":
            found += list(stanza_sources(path.read_text()))
    return found


def one_line_sources(text: str) -> Iterator[Source]:
    for match in re.finditer(r"^deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)", text, re.M):
        signed = re.search(r"signed-by=(\S+)", match[1] or "", re.I)
        yield Source(match[2].rstrip("/"), (match[3].rstrip("/"),), signed[1] if signed else "")


def stanza_sources(text: str) -> Iterator[Source]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        keys = {key.lower(): value.strip() for key, value in re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.M)}
        if "deb" not in keys.get("types", "").split() or keys.get("enabled", "yes").lower() == "no":
            continue
        key = keys.get("signed-by", "")
        for uri in keys.get("uris", "").split():
            yield Source(uri.rstrip("/"), tuple(keys.get("suites", "").split()), key if key.startswith("/") else "")


def host_codename(path: Path = Path("/etc/os-release")) -> str:
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", path.read_text() if path.exists() else "", re.M)
    if not found:
        raise Unavailable("this host's distribution has no code name in /etc/os-release")
    return found[1]


def base_source(security: bool, sources: list[Source] | None = None, codename: str | None = None) -> Source:
    """The host's source of the archive, or of its security updates, without regard to the suite."""
    codename = codename or host_codename()
    wanted = {f"{codename}-security", f"{codename}/updates"} if security else {codename}
    for source in host_sources() if sources is None else sources:
        if wanted & set(source.suites):
            return source
    kind = "security updates" if security else "packages"
    raise Unavailable(f"the host's apt sources name no place for Debian's {kind}")


class Suite:
    """One suite of the mirror with apt directories of its own."""

    def __init__(self, cache: Path, name: str) -> None:
        self.name = name
        self.root = cache / "apt" / name
        self.source = base_source(security=name.endswith("-security"))

    def options(self) -> list[str]:
        root = self.root
        settings = {
            "Dir::State": root / "state", "Dir::State::lists": root / "state/lists",
            "Dir::State::status": root / "state/status", "Dir::Cache": root / "cache",
            "Dir::Etc::sourcelist": root / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Languages": "none", "Acquire::Retries": "2", "APT::Architecture": "amd64",
            "APT::Architectures": "amd64", "APT::Sandbox::User": "", "Acquire::PDiffs": "false",
            "Acquire::http::Timeout": "30", "APT::Get::List-Cleanup": "false",
        }
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def prepare(self) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "state/status").touch()
        signed = f" signed-by={self.source.signed_by}" if self.source.signed_by else ""
        self.root.joinpath("sources.list").write_text(
            f"deb [arch=amd64{signed}] {self.source.uri} {self.name} main\n")

    def update(self) -> None:
        """Brings the index when it is old. An old one is good enough when there is no network."""
        stamp = self.root / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < INDEX_SECONDS:
            return
        self.prepare()
        try:
            run(["apt-get", *self.options(), "-o", "APT::Update::Error-Mode=any", "-q", "update"])
        except Unavailable as error:
            if not stamp.exists():
                raise Unavailable(f"no index of {self.name}: {error}") from error
            return
        stamp.touch()

    def packages(self, prefix: str, pattern: str = ".*") -> list[Package]:
        """Packages whose name is the prefix and then something that the pattern matches wholly, in no order."""
        names = run(["apt-cache", *self.options(), "pkgnames", prefix]).split()
        wanted = [name for name in names if re.fullmatch(pattern, name.removeprefix(prefix))]
        return self.show(wanted) if wanted else []

    def show(self, names: list[str]) -> list[Package]:
        text = run(["apt-cache", *self.options(), "show", "--no-all-versions", *names])
        found = []
        for stanza in text.split("\n\n"):
            keys = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", stanza, re.M))
            if "Package" in keys:
                depends = re.split(r"\s*[,|]\s*", keys.get("Depends", ""))
                found.append(Package(keys["Package"], keys["Version"],
                                     tuple(word.split()[0].split(":")[0] for word in depends if word)))
        return found

    def download(self, names: list[str]) -> list[Path]:
        """The .deb files, from the cache where they are; apt checks signatures and hashes."""
        folder = self.root / "cache/archives"
        found = []
        for package in self.show(names):
            stem = f"{package.name}_{package.version.replace(':', '%3a')}_"
            if not list(folder.glob(f"{stem}*.deb")):
                for old in folder.glob(f"{package.name}_*.deb"):
                    old.unlink()
                run(["apt-get", *self.options(), "-q", "download", f"{package.name}={package.version}"], cwd=folder)
            found += list(folder.glob(f"{stem}*.deb"))
        if len(found) < len(names):
            raise Unavailable(f"{self.name} has not all of {' '.join(names)}")
        return found


def unpack(files: list[Path], target: Path) -> None:
    """Unpacks packages into a new folder; a cut leaves no half of it under its name."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for path in files:
        run(["dpkg", "-x", str(path), str(partial)])
    partial.rename(target)
