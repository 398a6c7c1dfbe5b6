"""A line is answered as its request would be, and whatever goes wrong with it is its result."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from bookwheel.batches import answer as module
from bookwheel.batches.answer import LineAnswer, failure, may_pass, unanswered
from bookwheel.batches.lines import CHAT_ENDPOINT, EMBEDDINGS_ENDPOINT, TEST_ENDPOINT, LineRules, scan_lines
from bookwheel.batches.results import result_id
from bookwheel.errors import (
    ApiError,
    BodyTooLarge,
    EngineBusy,
    EngineRefused,
    EngineTimedOut,
    EngineUnreachable,
    FileStillParsing,
    InvalidKey,
    InvalidRequest,
    ModelNotFound,
    QuotaReached,
    RateLimited,
    ServerStopping,
)
from support.scripted_batch import BATCH_ID, House, chat, line

ID = result_id(BATCH_ID, 7)
HERONS = "Heron 7 stands in the reeds."


async def answered(house: House, body: Any, endpoint: str = CHAT_ENDPOINT) -> tuple[dict[str, Any], ApiError | None]:
    """The result of a line as it is written, and its error."""
    answer = await house.lines.answer("ely", endpoint, line("seven", body, endpoint), ID)
    assert b"\n" not in answer.result
    return json.loads(answer.result), answer.error


async def test_a_chat_is_answered_as_its_request_would_be(house: House) -> None:
    result, error = await answered(house, chat("Where is heron 7?", HERONS))
    assert error is None
    assert (result["id"], result["custom_id"], result["error"]) == (ID, "seven", None)
    response = result["response"]
    assert (response["status_code"], len(response["request_id"])) == (200, 36)
    body = response["body"]
    assert (body["object"], body["model"]) == ("chat.completion", "qwen-long")
    assert "Where is heron 7?" in body["choices"][0]["message"]["content"]
    assert body["usage"]["total_tokens"] > 0
    assert body["bookwheel"]["context"]["reading"] == "full"
    assert list(result) == ["id", "custom_id", "response", "error"]
    assert [request.is_background for request in house.engine.requests] == [True]
    assert [request.account_id for request in house.engine.requests] == ["ely"]


async def test_options_reach_the_engine_but_for_those_of_a_stream(house: House) -> None:
    options = {"temperature": 0.5, "top_k": 3, "stream": True, "stream_options": {"include_usage": True}}
    result, error = await answered(house, chat("Hello?") | options)
    assert error is None
    assert result["response"]["body"]["object"] == "chat.completion"
    assert house.engine.requests[0].options == {"temperature": 0.5, "top_k": 3}


async def test_vectors_are_those_of_the_engine_under_the_public_name(house: House) -> None:
    result, error = await answered(house, {"model": "qwen-long", "input": "x"}, EMBEDDINGS_ENDPOINT)
    assert error is None
    assert result["response"]["body"]["model"] == "qwen-long"
    assert result["response"]["body"]["data"][0]["embedding"] == [0.5, -0.25]


async def test_a_dry_run_has_a_fixed_reply_and_asks_no_engine(house: House) -> None:
    result, error = await answered(house, chat("Hello?", model="batch-test-model"), TEST_ENDPOINT)
    assert error is None
    assert result["response"]["body"]["choices"][0]["message"]["content"] == "This is a test result."
    assert house.engine.requests == []


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({"model": "qwen-long"}, "[] is too short - 'messages'", "messages"),
        ({"model": "qwen-long", "messages": []}, "[] is too short - 'messages'", "messages"),
        (chat("?") | {"temperature": 3}, "Temperature should be in [0.0, 2.0)", "temperature"),
        (chat("?", "fileid://file-fe-none"), "Invalid file [id:file-fe-none].", "messages"),
    ],
)
async def test_a_bad_request_fails_with_the_words_of_the_contract(
    house: House, body: Any, message: str, param: str
) -> None:
    result, error = await answered(house, body)
    assert isinstance(error, InvalidRequest)
    assert result["error"] == {"code": "invalid_parameter_error", "message": message}
    response = result["response"]
    assert response["status_code"] == 400
    shown = response["body"]["error"]
    assert (shown["message"], shown["type"], shown["param"]) == (message, "invalid_request_error", param)
    assert response["body"]["request_id"] == response["request_id"]


async def test_a_dry_run_is_checked_as_any_request(house: House) -> None:
    result, _ = await answered(house, chat("?", model="batch-test-model") | {"top_p": 0}, TEST_ENDPOINT)
    assert result["response"]["status_code"] == 400
    result, _ = await answered(house, chat("?", model="qwen-long"), TEST_ENDPOINT)
    assert result["error"]["message"] == "Only batch-test-model answers here."


async def test_what_the_engine_refuses_comes_with_its_own_error_object(house: House) -> None:
    own = {"message": "Too hot.", "type": "BadRequestError", "code": 40_013, "hint": "cool it"}
    house.engine.behave = _raise(EngineRefused(418, own))
    result, error = await answered(house, chat("?"))
    assert isinstance(error, EngineRefused)
    assert result["error"] == {"code": "40013", "message": "Too hot."}
    assert result["response"]["status_code"] == 418
    assert result["response"]["body"]["error"] == own | {"param": None}


@pytest.mark.parametrize(
    ("own", "code"),
    [
        ({"message": "No."}, "invalid_request_error"),
        ({"message": "No.", "type": "teapot"}, "teapot"),
        ({"message": "No.", "type": None, "code": None}, "internal_error"),
        ({}, "invalid_request_error"),
    ],
)
async def test_an_engine_that_names_no_code_has_one_all_the_same(own: dict[str, Any], code: str) -> None:
    result = json.loads(failure(ID, "seven", EngineRefused(400, own), "r"))
    assert result["error"]["code"] == code
    assert result["error"]["message"]


@pytest.mark.parametrize(
    "fault", [RuntimeError("secret words"), KeyError("x"), UnicodeEncodeError("utf-8", "x", 0, 1, "y")]
)
async def test_a_fault_of_ours_is_an_internal_error_that_is_not_tried_again(house: House, fault: Exception) -> None:
    house.engine.behave = _raise(fault)
    result, error = await answered(house, chat("?"))
    assert error is not None
    assert not may_pass(error)
    assert (result["response"]["status_code"], result["error"]["code"]) == (500, "internal_error")
    assert "secret" not in json.dumps(result)


async def test_an_answer_that_cannot_be_written_is_a_fault_like_others(house: House) -> None:
    async def say_half_a_character(_question: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": "\ud83d"}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"total_tokens": 1}}

    house.engine.behave = say_half_a_character
    result, error = await answered(house, chat("?"))
    assert error is not None
    assert result["error"]["code"] == "internal_error"


@pytest.mark.parametrize("value", ["1e999", "1" * 5_000, "[" * 979 + "]" * 979])
async def test_what_only_a_full_reading_finds_fails_the_line_alone(house: House, value: str) -> None:
    """The scan of the file looks at such values' syntax alone."""
    data = line("seven", chat("?")).replace(b'"model"', f'"x": {value}, "model"'.encode())
    answer = await house.lines.answer("ely", CHAT_ENDPOINT, data, ID)
    assert isinstance(answer.error, InvalidRequest)
    assert json.loads(answer.result)["custom_id"] == "seven"


