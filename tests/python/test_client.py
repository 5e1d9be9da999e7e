"""KernelAPIClient against a fake device."""

from __future__ import annotations

import ctypes
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fake import FakeSystem, abi, fail, put, reply
from kapi import KernelAPIClient, KernelAPIError, NotConnectedError


def connected(system: FakeSystem, **more: Any) -> KernelAPIClient:
    client = KernelAPIClient(system=system, **more)
    assert client.connect() is True
    return client


# ---- coming and going ----

def test_descriptor_zero_is_a_descriptor() -> None:
    system = FakeSystem(fd=0)
    client = connected(system)
    assert client.device_fd == 0 and client.is_connected() and client.source == "device"
    system.commands[abi.GET_LOADAVG] = lambda record: None
    client.get_load_average()
    client.disconnect()
    assert system.closed == [0]
    assert system.socket.closed
    assert client.device_fd is None and not client.is_connected()
    client.disconnect()
    assert system.closed == [0]


def test_without_connect_everything_raises() -> None:
    client = KernelAPIClient(system=FakeSystem())
    for work in (client.get_memory_info, client.get_process_list, client.force_memory_reclaim,
                 lambda: client.kill_process(1), lambda: client.get_process_info(1),
                 lambda: client.read_shared_memory(), lambda: client.send_netlink_message("x"),
                 client.panic_kernel):
        with pytest.raises(RuntimeError):
            work()


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENXIO])
def test_no_device(number: int) -> None:
    system = FakeSystem()
    system.open_error = number
    client = KernelAPIClient(system=system, fallback=False)
    assert client.connect() is False
    assert not client.is_connected()
    assert client.last_error is not None and client.last_error.errno == number
    with pytest.raises(NotConnectedError, match="kernel_api_exporter"):
        client.get_memory_info()
    with pytest.raises(RuntimeError):
        with KernelAPIClient(system=system, fallback=False):
            pass


def test_a_broken_device_is_an_exception() -> None:
    system = FakeSystem()
    system.open_error = errno.EIO
    with pytest.raises(RuntimeError):
        KernelAPIClient(system=system).connect()


def test_failure_on_the_way_leaves_nothing_open() -> None:
    system = FakeSystem(fd=7)

    def broken(record: Any) -> None:
        raise fail(errno.EFAULT)
    system.commands[abi.GET_VERSION] = broken
    client = KernelAPIClient(system=system)
    with pytest.raises(RuntimeError):
        client.connect()
    assert system.closed == [7] and not client.connected


def test_context_manager() -> None:
    system = FakeSystem(fd=5)
    with KernelAPIClient(system=system) as client:
        assert client.is_connected()
    assert system.closed == [5]
    with pytest.raises(ZeroDivisionError):
        with KernelAPIClient(system=system):
            raise ZeroDivisionError
    assert system.closed == [5, 5]


def test_destructor_closes() -> None:
    system = FakeSystem(fd=6)
    client = connected(system)
    del client
    assert system.closed == [6]


def test_real_descriptor_is_closed_on_exec(tmp_path: Path) -> None:
    from kapi.system import System
    path = tmp_path / "node"
    path.write_bytes(b"")
    fd = System().open_device(str(path))
    assert not os.get_inheritable(fd)
    os.close(fd)


# ---- information ----

def test_memory() -> None:
    system = FakeSystem()

    def memory(record: abi.MemoryInfo) -> None:
        record.total_ram, record.shmem = 2**40, 7
    system.commands[abi.GET_MEMORY_INFO] = memory
    values = connected(system).get_memory_info()
    assert (values["total_ram"], values["shmem"], values["source"]) == (2**40, 7, "device")
    assert len(values) == 17


def test_process_is_there_or_not() -> None:
    system = FakeSystem()

    def process(record: abi.ProcessInfo) -> None:
        if record.pid == 12:
            record.comm, record.state, record.rss = "g\u00fc".encode(), b"S", -1
        else:
            record.pid = -1
    system.commands[abi.GET_PROCESS_INFO] = process
    client = connected(system)
    values = client.get_process_info(12)
    assert values is not None
    assert (values["pid"], values["comm"], values["state"], values["rss"]) == (12, "g\u00fc", "S", -1)
    assert client.get_process_info(13) is None
    calls = len(system.calls)
    assert client.get_process_info(0) is None and client.get_process_info(2**31) is None
    assert len(system.calls) == calls


