"""Real programs in the default view: what works natively works here.

A program that is not installed is skipped with that reason. Everything runs as the user who runs
the tests; see tools/run-tests for the users.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import NATIVE, SANITIZED, Result, base_environment, bash, run, run_host, sh, tool


def need(*names: str) -> None:
    missing = [name for name in names if tool(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def home(work: Path) -> Iterator[dict[str, str]]:
    """An environment with a home directory that exists in the view."""
    (work / "home").mkdir()
    yield base_environment(HOME=str(work / "home"), USER="tester", LOGNAME="tester",
                           SHELL="/bin/sh")


# ---- shells and small tools ----

def test_bash_pipes_and_substitutions() -> None:
    got = bash("""
set -euo pipefail
test "$(printf '%s\\n' c a b | sort | tr -d '\\n' | rev)" = cba
diff <(seq 5) <(printf '%s\\n' 1 2 3 4 5)
exec 3>&1; echo to-three >&3
mapfile -t lines < <(seq 3); test "${#lines[@]}" = 3
coproc CAT { cat; }; echo ping >&"${CAT[1]}"; read -r answer <&"${CAT[0]}"; test "$answer" = ping
cat <<< here; cat <<END
document
END
seq 100000 | tee /tmp/a | wc -l; cmp /tmp/a <(seq 100000) && echo same
(exit 3) || echo status $?
false | true && echo no || echo pipefail
""").ok()
    assert got.out == "to-three\nhere\ndocument\n100000\nsame\nstatus 3\npipefail\n"


def test_bash_traps() -> None:
    got = bash("""
trap 'echo usr1' USR1; trap 'echo bye' EXIT; trap 'echo err $LINENO' ERR
kill -USR1 $$
sleep 0.2 & wait $! && echo slept
(trap 'echo term; exit 4' TERM; kill -TERM $BASHPID; sleep 1); echo sub $?
false
trap '' INT; kill -INT $$; echo alive
""")
    assert got.out == "usr1\nslept\nterm\nsub 4\nerr 5\nerr 6\nalive\nbye\n" or \
        got.out.replace("err 5\n", "") == "usr1\nslept\nterm\nsub 4\nerr 6\nalive\nbye\n", str(got)


def test_bash_job_control() -> None:
    got = bash("""
set -m
sleep 100 & sleep 100 &
jobs -l | wc -l
kill -STOP %1; sleep 0.1; jobs %1 | grep -c Stopped
kill -CONT %1; kill %1 %2; wait; echo done
""")
    assert got.out.split() == ["2", "1", "done"], str(got)


def test_dash_loop_of_programs() -> None:
    got = sh("i=0; while [ $i -lt 200 ]; do i=$((i+1)); /bin/true || exit 1; done; echo $i").ok()
    assert got.out == "200\n"


def test_coreutils(work: Path) -> None:
    got = bash("""
