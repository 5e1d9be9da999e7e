"""The kernels that the module is tested on: which there are, where they come from, how to build a module for one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .mirror import Suite, Unavailable, locked, run, scratch, unpack

FLAVOUR = "cloud-amd64"
BUILD_SECONDS = 300


@dataclass(frozen=True)
class Line:
    """A line of kernels, of which the newest is taken."""

    name: str
    suites: tuple[str, ...]  # all of them are looked at
    series: str              # what the version begins with; "" for any


LINES = (
    Line("5.10", ("bullseye-security", "bullseye"), "5.10."),
    Line("6.1", ("bookworm-security", "bookworm"), "6.1."),
    Line("6.12", ("bookworm-security", "trixie-security", "trixie"), "6.12."),
    Line("newest", ("trixie-backports", "forky", "sid"), ""),
)
# Where the C library of a suite's build tools is, when the host's is too old for them.
RELEASES = {"trixie-backports": "trixie", "trixie-security": "trixie", "bookworm-security": "bookworm",
            "bullseye-security": "bullseye"}
LIBRARIES = ("libc6", "libelf1t64", "zlib1g", "libssl3t64", "libzstd1")
# What the kernel's own compiler can do and the host's perhaps not: a flag or a line of C tells.
FEATURES = {
    "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT": (("-fmin-function-alignment=16",), "int x;"),
    "CONFIG_CC_HAS_COUNTED_BY": ((), "struct s { int n; int a[] __attribute__((__counted_by__(n))); };"),
    "CONFIG_CC_HAS_COUNTED_BY_PTR": ((), "struct s { int n; int *a __attribute__((__counted_by__(n))); };"),
    "CONFIG_CC_HAS_ASSUME": ((), "void f(int x) { __attribute__((__assume__(x > 0))); }"),
    "CONFIG_CC_HAS_MULTIDIMENSIONAL_NONSTRING":
        ((), 'char a[1][2] __attribute__((__nonstring__)) = { "ab" };'),
    "CONFIG_CC_HAS_NAMED_AS_FIXED_SANITIZERS": (("-fsanitize=kernel-address",), "__seg_gs int *x;"),
    "CONFIG_CC_HAS_NAMED_AS": ((), "int __seg_gs *x;"),
    "CONFIG_CC_HAS_ZERO_CALL_USED_REGS": (("-fzero-call-used-regs=used-gpr",), "int x;"),
    "CONFIG_CC_HAS_SLS": (("-mharden-sls=all",), "int x;"),
    "CONFIG_CC_HAS_RETURN_THUNK": (("-mfunction-return=thunk-extern",), "int x;"),
    "CONFIG_CC_HAS_ENTRY_PADDING": (("-fpatchable-function-entry=16,16",), "int x;"),
    "CONFIG_CC_HAS_TYPEOF_UNQUAL": ((), "__typeof_unqual__(1) x;"),
    "CONFIG_CC_HAS_BROKEN_COUNTED_BY_REF": (("-Dnever_needed",), "#error"),
}


@dataclass(frozen=True)
class Kernel:
    line: str       # as in LINES
    release: str    # as uname -r says it
    version: str    # of the package
    root: Path      # where its packages are unpacked
    origin: str     # the suite
    image: Path
    headers: Path   # what modules are built with

    @property
    def warns(self) -> bool:
        """Whether the module has to be built with W=1 there."""
        return self.line == "6.12"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", version))


@dataclass(frozen=True)
class Candidate:
    suite: Suite
    release: str
    version: str
    packages: tuple[str, ...]


def candidates(suite: Suite, series: str) -> list[Candidate]:
    """Releases of the suite with all that is needed; headers may be there before their signed image is."""
    found = []
    for package in suite.packages(f"linux-headers-{series}", rf"[\w.+~-]*-{FLAVOUR}"):
        base = package.name.removeprefix("linux-headers-").removesuffix(f"-{FLAVOUR}")
        if not re.match(r"\d+\.\d+\.\d+", base):
            continue
        release = f"{base}-{FLAVOUR}"
        image = image_package(suite, release)
        parts = [name for name in package.depends
                 if name.startswith(("linux-kbuild-", f"linux-headers-{base}-common"))]
        if image and len(parts) == 2:
            found.append(Candidate(suite, release, package.version, (package.name, *parts, image)))
    return found


def image_package(suite: Suite, release: str) -> str | None:
    """Since 6.19 the image is in linux-binary-*, and linux-image-* only depends on that."""
    names = {package.name for package in suite.packages("linux-binary-", re.escape(release))}
    names |= {package.name for package in suite.packages("linux-image-", re.escape(release))
              if not any(name.startswith("linux-binary-") for name in package.depends)}
    return max(names, default=None)


def resolve(cache: Path, line: Line) -> Candidate:
    """The newest release of a line on the mirror, now."""
    found, reasons = [], []
    for name in line.suites:
        try:
            suite = Suite(cache, name)
            suite.update()
            found += candidates(suite, line.series)
        except Unavailable as error:
            reasons.append(str(error))
    if not found:
        raise Unavailable("; ".join(reasons) or f"no kernel {line.name} in {', '.join(line.suites)}")
    return max(found, key=lambda candidate: numbers(candidate.version))


def obtain(cache: Path, line: Line, tell: Callable[[str], None] = print) -> Kernel:
    """Fetches, unpacks and relocates the newest kernel of a line, where that is not done yet."""
    with locked(cache / "lines" / line.name):
        candidate = resolve(cache, line)
        home = cache / "kernels" / f"{candidate.release}_{candidate.version.replace(':', '%')}"
        if not home.exists():
            tell(f"fetching {candidate.release} ({candidate.version}) from {candidate.suite.name}")
            shutil.rmtree(home.with_name(home.name + ".made"), ignore_errors=True)
            made = home.with_name(home.name + ".made")
            unpack(candidate.suite.download(list(candidate.packages)), made)
            forget_modules(made)
            relocate(made, candidate.release, home)
            repair_tools(cache, candidate.suite.name, made, home)
            made.rename(home)
        remove_older(cache, line, home)
    return Kernel(line.name, candidate.release, candidate.version, home, candidate.suite.name,
                  image_of(home, candidate.release), home / f"usr/src/linux-headers-{candidate.release}")


def image_of(home: Path, release: str) -> Path:
    for name in (f"boot/vmlinuz-{release}", f"usr/lib/modules/{release}/vmlinuz"):
        if (home / name).exists():
            return home / name
    raise Unavailable(f"no kernel image in the packages of {release}")


def forget_modules(root: Path) -> None:
    """The guests load none of the kernel's own modules: four fifths of an image package."""
    for folder in (*root.glob("lib/modules/*/kernel"), *root.glob("usr/lib/modules/*/kernel")):
        shutil.rmtree(folder)


