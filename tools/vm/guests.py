"""What a guest is made of: busybox, the abuse suite, a small Python."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .image import Tree
from .kernels import BuildFailed
from .mirror import Package, Suite, Unavailable, host_codename, locked, run, unpack

ROOT = Path(__file__).resolve().parent.parent.parent
SUITE = ROOT / "tests/vm"
FLAGS = ("-std=gnu17", "-D_GNU_SOURCE", "-O2", "-static", "-pthread", "-Wall", "-Wextra", "-Werror", "-Wshadow",
         "-Wstrict-prototypes", "-Wno-unused-parameter", "-Wno-unused-result", "-Wno-missing-field-initializers")
APPLETS = ("sh", "mount", "umount", "insmod", "rmmod", "modprobe", "depmod", "lsmod", "stty", "ip", "mkdir", "cp", "ls", "cat",
           "find", "grep", "wc", "sync", "poweroff", "true", "false", "mkswap", "swapon", "ping", "uname", "sleep", "ps",
           "chown", "chmod", "id", "dmesg", "sed", "head", "setsid", "env", "kill", "ln", "rm", "echo", "tail", "mknod")
# What a client needs not: the tests of Python itself and what has libraries of its own.
PYTHON_WITHOUT = ("test", "tests", "idlelib", "tkinter", "asyncio", "ensurepip", "lib2to3", "distutils", "turtledemo",
                  "unittest", "pydoc_data", "sqlite3", "multiprocessing", "xml", "wsgiref", "concurrent",
                  "config-3", "xmlrpc", "email", "http", "curses", "dbm", "msilib", "pydoc.py", "turtle.py")
PYTHON_LIBRARIES = ("libc6", "libexpat1", "zlib1g", "libffi8", "libuuid1", "libgcc-s1", "libcrypt1")


@dataclass(frozen=True)
class Parts:
    """Unpacked packages that all guests share."""

    busybox: Path
    python: Path  # root of the unpacked packages
    python_version: str

    @property
    def interpreter(self) -> str:
        return f"/usr/bin/python{self.python_version}"


def obtain_parts(cache: Path) -> Parts:
    """Fetches busybox and Python from the host's own release, where that is not done yet."""
    release = host_codename()
    suite = Suite(cache, release)
    with locked(cache / "parts"):
        suite.update()
        python = newest_python(suite)
        home = cache / "parts" / f"python{python.name}_{python.version}".replace(":", "%")
        busybox = suite.show(["busybox-static"])
        if not busybox:
            raise Unavailable(f"{release} has no busybox-static")
        box = cache / "parts" / f"busybox_{busybox[0].version}".replace(":", "%")
        unpack_packages(suite, ["busybox-static"], box)
        number = python.name.removeprefix("python").removesuffix("-minimal")
        names = [python.name, f"libpython{number}-minimal", f"libpython{number}-stdlib", *PYTHON_LIBRARIES]
        unpack_packages(suite, [package.name for package in suite.show(names)], home)
        compile_library(home, number)
    found = [path for path in (box / "bin/busybox", box / "usr/bin/busybox") if path.exists()]
    return Parts(found[0], home, number)


def unpack_packages(suite: Suite, names: list[str], target: Path) -> None:
    if not target.exists():
        unpack(suite.download(names), target)


def compile_library(home: Path, number: str) -> None:
    """Compiled once here, with the guest's own Python: in a guest it would be done at each start of a client."""
    done = home / "compiled"
    if done.exists():
        return
    linker = next(home.glob("**/ld-linux-x86-64.so.2"))
    libraries = ":".join(str(home / name) for name in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
    # Unchecked: the files of an initramfs have no time to compare with.
    run([str(linker), "--library-path", libraries, str(home / f"usr/bin/python{number}"), "-E", "-s", "-S", "-m", "compileall",
         "-q", "--invalidation-mode", "unchecked-hash", "-s", str(home), "-p", "/", "-x", "/(test|lib2to3|idlelib)/",
         str(home / f"usr/lib/python{number}")], env={"PYTHONHOME": str(home / "usr"), "PATH": "/usr/bin:/bin"})
    done.touch()


def newest_python(suite: Suite) -> Package:
    found = suite.packages("python3.", r"\d+-minimal")
    if not found:
        raise Unavailable(f"{suite.name} has no small Python")
    return max(found, key=lambda package: int(re.findall(r"\d+", package.name)[1]))


def base_tree(parts: Parts) -> Tree:
    tree = Tree()
    tree.file("bin/busybox", parts.busybox, 0o755)
    for name in APPLETS:
        tree.link(f"bin/{name}", "busybox")
    tree.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    tree.text("etc/group", "root:x:0:\nkapi:x:900:\nnogroup:x:65534:\n")
    tree.file("init", SUITE / "init.sh", 0o755)
    return tree


def build_suite(include: Path, target: Path) -> Path:
    """Compiles the abuse suite into one static program."""
    target.mkdir(parents=True, exist_ok=True)
    program = target / "abuse"
    sources = sorted(str(path) for path in SUITE.glob("abuse-*.c"))
    argv = ["gcc", *FLAGS, f"-I{include}", f"-iquote{SUITE}", "-o", str(program), *sources]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailed(done.stderr)
    return program


def suite_image(parts: Parts, modules: list[Path], program: Path, words: str, target: Path) -> Path:
    """The guest of the C suite."""
    tree = base_tree(parts)
    tree.file("abuse", program, 0o755)
    tree.text("suite", f"#!/bin/sh\nexec /abuse {words}\n", 0o755)
    return finished(tree, modules, target)


def client_image(parts: Parts, modules: list[Path], python: Path, clients: list[Path], target: Path) -> Path:
    """The guest of Python clients: our own, and any that is given, unmodified."""
    tree = base_tree(parts)
    add_python(tree, parts)
    for path in sorted((SUITE / "client").glob("*.py")):
        tree.file(f"client/{path.name}", path)
    package = python
    if package.exists():
        tree.copy(package, "python", skip=("__pycache__", "tests", "build"))
    for number, path in enumerate(clients):
        tree.file(f"given/{number}-{path.name}", path)
    tree.text("suite", f"#!/bin/sh\ncd /tmp\nexport HOME=/root PATH=/bin\n"
                       f"exec {parts.interpreter} -u /client/run.py\n", 0o755)
    return finished(tree, modules, target)


def add_python(tree: Tree, parts: Parts) -> None:
    tree.copy(parts.python / "usr/lib", "usr/lib", skip=PYTHON_WITHOUT)
    for folder in ("lib", "lib64"):
        if (parts.python / folder).exists():
            tree.copy(parts.python / folder, folder, skip=PYTHON_WITHOUT)
    tree.file(parts.interpreter.replace("/usr", "", 1).lstrip("/"), parts.python / parts.interpreter.lstrip("/"), 0o755)
    tree.link("bin/python3", f"python{parts.python_version}")
    tree.file("bin/env", parts.busybox, 0o755)


def finished(tree: Tree, modules: list[Path], target: Path) -> Path:
    for path in modules:
        tree.file(f"lib/{path.name}", path, 0o644)
    target.parent.mkdir(parents=True, exist_ok=True)
    tree.write(target)
    return target
