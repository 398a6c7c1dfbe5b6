"""Finds the passages of a request's documents that bear on its question, as many as a budget holds.

The story: weigh the question's terms, score every passage by them, prefer files that the question names, let passages of a
conversation count for what is said around them, and pick.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bookwheel.indexing.index import Index
from bookwheel.indexing.postings import hash_terms
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval.collection import Collection, Floats, Numbers, Run
from bookwheel.retrieval.links import Links
from bookwheel.retrieval.question import Question, telling, weigh_terms
from bookwheel.retrieval.scoring import Gains, Scorer
from bookwheel.retrieval.selection import Beside, Costs, Selection

CONVERSATION_REACHES = (7, 20)
"""In a conversation what was asked about is spread over turns: passages to either side whose mean score is added."""
WIDE_REACH, WIDE_WEIGHT = 7, 1e-3
"""The same everywhere, so lightly that it only decides between passages of which nothing else is known."""
TITLE_FACTOR = 1.0
"""How much more a passage counts whose file's title has all that the question says of titles."""


@dataclass(frozen=True, slots=True)
class Found:
    """For each document the runs of passages to show, in its order.

    `support`: how much of what the question names stands together in one place, 0 to 1.
    """

    runs: list[list[Run]]
    support: float


class Searchable:
    """Documents that are searched together, and what does not change from question to question."""

    def __init__(self, documents: Sequence[IndexedDocument]) -> None:
        self.documents = tuple(documents)
        self.scorer = Scorer(Collection([document.index for document in documents]))


def search(searchable: Searchable, question: Question, budget_tokens: int, costs: Costs) -> Found:
    """The passages to show within a budget. Takes time in proportion to the passages, and the same for the same request."""
    scorer = searchable.scorer
    collection = scorer.collection
    shares = weigh_terms(question)
    terms = list(shares)
    gains = scorer.gains(terms)
    weighed = Gains(gains.rows, gains.weights * np.array([shares[term] for term in terms], np.float32))
    links = Links(scorer, searchable.documents, terms)
    selection = Selection(scorer, weighed, _beside(scorer, weighed, shares), links, costs)
    picked = selection.pick(budget_tokens, links.named_in_question(question.text))
    return Found(collection.runs(picked), _support(scorer, gains, terms, telling(shares)))


def _beside(scorer: Scorer, gains: Gains, shares: dict[str, float]) -> Beside:
    collection = scorer.collection
    base = gains.weights @ gains.rows
    sums = np.concatenate(([0.0], np.cumsum(base, dtype=np.float64)))
    added = np.zeros(collection.size, np.float32)
    unit_sizes = np.ones(collection.size, np.float32)
    sections = np.full(collection.size, -1, np.int64)
    sections_before = 0
    for document, index in enumerate(collection.indexes):
        own = collection.stretch_of(document)
        added[own] = WIDE_WEIGHT * _means(sums, own, WIDE_REACH)
        if index.is_conversation:
            added[own] += sum(_means(sums, own, reach) for reach in CONVERSATION_REACHES)
        unit_sizes[own] = _unit_sizes(index)
        sections[own] = index.section_of.astype(np.int64) + sections_before
        sections_before += len(index.sections) + 1
    return Beside(added, _title_factors(collection, shares), unit_sizes, sections)


def _means(sums: np.ndarray, own: slice, reach: int) -> Floats:
    """The mean score around each passage of a document, from the running sums over the collection."""
    numbers = np.arange(own.start, own.stop)
    first, last = np.maximum(own.start, numbers - reach), np.minimum(own.stop, numbers + reach + 1)
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


def _support(scorer: Scorer, gains: Gains, terms: Sequence[str], told: Sequence[str]) -> float:
    """The share of the telling terms' weight that stands together in the best window. Unknown terms weigh as the rarest."""
    rarest = math.log(1 + (scorer.collection.passages + 0.5) / 0.5)
    numbers = [terms.index(term) for term in told]
    weights = np.array([float(gains.weights[number]) or rarest for number in numbers], np.float32)
    if not len(weights) or not scorer.collection.passages:
        return 0.0
    together = weights @ (gains.rows[numbers] > 0)
    return round(float(together.max() / weights.sum()), 3)
