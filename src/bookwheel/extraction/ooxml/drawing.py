"""Charts and diagrams (SmartArt) of Office files as text: a chart as a small table, a diagram as a list."""

from collections.abc import Iterator

from lxml import etree

from bookwheel.document import Block, BlockKind
from bookwheel.extraction.ooxml.math import math_text
from bookwheel.extraction.ooxml.package import MC, A, M, whole_number
from bookwheel.extraction.ooxml.symbols import unmask
from bookwheel.extraction.tables import render_table

MOST_SERIES = 50
MOST_POINTS = 1_000
MOST_ITEMS = 5_000
MOST_DEPTH = 8

_BREAKS = {f"{A}br": "\n", f"{A}tab": "\t"}
_EQUATIONS = frozenset((f"{M}oMathPara", f"{M}oMath"))
_UNSEEN = frozenset((f"{A}p", f"{A}pPr", f"{A}rPr", f"{A}endParaRPr"))

_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_CX = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"
_D = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"


def drawn_text(element: etree._Element) -> str:
    """The text of DrawingML paragraphs, a line each."""
    lines = (line_text(paragraph) for paragraph in element.iter(f"{A}p"))
    return "\n".join(line for line in lines if line)


def line_text(paragraph: etree._Element) -> str:
    """One DrawingML paragraph: its runs, breaks, fields (but slide numbers) and equations."""
    ahead, parts = list(reversed(paragraph)), list[str]()
    while ahead:
        element = ahead.pop()
        tag = element.tag
        if tag == f"{A}t":
            parts.append(_run_text(element))
        elif tag in _BREAKS:
            parts.append(_BREAKS[tag])
        elif tag in _EQUATIONS:
            parts.append(f"${math_text(element).strip()}$")
        elif tag == f"{MC}AlternateContent" and len(element):
            ahead.append(element[0])
        elif tag not in _UNSEEN and element.get("type") != "slidenum":
            ahead += reversed(element)
    return "".join(parts).replace("\xa0", " ").replace("\v", "\n").replace("\xad", "").strip()


def _run_text(element: etree._Element) -> str:
    text = element.text or ""
    if text.isascii():
        return text
    fonts = element.getparent().find(f"{A}rPr/{A}sym")
    return unmask(text, None if fonts is None else fonts.get("typeface"))


def chart_blocks(root: etree._Element, anchor: str) -> Iterator[Block]:
    """A chart: its title, then its series as the columns of a table."""
    title = _title(root)
    if title:
        yield Block(BlockKind.PARAGRAPH, f"{title}\n\n", anchor)
    table = render_table(_newer_rows(root) if root.tag.startswith(_CX) else _chart_rows(root))
    if table:
        yield Block(BlockKind.TABLE, f"{table}\n", anchor)


def _title(root: etree._Element) -> str:
    for path in (f"{_C}chart/{_C}title", f"{_CX}chart/{_CX}title"):
        title = root.find(path)
        if title is not None:
            return " ".join(drawn_text(title).split()) or _cached(title.find(f"{_C}tx"))
    return ""


def _chart_rows(root: etree._Element) -> list[list[str]]:
    series = list(root.iter(f"{_C}ser"))[:MOST_SERIES]
    if not series:
        return []
    names = [_cached(one.find(f"{_C}tx")) or f"Series {number}" for number, one in enumerate(series, 1)]
    categories: dict[int, str] = {}
    for one in series:
        categories = categories or _points(one, "cat") or _points(one, "xVal")
    columns = [_points(one, "val") or _points(one, "yVal") for one in series]
    places = sorted(set(categories).union(*columns))
    rows = [[categories.get(n, ""), *(column.get(n, "") for column in columns)] for n in places[:MOST_POINTS]]
    return [["", *names], *rows]


def _cached(element: etree._Element | None) -> str:
    """The words that a reference to cells stood for when it was saved."""
    return "" if element is None else " ".join(v.text or "" for v in element.iter(f"{_C}v")).strip()


def _points(series: etree._Element, name: str) -> dict[int, str]:
    """Values by their places."""
    found = series.find(_C + name)
    if found is None:
        return {}
    points: dict[int, str] = {}
    innermost = next(found.iter(f"{_C}lvl"), found)  # of categories in groups
    for point in innermost.iter(f"{_C}pt"):
        if len(points) >= MOST_POINTS:
            break
        points[whole_number(point.get("idx"), len(points), 10**6)] = _number(point.findtext(f"{_C}v") or "")
    return points


def _number(text: str) -> str:
    """A value without the traces of binary fractions: `4.2999999999999998` as `4.3`."""
    if len(text) < 16:
        return text.strip()
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text.strip()


def _newer_rows(root: etree._Element) -> list[list[str]]:
    """The data of a chart of the newer kinds (waterfall, treemap, ...): a column for each dimension."""
    columns = [
        [_number(point.text or "") for point in level.iter(f"{_CX}pt")][:MOST_POINTS]
        for level in list(root.iter(f"{_CX}lvl"))[:MOST_SERIES]
    ]
    height = max(map(len, columns), default=0)
    rows = [[column[n] if n < len(column) else "" for column in columns] for n in range(height)]
    return [[""] * len(columns), *rows] if rows else []


def diagram_blocks(root: etree._Element, anchor: str) -> Iterator[Block]:
    """A diagram's words as a list, nested as its shapes are."""
    texts = {
        point.get("modelId", ""): " ".join(drawn_text(point).split())
        for point in root.iter(f"{_D}pt")
        if point.get("type", "node") in ("node", "asst", "doc")
    }
    lines = [f"{'  ' * depth}- {texts[name]}\n" for name, depth in _outline(root, texts) if texts[name]]
    if lines:
        yield Block(BlockKind.LIST, "".join(lines) + "\n", anchor)


def _outline(root: etree._Element, texts: dict[str, str]) -> Iterator[tuple[str, int]]:
    """The points, each after its parent and once, and how deep they stand."""
    children: dict[str, list[tuple[int, str]]] = {}
    below: set[str] = set()
    for connection in root.iter(f"{_D}cxn"):
        parent, child = connection.get("srcId", ""), connection.get("destId", "")
        if connection.get("type", "parOf") == "parOf" and parent in texts and child in texts:
            children.setdefault(parent, []).append((whole_number(connection.get("srcOrd"), 0, 10**6), child))
            below.add(child)
    seen: set[str] = set()
    for top in [name for name in texts if name not in below] + list(texts):
        ahead = [(top, 0)]
        while ahead and len(seen) < MOST_ITEMS:
            name, depth = ahead.pop()
            if name in seen:
                continue
            seen.add(name)
            yield name, depth
            deeper = min(depth + bool(texts[name]), MOST_DEPTH)
            ahead += [(child, deeper) for _, child in sorted(children.get(name, ()), reverse=True)]
