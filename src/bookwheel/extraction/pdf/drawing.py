"""What is drawn on a PDF page beside its text: rules, boxes and images, with their places.

Rules are what the grid of a table is made of. They come as thin boxes, as strokes and as the edges of filled boxes, and
every program draws them in its own way. Pages with more objects than are looked at are maps and plans, not tables.
"""

import ctypes
import math
from typing import Any, NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

MOST_OBJECTS = 20_000
MOST_SEGMENTS = 20_000
"""Points of paths on one page that are looked at."""
MOST_DEPTH = 8
THIN = 2.5
"""Boxes no wider or no higher than this are rules."""
LEAST_RULE = 4.0
BOX_POINTS = (4, 5, 6)
"""Points of a path that is a box, with or without its last one, closed or not."""


def _handles(function: Any, *arguments: Any, result: Any = ctypes.c_void_p) -> Any:
    """A function of PDFium that deals in plain addresses: a third faster, and a page may have thousands of objects."""
    prototype = ctypes.CFUNCTYPE(result, ctypes.c_void_p, *arguments)
    return prototype(ctypes.cast(function, ctypes.c_void_p).value or 0)


_page_object = _handles(pdfium_c.FPDFPage_GetObject, ctypes.c_int)
_form_object = _handles(pdfium_c.FPDFFormObj_GetObject, ctypes.c_ulong)
_object_type = _handles(pdfium_c.FPDFPageObj_GetType, result=ctypes.c_int)


class Rule(NamedTuple):
    """A straight line along an axis: at `at` on the other one, from `start` to `end`."""

    at: float
    start: float
    end: float


class Image(NamedTuple):
    """An image's place on the page, in the page's own points counted upwards, and its size in pixels."""

    left: float
    bottom: float
    right: float
    top: float
    width_pixels: int
    height_pixels: int
    number: int
    """Its place among the page's own objects, -1 where it stands inside of another one."""

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.top - self.bottom)


class Drawing(NamedTuple):
    """All of it, rules in the page's own points counted upwards."""

    horizontals: list[Rule]
    verticals: list[Rule]
    images: list[Image]
    shapes: int
    """Paths that are neither rules nor boxes."""


Matrix = tuple[float, float, float, float, float, float]
_IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


def read_drawing(page: pdfium.PdfPage) -> Drawing:
    """What is drawn on a page, within the limits."""
    pen = _Pen()
    pen.read(page)
    return Drawing(pen.horizontals, pen.verticals, pen.images, pen.shapes)


