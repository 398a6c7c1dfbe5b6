"""`POST /responses` at the edge of HTTP: what is refused before anything is done, how events look, what is not stored."""

import json
from typing import Any, cast

import pytest
from starlette.routing import Match, Route

from bookwheel.answering.responses_output import ResponseDraft
from bookwheel.api.responses import ResponsesCalls, ResponsesDialect, read_responses, unstored_routes
from bookwheel.errors import EngineUnreachable, InvalidRequest
from bookwheel.settings import ServerSettings

NONE = cast("Any", None)
BODY: dict[str, Any] = {"model": "qwen-long", "input": "Hi"}


@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"model": None}, "you must provide a model parameter.", "model"),
        ({"model": ""}, "you must provide a model parameter.", "model"),
        ({"input": 7}, "Invalid 'input': Expected `str | array`, got `int`.", "input"),
        ({"input": [7]}, "Invalid 'input[0]': Expected `object`, got `int`.", "input[0]"),
        ({"max_output_tokens": 0}, "Invalid 'max_output_tokens': Expected `int` >= 1.", "max_output_tokens"),
        ({"top_logprobs": 21}, "Invalid 'top_logprobs': Expected `int` <= 20.", "top_logprobs"),
        ({"tools": [7]}, "Invalid 'tools[0]': Expected `object`, got `int`.", "tools[0]"),
        ({"metadata": {"a": 1}}, "Invalid 'metadata[...]': Expected `str`, got `int`.", "metadata[...]"),
        ({"bookwheel": True}, "Invalid 'bookwheel': Expected `object | null`, got `bool`.", "bookwheel"),
        ({"previous_response_id": "resp_1"}, None, "previous_response_id"),
    ],
    ids=str,
)
def test_a_field_that_cannot_be_meant_is_refused_by_its_name(
    fields: dict[str, Any], message: str | None, param: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_responses(BODY | fields)
    assert raised.value.param == param
    assert message is None or raised.value.message == message.replace("`", "'")


def test_a_missing_input_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_responses({"model": "qwen-long"})
    assert raised.value.param == "input"


def test_events_have_their_names_and_number_on() -> None:
    draft = ResponseDraft(read_responses(BODY))
    dialect = ResponsesDialect(draft)
    sent = dialect.events(draft.add([{"choices": [{"delta": {"content": "Hi"}}]}]))
    sent += dialect.failure(EngineUnreachable("Gone."), "request-1")
    blocks = [block.split(b"\n") for block in sent.removesuffix(b"\n\n").split(b"\n\n")]
    names = [name.removeprefix(b"event: ").decode() for name, _ in blocks]
    told = [json.loads(data.removeprefix(b"data: ")) for _, data in blocks]
    assert names == [event["type"] for event in told]
    assert names[0] == "response.created"
    assert names[-2:] == ["response.failed", "error"]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert dialect.ending == b""


@pytest.mark.parametrize(
    ("method", "path", "match"),
    [
        ("GET", "/responses/resp_1", Match.FULL),
        ("DELETE", "/responses/resp_1", Match.FULL),
        ("POST", "/responses/resp_1/cancel", Match.FULL),
        ("GET", "/responses/resp_1/input_items", Match.FULL),
        ("POST", "/responses/resp_1", Match.PARTIAL),
        ("GET", "/responses", Match.NONE),
    ],
)
def test_calls_about_a_stored_response_are_known(method: str, path: str, match: Match) -> None:
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    assert max(route.matches(scope)[0].value for route in unstored_routes()) == match.value


def test_they_do_not_stand_in_the_way_of_the_call() -> None:
    (operation,) = ResponsesCalls(NONE, ServerSettings()).operations()
    route: Route = operation.route()
    scope = {"type": "http", "method": "POST", "path": "/responses", "headers": []}
    assert route.matches(scope)[0] is Match.FULL
