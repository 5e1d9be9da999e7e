"""The structures and numbers are those of clients in the field, and of include/cerebro/kapi.h."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fake import abi

HEADER = Path(os.environ.get("KAPI_INCLUDE", Path(__file__).resolve().parents[2] / "include"))

# What old clients were built with.
CODES = {
    "GET_MEMORY_INFO": 0x80806b01, "GET_CPU_INFO": 0x80b86b02, "GET_PROCESS_INFO": 0xc0786b03,
    "EXECUTE_KERNEL_CMD": 0xc5046b04, "GET_NETWORK_STATS": 0x80a86b05,
    "GET_FILE_SYSTEM_INFO": 0x81a06b06, "GET_KERNEL_MODULES": 0x81886b07,
    "GET_INTERRUPTS": 0x80906b08, "GET_LOADAVG": 0x80306b09, "GET_KERNEL_CONFIG": 0x81c06b0a,
    "GET_PCI_DEVICES": 0x81106b0b, "GET_BLOCK_DEVICES": 0x80c06b0c,
    "GET_THERMAL_INFO": 0x80986b0d, "READ_KERNEL_LOG": 0x82386b0e, "KILL_PROCESS": 0x410c6b0f,
    "SUSPEND_PROCESS": 0x410c6b10, "RESUME_PROCESS": 0x410c6b11, "LOAD_MODULE": 0x43446b12,
    "UNLOAD_MODULE": 0x43446b13, "TOGGLE_INTERFACE": 0x41186b14, "MOUNT_FS": 0x43a46b15,
    "UMOUNT_FS": 0x43a46b16, "INJECT_LOG": 0x42146b17, "FORCE_PAGE_RECLAIM": 0x6b18,
    "SET_CPU_AFFINITY": 0x41186b19, "PANIC_KERNEL": 0x6b1a, "READ_PHYS_MEM": 0xd1186b1b,
    "WRITE_PHYS_MEM": 0x51186b1c, "VIRT_TO_PHYS": 0xc1206b1d, "PATCH_MEMORY": 0xe1186b1e,
}


@pytest.mark.parametrize("name", CODES)
def test_codes(name: str) -> None:
    assert getattr(abi, name) == CODES[name]


def test_offsets() -> None:
    assert abi.ProcessInfo.comm.offset == 4
    assert abi.ProcessInfo.memory_usage.offset == 24
    assert abi.ProcessInfo.state.offset == 112
    assert abi.ProcessInfo.flags.offset == 116
    assert abi.CpuControl.mask.offset == 8
    assert abi.PciDeviceInfo.base_addr.offset == 216


def test_data_is_not_cut_at_nul() -> None:
    record = abi.PhysMem()
    record.data[:4] = [0, 1, 0, 2]
    assert record.values()["data"][:4] == b"\0\1\0\2"


STRUCTS = {
    "memory_info": abi.MemoryInfo, "cpu_info": abi.CpuInfo, "process_info": abi.ProcessInfo,
    "kernel_cmd": abi.KernelCmd, "network_stats": abi.NetworkStats,
    "filesystem_info": abi.FilesystemInfo, "module_info": abi.ModuleInfo,
    "interrupt_info": abi.InterruptInfo, "loadavg_info": abi.LoadavgInfo,
    "kernel_config": abi.KernelConfig, "pci_device_info": abi.PciDeviceInfo,
    "block_device_info": abi.BlockDeviceInfo, "thermal_info": abi.ThermalInfo,
    "kernel_log": abi.KernelLog, "process_control": abi.ProcessControl,
    "module_control": abi.ModuleControl, "net_control": abi.NetControl,
    "fs_control": abi.FsControl, "log_injection": abi.LogInjection,
    "cpu_control": abi.CpuControl, "phys_mem_read": abi.PhysMem, "phys_mem_write": abi.PhysMem,
    "virt_to_phys": abi.VirtToPhys, "mem_patch": abi.MemPatch, "version": abi.Version,
    "batch_entry": abi.BatchEntry, "batch": abi.Batch, "process_list": abi.ProcessList,
    "process_record": abi.ProcessRecord,
}


def _c_lines() -> list[str]:
    lines = []
    for name, record in STRUCTS.items():
        lines.append(f'printf("{name} sizeof %zu\\n", sizeof(struct kapi_{name}));')
        for field, *_ in record._fields_:
            member = field.lstrip("_")
            lines.append(f'printf("{name} {field} %zu\\n", '
                         f'offsetof(struct kapi_{name}, {member}));')
    for name in CODES:
        lines.append(f'printf("code {name} %lu\\n", (unsigned long)KAPI_{name});')
    for name in ("GET_VERSION", "BATCH", "GET_PROCESS_LIST"):
        lines.append(f'printf("code {name} %lu\\n", (unsigned long)KAPI_{name});')
    return lines


@pytest.mark.skipif(not (HEADER / "cerebro/kapi.h").exists(), reason="no include/cerebro/kapi.h")
@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_header_says_the_same(tmp_path: Path) -> None:
    source = tmp_path / "layout.c"
    source.write_text("#include <stddef.h>\n#include <stdio.h>\n#include <cerebro/kapi.h>\n"
                      "int main(void) {\n" + "\n".join(_c_lines()) + "\nreturn 0; }\n")
    subprocess.run(["cc", "-I", str(HEADER), "-o", str(tmp_path / "layout"), str(source)],
                   check=True)
    said = subprocess.run([str(tmp_path / "layout")], check=True, capture_output=True,
                          text=True).stdout
    for line in said.splitlines():
        owner, what, number = line.split()
        if owner == "code":
            assert getattr(abi, what) == int(number), line
        elif what == "sizeof":
            assert ctypes.sizeof(STRUCTS[owner]) == int(number), line
        else:
            assert getattr(STRUCTS[owner], what).offset == int(number), line
    assert len(re.findall(r"^code ", said, re.M)) == 33
