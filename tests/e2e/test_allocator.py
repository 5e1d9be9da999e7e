"""`cerebro run --allocator`: another malloc for the program and all it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import base_environment, cerebro, run, sh, tool

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
MIMALLOC, JEMALLOC = "libmimalloc.so.2", "libjemalloc.so.2"

# What malloc says of a block of 1000 bytes: glibc 1000, mimalloc and jemalloc 1024.
ASK = """
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    void *block = malloc(1000);

    printf("%zu\\n", malloc_usable_size(block));
    fflush(stdout);
    free(block);
    if (argc > 1 && fork() == 0)
        execl(argv[0], argv[0], (char *)0);
    wait(NULL);
    return 0;
}
"""

# An allocator of our own: it counts in a file of the C library's, and tells at the end.
OWN = """
#include <stddef.h>
#include <unistd.h>
static char room[1 << 24] __attribute__((aligned(16)));
static size_t used;
void *malloc(size_t n)
{
    size_t at = __atomic_fetch_add(&used, (n + 31) / 16 * 16, __ATOMIC_RELAXED);
    if (at + n + 16 > sizeof(room)) return NULL;
    *(size_t *)(room + at) = n;
    return room + at + 16;
}
void free(void *p) { (void)p; }
void *calloc(size_t n, size_t m) { return malloc(n * m); }
void *realloc(void *p, size_t n)
{
    char *q = malloc(n), *o = p;
    size_t old = p ? ((size_t *)p)[-2] : 0;
    for (size_t i = 0; q && i < n && i < old; i++) q[i] = o[i];
    return q;
}
size_t malloc_usable_size(void *p) { return p ? 4242 : 0; }
static void __attribute__((destructor)) end(void) { if (write(2, "own allocator\\n", 14)) {} }
"""


def build(source: str, path: Path, *flags: str) -> Path:
    if tool("gcc") is None:
        pytest.skip("there is no gcc")
    subprocess.run(["gcc", "-O1", "-fno-builtin", *flags, "-x", "c", "-", "-o", str(path)],
                   input=source, text=True, check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ASK, tmp_path_factory.mktemp("ask") / "ask")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(OWN, tmp_path_factory.mktemp("own") / "libown.so", "-shared", "-fPIC")


def need(name: str) -> None:
    if not (LIBRARIES / name).exists():
        pytest.skip(f"{name} is not installed (tools/install-deps test)")


def test_without_it_is_the_c_library(ask: Path) -> None:
    assert run(ask, "again").ok().out == "1000\n1000\n"


@pytest.mark.parametrize("name", [MIMALLOC, JEMALLOC, str(LIBRARIES / JEMALLOC)])
def test_c_program_and_its_child(name: str, ask: Path) -> None:
    need(Path(name).name)
    assert run(ask, "again", options=["--allocator", name]).ok().out == "1024\n1024\n"


def test_python_and_its_child_with_mimalloc() -> None:
    need(MIMALLOC)
    script = ("import ctypes, subprocess, sys\n"
              "print(ctypes.CDLL(None).mi_version() // 100)\n"
              "if len(sys.argv) == 1: subprocess.run([sys.executable, '-c', __import__('os')"
              ".environ['SCRIPT'], 'child'])")
    done = run("/usr/bin/python3", "-c", script, options=["--allocator", MIMALLOC],
               env=base_environment(SCRIPT=script)).ok()
    assert done.out.split() == ["2", "2"], str(done)


def test_jemalloc_tells_its_statistics() -> None:
    need(JEMALLOC)
    done = run("/usr/bin/python3", "-c", "x = bytearray(5000000); print('done')",
               options=["--allocator", JEMALLOC, "--env", "MALLOC_CONF=stats_print:true"]).ok()
    assert done.out == "done\n" and "Begin jemalloc statistics" in done.err


def test_own_library_by_path(own: Path, ask: Path) -> None:
    done = run(ask, options=["--allocator", own]).ok()
    assert done.out == "4242\n" and "own allocator" in done.err
    relative = run(ask, options=["--allocator", f"./{own.name}"], cwd=own.parent).ok()
    assert relative.out == "4242\n"


def test_it_stands_in_front_of_what_is_there(own: Path) -> None:
    need(JEMALLOC)
    path = LIBRARIES / JEMALLOC
    done = sh("echo $LD_PRELOAD", options=["--env", f"LD_PRELOAD={path}", "--allocator", own])
    assert done.ok().out == f"{own}:{path}\n"


def test_library_that_the_view_has_not(own: Path, ask: Path) -> None:
    """/tmp is private, so what lies there is shown at a place of its own, read only."""
    copy = Path("/tmp") / f"libown-{os.getpid()}.so"
    shutil.copy(own, copy)
    try:
        done = sh(f"echo $LD_PRELOAD; {ask}; echo >$LD_PRELOAD", options=["--allocator", copy],
                  cwd="/")
        assert done.out == f"/tmp/.cerebro-allocator/{copy.name}\n4242\n"
        assert "Read-only" in done.err
    finally:
        copy.unlink()


def test_root_of_its_own(tmp_path: Path, own: Path, ask: Path) -> None:
    root, kept = tmp_path / "root", tmp_path / "kept"
    kept.mkdir()
    for name in ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(f"/{name}", root / name)
    shutil.copy(ask, root / "ask")
    options = ["--root", root, "--overlay", kept]
    assert run("/ask", options=[*options, "--allocator", own]).ok().out == "4242\n"
    assert run("/ask", options=[*options, "--allocator", own]).ok().out == "4242\n"
    assert [path.name for path in kept.rglob("*.so*")] == []
    # A name is the root's own library before it is the host's.
    shutil.copy(own, root / "lib/x86_64-linux-gnu" / JEMALLOC)
    assert run("/ask", options=[*options, "--allocator", JEMALLOC]).ok().out == "4242\n"


def refused(library: str | Path, *words: str) -> None:
    done = sh("echo ran", options=["--allocator", library])
    assert done.status == 125 and done.out == "", str(done)
    assert all(word in done.err for word in words), str(done)


def test_what_is_no_allocator(tmp_path: Path, own: Path) -> None:
    refused("libnobodyhasthis.so.9", "no allocator libnobodyhasthis.so.9", "install")
    refused(tmp_path / "nothing.so", "no allocator", "path of a shared library")
    refused("", "no allocator")
    refused(tmp_path, "regular file")
    refused("libm.so.6", "does not define malloc")
    refused("/bin/sh", "is not a library, but a program")
    text = tmp_path / "text.so"
    text.write_text("INPUT(libc.so)\n")
    refused(text, "not an ELF file")
    cut = tmp_path / "cut.so"
    cut.write_bytes(own.read_bytes()[:500])
    refused(cut, "is damaged")
    other = tmp_path / "arm.so"
    arm = bytearray(own.read_bytes())
    arm[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
    other.write_bytes(arm)
    refused(other, "not for this machine")
    spaced = tmp_path / "a library.so"
    shutil.copy(own, spaced)
    refused(spaced, "takes no path with a space", "symbolic link")


def test_hidden_malloc_is_none(tmp_path: Path) -> None:
    source = ('__attribute__((visibility("hidden"))) void *malloc(unsigned long n)'
              '{ return (void *)n; } void free(void *p) { (void)p; }'
              'void *use(void) { return malloc(1); }')
    for style in ("gnu", "sysv"):
        hidden = build(source, tmp_path / f"hidden-{style}.so", "-shared", "-fPIC",
                       f"-Wl,--hash-style={style}")
        refused(hidden, "does not define malloc")
        shown = build(source.replace("hidden", "default"), tmp_path / f"shown-{style}.so",
                      "-shared", "-fPIC", "-nostdlib", f"-Wl,--hash-style={style}")
        done = run("/bin/nothing", options=["--allocator", shown])
        assert done.status == 127, str(done)  # the library is fine


def test_static_program() -> None:
    need(JEMALLOC)
    if tool("busybox") is None:
        pytest.skip("there is no busybox")
    done = run("busybox", "true", options=["--allocator", JEMALLOC])
    assert done.status == 126 and "statically linked" in done.err, str(done)


def test_it_needs_a_value() -> None:
    assert cerebro("run", "--allocator").status == 2
