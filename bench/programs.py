#!/usr/bin/python3
"""Real programs at work, natively and under `cerebro run`: what each costs. `make programs` calls it.

    bench/programs.py                    all that are installed, as the user who calls
    bench/programs.py --uid 65534        as another user (when root calls)
    bench/programs.py --rounds 5 nginx redis

Each program is run in turns, natively and under cerebro; the table shows medians of the wall time,
start-up included. What fails under cerebro and not natively is a failure: exit status 1.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT = 300.0
NOT_HERE = 77  # a script says: natively it cannot be had here


@dataclass(frozen=True)
class Program:
    """A script of the shell, in an empty directory with HOME in it, that fails when it should."""

    name: str
    needs: tuple[str, ...]
    script: str
    prepare: str = ""      # once, natively; its files are there for every run
    user_only: bool = False


WAIT_PORT = ('wait_port() { for i in $(seq 200); do python3 -c "import socket; '
             'socket.create_connection((\'127.0.0.1\', $1))" 2>/dev/null && return; sleep 0.05; done; '
             'return 1; }\n')

NGINX = WAIT_PORT + """
mkdir -p html logs; head -c 4000 /dev/zero >html/page
cat >nginx.conf <<E
worker_processes 2; daemon off; pid nginx.pid; error_log logs/error.log;
events { }
http { access_log off; client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t;
       uwsgi_temp_path t; scgi_temp_path t;
       server { listen 127.0.0.1:$PORT; root html; } }
