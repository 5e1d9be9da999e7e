"""Checks around every test: no process, no file and no sanitizer report is left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "e2e"))

import harness


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "measure: figures that sanitizers would spoil")
    harness.become_reaper()
    if not harness.NATIVE and not os.access(harness.CEREBRO, os.X_OK):
        pytest.exit(f"{harness.CEREBRO} is not there: build first (make)", 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("measure") and harness.SANITIZED:
            item.add_marker(pytest.mark.skip(reason="figures mean nothing under sanitizers"))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    files = harness.host_files()
    yield
    alive = harness.left_over()
    assert not alive, f"left running: {alive}"
    # Others may run on the same host: what goes away by itself is theirs.
    harness.wait_until(lambda: harness.host_files() <= files, 3)
    new = harness.host_files() - files
    assert not new, f"left on the host: {sorted(new)}"
    reports = harness.sanitizer_reports()
    assert not reports, reports


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory of the host, outside /tmp (which is private in the view), readable by all."""
    assert not str(tmp_path).startswith("/tmp/"), "give --basetemp outside /tmp"
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="session")
def is_root() -> bool:
    return os.geteuid() == 0
