"""The figures of a benchmark are what their names say."""

import os
import subprocess
import sys
import time

import pytest

from bench.measure import MemoryWatch, cpu_seconds, median_of_ratios, percentile, with_spread


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3.0], 99, 3.0),
        ([1.0, 2.0], 50, 1.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 102)], 99, 100.0),
        ([2.0, 1.0], 100, 2.0),
        ([2.0, 1.0], 0, 1.0),
    ],
)
def test_a_percentile_is_a_value_that_so_many_do_not_pass(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_a_percentile_of_nothing_is_refused_rather_than_zero() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


def test_a_ratio_is_taken_round_by_round_so_that_a_disturbed_round_falls_out() -> None:
    assert median_of_ratios([2.0, 40.0, 2.2], [1.0, 20.0, 1.0]) == 2.0
    with pytest.raises(ValueError, match="shorter"):
        median_of_ratios([1.0, 2.0], [1.0])


def test_a_spread_shows_the_median_the_least_and_the_most() -> None:
    assert with_spread([3.0, 1.0, 2.0], digits=1) == "2.0 (1.0 to 3.0)"


def test_cpu_time_is_that_of_the_process_without_its_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert cpu_seconds(os.getpid()) - before < 0.3
    begun = time.process_time()
    while time.process_time() < begun + 0.4:
        pass
    assert cpu_seconds(os.getpid()) - before > 0.35


def test_the_memory_watch_keeps_a_peak_that_is_over_when_it_ends() -> None:
    with MemoryWatch(os.getpid()) as watch:
        before = watch.peak_mb
        held = b"x" * (200 * 1024 * 1024)
        while watch.peak_mb < before + 150:
            assert held
        del held
    assert watch.peak_mb >= before + 150
