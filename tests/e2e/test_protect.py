"""What the host executes for guests stays what it is, even where the user has opened up its folder.

With `--write` of the directory that holds the loader a guest can change nearly everything there.
Could it replace the loader, the host would execute its program with no kernel around it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from harness import CEREBRO, NATIVE, REPOSITORY, Result, run, sh

pytestmark = pytest.mark.skipif(NATIVE, reason="there is no loader without cerebro")

PROGRAM = Path(CEREBRO).resolve()


def find_loader() -> Path:
    """Beside the program in a build tree, else where it was installed."""
    for place in (PROGRAM.parent / "../trap/cerebro-loader",
                  PROGRAM.parent / "../lib/cerebro/cerebro-loader",
                  PROGRAM.parent / "../libexec/cerebro/cerebro-loader",
                  PROGRAM.parent / "cerebro-loader"):
        if place.exists():
            return place.resolve()
    pytest.skip("the loader is not in a place known to this test")


def opened_up() -> Path:
    """The directory above both, writable for the guest."""
    return Path(os.path.commonpath([find_loader(), PROGRAM]))


def identity(path: Path) -> tuple[int, int, int, int, str]:
    info = path.lstat()
    return (info.st_ino, info.st_mode, info.st_mtime_ns, info.st_nlink,
            hashlib.sha256(path.read_bytes()).hexdigest())


def attempt(script: str, victim: Path) -> Result:
    return sh(script, options=["--write", opened_up()],
              env={"PATH": "/usr/bin:/bin", "VICTIM": str(victim), "DIR": str(victim.parent),
                   "LANG": "C.UTF-8"})


ATTEMPTS = {
    "mv away": 'mv "$VICTIM" "$VICTIM.moved"',
    "rm": 'rm -f "$VICTIM"',
    "ln -f": 'ln -f /bin/true "$VICTIM"',
    "ln -sf": 'ln -sf /bin/true "$VICTIM"',
    "ln to it": 'ln "$VICTIM" "$VICTIM.linked"',
    "cp over": 'cp /bin/true "$VICTIM"',
    "cp --remove-destination": 'cp --remove-destination /bin/true "$VICTIM"',
    "mv over": 'cp /bin/true "$DIR/other.tmp" && { mv -f "$DIR/other.tmp" "$VICTIM"; r=$?; '
               'rm -f "$DIR/other.tmp"; exit $r; }',
    "chmod": 'chmod 000 "$VICTIM"',
    "touch": 'touch -d @1 "$VICTIM"',
    "truncate": 'truncate -s 0 "$VICTIM"',
    "redirect": ': >"$VICTIM"',
    "append": 'echo x >>"$VICTIM"',
    "dd": 'dd if=/bin/true of="$VICTIM" conv=notrunc',
    "mv the directory": 'mv "$DIR" "$DIR.moved"',
    "chmod the directory": 'chmod 600 "$DIR"',
    "exchange": 'python3 -c \'import ctypes, os, sys\n'
                'libc = ctypes.CDLL(None)\n'
                'open(os.environ["DIR"] + "/other.tmp", "w").close()\n'
                'r = libc.renameat2(-100, (os.environ["DIR"] + "/other.tmp").encode(), -100,\n'
                '                   os.environ["VICTIM"].encode(), 2)\n'
                'os.unlink(os.environ["DIR"] + "/other.tmp")\n'
                'sys.exit(r != 0)\'',
    "by descriptor": 'python3 -c \'import os\n'
                     'fd = os.open(os.environ["VICTIM"], os.O_RDONLY)\n'
                     'for act in (lambda: os.fchmod(fd, 0), lambda: os.utime(fd, (1, 1)),\n'
                     '            lambda: os.setxattr(fd, "user.x", b"y"),\n'
                     '            lambda: os.ftruncate(fd, 0),\n'
                     '            lambda: os.open(f"/proc/self/fd/{fd}", os.O_RDWR)):\n'
                     '    try:\n'
                     '        act()\n'
                     '    except OSError:\n'
                     '        continue\n'
                     '    raise SystemExit(0)\n'
                     'raise SystemExit(1)\'',
}


@pytest.mark.parametrize("which", ["loader", "program", "reader of archives"])
@pytest.mark.parametrize("name", ATTEMPTS)
def test_nothing_replaces_it(name: str, which: str) -> None:
    victim = {"loader": find_loader(), "program": PROGRAM,
              "reader of archives": find_loader().parent / "../archive/cerebro-archive"}[which].resolve()
    if not victim.exists():
        victim = find_loader().parent / "cerebro-archive"  # installed
    if not os.access(opened_up(), os.W_OK):
        pytest.skip("the build directory belongs to somebody else")
    before = identity(victim)
    result = attempt(ATTEMPTS[name], victim)
    assert result.status not in (0, None), str(result)
    assert identity(victim) == before
    run("/bin/true", options=["--write", opened_up()]).ok()


def test_the_rest_of_the_directory_is_writable() -> None:
    folder = find_loader().parent
    if not os.access(folder, os.W_OK):
        pytest.skip("the build directory belongs to somebody else")
    attempt('echo x >"$DIR/protect-test.tmp" && mv "$DIR/protect-test.tmp" "$DIR/protect-test.two" '
            '&& rm "$DIR/protect-test.two"', find_loader()).ok()
    assert not list(folder.glob("protect-test*"))


def test_through_another_mount() -> None:
    """The same directory under another name in the view."""
    victim = find_loader()
    if not os.access(victim.parent, os.W_OK):
        pytest.skip("the build directory belongs to somebody else")
    before = identity(victim)
    result = sh(f"rm -f /mnt/{victim.name}; mv /bin/true /mnt/{victim.name}; "
                f"chmod 777 /mnt/{victim.name}; test -s /mnt/{victim.name}",
                options=["--bind", f"{victim.parent}:/mnt"])
    assert identity(victim) == before, str(result)
    run("/bin/true").ok()
