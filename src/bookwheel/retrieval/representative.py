"""The sentences of a document that stand for what is around them, found without a question and without a model.

A document falls into units: a sentence, or a few short ones of the same line, so that a turn of a conversation begins a
unit. A unit is worth the terms it shares with its surroundings: what a part of a text is about comes again in that part
(the idea of Luhn, 1958, and of lexical chains), weighted by how rare the term is in the document. Nothing here knows
budgets or several documents.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bookwheel.sentences import split_sentences
from bookwheel.terms import is_single_character, terms_of

UNIT_TOKENS = 40
"""Sentences of one line are joined up to this: about 160 letters or 60 Chinese characters. 30 to 60 do as well."""
LONGEST_UNIT_TOKENS = 4 * UNIT_TOKENS
"""What is longer, as speech and data written without sentence ends are, is cut where its lines or passages end."""
SURROUNDINGS_TOKENS = 600
"""How far to either side a term counts as coming again; 300 to 1,000 do as well."""
LENGTH_POWER = 0.5
"""Worth is divided by the tokens to this power: with 0 the longest sentences win and parts go short, with 1 fragments."""

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Units:
    """Consecutive units of a text, U of them: `text[starts[i]:ends[i]]`, white space around it excluded.

    starts, ends: int64[U], in characters. tokens: float64[U], estimated. places: float64[U], the tokens before the middle
    of the unit in the whole document. worth: float64[U], how well it stands for its surroundings.
    """

    starts: Numbers
    ends: Numbers
    tokens: Floats
    places: Floats
    worth: Floats

    def __len__(self) -> int:
        return len(self.starts)


def find_units(text: str, starts: Numbers, ends: Numbers, tokens: Numbers, before: Numbers) -> Units:
    """The units of some passages of a text, without page marks. Where passages follow each other, units may join them.

    P passages in order, int64[P] each: where they start and end in characters, their tokens, and the tokens of the
    document before them. O(characters of the passages) time; the rest of the text is not looked at.
    """
    edges = np.column_stack((starts, ends)).ravel()
    tokens_at_edges = np.column_stack((before, before + tokens)).ravel()
    firsts = np.flatnonzero(before != np.concatenate(([-1], (before + tokens)[:-1])))
    found: list[tuple[int, int]] = []
    for first, last in zip(firsts.tolist(), [*(firsts[1:] - 1).tolist(), len(starts) - 1], strict=True):
        start, end = int(starts[first]), int(ends[last])
        size = int(before[last] + tokens[last] - before[first])
        longest = int(LONGEST_UNIT_TOKENS * max(1, end - start) / max(1, size))
        for unit_start, unit_end in _units_of_stretch(text[start:end], size / max(1, end - start)):
            found.extend(_parts_of_unit(text, ends, start + unit_start, start + unit_end, longest))
    unit_starts, unit_ends = np.array(found, np.int64).reshape(-1, 2).T
    first_tokens = np.interp(unit_starts, edges, tokens_at_edges)
    sizes = np.interp(unit_ends, edges, tokens_at_edges) - first_tokens
    worth = recurrence(text, unit_starts, unit_ends, sizes) / (sizes + 3) ** LENGTH_POWER
    return Units(unit_starts, unit_ends, sizes, first_tokens + sizes / 2, worth)


def _units_of_stretch(text: str, tokens_a_character: float) -> Iterator[tuple[int, int]]:
    """Starts and ends of the units of a text: sentences, those of one line joined until they have UNIT_TOKENS."""
    start = end = -1
    for sentence in split_sentences(text):
        if start >= 0 and "\n" in text[end : sentence.start]:
            yield start, end
            start = -1
        start = sentence.start if start < 0 else start
        end = sentence.end
        if (end - start) * tokens_a_character >= UNIT_TOKENS:
            yield start, end
            start = -1
    if start >= 0:
        yield start, end


def _parts_of_unit(text: str, passage_ends: Numbers, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    """The unit, or parts of at least a quarter of `longest` characters where it is longer: ending with lines, else passages."""
    while end - start > longest:
        cut = text.find("\n", start + longest // 4, end)
        if cut < 0:
            cut = int(passage_ends[np.searchsorted(passage_ends, start + longest // 4)])
        if cut >= end:
            break
        yield start, start + len(text[start:cut].rstrip())
        start = cut + len(text[cut:end]) - len(text[cut:end].lstrip())
    yield start, end


def recurrence(text: str, starts: Numbers, ends: Numbers, tokens: Floats) -> Floats:
    """Of each unit, the sum over its terms of log(1 + units / units that have it) x log(1 + others that have it near by)."""
    numbers: dict[str, int] = {}
    pairs = [
        (numbers.setdefault(term, len(numbers)), unit)
        for unit, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
        for term in set(terms_of(text[start:end]))
        if not is_single_character(term)
    ]
    terms, units = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
    middles = np.cumsum(tokens) - tokens / 2
    apart = tokens.sum() + 2 * SURROUNDINGS_TOKENS
    keys = terms * apart + middles[units]
    near = (
        np.searchsorted(keys, keys + SURROUNDINGS_TOKENS, "right")
        - np.searchsorted(keys, keys - SURROUNDINGS_TOKENS)
        - 1
    )
    having = np.bincount(terms, minlength=1)
    weights = np.log1p(len(starts) / having[terms]) * np.log1p(near)
    return np.bincount(units, weights, minlength=len(starts)).astype(np.float64)
