#!/usr/bin/env python3
"""Check src/abi/syscalls.tbl and generate code and documentation from it.

The table has one line per x86-64 system call; its head explains the columns. The words it may use
(families, rules, argument kinds) are the enums of src/abi/syscalls.h, the errno names are those of
src/abi/errno.def: both are read here, so every list exists in one place only.

Nothing is written unless the whole table is right. Messages have the form FILE:LINE: TEXT.
Exit status: 0 fine, 1 a mistake in the table or a stale file, 2 wrong usage or an unreadable file.
"""

import argparse
import difflib
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRIVILEGED = ROOT / "src/abi/privileged.tbl"
MAX_ARGS = 6
NAME = re.compile(r"[a-z_][a-z0-9_]*")
SINCE = re.compile(r"\d+(\.\d+){1,2}")
HOLE = re.compile(r"(\d+)-(\d+)\s+hole\s+(\S.*)")
LENGTH_KINDS = {"size", "int", "uint"}
NEED_LENGTH = {"buf_in", "buf_out", "iovec", "iovec_out", "pollfd", "sockaddr", "sockopt_in",
               "mmsghdr", "mmsghdr_out", "dirents", "open_how"}

# Which argument kinds a rule looks at: a rule on a call whose registers mean something else would
# be a hole in the filter. arg0 of ioprio_set is an int that selects what arg1 means.
RULE_ARGS = {
    "prlimit": {0: {"pid"}, 1: {"rlimit_resource"}},
    "rlimit": {0: {"rlimit_resource"}},
    "prctl": {0: {"prctl_op"}},
    "priority": {0: {"priority_which"}, 1: {"pid"}},
    "pid_self": {0: {"pid", "int"}},
    "clone": {0: {"clone_flags"}},
    "socket": {0: {"socket_domain"}, 1: {"socket_type"}},
    "socketpair": {0: {"socket_domain"}},
    "sendto": {4: {"sockaddr"}},
    "ioctl": {0: {"fd"}, 1: {"ioctl_cmd"}},
    "fcntl": {0: {"fd"}, 1: {"fcntl_cmd"}},
    "mmap": {0: {"ptr"}, 3: {"map_flags"}, 4: {"fd"}},
    "rpage": {0: {"ptr"}},
    "mremap": {0: {"ptr"}, 3: {"mremap_flags"}, 4: {"ptr"}},
    "window": {0: {"fd"}},
    "window2": {0: {"fd"}, 1: {"fd"}},
    "window02": {0: {"fd"}, 2: {"fd"}},
    "fstat": {0: {"fd"}, 1: {"statbuf"}},
}

LEGEND = {
    "native": "the filter lets the call through to the host kernel, at native speed",
    "served": "the process kernel answers",
    "checked": "the filter looks at scalar arguments; the rule (below) says what is native",
    "fixed": "the filter answers a constant",
    "refused": "answered with an errno, the note gives the reason",
    "missing": "not done yet: `ENOSYS`, counted and logged once",
}


class Words:
    """The closed lists the table may use."""

    def __init__(self, header, errno_def):
        text = header.read_text(encoding="utf-8")
        self.dispositions = self._enum(text, "DISPOSITION")
        self.rules = self._enum(text, "RULE")
        self.families = self._enum(text, "FAMILY")
        self.kinds = self._enum(text, "ARG")
        for rule, comment in self.rules.items():
            if not comment and rule != "none":
                raise OSError(f"{header}: rule {rule} needs a comment on its own line")
        self.errnos = {name: int(nr) for name, nr in re.findall(
            r"^ABI_ERRNO\((\w+), (\d+)\)", errno_def.read_text(encoding="utf-8"), re.M)}

    @staticmethod
    def _enum(text, prefix):
        """Return {word: comment} of the enum whose constants are ABI_<prefix>_<WORD>."""
        found = re.findall(rf"^    ABI_{prefix}_(\w+),(?:\s*/\* (.*?) \*/)?", text, re.M)
        return {word.lower(): comment for word, comment in found if word != "COUNT"}


class Call:
    """One line of the table."""

    def __init__(self, line, fields):
        self.line = line
        self.fields = fields
        self.nr = int(fields[0])
        self.name, self.family, self.how, args, self.since, note = fields[1:]
        self.args = [] if args == "-" else [a.partition(":")[::2] for a in args.split(",")]
        self.note = "" if note == "-" else note
        self.disposition, _, self.parameter = self.how.partition(":")
        self.rule = "none"
        self.value = 0


