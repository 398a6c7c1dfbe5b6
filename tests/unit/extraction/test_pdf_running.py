"""Lines that repeat at one place of many PDF pages are told from those that only look alike."""

import pytest

from bookwheel.extraction.pdf.running import MANY, RunningLines, margin_lines
from bookwheel.extraction.pdf.words import Word

TOP, BOTTOM = -800.0, 0.0
HEAD, FOOT, BODY = -780.0, -20.0, -400.0


def page(*places: tuple[str, float]) -> list[Word]:
    """One line for each text and baseline, words of ten points at the left."""
    return [
        Word(word, 50 + 60 * place, 90 + 60 * place, base, 10, False, number)
        for number, (text, base) in enumerate(places)
        for place, word in enumerate([text])
    ]


def left_of(pages: list[list[Word]]) -> list[list[str]]:
    """What is left of pages that are read in one group."""
    running = RunningLines()
    margins = [margin_lines(words, TOP, BOTTOM, number) for number, words in enumerate(pages, 1)]
    for lines in margins:
        running.note(lines)
    out = [set(map(id, running.repeated(lines))) for lines in margins]
    return [[word.text for word in words if id(word) not in gone] for words, gone in zip(pages, out, strict=True)]


def test_a_head_is_kept_on_its_first_page() -> None:
    pages = [page(("Of Books", HEAD), (f"text {n}", BODY)) for n in range(MANY)]
    assert left_of(pages) == [["Of Books", "text 0"], ["text 1"], ["text 2"]]


def test_too_few_pages_make_no_running_line() -> None:
    pages = [page(("Of Books", HEAD), (f"text {n}", BODY)) for n in range(MANY - 1)]
    assert left_of(pages) == [["Of Books", "text 0"], ["Of Books", "text 1"]]


NUMBERINGS = ["1 2 3", "17 18 19", "-7- -8- -9-", "viii ix x", "3/9 4/9 5/9"]


@pytest.mark.parametrize("numbers", [numbering.split() for numbering in NUMBERINGS])
def test_page_numbers_go_without_a_trace(numbers: list[str]) -> None:
    pages = [page(("words", BODY), (number, FOOT)) for number in numbers]
    assert left_of(pages) == [["words"]] * 3


def test_numbers_that_do_not_count_the_pages_stay() -> None:
    pages = [page(("words", BODY), (number, FOOT)) for number in ("12", "40", "7")]
    assert left_of(pages) == [["words", "12"], ["words", "40"], ["words", "7"]]


def test_a_page_number_right_below_a_short_text_is_known() -> None:
    pages = [page(("words", -600 - 40.0 * n), (str(n), -580 - 40.0 * n)) for n in range(1, 4)]
    assert left_of(pages) == [["words"]] * 3


def test_the_same_words_in_the_text_stay() -> None:
    pages = [page((f"text {'abc'[n]}", -500), ("Of Books", BODY), ("and more", -300)) for n in range(3)]
    assert all("Of Books" in words for words in left_of(pages))


def test_the_same_words_at_other_places_stay() -> None:
    pages = [page(("Of Books", HEAD + 15 * n), ("words", BODY)) for n in range(3)]
    assert all("Of Books" in words for words in left_of(pages))


def test_what_ran_in_earlier_pages_is_known_later() -> None:
    running = RunningLines()
    lines = margin_lines(page(("Of Books", HEAD)), TOP, BOTTOM, 1)
    for _ in range(MANY):
        running.note(lines)
    assert running.repeated(lines) == []
    assert [word.text for word in running.repeated(lines)] == ["Of Books"]


def test_a_page_without_words_has_no_lines() -> None:
    assert margin_lines([], TOP, BOTTOM, 1) == []


def cells(*rows: tuple[float, str]) -> list[Word]:
    """Rows of cells, each a word, that stand at the same places of their rows."""
    return [
        Word(text, 50 + 120 * place, 90 + 120 * place, base, 10, False, 10 * number + place)
        for number, (base, row) in enumerate(rows)
        for place, text in enumerate(row.split())
    ]


def test_the_head_of_a_table_stands_on_every_page() -> None:
    pages = [
        cells((HEAD, "Book Author Year"), (HEAD + 14, " ".join(f"{c}{'xyz'[n]}" for c in "ABC"))) for n in range(3)
    ]
    assert all(words[:3] == ["Book", "Author", "Year"] and len(words) == 6 for words in left_of(pages))


def test_a_head_in_three_parts_over_other_text_stands_once() -> None:
    pages = [[*cells((HEAD, "Books 1588 Ramelli")), *page((f"text {'xyz'[n]}", HEAD + 40))] for n in range(3)]
    assert left_of(pages)[1:] == [["text y"], ["text z"]]


def test_a_head_right_over_a_table_of_other_places_stands_once() -> None:
    rows = [
        [
            word._replace(x0=word.x0 + 33, x1=word.x1 + 57)
            for word in cells((HEAD + 14, " ".join(f"{c}{'xyz'[n]}" for c in "ABC")))
        ]
        for n in range(3)
    ]
    pages = [[*cells((HEAD, "Books 1588 Ramelli")), *row] for row in rows]
    assert left_of(pages)[1:] == [["Ay", "By", "Cy"], ["Az", "Bz", "Cz"]]
