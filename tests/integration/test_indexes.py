"""Indexes with a real database and real sandbox processes: a file that was read always has one, of this version and whole."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from bookwheel.errors import BadDocument, NotFound
from bookwheel.extraction.report import INDEX_FILE
from bookwheel.files.files import Files, NewFile
from bookwheel.indexing.artefact import INDEX, IndexDamaged
from bookwheel.ingest.ingest import Ingest, delete_file
from bookwheel.settings import IngestSettings, LimitSettings
from bookwheel.storage import files as rows
from bookwheel.storage.blobs import BLOCKS, TEXT, Blobs
from bookwheel.storage.database import Database
from bookwheel.storage.files import FileRecord

TIDE = b"Chapter One\n\nThe heron stands in the reeds and waits for the tide to turn.\n"
LARGE = TIDE * 6_000
OLD = "index-0"
SETTLE_SECONDS = 60.0


class Desk:
    """The parts of a server that keep, read and index files, without HTTP."""

    def __init__(self, folder: Path, most_tokens: int = 10_000_000) -> None:
        self.folder = folder
        self.database = Database(folder / "bookwheel.db")
        self.database.migrate()
        self.blobs = Blobs(folder)
        self.files = Files(self.database, self.blobs, LimitSettings())
        self.ingest = Ingest(self.database, self.blobs, IngestSettings(workers=1, attempts=2), most_tokens)

    async def put(self, content: bytes = TIDE) -> FileRecord:
        incoming = self.blobs.new_incoming()
        await incoming.write(content)
        try:
            return await self.files.create("ann", incoming, NewFile("tide.txt", "user_data"))
        finally:
            incoming.discard()

    async def read(self, content: bytes = TIDE) -> FileRecord:
        file = await self.put(content)
        self.ingest.wake(file.file_id)
        assert await self.ingest.wait([file.file_id], SETTLE_SECONDS)
        return await self.files.get("ann", file.file_id)

    async def wait_for_index(self, file: FileRecord) -> None:
        assert await self.ingest.wait_for_index([file.file_id], SETTLE_SECONDS)

    def index(self, file: FileRecord) -> Path:
        return self.blobs.path(file.file_id, INDEX)

    def names(self, file: FileRecord) -> set[str]:
        """What there is of a file."""
        return {path.name for path in self.index(file).parent.iterdir()}

    def check_is_found(self, file: FileRecord) -> None:
        document = self.files.indexed(file)
        assert document.index.title == "tide.txt"
        assert "The heron stands" in document.passages_text(0, len(document.index) - 1)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SETTLE_SECONDS):
            while not holds():
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        await self.ingest.close()
        self.database.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    await opened.close()


async def restarted(desk: Desk, most_tokens: int = 10_000_000) -> Desk:
    await desk.close()
    return Desk(desk.folder, most_tokens)


def remove(desk: Desk, file: FileRecord) -> None:
    desk.index(file).unlink()


def age(desk: Desk, file: FileRecord) -> None:
    desk.index(file).rename(desk.index(file).with_name(OLD))


def damage(desk: Desk, file: FileRecord) -> None:
    data = bytearray(desk.index(file).read_bytes())
    data[100] ^= 1
    desk.index(file).write_bytes(data)


def cut(desk: Desk, file: FileRecord) -> None:
    desk.index(file).write_bytes(desk.index(file).read_bytes()[:-1])


async def test_a_file_that_was_read_is_found_at_once(desk: Desk) -> None:
    file = await desk.read()
    desk.check_is_found(file)
    assert desk.names(file) == {"original", TEXT, BLOCKS, INDEX}


async def test_an_index_that_is_lost_old_or_damaged_is_built_anew_on_demand(desk: Desk) -> None:
    file = await desk.read()
    for harm in (remove, age, damage, cut):
        harm(desk, file)
        desk.files.shelf.remove(file.file_id)
        with pytest.raises((FileNotFoundError, IndexDamaged)):
            desk.files.indexed(file)
        await desk.wait_for_index(file)
        desk.check_is_found(file)
        assert desk.names(file) == {"original", TEXT, BLOCKS, INDEX}


async def test_indexes_that_are_lost_or_old_are_built_anew_at_the_start_and_no_others(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    lost, old, current = [await desk.read() for _ in range(3)]
    remove(desk, lost)
    age(desk, old)
    before = desk.index(current).stat().st_mtime_ns
    desk = await restarted(desk)
    assert await desk.ingest.take_up_unfinished() == 0
    for file in (lost, old, current):
        await desk.until(lambda file=file: desk.names(file) == {"original", TEXT, BLOCKS, INDEX})
        desk.check_is_found(file)
    assert desk.index(current).stat().st_mtime_ns == before
    await desk.close()


async def test_an_index_is_there_before_the_file_counts_as_read(desk: Desk) -> None:
    file = await desk.put(LARGE)
    desk.ingest.wake(file.file_id)
    while (await desk.files.get("ann", file.file_id)).status == "uploaded":
        await asyncio.sleep(0)
    assert desk.index(file).exists()
    desk.check_is_found(file)


async def test_a_reading_that_ended_between_its_index_and_its_row_is_done_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    file = await desk.put()
    desk.index(file).write_bytes(b"of a process that died")
    desk = await restarted(desk)
    assert await desk.ingest.take_up_unfinished() == 1
    assert await desk.ingest.wait([file.file_id], SETTLE_SECONDS)
    desk.check_is_found(file)
    await desk.close()


async def test_the_rest_of_an_indexing_that_ended_in_the_middle_does_no_harm(desk: Desk) -> None:
    file = await desk.read()
    remove(desk, file)
    folder = desk.blobs.reading_folder(file.file_id)
    folder.mkdir()
    for name in (TEXT, INDEX):
        (folder / name).write_bytes(b"half")
    await desk.wait_for_index(file)
    desk.check_is_found(file)
    assert not folder.exists()


async def test_a_file_that_is_deleted_while_it_is_indexed_leaves_nothing(desk: Desk) -> None:
    file = await desk.read(LARGE)
    remove(desk, file)
    waiting = asyncio.create_task(desk.wait_for_index(file))
    await desk.until((desk.blobs.reading_folder(file.file_id) / BLOCKS).exists)
    await delete_file(desk.files, desk.ingest, "ann", file.file_id)
    await asyncio.wait_for(waiting, SETTLE_SECONDS)
    assert list(desk.folder.glob("files/*/*")) == []
    with pytest.raises(FileNotFoundError):
        desk.files.indexed(file)


async def test_a_row_that_goes_while_its_file_is_indexed_takes_the_index_along(desk: Desk) -> None:
    """As when another process deletes it, which cannot stop this one's indexing."""
    file = await desk.read(LARGE)
    remove(desk, file)
    waiting = asyncio.create_task(desk.wait_for_index(file))
    await desk.until((desk.blobs.reading_folder(file.file_id) / BLOCKS).exists)
    await desk.files.delete_row("ann", file.file_id)
    await desk.files.delete_blobs(file.file_id)
    await asyncio.wait_for(waiting, SETTLE_SECONDS)
    assert list(desk.folder.glob("files/*/*")) == []


