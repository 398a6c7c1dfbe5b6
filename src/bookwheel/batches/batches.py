"""Batches: files of requests that are answered without anybody waiting.

The story of one: validate its input file, run its lines, make files of the results, say that it has ended. The row says how
far it is and the results on disk which lines are done, so that a process that dies in the middle loses nothing: what is
unfinished is taken up again at the next start.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from bookwheel.batches.callbacks import Callbacks, FinishEvent
from bookwheel.batches.keeping import keep_results
from bookwheel.batches.lines import EMBEDDINGS_ENDPOINT, InputLines, Scan, rules_for, scan_lines
from bookwheel.batches.request import new_row
from bookwheel.batches.results import Results, open_results
from bookwheel.batches.run import BatchRun, Desk
from bookwheel.errors import InputFileDeleted, InvalidRequest, NotFound
from bookwheel.files.files import BATCH_PURPOSE, Files
from bookwheel.jobs.queue import JobQueue
from bookwheel.logs import log
from bookwheel.settings import MB, BatchSettings
from bookwheel.storage import batches as rows
from bookwheel.storage.batches import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    FINALIZING,
    IN_PROGRESS,
    UNFINISHED,
    VALIDATING,
    BatchFilter,
    BatchRecord,
)
from bookwheel.storage.blobs import ORIGINAL, Blobs
from bookwheel.storage.database import Database
from bookwheel.wire.batches import BatchCreate, BatchError, BatchErrors, BatchProgress, RequestCounts

AT_ONCE = 1
"""Batches of one account that are validated, and that are ended before their turn has come."""
RUN_AT_ONCE = 16
"""Batches of one account and model: they share the engine's turns, so that more would make none of them faster."""
LONGEST_SHOWN = 80
"""Of an id that an error message repeats."""
COUNT_SECONDS = 2.0
"""How often the row of a running batch is told the counts."""
LONGEST_LINE_BYTES = 64 * MB
MOST_LINES = 1_000_000
"""The most that may be set: of a file that was validated under any settings."""

