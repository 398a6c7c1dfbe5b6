"""Search terms: what of a text is looked up and compared.

Words of spaced scripts are stemmed; Chinese, Japanese, Korean and the unspaced scripts of South-East Asia give single
characters and pairs of neighbours, which measured as good as any dictionary. Width, case, accents and traditional
characters are folded, here only: what is shown is the file's own text. Numbers and dates that are not written as plain
digits give what they come to besides, so that "nineteen", 十九 and 19 meet.
"""

import re
import unicodedata
from functools import cache, lru_cache
from operator import add

import opencc
from Stemmer import Stemmer

from bookwheel.numerals import number_terms
from bookwheel.spelled_numbers import DIGITS, FORMAL_DIGITS, LARGE, SMALL

CJK = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af\U00020000-\U0003ffff"
"""A character class of Chinese, Japanese and Korean, for regular expressions."""
_UNSPACED = f"{CJK}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_MARKS = (
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u096f\u0971-\u0dff"
)
"""What stands on or beside a letter and is none: points of Hebrew and Arabic, vowel signs of India. No punctuation."""
_TERM = re.compile(rf"[{_UNSPACED}]+|(?:[^\W_{_UNSPACED}][{_MARKS}]*)+(?:[.,]\d+)*")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")
_NUMERAL = re.compile(rf"[0-9{DIGITS}十两兩廿卅百{FORMAL_DIGITS}]")
LONGEST_WORD_CHARACTERS = 64
"""A longer run of letters is cut to that: it is data, not a word, and looked up by its beginning."""
_IDEOGRAPHS = range(0x3400, 0xA000)
_ACCENTED = (*range(0xC0, 0x250), *range(0x370, 0x400), *range(0x1E00, 0x2000))
_ACCENTS = range(0x300, 0x370)


def terms_of(text: str) -> list[str]:
    """The terms of a text, in its order, a term as often as it stands there; then what its numbers and dates come to.

    Of these (see `numerals`) only what is not among the terms already, and no single digits: "first" is not 1.
    """
    folded = fold(text)
    terms: list[str] = []
    for run in _TERM.findall(folded):
        if _IS_UNSPACED.match(run):
            terms.extend(run)
            terms.extend(map(add, run, run[1:]))
        else:
            terms.append(
                _stem(run if len(run) <= LONGEST_WORD_CHARACTERS else run.replace(",", "")[:LONGEST_WORD_CHARACTERS])
            )
    if _NUMERAL.search(folded) or not _number_words().isdisjoint(terms):
        plain = frozenset(terms)
        terms.extend(number for number in number_terms(folded) if len(number) > 1 and number not in plain)
    return terms


def fold(text: str) -> str:
    """The same text with width, case, accents and traditional characters folded. Offsets may change."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold().translate(_folded())


def is_single_character(term: str) -> bool:
    """Whether a term is one character of an unspaced script: such stand anywhere, and tell little."""
    return len(term) == 1 and _IS_UNSPACED.match(term) is not None


@lru_cache(maxsize=131_072)
def _stem(word: str) -> str:
    bare = word.replace(",", "")
    return str(_stemmer("russian" if "\u0400" <= bare[0] <= "\u04ff" else "english").stemWord(bare))


@cache
def _number_words() -> frozenset[str]:
    """The terms of words that spell a number: a text without any of them and without digits has no number in it."""
    return frozenset(map(_stem, (*SMALL, *LARGE)))


@cache
def _stemmer(language: str) -> Stemmer:
    return Stemmer(language)


@cache
def _folded() -> dict[int, str]:
    """By code point: the simplified form of a traditional character (OpenCC's t2s), the bare form of an accented letter,
    and nothing for an accent that stands alone."""
    ideographs = [chr(point) for point in _IDEOGRAPHS]
    simplified = opencc.OpenCC("t2s").convert("\n".join(ideographs)).split("\n")
    table = {ord(old): new for old, new in zip(ideographs, simplified, strict=True) if old != new}
    for point in _ACCENTED:
        bare = "".join(c for c in unicodedata.normalize("NFKD", chr(point)) if not unicodedata.combining(c))
        if bare != chr(point):
            table[point] = bare
    return table | dict.fromkeys(_ACCENTS, "")
