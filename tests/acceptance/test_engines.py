"""Several engines behind one server: one answers in another's place, accounts take turns, settings are read again, and the
server ends when its answers have ended."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w
from openai import APIError, AuthenticationError, InternalServerError, NotFoundError, OpenAI, RateLimitError

from support.embedder import RecordingEmbedder, answer_vectors
from support.engine import (
    Desk,
    RecordingEngine,
    answer_object,
    answer_words,
    chunk,
    content_of,
    event,
    hold_until,
    stream_pieces,
    wait_until,
)
from support.server import Server

NOWHERE = {"kind": "upstream", "base_url": "http://127.0.0.1:9/v1", "model": "m", "connect_seconds": 2}
OPENING = event(chunk({"role": "assistant", "content": ""})) + event(chunk({"content": "Once"}))


@contextmanager
def serving(folder: Path, settings: dict[str, Any]) -> Iterator[Server]:
    limits = {"file_calls_per_second": 0, "file_deletes_per_second": 0}
    server = Server(folder, {"limits": limits} | settings)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def engine() -> Iterator[RecordingEngine]:
    started = RecordingEngine().start()
    yield started
    started.close()


@pytest.fixture
def spare() -> Iterator[RecordingEngine]:
    started = RecordingEngine().start()
    started.behave = answer_words(["Spare", " words"])
    yield started
    started.close()


def client_of(server: Server, api_key: str = "any") -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=api_key, max_retries=0)


def ask(client: OpenAI, *, stream: bool = False, file_ids: tuple[str, ...] = (), **body: Any) -> str:
    """A question's answer; streamed or not."""
    references = [{"role": "system", "content": f"fileid://{file_id}"} for file_id in file_ids]
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        *references,
        {"role": "user", "content": "Who built it?"},
    ]
    answer = client.chat.completions.create(**({"model": "qwen-long", "messages": messages, "stream": stream} | body))
    if not stream:
        return answer.choices[0].message.content or ""
    return "".join(c.choices[0].delta.content or "" for c in answer if c.choices)  # type: ignore[union-attr]


def two_engines(engine: RecordingEngine, spare: RecordingEngine, **more: Any) -> dict[str, Any]:
    first = engine.settings(fallback=["second"], retries=1) | more
    return {"engines": {"first": first, "second": spare.settings()}, "models": {"default": "first"}}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "failure",
    [
        answer_object({"error": {"message": "Out of memory."}}, 500),
        answer_object({"error": {"message": "Slow down."}}, 429, {"retry-after": "3600"}),
        stream_pieces([], abort=True),
        answer_object(b"<html>"),
    ],
    ids=["500", "429", "closes at once", "garbage"],
)
def test_where_an_engine_fails_the_next_one_answers_and_the_client_does_not_notice(
    tmp_path: Path, engine: RecordingEngine, spare: RecordingEngine, failure: Any, stream: bool
) -> None:
    engine.behave = failure
    with serving(tmp_path, two_engines(engine, spare)) as server:
        assert ask(client_of(server), stream=stream) == "Spare words"
        assert engine.requests
        assert any(line.get("action") == "another engine answers" for line in server.log_events())


def test_the_spare_engine_is_shown_what_fits_it(tmp_path: Path, spare: RecordingEngine) -> None:
    second = spare.settings(window_tokens=2_000, max_output_tokens=200)
    engines = {"first": NOWHERE | {"fallback": ["second"], "retries": 0, "window_tokens": 100_000}, "second": second}
    with serving(tmp_path, {"engines": engines, "models": {"default": "first"}}) as server:
        client = client_of(server)
        text = "\n".join(f"Mill number {n} was built by miller {n}." for n in range(2_000))
        file = client.files.create(file=("mills.txt", text.encode()), purpose="file-extract")
        messages: Any = [
            {"role": "system", "content": f"fileid://{file.id}"},
            {"role": "user", "content": "Who built mill number 1234?"},
        ]
        answer = client.chat.completions.create(model="qwen-long", messages=messages)
        context = answer.model_extra["bookwheel"]["context"]  # type: ignore[index]
        assert (context["engine"], context["window_tokens"], context["reading"]) == ("second", 2_000, "relevant")
        assert "Mill number 1234 " in content_of(spare.requests[0]["messages"][0])