def test_load_is_divided() -> None:
    system = FakeSystem()

    def load(record: abi.LoadavgInfo) -> None:
        record.load1, record.load5, record.total_tasks = 65536 * 3 // 2, 65536 // 4, 99
    system.commands[abi.GET_LOADAVG] = load
    values = connected(system).get_load_average()
    assert (values["load1"], values["load5"], values["total_tasks"]) == (1.5, 0.25, 99)


def test_busy_driver_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    system, pauses = FakeSystem(), []
    monkeypatch.setattr("time.sleep", pauses.append)

    def busy(record: Any) -> None:
        if len(pauses) < 2:
            raise fail(errno.EBUSY)
    system.commands[abi.GET_CPU_INFO] = busy
    client = connected(system)
    client.get_cpu_info()
    assert len(pauses) == 2 and pauses[1] == 2 * pauses[0]

    def always(record: Any) -> None:
        raise fail(errno.EBUSY)
    system.commands[abi.GET_CPU_INFO] = always
    with pytest.raises(KernelAPIError) as error:
        client.get_cpu_info()
    assert error.value.errno == errno.EBUSY
    assert len(pauses) == 5


def test_other_errors_are_told_at_once() -> None:
    system = FakeSystem()
    client = connected(system)
    with pytest.raises(KernelAPIError, match="does not know") as error:
        client.get_cpu_info()
    assert error.value.errno == errno.ENOTTY
    assert system.calls.count(abi.GET_CPU_INFO) == 1


# ---- lists ----

def test_records_of_an_old_driver() -> None:
    system, names = FakeSystem(), [b"ext4", b"loop", b"xfs"]
    rest = list(names)

    def module(record: abi.ModuleInfo) -> None:
        if not rest:
            rest.extend(names)
            raise fail(errno.ENODATA)
        record.name = rest.pop(0)
    system.commands[abi.GET_KERNEL_MODULES] = module
    client = connected(system)
    for _ in range(2):
        assert [values["name"] for values in client.get_kernel_modules()] == ["ext4", "loop", "xfs"]


def test_records_by_batch() -> None:
    system, total = FakeSystem(), 2500

    def work(entry: abi.BatchEntry) -> None:
        assert entry.command == 7
        records = [abi.ModuleInfo(name=b"m%d" % at) for at in range(entry.index, total)]
        put(entry, records)
        entry.index += entry.count
        entry.flags = abi.ENTRY_MORE if entry.index < total else 0
    system.have_batch(work)
    client = connected(system)
    found = client.get_kernel_modules()
    assert [values["name"] for values in found] == [f"m{at}" for at in range(total)]
    assert system.calls.count(abi.BATCH) == 4
    assert client.features() == ["control", "dangerous", "netlink"]


def test_records_none_and_refused() -> None:
    system = FakeSystem()

    def work(entry: abi.BatchEntry) -> None:
        entry.status = -errno.ENODATA if entry.command == 13 else -errno.EPERM
    system.have_batch(work)
    client = connected(system)
    assert client.get_thermal_info() == []
    with pytest.raises(KernelAPIError) as error:
        client.read_kernel_log()
    assert error.value.errno == errno.EPERM


def test_batch_that_never_ends() -> None:
    system = FakeSystem()

    def work(entry: abi.BatchEntry) -> None:
        put(entry, [abi.ModuleInfo(name=b"same")])
        entry.flags = abi.ENTRY_MORE
    system.have_batch(work)
    assert len(connected(system).get_kernel_modules()) == 1


def test_snapshot_in_one_call() -> None:
    system = FakeSystem()

    def work(entry: abi.BatchEntry) -> None:
        records = {1: abi.MemoryInfo(total_ram=5), 2: abi.CpuInfo(num_cpus=3),
                   5: abi.NetworkStats(rx_bytes=9), 6: abi.FilesystemInfo(fs_type=b"xfs"),
                   9: abi.LoadavgInfo(load1=131072), 10: abi.KernelConfig(arch=b"x86_64")}
        put(entry, [records[entry.command]])
    system.have_batch(work)
    snapshot = connected(system).get_snapshot()
    assert snapshot["memory"]["total_ram"] == 5
    assert snapshot["load"]["load1"] == 2.0
    assert snapshot["filesystem"]["fs_type"] == "xfs"
    assert len([call for call in system.calls if call != abi.GET_VERSION]) == 1


