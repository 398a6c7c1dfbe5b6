"""A batch goes from its file of lines to its files of results, whatever comes between: every line ends once, and is found."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bookwheel.batches import batches as module
from bookwheel.batches.batches import Batches
from bookwheel.batches.lines import CHAT_ENDPOINT, EMBEDDINGS_ENDPOINT
from bookwheel.batches.request import read_filter
from bookwheel.batches.results import OUTPUT, open_results
from bookwheel.batches.run import Desk
from bookwheel.errors import ApiError, InvalidRequest, NotFound
from bookwheel.jobs import queue as queue_module
from bookwheel.storage import batches as rows
from bookwheel.storage import files as file_rows
from bookwheel.storage.batches import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    FINALIZING,
    IN_PROGRESS,
    UNFINISHED,
    VALIDATING,
    BatchFilter,
    BatchRecord,
)
from bookwheel.storage.blobs import ORIGINAL
from bookwheel.storage.files import FileRecord
from bookwheel.wire.batches import BatchCreate, BatchListQuery, RequestCounts
from bookwheel.wire.files import ExpiresAfter
from support.scripted_batch import House, ScriptedLines, chat_lines, result_of, until

URL = "https://example.com/ended"
FOUR = ["q1", "q2", "q3", "q4"]


class Works:
    """Batches over a house, which can be closed and opened again as by a restart."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.answering = ScriptedLines()
        self.batches = self.open()

    def open(self) -> Batches:
        house = self.house
        desk: Desk = replace(house.desk, answering=self.answering)
        self.batches = Batches(house.database, house.blobs, house.files, desk, house.settings.batches, house.callbacks)
        house.files.before_deletion = [self.batches.stop_those_of]
        return self.batches

    async def restart(self) -> int:
        """As the server does it; how many batches are taken up."""
        await self.batches.close()
        await self.house.database.write(lambda _: None)  # what was being written is, as when the database is closed
        await self.house.files.sweep()
        return await self.open().take_up_unfinished()

    async def create(self, lines: list[bytes] | bytes, **wanted: Any) -> BatchRecord:
        file = await self.house.upload(lines)
        return await self.batches.create("ely", wanted_of(file.file_id, **wanted))

    async def insert(self, lines: list[bytes], status: str, **values: Any) -> BatchRecord:
        """A batch as an earlier process has left it: nobody is at work on it."""
        file = await self.house.upload(lines)
        known = dict.fromkeys(("total", "completed", "failed"), 0) | {"name": "", "callback_pending": False}
        if status in (IN_PROGRESS, FINALIZING):
            known |= {"model": "qwen-long", "total": len(lines)}
        known |= {"created_at": 1_000, "expires_at": 2**40, "completion_window": "24h", "endpoint": CHAT_ENDPOINT}
        known |= {"batch_id": f"batch_6f1f2c1e-58b4-4b5c-9d0c-{len(values):04}{file.sequence:08}"}
        row = known | {"account_id": "ely", "input_file_id": file.file_id, "status": status} | values
        return await self.house.database.write(lambda c: rows.insert_batch(c, **row))

    async def leave_results(self, record: BatchRecord, numbers: list[int]) -> None:
        """Answers that an earlier process had written."""
        results = await asyncio.to_thread(open_results, self.house.blobs.batch_folder(record.batch_id))
        for number in numbers:
            await results.add(number, result_of(record.batch_id, number), is_failure=False)
        await results.close()

    async def now(self, record: BatchRecord) -> BatchRecord:
        return await self.batches.get("ely", record.batch_id)

    async def ended(self, record: BatchRecord) -> BatchRecord:
        """The batch when it has ended and all of its work is put away."""
        async with asyncio.timeout(20):
            while (now := await self.now(record)).status in UNFINISHED or self.folder(record).exists():
                await asyncio.sleep(0.005)
        return now

    def folder(self, record: BatchRecord) -> Path:
        return self.house.blobs.batch_folder(record.batch_id)

    async def file(self, file_id: str | None) -> FileRecord:
        assert file_id is not None
        return await self.house.files.get("ely", file_id)

    async def results(self, file_id: str | None) -> list[dict[str, Any]]:
        """The results in a file of the account, which is what its row says it is."""
        if file_id is None:
            return []
        file = await self.file(file_id)
        content = self.house.blobs.path(file_id, ORIGINAL).read_bytes()
        assert (file.size_bytes, file.sha256) == (len(content), sha256(content).hexdigest())
        assert (file.purpose, file.status) == ("batch_output", "processed")
        return [json.loads(result) for result in content.splitlines()]

    async def outcome(self, record: BatchRecord) -> tuple[list[str], dict[str, str]]:
        """The lines that were answered, and those that failed, with the reason. They are as many as were counted."""
        answers, failures = await self.results(record.output_file_id), await self.results(record.error_file_id)
        assert (record.completed, record.failed) == (len(answers), len(failures))
        by_id = {result["custom_id"]: result["error"]["code"] for result in failures}
        assert len(by_id) == len(failures)
        return sorted(result["custom_id"] for result in answers), by_id

    async def run(self, lines: list[bytes], **wanted: Any) -> tuple[str, list[str], dict[str, str]]:
        """(status, answered, failed) of a new batch of these lines."""
        record = await self.ended(await self.create(lines, **wanted))
        return record.status, *await self.outcome(record)

    async def until_asked(self, count: int) -> None:
        await until(lambda: len(self.answering.asked) >= count)

    def answer_until(self, number: int) -> None:
        """Answer lines up to that number, and never the others."""

        async def behave(custom_id: str) -> ApiError | None:
            await asyncio.sleep(0)
            if int(custom_id[1:]) > number:
                await asyncio.Event().wait()
            return None

        self.answering.behave = behave


