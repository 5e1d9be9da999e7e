"""The verdict of tools/soak: what it lets pass and what it does not. Runs nothing under cerebro."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load() -> ModuleType:
    path = str(Path(__file__).resolve().parents[2] / "tools/soak")
    loader = importlib.machinery.SourceFileLoader("soak", path)
    spec = importlib.util.spec_from_loader("soak", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = module
    loader.exec_module(module)
    return module


soak = load()


def sample(i: int, memory: int = 4000, descriptors: int = 300, stat: float = 5) -> object:
    return soak.Sample(i * 10.0, {"supervisor": memory, "front": 600, "reaper": 500},
                       {"supervisor": descriptors, "front": 5, "reaper": 3}, i * 100, 200,
                       {"stat": stat, "open": 6, "spawn": 700})


def tally(workers: int = 200, **change: object) -> object:
    result = soak.Tally()
    result.jobs.update({name: 10 for name in soak.JOBS})
    result.ended = {"ended": workers + 1, "badly": []}
    for name, value in change.items():
        setattr(result, name, value)
    return result


def faults(samples: list[object], said: object | None = None, status: int | None = 7) -> list[str]:
    return soak.judge(samples, said or tally(), status, 200)


def test_what_is_flat_is_good() -> None:
    assert faults([sample(i, 4000 + i % 7 * 50, 300 + i % 5 * 30, 5 + i % 3) for i in range(40)]) == []
    assert faults([sample(i, 2000 if i < 8 else 4000, 100 if i < 8 else 300) for i in range(40)]) == []


@pytest.mark.parametrize(("samples", "what"), [
    ([sample(i, memory=4000 + i * 100) for i in range(40)], "memory of the supervisor grew"),
    ([sample(i, descriptors=300 + i * 10) for i in range(40)], "descriptors of the supervisor grew"),
    ([sample(i, stat=5 if i < 25 else 15) for i in range(40)], "stat got slower"),
    ([sample(i, stat=0) for i in range(40)], "stat was not measured"),
    ([sample(i) for i in range(4)], "4 samples say nothing")])
def test_what_grows_is_told(samples: list[object], what: str) -> None:
    got = faults(samples)
    assert len(got) == 1 and what in got[0]


def test_wrong_results_are_told() -> None:
    flat = [sample(i) for i in range(40)]
    said = tally()
    said.add('{"job": "files", "wrong": "OSError: no"}\n')
    assert faults(flat, said) == ["wrong result: files: OSError: no"]
    said.wrong *= 5
    assert faults(flat, said)[-1] == "and 2 more wrong results"
    assert "status 1 instead of 7" in faults(flat, status=1)[0]
    assert "status None" in faults(flat, status=None)[0]
    assert "not all workers" in faults(flat, tally(ended=None))[0]
    assert "not all workers" in faults(flat, tally(ended={"ended": 201, "badly": [1]}))[0]
    assert "not all workers" in faults(flat, tally(workers=199))[0]
    idle = tally()
    del idle.jobs["fifo"]
    assert faults(flat, idle) == ["no fifo was done"]


def test_lines_of_the_load_are_counted() -> None:
    said = soak.Tally()
    for line in ('{"job": "execs", "wrong": ""}', '{"job": "execs", "wrong": ""}',
                 '{"probe": {"stat": 4.0}}', '{"probe": {"stat": 6.0}}', '{"ended": 3, "badly": []}'):
        said.add(line + "\n")
    assert said.jobs["execs"] == 2 and said.wrong == [] and said.ended == {"ended": 3, "badly": []}
    assert said.take_probes() == {"stat": 5.0} and said.take_probes() == {}


@pytest.mark.parametrize("name", sorted(soak.JOBS))
def test_each_job_is_right_natively(name: str, tmp_path: Path) -> None:
    for seed in range(2):
        soak.JOBS[name](soak.random.Random(seed), str(tmp_path))
