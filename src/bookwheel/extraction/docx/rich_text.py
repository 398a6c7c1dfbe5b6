"""The words of RTF that is embedded in a Word document: its paragraphs, without anything that says how they look."""

import codecs
import re
from itertools import islice

MOST_DEPTH = 200
MOST_TOKENS = 4_000_000

_TOKEN = re.compile(
    rb"\\([a-z]{1,32})(-?\d{1,9})? ?|\\'([0-9a-f]{2})|\\(.)|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.IGNORECASE | re.DOTALL
)
_UNSEEN = frozenset(
    b"fonttbl colortbl stylesheet listtable listoverridetable info pict object header footer themedata datastore fldinst"
    b" rsidtbl generator xmlnstbl latentstyles mmathPr".split()
)
_ENDS = frozenset(b"par row sect page".split())
_CHARACTERS = {
    b"tab": "\t",
    b"cell": "\t",
    b"line": " ",
    b"emdash": "—",
    b"endash": "–",
    b"bullet": "•",
    b"lquote": "‘",
    b"rquote": "’",
    b"ldblquote": "“",
    b"rdblquote": "”",
}
_ESCAPED = {b"~": " ", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}"}


def rich_text_paragraphs(data: bytes) -> list[str]:
    """The paragraphs of an RTF file, cells of tables parted by tabs."""
    reader = _Reader()
    for token in islice(_TOKEN.finditer(data), MOST_TOKENS):
        reader.take(*token.groups())
    return [line for paragraph in reader.text().split("\n") if (line := paragraph.strip())]


class _Reader:
    """Takes token after token. Bytes wait until all of a character are there."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._waiting = bytearray()
        self._code_page = "cp1252"
        self._depth = 0
        self._unseen_below = 0
        """The depth of the outermost group that is not seen, or 0."""
        self._to_skip = 0
        self._after_unicode = [1]
        """How many bytes stand for a character again, for older programs: of each group that is open."""

    def text(self) -> str:
        """All that was read."""
        self._add("")
        return "".join(self._parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def take(
        self,
        word: bytes | None,
        number: bytes | None,
        code: bytes | None,
        escaped: bytes | None,
        brace: bytes | None,
        plain: bytes | None,
    ) -> None:
        """Take the groups of one token."""
        if brace:
            self._open() if brace == b"{" else self._close()
        elif word in _UNSEEN or escaped == b"*":
            self._unseen_below = self._unseen_below or self._depth
        elif self._unseen_below:
            return
        elif word:
            self._word(word, int(number or 1))
        elif escaped:
            self._add(_ESCAPED.get(escaped, ""))
        elif code or plain:
            self._bytes(bytes.fromhex(code.decode()) if code else plain or b"")

    def _open(self) -> None:
        self._depth += 1
        if self._depth < MOST_DEPTH:
            self._after_unicode.append(self._after_unicode[-1])

    def _close(self) -> None:
        if self._depth <= self._unseen_below:
            self._unseen_below = 0
        self._depth = max(0, self._depth - 1)
        del self._after_unicode[self._depth + 1 :]

    def _word(self, word: bytes, number: int) -> None:
        if word == b"uc":
            self._after_unicode[-1] = min(max(number, 0), 9)
        elif word == b"u":
            self._add(chr(number & 0xFFFF))
            self._to_skip = self._after_unicode[-1]
        elif word == b"ansicpg":
            self._set_code_page(number)
        else:
            self._add("\n" if word in _ENDS else _CHARACTERS.get(word, ""))

    def _bytes(self, data: bytes) -> None:
        self._waiting += data[self._to_skip :]
        self._to_skip = max(0, self._to_skip - len(data))

    def _add(self, text: str) -> None:
        if self._waiting:
            self._parts.append(self._waiting.decode(self._code_page, "replace"))
            self._waiting.clear()
        if text:
            self._parts.append(text)

    def _set_code_page(self, number: int) -> None:
        name = "utf-8" if number == 65001 else f"cp{number}"
        try:
            codecs.lookup(name)
        except LookupError:
            return
        self._code_page = name
