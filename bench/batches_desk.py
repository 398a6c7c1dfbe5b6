"""What every part of `python -m bench batches` shares: a file of lines, and a batch's life through a stock client."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import ProxyHandler, build_opener

import msgspec
from openai import OpenAI
from openai.types import Batch

from bench.report import Progress, Section

KEY, OTHER_KEY = "sk-bench-batches", "sk-bench-others"
HEADERS = {"authorization": f"Bearer {KEY}"}
ENDPOINT: Final = "/v1/chat/completions"
ROLE = {"role": "system", "content": "You are a helpful assistant."}
LIMITS = {"file_calls_per_second": 0, "file_deletes_per_second": 0}
POLL_SECONDS, VALIDATING_POLL_SECONDS = 0.2, 0.02
BATCH_SECONDS = 1800.0
"""No batch of these takes as long: one that does hangs."""
CALL_SECONDS = 600.0
SAY_SECONDS = 2.0
ENDED = ("completed", "failed", "expired", "cancelled")
_open = build_opener(ProxyHandler({})).open

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line. `seed` is that of what is drawn, `weights` those of the embedded engine, where it
    is asked too; `command` repeats the part, `folder` is its scratch."""

    quick: bool
    seed: int
    weights: Path | None
    command: str
    folder: Path
    progress: Progress


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a part found, and what must not be, in words."""

    section: Section
    wrong: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of results: whose it is, and the answer's text; None where it failed."""

    custom_id: str
    status: int
    body: Any

    @property
    def text(self) -> str | None:
        return str(self.body["choices"][0]["message"]["content"]) if self.status == 200 else None


class BatchDesk:
    """A server and a client that has it run batches."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = OpenAI(base_url=f"{url}/v1", api_key=KEY, timeout=CALL_SECONDS, max_retries=0)

    def upload(self, path: Path) -> str:
        """Upload a file of lines."""
        with path.open("rb") as lines:
            return self.client.files.create(file=(path.name, lines), purpose="batch").id

    def create(self, file_id: str) -> str:
        """Have the lines run; the batch's id."""
        return self.client.batches.create(input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h").id

    def look(self, batch_id: str) -> Batch:
        return self.client.batches.retrieve(batch_id)

    def wait_until_validated(self, batch_id: str) -> Batch:
        """The batch as it is when its file has been looked through. Raises RuntimeError where that was not right."""
        batch = self._wait(batch_id, lambda batch: batch.status != "validating", VALIDATING_POLL_SECONDS)
        if batch.status == "failed":
            raise RuntimeError(f"the file was refused: {batch.errors}")
        return batch

    def wait_until_done(self, batch_id: str, say: Say) -> Batch:
        """The batch when all its lines are done. Raises RuntimeError where it ended otherwise."""
        batch = self._wait(batch_id, lambda batch: batch.status in ENDED, POLL_SECONDS, say)
        if batch.status != "completed":
            raise RuntimeError(f"the batch is {batch.status}: {batch.errors}")
        return batch

    def wait_until_some_done(self, batch_id: str) -> None:
        """Wait until the first results are there."""
        self._wait(batch_id, lambda batch: count_done(batch) > 0, POLL_SECONDS)

    def cancel(self, batch_id: str) -> None:
        """Have it end now, and wait until it has. Raises RuntimeError where it had ended before."""
        if (batch := self.look(batch_id)).status != "in_progress":
            raise RuntimeError(f"the batch is {batch.status} before it was to end: it has too few lines")
        self.client.batches.cancel(batch_id)
        self._wait(batch_id, lambda batch: batch.status in ENDED, POLL_SECONDS)

    def results(self, batch: Batch) -> Iterator[Line]:
        """Every line of the output and of the error file, as it comes over the wire: one at a time is held."""
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                with self.client.files.with_streaming_response.content(file_id) as content:
                    yield from map(read_result, content.iter_lines())

    def _wait(
        self, batch_id: str, is_there: Callable[[Batch], bool], poll_seconds: float, say: Say | None = None
    ) -> Batch:
        began = said = time.monotonic()
        while not is_there(batch := self.look(batch_id)):
            if time.monotonic() > began + BATCH_SECONDS:
                raise RuntimeError(f"the batch is {batch.status} after {BATCH_SECONDS:g} s: {batch}")
            if say is not None and time.monotonic() > said + SAY_SECONDS:
                said = time.monotonic()
                say(tell_counts(batch))
            time.sleep(poll_seconds)
        return batch


@contextmanager
def batch_under_way(desk: BatchDesk, path: Path) -> Iterator[str]:
    """A batch that has begun to answer, and is ended afterwards. Raises RuntimeError where it ran out of lines before."""
    batch_id = desk.create(desk.upload(path))
    desk.wait_until_validated(batch_id)
    desk.wait_until_some_done(batch_id)
    yield batch_id
    desk.cancel(batch_id)


def write_lines(path: Path, bodies: Iterable[dict[str, Any]]) -> Path:
    """A file that has each body in a line, under the custom ids `line-1`, `line-2` and so on."""
    with path.open("wb") as file:
        for number, body in enumerate(bodies, 1):
            line = {"custom_id": f"line-{number}", "method": "POST", "url": ENDPOINT, "body": body}
            file.write(msgspec.json.encode(line) + b"\n")
    return path


def number_of(custom_id: str) -> int:
    """The number of the line that has this custom id."""
    return int(custom_id.removeprefix("line-"))


def read_result(line: str) -> Line:
    result = json.loads(line)
    response = result["response"] or {"status_code": 0, "body": None}
    return Line(result["custom_id"], response["status_code"], response["body"])


def count_done(batch: Batch) -> int:
    """Lines whose results are on the server's disk."""
    counts = batch.request_counts
    return counts.completed + counts.failed if counts is not None else 0


def tell_counts(batch: Batch) -> str:
    total = batch.request_counts.total if batch.request_counts is not None else 0
    return f"{batch.status}, {count_done(batch):,} of {total:,} lines"


def ask_engine(url: str) -> dict[str, int]:
    """What `GET /asked` of the mock engine tells."""
    with _open(f"{url}/asked", timeout=60) as response:
        told: dict[str, int] = json.load(response)
        return told


def server_settings(engines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """As in production: keys asked for, every request logged. Every engine is a model's name too; the first is the default."""
    return {
        "engines": engines,
        "models": {"default": next(iter(engines)), **{name: name for name in engines}},
        "accounts": {"bench": {"keys": [KEY]}, "others": {"keys": [OTHER_KEY]}},
        "limits": LIMITS,
        "log": {"level": "info"},
    }


def mock_engine(url: str, **fields: Any) -> dict[str, Any]:
    """Settings of an engine elsewhere: the mock."""
    return {"kind": "upstream", "base_url": f"{url}/v1", "model": "mock", **fields}
