"""What users keep here: files made, found, listed and deleted, always of one account.

An acknowledged file is on disk: first its blob, then its row. A row that is gone takes everything of the file along; what
a crash leaves between the two is swept at the next start. Reading a file's bytes as a document is not done here.
"""

import asyncio
import secrets
import shutil
import string
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cachetools import LRUCache
from sqlalchemy import Connection

from bookwheel.errors import InvalidRequest, NotFound, QuotaReached
from bookwheel.indexing.artefact import INDEX
from bookwheel.indexing.shelf import IndexedDocument, Shelf
from bookwheel.settings import MB, LimitSettings
from bookwheel.storage import files as rows
from bookwheel.storage.blobs import ORIGINAL, TEXT, Blobs, IncomingBlob
from bookwheel.storage.database import Database
from bookwheel.storage.files import ATTACHED, ERROR, PROCESSED, UPLOADED, FileRecord

DOCUMENT_PURPOSES = frozenset({"file-extract", "user_data", "assistants", "vision"})
READ_PURPOSES = DOCUMENT_PURPOSES | {ATTACHED}
"""Files that are read as documents: those that were uploaded to be, and those that came with a question."""
BATCH_PURPOSE = "batch"
LONGEST_FILENAME = 255
ATTACHED_SECONDS = 3_600
"""How long a file that came with a question is kept after the last one that it came with."""
FAILED_SECONDS = 60
"""How long it is kept where it could not be read: a time-out or a full memory may not come again, so that it is read anew."""
RENEWAL_SECONDS = 60
"""The time is written again only where it has gone on for so long: not every question needs a transaction."""
ENDING_SECONDS = 5
"""A file with less time left counts as gone: it may go before it is used."""
GB = 1024**3
TEXT_CACHE_CHARACTERS = 16 * 1024 * 1024
SETTLED_FILES = 4_096

_ID_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class NewFile:
    """What an upload says of itself."""

    filename: str
    purpose: str
    expires_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class FilePage:
    """A page of a listing, and whether there is more."""

    files: list[FileRecord]
    has_more: bool


