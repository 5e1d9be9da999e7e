"""A walk through the interface that prints what it sees. The library itself never prints."""

from __future__ import annotations

import sys
from typing import Any, Callable, List, Tuple

from . import report
from .client import KernelAPIClient
from .errors import KernelAPIError

_WIDTH = 60


def print_header(title: str) -> None:
    """Prints a title between two double lines."""
    print(f"\n{'=' * _WIDTH}\n{title:^{_WIDTH}}".rstrip() + f"\n{'=' * _WIDTH}")


def print_section(title: str) -> None:
    """Prints a title with a line below it."""
    print(f"\n{title}\n{'-' * len(title)}")


def _show(title: str, work: Callable[[], str]) -> bool:
    print_section(title)
    try:
        print(work(), end="")
        return True
    except (KernelAPIError, ValueError) as error:
        print(f"not available: {error}")
        return False


def demonstrate_information(client: KernelAPIClient) -> int:
    """Prints each kind of information; returns how many were not available."""
    steps: List[Tuple[str, Callable[[], str]]] = [
        ("Memory", lambda: report.memory(client.get_memory_info())),
        ("Processors", lambda: report.cpu(client.get_cpu_info())),
        ("Load", lambda: report.load(client.get_load_average())),
        ("Network", lambda: report.plain_record(client.get_network_stats())),
        ("File system", lambda: report.filesystem(client.get_filesystem_info())),
        ("Kernel", lambda: report.plain_record(client.get_kernel_config())),
        ("Processes", lambda: report.processes(client.get_process_list()[:10])),
    ]
    return sum(not _show(title, work) for title, work in steps)


def demonstrate_commands(client: KernelAPIClient) -> int:
    """Runs every kernel command; returns how many failed."""
    def run(command: str) -> str:
        answer: Any = client.execute_kernel_command(command)
        if answer["status"]:
            raise KernelAPIError(answer["result"])
        return report.printable(answer["result"]) + "\n"

    def step(command: str) -> Callable[[], str]:
        return lambda: run(command)
    return sum(not _show(name, step(name)) for name in client.get_all_available_commands())


def demonstrate_communication(client: KernelAPIClient) -> int:
    """Writes to the shared buffer and reads it back, and greets over netlink."""
    def shared() -> str:
        text = "Hello from user space"
        client.write_shared_memory(text)
        return client.read_shared_memory(len(text)) + "\n"
    return (not _show("Shared memory", shared)) + (not _show(
        "Netlink", lambda: report.printable(client.send_netlink_message("Hello")) + "\n"))


def main() -> int:
    """Prints all demonstrations that change nothing; 1 when there is no device."""
    print_header("Kernel API exporter")
    with KernelAPIClient() as client:
        print(f"answers come from: {client.source}")
        demonstrate_information(client)
        demonstrate_commands(client)
        demonstrate_communication(client)
        print_section("Commands that change the machine")
        print("\n".join(client.get_dangerous_commands()))
        return 0 if client.is_connected() else 1


if __name__ == "__main__":
    sys.exit(main())
