"""A stand-in for llama.cpp's slots, and a desk that asks questions of a prompt reader over it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bookwheel.engines.engine import EngineRequest, Message, ShownDocument, whole_document
from bookwheel.engines.llama_calls import Reading
from bookwheel.engines.prompt_reader import UNSURE_TOKENS, KeptStates, PromptReader
from bookwheel.engines.prompt_states import PromptStates
from bookwheel.errors import EngineUnreachable

if TYPE_CHECKING:
    from bookwheel.engines.llama_calls import LlamaCalls

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


class ReadingDesk:
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
