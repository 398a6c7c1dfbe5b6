"""A chat request that cannot be meant is refused in the wire contract's words before anything is done for it."""

from typing import Any

import pytest

from bookwheel.answering.chat_request import read_chat
from bookwheel.errors import InvalidRequest

CHAT: dict[str, Any] = {"model": "qwen-long", "messages": [{"role": "user", "content": "Hi"}]}
JSON_WORD = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."

REFUSED = [
    ({"model": None}, "you must provide a model parameter.", "model"),
    ({"model": ""}, "you must provide a model parameter.", "model"),
    ({"messages": []}, "[] is too short - 'messages'", "messages"),
    ({"temperature": 2}, "Temperature should be in [0.0, 2.0)", "temperature"),
    ({"temperature": -0.1}, "Temperature should be in [0.0, 2.0)", "temperature"),
    ({"top_p": 0}, "Range of top_p should be (0.0, 1.0]", "top_p"),
    ({"top_p": 1.1}, "Range of top_p should be (0.0, 1.0]", "top_p"),
    ({"presence_penalty": 2.1}, "Presence_penalty should be in [-2.0, 2.0]", "presence_penalty"),
    ({"presence_penalty": -2.1}, "Presence_penalty should be in [-2.0, 2.0]", "presence_penalty"),
    ({"response_format": {"type": "json_object"}}, JSON_WORD, "messages"),
]


@pytest.mark.parametrize(("fields", "message", "param"), REFUSED)
def test_it_is_refused_in_the_contract_s_words(fields: dict[str, Any], message: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_chat(CHAT | fields)
    assert (raised.value.message, raised.value.param) == (message, param)


@pytest.mark.parametrize(("missing", "message"), [("model", REFUSED[0][1]), ("messages", REFUSED[2][1])])
def test_what_is_missing_is_refused_alike(missing: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_chat({name: value for name, value in CHAT.items() if name != missing})
    assert raised.value.message == message


WRONG_TYPES: list[dict[str, Any]] = [
    *({"model": value} for value in (7, ["qwen-long"], {"a": 1})),
    *({"messages": value} for value in (None, "Hi", {}, [7], [None], [[]], [{}], [{"role": "user", "content": [7]}])),
    *({name: "x"} for name in ("temperature", "top_p", "presence_penalty", "max_tokens", "max_completion_tokens", "n")),
    *({"stop": value} for value in (5, [5], [None], {"a": 1}, True)),
    *({"stream": "yes"}, {"stream_options": 7}, {"response_format": "json_object"}, {"bookwheel": True}),
    *({"max_tokens": value} for value in (0, -1, 1.5)),
    *({"bookwheel": {"reading": "fast"}}, {"bookwheel": {"unknown": 1}}),
]


@pytest.mark.parametrize("fields", WRONG_TYPES, ids=str)
def test_a_field_of_the_wrong_type_is_refused_by_its_name(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_chat(CHAT | fields)
    [name] = fields
    assert (raised.value.param or "").startswith(name)


LET_IN: list[dict[str, Any]] = [
    *({"temperature": value} for value in (0, 1.99, None)),
    *({"top_p": value} for value in (0.01, 1, None)),
    *({"presence_penalty": value} for value in (-2, 2, None)),
    *({"stop": value} for value in ("x", ["x", "y"], [], None)),
    *({"stream": True}, {"stream_options": None}, {"stream_options": {"include_usage": True, "more": 1}}),
    {"tools": [{"type": "function"}], "enable_thinking": True, "thinking_budget": 5, "anything": {"else": None}},
    {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "As JSON, please."}]},
    {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "json"}]}],
        "response_format": {"type": "json_object"},
    },
    {
        "messages": [
            {"role": "assistant", "tool_calls": []},
            {"role": "tool", "content": "x"},
            {"role": "user", "content": None},
        ]
    },
    {"bookwheel": {"reading": "full", "citations": True}},
]


@pytest.mark.parametrize("fields", LET_IN, ids=str)
def test_what_the_contract_allows_is_let_in(fields: dict[str, Any]) -> None:
    assert read_chat(CHAT | fields).model == "qwen-long"
