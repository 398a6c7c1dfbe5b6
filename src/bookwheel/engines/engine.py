"""What an engine is: something that answers a chat.

Answers are OpenAI's objects as plain dicts, because whatever an engine adds to them must reach the client as it came.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

Message = dict[str, Any]
Chunk = dict[str, Any]
Completion = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """A document as the engine is shown it: its whole text."""

    title: str
    text: str
    tokens: int
    file_id: str | None = None


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One chat for an engine.

    `messages` and `options` (every other field of the client's body) are what engines that speak OpenAI's protocol are
    sent; `documents` and `question` say the same to engines that do not read prompts.
    """

    messages: list[Message]
    options: dict[str, Any]
    question: str
    documents: tuple[ShownDocument, ...] = ()

    @property
    def wants_usage(self) -> bool:
        stream_options = self.options.get("stream_options")
        return bool(stream_options and stream_options.get("include_usage"))

    @property
    def max_tokens(self) -> int | None:
        limit = self.options.get("max_completion_tokens") or self.options.get("max_tokens")
        return int(limit) if limit else None


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """Whether an engine can answer now, and if not, what to do."""

    ready: bool
    detail: str


class Engine(Protocol):
    """An engine under a name. Errors are ApiErrors: EngineRefused, EngineUnreachable, EngineTimedOut."""

    name: str
    kind: str
    window_tokens: int
    max_output_tokens: int

    async def start(self) -> None:
        """Get ready; may return before it is."""

    async def close(self) -> None:
        """Stop at once and leave nothing behind."""

    async def health(self) -> EngineHealth:
        """Ask it whether it can answer."""

    async def complete(self, request: EngineRequest) -> Completion:
        """The whole answer. Cancelling the caller cancels the work."""

    def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        """The answer's chunks as they come, those that came together in one list; `[DONE]` is the end of the iteration.

        Closing the iterator cancels the work.
        """
