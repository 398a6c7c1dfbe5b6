"""What is shown fits the engine by its own count, and nobody is asked to count where it cannot matter."""

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from bookwheel.answering.conversation import text_of
from bookwheel.answering.fit import FITTINGS, fitted
from bookwheel.answering.plan import LEAST_BUDGET_TOKENS, Plan, Room
from bookwheel.engines.engine import Engine, EngineRequest
from bookwheel.errors import InvalidRequest
from bookwheel.tokens import count_tokens
from bookwheel.wire.chat import ReadingName

WORD = " mill"
"""One token."""


@dataclass
class CountingEngine:
    """An engine that needs `share` tokens for each of Qwen's, and `template` more."""

    share: float = 1.0
    template: int = 0
    can_count: bool = True
    has_own_count: bool = True
    asked: list[int] = field(default_factory=list)

    async def count_prompt(self, request: EngineRequest) -> int | None:
        count = int(self.share * sum(count_tokens(text_of(m)) for m in request.messages)) + self.template
        self.asked.append(count)
        return count if self.can_count else None


def request_of(document_tokens: int, question: str = "Who built it?") -> EngineRequest:
    messages = [{"role": "system", "content": WORD * document_tokens}, {"role": "user", "content": question}]
    return EngineRequest(messages, {}, question)


def room(window: int, *, set_tokens: int | None = None) -> Room:
    return Room(window_tokens=window, said_tokens=10, reserve_tokens=200, set_tokens=set_tokens)


async def tightened(engine: CountingEngine, document_tokens: int, plan: Plan, space: Room) -> Plan | None:
    return await fitted(cast("Engine", engine), request_of(document_tokens), plan, space)


async def test_what_fits_by_the_engines_count_stays() -> None:
    engine = CountingEngine(share=0.9)
    assert await tightened(engine, 1_000, Plan("relevant", 1_010, "r"), room(1_300)) is None
    assert len(engine.asked) == 1


@pytest.mark.parametrize("share", [1.1, 1.5, 1.9])
@pytest.mark.parametrize("window", [1_300, 4_000, 60_000])
async def test_what_is_shown_in_the_end_fits_the_window(share: float, window: int) -> None:
    engine = CountingEngine(share, template=25)
    plan = Plan("relevant", window - 210, "r")
    space = room(window)
    shown = plan.budget_tokens
    for _ in range(FITTINGS):
        tighter = await tightened(engine, shown, plan, space)
        if tighter is None:
            break
        plan, shown = tighter, tighter.budget_tokens
    assert engine.asked[-1] + space.reserve_tokens <= window
    assert engine.asked[-1] >= 0.9 * (window - space.reserve_tokens)  # nor is room given away
    assert len(engine.asked) <= 3


async def test_a_set_budget_is_the_engines_tokens() -> None:
    engine = CountingEngine(share=1.25)
    tighter = await tightened(engine, 1_000, Plan("relevant", 1_000, "r"), room(100_000, set_tokens=1_000))
    assert tighter is not None
    assert await tightened(engine, tighter.budget_tokens, tighter, room(100_000, set_tokens=1_000)) is None
    assert 0.95 * 1_000 <= engine.asked[-1] <= 1.01 * 1_000
    assert "the engine counts" in tighter.reason


@pytest.mark.parametrize(("question", "reading"), [("Who built it?", "relevant"), ("Summarise this.", "overview")])
async def test_all_that_seemed_to_fit_and_does_not_becomes_a_choice_of_it(question: str, reading: str) -> None:
    engine = cast("Engine", CountingEngine(share=1.5))
    tighter = await fitted(engine, request_of(1_000, question), Plan("full", 1_000, "fits"), room(1_300))
    assert tighter is not None
    assert tighter.reading == reading
    assert tighter.budget_tokens < 750


async def test_all_that_was_asked_for_and_does_not_fit_is_refused_with_the_engines_count() -> None:
    engine = CountingEngine(share=1.5)
    with pytest.raises(InvalidRequest) as refused:
        await tightened(engine, 1_000, Plan("full", 1_000, "asked for", is_asked_for=True), room(1_300))
    assert str(engine.asked[0]) in refused.value.message
    assert refused.value.param == "messages"


@pytest.mark.parametrize("reading", ["relevant", "overview"])
async def test_a_reading_that_was_asked_for_stays(reading: ReadingName) -> None:
    plan = Plan(reading, 1_000, "asked for", is_asked_for=True)
    tighter = await tightened(CountingEngine(share=1.5), 1_000, plan, room(1_300))
    assert tighter is not None
    assert tighter.reading == reading


async def test_nobody_is_asked_where_the_count_cannot_matter() -> None:
    plan = Plan("full", 90_000, "fits")
    roomy, quotes = CountingEngine(), CountingEngine(has_own_count=False)
    assert await tightened(roomy, 1_000, plan, room(100_000)) is None
    assert await tightened(quotes, 1_000, plan, room(1_300)) is None
    assert await tightened(roomy, 1_000, replace(plan, reading="thorough"), room(1_300)) is None
    assert not roomy.asked
    assert not quotes.asked


async def test_an_engine_that_cannot_say_is_trusted_to_count_as_we_do() -> None:
    engine = CountingEngine(share=9.0, can_count=False)
    assert await tightened(engine, 1_000, Plan("relevant", 1_000, "r"), room(1_300)) is None


async def test_a_budget_never_falls_under_the_least() -> None:
    tighter = await tightened(CountingEngine(template=50_000), 500, Plan("relevant", 1_000, "r"), room(1_300))
    assert tighter is not None
    assert tighter.budget_tokens == LEAST_BUDGET_TOKENS
