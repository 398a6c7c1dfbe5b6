"""Text frames and tables of slides as lines."""

from lxml import etree

from bookwheel.extraction.docx.tables import MOST_COLUMNS, REPEATED_CHARACTERS
from bookwheel.extraction.ooxml.drawing import drawn_text, line_text
from bookwheel.extraction.ooxml.numbers import format_number
from bookwheel.extraction.ooxml.package import A, whole_number

DEEPEST = 8

_SCHEMES = (
    ("alphaLc", "lowerLetter"),
    ("alphaUc", "upperLetter"),
    ("romanLc", "lowerRoman"),
    ("romanUc", "upperRoman"),
    ("circleNum", "decimalEnclosedCircle"),
    ("ea1Chs", "chineseCounting"),
    ("ea1Cht", "taiwaneseCounting"),
    ("ea1Jpn", "japaneseCounting"),
    ("arabicDb", "decimalFullWidth"),
)
_ENDS = (("ParenBoth", "(", ")"), ("ParenR", "", ")"), ("Period", "", "."), ("Minus", "- ", " -"))


def frame_lines(frame: etree._Element, *, listed: bool) -> list[str]:
    """The paragraphs of a text frame. `listed`: those that say nothing of bullets have some, if there are several."""
    paragraphs = [(one, text) for one in frame.iterchildren(f"{A}p") if (text := line_text(one))]
    counts: dict[int, int] = {}
    return [_line(one, text, counts, listed=listed and len(paragraphs) > 1) for one, text in paragraphs]


def _line(paragraph: etree._Element, text: str, counts: dict[int, int], *, listed: bool) -> str:
    properties = paragraph.find(f"{A}pPr")
    level = 0 if properties is None else whole_number(properties.get("lvl"), 0, DEEPEST)
    for below in [n for n in counts if n > level]:
        del counts[below]
    numbered = None if properties is None else properties.find(f"{A}buAutoNum")
    if numbered is not None:
        counts[level] = counts.get(level, whole_number(numbered.get("startAt"), 1, 32_767) - 1) + 1
        mark = _number(counts[level], numbered.get("type", "arabicPeriod"))
    else:
        counts.pop(level, None)
        mark = "- " if _has_bullet(properties, listed=listed) else ""
    indent = "  " * level if mark else ""
    return indent + mark + text.replace("\n", "\n" + " " * len(indent + mark))


def _has_bullet(properties: etree._Element | None, *, listed: bool) -> bool:
    if properties is None:
        return listed
    if properties.find(f"{A}buChar") is not None or properties.find(f"{A}buBlip") is not None:
        return True
    return listed and properties.find(f"{A}buNone") is None


def _number(number: int, scheme: str) -> str:
    number_format = next((name for start, name in _SCHEMES if scheme.startswith(start)), "decimal")
    text = format_number(number, number_format)
    for end, before, after in _ENDS:
        if scheme.endswith(end):
            return f"{before}{text}{after} "
    return f"{text} "


def table_rows(table: etree._Element) -> list[list[str]]:
    """The rows of a table. What is merged over rows is repeated where it is short, over columns it stands once."""
    rows: list[list[str]] = []
    for row in table.iterchildren(f"{A}tr"):
        above = rows[-1] if rows else []
        cells: list[str] = []
        for cell in row.iterchildren(f"{A}tc"):
            text = "" if _is_merged(cell, "hMerge") else " ".join(drawn_text(cell).split())
            if _is_merged(cell, "vMerge") and len(cells) < len(above) and len(above[len(cells)]) <= REPEATED_CHARACTERS:
                text = text or above[len(cells)]
            cells.append(text)
            if len(cells) >= MOST_COLUMNS:
                break
        rows.append(cells)
    return [row for row in rows if any(row)]


def _is_merged(cell: etree._Element, name: str) -> bool:
    return cell.get(name) in ("1", "true")
