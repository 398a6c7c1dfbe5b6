"""The parts of an OOXML workbook around its sheets: which sheets there are, shared strings, styles, relationships.

Names of elements are compared without their namespace, so that strict and transitional files read alike.
"""

import html
import posixpath
import re
from dataclasses import dataclass, field

from lxml import etree

from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction.archive import Archive
from bookwheel.extraction.markup import parse_xml
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ooxml.package import MOST_MARKUP, Relation, markup_in, read_relations, relations_part
from bookwheel.extraction.xlsx.numbers import BUILT_IN, Plain, Shown, number_format
from bookwheel.extraction.xlsx.text import open_part, read_strings

MOST_PART_BYTES = 64 * 1024 * 1024
"""Of a part that is read as one tree."""
MOST_SHEETS = 2_000
MOST_CELLS = 20_000_000
"""Of a whole workbook, each that has an end tag."""


_NUMBER_FORMAT = re.compile(r"numFmt\s((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)")
_STYLE = re.compile(r"""<(?:[\w.-]+:)?xf(?=[\s/>])(?:[^<>]*?\snumFmtId=["'](\d+))?""")
"""The number format of a style, or nothing where it has none."""
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*("[^"]*"|'[^']*')""")


@dataclass(frozen=True, slots=True)
class SheetEntry:
    """One sheet as the workbook lists it."""

    name: str
    part: str
    hidden: bool


@dataclass(slots=True)
class Workbook:
    """What sheets share. `shows[N]` is how a number of the cell style N is shown."""

    sheets: list[SheetEntry]
    strings: list[str] = field(default_factory=list)
    shows: list[Shown] = field(default_factory=list)
    people: dict[str, str] = field(default_factory=dict)
    plain: Plain = field(default_factory=Plain)
    cells_left: int = MOST_CELLS


def tree(archive: Archive, part: str) -> etree._Element | None:
    """A part as a tree, or None where it is missing or cannot be read. Raises SizeExceeded."""
    if not part or part not in archive:
        return None
    try:
        data = archive.read(part, MOST_PART_BYTES)
        if markup_in(data) > MOST_MARKUP:
            raise SizeExceeded
        return parse_xml(data, part)
    except ParsingError:
        return None


def _text(archive: Archive, part: str) -> str:
    """A part's text, or nothing where it is missing or cannot be read."""
    try:
        return "".join(open_part(archive, part)[1])
    except (KeyError, ParsingError):
        return ""


def relations(archive: Archive, part: str) -> dict[str, Relation]:
    """The relationships of a part, by their ids. The empty name is the package itself."""
    return read_relations(tree(archive, relations_part(part)), part)


def of_kind(found: dict[str, Relation], *kinds: str) -> list[str]:
    """The parts that are related in one of these ways, each once."""
    return list(dict.fromkeys(r.target for r in found.values() if r.kind in kinds and not r.external))


def open_workbook(archive: Archive, notes: Notes) -> Workbook:
    """The workbook of a package. Raises ParsingError where it has no sheets to be found, SizeExceeded."""
    part = next(iter(of_kind(relations(archive, ""), "officeDocument")), "xl/workbook.xml")
    root = tree(archive, part)
    related = relations(archive, part)
    workbook = Workbook(_sheets(root, related, archive, notes))
    if not workbook.sheets:
        raise ParsingError("It is damaged: the workbook lists no sheets.")
    for strings in of_kind(related, "sharedStrings") or ["xl/sharedStrings.xml"]:
        workbook.strings = read_strings(archive, strings, notes)
    for styles in of_kind(related, "styles") or ["xl/styles.xml"]:
        workbook.shows = _read_shows(_text(archive, styles), from_1904=_counts_from_1904(root))
    for persons in of_kind(related, "person"):
        root = tree(archive, persons)
        for person in () if root is None else root:
            workbook.people[person.get("id") or ""] = person.get("displayName") or ""
    return workbook


def _sheets(
    root: etree._Element | None, related: dict[str, Relation], archive: Archive, notes: Notes
) -> list[SheetEntry]:
    """The sheets in the workbook's order; where it cannot be read, those that the package holds."""
    found = []
    for element in () if root is None else root.iterfind("{*}sheets/{*}sheet"):
        relation = related.get(_relation_id(element))
        hidden = (element.get("state") or "visible") != "visible"
        if relation is not None and not relation.external:
            found.append(SheetEntry(element.get("name") or "", relation.target, hidden))
    if not found:
        parts = sorted(
            name for name in archive.names() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name, re.IGNORECASE)
        )
        found = [SheetEntry(posixpath.basename(part).removesuffix(".xml"), part, hidden=False) for part in parts]
        if found:
            notes.warn(
                "The workbook's list of sheets could not be read: sheets stand in the order of their file names."
            )
    if len(found) > MOST_SHEETS:
        notes.warn(f"Only the first {MOST_SHEETS:,} of {len(found):,} sheets were read.")
    return found[:MOST_SHEETS]


def _relation_id(element: etree._Element) -> str:
    """The `r:id` of an element, whose namespace strict files spell differently."""
    return next((str(value) for key, value in element.attrib.items() if key.endswith("}id") or key == "r:id"), "")


def _counts_from_1904(root: etree._Element | None) -> bool:
    properties = None if root is None else root.find("{*}workbookPr")
    return properties is not None and properties.get("date1904") in ("1", "true", "on")


def _read_shows(styles: str, *, from_1904: bool) -> list[Shown]:
    """For each cell style; styles of one number format share theirs. Styles are often the longest part: no tree of them."""
    codes = dict(BUILT_IN)
    for attributes in _NUMBER_FORMAT.findall(_between(styles, "numFmts")):
        said = dict(_ATTRIBUTE.findall(attributes))
        codes[whole_number(said.get("numFmtId", "").strip("\"'"))] = html.unescape(said.get("formatCode", "")[1:-1])
    shows: dict[str, Shown] = {}
    found = []
    for digits in _STYLE.findall(_between(styles, "cellXfs")):
        if digits not in shows:
            code = codes.get(whole_number(digits))
            shows[digits] = number_format(code, from_1904=from_1904) if code else Plain()
        found.append(shows[digits])
    return found


def _between(text: str, name: str) -> str:
    """What stands between the tags of an element that is there once."""
    start, end = text.find(f"{name}"), text.rfind(f"{name}>")
    return text[start:end] if 0 <= start < end else ""


def whole_number(digits: str | None) -> int:
    """A number without a sign, else 0."""
    return int(digits) if digits and digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
