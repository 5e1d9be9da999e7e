"""On a terminal: Ctrl-C, Ctrl-Z, job control inside and outside, and a sane terminal afterwards."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator

import pytest

sys.path.append("/usr/lib/python3/dist-packages")
pexpect = pytest.importorskip("pexpect")

from harness import base_environment, run_argv, tool  # noqa: E402

PROMPT = "ready> "


@pytest.fixture
def shell() -> Iterator["pexpect.spawn"]:
    """An interactive bash on a terminal of its own, outside of Cerebro."""
    child = pexpect.spawn("/bin/bash", ["--norc", "--noprofile", "-i"], encoding="utf-8",
                          timeout=15, dimensions=(30, 100),
                          env=base_environment(PS1=PROMPT, HISTFILE="/dev/null"))
    child.expect_exact(PROMPT)
    child.sendline("stty -echo; bind 'set enable-bracketed-paste off' 2>/dev/null")
    child.expect_exact(PROMPT)
    yield child
    child.sendline("exit")
    child.close(force=True)


def cerebro(*program: str) -> str:
    return shlex.join(run_argv(program))


def ask(shell: "pexpect.spawn", command: str) -> str:
    """Output of a command, up to the next prompt."""
    shell.sendline(command)
    shell.expect_exact(PROMPT)
    return shell.before.replace("\r", "")


def settle() -> None:
    """A shell that is just starting a program can lose Ctrl-C: natively, too."""
    time.sleep(0.3)


def settings(shell: "pexpect.spawn") -> str:
    return ask(shell, "stty -a")


def test_plain_output(shell: "pexpect.spawn") -> None:
    assert "a terminal\n" in ask(shell, cerebro("/bin/sh", "-c", "test -t 0 && echo a terminal"))


def test_ctrl_c_ends_the_program(shell: "pexpect.spawn") -> None:
    before = settings(shell)
    shell.sendline(cerebro("/bin/sh", "-c", "echo started; sleep 100; echo not reached"))
    shell.expect_exact("started")
    settle()
    shell.sendcontrol("c")
    shell.expect_exact(PROMPT)
    assert "not reached" not in shell.before
    assert ask(shell, "echo status $?").endswith("status 130\n")
    assert settings(shell) == before


def test_ctrl_c_reaches_a_handler(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/bin/bash", "-c", "trap 'echo caught; exit 7' INT; echo started; "
                                              "while :; do sleep 0.1; done"))
    shell.expect_exact("started")
    settle()
    shell.sendcontrol("c")
    shell.expect_exact("caught")
    shell.expect_exact(PROMPT)
    assert ask(shell, "echo status $?").endswith("status 7\n")


def test_ctrl_c_in_python(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/usr/bin/python3", "-c",
                           "print('started', flush=True)\nimport time\ntime.sleep(100)"))
    shell.expect_exact("started")
    settle()
    shell.sendcontrol("c")
    shell.expect_exact("KeyboardInterrupt")
    shell.expect_exact(PROMPT)


def test_ctrl_c_stops_the_shells_list(shell: "pexpect.spawn") -> None:
    """The shell goes on behind a program that ended by itself, not behind one that Ctrl-C killed."""
    shell.sendline(cerebro("/bin/sleep", "100") + "; echo the list went $((1 + 1))")
    settle()
    settle()
    shell.sendcontrol("c")
    shell.expect_exact(PROMPT)
    assert "the list went 2" not in shell.before
    assert ask(shell, "echo status $?").endswith("status 130\n")


def test_ctrl_c_that_the_program_handles(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/bin/bash", "-c", "trap 'exit 130' INT; echo started; "
                                              "while :; do sleep 0.1; done") +
                   "; echo the list went $((1 + 1))")
    shell.expect_exact("started")
    settle()
    shell.sendcontrol("c")
    shell.expect_exact("the list went 2")
    shell.expect_exact(PROMPT)


def test_ctrl_backslash(shell: "pexpect.spawn") -> None:
    shell.sendline("ulimit -c 0; " + cerebro("/bin/sh", "-c", "echo started; sleep 100"))
    shell.expect_exact("started")
    settle()
    shell.sendcontrol("\\")
    shell.expect_exact(PROMPT)
    assert ask(shell, "echo status $?").endswith("status 131\n")


def test_ctrl_z_and_fg(shell: "pexpect.spawn") -> None:
    before = settings(shell)
    shell.sendline(cerebro("/bin/bash", "-c", "for i in 1 2 3 4; do read x; echo got $x; done"))
    shell.sendline("one")
    shell.expect_exact("got one")
    for round_number in ("two", "three"):
        shell.sendcontrol("z")
        shell.expect_exact("Stopped")
        shell.expect_exact(PROMPT)
        assert "Stopped" in ask(shell, "jobs")
        assert "outer shell\n" in ask(shell, "echo outer shell")
        shell.sendline("fg")
        shell.sendline(round_number)
        shell.expect_exact(f"got {round_number}")
    shell.sendline("four")
    shell.expect_exact("got four")
    shell.expect_exact(PROMPT)
    assert ask(shell, "echo status $?").endswith("status 0\n")
    assert settings(shell) == before


def test_ctrl_z_and_bg(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/bin/sh", "-c", "echo started; sleep 1.5; echo finished >/dev/tty"))
    shell.expect_exact("started")
    settle()
    shell.sendcontrol("z")
    shell.expect_exact("Stopped")
    shell.expect_exact(PROMPT)
    shell.sendline("bg")
    shell.expect_exact("finished")
    assert "exit" not in ask(shell, "wait; echo all done")


# ---- the program decides when it stops, and the outer shell sees it ----

def stopped(shell: "pexpect.spawn") -> None:
    shell.expect_exact("Stopped")
    shell.expect_exact(PROMPT)


def test_program_that_stops_itself(shell: "pexpect.spawn") -> None:
    before = settings(shell)
    shell.sendline(cerebro("/bin/bash", "-c", "echo one; kill -STOP $$; echo two; kill -TSTP $$; "
                                              "echo three; read x; echo got $x"))
    shell.expect_exact("one")
    stopped(shell)
    assert "two" not in ask(shell, "sleep 0.3; echo outer shell")
    shell.sendline("fg")
    shell.expect_exact("two")
    stopped(shell)
    shell.sendline("fg")
    shell.expect_exact("three")
    shell.sendline("word")
    shell.expect_exact("got word")
    shell.expect_exact(PROMPT)
    assert ask(shell, "echo status $?").endswith("status 0\n")
    assert settings(shell) == before


def test_program_that_stops_itself_goes_on_in_the_background(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/bin/bash", "-c", "kill -STOP $$; sleep 0.3; echo goes on; exit 3"))
    stopped(shell)
    shown = ask(shell, "bg; wait %1; echo status $?")
    assert "goes on\n" in shown and "status 3\n" in shown


def test_ctrl_z_that_the_program_ignores(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/bin/bash", "-c", "trap '' TSTP; echo started; read x; echo got $x"))
    shell.expect_exact("started")
    settle()
    shell.sendcontrol("z")
    settle()
    shell.sendline("word")
    shell.expect_exact("got word")
    shell.expect_exact(PROMPT)
    assert "Stopped" not in shell.before


TIDY = """
import os, signal, time
def tidy(number, frame):
    time.sleep(0.3)
    print("tidied up", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    print("back again", flush=True)
signal.signal(signal.SIGTSTP, tidy)
print("started", flush=True)
print("got", input())
"""


def test_program_that_tidies_up_before_it_stops(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/usr/bin/python3", "-c", TIDY))
    shell.expect_exact("started")
    settle()
    for _ in range(2):
        shell.sendcontrol("z")
        shell.expect_exact("tidied up")
        stopped(shell)
        shell.sendline("fg")
        shell.expect_exact("back again")
    shell.sendline("word")
    shell.expect_exact("got word")
    shell.expect_exact(PROMPT)


def test_stopped_while_it_waits_in_a_served_call(shell: "pexpect.spawn") -> None:
    """Opening a FIFO waits in the process kernel; stops are as natural as in a native sleep."""
    shell.sendline(cerebro("/bin/bash", "-c",
                           "mkfifo /tmp/p; set -m; (sleep 3; echo through >/tmp/p) & set +m; "
                           "echo started; exec cat </tmp/p"))
    shell.expect_exact("started")
    settle()
    shell.sendcontrol("z")
    stopped(shell)
    shell.sendline("fg")
    settle()
    shell.sendcontrol("z")
    stopped(shell)
    shell.sendline("fg")
    shell.expect_exact("through")
    shell.expect_exact(PROMPT)


def test_inner_shell_suspends_itself(shell: "pexpect.spawn") -> None:
    before = settings(shell)
    shell.sendline(cerebro("/usr/bin/env", "PS1=inner> ", "/bin/bash", "--norc", "--noprofile", "-i"))
    shell.expect_exact("inner> ")
    for word in ("suspend", "kill -STOP $$"):
        shell.sendline(word)
        stopped(shell)
        assert "outer shell\n" in ask(shell, "echo outer shell")
        shell.sendline("fg")
        shell.expect_exact("inner> ")
        shell.sendline("echo answer $((6 * 7))")
        shell.expect_exact("answer 42")
        shell.expect_exact("inner> ")
    shell.sendline("exit 5")
    shell.expect_exact(PROMPT)
    assert ask(shell, "echo status $?").endswith("status 5\n")
    assert settings(shell) == before


def test_editor_suspends_itself(shell: "pexpect.spawn") -> None:
    need("vim")
    before = settings(shell)
    shell.sendline(cerebro("/bin/sh", "-c", "exec vim -u NONE -n /tmp/text"))
    shell.expect(r"\x1b\[")
    settle()
    for way in (":suspend\r", "\x1a"):
        shell.send(way)
        stopped(shell)
        shell.sendline("fg")
        settle()
    shell.send("ihello\x1b:q!\r")
    shell.expect_exact(PROMPT)
    assert ask(shell, "echo status $?").endswith("status 0\n")
    assert settings(shell) == before


def test_end_in_the_background_leaves_the_terminal_alone(shell: "pexpect.spawn") -> None:
    ask(shell, cerebro("/bin/sleep", "100") + " & sleep 0.5")
    ask(shell, "kill %1; wait %1")
    assert "outer shell\n" in ask(shell, "sleep 0.2; read -t 0.1 x; echo outer shell")


def test_stopped_job_can_be_killed(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/bin/cat"))
    shell.sendline("text")
    shell.expect_exact("text")
    shell.sendcontrol("z")
    shell.expect_exact("Stopped")
    shell.expect_exact(PROMPT)
    ask(shell, "kill -9 %1; wait %1 2>/dev/null")
    assert "Stopped" not in ask(shell, "sleep 0.3; jobs")


def test_started_in_the_background(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/bin/sh", "-c", "echo in background; exit 4") + " &")
    shell.expect_exact("in background")
    assert "status 4" in ask(shell, "wait %1; echo status $?")


def test_background_reader_is_stopped(shell: "pexpect.spawn") -> None:
    ask(shell, cerebro("/bin/sh", "-c", "read x; echo got $x") + " &")
    assert "Stopped" in ask(shell, "sleep 0.5; jobs")
    shell.sendline("fg")
    shell.sendline("word")
    shell.expect_exact("got word")
    shell.expect_exact(PROMPT)


def test_interactive_bash_inside(shell: "pexpect.spawn") -> None:
    before = settings(shell)
    shell.sendline(cerebro("/usr/bin/env", "PS1=inner> ", "/bin/bash", "--norc", "--noprofile", "-i"))
    shell.expect_exact("inner> ")
    assert "no job control" not in shell.before
    shell.sendline("stty -echo; bind 'set enable-bracketed-paste off' 2>/dev/null")
    shell.expect_exact("inner> ")
    shell.sendline("sleep 100")
    settle()
    shell.sendcontrol("z")
    shell.expect_exact("Stopped")
    shell.expect_exact("inner> ")
    shell.sendline("bg; jobs")
    shell.expect("Running.*sleep 100")
    shell.sendline("fg")
    shell.expect_exact("sleep 100")
    settle()
    shell.sendcontrol("c")
    shell.expect_exact("inner> ")
    shell.sendline("echo status $?")
    shell.expect_exact("status 130")
    shell.sendline("set -m; (sleep 0.2; echo from job) & wait; jobs | wc -l")
    shell.expect_exact("from job")
    shell.sendline("cat | tr a-z A-Z")
    shell.sendline("typed")
    shell.sendcontrol("d")
    shell.expect_exact("TYPED")
    shell.sendline("exit 6")
    shell.expect_exact(PROMPT)
    assert ask(shell, "echo status $?").endswith("status 6\n")
    assert settings(shell) == before


def test_terminal_left_in_raw_mode_is_repaired(shell: "pexpect.spawn") -> None:
    before = settings(shell)
    shell.sendline(cerebro("/bin/sh", "-c", "stty raw -echo; echo started; kill -9 $$"))
    shell.expect_exact("started")
    shell.expect_exact(PROMPT)
    assert settings(shell) == before


def test_window_size_and_its_change(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/bin/bash", "-c", "stty size; trap 'stty size; exit' WINCH; "
                                              "echo started; while :; do sleep 0.1; done"))
    shell.expect_exact("30 100")
    shell.expect_exact("started")
    shell.setwinsize(40, 120)
    shell.expect_exact("40 120")
    shell.expect_exact(PROMPT)


def test_full_screen_editor(shell: "pexpect.spawn") -> None:
    import shutil
    if shutil.which("vim") is None:
        pytest.skip("not installed: vim")
    before = settings(shell)
    shell.sendline(cerebro("/bin/sh", "-c", "vim -u NONE -n /tmp/text; cat /tmp/text"))
    shell.expect(r"\x1b\[")
    shell.send("ihello from vim\x1b")
    shell.send(":wq\r")
    shell.expect_exact("hello from vim\r\n")
    shell.expect_exact(PROMPT)
    assert settings(shell) == before


def test_hang_up_ends_the_tree() -> None:
    words = run_argv(["/bin/sh", "-c", "sleep 1000 & echo started; sleep 1000"])
    child = pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=15,
                          env=base_environment())
    child.expect_exact("started")
    child.close(force=False)
    assert not child.isalive() or child.terminate(force=True)
    # That nothing is left is checked after every test.


def test_password_prompt_style_reading(shell: "pexpect.spawn") -> None:
    script = "import getpass; print('len', len(getpass.getpass('secret: ')))"
    shell.sendline(cerebro("/usr/bin/python3", "-c", script))
    shell.expect_exact("secret: ")
    shell.sendline("hunter22")
    shell.expect_exact("len 8")
    shell.expect_exact(PROMPT)


def need(name: str) -> None:
    if tool(name) is None:
        pytest.skip(f"not installed: {name}")


def test_names_of_the_terminal(shell: "pexpect.spawn") -> None:
    name = ask(shell, "tty").split()[-1]
    script = (f"tty; readlink /proc/self/fd/0; stat -c '%n is a %F' $(tty); "
              "ls -l /dev/tty | cut -c1; echo by name >$(tty); ps -o tty= -p $$")
    shown = ask(shell, cerebro("/bin/sh", "-c", script)).split("\n")
    assert shown[-7:] == [name, name, f"{name} is a character special file", "c", "by name",
                          name.removeprefix("/dev/"), ""], shown
    script = ("import os; print(os.ttyname(0) == os.ttyname(1), os.tcgetpgrp(0) == os.getpgrp(), "
              "os.path.samestat(os.fstat(0), os.stat(os.ttyname(0))), os.get_terminal_size())")
    assert ("True True True os.terminal_size(columns=100, lines=30)\n"
            in ask(shell, cerebro("/usr/bin/python3", "-c", script)))


def test_script_records_a_session(shell: "pexpect.spawn") -> None:
    need("script")
    shown = ask(shell, cerebro(
        "/bin/sh", "-c", "script -qec 'tty; echo recorded; exit 3' /tmp/session; echo status $?; "
                         "grep -c '^recorded' /tmp/session"))
    assert "/dev/pts/" in shown and "not a tty" not in shown
    assert shown.endswith("recorded\nstatus 3\n1\n"), shown


def test_pager_reads_keys_beside_a_pipe(shell: "pexpect.spawn") -> None:
    need("less")
    before = settings(shell)
    for line in ("seq 3000 | " + cerebro("less"), cerebro("/bin/sh", "-c", "seq 3000 | less")):
        shell.sendline(line)
        shell.expect_exact("25")
        settle()
        shell.send("G")
        shell.expect_exact("3000")
        shell.send("q")
        shell.expect_exact(PROMPT)
        assert settings(shell) == before


def test_multiplexer_attached(shell: "pexpect.spawn") -> None:
    need("tmux")
    before = settings(shell)
    shell.sendline(cerebro("/usr/bin/env", "SHELL=/bin/sh", "PS1=pane> ", "tmux", "-f", "/dev/null",
                           "-L", "case", "new-session", "sh"))
    shell.expect_exact("pane> ")
    shell.sendline("echo answer $((6 * 7)); tty")
    shell.expect_exact("answer 42")
    shell.expect_exact("/dev/pts/")
    shell.send("\x02d")  # detaching ends the first program, and so all of them
    shell.expect_exact("detached")
    shell.expect_exact(PROMPT)
    assert settings(shell) == before


def test_python_prompt(shell: "pexpect.spawn") -> None:
    shell.sendline(cerebro("/usr/bin/python3", "-q"))
    shell.expect_exact(">>> ")
    shell.sendline("print(6 * 7)")
    shell.expect_exact("42")
    shell.expect_exact(">>> ")
    shell.sendline("import time; time.sleep(100)")
    settle()
    shell.sendcontrol("c")
    shell.expect_exact("KeyboardInterrupt")
    shell.expect_exact(">>> ")
    shell.sendline("exit(3)")
    shell.expect_exact(PROMPT)
    assert ask(shell, "echo status $?").endswith("status 3\n")
