"""What a plan shows of a request's documents: all of them, what bears on the question, what stands for the whole, or notes."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bookwheel.answering import gather as gather_module
from bookwheel.answering.conversation import read_conversation
from bookwheel.answering.digests import Digests
from bookwheel.answering.documents import DocumentDesk, count_documents
from bookwheel.answering.excerpts import find_overview
from bookwheel.answering.gather import SUPPORT_TOKENS, Asked, Gathered, Gathering
from bookwheel.answering.plan import Plan
from bookwheel.files.files import Files
from bookwheel.settings import LimitSettings, ReadingSettings
from bookwheel.storage.blobs import Blobs
from bookwheel.storage.database import Database
from bookwheel.wire.chat import ReadingName
from support.nobody_reads import NobodyReads
from support.note_engine import NoteEngine

HERON = "The heron of Uffington stands on one leg at noon. FACT."
RAIN = [f"Rain fell on day {day} and the mill stood still until evening came." for day in range(150)]
FIRST = "\n".join([*RAIN[:60], HERON, *RAIN[60:120]]) + "\n"
SECOND = "\n".join(RAIN[100:]) + "\n"


@pytest.fixture
async def gathering(tmp_path: Path) -> AsyncIterator[Gathering]:
    database = Database(tmp_path / "test.db")
    database.migrate()
    blobs = Blobs(tmp_path)
    desk = DocumentDesk(Files(database, blobs, LimitSettings()), NobodyReads(), 0.0, LimitSettings())
    yield Gathering(desk, ReadingSettings(), Digests(blobs))
    database.close()


async def asked(*texts: str, question: str = "Where does the heron stand?", earlier: Collection[str] = ()) -> Asked:
    said: list[dict[str, Any]] = [{"role": "system", "content": text} for text in ("Be brief.", *texts)]
    said += [{"role": "user", "content": text} for text in (*earlier, question)]
    conversation = read_conversation(said)
    return Asked("ann", conversation, {}, await count_documents(conversation, {}))


def plan(reading: ReadingName, budget_tokens: int) -> Plan:
    return Plan(reading, budget_tokens, "asked for")


def texts_of(gathered: Gathered) -> list[str]:
    return ["\n".join(excerpt.text for excerpt in document.excerpts) for document in gathered.documents]


async def test_full_shows_every_document_whole_and_in_order(gathering: Gathering) -> None:
    gathered = await gathering.gather(await asked(FIRST, SECOND), plan("full", 10_000), with_anchors=True)
    assert texts_of(gathered) == [FIRST, SECOND]
    assert all(document.is_whole for document in gathered.documents)
    assert gathered.support is None
    assert gathered.anchors[0](FIRST.index("The heron")) == "line 61"


async def test_full_has_anchors_only_where_they_are_needed(gathering: Gathering) -> None:
    gathered = await gathering.gather(await asked(FIRST), plan("full", 10_000), with_anchors=False)
    assert (texts_of(gathered), gathered.anchors) == ([FIRST], ())


async def test_relevant_shows_what_bears_on_the_question_and_how_well_it_does(gathering: Gathering) -> None:
    gathered = await gathering.gather(await asked(FIRST, SECOND), plan("relevant", 300), with_anchors=True)
    assert [document.title for document in gathered.documents] == ["text 1", "text 2"]
    assert HERON in texts_of(gathered)[0]
    assert gathered.support is not None
    excerpts = gathered.documents[0].excerpts
    assert all(FIRST[excerpt.start :].startswith(excerpt.text) for excerpt in excerpts)
    assert gathered.anchors[0](FIRST.index("The heron")) == "line 61"


async def test_a_question_that_the_documents_do_not_hold_has_little_support(gathering: Gathering) -> None:
    held = await gathering.gather(await asked(FIRST), plan("relevant", 300), with_anchors=False)
    unheard = await asked(FIRST, question="Which submarine did Captain Okonkwo scuttle near Valparaíso?")
    strange = await gathering.gather(unheard, plan("relevant", 300), with_anchors=False)
    assert held.support is not None
    assert strange.support is not None
    assert strange.support < held.support


async def test_a_follow_up_is_searched_with_the_question_before_it(gathering: Gathering) -> None:
    follow_up = await asked(FIRST, question="And on which leg?", earlier=["Where does the heron of Uffington stand?"])
    gathered = await gathering.gather(follow_up, plan("relevant", 150), with_anchors=False)
    assert HERON in texts_of(gathered)[0]


async def test_overview_shows_something_of_every_document_and_measures_no_support(gathering: Gathering) -> None:
    gathered = await gathering.gather(await asked(FIRST, SECOND), plan("overview", 400), with_anchors=False)
    assert all(document.excerpts for document in gathered.documents)
    assert gathered.support is None
    assert sum(document.selected_tokens for document in gathered.documents) <= 400


@pytest.mark.parametrize("reading", ["relevant", "overview"])
async def test_some_of_a_larger_budget_is_kept_to_name_the_documents_that_are_not_shown(
    gathering: Gathering, reading: ReadingName
) -> None:
    budget = plan(reading, 2_000)
    shown = await gathering.gather(await asked(FIRST, FIRST.upper()), budget, with_anchors=False)
    assert sum(document.selected_tokens for document in shown.documents) <= 2_000 - budget.listed_tokens


async def test_thorough_shows_the_notes_in_place_of_the_documents(gathering: Gathering) -> None:
    engine, told = NoteEngine(window_tokens=2_000, max_output_tokens=300), list[tuple[int, int, str]]()
    question = await asked(FIRST, SECOND)
    gathered = await gathering.read_thoroughly(
        question, plan("thorough", 1_000), engine, {}, lambda *said: told.append(said)
    )
    assert texts_of(gathered) == [HERON, ""]
    assert gathered.thorough is not None
    assert (gathered.thorough.calls, gathered.thorough.reused, gathered.thorough.unread) == (len(engine.requests), 0, 0)
    assert told[0] == (0, len(engine.requests), "reading")
    assert told[-1] == (len(engine.requests), len(engine.requests), "reading")
    read = json.dumps([request.messages for request in engine.requests])
    assert all(line in read for line in [*RAIN, HERON])


async def test_quotes_for_an_answer_from_notes_come_from_the_documents(gathering: Gathering) -> None:
    gathered = await gathering.gather(await asked(FIRST, SECOND), plan("relevant", 100), with_anchors=True)
    found = await gathering.find_support(gathered.sources, "The heron of Uffington stands on one leg.")
    assert any(HERON in excerpt.text for excerpt in found[0].excerpts)
    assert sum(document.selected_tokens for document in found) <= SUPPORT_TOKENS


class HeldSearch:
    """Searches for overviews that end when they may."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.begun = 0

    def __call__(self, *arguments: Any) -> Any:
        self.begun += 1
        assert self.may_end.wait(60)
        return find_overview(*arguments)


