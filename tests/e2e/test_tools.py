"""Everyday tools do under `cerebro run` what they do without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import NATIVE, Result, bash, run, run_argv, run_host, tool

PLACES = ("memory", "overlay", "shared")


def need(*names: str) -> None:
    for name in names:
        if not tool(name):
            pytest.skip(f"{name} is not installed")


def prepared(where: str, script: str) -> str:
    return f"set -eu; export HOME={where}/home; mkdir -p $HOME; cd {where}\n{script}"


def in_place(place: str, work: Path, script: str, *, options: tuple[str, ...] = (),
             timeout: float = 120.0) -> Result:
    """Runs a script in an empty directory: a private /tmp, the throw-away layer or the host."""
    where = "/tmp/place" if place == "memory" and not NATIVE else str(work / "place")
    more = ["--write", str(work)] if place == "shared" else []
    return bash(prepared(where, script), options=[*more, *options], timeout=timeout)


def as_native(place: str, work: Path, script: str) -> list[str]:
    """Runs a script under cerebro and without it; both must succeed and print the same."""
    work.joinpath("native").mkdir()
    wanted = run_host(["/bin/bash", "-c", prepared(f"{work}/native/place", script)]).ok()
    got = in_place(place, work, script).ok()
    assert got.out == wanted.out, f"native printed\n{wanted.out}\n{got}"
    return got.out.splitlines()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ---- git ----

GIT_START = """
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2001-01-01T00:00:00Z'
export GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
git config --global user.name Someone
git config --global user.email someone@example.org
git config --global init.defaultBranch main
git init -q one; cd one
for i in $(seq 30); do mkdir -p d$((i % 5)); seq $i 200 >d$((i % 5))/f$i; done
ln -s d1/f1 link; printf '#!/bin/sh\\n' >tool; chmod 755 tool
git add .; git commit -q -m first
"""


def test_git_daily_work(work: Path, place: str) -> None:
    need("git")
    lines = as_native(place, work, GIT_START + """
echo change >>d1/f1; rm d2/f2; echo new >fresh
git status --porcelain
git stash -q -u; git status --porcelain; git stash pop -q
git add -A; git commit -q -m second
git checkout -q -b side HEAD~; echo side >side; git add side; git commit -q -m side
git checkout -q main; git merge -q side -m merged
git mv tool moved; git commit -q -m third; git rm -q d3/f3; git commit -q -m fourth
git log --format=%s --topo-order
git ls-files -s | sha256sum
git diff --stat HEAD~2 | tail -1
git worktree add -q ../tree side; git -C ../tree status --porcelain; ls ../tree | head -2
git worktree list | wc -l; git worktree remove ../tree
git tag -m v1 v1; git describe; git blame -s fresh; git grep -c change; git reflog | wc -l
git status --porcelain | wc -l
""")
    assert lines[:3] == [" M d1/f1", " D d2/f2", "?? fresh"] and lines[-1] == "0"


def test_git_clone_fsck_and_gc(work: Path, place: str) -> None:
    need("git")
    lines = as_native(place, work, GIT_START + """
for i in 1 2 3; do echo $i >>d1/f1; git commit -q -a -m change$i; done
cd ..
git clone -q one linked; git clone -q --no-local one copied; git clone -q --bare one bare.git
git clone -q --depth 1 file://$PWD/one shallow; git -C shallow rev-list --count HEAD
for r in linked copied bare.git one; do
  git -C $r fsck --strict; git -C $r rev-parse HEAD; done | sort -u | wc -l
