"""The arithmetic of measuring, and a process's CPU time and memory. Nothing here knows what is measured."""

import contextlib
import math
import statistics
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import psutil

RSS_PERIOD_SECONDS = 0.02
WORKERS_PERIOD_SECONDS = 0.1
MB = 1024 * 1024


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of the values do not pass (nearest rank). Raises ValueError on none."""
    if not values:
        raise ValueError("no values were measured")
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def median_of_ratios(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the rounds' own ratios: what disturbs a whole round falls out of it."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def with_spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, with the least and the most beside it."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads so far, without its children. Counted in steps of 10 ms."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def rss_mb(pid: int) -> float:
    """The memory that a process holds now, without its children."""
    return float(psutil.Process(pid).memory_info().rss / MB)


class MemoryWatch:
    """Keeps the most memory that a process was seen to hold, looking 50 times a second inside a with-statement."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            self._look()

    def _watch(self) -> None:
        while not self._ended.wait(RSS_PERIOD_SECONDS):
            try:
                self._look()
            except psutil.NoSuchProcess:
                return

    def _look(self) -> None:
        self.peak_mb = max(self.peak_mb, self._process.memory_info().rss / MB)


class WorkersWatch(MemoryWatch):
    """The same, and the most memory that any one of the process's children was seen to hold."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.worker_peak_mb = 0.0
        self._next_look = 0.0

    def _look(self) -> None:
        super()._look()
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + WORKERS_PERIOD_SECONDS
        for child in self._process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.worker_peak_mb = max(self.worker_peak_mb, child.memory_info().rss / MB)
