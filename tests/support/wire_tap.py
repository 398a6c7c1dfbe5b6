"""Sees what a stock client sends and is sent, byte by byte, and compares JSON closer than parsing does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx2
from openai import DefaultHttpxClient

from support.server import Server


@dataclass
class Wire:
    """The last exchange: the body that went out, and the body that came back."""

    sent: bytes = b""
    received: bytearray = field(default_factory=bytearray)

    def answers(self) -> list[bytes]:
        """The data of the events that came back, or the one answer."""
        events = [event for event in bytes(self.received).split(b"\n\n") if event]
        if not events[0].startswith((b"data: ", b": ")):
            return [bytes(self.received)]
        return [event.removeprefix(b"data: ") for event in events if event.startswith(b"data: ")]

    def client(self) -> DefaultHttpxClient:
        """A client for `OpenAI(http_client=...)`, which is listened to."""
        return DefaultHttpxClient(event_hooks={"request": [self._note_request], "response": [self._note_response]})

    def _note_request(self, request: httpx2.Request) -> None:
        self.sent = request.read()
        self.received = bytearray()

    def _note_response(self, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Noted(response.stream, self.received)


class _Noted(httpx2.SyncByteStream):
    """A body as it comes, and a copy of it."""

    def __init__(self, stream: httpx2.SyncByteStream, copy: bytearray) -> None:
        self._stream = stream
        self._copy = copy

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._copy += piece
            yield piece

    def close(self) -> None:
        self._stream.close()


@dataclass(frozen=True)
class Exact:
    """A JSON object such that equal ones have the same keys in the same order, and the same numbers.

    Numbers are kept as decimals, so that nothing is rounded, and whole ones differ from broken ones.
    """

    pairs: list[tuple[str, Any]]

    def __getitem__(self, name: str) -> Any:
        return dict(self.pairs)[name]

    def without(self, *names: str) -> "Exact":
        return Exact([(name, value) for name, value in self.pairs if name not in names])


def exactly(data: bytes) -> Exact:
    """A JSON object as it was sent."""
    read: Exact = json.loads(data, object_pairs_hook=Exact, parse_float=_broken, parse_int=_whole)
    return read


def _broken(text: str) -> tuple[str, Decimal]:
    return ("float", Decimal(text))


def _whole(text: str) -> tuple[str, str]:
    return ("int", text)


def folded(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """A stream's chunks as the one answer that they tell: what whole answers have, `message` and all."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        answer |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        for part in chunk["choices"]:
            choice = choices.setdefault(part["index"], {"index": part["index"], "message": {}})
            _fold(choice["message"], part["delta"])
            choice["finish_reason"] = part["finish_reason"]
            if part.get("logprobs"):
                choice.setdefault("logprobs", {"content": []})["content"] += part["logprobs"]["content"]
    return answer | {"choices": [choices[number] for number in sorted(choices)]}


def _fold(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            for call in value:
                _fold(_call(message.setdefault("tool_calls", []), call["index"]), call)
        elif isinstance(value, dict):
            _fold(message.setdefault(name, {}), value)
        elif isinstance(value, str) and isinstance(message.get(name), str) and name not in ("role", "type", "id"):
            message[name] += value
        elif value is not None or name not in message:
            message[name] = value


def _call(calls: list[dict[str, Any]], index: int) -> dict[str, Any]:
    while len(calls) <= index:
        calls.append({})
    return calls[index]


def tapped(server: Server, wire: Wire) -> dict[str, Any]:
    """What `OpenAI` needs for a client of a server that is listened to."""
    return {"base_url": f"{server.url}/v1", "api_key": "any", "max_retries": 0, "http_client": wire.client()}
