"""What paths in profiles do: what is made, what lies in other places, what does not come in; and the
same on trial."""

from __future__ import annotations

import json
import os
import stat
import subprocess

import pytest

from harness import NATIVE, cerebro, run, run_argv
from home import HOST, Home, home, web

pytestmark = pytest.mark.skipif(NATIVE, reason="profiles are Cerebro's own")


def test_the_home_directory_of_a_minimal_view_is_the_users(home: Home) -> None:
    home.path.chmod(0o750)
    (home.project / "v.yaml").write_text(
        "extends: base\nview: minimal\npaths: {write: [.], directories: [/no/such]}\n")
    wanted, root = os.stat(home.path), os.stat("/")
    done = home.run("./v.yaml", "/bin/stat", "-c", "%u:%g %a", home.path, "/", "/no/such").ok()
    assert done.out.splitlines() == [f"{wanted.st_uid}:{wanted.st_gid} 750",
                                     f"{root.st_uid}:{root.st_gid} {stat.S_IMODE(root.st_mode):o}",
                                     "0:0 755"], str(done)
    done = home.run("./v.yaml", "/bin/sh", "-c", "id -u; stat -c %u ~", options=("--uid", "7")).ok()
    assert done.out == "7\n7\n", str(done)


def test_a_directory_that_is_made(home: Home) -> None:
    (home.project / "c.yaml").write_text(
        "extends: base\nview: minimal\npaths: {create: [~/a/b, ~/diary]}\n")
    told = cerebro("explain", "./c.yaml", cwd=home.project, env=home.env).ok().out
    assert f"reads and writes {home.path}/a/b (will be made)" in told, told
    assert f"--write {home.path}/a/b " in told and not (home.path / "a").exists(), told
    script = "echo x > ~/a/b/file && cat ~/a/b/file ~/diary; echo x > ~/a/other"
    done = home.run("./c.yaml", "/bin/sh", "-c", script)
    assert done.out == "x\nSECRET\n" and "Read-only file system" in done.err, str(done)
    assert (home.path / "a/b/file").read_text() == "x\n"
    assert [stat.S_IMODE((home.path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700] * 2


def test_a_directory_that_cannot_be_made(home: Home) -> None:
    (home.path / "link").symlink_to("nowhere")
    for path, sentence, hint in (
            ("diary/d", "cannot make {} for the program: Not a directory", "make it yourself"),
            ("link", "cannot open {} to the program: No such file", "name a path that exists")):
        (home.project / "c.yaml").write_text(f"paths: {{create: [~/{path}]}}\n")
        done = home.run("./c.yaml", "/bin/echo", "ran")
        assert done.status == 125 and "ran" not in done.out, str(done)
        assert sentence.format(home.path / path) in done.err, str(done)
        assert f"try: {hint}" in done.err, str(done)


@pytest.mark.parametrize("options", [
    ("--profile", "untrusted-binary"), ("--view", "minimal", "--bind", "/usr:ro"),
    ("--view", "minimal", "--bind", "/usr:ro", "--report-only")])
def test_descriptors_do_not_come_into_a_minimal_view(home: Home, options: tuple[str, ...]) -> None:
    program = ("/bin/sh", "-c", 'echo words | cat; cat "/proc/self/fd/$0"; exit 0')
    with (home.path / ".ssh/id").open() as secret:
        number = secret.fileno()

        def inherit(*how: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(run_argv((*program, str(number)), how), pass_fds=[number],
                                  env=home.env, cwd=home.project, capture_output=True, text=True,
                                  timeout=60)

        assert inherit().stdout == "words\nSECRET\n"  # in other views it does
        done = inherit(*options)
    if "--report-only" in options:
        assert f"would be denied: descriptor {number} ({home.path}/.ssh/id)" in done.stderr
        assert done.stdout == "words\nSECRET\n", done
        assert done.stderr.count("denied: descriptor ") == 1, done.stderr
    else:
        assert done.stdout == "words\n" and "SECRET" not in done.stderr, done


def test_what_is_missing_below_a_file(home: Home) -> None:
    (home.project / "v.yaml").write_text(
        "extends: base\nview: minimal\npaths: {read: [~/diary/a/b, .], write: [./v.yaml/c]}\n")
    assert home.run("./v.yaml", "/bin/echo", "ran").ok().out == "ran\n"
    done = run("/bin/echo", "ran", options=("--bind", f"{home.path}/diary/a"), env=home.env)
    assert done.status == 125 and "name a path that exists" in done.err, str(done)


@pytest.mark.parametrize("kind", ["scratch", "directories"])
def test_scratch_in_another_place(home: Home, kind: str) -> None:
    text = "extends: base\nview: minimal\npaths: {{{}: [.], {}: [./a/b]}}\n"
    (home.path / "v.yaml").write_text(text.format("read", kind))
    done = home.run("../v.yaml", "/bin/echo", "ran")
    assert done.status == 125 and f"{home.project}/a/b" in done.err, str(done)
    assert "Read-only file system" in done.err and "make the directory on the host" in done.err
    (home.project / "a/b").mkdir(parents=True)
    assert home.run("../v.yaml", "/bin/echo", "ran").ok().out == "ran\n"
    (home.project / "a/b").rmdir()
    (home.project / "a").rmdir()
    (home.path / "v.yaml").write_text(text.format("write", kind))
    script = "echo x > a/b/file && cat a/b/file; echo x > file"
    assert home.run("../v.yaml", "/bin/sh", "-c", script).ok().out == "x\n"
    # In a place that is written to, it is made on the host; what is written to it stays in memory.
    assert os.listdir(home.project / "a/b") == ([] if kind == "scratch" else ["file"])


def test_a_start_that_fails_late_ends_at_once(home: Home) -> None:
    """The first process waits already; with denied calls it makes none itself while it does."""
    many = ", ".join(f"/many/{i}/{i}" for i in range(300))  # it takes longer than the process
    (home.project / "v.yaml").write_text(
        f"view: minimal\npaths: {{directories: [{many}]}}\ncalls: {{deny: ptrace}}\n")
    for _ in range(3):
        done = home.run("./v.yaml", "/bin/echo", "ran", options=("--cwd", "/no/such"))
        assert done.status == 125 and "cannot start in /no/such" in done.err, str(done)
        assert done.seconds < 8, str(done)  # it was 11, when nobody waited for it any more


# ---- on trial ----

def test_report_only(home: Home, web: int) -> None:
    (home.project / "try.yaml").write_text(
        "mode: report\nview: minimal\npaths:\n  read: [/usr, /etc/ld.so.cache]\n  hide: [~/.ssh]\n"
        "calls: {deny: [mkdir, getppid]}\n")
    script = ("import os, socket\n"
              "print(open(os.path.expanduser('~/.ssh/id')).read())\n"
              "print(open('/etc/passwd').readline())\n"
              "os.getppid(); os.mkdir('made'); print(os.path.isdir('made'))\n"
              f"socket.create_connection(('{HOST}', {web})); print('connected')\n")
    log = home.path / "log"
    done = home.run("./try.yaml", "/usr/bin/python3", "-c", script, options=("--audit", str(log)))
    assert done.status == 0 and "SECRET" in done.out and "root:" in done.out, str(done)
    assert "True\nconnected" in done.out
    told = [line for line in done.err.splitlines() if line.startswith("cerebro: would be denied: ")]
    for part in (f"read {home.path}/.ssh/id (it is hidden)", "read /etc/passwd (it is not part",
                 "system call mkdir", "system call getppid", f"connect to {HOST}:{web}"):
        assert any(part in line for line in told), (part, str(done))
    assert not done.denials() and not any("/usr/lib" in line for line in told)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    reported = [record for record in records if record["event"] == "reported"]
    assert any(record["what"] == "system call mkdir" and record["answer"] == "EPERM"
               for record in reported)
    assert not (home.project / "made").exists()


def test_report_only_of_a_read_only_path(home: Home) -> None:
    done = run("/bin/sh", "-c", "echo x > ~/diary && cat ~/diary", env=home.env,
               options=("--report-only", "--bind", f"{home.path}:ro"))
    assert done.out == "x\n" and "would be denied: write to" in done.err, str(done)
    assert (home.path / "diary").read_text() == "SECRET\n"


def test_report_only_of_a_scratch_directory(home: Home) -> None:
    (home.project / "file").write_text("mine\n")
    (home.path / "link").symlink_to(home.project)
    script = ("cat ~/diary; cat ~/project/file; cat ~/link/file; echo x > ~/new && cat ~/new; "
              "test -e ~/.ssh/id; ls ~ > /dev/null")
    options = ("--scratch", home.path, "--bind", f"{home.project}:ro")
    tried = run("/bin/sh", "-c", script, env=home.env, options=("--report-only", *options))
    assert tried.ok().out == "SECRET\nmine\nmine\nx\n", str(tried)
    told = sorted(line.split("denied: ")[1].split(" (")[0] for line in tried.err.splitlines())
    assert told == [f"look at {home.path}/.ssh/id", f"look at {home.path}/link/file",
                    f"read {home.path}/diary"], str(tried)
    assert not (home.path / "new").exists()
    # As it is when it counts.
    done = run("/bin/sh", "-c", script, env=home.env, options=options)
    assert done.out == "mine\nx\n" and done.err.count("No such file") == 2, str(done)


def test_report_only_of_a_scratch_directory_of_others(home: Home) -> None:
    """It can be written to, as it can be when it counts."""
    done = run("/bin/sh", "-c", "echo x > /var/lib/new && cat /var/lib/new && test -d /var/lib/dpkg",
               env=home.env, options=("--report-only", "--scratch", "/var/lib"))
    assert done.ok().out == "x\n", str(done)
    told = [line.split(" (")[0] for line in done.err.splitlines()]
    assert told == ["cerebro: would be denied: look at /var/lib/dpkg"], str(done)