def wanted_of(file_id: str, **wanted: Any) -> BatchCreate:
    return BatchCreate(**{"input_file_id": file_id, "endpoint": CHAT_ENDPOINT, "completion_window": "24h"} | wanted)


@pytest.fixture
async def works(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Works]:
    monkeypatch.setattr(queue_module, "PAUSE_AFTER_FAILURE_SECONDS", 0.01)
    built = Works(house)
    yield built
    await built.batches.close()


class TestCreation:
    @pytest.mark.parametrize(
        ("wanted", "param"),
        [
            ({"completion_window": "1h"}, "completion_window"),
            ({"metadata": {"k" * 65: ""}}, "metadata"),
            ({"metadata": {"ds_name": "n" * 101}}, "metadata.ds_name"),
            ({"metadata": {"ds_batch_finish_callback": "http://127.0.0.1/"}}, "metadata.ds_batch_finish_callback"),
            ({"endpoint": EMBEDDINGS_ENDPOINT}, "endpoint"),
            ({"input_file_id": "file-batch-none"}, "input_file_id"),
        ],
    )
    async def test_refuses_what_cannot_be_run(self, works: Works, wanted: dict[str, Any], param: str) -> None:
        with pytest.raises(InvalidRequest) as raised:
            await works.create(chat_lines(1), **wanted)
        assert raised.value.param == param
        assert (await works.batches.page("ely", BatchFilter(), after=None, limit=9)).batches == []

    @pytest.mark.parametrize(("purpose", "owner"), [("file-extract", "ely"), ("batch", "another")])
    async def test_refuses_other_files_in_the_same_words(self, works: Works, purpose: str, owner: str) -> None:
        file = await works.house.upload(chat_lines(1), purpose, owner)
        with pytest.raises(InvalidRequest, match=rf"^Invalid file \[id:{file.file_id}\]\.$"):
            await works.batches.create("ely", wanted_of(file.file_id))

    async def test_keeps_what_was_asked_for(self, works: Works) -> None:
        metadata = {"ds_name": "Night", "ds_batch_finish_callback": URL, "own": "x"}
        record = await works.create(chat_lines(1), completion_window="2d", metadata=metadata)
        assert record.status == VALIDATING
        assert (record.name, record.callback_url, record.callback_pending) == ("night", URL, True)
        assert msgspec.json.decode(record.metadata or "") == metadata
        assert record.expires_at - record.created_at == 2 * 86_400
        bare = await works.create(chat_lines(1))
        assert (bare.metadata, bare.name, bare.callback_url, bare.callback_pending) == (None, "", None, False)
        await works.ended(bare)