class _Pen:
    """Goes over a page's objects, those inside of forms included."""

    def __init__(self) -> None:
        self.horizontals: list[Rule] = []
        self.verticals: list[Rule] = []
        self.images: list[Image] = []
        self.shapes = 0
        self._objects = self._segments = 0
        self._bounds = tuple(ctypes.c_float() for _ in range(4))
        self._bounds_refs = tuple(map(ctypes.byref, self._bounds))

    def read(self, page: pdfium.PdfPage) -> None:
        handle = ctypes.cast(page.raw, ctypes.c_void_p).value
        for index in range(self._allowed(pdfium_c.FPDFPage_CountObjects(page))):
            thing = _page_object(handle, index)
            kind = _object_type(thing)
            if kind != pdfium_c.FPDF_PAGEOBJ_TEXT:
                self._look(thing, kind, _IDENTITY, index, MOST_DEPTH)

    def _allowed(self, count: int) -> int:
        """How many of so many objects may still be looked at."""
        allowed = min(count, MOST_OBJECTS - self._objects)
        self._objects += allowed
        return allowed

    def _look(self, thing: Any, kind: int, matrix: Matrix, number: int, depth: int) -> None:
        handle = ctypes.cast(thing, pdfium_c.FPDF_PAGEOBJECT)
        if kind == pdfium_c.FPDF_PAGEOBJ_PATH:
            self._look_at_path(handle, matrix)
        elif kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            self._look_at_image(handle, matrix, number)
        elif kind == pdfium_c.FPDF_PAGEOBJ_SHADING:
            self.shapes += 1
        elif kind == pdfium_c.FPDF_PAGEOBJ_FORM and depth:
            inner = _times(_matrix_of(handle), matrix)
            for index in range(self._allowed(pdfium_c.FPDFFormObj_CountObjects(handle))):
                part = _form_object(thing, index)
                part_kind = _object_type(part)
                if part_kind != pdfium_c.FPDF_PAGEOBJ_TEXT:
                    self._look(part, part_kind, inner, -1, depth - 1)

    def _box(self, thing: Any, matrix: Matrix) -> tuple[float, float, float, float] | None:
        if not pdfium_c.FPDFPageObj_GetBounds(thing, *self._bounds_refs):
            return None
        left, bottom, right, top = (value.value for value in self._bounds)
        if matrix is not _IDENTITY:
            corners = [_apply(matrix, x, y) for x in (left, right) for y in (bottom, top)]
            left, right = min(x for x, _ in corners), max(x for x, _ in corners)
            bottom, top = min(y for _, y in corners), max(y for _, y in corners)
        return (left, bottom, right, top) if math.isfinite(left + bottom + right + top) else None

    def _look_at_image(self, thing: Any, matrix: Matrix, number: int) -> None:
        box = self._box(thing, matrix)
        if box is None:
            return
        width, height = ctypes.c_uint(), ctypes.c_uint()
        pdfium_c.FPDFImageObj_GetImagePixelSize(thing, ctypes.byref(width), ctypes.byref(height))
        self.images.append(Image(*box, width.value, height.value, number))

    def _look_at_path(self, thing: Any, matrix: Matrix) -> None:
        box = self._box(thing, matrix)
        if box is None:
            return
        left, bottom, right, top = box
        if top - bottom <= THIN:
            self._horizontal((top + bottom) / 2, left, right)
        elif right - left <= THIN:
            self._vertical((left + right) / 2, bottom, top)
        elif (count := pdfium_c.FPDFPath_CountSegments(thing)) in BOX_POINTS and not _has_curves(thing, count):
            self._edges(left, bottom, right, top)
        else:
            self.shapes += 1
            self._strokes(thing, count, matrix)

    def _edges(self, left: float, bottom: float, right: float, top: float) -> None:
        for at in (bottom, top):
            self._horizontal(at, left, right)
        for at in (left, right):
            self._vertical(at, bottom, top)

    def _horizontal(self, at: float, start: float, end: float) -> None:
        if end - start >= LEAST_RULE:
            self.horizontals.append(Rule(at, start, end))

    def _vertical(self, at: float, start: float, end: float) -> None:
        if end - start >= LEAST_RULE:
            self.verticals.append(Rule(at, start, end))

    def _strokes(self, thing: Any, count: int, matrix: Matrix) -> None:
        """The lines along an axis of a path that has many."""
        self._segments += count
        if self._segments > MOST_SEGMENTS or not _is_stroked(thing):
            return
        whole = _times(_matrix_of(thing), matrix)
        x, y = ctypes.c_float(), ctypes.c_float()
        last = (0.0, 0.0)
        for index in range(count):
            segment = pdfium_c.FPDFPath_GetPathSegment(thing, index)
            pdfium_c.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y))
            point = _apply(whole, x.value, y.value)
            if pdfium_c.FPDFPathSegment_GetType(segment) == pdfium_c.FPDF_SEGMENT_LINETO:
                self._stroke(last, point)
            last = point

    def _stroke(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        (x0, y0), (x1, y1) = start, end
        if abs(y1 - y0) < 0.5:
            self._horizontal((y0 + y1) / 2, min(x0, x1), max(x0, x1))
        elif abs(x1 - x0) < 0.5:
            self._vertical((x0 + x1) / 2, min(y0, y1), max(y0, y1))


def _has_curves(thing: Any, count: int) -> bool:
    return any(
        pdfium_c.FPDFPathSegment_GetType(pdfium_c.FPDFPath_GetPathSegment(thing, index))
        == pdfium_c.FPDF_SEGMENT_BEZIERTO
        for index in range(count)
    )


def _is_stroked(thing: Any) -> bool:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDFPath_GetDrawMode(thing, ctypes.byref(fill), ctypes.byref(stroke))
    return bool(stroke.value)


def _matrix_of(thing: Any) -> Matrix:
    raw = pdfium_c.FS_MATRIX()
    if not pdfium_c.FPDFPageObj_GetMatrix(thing, ctypes.byref(raw)):
        return _IDENTITY
    return raw.a, raw.b, raw.c, raw.d, raw.e, raw.f


def _times(inner: Matrix, outer: Matrix) -> Matrix:
    """The matrix that does `inner` first."""
    a, b, c, d, e, f = inner
    g, h, i, j, k, m = outer
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


def _apply(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f
