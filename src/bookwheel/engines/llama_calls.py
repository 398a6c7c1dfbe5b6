"""The calls of llama.cpp's server beside those of OpenAI's protocol: what a prompt is, and what its slots hold.

They are described in https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md; what is relied upon here was
tried with the version that is installed. A slot that is busy does these things when it is done.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec

from bookwheel.engines.child import Listening
from bookwheel.engines.sse import EventTooLarge, SseParser
from bookwheel.errors import EngineTimedOut, EngineUnreachable

T = TypeVar("T")

READ_BUFFER_BYTES = 1024 * 1024
LONGEST_REASON = 300

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class CallRefused(Exception):
    """The server answered that it does not do it, and why."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a prompt took: the tokens that were not in the slot already, and the time for them."""

    tokens: int = 0
    milliseconds: float = 0.0


class LlamaCalls:
    """See the module. Every call raises EngineUnreachable where the child is gone, EngineTimedOut where it is silent for
    `silence_seconds`, and CallRefused."""

    def __init__(
        self, engine_name: str, listening: Listening, session: aiohttp.ClientSession, silence_seconds: float
    ) -> None:
        self._engine_name = engine_name
        self._address = listening.address
        self._headers = {"authorization": f"Bearer {listening.api_key}", "content-type": "application/json"}
        self._session = session
        self._silence_seconds = silence_seconds

    async def render(self, body: dict[str, Any]) -> str:
        """The prompt that a chat's body makes."""
        answer = await self._call("/apply-template", body)
        return _field(answer, "prompt", str)

    async def tokenize(self, prompt: str) -> list[int]:
        """The tokens of a prompt, as a chat has them: control tokens in it are such."""
        answer = await self._call("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
        return _field(answer, "tokens", list)

    async def read(self, slot: int, tokens: Sequence[int]) -> Reading:
        """Have a slot read a prompt and say nothing. Cancelling ends it with the batch that it is at."""
        asked = {"prompt": tokens, "id_slot": slot, "n_predict": 0, "cache_prompt": True}
        last: dict[str, Any] = {}
        async for event in self._events("/completion", asked | {"stream": True, "return_progress": True}):
            last = event
        timings = last.get("timings")
        if not isinstance(timings, dict):
            raise CallRefused("it did not say what it read")
        return Reading(_field(timings, "prompt_n", int), float(timings.get("prompt_ms") or 0))

    async def save(self, slot: int, filename: str) -> int:
        """Write a slot's state to a file of the folder that the server was told of; the tokens that it holds."""
        return _field(await self._call(f"/slots/{slot}?action=save", {"filename": filename}), "n_saved", int)

    async def restore(self, slot: int, filename: str) -> int:
        """Read it back; the tokens that the slot holds now. What it held before is gone, also where this fails.

        The file must be as it was written: a cut one kills the server, one with other bytes in it is taken.
        """
        return _field(await self._call(f"/slots/{slot}?action=restore", {"filename": filename}), "n_restored", int)

    async def erase(self, slot: int) -> None:
        """Have a slot hold nothing. EngineUnreachable also where it is refused: nobody else may use it then."""
        try:
            await self._call(f"/slots/{slot}?action=erase", {})
        except CallRefused as error:
            raise self._broke_off(str(error)) from None

    async def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._post(path, body) as (response, _):
            data = await response.read()
        return _object(data)

    async def _events(self, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        parser = SseParser()
        async with self._post(path, body) as (response, silence):
            async for data in response.content.iter_any():
                silence.reschedule(asyncio.get_running_loop().time() + self._silence_seconds)
                try:
                    payloads = parser.feed(data)
                except EventTooLarge:
                    raise CallRefused("it sent an event that does not end") from None
                for payload in payloads:
                    event = _object(payload)
                    if event.get("error"):
                        raise CallRefused(str(event["error"])[:LONGEST_REASON])
                    yield event

    @asynccontextmanager
    async def _post(
        self, path: str, body: dict[str, Any]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.Timeout]]:
        url = f"{self._address}{path}"
        if self._session.closed:
            raise EngineUnreachable(f"The engine {self._engine_name} is not running.")
        try:
            async with (
                asyncio.timeout(self._silence_seconds) as silence,
                self._session.post(url, data=_encode(body), headers=self._headers) as response,
            ):
                if response.status != 200:
                    raise CallRefused(_reason(await response.content.read(READ_BUFFER_BYTES)))
                yield response, silence
        except aiohttp.ClientError as error:
            raise self._broke_off(str(error) or type(error).__name__) from None
        except TimeoutError:
            message = f"The engine {self._engine_name} was silent for {self._silence_seconds:g} seconds."
            raise EngineTimedOut(message) from None

    def _broke_off(self, why: str) -> EngineUnreachable:
        return EngineUnreachable(f"The engine {self._engine_name} broke off ({why}).")


def open_session() -> aiohttp.ClientSession:
    """What calls go over: a new connection for each, since the server closes idle ones without a word."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=READ_BUFFER_BYTES,
    )


def _reason(body: bytes) -> str:
    """What an answer that is an error says."""
    try:
        message = _decode(body)["error"]["message"]
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError):
        message = body.decode("utf-8", "replace")
    return str(message)[:LONGEST_REASON]


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = _decode(data)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CallRefused("it sent something else than a JSON object")
    return value


def _field(answer: dict[str, Any], name: str, kind: type[T]) -> T:
    value = answer.get(name)
    if not isinstance(value, kind):
        raise CallRefused(f"its answer has no {name}")
    return value
