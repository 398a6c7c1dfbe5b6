"""The index of one document: passages, sections, anchors and postings, as arrays that may be mapped from a file.

It holds no text: passages say where in the document's text, as UTF-8, they stand.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from bookwheel.document import BlockSpan
from bookwheel.indexing.passages import Cutting, Section, cut_passages
from bookwheel.indexing.postings import Hashes, Postings, PostingsBuilder, hash_terms
from bookwheel.indexing.spellings import build_spellings
from bookwheel.terms import is_single_character, terms_of

INDEX_VERSION = 1
"""Raise it with every change of what stands in an index, terms and cutting included: older ones are built anew."""
MOST_NAME_TERMS = 7
TOLD_BY_CHARACTERS = 200_000
"""The beginning of a text by which a transcript is told."""

_SPEAKER = re.compile(r"^[^\n:：]{1,40}[:：]", re.MULTILINE)
_IN_BRACKETS = re.compile(r"\s*[(（][^()（）]*[)）]\s*$")
_THE = re.compile(r"^the\s+", re.IGNORECASE)
_LETTER_DIGIT = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}\Z")


@dataclass(frozen=True)
class Index:
    """See the module. P passages, B blocks; offsets are in characters unless they say bytes.

    starts, ends, byte_starts, byte_ends: uint32[P]. tokens, lengths (in terms): uint16[P]. section_of: uint32[P], ascending.
    block_starts: uint32[B]; anchors: the blocks' anchors, UTF-8, that of block i at `anchor_ends[i - 1]` to `anchor_ends[i]`.
    `words` are the postings of the passages' own terms, `headings` those of the sections' heading paths, by section number;
    `names` are those of whole headings (`name_key`), by the number of the section under them; `spellings` as
    `build_spellings` makes them.
    """

    key: str
    title: str
    is_conversation: bool
    starts: NDArray[np.uint32]
    ends: NDArray[np.uint32]
    byte_starts: NDArray[np.uint32]
    byte_ends: NDArray[np.uint32]
    tokens: NDArray[np.uint16]
    lengths: NDArray[np.uint16]
    section_of: NDArray[np.uint32]
    block_starts: NDArray[np.uint32]
    anchor_ends: NDArray[np.uint32]
    anchors: NDArray[np.uint8]
    outline: NDArray[np.uint8]
    title_terms: Hashes
    words: Postings
    headings: Postings
    names: Postings
    spellings: Postings

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def sections(self) -> list[Section]:
        """The document's sections in order; number 0 is what stands before any heading."""
        return msgspec.msgpack.decode(self.outline.tobytes(), type=list[Section])

    @cached_property
    def units(self) -> NDArray[np.int64]:
        """For each section the number of the text it belongs to that stands for itself: what is under an outermost heading."""
        begins = [len(section.heading_path) <= 1 for section in self.sections]
        return np.cumsum(begins, dtype=np.int64)

    def passage_at(self, offset: int) -> int:
        """The number of the passage that holds the character at `offset`, or else of the last before it."""
        return max(0, int(np.searchsorted(self.starts, offset, "right")) - 1)

    def block_at(self, offset: int) -> tuple[str, int]:
        """The anchor of the block that holds the character at `offset`, and where that block starts; "" without blocks."""
        if not len(self.block_starts):
            return "", 0
        number = max(0, int(np.searchsorted(self.block_starts, offset, "right")) - 1)
        start = int(self.anchor_ends[number - 1]) if number else 0
        anchor = self.anchors[start : int(self.anchor_ends[number])].tobytes().decode()
        return anchor, int(self.block_starts[number])


