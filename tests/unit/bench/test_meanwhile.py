"""The files that are read while questions are asked are large, different from each other, and the same in every run."""

from pathlib import Path

from bench.meanwhile import make_files
from bookwheel.tokens import count_tokens


def test_the_files_are_large_different_and_the_same_in_every_run(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first, again = (make_files(tmp_path / folder, 2) for folder in ("a", "b"))
    texts = [path.read_text("utf-8") for path in first]
    assert texts == [path.read_text("utf-8") for path in again]
    assert texts[0] != texts[1]
    assert all(80_000 < count_tokens(text) < 120_000 for text in texts)
