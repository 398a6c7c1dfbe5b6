"""The passages of a request's documents as one row of numbers, and where in it the terms of a question stand.

Passages of all documents are numbered through, with PADDING numbers between two documents that belong to none, so that
windows over neighbouring passages never mix documents. Document frequencies are those of just these documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bookwheel.indexing.index import Index
from bookwheel.indexing.postings import Hashes, Postings

PADDING = 8
Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Where a term stands: ascending numbers of passages, and how often in each."""

    places: Numbers
    counts: Floats


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring passages of one document, by their numbers in it, both included."""

    first: int
    last: int


class Collection:
    """The documents of one request. N is the length of the row.

    tokens, lengths: float32[N], 0 where there is padding. first: the number of each document's first passage.
    """

    def __init__(self, indexes: Sequence[Index]) -> None:
        self.indexes = tuple(indexes)
        sizes = np.array([len(index) + PADDING for index in indexes], np.int64)
        self.first = np.concatenate(([0], np.cumsum(sizes)[:-1])) if len(sizes) else np.zeros(0, np.int64)
        self.size = int(sizes.sum())
        self.passages = int(self.size - PADDING * len(sizes))
        self.tokens = self._row([index.tokens for index in indexes])
        self.lengths = self._row([index.lengths for index in indexes])

    def stretch_of(self, document: int) -> slice:
        """The numbers of a document's passages."""
        first = int(self.first[document])
        return slice(first, first + len(self.indexes[document]))

    def document_of(self, numbers: Numbers) -> Numbers:
        """Which document each passage belongs to."""
        return np.searchsorted(self.first, numbers, "right") - 1

    def occurrences(self, hashes: Hashes) -> list[Occurrences]:
        """Where each of some terms stands in the passages' own text."""
        found: list[list[tuple[Numbers, Floats]]] = [[] for _ in hashes]
        for index, first in zip(self.indexes, self.first, strict=True):
            for term, number in enumerate(index.words.find(hashes).tolist()):
                if number >= 0:
                    places, counts = index.words.of(number)
                    found[term].append((places + first, counts.astype(np.float32)))
        return [_joined(parts) for parts in found]

    def heading_occurrences(self, hashes: Hashes) -> list[list[tuple[int, int]]]:
        """The stretches of passages (first, after the last) under a heading that has the term, for each of some terms."""
        return self._headings.find(hashes)

    def named(self, hashes: Hashes) -> list[list[tuple[int, int]]]:
        """The stretches of passages right under a heading that is just this name, for each of some names."""
        return self._names.find(hashes)

    @cached_property
    def _headings(self) -> "_Stretches":
        return _Stretches(self, [index.headings for index in self.indexes])

    @cached_property
    def _names(self) -> "_Stretches":
        return _Stretches(self, [index.names for index in self.indexes])

    def titled(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which documents' titles have which terms: bool[terms, documents]."""
        if not self.indexes:
            return np.zeros((len(hashes), 0), np.bool_)
        return np.stack([np.isin(hashes, index.title_terms) for index in self.indexes], axis=1)

    def runs(self, numbers: Sequence[int]) -> list[list[Run]]:
        """For each document its runs among some passages, which are given in ascending order."""
        runs: list[list[Run]] = [[] for _ in self.indexes]
        for number, document in zip(numbers, self.document_of(np.array(numbers, np.int64)).tolist(), strict=True):
            own = number - int(self.first[document])
            if runs[document] and runs[document][-1].last == own - 1:
                runs[document][-1] = Run(runs[document][-1].first, own)
            else:
                runs[document].append(Run(own, own))
        return runs

    def _row(self, parts: Sequence[NDArray[np.uint16]]) -> Floats:
        row = np.zeros(self.size, np.float32)
        for part, first in zip(parts, self.first.tolist(), strict=True):
            row[first : first + len(part)] = part
        return row


class _Stretches:
    """The stretches of passages under headings, of all documents together, by the hashes of terms: sorted once."""

    def __init__(self, collection: Collection, postings: Sequence[Postings]) -> None:
        hashes, starts, ends = [], [], []
        for index, own, first in zip(collection.indexes, postings, collection.first.tolist(), strict=True):
            hashes.append(np.repeat(own.hashes, np.diff(own.offsets)))
            starts.append(first + np.searchsorted(index.section_of, own.places, "left"))
            ends.append(first + np.searchsorted(index.section_of, own.places, "right"))
        everything = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
        order = np.argsort(everything, kind="stable")
        self._hashes = everything[order]
        self._stretches = np.column_stack((np.concatenate(starts), np.concatenate(ends)))[order] if hashes else order

    def find(self, hashes: Hashes) -> list[list[tuple[int, int]]]:
        """The stretches, (first passage, after the last), for each of some hashes."""
        firsts = np.searchsorted(self._hashes, hashes, "left").tolist()
        lasts = np.searchsorted(self._hashes, hashes, "right").tolist()
        return [
            [(start, end) for start, end in self._stretches[first:last].tolist() if start < end] if first < last else []
            for first, last in zip(firsts, lasts, strict=True)
        ]


def _joined(parts: list[tuple[Numbers, Floats]]) -> Occurrences:
    if not parts:
        return Occurrences(np.zeros(0, np.int64), np.zeros(0, np.float32))
    return Occurrences(np.concatenate([p for p, _ in parts]), np.concatenate([c for _, c in parts]))
