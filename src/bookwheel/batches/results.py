"""The results of a batch while it runs: two files that only grow, one for answers and one for failures.

They are the truth: a line is done when its result is in one of them, on disk. Each result's id has the number of its line at
a fixed place, so that a start after a crash knows what is done from the files alone. What a crash tore off at their ends was
never counted, and is cut off.
"""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import UUID

from bookwheel.logs import log
from bookwheel.storage.blobs import sync_folder

OUTPUT = "output.jsonl"
ERRORS = "errors.jsonl"
MOST_UNWRITTEN_BYTES = 8 * 1024 * 1024
"""More results than that wait for the disk, and those who bring them with them."""
PAUSE_WHERE_DISK_FAILS_SECONDS = 10.0

_HEAD = b'{"id":"batch_req_'
_NUMBER_DIGITS = 10
"""Of a line's number, which counts empty lines, too: there may be as many as the file has bytes."""
_NUMBER_AT = len(_HEAD) + 32 + 1


def result_id(batch_id: str, number: int) -> str:
    """The id of the result of a line: the same whenever it is made."""
    return f"batch_req_{UUID(batch_id.removeprefix('batch_')).hex}_{number:0{_NUMBER_DIGITS}}"


@dataclass(slots=True)
class _GrowingFile:
    """A file that only grows, and the numbers of the lines whose results it holds."""

    path: Path
    file: IO[bytes]
    size_bytes: int = 0
    done: set[int] = field(default_factory=set)

    def write(self, results: list[tuple[int, bytes]]) -> None:
        """Add results so that they are on disk. Raises OSError; then they can be written again."""
        if not results:
            return
        data = b"".join(result + b"\n" for _, result in results)
        os.ftruncate(self.file.fileno(), self.size_bytes)  # what a try before this one may have left
        _write_all(self.file, data)
        os.fdatasync(self.file.fileno())
        self.size_bytes += len(data)
        self.done.update(number for number, _ in results)


class Results:
    """See the module. `open_results` makes it; to be used from one event loop."""

    def __init__(self, output: _GrowingFile, errors: _GrowingFile) -> None:
        self._output = output
        self._errors = errors
        self._unwritten: list[tuple[bool, int, bytes]] = []
        self._unwritten_bytes = 0
        self._writing: asyncio.Task[None] | None = None

    @property
    def done(self) -> set[int]:
        """The numbers of lines whose result is on disk."""
        return self._output.done | self._errors.done

    @property
    def completed(self) -> int:
        """How many answers are on disk."""
        return len(self._output.done)

    @property
    def failed(self) -> int:
        """How many failures are on disk."""
        return len(self._errors.done)

    @property
    def files(self) -> tuple[tuple[Path, str], tuple[Path, str]]:
        """Where they are, and what each holds in a word."""
        return (self._output.path, "output"), (self._errors.path, "error")

    async def add(self, number: int, result: bytes, *, is_failure: bool) -> None:
        """Have a line's result written. Returns before it is; waits only where the disk does not keep up."""
        self._unwritten.append((is_failure, number, result))
        self._unwritten_bytes += len(result)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        if self._unwritten_bytes > MOST_UNWRITTEN_BYTES:
            await self.settle()

    async def settle(self) -> None:
        """Wait until every result is on disk."""
        while self._writing is not None and not self._writing.done():
            await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Write what is left, where the disk takes it."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=PAUSE_WHERE_DISK_FAILS_SECONDS)
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        for growing in (self._output, self._errors):
            growing.file.close()

    async def _write(self) -> None:
        """Write what is there; while the disk is busy with it, more gathers and goes in one piece."""
        while self._unwritten:
            taken, self._unwritten = self._unwritten, []
            await self._write_until_done(taken)
            self._unwritten_bytes -= sum(len(result) for _, _, result in taken)

    async def _write_until_done(self, taken: list[tuple[bool, int, bytes]]) -> None:
        for file, of_failures in ((self._output, False), (self._errors, True)):
            results = [(number, result) for is_failure, number, result in taken if is_failure == of_failures]
            await _write_durably(file, results)


def open_results(folder: Path) -> Results:
    """The results in a folder, as a crash may have left them; made where there are none. O(their size): for a thread."""
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(_open_growing(folder / OUTPUT), _open_growing(folder / ERRORS))
    sync_folder(folder)
    sync_folder(folder.parent)
    return results


async def _write_durably(growing: _GrowingFile, results: list[tuple[int, bytes]]) -> None:
    """Write results, however long the disk refuses them: they were answered, and are kept."""
    while True:
        writing = asyncio.ensure_future(asyncio.to_thread(growing.write, results))
        try:
            return await asyncio.shield(writing)
        except OSError as error:  # a full disk, mostly
            log.error("batch results not written", batch_id=growing.path.parent.name, why=os.strerror(error.errno or 0))
        finally:  # a thread goes on where this is cancelled: the file is not to be closed under it
            await asyncio.gather(writing, return_exceptions=True)
        await asyncio.sleep(PAUSE_WHERE_DISK_FAILS_SECONDS)


def _open_growing(path: Path) -> _GrowingFile:
    file = path.open("ab+", buffering=0)
    growing = _GrowingFile(path, file)
    with path.open("rb") as written:
        for line in written:
            number = _number_of(line)
            if number is None:
                break
            growing.size_bytes += len(line)
            growing.done.add(number)
    file.truncate(growing.size_bytes)
    os.fsync(file.fileno())
    return growing


def _number_of(line: bytes) -> int | None:
    """The number of the input line that a result is of; None where it is not whole."""
    number = line[_NUMBER_AT : _NUMBER_AT + _NUMBER_DIGITS]
    is_whole = line.startswith(_HEAD) and line.endswith(b"}\n") and number.isdigit()
    return int(number) if is_whole else None


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
