"""What an engine is: something that answers a chat, and may count and embed.

Answers are OpenAI's objects as plain dicts, because whatever an engine adds to them must reach the client as it came.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

Message = dict[str, Any]
Chunk = dict[str, Any]
Completion = dict[str, Any]
Embeddings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of a document's text that is shown. It begins at `start`, in characters; `place` says in words where that is
    (page, headings), and is empty where there is nothing to say."""

    text: str
    start: int
    place: str = ""


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """A document as the engine is shown it: excerpts in its order; one of all its text when it is read in full.

    `tokens` is the size of the document, `selected_tokens` that of the excerpts.
    """

    title: str
    excerpts: tuple[Excerpt, ...]
    tokens: int
    selected_tokens: int
    file_id: str | None = None
    is_whole: bool = False


def whole_document(title: str, text: str, tokens: int, file_id: str | None = None) -> ShownDocument:
    """A document that is shown in full."""
    return ShownDocument(title, (Excerpt(text, 0),), tokens, tokens, file_id, is_whole=True)


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
    support: float | None = None
    """How much of what the question names stands together in the documents, 0 to 1; None where it was not measured."""
    is_about_whole: bool = False
    """Whether the question is about the documents as a whole: they are to be summarised, not searched."""
    account_id: str = ""
    """Whose request it is: where requests wait for an engine, accounts take turns; what an engine keeps, it keeps apart."""
    is_background: bool = False
    """Whether nobody waits for the answer right now: requests that somebody waits for go first."""

    @property
    def file_ids(self) -> tuple[str, ...]:
        """The files among the documents."""
        return tuple(document.file_id for document in self.documents if document.file_id is not None)

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
    model: str
    has_own_count: bool
    """Whether its tokens may be others than `bookwheel.tokens` counts; then `count_prompt` is worth asking."""

    @property
    def window_tokens(self) -> int:
        """What it accepts at most, prompt and answer together."""

    @property
    def max_output_tokens(self) -> int:
        """What is kept of the window for an answer that sets no limit."""

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

    async def count_prompt(self, request: EngineRequest) -> int | None:
        """The tokens that a request's prompt has for the engine, its template included; None where it cannot say."""

    async def tokenize(self, text: str) -> list[int] | None:
        """The engine's tokens of a text, control tokens in it being plain text; None where it cannot say."""

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        """Answer a request for embeddings, OpenAI's in and out. Raises InvalidRequest where the engine does not embed."""

    async def forget(self, file_id: str) -> None:
        """Remove whatever is kept of a file that is deleted."""
