"""The lines of a batch's input file: where they stand, which are wrong, and in what order they are best asked.

The file is read line by line, and a line is forgotten when it has been looked at: what is kept of each are some thirty bytes.
Lines that share documents stand together in the order, because engines keep what they have read.
"""

import re
import time
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bookwheel.errors import InputFileDeleted
from bookwheel.settings import MB, BatchSettings
from bookwheel.wire.batches import BatchError

CHAT_ENDPOINT = "/v1/chat/completions"
EMBEDDINGS_ENDPOINT = "/v1/embeddings"
TEST_ENDPOINT = "/v1/chat/ds-test"
TEST_MODEL = "batch-test-model"
TEST_MOST_LINES = 100
TEST_MOST_BYTES = MB
MOST_ERRORS = 100
BUFFER_BYTES = 1024 * 1024
REST_EVERY_BYTES = 256 * 1024
REST_SECONDS = 0.0001
"""The interpreter is given up every millisecond or so: those who are served meanwhile would wait five for it, each time."""
LINES_WITH_BLANK_ONES = 20
"""For each line that there may be: a file of nothing but line ends is not gone through to its end."""
LONGEST_SHOWN = 80
"""Of a value that an error message repeats."""

_BOM = b"\xef\xbb\xbf"
_SYSTEM = ("system", "developer")
_FILE_ID = re.compile(rb"file-fe-[A-Za-z0-9]{24}")


class BatchLine(msgspec.Struct, frozen=True):
    """A line that was validated. Its body is an object, and may yet have numbers that cannot be read."""

    custom_id: str
    body: msgspec.Raw


class _Line(msgspec.Struct):
    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: msgspec.Raw = msgspec.Raw()


class _Body(msgspec.Struct):
    model: Any = None
    messages: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct):
    role: Any = None
    content: msgspec.Raw = msgspec.Raw()


class _Part(msgspec.Struct):
    file: msgspec.Raw = msgspec.Raw()
    file_id: msgspec.Raw = msgspec.Raw()
    file_data: msgspec.Raw = msgspec.Raw()


_decode_as_line = msgspec.json.Decoder(_Line).decode
_decode_as_body = msgspec.json.Decoder(_Body).decode
_decode_as_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_as_parts = msgspec.json.Decoder(list[_Part]).decode


