"""Words that are spelled alike: what a question misspells is looked for in the spelling that the documents have.

Two words are alike when their skeletons are the same: the consonants in order, doubled ones once, `h` and the
differences of c, k, q, s and z left aside, in the manner of Soundex (Russell, 1918), but longer. Only words that stand in
none of the documents are looked for so.
"""

import re
from collections.abc import Iterable

import numpy as np

from bookwheel.indexing.postings import Postings, hash_terms

LEAST_LETTERS = 6
LEAST_CONSONANTS = 3

_WORD = re.compile(rf"[a-z]{{{LEAST_LETTERS},40}}")
_LETTERS = str.maketrans("cqzeiouy", "kksaaaaa", "h")
_VOWELS = re.compile(r"(?<!^)a+")
_DOUBLED = re.compile(r"(.)\1+")


def skeleton(term: str) -> str | None:
    """What words that are spelled alike have in common; None for a term that is too short to tell, or no word."""
    if not _WORD.fullmatch(term):
        return None
    bones = _DOUBLED.sub(r"\1", _VOWELS.sub("", _DOUBLED.sub(r"\1", term.translate(_LETTERS))))
    return bones if len(bones) - bones.startswith("a") >= LEAST_CONSONANTS else None


def build_spellings(terms: Iterable[str], words: Postings) -> Postings:
    """By the hashes of skeletons the numbers of the terms of `words` that have them, in `places`; all counts are 1."""
    alike = [(bones, term) for term in terms if (bones := skeleton(term))]
    hashes = hash_terms(bones for bones, _ in alike)
    numbers = words.find(hash_terms(term for _, term in alike)).astype(np.uint32)
    order = np.lexsort((numbers, hashes))
    known, offsets = np.unique(hashes[order], return_index=True)
    return Postings(
        hashes=known,
        offsets=np.append(offsets, len(order)).astype(np.uint32),
        places=numbers[order],
        counts=np.ones(len(order), np.uint8),
    )
