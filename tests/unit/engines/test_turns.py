"""Only so many requests are served at once, accounts take turns, and whoever gives up leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.engines.turns import LONGEST_RETRY_AFTER_SECONDS, Turns
from bookwheel.errors import EngineBusy


class Crowd:
    """Requests of accounts at one door; `served` says in which order they came in."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.served: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def come(self, name: str) -> None:
        """A request comes; the first letter of its name is its account."""
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._be_served(name))
        await settle()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.tasks[name]
        await settle()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)
        await settle()

    async def _be_served(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.served.append(name)
            await self._ends[name].wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd(concurrency: int, *, queue: int = 100, queue_seconds: float = 60.0) -> AsyncIterator[Crowd]:
    gathered = Crowd(Turns("mill", concurrency, queue, queue_seconds))
    try:
        yield gathered
    finally:
        for task in gathered.tasks.values():
            task.cancel()
        await asyncio.gather(*gathered.tasks.values(), return_exceptions=True)
        assert (gathered.turns.running, gathered.turns.waiting) == (0, 0)


async def test_without_a_limit_everybody_is_served_at_once() -> None:
    async with crowd(0) as c:
        for number in range(50):
            await c.come(f"a{number}")
        assert (c.turns.running, c.turns.waiting) == (50, 0)


async def test_more_than_the_limit_wait_and_come_in_as_others_end() -> None:
    async with crowd(2) as c:
        for name in ("a1", "a2", "a3", "a4"):
            await c.come(name)
        assert c.served == ["a1", "a2"]
        assert (c.turns.running, c.turns.waiting) == (2, 2)
        await c.end("a2")
        await c.end("a1")
        assert c.served == ["a1", "a2", "a3", "a4"]


async def test_accounts_take_turns_however_many_requests_each_has() -> None:
    async with crowd(1) as c:
        for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
            await c.come(name)
        for _ in range(5):
            await c.end(c.served[-1])
        assert c.served == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_the_account_with_the_fewest_under_way_is_next() -> None:
    async with crowd(3) as c:
        for name in ("a1", "a2", "b1", "a3", "b2", "c1"):
            await c.come(name)
        await c.end("a1")
        assert c.served[3:] == ["c1"]
        await c.end("a2")
        assert c.served[4:] == ["a3"]


async def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    async with crowd(1, queue=1) as c:
        await c.come("a1")
        await c.come("a2")
        with pytest.raises(EngineBusy) as refused:
            async with c.turns.turn("b"):
                pass
        assert refused.value.http_status == 429
        assert 1 <= int(refused.value.headers["retry-after"]) <= LONGEST_RETRY_AFTER_SECONDS
        assert "mill is busy: 1 requests wait" in refused.value.message
        await c.end("a1")
        assert c.served == ["a1", "a2"]


async def test_a_queue_of_none_lets_nobody_wait() -> None:
    async with crowd(1, queue=0) as c:
        await c.come("a1")
        with pytest.raises(EngineBusy):
            async with c.turns.turn("b"):
                pass
        await c.end("a1")
        await c.come("b1")
        assert c.served == ["a1", "b1"]


async def test_who_waits_too_long_is_refused_and_out_of_the_queue() -> None:
    async with crowd(1, queue_seconds=0.01) as c:
        await c.come("a1")
        with pytest.raises(EngineBusy, match=r"busy for 0\.01 seconds"):
            async with c.turns.turn("b"):
                pass
        assert (c.turns.running, c.turns.waiting) == (1, 0)


async def test_who_goes_away_while_waiting_is_passed_over() -> None:
    async with crowd(1) as c:
        for name in ("a1", "b1", "c1"):
            await c.come(name)
        await c.cancel("b1")
        await c.end("a1")
        assert c.served == ["a1", "c1"]


async def test_a_turn_that_comes_in_the_instant_of_going_away_is_passed_on() -> None:
    async with crowd(1) as c:
        for name in ("a1", "b1", "c1"):
            await c.come(name)
        c.tasks["a1"].cancel()  # the turn is b1's when a1 is done; b1 is cancelled before it can take it
        await asyncio.sleep(0)
        await c.cancel("b1")
        await settle()
        assert c.served in (["a1", "c1"], ["a1", "b1", "c1"])
        assert c.turns.running == 1


async def test_an_error_in_a_turn_gives_it_back() -> None:
    turns = Turns("mill", 1, 0, 1.0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn("a"):
                raise ZeroDivisionError
    assert turns.running == 0


STEPS = st.lists(st.tuples(st.sampled_from(["come", "end", "cancel"]), st.sampled_from("abc")), max_size=40)


@given(st.integers(1, 3), STEPS)
def test_whatever_happens_the_limit_holds_and_nobody_waits_beside_a_free_place(
    concurrency: int, steps: list[tuple[str, str]]
) -> None:
    asyncio.run(_play(concurrency, steps))


async def _play(concurrency: int, steps: list[tuple[str, str]]) -> None:
    async with crowd(concurrency) as c:
        for number, (step, account) in enumerate(steps):
            open_names = [name for name, task in c.tasks.items() if not task.done()]
            mine = [name for name in open_names if name[0] == account]
            if step == "come":
                await c.come(f"{account}{number}")
            elif step == "cancel" and mine:
                await c.cancel(mine[0])
            elif mine and mine[0] in c.served:
                await c.end(mine[0])
            assert c.turns.running <= concurrency
            assert c.turns.waiting == 0 or c.turns.running == concurrency
