"""Clients of the newer API send a file's bytes with the question: it is read like an upload, once, and gone in an hour."""

import base64
import http.client
import io
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import APIConnectionError, BadRequestError, NotFoundError, OpenAI

from bookwheel.indexing.artefact import INDEX
from support.engine import Desk, answer_words, content_of, open_desk, wait_until
from support.server import Server

DOCUMENTS = Path(__file__).parents[1] / "documents"
TIDES = b"The tide at Dover rises 6.7 metres in spring.\nNeap tides rise only 3.2 metres there.\n"
LARGE = b"The heron stands in the reeds and waits for the tide to turn.\n\n" * 50_000
"""More than a second of reading: enough to be in the middle of it when something happens."""
SOUGHT = "A bookwheel is a rotating reading desk of the Renaissance"
ACCOUNTS = {name: {"keys": [f"key-of-{name}"]} for name in ("ann", "bob")}
PLACE = "messages[0].content[0].file.file_data"


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    settings = {"accounts": ACCOUNTS, "server": {"keep_alive_seconds": 0.1}, "ingest": {"chat_wait_seconds": 300}}
    with open_desk(tmp_path_factory.mktemp("desk"), settings) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    shared_desk.engine.reset()
    return shared_desk


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    """One that a test may stop, kill and start again."""
    with open_desk(tmp_path, {"accounts": ACCOUNTS, "ingest": {"workers": 1, "chat_wait_seconds": 300}}) as opened:
        yield opened


def client_of(desk: Desk, name: str = "ann", **options: Any) -> OpenAI:
    return desk.new_client(api_key=f"key-of-{name}", timeout=300, **options)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def file_part(data: bytes, filename: str = "tides.txt") -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": encoded(data), "filename": filename}}


def input_file(data: bytes, filename: str = "tides.txt") -> dict[str, Any]:
    return {"type": "input_file", "file_data": f"data:text/plain;base64,{encoded(data)}", "filename": filename}


def asking(*parts: dict[str, Any], question: str = "What is it about?") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def ask(client: OpenAI, messages: list[dict[str, Any]], model: str = "qwen-long", **wanted: Any) -> Any:
    """The answer's `bookwheel` object."""
    answer = client.chat.completions.create(
        model=model,
        messages=messages,  # type: ignore[arg-type]
        extra_body={"bookwheel": wanted},
    )
    return answer.bookwheel  # type: ignore[attr-defined]


def ask_streamed(client: OpenAI, messages: list[dict[str, Any]]) -> Any:
    stream = client.chat.completions.create(model="qwen-long", messages=messages, stream=True)  # type: ignore[call-overload]
    return [chunk.bookwheel for chunk in stream if getattr(chunk, "bookwheel", None)][-1]


def file_of(report: Any) -> tuple[str, str]:
    """(id, name) of the only file that an answer rests on."""
    (file,) = report["context"]["files"]
    return file["file_id"], file["filename"]


def shown(desk: Desk) -> str:
    """All that the engine was sent last."""
    return "\n".join(content_of(message) for message in desk.engine.requests[-1]["messages"])


def events(server: Server, action: str, file_id: str) -> list[dict[str, Any]]:
    return [found for found in server.log_events() if found["action"] == action and found.get("file_id") == file_id]


def query(server: Server, sql: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(server.data_dir / "bookwheel.db")) as database, database:
        return database.execute(sql, values).fetchall()


def end_time_of(server: Server, file_id: str) -> None:
    """What an hour without use does."""
    query(server, "UPDATE files SET expires_at = ? WHERE file_id = ?", int(time.time()) - 1, file_id)


def mentions(server: Server, file_id: str) -> list[Path]:
    """What lies in the data folder under a file's name."""
    return list(server.data_dir.rglob(f"*{file_id}*"))


