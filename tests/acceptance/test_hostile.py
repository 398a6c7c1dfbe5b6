"""Strangers' files: each ends with text or a clear error, none takes the server or another file along."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from openai import BadRequestError, OpenAI
from openai.types import FileObject

from support.hostile import ANYTHING, make_damaged, make_hostile
from support.server import Server

FIXTURES = sorted(
    path for path in (Path(__file__).parents[1] / "documents").iterdir() if path.suffix not in (".md", ".py", ".txt")
)
SETTINGS = {
    "limits": {"file_calls_per_second": 0, "file_deletes_per_second": 0},
    "ingest": {"upload_wait_seconds": 0, "timeout_seconds": 60, "cpu_seconds": 40, "ocr_timeout_seconds": 60},
}
PATIENCE_SECONDS = 600
MOST_SERVER_MB = 200
"""The server's own process. Idle it has some 95 MB, whatever its workers go through."""
COPIES = 4
PARSE_WORKERS, OCR_WORKERS = 2, 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("hostile"), SETTINGS).start()
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="any")


def upload(client: OpenAI, path: Path) -> FileObject:
    return client.files.create(file=(path.name, path.read_bytes()), purpose="user_data")


def settle(client: OpenAI, file: FileObject) -> FileObject:
    return client.files.wait_for_processing(file.id, poll_interval=0.2, max_wait_seconds=PATIENCE_SECONDS)


def outcome(file: FileObject) -> str:
    """The words of a file's error behind its id; empty for one that was read."""
    if file.status == "processed":
        return ""
    details = str(file.status_details)
    start = f"File [id:{file.id}] "
    assert details.startswith(start)
    return details.removeprefix(start)


class MemoryWatch:
    """The most memory that a process took while the block ran, in MB."""

    def __init__(self, process_id: int) -> None:
        self.peak_mb = 0.0
        self._process = psutil.Process(process_id)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.peak_mb = max(self.peak_mb, self._process.memory_info().rss / 2**20)


def test_every_hostile_file_ends_as_it_should_while_other_files_are_read(
    server: Server, client: OpenAI, tmp_path: Path
) -> None:
    expected = make_hostile(tmp_path)
    with MemoryWatch(server.process_id) as memory:
        files = {name: upload(client, tmp_path / name) for name in expected}
        plain = client.files.create(file=("note.txt", b"The tide turns at seven."), purpose="user_data")
        assert settle(client, plain).status == "processed"
        outcomes = {name: outcome(settle(client, file)) for name, file in files.items()}
    wrong = {
        name: outcomes[name] for name, words in expected.items() if words != ANYTHING and words not in outcomes[name]
    }
    assert wrong == {}
    assert not [name for name, words in outcomes.items() if "The reader failed on it" in words]
    assert memory.peak_mb < MOST_SERVER_MB


def test_damaged_copies_of_every_fixture_are_read_or_refused(server: Server, client: OpenAI, tmp_path: Path) -> None:
    names = make_damaged(tmp_path, FIXTURES, COPIES)
    files = {}
    for name in names:
        try:
            files[name] = upload(client, tmp_path / name)
        except BadRequestError as refused:
            assert "Input file format is not supported." in str(refused)
    outcomes = {name: outcome(settle(client, file)) for name, file in files.items()}
    contract = ("content blank.", "parsing error. ", "exceeds ", "format is not supported. ")
    assert not [words for words in outcomes.values() if words and not words.startswith(contract)]
    assert not [(name, words) for name, words in outcomes.items() if "The reader failed on it" in words]


def test_no_worker_outlives_its_file(server: Server, client: OpenAI) -> None:
    """After all that, what is left are the pools of workers and multiprocessing's two helpers."""
    settle(client, client.files.create(file=("note.txt", b"The tide turns at seven."), purpose="user_data"))
    assert len(server.children()) <= PARSE_WORKERS + OCR_WORKERS + 2
