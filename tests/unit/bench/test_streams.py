"""The engine of many streams sends every word once and in time, and its client misses none and counts none twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stream_client import Load, Reader, Seen, Tally, make_request
from bench.stream_engine import AFTER_MARK, BEFORE_MARK, ENDING, OPENING, Stream, Wheel
from bench.streams import ALONE, LITELLM, OURS, PROXY, Plan, Rounds, make_section

WORDS = [BEFORE_MARK + b"#%07d@%016d" % (number, 1_000 + number) + AFTER_MARK for number in range(4)]
"""Four events as they are written, their marks filled in."""


def load(url: str = "http://127.0.0.1:1", per_second: int = 500) -> Load:
    return Load(url, {}, "mock", [], streams=1, per_second=per_second, seconds=1, pid=1, engine_pid=1)


def seen(events: int, cpu: float, first_ms: float) -> Seen:
    return Seen(seconds=2, events=events, begun=1, cpu=cpu, idle_ms=[first_ms] * 3, loaded_ms=[first_ms] * 3)


async def read(pieces: list[bytes]) -> tuple[Tally, Reader]:
    tally = Tally()
    reader = Reader(tally, b"")
    for piece in pieces:
        reader.data_received(piece)
    return tally, reader


@asynccontextmanager
async def engine() -> AsyncIterator[str]:
    wheel = Wheel()
    server = await asyncio.get_running_loop().create_server(lambda: Stream(wheel), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ask(url: str, words: int) -> tuple[Tally, bool]:
    tally, request = Tally(), make_request(load(url), words)
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(lambda: Reader(tally, request), "127.0.0.1", urlsplit(url).port or 0)
    whole = await reader.ended
    reader.abort()
    return tally, whole


async def test_a_stream_of_the_engine_brings_every_word_once_and_then_its_end() -> None:
    async with engine() as url:
        streams = await asyncio.gather(*(ask(url, 20) for _ in range(5)))
    for tally, whole in streams:
        assert (len(tally.delays_us), tally.lost, tally.begun, tally.failed, whole) == (20, 0, 1, "", True)
        assert all(delay >= 0 for delay in tally.delays_us)


async def test_a_connection_serves_one_stream_after_the_other() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "[1 words, 500 a second]"}]}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with engine() as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        for _ in range(2):
            writer.write(request)
            assert (await reader.readuntil(b"0\r\n\r\n")).count(b"#0000000@") == 1
        writer.write(b"GET /v1/models HTTP/1.1\r\n\r\n")
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()


@given(st.lists(st.integers(0, 2_000), max_size=12))
def test_however_the_network_cuts_a_stream_the_same_words_are_counted(cuts: list[int]) -> None:
    stream = OPENING + b"".join(WORDS) + ENDING
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    tally, reader = asyncio.run(read([stream[start:end] for start, end in pairwise(places) if start < end]))
    assert (len(tally.delays_us), tally.lost, tally.begun, reader.ended.result()) == (4, 0, 1, True)


@pytest.mark.parametrize("order", [(0, 1, 3), (0, 1, 1, 2), (1, 0), (1, 2, 3)])
async def test_words_that_are_missing_or_come_twice_are_noticed(order: tuple[int, ...]) -> None:
    tally, _ = await read([OPENING, *(WORDS[number] for number in order)])
    assert tally.lost > 0


async def test_an_answer_of_another_status_is_a_failure_and_says_which() -> None:
    tally, reader = await read([b"HTTP/1.1 503 Service Unavailable\r\n\r\n"])
    assert tally.failed.startswith("HTTP/1.1 503")
    assert reader.first.done()


async def test_a_connection_that_ends_before_its_answer_is_a_failure() -> None:
    tally, reader = await read([])
    reader.connection_lost(None)
    assert "before it answered" in tally.failed
    assert reader.ended.result() is False


def test_what_went_wrong_is_told_on_one_line() -> None:
    assert Seen().trouble == ""
    assert Seen(lost=2, failed="HTTP/1.1 500\r\n\r\nno").trouble == (
        "2 events were lost or came twice. A request failed: HTTP/1.1 500 no"
    )


def test_the_section_sets_costs_beside_the_proxys_and_first_events_beside_the_engines() -> None:
    found = {
        ALONE: Rounds([seen(200, 0.0, 1.0)]),
        PROXY: Rounds([seen(200, 0.01, 2.0)], peak_mb=50),
        OURS: Rounds([seen(200, 0.02, 4.0)], peak_mb=100),
        LITELLM: Rounds([seen(20, 0.2, 30.0)], peak_mb=400),
    }
    plan = Plan(list(found), rounds=1, streams=2, per_second=50, seconds=2)
    costs, firsts = make_section(plan, "python -m bench streams", found).tables
    ours: list[Any] = list(costs.rows[2])
    assert ours[:4] == [OURS, "100 (100 to 100)", "100.0 (100.0 to 100.0)", "2.00"]
    assert costs.rows[3][3] == "200.00"
    assert [row[1] for row in firsts.rows] == [
        "(1.0 (1.0 to 1.0))",
        "1.0 (1.0 to 1.0)",
        "3.0 (3.0 to 3.0)",
        "29.0 (29.0 to 29.0)",
    ]


def test_a_first_event_that_was_not_waited_for_is_said_to_take_longer() -> None:
    found = {name: Rounds([seen(20, 0.2, 1.0)]) for name in (ALONE, PROXY)} | {LITELLM: Rounds([seen(20, 0.2, 20_000)])}
    plan = Plan(list(found), rounds=1, streams=2, per_second=50, seconds=2)
    assert make_section(plan, "python -m bench streams", found).tables[1].rows[2][1] == "over 20,000"
