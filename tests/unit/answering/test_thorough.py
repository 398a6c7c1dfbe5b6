"""Every part of every document comes before the engine with the question; what it notes comes back in order and in size."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bookwheel.answering.digests import Digests
from bookwheel.answering.notes import Notes
from bookwheel.answering.parts import Part, ReadableDocument
from bookwheel.answering.thorough import (
    GOOD_ROOM_TOKENS,
    Inquiry,
    ThoroughLimits,
    can_read_thoroughly,
    plan_thorough,
    read_thoroughly,
)
from bookwheel.engines.engine import EngineRequest
from bookwheel.engines.extractive import ExtractiveEngine
from bookwheel.engines.fake import FakeEngine
from bookwheel.errors import EngineRefused, EngineUnreachable, InvalidRequest
from bookwheel.storage.blobs import Blobs
from bookwheel.tokens import count_tokens
from support.note_engine import NoteEngine, asked_of, in_words, markdown_document, note_facts

QUESTION = "Which facts are there?"


class Desk:
    """Documents on disk, and readings of them. `said` is the progress that was told."""

    def __init__(self, folder: Path) -> None:
        self.blobs = Blobs(folder)
        self.digests = Digests(self.blobs)
        self.documents: list[ReadableDocument] = []
        self.said: list[tuple[int, int, str]] = []

    def file(self, title: str, text: str, *, inline: bool = False) -> None:
        folder = self.blobs.path(f"file-fe-{title}", "text").parent
        folder.mkdir(parents=True)
        self.documents.append(markdown_document(folder, title, text, None if inline else f"file-fe-{title}"))

    async def read(
        self, engine: Any, question: str = QUESTION, *, options: dict[str, Any] | None = None, **limits: Any
    ) -> Notes:
        self.said.clear()
        return await read_thoroughly(
            engine,
            Inquiry(question, "ely", options or {}),
            self.documents,
            model="model",
            limits=ThoroughLimits(**{"budget_tokens": 2_000, "retry_seconds": 0.0} | limits),
            digests=self.digests,
            say=lambda done, total, stage: self.said.append((done, total, stage)),
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def book(chapters: int, fact_in: Sequence[int] = (), sentences: int = 60) -> str:
    prose = "It was many days ago that the grey ship had left the harbour for good.\n\n"
    facts = {number: f"FACT number {number} is that the ship carried {number} barrels.\n\n" for number in fact_in}
    return "".join(f"# Chapter {n}\n\n{prose * sentences}{facts.get(n, '')}" for n in range(chapters))


async def test_a_fact_in_any_part_comes_back_under_its_document_and_place(desk: Desk) -> None:
    desk.file("a.md", book(12, [0, 5, 11]))
    desk.file("b.md", book(6, [3]))
    engine = NoteEngine()
    notes = await desk.read(engine)
    assert [note.title for note in notes.notes] == ["a.md", "a.md", "a.md", "b.md"]
    assert all(note.text.startswith("FACT number") and note.anchors.startswith("line") for note in notes.notes)
    assert notes.text.startswith("## a.md\n(line 1 to line ")
    assert notes.tokens == count_tokens(notes.text)
    assert (notes.coverage, notes.unread, notes.is_trimmed) == (1.0, (), False)
    assert notes.calls == len(engine.requests) == len(notes.parts) > 4


async def test_the_engine_sees_all_of_the_text_and_never_more_than_its_window(desk: Desk) -> None:
    desk.file("a.md", book(12))
    engine = NoteEngine(window_tokens=3_000)
    await desk.read(engine)
    shown = "".join(excerpt.text for request in engine.requests for d in request.documents for excerpt in d.excerpts)
    assert shown.count("It was many days ago") == 12 * 60
    for request in engine.requests:
        asked = sum(count_tokens(message["content"]) for message in request.messages)
        assert asked + request.options["max_tokens"] <= 3_000


async def test_documents_without_anything_give_no_notes(desk: Desk) -> None:
    desk.file("a.md", book(3))
    notes = await desk.read(NoteEngine())
    assert (notes.text, notes.tokens, notes.notes, notes.coverage) == ("", 0, (), 1.0)


async def test_small_documents_share_calls_and_their_notes_are_told_apart(desk: Desk) -> None:
    for number in range(20):
        desk.file(f"{number:02}.md", f"# Letter\n\nFACT {number}.\n" if number % 2 else "# Letter\n\nNothing.\n")
    engine = NoteEngine()
    notes = await desk.read(engine)
    assert len(engine.requests) == 2
    assert [(note.title, note.text) for note in notes.notes] == [(f"{n:02}.md", f"FACT {n}.") for n in range(1, 20, 2)]


async def test_notes_on_several_documents_that_are_not_marked_name_them_all(desk: Desk) -> None:
    desk.file("a.md", "One.")
    desk.file("b.md", "Two.")

    async def say(_: EngineRequest) -> str:
        return "- Both say a number."

    notes = await desk.read(NoteEngine(say))
    assert notes.text == "## a.md; b.md\n- Both say a number."


async def test_unmarked_notes_go_to_the_documents_whose_words_they_have(desk: Desk) -> None:
    desk.file("a.md", "The ship Ida carried twelve barrels of wine.")
    desk.file("b.md", "The ship Eva carried coal to Kiel.")

    async def say(_: EngineRequest) -> str:
        return "- Eva went to Kiel\n- Both carried something\n- Ida had wine"

    notes = await desk.read(NoteEngine(say))
    assert [(note.title, note.text) for note in notes.notes] == [
        ("a.md; b.md", "- Both carried something"),
        ("a.md", "- Ida had wine"),
        ("b.md", "- Eva went to Kiel"),
    ]


async def test_documents_that_a_cut_answer_did_not_come_to_are_read_again(desk: Desk) -> None:
    for number in range(4):
        desk.file(f"{number}.md", f"FACT {number}.")

    async def cut_after_two(request: EngineRequest) -> Any:
        lines = (await note_facts(request)).splitlines()
        return in_words("\n".join(lines[:4]), "length" if len(lines) > 4 else "stop")

    engine = NoteEngine(cut_after_two)
    notes = await desk.read(engine)
    assert [note.text for note in notes.notes] == [f"FACT {n}." for n in range(4)]
    assert len(engine.requests) == 3, "the line that was cut may belong to the second"


async def test_progress_goes_from_nothing_to_all_of_the_parts(desk: Desk) -> None:
    desk.file("a.md", book(8))
    notes = await desk.read(NoteEngine())
    total = len(notes.parts)
    assert desk.said == [(done, total, "reading") for done in range(total + 1)]


async def test_no_more_calls_run_at_once_than_allowed(desk: Desk) -> None:
    desk.file("a.md", book(20))
    engine = NoteEngine(window_tokens=2_000)
    await desk.read(engine, concurrency=3)
    assert engine.most_running == 3


async def test_the_same_question_is_not_read_for_twice(desk: Desk) -> None:
    desk.file("a.md", book(8, [2, 4]))
    desk.file("b.md", "FACT of a small file.")
    desk.file("c.md", "FACT of a text that was given.", inline=True)
    engine = NoteEngine()
    first = await desk.read(engine)
    second = await desk.read(engine, "  which facts ARE there？ ")
    assert (second.text, second.calls) == (first.text, 0)
    assert second.reused == first.calls > 2
    assert (await desk.read(engine, "Which ships?")).reused == 0


async def test_after_a_restart_the_notes_on_files_are_still_there(desk: Desk) -> None:
    desk.file("a.md", book(8, [2, 4]))
    first = await desk.read(NoteEngine())
    desk.digests = Digests(desk.blobs)
    second = await desk.read(NoteEngine())
    assert (second.text, second.calls) == (first.text, 0)


async def test_merged_notes_are_kept_too(desk: Desk) -> None:
    desk.file("a.md", book(30, range(30)))
    engine = NoteEngine(shorten)
    first = await desk.read(engine, budget_tokens=500)
    desk.digests = Digests(desk.blobs)
    second = await desk.read(engine, budget_tokens=500)
    assert "merging" in {stage for _, _, stage in desk.said}
    assert (second.text, second.calls) == (first.text, 0)


async def shorten(request: EngineRequest) -> Any:
    """Take long notes, and shorten notes to a third of their words, under their marks."""
    facts = await note_facts(request)
    if "Shorten" not in request.messages[0]["content"]:
        return "NONE" if facts == "NONE" else facts + " And so on, at length, as was told in many words." * 4
    lines = facts.splitlines()
    return "\n".join(
        line if line.startswith("[D") else " ".join(line.split()[: len(line.split()) // 3]) for line in lines
    )


async def test_notes_over_the_budget_are_merged_and_stay_in_order_under_their_places(desk: Desk) -> None:
    desk.file("a.md", book(20, range(20)))
    desk.file("b.md", book(10, range(10)))
    engine = NoteEngine(shorten)
    full = await desk.read(engine, budget_tokens=100_000)
    merged = await desk.read(engine, budget_tokens=full.tokens * 2 // 3)
    assert merged.tokens <= full.tokens * 2 // 3
    assert [(note.title, note.anchors) for note in merged.notes] == [(note.title, note.anchors) for note in full.notes]
    assert not merged.is_trimmed
    assert desk.said[-1][2] == "merging"
    assert desk.said[-1][0] == desk.said[-1][1]


async def test_merging_asks_for_no_more_than_fits_the_window(desk: Desk) -> None:
    desk.file("a.md", book(30, range(30)))
    engine = NoteEngine(shorten, window_tokens=1_500, max_output_tokens=300)
    await desk.read(engine, budget_tokens=300)
    for request in engine.requests:
        asked = sum(count_tokens(message["content"]) for message in request.messages)
        assert asked + request.options["max_tokens"] <= 1_500


@pytest.mark.parametrize("answer", ["same", "NONE", "", "longer"])
async def test_an_engine_that_does_not_shorten_has_its_notes_trimmed(desk: Desk, answer: str) -> None:
    desk.file("a.md", book(20, range(20)))

    async def behave(request: EngineRequest) -> str:
        facts = await note_facts(request)
        if "Shorten" not in request.messages[0]["content"] or answer == "same":
            return facts
        return facts + " and more" * 500 if answer == "longer" else answer

    notes = await desk.read(NoteEngine(behave), budget_tokens=200)
    assert notes.is_trimmed
    assert 0 < notes.tokens <= 200
    assert sum(stage == "merging" and done == 0 for done, _, stage in desk.said) == 1


async def test_merging_that_is_cut_loses_no_note_that_it_did_not_come_to(desk: Desk) -> None:
    desk.file("a.md", book(20, range(20)))

    async def cut_in_second(request: EngineRequest) -> Any:
        if "Shorten" in request.messages[0]["content"]:
            return in_words("[D1]\nshorter\n[D2]\nshor", "length")
        return await note_facts(request)

    whole = await desk.read(NoteEngine(cut_in_second), budget_tokens=10_000)
    merged = await desk.read(NoteEngine(cut_in_second), budget_tokens=whole.tokens - 1)
    assert [note.anchors for note in merged.notes] == [note.anchors for note in whole.notes]
    assert merged.notes[0].text == "shorter"
    assert merged.notes[1].text == whole.notes[1].text


async def test_merging_that_fails_leaves_what_was_read(desk: Desk) -> None:
    desk.file("a.md", book(20, range(20)))

    async def behave(request: EngineRequest) -> str:
        if "Shorten" in request.messages[0]["content"]:
            raise EngineUnreachable("gone")
        return await note_facts(request)

    notes = await desk.read(NoteEngine(behave), budget_tokens=200)
    assert "FACT" in notes.text
    assert notes.tokens <= 200


async def test_a_part_that_the_engine_refuses_is_named_and_the_rest_is_read(desk: Desk) -> None:
    desk.file("a.md", book(30, [3, 25]))

    async def refuse_one(request: EngineRequest) -> str:
        if "FACT number 25" in asked_of(request):
            raise EngineRefused(400, {"message": "inappropriate content"})
        return await note_facts(request)

    notes = await desk.read(NoteEngine(refuse_one, window_tokens=2_500))
    [unread] = notes.unread
    assert notes.text.endswith(f"Could not be read: a.md ({unread.anchors})")
    assert "FACT number 3" in notes.text
    assert 0.9 <= notes.coverage < 1


async def test_a_document_that_the_engine_refuses_is_told_from_those_that_share_its_call(desk: Desk) -> None:
    desk.file("long.md", book(12))
    for number in range(4):
        desk.file(f"{number}.md", f"FACT {number}.")

    async def refuse_one(request: EngineRequest) -> str:
        if "FACT 2" in asked_of(request):
            raise EngineRefused(400, {"message": "inappropriate content"})
        return await note_facts(request)

    notes = await desk.read(NoteEngine(refuse_one))
    assert [part.title for part in notes.unread] == ["2.md"]
    assert [note.title for note in notes.notes] == ["0.md", "1.md", "3.md"]


async def test_an_engine_that_counts_more_tokens_than_we_do_gets_smaller_parts(desk: Desk) -> None:
    desk.file("a.md", book(12, [1, 7]))

    async def refuse_long(request: EngineRequest) -> str:
        if count_tokens(asked_of(request)) > 1_200:
            raise EngineRefused(400, {"message": "maximum context length"})
        return await note_facts(request)

    notes = await desk.read(NoteEngine(refuse_long))
    assert notes.coverage == 1
    assert [note.text.split(" is ")[0] for note in notes.notes] == ["FACT number 1", "FACT number 7"]


async def test_a_part_with_more_to_note_than_fits_is_read_in_halves(desk: Desk) -> None:
    desk.file("a.md", book(4, range(4), sentences=30))

    async def limited(request: EngineRequest) -> Any:
        facts = (await note_facts(request)).splitlines()
        return in_words("\n".join(facts[:2]) + "\n- cut", "length") if len(facts) > 2 else "\n".join(facts)

    engine = NoteEngine(limited, max_output_tokens=50)
    notes = await desk.read(engine)
    assert [note.text.count("FACT") for note in notes.notes] == [2, 2]
    assert (await desk.read(engine)).calls == 0


async def test_an_engine_that_is_gone_fails_the_reading_and_ends_it_early(desk: Desk) -> None:
    desk.file("a.md", book(40))

    async def gone(_: EngineRequest) -> str:
        raise EngineUnreachable("The engine scribe broke off.")

    engine = NoteEngine(gone, window_tokens=2_000)
    with pytest.raises(EngineUnreachable, match="broke off"):
        await desk.read(engine)
    assert len(engine.requests) < 20
    assert engine.running == 0


async def test_an_engine_that_never_writes_anything_fails_the_reading(desk: Desk) -> None:
    desk.file("a.md", book(8))

    async def say_nothing(_: EngineRequest) -> str:
        return ""

    with pytest.raises(EngineUnreachable, match="wrote no notes"):
        await desk.read(NoteEngine(say_nothing))


async def test_what_the_reading_of_a_text_raises_ends_it(desk: Desk) -> None:
    desk.file("a.md", book(8))

    async def deleted(_: Part) -> str:
        raise InvalidRequest("File [id:file-fe-a.md] cannot be found.")

    whole = desk.documents[0]
    desk.documents = [ReadableDocument(whole.title, whole.key, whole.pieces, deleted, whole.file_id)]
    with pytest.raises(InvalidRequest, match="cannot be found"):
        await desk.read(NoteEngine())


async def test_cancelling_the_reading_cancels_every_call_and_leaves_no_task(desk: Desk) -> None:
    desk.file("a.md", book(20))
    all_running = asyncio.Event()
    engine = NoteEngine(window_tokens=2_000)

    async def hang(_: EngineRequest) -> str:
        if engine.running == 3:
            all_running.set()
        await asyncio.Event().wait()
        raise AssertionError

    engine.behave = hang
    tasks = asyncio.all_tasks()
    reading = asyncio.create_task(desk.read(engine, concurrency=3))
    await all_running.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (engine.cancelled, engine.running, len(engine.requests)) == (3, 0, 3)
    assert asyncio.all_tasks() == tasks


async def test_a_file_that_is_deleted_meanwhile_leaves_nothing(desk: Desk) -> None:
    desk.file("a.md", book(8, [1]))
    file_id = desk.documents[0].file_id
    assert file_id is not None

    async def delete_first(request: EngineRequest) -> str:
        desk.digests.forget(file_id)
        await desk.blobs.delete(file_id)
        return await note_facts(request)

    notes = await desk.read(NoteEngine(delete_first))
    assert "FACT number 1" in notes.text
    assert not desk.blobs.path(file_id, "text").parent.exists()


def test_too_many_parts_are_refused_with_what_to_do(desk: Desk) -> None:
    desk.file("a.md", book(40))
    with pytest.raises(InvalidRequest, match=r"takes (\d+) calls .* at most in each; 5 are allowed\. Name fewer files"):
        plan_thorough(NoteEngine(window_tokens=2_000), QUESTION, desk.documents, most_parts=5)


def test_a_large_window_is_used_to_the_full_only_where_parts_would_be_too_many(desk: Desk) -> None:
    desk.file("a.md", book(40))
    large = NoteEngine(window_tokens=1_000_000)
    assert plan_thorough(large, QUESTION, desk.documents).room_tokens == GOOD_ROOM_TOKENS
    assert len(plan_thorough(large, QUESTION, desk.documents, most_parts=2).calls) == 2
    assert len(plan_thorough(large, QUESTION, desk.documents, most_parts=1).calls) == 1


def test_a_question_that_fills_the_window_is_refused(desk: Desk) -> None:
    desk.file("a.md", "FACT.")
    with pytest.raises(InvalidRequest, match="leaves no room"):
        plan_thorough(NoteEngine(window_tokens=2_000), "What? " * 900, desk.documents)


async def test_a_chinese_question_is_asked_in_chinese(desk: Desk) -> None:
    desk.file("a.md", "# 第一章\n\nFACT 船上有十二桶酒。\n")
    engine = NoteEngine()
    notes = await desk.read(engine, "船上有什么？")
    assert "FACT 船上有十二桶酒。" in notes.text
    assert "只写：无" in engine.requests[0].messages[0]["content"]


async def test_no_documents_take_no_calls(desk: Desk) -> None:
    notes = await desk.read(NoteEngine())
    assert (notes.text, notes.calls) == ("", 0)


def test_only_engines_that_read_prompts_can_read_thoroughly() -> None:
    assert can_read_thoroughly(FakeEngine("fake", window_tokens=4_000, max_output_tokens=100))
    assert not can_read_thoroughly(ExtractiveEngine("quotes", window_tokens=4_000, max_output_tokens=100))
