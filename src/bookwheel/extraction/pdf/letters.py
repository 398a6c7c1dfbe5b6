"""Letters that are set apart from their words for show: large initials, and titles with space between their letters."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from bookwheel.extraction.pdf.words import Word

LARGE = 1.8
"""Times the size of the text: a letter that goes down over several lines."""
MOST_INITIALS = 20
"""On one page. With more, large letters are something else."""
LEAST_SPACED = 5
WIDE_GAP = 1.7
"""Times the usual gap between spaced letters: where a word ends."""


def join_initials(words: list[Word]) -> list[Word]:
    """The words of a frame with each large initial at the head of its word."""
    if not words:
        return words
    usual = median(word.size for word in words[:: len(words) // 200 + 1])
    initials = [w for w in words if w.size > LARGE * usual and len(w.text) == 1 and w.text.isupper()]
    if not 0 < len(initials) <= MOST_INITIALS:
        return words
    joined = {id(word): word for word in words}
    for initial in initials:
        beside = [word for word in words if _stands_beside(initial, word)]
        if len({word.base for word in beside}) > 1:
            first = min(beside, key=lambda word: (word.base, word.x0))
            joined[id(first)] = first._replace(text=initial.text + first.text)
            del joined[id(initial)]
    return list(joined.values())


def _stands_beside(initial: Word, word: Word) -> bool:
    """Whether a word of the text begins where the initial ends, on one of the lines that it goes over."""
    return (
        initial.size > LARGE * word.size
        and -0.2 < (word.x0 - initial.x1) / initial.size < 0.3
        and initial.top < word.base < initial.base + 0.5 * word.size
        and word.text[0].isalpha()
    )


def join_spaced(words: Sequence[Word]) -> str | None:
    """A line of letters with space between them as the words that they spell, None where it is not one."""
    if len(words) < LEAST_SPACED or len(words[0].text) > 1 or len(words[1].text) > 1:
        return None
    if not all(len(word.text) == 1 and "A" <= word.text <= "Z" for word in words):
        return None
    gaps = [word.x0 - before.x1 for before, word in pairwise(words)]
    usual = median(gaps)
    steps = {ord(word.text) - ord(before.text) for before, word in pairwise(words)}
    if usual > words[0].size or steps == {1}:
        return None
    letters = (f" {w.text}" if gap > WIDE_GAP * usual else w.text for gap, w in zip(gaps, words[1:], strict=True))
    return words[0].text + "".join(letters)
