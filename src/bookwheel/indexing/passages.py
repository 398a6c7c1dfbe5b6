"""Cuts a document into passages: the units of search, a sentence or a few of about PASSAGE_TOKENS tokens.

They are small, because a question is scored over windows of neighbouring passages and the window that fits best wins;
what is shown grows from them. A passage never crosses a heading or a page mark, and it ends where a sentence ends unless
the sentence is very long.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bookwheel.document import BlockKind, BlockSpan
from bookwheel.indexing.headings import HeadingLine, find_headings
from bookwheel.sentences import split_sentences
from bookwheel.tokens import count_for_budget, count_tokens

PASSAGE_TOKENS = 50
LONGEST_TOKENS = 80
"""What a single sentence may have before it is cut."""
MOST_TOKENS = 100
"""What a part of such a sentence may have: passages have no more, whatever the text is."""
LONGEST_TITLE_CHARACTERS = 200
DEEPEST_LEVEL = 9
"""Both bound a heading path, which every section has: a heading may be any paragraph that was set as one."""


@dataclass(frozen=True, slots=True)
class Passage:
    """`text[start:end]` of a document, without white space around it; `section` is the number of its section.

    `tokens` is what it takes of a budget (see `tokens.count_for_budget`).
    """

    start: int
    end: int
    tokens: int
    section: int


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under a heading, up to the next. Section 0 is what stands before any heading: its title is empty.

    `heading_path` are the titles of the headings above it and its own, the outermost first.
    """

    heading_path: tuple[str, ...]
    level: int
    start: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A sentence or a part of one, and what it takes of a budget."""

    start: int
    end: int
    tokens: int


@dataclass(slots=True)
class Cutting:
    """A document cut into passages; sections and passages in the document's order."""

    sections: list[Section] = field(default_factory=lambda: [Section((), 0, 0)])
    passages: list[Passage] = field(default_factory=list)


def cut_passages(text: str, blocks: Iterable[BlockSpan]) -> Cutting:
    """The passages and sections of a document's text. O(characters) time."""
    cutter = _Cutter(text)
    for block in blocks:
        cutter.add(block)
    cutter.close()
    return cutter.cutting


class _Cutter:
    def __init__(self, text: str) -> None:
        self.cutting = Cutting()
        self._text = text
        self._above: list[tuple[int, str]] = []
        self._start = self._end = self._tokens = 0

    def add(self, block: BlockSpan) -> None:
        if block.kind is BlockKind.MARK:
            self.close()
            return
        if block.kind is BlockKind.HEADING:
            self._open_section(block.start, block.end, block.level)
        start = block.start
        for heading in self._headings_inside(block):
            self._add_sentences(start, heading.start)
            self._open_section(heading.start, heading.end, heading.level)
            start = heading.start
        self._add_sentences(start, block.end)
        if block.kind is not BlockKind.HEADING and self._tokens >= PASSAGE_TOKENS // 2:
            self.close()

    def close(self) -> None:
        """End the passage under way, if there is one."""
        if self._tokens:
            section = len(self.cutting.sections) - 1
            self.cutting.passages.append(Passage(self._start, self._end, self._tokens, section))
        self._tokens = 0

    def _headings_inside(self, block: BlockSpan) -> Iterator[HeadingLine]:
        """The headings of plain text, where the format has none of its own, with offsets of the document."""
        if block.kind is BlockKind.PARAGRAPH:
            for line in find_headings(self._text[block.start : block.end]):
                yield HeadingLine(block.start + line.start, block.start + line.end, line.level)

    def _add_sentences(self, start: int, end: int) -> None:
        for sentence in split_sentences(self._text[start:end]):
            for part in _parts(self._text, start + sentence.start, start + sentence.end):
                self._add_part(part)

    def _add_part(self, part: _Part) -> None:
        tokens = part.tokens + self._tokens_before(part) if self._tokens else part.tokens
        if self._tokens and self._tokens + tokens > PASSAGE_TOKENS:
            self.close()
            tokens = part.tokens
        if not self._tokens:
            self._start = part.start
        self._end = part.end
        self._tokens += tokens

    def _tokens_before(self, part: _Part) -> int:
        """What stands between the passage under way and a part: line ends count, a single space does not."""
        between = self._text[self._end : part.start]
        return 0 if between in ("", " ") else count_tokens(between)

    def _open_section(self, start: int, end: int, level: int) -> None:
        self.close()
        level = min(level, DEEPEST_LEVEL)
        title = " ".join(self._text[start:end].lstrip("# \t\u3000").split())[:LONGEST_TITLE_CHARACTERS].rstrip()
        self._above = [(other, above) for other, above in self._above if other < level]
        self._above.append((level, title))
        self.cutting.sections.append(Section(tuple(above for _, above in self._above), level, start))


def _parts(text: str, start: int, end: int) -> Iterator[_Part]:
    """A sentence whole, or in parts of about LONGEST_TOKENS, cut at clauses, else words, else anywhere."""
    tokens = count_for_budget(text[start:end])
    while start < end and tokens > LONGEST_TOKENS:
        part = _first_part(text, start, start + (end - start) * LONGEST_TOKENS // tokens)
        yield part
        start = part.end
        while start < end and text[start].isspace():
            start += 1
        tokens -= part.tokens
        if tokens <= LONGEST_TOKENS:  # parts need not add up to the whole: the last is counted anew
            tokens = count_for_budget(text[start:end])
    if start < end:
        yield _Part(start, end, tokens)


def _first_part(text: str, start: int, limit: int) -> _Part:
    """The text from `start` up to `limit`, or less where its tokens are denser than was thought."""
    while True:
        cut = _last_break(text, start, max(limit, start + 1))
        while text[cut - 1].isspace():
            cut -= 1
        tokens = count_for_budget(text[start:cut])
        if tokens <= MOST_TOKENS or cut == start + 1:
            return _Part(start, cut, tokens)
        limit = start + (cut - start) * LONGEST_TOKENS // tokens


def _last_break(text: str, start: int, limit: int) -> int:
    """The end of the last clause in the second half of `text[start:limit]`, else of a word, else the limit."""
    middle = (start + limit) // 2
    for marks in (("；", "，", "、", "; ", ", ", " - ", "："), (" ", "\u3000", "\t", "\n")):
        end = max(text.rfind(mark, middle, limit) + len(mark) for mark in marks)
        if end > middle:
            return end
    return limit
