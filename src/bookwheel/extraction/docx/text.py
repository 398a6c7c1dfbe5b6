"""One paragraph of Word as text: its runs, fields, equations, and what is anchored in it.

Deleted and hidden text is left out, inserted text is kept, of alternatives the first that says anything. What is anchored
(text boxes, pictures, charts) is only found here: `Floating`s are for the story to place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree

from bookwheel.extraction.docx.fields import Fields, is_page_number
from bookwheel.extraction.docx.styles import Styles, is_on, value
from bookwheel.extraction.ooxml.drawing import drawn_text
from bookwheel.extraction.ooxml.math import math_text
from bookwheel.extraction.ooxml.package import MC, A, M, R, W
from bookwheel.extraction.ooxml.symbols import symbol, unmask

MOST_DEPTH = 60
"""Of runs in links in insertions in content controls. Below it, text is taken without a look at what holds it."""
MOST_FLOATING = 10_000
MOST_ALTERNATIVES = 8

_V = "{urn:schemas-microsoft-com:vml}"
_OFFICE = "{urn:schemas-microsoft-com:office:office}"
_BOX = f"{W}txbxContent"
_EMBEDDED = {
    f"{A}blip": ("picture", f"{R}embed"),
    f"{_V}imagedata": ("picture", f"{R}id"),
    "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart": ("chart", f"{R}id"),
    "{http://schemas.microsoft.com/office/drawing/2014/chartex}chart": ("chart", f"{R}id"),
    "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds": ("diagram", f"{R}dm"),
    f"{_OFFICE}OLEObject": ("file", f"{R}id"),
}
_DRAWN = f"{A}txBody"
_WANTED = (_BOX, _DRAWN, f"{_V}textpath", *_EMBEDDED)
_TRAILING = re.compile(r"[ \t]+\n")
_INVISIBLE = re.compile("[\u00ad\u200b\ufeff\u2060]")


@dataclass(frozen=True)
class Floating:
    """What is anchored in a paragraph: a text `box` (its element), or a relation's `picture`, `chart`, `diagram`, `file`."""

    kind: str
    relation: str = ""
    box: etree._Element | None = None


@dataclass
class Line:
    """What was read of one paragraph. `comments` are the ids of the comments that end in it."""

    text: str
    floating: list[Floating] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    has_page_number: bool = False


