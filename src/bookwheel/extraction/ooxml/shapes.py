"""Shapes on a slide: where they stand, and in which order a reader comes to them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree

from bookwheel.extraction.ooxml.package import MC, A, P

MOST_SHAPES = 5_000
MOST_DEPTH = 24
OVERLAP = 60_000
"""EMU (a sixth of a centimetre): boxes that overlap by less stand beside each other."""
_FAR = 1 << 40
_READ = frozenset(P + name for name in ("sp", "grpSp", "graphicFrame", "pic", "cxnSp"))

Key = tuple[str, str]
"""A placeholder's type and index."""


@dataclass(frozen=True)
class Box:
    """A shape and its sides, in EMU. `key` is a placeholder's, else empty."""

    element: etree._Element
    left: int
    top: int
    right: int
    bottom: int
    key: Key | None


Sides = tuple[int, int, int, int]


def shapes_in(tree: etree._Element, inherited: Callable[[Key], Sides | None]) -> list[Box]:
    """The shapes of a slide or a group, in reading order; `inherited` gives the sides of a layout's placeholders."""
    boxes: list[Box] = []
    for element in _drawn(tree):
        key = placeholder(element)
        sides = _sides(element) or (inherited(key) if key else None)
        boxes.append(Box(element, *(sides or (0, _FAR, 0, _FAR)), key))
        if len(boxes) >= MOST_SHAPES:
            break
    return _in_order(boxes, 0)


def placeholder(element: etree._Element) -> Key | None:
    """The type (`obj` where none is given) and index of a placeholder; None where the shape is none."""
    found = element.find(f"*/{P}nvPr/{P}ph")
    return None if found is None else (found.get("type", "obj"), found.get("idx", "0"))


def placeholder_sides(tree: etree._Element | None) -> dict[Key, Sides]:
    """Where the placeholders of a layout or a master stand."""
    found: dict[Key, Sides] = {}
    for element in () if tree is None else tree.iter(f"{P}sp", f"{P}pic", f"{P}graphicFrame"):
        key, sides = placeholder(element), _sides(element)
        if key and sides:
            found[key] = sides
    return found


def static_texts(tree: etree._Element | None) -> list[etree._Element]:
    """The text frames of a layout or a master that each of its slides shows: those that are no placeholders."""
    shapes = () if tree is None else tree.iter(f"{P}sp")
    frames = (shape.find(f"{P}txBody") for shape in shapes if placeholder(shape) is None)
    return [frame for frame in frames if frame is not None][:MOST_SHAPES]


def _drawn(tree: etree._Element) -> Iterator[etree._Element]:
    for child in tree:
        if child.tag != f"{MC}AlternateContent":
            yield child
        elif len(child):  # ink, say, is for newer programs only: older ones are given a picture
            yield from next((option for option in child if any(one.tag in _READ for one in option)), child[0])


def _sides(element: etree._Element) -> Sides | None:
    for path in (f"{P}spPr/{A}xfrm", f"{P}xfrm", f"{P}grpSpPr/{A}xfrm"):
        found = element.find(path)
        if found is not None:
            break
    else:
        return None
    start, size = found.find(f"{A}off"), found.find(f"{A}ext")
    if start is None or size is None:
        return None
    left, top = _coordinate(start.get("x")), _coordinate(start.get("y"))
    return left, top, left + abs(_coordinate(size.get("cx"))), top + abs(_coordinate(size.get("cy")))


def _coordinate(text: str | None) -> int:
    try:
        return max(-_FAR, min(_FAR, int((text or "0")[:20])))
    except ValueError:
        return 0


def _in_order(boxes: list[Box], depth: int) -> list[Box]:
    """Rows from above to below, in them columns from left to right; what overlaps by its upper left corner."""
    if len(boxes) > 1 and depth < MOST_DEPTH:
        for spans in ([(box.top, box.bottom) for box in boxes], [(box.left, box.right) for box in boxes]):
            parts = _parted(boxes, spans)
            if len(parts) > 1:
                return [box for part in parts for box in _in_order(part, depth + 1)]
    return sorted(boxes, key=lambda box: (box.top, box.left))


def _parted(boxes: list[Box], spans: list[tuple[int, int]]) -> list[list[Box]]:
    """The boxes in groups between which a straight line can be drawn, by where each begins and ends."""
    parts: list[list[Box]] = []
    reach = -_FAR
    for (near, far), place in sorted((span, place) for place, span in enumerate(spans)):
        if parts and near < reach - OVERLAP:
            parts[-1].append(boxes[place])
        else:
            parts.append([boxes[place]])
        reach = max(reach, far)
    return parts
