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
from bookwheel.indexing.postings import Hashes, Postings, hash_terms
from bookwheel.indexing.spellings import skeleton

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

    def locate(self, number: int) -> tuple[int, int]:
        """The document that a passage belongs to, and the passage's number in it."""
        document = int(np.searchsorted(self.first, number, "right")) - 1
        return document, number - int(self.first[document])

    def occurrences(self, hashes: Hashes) -> list[Occurrences]:
        """Where each of some terms stands in the passages' own text."""
        known, documents, numbers = self._words
        firsts = np.searchsorted(known, hashes, "left").tolist()
        lasts = np.searchsorted(known, hashes, "right").tolist()
        return [
            self._of_documents(documents[first:last].tolist(), numbers[first:last].tolist())
            for first, last in zip(firsts, lasts, strict=True)
        ]

    def _of_documents(self, documents: Sequence[int], numbers: Sequence[int]) -> Occurrences:
        """Where a term stands that has these numbers in the indexes of these documents, which ascend."""
        parts = [self.indexes[document].words.of(number) for document, number in zip(documents, numbers, strict=True)]
        if not parts:
            return Occurrences(np.zeros(0, np.int64), np.zeros(0, np.float32))
        places = np.concatenate([places for places, _ in parts]).astype(np.int64)
        places += np.repeat(self.first[documents], [len(own) for own, _ in parts])
        return Occurrences(places, np.concatenate([counts for _, counts in parts]).astype(np.float32))

    @cached_property
    def _words(self) -> tuple[Hashes, NDArray[np.uint16], NDArray[np.uint32]]:
        """The terms of all documents, ascending by hash, then by document: with the document and the number there."""
        sizes = [len(index.words.hashes) for index in self.indexes]
        known = np.concatenate([np.zeros(0, np.uint64), *(index.words.hashes for index in self.indexes)])
        documents = np.repeat(np.arange(len(sizes), dtype=np.uint16), sizes)
        numbers = np.concatenate([np.zeros(0, np.uint32), *(np.arange(size, dtype=np.uint32) for size in sizes)])
        order = np.argsort(known, kind="stable")
        return known[order], documents[order], numbers[order]

    def spelled_alike(self, terms: Sequence[str]) -> Hashes:
        """The hashes of the terms that stand in the documents and are spelled like one of those: uint64[terms found]."""
        keys = hash_terms(bones for term in terms if (bones := skeleton(term)))
        found = [np.zeros(0, np.uint64)]
        for index in self.indexes if len(keys) else ():
            numbers = index.spellings.find(keys)
            found += [index.words.hashes[index.spellings.of(number)[0]] for number in numbers[numbers >= 0].tolist()]
        return np.unique(np.concatenate(found))

    def heading_occurrences(self, hashes: Hashes) -> list[Numbers]:
        """The stretches of passages under a heading that has the term, for each of some terms: int64[stretches, 2].

        A stretch is a first passage and the one after its last; they are disjoint and ascend.
        """
        return self._headings.find(hashes)

    def named(self, hashes: Hashes) -> list[Numbers]:
        """The stretches of passages right under a heading that is just this name, for each of some names, as above."""
        return self._names.find(hashes)

    @cached_property
    def _headings(self) -> "_Stretches":
        return _Stretches(self, [index.headings for index in self.indexes])

    @cached_property
    def _names(self) -> "_Stretches":
        return _Stretches(self, [index.names for index in self.indexes])

    def titled(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which documents' titles have which terms: bool[terms, documents]."""
        known, documents = self._titles
        having = np.zeros((len(hashes), len(self.indexes)), np.bool_)
        firsts, lasts = np.searchsorted(known, hashes, "left"), np.searchsorted(known, hashes, "right")
        for term in np.flatnonzero(firsts < lasts).tolist():
            having[term, documents[firsts[term] : lasts[term]]] = True
        return having

    @cached_property
    def _titles(self) -> tuple[Hashes, Numbers]:
        """The terms of all titles, ascending, and beside each the number of the document."""
        terms = [index.title_terms for index in self.indexes]
        known = np.concatenate([np.zeros(0, np.uint64), *terms])
        documents = np.repeat(np.arange(len(terms)), [len(own) for own in terms])
        order = np.argsort(known, kind="stable")
        return known[order], documents[order]

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
        everything = np.concatenate([np.zeros(0, np.uint64), *hashes])
        stretches = np.column_stack([np.concatenate([np.zeros(0, np.int64), *edges]) for edges in (starts, ends)])
        order = np.argsort(everything, kind="stable")
        order = order[stretches[order, 0] < stretches[order, 1]]
        self._hashes, self._stretches = everything[order], stretches[order]

    def find(self, hashes: Hashes) -> list[Numbers]:
        """The stretches for each of some hashes: int64[stretches, 2]."""
        firsts = np.searchsorted(self._hashes, hashes, "left").tolist()
        lasts = np.searchsorted(self._hashes, hashes, "right").tolist()
        return [self._stretches[first:last] for first, last in zip(firsts, lasts, strict=True)]
