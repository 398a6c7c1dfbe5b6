"""Vectors through the stock SDK, from an engine at a URL: what reaches the engine, and what comes back."""

import json
import socket
from collections.abc import Iterator
from threading import Event
from typing import Any
from urllib.request import Request, urlopen

import pytest
from openai import APIStatusError, APITimeoutError, OpenAI

from support.embedder import USAGE, RecordingEmbedder, answer_vectors, embeddings, in_base64, vector_of
from support.engine import answer_object, hold_until
from support.server import Server

MODEL = "text-embedding-v4"
TEXTS = ["The tide at Dover", "rises 6.7 metres.", "涨潮"]
VECTORS = [vector_of(number) for number in range(3)]
NOT_ALL = [in_base64(vector_of(0)), in_base64(vector_of(1))]


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[RecordingEmbedder]:
    engine = RecordingEmbedder().start()
    assert isinstance(engine, RecordingEmbedder)
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine: RecordingEmbedder) -> RecordingEmbedder:
    shared_engine.reset()
    return shared_engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_engine: RecordingEmbedder) -> Iterator[Server]:
    embedder = shared_engine.settings(model="bge-m3", retries=0)
    engines = {
        "answers": {"kind": "fake"},
        "embeds": embedder,
        "gone": embedder | {"base_url": f"http://127.0.0.1:{free_port()}/v1", "fallback": ["embeds"]},
    }
    models = {"default": "answers", MODEL: "embeds", "gone": "gone"}
    running = Server(tmp_path_factory.mktemp("server"), {"engines": engines, "models": models}).start()
    yield running
    running.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["/compatible-mode/v1", "/v1"])
def client(server: Server, request: pytest.FixtureRequest) -> OpenAI:
    return OpenAI(base_url=server.url + request.param, api_key="any", max_retries=0)


def refused(client: OpenAI, **fields: Any) -> APIStatusError:
    with pytest.raises(APIStatusError) as caught:
        client.embeddings.create(**({"model": MODEL, "input": TEXTS} | fields))
    assert caught.value.request_id
    return caught.value


def post(server: Server, body: dict[str, Any]) -> dict[str, Any]:
    """The answer as it stands on the wire."""
    sent = Request(f"{server.url}/v1/embeddings", json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(sent, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def test_a_stock_client_gets_the_vector_of_each_text_under_the_name_it_asked_for(
    engine: RecordingEmbedder, client: OpenAI
) -> None:
    answer = client.embeddings.create(model=MODEL, input=TEXTS)
    assert [item.embedding for item in answer.data] == VECTORS
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert (answer.object, answer.model, answer.usage.model_dump()) == ("list", MODEL, USAGE)
    assert engine.requests[0]["encoding_format"] == "base64"  # what stock clients ask for by themselves


def test_a_single_text_is_one_vector(engine: RecordingEmbedder, client: OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input=TEXTS[0])
    assert [item.embedding for item in answer.data] == VECTORS[:1]
    assert engine.requests[0]["input"] == TEXTS[0]


@pytest.mark.parametrize("given", ["text", ["a", "b"], [15339, 1917], [[15339], [1917, 2]], ["", "b"]])
def test_the_engine_is_sent_all_that_the_client_sent_but_the_name(
    engine: RecordingEmbedder, server: Server, given: Any
) -> None:
    more = {"dimensions": 256, "user": "u", "text_type": "query", "input_type": "query", "instruct": {"a": [1]}}
    post(server, {"model": MODEL, "input": given} | more)
    assert engine.requests == [{"model": "bge-m3", "input": given} | more]


@pytest.mark.parametrize("sent", ["float", "base64"])
@pytest.mark.parametrize("wanted", ["float", "base64", None])
def test_vectors_come_in_the_form_that_was_asked_for_whatever_the_engine_sends(
    engine: RecordingEmbedder, server: Server, sent: str, wanted: str | None
) -> None:
    engine.behave = answer_vectors(sent)
    asked = {"model": MODEL, "input": TEXTS} | ({"encoding_format": wanted} if wanted else {})
    found = [item["embedding"] for item in post(server, asked)["data"]]
    assert found == ([in_base64(vector) for vector in VECTORS] if wanted == "base64" else VECTORS)


def test_what_else_the_engine_says_comes_with_the_vectors(engine: RecordingEmbedder, server: Server) -> None:
    engine.behave = answer_object(embeddings([VECTORS[0]]) | {"id": "e-1", "created": 5})
    answer = post(server, {"model": MODEL, "input": "a"})
    assert (answer["id"], answer["created"], answer["model"]) == ("e-1", 5, MODEL)


def test_the_model_is_listed_with_the_others(client: OpenAI) -> None:
    assert MODEL in {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"model": ""}, "you must provide a model parameter.", "model"),
        ({"input": ""}, "'input' must not be empty.", "input"),
        ({"input": []}, "'input' must not be empty.", "input"),
        ({"input": ["a", 7]}, "'input' must be all texts or all token ids.", "input"),
        ({"input": ["a"] * 2049}, "Too many inputs: 2049; at most 2048 in one request.", "input"),
        ({"model": "qwen-long"}, "The model qwen-long does not embed.", "model"),
    ],
)
def test_what_cannot_be_meant_is_a_400_that_says_so(
    engine: RecordingEmbedder, client: OpenAI, fields: dict[str, Any], message: str, param: str
) -> None:
    error = refused(client, **fields)
    assert (error.status_code, error.code, error.param) == (400, "invalid_parameter_error", param)
    assert message in error.message
    assert engine.requests == []


