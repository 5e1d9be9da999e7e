"""Shells, coreutils, busybox, perl and node do what they do natively: the same output and status.

Each case is a script that runs twice, natively and under cerebro, in a fresh directory of /tmp.
`expected` is a line that must be there, so that a case cannot pass by failing the same way twice.
"""

from __future__ import annotations

import re

import pytest

from harness import Result, run, run_host, tool

PREAMBLE = """
umask 022
directory=$(mktemp -d /tmp/case.XXXXXX) && cd "$directory" || exit 99
trap 'cd /; rm -rf "$directory"' EXIT
"""
DIRECTORY = re.compile(r"/tmp/case\.\w+")


def readable(got: Result) -> tuple[int | None, list[str], list[str]]:
    # what killed a job is told with the number of its process
    def lines(text: str) -> list[str]:
        text = DIRECTORY.sub("HERE", text)
        return [re.sub(r"(line \d+:) +\d+ ", r"\1 PID ", line) for line in text.splitlines()
                if not line.startswith("cerebro: denied: ")]
    return got.status, lines(got.out), lines(got.err)


def compare(shell: list[str], script: str, expected: str, preamble: str = PREAMBLE,
            errors: bool = True) -> None:
    for word in shell:
        if not word.startswith("-") and tool(word) is None:
            pytest.skip(f"{word} is not installed")
    native = run_host([*shell, preamble + script], timeout=60)
    got = run(*shell, preamble + script, timeout=60)
    compared = 3 if errors else 2
    assert readable(got)[:compared] == readable(native)[:compared], (
        f"{got}\n=== natively\n{native}")
    assert expected in readable(got)[1], str(got)


BASH = {
    "pipes": ("9", """
        seq 1 1000 | grep 9 | sort -rn | tail -1; echo ${PIPESTATUS[@]}
        false | true; echo $?; set -o pipefail; false | true; echo $?
        yes | head -c 1000000 | wc -c
        { echo out; echo err >&2; } 2>&1 >/dev/null | tr a-z A-Z"""),
    "traps": ("got USR1", """
        trap 'echo got USR1' USR1; kill -USR1 $$
        trap 'echo got INT' INT; kill -INT $$; trap - INT
        (trap 'echo leaving' EXIT; exit 3); echo $?
        (trap 'echo got TERM; exit 9' TERM; kill -TERM $BASHPID; sleep 5); echo $?
        trap 'echo failed' ERR; false; trap - ERR
        (trap '' TERM; kill -TERM $BASHPID; echo immune)
        trap 'echo waited' USR2; (sleep 0.3; kill -USR2 $$) & wait; echo $?; wait"""),
    "here-documents": ("HELLO 3 SUB", """
        cat <<A | tr a-z A-Z
hello $((1+2)) $(echo sub)
A
        cat <<'B'
no $expansion
B
        cat <<<"here string"
        big=$(seq 1 20000); wc -l <<<"$big"
        cat <<C - /dev/fd/3 3<<D
first
C
second
D"""),
    "process-substitution": ("got 2", """
        diff <(echo a; echo b) <(echo a; echo c); cat <(echo x) <(echo y)
        echo 12345 | tee >(wc -c >count) >/dev/null; sleep 0.3; cat count
        while read line; do echo "got $line"; done < <(printf '1\\n2\\n')
        [ -p <(true) ] && echo a pipe"""),
    "coproc": ("echo:hi", """
        coproc C { while read x; do echo "echo:$x"; done; }
        echo hi >&${C[1]}; read -u ${C[0]} answer; echo $answer
        pid=$C_PID; eval "exec ${C[1]}>&-"; wait $pid; echo status $?
        coproc sleep 20; kill $COPROC_PID; wait $COPROC_PID; echo $?"""),
    "jobs": ("143", """
        set -m; sleep 20 & sleep 30 & jobs; kill %1; wait %1; echo $?
        kill -STOP %2; sleep 0.3; jobs; kill -CONT %2; sleep 0.3; jobs; kill %2; wait %2; echo $?
        (exit 7) & wait $!; echo $?; (exit 4) & wait -n; echo $?
        sleep 20 & disown; kill $!
        ( sleep 0.2; echo late ) & wait; echo all"""),
    "redirections": ("five", """
        echo a >f; echo b >>f; cat f; exec 5>f5; echo five >&5; exec 5>&-; cat f5
        exec 6<>f6; echo rw >&6; cat f6; exec 6>&-; set -C; echo x >f; echo $?; set +C
        echo x >/none/y; echo $?; cat </none; echo $?
        exec 7< <(sleep 0.5; echo late); read -t 0.05 -u 7 x; echo $?; read -t 5 -u 7 x; echo $x
        echo v | cat /dev/stdin; cat /dev/fd/0 <<<zero; echo w >/dev/fd/1; echo e >/dev/stderr"""),
    "directories": ("a1 a2", """
        mkdir -p x/y; cd x/y; pwd; cd ..; pwd; cd - ; pushd /usr; popd
        ln -s "$directory/x" ../link; cd "$directory"; ln -s x link; cd link; pwd; pwd -P; cd ..; pwd
        mkdir gone; cd gone; rmdir ../gone; pwd; ls; touch q; cd ..; pwd
        touch a1 a2 .hidden; echo a*; shopt -s globstar nullglob; echo ** zz*"""),
    "statuses": ("124", """
        timeout 0.2 bash -c 'sleep 9'; echo $?; bash -c 'kill -9 $$'; echo $?
        bash -c 'exec nosuch'; echo $?; echo x >plain; ./plain; echo $?
        printf '#!/bin/sh -e\\necho sh $1; false; echo no\\n' >s; chmod +x s; ./s b; echo $?
        ulimit -n; (ulimit -n 64; ulimit -n); umask; umask 077; touch u; stat -c %a u"""),
}


