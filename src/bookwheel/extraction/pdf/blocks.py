"""From the frames of a PDF page to the blocks of a document: columns, tables, paragraphs, headings and lists."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from bookwheel.document import Block, BlockKind, part_text
from bookwheel.extraction.pdf.columns import Item, line_item, regions, rule_item, table_item
from bookwheel.extraction.pdf.direction import runs_from_right
from bookwheel.extraction.pdf.drawing import Drawing, Rule
from bookwheel.extraction.pdf.grids import Table, find_ruled_tables, merge_rules
from bookwheel.extraction.pdf.letters import join_initials
from bookwheel.extraction.pdf.lines import LEADERS, Line, find_lines, is_wide, join_lines
from bookwheel.extraction.pdf.paragraphs import BULLET, NUMBERED, find_paragraphs
from bookwheel.extraction.pdf.tables import find_plain_tables
from bookwheel.extraction.pdf.words import Frame, Word, turn_box
from bookwheel.extraction.tables import render_table, table_row

BLOCK_CHARACTERS = 8_000
BLOCK_ROWS = 50
MOST_BARRIERS = 200
MOST_HEADING_CHARACTERS = 160
MOST_HEADING_LINES = 3
_ENTRY = re.compile(r" \.\.\. ?[\divxlc]{1,5}$")
_SECTION = re.compile(r"\d{1,3}(?:\.\d{1,3})*\.?(?=\s)")
_COMPOUND = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+")
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_NOT_ENDS = (".", ",", ";", ":", "。", "，", "；", "：", "、", "?", "？")
LARGER = 1.12
"""Times the size of the text: letters of headings."""
MOST_SIZES = 4
FULL_PAGE = 600
"""Characters."""


@dataclass
class Manner:
    """What the pages read so far have taught of the document: how it sets its text, which titles its outline has."""

    outline: dict[str, int] = field(default_factory=dict)
    """Titles, folded, with their levels from 1."""
    compounds: set[str] = field(default_factory=set)
    """Words that were seen with a hyphen within a line."""
    levels: list[float] = field(default_factory=list)
    """Sizes of headings, the largest first."""
    _sizes: Counter[float] = field(default_factory=Counter)
    _bold: int = 0
    _letters: int = 0

    chapter_level: int = 0
    """The level of the last heading with a number of one part."""
    page_size: float = 0.0
    """The letters of the page at hand, where it is full of letters of one size."""

    def turn_to(self, words: Iterable[Word]) -> None:
        """See what is usual on one page: the annexes of a report are not set like the report."""
        sizes: Counter[float] = Counter()
        for word in words:
            sizes[round(2 * word.size) / 2] += len(word.text)
        [(size, count)] = sizes.most_common(1) or [(0.0, 0)]
        self.page_size = size if count > FULL_PAGE else 0.0

    def learn(self, words: Iterable[Word]) -> None:
        for word in words:
            length = len(word.text)
            self._sizes[round(2 * word.size) / 2] += length
            self._letters += length
            if word.bold:
                self._bold += length
            if "-" in word.text and (match := _COMPOUND.search(word.text)):
                self.compounds.add(match.group().casefold())

    def settle(self) -> None:
        """Fix the levels of headings by the sizes seen so far. Later calls change nothing, so that levels stay."""
        if self.levels or not self._letters:
            return
        self.page_size = 0.0
        sizes = [size for size, count in self._sizes.items() if size >= LARGER * self.body_size and count > 2]
        distinct: list[float] = []
        for size in sorted(sizes, reverse=True):
            if not distinct or size < 0.93 * distinct[-1]:
                distinct.append(size)
        self.levels = distinct[-MOST_SIZES:]

    def level_of(self, size: float) -> int:
        """The level of a heading in letters of a size, 0 where they are no larger than the text's."""
        if size < LARGER * self.body_size:
            return 0
        return next(
            (level for level, least in enumerate(self.levels, 1) if size >= 0.96 * least), len(self.levels) or 1
        )

    def numbered_level(self, text: str, level: int) -> int:
        """The level of a heading, no higher than its number says: 3.1 stands under 3."""
        number = _SECTION.match(text)
        if number is None:
            return level
        parts = number.group().rstrip(".").count(".") + 1
        if parts == 1:
            self.chapter_level = level
        return min(max(level, self.chapter_level + parts - 1), 6) if self.chapter_level else level

    @property
    def bold_level(self) -> int:
        """The level of headings that are no larger than the text."""
        return min(len(self.levels) + 1, 5)

    @property
    def body_size(self) -> float:
        return max(self.page_size, self._sizes.most_common(1)[0][0]) if self._sizes else 10.0

    @property
    def is_bold(self) -> bool:
        """Whether bold letters are so common that they mean nothing."""
        return self._bold > 0.4 * self._letters