class Table:
    """The parsed table; `errors` holds (line, text) for everything that is wrong with it."""

    def __init__(self, path, words):
        self.path = path
        self.words = words
        self.errors = []
        self.calls = []
        self.holes = []
        self.lines = []  # ("text", str) | ("call", Call), for --format
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            self._parse(number, text)
        self._check_order()
        for call in self.calls:
            self._check_call(call)

    def error(self, line, text):
        self.errors.append((line, text))

    def _parse(self, number, text):
        self.lines.append(("text", text.rstrip()))
        if not text.strip() or text.startswith("#"):
            return
        hole = HOLE.fullmatch(text.strip())
        if hole:
            self.holes.append((number, int(hole[1]), int(hole[2]), hole[3]))
            return
        fields = text.split(None, 6)
        if len(fields) != 7:
            self.error(number, f"expected 7 columns (nr name family disposition args since note), "
                               f"found {len(fields)}; an empty column is written as -")
        elif not fields[0].isdecimal():
            self.error(number, f"'{fields[0]}' is not a call number")
        else:
            self.calls.append(Call(number, fields[:6] + [fields[6].rstrip()]))
            self.lines[-1] = ("call", self.calls[-1])

    def _check_order(self):
        """Numbers rise from line to line, names are unique, every gap is a declared hole."""
        spans = [(c.line, c.nr, c.nr) for c in self.calls] + [h[:3] for h in self.holes]
        expected = 0
        for line, first, last in sorted(spans):
            if last < first:
                self.error(line, f"the hole {first}-{last} ends before it begins")
            elif first < expected:
                self.error(line, f"number {first} is a duplicate or not in order, {expected} or "
                                 f"more was expected")
            elif first > expected:
                gap = str(expected) if first == expected + 1 else f"{expected}-{first - 1}"
                self.error(line, f"numbers {gap} are absent; add them, or a line "
                                 f"'{expected}-{first - 1} hole REASON'")
            expected = max(expected, last + 1)
        seen = {}
        for call in self.calls:
            if call.name in seen:
                self.error(call.line, f"the name {call.name} is already used in line "
                                      f"{seen[call.name]}")
            seen.setdefault(call.name, call.line)
        if self.holes and self.calls and self.holes[-1][2] > self.calls[-1].nr:
            self.error(self.holes[-1][0], "the table must not end with a hole")

    def _check_call(self, call):
        if not NAME.fullmatch(call.name):
            self.error(call.line, f"'{call.name}' is not a call name")
        if call.family not in self.words.families:
            self._unknown(call, "family", call.family, self.words.families)
        if call.since != "-" and not SINCE.fullmatch(call.since):
            self.error(call.line, f"{call.name}: '{call.since}' is not a kernel version")
        if call.since == "-" and call.disposition not in ("refused", "missing"):
            self.error(call.line, f"{call.name}: a call that is answered needs a kernel version")
        if self._check_args(call):
            self._check_disposition(call)

    def _check_args(self, call):
        before = len(self.errors)
        if len(call.args) > MAX_ARGS:
            self.error(call.line, f"{call.name}: more than {MAX_ARGS} arguments")
        if len({name for name, _ in call.args}) != len(call.args):
            self.error(call.line, f"{call.name}: two arguments have the same name")
        for index, (name, kind) in enumerate(call.args):
            if not NAME.fullmatch(name):
                self.error(call.line, f"{call.name}: '{name}' is not an argument name")
            if kind not in self.words.kinds or kind == "none":
                self._unknown(call, "argument kind", kind, self.words.kinds)
            following = call.args[index + 1][1] if index + 1 < len(call.args) else "nothing"
            if kind in NEED_LENGTH and following not in LENGTH_KINDS:
                self.error(call.line, f"{call.name}: {name} is a {kind}, so its length must be the "
                                      f"next argument, which is {following}")
        return len(self.errors) == before

    def _check_disposition(self, call):
        if call.disposition not in self.words.dispositions:
            self._unknown(call, "disposition", call.disposition, self.words.dispositions)
            return
        check = getattr(self, f"_check_{call.disposition}", None)
        if check:
            check(call)
        elif call.parameter:
            self.error(call.line, f"{call.name}: {call.disposition} takes no parameter, found "
                                  f"'{call.parameter}'")
        if call.disposition == "missing":
            call.value = -self.words.errnos["ENOSYS"]

    def _check_checked(self, call):
        if call.parameter not in self.words.rules or call.parameter == "none":
            self._unknown(call, "rule", call.parameter, self.words.rules)
            return
        call.rule = call.parameter
        for index, kinds in RULE_ARGS.get(call.rule, {}).items():
            kind = call.args[index][1] if index < len(call.args) else "nothing"
            if kind not in kinds:
                self.error(call.line, f"{call.name}: rule {call.rule} looks at argument {index} as "
                                      f"{' or '.join(sorted(kinds))}, which is {kind} here")

    def _check_refused(self, call):
        call.value = -self._errno(call, call.parameter)
        if not call.note:
            self.error(call.line, f"{call.name}: a refused call needs its reason in the note")

    def _check_fixed(self, call):
        if call.parameter.startswith("-"):
            call.value = -self._errno(call, call.parameter[1:])
        elif call.parameter != "0":
            self.error(call.line, f"{call.name}: a filter can answer 0 or an errno (fixed:0, "
                                  f"fixed:-ENOSYS), not '{call.parameter}'")
        if not call.note:
            self.error(call.line, f"{call.name}: a fixed answer needs its reason in the note")

    def _errno(self, call, name):
        if name not in self.words.errnos:
            self._unknown(call, "errno", name, self.words.errnos)
        return self.words.errnos.get(name, 0)

    def _unknown(self, call, what, word, known):
        near = difflib.get_close_matches(word, known, 1)
        hint = f", did you mean '{near[0]}'?" if near else ""
        self.error(call.line, f"{call.name}: unknown {what} '{word}'{hint}")

    def formatted(self):
        """The table with aligned columns."""
        widths = [max((len(c.fields[i]) for c in self.calls), default=0) for i in range(6)]
        out = []
        for kind, item in self.lines:
            if kind == "text":
                out.append(item)
                continue
            cells = [item.fields[0].rjust(widths[0])]
            cells += [f.ljust(w) for f, w in zip(item.fields[1:6], widths[1:])]
            out.append("  ".join(cells + [item.fields[6]]))
        return "\n".join(out) + "\n"


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def c_head(what):
    return (f"/* {what}\n * Generated from src/abi/syscalls.tbl by tools/gen-syscalls.py: "
            f"change the table, not this file. */\n")