class Files:
    """See the module."""

    def __init__(self, database: Database, blobs: Blobs, limits: LimitSettings, index_cache_mb: int = 384) -> None:
        self._database = database
        self._blobs = blobs
        self._limits = limits
        self.shelf = Shelf(index_cache_mb * MB)
        self._texts: LRUCache[str, str] = LRUCache(TEXT_CACHE_CHARACTERS, getsizeof=len)
        self._settled: LRUCache[str, FileRecord] = LRUCache(SETTLED_FILES)
        self._changes = 0
        """Counts what makes a record that is being read an old one: deletions, and new ends of a file's time."""
        self.before_deletion: Sequence[Callable[[str], None]] = ()
        """Told the id of a file whose row is gone, before its blobs go: whoever keeps more of it forgets it then."""
        self.have_engines_forget: Callable[[str], Awaitable[None]] = _forget_nothing
        """Has the engines remove what they keep of a file that goes."""

    async def create(self, account_id: str, incoming: IncomingBlob, new: NewFile) -> FileRecord:
        """Keep an upload that has arrived whole. Raises QuotaReached; then nothing is kept."""
        file_id = _new_file_id(new.purpose)
        await self._blobs.keep(incoming.path, file_id, ORIGINAL)
        try:
            return await self._database.write(lambda c: self._insert(c, account_id, file_id, incoming, new))
        except QuotaReached:
            await self._blobs.delete(file_id)
            raise

    def receive(self) -> IncomingBlob:
        """Where the bytes of a new file go until `create` keeps them."""
        return self._blobs.new_incoming()

    async def get(self, account_id: str, file_id: str) -> FileRecord:
        """One file. Raises NotFound, the same for an unknown id, another account's, and what came with a question."""
        found = await self.find(account_id, [file_id])
        if file_id not in found or found[file_id].purpose == ATTACHED:
            raise NotFound(f"No such File object: {file_id}", param="id")
        return found[file_id]

    async def find(self, account_id: str, file_ids: Collection[str]) -> dict[str, FileRecord]:
        """Those of the files that the account has, by id."""
        known = (self._settled.get(file_id) for file_id in file_ids)
        found = {file.file_id: file for file in known if file is not None and file.account_id == account_id}
        unknown = [file_id for file_id in file_ids if file_id not in found]
        if unknown:
            found |= await self._read_records(account_id, unknown)
        now = time.time()
        return {file_id: file for file_id, file in found.items() if file.expires_at is None or file.expires_at > now}

    async def find_attached(self, account_id: str, sha256: str, filename: str) -> FileRecord | None:
        """The file of that content and name that came with a question before. This is use of it: it is kept on."""
        now = int(time.time())
        alive_at = now + ENDING_SECONDS
        file = await self._database.read(lambda c: rows.find_attached(c, account_id, sha256, filename, alive_at))
        if file is None:
            return None
        expires_at = _kept_until(file, now)
        if expires_at == file.expires_at:
            return file
        is_there = await self._database.write(lambda c: rows.set_expiry(c, file.file_id, expires_at))
        self._forget_record(file.file_id)
        return replace(file, expires_at=expires_at) if is_there else None

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool, purpose: str | None
    ) -> FilePage:
        """A page of the account's files by time of upload. Raises InvalidRequest for a cursor that is not its file."""
        purposes = [purpose] if purpose else []
        found = await self._database.read(
            lambda c: rows.list_files(
                c,
                account_id,
                after=after,
                limit=limit + 1,
                descending=descending,
                purposes=purposes,
                now=int(time.time()),
            )
        )
        if found is None:
            raise InvalidRequest(f"Invalid 'after': no such File object: {after}", param="after")
        return FilePage(found[:limit], has_more=len(found) > limit)

    async def delete_row(self, account_id: str, file_id: str) -> None:
        """Delete a file's row: from now on there is no such file. Raises NotFound."""
        if not await self._database.write(lambda c: rows.delete_file(c, account_id, file_id)):
            raise NotFound(f"No such File object: {file_id}", param="id")
        self._forget_record(file_id)
        for forget in self.before_deletion:
            forget(file_id)

    async def delete_blobs(self, file_id: str) -> None:
        """Remove all that was made of a file whose row is gone."""
        self._texts.pop(file_id, None)
        self.shelf.remove(file_id)
        await self.have_engines_forget(file_id)
        await self._blobs.delete(file_id)
        self.shelf.remove(file_id)  # once more: a question may have opened it between the two

    async def expired(self) -> list[tuple[str, str]]:
        """(account, file) of the files whose time is over."""
        return await self._database.read(lambda c: rows.expired_files(c, int(time.time())))

    async def text(self, file: FileRecord) -> str:
        """The document's text. Raises FileNotFoundError when the file was deleted meanwhile."""
        text = self._texts.get(file.file_id)
        if text is None:
            changes = self._changes
            text = await asyncio.to_thread(_read_text, self.text_path(file))
            if len(text) <= self._texts.maxsize and changes == self._changes:
                self._texts[file.file_id] = text
        return text

    def indexed(self, file: FileRecord) -> IndexedDocument:
        """The document's index and text, mapped: takes milliseconds, for a thread.

        Raises FileNotFoundError when there is no index of this version, or the file was deleted meanwhile; IndexDamaged.
        """
        return self.shelf.open(file.file_id, self.index_path(file.file_id), self.text_path(file))

    def index_path(self, file_id: str) -> Path:
        return self._blobs.path(file_id, INDEX)

    def is_kept(self, file_id: str) -> bool:
        """Whether the blobs of a file that was read are still there."""
        return self._blobs.path(file_id, TEXT).exists()

    def text_path(self, file: FileRecord) -> Path:
        return self._blobs.path(file.file_id, TEXT)

    def original_path(self, file: FileRecord) -> Path:
        return self._blobs.path(file.file_id, ORIGINAL)

    async def sweep(self) -> int:
        """Remove what a crash left behind; how many things that were. Only for the start, before any upload."""
        removed = await asyncio.to_thread(self._blobs.sweep_incoming)
        for folders in await asyncio.to_thread(lambda: list(self._blobs.folders())):
            removed += await self._database.read(partial(_sweep_folders, self._blobs, folders))
        return removed

    async def _read_records(self, account_id: str, file_ids: list[str]) -> dict[str, FileRecord]:
        """Rows from the database. Those of files that were read are kept: they change no more but for their time's end.

        This process alone has the data folder, so it knows of every change; one that comes while the rows are read
        keeps them from being kept.
        """
        changes = self._changes
        found = await self._database.read(lambda c: rows.find_files(c, account_id, file_ids))
        if changes == self._changes:
            self._settled.update({file_id: file for file_id, file in found.items() if file.status != UPLOADED})
        return found

    def _forget_record(self, file_id: str) -> None:
        self._changes += 1
        self._settled.pop(file_id, None)

    def _insert(
        self, connection: Connection, account_id: str, file_id: str, incoming: IncomingBlob, new: NewFile
    ) -> FileRecord:
        now = int(time.time())
        is_attached = new.purpose == ATTACHED
        usage = rows.reserve_room(connection, account_id, incoming.size_bytes, now, in_count=0 if is_attached else 1)
        self._check_quota(usage, rows.count_attached(connection, account_id) if is_attached else None)
        rows.insert_file(
            connection,
            file_id=file_id,
            account_id=account_id,
            purpose=new.purpose,
            filename=new.filename,
            size_bytes=incoming.size_bytes,
            sha256=incoming.sha256,
            created_at=now,
            expires_at=now + new.expires_after_seconds if new.expires_after_seconds else None,
            status=UPLOADED if new.purpose in READ_PURPOSES else PROCESSED,
            attempts=0,
        )
        return rows.find_files(connection, account_id, [file_id])[file_id]

    def _check_quota(self, usage: rows.AccountUsage, attached: int | None) -> None:
        """`attached` is how many files that came with questions there are, where one is to be added.

        Raising undoes the reservation: it is the same transaction.
        """
        count, gb = self._limits.files_per_account, self._limits.gb_per_account
        if attached is None and usage.file_count > count:
            raise QuotaReached(f"You reached the quota of {count} files: delete some first.")
        if attached is not None and attached >= count:
            raise QuotaReached(
                f"You reached the quota of {count} files given as file_data within an hour: upload some instead, or wait."
            )
        if usage.file_bytes > gb * GB:
            raise QuotaReached(f"You reached the quota of {gb:g} GB: delete some files first.")


