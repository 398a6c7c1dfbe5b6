"""Seven kinds of engines, each asked everything in OpenAI's words and DashScope's: what it is sent, and what comes back."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from bookwheel.engines.engine import EngineRequest
from bookwheel.engines.upstream import UpstreamEngine
from bookwheel.errors import EngineRefused
from support.dialects import STAND_INS, LlamaServerStandIn, LmStudioStandIn, OpenAiStandIn, VllmStandIn
from support.stand_in import (
    ANEW,
    ANSWER,
    BAD_TOP_K,
    CALL,
    CONTINUATION,
    FORMED,
    MESSAGES,
    PARTIAL,
    PREFIX,
    THOUGHTS,
    TOOL,
    StandIn,
    engine_at,
    said_by,
    started,
)  # fmt: skip

SCHEMA = {"type": "json_schema", "json_schema": {"name": "height", "schema": {"type": "object"}}}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"temperature": 0.5, "seed": 7},
    "tools": {"tools": [TOOL], "tool_choice": "auto"},
    "schema": {"response_format": SCHEMA},
}
DIALECTS = list(STAND_INS)
UNTOUCHED = ["dashscope", "openai"]
TEMPLATE_SWITCH = {
    "vllm": ("enable_thinking", "thinking"),
    "sglang": ("enable_thinking", "thinking"),
    "llama_server": ("enable_thinking",),
}
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def shared_stand_ins() -> Iterator[dict[str, StandIn]]:
    started = {name: stand_in() for name, stand_in in STAND_INS.items()}
    for stand_in in started.values():
        stand_in.start()
    yield started
    for stand_in in started.values():
        stand_in.close()


@pytest.fixture(params=DIALECTS)
def stand_in(request: pytest.FixtureRequest, shared_stand_ins: dict[str, StandIn]) -> StandIn:
    shared = shared_stand_ins[request.param]
    shared.reset()
    shared.raw.clear()
    return shared


async def refusal_of(
    engine: UpstreamEngine, stream: bool, messages: list[dict[str, Any]] = MESSAGES, **options: Any
) -> EngineRefused:
    with pytest.raises(EngineRefused) as caught:
        await said_by(engine, stream, messages, **options)
    return caught.value


# What an engine is asked, it answers


@STREAMED
async def test_a_question_is_answered_with_its_usage(stand_in: StandIn, stream: bool) -> None:
    async with engine_at(stand_in) as engine:
        said = await said_by(engine, stream, temperature=0.5)
    assert (said["role"], said["content"], said["finish_reason"]) == ("assistant", "".join(ANSWER), "stop")
    assert said["usage"]["prompt_tokens"] == 7
    assert bool(said.get("reasoning_content")) == stand_in.thinks_unasked


@STREAMED
async def test_tools_are_called(stand_in: StandIn, stream: bool) -> None:
    async with engine_at(stand_in) as engine:
        said = await said_by(engine, stream, **OPTIONS["tools"])
    assert [call["function"] for call in said["tool_calls"]] == [CALL]
    assert (said.get("content") or "", said["finish_reason"]) == ("", "tool_calls")


@STREAMED
async def test_a_form_is_kept(stand_in: StandIn, stream: bool) -> None:
    async with engine_at(stand_in) as engine:
        said = await said_by(engine, stream, **OPTIONS["schema"])
    assert json.loads(said["content"]) == json.loads("".join(FORMED))


@STREAMED
async def test_a_partial_answer_is_continued_and_not_repeated(stand_in: StandIn, stream: bool) -> None:
    async with engine_at(stand_in) as engine:
        said = await said_by(engine, stream, PARTIAL)
    assert said["content"] == "".join(CONTINUATION if stand_in.can_continue else ANEW)
    assert not said.get("reasoning_content")


@STREAMED
async def test_thoughts_come_back_under_the_one_name(stand_in: StandIn, stream: bool) -> None:
    async with engine_at(stand_in) as engine:
        if not stand_in.can_think:
            assert "enable_thinking" in (await refusal_of(engine, stream, enable_thinking=True)).message
        elif stand_in.dialect == "dashscope" and not stream:
            assert "non-streaming" in (await refusal_of(engine, stream, enable_thinking=True)).message
        else:
            said = await said_by(engine, stream, enable_thinking=True)
            assert (said["reasoning_content"], said["content"]) == ("".join(THOUGHTS), "".join(ANSWER))


@STREAMED
async def test_thinking_is_switched_off(stand_in: StandIn, stream: bool) -> None:
    if not stand_in.can_think:
        pytest.skip("it refuses the switch")
    async with engine_at(stand_in) as engine:
        said = await said_by(engine, stream, enable_thinking=False)
    assert not said.get("reasoning_content")
    assert said["content"] == "".join(ANSWER)


@STREAMED
async def test_an_engines_refusal_comes_back_in_the_usual_shape(stand_in: StandIn, stream: bool) -> None:
    async with engine_at(stand_in) as engine:
        refusal = await refusal_of(engine, stream, top_k=BAD_TOP_K)
    assert refusal.message == f"top_k must be positive, got {BAD_TOP_K}."
    assert {"message", "type", "param", "code"} <= set(refusal.as_error_object())
    assert refusal.http_status == (502 if stream and stand_in.dialect == "lm_studio" else 400)


@STREAMED
async def test_a_prompt_that_is_too_long_is_said_to_be_where_the_engine_says_it(
    stand_in: StandIn, stream: bool
) -> None:
    long = [{"role": "user", "content": "tide " * 100}]
    async with engine_at(stand_in) as engine:
        if stand_in.dialect == "ollama":  # cuts it
            assert (await said_by(engine, stream, long))["usage"]["prompt_tokens"] == 64
            return
        refusal = await refusal_of(engine, stream, long)
    assert "64" in refusal.message
    if stand_in.dialect == "llama_server":
        assert refusal.as_error_object()["type"] == "exceed_context_size_error"
        assert refusal.as_error_object()["n_prompt_tokens"] == 100


# What it is sent


@STREAMED
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_whatever_has_no_dialect_goes_out_as_it_came(
    stand_in: StandIn, options: dict[str, Any], stream: bool
) -> None:
    async with engine_at(stand_in) as engine:
        await said_by(engine, stream, **options)
    if stream:
        options = options | {"stream_options": {"include_usage": True}}
    assert stand_in.raw == [msgspec.json.encode(options | {"model": "mock", "messages": MESSAGES, "stream": stream})]


@pytest.mark.parametrize("dialect", UNTOUCHED)
async def test_nothing_is_translated_for_engines_of_the_protocol_itself(
    dialect: str, shared_stand_ins: dict[str, StandIn]
) -> None:
    stand_in = shared_stand_ins[dialect]
    options: dict[str, Any] = {"enable_thinking": True, "thinking_budget": 9, "x": {"deep": [2**70, "你"]}}
    stand_in.raw.clear()
    async with engine_at(stand_in) as engine:
        await refusal_of(engine, True, PARTIAL, **options)
    sent = options | {"stream_options": {"include_usage": True}, "model": "mock", "messages": PARTIAL, "stream": True}
    assert stand_in.raw == [msgspec.json.encode(sent)]


def switch(dialect: str, on: bool) -> dict[str, Any]:
    """How thinking is switched in a dialect."""
    if dialect in TEMPLATE_SWITCH:
        return {"chat_template_kwargs": dict.fromkeys(TEMPLATE_SWITCH[dialect], on)}
    if dialect in UNTOUCHED:
        return {"enable_thinking": on}
    effort = {"ollama": {False: "none", True: "medium"}, "lm_studio": {False: "none"}}[dialect].get(on)
    return {"reasoning_effort": effort} if effort else {}


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_switch_of_thinking_is_said_in_the_engines_words(stand_in: StandIn, enabled: bool) -> None:
    budget: dict[str, dict[str, Any]] = {
        "vllm": {"thinking_token_budget": 50},
        "sglang": {"custom_params": {"thinking_budget": 50}},
        "llama_server": {"thinking_budget_tokens": 50},
    }
    async with engine_at(stand_in) as engine:
        try:
            await said_by(engine, True, enable_thinking=enabled, thinking_budget=50)
        except EngineRefused:
            assert not stand_in.can_think
    expected = budget.get(stand_in.dialect, {"thinking_budget": 50}) | switch(stand_in.dialect, enabled)
    common = {"model": "mock", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    assert stand_in.requests == [expected | common]


async def test_partial_is_said_in_the_engines_words(stand_in: StandIn) -> None:
    flags: dict[str, Any] = {"continue_final_message": True, "add_generation_prompt": False}
    said: dict[str, dict[str, Any]] = {"vllm": flags, "llama_server": flags, "sglang": {"continue_final_message": True}}
    async with engine_at(stand_in) as engine:
        await said_by(engine, False, PARTIAL)
    sent: dict[str, Any] = {"model": "mock", "messages": PARTIAL, "stream": False}
    if stand_in.dialect not in UNTOUCHED:
        sent["messages"] = [*MESSAGES, {"role": "assistant", "content": PREFIX}]
        sent |= said.get(stand_in.dialect, {}) | switch(stand_in.dialect, on=False)
    assert stand_in.requests == [sent]


async def test_an_answer_that_is_not_partial_is_not_continued() -> None:
    stand_in = VllmStandIn()
    ended = [*MESSAGES, {"role": "assistant", "content": PREFIX}]
    async with started(stand_in) as engine:
        assert (await said_by(engine, False, ended))["content"] == "".join(ANEW)
    assert stand_in.requests[0].keys() == {"model", "messages", "stream"}


async def test_the_clients_own_words_in_the_engines_dialect_win() -> None:
    stand_in = VllmStandIn()
    own: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": True, "custom": 1}, "thinking_token_budget": 3}
    async with started(stand_in) as engine:
        said = await said_by(engine, False, PARTIAL, enable_thinking=False, thinking_budget=50, **own)
    assert said["reasoning_content"] == "".join(THOUGHTS)
    sent = stand_in.requests[0]
    assert sent["chat_template_kwargs"] == own["chat_template_kwargs"] | {"thinking": False}
    assert sent["thinking_token_budget"] == 3


async def test_template_variables_that_are_none_are_the_engines_to_refuse() -> None:
    stand_in = VllmStandIn()
    async with started(stand_in) as engine:
        await refusal_of(engine, False, enable_thinking="false")
        await said_by(engine, False, enable_thinking=None, thinking_budget=None)
    assert "enable_thinking" not in stand_in.requests[1]
    assert stand_in.requests[1]["thinking_budget"] is None


# Other versions, other framings


@STREAMED
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_comments_line_ends_and_pieces_of_events_make_no_difference(dialect: str, stream: bool) -> None:
    async with started(STAND_INS[dialect](framing="odd")) as engine:
        assert (await said_by(engine, stream))["content"] == "".join(ANSWER)


@STREAMED
async def test_an_old_vllm_is_understood(stream: bool) -> None:
    async with started(VllmStandIn(is_old=True)) as engine:
        said = await said_by(engine, stream, enable_thinking=True)
        assert (said["reasoning_content"], said["content"]) == ("".join(THOUGHTS), "".join(ANSWER))
        refusal = await refusal_of(engine, stream, top_k=BAD_TOP_K)
    assert (refusal.message, refusal.http_status) == (f"top_k must be positive, got {BAD_TOP_K}.", 400)


@STREAMED
async def test_an_old_llama_server_goes_on_without_thinking(stream: bool) -> None:
    async with started(LlamaServerStandIn(is_old=True)) as engine:
        assert (await said_by(engine, stream, PARTIAL))["content"] == "".join(CONTINUATION)
        refusal = await refusal_of(engine, stream, PARTIAL, enable_thinking=True)
    assert "incompatible with enable_thinking" in refusal.message


async def test_a_client_that_asks_for_the_echo_gets_it() -> None:
    async with started(LlamaServerStandIn()) as engine:
        said = await said_by(engine, False, PARTIAL, echo=True)
    assert said["content"] == "".join(ANSWER)


@STREAMED
async def test_lm_studio_may_have_either_name_for_thoughts(stream: bool) -> None:
    async with started(LmStudioStandIn(names_it_reasoning=False)) as engine:
        assert (await said_by(engine, stream, enable_thinking=True))["reasoning_content"] == "".join(THOUGHTS)


async def test_azures_chunks_about_its_filters_come_through() -> None:
    async with started(OpenAiStandIn(is_azure=True)) as engine:
        request = EngineRequest(MESSAGES, {}, "")
        first, *_, last = [chunk async for chunks in engine.stream(request) for chunk in chunks]
        assert (await said_by(engine, True))["content"] == "".join(ANSWER)
    assert first["choices"] == []
    assert "prompt_filter_results" in first
    assert "delta" not in last["choices"][0]


async def test_a_connection_that_the_engine_closes_after_a_stream_is_not_used_again() -> None:
    stand_in = LlamaServerStandIn()
    async with started(stand_in) as engine:
        for _ in range(20):
            await said_by(engine, True)
            await said_by(engine, False)
    assert [headers.get("Connection") for headers in stand_in.headers] == ["close", None] * 20
