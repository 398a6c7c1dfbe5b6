"""Engines that are not models answer in OpenAI's objects, cut where the request cuts them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.engines.engine import Chunk, EngineRequest
from bookwheel.engines.text import TextAnswer
from bookwheel.tokens import MESSAGE_OVERHEAD_TOKENS, count_tokens

TEXT = "One plum, two plums and a pear. 孔乙己还欠十九个钱。\n\n  The end.\n"


def answer(text: str = TEXT, messages: list[dict[str, Any]] | None = None, **options: Any) -> TextAnswer:
    return TextAnswer(EngineRequest(messages or [{"role": "user", "content": "Hi"}], options, "Hi"), text, "test")


async def stream(given_answer: TextAnswer) -> list[Chunk]:
    return [chunk async for chunks in given_answer.stream() for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def test_an_answer_in_one_piece() -> None:
    completion = answer().completion()
    assert completion["object"] == "chat.completion"
    assert completion["id"].startswith("chatcmpl-")
    assert completion["model"] == "test"
    [choice] = completion["choices"]
    assert choice["message"] == {"role": "assistant", "content": TEXT}
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)


async def test_an_answer_in_chunks_goes_role_text_finish_reason() -> None:
    chunks = await stream(answer())
    assert [chunk["object"] for chunk in chunks] == ["chat.completion.chunk"] * len(chunks)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert {chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]} == {None}


@given(st.text(max_size=200))
async def test_the_chunks_together_are_the_text(text: str) -> None:
    chunks = await stream(answer(text))
    assert text_of(chunks) == text
    assert all(chunk["choices"][0]["delta"]["content"] for chunk in chunks[1:-1])


async def test_usage_comes_last_and_only_where_it_is_asked_for() -> None:
    silent = await stream(answer(stream_options={"include_usage": False}))
    assert [chunk for chunk in silent if "usage" in chunk] == []
    *chunks, last = await stream(answer(stream_options={"include_usage": True}))
    assert last["choices"] == []
    assert last["usage"] == answer().completion()["usage"]
    assert [chunk for chunk in chunks if "usage" in chunk] == []


def test_usage_counts_the_prompt_and_the_answer() -> None:
    parts = [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": parts},
        {"role": "tool", "content": None},
    ]
    usage = answer(messages=messages).completion()["usage"]
    assert usage["prompt_tokens"] == count_tokens("Be brief.") + count_tokens("Hello") + 3 * MESSAGE_OVERHEAD_TOKENS
    assert usage["completion_tokens"] == count_tokens(TEXT)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("pear", "One plum, two plums and a "),
        (["pear", "two"], "One plum, "),
        (["absent"], TEXT),
        ([], TEXT),
        ("", TEXT),
        (None, TEXT),
        ("One", ""),
    ],
)
def test_an_answer_ends_before_the_first_stop(stop: Any, expected: str) -> None:
    completion = answer(stop=stop).completion()
    assert completion["choices"][0]["message"]["content"] == expected
    assert completion["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("limit", [1, 2, 5, 17])
def test_an_answer_ends_at_the_most_tokens_allowed(name: str, limit: int) -> None:
    completion = answer(**{name: limit}).completion()
    content = completion["choices"][0]["message"]["content"]
    assert content
    assert TEXT.startswith(content)
    assert count_tokens(content) == completion["usage"]["completion_tokens"] <= limit
    assert completion["choices"][0]["finish_reason"] == "length"


async def test_a_stream_ends_at_the_most_tokens_allowed_too() -> None:
    limited = answer(max_tokens=5)
    chunks = await stream(limited)
    assert text_of(chunks) == limited.text
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("options", [{"max_tokens": 1000}, {"max_tokens": None}, {"max_tokens": count_tokens(TEXT)}])
def test_an_answer_within_its_limit_is_whole(options: dict[str, Any]) -> None:
    whole = answer(**options)
    assert (whole.text, whole.finish_reason) == (TEXT, "stop")
