"""What the elements mean that are blocks of a page: each begins a paragraph, a list, a table, and says what ends it."""

import re

from bookwheel.document import BlockKind
from bookwheel.extraction.html.page import Closer, Element, Handler
from bookwheel.extraction.html.tables import MOST_COLUMNS, MOST_ROWS_SPANNED, Cell, Table

MOST_NESTED_TABLES = 12

BLOCKS = frozenset(
    "address article aside body caption center dd desc details dialog dir div dl docauthor doctitle dt fieldset"
    " figcaption figure footer form frameset header hgroup hr html legend li line main menu nav noframes ol optgroup"
    " option p pagebreak search section summary table tbody td text tfoot th thead tr ul".split()
)


def block(element: Element) -> Closer:
    if element.tag == "nav" or element.get("role") == "navigation":
        return _navigation(element)
    return _plain_block(element)


def _plain_block(element: Element) -> Closer:
    page = element.page
    page.end_paragraph()
    judge = page.doubt.begin(element.tag, element.attributes, page.writer)
    if judge is None:
        return page.end_paragraph

    def close() -> None:
        page.end_paragraph()
        judge()

    return close


def _navigation(element: Element) -> Closer:
    """Its lists have no numbers of their own, and its headings head nothing beyond it."""
    page = element.page
    close_block = _plain_block(element)
    page.navigation += 1
    path = page.writer.path()

    def close() -> None:
        page.navigation -= 1
        close_block()
        page.writer.restore(path)

    return close


def _heading(element: Element) -> Closer:
    page = element.page
    page.end_paragraph()
    outer, page.heading = page.heading, int(element.tag[1])

    def close() -> None:
        page.write("")
        page.writer.heading(page.heading)
        page.heading = outer

    return close


def _rule(element: Element) -> None:
    element.page.end_paragraph()


def _quote(element: Element) -> Closer:
    page = element.page
    if not page.shared.quotes:
        return block(element)
    page.end_paragraph()
    before = page.writer.quotes()
    page.writer.begin_quote()

    def close() -> None:
        page.end_paragraph()
        page.writer.end_quote(before)

    return close


def _caption(element: Element) -> Closer:
    element.page.end_paragraph()
    return lambda: element.page.writer.end_paragraph(BlockKind.FIGURE)


def _preformatted(element: Element) -> Closer:
    page = element.page
    page.end_paragraph()
    page.verbatim = []

    def close() -> None:
        text, page.verbatim = "".join(page.verbatim or ()), None
        page.writer.code(text)

    return close


# Lists


def _list(element: Element) -> Closer:
    page = element.page
    page.end_paragraph()
    ordered = element.tag == "ol" and not page.navigation
    page.writer.begin_list(ordered=ordered, first=_number(element.get("start"), 1), style=element.get("type"))

    def close() -> None:
        page.end_paragraph()
        page.writer.end_list()

    return close


def _item(element: Element) -> Closer:
    page = element.page
    page.end_paragraph()
    alone = not page.writer.in_list()
    if alone:
        page.writer.begin_list()
    if element.tag == "dd":
        page.writer.continue_item()
    else:
        page.writer.item(_number(element.get("value"), 1) if "value" in element.attributes else None)
    if not alone:
        return page.end_paragraph

    def close() -> None:
        page.end_paragraph()
        page.writer.end_list()

    return close


# Tables


def _table(element: Element) -> Closer:
    page = element.page
    page.end_paragraph()
    nested_too_deep = len(page.tables) == MOST_NESTED_TABLES
    if nested_too_deep:
        return page.end_paragraph
    layout = element.get("role") in ("presentation", "none")
    page.tables.append(Table(layout=layout, anchor=page.writer.anchor))

    def close() -> None:
        page.end_paragraph()
        page.writer.put_items(list(page.tables.pop().finish()))

    return close


def _row(element: Element) -> Closer:
    page = element.page
    page.end_paragraph()

    def close() -> None:
        page.end_paragraph()
        if page.tables and (ready := list(page.tables[-1].end_row())):
            page.writer.put_items(ready)

    return close


def _cell(element: Element) -> Closer:
    page = element.page
    page.end_paragraph()
    if not page.tables:
        return page.end_paragraph
    table = page.tables[-1]
    cell = Cell(element.tag == "th")
    if element.attributes:
        cell.columns = max(1, min(_number(element.get("colspan"), 1), MOST_COLUMNS))
        cell.rows = max(1, min(_number(element.get("rowspan"), 1) or MOST_ROWS_SPANNED, MOST_ROWS_SPANNED))
    page.writer.begin_cell()

    def close() -> None:
        page.end_paragraph()
        cell.items = page.writer.end_cell()
        table.add(cell)

    return close


def _number(value: str, default: int) -> int:
    """A number of an attribute, where it is one and none too large."""
    digits = re.match(r"\s*(-?\d{1,6})(?!\d)", value)
    return int(digits[1]) if digits else default


BLOCK_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(BLOCKS, block),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), _heading),
    **dict.fromkeys(("ul", "ol", "menu", "dir", "dl"), _list),
    **dict.fromkeys(("li", "dt", "dd"), _item),
    **dict.fromkeys(("pre", "listing", "xmp", "plaintext", "textarea"), _preformatted),
    **dict.fromkeys(("td", "th"), _cell),
    **dict.fromkeys(("hr", "pagebreak"), _rule),
    **dict.fromkeys(("figcaption", "caption"), _caption),
    "blockquote": _quote,
    "table": _table,
    "tr": _row,
}
