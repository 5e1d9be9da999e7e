"""What a program sees of the host, and what of its writing stays."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import bash, guest, run, run_host, sh, tool


@pytest.fixture
def private() -> Iterator[Path]:
    """A directory below the host's /tmp."""
    path = Path(f"/tmp/cerebro-test-{uuid.uuid4().hex}")
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


def tree_of(path: Path) -> dict[str, bytes | str]:
    """Everything below a directory, to compare before and after."""
    found: dict[str, bytes | str] = {}
    for item in sorted(path.rglob("*")):
        mode = item.lstat().st_mode
        key = f"{item.relative_to(path)} {mode:o}"
        found[key] = (os.readlink(item) if stat.S_ISLNK(mode)
                      else item.read_bytes() if stat.S_ISREG(mode) else "")
    return found


def make_tree(path: Path) -> None:
    (path / "dir/sub").mkdir(parents=True)
    (path / "file").write_text("file\n")
    (path / "dir/inner").write_text("inner\n")
    (path / "dir/sub/deep").write_text("deep\n")
    (path / "link").symlink_to("dir/inner")


CHANGES = """
set -e
cd "$1"
echo more >>file
echo new >new
mkdir newdir
echo x >newdir/x
mv dir/inner dir/renamed
rm dir/sub/deep
rmdir dir/sub
chmod 700 dir
ln -s nowhere dangling
ln file hard
rm link
touch -d 2001-02-03 new
mkfifo fifo
test "$(cat file)" = "file
more"
test ! -e dir/sub
test "$(cat hard)" = "$(cat file)"
test "$(stat -c %h file)" = 2
ls -A | sort | tr '\\n' ' '
"""


def test_writes_vanish(work: Path) -> None:
    make_tree(work)
    before = tree_of(work)
    got = run("/bin/bash", "-c", CHANGES, "-", work)
    assert got.ok().out == "dangling dir fifo file hard new newdir "
    assert got.err == ""
    assert tree_of(work) == before
    assert run("/bin/cat", work / "file").ok().out == "file\n"


def test_removing_everything_harms_nothing(work: Path) -> None:
    make_tree(work)
    before = tree_of(work)
    sh(f"rm -rf {work}/dir {work}/file {work}/link && test -z \"$(ls -A {work})\"").ok()
    assert tree_of(work) == before


def test_system_files_are_safe(is_root: bool) -> None:
    before = Path("/etc/passwd").read_bytes()
    got = sh("echo intruder::0:0::: >>/etc/passwd && tail -n 1 /etc/passwd; rm -f /bin/true; "
             "test -e /bin/true || echo removed")
    if is_root:
        assert got.out == "intruder::0:0:::\nremoved\n", str(got)
    assert Path("/etc/passwd").read_bytes() == before and Path("/bin/true").exists()


def test_write_keeps(work: Path) -> None:
    make_tree(work)
    got = run("/bin/bash", "-c", CHANGES, "-", work, options=["--write", work]).ok()
    assert got.err == ""
    assert (work / "file").read_text() == "file\nmore\n"
    assert (work / "newdir/x").read_text() == "x\n"
    assert not (work / "dir/sub").exists() and (work / "dir/renamed").exists()
    assert stat.S_IMODE((work / "dir").stat().st_mode) == 0o700
    assert os.readlink(work / "dangling") == "nowhere"
    assert (work / "file").stat().st_ino == (work / "hard").stat().st_ino
    assert stat.S_ISFIFO((work / "fifo").stat().st_mode)
    assert int((work / "new").stat().st_mtime) // 86400 == 11356
    assert (work / "new").stat().st_uid == os.getuid()


def test_write_is_seen_at_once_by_the_host(work: Path) -> None:
    got = sh(f"echo one >{work}/file; cat {work}/file", options=["--write", work]).ok()
    assert got.out == "one\n" and (work / "file").read_text() == "one\n"


def test_write_only_what_was_named(work: Path) -> None:
    (work / "kept").mkdir()
    (work / "other").mkdir()
    sh(f"echo x >{work}/kept/x; echo x >{work}/other/x", options=["--write", work / "kept"]).ok()
    assert (work / "kept/x").exists() and not (work / "other/x").exists()


