"""Packages of Office Open XML (DOCX, PPTX): their parts, how they relate, and their XML in bounded memory.

The strict namespaces are read as the transitional ones. A package may be a ZIP file or one XML file ("flat OPC"). What is
missing is None, what is too much is SizeExceeded; nothing is looked up outside the file.
"""

import base64
import binascii
import posixpath
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from lxml import etree

from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction.archive import Archive
from bookwheel.extraction.markup import HEAD_BYTES, parse_xml, refuse_entities

MOST_MARKUP = 4_000_000
"""Tags and attributes that are held at once: some 150 bytes each."""
MOST_PART_BYTES = 96 * 1024 * 1024
"""Of a part that is held as a whole."""
MOST_EVENTS = 10_000_000
"""Starts and ends of what is streamed from one part: more than the paragraphs of any honest document."""
MOST_DIGITS = 9
CUT_OFF = "The file is damaged: some of it could not be read."

_SCHEMAS = "http://schemas.openxmlformats.org/"
W = f"{{{_SCHEMAS}wordprocessingml/2006/main}}"
P = f"{{{_SCHEMAS}presentationml/2006/main}}"
A = f"{{{_SCHEMAS}drawingml/2006/main}}"
R = f"{{{_SCHEMAS}officeDocument/2006/relationships}}"
M = f"{{{_SCHEMAS}officeDocument/2006/math}}"
MC = f"{{{_SCHEMAS}markup-compatibility/2006}}"
_TYPES = f"{{{_SCHEMAS}package/2006/content-types}}"
_PKG = "{http://schemas.microsoft.com/office/2006/xmlPackage}"

_STRICT = b"http://purl.oclc.org/ooxml/"
_STRICT_NAMESPACE = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_TRANSITIONAL = rb"http://schemas.openxmlformats.org/\1/2006/"

_RASTER_HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True, slots=True)
class Relation:
    """What a part calls by an id: `kind` is the last word of its type, `target` a part's name, or a URL if `external`."""

    kind: str
    target: str
    external: bool


