"""python3: processes, threads, shared memory, sockets, files and signals, as natively.

Each case runs in a fresh directory, natively and under cerebro, and prints the same; it also states
what it expects, so that it cannot pass by failing the same way twice.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from harness import run, run_host

PYTHON = "/usr/bin/python3"
pytestmark = pytest.mark.skipif(not Path(PYTHON).exists(), reason="python3 is not installed")

FRAME = '''
import asyncio, ctypes, errno, fcntl, mmap, multiprocessing, os, pathlib, select, shutil, signal
import socket, struct, subprocess, sys, tempfile, threading, time
from multiprocessing import shared_memory

def code_of(work, *args):
    try:
        work(*args)
    except OSError as error:
        return errno.errorcode[error.errno]

{helpers}
def case():
{body}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir="/tmp") as here:
        os.chdir(here)
        case()
        os.chdir("/")
'''


def check(body: str, expected: str, helpers: str = "", **how) -> None:  # type: ignore[no-untyped-def]
    script = FRAME.format(body=textwrap.indent(textwrap.dedent(body), "    "),
                          helpers=textwrap.dedent(helpers))
    got = run(PYTHON, "-c", script, timeout=60, **how)
    expected = textwrap.dedent(expected).strip()
    assert (got.status, got.out.strip()) == (0, expected), str(got)
    native = run_host([PYTHON, "-c", script], timeout=60)
    assert native.out.strip() == expected, f"natively\n{native}"


def test_subprocess() -> None:
    check("""
        got = subprocess.run(["sh", "-c", "cat; echo no >&2; exit 3"], input=b"in", capture_output=True)
        print(got.returncode, got.stdout, got.stderr)
        print(len(subprocess.run(["cat"], input=b"x" * 3000000, capture_output=True).stdout))
        child = subprocess.Popen(["sleep", "20"]); child.terminate(); print(child.wait())
        try: subprocess.run(["sleep", "20"], timeout=0.2)
        except subprocess.TimeoutExpired: print("timeout")
        print(code_of(subprocess.run, ["no-such-program"]))
        print(subprocess.check_output("pwd; echo $0 | tr a-z A-Z", shell=True, cwd="/usr"))
        print(subprocess.check_output(["sh", "-c", "umask"], umask=0o77, start_new_session=True))
        print(subprocess.run(["true"], process_group=0, preexec_fn=lambda: os.nice(1)).returncode)
        r, w = os.pipe()
        print(subprocess.run(["sh", "-c", f"echo passed >&{w}"], pass_fds=[w]).returncode, os.read(r, 9))
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 6"], os.environ)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """, r"""
        3 b'in' b'no\n'
        3000000
        -15
        timeout
        ENOENT
        b'/usr\n/BIN/SH\n'
        b'0077\n'
        0
        0 b'passed\n'
        6
        """)


def test_threads() -> None:
    check("""
        total, lock, start = [0], threading.Lock(), threading.Event()
        def work(number):
            start.wait()
            for i in range(25):
                name = f"{number}-{i}"
                with open(name, "w") as f: f.write("x" * i)
                assert os.stat(name).st_size == i
                os.unlink(name)
                with lock: total[0] += 1
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads: thread.start()
        start.set()
        for thread in threads: thread.join()
        print(total, os.listdir())
        """, "[200] []")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, work: Path) -> None:
    (work / "workers.py").write_text(textwrap.dedent("""
        from multiprocessing import shared_memory

        def square(x):
            return x * x

        def write(name):
            memory = shared_memory.SharedMemory(name=name)
            memory.buf[0] = 77
            memory.close()

        def count(queue, lock, value):
            with lock:
                value.value += 1
            queue.put("done")
        """))
    check(f"""
        sys.path.insert(0, {str(work)!r})
        os.environ["PYTHONPATH"] = {str(work)!r}
        import workers
        make = multiprocessing.get_context({method!r})
        with make.Pool(2) as pool: print(pool.map(workers.square, range(6)))
        queue, lock, value = make.Queue(), make.Lock(), make.Value("i", 0)
        children = [make.Process(target=workers.count, args=(queue, lock, value)) for _ in range(3)]
        for child in children: child.start()
        print([queue.get(timeout=20) for _ in children])
        for child in children: child.join()
        print(value.value, [child.exitcode for child in children])
        memory = shared_memory.SharedMemory(create=True, size=4096)
        child = make.Process(target=workers.write, args=(memory.name,)); child.start(); child.join()
        print(memory.buf[0], os.path.exists("/dev/shm/" + memory.name))
        memory.close(); memory.unlink()
        print(os.path.exists("/dev/shm/" + memory.name))
        """, """
        [0, 1, 4, 9, 16, 25]
        ['done', 'done', 'done']
        3 [0, 0, 0]
        77 True
        False
        """)


