"""Archives give what they hold, and not a byte more than they may."""

import struct
import zipfile
from pathlib import Path

import pytest

from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction import archive as archive_module
from bookwheel.extraction.archive import PIECE_BYTES, Archive


def write(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as written:
        for name, data in entries.items():
            written.writestr(name, data)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_entries_are_read_whole_or_in_pieces(path: Path, method: int) -> None:
    data = bytes(range(256)) * 5000
    with Archive(write(path, {"a/b.bin": data, "empty": b""}, method)) as archive:
        assert archive.names() == ["a/b.bin", "empty"]
        assert archive.read("a/b.bin") == data
        assert archive.read("empty") == b""
        pieces = list(archive.pieces("a/b.bin"))
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= PIECE_BYTES
        assert not archive.is_cut_off


def test_two_entries_may_be_read_at_once(path: Path) -> None:
    one, two = b"1" * 3_000_000, b"2" * 3_000_000
    with Archive(write(path, {"one": one, "two": two}, zipfile.ZIP_STORED)) as archive:
        pairs = list(zip(archive.pieces("one"), archive.pieces("two"), strict=True))
    assert b"".join(first for first, _ in pairs) == one
    assert b"".join(second for _, second in pairs) == two


def test_names_are_found_whatever_their_case_and_slashes(path: Path) -> None:
    with Archive(write(path, {"Word\\Document.XML": b"x"})) as archive:
        assert "word/document.xml" in archive
        assert archive.read("/WORD/document.xml") == b"x"
        with pytest.raises(KeyError):
            archive.read("other")


def test_an_entry_that_inflates_to_too_much_is_refused(path: Path) -> None:
    with Archive(write(path, {"bomb": bytes(10_000_000)})) as archive, pytest.raises(SizeExceeded):
        archive.read("bomb", 1_000_000)


def test_all_that_is_read_counts_towards_one_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MOST_BYTES", 2_500)
    with Archive(write(path, {"a": bytes(1000)})) as archive:
        archive.read("a")
        archive.read("a")
        with pytest.raises(SizeExceeded):
            archive.read("a")


def test_sizes_in_headers_are_not_believed(path: Path) -> None:
    raw = bytearray(write(path, {"a": bytes(100_000)}).read_bytes())
    directory = raw.rfind(b"PK\x01\x02")
    raw[directory + 24 : directory + 28] = struct.pack("<I", 10)
    path.write_bytes(raw)
    with Archive(path) as archive, pytest.raises(SizeExceeded):
        archive.read("a", 50_000)


def test_too_many_entries_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MOST_ENTRIES", 5)
    write(path, {str(n): b"" for n in range(6)})
    with pytest.raises(SizeExceeded):
        Archive(path)


def test_a_huge_directory_is_refused_before_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MOST_DIRECTORY_BYTES", 100)
    write(path, {str(n): b"" for n in range(6)})
    with pytest.raises(SizeExceeded):
        Archive(path)


def test_encrypted_entries_say_so(path: Path) -> None:
    raw = bytearray(write(path, {"a": b"x"}).read_bytes())
    raw[raw.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with Archive(path) as archive, pytest.raises(ParsingError, match="password"):
        archive.read("a")


@pytest.mark.parametrize("garbage", [b"", b"PK", b"no archive", b"PK\x03\x04", b"\x00" * 1000])
def test_what_is_no_archive_is_refused(path: Path, garbage: bytes) -> None:
    path.write_bytes(garbage)
    with pytest.raises(ParsingError, match="damaged"):
        Archive(path)


def test_damaged_entries_are_refused_and_others_are_read(path: Path) -> None:
    raw = bytearray(write(path, {"bad": bytes(range(256)) * 40, "good": b"fine"}).read_bytes())
    raw[40:60] = b"\xff" * 20
    path.write_bytes(raw)
    with Archive(path) as archive:
        with pytest.raises(ParsingError, match="bad cannot be unpacked"):
            archive.read("bad")
        assert archive.read("good") == b"fine"


def test_a_compression_that_is_not_known_is_refused(path: Path) -> None:
    with Archive(write(path, {"a": b"x" * 100}, zipfile.ZIP_BZIP2)) as archive, pytest.raises(ParsingError):
        archive.read("a")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_of_an_archive_that_was_cut_off_the_first_entries_are_read(path: Path, method: int, streamed: bool) -> None:
    entries = {"first": b"1" * 5000, "书": b"second", "last": bytes(range(256)) * 400}
    if streamed:  # sizes follow the data, as most programs write them
        with path.open("wb") as file, zipfile.ZipFile(_Forward(file), "w", method) as written:
            for name, data in entries.items():
                written.writestr(name, data)
    else:
        write(path, entries, method)
    raw = path.read_bytes()
    path.write_bytes(raw[: raw.find(b"last") + 200])
    with Archive(path) as archive:
        assert archive.is_cut_off
        assert archive.names() == ["first", "书", "last"]
        assert archive.read("first").startswith(b"1" * 5000)
        assert archive.read("书").startswith(b"second")


class _Forward:
    """A file that cannot go back."""

    def __init__(self, file: object) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