set -e
mkdir -p a/b/c; touch a/x; cp -a a d; mv d e; ln -s a/x s; ln a/x h
echo hello >a/x; cat s h; chmod 640 a/x; stat -c '%a %h %s' a/x
install -m 755 a/x bin; dd if=/dev/zero of=z bs=4k count=3 status=none; du -b z | cut -f1
truncate -s 100 z; wc -c <z; split -b 40 z part.; ls part.* | wc -l; cat part.* | cmp - z
date -d @0 -u +%F; seq 10 | shuf | sort -n | tail -1; head -c 5 /dev/zero | od -An -tx1 | tr -d ' '
find . -type f | sort | head -2 | tr '\\n' ' '; readlink -f s; realpath a/b/..
df . >/dev/null; nproc >/dev/null; uname -s; id -u >/dev/null; env -i /usr/bin/env | wc -l
timeout 0.2 sleep 5 || echo timeout $?; nohup true 2>/dev/null; nice -n 5 true; tac a/x; md5sum a/x
mktemp -d /tmp/x.XXXX >/dev/null; rm -r a e; ls -A | tr '\\n' ' '
""", options=["--cwd", work], cwd=work).ok()
    lines = got.out.splitlines()
    assert lines[:3] == ["hello", "hello", "640 2 6"], str(got)
    assert lines[3:10] == ["12288", "100", "3", "1970-01-01", "10", "0000000000",
                           f"./a/x ./bin {work}/a/x"], str(got)
    assert lines[10:15] == [f"{work}/a", "Linux", "0", "timeout 124", "hello"], str(got)
    assert lines[-1] == "bin h part.aa part.ab part.ac s z "
    assert NATIVE or list(work.iterdir()) == []


def test_busybox() -> None:
    need("busybox")
    got = run("busybox", "sh", "-c",
              "busybox echo one | busybox sed s/one/two/; busybox ls / | busybox grep -c bin; "
              "busybox find /etc -maxdepth 1 -name hostname; echo abc | busybox md5sum; "
              "busybox ps | busybox wc -l; busybox awk 'BEGIN { print 6 * 7 }'").ok()
    assert got.out.splitlines()[0] == "two" and "42" in got.out and "/etc/hostname" in got.out


def test_process_tools() -> None:
    need("ps", "pgrep", "pkill", "top")
    if NATIVE:
        pytest.skip("natively it would meet other processes")
    got = sh("sleep 100 & until grep -qx sleep /proc/$!/comm; do :; done; "
             "pgrep -x sleep | wc -l; ps -o comm= -p $!; ps aux | grep -c '[s]leep'; "
             "pkill -x sleep; wait $!; echo $?; top -bn1 | head -1 | grep -c load; free | wc -l; "
             "uptime | wc -l").ok()
    lines = got.out.split()
    assert lines[:4] == ["1", "sleep", "2", "143"], str(got)


def test_text_tools(work: Path) -> None:
    need("perl", "awk", "sed", "grep")
    got = bash("seq 1000 | awk '{s+=$1} END {print s}'; seq 3 | sed -n '2p'; "
               "grep -r root /etc/passwd | wc -l; seq 5 | xargs -n1 -P3 echo | sort | xargs | tr -d ' '; "
               "find /usr/bin -name 'ba*sh' | wc -l; printf 'b\\na\\n' >f; sort -o f f; "
               "sed -i s/a/x/ f; cat f | tr -d '\\n'; diff -u /etc/passwd f | head -1 | cut -c1-15",
               cwd=work).ok()
    assert got.out.split()[:4] == ["500500", "2", "1", "12345"], str(got)


# ---- languages ----

def python(script: str, *arguments: str, **how: object) -> Result:
    return run("/usr/bin/python3", "-c", script, *arguments, **how)  # type: ignore[arg-type]


def test_python_subprocess() -> None:
    got = python("""
import subprocess, sys, os, signal
print(subprocess.run(["cat"], input="text", text=True, capture_output=True).stdout)
print(subprocess.check_output("echo $HOME | wc -l", shell=True, text=True).strip())
p = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
p.terminate(); print(p.wait())
try:
    subprocess.run(["sleep", "10"], timeout=0.2)
except subprocess.TimeoutExpired:
    print("timeout")
try:
    subprocess.run(["/no/such/program"])
except FileNotFoundError as error:
    print(error.errno)
print(subprocess.run(["sh", "-c", "pwd"], cwd="/usr", capture_output=True).stdout)
print(subprocess.run("exit 7", shell=True).returncode)
r, w = os.pipe()
print(subprocess.run(["sh", "-c", f"echo through >&{w}"], pass_fds=[w]).returncode, os.read(r, 20))
print(subprocess.run(["true"], preexec_fn=os.getpid, start_new_session=True).returncode)
""").ok()
    assert got.out.splitlines() == ["text", "1", "-15", "timeout", "2", "b'/usr\\n'", "7",
                                    "0 b'through\\n'", "0"]


def test_python_threads() -> None:
    got = python("""
