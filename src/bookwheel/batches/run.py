"""Runs the lines of one batch, some side by side, until each has its result.

A line waits until its documents are read, takes one of the engine's turns for batch lines, and is asked as any request. What
may pass is asked again after a pause: while the engine is down at no cost to the line, else so often as is set; then the line
fails alone. The first line of those that share documents goes ahead of the others, so that these find them read.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bookwheel.answering.documents import Reader
from bookwheel.batches.answer import LineAnswer, LineAnswering, may_pass, unanswered
from bookwheel.batches.lines import EMBEDDINGS_ENDPOINT, TEST_ENDPOINT, InputLines, Place, files_in
from bookwheel.batches.results import Results, result_id
from bookwheel.engines.guard import GuardedEngine
from bookwheel.engines.roster import Roster
from bookwheel.errors import ApiError, FileStillParsing, ModelNotFound
from bookwheel.logs import log
from bookwheel.storage.batches import BatchRecord
from bookwheel.wire.batches import BatchProgress

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_LOOK_SECONDS = 15.0
"""Between two looks whether an engine that is down is up again."""
MOST_OUTAGES = 5
"""Of the engine while one line is asked, at no cost to the line: it may be the line that brings the engine down."""
REST_SECONDS = 1.0
REST_SECONDS_A_LINE = 0.001
"""Before lines whose documents were being read are looked through again: ten times what that takes."""
BUSY = 429
PATIENCE_WITH_BUSY_SECONDS = 600.0
"""So long a line is asked again where the engine is only busy, however many tries that takes."""
LONGEST_RETRY_AFTER_SECONDS = 300.0
"""An engine that asks for a longer pause gets this one."""
READ_AHEAD_LINES = 32
READ_AHEAD_BYTES = 2 * 1024 * 1024
MOST_UNDER_WAY_BYTES = 12 * 1024 * 1024
"""Of lines that are under way, as they are in the file: a larger one still goes alone."""
UNDER_WAY = 2
"""Lines under way for each one that the engine answers at once: the others wait for their turn, or after a failure."""
RATE_SECONDS = 60.0
RATE_LINES = 5
"""The rate that is told is that of the last minute, and of so many lines at least."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What lines are answered with."""

    answering: LineAnswering
    roster: Roster
    reader: Reader
    retries: int


