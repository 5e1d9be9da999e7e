"""The bench's own test: fast, needs nothing but Python, measures nothing worth reading.

    python3 -m pytest bench/test_run.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import goals
import report
import run as bench
from processes import Processes
from report import Sample, Summary
from runners import Needs, Runner, Variant, all_runners, native_wrap
from workloads import Failed, Workload, all_workloads, micro_sample, redis_samples

HERE = Path(__file__).resolve().parent
ENV = {"PATH": "/usr/bin:/bin"}


def summary(median: float, ratio: float | None = None) -> Summary:
    return Summary(median, median, median, median, 3, ratio)


def bench_command(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(HERE / "run.py"), *arguments], text=True,
                          capture_output=True, timeout=60, env={**os.environ, **more})


def test_quantiles_interpolate() -> None:
    assert report.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert report.quantile([1.0, 2.0], 0.25) == 1.25
    assert report.quantile([7.0], 0.75) == 7.0
    with pytest.raises(ValueError):
        report.quantile([], 0.5)


def test_ratio_is_taken_within_rounds() -> None:
    # The machine became ten times slower after the first round: the ratio must not notice.
    native = {0: 1.0, 1: 10.0, 2: 10.0}
    assert report.paired_ratio({0: 2.0, 1: 20.0, 2: 20.0}, native) == 2.0
    assert report.paired_ratio({0: 2.0}, native) == 2.0
    assert report.paired_ratio({5: 2.0}, native) is None


def test_summary_of_series() -> None:
    native = {n: Sample(1.0, 0.5, 1.0) for n in range(3)}
    series = {n: Sample(value, value / 2, 4.0) for n, value in enumerate((2.0, 3.0, 4.0))}
    got = report.summarise(series, native)
    assert (got.median, got.low, got.p25, got.p75, got.ratio) == (3.0, 1.0, 2.5, 3.5, 3.0)
    assert (got.low_ratio, got.cpu, got.cpu_ratio) == (2.0, 4.0, 4.0)
    assert got.noise == pytest.approx(1 / 3)
    assert report.summarise(series, None).ratio is None


@pytest.mark.parametrize(("seconds", "text"), [
    (752e-9, "752 ns"), (9.3434e-6, "9.34 us"), (25.94e-3, "25.9 ms"), (1.5, "1.50 s"),
    (99.96e-9, "100 ns"), (120.0, "120 s")])
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_table_is_aligned_and_tells_failed_from_absent() -> None:
    table = {"stat": {"native": summary(1e-6, 1.0), "cerebro": summary(9e-6, 9.0)},
             "open-close": {"native": summary(2e-6, 1.0)}}
    lines = report.grid(table, ["native", "cerebro", "runsc"], "median", {("open-close", "runsc")})
    assert lines[1] == ["stat", "1.00 us ±0%", "9.00 us x9.00 ±0%", "-"]
    assert lines[2] == ["open-close", "2.00 us ±0%", "-", "failed"]
    text = report.align(lines).splitlines()
    assert len({line.index(cell) for line, cell in zip(text, ("native", "1.00", "2.00"))}) == 1
    assert report.markdown(lines).splitlines()[1] == "|---|---|---|---|"
    assert report.grid(table, ["native"], "cpu", set()) == []


def test_markdown_replaces_only_the_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{report.BEGIN_MARK}\nold\n{report.END_MARK}\nbelow\n")
    assert report.can_replace_block(page)
    report.replace_block(page, "new")
    assert page.read_text() == f"above\n{report.BEGIN_MARK}\nnew\n{report.END_MARK}\nbelow\n"
    page.write_text("somebody's page\n")
    assert not report.can_replace_block(page)


def test_absent_runner_is_skipped_with_its_reason(tmp_path: Path) -> None:
    runner = Runner("gone", "", [Variant("/no/such/program", native_wrap)])
    assert not runner.settle(Processes(), ENV, tmp_path)
    assert runner.reason == "/no/such/program not found"


@pytest.mark.parametrize(("script", "reason"), [
    ("echo broken >&2; exit 3", "exit status 3: broken"), ("exit 0", "printed b''")])
def test_broken_runner_is_skipped_with_its_reason(tmp_path: Path, script: str, reason: str) -> None:
    wrapped = Variant("/bin/sh", lambda argv, needs: ["/bin/sh", "-c", script])
    runner = Runner("broken", "", [wrapped])
    assert not runner.settle(Processes(), ENV, tmp_path)
    assert reason in runner.reason


def test_second_variant_is_used_when_the_first_fails(tmp_path: Path) -> None:
    works = Variant("/bin/true", native_wrap)
    runner = Runner("two", "", [Variant("/no/such/program", native_wrap), works])
    assert runner.settle(Processes(), ENV, tmp_path)
    assert runner.chosen is works and runner.reason == ""


def test_runner_commands_grant_what_is_needed() -> None:
    runners = {runner.name: runner for runner in all_runners("cerebro", Path("/state"))}
    needs = Needs(Path("/w"), net=True)
    wrap = {name: " ".join(runner.variants[-1].wrap(["p"], needs))
            for name, runner in runners.items() if name != "qemu"}
    assert wrap["native"] == "p"
    assert wrap["cerebro"] == "cerebro run --write /w --net host -- p"
    assert "--share-net" in wrap["bwrap"] and "--bind /w /w" in wrap["bwrap"]
    assert "--network=host --rootless" in wrap["runsc"] and "-force-overlay=false" in wrap["runsc"]


def test_timeout_kills_also_what_left_the_session(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"setsid sleep 300 & echo $! > {note}; sleep 300"
    got = subprocess.run([sys.executable, "-c", f"""
