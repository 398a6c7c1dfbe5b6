"""Who is served next where an engine answers only so many requests at once.

Requests that somebody waits for go before those in the background. Among each, accounts take turns: of those that wait, the
one with the fewest requests under way is next, and among equals the one that was served least lately. So one account's
hundred questions do not keep another's single one waiting behind them. A request in the background that others have gone
before for long, without a pause, is treated like them from then on, so that it is not put off for ever.
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from bookwheel.errors import EngineBusy

BACKGROUND_PATIENCE_SECONDS = 60.0
"""How long those that somebody waits for may go before a request in the background."""
LONGEST_RETRY_AFTER_SECONDS = 60
"""Stock clients stop trying again where they are told to wait over two minutes."""
FIRST_GUESS_SECONDS = 5.0
OLD_SHARE = 0.8
"""Of the mean time of an answer that stays when a new one is known."""


class _Party(NamedTuple):
    """An account's requests of one kind. Its batch does not count against its questions."""

    account_id: str
    is_background: bool


@dataclass(slots=True, eq=False)
class _Waiter:
    called: asyncio.Future[None]
    is_patient: bool
    """Whether it lets those that somebody waits for go first."""


class Turns:
    """See the module.

    `concurrency` 0: no limit. At most `queue` requests that somebody waits for wait here, each at most `queue_seconds`; None:
    no limit. Those in the background wait as long as need be, and take at most `most_background` of the places (0: any).
    Where it `yields`, none of them begins beside a request that somebody waits for. Their patience is with those only: waiting
    for one another does not count.
    """

    def __init__(
        self,
        engine_name: str,
        concurrency: int,
        queue: int | None = None,
        queue_seconds: float | None = None,
        *,
        most_background: int = 0,
        yields: bool = False,
        patience_seconds: float = BACKGROUND_PATIENCE_SECONDS,
    ) -> None:
        self._engine_name = engine_name
        self._concurrency = concurrency
        self._queue = queue
        self._queue_seconds = queue_seconds
        self._most_background = most_background
        self._yields = yields
        self._patience_seconds = patience_seconds
        self._running: Counter[_Party] = Counter()
        self._waiting: dict[_Party, deque[_Waiter]] = {}
        self._awaited = 0
        """Requests here that somebody waits for, waiting or under way."""
        self._awaited_since = 0.0
        self._served = 0
        self._last_served: dict[_Party, int] = {}
        self._mean_seconds = FIRST_GUESS_SECONDS

    @property
    def concurrency(self) -> int:
        """Requests under way at the most; 0: no limit."""
        return self._concurrency

    @property
    def running(self) -> int:
        """Requests under way."""
        return self._running.total()

    @property
    def running_background(self) -> int:
        """Those of them that nobody waits for."""
        return sum(count for party, count in self._running.items() if party.is_background)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @property
    def waiting_background(self) -> int:
        """Those of them that nobody waits for."""
        return sum(len(waiters) for party, waiters in self._waiting.items() if party.is_background)

    @asynccontextmanager
    async def turn(self, account_id: str, *, is_background: bool = False) -> AsyncIterator[None]:
        """One request's turn. Raises EngineBusy when too many wait, or when it was not its turn in time."""
        party = _Party(account_id, is_background)
        with self._noted(party):
            await self._enter(party)
            started = time.monotonic()
            try:
                yield
            finally:
                taken = time.monotonic() - started
                self._mean_seconds = OLD_SHARE * self._mean_seconds + (1 - OLD_SHARE) * taken
                self._leave(party)

    @contextmanager
    def _noted(self, party: _Party) -> Iterator[None]:
        if not self._awaited:
            self._awaited_since = time.monotonic()
        self._awaited += not party.is_background
        try:
            yield
        finally:
            self._awaited -= not party.is_background

    async def _enter(self, party: _Party) -> None:
        if self._may_begin(party, is_patient=party.is_background):  # then nobody waits who may go before it
            self._count(party)
            return
        if not party.is_background and self._queue is not None and self._waiting_awaited >= self._queue:
            raise self._busy(f"{self._waiting_awaited} requests wait for it already")
        waiter = _Waiter(asyncio.get_running_loop().create_future(), is_patient=party.is_background)
        self._waiting.setdefault(party, deque()).append(waiter)
        try:
            await (self._wait_in_background(waiter) if party.is_background else self._wait(waiter))
        except TimeoutError:
            self._give_up(party, waiter)
            raise self._busy(f"it was busy for {self._queue_seconds:g} seconds") from None
        except asyncio.CancelledError:
            self._give_up(party, waiter)
            raise

    async def _wait(self, waiter: _Waiter) -> None:
        async with asyncio.timeout(self._queue_seconds):
            await waiter.called

    async def _wait_in_background(self, waiter: _Waiter) -> None:
        losing = asyncio.create_task(self._lose_patience(waiter))
        try:
            await waiter.called
        finally:
            losing.cancel()

    async def _lose_patience(self, waiter: _Waiter) -> None:
        left_seconds = self._patience_seconds
        while left_seconds > 0:
            await asyncio.sleep(left_seconds)
            left_seconds = self._patience_seconds - self._awaited_seconds()
        waiter.is_patient = False
        self._call_waiting()

    def _awaited_seconds(self) -> float:
        """How long there have been requests here that somebody waits for, without a pause."""
        return time.monotonic() - self._awaited_since if self._awaited else 0.0

    def _give_up(self, party: _Party, waiter: _Waiter) -> None:
        """Leave the queue; or give the turn back, where it came in the same instant."""
        if waiter.called.done() and not waiter.called.cancelled():
            self._leave(party)
            return
        if waiter in self._waiting.get(party, ()):
            self._remove(party, waiter)

    def _remove(self, party: _Party, waiter: _Waiter) -> None:
        waiters = self._waiting[party]
        waiters.remove(waiter)
        if not waiters:
            del self._waiting[party]
            self._forget(party)

    def _forget(self, party: _Party) -> None:
        if party not in self._waiting and party not in self._running:
            self._last_served.pop(party, None)

    def _count(self, party: _Party) -> None:
        self._running[party] += 1
        self._served += 1
        self._last_served[party] = self._served

    def _leave(self, party: _Party) -> None:
        self._running[party] -= 1
        if not self._running[party]:
            del self._running[party]
            self._forget(party)
        self._call_waiting()

    def _call_waiting(self) -> None:
        """Call all that may begin now, one after the other."""
        while (party := self._next()) is not None:
            waiter = self._waiting[party][0]
            self._remove(party, waiter)
            if not waiter.called.done():  # else its request was cancelled a moment ago
                self._count(party)
                waiter.called.set_result(None)

    def _next(self) -> _Party | None:
        first = {party: waiters[0] for party, waiters in self._waiting.items()}
        able = [party for party, waiter in first.items() if self._may_begin(party, is_patient=waiter.is_patient)]
        return min(
            able,
            key=lambda party: (first[party].is_patient, self._running[party], self._last_served.get(party, 0)),
            default=None,
        )

    def _may_begin(self, party: _Party, *, is_patient: bool) -> bool:
        if self._concurrency and self.running >= self._concurrency:
            return False
        if party.is_background and self._most_background and self.running_background >= self._most_background:
            return False
        return not (is_patient and self._yields and self.running > self.running_background)

    @property
    def _waiting_awaited(self) -> int:
        return self.waiting - self.waiting_background

    def _busy(self, why: str) -> EngineBusy:
        expected = self._mean_seconds * (1 + self._waiting_awaited) / max(1, self._concurrency)
        seconds = min(LONGEST_RETRY_AFTER_SECONDS, max(1, math.ceil(expected)))
        return EngineBusy(f"The engine {self._engine_name} is busy: {why}. Try again later.", seconds)
