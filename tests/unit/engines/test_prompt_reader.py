"""What is read for a question and what is not, over a stand-in for llama.cpp's slots; what happens when keeping fails.

The real slots are asked in tests/integration/test_llama_cpp.py.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from bookwheel.engines.engine import EngineRequest, Message, ShownDocument, whole_document
from bookwheel.engines.llama_calls import CallRefused, LlamaCalls, Reading
from bookwheel.engines.prompt_reader import UNSURE_TOKENS, KeptStates, PromptReader
from bookwheel.engines.prompt_states import PromptStates
from bookwheel.errors import EngineUnreachable

TIDES = "The tide at Dover rises 6.7 metres in spring. " * 10
GONE = EngineUnreachable("The engine mill broke off.")


@dataclass
class StandIn:
    """Slots that hold characters for tokens, and write them to files. `fails` has a call raise, `holds` has one wait."""

    folder: Path
    slots: dict[int, str] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    holds: dict[str, asyncio.Event] = field(default_factory=dict)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    saved_tokens: int | None = None

    async def render(self, body: dict[str, Any]) -> str:
        await self._do("render")
        return "".join(f"<{message['role']}>{message['content']}" for message in body["messages"])

    async def tokenize(self, prompt: str) -> list[int]:
        return [ord(character) for character in prompt]

    async def read(self, slot: int, tokens: Sequence[int]) -> Reading:
        await self._do("read")
        text = "".join(map(chr, tokens))
        held = self.slots.get(slot, "")
        common = next(
            (n for n, (a, b) in enumerate(zip(held, text, strict=False)) if a != b), min(len(held), len(text))
        )
        self.slots[slot] = text
        return Reading(len(text) - common, 5.0)

    async def save(self, slot: int, filename: str) -> int:
        await self._do("save")
        (self.folder / filename).write_text(self.slots[slot])
        return len(self.slots[slot]) if self.saved_tokens is None else self.saved_tokens

    async def restore(self, slot: int, filename: str) -> int:
        self.slots[slot] = ""
        await self._do("restore")
        self.slots[slot] = (self.folder / filename).read_text()
        return len(self.slots[slot])

    async def erase(self, slot: int) -> None:
        await self._do("erase")
        self.slots[slot] = ""

    async def _do(self, name: str) -> None:
        self.did.append(name)
        self.begun.set()
        if name in self.holds:
            await self.holds[name].wait()
        if name in self.fails:
            raise self.fails[name]


class Desk:
    """A reader over a stand-in, and the states on disk that outlive both."""

    def __init__(self, folder: Path, slots: int = 2) -> None:
        self.states = PromptStates(folder, "mill 1", 1_000_000)
        self.folder = folder
        self._slots = slots
        self.restart()

    def restart(self) -> None:
        """As when the child died: the slots are empty."""
        self.calls = StandIn(self.folder)
        self.reader = PromptReader(
            cast("LlamaCalls", self.calls), self._slots, KeptStates(self.states, "mill 1 4096", 1)
        )

    async def ask(self, question: str = "How high?", **fields: Any) -> tuple[int, Reading]:
        """Ask, and have the slot hold the question too, as the server does; the slot and what was read ahead."""
        request = asked(question, **fields)
        async with self.reader.prepared(request) as prepared:
            self.calls.slots[prepared.slot] = await self.calls.render({"messages": request.messages})
        return prepared.slot, prepared.ahead

    async def forget(self, file_id: str) -> None:
        """Delete a file, and let what is to be erased for it be erased."""
        self.reader.forget(file_id)
        for _ in range(5):
            await asyncio.sleep(0)

    def did(self) -> list[str]:
        """What the slots were told since the last time, templates apart."""
        did = [name for name in self.calls.did if name != "render"]
        self.calls.did.clear()
        return did

    def kept(self) -> int:
        """States on disk."""
        return len(list(self.folder.glob("*.state")))


def asked(
    question: str = "How high?",
    text: str = TIDES,
    account_id: str = "ely",
    file_id: str | None = "file-1",
    documents: tuple[ShownDocument, ...] | None = None,
    **options: Any,
) -> EngineRequest:
    system: Message = {"role": "system", "content": f"Read.\n<document>{text}</document>"}
    shown = (whole_document("a.txt", text, 300, file_id),) if documents is None else documents
    return EngineRequest(
        [system, {"role": "user", "content": question}], options, question, shown, account_id=account_id
    )


def prefix(text: str = TIDES) -> str:
    """What is read ahead of a question."""
    return f"<system>Read.\n<document>{text}</document>"[:-UNSURE_TOKENS]


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    await desk.states.open(lambda _: True)
    return desk


async def test_a_first_question_has_its_documents_read_ahead_and_kept(desk: Desk) -> None:
    _, ahead = await desk.ask()
    assert ahead == Reading(len(prefix()), 5.0)
    assert desk.did() == ["read", "save"]
    (state,) = desk.folder.glob("*.state")
    assert state.read_text() == prefix()


async def test_a_second_question_finds_them_in_the_slot(desk: Desk) -> None:
    slot, _ = await desk.ask()
    await desk.ask("Something else?", text="The moon. " * 50, file_id="file-2")
    desk.did()
    assert await desk.ask("How low?") == (slot, Reading())
    assert desk.did() == []


async def test_a_question_after_a_restart_finds_them_on_disk(desk: Desk) -> None:
    await desk.ask()
    desk.restart()
    slot, ahead = await desk.ask("How low?")
    assert ahead == Reading()
    assert desk.did() == ["restore"]
    assert desk.calls.slots[slot].startswith(prefix())


async def test_what_was_pushed_out_of_its_slot_is_found_on_disk(desk: Desk) -> None:
    for number in range(3):
        await desk.ask(text=f"{number} {TIDES}", file_id=f"file-{number}")
    desk.did()
    await desk.ask(text=f"0 {TIDES}", file_id="file-0")
    assert desk.did() == ["restore"]


async def test_documents_that_came_later_are_read_on_from_the_first(desk: Desk) -> None:
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
async def test_what_is_not_worth_keeping_is_asked_at_once(desk: Desk, fields: Any) -> None:
    _, ahead = await desk.ask(**fields)
    assert ahead == Reading()
    assert desk.did() == []
    assert desk.kept() == 0


async def test_without_a_disk_to_keep_states_on_nothing_is_read_ahead(tmp_path: Path) -> None:
    calls = StandIn(tmp_path)
    async with PromptReader(cast("LlamaCalls", calls), 2, None).prepared(asked()) as prepared:
        assert prepared.ahead == Reading()
    assert calls.did == []


async def test_a_short_prefix_is_not_read_ahead(desk: Desk) -> None:
    await desk.ask(text="Short.")
    assert desk.did() == []


async def test_a_question_without_documents_leaves_no_others_in_its_slot(desk: Desk) -> None:
    for number in range(2):
        await desk.ask(text=f"{number} {TIDES}")
    desk.did()
    await desk.ask(text="", documents=())  # it takes the slot of the first
    await desk.ask(text=f"0 {TIDES}")
    assert desk.did() == ["restore"]


# Side by side


async def test_two_first_questions_at_once_have_a_document_read_once(desk: Desk) -> None:
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


async def test_the_second_reads_for_itself_where_the_first_went_away(desk: Desk) -> None:
    release = desk.calls.holds["read"] = asyncio.Event()
    first, second = asyncio.create_task(desk.ask()), asyncio.create_task(desk.ask("How low?"))
    while "read" not in desk.calls.did:
        await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert (await second)[1].tokens == len(prefix())
    assert desk.kept() == 1


async def test_several_answers_get_all_slots(desk: Desk) -> None:
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


async def test_accounts_share_neither_slots_nor_states(desk: Desk) -> None:
    await desk.ask(account_id="ely")
    await desk.ask(account_id="ely", text="1" + TIDES)
    desk.did()
    _, ahead = await desk.ask(account_id="york")
    assert ahead.tokens == len(prefix())
    assert desk.did() == ["erase", "read", "save"]
    assert desk.kept() == 3


async def test_a_slot_that_cannot_be_erased_is_not_given_to_another_account(desk: Desk) -> None:
    for number in range(2):
        await desk.ask(text=f"{number} {TIDES}")
    desk.calls.fails["erase"] = CallRefused("no")
    with pytest.raises(EngineUnreachable):
        await desk.ask(account_id="york")
    assert await desk.ask(text=f"0 {TIDES}") == (0, Reading())


# What fails


async def test_a_template_that_refuses_leaves_the_word_to_the_engine(desk: Desk) -> None:
    desk.calls.fails["render"] = CallRefused("tools are not a list")
    async with desk.reader.prepared(asked()) as prepared:
        assert prepared.ahead == Reading()
    assert desk.did() == []


async def test_what_cannot_be_read_ahead_is_asked_all_the_same(desk: Desk) -> None:
    desk.calls.fails["read"] = CallRefused("exceeds the context")
    assert (await desk.ask())[1] == Reading()
    del desk.calls.fails["read"]
    assert (await desk.ask())[1].tokens < len(prefix())  # it holds them, without having been told to
    assert desk.did() == ["read", "read", "save"]


@pytest.mark.parametrize("error", [CallRefused("disk full"), GONE])
async def test_what_cannot_be_saved_is_asked_all_the_same(desk: Desk, error: Exception) -> None:
    desk.calls.fails["save"] = error
    assert (await desk.ask())[1].tokens == len(prefix())
    assert list(desk.folder.iterdir()) == []


async def test_a_state_of_something_else_is_not_kept(desk: Desk) -> None:
    desk.calls.saved_tokens = 3
    await desk.ask()
    assert list(desk.folder.iterdir()) == []


async def test_a_state_that_is_not_taken_is_removed_and_read_anew(desk: Desk) -> None:
    await desk.ask()
    desk.restart()
    desk.calls.fails["restore"] = CallRefused("invalid slot save file")
    assert (await desk.ask())[1].tokens == len(prefix())
    assert desk.did() == ["restore", "erase", "read", "save"]


async def test_a_state_that_gives_other_tokens_than_it_had_is_removed_and_read_anew(desk: Desk) -> None:
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
async def test_a_child_that_is_gone_is_the_questions_error_and_frees_the_slot(desk: Desk, call: str) -> None:
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
async def test_who_leaves_frees_the_slot(desk: Desk, call: str) -> None:
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


async def test_a_state_that_is_being_saved_is_saved_before_its_slot_is_free(desk: Desk) -> None:
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


async def test_a_slot_is_erased_when_a_file_in_it_goes(desk: Desk) -> None:
    slot, _ = await desk.ask()
    other, _ = await desk.ask(text="The moon. " * 50, file_id="file-2")
    desk.did()
    await desk.forget("file-1")
    assert desk.did() == ["erase"]
    assert (desk.calls.slots[slot], bool(desk.calls.slots[other])) == ("", True)
    await desk.forget("file-1")
    assert desk.did() == []


async def test_a_slot_that_answers_when_its_file_goes_is_erased_afterwards(desk: Desk) -> None:
    async with desk.reader.prepared(asked()) as prepared:
        desk.did()
        await desk.forget("file-1")
        assert desk.did() == []
    assert desk.did() == ["erase"]
    assert desk.calls.slots[prepared.slot] == ""


async def test_a_question_that_came_before_its_file_went_leaves_nothing(desk: Desk) -> None:
    release = desk.calls.holds["render"] = asyncio.Event()
    asking = asyncio.create_task(desk.ask())
    await desk.calls.begun.wait()
    await desk.states.forget("file-1")
    await desk.forget("file-1")
    release.set()
    slot, _ = await asking
    assert desk.calls.slots[slot] == ""
    assert desk.kept() == 0


async def test_excerpts_of_a_file_that_goes_are_erased_too(desk: Desk) -> None:
    shown = ShownDocument("a", (), 90_000, 2_000, "file-1")
    slot, _ = await desk.ask(documents=(shown,))
    await desk.forget("file-1")
    assert desk.calls.slots[slot] == ""


async def test_what_was_pushed_out_of_a_slot_is_no_reason_to_erase_it(desk: Desk) -> None:
    for number in range(3):
        await desk.ask(text=f"{number} {TIDES}", file_id=f"file-{number}")
    desk.did()
    await desk.forget("file-0")
    assert desk.did() == []


async def test_a_slot_that_is_being_erased_is_given_to_nobody(desk: Desk) -> None:
    await desk.ask(n=2)
    release = desk.calls.holds["erase"] = asyncio.Event()
    await desk.forget("file-1")
    waiting = asyncio.create_task(desk.ask(n=2, file_id="file-2"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    release.set()
    await waiting


async def test_a_child_that_is_gone_has_nothing_to_erase(desk: Desk) -> None:
    await desk.ask()
    desk.calls.fails["erase"] = GONE
    await desk.forget("file-1")
    del desk.calls.fails["erase"]
    await asyncio.gather(desk.ask(), desk.ask("How low?"))
