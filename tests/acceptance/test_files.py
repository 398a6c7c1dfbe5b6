"""A user keeps files: uploads them, finds them again, reads their text, and deletes them so that nothing stays behind.

Every test has an account of its own on one server, so that a listing shows what the test itself uploaded.
"""

import codecs
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types import FileObject

from bookwheel.tokens import count_tokens
from support.server import Server

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WORD_97 = "Microsoft Word 97-2003 document"
ACCOUNTS = 150
MANY = 65
SETTINGS = {
    "limits": {"file_calls_per_second": 0, "file_deletes_per_second": 0},
    "ingest": {"upload_wait_seconds": 30},  # however busy the machine: uploads answer when they are read
}
TEXT = "The heron stands in the reeds.\n\nIt waits for the tide to turn.\n"
SIMPLIFIED = (
    "书轮是文艺复兴时期的一种阅读桌。读者坐在轮子前面，转动木轮，就可以同时打开许多本书。\n\n"
    "这种机器由意大利工程师设计，每一块搁板都保持水平，因此书本不会掉下来。\n"
    "后来的图书馆里很少见到它，因为它太大，也太贵了。\n"
)
TRADITIONAL = (
    "書輪是文藝復興時期的一種閱讀桌。讀者坐在輪子前面，轉動木輪，就可以同時打開許多本書。\n\n"
    "這種機器由義大利工程師設計，每一塊擱板都保持水平，因此書本不會掉下來。\n"
    "後來的圖書館裡很少見到它，因為它太大，也太貴了。\n"
)
FRENCH = (
    "La roue à livres fut inventée à la Renaissance. Le lecteur, assis devant elle, la faisait tourner pour garder "
    "plusieurs ouvrages ouverts à la fois.\n\nElle était très coûteuse : peu de bibliothèques en possédaient, et "
    "l'on préférait des pupitres plus légers, déjà éprouvés.\n"
)
ENCODINGS = [
    ("UTF-8", SIMPLIFIED, SIMPLIFIED.encode()),
    ("UTF-8 with a mark", SIMPLIFIED, codecs.BOM_UTF8 + SIMPLIFIED.encode()),
    ("UTF-16 little endian", SIMPLIFIED, codecs.BOM_UTF16_LE + SIMPLIFIED.encode("utf-16-le")),
    ("UTF-16 big endian", SIMPLIFIED, codecs.BOM_UTF16_BE + SIMPLIFIED.encode("utf-16-be")),
    ("UTF-16 without a mark", FRENCH, FRENCH.encode("utf-16-le")),
    ("GBK", SIMPLIFIED, SIMPLIFIED.encode("gbk")),
    ("GB18030", SIMPLIFIED + "㐀𠀀\n", (SIMPLIFIED + "㐀𠀀\n").encode("gb18030")),
    ("Big5", TRADITIONAL, TRADITIONAL.encode("big5")),
    ("Latin-1", FRENCH, FRENCH.encode("latin-1")),
    ("ASCII", TEXT, TEXT.encode("ascii")),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    accounts = {f"reader-{number}": {"keys": [_key(number)]} for number in range(ACCOUNTS)}
    running = Server(tmp_path_factory.mktemp("files"), SETTINGS | {"accounts": accounts}).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def new_client(server: Server) -> Callable[..., OpenAI]:
    """`new_client()` is a client of an account that nobody used before."""
    numbers = iter(range(ACCOUNTS))

    def make(prefix: str = "/v1") -> OpenAI:
        return OpenAI(base_url=server.url + prefix, api_key=_key(next(numbers)), max_retries=0)

    return make


@pytest.fixture
def client(new_client: Callable[..., OpenAI]) -> OpenAI:
    return new_client()


@pytest.fixture(scope="module")
def shelf(new_client: Callable[..., OpenAI]) -> tuple[OpenAI, list[str]]:
    """An account with many files, and their ids in the order of upload. Tests only look."""
    client = new_client()
    return client, [_upload(client, f"text {number}\n".encode(), f"{number}.txt").id for number in range(MANY)]


class TestStory:
    @pytest.mark.parametrize("prefix", ["/v1", "/compatible-mode/v1"])
    def test_a_file_is_uploaded_found_read_and_deleted(self, new_client: Callable[..., OpenAI], prefix: str) -> None:
        client = new_client(prefix)
        file = client.files.create(file=("heron.txt", TEXT.encode()), purpose=_purpose("file-extract"))
        assert file.status == "processed"
        assert client.files.retrieve(file.id) == file
        assert client.files.list().data == [file]
        assert client.files.content(file.id).text == TEXT
        deleted = client.files.delete(file.id)
        assert deleted.to_dict() == {"id": file.id, "object": "file", "deleted": True}
        assert client.files.list().data == []

    def test_both_prefixes_show_the_same_files(self, client: OpenAI, server: Server) -> None:
        file = _upload(client, b"one shelf")
        other = client.with_options(base_url=f"{server.url}/compatible-mode/v1")
        assert other.files.retrieve(file.id) == file

    def test_a_path_can_be_uploaded(self, client: OpenAI, tmp_path: Path) -> None:
        path = tmp_path / "苍鹭.md"
        path.write_text(TEXT, "utf-8")
        file = client.files.create(file=path, purpose=_purpose("file-extract"))
        assert file.filename == "苍鹭.md"

    def test_a_file_that_takes_time_is_waited_for(self, start_server: Callable[..., Server]) -> None:
        server = start_server({"ingest": {"upload_wait_seconds": 0}})
        client = OpenAI(base_url=f"{server.url}/v1", api_key="any")
        file = _upload(client, TEXT.encode() * 2_000)
        assert file.status == "uploaded"
        assert client.files.wait_for_processing(file.id, poll_interval=0.05).status == "processed"


class TestFileObject:
    def test_has_the_fields_of_the_contract_and_no_others(self, client: OpenAI) -> None:
        before = int(time.time())
        file = client.files.create(file=("heron.txt", TEXT.encode()), purpose=_purpose("file-extract")).to_dict()
        assert re.fullmatch(r"file-fe-[A-Za-z0-9]{24}", str(file.pop("id")))
        created_at = file.pop("created_at")
        assert isinstance(created_at, int)
        report = file.pop("bookwheel")
        assert isinstance(report, dict)
        assert report.pop("seconds") > 0
        assert report == {"type": "TXT", "encoding": "utf-8", "characters": len(TEXT), "tokens": count_tokens(TEXT)}
        assert before <= created_at <= time.time()
        assert file == {
            "object": "file",
            "bytes": len(TEXT),
            "filename": "heron.txt",
            "purpose": "file-extract",
            "status": "processed",
            "status_details": None,
        }

    @pytest.mark.parametrize("purpose", ["file-extract", "user_data", "assistants", "vision"])
    def test_a_document_may_come_under_several_purposes(self, client: OpenAI, purpose: str) -> None:
        file = _upload(client, b"a document", purpose=purpose)
        assert (file.purpose, file.status) == (purpose, "processed")
        assert file.id.startswith("file-fe-")
        assert client.files.content(file.id).text == "a document"

    def test_equal_uploads_are_files_apart(self, client: OpenAI) -> None:
        first, second = _upload(client, b"the same"), _upload(client, b"the same")
        client.files.delete(first.id)
        assert client.files.content(second.id).text == "the same"


class TestBatchInput:
    LINE = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'

    def test_is_ready_at_once_and_comes_back_as_it_was(self, client: OpenAI) -> None:
        file = _upload(client, self.LINE * 3, "lines.jsonl", "batch")
        assert re.fullmatch(r"file-batch-[A-Za-z0-9]{24}", file.id)
        assert (file.status, file.purpose, file.bytes) == ("processed", "batch", 3 * len(self.LINE))
        assert client.files.content(file.id).content == self.LINE * 3

    @pytest.mark.parametrize("content", [b"", b"custom_id,method\n", b"[1]\n", b"\x00\x01\x02", b"%PDF-1.7\n"])
    def test_must_be_json_lines(self, client: OpenAI, content: bytes) -> None:
        with pytest.raises(BadRequestError, match=r"Input file format is not supported\."):
            _upload(client, content, "lines.jsonl", "batch")
        assert client.files.list().data == []


class TestListing:
    def test_shows_the_newest_first(self, shelf: tuple[OpenAI, list[str]]) -> None:
        client, ids = shelf
        assert [file.id for file in client.files.list().data] == ids[::-1]

    def test_keeps_the_order_of_upload_among_files_of_the_same_second(self, shelf: tuple[OpenAI, list[str]]) -> None:
        client, ids = shelf
        files = client.files.list(order="asc").data
        assert [file.id for file in files] == ids
        assert any(one.created_at == next_one.created_at for one, next_one in pairwise(files))

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("limit", [1, 7, 64, 65, 66])
    def test_pages_give_every_file_once(self, shelf: tuple[OpenAI, list[str]], order: Any, limit: int) -> None:
        client, ids = shelf
        listed = [file.id for file in client.files.list(order=order, limit=limit)]
        assert listed == (ids if order == "asc" else ids[::-1])

    def test_a_page_says_where_it_begins_and_ends_and_whether_there_is_more(
        self, shelf: tuple[OpenAI, list[str]]
    ) -> None:
        client, ids = shelf
        page = json.loads(client.files.with_raw_response.list(order="asc", limit=10, after=ids[9]).text)
        assert [file["id"] for file in page.pop("data")] == ids[10:20]
        assert page == {"object": "list", "has_more": True, "first_id": ids[10], "last_id": ids[19]}

    @pytest.mark.parametrize(("limit", "has_more"), [(4, True), (5, False), (6, False)])
    def test_has_more_is_exact_at_the_end(self, shelf: tuple[OpenAI, list[str]], limit: int, has_more: bool) -> None:
        client, ids = shelf
        assert client.files.list(order="asc", after=ids[-6], limit=limit).has_more is has_more

    def test_an_empty_page_has_no_ends(self, client: OpenAI) -> None:
        page = json.loads(client.files.with_raw_response.list().text)
        assert page == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}

    def test_filters_by_purpose_through_its_pages(self, client: OpenAI) -> None:
        wanted = [_upload(client, b"x", purpose=("user_data", "vision")[number % 2]).id for number in range(6)]
        pages = client.files.list(purpose="user_data", limit=2, order="asc")
        assert [file.id for file in pages] == wanted[::2]

    def test_files_that_come_or_go_between_pages_do_not_disturb_it(self, client: OpenAI) -> None:
        ids = [_upload(client, b"x").id for _ in range(6)]
        first = client.files.list(limit=3)
        _upload(client, b"newer")
        client.files.delete(ids[5])
        assert [file.id for file in client.files.list(limit=3, after=first.data[-1].id)] == ids[2::-1]

    @pytest.mark.parametrize(
        ("query", "param"),
        [
            ({"limit": 0}, "limit"),
            ({"limit": -1}, "limit"),
            ({"limit": 2001}, "limit"),
            ({"limit": 10**30}, "limit"),
            ({"limit": "many"}, "limit"),
            ({"limit": "1.5"}, "limit"),
            ({"order": "up"}, "order"),
            ({"purpose": "fine-tune"}, "purpose"),
            ({"after": "file-fe-" + 24 * "x"}, "after"),
            ({"after": ""}, "after"),
            ({"after": "'; drop table files; --"}, "after"),
        ],
    )
    def test_refuses_a_query_that_is_not_one(self, client: OpenAI, query: dict[str, Any], param: str) -> None:
        with pytest.raises(BadRequestError) as refused:
            client.files.list(extra_query=query)
        assert refused.value.code == "invalid_parameter_error"
        assert refused.value.param == param

    def test_takes_the_largest_page(self, shelf: tuple[OpenAI, list[str]]) -> None:
        client, ids = shelf
        assert len(client.files.list(limit=2000).data) == len(ids)


