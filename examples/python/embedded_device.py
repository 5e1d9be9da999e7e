#!/usr/bin/python3
"""A device whose registers live in Python: /dev/sensor, a thermometer with a heater.

    embedded_device.py python3 program-of-the-device.py

A program opens it and talks to it with ioctl: SET takes a register and a value, GET a register,
which it fills in; struct { uint32_t reg, value; }. READ copies a burst of samples from a block of
the kernel's allocator into the program's memory, as DMA would. What the program has open is a
socket, known by its inode, whose other end is closed: reading it is an end of file.
"""

import errno
import os
import socket
import struct
import sys
import threading
from typing import Dict

import cerebro

DEVICE = "/dev/sensor"
GET, SET, READ = 0xC0085300, 0x40085301, 0x80405302
ID, HEATER, TEMPERATURE = 0, 1, 2
SAMPLES = struct.Struct("32H")


class Sensor:
    def __init__(self, kernel: cerebro.Kernel) -> None:
        self.kernel = kernel
        self.lock = threading.Lock()  # handlers run several at a time
        self.registers: Dict[int, int] = {ID: 0xCE4E, HEATER: 0, TEMPERATURE: 200}
        ours, theirs = socket.socketpair()
        theirs.close()
        self.end = ours
        self.inode = os.fstat(ours.fileno()).st_ino

    def is_ours(self, call: cerebro.Call) -> bool:
        try:
            return os.stat(f"/proc/{call.pid}/fd/{call.int_arg(0)}").st_ino == self.inode
        except FileNotFoundError:
            return False

    def open(self, call: cerebro.Call) -> cerebro.Result:
        if call.read_string(call.args[1]) != DEVICE:
            return call.forward()
        return call.return_fd(self.end.fileno(), bool(call.args[2] & os.O_CLOEXEC))

    def ioctl(self, call: cerebro.Call) -> cerebro.Result:
        if not self.is_ours(call):
            return call.forward()
        request, address = call.args[1] & 0xFFFFFFFF, call.args[2]
        if request == READ:
            return self.read(call, address)
        if request not in (GET, SET):
            return -errno.ENOTTY
        register, value = struct.unpack("II", call.read(address, 8))
        with self.lock:
            if register not in self.registers:
                return -errno.EINVAL
            if request == GET:
                call.write(address, struct.pack("II", register, self.registers[register]))
            elif register != HEATER:
                return -errno.EACCES
            else:
                self.registers[HEATER] = value
                self.registers[TEMPERATURE] = 200 + 10 * value
        return 0

    def read(self, call: cerebro.Call, address: int) -> cerebro.Result:
        with self.lock:
            now = self.registers[TEMPERATURE]
        with self.kernel.allocate(SAMPLES.size) as block:
            SAMPLES.pack_into(block.view, 0, *(now + index % 3 for index in range(32)))
            call.write(address, block.view)
        return SAMPLES.size


def main(argv: "list[str]") -> int:
    if len(argv) < 2:
        print("usage: embedded_device.py PROGRAM [ARGUMENTS]", file=sys.stderr)
        return 2
    with cerebro.Kernel("embedded-device", type=cerebro.CUSTOM) as kernel:
        sensor = Sensor(kernel)
        kernel.set_handler("openat", sensor.open)
        kernel.set_handler("ioctl", sensor.ioctl)
        status = kernel.run(argv[1:])
        print(f"embedded_device: heater at {sensor.registers[HEATER]}, "
              f"{kernel.statistics().io_operations} transfers", file=sys.stderr)
        return status.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except cerebro.Error as error:
        sys.exit(f"embedded_device: {error}")
