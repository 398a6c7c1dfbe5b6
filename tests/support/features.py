"""What OpenAI clients ask of engines, feature by feature: the request, and how to see in the answer that it was done.

Every request has documents. `TIDES` and `FLOODS` stand for the ids of files with `DOCUMENTS`. Answers are whole ones; those of
streams are folded to such.
"""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from support.feature_checks import (
    UNKNOWN,
    Check,
    Fields,
    LookUp,
    calls,
    calls_function,
    does_not_think,
    echoes,
    goes_on,
    has_logprobs,
    has_two_choices,
    has_usage,
    is_json,
    is_look_up,
    says,
    says_ropes,
    speaks,
    speaks_words,
    thinks,
    thinks_five_tokens,
    thinks_in_words,
)
from support.feature_engine import CONTINUATION, THOUGHTS
from support.tiny_gguf import CALL_ID, END_ID, WORDS

DOCUMENTS = {
    "TIDES": "The tide at Dover rises 6.7 metres in spring.\nAt Brest it rises 6.1 metres.\n泊地の潮は四メートル上がる。\n",
    "FLOODS": "In 1953 the sea rose 2.5 metres above the tide at Harwich.\n",
}
ROLE: Fields = {"role": "system", "content": "You answer from documents. 𝄞"}
NAMED: Fields = {"role": "system", "content": "fileid://TIDES,fileid://FLOODS"}
QUESTION = "How high is the tide? Say it in JSON."
ROPE_ID = 3 + 256 + WORDS.index("▁rope")
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Refuses:
    """The engine does not do it, and says so: these are words of its message."""

    words: str


@dataclass(frozen=True)
class Ignores:
    """The engine takes the field and does not mind it: the check shows that it answers all the same."""

    check: Check


Outcome = Check | Refuses | Ignores


@dataclass(frozen=True)
class Feature:
    """One row of the table. `options` are the stock client's arguments; `check` is of the mock's answer.

    `streamed` are options of streams alone; `embedded_options` what the embedded engine is asked beside, so that a model of
    random weights comes to do it; `repeats`: asked again, it says the same.
    """

    name: str
    options: Fields
    check: Check
    embedded: Outcome
    messages: tuple[Fields, ...] = (ROLE, NAMED, {"role": "user", "content": QUESTION})
    streamed: Fields = field(default_factory=dict)
    embedded_options: Fields = field(default_factory=dict)
    embedded_model: str = "embedded"
    repeats: bool = False
    parsed: type[BaseModel] | None = None
    embedded_streamed: Outcome | None = None
    """Where a stream of the embedded engine differs from a whole answer."""


# Requests


def user(content: Any, **more: Any) -> Fields:
    return {"role": "user", "content": content} | more


def text(words: str) -> Fields:
    return {"type": "text", "text": words}


def tool(name: str, parameters: Fields) -> Fields:
    return {"type": "function", "function": {"name": name, "description": "泊 é", "parameters": parameters}}


