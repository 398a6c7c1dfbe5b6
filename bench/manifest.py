"""A folder of documents with a manifest that says what their text must hold, and how a text is compared with it.

`manifest.tsv` has a line a file: its path below the folder, its format, where it is from, its licence, its size, what to
expect, why it is there, and a JSON list of strings. `text` and `ocr` expect each string in the text, `password` a refusal,
`nocrash` any end within the limits.
"""

import html
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TEXT, OCR, PASSWORD, NO_CRASH = "text", "ocr", "password", "nocrash"

_TAG = re.compile(
    r"</?(b|i|u|em|strong|p|br|td|tr|table|th|span|div|a|sup|sub|html|body|h\d|li|ul|ol|thead|tbody)\b[^<>]{0,120}>"
)
_LINK_TARGET = re.compile(r"\]\([^)]*\)")
_NOISE = re.compile(r"[\s*_\\|#`<>~\-\u2010-\u2015\[\]\u200b-\u200f\u202a-\u202e\u00ad\ufeff\"“”'‘’&;:.,]+")


@dataclass(frozen=True, slots=True)
class Expected:
    """One file of the folder. `name` is its path below it."""

    name: str
    format: str
    size_bytes: int
    expect: str
    strings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """How a text, or its absence, compares with what was expected."""

    found: int
    strings: int
    right: bool


def read_manifest(folder: Path) -> list[Expected]:
    """The files of a folder. Raises FileNotFoundError."""
    lines = (folder / "manifest.tsv").read_text("utf-8").splitlines()[1:]
    return [_expected(line.split("\t")) for line in lines if line]


def _expected(fields: Sequence[str]) -> Expected:
    name, kind, _, _, size, expect, _, strings = fields
    return Expected(name, kind, int(size), expect, tuple(json.loads(strings)))


def fold(text: str) -> str:
    """A text for comparing: without width, case, white space, markup and punctuation, so that Markdown is as good as none."""
    text = unicodedata.normalize("NFKC", html.unescape(unicodedata.normalize("NFKC", text)))
    return _NOISE.sub("", _TAG.sub("", _LINK_TARGET.sub(" ", text))).casefold()


def score(expected: Expected, text: str | None, *, refused: bool) -> Score:
    """`text` is None where the tool gave none; `refused` says that it said so, and neither means that it died."""
    if expected.expect == PASSWORD:
        return Score(0, 0, refused)
    if expected.expect == NO_CRASH:
        return Score(0, 0, refused or text is not None)
    folded = fold(text or "")
    found = sum(fold(wanted) in folded for wanted in expected.strings)
    return Score(found, len(expected.strings), found == len(expected.strings))
