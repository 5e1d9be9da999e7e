"""Network rules: what --allow-net and --deny-net leave of the host's network."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import GUEST_PROGRAMS, Result, base_environment, guest, run, tool


@dataclass
class Service:
    """TCP and UDP at one port of some loopback addresses; what has come in."""

    port: int
    streams: list[socket.socket]
    datagrams: list[socket.socket]

    def visits(self) -> list[str]:
        """What has reached it, on any of its addresses, since it was asked last."""
        found = []
        for listener in self.streams:
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, peer = listener.accept()
                    connection.close()
                    found.append(f"tcp from {peer}")
        for receiver in self.datagrams:
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(f"udp {receiver.recv(100)!r}")
        return found

    def close(self) -> None:
        for each in self.streams + self.datagrams:
            each.close()


def bind(kind: int, address: str, port: int) -> socket.socket | None:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    made.setblocking(False)
    try:
        made.bind((address, port))
        if kind == socket.SOCK_STREAM:
            made.listen(128)
        return made
    except OSError:
        made.close()
        return None


def serve(addresses: tuple[str, ...] = ("127.0.0.1", "127.0.0.2", "::1")) -> Service:
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        streams = [bind(socket.SOCK_STREAM, address, port) for address in addresses]
        datagrams = [bind(socket.SOCK_DGRAM, address, port) for address in addresses]
        service = Service(port, [s for s in streams if s], [d for d in datagrams if d])
        if streams[0] and datagrams[0]:
            return service
        service.close()
    raise AssertionError("no port is free for both TCP and UDP")


@pytest.fixture
def allowed() -> Iterator[Service]:
    service = serve()
    yield service
    service.close()


@pytest.fixture
def denied() -> Iterator[Service]:
    service = serve()
    yield service
    service.close()


def cases_of(program: str) -> list[str]:
    path = GUEST_PROGRAMS / program
    if not os.access(path, os.X_OK):
        return []
    listed = subprocess.run([path, "--list"], capture_output=True, text=True, timeout=20,
                            check=True).stdout.split("\n")
    return [line for line in listed if line and not line.startswith("ok ")]


def judge(got: Result) -> None:
    if got.status == 77:
        pytest.skip(got.out.strip())
    assert got.status == 0, str(got)


# ---- every way to reach an address ----

NO_ATTEMPT = {"fast-open", "other-protocols", "source-route", "route-in-message", "six-routes",
              "listen", "swapped-address", "swapped-socket"}


def attack(case: str, allowed: Service, denied: Service, options: list[str],
           **environment: str) -> Result:
    return run(guest("attack-network"), case, options=options, timeout=120,
               env=base_environment(NET_ALLOWED=str(allowed.port), NET_DENIED=str(denied.port),
                                    GUEST_DIR="/tmp", **environment))


@pytest.mark.parametrize("case", cases_of("attack-network"))
def test_no_way_around(case: str, allowed: Service, denied: Service) -> None:
    judge(attack(case, allowed, denied, ["--allow-net", f"127.0.0.1:{allowed.port}"]))
    assert denied.visits() == []


@pytest.mark.parametrize("case", [case for case in cases_of("attack-network")
                                  if case not in NO_ATTEMPT])
def test_the_ways_are_ways(case: str, allowed: Service, denied: Service) -> None:
    """Without rules each of them gets through: so the test above tests something."""
    judge(attack(case, allowed, denied, ["--net", "host"], NET_OPEN="1"))
    if case != "six-bound-to-four":  # only connects a datagram socket
        assert denied.visits() != []


@pytest.mark.parametrize("case", [case for case in cases_of("attack-network")
                                  if case not in NO_ATTEMPT])
def test_deny_rule(case: str, allowed: Service, denied: Service) -> None:
    judge(attack(case, allowed, denied, ["--deny-net", f"*:{denied.port}"]))
    assert denied.visits() == []


@pytest.mark.parametrize("case", cases_of("network"))
def test_as_native(case: str) -> None:
    """What is served with rules, and allowed by them, behaves as natively."""
    judge(run(guest("network"), case, options=["--allow-net", "*", "--allow-net", "listen/*"],
              env=base_environment(GUEST_DIR="/tmp"), timeout=60))


@pytest.mark.parametrize("program", ["unix", "datagrams"])
def test_local_sockets_are_no_business_of_rules(program: str) -> None:
    judge(run(guest(program), options=["--allow-net", "127.0.0.1:1"],
              env=base_environment(GUEST_DIR="/tmp"), timeout=120))


# ---- addresses, names, what the user is told ----

CONNECT = """
import os, socket, sys
address, port = sys.argv[1], int(sys.argv[2])
try:
    socket.create_connection((address, port), timeout=5).close()
    print("connected")
except OSError as error:
    print(os.strerror(error.errno) if error.errno and error.errno > 0 else error)
