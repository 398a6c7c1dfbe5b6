"""Chinese and Japanese set in columns are words that run down; letters of tables are not."""

from bookwheel.extraction.pdf.vertical import LEAST_STACK, part_vertical
from bookwheel.extraction.pdf.words import DOWNWARDS, Frame, TextLayer, Word


def column(letters: str, x: float = 100, step: float = 11, size: float = 10) -> list[Word]:
    """Letters below one another, the first one at 100."""
    return [Word(letter, x, x + size, 100 + step * n, size, False, n) for n, letter in enumerate(letters)]


def parted(words: list[Word]) -> dict[int, list[str]]:
    layer = part_vertical(TextLayer([Frame(0, words)], 0.0, 0.0))
    return {frame.angle: [word.text for word in frame.words] for frame in layer.frames}


def test_letters_below_one_another_are_a_word_that_runs_down() -> None:
    assert parted(column("春眠不覚暁")) == {DOWNWARDS: ["春眠不覚暁"]}


def test_signs_between_them_belong_to_it() -> None:
    assert parted(column("猫である。名前（無）い。")) == {DOWNWARDS: ["猫である。名前（無）い。"]}


def test_digits_and_latin_letters_among_them_belong_to_it() -> None:
    upper = column("これは")
    digits = [word._replace(base=133 + 6 * n, line=10 + n) for n, word in enumerate(column("2024", x=102.5, size=5.0))]
    digits = [word._replace(size=10.0) for word in digits]
    lower = [word._replace(base=word.base + 62) for word in column("年の例")]
    assert parted([*upper, *digits, *lower]) == {DOWNWARDS: ["これは2024年の例"]}


def test_digits_alone_are_a_column_of_a_table() -> None:
    assert parted(column("12345")) == {0: list("12345")}


def test_too_few_letters_stay_upright() -> None:
    words = column("春眠不"[: LEAST_STACK - 1])
    assert parted(words) == {0: ["春", "眠"]}


def test_the_last_letter_of_a_text_in_its_own_column_goes_with_the_rest() -> None:
    assert parted([*column("春眠不覚暁処処聞"), *column("る", x=80)]) == {DOWNWARDS: ["春眠不覚暁処処聞", "る"]}


def test_a_letter_far_from_the_columns_stays_upright() -> None:
    assert parted([*column("春眠不覚暁"), *column("頁", x=400)]) == {DOWNWARDS: ["春眠不覚暁"], 0: ["頁"]}


def test_text_without_columns_is_left_as_it_is() -> None:
    layer = TextLayer([Frame(0, [Word("春眠", 10, 30, 100, 10, False, 0)])], 0.0, 0.0)
    assert part_vertical(layer) is layer
