"""The one place where the parts are put together: what a running Bookwheel consists of, how it starts and how it ends."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Mount, Route, Router

from bookwheel.accounts.keys import Keys
from bookwheel.accounts.rates import Rates
from bookwheel.answering.answer import Answering
from bookwheel.answering.digests import Digests
from bookwheel.answering.documents import DocumentDesk
from bookwheel.api.batches import BatchCalls
from bookwheel.api.chat import ChatCalls
from bookwheel.api.edge import Edge
from bookwheel.api.embeddings import EmbeddingCalls
from bookwheel.api.files import FileCalls
from bookwheel.api.health import HealthCall
from bookwheel.api.models import ModelCalls
from bookwheel.api.openapi import documentation_routes, make_openapi
from bookwheel.api.operation import Operation
from bookwheel.api.responses import ResponsesCalls, unstored_routes
from bookwheel.api.tokenize import TokenizeCalls
from bookwheel.batches.answer import LineAnswering
from bookwheel.batches.batches import Batches
from bookwheel.batches.callbacks import Callbacks
from bookwheel.batches.run import Desk
from bookwheel.engines.roster import Roster, choose_built_in, make_roster
from bookwheel.errors import NotFound, SettingsError
from bookwheel.files.files import Files
from bookwheel.ingest.ingest import Ingest, delete_file
from bookwheel.logs import log
from bookwheel.retrieval.search import warm_up
from bookwheel.settings import Settings
from bookwheel.storage.blobs import Blobs
from bookwheel.storage.database import Database

PREFIXES = ("/compatible-mode/v1", "/v1")
EXPIRY_SECONDS = 60.0
RELOADED = {"engines", "models", "accounts"}
"""Tables that take effect when the settings are read again; the others do at the next start."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running server consists of."""

    settings: Settings
    blobs: Blobs
    files: Files
    ingest: Ingest
    answering: Answering
    batches: Batches
    callbacks: Callbacks
    roster: Roster
    keys: Keys


def make_app(parts: Parts) -> Edge:
    """The ASGI application over parts that are open."""
    return Edge(Router(_routes(parts), redirect_slashes=False), parts.keys, PREFIXES)


async def reload(parts: Parts, settings: Settings) -> None:
    """Take over what may change while answers are under way: engines, model names, accounts.

    Raises SettingsError, and then nothing has changed.
    """
    await parts.roster.reload(settings)
    parts.keys.replace(settings.accounts)
    parts.callbacks.replace(settings.accounts)
    changed = [name for name in Settings.model_fields if getattr(settings, name) != getattr(parts.settings, name)]
    unchanged = sorted(set(changed) - RELOADED)
    log.info("settings reloaded", accounts=len(settings.accounts), after_a_restart=unchanged)


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Everything that runs behind the API, started; closed in the opposite order. Raises SettingsError."""
    roster = make_roster(settings)
    async with AsyncExitStack() as opened:
        opened.enter_context(own_data_dir(settings.data_dir))
        database = Database(settings.data_dir / "bookwheel.db")
        opened.callback(database.close)
        await asyncio.to_thread(database.migrate)
        blobs = Blobs(settings.data_dir)
        files = Files(database, blobs, settings.limits, settings.reading.index_cache_mb)
        swept = await files.sweep()
        opened.push_async_callback(roster.close)
        await roster.start()
        await asyncio.to_thread(warm_up)
        digests = Digests(blobs)
        ingest = Ingest(database, blobs, settings.ingest, settings.limits.most_tokens)
        opened.push_async_callback(ingest.close)
        unfinished = await ingest.take_up_unfinished()
        desk = DocumentDesk(files, ingest, settings.ingest.chat_wait_seconds, settings.limits)
        answering = Answering(roster, desk, settings.reading, digests)
        line_desk = Desk(LineAnswering(answering, roster), roster, ingest, settings.batches.retries)
        callbacks = Callbacks(settings)
        batches = Batches(database, blobs, files, line_desk, settings.batches, callbacks)
        opened.push_async_callback(batches.close)
        files.before_deletion = [digests.forget, batches.stop_those_of]
        files.have_engines_forget = roster.forget
        unfinished_batches = await batches.take_up_unfinished()
        keys = Keys(settings.accounts)
        parts = Parts(settings, blobs, files, ingest, answering, batches, callbacks, roster, keys)
        opened.callback(asyncio.create_task(_delete_expired(parts)).cancel)
        log.info(
            "started",
            data_dir=str(settings.data_dir),
            swept=swept,
            unfinished=unfinished,
            unfinished_batches=unfinished_batches,
        )
        if not settings.engines:
            log.info("built-in engine", why=choose_built_in(settings).why)
        yield parts


def make_operations(parts: Parts) -> list[Operation]:
    """Every call of the API."""
    settings = parts.settings
    answering = parts.answering
    calls = (
        ModelCalls(parts.roster, created=int(time.time())),
        FileCalls(
            parts.files,
            parts.blobs,
            parts.ingest,
            _rates(settings),
            settings.limits,
            settings.ingest.upload_wait_seconds,
        ),
        BatchCalls(parts.batches),
        ChatCalls(answering, settings.server),
        ResponsesCalls(answering, settings.server),
        EmbeddingCalls(parts.roster, settings.server),
        TokenizeCalls(answering, parts.roster, settings.server),
    )
    return [operation for call in calls for operation in call.operations()]


def _routes(parts: Parts) -> list[BaseRoute]:
    operations = make_operations(parts)
    routes: list[BaseRoute] = [
        Mount(prefix, routes=[*(operation.route() for operation in operations), *unstored_routes()])
        for prefix in PREFIXES
    ]
    routes += documentation_routes(make_openapi(operations, PREFIXES))
    return [
        *routes,
        Route("/health", HealthCall(parts.roster, parts.keys).check),
        Route("/", lambda _: RedirectResponse("/docs")),
    ]


def _rates(settings: Settings) -> Rates:
    calls, deletes = settings.limits.file_calls_per_second, settings.limits.file_deletes_per_second
    names = ("file upload", "file list", "file retrieve", "file content")
    return Rates(dict.fromkeys(names, calls) | {"file delete": deletes})


async def _delete_expired(parts: Parts) -> None:
    while True:
        for account_id, file_id in await parts.files.expired():
            with suppress(NotFound):  # its owner may have been quicker
                await delete_file(parts.files, parts.ingest, account_id, file_id)
                log.info("file expired", file_id=file_id)
        await parts.batches.end_overdue()
        await asyncio.sleep(EXPIRY_SECONDS)


class own_data_dir:  # noqa: N801 - used as a with-statement's verb
    """Holds the data folder for this process. Raises SettingsError when another process has it, or it cannot be written."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock: IO[str] | None = None

    def __enter__(self) -> None:
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._lock = (self._data_dir / "lock").open("a+")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"data_dir = {self._data_dir}: another Bookwheel is running on it; stop that one or set another data_dir"
            ) from None
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise SettingsError(
                f"data_dir = {self._data_dir}: {reason}; a folder that can be written is needed"
            ) from None

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
