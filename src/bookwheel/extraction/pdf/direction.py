"""Scripts that run from right to left: the words of a line in the order they are read in.

PDFium orders the words of Arabic and Hebrew lines by its own lights, and loses its way where Latin words stand among
them. So they are ordered here by where they stand: from right to left, but for the words of another script in a row.
"""

import re
from collections.abc import Iterable

from bookwheel.extraction.pdf.words import FROM_RIGHT, Word

_FROM_LEFT = re.compile(r"[A-Za-z\u00c0-\u058f\u2e80-\ud7ff]")
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_MIRRORED = str.maketrans({**_PAIRS, **{right: left for left, right in _PAIRS.items()}})


def runs_from_right(text: str) -> bool:
    """Whether most of a text's letters are of a script that runs from right to left."""
    if text.isascii():
        return False
    right = len(FROM_RIGHT.findall(text))
    return right > 0 and right >= len(_FROM_LEFT.findall(text))


def order_from_right(words: Iterable[Word]) -> list[Word]:
    """The words of a line that runs from right to left, in the order they are read in."""
    ordered: list[Word] = []
    run: list[Word] = []
    for word in sorted(words, key=lambda word: -(word.x0 + word.x1)):
        if FROM_RIGHT.search(word.text):
            ordered += _turn(run)
            run = []
            ordered.append(word)
        else:
            run.append(word)
    return ordered + _turn(run)


def _turn(run: list[Word]) -> list[Word]:
    """Words of another script, from left to right from the first one with letters to the last."""
    lettered = [index for index, word in enumerate(run) if _FROM_LEFT.search(word.text)]
    if not lettered:
        return run
    first, last = lettered[0], lettered[-1] + 1
    return [*run[:first], *reversed(run[first:last]), *run[last:]]


def right_brackets(text: str) -> str:
    """A text with its brackets the right way round: some files have them as they look, some as they are meant."""
    mirrored = text.translate(_MIRRORED)
    return mirrored if _closed(mirrored) > _closed(text) else text


def _closed(text: str) -> int:
    """How many brackets are opened before they are closed."""
    count, waiting = 0, []
    for character in text:
        if character in _PAIRS:
            waiting.append(_PAIRS[character])
        elif waiting and character == waiting[-1]:
            waiting.pop()
            count += 1
    return count
