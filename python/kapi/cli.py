"""The command `kapi` (also `cerebro kapi`)."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, TextIO

from . import abi, report
from .client import KernelAPIClient
from .errors import KernelAPIError, describe

USAGE_ERROR = 2
FAILED = 1


class Question(NamedTuple):
    """A command that shows something."""

    summary: str
    ask: Callable[[KernelAPIClient, argparse.Namespace], Any]
    show: Callable[[Any], str]


class Order(NamedTuple):
    """A command that changes something."""

    summary: str
    arguments: Dict[str, Dict[str, Any]]
    act: Callable[[KernelAPIClient, argparse.Namespace], Any]
    warning: str  # what is asked before; "" for harmless ones


def _process(client: KernelAPIClient, options: argparse.Namespace) -> Any:
    values = client.get_process_info(options.pid)
    if values is None:
        raise KernelAPIError(f"there is no process {options.pid}")
    return values


QUESTIONS: Dict[str, Question] = {
    "memory": Question("use of memory", lambda c, o: c.get_memory_info(), report.memory),
    "cpu": Question("processors and their times", lambda c, o: c.get_cpu_info(), report.cpu),
    "process": Question("one process", _process, report.process),
    "processes": Question("all processes", lambda c, o: c.get_process_list(), report.processes),
    "network": Question("counters of the network interfaces",
                        lambda c, o: c.get_network_stats(), report.plain_record),
    "filesystem": Question("the file system at /", lambda c, o: c.get_filesystem_info(),
                           report.filesystem),
    "load": Question("load averages", lambda c, o: c.get_load_average(), report.load),
    "config": Question("how the kernel was built", lambda c, o: c.get_kernel_config(),
                       report.plain_record),
    "modules": Question("loaded modules", lambda c, o: c.get_kernel_modules(), report.modules),
    "interrupts": Question("interrupt lines", lambda c, o: c.get_interrupts(), report.interrupts),
    "pci": Question("PCI devices", lambda c, o: c.get_pci_devices(), report.pci),
    "block": Question("disks", lambda c, o: c.get_block_devices(), report.block),
    "thermal": Question("temperatures", lambda c, o: c.get_thermal_info(), report.thermal),
    "log": Question("the kernel's log", lambda c, o: c.read_kernel_log(), report.log),
}


def _number(text: str) -> int:
    return int(text, 0)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text)


_PID: Dict[str, Any] = {"type": int, "metavar": "PID"}
_ADDRESS: Dict[str, Any] = {"type": _number, "metavar": "ADDRESS"}

ORDERS: Dict[str, Order] = {
    "kill": Order("send a signal to a process",
                  {"pid": _PID, "--signal": {"type": int, "default": 9, "metavar": "N"}},
                  lambda c, o: c.kill_process(o.pid, o.signal), "send signal {signal} to {pid}"),
    "suspend": Order("stop a process", {"pid": _PID}, lambda c, o: c.suspend_process(o.pid),
                     "stop process {pid}"),
    "resume": Order("let a stopped process go on", {"pid": _PID},
                    lambda c, o: c.resume_process(o.pid), ""),
    "affinity": Order("restrict a process to processors",
                      {"pid": _PID, "mask": {"type": _number, "metavar": "MASK"}},
                      lambda c, o: c.set_cpu_affinity(o.pid, o.mask), ""),
    "load-module": Order("load a kernel module",
                         {"path": {"metavar": "FILE"}, "--params": {"default": ""}},
                         lambda c, o: c.load_kernel_module(o.path, o.params),
                         "load {path} into the kernel"),
    "unload-module": Order("remove a kernel module", {"name": {"metavar": "NAME"}},
                           lambda c, o: c.unload_kernel_module(o.name), "remove module {name}"),
    "interface": Order("take a network interface up or down",
                       {"name": {"metavar": "NAME"}, "state": {"choices": ["up", "down"]}},
                       lambda c, o: c.toggle_network_interface(o.name, o.state == "up"),
                       "take interface {name} {state}"),
    "mount": Order("mount a file system",
                   {"device": {"metavar": "DEVICE"}, "path": {"metavar": "PATH"},
                    "--type": {"default": "ext4"}, "--options": {"default": ""}},
                   lambda c, o: c.mount_filesystem(o.device, o.path, o.type, o.options),
                   "mount {device} at {path}"),
    "umount": Order("unmount a file system", {"path": {"metavar": "PATH"}},
                    lambda c, o: c.unmount_filesystem(o.path), "unmount {path}"),
    "log-write": Order("write a line to the kernel's log",
                       {"text": {"metavar": "TEXT"}, "--level": {"default": "INFO"}},
                       lambda c, o: c.inject_kernel_log(o.text, o.level), ""),
    "reclaim": Order("make the kernel drop its caches", {},
                     lambda c, o: c.force_memory_reclaim(),
                     "drop the caches (the machine will be slow for a while)"),
    "panic": Order("crash the machine", {}, lambda c, o: c.panic_kernel(),
                   "crash this machine NOW; unsaved data is lost"),
    "phys-read": Order("read physical memory",
                       {"address": _ADDRESS, "size": {"type": _number, "metavar": "SIZE"}},
                       lambda c, o: c.read_physical_memory(o.address, o.size), ""),
    "phys-write": Order("write physical memory",
                        {"address": _ADDRESS, "data": {"type": _bytes, "metavar": "HEX"}},
                        lambda c, o: c.write_physical_memory(o.address, o.data),
                        "overwrite physical memory at {address:#x}"),
    "translate": Order("physical address of a virtual one",
                       {"address": _ADDRESS, "--pid": {"type": int, "default": 0}},
                       lambda c, o: c.virtual_to_physical(o.address, o.pid), ""),
    "patch": Order("replace bytes of physical memory",
                   {"address": _ADDRESS, "data": {"type": _bytes, "metavar": "HEX"},
                    "--restore": {"type": _bytes, "metavar": "HEX",
                                  "help": "the original bytes, to undo the patch"}},
                   lambda c, o: c.patch_memory(o.address, o.data, o.restore is not None, o.restore),
                   "overwrite physical memory at {address:#x}"),
}


class Stop(Exception):
    """Ends the command with a status."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program, description="Shows and steers the kernel through "
        "/dev/kernel_api_exporter; without it, what /proc, /sys and netlink tell.",
        epilog="Exit status: 0 done, 1 it failed, 2 wrong usage.")
    parser.add_argument("--device", default=abi.DEVICE_PATH, metavar="PATH",
                        help="device node (default: %(default)s)")
    parser.add_argument("--no-fallback", action="store_true",
                        help="fail when there is no device")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, question in QUESTIONS.items():
        _add_question(commands.add_parser(name, help=question.summary), name)
    for name, order in ORDERS.items():
        _add_order(commands.add_parser(name, help=order.summary), order)
    call = commands.add_parser("command", help="run one of the kernel's own commands")
    call.add_argument("name", nargs="?", help="without it, they are listed")
    call.add_argument("--json", action="store_true", help="as one JSON object")
    export = commands.add_parser("export", help="write everything to a file, as JSON")
    export.add_argument("file", metavar="FILE", help="- is standard output")
    status = commands.add_parser("status", help="the driver, its version and what it allows")
    status.add_argument("--json", action="store_true", help="as one JSON object")
    return parser


