"""From an upload's bytes to a document that can be asked about.

The story of one file: count the attempt, extract in the sandbox, keep the text, commit `processed`; or commit `error` and
why. The row says what is left to do, so a process that dies in the middle leaves a file that is taken up again.
"""

import asyncio
import time
from collections.abc import Collection

from bookwheel.errors import BadDocument, ParsingError
from bookwheel.extraction.extract import ExtractionReport
from bookwheel.extraction.sandbox import Sandbox
from bookwheel.files.files import Files
from bookwheel.jobs.queue import JobQueue
from bookwheel.logs import log
from bookwheel.settings import IngestSettings
from bookwheel.storage import files as rows
from bookwheel.storage.blobs import BLOCKS, ORIGINAL, TEXT, Blobs
from bookwheel.storage.database import Database
from bookwheel.storage.files import ERROR, PROCESSED, FileRecord


class Ingest:
    """Reads uploaded files behind the uploads. Make it in a running event loop."""

    def __init__(self, database: Database, blobs: Blobs, settings: IngestSettings) -> None:
        self._database = database
        self._blobs = blobs
        self._attempts = settings.attempts
        self._sandbox = Sandbox(settings.workers, settings.memory_mb, settings.timeout_seconds)
        self._queue = JobQueue(self._ingest_file, settings.workers)

    async def take_up_unfinished(self) -> int:
        """Put in every file that is still `uploaded`; how many those are. For the start."""
        unfinished = await self._database.read(rows.unfinished_file_ids)
        for file_id in unfinished:
            self._queue.put(file_id)
        return len(unfinished)

    def wake(self, file_id: str) -> None:
        """Have a new file read."""
        self._queue.put(file_id)

    async def cancel(self, file_id: str) -> None:
        """Stop reading a file that is being deleted."""
        await self._queue.cancel(file_id)

    async def wait(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        """Wait until none of the files is being read; False when the time ran out first."""
        return await self._queue.wait(file_ids, timeout_seconds)

    async def close(self) -> None:
        await self._queue.close()
        self._sandbox.close()

    async def _ingest_file(self, file_id: str) -> None:
        started = time.perf_counter()
        file = await self._database.write(lambda c: rows.begin_attempt(c, file_id))
        if file is None:
            return
        try:
            if file.attempts > self._attempts:
                raise ParsingError(f"Reading it was given up after {self._attempts} attempts.")
            report = await self._extract(file)
        except asyncio.CancelledError:  # stopped with the server, or deleted: no fault of the document's
            await asyncio.shield(self._database.write(lambda c: rows.undo_attempt(c, file_id)))
            raise
        except BadDocument as problem:
            details = f"File [id:{file_id}] {problem.reason}"
            await self._database.write(lambda c: rows.finish_file(c, file_id, status=ERROR, details=details))
            log.info("file refused", file_id=file_id, reason=problem.reason, seconds=_seconds_since(started))
            return
        await self._finish(file_id, report)
        log.info("file read", file_id=file_id, tokens=report.tokens, seconds=_seconds_since(started))

    async def _extract(self, file: FileRecord) -> ExtractionReport:
        text_path, blocks_path = self._blobs.new_incoming_path(), self._blobs.new_incoming_path()
        try:
            original = self._blobs.path(file.file_id, ORIGINAL)
            report = await self._sandbox.run(original, file.filename, text_path, blocks_path)
            await self._blobs.keep(blocks_path, file.file_id, BLOCKS)
            await self._blobs.keep(text_path, file.file_id, TEXT)
        finally:
            text_path.unlink(missing_ok=True)
            blocks_path.unlink(missing_ok=True)
        return report

    async def _finish(self, file_id: str, report: ExtractionReport) -> None:
        kept = await self._database.write(
            lambda c: rows.finish_file(
                c,
                file_id,
                status=PROCESSED,
                details=" ".join(report.warnings) or None,
                file_type=report.file_type,
                characters=report.characters,
                tokens=report.tokens,
            )
        )
        if not kept:  # deleted while it was read: what was written just now goes too
            await self._blobs.delete(file_id)


async def delete_file(files: Files, ingest: Ingest, account_id: str, file_id: str) -> None:
    """Delete a file and all that was made of it, also while it is being read. Raises NotFound.

    The row goes first, so that whoever waits for the file learns that it is gone; a crash after that leaves blobs without
    a row, which the next start sweeps.
    """
    await files.delete_row(account_id, file_id)
    await ingest.cancel(file_id)
    await files.delete_blobs(file_id)


def _seconds_since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
