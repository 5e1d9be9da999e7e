"""Servers and their clients with --net host, in the guest and outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import (NATIVE, Result, base_environment, descendants, kill_tree, run, run_argv,
                     run_host, tool, wait_until)

HOST = "127.0.0.1"


def need(*names: str) -> None:
    for name in names:
        if not tool(name):
            pytest.skip(f"{name} is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


class Server:
    """A server under cerebro; `stop` sends a signal to the front and tells how it ended."""

    def __init__(self, argv: list[str], log: Path, cwd: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, cwd=cwd,
                                            env=base_environment(), start_new_session=True)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = 20) -> int | None:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        if self.process.poll() is None:
            kill_tree(self.process.pid)
            self.process.wait()


@contextmanager
def server(work: Path, port: int, *program: str | Path, options: tuple[str, ...] = (),
           cwd: Path | None = None) -> Iterator[Server]:
    argv = run_argv(program, ["--net", "host", "--write", str(work), *options])
    running = Server(argv, work / "log", cwd or work)
    try:
        assert wait_until(lambda: answers(port) or running.process.poll() is not None, 20)
        assert running.process.poll() is None, running.text()
        yield running
    finally:
        running.kill()


def inside(*program: str | Path, timeout: float = 90) -> Result:
    return run(*program, options=["--net", "host"], timeout=timeout)


# ---- redis ----

def redis_options(work: Path, port: int) -> list[str]:
    return ["--port", str(port), "--bind", HOST, "--dir", str(work), "--save", "", "--appendonly",
            "yes", "--daemonize", "no"]


def benchmark(port: int) -> list[str]:
    return ["redis-benchmark", "-h", HOST, "-p", str(port), "-n", "2000", "-c", "20", "-q", "-t",
            "ping,set,get,incr,lpush,mset"]


def test_redis(work: Path) -> None:
    need("redis-server", "redis-benchmark", "redis-cli")
    port = free_port()
    client = ["redis-cli", "-h", HOST, "-p", str(port)]
    with server(work, port, "redis-server", *redis_options(work, port)) as redis:
        for bench in (run_host(benchmark(port)), inside(*benchmark(port))):
            assert bench.ok().out.count("requests per second") >= 6, str(bench)
        assert inside(*client, "set", "key", "value").ok().out == "OK\n"
        assert run_host([*client, "get", "key"]).ok().out == "value\n"
        assert run_host([*client, "save"]).ok().out == "OK\n"
        run_host([*client, "bgrewriteaof"]).ok()
        run_host([*client, "bgsave"])
        assert wait_until(lambda: "rdb_bgsave_in_progress:0" in
                          run_host([*client, "info", "persistence"]).out, 20)
        assert redis.stop() == 0, redis.text()
        assert "bye bye" in redis.text()
    assert (work / "dump.rdb").stat().st_size > 0
    with server(work, port, "redis-server", *redis_options(work, port)) as redis:
        assert wait_until(lambda: run_host([*client, "get", "key"]).out == "value\n"), redis.text()
        run_host([*client, "shutdown", "nosave"])
        assert redis.wait() == 0, redis.text()


def test_redis_through_a_socket_file(work: Path) -> None:
    """Without any network: the socket is in the guest's own /tmp."""
    need("redis-server", "redis-cli")
    got = run("/bin/bash", "-c", """
redis-server --port 0 --unixsocket /tmp/r.sock --save '' --dir /tmp >/tmp/log & pid=$!
for i in $(seq 100); do [ -S /tmp/r.sock ] && break; sleep 0.05; done
redis-cli -s /tmp/r.sock incr n; redis-benchmark -s /tmp/r.sock -n 500 -q -t ping | grep -c second
kill $pid; wait $pid; echo $?; ls /tmp/r.sock 2>/dev/null; grep -c 'bye bye' /tmp/log""").ok()
    assert got.out.splitlines() == ["1", "2", "0", "1"], str(got)


# ---- http ----