async def _forget_nothing(_file_id: str) -> None:
    """Without engines there is nothing that they keep."""


def _sweep_folders(blobs: Blobs, folders: list[Path], connection: Connection) -> int:
    existing = rows.existing_file_ids(connection, [folder.name for folder in folders])
    strays = [folder for folder in folders if folder.name not in existing or not blobs.is_place_of(folder)]
    for stray in strays:
        shutil.rmtree(stray, ignore_errors=True)
    return len(strays)


def _read_text(path: Path) -> str:
    """As it stands: line ends are not touched, because offsets count them."""
    return path.read_bytes().decode("utf-8")


def _kept_until(file: FileRecord, now: int) -> int:
    """When the time of a file that came with a question is over, if it is used now."""
    before = file.expires_at or now
    if file.status == ERROR:
        return min(before, now + FAILED_SECONDS)
    wanted = now + ATTACHED_SECONDS
    return wanted if wanted >= before + RENEWAL_SECONDS else before


def plain_filename(sent: str, default: str) -> str:
    """The name without folders and control characters, at most 255 characters with its suffix kept."""
    name = sent.replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in name if character.isprintable()).strip() or default
    if len(name) <= LONGEST_FILENAME:
        return name
    stem, dot, suffix = name.rpartition(".")
    ending = dot + suffix if dot and len(suffix) <= 16 else ""
    return (stem if ending else name)[: LONGEST_FILENAME - len(ending)] + ending


def _new_file_id(purpose: str) -> str:
    prefix = "file-batch-" if purpose == BATCH_PURPOSE else "file-fe-"
    return prefix + "".join(secrets.choice(_ID_ALPHABET) for _ in range(24))
