"""What a guest reported: one line for each result, and what the kernel said meanwhile."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .machine import BEGIN, Ended

# @NUMBER WORD NAME TEXT, the text with \n, \t and \\ written so. Numbers are consecutive and the last word is
# "end", so that a result that got lost, and a guest that died, are noticed.
LINE = re.compile(r"@(\d+) (pass|fail|skip|row|end) (\S+) ?(.*)")
OUTCOMES = {"pass": "passed", "fail": "failed", "skip": "skipped"}
PANIC = "kapi-test: panic expected"
# Between these allocations are made to fail, of which the kernel itself tells with a trace.
FAULTS_BEGIN, FAULTS_END = "kapi-test: faults begin", "kapi-test: faults end"

TROUBLE = re.compile(
    r"\bBUG\b|\bWARNING\b|\bOops\b|\bRCU\b.*(stall|usage)|suspicious RCU|rcu_\w+ (detected|self-detected)|"
    r"\bKASAN\b|\bUBSAN\b|\bKCSAN\b|\bKFENCE\b|kmemleak: \d+ new|lockdep|possible (recursive locking|circular locking|irq lock)|"
    r"inconsistent lock state|bad unlock balance|held lock freed|RTNL: assertion|general protection|"
    r"unable to handle|Kernel panic|Call Trace|scheduling while atomic|sleeping function called|"
    r"(list_add|list_del) corruption|refcount_t:|soft lockup|hard LOCKUP|blocked for more than|"
    r"Bad page (state|map)|double free|stack guard page|segfault at|usercopy:|page allocation failure", re.I)
# A program of ours that is meant to be refused dies of nothing; these are the kernel's words for normal things.
HARMLESS = re.compile(r"lockdep is turned off|Lock dependency validator|\.\.\. MAX_LOCK|RCU (restricting|Tasks|"
                      r"lockdep checking|event tracing)|kernel_driver: module verification failed")


MILD = re.compile(r"Call Trace|page allocation failure", re.I)


@dataclass
class Record:
    name: str
    outcome: str
    text: str = ""


@dataclass
class Report:
    records: list[Record] = field(default_factory=list)
    rows: list[tuple[str, list[str]]] = field(default_factory=list)  # (name of the table, cells)
    false_starts: list[str] = field(default_factory=list)

    def add(self, name: str, outcome: str, text: str = "") -> None:
        self.records.append(Record(name, outcome, text))


def unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text)


def read_results(ended: Ended, panics: bool = False) -> Report:
    """All results of a machine. `panics`: its last test is a panic of the kernel, which has to be there."""
    report = Report(false_starts=ended.false_starts)
    expected, complete = 1, False
    for line in ended.results.splitlines():
        found = LINE.fullmatch(line)
        if not found or int(found[1]) != expected:
            report.add("results-are-complete", "failed", f"expected result {expected}, got: {line[:200]}")
            break
        expected += 1
        complete = found[2] == "end"
        if found[2] == "row":
            report.rows.append((found[3], unescape(found[4]).split("\t")))
        elif found[2] != "end":
            report.add(found[3], OUTCOMES[found[2]], unescape(found[4]))
    if not complete:
        report.add("machine-ends", "failed", cut(ended))
    add_console(report, ended, panics)
    return report


def cut(ended: Ended) -> str:
    why = f"killed after {ended.seconds:.0f} s" if ended.too_long else f"QEMU ended with {ended.status}"
    tail = "\n".join(ended.console.splitlines()[-40:])
    again = "".join(f"earlier boot: {reason}\n" for reason in ended.false_starts)
    return f"{again}{why} {ended.reason}\nlast results:\n{ended.results[-600:]}\nlast words of the kernel:\n{tail}"


def add_console(report: Report, ended: Ended, panics: bool) -> None:
    before, marker, watched = ended.console.partition(BEGIN)
    if not marker:
        report.add("kernel-boots", "failed", cut(ended))
        return
    watched, panic_marker, after = watched.partition(PANIC)
    troubles = trouble_lines(watched)
    report.add("console-is-clean", "failed" if troubles else "passed", "\n".join(troubles))
    if panics:
        good = bool(panic_marker) and "Kernel panic - not syncing" in after
        report.add("panic-command-panics", "passed" if good else "failed", "" if good else after[-2000:])


def trouble_lines(console: str) -> list[str]:
    """Lines that tell of a fault, each with what follows it."""
    lines = console.splitlines()
    shown: list[str] = []
    until = -1
    faults = False
    for number, line in enumerate(lines):
        faults = (faults or FAULTS_BEGIN in line) and FAULTS_END not in line
        text = MILD.sub("", line) if faults else line
        if TROUBLE.search(text) and not HARMLESS.search(text):
            if number > until:
                shown += ["", *lines[max(0, number - 2):number]]
            until = max(until, number + 12)
        if number <= until:
            shown.append(line)
    return shown[:120]
