"""/dev/kernel_api_exporter inside a guest, through the unmodified Python client.

Scripts run under cerebro, and print JSON; what the device says is compared with what the guest's
own /proc says in the same run.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest

from harness import REPOSITORY, run, run_host

PYTHON = "/usr/bin/python3"
SOURCE = Path(os.environ.get("KAPI_PYTHON", str(REPOSITORY / "python")))
EPERM, ESRCH = errno.EPERM, errno.ESRCH

FRAME = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
from kapi import KernelAPIClient, KernelAPIError
from kapi.system import System

class NoDevice(System):
    def open_device(self, path):
        raise FileNotFoundError(2, "as if there were none")

def say(**values):
    print(json.dumps(values, default=str))

with KernelAPIClient() as client:
    assert client.source == "device", client.last_error
"""


@pytest.fixture
def client(work: Path) -> Path:
    """A copy of the client that every user can read."""
    if not Path(PYTHON).exists():
        pytest.skip("python3 is not installed")
    shutil.copytree(SOURCE / "kapi", work / "kapi", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(SOURCE / "kapi_client.py", work)
    return work


def ask(client: Path, body: str, **how: Any) -> dict[str, Any]:
    script = FRAME + textwrap.indent(textwrap.dedent(body), "    ")
    result = run(PYTHON, "-B", "-c", script, client, **how).ok()
    return json.loads(result.out)


def test_it_is_there_for_everybody(client: Path) -> None:
    got = ask(client, """
        stat = os.stat("/dev/kernel_api_exporter")
        say(mode=oct(stat.st_mode), links=os.listdir("/dev").count("kernel_api_exporter"),
            features=client.features(), version=client.version.abi_version)
        """)
    assert got == {"mode": "0o20666", "links": 1, "features": ["control"], "version": 1}


def test_device_and_proc_agree(client: Path) -> None:
    got = ask(client, """
        host = KernelAPIClient(system=NoDevice())
        assert host.connect() is False
        def both(name, *args):
            return [getattr(one, name)(*args) for one in (client, host)]
        say(memory=both("get_memory_info"), cpu=both("get_cpu_info"),
            process=both("get_process_info", os.getpid()), network=both("get_network_stats"),
            filesystem=both("get_filesystem_info"), load=both("get_load_average"),
            config=both("get_kernel_config"), modules=both("get_kernel_modules"),
            interrupts=both("get_interrupts"), pci=both("get_pci_devices"),
            block=both("get_block_devices"), list=both("get_process_list"),
            commands=[[one.execute_kernel_command(name)["result"] for one in (client, host)]
                      for name in ("get_kernel_version", "get_hostname", "get_domainname",
                                   "get_total_memory", "get_page_size", "get_hz",
                                   "get_cpu_count")])
        """, options=["--limit", "memory=512M"])
    assert got["memory"][0]["total_ram"] == 512 << 20
    moving = {"source", "free_ram", "used_ram", "dirty", "writeback", "cached", "buffers", "mapped",
              "anon_pages", "slab", "page_tables", "committed_as", "shmem", "vmalloc_used",
              "memory_usage", "rss", "cpu_usage", "vsize", "state", "load1", "load5", "load15",
              "running_tasks", "last_pid", "uptime", "free_blocks", "available_blocks",
              "free_inodes", "total_blocks", "total_inodes", "cpu_freq", "flags"}
    for name in ("memory", "cpu", "process", "network", "filesystem", "load", "config"):
        device, host = got[name]
        assert set(device) == set(host), name
        assert device["source"] == "device" != host["source"]
        for key in set(device) - moving:
            if not key.endswith("_time") or key == "start_time":
                assert device[key] == host[key], (name, key, device[key], host[key])
    for name in ("idle_time", "user_time"):
        assert 0 <= got["cpu"][1][name] - got["cpu"][0][name] < 1000
    for name in ("modules", "pci", "block"):
        assert len(got[name][0]) == len(got[name][1])
    names = [[(line["irq"], line["type"], line["device"]) for line in one]
             for one in got["interrupts"]]
    assert names[0] == names[1]
    listed = [[(one["pid"], one["comm"], one["uid"], one["ppid"]) for one in half]
              for half in got["list"]]
    assert listed[1].pop(0)[:2] == (1, "init")  # which /proc always has; the device tells of the tree only
    assert listed[0] == listed[1]
    for device, host in got["commands"]:
        assert device == host


def test_only_its_own_processes(client: Path) -> None:
    got = ask(client, f"""
        child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "20")
        say(pids=[one["pid"] for one in client.get_process_list()], mine=[os.getpid(), child],
            parent=client.get_process_info(os.getpid())["ppid"],
            stranger=client.get_process_info({os.getpid()}),
            kill=client.kill_process({os.getpid()}, 15)["status"],
            suspend=client.suspend_process({os.getpid()})["status"],
            affinity=client.set_cpu_affinity({os.getpid()}, 1)["status"],
            suspended=client.suspend_process(child)["status"],
            state=[time.sleep(0.2), client.get_process_info(child)["state"]][1],
            resumed=client.resume_process(child)["status"],
            killed=client.kill_process(child)["status"],
            wait=os.waitpid(child, 0)[1])
        """)
    assert set(got["mine"]) <= set(got["pids"]) and len(got["pids"]) <= 3
    assert got["stranger"] is None
    assert (got["kill"], got["suspend"], got["affinity"]) == (-ESRCH, -ESRCH, -ESRCH)
    assert (got["suspended"], got["state"], got["resumed"], got["killed"]) == (0, "T", 0, 0)
    assert got["wait"] == 9


def test_the_machine_is_out_of_reach(client: Path) -> None:
    script = FRAME + textwrap.indent(textwrap.dedent("""
        try:
            client.panic_kernel()
        except KernelAPIError as error:
            panic = error.errno
        say(panic=panic, reclaim=client.force_memory_reclaim()["status"],
            load=client.load_kernel_module("/x.ko"), unload=client.unload_kernel_module("x"),
            up=client.toggle_network_interface("lo"), mount=client.mount_filesystem("x", "/y"),
            umount=client.unmount_filesystem("/y"), log=client.inject_kernel_log("x"),
            read=client.read_physical_memory(0, 4), write=client.write_physical_memory(0, b"x"),
            translate=client.virtual_to_physical(0), patch=client.patch_memory(0, b"x"))
        """), "    ")
    result = run(PYTHON, "-B", "-c", script, client).ok()
    got = json.loads(result.out)
    assert (got.pop("panic"), got.pop("reclaim")) == (EPERM, -EPERM)
    for name, values in got.items():
        assert values["status"] == -EPERM and values["message"], name
    assert any("kernel API: panic" in line for line in result.denials())


def test_shared_buffer(client: Path) -> None:
    got = ask(client, r"""
        client.write_shared_memory(b"\0one\0two\0")
        fd = client.device_fd
        os.lseek(fd, 1, os.SEEK_SET)
        read = os.read(fd, 3).decode()
        os.write(fd, b"!")
        child = os.fork()
        if child == 0:
            client.shared_memory[100:105] = b"child"
            os._exit(0)
        os.waitpid(child, 0)
        with KernelAPIClient() as other:
            say(read=read, mapped=list(client.read_shared_bytes(9)),
                child=client.read_shared_memory(5, 100),
                other=other.read_shared_memory(), end=os.lseek(fd, 0, os.SEEK_END))
        """)
    assert got == {"read": "one", "mapped": list(b"\0one!two\0"), "child": "child", "other": "",
                   "end": 16384}


def test_many_opens(client: Path) -> None:
    got = ask(client, """
        fds = []
        try:
            while len(fds) < 200:
                fds.append(os.open("/dev/kernel_api_exporter", os.O_RDWR))
        except OSError as error:
            failed = error.errno
        for fd in fds:
            os.close(fd)
        for _ in range(500):
            with KernelAPIClient() as other:
                other.get_load_average()
        say(count=len(fds), failed=failed)
        """)
    assert 30 <= got["count"] <= 64 and got["failed"] == errno.EMFILE


def test_list_of_many_processes(client: Path) -> None:
    got = ask(client, """
        children = [os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "30") for _ in range(40)]
        pids = [one["pid"] for one in client.get_process_list()]
        threads = client.get_load_average()["total_tasks"]
        for child in children:
            client.kill_process(child)
            os.waitpid(child, 0)
        say(missing=[child for child in children if child not in pids], sorted=pids == sorted(pids),
            threads=threads, after=len(client.get_process_list()))
        """)
    assert got["missing"] == [] and got["sorted"]
    assert got["threads"] >= 41 and got["after"] <= 2


def test_wrong_arguments(client: Path) -> None:
    got = ask(client, """
        import fcntl
        found = []
        for code in (0x80806b01, 0xc0786b03, 0x410c6b0f, 0xc0286b20, 0xc0306b21, 0x6b1a, 0, 0xffffffff):
            try:
                fcntl.ioctl(client.device_fd, code, 1)
                found.append(0)
            except OSError as error:
                found.append(error.errno)
        say(found=found)
        """)
    assert got["found"] == [errno.EFAULT] * 5 + [EPERM, errno.ENOTTY, errno.ENOTTY]


def test_random_commands(client: Path) -> None:
    """Known and made-up codes with random arguments: the process kernel goes on as before."""
    got = ask(client, """
        import fcntl, random
        from kapi import abi
        random.seed(20)
        fd = client.device_fd
        known = [value for name, value in vars(abi).items()
                 if name.isupper() and isinstance(value, int) and value >> 8 & 0xff == ord("k")]
        known += [0xc0000000 | size << 16 | 0x6b00 | nr for size, nr in (
            (400, 7), (152, 8), (280, 11), (200, 12), (160, 13), (576, 14))]
        answers = {}
        for _ in range(1500):
            code = random.choice(known) if random.random() < 0.7 else (
                random.randrange(4) << 30 | random.randrange(16384) << 16 | 0x6b00
                | random.randrange(64))
            # no number below 2**24, so that no process is hit by chance
            block = random.randbytes(3) + random.choice([b"\\xff", b"\\x7f", b"\\1"])
            record = bytearray(random.choice([block, random.randbytes(64), bytes(1)])
                               * 16384)[:16384]
            record[0:4] = block if random.random() < 0.5 else (
                code >> 16 & 0x3fff).to_bytes(4, "little")
            if code in (abi.KILL_PROCESS, abi.SUSPEND_PROCESS, abi.RESUME_PROCESS,
                        abi.SET_CPU_AFFINITY):
                record[0:4] = block
            try:
                fcntl.ioctl(fd, code, record)
                answers[0] = answers.get(0, 0) + 1
            except OSError as error:
                answers[error.errno] = answers.get(error.errno, 0) + 1
        say(answers=answers, pid=client.get_process_info(os.getpid())["pid"] == os.getpid(),
            count=len(client.get_process_list()), end=os.lseek(fd, 0, os.SEEK_END))
        """, timeout=120)
    assert (got["pid"], got["end"]) == (True, 16384) and got["count"] <= 3
    assert {"0", str(errno.ENOTTY), str(errno.EINVAL)} <= set(got["answers"])
    assert set(map(int, got["answers"])) <= {0, errno.EPERM, errno.ENOTTY, errno.EINVAL,
                                             errno.EFAULT, errno.E2BIG, errno.ENODATA,
                                             errno.ENOSPC}


@pytest.mark.parametrize("identity", ["0", "1000:1000"])
def test_as_somebody_else(client: Path, identity: str) -> None:
    got = ask(client, """
        listed = client.get_process_list()
        say(uid=listed[-1]["uid"], load=client.load_kernel_module("/x.ko")["status"],
            reclaim=client.force_memory_reclaim()["status"])
        """, options=["--uid", identity])
    assert got == {"uid": int(identity.partition(":")[0]), "load": -EPERM, "reclaim": -EPERM}


def test_demonstration_and_command(client: Path) -> None:
    result = run(PYTHON, "-B", client / "kapi_client.py").ok()
    assert "answers come from: device" in result.out and "Hello from user space" in result.out
    shown = run(PYTHON, "-I", "-B", client / "kapi/__main__.py", "memory", "--json").ok()
    assert json.loads(shown.out)["source"] == "device"
    assert shown.err == ""


def test_without_cerebro_there_is_none(client: Path) -> None:
    if os.path.exists("/dev/kernel_api_exporter"):
        pytest.skip("this machine has the module")
    result = run_host([PYTHON, "-I", "-B", client / "kapi/__main__.py", "status", "--json"])
    assert json.loads(result.out)["source"] == "host"
