"""A request's documents are at hand when they are needed, and it is told in the contract's words when they cannot be."""

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from bookwheel.answering.conversation import Conversation, read_conversation
from bookwheel.answering.documents import INDEX_HERE_CHARACTERS, DocumentDesk, count_documents, inline_title
from bookwheel.document import read_blocks
from bookwheel.errors import ApiError, BadDocument, FileStillParsing, InvalidRequest
from bookwheel.extraction.report import GIVEN
from bookwheel.files.files import Files, NewFile
from bookwheel.indexing.artefact import INDEX, save_index
from bookwheel.indexing.build import write_text_index
from bookwheel.indexing.index import build_index
from bookwheel.indexing.shelf import IndexedDocument, open_indexed
from bookwheel.settings import LimitSettings
from bookwheel.storage import files as rows
from bookwheel.storage.blobs import BLOCKS, TEXT, Blobs
from bookwheel.storage.database import Database
from bookwheel.storage.files import ERROR, PROCESSED, FileRecord

HERONS = "The heron stands in the reeds.\n\nThe tide turns at seven.\n"
LONG = HERONS * (1 + INDEX_HERE_CHARACTERS // len(HERONS))


class Room:
    """A data folder with a desk over it; it is its own reader, which works in this process. Waits are counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder / "test.db")
        self.database.migrate()
        self.blobs = Blobs(folder)
        self.files = Files(self.database, self.blobs, LimitSettings())
        self.desk = DocumentDesk(self.files, self, 0.0, LimitSettings(files_per_request=3))
        self.is_in_time = self.indexes_again = True
        self.indexed: list[str] = []
        self.problem: BadDocument | None = None

    def wake(self, file_id: str) -> None:
        raise NotImplementedError

    async def wait(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        for file_id in file_ids if self.is_in_time else ():
            await self.finish(file_id)
        return self.is_in_time

    async def wait_for_index(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        for file_id in file_ids if self.indexes_again else ():
            self.index(file_id)
        return self.is_in_time

    async def index_text(self, text: str, title: str) -> IndexedDocument:
        if self.problem:
            raise self.problem
        self.indexed.append(title)
        place = self.folder / f"given-{len(self.indexed)}"
        place.mkdir()
        (place / GIVEN).write_bytes(text.encode())
        write_text_index(place, INDEX, title, lambda *_: None)
        return open_indexed(place / INDEX, place / TEXT)

    async def put(self, text: str = HERONS) -> str:
        incoming = self.blobs.new_incoming()
        await incoming.write(text.encode())
        return (await self.files.create("ann", incoming, NewFile("herons.txt", "file-extract"))).file_id

    async def put_read(self, text: str = HERONS) -> str:
        file_id = await self.put(text)
        await self.finish(file_id)
        return file_id

    async def finish(self, file_id: str) -> None:
        """What reading a file leaves: text, blocks, index, and its row."""
        folder = self.blobs.path(file_id, TEXT).parent
        (folder / GIVEN).write_bytes((folder / "original").read_bytes())
        write_text_index(folder, INDEX, "herons.txt", lambda *_: None)
        (folder / GIVEN).unlink()
        await self.database.write(lambda c: rows.finish_file(c, file_id, status=PROCESSED))

    def index(self, file_id: str) -> None:
        text = self.blobs.path(file_id, TEXT).read_text("utf-8")
        blocks = read_blocks(self.blobs.path(file_id, BLOCKS))
        save_index(build_index(text, blocks, "herons.txt"), self.blobs.path(file_id, INDEX))

    async def check(self, *file_ids: str, account_id: str = "ann") -> dict[str, FileRecord]:
        return await self.desk.check(account_id, naming(*file_ids))

    async def refusal(self, *file_ids: str, account_id: str = "ann") -> str:
        with pytest.raises(ApiError) as refused:
            await self.check(*file_ids, account_id=account_id)
        return refused.value.message


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    opened = Room(tmp_path)
    yield opened
    opened.database.close()


def naming(*file_ids: str, texts: Collection[str] = ()) -> Conversation:
    documents = [*(f"fileid://{file_id}" for file_id in file_ids), *texts]
    given = [{"role": "system", "content": content} for content in ("Be brief.", *documents)]
    return read_conversation([*given, {"role": "user", "content": "What?"}])


async def test_files_that_were_read_are_found_by_their_ids(room: Room) -> None:
    ids = [await room.put_read() for _ in range(3)]
    assert set(await room.check(*ids)) == set(ids)


async def test_too_many_files_are_refused_before_any_is_looked_for(room: Room) -> None:
    assert await room.refusal("a", "b", "c", "d") == "Too many files provided."


async def test_an_unknown_file_and_another_accounts_are_the_same(room: Room) -> None:
    file_id = await room.put_read()
    assert await room.refusal(file_id, account_id="bob") == f"Invalid file [id:{file_id}]."
    assert await room.refusal("x" * 200) == f"Invalid file [id:{'x' * 80}]."


async def test_a_file_that_is_being_read_is_waited_for(room: Room) -> None:
    file_id = await room.put()
    assert (await room.check(file_id))[file_id].status == PROCESSED


async def test_a_wait_that_is_too_long_ends_with_advice(room: Room) -> None:
    room.is_in_time = False
    assert await room.refusal(await room.put()) == FileStillParsing().message


async def test_a_file_that_could_not_be_read_is_refused_with_its_reason(room: Room) -> None:
    file_id = await room.put()
    details = f"File [id:{file_id}] content blank."
    await room.database.write(lambda c: rows.finish_file(c, file_id, status=ERROR, details=details))
    assert await room.refusal(file_id) == details


async def test_an_index_that_is_not_there_or_damaged_is_built_anew(room: Room) -> None:
    missing, damaged, good = [await room.put_read() for _ in range(3)]
    room.files.index_path(missing).unlink()
    room.files.index_path(damaged).write_bytes(b"nonsense")
    opened = await room.desk.open_files(await room.check(missing, damaged, good))
    assert set(opened) == {missing, damaged, good}
    assert {document.whole_text() for document in opened.values()} == {HERONS}


async def test_an_index_that_cannot_be_built_is_told_of(room: Room) -> None:
    file_id = await room.put_read()
    files = await room.check(file_id)
    room.files.index_path(file_id).unlink()
    room.indexes_again = False
    with pytest.raises(InvalidRequest, match="Its index could not be built"):
        await room.desk.open_files(files)
    room.is_in_time = False
    with pytest.raises(FileStillParsing):
        await room.desk.open_files(files)


async def test_a_file_that_goes_after_the_check_cannot_be_found(room: Room) -> None:
    file_id = await room.put_read()
    files = await room.check(file_id)
    await room.files.delete_row("ann", file_id)
    await room.files.delete_blobs(file_id)
    room.indexes_again = False
    conversation = naming(file_id)
    gone = rf"File \[id:{file_id}\] cannot be found\."
    with pytest.raises(InvalidRequest, match=gone):
        await room.desk.open_files(files)
    with pytest.raises(InvalidRequest, match=gone):
        await room.desk.bring(conversation, files, await count_documents(conversation, files))


async def test_documents_come_in_the_conversation_s_order(room: Room) -> None:
    file_id = await room.put_read()
    conversation = naming(file_id, texts=["Inline one.", '{"two": 2}'])
    opened = await room.desk.open_indexed(conversation, await room.check(file_id))
    assert [document.whole_text() for document in opened] == [HERONS, "Inline one.", '{"two": 2}']


@pytest.mark.parametrize(("text", "in_a_worker"), [(HERONS, False), (LONG, True)])
async def test_a_text_in_the_request_is_indexed_once_and_a_long_one_in_a_worker(
    room: Room, text: str, in_a_worker: bool
) -> None:
    first, second = [await room.desk.open_indexed(naming(texts=[text]), {}) for _ in range(2)]
    assert first[0] is second[0]
    assert room.indexed == (["text 1"] if in_a_worker else [])
    assert first[0].whole_text() == text
    assert first[0].anchor_at(text.index("The tide")) == "line 3"


async def test_a_text_that_cannot_be_read_is_refused_by_its_name(room: Room) -> None:
    room.problem = BadDocument("Reading it took longer than 5 seconds.")
    with pytest.raises(InvalidRequest, match=r"The document text 1 cannot be read: Reading it took longer than 5"):
        await room.desk.open_indexed(naming(texts=[LONG]), {})


@pytest.mark.parametrize("separator", ["\x0c", "\u2028", "\x85", "\x0b"])
async def test_lines_of_a_text_in_the_request_are_those_that_line_ends_end(room: Room, separator: str) -> None:
    text = f"One.{separator}Still one.\nTwo, and the heron.\n"
    ((document,)) = await room.desk.open_indexed(naming(texts=[text]), {})
    assert document.anchor_at(text.index("Two")) == "line 2"


@pytest.mark.parametrize("text", [HERONS, LONG])
async def test_offsets_are_those_of_the_text_with_line_feeds_however_long_it_is(room: Room, text: str) -> None:
    conversation = naming(texts=[text.replace("\n", "\r\n")])
    (document,) = await room.desk.open_indexed(conversation, {})
    (shown,) = (await room.desk.bring(conversation, {}, await count_documents(conversation, {}))).values()
    assert document.whole_text() == shown.excerpts[0].text == text


async def test_tokens_of_files_and_texts_are_added_up(room: Room) -> None:
    conversation = naming(texts=["four bells", "four bells in the tower"])
    tokens = await count_documents(conversation, {})
    assert tokens.inline == {1: 2, 2: 5}
    assert tokens.total == 7


@pytest.mark.parametrize(("text", "title"), [("Herons.", "text 1"), (' {"a": 1}', "JSON 1"), ("[1]", "JSON 1")])
def test_a_text_in_the_request_is_called_by_its_kind_and_number(text: str, title: str) -> None:
    (document,) = naming(texts=[text]).documents()
    assert inline_title(document) == title  # type: ignore[arg-type]
