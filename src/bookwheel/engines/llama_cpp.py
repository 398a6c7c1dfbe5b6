"""The embedded engine: llama.cpp's server in a child process, which may die and is started again.

Once it listens it is an upstream engine like any other, but that Bookwheel says which slot answers what (`prompt_reader`), so
that what it has read stays read, and keeps the states of documents on disk. Requests that come while it loads its weights
wait for it.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from bookwheel.engines.child import ChildConfig, EngineChild, Listening
from bookwheel.engines.engine import Chunk, Completion, Embeddings, EngineHealth, EngineRequest
from bookwheel.engines.llama_calls import LlamaCalls, Reading, open_session
from bookwheel.engines.machine import usable_cores
from bookwheel.engines.prompt_reader import DIALECT, KeptStates, Prepared, PromptReader
from bookwheel.engines.prompt_states import MB, PromptStates, identify_engine
from bookwheel.engines.upstream import UpstreamEngine
from bookwheel.errors import EngineUnreachable, InvalidRequest


@dataclass(frozen=True, slots=True)
class LlamaCppConfig:
    """What to serve. `threads` 0: as many as there are cores. Every slot has a window of its own."""

    weights: Path
    model: str
    window_tokens: int
    max_output_tokens: int
    threads: int
    slots: int
    connect_seconds: float
    silence_seconds: float
    log_file: Path
    states_folder: Path
    states_mb: int
    """What the states of documents may take on disk; 0: none are kept."""
    kv_bytes_per_token: int
    is_file_there: Callable[[str], bool]
    """Whether a file that a state rests on is still there, by its id."""


class LlamaCppEngine:
    """See the module."""

    kind = "llama_cpp"
    has_own_count = True

    def __init__(self, name: str, config: LlamaCppConfig) -> None:
        self.name = name
        self.model = config.model
        self.window_tokens = config.window_tokens
        self.max_output_tokens = config.max_output_tokens
        self._config = config
        self._threads = config.threads or usable_cores()
        self._child = EngineChild(name, _child_config(config, self._threads))
        self._session: aiohttp.ClientSession | None = None
        self._kept: KeptStates | None = None
        self._states: PromptStates | None = None
        self._reader: tuple[Listening, PromptReader] | None = None

    async def start(self) -> None:
        """Begin to load; requests wait for it."""
        config = self._config
        engine = await identify_engine(config.weights)
        self._states = PromptStates(config.states_folder, engine, config.states_mb * MB)
        await self._states.open(config.is_file_there)
        if config.states_mb:
            self._kept = KeptStates(self._states, f"{engine} {config.window_tokens}", config.kv_bytes_per_token)
        self._session = open_session()
        await self._child.start()

    async def close(self) -> None:
        await self._child.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def health(self) -> EngineHealth:
        return self._child.health(f"{self._config.model}, {self._threads} threads")

    async def complete(self, request: EngineRequest) -> Completion:
        async with self._prepared(request) as (upstream, prepared):
            answer = await upstream.complete(_in_slot(request, prepared))
        _count_reading(answer, prepared.ahead)
        return answer

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        async with (
            self._prepared(request) as (upstream, prepared),
            aclosing(upstream.stream(_in_slot(request, prepared))) as stream,
        ):
            async for chunks in stream:
                for chunk in chunks:
                    _open_with_empty_text(chunk)
                    _count_reading(chunk, prepared.ahead)
                yield chunks

    async def count_prompt(self, request: EngineRequest) -> int | None:
        try:
            return await (await self._child.listening()).upstream.count_prompt(request)
        except EngineUnreachable:  # another engine may answer
            return None

    async def tokenize(self, text: str) -> list[int] | None:
        try:
            return await (await self._child.listening()).upstream.tokenize(text)
        except EngineUnreachable:
            return None

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        raise InvalidRequest(f"The model {body.get('model')} does not embed.", param="model")

    async def forget(self, file_id: str) -> None:
        if self._states is not None:
            await self._states.forget(file_id)
        if self._reader is not None:
            self._reader[1].forget(file_id)

    @asynccontextmanager
    async def _prepared(self, request: EngineRequest) -> AsyncIterator[tuple[UpstreamEngine, Prepared]]:
        """The server and the slot for a request. What it says against the request itself is raised as EngineRefused."""
        listening = await self._child.listening()
        reader = self._reader_of(listening)
        try:
            async with reader.prepared(request) as prepared:
                yield listening.upstream, prepared
        except EngineUnreachable as error:
            refusal = None if error.had_begun else await reader.refusal(request)
            raise refusal or error from None

    def _reader_of(self, listening: Listening) -> PromptReader:
        """The reader of this child. One that took a dead one's place has other slots."""
        if self._session is None:
            raise EngineUnreachable(f"The engine {self.name} is not running.")
        if self._reader is None or self._reader[0] is not listening:
            calls = LlamaCalls(self.name, listening, self._session, self._config.silence_seconds)
            self._reader = (listening, PromptReader(calls, self._config.slots, self._kept))
        return self._reader[1]


def _child_config(config: LlamaCppConfig, threads: int) -> ChildConfig:
    served = {
        "weights": str(config.weights),
        "model": config.model,
        "window_tokens": config.window_tokens,
        "max_output_tokens": config.max_output_tokens,
        "slots": config.slots,
        "threads": threads,
        "states_folder": str(config.states_folder),
    }
    return ChildConfig(
        module="bookwheel.engines.llama_cpp_server",
        served=served,
        log_file=config.log_file,
        model=config.model,
        window_tokens=config.window_tokens,
        max_output_tokens=config.max_output_tokens,
        connect_seconds=config.connect_seconds,
        silence_seconds=config.silence_seconds,
        dialect=DIALECT,
    )


def _in_slot(request: EngineRequest, prepared: Prepared) -> EngineRequest:
    return replace(request, options=request.options | {"id_slot": prepared.slot})


def _count_reading(answer: Completion | Chunk, ahead: Reading) -> None:
    """What was read ahead for this answer was not read before it: llama.cpp takes it for cached."""
    if not ahead.tokens:
        return
    details = (answer.get("usage") or {}).get("prompt_tokens_details")
    if details and details.get("cached_tokens"):
        details["cached_tokens"] = max(0, details["cached_tokens"] - ahead.tokens)
    timings = answer.get("timings")
    if timings and timings.get("cache_n"):
        timings["cache_n"] = max(0, timings["cache_n"] - ahead.tokens)
        timings["prompt_n"] += ahead.tokens
        timings["prompt_ms"] += ahead.milliseconds
        timings["prompt_per_token_ms"] = timings["prompt_ms"] / timings["prompt_n"]
        timings["prompt_per_second"] = 1000 * timings["prompt_n"] / max(timings["prompt_ms"], 0.001)


def _open_with_empty_text(chunk: Chunk) -> None:
    """llama.cpp opens each choice of a stream with `content: null`; OpenAI and Qwen-Long with an empty text."""
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if "role" in delta and delta.get("content", "") is None:
            delta["content"] = ""