class BatchRun:
    """The run of one batch. Make it in a running event loop."""

    def __init__(self, record: BatchRecord, lines: InputLines, results: Results, desk: Desk) -> None:
        self._record = record
        self._lines = lines
        self._results = results
        self._desk = desk
        self._batch_id = record.batch_id
        self._led: set[int] = set()
        """Groups of lines that share documents, of which one line went ahead in this run."""
        self._leading: dict[int, asyncio.Event] = {}
        """By group, while that line is under way: set when its first try has ended, so that the documents are read."""
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._one_ended = asyncio.Event()
        self._failure: BaseException | None = None
        """A fault of ours in a line that has ended."""
        self._looking = asyncio.Lock()
        self._outages = 0
        """How often the engine was found down, and up again."""
        self._unread: list[Place] = []
        """Lines whose documents were still being read when their turn came."""
        self._waiting: str | None = None
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), len(results.done))])

    @property
    def input_file_id(self) -> str:
        return self._record.input_file_id

    @property
    def total(self) -> int:
        """How many lines there are; 0 where the input file is gone."""
        return len(self._lines)

    @property
    def progress(self) -> BatchProgress:
        """How it goes on."""
        done = self._results.completed + self._results.failed
        now = time.monotonic()
        while (
            len(self._samples) > 1
            and self._samples[1][0] < now - RATE_SECONDS
            and done - self._samples[1][1] >= RATE_LINES
        ):
            self._samples.popleft()
        began, done_then = self._samples[0]
        rate = (done - done_then) / max(now - began, 1e-3)
        if now - self._samples[-1][0] >= 1 and done > self._samples[-1][1]:
            self._samples.append((now, done))
        left = (len(self._lines) - done) / rate if rate else None
        return BatchProgress(
            lines_per_second=round(rate, 3),
            seconds_left=None if left is None else round(left, 1),
            waiting=self._waiting,
        )

    async def run(self) -> None:
        """Answer every line that is not done. Cancelled, it stops where it is: what was answered is kept.

        Raises InputFileDeleted.
        """
        try:
            await self._run_lines(self._lines.places(self._results.done))
            while self._unread:
                unread, self._unread = self._unread, []
                await self._wait_until_read(unread)
                await self._run_lines(iter(unread))
            await self._results.settle()
            if self._results.completed + self._results.failed < len(self._lines):
                raise RuntimeError("Lines were left without a result.")  # a fault of ours; a new run takes them up
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def give_up(self, code: str, message: str) -> None:
        """Let every line that is not done fail with a reason. Raises InputFileDeleted."""
        await self._results.settle()
        for places in _slices(self._lines.places(self._results.done)):
            for number, result in await asyncio.to_thread(self._unanswered, places, code, message):
                await self._results.add(number, result, is_failure=True)
        await self._results.settle()

    def _unanswered(self, places: list[Place], code: str, message: str) -> list[tuple[int, bytes]]:
        """(number, result) of lines that are not asked."""
        return [
            (place.number, unanswered(result_id(self._batch_id, place.number), line, code, message))
            for place, line in zip(places, self._lines.read(places), strict=True)
        ]

    async def _run_lines(self, places: Iterator[Place]) -> None:
        for slice_ in _slices(places):
            for place, line in zip(slice_, await asyncio.to_thread(self._lines.read, slice_), strict=True):
                await self._wait_for_room(len(line))
                self._start(place, line)
        while self._under_way:
            await self._wait_for_end()

    async def _wait_for_room(self, size_bytes: int) -> None:
        while self._under_way:
            room_bytes = MOST_UNDER_WAY_BYTES - sum(self._under_way.values())
            if len(self._under_way) < self._most_under_way() and size_bytes <= room_bytes:
                return
            await self._wait_for_end()

    async def _wait_for_end(self) -> None:
        self._one_ended.clear()
        await self._one_ended.wait()
        if self._failure is not None:
            raise self._failure

    def _start(self, place: Place, line: bytes) -> None:
        leads = bool(place.group) and place.group not in self._led
        if leads:
            self._led.add(place.group)
            self._leading[place.group] = asyncio.Event()
        task = asyncio.create_task(self._run_line(place, line, leads=leads))
        self._under_way[task] = len(line)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        failure = None if task.cancelled() else task.exception()
        self._failure = self._failure or failure
        self._one_ended.set()

    async def _run_line(self, place: Place, line: bytes, *, leads: bool) -> None:
        """One line until it has its result, or is put off because its documents are not read yet."""
        try:
            if not await self._desk.reader.wait(files_in(line), timeout_seconds=0):
                self._put_off(place)
                return
            if not leads and place.group in self._leading:
                await self._leading[place.group].wait()
            answer = await self._answer(place, line, leads=leads)
        finally:
            if leads:
                self._let_followers_go(place)
        if isinstance(answer.error, FileStillParsing):
            self._put_off(place)
            return
        if answer.error is not None:
            status, code = answer.error.http_status, answer.error.error_code
            log.info("batch line failed", batch_id=self._batch_id, line=place.number, status=status, code=code)
        await self._results.add(place.number, answer.result, is_failure=answer.error is not None)

    def _put_off(self, place: Place) -> None:
        self._unread.append(place)
        self._led.discard(place.group)

    def _let_followers_go(self, place: Place) -> None:
        leading = self._leading.pop(place.group, None)
        if leading is not None:
            leading.set()

    async def _answer(self, place: Place, line: bytes, *, leads: bool) -> LineAnswer:
        """Ask until there is an answer, or a failure that is the line's own."""
        began, tries, outages = time.monotonic(), 0, 0
        while True:
            answer = await self._ask(place, line)
            error = answer.error
            if leads:
                self._let_followers_go(place)
            if error is None or not may_pass(error):
                return answer
            if outages < MOST_OUTAGES and await self._was_down():
                outages += 1
                continue
            is_patient = error.http_status == BUSY and time.monotonic() - began < PATIENCE_WITH_BUSY_SECONDS
            if tries >= self._desk.retries and not is_patient:
                return answer
            await asyncio.sleep(_pause_seconds(error, tries))
            tries += 1

    async def _ask(self, place: Place, line: bytes) -> LineAnswer:
        """Ask once, when it is the line's turn."""
        record, engine = self._record, self._engine()
        async with AsyncExitStack() as turn:
            if engine is not None:
                await turn.enter_async_context(engine.batch_turns.turn(record.account_id))
            return await self._desk.answering.answer(
                record.account_id, record.endpoint, line, result_id(self._batch_id, place.number)
            )

    async def _was_down(self) -> bool:
        """Whether the engine was not able to answer anything. If so, this returns when it is able again."""
        outages = self._outages
        async with self._looking:
            if self._outages > outages:  # another line saw it, while this one waited to look
                return True
            pause_seconds, was_down = FIRST_PAUSE_SECONDS, False
            while (why := await self._why_unable()) is not None:
                if not was_down:
                    log.warning("batch waits for its engine", batch_id=self._batch_id, why=why)
                was_down, self._waiting = True, why
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_LOOK_SECONDS)
            if was_down:
                self._waiting = None
                self._outages += 1
            return was_down

    async def _why_unable(self) -> str | None:
        """Why the engine cannot answer anything now; None where it can."""
        engine = self._engine()
        why = await engine.why_unable() if engine is not None else None
        return f"The engine {engine.name} is not able to answer: {why}" if engine is not None and why else None

    async def _wait_until_read(self, unread: list[Place]) -> None:
        """Wait for the documents of the first of them; not for ever, since those of others may be read by then."""
        self._waiting = "Documents are still being read."
        (line,) = await asyncio.to_thread(self._lines.read, unread[:1])
        await self._desk.reader.wait(files_in(line), timeout_seconds=LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(max(REST_SECONDS, REST_SECONDS_A_LINE * len(unread)))
        self._waiting = None

    def _most_under_way(self) -> int:
        engine = self._engine()
        return UNDER_WAY * engine.batch_turns.concurrency + 1 if engine is not None else READ_AHEAD_LINES

    def _engine(self) -> GuardedEngine | None:
        """The engine that is next to answer; None where there is none: then the answer says why."""
        roster, model = self._desk.roster, self._lines.model
        if self._record.endpoint == TEST_ENDPOINT:
            return None
        try:
            return roster.embedding(model) if self._record.endpoint == EMBEDDINGS_ENDPOINT else roster.serving(model)[0]
        except ModelNotFound:
            return None


def _slices(places: Iterator[Place]) -> Iterator[list[Place]]:
    """Places, as many at a time as are read ahead."""
    taken: list[Place] = []
    size_bytes = 0
    for place in places:
        if taken and (len(taken) == READ_AHEAD_LINES or size_bytes + place.size_bytes > READ_AHEAD_BYTES):
            yield taken
            taken, size_bytes = [], 0
        taken.append(place)
        size_bytes += place.size_bytes
    if taken:
        yield taken


def _pause_seconds(error: ApiError, tries: int) -> float:
    """How long a line rests before it is asked again: what the engine asks for, or growing pauses, not all the same."""
    asked_for = error.headers.get("retry-after", "")
    if asked_for.isdigit():
        return min(float(asked_for), LONGEST_RETRY_AFTER_SECONDS)
    longest: float = min(FIRST_PAUSE_SECONDS * 2**tries, LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
