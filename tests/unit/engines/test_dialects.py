"""What is translated for an engine, and what is left as it came."""

import copy
from typing import Any, get_args

import pytest

from bookwheel.engines.dialects import DIALECTS, continued_text, name_thoughts, translate, without_echo
from bookwheel.settings import Dialect

USER: dict[str, Any] = {"role": "user", "content": "How high is the tide?"}
PARTIAL: dict[str, Any] = {"role": "assistant", "content": "The tide", "partial": True}
TRANSLATED = ["vllm", "sglang", "llama_server", "ollama", "lm_studio"]


def body_of(*messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    return options | {"model": "m", "messages": list(messages), "stream": False}


def test_every_dialect_of_the_settings_is_known() -> None:
    assert set(DIALECTS) == set(get_args(Dialect))
    assert all(name == dialect.name for name, dialect in DIALECTS.items())


@pytest.mark.parametrize("name", ["openai", "dashscope"])
def test_some_are_left_alone(name: str) -> None:
    body = body_of(USER, PARTIAL, enable_thinking=True, thinking_budget=5)
    assert translate(DIALECTS[name], body) is body


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_body_without_anything_to_translate_stays_the_same(name: str) -> None:
    body = body_of(USER, temperature=0.5, chat_template_kwargs={"a": 1}, reasoning_effort="high", unknown=[1])
    assert translate(DIALECTS[name], body) == body


@pytest.mark.parametrize("name", DIALECTS)
def test_the_body_that_is_given_is_not_changed(name: str) -> None:
    body = body_of(USER, PARTIAL, enable_thinking=True, thinking_budget=5, chat_template_kwargs={"a": 1})
    before = copy.deepcopy(body)
    translate(DIALECTS[name], body)
    assert body == before


@pytest.mark.parametrize("name", TRANSLATED)
def test_no_word_of_another_dialect_is_left(name: str) -> None:
    translated = translate(DIALECTS[name], body_of(USER, PARTIAL, enable_thinking=False))
    assert "enable_thinking" not in translated
    assert translated["messages"] == [USER, {"role": "assistant", "content": "The tide"}]


@pytest.mark.parametrize("own", ["none", 5, ["a"]])
def test_what_is_no_object_is_left_to_the_engine(own: Any) -> None:
    translated = translate(DIALECTS["vllm"], body_of(USER, enable_thinking=True, chat_template_kwargs=own))
    assert translated["chat_template_kwargs"] == own


@pytest.mark.parametrize("own", [None, {}])
def test_what_is_empty_is_filled(own: Any) -> None:
    translated = translate(DIALECTS["llama_server"], body_of(USER, enable_thinking=True, chat_template_kwargs=own))
    assert translated["chat_template_kwargs"] == {"enable_thinking": True}


@pytest.mark.parametrize("own", [{"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}])
def test_an_effort_that_the_client_names_is_kept(own: dict[str, Any]) -> None:
    assert translate(DIALECTS["ollama"], body_of(USER, PARTIAL, enable_thinking=True, **own)) == (
        body_of(USER, {"role": "assistant", "content": "The tide"}, **own)
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (PARTIAL, "The tide"),
        (PARTIAL | {"partial": False}, None),
        (PARTIAL | {"role": "user"}, None),
        ({"role": "assistant", "content": "The tide"}, None),
        (PARTIAL | {"content": None}, ""),
        (PARTIAL | {"content": [{"type": "text", "text": "The tide"}]}, ""),
    ],
)
def test_only_a_last_assistant_message_that_says_so_is_continued(message: dict[str, Any], text: str | None) -> None:
    assert continued_text(body_of(USER, message)) == text
    assert continued_text(body_of(message, USER)) is None


def test_thoughts_are_named_once() -> None:
    deltas: list[dict[str, Any]] = [
        {"reasoning": "Hm."},
        {"reasoning": None, "content": "a"},
        {"reasoning": "Hm.", "reasoning_content": "own"},
        {"reasoning": "Hm.", "reasoning_content": None},
        {},
    ]
    odd: list[dict[str, Any]] = [{"choices": None}, {"choices": []}, {}, {"choices": [{}, {"delta": None}]}]
    name_thoughts([*({"choices": [{"delta": delta}]} for delta in deltas), *odd], "delta")
    assert [delta.get("reasoning_content") for delta in deltas] == ["Hm.", None, "own", "Hm.", None]
    assert deltas[0]["reasoning"] == "Hm."


@pytest.mark.parametrize(
    ("content", "left"), [("The tide rises", " rises"), ("It rises", "It rises"), (None, None), ("The tide", "")]
)
def test_what_was_continued_is_not_repeated(content: str | None, left: str | None) -> None:
    answer: dict[str, Any] = {"choices": [{"message": {"content": content}}, {"message": None}, {}]}
    without_echo(answer, "The tide")
    assert answer["choices"][0]["message"]["content"] == left


def test_nothing_is_taken_off_an_answer_that_continues_nothing() -> None:
    answer: dict[str, Any] = {"choices": [{"message": {"content": "The tide"}}]}
    without_echo(answer, "")
    assert answer["choices"][0]["message"]["content"] == "The tide"


async def test_what_shapes_a_prompt_is_counted_with_it_and_nothing_else_is_sent() -> None:
    asked: list[tuple[str, Any]] = []

    async def ask(path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        asked.append((path, body))
        return {"count": 12}

    shaping = {"tools": [{"type": "function"}], "chat_template_kwargs": {"a": 1}, "reasoning_effort": "low"}
    body = body_of(USER, max_tokens=5, temperature=0.5, **shaping)
    count = DIALECTS["vllm"].count
    assert count is not None
    assert await count(ask, body) == 12
    shaping["chat_template_kwargs"] = {"a": 1, "reasoning_effort": "low"}
    assert asked == [("/tokenize", {"model": "m", "messages": [USER], **shaping})]
    assert body["chat_template_kwargs"] == {"a": 1}


@pytest.mark.parametrize("told", [{}, {"count": None}, {"count": "5"}, {"count": -1}, {"count": True}, {"count": 5.0}])
async def test_a_count_that_is_none_is_not_believed(told: dict[str, Any]) -> None:
    async def ask(_path: str, _body: dict[str, Any] | None) -> dict[str, Any]:
        return told

    count = DIALECTS["sglang"].count
    assert count is not None
    assert await count(ask, body_of(USER)) is None


@pytest.mark.parametrize("told", [{}, {"tokens": None}, {"tokens": ["a"]}, {"tokens": [[1]]}, {"tokens": {"id": 1}}])
async def test_tokens_that_are_none_are_not_believed(told: dict[str, Any]) -> None:
    async def ask(_path: str, _body: dict[str, Any] | None) -> dict[str, Any]:
        return told

    for name in ("vllm", "llama_server"):
        tokenize = DIALECTS[name].tokenize
        assert tokenize is not None
        assert await tokenize(ask, "m", "The tide") is None