class TestContent:
    @pytest.mark.parametrize(("text", "content"), [case[1:] for case in ENCODINGS], ids=[case[0] for case in ENCODINGS])
    def test_is_the_text_whatever_its_encoding(self, client: OpenAI, text: str, content: bytes) -> None:
        file = _upload(client, content, "text.txt")
        answer = client.files.content(file.id)
        assert answer.text == text
        assert answer.response.headers["content-type"] == "text/plain; charset=utf-8"
        assert client.files.content(file.id, extra_query={"original": "true"}).content == content

    @pytest.mark.parametrize(
        ("filename", "content", "expected"),
        [
            ("prices.csv", "name,price\ntea,3\n茶,4\n", ("tea", "3", "茶", "4")),
            ("notes.md", "# Herons\n\nThey *wait*.\n", ("Herons", "They", "wait")),
            ("tide.json", '{"tide": {"high": 7, "place": "\\u6f6e"}}', ("tide", "high", "7", "潮")),
            ("lines.jsonl", '{"n": 1}\n{"n": 2, "word": "heron"}\n', ("1", "2", "heron")),
        ],
    )
    def test_holds_what_a_table_a_page_and_data_say(
        self, client: OpenAI, filename: str, content: str, expected: tuple[str, ...]
    ) -> None:
        file = _upload(client, content.encode(), filename)
        assert file.status == "processed"
        text = client.files.content(file.id).text
        assert [word for word in expected if word not in text] == []
        original = client.files.content(file.id, extra_query={"original": "true"})
        assert original.content == content.encode()

    def test_of_an_unknown_file_is_not_found(self, client: OpenAI) -> None:
        with pytest.raises(NotFoundError, match="No such File object: file-fe-none"):
            client.files.content("file-fe-none")

    def test_refuses_an_original_that_is_neither_true_nor_false(self, client: OpenAI) -> None:
        file = _upload(client, b"x")
        with pytest.raises(BadRequestError):
            client.files.content(file.id, extra_query={"original": "perhaps"})


