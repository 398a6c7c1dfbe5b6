"""An overview shows something of every part of every document, whole sentences, and never more than its budget."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookwheel.retrieval.overview import MARK_TOKENS, OverviewSource, Span, overview_spans, share_budget
from bookwheel.retrieval.representative import find_units, recurrence
from bookwheel.sentences import split_sentences
from bookwheel.tokens import count_tokens

PLACES = ["harbour", "mill", "library", "orchard", "quarry", "chapel", "market", "lighthouse"]
ODD_TEXTS = st.text(alphabet="ab Z1.!?\n\t。！孔乙己-|", max_size=600)


def source_of(text: str, headings: tuple[str, ...] = (), sentences: int = 3) -> OverviewSource:
    """Passages of some sentences each; lines that begin with a heading's marks open a section of that level."""
    found = [(s.start, s.end) for s in split_sentences(text)]
    rows: list[tuple[int, int, int, int, int]] = []
    section = level = 0
    for start, end in found:
        opens = bool(headings) and text[start:end].startswith(headings)
        if opens:
            section, level = section + 1, len(text[start:end]) - len(text[start:end].lstrip("#"))
        if opens or not rows or rows[-1][3] != section or rows[-1][2] >= sentences:
            rows.append((start, end, 1, section, level))
        else:
            rows[-1] = (rows[-1][0], end, rows[-1][2] + 1, section, level)
    columns = np.array(rows, np.int32).reshape(-1, 5).T
    tokens = np.array([count_tokens(text[row[0] : row[1]]) for row in rows], np.int32)
    return OverviewSource(lambda: text, columns[0], columns[1], tokens, columns[3], columns[4])


def shown(source: OverviewSource, spans: list[Span]) -> list[str]:
    return [source.read_text()[span.start : span.end] for span in spans]


def cost(source: OverviewSource, spans: list[Span]) -> int:
    return count_tokens("\n".join(shown(source, spans))) + MARK_TOKENS * len(spans)


def chapter(place: str, sentences: int = 30) -> str:
    return " ".join(
        f"The keeper of the {place} wrote line {n} about the {place} and its keys." for n in range(sentences)
    )


def book(chapters: int = 8, sentences: int = 30) -> str:
    return "\n".join(chapter(place, sentences) for place in PLACES[:chapters])


@pytest.mark.parametrize("budget", [220, 400, 1000])
def test_every_part_of_a_long_text_is_shown_in_order_and_within_the_budget(budget: int) -> None:
    source = source_of(book(chapters=4))
    [spans] = overview_spans([source], budget)
    assert spans == sorted(spans)
    assert all(before.end < after.start for before, after in pairwise(spans))
    assert all(place in " ".join(shown(source, spans)) for place in PLACES[:4])
    assert 0.75 * budget < cost(source, spans) <= budget


def test_what_fits_is_shown_whole() -> None:
    source = source_of(book(chapters=2, sentences=4))
    assert overview_spans([source], 1000) == [[Span(0, len(source.read_text()))]]


def test_only_whole_sentences_are_shown() -> None:
    source = source_of(book())
    ends = {sentence.end for sentence in split_sentences(source.read_text())}
    starts = {sentence.start for sentence in split_sentences(source.read_text())}
    [spans] = overview_spans([source], 500)
    assert all(span.start in starts and span.end in ends for span in spans)


def test_chinese_is_covered_as_english_is() -> None:
    places = ["码头", "磨坊", "书院", "果园"]
    text = "\n".join(
        "".join(f"第{n}天，{place}的看守记下了{place}里的钥匙和账目。" for n in range(40)) for place in places
    )
    source = source_of(text)
    [spans] = overview_spans([source], 300)
    assert all(place in " ".join(shown(source, spans)) for place in places)
    assert all(piece.endswith("。") for piece in shown(source, spans))


def test_the_opening_is_always_shown() -> None:
    source = source_of("A short account of what befell.\n" + book())
    [spans] = overview_spans([source], 200)
    assert spans[0].start == 0