@pytest.mark.parametrize("name", BASH)
def test_bash(name: str) -> None:
    expected, script = BASH[name]
    compare(["bash", "-c"], script, expected, errors=False)  # notices of jobs come as they like


COREUTILS = {
    "move-into-directory": ("d:f", """
        mkdir d e; touch f g; mv f d; mv g -t d; echo d:f; ls d; mv d e; ls e; mv -v e/d .
        mkdir full; touch full/x; mkdir other; mkdir other/full; touch other/full/y
        mv full other; echo $?; mv -n d/f d/g; ls d; mv -T d n; ls n; mv none x; echo $?"""),
    "copy": ("600 100", """
        echo hello >h; touch -d @100 h; chmod 600 h; cp -p h i; stat -c '%a %Y' i
        mkdir d; cp h i d; ls d; cp -a d e; cp -r d f; ls e f; cp -l h l; stat -c %h h
        cp -s "$directory/h" s; readlink s; cp /dev/null empty; stat -c '%s %F' empty
        truncate -s 1M sparse; cp --sparse=always sparse t; stat -c %s t; cp h none/x; echo $?
        cp -b h i; ls i~; cp --parents d/h f; ls f/d; cp -u h i; cp -v h v; install -m 755 -D h x/y/z
        stat -c %a x/y/z; install -d q/r; install -t q h i; ls q; cp -R d/. g; echo $?"""),
    "remove": ("none: *", """
        mkdir -p a/b/c; rmdir -p a/b/c; echo none: *; mkdir d; touch d/x; rm d; echo $?; rm -d d
        echo $?; rm -rv d; rm none; echo $?; rm -f none; echo $?; touch r; chmod 400 r; rm -f r
        touch u; unlink u; ls; mkdir -p deep/$(printf 'd/%.0s' {1..60}); rm -rf deep; ls"""),
    "links": ("symlink HERE/h", """
        echo h >h; ln h hard; ln -s h sym; ln -sfn /none sym2; stat -c %h h; echo symlink $(realpath sym)
        readlink sym; readlink -f sym; readlink -e sym2; readlink -m sym2/x/../y; realpath -s sym
        realpath --relative-to=/tmp/.. /usr/bin; ln h hard; echo $?; mkdir d; ln -s ../h d; cat d/h
        link h z; stat -c %h z; ln -sf d/h sym; cat sym; ln -r -s d/h r; readlink r"""),
    "attributes": ("4750", """
        touch f; chmod 640 f; chmod u+x,g-r,o=w f; stat -c '%a %A' f; chmod 4750 f; stat -c %a f
        mkdir -m 700 m; chmod +t m; stat -c %A m; chmod -v 600 f; chown $(id -u):$(id -g) f
        chown -h $(id -u) f; echo $?; touch -d '2020-01-02 03:04:05 UTC' f; date -u -r f; stat -c %Y f
        touch -r f g; touch -a -d @5 g; stat -c '%X %Y' g; touch -c none; ls; stat -c %F /usr /dev/null
        stat none; echo $?; stat -f -c %T /proc; test -x m; echo $?; test f -nt g; echo $?"""),
    "text": ("100000", """
        seq 100000 | sort -R | sort -n | tail -1; seq 300000 | sort -S 100k -r | head -2
        printf 'a\\na\\nb\\n' | uniq -c; comm <(seq 3) <(seq 2 4); join <(echo 1 a) <(echo 1 b)
        seq 5 | shuf | sort | tr '\\n' ' '; cut -d: -f1 /etc/passwd | head -2; tac <(seq 3)
        seq 10 >s; wc s; head -n -8 s; tail -n 2 s; tail -n +9 s; nl s | tail -1; od -c s | head -2
        seq 10 | tee t1 t2 | wc -l; cmp t1 t2; tee -a t1 <t2 >/dev/null; wc -l t1"""),
    "follow": ("second", """
        (sleep 0.3; echo second >>log; sleep 0.3; echo third >>log) & echo first >log
        timeout 2 tail -f log; echo $?; wait; timeout 2 tail -s 0.1 -F later 2>/dev/null &
        sleep 0.5; echo new >later; wait; sleep 0.5 & timeout 9 tail --pid=$! -f log; echo $?"""),
    "split": ("30 xaa", """
        seq 100 >s; split -l 30 s; wc -l xaa; ls x*; split -n 3 -d s p; cat p* | cmp - s; ls p*
        split --filter='wc -l' -l 50 s; csplit s 20 50; ls xx*; split -b 100 s bb; ls bb*"""),
    "sizes": ("1024", """
        truncate -s 1000 t; truncate -s +24 t; stat -c %s t; truncate -s 0 t; stat -c %s t
        dd if=/dev/zero of=z bs=1k count=10 status=none; stat -c %s z
        seq 100 | dd of=z conv=notrunc bs=10 seek=2 status=none; stat -c %s z
        dd if=z bs=1 skip=25 count=5 status=none; dd if=z of=/dev/full bs=1 count=1 status=none; echo $?
        fallocate -l 5000 a; stat -c %s a; sync a; du -b z; du -s --apparent-size z; df . | wc -l
        df --output=fstype /proc; sha256sum z; md5sum z >m; md5sum -c m; cksum z; shred -u -n1 a; ls"""),
    "fifos": ("through", """
        mkfifo f; (echo through >f &); cat f; stat -c %F f; test -p f && echo fifo
        timeout 0.3 cat f; echo $?; mknod g p; (cat g >got) & echo x >g; wait; cat got"""),
    "find": ("./d/f", """
        mkdir d; touch d/f; echo x >d/g; ln -s d/f s; find . | sort; find . -type f -size +0
        find . -type l; find . -name f -exec ls {} +; find . -name '[fg]' -print0 | xargs -0 ls
        find . -empty | sort; find . -name g -delete; ls d; find -L . -type f | sort; find none; echo $?
        find . -execdir pwd \\; | sort -u; find / -maxdepth 1 -name etc
        seq 10 | xargs -n 3 echo; seq 4 | xargs -P 4 -I{} sh -c 'echo {}' | sort; echo | xargs false
        echo $?; seq 20000 | xargs echo | wc -w"""),
    "running": ("nohup ran", """
        timeout 0.2 sleep 9; echo $?; timeout -s KILL 0.2 sleep 9; echo $?; timeout 9 sh -c 'exit 3'
        echo $?; nohup sh -c 'echo nohup ran' 2>/dev/null; env -i A=1 /usr/bin/env; env -C / pwd
        nice -n 5 nice; setsid sh -c 'echo session'; stdbuf -oL echo buffered; flock l echo locked
        flock l sh -c 'flock -n l echo no'; echo $?; taskset -c 0 echo bound; nosuch; echo $?"""),
    "identity": ("/", """
        id; id -u; id -un; groups; whoami; uname -s -m -o; nproc; nproc --all; date -u -d @0
        TZ=Europe/Paris date -d @0; tty; echo $?; stty; echo $?; who | wc -l; env -C / pwd
        getconf PAGESIZE; cat /proc/self/comm; uptime | wc -l; logname; getent passwd root"""),
    "archives": ("same", """
        mkdir d; seq 1000 >d/s; ln -s s d/l; ln d/s d/h; tar cf a.tar d; tar tf a.tar | sort
        mkdir x; tar xf a.tar -C x; diff -r d x/d && echo same; stat -c %h x/d/s
        gzip -k d/s -c >s.gz; zcat s.gz | cmp - d/s; xz -c d/s | xzcat | cmp - d/s
        sed -i s/1000/end/ d/s; tail -1 d/s; grep -r end d | sort; awk '{n+=$1} END {print n}' d/s"""),
}


