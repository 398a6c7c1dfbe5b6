"""A child process that serves: what it is told, who waits for it, what happens when it dies or cannot start."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bookwheel.engines import child as child_module
from bookwheel.engines.child import ChildConfig, EngineChild
from bookwheel.engines.engine import EngineRequest
from bookwheel.errors import EngineUnreachable

QUESTION = EngineRequest([{"role": "user", "content": "Who?"}], {}, "Who?")
TESTS = Path(__file__).parents[2]

Start = Callable[..., Awaitable[EngineChild]]


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """`await start(dies="at once", log_file=...)`: a child that was told so, with short pauses. It is ended at the end."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setattr(child_module, "FIRST_PAUSE_SECONDS", 0.02)
    children = []

    async def start_child(log_file: Path = tmp_path / "child.log", **served: Any) -> EngineChild:
        config = ChildConfig("support.obedient_child", served, log_file, "mill-1", 1_000, 100, 5.0, 5.0)
        children.append(EngineChild("mill", config))
        await children[-1].start()
        return children[-1]

    yield start_child
    for child in children:
        await child.close()


async def ask(child: EngineChild) -> dict[str, Any]:
    """What the child was told and shown."""
    answer = await (await child.listening()).upstream.complete(QUESTION)
    shown: dict[str, Any] = json.loads(answer["choices"][0]["message"]["content"])
    return shown


async def test_a_child_is_told_its_config_a_port_and_a_key_and_is_asked_there(start: Start) -> None:
    child = await start(weights="here")
    shown = await ask(child)
    listening = await child.listening()
    assert shown["told"] == {"weights": "here", "port": shown["told"]["port"], "api_key": listening.api_key}
    assert listening.address == f"http://127.0.0.1:{shown['told']['port']}"
    assert shown["key"] == f"Bearer {listening.api_key}"
    assert shown["body"]["model"] == "mill-1"


async def test_calls_wait_while_it_loads(start: Start) -> None:
    child = await start()
    assert child.health("well").detail == "The embedded engine is loading its weights."
    assert len({id(found) for found in await asyncio.gather(child.listening(), child.listening())}) == 1
    assert (child.health("well").ready, child.health("well").detail) == (True, "well")


async def test_what_it_says_stands_in_its_log(start: Start, tmp_path: Path) -> None:
    await (await start()).listening()
    assert (tmp_path / "child.log").read_text() == "the child's own words\n"


async def test_a_child_that_dies_is_started_again_and_calls_wait_for_the_new_one(start: Start) -> None:
    child = await start()
    first, pid = await child.listening(), (await ask(child))["pid"]
    psutil.Process(pid).kill()
    while child.health("").ready:
        await asyncio.sleep(0.001)
    assert child.health("").detail == "The embedded engine died and is being started again."
    second = await child.listening()
    assert (await ask(child))["pid"] != pid
    assert second is not first
    assert second.api_key != first.api_key
    assert child.health("").ready


async def test_a_child_that_dies_while_it_answers_is_the_engines_error_and_the_next_one_lives(start: Start) -> None:
    child = await start(dies="when asked")
    first = await child.listening()
    with pytest.raises(EngineUnreachable) as raised:
        await first.upstream.complete(QUESTION)
    assert (raised.value.had_begun, raised.value.may_pass) == (False, True)
    while (await child.listening()) is first:
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("told", [{"dies": "at once"}, {"says": "Hello"}, {"says": '{"port": 1}'}, {"says": "[1]"}])
async def test_a_child_that_does_not_come_to_listen_fails_the_calls_that_wait(start: Start, told: Any) -> None:
    child = await start(**told)
    with pytest.raises(EngineUnreachable, match=r"^The engine mill could not load its weights: see .*child\.log\.$"):
        await child.listening()
    assert not child.health("").ready
    assert "could not load its weights" in child.health("").detail


async def test_a_child_that_could_not_start_is_tried_again(start: Start, tmp_path: Path) -> None:
    child = await start(dies_first=str(tmp_path / "was-here"))
    with pytest.raises(EngineUnreachable):
        await child.listening()
    while not child.health("").ready:
        await asyncio.sleep(0.001)
    assert (await ask(child))["told"]["dies_first"]


async def test_a_log_that_cannot_be_written_is_as_a_child_that_died(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    child = await start(log_file=folder / "child.log")
    with pytest.raises(EngineUnreachable):
        await child.listening()
    folder.mkdir()
    while not child.health("").ready:
        await asyncio.sleep(0.001)


async def test_a_child_that_takes_longer_than_it_may_is_an_error_that_names_its_log(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "LOAD_SECONDS", 0.01)
    with pytest.raises(EngineUnreachable, match=r"is loading its weights: see .*child\.log\.$"):
        await (await start(dies="never listens")).listening()


async def test_closing_ends_the_child_and_the_calls_that_wait(start: Start) -> None:
    child = await start()
    pid = (await ask(child))["pid"]
    await child.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(EngineUnreachable, match=r"^The engine mill is not running\.$"):
        await child.listening()
    silent = await start(dies="never listens")
    waiting = asyncio.create_task(silent.listening())
    await asyncio.sleep(0)
    await silent.close()
    with pytest.raises(EngineUnreachable, match="is not running"):
        await waiting


async def test_a_child_that_was_not_started_is_not_there(tmp_path: Path) -> None:
    child = EngineChild("mill", ChildConfig("support.obedient_child", {}, tmp_path / "log", "m", 1, 1, 1.0, 1.0))
    assert child.health("").detail == "The embedded engine is not running."
    with pytest.raises(EngineUnreachable):
        await child.listening()
    await child.close()