LOOK_UP = tool("look_up", LookUp.model_json_schema())
COUNT = tool("count", {"type": "object", "required": ["of"], "properties": {"of": {"type": "integer", "enum": [1, 2]}}})
TOOLS = [LOOK_UP, COUNT]
WANTS_CALL = {"logit_bias": {str(CALL_ID): 1000}, "max_tokens": 200}
"""So that a model of random weights calls a tool, again and again."""
WANTS_ONE = WANTS_CALL | {"logit_bias": {str(CALL_ID): 1000, str(END_ID): 2000}}
ASKED_AND_CALLED: tuple[Fields, ...] = (
    ROLE,
    NAMED,
    user("Look it up."),
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "I need the tool.",
        "tool_calls": [
            {
                "id": "call_0",
                "type": "function",
                "function": {"name": "look_up", "arguments": '{"deep": true, "place": "Dover"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_0", "content": "6.7 metres"},
)
MARKED: Fields = user([text(QUESTION) | {"cache_control": {"type": "ephemeral"}}], x_mark=[None, 1e-9, {"deep": 0.1}])
SCHEMA = {"name": "look_up", "schema": LookUp.model_json_schema(), "strict": True}
TALK = (
    ROLE,
    NAMED,
    user("Hi.", name="ann"),
    {"role": "assistant", "content": None, "refusal": "I will not."},
    user(QUESTION),
)
FIRST_LINE = DOCUMENTS["TIDES"].split("\n")[0]
BOUNDED = {"max_tokens": 20}
ROPES: Fields = BOUNDED | {"logit_bias": {str(ROPE_ID): 100}}
THINKING: Fields = {"embedded_model": "thinking", "embedded_options": BOUNDED}

FEATURES = (
    Feature(
        "`tools`, `tool_choice` `auto`",
        {"tools": TOOLS, "tool_choice": "auto"},
        calls("look_up"),
        calls("look_up", finish_reason=None),
        messages=(ROLE, NAMED, user("Please look up the tide.")),
        embedded_options=WANTS_CALL | {"tools": [LOOK_UP]},
    ),
    Feature(
        "`tool_choice` `required`",
        {"tools": TOOLS, "tool_choice": "required"},
        calls("look_up", "count"),
        calls("look_up"),
        embedded_options=WANTS_ONE | {"tools": [LOOK_UP]},
    ),
    Feature(
        "`tool_choice` of a named function",
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "count"}}},
        calls("count"),
        calls("count"),
        embedded_options=WANTS_ONE,
    ),
    Feature("`tool_choice` `none`", {"tools": TOOLS, "tool_choice": "none"}, speaks, speaks, embedded_options=BOUNDED),
    Feature(
        "`parallel_tool_calls`",
        {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": True},
        calls("look_up", "count"),
        calls("look_up", "look_up", finish_reason=None),
        embedded_options=WANTS_CALL | {"tools": [LOOK_UP]},
    ),
    Feature(
        "messages of tools and calls",
        {"tools": TOOLS},
        says("The tool says: 6.7 metres"),
        speaks,
        messages=ASKED_AND_CALLED,
        embedded_options=BOUNDED,
    ),
    Feature("`response_format` `json_object`", {"response_format": {"type": "json_object"}}, is_json, is_json),
    Feature(
        "`response_format` `json_schema`",
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        is_look_up,
        is_look_up,
    ),
    Feature("the SDK's `parse` and `stream` with a model", {}, is_look_up, is_look_up, parsed=LookUp),
    Feature(
        "partial mode",
        {},
        says(CONTINUATION),
        goes_on,
        messages=(ROLE, NAMED, user(QUESTION), {"role": "assistant", "content": "It rises", "partial": True}),
        embedded_options=BOUNDED,
    ),
    Feature(
        "`enable_thinking`", {"extra_body": {"enable_thinking": True}}, thinks(THOUGHTS), thinks_in_words, **THINKING
    ),
    Feature(
        "`enable_thinking` off",
        {"extra_body": {"enable_thinking": False}},
        does_not_think,
        does_not_think,
        **THINKING,
    ),
    Feature(
        "`thinking_budget`",
        {"extra_body": {"enable_thinking": True, "thinking_budget": 5}},
        thinks("First I read what is"),
        thinks_five_tokens,
        **THINKING,
    ),
    Feature("`reasoning_effort`", {"reasoning_effort": "low"}, thinks("First I read"), thinks_in_words, **THINKING),
    Feature("`reasoning_effort` `none`", {"reasoning_effort": "none"}, does_not_think, does_not_think, **THINKING),
    Feature("`n`", {"n": 2}, has_two_choices, has_two_choices, embedded_options=BOUNDED),
    Feature("`stop`, a text", {"stop": " at"}, says("The tide"), says("rop"), embedded_options=ROPES | {"stop": "e r"}),
    Feature(
        "`stop`, a list",
        {"stop": ["潮", " at"]},
        says("The tide"),
        says("rop"),
        embedded_options=ROPES | {"stop": ["潮", "e r"]},
    ),
    Feature("`seed`", {"seed": 7, "temperature": 1.5}, speaks, speaks, embedded_options=BOUNDED, repeats=True),
    Feature(
        "`logprobs`, `top_logprobs`",
        {"logprobs": True, "top_logprobs": 2},
        has_logprobs,
        has_logprobs,
        embedded_options=BOUNDED,
    ),
    Feature(
        "`logprobs` beside `tools`",
        {"logprobs": True, "top_logprobs": 2, "tools": TOOLS, "tool_choice": "none"},
        has_logprobs,
        has_logprobs,
        embedded_streamed=Refuses("logprobs is not supported with tools + stream"),
        embedded_options=BOUNDED,
    ),
    Feature(
        "`temperature`, `top_p`, `top_k`, penalties",
        {
            "temperature": 0.1,
            "top_p": 0.5,
            "presence_penalty": -1.5,
            "frequency_penalty": 1e-9,
            "extra_body": {"top_k": 1},
        },
        speaks,
        speaks,
        embedded_options=BOUNDED,
        repeats=True,
    ),
    Feature("`logit_bias`", {"logit_bias": {str(ROPE_ID): 100}}, speaks, says_ropes, embedded_options=BOUNDED),
    Feature("`max_tokens`", {"max_tokens": 3}, says("The tide at", "length"), speaks_words(3)),
    Feature("`max_completion_tokens`", {"max_completion_tokens": 3}, says("The tide at", "length"), speaks_words(3)),
    Feature(
        "`user`, `metadata`",
        {"user": "ann", "metadata": {"of": "泊"}},
        says(FIRST_LINE),
        speaks,
        embedded_options=BOUNDED,
    ),
    Feature(
        "`image_url` parts",
        {},
        says(f"I see {len(PICTURE)} characters of a picture."),
        Refuses("image input is not supported"),
        messages=(
            ROLE,
            NAMED,
            user([text(QUESTION), {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}]),
        ),
    ),
    Feature(
        "`input_audio` parts",
        {},
        says("I hear 8 characters of sound."),
        Refuses("audio input is not supported"),
        messages=(
            ROLE,
            NAMED,
            user([{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}, text(QUESTION)]),
        ),
    ),
    Feature(
        "`file` parts with `file_id`",
        {},
        says(FIRST_LINE),
        speaks,
        messages=(
            ROLE,
            user([{"type": "file", "file": {"file_id": name}} for name in DOCUMENTS] + [text(QUESTION)]),
        ),
        embedded_options=BOUNDED,
    ),
    Feature(
        "unknown fields at any depth",
        {"extra_body": {"x_vendor": UNKNOWN}, "tools": [LOOK_UP | {"x_tool": UNKNOWN}], "tool_choice": "none"},
        echoes,
        speaks,
        messages=(ROLE, NAMED, MARKED),
        embedded_options=BOUNDED,
    ),
    Feature(
        "`stream_options` `include_usage`",
        {},
        has_usage,
        has_usage,
        streamed={"stream_options": {"include_usage": True}},
        embedded_options=BOUNDED,
    ),
    Feature(
        "`stream_options` `continuous_usage_stats`",
        {},
        has_usage,
        Ignores(has_usage),
        streamed={"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
        embedded_options=BOUNDED,
    ),
    Feature(
        "`name`, `refusal` and empty content in messages",
        {},
        says(FIRST_LINE),
        speaks,
        messages=(ROLE | {"name": "guide"}, *TALK[1:]),
        embedded_options=BOUNDED,
    ),
    Feature(
        "role `developer`",
        {},
        says(FIRST_LINE),
        speaks,
        messages=(ROLE | {"role": "developer"}, NAMED, user(QUESTION)),
        embedded_options=BOUNDED,
    ),
    Feature(
        "`functions`, `function_call`",
        {"functions": [LOOK_UP["function"]], "function_call": {"name": "look_up"}},
        calls_function,
        Ignores(speaks),
        embedded_options=BOUNDED,
    ),
)
