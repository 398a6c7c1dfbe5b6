"""A document's text is given back as it was written, so that every place in it is where its blocks say."""

from pathlib import Path
from typing import Any, cast

import pytest

from bookwheel.files.files import Files
from bookwheel.settings import LimitSettings
from bookwheel.storage.blobs import TEXT, Blobs
from bookwheel.storage.files import FileRecord

FILE = FileRecord(
    sequence=1,
    file_id="file-fe-" + "a" * 24,
    account_id="default",
    purpose="file-extract",
    filename="a.json",
    size_bytes=1,
    sha256="0" * 64,
    created_at=0,
    expires_at=None,
    status="processed",
    status_details=None,
    attempts=1,
    file_type="json",
    characters=1,
    tokens=1,
    report=None,
)


@pytest.mark.parametrize("text", ["one\r\ntwo", "one\rtwo", "one\ntwo\n", "孔\u2028乙\x85己\x0c", ""])
async def test_a_text_keeps_every_character(tmp_path: Path, text: str) -> None:
    blobs = Blobs(tmp_path)
    path = blobs.path(FILE.file_id, TEXT)
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode())
    files = Files(cast("Any", None), blobs, LimitSettings())
    assert await files.text(FILE) == text
    path.unlink()
    assert await files.text(FILE) == text  # it was kept


async def test_the_text_of_a_file_that_was_deleted_is_not_found(tmp_path: Path) -> None:
    files = Files(cast("Any", None), Blobs(tmp_path), LimitSettings())
    with pytest.raises(FileNotFoundError):
        await files.text(FILE)
