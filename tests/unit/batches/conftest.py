"""Fixtures of the tests of batches."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bookwheel.storage.database import Database
from support.scripted_batch import House


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    database = Database(path)
    database.migrate()
    database.close()
    return path


@pytest.fixture
async def house(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.chdir(tmp_path)
    built = House(tmp_path, empty_database)
    yield built
    await built.close()
