"""A server dies in the middle of batches, at any moment, and is started again: each line ends exactly once."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from aiohttp import web
from openai.types import Batch

from support.batches import (
    DRY_RUN,
    BatchDesk,
    Blockade,
    Line,
    ask,
    asked,
    by_question,
    counts,
    create,
    dry_lines,
    jsonl,
    line,
    open_batch_desk,
    original,
    outcome,
    query,
    submit,
    upload,
    wait_for_counts,
    wait_for_end,
    wait_for_status,
)
from support.engine import answer_object, answer_words, content_of, hold_until, wait_until

REFUSAL = {"error": {"message": "Not I.", "code": "no"}}
LINES = 300
KILLS = 5
MOST_BETWEEN_KILLS = LINES // (KILLS + 1)
"""Answers that the engine gives at most before the next kill: so that there is a middle left to kill in."""
SMALL_ROUNDS = 4
UNTIL_KILLED_SECONDS = 0.25
"""The longest that a round's small batches are left alone: from right after the first call to when most have ended."""


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchDesk]:
    with open_batch_desk(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: BatchDesk) -> BatchDesk:
    """One that runs. A test leaves no batch that has not ended."""
    shared_desk.engine.reset()
    if shared_desk.server.process is None or shared_desk.server.process.poll() is not None:
        restart(shared_desk)
    return shared_desk


def numbered(count: int) -> list[Line]:
    """Lines of which every tenth is refused by the engine."""
    words = {number: "Refuse" if number % 10 == 9 else "Number" for number in range(count)}
    return [line(f"line-{number}", ask(f"{word} {number}")) for number, word in words.items()]


