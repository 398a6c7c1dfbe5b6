"""The numbers before the paragraphs of a Word document: `numbering.xml`, counted as Word counts."""

import re
from dataclasses import dataclass, field, replace

from lxml import etree

from bookwheel.extraction.docx.styles import Style, Styles, is_on, value
from bookwheel.extraction.ooxml.numbers import MOST, format_number
from bookwheel.extraction.ooxml.package import W, whole_number

LEVELS = 9
MOST_LINKS = 10
MOST_LABEL = 80

_PLACE = re.compile("%([1-9])")
_IDEOGRAPHIC_END = re.compile("[、。．，）】」：]$")


@dataclass(frozen=True)
class Level:
    """How one level of a list counts. `restart` is the level (from 1) that starts it anew; None: any above, 0: none."""

    start: int = 1
    number_format: str = "decimal"
    text: str = ""
    suffix: str = "tab"
    legal: bool = False
    restart: int | None = None
    style: str | None = None


@dataclass(frozen=True)
class Label:
    """What stands before a paragraph, its space included: `2.1 `, `第三条 `, `一、`; for a bullet, `- `."""

    text: str
    level: int


@dataclass
class _List:
    """Numbers that count together (an abstract numbering), and where they have come to."""

    levels: dict[int, Level]
    counts: dict[int, int] = field(default_factory=dict)


@dataclass
class _Instance:
    """A use of a list (a `numId`). `restarts` are the numbers with which it begins its levels anew."""

    of: _List
    levels: dict[int, Level]
    restarts: dict[int, int]


class Numbering:
    """The numberings of `word/numbering.xml`; labels must be asked for in the order of the document."""

    def __init__(self, root: etree._Element | None, styles: Styles) -> None:
        self._styles = styles
        self._root = root
        self._abstract = self._by_id("abstractNum", "abstractNumId")
        self._numbers = self._by_id("num", "numId")
        self._lists: dict[str, _List] = {}
        self._instances: dict[str, _Instance | None] = {}

    def _by_id(self, tag: str, name: str) -> dict[str, etree._Element]:
        found = () if self._root is None else self._root.iterchildren(W + tag)
        return {one.get(W + name, ""): one for one in found}

    def label(self, num_id: str, list_level: int | None, style: Style) -> Label | None:
        """The next label of a list; without a level, that of the style. None where there is nothing to see."""
        instance = self._instance(num_id)
        if instance is None:
            return None
        if list_level is None:
            list_level = _level_of_style(instance, style)
        level = instance.levels.get(list_level)
        if level is None:
            return None
        _count(instance, list_level)
        if level.number_format == "bullet":
            return Label("- ", list_level)
        text = _label_text(instance, list_level, level)
        return Label(text + _space_after(text, level.suffix), list_level) if text.strip() else None

    def _instance(self, num_id: str) -> _Instance | None:
        if num_id not in self._instances:
            number = self._numbers.get(num_id)
            self._instances[num_id] = None if number is None else self._read_instance(number)
        return self._instances[num_id]

    def _read_instance(self, number: etree._Element) -> _Instance:
        shared = self._list(value(number.find(f"{W}abstractNumId")) or "")
        levels, restarts = dict(shared.levels), {}
        for override in number.iterchildren(f"{W}lvlOverride"):
            place = whole_number(override.get(f"{W}ilvl"), 0, LEVELS - 1)
            own = override.find(f"{W}lvl")
            if own is not None:
                levels[place] = _read_level(own)
            start = override.find(f"{W}startOverride")
            if start is not None:
                restarts[place] = whole_number(value(start), 1, MOST)
                levels[place] = replace(levels.get(place, Level()), start=restarts[place])
        return _Instance(shared, levels, restarts)

    def _list(self, abstract_id: str) -> _List:
        """The list of an abstract numbering, or of the one to which its style leads."""
        for _ in range(MOST_LINKS):
            abstract = self._abstract.get(abstract_id)
            linked = None if abstract is None else self._styles.style(value(abstract.find(f"{W}numStyleLink"))).num_id
            number = self._numbers.get(linked or "")
            if abstract is None or abstract.find(f"{W}numStyleLink") is None or number is None:
                break
            abstract_id = value(number.find(f"{W}abstractNumId")) or ""
        if abstract_id not in self._lists:
            found = () if abstract is None else abstract.iterchildren(f"{W}lvl")
            levels = {whole_number(one.get(f"{W}ilvl"), 0, LEVELS - 1): _read_level(one) for one in found}
            self._lists[abstract_id] = _List(levels)
        return self._lists[abstract_id]


def _level_of_style(instance: _Instance, style: Style) -> int:
    """The level that names the style as its own, or one that it is based on; else the one that the style names."""
    for style_id in style.chain:
        for place, level in instance.levels.items():
            if level.style == style_id:
                return place
    return style.list_level or 0


def _read_level(level: etree._Element) -> Level:
    restart = value(level.find(f"{W}lvlRestart"))
    return Level(
        start=whole_number(value(level.find(f"{W}start")), 0, MOST),
        number_format=_number_format(level),
        text=(value(level.find(f"{W}lvlText")) or "")[:MOST_LABEL],
        suffix=value(level.find(f"{W}suff")) or "tab",
        legal=is_on(level.find(f"{W}isLgl")),
        restart=None if restart is None else whole_number(restart, 0, LEVELS),
        style=value(level.find(f"{W}pStyle")),
    )


def _number_format(level: etree._Element) -> str:
    """The format; newer ones stand as a choice, or as a custom one that spells out `001, 002, ...`."""
    found = next(level.iter(f"{W}numFmt"), None)
    name = value(found) or "decimal"
    if found is not None and name == "custom":
        return "decimalZero" if found.get(f"{W}format", "").startswith("0") else "decimal"
    return name


def _count(instance: _Instance, list_level: int) -> None:
    """Count one further at a level, and let those below it begin anew."""
    counts = instance.of.counts
    restart = instance.restarts.pop(list_level, None)
    if restart is not None or list_level not in counts:
        counts[list_level] = instance.levels[list_level].start if restart is None else restart
    else:
        counts[list_level] += 1
    for below in [n for n in counts if n > list_level]:
        rule = instance.levels.get(below, Level()).restart
        if rule is None or list_level < rule:
            del counts[below]


def _label_text(instance: _Instance, list_level: int, own: Level) -> str:
    def number(match: re.Match[str]) -> str:
        place = int(match.group(1)) - 1
        level = instance.levels.get(place, Level())
        if place > list_level:
            return ""
        count = instance.of.counts.get(place, level.start)
        return format_number(
            count, "decimal" if own.legal and level.number_format != "decimalZero" else level.number_format
        )

    return _PLACE.sub(number, own.text)


def _space_after(text: str, suffix: str) -> str:
    return "" if suffix == "nothing" or _IDEOGRAPHIC_END.search(text) or text.endswith(" ") else " "
