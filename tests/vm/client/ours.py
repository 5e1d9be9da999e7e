"""Our own client against the module: every method with the device and without it, and the command line.

Prints "step NAME ok|FAIL|skip TEXT" for each; tables as "row TABLE CELLS".
"""

import ctypes
import json
import mmap
import os
import subprocess
import sys
import time

sys.path.insert(0, "/python")

from kapi_client import KernelAPIClient  # noqa: E402

RECORDS = ("get_kernel_modules", "get_interrupts", "get_pci_devices", "get_block_devices", "get_thermal_info")
SINGLE = ("get_memory_info", "get_cpu_info", "get_network_stats", "get_filesystem_info", "get_load_average",
          "get_kernel_config")
QUESTIONS = ("memory", "cpu", "process 1", "processes", "network", "filesystem", "load", "config", "modules",
             "interrupts", "pci", "block", "thermal", "log")
CONSTANT = {"total_ram", "swap_total", "num_cpus", "num_online_cpus", "cpu_model", "vendor_id", "cpu_family", "total_blocks",
            "block_size", "fs_type", "mount_point", "version", "arch", "page_size", "compile_by", "compile_host",
            "cache_size", "phys_addr_bits", "virt_addr_bits", "max_filename_len"}


def expect(good, words=""):
    if not good:
        raise AssertionError(words)


