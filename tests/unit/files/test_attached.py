"""A file that came with a question is kept for an hour after the last one, where none of its owner's files are listed."""

from collections.abc import AsyncIterator
from pathlib import Path
from time import time

import pytest

from bookwheel.errors import InvalidRequest, NotFound, QuotaReached
from bookwheel.files.files import ATTACHED_SECONDS, FAILED_SECONDS, Files, NewFile
from bookwheel.settings import LimitSettings
from bookwheel.storage import files as rows
from bookwheel.storage.blobs import Blobs
from bookwheel.storage.database import Database
from bookwheel.storage.files import ATTACHED, ERROR, PROCESSED, AccountUsage, FileRecord


class Room:
    """A data folder with files in it."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "test.db")
        self.database.migrate()
        self.files = Files(self.database, Blobs(folder), LimitSettings(files_per_account=2))

    async def put(self, text: str = "Text.", purpose: str = ATTACHED) -> FileRecord:
        incoming = self.files.receive()
        await incoming.write(text.encode())
        seconds = ATTACHED_SECONDS if purpose == ATTACHED else None
        return await self.files.create("ann", incoming, NewFile("a.txt", purpose, seconds))

    async def find(self, file: FileRecord, account_id: str = "ann", filename: str = "a.txt") -> FileRecord | None:
        return await self.files.find_attached(account_id, file.sha256, filename)

    async def end(self, file: FileRecord, seconds: int, status: str = PROCESSED) -> FileRecord:
        """The file after it was read, with so much time left."""
        await self.database.write(lambda c: rows.finish_file(c, file.file_id, status=status))
        await self.database.write(lambda c: rows.set_expiry(c, file.file_id, int(time()) + seconds))
        return (await self.database.read(lambda c: rows.find_files(c, "ann", [file.file_id])))[file.file_id]

    async def usage(self) -> AccountUsage:
        return await self.database.read(lambda c: rows.account_usage(c, "ann"))


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    opened = Room(tmp_path)
    yield opened
    opened.database.close()


async def test_it_is_found_by_account_content_and_name(room: Room) -> None:
    file = await room.put()
    assert await room.find(file) == file
    assert await room.find(file, account_id="bob") is None
    assert await room.find(file, filename="b.txt") is None
    assert await room.files.find_attached("ann", "0" * 64, "a.txt") is None


async def test_an_uploaded_file_of_the_same_content_is_not_it(room: Room) -> None:
    assert await room.find(await room.put(purpose="user_data")) is None


async def test_its_use_keeps_it_for_another_hour(room: Room) -> None:
    file = await room.end(await room.put(), seconds=600)
    before = int(time())
    used = await room.find(file)
    assert used
    assert used.expires_at
    assert before + ATTACHED_SECONDS <= used.expires_at <= time() + ATTACHED_SECONDS
    assert await room.files.find("ann", [file.file_id]) == {file.file_id: used}


async def test_a_record_at_hand_does_not_end_with_its_old_time(room: Room) -> None:
    file = await room.end(await room.put(), seconds=600)
    at_hand = await room.files.find("ann", [file.file_id])
    assert at_hand == {file.file_id: file}
    used = await room.find(file)
    assert await room.files.find("ann", [file.file_id]) == {file.file_id: used}


async def test_use_upon_use_is_not_written_each_time(room: Room) -> None:
    file = await room.end(await room.put(), seconds=ATTACHED_SECONDS - 30)
    assert await room.find(file) == file


@pytest.mark.parametrize("seconds", [-1, 0, 1, 3])
async def test_it_is_gone_when_its_time_is_over_or_all_but_over(room: Room, seconds: int) -> None:
    file = await room.end(await room.put(), seconds=seconds)
    assert await room.find(file) is None
    assert await room.find(await room.put()) != file


async def test_one_that_could_not_be_read_is_soon_read_anew(room: Room) -> None:
    """What failed by a time-out or for want of memory may not fail again."""
    file = await room.end(await room.put(), seconds=1_800, status=ERROR)
    for _ in range(2):
        used = await room.find(file)
        assert used
        assert used.status == ERROR
        assert used.expires_at
        assert used.expires_at <= time() + FAILED_SECONDS


async def test_one_that_is_deleted_while_it_is_found_is_not_found(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    file = await room.end(await room.put(), seconds=600)
    monkeypatch.setattr(rows, "set_expiry", lambda c, file_id, _: not rows.delete_file(c, "ann", file_id))
    assert await room.find(file) is None


async def test_no_call_of_the_files_api_shows_it(room: Room) -> None:
    file, listed = await room.put(), await room.put(purpose="user_data")
    page = await room.files.page("ann", after=None, limit=9, descending=True, purpose=None)
    assert [found.file_id for found in page.files] == [listed.file_id]
    assert (await room.files.page("ann", after=None, limit=9, descending=True, purpose=ATTACHED)).files == []
    with pytest.raises(InvalidRequest, match="no such File object"):
        await room.files.page("ann", after=file.file_id, limit=9, descending=True, purpose=None)
    with pytest.raises(NotFound, match=f"No such File object: {file.file_id}"):
        await room.files.get("ann", file.file_id)
    assert await room.files.find("ann", [file.file_id]) == {file.file_id: file}


async def test_its_bytes_count_and_it_does_not_count_among_the_files(room: Room) -> None:
    attached = [await room.put("Text."), await room.put("Other.")]
    assert await room.usage() == AccountUsage(0, 11)
    await room.put(purpose="user_data")
    await room.put(purpose="user_data")
    with pytest.raises(QuotaReached, match="quota of 2 files: delete some"):
        await room.put(purpose="user_data")
    with pytest.raises(QuotaReached, match="quota of 2 files given as file_data within an hour"):
        await room.put("Third.")
    for file in attached:
        await room.files.delete_row("ann", file.file_id)
    assert await room.usage() == AccountUsage(2, 10)
    await room.put("Third.")


async def test_it_is_swept_when_its_time_is_over(room: Room) -> None:
    file = await room.end(await room.put(), seconds=-1)
    assert await room.files.expired() == [("ann", file.file_id)]
