"""The method without one of its parts: a part is off for a variant's time only, and the table says what that costs."""

import ast
import inspect
import json
from pathlib import Path
from types import ModuleType

import pytest

from bench.report import Progress
from bookwheel.retrieval import question as weighing
from bookwheel.retrieval import search
from bookwheel.retrieval.question import Question, weigh_terms
from evals.__main__ import PARTS, QUALITY_HEAD, QUALITY_PAGE, QUICK_PARTS
from evals.ablation import (
    ALL_PARTS,
    VARIANTS,
    Constant,
    Scored,
    Variant,
    ablation_table,
    measure,
    switched,
    variants_table,
)
from evals.evaldata import BUDGETS, EvalFolder, read_folder
from evals.indexes import IndexFolder, version_of

SCORE = """
import json
SLACK = 1.1
def read_jsonl(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]
def cut(text, budget):
    return text[:int(4 * budget)]
def score_one(question, text):
    return {"evidence": float(all(any(s in text for s in group) for group in question["evidence"]))}
"""
CONSTANTS = [constant for variant in VARIANTS for constant in variant.constants]
SENTENCES = [f"Item {number} of the store is a box of {number * 7} nails from the old mill." for number in range(600)]

BOTH_ENDS = [["point 0."], [f"point {number}." for number in range(380, 400)]]


def named(name: str) -> Variant:
    return next(variant for variant in VARIANTS if variant.name == name)


def reads_in_functions(module: ModuleType) -> set[str]:
    """The names that a module's functions look up when they are called; none of their arguments' defaults."""
    functions = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.FunctionDef)]
    bodies = [node for function in functions for part in function.body for node in ast.walk(part)]
    return {node.id for node in bodies if isinstance(node, ast.Name)}


def make_folder(folder: Path) -> EvalFolder:
    """Two requests: one of two files, where the answer's file is named in the question, and one of a meeting."""
    (folder / "docs").mkdir()
    (folder / "score.py").write_text(SCORE, "utf-8")
    (folder / "docs" / "wheels.txt").write_text(
        " ".join([*SENTENCES, "The reading wheel was built by Ramelli."]), "utf-8"
    )
    (folder / "docs" / "mills.txt").write_text(" ".join([*SENTENCES, "The water mill was built by nobody."]), "utf-8")
    turns = [f"{'Ann' if number % 2 else 'Bob'}: We talk of point {number}." for number in range(400)]
    (folder / "docs" / "meeting.txt").write_text("\n\n".join(turns), "utf-8")
    (folder / "haystacks.json").write_text(
        json.dumps({"a": ["wheels.txt", "mills.txt"], "b": ["meeting.txt"]}), "utf-8"
    )
    questions = [
        {"id": "1", "slice": "s", "question": "Who built the reading wheel?", "haystack": "a", "evidence": [["Ramelli"]]},
        {"id": "2", "slice": "en_whole", "question": "Summarize it.", "haystack": "b", "evidence": BOTH_ENDS},
    ]  # fmt: skip
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)), "utf-8")
    return read_folder(folder)


@pytest.mark.parametrize("constant", CONSTANTS, ids=str)
def test_what_a_variant_sets_is_there_and_read_when_questions_are_asked(constant: Constant) -> None:
    assert hasattr(constant.module, constant.name)
    assert constant.name in reads_in_functions(constant.module)
    assert getattr(constant.module, constant.name) != constant.value


def test_variants_have_names_of_their_own_and_all_but_the_first_switch_something_off() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    assert VARIANTS[0] is ALL_PARTS
    assert [variant.name for variant in VARIANTS if not variant.how] == [ALL_PARTS.name]


def test_constants_are_set_for_the_time_of_a_run_and_set_back_when_it_fails() -> None:
    before = search.ALIKE_SHARE
    with switched([Constant(search, "ALIKE_SHARE", 0.125)]):
        assert search.ALIKE_SHARE == 0.125
    assert before == search.ALIKE_SHARE
    with pytest.raises(ZeroDivisionError), switched([Constant(search, "ALIKE_SHARE", 0.125)]):
        raise ZeroDivisionError
    assert before == search.ALIKE_SHARE


def test_a_constant_that_there_is_not_is_refused_and_nothing_is_set() -> None:
    before = search.ALIKE_SHARE
    constants = [Constant(search, "ALIKE_SHARE", 0.125), Constant(search, "NO_SUCH_SHARE", 1.0)]
    with pytest.raises(AttributeError), switched(constants):
        pass
    assert before == search.ALIKE_SHARE
    assert not hasattr(search, "NO_SUCH_SHARE")


