"""`--mount archive:FILE:/path`: archives as trees of files, whatever is in them."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import signal
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import (descendants, guest, run, run_argv, run_host, send, sh,
                     tool, wait_until)

AT = "/mnt/archive"
# All that can be seen of a tree, the same inside and outside.
LOOK = """cd "$0" && find . ! -type d -printf '%P %y %s %l %m %n\\n' | LC_ALL=C sort &&
find . -type d -printf '%P/\\n' | LC_ALL=C sort && find . -type f -exec md5sum {} + | LC_ALL=C sort"""


@pytest.fixture
def tree(work: Path) -> Path:
    tree = work / "tree"
    (tree / "a/b/c").mkdir(parents=True)
    (tree / "empty folder").mkdir()
    (tree / "text").write_text("some text\n")
    (tree / "a/b/c/deep").write_text("deep\n")
    (tree / "a/empty").write_text("")
    (tree / "a/big").write_bytes(os.urandom(300_000) + bytes(100_000))
    (tree / "a/link").symlink_to("../text")
    (tree / "dangling").symlink_to("nowhere")
    (tree / "naïve ☃").write_text("snow\n")
    (tree / "tool").write_text("#!/bin/sh\necho ran \"$0\"\n")
    (tree / "tool").chmod(0o755)
    os.link(tree / "text", tree / "same text")
    return tree


def mounted(archive: Path, *more: str) -> list[str]:
    return ["--mount", f"archive:{archive}:{AT}", *more]


def tar(path: Path, tree: Path, mode: str) -> None:
    with tarfile.open(path, mode) as archive:
        archive.add(tree, "")


def zipped(path: Path, tree: Path, how: int) -> None:
    with zipfile.ZipFile(path, "w", how) as archive:
        for file in sorted(tree.rglob("*")):
            if file.is_symlink():
                info = zipfile.ZipInfo(str(file.relative_to(tree)))
                info.create_system = 3
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, os.readlink(file))
            else:
                archive.write(file, file.relative_to(tree))


def bsdtar(path: Path, tree: Path, *words: str) -> None:
    if not tool("bsdtar"):
        pytest.skip("bsdtar is not installed")
    run_host([tool("bsdtar") or "", *words, "-cf", str(path), "-C", str(tree), "."],
             env={"LANG": "C.UTF-8"}).ok()


MAKERS: dict[str, Callable[[Path, Path], None]] = {
    "tar": lambda path, tree: tar(path, tree, "w"),
    "tar.gz": lambda path, tree: tar(path, tree, "w:gz"),
    "tar.bz2": lambda path, tree: tar(path, tree, "w:bz2"),
    "tar.xz": lambda path, tree: tar(path, tree, "w:xz"),
    "stored.zip": lambda path, tree: zipped(path, tree, zipfile.ZIP_STORED),
    "zip": lambda path, tree: zipped(path, tree, zipfile.ZIP_DEFLATED),
    "tar.zst": lambda path, tree: bsdtar(path, tree, "--zstd"),
    "tar.lz4": lambda path, tree: bsdtar(path, tree, "--lz4"),
    "cpio": lambda path, tree: bsdtar(path, tree, "--format", "newc"),
    "cpio.gz": lambda path, tree: bsdtar(path, tree, "--format", "newc", "--gzip"),
    "7z": lambda path, tree: bsdtar(path, tree, "--format", "7zip"),
    "iso": lambda path, tree: bsdtar(path, tree, "--format", "iso9660"),
    # A zip archive as it is written to a pipe: sizes come behind the members.
    "streamed.zip": lambda path, tree: path.write_bytes(subprocess.run(
        [tool("bsdtar") or "false", "--format", "zip", "-cf", "-", "-C", str(tree), "."],
        stdout=subprocess.PIPE, check=True, env={"LANG": "C.UTF-8"}).stdout) and None,
}


@pytest.mark.parametrize("form", MAKERS)
def test_all_there(work: Path, tree: Path, form: str) -> None:
    if form == "streamed.zip" and not tool("bsdtar"):
        pytest.skip("bsdtar is not installed")
    path = work / f"packed.{form}"
    MAKERS[form](path, tree)
    wanted = run_host(["/bin/sh", "-c", LOOK, str(tree)]).ok().out.splitlines()
    got = run("/bin/sh", "-c", LOOK, AT, options=mounted(path)).ok().out.splitlines()
    if "zip" in form or form == "7z":  # these know no further names of a file
        wanted = [line.removesuffix(" 2") + " 1" if line.endswith(" 2") else line for line in wanted]
    if form == "iso":  # has modes of its own
        drop = lambda lines: [line.rsplit(" ", 2)[0] if line.count(" ") > 3 else line for line in lines]
        wanted, got = drop(wanted), drop(got)
    assert got == wanted
    got = sh(f"{AT}/tool; cat {AT}/a/link", options=mounted(path)).ok()
    assert got.out == f"ran {AT}/tool\nsome text\n"


def test_package(work: Path, tree: Path) -> None:
    """A Debian package shows what it would install, and nothing else of it."""
    if not tool("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed")
    (work / "deb/DEBIAN").mkdir(parents=True)
    (work / "deb/DEBIAN/control").write_text("Package: sample\nVersion: 1\nArchitecture: all\n"
                                             "Maintainer: a <a@example.org>\nDescription: none\n")
    shutil.copytree(tree, work / "deb/opt", symlinks=True)
    for how in ("xz", "none"):
        path = work / f"{how}.deb"
        run_host(["dpkg-deb", f"-Z{how}", "--root-owner-group", "-b", str(work / "deb"), str(path)]).ok()
        got = sh(f"ls -A {AT}; cat {AT}/opt/text; stat -c %u:%g {AT}/opt/text",
                 options=mounted(path, "--uid", "0")).ok()
        assert got.out == "opt\nsome text\n0:0\n", str(got)


def test_nothing_can_be_changed(work: Path, tree: Path) -> None:
    tar(work / "x.tar", tree, "w")
    script = f"""cd {AT}; for c in 'echo x >text' 'echo x >new' 'rm text' 'mkdir d' 'mv text u' 'chmod 700 a' \\
