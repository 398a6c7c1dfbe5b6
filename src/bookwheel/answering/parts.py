"""Cuts documents into parts, each of which an engine reads in one call, and puts small documents together for a call.

A part is whole passages of one document. Parts of one document are of like size, begin at headings where they can, and
are as few as their limit allows. No text is held here: it is read when its turn comes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from bookwheel.answering.layout import FRAME_TOKENS
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.tokens import count_tokens

SWAY = 0.3
"""How far from its even share a part may be, to begin the next one at a heading."""
ROUGHNESS = np.array([0.4, 0.0, 0.05, 0.1])
"""What a cut before a passage costs, by the depth of the heading it begins with (0: none), as a share of the part's size.
More than `SWAY` where there is no heading: any heading within reach is taken."""
HALF = 0.65
"""What the larger half of a part may have of it: half, and as much as lets it end at a heading."""
SMALL_SHARE = 0.25
"""Of a call's room: a whole document up to that shares its call with others."""
MOST_DOCUMENTS_IN_CALL = 16
"""Notes on more documents at once get thin: their length is bounded for a call."""
ANCHOR_TOKENS = 24
"""What a part's anchors and its number in the call take at most, but for odd ones."""
LONGEST_ANCHOR = 60

CHARACTERS_PER_TOKEN_BETWEEN = 3
"""Of what stands between passages: line ends and page marks."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """The passages of a document, P of them, in order: what is never cut in two.

    starts, ends (in characters), tokens: unsigned integers [P]. levels: uint8[P], the depth of the heading that a passage
    begins with, 0 without one. `anchor_at` gives the anchor of what stands at a character.
    """

    starts: NDArray[np.unsignedinteger]
    ends: NDArray[np.unsignedinteger]
    tokens: NDArray[np.unsignedinteger]
    levels: NDArray[np.uint8]
    anchor_at: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class ReadableDocument:
    """A document as the reading `thorough` needs it.

    `key` tells its content and its account from any other: what is kept of a document serves its account only. What `read`
    raises ends the reading.
    """

    title: str
    key: str
    pieces: Pieces
    read: "ReadPart"
    file_id: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the document of that number in the request, `start` to `end` (excluded) in characters of its text.

    It holds the passages `first_passage` to `end_passage` (excluded), and what stands before the first since the part before.
    """

    document: int
    title: str
    first_passage: int
    end_passage: int
    start: int
    end: int
    tokens: int
    first_anchor: str = ""
    last_anchor: str = ""
    is_whole: bool = False

    @property
    def anchors(self) -> str:
        """Where it stands, in words: `page 3 to page 9`."""
        return span_in_words(self.first_anchor, self.last_anchor)

    @property
    def called(self) -> str:
        """Its document and place, as notes name it."""
        return f"{self.title} ({self.anchors})" if self.anchors else self.title


ReadPart = Callable[[Part], Awaitable[str]]
"""The text of a part of the document."""


def readable_document(
    document: IndexedDocument, title: str, *, account_id: str, file_id: str | None = None
) -> ReadableDocument:
    """An indexed document of an account, which is read from its mapped text."""

    async def read(part: Part) -> str:
        return await asyncio.to_thread(_text_of, document, part)

    key = f"{account_id} {document.index.key}"
    return ReadableDocument(title, key, _pieces_of(document), read, file_id)


def _pieces_of(document: IndexedDocument) -> Pieces:
    index = document.index
    levels = np.array([min(section.level, 255) for section in index.sections], np.uint8)[index.section_of]
    begins = np.diff(index.section_of, prepend=np.uint32(0)) != 0
    return Pieces(index.starts, index.ends, index.tokens, np.where(begins, levels, np.uint8(0)), document.anchor_at)


def cut_into_parts(documents: Sequence[ReadableDocument], room_tokens: int) -> list[Part]:
    """The parts of all documents in order, each with its frame at most `room_tokens`. O(passages).

    A single passage that is larger than that is a part by itself.
    """
    return [part for number, document in enumerate(documents) for part in _cut_document(number, document, room_tokens)]


def halve_part(part: Part, document: ReadableDocument) -> tuple[Part, ...]:
    """A part of the document cut in two, near its middle; nothing where it is a single passage."""
    sums = _token_sums(document.pieces)
    passages = (part.first_passage, part.end_passage)
    first, *rest = _cut(part.document, document, sums, passages, max(1, int(HALF * part.tokens)))
    if not rest:
        return ()
    return first, *_cut(part.document, document, sums, (first.end_passage, part.end_passage), part.tokens)