cd copied; echo back >>d1/f1; git commit -q -a -m back; git push -q origin HEAD:refs/heads/back
cd ../one; git gc -q --prune=now; git fsck; git count-objects -v | grep -E '^(count|in-pack|packs)'
git log --oneline --all | wc -l; git repack -q -a -d -f; git archive HEAD | tar t | wc -l
git bundle create -q ../b HEAD main; git clone -q ../b ../from-bundle
git -C ../from-bundle log --oneline | wc -l
""")
    assert lines[:2] == ["1", "1"] and lines[-1] == "4"


# ---- compilers ----

PROJECT = """
mkdir src
cat >src/half.c <<'X'
#include "half.h"
double half(double x) { return x / 2; }
X
echo 'double half(double x);' >src/half.h
cat >src/main.c <<'X'
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include "half.h"
static void *work(void *p) { *(double *)p = sqrt(half(*(double *)p)); return NULL; }
int main(void) { pthread_t t; double x = 32; pthread_create(&t, NULL, work, &x);
    pthread_join(t, NULL); printf("%g\\n", x); return 0; }
X
"""


def test_gcc_and_make(work: Path, place: str) -> None:
    need("gcc", "make", "ar")
    lines = as_native(place, work, PROJECT + """
cat >Makefile <<'X'
prog: src/main.o libhalf.a
	$(CC) -o $@ $^ -lm -pthread
libhalf.a: src/half.o
	ar rcs $@ $^
%.o: %.c src/half.h
	$(CC) -O2 -Wall -c -o $@ $<
