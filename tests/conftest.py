"""Fixtures that every kind of test may use."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.engine import RecordingEngine
from support.server import Server


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers: `start_server(settings, folder="a")`. They are stopped at the end."""
    servers: list[Server] = []

    def start(settings: dict[str, Any] | None = None, folder: str = "server", **options: Any) -> Server:
        (tmp_path / folder).mkdir()
        server = Server(tmp_path / folder, settings, **options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the fake engine and no keys, shared by a module's tests."""
    running = Server(tmp_path_factory.mktemp("server")).start()
    yield running
    running.stop()


@pytest.fixture
def recording_engine() -> Iterator[RecordingEngine]:
    """An OpenAI-compatible engine that does as the test says."""
    engine = RecordingEngine().start()
    yield engine
    engine.close()