class TestLife:
    async def test_of_a_batch_ends_with_its_results_as_files_of_the_account(self, works: Works) -> None:
        async def behave(custom_id: str) -> ApiError | None:
            return InvalidRequest("No.") if custom_id == "q3" else None

        works.answering.behave = behave
        record = await works.ended(await works.create(chat_lines(5)))
        assert record.status == COMPLETED
        assert await works.outcome(record) == (["q1", "q2", "q4", "q5"], {"q3": "invalid_parameter_error"})
        assert (record.total, record.completed, record.failed, record.model) == (5, 4, 1, "qwen-long")
        assert record.errors is None
        stages = record.created_at, record.in_progress_at, record.finalizing_at, record.completed_at
        assert None not in stages
        assert list(stages) == sorted(stages)  # type: ignore[type-var]
        assert {record.failed_at, record.expired_at, record.cancelling_at, record.cancelled_at} == {None}
        output, errors = await works.file(record.output_file_id), await works.file(record.error_file_id)
        assert output.filename == f"{record.batch_id}_output.jsonl"
        assert errors.filename == f"{record.batch_id}_error.jsonl"
        assert (output.file_id[:18], len(output.file_id), output.expires_at) == ("file-batch_output-", 42, None)

    async def test_counts_its_results_for_the_quota(self, works: Works) -> None:
        record = await works.ended(await works.create(chat_lines(3)))
        files = [await works.file(record.input_file_id), await works.file(record.output_file_id)]
        usage = await works.house.database.read(lambda c: file_rows.account_usage(c, "ely"))
        assert (usage.file_count, usage.file_bytes) == (2, sum(file.size_bytes for file in files))

    async def test_gives_its_files_the_time_that_was_asked_for(self, works: Works) -> None:
        expiry = ExpiresAfter(anchor="created_at", seconds=7_200)
        record = await works.ended(await works.create(chat_lines(3), output_expires_after=expiry))
        file = await works.file(record.output_file_id)
        assert file.expires_at == file.created_at + 7_200

    async def test_of_a_bad_file_ends_with_what_is_wrong(self, works: Works) -> None:
        record = await works.ended(await works.create([*chat_lines(2), b"bad", chat_lines(1)[0]]))
        assert (record.status, record.total) == (FAILED, 0)
        errors = msgspec.json.decode(record.errors or "")["data"]
        assert [(error["line"], error["code"]) for error in errors] == [
            (3, "invalid_json_line"),
            (4, "duplicate_custom_id"),
        ]
        assert (record.output_file_id, record.error_file_id, works.answering.asked) == (None, None, [])
        assert record.failed_at is not None

    async def test_goes_on_after_a_fault_in_one_line_and_answers_none_twice(self, works: Works) -> None:
        faults = iter([RuntimeError("a fault"), asyncio.CancelledError()])

        async def behave(custom_id: str) -> ApiError | None:
            await asyncio.sleep(0)
            fault = next(faults, None) if custom_id == "q30" else None
            if fault is not None:
                raise fault
            return None

        works.answering.behave = behave
        assert await works.run(chat_lines(40)) == (COMPLETED, sorted(f"q{n}" for n in range(1, 41)), {})

    async def test_ends_when_its_time_is_over_and_keeps_what_was_done(self, works: Works) -> None:
        record = await works.insert(chat_lines(4), IN_PROGRESS, expires_at=1_001)
        await works.leave_results(record, [2])
        works.answer_until(0)
        await works.restart()
        record = await works.ended(record)
        assert record.status == EXPIRED
        late = dict.fromkeys(["q1", "q3", "q4"], "batch_expired")
        assert await works.outcome(record) == (["q2"], late)
        assert record.expired_at is not None

    async def test_is_that_of_its_account_alone(self, works: Works) -> None:
        record = await works.ended(await works.create(chat_lines(1)))
        with pytest.raises(NotFound):
            await works.batches.get("another", record.batch_id)
        with pytest.raises(NotFound):
            await works.batches.cancel("another", record.batch_id)
        with pytest.raises(InvalidRequest) as raised:
            await works.batches.page("another", BatchFilter(), after=record.batch_id, limit=5)
        assert raised.value.param == "after"
        page = await works.batches.page("ely", BatchFilter(), after=None, limit=1)
        assert ([found.batch_id for found in page.batches], page.has_more) == ([record.batch_id], False)

    async def test_tells_counts_and_rate_while_it_runs(self, works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "COUNT_SECONDS", 0.001)
        works.answer_until(2)
        record = await works.create(chat_lines(6))
        assert works.batches.counts(record) == RequestCounts()
        await until(lambda: works.batches.counts(record).completed == 2)
        record = await works.now(record)
        assert works.batches.counts(record) == RequestCounts(total=6, completed=2)
        progress = works.batches.progress(record)
        assert progress is not None
        assert progress.seconds_left is not None
        while (await works.now(record)).completed < 2:
            await asyncio.sleep(0.001)
        await works.batches.close()
        assert works.batches.counts(await works.now(record)) == RequestCounts(total=6, completed=2)
        assert works.batches.progress(record) is None