def _add_question(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "process":
        parser.add_argument("pid", **_PID)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--watch", nargs="?", type=float, const=2.0, metavar="SECONDS",
                        help="again and again (default: every %(const)s seconds)")


def _add_order(parser: argparse.ArgumentParser, order: Order) -> None:
    for name, how in order.arguments.items():
        parser.add_argument(name, **how)
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    if order.warning:
        parser.add_argument("--yes", action="store_true", help="do not ask")


class Command:
    """One run of the program; streams are given, so that tests can look."""

    def __init__(self, client: KernelAPIClient, options: argparse.Namespace, out: TextIO,
                 err: TextIO, answers: TextIO) -> None:
        self.client = client
        self.options = options
        self.out = out
        self.err = err
        self.answers = answers

    def run(self) -> int:
        name = self.options.command
        if name in QUESTIONS:
            return self._show(QUESTIONS[name])
        if name in ORDERS:
            return self._order(ORDERS[name])
        work = {"command": self._kernel_command, "export": self._export, "status": self._status}
        return work[name]()

    def _json(self, value: Any) -> None:
        json.dump(value, self.out, default=lambda data: bytes(data).hex(), sort_keys=True)
        self.out.write("\n")

    def _show(self, question: Question) -> int:
        watch: Optional[float] = self.options.watch
        if watch is not None and not 0.05 <= watch <= 86400:
            raise Stop(USAGE_ERROR, "--watch takes 0.05 to 86400 seconds")
        while True:
            value = question.ask(self.client, self.options)
            if self.options.json:
                self._json(value)
            else:
                if watch is not None and self.out.isatty():
                    self.out.write("\x1b[H\x1b[2J")
                self.out.write(question.show(value))
                self._tell_source(value)
            self.out.flush()
            if watch is None:
                return 0
            time.sleep(watch)

    def _tell_source(self, value: Any) -> None:
        first = value[0] if isinstance(value, list) and value else value
        source = first.get("source", "") if isinstance(first, dict) else ""
        if source and source != "device":
            self.err.write(f"(from {source}: {self.client.last_error or 'an old driver'})\n")

    def _confirm(self, text: str) -> None:
        if self.options.yes:
            return
        if not self.answers.isatty():
            raise Stop(USAGE_ERROR, f"this would {text}: confirm with --yes")
        self.err.write(f"This will {text}. Type yes to go on: ")
        self.err.flush()
        if self.answers.readline().strip().lower() != "yes":
            raise Stop(FAILED, "nothing was done")

    def _order(self, order: Order) -> int:
        if order.warning:
            self._confirm(order.warning.format(**vars(self.options)))
        result = order.act(self.client, self.options)
        if self.options.json:
            self._json(result)
        else:
            self._print_result(result)
        return 0 if result["status"] == 0 else FAILED

    def _print_result(self, result: Dict[str, Any]) -> None:
        if result["status"]:
            name = self.options.command
            reason = result["message"] or describe(result["status"])
            self.err.write(f"kapi {name}: {report.printable(reason)}\n")
            return
        for field in ("physical_address", "data", "original_data"):
            value = result.get(field)
            if isinstance(value, bytes):
                self.out.write(value.hex() + "\n")
            elif value is not None:
                self.out.write(f"{value:#x}\n")
        self.out.write(report.printable(result["message"]) + "\n")

    def _kernel_command(self) -> int:
        if self.options.name is None:
            self.out.write("\n".join(self.client.get_all_available_commands()) + "\n")
            return 0
        answer = self.client.execute_kernel_command(self.options.name)
        if self.options.json:
            self._json(answer)
        else:
            (self.err if answer["status"] else self.out).write(
                report.printable(answer["result"]) + "\n")
        return FAILED if answer["status"] else 0

    def _export(self) -> int:
        if self.options.file == "-":
            self._json(self.client.collect_system_info())
        else:
            self.out.write(self.client.export_system_info(self.options.file) + "\n")
        return 0

    def _status(self) -> int:
        version = self.client.version
        values = {
            "source": self.client.source, "device": self.client.device_path,
            "reason": str(self.client.last_error or ""),
            "driver": version.module_version.decode("utf-8", "replace") if version else "",
            "abi_version": version.abi_version if version else 0,
            "features": self.client.features(),
            "netlink": self.client.netlink_socket is not None,
            "shared_memory": self.client.shared_memory is not None,
        }
        if self.options.json:
            self._json(values)
        else:
            self.out.write(report.pairs([(name, value) for name, value in values.items()]))
        return 0


def _run(argv: List[str], program: str, out: TextIO, err: TextIO, answers: TextIO,
         make: Callable[..., KernelAPIClient]) -> int:
    options = _parser(program).parse_args(argv)
    try:
        with make(device=options.device, fallback=not options.no_fallback) as client:
            return Command(client, options, out, err, answers).run()
    except Stop as stop:
        err.write(f"{program}: {stop}\n")
        return stop.status
    except (KernelAPIError, ValueError) as error:
        err.write(f"{program}: {report.printable(error)}\n")
        return FAILED


def main(argv: Optional[List[str]] = None, program: Optional[str] = None,
         make: Callable[..., KernelAPIClient] = KernelAPIClient) -> int:
    """Runs the command line and returns the exit status."""
    name = program or os.environ.get("KAPI_PROGRAM") or "kapi"
    arguments = sys.argv[1:] if argv is None else argv
    try:
        status = _run(arguments, name, sys.stdout, sys.stderr, sys.stdin, make)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
