"""A passage scores by what it and the passages beside it have of a question's terms, against the request's own documents."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.indexing.postings import hash_terms
from bookwheel.retrieval import scoring
from bookwheel.retrieval.collection import Collection
from bookwheel.retrieval.scoring import K1, NEAR_WINDOWS, WIDE_WINDOWS, B, Gains, Scorer, Windows
from support.made_documents import document_of

ALONE: Windows = ((0, 1.0),)
BESIDE: Windows = ((1, 1.0),)
WORDS = ("wheel", "reed", "heron", "潮水")
PASSAGES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join), max_size=30)


def scorer_of(*documents: list[str], windows: Windows = ALONE, titles: tuple[str, ...] = ()) -> Scorer:
    named = titles or tuple("abcdef")[: len(documents)]
    made = [document_of(*parts, title=title) for parts, title in zip(documents, named, strict=True)]
    return Scorer(Collection([document.index for document in made]), windows)


def gains_of(scorer: Scorer, *terms: str) -> Gains:
    return scorer.gains(hash_terms(terms))


def test_a_gain_is_bm25_of_the_passage() -> None:
    scorer = scorer_of(["wheel wheel reed", "reed", "heron heron heron heron heron"])
    gains = gains_of(scorer, "wheel", "reed")
    mean = (3 + 1 + 5) / 3
    saturations = [K1 * (1 - B + B * length / mean) for length in (3, 1)]
    assert gains.rows[0, :3] == pytest.approx([(K1 + 1) * 2 / (2 + saturations[0]), 0, 0])
    assert gains.rows[1, :3] == pytest.approx([*((K1 + 1) / (1 + saturation) for saturation in saturations), 0])
    assert gains.weights == pytest.approx([math.log(1 + 2.5 / 1.5), math.log(1 + 1.5 / 2.5)])


def test_a_term_counts_in_the_passages_beside_as_far_as_the_window_goes() -> None:
    parts = ["heron", "heron", "wheel", "heron", "heron"]
    for windows, having in ((ALONE, [2]), (BESIDE, [1, 2, 3]), (WIDE_WINDOWS, [0, 1, 2, 3, 4])):
        rows = gains_of(scorer_of(parts, windows=windows), "wheel").rows
        assert np.flatnonzero(rows[0]).tolist() == having
    assert gains_of(scorer_of(parts, windows=BESIDE), "wheel").weights == gains_of(scorer_of(parts), "wheel").weights


def test_the_nearer_window_gives_more_to_the_passage_itself() -> None:
    row = gains_of(scorer_of(["heron", "wheel", "heron"], windows=NEAR_WINDOWS), "wheel").rows[0]
    assert row[1] > row[0] == row[2] > 0


@pytest.mark.parametrize("windows", [NEAR_WINDOWS, WIDE_WINDOWS])
def test_no_term_counts_across_documents(windows: Windows) -> None:
    scorer = scorer_of(["heron", "wheel"], ["heron"], ["wheel", "heron"], windows=windows)
    row = gains_of(scorer, "wheel").rows[0]
    second = scorer.collection.stretch_of(1)
    assert not row[second].any()
    assert np.count_nonzero(row) == 4
    assert not row[~scorer.is_passage].any()


def test_a_term_tells_the_more_the_fewer_passages_have_it() -> None:
    gains = gains_of(scorer_of(["wheel reed", "reed", "heron"]), "wheel", "reed", "granit")
    assert gains.weights[0] > gains.weights[1] > gains.weights[2] == 0
    assert not gains.rows[2].any()


def test_what_is_rare_is_told_by_the_documents_of_the_request_alone() -> None:
    wheels, herons = ["wheel", "wheel", "reed"], ["heron", "heron", "heron"]
    alone, together = (gains_of(scorer_of(*documents), "wheel") for documents in ([wheels], [wheels, herons]))
    assert together.weights[0] > alone.weights[0]
    assert alone.weights[0] == pytest.approx(math.log(1 + 1.5 / 2.5))


def test_the_terms_of_a_heading_count_in_all_that_is_under_it() -> None:
    scorer = scorer_of(
        ["reed", "# Wheels", "They turn.", "They stop.", "## Spokes", "Eight.", "# Herons", "They wait."]
    )
    gains = gains_of(scorer, "wheel", "spoke")
    assert (gains.rows[:, :5] > 0).tolist() == [[False, True, True, True, False], [False, False, False, True, False]]
    assert gains.weights[0] == pytest.approx(scorer.weight(3))


def test_the_terms_of_a_title_count_in_the_whole_file_where_there_are_several() -> None:
    parts = ["They turn.", "A wheel stops."]
    both = scorer_of(parts, ["They wait."], titles=("wheels.txt", "herons.txt"))
    assert np.flatnonzero(gains_of(both, "wheel").rows[0]).tolist() == [0, 1]
    assert gains_of(both, "wheel").weights[0] == pytest.approx(both.weight(2))
    assert np.flatnonzero(gains_of(scorer_of(parts, titles=("wheels.txt",)), "wheel").rows[0]).tolist() == [1]


def test_a_heading_inside_a_file_of_that_title_counts_once() -> None:
    scorer = scorer_of(["# Wheels", "They turn."], ["They wait."], titles=("wheels.txt", "herons.txt"))
    assert gains_of(scorer, "wheel").weights[0] == pytest.approx(scorer.weight(1))


@pytest.mark.parametrize("documents", [[], [[]], [[], []]])
def test_documents_without_passages_have_nothing_of_any_term(documents: list[list[str]]) -> None:
    scorer = scorer_of(*documents)
    gains = gains_of(scorer, "wheel")
    assert (gains.rows.shape, gains.weights.tolist()) == ((1, scorer.collection.size), [0.0])
    assert not gains.rows.any()
    assert gains_of(scorer).rows.shape == (0, scorer.collection.size)


def test_a_passage_without_words_has_nothing_even_beside_one_with() -> None:
    scorer = scorer_of(["wheel", "* * *", "wheel"], windows=BESIDE)
    assert scorer.is_passage[:3].tolist() == [True, False, True]
    assert gains_of(scorer, "wheel").rows[0, 1] == 0


@given(st.lists(PASSAGES, min_size=1, max_size=3), st.sampled_from([ALONE, BESIDE, NEAR_WINDOWS, WIDE_WINDOWS]))
def test_a_rare_term_is_scored_as_one_that_is_everywhere(documents: list[list[str]], windows: Windows) -> None:
    scorer = scorer_of(*documents, windows=windows)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scoring, "DENSE_SHARE", 0.0)
        everywhere = gains_of(scorer, *WORDS).rows
        patched.setattr(scoring, "DENSE_SHARE", 2.0)
        where_it_stands = gains_of(scorer, *WORDS).rows
    np.testing.assert_allclose(where_it_stands, everywhere, rtol=1e-6)


@given(st.lists(PASSAGES, min_size=1, max_size=3), st.sampled_from([ALONE, NEAR_WINDOWS, WIDE_WINDOWS]))
def test_gains_lie_between_nothing_and_their_most(documents: list[list[str]], windows: Windows) -> None:
    gains = gains_of(scorer_of(*documents, windows=windows), *WORDS)
    assert gains.rows.dtype == gains.weights.dtype == np.float32
    assert np.all((gains.rows >= 0) & (gains.rows < K1 + 1))
    assert np.all((gains.weights > 0) == gains.rows.any(axis=1))
