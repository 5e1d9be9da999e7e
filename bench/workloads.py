"""What is measured. To add one: subclass Workload, append it in all_workloads()."""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from processes import Outcome, Processes
from report import Sample
from runners import REPOSITORY, Needs, Runner, installed

PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
MICRO_SOURCES = ("micro.c", "micro-files.c", "micro-processes.c", "micro-services.c")


class Failed(Exception):
    """This runner cannot do this workload; the text says why."""


@dataclass(frozen=True)
class Sizes:
    repository_files: int = 10000
    c_files: int = 30
    inserts: int = 20000
    transactions: int = 200
    tree_files: int = 1000
    requests: int = 20000
    find_below: str = "/usr"
    micro_ms: int = 300
    once: bool = False  # short programs too run only once per round


QUICK = Sizes(repository_files=1000, c_files=4, inserts=2000, transactions=20, tree_files=200,
              requests=2000, find_below="/usr/include", micro_ms=50, once=True)


@dataclass
class Area:
    """The temporary tree: `data` is only read by what is measured, `work` may be written."""

    top: Path
    sizes: Sizes
    env: dict[str, str]
    processes: Processes

    @property
    def data(self) -> Path:
        return self.top / "data"

    @property
    def work(self) -> Path:
        return self.top / "work"

    def native(self, *argv: str, cwd: Path | None = None, timeout: float = 300.0) -> Outcome:
        """For preparation, never measured."""
        got = self.processes.run(list(argv), self.env, cwd or self.data, timeout, capture=True)
        if not got.ok:
            raise Failed(f"preparation: {argv[0]}: {got.why()}")
        return got


class Workload:
    """A program that runs from start to end; its wall time counts."""

    name = ""
    about = ""
    writes = False
    net = False
    starts_programs = False
    timeout = 120.0
    fine = (0,)  # exit statuses that count
    repeats = 1  # short programs run several times per round; their median is the sample
    warm_up = True  # one run that does not count, so that the first round finds warm caches

    def prepare(self, area: Area) -> None:
        """Once, before all rounds."""

    def reset(self, area: Area) -> None:
        """Before each run, not timed."""

    def argv(self, area: Area) -> list[str]:
        raise NotImplementedError

    def proof(self, area: Area, outcome: Outcome) -> str:
        """What the run achieved: must be the same under every runner."""
        return ""

    def agrees(self, proof: str, wanted: str) -> bool:
        return proof == wanted

    def needs(self, area: Area) -> Needs:
        return Needs(area.work if self.writes else None, self.net)

    def cwd(self, area: Area) -> Path:
        return area.work if self.writes else area.data

    def rows(self) -> list[str]:
        return [self.name]

    def run_once(self, area: Area, runner: Runner, capture: bool) -> Outcome:
        self.reset(area)
        command = runner.command(self.argv(area), self.needs(area))
        outcome = area.processes.run(command, runner.environment(area.env), self.cwd(area),
                                     self.timeout, capture)
        if outcome.status not in self.fine:
            raise Failed(outcome.why())
        return outcome

    def measure(self, area: Area, runner: Runner) -> tuple[dict[str, Sample], str]:
        repeats = 1 if area.sizes.once else self.repeats
        runs = [self.run_once(area, runner, capture=True) for _ in range(repeats)]
        walls = [run.wall for run in runs]
        sample = Sample(statistics.median(walls), min(walls),
                        statistics.median(run.cpu for run in runs))
        return {self.name: sample}, self.proof(area, runs[-1])


class StartTrue(Workload):
    name, about, repeats = "start-true", "start of /bin/true, from spawn to exit", 9

    def argv(self, area: Area) -> list[str]:
        return ["/bin/true"]


class PythonStart(Workload):
    name, about, repeats = "python-start", "python3 -c pass", 5

    def argv(self, area: Area) -> list[str]:
        return [PYTHON, "-c", "pass"]


class PythonImport(Workload):
    name, about, repeats = "python-import", "python3 importing json, subprocess, http.client", 3

    def argv(self, area: Area) -> list[str]:
        return [PYTHON, "-c", "import json, subprocess, http.client"]