"""


def connect(address: str, port: int, *options: str, **more: object) -> Result:
    return run("/usr/bin/python3", "-c", CONNECT, address, port, options=list(options),
               timeout=60, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("options", "address", "outcome"), [
    (["--allow-net", "127.0.0.1"], "127.0.0.1", "connected"),
    (["--allow-net", "127.0.0.1"], "127.0.0.2", "Permission denied"),
    (["--allow-net", "127.0.0.2:PORT"], "127.0.0.2", "connected"),
    (["--allow-net", "127.0.0.2:1"], "127.0.0.2", "Permission denied"),
    (["--allow-net", "127.0.0.0/8"], "127.0.0.2", "connected"),
    (["--allow-net", "udp/127.0.0.0/8"], "127.0.0.2", "Permission denied"),
    (["--deny-net", "127.0.0.2"], "127.0.0.1", "connected"),
    (["--deny-net", "127.0.0.2"], "127.0.0.2", "Permission denied"),
    (["--allow-net", "*", "--deny-net", "tcp/127.0.0.2"], "127.0.0.2", "Permission denied"),
    (["--deny-net", "udp/127.0.0.2"], "127.0.0.2", "connected"),
    (["--allow-net", "localhost:PORT"], "localhost", "connected"),
    (["--allow-net", "localhost:PORT"], "127.0.0.2", "Permission denied"),
    (["--deny-net", "localhost:PORT"], "127.0.0.1", "Permission denied"),
    (["--deny-net", "localhost:PORT"], "127.0.0.2", "Permission denied"),
    (["--deny-net", "localhost:1"], "127.0.0.2", "connected"),
    (["--net", "host", "--allow-net", "127.0.0.1"], "127.0.0.1", "connected"),
    (["--allow-net", "listen/*"], "127.0.0.1", "Permission denied"),
])
def test_rules(options: list[str], address: str, outcome: str, allowed: Service) -> None:
    words = [word.replace("PORT", str(allowed.port)) for word in options]
    got = connect(address, allowed.port, *words)
    assert got.out.strip() == outcome, str(got)
    assert bool(allowed.visits()) == (outcome == "connected")


def test_six(allowed: Service) -> None:
    if len(allowed.streams) < 3:
        pytest.skip("the host has no ::1")
    for rule, outcome in (("[::1]:PORT", "connected"), ("127.0.0.0/8", "Permission denied"),
                          ("::/0", "connected"), ("0.0.0.0/0", "Permission denied")):
        got = connect("::1", allowed.port, "--allow-net", rule.replace("PORT", str(allowed.port)))
        assert got.out.strip() == outcome, f"{rule}: {got}"


def test_what_the_user_is_told(denied: Service, work: Path) -> None:
    log = work / "audit"
    got = connect("127.0.0.1", denied.port, "--allow-net", "127.0.0.2", "--audit", str(log))
    assert got.out.strip() == "Permission denied"
    what = f"connect to 127.0.0.1:{denied.port} (tcp)"
    assert got.denials() == [f"cerebro: denied: {what} (no --allow-net rule names it); "
                             "to allow: add a --allow-net rule"], str(got)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    found = [record for record in records if record["event"] == "denied"]
    assert [(record["what"], record["answer"]) for record in found] == [(what, "EACCES")]
    got = connect("127.0.0.1", denied.port, "--deny-net", "127.0.0.0/8")
    assert got.denials() == [f"cerebro: denied: {what} (--deny-net 127.0.0.0/8); "
                             "to allow: take that rule away"], str(got)


def test_a_question_is_no_line(denied: Service) -> None:
    script = f"""
import socket
for port in (0, {denied.port}):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", port))
    except PermissionError:
        print("refused")
"""
    got = run("/usr/bin/python3", "-c", script,
              options=["--allow-net", f"tcp/127.0.0.1:{denied.port}"], timeout=60).ok()
    assert got.out == "refused\nrefused\n" and got.err == "", str(got)


def test_denials_are_counted(denied: Service) -> None:
    got = connect("127.0.0.1", denied.port, "--deny-net", "*", "--stats", "--json")
    report = json.loads(got.err.strip().splitlines()[-1])
    assert report["stats"]["denials"] >= 1, str(got)


HOSTS = """
import socket
print(open("/etc/hosts").read())
print(socket.gethostbyname("cerebro-name.test"))
try:
    open("/etc/hosts", "a")
    print("writable")
except OSError:
    print("read only")
"""

# getent of the host, as a user's C library may be set up: a name that only it knows.
GETENT = """#!/bin/sh
case "$2" in
cerebro-name.test) echo "127.0.0.2       STREAM cerebro-name.test"
                   echo "127.0.0.2       DGRAM"
                   echo "127.0.0.3       STREAM" ;;
