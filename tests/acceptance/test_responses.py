"""A user of OpenAI's newer API asks about documents: the stock SDK's `client.responses`, whole, streamed and parsed."""

import http.client
import json
import os
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import APIError, AsyncOpenAI, BadRequestError, NotFoundError, pydantic_function_tool
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from bookwheel.answering.layout import INSTRUCTION
from support.engine import (
    USAGE,
    Desk,
    answer_object,
    answer_words,
    chunk,
    content_of,
    event,
    hold_until,
    open_desk,
    stream_pieces,
)

NODE = Path(__file__).parent / "node"
TIDES = "The tide at Dover rises 6.7 metres in spring.\nNeap tides rise only 3.2 metres there.\n"
NEAP = "Neap tides rise only 3.2 metres there."
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "moon",
    "description": "The phase of the moon",
    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
    "strict": True,
}


class Height(BaseModel):
    """What is asked for as JSON."""

    metres: float


class Moon(BaseModel):
    """A tool's arguments."""

    day: str


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    settings = {"ingest": {"upload_wait_seconds": 30}, "server": {"keep_alive_seconds": 0.1}}
    with open_desk(tmp_path_factory.mktemp("desk"), settings) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    shared_desk.engine.reset()
    return shared_desk


@pytest.fixture(scope="module")
def tides(shared_desk: Desk) -> str:
    return shared_desk.upload("tides.txt", TIDES)


def about(file_id: str, question: str = "How high do neap tides rise?") -> Any:
    return [
        {
            "role": "user",
            "content": [{"type": "input_file", "file_id": file_id}, {"type": "input_text", "text": question}],
        }
    ]


def ask(desk: Desk, asked: Any, model: str = "qwen-long", **options: Any) -> Any:
    return desk.client.responses.create(model=model, input=asked, **options)


def events_of(desk: Desk, asked: Any, model: str = "qwen-long", **options: Any) -> list[dict[str, Any]]:
    """The events of a stream, each as the SDK's own types have it."""
    stream = ask(desk, asked, model, stream=True, **options)
    told = [json.loads(came.to_json()) for came in stream]
    for one in told:
        EVENTS.validate_python(one)
    return told


def sent(desk: Desk) -> dict[str, Any]:
    """What the engine was sent last."""
    return desk.engine.requests[-1]


