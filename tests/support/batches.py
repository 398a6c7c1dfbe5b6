"""Batches in tests: lines and files of them, a server to run them on, and what came of each line."""

import asyncio
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from openai import OpenAI
from openai.types import Batch

from bookwheel.storage.blobs import ORIGINAL, Blobs
from support.engine import Behaviour, Desk, RecordingEngine, answer_words, content_of
from support.server import Server

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
DRY_RUN = "/v1/chat/ds-test"
TEST_MODEL = "batch-test-model"
ENDED = ("failed", "completed", "expired", "cancelled")
END_SECONDS = 120.0
ACCOUNTS = ("ann", "bob", "lister", "node")

Line = dict[str, Any] | bytes


@dataclass(frozen=True)
class Outcome:
    """How the lines of a batch ended, by custom_id: answers stand in its output file, failures in its error file."""

    answers: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, Any] = field(default_factory=dict)

    def answer(self, custom_id: str) -> Any:
        """The body that a line was answered with."""
        return self.answers[custom_id]["response"]["body"]

    def code(self, custom_id: str) -> str:
        """Why a line failed."""
        return str(self.failures[custom_id]["error"]["code"])


class BatchDesk(Desk):
    """As `Desk`; accounts have keys, and the client is Ann's."""

    def new_client(self, prefix: str = "/compatible-mode/v1", api_key: str = "key-of-ann", **options: Any) -> OpenAI:
        return super().new_client(prefix, api_key, **options)


@contextmanager
def open_batch_desk(
    folder: Path,
    settings: dict[str, Any] | None = None,
    engines: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[BatchDesk]:
    """A desk without rate limits whose lines are tried twice. Public names: those of its engines; `qwen-long` is recording,
    `single` the same engine one line at a time, `fake`, `quotes` (extractive), and those that are given."""
    engine = RecordingEngine().start()
    recording = engine.settings(window_tokens=10_000_000, retries=0)
    known = {
        "recording": recording,
        "single": recording | {"batch_concurrency": 1},
        "fake": {"kind": "fake", "window_tokens": 10_000_000},
        "quotes": {"kind": "extractive"},
    } | (engines or {})
    made = {
        "engines": known,
        "models": {"default": "recording"} | {name: name for name in known if name != "recording"},
        "accounts": {name: {"keys": [f"key-of-{name}"]} for name in ACCOUNTS},
        "limits": {"file_calls_per_second": 0, "file_deletes_per_second": 0},
        "batches": {"retries": 1},
    }
    server = Server(folder, made | (settings or {}), environment)
    try:
        yield BatchDesk(server.start(), engine)
    finally:
        server.stop()
        engine.close()


def ask(question: str, *documents: str, model: str = "qwen-long", **options: Any) -> dict[str, Any]:
    """The body of a chat request, each document in a system message of its own."""
    system = [{"role": "system", "content": content} for content in ("You are a helpful assistant.", *documents)]
    return {"model": model, "messages": [*system, {"role": "user", "content": question}]} | options


def line(custom_id: str, body: dict[str, Any], url: str = CHAT) -> dict[str, Any]:
    """A line of an input file."""
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def dry_lines(count: int) -> list[Line]:
    """Lines for the test model."""
    return [line(f"dry-{number}", ask(f"Line {number}?", model=TEST_MODEL), DRY_RUN) for number in range(count)]


def jsonl(lines: list[Line]) -> bytes:
    """An input file. A line that is given in bytes stands there as it is."""
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines)


def upload(client: OpenAI, content: bytes, filename: str = "lines.jsonl") -> str:
    """The id of an input file."""
    return client.files.create(file=(filename, content), purpose="batch").id


def submit(client: OpenAI, lines: list[Line] | bytes, endpoint: str = CHAT, **options: Any) -> Batch:
    """A batch of these lines, or of a file of these bytes."""
    file_id = upload(client, lines if isinstance(lines, bytes) else jsonl(lines))
    return create(client, file_id, endpoint, **options)


def create(client: OpenAI, file_id: str, endpoint: str = CHAT, **options: Any) -> Batch:
    """A batch of an input file that was uploaded."""
    wanted: Any = {"completion_window": "24h", "endpoint": endpoint, "input_file_id": file_id} | options
    batch: Batch = client.batches.create(**wanted)
    return batch