def c_record(call):
    args = ", ".join(f"{{{c_string(n)}, ABI_ARG_{k.upper()}}}" for n, k in call.args)
    return (f"    {{.nr = {call.nr},\n"
            f"     .name = {c_string(call.name)},\n"
            f"     .family = ABI_FAMILY_{call.family.upper()},\n"
            f"     .disposition = ABI_DISPOSITION_{call.disposition.upper()},\n"
            f"     .rule = ABI_RULE_{call.rule.upper()},\n"
            f"     .errnum_or_value = {call.value},\n"
            f"     .nargs = {len(call.args)},\n"
            f"     .args = {{{args or '{NULL, ABI_ARG_NONE}'}}},\n"
            f"     .since = {c_string(call.since)},\n"
            f"     .note = {c_string(call.note)}}},\n")


def c_words(symbol, prefix, words):
    rows = "".join(f"    [ABI_{prefix}_{w.upper()}] = {c_string(w)},\n" for w in words)
    return f"\nconst char *const {symbol}[{len(words)}] = {{\n{rows}}};\n"


def c_numbers_array(symbol, values):
    rows = "".join("    " + " ".join(f"{v}," for v in values[i:i + 12]) + "\n"
                   for i in range(0, len(values), 12))
    return f"\nconst int16_t {symbol}[{len(values)}] = {{\n{rows}}};\n"


def make_c(table):
    index = {call.nr: i for i, call in enumerate(table.calls)}
    by_nr = [index.get(nr, -1) for nr in range(table.calls[-1].nr + 1)]
    by_name = sorted(range(len(table.calls)), key=lambda i: table.calls[i].name)
    words = table.words
    return (c_head("The system call records and the words of the table.")
            + '\n#include "abi/tables-internal.h"\n'
            + f"\nconst struct abi_syscall abi_syscalls[{len(table.calls)}] = {{\n"
            + "".join(c_record(call) for call in table.calls) + "};\n"
            + c_numbers_array("abi_index_by_nr", by_nr)
            + c_numbers_array("abi_index_by_name", by_name)
            + c_words("abi_disposition_words", "DISPOSITION", words.dispositions)
            + c_words("abi_rule_words", "RULE", words.rules)
            + c_words("abi_family_words", "FAMILY", words.families)
            + c_words("abi_arg_kind_words", "ARG", words.kinds))


def make_plan(table):
    rows = []
    by_nr = {call.nr: call for call in table.calls}
    missing = -table.words.errnos["ENOSYS"]
    for nr in range(table.calls[-1].nr + 1):
        call = by_nr.get(nr)
        how = ("MISSING", "NONE", missing) if call is None else (
            call.disposition.upper(), call.rule.upper(), call.value)
        rows.append(f"    [{nr}] = {{ABI_DISPOSITION_{how[0]}, ABI_RULE_{how[1]}, {how[2]}}},"
                    f" /* {call.name if call else 'hole'} */\n")
    return (c_head("The filter plan: what to do for each call number.")
            + '\n#include "abi/filter_plan.h"\n'
            + "\nconst struct abi_plan_entry abi_filter_plan[ABI_NR_MAX + 1] = {\n"
            + "".join(rows) + "};\n")


