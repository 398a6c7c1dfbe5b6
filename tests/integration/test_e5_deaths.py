"""An embedding engine whose child dies of a text: a real child process, with a model that breaks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bookwheel.engines.e5 import SLICE_CHARACTERS, E5Config, E5Engine
from bookwheel.errors import EngineUnreachable, InvalidRequest
from support.engine import wait_until
from support.fragile_embedder import DEADLY, STUCK

TESTS = Path(__file__).parents[1]
LONG = "word " * (SLICE_CHARACTERS // 5)
"""One that goes to the child by itself."""


def config(tmp_path: Path, module: str) -> E5Config:
    return E5Config(
        threads=2,
        window_tokens=32_768,
        max_output_tokens=2_048,
        connect_seconds=10.0,
        silence_seconds=60.0,
        log_file=tmp_path / "log",
        module=module,
    )


@pytest.fixture
async def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[E5Engine]:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    engine = E5Engine("emb", config(tmp_path, "support.fragile_embedder"))
    await engine.start()
    yield engine
    await engine.close()


async def test_a_text_that_the_child_dies_of_is_named_and_what_is_beside_it_is_answered(
    engine: E5Engine, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    beside = asyncio.create_task(engine.embed({"input": f"{STUCK}{mark}"}))
    await asyncio.to_thread(wait_until, mark.exists)
    with pytest.raises(
        InvalidRequest, match=r"breaks down over one of input\[1\] to input\[2\]: leave it out"
    ) as raised:
        await engine.embed({"input": [LONG, "a", DEADLY]})
    assert raised.value.param == "input"
    assert len((await beside)["data"]) == 1
    assert len((await engine.embed({"input": [LONG, "a"]}))["data"]) == 2


async def test_a_child_that_cannot_start_is_the_engines_fault_and_not_the_texts(tmp_path: Path) -> None:
    engine = E5Engine("emb", config(tmp_path, "support.no_such_module"))
    await engine.start()
    with pytest.raises(EngineUnreachable, match="could not load its weights"):
        await engine.embed({"input": "a"})
    await engine.close()
