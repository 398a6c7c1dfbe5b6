"""JSON and JSON Lines: read strictly, written out as indented plain text (`key: value`, `- item`), nothing escaped.

Numbers keep their digits; the escape of half a character reads as U+FFFD. Values nested more deeply than the parser
follows, and what is not JSON, are refused. A JSON file is held in memory whole; JSON Lines pass through line by line.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import msgspec

from bookwheel.document import Block, BlockKind, part_text
from bookwheel.errors import ParsingError

BLOCK_CHARACTERS = 2_000
NUMBERS_PER_LINE = 16
DEEPEST_INDENT = 10
"""Deeper levels are not indented further: text must not grow with the square of the depth."""
STEP_CHARACTERS = 60
ANCHOR_CHARACTERS = 200
ADVICE = "To have it read as plain text, give it the name .txt."

_Path = tuple[Any, ...]
"""`(path of the parent, key or index)`, a root `(name,)`: made into words only where a block begins."""


class _Number(str):
    """A float as it was written: 1.10 stays 1.10."""

    __slots__ = ()


_NUMBERS = frozenset({_Number, int, bool, type(None)})
_CONSTANTS = {None: "null", True: "true", False: "false"}
_DECODER = msgspec.json.Decoder(float_hook=_Number)
_SURROGATES = re.compile(
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""The escapes of a whole character, kept, and of a half without its other one, which is valid but says nothing."""
_MESSAGE = re.compile(r"(?:JSON is malformed: )?(.*?)(?: \(byte (\d+)\))?", re.DOTALL)


class _Line(NamedTuple):
    """A line of the text, or a piece of a long one, with the path of the value that it begins and how deep that is."""

    text: str
    path: _Path
    depth: int


def read(path: Path, encoding: str) -> Iterator[Block]:
    """The values of a JSON or JSON Lines file. Anchors are paths, `$.data[3].title`, after `line N` in JSON Lines."""
    with path.open(encoding=encoding, errors="replace") as file:
        yield from _blocks(chain.from_iterable(map(_pieces, _lines(file))))


def _lines(file: TextIO) -> Iterator[_Line]:
    """A file is JSON Lines when its first line is a whole value and more lines follow."""
    blank_lines, first = _skip_blank_lines(file)
    if not first:
        return
    value = _value_of_line(first)
    if value is msgspec.UNSET:
        yield from _walk(_decode("\n" * blank_lines + first + file.read()), ("$",))
        return
    more_blank_lines, second = _skip_blank_lines(file)
    if not second:
        yield from _walk(value, ("$",))
        return
    yield from _record(value, blank_lines + 1)
    for number, line in enumerate(chain([second], file), blank_lines + more_blank_lines + 2):
        if not line.isspace():
            yield from _record(_decode(line, number), number)


def _value_of_line(line: str) -> Any:
    """The value, or UNSET where the line is not a whole one."""
    try:
        return _decode_whole(line)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.UNSET


def _skip_blank_lines(file: TextIO) -> tuple[int, str]:
    """How many blank lines there were, and the line after them; "" at the end."""
    count = 0
    for line in file:
        if not line.isspace():
            return count, line
        count += 1
    return count, ""


def _decode(text: str, line_number: int = 1) -> Any:
    try:
        return _decode_whole(text)
    except RecursionError:
        raise ParsingError("Its values are nested too deeply.") from None
    except msgspec.DecodeError as error:
        raise ParsingError(f"{_fault(str(error), text, line_number)} {ADVICE}") from None


def _decode_whole(text: str) -> Any:
    """The value of a text. Raises msgspec.DecodeError, RecursionError."""
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        whole = _SURROGATES.sub(lambda found: found[1] or r"\ufffd", text)
        if whole == text:
            raise
    return _DECODER.decode(whole)


def _fault(message: str, text: str, line_number: int) -> str:
    """The parser's message with its place as line and column, from 1. A message without a place means the end."""
    found = _MESSAGE.fullmatch(message)
    what, byte = found.groups() if found else (message, None)
    end = int(byte or 0) - (what == "trailing characters")  # of which the parser names the byte behind the first
    before = text.encode()[:end].decode(errors="ignore") if byte else text.rstrip()
    line = line_number + before.count("\n")
    column = len(before) - before.rfind("\n")
    return f"It is not valid JSON: line {line}, column {column}: {what[0].lower()}{what[1:]}."


def _record(value: Any, line_number: int) -> Iterator[_Line]:
    """A value of JSON Lines, written as an item of a list."""
    return _walk(value, (f"line {line_number}",), dash="- ")


