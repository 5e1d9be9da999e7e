"""Netlink: only the kernel's word counts, and nothing malformed gets through."""

from __future__ import annotations

import errno
import random
import socket
import struct
import time

import pytest

from fake import FakeSocket, FakeSystem, reply
from kapi import KernelAPIError, netlink


def exchange(sock: FakeSocket, timeout: float = 0.5) -> str:
    return netlink.exchange(sock, "Hello", timeout, 1024)  # type: ignore[arg-type]


def test_message_as_the_field_sends_it() -> None:
    sock = FakeSocket()
    sock.queue = [(reply(b"hi"), 0, (0, 0))]
    assert exchange(sock) == "hi"
    assert sock.sent == [struct.pack("=IHHII", 21, 0, 0, 0, 4711) + b"Hello"]


def test_other_senders_are_ignored() -> None:
    sock = FakeSocket()
    sock.queue = [(reply(b"forged"), 0, (666, 0)), (reply(b"true"), 0, (0, 0))]
    assert exchange(sock) == "true"
    sock.queue = [(reply(b"forged"), 0, (666, 0))] * 3
    with pytest.raises(KernelAPIError, match="no answer") as error:
        exchange(sock)
    assert error.value.errno == errno.ETIMEDOUT


def test_answers_to_others_are_ignored() -> None:
    sock = FakeSocket()
    sock.queue = [(reply(b"not mine", port=1), 0, (0, 0)), (reply(b"mine"), 0, (0, 0))]
    assert exchange(sock) == "mine"


@pytest.mark.parametrize("length", [0, 15, 19, 0xffffffff])
def test_malformed_lengths(length: int) -> None:
    sock = FakeSocket()
    sock.queue = [(struct.pack("=IHHII", length, 0, 0, 0, 4711) + b"x", 0, (0, 0))]
    with pytest.raises(KernelAPIError):
        exchange(sock)


def test_cut_and_short_datagrams() -> None:
    sock = FakeSocket()
    sock.queue = [(reply(b"x" * 2000), socket.MSG_TRUNC, (0, 0))]
    with pytest.raises(KernelAPIError):
        exchange(sock)
    sock.queue = [(b"short", 0, (0, 0)), (b"", 0, (0, 0))]
    with pytest.raises(KernelAPIError):
        exchange(sock)


def test_random_datagrams() -> None:
    """Whatever comes, it ends with text or with an error of ours, and soon."""
    chance = random.Random(7)
    for _ in range(1000):
        sock = FakeSocket()
        data = bytearray(chance.randbytes(chance.randrange(0, 80)))
        if len(data) >= 16 and chance.random() < 0.8:
            data[0:4] = struct.pack("=I", chance.choice([len(data), 16, 17, 20, len(data) + 1]))
            data[12:16] = struct.pack("=I", chance.choice([0, 4711, 1]))
        sock.queue = [(bytes(data), 0, (0, 0))]
        try:
            assert isinstance(exchange(sock), str)
        except KernelAPIError:
            pass
        system = FakeSystem()
        system.socket.queue = [(bytes(data), 0, (0, 0))]
        with pytest.raises((KernelAPIError, OSError)):
            netlink.link_stats(system)


def test_errors_of_the_kernel() -> None:
    sock = FakeSocket()
    sock.queue = [(reply(struct.pack("=i", -errno.EPERM), kind=2), 0, (0, 0))]
    with pytest.raises(KernelAPIError) as error:
        exchange(sock)
    assert error.value.errno == errno.EPERM


def test_text_that_is_no_utf8_and_padding() -> None:
    sock = FakeSocket()
    sock.queue = [(reply(b"a\xff\0\0"), 0, (0, 0))]
    assert exchange(sock) == "a\ufffd"


def test_too_long_messages() -> None:
    with pytest.raises(ValueError):
        netlink.exchange(FakeSocket(), "x" * 1009, 1, 1024)  # type: ignore[arg-type]


def test_a_real_forged_datagram() -> None:
    """Two real sockets of a family that all kernels have: one plays the kernel, and fails."""
    try:
        mine = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_USERSOCK)
        other = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_USERSOCK)
        with mine, other:
            mine.bind((0, 0))
            other.bind((0, 0))
            other.sendto(reply(b"forged", port=mine.getsockname()[0]), mine.getsockname())
            with pytest.raises(TimeoutError):
                netlink.receive(mine, 1024, time.monotonic() + 0.3)
    except PermissionError:
        pytest.skip("this user may not send to user sockets")


def attribute(kind: int, data: bytes) -> bytes:
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def link(values: dict[int, int]) -> bytes:
    stats = struct.pack("=24Q", *(values.get(at, 0) for at in range(24)))
    return bytes(16) + attribute(3, b"eth0\0") + attribute(23, stats)


def test_link_stats_are_summed() -> None:
    system = FakeSystem()
    system.socket.queue = [
        (reply(link({0: 1, 2: 100}), kind=16, sequence=1)
         + bytes(-len(reply(link({0: 1}))) % 4)
         + reply(link({0: 2, 20: 5}), kind=16, sequence=1), 0, (0, 0)),
        (reply(link({0: 1000}), kind=16, sequence=1), 0, (77, 0)),
        (reply(link({0: 500}), kind=16, sequence=9), 0, (0, 0)),
        (reply(b"\0\0\0\0", kind=3, sequence=1), 0, (0, 0))]
    sums = netlink.link_stats(system)
    assert (sums["rx_packets"], sums["rx_bytes"], sums["tx_window_errors"]) == (3, 100, 5)
    assert system.socket.closed


def test_link_stats_with_bad_attributes() -> None:
    system = FakeSystem()
    bad = bytes(16) + struct.pack("=HH", 2, 23) + b"xxxxxxxx"
    short = bytes(16) + attribute(23, b"\1" * 12)
    done = (reply(b"\0\0\0\0", kind=3, sequence=1), 0, (0, 0))
    for payload in (bad, bytes(3)):
        system.socket.queue = [(reply(payload, kind=16, sequence=1), 0, (0, 0)), done]
        assert set(netlink.link_stats(system).values()) == {0}
    system.socket.queue = [(reply(short, kind=16, sequence=1), 0, (0, 0)), done]
    assert netlink.link_stats(system)["tx_packets"] == 0
