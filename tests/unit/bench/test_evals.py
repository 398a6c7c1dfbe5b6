"""Figures about answers, abstaining, citations and recall are what their names say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.answers import Answered, abstaining_table, answers_table, choose_answered, measure_abstaining
from evals.citations import check, citations_table, line_of, page_of
from evals.evaldata import EvalFolder, EvalQuestion, read_folder
from evals.recall import Selection, beside_table, recall_table, score_selections, write_selections

SCORE = """
import json
def read_jsonl(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]
def score_file(questions, selections, budgets):
    table = {}
    chosen = {(s["id"], s["budget"]): s for s in selections}
    for q in questions:
        for b in budgets:
            held = q["answers"][0] in chosen.get((q["id"], b), {"context": ""})["context"]
            table.setdefault(q["slice"], {})[b] = {"n": 1, "evidence": float(held), "ms": 7.0}
    table["MACRO"] = {b: {"n": 1, "evidence": 0.5, "ms": None} for b in budgets}
    return table, 0
"""
PAGES = "[page 1]\n\nThe wheel.\n\n[page 2]\n\nThe book [page 9] turns.\nAnd stands.\n"


def question(number: int, slice_name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"q{number}", "slice": slice_name, "lang": "en", "question": "Who?", "answers": ["Ada Brown"], "haystack": "h"
    } | fields  # fmt: skip


def make_folder(folder: Path, *questions: dict[str, Any]) -> EvalFolder:
    (folder / "score.py").write_text(SCORE, "utf-8")
    (folder / "haystacks.json").write_text(json.dumps({"h": ["a/one.txt"], "g": ["two.pdf"]}), "utf-8")
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)), "utf-8")
    return read_folder(folder)


def answered(
    answer: str, slice_name: str = "zh_single", *, answerable: bool = True, gold: str = "Ada Brown"
) -> Answered:
    fields: Mapping[str, Any] = {"answers": [gold]}
    return Answered(EvalQuestion("1", slice_name, "Who?", ("a.txt",), "h", answerable, fields), answer, 0.5)


def test_every_question_is_read_with_its_files_those_without_an_answer_too(tmp_path: Path) -> None:
    data = make_folder(tmp_path, question(1, "one"), question(2, "none", answerable=False, haystack="g"))
    assert [q.files for q in data.questions] == [("a/one.txt",), ("two.pdf",)]
    assert [q.answerable for q in data.questions] == [True, False]
    assert data.path("a/one.txt") == tmp_path / "docs" / "a" / "one.txt"


def test_so_many_questions_of_each_slice_are_chosen_whatever_their_order(tmp_path: Path) -> None:
    lines = [question(number, f"s{number % 3}") for number in range(30)]
    (tmp_path / "turned").mkdir()
    data, turned = make_folder(tmp_path, *lines), make_folder(tmp_path / "turned", *reversed(lines))
    chosen = data.choose([], 2)
    assert sorted(q.slice_name for q in chosen) == ["s0", "s0", "s1", "s1", "s2", "s2"]
    assert {q.question_id for q in chosen} == {q.question_id for q in turned.choose([], 2)}


def test_questions_to_answer_have_a_short_answer_or_none_at_all(tmp_path: Path) -> None:
    lines = [
        question(1, "zh_single"),
        question(2, "zh_single", answers=["x" * 41]),
        question(3, "en_noanswer", answerable=False, answers=[]),
    ]
    assert {q.question_id for q in choose_answered(make_folder(tmp_path, *lines), 5)} == {"q1", "q3"}


def test_an_answer_is_right_when_it_holds_a_gold_answer() -> None:
    assert answered("It was ＡＤＡ  brown.").is_right
    assert not answered("It was Ada.").is_right


def test_abstaining_is_told_by_how_the_answer_begins() -> None:
    assert answered("文档中没有提到。").abstains
    assert answered(" The documents do not say.").abstains
    assert not answered("Ada says: The documents do not say.").abstains


def test_precision_is_of_those_abstained_and_recall_of_those_without_an_answer() -> None:
    silent, spoken = "The documents do not say.", "Ada Brown"
    found = measure_abstaining(
        [
            answered(silent, answerable=False),
            answered(silent, answerable=False),
            answered(spoken, answerable=False),
            answered(spoken, answerable=False),
            answered(silent),
            answered(spoken),
        ]
    )
    assert (found.asked, found.unanswerable, found.abstained, found.right) == (6, 4, 3, 2)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == 0.5


def test_an_engine_that_never_abstains_has_no_precision_and_a_recall_of_nothing() -> None:
    found = measure_abstaining([answered("Ada Brown", answerable=False), answered("Ada Brown")])
    assert (found.precision, found.recall) == (None, 0.0)
    assert measure_abstaining([]).recall is None


def test_the_table_of_answers_leaves_out_questions_that_have_none() -> None:
    table = answers_table({"quotes": [answered("Ada Brown"), answered("Ada Brown", "zh_noanswer", answerable=False)]})
    assert table.rows == [["quotes", "100 % (1 of 1)", "100 % (1 of 1)"]]
    rows = abstaining_table([answered("Ada Brown"), answered("文档中没有提到。", "zh_noanswer", answerable=False)]).rows
    assert rows[0] == ["Chinese", "2", "1", "1", "100 %", "100 %"]


def cited(quote: str, anchor: str, text: str = PAGES, **fields: Any) -> dict[str, Any]:
    start = text.find(quote)
    return {"quote": quote, "anchor": anchor, "start": start, "end": start + len(quote)} | fields


@pytest.mark.parametrize(
    ("citation", "quoted", "placed"),
    [
        (cited("The wheel.", "page 1"), True, True),
        (cited("And stands.", "page 2"), True, True),
        (cited("And stands.", "line 8"), True, True),
        (cited("And stands.", "page 9"), True, False),
        (cited("And stands.", "line 7"), True, False),
        (cited("And stands.", "page 22"), True, False),
        (cited("And stands.", "somewhere"), True, False),
        (cited("And stands.", "page 2, Wheels"), True, True),
        (cited("The wheel.", "page 1") | {"quote": "The wheels"}, False, True),
        (cited("The wheel.", "page 1") | {"end": 15}, False, True),
        (cited("", "page 1"), False, True),
    ],
)
def test_a_citation_holds_only_where_its_quote_stands_and_its_anchor_names_that_place(
    citation: dict[str, Any], quoted: bool, placed: bool
) -> None:
    found = check(citation, PAGES, "one")
    assert (found.quoted, found.placed) == (quoted, placed)


def test_a_citation_of_a_file_that_was_not_asked_about_does_not_hold() -> None:
    assert not check(cited("The wheel.", "page 1"), "", "one").quoted


def test_a_place_before_any_mark_is_on_the_first_page_and_lines_count_from_one() -> None:
    assert (page_of("No marks.", 3), page_of(PAGES, 0), page_of(PAGES, len(PAGES))) == (1, 1, 2)
    assert (line_of("a\nb", 0), line_of("a\nb", 1), line_of("a\nb", 2)) == (1, 1, 2)


def test_the_table_of_citations_counts_wrong_ones_as_wrong() -> None:
    right, wrong = cited("The wheel.", "page 1"), cited("The wheel.", "page 3") | {"quote": "The whale."}
    checked = [check(citation, PAGES, "en_pdf") for citation in (right, wrong)]
    table = citations_table(checked)
    assert [row for row in table.rows if row[0] == "en_pdf"] == [["en_pdf", "2", "50 %", "50 %"]]
    assert table.rows[0] == ["zh_multi100", "0", "", ""]


def test_selections_are_written_as_the_definition_reads_them_and_scored_by_it(tmp_path: Path) -> None:
    data = make_folder(tmp_path, question(1, "one"), question(2, "two"))
    write_selections(tmp_path / "kept" / "selections.jsonl", [Selection("q1", 4000, "by Ada Brown", 7.0)])
    lines = data.score.read_jsonl(tmp_path / "kept" / "selections.jsonl")
    assert {"id": "q1", "budget": 4000, "context": "by Ada Brown", "ms": 7.0}.items() <= lines[0].items()
    scores = score_selections(data, data.questions, lines)
    assert recall_table(scores).rows == [
        ["one", "1", "0.0", "100.0", "0.0", "7"],
        ["two", "1", "0.0", "0.0", "0.0", "7"],
        ["MACRO", "1", "50.0", "50.0", "50.0", ""],
    ]
    assert beside_table({"ours": scores, "theirs": scores}).rows[0] == [
        "one",
        *["0.0"] * 2,
        *["100.0"] * 2,
        *["0.0"] * 2,
    ]


def test_a_folder_without_the_definition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_folder(tmp_path)
