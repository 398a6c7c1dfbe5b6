"""Peers are asked every question at every budget over its own files, and their text is cut without loss."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from bench import retriever
from bench.retrieval_corpus import MADE_TOKENS, make_corpus, make_request
from bench.retrieval_peers import PeerQuestion, PeerRequests, plain_text
from bench.retriever import UNIT_TOKENS, _keep_last, _pieces


class First:
    """Shows the beginning of the first file."""

    def __init__(self, *, kept: bool) -> None:
        self.kept = kept

    def prepare(self, files: Sequence[str]) -> None:
        self.text = Path(files[0]).read_text("utf-8")

    def select(self, question: str, budget: int) -> str:
        return f"{question} {self.text[:budget]}"


def test_every_question_is_asked_at_every_budget_over_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(retriever.TOOLS, "first", First)
    for name in ("a", "b"):
        (tmp_path / name).write_text(name * 9, "utf-8")
    requests = PeerRequests(
        budgets=[2, 4],
        kept=True,
        haystacks={"x": [str(tmp_path / "a")], "y": [str(tmp_path / "b")]},
        questions=[PeerQuestion("1", "q", "y"), PeerQuestion("2", "r", "x")],
    )
    (tmp_path / "requests.json").write_text(json.dumps(asdict(requests)), "utf-8")
    retriever.main("first", tmp_path / "requests.json", tmp_path / "chosen")
    lines = [json.loads(line) for line in (tmp_path / "chosen").read_text("utf-8").splitlines()]
    chosen = {(line["id"], line["budget"]): line["context"] for line in lines}
    assert chosen == {("1", 2): "q bb", ("1", 4): "q bbbb", ("2", 2): "r aa", ("2", 4): "r aaaa"}
    assert json.loads((tmp_path / "chosen.json").read_text("utf-8"))["prepared"].keys() == {"x", "y"}


@pytest.mark.parametrize(
    "text", ["One line.\nAnother.\n", "转轮书架。" * 200, "The wheel turns. " * 100, "x" * 5000, "行一\r\n行二\n\n"]
)
def test_text_is_cut_into_pieces_that_lose_nothing_but_white_space(text: str) -> None:
    pieces = list(_pieces(text))
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert max(map(len, pieces)) <= 4 * UNIT_TOKENS + 1


def test_a_ranking_is_made_anew_when_the_words_are_others() -> None:
    made: list[list[list[str]]] = []
    rank = _keep_last(lambda corpus: made.append(corpus) or len(made))
    one, two = ["wheel"], ["book"]
    assert [rank([one, two]), rank([one, two]), rank([two]), rank([one, two])] == [1, 1, 2, 3]


def test_a_text_file_is_given_to_peers_as_it_is(tmp_path: Path) -> None:
    assert plain_text(tmp_path / "notes.txt") == tmp_path / "notes.txt"


@pytest.mark.parametrize(("files", "tokens"), [(1, MADE_TOKENS), (10, MADE_TOKENS), (100, MADE_TOKENS // 10)])
def test_a_corpus_is_the_same_share_of_every_file_however_many_files_it_has(
    tmp_path: Path, files: int, tokens: int
) -> None:
    (tmp_path / "docs").mkdir()
    for number in range(100):
        (tmp_path / "docs" / f"h_{number:03d}.txt").write_text(f"{number:03d}" * 10, "utf-8")
    corpus = make_corpus(tmp_path, tmp_path / "made", tokens, files)
    text = "".join(path.read_text("utf-8") for path in corpus.files).replace("\n", "")
    assert len(corpus.files) == files
    assert text == "".join((f"{number:03d}" * 10)[: 30 * tokens // MADE_TOKENS] for number in range(100))


def test_a_request_is_made_once_by_the_folder_s_own_script(tmp_path: Path) -> None:
    script = "import sys, pathlib\npathlib.Path(sys.argv[1], 'questions.jsonl').open('a').write(sys.argv[3])"
    (tmp_path / "build_10m.py").write_text(script, "utf-8")
    for _ in range(2):
        make_request(tmp_path, tmp_path / "made", 1234)
    assert (tmp_path / "made" / "questions.jsonl").read_text("utf-8") == "1234"
