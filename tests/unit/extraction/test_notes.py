"""What a format says beside its blocks is bounded, however much it has to say."""

from pathlib import Path

import pytest

from bookwheel.document import Picture
from bookwheel.errors import PagesExceeded
from bookwheel.extraction import notes as module
from bookwheel.extraction.notes import LEAST_PICTURE_BYTES, MOST_PAGES, MOST_WARNINGS, Notes


def test_progress_is_told_and_counted(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    notes = Notes(tmp_path, lambda *progress: told.append(progress))
    notes.reading("page", 1, 3)
    notes.reading("page", 2, 3)
    notes.reading("section", 1)
    notes.reading("section", 2)
    assert told == [("page", 1, 3), ("page", 2, 3), ("section", 1, 0), ("section", 2, 0)]
    assert notes.counts == {"page": 3, "section": 2}


@pytest.mark.parametrize("unit", ["page", "slide"])
def test_a_file_may_have_so_many_pages_and_no_more(tmp_path: Path, unit: str) -> None:
    notes = Notes(tmp_path)
    notes.reading(unit, 1, MOST_PAGES)
    with pytest.raises(PagesExceeded, match="15000 pages"):
        notes.reading(unit, 1, MOST_PAGES + 1)
    with pytest.raises(PagesExceeded):
        notes.reading(unit, MOST_PAGES + 1)
    notes.reading("section", MOST_PAGES + 1)


def test_a_warning_is_kept_once_and_not_too_many_are(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    for number in range(100):
        notes.warn(f"Page {number} could not be read.")
        notes.warn("Page 0 could not be read.")
    assert len(notes.all_warnings()) == MOST_WARNINGS
    assert len(set(notes.all_warnings())) == MOST_WARNINGS


def test_a_picture_is_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    data = bytes(LEAST_PICTURE_BYTES)
    first, second = notes.keep_picture(data, "page 1"), notes.keep_picture(data, "Scope")
    assert isinstance(first, Picture)
    assert isinstance(second, Picture)
    assert (first.anchor, first.is_page) == ("page 1", False)
    assert first.name != second.name
    assert (tmp_path / first.name).read_bytes() == data


def test_small_large_and_all_too_many_pictures_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PICTURES", 2)
    monkeypatch.setattr(module, "MOST_PICTURE_BYTES", 5_000)
    notes = Notes(tmp_path)
    sizes = (10, 5_001, 2_000, 2_000, 2_000)
    kept = [notes.keep_picture(bytes(size), "page 1") is not None for size in sizes]
    assert kept == [False, False, True, True, False]
    assert notes.all_warnings() == ["2 pictures were not read."]
