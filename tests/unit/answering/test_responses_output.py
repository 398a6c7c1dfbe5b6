"""A response says what the engine said, whole and event by event alike, whatever pieces the engine says it in."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.answering.responses_output import ResponseDraft
from bookwheel.errors import ApiError, EngineRefused, EngineUnreachable, InvalidRequest, RateLimited
from bookwheel.wire.chat import BookwheelReport, Citation, ContextReport
from bookwheel.wire.responses import ResponseEvent, ResponseObject, ResponsesBody

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 5,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 7},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
CITATION = Citation(
    file_id="file-fe-1", filename="a.txt", quote="Hi there.", anchor="line 1", start=2, end=11, answer_start=0, answer_end=5
)  # fmt: skip
CONTEXT = ContextReport(
    reading="full", reason="", window_tokens=1, budget_tokens=1, document_tokens=1, selected_tokens=1, coverage=1.0,
    files=[], milliseconds={}, engine="e",
)  # fmt: skip


def asked(**fields: Any) -> ResponsesBody:
    return msgspec.convert({"model": "qwen-long", "input": "Hi"} | fields, ResponsesBody)


def piece(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]} | more


def call(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}]}


def stream(*chunks: dict[str, Any], **fields: Any) -> tuple[list[ResponseEvent], ResponseObject]:
    draft = ResponseDraft(asked(**fields))
    events = [event for chunk in chunks for event in draft.add([chunk])]
    return [*events, *draft.end()], draft.response


def complete(message: dict[str, Any], finish_reason: str = "stop", **more: Any) -> ResponseObject:
    draft = ResponseDraft(asked())
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish_reason}
    draft.add_completion({"choices": [choice]} | more)
    draft.end()
    return draft.response


def named(events: Sequence[ResponseEvent]) -> list[str]:
    return [str(event.__struct_config__.tag).removeprefix("response.") for event in events]


def as_json(value: Any) -> Any:
    return msgspec.to_builtins(value)


def without_ids(response: ResponseObject) -> Any:
    """As JSON, without what no two responses share."""
    fields = as_json(response)
    items = [{name: value for name, value in item.items() if name != "id"} for item in fields["output"]]
    return fields | {"output": items, "id": "", "created_at": 0, "completed_at": 0}


def test_a_text_is_told_in_order_and_is_whole_in_the_end() -> None:
    events, response = stream(
        piece({"role": "assistant", "content": ""}),
        piece({"content": "Hel"}),
        piece({"content": "lo"}),
        piece({}, "stop"),
    )
    assert (
        named(events)
        == (
            "created in_progress output_item.added content_part.added output_text.delta output_text.delta output_text.done "
            "content_part.done output_item.done completed"
        ).split()
    )
    assert [event.sequence_number for event in events] == list(range(10))
    assert [told["delta"] for told in as_json(events) if "delta" in told] == ["Hel", "lo"]
    (item,) = as_json(response)["output"]
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    expected = {"type": "message", "id": item["id"], "status": "completed", "role": "assistant", "content": [part]}
    assert item == expected
    assert as_json(events[-2])["item"] == item
    assert as_json(events[-1])["response"] == as_json(response)


def test_every_event_of_an_item_names_it() -> None:
    events, response = stream(
        piece({"reasoning_content": "Hm."}), piece({"content": "So"}), piece(call(0, "a", "f", "{}"))
    )
    told = as_json(events)
    for number, item in enumerate(as_json(response)["output"]):
        own = [event for event in told if event.get("output_index") == number]
        assert {event.get("item_id") or event["item"]["id"] for event in own} == {item["id"]}
        assert (own[0]["type"], own[0]["item"]["status"]) == ("response.output_item.added", "in_progress")
        assert (own[-1]["type"], own[-1]["item"]) == ("response.output_item.done", item)


def test_the_first_events_have_a_response_that_says_nothing_yet() -> None:
    events, response = stream(piece({"content": "Hi"}), instructions="Be brief.", metadata={"a": "b"})
    created, in_progress = (as_json(event)["response"] for event in events[:2])
    assert created == in_progress
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
    assert (created["instructions"], created["metadata"], created["store"]) == ("Be brief.", {"a": "b"}, False)
    assert created["id"] == response.id


def test_thinking_is_an_item_of_its_own_that_ends_when_the_answer_begins() -> None:
    events, response = stream(
        piece({"reasoning_content": "H"}),
        piece({"reasoning_content": "m."}),
        piece({"content": "So"}),
        piece({}, "stop"),
    )
    assert (
        named(events)[2:12]
        == (
            "output_item.added content_part.added reasoning_text.delta reasoning_text.delta reasoning_text.done "
            "content_part.done output_item.done output_item.added content_part.added output_text.delta"
        ).split()
    )
    reasoning, message = as_json(response)["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert (reasoning["type"], reasoning["summary"], message["type"]) == ("reasoning", [], "message")


def test_what_some_engines_call_reasoning_is_thinking_too() -> None:
    assert as_json(complete({"reasoning": "Hm.", "content": "So"}))["output"][0]["content"][0]["text"] == "Hm."


def test_a_refusal_is_a_part_of_the_message() -> None:
    events, response = stream(piece({"refusal": "I will"}), piece({"refusal": " not."}), piece({}, "stop"))
    assert "refusal.delta refusal.delta refusal.done content_part.done" in " ".join(named(events))
    (item,) = as_json(response)["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "I will not."}]


def test_function_calls_are_items_with_their_arguments_piece_by_piece() -> None:
    events, response = stream(
        piece(call(0, "call_a", "tide", "")),
        piece(call(0, None, None, '{"at":')),
        piece(call(0, None, None, '"Dover"}')),
        piece(call(1, "call_b", "moon", "{}")),
        piece({}, "tool_calls"),
    )
    deltas = [as_json(event)["delta"] for event in events if named([event]) == ["function_call_arguments.delta"]]
    assert deltas == ['{"at":', '"Dover"}', "{}"]
    calls = [(item["call_id"], item["name"], item["arguments"]) for item in as_json(response)["output"]]
    assert calls == [("call_a", "tide", '{"at":"Dover"}'), ("call_b", "moon", "{}")]
    assert response.status == "completed"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([call(0, "a", "f", "{}"), call(0, "b", "g", "{}")], [("a", "f", "{}"), ("b", "g", "{}")]),
        ([call(0, "a", "f", "{"), call(0, "b", None, "}")], [("a", "f", "{}")]),
        ([call(0, "a", "f", "{"), call(0, "a", "f", "}")], [("a", "f", "{}")]),
        (
            [call(None, "a", "f", "{"), call(None, None, None, "}"), call(None, "b", "g", "{}")],
            [("a", "f", "{}"), ("b", "g", "{}")],
        ),
        ([call(0, "a", None, None), call(0, None, "f", "{}")], [("a", "f", "{}")]),
        ([call(0, "a", "f", {"at": "Dover"})], [("a", "f", '{"at":"Dover"}')]),
    ],
    ids=["one index for all", "a new id in every piece", "the name in every piece", "no index", "a late name", "an object"],
)  # fmt: skip
def test_calls_are_told_apart_however_engines_number_them(pieces: list[dict[str, Any]], expected: list[Any]) -> None:
    _, response = stream(*map(piece, pieces), piece({}, "tool_calls"))
    assert [(item["call_id"], item["name"], item["arguments"]) for item in as_json(response)["output"]] == expected


def test_a_call_without_an_id_gets_one() -> None:
    _, response = stream(piece(call(0, None, "tide", "{}")))
    assert as_json(response)["output"][0]["call_id"].startswith("call_")


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_off_is_incomplete_and_so_is_its_last_item(finish_reason: str, reason: str) -> None:
    events, response = stream(piece({"reasoning_content": "Hm."}), piece({"content": "So"}), piece({}, finish_reason))
    assert named(events)[-1] == "incomplete"
    assert (response.status, as_json(response.incomplete_details)) == ("incomplete", {"reason": reason})
    assert [item.status for item in response.output] == ["completed", "incomplete"]
    assert response.completed_at is None


def test_an_answer_that_was_cut_off_while_thinking_has_no_message() -> None:
    _, response = stream(piece({"reasoning_content": "Hm"}), piece({}, "length"))
    assert [(item["type"], item["status"]) for item in as_json(response)["output"]] == [("reasoning", "incomplete")]


@pytest.mark.parametrize(
    "chunks", [[], [piece({"content": ""})], [piece({"reasoning_content": "Hm"}), piece({}, "stop")]]
)
def test_an_engine_that_says_nothing_has_an_empty_message(chunks: list[dict[str, Any]]) -> None:
    events, response = stream(*chunks)
    assert as_json(response)["output"][-1]["content"][0]["text"] == ""
    assert named(events)[-1] == "completed"
    assert named(events).count("output_text.delta") == 0


def test_usage_is_told_in_a_response_s_words() -> None:
    _, response = stream(piece({"content": "Hi"}), piece({}, "stop"), {"choices": [], "usage": USAGE})
    assert as_json(response.usage) == {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 16,
    }


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": "x", "prompt_tokens_details": 7}, {"prompt_tokens": None}, "much", 7]
)
def test_usage_that_is_none_does_no_harm(usage: Any) -> None:
    _, response = stream(piece({"content": "Hi"}, "stop"), {"choices": [], "usage": usage})
    assert response.usage is None or response.usage.total_tokens == 0


def test_citations_are_told_before_the_text_is_done_and_stand_in_it() -> None:
    report = BookwheelReport(context=CONTEXT, citations=[CITATION, msgspec.structs.replace(CITATION, file_id=None)])
    events, response = stream(piece({"content": "Hi!"}), piece({}, "stop", bookwheel=report))
    assert (
        named(events)[-6:]
        == (
            "output_text.annotation.added output_text.annotation.added output_text.done content_part.done output_item.done "
            "completed"
        ).split()
    )
    first, second = as_json(response)["output"][0]["content"][0]["annotations"]
    expected = as_json(CITATION) | {"type": "file_citation", "index": CITATION.answer_end}
    assert first == expected
    assert second == expected | {"file_id": ""}
    assert [as_json(event)["annotation_index"] for event in events[-6:-4]] == [0, 1]
    assert as_json(response)["bookwheel"]["citations"][1]["file_id"] is None


def test_a_report_that_an_engine_sends_is_not_ours() -> None:
    _, response = stream(piece({"content": "Hi"}, "stop", bookwheel={"citations": [{"quote": "x"}]}))
    assert "bookwheel" not in as_json(response)


def test_log_probabilities_stand_beside_their_text() -> None:
    top = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
    token = {"token": "Hi", "logprob": -0.1, "bytes": None, "top_logprobs": [top]}
    chunk = piece({"content": "Hi"}, "stop")
    chunk["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    events, response = stream(chunk)
    shown = token | {"bytes": []}
    assert as_json(response)["output"][0]["content"][0]["logprobs"] == [shown]
    assert as_json(events[4])["logprobs"] == [shown]


def test_of_several_choices_the_first_counts() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "No"}, "finish_reason": "length"}]}
    _, response = stream(piece({"content": "Yes"}), other, piece({}, "stop"), other)
    assert as_json(response)["output"][0]["content"][0]["text"] == "Yes"
    assert response.status == "completed"


# An answer that breaks off


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineUnreachable("Gone."), "server_error"),
        (InvalidRequest("Wrong.", param="input"), "invalid_prompt"),
        (RateLimited("Slow down.", 2), "rate_limit_exceeded"),
        (EngineRefused(502, {"message": "On fire.", "code": "fire", "type": "server_error"}), "server_error"),
    ],
)
def test_a_failure_has_what_there_was_and_then_an_error_that_clients_raise(error: ApiError, code: str) -> None:
    draft = ResponseDraft(asked())
    draft.add([piece({"content": "Half"})])
    failed, told = map(as_json, draft.fail(error, "request-1"))
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": code, "message": error.message}
    (item,) = failed["response"]["output"]
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "Half")
    assert told["sequence_number"] == failed["sequence_number"] + 1
    assert (told["type"], told["error"], told["request_id"]) == ("error", error.as_error_object(), "request-1")
    assert (told["message"], told["code"], told["param"]) == (
        error.message,
        error.as_error_object()["code"],
        error.as_error_object()["param"],
    )


def test_a_failure_before_the_first_word_is_told_of_a_response_that_began() -> None:
    events = ResponseDraft(asked()).fail(EngineUnreachable("Gone."), "request-1")
    assert named(events) == ["created", "in_progress", "failed", "error"]


def test_what_has_ended_does_not_fail() -> None:
    draft = ResponseDraft(asked())
    draft.add([piece({"content": "Hi"}, "stop")])
    draft.end()
    assert draft.fail(EngineUnreachable("Gone."), "request-1") == []
    assert draft.response.status == "completed"


# Whatever comes


MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "content": st.text(max_size=12),
        "reasoning_content": st.text(max_size=12),
        "refusal": st.text(max_size=12),
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.uuids().map(str),
                    "type": st.just("function"),
                    "function": st.fixed_dictionaries({"name": st.just("tide"), "arguments": st.text(max_size=12)}),
                }
            ),
            max_size=3,
        ),
    },
)


def cut(message: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """A message's deltas: its texts in pieces of a size, its calls as engines stream them."""
    texts = [name for name in ("reasoning_content", "content", "refusal") if name in message]
    deltas: list[dict[str, Any]] = [
        {name: message[name][start : start + size]} for name in texts for start in range(0, len(message[name]), size)
    ]
    for number, made in enumerate(message.get("tool_calls", ())):
        arguments = made["function"]["arguments"]
        deltas.append(call(number, made["id"], "tide", arguments[:size]))
        deltas += [
            call(number, None, None, arguments[start : start + size]) for start in range(size, len(arguments), size)
        ]
    return deltas


