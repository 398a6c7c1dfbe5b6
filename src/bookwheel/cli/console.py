"""What people see: standard output for answers, standard error for progress and complaints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def bytes_progress() -> Progress:
    """A bar for bytes on the way."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
        transient=True,
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
