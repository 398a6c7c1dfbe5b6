"""Second hops: what a passage that was found names, and where that stands.

A passage names things: people, places, titles, years. Where those stand elsewhere, and above all in sections that are
headed by such a name, may stand the rest of an answer: "the president of the association that publishes the journal". Only
surface forms are followed, so it costs a few look-ups a passage.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bookwheel.indexing.index import MOST_NAME_TERMS, name_key
from bookwheel.indexing.postings import hash_terms
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval.collection import Numbers
from bookwheel.retrieval.scoring import Scorer
from bookwheel.sentences import bare_words
from bookwheel.terms import is_single_character, terms_of

MOST_NAMES = 60
"""Names followed from one passage."""
MOST_PLACES = 300
"""A name that stands in more passages leads nowhere in particular."""
MOST_OF_RAREST = 10_000
"""Passages that have the rarest term of a name; of more, the name is not looked for."""
LEAST_WEIGHT = 2.0
LONGEST_QUOTED_TERMS = 8

_NAME = re.compile(
    r"[A-Z][\w'’\-]*\.?(?:\s+(?:(?:of|the|de|von|van|and|la|du|di|in|for)\s+){0,2}[A-Z0-9][\w'’\-]*\.?)*|\d[\d.,]*\d"
)
_QUOTED = re.compile(r"[《「『“\"]([^《「『“\"》」』”]{2,40})[》」』”\"]")
_SMALL = frozenset("s he she his her we after when however its other most no not".split())


@dataclass(frozen=True, slots=True)
class Link:
    """Something that a passage names: where it stands (ascending passage numbers), and how much that tells."""

    name: str
    places: Numbers
    weight: float


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a term stands: in passages, ascending, and above stretches of them."""

    places: Numbers
    stretches: Numbers

    def __len__(self) -> int:
        return len(self.places) + int((self.stretches[:, 1] - self.stretches[:, 0]).sum())

    def all(self) -> Numbers:
        if not len(self.stretches):
            return self.places
        return np.unique(np.concatenate([self.places, *_passages_of(self.stretches)]))

    def hold(self, asked: Numbers) -> NDArray[np.bool_]:
        """For each of some passages whether the term stands in or above it."""
        holds = np.zeros(len(asked), np.bool_)
        if len(self.places):
            near = np.minimum(np.searchsorted(self.places, asked), len(self.places) - 1)
            holds = self.places[near] == asked
        if len(self.stretches):
            before = np.searchsorted(self.stretches[:, 0], asked, "right") - 1
            holds |= (before >= 0) & (asked < self.stretches[before, 1])
        return holds


