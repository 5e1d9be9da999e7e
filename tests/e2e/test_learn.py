"""`cerebro learn`: the profile of a run is enough for another such run, and little more."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness import CEREBRO, NATIVE, WRAPPER, Result, cerebro
from home import HOST, Home, home, web

pytestmark = pytest.mark.skipif(NATIVE, reason="profiles are Cerebro's own")


def learn(home: Home, *words: str, **how) -> Result:  # type: ignore[no-untyped-def]
    return cerebro("learn", *words, cwd=home.project, env=home.env, **how)


def test_a_learned_profile_is_enough_and_little_more(home: Home) -> None:
    (home.project / "in").write_text("41")
    (home.path / ".toolrc").write_text("1")
    (home.project / "tool").write_text(
        "#!/bin/sh\nread a < in\nread b < ~/.toolrc\necho $((a + b)) > out\n"
        "mkdir -p ~/.cache/tool && echo x > ~/.cache/tool/x\necho t > /tmp/t\nawk 'BEGIN {print 1}'\n")
    (home.project / "tool").chmod(0o755)
    assert learn(home, "./tool").ok().out == "1\n"
    text = (home.project / "tool.yaml").read_text()
    assert "~/.toolrc" in text and "/usr" in text and "view: minimal" in text, text
    assert ".ssh" not in text and str(home.path) not in text, text
    assert not (home.project / "out").exists()
    assert home.run("./tool.yaml", "./tool").ok().out == "1\n"
    assert (home.project / "out").read_text() == "42\n"
    done = home.run("./tool.yaml", "/bin/sh", "-c", "cat ~/diary ~/.ssh/id /etc/passwd; ls ~")
    assert "SECRET" not in done.out and "root:" not in done.out and "diary" not in done.out


def test_learning_python_and_a_tree_of_files(home: Home) -> None:
    package = home.path / "lib/package"
    package.mkdir(parents=True)
    for i in range(12):
        (package / f"m{i}.py").write_text(f"N = {i}\n")
    (package / "__init__.py").write_text(
        "".join(f"from .m{i} import N as N{i}\n" for i in range(12)))
    program = ("/usr/bin/python3", "-B", "-c",
               f"import sys; sys.path.insert(0, '{home.path}/lib'); import package; print(package.N7)")
    learn(home, "--output", "p.yaml", "--", *program).ok()
    text = (home.project / "p.yaml").read_text()
    # Python lists what is on its search path.
    assert '- "~/lib"' in text and "m3.py" not in text, text
    assert home.run("./p.yaml", *program).ok().out == "7\n"


def test_learning_the_network(home: Home, web: int) -> None:
    program = ("/usr/bin/python3", "-c",
               f"import socket; socket.create_connection(('{HOST}', {web})); print('yes')")
    refused = learn(home, "--output", "none.yaml", "--", *program)
    assert refused.status == 1
    text = (home.project / "none.yaml").read_text()
    assert "mode: none" in text and f"connect to {HOST}:{web}: network is off" in text
    learn(home, "--output", "host.yaml", "--net", "host", "--", *program).ok()
    assert "mode: host" in (home.project / "host.yaml").read_text()
    assert home.run("./host.yaml", *program).ok().out == "yes\n"


def test_network_rules_become_part_of_the_profile(home: Home, web: int) -> None:
    program = ("/usr/bin/python3", "-c", "import socket, sys\n"
               "for address in sys.argv[1:]:\n"
               f"    try:\n        socket.create_connection((address, {web})); print('yes')\n"
               "    except OSError as error:\n        print(error.strerror)\n")
    rules = ("--allow-net", f"127.0.0.1:{web}", "--allow-net", f"localhost:{web}",
             "--deny-net", "[::1]:1-9")
    assert learn(home, "--output", "p.yaml", *rules, "--", *program, HOST).ok().out == "yes\n"
    text = (home.project / "p.yaml").read_text()
    assert (f'mode: host\n  allow:\n    - "127.0.0.1:{web}"\n    - "localhost:{web}"\n'
            '  deny:\n    - "[::1]:1-9"\n') in text, text
    assert home.run("./p.yaml", *program, HOST, "127.0.0.2").ok().out == "yes\nPermission denied\n"


def test_learning_and_bad_use(home: Home) -> None:
    (home.project / "true.yaml").write_text("mine\n")
    done = learn(home, "/bin/true")
    assert done.status == 125 and (home.project / "true.yaml").read_text() == "mine\n"
    done = learn(home, "--output", "new.yaml", "/no/program")
    assert done.status == 125 and not (home.project / "new.yaml").exists(), str(done)
    for words in (("--profile", "git", "/bin/true"), ("--view", "minimal", "/bin/true"),
                  ("--bind", "/usr:/x", "/bin/true"), ()):
        assert learn(home, *words).status == 2
    assert cerebro("explain").status == 2
    assert cerebro("explain", "nosuch").status == 1
    assert "view: minimal" in learn(home, "--output", "-", "/bin/true").ok().out


# ---- where it is written to ----

def entries(home: Home) -> list[str]:
    return sorted(path.name for path in home.project.iterdir())


def test_a_failed_run_leaves_an_existing_file_alone(home: Home) -> None:
    mine = home.project / "mine.yaml"
    mine.write_text("# mine\n")
    (home.project / "link").symlink_to("mine.yaml")
    for name in ("mine.yaml", "link"):
        done = learn(home, "--output", name, "/no/program")
        assert done.status == 125 and "cannot run /no/program" in done.err, str(done)
        assert mine.read_text() == "# mine\n"
    assert entries(home) == ["link", "mine.yaml"]


def test_an_existing_file_is_replaced_with_its_rights(home: Home, is_root: bool) -> None:
    mine = home.project / "mine.yaml"
    mine.write_text("#" * 9000)
    mine.chmod(0o640)
    if is_root:
        os.chown(mine, 1, 2)
    before = mine.stat()
    (home.project / "link").symlink_to("mine.yaml")
    learn(home, "--output", "link", "/bin/true").ok()
    after = mine.stat()
    assert mine.read_text().startswith("# What a run of /bin/true needed")
    assert "###" not in mine.read_text() and after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid,
                                                           before.st_gid)
    assert (home.project / "link").is_symlink() and entries(home) == ["link", "mine.yaml"]


def test_a_file_in_a_directory_that_cannot_be_written(home: Home, is_root: bool) -> None:
    if is_root:
        pytest.skip("root writes everywhere")
    mine = home.project / "mine.yaml"
    mine.write_text("#" * 9000)
    home.project.chmod(0o555)
    try:
        learn(home, "--output", "mine.yaml", "/bin/true").ok()
        assert "view: minimal" in mine.read_text() and "###" not in mine.read_text()
        assert learn(home, "--output", "new.yaml", "/bin/true").status == 125
        mine.chmod(0o444)
        done = learn(home, "--output", "mine.yaml", "/bin/echo", "ran")
        assert done.status == 125 and "ran" not in done.out and "Permission denied" in done.err
    finally:
        home.project.chmod(0o755)


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_what_standard_output_holds_stays(home: Home, output: str) -> None:
    """A log that is appended to, and one that is written from its beginning."""
    log = home.project / "log"
    log.write_text("before\n")
    words = [*WRAPPER, CEREBRO, "learn", "--output", output, "--", "/bin/echo", "echoed"]
    for mode, begin in (("ab", "before\nechoed\n# What"), ("wb", "echoed\n# What")):
        with log.open(mode) as file:
            subprocess.run(words, stdout=file, cwd=home.project, env=home.env, check=True, timeout=60)
        text = log.read_text()
        assert text.startswith(begin) and "view: minimal" in text, text


def test_a_pipe_and_a_device_are_written_to(home: Home) -> None:
    words = [*WRAPPER, CEREBRO, "learn", "--output", "/dev/fd/%d", "--", "/bin/true"]
    reader, writer = os.pipe()
    try:
        words[words.index("/dev/fd/%d")] = f"/dev/fd/{writer}"
        done = subprocess.run(words, pass_fds=[writer], cwd=home.project, env=home.env,
                              capture_output=True, text=True, check=True, timeout=60)
        assert "view: minimal" in os.read(reader, 65536).decode()
        assert "written to" not in done.stderr
    finally:
        os.close(reader)
        os.close(writer)
    learn(home, "--output", "/dev/null", "/bin/true").ok()
    assert entries(home) == []


# ---- much ----

READ_ALL = """
import sys
print(sum(len(open(line[:-1]).read()) for line in open(sys.argv[1])))
"""


def make_files(root: Path, folders: int, files: int) -> None:
    """Files of one byte, spread over directories; ./list names them."""
    names = [root / f"d{i % folders}" / f"f{i}" for i in range(files)]
    for name in names[:folders]:
        name.parent.mkdir(parents=True)
    for name in names:
        name.write_text("x")
    (root / "list").write_text("".join(f"{name}\n" for name in names))


def test_learning_thousands_of_files(home: Home) -> None:
    """What does not fit into a profile one by one is told as directories, and not in the square of
    the time."""
    root = home.path / "data/tree"
    make_files(root, folders=600, files=2000)
    (root.parent / "other").write_text("SECRET")
    program = ("/usr/bin/python3", "-c", READ_ALL, str(root / "list"))
    done = learn(home, "--output", "p.yaml", "--", *program, timeout=120).ok()
    assert done.out == "2000\n" and done.seconds < 60, str(done)
    text = (home.project / "p.yaml").read_text()
    assert '- "~/data/tree"\n' in text and "/d7" not in text and '- "~/data"\n' not in text, text
    assert home.run("./p.yaml", *program, timeout=120).ok().out == "2000\n"
    done = home.run("./p.yaml", "/bin/cat", str(root.parent / "other"), str(home.path / "diary"))
    assert "SECRET" not in done.out


def test_what_no_profile_can_hold_is_told(home: Home) -> None:
    """The home directory is not opened as a whole, unless the user says so."""
    make_files(home.path, folders=600, files=600)
    program = ("/usr/bin/python3", "-c", READ_ALL, f"{home.path}/list")
    done = learn(home, "--output", "p.yaml", "--", *program, timeout=120)
    assert done.status == 125 and done.out == "600\n" and entries(home) == [], str(done)
    assert "more than one can hold\n  try: say what may be read as a whole: --bind" in done.err
    assert "did not run to its end" not in done.err
    learn(home, "--output", "p.yaml", "--bind", f"{home.path}:ro", "--", *program, timeout=120).ok()
    assert home.run("./p.yaml", *program, timeout=120).ok().out == "600\n"
