"""Finds the passages of a request's documents that bear on its question, as many as a budget holds.

The story: weigh the question's terms, score every passage by them, prefer files that the question names, let passages of a
conversation count for what is said around them, and pick.
"""

import math
from collections.abc import Sequence

import numpy as np

from bookwheel.indexing.index import Index
from bookwheel.indexing.postings import hash_terms
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval.collection import Collection, Floats, Numbers, Run
from bookwheel.retrieval.links import Links
from bookwheel.retrieval.question import Question, telling, weigh_terms
from bookwheel.retrieval.scoring import NEAR_WINDOWS, WIDE_WINDOWS, Gains, Scorer, Windows
from bookwheel.retrieval.selection import Beside, Costs, Selection

CONVERSATION_REACHES = (7, 20)
"""In a conversation what was asked about is spread over turns: passages to either side whose mean score is added."""
WIDE_REACH, WIDE_WEIGHT = 7, 1e-3
"""The same everywhere, so lightly that it only decides between passages of which nothing else is known."""
WIDE_BUDGET_TOKENS = 3_000
BEST = 200
"""Passages of the best scores, at which support is measured."""
ALIKE_SHARE = 0.7
"""Of a term that is spelled like one of the question's which stands nowhere."""
MOST_ALIKE = 4
"""Terms that are spelled like one: of more, the skeleton tells too little."""
TITLE_FACTOR = 1.0
"""How much more a passage counts whose file's title has all that the question says of titles."""


class Searchable:
    """Documents that are searched together, and what does not change from question to question.

    `unit_sizes` and `sections` as `Beside` has them; `in_conversation`: the documents that are transcripts.
    """

    def __init__(self, documents: Sequence[IndexedDocument]) -> None:
        self.documents = tuple(documents)
        collection = Collection([document.index for document in documents])
        self.collection = collection
        self.unit_sizes = np.ones(collection.size, np.float32)
        self.sections = np.full(collection.size, -1, np.int64)
        sections_before = 0
        for document, index in enumerate(collection.indexes):
            own = collection.stretch_of(document)
            self.unit_sizes[own] = _unit_sizes(index)
            self.sections[own] = index.section_of.astype(np.int64) + sections_before
            sections_before += len(index.sections) + 1
        self._scorers: dict[Windows, Scorer] = {}
        self.in_conversation = [n for n, index in enumerate(collection.indexes) if index.is_conversation]

    def scorer(self, budget_tokens: int) -> Scorer:
        """Scores passages for a budget: a large one holds paragraphs, and they are what is looked for then."""
        windows = WIDE_WINDOWS if budget_tokens >= WIDE_BUDGET_TOKENS else NEAR_WINDOWS
        if windows not in self._scorers:
            self._scorers[windows] = Scorer(self.collection, windows)
        return self._scorers[windows]


class Search:
    """One question over documents. `budget_tokens` says how wide windows are scored."""

    def __init__(self, searchable: Searchable, question: Question, budget_tokens: int, costs: Costs) -> None:
        self._collection = searchable.collection
        scorer = searchable.scorer(budget_tokens)
        shares = weigh_terms(question)
        self._terms, self._told = list(shares), telling(shares)
        self._gains = scorer.gains(hash_terms(self._terms))
        weights = self._gains.weights * np.array(list(shares.values()), np.float32)
        unknown = [term for term, weight in zip(self._terms, weights, strict=True) if not weight and shares[term] >= 1]
        weighed = _with_spellings(scorer, unknown, Gains(self._gains.rows, weights))
        self._base: Floats = weighed.weights @ weighed.rows
        beside = Beside(
            _added(searchable, self._base),
            _title_factors(searchable.collection, shares),
            searchable.unit_sizes,
            searchable.sections,
        )
        links = Links(scorer, searchable.documents, self._terms)
        self._headed = links.named_in_question(question.text)
        self._selection = Selection(scorer, weighed, beside, links, costs)

    def pick(self, budget_tokens: int) -> list[list[Run]]:
        """For each document the runs of passages to show, in its order. Called again with a larger budget, it adds to them."""
        picked = self._selection.pick(budget_tokens, self._headed)
        self._headed = []
        return self._collection.runs(picked)

    def drop(self, tokens: int) -> list[list[Run]]:
        """The same without the last picks, of so many tokens at least."""
        return self._collection.runs(self._selection.drop(tokens))

    def support(self) -> float:
        """How much of what the question names stands together in one place, 0 to 1. Unknown terms weigh as the rarest."""
        base = self._base
        best = np.argpartition(-base, BEST)[:BEST] if len(base) > BEST else np.arange(len(base))
        rarest = math.log(1 + (self._collection.passages + 0.5) / 0.5)
        told = np.array([self._terms.index(term) for term in self._told], np.int64)
        weights = self._gains.weights[told]
        weights = np.where(weights > 0, weights, np.float32(rarest))
        if not len(told) or not len(best):
            return 0.0
        together = weights @ (self._gains.rows[told[:, None], best] > 0)
        return round(float(together.max() / weights.sum()), 3)