class Package:
    """An open package. Parts are named without a leading slash."""

    def __init__(self, path: Path, folder: Path) -> None:
        """Open the package at `path`; `folder` is for what must be unpacked first."""
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if _is_flat(head):
            path = _unpack_flat(path, folder / "package.zip")
        self._archive = Archive(path)
        self.is_cut_off = self._archive.is_cut_off
        self._relations: dict[str, dict[str, Relation]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.__exit__(kind, error, trace)

    def __contains__(self, name: str) -> bool:
        return name in self._archive

    def main_part(self, content: str, usual: str) -> str:
        """The part that a reader begins with: by relation, by its content type (which holds `content`), by its name."""
        candidates = [one.target for one in self.relations("").values() if one.kind == "officeDocument"]
        candidates += [*self._parts_of_type(content), usual]
        for name in candidates:
            if name in self:
                return name
        same_kind = re.compile(rf"(?:.*/)?{re.escape(posixpath.basename(usual)[:-4])}\d*\.xml", re.IGNORECASE)
        for name in self._archive.names():
            if same_kind.fullmatch(name.replace("\\", "/")) and "glossary" not in name.casefold():
                return name
        raise ParsingError("It is damaged: its main part is missing.")

    def _parts_of_type(self, content: str) -> list[str]:
        types = self.tree("[Content_Types].xml")
        overrides = () if types is None else types.iter(f"{_TYPES}Override")
        return [
            one.get("PartName", "").lstrip("/") for one in overrides if content in one.get("ContentType", "").casefold()
        ]

    def relations(self, part: str) -> dict[str, Relation]:
        """The relations of a part by their ids; those of the package itself for an empty name."""
        if part not in self._relations:
            self._relations[part] = read_relations(self.tree(relations_part(part)), part)
        return self._relations[part]

    def related(self, part: str, kind: str) -> list[str]:
        """The parts inside the package to which a part has relations of a kind, in the order of their names."""
        found = {one.target for one in self.relations(part).values() if one.kind == kind and not one.external}
        return sorted((name for name in found if name in self), key=natural_order)

    def target(self, part: str, relation_id: str | None) -> str | None:
        """The part that `part` calls `relation_id`; None where there is none inside the package."""
        relation = self.relations(part).get(relation_id or "")
        return relation.target if relation and not relation.external and relation.target in self else None

    def tree(self, name: str) -> etree._Element | None:
        """A part as a tree; None where it is missing or no XML."""
        if name not in self:
            return None
        try:
            data = b"".join(transitional(self._archive.pieces(name, MOST_PART_BYTES)))
        except ParsingError:
            return None
        if markup_in(data) > MOST_MARKUP:
            raise SizeExceeded
        refuse_entities(data, name)
        try:
            return parse_xml(data, name)
        except ParsingError:
            return None

    def related_tree(self, part: str, kind: str) -> etree._Element | None:
        """The first part to which `part` has a relation of that kind, as a tree."""
        names = self.related(part, kind)
        return self.tree(names[0]) if names else None

    def stream(self, name: str, tags: tuple[str, ...]) -> "XmlStream":
        """A part's elements of some tags, as they are read."""
        return XmlStream(self._archive.pieces(name), tags, name)

    def read(self, name: str, most_bytes: int) -> bytes:
        """A part's bytes."""
        return self._archive.read(name, most_bytes)

    def picture(self, name: str, most_bytes: int) -> bytes:
        """The bytes of a picture made of pixels; none where it is drawn with lines, damaged or too large."""
        try:
            data = self.read(name, most_bytes)
        except (ParsingError, SizeExceeded):
            return b""
        return data if data.startswith(_RASTER_HEADS) or data[8:12] == b"WEBP" else b""


class XmlStream:
    """The start and end of elements of some tags, in the order of the file; what was read is forgotten on demand.

    Raises SizeExceeded where more is held than is good. Where the part breaks off, what is open is ended, and `damaged`
    is true.
    """

    def __init__(self, pieces: Iterable[bytes], tags: tuple[str, ...], name: str) -> None:
        self.damaged = False
        self._pieces = transitional(pieces)
        self._name = name
        self._held_markup = self._held_bytes = 0
        self._parser = etree.XMLPullParser(
            events=("start", "end"),
            tag=tags,
            recover=True,
            huge_tree=True,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            remove_comments=True,
            remove_pis=True,
        )

    def __iter__(self) -> Iterator[tuple[str, etree._Element]]:
        count = 0
        for count, event in enumerate(self._events(), 1):
            if count > MOST_EVENTS:
                raise SizeExceeded
            yield event
        if self.damaged and not count:
            raise ParsingError(f"It is damaged: {self._name} cannot be read.")

    def _events(self) -> Iterator[tuple[str, etree._Element]]:
        try:
            for number, piece in enumerate(self._undamaged_pieces()):
                if not number:
                    refuse_entities(piece, self._name)
                self._hold(piece)
                self._parser.feed(piece)
                yield from self._parser.read_events()
            self.damaged = self._parser.close() is None or self.damaged
        except etree.XMLSyntaxError:
            self.damaged = True
        yield from self._parser.read_events()

    def _undamaged_pieces(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except ParsingError:
            self.damaged = True

    def _hold(self, piece: bytes) -> None:
        self._held_markup += markup_in(piece)
        self._held_bytes += len(piece)
        if self._held_markup > MOST_MARKUP or self._held_bytes > MOST_PART_BYTES:
            raise SizeExceeded

    def forget(self, element: etree._Element) -> None:
        """Drop an element that has ended, and all its elder siblings."""
        parent = element.getparent()
        element.clear()
        while parent is not None and (elder := element.getprevious()) is not None:
            parent.remove(elder)
        self._held_markup = self._held_bytes = 0


def transitional(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """XML with the strict namespaces replaced by the transitional ones, cut between tags."""
    strict, held = None, b""
    for piece in pieces:
        strict = _STRICT in piece if strict is None else strict
        if not strict:
            yield piece
            continue
        head, end, held = (held + piece).rpartition(b">")
        yield _STRICT_NAMESPACE.sub(_TRANSITIONAL, head + end)
        if len(held) > HEAD_BYTES:  # no tag is that long
            yield held
            held = b""
    yield held


def markup_in(data: bytes) -> int:
    """At least how many elements and attributes there are, counted fast."""
    return data.count(b"<") + data.count(b"=")


def whole_number(text: str | None, default: int, most: int) -> int:
    """A number from 0 to `most`, from an attribute that may hold anything."""
    if not text or not text.isdecimal() or len(text) > MOST_DIGITS:
        return most if text and text.isdecimal() else default
    return min(int(text), most)


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts `header2` before `header10`."""
    return [(int(digits[:MOST_DIGITS] or 0), word) for word, digits in re.findall(r"(\D*)(\d*)", name)]


def relations_part(part: str) -> str:
    """The name of the part that lists the relations of a part; of the package itself for an empty name."""
    folder, name = posixpath.split(part)
    return posixpath.join(folder, "_rels", f"{name}.rels")


def read_relations(root: etree._Element | None, part: str) -> dict[str, Relation]:
    """The relations of a part by their ids, from the root of the part that lists them."""
    folder = posixpath.dirname(part)
    found = () if root is None else root.iter("{*}Relationship")
    return {one.get("Id", ""): _relation(one, folder) for one in found}


def _relation(element: etree._Element, folder: str) -> Relation:
    target = element.get("Target", "")
    external = element.get("TargetMode") == "External"
    if not external:
        path = unquote(target.partition("#")[0]).replace("\\", "/")
        target = posixpath.normpath(posixpath.join("/", folder, path)).lstrip("/")
    return Relation(element.get("Type", "").rpartition("/")[2], target, external)


def _is_flat(head: bytes) -> bool:
    return not head.startswith(b"PK") and b"/2006/xmlPackage" in head.replace(b"\x00", b"")


def _unpack_flat(path: Path, target: Path) -> Path:
    """Write the parts of a package that is one XML file as a ZIP file to `target`."""
    with path.open("rb") as file, zipfile.ZipFile(target, "w") as packed:
        stream = XmlStream(iter(lambda: file.read(HEAD_BYTES), b""), (f"{_PKG}part",), "The file")
        for event, part in stream:
            if event == "end":
                name = part.get(f"{_PKG}name", "").lstrip("/")
                if name and name not in packed.NameToInfo:
                    packed.writestr(name, _flat_part(part))
                stream.forget(part)
    return target


def _flat_part(part: etree._Element) -> bytes:
    binary = part.find(f"{_PKG}binaryData")
    if binary is not None:
        try:
            return base64.b64decode(binary.text or "")
        except binascii.Error:
            return b""
    xml = part.find(f"{_PKG}xmlData")
    return b"" if xml is None or not len(xml) else etree.tostring(xml[0], encoding="utf-8", with_tail=False)
