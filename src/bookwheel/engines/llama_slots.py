"""Which slot of llama.cpp's server answers which request. One slot answers one request at a time.

A slot holds the conversation that it read last, so that it need not read again what another request has in common with it.
A request gets the free slot that holds most of it; else the one that was used least lately, whose content goes.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field

Path = tuple[tuple[str, int], ...]
"""A conversation, see `prompt_prefixes.conversation_path`."""
LEAST_SHARE = 0.5
"""Of a request that a slot must hold to be preferred: a common role alone must not push out another's documents."""


@dataclass(slots=True)
class Slot:
    """A slot, and what it holds. `file_ids` are the files of which anything may be in it."""

    number: int
    account_id: str | None = None
    """Whose it is; None before its first use."""
    path: Path = ()
    keys: frozenset[str] = frozenset()
    """The beginnings of prompts that it holds, see `prompt_prefixes.Prefix`."""
    file_ids: frozenset[str] = frozenset()
    is_busy: bool = False
    used: int = 0

    def clear(self) -> None:
        """Note that it holds nothing any more."""
        self.path, self.keys, self.file_ids = (), frozenset(), frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request needs: a slot, or all of them where it wants several answers, which llama.cpp spreads as it likes."""

    account_id: str
    path: Path
    keys: Collection[str] = ()
    takes_all: bool = False


@dataclass(slots=True)
class _Waiting:
    wanted: Wanted
    got: asyncio.Future[list[Slot]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Slots:
    """See the module. Requests wait in the order in which they come."""

    def __init__(self, count: int) -> None:
        self.all = [Slot(number) for number in range(count)]
        self._waiting: deque[_Waiting] = deque()
        self._uses = 0

    async def take(self, wanted: Wanted) -> list[Slot]:
        """The slots for a request, the first being the one to ask; to be given back."""
        waiting = _Waiting(wanted)
        self._waiting.append(waiting)
        self._serve()
        try:
            return await waiting.got
        except asyncio.CancelledError:
            if waiting.got.done() and not waiting.got.cancelled():
                self.give_back(waiting.got.result())
            else:
                with suppress(ValueError):  # its turn may have come, and been passed over
                    self._waiting.remove(waiting)
                self._serve()
            raise

    def take_idle(self, slot: Slot) -> bool:
        """Take this slot if it is free now."""
        if slot.is_busy:
            return False
        slot.is_busy = True
        return True

    def give_back(self, slots: list[Slot]) -> None:
        for slot in slots:
            slot.is_busy = False
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            slots = self._choose(self._waiting[0].wanted)
            if not slots:
                return
            waiting = self._waiting.popleft()
            if waiting.got.done():  # cancelled a moment ago
                continue
            for slot in slots:
                self._uses += 1
                slot.is_busy, slot.used = True, self._uses
            waiting.got.set_result(slots)

    def _choose(self, wanted: Wanted) -> list[Slot]:
        free = [slot for slot in self.all if not slot.is_busy]
        if not free or (wanted.takes_all and len(free) < len(self.all)):
            return []
        best = max(free, key=lambda slot: (_common(slot, wanted), -slot.used))
        return [best, *(slot for slot in free if slot is not best)] if wanted.takes_all else [best]


def _common(slot: Slot, wanted: Wanted) -> int:
    """How much of a request a slot holds, in bytes; 0 where it is too little to matter and no documents."""
    if slot.account_id != wanted.account_id:
        return 0
    whole = wanted.path[-1][1] if wanted.path else 0
    common = 0
    for ours, theirs in zip(slot.path, wanted.path, strict=False):
        if ours != theirs:
            break
        common = ours[1]
    if slot.keys.isdisjoint(wanted.keys) and common < LEAST_SHARE * whole:
        return 0
    return max(common, 1)