def test_http_server_and_clients(work: Path) -> None:
    port = free_port()
    (work / "page").write_text("text of the page\n")
    (work / "large").write_bytes(os.urandom(3_000_000))
    with server(work, port, "/usr/bin/python3", "-m", "http.server", str(port), "--bind",
                HOST) as http:
        url = f"http://{HOST}:{port}"
        fetch = f"import urllib.request as u;print(u.urlopen('{url}/page').read().decode(),end='')"
        for got in (run_host(["/usr/bin/python3", "-c", fetch]),
                    inside("/usr/bin/python3", "-c", fetch)):
            assert got.ok().out == "text of the page\n"
        if tool("curl"):
            for get in (run_host, lambda argv: inside(*argv)):
                got = get(["curl", "-sS", "--noproxy", "*", f"{url}/page", f"{url}/page"]).ok()
                assert got.out == "text of the page\n" * 2
            got = inside("/bin/sh", "-c",
                         f"curl -sS --noproxy '*' -o /tmp/l {url}/large; sha256sum </tmp/l")
            wanted = run_host(["sha256sum"], stdin=(work / "large").read_bytes())
            assert got.ok().out == wanted.out
            got = inside("curl", "-sS", "--noproxy", "*", "-f", f"{url}/missing")
            assert got.status == 22 and "404" in got.err
        assert http.stop(signal.SIGINT) is not None, "it did not end at Ctrl-C"


def test_names_of_hosts() -> None:
    look = "import socket; print(sorted({a[4][0] for a in socket.getaddrinfo('localhost', 80)}))"
    assert inside("/usr/bin/python3", "-c", look).ok().out == \
        run_host(["/usr/bin/python3", "-c", look]).ok().out
    got = inside("getent", "hosts", "no-such-host.invalid")
    assert got.status == 2, str(got)


def test_no_server_without_the_network(work: Path) -> None:
    if NATIVE:
        pytest.skip("natively there is a network")
    port = free_port()
    code = ("import socket,time; s=socket.socket(); "
            f"s.bind(('{HOST}',{port})); s.listen(); print('listening',flush=True); time.sleep(1)")
    argv = run_argv(["/usr/bin/python3", "-c", code])
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    assert not answers(port)
    process.wait(20)


# ---- openssl ----

def test_openssl_server_and_client(work: Path) -> None:
    need("openssl")
    port = free_port()
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", work / "key", "-out",
        work / "cert", "-days", "2", "-subj", "/CN=here", options=["--write", work]).ok()
    client = ["openssl", "s_client", "-connect", f"{HOST}:{port}", "-CAfile", str(work / "cert"),
              "-verify_return_error", "-quiet", "-no_ign_eof"]
    request = "GET / HTTP/1.0\r\n\r\n"
    with server(work, port, "openssl", "s_server", "-accept", f"{HOST}:{port}", "-key",
                work / "key", "-cert", work / "cert", "-www", "-quiet") as tls:
        wait = f"printf '{request}'; sleep 1"
        for got in (run_host(["/bin/sh", "-c", f"({wait}) | {' '.join(client)}"]),
                    inside("/bin/sh", "-c", f"({wait}) | {' '.join(client)}")):
            assert "HTTP/1.0 200 ok" in got.out and "s_server" in got.out, str(got)
        assert tls.stop() is not None


# ---- many connections, two guests ----

PEERS = """
import socket, sys, threading
port, role = int(sys.argv[1]), sys.argv[2]
if role == "serve":
    s = socket.create_server(("127.0.0.1", port), backlog=64)
    def answer(c):
        with c:
            data = b""
            while chunk := c.recv(65536):
                data += chunk
            c.sendall(str(len(data)).encode())
    for _ in range(40):
        threading.Thread(target=answer, args=(s.accept()[0],)).start()
else:
    def ask(n):
        with socket.create_connection(("127.0.0.1", port)) as c:
            c.sendall(b"x" * n)
            c.shutdown(socket.SHUT_WR)
            results.append(int(c.recv(100)) == n)
    results = []
    threads = [threading.Thread(target=ask, args=(i * 10007,)) for i in range(39)]
    [t.start() for t in threads]; [t.join() for t in threads]
    print(len(results), all(results))
"""


def test_two_guests_talk(work: Path) -> None:
    port = free_port()
    with server(work, port, "/usr/bin/python3", "-c", PEERS, str(port), "serve") as peer:
        got = inside("/usr/bin/python3", "-c", PEERS, str(port), "ask").ok()
        assert got.out == "39 True\n"
        assert peer.wait() == 0, peer.text()


def test_a_killed_front_ends_the_server(work: Path) -> None:
    port = free_port()
    with server(work, port, "/usr/bin/python3", "-m", "http.server", str(port), "--bind",
                HOST) as http:
        below = [process.pid for process in descendants(http.process.pid)]
        assert http.stop(signal.SIGKILL) == -signal.SIGKILL
        assert wait_until(lambda: not answers(port), 10), below
