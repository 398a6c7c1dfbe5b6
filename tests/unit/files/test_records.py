"""Records of files that were read are at hand without the database, and never outlive their file."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from bookwheel.files.files import Files, NewFile
from bookwheel.settings import LimitSettings
from bookwheel.storage import files as rows
from bookwheel.storage.blobs import TEXT, Blobs
from bookwheel.storage.database import Database
from bookwheel.storage.files import PROCESSED, FileRecord
from bookwheel.storage.tables import files


class CountingDatabase(Database):
    """Counts what is read; `meanwhile` runs between a query and its answer."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads = 0
        self.meanwhile: Callable[[], Any] | None = None

    async def read(self, query: Callable[[Connection], Any]) -> Any:
        self.reads += 1
        answer = await super().read(query)
        if self.meanwhile is not None:
            await self.meanwhile()
        return answer


class Shelf:
    """A data folder with what works on it."""

    def __init__(self, folder: Path) -> None:
        self.database = CountingDatabase(folder / "test.db")
        self.database.migrate()
        self.blobs = Blobs(folder)
        self.files = Files(self.database, self.blobs, LimitSettings())

    async def put(self, text: str = "Text.") -> FileRecord:
        incoming = self.blobs.new_incoming()
        await incoming.write(text.encode())
        return await self.files.create("ann", incoming, NewFile("a.txt", "file-extract"))

    async def put_read(self) -> FileRecord:
        """A file whose document is there."""
        file = await self.put()
        path = self.blobs.new_incoming_path()
        path.write_text("Text.", "utf-8")
        await self.blobs.keep(path, file.file_id, TEXT)
        await self.database.write(lambda c: rows.finish_file(c, file.file_id, status=PROCESSED))
        return file


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    opened = Shelf(tmp_path)
    yield opened
    opened.database.close()


async def test_a_file_that_was_read_is_looked_up_once(shelf: Shelf) -> None:
    file = await shelf.put_read()
    first = await shelf.files.find("ann", [file.file_id])
    reads = shelf.database.reads
    assert await shelf.files.find("ann", [file.file_id]) == first
    assert first[file.file_id].status == PROCESSED
    assert shelf.database.reads == reads


async def test_a_file_that_is_being_read_is_looked_up_every_time(shelf: Shelf) -> None:
    file = await shelf.put()
    assert (await shelf.files.get("ann", file.file_id)).status == "uploaded"
    await shelf.database.write(lambda c: rows.finish_file(c, file.file_id, status=PROCESSED))
    assert (await shelf.files.get("ann", file.file_id)).status == PROCESSED


async def test_what_is_at_hand_for_one_account_is_not_for_another(shelf: Shelf) -> None:
    file = await shelf.put_read()
    assert await shelf.files.find("ann", [file.file_id])
    assert await shelf.files.find("bob", [file.file_id]) == {}


async def test_a_file_whose_time_is_over_is_gone_before_it_is_swept(shelf: Shelf) -> None:
    file = await shelf.put_read()
    over = update(files).where(files.c.file_id == file.file_id).values(expires_at=1)
    await shelf.database.write(lambda c: c.execute(over))
    assert await shelf.files.find("ann", [file.file_id]) == {}
    assert (await shelf.files.page("ann", after=None, limit=9, descending=True, purpose=None)).files == []
    assert await shelf.files.expired() == [("ann", file.file_id)]


async def test_a_deleted_file_is_gone_at_once(shelf: Shelf) -> None:
    file = await shelf.put_read()
    await shelf.files.find("ann", [file.file_id])
    await shelf.files.delete_row("ann", file.file_id)
    assert await shelf.files.find("ann", [file.file_id]) == {}


async def test_a_file_that_is_deleted_while_it_is_looked_up_is_not_kept(shelf: Shelf) -> None:
    file = await shelf.put_read()

    async def delete() -> None:
        shelf.database.meanwhile = None
        await shelf.files.delete_row("ann", file.file_id)

    shelf.database.meanwhile = delete
    await shelf.files.find("ann", [file.file_id])
    assert await shelf.files.find("ann", [file.file_id]) == {}


async def test_a_text_is_read_from_the_folder_once_and_dropped_with_its_file(shelf: Shelf) -> None:
    file = await shelf.put_read()
    assert await shelf.files.text(file) == "Text."
    shelf.files.text_path(file).unlink()
    assert await shelf.files.text(file) == "Text."
    await shelf.files.delete_row("ann", file.file_id)
    await shelf.files.delete_blobs(file.file_id)
    with pytest.raises(FileNotFoundError):
        await shelf.files.text(file)
