"""Key rings: a guest has its own, and those of the host's user are out of its reach."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import run

LIBC = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL = 248, 250
UNLINK, USER_RING = 9, -4
NAME = f"cerebro-test-{os.getpid()}"

PROBE = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
def keyctl(*args):
    result = libc.syscall(250, *args)
    return errno.errorcode[ctypes.get_errno()] if result < 0 else result
"""


@pytest.fixture
def hosts() -> Iterator[int]:
    """A key in the user's ring on the host."""
    key = LIBC.syscall(ADD_KEY, b"user", NAME.encode(), b"secret", 6, USER_RING)
    if key < 0:
        pytest.skip(f"the host keeps no keys: {os.strerror(ctypes.get_errno())}")
    yield key
    LIBC.syscall(KEYCTL, UNLINK, key, USER_RING)


def test_keys_of_the_host_are_out_of_reach(hosts: int) -> None:
    serials = [int(line.split()[0], 16) for line in Path("/proc/keys").read_text().splitlines()]
    assert hosts in serials
    got = run("/usr/bin/python3", "-c", PROBE + f"""
for serial in {serials}:
    found = {{keyctl(operation, serial, None, 0) for operation in (0, 2, 3, 6, 7, 9, 11, 15, 17, 21, 30)}}
    assert found <= {{"ENOKEY", "EINVAL"}}, found
    assert keyctl(8, serial, -4) == "ENOKEY"
print(libc.syscall(249, b"user", b"{NAME}", None, 0), open("/proc/keys").read().count("{NAME}"))
""").ok()
    assert got.out == "-1 0\n"
    assert NAME in Path("/proc/keys").read_text()


def test_keys_of_a_guest_do_not_reach_the_host() -> None:
    got = run("/usr/bin/python3", "-c", PROBE + """
for ring in (-1, -2, -3, -4, -5):
    assert libc.syscall(248, b"user", b"of-the-guest", b"x" * 100, 100, ring) > 0
print(open("/proc/keys").read().count("of-the-guest"))
""").ok()
    assert int(got.out) == 5
    assert "of-the-guest" not in Path("/proc/keys").read_text()


def test_root_sets_the_limits_of_its_own() -> None:
    host = Path("/proc/sys/kernel/keys/maxkeys").read_text()
    got = run("/usr/bin/python3", "-c", """
limits = "/proc/sys/kernel/keys/"
def write(name, text):
    with open(limits + name, "w", buffering=1) as file:
        file.write(text)
write("root_maxkeys", "7\\n")
for wrong in "x", "-1", "", "4294967296":
    try:
        write("maxkeys", wrong + "\\n")
        raise SystemExit(wrong)
    except OSError as error:
        assert error.errno == 22
libc = __import__("ctypes").CDLL(None)
made = [libc.syscall(248, b"user", b"%d" % i, b"x", 1, -2) > 0 for i in range(10)]
print(open(limits + "root_maxkeys").read(), sum(made))
""", options=["--uid", "0"]).ok()
    assert got.out == "7\n 6\n"
    assert Path("/proc/sys/kernel/keys/maxkeys").read_text() == host
