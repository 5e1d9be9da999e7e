"""Packages installed by a root that can harm nothing, and the layer that keeps what is written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import NATIVE, Result, run, run_argv, run_host, sh, tool

pytestmark = pytest.mark.skipif(NATIVE, reason="it would change the host")


def need(*names: str) -> None:
    for name in names:
        if not tool(name):
            pytest.skip(f"{name} is not installed")


@pytest.fixture
def layer(work: Path) -> Iterator[Path]:
    path = work / "layer"
    path.mkdir()
    yield path
    run_host(["chmod", "-R", "u+rwX", str(path)])


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, unlike the one that pytest makes."""
    path = Path(tempfile.mkdtemp(prefix="cerebro-test-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


SCRIPTS = {
    "preinst": "echo preinst \"$@\"\n",
    "postinst": """set -e
echo postinst "$@" as $(id -u)
echo data >/var/lib/cerebro-sample/data
chown 12:34 /var/lib/cerebro-sample/data
chmod 2640 /var/lib/cerebro-sample/data
install -d -o games -g games -m 1770 /var/lib/cerebro-sample/games
ln -sf data /var/lib/cerebro-sample/link
chown -h 12:34 /var/lib/cerebro-sample/link
""",
    "prerm": "echo prerm \"$@\"\n",
    "postrm": "echo postrm \"$@\"\n[ \"$1\" != purge ] || rm -rf /var/lib/cerebro-sample\n",
}


def build_package(folder: Path, version: str = "1.0") -> Path:
    tree = folder / f"tree-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    for name in ("usr/bin", "etc", "var/lib/cerebro-sample"):
        (tree / name).mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: cerebro-sample\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: a package to try\n")
    (tree / "DEBIAN/conffiles").write_text("/etc/cerebro-sample.conf\n")
    for name, text in SCRIPTS.items():
        path = tree / "DEBIAN" / name
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)
    program = tree / "usr/bin/cerebro-sample"
    program.write_text(f"#!/bin/sh\necho version {version}\n")
    program.chmod(0o755)
    (tree / "usr/bin/sample").symlink_to("cerebro-sample")
    (tree / "etc/cerebro-sample.conf").write_text("setting\n")
    package = folder / f"sample-{version}.deb"
    run_host(["dpkg-deb", "--root-owner-group", "-b", str(tree), str(package)]).ok()
    return package


def as_root(layer: Path | None, *program: str | Path, options: tuple[str, ...] = (),
            timeout: float = 120.0) -> Result:
    keep = ["--overlay", str(layer)] if layer else []
    return run(*program, options=["--uid", "0", *keep, *options], timeout=timeout)


def shell_as_root(layer: Path | None, script: str) -> Result:
    return as_root(layer, "/bin/sh", "-c", script)


def test_dpkg_installs_and_removes(work: Path, layer: Path) -> None:
    need("dpkg", "dpkg-deb")
    package = build_package(work)
    got = as_root(layer, "dpkg", "-i", package).ok()
    assert "preinst install\n" in got.out and "postinst configure  as 0\n" in got.out
    got = shell_as_root(layer, """
sample; cat /etc/cerebro-sample.conf
cd /var/lib/cerebro-sample; stat -c '%n %U:%G %a' . games /usr/bin/cerebro-sample
stat -c '%n %u:%g %a' data; dpkg -S /usr/bin/sample; dpkg -L cerebro-sample | grep -c cerebro-sample
dpkg-query -W -f '${Status}\\n' cerebro-sample; dpkg -V cerebro-sample
""").ok()
    assert got.out.splitlines() == [
        "version 1.0", "setting", ". root:root 755", "games games:games 1770",
        "/usr/bin/cerebro-sample root:root 755", "data 12:34 2640",
        "cerebro-sample: /usr/bin/sample", "3", "install ok installed"], str(got)
    assert not os.path.exists("/usr/bin/cerebro-sample"), "it is on the host"
    got = as_root(layer, "dpkg", "-i", build_package(work, "2.0")).ok()
    assert "postinst configure 1.0 as 0\n" in got.out
    assert run("sample", options=["--overlay", layer]).ok().out == "version 2.0\n"
    got = as_root(layer, "dpkg", "-r", "cerebro-sample").ok()
    assert "prerm remove\n" in got.out and "postrm remove\n" in got.out
    got = shell_as_root(layer, "cat /etc/cerebro-sample.conf; ls /usr/bin/cerebro-sample")
    assert got.out == "setting\n" and got.status != 0
    got = as_root(layer, "dpkg", "--purge", "cerebro-sample").ok()
    assert "postrm purge\n" in got.out
    got = shell_as_root(layer, "ls -d /etc/cerebro-sample.conf /var/lib/cerebro-sample")
    assert got.status != 0 and got.out == ""


def test_dpkg_into_memory(work: Path) -> None:
    need("dpkg", "dpkg-deb")
    package = build_package(work)
    got = shell_as_root(None, f"dpkg -i {package} >/dev/null && sample && "
                        "stat -c '%u:%g %a' /var/lib/cerebro-sample/data && "
                        "dpkg -P cerebro-sample >/dev/null; ls /usr/bin/sample")
    assert got.out == "version 1.0\n12:34 2640\n", str(got)
    assert run("dpkg", "-s", "cerebro-sample").status == 1


def test_dpkg_of_a_real_root_needs_no_disguise(work: Path, is_root: bool) -> None:
    need("dpkg", "dpkg-deb")
    package = build_package(work)
    got = sh(f"dpkg -i {package} && sample && dpkg -P cerebro-sample")
    if is_root:
        assert "version 1.0" in got.ok().out
    else:
        assert got.status != 0 and "superuser" in got.err


def skip_without_mirror() -> None:
    need("apt-get")
    got = run_host(["apt-get", "--print-uris", "download", "hello"], cwd="/", timeout=20)
    where = got.out.split("'")[1] if got.out.startswith("'") else ""
    if not where.startswith("http"):
        pytest.skip("apt knows no package hello on this machine")
    probe = ("import sys, urllib.request as u; "
             "u.urlopen(u.Request(sys.argv[1], method='HEAD'), timeout=8)")
    if run_host(["/usr/bin/python3", "-c", probe, where], timeout=20).status != 0:
        pytest.skip(f"the mirror does not answer: {where}")


@pytest.mark.parametrize("kept", [True, False], ids=["layer", "memory"])
def test_apt_installs_a_package(layer: Path, kept: bool) -> None:
    skip_without_mirror()
    apt = "apt-get -q -o Acquire::Retries=2 -o Dpkg::Use-Pty=0"
    script = (f"set -e; {apt} update; {apt} install -y --no-install-recommends hello; hello; "
              "stat -c '%U %a' /var/lib/apt/lists/partial; dpkg -S bin/hello; ")
    got = as_root(layer if kept else None, "/bin/sh", "-c", script, options=("--net", "host"),
                  timeout=240).ok()
    assert "Setting up hello" in got.out and "Hello, world!" in got.out
    assert got.out.endswith("_apt 700\nhello: /usr/bin/hello\n"), str(got)
    assert "unsandboxed" not in got.err, "the download ran without its own user"
    if kept:
        got = as_root(layer, "/usr/bin/hello", "-t").ok()
        assert got.out == "hello, world\n"
        got = shell_as_root(layer, f"{apt} purge -y hello && ls /usr/bin/hello")
        assert got.status == 2 and "Removing hello" in got.out, str(got)


# ---- the fake root ----

def test_ownership_as_a_fake_root(layer: Path) -> None:
    script = """
cd /srv; echo x >f; mkdir d; ln -s f l; chown 12:34 f; chown -R 5:6 d; chown -h 7:8 l; chmod 4711 f
stat -c '%u:%g %a' f d; tar c f d | tar tv --numeric-owner | cut -d' ' -f1,2
mknod n c 1 3; stat -c '%F %t:%T' n; mknod -m 600 b b 8 1; stat -c '%F %a' b; id -u; id -g
chown 0:0 f; stat -c '%u:%g %a' f; touch r; chmod 0 r; cat r; echo y >>r; chmod 600 r; cat r
"""
    want = ["12:34 4711", "5:6 755", "-rws--x--x 12/34", "drwxr-xr-x 5/6",
            "character special file 1:3", "block special file 600", "0", "0", "0:0 711", "y"]
    for place in (layer, None):
        got = shell_as_root(place, script).ok()
        assert got.out.splitlines() == want, str(got)


def test_ownership_is_remembered(layer: Path) -> None:
    shell_as_root(layer, """cd /srv; umask 0; mkdir d; echo x >d/f; chown 12:34 d/f; chmod 600 d/f
chown 5:6 d; chmod 000 d; echo y >g; chmod 0 g; chmod 755 g; cp -p d/f d/copy; mv d/f d/moved
ln d/moved hard; mknod n c 1 3""").ok()
    got = shell_as_root(layer, "cd /srv; stat -c '%n %u:%g %a %h' d d/copy d/moved hard g; ./g; "
                        "stat -c '%F %t:%T' n; cat d/moved").out
    assert got.splitlines() == ["d 5:6 0 2", "d/copy 12:34 600 1", "d/moved 12:34 600 2",
                                "hard 12:34 600 2", "g 0:0 755 1",
                                "character special file 1:3", "x"], got


def test_becoming_another_user() -> None:
    script = ("setpriv --reuid=1000 --regid=1000 --clear-groups sh -c "
              "'id -u; id -G; touch /etc/mine 2>/dev/null || echo refused; "
              "chown 0 /tmp/f 2>/dev/null || echo refused; echo z >/tmp/own; stat -c %u /tmp/own'; "
              "id -u")
    got = shell_as_root(None, f"touch /tmp/f; {script}").ok()
    assert got.out.splitlines() == ["1000", "1000", "refused", "refused", "1000", "0"], str(got)


def test_other_ids(work: Path) -> None:
    got = sh("id -u; id -g; touch /tmp/f; stat -c %u:%g /tmp/f; chown 0 /tmp/f || echo refused",
             options=["--uid", "1234:567"]).ok()
    assert got.out.splitlines() == ["1234", "567", "1234:567", "refused"], str(got)


# ---- what the layer looks like ----

CHANGES = """
mkdir /srv/cerebro-none; cd /srv/cerebro-none
echo new >new; mkdir -p a/b; echo deep >a/b/c; ln -s new link; ln new hard
rm -f /etc/hostname.gone; cp /etc/passwd copy; echo more >>/etc/services; rm /etc/shells
rm -r /etc/skel; mkdir /etc/skel; echo only >/etc/skel/only; mv /etc/profile /etc/profile.moved
chmod 600 /etc/protocols; touch -d 2001-02-03 new
"""
# No redirection to /dev/null: a mounted layer has no /dev.
SEEN = ("cd /; (find etc srv/cerebro-none -printf '%P %y %m %l\\n'; cat etc/services "
        "etc/profile.moved etc/skel/only srv/cerebro-none/a/b/c | sha256sum) | sort")


def test_layer_persists(layer: Path) -> None:
    shell_as_root(layer, CHANGES).ok()
    first = shell_as_root(layer, SEEN).ok().out
    assert "skel/only f" in first and "shells" not in first and "profile.moved" in first
    assert first == shell_as_root(layer, SEEN).ok().out
    assert os.path.exists("/etc/shells") and not os.path.exists("/srv/cerebro-none")


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_kernel_overlay_shows_the_same(public: Path, is_root: bool, user: str) -> None:
    """The layer is in the kernel's own format, also when somebody without privileges made it."""
    if not is_root:
        pytest.skip("only root can mount")
    become = [] if user == "root" else ["setpriv", "--reuid=65534", "--regid=65534",
                                        "--clear-groups", "--"]
    identity = [] if user == "root" else ["--uid", "0"]
    layer = public / "layer"
    for name in ("layer", "index", "view"):
        (public / name).mkdir()
    if become:
        os.chown(layer, 65534, 65534)
    options = [*identity, "--overlay", layer]
    run_host([*become, *run_argv(["/bin/sh", "-c", CHANGES], options)], cwd="/").ok()
    wanted = run_host([*become, *run_argv(["/bin/sh", "-c", SEEN], options)], cwd="/").ok().out
    xattrs = ",userxattr" if become else ""
    user_spec = "--userspec=65534:65534" if become else ""
    mount = (f"mount -t overlay overlay -o lowerdir=/,upperdir={layer},workdir={public}/index"
             f"{xattrs} {public}/view || exit 77; "
             f"exec chroot {user_spec} {public}/view /bin/sh -c \"$0\"")
    got = run_host(["unshare", "-m", "sh", "-c", mount, SEEN])
    if got.status == 77:
        pytest.skip(f"the host mounts no overlay: {got.err.strip()}")
    assert got.ok().out == wanted


def test_what_the_host_keeps_closed(work: Path, layer: Path, is_root: bool) -> None:
    """A fake root may look everywhere but sees no more than the user who runs it."""
    (work / "closed").mkdir()
    (work / "closed/hidden").write_text("hidden\n")
    (work / "lock").write_text("")
    (work / "full").write_text("text\n")
    for name in ("closed", "lock", "full"):
        (work / name).chmod(0)
    try:
        got = shell_as_root(layer, f"""cd {work}; cat full || echo refused
echo mine >>lock; cat lock
ls closed || echo refused; chmod 700 closed; echo new >closed/new; ls closed""").ok()
        again = shell_as_root(layer, f"cd {work}; stat -c %a closed lock; ls closed; cat closed/*")
    finally:
        (work / "closed").chmod(0o700)
    if is_root:
        assert got.out.split() == ["text", "mine", "hidden", "hidden", "new"], str(got)
        assert again.ok().out.split() == ["700", "0", "hidden", "new", "hidden", "new"], str(again)
    else:
        assert got.out.split() == ["refused", "mine", "refused", "new"], str(got)
        assert again.ok().out.split() == ["700", "0", "new", "new"], str(again)
    assert os.listdir(work / "closed") == ["hidden"] and (work / "lock").stat().st_size == 0


# ---- another root ----

@pytest.fixture
def busybox_root(work: Path) -> Path:
    """The tree of a small system: busybox and nothing else."""
    busybox = tool("busybox")
    if not busybox:
        pytest.skip("busybox is not installed")
    root = work / "root"
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "var/lib"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    listed = run_host(["ldd", busybox])
    for line in listed.out.splitlines() if listed.status == 0 else []:
        for word in line.split():
            if word.startswith("/"):
                target = root / word[1:]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, target)
    for name in ("sh", "ls", "cat", "echo", "id", "mount", "ps", "rm", "mkdir", "grep", "readlink"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/:/bin/sh\n")
    (root / "etc/up").symlink_to("../../../../etc/passwd")
    return root


def test_another_root(busybox_root: Path, work: Path, layer: Path) -> None:
    script = """ls /; cat /etc/up | grep -c .; ls /usr 2>/dev/null || echo no usr
echo kept >/etc/new; rm /etc/passwd; cat /proc/self/comm; readlink /proc/self/exe; cd ..; pwd
ls /.. | grep -c bin; echo x >/dev/null && ls /dev/null
ps -o comm | grep -c '^ps'; echo t >/tmp/t; cat /tmp/t"""
    options = ["--root", busybox_root, "--cwd", "/"]
    got = run("/bin/sh", "-c", script, options=options).ok()
    lines = got.out.splitlines()
    assert lines[:2] == ["bin", "dev"] and "root" in lines, str(got)
    assert lines[-9:] == ["2", "no usr", "cat", "/bin/busybox", "/", "1", "/dev/null", "1", "t"], \
        str(got)
    assert sorted(os.listdir(busybox_root / "etc")) == ["passwd", "up"]
    run("/bin/sh", "-c", script, options=[*options, "--overlay", layer]).ok()
    got = run("/bin/sh", "-c", "ls /etc; cat /etc/new", options=[*options, "--overlay", layer])
    assert got.out.split() == ["new", "up", "kept"], str(got)
    (work / "data").mkdir()
    (work / "data/in").write_text("from outside\n")
    got = run("/bin/sh", "-c", "cat /mnt/data/in; echo out >/mnt/data/out; echo no >/mnt/ro/x; "
              "cat /mnt/one", options=[*options, "--bind", f"{work}/data:/mnt/data", "--bind",
                                       f"{work}/data:/mnt/ro:ro", "--bind",
                                       f"{work}/data/in:/mnt/one:ro"]).ok()
    assert got.out == "from outside\n" * 2 and "ead-only" in got.err, str(got)
    assert (work / "data/out").read_text() == "out\n" and not (work / "data/x").exists()