def remove_older(cache: Path, line: Line, kept: Path) -> None:
    """Releases that this cache had before the mirror had a newer one."""
    note = cache / "lines" / line.name / "current"
    before = note.read_text() if note.exists() else ""
    if before and before != kept.name and (cache / "kernels" / before).is_dir():
        shutil.rmtree(cache / "kernels" / before)
    note.write_text(kept.name)


def relocate(root: Path, release: str, home: Path) -> None:
    """The headers' Makefiles name /usr/src and /lib/modules: here they are below `home`."""
    for path in root.glob("usr/src/linux-headers-*/Makefile"):
        text = path.read_text()
        path.write_text(re.sub(r"(?<![\w.)])/usr/(src|lib)/(linux-)", rf"{home}/usr/\1/\2", text))
    for link in root.glob("usr/src/linux-headers-*/*"):
        if link.is_symlink() and str(link.readlink()).startswith("/usr/"):
            target = home / str(link.readlink())[1:]
            link.unlink()
            link.symlink_to(target)
    without_features(root / f"usr/src/linux-headers-{release}")


def without_features(headers: Path) -> None:
    """Takes out of the configuration what the compiler of this host lacks. None of it changes a layout."""
    missing = [name for name, (flags, text) in FEATURES.items() if not compiles(flags, text)]
    for path, pattern in ((headers / "include/config/auto.conf", r"^({})=.*\n"),
                          (headers / "include/generated/autoconf.h", r"^#define ({}) .*\n"),
                          (headers / ".config", r"^({})=.*\n")):
        if path.exists():
            path.write_text(re.sub(pattern.format("|".join(missing)), "", path.read_text(), flags=re.M))


