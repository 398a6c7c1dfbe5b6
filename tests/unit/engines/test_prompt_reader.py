"""What is read for a question and what is not, over a stand-in for llama.cpp's slots; what happens when keeping fails.

The real slots are asked in tests/integration/test_llama_cpp_cache.py.
"""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from bookwheel.engines.engine import EngineRequest, ShownDocument, whole_document
from bookwheel.engines.llama_calls import CallRefused, LlamaCalls, Reading
from bookwheel.engines.prompt_reader import PromptReader
from bookwheel.errors import EngineUnreachable
from support.llama_slots import GONE, TIDES, ReadingDesk, StandIn, asked, prefix


@pytest.fixture
async def desk(tmp_path: Path) -> ReadingDesk:
    desk = ReadingDesk(tmp_path)
    await desk.states.open(lambda _: True)
    return desk


async def test_a_first_question_has_its_documents_read_ahead_and_kept(desk: ReadingDesk) -> None:
    _, ahead = await desk.ask()
    assert ahead == Reading(len(prefix()), 5.0)
    assert desk.did() == ["read", "save"]
    (state,) = desk.folder.glob("*.state")
    assert state.read_text() == prefix()


async def test_a_second_question_finds_them_in_the_slot(desk: ReadingDesk) -> None:
    slot, _ = await desk.ask()
    await desk.ask("Something else?", text="The moon. " * 50, file_id="file-2")
    desk.did()
    assert await desk.ask("How low?") == (slot, Reading())
    assert desk.did() == []


async def test_a_question_after_a_restart_finds_them_on_disk(desk: ReadingDesk) -> None:
    await desk.ask()
    desk.restart()
    slot, ahead = await desk.ask("How low?")
    assert ahead == Reading()
    assert desk.did() == ["restore"]
    assert desk.calls.slots[slot].startswith(prefix())


async def test_what_was_pushed_out_of_its_slot_is_found_on_disk(desk: ReadingDesk) -> None:
    for number in range(3):
        await desk.ask(text=f"{number} {TIDES}", file_id=f"file-{number}")
    desk.did()
    await desk.ask(text=f"0 {TIDES}", file_id="file-0")
    assert desk.did() == ["restore"]


async def test_documents_that_came_later_are_read_on_from_the_first(desk: ReadingDesk) -> None:
    await desk.ask()
    desk.restart()
    later = "The moon. " * 50
    messages = [*asked().messages, {"role": "user", "content": f"<document>{later}</document>\n\nAnd now?"}]
    shown = (whole_document("a", TIDES, 300, "file-1"), whole_document("b", later, 300, "file-2"))
    request = EngineRequest(messages, {}, "And now?", shown, account_id="ely")
    async with desk.reader.prepared(request) as prepared:
        assert desk.did() == ["restore", "read", "save"]
        assert 0 < prepared.ahead.tokens < len(later) + 100
    assert desk.kept() == 2
    await desk.states.forget("file-2")
    assert desk.kept() == 1


@pytest.mark.parametrize("fields", [{"file_id": None}, {"documents": ()}, {"cache_prompt": False}])
async def test_what_is_not_worth_keeping_is_asked_at_once(desk: ReadingDesk, fields: Any) -> None:
    _, ahead = await desk.ask(**fields)
    assert ahead == Reading()
    assert desk.did() == []
    assert desk.kept() == 0


async def test_without_a_disk_to_keep_states_on_nothing_is_read_ahead(tmp_path: Path) -> None:
    calls = StandIn(tmp_path)
    async with PromptReader(cast("LlamaCalls", calls), 2, None).prepared(asked()) as prepared:
        assert prepared.ahead == Reading()
    assert calls.did == []


async def test_a_short_prefix_is_not_read_ahead(desk: ReadingDesk) -> None:
    await desk.ask(text="Short.")
    assert desk.did() == []


async def test_a_question_without_documents_leaves_no_others_in_its_slot(desk: ReadingDesk) -> None:
    for number in range(2):
        await desk.ask(text=f"{number} {TIDES}")
    desk.did()
    await desk.ask(text="", documents=())  # it takes the slot of the first
    await desk.ask(text=f"0 {TIDES}")
    assert desk.did() == ["restore"]


# Side by side


