"""What engines are asked of counts and windows, each in its own dialect, and what is made of their answers."""

import socket

import pytest

from bookwheel.engines import upstream
from bookwheel.engines.engine import EngineRequest
from support.dialects import (
    STAND_INS,
    DashscopeStandIn,
    LlamaServerStandIn,
    LmStudioStandIn,
    OllamaStandIn,
    OpenAiStandIn,
    SglangStandIn,
    VllmStandIn,
)  # fmt: skip
from support.stand_in import ANSWER, MESSAGES, PARTIAL, TOOL, engine_at, said_by, started

COUNTING = {"vllm": VllmStandIn, "sglang": SglangStandIn, "llama_server": LlamaServerStandIn}
REQUEST = EngineRequest(MESSAGES, {"temperature": 0.5}, "")


@pytest.mark.parametrize("dialect", COUNTING)
async def test_a_prompt_is_counted_by_the_engine(dialect: str) -> None:
    stand_in = COUNTING[dialect]()
    async with started(stand_in) as engine:
        usage = (await said_by(engine, False))["usage"]
        assert await engine.count_prompt(REQUEST) == usage["prompt_tokens"] == 7
        assert await engine.count_prompt(EngineRequest(PARTIAL, {}, "")) == 9
    assert len(stand_in.requests) == 1
    assert set(stand_in.asked) <= {"/tokenize", "/v1/chat/completions/input_tokens"}


async def test_tools_are_counted_with_the_prompt() -> None:
    async with started(VllmStandIn()) as engine:
        assert await engine.count_prompt(EngineRequest(MESSAGES, {"tools": [TOOL]}, "")) == 10


async def test_an_old_llama_server_counts_in_two_steps() -> None:
    stand_in = LlamaServerStandIn(is_old=True)
    async with started(stand_in) as engine:
        assert await engine.count_prompt(REQUEST) == 7
        assert await engine.count_prompt(REQUEST) == 7
    assert stand_in.asked == ["/v1/chat/completions/input_tokens", "/apply-template", "/tokenize"] * 2


async def test_an_old_sglang_tokenizes_texts_but_counts_no_prompts() -> None:
    async with started(SglangStandIn(is_old=True)) as engine:
        assert await engine.count_prompt(REQUEST) is None
        assert await engine.tokenize("The tide rises.") == [0, 1, 2]


@pytest.mark.parametrize("dialect", COUNTING)
async def test_a_text_is_tokenized_without_control_tokens(dialect: str) -> None:
    async with started(COUNTING[dialect]()) as engine:
        assert len(await engine.tokenize("The tide rises.") or []) == 3
        marked = await engine.tokenize("The <s> tide.")
    assert marked == ([100] * 3 if dialect == "llama_server" else None)


@pytest.mark.parametrize("dialect", sorted(STAND_INS.keys() - COUNTING))
async def test_engines_that_cannot_count_are_not_asked(dialect: str) -> None:
    stand_in = STAND_INS[dialect]()
    async with started(stand_in) as engine:
        assert await engine.count_prompt(REQUEST) is None
        assert await engine.tokenize("The tide rises.") is None
    assert stand_in.asked == []


async def test_pictures_and_endless_texts_are_not_counted() -> None:
    stand_in = VllmStandIn()
    seen = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]}]
    async with started(stand_in) as engine:
        assert await engine.count_prompt(EngineRequest(seen, {}, "")) is None
        assert await engine.tokenize("tide " * 500_000) is None
    assert stand_in.asked == []


async def test_an_engine_that_cannot_be_asked_is_asked_again_only_later() -> None:
    stand_in = DashscopeStandIn()
    async with started(stand_in, dialect="vllm") as engine:
        assert [await engine.count_prompt(REQUEST) for _ in range(3)] == [None] * 3
        assert await engine.tokenize("tide") is None
        assert stand_in.asked == ["/tokenize"]
        assert (await said_by(engine, False))["content"] == "".join(ANSWER)


async def test_an_engine_that_takes_too_long_to_count_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "ASIDE_SECONDS", 0.05)
    stand_in = VllmStandIn()
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and never answers
        stand_in.url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        async with engine_at(stand_in) as engine:
            assert await engine.count_prompt(REQUEST) is None
            assert not (await engine.health()).ready


async def test_an_engine_that_is_gone_counts_nothing_and_is_no_error() -> None:
    stand_in = VllmStandIn()
    stand_in.start()
    stand_in.close()
    async with engine_at(stand_in) as engine:
        assert await engine.count_prompt(REQUEST) is None
    assert await engine.tokenize("tide") is None


# Windows


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llama_server", "ollama", "lm_studio"])
async def test_a_window_smaller_than_the_settings_say_is_said(dialect: str) -> None:
    async with started(STAND_INS[dialect](window_tokens=4096), window_tokens=32_768) as engine:
        health = await engine.health()
    assert health.ready
    said = "Its window is 4,096 tokens, engines.mill.window_tokens says 32,768: set window_tokens = 4096, or "
    assert said in health.detail
    assert "32768" in health.detail


@pytest.mark.parametrize("dialect", STAND_INS)
async def test_nothing_is_said_of_a_window_that_is_large_enough_or_not_told(dialect: str) -> None:
    stand_in = STAND_INS[dialect](window_tokens=4096)
    async with started(stand_in, window_tokens=4096) as engine:
        health = await engine.health()
    assert (health.ready, health.detail) == (True, f"{stand_in.url}, model mock")


async def test_ollama_says_its_window_when_the_model_runs_or_its_file_sets_it() -> None:
    async with started(OllamaStandIn(is_loaded=False), window_tokens=32_768) as engine:
        assert "start it with OLLAMA_CONTEXT_LENGTH=32768" in (await engine.health()).detail
    parameters = 'stop    "<|im_end|>"\nnum_ctx                        8192'
    async with started(OllamaStandIn(is_loaded=False, parameters=parameters), window_tokens=32_768) as engine:
        assert "Its window is 8,192 tokens" in (await engine.health()).detail


async def test_lm_studio_says_no_window_of_a_model_that_is_not_loaded() -> None:
    async with started(LmStudioStandIn(is_loaded=False), window_tokens=32_768) as engine:
        assert "window" not in (await engine.health()).detail


async def test_an_engine_that_does_not_tell_its_window_as_its_dialect_does_is_well() -> None:
    async with started(OpenAiStandIn(), dialect="llama_server") as engine:
        health = await engine.health()
    assert health.ready
    assert "window" not in health.detail