def calls(name: str, arguments: str) -> dict[str, Any]:
    """An engine's message that calls a function."""
    function = {"name": name, "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "mock", "choices": [choice], "usage": USAGE}


# The answer


@pytest.mark.parametrize("prefix", ["/compatible-mode/v1", "/v1"])
def test_a_question_about_a_file_is_answered_with_citations_of_it(desk: Desk, tides: str, prefix: str) -> None:
    response = desk.new_client(prefix).responses.create(model="quotes", input=about(tides))
    assert NEAP in response.output_text
    (message,) = response.output
    assert message.type == "message"
    annotations = [noted.model_dump() for noted in message.content[0].annotations]  # type: ignore[union-attr]
    cited = next(noted for noted in annotations if noted["quote"] == NEAP)
    assert (cited["type"], cited["file_id"], cited["filename"]) == ("file_citation", tides, "tides.txt")
    assert TIDES[cited["start"] : cited["end"]] == NEAP
    assert response.output_text[cited["answer_start"] : cited["index"]] == NEAP
    assert response.bookwheel["context"]["files"][0]["file_id"] == tides  # type: ignore[attr-defined]


def test_the_engine_is_asked_as_chat_asks_it(desk: Desk, tides: str) -> None:
    options: dict[str, Any] = {
        "max_output_tokens": 50,
        "temperature": 0.5,
        "reasoning": {"effort": "low"},
        "extra_body": {"seed": 7},
    }
    response = ask(desk, about(tides), instructions="Be brief.", **options)
    document = f'<document name="tides.txt">\n{TIDES}</document>'
    assert sent(desk) == {
        "model": "mock",
        "stream": False,
        "messages": [
            {"role": "system", "content": f"Be brief.\n\n{INSTRUCTION}\n\n{document}"},
            {"role": "user", "content": "How high do neap tides rise?"},
        ],
        "max_tokens": 50,
        "temperature": 0.5,
        "reasoning_effort": "low",
        "seed": 7,
    }
    assert response.output_text == "Hello world"
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (11, 2, 13)
    assert (response.instructions, response.max_output_tokens, response.temperature) == ("Be brief.", 50, 0.5)


@pytest.mark.parametrize("model", ["qwen-long", "quotes", "fake"])
def test_a_response_has_every_field_that_the_sdk_s_types_ask_for(desk: Desk, tides: str, model: str) -> None:
    asked: Any = {"tools": [TOOL], "text": {"format": {"type": "text"}}, "metadata": {"a": "b"}, "store": True}
    raw = json.loads(desk.client.responses.with_raw_response.create(model=model, input=about(tides), **asked).text)
    response = Response.model_validate(raw)
    assert (response.status, response.object, response.model) == ("completed", "response", model)
    assert (response.metadata, raw["store"], raw["error"]) == ({"a": "b"}, False, None)


def test_files_are_named_in_the_instructions_or_come_with_the_request(desk: Desk, tides: str) -> None:
    ask(desk, "How high?", instructions=f"Be brief.\nfileid://{tides}")
    assert TIDES in content_of(sent(desk)["messages"][0])
    data = f"data:text/plain;base64,{b64encode(b'The rope costs 14 florins.').decode()}"
    part = {"type": "input_file", "filename": "rope.txt", "file_data": data}
    response = ask(
        desk, [{"role": "user", "content": [part]}, {"role": "user", "content": "What is the rope?"}], "quotes"
    )
    assert "14 florins" in response.output_text
    assert response.output[0].content[0].annotations[0].filename == "rope.txt"


def test_bookwheel_s_options_are_chat_s(desk: Desk, tides: str) -> None:
    wanted = {"citations": False, "reading": "full", "show_context": True}
    response = ask(desk, about(tides), "quotes", extra_body={"bookwheel": wanted})
    assert response.output[0].content[0].annotations == []
    assert "citations" not in response.bookwheel
    assert TIDES in response.bookwheel["messages"][0]["content"]
    with pytest.raises(BadRequestError) as caught:
        ask(desk, about(tides), extra_body={"bookwheel": {"reading": "fast"}})
    assert caught.value.param == "bookwheel.reading"


def test_a_conversation_goes_on_with_what_the_response_was(desk: Desk, tides: str) -> None:
    message = {"role": "assistant", "content": "3.2 metres.", "reasoning_content": "Hm."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    desk.engine.behave = answer_object(calls("moon", "{}") | {"choices": [choice]})
    asked = about(tides)
    first = ask(desk, asked)
    assert [item.type for item in first.output] == ["reasoning", "message"]
    ask(desk, [*asked, *first.output, {"role": "user", "content": "And spring tides?"}])
    assert sent(desk)["messages"][1:] == [
        {"role": "user", "content": "How high do neap tides rise?"},
        {"role": "assistant", "content": "3.2 metres."},
        {"role": "user", "content": "And spring tides?"},
    ]


def test_an_answer_that_the_limit_cut_off_is_incomplete(desk: Desk, tides: str) -> None:
    for streamed in (False, True):
        if streamed:
            response = events_of(desk, about(tides), "fake", max_output_tokens=3)[-1]["response"]
        else:
            response = json.loads(ask(desk, about(tides), "fake", max_output_tokens=3).to_json())
        assert (response["status"], response["incomplete_details"]["reason"]) == ("incomplete", "max_output_tokens")
        assert response["output"][0]["status"] == "incomplete"


# Tools and formats


@pytest.mark.parametrize("streamed", [False, True])
def test_a_function_is_called_and_its_output_answered(desk: Desk, tides: str, streamed: bool) -> None:
    asked: list[Any] = about(tides)
    if streamed:
        opening = chunk(
            {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "moon", "arguments": '{"day":'}}]}
        )
        rest = chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"today"}'}}]})
        pieces = [opening, rest, chunk({}, "tool_calls"), chunk({}) | {"choices": [], "usage": USAGE}]
        desk.engine.behave = stream_pieces([*map(event, pieces), event(b"[DONE]")])
        told = events_of(desk, asked, tools=[TOOL], tool_choice="required")
        output = told[-1]["response"]["output"]
        assert [one["delta"] for one in told if one["type"] == "response.function_call_arguments.delta"] == [
            '{"day":',
            '"today"}',
        ]
    else:
        desk.engine.behave = answer_object(calls("moon", '{"day":"today"}'))
        output = ask(desk, asked, tools=[TOOL], tool_choice="required").output
    function = {name: TOOL[name] for name in ("name", "description", "parameters", "strict")}
    assert sent(desk)["tools"] == [{"type": "function", "function": function}]
    assert sent(desk)["tool_choice"] == "required"
    desk.engine.behave = answer_words(["Full."])
    answer = {"type": "function_call_output", "call_id": "call_1", "output": "full"}
    assert ask(desk, [*asked, *output, answer], tools=[TOOL]).output_text == "Full."
    call = {"id": "call_1", "type": "function", "function": {"name": "moon", "arguments": '{"day":"today"}'}}
    assert sent(desk)["messages"][-2:] == [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "full"},
    ]


