"""Reading with a real database and real sandbox processes: whatever comes in between, rows and folders agree at the end."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from sqlalchemy import func, select

from bookwheel.document import Block, BlockKind
from bookwheel.errors import NotFound
from bookwheel.extraction.report import RecognisedPicture, recognised_path
from bookwheel.files.files import Files, NewFile
from bookwheel.ingest.ingest import Ingest, delete_file
from bookwheel.settings import IngestSettings, LimitSettings
from bookwheel.storage import files as rows
from bookwheel.storage.blobs import ORIGINAL, TEXT, Blobs
from bookwheel.storage.database import Database
from bookwheel.storage.files import AccountUsage, FileRecord
from bookwheel.storage.tables import files
from bookwheel.wire.files import ParseReport

LARGE = b"The heron stands in the reeds and waits for the tide to turn.\n\n" * 130_000
SETTLE_SECONDS = 60.0


class Desk:
    """The parts of a server that keep and read files, without HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder / "bookwheel.db")
        self.database.migrate()
        self.blobs = Blobs(folder)
        self.files = Files(self.database, self.blobs, LimitSettings())
        self.ingest = Ingest(self.database, self.blobs, IngestSettings(workers=1, attempts=2), 10_000_000)

    async def put(self, content: bytes, filename: str = "a.txt") -> FileRecord:
        incoming = self.blobs.new_incoming()
        await incoming.write(content)
        try:
            return await self.files.create("ann", incoming, NewFile(filename, "user_data"))
        finally:
            incoming.discard()

    async def settle(self, file: FileRecord) -> FileRecord:
        assert await self.ingest.wait([file.file_id], SETTLE_SECONDS)
        return await self.files.get("ann", file.file_id)

    async def until_reading(self) -> None:
        while not any(path.stat().st_size for path in self.folder.glob("files/*/*/reading/draft-text")):
            await asyncio.sleep(0.005)

    async def delete(self, file: FileRecord) -> None:
        """As the API does."""
        await delete_file(self.files, self.ingest, "ann", file.file_id)

    def incoming(self) -> list[Path]:
        return list((self.folder / "incoming").iterdir())

    async def check_nothing_is_left(self) -> None:
        assert self.incoming() == []
        assert list(self.folder.glob("files/*/*")) == []
        assert await self.database.read(lambda c: rows.account_usage(c, "ann")) == AccountUsage(0, 0)
        assert await self.database.read(lambda c: c.scalar(select(func.count()).select_from(files))) == 0

    async def close(self) -> None:
        await self.ingest.close()
        self.database.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    await opened.close()


async def test_a_file_is_read_and_its_size_is_known(desk: Desk) -> None:
    file = await desk.put("# 潮\n\n潮水七点转向。\n".encode("gb18030"), "tide.md")
    desk.ingest.wake(file.file_id)
    read = await desk.settle(file)
    assert (read.status, read.status_details, read.file_type, read.attempts) == ("processed", None, "MD", 1)
    assert read.characters == len(await desk.files.text(read))
    assert "潮水七点转向。" in await desk.files.text(read)
    assert desk.files.indexed(read).anchor_at(0) == "line 1"


async def test_what_cannot_be_read_is_told_on_the_file(desk: Desk) -> None:
    file = await desk.put(b" \n ")
    desk.ingest.wake(file.file_id)
    refused = await desk.settle(file)
    assert (refused.status, refused.status_details) == ("error", f"File [id:{file.file_id}] content blank.")
    assert not desk.blobs.path(file.file_id, TEXT).exists()
    assert not desk.blobs.reading_folder(file.file_id).exists()


@pytest.mark.parametrize("moment", ["before", "while", "after"])
async def test_deletion_before_while_or_after_reading_leaves_nothing(desk: Desk, moment: str) -> None:
    file = await desk.put(LARGE)
    desk.ingest.wake(file.file_id)
    if moment == "while":
        await asyncio.wait_for(desk.until_reading(), SETTLE_SECONDS)
    elif moment == "after":
        assert (await desk.settle(file)).status == "processed"
    await desk.delete(file)
    await desk.check_nothing_is_left()
    with pytest.raises(NotFound):
        await desk.files.get("ann", file.file_id)


