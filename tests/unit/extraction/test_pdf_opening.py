"""Files with a broken beginning or end are read as far as their pages are there."""

from pathlib import Path

import pytest

from bookwheel.document import Block
from bookwheel.errors import ParsingError
from bookwheel.extraction.formats.pdf import read
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.pdf.opening import mend, open_document
from bookwheel.extraction.pdf.render import best_dpi, render_page
from support.pdf_parts import Sheet, pdf, text

WHOLE = pdf([Sheet(text(72, 700, f"This is sheet {n}.")) for n in range(4)])
TABLE = WHOLE.rindex(b"xref\n0")


def text_of(folder: Path, data: bytes) -> str:
    source = folder / "source"
    source.write_bytes(data)
    return "".join(block.text for block in read(source, Notes(folder)) if isinstance(block, Block))


@pytest.mark.parametrize("end", [TABLE, TABLE + 40, len(WHOLE) - 30], ids=["no table", "half a table", "no trailer"])
def test_a_file_without_its_end_is_read(tmp_path: Path, end: int) -> None:
    words = text_of(tmp_path, WHOLE[:end])
    assert all(f"This is sheet {n}." in words for n in range(4))


def test_pages_that_were_cut_off_do_not_take_the_others_with_them(tmp_path: Path) -> None:
    words = text_of(tmp_path, WHOLE[: TABLE - 60])
    assert "This is sheet 2." in words


def test_a_file_with_much_before_its_head_is_read(tmp_path: Path) -> None:
    words = text_of(tmp_path, b"HTTP/1.1 200 OK\r\n" + b"junk " * 1000 + WHOLE)
    assert "This is sheet 3." in words


def test_a_mended_file_can_be_shown_too(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(WHOLE[:TABLE])
    lowest, highest = render_page(source, 0, 72).convert("L").getextrema()
    assert lowest != highest
    assert best_dpi(source, 0) > 0


@pytest.mark.parametrize("data", [b"", b"no PDF at all", b"%PDF-1.7\nand nothing else"])
def test_what_cannot_be_mended_is_told(data: bytes) -> None:
    assert mend(data) is None


def test_an_encrypted_file_without_its_key_is_damaged(tmp_path: Path) -> None:
    data = WHOLE[:TABLE] + b"99 0 obj<</Filter/Standard>>endobj\n%/Encrypt 99 0 R"
    assert mend(data) is None
    with pytest.raises(ParsingError, match="It is damaged"):
        text_of(tmp_path, data)


def test_a_sound_file_is_opened_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(WHOLE)
    with open_document(source) as document:
        assert len(document) == 4
