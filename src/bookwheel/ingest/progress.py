"""How far the reading of each file is. In memory only: a restart begins to tell anew."""

import time
from dataclasses import dataclass, field

from bookwheel.extraction.notes import Say
from bookwheel.wire.files import ReadingProgress


@dataclass(slots=True)
class _Reading:
    started: float = field(default_factory=time.perf_counter)
    progress: ReadingProgress | None = None


class Progress:
    """See the module. Progress comes in from the sandbox's threads: each change is one assignment."""

    def __init__(self) -> None:
        self._readings: dict[str, _Reading] = {}

    def begin(self, file_id: str) -> None:
        """A file's reading begins, or goes on."""
        self._readings.setdefault(file_id, _Reading())

    def teller(self, file_id: str) -> Say:
        """What takes the progress of a file's reading."""

        def say(unit: str, number: int, total: int) -> None:
            reading = self._readings.get(file_id)
            if reading is not None:
                reading.progress = ReadingProgress(unit=unit, number=number, total=total or None)

        return say

    def of(self, file_id: str) -> ReadingProgress | None:
        """How far it is; None when it has not begun, or nothing was said yet."""
        reading = self._readings.get(file_id)
        return reading.progress if reading else None

    def seconds(self, file_id: str) -> float:
        """Since its reading began in this process."""
        reading = self._readings.get(file_id)
        return round(time.perf_counter() - reading.started, 3) if reading else 0.0

    def forget(self, file_id: str) -> None:
        """Its reading is over."""
        self._readings.pop(file_id, None)
