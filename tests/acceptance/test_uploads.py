"""Uploads as clients really send them: in odd shapes, too large, broken off, too often, beyond the quota.

What is refused is refused with a reason and leaves nothing in the data folder.
"""

import json
import re
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from openai import BadRequestError, NotFoundError, OpenAI, RateLimitError

from support.server import Server

MB = 1024 * 1024
ACCOUNTS = 100
BOUNDARY = "a-line-between"
STRICT = {
    "document_mb": 1,
    "batch_mb": 2,
    "files_per_account": 3,
    "gb_per_account": 2.5 / 1024,
    "file_calls_per_second": 0,
    "file_deletes_per_second": 0,
}
BUSY = {"file_calls_per_second": 3, "file_deletes_per_second": 2}
PURPOSE = ("purpose", None, b"file-extract")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.body["error"])


class Sender:
    """Sends the bytes that a test gives it, as one account."""

    def __init__(self, server: Server, key: str) -> None:
        self.server = server
        self.key = key
        self.address = urlsplit(server.url).netloc

    def send(self, body: bytes | Iterator[bytes], content_type: str = "", **headers: str) -> Answer:
        """Upload a body. One that is an iterator goes out in chunks, without a Content-Length."""
        fields = self.fields(content_type) | headers
        with closing(HTTPConnection(self.address, timeout=60)) as connection:
            connection.request("POST", "/v1/files", body, fields, encode_chunked=not isinstance(body, bytes))
            return _answer(connection.getresponse())

    def fields(self, content_type: str = "") -> dict[str, str]:
        kind = content_type or f"multipart/form-data; boundary={BOUNDARY}"
        return {"authorization": f"Bearer {self.key}", "content-type": kind}

    def open(self, length: int, request_id: str) -> socket.socket:
        """A connection on which an upload of `length` bytes was announced."""
        host, port = self.address.split(":")
        connection = socket.create_connection((host, int(port)), timeout=60)
        fields = self.fields() | {"content-length": str(length), "host": self.address, "x-request-id": request_id}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.sendall(f"POST /v1/files HTTP/1.1\r\n{head}\r\n".encode())
        return connection

    def client(self, **options: Any) -> OpenAI:
        return OpenAI(base_url=f"{self.server.url}/v1", api_key=self.key, **({"max_retries": 0} | options))

    def kept(self) -> list[Any]:
        """The rows of the account, and everything that no row owns."""
        with closing(sqlite3.connect(self.server.data_dir / "bookwheel.db")) as database:
            account = self.key.removesuffix("-key")
            mine = database.execute("SELECT file_id FROM files WHERE account_id = ?", (account,)).fetchall()
            known = {row[0] for row in database.execute("SELECT file_id FROM files")}
        folders = self.server.data_dir.glob("files/*/*")
        return [*mine, *_incoming(self.server), *(folder for folder in folders if folder.name not in known)]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Sender]]:
    """Senders, each of a new account, to a server with small limits."""
    yield from _senders(tmp_path_factory.mktemp("strict"), STRICT)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Sender]]:
    """Senders, each of a new account, to a server with low rates."""
    yield from _senders(tmp_path_factory.mktemp("busy"), BUSY)


@pytest.fixture
def sender(strict: Callable[[], Sender]) -> Sender:
    return strict()


