"""From an upload's bytes to a document that can be asked about.

The story of one file: count the attempt, extract in the sandbox, have the text of its pictures recognised if it has any,
index it, keep the document and its index, commit `processed`; or commit `error` and why. The row says what is left to do,
so a process that dies in the middle leaves a file that is taken up again; pages that were recognised by then are not
recognised anew.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bookwheel.errors import BadDocument, ParsingError
from bookwheel.extraction.report import ASSEMBLE, BLOCKS, EXTRACT, GIVEN, INDEX_FILE, INDEX_TEXT, TEXT, ExtractionReport
from bookwheel.extraction.sandbox import Limits, Sandbox
from bookwheel.files.files import Files
from bookwheel.indexing.artefact import ANY_INDEX, INDEX
from bookwheel.indexing.shelf import IndexedDocument, open_indexed
from bookwheel.ingest.pictures import FILES_IN_TURN, Pictures
from bookwheel.ingest.progress import Progress
from bookwheel.jobs.queue import JobQueue
from bookwheel.logs import log
from bookwheel.settings import IngestSettings
from bookwheel.storage import blobs as names
from bookwheel.storage import files as rows
from bookwheel.storage.blobs import Blobs
from bookwheel.storage.database import Database
from bookwheel.storage.files import ERROR, PROCESSED, FileRecord
from bookwheel.wire.files import ParseReport, ReadingProgress

DRAFT_REPORT = "report-1"
"""Where the report of a file is kept while its pictures are read. The number is that of the format of what lies beside."""


class Ingest:
    """Reads uploaded files behind the uploads. Make it in a running event loop."""

    def __init__(self, database: Database, blobs: Blobs, settings: IngestSettings, most_tokens: int) -> None:
        """`most_tokens` is what a request may have: a larger document can never be asked, and gets no index."""
        self._database = database
        self._blobs = blobs
        self._attempts = settings.attempts
        self._most_tokens = most_tokens
        self._index_seconds = settings.timeout_seconds
        self._progress = Progress()
        limits = Limits(settings.memory_mb, settings.cpu_seconds, settings.timeout_seconds)
        self._sandbox = Sandbox(settings.workers, limits)
        self._pictures = Pictures(blobs, settings, self._progress)
        self._queue = JobQueue(self._read_file, settings.workers)
        self._picture_queue = JobQueue(self._read_pictures, FILES_IN_TURN)
        self._question_sandbox = Sandbox(settings.workers, limits)
        self._index_queue = JobQueue(self._index_again, settings.workers)
        self._indexing_all: asyncio.Task[None] | None = None

    async def take_up_unfinished(self) -> int:
        """Put in every file that is still `uploaded`; how many those are. For the start."""
        unfinished = await self._database.read(rows.unfinished_file_ids)
        for file_id in unfinished:
            self._queue.put(file_id)
        documents = await self._database.read(rows.processed_documents)
        missing = await asyncio.to_thread(self._without_index, documents)
        self._indexing_all = asyncio.create_task(self._index_all(missing))
        return len(unfinished)

    def wake(self, file_id: str) -> None:
        """Have a new file read."""
        self._queue.put(file_id)

    async def cancel(self, file_id: str) -> None:
        """Stop reading a file that is being deleted."""
        await self._queue.cancel(file_id)
        await self._picture_queue.cancel(file_id)
        await self._index_queue.cancel(file_id)
        self._progress.forget(file_id)

    async def wait(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        """Wait until none of the files is being read; False when the time ran out first."""
        deadline = time.monotonic() + timeout_seconds
        for queue in (self._queue, self._picture_queue):
            if not await queue.wait(file_ids, deadline - time.monotonic()):
                return False
        return True

    async def wait_for_index(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        """Have files that were read indexed anew, and wait for it; False when the time ran out first."""
        for file_id in file_ids:
            self._index_queue.put(file_id)
        return await self._index_queue.wait(file_ids, timeout_seconds)

    async def index_text(self, text: str, title: str) -> IndexedDocument:
        """Index a text that came with a question, in a worker; nothing of it stays on disk."""
        folder = self._blobs.new_incoming_path()
        try:
            await asyncio.to_thread(_write_text, folder, text)
            await self._question_sandbox.run(INDEX_TEXT, folder, INDEX, title)
            return await asyncio.to_thread(open_indexed, folder / INDEX, folder / TEXT)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def progress(self, file_id: str) -> ReadingProgress | None:
        """How far the reading of a file is; None when it is not being read."""
        return self._progress.of(file_id)

    async def close(self) -> None:
        await self._queue.close()
        await self._picture_queue.close()
        if self._indexing_all is not None:
            self._indexing_all.cancel()
        await self._index_queue.close()
        self._sandbox.close()
        self._question_sandbox.close()
        self._pictures.close()

    async def _read_file(self, file_id: str) -> None:
        """Read all but pictures. A file that has some goes on to the other queue and leaves this one to others."""
        async with self._attempt(file_id) as file:
            if file is None:
                return
            report = await self._draft_report(file_id) or await self._extract(file)
            if report.gaps:
                await self._undo_attempt(file_id)
                self._picture_queue.put(file_id)
            else:
                await self._finish(file, report)

    async def _read_pictures(self, file_id: str) -> None:
        """Have the pictures recognised and the document assembled. Each page that is done is progress: the attempt
        that counts is one at a single page."""
        async with self._attempt(file_id) as file:
            report = await self._draft_report(file_id)
            if file is None:
                return
            if report is None:  # lost since: begin anew
                self._queue.put(file_id)
                return
            await self._pictures.recognise(file, report.gaps, lambda: self._undo_attempt(file_id))
            folder = self._blobs.reading_folder(file_id)
            await self._finish(file, await self._sandbox.run(ASSEMBLE, folder, report))

    @asynccontextmanager
    async def _attempt(self, file_id: str) -> AsyncIterator[FileRecord | None]:
        """One attempt at a file, counted; None when it is gone or done. A bad document ends here, as data on the row."""
        started = time.perf_counter()
        file = await self._database.write(lambda c: rows.begin_attempt(c, file_id))
        self._progress.begin(file_id)
        try:
            if file is not None and file.attempts > self._attempts:
                raise ParsingError(f"Reading it was given up after {self._attempts} attempts.")
            yield file
        except asyncio.CancelledError:  # stopped with the server, or deleted: no fault of the document's
            await asyncio.shield(self._undo_attempt(file_id))
            raise
        except BadDocument as problem:
            await self._refuse(file_id, problem)
            log.info("file refused", file_id=file_id, reason=problem.reason, seconds=_seconds_since(started))

    async def _undo_attempt(self, file_id: str) -> None:
        await self._database.write(lambda c: rows.undo_attempt(c, file_id))

    async def _extract(self, file: FileRecord) -> ExtractionReport:
        folder = await self._blobs.new_reading_folder(file.file_id)
        original = self._blobs.path(file.file_id, names.ORIGINAL)
        say = self._progress.teller(file.file_id)
        report = await self._sandbox.run(EXTRACT, original, file.filename, folder, say=say)
        if report.gaps:
            await self._blobs.write(folder / DRAFT_REPORT, msgspec.msgpack.encode(report))
        return report

    async def _draft_report(self, file_id: str) -> ExtractionReport | None:
        """The report of a file that was extracted but for its pictures, by this process or one before."""
        path = self._blobs.reading_folder(file_id) / DRAFT_REPORT
        try:
            return msgspec.msgpack.decode(await asyncio.to_thread(path.read_bytes), type=ExtractionReport)
        except (OSError, msgspec.MsgspecError):
            return None

    def _without_index(self, documents: list[tuple[str, int]]) -> list[str]:
        """Those of the documents whose index is not there, or is of another version."""
        small = (file_id for file_id, tokens in documents if tokens <= self._most_tokens)
        return [file_id for file_id in small if not self._blobs.path(file_id, INDEX).exists()]

    async def _index_all(self, file_ids: list[str]) -> None:
        """Index files again one by one, so that those that questions ask for need not wait."""
        for file_id in file_ids:
            await self.wait_for_index([file_id], self._index_seconds)

    async def _index_again(self, file_id: str) -> None:
        """Build the index of a file that was read anew."""
        file = await self._database.read(lambda c: rows.find_processed(c, file_id))
        if file is None:
            return
        folder = await self._blobs.new_reading_folder(file_id)
        try:
            for name in (names.TEXT, names.BLOCKS):
                await self._blobs.link(file_id, name, folder / name)
            await self._question_sandbox.run(INDEX_FILE, folder, INDEX, file.filename)
            await self._blobs.keep(folder / INDEX, file_id, INDEX)
            await self._blobs.remove_others(file_id, ANY_INDEX, INDEX)
            log.info("file indexed again", file_id=file_id)
        except (BadDocument, OSError) as problem:  # deleted meanwhile, or it cannot be: questions will say so
            log.warning("file not indexed", file_id=file_id, reason=str(problem))
        finally:
            await self._blobs.end_reading(file_id)

    async def _finish(self, file: FileRecord, report: ExtractionReport) -> None:
        file_id = file.file_id
        folder = self._blobs.reading_folder(file_id)
        if report.tokens <= self._most_tokens:
            await self._sandbox.run(INDEX_FILE, folder, INDEX, file.filename)
            await self._blobs.keep(folder / INDEX, file_id, INDEX)
        await self._blobs.keep(folder / BLOCKS, file_id, names.BLOCKS)
        await self._blobs.keep(folder / TEXT, file_id, names.TEXT)
        await self._blobs.end_reading(file_id)
        seconds = self._progress.seconds(file_id)
        kept = await self._database.write(
            lambda c: rows.finish_file(
                c,
                file_id,
                status=PROCESSED,
                details=" ".join(report.warnings) or None,
                file_type=report.file_type,
                characters=report.characters,
                tokens=report.tokens,
                report=msgspec.json.encode(_parse_report(report, seconds)).decode(),
            )
        )
        self._progress.forget(file_id)
        if not kept:  # deleted while it was read: what was written just now goes too
            await self._blobs.delete(file_id)
        log.info("file read", file_id=file_id, tokens=report.tokens, ocr_pages=report.ocr_pages, seconds=seconds)

    async def _refuse(self, file_id: str, problem: BadDocument) -> None:
        details = f"File [id:{file_id}] {problem.reason}"
        await self._blobs.end_reading(file_id)
        await self._database.write(lambda c: rows.finish_file(c, file_id, status=ERROR, details=details))
        self._progress.forget(file_id)


async def delete_file(files: Files, ingest: Ingest, account_id: str, file_id: str) -> None:
    """Delete a file and all that was made of it, also while it is being read. Raises NotFound.

    The row goes first, so that whoever waits for the file learns that it is gone; a crash after that leaves blobs without
    a row, which the next start sweeps.
    """
    await files.delete_row(account_id, file_id)
    await ingest.cancel(file_id)
    await files.delete_blobs(file_id)


def _write_text(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / GIVEN).write_bytes(text.encode(errors="replace"))


def _parse_report(report: ExtractionReport, seconds: float) -> ParseReport:
    """The report as users see it."""
    return ParseReport(
        type=report.file_type,
        encoding=report.encoding,
        pages=report.pages,
        sheets=report.sheets,
        sections=report.sections,
        ocr_pages=report.ocr_pages if report.pages is not None else None,
        ocr_pictures=report.ocr_pictures or None,
        blank_pages=report.blank_pages if report.pages is not None else None,
        characters=report.characters,
        tokens=report.tokens,
        seconds=seconds,
        warnings=report.warnings,
    )


def _seconds_since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
