"""A file that comes within a request becomes a file of the account, once for the same bytes, and its part names it."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Collection
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.answering import attachments
from bookwheel.answering.attachments import Attachments
from bookwheel.errors import ApiError, InvalidRequest, QuotaReached
from bookwheel.files.files import Files, NewFile
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.settings import MB, LimitSettings
from bookwheel.storage.blobs import Blobs, IncomingBlob
from bookwheel.storage.database import Database
from bookwheel.storage.files import FileRecord

HERONS = "The heron stands in the reeds. 苍鹭站在芦苇中。\n".encode()
DOCUMENTS = Path(__file__).parents[2] / "documents"
PDF = (DOCUMENTS / "bookwheel.pdf").read_bytes()
PROGRAM = b"\x7fELF" + bytes(100)
LIMITS = LimitSettings(document_mb=2, image_mb=1, files_per_request=3, files_per_account=4)


class Intake:
    """Attachments over a data folder; it is its own reader, and notes what it is woken for."""

    def __init__(self, folder: Path, limits: LimitSettings = LIMITS) -> None:
        self.folder = folder
        self.database = Database(folder / "test.db")
        self.database.migrate()
        self.blobs = Blobs(folder)
        self.files = SlowFiles(self.database, self.blobs, limits)
        self.attachments = Attachments(self.files, self, limits)
        self.woken: list[str] = []

    def wake(self, file_id: str) -> None:
        self.woken.append(file_id)

    async def wait(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        raise NotImplementedError

    async def wait_for_index(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        raise NotImplementedError

    async def index_text(self, text: str, title: str) -> IndexedDocument:
        raise NotImplementedError

    async def take(self, *parts: dict[str, Any], account_id: str = "ann") -> list[dict[str, str]]:
        """The `file` objects of the parts after they were taken in."""
        content = list(parts)
        await self.attachments.take(account_id, [{"role": "user", "content": content}])
        return [part["file"] for part in content]

    async def take_ids(self, *parts: dict[str, Any], account_id: str = "ann") -> list[str]:
        return [file["file_id"] for file in await self.take(*parts, account_id=account_id)]

    async def refusal(self, *parts: dict[str, Any]) -> ApiError:
        with pytest.raises(ApiError) as refused:
            await self.take(*parts)
        return refused.value

    def original(self, file_id: str) -> bytes:
        return self.blobs.path(file_id, "original").read_bytes()

    def left(self) -> list[Path]:
        """Uploads under way that nobody will finish."""
        return list((self.folder / "incoming").iterdir())


class SlowFiles(Files):
    """`creating` is set when one is being made; where `may_go_on` is not set, it waits for that."""

    def __init__(self, database: Database, blobs: Blobs, limits: LimitSettings) -> None:
        super().__init__(database, blobs, limits)
        self.creating, self.may_go_on = asyncio.Event(), asyncio.Event()
        self.may_go_on.set()

    async def create(self, account_id: str, incoming: IncomingBlob, new: NewFile) -> FileRecord:
        self.creating.set()
        await self.may_go_on.wait()
        return await super().create(account_id, incoming, new)


@pytest.fixture
async def intake(tmp_path: Path) -> AsyncIterator[Intake]:
    opened = Intake(tmp_path)
    yield opened
    opened.database.close()


def encoded(data: bytes, head: str = "") -> str:
    return head + base64.b64encode(data).decode()


def file_part(data: bytes | str = HERONS, filename: str | None = "herons.txt") -> dict[str, Any]:
    file = {"file_data": data if isinstance(data, str) else encoded(data)}
    return {"type": "file", "file": file if filename is None else file | {"filename": filename}}


def input_file(data: bytes = HERONS, filename: str = "herons.txt") -> dict[str, Any]:
    return {"type": "input_file", "file_data": encoded(data), "filename": filename}


class TestTaking:
    async def test_leaves_messages_without_data_as_they_are(self, intake: Intake) -> None:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": "fileid://file-fe-a"},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-fe-b"}}, {"type": "text"}, {}]},
            {"role": "user", "content": [{"type": "file"}, {"type": "file", "file": "x"}, {"type": "input_file"}]},
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-fe-b", "file_data": None}}]},
        ]
        before = deepcopy(messages)
        await intake.attachments.take("ann", messages)
        assert messages == before

    @pytest.mark.parametrize("part", [file_part(), input_file()])
    async def test_puts_a_file_s_id_in_the_place_of_its_bytes(self, intake: Intake, part: dict[str, Any]) -> None:
        text = {"type": "text", "text": "What is it about?"}
        content = [part, text]
        await intake.attachments.take("ann", [{"role": "user", "content": content}])
        (file_id,) = intake.woken
        assert content == [{"type": "file", "file": {"file_id": file_id, "filename": "herons.txt"}}, text]
        assert intake.original(file_id) == HERONS
        assert "file_data" not in str(part)  # whoever holds the request holds no base64
        file = (await intake.files.find("ann", [file_id]))[file_id]
        assert (file.filename, file.size_bytes, file.status) == ("herons.txt", len(HERONS), "uploaded")
        assert file.expires_at == file.created_at + 3_600

    async def test_finds_files_in_every_message(self, intake: Intake) -> None:
        messages = [{"role": role, "content": [file_part(role.encode())]} for role in ("system", "user", "tool")]
        await intake.attachments.take("ann", messages)
        ids = [message["content"][0]["file"]["file_id"] for message in messages]  # type: ignore[index]
        assert [intake.original(file_id) for file_id in ids] == [b"system", b"user", b"tool"]
        assert intake.woken == ids

    @pytest.mark.parametrize("size", [1, 100, attachments.SLICE_CHARACTERS, 3 * attachments.SLICE_CHARACTERS // 2 + 1])
    async def test_keeps_every_byte(self, intake: Intake, size: int) -> None:
        data = (HERONS * (1 + size // len(HERONS)))[:size]
        (file_id,) = await intake.take_ids(file_part(data))
        assert intake.original(file_id) == data
        assert intake.left() == []


class TestTheSameBytes:
    async def test_are_one_file_that_is_read_once(self, intake: Intake) -> None:
        first = await intake.take_ids(file_part())
        assert await intake.take_ids(input_file()) == first
        assert intake.woken == first

    async def test_twice_in_a_request_are_one_file(self, intake: Intake) -> None:
        ids = await intake.take_ids(file_part(), file_part(encoded(HERONS, "data:text/plain;base64,")), file_part())
        assert ids == intake.woken * 3

    async def test_are_found_after_a_restart(self, intake: Intake) -> None:
        first = await intake.take_ids(file_part())
        again = Intake(intake.folder)
        assert await again.take_ids(file_part()) == first
        again.database.close()

    async def test_under_another_name_or_of_another_account_are_another_file(self, intake: Intake) -> None:
        ids = await intake.take_ids(file_part(), file_part(filename="cranes.txt"))
        ids += await intake.take_ids(file_part(), account_id="bob")
        assert len(set(ids)) == 3
        assert intake.woken == ids

    async def test_given_by_two_requests_at_once_are_taken_in_once(self, intake: Intake) -> None:
        first, second = await asyncio.gather(intake.take_ids(file_part()), intake.take_ids(file_part()))
        assert first == second == intake.woken

    async def test_of_a_request_that_goes_away_are_taken_in_all_the_same(self, intake: Intake) -> None:
        intake.files.may_go_on.clear()
        leaving = asyncio.create_task(intake.take_ids(file_part()))
        await intake.files.creating.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        intake.files.may_go_on.set()
        ids = await intake.take_ids(file_part())
        assert ids == intake.woken
        assert intake.left() == []


class TestBase64:
    DATA = bytes(range(256)) * 3 + b">>>???"

    @pytest.mark.parametrize(
        "write",
        [
            lambda data: base64.b64encode(data).decode(),
            lambda data: base64.urlsafe_b64encode(data).decode(),
            lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
            lambda data: base64.encodebytes(data).decode(),
            lambda data: base64.encodebytes(data).decode().replace("\n", "\r\n"),
            lambda data: encoded(data, "data:application/octet-stream;base64,"),
            lambda data: encoded(data, "DATA:text/plain;charset=utf-8;name=a.txt;BASE64,"),
            lambda data: encoded(data, "data:;base64,"),
        ],
    )
    @given(data=st.binary(max_size=70))
    def test_of_every_kind_is_decoded(self, write: Callable[[bytes], str], data: bytes) -> None:
        for part in (data, self.DATA[: 3 * len(data) + 1]):
            assert b"".join(in_slices_of(4, write(part))) == part
            assert b"".join(in_slices_of(64, write(part))) == part

    @pytest.mark.parametrize("text", ["A", "QUJDR", "QQ==QUI", "QQ==QUJD", "=", "QUJD=", "a*bc", "字字字字", "Q=Q="])
    @pytest.mark.parametrize("characters", [4, 64])
    def test_that_is_none_is_told(self, text: str, characters: int) -> None:
        with pytest.raises(ValueError, match=r"."):
            list(in_slices_of(characters, text))

    @given(st.text(max_size=40), st.integers(1, 9))
    def test_of_any_text_is_decoded_or_refused(self, text: str, quads: int) -> None:
        for hostile in (text, f"data:{text}", f"data:{text};base64,{text}"):
            try:
                list(in_slices_of(4 * quads, hostile))
            except ValueError:
                continue


class TestRefused:
    @pytest.mark.parametrize(
        "data",
        ["not base64!", "data:text/plain,hello", "data:application/pdf;base64", f"data:{'x' * 2000};base64,QUJD"],
    )
    async def test_is_what_is_not_base64(self, intake: Intake, data: str) -> None:
        refused = await intake.refusal({"type": "text", "text": "?"}, file_part(data))
        assert refused.message.startswith("Invalid 'messages[0].content[1].file.file_data': Expected a file's bytes as")
        assert refused.param == "messages[0].content[1].file.file_data"
        assert data not in refused.message

    @pytest.mark.parametrize("data", ["data:application/pdf;base64,", "\n", " \r\n\t"])
    async def test_is_an_empty_file(self, intake: Intake, data: str) -> None:
        refused = await intake.refusal(file_part(data))
        assert refused.message == "Invalid 'messages[0].content[0].file.file_data': The file is empty."

    @pytest.mark.parametrize("data", [7, ["QUJD"], {"a": 1}, True])
    async def test_is_data_that_is_no_text(self, intake: Intake, data: Any) -> None:
        refused = await intake.refusal({"type": "input_file", "file_data": data})
        assert isinstance(refused, InvalidRequest)
        assert refused.param == "messages[0].content[0].file_data"

    async def test_is_a_name_that_is_no_text(self, intake: Intake) -> None:
        refused = await intake.refusal({"type": "file", "file": {"file_data": "QUJD", "filename": 7}})
        assert refused.param == "messages[0].content[0].file.filename"

    @pytest.mark.parametrize("other", ["file_id", "file_url"])
    async def test_is_data_beside_another_source(self, intake: Intake, other: str) -> None:
        refused = await intake.refusal(input_file() | {other: "x"})
        assert refused.message == "A file part has either file_id or file_data, not several of them."
        assert refused.param == "messages[0].content[0]"

    async def test_is_a_type_that_is_not_read(self, intake: Intake) -> None:
        refused = await intake.refusal(file_part(PROGRAM, "report.pdf"))
        assert refused.message == "Input file format is not supported. Recognised: ELF program."
        assert refused.param == "messages[0].content[0].file.file_data"

    @pytest.mark.parametrize(
        ("data", "is_too_large"),
        [
            (HERONS + bytes(b"x" * (2 * MB - len(HERONS))), False),
            (HERONS + bytes(b"x" * (2 * MB - len(HERONS) + 1)), True),
            ((DOCUMENTS / "bookwheel.png").read_bytes().ljust(MB, b"\0"), False),
            ((DOCUMENTS / "bookwheel.png").read_bytes().ljust(MB + 1, b"\0"), True),
        ],
        ids=["document at its limit", "document over it", "image at its limit", "image over it"],
    )
    async def test_is_what_is_larger_than_its_kind_may_be(
        self, intake: Intake, data: bytes, is_too_large: bool
    ) -> None:
        if not is_too_large:
            assert await intake.take_ids(file_part(data)) == intake.woken
            return
        refused = await intake.refusal(file_part(data))
        assert (refused.message, refused.param) == ("Payload Too Large.", "messages[0].content[0].file.file_data")

    async def test_are_too_many_files_of_which_the_same_count_once(self, intake: Intake) -> None:
        parts = [file_part(str(number).encode()) for number in range(4)]
        assert (await intake.refusal(*parts)).message == "Too many files provided."
        assert intake.woken == []
        assert len(set(await intake.take_ids(*deepcopy(parts[:3]), *deepcopy(parts[:3])))) == 3

    async def test_are_more_bytes_than_the_account_may_keep(self, tmp_path: Path) -> None:
        intake = Intake(tmp_path, LimitSettings(gb_per_account=1e-7))
        messages = [{"role": "user", "content": [file_part(HERONS * 10)]}]
        before = deepcopy(messages)
        with pytest.raises(QuotaReached, match=r"quota of 1e-07 GB"):
            await intake.attachments.take("ann", messages)
        assert messages == before
        assert (intake.woken, intake.left()) == ([], [])
        assert list((tmp_path / "files").glob("*/*")) == []
        intake.database.close()

    async def test_are_more_files_in_an_hour_than_the_account_may_keep(self, intake: Intake) -> None:
        await intake.take_ids(*(file_part(str(number).encode()) for number in range(3)))
        await intake.take_ids(file_part(b"3"))
        assert (await intake.refusal(file_part(b"4"))).message == (
            "You reached the quota of 4 files given as file_data within an hour: upload some instead, or wait."
        )
        assert await intake.take_ids(file_part(b"3")) == intake.woken[3:]


class TestNames:
    @pytest.mark.parametrize(
        ("data", "head", "name"),
        [
            (HERONS, "", "document.txt"),
            (HERONS, "data:text/markdown;base64,", "document.md"),
            (HERONS, "data:text/csv;charset=utf-8;base64,", "document.csv"),
            (b"<!doctype html><p>Hi", "", "document.html"),
            (PDF, "", "document.pdf"),
            ((DOCUMENTS / "bookwheel.docx").read_bytes(), "", "document.docx"),
            ((DOCUMENTS / "bookwheel.png").read_bytes(), "", "document.png"),
            (b"PK\x03\x04" + b"of what kind is this", "", "document"),
        ],
    )
    async def test_are_made_by_type_where_there_is_none(
        self, intake: Intake, data: bytes, head: str, name: str
    ) -> None:
        for filename in (None, "", " /"):
            ((taken),) = await intake.take(file_part(encoded(data, head), filename))
            assert taken["filename"] == name
        assert len(intake.woken) == 1

    async def test_that_are_made_differ_in_a_request_and_hold_still_in_a_conversation(self, intake: Intake) -> None:
        first, second = file_part(b"first", None), file_part(b"second", None)
        names = [file["filename"] for file in await intake.take(*deepcopy([first, second, first]))]
        assert names == ["document.txt", "document-2.txt", "document.txt"]
        again = await intake.take(*deepcopy([first, file_part(b"named"), second]))
        assert [file["filename"] for file in again] == ["document.txt", "herons.txt", "document-2.txt"]

    async def test_are_kept_without_folders(self, intake: Intake) -> None:
        (taken,) = await intake.take(file_part(HERONS, "../../etc/pass\x00wd.txt"))
        assert taken["filename"] == "passwd.txt"


def in_slices_of(characters: int, text: str) -> list[bytes]:
    """What a text is decoded to, so many characters at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attachments, "SLICE_CHARACTERS", characters)
        return list(attachments._decode(text))
