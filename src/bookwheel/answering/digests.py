"""Keeps what an engine wrote about documents, so that it need not read them again for the same question.

What was written about one file stands in that file's own folder and goes with it:

    data_dir/files/ab/FILE_ID/digests/NAME    one answer of an engine; NAME is a hash of all that it depends on

What was written about several files at once may mix them, and what was given inline is nobody's to keep: these stay in
memory, within bounds. Digests are document text: their files are their owner's alone, and nothing of them is logged.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec
from cachetools import LRUCache

from bookwheel.logs import log
from bookwheel.storage.blobs import Blobs

FOLDER = "digests"
VERSION = 1
"""Of the form on disk. Another one's digests are not found, and go in time."""
MOST_IN_FILE = 1_000
"""Digests that a file keeps: a file of ten million tokens is read in some 420 parts for one question."""
KEPT_WHEN_FULL = 0.9
MEMORY_CHARACTERS = 4 * 1024 * 1024
REMEMBERED_DELETIONS = 4_096

Owners = tuple[str | None, ...]
"""The file ids that a digest is about; None stands for a document without one."""


class Digest(msgspec.Struct, frozen=True, array_like=True):
    """What an engine wrote, cleaned; empty where it found nothing. `is_cut` says that it came to its limit."""

    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class _InMemory:
    owners: Owners
    digest: Digest


class Digests:
    """See the module. To be called from one event loop.

    `forget` must be called between the deletion of a file's row and that of its blobs: then nothing that is written
    meanwhile outlives them.
    """

    def __init__(self, blobs: Blobs, most_in_file: int = MOST_IN_FILE) -> None:
        self._blobs = blobs
        self._most_in_file = most_in_file
        self._memory: LRUCache[str, _InMemory] = LRUCache(MEMORY_CHARACTERS, getsizeof=_characters)
        self._deleted: LRUCache[str, bool] = LRUCache(REMEMBERED_DELETIONS)

    async def find(self, owners: Owners, name: str) -> Digest | None:
        """What was kept under that name for these owners."""
        file_id = _only_file(owners)
        if file_id is None:
            kept = self._memory.get(name)
            return kept.digest if kept is not None and kept.owners == owners else None
        return await asyncio.to_thread(_read, self._folder(file_id) / name)

    async def keep(self, owners: Owners, name: str, digest: Digest) -> None:
        """Keep it, unless one of its files is gone, or the disk does not take it: it can be made again."""
        if any(owner in self._deleted for owner in owners):
            return
        file_id = _only_file(owners)
        if file_id is None:
            with suppress(ValueError):  # larger than the whole cache
                self._memory[name] = _InMemory(owners, digest)
            return
        await asyncio.to_thread(self._keep_on_disk, file_id, name, digest)

    def forget(self, file_id: str) -> None:
        """A file is being deleted: keep nothing of it in memory, and nothing more on disk."""
        self._deleted[file_id] = True
        for name in [name for name, kept in self._memory.items() if file_id in kept.owners]:
            del self._memory[name]

    def _keep_on_disk(self, file_id: str, name: str, digest: Digest) -> None:
        """In a thread, and to its end even where the caller is cancelled."""
        folder = self._folder(file_id)
        try:
            _write(folder, name, digest, self._most_in_file)
        except FileNotFoundError:
            return  # its file was deleted
        except OSError as error:
            log.warning("digest not kept", file_id=file_id, reason=error.strerror)
        if file_id in self._deleted:  # a deletion that began before the write ended may have missed it
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()

    def _folder(self, file_id: str) -> Path:
        return self._blobs.path(file_id, FOLDER)


def digest_name(*fields: str | int | Sequence[str | int | None] | None) -> str:
    """The name for what depends on just these: the hash of the fields, 64 hexadecimal digits."""
    return blake2b(msgspec.msgpack.encode((VERSION, *fields)), digest_size=32).hexdigest()


def _only_file(owners: Owners) -> str | None:
    return owners[0] if len(owners) == 1 else None


def _characters(kept: _InMemory) -> int:
    return len(kept.digest.text) + 200


def _read(path: Path) -> Digest | None:
    try:
        digest = msgspec.msgpack.decode(path.read_bytes(), type=Digest)
        os.utime(path)  # the newest stay
    except (OSError, msgspec.DecodeError):  # deleted meanwhile, or spoilt: it is made again
        return None
    return digest


def _write(folder: Path, name: str, digest: Digest, most: int) -> None:
    """Write it whole or not at all. Raises FileNotFoundError where the file's folder is gone: it is not made again."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    incoming = folder / f"{secrets.token_hex(16)}.incoming"
    descriptor = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(msgspec.msgpack.encode(digest))
            file.flush()
            os.fsync(file.fileno())
        incoming.replace(folder / name)
    except OSError:
        incoming.unlink(missing_ok=True)
        raise
    _remove_oldest(folder, most)


def _remove_oldest(folder: Path, most: int) -> None:
    if sum(1 for _ in folder.iterdir()) <= most:
        return
    aged: list[tuple[float, str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                aged.append((entry.stat().st_mtime, entry.path))
    for _, path in sorted(aged)[: len(aged) - int(KEPT_WHEN_FULL * most)]:
        Path(path).unlink(missing_ok=True)
