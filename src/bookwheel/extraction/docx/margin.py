"""What stands at the margin of a Word document: footnotes, endnotes and comments, kept until their place comes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree

from bookwheel.document import Block, BlockKind
from bookwheel.errors import SizeExceeded
from bookwheel.extraction.docx.paragraphs import ParagraphReader
from bookwheel.extraction.ooxml.numbers import roman
from bookwheel.extraction.ooxml.package import Package, W

MOST_CHARACTERS = 50_000_000
"""Of notes and comments, which are held in memory."""

NOTE_COST = 200
"""What a note takes beside its text, in characters."""

_SEPARATORS = frozenset(("separator", "continuationSeparator", "continuationNotice"))


@dataclass(frozen=True)
class _Comment:
    author: str
    text: str


class Margin:
    """The notes and comments of one document. Footnotes count 1, 2, 3, endnotes i, ii, iii, in the order of their marks."""

    def __init__(self, package: Package, part: str, reader: Callable[[str], ParagraphReader]) -> None:
        """`reader` gives what reads the paragraphs of a part."""
        self._package = package
        self._reader = reader
        self._characters = 0
        self._texts = {kind: self._load(part, f"{kind}s", kind) for kind in ("footnote", "endnote")}
        self._comments = self._load_comments(part)
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts = {"footnote": 0, "endnote": 0}
        self._waiting: dict[str, list[str]] = {"footnote": [], "endnote": []}
        self._comment_count = 0

    def _load(self, part: str, relation: str, tag: str) -> dict[str, str]:
        return {
            element.get(f"{W}id", ""): text
            for element, text in self._notes_of(part, relation, tag)
            if element.get(f"{W}type") not in _SEPARATORS
        }

    def _load_comments(self, part: str) -> dict[str, _Comment]:
        return {
            element.get(f"{W}id", ""): _Comment(element.get(f"{W}author", "").strip(), text)
            for element, text in self._notes_of(part, "comments", "comment")
        }

    def _notes_of(self, part: str, relation: str, tag: str) -> Iterator[tuple[etree._Element, str]]:
        for name in self._package.related(part, relation)[:1]:
            reader = self._reader(name)
            stream = self._package.stream(name, (W + tag,))
            for event, element in stream:
                if event == "end":
                    text = reader.flat(element).text
                    self._characters += len(text) + NOTE_COST
                    if self._characters > MOST_CHARACTERS:
                        raise SizeExceeded
                    yield element, text
                    stream.forget(element)

    def mark(self, kind: str, note_id: str) -> str:
        """The mark of a note where it is called: `[^3]`; none where there is no such note."""
        if note_id not in self._texts[kind]:
            return ""
        if (kind, note_id) not in self._numbers:
            self._counts[kind] += 1
            self._numbers[kind, note_id] = self._counts[kind]
            self._waiting[kind].append(note_id)
        return _mark(kind, self._numbers[kind, note_id])

    def waiting(self, kind: str) -> int:
        """How many notes were called and not yet placed."""
        return len(self._waiting[kind])

    def place_notes(self, kind: str) -> Iterator[Block]:
        """The notes that were called since the last time."""
        waiting, self._waiting[kind] = self._waiting[kind], []
        for note_id in waiting:
            number = self._numbers[kind, note_id]
            text = self._texts[kind][note_id]
            if text:
                yield Block(BlockKind.PARAGRAPH, f"{_mark(kind, number)}: {text}\n\n", f"{kind} {number}")

    def place_comment(self, comment_id: str) -> Iterator[Block]:
        """A comment, the first time that it is asked for."""
        comment = self._comments.pop(comment_id, None)
        if comment and comment.text:
            self._comment_count += 1
            by = f" by {comment.author}" if comment.author else ""
            yield Block(BlockKind.PARAGRAPH, f"[comment{by}: {comment.text}]\n\n", f"comment {self._comment_count}")

    def place_rest(self) -> Iterator[Block]:
        """Endnotes, and the comments that are tied to no place."""
        yield from self.place_notes("endnote")
        for comment_id in list(self._comments):
            yield from self.place_comment(comment_id)


def _mark(kind: str, number: int) -> str:
    return f"[^{number if kind == 'footnote' else roman(number)}]"
