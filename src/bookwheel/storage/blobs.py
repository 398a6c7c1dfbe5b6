"""Blobs: stored bytes in a local folder. The database decides which of them count.

    data_dir/incoming/RANDOM          uploads and extractions under way: nobody's yet, swept at the next start
    data_dir/files/ab/FILE_ID/NAME    what a file owns: `original`, `text`, `blocks`, `index-N`; removed with the file
    data_dir/files/ab/FILE_ID/reading/  what its reading has made so far, so that a restart can go on from there
    data_dir/batches/BATCH_ID/        results of a batch that has not ended; they become files when it does

A blob is written under `incoming`, synced, and moved to its place, so a blob in its place is whole. Keys are immutable.
"""

import asyncio
import hashlib
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

ORIGINAL = "original"
TEXT = "text"
BLOCKS = "blocks"


class IncomingBlob:
    """Bytes on their way in, hashed as they come. `Blobs.keep` makes them last; `discard` ends it either way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._file = path.open("xb", buffering=0)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def write(self, data: bytes) -> None:
        """Append: hash and write in a thread, so that the event loop serves others. Give it a MB or so at a time."""
        self.size_bytes += len(data)
        await asyncio.to_thread(self._write, data)

    def discard(self) -> None:
        """Close it, and remove it unless it was kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


class Blobs:
    """The folder of blobs. One process owns it at a time (see `app.py`)."""

    def __init__(self, data_dir: Path) -> None:
        self._incoming = data_dir / "incoming"
        self._files = data_dir / "files"
        self._batches = data_dir / "batches"
        for folder in (self._incoming, self._files, self._batches):
            folder.mkdir(parents=True, exist_ok=True)

    def new_incoming(self) -> IncomingBlob:
        return IncomingBlob(self.new_incoming_path())

    def new_incoming_path(self) -> Path:
        """A fresh path for an extraction to write to."""
        return self._incoming / secrets.token_hex(16)

    def path(self, file_id: str, name: str) -> Path:
        """Where a blob of a file is, or would be."""
        return self._folder(file_id) / name

    def reading_folder(self, file_id: str) -> Path:
        """Where the reading of a file keeps what it has made so far. It need not exist."""
        return self._folder(file_id) / "reading"

    async def new_reading_folder(self, file_id: str) -> Path:
        """The same folder, empty."""
        folder = self.reading_folder(file_id)
        await self.end_reading(file_id)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        return folder

    async def end_reading(self, file_id: str) -> None:
        """Remove what a reading has made and nobody kept."""
        await asyncio.to_thread(shutil.rmtree, self.reading_folder(file_id), ignore_errors=True)

    async def write(self, path: Path, data: bytes) -> None:
        """Write a file so that it is there whole or not at all, whatever happens."""
        await asyncio.to_thread(_write_durably, path, data)

    async def keep(self, incoming: Path, file_id: str, name: str) -> None:
        """Move written bytes to their place, durably."""
        await asyncio.to_thread(self._keep, incoming, file_id, name)

    async def link(self, file_id: str, name: str, path: Path) -> None:
        """Have a blob stand under another path too. Raises FileNotFoundError when the file was deleted."""
        await asyncio.to_thread(path.hardlink_to, self.path(file_id, name))

    async def adopt(self, path: Path, file_id: str) -> None:
        """Have written and synced bytes stand as a file's original, too; where they lay they stay. Durable."""
        await asyncio.to_thread(self._adopt, path, file_id)

    async def remove_others(self, file_id: str, pattern: str, name: str) -> None:
        """Remove the blobs of a file whose names fit a glob pattern, but for the one of that name."""
        await asyncio.to_thread(self._remove_others, file_id, pattern, name)

    async def delete(self, file_id: str) -> None:
        """Remove everything that a file owns."""
        await asyncio.to_thread(shutil.rmtree, self._folder(file_id), ignore_errors=True)

    def batch_folder(self, batch_id: str) -> Path:
        """Where the results of a batch grow. It need not exist."""
        return self._batches / batch_id

    async def delete_batch_folder(self, batch_id: str) -> None:
        """Remove what a batch has left when its results have become files."""
        await asyncio.to_thread(shutil.rmtree, self.batch_folder(batch_id), ignore_errors=True)

    def sweep_batches(self, unfinished: Collection[str]) -> int:
        """Remove the folders of batches that have ended; how many those were. Only for the start."""
        leftovers = [folder for folder in self._batches.iterdir() if folder.name not in unfinished]
        for folder in leftovers:
            shutil.rmtree(folder, ignore_errors=True)
        return len(leftovers)

    def sweep_incoming(self) -> int:
        """Remove what no upload or extraction is writing any more. Only for the start, before there is any."""
        leftovers = list(self._incoming.iterdir())
        for path in leftovers:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(leftovers)

    def folders(self) -> Iterator[list[Path]]:
        """The folders of files, a shard at a time; each has its file's id as its name."""
        for shard in sorted(self._files.iterdir()):
            yield list(shard.iterdir())

    def is_place_of(self, folder: Path) -> bool:
        """Whether a folder is where the blobs of the file of its name belong."""
        return folder == self._folder(folder.name)

    def _folder(self, file_id: str) -> Path:
        shard = hashlib.blake2b(file_id.encode(), digest_size=1).hexdigest()
        return self._files / shard / file_id

    def _remove_others(self, file_id: str, pattern: str, name: str) -> None:
        for path in self._folder(file_id).glob(pattern):
            if path.name != name:
                path.unlink(missing_ok=True)

    def _keep(self, incoming: Path, file_id: str, name: str) -> None:
        with incoming.open("rb") as written:
            os.fsync(written.fileno())
        folder = self._make_folder(file_id)
        incoming.replace(folder / name)
        self._sync_path_to(folder)

    def _adopt(self, path: Path, file_id: str) -> None:
        folder = self._make_folder(file_id)
        (folder / ORIGINAL).unlink(missing_ok=True)  # of a try that came no further
        (folder / ORIGINAL).hardlink_to(path)
        self._sync_path_to(folder)

    def _make_folder(self, file_id: str) -> Path:
        folder = self._folder(file_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _sync_path_to(self, folder: Path) -> None:
        for changed in (folder, folder.parent, self._files):
            sync_folder(changed)


def _write_durably(path: Path, data: bytes) -> None:
    incoming = path.with_name(f"{path.name}.incoming")
    with incoming.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    incoming.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder be on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