async def test_two_first_questions_at_once_have_a_document_read_once(desk: ReadingDesk) -> None:
    release = desk.calls.holds["read"] = asyncio.Event()
    asking = [asyncio.create_task(desk.ask(question)) for question in ("How high?", "How low?")]
    await desk.calls.begun.wait()
    while desk.did() != ["read"]:
        await asyncio.sleep(0)
    release.set()
    answered = await asyncio.gather(*asking)
    assert {slot for slot, _ in answered} == {0, 1}
    assert sorted(ahead.tokens for _, ahead in answered) == [0, len(prefix())]
    assert desk.did() == ["save", "restore"]


async def test_the_second_reads_for_itself_where_the_first_went_away(desk: ReadingDesk) -> None:
    release = desk.calls.holds["read"] = asyncio.Event()
    first, second = asyncio.create_task(desk.ask()), asyncio.create_task(desk.ask("How low?"))
    while "read" not in desk.calls.did:
        await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert (await second)[1].tokens == len(prefix())
    assert desk.kept() == 1


async def test_several_answers_get_all_slots(desk: ReadingDesk) -> None:
    await desk.ask(text=f"0 {TIDES}")
    async with desk.reader.prepared(asked(n=2)):
        waiting = asyncio.create_task(desk.ask("How low?"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    await waiting
    desk.did()
    await desk.ask(text=f"0 {TIDES}")  # what its slot held was cleared for the further answer, or pushed out
    assert desk.did() == ["restore"]


# Accounts


async def test_accounts_share_neither_slots_nor_states(desk: ReadingDesk) -> None:
    await desk.ask(account_id="ely")
    await desk.ask(account_id="ely", text="1" + TIDES)
    desk.did()
    _, ahead = await desk.ask(account_id="york")
    assert ahead.tokens == len(prefix())
    assert desk.did() == ["erase", "read", "save"]
    assert desk.kept() == 3


async def test_a_slot_that_cannot_be_erased_is_not_given_to_another_account(desk: ReadingDesk) -> None:
    for number in range(2):
        await desk.ask(text=f"{number} {TIDES}")
    desk.calls.fails["erase"] = GONE
    with pytest.raises(EngineUnreachable):
        await desk.ask(account_id="york")
    assert await desk.ask(text=f"0 {TIDES}") == (0, Reading())


# What fails


async def test_a_template_that_refuses_leaves_the_word_to_the_engine(desk: ReadingDesk) -> None:
    desk.calls.fails["render"] = CallRefused("tools are not a list")
    async with desk.reader.prepared(asked()) as prepared:
        assert prepared.ahead == Reading()
    assert desk.did() == []


async def test_what_cannot_be_read_ahead_is_asked_all_the_same(desk: ReadingDesk) -> None:
    desk.calls.fails["read"] = CallRefused("exceeds the context")
    assert (await desk.ask())[1] == Reading()
    del desk.calls.fails["read"]
    assert (await desk.ask())[1].tokens < len(prefix())  # it holds them, without having been told to
    assert desk.did() == ["read", "read", "save"]


@pytest.mark.parametrize("error", [CallRefused("disk full"), GONE])
async def test_what_cannot_be_saved_is_asked_all_the_same(desk: ReadingDesk, error: Exception) -> None:
    desk.calls.fails["save"] = error
    assert (await desk.ask())[1].tokens == len(prefix())
    assert list(desk.folder.iterdir()) == []


async def test_a_state_of_something_else_is_not_kept(desk: ReadingDesk) -> None:
    desk.calls.saved_tokens = 3
    await desk.ask()
    assert list(desk.folder.iterdir()) == []


async def test_a_state_that_is_not_taken_is_removed_and_read_anew(desk: ReadingDesk) -> None:
    await desk.ask()
    desk.restart()
    desk.calls.fails["restore"] = CallRefused("invalid slot save file")
    assert (await desk.ask())[1].tokens == len(prefix())
    assert desk.did() == ["restore", "erase", "read", "save"]


async def test_a_state_that_gives_other_tokens_than_it_had_is_removed_and_read_anew(desk: ReadingDesk) -> None:
    await desk.ask()
    desk.restart()
    (state,) = desk.folder.glob("*.state")
    (label,) = desk.folder.glob("*.json")
    label.write_text(label.read_text().replace(f'"tokens":{len(prefix())}', '"tokens":3'))
    await desk.states.open(lambda _: True)
    assert (await desk.ask())[1].tokens == len(prefix())
    assert desk.did() == ["restore", "erase", "read", "save"]
    assert state.exists()


@pytest.mark.parametrize("call", ["render", "read", "restore"])
async def test_a_child_that_is_gone_is_the_questions_error_and_frees_the_slot(desk: ReadingDesk, call: str) -> None:
    if call == "restore":
        await desk.ask()
        desk.restart()
    desk.calls.fails[call] = GONE
    for _ in range(5):
        with pytest.raises(EngineUnreachable):
            await desk.ask()
    del desk.calls.fails[call]
    await desk.ask()


# Clients that leave


@pytest.mark.parametrize("call", ["render", "read", "restore"])
async def test_who_leaves_frees_the_slot(desk: ReadingDesk, call: str) -> None:
    if call == "restore":
        await desk.ask()
        desk.restart()
    for _ in range(5):
        desk.calls.begun.clear()
        desk.calls.holds[call] = asyncio.Event()
        asking = asyncio.create_task(desk.ask())
        while call not in desk.calls.did:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        desk.did()
    del desk.calls.holds[call]
    await asyncio.gather(desk.ask(), desk.ask("How low?"))
    assert desk.kept() == 1


async def test_a_state_that_is_being_saved_is_saved_before_its_slot_is_free(desk: ReadingDesk) -> None:
    release = desk.calls.holds["save"] = asyncio.Event()
    asking = asyncio.create_task(desk.ask())
    while "save" not in desk.calls.did:
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(0.01)
    assert not asking.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert desk.kept() == 1


# Files that are deleted


async def test_a_slot_is_erased_when_a_file_in_it_goes(desk: ReadingDesk) -> None:
    slot, _ = await desk.ask()
    other, _ = await desk.ask(text="The moon. " * 50, file_id="file-2")
    desk.did()
    await desk.forget("file-1")
    assert desk.did() == ["erase"]
    assert (desk.calls.slots[slot], bool(desk.calls.slots[other])) == ("", True)
    await desk.forget("file-1")
    assert desk.did() == []


async def test_a_slot_that_answers_when_its_file_goes_is_erased_afterwards(desk: ReadingDesk) -> None:
    async with desk.reader.prepared(asked()) as prepared:
        desk.did()
        await desk.forget("file-1")
        assert desk.did() == []
    assert desk.did() == ["erase"]
    assert desk.calls.slots[prepared.slot] == ""


async def test_a_question_that_came_before_its_file_went_leaves_nothing(desk: ReadingDesk) -> None:
    release = desk.calls.holds["render"] = asyncio.Event()
    asking = asyncio.create_task(desk.ask())
    await desk.calls.begun.wait()
    await desk.states.forget("file-1")
    await desk.forget("file-1")
    release.set()
    slot, _ = await asking
    assert desk.calls.slots[slot] == ""
    assert desk.kept() == 0


async def test_excerpts_of_a_file_that_goes_are_erased_too(desk: ReadingDesk) -> None:
    shown = ShownDocument("a", (), 90_000, 2_000, "file-1")
    slot, _ = await desk.ask(documents=(shown,))
    await desk.forget("file-1")
    assert desk.calls.slots[slot] == ""


async def test_what_was_pushed_out_of_a_slot_is_no_reason_to_erase_it(desk: ReadingDesk) -> None:
    for number in range(3):
        await desk.ask(text=f"{number} {TIDES}", file_id=f"file-{number}")
    desk.did()
    await desk.forget("file-0")
    assert desk.did() == []


async def test_a_slot_that_is_being_erased_is_given_to_nobody(desk: ReadingDesk) -> None:
    await desk.ask(n=2)
    release = desk.calls.holds["erase"] = asyncio.Event()
    await desk.forget("file-1")
    waiting = asyncio.create_task(desk.ask(n=2, file_id="file-2"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    release.set()
    await waiting


async def test_a_child_that_is_gone_has_nothing_to_erase(desk: ReadingDesk) -> None:
    await desk.ask()
    desk.calls.fails["erase"] = GONE
    await desk.forget("file-1")
    del desk.calls.fails["erase"]
    await asyncio.gather(desk.ask(), desk.ask("How low?"))
