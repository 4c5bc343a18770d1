"""What the bench measures of a command, and how it judges targets."""

import os
import sys

import pytest

from bench.process import Run, run
from bench.rounds import Cap, Result, Target, judged

ALLOCATE = "import time; block = bytearray(80 * 1024 * 1024); time.sleep(2)"


def test_the_memory_of_children_counts_together():
    two_children = (
        "import subprocess, sys;"
        f"both = [subprocess.Popen([sys.executable, '-c', {ALLOCATE!r}]) for _ in range(2)];"
        "[one.wait() for one in both]"
    )
    done = run([sys.executable, "-c", two_children], os.environ)
    assert 160 < done.peak_mb < 260
    assert done.wall >= 2


def test_the_memory_of_whoever_measures_does_not_count():
    ours = bytearray(400 * 1024 * 1024)
    done = run([sys.executable, "-c", "import time; time.sleep(0.5)"], os.environ)
    assert done.peak_mb < 100
    del ours


def test_the_cpu_time_of_a_child_counts():
    busy = "import time; start = time.process_time()\nwhile time.process_time() < start + 0.3: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    assert run([sys.executable, "-c", parent], os.environ).cpu >= 0.3


def _result(name: str, *walls: float, peak_mb: float = 100) -> Result:
    return Result(name, name, tuple(Run(wall=w, cpu=w, peak_mb=peak_mb) for w in walls))


M = frozenset("M")


def test_a_target_compares_medians_so_that_one_slow_run_changes_nothing():
    target = Target(subject="sail", metric="wall", limit=1.5, against="duckdb", sizes=M)
    results = [_result("sail", 2, 3, 99), _result("duckdb", 2, 2, 2)]
    assert judged("M", [target], results) == [(target, 1.5)]


@pytest.mark.parametrize("size", ["S", "L"])
def test_a_target_of_another_size_is_not_judged(size):
    target = Target(subject="sail", metric="wall", limit=1.5, against="duckdb", sizes=M)
    assert judged(size, [target], [_result("sail", 1), _result("duckdb", 1)]) == []


def test_a_target_whose_contestant_did_not_run_is_not_judged():
    target = Target(subject="sail", metric="wall", limit=1.5, against="duckdb", sizes=M)
    assert judged("M", [target], [_result("sail", 1)]) == []


def test_a_cap_is_judged_by_the_median_itself():
    cap = Cap(subject="validator", metric="peak_mb", limit=450, sizes=M)
    assert judged("M", [cap], [_result("validator", 1, peak_mb=390)]) == [(cap, 390)]