'ln text v' 'touch text' 'truncate -s 0 a/big'; do sh -c "$c" 2>&1 | grep -o 'Read-only file system'; done
dd if=/dev/zero of=text conv=notrunc 2>&1 | grep -c Read-only; cat text"""
    got = sh(script, options=mounted(work / "x.tar")).ok()
    assert got.out.splitlines() == ["Read-only file system"] * 9 + ["1", "some text"], str(got)
    before = (work / "x.tar").read_bytes()
    got = sh(f"cd {AT}; echo more >>text; rm -r a/b; mkdir a/b; mv tool a/moved; cat text; ls a/b; a/moved; "
             "cat 'same text'", options=["--mount", f"archive:{work}/x.tar:{AT}:rw"]).ok()
    assert got.out == "some text\nmore\nran a/moved\nsome text\n", str(got)
    assert (work / "x.tar").read_bytes() == before


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_programs_and_libraries(work: Path, form: str) -> None:
    """A program, its interpreter's libraries and their mappings come out of the archive."""
    (work / "tree/lib").mkdir(parents=True)
    shutil.copy("/bin/cat", work / "tree/cat")
    shutil.copy(guest("show-static"), work / "tree/show")
    for word in run_host(["ldd", "/bin/cat"]).out.split():
        if word.startswith("/") and "ld-linux" not in word:
            shutil.copy(word, work / "tree/lib")
    MAKERS[form](work / f"x.{form}", work / "tree")
    got = run(f"{AT}/cat", "/proc/self/maps", options=mounted(
        work / f"x.{form}", "--env", f"LD_LIBRARY_PATH={AT}/lib")).ok()
    assert f"{AT}/lib/libc" in got.out and f"{AT}/cat" in got.out, str(got)
    assert run(f"{AT}/show", "exit", "7", options=mounted(work / f"x.{form}")).status == 7


def test_in_a_minimal_view(work: Path) -> None:
    (work / "tree").mkdir()
    shutil.copy(guest("show-static"), work / "tree/show")
    tar(work / "x.tar", work / "tree", "w")
    assert run(f"{AT}/show", "exit", "6", cwd="/",
               options=["--view", "minimal", *mounted(work / "x.tar")]).status == 6


# ---- what names and entries an archive may have ----

