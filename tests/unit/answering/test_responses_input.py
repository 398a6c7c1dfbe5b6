"""A Responses request becomes the chat request that means the same; what means nothing here is refused by its name."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.answering.responses_input import as_chat, in_own_words, refuse_unsupported
from bookwheel.errors import InvalidRequest
from bookwheel.wire.chat import ChatBody
from bookwheel.wire.responses import ResponsesBody

HI = {"role": "user", "content": "Hi"}
FILE = {"type": "input_file", "file_id": "file-fe-1"}
AS_FILE = {"type": "file", "file": {"file_id": "file-fe-1"}}
CALL = {"type": "function_call", "call_id": "call_1", "name": "tide", "arguments": '{"at": "Dover"}'}
AS_CALL = {"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": '{"at": "Dover"}'}}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "6.7 metres"}
AS_OUTPUT = {"role": "tool", "tool_call_id": "call_1", "content": "6.7 metres"}
TOOL = {"type": "function", "name": "tide", "description": "How high", "parameters": {"type": "object"}, "strict": True}
AS_TOOL = {
    "type": "function",
    "function": {"name": "tide", "description": "How high", "parameters": {"type": "object"}, "strict": True},
}


def thought(text: str) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
    }


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def chat_of(**fields: Any) -> dict[str, Any]:
    body = {"model": "qwen-long", "input": "Hi"} | fields
    refuse_unsupported(body)
    return as_chat(msgspec.convert(body, ResponsesBody), body)


def messages_of(*items: Any, **fields: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = chat_of(input=list(items), **fields)["messages"]
    return messages


def refusal(**fields: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as raised:
        chat_of(**fields)
    return raised.value.message, raised.value.param


# What was said


def test_a_string_is_a_user_s_message_and_the_instructions_are_the_role() -> None:
    assert chat_of(instructions="Be brief.") == {
        "model": "qwen-long",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "bookwheel": {"citations": True},
    }


@pytest.mark.parametrize("content", ["Hi", [{"type": "input_text", "text": "Hi"}]])
@pytest.mark.parametrize("kind", [{"type": "message"}, {}])
def test_a_message_with_one_text_is_that_text_with_or_without_its_type(content: Any, kind: dict[str, str]) -> None:
    assert messages_of(kind | {"role": "user", "content": content}) == [HI]


def test_every_system_and_developer_message_joins_the_one_role_wherever_it_stands() -> None:
    late = {"role": "developer", "content": [{"type": "input_text", "text": "In English."}]}
    messages = messages_of(
        {"role": "system", "content": "Be kind."}, HI, said("Ho"), late, HI, instructions="Be brief."
    )
    assert messages[0] == {"role": "system", "content": "Be brief.\n\nBe kind.\n\nIn English."}
    assert [message["role"] for message in messages[1:]] == ["user", "assistant", "user"]


def test_several_parts_of_a_user_stay_parts_in_chat_s_words() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low", "file_id": None}
    audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    (message,) = messages_of({"role": "user", "content": [{"type": "input_text", "text": "See"}, image, audio]})
    assert message["content"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        audio,
    ]


def test_what_the_assistant_said_and_refused_to_say_is_its_text() -> None:
    parts = [{"type": "output_text", "text": "I know, "}, {"type": "refusal", "refusal": "but I do not tell."}]
    assert messages_of({"role": "assistant", "content": parts}, HI)[0] == {
        "role": "assistant",
        "content": "I know, but I do not tell.",
    }


# Documents


def test_files_stand_before_the_question_that_they_came_with_in_a_message_of_their_own() -> None:
    question = {"role": "user", "content": [{"type": "input_text", "text": "How high?"}, FILE]}
    assert messages_of(question, instructions="Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": [AS_FILE]},
        {"role": "user", "content": "How high?"},
    ]


@pytest.mark.parametrize("role", ["user", "system", "developer"])
def test_a_message_of_files_only_goes_before_the_next_question(role: str) -> None:
    assert messages_of({"role": role, "content": [FILE]}, HI) == [{"role": "system", "content": [AS_FILE]}, HI]


def test_files_after_the_last_question_come_last_where_chat_finds_them() -> None:
    assert messages_of(HI, {"role": "user", "content": [FILE]}) == [HI, {"role": "system", "content": [AS_FILE]}]


def test_files_without_any_question_are_asked_about_in_no_words() -> None:
    assert messages_of({"role": "user", "content": [FILE]}) == [
        {"role": "system", "content": [AS_FILE]},
        {"role": "user", "content": ""},
    ]


def test_a_file_s_bytes_go_on_with_their_name() -> None:
    data = {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,SGk=", "file_id": None}
    assert messages_of({"role": "user", "content": [data]}, HI)[0]["content"] == [
        {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk=", "filename": "a.txt"}}
    ]


def test_a_tool_s_files_go_before_the_next_question() -> None:
    output = OUTPUT | {"output": [{"type": "input_text", "text": "here"}, FILE]}
    assert messages_of(HI, CALL, output, HI)[2:] == [
        AS_OUTPUT | {"content": "here"},
        {"role": "system", "content": [AS_FILE]},
        HI,
    ]


# Tools


def test_calls_join_the_assistant_s_message_and_their_outputs_follow() -> None:
    second = CALL | {"call_id": "call_2"}
    assert messages_of(HI, said("Let me see."), CALL, second, OUTPUT, OUTPUT | {"call_id": "call_2"}) == [
        HI,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [AS_CALL, AS_CALL | {"id": "call_2"}]},
        AS_OUTPUT,
        AS_OUTPUT | {"tool_call_id": "call_2"},
    ]


def test_a_call_after_an_output_begins_a_message() -> None:
    messages = messages_of(HI, CALL, OUTPUT, CALL | {"call_id": "call_2"}, OUTPUT | {"call_id": "call_2"})
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "tool"]


def test_thoughts_go_with_the_calls_that_are_being_answered() -> None:
    assert messages_of(HI, thought("Hm."), CALL, OUTPUT)[1] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [AS_CALL],
    }


def test_thoughts_on_both_sides_of_a_message_are_told_together_with_its_call() -> None:
    message = messages_of(HI, thought("Hm. "), said("Let me see."), thought("So."), CALL, OUTPUT)[1]
    assert (message["reasoning_content"], message["tool_calls"]) == ("Hm. So.", [AS_CALL])


def test_thoughts_before_the_last_question_are_left_out() -> None:
    messages = messages_of(HI, thought("Hm."), said("Ho"), thought("Never said."), HI, said("Ha"))
    assert not any("reasoning_content" in message for message in messages)


@pytest.mark.parametrize("content", [None, [], [{"type": "reasoning_text"}], "Hm.", [7]])
def test_a_thought_without_a_text_is_none(content: Any) -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AA==", "content": content}
    assert messages_of(HI, item, CALL, OUTPUT)[1].keys() == {"role", "content", "tool_calls"}


def test_tools_and_their_choice_are_in_chat_s_words() -> None:
    chat = chat_of(tools=[TOOL], tool_choice={"type": "function", "name": "tide"}, parallel_tool_calls=False)
    assert chat["tools"] == [AS_TOOL]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "tide"}}
    assert chat["parallel_tool_calls"] is False


def test_a_choice_of_allowed_tools_offers_those_only() -> None:
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "tide"}, 7]}
    chat = chat_of(tools=[TOOL | {"name": "other"}, TOOL], tool_choice=allowed)
    assert (chat["tools"], chat["tool_choice"]) == ([AS_TOOL], "required")


def test_without_tools_nothing_is_said_of_their_choice() -> None:
    chat = chat_of(tools=[], tool_choice="auto", parallel_tool_calls=True)
    assert not chat.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


# How to answer


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"max_output_tokens": 20}, {"max_tokens": 20}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True, "description": None}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}}},
        ),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True, "top_logprobs": 0}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        (
            {"stream": True, "stream_options": {"include_obfuscation": False}},
            {"stream": True, "stream_options": {"include_obfuscation": False, "include_usage": True}},
        ),
        ({"temperature": 0.5, "top_p": 0.9, "user": "me"}, {"temperature": 0.5, "top_p": 0.9, "user": "me"}),
        ({"seed": 3, "anything": {"else": 1}}, {"seed": 3, "anything": {"else": 1}}),
        ({"store": True, "metadata": {"a": "b"}, "truncation": "auto", "background": False, "temperature": None}, {}),
        ({"previous_response_id": None, "conversation": None, "prompt": None, "n": 1}, {"n": 1}),
        ({"bookwheel": {"citations": False, "reading": "full"}}, {"bookwheel": {"citations": False, "reading": "full"}}),
        ({"bookwheel": {"budget_tokens": 100}}, {"bookwheel": {"citations": True, "budget_tokens": 100}}),
    ],
    ids=str,
)  # fmt: skip
def test_an_option_goes_on_in_chat_s_words(fields: dict[str, Any], options: dict[str, Any]) -> None:
    plain = {"model": "qwen-long", "messages": [HI], "bookwheel": {"citations": True}}
    assert chat_of(**fields) == plain | options


# What is refused


@pytest.mark.parametrize(
    ("fields", "word", "param"),
    [
        ({"previous_response_id": "resp_1"}, "not stored", "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "not stored", "conversation"),
        ({"background": True}, "'stream'", "background"),
        ({"prompt": {"id": "pmpt_1"}}, "'instructions'", "prompt"),
        ({"moderation": {"model": "omni"}}, "moderated", "moderation"),
        ({"messages": [HI]}, "'input'", "messages"),
        ({"response_format": {"type": "json_object"}}, "'text.format'", "response_format"),
        ({"n": 2}, "one answer", "n"),
        ({"input": []}, "[] is too short - 'input'", "input"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "input_file", "tools[0]"),
        ({"tools": [TOOL, {"type": "web_search"}]}, "'web_search'", "tools[1]"),
        ({"tools": [{"type": "function", "function": {"name": "tide"}}]}, "string", "tools[0].name"),
        ({"tools": [{}]}, "string", "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "string", "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "file_search"}}, "allowed_tools", "tool_choice"),
        ({"text": {"format": "json"}}, "object", "text.format"),
    ],
    ids=str,
)
def test_what_is_not_done_here_is_refused_with_what_to_do(fields: dict[str, Any], word: str, param: str) -> None:
    message, named = refusal(**fields)
    assert word in message
    assert named == param


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({}, "input[1].type"),
        ({"type": "web_search_call", "id": "ws_1"}, "input[1].type"),
        ({"type": {"a": 1}}, "input[1].type"),
        ({"type": "item_reference", "id": "msg_1"}, "input[1]"),
        ({"role": "tool", "content": "x"}, "input[1].role"),
        ({"role": ["user"], "content": "x"}, "input[1].role"),
        ({"role": "user"}, "input[1].content"),
        ({"role": "user", "content": 7}, "input[1].content"),
        ({"role": "user", "content": [7]}, "input[1].content[0]"),
        ({"role": "user", "content": [{"text": "x"}]}, "input[1].content[0].type"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[1].content[0].text"),
        ({"role": "user", "content": [FILE, {"type": "input_file"}]}, "input[1].content[1]"),
        ({"role": "user", "content": [{"type": "input_file", "file_url": "http://a/b"}]}, "input[1].content[0].file_url"),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "file-fe-1"}]}, "input[1].content[0]"),
        ({"role": "user", "content": [{"type": "input_image", "image_url": {}}]}, "input[1].content[0]"),
        ({"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]}, "input[1].content[0].image_url"),
        ({"role": "system", "content": [{"type": "input_image", "image_url": "x"}]}, "input[1].content"),
        ({"role": "assistant", "content": [FILE]}, "input[1].content"),
        ({"type": "function_call", "name": "tide", "arguments": "{}"}, "input[1].call_id"),
        (CALL | {"arguments": {"at": "Dover"}}, "input[1].arguments"),
        (OUTPUT | {"output": None}, "input[1].output"),
        (OUTPUT | {"call_id": None}, "input[1].call_id"),
    ],
    ids=str,
)  # fmt: skip
def test_an_item_that_is_wrong_is_refused_by_its_place(item: dict[str, Any], param: str) -> None:
    assert refusal(input=[HI, item])[1] == param


@pytest.mark.parametrize(
    ("param", "message", "own_param", "own_message"),
    [
        ("messages", "'messages' must say it.", "input", "'input' must say it."),
        ("messages[3].content[0].file.file_id", "Invalid file [id:x].", "input", "Invalid file [id:x]."),
        ("max_tokens", "Invalid 'max_tokens': too low.", "max_output_tokens", "Invalid 'max_output_tokens': too low."),
        ("temperature", "Too hot.", "temperature", "Too hot."),
        (None, "Something.", None, "Something."),
    ],
)
def test_an_error_of_chat_is_told_in_this_call_s_words(
    param: str | None, message: str, own_param: str | None, own_message: str
) -> None:
    with pytest.raises(InvalidRequest) as raised, in_own_words():
        raise InvalidRequest(message, param=param)
    assert (raised.value.param, raised.value.message) == (own_param, own_message)
    assert raised.value.as_error_object()["message"] == own_message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("type role content text file_id output name".split()), inner, max_size=4)
    ),
    max_leaves=8,
)
KINDS = st.sampled_from(
    "message function_call function_call_output reasoning item_reference input_text input_file input_image refusal file".split()
)
FIELDS = st.sampled_from("role content call_id name arguments output summary text image_url file_data".split())
PART = st.builds(lambda kind, more: {"type": kind} | more, KINDS, st.dictionaries(FIELDS, JSON, max_size=3))
ITEM = st.builds(
    lambda kind, role, more: {"type": kind, "role": role} | more,
    KINDS,
    st.sampled_from(["user", "assistant", "system", "developer", "tool"]),
    st.dictionaries(FIELDS, JSON | st.lists(PART, max_size=3), max_size=4),
)


@given(st.lists(ITEM, min_size=1, max_size=5))
def test_whatever_the_items_are_they_become_messages_or_are_refused(items: list[dict[str, Any]]) -> None:
    try:
        chat = chat_of(input=items)
    except InvalidRequest as error:
        assert (error.param or "").startswith("input")
    else:
        msgspec.convert(chat, ChatBody)