class TestCancellation:
    async def test_before_the_validation_runs_no_line(self, works: Works) -> None:
        record = await works.insert(chat_lines(4), VALIDATING)
        assert (await works.batches.cancel("ely", record.batch_id)).status == CANCELLING
        record = await works.ended(record)
        assert record.status == CANCELLED
        assert await works.outcome(record) == ([], dict.fromkeys(FOUR, "batch_cancelled"))
        assert works.answering.asked == []

    async def test_of_a_bad_file_that_was_not_validated_has_no_results(self, works: Works) -> None:
        record = await works.insert([b"bad"], VALIDATING)
        await works.batches.cancel("ely", record.batch_id)
        record = await works.ended(record)
        assert (record.status, record.total, record.output_file_id, record.error_file_id) == (CANCELLED, 0, None, None)

    async def test_right_after_the_creation_ends_every_line_once(self, works: Works) -> None:
        works.answer_until(0)
        created = [await works.create(chat_lines(4)) for _ in range(5)]
        for record in created:
            assert (await works.batches.cancel("ely", record.batch_id)).status in (CANCELLING, CANCELLED)
        for record in created:
            ended = await works.ended(record)
            answered, failed = await works.outcome(ended)
            assert (ended.status, sorted([*answered, *failed])) == (CANCELLED, FOUR)

    async def test_in_the_middle_keeps_what_was_done(self, works: Works) -> None:
        works.answer_until(2)
        record = await works.create(chat_lines(4))
        await until(lambda: works.batches.counts(record).completed == 2)
        await works.until_asked(4)
        cancelling = await works.batches.cancel("ely", record.batch_id)
        assert (cancelling.status, cancelling.cancelling_at is None) == (CANCELLING, False)
        record = await works.ended(record)
        assert record.status == CANCELLED
        assert await works.outcome(record) == (["q1", "q2"], dict.fromkeys(["q3", "q4"], "batch_cancelled"))
        assert record.total == 4

    @pytest.mark.parametrize("status", [CANCELLING, CANCELLED])
    async def test_asked_for_again_changes_nothing(self, works: Works, status: str) -> None:
        record = await works.insert(chat_lines(1), status, cancelling_at=1_234)
        assert await works.batches.cancel("ely", record.batch_id) == record

    @pytest.mark.parametrize("status", [FINALIZING, COMPLETED, FAILED, EXPIRED])
    async def test_comes_too_late_for_what_has_ended(self, works: Works, status: str) -> None:
        record = await works.insert(chat_lines(1), status)
        with pytest.raises(InvalidRequest, match=f"cannot be cancelled: it is {status}"):
            await works.batches.cancel("ely", record.batch_id)
        assert await works.now(record) == record

    async def test_of_an_unknown_batch_is_not_found(self, works: Works) -> None:
        with pytest.raises(NotFound):
            await works.batches.cancel("ely", "batch_none")


