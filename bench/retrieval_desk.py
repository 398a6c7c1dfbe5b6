"""A running server whose engine keeps what it is shown: upload files, ask, and see the very text the engine saw.

Bench and evaluations share it. Every part is a process of its own.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import psutil
from openai import OpenAI

from bench.measure import MB
from bench.processes import Participant, RunningServer, ask_health, running_server
from bench.report import Progress

RECORDER = "recorder"
"""The engine that keeps what it is shown, and the model's name for it."""
QUOTES = "quotes"
"""The extractive engine, and the model's name for it."""
ROLE = "You are a helpful assistant."
READ_SECONDS = 3600.0
LOAD_SECONDS = 300.0
UPLOADS_AT_ONCE = 4
LIMITS = {"file_calls_per_second": 0, "file_deletes_per_second": 0}
"""No rates: files come as fast as they can."""
_open = build_opener(ProxyHandler({})).open
_BEGIN, _END = "<document name=", "</document>"


@dataclass(frozen=True, slots=True)
class Shown:
    """What an engine was shown: the framed documents, and all the rest of the messages but the question."""

    documents: str
    besides: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question's way to the engine. `milliseconds` is from the client's call to the engine's first byte, 0.0 where no
    engine was called that keeps it; `report` is the answer's `bookwheel` object."""

    answer: str
    shown: Shown
    milliseconds: float
    seconds: float
    report: Mapping[str, Any]


class Desk:
    """A server, its recording engine and a stock client. Questions are asked one at a time."""

    def __init__(self, server: RunningServer, engine_url: str) -> None:
        self.server = server
        self._engine_url = engine_url
        self.client = OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=READ_SECONDS, max_retries=0)

    def upload(self, files: Iterable[Path], progress: Progress) -> dict[Path, str]:
        """The files' ids, all of them read. Raises RuntimeError where one cannot be."""
        wanted = list(files)
        ids: dict[Path, str] = {}
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            for number, (path, file_id) in enumerate(zip(wanted, pool.map(self._send, wanted), strict=True), 1):
                ids[path] = file_id
                progress.say(f"file {number} of {len(wanted)} uploaded")
        for number, (path, file_id) in enumerate(ids.items(), 1):
            file = self.client.files.wait_for_processing(file_id, poll_interval=0.2, max_wait_seconds=READ_SECONDS)
            progress.say(f"file {number} of {len(wanted)} read")
            if file.status != "processed":
                raise RuntimeError(f"{path.name} could not be read: {file.status_details}")
        return ids

    def ask(
        self,
        question: str,
        file_ids: Sequence[str],
        options: Mapping[str, Any],
        model: str = RECORDER,
        answer_tokens: int | None = None,
    ) -> Asked:
        """Ask one question about files. `options` is the request's `bookwheel` object. Raises openai.APIError."""
        limit = {} if answer_tokens is None else {"max_tokens": answer_tokens}
        self._take()
        began = time.monotonic()
        completion = self.client.chat.completions.create(
            model=model,
            messages=[
                {"role": "system", "content": ROLE},
                {"role": "system", "content": ",".join(f"fileid://{file_id}" for file_id in file_ids)},
                {"role": "user", "content": question},
            ],
            temperature=0,
            extra_body={"bookwheel": dict(options), **limit},
        )
        seconds = time.monotonic() - began
        kept = self._take()
        received = 1000 * (kept[-1]["received"] - began) if kept else 0.0
        shown = take_documents(kept[-1]["messages"]) if kept else Shown("", "")
        report = (completion.model_extra or {}).get("bookwheel") or {}
        return Asked(completion.choices[0].message.content or "", shown, received, seconds, report)

    def wait_until_ready(self, engine: str) -> None:
        """Wait for an engine that loads weights. Raises RuntimeError where it does not load in time."""
        deadline = time.monotonic() + LOAD_SECONDS
        while not ask_health(self.server.url)["engines"][engine]["ready"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the engine did not load within {LOAD_SECONDS:g} seconds")
            time.sleep(0.2)

    def _send(self, path: Path) -> str:
        with path.open("rb") as content:
            return self.client.files.create(file=(path.name, content), purpose="file-extract").id  # type: ignore[arg-type]

    def _take(self) -> list[dict[str, Any]]:
        with _open(f"{self._engine_url}/shown", timeout=60) as response:
            kept: list[dict[str, Any]] = json.load(response)
            return kept


@contextmanager
def open_desk(
    folder: Path, window_tokens: int, more_engines: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[Desk]:
    """A server with its data under `folder`, the recording engine with this window, and the extractive engine."""
    with ExitStack() as running:
        engine = running.enter_context(Participant("bench.recording_engine"))
        url = engine.read()["url"]
        recorder = {"kind": "upstream", "base_url": f"{url}/v1", "model": "mock", "window_tokens": window_tokens}
        engines = {RECORDER: recorder, QUOTES: {"kind": "extractive"}, **(more_engines or {})}
        models = {"default": RECORDER, **{name: name for name in engines}}
        settings = {"engines": engines, "models": models, "limits": LIMITS, "ingest": {"upload_wait_seconds": 0.0}}
        yield Desk(running.enter_context(running_server(folder, settings)), url)


def take_documents(messages: Sequence[Mapping[str, Any]]) -> Shown:
    """Part a prompt: from the first document's frame to the end of the last, in every message; and what is left of them
    but the last message's own words, which are the question."""
    documents: list[str] = []
    besides: list[str] = []
    for number, text in enumerate(map(_text_of, messages), 1):
        begin, end = text.find(_BEGIN), text.rfind(_END) + len(_END)
        if begin >= 0 and end > begin:
            documents.append(text[begin:end])
            besides += [text[:begin], text[end:]]
        elif number < len(messages):
            besides.append(text)
    return Shown("\n\n".join(documents), "\n".join(part.strip() for part in besides if part.strip()))


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def tree_cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and of all that it started, those that have ended and were waited for too."""
    root = psutil.Process(pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def own_mb(pid: int) -> float:
    """The memory that would be free again if the process ended: without pages of files that the kernel only keeps at hand."""
    return float(psutil.Process(pid).memory_full_info().uss / MB)


def forget_pages(folder: Path) -> int:
    """Ask the kernel to drop the page cache of all files below a folder; how many bytes they have. Pages that a process has
    mapped stay."""
    total = 0
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            total += path.stat().st_size
    return total
