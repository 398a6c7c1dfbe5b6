"""What is wrong with an input file is told line by line, before anything is asked; what is only unusual is no error."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError
from openai.types import Batch

from support.batches import (
    CHAT,
    DRY_RUN,
    TEST_MODEL,
    BatchDesk,
    Line,
    ask,
    counts,
    create,
    dry_lines,
    jsonl,
    line,
    open_batch_desk,
    original,
    outcome,
    submit,
    upload,
    wait_for_end,
)

MB = 1024 * 1024
MOST_LINES = 150
MOST_ERRORS = 100
TOO_DEEP = b'{"custom_id": "x", "method": "POST", "body": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
MISSING = "missing_required_parameter"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchDesk]:
    settings = {"batches": {"lines": MOST_LINES, "line_mb": 1}}
    with open_batch_desk(tmp_path_factory.mktemp("desk"), settings) as opened:
        yield opened


def right(number: int) -> dict[str, Any]:
    return line(f"right-{number}", ask(f"Number {number}?", model="fake"))


def other(**fields: Any) -> dict[str, Any]:
    """A line that is right but for these fields; one that is None is left out."""
    made = line("other", ask("Other?", model="fake")) | fields
    return {name: value for name, value in made.items() if value is not None}


def in_json(value: str) -> bytes:
    """A line whose model is written so."""
    return json.dumps(other(body={"model": "?"})).encode().replace(b'"?"', value.encode())


def of_size(size_bytes: int, custom_id: str = "long") -> bytes:
    """A line of so many bytes."""
    written = json.dumps(line(custom_id, ask("?", model="fake"))).encode()
    return written.replace(b'"?"', b'"' + b"x" * (size_bytes - len(written) + 1) + b'"')


def failed(desk: BatchDesk, content: list[Line] | bytes, endpoint: str = CHAT) -> Batch:
    """How a batch of these lines ends that cannot be run."""
    ended = wait_for_end(desk.client, submit(desk.client, content, endpoint))
    assert ended.status == "failed"
    assert ended.failed_at is not None
    assert (ended.in_progress_at, ended.output_file_id, ended.error_file_id) == (None, None, None)
    assert counts(ended) == (0, 0, 0)
    assert ended.errors is not None
    assert ended.errors.object == "list"
    return ended


def errors_in(desk: BatchDesk, content: list[Line] | bytes, endpoint: str = CHAT) -> list[tuple[Any, ...]]:
    """(line, code, param) of each error."""
    return [(one.line, one.code, one.param) for one in told_of(failed(desk, content, endpoint))]


def told_of(batch: Batch) -> list[Any]:
    assert batch.errors is not None
    assert all(one.message for one in batch.errors.data or [])
    return batch.errors.data or []


@pytest.mark.parametrize(
    "wrong",
    [
        b"no json",
        b"{",
        b"[1]",
        b'"text"',
        b"null",
        b"{} {}",
        b'{"custom_id": "a",}',
        b"{'custom_id': 'a'}",
        b'{"custom_id": "a", "note": "\xe4"}',
        b'{"custom_id": "a", "body": {"note": "\\ud800"}}',
        b'{"custom_id": "a", "body": {"note": NaN}}',
        TOO_DEEP,
    ],
    ids=lambda wrong: wrong[:45].decode("ascii", "replace"),
)
def test_a_line_that_is_no_json_object_in_utf_8(desk: BatchDesk, wrong: bytes) -> None:
    assert errors_in(desk, [right(1), wrong, right(2)]) == [(2, "invalid_json_line", None)]


@pytest.mark.parametrize("value", [None, "", 7, ["a"]])
def test_a_line_without_a_custom_id(desk: BatchDesk, value: Any) -> None:
    assert errors_in(desk, [right(1), other(custom_id=value)]) == [(2, MISSING, "custom_id")]


@pytest.mark.parametrize("value", [None, [], "text", 7])
def test_a_line_without_a_body(desk: BatchDesk, value: Any) -> None:
    assert errors_in(desk, [right(1), other(body=value)]) == [(2, MISSING, "body")]


@pytest.mark.parametrize("body", [{}, {"model": None}, {"model": ""}, {"model": 7}, {"model": ["fake"]}])
def test_a_body_without_a_model(desk: BatchDesk, body: dict[str, Any]) -> None:
    assert errors_in(desk, [right(1), other(body=body)]) == [(2, MISSING, "body.model")]


def test_a_model_that_is_a_number_too_large_for_one(desk: BatchDesk) -> None:
    """JSON's grammar allows it."""
    assert errors_in(desk, [right(1), in_json("1e999")]) == [(2, MISSING, "body.model")]