def test_write_of_a_single_file(work: Path) -> None:
    (work / "file").write_text("old")
    sh(f"echo new >{work}/file; echo x >{work}/beside", options=["--write", work / "file"]).ok()
    assert (work / "file").read_text() == "new\n" and not (work / "beside").exists()


def test_bind_elsewhere(work: Path) -> None:
    make_tree(work)
    got = sh("cat /place/dir/inner; echo new >/place/new; ls /place",
             options=["--bind", f"{work}:/place"]).ok()
    assert got.out.startswith("inner\n") and (work / "new").read_text() == "new\n"
    assert not Path("/place").exists()


def test_bind_read_only(work: Path) -> None:
    make_tree(work)
    before = tree_of(work)
    got = sh("cat /place/file; echo x >/place/new; rm /place/file; mkdir /place/d; "
             "chmod 0 /place/file; touch /place/file; mv /place/file /place/g; echo end",
             options=["--bind", f"{work}:/place:ro"])
    assert got.out == "file\nend\n"
    assert got.err.count("Read-only file system") == 6, str(got)
    assert tree_of(work) == before


def test_bind_read_only_at_its_place(work: Path) -> None:
    make_tree(work)
    before = tree_of(work)
    got = sh(f"echo x >{work}/new", options=["--bind", f"{work}:ro"])
    assert got.status != 0 and "Read-only" in got.err
    assert tree_of(work) == before


def test_bind_of_paths_with_colons(work: Path) -> None:
    (work / "a:b").write_text("colon\n")
    (work / "a\\").write_text("backslash\n")
    for option, path, text in (("./a\\:b:/mnt/to:ro", "/mnt/to", "colon\n"),
                               ("./a\\\\:/mnt/to", "/mnt/to", "backslash\n"),
                               ("./a\\:b:/mnt/c\\:d", "/mnt/c:d", "colon\n"),
                               ("./a\\:/mnt/to", "/mnt/to", None)):
        done = run("/bin/cat", path, options=("--bind", option), cwd=work)
        assert done.out == (text or "") and (done.status == 0) == (text is not None), str(done)
    for bad in ("a:/b:/c", "a:/b:ro:x", "a:ro:ro:ro"):
        assert run("/bin/true", options=("--bind", bad), cwd=work).status == 2


def test_bind_does_not_lead_outside(work: Path) -> None:
    """Links in a bound directory are resolved in the view, not on the host."""
    secret = Path("/tmp/cerebro-test-secret-" + uuid.uuid4().hex)
    secret.write_text("SECRET")
    try:
        (work / "absolute").symlink_to(secret)
        (work / "relative").symlink_to("../" * 20 + str(secret).lstrip("/"))
        got = sh("cat /place/absolute; cat /place/relative", options=["--bind", f"{work}:/place"])
        assert "SECRET" not in got.out and got.err.count("No such file") == 2
    finally:
        secret.unlink()


def test_tmp_is_private(private: Path) -> None:
    (private / "mine").write_text("x")
    got = sh(f"ls -A /tmp; test -e {private} && echo visible; echo x >/tmp/made; "
             "stat -c %a /tmp; cat /tmp/made").ok()
    assert got.out == "1777\nx\n"
    assert not Path("/tmp/made").exists()


def test_working_directory_below_tmp_is_visible(private: Path) -> None:
    (private / "mine").write_text("mine\n")
    got = sh("cat mine; echo x >new; cat new; pwd", cwd=private).ok()
    assert got.out == f"mine\nx\n{private}\n"
    assert not (private / "new").exists()


def test_program_below_tmp_runs(private: Path) -> None:
    program = private / "tool"
    shutil.copy(guest("show-static"), program)
    assert run(program, "exit", "9", cwd="/").status == 9
    assert run("./tool", "exit", "8", cwd=private).status == 8