@lru_cache(maxsize=None)
def compiles(flags: tuple[str, ...], text: str) -> bool:
    argv = ["gcc", "-Werror", *flags, "-x", "c", "-c", "-o", "/dev/null", "-"]
    try:
        return subprocess.run(argv, input=text, text=True, capture_output=True, check=False).returncode == 0
    except FileNotFoundError as error:
        raise Unavailable("gcc is not installed") from error


# ---- the kernel's build tools, when this host's libraries are too old for them ----

def elf_tools(root: Path) -> list[Path]:
    """Dynamically linked programs among the unpacked build tools."""
    found = []
    for path in root.glob("usr/lib/linux-kbuild-*/**/*"):
        if path.is_file() and not path.is_symlink() and os.access(path, os.X_OK):
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(path)
    return found


def starts(tool: Path) -> bool:
    """Whether the host's dynamic linker finds all that the program needs."""
    done = subprocess.run(["ldd", str(tool)], capture_output=True, text=True, check=False)
    return "not found" not in done.stdout + done.stderr


def repair_tools(cache: Path, suite: str, root: Path, home: Path) -> None:
    """Gives the tools that do not start here the C library of their own release."""
    broken = [tool for tool in elf_tools(root) if not starts(tool)]
    if not broken:
        return
    release = RELEASES.get(suite, suite)
    source = Suite(cache, release)
    source.update()
    libraries = home.with_name(home.name + ".libraries")
    shutil.rmtree(libraries, ignore_errors=True)
    unpack(source.download([name for name in LIBRARIES if source.packages(name, "")]), libraries)
    inside = root / "libraries"
    libraries.rename(inside)
    folders = [home / "libraries" / name for name in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")]
    linker = next(inside.glob("**/ld-linux-x86-64.so.2"))
    for tool in broken:
        run(["patchelf", "--set-interpreter", str(home / "libraries" / linker.relative_to(inside)),
             "--force-rpath", "--set-rpath", ":".join(map(str, folders)), str(tool)])


# ---- building ----

class BuildFailed(Exception):
    """The module does not build; its text is what the compiler said."""


def build_module(kernel: Kernel, source: Path, target: Path, include: Path) -> list[Path]:
    """Builds all modules of a copy of `source` and puts them into `target`. Every warning is an error.

    A copy, since make writes beside the sources and several kernels are built at once. `include` is the folder of
    the installed headers, which the module finds beside its own.
    """
    with scratch("kmod") as name:
        folder = Path(name) / source.name
        shutil.copytree(source, folder, symlinks=False, ignore=shutil.ignore_patterns("*.ko", "*.o", ".*.cmd"))
        shutil.copytree(include, Path(name) / "include")
        log = run_make(kernel, folder)
        found = sorted(folder.rglob("*.ko"))
        if not found:
            raise BuildFailed(f"no module came out of it\n{log}")
        target.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(path, target / path.name)) for path in found]


def run_make(kernel: Kernel, folder: Path) -> str:
    # BTF would want pahole. modpost's warnings are those about undefined symbols and sections.
    argv = ["make", "-C", str(kernel.headers), f"M={folder}", "modules", "CC=gcc",
            "CONFIG_DEBUG_INFO_BTF_MODULES=", "KCFLAGS=-Werror", "KBUILD_MODPOST_WARN="]
    if kernel.warns:
        argv.append("W=1")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "KBUILD"))}
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=BUILD_SECONDS, env=env, check=False)
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"no end after {BUILD_SECONDS} seconds") from error
    if done.returncode != 0:
        raise BuildFailed(done.stdout)
    warnings = [line for line in done.stdout.splitlines() if is_warning(line)]
    if warnings:
        raise BuildFailed("\n".join(warnings))
    return done.stdout


# Said of every out-of-tree build with another compiler than the kernel's, or without its vmlinux.
HARMLESS = ("the compiler differs from the one used to build the kernel", "Skipping BTF generation",
            "pahole version differs", "You are using:", "The kernel was built by:")


def is_warning(line: str) -> bool:
    return re.search(r"\bwarning\b", line, re.I) is not None and not any(word in line for word in HARMLESS)