def warm_up() -> None:
    """Make what the first question would wait for: the folding of characters, the stemmers, the synonyms."""
    weigh_terms(Question("What is 書輪?"))


def _with_spellings(scorer: Scorer, unknown: Sequence[str], gains: Gains) -> Gains:
    """The same, with what is spelled like the question's own words that stand nowhere."""
    alike = scorer.collection.spelled_alike(unknown)
    if not len(alike) or len(alike) > MOST_ALIKE * len(unknown):
        return gains
    found = scorer.gains(alike)
    return Gains(np.concatenate((gains.rows, found.rows)), np.concatenate((gains.weights, ALIKE_SHARE * found.weights)))


def _added(searchable: Searchable, base: Floats) -> Floats:
    """What passages count beside their own score: a little of what is around them, in conversations more."""
    collection = searchable.collection
    sums = np.concatenate((np.zeros(WIDE_REACH + 1), np.cumsum(base, dtype=np.float64)))
    after = np.minimum(np.arange(len(base)) + 2 * WIDE_REACH + 1, len(sums) - 1)
    added: Floats = (WIDE_WEIGHT * (sums[after] - sums[: len(base)]) / (2 * WIDE_REACH + 1)).astype(np.float32)
    for document in searchable.in_conversation:
        own = collection.stretch_of(document)
        added[own] += sum(_means(base[own], reach) for reach in CONVERSATION_REACHES)
    return added


def _means(scores: Floats, reach: int) -> Floats:
    """The mean score around each passage of a document: float32[passages]."""
    sums = np.concatenate(([0.0], np.cumsum(scores, dtype=np.float64)))
    numbers = np.arange(len(scores))
    first, last = np.maximum(0, numbers - reach), np.minimum(len(scores), numbers + reach + 1)
    means: Floats = ((sums[last] - sums[first]) / (2 * reach + 1)).astype(np.float32)
    return means


def _unit_sizes(index: Index) -> Floats:
    """How many passages stand under the same outermost heading as each passage; all, where there are no headings."""
    units: Numbers = index.units[index.section_of]
    sizes: Floats = np.bincount(units)[units].astype(np.float32) if len(units) else np.zeros(0, np.float32)
    return sizes


def _title_factors(collection: Collection, shares: dict[str, float]) -> Floats:
    """What a passage's score is multiplied by for the title of its file: 1, up to 1 + TITLE_FACTOR."""
    factors = np.ones(collection.size, np.float32)
    files = len(collection.indexes)
    if files < 2:
        return factors
    titled = collection.titled(hash_terms(shares))
    having = titled.sum(axis=1)
    weights = np.where(having > 0, np.log((files + 1) / np.maximum(having, 1)), 0.0) * np.array(list(shares.values()))
    by_file = weights @ titled
    most = max(float(by_file.max(initial=0)), math.log(files + 1))
    for document in np.flatnonzero(by_file).tolist():
        factors[collection.stretch_of(document)] += TITLE_FACTOR * by_file[document] / most
    return factors
