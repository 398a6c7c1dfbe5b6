"""Search terms: what of a text is looked up and compared.

Words of spaced scripts are stemmed; Chinese, Japanese, Korean and the unspaced scripts of South-East Asia give single
characters and pairs of neighbours, which measured as good as any dictionary. Width, case, accents and traditional
characters are folded, here only: what is shown is the file's own text.
"""

import re
import unicodedata
from functools import cache, lru_cache
from operator import add

import opencc
from Stemmer import Stemmer

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af\U00020000-\U0003ffff"
"""A character class of Chinese, Japanese and Korean, for regular expressions."""
_UNSPACED = f"{CJK}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0dff"
_TERM = re.compile(rf"[{_UNSPACED}]+|(?:[^\W_{_UNSPACED}][{_MARKS}]*)+(?:[.,]\d+)*")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")
LONGEST_WORD_CHARACTERS = 64
"""A longer run of letters is cut to that: it is data, not a word, and looked up by its beginning."""
_IDEOGRAPHS = range(0x3400, 0xA000)
_ACCENTED = (*range(0xC0, 0x250), *range(0x370, 0x400), *range(0x1E00, 0x2000))


def terms_of(text: str) -> list[str]:
    """The terms of a text, in its order, a term as often as it stands there."""
    terms: list[str] = []
    for run in _TERM.findall(fold(text)):
        if _IS_UNSPACED.match(run):
            terms.extend(run)
            terms.extend(map(add, run, run[1:]))
        else:
            terms.append(_stem(run))
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
    bare = word.replace(",", "")[:LONGEST_WORD_CHARACTERS]
    return str(_stemmer("russian" if "\u0400" <= bare[0] <= "\u04ff" else "english").stemWord(bare))


@cache
def _stemmer(language: str) -> Stemmer:
    return Stemmer(language)


@cache
def _folded() -> dict[int, str]:
    """By code point: the simplified form of a traditional character (OpenCC's t2s), the bare form of an accented letter."""
    ideographs = [chr(point) for point in _IDEOGRAPHS]
    simplified = opencc.OpenCC("t2s").convert("\n".join(ideographs)).split("\n")
    table = {ord(old): new for old, new in zip(ideographs, simplified, strict=True) if old != new}
    for point in _ACCENTED:
        bare = "".join(c for c in unicodedata.normalize("NFKD", chr(point)) if not unicodedata.combining(c))
        if bare != chr(point):
            table[point] = bare
    return table
