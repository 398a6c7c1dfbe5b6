"""Presentations (PPTX, PPTM, PPSX): each slide's title, text, tables, charts, diagrams, notes and comments.

Slides come in the order of the show, hidden ones with them. On a slide the title comes first, then shapes from above to
below and from left to right. Dates and slide numbers are left out; footers stand once, and so does what layouts and
masters write on their slides. Embedded documents and workbooks stand where they are drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from bookwheel.document import Block, BlockKind, Picture, page_mark
from bookwheel.extraction.formats import docx, xlsx
from bookwheel.extraction.notes import MOST_PICTURE_BYTES, Notes
from bookwheel.extraction.ooxml.blocks import cut
from bookwheel.extraction.ooxml.drawing import chart_blocks, diagram_blocks, drawn_text, line_text
from bookwheel.extraction.ooxml.embedded import Embedded, Reader
from bookwheel.extraction.ooxml.package import CUT_OFF, A, P, Package, R
from bookwheel.extraction.ooxml.shapes import MOST_DEPTH, Box, Key, Sides, placeholder_sides, shapes_in, static_texts
from bookwheel.extraction.ooxml.slide_text import frame_lines, table_rows
from bookwheel.extraction.tables import render_table

MOST_NAMED = 10

_TITLES = ("title", "ctrTitle")
_LISTED = ("body", "obj")
_LEFT_OUT = ("sldNum", "dt", "hdr")
_EMBEDDED = {
    "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart": ("chart", f"{R}id"),
    "{http://schemas.microsoft.com/office/drawing/2014/chartex}chart": ("chart", f"{R}id"),
    "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds": ("diagram", f"{R}dm"),
}
_EMBEDDED_FILES: dict[str, Reader] = {
    **dict.fromkeys((".docx", ".docm"), docx.read_alone),
    **dict.fromkeys((".xlsx", ".xlsm"), xlsx.read),
}
_NEWER = "{http://schemas.microsoft.com/office/powerpoint/2018/8/main}"


def read(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """The blocks of a presentation. Anchors are `slide N`, counted from 1 in the order of the show."""
    with Package(path, notes.folder) as package:
        part = package.main_part("presentationml", "ppt/presentation.xml")
        show = _Show(package, notes, part, Embedded(package, notes, _EMBEDDED_FILES))
        slides = _slides(package, part)
        hidden: list[int] = []
        for number, name in enumerate(slides, 1):
            notes.reading("slide", number, len(slides))
            if len(slides) > 1:
                yield page_mark("slide", number)
            tree = package.tree(name) if name else None
            if tree is None:
                notes.warn(f"Slide {number} is damaged and could not be read.")
                continue
            hidden += [number] if tree.get("show") in ("0", "false") else []
            yield from _Slide(show, name, number).blocks(tree)
        if package.is_cut_off:
            notes.warn(CUT_OFF)
        if hidden:
            notes.warn(f"Hidden slides were read too: {', '.join(map(str, hidden[:MOST_NAMED]))}.")


def _slides(package: Package, part: str) -> list[str]:
    """The parts of the slides in the order of the show; empty names for those that are missing."""
    tree = package.tree(part)
    listed = [] if tree is None else tree.findall(f"{P}sldIdLst/{P}sldId")
    slides: dict[str, str] = {}  # each once, whatever the list says
    for one in listed:
        relation = one.get(f"{R}id", "")
        name = package.target(part, relation) or ""
        slides.setdefault(name or relation, name)
    return list(slides.values()) or package.related(part, "slide")


@dataclass(frozen=True)
class _Layout:
    """A layout or a master: where its placeholders stand, what it writes on its slides."""

    sides: dict[Key, Sides]
    texts: list[str]
    shows_master: bool


@dataclass
class _Show:
    """What the slides of one presentation share."""

    package: Package
    notes: Notes
    part: str
    embedded: Embedded
    pictures: set[str] = field(default_factory=set)
    footers: set[str] = field(default_factory=set)
    layouts: dict[str, _Layout] = field(default_factory=dict)
    _authors: dict[str, str] | None = None

    def layout(self, name: str) -> _Layout:
        """The layout or the master of that name."""
        if name not in self.layouts:
            tree = self.package.tree(name)
            texts = ["\n".join(frame_lines(frame, listed=False)) for frame in static_texts(tree)]
            self.layouts[name] = _Layout(placeholder_sides(tree), texts, _shows_master(tree))
        return self.layouts[name]

    def is_new(self, text: str) -> bool:
        """Whether it is the first time that slides repeat this text."""
        is_new = text not in self.footers
        self.footers.add(text)
        return is_new

    def author(self, author_id: str) -> str:
        """The name of who wrote a comment, or nothing."""
        if self._authors is None:
            self._authors = {}
            for name in (
                *self.package.related(self.part, "commentAuthors"),
                *self.package.related(self.part, "authors"),
            ):
                tree = self.package.tree(name)
                for one in () if tree is None else tree:
                    self._authors[one.get("id", "")] = one.get("name", "")
        return self._authors.get(author_id, "")


class _Slide:
    """Reads one slide, whose part is `name`."""

    def __init__(self, show: _Show, name: str, number: int) -> None:
        self._show = show
        self._package = show.package
        self._name = name
        self._anchor = f"slide {number}"
        self._layouts = self._layouts_of(name)

    def _layouts_of(self, name: str) -> list[str]:
        layouts = self._package.related(name, "slideLayout")[:1]
        return [*layouts, *(master for one in layouts for master in self._package.related(one, "slideMaster")[:1])]

    def blocks(self, tree: etree._Element) -> Iterator[Block | Picture]:
        shapes = tree.find(f"{P}cSld/{P}spTree")
        boxes = [] if shapes is None else shapes_in(shapes, self._inherited)
        title = next((box for box in boxes if box.key and box.key[0] in _TITLES), None)
        if title is not None:
            yield from self._heading(title)
        for box in boxes:
            if box is not title:
                yield from self._shape(box, 0)
        if _shows_master(tree):
            yield from self._static()
        yield from self._speaker_notes()
        yield from self._comments()

    def _inherited(self, key: Key) -> Sides | None:
        """A placeholder stands where its layout has it, or the layout's master."""
        kind, index = key
        for name in self._layouts:
            sides = self._show.layout(name).sides
            same = (sides[other] for other in sides if other[1] == index != "0" or other[0] == kind != "obj")
            found = sides.get(key) or next(same, None)
            if found:
                return found
        return None

    def _static(self) -> Iterator[Block]:
        """What its layout and its master write on it, unless other slides said it before."""
        for name in self._layouts:
            layout = self._show.layout(name)
            for text in layout.texts:
                if text and self._show.is_new(text):
                    yield from cut(BlockKind.PARAGRAPH, f"{text}\n\n", self._anchor)
            if not layout.shows_master:
                return

    def _heading(self, box: Box) -> Iterator[Block]:
        text = " ".join(drawn_text(box.element).split())
        if text:
            level = 1 if box.key and box.key[0] == "ctrTitle" else 2
            yield from cut(BlockKind.HEADING, f"{'#' * level} {text}\n\n", self._anchor, level)

    def _shape(self, box: Box, depth: int) -> Iterator[Block | Picture]:
        element = box.element
        if element.tag == f"{P}grpSp":
            for inner in shapes_in(element, self._inherited) if depth < MOST_DEPTH else ():
                yield from self._shape(inner, depth + 1)
        elif element.tag == f"{P}graphicFrame":
            yield from self._frame(element)
        elif element.tag == f"{P}pic":
            yield from self._picture(element.find(f"{P}blipFill/{A}blip"))
        elif element.tag in (f"{P}sp", f"{P}cxnSp"):
            yield from self._text(element, box.key)
            yield from self._picture(element.find(f"{P}spPr/{A}blipFill/{A}blip"))

    def _text(self, element: etree._Element, key: Key | None) -> Iterator[Block]:
        frame = element.find(f"{P}txBody")
        kind = key[0] if key else ""
        if frame is None or kind in _LEFT_OUT:
            return
        lines = frame_lines(frame, listed=kind in _LISTED)
        text = "\n".join(lines)
        if text and (kind != "ftr" or self._show.is_new(text)):
            is_list = len(lines) > 1 and any(line.lstrip().startswith("- ") for line in lines)
            yield from cut(BlockKind.LIST if is_list else BlockKind.PARAGRAPH, f"{text}\n\n", self._anchor)

    def _frame(self, element: etree._Element) -> Iterator[Block | Picture]:
        for found in element.iter(f"{A}tbl", f"{A}blip", f"{P}oleObj", *_EMBEDDED):
            if found.tag == f"{A}tbl":
                yield from self._table(found)
            elif found.tag == f"{A}blip":
                yield from self._picture(found)
            elif found.tag == f"{P}oleObj":
                yield from self._file(found)
            else:
                kind, attribute = _EMBEDDED[found.tag]
                name = self._package.target(self._name, found.get(attribute))
                tree = self._package.tree(name) if name else None
                if tree is not None:
                    yield from (chart_blocks if kind == "chart" else diagram_blocks)(tree, self._anchor)

    def _file(self, element: etree._Element) -> Iterator[Block]:
        """An embedded file. It stands there twice, the second time for older programs."""
        name = self._package.target(self._name, element.get(f"{R}id"))
        if name and name not in self._show.pictures:
            self._show.pictures.add(name)
            yield from self._show.embedded.blocks(name, self._anchor)

    def _table(self, table: etree._Element) -> Iterator[Block]:
        text = render_table(table_rows(table))
        if text:
            yield from cut(BlockKind.TABLE, f"{text}\n", self._anchor)

    def _picture(self, blip: etree._Element | None) -> Iterator[Picture]:
        name = None if blip is None else self._package.target(self._name, blip.get(f"{R}embed"))
        if name is None or name in self._show.pictures:
            return
        self._show.pictures.add(name)
        data = self._package.picture(name, MOST_PICTURE_BYTES)
        picture = self._show.notes.keep_picture(data, self._anchor)
        if picture:
            yield picture

    def _speaker_notes(self) -> Iterator[Block]:
        for name in self._package.related(self._name, "notesSlide"):
            tree = self._package.tree(name)
            shapes = None if tree is None else tree.find(f"{P}cSld/{P}spTree")
            for box in () if shapes is None else shapes_in(shapes, lambda _key: None):
                frame = box.element.find(f"{P}txBody")
                if frame is not None and (box.key is None or box.key[0] == "body"):
                    text = "\n".join(frame_lines(frame, listed=False))
                    yield from cut(BlockKind.PARAGRAPH, f"Notes: {text}\n\n", self._anchor) if text else ()

    def _comments(self) -> Iterator[Block]:
        for name in self._package.related(self._name, "comments"):
            tree = self._package.tree(name)
            for comment in () if tree is None else tree.iter(f"{P}cm", f"{_NEWER}cm", f"{_NEWER}reply"):
                text = comment.findtext(f"{P}text") or _body_text(comment)
                if text:
                    author = self._show.author(comment.get("authorId", ""))
                    by = f" by {author}" if author else ""
                    words = " ".join(text.split())
                    yield from cut(BlockKind.PARAGRAPH, f"[comment{by}: {words}]\n\n", self._anchor)


def _shows_master(tree: etree._Element | None) -> bool:
    """Whether a slide shows what its layout draws, or a layout what its master draws."""
    return tree is None or tree.get("showMasterSp") not in ("0", "false")


def _body_text(comment: etree._Element) -> str:
    body = comment.find(f"{_NEWER}txBody")
    return "" if body is None else " ".join(filter(None, map(line_text, body.iterchildren(f"{A}p"))))
