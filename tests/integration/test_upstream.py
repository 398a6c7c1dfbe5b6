"""An engine at a URL, and all the ways in which it may misbehave: what the client of Bookwheel sees of it."""

import json
import socket
from collections.abc import Iterator
from threading import Event
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from openai import APIError, APIStatusError, OpenAI

from support.engine import (
    USAGE,
    Behaviour,
    Desk,
    RecordingEngine,
    answer_object,
    answer_words,
    chunk,
    event,
    hold_until,
    stream_pieces,
)
from support.server import Server

HI: Any = [{"role": "user", "content": "Hi"}]
OPENING = chunk({"role": "assistant", "content": ""})
SAID = [OPENING, chunk({"content": "Guten"}), chunk({"content": " Tag 你好"}), chunk({}, "stop")]
DONE = event(b"[DONE]")
CITED = {"bookwheel": {"citations": True}}
WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "mock",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    engine = RecordingEngine().start()
    engines = {
        "up": engine.settings(api_key="key-of-the-engine"),
        "open": engine.settings(),
        "hasty": engine.settings(silence_seconds=0.3),
        "gone": engine.settings() | {"base_url": f"http://127.0.0.1:{free_port()}/v1"},
    }
    models = {"default": "up", "open": "open", "hasty": "hasty", "gone": "gone"}
    server = Server(tmp_path_factory.mktemp("server"), {"engines": engines, "models": models})
    try:
        yield Desk(server.start(), engine)
    finally:
        server.stop()
        engine.close()


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    shared_desk.engine.reset()
    return shared_desk


@pytest.fixture
def client(desk: Desk) -> OpenAI:
    return desk.client


def refused(client: OpenAI, *, model: str = "qwen-long", stream: bool = False) -> APIStatusError:
    """The error that a question ends in before anything of the answer is there."""
    with pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=HI, stream=stream)  # type: ignore[call-overload]
    return caught.value


def message_of(error: APIError) -> str:
    assert isinstance(error.body, dict)
    return str(error.body["message"])


def streamed(client: OpenAI, **options: Any) -> list[dict[str, Any]]:
    answer = client.chat.completions.create(model="qwen-long", messages=HI, stream=True, **options)
    return [came.model_dump(exclude_unset=True) for came in answer]


def as_ours(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [came | {"model": "qwen-long"} for came in chunks]


# It is not there, or silent


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_is_not_there_is_a_502(client: OpenAI, stream: bool) -> None:
    error = refused(client, model="gone", stream=stream)
    assert (error.status_code, error.code, error.type) == (502, "engine_unreachable", "server_error")
    assert message_of(error).startswith("The engine gone broke off")


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_is_silent_too_long_is_a_504(desk: Desk, stream: bool) -> None:
    desk.engine.behave = hold_until(Event(), answer_words([]))
    error = refused(desk.client, model="hasty", stream=stream)
    assert (error.status_code, error.code) == (504, "engine_timed_out")
    assert message_of(error) == "The engine hasty was silent for 0.3 seconds."
    assert desk.engine.cancelled.wait(30)


def test_an_engine_that_falls_silent_in_mid_stream_raises_in_the_client(desk: Desk) -> None:
    desk.engine.behave = hold_until(Event(), answer_words([]), [event(OPENING)])
    answer = desk.client.chat.completions.create(model="hasty", messages=HI, stream=True)
    assert next(answer).choices[0].delta.role == "assistant"
    with pytest.raises(APIError, match="The engine hasty was silent for") as caught:
        next(answer)
    assert caught.value.code == "engine_timed_out"


# It refuses


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 404, 413, 422, 429])
def test_a_refusal_passes_through_as_it_came(desk: Desk, status: int, stream: bool) -> None:
    error = {"message": "No such luck.", "type": "odd_type", "param": "top_k", "code": "odd", "x_vendor": [1]}
    desk.engine.behave = answer_object({"error": error}, status, {"retry-after": "1"})
    caught = refused(desk.client, stream=stream)
    assert caught.status_code == status
    assert caught.body == error
    assert caught.response.headers["retry-after"] == "1"
    assert caught.response.json()["request_id"] == caught.response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"error": "just words"}, "just words"),
        ({"detail": "as FastAPI says it"}, "as FastAPI says it"),
        ({"message": "as vLLM said it", "object": "error"}, "as vLLM said it"),
        (["a", "list"], "['a', 'list']"),
        (b"plain text", "plain text"),
        (b"", "no reason given"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 100_000, None),
        ({"error": None}, None),
        ({"error": {"message": None}}, None),
        ({"error": {"message": 5, "code": 400, "type": None}}, None),
    ],
)
def test_a_refusal_in_another_shape_becomes_the_usual_one(desk: Desk, sent: Any, message: str | None) -> None:
    desk.engine.behave = answer_object(sent, 400)
    caught = refused(desk.client)
    assert caught.status_code == 400
    assert isinstance(caught.body, dict)
    assert {"message", "type", "param", "code"} <= set(caught.body)
    assert isinstance(caught.body["message"], str)
    assert message is None or caught.body["message"] == message


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_the_engines_key_is_the_operators_to_mend(desk: Desk, status: int) -> None:
    desk.engine.behave = answer_object({"error": {"message": "Bad key."}}, status)
    caught = refused(desk.client)
    assert (caught.status_code, caught.code) == (502, "engine_unreachable")
    assert "engines.up.api_key" in message_of(caught)


