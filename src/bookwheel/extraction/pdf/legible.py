"""Whether the text layer of a PDF page can be what the page shows.

Fonts without a map to Unicode give the numbers of their glyphs, files made by old programs give one encoding's bytes read
as another's, and bad recognition gives noise. No dictionary is asked: what counts is which characters stand there and how
they make words, in whatever language.
"""

import re

SAMPLE = 3_000
LEAST = 12
"""Characters that can be judged. Fewer are taken as they are, but for those that mean nothing."""
_WORD = re.compile(r"[^\s.,;:!?()\[\]\"'“”‘’]{3,}")
_NOTHING = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\uf01f\uf100-\uf8e4\ufff0-\uffff\U000f0000-\U0010ffff]")
"""Stands for a glyph nobody knows: control, private, replacement. U+F020 to F0FF and F8E5 to F8FE are those of symbol fonts."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ACCENTED = re.compile(r"[\xa0-\u024f]")
_LETTERS = re.compile(r"[A-Za-z]")
_VOWELS = re.compile(r"[aeiouyAEIOUY]")
_COMMON = re.compile(r"[aeinorstAEINORST]")
"""More than half of the letters of whatever language is written in Latin."""
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_HAN_CODECS = ("gb2312", "big5", "shift_jis", "euc_kr")
_MIXED = re.compile(r"[A-Za-z][^A-Za-z'’\-/.]+[A-Za-z]|[a-z][A-Z]+[a-z]|^[^A-Za-z(\[$€£#@+\-–—/&*•\"“‘]+[A-Za-z]")


def is_legible(text: str, unmapped_share: float = 0.0) -> bool:
    """Whether a page's text reads like one. `unmapped_share` is that of glyphs without a place in Unicode."""
    sample = "".join(text.split())[:SAMPLE]
    if not sample:
        return True
    if len(_NOTHING.findall(sample)) > 0.25 * len(sample):
        return False
    if len(sample) < LEAST:
        return True
    if _share_of_torn_words(text[: 2 * SAMPLE]) > 0.5 or _is_mojibake(sample) or _is_rare_han(sample):
        return False
    return not _is_shifted(text[: 2 * SAMPLE], sample, 0.18 if unmapped_share < 0.3 else 0.25)


def is_lost(word: str) -> bool:
    """Whether most of a word's glyphs have no meaning: what it says can only be seen."""
    return 2 * len(_NOTHING.findall(word)) > len(word)


def _share_of_torn_words(text: str) -> float:
    """The share of the letters that stand in words with a control character: glyph numbers, 3 being the space."""
    words = text.split()
    return sum(len(word) for word in words if _CONTROL.search(word)) / max(1, sum(map(len, words)))


def _is_mojibake(sample: str) -> bool:
    """Whether so many letters have accents as in no language: GBK or UTF-8 read as Latin."""
    return len(_ACCENTED.findall(sample)) > 0.4 * len(sample)


def _is_rare_han(sample: str) -> bool:
    """Whether the Chinese characters are of those that no national standard found common: glyph numbers as characters."""
    han = "".join(_HAN.findall(sample))
    if len(han) < 20 or len(han) < 0.2 * len(sample):
        return False
    return all(len(han.encode(codec, "ignore")) < 2 * 0.7 * len(han) for codec in _HAN_CODECS)


def _is_shifted(text: str, sample: str, least_vowels: float) -> bool:
    """Whether Latin words have few vowels and many digits and signs in them: letters moved in their alphabet.

    Formulas look like that too, but for their Greek letters and mathematical signs.
    """
    letters = len(_LETTERS.findall(sample))
    if letters < max(80, 0.4 * len(sample)) or len(_VOWELS.findall(sample)) >= least_vowels * letters:
        return False
    if not sample.isascii() and len(_ACCENTED.sub("", sample).encode("ascii", "ignore")) < 0.97 * len(sample):
        return False
    if len(_COMMON.findall(sample)) < 0.35 * letters:
        return True
    words = [word for word in _WORD.findall(text) if _LETTERS.search(word)]
    return len(words) >= 20 and sum(map(_is_odd, words)) > 0.6 * len(words)


def _is_odd(word: str) -> bool:
    return _MIXED.search(word) is not None or (len(word) > 3 and _VOWELS.search(word) is None)
