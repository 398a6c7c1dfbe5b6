"""An engine that fails for now is asked again, one that thinks too long gets more room, none is asked the same twice."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bookwheel.answering.digests import Digest, Digests
from bookwheel.answering.note_prompts import reading_messages
from bookwheel.answering.scribe import Asked, KeptNotes, Scribe, answer_tokens, gather, note_options
from bookwheel.engines.engine import EngineRequest, whole_document
from bookwheel.errors import ApiError, EngineRefused, EngineTimedOut, EngineUnreachable
from bookwheel.storage.blobs import Blobs
from support.note_engine import Answer, NoteEngine, in_words, markdown_document


async def ask() -> Asked:
    shown = (whole_document("a", "FACT one", 2),)
    return Asked(reading_messages("What?", shown), shown)


def scribe_of(engine: NoteEngine, options: dict[str, Any] | None = None) -> Scribe:
    return Scribe(engine, "What?", options or {}, account_id="ely", concurrency=2, retry_seconds=0.0)


def answers(*said: Answer | ApiError) -> Callable[[EngineRequest], Awaitable[Answer]]:
    """A behaviour that gives these answers in turn, raising what is an error."""
    waiting = list(said)

    async def behave(_: EngineRequest) -> Answer:
        answer = waiting.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    return behave


async def test_it_writes_what_the_engine_says_without_its_chatter() -> None:
    scribe = scribe_of(NoteEngine(answers("<think>12?</think>Here are the notes:\n- Revenue: 12")))
    assert await scribe.write(ask, 100) == Digest("- Revenue: 12")


@pytest.mark.parametrize(
    "error",
    [
        EngineUnreachable("gone"),
        EngineTimedOut("silent"),
        EngineRefused(429, {"message": "slow down"}, "0"),
        EngineRefused(502, {"message": "broke off"}),
    ],
)
async def test_an_error_that_may_pass_is_tried_once_more(error: ApiError) -> None:
    engine = NoteEngine(answers(error, "- a"))
    assert await scribe_of(engine).write(ask, 100) == Digest("- a")
    with pytest.raises(type(error)):
        await scribe_of(NoteEngine(answers(error, error))).write(ask, 100)


@pytest.mark.parametrize("is_background", [True, False])
async def test_whether_somebody_waits_is_said_with_every_call(is_background: bool) -> None:
    engine = NoteEngine(answers(EngineUnreachable("gone"), "- a"))
    scribe = Scribe(
        engine, "What?", {}, account_id="ely", is_background=is_background, concurrency=2, retry_seconds=0.0
    )
    await scribe.write(ask, 100)
    assert [request.is_background for request in engine.requests] == [is_background] * 2


async def test_a_refusal_is_final() -> None:
    engine = NoteEngine(answers(EngineRefused(400, {"message": "no"})))
    with pytest.raises(EngineRefused, match="no"):
        await scribe_of(engine).write(ask, 100)
    assert len(engine.requests) == 1


async def test_an_answer_at_its_limit_is_known_to_be_cut() -> None:
    engine = NoteEngine(answers(in_words("- a", finish_reason="length")))
    assert await scribe_of(engine).write(ask, 100) == Digest("- a", is_cut=True)


async def test_the_line_in_which_an_answer_is_cut_goes_because_half_a_figure_is_a_wrong_one() -> None:
    engine = NoteEngine(answers(in_words("- Cost: 8\n- Revenue: 12", finish_reason="length")))
    assert await scribe_of(engine).write(ask, 100) == Digest("- Cost: 8", is_cut=True)


async def test_an_engine_that_writes_nothing_gives_none() -> None:
    engine = NoteEngine(answers(""))
    assert await scribe_of(engine).write(ask, 100) is None


async def test_an_engine_whose_thoughts_take_it_all_gets_what_there_is_from_then_on() -> None:
    thinking = in_words("<think>Let me see", finish_reason="length")
    engine = NoteEngine(answers(thinking, "- a", "- b"), max_output_tokens=500)
    scribe = scribe_of(engine)
    assert await scribe.write(ask, 100) == Digest("- a")
    assert await scribe.write(ask, 100) == Digest("- b")
    assert [request.options["max_tokens"] for request in engine.requests] == [100, 500, 500]


async def test_an_engine_that_minds_no_limit_is_stopped() -> None:
    engine = NoteEngine(answers("- and so on \n" * 10_000))
    digest = await scribe_of(engine).write(ask, 10)
    assert digest == Digest("- and so on", is_cut=True)
    assert engine.cancelled == 1


async def test_no_more_calls_run_at_once_than_allowed_and_texts_wait_for_their_turn() -> None:
    engine = NoteEngine()
    scribe = scribe_of(engine)
    held = most_held = 0

    async def ask_late() -> Asked:
        nonlocal held, most_held
        held += 1
        most_held = max(most_held, held)
        return await ask()

    async def write() -> None:
        nonlocal held
        await scribe.write(ask_late, 100)
        held -= 1

    await gather(write() for _ in range(10))
    assert engine.most_running == 2
    assert most_held <= 3
    assert scribe.calls == 10


async def test_a_chunk_without_choices_or_text_adds_nothing() -> None:
    odd = [{"choices": []}, {"usage": {}}, {"choices": [{"index": 1, "delta": {"content": "x"}}]}, {"choices": [{}]}]
    assert await scribe_of(NoteEngine(answers([*odd, *in_words("- a")]))).write(ask, 100) == Digest("- a")


def test_options_for_the_final_answer_stay_behind() -> None:
    client = {
        "tools": [{}],
        "response_format": {"type": "json_object"},
        "n": 3,
        "stop": ["a"],
        "temperature": 1.5,
        "seed": 3,
    }
    assert note_options(client, 100) == {"temperature": 0, "max_tokens": 100}
    assert note_options({"max_completion_tokens": 9}, 100) == {"temperature": 0, "max_completion_tokens": 100}


def test_thinking_is_turned_off_where_the_client_spoke_of_it() -> None:
    client = {"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": True, "tone": "dry"}}
    ours = note_options(client, 100)
    assert ours["enable_thinking"] is False
    assert ours["chat_template_kwargs"] == {"enable_thinking": False, "tone": "dry"}


def test_an_answer_never_takes_more_than_a_quarter_of_the_window() -> None:
    assert answer_tokens(NoteEngine(window_tokens=1_000, max_output_tokens=500)) == 250
    assert answer_tokens(NoteEngine(window_tokens=100_000, max_output_tokens=500)) == 500


async def test_what_was_written_once_is_not_written_again(tmp_path: Path) -> None:
    document = markdown_document(tmp_path, "a.md", "FACT one")
    made = 0

    async def make() -> Digest:
        nonlocal made
        made += 1
        return Digest(f"- {made}")

    digests = Digests(Blobs(tmp_path / "data"))
    first = KeptNotes(digests, "model", "What  was IT？")
    assert await first.get([document], [0, 8], make) == Digest("- 1")
    same = KeptNotes(digests, "model", "what was it?")
    assert await same.get([document], [0, 8], make) == Digest("- 1")
    assert (first.reused, same.reused) == (0, 1)
    for other, span in (
        (KeptNotes(digests, "model", "Who?"), 8),
        (KeptNotes(digests, "larger", "what was it?"), 8),
        (same, 9),
    ):
        assert await other.get([document], [0, span], make) != Digest("- 1")


async def test_what_was_not_written_is_asked_for_anew(tmp_path: Path) -> None:
    document = markdown_document(tmp_path, "a.md", "FACT one")
    kept = KeptNotes(Digests(Blobs(tmp_path / "data")), "model", "What?")

    async def make_nothing() -> None:
        return None

    async def make() -> Digest:
        return Digest("- a")

    assert await kept.get([document], [0], make_nothing) is None
    assert await kept.get([document], [0], make) == Digest("- a")


async def test_the_first_error_ends_the_others_and_comes_through_as_it_is() -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise EngineTimedOut("silent")

    with pytest.raises(EngineTimedOut):
        await gather([wait(), fail()])
    assert ended.is_set()
