"""How much each passage of a collection has of each term of a question.

BM25 (Robertson and Zaragoza, 2009) over windows: the passage, and the passage with its neighbours. A heading's terms
count as if they stood in every passage under it, a file's title as if it stood in all of them. Statistics are those of
the request's own documents.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bookwheel.indexing.postings import Hashes
from bookwheel.retrieval.collection import Collection, Floats, Numbers, Occurrences

K1 = 1.2
B = 0.5
Windows = tuple[tuple[int, float], ...]
NEAR_WINDOWS: Windows = ((0, 0.25), (1, 0.75))
"""(neighbours to either side, share): what a question names stands close together, but seldom in one sentence."""
WIDE_WINDOWS: Windows = ((0, 0.25), (1, 0.45), (3, 0.3))
"""The same for large budgets, which hold whole paragraphs."""
HEADING_COUNT = 1.0
TITLE_COUNT = 1.0
DENSE_SHARE = 0.1
"""A term in more of the passages is scored in all of them at once."""


@dataclass(frozen=True, slots=True)
class Gains:
    """What passages have of terms, T terms over N passages: float32[T, N], 0 to (K1 + 1), and what each term tells: float32[T].

    `weights` are inverse document frequencies: the score of a passage is the sum of its gains by their weights.
    """

    rows: NDArray[np.float32]
    weights: NDArray[np.float32]


class Scorer:
    """Scores terms over one collection."""

    def __init__(self, collection: Collection, windows: Windows) -> None:
        self.collection = collection
        self._windows = windows
        self.is_passage = collection.lengths > 0
        self._saturation = [self._saturate(reach) for reach, _ in windows]

    def gains(self, hashes: Hashes) -> Gains:
        """What the passages have of some terms."""
        collection = self.collection
        rows = np.zeros((len(hashes), collection.size), np.float32)
        weights = np.zeros(len(hashes), np.float32)
        titled = collection.titled(hashes)
        under = collection.heading_occurrences(hashes)
        for number, found in enumerate(collection.occurrences(hashes)):
            above = self._counts_above(under[number], titled[number])
            weights[number] = self.weight(self._having(found, above))
            if weights[number]:
                self._fill(rows[number], found, above)
        rows[:, ~self.is_passage] = 0
        return Gains(rows, weights)

    def weight(self, having: int) -> float:
        """What a term tells that stands in so many passages; 0 for one that stands in none."""
        return math.log(1 + (self.collection.passages - having + 0.5) / (having + 0.5)) if having else 0.0

    def _counts_above(self, under: Numbers, titled: NDArray[np.bool_]) -> Floats | None:
        """How often a term stands above each passage, in headings or the title: float32[N]; None where it never does."""
        collection = self.collection
        documents = np.flatnonzero(titled) if len(collection.indexes) > 1 else np.zeros(0, np.int64)
        if not len(under) and not len(documents):
            return None
        counts = np.zeros(collection.size, np.float32)
        for start, end in under.tolist():
            counts[start:end] = HEADING_COUNT
        for document in documents.tolist():
            own = collection.stretch_of(document)
            counts[own] = np.maximum(counts[own], TITLE_COUNT)
        return counts

    def _having(self, found: Occurrences, above: Floats | None) -> int:
        if above is None:
            return len(found.places)
        return int(np.count_nonzero(above)) + int(np.count_nonzero(above[found.places] == 0))

    def _fill(self, row: Floats, found: Occurrences, above: Floats | None) -> None:
        """Set a term's gains. A rare term's are set only where it stands and beside that."""
        size = self.collection.size
        counts = np.zeros(size, np.float32)
        counts[found.places] = found.counts
        reach = max(reach for reach, _ in self._windows)
        places = (
            _around(found.places, reach, size) if above is None and len(found.places) < DENSE_SHARE * size else None
        )
        for (reach, share), saturation in zip(self._windows, self._saturation, strict=True):
            near = _window_sums(counts, reach, places)
            if above is not None:
                near += above
            if places is None:
                row += share * (K1 + 1) * near / (near + saturation)
            else:
                row[places] += share * (K1 + 1) * near / (near + saturation[places])

    def _saturate(self, reach: int) -> Floats:
        """The count at which a term's gain is half its most, by the length of the window around each passage."""
        lengths = _window_sums(self.collection.lengths, reach, None)
        mean = float(lengths[self.is_passage].mean()) if self.is_passage.any() else 1.0
        saturation: Floats = K1 * (1 - B + B * lengths / mean)
        return saturation


def _around(places: NDArray[np.int64], reach: int, size: int) -> NDArray[np.int64]:
    """The places and those at most `reach` beside them, ascending."""
    is_near = np.zeros(size + 2 * reach, np.bool_)
    for step in range(2 * reach + 1):
        is_near[places + step] = True
    return np.flatnonzero(is_near[reach : reach + size])


def _window_sums(counts: Floats, reach: int, places: NDArray[np.int64] | None) -> Floats:
    """The sums over windows around the places, or around every place where none are given."""
    if places is None:
        sums = counts.copy()
        for step in range(1, reach + 1):
            sums[step:] += counts[:-step]
            sums[:-step] += counts[step:]
        return sums
    sums = counts[places]
    for step in range(1, reach + 1):
        sums += counts[np.maximum(places - step, 0)] * (places >= step)
        sums += counts[np.minimum(places + step, len(counts) - 1)] * (places + step < len(counts))
    return sums
