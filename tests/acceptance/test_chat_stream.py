"""A reader watches the answer come: a stream's chunks one by one, its waiting, and its end when the reader leaves."""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import APIError, APIStatusError, BadRequestError

from support.engine import Desk, answer_words, chunk, event, hold_until, open_desk, stream_pieces, wait_until

ROLE = "You are a helpful assistant."
TIDES = "The tide at Dover rises 6.7 metres in spring.\nNeap tides rise only 3.2 metres there.\n"
USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Uploads answer at once, questions wait for as long as it takes, with a comment every 100 ms."""
    settings = {"ingest": {"upload_wait_seconds": 0, "workers": 1}, "server": {"keep_alive_seconds": 0.1}}
    with open_desk(tmp_path_factory.mktemp("desk"), settings) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    shared_desk.engine.reset()
    return shared_desk


@pytest.fixture
def tides(desk: Desk) -> str:
    return desk.upload("tides.txt", TIDES)


def about(file_id: str, question: str = "How high?") -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": ROLE},
        {"role": "system", "content": f"fileid://{file_id}"},
        {"role": "user", "content": question},
    ]


def stream(desk: Desk, messages: list[dict[str, Any]], model: str = "qwen-long", **options: Any) -> Any:
    return desk.client.chat.completions.create(model=model, messages=messages, stream=True, **options)  # type: ignore[call-overload]


def chunks_of(answer: Any) -> list[dict[str, Any]]:
    return [chunk.model_dump(exclude_unset=True) for chunk in answer]


def post(desk: Desk, body: dict[str, Any]) -> http.client.HTTPConnection:
    """Send a question over a connection of its own, which the test may read from or close at any time."""
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    headers = {"content-type": "application/json", "authorization": "Bearer any"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection


def question(messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"model": "qwen-long", "messages": messages} | more


# The sequence of chunks


@pytest.mark.parametrize("prefix", ["/compatible-mode/v1", "/v1"])
@pytest.mark.parametrize("model", ["qwen-long", "qwen-long-latest", "fake", "quotes"])
def test_a_stream_opens_with_the_role_goes_on_with_text_finishes_and_ends_with_the_usage(
    desk: Desk, tides: str, prefix: str, model: str
) -> None:
    client = desk.new_client(prefix)
    answer = client.chat.completions.create(  # type: ignore[call-overload]
        model=model, messages=about(tides), stream=True, stream_options={"include_usage": True}
    )
    first, *texts, finish, usage = chunks_of(answer)
    every = [first, *texts, finish, usage]
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in every} == {
        (first["id"], "chat.completion.chunk", first["created"], model)
    }
    assert all(len(c["choices"]) == 1 and c["choices"][0]["index"] == 0 for c in [first, *texts, finish])
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(list(c["choices"][0]["delta"]) == ["content"] for c in texts)
    assert finish["choices"][0]["delta"] == {}
    assert [c["choices"][0]["finish_reason"] for c in [first, *texts, finish]] == [None] * (1 + len(texts)) + ["stop"]
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + usage["usage"]["completion_tokens"] > 0
    assert not any(c.get("usage") for c in [first, *texts, finish])
    assert [c for c in every if "bookwheel" in c] == [usage]
    assert usage["bookwheel"]["context"]["files"][0]["file_id"] == tides


@pytest.mark.parametrize("model", ["qwen-long", "fake", "quotes"])
def test_a_streamed_answer_says_the_same_as_a_whole_one(desk: Desk, tides: str, model: str) -> None:
    whole = desk.client.chat.completions.create(model=model, messages=about(tides))  # type: ignore[call-overload]
    streamed = chunks_of(stream(desk, about(tides), model))
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in streamed)
    assert text == whole.choices[0].message.content
    context = streamed[-1]["bookwheel"]["context"]
    assert {**context, "milliseconds": None} == {**whole.bookwheel["context"], "milliseconds": None}


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}, {"stream_options": {}}])
@pytest.mark.parametrize("model", ["qwen-long", "fake", "quotes"])
def test_without_include_usage_the_finish_is_the_last_chunk_and_no_usage_is_told(
    desk: Desk, tides: str, model: str, options: dict[str, Any]
) -> None:
    chunks = chunks_of(stream(desk, about(tides), model, **options))
    assert all(c["choices"] for c in chunks)
    assert not any(c.get("usage") for c in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["bookwheel"]["context"]["coverage"] == 1.0


def test_a_stream_without_documents_carries_only_what_the_engine_sent(desk: Desk) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    chunks = chunks_of(stream(desk, messages, stream_options={"include_usage": True}))
    sent = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hello"}),
        chunk({"content": " world"}),
        chunk({}, "stop"),
        chunk({}) | {"choices": [], "usage": USAGE},
    ]
    assert chunks == [c | {"model": "qwen-long"} for c in sent]


def test_the_bytes_of_a_stream_are_server_sent_events_that_end_with_done(desk: Desk, tides: str) -> None:
    connection = post(desk, question(about(tides), stream=True, stream_options={"include_usage": True}))
    response = connection.getresponse()
    raw = response.read().replace(b": keep-alive\n\n", b"")
    connection.close()
    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert len(response.headers["x-request-id"]) == 36
    *events, end, rest = raw.split(b"\n\n")
    assert (end, rest) == (b"data: [DONE]", b"")
    assert all(e.startswith(b"data: {") and b"\n" not in e for e in events)
    assert [json.loads(e[6:])["choices"] == [] for e in events] == [False] * (len(events) - 1) + [True]


def test_reasoning_and_tool_calls_in_a_stream_come_back_untouched(desk: Desk, tides: str) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at"'}}
    sent = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "Hm."}),
        chunk({"tool_calls": [call]}),
        chunk({"content": "So", "x_vendor": {"a": 1}}),
        chunk({}, "tool_calls"),
    ]
    desk.engine.behave = stream_pieces([*map(event, sent), event(b"[DONE]")])
    came = chunks_of(stream(desk, about(tides)))
    assert came[-1].pop("bookwheel")
    assert came == [c | {"model": "qwen-long"} for c in sent]


def test_two_answers_side_by_side_keep_their_indexes_and_the_report_stands_on_the_last_chunk(
    desk: Desk, tides: str
) -> None:
    def of(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        one = chunk(delta, finish_reason)
        one["choices"][0]["index"] = index
        return one

    sent = [
        of(0, {"content": "A"}),
        of(1, {"content": "B"}),
        of(0, {}, "stop"),
        of(1, {"content": "b"}),
        of(1, {}, "stop"),
    ]
    desk.engine.behave = stream_pieces([*map(event, sent), event(b"[DONE]")])
    came = chunks_of(stream(desk, about(tides), n=2))
    assert ["bookwheel" in c for c in came] == [False, False, False, False, True]
    came[-1].pop("bookwheel")
    assert came == [c | {"model": "qwen-long"} for c in sent]


def test_citations_come_on_the_last_chunk_when_asked_for(desk: Desk, tides: str) -> None:
    options = {"stream_options": {"include_usage": True}, "extra_body": {"bookwheel": {"citations": True}}}
    chunks = chunks_of(stream(desk, about(tides, "How high do neap tides rise?"), "quotes", **options))
    citations = chunks[-1]["bookwheel"]["citations"]
    text = desk.client.files.content(tides).text
    assert "3.2 metres" in "".join(citation["quote"] for citation in citations)
    assert all(text[c["start"] : c["end"]] == c["quote"] for c in citations)
    assert not any("bookwheel" in c for c in chunks[:-1])


# What goes wrong before and after the first chunk


def test_what_is_wrong_before_the_first_byte_has_its_own_status(desk: Desk) -> None:
    unknown = "file-fe-" + "x" * 24
    with pytest.raises(BadRequestError) as caught:
        stream(desk, about(unknown))
    assert caught.value.body["message"] == f"Invalid file [id:{unknown}]."  # type: ignore[index]


def test_an_engine_that_fails_in_mid_stream_raises_in_the_client_after_what_came(desk: Desk, tides: str) -> None:
    opening = [event(chunk({"role": "assistant", "content": ""})), event(chunk({"content": "Half"}))]
    failed = event({"error": {"message": "The GPU is on fire.", "type": "server_error", "code": "fire"}})
    desk.engine.behave = stream_pieces([*opening, failed])
    answer = stream(desk, about(tides))
    assert [next(answer).choices[0].delta.content for _ in range(2)] == ["", "Half"]
    with pytest.raises(APIError, match="The GPU is on fire"):
        next(answer)


# Waiting


def test_a_stream_that_has_nothing_to_say_is_kept_alive_with_comments(desk: Desk, tides: str) -> None:
    release = threading.Event()
    desk.engine.behave = hold_until(release, answer_words(["At last"]))
    connection = post(desk, question(about(tides), stream=True))
    response = connection.getresponse()
    assert response.readline() == b": keep-alive\n"
    assert response.readline() == b"\n"
    release.set()
    events = [part for part in response.read().split(b"\n\n") if part.startswith(b"data: ")]
    connection.close()
    assert events[-1] == b"data: [DONE]"
    assert json.loads(events[1][6:])["choices"][0]["delta"]["content"] == "At last"


def test_the_stock_client_sees_no_comment(desk: Desk, tides: str) -> None:
    release = threading.Event()
    desk.engine.behave = hold_until(release, answer_words(["At last"]))
    answer = stream(desk, about(tides))  # returns when the first comment has opened the response
    release.set()
    assert [c["choices"][0]["delta"].get("content") for c in chunks_of(answer)] == ["", "At last", None]


def test_an_error_after_a_comment_is_an_event_that_the_client_raises(desk: Desk) -> None:
    release = threading.Event()
    desk.engine.behave = hold_until(release, stream_pieces([]))
    answer = stream(desk, [{"role": "user", "content": "Hi"}])
    release.set()
    with pytest.raises(APIError, match="The engine recording closed the stream before its end"):
        next(answer)


# A reader who leaves


def test_leaving_in_the_middle_of_a_stream_stops_the_engine(desk: Desk, tides: str) -> None:
    opening = [event(chunk({"role": "assistant", "content": ""})), event(chunk({"content": "Once"}))]
    desk.engine.behave = hold_until(threading.Event(), answer_words([]), opening)
    answer = stream(desk, about(tides))
    assert next(answer).choices[0].delta.content == ""
    answer.close()
    assert desk.engine.cancelled.wait(30)


@pytest.mark.parametrize("streamed", [False, True])
def test_leaving_before_the_first_word_stops_the_engine(desk: Desk, tides: str, streamed: bool) -> None:
    desk.engine.behave = hold_until(threading.Event(), answer_words([]))
    connection = post(desk, question(about(tides), stream=streamed))
    assert desk.engine.started.wait(30)
    connection.close()
    assert desk.engine.cancelled.wait(30)


# Files that are still being read


@pytest.fixture(scope="module")
def hasty_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Uploads answer at once, questions wait for 10 ms only."""
    settings = {"ingest": {"upload_wait_seconds": 0, "chat_wait_seconds": 0.01, "workers": 1}}
    with open_desk(tmp_path_factory.mktemp("hasty"), settings) as opened:
        yield opened


