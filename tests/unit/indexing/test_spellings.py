"""Words that are spelled alike have the same skeleton, and words that are not do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.indexing.postings import PostingsBuilder, hash_terms
from bookwheel.indexing.spellings import LEAST_LETTERS, build_spellings, skeleton
from bookwheel.terms import terms_of

LETTERS = st.text(alphabet="abchknqrstuyz", min_size=LEAST_LETTERS, max_size=14)


@pytest.mark.parametrize(
    ("misspelt", "right"),
    [
        ("recieve", "receive"),
        ("accomodation", "accommodation"),
        ("parlament", "parliament"),
        ("Tchaikovski", "Tchaikovsky"),
        ("Zuckerberg", "Zukerberg"),
        ("organise", "organize"),
    ],
)
def test_a_misspelt_word_has_the_skeleton_of_the_right_spelling(misspelt: str, right: str) -> None:
    (wrong,), (term,) = terms_of(misspelt), terms_of(right)
    assert skeleton(wrong) == skeleton(term) is not None


@pytest.mark.parametrize(("one", "other"), [("receive", "recover"), ("Holmberg", "Hallbarg"), ("granite", "grandees")])
def test_other_words_have_other_skeletons(one: str, other: str) -> None:
    assert skeleton(terms_of(one)[0]) != skeleton(terms_of(other)[0])


@pytest.mark.parametrize("term", ["", "mill", "heron", "aeolia", "潮水之书", "fy2023", "1912", "a" * 60, "b" * 41])
def test_what_is_too_short_to_tell_or_no_word_has_none(term: str) -> None:
    assert skeleton(term) is None


@given(LETTERS, st.integers(0, 20))
def test_a_letter_doubled_or_a_vowel_changed_makes_no_difference(word: str, at: int) -> None:
    at %= len(word)
    assert skeleton(word[:at] + word[at] + word[at:]) == skeleton(word)
    if at and word[at] in "au":
        assert skeleton(word[:at] + "i" + word[at + 1 :]) == skeleton(word)


@given(LETTERS)
def test_a_skeleton_is_no_longer_than_its_word_and_has_its_consonants_in_order(word: str) -> None:
    bones = skeleton(word)
    if bones is not None:
        assert 3 <= len(bones) <= len(word)
        rest = iter(word.translate(str.maketrans("cqzuy", "kksaa")))
        assert all(letter in rest for letter in bones)


def test_terms_are_found_by_their_skeletons() -> None:
    builder = PostingsBuilder()
    builder.add(["receiv", "reciev", "granit", "mill"])
    words = builder.build()
    spellings = build_spellings(builder.terms(), words)
    bones = [skeleton("receeve"), skeleton("granit"), "mll"]
    found = spellings.find(hash_terms(bone for bone in bones if bone))
    assert found[2] == -1
    assert set(words.hashes[spellings.of(int(found[0]))[0]].tolist()) == set(hash_terms(["receiv", "reciev"]).tolist())
    assert words.hashes[spellings.of(int(found[1]))[0]].tolist() == hash_terms(["granit"]).tolist()
    assert np.all(spellings.counts == 1)


def test_no_terms_have_no_spellings() -> None:
    builder = PostingsBuilder()
    spellings = build_spellings(builder.terms(), builder.build())
    assert (len(spellings.hashes), len(spellings.places), spellings.offsets.tolist()) == (0, 0, [0])
    assert spellings.find(hash_terms(["rkv"])).tolist() == [-1]
