"""In a container: the default profiles of Docker and Kubernetes, and as process 1."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from harness import CEREBRO, EXTRA_OPTIONS, NATIVE, WRAPPER, Result, guest, run_host, wait_until

pytestmark = pytest.mark.skipif(NATIVE or bool(WRAPPER), reason="only with a wrapper of our own")

ENGINES = ("docker", "kubernetes")
NO_NAMESPACE = 124  # of tests/host/container.c


def inside(engine: str, *words: str, first: bool = False, timeout: float = 30) -> Result:
    how = ["--pid1"] if first else []
    got = run_host([guest("container"), *how, engine, CEREBRO, *words], timeout=timeout)
    if first and got.status == NO_NAMESPACE:
        pytest.skip(got.err.strip())
    return got


def run(engine: str, *program: str, options: tuple[str, ...] = (), **how: bool) -> Result:
    return inside(engine, "run", *EXTRA_OPTIONS, *options, "--", *program, **how)


def python(engine: str, script: str, *options: str) -> Result:
    return run(engine, "/usr/bin/python3", "-c", script, options=options)


@pytest.mark.parametrize("engine", ENGINES)
def test_it_is_a_container(engine: str) -> None:
    """The wrapper itself: what engines forbid is forbidden."""
    script = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def errno_of(nr, *arguments):
    return 0 if libc.syscall(nr, *arguments) >= 0 else ctypes.get_errno()
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16) & ~0xa80425fb)
print(*[errno_of(nr, -1, -1, -1, -1, -1, -1) for nr in (165, 272, 310, 312, 438, 435, 600)])  # mount ... clone3, none such
try:
    socket.socket(38, socket.SOCK_SEQPACKET)
except PermissionError:
    print("no AF_ALG")
"""
    got = run_host([guest("container"), engine, "/usr/bin/python3", "-c", script]).ok()
    lines = got.out.splitlines()
    assert lines[0] == "1 2 0" and lines[2] == "no AF_ALG", str(got)
    # process_vm_readv is allowed (and wants better arguments), kcmp and pidfd_getfd are not.
    assert lines[1].split() == ["1", "1", "22", "1", "1", "38", "38"], str(got)


@pytest.mark.parametrize("engine", ENGINES)
def test_doctor(engine: str) -> None:
    got = inside(engine, "doctor").ok()
    assert "Cerebro works here." in got.out
    line = next(line for line in got.out.splitlines() if "pidfd-getfd" in line)
    assert line.split()[1] == "no" and "--cap-add SYS_PTRACE" in got.out, str(got)


@pytest.mark.parametrize("engine", ENGINES)
def test_descriptors_without_taking_them(engine: str) -> None:
    """Each of these needs a descriptor of the guest, in another way."""
    got = python(engine, """
import fcntl, os, select, socket, subprocess, threading
print(len(os.listdir(os.open("/etc", os.O_RDONLY))) == len(os.listdir("/etc")))
server = socket.socket(socket.AF_UNIX); server.bind("/tmp/s"); server.listen()
client = socket.socket(socket.AF_UNIX); client.connect("/tmp/s"); peer = server.accept()[0]
client.send(b"stream"); print(peer.recv(10), peer.getsockname(), client.getpeername())
a = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); a.bind("/tmp/a")
b = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); b.bind("/tmp/b")
threading.Timer(0.3, lambda: a.sendto(b"late", "/tmp/b")).start()  # recvfrom waits: a deferred call
print(b.recvfrom(10))
a.connect("/tmp/b"); r, w = os.pipe()
socket.send_fds(a, [b"rights"], [r, w]); data, fds, _, _ = socket.recv_fds(b, 10, 5)
os.write(fds[1], b"through"); print(data, os.read(r, 10))
m = os.memfd_create("m"); os.write(m, b"#!/bin/sh\\necho from memory\\n")
print(subprocess.run([f"/proc/self/fd/{m}"], pass_fds=[m], capture_output=True).stdout)
f = open("/tmp/locked", "w"); fcntl.flock(f, fcntl.LOCK_EX)
print(os.readlink(f"/proc/self/fd/{f.fileno()}"), os.path.samefile(f"/dev/fd/{f.fileno()}", "/tmp/locked"))
d = os.open("/tmp", os.O_RDONLY); print(sorted(os.listdir(d)) == sorted(os.listdir("/tmp")))
print(open("/proc/self/comm").read().strip(), len(os.listdir("/proc/self/fd")) < 40)
""").ok()
    assert got.out.splitlines() == [
        "True", "b'stream' /tmp/s /tmp/s", "(b'late', '/tmp/a')", "b'rights' b'through'",
        "b'from memory\\n'", "/tmp/locked True", "True", "python3 True"], str(got)


