"""An in-process queue of ids. It only wakes workers: what is left to do stands in the database's rows.

A process that dies loses nothing, because the rows are put in again at the next start.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from bookwheel.logs import log

PAUSE_AFTER_FAILURE_SECONDS = 1.0


class JobQueue:
    """Runs `work(job_id)` for each id put in, `workers` at a time, oldest first, never one id twice at once.

    When `work` raises, the job is put in again after a pause: `work` itself counts attempts and gives up.
    """

    def __init__(self, work: Callable[[str], Awaitable[None]], workers: int) -> None:
        self._work = work
        self._waiting: asyncio.Queue[tuple[str, asyncio.Event]] = asyncio.Queue()
        self._settled: dict[str, asyncio.Event] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._loops = [asyncio.create_task(self._loop()) for _ in range(workers)]

    def put(self, job_id: str) -> None:
        """Have it done. Harmless when it is waiting or running already."""
        if job_id not in self._settled:
            self._settled[job_id] = asyncio.Event()
            self._waiting.put_nowait((job_id, self._settled[job_id]))

    async def cancel(self, job_id: str) -> None:
        """Forget it, or stop it where it is."""
        self._settle(job_id)
        running = self._running.get(job_id)
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def wait(self, job_ids: Collection[str], timeout_seconds: float) -> bool:
        """Wait until none of the jobs is waiting or running; False when the time ran out first."""
        events = [self._settled[job_id] for job_id in job_ids if job_id in self._settled]
        try:
            async with asyncio.timeout(timeout_seconds):
                for event in events:
                    await event.wait()
        except TimeoutError:
            return False
        return True

    def __len__(self) -> int:
        return len(self._settled)

    async def close(self) -> None:
        """Stop everything at once."""
        for task in (*self._loops, *self._running.values()):
            task.cancel()
        await asyncio.gather(*self._loops, *self._running.values(), return_exceptions=True)

    async def _loop(self) -> None:
        while True:
            job_id, event = await self._waiting.get()
            if self._settled.get(job_id) is not event:  # cancelled while it waited
                continue
            before = self._running.get(job_id)
            if before is not None:  # cancelled and put in again: its end is near
                await asyncio.wait([before])
            task = asyncio.ensure_future(self._work(job_id))
            self._running[job_id] = task
            await asyncio.wait([task])
            if self._running.get(job_id) is task:
                del self._running[job_id]
            self._after(job_id, event, task)

    def _after(self, job_id: str, event: asyncio.Event, task: asyncio.Task[None]) -> None:
        if self._settled.get(job_id) is not event:
            return
        failure = None if task.cancelled() else task.exception()
        if failure is None:
            self._settle(job_id)
            return
        log.error("job failed", job_id=job_id, error=repr(failure), exc_info=failure)
        asyncio.get_running_loop().call_later(PAUSE_AFTER_FAILURE_SECONDS, self._waiting.put_nowait, (job_id, event))

    def _settle(self, job_id: str) -> None:
        event = self._settled.pop(job_id, None)
        if event is not None:
            event.set()