def wait_for_status(client: OpenAI, batch: Batch, *statuses: str) -> Batch:
    """A batch when it has come to one of the statuses."""

    return _wait_for(client, batch, lambda now: now.status in statuses)


def wait_for_end(client: OpenAI, batch: Batch) -> Batch:
    """A batch when it has ended."""
    return wait_for_status(client, batch, *ENDED)


def wait_for_counts(client: OpenAI, batch: Batch, *, completed: int, failed: int = 0) -> Batch:
    """A batch when so many of its lines have ended."""

    return _wait_for(client, batch, lambda now: counts(now)[1:] == (completed, failed))


def _wait_for(client: OpenAI, batch: Batch, is_wanted: Callable[[Batch], bool]) -> Batch:
    deadline = time.monotonic() + END_SECONDS
    while not is_wanted(now := client.batches.retrieve(batch.id)):
        assert time.monotonic() < deadline, f"the batch did not come to it: {now}"
        time.sleep(0.02)
    return now


def counts(batch: Batch) -> tuple[int, int, int]:
    """(total, completed, failed)."""
    assert batch.request_counts is not None
    return batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed


def outcome(client: OpenAI, batch: Batch) -> Outcome:
    """What came of the lines of a batch that has ended: each once, and as many as were counted."""
    answers, failures = _results(client, batch.output_file_id), _results(client, batch.error_file_id)
    assert not answers.keys() & failures.keys()
    assert (len(answers), len(failures)) == counts(batch)[1:]
    return Outcome(answers, failures)


def run(client: OpenAI, lines: list[Line] | bytes, endpoint: str = CHAT, **options: Any) -> Outcome:
    """What comes of the lines of a batch that is completed."""
    batch = wait_for_end(client, submit(client, lines, endpoint, **options))
    assert batch.status == "completed", batch.errors
    return outcome(client, batch)


def _results(client: OpenAI, file_id: str | None) -> dict[str, Any]:
    if file_id is None:
        return {}
    results = [json.loads(one) for one in client.files.content(file_id).text.split("\n") if one]
    by_custom_id = {result["custom_id"]: result for result in results}
    assert len(by_custom_id) == len(results)
    assert len({result["id"] for result in results}) == len(results)
    return by_custom_id


def query(server: Server, sql: str, *values: object) -> list[Any]:
    """Ask or change the server's database."""
    with closing(sqlite3.connect(server.data_dir / "bookwheel.db", timeout=30)) as database, database:
        return database.execute(sql, values).fetchall()


def original(server: Server, file_id: str) -> Path:
    """Where the bytes of a file lie."""
    return Blobs(server.data_dir).path(file_id, ORIGINAL)


def asked(engine: RecordingEngine) -> list[str]:
    """The questions that an engine was asked, in order."""
    return [content_of(request["messages"][-1]) for request in engine.requests]


def by_question(answers: dict[str, Behaviour], otherwise: Behaviour | None = None) -> Behaviour:
    """Behave by the first word of what is asked."""

    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        first_word = content_of(body["messages"][-1]).split()[0]
        return await answers.get(first_word, otherwise or answer_words(["Hello", " world"]))(request, body)

    return behave


def one_after_another(*steps: Behaviour) -> Behaviour:
    """Behave as each of these for one request; as the last one from then on."""
    left = list(steps)

    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request, body)

    return behave


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LateEngine(RecordingEngine):
    """An engine whose address is known before it is there: nothing listens until it is started."""

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()


class Blockade:
    """A pipe in the place of a small file: whoever opens it to read is held there, until `lift`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = path.with_name(f"{path.name}.kept")
        self._pipe = path.with_name(f"{path.name}.pipe")
        self._held: int | None = None
        os.mkfifo(self._pipe)
        path.rename(self._kept)
        os.link(self._pipe, path)

    def is_met(self) -> bool:
        """Whether somebody is held."""
        if self._held is None:
            with suppress(OSError):
                self._held = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
        return self._held is not None

    def clear(self) -> None:
        """Put the file back, for those who come from now on."""
        self._kept.replace(self._path)
        self._pipe.unlink()

    def lift(self) -> None:
        """Let go who is held: what it reads is what the file has. After `clear`."""
        if self._held is not None:
            os.write(self._held, self._path.read_bytes())
            os.close(self._held)