def make_numbers(table):
    rows = "".join(f"#define ABI_NR_{c.name} {c.nr}\n" for c in table.calls)
    return (c_head("The x86-64 system call numbers, whatever the host's headers know.")
            + "#pragma once\n\n" + rows
            + "\n/* The highest number and how many numbers have a record. */\n"
            + f"#define ABI_NR_MAX {table.calls[-1].nr}\n"
            + f"#define ABI_SYSCALL_COUNT {len(table.calls)}\n")


def make_host_list(table):
    rows = "".join(f"#ifdef __NR_{c.name}\n{{\"{c.name}\", __NR_{c.name}}},\n#endif\n"
                   for c in table.calls)
    return (c_head("Initialisers {name, number} of the calls <sys/syscall.h> knows, for a test.")
            + rows)


def percent(part, whole):
    return f"{100 * part / whole:.1f} %"


def count_by(calls, words):
    return {word: sum(c.disposition == word for c in calls) for word in words}


def works(call):
    return call.disposition not in ("refused", "missing", "fixed")


def read_privileged(table):
    """{name: why} of the calls that an unprivileged program cannot use on Linux itself."""
    names = {call.name for call in table.calls}
    found = {}
    for number, text in enumerate(PRIVILEGED.read_text(encoding="utf-8").splitlines(), 1):
        fields = text.split(None, 2)
        if not fields or text.startswith("#"):
            continue
        if len(fields) != 3 or fields[0] not in names or fields[0] in found:
            raise OSError(f"{PRIVILEGED}:{number}: expected a call of the table, once, a capability or "
                          f"'gone', and the page that says so")
        if fields[1] != "gone" and not fields[1].startswith("CAP_"):
            raise OSError(f"{PRIVILEGED}:{number}: '{fields[1]}' is neither a capability nor 'gone'")
        found[fields[0]] = fields[1]
    return found


def docs_unprivileged(table):
    privileged = read_privileged(table)
    usable = [call for call in table.calls if call.name not in privileged]
    gone = sum(why == "gone" for why in privileged.values())
    lost = ", ".join(f"`{call.name}`" for call in usable if not works(call))
    return [f"{gone} of them exist on no x86-64 kernel of today, {len(privileged) - gone} need a privilege on Linux "
            f"itself (src/abi/privileged.tbl). Of the {len(usable)} that an unprivileged program can use, "
            f"**{percent(sum(map(works, usable)), len(usable))}** are let through or served; the others are {lost}.",
            ""]


def docs_summary(table):
    total = len(table.calls)
    counts = count_by(table.calls, LEGEND)
    working = sum(map(works, table.calls))
    rows = [f"| {word} | {counts[word]} | {percent(counts[word], total)} | {text} |"
            for word, text in LEGEND.items()]
    return [
        f"{total} calls, numbers 0 to {table.calls[-1].nr}. {working} of them "
        f"({percent(working, total)}) are let through or served: {percent(counts['native'], total)} "
        f"always native, {percent(counts['served'], total)} always served, "
        f"{percent(counts['checked'], total)} one or the other by their arguments. "
        f"{percent(counts['refused'], total)} are refused.", "",
        *docs_unprivileged(table),
        "| disposition | calls | share | meaning |", "|---|---:|---:|---|", *rows, "",
        "Numbers that are not in the table, and those with the x32 bit, are missing.",
        *(f"Numbers {first} to {last}: {why}." for _, first, last, why in table.holes), ""]


def docs_families(table):
    head = " | ".join(LEGEND)
    out = ["## Families", "", f"| family | calls | {head} |", "|---|---:|" + "---:|" * len(LEGEND)]
    for family, text in table.words.families.items():
        calls = [c for c in table.calls if c.family == family]
        cells = " | ".join(str(n) for n in count_by(calls, LEGEND).values())
        out.append(f"| [{family}](#{family}): {text} | {len(calls)} | {cells} |")
    return out + [""]


def docs_rules(table):
    out = ["## Rules", "", "What the filter looks at for a checked call. \"The window\" is the "
           "reserved range of descriptor numbers of kernel-served descriptors, \"the R page\" the "
           "loader's read-only page and its surroundings below 1.5 MiB.", "",
           "| rule | what is native | calls |", "|---|---|---|"]
    for rule, text in table.words.rules.items():
        calls = ", ".join(f"`{c.name}`" for c in table.calls if c.rule == rule and rule != "none")
        if calls:
            out.append(f"| {rule} | {text} | {calls} |")
    return out + [""]