def crafted(path: Path, *entries: tuple, mode: str = "w") -> list[str]:
    """Entries: name, content or None, and attributes of tarfile.TarInfo."""
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        for name, content, *attributes in entries:
            info = tarfile.TarInfo(name)
            for key, value in attributes:
                setattr(info, key, value)
            if content is not None:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                archive.addfile(info)
    return mounted(path)


def link(target: str) -> tuple[str, str]:
    return ("linkname", target)


def kind(code: bytes) -> tuple[str, bytes]:
    return ("type", code)


def test_names_stay_inside(work: Path) -> None:
    options = crafted(
        work / "x.tar", ("/absolute", b"1"), ("../up", b"2"), ("in/../../up", b"3"), ("./here", b"4"),
        ("x" * 300, b"5"), ("long/" * 900 + "x", b"6"), ("bytes-\udcff\udcfe", b"7"),
        ("/", None, kind(tarfile.DIRTYPE), ("mode", 0o755)), ("up", None, kind(tarfile.SYMTYPE), link("../../../../../etc/hostname")),
        ("abs", None, kind(tarfile.SYMTYPE), link("/tmp/made")), ("hard", None, kind(tarfile.LNKTYPE), link("../../etc/passwd")),
        ("..", None, kind(tarfile.SYMTYPE), link("/")), ("//doubled//slash", b"8"))
    got = sh(f"cd {AT}; LC_ALL=C ls -b; cat absolute here doubled/slash; echo made >/tmp/made; cat abs; "
             "cat up | cmp - /etc/hostname && echo same", options=options).ok()
    assert got.out.splitlines() == ["abs", "absolute", "bytes-\\377\\376", "doubled", "here", "up",
                                    "148made", "same"], str(got)


def test_the_last_of_a_name_counts(work: Path) -> None:
    """Names that come again, and files where directories are, as unpacking would have it."""
    options = crafted(
        work / "x.tar", ("f", b"first"), ("f", b"second"), ("kept", None, kind(tarfile.LNKTYPE), link("f")),
        ("f", b"third"), ("d/x", b"x"), ("d", b"file now"), ("e", b"file"), ("e/x", b"folder now"),
        ("late", None, kind(tarfile.LNKTYPE), link("not yet")), ("not yet", b"."), ("F", b"another"),
        ("dir", None, kind(tarfile.DIRTYPE), ("mode", 0o700)), ("dir/in", b"in"), ("dir", None, kind(tarfile.DIRTYPE), ("mode", 0o750)))
    got = sh(f"cd {AT}; for f in f kept d e/x F dir/in; do cat $f; echo; done; ls; stat -c %a dir",
             options=options).ok()
    assert got.out.splitlines() == ["third", "second", "file now", "folder now", "another", "in", "F",
                                    "d", "dir", "e", "f", "kept", "not yet", "750"], str(got)


def test_special_entries(work: Path, is_root: bool) -> None:
    options = crafted(
        work / "x.tar", ("null", None, kind(tarfile.CHRTYPE), ("devmajor", 1), ("devminor", 3), ("mode", 0o666)),
        ("disk", None, kind(tarfile.BLKTYPE), ("devmajor", 8)), ("fifo", None, kind(tarfile.FIFOTYPE), ("mode", 0o644)),
        ("suid", b"#!/bin/sh\nid -u\n", ("mode", 0o6755), ("uid", 33), ("gid", 44)),
        ("secret", b"secret", ("mode", 0o600), ("uid", 12345)))
    got = sh(f"cd {AT}; stat -c '%n %F %s' null disk fifo; cat null fifo; mount | grep -c '{AT}.*nosuid,nodev'; "
             "cat secret; stat -c ' %u %a' suid", options=options).ok()
    assert got.out.splitlines()[:4] == [f"{name} regular empty file 0" for name in ("null", "disk", "fifo")] + ["1"]
    assert got.out.splitlines()[4] == f"secret {33 if is_root else os.getuid()} 6755", str(got)
    got = sh(f"cd {AT}; stat -c %u:%g suid secret; cat secret", options=[*options, "--uid", "0"]).ok()
    assert got.out.splitlines() == ["33:44", "12345:0", "secret"], str(got)


