"""`cerebro diff`, `commit` and `discard` on what `--overlay` keeps."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from harness import CEREBRO, cerebro, guest, run_argv, run_host, sh

CHANGE = """cd "$0"
echo more >>file; chmod 600 mode; rm gone; rm -r tree; mkdir -m 750 made; echo x >made/x
ln made/x made/y; ln -s nowhere made/link; mkfifo -m 640 made/fifo; touch -d 2001-02-03 made/old
ln -s nowhere made/dated; touch -hd 2002-03-04 made/dated
rm -r anew; mkdir anew; echo n >anew/n; rm swap; mkdir swap; echo in >swap/in; rm -r folder
echo was a folder >folder; truncate -s 5M made/holes; echo end >>made/holes; mv moved renamed
setfattr -n user.note -v hello file 2>/dev/null || true
printf '#!/bin/sh\\n' >made/script; chmod 755 made/script; : >'made/odd
name'"""


@pytest.fixture
def host(work: Path) -> Path:
    """A directory of the host with something to change in it."""
    host = work / "host"
    (host / "tree/deep/deeper").mkdir(parents=True)
    (host / "anew/hidden").mkdir(parents=True)
    (host / "folder").mkdir()
    for name in ("file", "mode", "gone", "swap", "moved", "tree/deep/deeper/f", "anew/old",
                 "anew/hidden/f", "folder/f", "untouched"):
        (host / name).write_text(f"{name}\n")
    return host


@pytest.fixture
def layer(work: Path) -> Path:
    (work / "layer").mkdir()
    return work / "layer"


def change(script: str, host: Path, layer: Path, *options: str) -> None:
    argv = run_argv(["/bin/sh", "-ec", script, str(host)], ["--overlay", layer, *options])
    run_host(argv, cwd="/").ok()


def changes(layer: Path, *words: str | Path) -> dict[str, dict]:
    listed = json.loads(cerebro("diff", "--json", layer, *words).ok().out)
    return {entry["path"]: entry for entry in listed["changes"]}


def tree(root: Path) -> dict[str, tuple]:
    """All that a commit is to bring about."""
    found = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else \
            path.read_bytes() if stat.S_ISREG(info.st_mode) else None
        found[str(path.relative_to(root))] = (info.st_mode, info.st_uid, info.st_gid, content)
    return found


def left_in(layer: Path) -> list[str]:
    return sorted(str(path.relative_to(layer)) for path in layer.rglob("*"))


def test_diff_names_what_changed(host: Path, layer: Path) -> None:
    before = tree(host)
    assert cerebro("diff", layer).ok().out == ""
    change(CHANGE, host, layer)
    got = changes(layer)
    kinds = {path.removeprefix(f"{host}/"): entry["change"] for path, entry in got.items()}
    assert kinds == {
        "anew/hidden": "D", "anew/n": "A", "anew/old": "D", "file": "M", "folder": "M", "gone": "D",
        "made": "A", "made/dated": "A", "made/fifo": "A", "made/holes": "A", "made/link": "A", "made/odd\nname": "A",
        "made/old": "A", "made/script": "A", "made/x": "A", "made/y": "A", "mode": "M",
        "moved": "D", "renamed": "A", "swap": "M", "swap/in": "A", "tree": "D"}
    assert got[f"{host}/mode"]["what"] == ["mode"] and got[f"{host}/mode"]["mode"] == "0600"
    assert "content" in got[f"{host}/file"]["what"]
    assert got[f"{host}/swap"]["what"] == ["type"]
    assert got[f"{host}/swap"]["before"]["type"] == "file"
    text = cerebro("diff", layer, host / "made", host / "mode").ok().out.splitlines()
    assert f"A {host}/made/odd?name" in text and f"A {host}/made/" in text
    assert f"M {host}/mode (mode 0644 -> 0600)" in text
    assert not [line for line in text if "swap" in line]
    assert tree(host) == before


