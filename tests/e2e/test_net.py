"""The network: none unless asked for, and then the host's."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import base_environment, run, run_argv, tool

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


@pytest.mark.parametrize("options", [HOST, ()], ids=["of the host", "of its own"])
@pytest.mark.parametrize("family, host", [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
def test_listening(options: tuple[str, ...], family: str, host: str) -> None:
    script = f"""
import socket
s = socket.socket(socket.{family})
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("{host}", 0))
s.listen(5)
c = socket.create_connection(s.getsockname()[:2], 5)
a, peer = s.accept()
a.sendall(b"hello")
assert peer == c.getsockname()
print(c.recv(10).decode(), s.getsockname()[0], a.getpeername() == c.getsockname())
"""
    got = python(script, *options).ok()
    assert (got.out, got.err) == (f"hello {host} True\n", "")


def test_web_server_of_its_own() -> None:
    """A server in the guest, many clients at once, with what libraries do to their sockets."""
    got = python("""
import http.server, threading, urllib.request, socket
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.client_address[0]} {self.path}".encode() * 1000)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
results = []
def fetch(n):
    url = f"http://localhost:{server.server_port}/{n}"
    results.append(urllib.request.urlopen(url, timeout=20).read() == f"127.0.0.1 /{n}".encode() * 1000)
threads = [threading.Thread(target=fetch, args=(n,)) for n in range(40)]
for t in threads: t.start()
for t in threads: t.join()
print(len(results), all(results))
server.shutdown()
""").ok()
    assert (got.out, got.err) == ("40 True\n", "")


def test_processes_that_wait_for_the_same_connection() -> None:
    """Those who come too late wait on, with the address of the next one."""
    got = python("""
import os, socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(20)
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        for _ in range(10):
            a, peer = s.accept()
            a.sendall(repr(peer).encode())
            a.close()
        os._exit(0)
    children.append(child)
right = 0
for _ in range(40):
    c = socket.create_connection(s.getsockname(), 10)
    right += c.recv(100).decode() == repr(c.getsockname())
    c.close()
print(right, [os.waitpid(child, 0)[1] for child in children])
""").ok()
    assert got.out == "40 [0, 0, 0, 0]\n"


def test_errors_of_the_own_loopback() -> None:
    got = python("""
import errno, os, signal, socket, struct
def error(call, *arguments):
    try:
        call(*arguments)
        return "worked"
    except OSError as e:
        return errno.errorcode[e.errno]
def bound(host="127.0.0.1", port=0):
    s = socket.socket()
    s.bind((host, port))
    return s
a = bound()
port = a.getsockname()[1]
print("taken", error(bound, "127.0.0.1", port), error(bound, "", port), error(bound, "127.0.0.2", port))
print("twice", error(a.bind, ("127.0.0.1", 0)))
print("not listening", error(socket.create_connection, ("127.0.0.1", port)))
a.listen()
c = socket.create_connection(("127.0.0.1", port))
print("again", error(c.connect, ("127.0.0.1", port)), error(a.connect, ("127.0.0.1", port)))
print("kinds", [c.getsockopt(socket.SOL_SOCKET, o) for o in
                (socket.SO_DOMAIN, socket.SO_TYPE, socket.SO_PROTOCOL, socket.SO_ERROR)],
      c.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
x = a.accept()[0]
a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 20000))
print("patience", error(a.accept))
a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
def stop(*_): raise OSError(errno.EINTR, "")
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.05)
print("signal", error(a.accept))
a.setblocking(False)
print("now", error(a.accept))
a.close(); x.close(); c.close()
print("free", error(bound, "", port))
print("low port", error(bound, "127.0.0.1", 80) if os.getuid() else "EACCES")
print("elsewhere", error(socket.socket().bind, ("192.0.2.1", 0)))
""").ok()
    assert got.out.splitlines() == [
        "taken EADDRINUSE EADDRINUSE worked", "twice EINVAL", "not listening ECONNREFUSED",
        "again EISCONN EISCONN", "kinds [2, 1, 6, 0] 0", "patience EAGAIN", "signal EINTR", "now EAGAIN",
        "free worked", "low port EACCES", "elsewhere EAFNOSUPPORT"]


def test_the_own_loopback_is_nobody_elses(server: int) -> None:
    """Neither the host's servers nor another run's are reached, and neither reaches ours."""
    serve = """
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
s.settimeout(%s)
try:
    s.accept()
    print("reached")