def test_process_list_in_pieces() -> None:
    system, pids, room = FakeSystem(), list(range(100, 110)), 4

    def processes(ask: abi.ProcessList) -> None:
        assert ask.record_size == ctypes.sizeof(abi.ProcessRecord)
        rest = [pid for pid in pids if pid > ask.cursor]
        for at, pid in enumerate(rest[:room]):
            record = abi.ProcessRecord(pid=pid, comm=b"p\xff", utime=5 * 10**9, uid=pid, nice=-5,
                                       state=b"R", rsslim=2**64 - 1, write_calls=3,
                                       start_time=10**9)
            record.valid = abi.PROCESS_HAS_IO if pid % 2 else 0
            record.read_bytes = 77
            ctypes.memmove(ask.buffer + at * ask.record_size, ctypes.addressof(record),
                           ask.record_size)
        ask.count, ask.time_ns = min(room, len(rest)), 11 * 10**9
        ask.cursor = rest[:room][-1]
        ask.flags = abi.LIST_TRUNCATED if len(rest) > room else 0
    system.have_version()
    system.commands[abi.GET_PROCESS_LIST] = processes
    found = connected(system).get_process_list()
    assert [values["pid"] for values in found] == pids
    assert found[0]["read_bytes"] is None and found[1]["read_bytes"] == 77
    assert found[0]["source"] == "device" and "valid" not in found[0]
    assert found[0]["cpu_percent"] == 50.0
    assert (found[1]["comm"], found[1]["nice"], found[1]["state"], found[1]["uid"]) == (
        "p\ufffd", -5, "R", 101)
    assert (found[1]["rsslim"], found[1]["write_calls"]) == (2**64 - 1, 3)
    assert system.calls.count(abi.GET_PROCESS_LIST) == 3


# ---- kernel commands ----

def test_kernel_command() -> None:
    system = FakeSystem()

    def command(record: abi.KernelCmd) -> None:
        known = record.command == b"get_hz"
        record.result = b"250" if known else b"Unknown command"
        record.status = 0 if known else -errno.EINVAL
    system.commands[abi.EXECUTE_KERNEL_CMD] = command
    client = connected(system)
    assert client.execute_kernel_command("get_hz") == {
        "command": "get_hz", "result": "250", "status": 0, "source": "device"}
    assert client.execute_kernel_command("rm")["status"] == -errno.EINVAL
    with pytest.raises(ValueError):
        client.execute_kernel_command("x" * 256)
    assert len(client.get_all_available_commands()) == 10


# ---- control ----

def test_control_reports_status_and_message() -> None:
    system = FakeSystem()

    def kill(record: abi.ProcessControl) -> None:
        assert (record.pid, record.signal) == (42, 15)
        record.status, record.message = -errno.EPERM, b"CAP_KILL is missing"
    system.commands[abi.KILL_PROCESS] = kill
    result = connected(system).kill_process(42, 15)
    assert result == {"status": -errno.EPERM, "message": "CAP_KILL is missing", "source": "device"}
    assert system.killed == []


@pytest.mark.parametrize("pid", [0, -1, -42, 2**31, "1", 1.5])
def test_no_groups_are_signalled(pid: Any) -> None:
    client = connected(FakeSystem())
    for work in (client.kill_process, client.suspend_process, client.resume_process):
        with pytest.raises(ValueError):
            work(pid)


def test_control_is_never_repeated() -> None:
    system = FakeSystem()

    def busy(record: Any) -> None:
        raise fail(errno.EBUSY)
    system.commands[abi.MOUNT_FS] = busy
    with pytest.raises(KernelAPIError):
        connected(system).mount_filesystem("/dev/x", "/mnt")
    assert system.calls.count(abi.MOUNT_FS) == 1


def test_texts_that_do_not_fit_are_refused() -> None:
    client = connected(FakeSystem())
    with pytest.raises(ValueError):
        client.load_kernel_module("/" + "x" * 255)
    with pytest.raises(ValueError):
        client.unload_kernel_module("a\0b")
    with pytest.raises(ValueError):
        client.toggle_network_interface("e" * 16)
    with pytest.raises(ValueError):
        client.mount_filesystem("/dev/x", "/mnt", options="o" * 256)
    with pytest.raises(ValueError):
        client.set_cpu_affinity(1, 0)
    with pytest.raises(ValueError):
        client.set_cpu_affinity(1, 2**64)