LONG_LOG = "".join(f"Line {number} of a long log that says little.\n" for number in range(25_000))
"""It takes far longer to read than a question takes to arrive."""


def upload_unread(desk: Desk) -> str:
    desk.engine.reset()
    file = desk.client.files.create(file=("log.txt", LONG_LOG.encode()), purpose="file-extract")
    assert file.status == "uploaded"
    return file.id


def logged(desk: Desk, request_id: str) -> list[dict[str, Any]]:
    return [e for e in desk.server.log_events() if e["action"] == "request" and e["request_id"] == request_id]


def test_a_question_waits_for_a_file_that_is_still_being_read(desk: Desk) -> None:
    file_id = upload_unread(desk)
    answer = desk.client.chat.completions.create(model="fake", messages=about(file_id))  # type: ignore[arg-type]
    assert f"log.txt ({len(LONG_LOG)} characters)" in (answer.choices[0].message.content or "")


def test_a_streamed_question_is_kept_alive_while_its_file_is_being_read(desk: Desk) -> None:
    file_id = upload_unread(desk)
    connection = post(desk, question(about(file_id), model="fake", stream=True))
    raw = connection.getresponse().read()
    connection.close()
    assert raw.startswith(b": keep-alive\n\n")
    events = [json.loads(part[6:]) for part in raw.split(b"\n\n") if part.startswith(b"data: {")]
    assert events[-1]["bookwheel"]["context"]["files"][0]["file_id"] == file_id
    assert raw.endswith(b"data: [DONE]\n\n")