import threading, queue, concurrent.futures, tempfile, os
def work(n):
    with tempfile.NamedTemporaryFile("w+") as f:
        f.write(str(n)); f.flush(); f.seek(0)
        return int(f.read()) + os.stat(f.name).st_size
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(work, range(500))))
q = queue.Queue()
ts = [threading.Thread(target=q.put, args=(i,)) for i in range(200)]
[t.start() for t in ts]; [t.join() for t in ts]
print(q.qsize())
""").ok()
    assert got.out.split() == [str(sum(n + len(str(n)) for n in range(500))), "200"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_python_multiprocessing(method: str, work: Path) -> None:
    script = work / "main.py"
    script.write_text(f"""
import multiprocessing as mp, os
from multiprocessing import shared_memory
def square(n): return n * n
def put(q, name):
    m = shared_memory.SharedMemory(name); m.buf[0] = 7; m.close(); q.put(os.getpid())
if __name__ == "__main__":
    mp.set_start_method("{method}")
    with mp.Pool(4) as pool:
        print(sum(pool.map(square, range(100))))
    q = mp.Queue(); m = shared_memory.SharedMemory(create=True, size=100)
    p = mp.Process(target=put, args=(q, m.name)); p.start()
    print(q.get(timeout=20) == p.pid); p.join(); print(m.buf[0], p.exitcode); m.close(); m.unlink()
    with mp.Manager() as manager:
        d = manager.dict(a=1); d["b"] = 2; print(dict(d))
""")
    got = run("/usr/bin/python3", script, timeout=60).ok()
    assert got.out.splitlines() == ["328350", "True", "7 0", "{'a': 1, 'b': 2}"], str(got)


def test_python_venv(work: Path) -> None:
    if not Path("/usr/lib/python3.11/ensurepip").exists():
        pytest.skip("not installed: python3-venv")
    got = bash("/usr/bin/python3 -m venv v && . v/bin/activate && "
               "python -c 'import sys; print(sys.prefix)' && pip --version | cut -d' ' -f1",
               cwd=work, timeout=120).ok()
    assert got.out.splitlines() == [f"{work}/v", "pip"]
    assert NATIVE or not (work / "v").exists()


def test_python_files_and_system() -> None:
    got = python("""
import os, glob, shutil, sqlite3, json, socket, platform, pwd, tempfile, mmap, fcntl, select, time
d = tempfile.mkdtemp()
os.makedirs(d + "/a/b"); open(d + "/a/b/c", "w").write("x"); shutil.copytree(d + "/a", d + "/z")
print(sorted(os.path.relpath(p, d) for p in glob.glob(d + "/**", recursive=True)))
print(sum(1 for _ in os.scandir("/usr/bin")) > 100, os.cpu_count() > 0, platform.system())
shutil.rmtree(d); print(os.path.exists(d))
f = tempfile.TemporaryFile(); fcntl.lockf(f, fcntl.LOCK_EX); f.truncate(4096)
m = mmap.mmap(f.fileno(), 4096); m[0:3] = b"abc"; print(os.pread(f.fileno(), 3, 0))
a, b = socket.socketpair(); a.send(b"x"); print(select.select([b], [], [], 1)[0] == [b])
print(pwd.getpwuid(0).pw_name, os.getlogin.__name__)
""").ok()
    assert got.out.splitlines() == [
        "['.', 'a', 'a/b', 'a/b/c', 'z', 'z/b', 'z/b/c']", "True True Linux", "False", "b'abc'",
        "True", "root getlogin"]


def test_python_asyncio() -> None:
    got = python("""
import asyncio
async def main():
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print((await p.communicate(b"async"))[0])
    ps = [await asyncio.create_subprocess_shell(f"exit {i}") for i in range(20)]
    print(sum([await p.wait() for p in ps]))
    server = await asyncio.start_unix_server(lambda r, w: (w.write(b"hello"), w.close()), "/tmp/s")
    r, w = await asyncio.open_unix_connection("/tmp/s")
    print(await r.read())