def test_sparse_files(work: Path) -> None:
    (work / "tree").mkdir()
    with open(work / "tree/holes", "wb") as file:
        file.truncate(20 << 20)
        file.seek(5 << 20)
        file.write(b"middle")
    for options in (["-S"], ["-S", "-J"]):
        run_host(["tar", *options, "-cf", str(work / "x.tar"), "-C", str(work / "tree"), "."]).ok()
        got = sh(f"cd {AT}; stat -c %s holes; tr -d '\\0' <holes", options=mounted(work / "x.tar")).ok()
        assert got.out == f"{20 << 20}\nmiddle"


# ---- what cannot be read ----

def spoil(path: Path, at: int, more: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at:at + len(more)] = more
    path.write_bytes(data)


def encrypted_zip(path: Path, tree: Path) -> None:
    zipped(path, tree, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # APPNOTE.TXT 4.3.7, 4.3.12
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 4)
    path.write_bytes(data)


def cut(form: str) -> Callable[[Path, Path], None]:
    def make(path: Path, tree: Path) -> None:
        MAKERS[form](path, tree)
        path.write_bytes(path.read_bytes()[:200_000])
    return make


def big_in_header(path: Path, tree: Path) -> None:
    """So much that nobody waits for it to be unpacked: 9 GiB, it says."""
    info = tarfile.TarInfo("bomb")
    info.size = 9 << 30
    path.write_bytes(gzip.compress(info.tobuf() + bytes(4096)))


def damaged_xz(path: Path, tree: Path) -> None:
    tar(path, tree, "w:xz")
    spoil(path, 100_000, bytes(1000))


BAD: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "text": (lambda path, tree: path.write_text("no archive at all\n" * 1000), "is no archive"),
    "empty": (lambda path, tree: path.write_bytes(b""), "is no archive"),
    "encrypted": (encrypted_zip, "is encrypted"),
    "cut zip": (cut("zip"), "is truncated"),
    "cut tar": (cut("tar"), "is truncated"),
    "cut xz": (cut("tar.xz"), "is truncated"),
    "cut gz": (cut("tar.gz"), "is truncated"),
    "damaged": (damaged_xz, "is damaged"),
    "bomb": (big_in_header, "has too much in it"),
    "missing": (lambda path, tree: None, "cannot open the archive"),
    "folder": (lambda path, tree: path.mkdir(), "no regular file"),
}


@pytest.mark.parametrize("what", BAD)
def test_refused_at_the_start(work: Path, tree: Path, what: str) -> None:
    make, wanted = BAD[what]
    make(work / "bad", tree)
    got = run("/bin/echo", "ran", options=mounted(work / "bad"))
    assert got.status == 125 and wanted in got.err and "try:" in got.err, str(got)
    assert got.out == "" and str(work / "bad") in got.err