@pytest.mark.parametrize("name", COREUTILS)
def test_coreutils(name: str) -> None:
    expected, script = COREUTILS[name]
    compare(["bash", "-c"], script, expected)


def test_temporary_names() -> None:
    got = run("/bin/bash", "-c", PREAMBLE + "f=$(mktemp); test -f $f && stat -c %a $f; rm $f;"
              "d=$(mktemp -d -p .); test -d $d && stat -c %a $d; mktemp XX; echo $?").ok()
    assert got.out == "600\n700\n1\n"


SH = ("alive", """
    f() { local x=1; echo $x; }; f; echo a | { read y; echo $y; }; kill -0 $$ && echo alive
    cat <<E
$((2*3))
E
    (exit 5); echo $?; sleep 9 & kill $!; wait $!; echo $?; ulimit -n; umask; command -v ls
    (trap 'echo bye' EXIT); exec 3>f3; echo f >&3; cat f3; for i in *; do echo $i; done""")


@pytest.mark.parametrize("shell", [["dash", "-c"], ["busybox", "sh", "-c"]], ids=str)
def test_small_shells(shell: list[str]) -> None:
    expected, script = SH
    compare(shell, script, expected)


def test_busybox() -> None:
    compare(["busybox", "sh", "-c"], """
        B=$(command -v busybox); $B mkdir a; $B touch a/b; $B cp -r a c; $B mv c e; $B ls e
        $B find . | $B sort; $B rm -r e; $B ln -s a l; $B readlink l; $B stat -c %F a
        $B tar cf t.tar a; $B tar tf t.tar; $B gzip -k t.tar; $B ls; $B id -u; $B seq 3 | $B xargs
        $B dd if=/dev/zero of=z bs=1k count=2 2>/dev/null; $B wc -c z; $B timeout 1 $B sleep 9; echo $?
        $B mkfifo f; ($B echo x >f &); $B cat f; $B install -m 600 z y; $B stat -c %a y
        $B awk 'BEGIN { print 6 * 7 }'; $B sha256sum z; $B env -i A=1 $B env; $B flock k echo locked
        $B ash -c 'sleep 9 & kill %1; wait %1; echo $?'; $B ps | $B head -1""", "42")