asyncio.run(main())
""").ok()
    assert got.out.splitlines() == ["b'async'", "190", "b'hello'"]


def test_perl() -> None:
    need("perl")
    got = run("perl", "-MPOSIX", "-e", """
use strict; use File::Temp; use Cwd; use File::Find; use IPC::Open3;
open(my $p, "-|", "seq 5") or die; my $s = 0; $s += $_ while <$p>; close $p; print "$s\\n";
my $pid = fork; if (!$pid) { exit 3 } waitpid $pid, 0; print $? >> 8, "\\n";
$SIG{ALRM} = sub { print "alarm\\n" }; alarm 1; pause;
my $t = File::Temp->newdir; mkdir "$t/d"; rmdir "$t/d"; print -d $t ? "dir\\n" : "no\\n";
my $n = 0; find(sub { $n++ }, "/usr/lib/os-release", "/etc/passwd"); print "$n\\n";
""").ok()
    assert got.out.split() == ["15", "3", "alarm", "dir", "2"]


def test_node(work: Path) -> None:
    need("node")
    (work / "main.js").write_text("""
const fs = require('fs'), cp = require('child_process'), os = require('os');
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (!isMainThread) { parentPort.postMessage(6 * 7); return; }
fs.mkdirSync('/tmp/n/m', { recursive: true });
fs.writeFileSync('/tmp/n/m/f', 'content');
console.log(fs.readFileSync('/tmp/n/m/f', 'utf8'), fs.readdirSync('/tmp/n').join());
console.log(cp.execSync('echo child', { encoding: 'utf8' }).trim());
new Worker(__filename).on('message', (n) => {
  console.log(n);
  cp.spawn('sh', ['-c', 'exit 5']).on('exit', (c) => {
    console.log(c, os.cpus().length > 0);
    fs.promises.rm('/tmp/n', { recursive: true }).then(() => console.log(fs.existsSync('/tmp/n')));
  });
});
""")
    got = run("node", work / "main.js", timeout=60).ok()
    assert got.out.splitlines() == ["content m", "child", "42", "5 true", "false"], str(got)


def test_java(work: Path) -> None:
    need("javac", "java")
    (work / "Hello.java").write_text("""
import java.nio.file.*;
public class Hello {
    public static void main(String[] a) throws Exception {
        Path p = Files.writeString(Path.of("/tmp/j"), "written");
        Thread t = new Thread(() -> System.out.println("thread"));
        t.start(); t.join();
        System.out.println(Files.readString(p) + " " + new ProcessBuilder("sh", "-c", "exit 4")
            .start().waitFor());
    }
}
""")
    got = bash("javac -d out Hello.java && java -Xmx64m -cp out Hello", cwd=work,
               timeout=120).ok()
    assert got.out == "thread\nwritten 4\n"
    assert NATIVE or not (work / "out").exists()


# ---- large programs ----

def heavy() -> None:
    if SANITIZED:
        pytest.skip("takes long under sanitizers, and says nothing new")


def test_nginx_and_ab(work: Path) -> None:
    need("nginx", "ab")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (work / "html").mkdir()
    (work / "html/page").write_bytes(bytes(4000))
    (work / "nginx.conf").write_text(f"""
{"user root;" if os.geteuid() == 0 else ""} worker_processes 2; daemon off; pid nginx.pid;
error_log error.log;
events {{ }}
http {{ access_log off; client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t;
  uwsgi_temp_path t; scgi_temp_path t; server {{ listen 127.0.0.1:{port}; root html; }} }}
""")
    got = bash(f"""