def test_commit_does_what_the_guest_did(host: Path, layer: Path, work: Path) -> None:
    """The same changes made natively are what it is compared with."""
    twin = work / "twin"
    shutil.copytree(host, twin, symlinks=True)
    change(CHANGE, host, layer)
    before = tree(host)
    dry = cerebro("commit", "--dry-run", layer).ok()
    assert tree(host) == before and "22 changes would be committed" in dry.err
    got = cerebro("commit", layer).ok()
    assert got.out == dry.out and "22 changes committed" in got.err
    run_host(["/bin/sh", "-ec", CHANGE, str(twin)]).ok()
    assert tree(host) == tree(twin)
    assert (host / "made/x").stat().st_ino == (host / "made/y").stat().st_ino
    assert (host / "made/old").stat().st_mtime == (twin / "made/old").stat().st_mtime
    assert (host / "made/holes").stat().st_blocks < 200
    assert (host / "made/dated").lstat().st_mtime == (twin / "made/dated").lstat().st_mtime
    if "user.note" in os.listxattr(twin / "file"):
        assert os.getxattr(host / "file", "user.note") == b"hello"
    assert left_in(layer) == []
    assert cerebro("diff", layer).ok().out == ""
    assert "nothing to commit" in cerebro("commit", layer).ok().err


def test_commit_of_a_path(host: Path, layer: Path) -> None:
    """Directories on the way are made; all else stays in the layer."""
    change(CHANGE, host, layer)
    cerebro("commit", layer, host / "made/x", host / "tree").ok()
    assert (host / "made/x").read_text() == "x\n" and not (host / "tree").exists()
    assert sorted(os.listdir(host / "made")) == ["x"]
    assert stat.S_IMODE((host / "made").stat().st_mode) == 0o750
    assert (host / "file").read_text() == "file\n" and (host / "gone").exists()
    left = changes(layer)
    assert f"{host}/made/x" not in left and f"{host}/made/y" in left and f"{host}/gone" in left
    # Not without what it lies in, where the host has something else.
    got = cerebro("commit", layer, host / "swap/in")
    assert got.status == 1 and "Not a directory" in got.err and (host / "swap").is_file(), str(got)
    got = cerebro("commit", layer, host / "untouched")
    assert got.status == 1 and "nothing has changed at" in got.err, str(got)
    cerebro("commit", layer).ok()
    assert left_in(layer) == [] and (host / "swap/in").read_text() == "in\n"


def test_what_fails_stays(host: Path, layer: Path, work: Path, is_root: bool) -> None:
    change("cd $0; echo 1 >file; echo 2 >tree/new; rm tree/deep/deeper/f; echo 3 >mode", host, layer)
    if is_root:
        # A directory where a directory of another file system is: here, a mount in the way.
        (host / "gone").unlink()
        change("cd $0; rm -r tree; mkdir tree; echo 2 >tree/new", host, layer)
        script = f"mount -t tmpfs none {host}/tree/deep && exec {CEREBRO} commit {layer}"
        got = run_host(["unshare", "-m", "sh", "-c", script])
        if "mount:" in got.err:
            pytest.skip("no mounts here")
        wanted = "Device or resource busy"
        failed = f"{host}/tree/deep"
    else:
        (host / "tree").chmod(0o555)
        got = cerebro("commit", layer)
        wanted = "Permission denied"
        failed = f"{host}/tree/new"
    (host / "tree").chmod(0o755)
    assert got.status == 1 and wanted in got.err and f"cannot commit {failed}" in got.err, str(got)
    assert "stay in" in got.err and (host / "file").read_text() == "1\n"
    assert failed in changes(layer) and f"{host}/file" not in changes(layer)
    cerebro("commit", layer).ok()
    assert (host / "tree/new").read_text() == "2\n" and left_in(layer) == []


def test_links_on_the_host_are_not_followed(host: Path, layer: Path, work: Path) -> None:
    (work / "outside").mkdir()
    (work / "outside/f").write_text("safe\n")
    change("cd $0; echo evil >tree/f; echo evil >tree/deep/f; rm -r anew; echo evil >file",
           host, layer)
    shutil.rmtree(host / "tree")
    shutil.rmtree(host / "anew")
    (host / "file").unlink()
    (host / "tree").symlink_to(work / "outside")
    (host / "anew").symlink_to(work / "outside")
    (host / "file").symlink_to(work / "outside/f")
    cerebro("commit", layer).ok()
    assert (work / "outside/f").read_text() == "safe\n" and os.listdir(work / "outside") == ["f"]
    assert (host / "file").read_text() == "evil\n" and not (host / "file").is_symlink()
    assert not (host / "anew").is_symlink() and not (host / "anew").exists()
    assert not (host / "tree").is_symlink() and (host / "tree/f").read_text() == "evil\n"