@pytest.mark.parametrize("status", [500, 503, 529])
def test_an_engine_that_fails_is_a_502_with_its_words(desk: Desk, status: int) -> None:
    desk.engine.behave = answer_object({"error": {"message": "Out of memory."}}, status)
    caught = refused(desk.client)
    assert (caught.status_code, caught.code) == (502, "engine_unreachable")
    assert message_of(caught) == f"The engine up answered with status {status}: Out of memory."


# It answers what is no answer


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"nonsense",
        b'{"choices": [',
        b"[]",
        b"null",
        b"1",
        b"{}",
        b'{"choices": null}',
        b'{"choices": {}}',
        b'{"choices": "x"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=lambda sent: repr(sent[:40]),
)
def test_an_answer_that_is_none_is_a_502(desk: Desk, sent: bytes) -> None:
    desk.engine.behave = answer_object(sent)
    caught = refused(desk.client)
    assert (caught.status_code, caught.code) == (502, "engine_unreachable")
    assert message_of(caught).startswith("The engine up sent ")


@pytest.mark.parametrize(
    "choice",
    [1, None, [], {}, {"message": None}, {"message": "x"}, {"message": {}}, {"message": {"content": 5}}],
    ids=json.dumps,
)
@pytest.mark.parametrize("documents", [[], ["Role.", "A document about tides."]], ids=["plain", "with documents"])
def test_an_odd_choice_is_passed_on_or_a_502(desk: Desk, choice: Any, documents: list[str]) -> None:
    desk.engine.behave = answer_object({"choices": [choice]})
    messages = [*({"role": "system", "content": text} for text in documents), *HI]
    body = json.dumps({"model": "qwen-long", "messages": messages} | CITED).encode()
    try:
        with urlopen(Request(f"{desk.server.url}/v1/chat/completions", body)) as response:
            outcome = next(iter(json.load(response)))
    except HTTPError as error:
        outcome = json.load(error)["error"]["code"]
    assert outcome in ("choices", "engine_unreachable")


def test_an_answer_without_choices_is_a_502(desk: Desk) -> None:
    desk.engine.behave = answer_object({"id": "x"})
    assert message_of(refused(desk.client)) == "The engine up sent an answer without choices."