class TestBadDocuments:
    @pytest.mark.parametrize("content", [b"", b" \n\t\r\n ", codecs.BOM_UTF8])
    @pytest.mark.parametrize("filename", ["blank.txt", "blank.md", "blank.csv"])
    def test_one_without_text_ends_as_blank(self, client: OpenAI, content: bytes, filename: str) -> None:
        file = _settled(client, _upload(client, content, filename))
        assert file.status == "error"
        assert file.status_details == f"File [id:{file.id}] content blank."
        with pytest.raises(BadRequestError, match="content blank"):
            client.files.content(file.id)
        assert client.files.content(file.id, extra_query={"original": "true"}).content == content
        client.files.delete(file.id)

    @pytest.mark.parametrize(
        ("filename", "content", "recognised"),
        [
            ("program.txt", b"\x7fELF" + bytes(range(256)) * 40, "ELF program"),
            ("noise.txt", bytes(range(256)) * 40, "binary data"),
            ("letter.rtf", rb"{\rtf1\ansi Hello.}", "RTF. Convert it to DOCX or PDF first"),
            ("letter.doc", OLE2 + "WordDocument".encode("utf-16-le"), f"{WORD_97}. Convert it to DOCX or PDF first"),
        ],
    )
    def test_one_of_a_format_that_is_not_read_is_refused_at_once_with_what_it_is(
        self, client: OpenAI, filename: str, content: bytes, recognised: str
    ) -> None:
        with pytest.raises(BadRequestError, match=r"Input file format is not supported\.") as refused:
            _upload(client, content, filename)
        assert refused.value.param == f"Recognised: {recognised}."
        assert client.files.list().data == []

    @pytest.mark.parametrize("content", [b'{"tide": ', b"{'tide': 7}", b"[1, 2", b"{} {"])
    def test_invalid_json_ends_with_the_reason(self, client: OpenAI, content: bytes) -> None:
        file = _settled(client, _upload(client, content, "tide.json"))
        assert file.status == "error"
        assert str(file.status_details).startswith(f"File [id:{file.id}] parsing error. ")