async def test_who_holds_a_document_reads_on_when_it_is_deleted(desk: Desk) -> None:
    file = await desk.read()
    held = desk.files.indexed(file)
    await delete_file(desk.files, desk.ingest, "ann", file.file_id)
    assert "heron" in held.passages_text(0, len(held.index) - 1)
    with pytest.raises(FileNotFoundError):
        desk.files.indexed(file)
    with pytest.raises(NotFound):
        await desk.files.get("ann", file.file_id)


async def test_a_file_that_no_request_may_hold_is_read_without_an_index(tmp_path: Path) -> None:
    desk = Desk(tmp_path, most_tokens=20)
    file, small = await desk.read(TIDE * 4), await desk.read(b"The wheel turns.")
    assert (file.status, small.status) == ("processed", "processed")
    assert (desk.index(file).exists(), desk.index(small).exists()) == (False, True)
    desk = await restarted(desk, most_tokens=20)
    assert await desk.ingest.take_up_unfinished() == 0
    assert len(desk.ingest._index_queue) == 0
    await desk.close()


async def test_an_index_that_cannot_be_built_is_given_up_and_others_are_built(desk: Desk) -> None:
    file, other = await desk.read(), await desk.read()
    for one in (file, other):
        remove(desk, one)
    desk.blobs.path(file.file_id, BLOCKS).write_bytes(b"\x05\0\0\0no blocks")
    assert await desk.ingest.wait_for_index([file.file_id, other.file_id], SETTLE_SECONDS)
    assert not desk.index(file).exists()
    assert not desk.blobs.reading_folder(file.file_id).exists()
    desk.check_is_found(other)


async def test_nobody_waits_for_the_index_of_a_file_that_is_not_there(desk: Desk) -> None:
    assert await desk.ingest.wait_for_index(["file-fe-unknown"], SETTLE_SECONDS)
    assert list(desk.folder.glob("files/*/*")) == []


async def test_waiting_for_an_index_ends_when_the_time_is_over(desk: Desk) -> None:
    file = await desk.read(LARGE)
    remove(desk, file)
    assert not await desk.ingest.wait_for_index([file.file_id], 0.0)
    await desk.wait_for_index(file)
    desk.check_is_found(file)


async def test_a_text_is_indexed_and_nothing_of_it_stays_on_disk(desk: Desk) -> None:
    for text in (TIDE.decode(), "", "潮水七点转向。", "a lone \ud800 surrogate", "=" * 100_000):
        document = await desk.ingest.index_text(text, "given")
        assert document.whole_text() == text.encode(errors="replace").decode()
        assert list((desk.folder / "incoming").iterdir()) == []


async def test_a_text_whose_indexing_is_given_up_leaves_nothing_on_disk(desk: Desk) -> None:
    task = asyncio.create_task(desk.ingest.index_text(LARGE.decode(), "given"))
    await desk.until(lambda: any((desk.folder / "incoming").glob("*/text")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((desk.folder / "incoming").iterdir()) == []


async def test_only_documents_that_were_read_are_indexed_again(desk: Desk) -> None:
    read, refused, waiting = await desk.read(), await desk.read(b" \n"), await desk.put()
    found = await desk.database.read(rows.processed_documents)
    assert found == [(read.file_id, read.tokens)]
    for file in (read, refused, waiting):
        one = await desk.database.read(partial(rows.find_processed, file_id=file.file_id))
        assert one == (file if file is read else None)


async def test_blobs_are_linked_and_others_of_a_pattern_removed(desk: Desk, tmp_path: Path) -> None:
    file = await desk.read()
    await desk.blobs.link(file.file_id, TEXT, tmp_path / "linked")
    assert (tmp_path / "linked").read_bytes() == desk.blobs.path(file.file_id, TEXT).read_bytes()
    with pytest.raises(FileNotFoundError):
        await desk.blobs.link("file-fe-gone", TEXT, tmp_path / "other")
    for name in ("index-0", "index-00", "indexes"):
        desk.index(file).with_name(name).touch()
    await desk.blobs.remove_others(file.file_id, "index-*", INDEX)
    assert desk.names(file) == {"original", TEXT, BLOCKS, INDEX, "indexes"}


async def test_a_bad_document_for_the_indexer_is_told_as_one(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(BadDocument):
        await desk.ingest._sandbox.run(INDEX_FILE, tmp_path / "nowhere", INDEX, "tide.txt")
