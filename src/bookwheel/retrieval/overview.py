"""What stands for whole documents within a budget of tokens: every part of every file, without asking a model.

The budget is shared among the files by the square root of their size. A file that does not fit its share is parted into
as many stretches as the share allows, along its sections where they are not too many, else by length alone, and of each
stretch the unit is shown that stands best for what is around it (`representative`). The opening is always shown. Of long
files only a sample of passages is read, so that the work is bounded by the budget, not by the files. Nothing here lays
out text or knows indexes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bookwheel.retrieval.representative import UNIT_TOKENS, Floats, Numbers, Units, find_units
from bookwheel.tokens import count_for_budget

MARK_TOKENS = 2
"""What showing that something is left out before a span costs."""
LINE_ENDS = 1.05
"""What the white space between passages adds to their tokens, at most but for odd texts: these are shown in part."""
LEAST_TOKENS = 48
"""What every file gets if there is enough for all: an opening sentence."""
OPENING_PART = 16
MOST_OPENING_PART = 4
"""One part in 16 of a file's share or a little more, never over a quarter but for one unit, goes to its opening: title
and first sentence, an agenda, a table's head and first rows."""
SAMPLE_TIMES = 16
LEAST_SAMPLE_TOKENS = 2_000
MOST_SAMPLED_TOKENS = 400_000
"""A file is read for at most SAMPLE_TIMES its share, and all files together for about this or twice the budget."""
TRIES, MOST_TRIES = 3, 10
"""How often units are chosen anew to use a share up, and how often so that they fit it at all."""
RUN_TOKENS = 250
"""What is sampled comes in runs of about this: a paragraph or two, so that sentences are whole and terms can recur."""


Integers = NDArray[np.integer[Any]]