def build_index(text: str, blocks: Sequence[BlockSpan], title: str) -> Index:
    """The index of a document. `title` is what its file is called."""
    cutting = cut_passages(text, blocks)
    words = PostingsBuilder()
    lengths = [words.add(terms_of(text[p.start : p.end])) for p in cutting.passages]
    postings = words.build()
    headings, names = PostingsBuilder(), PostingsBuilder()
    for section in cutting.sections:
        headings.add(terms_of(" ".join(section.heading_path)))
        names.add(_names_of(section))
    starts = np.array([p.start for p in cutting.passages], np.uint32)
    ends = np.array([p.end for p in cutting.passages], np.uint32)
    byte_starts, byte_ends = _byte_offsets(text, cutting)
    anchors = [block.anchor.encode() for block in blocks]
    return Index(
        key=content_key(text, title),
        title=title,
        is_conversation=is_conversation(text),
        starts=starts,
        ends=ends,
        byte_starts=byte_starts,
        byte_ends=byte_ends,
        tokens=_capped([p.tokens for p in cutting.passages]),
        lengths=_capped(lengths),
        section_of=np.array([p.section for p in cutting.passages], np.uint32),
        block_starts=np.array([block.start for block in blocks], np.uint32),
        anchor_ends=np.cumsum([len(anchor) for anchor in anchors], dtype=np.uint32),
        anchors=np.frombuffer(b"".join(anchors), np.uint8),
        outline=np.frombuffer(msgspec.msgpack.encode(cutting.sections), np.uint8),
        title_terms=np.unique(hash_terms(_title_terms(title))),
        words=postings,
        headings=headings.build(),
        names=names.build(),
        spellings=build_spellings(words.terms(), postings),
    )


def name_key(terms: Sequence[str]) -> str:
    """What a whole heading is looked up by, as one term."""
    return "\x1f".join(terms)


def is_conversation(text: str) -> bool:
    """Whether a text is a transcript: more than half of its lines begin with somebody who speaks more than twice."""
    speakers = Counter(found[0] for found in _SPEAKER.finditer(text, 0, TOLD_BY_CHARACTERS))
    lines = sum(1 for line in text[:TOLD_BY_CHARACTERS].splitlines() if line and not line.isspace())
    return 2 * sum(turns for turns in speakers.values() if turns > 2) > lines


def _names_of(section: Section) -> set[str]:
    """The forms in which a text may name a section: its heading, without what stands in brackets, without `the`."""
    if not section.heading_path:
        return set()
    heading = section.heading_path[-1]
    bare = _IN_BRACKETS.sub("", heading)
    forms = (_without_singles(terms_of(form)) for form in (heading, bare, _THE.sub("", bare)))
    return {name_key(terms) for terms in forms if 0 < len(terms) <= MOST_NAME_TERMS}


def _without_singles(terms: Sequence[str]) -> list[str]:
    """Of unspaced scripts the pairs only: those of a name stand in a row wherever it stands."""
    return [term for term in terms if not is_single_character(term)]


def _title_terms(title: str) -> list[str]:
    """The terms of a file's name, `2023Q4` in parts too."""
    stem = _EXTENSION.sub("", title)
    return terms_of(stem) + terms_of(_LETTER_DIGIT.sub(" ", stem))


def content_key(text: str, title: str) -> str:
    """What an index is made from, as a hash: the version, the title and the text."""
    made_from = f"{INDEX_VERSION}\n{title}\n"
    return hashlib.sha256(made_from.encode(errors="replace") + text.encode(errors="replace")).hexdigest()


def _capped(numbers: Sequence[int]) -> NDArray[np.uint16]:
    return np.minimum(np.array(numbers, np.int64), np.iinfo(np.uint16).max).astype(np.uint16)


def _byte_offsets(text: str, cutting: Cutting) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Where each passage stands in the text's UTF-8: starts and ends."""
    starts, ends = [], []
    position = at = 0
    for passage in cutting.passages:
        at += len(text[position : passage.start].encode())
        starts.append(at)
        at += len(text[passage.start : passage.end].encode())
        ends.append(at)
        position = passage.end
    return np.array(starts, np.uint32), np.array(ends, np.uint32)