*) exit 2 ;;
esac
"""


@pytest.fixture
def names(work: Path) -> dict[str, str]:
    """An environment in which a name can be looked up without a name server."""
    tools = work / "tools"
    tools.mkdir()
    (tools / "getent").write_text(GETENT)
    (tools / "getent").chmod(0o755)
    return base_environment(PATH=f"{tools}:{os.environ['PATH']}")


def test_name(names: dict[str, str], allowed: Service) -> None:
    rule = f"cerebro-name.test:{allowed.port}"
    got = run("/usr/bin/python3", "-c", HOSTS, options=["--allow-net", rule], env=names,
              timeout=60).ok()
    assert got.out.startswith("127.0.0.2\tcerebro-name.test\n127.0.0.3\tcerebro-name.test\n")
    assert Path("/etc/hosts").read_text() in got.out
    assert got.out.endswith("127.0.0.2\nread only\n")
    got = connect("cerebro-name.test", allowed.port, "--allow-net", rule, env=names)
    assert got.out.strip() == "connected", str(got)
    got = connect("127.0.0.1", allowed.port, "--allow-net", rule, env=names)
    assert got.out.strip() == "Permission denied", str(got)
    got = connect("127.0.0.3", allowed.port, "--deny-net", rule, env=names)
    assert got.out.strip() == "Permission denied", str(got)


def test_unknown_name(names: dict[str, str]) -> None:
    got = run("/bin/true", options=["--allow-net", "nobody.test"], env=names)
    assert got.status == 125 and "nobody.test has no address" in got.err


def test_nobody_to_ask(work: Path) -> None:
    got = run("/bin/true", options=["--allow-net", "nobody.test"],
              env=base_environment(PATH=str(work)))
    assert got.status == 125 and "getent" in got.err


@pytest.mark.parametrize("rule", ["", ":80", "host:", "host:0", "10.0.0.1/8", "*/8", "a b",
                                  "0.0.0.0", "x" * 500])
@pytest.mark.parametrize("option", ["--allow-net", "--deny-net"])
def test_bad_rule(option: str, rule: str) -> None:
    got = run("/bin/true", options=[option, rule])
    assert got.status == 2 and "network rule" in got.err and got.out == ""


def test_no_network_with_rules() -> None:
    got = run("/bin/true", options=["--net", "none", "--allow-net", "*"])
    assert got.status == 2 and "--net none" in got.err


# ---- listening, programs ----

LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
port = server.getsockname()[1]
client = socket.create_connection(("127.0.0.1", port), timeout=5)
server.accept()[0].sendall(b"hello")
print(client.recv(5).decode())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_listen() -> None:
    port = free_port()
    for rules, outcome in (([f"listen/127.0.0.1:{port}", f"127.0.0.1:{port}"], "hello\n"),
                           ([f"127.0.0.1:{port}"], ""), (["listen/127.0.0.1:1"], "")):
        options = [word for rule in rules for word in ("--allow-net", rule)]
        got = run("/usr/bin/python3", "-c", LISTEN, port, options=options, timeout=60)
        assert got.out == outcome, str(got)
        assert ("listen at" in got.err) == (outcome == "")


LISTEN_EVERYWHERE = """
import errno, socket, sys
def attempt(family, kind, *address):
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if address:
            made.bind(address)
        if kind == socket.SOCK_STREAM:
            made.listen(1)
        return "listens"
    except OSError as error:
        return errno.errorcode[error.errno]
port = int(sys.argv[1])
print(attempt(socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", port))
print(attempt(socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", port))
print(attempt(socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0", port))
print(attempt(socket.AF_INET6, socket.SOCK_STREAM, "::", port) if socket.has_ipv6 else "EACCES")
print(attempt(socket.AF_INET, socket.SOCK_STREAM))
"""


@pytest.mark.parametrize(("rule", "outcome"), [
    ("listen/127.0.0.1:PORT", ["EACCES", "EACCES", "EACCES", "EACCES", "listens"]),
    ("listen/127.0.0.2:PORT", ["listens", "EACCES", "EACCES", "EACCES", "listens"]),
    ("listen/tcp/*:1024-65535", ["EACCES", "EACCES", "listens", "EACCES", "EACCES"]),
    ("listen/tcp/*:1-1023", ["listens"] * 5),
])
def test_who_listens_everywhere_listens_there(rule: str, outcome: list[str]) -> None:
    """Nor does a socket without a name, to which listen() gives a port, get a denied one."""
    port = free_port()
    got = run("/usr/bin/python3", "-c", LISTEN_EVERYWHERE, port,
              options=["--deny-net", rule.replace("PORT", str(port))], timeout=60).ok()
    assert got.out.split() == outcome, str(got)


FETCH = """
import sys, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=10).read().decode(), end="")
    except OSError as error:
        print(error)
"""


@pytest.fixture
def web() -> Iterator[int]:
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


def test_python_client(web: int, denied: Service) -> None:
    got = run("/usr/bin/python3", "-c", FETCH, f"http://127.0.0.1:{web}/a",
              f"http://127.0.0.1:{denied.port}/b", options=["--allow-net", f"localhost:{web}"],
              timeout=60).ok()
    first, second = got.out.splitlines()
    assert first == "you asked for /a" and "Permission denied" in second
    assert denied.visits() == []


def test_curl(web: int, denied: Service) -> None:
    curl = tool("curl")
    options = ["--allow-net", f"127.0.0.1:{web}"]
    got = run(curl, "-sS", f"http://127.0.0.1:{web}/c", options=options, timeout=60).ok()
    assert got.out == "you asked for /c\n"
    got = run(curl, "-sS", f"http://127.0.0.1:{denied.port}/d", options=options, timeout=60)
    assert got.status == 7 and denied.visits() == []
