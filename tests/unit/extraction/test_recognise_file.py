"""What the first bytes leave open is told by the whole file."""

import zipfile
from pathlib import Path

import pytest

from bookwheel.errors import FormatNotSupported, ParsingError
from bookwheel.extraction.encoding import HEAD_BYTES
from bookwheel.extraction.recognise import FileType
from bookwheel.extraction.recognise_file import recognise_file

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def pack(path: Path, *names: str, before: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("docProps/thumbnail.jpeg", before)
        for name in names:
            archive.writestr(name, "x")
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("word/document.xml", FileType.DOCX),
        ("xl/workbook.xml", FileType.XLSX),
        ("ppt/presentation.xml", FileType.PPTX),
        ("META-INF/container.xml", FileType.EPUB),
    ],
)
def test_an_archive_is_told_by_names_far_behind_its_first_bytes(tmp_path: Path, name: str, expected: FileType) -> None:
    path = pack(tmp_path / "a", name, before=bytes(2 * HEAD_BYTES))
    assert recognise_file(path, "upload") is expected


def test_an_embedded_workbook_does_not_make_a_presentation_a_workbook(tmp_path: Path) -> None:
    inner = pack(tmp_path / "inner", "xl/workbook.xml").read_bytes()
    assert recognise_file(pack(tmp_path / "a", "ppt/presentation.xml", before=inner), "a.pptx") is FileType.PPTX


def test_an_archive_that_was_cut_off_is_told_by_what_is_left(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a", "word/document.xml", before=bytes(1000)).read_bytes()
    (tmp_path / "half").write_bytes(whole[: int(0.9 * len(whole))])
    assert recognise_file(tmp_path / "half", "a.docx") is FileType.DOCX


def test_an_archive_of_which_nothing_is_left_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(b"PK\x03\x04" + bytes(10))
    with pytest.raises(ParsingError) as refusal:
        recognise_file(tmp_path / "half", "a.docx")
    assert "damaged" in refusal.value.reason


def test_a_document_in_one_xml_file_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('<?xml version="1.0"?><pkg:package xmlns:pkg="p"></pkg:package>')
    assert recognise_file(tmp_path / "a", "a.docx") is FileType.DOCX


def test_an_archive_of_other_things_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(FormatNotSupported) as refusal:
        recognise_file(pack(tmp_path / "a", "readme.txt"), "a.zip")
    assert refusal.value.reason == (
        "format is not supported. Recognised: ZIP archive. Unpack it and upload the files in it."
    )


@pytest.mark.parametrize("distance", [0, HEAD_BYTES, 1024 * 1024 - 10, 3 * 1024 * 1024])
def test_a_document_under_a_password_is_refused_by_saying_so(tmp_path: Path, distance: int) -> None:
    (tmp_path / "a").write_bytes(OLE2 + bytes(distance) + "EncryptedPackage".encode("utf-16-le") + bytes(100))
    with pytest.raises(ParsingError) as refusal:
        recognise_file(tmp_path / "a", "a.docx")
    assert "password" in refusal.value.reason


def test_an_old_document_is_to_be_converted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(OLE2 + bytes(2 * HEAD_BYTES) + b"x")
    with pytest.raises(FormatNotSupported) as refusal:
        recognise_file(tmp_path / "a", "a.doc")
    assert refusal.value.reason.endswith("Convert it to DOCX, XLSX, PPTX or PDF first.")


def test_plain_text_is_left_to_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("Words.")
    assert recognise_file(tmp_path / "a", "a.md") is FileType.MD