def test_asyncio() -> None:
    check("""
        async def main():
            child = await asyncio.create_subprocess_exec(
                "sh", "-c", "read x; echo got $x; exit 4", stdin=-1, stdout=-1)
            print((await child.communicate(b"hello\\n"))[0], child.returncode)
            async def serve(reader, writer):
                writer.write((await reader.readline()).upper()); writer.close()
            server = await asyncio.start_unix_server(serve, "socket")
            reader, writer = await asyncio.open_unix_connection("socket")
            writer.write(b"abc\\n"); print(await reader.readline()); writer.close(); server.close()
            print(await asyncio.get_running_loop().run_in_executor(None, os.path.basename, "/a/b"))
            try: await asyncio.wait_for(asyncio.sleep(20), 0.1)
            except asyncio.TimeoutError: print("timeout")
            event = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, event.set)
            os.kill(os.getpid(), signal.SIGUSR1); await asyncio.wait_for(event.wait(), 5)
        asyncio.run(main())
        """, r"""
        b'got hello\n' 4
        b'ABC\n'
        b
        timeout
        """)


def test_unix_sockets() -> None:
    check("""
        a, b = socket.socketpair(); a.send(b"x"); print(b.recv(1))
        server = socket.socket(socket.AF_UNIX); server.bind("./name"); server.listen()
        other = socket.socket(socket.AF_UNIX); other.bind("other"); other.listen()
        client = socket.socket(socket.AF_UNIX); client.connect("name"); peer, _ = server.accept()
        print(server.getsockname(), client.getpeername(), other.getsockname())
        with open("/etc/passwd") as f: socket.send_fds(client, [b"f"], [f.fileno()])
        print(os.read(socket.recv_fds(peer, 9, 1)[1][0], 5))
        print(struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1] == os.getuid())
        third = socket.socket(socket.AF_UNIX)
        print(code_of(third.connect, "none"), code_of(third.bind, "name"), os.path.exists("name"))
        hidden = socket.socket(socket.AF_UNIX); hidden.bind("\\0case%d" % os.getpid()); hidden.listen()
        third.connect(hidden.getsockname()); hidden.accept()[0].send(b"abstract"); print(third.recv(9))
        """, """
        b'x'
        ./name ./name other
        b'root:'
        True
        ENOENT EADDRINUSE True
        b'abstract'
        """)


def test_files_and_directories() -> None:
    check("""
        os.makedirs("w/a/b"); pathlib.Path("w/a/f").write_text("t"); pathlib.Path("w/l").symlink_to("a/f")
        w = pathlib.Path("w")
        print(sorted(map(str, w.rglob("*"))), w.joinpath("l").resolve().name)
        print(sorted((r, d, f) for r, d, f in os.walk("w")) == sorted((r, d, f) for r, d, f, _ in os.fwalk("w")))
        shutil.copytree("w", "v", symlinks=True); shutil.move("v", "u")
        shutil.make_archive("t", "gztar", "u"); shutil.unpack_archive("t.tar.gz", "x")
        print(sorted(os.listdir("x")), os.readlink("x/l")); shutil.rmtree("x"); print(os.path.exists("x"))
        at = os.open("w", os.O_RDONLY)
        os.mkdir("n", dir_fd=at); os.rename("n", "m", src_dir_fd=at, dst_dir_fd=at)
        os.link("a/f", "g", src_dir_fd=at, dst_dir_fd=at); os.utime("g", (1, 2), dir_fd=at)
        print(sorted(os.listdir(at)), os.stat("a/f", dir_fd=at).st_nlink, os.stat("w/g").st_mtime)
        os.fchdir(at); print(os.path.basename(os.getcwd())); os.chdir("..")
        path = os.open("w/m", os.O_PATH | os.O_DIRECTORY); os.mkdir("in", dir_fd=path)
        print(os.listdir("w/m"), code_of(os.listdir, path), code_of(os.fchmod, path, 0o700))
        os.setxattr("w/g", "user.note", b"1"); print(os.listxattr("w/g"), os.getxattr("w/g", "user.note"))
        """, """
        ['w/a', 'w/a/b', 'w/a/f', 'w/l'] f
        True
        ['a', 'l'] a/f
        False
        ['a', 'g', 'l', 'm'] 2 2.0
        w
        ['in'] EBADF EBADF
        ['user.note'] b'1'
        """)