import sys; sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
import processes
processes.become_reaper()
got = processes.Processes().run(["/bin/sh", "-c", {script!r}], {ENV!r}, Path("/"), 0.5)
print(got.status, processes.own_children())
"""], text=True, capture_output=True, timeout=30)
    assert got.stdout == "None set()\n", got.stderr
    assert not Path("/proc", note.read_text().strip()).exists()


def test_captured_output_and_status(tmp_path: Path) -> None:
    got = Processes().run(["/bin/sh", "-c", "seq 100000; exit 4"], ENV, tmp_path, 20, capture=True)
    assert got.status == 4 and got.out.endswith(b"\n100000\n") and got.out.count(b"\n") == 100000
    assert Processes().run(["/no/such"], ENV, tmp_path, 1).status == 127


def test_wall_time_does_not_wait_for_a_polling_step(tmp_path: Path) -> None:
    got = Processes().run(["/bin/sleep", "0.1"], ENV, tmp_path, 20)
    assert got.ok and 0.1 <= got.wall < 5.0 and got.cpu < 0.1


def test_parsers() -> None:
    text = "noise\nmicro name=stat min=700.0 p10=1 p50=752.5 p90=2 batch=1 samples=9\n"
    assert micro_sample(text, "stat") == Sample(pytest.approx(752.5e-9), pytest.approx(700e-9))
    with pytest.raises(Failed):
        micro_sample(text, "fstat")
    got = redis_samples('"test","rps"\n"SET","50000.0"\n"GET","100000.0"\n')
    assert got["redis-set"].value == pytest.approx(20e-6)
    with pytest.raises(Failed):
        redis_samples("nonsense")


def test_other_result_than_native_fails_the_runner() -> None:
    run = bench.Run([], [])
    native, other = (Runner(name, "", []) for name in ("native", "other"))
    find = next(workload for workload in all_workloads() if workload.name == "find")
    bench.check_proof(run, find, native, "100")
    bench.check_proof(run, find, other, "103")
    with pytest.raises(Failed, match="differs from native"):
        bench.check_proof(run, find, other, "0")


class Counting(Workload):
    name = "counting"
    values: dict[str, list[float]] = {"native": [1.0, 1.0], "other": [2.0]}

    def measure(self, area: object, runner: Runner) -> tuple[dict[str, Sample], str]:
        if not self.values[runner.name]:
            raise Failed("tired")
        value = self.values[runner.name].pop()
        return {self.name: Sample(value, value)}, ""


def test_a_failure_drops_the_row_and_keeps_the_reason() -> None:
    run = bench.Run([Runner("native", "", []), Runner("other", "", [])], [Counting()])
    bench.measure(run, None, rounds=2)  # type: ignore[arg-type]
    assert run.failures == {("counting", "other"): "tired"}
    assert list(run.samples["counting"]) == ["native"]
    assert run.failed_rows() == {("counting", "other")}


def test_goals() -> None:
    names = {row for workload in all_workloads() for row in workload.rows()}
    assert all(goal.text.partition(":")[0] in names for goal in goals.GOALS)
    good = {"stat": {"cerebro": summary(9e-6, 9.0), "proot": summary(30e-6)},
            "compile": {"cerebro": summary(1.0, 1.3)}}
    lines, missed = goals.check(good)
    assert missed == 1
    assert "PASS  stat: at most 10.0 us  (9.00 us)" in lines
    assert "PASS  stat: at least 3 times faster than proot  (9.00 us against 30.0 us)" in lines
    assert "SKIP  stat: at least 3 times faster than runsc  (not measured)" in lines
    assert "FAIL  compile: at most x1.25 of native  (x1.30)" in lines


def test_list_names_everything() -> None:
    got = bench_command("--list")
    assert got.returncode == 0
    for workload in all_workloads():
        assert f"  {workload.name} " in got.stdout
    for runner in all_runners("cerebro", Path("state")):
        assert f"  {runner.name} " in got.stdout


def test_unknown_names_are_refused() -> None:
    assert "no workload named nonsense" in bench_command("--only", "nonsense").stderr
    assert "no runner named nonsense" in bench_command("--runners", "nonsense").stderr


def test_micro_tables_agree(tmp_path: Path) -> None:
    compiler = "/usr/bin/cc"
    if not Path(compiler).exists():
        pytest.skip("no C compiler")
    program = tmp_path / "bench_micro"
    sources = [str(path) for path in HERE.glob("micro*.c")]
    subprocess.run([compiler, "-std=gnu17", "-pthread", "-o", program, *sources], check=True)
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    micro = {workload.name for workload in all_workloads() if type(workload).__name__ == "Micro"}
    assert {line.split()[0] for line in listed.splitlines()} == micro


def test_a_whole_run_leaves_nothing(tmp_path: Path) -> None:
    start = time.monotonic()
    parent = tmp_path if Path("/tmp") not in tmp_path.parents else Path("/var/tmp")
    before = set(parent.glob("cerebro-bench-*"))
    got = bench_command("--quick", "--rounds", "1", "--only", "start-true,getppid", "--runners",
                        "native,cerebro", "--cerebro", "/no/such/cerebro", "--json",
                        str(tmp_path / "out.json"), TMPDIR=str(parent))
    assert got.returncode == 0, got.stderr
    assert "skipped cerebro: /no/such/cerebro not found" in got.stdout
    assert "getppid" in got.stdout and (tmp_path / "out.json").exists()
    assert set(parent.glob("cerebro-bench-*")) - before == set() and time.monotonic() - start < 60
