"""Without a device: what /proc and /sys say, compared with what they say elsewhere."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from fake import FakeSystem, abi
from kapi import KernelAPIClient, KernelAPIError, kmsg, procfs, sysfs
from kapi.system import System


class Host(System):
    """The real machine, on which there is no device."""

    def open_device(self, path: str) -> int:
        raise FileNotFoundError(errno.ENOENT, "no such device node")


@pytest.fixture
def client() -> Iterator[KernelAPIClient]:
    with KernelAPIClient(system=Host()) as client:
        assert not client.is_connected() and client.source == "host"
        yield client


def meminfo(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def test_memory(client: KernelAPIClient) -> None:
    values = client.get_memory_info()
    assert values["source"] == "procfs"
    assert values["total_ram"] == meminfo("MemTotal")
    assert values["swap_total"] == meminfo("SwapTotal")
    assert values["used_ram"] == values["total_ram"] - values["free_ram"]
    assert abs(values["total_ram"] - os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) \
        <= values["total_ram"] // 50
    assert set(values) - {"source"} == set(abi.MemoryInfo().values())


def test_cpu(client: KernelAPIClient) -> None:
    values = client.get_cpu_info()
    assert values["num_online_cpus"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert values["num_cpus"] >= values["num_online_cpus"]
    assert abs(values["uptime"] - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5
    assert set(values) - {"source"} == set(abi.CpuInfo().values())


def test_own_process(client: KernelAPIClient) -> None:
    values = client.get_process_info(os.getpid())
    assert values is not None
    assert values["ppid"] == os.getppid()
    assert values["pgrp"] == os.getpgrp() and values["session"] == os.getsid(0)
    assert values["nice"] == os.nice(0)
    assert values["memory_usage"] == values["rss"] * os.sysconf("SC_PAGE_SIZE")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 0 < values["memory_usage"] <= used + (16 << 20)
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - values["start_time"] / 1e9
    assert 0 <= age < 100000
    assert set(values) - {"source"} == set(abi.ProcessInfo().values())


def test_name_with_brackets(client: KernelAPIClient) -> None:
    script = ("import ctypes, sys, time; ctypes.CDLL(None).prctl(15, b') R 1 (x', 0, 0, 0);"
              "print(flush=True); time.sleep(30)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        values = client.get_process_info(child.pid)
        listed = {one["pid"]: one for one in client.get_process_list()}
        child.kill()
    assert values is not None
    assert (values["comm"], values["ppid"]) == (") R 1 (x", os.getpid())
    assert listed[child.pid]["comm"] == ") R 1 (x"
    assert client.get_process_info(child.pid) is None


def test_process_list(client: KernelAPIClient) -> None:
    listed = client.get_process_list()
    pids = [values["pid"] for values in listed]
    assert pids == sorted(pids)
    mine = listed[pids.index(os.getpid())]
    assert (mine["uid"], mine["euid"], mine["gid"]) == (os.getuid(), os.geteuid(), os.getgid())
    assert mine["read_chars"] > 0 and mine["rss"] > 0
    keys = {name for name in abi.ProcessRecord().values() if name != "valid"}
    assert set(mine) - {"source", "cpu_percent"} == keys


def test_load(client: KernelAPIClient) -> None:
    values = client.get_load_average()
    assert abs(values["load1"] - os.getloadavg()[0]) < 1.0
    assert values["total_tasks"] >= values["running_tasks"] >= 1


def test_network(client: KernelAPIClient) -> None:
    values = client.get_network_stats()
    assert set(values) - {"source"} == set(abi.NetworkStats().values())
    table = procfs.network_stats(System())
    if values["source"] == "netlink":  # counters only grow
        later = procfs.network_stats(System())
        for name in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes"):
            assert table[name] >= 0 and later[name] >= values[name]


def test_filesystem(client: KernelAPIClient) -> None:
    values = client.get_filesystem_info()
    root = os.statvfs("/")
    assert (values["total_blocks"], values["block_size"]) == (root.f_blocks, root.f_frsize)
    assert values["fs_type"] and values["mount_point"] == "/"


def test_config_and_commands(client: KernelAPIClient) -> None:
    values = client.get_kernel_config()
    assert (values["version"], values["arch"]) == (os.uname().release, os.uname().machine)
    assert values["page_size"] == os.sysconf("SC_PAGE_SIZE")
    expected = {"get_kernel_version": os.uname().release, "get_hostname": os.uname().nodename,
                "get_page_size": str(os.sysconf("SC_PAGE_SIZE")),
                "get_total_memory": str(meminfo("MemTotal"))}
    for command, result in expected.items():
        assert client.execute_kernel_command(command)["result"] == result
    assert client.execute_kernel_command("no_such")["status"] == -errno.EINVAL


def test_hardware_is_listed_or_absent(client: KernelAPIClient) -> None:
    for work, record in ((client.get_block_devices, abi.BlockDeviceInfo),
                         (client.get_pci_devices, abi.PciDeviceInfo),
                         (client.get_thermal_info, abi.ThermalInfo),
                         (client.get_interrupts, abi.InterruptInfo),
                         (client.get_kernel_modules, abi.ModuleInfo)):
        for values in work():
            assert set(values) - {"source"} == set(record().values()), work


def test_interrupts_sum(client: KernelAPIClient) -> None:
    for values in client.get_interrupts():
        assert values["count"] >= sum(values["cpu_count"]) >= 0


# ---- control ----

def test_signals_and_affinity(client: KernelAPIClient) -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        assert client.suspend_process(child.pid)["status"] == 0
        for _ in range(200):
            values = client.get_process_info(child.pid)
            if values is not None and values["state"] == "T":
                break
            time.sleep(0.01)
        assert values is not None and values["state"] == "T"
        assert client.resume_process(child.pid)["status"] == 0
        cpu = min(os.sched_getaffinity(0))
        assert client.set_cpu_affinity(child.pid, 1 << cpu)["source"] == "syscall"
        assert os.sched_getaffinity(child.pid) == {cpu}
        assert client.kill_process(child.pid, signal.SIGTERM)["status"] == 0
        assert child.wait(10) == -signal.SIGTERM
    assert client.kill_process(child.pid)["status"] == -errno.ESRCH


def test_the_rest_needs_the_module(client: KernelAPIClient) -> None:
    for work in (client.force_memory_reclaim, client.panic_kernel,
                 lambda: client.unload_kernel_module("x"), lambda: client.unmount_filesystem("/x"),
                 lambda: client.read_physical_memory(0, 1), lambda: client.inject_kernel_log("x"),
                 client.read_shared_memory, lambda: client.send_netlink_message("x")):
        with pytest.raises(KernelAPIError):
            work()


# ---- made-up trees ----

def tree(root: Path, files: dict[str, str]) -> FakeSystem:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return FakeSystem(proc=str(root / "proc"), sys=str(root / "sys"))


def test_modules(tmp_path: Path) -> None:
    system = tree(tmp_path, {
        "proc/modules": "ext4 1000 1 - Live 0xffffffffc0000000\n"
                        "jbd2 200 1 ext4, Live 0x0000000000000000 (E)\n",
        "sys/module/ext4/version": "1.0\n"})
    first, second = procfs.kernel_modules(system)
    assert (first["name"], first["version"], first["used_by"]) == ("ext4", "1.0", "")
    assert first["load_addr"] == 0xffffffffc0000000
    assert (second["used_by"], second["used_by_count"], second["state"]) == ("ext4", 1, "Live")


def test_interrupt_lines(tmp_path: Path) -> None:
    system = tree(tmp_path, {"proc/interrupts": (
        "           CPU0       CPU1       \n"
        "  1:          9          1   IO-APIC   1-edge      i8042\n"
        " 28:          0          7 PCI-MSI-0000:00:02.0   0-edge      virtio1-req.0, other\n"
        "NMI:          1          1   Non-maskable interrupts\n"
        "ERR:          0\n")})
    first, second = procfs.interrupts(system)
    assert (first["irq"], first["count"], first["type"], first["device"]) == (
        1, 10, "IO-APIC", "i8042")
    assert second["device"] == "virtio1-req.0, other"
    assert second["cpu_count"] == [0, 7, 0, 0, 0, 0, 0, 0]


def test_root_mount(tmp_path: Path) -> None:
    system = tree(tmp_path, {"proc/self/mountinfo": (
        "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/old rw\n"
        "2 1 0:5 / /proc rw - proc proc rw\n"
        "3 1 8:2 / / rw - xfs /dev/disk\\040one rw\n")})
    assert procfs.root_mount(system) == {"fs_type": "xfs", "device_name": "/dev/disk one"}


def test_version_line(tmp_path: Path) -> None:
    system = tree(tmp_path, {
        "proc/version": "Linux version 6.1.0-56-amd64 (debian@lists.org) (gcc-12 (Debian 12.2) "
                        "12.2.0, GNU ld 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-01-02)\n",
        "proc/cpuinfo": "processor\t: 0\naddress sizes\t: 40 bits physical, 48 bits virtual\n\n",
    })
    values = procfs.kernel_config(system)
    assert (values["compile_by"], values["compile_host"]) == ("debian", "lists.org")
    assert values["compiler"].startswith("gcc-12 (Debian 12.2)")
    assert values["build_date"] == "Debian 6.1.192-2 (2026-01-02)"
    assert (values["phys_addr_bits"], values["virt_addr_bits"]) == (40, 48)
    assert values["hz"] in (100, 250, 300, 1000)


def test_disks_and_zones(tmp_path: Path) -> None:
    system = tree(tmp_path, {
        "sys/block/sda/size": "2048\n", "sys/block/sda/queue/nr_requests": "64\n",
        "sys/block/sda/stat": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n",
        "sys/block/sda/device/model": "Disk  \n", "sys/block/empty/size": "\n",
        "sys/class/thermal/thermal_zone0/type": "x86_pkg\n",
        "sys/class/thermal/thermal_zone0/temp": "45000\n",
        "sys/class/thermal/thermal_zone0/trip_point_0_type": "critical\n",
        "sys/class/thermal/thermal_zone0/trip_point_0_temp": "99000\n",
        "sys/class/thermal/cooling_device0/type": "fan\n"})
    empty, disk = sysfs.block_devices(system)
    assert (disk["size"], disk["read_ios"], disk["write_sectors"]) == (1048576, 1, 7)
    assert (disk["discard_ios"], disk["discard_sectors"], disk["model"]) == (12, 14, "Disk")
    assert empty["size"] == 0
    zone, = sysfs.thermal_zones(system)
    assert (zone["temperature"], zone["critical_temp"], zone["trip_point_count"]) == (
        45000, 99000, 1)


def test_pci_names(tmp_path: Path) -> None:
    path = tmp_path / "pci.ids"
    path.write_text("# comment\n8086  Intel\n\t100e  82540EM\n\t\t8086 0001  sub\nC 01  Class\n")
    names = sysfs.PciNames(str(path))
    assert names.vendor(0x8086) == "Intel" and names.device(0x8086, 0x100e) == "82540EM"
    assert names.vendor(0x1234) == "" and sysfs.PciNames(str(tmp_path / "no")).vendor(1) == ""


def test_log_records() -> None:
    record = kmsg.parse("30,100,5000000,-;hello; you\n SUBSYSTEM=x\n")
    assert record == {"level": "INFO", "message": "hello; you", "timestamp": 5000000,
                      "facility": "daemon"}
    assert kmsg.parse("4,1,2,-;x")["level"] == "WARNING"


@pytest.mark.parametrize("text,count", [("0", 1), ("0-3", 4), ("0-1,4,6-7\n", 5), ("", 0)])
def test_cpu_lists(text: str, count: int) -> None:
    assert procfs.count_cpus(text) == count


def test_broken_files_are_errors(tmp_path: Path) -> None:
    system = tree(tmp_path, {"proc/loadavg": "nonsense\n", "proc/stat": ""})
    system.open_error = errno.ENOENT
    with KernelAPIClient(system=system) as client:
        for work in (client.get_load_average, client.get_cpu_info, client.get_memory_info):
            with pytest.raises(KernelAPIError):
                work()