class Find(Workload):
    name, about = "find", "find /usr -name '*.h'"
    fine = (0, 1)  # 1: a directory is closed to a root without capabilities; the names are counted

    def argv(self, area: Area) -> list[str]:
        return ["find", area.sizes.find_below, "-name", "*.h"]

    def proof(self, area: Area, outcome: Outcome) -> str:
        return str(outcome.out.count(b"\n"))

    def agrees(self, proof: str, wanted: str) -> bool:
        """Somebody may install a package meanwhile; an empty or cut tree still shows."""
        return abs(int(proof) - int(wanted)) <= int(wanted) // 20


class GitStatus(Workload):
    name, about = "git-status", "git status, 10,000 files, 3 changed, 1 untracked"

    def prepare(self, area: Area) -> None:
        tree = area.data / "repository"
        write_tree(tree, area.sizes.repository_files, 200)
        git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
        area.native(*git, "init", "-q", cwd=tree)
        # A sandbox may show other inode numbers; without these git would read every file there.
        area.native(*git, "config", "core.checkStat", "minimal", cwd=tree)
        area.native(*git, "config", "core.trustctime", "false", cwd=tree)
        area.native(*git, "add", ".", cwd=tree)
        area.native(*git, "commit", "-q", "-m", "all", cwd=tree)
        time.sleep(1.1)  # files as young as the index would be read again each time
        area.native(*git, "update-index", "-q", "--really-refresh", cwd=tree)
        for number in range(3):
            (tree / "d000" / f"f{number:05d}").write_text("changed\n")
        (tree / "untracked").write_text("new\n")

    def argv(self, area: Area) -> list[str]:
        return ["git", "--no-optional-locks", "-C", str(area.data / "repository"), "status",
                "--porcelain"]

    def proof(self, area: Area, outcome: Outcome) -> str:
        return outcome.out.decode(errors="replace")


class Compile(Workload):
    name, about = "compile", "30 C files, gcc -O1, one after the other"
    writes, starts_programs = True, True

    def prepare(self, area: Area) -> None:
        sources = area.data / "sources"
        sources.mkdir()
        for number in range(area.sizes.c_files):
            (sources / f"unit{number}.c").write_text(c_source(number))
        (area.data / "build.sh").write_text(
            f'set -e\nfor f in "{sources}"/*.c; do\n    o=${{f##*/}}\n'
            '    gcc -O1 -c "$f" -o "objects/${o%.c}.o"\ndone\n')

    def reset(self, area: Area) -> None:
        fresh_directory(area.work / "objects")

    def argv(self, area: Area) -> list[str]:
        return ["/bin/sh", str(area.data / "build.sh")]

    def proof(self, area: Area, outcome: Outcome) -> str:
        objects = list((area.work / "objects").iterdir())
        return f"{len(objects)} objects, {sum(o.stat().st_size for o in objects)} bytes"


class Sqlite(Workload):
    name, about, writes = "sqlite", "20,000 inserts in one transaction, then 200 transactions", True

    def prepare(self, area: Area) -> None:
        # synchronous=OFF: the disk's fsync would drown what the runners differ in.
        (area.data / "inserts.py").write_text(f"""import sqlite3
db = sqlite3.connect("bench.db", isolation_level=None)
db.execute("PRAGMA synchronous=OFF")
db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)")
insert = "INSERT INTO t (v) VALUES (?)"
db.execute("BEGIN")
db.executemany(insert, ((f"value {{n}}",) for n in range({area.sizes.inserts})))
db.execute("COMMIT")
for n in range({area.sizes.transactions}):
    db.execute(insert, (f"one {{n}}",))
print(db.execute("SELECT count(*) FROM t").fetchone()[0])
""")

    def reset(self, area: Area) -> None:
        for old in area.work.glob("bench.db*"):
            old.unlink()

    def argv(self, area: Area) -> list[str]:
        return [PYTHON, str(area.data / "inserts.py")]

    def proof(self, area: Area, outcome: Outcome) -> str:
        return outcome.out.decode(errors="replace") + str((area.work / "bench.db").exists())


