"""A page as blocks: takes a parser's events and has each element do what it means.

Nothing here is recursive, and an element that is not known is part of the text around it.
"""

from bookwheel.extraction.html.blocks import BLOCK_HANDLERS, BLOCKS
from bookwheel.extraction.html.boilerplate import is_hidden, is_noise
from bookwheel.extraction.html.inline import INLINE_HANDLERS, describe
from bookwheel.extraction.html.math import Formula
from bookwheel.extraction.html.page import Attributes, Closer, Element, Page, Surroundings
from bookwheel.extraction.html.tables import Item
from bookwheel.extraction.html.writer import MOST_HEADING

_HANDLERS = BLOCK_HANDLERS | INLINE_HANDLERS
_SKIPPED = frozenset(
    "applet audio base canvas colgroup datalist defs embed iframe link map meta metadata noscript param progress rp"
    " script style template video".split()
)
_NONE: Attributes = {}
"""In place of the parser's own empty mapping, which is slow."""
_LINES_OF_HEADING = frozenset(["center", "div", "li", "p", "section"])
"""Blocks inside a heading that are lines of it."""


class PageWalk:
    """Makes blocks of one page. `name` is the page's own among those of the document; `place` its anchor."""

    def __init__(self, surroundings: Surroundings, name: str, place: str) -> None:
        self._page = Page(surroundings, name, place)
        self._open: list[Closer | None] = []
        self._skipped = 0

    @property
    def title(self) -> str:
        """The page's title, once it was read."""
        return self._page.title

    @property
    def depth(self) -> int:
        """How many elements are open."""
        in_formula = self._page.formula.depth if self._page.formula is not None else 0
        return len(self._open) + self._skipped + in_formula

    def take(self) -> list[Item]:
        """The blocks that are complete, in order."""
        return self._page.writer.take()

    # The parser's events

    def start(self, tag: str, attributes: Attributes) -> None:
        attributes = attributes or _NONE
        name = tag.rpartition(":")[2]
        if self._skipped or (name in _SKIPPED and not _is_tex(name, attributes)):
            self._skipped += 1
        elif self._page.formula is not None and name not in BLOCKS:
            self._page.formula.start(name, attributes)
        elif attributes and (is_hidden(name, attributes) or is_noise(attributes)):
            self._skipped += 1
            describe(self._page, name, attributes)
        else:
            self._open.append(self._begin(name, attributes))

    def end(self, tag: str) -> None:
        del tag  # the parser ends what it started
        if self._skipped:
            self._skipped -= 1
        elif self._page.formula is not None:
            self._end_in_formula()
        elif self._open and (closer := self._open.pop()):
            closer()

    def data(self, text: str) -> None:
        if self._skipped:
            return
        page = self._page
        if page.formula is not None:
            page.formula.data(text)
        elif page.verbatim is not None:
            page.verbatim.append(text)
        else:
            if not page.heading:
                page.doubt.count(text)
            page.write(text)

    def close(self) -> None:
        self._skipped = 0
        while self._open:
            self.end("")
        self._page.end_paragraph()

    def _begin(self, name: str, attributes: Attributes) -> Closer | None:
        page = self._page
        if page.formula is not None:
            self._break_formula(page.formula)
        if page.verbatim is not None:
            return self._begin_in_verbatim(name)
        if page.heading and name in BLOCKS:
            if name in _LINES_OF_HEADING and page.writer.inline_size() < MOST_HEADING:
                page.write(" ")
                return None
            page.writer.heading(page.heading)  # it was never closed
            page.heading = 0
        handler = _HANDLERS.get(name)
        closer = handler(Element(page, name, attributes)) if handler is not None else None
        if attributes and page.shared.footnotes:
            page.begin_footnote(attributes)
        return closer

    def _begin_in_verbatim(self, name: str) -> Closer | None:
        if name == "br":
            self._end_line()
        return self._end_line if name in BLOCKS else None

    def _end_line(self) -> None:
        if self._page.verbatim is not None:
            self._page.verbatim.append("\n")

    def _break_formula(self, formula: Formula) -> None:
        """A block begins where a formula should have ended."""
        self._page.formula = None
        self._page.write(formula.text())
        self._open.extend([None] * (formula.depth - 1))

    def _end_in_formula(self) -> None:
        formula = self._page.formula
        if formula is not None and formula.end():
            self._page.formula = None
            self._page.write(formula.text())
            self._open.pop()


def _is_tex(name: str, attributes: Attributes) -> bool:
    return name == "script" and attributes.get("type", "").startswith("math/tex")
