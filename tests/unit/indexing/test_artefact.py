"""An index is read back as it was written, or is told to be damaged: never anything in between."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bookwheel.document import BlockKind, BlockSpan
from bookwheel.indexing.artefact import INDEX, LARGEST_HEADER_BYTES, IndexDamaged, open_index, save_index
from bookwheel.indexing.index import INDEX_VERSION, Index, build_index
from bookwheel.indexing.postings import Postings

TEXT = "# Wheels\nThe wheel turns, 潮水七点转向。\n# Reeds\nThe heron stands.\n"
TITLE = 'tide "checksum":"0".txt 潮'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_index(built(), tmp_path / INDEX)
    return tmp_path / INDEX


def built() -> Index:
    return build_index(TEXT, [BlockSpan(0, len(TEXT), BlockKind.PARAGRAPH, 0, "line 1")], TITLE)


def assert_same(one: Any, other: Any) -> None:
    for field in fields(one):
        value, expected = getattr(one, field.name), getattr(other, field.name)
        if isinstance(expected, Postings):
            assert_same(value, expected)
        elif isinstance(expected, np.ndarray):
            assert value.dtype == expected.dtype
            assert value.tolist() == expected.tolist()
        else:
            assert value == expected


def header_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def test_an_index_is_read_back_as_it_was_written(path: Path) -> None:
    assert_same(open_index(path), built())
    assert open_index(path).sections == built().sections


@pytest.mark.parametrize("text", ["", "one"])
def test_so_is_one_of_next_to_nothing(tmp_path: Path, text: str) -> None:
    index = build_index(text, [BlockSpan(0, len(text), BlockKind.PARAGRAPH, 0, "line 1")] if text else [], "")
    save_index(index, tmp_path / INDEX)
    assert_same(open_index(tmp_path / INDEX), index)


def test_others_can_read_it_too(path: Path) -> None:
    assert load_file(path)["words.hashes"].tolist() == built().words.hashes.tolist()


def test_the_same_document_gives_the_same_arrays_and_none_can_be_written_to(path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        open_index(path).starts[0] = 1


def test_an_index_that_is_not_there_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_index(tmp_path / INDEX)


def test_an_index_that_breaks_off_anywhere_is_damaged(path: Path) -> None:
    data = path.read_bytes()
    ends = {*range(0, header_end(data), 29), *range(header_end(data), len(data), 61), len(data) - 1}
    for end in sorted(ends):
        path.write_bytes(data[:end])
        with pytest.raises(IndexDamaged):
            open_index(path)


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_anywhere_in_the_header_is_noticed(path: Path, bit: int) -> None:
    data = path.read_bytes()
    for place in (*range(8), *range(8 + bit, header_end(data), 11)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(IndexDamaged):
            open_index(path)


def test_what_is_no_index_at_all_is_damaged(tmp_path: Path) -> None:
    huge = (LARGEST_HEADER_BYTES + 1).to_bytes(8, "little") + b" " * (LARGEST_HEADER_BYTES + 10)
    for data in (b"", b"\0", b"\0" * 100, b"\xff" * 100, b"PK\3\4" + b"x" * 100, huge, framed("[]"), framed("{}")):
        (tmp_path / INDEX).write_bytes(data)
        with pytest.raises(IndexDamaged):
            open_index(tmp_path / INDEX)


def framed(header: str) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode()


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an array less": lambda arrays: arrays.pop("tokens"),
    "a part of the postings less": lambda arrays: arrays.pop("words.counts"),
    "an array more": lambda arrays: arrays.update(vectors=np.zeros(3, np.uint8)),
    "another dtype": lambda arrays: arrays.update(tokens=arrays["tokens"].astype(np.uint32)),
    "a dtype that is not known": lambda arrays: arrays.update(tokens=arrays["tokens"].astype(np.float32)),
    "two dimensions": lambda arrays: arrays.update(tokens=arrays["tokens"].reshape(1, -1)),
    "a passage less": lambda arrays: arrays.update(ends=arrays["ends"][:-1]),
    "an anchor less": lambda arrays: arrays.update(anchor_ends=arrays["anchor_ends"][:-1]),
    "shorter anchors": lambda arrays: arrays.update(anchors=arrays["anchors"][:-1]),
    "postings that end early": lambda arrays: arrays.update({"words.places": arrays["words.places"][:-1]}),
    "terms without postings": lambda arrays: arrays.update({"names.offsets": arrays["names.offsets"][:-1]}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_index_of_other_arrays_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], Any]
) -> None:
    """Even if its header is sound: it was written by a program that makes other ones."""

    def save_changed(arrays: dict[str, Any], path: Path, metadata: dict[str, str]) -> None:
        change(arrays)
        save_file(arrays, path, metadata)

    monkeypatch.setattr("bookwheel.indexing.artefact.save_file", save_changed)
    save_index(built(), tmp_path / INDEX)
    with pytest.raises(IndexDamaged):
        open_index(tmp_path / INDEX)


@pytest.mark.parametrize("version", [0, INDEX_VERSION + 1])
def test_an_index_of_another_version_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("bookwheel.indexing.artefact.INDEX_VERSION", version)
        save_index(built(), tmp_path / INDEX)
        assert open_index(tmp_path / INDEX).title == TITLE
    with pytest.raises(IndexDamaged, match=f"version {version}"):
        open_index(tmp_path / INDEX)


def test_an_index_stays_readable_for_who_holds_it_when_it_is_removed(path: Path) -> None:
    index = open_index(path)
    path.unlink()
    assert_same(index, built())
