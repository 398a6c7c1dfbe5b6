"""What lies on a sheet beside its cells: text boxes, charts, pictures, comments, and what is printed above and below."""

import re
from collections.abc import Iterator

from lxml import etree

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError
from bookwheel.extraction.archive import Archive
from bookwheel.extraction.notes import MOST_PICTURE_BYTES, Notes
from bookwheel.extraction.ooxml.package import Relation
from bookwheel.extraction.xlsx.layout import quoted, reference
from bookwheel.extraction.xlsx.package import Workbook, of_kind, relations, tree, whole_number
from bookwheel.extraction.xlsx.text import clean, local, tree_text

MOST_DRAWN = 5_000
"""Text boxes, charts and pictures of one sheet."""
MOST_COMMENTS = 20_000
MOST_COMMENT_CHARACTERS = 8_000

_RASTER = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
_PRINTED = re.compile(r"<(?:\w+:)?(?:odd|even|first)(Header|Footer)(?:\s[^<>]*)?>([^<]*)<")
_PRINTED_PART = re.compile(r"&[LCR]")
_PRINTED_CODE = re.compile(r'&(?:"[^"]*"|K[0-9A-Fa-f]{6}|K\d\d[+-]\d{3}|\d+|[A-Z])')
_PAGE_NUMBER = re.compile(r"&[PN]")


def read_drawings(
    archive: Archive, related: dict[str, Relation], sheet: str, notes: Notes
) -> Iterator[Block | Picture]:
    """Text boxes and charts, then the pictures. Each stands where its upper left cell is."""
    pictures: dict[str, str] = {}
    for part in of_kind(related, "drawing"):
        root = tree(archive, part)
        if root is None:
            continue
        pointing = next(root.iter("{*}blip", "{*}chart", "{*}relIds"), None)
        inside = {} if pointing is None else relations(archive, part)
        _drop_fallbacks(root)
        for anchored in root[:MOST_DRAWN]:
            anchor = _anchor(anchored, sheet)
            yield from _shape_blocks(archive, anchored, inside, anchor)
            for target in _targets(anchored, "blip", inside, "image"):
                pictures.setdefault(target, anchor)
    for target, anchor in pictures.items():
        picture = _picture(archive, target, anchor, notes)
        if picture is not None:
            yield picture


def _drop_fallbacks(root: etree._Element) -> None:
    """Leave out what is there for old programs: it says everything twice."""
    for fallback in list(root.iter("{*}Fallback")):
        fallback.clear()


def _anchor(anchored: etree._Element, sheet: str) -> str:
    start = anchored.find("{*}from")
    if start is None:
        return quoted(sheet)
    column, row = (whole_number((start.findtext(f"{{*}}{name}") or "").strip()) for name in ("col", "row"))
    return reference(quoted(sheet), column + 1, row + 1, column + 1, row + 1)


def _shape_blocks(
    archive: Archive, anchored: etree._Element, inside: dict[str, Relation], anchor: str
) -> Iterator[Block]:
    words = _paragraphs(anchored)
    if words:
        yield Block(BlockKind.PARAGRAPH, f"{words}\n\n", anchor)
    for target in _targets(anchored, "chart", inside, "chart", "chartEx"):
        words = _chart(tree(archive, target))
        if words:
            yield Block(BlockKind.FIGURE, f"{words}\n\n", anchor)
    for target in _targets(anchored, "relIds", inside, "diagramData"):
        words = _paragraphs(tree(archive, target))
        if words:
            yield Block(BlockKind.PARAGRAPH, f"{words}\n\n", anchor)


def _targets(anchored: etree._Element, name: str, inside: dict[str, Relation], *kinds: str) -> list[str]:
    """The parts of these kinds that elements of a name point to."""
    ids = [value for element in anchored.iter(f"{{*}}{name}") for value in element.attrib.values()]
    return of_kind({id_: inside[id_] for id_ in ids if id_ in inside}, *kinds)


def _paragraphs(element: etree._Element | None) -> str:
    """The paragraphs of a drawing's text, a line each."""
    paragraphs = () if element is None else element.iter("{*}p")
    lines = ("".join(run.text or "" for run in paragraph.iter("{*}t")).strip() for paragraph in paragraphs)
    return "\n".join(filter(None, lines))


