"""What engines say beside plain answers reaches the client of a question about documents: errors of every kind, answers in
several choices, in JSON, with calls and thoughts, and streams that end in odd ways."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from openai import (
    APIError,
    APIStatusError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    UnprocessableEntityError,
)

from support.engine import Desk, answer_object, chunk, content_of, event, open_desk, stream_pieces
from support.feature_checks import Fields
from support.feature_engine import FeatureEngine
from support.wire_tap import folded

TIDES = "The tide at Dover rises 6.7 metres in spring.\nAt Brest it rises 6.1 metres at the equinox.\n"
FIRST, SECOND = TIDES.splitlines()
ASKED: Fields = {"role": "user", "content": "How high is the tide? In JSON, please."}
CALL = {"id": "call_0", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    shared_desk.engine.reset()
    return shared_desk


@pytest.fixture(scope="module")
def tides(shared_desk: Desk) -> Fields:
    return {"role": "system", "content": f"fileid://{shared_desk.upload('tides.txt', TIDES)}"}


def ask(desk: Desk, *messages: Fields, stream: bool = False, model: str = "qwen-long", **options: Any) -> Fields:
    """A whole answer, or a stream folded to one."""
    options = {"extra_body": {"bookwheel": {"citations": True}}} | options
    chat: Any = desk.client.chat.completions
    told = chat.create(model=model, messages=list(messages), stream=stream, **options)
    fields = [one.model_dump(exclude_unset=True) for one in (told if stream else [told])]
    return folded(fields) if stream else fields[0]


# Errors before an answer


REFUSALS: list[tuple[int, Any, type[APIStatusError], Fields]] = [
    (
        400,
        {"error": {"message": "Too hot.", "type": "BadRequestError", "param": "temperature", "code": "hot", "x": 1e-9}},
        BadRequestError,
        {"message": "Too hot.", "type": "BadRequestError", "param": "temperature", "code": "hot", "x": 1e-9},
    ),
    (
        400,
        {"object": "error", "message": "Too long.", "type": "BadRequestError", "param": None, "code": 400},
        BadRequestError,
        {"message": "Too long.", "type": "BadRequestError", "param": None, "code": 400, "object": "error"},
    ),
    (
        422,
        {"detail": [{"type": "missing", "loc": ["body", "tools"], "msg": "Field required"}]},
        UnprocessableEntityError,
        {"detail": [{"type": "missing", "loc": ["body", "tools"], "msg": "Field required"}]},
    ),
    (404, {"error": "model 'mock' not found, try pulling it first"}, NotFoundError, {"code": None}),
    (413, b"Request Entity Too Large", APIStatusError, {"message": "Request Entity Too Large"}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "answer", "kind", "told"), REFUSALS, ids=["400", "flat 400", "422", "404", "413"])
def test_an_engines_refusal_comes_with_its_status_and_its_words(
    desk: Desk, tides: Fields, status: int, answer: Any, kind: type[APIStatusError], told: Fields, stream: bool
) -> None:
    desk.engine.behave = answer_object(answer, status)
    with pytest.raises(kind) as caught:
        ask(desk, tides, ASKED, stream=stream)
    assert caught.value.status_code == status
    envelope = caught.value.response.json()
    assert envelope["error"] | told == envelope["error"]
    assert set(envelope["error"]) >= {"message", "type", "param", "code"}
    assert isinstance(envelope["error"]["message"], str)
    assert envelope["request_id"] == caught.value.response.headers["x-request-id"]
    assert len(desk.engine.requests) == 1  # what is refused is not asked again


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_has_too_much_to_do_says_when_to_come_back(desk: Desk, tides: Fields, stream: bool) -> None:
    busy = {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    desk.engine.behave = answer_object(busy, 429, {"retry-after": "61"})
    with pytest.raises(RateLimitError) as caught:
        ask(desk, tides, ASKED, stream=stream)
    assert caught.value.response.headers["retry-after"] == "61"
    assert caught.value.response.json()["error"] == busy["error"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_is_loading_is_a_502_with_its_words(desk: Desk, tides: Fields, stream: bool) -> None:
    desk.engine.behave = answer_object({"error": {"message": "Loading model", "code": 503}}, 503)
    with pytest.raises(InternalServerError) as caught:
        ask(desk, tides, ASKED, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (502, "engine_unreachable")
    assert "503: Loading model" in caught.value.message


# Errors in the middle of a stream


OPENING = event(chunk({"role": "assistant", "content": ""})) + event(chunk({"content": "The tide"}))
BROKEN: Fields = {"message": "Out of memory.", "type": "server_error", "param": "tools", "code": "oom"}


@pytest.mark.parametrize(
    "sent",
    [
        {"error": BROKEN},
        {"error": BROKEN | {"object": "error"}},
        {"choices": [], "error": BROKEN},
        BROKEN | {"object": "error"},
    ],
    ids=["OpenAI", "SGLang", "beside choices", "older vLLM"],
)
def test_an_error_in_mid_stream_raises_in_the_client_with_the_engines_words(
    desk: Desk, tides: Fields, sent: Fields
) -> None:
    desk.engine.behave = stream_pieces([OPENING, event(sent)])
    chat: Any = desk.client.chat.completions
    seen: list[str] = []
    answer = chat.create(model="qwen-long", messages=[tides, ASKED], stream=True)
    with pytest.raises(APIError) as caught:
        seen.extend(told.choices[0].delta.content for told in answer)
    assert seen == ["", "The tide"]
    assert (caught.value.message, caught.value.code, caught.value.param) == ("Out of memory.", "oom", "tools")


def test_an_error_that_is_all_of_a_stream_has_its_status(desk: Desk, tides: Fields) -> None:
    desk.engine.behave = stream_pieces([event({"error": BROKEN | {"code": 400}})])
    with pytest.raises(BadRequestError, match=r"Out of memory\."):
        ask(desk, tides, ASKED, stream=True)


# Several choices


@pytest.mark.parametrize("stream", [False, True])
def test_each_choice_has_citations_of_its_own(desk: Desk, tides: Fields, stream: bool) -> None:
    desk.engine.behave = FeatureEngine().behave
    answer = ask(desk, tides, ASKED, stream=stream, n=2)
    assert [choice["message"]["content"] for choice in answer["choices"]] == [FIRST, SECOND]
    cited = [(citation["choice"], citation["quote"]) for citation in answer["bookwheel"]["citations"]]
    assert cited == [(0, FIRST), (1, SECOND)]
    if not stream:
        quotes = [[note["quote"] for note in choice["message"]["annotations"]] for choice in answer["choices"]]
        assert quotes == [[FIRST], [SECOND]]


def test_citations_of_one_choice_do_not_name_it(desk: Desk, tides: Fields) -> None:
    desk.engine.behave = FeatureEngine().behave
    (citation,) = ask(desk, tides, ASKED)["bookwheel"]["citations"]
    assert "choice" not in citation


# Answers that are no prose


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_in_json_is_cited_and_stays_json(desk: Desk, tides: Fields, stream: bool) -> None:
    desk.engine.behave = FeatureEngine().behave
    answer = ask(desk, tides, ASKED, stream=stream, response_format={"type": "json_object"})
    said = answer["choices"][0]["message"]["content"]
    assert json.loads(said) == {"answer": FIRST}
    (citation,) = answer["bookwheel"]["citations"]
    assert citation["quote"] == FIRST
    assert FIRST in said[citation["answer_start"] : citation["answer_end"]]


@pytest.mark.parametrize("stream", [False, True])
def test_calls_have_no_citations(desk: Desk, tides: Fields, stream: bool) -> None:
    desk.engine.behave = FeatureEngine().behave
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    answer = ask(desk, tides, ASKED, stream=stream, tools=[tool], tool_choice="required")
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "look_up", "arguments": "{}"}
    assert answer["bookwheel"]["citations"] == []


def test_thoughts_before_an_answer_are_not_cited(desk: Desk, tides: Fields) -> None:
    thoughts = "<think>\n" + "I read that at Brest it rises 6.1 metres at the equinox. " * 60 + "</think>\n"
    message = {"role": "assistant", "content": thoughts + FIRST}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    desk.engine.behave = answer_object({"id": "1", "object": "chat.completion", "created": 1, "choices": choices})
    answer = ask(desk, tides, ASKED)
    said = answer["choices"][0]["message"]["content"]
    (citation,) = answer["bookwheel"]["citations"]
    assert said[citation["answer_start"] : citation["answer_end"]] == citation["quote"] == FIRST


def test_annotations_of_the_engines_own_stay(desk: Desk, tides: Fields) -> None:
    link = {"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "Tides"}}
    message = {"role": "assistant", "content": FIRST, "annotations": [link]}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    desk.engine.behave = answer_object({"id": "1", "object": "chat.completion", "created": 1, "choices": choices})
    own, ours = ask(desk, tides, ASKED)["choices"][0]["message"]["annotations"]
    assert own == link
    assert (ours["type"], ours["quote"]) == ("file_citation", FIRST)


# What is around the documents


def test_the_question_of_a_second_round_is_the_last_that_the_user_asked(desk: Desk) -> None:
    text = "\n".join(f"Mill number {n} was built by miller {n}." for n in range(2_000))
    mills = {"role": "system", "content": f"fileid://{desk.upload('mills.txt', text)}"}
    asked = {"role": "user", "content": "Who built mill number 1234?"}
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    found = {"role": "tool", "tool_call_id": "call_0", "content": "The register says nothing of mill number 77."}
    ask(desk, mills, asked, called, found, model="narrow")
    shown, *turns = desk.engine.requests[-1]["messages"]
    assert "Mill number 1234 " in content_of(shown)
    assert turns == [asked, called, found]


def test_marks_on_parts_of_the_role_reach_the_engine(desk: Desk, tides: Fields) -> None:
    marked = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
    ask(desk, {"role": "system", "content": [marked]}, tides, ASKED)
    opening = desk.engine.requests[-1]["messages"][0]
    assert opening["content"][0] == marked
    assert TIDES in opening["content"][1]["text"]


def test_a_picture_has_room_beside_documents_that_fill_the_window(desk: Desk) -> None:
    long = {"role": "system", "content": f"fileid://{desk.upload('long.txt', TIDES * 1_000)}"}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    seen = {"role": "user", "content": [{"type": "text", "text": "Is this the tide at Brest?"}, picture]}
    without, beside = (
        ask(desk, long, asked, model="narrow")["bookwheel"]["context"]["selected_tokens"]
        for asked in ({"role": "user", "content": "Is this the tide at Brest?"}, seen)
    )
    assert beside <= without - 1_000


# How streams end


def stream_of(desk: Desk, tides: Fields, *chunks: Fields) -> list[Fields]:
    desk.engine.behave = stream_pieces([event(one) for one in chunks] + [event(b"[DONE]")])
    chat: Any = desk.client.chat.completions
    told = chat.create(model="qwen-long", messages=[tides, ASKED], stream=True, stream_options={"include_usage": True})
    return [one.model_dump(exclude_unset=True) for one in told]


def test_a_stream_that_does_not_say_why_it_ended_has_its_report_and_usage(desk: Desk, tides: Fields) -> None:
    *_, last = stream_of(desk, tides, chunk({"role": "assistant", "content": ""}), chunk({"content": FIRST}))
    assert last["choices"] == []
    assert last["bookwheel"]["context"]["coverage"] == 1.0
    assert last["usage"]["completion_tokens"] > 5


def test_a_stream_that_says_nothing_ends(desk: Desk, tides: Fields) -> None:
    assert stream_of(desk, tides) == []


def test_usage_on_every_chunk_does_not_hold_the_first_back(desk: Desk, tides: Fields) -> None:
    release = threading.Event()
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}
    opening = event(chunk({"role": "assistant", "content": ""}) | usage)
    desk.engine.behave = hold_after(opening, release, event(chunk({}, "stop") | usage) + event(b"[DONE]"))
    chat: Any = desk.client.chat.completions
    told = iter(chat.create(model="qwen-long", messages=[tides, ASKED], stream=True))
    assert next(told).choices[0].delta.role == "assistant"  # while the engine is silent
    release.set()
    assert [one.choices[0].finish_reason for one in told] == ["stop"]


def hold_after(opening: bytes, release: threading.Event, ending: bytes) -> Callable[..., Any]:
    """Stream the opening, and the ending when the event is set."""

    async def behave(request: web.Request, _body: Fields) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(opening)
        await asyncio.to_thread(release.wait, 10)
        await response.write(ending)
        return response

    return behave


# Engines that are no models


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "field",
    [
        {"n": 2},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
        {"tool_choice": "required", "tools": []},
    ],
    ids=lambda field: next(iter(field)),
)
def test_what_quotes_cannot_be_is_refused(desk: Desk, tides: Fields, field: Fields, stream: bool) -> None:
    with pytest.raises(BadRequestError, match="writes text and nothing else") as caught:
        ask(desk, tides, ASKED, model="quotes", stream=stream, **field)
    assert caught.value.param == next(iter(field))