class Tar(Workload):
    name, about, writes = "tar", "tar of 1,000 small files into a file", True

    def prepare(self, area: Area) -> None:
        write_tree(area.data / "tree", area.sizes.tree_files, 2000)

    def reset(self, area: Area) -> None:
        (area.work / "tree.tar").unlink(missing_ok=True)

    def argv(self, area: Area) -> list[str]:
        # Not into /dev/null: GNU tar knows it and would read no file.
        return ["tar", "-cf", str(area.work / "tree.tar"), "-C", str(area.data), "tree"]

    def proof(self, area: Area, outcome: Outcome) -> str:
        return f"{(area.work / 'tree.tar').stat().st_size} bytes"


class Redis(Workload):
    name, about = "redis", "redis-server under the runner, native redis-benchmark, per request"
    writes, net = True, True

    def rows(self) -> list[str]:
        return ["redis-get", "redis-set"]

    def prepare(self, area: Area) -> None:
        for program in ("redis-server", "redis-benchmark"):
            if not installed(program):
                raise Failed(f"{program} not found")

    def measure(self, area: Area, runner: Runner) -> tuple[dict[str, Sample], str]:
        port = free_port()
        argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "no", "--dir", str(area.work)]
        log = area.top / "redis-server.log"
        with log.open("wb") as errors:
            server = area.processes.start(runner.command(argv, self.needs(area)),
                                          runner.environment(area.env), area.work,
                                          err=errors.fileno())
        try:
            wait_for_redis(server, port)
            return redis_samples(self.load(area, port)), ""
        except Failed as error:
            raise Failed(f"{error}: {log.read_text(errors='replace').strip()[-200:]}") from None
        finally:
            shut_down_redis(server, port)
            area.processes.stop(server)

    def load(self, area: Area, port: int) -> str:
        got = area.native("redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-t", "get,set",
                          "-n", str(area.sizes.requests), "--csv", timeout=self.timeout)
        return got.out.decode(errors="replace")


class Micro(Workload):
    """One line of the price list; `bench_micro` measures itself, so its start does not count."""

    warm_up = False

    def __init__(self, name: str, about: str, writes: bool = False,
                 starts_programs: bool = False, net: bool = False) -> None:
        self.name, self.about = name, about
        self.writes, self.starts_programs, self.net = writes, starts_programs, net

    def prepare(self, area: Area) -> None:
        if not (area.data / "bench_micro").exists():
            raise Failed("no bench_micro")

    def argv(self, area: Area) -> list[str]:
        return [str(area.data / "bench_micro"), "--data", str(area.data), "--work",
                str(area.work), "--ms", str(area.sizes.micro_ms), self.name]

    def measure(self, area: Area, runner: Runner) -> tuple[dict[str, Sample], str]:
        outcome = self.run_once(area, runner, capture=True)
        return {self.name: micro_sample(outcome.out.decode(errors="replace"), self.name)}, ""


def micro_sample(text: str, name: str) -> Sample:
    for line in text.splitlines():
        if line.startswith(f"micro name={name} "):
            pairs = dict(part.split("=", 1) for part in line.split()[1:])
            return Sample(float(pairs["p50"]) * 1e-9, float(pairs["min"]) * 1e-9)
    raise Failed(f"bench_micro printed no result for {name}")


def redis_samples(csv: str) -> dict[str, Sample]:
    samples = {}
    for line in csv.splitlines():
        fields = [field.strip('"') for field in line.split(",")]
        if fields[0] in ("GET", "SET"):
            seconds = 1.0 / float(fields[1])
            samples[f"redis-{fields[0].lower()}"] = Sample(seconds, seconds)
    if len(samples) != 2:
        raise Failed(f"redis-benchmark printed {csv[:200]!r}")
    return samples


