"""A file as the wire has it: what was found in it, how far its reading is, or why it cannot be read."""

import msgspec
import pytest

from bookwheel.api.files import file_object
from bookwheel.storage.files import ERROR, PROCESSED, UPLOADED, FileRecord
from bookwheel.wire.files import ParseReport, ReadingProgress


def record(status: str, details: str | None = None, report: ParseReport | None = None) -> FileRecord:
    return FileRecord(
        sequence=1,
        file_id="file-fe-" + "a" * 24,
        account_id="ann",
        purpose="file-extract",
        filename="book.pdf",
        size_bytes=10,
        sha256="0" * 64,
        created_at=0,
        expires_at=None,
        status=status,
        status_details=details,
        attempts=1,
        file_type="PDF",
        characters=1,
        tokens=1,
        report=msgspec.json.encode(report).decode() if report else None,
    )


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (ReadingProgress(unit="page", number=312, total=900), "reading page 312 of 900"),
        (ReadingProgress(unit="section", number=4), "reading section 4"),
    ],
)
def test_a_file_that_is_being_read_says_how_far_it_is(progress: ReadingProgress, words: str) -> None:
    shown = file_object(record(UPLOADED), progress)
    assert (shown.status, shown.status_details) == ("uploaded", words)
    assert shown.bookwheel == ParseReport(progress=progress)


def test_a_file_that_waits_says_nothing_yet() -> None:
    shown = file_object(record(UPLOADED), None)
    assert (shown.status_details, shown.bookwheel) == (None, msgspec.UNSET)


def test_a_file_that_was_read_carries_its_report_without_what_does_not_apply() -> None:
    report = ParseReport(type="PDF", pages=3, ocr_pages=0, tokens=7, warnings=("Page 2 could not be read.",))
    sent = msgspec.json.decode(msgspec.json.encode(file_object(record(PROCESSED, report=report), None)))
    assert sent["bookwheel"] == {
        "type": "PDF",
        "pages": 3,
        "ocr_pages": 0,
        "tokens": 7,
        "warnings": ["Page 2 could not be read."],
    }


def test_a_file_that_cannot_be_read_says_why() -> None:
    shown = file_object(record(ERROR, "File [id:x] content blank."), None)
    assert (shown.status, shown.status_details, shown.bookwheel) == (
        "error",
        "File [id:x] content blank.",
        msgspec.UNSET,
    )