class _Level:
    """A list or an object that is being written, and which of its entries come next."""

    def __init__(
        self, value: Any, path: _Path, depth: int, lead: str = "", first: tuple[_Path, int] | None = None
    ) -> None:
        self.entries = iter(value.items()) if isinstance(value, dict) else enumerate(_items(value))
        self.is_list = isinstance(value, list)
        self.path, self.depth = path, depth
        self.indent = "  " * min(depth, DEEPEST_INDENT)
        self._lead, self._first = lead, first

    def begin(self, key: str | int) -> tuple[str, _Path, int]:
        """What the next entry's line begins with, and where it stands: the first may share the line of its item's dash."""
        if self._first is None:
            return self.indent, (self.path, key), self.depth
        (path, depth), self._first = self._first, None
        return self._lead, path, depth


def _walk(value: Any, root: _Path, dash: str = "") -> Iterator[_Line]:
    """The lines of a value. Open levels are kept in a list, not on the stack: how deep they go is the sender's choice."""
    if not _has_entries(value):
        yield _Line(f"{dash}{_words(value)}\n", root, 0)
        return
    levels = [_Level(value, root, len(dash) // 2, dash, (root, 0) if dash else None)]
    while levels:
        level = levels[-1]
        for key, child in level.entries:
            lead, path, depth = level.begin(key)
            if not _has_entries(child):
                label = "- " if level.is_list else f"{key}: "
                words = _words(child).replace("\n", f"\n{level.indent}  ")
                yield _Line(f"{lead}{label}{words}\n", path, depth)
                continue
            if level.is_list:
                levels.append(_Level(child, (level.path, key), level.depth + 1, f"{lead}- ", (path, depth)))
            else:
                yield _Line(f"{lead}{key}:\n", path, depth)
                levels.append(_Level(child, (level.path, key), level.depth + 1))
            break
        else:
            levels.pop()


def _has_entries(value: Any) -> bool:
    """Whether a value takes lines of its own. A few numbers stand in one line: `[1, 2, 3]`."""
    if not value or not isinstance(value, (dict, list)):
        return False
    return isinstance(value, dict) or len(value) > NUMBERS_PER_LINE or not _is_numbers(value)


def _items(value: list[Any]) -> Iterable[Any]:
    """The items of a list; long rows of numbers, as of a vector, by the line."""
    if not _is_numbers(value):
        return value
    starts = range(0, len(value), NUMBERS_PER_LINE)
    return (", ".join(map(_words, value[start : start + NUMBERS_PER_LINE])) for start in starts)


def _is_numbers(value: list[Any]) -> bool:
    return all(type(item) in _NUMBERS for item in value)


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, dict):
        return "{}"
    return str(value) if type(value) is int else _CONSTANTS[value]


def _pieces(line: _Line) -> Iterator[_Line]:
    """A line in pieces that fit a block."""
    start, depth = 0, line.depth
    while len(line.text) - start > BLOCK_CHARACTERS:
        end = start + part_text(line.text[start : start + BLOCK_CHARACTERS + 1], BLOCK_CHARACTERS)
        yield _Line(line.text[start:end], line.path, depth)
        start, depth = end, line.depth + 1
    yield _Line(line.text[start:], line.path, depth) if start else line


def _blocks(lines: Iterable[_Line]) -> Iterator[Block]:
    """Lines gathered to blocks that begin with values as little nested as can be."""
    held: list[_Line] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line.text)
        if size > BLOCK_CHARACTERS:
            count = _natural_end(held)
            block = _block(held[:count])
            yield block
            size -= len(block.text)
            del held[:count]
    if held:
        yield _block(held)


def _natural_end(held: list[_Line]) -> int:
    """How many lines to take: up to the least nested line of those that leave the block at least a quarter full."""
    size, best = 0, 0
    for count, line in enumerate(held):
        if size > BLOCK_CHARACTERS:
            break
        if not best or size < BLOCK_CHARACTERS // 4 or line.depth <= held[best].depth:
            best = count
        size += len(line.text)
    return best


def _block(lines: list[_Line]) -> Block:
    return Block(BlockKind.LIST, "".join(line.text for line in lines), _anchor(lines[0].path))


def _anchor(path: _Path) -> str:
    keys: list[str | int] = []
    while len(path) == 2:
        path, key = path
        keys.append(key)
    steps = "".join(map(_step, reversed(keys)))
    name = f"{path[0]}{steps}" if path[0] == "$" or not steps else f"{path[0]} ${steps}"
    return name if len(name) <= ANCHOR_CHARACTERS else f"{name[:ANCHOR_CHARACTERS]}…"


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.isidentifier() and len(key) <= STEP_CHARACTERS else f'["{key[:STEP_CHARACTERS]}"]'
