"""Documents at hand are mapped once, shared, bounded, and put away when they are deleted, whoever still reads them."""

import threading
from collections.abc import Sequence
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
from bookwheel.indexing.shelf import MOST_TOGETHER, IndexedDocument, Shelf, open_indexed, size_of

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


class Maker:
    """Makes something of several documents, and knows how often."""

    def __init__(self) -> None:
        self.made: list[tuple[str, ...]] = []

    def __call__(self, documents: Sequence[IndexedDocument]) -> list[str]:
        self.made.append(tuple(document.index.title for document in documents))
        return [document.whole_text() for document in documents]


def test_what_is_made_of_several_documents_is_made_once(folder: Folder) -> None:
    shelf, make = Shelf(MB), Maker()
    documents = [shelf.open(*folder.add(name, name)) for name in ("a", "b")]
    made = shelf.together(documents, make)
    assert made == ["a", "b"]
    assert shelf.together(list(documents), make) is made
    assert make.made == [("a.txt", "b.txt")]


def test_other_documents_and_another_order_are_made_for_themselves(folder: Folder) -> None:
    shelf, make = Shelf(MB), Maker()
    first, second = (shelf.open(*folder.add(name, name)) for name in ("a", "b"))
    for documents in ([first, second], [second, first], [first], []):
        assert shelf.together(documents, make) == [document.whole_text() for document in documents]
    assert len(make.made) == 4


def test_what_was_made_is_dropped_when_a_document_is_put_away(folder: Folder) -> None:
    shelf, make = Shelf(MB), Maker()
    documents = [shelf.open(*folder.add(name, name)) for name in ("a", "b")]
    made = shelf.together(documents, make)
    shelf.remove("a")
    assert shelf.together(documents, make) is not made
    assert len(make.made) == 2


def test_what_is_made_while_a_document_is_put_away_is_not_kept(folder: Folder) -> None:
    shelf, make = Shelf(MB), Maker()
    documents = [shelf.open(*folder.add("a"))]

    def make_slowly(given: Sequence[IndexedDocument]) -> list[str]:
        shelf.remove("a")
        return make(given)

    assert shelf.together(documents, make_slowly) == [TEXT]
    assert shelf.together(documents, make) == [TEXT]
    assert len(make.made) == 2


def test_what_was_made_longest_ago_is_dropped_for_more(folder: Folder) -> None:
    shelf, make = Shelf(MB), Maker()
    documents = [shelf.open(*folder.add(f"n{number}", str(number))) for number in range(MOST_TOGETHER + 1)]
    for document in (*documents, documents[-1], documents[0]):
        shelf.together([document], make)
    assert len(make.made) == len(documents) + 1


def test_what_fails_to_be_made_is_tried_again(folder: Folder) -> None:
    shelf, make = Shelf(MB), Maker()
    documents = [shelf.open(*folder.add("a"))]

    def fail(given: Sequence[IndexedDocument]) -> list[str]:
        raise IndexDamaged("a")

    with pytest.raises(IndexDamaged):
        shelf.together(documents, fail)
    assert shelf.together(documents, make) == [TEXT]
