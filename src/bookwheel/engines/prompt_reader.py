"""Sees to it that what an embedded engine has read stays read.

A request gets a slot. If its documents will be asked about again, the slot is made to hold the prompt as far as they go, the
question not yet: it holds it already, or its state is read back from disk, or the engine reads it now and the state is kept.
Then the question is all that is left to read. What goes wrong with keeping is logged, and costs the time for reading anew.
Accounts share nothing: a slot is erased before another account gets it.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from cachetools import LRUCache

from bookwheel.engines.dialects import DIALECTS, translate
from bookwheel.engines.engine import EngineRequest
from bookwheel.engines.llama_calls import CallRefused, LlamaCalls, Reading
from bookwheel.engines.llama_slots import Slot, Slots, Wanted
from bookwheel.engines.prompt_prefixes import LEAST_TOKENS, Prefix, conversation_path, find_prefixes, is_worth_keeping
from bookwheel.engines.prompt_states import REMEMBERED_DELETIONS, PromptStates
from bookwheel.errors import EngineRefused, EngineTimedOut, EngineUnreachable
from bookwheel.logs import log

DIALECT = "llama_server"
UNSURE_TOKENS = 2
"""At the end of a prefix: what follows may be one token with them. Some models cannot take back what they have read."""

_LOST = (CallRefused, EngineUnreachable, EngineTimedOut)


@dataclass(frozen=True, slots=True)
class KeptStates:
    """Where states are kept, whose they are, and what a token of one takes at most."""

    states: PromptStates
    engine: str
    bytes_per_token: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """The slot that answers a request, and what was read for it ahead."""

    slot: int
    ahead: Reading


class PromptReader:
    """See the module. It is for one child: another one's slots are empty. `kept` None: nothing is kept on disk."""

    def __init__(self, calls: LlamaCalls, slots: int, kept: KeptStates | None) -> None:
        self._calls = calls
        self._slots = Slots(slots)
        self._kept = kept
        self._reading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By key: what is being read is not read a second time beside it."""
        self._deleted: LRUCache[str, bool] = LRUCache(REMEMBERED_DELETIONS)
        self._erasing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def prepared(self, request: EngineRequest) -> AsyncIterator[Prepared]:
        """A slot for a request, for as long as its answer takes. Raises EngineUnreachable and EngineTimedOut."""
        prefixes = await self._prefixes(request)
        answers = request.options.get("n")
        takes_all = isinstance(answers, int) and answers > 1
        wanted = Wanted(
            request.account_id, conversation_path(request), [prefix.key for prefix in prefixes], takes_all=takes_all
        )
        slots = await self._slots.take(wanted)
        try:
            for slot in slots:
                await self._hand_over(slot, request)
            ahead = await self._read_ahead(slots[0], prefixes, request)
            _note_content(slots, prefixes, wanted)
            yield Prepared(slots[0].number, ahead)
            slots[0].file_ids = frozenset(request.file_ids)  # what it held before is gone
        finally:
            await _to_the_end(self._take_back(slots))

    async def refusal(self, request: EngineRequest) -> EngineRefused | None:
        """What the server has against a request itself; None where nothing. It answers 500 to much that is a client's fault."""
        try:
            await self._calls.render(_body(request))
        except CallRefused as error:
            return EngineRefused(400, {"message": str(error), "type": "invalid_request_error"})
        return None

    def forget(self, file_id: str) -> None:
        """Erase the slots that hold something of a file: those that are busy once they are not.

        It is not waited for, since the server does it when it is done with its batch; nobody gets the slot before.
        """
        self._deleted[file_id] = True
        for slot in self._slots.all:
            if file_id in slot.file_ids and self._slots.take_idle(slot):
                task = asyncio.create_task(self._take_back([slot]))
                self._erasing.add(task)
                task.add_done_callback(self._erasing.discard)

    async def _prefixes(self, request: EngineRequest) -> list[Prefix]:
        """The beginnings of its prompt that are worth keeping, the longest first."""
        if self._kept is None or not is_worth_keeping(request):
            return []
        try:
            return await find_prefixes(self._calls.render, _body(request), self._kept.engine, request.account_id)
        except CallRefused:  # the engine says what is wrong when it is asked
            return []

    async def _hand_over(self, slot: Slot, request: EngineRequest) -> None:
        """A slot that another account used holds nothing from now on."""
        if slot.account_id not in (None, request.account_id):
            await self._erase(slot)
        slot.account_id = request.account_id
        slot.file_ids |= frozenset(request.file_ids)

    async def _read_ahead(self, slot: Slot, prefixes: list[Prefix], request: EngineRequest) -> Reading:
        """Have the slot hold the longest prefix; what had to be read for that."""
        if not prefixes or self._kept is None or prefixes[0].key in slot.keys:
            return Reading()
        async with self._reading.setdefault(prefixes[0].key, asyncio.Lock()):
            for prefix in prefixes:
                if prefix.key in slot.keys or await self._restore(slot, prefix):
                    break
            if prefixes[0].key in slot.keys:
                return Reading()
            try:
                return await self._read(slot, prefixes[0], request)
            except CallRefused as error:  # too long for the window, for one: the engine says so when it is asked
                log.info("prompt not read ahead", why=str(error))
                return Reading()

    async def _restore(self, slot: Slot, prefix: Prefix) -> bool:
        """Have the slot hold a prefix whose state is kept; whether it does."""
        assert self._kept is not None  # noqa: S101 - there are prefixes only where states are kept
        state = await self._kept.states.find(prefix.key)
        if state is None:
            return False
        slot.path, slot.keys = (), frozenset()
        try:
            tokens = await self._calls.restore(slot.number, state.filename)
        except CallRefused as error:
            log.warning("prompt state not restored", why=str(error))
            tokens = 0
        if tokens != state.tokens:
            await self._kept.states.drop(prefix.key)
            await self._erase(slot)
            return False
        slot.keys = frozenset([prefix.key])
        return True

    async def _read(self, slot: Slot, prefix: Prefix, request: EngineRequest) -> Reading:
        tokens = (await self._calls.tokenize(prefix.text))[:-UNSURE_TOKENS]
        if len(tokens) < LEAST_TOKENS:
            return Reading()
        slot.path, slot.keys = (), frozenset()
        reading = await self._calls.read(slot.number, tokens)
        slot.keys = frozenset([prefix.key])
        await _to_the_end(self._keep(slot, prefix, len(tokens), request))
        return reading

    async def _keep(self, slot: Slot, prefix: Prefix, tokens: int, request: EngineRequest) -> None:
        """Keep the state of a slot that holds a prefix and no more."""
        assert self._kept is not None  # noqa: S101
        states = self._kept.states
        written = await states.begin(tokens * self._kept.bytes_per_token)
        if written is None:
            return
        try:
            saved = await self._calls.save(slot.number, written)
        except _LOST as error:
            log.warning("prompt state not kept", reason=str(error))
            saved = 0
        if saved == tokens:
            await states.keep(written, prefix.key, tokens, request.file_ids)
        else:
            await states.discard(written)

    async def _take_back(self, slots: list[Slot]) -> None:
        try:
            for slot in slots:
                if any(file_id in self._deleted for file_id in slot.file_ids):
                    await self._erase(slot)
        except _LOST as error:  # a child that is gone holds nothing
            log.info("slot not erased", why=str(error))
        finally:
            self._slots.give_back(slots)

    async def _erase(self, slot: Slot) -> None:
        await self._calls.erase(slot.number)
        slot.clear()


def _body(request: EngineRequest) -> dict[str, Any]:
    """What a request's prompt is made of, as it is sent."""
    return translate(DIALECTS[DIALECT], request.options | {"messages": request.messages})


def _note_content(slots: list[Slot], prefixes: list[Prefix], wanted: Wanted) -> None:
    """Note what slots hold from now on. Further ones, for further answers, are cleared by the server when these end."""
    for slot in slots[1:]:
        slot.path, slot.keys = (), frozenset()
    slots[0].path = wanted.path
    is_ahead = bool(prefixes) and prefixes[0].key in slots[0].keys
    slots[0].keys = frozenset(prefix.key for prefix in prefixes) if is_ahead else frozenset()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it, also where the caller is cancelled meanwhile: it is short, and half of it would be worse."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