def test_all_control_structures() -> None:
    system, seen = FakeSystem(), {}

    def keep(name: str) -> Any:
        return lambda record: seen.update({name: record.values() if record else None})
    for name in ("LOAD_MODULE", "UNLOAD_MODULE", "TOGGLE_INTERFACE", "MOUNT_FS", "UMOUNT_FS",
                 "INJECT_LOG", "SET_CPU_AFFINITY", "FORCE_PAGE_RECLAIM", "SUSPEND_PROCESS",
                 "RESUME_PROCESS"):
        system.commands[getattr(abi, name)] = keep(name)
    client = connected(system)
    assert client.load_kernel_module("/m.ko", "a=1")["status"] == 0
    client.unload_kernel_module("m")
    client.toggle_network_interface("lo", False)
    client.mount_filesystem("/dev/x", "/mnt", "xfs", "ro")
    client.unmount_filesystem("/mnt")
    assert client.inject_kernel_log("hello", "WARNING") == {
        "status": 0, "message": "success", "source": "device"}
    client.set_cpu_affinity(3, 5)
    assert client.force_memory_reclaim()["status"] == 0
    client.suspend_process(3)
    client.resume_process(3)
    assert (seen["LOAD_MODULE"]["path"], seen["LOAD_MODULE"]["params"]) == ("/m.ko", "a=1")
    assert seen["UNLOAD_MODULE"]["name"] == "m"
    assert (seen["TOGGLE_INTERFACE"]["interface"], seen["TOGGLE_INTERFACE"]["up"]) == ("lo", 0)
    assert [seen["MOUNT_FS"][name] for name in ("device", "path", "type", "options")] == [
        "/dev/x", "/mnt", "xfs", "ro"]
    assert seen["UMOUNT_FS"]["path"] == "/mnt"
    assert (seen["INJECT_LOG"]["message"], seen["INJECT_LOG"]["level"]) == ("hello", "WARNING")
    assert (seen["SET_CPU_AFFINITY"]["pid"], seen["SET_CPU_AFFINITY"]["mask"]) == (3, 5)
    assert seen["SUSPEND_PROCESS"]["pid"] == seen["RESUME_PROCESS"]["pid"] == 3


def test_reclaim_and_panic_refused() -> None:
    system = FakeSystem()

    def refuse(record: Any) -> None:
        raise fail(errno.EPERM)
    system.commands[abi.FORCE_PAGE_RECLAIM] = system.commands[abi.PANIC_KERNEL] = refuse
    client = connected(system)
    assert client.force_memory_reclaim()["status"] == -errno.EPERM
    with pytest.raises(KernelAPIError) as error:
        client.panic_kernel()
    assert error.value.errno == errno.EPERM
    system.commands[abi.PANIC_KERNEL] = lambda record: None
    with pytest.raises(RuntimeError, match="goes on"):
        client.panic_kernel()


def test_strings_are_cut_at_a_character() -> None:
    cut = KernelAPIClient._encode_string
    assert cut("abc", 2) == b"ab"
    assert cut("a\u20acb", 3) == b"a"
    assert cut("a\u20acb", 4) == "a\u20ac".encode()
    assert cut("\u20ac", 2) == b""
    assert cut(b"\xff\xfe\xfd", 2) == b"\xff\xfe"


# ---- physical memory ----

def test_physical_memory_is_binary() -> None:
    system, written = FakeSystem(), []

    def read(record: abi.PhysMem) -> None:
        record.data[:8] = [0x7f, 0, 0, 1, 0, 2, 0, 0]

    def write(record: abi.PhysMem) -> None:
        written.append(bytes(record.data)[:record.size])
    system.commands[abi.READ_PHYS_MEM] = read
    system.commands[abi.WRITE_PHYS_MEM] = write
    client = connected(system)
    assert client.read_physical_memory(4096, 8)["data"] == b"\x7f\0\0\1\0\2\0\0"
    client.write_physical_memory(4096, b"\0a\0b")
    assert written == [b"\0a\0b"]
    for size in (0, -1, 4097):
        with pytest.raises(ValueError):
            client.read_physical_memory(0, size)
    with pytest.raises(ValueError):
        client.write_physical_memory(0, b"")
    with pytest.raises(ValueError):
        client.read_physical_memory(-1, 4)


def test_refused_read_has_no_data() -> None:
    system = FakeSystem()

    def read(record: abi.PhysMem) -> None:
        record.status = -errno.EPERM
    system.commands[abi.READ_PHYS_MEM] = read
    result = connected(system).read_physical_memory(0, 16)
    assert (result["status"], result["data"]) == (-errno.EPERM, b"")


