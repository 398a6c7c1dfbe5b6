"""The folder's files as documents with their indexes, made here without a server, once for each version of the sources."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import bookwheel
from bench.report import Progress
from bookwheel.answering.excerpts import Source
from bookwheel.document import read_blocks
from bookwheel.extraction.extract import extract_document
from bookwheel.extraction.report import BLOCKS, TEXT
from bookwheel.indexing.artefact import INDEX, save_index
from bookwheel.indexing.index import build_index
from bookwheel.indexing.shelf import open_indexed
from evals.evaldata import EvalFolder

MADE_BY = ("document", "terms", "sentences", "numerals", "spelled_numbers", "tokens", "extraction", "indexing")
"""The modules and folders of the package that decide what stands in a document and its index."""


class Bar:
    """A bar of steps, said anew with every whole percent."""

    def __init__(self, progress: Progress, what: str, steps: int) -> None:
        self._progress = progress
        self._what = what
        self._steps = max(1, steps)
        self._done = 0
        self._said = -1

    def step(self, steps: int = 1) -> None:
        self._done += steps
        percent = 100 * self._done // self._steps
        if percent > self._said:
            self._said = percent
            self._progress.say(f"{self._what} [{'#' * (percent // 5):20}] {percent} %")


class IndexFolder:
    """Keeps texts and indexes in a folder, by what they are made from: the file, its name, and the sources that make them."""

    def __init__(self, data: EvalFolder, kept: Path) -> None:
        self._data = data
        self._folder = kept / version_of(Path(bookwheel.__file__).parent)

    def prepare(self, files: Iterable[str], progress: Progress) -> None:
        """Extract and index those that are not there yet. Raises what `extract_document` raises."""
        wanted = sorted(set(files))
        bar = Bar(progress, "indexing files", len(wanted))
        for file in wanted:
            self._place_of(file)
            bar.step()

    def open(self, files: Sequence[str]) -> list[Source]:
        """The documents of one request, mapped as the server maps them."""
        places = [(self._data.path(file).name, self._place_of(file)) for file in files]
        documents = [open_indexed(place / INDEX, place / TEXT) for _, place in places]
        return [
            Source(name, document, int(document.index.tokens.sum()))
            for (name, _), document in zip(places, documents, strict=True)
        ]

    def _place_of(self, file: str) -> Path:
        source = self._data.path(file)
        made_from = source.name.encode() + b"\n" + source.read_bytes()
        place = self._folder / hashlib.sha256(made_from).hexdigest()[:32]
        if not (place / INDEX).is_file():
            self._make(source, place)
        return place

    def _make(self, source: Path, place: Path) -> None:
        """All of it or nothing: a run that is stopped leaves no half of a document."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=self._folder) as name:
            made = Path(name) / "made"
            made.mkdir()
            if extract_document(source, source.name, made, _say_nothing).gaps:
                raise RuntimeError(f"{source.name} has pages that only pictures of them tell: they are not read here")
            text = (made / TEXT).read_bytes().decode()
            save_index(build_index(text, read_blocks(made / BLOCKS), source.name), made / INDEX)
            made.replace(place)


def version_of(package: Path) -> str:
    """A hash of the sources that make documents and indexes."""
    sources = [path for name in MADE_BY for path in (package / f"{name}.py", *(package / name).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in sorted(path for path in sources if path.is_file()):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _say_nothing(unit: str, number: int, total: int) -> None:
    """Nobody watches a single file."""
    del unit, number, total
