"""What people see: standard output for answers, standard error for progress and complaints."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

TOLD_SECONDS = 10.0
"""Between two lines about how something goes on, where nobody looks at a bar."""


def bytes_progress() -> Progress:
    """A bar for bytes on the way."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def show_columns(*rows: tuple[str, ...]) -> None:
    """Rows under one another, the first being the head. Nothing is cut: a terminal may be narrow, a pipe has no width."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        out.print("  ".join(cells).rstrip(), markup=False)


@contextmanager
def reading(filename: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar over the pages of a file that is being read; what it yields takes each `bookwheel.progress` of the file."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[where]}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(f"Reading {filename}", total=None, where="")

        def show(now: dict[str, Any]) -> None:
            if now:
                total = now.get("total")
                where = f"{now['unit']} {now['number']}" + (f" of {total}" if total else "")
                progress.update(task, completed=now["number"] - 1, total=total, where=where)

        yield show


@contextmanager
def working(what: str) -> Iterator[None]:
    """A moving bar and the time, while something without a measure goes on."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def running_lines() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar over the lines of a batch; what it yields takes each look at it. A pipe gets a line of words now and then."""
    if not err.is_terminal:
        yield telling_now_and_then(TOLD_SECONDS)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("", total=None, words="")
        last_waiting = None

        def show(batch: dict[str, Any]) -> None:
            nonlocal last_waiting
            waiting = batch.get("bookwheel", {}).get("waiting")
            if waiting and waiting != last_waiting:
                progress.console.print(f"waiting: {waiting}", markup=False)
            last_waiting = waiting
            what = "waiting" if waiting else batch["status"]
            progress.update(
                task, description=what, completed=lines_done(batch), total=_total(batch), words=how_far(batch)
            )

        yield show


def telling_now_and_then(every_seconds: float) -> Callable[[dict[str, Any]], None]:
    """Takes each look at a batch, and tells of one when so much time has gone by."""
    last_told = time.monotonic()

    def show(batch: dict[str, Any]) -> None:
        nonlocal last_told
        if time.monotonic() - last_told >= every_seconds:
            last_told = time.monotonic()
            waiting = batch.get("bookwheel", {}).get("waiting")
            why = f"; waiting: {waiting}" if waiting else ""
            err.print(f"{batch['id']} {batch['status']}: {how_far(batch)}{why}", markup=False)

    return show


def lines_done(batch: dict[str, Any]) -> int:
    """How many lines of a batch have a result."""
    counts = batch["request_counts"]
    return int(counts["completed"] + counts["failed"])


def _total(batch: dict[str, Any]) -> int | None:
    """How many lines a batch has; None while nobody knows."""
    return batch["request_counts"]["total"] or None


def how_far(batch: dict[str, Any]) -> str:
    """`120 of 1,000 lines, 2 failed, 3.2 lines/s, 0:04:35 left`, as far as it is known."""
    total, failed, progress = _total(batch), batch["request_counts"]["failed"], batch.get("bookwheel", {})
    if total is None:
        return "the lines are looked through"
    words = [f"{lines_done(batch):,} of {total:,} lines"]
    if failed:
        words.append(f"{failed:,} failed")
    if progress.get("lines_per_second"):
        words.append(_rate(progress["lines_per_second"]))
    if progress.get("seconds_left") is not None:
        words.append(f"{timedelta(seconds=round(progress['seconds_left']))} left")
    return ", ".join(words)


def _rate(lines_per_second: float) -> str:
    """In the unit that people can imagine."""
    if lines_per_second >= 1:
        return f"{lines_per_second:,.1f} lines/s"
    return f"{lines_per_second * 60:.1f} lines/min"