def test_an_engine_that_is_down_is_passed_over_until_it_is_well(
    tmp_path: Path, engine: RecordingEngine, spare: RecordingEngine
) -> None:
    engine.behave = answer_object({"error": {"message": "Loading."}}, 503)
    with serving(tmp_path, two_engines(engine, spare, retries=0)) as server:
        client = client_of(server)
        assert ask(client) == "Spare words"
        asked = len(engine.requests)
        assert ask(client) == "Spare words"
        assert len(engine.requests) == asked  # known to be down: not asked again
        engine.behave = answer_words(["Well", " again"])
        wait_until(lambda: any(line.get("action") == "engine up" for line in server.log_events()))
        assert ask(client) == "Well again"


def test_a_refusal_is_the_clients_and_goes_to_no_other_engine(
    tmp_path: Path, engine: RecordingEngine, spare: RecordingEngine
) -> None:
    engine.behave = answer_object({"error": {"message": "No such tool.", "code": "bad_tool"}}, 400)
    with serving(tmp_path, two_engines(engine, spare)) as server:
        with pytest.raises(APIError, match=r"No such tool\."):
            ask(client_of(server))
        assert not spare.requests


def test_an_answer_that_breaks_off_is_not_begun_again_by_another_engine(
    tmp_path: Path, engine: RecordingEngine, spare: RecordingEngine
) -> None:
    engine.behave = stream_pieces([OPENING], abort=True)
    with serving(tmp_path, two_engines(engine, spare)) as server:
        with pytest.raises(APIError, match="first"):
            ask(client_of(server), stream=True)
        assert len(engine.requests) == 1
        assert not spare.requests


def test_where_all_engines_fail_the_last_ones_error_comes(tmp_path: Path, engine: RecordingEngine) -> None:
    engine.behave = answer_object({"error": {"message": "Out of memory."}}, 500)
    engines = {"first": NOWHERE | {"fallback": ["second"], "retries": 0}, "second": engine.settings(retries=0)}
    with serving(tmp_path, {"engines": engines, "models": {"default": "first"}}) as server:
        with pytest.raises(InternalServerError, match=r"Out of memory\.") as raised:
            ask(client_of(server), stream=True)
        assert raised.value.status_code == 502


def test_more_than_may_wait_are_told_when_to_come_again(tmp_path: Path, engine: RecordingEngine) -> None:
    release = threading.Event()
    engine.behave = hold_until(release, answer_words(["Done"]))
    settings = {"engines": {"one": engine.settings(concurrency=1, queue=1)}}
    with serving(tmp_path, settings) as server, ThreadPoolExecutor(2) as pool:
        client = client_of(server)
        running = pool.submit(ask, client)
        wait_until(engine.started.is_set)
        waiting = pool.submit(ask, client)
        health = client._client.get(f"{server.url}/health")
        wait_until(lambda: client._client.get(f"{server.url}/health").json()["engines"]["one"]["waiting"] == 1)
        assert health.json()["engines"]["one"]["running"] == 1
        assert health.json()["engines"]["one"]["running_background"] == 0
        with pytest.raises(RateLimitError) as raised:
            ask(client)
        assert 1 <= int(raised.value.response.headers["retry-after"]) <= 60
        assert raised.value.body["code"] == "limit_requests"  # type: ignore[index]
        release.set()
        assert (running.result(30), waiting.result(30)) == ("Done", "Done")
        assert len(engine.requests) == 2


def test_one_accounts_many_questions_do_not_keep_another_waiting(tmp_path: Path, engine: RecordingEngine) -> None:
    release = threading.Event()
    engine.behave = hold_until(release, answer_words(["Done"]))
    accounts = {"ely": {"keys": ["ely-key-1"]}, "ada": {"keys": ["ada-key-1"]}}
    settings = {"engines": {"one": engine.settings(concurrency=1)}, "accounts": accounts}
    with serving(tmp_path, settings) as server, ThreadPoolExecutor(8) as pool:
        ely, ada = client_of(server, "ely-key-1"), client_of(server, "ada-key-1")
        asked = [pool.submit(ask, ely, user=f"ely-{n}") for n in range(6)]

        def waiting(count: int) -> bool:
            return bool(ely._client.get(f"{server.url}/health").json()["engines"]["one"]["waiting"] == count)

        wait_until(lambda: waiting(5))
        asked.append(pool.submit(ask, ada, user="ada"))
        wait_until(lambda: waiting(6))
        release.set()
        assert [answer.result(30) for answer in asked] == ["Done"] * 7
    assert [request["user"] for request in engine.requests].index("ada") == 1


