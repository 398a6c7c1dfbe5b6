"""Gathers what the engine is shown of the documents, as the plan has it.

Searching is arithmetic over mapped arrays: it runs in threads, a few side by side, and never where requests are served.
Where there are several threads, one of them is left to questions that somebody waits for.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from bookwheel.answering.citations import AnchorAt, line_anchor
from bookwheel.answering.conversation import Conversation, DocumentSource, InlineDocument
from bookwheel.answering.digests import Digests
from bookwheel.answering.documents import DocumentDesk, DocumentTokens, inline_title
from bookwheel.answering.excerpts import Source, find_excerpts, find_overview, frames_of
from bookwheel.answering.notes import Notes
from bookwheel.answering.parts import readable_document
from bookwheel.answering.plan import Plan
from bookwheel.answering.thorough import Inquiry, Say, ThoroughLimits, read_thoroughly
from bookwheel.engines.engine import Engine, Excerpt, ShownDocument
from bookwheel.retrieval.question import Question
from bookwheel.retrieval.search import Searchable
from bookwheel.settings import ReadingSettings
from bookwheel.storage.files import FileRecord
from bookwheel.wire.chat import PartsReport

T = TypeVar("T")

SUPPORT_TOKENS = 4_000
"""Of passages in which quotes are looked for where the engine was shown notes instead of the documents' own text."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What documents are gathered for: a conversation of an account, with what was found of its files."""

    account_id: str
    conversation: Conversation
    files: dict[str, FileRecord]
    tokens: DocumentTokens
    is_background: bool = False

    @property
    def question(self) -> Question:
        return Question(self.conversation.question, self.conversation.earlier_questions)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is shown of each document, in the conversation's order, and how to find the anchors of quotes from it.

    `support` says how well the documents hold what the question asks about, 0 to 1, where that was measured. With
    `thorough` the engine read every part, and what is shown are its notes.
    """

    shown: dict[DocumentSource, ShownDocument]
    anchors: tuple[AnchorAt, ...]
    sources: tuple[Source, ...] = ()
    support: float | None = None
    notes: Notes | None = None

    @property
    def documents(self) -> tuple[ShownDocument, ...]:
        return tuple(self.shown.values())

    @property
    def thorough(self) -> PartsReport | None:
        if self.notes is None:
            return None
        return PartsReport(
            parts=len(self.notes.parts), calls=self.notes.calls, reused=self.notes.reused, unread=len(self.notes.unread)
        )


class Gathering:
    """See the module."""

    def __init__(self, desk: DocumentDesk, settings: ReadingSettings, digests: Digests) -> None:
        self._desk = desk
        self._settings = settings
        self._digests = digests
        self._searching = ThreadPoolExecutor(settings.searches, thread_name_prefix="search")
        self._background = asyncio.Semaphore(max(1, settings.searches - 1))

    async def gather(self, asked: Asked, plan: Plan, *, with_anchors: bool) -> Gathered:
        """What the plan shows, without the engine. Raises InvalidRequest when a file was deleted since it was checked."""
        if plan.reading == "full":
            return await self._whole(asked, with_anchors=with_anchors)
        sources = await self._open(asked)
        opened = list(sources.values())
        room = plan.budget_tokens - (plan.listed_tokens if len(opened) > 1 else 0)
        if plan.reading == "overview":
            return _gathered(sources, await self._search(asked.is_background, find_overview, opened, room))
        shown, support = await self._search(asked.is_background, self._find, opened, asked.question, room)
        return _gathered(sources, shown, support=support)

    async def read_thoroughly(
        self, asked: Asked, plan: Plan, engine: Engine, options: dict[str, Any], say: Say
    ) -> Gathered:
        """Have the engine read every part and take notes, which are shown in the documents' place."""
        sources = await self._open(asked)
        documents = [
            readable_document(source.document, source.title, account_id=asked.account_id, file_id=source.file_id)
            for source in sources.values()
        ]
        limits = ThoroughLimits(
            budget_tokens=plan.budget_tokens - frames_of(list(sources.values())),
            concurrency=self._settings.thorough_calls,
            most_parts=self._settings.thorough_parts,
        )
        notes = await read_thoroughly(
            engine,
            Inquiry(_stand_alone(asked.question), asked.account_id, options, asked.is_background),
            documents,
            model=f"{engine.name}/{engine.model}",
            limits=limits,
            digests=self._digests,
            say=say,
        )
        return _gathered(sources, _noted(list(sources.values()), notes), notes=notes)

    async def find_support(
        self, sources: Sequence[Source], answer: str, *, is_background: bool = False
    ) -> tuple[ShownDocument, ...]:
        """The passages that an answer made from notes may rest on."""
        shown, _ = await self._search(is_background, self._find, sources, Question(answer), SUPPORT_TOKENS)
        return tuple(shown)

    async def _search(self, is_background: bool, work: Callable[..., T], *arguments: Any) -> T:
        """Do a search in one of its threads: few, since each keeps some memory for itself."""
        async with self._background if is_background else nullcontext():
            return await asyncio.get_running_loop().run_in_executor(self._searching, work, *arguments)

    def _find(
        self, sources: Sequence[Source], question: Question, budget_tokens: int
    ) -> tuple[list[ShownDocument], float]:
        searchable = self._desk.files.shelf.together([source.document for source in sources], Searchable)
        return find_excerpts(sources, searchable, question, budget_tokens)

    async def _open(self, asked: Asked) -> dict[DocumentSource, Source]:
        """Every document with its index, in the conversation's order."""
        documents = await self._desk.open_indexed(asked.conversation, asked.files)
        sources: dict[DocumentSource, Source] = {}
        for source, document in zip(asked.conversation.documents(), documents, strict=True):
            if isinstance(source, InlineDocument):
                sources[source] = Source(inline_title(source), document, asked.tokens.inline[source.number])
            else:
                file = asked.files[source.file_id]
                sources[source] = Source(file.filename, document, file.tokens or 0, file.file_id)
        return sources

    async def _whole(self, asked: Asked, *, with_anchors: bool) -> Gathered:
        shown = await self._desk.bring(asked.conversation, asked.files, asked.tokens)
        if not with_anchors:
            return Gathered(shown, ())
        named = await self._desk.open_files(asked.files)
        anchors = (
            line_anchor(source.text) if isinstance(source, InlineDocument) else named[source.file_id].anchor_at
            for source in shown
        )
        return Gathered(shown, tuple(anchors))


