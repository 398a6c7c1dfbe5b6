"""A user leaves a file of requests with the server and comes for the results: the stock SDK drives the whole life of a batch.

What the lines are answered is looked at in `test_batch_lines.py`, what is wrong with input files in `test_batch_validation.py`,
and what becomes of batches when the server dies in `test_batch_recovery.py`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types import Batch

from bookwheel.batches.batches import AT_ONCE, RUN_AT_ONCE
from support.batches import (
    CHAT,
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
    free_port,
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
)
from support.engine import answer_words, hold_until, wait_until

NODE = Path(__file__).parent / "node"
HOUR = 3_600
TIMES = (
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchDesk]:
    with open_batch_desk(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: BatchDesk) -> BatchDesk:
    shared_desk.engine.reset()
    return shared_desk


def fast_and_slow(desk: BatchDesk, release: Event, fast: int, slow: int) -> Batch:
    """A batch in the middle: its fast lines are done, its slow ones are not answered until they are released."""
    desk.engine.behave = by_question({"Slow": hold_until(release, answer_words(["Late"]))})
    lines: list[Line] = [line(f"fast-{number}", ask(f"Fast {number}?")) for number in range(fast)]
    lines += [line(f"slow-{number}", ask(f"Slow {number}?")) for number in range(slow)]
    batch = wait_for_counts(desk.client, submit(desk.client, lines), completed=fast)
    wait_until(lambda: any(question.startswith("Slow") for question in asked(desk.engine)))
    return batch


def named(prefix: str, count: int) -> set[str]:
    return {f"{prefix}-{number}" for number in range(count)}


def times_of(batch: Batch) -> dict[str, int]:
    """The times that have come, in the order in which they came."""
    told = {name: getattr(batch, name) for name in TIMES}
    come = {name: at for name, at in told.items() if at is not None}
    assert all(batch.created_at <= at <= time.time() for at in come.values())
    return dict(sorted(come.items(), key=lambda item: (item[1], TIMES.index(item[0]))))


def refused(client: OpenAI, file_id: str, **options: Any) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        create(client, file_id, **options)
    assert caught.value.request_id
    return caught.value


def message_of(error: Any) -> str:
    return str(error.body["message"])


@pytest.fixture(scope="module")
def input_file(shared_desk: BatchDesk) -> str:
    """A file for the test model, with one line."""
    return upload(shared_desk.client, jsonl(dry_lines(1)))


class TestTheWholeLife:
    @pytest.mark.parametrize("prefix", ["/compatible-mode/v1", "/v1"])
    def test_a_batch_is_made_run_and_its_results_are_read_and_deleted(self, desk: BatchDesk, prefix: str) -> None:
        client = desk.new_client(prefix)
        lines: list[Line] = [line(f"question-{number}", ask(f"Question {number}?", model="fake")) for number in (7, 3)]
        lines.append(line("wrong", ask("Too warm?", model="fake", temperature=9)))
        file_id = upload(client, jsonl(lines))
        assert file_id.startswith("file-batch-")
        metadata = {"ds_name": "Night", "ds_description": "Questions for the night", "reader": "Ann"}
        made = create(client, file_id, metadata=metadata)
        assert made.id.startswith("batch_")
        told = {"object": "batch", "endpoint": CHAT, "input_file_id": file_id, "completion_window": "24h"}
        assert told.items() <= made.to_dict().items()
        assert (made.status, made.metadata) == ("validating", metadata)
        assert (made.output_file_id, made.error_file_id, made.errors) == (None, None, None)
        assert counts(made) == (0, 0, 0)
        assert times_of(made) == {}
        assert made.expires_at == made.created_at + 24 * HOUR
        ended = wait_for_end(client, made)
        assert (ended.status, ended.model, counts(ended)) == ("completed", "fake", (3, 2, 1))
        assert list(times_of(ended)) == ["in_progress_at", "finalizing_at", "completed_at"]
        assert (ended.created_at, ended.expires_at, ended.metadata) == (made.created_at, made.expires_at, metadata)
        assert ended.errors is None
        results = outcome(client, ended)
        assert results.answers.keys() == {"question-7", "question-3"}
        for number in (7, 3):
            result = results.answers[f"question-{number}"]
            assert (result["error"], result["response"]["status_code"]) == (None, 200)
            assert result["response"]["request_id"]
            content = result["response"]["body"]["choices"][0]["message"]["content"]
            assert content == f"You asked: Question {number}? I was shown: no documents."
        failure = results.failures["wrong"]
        assert failure["response"]["status_code"] == 400
        message = "Temperature should be in [0.0, 2.0)"
        assert failure["error"] == {"code": "invalid_parameter_error", "message": message}
        body = {"message": message, "type": "invalid_request_error", "param": "temperature"}
        assert body.items() <= failure["response"]["body"]["error"].items()
        self._files_are_the_accounts(client, ended)

    @staticmethod
    def _files_are_the_accounts(client: OpenAI, ended: Batch) -> None:
        listed = {file.id: file for file in client.files.list(extra_query={"purpose": "batch_output"})}
        for file_id, kind in ((ended.output_file_id, "output"), (ended.error_file_id, "error")):
            assert file_id is not None
            assert file_id.startswith("file-batch_output-")
            file = listed[file_id]
            assert (file.purpose, file.status) == ("batch_output", "processed")
            assert file.filename == f"{ended.id}_{kind}.jsonl"
            assert file.bytes == len(client.files.content(file_id).content)
            assert client.files.delete(file_id).deleted
            with pytest.raises(NotFoundError):
                client.files.content(file_id)
        assert client.batches.retrieve(ended.id).output_file_id == ended.output_file_id

    def test_a_batch_without_failures_has_no_error_file(self, desk: BatchDesk) -> None:
        ended = wait_for_end(desk.client, submit(desk.client, dry_lines(2), DRY_RUN))
        assert ended.output_file_id is not None
        assert ended.error_file_id is None

    def test_counts_rate_and_time_left_are_told_while_it_runs(self, desk: BatchDesk, release: Event) -> None:
        batch = fast_and_slow(desk, release, fast=3, slow=2)
        assert (batch.status, counts(batch)) == ("in_progress", (5, 3, 0))
        assert list(times_of(batch)) == ["in_progress_at"]
        assert (batch.output_file_id, batch.error_file_id) == (None, None)
        progress: Any = batch.to_dict()["bookwheel"]
        assert progress["lines_per_second"] > 0
        assert progress["seconds_left"] >= 0
        assert progress["waiting"] is None
        release.set()
        ended = wait_for_end(desk.client, batch)
        assert counts(ended) == (5, 5, 0)
        assert "bookwheel" not in ended.to_dict()

    def test_nothing_of_an_ended_batch_is_left_where_its_results_grew(self, desk: BatchDesk) -> None:
        batch = wait_for_end(desk.client, submit(desk.client, dry_lines(2), DRY_RUN))
        wait_until(lambda: not (desk.server.data_dir / "batches" / batch.id).exists())

    def test_the_output_can_be_given_an_end(self, desk: BatchDesk, input_file: str) -> None:
        expires_after = {"anchor": "created_at", "seconds": HOUR}
        made = create(desk.client, input_file, DRY_RUN, output_expires_after=expires_after)
        ended = wait_for_end(desk.client, made)
        assert ended.output_file_id is not None
        file = desk.client.files.retrieve(ended.output_file_id)
        assert file.expires_at == file.created_at + HOUR

    @pytest.mark.parametrize("seconds", [HOUR - 1, 2_592_001])
    def test_an_end_out_of_bounds_is_refused(self, desk: BatchDesk, input_file: str, seconds: int) -> None:
        error = refused(desk.client, input_file, output_expires_after={"anchor": "created_at", "seconds": seconds})
        assert error.param == "output_expires_after.seconds"

    def test_batches_that_fail_or_hang_do_not_disturb_others(self, desk: BatchDesk, release: Event) -> None:
        hanging = fast_and_slow(desk, release, fast=0, slow=40)
        failed = wait_for_end(desk.client, submit(desk.client, b"{no line}\n"))
        other = wait_for_end(desk.client, submit(desk.client, [line("a", ask("Other?", model="fake"))]))
        assert (failed.status, other.status, counts(other)) == ("failed", "completed", (1, 1, 0))
        assert desk.client.batches.retrieve(hanging.id).status == "in_progress"
        release.set()
        assert counts(wait_for_end(desk.client, hanging)) == (40, 40, 0)


class TestTheTestModel:
    def test_gives_a_fixed_reply(self, desk: BatchDesk) -> None:
        ended = wait_for_end(desk.client, submit(desk.client, dry_lines(100), DRY_RUN))
        assert (ended.model, counts(ended)) == ("batch-test-model", (100, 100, 0))
        body = outcome(desk.client, ended).answer("dry-99")
        message = {"role": "assistant", "content": "This is a test result."}
        assert (body["object"], body["model"]) == ("chat.completion", "batch-test-model")
        assert body["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
        assert desk.engine.requests == []

    def test_checks_each_line_as_a_request(self, desk: BatchDesk) -> None:
        (wrong,) = dry_lines(1)
        assert isinstance(wrong, dict)
        wrong["body"]["temperature"] = 2
        ended = wait_for_end(desk.client, submit(desk.client, [wrong], DRY_RUN))
        assert outcome(desk.client, ended).code("dry-0") == "invalid_parameter_error"


class TestWhatIsRefused:
    @pytest.mark.parametrize("window", ["24h", "336h", "1d", "14d"])
    def test_a_window_of_a_day_to_two_weeks_is_taken(self, desk: BatchDesk, input_file: str, window: str) -> None:
        made = create(desk.client, input_file, DRY_RUN, completion_window=window)
        hours = int(window[:-1]) * (24 if window.endswith("d") else 1)
        assert (made.completion_window, made.expires_at) == (window, made.created_at + hours * HOUR)

    @pytest.mark.parametrize("window", ["23h", "337h", "15d", "0d", "soon", "24", "h", "-1d", "24 h", "1.5d", "", 24])
    def test_any_other_window_is_not(self, desk: BatchDesk, input_file: str, window: Any) -> None:
        assert refused(desk.client, input_file, endpoint=DRY_RUN, completion_window=window).param == "completion_window"

    @pytest.mark.parametrize(
        "metadata",
        [
            {f"key-{number}": "v" for number in range(16)},
            {"k" * 64: "v" * 512},
            {"ds_name": "名" * 100, "ds_description": "述" * 200},
            {},
        ],
        ids=["sixteen-pairs", "longest", "names", "none"],
    )
    def test_metadata_up_to_its_bounds_comes_back_as_it_was(
        self, desk: BatchDesk, input_file: str, metadata: dict[str, str]
    ) -> None:
        made = create(desk.client, input_file, DRY_RUN, metadata=metadata)
        assert desk.client.batches.retrieve(made.id).metadata == made.metadata == metadata

    @pytest.mark.parametrize(
        ("metadata", "param"),
        [
            ({f"key-{number}": "v" for number in range(17)}, "metadata"),
            ({"k" * 65: "v"}, "metadata"),
            ({"": "v"}, "metadata"),
            ({"key": "v" * 513}, "metadata.key"),
            ({"ds_name": "n" * 101}, "metadata.ds_name"),
            ({"ds_description": "d" * 201}, "metadata.ds_description"),
            ({"key": 7}, "metadata[...]"),
            ({"key": None}, "metadata[...]"),
            ("text", "metadata"),
        ],
        ids=["17-pairs", "key", "empty-key", "value", "name", "description", "number", "null", "no-object"],
    )
    def test_metadata_beyond_them_is_refused(self, desk: BatchDesk, input_file: str, metadata: Any, param: str) -> None:
        error = refused(desk.client, input_file, metadata=metadata)
        assert error.param == param
        assert message_of(error).startswith(f"Invalid '{param}'")

    def test_a_callback_is_refused_where_the_operator_does_not_allow_them(
        self, desk: BatchDesk, input_file: str
    ) -> None:
        error = refused(desk.client, input_file, metadata={"ds_batch_finish_callback": "https://example.com/done"})
        assert error.param == "metadata.ds_batch_finish_callback"
        assert "Callbacks are off" in message_of(error)

    @pytest.mark.parametrize("endpoint", ["/v1/completions", "/compatible-mode/v1/chat/completions", "", None])
    def test_an_unknown_endpoint_is_refused(self, desk: BatchDesk, input_file: str, endpoint: Any) -> None:
        assert refused(desk.client, input_file, endpoint=endpoint).param == "endpoint"

    def test_vectors_are_refused_where_no_engine_embeds(self, start_server: Any) -> None:
        client = OpenAI(base_url=f"{start_server().url}/v1", api_key="any", max_retries=0)
        error = refused(client, upload(client, jsonl(dry_lines(1))), endpoint="/v1/embeddings")
        assert (error.param, "needs an embedding engine" in message_of(error)) == ("endpoint", True)

    @pytest.mark.parametrize("param", ["input_file_id", "endpoint", "completion_window"])
    def test_what_is_missing_is_named(self, desk: BatchDesk, input_file: str, param: str) -> None:
        wanted = {"input_file_id": input_file, "endpoint": DRY_RUN, "completion_window": "24h"}
        del wanted[param]
        with pytest.raises(BadRequestError) as caught:
            desk.client.post("/batches", cast_to=object, body=wanted)
        assert caught.value.param == param

    def test_an_input_file_that_is_no_batch_file_is_the_same_as_none(self, desk: BatchDesk) -> None:
        document = desk.upload("tides.txt", "The tide rises.\n")
        deleted = upload(desk.client, b"{}\n")
        desk.client.files.delete(deleted)
        for file_id in (document, deleted, f"file-batch-{'x' * 24}", "nothing"):
            error = refused(desk.client, file_id)
            assert (message_of(error), error.param) == (f"Invalid file [id:{file_id}].", "input_file_id")


class TestAnotherAccount:
    def test_cannot_tell_a_batch_from_none(self, desk: BatchDesk, input_file: str) -> None:
        made = create(desk.client, input_file, DRY_RUN)
        bob = desk.new_client(api_key="key-of-bob")
        for batch_id in (made.id, "batch_00000000-0000-0000-0000-000000000000", "nothing"):
            for call in (bob.batches.retrieve, bob.batches.cancel):
                with pytest.raises(NotFoundError) as caught:
                    call(batch_id)
                assert message_of(caught.value) == f"No such Batch object: {batch_id}"
            with pytest.raises(BadRequestError, match="no such Batch object"):
                bob.batches.list(after=batch_id)
        assert list(bob.batches.list()) == []
        assert wait_for_end(desk.client, made).status == "completed"

    def test_can_neither_use_the_input_nor_read_the_output(self, desk: BatchDesk, input_file: str) -> None:
        ended = wait_for_end(desk.client, create(desk.client, input_file, DRY_RUN))
        bob = desk.new_client(api_key="key-of-bob")
        assert message_of(refused(bob, input_file)) == f"Invalid file [id:{input_file}]."
        assert ended.output_file_id is not None
        with pytest.raises(NotFoundError):
            bob.files.content(ended.output_file_id)
        assert list(bob.files.list()) == []

    def test_has_the_contracts_answer_to_an_unknown_batch(self, desk: BatchDesk) -> None:
        with pytest.raises(NotFoundError) as caught:
            desk.client.batches.retrieve("batch_1")
        assert caught.value.body == {
            "message": "No such Batch object: batch_1",
            "type": "invalid_request_error",
            "param": "id",
            "code": "not_found",
        }


class TestCancelling:
    def test_keeps_what_was_done_and_says_of_the_rest_that_it_was_not(self, desk: BatchDesk, release: Event) -> None:
        batch = fast_and_slow(desk, release, fast=3, slow=40)
        cancelling = desk.client.batches.cancel(batch.id)
        assert cancelling.status == "cancelling"
        assert cancelling.cancelling_at is not None
        ended = wait_for_end(desk.client, batch)
        assert (ended.status, counts(ended)) == ("cancelled", (43, 3, 40))
        assert list(times_of(ended)) == ["in_progress_at", "cancelling_at", "cancelled_at"]
        assert desk.engine.cancelled.wait(30)
        results = outcome(desk.client, ended)
        assert results.answers.keys() == named("fast", 3)
        assert results.answer("fast-0")["choices"][0]["message"]["content"] == "Hello world"
        assert results.failures.keys() == named("slow", 40)
        for result in results.failures.values():
            assert (result["response"], result["error"]["code"]) == (None, "batch_cancelled")

    def test_twice_is_harmless_also_after_its_end(self, desk: BatchDesk, release: Event) -> None:
        batch = fast_and_slow(desk, release, fast=1, slow=1)
        first, second = (desk.client.batches.cancel(batch.id) for _ in range(2))
        assert {first.status, second.status} <= {"cancelling", "cancelled"}
        assert first.cancelling_at == second.cancelling_at
        ended = wait_for_end(desk.client, batch)
        again = desk.client.batches.cancel(batch.id)
        assert (again.status, again.cancelled_at, counts(again)) == ("cancelled", ended.cancelled_at, (2, 1, 1))

    @pytest.mark.parametrize(("lines", "status"), [(dry_lines(1), "completed"), ([b"{no line}"], "failed")])
    def test_a_batch_that_has_ended_is_refused(self, desk: BatchDesk, lines: list[Line], status: str) -> None:
        ended = wait_for_end(desk.client, submit(desk.client, lines, DRY_RUN))
        with pytest.raises(BadRequestError) as caught:
            desk.client.batches.cancel(ended.id)
        assert message_of(caught.value) == f"The batch {ended.id} cannot be cancelled: it is {status}."

    def test_while_it_is_validated_none_of_its_lines_is_asked(self, desk: BatchDesk) -> None:
        lines: list[Line] = [line(f"line-{number}", ask("Asked?")) for number in range(3)]
        file_id = upload(desk.client, jsonl(lines))
        blockade = Blockade(original(desk.server, file_id))
        batch = create(desk.client, file_id)
        wait_until(blockade.is_met)
        assert desk.client.batches.retrieve(batch.id).status == "validating"
        blockade.clear()
        assert desk.client.batches.cancel(batch.id).status == "cancelling"
        ended = wait_for_end(desk.client, batch)
        blockade.lift()
        assert (ended.status, counts(ended)) == ("cancelled", (3, 0, 3))
        assert list(times_of(ended)) == ["cancelling_at", "cancelled_at"]
        results = outcome(desk.client, ended)
        assert {results.code(custom_id) for custom_id in named("line", 3)} == {"batch_cancelled"}
        assert desk.engine.requests == []

    def test_an_unreadable_file_while_it_is_validated_ends_as_cancelled(self, desk: BatchDesk) -> None:
        file_id = upload(desk.client, b"{no line}\n")
        blockade = Blockade(original(desk.server, file_id))
        batch = create(desk.client, file_id)
        wait_until(blockade.is_met)
        blockade.clear()
        desk.client.batches.cancel(batch.id)
        ended = wait_for_end(desk.client, batch)
        blockade.lift()
        assert (ended.status, counts(ended)) == ("cancelled", (0, 0, 0))
        assert (ended.output_file_id, ended.error_file_id) == (None, None)


class TestTheEndOfTheWindow:
    def test_keeps_what_was_done_and_says_of_the_rest_that_it_was_not(
        self, own_desk: BatchDesk, release: Event
    ) -> None:
        batch = fast_and_slow(own_desk, release, fast=2, slow=20)
        own_desk.server.stop()
        past = int(time.time()) - 1
        query(own_desk.server, "UPDATE batches SET expires_at = ? WHERE batch_id = ?", past, batch.id)
        own_desk.server.start()
        client = own_desk.new_client()
        ended = wait_for_end(client, batch)
        assert (ended.status, ended.expires_at, counts(ended)) == ("expired", past, (22, 2, 20))
        assert list(times_of(ended)) == ["in_progress_at", "expired_at"]
        results = outcome(client, ended)
        assert results.answers.keys() == named("fast", 2)
        assert results.failures.keys() == named("slow", 20)
        assert {results.code(custom_id) for custom_id in named("slow", 20)} == {"batch_expired"}
        with pytest.raises(BadRequestError, match="it is expired"):
            client.batches.cancel(batch.id)

    def test_comes_also_while_it_runs(self, desk: BatchDesk, release: Event) -> None:
        desk.engine.behave = hold_until(release, answer_words(["Late"]))
        file_id = upload(desk.client, jsonl([line("slow-0", ask("Slow 0?"))]))
        blockade = Blockade(original(desk.server, file_id))
        batch = create(desk.client, file_id)
        wait_until(blockade.is_met)
        soon = int(time.time()) + 2
        query(desk.server, "UPDATE batches SET expires_at = ? WHERE batch_id = ?", soon, batch.id)
        blockade.clear()
        blockade.lift()
        ended = wait_for_end(desk.client, batch)
        assert (ended.status, counts(ended)) == ("expired", (1, 0, 1))
        assert ended.expired_at is not None
        assert ended.expired_at >= soon
        assert desk.engine.cancelled.wait(30)
        assert outcome(desk.client, ended).code("slow-0") == "batch_expired"


class TestTheInputFile:
    def test_deleted_while_its_lines_run_ends_the_batch_and_keeps_what_was_done(
        self, desk: BatchDesk, release: Event
    ) -> None:
        batch = fast_and_slow(desk, release, fast=2, slow=90)
        desk.client.files.delete(batch.input_file_id)
        ended = wait_for_end(desk.client, batch)
        assert (ended.status, counts(ended)) == ("failed", (92, 2, 0))
        assert list(times_of(ended)) == ["in_progress_at", "failed_at"]
        assert ended.errors is not None
        assert [error.code for error in ended.errors.data or []] == ["input_file_deleted"]
        assert outcome(desk.client, ended).answers.keys() == named("fast", 2)

    def test_deleted_before_it_is_validated_fails_the_batch(self, desk: BatchDesk) -> None:
        held = upload(desk.client, jsonl(dry_lines(1)))
        blockade = Blockade(original(desk.server, held))
        blocking = [create(desk.client, held, DRY_RUN) for _ in range(AT_ONCE)]
        wait_until(blockade.is_met)
        file_id = upload(desk.client, jsonl(dry_lines(1)))
        batch = create(desk.client, file_id, DRY_RUN)
        desk.client.files.delete(file_id)
        blockade.clear()
        blockade.lift()
        ended = wait_for_end(desk.client, batch)
        for other in blocking:
            wait_for_end(desk.client, other)
        assert ended.status == "failed"
        assert ended.errors is not None
        assert [error.code for error in ended.errors.data or []] == ["input_file_deleted"]

    def test_deleted_after_the_end_leaves_the_batch_as_it_is(self, desk: BatchDesk) -> None:
        ended = wait_for_end(desk.client, submit(desk.client, dry_lines(1), DRY_RUN))
        desk.client.files.delete(ended.input_file_id)
        assert desk.client.batches.retrieve(ended.id).to_dict() == ended.to_dict()
        assert outcome(desk.client, ended).answers.keys() == {"dry-0"}


def test_many_batches_for_an_engine_that_is_down_do_not_keep_another_waiting(tmp_path: Path) -> None:
    dead = {"kind": "upstream", "base_url": f"http://127.0.0.1:{free_port()}/v1", "model": "m", "retries": 0}
    with open_batch_desk(tmp_path, engines={"dead": dead}) as desk:
        for _ in range(RUN_AT_ONCE):
            submit(desk.client, [line("a", ask("?", model="dead"))])
        other = submit(desk.client, [line("a", ask("?", model="fake"))])
        assert wait_for_end(desk.client, other).status == "completed"


def test_the_node_sdk_drives_the_whole_life(desk: BatchDesk, release: Event, tmp_path: Path) -> None:
    if not (NODE / "node_modules" / ".ready").exists():
        pytest.fail("The Node SDK is not installed: run `make tests/acceptance/node/node_modules/.ready`")
    desk.engine.behave = by_question({"Slow": hold_until(release, answer_words(["Late"]))})
    quick: list[Line] = [line(f"quick-{number}", ask(f"Quick {number}?", model="fake")) for number in range(3)]
    quick.append(line("wrong", ask("Too warm?", model="fake", temperature=9)))
    (tmp_path / "quick.jsonl").write_bytes(jsonl(quick))
    (tmp_path / "slow.jsonl").write_bytes(jsonl([line("slow-0", ask("Slow 0?"))]))
    (tmp_path / "wrong.jsonl").write_bytes(jsonl([quick[0], b"no line"]))
    node = str(Path(sys.executable).parent / "node")
    command = [node, str(NODE / "batches.mjs"), f"{desk.server.url}/compatible-mode/v1", "key-of-node", str(tmp_path)]
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=kept)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["created"]["status"] == "validating"
    ended = told["ended"]
    assert (ended["status"], ended["request_counts"]) == ("completed", {"total": 4, "completed": 3, "failed": 1})
    assert sorted(result["custom_id"] for result in told["output"]) == ["quick-0", "quick-1", "quick-2"]
    assert {result["response"]["status_code"] for result in told["output"]} == {200}
    assert [result["custom_id"] for result in told["failures"]] == ["wrong"]
    assert (told["cancelling"]["status"], told["cancelled"]["status"]) == ("cancelling", "cancelled")
    assert told["cancelled"]["request_counts"] == {"total": 1, "completed": 0, "failed": 1}
    assert told["failed"]["errors"]["data"][0]["code"] == "invalid_json_line"
    assert told["failed"]["errors"]["data"][0]["line"] == 2
    assert told["listed"] == [told[name]["id"] for name in ("failed", "cancelled", "ended")]
    assert (told["unknown"]["name"], told["unknown"]["status"]) == ("NotFoundError", 404)
    assert (told["endedAlready"]["name"], told["endedAlready"]["status"]) == ("BadRequestError", 400)
