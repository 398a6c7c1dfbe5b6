"""Blocks from the flow of a page: inline text is gathered, and at each end of a paragraph it becomes part of a block.

The writer knows lists, quotes, cells and headings, but no tags: `html.walk` reads those.
"""

import re
from dataclasses import dataclass, field

from bookwheel.document import Block, BlockKind, Picture, part_text
from bookwheel.extraction.html.tables import Item
from bookwheel.extraction.html.text import BREAK, tidy

BLOCK_CHARACTERS = 8_000
LIST_CHARACTERS = 6_000
MOST_HEADING = 400
"""What is longer is a paragraph that was made large."""
MOST_ANCHOR = 120
MOST_TITLE = 60
MOST_INDENT = 12
MOST_QUOTES = 3
MOST_INLINE = 1_000_000
"""Characters and pieces of inline text that are held before they become a paragraph, whatever the page says."""

_PARAGRAPHS = re.compile(r"\n{2,}")


@dataclass(slots=True)
class _List:
    ordered: bool
    number: int
    style: str


@dataclass(slots=True)
class _Margin:
    """Where lines begin: inside which lists, which quotes, and what the next line must begin with."""

    lists: list[_List] = field(default_factory=list)
    quotes: int = 0
    marker: str = ""
    lines: str = ""


class Writer:
    """Takes a page's flow, and holds the blocks it made until they are taken.

    `place` is the anchor of what stands under no heading.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._path: list[tuple[int, str]] = []
        self.anchor = place
        self._inline: list[str] = []
        self._inline_size = 0
        self.generation = 0
        self._sinks: list[list[Item]] = [[]]
        self._margins = [_Margin()]
        self._pictures: list[Picture] = []
        self.note = ""
        """The label of the footnote that the next paragraph is."""

    def take(self) -> list[Item]:
        """The blocks that are complete, in order."""
        items, self._sinks[0] = self._sinks[0], []
        return items

    # Inline text

    def write(self, text: str) -> None:
        self._inline.append(text)
        self._inline_size += len(text) + 1
        if self._inline_size > MOST_INLINE:
            self.end_paragraph()

    def line_break(self) -> None:
        self.write(BREAK)

    def mark(self) -> tuple[int, int]:
        """Where inline text is now, for `cut`."""
        return self.generation, len(self._inline)

    def cut(self, mark: tuple[int, int]) -> str:
        """Take back the inline text since a mark. Nothing, where a paragraph has ended since."""
        generation, start = mark
        if generation != self.generation:
            return ""
        text = "".join(self._inline[start:])
        del self._inline[start:]
        return text

    def inline_size(self) -> int:
        """How many characters stand in this paragraph so far, about."""
        return self._inline_size

    def is_at_start(self) -> bool:
        """Whether nothing stands in this paragraph yet."""
        return all(map(str.isspace, self._inline)) if len(self._inline) < 20 else False

    def take_inline(self) -> str:
        """All inline text, as it is seen; the next paragraph begins."""
        raw = "".join(self._inline)
        self._inline.clear()
        self._inline_size = 0
        self.generation += 1
        return "" if not raw or raw.isspace() else tidy(raw)

    # Blocks

    def end_paragraph(self, kind: BlockKind = BlockKind.PARAGRAPH) -> None:
        """What was written is a paragraph, or several where blank lines part them."""
        if not self._inline and not self._pictures:
            return
        text = self.take_inline()
        if text:
            margin = self._margins[-1]
            if margin.lists:
                self._add_lines(margin, text)
            else:
                for paragraph in _PARAGRAPHS.split(text):
                    self._put_paragraph(kind, paragraph, margin)
        if self._pictures:
            self._put_pictures()

    def _put_paragraph(self, kind: BlockKind, text: str, margin: _Margin) -> None:
        text = self._noted(text)
        if margin.quotes:
            quote = "> " * margin.quotes
            text = quote + text.replace("\n", "\n" + quote)
        self.put(kind, text + "\n\n")

    def _add_lines(self, margin: _Margin, text: str) -> None:
        """A paragraph inside a list: under its item's marker."""
        indent = "  " * min(len(margin.lists) - 1, MOST_INDENT)
        if self.note:
            first, text = indent, self._noted(text)
        else:
            first = indent + (margin.marker or "  ")
        margin.marker = ""
        lines = text.replace("\n\n", "\n").replace("\n", f"\n{indent}  ")
        margin.lines += f"{first}{lines}\n"
        if len(margin.lines) > LIST_CHARACTERS:
            self._put_list(margin)

    def _noted(self, text: str) -> str:
        """The paragraph as the footnote that it is, its own label taken away."""
        if not self.note:
            return text
        label, self.note = self.note, ""
        own = re.match(rf"\W{{0,2}}{re.escape(label)}(?!\w)[\]).:：]?\s*", text)
        return f"[^{label}]: {text[own.end() :] if own else text}"

    def _put_list(self, margin: _Margin) -> None:
        if margin.lines:
            text, margin.lines = margin.lines, ""
            self.put(BlockKind.LIST, text if margin.lists else text + "\n")

    def _put_pictures(self) -> None:
        """The pictures that stood in the paragraph, after it."""
        pictures, self._pictures = self._pictures, []
        self._put_list(self._margins[-1])
        self._sinks[-1].extend(pictures)

    def put(self, kind: BlockKind, text: str, level: int = 0) -> None:
        """A block at the place that is reached, in parts where it is long."""
        self._sinks[-1].extend(_parts(Block(kind, text, self.anchor, level)))

    def put_items(self, items: list[Item]) -> None:
        """Blocks that are ready, after what was written so far."""
        self.end_paragraph()
        self._put_list(self._margins[-1])
        for item in items:
            self._sinks[-1].extend(_parts(item) if isinstance(item, Block) else [item])

    def picture(self, picture: Picture) -> None:
        self._pictures.append(picture)

    def heading(self, level: int) -> None:
        """What was written is a heading. In a list, and at level 0, it is a line as any other."""
        if not level or self._margins[-1].lists:
            self.end_paragraph()
            return
        text = self.take_inline().replace("\n", " ")
        if len(text) > MOST_HEADING:
            self.put(BlockKind.PARAGRAPH, text + "\n\n")
        elif text:
            self.note = ""
            self._descend(level, text)
            self.put(BlockKind.HEADING, f"{'#' * level} {text}\n\n", level)
        self._put_pictures()

    def _descend(self, level: int, title: str) -> None:
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, title))
        self.anchor = join_titles([title for _, title in self._path])

    def path(self) -> list[tuple[int, str]]:
        """The headings that the place stands under, for `restore`."""
        return list(self._path)

    def restore(self, path: list[tuple[int, str]]) -> None:
        """Go back under the headings of an earlier place."""
        self._path = path
        self.anchor = join_titles([title for _, title in path]) or self._place

    def code(self, text: str) -> None:
        """A block whose white space counts."""
        self._put_list(self._margins[-1])
        if text.strip():
            self.put(BlockKind.CODE, "```\n{}\n```\n\n".format(text.strip("\r\n").rstrip()))
        self._put_pictures()

    # Lists, quotes, cells

    def begin_list(self, *, ordered: bool = False, first: int = 1, style: str = "") -> None:
        self.end_paragraph()
        self._margins[-1].lists.append(_List(ordered, first, style))

    def end_list(self) -> None:
        self.end_paragraph()
        margin = self._margins[-1]
        margin.lists.pop()
        margin.marker = ""
        if not margin.lists:
            self._put_list(margin)

    def in_list(self) -> bool:
        return bool(self._margins[-1].lists)

    def item(self, number: int | None = None) -> None:
        """An item of the innermost list begins."""
        self.end_paragraph()
        margin = self._margins[-1]
        innermost = margin.lists[-1]
        if number is not None:
            innermost.number = number
        margin.marker = f"{numeral(innermost.number, innermost.style)}. " if innermost.ordered else "- "
        innermost.number += 1

    def continue_item(self) -> None:
        """What follows stands under the item before it: the definition of a term."""
        self.end_paragraph()
        self._margins[-1].marker = "  "

    def begin_quote(self) -> None:
        self.end_paragraph()
        margin = self._margins[-1]
        margin.quotes = min(margin.quotes + 1, MOST_QUOTES)

    def end_quote(self, quotes_before: int) -> None:
        self.end_paragraph()
        self._margins[-1].quotes = quotes_before

    def quotes(self) -> int:
        return self._margins[-1].quotes

    def begin_cell(self) -> None:
        """What follows goes into a cell, until `end_cell`."""
        self.end_paragraph()
        self._sinks.append([])
        self._margins.append(_Margin())

    def end_cell(self) -> list[Item]:
        """The blocks of the cell."""
        self.end_paragraph()
        margin = self._margins.pop()
        self._put_list(margin)
        return self._sinks.pop()