class TestForm:
    def test_the_purpose_may_come_after_the_file(self, sender: Sender) -> None:
        answer = sender.send(_form(("file", "a.txt", b"text"), PURPOSE))
        assert (answer.status, answer.body["purpose"], answer.body["bytes"]) == (200, "file-extract", 4)

    def test_fields_that_are_not_known_are_passed_over(self, sender: Sender) -> None:
        answer = sender.send(_form(("note", None, b"hello"), PURPOSE, ("file", "a.txt", b"text"), ("a[b", None, b"")))
        assert answer.status == 200

    def test_the_body_may_come_byte_by_byte(self, sender: Sender) -> None:
        body = _form(PURPOSE, ("file", "a.txt", b"--\r\n--a-line-betwee\r\n\r\n"))
        answer = sender.send(body[place : place + 1] for place in range(len(body)))
        assert answer.status == 200
        original = sender.client().files.content(answer.body["id"], extra_query={"original": "true"})
        assert original.content == b"--\r\n--a-line-betwee\r\n\r\n"

    @pytest.mark.parametrize(
        ("parts", "param", "message"),
        [
            ([("file", "a.txt", b"x")], "purpose", "purpose"),
            ([("file", "a.txt", b"x"), ("purpose", None, b"")], "purpose", "purpose"),
            ([("file", "a.txt", b"x"), ("purpose", None, b"fine-tune")], "purpose", "purpose"),
            ([("file", "a.txt", b"x"), ("purpose", None, b"batch_output")], "purpose", "purpose"),
            ([("file", "a.txt", b"x"), ("purpose", None, b"\xff\xfe")], "purpose", "purpose"),
            ([PURPOSE], "file", "The part 'file' is missing."),
            ([], "file", "The part 'file' is missing."),
            (
                [PURPOSE, ("file", "a", b"x"), ("file", "b", b"y")],
                "file",
                "Only one 'file' can be uploaded in a request.",
            ),
            ([PURPOSE, ("note", None, b"n" * 20_000)], "note", "The field 'note' is too long."),
            ([("purpose", None, b"p" * 20_000)], "purpose", "The field 'purpose' is too long."),
        ],
    )
    def test_says_what_is_missing_or_wrong(self, sender: Sender, parts: list[Any], param: str, message: str) -> None:
        answer = sender.send(_form(*parts))
        assert (answer.status, answer.error["code"]) == (400, "invalid_parameter_error")
        assert answer.error["param"] == param
        assert message in answer.error["message"]
        assert sender.kept() == []

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "text/plain",
            "multipart/form-data",
            "multipart/mixed; boundary=a-line-between",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=" + "x" * 300,
            ";;;",
        ],
    )
    def test_must_be_a_form(self, sender: Sender, content_type: str) -> None:
        answer = sender.send(_form(PURPOSE, ("file", "a.txt", b"x")), content_type)
        assert (answer.status, answer.error["code"]) == (400, "invalid_parameter_error")
        assert sender.kept() == []

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not a form at all",
            b"--a-line-between--\r\n--a-line-between\r\n",
            b"--a-line-between\r\n",
            b"--a-line-between\r\n\r\nno header\r\n--a-line-between--\r\n",
            b"--a-line-between\r\ncontent-disposition: form-data\r\n\r\nno name\r\n--a-line-between--\r\n",
            b"--a-line-between\r\n" + b"x-header: 1\r\n" * 5_000 + b"\r\n\r\n--a-line-between--\r\n",
            b"--a-line-between\r\ncontent-disposition: form-data; name=file; filename=a.txt\r\n\r\nbroken off",
        ],
        ids=[
            "empty",
            "no form",
            "text after the end",
            "one line",
            "no header",
            "no name",
            "many headers",
            "broken off",
        ],
    )
    def test_that_is_broken_is_refused(self, sender: Sender, body: bytes) -> None:
        answer = sender.send(body)
        assert (answer.status, answer.error["code"]) == (400, "invalid_parameter_error")
        assert sender.kept() == []

    def test_with_too_many_parts_is_refused(self, sender: Sender) -> None:
        answer = sender.send(_form(*((f"field-{number}", None, b"x") for number in range(1_000))))
        assert answer.status == 400
        assert sender.kept() == []


class TestSize:
    @pytest.mark.parametrize("purpose_comes", ["before", "after"])
    @pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
    @pytest.mark.parametrize("size", [MB + 1, 2 * MB + 1, 9 * MB])
    def test_over_the_limit_is_refused(self, sender: Sender, size: int, chunked: bool, purpose_comes: str) -> None:
        parts = [PURPOSE, ("file", "a.txt", b"x" * size)]
        body = _form(*(parts if purpose_comes == "before" else parts[::-1]))
        answer = sender.send(_pieces(body) if chunked else body)
        assert (answer.status, answer.error["message"]) == (400, "Payload Too Large.")
        assert answer.error["code"] == "invalid_parameter_error"
        assert sender.kept() == []

    def test_the_sdk_sees_the_refusal(self, sender: Sender) -> None:
        with pytest.raises(BadRequestError, match=r"Payload Too Large\."):
            sender.client().files.create(file=("a.txt", b"x" * (30 * MB)), purpose="user_data")
        assert sender.kept() == []

    @pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
    def test_at_the_limit_is_taken(self, sender: Sender, chunked: bool) -> None:
        body = _form(PURPOSE, ("file", "a.txt", b"x" * MB))
        answer = sender.send(_pieces(body) if chunked else body)
        assert (answer.status, answer.body["bytes"]) == (200, MB)

    def test_a_batch_has_a_limit_of_its_own(self, sender: Sender) -> None:
        client = sender.client()
        line = b'{"custom_id": "1"}\n'
        allowed = line + b" " * (2 * MB - len(line))
        assert client.files.create(file=("a.jsonl", allowed), purpose="batch").bytes == 2 * MB
        with pytest.raises(BadRequestError, match=r"Payload Too Large\."):
            client.files.create(file=("a.jsonl", allowed + b" "), purpose="batch")
        assert len(sender.kept()) == 1