def test_temporary_files() -> None:
    check("""
        with tempfile.NamedTemporaryFile() as named, tempfile.TemporaryFile() as nameless:
            named.write(b"1"); named.flush(); nameless.write(b"22"); nameless.flush()
            print(os.stat(named.name).st_size, oct(os.stat(named.name).st_mode))
            print(os.fstat(nameless.fileno()).st_nlink, os.fstat(nameless.fileno()).st_size)
        print(os.listdir("."), tempfile.gettempdir())
        """, """
        1 0o100600
        0 2
        [] /tmp
        """)


def test_moving_data() -> None:
    check("""
        a, b = socket.socketpair(); source = os.open("/etc/passwd", os.O_RDONLY)
        print(os.sendfile(a.fileno(), source, 0, 100), len(b.recv(200)))
        target = os.open("t", os.O_RDWR | os.O_CREAT)
        print(os.sendfile(target, source, 0, 50), os.fstat(target).st_size)
        copy = os.open("c", os.O_RDWR | os.O_CREAT)
        print(os.copy_file_range(target, copy, 20, 0, 0), os.fstat(copy).st_size)
        r, w = os.pipe(); print(os.splice(source, w, 10, 0), len(os.read(r, 99)))
        """, """
        100 100
        50 50
        20 20
        10 10
        """)


def test_locks() -> None:
    check("""
        def child(work):
            pid = os.fork()
            if pid == 0:
                os._exit(work())
            return pid
        def ended(pid): return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        def attempt():
            with open("l", "r+") as f: return 5 if code_of(fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB) else 0
        def wait():
            with open("l", "r+") as f: fcntl.lockf(f, fcntl.LOCK_EX); return 7
        f, g = open("l", "w"), open("l", "w")
        fcntl.flock(f, fcntl.LOCK_EX); print(code_of(fcntl.flock, g, fcntl.LOCK_EX | fcntl.LOCK_NB))
        fcntl.flock(f, fcntl.LOCK_UN); fcntl.lockf(f, fcntl.LOCK_EX); print(ended(child(attempt)))
        waiting = child(wait); time.sleep(0.2); fcntl.lockf(f, fcntl.LOCK_UN); print(ended(waiting))
        """, "EAGAIN\n5\n7")


def test_mmap() -> None:
    check("""
        with open("m", "w+b") as f:
            f.truncate(8192); m = mmap.mmap(f.fileno(), 0); m[:5] = b"hello"; m.flush()
            print(open("m", "rb").read(5)); m.resize(16384); m[16383] = 1; print(os.path.getsize("m"))
        shared = mmap.mmap(-1, 4096)
        if os.fork() == 0: shared[0] = 9; os._exit(0)
        os.wait(); print(shared[0])
        with open("m", "r+b") as f:
            private = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE); private[0] = 1
        print(open("m", "rb").read(1))
        """, "b'hello'\n16384\n9\nb'h'")


def test_signals() -> None:
    check("""
        got = []
        signal.signal(signal.SIGALRM, lambda *_: got.append("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05)
        time.sleep(0.3)
        signal.signal(signal.SIGUSR1, lambda *_: got.append("user")); os.kill(os.getpid(), signal.SIGUSR1)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.kill(os.getpid(), signal.SIGUSR2)
        print(got, signal.sigwait([signal.SIGUSR2]), signal.sigtimedwait([signal.SIGUSR2], 0.05))
        pid = os.fork()
        if pid == 0: signal.pause()
        os.kill(pid, 15); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        pid = os.fork()
        if pid == 0: os.kill(os.getpid(), signal.SIGSTOP); os._exit(5)
        print(os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])); os.kill(pid, signal.SIGCONT)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """, """
        ['alarm', 'user'] 12 None
        -15
        True
        5
        """)