class TestRestart:
    @pytest.mark.parametrize(
        ("status", "done", "asked", "ended"),
        [
            (VALIDATING, [], FOUR, COMPLETED),
            (IN_PROGRESS, [], FOUR, COMPLETED),
            (IN_PROGRESS, [1, 3], ["q2", "q4"], COMPLETED),
            (IN_PROGRESS, [1, 2, 3, 4], [], COMPLETED),
            (FINALIZING, [1, 2, 3, 4], [], COMPLETED),
            (CANCELLING, [2], [], CANCELLED),
        ],
    )
    async def test_goes_on_where_the_process_before_was(
        self, works: Works, status: str, done: list[int], asked: list[str], ended: str
    ) -> None:
        record = await works.insert(chat_lines(4), status)
        await works.leave_results(record, done)
        assert await works.restart() == 1
        record = await works.ended(record)
        answered, failed = await works.outcome(record)
        assert (record.status, sorted([*answered, *failed]), record.total) == (ended, FOUR, 4)
        assert sorted(works.answering.asked) == asked
        assert (len(failed) > 0) == (ended == CANCELLED)

    async def test_finds_few_lines_among_many_blank_ones_again(self, works: Works) -> None:
        lines = b"\n" * 200 + b"\n".join(chat_lines(2))
        record = await works.insert([lines], IN_PROGRESS, total=2)
        await works.restart()
        record = await works.ended(record)
        assert (record.status, await works.outcome(record)) == (COMPLETED, (["q1", "q2"], {}))

    async def test_takes_up_nothing_that_has_ended(self, works: Works) -> None:
        records = [await works.insert(chat_lines(1), status) for status in (COMPLETED, FAILED, EXPIRED, CANCELLED)]
        assert await works.restart() == 0
        assert [await works.now(record) for record in records] == records

    async def test_after_its_time_completes_what_was_done_in_time(self, works: Works) -> None:
        record = await works.insert(chat_lines(4), FINALIZING, expires_at=1_001)
        await works.leave_results(record, [1, 2, 3, 4])
        await works.restart()
        record = await works.ended(record)
        assert (record.status, await works.outcome(record)) == (COMPLETED, (FOUR, {}))

    async def test_does_not_measure_a_file_by_other_settings_than_before(self, works: Works) -> None:
        works.house.settings = works.house.settings.model_copy(
            update={"batches": works.house.settings.batches.model_copy(update={"lines": 1})}
        )
        works.house.roster.names = {}
        record = await works.insert(chat_lines(4), IN_PROGRESS)
        await works.restart()
        assert (await works.ended(record)).status == COMPLETED

    async def test_in_the_middle_loses_no_line_and_answers_none_twice(self, works: Works) -> None:
        works.answer_until(7)
        record = await works.create(chat_lines(12))
        await until(lambda: works.batches.counts(record).completed == 7)
        await works.batches.close()
        assert (await works.now(record)).status == IN_PROGRESS
        works.answer_until(12)
        assert await works.restart() == 1
        record = await works.ended(record)
        assert await works.outcome(record) == (sorted(f"q{n}" for n in range(1, 13)), {})
        assert [works.answering.asked.count(f"q{n}") for n in range(1, 8)] == [1] * 7

    async def test_between_the_files_and_their_rows_leaves_no_file_behind(self, works: Works, tmp_path: Path) -> None:
        record = await works.insert(chat_lines(4), FINALIZING)
        await works.leave_results(record, [1, 2, 3, 4])
        blobs, stray = works.house.blobs, "file-batch_output-" + "s" * 24
        await blobs.adopt(works.folder(record) / OUTPUT, stray)
        assert blobs.path(stray, ORIGINAL).exists()
        await works.restart()
        record = await works.ended(record)
        assert await works.outcome(record) == (FOUR, {})
        assert not blobs.path(stray, ORIGINAL).parent.exists()
        assert _kept_files(tmp_path) == {record.input_file_id, record.output_file_id}

    async def test_after_the_end_removes_what_was_left(self, works: Works) -> None:
        record = await works.insert(chat_lines(1), COMPLETED)
        await works.leave_results(record, [1])
        assert works.folder(record).exists()
        await works.restart()
        assert not works.folder(record).exists()

    async def test_completes_what_was_finalizing_without_its_input_file(self, works: Works) -> None:
        record = await works.insert(chat_lines(4), FINALIZING)
        await works.leave_results(record, [1, 2, 3, 4])
        await _delete_input(works, record)
        await works.restart()
        record = await works.ended(record)
        assert (record.status, record.total, record.errors) == (COMPLETED, 4, None)
        assert await works.outcome(record) == (FOUR, {})

    async def test_without_its_input_file_keeps_what_was_done(self, works: Works) -> None:
        record = await works.insert(chat_lines(4), IN_PROGRESS)
        await works.leave_results(record, [1, 2])
        await _delete_input(works, record)
        await works.restart()
        record = await works.ended(record)
        assert (record.status, record.total) == (FAILED, 4)
        assert await works.outcome(record) == (["q1", "q2"], {})
        assert msgspec.json.decode(record.errors or "")["data"][0]["code"] == "input_file_deleted"