async def test_every_line_that_the_scan_takes_has_a_result_however_deep_it_is(house: House, tmp_path: Any) -> None:
    """The scan has more of its stack left than a task has whose callers are many."""
    rules = LineRules(CHAT_ENDPOINT, {"qwen-long"}, 10, 1_000_000)

    async def nested(depth: int, calls: int) -> LineAnswer | None:
        if calls:
            return await nested(depth, calls - 1)
        path = tmp_path / "lines"
        path.write_bytes(
            line("seven", chat("?")).replace(b'"model"', b'"x":' + b"[" * depth + b"]" * depth + b',"model"')
        )
        if (await asyncio.to_thread(scan_lines, path, rules)).lines is None:
            return None
        assert await asyncio.to_thread(unanswered, ID, path.read_bytes(), "code", "message")
        return await house.lines.answer("ely", CHAT_ENDPOINT, path.read_bytes(), ID)

    answers = [await nested(depth, 60) for depth in range(880, 1_000, 3)]
    taken = [answer for answer in answers if answer is not None]
    assert len(taken) < len(answers)
    assert {json.loads(answer.result)["custom_id"] for answer in taken} == {"seven"}
    assert any(answer.error is None for answer in taken)


async def test_a_large_line_is_read_in_a_thread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDLED_IN_THREAD_BYTES", 10)
    _, error = await answered(house, chat("Where?"))
    assert error is None


def test_a_line_that_was_not_asked_says_why() -> None:
    result = json.loads(unanswered(ID, line("seven", chat("?")), "batch_expired", "Too late."))
    assert result == {
        "id": ID,
        "custom_id": "seven",
        "response": None,
        "error": {"code": "batch_expired", "message": "Too late."},
    }


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (RateLimited("Slower.", 2), True),
        (EngineBusy("Busy.", 2), True),
        (EngineUnreachable("Not there."), True),
        (EngineUnreachable("Wrong key.", may_pass=False), True),
        (EngineTimedOut("Silent."), True),
        (ServerStopping(), True),
        *((EngineRefused(status, {}), True) for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)),
        *((EngineRefused(status, {}), False) for status in (400, 401, 403, 404, 413, 422, 499)),
        (QuotaReached("Full."), False),
        (InvalidRequest("No."), False),
        (FileStillParsing(), False),
        (InvalidKey(), False),
        (ModelNotFound("m"), False),
        (BodyTooLarge(), False),
        (ApiError("A fault of ours."), False),
    ],
    ids=lambda value: f"{type(value).__name__} {value.http_status}" if isinstance(value, ApiError) else str(value),
)
def test_what_may_pass_is_tried_again(error: ApiError, passes: bool) -> None:
    assert may_pass(error) is passes


def _raise(error: Exception) -> Any:
    async def behave(_question: str) -> None:
        raise error

    return behave


def test_results_have_their_id_first() -> None:
    """That is where a start after a crash looks for it."""
    results = [failure(ID, "x", InvalidKey(), "r"), unanswered(ID, line("x", chat("?")), "code", "message")]
    assert all(result.startswith(f'{{"id":"{ID}"'.encode()) for result in results)
    assert msgspec.json.decode(results[0])["id"] == ID