X
make -s -j2; ./prog; make -q && echo up to date
touch src/half.c; make -j2 | grep -c -- -c
gcc -shared -fPIC -o libh.so src/half.c; gcc src/main.c -o dyn -L. -lh -lm -Wl,-rpath,$PWD; ./dyn
gcc -static -O1 src/main.c src/half.c -lm -o static; ./static
gcc -g -flto src/main.c src/half.c -lm -o lto; ./lto
gcc -pipe -no-pie src/*.c -lm -o fixed; ./fixed
echo 'int main(){return 1' | gcc -x c - 2>&1 | grep -c error || true
""")
    assert lines[:2] == ["4", "up to date"] and lines[-5:-1] == ["4"] * 4


def test_cmake(work: Path, place: str) -> None:
    need("gcc", "cmake", "make")
    got = in_place(place, work, PROJECT + """
cat >CMakeLists.txt <<'X'
cmake_minimum_required(VERSION 3.16)
project(half C)
find_package(Threads REQUIRED)
add_library(half STATIC src/half.c)
add_executable(prog src/main.c)
target_link_libraries(prog half m Threads::Threads)
enable_testing()
add_test(NAME runs COMMAND prog)
install(TARGETS prog DESTINATION bin)
X
cmake -S . -B out >log; cmake --build out -j2 >>log; out/prog
cd out; ctest | grep 'tests passed'; cmake --install . --prefix ../inst >>../log; ../inst/bin/prog
if command -v ninja >/dev/null; then
  cmake -G Ninja -S .. -B ../n >>../log; ninja -C ../n >>../log; ../n/prog
else echo 4; fi
""").ok()
    assert got.out.splitlines() == [
        "4", "100% tests passed, 0 tests failed out of 1", "4", "4"], str(got)


# ---- sqlite ----

@pytest.mark.parametrize("journal", ["delete", "truncate", "persist", "wal"])
def test_sqlite_journals(work: Path, place: str, journal: str) -> None:
    need("sqlite3")
    got = in_place(place, work, f"""
sqlite3 db 'pragma journal_mode={journal}; create table t(a integer primary key, b text);'
sqlite3 db "begin; with recursive n(i) as (select 1 union all select i+1 from n where i<2000)
            insert into t select i, hex(randomblob(50)) from n; commit;"
sqlite3 db 'begin; delete from t where a%2; rollback; select count(*) from t;'
sqlite3 db 'delete from t where a%2; create index x on t(b); vacuum; pragma integrity_check;'
sqlite3 db 'select count(*), min(a), max(a) from t'
sqlite3 db .dump | sqlite3 copy; sqlite3 copy 'select count(*) from t'
""").ok()
    assert got.out.splitlines() == [journal, "2000", "ok", "1000|2|2000", "1000"], str(got)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_sqlite_readers_and_writers(work: Path, place: str, journal: str) -> None:
    need("sqlite3")
    got = in_place(place, work, f"""
sqlite3 db 'pragma journal_mode={journal}; create table t(a); create table s(n);'
for w in 1 2 3; do
  (for i in $(seq 15); do echo ".timeout 30000
    insert into t values($w * 100 + $i);"; done | sqlite3 db) &
done
for r in 1 2; do
  (for i in $(seq 10); do
    sqlite3 -cmd '.timeout 30000' db 'select count(*)*0 from t'; done | sort -u) &
done
wait
sqlite3 db 'select count(*), count(distinct a) from t; pragma integrity_check'
""").ok()
    assert got.out.splitlines() == [journal, "0", "0", "45|45", "ok"], str(got)


SQLITE_LOCKS = """
import sqlite3, subprocess, sys
one = sqlite3.connect("db", isolation_level=None)
one.execute("create table t(a)")
one.execute("begin immediate")
one.execute("insert into t values(1)")
other = '''
import sqlite3
c = sqlite3.connect("db", timeout=0.2, isolation_level=None)
print("reader", c.execute("select count(*) from t").fetchone()[0])
try:
    c.execute("begin immediate")
except sqlite3.OperationalError as e:
    print(e)
'''
def look():
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", other], check=True)
look()
one.execute("commit")
look()
"""


def test_sqlite_locks_between_processes(work: Path, place: str) -> None:
    got = in_place(place, work, f"/usr/bin/python3 - <<'X'\n{SQLITE_LOCKS}\nX\n").ok()
    assert got.out.splitlines() == ["reader 0", "database is locked", "reader 1"], str(got)


def test_sqlite_of_the_host_is_locked_for_the_guest(work: Path) -> None:
    """With --write, locks meet those of programs outside."""
    need("sqlite3")
    run_host(["sqlite3", str(work / "db"), "create table t(a);"]).ok()
    holder = ("import sqlite3,sys; c=sqlite3.connect('db',isolation_level=None);"
              "c.execute('begin exclusive'); import subprocess;"
              "sys.exit(subprocess.run(sys.argv[1:]).returncode)")
    argv = run_argv(["sqlite3", "db", "select count(*) from t"], ["--write", str(work)])
    got = run_host(["/usr/bin/python3", "-c", holder, *argv], cwd=work)
    assert got.status != 0 and "locked" in got.err, str(got)
    assert run("sqlite3", "db", "select count(*) from t", options=["--write", str(work)],
               cwd=work).ok().out == "0\n"


# ---- archives ----

TREE = """
mkdir -p a/sub/deep a/empty
echo plain >a/plain; echo secret >a/secret; chmod 600 a/secret; chmod 751 a/sub
printf '#!/bin/sh\\necho ran\\n' >a/script; chmod 755 a/script; chmod 4755 a/script
ln a/plain a/hard; ln -s plain a/soft; ln -s /no/where a/sub/dangling; mkfifo a/sub/fifo
seq 20000 >a/sub/deep/numbers; head -c 300000 /dev/urandom >a/random
truncate -s 3M a/sparse; printf end >>a/sparse
touch -d '2001-02-03 04:05:06' a/plain a/sub a/soft -h
"""
LIST = r"""
list() { (cd $1; find . -mindepth 1 ! -type p ! -type l -printf '%P %y %m %s %n %TY-%Tm-%Td\n'
          find . -type l -printf '%P %l\n'; find . -type f -exec sha256sum {} +) | sort; }
same() { list a >want; list $1/a >have; diff want have && echo same; rm -rf $1; }
"""


def test_tar_round_trips(work: Path, place: str) -> None:
    need("tar", "gzip", "xz", "zstd", "bzip2")
    lines = as_native(place, work, TREE + LIST + """
for z in gzip xz zstd bzip2; do
  tar --$z -cf t.$z a; mkdir out; tar -xpf t.$z -C out; same out; done
tar -cSf s.tar a; mkdir out; tar -xpf s.tar -C out
[ $(stat -c %b out/a/sparse) -lt 100 ] && echo sparse
[ out/a/plain -ef out/a/hard ] && echo linked; [ -p out/a/sub/fifo ] && echo fifo
same out
tar --compare -f s.tar && echo equal
tar c a | (mkdir out; cd out; tar xp); same out
echo newer >>a/plain; tar -rf s.tar a/plain; tar -tf s.tar | grep -c '^a/plain$'
""")
    assert lines[:8] == ["same"] * 4 + ["sparse", "linked", "fifo", "same"]


def test_other_archives(work: Path, place: str) -> None:
    need("zip", "unzip", "gzip", "xz", "zstd", "busybox", "cp", "dd")
    lines = as_native(place, work, TREE + LIST + """
chmod 755 a/script; rm a/sub/fifo
zip -qry z.zip a; mkdir out; (cd out; unzip -q ../z.zip); (cd out/a; rm hard; ln plain hard)
same out
(find a | busybox cpio -o -H newc) >c 2>/dev/null; mkdir out
(cd out; busybox cpio -id <../c 2>/dev/null)
ls out/a | wc -l; cmp a/random out/a/random; readlink out/a/soft; rm -rf out
mkdir out; cp -a a out/; same out
for z in gzip xz zstd; do $z -k a/random; mv a/random want
  case $z in gzip) x=gz;; xz) x=xz;; zstd) x=zst;; esac
  $z -t a/random.$x; $z -dq a/random.$x; cmp a/random want; done; echo unpacked
cp --sparse=always a/sparse sp; [ $(stat -c %b sp) -lt 100 ] && cmp sp a/sparse && echo sparse
cp --reflink=auto a/random r; cmp r a/random
dd if=a/random of=r bs=1000 count=3 skip=5 seek=2 conv=notrunc status=none; stat -c %s r
mv a b; find b -type f | wc -l; rm -rf b; [ ! -e b ] && echo gone
""")
    assert lines[0] == "same" and lines[-1] == "gone"


XATTRS = """
import os, subprocess
os.mkdir("a"); open("a/f", "w").close()
def has(path):
    return {n: os.getxattr(path, n) for n in sorted(os.listxattr(path)) if n.startswith("user.c")}
os.setxattr("a/f", "user.colour", b"red"); os.setxattr("a", "user.colour", b"blue")
os.setxattr("a/f", "user.cut", b"x" * 1000); os.setxattr("a/f", "user.cut", b"", os.XATTR_REPLACE)
try:
    os.setxattr("a/f", "user.cut", b"", os.XATTR_CREATE)
except FileExistsError:
    print("exists")
subprocess.run("tar --xattrs -cf t a && mkdir out && tar --xattrs -xf t -C out && cp -a a copy",
               shell=True, check=True)
print(has("a/f"), has("a"), has("out/a/f") == has("copy/f") == has("a/f"), has("out/a"))
os.removexattr("a/f", "user.colour")
print(has("a/f"))
try:
    os.getxattr("a/f", "user.colour")
except OSError as e:
    print(e.errno)
"""


def test_extended_attributes(work: Path, place: str) -> None:
    got = in_place(place, work, f"/usr/bin/python3 - <<'X'\n{XATTRS}\nX\n").ok()
    assert got.out.splitlines() == [
        "exists", "{'user.colour': b'red', 'user.cut': b''} {'user.colour': b'blue'} True "
        "{'user.colour': b'blue'}", "{'user.cut': b''}", "61"], str(got)


def test_rsync(work: Path, place: str) -> None:
    need("rsync")
    lines = as_native(place, work, TREE + LIST + """
mkdir out; rsync -aHS a out/; same out
mkdir out; rsync -aH a out/; echo more >>a/plain; rm a/secret
rsync -aH --delete -i a out/ | sort; same out
""")
    assert lines[0] == "same" and lines[-1] == "same"


# ---- openssl, java and what else starts large programs ----

def test_openssl_keys_and_certificates(work: Path, place: str) -> None:
    need("openssl")
    got = in_place(place, work, """
export RANDFILE=$HOME/.rnd
openssl genrsa -out key 2048 2>/dev/null; stat -c %a key
openssl req -x509 -key key -out cert -days 2 -subj /CN=here
openssl x509 -in cert -noout -subject; openssl verify -CAfile cert cert
echo text >f; openssl dgst -sha256 -sign key -out sig f
openssl x509 -in cert -pubkey -noout >pub; openssl dgst -sha256 -verify pub -signature sig f
openssl enc -aes-256-cbc -pbkdf2 -k pw -in f -out f.enc
openssl enc -d -aes-256-cbc -pbkdf2 -k pw -in f.enc
openssl rand -hex 8 | wc -c; openssl ecparam -genkey -name prime256v1 -out ec 2>/dev/null
openssl ec -in ec -check 2>&1 | grep -c valid
""").ok()
    assert got.out.splitlines() == ["600", "subject=CN = here", "cert: OK", "Verified OK", "text",
                                    "17", "1"], str(got)


HELLO = r"""
import java.nio.file.*;
import java.util.concurrent.*;
public class Hello {
    public static void main(String[] a) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        int sum = 0;
        Callable<Integer> two = () -> 2;
        for (Future<Integer> f : pool.invokeAll(java.util.Collections.nCopies(20, two)))
            sum += f.get();
        pool.shutdown();
        Path p = Files.createTempFile("x", ".txt");
        Files.writeString(p, "hello");
        Process c = new ProcessBuilder("cat", p.toString()).start();
        String text = new String(c.getInputStream().readAllBytes());
        System.out.println(text + " " + sum + " " + c.waitFor());
        Files.delete(p);
        System.out.println(Runtime.getRuntime().availableProcessors() > 0);
        System.out.println(Runtime.getRuntime().maxMemory() / 1048576);
    }
}
"""


def test_java(work: Path) -> None:
    need("java", "javac")
    script = f"cat >Hello.java <<'X'\n{HELLO}\nX\njavac Hello.java; java -Xmx64m -cp . Hello\n"
    got = in_place("memory", work, script).ok()
    assert got.out.splitlines() == ["hello 40 0", "true", "64"], str(got)


def test_java_without_memory_options(work: Path) -> None:
    """The heap is chosen from what /proc and the control groups tell about the machine."""
    need("java", "javac")
    script = f"cat >Hello.java <<'X'\n{HELLO}\nX\njavac -J-Xmx128m Hello.java; java -cp . Hello\n"
    got = in_place("memory", work, script).ok()
    assert got.out.splitlines()[:2] == ["hello 40 0", "true"], str(got)
    if not NATIVE:
        limited = in_place("memory", work, script + "java -XshowSettings:system -version 2>&1\n",
                           options=("--limit", "memory=600M")).ok()
        heap = int(limited.out.splitlines()[2])
        assert heap <= 600, str(limited)


def test_what_the_host_says_is_said_inside() -> None:
    """The same commands outside and inside give the same text."""
    commands = ["ls -l /etc /usr/share/doc | grep -v ^total", "find /etc | sort", "df / | wc -l",
                "file /bin/sh", "perl -e 'print join \",\", sort glob(\"/usr/lib/*\")'",
                "stat -c '%a %u %g %s' /etc/passwd",
                "getent passwd root", "ldd /bin/ls | sed 's/(.*//'", "locale", "dpkg -l | wc -l",
                "nproc", "getconf -a | grep -vE 'LINK_MAX|FILESIZEBITS|LOCKS|PHYS_PAGES'"]
    for command in commands:
        wanted = run_host(["/bin/bash", "-c", command], cwd="/").out
        assert bash(command, cwd="/").out == wanted, command