async def repeat_question(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """The engine's answer tells whose it is."""
    return await answer_words([content_of(body["messages"][-1])])(request, body)


class AnswerCounter:
    """Has the engine of a desk take a moment for each answer, refuse what it is to refuse, and stop where it is told to."""

    def __init__(self, desk: BatchDesk) -> None:
        self._answered = self._allowed = self._began = 0
        self._answer = by_question({"Refuse": answer_object(REFUSAL, 422)}, repeat_question)
        desk.engine.behave = self._behave

    def allow(self, answers: int) -> None:
        self._began = self._answered
        self._allowed = self._answered + answers

    def wait_for(self, answers: int) -> None:
        wait_until(lambda: self._answered >= self._began + answers)

    async def _behave(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        while self._answered >= self._allowed:
            await asyncio.sleep(0.01)
        self._answered += 1
        return await self._answer(request, body)


def restart(desk: BatchDesk) -> None:
    desk.server.start()
    desk.client = desk.new_client()


def grown(desk: BatchDesk, batch: Batch) -> tuple[list[str], list[str]]:
    """The custom_ids in the two files of results of a batch that has not ended; lines that a crash tore off do not count."""
    folder = desk.server.data_dir / "batches" / batch.id
    answered, failed = (_whole_lines(folder / name) for name in ("output.jsonl", "errors.jsonl"))
    return answered, failed


def _whole_lines(path: Path) -> list[str]:
    written = path.read_bytes() if path.exists() else b""
    return [json.loads(one)["custom_id"] for one in written.splitlines(keepends=True) if one.endswith(b"\n")]


def counts_in_row(desk: BatchDesk, batch: Batch) -> tuple[int, int]:
    """(completed, failed) as the database has them."""
    ((completed, failed),) = query(desk.server, "SELECT completed, failed FROM batches WHERE batch_id = ?", batch.id)
    return completed, failed


def nothing_is_left_over(desk: BatchDesk) -> bool:
    """Whether no ended batch has a folder, and every file's folder has its row."""
    rows = {row[0] for row in query(desk.server, "SELECT file_id FROM files")}
    folders = {path.name for path in desk.server.data_dir.glob("files/*/*")}
    return not list((desk.server.data_dir / "batches").iterdir()) and rows == folders


class TestKilled:
    def test_again_and_again_each_line_ends_once_and_none_is_asked_that_was_done(self, desk: BatchDesk) -> None:
        moments = random.Random(6)
        counter = AnswerCounter(desk)
        batch = submit(desk.client, numbered(LINES))
        for _ in range(KILLS):
            counter.allow(MOST_BETWEEN_KILLS)
            counter.wait_for(moments.randint(1, MOST_BETWEEN_KILLS))
            seen = counts(desk.client.batches.retrieve(batch.id))
            desk.server.kill()
            answered, failed = grown(desk, batch)
            for completed, failures in (seen[1:], counts_in_row(desk, batch)):
                assert (completed <= len(answered), failures <= len(failed)) == (True, True)
            asked_before = len(desk.engine.requests)
            restart(desk)
            wait_until(lambda before=asked_before: len(desk.engine.requests) > before)  # type: ignore[misc]
            done = {custom_id.removeprefix("line-") for custom_id in (*answered, *failed)}
            assert not done & {question.split()[1] for question in asked(desk.engine)[asked_before:]}
        counter.allow(LINES * 2)
        ended = wait_for_end(desk.client, batch)
        assert (ended.status, counts(ended)) == ("completed", (LINES, LINES * 9 // 10, LINES // 10))
        results = outcome(desk.client, ended)
        assert results.failures.keys() == {f"line-{number}" for number in range(9, LINES, 10)}
        for custom_id in results.answers:
            said = results.answer(custom_id)["choices"][0]["message"]["content"]
            assert said == f"Number {custom_id.removeprefix('line-')}"
        wait_until(lambda: nothing_is_left_over(desk))

    def test_at_any_moment_of_small_batches_each_of_them_ends_as_if_nothing_had_been(self, desk: BatchDesk) -> None:
        moments = random.Random(9)
        file_id = upload(desk.client, jsonl(dry_lines(20)))
        made: list[Batch] = []
        for _ in range(SMALL_ROUNDS):
            made += [create(desk.client, file_id, DRY_RUN) for _ in range(6)]
            time.sleep(moments.uniform(0, UNTIL_KILLED_SECONDS))
            desk.server.kill()
            restart(desk)
        for batch in made:
            ended = wait_for_end(desk.client, batch)
            assert (ended.status, counts(ended)) == ("completed", (20, 20, 0))
            assert outcome(desk.client, ended).answers.keys() == {f"dry-{number}" for number in range(20)}
        wait_until(lambda: nothing_is_left_over(desk))
        outputs = desk.client.files.list(extra_query={"purpose": "batch_output"})
        of_these = [file for file in outputs if any(file.filename == f"{batch.id}_output.jsonl" for batch in made)]
        assert len(of_these) == len(made)

    def test_in_every_state_a_batch_goes_on_from_there(self, desk: BatchDesk, release: Event) -> None:
        refusal = answer_object(REFUSAL, 422)
        slow = hold_until(release, repeat_question)
        desk.engine.behave = by_question({"Refuse": refusal, "Slow": slow}, repeat_question)
        stages = [make(desk) for make in (_in_finalizing, _in_finalizing_errors, _in_cancelling, _in_validating)]
        before = [desk.client.batches.retrieve(batch.id).status for batch, _ in stages]
        assert before == ["finalizing", "finalizing", "cancelling", "validating"]
        asked_before = len(desk.engine.requests)
        desk.server.kill()
        for _, blockade in stages:
            blockade.clear()
        past = int(time.time()) - 1
        query(desk.server, "UPDATE batches SET expires_at = ? WHERE status = 'finalizing'", past)  # its lines are done
        release.set()
        restart(desk)
        ended = [wait_for_end(desk.client, batch) for batch, _ in stages]
        assert [batch.status for batch in ended] == ["completed", "completed", "cancelled", "completed"]
        assert [counts(batch) for batch in ended] == [(3, 2, 1), (3, 2, 1), (4, 1, 3), (2, 2, 0)]
        for batch in ended[:2]:
            results = outcome(desk.client, batch)
            assert (set(results.answers), set(results.failures)) == ({"a", "b"}, {"refused"})
        cancelled = outcome(desk.client, ended[2])
        assert cancelled.answers.keys() == {"fast"}
        assert {cancelled.code(f"slow-{number}") for number in range(3)} == {"batch_cancelled"}
        outcome(desk.client, ended[3])
        assert set(asked(desk.engine)[asked_before:]) == {"Validated 0", "Validated 1"}
        wait_until(lambda: nothing_is_left_over(desk))

    def test_right_after_it_was_cancelled_while_it_was_validated_it_ends_as_cancelled(self, desk: BatchDesk) -> None:
        batch, blockade = _in_validating(desk)
        desk.server.kill()
        blockade.clear()
        now = int(time.time())
        change = "UPDATE batches SET status = 'cancelling', cancelling_at = ? WHERE batch_id = ?"
        query(desk.server, change, now, batch.id)
        restart(desk)
        ended = wait_for_end(desk.client, batch)
        assert (ended.status, counts(ended)) == ("cancelled", (2, 0, 2))
        assert set(outcome(desk.client, ended).failures) == {"validated-0", "validated-1"}
        assert desk.engine.requests == []


def _in_finalizing(desk: BatchDesk, name: str = "output.jsonl") -> tuple[Batch, Blockade]:
    """A batch whose lines are done, and whose results are just being made a file."""
    held = Event()
    behave = desk.engine.behave
    desk.engine.behave = by_question({"Last": hold_until(held, repeat_question)}, behave)
    lines: list[Line] = [line("a", ask("First")), line("refused", ask("Refuse")), line("b", ask("Last"))]
    batch = wait_for_counts(desk.client, submit(desk.client, lines), completed=1, failed=1)
    blockade = Blockade(desk.server.data_dir / "batches" / batch.id / name)
    held.set()
    wait_until(blockade.is_met)
    desk.engine.behave = behave
    return wait_for_status(desk.client, batch, "finalizing"), blockade


def _in_finalizing_errors(desk: BatchDesk) -> tuple[Batch, Blockade]:
    """The same, when one of the two files stands in its place already."""
    return _in_finalizing(desk, "errors.jsonl")


def _in_cancelling(desk: BatchDesk) -> tuple[Batch, Blockade]:
    """A batch whose lines are to be told that they were not asked."""
    lines: list[Line] = [line("fast", ask("Fast")), *(line(f"slow-{n}", ask(f"Slow {n}")) for n in range(3))]
    batch = wait_for_counts(desk.client, submit(desk.client, lines), completed=1)
    blockade = Blockade(original(desk.server, batch.input_file_id))
    return desk.client.batches.cancel(batch.id), blockade


def _in_validating(desk: BatchDesk) -> tuple[Batch, Blockade]:
    lines: list[Line] = [line(f"validated-{number}", ask(f"Validated {number}")) for number in range(2)]
    file_id = upload(desk.client, jsonl(lines))
    blockade = Blockade(original(desk.server, file_id))
    batch = create(desk.client, file_id)
    wait_until(blockade.is_met)
    return batch, blockade


class TestStopped:
    def test_in_the_middle_it_goes_on_when_it_is_started_again(self, desk: BatchDesk, release: Event) -> None:
        (batch,) = _in_the_middle(desk, release, 1)
        assert desk.server.stop() == 0
        assert tuple(map(len, grown(desk, batch))) == (8, 2)
        asked_before = len(desk.engine.requests)
        restart(desk)
        again = wait_for_counts(desk.client, batch, completed=8, failed=2)
        assert (again.status, again.in_progress_at) == ("in_progress", batch.in_progress_at)
        release.set()
        _ended_right(desk, batch)
        assert asked(desk.engine)[asked_before:] == ["Slow 10"]

    def test_lines_that_share_documents_have_one_go_ahead_again(self, desk: BatchDesk, release: Event) -> None:
        """What the engine had read may be gone meanwhile."""
        happened: list[str] = []

        async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            question = content_of(body["messages"][-1])
            while question != "0" and not release.is_set():
                await asyncio.sleep(0.01)
            happened.append(f"{question} asked")
            await asyncio.sleep(0.05)
            happened.append(f"{question} answered")
            return await repeat_question(request, body)

        desk.engine.behave = behave
        lines: list[Line] = [line(str(number), ask(str(number), "Shared by all.")) for number in range(5)]
        batch = wait_for_counts(desk.client, submit(desk.client, lines), completed=1)
        desk.server.stop()
        wait_until(desk.engine.cancelled.is_set)
        happened.clear()
        release.set()
        restart(desk)
        assert counts(wait_for_end(desk.client, batch)) == (5, 5, 0)
        first = happened[0].split()[0]
        assert happened[:2] == [f"{first} asked", f"{first} answered"]

    def test_and_started_with_other_settings_it_is_not_measured_by_them(
        self, own_desk: BatchDesk, release: Event
    ) -> None:
        (batch,) = _in_the_middle(own_desk, release, 1)
        own_desk.server.stop()
        own_desk.server.settings["batches"] = {"lines": 1, "retries": 1}
        restart(own_desk)
        release.set()
        _ended_right(own_desk, batch)
        other = wait_for_end(own_desk.client, create(own_desk.client, batch.input_file_id))
        assert other.errors is not None
        assert [error.code for error in other.errors.data or []] == ["too_many_lines"]

    def test_and_started_without_its_model_the_lines_that_are_left_fail_alone(
        self, own_desk: BatchDesk, release: Event
    ) -> None:
        own_desk.engine.behave = by_question({"Slow": hold_until(release, repeat_question)}, repeat_question)
        lines: list[Line] = [line(word, ask(f"{word} 1", model="single")) for word in ("Fast", "Slow")]
        batch = wait_for_counts(own_desk.client, submit(own_desk.client, lines), completed=1)
        own_desk.server.stop()
        own_desk.server.settings["models"] = {"default": "recording"}
        restart(own_desk)
        ended = wait_for_end(own_desk.client, batch)
        results = outcome(own_desk.client, ended)
        assert (ended.status, list(results.answers), list(results.failures)) == ("completed", ["Fast"], ["Slow"])
        assert results.code("Slow") == "model_not_found"

    def test_what_was_torn_off_its_results_is_cut_off_and_done_again(self, desk: BatchDesk, release: Event) -> None:
        made = _in_the_middle(desk, release, len(TEARS))
        desk.server.stop()
        lost: Counter[str] = Counter()
        for batch, (name, tear) in zip(made, TEARS, strict=True):
            before = Counter(chain(*grown(desk, batch)))
            path = desk.server.data_dir / "batches" / batch.id / name
            path.write_bytes(tear(path.read_bytes()))
            lost += before - Counter(chain(*map(_readable_lines, path.parent.iterdir())))
        assert lost  # else none of the tears took anything away
        stray = desk.server.data_dir / "batches" / "batch_of_nobody"
        stray.mkdir()
        (stray / "output.jsonl").write_bytes(b"{}\n")
        asked_before = len(desk.engine.requests)
        restart(desk)
        release.set()
        for batch in made:
            _ended_right(desk, batch)
        again = Counter(question.split()[1] for question in asked(desk.engine)[asked_before:])
        assert again == Counter({"10": len(made)}) + Counter({key.split("-")[1]: n for key, n in lost.items()})
        wait_until(lambda: nothing_is_left_over(desk))


TEARS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("output.jsonl", lambda whole: whole + whole[:40]),
    ("output.jsonl", lambda whole: whole + whole.splitlines()[0][:-1]),
    ("output.jsonl", lambda whole: whole + whole.splitlines()[0][:90] + b"\n"),
    ("output.jsonl", lambda whole: whole + b"no result\n"),
    ("output.jsonl", lambda whole: whole + bytes(4096)),
    ("output.jsonl", lambda whole: whole[:-1]),
    ("output.jsonl", lambda whole: whole[:-9]),
    ("output.jsonl", lambda whole: b"".join(whole.splitlines(keepends=True)[:3])),
    ("output.jsonl", lambda _: b""),
    ("errors.jsonl", lambda whole: whole + whole[:40]),
    ("errors.jsonl", lambda whole: whole[:-1]),
]
"""What a crash may leave of a file of results, and worse."""


def _in_the_middle(desk: BatchDesk, release: Event, count: int) -> list[Batch]:
    """So many batches of eleven lines: eight are answered, two have failed, and the last one waits for its release."""
    refusal = answer_object(REFUSAL, 422)
    slow = hold_until(release, repeat_question)
    desk.engine.behave = by_question({"Refuse": refusal, "Slow": slow}, repeat_question)
    words = ["Fast"] * 8 + ["Refuse"] * 2 + ["Slow"]
    lines: list[Line] = [line(f"line-{number}", ask(f"{word} {number}")) for number, word in enumerate(words)]
    made = [submit(desk.client, lines) for _ in range(count)]
    made = [wait_for_counts(desk.client, batch, completed=8, failed=2) for batch in made]
    wait_until(lambda: asked(desk.engine).count("Slow 10") == count)
    return made


def _ended_right(desk: BatchDesk, batch: Batch) -> None:
    """Its lines each have the result that they would have without all that."""
    ended = wait_for_end(desk.client, batch)
    assert (ended.status, counts(ended)) == ("completed", (11, 9, 2))
    results = outcome(desk.client, ended)
    assert results.failures.keys() == {"line-8", "line-9"}
    for number in (*range(8), 10):
        said = results.answer(f"line-{number}")["choices"][0]["message"]["content"]
        assert said == f"{'Slow' if number == 10 else 'Fast'} {number}"


def _readable_lines(path: Path) -> list[str]:
    """The custom_ids of the results in a file up to the first that is not whole."""
    found: list[str] = []
    for one in path.read_bytes().splitlines(keepends=True):
        try:
            found.append(json.loads(one)["custom_id"])
        except ValueError:
            break
        if not one.endswith(b"\n"):
            found.pop()
    return found
