"""The header of a GGUF file: what it says of the model's window and of the memory that the model will take.

The format is <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Only the header is read: 6 MB, a fifth of a second
for a vocabulary of 150,000 tokens, where the `gguf` package takes 7 to 10 seconds. The weights themselves are llama.cpp's
matter, and so is whether it knows the architecture.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from bookwheel.errors import ModelWeightsError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
"""Version 1 of 2023 counted in 32 bits; llama.cpp does not read it either."""
F16_BYTES = 2
MOST_LAYERS = 4096
MOST_PARTS = 9999
MOST_DIMENSIONS = 8
USUAL_ALIGNMENT = 32
LONGEST_KEPT = 4096
"""Values of a longer array are passed over: those are vocabularies."""

U32, U64 = Struct("<I"), Struct("<Q")
TENSOR_KIND = Struct("<IQ")
NUMBERS = {
    0: Struct("<B"),
    1: Struct("<b"),
    2: Struct("<H"),
    3: Struct("<h"),
    4: U32,
    5: Struct("<i"),
    6: Struct("<f"),
    7: Struct("<?"),
    10: U64,
    11: Struct("<q"),
    12: Struct("<d"),
}
STRING, ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A model as its file describes it.

    `training_tokens` is the longest text it was trained on. `kv_bytes_per_token` is what a token of context takes at most,
    keys and values of 16 bits each; models with sliding windows take less. `weights_bytes` are those of all parts.
    """

    architecture: str
    training_tokens: int
    kv_bytes_per_token: int
    weights_bytes: int


def read_gguf(path: Path) -> GgufModel:
    """Read what a file says of its model. Raises ModelWeightsError where it is none, is damaged, or a part is missing."""
    try:
        if not path.is_file():
            raise ModelWeightsError(f"{path}: there is no such file.")
        with path.open("rb") as file:
            fields = _read_fields(file, os.fstat(file.fileno()).st_size)
        parts = _parts(path, _number(fields, "split.count", 1))
        return _described(fields, sum(part.stat().st_size for part in parts))
    except OSError as error:
        raise ModelWeightsError(f"{path}: it cannot be read ({error.strerror}).") from error
    except _DamagedError as error:
        raise ModelWeightsError(f"{path}: {error}. Fetch it again, or take another file.") from error


class _DamagedError(Exception):
    """What is wrong, without a full stop."""