def test_patch_and_restore() -> None:
    system, memory = FakeSystem(), bytearray(b"\0old\0")

    def patch(record: abi.MemPatch) -> None:
        source = record.original_data if record.restore else record.patch_data
        if not record.restore:
            record.original_data[:record.size] = list(memory)
        memory[:] = bytes(source)[:record.size]
    system.commands[abi.PATCH_MEMORY] = patch
    client = connected(system)
    first = client.patch_memory(0, b"\0new\0")
    assert (bytes(memory), first["original_data"]) == (b"\0new\0", b"\0old\0")
    client.patch_memory(0, b"\0new\0", restore=True, original_data=first["original_data"])
    assert bytes(memory) == b"\0old\0"
    with pytest.raises(ValueError):
        client.patch_memory(0, b"\0new\0", restore=True)


def test_translate() -> None:
    system = FakeSystem()

    def translate(record: abi.VirtToPhys) -> None:
        record.phys_addr = record.virt_addr ^ 0xfff000
    system.commands[abi.VIRT_TO_PHYS] = translate
    result = connected(system).virtual_to_physical(0x1234, 5)
    assert (result["virtual_address"], result["physical_address"]) == (0x1234, 0xffe234)


# ---- shared memory ----

def test_shared_memory() -> None:
    client = connected(FakeSystem())
    client.write_shared_memory("gr\u00fc\u00df dich")
    assert client.read_shared_memory() == "gr\u00fc\u00df dich"
    client.write_shared_memory(b"\0a\0b\0", 100)
    assert client.read_shared_bytes(5, 100) == b"\0a\0b\0"
    assert client.read_shared_memory(5, 100) == "\0a\0b\0"
    client.write_shared_memory(b"\xff\xfe", 200)
    assert client.read_shared_memory(2, 200).encode("utf-8", "surrogateescape") == b"\xff\xfe"
    assert len(client.read_shared_bytes()) == 16384
    client.write_shared_memory(b"z", 16383)
    assert client.read_shared_bytes(None, 16383) == b"z"


def test_shared_memory_has_an_end() -> None:
    client = connected(FakeSystem())
    for data, offset in ((b"ab", 16383), (b"a", -1), (b"a" * 16385, 0)):
        with pytest.raises(ValueError):
            client.write_shared_memory(data, offset)
    for size, offset in ((1, 16384), (-1, 0), (1, -1), (16385, 0)):
        with pytest.raises(ValueError):
            client.read_shared_bytes(size, offset)
    with pytest.raises(TypeError):
        client.write_shared_memory(5)


def test_without_a_buffer_the_rest_works() -> None:
    system = FakeSystem()

    def no_map(fd: int, size: int) -> Any:
        raise fail(errno.ENODEV)
    system.map = no_map  # type: ignore[method-assign]
    system.socket = None
    client = connected(system)
    with pytest.raises(RuntimeError, match="mapped"):
        client.write_shared_memory("x")
    with pytest.raises(RuntimeError, match="netlink"):
        client.send_netlink_message("x")


def test_netlink_greeting() -> None:
    system = FakeSystem()
    system.socket.queue = [(reply(b"Hello from kernel!"), 0, (0, 0))]
    assert connected(system).send_netlink_message("Hello") == "Hello from kernel!"


# ---- export ----

def test_export(tmp_path: Path) -> None:
    client = connected(FakeSystem())
    path = tmp_path / "info.json"
    assert client.export_system_info(str(path)) == str(path)
    info = json.loads(path.read_text())
    assert info["source"] == "device" and "memory" in info["errors"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["info.json"]


def test_export_default_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = connected(FakeSystem()).export_system_info()
    assert (tmp_path / name).is_file() and name.endswith(".json")


def test_export_fails_whole(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        connected(FakeSystem()).export_system_info(str(tmp_path / "no" / "info.json"))
    with pytest.raises(RuntimeError):
        KernelAPIClient(system=FakeSystem()).export_system_info(str(tmp_path / "x.json"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    client = connected(FakeSystem())
    for work in (client.get_memory_info, client.read_kernel_log, client.force_memory_reclaim):
        with pytest.raises(RuntimeError):
            work()
    client.collect_system_info()
    client.disconnect()
    assert capfd.readouterr() == ("", "")
