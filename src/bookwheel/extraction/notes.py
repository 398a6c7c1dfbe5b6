"""What a format says of a file beside its blocks: how far it is, what it counted, what it could not read.

A reader gets one `Notes` for one file. Formats know of no process and no server: where progress goes, and what becomes of
the pictures that are kept here, is for others to say.
"""

from collections.abc import Callable
from pathlib import Path

from bookwheel.document import Picture
from bookwheel.errors import PagesExceeded

MOST_PAGES = 15_000
MOST_WARNINGS = 20
MOST_PICTURES = 200
"""Pictures inside a file of another kind that are read. Pages of the file itself do not count."""
LEAST_PICTURE_BYTES = 1_500
"""Smaller ones are bullets, lines and logos."""
MOST_PICTURE_BYTES = 20 * 1024 * 1024

Say = Callable[[str, int, int], None]
"""Takes a unit in the singular (`page`), which one is being read (from 1), and how many there are (0: not known)."""


def say_nothing(unit: str, number: int, total: int) -> None:
    """Where nobody waits for progress."""


class Notes:
    """See the module. `folder` is where pictures are kept, and whatever else a reader must put on disk."""

    def __init__(self, folder: Path, say: Say = say_nothing) -> None:
        self.folder = folder
        self._say = say
        self.counts: dict[str, int] = {}
        self.blank_pages = 0
        self.warnings: list[str] = []
        self._pictures = 0
        self._pictures_left_out = 0

    def reading(self, unit: str, number: int, total: int = 0) -> None:
        """Say that a `page`, `slide`, `sheet` or `section` is being read; the file has as many as were said.

        Raises PagesExceeded.
        """
        if unit in ("page", "slide") and max(number, total) > MOST_PAGES:
            raise PagesExceeded(MOST_PAGES)
        self.counts[unit] = max(number, total, self.counts.get(unit, 0))
        self._say(unit, number, total)

    def warn(self, warning: str) -> None:
        """Note what a user should know of the document: one sentence, once."""
        if warning not in self.warnings and len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(warning)

    def keep_picture(self, data: bytes, anchor: str) -> Picture | None:
        """Keep a picture of the file to have its text recognised; None where it is not worth it, or too much."""
        if len(data) < LEAST_PICTURE_BYTES:
            return None
        if self._pictures == MOST_PICTURES or len(data) > MOST_PICTURE_BYTES:
            self._pictures_left_out += 1
            return None
        self._pictures += 1
        name = f"picture-{self._pictures}"
        (self.folder / name).write_bytes(data)
        return Picture(anchor, name=name)

    def all_warnings(self) -> list[str]:
        """The warnings, those included that are known only at the end."""
        left_out = self._pictures_left_out
        return [*self.warnings, f"{left_out} pictures were not read."] if left_out else list(self.warnings)