def test_an_engine_that_hangs_up_in_the_middle_of_an_answer_is_a_502(desk: Desk) -> None:
    desk.engine.behave = stream_pieces([b'{"choices"'], abort=True)
    assert refused(desk.client).status_code == 502


def test_an_engine_that_does_not_stream_is_said_to(desk: Desk) -> None:
    desk.engine.behave = answer_object(WHOLE)
    caught = refused(desk.client, stream=True)
    assert (caught.status_code, caught.code) == (502, "engine_unreachable")


# Its stream


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


RAW = b"".join(map(event, SAID)) + DONE
FOREIGN = json.dumps(SAID[2], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "pieces",
    [
        [RAW],
        in_pieces(RAW, 7),
        in_pieces(RAW.replace(b"\n\n", b"\r\n\r\n"), 5),
        [RAW.replace(b"\n\n", b"\r\n\r\n")],
        [RAW.replace(b"data: ", b"data:")],
        [b": comment\n\n" + RAW.replace(b"data: {", b"event: message\nid: 1\ndata: {")],
        [b"\n\n\n" + RAW],
        [RAW.replace(event(SAID[2]), b"data: " + FOREIGN + b"\n\n")],
        in_pieces(RAW.replace(event(SAID[2]), b"data: " + FOREIGN + b"\n\n"), 3),
        [RAW.removesuffix(DONE) + b"data: [DONE] \n\n"],
        [RAW.replace(b'"content": "Guten"', b'"content":\ndata: "Guten"')],
        [RAW + b"data: what comes after the end\n\n"],
    ],
    ids=[
        "whole", "7 bytes", "CRLF, 5 bytes", "CRLF", "no space", "other fields", "blank lines", "UTF-8", "UTF-8, 3 bytes",
        "space after DONE", "two data lines", "after DONE",
    ],
)  # fmt: skip
def test_a_stream_is_understood_however_its_bytes_fall(desk: Desk, pieces: list[bytes]) -> None:
    desk.engine.behave = stream_pieces(pieces)
    assert streamed(desk.client) == as_ours(SAID)


BROKEN: list[tuple[str, Behaviour, str]] = [
    ("closes early", stream_pieces([event(OPENING)]), "closed the stream before its end"),
    ("hangs up", stream_pieces([event(OPENING)], abort=True), "broke off"),
    ("garbage", stream_pieces([event(OPENING), b"data: {nonsense\n\n", DONE]), "sent what is not JSON"),
    ("a list", stream_pieces([event(OPENING), event([1]), DONE]), "sent JSON that is not an object"),
    (
        "cut off inside an event",
        stream_pieces([event(OPENING), b'data: {"choices"']),
        "closed the stream before its end",
    ),
]


