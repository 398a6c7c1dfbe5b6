"""Vectors are asked for in an account's turn, and come in the form that was asked for."""

import asyncio
import base64
from typing import Any

import numpy as np

from bookwheel.engines.embedding import embed
from bookwheel.engines.engine import Embeddings
from bookwheel.engines.fake import FakeEngine
from bookwheel.engines.guard import GuardedEngine
from bookwheel.settings import EngineSettings


class Embedder(FakeEngine):
    """Gives the same vector to each text, once it may."""

    def __init__(self) -> None:
        super().__init__("mill", window_tokens=1_000, max_output_tokens=100)
        self.may_end = asyncio.Event()

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        await self.may_end.wait()
        return {"object": "list", "data": [{"index": n, "embedding": [0.5, 1.0]} for n in range(len(body["input"]))]}


async def test_vectors_come_in_the_form_that_was_asked_for() -> None:
    engine = Embedder()
    engine.may_end.set()
    guard = GuardedEngine(engine, EngineSettings(kind="fake"))
    as_floats = await embed(guard, {"input": ["a", "b"]}, 2, "ely")
    assert [vector["embedding"] for vector in as_floats["data"]] == [[0.5, 1.0]] * 2
    as_base64 = await embed(guard, {"input": ["a"], "encoding_format": "base64"}, 1, "ely")
    assert np.frombuffer(base64.b64decode(as_base64["data"][0]["embedding"]), "<f4").tolist() == [0.5, 1.0]


async def test_those_of_a_batch_wait_for_those_that_somebody_waits_for() -> None:
    engine = Embedder()
    guard = GuardedEngine(engine, EngineSettings(kind="e5"))
    order: list[str] = []

    async def ask(account_id: str, *, is_background: bool) -> None:
        await embed(guard, {"input": ["a"]}, 1, account_id, is_background=is_background)
        order.append(account_id)

    asked = [asyncio.create_task(ask("ann", is_background=False))]
    await asyncio.sleep(0)
    asked += [asyncio.create_task(ask("ben", is_background=True)), asyncio.create_task(ask("eve", is_background=False))]
    async with asyncio.timeout(30):
        while guard.turns.running + guard.turns.waiting < 3:
            await asyncio.sleep(0)
    assert (guard.turns.running, guard.turns.waiting_background) == (2, 1)
    engine.may_end.set()
    await asyncio.gather(*asked)
    assert order == ["ann", "eve", "ben"]