def _parts(block: Block) -> list[Block]:
    """A block, in parts where it is too long."""
    if len(block.text) <= BLOCK_CHARACTERS:
        return [block]
    parts: list[Block] = []
    start = 0
    while start < len(block.text):
        window = block.text[start : start + BLOCK_CHARACTERS]
        size = part_text(window, BLOCK_CHARACTERS) if start + len(window) < len(block.text) else len(window)
        parts.append(Block(block.kind, window[:size], block.anchor, block.level))
        start += size
    return parts


def join_titles(titles: list[str]) -> str:
    """A path of titles, of at most MOST_ANCHOR characters: the last counts most."""
    short = [_shortened(title.strip(), MOST_TITLE) for title in titles if title.strip()]
    while len(short) > 1 and len(" > ".join(short)) > MOST_ANCHOR:
        short.pop(-2)
    return " > ".join(short)


def _shortened(title: str, most: int) -> str:
    return title if len(title) <= most else title[: most - 1].rstrip() + "…"


def numeral(number: int, style: str) -> str:
    """An item's number in the style of a list: `1`, `a`, `A`, `i`, `I`."""
    if style in ("a", "A") and 0 < number <= 26:
        return chr(ord(style) + number - 1)
    if style in ("i", "I") and 0 < number < 40:
        roman = "x" * (number // 10) + ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"][number % 10]
        return roman if style == "i" else roman.upper()
    return str(number)