E
nginx -p $PWD/ -c nginx.conf -e logs/error.log & wait_port $PORT
ab -q -k -n 20000 -c 20 http://127.0.0.1:$PORT/page | grep -q 'Failed requests: *0'; r=$?
kill $(cat nginx.pid); wait; exit $r
"""

POSTGRES = """
B=$(ls -d /usr/lib/postgresql/*/bin | tail -1); mkdir -p s
$B/initdb -A trust -D data >/dev/null || exit 1
$B/pg_ctl -D data -l log -w -o "-k $PWD/s -c listen_addresses=''" start >/dev/null || exit 1
$B/psql -q -h $PWD/s postgres -c 'create table t (n int primary key, x text)' &&
for i in 1 2 3 4 5; do
    $B/psql -q -h $PWD/s postgres -c "insert into t select n, md5(n::text)
        from generate_series($i * 10000, $i * 10000 + 9999) n" || exit 1
done
n=$($B/psql -At -h $PWD/s postgres -c 'select count(distinct x) from t'); $B/pg_ctl -D data -w stop >/dev/null
[ "$n" = 50000 ]
"""

REDIS = """
redis-server --port 0 --unixsocket $PWD/r.sock --save '' >log & p=$!
until [ -S r.sock ]; do sleep 0.02; done
redis-benchmark -s $PWD/r.sock -n 30000 -c 20 -q -t set,get | grep -c second | grep -qx 2; r=$?
kill $p; wait $p; exit $r
"""

NODE = """
cat >main.js <<'E'
const http = require('http');
const server = http.createServer((q, a) => a.end('x'.repeat(1000)));
server.listen(0, '127.0.0.1', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 10 });
  const ask = () => new Promise((ok, no) => http.get({ port: server.address().port, agent,
    host: '127.0.0.1' }, (a) => { let n = 0; a.on('data', (d) => n += d.length);
      a.on('end', () => n === 1000 ? ok() : no()); }).on('error', no));
  for (let i = 0; i < 100; i++) await Promise.all(Array.from({ length: 20 }, ask));
  console.log('done'); agent.destroy(); server.close();
});
E
[ "$(node main.js)" = done ]
"""

JAVA = """
cat >T.java <<'E'
import java.util.concurrent.*;
public class T { public static void main(String[] a) throws Exception {
    ExecutorService e = Executors.newFixedThreadPool(16); long n = 0;
    var fs = new java.util.ArrayList<Future<Long>>();
    for (int i = 0; i < 200; i++) { final int k = i; fs.add(e.submit(() -> {
        java.nio.file.Path p = java.nio.file.Files.createTempFile("t", null);
        java.nio.file.Files.writeString(p, "" + k);
        long v = Long.parseLong(java.nio.file.Files.readString(p)); java.nio.file.Files.delete(p);
        return v; })); }
    for (var f : fs) n += f.get();
    e.shutdown(); System.out.println(n); } }
E
javac T.java && [ "$(java -cp . T)" = 19900 ]
"""

CHROMIUM = """
echo '<p id=a></p><script>document.getElementById("a").textContent = 6 * 7</script>' >page.html
chromium --headless --no-sandbox --disable-gpu --user-data-dir=$PWD/profile --dump-dom \
    file://$PWD/page.html 2>err | grep -q '>42<'
"""

CARGO = """
export CARGO_NET_OFFLINE=true
cargo init -q --vcs none --name hello . && cargo build -q --release && ./target/release/hello | grep -q Hello
"""

MAKE = """
for i in $(seq 20); do printf 'int f%d(int n) { int s = 0; while (n--) s += n * %d; return s; }\\n' $i $i >f$i.c; done
echo 'int f1(int); int main(void) { return f1(1); }' >main.c
printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\\n\\tgcc -o all $^\\n%%.o: %%.c\\n\\tgcc -O2 -c -o $@ $<\\n' >Makefile
make -s -j2 && ./all
"""

GIT_PREPARE = """
git init -q -b main origin; cd origin; git config user.email t@example.org; git config user.name T
for i in $(seq 300); do mkdir -p d$((i % 20)); seq $i >d$((i % 20))/f$i; done
git add .; git commit -qm first; for i in $(seq 20); do echo $i >>d1/f1; git commit -qam $i; done
"""

CURL = WAIT_PORT + """
head -c 20000000 /dev/zero >large
python3 -m http.server --bind 127.0.0.1 $PORT >/dev/null 2>&1 & p=$!; wait_port $PORT
for i in 1 2 3 4 5; do
    [ $(curl -sS --noproxy '*' http://127.0.0.1:$PORT/large | wc -c) = 20000000 ] || exit 1
done; kill $p
"""

PROGRAMS = (
    Program("nginx", ("nginx", "ab"), NGINX),
    Program("postgresql", ("psql",), POSTGRES, user_only=True),
    Program("redis", ("redis-server", "redis-benchmark"), REDIS),
    Program("node", ("node",), NODE),
    Program("java", ("javac", "java"), JAVA),
    Program("wine", ("wine",), "export WINEDEBUG=-all WINEPREFIX=$PWD/prefix; cp -a ../prepared prefix; "
            "wine cmd /c echo hello 2>/dev/null | tr -d '\\r' | grep -qx hello; r=$?; wineserver -w; exit $r",
            "export WINEDEBUG=-all WINEPREFIX=$PWD; wineboot -i >/dev/null 2>&1; wineserver -w"),
    Program("chromium", ("chromium",), CHROMIUM),
    Program("ffmpeg", ("ffmpeg",), "ffmpeg -loglevel error -f lavfi -i testsrc2=size=640x360:rate=25 -t 6 "
            "-threads 4 -c:v mpeg4 out.mkv && ffmpeg -loglevel error -i out.mkv -f null - && [ -s out.mkv ]"),
    Program("cargo", ("cargo",), CARGO),
    Program("git clone", ("git",), "git clone -q --no-hardlinks ../prepared/origin c && "
            "[ $(git -C c log --oneline | wc -l) = 21 ] && git -C c status -s", GIT_PREPARE),
    Program("gcc and make", ("gcc", "make"), MAKE),
    Program("dpkg-deb", ("dpkg-deb",), "mkdir -p p/DEBIAN p/opt; for i in $(seq 300); do seq $i >p/opt/f$i; done; "
            "printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n' "
            ">p/DEBIAN/control; dpkg-deb -b p x.deb >/dev/null && dpkg-deb -x x.deb out && [ -s out/opt/f300 ]"),
    Program("perl", ("perl",), "perl -e 'for (1..300000) { $h{$_ % 1000} .= \"x\" } print length(join q(), values %h)' "
            "| grep -qx 300000"),
    Program("sqlite", ("sqlite3",), "for i in $(seq 100); do echo \"insert into t values($i);\"; done >in; "
            "sqlite3 db 'create table t(n)' && sqlite3 db <in && [ $(sqlite3 db 'select sum(n) from t') = 5050 ]"),
    Program("script (pty)", ("script",), "script -qec 'seq 20000; tty' out >/dev/null && grep -q /dev/pts out"),
    Program("openssl speed", ("openssl",), "openssl speed -seconds 1 -bytes 1024 sha256 >/dev/null 2>&1"),
    Program("curl", ("curl",), CURL),
)


def environment(home: Path, port: int) -> dict[str, str]:
    env = {"PATH": PATH, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm", "PORT": str(port),
           "XDG_RUNTIME_DIR": str(home), "CEREBRO_AUDIT": "none"}
    rustup = Path("~/.rustup").expanduser()
    if rustup.is_dir() and os.access(rustup, os.R_OK):
        env["RUSTUP_HOME"] = str(rustup)
    return env


class Runner:
    def __init__(self, cerebro: str, uid: int, folder: Path) -> None:
        self.cerebro, self.uid, self.folder = cerebro, uid, folder
        self.count = 0

    def become(self) -> list[str]:
        if os.geteuid() == self.uid:
            return []
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--"]

    def new_folder(self, parent: Path, name: str) -> Path:
        folder = parent / name
        folder.mkdir()
        os.chown(folder, self.uid, self.uid)
        return folder

    def run(self, parent: Path, script: str, under: bool) -> tuple[float, int | None, str]:
        """Seconds, exit status and output."""
        self.count += 1
        work = self.new_folder(parent, f"run-{self.count}")
        return self.run_in(work, parent, script, under)

    def run_in(self, work: Path, parent: Path, script: str, under: bool) -> tuple[float, int | None, str]:
        words = ["/bin/sh", "-c", script]
        if under:
            words = [self.cerebro, "run", "--net", "host", "--write", str(parent), "--cwd", str(work), "--",
                     *words]
        start = time.monotonic()
        try:
            done = subprocess.run([*self.become(), *words], cwd=work, stdin=subprocess.DEVNULL,
                                  env=environment(work, 20000 + os.getpid() % 20000 + self.count),
                                  capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return TIMEOUT, None, "no end"
        seconds = time.monotonic() - start
        return seconds, done.returncode, (done.stdout + done.stderr).decode(errors="replace")[-600:]


def missing(program: Program) -> str:
    names = [name for name in program.needs if shutil.which(name, path=PATH) is None]
    return f"not installed: {', '.join(names)}" if names else ""


def measure(runner: Runner, program: Program, rounds: int) -> tuple[str, bool]:
    """The row of the table, and whether it is as it should be."""
    reason = missing(program)
    if not reason and program.user_only and runner.uid == 0:
        reason = "refuses to run as root"
    parent = runner.new_folder(runner.folder, program.name.split()[0])
    if not reason and program.prepare:
        prepared = runner.new_folder(parent, "prepared")
        _, status, text = runner.run_in(prepared, parent, program.prepare, False)
        reason = "" if status == 0 else f"cannot be prepared: {text.strip()[-100:]}"
    if reason:
        return f"{program.name:16} {reason}", True
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for under in (False, True):
            seconds, status, text = runner.run(parent, program.script, under)
            if status != 0:
                where = "under cerebro" if under else "natively"
                return f"{program.name:16} fails {where} ({status}): {text.strip()[-400:]}", not under
            times[under].append(seconds)
    native, ours = statistics.median(times[False]), statistics.median(times[True])
    return f"{program.name:16} {native:8.2f} {ours:8.2f} {ours / native:6.2f}", True


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these: " +
                        ", ".join(shlex.quote(program.name) for program in PROGRAMS))
    parser.add_argument("--cerebro", default=str(ROOT / "build/src/cli/cerebro"))
    parser.add_argument("--uid", type=int, default=os.geteuid())
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    unknown = set(options.names) - {program.name for program in PROGRAMS}
    if unknown:
        print(f"programs: no such program: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    good = True
    with tempfile.TemporaryDirectory(prefix="cerebro-programs-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        runner = Runner(options.cerebro, options.uid, Path(folder))
        print(f"{'program':16} {'native s':>8} {'cerebro':>8} {'ratio':>6}   (uid {options.uid})", flush=True)
        for program in PROGRAMS:
            if options.names and program.name not in options.names:
                continue
            row, right = measure(runner, program, options.rounds)
            print(row, flush=True)
            good = good and right
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