def docs_family_table(table, family):
    rows = []
    for call in table.calls:
        if call.family == family:
            args = ", ".join(name for name, _ in call.args)
            how = call.disposition + (f" `{call.parameter}`" if call.parameter else "")
            rows.append(f"| {call.nr} | `{call.name}({args})` | {how} | {call.since} | "
                        f"{call.note} |")
    return [f"## {family}", "", "| nr | call | disposition | since | note |",
            "|---:|---|---|---|---|", *rows, ""]


def make_docs(table):
    lines = [
        "<!-- Generated from src/abi/syscalls.tbl by tools/gen-syscalls.py --docs: "
        "change the table, not this file. -->", "",
        "# System calls", "",
        "Every x86-64 system call of Linux and what a process kernel does with it. \"Since\" is "
        "the first kernel version with the call (1.0 also stands for older ones).", "",
        *docs_summary(table), *docs_families(table), *docs_rules(table)]
    for family in table.words.families:
        lines += docs_family_table(table, family)
    return "\n".join(lines).rstrip() + "\n"


def compare_with_host(table, header):
    """Compare with the __NR_ macros of a kernel header; return a list of differences."""
    text = header.read_text(encoding="utf-8")
    theirs = {n: int(v) for n, v in re.findall(r"^#define __NR_(\w+)\s+(\d+)\s*$", text, re.M)}
    ours = {call.name: call.nr for call in table.calls}
    out = [f"{name} is {nr} there and {ours.get(name, 'absent')} here"
           for name, nr in theirs.items() if ours.get(name) != nr]
    return out if theirs else [f"no __NR_ macro found in {header}"]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    file = {"type": pathlib.Path, "metavar": "FILE"}
    parser.add_argument("--table", default=ROOT / "src/abi/syscalls.tbl", **file)
    parser.add_argument("--header", default=ROOT / "src/abi/syscalls.h", **file,
                        help="where the enums are")
    parser.add_argument("--errno", default=ROOT / "src/abi/errno.def", **file)
    for name, text in OUTPUTS.items():
        parser.add_argument(f"--{name}", help=text[1], **file)
    parser.add_argument("--check", action="store_true", help="check the table and its alignment")
    parser.add_argument("--check-docs", nargs="?", const=ROOT / "docs/syscalls.md", **file,
                        help="fail if FILE (docs/syscalls.md) is not what --docs would write")
    parser.add_argument("--against", help="compare with a kernel's unistd_64.h", **file)
    parser.add_argument("--format", action="store_true", help="align the table's columns in place")
    return parser.parse_args()


OUTPUTS = {
    "c": (make_c, "write the C records"),
    "plan": (make_plan, "write the filter plan"),
    "numbers": (make_numbers, "write the header with the ABI_NR_ numbers"),
    "host-list": (make_host_list, "write the list for the comparison with <sys/syscall.h>"),
    "docs": (make_docs, "write the documentation page"),
}


def report(complaints):
    for text in complaints:
        print(text, file=sys.stderr)
    return 1 if complaints else 0


def run_checks(table, options):
    complaints = []
    if options.check and table.formatted() != table.path.read_text(encoding="utf-8"):
        complaints.append(f"{table.path}:1: columns are not aligned, run "
                          f"tools/gen-syscalls.py --format")
    if options.check_docs:
        have = options.check_docs.read_text(encoding="utf-8") if options.check_docs.exists() else ""
        if have != make_docs(table):
            complaints.append(f"{options.check_docs}:1: stale, run tools/gen-syscalls.py --docs "
                              f"docs/syscalls.md")
    if options.against:
        complaints += [f"{table.path}: {t}" for t in compare_with_host(table, options.against)]
    return report(complaints)


def main():
    options = parse_options()
    table = Table(options.table, Words(options.header, options.errno))
    if not table.calls and not table.errors:
        table.error(1, "no calls")
    if table.errors:
        return report([f"{table.path}:{line}: {text}" for line, text in sorted(table.errors)])
    if options.format:
        table.path.write_text(table.formatted(), encoding="utf-8")
    for name, (make, _) in OUTPUTS.items():
        target = getattr(options, name.replace("-", "_"))
        if target:
            target.write_text(make(table), encoding="utf-8")
    return run_checks(table, options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        print(f"gen-syscalls: {error}", file=sys.stderr)
        sys.exit(2)
