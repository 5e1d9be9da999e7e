"""Escapes: what a hostile program tries, and that the host has not changed afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import CEREBRO, base_environment, guest, read_process, run, sh
from test_guest import cases_of, judge


@dataclass
class Outside:
    """A piece of the host that no guest may reach, and a process that no guest may touch."""

    path: Path
    process: subprocess.Popen[bytes]
    priority: int
    received: list[bytes] = field(default_factory=list)
    connections: int = 0

    def environment(self, **more: str) -> dict[str, str]:
        return base_environment(
            GUEST_SECRET=str(self.path / "secret"), GUEST_OUTSIDE=str(self.path / "outside"),
            GUEST_OUTSIDE_PID=str(self.process.pid), GUEST_HOST_SOCKET=str(self.path / "socket"),
            GUEST_HOST_DATAGRAM=str(self.path / "datagram"),
            GUEST_HOST_ABSTRACT=f"cerebro-test-{self.path.name}", **more)

    def state(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.path.rglob("*")):
            info = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path)] = f"{info.st_mode:o} {info.st_uid} {info.st_mtime_ns} {content}"
        return found

    def alive(self) -> bool:
        process = read_process(self.process.pid)
        return (process is not None and process.state in "SR"
                and os.getpriority(os.PRIO_PROCESS, self.process.pid) == self.priority)


def serve(outside: Outside, server: socket.socket) -> None:
    """A host process that would take in and hand out descriptors."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        outside.connections += 1
        with client, open(outside.path / "secret", "rb") as secret:
            try:
                socket.send_fds(client, [b"x"], [secret.fileno()])
            except OSError:
                pass


def collect(outside: Outside, server: socket.socket) -> None:
    while True:
        try:
            data = server.recv(100)
        except OSError:
            return
        if data == b"end":
            return
        outside.received.append(data)


def make_outside(path: Path) -> tuple[Outside, list[socket.socket], list[threading.Thread]]:
    (path / "outside/kept").mkdir(parents=True)
    secret = path / "secret"
    secret.write_text("#!/bin/sh\nexit 66 # SECRET\n")
    secret.chmod(0o777)
    process = subprocess.Popen(["/bin/sleep", "1000"])
    outside = Outside(path, process, os.getpriority(os.PRIO_PROCESS, process.pid))
    sockets, threads = [], []
    for name, kind, work in ((str(path / "socket"), socket.SOCK_STREAM, serve),
                             (f"\0cerebro-test-{path.name}", socket.SOCK_STREAM, serve),
                             (str(path / "datagram"), socket.SOCK_DGRAM, collect)):
        server = socket.socket(socket.AF_UNIX, kind)
        server.bind(name)
        if kind == socket.SOCK_STREAM:
            server.listen(5)
        thread = threading.Thread(target=work, args=(outside, server), daemon=True)
        thread.start()
        sockets.append(server)
        threads.append(thread)
    return outside, sockets, threads


@pytest.fixture(params=["private-tmp", "other-root"])
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outside]:
    """Below /tmp the view has a /tmp of its own; elsewhere the view has another root."""
    base = "/tmp" if request.param == "private-tmp" else os.environ["HOME"]
    path = Path(base, f"cerebro-test-{uuid.uuid4().hex[:8]}")
    path.mkdir(mode=0o755)
    found, sockets, threads = make_outside(path)
    before = found.state()
    try:
        yield found
        assert found.alive(), "the host's process was hit"
        assert found.state() == before, "the host's files have changed"
        assert found.connections == 0, "a guest connected to a socket of the host"
        assert found.received == [], "a guest sent something to a socket of the host"
    finally:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"end", str(path / "datagram"))
        for server in sockets[:2]:
            server.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)
        for server in sockets:
            server.close()
        found.process.kill()
        found.process.wait()
        shutil.rmtree(path)


def root_for(outside: Outside, work: Path, program: str) -> tuple[list[str], str]:
    """Options and program path for a view from which the outside is not visible by any name."""
    if str(outside.path).startswith("/tmp/"):
        return [], guest(program)
    root = work / "root"
    for folder in ("bin", "etc", "tmp"):
        (root / folder).mkdir(parents=True)
    for name in (program, "show-static"):
        shutil.copy(guest(name), root / "bin" / name)
    shutil.copy(guest("show-static"), root / "bin/true")
    (root / "etc/passwd").write_text("root:x:0:0:::\n")
    (root / "etc/group").write_text("root:x:0:\n")
    return ["--root", str(root)], f"/bin/{program}"


