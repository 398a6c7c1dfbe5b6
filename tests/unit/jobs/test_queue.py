"""Files put in are read one by one or side by side; deleting one stops its reading; a crash of one is tried again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bookwheel.jobs import queue as queue_module
from bookwheel.jobs.queue import JobQueue

PATIENCE_SECONDS = 10.0
"""How long a test waits for what must come before it fails."""


class Workshop:
    """Work that a test can hold up: each job waits for its gate."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.cancelled: list[str] = []
        self.side_by_side: Counter[str] = Counter()
        self.most_side_by_side = 0
        self.failures: dict[str, int] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()

    async def work(self, job_id: str) -> None:
        self.begun.append(job_id)
        self.side_by_side[job_id] += 1
        self.most_side_by_side = max(self.most_side_by_side, self.side_by_side[job_id])
        await self._tell()
        try:
            await self.gate(job_id).wait()
            self._fail_if_told(job_id)
            self.done.append(job_id)
        except asyncio.CancelledError:
            self.cancelled.append(job_id)
            raise
        finally:
            self.side_by_side[job_id] -= 1
            await self._tell()

    def gate(self, job_id: str) -> asyncio.Event:
        return self._gates.setdefault(job_id, asyncio.Event())

    def open(self, *job_ids: str) -> None:
        for job_id in job_ids:
            self.gate(job_id).set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(condition)

    def _fail_if_told(self, job_id: str) -> None:
        if self.failures.get(job_id, 0) > 0:
            self.failures[job_id] -= 1
            raise RuntimeError("a fault of the work")

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def opened(work: Callable[[str], Awaitable[None]], workers: int) -> AsyncIterator[JobQueue]:
    queue = JobQueue(work, workers)
    try:
        yield queue
    finally:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await queue.close()


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(queue_module, "PAUSE_AFTER_FAILURE_SECONDS", 0.0)
    return Workshop()


async def test_jobs_are_done_in_the_order_in_which_they_were_put_in(shop: Workshop) -> None:
    async with opened(shop.work, workers=1) as queue:
        shop.open("a", "b", "c")
        for job_id in "abc":
            queue.put(job_id)
        assert await queue.wait("abc", PATIENCE_SECONDS)
        assert shop.done == ["a", "b", "c"]
        assert len(queue) == 0


async def test_as_many_jobs_run_side_by_side_as_there_are_workers(shop: Workshop) -> None:
    async with opened(shop.work, workers=2) as queue:
        for job_id in "abc":
            queue.put(job_id)
        await shop.until(lambda: len(shop.begun) == 2)
        shop.open("b")
        await shop.until(lambda: shop.done == ["b"] and len(shop.begun) == 3)
        assert shop.begun == ["a", "b", "c"]
        assert len(queue) == 2


async def test_a_job_put_in_twice_is_done_once(shop: Workshop) -> None:
    async with opened(shop.work, workers=2) as queue:
        queue.put("a")
        queue.put("a")  # it waits
        await shop.until(lambda: shop.begun == ["a"])
        queue.put("a")  # it runs
        queue.put("b")
        await shop.until(lambda: shop.begun == ["a", "b"])
        shop.open("a", "b")
        assert await queue.wait(["a", "b"], PATIENCE_SECONDS)
        assert sorted(shop.done) == ["a", "b"]


async def test_a_job_that_is_done_can_be_put_in_again(shop: Workshop) -> None:
    async with opened(shop.work, workers=1) as queue:
        shop.open("a")
        for _ in range(2):
            queue.put("a")
            assert await queue.wait(["a"], PATIENCE_SECONDS)
        assert shop.done == ["a", "a"]


async def test_a_waiting_job_that_is_cancelled_is_never_begun(shop: Workshop) -> None:
    async with opened(shop.work, workers=1) as queue:
        for job_id in "abc":
            queue.put(job_id)
        await shop.until(lambda: shop.begun == ["a"])
        await queue.cancel("b")
        assert len(queue) == 2
        shop.open("a", "c")
        assert await queue.wait("abc", PATIENCE_SECONDS)
        assert shop.begun == shop.done == ["a", "c"]