class TestAFileInTheQuestion:
    @pytest.mark.parametrize("name", ["bookwheel.pdf", "bookwheel.docx", "bookwheel.epub", "bookwheel.html"])
    @pytest.mark.parametrize("streamed", [False, True])
    def test_is_read_like_an_upload(self, desk: Desk, name: str, streamed: bool) -> None:
        messages = asking(file_part((DOCUMENTS / name).read_bytes(), name))
        report = (ask_streamed if streamed else ask)(client_of(desk), messages)
        assert file_of(report)[1] == name
        assert SOUGHT in " ".join(shown(desk).split())
        assert "What is it about?" in shown(desk)

    def test_is_recognised_where_it_is_a_picture(self, desk: Desk) -> None:
        ask(client_of(desk), asking(file_part((DOCUMENTS / "bookwheel.png").read_bytes(), "photo.png")))
        assert "".join(SOUGHT.split()) in "".join(shown(desk).split())

    @pytest.mark.parametrize("part", [file_part(TIDES), input_file(TIDES)])
    @pytest.mark.parametrize("role", ["system", "developer", "user"])
    def test_may_come_in_any_message_and_either_shape(self, desk: Desk, part: dict[str, Any], role: str) -> None:
        earlier = [{"role": role, "content": [part]}, {"role": "assistant", "content": "I see."}]
        question = {"role": "user", "content": "How high?"}
        for messages in ([*earlier, question], [{"role": "system", "content": "Be brief."}, *earlier, question]):
            assert file_of(ask(client_of(desk), messages))[1] == "tides.txt"
            assert TIDES.decode() in shown(desk)
            assert encoded(TIDES)[:30] not in shown(desk)

    def test_stands_beside_uploaded_files_and_is_cited_by_its_id_and_name(self, desk: Desk) -> None:
        client = client_of(desk)
        upload = client.files.create(
            file=("bells.txt", b"Four bells hang in the tower of Wells.\n"), purpose="user_data"
        )
        desk.engine.behave = answer_words(["The tide at Dover rises 6.7 metres in spring."])
        report = ask(client, asking(file_part(TIDES), {"type": "input_file", "file_id": upload.id}), citations=True)
        tides, bells = report["context"]["files"]
        assert (tides["filename"], bells["file_id"]) == ("tides.txt", upload.id)
        (citation,) = report["citations"]
        assert (citation["file_id"], citation["filename"], citation["anchor"]) == (
            tides["file_id"],
            "tides.txt",
            "line 1",
        )

    def test_leaves_no_base64_in_what_is_shown_or_logged(self, desk: Desk) -> None:
        report = ask(client_of(desk), asking(file_part(TIDES), input_file(b"Other.")), show_context=True)
        for text in (json.dumps(report), json.dumps(desk.engine.requests[-1]), desk.server.log_path.read_text()):
            assert encoded(TIDES)[:30] not in text
            assert "file_data" not in text
            assert "base64" not in text

    def test_without_a_name_is_called_after_its_type(self, desk: Desk) -> None:
        part = {"type": "file", "file": {"file_data": encoded((DOCUMENTS / "bookwheel.docx").read_bytes())}}
        assert file_of(ask(client_of(desk), asking(part)))[1] == "document.docx"

    def test_keeps_a_stream_alive_while_it_is_read(self, desk: Desk) -> None:
        large = LARGE + b"Streamed."
        lines = raw_stream(desk, {"model": "narrow", "stream": True, "messages": asking(file_part(large))})
        first_data = next(number for number, line in enumerate(lines) if line.startswith(b"data:"))
        assert b": keep-alive" in lines[:first_data]
        assert lines[-1] == b"data: [DONE]"


