"""The package cerebro on the built library, with real guests."""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, Iterator

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")
os.environ.setdefault("CEREBRO", str(BUILD / "src/cli/cerebro"))
os.environ.setdefault("CEREBRO_LIBRARY", str(BUILD / "src/api/libcerebro.so"))
sys.path.insert(0, str(ROOT / "python"))

import cerebro  # noqa: E402
from cerebro import library  # noqa: E402

PYTHON = "/usr/bin/python3"
EXAMPLES = ROOT / "examples/python"
# A guest that ends with the errno of getppid() (0: it worked), and one that goes on for long.
ASK = "import ctypes as c,sys; l=c.CDLL(None,use_errno=True); " \
      "sys.exit(c.get_errno() if l.syscall(110) == -1 else 0)"
ASK_PARENT = [PYTHON, "-S", "-c", ASK]
LONG = ["/bin/sleep", "1000"]


@pytest.fixture
def kernel() -> Iterator[cerebro.Kernel]:
    with cerebro.Kernel("test", type=cerebro.CUSTOM) as made:
        yield made


def guest(code: str) -> list[str]:
    return [PYTHON, "-S", "-c", code]


def wait_for(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def number_of(call: Any, *arguments: Any, **named: Any) -> int:
    with pytest.raises(cerebro.Error) as caught:
        call(*arguments, **named)
    assert caught.value.sentence and caught.value.errno
    return caught.value.errno


# ---- names, values ----

def test_names_and_numbers() -> None:
    assert cerebro.syscall_number("openat") == 257
    assert cerebro.syscall_name(101) == "ptrace"
    assert number_of(cerebro.syscall_number, "open_at") == errno.EINVAL
    for number in (-1, 100000, 2**32 + 257):
        assert number_of(cerebro.syscall_name, number) == errno.EINVAL


def test_exit_status() -> None:
    ended, killed = cerebro.ExitStatus(7 << 8), cerebro.ExitStatus(signal.SIGTERM)
    assert (ended, ended.returncode, ended.exit_code, ended.signal) == (7, 7, 7, None)
    assert (killed, killed.exit_code, killed.signal) == (-15, 143, 15)


def test_error_is_an_oserror_with_a_hint() -> None:
    error = cerebro.Error(errno.EPERM, "no", "ask")
    assert isinstance(error, OSError) and error.errno == errno.EPERM and str(error) == "no (ask)"
    assert cerebro.Error(errno.EPERM).sentence == os.strerror(errno.EPERM)


def test_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CEREBRO_LIBRARY", "/no/library.so")
    with pytest.raises(cerebro.Error, match="CEREBRO_LIBRARY") as caught:
        library.Library(library.find())
    assert caught.value.errno == errno.ENOENT
    monkeypatch.delenv("CEREBRO_LIBRARY")
    assert library.find()


def test_library_beside_an_installed_package(tmp_path: Path) -> None:
    folder = tmp_path / "share/cerebro/python/cerebro"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(ROOT / "python/cerebro")  # a copy, but for its path
    copied = tmp_path / "copy/share/cerebro/python/cerebro"
    copied.mkdir(parents=True)
    for source in (ROOT / "python/cerebro").glob("*.py"):
        (copied / source.name).write_bytes(source.read_bytes())
    (tmp_path / "copy/lib").mkdir()
    installed = tmp_path / "copy/lib" / library.SONAME
    installed.symlink_to(os.environ["CEREBRO_LIBRARY"])
    env = {**os.environ, "PYTHONPATH": str(copied.parent)}
    del env["CEREBRO_LIBRARY"]
    done = subprocess.run([PYTHON, "-c", "import cerebro.library as l; print(l.load().path)"],
                          env=env, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == str(installed)


def test_every_function_of_the_header_is_bound() -> None:
    header = (ROOT / "include/cerebro/process_kernel.h").read_text()
    names = set(re.findall(r"^PK_API [^(]*?(pk_\w+)\(", header, re.M))
    # What a Kernel does otherwise: private data are its attributes, the package ends its own
    # kernels, and execute forks. A handler is told the number, and has one form.
    others = {"pk_set_private", "pk_get_private", "pk_shutdown", "pk_execute", "pk_call_nr",
              "pk_register_syscall"}
    assert len(names) > 30 and names - others <= set(library.PROTOTYPES)


def test_function_that_an_older_library_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(library.PROTOTYPES, "pk_of_tomorrow", (ctypes.c_int, (ctypes.c_void_p,)))
    with cerebro.Kernel() as kernel:
        with pytest.raises(cerebro.Error, match="pk_of_tomorrow.*libcerebro") as caught:
            kernel._do("pk_of_tomorrow")
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.parametrize("function,method,arguments", [
    ("pk_attach", "attach", (2**30,)), ("pk_detach", "detach", ()),
    ("pk_net_allow", "net_allow", ("a b:c:d",)), ("pk_net_deny", "net_deny", ("a b:c:d",)),
    ("pk_allow", "allow", (100000,)), ("pk_hide", "hide", ("",)),
    ("pk_set_profile", "profile", ("/no/profile",))])
def test_later_functions(function: str, method: str, arguments: tuple[Any, ...]) -> None:
    """With nonsense, an error is sure: now or, where the value is not looked at, when it starts."""
    with cerebro.Kernel() as kernel, pytest.raises(cerebro.Error) as caught:
        getattr(kernel, method)(*arguments)
        kernel.run(["/bin/true"])
    there = library.load().has(function) or method == "allow"
    assert (caught.value.errno != errno.ENOSYS) == there


# ---- kernels ----

def test_types() -> None:
    assert number_of(cerebro.Kernel, type=cerebro.WINDOWS) == errno.ENOSYS
    assert number_of(cerebro.Kernel, type=77) == errno.EINVAL


def test_run_and_run_again(kernel: cerebro.Kernel) -> None:
    assert kernel.poll is not None and kernel.returncode is None and not kernel.running
    assert kernel.run(["/bin/sh", "-c", "exit 7"]) == 7
    status = kernel.run(["/bin/sh", "-c", "kill -TERM $$"])
    assert status == -signal.SIGTERM == kernel.returncode == kernel.poll()
    assert kernel.wait() == status


def test_handler_sees_and_refuses(kernel: cerebro.Kernel) -> None:
    seen: list[tuple[str, int, int]] = []

    @kernel.handler("openat")
    def look(call: cerebro.Call) -> cerebro.Result:
        assert call.nr == 257 and call.name == "openat" and call.kernel is kernel
        assert len(call.args) == 6 and call.int_arg(0) == -100
        path = call.read_string(call.args[1])
        seen.append((path, call.pid, call.tid))
        if path == "/no/such/file":
            raise OSError(errno.EXDEV, "elsewhere")
        return call.forward()

    pid = kernel.spawn(["/bin/sh", "-c", "read x </etc/hostname; read x </no/such/file"])
    assert kernel.wait() == 2
    assert ("/etc/hostname", pid, pid) in seen and seen[-1][0] == "/no/such/file"
    assert kernel.statistics().syscalls_intercepted == len(seen)
    assert kernel.statistics().io_operations >= len(seen) and kernel.statistics().errors == 0


def test_memory_of_the_guest(kernel: cerebro.Kernel) -> None:
    found: list[Any] = []

    @kernel.handler("uname")
    def fill(call: cerebro.Call) -> int:
        call.write(call.args[0], b"Python\0")
        found.append(call.read(call.args[0], 7))
        found.append(call.read(call.args[0], 0))
        found.append(call.read_string(call.args[0]))
        found.append(number_of(call.read_string, call.args[0], 3))
        found.append(number_of(call.read, 16, 4))
        found.append(number_of(call.write, 16, b"x"))
        for arguments in ((-1, 1), (2**64, 1), (0, -1)):
            with pytest.raises(ValueError):
                call.read(*arguments)
        with pytest.raises(TypeError):
            call.write(call.args[0], 7)  # type: ignore[arg-type]
        return 0

    assert kernel.run(guest("import os,sys; sys.exit(os.uname().sysname == 'Python')")) == 1
    assert found == [b"Python\0", b"", "Python", errno.ENAMETOOLONG, errno.EFAULT, errno.EFAULT]


def test_error_of_a_copy_is_the_guests(kernel: cerebro.Kernel) -> None:
    kernel.set_handler("getppid", lambda call: len(call.read(16, 4)))
    assert kernel.run(ASK_PARENT) == errno.EFAULT


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "x"), OSError("x"),
                                   OSError("x", "y"), OSError(0, "x"), OSError(5000, "x")])
