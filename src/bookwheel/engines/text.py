"""Engines that are not models: they write text, and this makes OpenAI's objects of it."""

import re
import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from bookwheel.engines.engine import Chunk, Completion, Embeddings, EngineHealth, EngineRequest
from bookwheel.errors import InvalidRequest
from bookwheel.tokens import MESSAGE_OVERHEAD_TOKENS, count_tokens, token_ids

_PIECE = re.compile(r"\s*\S{1,12}\s*?|\s+")


class TextAnswer:
    """An answer's text on its way out, cut where the request's `max_tokens` or `stop` cuts it."""

    def __init__(self, request: EngineRequest, text: str, model: str) -> None:
        self.text, self.finish_reason = _cut(text, request)
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        prompt, completion = _prompt_tokens(request), count_tokens(self.text)
        self._usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        self._wants_usage = request.wants_usage

    def completion(self) -> Completion:
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return self._head | {"object": "chat.completion", "choices": [choice], "usage": self._usage}

    async def stream(self) -> AsyncGenerator[list[Chunk], None]:
        """The chunks: a word or so of the text in each."""
        yield [self._chunk({"role": "assistant", "content": ""})]
        for piece in _PIECE.findall(self.text):
            yield [self._chunk({"content": piece})]
        yield [self._chunk({}, self.finish_reason)]
        if self._wants_usage:
            yield [self._head | {"object": "chat.completion.chunk", "choices": [], "usage": self._usage}]

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._head | {"object": "chat.completion.chunk", "choices": [choice]}


class TextEngine:
    """An engine that writes its answers by itself: subclasses say `kind`, `detail` and how to `write`."""

    kind: str
    model = ""
    detail: str
    has_own_count = False

    def __init__(self, name: str, *, window_tokens: int, max_output_tokens: int) -> None:
        self.name = name
        self.window_tokens = window_tokens
        self.max_output_tokens = max_output_tokens

    async def write(self, request: EngineRequest) -> str:
        """The answer's text."""
        raise NotImplementedError

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to close."""

    async def health(self) -> EngineHealth:
        return EngineHealth(ready=True, detail=self.detail)

    async def count_prompt(self, request: EngineRequest) -> int | None:
        return _prompt_tokens(request)

    async def tokenize(self, text: str) -> list[int] | None:
        return token_ids(text)

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        raise InvalidRequest(f"The model {body.get('model')} does not embed.", param="model")

    async def forget(self, file_id: str) -> None:
        """Nothing is kept."""

    async def complete(self, request: EngineRequest) -> Completion:
        return TextAnswer(request, await self.write(request), self.name).completion()

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        async for chunks in TextAnswer(request, await self.write(request), self.name).stream():
            yield chunks


def check_is_for_text(name: str, request: EngineRequest) -> None:
    """Raise InvalidRequest where a request asks for something else than one text."""
    for field in _unsupported(request):
        raise InvalidRequest(f"The engine {name} writes text and nothing else: it has no {field}.", param=field)


def _unsupported(request: EngineRequest) -> Iterator[str]:
    """The fields that ask for something else than one text."""
    options = request.options
    if options.get("tool_choice") not in (None, "auto", "none"):
        yield "tool_choice"
    if (options.get("response_format") or {}).get("type") not in (None, "text"):
        yield "response_format"
    if (options.get("n") or 1) > 1:
        yield "n"
    if options.get("logprobs"):
        yield "logprobs"


def _cut(text: str, request: EngineRequest) -> tuple[str, str]:
    stop = request.options.get("stop")
    for mark in [stop] if isinstance(stop, str) else stop or []:
        text = text.partition(mark)[0] if mark else text
    limit = request.max_tokens
    if limit is None or count_tokens(text) <= limit:
        return text, "stop"
    low, high = 0, len(text)
    while low < high:  # the longest prefix within the limit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count_tokens(text[:middle]) <= limit else (low, middle - 1)
    return text[:low], "length"


def _prompt_tokens(request: EngineRequest) -> int:
    return sum(count_tokens(_text_of(message)) + MESSAGE_OVERHEAD_TOKENS for message in request.messages)


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return content or ""