class TestTheSameBytes:
    def test_are_read_once_for_all_the_questions_of_an_account(self, desk: Desk) -> None:
        part = file_part(TIDES + b"Once.")
        ids = {file_of(ask(client_of(desk), asking(part)))[0] for _ in range(3)}
        ids.add(file_of(ask_streamed(client_of(desk), asking(input_file(TIDES + b"Once."))))[0])
        (file_id,) = ids
        assert len(events(desk.server, "file read", file_id)) == 1
        assert [event["is_known"] for event in events(desk.server, "file attached", file_id)] == [False] + [True] * 3

    def test_in_many_questions_at_once_are_read_once(self, desk: Desk) -> None:
        part = file_part(TIDES + b"At once.")
        with ThreadPoolExecutor(6) as pool:
            ids = {file_of(report)[0] for report in pool.map(lambda _: ask(client_of(desk), asking(part)), range(6))}
        (file_id,) = ids
        assert len(events(desk.server, "file read", file_id)) == 1

    def test_of_another_account_are_another_file(self, desk: Desk) -> None:
        part = file_part(TIDES + b"Apart.")
        mine, other = [file_of(ask(client_of(desk, name), asking(part)))[0] for name in ("ann", "bob")]
        assert mine != other
        with pytest.raises(BadRequestError) as refused:
            ask(client_of(desk, "bob"), asking({"type": "file", "file": {"file_id": mine}}))
        assert refused.value.body["message"] == f"Invalid file [id:{mine}]."  # type: ignore[index]
        assert refused.value.param == "messages[0].content[0].file"

    def test_are_known_after_a_restart_and_gone_an_hour_after_their_last_use(self, own_desk: Desk) -> None:
        messages = asking(file_part(TIDES * 100))
        file_id, _ = file_of(ask(client_of(own_desk), messages, model="narrow", reading="thorough"))
        own_desk.server.stop()
        own_desk.server.start()
        assert file_of(ask(client_of(own_desk), messages))[0] == file_id
        assert len(events(own_desk.server, "file read", file_id)) == 1
        (folder,) = mentions(own_desk.server, file_id)
        assert {INDEX, "original", "digests"} <= {path.name for path in folder.iterdir()}
        own_desk.server.stop()
        end_time_of(own_desk.server, file_id)
        own_desk.server.start()
        wait_until(lambda: events(own_desk.server, "file expired", file_id))
        assert mentions(own_desk.server, file_id) == []
        assert query(own_desk.server, "SELECT file_count, file_bytes FROM accounts") == [(0, 0)]
        with pytest.raises(BadRequestError, match="Invalid file"):
            ask(client_of(own_desk), asking({"type": "file", "file": {"file_id": file_id}}))
        assert file_of(ask(client_of(own_desk), messages))[0] != file_id

    def test_are_read_after_a_kill_in_the_middle_of_it(self, own_desk: Desk) -> None:
        messages = asking(file_part(LARGE))
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, client_of(own_desk), messages, model="narrow")
            wait_until(lambda: query(own_desk.server, "SELECT 1 FROM files WHERE attempts > 0"))
            own_desk.server.kill()
            assert isinstance(asked.exception(), APIConnectionError)
        own_desk.server.start()
        file_id, _ = file_of(ask(client_of(own_desk), messages, model="narrow"))
        assert query(own_desk.server, "SELECT file_id FROM files") == [(file_id,)]
        assert list((own_desk.server.data_dir / "incoming").iterdir()) == []
        assert len(events(own_desk.server, "file read", file_id)) == 1


class TestTheFilesApi:
    def test_does_not_show_what_came_with_questions(self, desk: Desk) -> None:
        client = client_of(desk)
        listed = client.files.create(file=("listed.txt", b"Listed."), purpose="user_data")
        file_id, _ = file_of(ask(client, asking(file_part(TIDES))))
        listing = [file.id for file in client.files.list(limit=2)]
        assert listed.id in listing
        assert file_id not in listing
        for call in (client.files.retrieve, client.files.content, client.files.delete):
            with pytest.raises(NotFoundError, match=f"No such File object: {file_id}"):
                call(file_id)
        with pytest.raises(BadRequestError, match="no such File object"):
            client.files.list(after=file_id)
        for call in (lambda: client.files.list(purpose="file-data"), lambda: create_of_purpose(client, "file-data")):
            with pytest.raises(BadRequestError) as refused:
                call()
            assert refused.value.param == "purpose"
        system = {"role": "system", "content": f"fileid://{file_id}"}
        assert file_of(ask(client, [system, *asking()]))[0] == file_id  # its owner may name it while it lasts