async def test_a_running_job_that_is_cancelled_is_stopped_and_its_worker_goes_on(shop: Workshop) -> None:
    async with opened(shop.work, workers=1) as queue:
        queue.put("a")
        queue.put("b")
        await shop.until(lambda: shop.begun == ["a"])
        await queue.cancel("a")
        assert shop.cancelled == ["a"]
        shop.open("b")
        assert await queue.wait(["a", "b"], PATIENCE_SECONDS)
        assert shop.done == ["b"]


async def test_a_job_that_is_not_there_can_be_cancelled(shop: Workshop) -> None:
    async with opened(shop.work, workers=1) as queue:
        await queue.cancel("unknown")
        assert len(queue) == 0


async def test_whoever_waits_for_a_cancelled_job_goes_on(shop: Workshop) -> None:
    async with opened(shop.work, workers=1) as queue:
        queue.put("a")
        await shop.until(lambda: shop.begun == ["a"])
        waiting = asyncio.create_task(queue.wait(["a"], PATIENCE_SECONDS))
        await queue.cancel("a")
        assert await waiting


async def test_a_job_cancelled_while_it_waits_and_put_in_again_is_never_run_twice_at_once(shop: Workshop) -> None:
    async with opened(shop.work, workers=2) as queue:
        queue.put("a")
        await queue.cancel("a")
        queue.put("a")
        queue.put("b")
        await shop.until(lambda: "b" in shop.begun)
        shop.open("a", "b")
        assert await queue.wait(["a", "b"], PATIENCE_SECONDS)
        queue.put("c")
        queue.put("d")
        await shop.until(lambda: {"c", "d"} <= set(shop.begun))  # both workers are still there
        assert shop.most_side_by_side == 1


async def test_waiting_ends_when_the_time_is_over(shop: Workshop) -> None:
    async with opened(shop.work, workers=1) as queue:
        queue.put("a")
        assert not await queue.wait(["a"], timeout_seconds=0)
        assert len(queue) == 1


async def test_nobody_waits_for_jobs_that_are_not_there(shop: Workshop) -> None:
    async with opened(shop.work, workers=1) as queue:
        assert await queue.wait(["unknown"], timeout_seconds=0)
        assert await queue.wait([], timeout_seconds=0)


async def test_a_job_that_fails_is_tried_again_until_it_does_not(shop: Workshop) -> None:
    shop.failures["a"] = 2
    async with opened(shop.work, workers=1) as queue:
        shop.open("a", "b")
        queue.put("a")
        queue.put("b")
        assert await queue.wait(["a", "b"], PATIENCE_SECONDS)
        assert Counter(shop.begun) == {"a": 3, "b": 1}
        assert sorted(shop.done) == ["a", "b"]


async def test_a_job_that_failed_and_was_cancelled_is_not_tried_again(shop: Workshop) -> None:
    shop.failures["a"] = 1000
    async with opened(shop.work, workers=1) as queue:
        shop.open("a", "b")
        queue.put("a")
        await shop.until(lambda: len(shop.begun) > 3)
        await queue.cancel("a")
        tried = len(shop.begun)
        queue.put("b")
        assert await queue.wait(["b"], PATIENCE_SECONDS)
        assert shop.begun[tried:] == ["b"]


async def test_closing_stops_what_runs_and_forgets_what_waits(shop: Workshop) -> None:
    async with opened(shop.work, workers=2) as queue:
        for job_id in "abc":
            queue.put(job_id)
        await shop.until(lambda: len(shop.begun) == 2)
    assert sorted(shop.cancelled) == ["a", "b"]
    assert shop.done == []
    assert "c" not in shop.begun