def test_a_table_shows_its_head_and_first_row_then_samples() -> None:
    rows = "\n".join(f"| {n} | {PLACES[n * 8 // 400]} | {n * 17 % 91} |" for n in range(400))
    source = source_of("| number | place | keys |\n" + rows, sentences=8)
    [spans] = overview_spans([source], 500)
    assert source.read_text()[spans[0].start : spans[0].end].startswith("| number | place | keys |\n| 0 |")
    assert all(place in " ".join(shown(source, spans)) for place in PLACES)


def test_of_a_part_the_sentences_are_shown_whose_words_come_again_around_them() -> None:
    talk = ["Yes, quite so.", "Oh, who can say?"]
    lines = []
    for place in PLACES:
        lines += [f"The roof of the {place} leaks, and its keeper asks for slates.", *talk]
        lines += [*reversed(talk), f"New slates for the roof of the {place} will cost its keeper dear."]
    source = source_of("\n".join(lines))
    [spans] = overview_spans([source], 200)
    assert all(place in " ".join(shown(source, spans)) for place in PLACES)
    assert not any(line in piece for line in talk for piece in shown(source, spans))


def test_each_section_is_shown_where_the_budget_allows() -> None:
    short, long = chapter("mill", 3), chapter("harbour", 200)
    source = source_of(f"# One\n{long}\n# Two\n{short}\n# Three\n{long}", headings=("#",))
    [spans] = overview_spans([source], 400)
    assert "mill" in " ".join(shown(source, spans))


def test_outer_sections_come_first_where_not_all_can_be_shown() -> None:
    minor = "".join(f"## Part {n}\n{chapter('harbour', 4)}\n" for n in range(60))
    source = source_of(f"# Chief\n{minor}# Last\n{chapter('mill', 3)}", headings=("#",))
    [spans] = overview_spans([source], 400)
    assert "mill" in " ".join(shown(source, spans))


def test_a_section_that_is_only_a_heading_takes_no_place_of_its_own() -> None:
    headings = "\n".join(f"# Empty {n}" for n in range(30))
    source = source_of(f"{headings}\n{book(chapters=4)}", headings=("#",))
    [spans] = overview_spans([source], 500)
    assert all(place in " ".join(shown(source, spans)) for place in PLACES[:4])


def test_page_marks_are_never_shown_alone() -> None:
    pages = "\n\n".join(f"[page {n}]\n\n{chapter(PLACES[n % 8], 6)}" for n in range(1, 40))
    source = source_of(pages)
    [spans] = overview_spans([source], 600)
    assert "[page" not in " ".join(shown(source, spans))


def test_text_without_sentence_ends_is_cut_at_its_passages() -> None:
    text = " ".join(f"{place} and then we said {n}" for place in PLACES for n in range(150))
    middle = [(at, min(len(text), at + 600)) for at in range(0, len(text), 600)]
    starts, ends = np.array(middle, np.int32).T
    tokens = np.array([count_tokens(text[a:b]) for a, b in middle], np.int32)
    source = OverviewSource(lambda: text, starts, ends, tokens, np.zeros_like(starts), np.zeros_like(starts))
    [spans] = overview_spans([source], 1600)
    assert len(spans) >= 4
    assert cost(source, spans) <= 1600


def test_bare_rows_of_values_are_sampled_by_lines() -> None:
    source = source_of("\n".join(f"{n},{PLACES[n * 8 // 800]},{n * 17 % 91}" for n in range(800)))
    [spans] = overview_spans([source], 900)
    assert all(place in " ".join(shown(source, spans)) for place in PLACES)
    assert all("\n" + piece + "\n" in f"\n{source.read_text()}\n" for piece in shown(source, spans))


def test_a_title_is_shown_with_what_follows_it() -> None:
    source = source_of("The Keepers\n\nAn account of eight keepers and what they wrote of their keys.\n" + book())
    [spans] = overview_spans([source], 400)
    assert "of their keys." in shown(source, spans)[0]


