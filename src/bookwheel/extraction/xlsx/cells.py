"""The cells of one sheet as a stream of rows, in bounded memory, each cell as the text that its user sees.

Rows hold only cells that show something, so two far cells cost no more than two near ones. See `xlsx.text` for how.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Generic, NamedTuple, TypeVar
from xml.sax.saxutils import escape

from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction.xlsx.package import Workbook, whole_number
from bookwheel.extraction.xlsx.text import clean, fragment, in_chunks, local, tree_text

MOST_MERGES = 100_000
MOST_KEPT = 50_000
MOST_KEPT_CHARACTERS = 100
AHEAD_CHARACTERS = 16 * 1024 * 1024
"""Of a sheet that is held before its first row, because merged cells are listed after the last one."""

_ROW_NUMBER = re.compile(r"""[^<>]*?\sr=["'](\d{1,7})["']""")
_REFERENCE = re.compile(r"([A-Z]{1,3})\d{1,7}\Z")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_MERGE = re.compile(r"""mergeCell\s[^<>]*?ref=["']\$?([A-Z]{1,3})\$?(\d{1,7}):\$?([A-Z]{1,3})\$?(\d{1,7})["']""")

Value = TypeVar("Value")
Found = tuple[str, str, str]
"""Of a cell: its column's letters, its other attributes, its value or inline string."""


class Row(NamedTuple):
    """A row of a sheet, `number` from 1. `cells` are texts by their column, from 1; none is empty."""

    number: int
    cells: dict[int, str]


@dataclass(frozen=True, slots=True)
class Merge:
    """Cells that are shown as one: rows and columns from 1, ends included."""

    top: int
    left: int
    bottom: int
    right: int


class _UnusualCells(Exception):
    """Cells that are written in another way than nearly all programs write them."""


class _Columns(dict[str, int]):
    """`A` is 1, `AA` 27. Letters are at most three, which bounds it; none at all are unusual."""

    def __missing__(self, letters: str) -> int:
        if not letters:
            raise _UnusualCells
        number = 0
        for letter in letters:
            number = number * 26 + ord(letter) - 64
        self[letters] = number
        return number


COLUMNS = _Columns()


def column_letters(number: int) -> str:
    """27 is `AA`."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


class _Patterns(NamedTuple):
    """Cells that are written the usual way, all with an end tag, and those that have a formula but no value.

    No part can run past the next tag, and none gives back what it took, so they take linear time.
    """

    cell: re.Pattern[str]
    formula: re.Pattern[str]


@lru_cache(maxsize=4)
def _patterns(prefix: str) -> _Patterns:
    p = re.escape(prefix)
    start = rf'<{p}c(?: r="([A-Z]{{1,3}}+)\d{{1,7}}+")?+([^<>/]*+)>\s*+'
    value_start = rf'(?:<{p}v(?: [^<>/]*+)?+|<{p}is>\s*+<{p}t(?: xml:space="preserve")?+)'
    value = rf"(?:{value_start}(?:/>|>([^<]*+)</{p}(?:v|t>\s*+</{p}is)>))?+"
    return _Patterns(
        re.compile(rf"{start}(?:<{p}f[^<>]*?(?:/>|>[^<]*+</{p}f>)\s*+)?+{value}\s*+</{p}c>"),
        re.compile(rf"{start}<{p}f[^<>]*?>([^<]++)</{p}f>\s*+(?:<{p}v ?/>|<{p}v></{p}v>)?+\s*+</{p}c>"),
    )


class _Kept(dict[str, Value], Generic[Value]):
    """What a function makes of texts, kept up to a limit."""

    def __init__(self, make: Callable[[str], Value]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> Value:
        value = self._make(text)
        if len(self) < MOST_KEPT and len(text) < MOST_KEPT_CHARACTERS:
            self[text] = value
        return value


class CellTexts(_Kept[dict[str, str]]):
    """What the cells of a workbook show: first by their attributes, then by their value: `texts[' s="2"']["40516"]`."""

    def __init__(self, workbook: Workbook) -> None:
        super().__init__(self._learn)
        self.workbook = workbook
        self._words = _Kept(clean)
        self._by_type = {"s": _Kept(self._shared_string), "b": _Kept(_truth), "d": _Kept(_iso_date)}

    def _learn(self, attributes: str) -> dict[str, str]:
        """The texts for the values of cells with these attributes."""
        if " r=" in attributes or "'" in attributes:
            raise _UnusualCells
        said = dict(_ATTRIBUTE.findall(attributes))
        kind = said.get("t", "n")
        if kind != "n":
            return self._by_type.get(kind, self._words)
        shows, style = self.workbook.shows, whole_number(said.get("s"))
        return shows[style] if style < len(shows) else self.workbook.plain

    def _shared_string(self, value: str) -> str:
        try:
            return self.workbook.strings[int(value)]
        except (ValueError, IndexError):
            return ""


class SheetCells:
    """The rows of a sheet. `merges` are known before them where the sheet is not huge, `tail` after them."""

    def __init__(self, texts: "CellTexts", prefix: str, pieces: Iterator[str]) -> None:
        self._texts = texts
        self._workbook = texts.workbook
        self._prefix = prefix
        self._patterns = _patterns(prefix)
        self._row_tag, self._cell_end, self._formula_tag = f"<{prefix}row", f"</{prefix}c>", f"<{prefix}f"
        self.tail = ""
        self.damaged = False
        self.formulas = 0
        """Formulas that were saved without their results."""
        held = self._look_ahead(pieces)
        ahead = "".join(held)
        self.merges = _merges(ahead, ahead.rfind(f"</{prefix}sheetData>"))
        first = ahead.find(self._row_tag)
        self._numbered = _ROW_NUMBER.match(ahead, first + 1) is not None
        self._pieces = chain(held, pieces)

    def _look_ahead(self, pieces: Iterator[str]) -> list[str]:
        held: list[str] = []
        size = 0
        try:
            while size < AHEAD_CHARACTERS:
                piece = next(pieces)
                held.append(piece)
                size += len(piece)
        except StopIteration:
            pass
        except ParsingError:
            self.damaged = True
        return held

    def rows(self) -> Iterator[Row]:
        """The rows that show something, as they come in the file. Raises SizeExceeded."""
        end_tag, number = f"</{self._prefix}row>", 0
        try:
            for chunk in in_chunks(self._pieces, end_tag):
                parts = chunk.split(end_tag)
                self.tail = parts[-1]
                for part in parts:
                    filled = self._cell_end in part
                    if filled or not self._numbered:
                        number = self._row_number(part, number)
                    if filled and (cells := self._cells(part)):
                        yield Row(number, cells)
        except ParsingError:
            self.damaged = True

    def _row_number(self, part: str, before: int) -> int:
        """The number of the row that ends a part: as it says, or one more than that of the row before it."""
        start = part.rfind(self._row_tag)
        said = _ROW_NUMBER.match(part, start + 1) if start >= 0 else None
        return int(said[1]) if said else before + max(part.count(self._row_tag), 1)

    def _cells(self, part: str) -> dict[int, str]:
        """What the cells of the row that ends a part show, by their columns."""
        found: list[Found] = self._patterns.cell.findall(part)
        count = part.count(self._cell_end)
        self._workbook.cells_left -= count
        if self._workbook.cells_left < 0:
            raise SizeExceeded
        try:
            if len(found) != count or "<!" in part:
                raise _UnusualCells
            cells = self._read(found)
        except _UnusualCells:
            cells = self._read(self._unusual(part))
        if len(cells) < count and self._formula_tag in part:
            self._add_formulas(part, cells)
        return cells

    def _read(self, found: Iterable[Found]) -> dict[int, str]:
        texts = self._texts
        cells: dict[int, str] = {}
        for letters, attributes, value in found:
            text = texts[attributes][value]
            if text:
                cells[COLUMNS[letters]] = text
        return cells

    def _add_formulas(self, part: str, cells: dict[int, str]) -> None:
        """Add the formulas that have no saved result. An empty text is a result."""
        for letters, attributes, formula in self._patterns.formula.findall(part):
            if letters and 't="str"' not in attributes:
                cells.setdefault(COLUMNS[letters], f"={clean(formula)}")
                self.formulas += 1

    def _unusual(self, part: str) -> Iterator[Found]:
        """The cells of a part that is not written the usual way, by a parser. What has no column comes after the last."""
        start = max(part.rfind(self._row_tag), 0)
        root = fragment(f"{part[start:]}</{self._prefix}row>", self._prefix)
        column = 0
        for cell in () if root is None else root.iter("{*}c"):
            text = ""
            for child in cell:
                name = local(child)
                if name == "v":
                    text = escape("".join(child.itertext()))
                elif name == "is":
                    text = escape(tree_text(child))
            reference = _REFERENCE.match((cell.get("r") or "").replace("$", "").upper())
            column = COLUMNS[reference[1]] if reference else column + 1
            said = "".join(f' {key}="{cell.get(key)}"' for key in ("s", "t") if (cell.get(key) or "").isalnum())
            yield column_letters(column), said, text


def _truth(value: str) -> str:
    return "TRUE" if value.strip() in ("1", "true") else "FALSE"


def _iso_date(value: str) -> str:
    """`2020-01-31T00:00:00Z` is a day, anything else a moment."""
    day, _, time = clean(value).partition("T")
    time = time.removesuffix("Z")
    return f"{day} {time}".strip() if time.strip("0:.") else day


def _merges(ahead: str, start: int) -> list[Merge]:
    if start < 0:
        return []
    merges: list[Merge] = []
    for match in _MERGE.finditer(ahead, start):
        left, top, right, bottom = COLUMNS[match[1]], int(match[2]), COLUMNS[match[3]], int(match[4])
        if left <= right and top <= bottom and len(merges) < MOST_MERGES:
            merges.append(Merge(top, left, bottom, right))
    return merges