@given(MESSAGES, st.integers(1, 5), st.sampled_from(["stop", "length", "tool_calls"]))
def test_a_streamed_response_is_the_same_as_a_whole_one(message: dict[str, Any], size: int, finish_reason: str) -> None:
    whole = complete(message, finish_reason, usage=USAGE)
    deltas = [piece(delta) for delta in cut(message, size)]
    events, streamed = stream(*deltas, piece({}, finish_reason), {"choices": [], "usage": USAGE})
    assert without_ids(streamed) == without_ids(whole)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert named(events).count("output_item.added") == named(events).count("output_item.done") == len(streamed.output)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("id index function name arguments content top_logprobs".split()), inner)
    ),
    max_leaves=6,
)
DELTA = st.dictionaries(
    st.sampled_from("reasoning_content reasoning refusal tool_calls role".split()), ANYTHING
) | st.builds(lambda text: {"content": text}, st.none() | st.text(max_size=5))
CHUNK = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries(
                {"delta": DELTA | st.none()},
                optional={"index": ANYTHING, "finish_reason": ANYTHING, "logprobs": ANYTHING},
            ),
            max_size=2,
        )
    },
    optional={"usage": ANYTHING, "bookwheel": ANYTHING},
)


@given(st.lists(CHUNK, max_size=4))
def test_whatever_an_engine_streams_becomes_a_response_of_its_shape(chunks: list[dict[str, Any]]) -> None:
    events, response = stream(*chunks)
    for event in events:
        msgspec.json.decode(msgspec.json.encode(event), type=cast("type[ResponseEvent]", ResponseEvent))
    assert response.status in ("completed", "incomplete")