def attack(outside: Outside, work: Path, program: str, case: str, *options: str,
           **environment: str) -> None:
    view, path = root_for(outside, work, program)
    got = run(path, case, options=[*view, *options], cwd="/", timeout=120,
              env=outside.environment(GUEST_DIR="/tmp", **environment))
    judge(got)


# Below, with a device of its own.
WITH_DEVICE = ["flooding"]
STATIC = ["attack-paths", "attack-loader", "attack-exec"]
DYNAMIC = ["attack-races", "attack-processes", "attack-calls", "attack-descriptors"]


@pytest.mark.parametrize(("program", "case"),
                         [(p, c) for p in STATIC for c in cases_of(p)], ids=str)
def test_attack(program: str, case: str, outside: Outside, work: Path) -> None:
    attack(outside, work, program, case)


@pytest.mark.parametrize("outside", ["private-tmp"], indirect=True)
@pytest.mark.parametrize(("program", "case"),
                         [(p, c) for p in DYNAMIC for c in cases_of(p) if c not in WITH_DEVICE],
                         ids=str)
def test_attack_in_the_default_view(program: str, case: str, outside: Outside, work: Path) -> None:
    attack(outside, work, program, case)


@pytest.mark.parametrize("outside", ["private-tmp"], indirect=True)
@pytest.mark.parametrize(("program", "case"), [
    (p, c) for p in ("attack-paths", "attack-processes", "attack-exec") for c in cases_of(p)],
    ids=str)
def test_attack_as_fake_root(program: str, case: str, outside: Outside, work: Path) -> None:
    attack(outside, work, program, case, "--uid", "0")


@pytest.mark.parametrize("outside", ["private-tmp"], indirect=True)
@pytest.mark.parametrize("case", ["file-and-link", "directory-and-link", "moving-directory"])
def test_race_in_a_writable_directory(case: str, outside: Outside, work: Path) -> None:
    """The names that are exchanged are those of the host itself here."""
    got = run(guest("attack-races"), case, options=["--write", work], cwd="/", timeout=120,
              env=outside.environment(GUEST_DIR=str(work)))
    judge(got)


@pytest.mark.parametrize("outside", ["private-tmp"], indirect=True)
@pytest.mark.parametrize("case", ["forged-numbers", "served-ones", *WITH_DEVICE])
def test_attack_on_the_test_device(case: str, outside: Outside, work: Path) -> None:
    attack(outside, work, "attack-descriptors", case, "--test-device")


@pytest.mark.parametrize("outside", ["private-tmp"], indirect=True)
def test_attack_over_the_hosts_network(outside: Outside, work: Path) -> None:
    for case in ("host-sockets", "host-datagrams"):
        attack(outside, work, "attack-descriptors", case, "--net", "host")
    attack(outside, work, "attack-calls", "past-the-filter", "--net", "host")


@contextlib.contextmanager
def directory(path: Path) -> Iterator[str]:
    """A short name of a directory: names of sockets have at most 107 bytes."""
    fd = os.open(path, os.O_PATH)
    yield f"/proc/self/fd/{fd}"
    os.close(fd)


def test_host_socket_in_a_bound_directory_is_not_a_way_out(work: Path) -> None:
    """What the user binds is open to the guest, and only that."""
    (work / "inside").mkdir()
    with socket.socket(socket.AF_UNIX) as server, directory(work) as place:
        server.bind(f"{place}/outside.socket")
        server.listen(1)
        script = f"""
import os, socket
os.chdir("{work}/inside")
s = socket.socket(socket.AF_UNIX)
try:
    s.connect("../outside.socket")
    print("connected")
except OSError as error:
    print("refused", error.errno)
"""
        got = run("/usr/bin/python3", "-c", script, options=["--write", work / "inside"])
        assert got.out.startswith("refused"), str(got)


def copy_of_cerebro(work: Path) -> Path:
    """A private copy that the user owns, as somebody has who built it himself."""
    build = Path(CEREBRO).parents[2]
    target = work / "own"
    for part in ("src/cli/cerebro", "src/trap/cerebro-loader"):
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(build / part, target / part)
    return target