def _gathered(
    sources: dict[DocumentSource, Source],
    shown: Sequence[ShownDocument],
    *,
    support: float | None = None,
    notes: Notes | None = None,
) -> Gathered:
    anchors = tuple(source.document.anchor_at for source in sources.values())
    return Gathered(dict(zip(sources, shown, strict=True)), anchors, tuple(sources.values()), support, notes)


def _stand_alone(question: Question) -> str:
    """A question with the one before it: a follow-up says little alone."""
    return f"{question.earlier[-1]}\n{question.text}" if question.earlier else question.text


def _noted(sources: Sequence[Source], notes: Notes) -> list[ShownDocument]:
    """The documents with the notes on them; notes on several stand under the first."""
    excerpts: list[list[Excerpt]] = [[] for _ in sources]
    for note in notes.notes:
        first = note.parts[0]
        place = ", ".join(part for part in ("notes", note.anchors or note.title) if part)
        excerpts[first.document].append(Excerpt(note.text, first.start, place))
    for part in notes.unread:
        excerpts[part.document].append(Excerpt("", part.start, f"{part.anchors}: could not be read"))
    share = notes.tokens // max(1, sum(bool(own) for own in excerpts))
    return [
        ShownDocument(source.title, tuple(own), source.tokens, share if own else 0, source.file_id)
        for source, own in zip(sources, excerpts, strict=True)
    ]