def test_leaving_while_a_file_is_being_read_asks_the_engine_nothing(desk: Desk) -> None:
    file_id = upload_unread(desk)
    connection = post(desk, question(about(file_id), stream=True))
    response = connection.getresponse()
    assert response.readline() == b": keep-alive\n"  # it waits
    response.close()
    connection.close()
    wait_until(lambda: logged(desk, response.headers["x-request-id"]))
    assert desk.client.files.wait_for_processing(file_id, poll_interval=0.1).status == "processed"
    assert desk.engine.requests == []


def test_leaving_without_having_heard_anything_is_logged_as_such(desk: Desk) -> None:
    file_id = upload_unread(desk)
    headers = {"content-type": "application/json", "x-request-id": "left-early-1"}
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(question(about(file_id))), headers)
    connection.close()
    (event_logged,) = wait_until(lambda: logged(desk, "left-early-1"))
    assert event_logged["status"] == 499
    assert desk.engine.requests == []


def test_a_file_deleted_while_a_question_waits_for_it_cannot_be_found(desk: Desk) -> None:
    file_id = upload_unread(desk)
    answer = stream(desk, about(file_id))  # returns when the first comment has opened the response
    desk.client.files.delete(file_id)
    with pytest.raises(APIError) as caught:
        next(answer)
    assert caught.value.message == f"File [id:{file_id}] cannot be found."


