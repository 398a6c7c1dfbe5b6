"""The database: where what was acknowledged is kept.

SQLAlchemy Core, synchronous, in threads. One thread writes, because SQLite takes one writer at a time and waiting for it
in line is cheaper than being refused; a few threads read. A function given to `read` or `write` is one transaction: it
commits when the function returns, rolls back when it raises. SQL itself lives in the modules beside this one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
READERS = 2


class Database:
    """An open database. `close` waits for the transactions under way."""

    def __init__(self, path: Path) -> None:
        self._engine = _open_sqlite(path)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="database-read")

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query that changes nothing, beside others."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._run, query)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change. When this returns, it is on disk.

        A caller that is cancelled does not take the change back: it is under way, and ends one way or the other.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._run, change)

    def migrate(self) -> None:
        """Bring the tables up to this version's. Keeps every row."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self._writer.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        self._engine.dispose()

    def _run(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)


def _open_sqlite(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", pool_size=READERS + 2, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "journal_size_limit=67108864"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