def test_perl() -> None:
    compare(["perl", "-e"], r"""
        use strict; use Socket; use IO::Handle; use File::Temp; $| = 1;
        my $d = File::Temp::tempdir(CLEANUP => 1); chdir $d;
        my $p = fork(); if (!$p) { exit 3 } waitpid $p, 0; print $? >> 8, "\n";
        pipe(my $r, my $w); if (!fork) { close $r; print $w "piped\n"; close $w; exec "true" }
        close $w; print <$r>; wait; print `echo back; exit 2`, $? >> 8, "\n";
        open(my $h, "|-", "cat") or die; print $h "to cat\n"; close $h;
        socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC); $a->autoflush;
        print $a "pair\n"; print scalar <$b>;
        socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind $s, sockaddr_un("$d/s"); listen $s, 1;
        if (!fork) { socket(my $c, PF_UNIX, SOCK_STREAM, 0); connect $c, sockaddr_un("$d/s") or die;
            $c->autoflush; print $c "by socket\n"; close $c; exec "true" }
        accept(my $k, $s); print <$k>; wait; $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; sleep 9;
        open(my $f, ">", "x"); print $f "1"; close $f; print -s "x", "\n"; rename "x", "y";
        symlink "y", "z"; print readlink("z"), " ", join(",", glob("*")), "\n";
        system("sh", "-c", 'kill -9 $$'); print $? & 127, "\n"; chdir "/";""",
        "by socket", preamble="")