@pytest.mark.parametrize(("behave", "reason"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_stream_raises_in_the_client_after_what_came(desk: Desk, behave: Behaviour, reason: str) -> None:
    desk.engine.behave = behave
    answer = desk.client.chat.completions.create(model="qwen-long", messages=HI, stream=True)
    with pytest.raises(APIError, match=f"The engine up {reason}") as caught:
        list(answer)
    assert caught.value.code == "engine_unreachable"


@pytest.mark.parametrize("error", [{"message": "Fire."}, "Fire.", {"message": "Fire.", "code": 500, "x": 1}])
def test_an_error_object_in_mid_stream_reaches_the_client(desk: Desk, error: Any) -> None:
    desk.engine.behave = stream_pieces([event(OPENING), event({"error": error})])
    answer = desk.client.chat.completions.create(model="qwen-long", messages=HI, stream=True)
    assert next(answer).choices[0].delta.role == "assistant"
    with pytest.raises(APIError, match=r"Fire\."):
        next(answer)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {"choices": [1]},
        {"choices": "x"},
        {"choices": [{"index": 0}]},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [{"index": 0, "delta": {"content": 5}}]},
        {"choices": [{"index": 0, "delta": "x"}]},
        {"usage": 5, "choices": []},
    ],
    ids=json.dumps,
)
def test_an_odd_chunk_is_never_an_internal_error(desk: Desk, odd: dict[str, Any]) -> None:
    desk.engine.behave = stream_pieces([*map(event, [SAID[0], odd, *SAID[1:]]), DONE])
    answer = desk.client.chat.completions.with_raw_response.create(
        model="qwen-long", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    raw = answer.http_response.read()
    assert b"Internal error" not in raw
    assert raw.endswith(DONE) or b'"engine_unreachable"' in raw


def test_an_event_that_does_not_end_is_cut_off(desk: Desk) -> None:
    desk.engine.behave = stream_pieces([event(OPENING), b"data: ", *[b"x" * 1024 * 1024] * 18])
    answer = desk.client.chat.completions.create(model="qwen-long", messages=HI, stream=True)
    with pytest.raises(APIError, match="sent an event that does not end"):
        list(answer)


def test_a_stream_that_ends_without_a_finish_still_ends(desk: Desk) -> None:
    desk.engine.behave = stream_pieces([event(OPENING), event(chunk({"content": "Guten"})), DONE])
    assert streamed(desk.client) == as_ours(SAID[:2])


def test_the_usage_is_counted_here_when_the_engine_does_not_tell_it(desk: Desk) -> None:
    desk.engine.behave = stream_pieces([*map(event, SAID), DONE])
    *said, usage = streamed(desk.client, stream_options={"include_usage": True})
    assert said == as_ours(SAID)
    assert usage["choices"] == []
    counted = usage["usage"]
    assert counted["total_tokens"] == counted["prompt_tokens"] + counted["completion_tokens"]
    assert min(counted.values()) > 0


def test_the_engines_own_usage_is_told_once(desk: Desk) -> None:
    with_usage = chunk({}) | {"choices": [], "usage": USAGE}
    desk.engine.behave = stream_pieces([*map(event, [*SAID, with_usage]), DONE])
    assert streamed(desk.client, stream_options={"include_usage": True}) == as_ours([*SAID, with_usage])


def test_usage_on_every_chunk_comes_through_as_vllm_sends_it(desk: Desk) -> None:
    running = [said | {"usage": USAGE} for said in SAID]
    last = chunk({}) | {"choices": [], "usage": USAGE}
    desk.engine.behave = stream_pieces([*map(event, [*running, last]), DONE])
    options = {"include_usage": True, "continuous_usage_stats": True}
    assert streamed(desk.client, stream_options=options) == as_ours([*running, last])
    assert desk.engine.requests[-1]["stream_options"] == options


# Keys


def test_the_engine_is_shown_its_own_key_and_never_the_clients(desk: Desk) -> None:
    client = desk.new_client(api_key="key-of-the-client")
    for model in ("qwen-long", "open"):
        client.chat.completions.create(model=model, messages=HI, extra_headers={"x-own": "secret", "cookie": "a=b"})
    with_key, without_key = desk.engine.headers
    assert with_key["Authorization"] == "Bearer key-of-the-engine"
    assert "Authorization" not in without_key
    for headers in desk.engine.headers:
        assert not {"Cookie", "X-Own", "x-own", "cookie"} & set(headers)
        assert "key-of-the-client" not in json.dumps(headers)


def test_a_public_name_may_not_choose_the_engines_model(desk: Desk) -> None:
    desk.client.chat.completions.create(model="open", messages=HI)
    assert desk.engine.requests[-1]["model"] == "mock"


def test_large_numbers_and_deep_objects_pass_through(desk: Desk) -> None:
    extra = {"large": 2**70, "small": -(2**63), "fraction": 0.1, "deep": [[[{"a": [None, True, "\x00 你"]}]]]}
    desk.client.chat.completions.create(model="qwen-long", messages=HI, extra_body=extra)
    assert {name: desk.engine.requests[-1][name] for name in extra} == extra