except OSError:
    print("alone")
"""
    argv = run_argv(["/usr/bin/python3", "-c", serve % 2])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=base_environment()) as other:
        port = int(other.stdout.readline())
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), 1)
        got = python(f"""
import socket
for port in {port}, {server}:
    try:
        socket.create_connection(("127.0.0.1", port))
        print("reached")
    except OSError as error:
        print(error.strerror)
""").ok()
        assert got.out == "Connection refused\n" * 2
        assert other.stdout.readline().strip() == b"alone"


def test_a_server_that_nobody_can_reach_is_told() -> None:
    got = python("import socket; socket.socket().bind(('', 8123))").ok()
    assert got.denials() == [
        "cerebro: denied: listen at 0.0.0.0:8123 for others than the program (network is off "
        "(--net none is the default)); to allow: run with --net host"]


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


@pytest.mark.parametrize("argv", [
    ["/usr/bin/python3", "-c", "import socket; socket.socket(); socket.socket(socket.AF_INET6)"],
    ["/usr/bin/python3", "-c", "import uuid; uuid.getnode()"],
    ["/usr/bin/python3", "-c", "import socket; socket.getfqdn()"],
    ["getent", "passwd", "root"],
    ["getent", "hosts", "127.0.0.1"],
    ["/usr/bin/python3", "-c",
     "import socket; socket.getaddrinfo(None, 8000, type=1, flags=socket.AI_PASSIVE)"],
], ids=["sockets", "interfaces", "own-name", "users", "address", "where-to-listen"])
def test_looking_around_is_quiet(argv: list[str]) -> None:
    got = run(*argv).ok()
    assert got.err == "", str(got)


def test_each_kind_of_use_is_told_once() -> None:
    got = python("""
import socket
def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        print(error.strerror)
for port in range(1, 4):
    for family, host in (socket.AF_INET, "10.1.2.3"), (socket.AF_INET6, "fd00::1"):
        stream = socket.socket(family)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        attempt(stream.connect, (host, port))
        attempt(stream.bind, (host, port))
        attempt(socket.socket(family, socket.SOCK_DGRAM).sendto, b"x", (host, port))
""").ok()
    assert got.out.splitlines() == ["Network is unreachable",
                                    "Address family not supported by protocol",
                                    "Network is unreachable"] * 6
    lines = got.denials()
    assert [line.split(" (")[0] for line in lines] == [
        "cerebro: denied: connect to 10.1.2.3:1", "cerebro: denied: listen at 10.1.2.3:1",
        "cerebro: denied: send to 10.1.2.3:1"]
    assert all(line.endswith("to allow: run with --net host") for line in lines)


def test_a_stand_in_listens_to_nobody() -> None:
    """What is native on a stand-in reaches nothing of the host and is reached by nothing."""
    got = python("""
import socket
for family in socket.AF_INET, socket.AF_INET6:
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        s = socket.socket(family, kind)
        s.setblocking(False)
        print(s.getsockname()[:2])
        for call in (s.getpeername, lambda: s.send(b"x"), lambda: s.sendmsg([b"x"]),
                     lambda: s.recv(1), lambda: s.sendmsg([b"x"], [], 0, ("127.0.0.1", 9))):
            try:
                print("worked", call())
            except OSError:
                pass
""").ok()
    assert got.out.splitlines() == ["('0.0.0.0', 0)"] * 2 + ["('::', 0)"] * 2


# ---- datagrams of AF_UNIX ----

ESCAPES = """
import array, os, socket
def local(): return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def low(s):  # out of the window
    os.dup2(s.fileno(), 50)
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, 0, 50)
def passed(s):
    a, b = socket.socketpair()
    socket.send_fds(a, [b"x"], [s.fileno()])
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, 0, socket.recv_fds(b, 1, 1)[1][0])
def connected(s):
    t = local()
    t.bind(chr(0) + "peer")
    s.connect(t.getsockname())
    return s