class _Header:
    """Reads values one after the other and never past the end of the file."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes

    @property
    def position(self) -> int:
        return self._file.tell()

    def take(self, size_bytes: int) -> bytes:
        taken = self._file.read(size_bytes) if size_bytes <= self._size_bytes else b""
        if len(taken) < size_bytes:
            raise _DamagedError("it is cut off within its header")
        return taken

    def number(self, kind: Struct) -> int | float:
        value: int | float = kind.unpack(self.take(kind.size))[0]
        return value

    def count(self) -> int:
        """A number of things to come, of a byte or more each."""
        count = int(self.number(U64))
        if count > self._size_bytes:
            raise _DamagedError("its header announces more than the file holds")
        return count

    def text(self) -> str:
        return self.take(self.count()).decode("utf-8", "replace")

    def value(self, kind: int) -> object:
        """A value of a kind that the format numbers; None for long arrays and arrays of texts."""
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            return self._array(int(self.number(U32)), self.count())
        raise _DamagedError(f"its header has a value of an unknown kind, {kind}")

    def _array(self, kind: int, count: int) -> list[int | float] | None:
        if kind in NUMBERS and count <= LONGEST_KEPT:
            return [self.number(NUMBERS[kind]) for _ in range(count)]
        if kind in NUMBERS:
            self.take(count * NUMBERS[kind].size)
        elif kind == STRING:
            for _ in range(count):
                self.take(self.count())
        else:
            raise _DamagedError(f"its header has an array of a kind that is not known, {kind}")
        return None


def _read_fields(file: BinaryIO, size_bytes: int) -> dict[str, object]:
    header = _Header(file, size_bytes)
    if size_bytes < len(MAGIC) or header.take(len(MAGIC)) != MAGIC:
        raise _DamagedError("it is not a GGUF file")
    version = header.take(U32.size)
    if int.from_bytes(version, "little") not in VERSIONS:
        is_swapped = int.from_bytes(version, "big") in VERSIONS
        raise _DamagedError("it is a GGUF file " + ("for big-endian machines" if is_swapped else "of another version"))
    tensors, count = header.count(), header.count()
    fields = {header.text(): header.value(int(header.number(U32))) for _ in range(count)}
    _refuse_missing_weights(header, tensors, _number(fields, "general.alignment", USUAL_ALIGNMENT), size_bytes)
    return fields


def _refuse_missing_weights(header: _Header, tensors: int, alignment: int, size_bytes: int) -> None:
    """Every tensor must begin within the file; where it ends depends on its kind, which llama.cpp knows."""
    last = -1
    for _ in range(tensors):
        header.text()
        dimensions = int(header.number(U32))
        if dimensions > MOST_DIMENSIONS:
            raise _DamagedError("its header describes weights of too many dimensions")
        header.take(dimensions * U64.size)
        last = max(last, TENSOR_KIND.unpack(header.take(TENSOR_KIND.size))[1])
    begin = -(-header.position // max(alignment, 1)) * max(alignment, 1)
    if begin + last >= size_bytes and tensors:
        raise _DamagedError("weights are missing at its end")


def _described(fields: dict[str, object], weights_bytes: int) -> GgufModel:
    architecture = fields.get("general.architecture")
    if not isinstance(architecture, str):
        raise _DamagedError("its header names no architecture")
    return GgufModel(
        architecture=architecture,
        training_tokens=_number(fields, f"{architecture}.context_length"),
        kv_bytes_per_token=_kv_bytes_per_token(fields, architecture),
        weights_bytes=weights_bytes,
    )


def _kv_bytes_per_token(fields: dict[str, object], architecture: str) -> int:
    """Keys and values of every layer: some architectures have another number of heads in each, or none."""
    layers = _number(fields, f"{architecture}.block_count")
    if layers > MOST_LAYERS:
        raise _DamagedError("its header tells of too many layers")
    heads = _per_layer(fields, f"{architecture}.attention.head_count", [0] * layers)
    kv_heads = _per_layer(fields, f"{architecture}.attention.head_count_kv", heads)
    usual = _number(fields, f"{architecture}.embedding_length", 0) // max(1, *heads)
    key = _number(fields, f"{architecture}.attention.key_length", usual)
    value = _number(fields, f"{architecture}.attention.value_length", usual)
    return sum(kv_heads) * (key + value) * F16_BYTES


def _number(fields: dict[str, object], name: str, otherwise: int | None = None) -> int:
    value = fields.get(name, otherwise)
    if not isinstance(value, int) or value < 0:
        raise _DamagedError(f"its header does not tell {name}")
    return value


def _per_layer(fields: dict[str, object], name: str, otherwise: list[int]) -> list[int]:
    """A number for each layer, given as one for all or one for each."""
    value = fields.get(name, otherwise)
    if not isinstance(value, list):
        return [_number(fields, name)] * len(otherwise)
    if len(value) != len(otherwise) or not all(isinstance(number, int) and number >= 0 for number in value):
        raise _DamagedError(f"its header tells {name} for other layers than it has")
    return value


def _parts(path: Path, count: int) -> list[Path]:
    """The files of a model that was split, of which the first is served. Those that are missing are an error."""
    if count <= 1:
        return [path]
    found = re.fullmatch(r"(.*)-00001-of-(\d{5})\.gguf", path.name)
    if found is None or int(found[2]) != count or count > MOST_PARTS:
        raise _DamagedError(
            f"it is one of {count} parts: name the first, whose name ends in -00001-of-{count:05d}.gguf"
        )
    parts = [path.with_name(f"{found[1]}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise _DamagedError(f"of its {count} parts {', '.join(missing[:3])} is not beside it")
    return parts
