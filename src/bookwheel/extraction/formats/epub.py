"""EPUB 2 and 3: the pages of the spine, one after the other, with the pictures that stand in them.

The package document says the order. Pages that are not linear come last; where the package document is missing or
broken, all pages are read in the order of the archive. Style sheets, scripts and fonts are left alone. Books under DRM
are refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath
from urllib.parse import unquote

from lxml import etree

from bookwheel.document import Block, Picture
from bookwheel.errors import ParsingError
from bookwheel.extraction.archive import Archive
from bookwheel.extraction.html.page import Surroundings
from bookwheel.extraction.html.pictures import is_raster
from bookwheel.extraction.html.source import decode_page, walk_page
from bookwheel.extraction.html.text import tidy
from bookwheel.extraction.html.walk import PageWalk
from bookwheel.extraction.html.writer import join_titles
from bookwheel.extraction.markup import parse_xml
from bookwheel.extraction.notes import MOST_PICTURE_BYTES, Notes

MOST_PAGE_BYTES = 64 * 1024 * 1024
MOST_LIST_BYTES = 32 * 1024 * 1024
"""Of a package document or a table of contents."""
MOST_TITLES = 100_000
MOST_FALLBACKS = 10

_PAGES = (".xhtml", ".html", ".htm", ".xht")
_PAGE_TYPES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document", "image/svg+xml")
_NAVIGATION = ".ncx"
_HARMLESS_ENCRYPTION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""Fonts are obfuscated so; anyone can read the book."""


@dataclass(slots=True)
class _Package:
    """What a book says of itself. `pages` are names in the archive, in reading order."""

    pages: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    """The files that hold the table of contents, the newer kind first."""


