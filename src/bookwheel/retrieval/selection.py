"""Picks passages one by one until a budget is spent.

Selection is not ranking: each pick lowers what the question's terms still count by what it covers of them, though never
below a floor, lends something to its neighbours, and brings in what it names (`links`). Late in a large budget the rare
terms of the first picks are looked for too, where documents are long.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bookwheel.indexing.postings import hash_terms
from bookwheel.retrieval.collection import Collection, Floats, Numbers
from bookwheel.retrieval.links import Link, Links
from bookwheel.retrieval.scoring import Gains, Scorer
from bookwheel.tokens import count_tokens

CANDIDATES = 3_000
COVERED = 0.6
"""How much of a term's weight a pick takes that has the most of it."""
FLOOR, FLOOR_OF_SHORT = 0.5, 0.3
"""Of a term's weight that always stays; less where texts are short and each speaks of something else (SHORT_UNIT)."""
LENT = 0.2
"""Of a pick's own score that its neighbours in the same section get."""
LINKING_PICKS = 16
LINK_WEIGHT = 0.8
HEADED_WEIGHT = 0.5
"""Of a section that the question names."""
LINK_COVERED = 0.25
SHORT_UNIT = 12
"""Passages of a text that stands for itself. What a passage of a longer one names is mostly in it, and links count less."""
LATE_TOKENS = 4_400
LATE_PICKS = 5
LATE_TERMS = 12
LATE_WEIGHT = 0.3
LATE_SHARE = 0.5
LEAST_ROOM_FOR_REST_TOKENS = 400
"""With less left when the candidates are used up, what remains of them did not fit, and others hardly would."""
LEAST_LEFT_TOKENS = 40
"""What is left of a budget then holds no further passage."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What showing takes beside the passages, in tokens: a document's frame, by its number, and a mark before each run. Where
    runs stand in a document is said once for all that stand at the same place."""

    frames: Sequence[int]
    mark: int
    place: Callable[[int, int], str]
    """(number of the document, number of a passage of it) → its place, as it is written."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What passages count beside their terms, float32[N] each: `added` to the sum over terms, which `factor` multiplies;
    `unit_sizes` are the passages of the text around each that stands for itself; `sections` numbers sections."""

    added: Floats
    factor: Floats
    unit_sizes: Floats
    sections: Numbers


@dataclass(slots=True)
class _Followed:
    """Where a link leads, and what it still counts."""

    places: Numbers
    weight: float


