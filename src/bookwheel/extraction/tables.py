"""Tables as Markdown: what every format that has tables renders them with."""

from collections.abc import Iterable, Sequence

_ESCAPES = str.maketrans({"|": "\\|", "\n": " ", "\r": " ", "\v": " ", "\f": " "})


def table_row(cells: Sequence[str]) -> str:
    """One row as a line: pipes escaped, line ends as spaces."""
    line = " | ".join(map(str.strip, cells))
    if line.count("|") >= len(cells) or "\n" in line or "\r" in line or "\v" in line or "\f" in line:
        line = " | ".join(cell.strip().translate(_ESCAPES) for cell in cells)
    return f"| {line} |\n"


def table_rule(columns: int) -> str:
    """The line under a table's head."""
    return "| --- " * columns + "|\n"


def render_table(rows: Iterable[Sequence[str]]) -> str:
    """A whole table, its first row as the head; rows are filled up to the widest one. Empty for no rows."""
    filled = list(rows)
    width = max(map(len, filled), default=0)
    if not width:
        return ""
    head, *rest = ([*row, *[""] * (width - len(row))] for row in filled)
    return table_row(head) + table_rule(width) + "".join(map(table_row, rest))