NOT_RUN = {
    EXPIRED: ("batch_expired", "This request could not be executed before the completion window ended."),
    CANCELLED: ("batch_cancelled", "The batch was cancelled before this request was executed."),
}


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page of a listing, and whether there is more."""

    batches: list[BatchRecord]
    has_more: bool


@dataclass(slots=True)
class _Running:
    """A batch whose lines are being run."""

    run: BatchRun
    results: Results
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Batches:
    """See the module. Make it in a running event loop."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        files: Files,
        desk: Desk,
        settings: BatchSettings,
        callbacks: Callbacks,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._files = files
        self._desk = desk
        self._settings = settings
        self._callbacks = callbacks
        self._scanned: dict[str, InputLines] = {}
        self._running: dict[str, _Running] = {}
        self._taken: set[str] = set()
        """Batches that are being run or ended."""
        self._calling: set[asyncio.Task[None]] = set()
        self._queues: dict[tuple[str, ...], JobQueue] = {}

    async def take_up_unfinished(self) -> int:
        """Go on with every batch that has not ended; how many those are. For the start."""
        unfinished = await self._database.read(rows.unfinished_batches)
        await asyncio.to_thread(self._blobs.sweep_batches, {record.batch_id for record in unfinished})
        for record in unfinished:
            self._wake(record)
        for record in await self._database.read(rows.untold_batches):
            self._call_back(record)
        return len(unfinished)

    async def close(self) -> None:
        """Stop where everything is. What was answered is on disk when this returns."""
        for queue in list(self._queues.values()):
            await queue.close()
        for task in self._calling:
            task.cancel()
        await asyncio.gather(*self._calling, return_exceptions=True)

    async def create(self, account_id: str, wanted: BatchCreate) -> BatchRecord:
        """Take a batch on. Raises InvalidRequest."""
        row = new_row(account_id, wanted)
        if row["callback_url"] is not None:
            self._callbacks.check(row["callback_url"])
        if wanted.endpoint == EMBEDDINGS_ENDPOINT and not self._desk.roster.embeds:
            message = f"{EMBEDDINGS_ENDPOINT} needs an embedding engine, and none is configured."
            raise InvalidRequest(message, param="endpoint")
        found = await self._files.find(account_id, [wanted.input_file_id])
        if wanted.input_file_id not in found or found[wanted.input_file_id].purpose != BATCH_PURPOSE:
            raise InvalidRequest(f"Invalid file [id:{wanted.input_file_id[:LONGEST_SHOWN]}].", param="input_file_id")
        record = await self._database.write(lambda c: rows.insert_batch(c, **row))
        self._wake(record)
        log.info("batch created", batch_id=record.batch_id, endpoint=record.endpoint, account_id=account_id)
        return record

    async def get(self, account_id: str, batch_id: str) -> BatchRecord:
        """One batch. Raises NotFound, the same for an unknown id and another account's."""
        record = await self._database.read(lambda c: rows.find_batch(c, account_id, batch_id))
        if record is None:
            raise NotFound(f"No such Batch object: {batch_id}", param="id")
        return record

    async def page(self, account_id: str, wanted: BatchFilter, *, after: str | None, limit: int) -> BatchPage:
        """A page of the account's batches, newest first. Raises InvalidRequest for a cursor that is not its batch."""
        found = await self._database.read(
            lambda c: rows.list_batches(c, account_id, wanted, after=after, limit=limit + 1)
        )
        if found is None:
            raise InvalidRequest(f"Invalid 'after': no such Batch object: {after}", param="after")
        return BatchPage(found[:limit], has_more=len(found) > limit)

    async def cancel(self, account_id: str, batch_id: str) -> BatchRecord:
        """Have a batch end where it is. Harmless where that was asked before. Raises NotFound, and InvalidRequest where it
        has ended."""
        record = await self.get(account_id, batch_id)
        change = {"status": CANCELLING, "cancelling_at": int(time.time())}
        changed = await self._change(batch_id, (VALIDATING, IN_PROGRESS), change)
        if changed is None:
            record = await self.get(account_id, batch_id)
            if record.status not in (CANCELLING, CANCELLED):
                raise InvalidRequest(f"The batch {batch_id} cannot be cancelled: it is {record.status}.", param="id")
            return record
        self._stop(batch_id)
        self._wake(changed)
        return changed

    async def end_overdue(self) -> None:
        """End batches whose time is over or whose input file is gone, also those whose turn has not come. For now and then."""
        now = int(time.time())
        for record in await self._database.read(lambda c: rows.batches_to_end(c, now)):
            self._ending(record).put(record.batch_id)

    def counts(self, record: BatchRecord) -> RequestCounts:
        """How its lines ended, as of now."""
        running = self._running.get(record.batch_id)
        if running is None:
            return RequestCounts(total=record.total, completed=record.completed, failed=record.failed)
        results = running.results
        return RequestCounts(total=record.total, completed=results.completed, failed=results.failed)

    def progress(self, record: BatchRecord) -> BatchProgress | None:
        """How a batch goes on; None for one that is not in progress."""
        running = self._running.get(record.batch_id)
        return running.run.progress if running is not None and record.status == IN_PROGRESS else None

    def stop_those_of(self, file_id: str) -> None:
        """End the batches whose input file this is: it is being deleted."""
        for batch_id, running in self._running.items():
            if running.run.input_file_id == file_id:
                self._stop(batch_id)

    def _wake(self, record: BatchRecord) -> None:
        """Have done what a batch's status says is next. Nobody waits for what is another account's or another model's."""
        if record.status == VALIDATING:
            queue = self._queue((VALIDATING, record.account_id), self._validate, AT_ONCE)
        elif record.status == CANCELLING:
            queue = self._ending(record)
        else:
            queue = self._queue((IN_PROGRESS, record.account_id, record.model or ""), self._run, RUN_AT_ONCE)
        queue.put(record.batch_id)

    def _ending(self, record: BatchRecord) -> JobQueue:
        return self._queue((CANCELLING, record.account_id), self._run, AT_ONCE)

    def _queue(self, key: tuple[str, ...], work: Callable[[str], Awaitable[None]], workers: int) -> JobQueue:
        if key not in self._queues:
            self._queues[key] = JobQueue(work, workers)
        return self._queues[key]

    def _stop(self, batch_id: str) -> None:
        running = self._running.get(batch_id)
        if running is not None:
            running.stop.set()

    async def _validate(self, batch_id: str) -> None:
        """Look through the input file; then the lines are run, or the batch has failed."""
        record = await self._read(batch_id)
        if record is None or record.status != VALIDATING:
            return
        scan = await self._scan(record)
        if scan.lines is None:
            await self._fail(record, scan.errors)
            return
        lines = scan.lines
        change = {"status": IN_PROGRESS, "in_progress_at": int(time.time()), "model": lines.model, "total": len(lines)}
        validated = await self._change(batch_id, (VALIDATING,), change)
        if validated is not None:
            self._scanned[batch_id] = lines
            log.info("batch validated", batch_id=batch_id, lines=len(lines))
            self._wake(validated)

    async def _scan(self, record: BatchRecord) -> Scan:
        """Look through the input file. One that was found right before is not measured by other settings than then."""
        rules = rules_for(record.endpoint, self._desk.roster.names, self._settings)
        if record.model is not None:
            rules = replace(rules, models=(record.model,), most_lines=MOST_LINES, longest_bytes=LONGEST_LINE_BYTES)
        try:
            return await asyncio.to_thread(scan_lines, self._input_path(record), rules)
        except FileNotFoundError:
            return Scan(errors=[_input_deleted()])

    def _input_path(self, record: BatchRecord) -> Path:
        return self._blobs.path(record.input_file_id, ORIGINAL)

    async def _run(self, batch_id: str) -> None:
        """Run the lines that are not done, and end the batch. Nothing is done where somebody else is at it."""
        if batch_id in self._taken:
            return
        self._taken.add(batch_id)
        try:
            record, lines = await self._read(batch_id), self._scanned.pop(batch_id, None)
            if record is not None and record.status in (IN_PROGRESS, FINALIZING, CANCELLING):
                await self._run_to_end(record, lines or (await self._scan(record)).lines)
        finally:
            self._taken.remove(batch_id)

    async def _run_to_end(self, record: BatchRecord, lines: InputLines | None) -> None:
        """`lines` is None where the input file is gone."""
        async with self._opened(record, lines or InputLines.none(self._input_path(record))) as running:
            if lines is not None:
                status = await self._work(record, running)
            else:  # where it was finalizing, all was done before the input file went
                status = COMPLETED if record.status == FINALIZING else FAILED
            current = await self._read(record.batch_id)
            if current is not None and current.status == CANCELLING:  # maybe before there was anything to stop
                status = CANCELLED
            if status in NOT_RUN:
                with suppress(InputFileDeleted):
                    await running.run.give_up(*NOT_RUN[status])
            await self._end(record, running, status)

    async def _read(self, batch_id: str) -> BatchRecord | None:
        return await self._database.read(lambda c: rows.get_batch(c, batch_id))

    @asynccontextmanager
    async def _opened(self, record: BatchRecord, lines: InputLines) -> AsyncIterator[_Running]:
        """The batch with its results open, and its counts told to its row from time to time."""
        results = await asyncio.to_thread(open_results, self._blobs.batch_folder(record.batch_id))
        running = self._running[record.batch_id] = _Running(BatchRun(record, lines, results, self._desk), results)
        counting = asyncio.create_task(self._keep_counts(record.batch_id, results))
        try:
            yield running
        finally:
            counting.cancel()
            del self._running[record.batch_id]
            await asyncio.shield(results.close())

    async def _work(self, record: BatchRecord, running: _Running) -> str:
        """Run the lines until all are done, or the time is over, or somebody stops it: the status that comes of it."""
        current = await self._read(record.batch_id)
        if current is None or current.status == CANCELLING:
            return CANCELLED
        tasks = asyncio.create_task(running.run.run()), asyncio.create_task(running.stop.wait())
        try:
            left_seconds = max(0.0, record.expires_at - time.time())
            done, _ = await asyncio.wait(tasks, timeout=left_seconds, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done:
                await tasks[0]
                return COMPLETED
        except InputFileDeleted:
            return FAILED
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not done:
            return EXPIRED
        is_there = await self._files.find(record.account_id, [record.input_file_id])
        return CANCELLED if is_there else FAILED

    async def _end(self, record: BatchRecord, running: _Running, status: str) -> None:
        """Make files of the results, and say that the batch has ended."""
        batch_id, now, results = record.batch_id, int(time.time()), running.results
        await results.settle()
        if status == COMPLETED:
            change = {"status": FINALIZING, "finalizing_at": now}
            if not await self._change(batch_id, (IN_PROGRESS, FINALIZING), change):
                status = CANCELLED  # when everything was done
        output, errors = await keep_results(self._blobs, batch_id, results)
        change = {
            "status": status,
            f"{status}_at": now,
            "total": running.run.total or record.total,
            "completed": results.completed,
            "failed": results.failed,
            "errors": _as_json([_input_deleted()]) if status == FAILED else None,
        }
        ended = await self._database.write(lambda c: rows.end_batch(c, record, output, errors, now, change))
        await self._blobs.delete_batch_folder(batch_id)
        seconds = now - record.created_at
        log.info(
            "batch ended",
            batch_id=batch_id,
            status=status,
            completed=ended.completed,
            failed=ended.failed,
            seconds=seconds,
        )
        self._call_back(ended)

    async def _change(self, batch_id: str, statuses: Collection[str], change: dict[str, Any]) -> BatchRecord | None:
        return await self._database.write(lambda c: rows.change_batch(c, batch_id, statuses, **change))

    async def _fail(self, record: BatchRecord, errors: list[BatchError]) -> None:
        """End a batch whose input file cannot be run."""
        batch_id = record.batch_id
        change = {"status": FAILED, "failed_at": int(time.time()), "errors": _as_json(errors)}
        failed = await self._change(batch_id, (VALIDATING,), change)
        if failed is None:  # cancelled meanwhile
            return
        log.info("batch failed", batch_id=batch_id, errors=len(errors), first=errors[0].code)
        self._call_back(failed)

    async def _keep_counts(self, batch_id: str, results: Results) -> None:
        told: dict[str, Any] = {}
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            now = {"completed": results.completed, "failed": results.failed}
            if now != told:
                told = now
                await self._change(batch_id, UNFINISHED, now)

    def _call_back(self, record: BatchRecord) -> None:
        if record.callback_url is not None and record.callback_pending:
            task = asyncio.create_task(self._deliver(record, record.callback_url))
            self._calling.add(task)
            task.add_done_callback(self._calling.discard)

    async def _deliver(self, record: BatchRecord, url: str) -> None:
        counts = {"total": record.total, "completed": record.completed, "failed": record.failed}
        event = FinishEvent(
            record.batch_id, record.status, _ended_at(record), counts, record.output_file_id, record.error_file_id
        )
        await self._callbacks.deliver(record.account_id, url, event)
        await self._change(record.batch_id, (record.status,), {"callback_pending": False})


def _input_deleted() -> BatchError:
    return BatchError(code="input_file_deleted", message="The input file was deleted.", param="input_file_id")


def _as_json(errors: list[BatchError]) -> str:
    return msgspec.json.encode(BatchErrors(data=errors)).decode()


def _ended_at(record: BatchRecord) -> int:
    ends = (record.completed_at, record.failed_at, record.expired_at, record.cancelled_at)
    return next((end for end in ends if end is not None), record.created_at)