def half(s):
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0]
def plain(s): return s
failures = 0
for target in os.environ["ABSTRACT"].replace("@", chr(0)), os.environ["TARGET"]:
    for way in plain, low, passed, connected, half, lambda s: low(connected(s)):
        s = way(local())
        for send in (lambda: s.sendmsg([b"escaped"], [], 0, target),
                     lambda: s.sendto(b"escaped", target),
                     lambda: (s.connect(target), s.send(b"escaped"))):
            try:
                send()
            except OSError:
                failures += 1
        if way is low: s.detach()
print("done", failures)
"""


@pytest.mark.parametrize("options", [[], ["--uid", "0"]], ids=["plain", "fake-root"])
def test_datagrams_do_not_leave(options: list[str], work: Path) -> None:
    """However a guest got its socket: no name of the host can be sent to."""
    abstract = f"\0cerebro-test-{os.getpid()}"
    path = work / "outside"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two:
        one.bind(abstract)
        two.bind(str(path))
        path.chmod(0o777)
        got = python(ESCAPES, *options, ABSTRACT=abstract.replace("\0", "@"), TARGET=str(path)).ok()
        assert got.out.startswith("done"), str(got)
        for outside in one, two:
            with pytest.raises(BlockingIOError):
                outside.recv(10, socket.MSG_DONTWAIT)


def test_datagrams_to_a_bound_directory(work: Path) -> None:
    """What the user shows writable can be talked to, by two runs as well."""
    work.chmod(0o777)
    receive = """
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(os.environ["TARGET"] + "/socket")
print(s.recv(10).decode(), s.recv(10).decode())
"""
    send = """
import os, socket, time
for text in b"one", b"two":
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    while not os.path.exists(os.environ["TARGET"] + "/socket"):
        time.sleep(0.05)
    s.sendmsg([text], [], 0, os.environ["TARGET"] + "/socket")
"""
    results = []
    thread = threading.Thread(target=lambda: results.append(
        python(receive, "--write", str(work), TARGET=str(work))))
    thread.start()
    python(send, "--write", str(work), TARGET=str(work)).ok()
    thread.join()
    assert results[0].ok().out == "one two\n"


def test_the_system_log_is_not_there() -> None:
    got = python("import syslog; syslog.syslog('hello'); print('went on')").ok()
    assert got.out == "went on\n" and got.err == ""
    if tool("logger"):
        got = run("logger", "--socket-errors=on", "hello")
        assert "/dev/log" in got.err and not got.denials(), str(got)


def test_notifying_a_service_manager() -> None:
    if tool("systemd-notify") is None:
        pytest.skip("systemd-notify is not installed")
    # It waits until the manager has closed the descriptor that comes with its last message.
    got = python("""
import array, os, socket, subprocess
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/tmp/notify")
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.settimeout(10)
p = subprocess.Popen(["systemd-notify", "--ready", "--status=fine"],
                     env=dict(os.environ, NOTIFY_SOCKET="/tmp/notify"))
text = ""
while "BARRIER" not in text:
    data, control, _, _ = s.recvmsg(1000, 1000)
    text += data.decode() + " "
    senders = [array.array("i", bytes)[0] for _, kind, bytes in control if kind == 2]
    for _, kind, bytes in control:
        if kind == socket.SCM_RIGHTS:
            os.close(array.array("i", bytes)[0])
print(text.split(), senders == [p.pid], p.wait())
""").ok()
    assert "'READY=1', 'STATUS=fine'" in got.out and "True 0" in got.out, str(got)


def test_curl() -> None:
    if tool("curl") is None:
        pytest.skip("curl is not installed")
    got = run("curl", "-s", "-m", "5", "http://127.0.0.1:9/")
    assert got.status != 0 and got.denials(), str(got)