def test_the_layer_does_not_reach_itself(host: Path, work: Path) -> None:
    layer = host / "layer"
    layer.mkdir()
    change("cd $0; echo x >layer/x; echo y >y", host, layer)
    got = cerebro("commit", layer)
    assert got.status == 1 and f"cannot commit {layer}: Device or resource busy" in got.err, str(got)
    assert not (layer / "x").exists() and (host / "y").read_text() == "y\n"
    cerebro("discard", "--yes", layer).ok()
    above = layer / str(work)[1:]
    above.mkdir(parents=True)
    for parent in (work, *work.parents[:-1]):  # else their modes are changes
        shutil.copymode(parent, layer / str(parent)[1:])
    os.mknod(above / "host", stat.S_IFCHR, 0)  # "removed"
    got = cerebro("commit", layer)
    assert got.status == 1 and "busy" in got.err and (host / "file").exists(), str(got)


def test_refused_while_in_use(host: Path, layer: Path) -> None:
    argv = run_argv(["/bin/sh", "-c", f"echo x >{host}/new; echo up; read x"],
                    ["--overlay", layer])
    running = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
    try:
        assert running.stdout and running.stdout.readline() == b"up\n"
        for command in (["commit", layer], ["discard", "--yes", layer], ["commit", "--dry-run", layer]):
            got = cerebro(*command)
            assert got.status == 1 and "is in use" in got.err and "try:" in got.err, str(got)
        assert f"A {host}/new\n" in cerebro("diff", layer).ok().out
    finally:
        running.communicate(b"\n", timeout=30)
    assert not (host / "new").exists()
    cerebro("commit", layer).ok()
    assert (host / "new").read_text() == "x\n"


def test_discard(host: Path, layer: Path) -> None:
    change(CHANGE, host, layer)
    before = tree(host)
    got = cerebro("discard", layer)
    assert got.status == 2 and "--yes" in got.err, str(got)
    cerebro("discard", "--yes", layer, host / "made", host / "gone", host / "anew").ok()
    left = [path.removeprefix(f"{host}/") for path in changes(layer)]
    assert left == ["file", "folder", "mode", "moved", "renamed", "swap", "swap/in", "tree"]
    seen = sh(f"ls -A {host}/anew {host}/gone", options=["--overlay", layer]).ok().out
    assert "hidden\nold\n" in seen
    got = cerebro("discard", "--yes", layer, host / "made")
    assert got.status == 1 and "nothing has changed" in got.err, str(got)
    for path in left:
        if path != "swap/in": # it goes with the one before
            cerebro("discard", "--yes", layer, host / path).ok()
    assert left_in(layer) == []
    change(CHANGE, host, layer)
    assert "22 changes dropped" in cerebro("discard", "--yes", layer).ok().err
    assert left_in(layer) == [] and tree(host) == before


def test_part_of_a_directory_made_anew(host: Path, layer: Path) -> None:
    change("cd $0; rm -r anew; mkdir anew; echo n >anew/n", host, layer)
    got = cerebro("discard", "--yes", layer, host / "anew/old")
    assert got.status == 1 and "together with its directory" in got.err, str(got)
    cerebro("commit", layer, host / "anew/old").ok()
    assert os.listdir(host / "anew") == ["hidden"]
    assert sh(f"ls {host}/anew", options=["--overlay", layer]).ok().out == "n\n"
    # What is committed of it is not hidden by it afterwards.
    cerebro("commit", layer, host / "anew/n").ok()
    assert list(changes(layer)) == [f"{host}/anew/hidden"]
    cerebro("commit", layer).ok()
    assert os.listdir(host / "anew") == ["n"]