def read(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """The blocks of a book. Anchors are the headings above a block, else the page's title in the table of contents."""
    with Archive(path) as archive:
        package = _open_package(archive, notes)
        _refuse_drm(archive, package)
        if archive.is_cut_off:
            notes.warn("It is cut off: the end is missing.")
        yield from _read_pages(archive, package, notes)


def _read_pages(archive: Archive, package: _Package, notes: Notes) -> Iterator[Block | Picture]:
    titles = _titles(archive, package)
    kept: set[str] = set()
    surroundings = Surroundings()
    damage: list[ParsingError] = []
    found_any = False
    place = page_before = ""
    for number, name in enumerate(package.pages, 1):
        notes.reading("section", number, len(package.pages))
        goes_on = place and _series(name) == _series(page_before)
        place = titles.get(name.casefold()) or (place if goes_on else PurePosixPath(name).stem)
        page_before = name
        surroundings.picture = partial(_picture, archive, notes, kept, name)
        data = _read_what_can_be(archive, name, damage)
        found_any = found_any or bool(data)
        if is_raster(data):
            yield from filter(None, [notes.keep_picture(data, place)])
        else:
            yield from walk_page([decode_page(data)], PageWalk(surroundings, name, place))
    if not found_any:
        raise damage[0] if damage else ParsingError("It is damaged: there are no pages in it.")
    if damage:
        notes.warn(f"{len(damage)} of {len(package.pages)} sections are damaged and were read in part or not at all.")


def _series(name: str) -> str:
    """What the names of pages have in common when a long chapter was split: all but numbers."""
    return re.sub(r"[\d_]+|split", "", PurePosixPath(name).stem.casefold())


def _read_what_can_be(archive: Archive, name: str, damage: list[ParsingError]) -> bytes:
    """A page's bytes, as many as can be unpacked."""
    pieces: list[bytes] = []
    try:
        for piece in archive.pieces(name, MOST_PAGE_BYTES):
            pieces.append(piece)  # noqa: PERF402 - what came before an error is kept
    except ParsingError as error:
        damage.append(error)
    return b"".join(pieces)


def _picture(archive: Archive, notes: Notes, kept: set[str], page: str, source: str, anchor: str) -> Picture | None:
    """The picture that a page shows, the first time it is shown."""
    name = _resolve(archive, dirname(page), source)
    if name is None or name.casefold() in kept:
        return None
    kept.add(name.casefold())
    try:
        data = archive.read(name, MOST_PICTURE_BYTES + 1)
    except ParsingError:
        return None
    return notes.keep_picture(data, anchor) if is_raster(data) else None


def _resolve(archive: Archive, folder: str, href: str) -> str | None:
    """The entry that a link means, written as it may be; None where there is none."""
    path = href.partition("#")[0].partition("?")[0].strip()
    if not path or path.startswith("data:"):
        return None
    for written in (unquote(path), path):
        for base in (folder, ""):
            name = normpath(join(base, written)).lstrip("/")
            if name in archive:
                return name
    return None


# The package document


def _open_package(archive: Archive, notes: Notes) -> _Package:
    package = _Package()
    name = _package_name(archive)
    if name is not None:
        root = _parse(archive, name)
        if root is not None:
            package = _read_package(archive, dirname(name), root, notes)
    if not package.pages:
        package.pages = [name for name in archive.names() if name.lower().endswith(_PAGES)]
        notes.warn("Its table of pages is missing or damaged: pages stand in the order of the archive.")
    return package


def _package_name(archive: Archive) -> str | None:
    container = _parse(archive, "META-INF/container.xml")
    if container is not None:
        for rootfile in _named(container, "rootfile"):
            name = _resolve(archive, "", rootfile.get("full-path", ""))
            if name is not None:
                return name
    return next((name for name in archive.names() if name.lower().endswith(".opf")), None)


def _read_package(archive: Archive, folder: str, root: etree._Element, notes: Notes) -> _Package:
    items = _named(root, "item")
    linear: list[str] = []
    other: list[str] = []
    missing = 0
    by_id: dict[str, list[etree._Element]] = {}
    for item in items:
        by_id.setdefault(item.get("id", ""), []).append(item)
    for reference in _named(root, "itemref"):
        named = [_readable(item, by_id) for item in by_id.get(reference.get("idref", ""), [])]
        names = [name for item in named if (name := _resolve(archive, folder, item.get("href", "")))]
        missing += not names
        (other if reference.get("linear") == "no" else linear).extend(names)
    if missing:
        notes.warn(f"{missing} sections that the book names are not in the file.")
    pages = list(dict.fromkeys([*linear, *other])) or _listed_pages(archive, folder, items)
    contents = [item.get("href", "") for item in items if "nav" in item.get("properties", "").split()]
    contents += [item.get("href", "") for item in items if _is_ncx(item)]
    found = (_resolve(archive, folder, href) for href in contents)
    return _Package(pages, [name for name in found if name is not None])


def _readable(item: etree._Element, by_id: dict[str, list[etree._Element]]) -> etree._Element:
    """The item, or the one that it says to read instead where it is of a kind that books need not have."""
    for _ in range(MOST_FALLBACKS):
        kind = item.get("media-type", "")
        if kind in _PAGE_TYPES or kind.startswith("image/") or item.get("fallback") not in by_id:
            break
        item = by_id[item.get("fallback", "")][0]
    return item


def _listed_pages(archive: Archive, folder: str, items: list[etree._Element]) -> list[str]:
    """The pages of a book whose spine is empty."""
    hrefs = [item.get("href", "") for item in items if item.get("media-type") in _PAGE_TYPES]
    return [name for href in hrefs if (name := _resolve(archive, folder, href)) is not None]


def _is_ncx(item: etree._Element) -> bool:
    href: str = item.get("href", "")
    return item.get("media-type") == "application/x-dtbncx+xml" or href.lower().endswith(_NAVIGATION)


def _parse(archive: Archive, name: str) -> etree._Element | None:
    """An XML part, or None where it is missing or cannot be read."""
    try:
        return parse_xml(archive.read(name, MOST_LIST_BYTES), name) if name in archive else None
    except ParsingError:
        return None


def _named(root: etree._Element, name: str) -> list[etree._Element]:
    """All elements of a name, whatever their namespace."""
    return list(root.iter(f"{{*}}{name}"))


# The table of contents


def _titles(archive: Archive, package: _Package) -> dict[str, str]:
    """What the tables of contents call each page: the first title that leads to it, with the titles above."""
    titles: dict[str, str] = {}
    for contents in package.contents:
        root = _parse(archive, contents)
        if root is None:
            continue
        entries = _ncx_entries(root) if contents.lower().endswith(_NAVIGATION) else _nav_entries(root)
        for href, title in entries:
            name = _resolve(archive, dirname(contents), href)
            if name is not None and title and len(titles) < MOST_TITLES:
                titles.setdefault(name.casefold(), join_titles([title]))
    return titles


def _ncx_entries(root: etree._Element) -> Iterator[tuple[str, str]]:
    for point in _named(root, "navPoint"):
        label, content = point.find("{*}navLabel"), point.find("{*}content")
        if label is not None and content is not None:
            yield content.get("src", ""), tidy("".join(label.itertext()))


def _nav_entries(root: etree._Element) -> Iterator[tuple[str, str]]:
    for link in _named(root, "a"):
        yield link.get("href", ""), tidy("".join(link.itertext()))


# DRM


def _refuse_drm(archive: Archive, package: _Package) -> None:
    """Raises ParsingError where a page of the book is encrypted."""
    encryption = _parse(archive, "META-INF/encryption.xml")
    if encryption is None:
        return
    pages = {page.casefold() for page in package.pages}
    for data in _named(encryption, "EncryptedData"):
        method = data.find("{*}EncryptionMethod")
        if method is not None and method.get("Algorithm", "") in _HARMLESS_ENCRYPTION:
            continue
        for reference in data.iter("{*}CipherReference"):
            name = _resolve(archive, "", reference.get("URI", ""))
            if name is not None and name.casefold() in pages:
                raise ParsingError("It is protected by DRM: upload a copy without it.")
