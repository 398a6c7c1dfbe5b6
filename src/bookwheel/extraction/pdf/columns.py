"""Reading order: a PDF page's lines parted into columns, from left to right within what they share.

A gutter is white space that goes down between lines. The best one of a region, the one with most text on its lesser
side, parts it into what stands above, to the left, to the right and below; each of these is parted in turn. Where the
pieces to the left and to the right are cells of the same rows rather than running text, they stay together.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from operator import attrgetter
from statistics import median
from typing import NamedTuple

from bookwheel.extraction.pdf.direction import runs_from_right
from bookwheel.extraction.pdf.grids import Table
from bookwheel.extraction.pdf.lines import Line, is_wide

MOST_DEPTH = 14
MOST_GUTTERS = 40
TRIES = 6
MOST_COMPARED = 200
LEAST_WEIGHT = 9
"""Characters of a column: with fewer, it is a piece of a formula."""
LEAST_GUTTER = 0.7
"""In letter heights."""


class Item(NamedTuple):
    """What is put in order: a line, a table, or nothing but a rule that no column goes through."""

    x0: float
    top: float
    x1: float
    bottom: float
    weight: int
    """Characters."""
    content: Line | Table | None

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


class _Cut(NamedTuple):
    """The gutter from `left` to `right`, and from `top` to `bottom`."""

    weight: int
    left: float
    right: float
    top: float
    bottom: float


def line_item(line: Line) -> Item:
    return Item(line.x0, line.top, line.x1, line.bottom, line.characters, line)


def table_item(table: Table) -> Item:
    box = table.box
    return Item(box.x0, box.top, box.x1, box.bottom, sum(len(cell) for row in table.rows for cell in row), table)


def rule_item(x0: float, x1: float, y: float) -> Item:
    return Item(x0, y - 0.5, x1, y + 0.5, 0, None)


def regions(items: list[Item], depth: int = MOST_DEPTH) -> Iterator[list[Item]]:
    """The items of one column after the other, each from top to bottom."""
    cut = _best_cut(items) if depth else None
    if cut is None:
        found = [item for item in items if item.content is not None]
        if found:
            yield sorted(found, key=attrgetter("top"))
        return
    above, left, right, below = _part(items, cut)
    sides = (right, left) if _is_from_right(items) else (left, right)
    for part in (above, *sides, below):
        yield from regions(part, depth - 1)


def _is_from_right(items: list[Item]) -> bool:
    """Whether columns go from right to left, as their lines do."""
    return runs_from_right("".join(item.content.words[0].text for item in items if isinstance(item.content, Line)))


def _part(items: list[Item], cut: _Cut) -> tuple[list[Item], list[Item], list[Item], list[Item]]:
    above, left, right, below = [], [], [], []
    for item in items:
        if item.middle <= cut.top:
            above.append(item)
        elif item.middle >= cut.bottom:
            below.append(item)
        elif item.x1 <= cut.right:
            left.append(item)
        else:
            right.append(item)
    return above, left, right, below


def _best_cut(items: list[Item]) -> _Cut | None:
    found = [item for item in items if item.content is not None]
    if len(found) < 3:
        return None
    least = LEAST_GUTTER * median(map(_size, found))
    edges = _edges(found, least)
    places = sorted((item.middle, *item[:5]) for item in items)
    cuts = sorted((cut for edge in edges for cut in _cuts(places, edge - 0.5 - least, edge - 0.5)), reverse=True)
    return next((cut for cut in cuts[:TRIES] if _parts_columns(items, cut)), None)


def _edges(items: list[Item], least: float) -> list[int]:
    """Where a gutter may end: at the left edges of items, those first that have most on their lesser side."""
    ends = sorted((item.x1, item.weight) for item in items)
    starts = sorted((item.x0, item.weight) for item in items)
    before = list(accumulate((weight for _, weight in ends), initial=0))
    after = list(accumulate((weight for _, weight in reversed(starts)), initial=0))
    sides = []
    for edge in {2 * math.floor(item.x0 / 2) for item in items}:
        left = before[bisect_right(ends, (edge - least, float("inf")))]
        right = after[len(starts) - bisect_left(starts, (edge - 0.5, 0))]
        if left and right:
            sides.append((min(left, right), edge))
    return [edge for _, edge in sorted(sides, reverse=True)[:MOST_GUTTERS]]


def _size(item: Item) -> float:
    return item.content.size if isinstance(item.content, Line) else item.bottom - item.top


_Place = tuple[float, float, float, float, float, int]
"""An item's middle, left, top, right, bottom and weight."""


def _cuts(places: list[_Place], left: float, right: float) -> Iterator[_Cut]:
    """Where the strip from `left` to `right` is free, between the items that cross it."""
    crossing = sorted((top, bottom) for _, x0, top, x1, bottom, _ in places if x0 < right and x1 > left)
    start = float("-inf")
    spans = []
    for top, bottom in crossing:
        if top > start:
            spans.append((start, top))
        start = max(start, bottom)
    spans.append((start, float("inf")))
    beside = iter([(place[0], place[3] <= left, place[5]) for place in places if place[3] <= left or place[1] >= right])
    middle, is_left, weight = next(beside, _END)
    for top, bottom in spans:
        weights = [0, 0]
        while middle < bottom:
            if middle > top:
                weights[is_left] += weight
            middle, is_left, weight = next(beside, _END)
        if weights[0] and weights[1]:
            yield _Cut(min(weights), left, right, top, bottom)


_END = (float("inf"), False, 0)


def _parts_columns(items: list[Item], cut: _Cut) -> bool:
    """Whether what stands left and right of a gutter is to be read one after the other."""
    _, left, right, _ = _part(items, cut)
    if len(left) + len(right) < 3 or cut.weight < LEAST_WEIGHT:
        return False
    few, many = sorted((left, right), key=len)
    if not _stand_beside(few, many):
        return False
    return (_is_prose(left) and _is_prose(right)) or _aligned_share(few, many) < 0.5


def _stand_beside(few: list[Item], many: list[Item]) -> bool:
    """Whether most of the one side has something of the other beside it: headings in the margin have not."""
    some = few[:: len(few) // MOST_COMPARED + 1]
    beside = sum(any(item.top < other.bottom and item.bottom > other.top for other in many) for item in some)
    return beside >= 0.5 * len(some)


def _is_prose(items: list[Item]) -> bool:
    weight = sum(item.weight for item in items)
    return sum(item.weight for item in items if _runs(item)) > 0.6 * weight


_DIGIT = re.compile(r"\d")


def _runs(item: Item) -> bool:
    """Whether this is a line of running text, by its words; a table with rules stands in a column like a paragraph."""
    if not isinstance(item.content, Line):
        return True
    words = item.content.words
    text = "".join(word.text for word in words)
    if len(_DIGIT.findall(text)) > 0.4 * len(text):
        return False
    return len(words) >= 4 or sum(map(is_wide, text)) >= 10


def _aligned_share(few: list[Item], many: list[Item]) -> float:
    """The share of lines that have one of the other side on their own baseline."""
    bases = [item.content.base for item in many if isinstance(item.content, Line)]
    lines = [item.content for item in few if isinstance(item.content, Line)][:: len(few) // MOST_COMPARED + 1]
    if not lines:
        return 0.0
    found = sum(any(abs(line.base - base) <= 0.15 * line.size for base in bases) for line in lines)
    return found / len(lines)