async def test_a_row_that_goes_while_its_file_is_read_takes_what_is_read_along(desk: Desk) -> None:
    """As when another process deletes it, which cannot stop this one's reading."""
    file = await desk.put(LARGE)
    desk.ingest.wake(file.file_id)
    await asyncio.wait_for(desk.until_reading(), SETTLE_SECONDS)
    await desk.files.delete_row("ann", file.file_id)
    await desk.files.delete_blobs(file.file_id)
    assert await desk.ingest.wait([file.file_id], SETTLE_SECONDS)
    await desk.check_nothing_is_left()


async def test_the_next_file_is_read_when_the_one_before_is_deleted(desk: Desk) -> None:
    first, second = await desk.put(LARGE), await desk.put(b"next")
    for file in (first, second):
        desk.ingest.wake(file.file_id)
    await asyncio.wait_for(desk.until_reading(), SETTLE_SECONDS)
    await desk.delete(first)
    assert (await desk.settle(second)).status == "processed"


async def test_files_wait_while_nothing_reads_and_are_taken_up_later(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    waiting = [await desk.put(f"number {number}".encode()) for number in range(3)]
    await desk.close()
    desk = Desk(tmp_path)
    assert await desk.ingest.take_up_unfinished() == 3
    assert [(await desk.settle(file)).status for file in waiting] == ["processed"] * 3
    assert await desk.ingest.take_up_unfinished() == 0
    await desk.close()


async def test_a_reading_that_the_server_s_end_interrupted_is_begun_again_and_not_held_against_the_file(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    file = await desk.put(LARGE)
    desk.ingest.wake(file.file_id)
    await asyncio.wait_for(desk.until_reading(), SETTLE_SECONDS)
    await desk.close()
    desk = Desk(tmp_path)
    assert await desk.ingest.take_up_unfinished() == 1
    read = await desk.settle(file)
    assert (read.status, read.attempts) == ("processed", 1)
    assert not desk.blobs.reading_folder(file.file_id).exists()
    await desk.close()


async def test_after_too_many_attempts_a_file_is_given_up(desk: Desk) -> None:
    file = await desk.put(b"text")
    for _ in range(2):
        await desk.database.write(lambda c: rows.begin_attempt(c, file.file_id))
    desk.ingest.wake(file.file_id)
    given_up = await desk.settle(file)
    reason = f"File [id:{file.file_id}] parsing error. Reading it was given up after 2 attempts."
    assert (given_up.status, given_up.status_details) == ("error", reason)


async def test_a_file_whose_bytes_are_gone_ends_with_a_reason(desk: Desk) -> None:
    file = await desk.put(b"text")
    desk.blobs.path(file.file_id, ORIGINAL).unlink()
    desk.ingest.wake(file.file_id)
    lost = await desk.settle(file)
    assert lost.status == "error"
    assert str(lost.status_details).startswith(f"File [id:{file.file_id}] parsing error. ")


SCAN = Path(__file__).parents[1] / "documents" / "bookwheel.png"
WORDS = "readingdesk"


def scan(pages: int) -> bytes:
    """An image of so many frames, each a page of text."""
    made = io.BytesIO()
    with Image.open(SCAN) as picture:
        upper = picture.crop((0, 0, picture.width, 330))
        upper.save(made, "TIFF", save_all=True, append_images=[upper] * (pages - 1), compression="group4")
    return made.getvalue()


async def until_recognised(desk: Desk, file: FileRecord, count: int) -> None:
    folder = desk.blobs.reading_folder(file.file_id)
    while not recognised_path(folder, count - 1).exists():
        await asyncio.sleep(0.01)


async def test_a_scan_is_read_page_by_page_and_its_report_kept(desk: Desk) -> None:
    file = await desk.put(scan(3), "scan.tiff")
    desk.ingest.wake(file.file_id)
    await asyncio.wait_for(until_recognised(desk, file, 1), SETTLE_SECONDS)
    progress = desk.ingest.progress(file.file_id)
    assert progress is not None
    assert (progress.unit, progress.total) == ("page", 3)
    read = await desk.settle(file)
    text = await desk.files.text(read)
    assert [WORDS in "".join(page.split()) for page in text.split("[page ")[1:]] == [True] * 3
    report = msgspec.json.decode(str(read.report), type=ParseReport)
    assert (report.type, report.pages, report.ocr_pages, report.blank_pages) == ("TIFF image", 3, 3, 0)
    assert (report.characters, report.tokens) == (len(text), read.tokens)
    assert report.seconds is not None
    assert desk.ingest.progress(file.file_id) is None
    assert not desk.blobs.reading_folder(file.file_id).exists()


async def test_pages_that_were_recognised_before_a_restart_are_not_recognised_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    file = await desk.put(scan(3), "scan.tiff")
    desk.ingest.wake(file.file_id)
    await asyncio.wait_for(until_recognised(desk, file, 1), SETTLE_SECONDS)
    await desk.close()
    kept = RecognisedPicture((Block(BlockKind.PARAGRAPH, "kept from before\n\n", "page 1"),))
    recognised_path(desk.blobs.reading_folder(file.file_id), 0).write_bytes(msgspec.msgpack.encode(kept))
    desk = Desk(tmp_path)
    assert await desk.ingest.take_up_unfinished() == 1
    read = await desk.settle(file)
    text = await desk.files.text(read)
    assert read.status == "processed"
    assert "kept from before" in text
    assert "".join(text.split()).count(WORDS) == 2
    await desk.close()


async def test_a_scan_whose_draft_was_lost_is_begun_anew(desk: Desk) -> None:
    file = await desk.put(scan(1), "scan.tiff")
    desk.ingest._picture_queue.put(file.file_id)
    await asyncio.wait_for(until_recognised(desk, file, 1), SETTLE_SECONDS)
    assert (await desk.settle(file)).status == "processed"


async def test_a_text_passes_a_scan_by(desk: Desk) -> None:
    long_one, note = await desk.put(scan(6), "scan.tiff"), await desk.put(b"a note")
    for file in (long_one, note):
        desk.ingest.wake(file.file_id)
    assert (await desk.settle(note)).status == "processed"
    assert (await desk.files.get("ann", long_one.file_id)).status == "uploaded"
    await desk.delete(long_one)


async def test_pages_of_two_scans_take_turns(desk: Desk) -> None:
    book, photograph = await desk.put(scan(6), "book.tiff"), await desk.put(scan(1), "photograph.tiff")
    for file in (book, photograph):
        desk.ingest.wake(file.file_id)
    assert (await desk.settle(photograph)).status == "processed"
    assert (await desk.files.get("ann", book.file_id)).status == "uploaded"
    await desk.delete(book)


async def test_deleting_a_scan_that_is_being_recognised_leaves_nothing(desk: Desk) -> None:
    file = await desk.put(scan(4), "scan.tiff")
    desk.ingest.wake(file.file_id)
    await asyncio.wait_for(until_recognised(desk, file, 1), SETTLE_SECONDS)
    await desk.delete(file)
    await desk.check_nothing_is_left()
    assert desk.ingest.progress(file.file_id) is None


async def test_a_damaged_picture_in_a_document_costs_only_itself(desk: Desk) -> None:
    page = f'<p>Words.</p><img src="data:image/png;base64,{base64.b64encode(SCAN.read_bytes()[:4000]).decode()}"/>'
    file = await desk.put(page.encode(), "page.html")
    desk.ingest.wake(file.file_id)
    read = await desk.settle(file)
    assert read.status == "processed"
    assert "Words." in await desk.files.text(read)