def test_overlay_is_kept(work: Path) -> None:
    upper = work / "upper"
    lower = work / "lower"
    upper.mkdir()
    lower.mkdir()
    make_tree(lower)
    before = tree_of(lower)
    options = ["--overlay", upper]
    run("/bin/bash", "-c", CHANGES, "-", lower, options=options).ok()
    assert tree_of(lower) == before
    got = sh(f"cd {lower} && cat file newdir/x dir/renamed && readlink dangling && "
             "stat -c '%h' hard && stat -c '%a' hard dir | tr '\\n' ' '; test ! -e dir/sub && test ! -e link && "
             "test ! -e dir/inner && test -p fifo && echo same", options=options).ok()
    assert got.out == "file\nmore\nx\ninner\nnowhere\n2\n644 700 same\n", str(got)


def test_overlay_layer_is_plain_files(work: Path) -> None:
    upper = work / "upper"
    upper.mkdir()
    (work / "lower").mkdir()
    (work / "lower/gone").write_text("x")
    sh(f"echo kept >{work}/lower/new; rm {work}/lower/gone", options=["--overlay", upper]).ok()
    layer = upper / str(work / "lower").lstrip("/")
    assert (layer / "new").read_text() == "kept\n"
    whiteout = (layer / "gone").lstat()
    if stat.S_ISCHR(whiteout.st_mode):
        assert whiteout.st_rdev == 0
    else:
        assert whiteout.st_size == 0 and os.listxattr(layer / "gone")
    got = sh(f"ls -A {work}/lower", options=["--overlay", upper]).ok()
    assert got.out == "new\n"


def test_overlay_diff(work: Path) -> None:
    upper = work / "upper"
    upper.mkdir()
    got = sh(f"echo x >{work}/made", options=["--overlay", upper, "--diff"]).ok()
    assert f"A {work}/made" in got.err.splitlines()


def test_overlay_removed_and_made_again(work: Path) -> None:
    """A directory that replaces a removed one is opaque: nothing shines through."""
    upper = work / "upper"
    upper.mkdir()
    (work / "lower").mkdir()
    make_tree(work / "lower")
    options = ["--overlay", upper]
    sh(f"rm -r {work}/lower/dir && mkdir {work}/lower/dir && echo n >{work}/lower/dir/n",
       options=options).ok()
    assert sh(f"ls -A {work}/lower/dir", options=options).ok().out == "n\n"


def copy_libraries(program: str, root: Path) -> None:
    """What a dynamic program needs, at the same places below `root`."""
    for word in run_host(["/usr/bin/ldd", program]).out.split():
        if word.startswith("/"):
            target = root / word.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, target)


