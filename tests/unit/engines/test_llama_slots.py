"""Which slot answers which request, who waits, and that a slot answers one request at a time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.engines.llama_slots import Path, Slots, Wanted


def path(*messages: str) -> Path:
    """A conversation of messages of 100 bytes each."""
    return tuple(("".join(messages[:count]), 100 * count) for count in range(1, len(messages) + 1))


def wanted(*messages: str, account_id: str = "ely", keys: tuple[str, ...] = (), takes_all: bool = False) -> Wanted:
    return Wanted(account_id, path(*messages), keys, takes_all)


async def use(slots: Slots, asked: Wanted) -> int:
    """Take a slot, note what it holds as its user does, give it back; its number."""
    taken = await slots.take(asked)
    taken[0].account_id, taken[0].path, taken[0].keys = asked.account_id, asked.path, frozenset(asked.keys)
    slots.give_back(taken)
    return taken[0].number


async def test_a_conversation_goes_on_in_its_slot() -> None:
    slots = Slots(3)
    first, second = await use(slots, wanted("a")), await use(slots, wanted("b"))
    assert first != second
    assert await use(slots, wanted("a", "answer", "more")) != first  # a third of it is not enough to be preferred
    assert await use(slots, wanted("b", "answer")) == second


async def test_documents_that_a_slot_holds_count_however_long_the_conversation() -> None:
    slots = Slots(2)
    first = await use(slots, wanted("documents", keys=("k",)))
    await use(slots, wanted("other"))
    assert await use(slots, wanted("elsewise", "2", "3", "4", "5", keys=("longer", "k"))) == first


async def test_the_slot_that_holds_more_of_a_conversation_is_preferred_to_one_with_its_documents() -> None:
    slots = Slots(2)
    holders = [await slots.take(wanted("a")), await slots.take(wanted("b"))]
    for (slot,), held in zip(
        holders, [wanted("docs", keys=("k",)), wanted("docs", "q", "answer", keys=("k",))], strict=True
    ):
        slot.account_id, slot.path, slot.keys = "ely", held.path, frozenset(held.keys)
        slots.give_back([slot])
    assert await use(slots, wanted("docs", "q", "answer", "q2", keys=("k",))) == holders[1][0].number


async def test_a_new_conversation_gets_the_slot_that_was_used_least_lately() -> None:
    slots = Slots(2)
    first, second = await use(slots, wanted("a")), await use(slots, wanted("b"))
    assert await use(slots, wanted("a")) == first
    assert await use(slots, wanted("c")) == second
    assert await use(slots, wanted("d")) == first


async def test_what_another_account_left_is_no_reason() -> None:
    slots = Slots(2)
    await use(slots, wanted("b"))
    first = await use(slots, wanted("a", keys=("k",)))
    assert await use(slots, wanted("a", keys=("k",), account_id="york")) != first


async def test_requests_wait_for_a_slot_in_their_order() -> None:
    slots = Slots(1)
    taken = await slots.take(wanted("a"))
    came: list[str] = []

    async def come(name: str) -> None:
        mine = await slots.take(wanted(name))
        came.append(name)
        slots.give_back(mine)

    tasks = [asyncio.create_task(come(name)) for name in "bcd"]
    await asyncio.sleep(0)
    assert came == []
    slots.give_back(taken)
    await asyncio.gather(*tasks)
    assert came == ["b", "c", "d"]


async def test_several_answers_take_all_slots_and_are_not_passed_by() -> None:
    slots = Slots(3)
    busy = await slots.take(wanted("a"))
    several = asyncio.create_task(slots.take(wanted("b", takes_all=True)))
    late = asyncio.create_task(slots.take(wanted("c")))
    await asyncio.sleep(0)
    assert not several.done()
    assert not late.done()
    slots.give_back(busy)
    taken = await several
    assert sorted(slot.number for slot in taken) == [0, 1, 2]
    assert not late.done()
    slots.give_back(taken)
    await late


async def test_who_leaves_the_queue_gives_way() -> None:
    slots = Slots(1)
    taken = await slots.take(wanted("a"))
    leaving = asyncio.create_task(slots.take(wanted("b", takes_all=True)))
    staying = asyncio.create_task(slots.take(wanted("c")))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    slots.give_back(taken)
    await staying


async def test_who_leaves_in_the_instant_of_getting_a_slot_leaves_it_free() -> None:
    slots = Slots(1)
    taken = await slots.take(wanted("a"))
    leaving = asyncio.create_task(slots.take(wanted("b")))
    await asyncio.sleep(0)
    slots.give_back(taken)  # it is given the slot, and has not woken up yet
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    slots.give_back(await slots.take(wanted("c")))


async def test_an_idle_slot_is_taken_out_of_use_and_a_busy_one_is_not() -> None:
    slots = Slots(1)
    taken = await slots.take(wanted("a"))
    assert not slots.take_idle(taken[0])
    slots.give_back(taken)
    assert slots.take_idle(taken[0])
    waiting = asyncio.create_task(slots.take(wanted("b")))
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.give_back(taken)
    await waiting


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=12), st.integers(1, 3))
async def test_no_slot_is_with_two_at_once_and_none_is_lost(requests: list[tuple[str, bool, bool]], count: int) -> None:
    slots = Slots(count)
    held: list[int] = []

    async def ask(name: str, takes_all: bool) -> None:
        taken = await slots.take(wanted(name, takes_all=takes_all))
        mine = [slot.number for slot in taken]
        assert not set(mine) & set(held)
        held.extend(mine)
        await asyncio.sleep(0)
        for number in mine:
            held.remove(number)
        slots.give_back(taken)

    tasks = [asyncio.create_task(ask(name, takes_all)) for name, takes_all, _ in requests]
    await asyncio.sleep(0)
    for task, (_, _, leaves) in zip(tasks, requests, strict=True):
        if leaves and not task.done() and not held:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not any(slot.is_busy for slot in slots.all) or held
