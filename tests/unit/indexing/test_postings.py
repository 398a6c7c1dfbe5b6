"""Terms are found where they stand and as often as they stand there, and nowhere else."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.indexing.postings import MOST_COUNTED, Postings, PostingsBuilder, hash_terms

PLACES = st.lists(
    st.lists(st.sampled_from(["wheel", "reed", "潮", "潮水", "19", "\ud800", ""]), max_size=8), max_size=12
)


def postings_of(places: list[list[str]]) -> Postings:
    builder = PostingsBuilder()
    for terms in places:
        builder.add(terms)
    return builder.build()


@given(PLACES)
def test_every_term_is_found_where_it_stands_as_often_as_it_stands_there(places: list[list[str]]) -> None:
    postings = postings_of(places)
    terms = sorted({term for place in places for term in place})
    for term, number in zip(terms, postings.find(hash_terms(terms)).tolist(), strict=True):
        found, counts = postings.of(number)
        expected = {place: Counter(having)[term] for place, having in enumerate(places) if term in having}
        assert dict(zip(found.tolist(), counts.tolist(), strict=True)) == expected
        assert found.tolist() == sorted(expected)


@given(PLACES)
def test_the_arrays_are_as_they_are_described(places: list[list[str]]) -> None:
    postings = postings_of(places)
    arrays = (postings.hashes, postings.offsets, postings.places, postings.counts)
    assert [array.dtype.name for array in arrays] == ["uint64", "uint32", "uint32", "uint8"]
    assert np.all(postings.hashes[1:] > postings.hashes[:-1])
    assert len(postings.offsets) == len(postings.hashes) + 1
    assert postings.offsets[0] == 0
    assert postings.offsets[-1] == len(postings.places) == len(postings.counts)


@pytest.mark.parametrize("places", [[], [[]], [["wheel"]], [["a", "b"], [], ["z"]]])
def test_a_term_that_stands_nowhere_is_not_found(places: list[list[str]]) -> None:
    assert postings_of(places).find(hash_terms(["heron", "0"])).tolist() == [-1, -1]
    assert postings_of(places).find(hash_terms([])).tolist() == []


def test_a_place_says_how_many_terms_it_was_given() -> None:
    builder = PostingsBuilder()
    assert [builder.add(["a", "b", "a"]), builder.add([]), builder.add("c" for _ in range(3))] == [3, 0, 3]


def test_what_stands_more_often_than_can_be_counted_is_counted_as_often_as_can_be() -> None:
    postings = postings_of([["wheel"] * (MOST_COUNTED + 5)])
    assert postings.of(0)[1].tolist() == [MOST_COUNTED]


def test_a_term_has_the_same_hash_in_every_process() -> None:
    assert hash_terms(["wheel", "潮水"]).tolist() == [2727832217181998370, 1077717891654882032]
