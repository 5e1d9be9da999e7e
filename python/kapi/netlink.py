"""Netlink: the greeting of family 31, and interface counters of the route family.

Whoever may send to our socket could pretend to be the kernel: an answer counts only when the
sender's port, as the kernel reports it, is 0.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from typing import Any, Dict, Iterator, Tuple

from .errors import KernelAPIError, device_error
from .system import System

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: len, type, flags, seq, pid
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 1
NLM_F_DUMP = 0x300
RTM_NEWLINK = 16
RTM_GETLINK = 18
IFINFO_SIZE = 16
IFLA_STATS64 = 23
NETLINK_ROUTE = 0

# struct rtnl_link_stats64 in the order of <linux/if_link.h>, by the device's names.
_STATS64 = (
    "rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped",
    "tx_dropped", "multicast", "collisions", "rx_length_errors", "rx_over_errors",
    "rx_crc_errors", "rx_frame_errors", "rx_fifo_errors", "rx_missed_errors",
    "tx_aborted_errors", "tx_carrier_errors", "tx_fifo_errors", "tx_heartbeat_errors",
    "tx_window_errors")


def message(kind: int, flags: int, sequence: int, port: int, payload: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, port) + payload


def receive(sock: socket.socket, size: int, deadline: float) -> bytes:
    """The next datagram that comes from the kernel; others are dropped.

    Raises TimeoutError at the deadline (of time.monotonic()) and KernelAPIError when a datagram
    did not fit.
    """
    while True:
        rest = deadline - time.monotonic()
        if rest <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "no answer")
        sock.settimeout(rest)
        data, _, flags, sender = sock.recvmsg(size)
        if not sender or sender[0] != 0:
            continue
        if flags & socket.MSG_TRUNC:
            raise KernelAPIError("the kernel's answer is too long", errno.EMSGSIZE)
        return data


def split(data: bytes) -> Iterator[Tuple[int, int, int, bytes]]:
    """Type, sequence, port and payload of each message; stops at a malformed one."""
    while len(data) >= HEADER.size:
        length, kind, _flags, sequence, port = HEADER.unpack_from(data)
        if length < HEADER.size or length > len(data):
            raise KernelAPIError("the answer is malformed", errno.EBADMSG)
        yield kind, sequence, port, data[HEADER.size:length]
        data = data[(length + 3) & ~3:]


def error_of(payload: bytes) -> int:
    """The positive errno of an NLMSG_ERROR message, 0: an acknowledgement."""
    return -int(struct.unpack_from("=i", payload)[0]) if len(payload) >= 4 else errno.EBADMSG


def exchange(sock: socket.socket, text: str, timeout: float, limit: int) -> str:
    """Sends text over family 31 and returns the text of the kernel's answer.

    Raises KernelAPIError, also when nothing came within `timeout` seconds.
    """
    payload = text.encode("utf-8")
    if HEADER.size + len(payload) > limit:
        raise ValueError(f"a netlink message is at most {limit - HEADER.size} bytes long")
    port = sock.getsockname()[0]
    deadline = time.monotonic() + timeout
    try:
        sock.sendto(message(0, 0, 0, port, payload), (0, 0))
        while True:
            for kind, _, owner, answer in split(receive(sock, limit, deadline)):
                if kind == NLMSG_ERROR and error_of(answer):
                    raise KernelAPIError("the kernel refused the message", error_of(answer))
                if owner in (0, port) and kind != NLMSG_ERROR:
                    return answer.rstrip(b"\0").decode("utf-8", "replace")
    except (TimeoutError, socket.timeout) as error:  # one and the same from 3.10 on
        raise KernelAPIError(f"netlink: no answer within {timeout} seconds",
                             errno.ETIMEDOUT) from error
    except OSError as error:
        raise device_error("netlink", error) from error


# ---- route family: counters of all interfaces ----

def _attributes(data: bytes) -> Iterator[Tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4 or length > len(data):
            return
        yield kind & 0x3fff, data[4:length]
        data = data[(length + 3) & ~3:]


def _add_link(payload: bytes, sums: Dict[str, Any]) -> None:
    for kind, data in _attributes(payload[IFINFO_SIZE:]):
        if kind != IFLA_STATS64:
            continue
        for name, (value,) in zip(_STATS64, struct.iter_unpack("=Q", data[:len(data) & ~7])):
            sums[name] += value


def link_stats(system: System, timeout: float = 2.0) -> Dict[str, Any]:
    """Counters summed over the interfaces. Raises OSError or KernelAPIError."""
    sums: Dict[str, Any] = dict.fromkeys(_STATS64, 0)
    deadline = time.monotonic() + timeout
    with system.netlink(NETLINK_ROUTE) as sock:
        request = message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0, bytes(IFINFO_SIZE))
        sock.sendto(request, (0, 0))
        while True:
            for kind, sequence, _, payload in split(receive(sock, 1 << 20, deadline)):
                if sequence != 1:
                    continue
                if kind == NLMSG_DONE:
                    return sums
                if kind == NLMSG_ERROR:
                    raise KernelAPIError("no interface list", error_of(payload))
                if kind == RTM_NEWLINK:
                    _add_link(payload, sums)
