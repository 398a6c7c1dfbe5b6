"""The reading `thorough`: an engine reads every part of every document with the question and takes notes.

The story: cut the documents into parts, have each read unless its notes were kept from before, shorten the notes by further
calls until they fit the budget, and give them back under their documents' titles. The answer is made from them elsewhere.
An engine that does not read prompts cannot take notes: `can_read_thoroughly` says so before.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bookwheel.answering.digests import Digest, Digests
from bookwheel.answering.note_prompts import last_mark, merging_messages, reading_messages, split_by_marks
from bookwheel.answering.notes import Note, Notes, fit_notes, name_unread, render_notes, tell_apart
from bookwheel.answering.parts import Part, ReadableDocument, cut_into_parts, frame_tokens, halve_part, share_calls
from bookwheel.answering.scribe import ENGINE_ERRORS, Asked, KeptNotes, Scribe, answer_tokens, gather
from bookwheel.engines.engine import Engine, Excerpt, ShownDocument, whole_document
from bookwheel.errors import ApiError, EngineRefused, InvalidRequest
from bookwheel.tokens import MESSAGE_OVERHEAD_TOKENS, count_tokens

NOTE_TOKENS = 800
"""What the notes on one part take at most: that is a page of them."""
FURTHER_NOTE_TOKENS = 100
"""What each further document in the same call may add."""
MARGIN = 0.1
"""Of the room for documents that stays free: engines count tokens otherwise than we do."""
GOOD_ROOM_TOKENS = 24_000
"""Notes on more text at once get thin. A larger window is used to the full only where parts would be too many."""
LEAST_ROOM_TOKENS = 200
MOST_SPLITS = 2
"""How often a call is parted in two: because the engine refuses it (its own count of tokens, or what it will not read), or
once, because its notes did not end within their limit."""
SPLIT_STATUSES = frozenset({400, 413, 422})
UNREAD_SHARE = 0.1
"""Of the documents' tokens that engine errors may leave unread; with more, the reading fails."""
MOST_MERGES = 4
LEAST_MERGED_SHARE = 0.25
"""What one round of merging shortens notes to at the most: more at once loses what matters."""
MERGED_BELOW_BUDGET = 0.85
SHARE_STEPS = 20
"""Shares are rounded down to a step, so that budgets that differ a little use the same merged notes."""
LEAST_GAIN = 0.9
"""A round of merging that leaves more than that of the notes is the last."""
MERGED_SLACK = 1.3
"""Of what merged notes may take, to what is asked for: models count words badly."""
MOST_NOTES_IN_MERGE = 50

Say = Callable[[int, int, str], None]
"""(done, of how many, stage): stages are `reading` and `merging`."""