def test_a_custom_id_that_stands_in_two_lines(desk: BatchDesk) -> None:
    ended = failed(desk, [right(1), right(2), right(1), right(3), right(2)])
    (first, second) = told_of(ended)
    assert (first.line, first.code, first.param) == (3, "duplicate_custom_id", "custom_id")
    assert first.message == "custom_id 'right-1' stands in line 1 already."
    assert (second.line, second.message) == (5, "custom_id 'right-2' stands in line 2 already.")


@pytest.mark.parametrize("name", ["method", "url"])
def test_a_line_without_a_method_or_a_url(desk: BatchDesk, name: str) -> None:
    assert errors_in(desk, [right(1), other(**{name: None})]) == [(2, "missing_required_parameter", name)]


@pytest.mark.parametrize("method", ["GET", "post", "", 7])
def test_a_method_that_is_not_post(desk: BatchDesk, method: Any) -> None:
    assert errors_in(desk, [right(1), other(method=method)]) == [(2, "invalid_method", "method")]


@pytest.mark.parametrize(
    "url", ["/v1/embeddings", "/compatible-mode/v1/chat/completions", "/v1/chat/completions/", "", 7]
)
def test_a_url_that_is_not_the_batchs_endpoint(desk: BatchDesk, url: Any) -> None:
    assert errors_in(desk, [right(1), other(url=url)]) == [(2, "mismatched_endpoint", "url")]


@pytest.mark.parametrize("model", ["gpt-9", TEST_MODEL])
def test_a_model_that_there_is_not(desk: BatchDesk, model: str) -> None:
    (error,) = told_of(failed(desk, [right(1), other(body=ask("?", model=model))]))
    assert (error.line, error.code, error.param) == (2, "model_not_found", "body.model")
    assert error.message == f"The model '{model}' does not exist or you do not have access to it."


def test_a_second_model(desk: BatchDesk) -> None:
    lines: list[Line] = [right(1), right(2), other(body=ask("?", model="quotes")), right(3)]
    assert errors_in(desk, lines) == [(3, "mismatched_model", "body.model")]


def test_a_line_that_is_too_long(desk: BatchDesk) -> None:
    lines: list[Line] = [of_size(MB + 1, "a"), right(1), of_size(4 * MB, "b"), b"no json"]
    assert errors_in(desk, lines) == [
        (1, "line_too_large", None),
        (3, "line_too_large", None),
        (4, "invalid_json_line", None),
    ]


def test_too_many_lines(desk: BatchDesk) -> None:
    lines: list[Line] = [right(number) for number in range(MOST_LINES + 2)]
    assert errors_in(desk, lines) == [(MOST_LINES + 1, "too_many_lines", None)]


def test_too_many_lines_for_the_test_model(desk: BatchDesk) -> None:
    (error,) = told_of(failed(desk, dry_lines(101), DRY_RUN))
    assert (error.line, error.code, error.message) == (101, "too_many_lines", "A batch has at most 100 lines.")


def test_a_file_too_large_for_the_test_model(desk: BatchDesk) -> None:
    content = jsonl(dry_lines(2))
    assert errors_in(desk, content + b" " * (MB - len(content) + 1), DRY_RUN) == [(None, "file_too_large", None)]
    ended = wait_for_end(desk.client, submit(desk.client, content + b" " * (MB - len(content)), DRY_RUN))
    assert (ended.status, counts(ended)) == ("completed", (2, 2, 0))


def test_another_model_where_the_test_model_answers(desk: BatchDesk) -> None:
    lines: list[Line] = [*dry_lines(1), line("a", ask("?", model="fake"), DRY_RUN)]
    assert errors_in(desk, lines, DRY_RUN) == [(2, "model_not_found", "body.model")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"no json\n", b"[]\n", b"\xef\xbb\xbf", b"custom_id,method,url\n"])
def test_what_is_no_jsonl_at_all_is_refused_when_it_is_uploaded(desk: BatchDesk, content: bytes) -> None:
    with pytest.raises(BadRequestError, match="Input file format is not supported"):
        upload(desk.client, content)


