"""An engine for tests and trials: the same answer every time, at once, without weights.

It repeats the question and says what it was shown, so that a test can see that the right documents came through.
"""

from collections.abc import AsyncIterator

from bookwheel.engines.engine import Chunk, Completion, EngineHealth, EngineRequest
from bookwheel.engines.text import TextAnswer


class FakeEngine:
    """See the module."""

    kind = "fake"

    def __init__(self, name: str, *, window_tokens: int, max_output_tokens: int) -> None:
        self.name = name
        self.window_tokens = window_tokens
        self.max_output_tokens = max_output_tokens

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to close."""

    async def health(self) -> EngineHealth:
        return EngineHealth(ready=True, detail="repeats the question; for tests")

    async def complete(self, request: EngineRequest) -> Completion:
        return TextAnswer(request, _answer(request), self.name).completion()

    async def stream(self, request: EngineRequest) -> AsyncIterator[list[Chunk]]:
        answer = TextAnswer(request, _answer(request), self.name)
        async for chunks in answer.stream():
            yield chunks


def _answer(request: EngineRequest) -> str:
    shown = "; ".join(f"{document.title} ({len(document.text)} characters)" for document in request.documents)
    return f"You asked: {request.question} I was shown: {shown or 'no documents'}."