class Span(NamedTuple):
    """`text[start:end]` of a document, in characters."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OverviewSource:
    """A document as its overview needs it, P passages in the document's order, which do not overlap.

    `read_text` reads all of its text, and is called once. starts, ends: int[P], in characters of that text. tokens: int[P].
    sections: int[P], the number of the section (the innermost heading) that each stands in, ascending. levels: int[P], the
    level of that heading, 0 where there is none.
    """

    read_text: Callable[[], str]
    starts: Integers
    ends: Integers
    tokens: Integers
    sections: Integers
    levels: Integers


def overview_spans(sources: Sequence[OverviewSource], budget_tokens: int) -> list[list[Span]]:
    """What to show of each source: spans in its order, not adjacent, whole sentences where the budget holds one.

    All spans together have at most `budget_tokens` tokens, MARK_TOKENS for each included. Every source with any text has a
    span while there are some eight tokens for each. O(passages + budget) time: of long documents a sample is read.
    """
    sizes = np.array([int(source.tokens.sum()) for source in sources], np.float64)
    shares = share_budget(sizes, budget_tokens)
    times = float(np.clip(MOST_SAMPLED_TOKENS / max(1, budget_tokens), 2, SAMPLE_TIMES))
    shown: list[list[Span]] = []
    left = 0.0
    for source, share in zip(sources, shares.tolist(), strict=True):
        left += share
        text = source.read_text()
        shown.append(_spans_of(source, text, int(left), times))
        left -= _cost(text, shown[-1])
    return shown


def share_budget(sizes: Floats, budget_tokens: int) -> Floats:
    """How many tokens each of F files of `sizes` tokens (float64[F]) gets, float64[F]: by the square root of its size.

    A file that has them gets at least LEAST_TOKENS, or half of an equal share if that is less; none gets more than its
    text takes while others want more. The sum is at most the budget.
    """
    most = np.where(sizes > 0, sizes * LINE_ENDS + MARK_TOKENS, 0.0)
    files = np.count_nonzero(sizes)
    if most.sum() <= budget_tokens:
        spare: Floats = (sizes > 0) * (budget_tokens - most.sum()) / max(1, files)
        return most + spare
    least = np.minimum(most, min(LEAST_TOKENS, budget_tokens / 2 / files))
    low, high = 0.0, float(budget_tokens)
    for _ in range(60):
        middle = (low + high) / 2
        if np.clip(middle * np.sqrt(sizes), least, most).sum() > budget_tokens:
            high = middle
        else:
            low = middle
    shares: Floats = np.clip(low * np.sqrt(sizes), least, most)
    return shares


def _spans_of(source: OverviewSource, text: str, share: int, sample_times: float) -> list[Span]:
    if not len(source.starts) or share <= MARK_TOKENS:
        return []
    whole = [Span(int(source.starts[0]), int(source.ends[-1]))]
    if source.tokens.sum() + MARK_TOKENS <= share and _cost(text, whole) <= share:
        return whole
    units = _sampled_units(source, text, max(LEAST_SAMPLE_TOKENS, sample_times * share))
    if not len(units):
        return []
    return _fitting(source, text, units, share)


def _sampled_units(source: OverviewSource, text: str, most_tokens: float) -> Units:
    passages = _sample(source, most_tokens)
    tokens = source.tokens.astype(np.int64)
    before = np.cumsum(tokens) - tokens
    starts, ends = source.starts.astype(np.int64), source.ends.astype(np.int64)
    return find_units(text, starts[passages], ends[passages], tokens[passages], before[passages])


def _sample(source: OverviewSource, most_tokens: float) -> Numbers:
    """Passages of at most about so many tokens, in runs spread evenly, and the first of each section if these are few."""
    ends = np.cumsum(source.tokens, dtype=np.int64)
    if ends[-1] <= most_tokens:
        return np.arange(len(ends))
    count = max(1, int(most_tokens / RUN_TOKENS))
    runs = np.arange(count) / count * ends[-1]
    first, last = np.searchsorted(ends, runs, "right"), np.searchsorted(ends, runs + RUN_TOKENS)
    spread = np.concatenate([np.arange(a, b) for a, b in zip(first, np.maximum(first + 1, last), strict=True)])
    openings = _section_starts(source)
    return np.union1d(spread, openings) if 4 * len(openings) <= len(spread) else np.unique(spread)


def _section_starts(source: OverviewSource) -> Numbers:
    """The passages that begin a section, but for the first; a section of less than a unit counts with what follows it."""
    starts = np.flatnonzero(np.diff(source.sections)) + 1
    before = np.cumsum(source.tokens, dtype=np.int64) - source.tokens
    return starts[np.diff(before[starts], prepend=0) >= UNIT_TOKENS]


def _choose(source: OverviewSource, units: Units, share: float) -> Numbers:
    """The units to show: the opening, and the best of each of as many parts as the share allows. Ascending."""
    through = np.cumsum(units.tokens)
    crossing = int(np.searchsorted(through, share / OPENING_PART)) + 1
    opening = np.arange(max(1, min(crossing, int(np.searchsorted(through, share / MOST_OPENING_PART, "right")))))
    best_first = np.argsort(-units.worth, kind="stable")
    best_first = np.concatenate((opening[:1], best_first[best_first != 0]))
    sections = _Sections(source)
    chosen, low, high = opening, 1, len(units)
    while low <= high:
        parts = (low + high) // 2
        _, firsts = np.unique(sections.part_of(units.places, parts)[best_first], return_index=True)
        candidate = np.union1d(opening, best_first[firsts])
        if (units.tokens[candidate] + MARK_TOKENS).sum() <= share:
            chosen, low = candidate, parts + 1
        else:
            high = parts - 1
    return chosen


class _Sections:
    """Parts a document into stretches of about equal length that keep to its sections where these are few enough."""

    def __init__(self, source: OverviewSource) -> None:
        before = np.cumsum(source.tokens, dtype=np.float64) - source.tokens
        starts = _section_starts(source)
        self._starts, self._levels = before[starts], source.levels[starts]
        self._total = float(source.tokens.sum())

    def part_of(self, places: Floats, parts: int) -> Numbers:
        """The number of the part that each place, in tokens from the start, falls into: about `parts` of them."""
        edges = np.concatenate(([0.0], self._outermost(parts // 2), [self._total]))
        lengths = np.diff(edges)
        inside = np.maximum(1, np.rint(lengths / self._total * parts)).astype(np.int64)
        section = np.clip(np.searchsorted(edges, places, "right") - 1, 0, len(lengths) - 1)
        share = np.clip((places - edges[section]) / np.maximum(1, lengths[section]), 0, 1 - 1e-9)
        return (np.cumsum(inside) - inside)[section] + (share * inside[section]).astype(np.int64)

    def _outermost(self, most: int) -> Floats:
        """Where sections start, down to the level at which they are still at most `most`; a level is taken whole."""
        for level in sorted(set(self._levels.tolist()), reverse=True):
            starts: Floats = self._starts[self._levels <= level]
            if len(starts) <= most:
                return starts
        return self._starts[:0]


def _fitting(source: OverviewSource, text: str, units: Units, share: int) -> list[Span]:
    """The spans of the units to show. Units' tokens are estimates: what their spans are counted to have corrects them."""
    best = _cut(text, Span(int(units.starts[0]), int(units.ends[0])), share)
    room, most = float(share), 0
    for attempt in range(MOST_TRIES):
        spans = _joined(text, units, _choose(source, units, room))
        cost = _cost(text, spans)
        if most < cost <= share:
            best, most = spans, cost
        if most and (share - most < UNIT_TOKENS or attempt >= TRIES):
            break
        room *= share / cost * (1.0 if cost <= share else 0.98)
    return best


def _joined(text: str, units: Units, chosen: Numbers) -> list[Span]:
    spans: list[Span] = []
    for start, end in zip(units.starts[chosen].tolist(), units.ends[chosen].tolist(), strict=True):
        if spans and not text[spans[-1].end : start].strip():
            spans[-1] = Span(spans[-1].start, end)
        else:
            spans.append(Span(start, end))
    return spans


def _cost(text: str, spans: Sequence[Span]) -> int:
    """What showing the spans takes, with a line end and a mark each."""
    return count_for_budget("\n".join(text[span.start : span.end] for span in spans)) + MARK_TOKENS * len(spans)


def _cut(text: str, span: Span, share: int) -> list[Span]:
    """The longest opening of a span that fits, in words where it has some; none if not a character does."""
    start, end = span
    while end > start and _cost(text, [Span(start, end)]) > share:
        end = start + (end - start) * 7 // 8
    if end < span.end and (space := text.rfind(" ", start, end)) > start:
        end = space
    end = start + len(text[start:end].rstrip())
    return [Span(start, end)] if end > start else []