class TestDeletion:
    @pytest.mark.parametrize(
        ("content", "filename", "purpose"),
        [
            (TEXT.encode(), "heron.txt", "file-extract"),
            (b"", "blank.txt", "file-extract"),
            (TestBatchInput.LINE, "lines.jsonl", "batch"),
        ],
    )
    def test_leaves_nothing_behind(
        self, client: OpenAI, server: Server, content: bytes, filename: str, purpose: str
    ) -> None:
        file = _settled(client, _upload(client, content, filename, purpose))
        kept = _folders(server, file.id)
        room = _room(server, file.id)
        assert len(kept) == 1
        assert room == (1, len(content))
        account = _account(server, file.id)
        client.files.delete(file.id)
        assert not kept[0].exists()
        assert _query(server, "SELECT file_count, file_bytes FROM accounts WHERE account_id = ?", account) == [(0, 0)]
        assert _query(server, "SELECT * FROM files WHERE file_id = ?", file.id) == []

    def test_gives_back_the_room_of_that_file_alone(self, client: OpenAI, server: Server) -> None:
        first, second = _upload(client, b"four"), _upload(client, b"seven")
        client.files.delete(first.id)
        assert _room(server, second.id) == (1, 5)

    def test_is_final(self, client: OpenAI) -> None:
        file = _upload(client, b"gone")
        client.files.delete(file.id)
        for call in (client.files.retrieve, client.files.content, client.files.delete):
            with pytest.raises(NotFoundError) as refused:
                call(file.id)
            assert refused.value.message.find(f"No such File object: {file.id}") >= 0
            assert refused.value.type == "invalid_request_error"

    @pytest.mark.parametrize("file_id", ["file-fe-", "nonsense", "..%2F..%2Flock", "文件", "x" * 3000])
    def test_of_an_id_that_cannot_be_is_not_found(self, client: OpenAI, file_id: str) -> None:
        with pytest.raises(NotFoundError):
            client.files.delete(file_id)