def test_waiting_for_events() -> None:
    check("""
        r, w = os.pipe(); print(select.select([r], [], [], 0.05)[0]); os.write(w, b"1")
        print(select.select([r], [], [], 1)[0] == [r])
        poll = select.poll(); poll.register(r, select.POLLIN); print(poll.poll(100) == [(r, 1)])
        edge = select.epoll(); edge.register(r, select.EPOLLIN | select.EPOLLET)
        print(edge.poll(1) == [(r, 1)], edge.poll(0.05))
        print(code_of(edge.register, os.open("/etc/passwd", 0), 1))
        libc = ctypes.CDLL(None, use_errno=True); notify = libc.inotify_init1(os.O_CLOEXEC)
        open("watched", "w").close(); print(libc.inotify_add_watch(notify, b"watched", 0x2))
        with open("watched", "a") as f: f.write("1")
        print(select.select([notify], [], [], 5)[0] == [notify], struct.unpack("iIII", os.read(notify, 99)))
        """, """
        []
        True
        True
        True []
        EPERM
        1
        True (1, 2, 0, 0)
        """)


def test_fifo() -> None:
    check("""
        os.mkfifo("f")
        if os.fork() == 0:
            time.sleep(0.2)
            with open("f", "wb") as f: f.write(b"through")
            os._exit(0)
        print(open("f", "rb").read()); os.wait()
        print(code_of(os.open, "f", os.O_WRONLY | os.O_NONBLOCK))
        """, "b'through'\nENXIO")


def test_devices_are_what_their_names_say() -> None:
    check("""
        import pty
        for name in ("/dev/null", "/dev/zero", "/dev/urandom"):
            with open(name, "rb") as f: print(os.path.sameopenfile(f.fileno(), f.fileno()),
                os.path.samestat(os.stat(name), os.fstat(f.fileno())))
        shutil.copy("/dev/null", "empty"); print(os.path.getsize("empty"))
        master, slave = pty.openpty(); name = os.ttyname(slave)
        print(name.startswith("/dev/pts/"), os.path.samestat(os.stat(name), os.fstat(slave)))
        print(os.readlink(f"/proc/self/fd/{slave}") == name)
        """, """
        True True
        True True
        True True
        0
        True True
        True
        """)


def test_pseudo_terminal() -> None:
    check("""
        import pty
        pid, master = pty.fork()
        if pid == 0: os.execvp("sh", ["sh", "-c", "tty | cut -c1-9; test -t 0 && echo terminal; echo to >/dev/tty"])
        out = b""
        try:
            while piece := os.read(master, 99): out += piece
        except OSError as error: print(errno.errorcode[error.errno])
        print(out, os.waitpid(pid, 0)[1])
        """, r"""
        EIO
        b'/dev/pts/\r\nterminal\r\nto\r\n' 0
        """)


def test_itself_in_proc() -> None:
    check("""
        me = os.getpid()
        print(os.path.realpath("/proc/self") == f"/proc/{me}", os.listdir("/proc/self/task") == [str(me)])
        print(os.readlink("/proc/self/cwd") == os.getcwd(), os.path.basename(os.readlink("/proc/self/exe")))
        memory = os.memfd_create("m"); print(os.readlink(f"/proc/self/fd/{memory}"))
        print(os.cpu_count() == os.sysconf("SC_NPROCESSORS_ONLN") == len(os.sched_getaffinity(0)))
        """, f"""
        True True
        True {Path(PYTHON).resolve().name}
        /memfd:m (deleted)
        True
        """)


def test_venv() -> None:
    if run_host([PYTHON, "-c", "import venv, ensurepip"]).status != 0:
        pytest.skip("python3-venv is not installed")
    got = run("/bin/sh", "-c", f"""
        d=$(mktemp -d /tmp/case.XXXXXX) && cd $d || exit; trap 'cd /; rm -rf $d' EXIT
        {PYTHON} -m venv v && . v/bin/activate && command -v python
        python -c 'import sys; print(sys.prefix, sys.prefix != sys.base_prefix)'
        mkdir m; echo 'print("imported")' >m/case.py; PYTHONPATH=m python -c 'import case'; ls m
        python -m pip --version | cut -d' ' -f1,3-4; deactivate; v/bin/python -m compileall -q m; echo $?
        """, timeout=90).ok()
    lines = got.out.splitlines()
    place = lines[0].removesuffix("/bin/python")
    assert place.startswith("/tmp/case.") and place.endswith("/v"), str(got)
    assert lines[1:3] == [f"{place} True", "imported"], str(got)
    assert f"from {place}/lib" in got.out and lines[-1] == "0", str(got)