class TestWhereItsTurnHasNotCome:
    """One batch of the account runs, and does not end; another waits for it."""

    @pytest.fixture
    async def one_at_a_time(self, works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "RUN_AT_ONCE", 1)
        works.answer_until(0)
        await works.insert(chat_lines(2), IN_PROGRESS)

    async def test_the_end_of_its_time_ends_it(self, works: Works, one_at_a_time: None) -> None:
        late = await works.insert(chat_lines(2), IN_PROGRESS, expires_at=1_001)
        await works.restart()
        await works.batches.end_overdue()
        late = await works.ended(late)
        assert (late.status, await works.outcome(late)) == (EXPIRED, ([], dict.fromkeys(["q1", "q2"], "batch_expired")))

    async def test_the_deletion_of_its_input_ends_it(self, works: Works, one_at_a_time: None) -> None:
        waiting = await works.insert(chat_lines(2), IN_PROGRESS, model="qwen-long")
        await works.restart()
        await _delete_input(works, waiting)
        await works.batches.end_overdue()
        assert (await works.ended(waiting)).status == FAILED

    async def test_nothing_else_ends_it(self, works: Works, one_at_a_time: None) -> None:
        waiting = await works.insert(chat_lines(2), IN_PROGRESS, model="qwen-long")
        await works.restart()
        await works.batches.end_overdue()
        await works.until_asked(2)
        assert (await works.now(waiting)).status == IN_PROGRESS