def test_2048_texts_are_let_in(engine: RecordingEmbedder, client: OpenAI) -> None:
    assert len(client.embeddings.create(model=MODEL, input=["a"] * 2048).data) == 2048
    engine.reset()
    assert len(client.embeddings.create(model=MODEL, input=[[1] * 3000]).data) == 1  # ids of a long text


def test_a_model_that_is_not_there_is_a_404(client: OpenAI) -> None:
    error = refused(client, model="text-embedding-3-small")
    assert (error.status_code, error.code) == (404, "model_not_found")


def test_what_the_engine_does_not_take_is_its_own_error(engine: RecordingEmbedder, client: OpenAI) -> None:
    own = {
        "message": "batch size is invalid, it should not be larger than 10.",
        "type": "x",
        "param": None,
        "code": "y",
    }
    engine.behave = answer_object({"error": own}, status=400)
    error = refused(client)
    assert (error.status_code, error.code, error.type) == (400, "y", "x")
    assert "larger than 10" in error.message


@pytest.mark.parametrize(
    "answer",
    [
        {"object": "list", "data": None},
        embeddings(NOT_ALL),
        embeddings([*NOT_ALL, None]),
        embeddings([*NOT_ALL, [["nested"]]]),
        embeddings([*NOT_ALL, [0.5, "one"]]),
        embeddings([*NOT_ALL, [[0.5]]]),
        {"object": "list", "data": [1, 2, 3]},
        {"object": "list", "data": [{}, {}, {}]},
        b"Infinity",
    ],
    ids=str,
)
def test_an_engine_that_sends_no_vectors_is_a_502(engine: RecordingEmbedder, client: OpenAI, answer: Any) -> None:
    engine.behave = answer_object(answer)
    error = refused(client)
    assert (error.status_code, error.code) == (502, "engine_unreachable")
    assert "embeds" in error.message


@pytest.mark.parametrize("vector", ["not base64!", "AAA=", in_base64([float("nan")]), in_base64([float("inf")])])
def test_what_is_no_number_is_not_passed_on(engine: RecordingEmbedder, client: OpenAI, vector: str) -> None:
    engine.behave = answer_object(embeddings([vector]))
    error = refused(client, input="a", encoding_format="float")
    assert (error.status_code, error.code) == (502, "engine_unreachable")


def test_vectors_of_another_engine_never_take_the_place_of_one_that_is_gone(
    engine: RecordingEmbedder, client: OpenAI
) -> None:
    for _ in range(2):  # also once it is known to be gone
        error = refused(client, model="gone")
        assert (error.status_code, error.code) == (502, "engine_unreachable")
    assert engine.requests == []


def test_a_client_that_leaves_ends_the_engines_work(engine: RecordingEmbedder, client: OpenAI) -> None:
    released = Event()
    engine.behave = hold_until(released, answer_vectors())
    with pytest.raises(APITimeoutError):
        client.with_options(timeout=0.5).embeddings.create(model=MODEL, input=TEXTS)
    assert engine.cancelled.wait(30)
    released.set()
    engine.reset()
    assert client.embeddings.create(model=MODEL, input=TEXTS).data