def test_an_answer_is_parsed_into_the_type_that_was_asked_for(desk: Desk, tides: str) -> None:
    desk.engine.behave = answer_words(['{"metres": 3.2}'])
    response = desk.client.responses.parse(model="qwen-long", input=about(tides), text_format=Height)
    assert response.output_parsed == Height(metres=3.2)
    schema = sent(desk)["response_format"]
    assert (schema["type"], schema["json_schema"]["name"], schema["json_schema"]["strict"]) == (
        "json_schema",
        "Height",
        True,
    )
    assert "metres" in schema["json_schema"]["schema"]["properties"]


def test_a_call_is_parsed_into_the_type_that_was_offered(desk: Desk, tides: str) -> None:
    desk.engine.behave = answer_object(calls("Moon", '{"day":"today"}'))
    tool = pydantic_function_tool(Moon)["function"]
    offered: Any = {"type": "function", **tool}
    response = desk.client.responses.parse(model="qwen-long", input=about(tides), tools=[offered])
    assert response.output[0].parsed_arguments == {"day": "today"}  # type: ignore[union-attr]


def test_json_is_asked_for_by_name(desk: Desk, tides: str) -> None:
    wanted: dict[str, Any] = {"text": {"format": {"type": "json_object"}}}
    ask(desk, about(tides, "As JSON, please."), **wanted)
    assert sent(desk)["response_format"] == {"type": "json_object"}
    with pytest.raises(BadRequestError, match="'input' must contain the word 'json'") as caught:
        ask(desk, about(tides), **wanted)
    assert caught.value.param == "input"


# The stream