def test_one_accounts_many_texts_do_not_keep_anothers_waiting(tmp_path: Path) -> None:
    embedder, release = RecordingEmbedder().start(), threading.Event()
    embedder.behave = hold_until(release, answer_vectors())
    engines = {"one": embedder.settings(concurrency=1), "fake": {"kind": "fake"}}
    accounts = {"ely": {"keys": ["ely-key-1"]}, "ada": {"keys": ["ada-key-1"]}}
    settings = {"engines": engines, "accounts": accounts, "models": {"default": "fake", "vectors": "one"}}
    with serving(tmp_path, settings) as server, ThreadPoolExecutor(8) as pool:
        ely, ada = client_of(server, "ely-key-1"), client_of(server, "ada-key-1")

        def embed(client: OpenAI, text: str) -> int:
            return len(client.embeddings.create(model="vectors", input=text).data)

        def wait_for(count: int) -> None:
            wait_until(lambda: ely._client.get(f"{server.url}/health").json()["engines"]["one"]["waiting"] == count)

        asked = [pool.submit(embed, ely, "ely's") for _ in range(6)]
        wait_for(5)
        asked.append(pool.submit(embed, ada, "ada's"))
        wait_for(6)
        release.set()
        assert [answer.result(30) for answer in asked] == [1] * 7
    assert [request["input"] for request in embedder.requests].index("ada's") == 1
    embedder.close()


def test_who_goes_away_while_waiting_leaves_the_queue(tmp_path: Path, engine: RecordingEngine) -> None:
    release = threading.Event()
    engine.behave = hold_until(release, answer_words(["Done"]))
    settings = {"engines": {"one": engine.settings(concurrency=1)}}
    with serving(tmp_path, settings) as server, ThreadPoolExecutor(2) as pool:
        client = client_of(server)
        running = pool.submit(ask, client)
        wait_until(engine.started.is_set)
        with pytest.raises(APIError):
            ask(client, timeout=0.2)

        def health() -> dict[str, Any]:
            return dict(client._client.get(f"{server.url}/health").json()["engines"]["one"])

        wait_until(lambda: health()["waiting"] == 0)
        release.set()
        assert running.result(30) == "Done"
        wait_until(lambda: health()["running"] == 0)
    assert len(engine.requests) == 1


def rewrite(server: Server, settings: dict[str, Any]) -> None:
    """Other settings in the server's file, and have it read them."""
    kept = {"data_dir": str(server.data_dir), "log": server.settings["log"], "limits": server.settings["limits"]}
    (server.folder / "bookwheel.toml").write_text(tomli_w.dumps(kept | settings), "utf-8")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)


def reloads(server: Server, event_name: str = "settings reloaded") -> int:
    return sum(line.get("action") == event_name for line in server.log_events())


def test_settings_are_read_again_and_no_stream_is_dropped(
    tmp_path: Path, engine: RecordingEngine, spare: RecordingEngine
) -> None:
    engine.behave = answer_words(["Old"] * 40, pause_seconds=0.05)
    with serving(tmp_path, {"engines": {"one": engine.settings()}}) as server:
        client = client_of(server)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(ask, client, stream=True)
            wait_until(engine.started.is_set)
            rewrite(server, {"engines": {"two": spare.settings()}, "models": {"default": "two", "extra": "two"}})
            wait_until(lambda: reloads(server))
            assert ask(client) == "Spare words"
            assert ask(client, model="extra") == "Spare words"
            assert {"qwen-long", "extra"} <= {model.id for model in client.models.list()}
            assert running.result(30) == "Old" * 40


def test_wrong_settings_are_refused_in_the_log_and_the_old_ones_stay(tmp_path: Path, engine: RecordingEngine) -> None:
    with serving(tmp_path, {"engines": {"one": engine.settings()}}) as server:
        client = client_of(server)
        rewrite(server, {"engines": {"one": {"kind": "upstream"}}})
        wait_until(lambda: reloads(server, "settings not reloaded"))
        assert ask(client) == "Hello world"
        rewrite(server, {"engines": {"one": {"kind": "llama_cpp", "model": "/nowhere/own.gguf"}}})
        wait_until(lambda: reloads(server, "settings not reloaded") == 2)
        assert ask(client) == "Hello world"
        with pytest.raises(NotFoundError):
            ask(client, model="extra")