def ask_redis(port: int, command: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
        link.sendall(command + b"\r\n")
        return link.recv(64)


def wait_for_redis(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Failed(f"redis-server ended with status {server.returncode}")
        try:
            if ask_redis(port, b"PING") == b"+PONG\r\n":
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise Failed("redis-server does not answer")


def shut_down_redis(server: subprocess.Popen[bytes], port: int) -> None:
    """By its own command: a signal would reach the wrapper, not the server."""
    try:
        ask_redis(port, b"SHUTDOWN NOSAVE")
        server.wait(timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        pass  # Processes.stop() ends it


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_tree(top: Path, files: int, size: int) -> None:
    for number in range(files):
        path = top / f"d{number // 100:03d}" / f"f{number:05d}"
        if number % 100 == 0:
            path.parent.mkdir(parents=True)
        path.write_text((f"{number} " * size)[:size])


def fresh_directory(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()


def c_source(number: int) -> str:
    functions = "".join(f"""
int work_{number}_{n}(const char *text, int *table, int count)
{{
    int sum = {n};
    for (int i = 0; i < count; i++)
        sum += table[i] * (int)strlen(text) + (i % {n + 2} ? i : -i);
    if (sum < 0)
        printf("%s %d\\n", text, abs(sum));
    return sum;
}}
""" for n in range(20))
    return "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n" + functions


def install_micro(area: Area, build: Path) -> None:
    """Copies the built programs into the area, or compiles them if nobody has built yet."""
    for program, sources, flags in (("bench_micro", MICRO_SOURCES, ["-pthread", "-lrt"]),
                                    ("bench_nothing", ("nothing.c",), ["-static"])):
        built = build / "bench" / program
        if built.exists():
            shutil.copy2(built, area.data / program)
        else:
            paths = [str(REPOSITORY / "bench" / source) for source in sources]
            area.native("cc", "-std=gnu17", "-O2", *flags, "-o", str(area.data / program), *paths)
    area.native(str(area.data / "bench_micro"), "--prepare", "--data", str(area.data))


def micro_workloads() -> list[Workload]:
    plain = {
        "getppid": "a call that does nothing", "pread-64": "pread 64 B, cached file",
        "pread-1k": "pread 1 KiB, cached file", "pread-4k": "pread 4 KiB, cached file",
        "stat": "stat of a path", "fstat": "fstat of a descriptor", "access": "access of a path",
        "open-close": "open read-only and close", "open-enoent": "open of a missing name",
        "getdents-200": "rewind and list 200 entries",
        "pipe": "byte there and back, two processes", "pipe-1cpu": "the same on one CPU",
        "futex-wake": "futex wake, nobody waits",
        "futex-pingpong": "turn there and back, two threads",
        "fork": "fork, exit, wait", "mmap": "mmap 64 KiB, touch a page, munmap",
        "page-faults": "map, touch and unmap 16 pages", "brk": "move the break up and down",
        "signal": "raise and handle a signal", "thread": "make a thread and join it",
        "eventfd": "write and read", "epoll": "epoll_wait, one is ready",
        "sysv-sem": "semop up and down", "sysv-queue": "msgsnd and msgrcv, 64 bytes",
        "posix-queue": "mq_send and mq_receive, 64 bytes",
        "unix-socket": "a byte through a pair of AF_UNIX",
    }
    return [
        *(Micro(name, about) for name, about in plain.items()),
        Micro("exec-static", "fork, exec of a static program, wait", starts_programs=True),
        Micro("exec-dynamic", "fork, exec of /bin/true, wait", starts_programs=True),
        Micro("mkdir-rmdir", "mkdir and rmdir", writes=True),
        Micro("write-4k", "pwrite 4 KiB into a file", writes=True),
        Micro("tcp-socket", "a byte through TCP on 127.0.0.1", net=True),
        Micro("flock", "lock and unlock a file", writes=True),
        Micro("posix-lock", "the same with F_SETLK", writes=True),
    ]


def all_workloads() -> list[Workload]:
    return [StartTrue(), PythonStart(), PythonImport(), Find(), GitStatus(), Compile(), Sqlite(),
            Tar(), Redis(), *micro_workloads()]
