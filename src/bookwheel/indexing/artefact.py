"""An index on disk: one immutable safetensors file, mapped into memory and never executed.

The format's header says where each array stands (https://github.com/huggingface/safetensors), so a file is opened in
microseconds and read as it is searched. Its metadata hold the index's version, key and title, and a checksum of the
header itself, so that a damaged one is told from a good one.
"""

import hashlib
import mmap
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bookwheel.errors import BookwheelError
from bookwheel.indexing.index import INDEX_VERSION, Index, build_index
from bookwheel.indexing.postings import Postings

INDEX = f"index-{INDEX_VERSION}"
"""The name of a file's index among its blobs. An older version's has another name, so it is not found and built anew."""
ANY_INDEX = "index-*"
CONVERSATION = "conversation"
LARGEST_HEADER_BYTES = 1 << 20
UNSIGNED = "0" * 32
"""What stands in place of the checksum while it is computed."""
Array = NDArray[Any]


class IndexDamaged(BookwheelError):
    """An artefact that is not what was written, or is of another version: it is to be built anew."""


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int]
    data_offsets: tuple[int, int]


_POSTINGS = tuple(field.name for field in fields(Index) if field.type is Postings)
_DTYPES = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64}


def save_index(index: Index, path: Path) -> None:
    """Write an index to a file."""
    kind = CONVERSATION if index.is_conversation else ""
    metadata = {"version": str(INDEX_VERSION), "key": index.key, "title": index.title, "kind": kind}
    save_file(dict(_arrays_of(index)), path, metadata | {"checksum": UNSIGNED})
    with path.open("r+b") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
        file.seek(8)
        file.write(_with_checksum(header, UNSIGNED, _checksum(header)))


def open_index(path: Path) -> Index:
    """Map an index. The file may be removed while it is mapped. Raises FileNotFoundError, IndexDamaged.

    What its header says is checked; the arrays are taken as they are, but for their lengths.
    """
    with path.open("rb") as file:
        try:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        except ValueError:
            raise IndexDamaged(f"{path.name} is empty") from None
    metadata, arrays = _read_arrays(mapped, path.name)
    if metadata.get("version") != str(INDEX_VERSION):
        raise IndexDamaged(f"{path.name} is of version {metadata.get('version')}")
    if {name: array.dtype for name, array in arrays.items()} != _dtypes():
        raise IndexDamaged(f"{path.name} has other arrays")
    index = _index_of(metadata, arrays, path.name)
    if not _is_whole(index):
        raise IndexDamaged(f"{path.name} has arrays that do not fit each other")
    return index


def _arrays_of(value: Any, prefix: str = "") -> list[tuple[str, Array]]:
    """The arrays of an index by name, those of its postings as `words.hashes` and so on."""
    arrays: list[tuple[str, Array]] = []
    for field in fields(value):
        part = getattr(value, field.name)
        if isinstance(part, np.ndarray):
            arrays.append((prefix + field.name, np.ascontiguousarray(part)))
        elif is_dataclass(part):
            arrays += _arrays_of(part, f"{field.name}.")
    return arrays


def _read_arrays(mapped: memoryview, name: str) -> tuple[Mapping[str, str], dict[str, Array]]:
    header_bytes = int.from_bytes(mapped[:8], "little")
    if not 0 < header_bytes <= min(LARGEST_HEADER_BYTES, len(mapped) - 8):
        raise IndexDamaged(f"{name} has no header")
    header = bytes(mapped[8 : 8 + header_bytes])
    data = mapped[8 + header_bytes :]
    try:
        described = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(described.pop("__metadata__"), type=dict[str, str])
        _check_checksum(header, metadata["checksum"])
        tensors = {key: msgspec.json.decode(raw, type=_Tensor) for key, raw in described.items()}
        return metadata, {key: _array(data, tensor) for key, tensor in tensors.items()}
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        raise IndexDamaged(f"{name}: {error}") from None


def _check_checksum(header: bytes, checksum: str) -> None:
    if _checksum(_with_checksum(header, checksum, UNSIGNED)) != checksum:
        raise ValueError("the header is not what was written")


def _with_checksum(header: bytes, old: str, new: str) -> bytes:
    return header.replace(b'"checksum":"%b"' % old.encode(), b'"checksum":"%b"' % new.encode(), 1)


def _checksum(header: bytes) -> str:
    return hashlib.blake2b(header, digest_size=len(UNSIGNED) // 2).hexdigest()


def _array(data: memoryview, tensor: _Tensor) -> Array:
    start, end = tensor.data_offsets
    if not 0 <= start <= end <= len(data):
        raise ValueError("an array is not whole")
    array: Array = np.frombuffer(data[start:end], _DTYPES[tensor.dtype])
    if len(array) != tensor.shape[0]:
        raise ValueError("an array is not as long as it should be")
    return array


@cache
def _dtypes() -> dict[str, np.dtype[Any]]:
    """The arrays that an index has, by name: those that an index of nothing has."""
    return {name: array.dtype for name, array in _arrays_of(build_index("", (), ""))}


def _is_whole(index: Index) -> bool:
    """Whether arrays that go side by side are as long as each other, and tables end where what they point into ends."""
    passages = (index.starts, index.ends, index.byte_starts, index.byte_ends, index.tokens, index.lengths)
    beside: list[tuple[int, ...]] = [(len(index.section_of), *(len(array) for array in passages))]
    beside.append((len(index.block_starts), len(index.anchor_ends)))
    tables = [(index.anchor_ends, len(index.anchors))] if len(index.anchor_ends) else []
    for postings in (getattr(index, name) for name in _POSTINGS):
        beside.append((len(postings.hashes) + 1, len(postings.offsets)))
        beside.append((len(postings.places), len(postings.counts)))
        tables.append((postings.offsets, len(postings.places)))
    return all(len(set(lengths)) == 1 for lengths in beside) and all(int(t[-1]) == end for t, end in tables)


def _index_of(metadata: Mapping[str, str], arrays: dict[str, Array], name: str) -> Index:
    try:
        parts: dict[str, Any] = {key: array for key, array in arrays.items() if "." not in key}
        for part in _POSTINGS:
            parts[part] = Postings(**{f.name: arrays[f"{part}.{f.name}"] for f in fields(Postings)})
        conversation = metadata["kind"] == CONVERSATION
        return Index(key=metadata["key"], title=metadata["title"], is_conversation=conversation, **parts)
    except (KeyError, TypeError) as error:
        raise IndexDamaged(f"{name} lacks {error}") from None