class TestDeletionOfTheInput:
    async def test_ends_the_batches_that_run_it_and_no_others(self, works: Works) -> None:
        works.answer_until(2)
        first, second = [await works.create(chat_lines(6)) for _ in range(2)]
        await until(lambda: works.batches.counts(first).completed == 2)
        works.answer_until(6)
        await _delete_input(works, first)
        first, second = await works.ended(first), await works.ended(second)
        assert (first.status, await works.outcome(first)) == (FAILED, (["q1", "q2"], {}))
        assert msgspec.json.decode(first.errors or "")["data"][0]["code"] == "input_file_deleted"
        assert (second.status, second.completed) == (COMPLETED, 6)

    async def test_before_the_validation_fails_the_batch(self, works: Works) -> None:
        record = await works.insert(chat_lines(1), VALIDATING)
        await _delete_input(works, record)
        await works.restart()
        record = await works.ended(record)
        assert (record.status, record.output_file_id) == (FAILED, None)

    async def test_counts_the_results_that_were_still_on_their_way_to_disk(
        self, works: Works, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        may_sync, sync = threading.Event(), os.fdatasync
        monkeypatch.setattr(os, "fdatasync", lambda descriptor: (may_sync.wait(20), sync(descriptor)))
        works.answer_until(5)
        record = await works.create(chat_lines(12))
        await works.until_asked(6)
        await until(lambda: len(works.answering.ended) >= 5)
        await _delete_input(works, record)
        for _ in range(20):
            await works.now(record)
        may_sync.set()
        record = await works.ended(record)
        assert (record.status, await works.outcome(record)) == (FAILED, ([f"q{n}" for n in range(1, 6)], {}))


async def test_an_end_that_fails_and_is_tried_again_leaves_no_second_file(
    works: Works, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    end, faults = rows.end_batch, iter([OSError("x"), OSError("x")])

    def fail_first(*arguments: Any) -> BatchRecord:
        for fault in faults:
            raise fault
        return end(*arguments)

    monkeypatch.setattr(rows, "end_batch", fail_first)
    record = await works.ended(await works.create(chat_lines(4)))
    assert record.output_file_id is not None
    assert _kept_files(tmp_path) == {record.input_file_id, record.output_file_id}


@pytest.mark.parametrize("part", ["ärzte", "ÄRZTE", "rzt"])
async def test_a_name_is_found_in_any_case(works: Works, part: str) -> None:
    record = await works.ended(await works.create(chat_lines(1), metadata={"ds_name": "Ärzte"}))
    wanted = read_filter(BatchListQuery(ds_name=part))
    assert (await works.batches.page("ely", wanted, after=None, limit=3)).batches == [record]


class TestCallbacks:
    METADATA = msgspec.json.encode({"ds_batch_finish_callback": URL}).decode()

    async def test_are_made_once_when_a_batch_has_ended(self, works: Works) -> None:
        callbacks = works.house.callbacks
        record = await works.create(chat_lines(2), metadata={"ds_batch_finish_callback": URL})
        record = await works.ended(record)
        await until(lambda: callbacks.told)
        ((account_id, url, event),) = callbacks.told
        assert (account_id, url, event.batch_id, event.status) == ("ely", URL, record.batch_id, COMPLETED)
        assert event.request_counts == {"total": 2, "completed": 2, "failed": 0}
        assert (event.output_file_id, event.error_file_id) == (record.output_file_id, None)
        assert event.ended_at == record.completed_at
        while (await works.now(record)).callback_pending:
            await asyncio.sleep(0.001)
        await works.restart()
        assert len(callbacks.told) == 1

    async def test_are_made_where_the_file_was_bad(self, works: Works) -> None:
        await works.create(b"bad", metadata={"ds_batch_finish_callback": URL})
        await until(lambda: works.house.callbacks.told)
        assert works.house.callbacks.told[0][2].status == FAILED

    async def test_that_a_crash_prevented_are_made_at_the_start(self, works: Works) -> None:
        ended = await works.insert(chat_lines(1), EXPIRED, callback_url=URL, callback_pending=True, expired_at=7)
        told = await works.insert(chat_lines(1), COMPLETED, callback_url=URL, callback_pending=False)
        await works.restart()
        await until(lambda: works.house.callbacks.told)
        while (await works.now(ended)).callback_pending:
            await asyncio.sleep(0.001)
        assert [(event.batch_id, event.ended_at) for _, _, event in works.house.callbacks.told] == [(ended.batch_id, 7)]
        assert await works.now(told) == told

    async def test_that_are_not_taken_yet_do_not_hold_the_stop_and_stay_to_be_made(self, works: Works) -> None:
        callbacks = works.house.callbacks
        callbacks.may_tell.clear()
        record = await works.create(chat_lines(1), metadata={"ds_batch_finish_callback": URL})
        record = await works.ended(record)
        async with asyncio.timeout(20):
            await works.batches.close()
        assert (await works.now(record)).callback_pending
        callbacks.may_tell.set()
        await works.restart()
        await until(lambda: callbacks.told)


async def test_two_accounts_batches_are_run_side_by_side(works: Works) -> None:
    works.answer_until(0)
    waiting = [await works.create(chat_lines(2)) for _ in range(2)]
    file = await works.house.upload(chat_lines(1), account_id="ann")
    record = await works.batches.create("ann", wanted_of(file.file_id))
    await until(lambda: works.batches.progress(replace(record, status=IN_PROGRESS)))
    assert {(await works.now(batch)).status for batch in waiting} <= {VALIDATING, IN_PROGRESS}


async def test_results_whose_rows_cannot_be_written_are_made_files_later(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_batch, failures = rows.end_batch, iter([OSError("no room"), OSError("no room")])

    def refuse_twice(*given: Any) -> BatchRecord:
        for failure in failures:
            raise failure
        return end_batch(*given)

    monkeypatch.setattr(rows, "end_batch", refuse_twice)
    status, answered, failed = await works.run(chat_lines(4))
    assert (status, answered, failed) == (COMPLETED, FOUR, {})
    assert sorted(works.answering.asked) == FOUR


def _kept_files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "files").glob("*/*")}


async def _delete_input(works: Works, record: BatchRecord) -> None:
    await works.house.files.delete_row("ely", record.input_file_id)
    await works.house.files.delete_blobs(record.input_file_id)
