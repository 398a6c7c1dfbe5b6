"""Which terms stand where: for each term the numbers of its places, and how often it stands there.

Terms are known by 64-bit hashes alone (BLAKE2b), sorted, so that a term is found by binary search in a mapped file.
Within one document two terms of the same hash are as good as impossible.
"""

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hashes: TypeAlias = NDArray[np.uint64]
MOST_COUNTED = 255


@dataclass(frozen=True, slots=True)
class Postings:
    """`places[offsets[i]:offsets[i + 1]]` are the ascending numbers of the places of the term `hashes[i]`, `counts` beside.

    hashes: uint64[terms], ascending. offsets: uint32[terms + 1]. places: uint32[postings]. counts: uint8[postings].
    """

    hashes: Hashes
    offsets: NDArray[np.uint32]
    places: NDArray[np.uint32]
    counts: NDArray[np.uint8]

    def find(self, hashes: Hashes) -> NDArray[np.intp]:
        """The number of each of some terms, by their hashes; -1 where it does not stand anywhere."""
        if not len(self.hashes):
            return np.full(len(hashes), -1)
        numbers = np.searchsorted(self.hashes, hashes)
        known = self.hashes[np.minimum(numbers, len(self.hashes) - 1)] == hashes
        return np.where(known, numbers, -1)

    def of(self, number: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """The places and counts of the term of that number."""
        start, end = int(self.offsets[number]), int(self.offsets[number + 1])
        return self.places[start:end], self.counts[start:end]


class PostingsBuilder:
    """Takes the terms of one place after the other."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self._terms = array("I")
        self._lengths = array("I")

    def add(self, terms: Iterable[str]) -> int:
        """Add the terms of the next place; how many they were."""
        before = len(self._terms)
        numbers = self._numbers
        self._terms.extend([numbers[term] for term in terms])
        self._lengths.append(len(self._terms) - before)
        return self._lengths[-1]

    def terms(self) -> Iterable[str]:
        """Every term that was added, once."""
        return self._numbers.keys()

    def build(self) -> Postings:
        """The postings of all places, the first of which has number 0."""
        hashes = hash_terms(self._numbers)
        order = np.argsort(hashes)
        rank = np.empty(len(order), np.uint64)
        rank[order] = np.arange(len(order), dtype=np.uint64)
        places = np.repeat(np.arange(len(self._lengths), dtype=np.uint64), np.frombuffer(self._lengths, np.uint32))
        pairs = rank[np.frombuffer(self._terms, np.uint32)] << np.uint64(32) | places
        found, counts = np.unique(pairs, return_counts=True)
        offsets = np.searchsorted(found, np.arange(len(order) + 1, dtype=np.uint64) << np.uint64(32))
        return Postings(
            hashes=hashes[order],
            offsets=offsets.astype(np.uint32),
            places=(found & np.uint64(0xFFFF_FFFF)).astype(np.uint32),
            counts=np.minimum(counts, MOST_COUNTED).astype(np.uint8),
        )


def hash_terms(terms: Iterable[str]) -> Hashes:
    """The hashes of terms, in their order: uint64[terms]."""
    return np.array([_hash_term(term) for term in terms], np.uint64)


@lru_cache(maxsize=65_536)
def _hash_term(term: str) -> int:
    return int.from_bytes(hashlib.blake2b(term.encode(errors="replace"), digest_size=8).digest(), "little")