def share_calls(parts: Sequence[Part], room_tokens: int) -> list[tuple[Part, ...]]:
    """The parts as they go to the engine, call by call: small whole documents together, every other part alone."""
    small_tokens = SMALL_SHARE * room_tokens
    calls: list[tuple[Part, ...]] = []
    together: list[Part] = []
    taken = 0
    for part in parts:
        tokens = part.tokens + frame_tokens(part.title)
        if not part.is_whole or tokens > small_tokens:
            calls.append((part,))
            continue
        if taken + tokens > room_tokens or len(together) == MOST_DOCUMENTS_IN_CALL:
            calls.append(tuple(together))
            together, taken = [], 0
        together.append(part)
        taken += tokens
    return [*calls, tuple(together)] if together else calls


def frame_tokens(title: str) -> int:
    """What goes around a part of a document of that title."""
    return FRAME_TOKENS + ANCHOR_TOKENS + count_tokens(title)


def span_in_words(first: str, last: str) -> str:
    """Two anchors as one: `page 3 to page 9`, or the one where they are the same."""
    first, last = first[:LONGEST_ANCHOR], last[:LONGEST_ANCHOR]
    return f"{first} to {last}" if first and last and first != last else first or last


def _text_of(document: IndexedDocument, part: Part) -> str:
    ends = document.index.byte_ends
    start = int(ends[part.first_passage - 1]) if part.first_passage else 0
    return str(document.text[start : int(ends[part.end_passage - 1])], "utf-8")


def _cut_document(number: int, document: ReadableDocument, room_tokens: int) -> Iterator[Part]:
    limit = max(1, room_tokens - frame_tokens(document.title))
    sums = _token_sums(document.pieces)
    yield from _cut(number, document, sums, (0, len(document.pieces.starts)), limit)


def _cut(
    number: int, document: ReadableDocument, sums: NDArray[np.int64], passages: tuple[int, int], limit: int
) -> Iterator[Part]:
    """The parts that the passages from one number to another (excluded) are cut into."""
    pieces = document.pieces
    first, stop = passages
    start = int(pieces.ends[first - 1]) if first else 0
    while first < stop:
        last = _best_end(pieces.levels, sums, first, stop, limit)
        end = int(pieces.ends[last - 1])
        yield Part(
            document=number,
            title=document.title,
            first_passage=first,
            end_passage=last,
            start=start,
            end=end,
            tokens=int(sums[last] - sums[first]),
            first_anchor=pieces.anchor_at(int(pieces.starts[first])),
            last_anchor=pieces.anchor_at(end - 1),
            is_whole=first == 0 and last == len(pieces.starts),
        )
        first, start = last, end  # what stands between passages, such as a page mark, belongs to the one behind it


def _token_sums(pieces: Pieces) -> NDArray[np.int64]:
    """int64[P + 1]: the tokens before each passage, those between passages included."""
    ends = pieces.ends.astype(np.int64)
    between = pieces.starts - np.concatenate(([0], ends[:-1]))[: len(ends)]
    tokens = pieces.tokens + -(-between // CHARACTERS_PER_TOKEN_BETWEEN)
    return np.concatenate(([0], np.cumsum(tokens))).astype(np.int64)


def _best_end(levels: NDArray[np.uint8], sums: NDArray[np.int64], first: int, stop: int, limit: int) -> int:
    """The number of the passage before which the part that begins at `first` ends; `stop` at the latest."""
    done = int(sums[first])
    left = int(sums[stop]) - done
    if left <= limit:
        return stop
    parts_left = ceil(left / limit)
    target = left / parts_left
    least = max(target * (1 - SWAY), left - (parts_left - 1) * limit)  # with less, one more part would be needed
    low = max(first + 1, int(np.searchsorted(sums, done + least)))
    high = min(stop - 1, int(np.searchsorted(sums, done + min(limit, target * (1 + SWAY)), "right")) - 1)
    if low > high:
        return max(first + 1, int(np.searchsorted(sums, done + limit, "right")) - 1)
    sway = np.abs(sums[low : high + 1] - done - target) / target
    return low + int(np.argmin(sway + ROUGHNESS[np.minimum(levels[low : high + 1], 3)]))
