"""Tables: the share of cells that arrive in the right row and column, beside other tools.

`tables.json` holds tables of real files as a person read them off the page or the sheet: the file, where the table
stands, and its rows. Of the Markdown tables in a tool's text, the one that matches best counts.
"""

import argparse
import json
import re
import shlex
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.converting import OURS_TEXT, PEERS_FOLDER, Limits, Tool, convert, read_conversion, tools
from bench.extraction import LIMIT_SECONDS, MEMORY_MB, NOTHING, OUT, TOOL_NAMES
from bench.manifest import fold
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, Progress, Section, Table, publish, without_folders

TRUTH = Path(__file__).with_name("tables.json")
NOTE = (
    "The tables were read off the rendered page or the sheet by eye. A cell counts when the Markdown table that matches best "
    "has it, whole and with nothing else in it, where rows and columns keep their order. A number may have more digits."
)
TOOLS = tuple(name for name in TOOL_NAMES if name not in (OURS_TEXT, "pypdfium2", "tesseract"))
"""Those that give tables at all."""
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell for comparing: its words folded, and its number where it is one, with half a step of its last digit."""

    words: str
    number: float | None = None
    half_step: float = 0.0

    def is_in(self, other: "Cell") -> bool:
        """Whether `other` says the same: the same words, or the number that this one is rounded from."""
        if self.words == other.words:
            return bool(self.words)
        if self.number is None or other.number is None:
            return False
        return abs(self.number - other.number) <= self.half_step * (1 + 1e-9)


Grid = list[list[Cell]]

_RULE = re.compile(r"[\s|:+-]*-[\s|:+-]*")
_NUMBER = re.compile(
    r"(?P<open>\()?\s*(?P<minus>-)?\s*[$€£¥]?\s*(?P<digits>\d[\d, ]*(?:\.\d+)?)\s*(?P<percent>%)?\s*(?(open)\))"
)
_CELL_END = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class TrueTable:
    """A table of a file as it is. Cells that are empty in `rows` are not looked for."""

    file: str
    where: str
    rows: Grid

    @property
    def cells(self) -> int:
        return sum(bool(cell.words) for row in self.rows for cell in row)


def main(arguments: list[str]) -> int:
    """Measure, print, and write the section unless the run was a short one."""
    options = _options(arguments)
    truths = read_tables(options.tables)
    files = list(dict.fromkeys(truth.file for truth in truths))
    columns: dict[str, list[int]] = {}
    progress = Progress("tables")
    for tool in tools(options.tools, options.peers):
        progress.say(tool.name)
        texts = {
            name: _text(tool, options.folder / name, options.out / tool.name / name, options.kept) for name in files
        }
        columns[tool.name] = [best_match(truth.rows, texts[truth.file]) for truth in truths]
    progress.done()
    publish(_section(truths, columns, arguments), BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=options.tools == TOOLS)
    return 0


def _text(tool: Tool, source: Path, target: Path, kept: bool) -> str:
    """A file as a tool gives it, now or when it was last asked."""
    found = read_conversion(target) if kept else None
    found = found or convert(tool, source, target, Limits(MEMORY_MB, LIMIT_SECONDS), None)
    return found.text or ""


def read_tables(path: Path) -> list[TrueTable]:
    """The tables of a JSON file."""
    listed = json.loads(path.read_text("utf-8"))
    return [TrueTable(one["file"], one["where"], [list(map(read_cell, row)) for row in one["rows"]]) for one in listed]


def read_cell(text: str) -> Cell:
    """A cell from what stands in it. Currency, separators, brackets for a minus and a percent sign are understood."""
    text = unicodedata.normalize("NFKC", text).replace("\\", "").replace("*", "").strip()
    found = _NUMBER.fullmatch(text)
    if found is None:
        return Cell(fold(text))
    digits = found["digits"].replace(",", "").replace(" ", "")
    scale = 0.01 if found["percent"] else 1.0
    sign = -1 if found["open"] or found["minus"] else 1
    half_step = 0.5 * 10.0 ** -len(digits.partition(".")[2])
    return Cell(text, sign * float(digits) * scale, half_step * scale)


def best_match(truth: Grid, text: str) -> int:
    """How many of a table's cells stand in the right row and column of the Markdown table that matches best."""
    return max((cells_in_place(truth, grid) for grid in markdown_tables(text)), default=0)


