"""Readings above characters: 漢字(かんじ). Bases that stand side by side keep together, with their readings after them.

Each pair of base and reading is told once in a document: text where every word is followed by how it is said could
neither be searched nor quoted.
"""

from collections.abc import Callable
from typing import Protocol

MOST_SEEN = 200_000
MOST_BASE = 200


class Inline(Protocol):
    """Where inline text goes, as far as readings need it."""

    def write(self, text: str) -> None: ...
    def mark(self) -> tuple[int, int]: ...
    def cut(self, mark: tuple[int, int]) -> str: ...


class Readings:
    """The readings of one document, and those that wait for the end of their run of bases."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()
        self._mark: tuple[int, int] | None = None
        self._base = ""
        self.waiting: list[str] = []
        """Readings whose run of bases goes on."""

    def begin(self, inline: Inline) -> None:
        """A base begins."""
        self._mark = inline.mark()

    def add(self, reading: str) -> None:
        """A reading of the base that is open, or of the last one."""
        reading = reading.strip()
        if reading and len(self.waiting) < MOST_BASE:
            self.waiting.append(reading)

    def end(self, inline: Inline) -> None:
        """The base ends: it stands in the text, its readings wait for what follows."""
        if self._mark is not None:
            base = inline.cut(self._mark).strip()
            inline.write(base)
            self._base += base
            self._mark = None
        if not self.waiting:
            self._base = ""
        elif len(self._base) > MOST_BASE:
            self.interrupt("", inline.write)

    def interrupt(self, text: str, write: Callable[[str], None]) -> None:
        """Other text follows, or none: the run of bases is over, unless the text is blank."""
        if self._mark is not None or (text and text.isspace()):
            return
        spaced = any(reading.isascii() or not "ぁ" <= reading[0] <= "ヿ" for reading in self.waiting)
        reading = (" " if spaced else "").join(self.waiting)
        pair = (self._base, reading)
        if pair not in self._seen and len(self._seen) < MOST_SEEN:
            self._seen.add(pair)
            write(f"({reading})")
        self._base, self.waiting = "", []