async def test_a_question_that_somebody_waits_for_finds_a_thread_while_a_batch_is_searched_for(
    gathering: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldSearch()
    monkeypatch.setattr(gather_module, "find_overview", held)
    line = replace(await asked(FIRST, SECOND), is_background=True)
    lines = [asyncio.create_task(gathering.gather(line, plan("overview", 400), with_anchors=False)) for _ in range(4)]
    try:
        async with asyncio.timeout(30):
            while not held.begun:
                await asyncio.sleep(0.001)
            for _ in range(5):
                gathered = await gathering.gather(await asked(FIRST), plan("relevant", 300), with_anchors=False)
                await gathering.find_support(gathered.sources, "The heron stands on one leg.")
        assert HERON in texts_of(gathered)[0]
        assert held.begun == 1
    finally:
        held.may_end.set()
    assert len(await asyncio.gather(*lines)) == 4
    await gathering.find_support(gathered.sources, "The heron stands on one leg.", is_background=True)


@pytest.mark.parametrize("is_background", [True, False])
async def test_notes_are_asked_for_in_the_background_where_the_question_is(
    gathering: Gathering, is_background: bool
) -> None:
    engine = NoteEngine(window_tokens=2_000, max_output_tokens=300)
    question = replace(await asked(FIRST, SECOND), is_background=is_background)
    await gathering.read_thoroughly(question, plan("thorough", 1_000), engine, {}, lambda *_: None)
    assert {request.is_background for request in engine.requests} == {is_background}
