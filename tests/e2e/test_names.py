"""Names that lead somewhere special: nameless files, directories that change while they are read,
FIFOs and sockets of the host."""

from __future__ import annotations

import mmap
import os
import socket
import threading
from pathlib import Path

import pytest

from harness import NATIVE, Result, run, sh


def python(script: str, **how) -> Result:  # type: ignore[no-untyped-def]
    return run("/usr/bin/python3", "-c", script, **how)


# ---- O_TMPFILE ----

LINK_NAMELESS = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_FDCWD = 0x1000, 0x400, -100
def link(fd, name):
    path = f'/proc/self/fd/{fd}'.encode()
    if libc.linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0:
        raise OSError(ctypes.get_errno(), 'linkat')
os.chdir(sys.argv[1])
fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o640)
os.write(fd, b'content')
link(fd, b'first')
assert open('first').read() == 'content'
assert os.stat('first').st_mode & 0o777 == 0o640
assert os.fstat(fd).st_nlink == 1, os.fstat(fd)
fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(fd, b'other')
assert libc.linkat(fd, b'', AT_FDCWD, b'second', AT_EMPTY_PATH) == 0, ctypes.get_errno()
assert open('second').read() == 'other'
assert sorted(os.listdir('.')) == ['first', 'second']
fd = os.open('.', os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
try:
    link(fd, b'third')
except FileNotFoundError:
    sys.exit(0)
sys.exit('an exclusive temporary file got a name')
"""


@pytest.mark.parametrize("where", ["memory", "overlay", "host upper", "bind"])
def test_nameless_file_gets_a_name(where: str, work: Path) -> None:
    if NATIVE and where == "memory":
        pytest.skip("/tmp is the host's own")
    folder, upper = work / "folder", work / "upper"
    folder.mkdir()
    upper.mkdir()
    options = {"overlay": [], "host upper": ["--overlay", upper], "bind": ["--write", folder]}
    script = LINK_NAMELESS
    if where == "memory":
        script = "import os; os.mkdir('/tmp/folder')\n" + LINK_NAMELESS
    place = "/tmp/folder" if where == "memory" else str(folder)
    run("/usr/bin/python3", "-c", script, place, options=options.get(where, [])).ok()
    assert sorted(os.listdir(folder)) == (["first", "second"] if where == "bind" or NATIVE
                                          else [])


# ---- directories ----

@pytest.fixture
def many(work: Path) -> Path:
    folder = work / "many"
    for i in range(40):
        (folder / f"d{i}").mkdir(parents=True)
        for j in range(30):
            (folder / f"d{i}/f{j}").touch()
    return folder


def test_listing_follows_changes(many: Path) -> None:
    """Through one descriptor: before, after a creation by it, after a removal, while iterating."""
    python("""
import os, sys
fd = os.open(sys.argv[1] if len(sys.argv) > 1 else 'd3', os.O_RDONLY | os.O_DIRECTORY)
names = {f'f{i}' for i in range(30)}
assert set(os.listdir(fd)) == names
os.close(os.open('new', os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
os.mkdir('newer', dir_fd=fd)
assert set(os.listdir(fd)) == names | {'new', 'newer'}, os.listdir(fd)
os.unlink('f7', dir_fd=fd)
assert set(os.listdir(fd)) == (names | {'new', 'newer'}) - {'f7'}
seen = []
with os.scandir('d4') as entries:
    for entry in entries:
        seen.append(entry.name)
        os.unlink('d4/' + entry.name)
        open('d4/more', 'w').close()
assert set(seen) - {'more'} == names and len(seen) <= 31, seen
assert os.listdir('d4') == ['more']
""", cwd=many).ok()
    assert NATIVE or len(os.listdir(many / "d4")) == 30


def test_remove_a_tree(many: Path) -> None:
    result = sh("rm -rf many && test ! -e many && mkdir many && ls -A many", cwd=many.parent)
    assert result.ok().out == ""
    assert NATIVE or len(os.listdir(many)) == 40


def test_move_a_tree(many: Path) -> None:
    """mv copies what cannot be renamed, and removes it while it reads it."""
    result = sh("mv many else && find else -type f | wc -l && test ! -e many", cwd=many.parent)
    assert result.ok().out.strip() == "1200"


# ---- FIFOs and sockets of the host ----

def test_fifo_to_the_guest(work: Path) -> None:
    """The guest waits in open() until somebody on the host writes."""
    os.mkfifo(work / "fifo")
    def write() -> None:
        with open(work / "fifo", "w", encoding="ascii") as fifo:
            fifo.write("from outside\n")
    writer = threading.Timer(0.5, write)
    writer.start()
    result = sh(f"cat {work}/fifo", options=["--bind", work])
    writer.join()
    assert result.ok().out == "from outside\n"


def test_fifo_from_the_guest(work: Path) -> None:
    os.mkfifo(work / "fifo")
    got: list[str] = []
    def read() -> None:
        with open(work / "fifo", encoding="ascii") as fifo:
            got.append(fifo.read())
    reader = threading.Timer(0.5, read)
    reader.start()
    sh(f"echo from inside >{work}/fifo", options=["--bind", work]).ok()
    reader.join()
    assert got == ["from inside\n"]


CONNECT = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.sendall(b'hello')
client.shutdown(socket.SHUT_WR)
print(client.recv(100).decode())
"""


@pytest.mark.skipif(NATIVE, reason="natively every socket can be connected to")
@pytest.mark.parametrize("opened", [True, False])
def test_socket_of_the_host(work: Path, opened: bool) -> None:
    """A writable bind gives access; the read-only view does not."""
    got: list[bytes] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(work / "s"))
    server.listen()
    server.settimeout(20 if opened else 0.1)
    result: list[Result] = []
    def serve() -> None:
        try:
            client, _ = server.accept()
        except TimeoutError:
            return
        with client:
            got.append(client.recv(100))
            client.sendall(b"answer")
    thread = threading.Thread(target=serve)
    if opened:
        thread.start()
    result.append(run("/usr/bin/python3", "-c", CONNECT, work / "s",
                      options=["--bind", work] if opened else []))
    if not opened:
        thread.start() # whoever did connect waits in the queue
    thread.join()
    server.close()
    if opened:
        assert result[0].ok().out == "answer\n"
        assert got == [b"hello"]
    else:
        assert result[0].status != 0 and not got


# ---- directories of the host that are renamed while a program walks through them ----

# `ledger` is odd while a rename is under way. Its second half says where the directory is:
# a program that sees the same even number before and after a call knows what was there meanwhile.
LOOK_AGAIN_AND_AGAIN = """
import mmap, os, sys
os.chdir(sys.argv[1])
ledger = memoryview(mmap.mmap(os.open('ledger', os.O_RDWR), 4096)).cast('Q')
absolute = sys.argv[1] + '/'
judged = 0
for number in range(40000):
    name = ('a', 'z')[number // 8 % 2]
    path = (absolute if number // 16 % 2 else '') + 'tree/' + name + '/deep/file'
    before = ledger[0]
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        size = None
    if before % 2 or ledger[0] != before:
        continue
    judged += 1
    there = name == ('a', 'z')[before // 2 % 2]
    if size != (5 if there else None):
        sys.exit(f'look {number} at {path}: size {size} while the ledger says {before}')
print(judged)
"""


@pytest.mark.parametrize("where", ["view", "bind", "read-only bind"])
def test_renames_on_the_host_are_seen_at_once(where: str, work: Path) -> None:
    (work / "tree/a/deep").mkdir(parents=True)
    (work / "tree/a/deep/file").write_text("file\n")
    (work / "ledger").write_bytes(bytes(4096))
    options: list[str | Path] = {"view": ["--bind", f"{work}/ledger"], "bind": ["--write", work],
                                 "read-only bind": ["--bind", f"{work}/ledger",
                                                    "--bind", f"{work}/tree:{work}/tree:ro"]}[where]
    ended = threading.Event()

    def move() -> None:
        with (work / "ledger").open("r+b") as file, mmap.mmap(file.fileno(), 4096) as page:
            ledger = memoryview(page).cast("Q")
            while not ended.wait(0.003):
                names = ("a", "z") if ledger[0] // 2 % 2 == 0 else ("z", "a")
                ledger[0] += 1
                (work / "tree" / names[0]).rename(work / "tree" / names[1])
                ledger[0] += 1
            ledger.release()

    mover = threading.Thread(target=move)
    mover.start()
    try:
        got = run("/usr/bin/python3", "-c", LOOK_AGAIN_AND_AGAIN, work, options=options)
    finally:
        ended.set()
        mover.join()
    assert int(got.ok().out) > 1000
