"""Questions are chosen the same way in every run, and excerpts hold the evidence."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.questions import Evaldata, make_excerpt, normalise, read_evaldata
from bookwheel.tokens import count_tokens

FILLING = "The keeper wrote a line about the weather in his book and went to bed early. "
LONG = FILLING * 200 + "The lamp was lit by Ada Brown. " + FILLING * 200


def question(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"q{number}",
        "slice": "one",
        "lang": "en",
        "question": "Who lit the lamp?",
        "answers": ["Ada Brown"],
        "evidence": [["lit by Ada Brown"]],
        "haystack": "long",
    } | fields


def make_data(folder: Path, *questions: dict[str, Any]) -> Evaldata:
    (folder / "docs").mkdir()
    (folder / "docs" / "long.txt").write_text(LONG, "utf-8")
    (folder / "docs" / "short.txt").write_text("The lamp was lit by Ada Brown.", "utf-8")
    haystacks = {"long": ["long.txt"], "both": ["short.txt", "long.txt"], "pdf": ["a.pdf"]}
    (folder / "haystacks.json").write_text(json.dumps(haystacks), "utf-8")
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)), "utf-8")
    return read_evaldata(folder)


@pytest.mark.parametrize(
    ("fields", "is_kept"),
    [
        ({}, True),
        ({"answerable": False}, False),
        ({"answers": []}, False),
        ({"answers": ["x" * 41]}, False),
        ({"answers": ["x" * 41, "Ada Brown"]}, True),
        ({"answers": ["?!"]}, False),
        ({"haystack": "pdf"}, False),
        ({"haystack": "unknown"}, False),
    ],
)
def test_only_questions_with_a_short_answer_in_text_files_are_asked(
    tmp_path: Path, fields: dict[str, Any], is_kept: bool
) -> None:
    assert len(make_data(tmp_path, question(1, **fields)).questions) == is_kept


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("It was ADA  BROWN.", True),
        ("Ａｄａ Ｂｒｏｗｎ", True),
        ("Ada-Brown", True),
        ("Ada Green", False),
        ("", False),
    ],
)
def test_an_answer_is_right_when_it_holds_a_gold_answer(tmp_path: Path, answer: str, is_right: bool) -> None:
    assert make_data(tmp_path, question(1)).questions[0].is_right(answer) == is_right


def test_letters_and_digits_of_every_script_are_compared() -> None:
    assert normalise("「1964 年」，Ｔｏｋｙｏ!") == "1964年tokyo"


def test_the_choice_is_the_same_whatever_the_order_and_takes_slices_in_turn(tmp_path: Path) -> None:
    questions = [question(n, slice="one" if n % 3 else "two") for n in range(12)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    chosen = make_data(tmp_path / "a", *questions).choose(["one", "two"], 6)
    again = make_data(tmp_path / "b", *reversed(questions)).choose(["one", "two"], 6)
    assert chosen == again
    assert [q.slice_name for q in chosen] == ["one", "two"] * 3
    assert chosen[:4] == read_evaldata(tmp_path / "a").choose(["one", "two"], 4)


def test_an_excerpt_is_about_the_size_asked_for_and_holds_the_evidence(tmp_path: Path) -> None:
    data = make_data(tmp_path, *(question(n) for n in range(20)))
    excerpts = [make_excerpt(data, q, 500) for q in data.questions]
    for excerpt in excerpts:
        assert excerpt is not None
        assert "lit by Ada Brown" in excerpt.text
        assert 400 <= count_tokens(excerpt.text) <= 600
    places = {excerpt.text.find("Ada Brown") for excerpt in excerpts if excerpt}
    assert len(places) > 10, "the evidence stands at another place in each"


def test_a_short_file_is_filled_up_with_the_others_of_its_request(tmp_path: Path) -> None:
    data = make_data(tmp_path, question(1, haystack="both"))
    excerpt = make_excerpt(data, data.questions[0], 500)
    assert excerpt is not None
    assert excerpt.title == "short.txt"
    assert excerpt.text.startswith("The lamp was lit by Ada Brown.\n\nThe keeper")
    assert 400 <= count_tokens(excerpt.text) <= 600


@pytest.mark.parametrize(
    "fields",
    [
        {"evidence": [["lit by nobody"]]},
        {"evidence": [["lit by Ada Brown"], ["lit by nobody"]]},
        {"evidence": []},
        {"answers": ["Ida Black"]},
        {"question": "Did Ada Brown light the lamp?"},
    ],
)
def test_a_question_that_its_excerpt_does_not_answer_is_left_out(tmp_path: Path, fields: dict[str, Any]) -> None:
    data = make_data(tmp_path, question(1, **fields))
    assert make_excerpt(data, data.questions[0], 500) is None


def test_a_missing_folder_ends_the_program_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"--evaldata DIR"):
        read_evaldata(tmp_path)