def test_a_file_without_lines(desk: BatchDesk) -> None:
    """An upload of that kind is refused: this one has lost its lines since."""
    file_id = upload(desk.client, jsonl([right(1)]))
    original(desk.server, file_id).write_bytes(b"\n  \n")
    ended = wait_for_end(desk.client, create(desk.client, file_id))
    assert [(one.line, one.code) for one in told_of(ended)] == [(None, "empty_file")]


def test_all_that_is_wrong_is_named_in_order_and_the_first_of_each_line(desk: BatchDesk) -> None:
    lines: list[Line] = [
        right(1),
        b"no json",
        b"",
        other(custom_id=None, method="GET"),
        right(1),
        b"   ",
        other(method="GET", url="/"),
        line("a", ask("?", model="gpt-9")),
        line("b", ask("?", model="quotes")),
        right(2),
    ]
    assert errors_in(desk, lines) == [
        (2, "invalid_json_line", None),
        (4, MISSING, "custom_id"),
        (5, "duplicate_custom_id", "custom_id"),
        (7, "invalid_method", "method"),
        (8, "model_not_found", "body.model"),
        (9, "mismatched_model", "body.model"),
    ]


def test_a_hundred_errors_are_named_and_no_more(desk: BatchDesk) -> None:
    errors = errors_in(desk, [right(1), *([b"no json"] * (MOST_ERRORS + 20))])
    assert errors == [(number, "invalid_json_line", None) for number in range(2, MOST_ERRORS + 2)]


def test_errors_and_too_many_lines_are_named_together(desk: BatchDesk) -> None:
    lines: list[Line] = [right(number) for number in range(MOST_LINES + 2)]
    lines[4] = b"no json"
    errors = [(5, "invalid_json_line", None), (MOST_LINES + 1, "too_many_lines", None)]
    assert errors_in(desk, lines) == errors


def test_a_message_repeats_only_the_beginning_of_what_is_long(desk: BatchDesk) -> None:
    (error,) = told_of(failed(desk, [right(1), other(url="/" + "x" * 10_000)]))
    assert len(error.message) < 300


TWO = jsonl([right(1), right(2)])


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + TWO,
        TWO.replace(b"\n", b"\r\n"),
        TWO.rstrip(b"\n"),
        b"\r\n\n" + TWO.replace(b"\n", b"\n\n \t\n"),
        TWO.replace(b"{", b" \t{", 1),
        b"\xef\xbb\xbf" + TWO.replace(b"\n", b"\r\n").rstrip(),
        jsonl([right(1) | {"note": [1]}, right(2) | {"id": 7}]),
        jsonl([of_size(MB, "right-1"), of_size(MB, "right-2")]).replace(b"\n", b"\r\n"),
        json.dumps(right(1), ensure_ascii=False).encode().replace(b"Number", "编号".encode())
        + b"\n"
        + TWO.splitlines()[1],
    ],
    ids=["bom", "crlf", "no-last-end", "blank-lines", "indented", "all-of-it", "unknown-fields", "longest", "utf-8"],
)
def test_what_is_unusual_and_right_is_run(desk: BatchDesk, content: bytes) -> None:
    ended = wait_for_end(desk.client, submit(desk.client, content))
    assert (ended.status, counts(ended)) == ("completed", (2, 2, 0))
    results = outcome(desk.client, ended)
    assert results.answers.keys() == {"right-1", "right-2"}
    assert all("You asked: " in str(results.answer(custom_id)) for custom_id in results.answers)


def test_as_many_lines_as_are_allowed_are_run_blank_ones_not_counted(desk: BatchDesk) -> None:
    lines: list[Line] = [b"", *(right(number) for number in range(MOST_LINES)), b"", b" "]
    ended = wait_for_end(desk.client, submit(desk.client, lines))
    assert (ended.status, counts(ended)) == ("completed", (MOST_LINES, MOST_LINES, 0))


def test_custom_ids_of_any_letters_and_length_come_back(desk: BatchDesk) -> None:
    ids = ["问题-1", "a b\tc", "x" * 5_000, '"quoted"', "\u2028", "e\u0301", "é", "0"]
    lines: list[Line] = [line(custom_id, ask("?", model="fake")) for custom_id in ids]
    ended = wait_for_end(desk.client, submit(desk.client, lines))
    assert (ended.status, counts(ended)) == ("completed", (len(ids), len(ids), 0))
    text = desk.client.files.content(ended.output_file_id or "").text
    assert {json.loads(one)["custom_id"] for one in text.split("\n") if one} == set(ids)