def fold_title(text: str) -> str:
    """A title as the outline and the page both have it: letters and digits alone."""
    return re.sub(r"[\W_]+", "", text).casefold()


def page_blocks(frames: list[Frame], drawing: Drawing, manner: Manner, anchor: str) -> Iterator[Block]:
    """The blocks of a page: what runs in the page's main direction first, then what stands across."""
    manner.turn_to(frames[0].words if frames else [])
    for index, frame in enumerate(frames):
        horizontals, verticals = _frame_rules(drawing, frame.angle) if index == 0 else ([], [])
        yield from _frame_blocks(frame.words, horizontals, verticals, manner, anchor)


def _frame_rules(drawing: Drawing, angle: int) -> tuple[list[Rule], list[Rule]]:
    """The rules in a frame's coordinates: none where it stands askew."""
    if angle % 90:
        return [], []
    across: list[Rule] = []
    down: list[Rule] = []
    for at, start, end in drawing.horizontals:
        x0, y0, x1, y1 = turn_box(angle, start, at, end, at)
        (across if angle % 180 == 0 else down).append(Rule(y0, x0, x1) if angle % 180 == 0 else Rule(x0, y0, y1))
    for at, start, end in drawing.verticals:
        x0, y0, x1, y1 = turn_box(angle, at, start, at, end)
        (down if angle % 180 == 0 else across).append(Rule(x0, y0, y1) if angle % 180 == 0 else Rule(y0, x0, x1))
    return across, down


def _frame_blocks(
    words: list[Word], horizontals: list[Rule], verticals: list[Rule], manner: Manner, anchor: str
) -> Iterator[Block]:
    tables, words = find_ruled_tables(join_initials(words), horizontals, verticals)
    items = [*map(line_item, find_lines(words)), *map(table_item, tables)]
    for region in regions([*items, *_barriers(items, horizontals)]):
        yield from _region_blocks(region, manner, anchor)


def _barriers(items: list[Item], horizontals: list[Rule]) -> list[Item]:
    """The rules that go across most of the text."""
    if not items or len(horizontals) > MOST_BARRIERS:
        return []
    least = 0.7 * (max(item.x1 for item in items) - min(item.x0 for item in items))
    return [
        rule_item(rule.start, rule.end, rule.at) for rule in merge_rules(horizontals) if rule.end - rule.start > least
    ]


def _region_blocks(items: list[Item], manner: Manner, anchor: str) -> Iterator[Block]:
    """The blocks of one column."""
    lines = [item.content for item in items if isinstance(item.content, Line)]
    tables = [item.content for item in items if isinstance(item.content, Table)]
    plain, lines = find_plain_tables(lines)
    tables = sorted((*tables, *plain), key=lambda table: table.box.top)
    for table in tables:
        above = [line for line in lines if line.top < table.box.top]
        lines = lines[len(above) :] if lines[: len(above)] == above else [line for line in lines if line not in above]
        yield from _text_blocks(above, manner, anchor)
        yield from _table_blocks(table, anchor)
    yield from _text_blocks(lines, manner, anchor)


