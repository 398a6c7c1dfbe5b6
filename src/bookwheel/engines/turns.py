"""Who is served next where an engine answers only so many requests at once.

Accounts take turns: of those that wait, the one with the fewest requests under way is next, and among equals the one that
was served least lately. So one account's hundred questions do not keep another's single one waiting behind them.
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bookwheel.errors import EngineBusy

LONGEST_RETRY_AFTER_SECONDS = 60
"""Stock clients stop trying again where they are told to wait over two minutes."""
FIRST_GUESS_SECONDS = 5.0
OLD_SHARE = 0.8
"""Of the mean time of an answer that stays when a new one is known."""


class Turns:
    """See the module. `concurrency` 0: no limit. At most `queue` requests wait, each at most `queue_seconds`."""

    def __init__(self, engine_name: str, concurrency: int, queue: int, queue_seconds: float) -> None:
        self._engine_name = engine_name
        self._concurrency = concurrency
        self._queue = queue
        self._queue_seconds = queue_seconds
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._served = 0
        self._last_served: dict[str, int] = {}
        self._mean_seconds = FIRST_GUESS_SECONDS

    @property
    def running(self) -> int:
        """Requests under way."""
        return self._running.total()

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, account_id: str) -> AsyncIterator[None]:
        """One request's turn. Raises EngineBusy when too many wait, or when it was not its turn in time."""
        await self._enter(account_id)
        started = time.monotonic()
        try:
            yield
        finally:
            taken = time.monotonic() - started
            self._mean_seconds = OLD_SHARE * self._mean_seconds + (1 - OLD_SHARE) * taken
            self._leave(account_id)

    async def _enter(self, account_id: str) -> None:
        if not self._concurrency or (self.running < self._concurrency and not self._waiting):
            self._count(account_id)
            return
        if self.waiting >= self._queue:
            raise self._busy(f"{self.waiting} requests wait for it already")
        called = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account_id, deque()).append(called)
        try:
            async with asyncio.timeout(self._queue_seconds):
                await called
        except TimeoutError:
            self._give_up(account_id, called)
            raise self._busy(f"it was busy for {self._queue_seconds:g} seconds") from None
        except asyncio.CancelledError:
            self._give_up(account_id, called)
            raise

    def _give_up(self, account_id: str, called: asyncio.Future[None]) -> None:
        """Leave the queue; or give the turn back, where it came in the same instant."""
        if called.done() and not called.cancelled():
            self._leave(account_id)
            return
        if called in self._waiting.get(account_id, ()):
            self._remove(account_id, called)

    def _remove(self, account_id: str, called: asyncio.Future[None]) -> None:
        queue = self._waiting[account_id]
        queue.remove(called)
        if not queue:
            del self._waiting[account_id]
            self._forget(account_id)

    def _forget(self, account_id: str) -> None:
        if account_id not in self._waiting and account_id not in self._running:
            self._last_served.pop(account_id, None)

    def _count(self, account_id: str) -> None:
        self._running[account_id] += 1
        self._served += 1
        self._last_served[account_id] = self._served

    def _leave(self, account_id: str) -> None:
        self._running[account_id] -= 1
        if not self._running[account_id]:
            del self._running[account_id]
            self._forget(account_id)
        while self._waiting and self.running < self._concurrency:
            self._call_next()

    def _call_next(self) -> None:
        account_id = min(self._waiting, key=lambda waiting: (self._running[waiting], self._last_served.get(waiting, 0)))
        called = self._waiting[account_id][0]
        self._remove(account_id, called)
        if not called.done():  # else its request was cancelled a moment ago
            self._count(account_id)
            called.set_result(None)

    def _busy(self, why: str) -> EngineBusy:
        expected = self._mean_seconds * (1 + self.waiting) / max(1, self._concurrency)
        seconds = min(LONGEST_RETRY_AFTER_SECONDS, max(1, math.ceil(expected)))
        return EngineBusy(f"The engine {self._engine_name} is busy: {why}. Try again later.", seconds)
