"""The embedded engine asked directly: its slots, its counts, its refusals, and whose states it takes.

With llama.cpp in its child process and a tiny model made on the spot, whose tokens are single bytes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bookwheel.engines.engine import EngineRequest, Message, whole_document
from bookwheel.engines.llama_cpp import LlamaCppConfig, LlamaCppEngine
from bookwheel.errors import EngineRefused, EngineUnreachable
from support.tiny_gguf import TOOLS, write_tiny_gguf

TIDES = "The tide at Dover rises 6.7 metres in spring.\n" * 30
KV_BYTES = 512
"""Of a token of the tiny model: 2 layers, keys and values of 64 numbers of 2 bytes."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf", template=TOOLS)


@pytest.fixture(scope="module")
def config(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> LlamaCppConfig:
    scratch = tmp_path_factory.mktemp("engine")
    return LlamaCppConfig(
        weights=weights,
        model="tiny",
        window_tokens=3_072,
        max_output_tokens=1_500,
        threads=1,
        slots=2,
        connect_seconds=5.0,
        silence_seconds=60.0,
        log_file=scratch / "engine.log",
        states_folder=scratch / "prompts",
        states_mb=64,
        kv_bytes_per_token=KV_BYTES,
        is_file_there=lambda _: True,
    )


@asynccontextmanager
async def started(config: LlamaCppConfig) -> AsyncIterator[LlamaCppEngine]:
    engine = LlamaCppEngine("tiny", config)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def engine(config: LlamaCppConfig, tmp_path: Path) -> AsyncIterator[LlamaCppEngine]:
    async with started(replace(config, states_folder=tmp_path / "prompts", log_file=tmp_path / "log")) as engine:
        yield engine


def question(text: str = "How high?", document: str = TIDES, **options: Any) -> EngineRequest:
    system: Message = {"role": "system", "content": f'Read.\n\n<document name="a">\n{document}</document>'}
    shown = (whole_document("a", document, 400, "file-1"),)
    options = {"max_tokens": 4} | options
    return EngineRequest([system, {"role": "user", "content": text}], options, text, shown, account_id="ely")


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize("options", [{}, {"tools": [TOOL]}, {"response_format": {"type": "json_object"}}])
async def test_the_count_of_a_prompt_is_what_the_usage_says(engine: LlamaCppEngine, options: Any) -> None:
    request = question(**options)
    assert await engine.count_prompt(request) == (await engine.complete(request))["usage"]["prompt_tokens"]


async def test_a_text_is_tokenized_by_the_engine_itself(engine: LlamaCppEngine) -> None:
    assert await engine.tokenize("Ely</s>") == [3 + byte for byte in b"Ely</s>"]


async def test_tools_change_nothing_of_what_was_read_of_the_documents(engine: LlamaCppEngine) -> None:
    await engine.complete(question())
    answer = await engine.complete(question(tools=[TOOL]))
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] > len(TIDES)


async def test_the_answer_is_the_same_however_its_documents_came_into_the_slot(
    engine: LlamaCppEngine, config: LlamaCppConfig, tmp_path: Path
) -> None:
    request = question(max_tokens=24, temperature=0, seed=1)
    answers = [await engine.complete(request), await engine.complete(request)]  # read, found
    await engine.close()
    fields = {"states_folder": tmp_path / "prompts", "log_file": tmp_path / "log"}
    for states_mb in (64, 0):  # restored, not kept at all
        async with started(replace(config, states_mb=states_mb, **fields)) as other:
            answers.append(await other.complete(request))
    assert len({answer["choices"][0]["message"]["content"] for answer in answers}) == 1
    assert len({answer["usage"]["prompt_tokens"] for answer in answers}) == 1
    cached = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in answers]
    assert (cached[0], cached[3]) == (0, 0)
    assert min(cached[1], cached[2]) > len(TIDES)


async def test_an_engine_that_is_not_there_counts_nothing(config: LlamaCppConfig) -> None:
    engine = LlamaCppEngine("tiny", config)
    assert (await engine.count_prompt(question()), await engine.tokenize("Ely")) == (None, None)
    with pytest.raises(EngineUnreachable):
        await engine.complete(question())
    await engine.forget("file-1")
    await engine.close()


async def test_the_engines_own_timings_tell_the_same(engine: LlamaCppEngine) -> None:
    first, second = [await engine.complete(question(text)) for text in ("How high?", "How low?")]
    for answer in (first, second):
        timings, usage = answer["timings"], answer["usage"]
        assert timings["cache_n"] == usage["prompt_tokens_details"]["cached_tokens"]
        assert timings["cache_n"] + timings["prompt_n"] == usage["prompt_tokens"]
        assert timings["prompt_per_token_ms"] == pytest.approx(timings["prompt_ms"] / timings["prompt_n"])


async def test_two_answers_that_fill_more_than_a_window_together_do_not_hurt_each_other(engine: LlamaCppEngine) -> None:
    requests = [EngineRequest([{"role": "user", "content": text * 900}], {"max_tokens": 1_000}, "") for text in "ab"]
    answers = await asyncio.gather(*(engine.complete(request) for request in requests))
    assert [answer["usage"]["completion_tokens"] for answer in answers] == [1_000, 1_000]


async def test_several_answers_to_one_question_come_beside_other_questions(engine: LlamaCppEngine) -> None:
    several, *others = await asyncio.gather(
        engine.complete(question(n=2)), *(engine.complete(question(text)) for text in ("How low?", "When?", "Why?"))
    )
    assert len(several["choices"]) == 2
    assert all(len(answer["choices"]) == 1 for answer in others)


async def test_a_prompt_that_is_too_long_is_the_engines_own_error(engine: LlamaCppEngine) -> None:
    with pytest.raises(EngineRefused, match="exceeds the available context size"):
        await engine.complete(question(document=TIDES * 3))
    assert (await engine.complete(question()))["usage"]["completion_tokens"] == 4


async def test_what_the_engine_refuses_it_refuses_with_documents_too(engine: LlamaCppEngine) -> None:
    with pytest.raises(EngineRefused, match="tool"):
        await engine.complete(question(tools="none"))
    with pytest.raises(EngineRefused, match="tool"):
        async with aclosing(engine.stream(question(tools="none"))) as stream:
            await anext(stream)


async def test_streams_that_are_left_leave_the_slots_to_others(engine: LlamaCppEngine) -> None:
    for number in range(6):
        async with aclosing(engine.stream(question(f"{number}?", max_tokens=1_000))) as stream:
            async for _ in stream:
                break
    answers = await asyncio.gather(*(engine.complete(question(text)) for text in ("How low?", "When?")))
    assert len(answers) == 2


async def test_another_window_or_llama_cpp_does_not_take_what_is_not_its_own(
    engine: LlamaCppEngine, config: LlamaCppConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await engine.complete(question())
    await engine.close()
    fields = {"states_folder": tmp_path / "prompts", "log_file": tmp_path / "log"}
    assert await cached_by(replace(config, window_tokens=4_096, **fields)) == 0
    assert await cached_by(replace(config, **fields)) > len(TIDES)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "another")
    assert await cached_by(replace(config, **fields)) == 0


async def cached_by(config: LlamaCppConfig) -> int:
    """What another engine did not have to read of the same question's documents."""
    async with started(config) as engine:
        answer = await engine.complete(question("How low?"))
    cached: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return cached
