"""What batches are run with inside a test: lines of input files, engines and readers that do as they are told."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import msgspec

from bookwheel.answering.answer import Answering
from bookwheel.answering.digests import Digests
from bookwheel.answering.documents import DocumentDesk
from bookwheel.batches.answer import LineAnswer, LineAnswering, failure
from bookwheel.batches.callbacks import Callbacks, FinishEvent
from bookwheel.batches.lines import CHAT_ENDPOINT
from bookwheel.batches.results import result_id
from bookwheel.batches.run import Desk
from bookwheel.engines.engine import Completion, Embeddings, EngineHealth, EngineRequest
from bookwheel.engines.fake import FakeEngine
from bookwheel.engines.guard import GuardedEngine
from bookwheel.engines.roster import Roster
from bookwheel.errors import ApiError
from bookwheel.files.files import Files, NewFile
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.settings import LimitSettings, ReadingSettings, Settings
from bookwheel.storage.blobs import Blobs
from bookwheel.storage.database import Database
from bookwheel.storage.files import FileRecord
from bookwheel.wire.batches import LineResponse, LineResult

BATCH_ID = "batch_6f1f2c1e-58b4-4b5c-9d0c-0d8f8a0a9a11"

Outcome = ApiError | None
Behaviour = Callable[[str], Awaitable[Outcome]]


def line(custom_id: str, body: Any, url: str = CHAT_ENDPOINT) -> bytes:
    """A line of an input file, without its end."""
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body}).encode()


def chat(question: str, *documents: str, role: str | None = "Be brief.", model: str = "qwen-long") -> dict[str, Any]:
    """A request about documents, each in a system message of its own. Where there is no role, there are no documents."""
    system = [{"role": "system", "content": content} for content in (role, *documents) if content is not None]
    return {"model": model, "messages": [*system, {"role": "user", "content": question}]}


def chat_lines(count: int) -> list[bytes]:
    """Lines without documents: their ids are `q1`, `q2` and so on, as their numbers."""
    return [line(f"q{number}", chat(f"Question {number}?")) for number in range(1, count + 1)]


def result_of(batch_id: str, number: int) -> bytes:
    """An answer to the line of that number, of `chat_lines`."""
    response = LineResponse(status_code=200, request_id="request-1", body={})
    return msgspec.json.encode(
        LineResult(id=result_id(batch_id, number), custom_id=f"q{number}", response=response, error=None)
    )


def results_in(path: Path) -> list[dict[str, Any]]:
    """The results in a file."""
    return [json.loads(result) for result in path.read_bytes().splitlines()] if path.exists() else []


async def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Let others work until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.001)


async def answer_at_once(_custom_id: str) -> Outcome:
    await asyncio.sleep(0)
    return None


class ScriptedLines(LineAnswering):
    """Answers lines as `behave` says of their custom_id: with an error, or with none; what it raises breaks the line."""

    def __init__(self, behave: Behaviour = answer_at_once) -> None:
        self.behave = behave
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.under_way: dict[str, int] = {}
        """Bytes of the lines that are being answered."""
        self.most_under_way = self.most_bytes_under_way = 0

    async def answer(self, account_id: str, endpoint: str, line: bytes, result_id: str) -> LineAnswer:
        custom_id = str(msgspec.json.decode(line)["custom_id"])
        self.asked.append(custom_id)
        self.under_way[custom_id] = len(line)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        self.most_bytes_under_way = max(self.most_bytes_under_way, sum(self.under_way.values()))
        try:
            error = await self.behave(custom_id)
        finally:
            del self.under_way[custom_id]
            self.ended.append(custom_id)
        if error is not None:
            return LineAnswer(failure(result_id, custom_id, error, "request-1"), error)
        response = LineResponse(status_code=200, request_id="request-1", body={"of": custom_id})
        return LineAnswer(
            msgspec.json.encode(LineResult(id=result_id, custom_id=custom_id, response=response, error=None))
        )


class ScriptedEngine(FakeEngine):
    """As `FakeEngine`; before it answers, `behave` is awaited with the question, and what is returned is raised or said.

    `trouble` is what its health check finds.
    """

    def __init__(self, name: str = "mill") -> None:
        super().__init__(name, window_tokens=100_000, max_output_tokens=300)
        self.behave: Callable[[str], Awaitable[ApiError | Completion | None]] = answer_at_once
        self.requests: list[EngineRequest] = []
        self.trouble = ""
        self.looks = 0

    async def health(self) -> EngineHealth:
        self.looks += 1
        await asyncio.sleep(0)
        return EngineHealth(ready=not self.trouble, detail=self.trouble)

    async def complete(self, request: EngineRequest) -> Completion:
        self.requests.append(request)
        said = await self.behave(request.question)
        if isinstance(said, ApiError):
            raise said
        return said or await super().complete(request)

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]
        return {"object": "list", "data": data, "model": "inside", "usage": {"prompt_tokens": 1, "total_tokens": 1}}


class ScriptedReader:
    """A reader that is still at the files in `unread`. `waits` are those that it was waited for with some patience."""

    def __init__(self) -> None:
        self.unread: set[str] = set()
        self.waits: list[list[str]] = []

    def wake(self, file_id: str) -> None:
        raise NotImplementedError

    async def wait(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        if timeout_seconds:
            self.waits.append(list(file_ids))
        await asyncio.sleep(0)
        return not self.unread.intersection(file_ids)

    async def wait_for_index(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        raise NotImplementedError

    async def index_text(self, text: str, title: str) -> IndexedDocument:
        raise NotImplementedError


class ToldCallbacks(Callbacks):
    """Keeps the events that are to be told, instead of telling them; where it is told to, only when `may_tell` is set."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.told: list[tuple[str, str, FinishEvent]] = []
        self.may_tell = asyncio.Event()
        self.may_tell.set()

    async def deliver(self, account_id: str, url: str, event: FinishEvent) -> bool:
        await self.may_tell.wait()
        self.told.append((account_id, url, event))
        return True


