"""Excel workbooks (.xlsx, .xlsm, .xltx): each sheet under a heading, its tables as Markdown tables.

Cells are shown as their user sees them (see `xlsx.numbers`), formulas by their saved results. Hidden sheets, rows and
columns are read as well; a hidden sheet's heading says so. Nothing is computed and no macro is looked at.
"""

from collections.abc import Iterator
from pathlib import Path

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError
from bookwheel.extraction.archive import Archive
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ooxml.package import CUT_OFF
from bookwheel.extraction.xlsx.cells import CellTexts, SheetCells
from bookwheel.extraction.xlsx.drawings import read_comments, read_drawings, read_printed
from bookwheel.extraction.xlsx.layout import lay_out, quoted
from bookwheel.extraction.xlsx.package import SheetEntry, of_kind, open_workbook, relations
from bookwheel.extraction.xlsx.text import open_part

HEADING_LEVEL = 2


def read(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """A workbook's sheets in its order, empty ones left out. Anchors are `Sheet!A1:F50`.

    Raises ParsingError where no sheet is to be found, SizeExceeded above 20 million cells.
    """
    with Archive(path) as archive:
        if archive.is_cut_off:
            notes.warn(CUT_OFF)
        if "xl/workbook.bin" in archive:
            raise ParsingError("It is a binary workbook (.xlsb): save it as .xlsx and upload it again.")
        workbook = open_workbook(archive, notes)
        texts = CellTexts(workbook)
        for number, sheet in enumerate(workbook.sheets, 1):
            notes.reading("sheet", number, len(workbook.sheets))
            yield from _headed(sheet, _sheet_items(archive, texts, sheet, notes))


def _headed(sheet: SheetEntry, items: Iterator[Block | Picture]) -> Iterator[Block | Picture]:
    """A sheet's heading and items; nothing where it has none."""
    first = next(items, None)
    if first is not None:
        words = f"Sheet: {sheet.name} (hidden)" if sheet.hidden else f"Sheet: {sheet.name}"
        heading = f"{'#' * HEADING_LEVEL} {' '.join(words.split())}\n\n"
        yield Block(BlockKind.HEADING, heading, quoted(sheet.name), HEADING_LEVEL)
        yield first
        yield from items


def _sheet_items(archive: Archive, texts: CellTexts, sheet: SheetEntry, notes: Notes) -> Iterator[Block | Picture]:
    """A sheet's tables and lines, what lies on it, and the comments on it."""
    tail = ""
    try:
        prefix, pieces = open_part(archive, sheet.part)
    except KeyError:
        notes.warn(f"The sheet {sheet.name} is missing in the file.")
        return
    except ParsingError:
        notes.warn(f"The sheet {sheet.name} is damaged and was not read.")
    else:
        cells = SheetCells(texts, prefix, pieces)
        yield from lay_out(cells.rows(), cells.merges, quoted(sheet.name))
        tail = cells.tail
        _warn(cells, sheet, notes)
    related = relations(archive, sheet.part)
    yield from read_drawings(archive, related, sheet.name, notes)
    yield from read_comments(archive, related, sheet.name, texts.workbook)
    yield from read_printed(tail, sheet.name)
    if of_kind(related, "oleObject", "package"):
        notes.warn("Files that are embedded in the workbook were not read.")


def _warn(cells: SheetCells, sheet: SheetEntry, notes: Notes) -> None:
    if cells.damaged:
        notes.warn(f"The sheet {sheet.name} is damaged: what follows the damage is missing.")
    if cells.formulas:
        notes.warn(
            "Some formulas were saved without their results and stand as formulas: "
            "open the workbook in Excel, save it and upload it again to have the results."
        )
