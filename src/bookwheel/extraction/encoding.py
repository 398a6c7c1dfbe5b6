"""Which encoding a text file is in: what is certain first, what is likely last.

A byte order mark; the zeros and controls that UTF-16 and UTF-32 show without one; the escapes of ISO-2022, HZ and UTF-7;
UTF-8, proved over the whole file; and only then the encodings from before Unicode, judged by language in `legacy`. Every file
gets an answer: whether it is text at all is for `recognise` to say.
"""

import codecs
import re
from pathlib import Path
from typing import BinaryIO

from bookwheel.extraction.legacy import HANGUL, HANZI, HIRAGANA, KATAKANA, guess_legacy

HEAD_BYTES = 64 * 1024
WIDE_BYTES = 16 * 1024
"""Enough to see UTF-16 and UTF-32 by, and 1 ms to look at."""
CHUNK_BYTES = 1024 * 1024
SAMPLE_BYTES = 256 * 1024
MOST_CONTROLS = 0.03
"""The largest share of controls in text of one or two bytes a character. Random bytes have 10 %, programs more."""
WHOLE_PER_BROKEN = 4
"""Damaged UTF-8 is still UTF-8 when so many characters are whole for each that is broken. Other encodings do not come
near it by chance: most of their bytes above ASCII are broken UTF-8."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE_CODECS = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_NOT_IN_TEXT = bytes({*range(0x20), 0x7F} - set(b"\t\n\v\f\r\x1b"))
_SHIFTS = b"\x0e\x0f"
_ISO_2022_KR = b"\x1b$)C"
_ISO_2022_JP = re.compile(rb"\x1b\$[@B][\x21-\x7e\r\n]+\x1b\([BIJ]")
_HALF_WIDTH = b"\x1b(I"
_HZ = re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}")
_UTF_7 = re.compile(rb"\+[A-Za-z0-9+/]{3,}")
_FAMILIAR = re.compile(
    f"[\t-\r -~\u0370-\u06ff\u0900-\u0eff\u2010-\u2026\u3000-\u3002\uff00-\uff20{HANZI}{HIRAGANA}{KATAKANA}{HANGUL}]"
)


def detect_encoding(path: Path) -> str:
    """A codec for `open(path, encoding=..., errors="replace")`, which takes a byte order mark away.

    Reads the file once, a megabyte at a time.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        wide = sniff_unicode(head)
        if wide is not None:
            return wide
        broken_at = _first_broken_utf8(file)
        if broken_at is None:
            return _escaped_codec(head) or "utf-8"
        sample = _sample(file, broken_at)
    return "utf-8" if _is_damaged_utf8(sample) else guess_legacy(sample)


def sniff_unicode(head: bytes) -> str | None:
    """The Unicode encoding that the first bytes of a file show without doubt, or None."""
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return codec
    if control_share(head) <= MOST_CONTROLS:
        return None
    likeness = {codec: _familiar_share(head, codec) for codec in _WIDE_CODECS}
    best = max(likeness, key=likeness.__getitem__)
    return best if likeness[best] > 0.3 else None


def control_share(head: bytes) -> float:
    """The share of bytes that do not stand in text of one or two bytes a character; 0 for an empty head."""
    not_in_text = _NOT_IN_TEXT.translate(None, _SHIFTS) if _ISO_2022_KR in head else _NOT_IN_TEXT
    return 1 - len(head.translate(None, not_in_text)) / len(head) if head else 0.0


def is_wide_text(head: bytes, codec: str) -> bool:
    """Whether the first bytes of a file read as text in UTF-16 or UTF-32, and not as noise behind a byte order mark."""
    return _printable(head, codec) is not None


def _familiar_share(head: bytes, codec: str) -> float:
    """The share of everyday characters when the bytes are read so; 0 where they cannot be.

    ASCII read as UTF-16 gives Chinese characters too, but rare ones: everyday ones are one in fifty of them.
    """
    text = _printable(head, codec)
    return len(_FAMILIAR.findall(text)) / len(text) if text else 0.0


def _printable(head: bytes, codec: str) -> str | None:
    """The text of the bytes, or None where one in a hundred characters is no character. A cut at the end is allowed."""
    try:
        text = codecs.getincrementaldecoder(codec)("strict").decode(head[:WIDE_BYTES])
    except UnicodeDecodeError:
        return None
    strange = sum(not character.isprintable() and not character.isspace() for character in text)
    return text if strange <= len(text) / 100 + 1 else None


def _escaped_codec(head: bytes) -> str | None:
    """The encoding that writes other letters as ASCII behind escapes, or None where the text has none."""
    if _ISO_2022_KR in head:
        return "iso2022_kr"
    if _ISO_2022_JP.search(head):
        return "iso2022_jp_ext" if _HALF_WIDTH in head else "iso2022_jp_2"
    for codec, escape in (("hz", _HZ), ("utf-7", _UTF_7)):
        if head.isascii() and escape.search(head) and _is_familiar(head, codec):
            return codec
    return None


def _is_familiar(head: bytes, codec: str) -> bool:
    """Whether ASCII reads without a fault in `codec`, and what it escapes is letters that are written every day.

    Chance makes of `+` and letters any characters at all, one in ten of them familiar.
    """
    try:
        text = codecs.getincrementaldecoder(codec)("strict").decode(head)
    except UnicodeDecodeError:
        return False
    escaped = [character for character in text if character > "\x7f"]
    familiar = sum(_is_latin(character) or _FAMILIAR.match(character) is not None for character in escaped)
    return familiar > max(1, 0.4 * len(escaped))


def _is_latin(character: str) -> bool:
    return character < "\u0250" or "\u1e00" <= character <= "\u1eff"


def _first_broken_utf8(file: BinaryIO) -> int | None:
    """The place of the first bytes that are not UTF-8; the file's size where its last character is cut off."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    position = 0
    while chunk := file.read(CHUNK_BYTES):
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return position + error.start
        position += len(chunk)
    return position if decoder.getstate()[0] else None


def _sample(file: BinaryIO, broken_at: int) -> bytes:
    """What there is to judge by: the beginning, the middle, and the place where UTF-8 ended."""
    size = file.seek(0, 2)
    if size <= SAMPLE_BYTES:
        file.seek(0)
        return file.read()
    third = SAMPLE_BYTES // 3
    starts = sorted({0, max(0, broken_at - third // 2), size // 2})
    return b"".join(_piece(file, start, third) for start in starts)


def _piece(file: BinaryIO, start: int, size: int) -> bytes:
    """Bytes from a place on, beginning with a line where there is one, so that no character is cut in two."""
    file.seek(start)
    piece = file.read(size)
    line_end = piece.find(b"\n") if start else -1
    return piece[line_end + 1 :]


def _is_damaged_utf8(sample: bytes) -> bool:
    """Whether bytes that are not all UTF-8 are best read so, with replacement characters. A cut at the end is allowed."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(sample)
    broken = text.count("\ufffd") - sample.count("\ufffd".encode())
    whole = sum(map(len, re.findall(r"[^\x00-\x7f\ufffd]+", text)))
    return whole > 0 and whole >= WHOLE_PER_BROKEN * broken