@pytest.mark.parametrize("deferred", [False, True])
def test_error_without_errno(kernel: cerebro.Kernel, error: OSError, deferred: bool) -> None:
    """A number that is no errno must not look like success to the guest."""
    @kernel.handler("getppid")
    def fail(call: cerebro.Call) -> cerebro.Result:
        if not deferred:
            raise error
        answer = call.defer()
        call.finish(error)
        return answer

    assert kernel.run(ASK_PARENT) == errno.EIO


def test_native_deny_and_descriptors(kernel: cerebro.Kernel, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("42")
    kernel.set_handler("getppid", lambda call: call.native())
    kernel.deny("chdir", errno.ENOTEMPTY)

    @kernel.handler("open", "openat")
    def give(call: cerebro.Call) -> cerebro.Result:
        if call.read_string(call.args[1]) != "/answer":
            return call.forward()
        assert number_of(call.return_fd, 12345) == errno.EBADF
        with open(tmp_path / "given", encoding="ascii") as file:
            return call.return_fd(file.fileno(), cloexec=True)

    code = "import os,sys\ntry: os.chdir('/')\nexcept OSError as e: n = e.errno\n" \
           "assert os.getppid() > 0\nf = open('/answer')\n" \
           "assert not os.get_inheritable(f.fileno())\nsys.exit(n + int(f.read()))"
    assert kernel.run(guest(code)) == errno.ENOTEMPTY + 42


@pytest.mark.parametrize("result", [None, "text", 2**63, -4096, 1.5, KeyError("x")])
def test_nonsense_is_reported(kernel: cerebro.Kernel, result: Any,
                              caplog: pytest.LogCaptureFixture,
                              capfd: pytest.CaptureFixture[str]) -> None:
    events: list[cerebro.Event] = []
    kernel.on_event(events.append)

    @kernel.handler("getppid")
    def nonsense(call: cerebro.Call) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    assert kernel.run(ASK_PARENT) == errno.EIO
    reported = [event for event in events if event.type == cerebro.EventType.EXCEPTION]
    assert [event.nr for event in reported] == [110]
    assert isinstance(reported[0].exception, (TypeError, ValueError, KeyError))
    assert "getppid" in caplog.text and capfd.readouterr() == ("", "")


def test_answer_of_another_call(kernel: cerebro.Kernel) -> None:
    kept: list[cerebro.Answer] = []

    @kernel.handler("getppid")
    def swap(call: cerebro.Call) -> cerebro.Result:
        kept.append(call.forward())
        return kept[0]

    assert kernel.run(guest(f"import ctypes as c; c.CDLL(None).syscall(110); {ASK}")) == errno.EIO


def test_call_is_over_when_its_handler_is(kernel: cerebro.Kernel) -> None:
    kept: list[cerebro.Call] = []

    @kernel.handler("getppid")
    def keep(call: cerebro.Call) -> int:
        kept.append(call)
        assert number_of(call.finish, 0) == errno.EINVAL
        return 0

    assert kernel.run(ASK_PARENT) == 0
    for use in (lambda: kept[0].read(4096, 1), kept[0].forward, lambda: kept[0].pid, kept[0].defer):
        assert number_of(use) == errno.ESTALE


@pytest.mark.parametrize("answer", [-errno.EDOM, OSError(errno.EDOM, "x")])
def test_deferred_answer(kernel: cerebro.Kernel, answer: Any) -> None:
    finished: list[Any] = []
    kernel.handler_timeout(0.02)

    def later(call: cerebro.Call) -> None:
        time.sleep(0.06)  # beyond the timeout, which does not run
        assert call.tid > 0
        with pytest.raises(TypeError):
            call.finish(None)  # type: ignore[arg-type]
        finished.append(call.finish(answer))
        finished.append(number_of(call.finish, 0))

    @kernel.handler("getppid")
    def defer(call: cerebro.Call) -> cerebro.Result:
        result = call.defer()
        assert number_of(call.defer) == errno.EALREADY
        with pytest.raises(ValueError):
            call.finish(result)
        threading.Thread(target=later, args=(call,)).start()
        return result

    assert kernel.run(ASK_PARENT) == errno.EDOM
    wait_for(lambda: finished == [True, errno.ESTALE])


def test_deferred_call_can_be_forwarded_or_forgotten(kernel: cerebro.Kernel) -> None:
    def forward(call: cerebro.Call) -> cerebro.Result:
        threading.Timer(0.01, lambda: call.finish(call.forward())).start()
        return call.defer()

    kernel.set_handler("getppid", forward)
    assert kernel.run(ASK_PARENT) == 0
    kernel.set_handler("getppid", lambda call: call.defer())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert kernel.run(ASK_PARENT) == errno.EIO

    @kernel.handler("getppid")
    def fail(call: cerebro.Call) -> cerebro.Result:
        call.defer()
        raise KeyError("after that")
    assert kernel.run(ASK_PARENT) == errno.EIO


def test_handler_that_hangs(kernel: cerebro.Kernel) -> None:
    go_on, events = threading.Event(), []
    kernel.on_event(events.append)
    kernel.handler_timeout(0.05)

    @kernel.handler("getppid")
    def hang(call: cerebro.Call) -> int:
        go_on.wait(20)
        return 0

    assert kernel.run(ASK_PARENT) == errno.ETIMEDOUT
    assert [event.nr for event in events if event.type == cerebro.EventType.TIMEOUT] == [110]
    assert kernel.statistics().errors == 1
    kernel.close()
    go_on.set()  # it returns into a kernel that is closed
    for wrong in (0, -1, 1e9):
        with pytest.raises(ValueError):
            kernel.handler_timeout(wrong)


def test_handlers_run_side_by_side(kernel: cerebro.Kernel) -> None:
    both = threading.Barrier(2)

    @kernel.handler("getppid")
    def meet(call: cerebro.Call) -> int:
        both.wait(10)
        return 0
    code = "import ctypes as c,threading as t; l=c.CDLL(None); r=[]\n" \
           "f=lambda: r.append(l.syscall(110)); a=[t.Thread(target=f) for _ in 'ab']\n" \
           "[x.start() for x in a]; [x.join() for x in a]; import sys; sys.exit(r == [0, 0])"
    assert kernel.run(guest(code)) == 1


def test_handlers_and_denials_are_taken_back(kernel: cerebro.Kernel) -> None:
    kernel.set_handler("getppid", lambda call: -errno.EDOM)
    kernel.set_handler("getppid", None)
    kernel.deny("uname")
    if library.load().has("pk_allow"):
        kernel.allow("uname")
    else:
        kernel.set_handler("uname", None)
    assert kernel.run(guest(f"import os; os.uname(); {ASK}")) == 0


# ---- options, limits, events ----

def test_options_limits_and_denials(kernel: cerebro.Kernel, tmp_path: Path,
                                    capfd: pytest.CaptureFixture[str]) -> None:
    events: list[cerebro.Event] = []
    assert kernel.on_event(events.append)
    kernel.option("--env", "COLOUR=green")
    kernel.option("--quiet")
    kernel.limit(files=200, memory="256M")
    kernel.bind(tmp_path, "/mnt")
    script = "echo $COLOUR $(ulimit -n); echo written >/mnt/file; " \
             "exec python3 -c 'import socket; socket.socket().connect((\"127.0.0.1\", 9))' 2>/dev/null"
    assert kernel.run(["/bin/sh", "-c", script]) == 1
    assert capfd.readouterr() == ("green 200\n", "")
    assert (tmp_path / "file").read_text() == "written\n"
    assert [event.type for event in events] == [cerebro.EventType.STARTED,
                                                cerebro.EventType.DENIAL, cerebro.EventType.ENDED]
    assert "127.0.0.1:9" in events[1].what and "--net host" in events[1].advice
    assert events[1].rule and events[2].status == 1


def test_a_guest_cannot_write_the_rule_of_a_denial(kernel: cerebro.Kernel, tmp_path: Path) -> None:
    """The parts of an event are lines, and names may have newlines."""
    events: list[cerebro.Event] = []
    kernel.on_event(events.append)
    kernel.option("--bind", f"{tmp_path}:/mnt:ro")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/a\nb\nc")
        server.listen()
        kernel.run(guest("import socket\ntry: socket.socket(socket.AF_UNIX).connect('/mnt/a\\nb\\nc')\n"
                         "except OSError: pass"))
    denial, = (event for event in events if event.type == cerebro.EventType.DENIAL)
    assert denial.what == "connect to /mnt/a?b?c" and denial.rule == "sockets of the host are out of reach"
    assert "--bind" in denial.advice


def test_event_handler_that_fails_or_waits(kernel: cerebro.Kernel,
                                           caplog: pytest.LogCaptureFixture) -> None:
    numbers: list[int] = []

    @kernel.on_event
    def fail(event: cerebro.Event) -> None:
        if event.type == cerebro.EventType.ENDED:
            numbers.append(number_of(kernel.wait))
            numbers.append(number_of(kernel.close))
        raise KeyError("not mine")
    assert kernel.run(["/bin/true"]) == 0
    assert numbers == [errno.EDEADLK] * 2 and "event handler" in caplog.text


def test_bad_input(kernel: cerebro.Kernel) -> None:
    for call in ("close", 100000, -1, 2**32 + 39, "nothing"):
        assert number_of(kernel.set_handler, call, lambda call: 0) == errno.EINVAL
        assert number_of(kernel.deny, call) == errno.EINVAL
    assert number_of(kernel.deny, "chdir", 0) == errno.EINVAL
    assert number_of(kernel.deny, "chdir", 2**32 + 1) == errno.EINVAL
    assert number_of(kernel.option, "plain") == errno.EINVAL
    assert number_of(kernel.bind, "/no/directory") == errno.ENOENT
    assert number_of(kernel.spawn, []) == errno.EINVAL
    assert number_of(kernel.spawn, ["/no/program"]) == errno.ENOENT
    assert number_of(kernel.wait) == errno.ESRCH
    assert number_of(kernel.signal, signal.SIGTERM) == errno.ESRCH
    for wrong, use in ((TypeError, lambda: kernel.spawn("/bin/ls")),
                       (TypeError, lambda: kernel.handler()),
                       (ValueError, lambda: kernel.limit(files=-1)),
                       (ValueError, lambda: kernel.spawn(["a\0b"]))):
        with pytest.raises(wrong):
            use()
    for use in (lambda: kernel.option("--env", "A=\0"), lambda: kernel.hide("/a\0"),
                lambda: kernel.bind("/\0"), lambda: kernel.net_allow("\0"),
                lambda: kernel.profile("\0"), lambda: cerebro.syscall_number("open\0"),
                lambda: cerebro.Kernel("\0"), lambda: kernel.limit(memory=1.5),
                lambda: kernel.allocate(-1)):
        with pytest.raises(ValueError):
            use()
    for number in (-1, 65, 2**32 + signal.SIGTERM):
        assert number_of(kernel.signal, number) == errno.EINVAL
    assert number_of(kernel.allocate, 2**64 + 10) == errno.ENOMEM
    kernel.limit(bananas=3)
    assert number_of(kernel.run, ["/bin/true"]) > 0
    assert not kernel.running


# ---- guests and their ends ----

def test_signal_busy_and_timeout(kernel: cerebro.Kernel) -> None:
    kernel.spawn(LONG)
    assert kernel.running and kernel.poll() is None
    with pytest.raises(TimeoutError):
        kernel.wait(0.01)
    assert number_of(kernel.spawn, LONG) == errno.EBUSY
    assert number_of(kernel.deny, "chdir") == errno.EBUSY
    assert kernel.running
    with cerebro.Kernel() as other:
        assert other.run(["/bin/sh", "-c", "exit 3"]) == 3
    kernel.signal(signal.SIGTERM)
    assert kernel.wait().signal == signal.SIGTERM


def test_handler_does_not_wait_for_itself(kernel: cerebro.Kernel) -> None:
    numbers: list[int] = []

    @kernel.handler("getppid")
    def wait(call: cerebro.Call) -> int:
        numbers.extend((number_of(kernel.wait), number_of(kernel.close)))
        return 0
    assert kernel.run(ASK_PARENT) == 0 and numbers == [errno.EDEADLK] * 2


def test_close_ends_the_guest_and_who_waits_for_it() -> None:
    kernel = cerebro.Kernel()
    pid = kernel.spawn(LONG)
    results: list[Any] = []
    waiter = threading.Thread(target=lambda: results.append(kernel.wait()))
    waiter.start()
    kernel.close()
    kernel.close()
    waiter.join(10)
    assert results == [-signal.SIGKILL] and is_gone(pid)
    assert number_of(kernel.spawn, LONG) == errno.EBADF and "closed" in repr(kernel)


def test_forgotten_kernel_is_ended_with_a_warning() -> None:
    kernel = cerebro.Kernel("forgotten")
    kernel.set_handler("getppid", lambda call, own=kernel: 0)  # a cycle
    pid = kernel.spawn(LONG)
    with pytest.warns(ResourceWarning, match="forgotten"):
        del kernel
        gc.collect()
    assert is_gone(pid)


@pytest.mark.parametrize("callback", ["handler", "event"])
def test_kernel_whose_callback_knows_it_last(callback: str) -> None:
    """It cannot wait there for its own end, but its guest ends."""
    entered, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> int:
        entered.set()
        go_on.wait(20)
        return 0
    kernel = cerebro.Kernel("forgotten")
    kernel.option("--quiet")
    if callback == "handler":
        kernel.set_handler("getppid", wait)
    else:
        kernel.on_event(lambda event: event.type == cerebro.EventType.DENIAL and wait(event))
    pid = kernel.spawn(guest("import os, socket, time; os.getppid()\n"
                             "try: socket.socket().connect(('127.0.0.1', 9))\n"
                             "except OSError: pass\ntime.sleep(1000)"))
    assert entered.wait(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del kernel
        gc.collect()
        assert not is_gone(pid)
        go_on.set()
        wait_for(lambda: is_gone(pid))


def test_fork_leaves_kernels_to_the_parent(kernel: cerebro.Kernel) -> None:
    pid = kernel.spawn(LONG)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = number_of(kernel.signal, signal.SIGTERM)
            kernel.close()
            cerebro.shutdown()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EBADF
    assert not is_gone(pid) and kernel.running


def test_attach_and_detach(kernel: cerebro.Kernel) -> None:
    if not library.load().has("pk_attach"):
        assert number_of(kernel.attach, os.getpid()) == errno.ENOSYS
        return
    events: list[cerebro.Event] = []
    kernel.on_event(events.append)
    kernel.set_handler("getppid", lambda call: 4711)
    code = "import os,sys\nfor line in sys.stdin: print(os.getppid(), flush=True)"
    with subprocess.Popen(guest(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, bufsize=1) as process:
        assert process.stdin and process.stdout

        def ask() -> int:
            process.stdin.write("\n")
            return int(process.stdout.readline())
        assert ask() == os.getpid() and number_of(kernel.detach) == errno.ESRCH
        kernel.attach(process.pid)
        assert kernel.running and kernel.pid == process.pid and ask() == 4711
        kernel.detach()
        assert not kernel.running and number_of(kernel.wait) == errno.ESRCH
        assert ask() == os.getpid()
        wait_for(lambda: events and events[-1].type == cerebro.EventType.DETACHED)
        process.stdin.close()
    assert process.returncode == 0
    assert number_of(kernel.attach, 0) == errno.ESRCH


def test_what_is_done_to_an_attached_process_is_recorded(
        kernel: cerebro.Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("CEREBRO_AUDIT", "file")
    kernel.deny("getppid", errno.EDOM)
    code = "import ctypes as c,sys; l=c.CDLL(None); sys.stdin.readline(); l.syscall(110); " \
           "print(flush=True); sys.stdin.readline()"
    with subprocess.Popen(guest(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          bufsize=1) as process:
        assert process.stdin and process.stdout
        kernel.attach(process.pid)
        process.stdin.write("\n")
        process.stdout.readline()
        kernel.signal(signal.SIGCONT)
        kernel.detach()
        process.stdin.close()
    shown = subprocess.run([os.environ["CEREBRO"], "log", "--json"], capture_output=True, text=True,
                           check=True, timeout=20).stdout
    me = os.getpid()
    records = [json.loads(line) for line in shown.splitlines()]
    assert [(one["event"], one["what"], one["answer"], one["by"]) for one in records] == [
        ("attach", "", "ok", me), ("policy", "pass getppid", "ok", me),
        ("denied", "system call getppid", "EDOM", 0),
        ("control", f"signal {signal.SIGCONT:d} to {process.pid}", "ok", me),
        ("detach", "", "ok", me)]
    assert all(one["pid"] == process.pid for one in records)


def test_memory(kernel: cerebro.Kernel) -> None:
    if not library.load().has("pk_malloc"):
        assert number_of(kernel.allocate, 10) == errno.ENOSYS
        return
    own = ctypes.CDLL(None)
    kernel.register_allocator(own.malloc, own.free)
    with kernel.allocate(1000) as block:
        block.view[:3] = b"abc"
        assert ctypes.string_at(block.address, 3) == b"abc" and len(block.view) == 1000
        assert kernel.statistics().memory_allocated == 1000
    assert kernel.statistics().memory_allocated == 0
    assert number_of(lambda: block.view) == errno.ESTALE
    kernel.register_allocator(None, None)


# ---- programs of their own ----

def program(code: str, *argv: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    return subprocess.run([PYTHON, "-c", "import cerebro, sys, os, time, signal\n" + code, *argv],
                          env=env, capture_output=True, text=True, timeout=timeout, check=False)


def test_end_of_the_program_ends_its_guests() -> None:
    done = program("""
kernel = cerebro.Kernel()
kernel.set_handler("getppid", lambda call: time.sleep(60))
print(kernel.spawn(["/bin/sh", "-c", "sleep 1000"]))
hanging = cerebro.Kernel()
hanging.set_handler("uname", lambda call: time.sleep(60))
print(hanging.spawn(["/bin/uname"]))
while hanging.statistics().syscalls_intercepted == 0: time.sleep(.01)
""")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(is_gone(int(pid)) for pid in done.stdout.split())


def test_fault_in_a_handler_ends_the_program_and_its_guests() -> None:
    """With the fence it would hang: nobody else gets the interpreter's lock any more."""
    done = program("""
import ctypes, faulthandler
faulthandler.enable()
kernel = cerebro.Kernel()
@kernel.handler("getppid")
def crash(call):
    ctypes.string_at(16)
print(kernel.spawn(sys.argv[1:]), flush=True)
kernel.wait()
""", *ASK_PARENT)
    assert done.returncode == -signal.SIGSEGV and "in crash" in done.stderr
    wait_for(lambda: is_gone(int(done.stdout)))


def test_event_handler_that_starts_another_guest() -> None:
    done = program("""
kernel = cerebro.Kernel()
@kernel.on_event
def again(event):
    try:
        kernel.spawn(["/bin/true"])
    except cerebro.Error as error:
        print(event.type.name, error.errno)
print(kernel.run(["/bin/true"]))
""")
    busy = errno.EBUSY
    assert done.stdout == f"STARTED {busy}\nENDED {busy}\nExitStatus(0)\n", done.stderr


def test_control_c_interrupts_waiting() -> None:
    done = program("""
import threading
with cerebro.Kernel() as kernel:
    print(kernel.spawn(["/bin/sleep", "1000"]))
    threading.Timer(.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        kernel.wait()
    except KeyboardInterrupt:
        print("interrupted")
""")
    assert done.returncode == 0 and done.stdout.split()[1] == "interrupted"
    assert is_gone(int(done.stdout.split()[0]))


# ---- examples ----

def example(name: str, *argv: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    return subprocess.run([PYTHON, str(EXAMPLES / name), *argv], env=env, capture_output=True,
                          text=True, timeout=30, check=False)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_examples_say_how_they_are_used(name: str) -> None:
    done = example(name)
    assert done.returncode == 2 and f"usage: {name}" in done.stderr


def test_example_slow_open() -> None:
    done = example("slow_open.py", "1", "cat", "/etc/hostname")
    opens = re.search(r"(\d+) opens", done.stderr)
    assert done.returncode == 0 and done.stdout and opens and int(opens[1]) >= 2


def test_example_virtual_files() -> None:
    done = example("virtual_files.py", "sh", "-c", "ls -l /virtual; cat /virtual/hello; "
                   "test -f /virtual/answer && ! test -e /virtual/no && echo y >/virtual/hello")
    lines = done.stdout.splitlines()
    assert [line.split()[4:5] + line.split()[-1:] for line in lines[1:3]] == [
        ["3", "answer"], ["20", "hello"]]
    assert lines[3:] == ["Hello from nowhere."] and "Read-only" in done.stderr


def test_example_one_host() -> None:
    code = "import socket,sys\nfor port in sys.argv[1:]:\n try:\n  " \
           "socket.create_connection(('127.0.0.1', int(port)), 5); print('connected')\n " \
           "except OSError as e: print('refused')"
    loopback = ("127.0.0.1", 0)
    with socket.create_server(loopback) as one, socket.create_server(loopback) as two:
        ports = [str(server.getsockname()[1]) for server in (one, two)]
        done = example("one_host.py", f"127.0.0.1:{ports[0]}", PYTHON, "-c", code, *ports)
    if not library.load().has("pk_net_allow"):
        assert done.returncode == 1 and "pk_net_allow" in done.stderr
        return
    assert done.stdout == "connected\nrefused\n" and ports[1] in done.stderr


def test_example_half_time() -> None:
    code = """
import ctypes, select
libc, spec = ctypes.CDLL(None), (ctypes.c_long * 2)()
def now():
    assert libc.syscall(228, 1, spec) == 0
    return spec[0] + spec[1] / 1e9
def times():
    assert libc.syscall(96, spec, None) == 0
    return libc.syscall(201, None) - spec[0]
assert abs(times()) <= 1
start = now(); select.select([], [], [], .3); waited = now() - start
def sleep():
    start = now(); libc.syscall(35, (ctypes.c_long * 2)(0, 300000000), None); return now() - start
print(waited, min(sleep() for _ in range(3)))
"""
    start = time.monotonic()
    done = example("half_time.py", PYTHON, "-S", "-c", code)
    whole = time.monotonic() - start
    waited, slept = map(float, done.stdout.split())
    assert 0.6 <= waited <= 2 * whole
    assert 0.3 <= slept < 0.6  # one that takes as long as asked would be 0.6 by the guest's clock


def test_example_restricted() -> None:
    done = example("restricted.py", "sh", "-c", "ls / || echo no exec")
    assert done.stdout == "no exec\n"
    code = "import ctypes as c,sys; l=c.CDLL(None,use_errno=True); l.ptrace(0,0,0,0); " \
           "e=c.get_errno()\ntry: bytearray(300 << 20)\nexcept MemoryError: sys.exit(40 + e)"
    done = example("restricted.py", PYTHON, "-S", "-c", code)
    assert done.returncode == 40 + errno.EPERM or "signal 9" in done.stderr


def test_example_windows_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = example("windows_app.py", str(tmp_path / "prefix"), "x.exe")
    assert done.returncode == 1 and "no Windows kernels yet" in done.stderr
    (tmp_path / "wine").write_text("#!/bin/sh\necho $WINEPREFIX $*; echo kept >$WINEPREFIX/file\n")
    (tmp_path / "wine").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    done = example("windows_app.py", str(tmp_path / "prefix"), "x.exe", "a")
    assert done.returncode == 0 and done.stdout == f"{tmp_path}/prefix x.exe a\n", done.stderr
    assert (tmp_path / "prefix/file").read_text() == "kept\n"


def test_example_embedded_device() -> None:
    code = """
import fcntl, os, struct
fd = os.open("/dev/sensor", os.O_RDWR)
def ask(request, *values):
    return struct.unpack("II", fcntl.ioctl(fd, request, struct.pack("II", *values)))
print(hex(ask(0xC0085300, 0, 0)[1]), ask(0xC0085300, 2, 0)[1])
ask(0x40085301, 1, 7)
print(struct.unpack("32H", fcntl.ioctl(fd, 0x80405302, bytes(64)))[:4])
for request, register in ((0xC0085300, 9), (0x40085301, 0), (1, 0)):
    try: ask(request, register, 0)
    except OSError as error: print(error.errno)
"""
    done = example("embedded_device.py", PYTHON, "-S", "-c", code)
    assert done.stdout.splitlines() == ["0xce4e 200", "(270, 271, 272, 270)", str(errno.EINVAL),
                                        str(errno.EACCES), str(errno.ENOTTY)]
    assert "heater at 7" in done.stderr


def test_example_deny_and_watch() -> None:
    done = example("deny_and_watch.py", "chdir", "sh", "-c", "cd / || kill -TERM $$")
    assert done.returncode == 128 + signal.SIGTERM
    for text in ("started", "ended with SIGTERM", "1 calls intercepted"):
        assert f"watch: {text}" in done.stderr
    assert example("deny_and_watch.py", "nothing", "true").returncode == 1