@pytest.mark.parametrize("engine", ENGINES)
def test_watching(engine: str) -> None:
    got = python(engine, """
import ctypes, os
libc = ctypes.CDLL(None)
one, two = libc.inotify_init1(0), libc.inotify_init1(0)
os.mkdir("/tmp/w"); os.mkdir("/tmp/v")
libc.inotify_add_watch(one, b"/tmp/w", 0x100); libc.inotify_add_watch(two, b"/tmp/v", 0x100)
open("/tmp/v/second", "w"); open("/tmp/w/first", "w")
print(b"first" in os.read(one, 4096), b"second" in os.read(two, 4096))
""").ok()
    assert got.out == "True True\n"


def test_a_signal_interrupts_and_nothing_leaks() -> None:
    got = python("docker", """
import os, signal, socket
server = socket.socket(socket.AF_UNIX); server.bind("/tmp/s"); server.listen(200)
signal.signal(signal.SIGALRM, lambda *_: None); signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for _ in range(150):
    client = socket.socket(socket.AF_UNIX); client.connect("/tmp/s")
    client.send(b"x"); peer = server.accept()[0]
    assert peer.recv(5) == b"x"; client.close()
    assert peer.recv(5) == b""; peer.close()
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(os.listdir("/proc/self/fd")))
""").ok()
    assert int(got.out) < 12, str(got)


def test_threads_do_not_get_each_others_numbers() -> None:
    got = python("docker", """
import os, threading
wrong = []
def work(path):
    os.mkdir(path); inode = os.stat(path).st_ino
    for _ in range(120):
        one = os.open(path, os.O_RDONLY); two = os.dup(one)
        if {os.fstat(one).st_ino, os.fstat(two).st_ino} != {inode} or os.listdir(two):
            wrong.append(path)
        os.close(one); os.close(two)
threads = [threading.Thread(target=work, args=(f"/tmp/{n}",)) for n in range(6)]
[t.start() for t in threads]; [t.join() for t in threads]
print(wrong, len(os.listdir("/proc/self/fd")) < 8)
""").ok()
    assert got.out == "[] True\n", str(got)


def test_network_rules_are_refused_clearly() -> None:
    got = run("docker", "true", options=("--allow-net", "127.0.0.1"))
    assert got.status == 125 and "pidfd_getfd" in got.err and "--cap-add SYS_PTRACE" in got.err, str(got)


# ---- process 1 ----

@pytest.mark.parametrize("engine", ENGINES)
def test_as_process_one(engine: str) -> None:
    got = run(engine, "/bin/sh", "-c", "(sleep 0.1 &) ; echo hello; exit 5", first=True)
    assert (got.status, got.out) == (5, "hello\n"), str(got)
    got = run(engine, "/bin/sh", "-c", "kill -KILL $$", first=True)
    assert got.status == 128 + signal.SIGKILL, str(got)


@pytest.mark.parametrize(("script", "status"), [
    ("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done", 9),
    ("echo up; sleep 100", 128 + signal.SIGTERM)])
def test_sigterm_to_process_one(script: str, status: int) -> None:
    run("docker", "true", first=True)  # skips where it cannot be tried
    words = [guest("container"), "--pid1", "docker", CEREBRO, "run", *EXTRA_OPTIONS, "--", "/bin/sh",
             "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        process.terminate()
        assert process.wait(20) == status


def test_process_one_buries_strangers() -> None:
    """Orphans of whoever else is in the container."""
    script = f"""
for i in 1 2 3; do (sleep 0.2 & exec sleep 0.1) & done
exec {CEREBRO} run {' '.join(EXTRA_OPTIONS)} -- /bin/sh -c 'echo up; sleep 2'
"""
    run("docker", "true", first=True)
    words = [guest("container"), "--pid1", "docker", "/bin/sh", "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        first = int(open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii").read())

        def left() -> list[str]:
            children = open(f"/proc/{first}/task/{first}/children", encoding="ascii").read().split()
            return [open(f"/proc/{pid}/comm", encoding="ascii").read() for pid in children]
        time.sleep(0.5)
        assert wait_until(lambda: len(left()) == 1, 5), left()
        process.kill()
