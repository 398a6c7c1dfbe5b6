"""The parts of the bench of batches: what they ask is right, and what must not be is found."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestServer, make_mocked_request

from bench import batches, batches_answers, batches_kills, batches_large, batches_lines, batches_questions
from bench.batches_answers import Asked, find_different
from bench.batches_client import Waits, ask_all, ask_with_clock, crowd_under_way, open_client
from bench.batches_corpus import BUDGET_TOKENS, make_bodies, make_documents, make_questions
from bench.batches_desk import ENDPOINT, Line, Outcome, Wanted, number_of, read_result, write_lines
from bench.batches_kills import Tally, draw_kills
from bench.batches_questions import ALONE, Seen
from bench.mock_engine import make_app, so_many_at_once
from bench.report import Section, Table
from bookwheel.batches.lines import InputLines, rules_for, scan_lines
from bookwheel.settings import MB, BatchSettings, LimitSettings
from bookwheel.tokens import count_tokens

SAID = '{"id": "1", "custom_id": "line-7", "response": {"status_code": 200, "body": %s}, "error": null}'
UNASKED = '{"id": "1", "custom_id": "line-7", "response": null, "error": {"code": "batch_expired", "message": ""}}'


def answer(text: str = "1803", tokens: int = 900, files: list[Any] | None = None) -> dict[str, Any]:
    """An answer as the server gives it."""
    context = {"selected_tokens": tokens, "files": files or [{"id": "file-fe-1"}], "reading": "relevant"}
    return {"choices": [{"message": {"content": text}}], "bookwheel": {"context": context}}


def said(text: str, number: int) -> Line:
    return Line(f"line-{number}", 200, {"choices": [{"message": {"content": text}}]})


def scan(path: Path) -> InputLines:
    """The lines, as the server finds them right."""
    found = scan_lines(path, rules_for(ENDPOINT, ["qwen-long"], BatchSettings()))
    assert found.errors == []
    assert found.lines is not None
    return found.lines


@asynccontextmanager
async def engine() -> AsyncIterator[str]:
    async with TestServer(make_app()) as server:
        yield str(server.make_url("")).rstrip("/")


def test_every_part_writes_lines_that_the_server_takes(tmp_path: Path) -> None:
    documents = make_documents(3)
    asked = make_bodies(make_questions(documents, 10), [f"file-fe-{number:024}" for number in range(3)], 20)
    short = islice(batches_lines.make_bodies("", batches_lines.SHORT)(), 20)
    for bodies in (short, batches_kills.make_bodies(20), batches_large.make_bodies(20), asked):
        assert len(scan(write_lines(tmp_path / "lines.jsonl", bodies))) == 20


def test_the_large_file_is_as_large_as_it_may_be_and_no_larger(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.jsonl", batches_large.make_bodies(500))
    whole_mb = path.stat().st_size / 500 * batches_large.LINES / MB
    assert 475 < whole_mb < LimitSettings().batch_mb
    assert BatchSettings().lines == batches_large.LINES


def test_kills_are_spread_over_the_run_and_the_same_for_the_same_seed() -> None:
    kills = draw_kills(50_000, 20, seed=3)
    assert kills == draw_kills(50_000, 20, seed=3) != draw_kills(50_000, 20, seed=4)
    assert len(kills) == 20
    assert kills[0].lines == 0
    assert sorted(kill.lines for kill in kills) == [kill.lines for kill in kills]
    assert kills[10].lines > 5_000
    assert kills[-1].lines < 50_000


def test_a_result_for_every_line_is_as_it_must_be() -> None:
    tally = Tally(100)
    for number in random.Random(1).sample(range(1, 101), 100):
        tally.add(said(f"line-{number}", number))
    assert (tally.results, tally.wrong()) == (100, [])


def test_results_that_are_lost_or_there_twice_or_another_lines_are_found() -> None:
    tally = Tally(5)
    for line in (said("line-1", 1), said("line-1", 1), said("line-3", 2), said("line-3", 3), said("line-9", 9)):
        tally.add(line)
    tally.add(Line("line-4", 500, {"error": {}}))
    assert tally.failed == 1
    assert tally.wrong() == [
        "2 results are lost: [2, 5]",
        "1 results are there twice: [1]",
        "2 results are another line's: ['line-2', 'line-9']",
    ]


def test_a_batch_that_counts_other_results_than_there_are_is_found() -> None:
    tally = Tally(1)
    tally.add(said("line-1", 1))
    assert batches_kills.Found(tally, 3, counted=1).wrong() == []
    assert batches_kills.Found(tally, 3, counted=2).wrong() == ["the batch counts 2 results, and there are 1"]


def test_a_line_of_results_says_how_it_ended_also_where_it_was_never_asked() -> None:
    assert read_result(SAID % '{"choices": [{"message": {"content": "Yes."}}]}').text == "Yes."
    unasked = read_result(UNASKED)
    assert (number_of(unasked.custom_id), unasked.status, unasked.text) == (7, 0, None)


def test_documents_are_more_than_the_budget_all_different_and_the_same_in_every_run() -> None:
    documents = make_documents(5)
    assert documents == make_documents(5)
    assert len({document.text for document in documents}) == 5
    assert all(count_tokens(document.text) > 2 * BUDGET_TOKENS for document in documents)


def test_questions_are_about_their_documents_and_some_name_several() -> None:
    documents = make_documents(10)
    questions = make_questions(documents, 100)
    assert questions == make_questions(documents, 100)
    assert sum(len(question.documents) > 1 for question in questions) == 20
    for number, question in enumerate(questions):
        assert question.text in documents[number % 10].questions
        assert len(set(question.documents)) == len(question.documents)


@pytest.mark.parametrize("other", [answer("1804"), answer(tokens=901), answer(files=[{"id": "file-fe-2"}]), None])
def test_an_answer_that_differs_in_anything_that_counts_is_found(other: Any) -> None:
    assert find_different([answer(), answer()], [answer(), other]) == [1]
    assert find_different([other, answer()], [answer(), answer()]) == [0]


def test_answers_that_differ_fail_the_part() -> None:
    questions = make_questions(make_documents(1), 2)
    same, different = Asked("one", [answer()] * 2, 1, 1), Asked("by one", [answer(), answer("no")], 1, 1)
    assert batches_answers.Found(1, questions, same, [same]).wrong() == []
    [wrong] = batches_answers.Found(1, questions, same, [different]).wrong()
    assert wrong.startswith("1 of 2 answers are others than by one")


async def test_the_engine_says_what_it_is_told_and_how_often_that_was() -> None:
    bodies = [{"mock": {"say": text}} for text in ("a", 'b"', "a")]
    async with engine() as url:
        answers = await ask_all(url, [*bodies, {}], at_once=2)
        async with open_client(url) as session, session.get("/asked") as response:
            assert await response.json() == {"requests": 3, "different": 2, "again": 1}
    texts = [read_result(SAID % whole.decode()).text for whole in answers]
    assert texts == ["a", 'b"', "a", "A wheel of books."]


async def test_an_engine_of_two_places_lets_the_third_wait() -> None:
    running: list[int] = []
    most, go = 0, asyncio.Event()

    async def answer_slowly(_request: web.Request) -> web.StreamResponse:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await go.wait()
        running.pop()
        return web.Response()

    answer_in_turn = so_many_at_once(answer_slowly, 2)
    asking = [asyncio.ensure_future(answer_in_turn(make_mocked_request("POST", "/"))) for _ in range(5)]
    while len(running) < 2:
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*asking)
    assert most == 2


async def test_a_question_has_a_first_token_and_an_end() -> None:
    body = {"mock": {"events": 3, "per_second": 1_000, "wait_seconds": 0.0}}
    async with engine() as url:
        waits = await ask_with_clock(url, [body] * 3, [0.0] * 3)
    assert len(waits.first) == len(waits.end) == 3
    assert all(0 < first <= end for first, end in zip(waits.first, waits.end, strict=True))


async def test_a_crowd_asks_on_until_it_is_left() -> None:
    async with engine() as url, crowd_under_way(url, [{"mock": {"say": "a"}}, {}], at_once=3) as crowd:
        while crowd.answered < 20:
            await asyncio.sleep(0)


async def test_a_crowd_that_is_refused_fails_the_run() -> None:
    async with engine() as url:
        with pytest.raises(ClientError):
            async with crowd_under_way(url, [{"mock": {"nonsense": 1}}], at_once=3):
                pass


def test_every_section_has_a_figure_for_every_column() -> None:
    cost = batches_lines.Cost(100, 1.0, 0.5)
    large = batches_large.Found(10, 10 * MB, [0.0, 1.0, 2.0, 3.0, 4.0], [100.0] * 4, [(0.5, 1.0)], [(0.5, 1.0)])
    kills = batches_kills.Found(Tally(1), 3, asked={"requests": 2, "different": 1, "again": 1})
    kills.statuses["in_progress"] = 2
    asked = Asked("in a batch", [answer()], 1.0, 1.0)
    answers = batches_answers.Found(1, make_questions(make_documents(1), 1), asked, [asked])
    waits = Seen(Waits([0.1], [0.2]))
    sections = [
        batches_lines.make_section("c", {batches_lines.SHORT: batches_lines.Found(cost, cost)}),
        batches_large.make_section("c", large),
        batches_kills.make_section("c", kills),
        batches_answers.make_section("c", answers),
        batches_questions.make_section("c", batches_questions.Found({"an engine": {ALONE: waits, "beside": waits}})),
    ]
    assert [section.name for section in sections] == [f"batches-{part}" for part in batches.PARTS]
    for table in (table for section in sections for table in section.tables):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_a_part_that_fails_or_finds_something_wrong_does_not_keep_the_others_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_wanted: Wanted) -> Outcome:
        raise RuntimeError("the server did not start")

    def find(wanted: Wanted) -> Outcome:
        return Outcome(Section("n", "Found", wanted.command, [Table(["a"], [["1"]])]), ["one is lost"])

    monkeypatch.setitem(batches.PARTS, "lines", fail)
    monkeypatch.setitem(batches.PARTS, "kills", find)
    assert batches.main(["lines", "kills", "--quick", "--seed", "3"]) == 1
    printed = capsys.readouterr()
    assert "the server did not start" in printed.err
    assert "WRONG: one is lost" in printed.err
    assert "Found" in printed.out


def test_the_command_that_repeats_the_kills_has_their_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def keep(wanted: Wanted) -> Outcome:
        commands.append(wanted.command)
        return Outcome(Section("n", "Kept", wanted.command, []))

    monkeypatch.setitem(batches.PARTS, "kills", keep)
    assert batches.main(["kills", "--quick", "--seed", "3"]) == 0
    assert commands == ["python -m bench batches kills --seed 3"]


def test_a_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(SystemExit):
        batches.main(["everything"])
