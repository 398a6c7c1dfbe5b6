"""The embedded engine, real: llama.cpp in its child process, with the weights of a tiny model made on the spot."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from openai import APIError, APIStatusError, OpenAI

from support.engine import wait_until
from support.server import Server
from support.tiny_gguf import WORDS, write_tiny_gguf

HI: Any = [{"role": "user", "content": "Hello 你好"}]
SAID = {word.replace("▁", "") for word in WORDS}
ENDLESS = 30_000
"""Tokens: far more than any test waits for."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf")


def settings_for(weights: Path, **more: Any) -> dict[str, Any]:
    engine = {"kind": "llama_cpp", "model": str(weights), "window_tokens": 32_768, "max_output_tokens": ENDLESS}
    return {"engines": {"tiny": engine | {"threads": 1} | more}, "server": {"shutdown_seconds": 1}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), settings_for(weights, slots=2)).start()
    yield running
    running.stop()


def client_of(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)


@pytest.fixture
def client(server: Server) -> OpenAI:
    return client_of(server)


def child_of(server: Server) -> psutil.Process:
    """The process that holds the model."""
    (child,) = (c for c in server.children() if "bookwheel.engines.llama_cpp_server" in c.cmdline())
    return child


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def health(server: Server) -> dict[str, Any]:
    with urlopen(f"{server.url}/health", timeout=30) as response:
        told: dict[str, Any] = json.load(response)["engines"]["tiny"]
        return told


def engine_log(server: Server) -> str:
    return (server.data_dir / "engine-tiny.log").read_text("utf-8", "replace")


def ask(client: OpenAI, tokens: int, **options: Any) -> Any:
    return client.chat.completions.create(model="qwen-long", messages=HI, max_tokens=tokens, **options)


# Answers


def test_a_whole_answer_comes_with_its_usage(client: OpenAI) -> None:
    answer = ask(client, 12)
    assert (answer.object, answer.model) == ("chat.completion", "qwen-long")
    assert answer.choices[0].message.role == "assistant"
    assert set(answer.choices[0].message.content.split()) <= SAID
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == 12 + answer.usage.prompt_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0


def test_a_streamed_answer_opens_with_an_empty_text_and_ends_with_the_usage(client: OpenAI) -> None:
    answer = ask(client, 6, stream=True, stream_options={"include_usage": True})
    first, *texts, finish, usage = [chunk.model_dump(exclude_unset=True) for chunk in answer]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(set(chunk["choices"][0]["delta"]) == {"content"} for chunk in texts)
    assert len("".join(chunk["choices"][0]["delta"]["content"] for chunk in texts).split()) == 6
    assert (finish["choices"][0]["delta"], finish["choices"][0]["finish_reason"]) == ({}, "length")
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 6)
    every = [first, *texts, finish, usage]
    assert {(c["id"], c["created"], c["model"]) for c in every} == {(first["id"], first["created"], "qwen-long")}


def test_no_usage_is_told_in_a_stream_that_did_not_ask_for_it(client: OpenAI) -> None:
    chunks = list(ask(client, 3, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert not any(chunk.usage for chunk in chunks)


def test_a_streamed_and_a_whole_answer_say_the_same(client: OpenAI) -> None:
    whole = ask(client, 20, temperature=0).choices[0].message.content
    streamed = ask(client, 20, temperature=0, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == whole


def test_a_document_is_read_whole(client: OpenAI) -> None:
    text = "The tide at Dover rises 6.7 metres in spring.\n" * 20
    file = client.files.create(file=("tides.txt", text.encode()), purpose="file-extract")
    messages: Any = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "system", "content": f"fileid://{file.id}"},
        *HI,
    ]
    answers = [client.chat.completions.create(model="qwen-long", messages=messages, max_tokens=5) for _ in range(2)]
    used = [answer.usage for answer in answers]
    assert used[0] is not None
    assert used[1] is not None
    assert used[0].prompt_tokens > len(text)  # this model's tokens are single bytes
    assert used[1].prompt_tokens == used[0].prompt_tokens
    assert used[1].prompt_tokens_details is not None
    assert used[1].prompt_tokens_details.cached_tokens is not None
    assert used[1].prompt_tokens_details.cached_tokens > len(text)  # what was read is not read again


def test_a_prompt_over_the_engines_own_window_is_its_400(client: OpenAI) -> None:
    with pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model="qwen-long", messages=[{"role": "user", "content": "x " * 40_000}])
    assert caught.value.status_code == 400
    assert "context" in str(caught.value)


