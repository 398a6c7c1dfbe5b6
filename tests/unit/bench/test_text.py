"""Uploads are made of text of exactly the size that is asked for."""

import pytest

from bench.text import text_pieces


@pytest.mark.parametrize("size_bytes", [0, 1, 7, 1000, 1_048_577, 3_000_000])
def test_the_text_has_exactly_the_size_asked_for_and_is_utf_8(size_bytes: int) -> None:
    text = b"".join(text_pieces(size_bytes))
    assert len(text) == size_bytes
    text.decode("utf-8")


@pytest.mark.parametrize("size_bytes", range(40, 60))
def test_a_text_cut_anywhere_holds_no_half_character(size_bytes: int) -> None:
    text = b"".join(text_pieces(size_bytes)).decode("utf-8")
    assert "\ufffd" not in text


def test_the_text_is_the_same_in_every_run_and_its_pieces_differ() -> None:
    first, second, *_ = pieces = list(text_pieces(3_000_000))
    assert pieces == list(text_pieces(3_000_000))
    assert first[:1000] != second[:1000]