def test_damaged_member_of_a_zip(work: Path, tree: Path) -> None:
    """What is damaged cannot be read, all else can."""
    zipped(work / "x.zip", tree, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(work / "x.zip") as archive:
        at = archive.getinfo("a/big").header_offset
    spoil(work / "x.zip", at + 100_000, bytes(1000))
    got = sh(f"cd {AT}; cat a/big | wc -c; cat text a/b/c/deep; cat a/big | wc -c; cat text",
             options=mounted(work / "x.zip"))
    assert got.out == "0\nsome text\ndeep\n0\nsome text\n" and "Input/output error" in got.err, str(got)


def test_changed_after_it_was_mounted(work: Path, tree: Path) -> None:
    for form in ("tar", "zip"):
        path = work / f"x.{form}"
        MAKERS[form](path, tree)
        got = sh(f"cat {AT}/text; echo x >>{path}; cat {AT}/a/b/c/deep; cat {AT}/text",
                 options=[*mounted(path), "--write", path])
        assert got.out == "some text\nsome text\n" and "Stale file handle" in got.err, str(got)


def test_usage(work: Path) -> None:
    for text in ("", "archive", "archive:", "archive:x", "archive:/x", "archive::/x", "tar:x:/y", "archive:x:y"):
        got = run("/bin/true", options=["--mount", text])
        assert got.status == 2 and "--mount takes" in got.err, str(got)
    odd = work / "a:b:ro.tar"
    tar(odd, work, "w")
    sh(f"test -e {AT}/'a:b:ro.tar' || ls {AT}", options=["--mount", f"archive:{odd}:{AT}:ro"]).ok()


# ---- contents ----

def test_more_files_than_are_kept(work: Path) -> None:
    """Open files stay what they are while others come and go."""
    with zipfile.ZipFile(work / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(300):
            archive.writestr(f"f{number}", f"content {number}\n" * 10)
    script = f"""
import os
os.chdir("{AT}")
def text(n): return f"content {{n}}\\n" * 10
held = [open(f"f{{n}}") for n in range(100)]
for n in range(300):
    with open(f"f{{n}}") as file:
        assert file.read() == text(n) and os.fstat(file.fileno()).st_ino == os.stat(f"f{{n}}").st_ino
for n, file in enumerate(held):
    assert file.read() == text(n), n
    assert os.fstat(file.fileno()).st_ino == os.stat(f"f{{n}}").st_ino
    assert os.readlink(f"/proc/self/fd/{{file.fileno()}}") == f"{AT}/f{{n}}"
held += [open(f"f{{n}}") for n in range(100, 120)]
print("good", len(os.listdir(".")))"""
    assert run("/usr/bin/python3", "-c", script, options=mounted(work / "x.zip")).ok().out == "good 300\n"


def test_without_the_reader(work: Path, tree: Path) -> None:
    """The process that reads may be killed: what it has yet to unpack cannot be read then."""
    zipped(work / "x.zip", tree, zipfile.ZIP_DEFLATED)
    argv = run_argv(["/bin/sh", "-c", f"cat {AT}/text; read x; cat {AT}/a/b/c/deep; cat {AT}/text"],
                    mounted(work / "x.zip"))
    running = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout and running.stdout.readline() == b"some text\n"
    readers = [process for process in descendants(running.pid) if process.comm == "cerebro-archive"]
    assert len(readers) == 1
    with open(f"/proc/{readers[0].pid}/status") as status:
        assert "Seccomp:\t2" in status.read()
    send(readers[0].pid, 9)
    out, err = running.communicate(b"\n", timeout=30)
    assert out == b"some text\n" and b"Input/output error" in err


def test_the_reader_ends_with_the_kernel(work: Path, tree: Path) -> None:
    """Also when the kernel is killed; and of what needs no reader any more it has ended before."""
    for form, count in (("zip", 1), ("tar", 0), ("tar.xz", 0)):
        MAKERS[form](work / f"x.{form}", tree)
        running = subprocess.Popen(run_argv(["/bin/sh", "-c", "echo up; read x"], mounted(work / f"x.{form}")),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert running.stdout and running.stdout.readline() == b"up\n"
        below = descendants(running.pid)
        assert len([process for process in below if process.comm == "cerebro-archive"]) == count
        kernel = [process for process in below if process.comm == "cerebro-kernel"]
        send(kernel[0].pid, 9)
        running.communicate(timeout=30)
        assert wait_until(lambda: not descendants(running.pid))


def slow(path: Path, megabytes: int) -> None:
    """One file of zeros, in as many pieces that were compressed once."""
    info = tarfile.TarInfo("zeros")
    info.size = megabytes << 20
    path.write_bytes(gzip.compress(info.tobuf()) + gzip.compress(bytes(1 << 20), 1) * megabytes +
                     gzip.compress(bytes(1024)))


def reads(front: int) -> bool:
    return any(process.comm == "cerebro-archive" for process in descendants(front))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_reading_the_index_can_be_interrupted(work: Path, number: signal.Signals) -> None:
    slow(work / "x.tar.gz", 6000)
    running = subprocess.Popen(run_argv(["/bin/echo", "ran"], mounted(work / "x.tar.gz")),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wait_until(lambda: reads(running.pid))
    send(running.pid, number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 125 and b"was not read to its end" in err and out == b""


def test_a_signal_that_is_ignored_interrupts_nothing(work: Path) -> None:
    slow(work / "x.tar.gz", 100)
    running = subprocess.Popen(run_argv(["/bin/echo", "ran"], mounted(work / "x.tar.gz")),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert wait_until(lambda: reads(running.pid) or running.poll() is not None)
    send(running.pid, signal.SIGHUP)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0 and out == b"ran\n", err