def test_more_requests_than_slots_are_all_answered(client: OpenAI) -> None:
    told: dict[int, int] = {}

    def one(tokens: int) -> None:
        told[tokens] = ask(client, tokens).usage.completion_tokens

    threads = [threading.Thread(target=one, args=(tokens,)) for tokens in range(20, 26)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {tokens: tokens for tokens in range(20, 26)}


# Leaving, dying, ending


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_leaves_frees_the_slot(server: Server, client: OpenAI, streamed: bool) -> None:
    launched, cancelled = engine_log(server).count("launch_slot_"), engine_log(server).count("cancel task")
    if streamed:
        answer = ask(client, ENDLESS, stream=True)
        next(answer)
        answer.close()
    else:
        with pytest.raises(APIError):  # the client gives up: it is a time-out of its own
            ask(client, ENDLESS, timeout=0.5)
    wait_until(lambda: engine_log(server).count("cancel task") > cancelled)
    assert engine_log(server).count("launch_slot_") > launched
    assert ask(client, 3).usage.completion_tokens == 3


def test_a_child_that_dies_in_mid_stream_raises_in_the_client_and_the_next_question_is_answered(
    server: Server, client: OpenAI
) -> None:
    child = child_of(server)
    answer = ask(client, ENDLESS, stream=True)
    next(answer)
    child.kill()
    with pytest.raises(APIError) as caught:
        list(answer)
    assert caught.value.code == "engine_unreachable"
    is_back(server, client, child)


def test_a_question_whose_child_dies_before_its_answer_is_asked_again(server: Server, client: OpenAI) -> None:
    child = child_of(server)
    launched = engine_log(server).count("launch_slot_")

    def kill_when_it_works() -> None:
        wait_until(lambda: engine_log(server).count("launch_slot_") > launched)
        child.kill()

    killer = threading.Thread(target=kill_when_it_works)
    killer.start()
    assert ask(client, 1_000).usage.completion_tokens == 1_000
    killer.join()
    is_back(server, client, child)


def is_back(server: Server, client: OpenAI, dead: psutil.Process) -> None:
    """A question asked while the engine is being started again waits for it."""
    assert ask(client, 3).usage.completion_tokens == 3
    assert child_of(server).pid != dead.pid
    assert health(server)["ready"]


def test_the_child_ends_with_its_server_however_that_ends(start_server: Callable[..., Server], weights: Path) -> None:
    server = start_server(settings_for(weights))
    assert ask(client_of(server), 3).usage.completion_tokens == 3
    child = child_of(server)
    server.kill()
    wait_until(lambda: not is_running(child))
    server.start()
    answer = ask(client_of(server), ENDLESS, stream=True)
    next(answer)
    child = child_of(server)
    assert server.stop() == 0
    assert not is_running(child)
    answer.close()


# Weights that are not there, or are none


def test_weights_that_are_not_there_stop_the_start_with_one_line(tmp_path: Path) -> None:
    server = Server(tmp_path, settings_for(tmp_path / "nowhere.gguf"))
    with pytest.raises(RuntimeError, match="the server ended with 2"):
        server.start()
    lines = server.log_path.read_text("utf-8").strip().splitlines()
    said = " ".join(lines)  # the console may wrap it
    assert said.startswith(f"bookwheel: engines.tiny.model = {tmp_path / 'nowhere.gguf'}: no such weights here")
    assert "Traceback" not in said


def test_broken_weights_are_an_error_at_once_and_the_health_says_so(
    start_server: Callable[..., Server], weights: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(weights.read_bytes()[:200_000])
    server = start_server(settings_for(broken))
    with pytest.raises(APIStatusError) as caught:
        client_of(server).with_options(timeout=20).chat.completions.create(model="qwen-long", messages=HI)
    assert (caught.value.status_code, caught.value.code) == (502, "engine_unreachable")
    assert "engine-tiny.log" in str(caught.value)
    assert not health(server)["ready"]