def test_another_root_and_another_user(work: Path, layer: Path, is_root: bool) -> None:
    root = work / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(guest("show-static"), root / "bin/show")
    (root / "f").write_text("f\n")
    argv = run_argv(["/bin/show", "exit", "0"], ["--root", root, "--overlay", layer])
    run_host(argv, cwd="/").ok()
    (layer / "f").write_text("changed\n")
    assert "M /f (content)" in cerebro("diff", layer).ok().out
    cerebro("commit", layer, "/f").ok()
    assert (root / "f").read_text() == "changed\n"
    if is_root:
        os.chown(layer, 65534, 65534)
        got = cerebro("commit", layer)
        assert got.status == 1 and "another user" in got.err, str(got)


def test_owners(host: Path, layer: Path, is_root: bool) -> None:
    """A fake root's files are the user's; an owner that is not permitted is told of."""
    script = """cd "$0"; echo x >mine; echo x >other; chown 33:44 other; chmod 6755 other
ln -s x link; chown -h 33:44 link; chown 0:0 untouched; mknod null c 1 3"""
    change(script, host, layer, "--uid", "0")
    got = changes(layer)
    assert (got[f"{host}/other"]["uid"], got[f"{host}/other"]["gid"]) == (33, 44)
    assert (got[f"{host}/link"]["uid"], got[f"{host}/link"]["gid"]) == (33, 44)
    assert got[f"{host}/null"]["device"] == "1:3" and f"{host}/untouched" not in got
    assert f"A {host}/other (mode 6755, owner 33:44)" in cerebro("diff", layer).ok().out
    result = cerebro("commit", layer)
    assert (host / "mine").stat().st_uid == os.geteuid()
    other = (host / "other").stat()
    if is_root:
        result.ok()
        assert (other.st_uid, other.st_gid, stat.S_IMODE(other.st_mode)) == (33, 44, 0o6755)
        assert (host / "link").lstat().st_uid == 33 and (host / "null").stat().st_rdev == 0x103
        assert left_in(layer) == []
    else:
        assert result.status == 1 and f"cannot commit {host}/null: Operation not" in result.err
        assert f"owner 33:44 of {host}/other" in result.err, str(result)
        assert other.st_uid == os.geteuid() and stat.S_IMODE(other.st_mode) == 0o755
        assert list(changes(layer)) == [f"{host}/null"]


def test_directory_below_tmp(work: Path, layer: Path) -> None:
    """/tmp itself, whose mode is the host's, has not changed because something below it has."""
    private = Path(f"/tmp/cerebro-layer-{os.getpid()}-{time.monotonic_ns()}")
    private.mkdir()
    try:
        argv = run_argv(["/bin/sh", "-c", "echo x >new"], ["--overlay", layer])
        run_host(argv, cwd=private).ok()
        assert list(changes(layer)) == [f"{private}/new"]
        cerebro("commit", layer).ok()
        assert (private / "new").read_text() == "x\n"
        assert stat.S_IMODE(os.stat("/tmp").st_mode) == 0o1777
    finally:
        shutil.rmtree(private)


def test_json_of_a_commit(host: Path, layer: Path) -> None:
    change("cd $0; echo 1 >file; rm gone", host, layer)
    got = json.loads(cerebro("commit", "--json", layer).ok().out)
    assert [entry["path"] for entry in got["committed"]] == [f"{host}/file", f"{host}/gone"]
    assert got["failed"] == [] and got["layer"] == str(layer)


@pytest.mark.parametrize("words", [
    ["diff"], ["commit"], ["discard"], ["diff", "--yes", "x"], ["commit", "--root"],
    ["discard", "--dry-run", "x"], ["diff", "--nonsense", "x"],
])
def test_wrong_usage(words: list[str]) -> None:
    got = cerebro(*words)
    assert got.status == 2 and "--help" in got.err and got.out == "", str(got)


def test_no_layer(work: Path) -> None:
    for command in ("diff", "commit"):
        got = cerebro(command, work / "none")
        assert got.status == 1 and "cannot open the layer" in got.err and "try:" in got.err, str(got)


def test_deep_and_wide(host: Path, layer: Path) -> None:
    change("cd $0; for i in $(seq 60); do mkdir d; cd d; : >f; done", host, layer)
    cerebro("commit", layer).ok()
    assert sum(1 for _ in (host / "d").rglob("f")) == 60 and left_in(layer) == []
    change("cd $0; rm -r d", host, layer)
    cerebro("commit", layer).ok()
    assert not (host / "d").exists()