class Links:
    """Finds what passages of a collection name. `asked` are the terms of the question: what it names already is no news."""

    def __init__(self, scorer: Scorer, documents: Sequence[IndexedDocument], asked: Iterable[str]) -> None:
        self._scorer = scorer
        self._collection = scorer.collection
        self._documents = documents
        self._asked = frozenset(asked)
        self._places: dict[str, _Places] = {}

    def named_in_question(self, question: str) -> list[Link]:
        """The sections that are headed by something in the question."""
        return self._headed(_name_terms(question), frozenset())

    def of(self, passage: int) -> list[Link]:
        """What a passage names, by its number in the collection, but for what the question names."""
        text, path = self._read(passage)
        heading = path[-1] if path else ""
        return [*self._named(text, heading), *self._headed(_name_terms(text), frozenset(_name_terms(heading)))]

    def terms_named(self, passage: int) -> list[str]:
        """The terms of what a passage and its headings name, but for the question's, each once, in their order."""
        text, path = self._read(passage)
        names = _NAME.findall(" ".join((*path, text)))
        terms = dict.fromkeys(term for name in names for term in terms_of(name) if not is_single_character(term))
        return [term for term in terms if term not in self._asked]

    def _read(self, passage: int) -> tuple[str, tuple[str, ...]]:
        """The text of a passage, and the headings above it."""
        number, own = self._collection.locate(passage)
        document = self._documents[number]
        section = document.index.sections[int(document.index.section_of[own])]
        return document.passages_text(own, own), section.heading_path

    def _named(self, text: str, heading: str) -> list[Link]:
        names = list(dict.fromkeys([*_names_in(text), *([_content(heading)] if heading else [])]))
        fresh = [name for name in names if name and not self._asked.issuperset(name)][:MOST_NAMES]
        self._look_up(dict.fromkeys(term for name in fresh for term in name))
        links = []
        for name in fresh:
            places = self._places_of(name)
            weight = self._scorer.weight(len(places))
            if 2 <= len(places) <= MOST_PLACES and weight >= LEAST_WEIGHT:
                links.append(Link(name_key(name), places, weight))
        return links

    def _headed(self, terms: Sequence[str], own: frozenset[str]) -> list[Link]:
        """The sections that are headed by a run of the terms, the longest run from each term on."""
        keys = list(dict.fromkeys(key for start in range(len(terms)) for key in _keys_from(terms, start)))
        found = self._collection.named(hash_terms(keys))
        named = {key: stretches for key, stretches in zip(keys, found, strict=True) if len(stretches)}
        links = []
        for key in _longest_from_each(terms, named):
            if own.issuperset(key.split("\x1f")):
                continue
            places = np.unique(np.concatenate(_passages_of(named[key])))
            if len(places) <= MOST_PLACES:
                links.append(Link(f"\x1e{key}", places, self._scorer.weight(len(places))))
        return links

    def _look_up(self, terms: Iterable[str]) -> None:
        """Find where terms stand, in passages' text or above it."""
        missing = [term for term in terms if term not in self._places]
        if not missing:
            return
        hashes = hash_terms(missing)
        under = self._collection.heading_occurrences(hashes)
        for term, found, stretches in zip(missing, self._collection.occurrences(hashes), under, strict=True):
            self._places[term] = _Places(found.places, stretches)

    def _places_of(self, name: Sequence[str]) -> Numbers:
        """The passages that have all terms of a name; none if all its terms are common."""
        rarest, *others = sorted((self._places[term] for term in name), key=len)
        if len(rarest) > MOST_OF_RAREST:
            return np.zeros(0, np.int64)
        places = rarest.all()
        for other in others:
            places = places[other.hold(places)]
        return places


def _longest_from_each(terms: Sequence[str], named: Iterable[str]) -> list[str]:
    known = frozenset(named)
    longest: dict[str, None] = {}
    for start in range(len(terms)):
        key = next((key for key in reversed(_keys_from(terms, start)) if key in known), None)
        if key is not None:
            longest[key] = None
    return list(longest)


def _passages_of(stretches: Numbers) -> list[Numbers]:
    return [np.arange(start, end) for start, end in stretches.tolist()]


def _keys_from(terms: Sequence[str], start: int) -> list[str]:
    """The keys of what may be a name and begins with a term, the shortest first: none begins or ends with a small word."""
    small = _small_terms()
    if terms[start] in small:
        return []
    ends = range(start + 1, min(len(terms), start + MOST_NAME_TERMS) + 1)
    return [name_key(terms[start:end]) for end in ends if terms[end - 1] not in small]


def _name_terms(text: str) -> list[str]:
    return [term for term in terms_of(text) if not is_single_character(term)]


def _names_in(text: str) -> list[tuple[str, ...]]:
    """The names in a text, each as its terms: capitalised words in a row, numbers, what stands in quotation marks."""
    names = [_content(name) for name in _NAME.findall(text)]
    quoted = (_content(quote) for quote in _QUOTED.findall(text))
    return [*names, *(name for name in quoted if len(name) <= LONGEST_QUOTED_TERMS)]


def _content(name: str) -> tuple[str, ...]:
    terms = terms_of(bare_words(name))
    return tuple(dict.fromkeys(t for t in terms if t not in _SMALL and not is_single_character(t)))


@cache
def _small_terms() -> frozenset[str]:
    """Terms that are no name even where a heading has them alone."""
    asking = (
        "the a an and or of in on at to for from by with as is are was were be been it its he she his her they we you i"
    )
    return frozenset(terms_of(asking)) | _SMALL