def markdown_tables(text: str) -> Iterator[Grid]:
    """The tables of a Markdown text: lines with pipes that follow each other, without their rules."""
    grid: Grid = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        if not stripped.startswith("|"):
            if grid:
                yield grid
            grid = []
        elif not _RULE.fullmatch(stripped):
            cells = _CELL_END.split(stripped.strip("|"))
            grid.append([read_cell(cell) for cell in cells])


def cells_in_place(truth: Grid, grid: Grid) -> int:
    """How many cells of `truth` stand in `grid` so that rows and columns keep their order and belong to each other.

    Rows are first matched by the cells they share, columns then by the cells that agree in matched rows, then rows anew
    by those columns: each time the order-keeping match of the largest weight. O(rows x rows x columns) time.
    """
    rows = _match([[_shared(row, other) for other in grid] for row in truth])
    best = 0
    for _ in range(ROUNDS):
        columns = _match(_column_weights(truth, grid, rows))
        rows = _match([[sum(_agree(row, j, other, c) for j, c in columns) for other in grid] for row in truth])
        best = max(best, sum(_agree(truth[i], j, grid[k], c) for i, k in rows for j, c in columns))
    return best


def _column_weights(truth: Grid, grid: Grid, rows: Sequence[tuple[int, int]]) -> list[list[int]]:
    """How many cells of each true column agree with each column of the grid, in these pairs of rows."""
    width, grid_width = max(map(len, truth)), max(map(len, grid))
    return [[sum(_agree(truth[i], j, grid[k], c) for i, k in rows) for c in range(grid_width)] for j in range(width)]


def _shared(true_row: Sequence[Cell], row: Sequence[Cell]) -> int:
    """How many cells of a true row stand anywhere in another."""
    return sum(any(cell.is_in(other) for other in row) for cell in true_row)


def _agree(true_row: Sequence[Cell], column: int, row: Sequence[Cell], grid_column: int) -> bool:
    if column >= len(true_row) or grid_column >= len(row):
        return False
    return true_row[column].is_in(row[grid_column])


def _match(weights: list[list[int]]) -> list[tuple[int, int]]:
    """The pairs of the order-keeping match of largest total weight, pairs of no weight left out."""
    left, right = len(weights), len(weights[0])
    best = [[0] * (right + 1) for _ in range(left + 1)]
    for i in range(left - 1, -1, -1):
        for k in range(right - 1, -1, -1):
            best[i][k] = max(best[i + 1][k], best[i][k + 1], best[i + 1][k + 1] + weights[i][k])
    pairs, i, k = [], 0, 0
    while i < left and k < right:
        if weights[i][k] and best[i][k] == best[i + 1][k + 1] + weights[i][k]:
            pairs.append((i, k))
            i, k = i + 1, k + 1
        elif best[i][k] == best[i + 1][k]:
            i += 1
        else:
            k += 1
    return pairs


def _section(truths: Sequence[TrueTable], columns: dict[str, list[int]], arguments: Sequence[str]) -> Section:
    lines = [
        [
            f"{truth.file}, {truth.where}",
            str(truth.cells),
            *(f"{found[n] / truth.cells:.0%}" for found in columns.values()),
        ]
        for n, truth in enumerate(truths)
    ]
    total = sum(truth.cells for truth in truths)
    shares = [f"{sum(found) / total:.1%}" if total else NOTHING for found in columns.values()]
    return Section(
        name="tables",
        title="Tables: cells in the right row and column",
        command=f"python -m bench tables {shlex.join(without_folders(arguments))}".strip(),
        tables=[Table(["table", "cells", *columns], [*lines, ["all", str(total), *shares]])],
        notes=[NOTE],
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench tables", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the documents that the tables are of")
    parser.add_argument("--tables", type=Path, default=TRUTH, help="the tables as they are (%(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the texts are kept (%(default)s)")
    parser.add_argument("--kept", action="store_true", help="take the texts that `bench extraction` kept there")
    parser.add_argument("--peers", type=Path, default=PEERS_FOLDER, help="the peers' environment (%(default)s)")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS, help="only these tools")
    return parser.parse_args(arguments)