def test_without_synonyms_a_question_has_its_own_words_only() -> None:
    question = Question("What is the quick ratio?")
    with switched(named("no synonyms").constants):
        own = weigh_terms(question)
    assert set(own) < set(weigh_terms(question))


def test_without_weighing_words_that_only_ask_count_as_much_as_others() -> None:
    question = Question('Highlight the parts related to "Audit Rights".')
    with switched(named("no weighing of the question's words").constants):
        assert set(weigh_terms(question).values()) <= {1.0, weighing.SYNONYM_SHARE}
    assert {weighing.INSTRUCTION_SHARE, weighing.QUOTED_SHARE} <= set(weigh_terms(question).values())


def test_the_table_has_means_over_slices_differences_and_the_slices_that_lose_most() -> None:
    without = named("no links")
    scored = [
        Scored(variant.name, slice_name, budget, evidence)
        for budget in BUDGETS
        for variant, slice_name, evidence in (
            (ALL_PARTS, "one", 1.0),
            (ALL_PARTS, "one", 1.0),
            (ALL_PARTS, "two", 0.5),
            (ALL_PARTS, "three", 0.0),
            (without, "one", 1.0),
            (without, "one", 0.0),
            (without, "two", 0.0),
            (without, "three", 0.6),
        )
    ]
    table = ablation_table(scored)
    assert table.columns == ["variant", "1k", "4k", "16k", "1k ±", "4k ±", "16k ±", "lose most at 4k"]
    assert [list(row) for row in table.rows] == [
        ["all parts", *["50.0"] * 3, *[""] * 4],
        ["no links", *["36.7"] * 3, *["-13.3"] * 3, "one -50.0, two -50.0"],
    ]


def test_a_second_table_says_how_each_variant_is_made() -> None:
    how = {row[0]: row[1] for row in variants_table().rows}
    assert how["no links"] == "`selection.LINK_WEIGHT = 0.0`, `selection.HEADED_WEIGHT = 0.0`"
    assert how["no synonyms"] == "`question.synonyms_of` finds nothing"
    assert set(how) == {variant.name for variant in VARIANTS} - {ALL_PARTS.name}


def test_every_variant_is_scored_at_every_budget_and_only_its_own_part_is_off(tmp_path: Path) -> None:
    data = make_folder(tmp_path)
    section = measure(data, data.choose([], 10), tmp_path / "kept", Progress("test"))
    rows = {row[0]: list(row[1:4]) for row in section.tables[0].rows}
    assert list(rows) == [variant.name for variant in VARIANTS]
    assert rows["all parts"] == ["100.0"] * 3
    assert rows["whole documents searched like others"][0] == "50.0"
    assert "2 questions" in section.notes[0]


def test_a_file_is_indexed_once_for_its_content_and_name(tmp_path: Path) -> None:
    data = make_folder(tmp_path)
    indexes = IndexFolder(data, tmp_path / "kept")
    indexes.prepare(["wheels.txt", "wheels.txt"], Progress("test"))
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("index-*")}
    (source,) = indexes.open(["wheels.txt"])
    assert source.document.whole_text().endswith("built by Ramelli.")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("index-*")} == made
    data.path("wheels.txt").write_text("Something else.", "utf-8")
    (changed,) = indexes.open(["wheels.txt"])
    assert (len(made), changed.document.whole_text()) == (1, "Something else.")


def test_indexes_are_made_anew_when_what_makes_them_changes_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "indexing").mkdir()
    (tmp_path / "terms.py").write_text("A = 1\n", "utf-8")
    (tmp_path / "indexing" / "index.py").write_text("B = 1\n", "utf-8")
    first = version_of(tmp_path)
    (tmp_path / "app.py").write_text("C = 1\n", "utf-8")
    assert version_of(tmp_path) == first
    (tmp_path / "indexing" / "index.py").write_text("B = 2\n", "utf-8")
    assert version_of(tmp_path) != first


def test_a_quick_run_leaves_the_ablation_out_and_the_page_says_what_is_on_it() -> None:
    assert "ablation" in PARTS
    assert "ablation" not in QUICK_PARTS
    assert QUALITY_PAGE.read_text("utf-8").startswith(QUALITY_HEAD)
