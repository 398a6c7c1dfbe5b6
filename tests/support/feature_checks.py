"""What is looked for in answers: each check is for one feature of engines. Answers are whole ones, as plain objects."""

import json
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from support.feature_engine import OWN
from support.tiny_gguf import WORDS

Fields = dict[str, Any]
Check = Callable[[Fields], None]

SAID = {word.removeprefix("▁") for word in WORDS}
"""All that a model of random weights says."""

UNKNOWN: Fields = {
    "null": None,
    "tiny": 1e-9,
    "third": 0.1,
    "huge": 2**70,
    "exact": 2**53 + 1,
    "word": "𝄞 \u2028 é",
    "deep": [[{}]],
}


class LookUp(BaseModel):
    """What the tool `look_up` takes, and what a structured answer holds."""

    model_config = ConfigDict(extra="forbid")
    deep: bool
    place: Literal["Dover", "Brest"]


def message_of(answer: Fields, number: int = 0) -> Fields:
    found: Fields = answer["choices"][number]["message"]
    return found


def says(text: str, finish_reason: str = "stop") -> Check:
    def check(answer: Fields) -> None:
        assert message_of(answer)["content"] == text
        assert answer["choices"][0]["finish_reason"] == finish_reason

    return check


def speaks(answer: Fields) -> None:
    """There is an answer, in words, and no call."""
    assert message_of(answer)["content"].split()
    assert not message_of(answer).get("tool_calls")
    assert not message_of(answer).get("function_call")


def speaks_words(count: int) -> Check:
    def check(answer: Fields) -> None:
        speaks(answer)
        assert len(message_of(answer)["content"].split()) == count

    return check


def calls(*names: str, finish_reason: str | None = "tool_calls") -> Check:
    """The tools are called in this order, each with an id of its own and arguments that its schema allows."""

    def check(answer: Fields) -> None:
        called = message_of(answer)["tool_calls"][: len(names)]
        assert [call["function"]["name"] for call in called] == list(names)
        assert len({call["id"] for call in called}) == len(names)
        assert {call["type"] for call in called} == {"function"}
        for call in called:
            arguments = json.loads(call["function"]["arguments"])
            assert (
                LookUp.model_validate(arguments) if call["function"]["name"] == "look_up" else arguments["of"] in (1, 2)
            )
        assert finish_reason in (None, answer["choices"][0]["finish_reason"])

    return check


def is_json(answer: Fields) -> None:
    assert isinstance(json.loads(message_of(answer)["content"]), dict)
    assert answer["choices"][0]["finish_reason"] == "stop"


def is_look_up(answer: Fields) -> None:
    assert LookUp.model_validate_json(message_of(answer)["content"])


def thinks(thoughts: str) -> Check:
    """It thinks this, and then answers."""

    def check(answer: Fields) -> None:
        speaks(answer)
        assert message_of(answer)["reasoning_content"] == thoughts

    return check


def thinks_in_words(answer: Fields) -> None:
    """A model of random weights goes on thinking until something ends it."""
    assert set(message_of(answer)["reasoning_content"].split()) <= SAID
    assert not message_of(answer)["content"]


def thinks_five_tokens(answer: Fields) -> None:
    speaks(answer)
    assert 0 < len(message_of(answer)["reasoning_content"].split()) <= 5


def does_not_think(answer: Fields) -> None:
    speaks(answer)
    assert not message_of(answer).get("reasoning_content")


def has_two_choices(answer: Fields) -> None:
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert all(message_of(answer, number)["content"] for number in (0, 1))
    assert all(choice["finish_reason"] for choice in answer["choices"])


def has_logprobs(answer: Fields) -> None:
    """Every word has its probability and those of two others."""
    told = answer["choices"][0]["logprobs"]["content"]
    assert len(told) == len(message_of(answer)["content"].split())
    assert all(one["logprob"] <= 0 and len(one["top_logprobs"]) == 2 for one in told)


def has_usage(answer: Fields) -> None:
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] > 0
    assert usage["prompt_tokens_details"]["cached_tokens"] >= 0


def says_ropes(answer: Fields) -> None:
    assert set(message_of(answer)["content"].split()) == {"rope"}


def goes_on(answer: Fields) -> None:
    """What was given is not said again."""
    assert set(message_of(answer)["content"].split()) <= SAID


def calls_function(answer: Fields) -> None:
    call = message_of(answer)["function_call"]
    assert call["name"] == "look_up"
    assert LookUp.model_validate_json(call["arguments"])
    assert answer["choices"][0]["finish_reason"] == "function_call"


def echoes(answer: Fields) -> None:
    """Fields that nobody knows came to the engine, and others came back."""
    assert answer["x_vendor"] == UNKNOWN
    assert {name: answer[name] for name in OWN} == OWN
