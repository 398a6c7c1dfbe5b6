"""Options and fixtures of acceptance tests."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from support.batches import BatchDesk, open_batch_desk


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-pages", action="store_true", help="write pages of docs/ anew from what the tests find")


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[BatchDesk]:
    """One that a test may stop and start again, and whose settings it may change."""
    with open_batch_desk(tmp_path) as opened:
        yield opened


@pytest.fixture
def release() -> Iterator[Event]:
    """What lets an engine go on with questions that it holds; set at the end in any case."""
    event = Event()
    yield event
    event.set()