class TestRefused:
    @pytest.mark.parametrize(
        ("part", "message", "param"),
        [
            (file_part(b"\x7fELF" + bytes(99)), "Input file format is not supported. Recognised: ELF program.", PLACE),
            (file_part(b""), "A file part needs file_id", "messages[0].content[0].file"),
            ({"type": "file", "file": {"file_data": "no base64!"}}, f"Invalid '{PLACE}': Expected", PLACE),
            ({"type": "file", "file": {"file_data": 5}}, f"Invalid '{PLACE}': Expected base64 text.", PLACE),
            (
                {"type": "file", "file": {"filename": "a.txt"}},
                "A file part needs file_id",
                "messages[0].content[0].file",
            ),
            ({"type": "input_file"}, "A file part needs file_id", "messages[0].content[0]"),
            (
                {"type": "input_file", "file_url": "http://127.0.0.1:1/a.pdf"},
                "Files are not fetched from URLs here",
                "messages[0].content[0].file_url",
            ),
        ],
    )
    @pytest.mark.parametrize("streamed", [False, True])
    def test_is_what_is_no_file(
        self, desk: Desk, part: dict[str, Any], message: str, param: str, streamed: bool
    ) -> None:
        with pytest.raises(BadRequestError) as refused:
            (ask_streamed if streamed else ask)(client_of(desk), asking(part))
        assert refused.value.body["message"].startswith(message)  # type: ignore[index]
        assert (refused.value.param, refused.value.code) == (param, "invalid_parameter_error")
        assert desk.engine.requests == []

    def test_are_a_document_that_cannot_be_read_and_a_blank_one_with_their_reason(self, desk: Desk) -> None:
        locked = file_part((DOCUMENTS / "password.pdf").read_bytes(), "locked.pdf")
        for part, why in (
            (locked, "parsing error. It is protected with a password"),
            (file_part(b"  \n"), "content blank"),
        ):
            with pytest.raises(BadRequestError, match=rf"File \[id:file-fe-\w+\] {why}") as refused:
                ask(client_of(desk), asking(file_part(TIDES), part))
            assert refused.value.param == "messages[0].content[1].file"

    def test_are_more_than_a_hundred_files(self, desk: Desk) -> None:
        parts = [file_part(f"Leaf {number}.".encode()) for number in range(101)]
        with pytest.raises(BadRequestError, match=r"Too many files provided\."):
            ask(client_of(desk), asking(*parts))

    def test_is_an_image_over_its_limit(self, desk: Desk) -> None:
        image = (DOCUMENTS / "bookwheel.png").read_bytes().ljust(20 * 1024 * 1024 + 1, b"\0")
        with pytest.raises(BadRequestError, match=r"Payload Too Large\.") as refused:
            ask(client_of(desk), asking(file_part(image)))
        assert refused.value.param == PLACE

    def test_is_a_question_that_waited_too_long_until_a_stock_client_asks_again(self, tmp_path: Path) -> None:
        with open_desk(tmp_path, {"ingest": {"chat_wait_seconds": 0}}) as desk:
            messages = asking(file_part(LARGE))
            with pytest.raises(BadRequestError, match="File parsing in progress, please try again later"):
                ask(desk.client, messages, model="narrow")
            file_id, _ = file_of(ask(desk.new_client(max_retries=60), messages, model="narrow"))
            assert len(events(desk.server, "file read", file_id)) == 1


def create_of_purpose(client: OpenAI, purpose: Any) -> None:
    client.files.create(file=("a.txt", io.BytesIO(b"A.")), purpose=purpose)


def raw_stream(desk: Desk, body: dict[str, Any]) -> list[bytes]:
    """A stream's lines as they came, comments too."""
    connection = http.client.HTTPConnection(urlsplit(desk.server.url).netloc, timeout=300)
    headers = {"content-type": "application/json", "authorization": "Bearer key-of-ann"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    with connection.getresponse() as response:
        return [line for line in response.read().split(b"\n") if line]