def _table_blocks(table: Table, anchor: str) -> Iterator[Block]:
    rows = [[LEADERS.sub(" ...", cell) for cell in row] for row in table.rows]
    if runs_from_right("".join(map("".join, rows))):
        rows = [row[::-1] for row in rows]
    text = render_table(rows[:BLOCK_ROWS])
    for start in range(BLOCK_ROWS, len(rows), BLOCK_ROWS):
        yield Block(BlockKind.TABLE, text, anchor)
        text = "".join(map(table_row, rows[start : start + BLOCK_ROWS]))
    yield Block(BlockKind.TABLE, text + "\n", anchor)


class _Paragraph:
    """Some lines and what they are."""

    def __init__(self, lines: list[Line], manner: Manner) -> None:
        self.x0 = lines[0].x0
        text = join_lines((line.text for line in lines), frozenset(manner.compounds))
        self.text = LEADERS.sub(" ...", text).strip()
        self.marker = BULLET.match(self.text)
        self.level = 0 if self.marker else _heading_level(self.text, lines, manner)
        self.is_item = not self.level and (
            self.marker is not None or NUMBERED.match(self.text) is not None or _ENTRY.search(self.text) is not None
        )

    @property
    def kind(self) -> BlockKind:
        if self.level:
            return BlockKind.HEADING
        return BlockKind.LIST if self.is_item else BlockKind.PARAGRAPH


def _text_blocks(lines: list[Line], manner: Manner, anchor: str) -> Iterator[Block]:
    found = [_Paragraph(paragraph, manner) for paragraph in find_paragraphs(lines)]
    for kind, group in groupby((paragraph for paragraph in found if paragraph.text), lambda paragraph: paragraph.kind):
        paragraphs = list(group)
        if kind is BlockKind.LIST:
            yield from _parts(kind, _list_text(paragraphs), anchor)
            continue
        for paragraph in paragraphs:
            if paragraph.level:
                yield Block(kind, f"{'#' * paragraph.level} {paragraph.text}\n\n", anchor, paragraph.level)
            else:
                yield from _parts(kind, paragraph.text + "\n\n", anchor)


def _list_text(items: list[_Paragraph]) -> str:
    """List items, nested by how far in they stand."""
    places: list[float] = []
    for x0 in sorted(item.x0 for item in items):
        if not places or x0 - places[-1] > 10:
            places.append(x0)
    text = ""
    for item in items:
        depth = sum(place < item.x0 - 5 for place in places)
        words = f"- {item.text[item.marker.end() :]}" if item.marker else item.text
        text += "  " * min(depth, 5) + words.rstrip() + "\n"
    return text + "\n"


def _parts(kind: BlockKind, text: str, anchor: str) -> Iterator[Block]:
    while len(text) > BLOCK_CHARACTERS:
        end = part_text(text, BLOCK_CHARACTERS)
        yield Block(kind, text[:end], anchor)
        text = text[end:]
    yield Block(kind, text, anchor)


def _heading_level(text: str, lines: list[Line], manner: Manner) -> int:
    """The level of a heading, 0 where it is none."""
    if len(text) > MOST_HEADING_CHARACTERS or len(lines) > MOST_HEADING_LINES or _ENTRY.search(text):
        return 0
    letters = _NOT_LETTERS.sub("", text)
    if len(letters) < (2 if any(map(is_wide, letters)) else 3) or len(letters) < 0.5 * len(text.replace(" ", "")):
        return 0
    outlined = manner.outline.get(fold_title(text), 0)
    ratio = lines[0].size / manner.body_size
    if outlined and ratio > 0.9:
        return min(outlined, 6)
    by_size = manner.level_of(lines[0].size)
    if by_size and not (text.endswith(_NOT_ENDS) and len(text) > 40):
        return manner.numbered_level(text, by_size)
    stands_alone = len(lines) == 1 and not text.endswith(_NOT_ENDS) and len(text) < 100
    if stands_alone and lines[0].bold and not manner.is_bold and ratio > 0.93:
        return manner.numbered_level(text, manner.bold_level)
    return 0
