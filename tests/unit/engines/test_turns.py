"""Only so many requests are served at once, those that somebody waits for first, accounts take turns, and whoever gives up
leaves nothing behind."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

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
        """A request comes; the first letter of its name is its account, a capital one if it is in the background."""
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

    @property
    def running(self) -> list[str]:
        """Who is being served, in the order in which they came in."""
        return [name for name in self.served if not self.tasks[name].done()]

    @property
    def waiting(self) -> list[str]:
        return [name for name, task in self.tasks.items() if not task.done() and name not in self.served]

    async def until_served(self, name: str) -> None:
        async with asyncio.timeout(30):
            while name not in self.served:
                await asyncio.sleep(0.001)

    async def _be_served(self, name: str) -> None:
        async with self.turns.turn(name[0].lower(), is_background=is_background(name)):
            self.served.append(name)
            await self._ends[name].wait()


def is_background(name: str) -> bool:
    return name[0].isupper()


def awaited(names: list[str]) -> list[str]:
    """Those that somebody waits for."""
    return [name for name in names if not is_background(name)]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd(
    concurrency: int,
    *,
    queue: int | None = 100,
    queue_seconds: float | None = 60.0,
    most_background: int = 0,
    yields: bool = False,
    patience_seconds: float = math.inf,
) -> AsyncIterator[Crowd]:
    turns = Turns(
        "mill",
        concurrency,
        queue,
        queue_seconds,
        most_background=most_background,
        yields=yields,
        patience_seconds=patience_seconds,
    )
    gathered = Crowd(turns)
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


async def test_without_limits_to_the_queue_everybody_may_wait() -> None:
    async with crowd(1, queue=None, queue_seconds=None) as c:
        for number in range(300):
            await c.come(f"a{number}")
        assert (c.turns.running, c.turns.waiting) == (1, 299)


async def test_those_that_somebody_waits_for_go_first_and_accounts_take_turns_among_each_kind() -> None:
    async with crowd(1) as c:
        for name in ("a1", "A2", "A3", "B4", "b5", "a6", "a7", "b8"):
            await c.come(name)
        while c.waiting:
            await c.end(c.served[-1])
        assert c.served == ["a1", "b5", "a6", "b8", "a7", "A2", "B4", "A3"]


async def test_an_accounts_batch_does_not_count_against_its_questions() -> None:
    async with crowd(4) as c:
        for name in ("A1", "A2", "A3", "b4", "b5", "a6"):
            await c.come(name)
        await c.end("A1")
        assert c.served[4:] == ["a6"]


async def test_how_many_are_in_the_background_is_told() -> None:
    async with crowd(2) as c:
        for name in ("A1", "b2", "A3", "B4", "b5"):
            await c.come(name)
        assert (c.turns.running, c.turns.running_background) == (2, 1)
        assert (c.turns.waiting, c.turns.waiting_background) == (3, 2)


async def test_the_background_takes_no_place_in_the_queue_and_is_never_refused() -> None:
    async with crowd(1, queue=1) as c:
        for name in ("a1", "A2", "A3", "A4", "a5"):
            await c.come(name)
        assert c.waiting == ["A2", "A3", "A4", "a5"]
        with pytest.raises(EngineBusy, match="1 requests wait"):
            async with c.turns.turn("b"):
                pass
        await c.come("B6")
        assert "B6" in c.waiting


async def test_the_background_waits_as_long_as_need_be() -> None:
    async with crowd(1, queue_seconds=0.001) as c:
        await c.come("a1")
        await c.come("A2")
        with pytest.raises(EngineBusy):  # who came later has waited for too long
            async with c.turns.turn("b"):
                pass
        await c.end("a1")
        assert c.served == ["a1", "A2"]


async def test_the_background_takes_so_many_places_and_leaves_the_others_free() -> None:
    async with crowd(3, most_background=2) as c:
        for name in ("A1", "A2", "B3", "a4"):
            await c.come(name)
        assert c.running == ["A1", "A2", "a4"]
        await c.end("a4")
        assert c.waiting == ["B3"]
        await c.end("A1")
        assert c.running == ["A2", "B3"]


@pytest.mark.parametrize("concurrency", [0, 3])
async def test_where_it_yields_the_background_begins_when_no_question_is_under_way(concurrency: int) -> None:
    async with crowd(concurrency, yields=True) as c:
        for name in ("A1", "a2", "A3", "b4"):
            await c.come(name)
        assert c.running == ["A1", "a2", "b4"]
        await c.end("A1")
        await c.end("a2")
        assert c.waiting == ["A3"]
        await c.end("b4")
        assert c.running == ["A3"]


async def test_where_it_does_not_yield_the_background_begins_beside_questions() -> None:
    async with crowd(0) as c:
        for name in ("a1", "A2"):
            await c.come(name)
        assert c.running == ["a1", "A2"]


async def test_who_is_out_of_patience_takes_turns_with_the_others() -> None:
    async with crowd(1, patience_seconds=0) as c:
        for name in ("a1", "A2", "A3", "b4", "a5", "b6"):
            await c.come(name)
        while c.waiting:
            await c.end(c.served[-1])
        assert c.served == ["a1", "A2", "b4", "a5", "A3", "b6"]


async def test_who_is_out_of_patience_begins_beside_questions_also_where_nobody_ends() -> None:
    async with crowd(0, yields=True, patience_seconds=0.02) as c:
        for name in ("a1", "A2"):
            await c.come(name)
        await c.until_served("A2")
        assert c.running == ["a1", "A2"]


async def test_questions_that_come_without_a_pause_do_not_put_the_background_off_for_ever() -> None:
    async with crowd(0, yields=True, patience_seconds=0.1) as c:
        await c.come("a0")
        await c.come("B0")
        async with asyncio.timeout(30):
            while "B0" not in c.served:
                await c.come(f"a{len(c.served)}")
                await c.end(c.running[0])
                await asyncio.sleep(0.005)


async def test_waiting_for_the_background_itself_costs_no_patience() -> None:
    async with crowd(2, most_background=1, yields=True, patience_seconds=0.1) as c:
        for name in ("A1", "A2"):
            await c.come(name)
        await asyncio.sleep(0.15)  # its patience would be over
        before = time.monotonic()
        await c.come("b3")
        await c.end("A1")
        await c.until_served("A2")
        assert time.monotonic() - before >= 0.1
        assert c.running == ["b3", "A2"]


async def test_out_of_patience_is_not_out_of_the_limits() -> None:
    async with crowd(3, most_background=1, patience_seconds=0) as c:
        for name in ("a1", "A2", "A3", "b4", "b5"):
            await c.come(name)
        assert c.running == ["a1", "A2", "b4"]
        await c.end("a1")
        assert c.running == ["A2", "b4", "b5"]


async def test_a_turn_in_the_background_that_comes_in_the_instant_of_going_away_is_passed_on() -> None:
    async with crowd(1, yields=True) as c:
        for name in ("a1", "A2", "B3"):
            await c.come(name)
        c.tasks["a1"].cancel()
        await asyncio.sleep(0)
        await c.cancel("A2")
        await settle()
        assert c.running in (["B3"], ["A2"])
        assert c.turns.running_background == 1


STEPS = st.lists(st.tuples(st.sampled_from(["come", "come", "end", "cancel"]), st.sampled_from("abcAB")), max_size=40)


@given(
    steps=STEPS,
    concurrency=st.integers(0, 3),
    most_background=st.integers(0, 2),
    yields=st.booleans(),
    patience_seconds=st.sampled_from([0, math.inf]),
)
def test_whatever_happens_limits_hold_the_background_comes_last_and_nobody_is_forgotten(
    steps: list[tuple[str, str]], **limits: Any
) -> None:
    asyncio.run(_play(steps, **limits))


async def _play(steps: list[tuple[str, str]], **limits: Any) -> None:
    async with crowd(**limits) as c:
        for number, (step, account) in enumerate(steps):
            served_before = len(c.served)
            mine = [name for name in c.running + c.waiting if name[0] == account]
            if step == "come":
                await c.come(f"{account}{number}")
            elif step == "cancel" and mine:
                await c.cancel(mine[-1])
            elif mine and mine[0] in c.running:
                await c.end(mine[0])
            _check(c, c.served[served_before:], **limits)
        while c.running:
            await c.end(c.running[0])
        assert c.waiting == []


def _check(
    c: Crowd, begun: list[str], *, concurrency: int, most_background: int, yields: bool, patience_seconds: float
) -> None:
    """`begun` are those that began in the last step."""
    questions = awaited(c.running)
    lines = len(c.running) - len(questions)
    assert (c.turns.running, c.turns.waiting) == (len(c.running), len(c.waiting))
    assert not concurrency or len(c.running) <= concurrency
    assert not most_background or lines <= most_background
    is_full = len(c.running) == concurrency > 0
    assert is_full or not awaited(c.waiting)
    is_held = is_full or lines == most_background > 0 or (yields and bool(questions) and patience_seconds > 0)
    assert is_held or not c.waiting
    if patience_seconds and len(begun) > len(awaited(begun)):
        assert not awaited(c.waiting)
        assert not (yields and questions)
