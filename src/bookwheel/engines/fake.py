"""An engine for tests and trials: the same answer every time, at once, without weights.

It repeats the question and says what it was shown, so that a test can see that the right documents came through.
"""

from bookwheel.engines.engine import EngineRequest
from bookwheel.engines.text import TextEngine


class FakeEngine(TextEngine):
    """See the module."""

    kind = "fake"
    detail = "repeats the question; for tests"

    async def write(self, request: EngineRequest) -> str:
        shown = "; ".join(f"{d.title} ({sum(len(e.text) for e in d.excerpts)} characters)" for d in request.documents)
        return f"You asked: {request.question} I was shown: {shown or 'no documents'}."
