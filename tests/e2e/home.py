"""A home directory and a web server, for the tests of profiles and of learning them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from harness import Result, base_environment, run

HOST = "127.0.0.1"


class Home:
    """A home directory with a secret in it, and a project below."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.project = path / "project"
        self.project.mkdir()
        (path / ".ssh").mkdir()
        (path / ".ssh/id").write_text("SECRET\n")
        (path / "diary").write_text("SECRET\n")
        self.env = base_environment(HOME=str(path))

    def run(self, profile: str, *program: str | Path, options: tuple[str, ...] = (),
            **how) -> Result:  # type: ignore[no-untyped-def]
        return run(*program, options=("--profile", profile, *options), cwd=self.project,
                   env=self.env, **how)

    def user_profile(self, name: str, text: str) -> None:
        folder = self.path / ".config/cerebro/profiles"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)


@pytest.fixture
def home(work: Path) -> Home:
    path = work / "home"
    path.mkdir()
    return Home(path)


@pytest.fixture
def web() -> Iterator[int]:
    """A web server on the loopback interface of the host; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"page\n")

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()
