"""Documents at hand are mapped once, shared, bounded, and put away when they are deleted, whoever still reads them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookwheel.document import read_blocks, write_document
from bookwheel.extraction.formats.text import read as read_text
from bookwheel.indexing import shelf as shelf_module
from bookwheel.indexing.artefact import IndexDamaged, save_index
from bookwheel.indexing.index import build_index
from bookwheel.indexing.shelf import IndexedDocument, Shelf, open_indexed, size_of

TEXT = "\n\n  The wheel\nturns. 潮水七点转向。🎡\n\n\n# Reeds\nThe heron stands.\nIt waits.\n\nA last line"
MB = 2**20


class Folder:
    """Documents on disk, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, text: str = TEXT) -> tuple[str, Path, Path]:
        """Write a document and its index; what `Shelf.open` is given for it."""
        original, text_path, blocks_path = (self.path / f"{name}.{part}" for part in ("original", "text", "blocks"))
        original.write_bytes(text.encode())
        write_document(read_text(original, "utf-8"), text_path, blocks_path)
        index_path = self.path / f"{name}.index"
        save_index(build_index(text_path.read_bytes().decode(), read_blocks(blocks_path), f"{name}.txt"), index_path)
        return name, index_path, text_path

    def remove(self, name: str) -> None:
        for path in self.path.glob(f"{name}.*"):
            path.unlink()

    def open(self, text: str) -> IndexedDocument:
        return open_indexed(*self.add("given", text)[1:])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_document_is_mapped_once_and_shared(folder: Folder) -> None:
    shelf, wheel = Shelf(MB), folder.add("wheel")
    assert shelf.open(*wheel) is shelf.open(*wheel)


def test_a_document_that_was_removed_is_mapped_no_more_and_those_who_hold_it_read_on(folder: Folder) -> None:
    shelf, wheel = Shelf(MB), folder.add("wheel")
    held = shelf.open(*wheel)
    folder.remove("wheel")
    shelf.remove("wheel")
    assert held.whole_text() == TEXT
    assert held.passages_text(0, len(held.index) - 1) == TEXT.strip()
    with pytest.raises(FileNotFoundError):
        shelf.open(*wheel)


def test_a_damaged_index_is_not_kept_and_a_new_one_in_its_place_is_found(folder: Folder) -> None:
    shelf, wheel = Shelf(MB), folder.add("wheel")
    good = wheel[1].read_bytes()
    wheel[1].write_bytes(good[:-1])
    with pytest.raises(IndexDamaged):
        shelf.open(*wheel)
    wheel[1].write_bytes(good)
    assert shelf.open(*wheel).whole_text() == TEXT


def test_no_more_is_kept_than_may_be_and_what_was_asked_last_stays(folder: Folder) -> None:
    documents = [folder.add(name) for name in ("a", "b", "c")]
    size = size_of(open_indexed(*documents[0][1:]))
    shelf = Shelf(2 * size + size // 2)
    first, second = shelf.open(*documents[0]), shelf.open(*documents[1])
    assert shelf.open(*documents[0]) is first
    shelf.open(*documents[2])
    assert shelf.open(*documents[0]) is first
    assert shelf.open(*documents[1]) is not second


def test_a_document_larger_than_all_that_may_be_kept_is_read_all_the_same(folder: Folder) -> None:
    shelf, wheel = Shelf(10), folder.add("wheel")
    assert shelf.open(*wheel).whole_text() == TEXT
    assert shelf.open(*wheel) is not shelf.open(*wheel)


def test_a_larger_document_takes_more(folder: Folder) -> None:
    sizes = [size_of(folder.open(text)) for text in ("", "one", TEXT, TEXT * 20)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > len((TEXT * 20).encode())


def test_a_document_that_is_removed_while_it_is_mapped_is_not_kept(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, wheel = Shelf(MB), folder.add("wheel")

    def open_slowly(index_path: Path, text_path: Path) -> IndexedDocument:
        opened = open_indexed(index_path, text_path)
        shelf.remove("wheel")
        return opened

    with monkeypatch.context() as patched:
        patched.setattr(shelf_module, "open_indexed", open_slowly)
        held = shelf.open(*wheel)
    assert held.whole_text() == TEXT
    assert shelf.open(*wheel) is not held


def test_threads_may_open_and_remove_documents_at_once(folder: Folder) -> None:
    documents = [folder.add(name, f"{name} turns.\n") for name in "abcde"]
    shelf = Shelf(2 * size_of(open_indexed(*documents[0][1:])))
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait()
        for turn in range(60):
            document = documents[(number + turn) % len(documents)]
            if (number + turn) % 3 == 0:
                shelf.remove(document[0])
            assert shelf.open(*document).whole_text() == f"{document[0]} turns.\n"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


@given(st.text(alphabet="ab 。\n潮🎡.#", max_size=120))
@settings(max_examples=60)
def test_any_stretch_of_a_document_is_read_from_its_map(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    document = Folder(tmp_path_factory.mktemp("shelf")).open(text)
    assert document.whole_text() == text
    for start in range(0, len(text), 7):
        for end in range(start, len(text) + 1, 5):
            assert document.read(start, end) == text[start:end]


@pytest.mark.parametrize("text", [TEXT, "\n\n\n a\nb", "a\n\n\nb\n\n" * 5, "word " * 3_000 + "\nlast", "", " \n "])
def test_the_anchor_of_each_place_in_plain_text_is_its_line(folder: Folder, text: str) -> None:
    document = folder.open(text)
    for offset in range(0, len(text), max(1, len(text) // 200)):
        assert document.anchor_at(offset) == f"line {1 + text.count(chr(10), 0, offset)}"