REPLACE = """
d={0}/src/trap
echo x >>$d/cerebro-loader; echo x >$d/cerebro-loader; : >$d/cerebro-loader
chmod 777 $d/cerebro-loader; rm -f $d/cerebro-loader
mv $d/cerebro-loader $d/old; cp /bin/true $d/new; mv -f $d/new $d/cerebro-loader
ln -f /bin/true $d/cerebro-loader; truncate -s 0 $d/cerebro-loader
mv {0}/src/trap {0}/src/gone; mkdir {0}/src/trap; cp {1} {0}/src/trap/cerebro-loader
/bin/true && /bin/echo still alive
"""


def test_the_loader_cannot_be_replaced(work: Path) -> None:
    """Even where the user has opened the very directory in which it lies."""
    own = copy_of_cerebro(work)
    evil = work / "evil"
    evil.write_text(f"#!/bin/sh\necho x >{work}/escaped\n")
    evil.chmod(0o755)
    from harness import EXTRA_OPTIONS, WRAPPER, run_host
    got = run_host([*WRAPPER, str(own / "src/cli/cerebro"), "run", *EXTRA_OPTIONS, "--write",
                    str(own), "--", "/bin/sh", "-c", REPLACE.format(own, evil)], timeout=60)
    assert got.status is not None, str(got)
    assert not (work / "escaped").exists(), "the host executed a file that the guest had made"
    loader = own / "src/trap/cerebro-loader"
    if got.out.endswith("still alive\n"):
        return
    # Programs may fail to start when the loader is gone, but nothing else may run instead.
    assert not loader.exists() or loader.read_bytes() != Path("/bin/true").read_bytes(), str(got)


def test_the_loader_of_the_host_stays_as_it_is(work: Path) -> None:
    loader = Path(CEREBRO).parents[1] / "trap/cerebro-loader"
    before = loader.read_bytes()
    got = sh(f"echo x >>{loader}; rm -f {loader}; mv {loader} /tmp/x; /bin/echo alive")
    assert got.out.endswith("alive\n"), str(got)
    assert loader.read_bytes() == before


def test_text_cannot_be_typed_into_the_users_terminal() -> None:
    """TIOCSTI: a guest on the user's terminal types a command for the shell behind it."""
    import pty

    master, slave = pty.openpty()
    try:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            ctypes.CDLL(None).ioctl(slave, 0x540E, 0)  # TIOCSCTTY
            for number in (0, 1, 2):
                os.dup2(slave, number)
            from harness import run_argv
            words = run_argv([guest("attack-calls"), "terminal-input"])
            os.execve(words[0], words, base_environment(GUEST_SECRET="/x"))
        os.close(slave)
        output = read_all(master)
        _, status = os.waitpid(pid, 0)
        assert status == 0, output
    finally:
        os.close(master)


def read_all(fd: int) -> str:
    text = b""
    while True:
        try:
            part = os.read(fd, 65536)
        except OSError:
            return text.decode(errors="replace")
        if not part:
            return text.decode(errors="replace")
        text += part


def test_denied_actions_are_explained() -> None:
    script = "import os, signal; os.kill(int(os.environ['P']), signal.SIGTERM)"
    sleeper = subprocess.Popen(["/bin/sleep", "100"])
    try:
        got = run("/usr/bin/python3", "-c", script, env=base_environment(P=str(sleeper.pid)))
        assert got.status != 0 and sleeper.poll() is None
        assert "PermissionError" in got.err or "ProcessLookupError" in got.err
    finally:
        sleeper.send_signal(signal.SIGKILL)
        sleeper.wait()


def test_set_user_id_programs_give_nothing(work: Path) -> None:
    if os.geteuid() == 0 or not os.access("/bin/su", os.X_OK):
        pytest.skip("for ordinary users, with a set-user-id program")
    got = sh("for p in /bin/su /usr/bin/passwd /usr/bin/sudo; do [ -u $p ] && echo $p; done; "
             "grep NoNewPrivs /proc/self/status; /usr/bin/passwd -S root 2>&1; id -u")
    assert f"{os.getuid()}\n" in got.out, str(got)