@dataclass(frozen=True, slots=True)
class LineRules:
    """What the lines of a batch have to be."""

    endpoint: str
    models: Collection[str]
    most_lines: int
    longest_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands in its file: its number, from 1, and its bytes. Lines of a group share documents; 0: with none."""

    number: int
    offset: int
    size_bytes: int
    group: int


@dataclass(frozen=True, slots=True)
class InputLines:
    """The lines of a file that may be run, in the order to run them in: int64[lines] and int32[lines] each."""

    path: Path
    model: str
    numbers: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int32]
    groups: NDArray[np.int32]

    @classmethod
    def none(cls, path: Path) -> "InputLines":
        """Of a file that is gone."""
        numbers = np.empty(0, np.int32)
        return cls(path, "", numbers, np.empty(0, np.int64), numbers, numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def places(self, done: Collection[int] = ()) -> Iterator[Place]:
        """Where the lines stand that are not done, in order."""
        for row in zip(self.numbers, self.offsets, self.sizes, self.groups, strict=True):
            place = Place(*map(int, row))
            if place.number not in done:
                yield place

    def read(self, places: list[Place]) -> list[bytes]:
        """The lines of some places, for a thread. Raises InputFileDeleted."""
        try:
            with self.path.open("rb", buffering=0) as file:
                return [_read_at(file, place) for place in places]
        except FileNotFoundError:
            raise InputFileDeleted from None


@dataclass(slots=True)
class Scan:
    """What came of looking through a file: its lines, or what is wrong with it."""

    lines: InputLines | None = None
    errors: list[BatchError] = field(default_factory=list)


def rules_for(endpoint: str, models: Collection[str], settings: BatchSettings) -> LineRules:
    """The rules of a batch. `models` are the names that may be asked."""
    if endpoint == TEST_ENDPOINT:
        return LineRules(endpoint, (TEST_MODEL,), min(TEST_MOST_LINES, settings.lines), TEST_MOST_BYTES)
    return LineRules(endpoint, models, settings.lines, settings.line_mb * MB)


def scan_lines(path: Path, rules: LineRules) -> Scan:
    """Look through a file. O(its size); takes some three seconds for 500 MB, rests included: for a thread.

    Raises FileNotFoundError.
    """
    if rules.endpoint == TEST_ENDPOINT and path.stat().st_size > TEST_MOST_BYTES:
        message = f"A file for {TEST_MODEL} has at most {TEST_MOST_BYTES // MB} MB."
        return Scan(errors=[BatchError(code="file_too_large", message=message)])
    scanner = _Scanner(rules)
    with path.open("rb", buffering=BUFFER_BYTES) as file:
        scanner.scan(file)
    return scanner.result(path)


def files_in(line: bytes) -> list[str]:
    """The ids of documents that a line may name: found by their form, so that there may be too many, and never too few."""
    return [found.decode() for found in dict.fromkeys(_FILE_ID.findall(line))]


class _Scanner:
    """Goes through the lines of one file."""

    def __init__(self, rules: LineRules) -> None:
        self._rules = rules
        self._model: str | None = None
        self._count = 0
        self._seen: dict[bytes, int] = {}
        self._errors: list[BatchError] = []
        self._numbers, self._sizes = array("i"), array("i")
        self._offsets, self._documents, self._roles = array("q"), array("Q"), array("Q")

    def scan(self, file: IO[bytes]) -> None:
        rested_at = 0
        for number, offset, line in _lines(file, self._rules.longest_bytes):
            if offset - rested_at > REST_EVERY_BYTES:
                rested_at = offset
                time.sleep(REST_SECONDS)
            is_blank = line is not None and not line.strip()
            self._count += not is_blank
            if self._count > self._rules.most_lines or number > LINES_WITH_BLANK_ONES * self._rules.most_lines:
                self._note(number, "too_many_lines", f"A batch has at most {self._rules.most_lines:,} lines.")
                return
            if is_blank:
                continue
            if line is None:
                limit = self._rules.longest_bytes
                self._note(number, "line_too_large", f"The line is longer than {limit // MB} MB.")
            elif self._is_right(number, line):
                self._add(number, offset, line)
            if len(self._errors) >= MOST_ERRORS:
                return

    def result(self, path: Path) -> Scan:
        if not self._count and not self._errors:
            self._errors.append(BatchError(code="empty_file", message="The file has no lines."))
        if self._errors or self._model is None:
            return Scan(errors=self._errors)
        documents = np.array(self._documents, np.uint64)
        order, groups = _order(documents, np.array(self._roles, np.uint64), np.array(self._numbers, np.int32))
        return Scan(
            InputLines(
                path,
                self._model,
                np.array(self._numbers, np.int32)[order],
                np.array(self._offsets, np.int64)[order],
                np.array(self._sizes, np.int32)[order],
                groups[order],
            )
        )

    def _note(self, number: int, code: str, message: str, param: str | None = None) -> bool:
        self._errors.append(BatchError(code=code, message=message, line=number, param=param))
        return False

    def _is_right(self, number: int, data: bytes) -> bool:
        """Whether a line may be run; else what is wrong is noted, the first thing of each line."""
        line = _decode_line(data)
        if line is None:
            return self._note(number, "invalid_json_line", "The line is not a JSON object in UTF-8.")
        return (
            self._has_own_id(number, line.custom_id)
            and self._has(number, "method", line.method, "POST", "invalid_method")
            and self._has(number, "url", line.url, self._rules.endpoint, "mismatched_endpoint")
            and self._has_right_body(number, line.body)
        )

    def _has_own_id(self, number: int, custom_id: Any) -> bool:
        if not isinstance(custom_id, str) or not custom_id:
            return self._note(number, "missing_required_parameter", "custom_id is missing: a text.", "custom_id")
        first = self._seen.setdefault(blake2b(custom_id.encode(), digest_size=16).digest(), number)
        if first == number:
            return True
        message = f"custom_id {_shown(custom_id)} stands in line {first} already."
        return self._note(number, "duplicate_custom_id", message, "custom_id")

    def _has(self, number: int, name: str, value: Any, wanted: str, code: str) -> bool:
        if value is None:
            return self._note(number, "missing_required_parameter", f"{name} is missing: {wanted}.", name)
        return value == wanted or self._note(number, code, f"{name} is {_shown(value)}: it must be {wanted}.", name)

    def _has_right_body(self, number: int, raw: msgspec.Raw) -> bool:
        if bytes(raw)[:1] != b"{":
            return self._note(number, "missing_required_parameter", "body is missing: a JSON object.", "body")
        model = _model_of(raw)
        if not isinstance(model, str) or not model:
            return self._note(number, "missing_required_parameter", "body.model is missing: a text.", "body.model")
        if model not in self._rules.models:
            message = f"The model {_shown(model)} does not exist or you do not have access to it."
            return self._note(number, "model_not_found", message, "body.model")
        if self._model not in (None, model):
            message = f"body.model is {_shown(model)}, and {_shown(self._model)} before: a batch has one model."
            return self._note(number, "mismatched_model", message, "body.model")
        self._model = model
        return True

    def _add(self, number: int, offset: int, line: bytes) -> None:
        documents, role = _what_is_shared(line) if self._rules.endpoint == CHAT_ENDPOINT else (0, 0)
        self._numbers.append(number)
        self._offsets.append(offset)
        self._sizes.append(len(line))
        self._documents.append(documents)
        self._roles.append(role)


def _lines(file: IO[bytes], longest_bytes: int) -> Iterator[tuple[int, int, bytes | None]]:
    """(number, offset, bytes without line ends) of every line; None for one that is too long, which is not held."""
    offset = number = 0
    held_bytes = len(_BOM) + longest_bytes + len(b"\r\n")
    while line := file.readline(held_bytes):
        number += 1
        start, offset = offset, offset + len(line)
        is_held = has_ended = line.endswith(b"\n") or len(line) < held_bytes
        while not has_ended:  # the rest of it, piece by piece
            rest = file.readline(BUFFER_BYTES)
            offset += len(rest)
            has_ended = rest.endswith(b"\n") or not rest
        if number == 1 and line.startswith(_BOM):
            start, line = start + len(_BOM), line[len(_BOM) :]
        line = line.rstrip(b"\r\n")
        yield number, start, line if is_held and len(line) <= longest_bytes else None


def _decode_line(data: bytes) -> _Line | None:
    try:
        data.decode()  # what is skipped is not looked at
        return _decode_as_line(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _model_of(raw: msgspec.Raw) -> Any:
    """The model that a body names, whatever it is; None for a number that is too large to be one."""
    try:
        return _decode_as_body(raw).model
    except msgspec.MsgspecError:
        return None


def _what_is_shared(line: bytes) -> tuple[int, int]:
    """Numbers that lines share when they share documents, and when they share the role; 0 where there are none.

    A body of another shape shares nothing: its line fails by itself.
    """
    try:
        body = _decode_as_body(_decode_as_line(line).body)
        messages = _decode_as_messages(body.messages)
        system = [bytes(message.content) for message in messages if message.role in _SYSTEM]
        roles = 0 if system and _FILE_ID.search(system[0]) else 1  # files may be named in the first one, too
        documents = system[roles:] + [part for message in messages for part in _file_parts(message)]
    except (msgspec.MsgspecError, RecursionError):
        return 0, 0
    return _digest(documents), _digest(system[:roles])


def _file_parts(message: _Message) -> Iterator[bytes]:
    if bytes(message.content)[:1] == b"[":
        for part in _decode_as_parts(message.content):
            yield from (found for found in map(bytes, (part.file, part.file_id, part.file_data)) if found)


def _digest(texts: list[bytes]) -> int:
    if not texts:
        return 0
    digest = blake2b(digest_size=8)
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text)
    return int.from_bytes(digest.digest(), "little")


def _order(
    documents: NDArray[np.uint64], roles: NDArray[np.uint64], numbers: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The order to run lines in, int64[lines], and the group of each, int32[lines].

    Groups come in the order of their first lines, and so do the roles within a group.
    """
    by_documents, size = _first_of_kind(documents)
    by_role, _ = _first_of_kind(roles)
    order = np.lexsort((numbers, by_role, by_documents))
    is_shared = (documents != 0) & (size > 1)
    return order, np.where(is_shared, by_documents + 1, 0).astype(np.int32)


def _first_of_kind(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each key where its kind occurs first, and how many there are of its kind: int64[keys] each."""
    _, first, kind, size = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return first[kind], size[kind]


def _read_at(file: IO[bytes], place: Place) -> bytes:
    file.seek(place.offset)
    line = b""
    while len(line) < place.size_bytes and (piece := file.read(place.size_bytes - len(line))):
        line += piece
    return line


def _shown(value: Any) -> str:
    text = str(value)
    return f"'{text}'" if len(text) <= LONGEST_SHOWN else f"'{text[:LONGEST_SHOWN]}…'"