@dataclass(frozen=True, slots=True)
class ThoroughLimits:
    """`budget_tokens`: of the notes. `concurrency`: calls of the engine at once. `most_parts`: calls for reading.

    `retry_seconds`: the wait before an engine that failed is asked once more, unless it says how long itself.
    """

    budget_tokens: int
    concurrency: int = 4
    most_parts: int = 500
    retry_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question, whose it is, the options of its request, and whether nobody waits for the answer right now."""

    question: str
    account_id: str
    options: dict[str, Any]
    is_background: bool = False


@dataclass(frozen=True, slots=True)
class ThoroughPlan:
    """What is read: the parts in order, and how they share calls of `room_tokens` each."""

    parts: tuple[Part, ...]
    calls: tuple[tuple[Part, ...], ...]
    room_tokens: int


def can_read_thoroughly(engine: Engine) -> bool:
    """Whether an engine reads prompts. Where not, `relevant` is the way to read with it."""
    return engine.kind != "extractive"


async def read_thoroughly(
    engine: Engine,
    inquiry: Inquiry,
    documents: Sequence[ReadableDocument],
    *,
    model: str,
    limits: ThoroughLimits,
    digests: Digests,
    say: Say,
) -> Notes:
    """Read all of the documents with the question.

    `model` tells the engine's model from others: notes are reused for the same one only. Of the inquiry's options the
    engine gets what `note_options` says. An engine that fails on a part is asked once more if the failure may
    pass; parts that it still fails on are named in the notes, or, past `UNREAD_SHARE`, its error is raised. Raises
    InvalidRequest where it would take too many calls. Cancelling it cancels all calls.
    """
    question = inquiry.question
    plan = await asyncio.to_thread(plan_thorough, engine, question, documents, limits.most_parts)
    scribe = Scribe(
        engine,
        question,
        inquiry.options,
        account_id=inquiry.account_id,
        is_background=inquiry.is_background,
        concurrency=limits.concurrency,
        retry_seconds=limits.retry_seconds,
    )
    kept = KeptNotes(digests, model, question)
    notes, unread = await _PartReading(documents, plan, scribe, kept, say).read()
    line = name_unread(unread, question, limits.budget_tokens // 4)
    budget = limits.budget_tokens - count_tokens(f"\n\n{line}") if line else limits.budget_tokens
    merged = await _Merging(documents, plan.room_tokens, scribe, kept, say).merge(notes, budget)
    shown = await asyncio.to_thread(fit_notes, merged, question, budget)
    text = "\n\n".join(part for part in (render_notes(shown), line) if part)
    return Notes(
        text=text,
        tokens=count_tokens(text),
        notes=tuple(shown),
        parts=plan.parts,
        unread=tuple(unread),
        calls=scribe.calls,
        reused=kept.reused,
        is_trimmed=shown != merged,
    )


def plan_thorough(
    engine: Engine, question: str, documents: Sequence[ReadableDocument], most_parts: int = 500
) -> ThoroughPlan:
    """How the documents would be read, without reading them. Raises InvalidRequest where they cannot be."""
    room = _room_tokens(engine, question)
    if room < LEAST_ROOM_TOKENS:
        raise InvalidRequest(
            f"The question leaves no room to read documents beside it: the engine {engine.name} reads "
            f"{engine.window_tokens} tokens at once. Ask a shorter question, or a larger engine.",
            param="messages",
        )
    plan = _plan(documents, min(room, GOOD_ROOM_TOKENS))
    if len(plan.calls) > most_parts and room > GOOD_ROOM_TOKENS:
        plan = _plan(documents, room)
    if len(plan.calls) > most_parts:
        raise InvalidRequest(
            f"Reading these documents thoroughly takes {len(plan.calls)} calls of the engine {engine.name}, with {room} "
            f"tokens of documents at most in each; {most_parts} are allowed. Name fewer files, ask with the reading "
            "'relevant' or 'overview', or use an engine with a larger window.",
            param="bookwheel.reading",
        )
    return plan


def _room_tokens(engine: Engine, question: str) -> int:
    """What a call holds of documents, with their frames."""
    told = reading_messages(question, [whole_document("", "", 0)] * 2)
    said = sum(count_tokens(message["content"]) + MESSAGE_OVERHEAD_TOKENS for message in told)
    return int((engine.window_tokens - answer_tokens(engine) - said) * (1 - MARGIN))


def _plan(documents: Sequence[ReadableDocument], room_tokens: int) -> ThoroughPlan:
    parts = cut_into_parts(documents, room_tokens)
    return ThoroughPlan(tuple(parts), tuple(share_calls(parts, room_tokens)), room_tokens)


class _PartReading:
    """Has every part read. An engine that writes nothing about a part has found nothing in it, unless it never writes."""

    def __init__(
        self, documents: Sequence[ReadableDocument], plan: ThoroughPlan, scribe: Scribe, kept: KeptNotes, say: Say
    ) -> None:
        self._documents = documents
        self._plan = plan
        self._scribe = scribe
        self._kept = kept
        self._say = say
        self._unread: list[Part] = []
        self._done = self._told = self._silent = 0

    async def read(self) -> tuple[list[Note], list[Part]]:
        """The notes on the parts that hold something, and the parts that could not be read, both in order."""
        calls = self._plan.calls
        self._say(0, len(calls), "reading")
        found = await gather(self._read_call(parts) for parts in calls)
        if self._silent and not self._told:
            raise self._scribe.silent()
        notes = sorted((note for notes in found for note in notes), key=lambda note: _place(note.parts[0]))
        return notes, sorted(self._unread, key=_place)

    async def _read_call(self, parts: tuple[Part, ...]) -> list[Note]:
        notes = await self._read_parts(parts, MOST_SPLITS)
        self._done += 1
        self._say(self._done, len(self._plan.calls), "reading")
        return notes

    async def _read_parts(self, parts: tuple[Part, ...], splits: int) -> list[Note]:
        try:
            digest = await self._write(parts)
        except ENGINE_ERRORS as error:
            smaller = self._split(parts) if splits and _is_refusal(error) else []
            if not smaller:
                self._leave_unread(parts, error)
            return await self._read_each(smaller, splits - 1)
        if digest is None:
            self._silent += 1
            return []
        self._told += 1
        if splits == MOST_SPLITS and len(parts) == 1 and self._is_full(digest) and (halves := self._split(parts)):
            return await self._read_each(halves, splits - 1)
        sources = [Note((part,), "") for part in parts]
        notes = _notes_of(sources, digest) if digest.text else []
        if len(parts) > 1 and notes and notes[0].parts == parts:
            notes = await self._tell_apart(notes[0])
        left = parts[_come_to(sources, digest) :]
        return notes + await self._read_each([left] if left else [], splits)

    async def _read_each(self, calls: Sequence[tuple[Part, ...]], splits: int) -> list[Note]:
        return [note for parts in calls for note in await self._read_parts(parts, splits)]

    async def _tell_apart(self, note: Note) -> list[Note]:
        """A note on several documents that an engine did not mark, by the documents that its lines are about."""
        texts = [await self._documents[part.document].read(part) for part in note.parts]
        about = await asyncio.to_thread(tell_apart, note.text, texts)
        lines = list(zip(about, note.text.splitlines(), strict=True))
        told: dict[int | None, str] = {n: "\n".join(line for m, line in lines if m == n) for n in dict.fromkeys(about)}
        unclear = [replace(note, text=told[None])] if None in told else []
        return unclear + [Note((part,), told[n]) for n, part in enumerate(note.parts) if n in told]

    async def _write(self, parts: tuple[Part, ...]) -> Digest | None:
        limit = NOTE_TOKENS + FURTHER_NOTE_TOKENS * (len(parts) - 1)
        return await self._kept.get(
            [self._documents[part.document] for part in parts],
            [place for part in parts for place in (part.start, part.end)],
            lambda: self._scribe.write(lambda: self._ask(parts), limit),
        )

    def _is_full(self, digest: Digest) -> bool:
        """Whether notes came to their limit by what they say, and not by saying it over and over."""
        limit = min(NOTE_TOKENS, self._scribe.answer_tokens)
        return digest.is_cut and count_tokens(digest.text) > limit // 2

    def _split(self, parts: tuple[Part, ...]) -> list[tuple[Part, ...]]:
        """The parts in two calls; none where they are a single passage."""
        if len(parts) > 1:
            return [parts[: len(parts) // 2], parts[len(parts) // 2 :]]
        return [(half,) for half in halve_part(parts[0], self._documents[parts[0].document])]

    async def _ask(self, parts: tuple[Part, ...]) -> Asked:
        shown: list[ShownDocument] = []
        for part in parts:
            source = self._documents[part.document]
            excerpt = Excerpt(await source.read(part), part.start, part.anchors)
            size = part.tokens
            shown.append(ShownDocument(part.title, (excerpt,), size, size, source.file_id, is_whole=part.is_whole))
        return Asked(reading_messages(self._scribe.question, shown), tuple(shown))

    def _leave_unread(self, parts: tuple[Part, ...], error: ApiError) -> None:
        """Go on without these parts. Raises the error where that leaves too much unread."""
        self._unread += parts
        left_out = sum(part.tokens for part in self._unread)
        if left_out > UNREAD_SHARE * sum(part.tokens for part in self._plan.parts):
            raise error


class _Merging:
    """Has notes shortened, neighbours together, round by round."""

    def __init__(
        self, documents: Sequence[ReadableDocument], room_tokens: int, scribe: Scribe, kept: KeptNotes, say: Say
    ) -> None:
        self._documents = documents
        self._room_tokens = room_tokens
        self._scribe = scribe
        self._kept = kept
        self._say = say

    async def merge(self, notes: list[Note], budget_tokens: int) -> list[Note]:
        """The notes within the budget, or as near to it as the engine brings them."""
        size = await asyncio.to_thread(_rendered_tokens, notes)
        for _ in range(MOST_MERGES):
            if size <= budget_tokens:
                break
            merged = await self._shorten_all(notes, MERGED_BELOW_BUDGET * budget_tokens / size)
            before, size = size, await asyncio.to_thread(_rendered_tokens, merged)
            notes = merged
            if size > LEAST_GAIN * before:
                break
        return notes

    async def _shorten_all(self, notes: list[Note], share: float) -> list[Note]:
        share = max(LEAST_MERGED_SHARE, int(share * SHARE_STEPS) / SHARE_STEPS)
        batches = _batches(notes, min(self._room_tokens, int(self._scribe.answer_tokens / share)))
        done = 0
        self._say(0, len(batches), "merging")

        async def shorten(batch: list[Note]) -> list[Note]:
            nonlocal done
            shorter = await self._shorten(batch, share)
            done += 1
            self._say(done, len(batches), "merging")
            return shorter

        return [note for merged in await gather(shorten(batch) for batch in batches) for note in merged]

    async def _shorten(self, batch: list[Note], share: float) -> list[Note]:
        """The notes of a batch, shorter; as they were where the engine fails, finds nothing in them or adds to them."""
        size = sum(count_tokens(note.text) for note in batch)
        if sum(_shown_tokens(note) for note in batch) > self._room_tokens:
            return batch
        target = max(1, int(size * share))
        parts = list(dict.fromkeys(part for note in batch for part in note.parts))
        try:
            digest = await self._kept.get(
                [self._documents[part.document] for part in parts],
                [target, *(told for note in batch for told in (note.title, note.anchors, note.text))],
                lambda: self._scribe.write(lambda: self._ask(batch, target), int(MERGED_SLACK * target)),
            )
        except ENGINE_ERRORS:
            return batch  # they were read: what is too long is trimmed
        if digest is None or not digest.text:
            return batch
        shorter = _notes_of(batch, digest) + batch[_come_to(batch, digest) :]
        return shorter if sum(count_tokens(note.text) for note in shorter) < size else batch

    async def _ask(self, batch: list[Note], target_tokens: int) -> Asked:
        shown = [whole_document(_called(note), note.text, count_tokens(note.text)) for note in batch]
        return Asked(merging_messages(self._scribe.question, shown, target_tokens), tuple(shown))


def _is_refusal(error: ApiError) -> bool:
    return isinstance(error, EngineRefused) and error.http_status in SPLIT_STATUSES


def _notes_of(sources: Sequence[Note], digest: Digest) -> list[Note]:
    """What was written about the sources, each under its own parts where the marks tell; else all under all."""
    told = split_by_marks(digest.text, len(sources))
    if told is None:
        return [Note(tuple(part for note in sources for part in note.parts), digest.text)]
    come_to = _come_to(sources, digest)
    return [replace(note, text=told[n]) for n, note in enumerate(sources[:come_to]) if told.get(n)]


def _come_to(sources: Sequence[Note], digest: Digest) -> int:
    """How many of the sources an answer is done with: one that is cut is not with its last, unless that is the first."""
    if not digest.is_cut or split_by_marks(digest.text, len(sources)) is None:
        return len(sources)
    return max(1, last_mark(digest.text) or 0)


def _batches(notes: Sequence[Note], limit_tokens: int) -> list[list[Note]]:
    """Neighbours together, up to a limit."""
    batches: list[list[Note]] = []
    taken = 0
    for note in notes:
        tokens = _shown_tokens(note)
        if not batches or taken + tokens > limit_tokens or len(batches[-1]) == MOST_NOTES_IN_MERGE:
            batches.append([])
            taken = 0
        batches[-1].append(note)
        taken += tokens
    return batches


def _called(note: Note) -> str:
    return f"{note.title} ({note.anchors})" if note.anchors else note.title


def _shown_tokens(note: Note) -> int:
    return frame_tokens(note.title) + count_tokens(note.text)


def _rendered_tokens(notes: Sequence[Note]) -> int:
    return count_tokens(render_notes(notes))


def _place(part: Part) -> tuple[int, int]:
    return part.document, part.start
