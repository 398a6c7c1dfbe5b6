"""An operator's server dies, at the worst moment, and is started again: what was acknowledged is there, nothing else is."""

import io
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from openai import BadRequestError, OpenAI
from openai.types import FileObject
from PIL import Image

from bookwheel.storage.blobs import ORIGINAL, Blobs
from support.server import Server

DOCUMENTS = Path(__file__).parents[1] / "documents"
MB = 1024 * 1024
LARGE = b"The heron stands in the reeds and waits for the tide to turn.\n\n" * (16 * MB // 63)
"""More than a second of reading: enough to be in the middle of it when something happens."""
ONE_BY_ONE = {"workers": 1, "upload_wait_seconds": 0}
GONE_SECONDS = 30


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that reads one file at a time, for tests that leave it alive."""
    running = Server(tmp_path_factory.mktemp("patient"), {"ingest": ONE_BY_ONE}).start()
    yield running
    running.stop()


class TestKilledWhileReading:
    def test_what_was_being_read_and_what_waited_is_read_after_a_restart(
        self, start_server: Callable[..., Server]
    ) -> None:
        server = start_server({"ingest": ONE_BY_ONE})
        files = _read_in_line(server, small=4)
        children = server.children()
        server.kill()
        assert _statuses(server) == ["uploaded"] * 5
        assert _left_alive(children) == []
        server.start()
        client = _client(server)
        assert [_settled(client, file).status for file in files] == ["processed"] * 5
        assert client.files.content(files[0].id).content == LARGE
        assert client.files.content(files[4].id).text == "small 3\n"
        assert _drafts(server) == []

    def test_a_scan_goes_on_with_the_page_it_had_come_to(self, start_server: Callable[..., Server]) -> None:
        server = start_server({"ingest": ONE_BY_ONE})
        file = _client(server).files.create(file=("scan.tiff", _scan(pages=4)), purpose="user_data")
        _until(lambda: len(_recognised(server)) >= 2)
        children = server.children()
        server.kill()
        assert _left_alive(children) == []
        before = {path.name: path.stat().st_mtime_ns for path in _recognised(server)}
        server.start()
        _until(lambda: len(_recognised(server)) > len(before))
        assert {path.name: path.stat().st_mtime_ns for path in _recognised(server)}.items() >= before.items()
        client = _client(server)
        assert _settled(client, file).status == "processed"
        text = client.files.content(file.id).text
        assert [f"[page {page}]" in text for page in range(1, 5)] == [True] * 4
        assert list(server.data_dir.glob("files/*/*/reading")) == []

    def test_a_file_that_takes_the_server_down_every_time_is_given_up(
        self, start_server: Callable[..., Server]
    ) -> None:
        server = start_server({"ingest": ONE_BY_ONE | {"attempts": 2}})
        file, other = _read_in_line(server, small=1)
        server.kill()
        server.start()
        _until(lambda: _is_reading(server))
        server.kill()
        server.start()
        client = _client(server)
        given_up = _settled(client, file)
        reason = f"File [id:{file.id}] parsing error. Reading it was given up after 2 attempts."
        assert (given_up.status, given_up.status_details) == ("error", reason)
        assert _settled(client, other).status == "processed"
        with pytest.raises(BadRequestError, match="given up after 2 attempts"):
            client.files.content(file.id)


class TestInterruptedReading:
    def test_a_reader_that_dies_takes_down_its_file_alone(self, patient: Server) -> None:
        file, other = _read_in_line(patient, small=1)
        max(patient.children(), key=lambda child: child.cpu_times().user).kill()
        client = _client(patient)
        refused = _settled(client, file)
        reason = f"File [id:{file.id}] parsing error. The reader died on it."
        assert (refused.status, refused.status_details) == ("error", reason)
        assert _settled(client, other).status == "processed"
        assert _drafts(patient) == []

    def test_deleting_a_file_that_is_being_read_leaves_nothing_of_it(self, patient: Server) -> None:
        file, other = _read_in_line(patient, small=1)
        client = _client(patient)
        client.files.delete(file.id)
        assert list(patient.data_dir.glob(f"files/*/{file.id}")) == []
        assert _settled(client, other).status == "processed"
        assert _drafts(patient) == []
        assert _query(patient, f"SELECT 1 FROM files WHERE file_id = '{file.id}'") == []


class TestKilledWhileUploading:
    def test_half_an_upload_and_folders_without_a_row_are_swept(self, start_server: Callable[..., Server]) -> None:
        server = start_server()
        kept = _settled(_client(server), _upload(server, b"kept"))
        with _half_an_upload(server):
            _until(lambda: any(_size(path) >= MB for path in _incoming(server)))
            server.kill()
        stray = Blobs(server.data_dir).path(f"file-fe-{'s' * 24}", ORIGINAL)
        stray.parent.mkdir(parents=True)
        stray.write_bytes(b"the row of this one was never committed")
        server.start()
        assert _incoming(server) == []
        assert [path.name for path in server.data_dir.glob("files/*/*")] == [kept.id]
        client = _client(server)
        assert [file.id for file in client.files.list()] == [kept.id]
        assert client.files.content(kept.id).text == "kept"
        assert _query(server, "SELECT file_count, file_bytes FROM accounts") == [(1, 4)]
        started = [event for event in server.log_events() if event["action"] == "started"]
        assert [event["swept"] for event in started] == [0, 2]


class TestStopped:
    def test_when_asked_to_it_ends_well_and_takes_its_processes_along(
        self, start_server: Callable[..., Server]
    ) -> None:
        server = start_server({"ingest": ONE_BY_ONE})
        _read_in_line(server, small=1)
        children = server.children()
        assert server.stop() == 0
        assert _left_alive(children) == []
        assert not (server.data_dir / "server.json").exists()
        assert server.log_events()[-1]["action"] == "stopped"
        assert _statuses(server) == ["uploaded"] * 2


class TestTwoServers:
    def test_on_one_data_folder_the_second_refuses_in_one_line(self, patient: Server) -> None:
        config = str(patient.folder / "bookwheel.toml")
        command = [sys.executable, "-m", "bookwheel", "serve", "--config", config, "--port", "0"]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 2
        assert second.stdout == ""
        told = (
            f"data_dir = {patient.data_dir}: another Bookwheel is running on it; stop that one or set another data_dir"
        )
        assert second.stderr.splitlines() == [f"bookwheel: {told}"]
        assert _client(patient).models.list().data


def _client(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="any")


def _upload(server: Server, content: bytes) -> FileObject:
    return _client(server).files.create(file=("heron.txt", content), purpose="user_data")


def _read_in_line(server: Server, small: int) -> list[FileObject]:
    """A large file that is now being read, and small ones that wait behind it."""
    contents = [LARGE, *(f"small {number}\n".encode() for number in range(small))]
    files = [_upload(server, content) for content in contents]
    _until(lambda: _is_reading(server))
    return files


def _left_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there after they had their time to end. There were some."""
    assert processes
    _, alive = psutil.wait_procs(processes, timeout=GONE_SECONDS)
    return alive


def _settled(client: OpenAI, file: FileObject) -> FileObject:
    return client.files.wait_for_processing(file.id, poll_interval=0.1, max_wait_seconds=60)


def _is_reading(server: Server) -> bool:
    """Whether text is being written."""
    return any(_size(path) for path in _drafts(server))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def _half_an_upload(server: Server) -> Iterator[None]:
    """A connection over which two megabytes of four have gone."""
    address = urlsplit(server.url).netloc
    fields = {"host": address, "content-length": str(4 * MB), "content-type": "multipart/form-data; boundary=b"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    part = '--b\r\ncontent-disposition: form-data; name="file"; filename="half.txt"\r\n\r\n'
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"POST /v1/files HTTP/1.1\r\n{head}\r\n{part}".encode() + b"x" * (2 * MB))
        yield


def _scan(pages: int) -> bytes:
    """An image of so many frames, each a page of text."""
    made = io.BytesIO()
    with Image.open(DOCUMENTS / "bookwheel.png") as picture:
        picture.save(made, "TIFF", save_all=True, append_images=[picture] * (pages - 1), compression="group4")
    return made.getvalue()


def _recognised(server: Server) -> list[Path]:
    return list(server.data_dir.glob("files/*/*/reading/recognised-?"))


def _drafts(server: Server) -> list[Path]:
    return list(server.data_dir.glob("files/*/*/reading/draft-text"))


def _incoming(server: Server) -> list[Path]:
    return list((server.data_dir / "incoming").iterdir())


def _statuses(server: Server) -> list[str]:
    return [row[0] for row in _query(server, "SELECT status FROM files ORDER BY sequence")]


def _query(server: Server, sql: str) -> list[Any]:
    with closing(sqlite3.connect(server.data_dir / "bookwheel.db")) as database:
        return database.execute(sql).fetchall()


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen within 30 seconds"
        time.sleep(0.02)
