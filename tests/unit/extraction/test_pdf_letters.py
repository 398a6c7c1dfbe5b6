"""Large initials go to the head of their words, and titles with space between their letters are words again."""

from pathlib import Path

import pytest

from bookwheel.document import Block
from bookwheel.extraction.formats.pdf import read
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.pdf.letters import MOST_INITIALS, join_initials, join_spaced
from bookwheel.extraction.pdf.words import Word
from support.pdf_parts import lines, text, write_pdf

PROSE = ["he bookwheel was a desk that turned, so that", "a reader could keep many books open at once,", "and go on."]


def spaced(letters: str, gap: float = 4, wide: float = 14) -> list[Word]:
    """Letters with a gap between them, a wide one for each space."""
    words, x = [], 50.0
    for letter in letters:
        if letter == " ":
            x += wide - gap
            continue
        words.append(Word(letter, x, x + 6, 100, 10, False, 0))
        x += 6 + gap
    return words


def text_of(folder: Path, content: bytes) -> str:
    return "".join(b.text for b in read(write_pdf(folder, content), Notes(folder)) if isinstance(b, Block))


def test_an_initial_over_two_lines_begins_its_word(tmp_path: Path) -> None:
    content = text(72, 587, "T", 32) + lines(94, 600, PROSE[:2]) + lines(72, 576, PROSE[2:])
    assert text_of(tmp_path, content).startswith("The bookwheel was a desk that turned, so that a reader could")


def test_a_large_letter_beside_one_line_stands_for_itself() -> None:
    words = [
        Word("P", 50, 62, 105, 20, False, 0),
        *(Word(w, 64 + 30 * n, 90 + 30 * n, 100, 10, False, 0) for n, w in enumerate(PROSE)),
    ]
    assert join_initials(words) == words


def test_many_large_letters_are_no_initials() -> None:
    large = [Word("T", 50, 70, 40.0 * n + 12, 30, False, n) for n in range(MOST_INITIALS + 1)]
    small = [Word("he", 72, 90, 40.0 * n + 12 * m, 10, False, n) for n in range(MOST_INITIALS + 1) for m in (0, 1)] * 3
    assert join_initials([*large, *small]) == [*large, *small]


def test_no_words_have_no_initials() -> None:
    assert join_initials([]) == []


@pytest.mark.parametrize(
    ("letters", "expected"),
    [("CONTENTS", "CONTENTS"), ("ANNUAL REPORT", "ANNUAL REPORT"), ("TO THE READER", "TO THE READER")],
)
def test_a_title_in_spaced_letters_is_words(letters: str, expected: str) -> None:
    assert join_spaced(spaced(letters)) == expected


@pytest.mark.parametrize("letters", ["ABCDEFG", "ABBA", "a b x y z", "12345", "ABC12"])
def test_labels_and_formulas_stay_apart(letters: str) -> None:
    assert join_spaced(spaced(letters)) is None


def test_letters_with_more_than_a_letter_between_them_stay_apart() -> None:
    assert join_spaced(spaced("CONTENTS", gap=12, wide=40)) is None


def test_a_spaced_title_is_read_from_a_page(tmp_path: Path) -> None:
    assert text_of(tmp_path, text(72, 700, "C O N T E N T S", 12)) == "CONTENTS\n\n"