def test_a_hundred_files_each_show_their_opening() -> None:
    sources = [source_of(f"Ledger {n} of the {PLACES[n % 8]}.\n" + book(chapters=1 + n % 8)) for n in range(100)]
    per_file = overview_spans(sources, 4000)
    assert all(spans and spans[0].start == 0 for spans in per_file)
    assert sum(cost(source, spans) for source, spans in zip(sources, per_file, strict=True)) <= 4000


def test_a_budget_of_a_few_tokens_a_file_still_shows_the_first_words() -> None:
    sources = [source_of(book()) for _ in range(20)]
    per_file = overview_spans(sources, 200)
    assert all(spans == [Span(0, spans[0].end)] for spans in per_file)
    assert shown(sources[0], per_file[0])[0].startswith("The keeper of")
    assert sum(cost(source, spans) for source, spans in zip(sources, per_file, strict=True)) <= 200


def test_empty_texts_and_no_budget_show_nothing() -> None:
    assert overview_spans([], 100) == []
    assert overview_spans([source_of(""), source_of("\n \n")], 100) == [[], []]
    assert overview_spans([source_of(book())], 0) == [[]]


def test_an_empty_file_leaves_its_share_to_the_others() -> None:
    source = source_of(book(chapters=4))
    assert overview_spans([source_of(""), source], 400)[1] == overview_spans([source], 400)[0]


def test_of_a_very_long_text_every_part_is_still_shown_though_only_a_sample_is_read() -> None:
    source = source_of(book(chapters=8, sentences=400))
    assert source.tokens.sum() > 20 * 2000
    [spans] = overview_spans([source], 800)
    assert all(place in " ".join(shown(source, spans)) for place in PLACES)


def test_shares_grow_with_the_root_of_the_size_and_add_up_to_the_budget() -> None:
    shares = share_budget(np.array([1_000.0, 4_000.0, 100.0, 0.0]), 600)
    assert shares[1] == pytest.approx(2 * shares[0], rel=1e-6)
    assert shares[2] < 110
    assert shares[3] == 0
    assert shares.sum() == pytest.approx(600, abs=0.01)


def test_small_files_are_given_whole_before_large_ones_take_the_rest() -> None:
    shares = share_budget(np.array([40.0, 1_000_000.0]), 1_000)
    assert shares[0] >= 40
    assert shares.sum() == pytest.approx(1_000, abs=0.01)


def test_terms_count_only_where_they_come_again_near_by() -> None:
    text = "crane quarry\ncrane mill\nlone words"
    starts, ends = np.array([0, 13, 24]), np.array([12, 23, 34])
    near = recurrence(text, starts, ends, np.array([5.0, 5.0, 5.0]))
    far = recurrence(text, starts, ends, np.array([5.0, 5_000.0, 5.0]))
    assert near[0] == near[1] > near[2] == 0
    assert far.sum() == 0


def test_short_sentences_of_a_line_are_joined_and_those_of_other_lines_are_not() -> None:
    text = "Ann: Oh. Yes. I see.\nBen: Good."
    tokens = np.array([count_tokens(text)])
    units = find_units(text, np.array([0]), np.array([len(text)]), tokens, np.array([0]))
    assert [text[a:b] for a, b in zip(units.starts, units.ends, strict=True)] == ["Ann: Oh. Yes. I see.", "Ben: Good."]
    assert units.tokens.sum() == pytest.approx(count_tokens(text), abs=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(ODD_TEXTS, max_size=4), st.integers(0, 200))
def test_any_texts_and_budget_give_ordered_spans_within_the_budget(texts: list[str], budget: int) -> None:
    sources = [source_of(text) for text in texts]
    per_file = overview_spans(sources, budget)
    assert len(per_file) == len(texts)
    assert sum(cost(source, spans) for source, spans in zip(sources, per_file, strict=True)) <= budget
    for source, spans in zip(sources, per_file, strict=True):
        edges = [edge for span in spans for edge in span]
        assert edges == sorted(set(edges))
        assert all(piece == piece.strip() and piece for piece in shown(source, spans))
