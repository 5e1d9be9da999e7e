"""The network: none unless asked for, and then the host's."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from harness import base_environment, run, tool

HOST = ["--net", "host"]


@pytest.fixture
def server() -> Iterator[int]:
    """A web server on the host's loopback; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"you asked for {self.path}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found.server_address[1]
        found.shutdown()
        thread.join()


FETCH = """
import os, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:" + os.environ["PORT"] + "/x", timeout=5).read())
"""


def python(script: str, *options: str, **environment: str):  # type: ignore[no-untyped-def]
    return run("/usr/bin/python3", "-c", script, options=options, timeout=30,
               env=base_environment(**environment))


def test_loopback_of_the_host(server: int) -> None:
    got = python(FETCH, *HOST, PORT=str(server)).ok()
    assert "you asked for /x" in got.out and got.err == ""


def test_nothing_without_asking(server: int) -> None:
    got = python(FETCH, PORT=str(server))
    assert got.status == 1 and "you asked" not in got.out
    assert "urlopen error [Errno" in got.err
    lines = got.denials()
    assert lines and "--net host" in lines[0], str(got)
    assert "network" in lines[0]


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_no_address_is_reached(family: str, kind: str) -> None:
    address = "127.0.0.1" if family == "AF_INET" else "::1"
    with socket.socket(getattr(socket, family), getattr(socket, kind)) as outside:
        try:
            outside.bind((address, 0))
        except OSError as error:
            pytest.skip(f"the host has no {family}: {error}")
        if kind == "SOCK_STREAM":
            outside.listen(1)
        outside.settimeout(0.5)
        got = python(f"""
import socket
for send in ("connect", "sendto", "sendmsg"):
    try:
        s = socket.socket(socket.{family}, socket.{kind})
        target = ("{address}", {outside.getsockname()[1]})
        if send == "connect":
            s.connect(target)
            s.send(b"x")
        elif send == "sendto":
            s.sendto(b"x", target)
        else:
            s.sendmsg([b"x"], [], 0, target)
        print(send, "worked")
    except OSError as error:
        print(send, "failed")
""")
        if kind == "SOCK_DGRAM":
            with pytest.raises(OSError):
                outside.recv(10)
        else:
            with pytest.raises(OSError):
                outside.accept()
        assert "connect failed" in got.out, str(got)


def test_own_loopback_or_a_clear_answer() -> None:
    """Without a network a program may still talk to itself; if not, it is told why."""
    got = python("""
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(1)
c = socket.create_connection(s.getsockname(), 3)
c.send(b"x")
print("talked to itself")
""")
    assert "talked to itself" in got.out or got.denials(), str(got)


def test_listening_for_the_host(server: int) -> None:
    script = """
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 0))
s.listen(5)
c = socket.create_connection(s.getsockname(), 5)
a, peer = s.accept()
a.sendall(b"hello")
assert peer == c.getsockname()
print(c.recv(10).decode(), s.getsockname()[0], a.getpeername() == c.getsockname())
"""
    assert python(script, *HOST).ok().out == "hello 127.0.0.1 True\n"


def test_datagrams_and_refusals() -> None:
    script = """
import errno, socket
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
a.bind(("127.0.0.1", 0))
b.sendto(b"one", a.getsockname())
b.sendmsg([b"two"], [], 0, a.getsockname())
b.connect(a.getsockname())
b.send(b"three")
print([a.recv(10) for _ in range(3)])
free = socket.socket()
free.bind(("127.0.0.1", 0))
try:
    socket.create_connection(free.getsockname(), 3)
except OSError as error:
    print(errno.errorcode[error.errno])
s = socket.socket()
s.setblocking(False)
print(errno.errorcode[s.connect_ex(("127.0.0.1", free.getsockname()[1]))])
"""
    got = python(script, *HOST).ok()
    assert got.out.splitlines()[:2] == ["[b'one', b'two', b'three']", "ECONNREFUSED"]
    assert got.out.splitlines()[2] in ("ECONNREFUSED", "EINPROGRESS")


def test_names_are_resolved_with_the_host_network() -> None:
    got = python("import socket; print(socket.gethostbyname('localhost'))", *HOST).ok()
    assert got.out == "127.0.0.1\n"


def test_connect_that_waits_can_be_interrupted() -> None:
    """A connection to a full listener waits; a signal ends the wait as it does natively."""
    script = """
import signal, socket, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(0)
keep = []
def stop(*_): raise TimeoutError
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 1)
start = time.monotonic()
try:
    for _ in range(20):
        c = socket.socket()
        c.connect(s.getsockname())
        keep.append(c)
except TimeoutError:
    print("interrupted", time.monotonic() - start < 5)
"""
    got = python(script, *HOST)
    assert got.out == "interrupted True\n", str(got)


def test_curl() -> None:
    if tool("curl") is None:
        pytest.skip("curl is not installed")
    got = run("curl", "-s", "-m", "5", "http://127.0.0.1:9/")
    assert got.status != 0 and got.denials(), str(got)
