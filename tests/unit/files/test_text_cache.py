"""The texts that are asked for again and again are at hand, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from bookwheel.files.files import TextCache


def test_a_text_is_kept_until_it_is_dropped() -> None:
    cache = TextCache(100)
    assert cache.get("a") is None
    cache.put("a", "text")
    assert cache.get("a") == "text"
    cache.drop("a")
    cache.drop("a")
    assert cache.get("a") is None


def test_the_text_that_was_asked_for_longest_ago_makes_room() -> None:
    cache = TextCache(10)
    for name in "abc":
        cache.put(name, "xxx")
    assert cache.get("a") == "xxx"
    cache.put("d", "xxxx")
    assert [name for name in "abcd" if cache.get(name)] == ["a", "c", "d"]


def test_a_text_larger_than_all_the_room_is_not_kept_and_takes_none_of_it() -> None:
    cache = TextCache(10)
    cache.put("a", "xxx")
    cache.put("large", "x" * 11)
    assert cache.get("large") is None
    assert cache.get("a") == "xxx"
    cache.put("exact", "x" * 10)
    assert cache.get("exact") == "x" * 10
    assert cache.get("a") is None


def test_a_text_put_again_takes_its_room_once() -> None:
    cache = TextCache(10)
    for _ in range(5):
        cache.put("a", "xxxxx")
    cache.put("b", "xxxxx")
    assert (cache.get("a"), cache.get("b")) == ("xxxxx", "xxxxx")


NAMES = st.sampled_from("abcde")
STEPS = st.tuples(st.sampled_from(["put", "drop", "get"]), NAMES, st.integers(0, 12))


@given(st.lists(STEPS, max_size=40))
def test_the_texts_kept_never_pass_the_room_and_are_what_was_put(steps: list[tuple[str, str, int]]) -> None:
    cache = TextCache(10)
    put: dict[str, str] = {}
    for step, name, length in steps:
        if step == "put":
            put[name] = name * length
            cache.put(name, put[name])
        elif step == "drop":
            put.pop(name, None)
            cache.drop(name)
        kept = {name: text for name in "abcde" if (text := cache.get(name)) is not None}
        assert sum(map(len, kept.values())) <= 10
        assert kept.items() <= put.items()