def _chart(root: etree._Element | None) -> str:
    """A chart's title, the titles of its axes, and the names of its series."""
    if root is None:
        return ""
    titles: dict[bool, list[str]] = {True: [], False: []}
    for element in root.iter("{*}title"):
        words = " ".join((_paragraphs(element) or _cached(element)).split())
        titles[local(element.getparent()) == "chart"].append(words)
    names = [_cached(series.find("{*}tx")) for series in root.iter("{*}ser", "{*}series")]
    said = (("Chart", titles[True]), ("Axes", titles[False]), ("Series", names))
    lines = (f"{word}: {', '.join(dict.fromkeys(filter(None, words)))}" for word, words in said if any(words))
    return "\n".join(lines)


def _cached(element: etree._Element | None) -> str:
    values = () if element is None else element.iter("{*}v")
    return " ".join(value.text.strip() for value in values if value.text)


def _picture(archive: Archive, target: str, anchor: str, notes: Notes) -> Picture | None:
    if not target.lower().endswith(_RASTER) or target not in archive:
        return None
    try:
        return notes.keep_picture(archive.read(target, MOST_PICTURE_BYTES * 2), anchor)
    except ParsingError:
        notes.warn("Some pictures are damaged and were not read.")
        return None


def read_comments(archive: Archive, related: dict[str, Relation], sheet: str, workbook: Workbook) -> Iterator[Block]:
    """Comments, threads of comments and notes, each as an item of a list."""
    said: list[tuple[str, str, str]] = []
    for part in of_kind(related, "threadedComment"):
        said += _threaded(tree(archive, part), workbook)
    threaded = {place for place, _, _ in said}
    for part in of_kind(related, "comments"):
        said += [comment for comment in _comments(tree(archive, part)) if comment[0] not in threaded]
    last, place_of = len(said) - 1, quoted(sheet)
    for index, (place, author, words) in enumerate(said):
        by = f" by {author}" if author else ""
        text = f"- Comment on {place}{by}: {words}\n" + ("\n" if index == last else "")
        yield Block(BlockKind.LIST, text, f"{place_of}!{place}")


def _threaded(root: etree._Element | None, workbook: Workbook) -> list[tuple[str, str, str]]:
    found = []
    for element in [] if root is None else list(root)[:MOST_COMMENTS]:
        words = " ".join((element.findtext("{*}text") or "").split())[:MOST_COMMENT_CHARACTERS]
        if words:
            found.append((element.get("ref") or "", workbook.people.get(element.get("personId") or "", ""), words))
    return found


def _comments(root: etree._Element | None) -> list[tuple[str, str, str]]:
    if root is None:
        return []
    authors = [(author.text or "").strip() for author in root.iterfind("{*}authors/{*}author")]
    found = []
    for element in root.findall("{*}commentList/{*}comment")[:MOST_COMMENTS]:
        number = whole_number(element.get("authorId"))
        author = authors[number] if number < len(authors) else ""
        words = " ".join(tree_text(element.find("{*}text")).split())[:MOST_COMMENT_CHARACTERS]
        if author and words.startswith(f"{author}:"):
            words = words[len(author) + 1 :].strip()
        if words:
            found.append((element.get("ref") or "", author, words))
    return found


def read_printed(tail: str, sheet: str) -> Iterator[Block]:
    """What is printed above and below each page of a sheet, page numbers left out. `tail` follows the sheet's rows."""
    lines: dict[str, None] = {}
    start = tail.find("eaderFooter")
    for kind, code in _PRINTED.findall(tail, start) if start >= 0 else ():
        parts = [part for part in _PRINTED_PART.split(clean(code)) if not _PAGE_NUMBER.search(part)]
        words = " ".join(_PRINTED_CODE.sub("", part.replace("&&", "\0")).replace("\0", "&").strip() for part in parts)
        if words.strip():
            lines[f"Page {kind.lower()}: {' '.join(words.split())}"] = None
    if lines:
        yield Block(BlockKind.PARAGRAPH, "\n".join(lines) + "\n\n", quoted(sheet))
