"""Programs that watch directories: the same events as natively, wherever the directory is."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from harness import NATIVE, base_environment, run, run_argv, supervisor_of, tool
from test_idle import cpu_ns

PLACES = ["memory", "host"] if NATIVE else ["memory", "layer", "host"]


def need(name: str) -> None:
    if tool(name) is None:
        pytest.skip(f"not installed: {name}")


def place_of(place: str, work: Path) -> tuple[list[object], str]:
    """Options of `cerebro run` and the directory in which to work."""
    return (["--write", work] if place == "host" else []), "/tmp" if place == "memory" else str(work)


NODE = """
const fs = require('fs');
const dir = fs.mkdtempSync(process.argv[2] + '/watch-');
const seen = [];
const note = (event, name) => seen.push(event + ' ' + name);
const step = (action) => new Promise((done) => { action(); setTimeout(done, 60); });
(async () => {
  const plain = fs.watch(dir, note);
  await step(() => fs.writeFileSync(dir + '/a', '1'));
  await step(() => fs.appendFileSync(dir + '/a', '2'));
  await step(() => fs.renameSync(dir + '/a', dir + '/b'));
  await step(() => fs.unlinkSync(dir + '/b'));
  plain.close();
  const deep = fs.watch(dir, { recursive: true }, note);
  await step(() => fs.mkdirSync(dir + '/sub'));
  await step(() => fs.writeFileSync(dir + '/sub/x', '1'));
  deep.close();
  console.log([...new Set(seen)].join('|'));
  fs.rmSync(dir, { recursive: true });
})().catch((error) => { console.log(error.code); process.exit(1); });
"""


@pytest.mark.parametrize("place", PLACES)
def test_node(place: str, work: Path) -> None:
    need("node")
    (work / "watch.js").write_text(NODE)
    options, folder = place_of(place, work)
    got = run("node", work / "watch.js", folder, options=options, timeout=60)
    assert got.ok().out.strip() in (
        "rename a|change a|rename b|rename sub|rename sub/x",
        "rename a|change a|rename b|rename sub"), str(got)  # node before 20 is not recursive


INOTIFYWAIT = """
cd "$1"; mkdir watched; cd watched; echo 0 >before
inotifywait -q -m -r -e modify,close_write,create,delete,move,attrib --format '%w %e %f' . \
    >>../log 2>&1 & waiter=$!
until grep -q 'CREATE,ISDIR start' ../log; do mkdir start; sleep 0.05; rmdir start; done
sleep 0.3; : >../log
echo 1 >>before; echo 1 >a; mkdir sub; sleep 0.3
echo 2 >sub/x; mv a sub/b; rm sub/x; chmod 600 sub/b; mv sub/b c; rm c before
for i in $(seq 100); do grep -q 'DELETE before' ../log && break; sleep 0.05; done
kill $waiter; cat ../log; cd ..; rm -r watched log
"""
EVENTS = """\
./ MODIFY before
./ CLOSE_WRITE,CLOSE before
./ CREATE a
./ MODIFY a
./ CLOSE_WRITE,CLOSE a
./ CREATE,ISDIR sub
./sub/ CREATE x
./sub/ MODIFY x
./sub/ CLOSE_WRITE,CLOSE x
./ MOVED_FROM a
./sub/ MOVED_TO b
./sub/ DELETE x
./sub/ ATTRIB b
./sub/ MOVED_FROM b
./ MOVED_TO c
./ DELETE c
./ DELETE before
"""


@pytest.mark.parametrize("place", PLACES)
def test_inotifywait(place: str, work: Path) -> None:
    need("inotifywait")
    options, folder = place_of(place, work)
    got = run("bash", "-c", INOTIFYWAIT, "bash", folder, options=options, timeout=60)
    assert got.ok().out == EVENTS


READER = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
notify = libc.inotify_init1(0)
assert libc.inotify_add_watch(notify, os.fsencode(sys.argv[1]), 0xfff) > 0
print("ready", flush=True)
while True:
    events = os.read(notify, 4096)
    while events:
        number, mask, cookie, length = struct.unpack("iIII", events[:16])
        print(hex(mask), events[16:16 + length].rstrip(b"\\0").decode(), flush=True)
        events = events[16 + length:]
"""


def reader(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(run_argv(["/usr/bin/python3", "-c", READER, folder]),
                               stdout=subprocess.PIPE, text=True, start_new_session=True,
                               env=base_environment())
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def next_event(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.skipif(NATIVE, reason="about the layer")
def test_host_changes_the_lower_directory(work: Path) -> None:
    (work / "covered").write_text("lower")
    process = reader(work)
    try:
        (work / "new").mkdir()
        assert next_event(process) == "0x40000100 new"
        (work / "new").rename(work / "moved")
        assert [next_event(process), next_event(process)] == ["0x40000040 new", "0x40000080 moved"]
        (work / "moved").rmdir()
        assert next_event(process) == "0x40000200 moved"
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.skipif(NATIVE, reason="about the layer")
def test_what_a_layer_hides_is_not_told(work: Path) -> None:
    (work / "covered").write_text("lower")
    script = READER.replace('print("ready"', 'os.unlink(sys.argv[1] + "/covered"); print("ready"')
    process = subprocess.Popen(run_argv(["/usr/bin/python3", "-c", script, work]), text=True,
                               stdout=subprocess.PIPE, start_new_session=True,
                               env=base_environment())
    try:
        assert next_event(process) == "ready"
        assert next_event(process) == "0x200 covered"
        (work / "covered").write_text("changed on the host")
        (work / "covered").unlink()
        (work / "last").mkdir()
        assert next_event(process) == "0x40000100 last"
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.measure
@pytest.mark.skipif(NATIVE, reason="about the process kernel")
def test_waiting_costs_nothing(work: Path) -> None:
    process = reader(work)
    try:
        supervisor = supervisor_of(process.pid)
        assert supervisor
        time.sleep(0.5)
        before = cpu_ns(supervisor.pid)
        time.sleep(2)
        assert cpu_ns(supervisor.pid) - before < 10_000_000
    finally:
        process.terminate()
        process.communicate(timeout=10)