class Selection:
    """Picks out of one collection for one question. Use it once."""

    def __init__(self, scorer: Scorer, gains: Gains, beside: Beside, links: Links, costs: Costs) -> None:
        self._scorer = scorer
        self._beside = beside
        self._links = links
        self._costs = costs
        self._rows, self._weights = gains.rows, gains.weights
        self._left = gains.weights.copy()
        self._most = gains.rows.max(axis=1, initial=0)
        self._bonus = np.zeros(scorer.collection.size, np.float32)
        self._is_open = scorer.is_passage.copy()
        self._followed: dict[str, _Followed] = {}
        self._leading_to: defaultdict[int, list[_Followed]] = defaultdict(list)
        self._first_score: float | None = None
        self._has_looked_late = False
        self._floor = FLOOR - (FLOOR - FLOOR_OF_SHORT) * self._short_share(np.flatnonzero(scorer.is_passage))
        self._candidates: Numbers = np.zeros(0, np.int64)
        self._is_candidate = np.zeros(scorer.collection.size, np.bool_)
        self._picked_before = 0
        self.picked: list[int] = []
        self._is_picked: set[int] = set()
        self._documents: set[int] = set()
        self._places: set[tuple[int, str]] = set()
        self.used_tokens = 0.0

    @property
    def _collection(self) -> Collection:
        return self._scorer.collection

    def pick(self, budget_tokens: int, headed: Iterable[Link]) -> list[int]:
        """The numbers of the passages to show, ascending. `headed` are the sections that the question names."""
        self._is_open = self._scorer.is_passage.copy()  # what did not fit a smaller budget may fit this one
        self._is_open[self.picked] = False
        for link in headed:
            self._follow(link, HEADED_WEIGHT)
        self._find_candidates()
        while (best := self._best() or self._best_of_rest(budget_tokens)) is not None:
            number, score = best
            cost = self._cost(number)
            self._is_open[number] = False
            if self.used_tokens + cost > budget_tokens:
                if budget_tokens - self.used_tokens < LEAST_LEFT_TOKENS:
                    break
                continue
            self._take(number, cost)
            self._cover(number)
            self._lend(number)
            if len(self.picked) <= LINKING_PICKS:
                self._follow_from(number, score)
            if not self._has_looked_late and self.used_tokens >= LATE_TOKENS:
                self._look_late()
        return sorted(self.picked)

    def drop(self, tokens: int) -> list[int]:
        """Take back the last picks, of so many tokens at least; the numbers of those that stay, ascending."""
        while self.picked and tokens > 0:
            number = self.picked.pop()
            self._is_picked.discard(number)
            taken = float(self._collection.tokens[number])
            self.used_tokens -= taken
            tokens -= int(taken)
        return sorted(self.picked)

    def _find_candidates(self) -> None:
        """The best passages as things stand, all of which have a chance until the weights change much."""
        open_places = np.flatnonzero(self._is_open)
        if len(open_places) > CANDIDATES:
            scores = (self._left @ self._rows + self._beside.added) * self._beside.factor + self._bonus
            scores[~self._is_open] = -1
            best = np.argpartition(-scores, CANDIDATES)[:CANDIDATES]
            open_places = np.sort(best[scores[best] >= 0])
        self._set_candidates(open_places)

    def _set_candidates(self, places: Numbers) -> None:
        self._is_candidate = np.zeros(self._collection.size, np.bool_)
        self._is_candidate[places] = True
        self._candidates = places
        self._candidate_rows = np.ascontiguousarray(self._rows[:, places])

    def _add_candidates(self, places: Numbers) -> None:
        fresh = places[self._is_open[places] & ~self._is_candidate[places]]
        if len(fresh):
            self._is_candidate[fresh] = True
            self._candidates = np.concatenate((self._candidates, fresh))
            self._candidate_rows = np.concatenate((self._candidate_rows, self._rows[:, fresh]), axis=1)

    def _best(self) -> tuple[int, float] | None:
        places = self._candidates
        if not len(places):
            return None
        beside = self._beside
        by_terms = (self._left @ self._candidate_rows + beside.added[places]) * beside.factor[places]
        scores = by_terms + self._bonus[places]
        scores[~self._is_open[places]] = -1
        best = int(scores.argmax())
        if scores[best] < 0:
            return None
        return int(places[best]), float(scores[best])

    def _best_of_rest(self, budget_tokens: int) -> tuple[int, float] | None:
        """The best beyond the candidates, where these are used up and leave room; none if no more was taken of them."""
        has_taken = len(self.picked) > self._picked_before
        if not has_taken or budget_tokens - self.used_tokens < LEAST_ROOM_FOR_REST_TOKENS:
            return None
        self._picked_before = len(self.picked)
        self._find_candidates()
        return self._best()

    def _cost(self, number: int) -> float:
        document, _ = self._collection.locate(number)
        cost = float(self._collection.tokens[number])
        if number - 1 not in self._is_picked and number + 1 not in self._is_picked:
            cost += self._costs.mark
            place = self._place_of(number)
            if place not in self._places:
                cost += count_tokens(place[1])
        return cost if document in self._documents else cost + self._costs.frames[document]

    def _place_of(self, number: int) -> tuple[int, str]:
        document, own = self._collection.locate(number)
        return document, self._costs.place(document, own)

    def _take(self, number: int, cost: float) -> None:
        self.picked.append(number)
        self._is_picked.add(number)
        place = self._place_of(number)
        self._documents.add(place[0])
        self._places.add(place)
        self.used_tokens += cost

    def _cover(self, number: int) -> None:
        """Lower what the terms and links still count that the pick has."""
        share = np.divide(self._rows[:, number], self._most, out=np.zeros_like(self._most), where=self._most > 0)
        self._left = np.maximum(self._left * (1 - COVERED * share), self._weights * self._floor)
        for followed in self._leading_to.get(number, ()):
            taken = followed.weight * LINK_COVERED
            self._bonus[followed.places] -= taken
            followed.weight -= taken

    def _lend(self, number: int) -> None:
        own = float(self._weights @ self._rows[:, number]) * float(self._beside.factor[number])
        sections = self._beside.sections
        for beside in (number - 1, number + 1):
            if 0 <= beside < len(sections) and sections[beside] == sections[number] and self._is_open[beside]:
                self._bonus[beside] += LENT * own
                self._add_candidates(np.array([beside]))

    def _follow_from(self, number: int, score: float) -> None:
        """Follow what a pick names: the better the pick, and the shorter the text it stands in, the more it counts."""
        self._first_score = score if self._first_score is None else self._first_score
        strength = min(1.0, score / self._first_score) if self._first_score > 0 else 0.0
        strength *= self._short_share(np.array([number]))
        for link in self._links.of(number):
            self._follow(link, LINK_WEIGHT * strength)

    def _short_share(self, numbers: Numbers) -> float:
        """How short the texts are that passages stand in: 1 for SHORT_UNIT and less, near 0 for a book."""
        sizes = np.maximum(1.0, self._beside.unit_sizes[numbers])
        return float(np.minimum(1.0, SHORT_UNIT / sizes).mean()) if len(sizes) else 1.0

    def _follow(self, link: Link, share: float) -> None:
        weight = share * link.weight
        followed = self._followed.get(link.name)
        if followed is None:
            followed = self._followed[link.name] = _Followed(link.places, 0.0)
            for place in link.places.tolist():
                self._leading_to[place].append(followed)
        if weight > followed.weight:
            self._bonus[followed.places] += weight - followed.weight
            followed.weight = weight
            if len(self._candidates):
                self._add_candidates(followed.places)

    def _look_late(self) -> None:
        """Look for the rare terms of the first picks too, where what they stand in is long."""
        self._has_looked_late = True
        first = self.picked[:LATE_PICKS]
        long_share = 1.0 - self._short_share(np.array(first))
        counted = Counter(term for number in first for term in self._links.terms_named(number))
        terms = [term for term, _ in counted.most_common(LATE_TERMS)]
        if long_share <= LATE_SHARE or not terms:
            return
        gains = self._scorer.gains(hash_terms(terms))
        top = float(gains.weights.max(initial=0)) or 1.0
        weights = (long_share * LATE_WEIGHT * float(self._weights.max(initial=0)) / top) * gains.weights
        self._rows = np.concatenate((self._rows, gains.rows))
        self._weights = np.concatenate((self._weights, weights)).astype(np.float32)
        self._left = np.concatenate((self._left, weights)).astype(np.float32)
        self._most = np.concatenate((self._most, gains.rows.max(axis=1, initial=0)))
        self._find_candidates()
