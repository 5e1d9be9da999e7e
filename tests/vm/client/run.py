"""Runs all clients in a guest, one after the other, and reports like the abuse suite: the file results.py explains.

Every client is an ordinary program: it gets nothing but the device. Its last words are reported when it fails.
"""

import glob
import os
import re
import subprocess
import sys
import time

MODULE = "/lib/kernel_driver.ko"
PHASES = ("", "allow_dangerous=1 allow_phys_write=1")
SECONDS = 100
# A client that swallows its errors says so at least.
BAD_WORDS = re.compile(r"Traceback \(most recent call last\)|\b(failed|failure|error)\b[: ]", re.I)

number = 0


def say(word, name, text=""):
    global number
    number += 1
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    escaped = "".join(c if " " <= c <= "~" else "?" for c in escaped)
    sys.stdout.write(f"@{number} {word} {name} {escaped}\n")
    sys.stdout.flush()


def run(argv, seconds=SECONDS):
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="replace")


def load(parameters):
    run(["/bin/rmmod", "kernel_driver"])
    status, text = run(["/bin/insmod", MODULE, *parameters.split()])
    for _ in range(100):
        if os.path.exists("/dev/kernel_api_exporter"):
            break
        time.sleep(0.01)
    if status != 0:
        say("fail", "module-loads", text)
    return status == 0


def steps(name, argv):
    """A client of ours: each of its lines "step NAME ok|FAIL|skip TEXT" is a result."""
    status, text = run(argv)
    found = re.findall(r"^step (\S+) (ok|FAIL|skip) ?(.*)$", text, re.M)
    for step, word, words in found:
        say({"ok": "pass", "FAIL": "fail", "skip": "skip"}[word], f"{name}/{step}", words)
    rows = re.findall(r"^row (\S+) (.*)$", text, re.M)
    for table, cells in rows:
        say("row", table, cells)
    good = status == 0 and found
    say("pass" if good else "fail", f"{name}/ends", "" if good else f"status {status}\n{text[-2500:]}")


def given(path, name):
    """A client from elsewhere: it must end well and complain of nothing."""
    status, text = run([sys.executable, path])
    complaints = [line for line in text.splitlines() if BAD_WORDS.search(line)]
    if status == 0 and not complaints:
        say("pass", name, text[-300:])
    else:
        say("fail", name, f"status {status}\n" + "\n".join(complaints) + "\n----\n" + text[-2500:])


def main():
    for parameters in PHASES:
        if not load(parameters):
            break
        way = "allowed" if parameters else "defaults"
        steps(f"{way}/abi", [sys.executable, "/client/abi.py", way])
        if os.path.exists("/python/kapi_client.py"):
            steps(f"{way}/kapi-client", [sys.executable, "/client/ours.py", way])
        for path in sorted(glob.glob("/given/*.py")):
            given(path, f"{way}/{os.path.basename(path)}")
    say("end", "all")
    time.sleep(1)


main()