class House:
    """The parts that batches are run with, in a folder: real but for engine, reader and callbacks.

    The engine `mill` answers `qwen-long`, three lines at once.
    """

    def __init__(self, folder: Path, empty_database: Path, **tables: Any) -> None:
        """`empty_database` has its tables: to make them anew for each test would take most of its time."""
        engines = {"mill": {"kind": "fake", "retries": 0, "batch_concurrency": 3}} | tables.pop("engines", {})
        secret = {"callbacks": True, "callback_secret": "whsec_" + "QUJDREVGR0g" * 4}
        batches = secret | tables.pop("batches", {})
        self.settings = Settings(
            data_dir=folder, engines=engines, models={"default": "mill"}, batches=batches, **tables
        )
        self.engine = ScriptedEngine()
        guarded = GuardedEngine(self.engine, self.settings.engines["mill"])
        self.roster = Roster({"mill": guarded}, self.settings)
        shutil.copy(empty_database, folder / "test.db")
        self.database = Database(folder / "test.db")
        self.blobs = Blobs(folder)
        self.files = Files(self.database, self.blobs, LimitSettings())
        self.reader = ScriptedReader()
        documents = DocumentDesk(self.files, self.reader, 0.0, LimitSettings())
        self.lines = LineAnswering(
            Answering(self.roster, documents, ReadingSettings(), Digests(self.blobs)), self.roster
        )
        self.desk = Desk(self.lines, self.roster, self.reader, self.settings.batches.retries)
        self.callbacks = ToldCallbacks(self.settings)

    async def upload(self, lines: list[bytes] | bytes, purpose: str = "batch", account_id: str = "ely") -> FileRecord:
        """A file of lines that was uploaded."""
        incoming = self.files.receive()
        await incoming.write(lines if isinstance(lines, bytes) else b"\n".join(lines))
        file = await self.files.create(account_id, incoming, NewFile("lines.jsonl", purpose))
        incoming.discard()
        return file

    async def close(self) -> None:
        await self.roster.close()
        self.database.close()
