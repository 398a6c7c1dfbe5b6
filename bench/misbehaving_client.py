"""A client of engines that misbehave: asks, and tells in a few words how that ended."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.misbehaving_engine import LEFT, Behaviour

GIVE_UP_SECONDS = 30.0
LEAVE_SECONDS = 0.15
"""After which a client that leaves does so, where it does not stream."""
WORDS = " wheel"
ANSWER_TEXT = "A wheel of books."


@dataclass(frozen=True, slots=True)
class Ask:
    """One way to ask an engine of one kind."""

    behaviour: Behaviour
    streamed: bool
    with_document: bool

    @property
    def expected(self) -> str:
        return self.behaviour.streamed if self.streamed else self.behaviour.whole

    def accepts(self, outcome: str) -> bool:
        """Whether this is how it is to end."""
        return outcome in self.expected.split(" or ")

    @property
    def how(self) -> str:
        return f"{'streamed' if self.streamed else 'whole'}, {'with' if self.with_document else 'without'} a document"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended, in the words of `Behaviour`, and after how long."""

    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Asker:
    """An account that asks, and its document."""

    session: aiohttp.ClientSession
    url: str
    key: str
    file_id: str

    async def ask(self, ask: Ask) -> Ended:
        """Ask, and see it through. Nothing is raised: whatever goes wrong is an outcome."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                outcome = await (self._leave(ask) if ask.behaviour.client_leaves else self._see_through(ask))
        except TimeoutError:
            outcome = "no end"
        except (aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
            outcome = f"broken: {error!r}"
        return Ended(outcome, time.monotonic() - began)

    async def _see_through(self, ask: Ask) -> str:
        async with self._post(ask) as response:
            body = await response.read()
        if response.status != 200:
            return f"{response.status} {json.loads(body)['error']['code']}"
        return end_of_stream(body) if ask.streamed else end_of_whole(json.loads(body))

    async def _leave(self, ask: Ask) -> str:
        """Go away after the first bytes of a stream, or in the middle of waiting for a whole answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if ask.streamed else LEAVE_SECONDS), self._post(ask) as response:
                await response.content.readany()
                response.close()
                return LEFT if ask.streamed and response.status == 200 else f"{response.status} before it left"
        return LEFT

    def _post(self, ask: Ask) -> Any:
        messages = [{"role": "user", "content": "Who wrote the letter, and when?"}]
        if ask.with_document:
            messages.insert(0, {"role": "system", "content": f"fileid://{self.file_id}"})
        body = {"model": ask.behaviour.name, "messages": messages, "stream": ask.streamed}
        headers = {"authorization": f"Bearer {self.key}"}
        return self.session.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)


async def ask_all(askers: Sequence[Asker], asks: Sequence[Ask], at_once: int) -> list[tuple[Ask, Ended]]:
    """Ask all of it, so many at a time, the askers taking turns."""
    waiting = iter(enumerate(asks))
    ended: list[tuple[Ask, Ended]] = []

    async def ask_on() -> None:
        for number, ask in waiting:
            ended.append((ask, await askers[number % len(askers)].ask(ask)))

    await asyncio.gather(*(ask_on() for _ in range(at_once)))
    return ended


def end_of_stream(body: bytes) -> str:
    """How a stream that began well ended."""
    events = [part[6:] for part in body.split(b"\n\n") if part.startswith(b"data: ")]
    if events[-1:] == [b"[DONE]"]:
        words = "".join(
            choice["delta"].get("content") or "" for e in events[:-1] for choice in json.loads(e)["choices"]
        )
        return "200, done" if words == WORDS else f"200, done, but it says {words!r}"
    last = json.loads(events[-1]) if events else {}
    return f"200, then {last['error']['code']}" if "error" in last else "200, cut off"


def end_of_whole(answer: Any) -> str:
    """How a whole answer of status 200 ended."""
    text = answer["choices"][0]["message"]["content"]
    return "200" if text == ANSWER_TEXT else f"200, but it says {text!r}"