@pytest.mark.parametrize("model", ["qwen-long", "quotes", "fake"])
def test_a_stream_tells_the_response_event_by_event_and_ends_with_all_of_it(desk: Desk, tides: str, model: str) -> None:
    whole = json.loads(ask(desk, about(tides), model).to_json())
    told = events_of(desk, about(tides), model)
    types = [one["type"].removeprefix("response.") for one in told]
    assert types[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert types[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    text = "".join(one["delta"] for one in told if one["type"] == "response.output_text.delta")
    final = told[-1]["response"]
    (streamed,), (complete,) = final["output"][0]["content"], whole["output"][0]["content"]
    assert streamed == complete
    assert text == streamed["text"]
    assert final["usage"] == whole["usage"]
    added = [one["annotation"] for one in told if one["type"] == "response.output_text.annotation.added"]
    assert added == streamed["annotations"]
    assert bool(added) == (model == "quotes")


def test_the_engine_is_asked_for_the_usage_of_a_stream(desk: Desk, tides: str) -> None:
    events_of(desk, about(tides), stream_options={"include_obfuscation": False})
    assert sent(desk)["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_usage_is_counted_where_the_engine_does_not_tell_it(desk: Desk, tides: str) -> None:
    desk.engine.behave = stream_pieces([event(chunk({"content": "Hello"})), event(chunk({}, "stop")), event(b"[DONE]")])
    usage = events_of(desk, about(tides))[-1]["response"]["usage"]
    assert usage["output_tokens"] == 1
    assert usage["input_tokens"] > 10


def test_the_stream_helper_puts_the_response_together(desk: Desk, tides: str) -> None:
    desk.engine.behave = answer_words(['{"metres":', " 3.2}"])
    with desk.client.responses.stream(model="qwen-long", input=about(tides), text_format=Height) as stream:
        snapshots = [came.snapshot for came in stream if came.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == ['{"metres":', '{"metres": 3.2}']
    assert final.output_parsed == Height(metres=3.2)


async def test_the_asynchronous_client_streams_alike(desk: Desk, tides: str) -> None:
    client = AsyncOpenAI(base_url=f"{desk.server.url}/v1", api_key="any", max_retries=0)
    async with client, client.responses.stream(model="quotes", input=about(tides)) as stream:
        final = await stream.get_final_response()
    assert NEAP in final.output_text


def test_thoughts_are_told_apart_from_the_answer(desk: Desk, tides: str) -> None:
    pieces = [
        chunk({"reasoning_content": "Hm"}),
        chunk({"reasoning_content": "."}),
        chunk({"content": "So"}),
        chunk({}, "stop"),
    ]
    desk.engine.behave = stream_pieces([*map(event, pieces), event(b"[DONE]")])
    told = events_of(desk, about(tides))
    assert [one["delta"] for one in told if one["type"] == "response.reasoning_text.delta"] == ["Hm", "."]
    reasoning, message = told[-1]["response"]["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert message["content"][0]["text"] == "So"


def test_log_probabilities_are_told_when_they_are_asked_for(desk: Desk, tides: str) -> None:
    token = {"token": "So", "logprob": -0.5, "bytes": [83, 111], "top_logprobs": []}
    said = chunk({"content": "So"})
    said["choices"][0]["logprobs"] = {"content": [token]}
    desk.engine.behave = stream_pieces([event(said), event(chunk({}, "stop")), event(b"[DONE]")])
    told = events_of(desk, about(tides), include=["message.output_text.logprobs"], top_logprobs=2)
    assert (sent(desk)["logprobs"], sent(desk)["top_logprobs"]) == (True, 2)
    assert told[-1]["response"]["output"][0]["content"][0]["logprobs"] == [token]


# What is not done here


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the earlier items"),
        ({"conversation": "conv_1"}, "conversation", "send the earlier items"),
        ({"background": True}, "background", "stream"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "instructions"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0]", "input_file"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "function"),
    ],
    ids=str,
)
def test_what_is_not_done_here_is_refused_with_what_to_do(
    desk: Desk, fields: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(desk, "Hi", **fields)
    assert caught.value.param == param
    assert words in caught.value.body["message"]  # type: ignore[index]
    assert desk.engine.requests == []


def test_a_file_is_not_fetched_from_a_url(desk: Desk) -> None:
    part = {"type": "input_file", "file_url": "http://127.0.0.1/secret.txt"}
    with pytest.raises(BadRequestError, match="not fetched from URLs") as caught:
        ask(desk, [{"role": "user", "content": [part]}])
    assert caught.value.param == "input[0].content[0].file_url"


@pytest.mark.parametrize("prefix", ["/compatible-mode/v1", "/v1"])
def test_there_is_no_stored_response(desk: Desk, prefix: str) -> None:
    client = desk.new_client(prefix)
    response = client.responses.create(model="fake", input="Hi")
    for attempt in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(NotFoundError, match="Responses are not stored here"):
            attempt(response.id)
    with pytest.raises(NotFoundError, match="Responses are not stored here"):
        client.responses.input_items.list(response.id)


# What goes wrong


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_wrong_before_the_first_event_has_its_own_status(desk: Desk, streamed: bool) -> None:
    with pytest.raises(BadRequestError, match="Invalid file") as caught:
        ask(desk, about("file-fe-" + "x" * 24), stream=streamed)
    assert caught.value.param == "input"
    with pytest.raises(NotFoundError) as unknown:
        ask(desk, "Hi", "gpt-9", stream=streamed)
    assert unknown.value.code == "model_not_found"
    desk.engine.behave = answer_object({"error": {"message": "No such option.", "code": "odd"}}, 422)
    with pytest.raises(APIError, match="No such option") as refused:
        ask(desk, "Hi", stream=streamed)
    assert refused.value.code == "odd"


def test_an_engine_that_fails_in_mid_stream_is_told_with_what_came_and_raises_in_the_client(
    desk: Desk, tides: str
) -> None:
    failed = event({"error": {"message": "The GPU is on fire.", "type": "server_error", "code": "fire"}})
    desk.engine.behave = stream_pieces([event(chunk({"content": "Half"})), failed])
    stream = ask(desk, about(tides), stream=True)
    types = [next(stream).type for _ in range(6)]
    with pytest.raises(APIError, match="The GPU is on fire") as caught:
        next(stream)
    assert caught.value.code == "fire"
    assert types[-1] == "response.failed"


def raw_stream(desk: Desk, body: dict[str, Any]) -> str:
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    connection.request(
        "POST", "/v1/responses", json.dumps(body | {"stream": True}), {"content-type": "application/json"}
    )
    raw = connection.getresponse().read().decode()
    connection.close()
    return raw


def test_a_stream_that_broke_off_tells_of_a_failed_response_and_then_of_the_error(desk: Desk, tides: str) -> None:
    desk.engine.behave = stream_pieces([event(chunk({"content": "Half"}))])
    *_, failed, error, rest = raw_stream(desk, {"model": "qwen-long", "input": about(tides)}).split("\n\n")
    assert rest == ""
    name, data = failed.split("\n")
    told = json.loads(data.removeprefix("data: "))
    assert name == "event: response.failed"
    EVENTS.validate_python(told)
    assert told["response"]["output"][0]["content"][0]["text"] == "Half"
    name, data = error.split("\n")
    told = json.loads(data.removeprefix("data: "))
    assert name == "event: error"
    EVENTS.validate_python(told)
    assert told["error"]["code"] == told["code"] == "engine_unreachable"


def test_a_stream_that_waits_is_kept_alive_and_the_stock_client_sees_no_comment(desk: Desk, tides: str) -> None:
    release = threading.Event()
    desk.engine.behave = hold_until(release, answer_words(["At last"]))
    stream = ask(desk, about(tides), stream=True)  # returns when the first comment has opened the response
    release.set()
    assert [came.delta for came in stream if came.type == "response.output_text.delta"] == ["At last"]


def test_an_error_after_a_comment_raises_in_the_stream_helper(desk: Desk) -> None:
    release = threading.Event()
    desk.engine.behave = hold_until(release, stream_pieces([]))
    with desk.client.responses.stream(model="qwen-long", input="Hi") as stream:
        release.set()
        with pytest.raises(APIError, match="closed the stream before its end"):
            stream.until_done()


@pytest.mark.parametrize("streamed", [False, True])
def test_leaving_stops_the_engine(desk: Desk, tides: str, streamed: bool) -> None:
    desk.engine.behave = hold_until(threading.Event(), answer_words([]))
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    body = {"model": "qwen-long", "input": about(tides), "stream": streamed}
    connection.request("POST", "/v1/responses", json.dumps(body), {"content-type": "application/json"})
    assert desk.engine.started.wait(30)
    connection.close()
    assert desk.engine.cancelled.wait(30)


def test_the_progress_of_a_thorough_reading_comes_as_comments(desk: Desk) -> None:
    facts = "".join(f"Entry {number}: the trader of stall {number} paid {number} pence.\n" for number in range(600))
    body = {"model": "narrow", "input": about(desk.upload("ledger.txt", facts)), "bookwheel": {"reading": "thorough"}}
    before, _, after = raw_stream(desk, body).partition("event: response.created")
    assert ": reading 0 of " in before
    assert ": reading" not in after
    assert "event: response.completed" in after


# The Node SDK


def test_the_node_sdk_asks_streams_and_goes_on(desk: Desk, tides: str) -> None:
    command = [
        str(Path(sys.executable).parent / "node"),
        str(NODE / "responses.mjs"),
        f"{desk.server.url}/v1",
        "key",
        tides,
    ]
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=kept)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert NEAP in told["whole"]["output_text"]
    assert told["text"] == told["final"]["output_text"] == told["whole"]["output_text"]
    assert (
        told["final"]["output"][0]["content"][0]["annotations"]
        == told["whole"]["output"][0]["content"][0]["annotations"]
    )
    assert (told["types"][0], told["types"][-1]) == ("response.created", "response.completed")
    assert "6.7 metres" in told["again"]["output_text"]
    assert (told["gone"]["name"], told["gone"]["status"]) == ("NotFoundError", 404)
    assert told["broken"]["code"] == "model_not_found"