def test_keys_come_and_go_with_the_settings(tmp_path: Path, engine: RecordingEngine) -> None:
    engines = {"engines": {"one": engine.settings()}}
    with serving(tmp_path, engines | {"accounts": {"ely": {"keys": ["ely-key-1"]}}}) as server:
        assert ask(client_of(server, "ely-key-1")) == "Hello world"
        rewrite(server, engines | {"accounts": {"ely": {"keys": ["ely-key-2"]}}})
        wait_until(lambda: reloads(server))
        assert ask(client_of(server, "ely-key-2")) == "Hello world"
        with pytest.raises(AuthenticationError):
            ask(client_of(server, "ely-key-1"))


def test_the_log_names_settings_that_wait_for_a_restart(tmp_path: Path, engine: RecordingEngine) -> None:
    engines = {"engines": {"one": engine.settings()}}
    with serving(tmp_path, engines) as server:
        rewrite(server, engines | {"reading": {"searches": 5}})
        wait_until(lambda: reloads(server))
        told = next(line for line in server.log_events() if line.get("action") == "settings reloaded")
        assert "reading" in told["after_a_restart"]
        assert "engines" not in told["after_a_restart"]


def test_a_server_that_is_asked_to_end_lets_its_streams_end(tmp_path: Path, engine: RecordingEngine) -> None:
    engine.behave = answer_words(["On"] * 30, pause_seconds=0.05)
    with serving(tmp_path, {"engines": {"one": engine.settings()}}) as server, ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, client_of(server), stream=True)
        wait_until(engine.started.is_set)
        assert server.stop() == 0
        assert running.result(30) == "On" * 30


def test_a_stream_that_does_not_end_in_time_is_told_so(tmp_path: Path, engine: RecordingEngine) -> None:
    engine.behave = hold_until(threading.Event(), answer_words([]), opening=[OPENING])
    settings = {"engines": {"one": engine.settings()}, "server": {"shutdown_seconds": 1}}
    with serving(tmp_path, settings) as server, ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, client_of(server), stream=True)
        wait_until(engine.started.is_set)
        assert server.stop() == 0
        with pytest.raises(APIError, match="server is stopping"):
            running.result(30)
        wait_until(engine.cancelled.is_set)


def open_files_of(server: Server) -> int:
    return len(psutil.Process(server.process_id).net_connections())


def test_hundreds_of_failed_answers_leave_no_connection_and_no_turn_behind(
    tmp_path: Path, engine: RecordingEngine
) -> None:
    failures = [
        stream_pieces([OPENING], abort=True),
        stream_pieces([OPENING]),
        stream_pieces([b"data: {no json\n\n"]),
        stream_pieces([], abort=True),
        answer_object({"error": {"message": "No."}}, 500),
        answer_object({"error": {"message": "No."}}, 429),
        hold_until(threading.Event(), answer_words([]), opening=[OPENING]),
    ]
    settings = {"engines": {"one": engine.settings(concurrency=4, retries=0, silence_seconds=0.2)}}
    with serving(tmp_path, settings) as server, ThreadPoolExecutor(4) as pool:
        client = client_of(server)
        assert ask(client, stream=True) == "Hello world"
        before = open_files_of(server)
        for failure in failures:
            engine.behave = failure
            outcomes = [pool.submit(ask, client, stream=stream) for stream in (True, False) * 12]
            assert all(isinstance(outcome.exception(30), APIError) for outcome in outcomes)
        engine.behave = answer_words(["Hello", " world"])
        assert ask(client, stream=True) == "Hello world"
        health = client._client.get(f"{server.url}/health").json()["engines"]["one"]
        assert (health["running"], health["waiting"]) == (0, 0)
        wait_until(lambda: open_files_of(server) <= before + 5)


def test_a_desk_and_its_documents_go_on_over_a_reload(tmp_path: Path, engine: RecordingEngine) -> None:
    with serving(tmp_path, {"engines": {"one": engine.settings()}}) as server:
        desk = Desk(server, engine)
        file_id = desk.upload("mill.txt", "The mill was built by Ely.")
        rewrite(server, {"engines": {"one": engine.settings(window_tokens=9_000)}})
        wait_until(lambda: reloads(server))
        assert ask(desk.client, file_ids=(file_id,)) == "Hello world"
        assert "built by Ely" in content_of(engine.requests[-1]["messages"][0])