class TestFilename:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            (b"/etc/passwd.txt", "passwd.txt"),
            (b"../../up.txt", "up.txt"),
            (rb"C:\\Users\\me\\a.txt", "a.txt"),
            ("年度报告 2024.txt".encode(), "年度报告 2024.txt"),
            ("été 🚲.txt".encode(), "été 🚲.txt"),
            (rb"a \"quoted\" name.txt", 'a "quoted" name.txt'),
            (b"bell\x07 and tab\t.txt", "bell and tab.txt"),
            ("right\u202eto left.txt".encode(), "rightto left.txt"),
            (b"n" * 300 + b".txt", "n" * 251 + ".txt"),
            ("长".encode() * 300 + b".md", "长" * 252 + ".md"),
            (b"n" * 400, "n" * 255),
            (b"a." + b"s" * 400, "a." + "s" * 253),
            (b"  spaces  ", "spaces"),
            (b"", "upload"),
            (b"///", "upload"),
            (b"..", ".."),
            (b"%2e%2e%2fa.txt", "%2e%2e%2fa.txt"),
        ],
    )
    def test_is_kept_without_what_could_harm(self, sender: Sender, sent: bytes, kept: str) -> None:
        answer = sender.send(_form(PURPOSE, ("file", sent, b"text")))
        assert (answer.status, answer.body.get("filename")) == (200, kept)
        assert sender.client().files.content(answer.body["id"]).text == "text"

    def test_may_be_missing(self, sender: Sender) -> None:
        answer = sender.send(_form(PURPOSE, ("file", None, b"text")))
        assert (answer.status, answer.body.get("filename")) == (200, "upload")

    @pytest.mark.parametrize(
        "name", ["年度报告 2024.txt", 'a "quoted" name.txt', "été; filename=b.txt", "n" * 251 + ".txt"]
    )
    def test_comes_through_the_sdk(self, sender: Sender, name: str) -> None:
        file = sender.client().files.create(file=(name, b"text"), purpose="user_data")
        assert file.filename == name
        disposition = sender.client().files.content(file.id).response.headers["content-disposition"]
        assert re.fullmatch(r"attachment; filename\*=utf-8''[\w.%~-]+", disposition)