class Steps:
    def __init__(self, allowed):
        self.allowed = allowed
        self.client = KernelAPIClient()
        self.plain = KernelAPIClient(device="/dev/nothing-here")

    def step_00_connect(self):
        expect(self.client.connect() is True and self.client.is_connected(), "no connection")
        self.plain.connect()
        expect(not self.plain.is_connected(), "connected without a device")
        return f"{self.client.source} and {self.plain.source}"

    def step_01_with_and_without_the_device(self):
        for name in SINGLE:
            ours, other = getattr(self.client, name)(), getattr(self.plain, name)()
            expect(set(ours) == set(other), f"{name}: {sorted(set(ours) ^ set(other))}")
            for key in sorted(CONSTANT & set(ours)):
                print(f"row sources {name[4:]} {key}\t{ours[key]}\t{other[key]}".replace("\n", " "))
                expect(ours[key] == other[key], f"{name}: {key} is {ours[key]!r} and {other[key]!r}")

    def step_02_records(self):
        for name in RECORDS:
            ours, other = getattr(self.client, name)(), getattr(self.plain, name)()
            expect(len(ours) == len(other), f"{name}: {len(ours)} and {len(other)}")
            expect(all(isinstance(record, dict) for record in ours), name)

    def step_03_process(self):
        info = self.client.get_process_info(os.getpid())
        expect(info["pid"] == os.getpid() and info["ppid"] == os.getppid(), str(info))
        expect(self.client.get_process_info(999999) is None, "a process that is not there")

    def step_04_process_list(self):
        children = [subprocess.Popen(["/bin/sleep", "100"]) for _ in range(100)]
        pids = {record["pid"] for record in self.client.get_process_list()}
        others = {record["pid"] for record in self.plain.get_process_list()}
        expect({child.pid for child in children} <= pids & others and len(pids ^ others) < 8, str(pids ^ others))
        times = []
        for client in (self.client, self.plain):
            start = time.perf_counter()
            for _ in range(3):
                client.get_process_list()
            times.append((time.perf_counter() - start) / 3 * 1000)
        print(f"row client-latency process list of {len(pids)}\t{times[0]:.1f} ms\t{times[1]:.1f} ms")
        for child in children:
            child.kill()
            child.wait()

    def step_05_commands(self):
        for name in self.client.get_all_available_commands():
            answer = self.client.execute_kernel_command(name)
            expect(answer["status"] == 0 and answer["result"], f"{name}: {answer}")

    def step_06_shared_memory(self):
        data = b"kapi\0with\0zeros"
        self.client.write_shared_memory(data, 50)
        expect(self.client.read_shared_bytes(len(data), 50) == data, "data cut at a zero byte")
        self.client.write_shared_memory("text")
        expect(self.client.read_shared_memory(4) == "text")
        for offset, size in ((16384, 1), (-1, 1), (16380, 5)):
            try:
                self.client.write_shared_memory(b"x" * size, offset)
            except (RuntimeError, ValueError):
                continue
            raise AssertionError(f"{size} bytes at {offset} were written")

    def step_07_netlink(self):
        expect("Hello" in self.client.send_netlink_message("Hello"))

    def step_08_control(self):
        child = subprocess.Popen(["/bin/sleep", "100"])
        for answer in (self.client.suspend_process(child.pid), self.client.resume_process(child.pid),
                       self.client.set_cpu_affinity(child.pid, 1), self.client.kill_process(child.pid)):
            expect(answer["status"] == 0, str(answer))
        expect(child.wait(10) == -9)
        expect(self.client.kill_process(child.pid)["status"] == -3, "a process that is gone")
        for answer in (self.client.toggle_network_interface("lo", False), self.client.toggle_network_interface("lo", True),
                       self.client.mount_filesystem("none", "/mnt", "tmpfs", "size=64k"), self.client.unmount_filesystem("/mnt"),
                       self.client.load_kernel_module("/lib/kapi_dummy.ko", "number=3"),
                       self.client.unload_kernel_module("kapi_dummy"), self.client.inject_kernel_log("kapi-our-client")):
            expect(answer["status"] == 0, str(answer))

    def step_09_physical_memory(self):
        page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page[0:16] = b"kapi\0with\0zeros\0"
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        answer = self.client.virtual_to_physical(address, os.getpid())
        if not self.allowed:
            expect(answer["status"] == -1 and answer["message"], str(answer))
            return
        place = answer["physical_address"]
        answer = self.client.read_physical_memory(place, 16)
        expect(answer["data"] == b"kapi\0with\0zeros\0", str(answer))
        expect(self.client.write_physical_memory(place, b"\0\1")["status"] == 0 and page[0:2] == b"\0\1")
        patch = self.client.patch_memory(place, b"ab\0d")
        expect(patch["status"] == 0 and patch["original_data"] == b"\0\1pi" and page[0:4] == b"ab\0d", str(patch))
        answer = self.client.patch_memory(place, b"ab\0d", True, patch["original_data"])
        expect(answer["status"] == 0 and page[0:4] == b"\0\1pi", str(answer))

    def step_10_export(self):
        name = self.client.export_system_info("/tmp/export.json")
        with open(name, encoding="utf-8") as file:
            info = json.load(file)
        expect(not info["errors"], str(info["errors"]))

    def step_11_command_line(self):
        env = dict(os.environ, PYTHONPATH="/python")
        for question in QUESTIONS:
            argv = [sys.executable, "-m", "kapi", *question.split(), "--json"]
            done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
            expect(done.returncode == 0, f"{question}: {done.stderr[-300:]}")
            json.loads(done.stdout)
        for question in ("memory", "processes", "process 1"):
            argv = [sys.executable, "-m", "kapi", *question.split()]
            done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
            expect(done.returncode == 0 and done.stdout.strip(), f"{question}: {done.stderr[-300:]}")

    def step_12_demonstration(self):
        done = subprocess.run([sys.executable, "/python/kapi_client.py"], capture_output=True, text=True, timeout=60,
                              check=False)
        expect(done.returncode == 0 and "not available" not in done.stdout, (done.stdout + done.stderr)[-600:])

    def step_13_unprivileged(self):
        words = ("import sys, os; sys.path.insert(0, '/python'); os.setgid(65534); os.setuid(65534)\n"
                 "from kapi_client import KernelAPIClient\n"
                 "c = KernelAPIClient(); c.connect()\n"
                 "assert not c.is_connected(), 'connected'\n"
                 "assert c.get_memory_info()['total_ram'] > 0 and c.get_process_info(os.getpid())['pid'] == os.getpid()\n")
        done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=False)
        expect(done.returncode == 0, done.stderr[-600:])

    def step_14_disconnect(self):
        self.client.disconnect()
        expect(not self.client.is_connected())


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