class LineReader:
    """Reads the paragraphs of one part. `note_mark` gives the mark for a reference to a foot- or endnote."""

    def __init__(self, styles: Styles, note_mark: Callable[[str, str], str]) -> None:
        self.hidden_text = False
        self._styles = styles
        self._note_mark = note_mark
        self._fields = Fields()
        self._depth = 0
        self._start()
        self._handlers = self._handlers_by_tag()

    def _start(self) -> None:
        self._fields.reset()
        self._parts: list[str] = []
        self._floating: list[Floating] = []
        self._comments: list[str] = []
        self._page_number = False

    def read(self, paragraph: etree._Element) -> Line:
        """A paragraph as text, its lines parted by line ends."""
        self._start()
        self._walk(paragraph)
        return Line(tidy("".join(self._parts)), self._floating, self._comments, self._page_number)

    def _handlers_by_tag(self) -> dict[str, Callable[[etree._Element], None]]:
        handlers: dict[str, Callable[[etree._Element], None]] = {
            f"{W}r": self._run,
            f"{W}t": self._text,
            f"{W}fldSimple": self._simple_field,
            f"{W}fldChar": self._field_mark,
            f"{W}instrText": self._instruction,
            f"{W}sym": self._symbol,
            f"{W}ruby": self._ruby,
            f"{W}footnoteReference": self._note,
            f"{W}endnoteReference": self._note,
            f"{W}commentReference": self._comment,
            f"{W}drawing": self._float,
            f"{W}pict": self._float,
            f"{W}object": self._float,
            f"{MC}AlternateContent": self._alternatives,
            f"{M}oMath": self._equation,
            f"{M}oMathPara": self._equation,
        }
        for name in "hyperlink ins moveTo smartTag customXml sdt sdtContent dir bdo".split():
            handlers[W + name] = self._walk
        for name, text in _CHARACTERS.items():
            handlers[W + name] = self._character(text)
        return handlers

    def _walk(self, parent: etree._Element) -> None:
        if self._depth > MOST_DEPTH:
            self._add("".join(parent.itertext(f"{W}t")))
            return
        self._depth += 1
        for child in parent:
            handler = self._handlers.get(child.tag)
            if handler is not None:
                handler(child)
        self._depth -= 1

    def _add(self, text: str) -> None:
        if not self._fields.muted:
            self._parts.append(text)

    def _run(self, run: etree._Element) -> None:
        if len(run) and run[0].tag == f"{W}rPr" and len(run[0]) and self._is_hidden(run[0]):
            self.hidden_text = self.hidden_text or any(run.itertext(f"{W}t"))
            return
        self._walk(run)

    def _is_hidden(self, properties: etree._Element) -> bool:
        vanish = properties.find(f"{W}vanish")
        if vanish is not None:
            return is_on(vanish)
        style = properties.find(f"{W}rStyle")
        return style is not None and self._styles.style(value(style)).hidden

    def _text(self, element: etree._Element) -> None:
        text = element.text or ""
        if "\n" in text:
            text = text.replace("\n", " ")
        if not text.isascii():
            fonts = element.getparent().find(f"{W}rPr/{W}rFonts")
            text = unmask(text, None if fonts is None else fonts.get(f"{W}ascii"))
        self._add(text)

    def _character(self, text: str) -> Callable[[etree._Element], None]:
        return lambda _element: self._add(text)

    def _symbol(self, element: etree._Element) -> None:
        self._add(symbol(element.get(f"{W}font"), element.get(f"{W}char")))

    def _ruby(self, element: etree._Element) -> None:
        """`漢字(かんじ)`."""
        for name in ("rubyBase", "rt"):
            part = element.find(W + name)
            if part is not None:
                self._add("(" * (name == "rt"))
                self._walk(part)
                self._add(")" * (name == "rt"))

    def _simple_field(self, element: etree._Element) -> None:
        if is_page_number(element.get(f"{W}instr", "")):
            self._page_number = True
        else:
            self._walk(element)

    def _field_mark(self, element: etree._Element) -> None:
        self._add(self._fields.mark(element))
        self._page_number = self._page_number or (self._fields.muted and element.get(f"{W}fldCharType") == "separate")

    def _instruction(self, element: etree._Element) -> None:
        self._fields.instruct(element.text or "")

    def _note(self, element: etree._Element) -> None:
        kind = "footnote" if element.tag == f"{W}footnoteReference" else "endnote"
        self._add(self._note_mark(kind, element.get(f"{W}id", "")))

    def _comment(self, element: etree._Element) -> None:
        self._comments.append(element.get(f"{W}id", ""))

    def _equation(self, element: etree._Element) -> None:
        equations = element.findall(f"{M}oMath") if element.tag == f"{M}oMathPara" else [element]
        for equation in equations:
            text = math_text(equation).strip()
            if text:
                self._add(f"${text}$" if element is equation else f"$${text}$$")

    def _alternatives(self, element: etree._Element) -> None:
        """The first alternative that gives anything at all."""
        before = len(self._parts), len(self._floating)
        for option in element.iterchildren(f"{MC}Choice", f"{MC}Fallback"):
            self._walk(option)
            if (len(self._parts), len(self._floating)) != before:
                return

    def _float(self, drawing: etree._Element) -> None:
        """Find what a drawing holds; what a text box holds is its own affair."""
        ahead = [(drawing, 0)]  # elements, and in how many alternatives they stand
        while ahead and len(self._floating) < MOST_FLOATING:
            element, depth = ahead.pop()
            if element.tag == _BOX:
                self._floating.append(Floating("box", box=element))
            elif element.tag == f"{MC}AlternateContent":
                ahead += [(option, depth + 1) for option in _best_option(element, depth)]
            elif element.tag == _DRAWN:
                self._add(f"\n{drawn_text(element)}\n")
            elif element.tag == f"{_V}textpath":
                self._add(element.get("string", ""))
            else:
                kind, attribute = _EMBEDDED.get(element.tag, ("", ""))
                if kind and element.get(attribute):
                    self._floating.append(Floating(kind, element.get(attribute)))
                ahead += [(child, depth) for child in reversed(element)]


def _best_option(alternatives: etree._Element, depth: int) -> list[etree._Element]:
    """The first alternative with text or a picture in it, if there is one; deep down none is looked for."""
    if depth >= MOST_ALTERNATIVES:
        return []
    options = alternatives.iterchildren(f"{MC}Choice", f"{MC}Fallback")
    return [option for option in options if next(option.iter(*_WANTED), None) is not None][:1]


def tidy(text: str) -> str:
    """Text without what is not seen: soft hyphens, spaces at line ends; spaces that do not break are spaces."""
    if not text.isascii():
        text = _INVISIBLE.sub("", text.replace("\xa0", " "))
    if "\n" in text:
        text = _TRAILING.sub("\n", text)
    return text.strip()


_CHARACTERS = {
    "tab": "\t",
    "ptab": "\t",
    "br": "\n",
    "cr": "\n",
    "noBreakHyphen": "-",
}