def busybox_root(path: Path) -> Path:
    busybox = tool("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    for folder in ("bin", "etc", "tmp", "home"):
        (path / folder).mkdir(parents=True)
    shutil.copy(busybox, path / "bin/busybox")
    copy_libraries(busybox, path)
    for applet in ("sh", "ls", "cat", "echo", "pwd", "mount", "id", "ps", "find", "rm", "mkdir"):
        (path / "bin" / applet).symlink_to("busybox")
    (path / "etc/hostname").write_text("inside\n")
    path.chmod(0o755)
    return path


def test_root_of_its_own(work: Path) -> None:
    root = busybox_root(work / "root")
    before = tree_of(root)
    got = run("/bin/sh", "-c", "cat /etc/hostname; ls /; echo x >/etc/new; cat /etc/new; pwd; "
              "ls /usr 2>/dev/null; echo $?", options=["--root", root, "--env", "PATH=/bin"],
              cwd="/").ok()
    lines = got.out.splitlines()
    assert lines[0] == "inside"
    assert set(lines[1:-3]) >= {"bin", "etc", "home", "tmp", "proc", "dev", "sys"}
    assert lines[-3] == "x" and lines[-2] == "/" and lines[-1] != "0"
    assert tree_of(root) == before


def test_root_hides_the_host(work: Path) -> None:
    root = busybox_root(work / "root")
    (work / "secret").write_text("SECRET")
    (root / "link").symlink_to(work / "secret")
    up = "../" * 30
    got = run("/bin/sh", "-c", f"cat {work}/secret; cat {up}{work}/secret; cat /link; "
              f"cat /proc/self/root{work}/secret; cat /proc/1/root{work}/secret; "
              f"cat /proc/self/cwd/{up}{work}/secret; cd /..; pwd",
              options=["--root", root, "--env", "PATH=/bin"], cwd="/")
    assert "SECRET" not in got.out and got.out.endswith("/\n")


def test_program_of_the_other_root(work: Path) -> None:
    root = busybox_root(work / "root")
    assert run("/usr/bin/env", options=["--root", root]).status == 127
    got = run("busybox", "echo", "yes", options=["--root", root, "--env", "PATH=/bin"])
    assert got.ok().out == "yes\n"


def test_devices() -> None:
    got = bash("for d in null zero full random urandom tty ptmx; do test -c /dev/$d || echo no $d; "
               "done; test -d /dev/pts && test -d /dev/shm; echo $?; "
               "head -c 4 /dev/zero | od -An -tx1; echo x >/dev/null; "
               "echo x 2>/dev/null >/dev/full || echo full; head -c 8 /dev/urandom | wc -c; "
               "test /dev/fd/0 -ef /proc/self/fd/0 && echo same; ls /dev/sda /dev/vda /dev/mem "
               "/dev/kmsg 2>/dev/null").out
    assert got.split() == ["0", "00", "00", "00", "00", "full", "8", "same"]


def test_shared_memory_is_private() -> None:
    name = f"cerebro-test-{uuid.uuid4().hex}"
    got = sh(f"echo x >/dev/shm/{name} && cat /dev/shm/{name}").ok()
    assert got.out == "x\n" and not Path(f"/dev/shm/{name}").exists()


def test_processes_of_the_host_are_invisible() -> None:
    got = sh("ls /proc | grep -c '^[0-9]*$'; cat /proc/1/cmdline 2>/dev/null | tr '\\0' ' '").ok()
    assert int(got.out.split()[0]) <= 6, str(got)
    got = sh(f"test -e /proc/{os.getpid()} && echo visible; kill -0 {os.getpid()}")
    assert "visible" not in got.out and got.status != 0


def test_own_proc_of_the_guest(work: Path) -> None:
    got = sh("cat /proc/self/comm; readlink /proc/self/cwd; cat /proc/self/cmdline | tr '\\0' ' '",
             cwd=work).ok()
    assert got.out.splitlines() == ["cat", str(work), "cat /proc/self/cmdline "]


def test_large_file_through_the_layer(work: Path) -> None:
    data = os.urandom(5_000_000)
    (work / "big").write_bytes(data)
    got = sh(f"printf x | dd of={work}/big bs=1 seek=2500000 conv=notrunc 2>/dev/null; "
             f"sha256sum <{work}/big").ok()
    import hashlib
    wanted = hashlib.sha256(data[:2_500_000] + b"x" + data[2_500_001:]).hexdigest()
    assert got.out.split()[0] == wanted and (work / "big").read_bytes() == data


def test_many_files_in_a_directory(work: Path) -> None:
    for number in range(1500):
        (work / f"f{number}").touch()
    got = sh(f"cd {work}; rm f7*; for i in 1 2 3; do touch g$i; done; ls | wc -l; ls -U | sort -u "
             "| wc -l").ok()
    gone = sum(1 for number in range(1500) if str(number).startswith("7"))
    assert got.out.split() == [str(1500 - gone + 3)] * 2


def test_fake_root_owns_what_it_says(work: Path) -> None:
    upper = work / "upper"
    upper.mkdir()
    (work / "d").mkdir()
    options = ["--uid", "0", "--overlay", upper]
    got = sh(f"id -u; cd {work}/d; echo x >f; chown 33:44 f; chmod 4755 f; stat -c '%u %g %a' f; "
             "mknod null c 1 3; stat -c '%t %T' null; whoami", options=options).ok()
    assert got.out == "0\n33 44 4755\n1 3\nroot\n", str(got)
    got = sh(f"cd {work}/d; stat -c '%u %g %a' f; stat -c '%F %t %T' null", options=options).ok()
    assert got.out == "33 44 4755\ncharacter special file 1 3\n", str(got)
    for path in upper.rglob("*") if os.getuid() != 0 else []:
        assert path.lstat().st_uid == os.getuid()
        assert not path.lstat().st_mode & stat.S_ISUID


def test_owners_of_links_are_kept(work: Path) -> None:
    """Symbolic links and FIFOs carry no attributes: their directory remembers their owners."""
    upper = work / "upper"
    upper.mkdir()
    (work / "d").mkdir()
    (work / "d/below").symlink_to("x")
    options = ["--uid", "0", "--overlay", upper]
    sh(f"cd {work}/d; mkdir e; ln -s x l; mkfifo p; chown -h 5:6 l below; chown 7:8 p; mv l e/m; "
       "ln -s y l; mv e f; ln -s z gone; chown -h 9:9 gone; rm gone", options=options).ok()
    got = sh(f"cd {work}/d; stat -c %u:%g f/m p l below; ln -s z gone; stat -c %u:%g gone",
             options=options).ok()
    assert got.out == "5:6\n7:8\n0:0\n5:6\n0:0\n", str(got)
    assert [path for path in upper.rglob("*") if path.is_symlink()], "no link in the layer"


def test_other_uid() -> None:
    got = sh("id -u; id -g; touch /tmp/x; stat -c %u:%g /tmp/x",
             options=["--uid", "1234:4321"]).ok()
    assert got.out == "1234\n4321\n1234:4321\n"


OTHER_IDS = """
import os, sys
work, change = sys.argv[1:3]
os.umask(0)
if change == "opened":
    os.chmod(work + "/closed", 0o755)
os.setgroups([]); os.setgid(12345); os.setuid(12345)
def attempt(action):
    try:
        return action()
    except OSError as error:
        return error.strerror
for name in ("file", "sub/file", "link", "sub/secret", "none"):
    print(name, attempt(lambda: open(work + "/closed/" + name).read()))
print("list", attempt(lambda: sorted(os.listdir(work + "/closed"))))
print("stat", attempt(lambda: os.stat(work + "/closed/sub/secret").st_size))
print("new", attempt(lambda: os.stat(work + "/open/new") if os.mkdir(work + "/open/new") else
                     (os.stat(work + "/open/new").st_uid, os.stat(work + "/open/new").st_gid)))
print("private", attempt(lambda: open(work + "/private").read()),
      attempt(lambda: os.unlink(work + "/private")),
      attempt(lambda: os.chmod(work + "/private", 0o777)))
"""


@pytest.mark.parametrize("change", ["as it is", "opened"])
@pytest.mark.parametrize("place", ["layer", "bound"])
def test_roots_guest_that_has_dropped_its_rights(place: str, change: str, work: Path,
                                                 is_root: bool) -> None:
    """It may what it might natively, in the layer and on the host; the layer's modes count there."""
    if not is_root:
        pytest.skip("only root's guests can have other ids on the host")
    work.parent.chmod(0o755)
    script = work / "script"
    script.write_text(OTHER_IDS)

    def tree(name: str) -> Path:
        folder = work / name
        (folder / "closed/sub").mkdir(parents=True)
        (folder / "closed/file").write_text("file")
        (folder / "closed/sub/file").write_text("deep")
        (folder / "closed/sub/secret").write_text("secret")
        (folder / "closed/sub/secret").chmod(0o600)
        (folder / "closed/link").symlink_to("sub/file")
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        (folder / "private").write_text("private")
        (folder / "private").chmod(0o600)
        (folder / "closed").chmod(0o700)
        return folder

    native = run_host(["/usr/bin/python3", script, tree("native"), change]).ok()
    ours = tree("ours")
    got = run("/usr/bin/python3", script, ours, change,
              options=["--write", work] if place == "bound" else []).ok()
    assert got.out == native.out
    assert ("deep" in got.out) == (change == "opened") and "secret Permission" in got.out
