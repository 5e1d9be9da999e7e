"""A client written from the description of the interface alone: layouts by ctypes, numbers by hand, no header.

It takes the steps of a demonstration: connect, information, commands, shared memory, netlink, log, physical memory.
Prints "step NAME ok|FAIL|skip TEXT" for each.
"""

import ctypes
import fcntl
import mmap
import os
import socket
import struct
import subprocess
import sys

DEVICE = "/dev/kernel_api_exporter"
SIZE = 16384
U, I, L, Q = ctypes.c_uint, ctypes.c_int, ctypes.c_long, ctypes.c_ulong


def text(size):
    return ctypes.c_char * size


def layout(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": [field for field in fields]})


def longs(names):
    return [(name, Q) for name in names.split()]


Memory = layout("Memory", *longs("total_ram free_ram used_ram buffers cached swap_total swap_free slab page_tables "
                                 "vmalloc_used committed_as dirty writeback anon_pages mapped shmem"))
Cpu = layout("Cpu", ("num_cpus", U), ("num_online_cpus", U), ("cpu_freq", Q), ("cpu_model", text(64)),
             *longs("uptime idle_time user_time system_time iowait_time irq_time softirq_time guest_time"),
             ("cache_size", U), ("cache_alignment", U), ("vendor_id", text(16)), ("cpu_family", text(16)))
Process = layout("Process", ("pid", I), ("comm", text(16)), ("memory_usage", Q), ("cpu_usage", U), ("num_threads", I),
                 ("ppid", I), ("pgrp", I), ("session", I), ("tty_nr", I), ("start_time", Q), ("vsize", Q), ("rss", L),
                 ("rsslim", Q), ("priority", Q), ("nice", L), ("num_threads_full", Q), ("state", ctypes.c_char),
                 ("flags", U))
Command = layout("Command", ("command", text(256)), ("result", text(1024)), ("status", I))
Network = layout("Network", *longs("rx_packets tx_packets rx_bytes tx_bytes rx_errors tx_errors rx_dropped tx_dropped "
                                   "multicast collisions rx_length_errors rx_over_errors rx_crc_errors rx_frame_errors "
                                   "rx_fifo_errors rx_missed_errors tx_aborted_errors tx_carrier_errors tx_fifo_errors "
                                   "tx_heartbeat_errors tx_window_errors"))
FileSystem = layout("FileSystem", ("fs_type", text(32)), *longs("total_blocks free_blocks available_blocks total_inodes "
                    "free_inodes block_size max_filename_len"), ("mount_point", text(256)), ("device_name", text(64)),
                    ("flags", Q))
Module = layout("Module", ("name", text(64)), ("size", Q), ("used_by_count", I), ("used_by", text(256)),
                ("state", text(16)), ("load_addr", Q), ("version", text(32)))
Interrupt = layout("Interrupt", ("irq", U), ("count", Q), ("type", text(32)), ("device", text(64)), ("cpu_count", U * 8))
Load = layout("Load", *longs("load1 load5 load15 running_tasks total_tasks last_pid"))
Config = layout("Config", *[(name, text(64)) for name in ("version", "compile_time", "compile_by", "compile_host",
                "compiler", "build_date")], *longs("hz page_size phys_addr_bits virt_addr_bits"), ("arch", text(32)))
Pci = layout("Pci", *[(name, U) for name in ("vendor_id", "device_id", "subsystem_vendor", "subsystem_device")],
             ("device_name", text(128)), ("vendor_name", text(64)), ("class_code", U), ("revision", U),
             ("base_addr", Q * 6), ("irq", U))
Block = layout("Block", ("name", text(32)), *longs("size queue_depth read_ios read_sectors write_ios write_sectors "
               "discard_ios discard_sectors"), ("model", text(64)), ("serial", text(32)))
Thermal = layout("Thermal", ("type", text(32)), ("temperature", I), ("critical_temp", I), ("max_temp", I),
                 ("cooling_device", text(64)), ("trip_point_count", I), ("trip_temps", I * 10))
Log = layout("Log", ("level", text(16)), ("message", text(512)), ("timestamp", Q), ("facility", text(32)))
ProcessControl = layout("ProcessControl", ("pid", I), ("signal", I), ("status", I), ("message", text(256)))
ModuleControl = layout("ModuleControl", ("path", text(256)), ("name", text(64)), ("params", text(256)), ("status", I),
                       ("message", text(256)))
NetControl = layout("NetControl", ("interface", text(16)), ("up", I), ("status", I), ("message", text(256)))
FsControl = layout("FsControl", ("device", text(128)), ("path", text(256)), ("type", text(32)), ("options", text(256)),
                   ("status", I), ("message", text(256)))
LogInjection = layout("LogInjection", ("level", text(16)), ("message", text(512)), ("status", I))
CpuControl = layout("CpuControl", ("pid", I), ("mask", Q), ("status", I), ("message", text(256)))
Physical = layout("Physical", ("phys_addr", Q), ("size", Q), ("data", ctypes.c_ubyte * 4096), ("status", I),
                  ("message", text(256)))
Translation = layout("Translation", ("virt_addr", Q), ("pid", I), ("phys_addr", Q), ("status", I), ("message", text(256)))
Patch = layout("Patch", ("phys_addr", Q), ("size", Q), ("original_data", ctypes.c_ubyte * 4096),
               ("patch_data", ctypes.c_ubyte * 4096), ("restore", I), ("status", I), ("message", text(256)))

READ, WRITE = 2, 1
# number: direction, layout, and the whole code as clients in the field were built with it
COMMANDS = {
    1: (READ, Memory, 0x80806b01), 2: (READ, Cpu, 0x80b86b02), 3: (READ | WRITE, Process, 0xc0786b03),
    4: (READ | WRITE, Command, 0xc5046b04), 5: (READ, Network, 0x80a86b05), 6: (READ, FileSystem, 0x81a06b06),
    7: (READ, Module, 0x81886b07), 8: (READ, Interrupt, 0x80906b08), 9: (READ, Load, 0x80306b09),
    10: (READ, Config, 0x81c06b0a), 11: (READ, Pci, 0x81106b0b), 12: (READ, Block, 0x80c06b0c),
    13: (READ, Thermal, 0x80986b0d), 14: (READ, Log, 0x82386b0e), 15: (WRITE, ProcessControl, 0x410c6b0f),
    16: (WRITE, ProcessControl, 0x410c6b10), 17: (WRITE, ProcessControl, 0x410c6b11),
    18: (WRITE, ModuleControl, 0x43446b12), 19: (WRITE, ModuleControl, 0x43446b13), 20: (WRITE, NetControl, 0x41186b14),
    21: (WRITE, FsControl, 0x43a46b15), 22: (WRITE, FsControl, 0x43a46b16), 23: (WRITE, LogInjection, 0x42146b17),
    25: (WRITE, CpuControl, 0x41186b19), 27: (READ | WRITE, Physical, 0xd1186b1b), 28: (WRITE, Physical, 0x51186b1c),
    29: (READ | WRITE, Translation, 0xc1206b1d), 30: (READ | WRITE, Patch, 0xe1186b1e),
}
ANSWERS = ("get_kernel_version", "get_uptime", "get_hostname", "get_domainname", "get_total_memory", "get_free_memory",
           "get_cpu_count", "get_page_size", "get_hz", "get_jiffies")


def code_of(number):
    direction, kind, _ = COMMANDS[number]
    return direction << 30 | ctypes.sizeof(kind) << 16 | ord("k") << 8 | number


class Client:
    def __init__(self):
        self.fd = os.open(DEVICE, os.O_RDWR)
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 31)
        self.netlink.bind((os.getpid(), 0))
        self.netlink.settimeout(5)
        self.memory = mmap.mmap(self.fd, SIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def call(self, number, **fields):
        value = COMMANDS[number][1](**fields)
        fcntl.ioctl(self.fd, code_of(number), value)
        return value

    def greet(self, words):
        data = words.encode()
        self.netlink.send(struct.pack("=IHHII", 16 + len(data), 0, 0, 0, os.getpid()) + data)
        answer = self.netlink.recv(1024)
        return answer[16:].decode().rstrip("\0")


def expect(good, words=""):
    if not good:
        raise AssertionError(words)


class Steps:
    """The demonstration. `allowed`: the module lets root have physical memory."""

    def __init__(self, allowed):
        self.allowed = allowed
        self.client = None

    def step_00_codes(self):
        for number, (_, kind, code) in COMMANDS.items():
            expect(code_of(number) == code, f"{kind.__name__} has {ctypes.sizeof(kind)} bytes: {code_of(number):#x}")
        expect(Process.state.offset == 112 and CpuControl.mask.offset == 8 and Pci.base_addr.offset == 216)

    def step_01_connect(self):
        self.client = Client()

    def step_02_memory(self):
        info = self.client.call(1)
        expect(info.total_ram > 100 << 20 and 0 < info.free_ram < info.total_ram, str(info.total_ram))
        expect(info.used_ram <= info.total_ram and info.cached > 0 and info.committed_as > 0 and info.page_tables > 4096)
        return f"{info.total_ram >> 20} MiB"

    def step_03_cpu(self):
        info = self.client.call(2)
        expect(info.num_online_cpus == os.cpu_count() and info.cpu_model and info.vendor_id and info.user_time > 0)
        return info.cpu_model.decode()

    def step_04_process(self):
        info = self.client.call(3, pid=os.getpid())
        expect(info.pid == os.getpid() and info.ppid == os.getppid() and info.state == b"R", info.comm.decode())
        expect(info.memory_usage == info.rss * os.sysconf("SC_PAGESIZE") and info.comm.startswith(b"python"))
        expect(self.client.call(3, pid=999999).pid == -1, "a process that is not there")
        return info.comm.decode()

    def step_05_network(self):
        info = self.client.call(5)
        expect(info.rx_packets == info.tx_packets, "there is only the loopback interface")

    def step_06_file_system(self):
        info, real = self.client.call(6), os.statvfs("/")
        expect(info.total_blocks == real.f_blocks and info.block_size == real.f_bsize and info.mount_point == b"/")
        return info.fs_type.decode()

    def step_07_load(self):
        info = self.client.call(9)
        expect(abs(info.load1 / 65536 - os.getloadavg()[0]) < 0.5 and info.total_tasks > 10 and info.last_pid > 1)
        return f"{info.load1 / 65536:.2f}"

    def step_08_configuration(self):
        info = self.client.call(10)
        expect(os.uname().release in info.version.decode() and info.arch == b"x86_64" and info.page_size == 4096)
        return info.compiler.decode()

    def step_09_records(self):
        kinds = {7: "name", 8: "type", 11: "device_name", 12: "name"}
        for number, field in kinds.items():
            names = []
            try:
                while len(names) < 2000:
                    names.append(getattr(self.client.call(number), field))
            except OSError as error:
                expect(error.errno == 61, str(error))
            expect(names and all(names), f"command {number}: {names}")
        expect(self.client.call(14).message, "log")

    def step_10_commands(self):
        for name in ANSWERS:
            answer = self.client.call(4, command=name.encode())
            expect(answer.status == 0 and answer.result, f"{name}: {answer.status}")
        answer = self.client.call(4, command=b"nothing")
        expect(answer.status == -22 and answer.result == b"Unknown command", f"{answer.status} {answer.result}")

    def step_11_shared_memory(self):
        memory = self.client.memory
        memory[0:5] = b"Hello"
        memory[SIZE - 3:SIZE] = b"end"
        memory.flush()
        expect(memory[0:5] == b"Hello" and os.pread(self.client.fd, 5, 0) == b"Hello")
        os.pwrite(self.client.fd, b"other", 100)
        expect(memory[100:105] == b"other")
        memory.seek(0)
        expect(memory.read(5) == b"Hello")

    def step_12_netlink(self):
        for _ in range(3):
            answer = self.client.greet("Hello")
            expect(answer == "Hello from kernel!", repr(answer))
        return answer

    def step_13_signals(self):
        child = subprocess.Popen(["/bin/sleep", "1000"])
        for number in (16, 17):
            answer = self.client.call(number, pid=child.pid)
            expect(answer.status == 0 and answer.message, f"{number}: {answer.status} {answer.message}")
        answer = self.client.call(15, pid=child.pid, signal=15)
        expect(answer.status == 0, f"{answer.status} {answer.message}")
        expect(child.wait(10) == -15)
        expect(self.client.call(15, pid=child.pid, signal=15).status == -3, "a process that is gone")

    def step_14_log(self):
        answer = self.client.call(23, level=b"INFO", message=b"kapi-abi-client was here")
        expect(answer.status == 0, str(answer.status))
        _, words = subprocess.getstatusoutput("dmesg | tail -n 20")
        expect("kapi-abi-client was here" in words, words)

    def step_15_affinity(self):
        answer = self.client.call(25, pid=os.getpid(), mask=1)
        expect(answer.status == 0 and os.sched_getaffinity(0) == {0}, answer.message.decode())
        expect(self.client.call(25, pid=os.getpid(), mask=3).status == 0 and os.sched_getaffinity(0) == {0, 1})

    def step_16_interface(self):
        answer = self.client.call(20, interface=b"lo", up=0)
        expect(answer.status == 0, answer.message.decode())
        expect(self.client.call(20, interface=b"lo", up=1).status == 0)

    def step_17_mount(self):
        answer = self.client.call(21, device=b"none", path=b"/mnt", type=b"tmpfs", options=b"size=128k")
        expect(answer.status == 0 and os.statvfs("/mnt").f_blocks * os.statvfs("/mnt").f_frsize == 128 << 10,
               answer.message.decode())
        answer = self.client.call(22, path=b"/mnt")
        expect(answer.status == 0, answer.message.decode())

    def step_18_modules(self):
        answer = self.client.call(18, path=b"/lib/kapi_dummy.ko", params=b"number=5")
        expect(answer.status == 0, answer.message.decode())
        answer = self.client.call(19, name=b"kapi_dummy")
        expect(answer.status == 0, answer.message.decode())

    def own_page(self):
        self.page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.page[0:16] = b"kapi\0with\0zeros\0"
        return ctypes.addressof(ctypes.c_char.from_buffer(self.page))

    def step_19_physical_memory(self):
        answer = self.client.call(29, virt_addr=self.own_page(), pid=os.getpid())
        if not self.allowed:
            expect(answer.status == -1 and answer.phys_addr == 0 and answer.message, f"{answer.status}")
            answer = self.client.call(27, phys_addr=0x1000000, size=16)
            expect(answer.status == -1 and not any(answer.data), f"{answer.status}")
            return answer.message.decode()
        expect(answer.status == 0, answer.message.decode())
        place = answer.phys_addr
        answer = self.client.call(27, phys_addr=place, size=16)
        expect(answer.status == 0 and bytes(answer.data[:16]) == b"kapi\0with\0zeros\0", answer.message.decode())
        data = (ctypes.c_ubyte * 4096)(*b"KAPI")
        answer = self.client.call(28, phys_addr=place, size=4, data=data)
        expect(answer.status == 0 and self.page[0:5] == b"KAPI\0", answer.message.decode())
        patch = self.client.call(30, phys_addr=place, size=4, patch_data=(ctypes.c_ubyte * 4096)(*b"abcd"))
        expect(patch.status == 0 and self.page[0:4] == b"abcd" and bytes(patch.original_data[:4]) == b"KAPI",
               patch.message.decode())
        patch.restore = 1
        fcntl.ioctl(self.client.fd, code_of(30), patch)
        expect(patch.status == 0 and self.page[0:4] == b"KAPI", patch.message.decode())
        return hex(place)

    def step_20_disconnect(self):
        self.client.memory.close()
        self.client.netlink.close()
        os.close(self.client.fd)


def main():
    steps, failed = Steps(sys.argv[1:] == ["allowed"]), 0
    for name in sorted(name for name in dir(steps) if name.startswith("step_")):
        try:
            words = getattr(steps, name)()
            print(f"step {name[8:]} ok {words or ''}", flush=True)
        except Exception as error:
            failed += 1
            print(f"step {name[8:]} FAIL {type(error).__name__}: {error}".replace("\n", " "), flush=True)
    return 1 if failed else 0


sys.exit(main())
