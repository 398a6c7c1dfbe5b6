"""JSON becomes text that a reader can follow, with nothing lost and nothing escaped."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block
from bookwheel.errors import ParsingError
from bookwheel.extraction.formats.json_data import ANCHOR_CHARACTERS, BLOCK_CHARACTERS, read

DOCUMENTS = Path(__file__).parents[2] / "documents"
WORDS = st.text(alphabet=st.sampled_from("ab书é{}[]:\"'\\\n "), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=40,
)


def blocks_of(folder: Path, text: str) -> list[Block]:
    source = folder / "source.json"
    source.write_text(text, "utf-8")
    return list(read(source, "utf-8"))


def text_of(folder: Path, text: str) -> str:
    return "".join(block.text for block in blocks_of(folder, text))


def test_a_value_is_written_out_by_keys_and_items() -> None:
    [block] = read(DOCUMENTS / "catalogue.json", "utf-8")
    assert block.anchor == "$.title"
    assert block.text.splitlines() == [
        "title: 书轮目录",
        "year: 1588",
        "weight_kg: 180.50",
        "shelves:",
        "  - number: 1",
        "    books:",
        "      - 本草",
        "      - 算经",
        "    note: null",
        "  - number: 2",
        "    books: []",
        "    note: 空架，等新书",
        "      下个月到",
        "turns: true",
    ]


def test_json_lines_are_items_with_their_line() -> None:
    [block] = read(DOCUMENTS / "questions.jsonl", "utf-8")
    assert block.anchor == "line 1"
    assert block.text.splitlines()[2:] == [
        *("- question: 书轮有几层？", "  answer: 十二层", "- question: Does it spill?", "  answer: No")
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('"only words"', ["only words"]),
        ("[]", ["[]"]),
        ("{}", ["{}"]),
        ('""', ['""']),
        ("null", ["null"]),
        ('[[1, 2.50, true, null], [["a"], {"b": {}}]]', ["- [1, 2.50, true, null]", "- - - a", "  - b: {}"]),
        ('{"a b": {"": []}}', ["a b:", "  : []"]),
        ("123456789012345678901234567890", ["123456789012345678901234567890"]),
        ('[1e400, -0.10, "\\u4e66\\u8f6e"]', ["- 1e400", "- -0.10", "- 书轮"]),
        (json.dumps(list(range(20))), ["- " + ", ".join(map(str, range(16))), "- 16, 17, 18, 19"]),
        ("1\n\n[2]\n", ["- 1", "- [2]"]),
        ('{"a": 1}\n"b"\n[["c"]]\n', ["- a: 1", "- b", "- - - c"]),
        ("", []),
        (" \n\n", []),
        ("\n\n[1]\n\n", ["[1]"]),
    ],
)
def test_every_kind_of_value_has_its_lines(tmp_path: Path, text: str, lines: list[str]) -> None:
    assert text_of(tmp_path, text).splitlines() == lines


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[1,\n 2,,3]", "line 2, column 4"),
        ("[1, 2", "line 1, column 6"),
        ('\n\n{"书":\n x}', "line 4, column 2"),
        ('{"a": 1}\n{"a":}\n', "line 2, column 6"),
        ('{"a": 1}\n\n{"a" 1}\n', "line 3, column 6"),
        ("// a comment\n{}", "line 1, column 1"),
        ("{} {}", "line 1, column 4"),
        ('{"a": NaN}', "line 1, column 7"),
        ("plain words", "line 1, column 1"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ParsingError) as refusal:
        blocks_of(tmp_path, text)
    assert place in refusal.value.reason
    assert refusal.value.reason.endswith("To have it read as plain text, give it the name .txt.")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (r'{"a": "\ud83d\ude00 \ud83d cut"}', ["a: 😀 \ufffd cut"]),
        (r'["\ude00\ud83d", "\\ud83d"]', ["- \ufffd\ufffd", r"- \ud83d"]),
        ('"\\ud800"\n{"b": "\\uDBFF"}\n', ["- \ufffd", "- b: \ufffd"]),
    ],
)
def test_half_of_a_character_loses_nothing_around_it(tmp_path: Path, text: str, lines: list[str]) -> None:
    assert text_of(tmp_path, text).splitlines() == lines


def test_a_fault_beside_half_of_a_character_has_its_place(tmp_path: Path) -> None:
    with pytest.raises(ParsingError, match="line 2, column 4"):
        blocks_of(tmp_path, '["\\ud800",\n 2,,3]')


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1\n" + "[" * 100_000, "[" * 99_999 + "]" * 99_999])
def test_hostile_depth_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParsingError, match="nested too deeply"):
        blocks_of(tmp_path, text)


def test_what_the_parser_follows_is_written_out_however_deep(tmp_path: Path) -> None:
    depth = 400
    text = '{"k":[' * depth + '"bottom"' + "]}" * depth
    lines = text_of(tmp_path, text).splitlines()
    assert lines[-1].endswith("bottom")
    assert max(map(len, lines)) < 40
    assert max(len(block.anchor) for block in blocks_of(tmp_path, text)) <= ANCHOR_CHARACTERS + 1


def test_blocks_begin_where_values_do(tmp_path: Path) -> None:
    records = [{"id": n, "title": f"Title {n}", "words": ["some words " * 10] * 3} for n in range(40)]
    blocks = blocks_of(tmp_path, json.dumps({"version": "1.0", "data": records}))
    assert len(blocks) > 4
    assert all(len(block.text) <= BLOCK_CHARACTERS for block in blocks)
    assert all(re.fullmatch(r"\$\.version|\$\.data\[\d+\]", block.anchor) for block in blocks)
    assert all(block.text.lstrip().startswith("- id:") for block in blocks[1:])


def test_a_long_text_in_a_value_is_cut_at_its_sentences(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, json.dumps({"article": {"body": "一句话就是这样。" * 1000}}))
    assert {block.anchor for block in blocks[1:]} == {"$.article.body"}
    assert all(block.text.rstrip().endswith("。") for block in blocks[1:])


@pytest.mark.parametrize(
    ("text", "anchor"),
    [
        ('{"a": {"b c": ["%s"]}}', '$.a["b c"][0]'),
        ('{"标题": [[], "%s"]}', "$.标题[1]"),
        ('1\n2\n{"x": {"y": "%s"}}', "line 3 $.x.y"),
    ],
)
def test_an_anchor_is_the_path_of_the_value(tmp_path: Path, text: str, anchor: str) -> None:
    blocks = blocks_of(tmp_path, text % ("word " * 1000))
    assert blocks[-1].anchor == anchor


@given(VALUES)
def test_any_value_is_written_out_with_all_its_words(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    text = text_of(tmp_path_factory.getbasetemp(), json.dumps(value, ensure_ascii=False))
    assert [word for word in words_of(value) if word not in flat(text)] == []


@given(st.lists(VALUES, min_size=2, max_size=5))
def test_any_values_are_written_out_from_json_lines(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    text = text_of(tmp_path_factory.getbasetemp(), "".join(json.dumps(value) + "\n" for value in values))
    assert [word for word in words_of(values) if word not in flat(text)] == []


@given(st.text(alphabet=st.sampled_from('{}[]",:1a \n\\'), max_size=30))
def test_no_text_makes_it_fail_in_another_way(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    with contextlib.suppress(ParsingError):
        blocks_of(tmp_path_factory.getbasetemp(), text)


def words_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for key, inner in value.items() for word in (flat(key), *words_of(inner))]
    if isinstance(value, list):
        return [word for inner in value for word in words_of(inner)]
    return [flat(value if isinstance(value, str) else json.dumps(value))]


def flat(text: str) -> str:
    return "".join(text.split())
