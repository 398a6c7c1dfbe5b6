"""Has the pictures of files recognised, page by page, in the sandbox's OCR workers.

Pages of several files take turns, so that a photograph does not wait for the end of a scanned book. Each page's text is on
disk before the next one begins: whatever happens, it is not recognised again.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from bookwheel.document import Gap, Picture
from bookwheel.errors import BadDocument
from bookwheel.extraction.report import RECOGNISE, RecognisedPicture, recognised_path
from bookwheel.extraction.sandbox import Limits, Sandbox
from bookwheel.ingest.progress import Progress
from bookwheel.settings import IngestSettings
from bookwheel.storage.blobs import ORIGINAL, Blobs
from bookwheel.storage.files import FileRecord

FILES_IN_TURN = 16
"""Files whose pages take turns."""


class Pictures:
    """See the module."""

    def __init__(self, blobs: Blobs, settings: IngestSettings, progress: Progress) -> None:
        self._blobs = blobs
        self._progress = progress
        self._workers = settings.ocr_workers
        self._threads = settings.ocr_threads or max(1, (os.cpu_count() or 1) // settings.ocr_workers)
        cpu_seconds = int(settings.ocr_timeout_seconds * self._threads) + 1
        self._sandbox = Sandbox(
            settings.ocr_workers, Limits(settings.memory_mb, cpu_seconds, settings.ocr_timeout_seconds)
        )

    async def recognise(
        self, file: FileRecord, gaps: tuple[Gap, ...], after_first: Callable[[], Awaitable[None]]
    ) -> None:
        """Recognise the pictures of a file that were not yet; `after_first` is awaited when one of them is done.

        What became of the picture N stands at `recognised_path(folder, N)` then.
        """
        folder = self._blobs.reading_folder(file.file_id)
        missing = [number for number in range(len(gaps)) if not recognised_path(folder, number).exists()]
        done = len(gaps) - len(missing)
        unit = "page" if all(gap.picture.is_page for gap in gaps) else "picture"
        say = self._progress.teller(file.file_id)
        numbers = iter(missing)

        async def recognise_each() -> None:
            nonlocal done
            for number in numbers:
                say(unit, done + 1, len(gaps))
                await self._recognise_one(file, folder, number, gaps[number].picture)
                done += 1
                if number == missing[0]:
                    await after_first()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._workers, len(missing))):
                group.create_task(recognise_each())

    async def _recognise_one(self, file: FileRecord, folder: Path, number: int, picture: Picture) -> None:
        original = self._blobs.path(file.file_id, ORIGINAL)
        try:
            found = await self._sandbox.run(RECOGNISE, original, folder, picture, self._threads)
        except BadDocument as problem:
            found = RecognisedPicture(failure=problem.why)
        await self._blobs.write(recognised_path(folder, number), msgspec.msgpack.encode(found))

    def close(self) -> None:
        self._sandbox.close()
