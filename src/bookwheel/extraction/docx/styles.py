"""The styles of a Word document: which are headings and how deep, what they number, what they hide.

A style is followed through what it is based on; a circle ends where it closes.
"""

import re
from dataclasses import dataclass

from lxml import etree

from bookwheel.extraction.ooxml.package import W, whole_number

MOST_ANCESTORS = 40
DEEPEST_HEADING = 9

_HEADING = re.compile(
    r"(?:heading|head|标题|標題|章节标题|überschrift|berschrift|titre|título|titulo|título|titolo|kop|rubrik|overskrift"
    r"|otsikko|nagłówek|nadpis|címsor|başlık|titlu|заголовок|επικεφαλίδα|見出し|제목|عنوان|כותרת|tiêuđề|judul|หัวเรื่อง)"
    r"([1-9])(?:char|字符)?"
)
_TITLE = re.compile(r"(?:title|标题|標題|titel|titre|título|titulo|titolo|название|표제|表題)")
_CONTENTS = re.compile(r"(?:toc|目录|目錄|verzeichnis|tm|tdc|índice|sommario|inhopg)\d")
_SPACES = re.compile(r"[\s_-]+")


@dataclass(frozen=True)
class Style:
    """What a paragraph has from its style and from those it is based on, whose ids `chain` lists.

    `level` is a heading's depth, or 0; `num_id` and `list_level` may be None.
    """

    level: int = 0
    in_contents: bool = False
    num_id: str | None = None
    list_level: int | None = None
    hidden: bool = False
    chain: tuple[str, ...] = ()


class Styles:
    """The styles of `word/styles.xml`, by their ids."""

    def __init__(self, root: etree._Element | None) -> None:
        found = () if root is None else root.iterchildren(f"{W}style")
        self._elements: dict[str, etree._Element] = {one.get(f"{W}styleId", ""): one for one in found}
        self._read: dict[str, Style] = {}
        self._default = next((name for name, one in self._elements.items() if _is_default(one)), "")

    def style(self, style_id: str | None) -> Style:
        """The style of that id, or the default one of paragraphs."""
        style_id = self._default if style_id is None else style_id
        if style_id not in self._read:
            self._read[style_id] = self._follow(style_id)
        return self._read[style_id]

    def _follow(self, style_id: str) -> Style:
        chain = self._chain(style_id)
        if not chain:
            return Style(level=_level_of_name(style_id))
        numbers = [found for one in chain if (found := one.find(f"{W}pPr/{W}numPr")) is not None]
        levels = (_level(one) for one in chain)
        return Style(
            level=next((level for level in levels if level is not None), 0),
            in_contents=any(_CONTENTS.fullmatch(_name(one)) for one in chain),
            num_id=_first_value(numbers, "numId"),
            list_level=whole_number(_first_value(numbers, "ilvl"), 0, 8) if numbers else None,
            hidden=any(is_on(one.find(f"{W}rPr/{W}vanish")) for one in chain[:1]),
            chain=tuple(one.get(f"{W}styleId", "") for one in chain),
        )

    def _chain(self, style_id: str | None) -> list[etree._Element]:
        """The style, the one that it is based on, and so on."""
        chain: list[etree._Element] = []
        seen: set[str] = set()
        while style_id in self._elements and style_id not in seen and len(chain) < MOST_ANCESTORS:
            seen.add(style_id)
            chain.append(self._elements[style_id])
            style_id = value(chain[-1].find(f"{W}basedOn"))
        return chain


def value(element: etree._Element | None) -> str | None:
    """The `w:val` of an element, if there is one."""
    return None if element is None else element.get(f"{W}val")


def is_on(element: etree._Element | None) -> bool:
    """Whether a property that is on or off is on: it may stand without a value."""
    return element is not None and element.get(f"{W}val", "1") not in ("0", "false", "off")


def outline_level(properties: etree._Element | None) -> int | None:
    """A heading's depth by `w:outlineLvl`; 0 where that says it is none, None where it says nothing."""
    text = None if properties is None else value(properties.find(f"{W}outlineLvl"))
    if text is None:
        return None
    level = whole_number(text, DEEPEST_HEADING, DEEPEST_HEADING)
    return 0 if level == DEEPEST_HEADING else level + 1


def _level(style: etree._Element) -> int | None:
    level = outline_level(style.find(f"{W}pPr"))
    return level if level is not None else _level_of_name(_name(style)) or None


def _level_of_name(name: str) -> int:
    name = _folded(name)
    if match := _HEADING.fullmatch(name):
        return int(match.group(1))
    return 1 if _TITLE.fullmatch(name) else 0


def _name(style: etree._Element) -> str:
    return _folded(value(style.find(f"{W}name")) or "")


def _folded(name: str) -> str:
    return _SPACES.sub("", name).casefold()


def _is_default(style: etree._Element) -> bool:
    return style.get(f"{W}type") == "paragraph" and style.get(f"{W}default") in ("1", "true", "on")


def _first_value(elements: list[etree._Element], name: str) -> str | None:
    values = (value(element.find(W + name)) for element in elements)
    return next((found for found in values if found is not None), None)