class TestExpiry:
    @pytest.mark.parametrize("seconds", [3_600, 2_592_000])
    def test_is_told_where_it_was_asked_for(self, client: OpenAI, seconds: int) -> None:
        file = client.files.create(
            file=("x.txt", b"x"),
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": seconds},
        )
        assert file.expires_at == file.created_at + seconds
        assert client.files.retrieve(file.id).expires_at == file.expires_at
        assert client.files.list().data[0].expires_at == file.expires_at

    @pytest.mark.parametrize(
        ("expires_after", "param"),
        [
            ({"anchor": "created_at", "seconds": 3_599}, "expires_after.seconds"),
            ({"anchor": "created_at", "seconds": 2_592_001}, "expires_after.seconds"),
            ({"anchor": "created_at", "seconds": "soon"}, "expires_after.seconds"),
            ({"anchor": "now", "seconds": 3_600}, "expires_after.anchor"),
            ({"anchor": "created_at"}, "expires_after"),
            ({"seconds": 3_600}, "expires_after"),
        ],
    )
    def test_outside_its_bounds_is_refused(self, client: OpenAI, expires_after: Any, param: str) -> None:
        with pytest.raises(BadRequestError) as refused:
            client.files.create(file=("x.txt", b"x"), purpose="user_data", expires_after=expires_after)
        assert refused.value.param == param
        assert client.files.list().data == []

    def test_ends_a_file(self, start_server: Callable[..., Server]) -> None:
        server = start_server()
        client = OpenAI(base_url=f"{server.url}/v1", api_key="any")
        file = client.files.create(
            file=("x.txt", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3_600}
        )
        kept = _upload(client, b"stays")
        server.stop()
        _expire(server, file.id)
        client = OpenAI(base_url=f"{server.start().url}/v1", api_key="any")
        for call in (client.files.retrieve, client.files.content):
            with pytest.raises(NotFoundError):
                call(file.id)
        assert [listed.id for listed in client.files.list()] == [kept.id]

    def test_sweeps_what_is_left_of_it(self, start_server: Callable[..., Server]) -> None:
        server = start_server({})
        client = OpenAI(base_url=f"{server.url}/v1", api_key="any")
        file, kept = _upload(client, b"goes"), _upload(client, b"stays")
        server.stop()
        _expire(server, file.id)
        server.start()
        _until(lambda: not _query(server, "SELECT 1 FROM files WHERE file_id = ?", file.id))
        _until(lambda: not _folders(server, file.id))
        assert _room(server, kept.id) == (1, 5)


def _key(number: int) -> str:
    return f"key-of-reader-{number}"


def _purpose(purpose: str) -> Any:
    """The SDK's types know OpenAI's purposes only."""
    return purpose


def _upload(client: OpenAI, content: bytes, filename: str = "x.txt", purpose: str = "file-extract") -> FileObject:
    return client.files.create(file=(filename, content), purpose=_purpose(purpose))


def _settled(client: OpenAI, file: FileObject) -> FileObject:
    return client.files.wait_for_processing(file.id, poll_interval=0.05)


def _query(server: Server, sql: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(server.data_dir / "bookwheel.db")) as database, database:
        return database.execute(sql, values).fetchall()


def _account(server: Server, file_id: str) -> str:
    return str(_query(server, "SELECT account_id FROM files WHERE file_id = ?", file_id)[0][0])


def _room(server: Server, file_id: str) -> tuple[int, int]:
    """(files, bytes) that the account of a file is counted to have."""
    account = _account(server, file_id)
    return _query(server, "SELECT file_count, file_bytes FROM accounts WHERE account_id = ?", account)[0]


def _expire(server: Server, file_id: str) -> None:
    _query(server, "UPDATE files SET expires_at = ? WHERE file_id = ?", int(time.time()) - 1, file_id)


def _folders(server: Server, file_id: str) -> list[Path]:
    return list((server.data_dir / "files").glob(f"*/{file_id}"))


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen within 30 seconds"
        time.sleep(0.02)