def test_a_wait_that_runs_out_tells_clients_to_try_again(hasty_desk: Desk) -> None:
    file_id = upload_unread(hasty_desk)
    for streamed in (False, True):
        with pytest.raises(APIStatusError) as caught:
            hasty_desk.client.chat.completions.create(model="fake", messages=about(file_id), stream=streamed)  # type: ignore[call-overload]
        assert caught.value.status_code == 400
        assert caught.value.body["message"] == "File parsing in progress, please try again later."  # type: ignore[index]
        assert caught.value.code == "invalid_parameter_error"
        assert caught.value.response.headers["x-should-retry"] == "true"
        assert int(caught.value.response.headers["retry-after"]) > 0


def test_the_stock_client_tries_again_by_itself_until_the_file_is_read(hasty_desk: Desk) -> None:
    file_id = upload_unread(hasty_desk)
    trying = hasty_desk.new_client(max_retries=5)
    headers = {"x-request-id": "tries-again-1"}
    answer = trying.chat.completions.create(model="fake", messages=about(file_id), extra_headers=headers)  # type: ignore[arg-type]
    assert f"log.txt ({len(LONG_LOG)} characters)" in (answer.choices[0].message.content or "")

    def statuses() -> list[int]:
        return [entry["status"] for entry in logged(hasty_desk, "tries-again-1")]

    wait_until(lambda: 200 in statuses())  # the last line may come after the answer
    assert statuses() == [400] * (len(statuses()) - 1) + [200]
    assert len(statuses()) > 1
