"""What is shown of documents stands in them as it is, says where it comes from, and keeps to the budget."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bookwheel.answering.excerpts import (
    HEADINGS,
    LEAST_OPENING_TOKENS,
    Source,
    find_excerpts,
    find_overview,
    frames_of,
    place_of,
    take_excerpts,
)
from bookwheel.answering.layout import frame
from bookwheel.document import read_blocks, write_document
from bookwheel.engines.engine import ShownDocument
from bookwheel.extraction.formats.markdown import read as read_markdown
from bookwheel.extraction.formats.text import read as read_text
from bookwheel.indexing.index import build_index
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval.collection import Run
from bookwheel.retrieval.question import Question
from bookwheel.retrieval.search import Searchable
from bookwheel.tokens import count_tokens

MakeSource = Callable[..., Source]
HERON = "The heron of Uffington stands on one leg at noon."
PLAIN = [f"Note {n}: rain fell on day {n} and the mill stood still until evening came." for n in range(200)]


@pytest.fixture
def make_source(tmp_path: Path) -> MakeSource:
    def make(text: str, title: str = "notes.txt") -> Source:
        folder = tmp_path / title
        folder.mkdir()
        (folder / "original").write_text(text, "utf-8")
        read = read_markdown if title.endswith(".md") else read_text
        write_document(read(folder / "original", "utf-8"), folder / "text", folder / "blocks")
        written = (folder / "text").read_bytes()
        index = build_index(written.decode(), read_blocks(folder / "blocks"), title)
        return Source(title, IndexedDocument(index, memoryview(written)), count_tokens(text), f"file-fe-{title}")

    return make


def with_heron(lines: list[str], at: int = 100) -> str:
    return "\n\n".join([*lines[:at], HERON, *lines[at:]]) + "\n"


def find(sources: list[Source], question: Question, budget_tokens: int) -> list[ShownDocument]:
    searchable = Searchable([source.document for source in sources])
    shown, support = find_excerpts(sources, searchable, question, budget_tokens)
    assert 0 <= support <= 1
    return shown


def spent(shown: list[ShownDocument]) -> int:
    return count_tokens("\n\n".join(frame(document) for document in shown if document.excerpts))


def test_excerpts_are_cut_out_of_the_text_in_its_order(make_source: MakeSource) -> None:
    source = make_source(with_heron(PLAIN))
    (shown,) = find([source], Question("Where does the heron stand when rain fell on day 150?"), 400)
    text = source.document.whole_text()
    assert any(HERON in excerpt.text for excerpt in shown.excerpts)
    starts = [excerpt.start for excerpt in shown.excerpts]
    assert starts == sorted(starts)
    assert all(text[excerpt.start :].startswith(excerpt.text) for excerpt in shown.excerpts)
    assert (shown.title, shown.file_id, shown.tokens, shown.is_whole) == (
        "notes.txt",
        source.file_id,
        source.tokens,
        False,
    )
    assert shown.selected_tokens == sum(count_tokens(excerpt.text) for excerpt in shown.excerpts)


@pytest.mark.parametrize("budget_tokens", [64, 200, 1_000, 3_000])
@pytest.mark.parametrize("count", [1, 6])
def test_frames_and_marks_count_in_the_budget(make_source: MakeSource, budget_tokens: int, count: int) -> None:
    sources = [make_source(with_heron(PLAIN, 30 * n), f"notes-{n}.txt") for n in range(count)]
    question = Question("When did the mill stand still, and where is the heron?")
    shown = find(sources, question, budget_tokens)
    assert 0 < spent(shown) <= 1.05 * budget_tokens
    assert spent(find_overview(sources, budget_tokens)) <= 1.05 * budget_tokens


def test_the_indents_of_json_count_in_the_budget_too(make_source: MakeSource) -> None:
    rows = [{"lot": n, "keeper": {"name": f"keeper {n}", "fee": n * 37 % 911}} for n in range(300)]
    source = make_source(json.dumps(rows, indent=4), "rows.txt")
    shown = find([source], Question("What fee has keeper 150 of lot 150?"), 600)
    assert '"keeper 150"' in "".join(excerpt.text for excerpt in shown[0].excerpts)
    assert spent(shown) <= 1.05 * 600


def test_every_document_has_its_place_in_the_result_also_one_with_nothing_to_show(make_source: MakeSource) -> None:
    sources = [make_source("\n\n".join(PLAIN[:80]), "plain.txt"), make_source(with_heron([]), "heron.txt")]
    shown = find(sources, Question("Where does the heron of Uffington stand?"), 64)
    assert [document.title for document in shown] == ["plain.txt", "heron.txt"]
    assert HERON in shown[1].excerpts[0].text


def test_an_overview_of_more_documents_than_there_is_room_for_shows_the_first_ones(make_source: MakeSource) -> None:
    sources = [make_source("\n\n".join(PLAIN[n : n + 40]), f"notes-{n:02}.txt") for n in range(20)]
    room = frames_of(sources[:5]) + 5 * LEAST_OPENING_TOKENS + 1
    shown = find_overview(sources, room)
    assert [bool(document.excerpts) for document in shown] == [True] * 5 + [False] * 15
    assert spent(shown) <= 1.05 * room


def test_an_overview_with_room_for_nothing_shows_nothing(make_source: MakeSource) -> None:
    (shown,) = find_overview([make_source("\n\n".join(PLAIN), "a-rather-long-name-of-a-file.txt")], 20)
    assert (shown.excerpts, shown.selected_tokens) == ((), 0)


MARKDOWN = """# Birds

Birds of the marsh.

## Herons

They stand.

### Of Uffington

It stands on one leg at noon, and nobody knows why that is so or since when.

More of it.
"""


def test_a_place_names_the_headings_above_that_the_excerpt_itself_does_not(make_source: MakeSource) -> None:
    source = make_source(MARKDOWN, "birds.md")
    places = {
        source.document.passages_text(number, number).split("\n")[0]: place_of(source.document, number)
        for number in range(len(source.document.index))
    }
    assert places["# Birds"] == ""
    assert places["## Herons"] == "Birds"
    assert places["### Of Uffington"] == ", ".join(["Birds", "Herons"][-HEADINGS:])
    assert all(not re.search("line|#", place) for place in places.values())


def test_a_run_of_passages_is_one_excerpt_with_what_stands_between_them(make_source: MakeSource) -> None:
    source = make_source(MARKDOWN, "birds.md")
    shown = take_excerpts(source, [Run(0, len(source.document.index) - 1)])
    assert [(excerpt.text, excerpt.start) for excerpt in shown.excerpts] == [(MARKDOWN.strip(), 0)]