NODE = r"""
const fs = require('fs'), cp = require('child_process'), os = require('os'), net = require('net');
const path = require('path'), threads = require('worker_threads');
const here = fs.mkdtempSync(path.join(os.tmpdir(), 'case.')); process.chdir(here);
const show = async (name, work) => {
  try { console.log(name, JSON.stringify(await work())); }
  catch (e) { console.log(name, 'failed', e.code, e.message); } };
const ended = p => new Promise(done => { let out = ''; if (p.stdout) p.stdout.on('data', d => out += d);
  p.on('error', e => done(e.code)); p.on('close', (code, signal) => done([out, code, signal])); });
(async () => {
  await show('files', () => { fs.writeFileSync('a', '1'); fs.appendFileSync('a', '2');
    fs.mkdirSync('x/y', { recursive: true }); fs.copyFileSync('a', 'x/b');
    fs.cpSync('x', 'z', { recursive: true }); fs.renameSync('a', 'c'); fs.symlinkSync('c', 'l');
    fs.linkSync('c', 'h'); fs.rmSync('z', { recursive: true });
    return [fs.readdirSync('.').sort(), fs.readFileSync('l', 'utf8'), fs.statSync('c').nlink,
            fs.realpathSync('l') == here + '/c', fs.existsSync('z')]; });
  await show('promises', async () => { await fs.promises.writeFile('p', 'x'.repeat(100000));
    await fs.promises.utimes('p', 1, 2); const s = await fs.promises.stat('p');
    return [s.size, s.mtimeMs]; });
  await show('streams', () => new Promise((done, failed) => fs.createReadStream('p')
    .pipe(fs.createWriteStream('q')).on('finish', () => done(fs.statSync('q').size)).on('error', failed)));
  await show('exec', () => cp.execSync('echo hi; exit 0').toString());
  await show('spawn', () => { const p = cp.spawn('cat'); p.stdin.end('input'); return ended(p); });
  await show('kill', () => { const p = cp.spawn('sleep', ['20']); p.kill(); return ended(p); });
  await show('missing', () => ended(cp.spawn('no-such-program')));
  await show('fork', () => new Promise(done => {
    fs.writeFileSync('child.js', 'process.on("message", m => { process.send(m + 1); process.disconnect(); })');
    const p = cp.fork('./child.js'); p.on('message', done); p.send(41); }));
  await show('workers', () => Promise.all([1, 2, 3].map(n => new Promise((done, failed) =>
    new threads.Worker('require("worker_threads").parentPort.postMessage(' + n + ' * 2)', { eval: true })
      .on('message', done).on('error', failed)))));
  await show('watchFile', () => new Promise(done => { fs.watchFile('c', { interval: 50 },
    now => { fs.unwatchFile('c'); done(now.size); }); setTimeout(() => fs.writeFileSync('c', '12345'), 200); }));
  await show('watch a file', () => new Promise(done => { const w = fs.watch('c', event => {
    w.close(); done(event); }); setTimeout(() => fs.appendFileSync('c', '6'), 200); }));
  await show('socket', () => new Promise((done, failed) => { const s = net.createServer(k => k.end('bye'))
    .listen('s', () => net.connect('s').on('data', d => { s.close(); done(d.toString()); })
    .on('error', failed)); }));
  await show('modules', () => { fs.writeFileSync('m.mjs', 'import fs from "fs"; console.log(typeof fs.readFileSync)');
    return cp.execFileSync(process.execPath, ['m.mjs']).toString(); });
  process.chdir('/'); fs.rmSync(here, { recursive: true });
})();
"""


def test_node() -> None:
    compare(["node", "-e"], NODE, 'workers [2,4,6]', preamble="")


# ---- redirections into files of /proc ----

@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_redirections_into_proc(shell: str) -> None:
    got = run(shell, "-c", """
echo 500 >/proc/self/oom_score_adj && cat /proc/self/oom_score_adj
for i in 1 2 3 4 5 6 7 8 9; do echo name$i >/proc/sys/kernel/hostname; done
uname -n
exec 3>/proc/sys/kernel/hostname
printf first >&3; uname -n
printf second >&3; uname -n
echo 100 >/proc/sys/vm/swappiness; cat /proc/sys/vm/swappiness
""", options=["--uid", "0"]).ok()
    assert (got.out.split(), got.err) == (["500", "name9", "first", "second", "100"], "")


def test_redirection_that_fails_is_told() -> None:
    got = run("sh", "-c", "echo junk >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj",
              options=["--uid", "0"])
    assert got.out == "0\n"
    assert got.denials() == [
        "cerebro: denied: write to a file of /proc (the program was told that its write had worked); "
        "to allow: write with tee or sysctl -w, which see errors"]


def test_redirection_of_a_flood_ends() -> None:
    got = run("sh", "-c", "yes >/proc/self/oom_score_adj; echo $?", options=["--uid", "0"], timeout=20)
    assert got.out == "1\n" and "Resource temporarily unavailable" in got.err


def test_redirections_leave_no_descriptor() -> None:
    got = run("bash", "-c", """
for i in {1..300}; do echo n$i >/proc/sys/kernel/hostname; done
uname -n; ls /proc/self/fd | wc -l
""", options=["--uid", "0"]).ok()
    assert got.out.split()[0] == "n300" and int(got.out.split()[1]) < 10, str(got)