class TestBrokenOff:
    def test_an_upload_whose_client_goes_away_leaves_nothing(self, sender: Sender) -> None:
        request_id = str(uuid.uuid4())
        body = _form(PURPOSE, ("file", "a.txt", b"x" * MB))
        connection = sender.open(len(body), request_id)
        connection.sendall(body[: MB // 2])
        _until(lambda: bool(_incoming(sender.server)))
        connection.close()
        _until(lambda: _logged_status(sender.server, request_id) == [499])
        assert sender.kept() == []

    def test_others_are_served_while_a_large_upload_is_under_way(self, busy: Callable[[], Sender]) -> None:
        slow, other = busy(), busy()
        body = _form(PURPOSE, ("file", "large.txt", (b"tide " * 6 + b"\n\n") * (30 * MB // 32)))
        connection = slow.open(len(body), str(uuid.uuid4()))
        connection.sendall(body[: len(body) // 2])
        _until(lambda: sum(path.stat().st_size for path in _incoming(slow.server)) > 14 * MB)
        assert len(other.client().models.list().data) >= 2
        file = other.client().files.create(file=("small.txt", b"small"), purpose="user_data")
        assert other.client().files.content(file.id).text == "small"
        connection.sendall(body[len(body) // 2 :])
        answer = _read(connection)
        assert (answer.status, answer.body["bytes"]) == (200, 30 * MB)


class TestRate:
    CALLS: tuple[tuple[str, Callable[[OpenAI], object]], ...] = (
        ("upload", lambda client: client.files.create(file=("a.txt", b"x"), purpose="user_data")),
        ("list", lambda client: client.files.list()),
        ("retrieve", lambda client: _unless_missing(client.files.retrieve)),
        ("content", lambda client: _unless_missing(client.files.content)),
        ("delete", lambda client: _unless_missing(client.files.delete)),
    )

    @pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
    def test_over_it_a_call_is_refused_with_the_time_to_wait(
        self, busy: Callable[[], Sender], name: str, call: Callable[[OpenAI], object]
    ) -> None:
        client = busy().client()
        refusal = _call_until_refused(lambda: call(client))
        assert (refusal.code, refusal.type) == ("limit_requests", "requests")
        assert f"{2 if name == 'delete' else 3} file {name} calls a second" in refusal.message
        assert int(refusal.response.headers["retry-after"]) >= 1

    def test_the_sdk_comes_again_by_itself(self, busy: Callable[[], Sender]) -> None:
        client = busy().client()
        _call_until_refused(client.files.list)
        answer = client.with_options(max_retries=2).files.with_raw_response.list()
        assert answer.retries_taken >= 1
        assert answer.parse().data == []

    def test_is_counted_by_account_and_by_call(self, busy: Callable[[], Sender]) -> None:
        client, other = busy().client(), busy().client()
        _call_until_refused(client.files.list)
        assert other.files.list().data == []
        assert client.files.create(file=("a.txt", b"x"), purpose="user_data").status


class TestQuota:
    def test_of_files_is_named_and_given_back(self, sender: Sender) -> None:
        client = sender.client(max_retries=2)
        files = [client.files.create(file=("a.txt", b"x"), purpose="user_data") for _ in range(3)]
        with pytest.raises(RateLimitError, match="quota of 3 files") as refused:
            client.files.create(file=("a.txt", b"x"), purpose="user_data")
        assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert len(sender.kept()) == 3
        client.files.delete(files[0].id)
        assert client.files.create(file=("a.txt", b"x"), purpose="user_data").status == "processed"

    def test_of_bytes_is_named_and_given_back(self, sender: Sender) -> None:
        client = sender.client(max_retries=2)
        files = [client.files.create(file=("a.txt", b"x" * MB), purpose="user_data") for _ in range(2)]
        with pytest.raises(RateLimitError, match=r"quota of 0\.00244141 GB") as refused:
            client.files.create(file=("a.txt", b"x" * MB), purpose="user_data")
        assert refused.value.code == "insufficient_quota"
        assert len(sender.kept()) == 2
        client.files.delete(files[0].id)
        assert client.files.create(file=("a.txt", b"x" * MB), purpose="user_data").bytes == MB

    def test_of_one_account_is_not_another_s(self, strict: Callable[[], Sender]) -> None:
        full, other = strict().client(), strict().client()
        for _ in range(3):
            full.files.create(file=("a.txt", b"x"), purpose="user_data")
        assert other.files.create(file=("a.txt", b"x"), purpose="user_data").status == "processed"


def _senders(folder: Path, limits: dict[str, Any]) -> Iterator[Callable[[], Sender]]:
    """Uploads answer when they are read, so that nothing goes on behind a test that looks into the data folder."""
    accounts = {f"sender-{number}": {"keys": [f"sender-{number}-key"]} for number in range(ACCOUNTS)}
    settings = {"limits": limits, "accounts": accounts, "ingest": {"upload_wait_seconds": 30}}
    server = Server(folder, settings).start()
    names = iter(accounts)
    yield lambda: Sender(server, f"{next(names)}-key")
    server.stop()


def _form(*parts: tuple[str, str | bytes | None, bytes]) -> bytes:
    """A multipart body of (name, filename, content)."""
    body = bytearray()
    for name, filename, content in parts:
        sent = filename.encode() if isinstance(filename, str) else filename
        named = b"" if sent is None else b'; filename="' + sent + b'"'
        body += f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"'.encode() + named
        body += b"\r\n\r\n" + content + b"\r\n"
    return bytes(body + f"--{BOUNDARY}--\r\n".encode())


def _pieces(body: bytes) -> Iterator[bytes]:
    return (body[place : place + 65_536] for place in range(0, len(body), 65_536))


def _answer(response: HTTPResponse) -> Answer:
    return Answer(response.status, dict(response.headers), json.loads(response.read()))


def _read(connection: socket.socket) -> Answer:
    response = HTTPResponse(connection)
    response.begin()
    with closing(connection):
        return _answer(response)


def _incoming(server: Server) -> list[Path]:
    return list((server.data_dir / "incoming").iterdir())


def _logged_status(server: Server, request_id: str) -> list[int]:
    events = server.log_events()
    return [event["status"] for event in events if event.get("request_id") == request_id and "status" in event]


def _unless_missing(call: Callable[[str], object]) -> None:
    """Calls for a file that is not there count as well."""
    with pytest.raises(NotFoundError):
        call("file-fe-none")


def _call_until_refused(call: Callable[[], object]) -> RateLimitError:
    for _ in range(100):
        try:
            call()
        except RateLimitError as refusal:
            return refusal
    pytest.fail("a hundred calls in a row were all let in")


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen within 30 seconds"
        time.sleep(0.02)
