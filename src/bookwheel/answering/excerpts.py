"""From passages to what the engine is shown: excerpts with their places, and what showing them costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from bookwheel.answering.layout import FRAME_TOKENS, frame
from bookwheel.engines.engine import Excerpt, ShownDocument
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval.collection import Run
from bookwheel.retrieval.overview import OverviewSource, Span, overview_spans
from bookwheel.retrieval.question import Question
from bookwheel.retrieval.search import Search, Searchable
from bookwheel.retrieval.selection import Costs
from bookwheel.tokens import count_for_budget, count_tokens

PLACES = ("page", "slide", "sheet")
"""Anchors that tell a reader something; a line number in a text does not."""
LONGEST_HEADING = 60
HEADINGS = 1
OMISSION_TOKENS = 3
MOST_FILLS = 2
FULL = 0.98
"""Of a budget: with less spent, more is picked."""
LEAST_OPENING_TOKENS = 24
"""What an overview shows of a document at the least: half a sentence. A frame around less is not worth its tokens."""


@dataclass(frozen=True, slots=True)
class Source:
    """A document that excerpts are taken from."""

    title: str
    document: IndexedDocument
    tokens: int
    file_id: str | None = None


def find_excerpts(
    sources: Sequence[Source], searchable: Searchable, question: Question, budget_tokens: int
) -> tuple[list[ShownDocument], float]:
    """What of the documents bears on a question, and how well they hold what it asks about, 0 to 1.

    Passages are counted one by one, frames and marks on the safe side: what is left in the end is filled. Where more was
    spent, as the indents of JSON do, the last picks are taken back.
    """
    search = Search(searchable, question, budget_tokens, _costs_of(sources))
    room, fills = budget_tokens, 0
    runs = search.pick(room)
    while True:
        shown = [take_excerpts(source, own) for source, own in zip(sources, runs, strict=True)]
        spent = sum(count_for_budget(frame(document)) + 1 for document in shown if document.excerpts)
        if spent > budget_tokens:
            runs = search.drop(spent - budget_tokens)
        elif spent >= FULL * budget_tokens or fills == MOST_FILLS:
            return shown, search.support()
        else:
            fills += 1
            room += budget_tokens - spent
            runs = search.pick(room)


def find_overview(sources: Sequence[Source], budget_tokens: int) -> list[ShownDocument]:
    """What stands for every part of every document; of more documents than there is room for, for the first ones."""
    with_room = sources[: _first_with_room(sources, budget_tokens)]
    chosen = overview_spans([_overview_source(source) for source in with_room], budget_tokens - frames_of(with_room))
    without: list[list[Span]] = [[] for _ in sources[len(with_room) :]]
    return [_take_spans(source, spans) for source, spans in zip(sources, [*chosen, *without], strict=True)]


def frames_of(sources: Sequence[Source]) -> int:
    """The tokens of the frames of all documents."""
    return sum(FRAME_TOKENS + count_tokens(source.title) for source in sources)


def take_excerpts(source: Source, runs: Sequence[Run]) -> ShownDocument:
    """A document with some runs of its passages."""
    document, index = source.document, source.document.index
    excerpts = [
        Excerpt(
            document.passages_text(run.first, run.last), int(index.starts[run.first]), place_of(document, run.first)
        )
        for run in runs
    ]
    return _shown(source, excerpts)


def place_of(document: IndexedDocument, passage: int) -> str:
    """Where a passage stands, in words: its page and the headings above it that do not begin it. Empty when there are none."""
    index = document.index
    start = int(index.starts[passage])
    anchor, _ = index.block_at(start)
    section = index.sections[int(index.section_of[passage])]
    path = section.heading_path[:-1] if section.start == start else section.heading_path
    parts = [anchor] if anchor.startswith(PLACES) else []
    parts += [heading[:LONGEST_HEADING] for heading in path[-HEADINGS:]]
    return ", ".join(parts)


def _costs_of(sources: Sequence[Source]) -> Costs:
    frames = [FRAME_TOKENS + count_tokens(source.title) for source in sources]
    return Costs(frames, OMISSION_TOKENS, lambda document, passage: place_of(sources[document].document, passage))


def _first_with_room(sources: Sequence[Source], budget_tokens: int) -> int:
    """How many of the documents, from the first on, can be shown with something in their frames."""
    needed = accumulate(frames_of([source]) + LEAST_OPENING_TOKENS for source in sources)
    return sum(tokens <= budget_tokens for tokens in needed)


def _overview_source(source: Source) -> OverviewSource:
    index = source.document.index
    levels = np.array([section.level for section in index.sections], np.int64)
    return OverviewSource(
        read_text=source.document.whole_text,
        starts=index.starts,
        ends=index.ends,
        tokens=index.tokens,
        sections=index.section_of,
        levels=levels[index.section_of],
    )


def _take_spans(source: Source, spans: Sequence[Span]) -> ShownDocument:
    return _shown(source, [Excerpt(source.document.read(span.start, span.end), span.start) for span in spans])


def _shown(source: Source, excerpts: Sequence[Excerpt]) -> ShownDocument:
    tokens = sum(count_tokens(excerpt.text) for excerpt in excerpts)
    return ShownDocument(source.title, tuple(excerpts), source.tokens, tokens, source.file_id)