nginx -p $PWD/ -c nginx.conf -e error.log & n=$!
for i in $(seq 200); do (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.02; done
ab -q -k -n 2000 -c 20 http://127.0.0.1:{port}/page | grep -E 'Complete|Failed|Non-2xx' | tr -s ' '
kill $n; wait $n; echo $?
""", options=["--net", "host"], cwd=work, timeout=60).ok()
    assert got.out.splitlines() == ["Complete requests: 2000", "Failed requests: 0", "0"], str(got)


def test_postgresql(work: Path, home: dict[str, str]) -> None:
    heavy()
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not folders or os.geteuid() == 0:
        pytest.skip("not installed: postgresql" if not folders else "it refuses to run as root")
    got = bash(f"""
set -e; PATH={folders[-1].parent}:$PATH; mkdir s
initdb -A trust -D data >/dev/null
pg_ctl -D data -l log -w -o "-k $PWD/s -c listen_addresses=''" start >/dev/null
psql -q -h $PWD/s postgres -c 'create table t (n int primary key, x text)'
psql -q -h $PWD/s postgres -c 'insert into t select n, md5(n::text) from generate_series(1, 2000) n'
psql -At -h $PWD/s postgres -c 'select count(distinct x), sum(n) from t'
pg_ctl -D data -w stop >/dev/null; pg_controldata data | grep -c 'shut down$'
""", cwd=work, env=home, timeout=90).ok()
    assert got.out.splitlines() == ["2000|2001000", "1"], str(got)


def test_chromium(work: Path, home: dict[str, str]) -> None:
    heavy()
    need("chromium")
    (work / "page.html").write_text(
        "<p id=a></p><script>document.getElementById('a').textContent = 6 * 7</script>")
    got = run("chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={work}/p",
              "--dump-dom", f"file://{work}/page.html", cwd=work, env=home, timeout=90)
    assert got.status == 0 and '<p id="a">42</p>' in got.out, str(got)[-2000:]


def test_ffmpeg_with_threads(work: Path) -> None:
    need("ffmpeg")
    got = bash("ffmpeg -loglevel error -f lavfi -i testsrc2=size=320x180:rate=25 -t 2 -threads 4 "
               "-c:v mpeg4 out.mkv && ffmpeg -loglevel error -i out.mkv -f framecrc - | grep -vc '^#'",
               cwd=work, timeout=60).ok()
    assert got.out == "50\n", str(got)


def test_cargo(work: Path, home: dict[str, str]) -> None:
    need("cargo", "rustc")
    got = bash("cargo init -q --vcs none --name hello c && cd c && cargo build -q --offline && "
               "./target/debug/hello", cwd=work, env=home, timeout=90).ok()
    assert got.out == "Hello, world!\n", str(got)


def test_script_makes_a_terminal(work: Path) -> None:
    need("script")
    got = bash("script -qec 'tty; stty size; seq 3000 | tail -1' out </dev/null >/dev/null; cat out",
               cwd=work).ok()
    assert "/dev/pts/" in got.out and "3000" in got.out, str(got)


# ---- development ----

def test_git(work: Path, home: dict[str, str]) -> None:
    need("git")
    got = bash("""
set -e
git config --global user.email t@example.org; git config --global user.name T
git config --global init.defaultBranch main; git config --global --add safe.directory '*'
git init -q one; cd one
for i in $(seq 50); do mkdir -p d$((i % 5)); echo $i >d$((i % 5))/f$i; done
git add .; git commit -qm first; git tag v1
git checkout -qb other; echo more >>d0/f5; git mv d1 moved; git commit -qam second
git checkout -q main; git merge -q other; git log --oneline | wc -l
cd ..; git clone -q one two; cd two; git fsck --strict 2>&1 | grep -v '^Checking' || true
git status --short | wc -l; git diff v1 --stat | tail -1; git gc -q; git log -1 --format=%s
git stash list; echo x >new; git add new; git stash -q; git stash pop -q; git rev-parse HEAD | wc -c
git worktree add -q ../three v1; ls ../three | wc -l
""", cwd=work, env=home, timeout=120).ok()
    lines = got.out.splitlines()
    assert lines[0] == "2" and lines[1] == "0" and "files changed" in lines[2], str(got)
    assert lines[3:] == ["second", "41", "5"], str(got)
    assert NATIVE or not (work / "one").exists()


PROJECT = {
    "CMakeLists.txt": """
cmake_minimum_required(VERSION 3.13)
project(small C)
enable_testing()
add_library(part STATIC part.c)
add_executable(small main.c)
target_link_libraries(small part m)
add_test(NAME runs COMMAND small)
""",
    "part.c": "#include <math.h>\nint part(int n) { return (int)sqrt(n); }\n",
    "main.c": '#include <stdio.h>\nint part(int);\n'
              'int main(void) { printf("%d\\n", part(1764)); return 0; }\n',
    "Makefile": "all: one two\n%: %.c\n\t$(CC) -O1 -o $@ $<\n",
    "one.c": "int main(void) { return 1; }\n",
    "two.c": "int main(void) { return 2; }\n",
}


@pytest.fixture
def project(work: Path) -> Path:
    (work / "project").mkdir()
    for name, text in PROJECT.items():
        (work / "project" / name).write_text(text)
    return work / "project"


def test_gcc_and_make(project: Path) -> None:
    need("gcc", "make")
    got = bash("make -s -j2 && { ./one; echo $?; ./two; echo $?; } && "
               "gcc -g -O2 -Wall main.c part.c -lm -o big && ./big && file big | grep -c ELF; "
               "gcc -static main.c part.c -lm -o static && ./static; echo 'int x = ;' >bad.c; "
               "gcc -c bad.c 2>/dev/null || echo rejected; ar t /dev/null 2>/dev/null; strip big; "
               "nm part.o 2>/dev/null; gcc -shared -fPIC part.c -o lib.so -lm && ls lib.so",
               cwd=project, timeout=120)
    assert got.out.splitlines()[:3] == ["1", "2", "42"], str(got)
    assert "rejected" in got.out and got.out.endswith("lib.so\n"), str(got)
    assert NATIVE or not (project / "one").exists()


def test_cmake(project: Path) -> None:
    need("cmake", "gcc")
    got = bash("cmake -S . -B b >/dev/null && cmake --build b -j2 >/dev/null && b/small && "
               "cd b && ctest 2>&1 | grep '100%'", cwd=project, timeout=180).ok()
    assert got.out.splitlines()[0] == "42" and "100% tests passed" in got.out


def test_gdb_is_told_clearly(project: Path) -> None:
    need("gdb", "gcc")
    got = bash("gcc -g one.c -o one && gdb -batch -ex run ./one 2>&1 | tail -3", cwd=project,
               timeout=60)
    assert got.status is not None


# ---- data ----

def test_sqlite(work: Path) -> None:
    need("sqlite3")
    for mode in ("delete", "wal"):
        got = bash(f"""
sqlite3 db.{mode} "pragma journal_mode={mode}; create table t(a integer primary key, b text);" \
 "begin; with recursive c(n) as (select 1 union all select n+1 from c where n<5000)
  insert into t select n, 'row ' || n from c; commit;" "select count(*), sum(a) from t;"
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 5000' db.{mode} "insert into t(b) values('p');" & done
wait; sqlite3 db.{mode} "select count(*) from t; pragma integrity_check;"
""", cwd=work, timeout=60).ok()
        assert got.out.splitlines() == [mode, "5000|12502500", "5004", "ok"], str(got)


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz", "zstd"])
def test_archives(packer: str, work: Path) -> None:
    need("tar", packer)
    source = work / "tree"
    source.mkdir()
    generator = random.Random(5)
    for number in range(60):
        (source / f"d{number % 4}").mkdir(exist_ok=True)
        (source / f"d{number % 4}/f{number}").write_bytes(generator.randbytes(number * 97))
    (source / "link").symlink_to("d0/f0")
    os.link(source / "d1/f1", source / "hard")
    (source / "d2/f2").chmod(0o751)
    os.utime(source / "d2/f2", (1e9, 1e9))
    got = bash(f"set -e; tar -I {packer} -cf t.tar tree; mkdir out; tar -xf t.tar -C out; "
               "diff -r tree out/tree && stat -c '%a %Y' out/tree/d2/f2 && readlink out/tree/link "
               f"&& stat -c %h out/tree/hard; {packer} -dc t.tar | tar t | wc -l", cwd=work).ok()
    assert got.out.splitlines() == ["751 1000000000", "d0/f0", "2", "67"], str(got)


def test_zip(work: Path) -> None:
    need("zip", "unzip")
    got = bash("mkdir a; seq 1000 >a/x; zip -qr z.zip a; rm -r a; unzip -q z.zip; wc -l <a/x; "
               "unzip -t z.zip | tail -1", cwd=work).ok()
    assert got.out.startswith("1000\nNo errors")


def test_openssl(work: Path) -> None:
    need("openssl")
    (work / "data").write_bytes(os.urandom(100_000))
    digest = hashlib.sha256((work / "data").read_bytes()).hexdigest()
    got = bash("""
set -e
openssl dgst -sha256 -r data | cut -d' ' -f1
openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=test 2>/dev/null
openssl verify -CAfile c.pem c.pem
openssl enc -aes-256-cbc -pbkdf2 -k secret -in data -out e; openssl enc -d -aes-256-cbc -pbkdf2 \
 -k secret -in e | cmp - data && echo same
openssl dgst -sha256 -sign k.pem -out s data
openssl dgst -sha256 -verify <(openssl x509 -in c.pem -pubkey -noout) -signature s data
openssl rand -hex 8 | wc -c
""", cwd=work, timeout=60).ok()
    assert got.out.splitlines() == [digest, "c.pem: OK", "same", "Verified OK", "17"]


def test_vim(work: Path) -> None:
    need("vim")
    (work / "text").write_text("one\ntwo\nthree\n")
    got = bash("vim -u NONE -es -c '%s/two/TWO/' -c 'g/one/d' -c 'r !echo from-shell' -c wq text; "
               "cat text; ls -A | tr '\\n' ' '", cwd=work).ok()
    assert got.out == "TWO\nfrom-shell\nthree\ntext home " or got.out.endswith("text "), str(got)
    assert "TWO" in got.out and "from-shell" in got.out
    assert NATIVE or (work / "text").read_text() == "one\ntwo\nthree\n"


def test_tmux(home: dict[str, str]) -> None:
    need("tmux")
    got = bash("""
tmux -f /dev/null new-session -d -x 80 -y 24 'sh' || exit 1
tmux send-keys 'echo answer is $((6*7))' Enter
for i in $(seq 50); do tmux capture-pane -p | grep -q 'answer is 42' && break; sleep 0.1; done
tmux capture-pane -p | grep -c 'is 42'
tmux split-window 'cat >/tmp/typed'; tmux send-keys 'typed text' Enter C-d
for i in $(seq 50); do [ -s /tmp/typed ] && break; sleep 0.1; done
cat /tmp/typed; tmux list-sessions | wc -l; tmux kill-server; sleep 0.2; echo end
""", env=home, timeout=60)
    assert got.out.splitlines() == ["1", "typed text", "1", "end"], str(got)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_redis(work: Path) -> None:
    need("redis-server", "redis-benchmark", "redis-cli")
    port = free_port()
    got = bash(f"""
redis-server --port {port} --bind 127.0.0.1 --save '' --daemonize no --dir /tmp >/tmp/log 2>&1 &
for i in $(seq 100); do redis-cli -p {port} ping 2>/dev/null | grep -q PONG && break; sleep 0.05; done
redis-cli -p {port} set key value; redis-cli -p {port} get key
redis-benchmark -p {port} -n 2000 -c 10 -t set,get -q | tr '\\r' '\\n' | grep -c 'requests per second'
redis-cli -p {port} bgsave >/dev/null; sleep 0.5; ls /tmp/dump.rdb
redis-cli -p {port} shutdown nosave; wait; echo ended
""", options=["--net", "host"], timeout=90)
    assert got.out.splitlines() == ["OK", "value", "2", "/tmp/dump.rdb", "ended"], str(got)


# ---- Debian's own tools, as root that is none ----

CONTROL = """Package: cerebro-test-package
Version: 1.0
Architecture: all
Maintainer: Tester <t@example.org>
Description: a package for a test
"""


@pytest.fixture
def package(work: Path) -> Path:
    need("dpkg-deb", "dpkg")
    tree = work / "package"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(CONTROL)
    script = tree / "DEBIAN/postinst"
    script.write_text("#!/bin/sh\nset -e\nchown games:games /opt/cerebro-test/data\n"
                      "adduser --version >/dev/null 2>&1 || true\necho configured $1\n")
    script.chmod(0o755)
    (tree / "opt/cerebro-test").mkdir(parents=True)
    (tree / "opt/cerebro-test/data").write_text("data\n")
    (tree / "opt/cerebro-test/tool").write_text("#!/bin/sh\necho tool ran\n")
    (tree / "opt/cerebro-test/tool").chmod(0o755)
    run_host(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(work / "p.deb")]).ok()
    return work / "p.deb"


def need_layer() -> None:
    if NATIVE:
        pytest.skip("natively this would change the host")


def test_dpkg_install(package: Path, work: Path) -> None:
    need_layer()
    (work / "upper").mkdir()
    options = ["--uid", "0", "--overlay", work / "upper"]
    got = run("dpkg", "-i", package, options=options, timeout=120)
    assert got.status == 0 and "configured configure" in got.out, str(got)
    got = sh("dpkg -s cerebro-test-package | grep Status; /opt/cerebro-test/tool; "
             "stat -c %U:%G /opt/cerebro-test/data", options=options).ok()
    assert got.out.splitlines() == ["Status: install ok installed", "tool ran", "games:games"]
    got = run("dpkg", "-r", "cerebro-test-package", options=options, timeout=120)
    assert got.status == 0, str(got)
    assert sh("test -e /opt/cerebro-test/tool", options=options).status == 1
    assert not Path("/opt/cerebro-test").exists()


def test_dpkg_unpack(package: Path, work: Path) -> None:
    got = bash(f"dpkg-deb -x {package} /tmp/x && cat /tmp/x/opt/cerebro-test/data && "
               f"dpkg-deb -f {package} Version", cwd=work).ok()
    assert got.out == "data\n1.0\n"


def test_apt_get(work: Path) -> None:
    need_layer()
    need("apt-get")
    probe = run_host(["apt-get", "-o", "Acquire::http::Timeout=5", "-o", "Acquire::Retries=0",
                      "--print-uris", "-qq", "download", "hello"], cwd=work, timeout=30)
    address = probe.out.split("'")[1] if "'" in probe.out else ""
    if not address or not answers(address):
        pytest.skip(f"no apt mirror answers ({address or probe.err.strip()[-80:]})")
    (work / "upper").mkdir()
    options = ["--uid", "0", "--net", "host", "--overlay", work / "upper"]
    got = sh("apt-get update -qq -o Acquire::http::Timeout=20 && "
             "apt-get install -y -qq --no-install-recommends hello && hello", options=options,
             timeout=240, env=base_environment(DEBIAN_FRONTEND="noninteractive"))
    assert got.status == 0 and "Hello, world!" in got.out, str(got)[-3000:]
    assert sh("hello", options=options).ok().out == "Hello, world!\n"


def answers(address: str) -> bool:
    need("curl")
    proxy = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    got = run_host(["curl", "-sIf", "-m", "8", address], timeout=20,
                   env=base_environment(**proxy))
    return got.status == 0
