"""Engines misbehave as they say, every way of asking them has its share, and what is left behind is found."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from bench.misbehaving import Found, Plan, find_leaks, make_section, mix
from bench.misbehaving_client import Ask, Asker, Ended, ask_all, end_of_stream, end_of_whole
from bench.misbehaving_engine import BEHAVIOURS, Behaviour, event_of, make_deaf, serve_connection
from bench.watching import Moment

BY_NAME = {behaviour.name: behaviour for behaviour in BEHAVIOURS}
WELL = BY_NAME["answers_well"]
AT_REST = Moment(
    requests=0, held_mb=120, used_mb=110, sockets=1, fds=24, threads=12, tasks=22, health_checks=0, generators=0,
    objects=2_000, turns=0, names="",
)  # fmt: skip


@asynccontextmanager
async def engine() -> AsyncIterator[str]:
    server = await asyncio.start_server(serve_connection, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def ends(name: str, *, streamed: bool) -> str:
    """How an answer of a kind of engine ends for a client that has no server before it."""
    async with engine() as url, aiohttp.ClientSession() as session:
        asker = Asker(session, f"{url}/{name}", "key", "file-fe-1")
        return (await asker.ask(Ask(BY_NAME[name], streamed, with_document=True))).outcome


@pytest.mark.parametrize(
    ("name", "streamed", "outcome"),
    [
        ("answers_well", True, "200, done"),
        ("answers_well", False, "200"),
        ("answers_slowly", True, "left"),
        ("refuses_as_busy", True, "429 rate_limit_exceeded"),
        ("fails_midway", True, "200, then fire"),
        ("ends_early", True, "200, cut off"),
    ],
)
async def test_what_an_engine_says_in_proper_form_has_its_outcome(name: str, streamed: bool, outcome: str) -> None:
    assert await ends(name, streamed=streamed) == outcome


@pytest.mark.parametrize(
    ("name", "streamed"),
    [
        ("resets_at_once", True),
        ("closes_at_once", False),
        ("resets_midway", True),
        ("breaks_off_midway", False),
        ("sends_no_http", True),
        ("sends_an_endless_head", False),
        ("ends_in_half_an_event", True),
        ("sends_garbage", False),
        ("sends_other_shapes", False),
        ("sends_html", False),
        ("redirects_to_itself", True),
        ("fails", True),
    ],
)
async def test_what_an_engine_breaks_is_broken_for_its_client(name: str, streamed: bool) -> None:
    assert (await ends(name, streamed=streamed)).startswith("broken: ")


@pytest.mark.parametrize("name", ["never_answers", "stalls_midway", "trickles", "trickles_its_head", "sends_endlessly"])
async def test_an_engine_that_does_not_end_notices_that_its_client_has_gone(name: str) -> None:
    async with engine() as url, aiohttp.ClientSession() as session:
        asking = asyncio.create_task(Asker(session, f"{url}/{name}", "key", "x").ask(Ask(BY_NAME[name], True, False)))
        while not _serving():
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, *_serving(), return_exceptions=True)


def _serving() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "serve_connection"]


def test_a_deaf_engine_lets_every_further_connection_wait() -> None:
    listening, *filling = make_deaf()
    with pytest.raises(TimeoutError):
        asyncio.run(_connect(listening.getsockname()[1]))
    for one in (listening, *filling):
        one.close()


async def _connect(port: int) -> None:
    async with asyncio.timeout(0.05):
        await asyncio.open_connection("127.0.0.1", port)


def test_every_engine_is_asked_in_every_way_by_its_share_and_in_the_same_order_again() -> None:
    asks = mix(1_000, random.Random(1))
    ways = Counter((ask.behaviour.name, ask.streamed, ask.with_document) for ask in asks)
    assert len(ways) == 4 * len(BEHAVIOURS)
    assert ways["answers_well", True, True] == 2 * ways["fails", False, True]
    assert ways["sends_endlessly", True, False] == 1
    assert asks == mix(1_000, random.Random(1))


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (event_of({"choices": [{"delta": {"content": " wheel"}}]}) + b"data: [DONE]\n\n", "200, done"),
        (b": keep-alive\n\ndata: [DONE]\n\n", "200, done, but it says ''"),
        (event_of({"choices": []}) + event_of({"error": {"code": "fire"}}), "200, then fire"),
        (event_of({"choices": []}), "200, cut off"),
        (b"", "200, cut off"),
    ],
)
def test_a_stream_ends_with_its_mark_or_with_an_error_or_is_cut_off(body: bytes, outcome: str) -> None:
    assert end_of_stream(body) == outcome


def test_a_whole_answer_must_say_what_the_engine_said() -> None:
    assert end_of_whole({"choices": [{"message": {"content": "A wheel of books."}}]}) == "200"
    assert end_of_whole({"choices": [{"message": {"content": "No."}}]}) == "200, but it says 'No.'"


def test_an_outcome_is_accepted_where_one_of_several_is_expected() -> None:
    endless = BY_NAME["sends_endlessly"]
    assert Ask(endless, streamed=False, with_document=False).accepts("504 engine_timed_out")
    assert not Ask(endless, streamed=True, with_document=False).accepts("504 engine_timed_out")


async def test_the_askers_take_turns_until_all_is_asked() -> None:
    asks = [Ask(WELL, streamed=False, with_document=False)] * 10
    async with engine() as url, aiohttp.ClientSession() as session:
        askers = [Asker(session, f"{url}/answers_well", key, "x") for key in ("a", "b")]
        ended = await ask_all(askers, asks, at_once=3)
    assert [end.outcome for _, end in ended] == ["200"] * 10


def test_a_wrong_end_and_a_late_one_are_told() -> None:
    ask = Ask(WELL, streamed=True, with_document=False)
    found = Found([(ask, Ended("200, done", 0.1)), (ask, Ended("200, cut off", 0.1)), (ask, Ended("200, done", 60.0))])
    cut_off, late = found.wrong()
    assert "answers as it should (streamed, without a document): 200, cut off" in cut_off
    assert "after 60.0 s" in late


def test_where_nothing_is_left_nothing_is_found() -> None:
    warm = replace(AT_REST, requests=1_000, held_mb=200, used_mb=180, threads=17, objects=2_600)
    after = replace(warm, requests=10_000, held_mb=230, used_mb=185, health_checks=1, sockets=2, objects=2_700)
    assert find_leaks([AT_REST, warm, after]) == []


@pytest.mark.parametrize(
    "left",
    [
        {"tasks": 23}, {"generators": 1}, {"sockets": 2}, {"turns": 1}, {"threads": 13}, {"used_mb": 140},
        {"objects": 9_000}, {"fds": 40}, {"health_checks": 100},
    ],
)  # fmt: skip
def test_whatever_is_left_is_found_and_named(left: dict[str, Any]) -> None:
    last = replace(AT_REST, requests=10_000, names="_serve x 1", **left)
    *found, names = find_leaks([AT_REST, AT_REST, last])
    assert len(found) == 1
    assert "_serve x 1" in names


def test_the_section_has_a_row_for_every_engine_and_every_moment() -> None:
    ended = [(ask, Ended(ask.expected, 1.0)) for ask in mix(100, random.Random(1))]
    section = make_section(Plan(100, 8), "python -m bench misbehaving", Found(ended, [AT_REST] * 3))
    engines, moments = section.tables
    assert [row[0] for row in engines.rows] == [behaviour.label for behaviour in BEHAVIOURS]
    assert len(moments.rows) == 3
    assert {len(row) for row in moments.rows} == {len(moments.columns)}


def test_names_of_engines_can_stand_in_a_url_and_are_different() -> None:
    assert all(isinstance(behaviour, Behaviour) and behaviour.name.isidentifier() for behaviour in BEHAVIOURS)
    assert len(BY_NAME) == len(BEHAVIOURS)
