#!/usr/bin/python3
"""A file system that does not exist: the paths below /virtual are answered by this program.

    virtual_files.py ls -l /virtual
    virtual_files.py cat /virtual/hello

Every file is one in memory (memfd). Who opens it gets a description of its own of the same file,
so that reading, seeking and mapping are native, and a descriptor that comes back in fstat or
getdents64 is known by its inode. Whether a directory has been listed is the offset of its (empty)
file. Not there, to keep it short: writing, and paths relative to /virtual.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
from typing import Dict

import cerebro

ROOT = "/virtual"
FILES = {ROOT: b"", f"{ROOT}/hello": b"Hello from nowhere.\n", f"{ROOT}/answer": b"42\n"}
MEMFDS: Dict[str, int] = {path: os.memfd_create("virtual") for path in FILES}
BY_INODE = {os.fstat(fd).st_ino: path for path, fd in MEMFDS.items()}
PATH_ARGUMENT = {"open": 0, "openat": 1, "stat": 0, "lstat": 0, "newfstatat": 1, "statx": 1,
                 "getxattr": 0, "lgetxattr": 0}  # fstat and getdents64 have a descriptor only
PIDFD_GETFD = cerebro.syscall_number("pidfd_getfd")


def find(call: cerebro.Call) -> str:
    """The path that a call is about, by name or by descriptor; "": not one of ours."""
    argument = PATH_ARGUMENT.get(call.name)
    path = "" if argument is None else call.read_string(call.args[argument])
    if path:
        path = os.path.normpath(path)
        return path if path == ROOT or path.startswith(ROOT + "/") else ""
    try:
        return BY_INODE.get(os.stat(f"/proc/{call.pid}/fd/{call.int_arg(0)}").st_ino, "")
    except FileNotFoundError:  # no such descriptor: the kernel says so
        return ""


def give_file(call: cerebro.Call, path: str) -> cerebro.Result:
    flags = call.args[2 if call.name == "openat" else 1]
    if flags & os.O_ACCMODE:
        return -errno.EROFS
    fd = os.open(f"/proc/self/fd/{MEMFDS[path]}", os.O_RDONLY)
    try:
        return call.return_fd(fd, bool(flags & os.O_CLOEXEC))
    finally:
        os.close(fd)


def give_attributes(call: cerebro.Call, path: str) -> cerebro.Result:
    inode, size = os.fstat(MEMFDS[path]).st_ino, len(FILES[path])
    mode = stat.S_IFDIR | 0o555 if path == ROOT else stat.S_IFREG | 0o444
    if call.name == "statx":
        call.write(call.args[4], struct.pack("IIQIIIHxxQQ208x", 0x7FF & ~0x1E0, 4096, 0, 1, 0, 0,
                                             mode, inode, size))
    else:
        call.write(call.args[2 if call.name == "newfstatat" else 1],
                   struct.pack("QQQIIIxxxxQqqq72x", 0, inode, 1, mode, 0, 0, 0, size, 4096, 0))
    return 0


def give_list(call: cerebro.Call, path: str) -> cerebro.Result:
    if path != ROOT:
        return -errno.ENOTDIR
    records = b""
    for number, name in enumerate(sorted(set(FILES) - {ROOT})):
        text, inode = name[len(ROOT) + 1:].encode(), os.fstat(MEMFDS[name]).st_ino
        size = (19 + len(text) + 8) & ~7
        records += struct.pack("QqHB", inode, number + 1, size, 8) + text.ljust(size - 19, b"\0")
    if call.args[2] < len(records):
        return -errno.EINVAL
    pidfd = os.pidfd_open(call.pid)
    fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, pidfd, call.int_arg(0), 0)
    os.close(pidfd)
    with open(fd, "rb", buffering=0) as directory:  # the guest's own description, and its offset
        if directory.tell() > 0:
            return 0
        directory.seek(1)
    call.write(call.args[1], records)
    return len(records)


def serve(call: cerebro.Call) -> cerebro.Result:
    """What is not ours goes on as if there were no handler."""
    path = find(call)
    if not path:
        return call.forward()
    if path not in FILES:
        return -errno.ENOENT
    if call.name in ("open", "openat"):
        return give_file(call, path)
    if call.name in ("getxattr", "lgetxattr"):
        return -errno.ENOTSUP
    return give_list(call, path) if call.name == "getdents64" else give_attributes(call, path)


def main(argv: "list[str]") -> int:
    if len(argv) < 2:
        print("usage: virtual_files.py PROGRAM [ARGUMENTS]", file=sys.stderr)
        return 2
    for path, fd in MEMFDS.items():
        os.write(fd, FILES[path])
    with cerebro.Kernel("virtual-files", type=cerebro.CUSTOM) as kernel:
        kernel.handler(*PATH_ARGUMENT, "fstat", "getdents64")(serve)
        return kernel.run(argv[1:]).exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except cerebro.Error as error:
        sys.exit(f"virtual_files: {error}")
