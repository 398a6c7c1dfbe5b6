"""Runs extraction where a hostile document can do no harm: in a process of its own, with limits, without network.

Whatever happens to the worker, too much memory or time, a crash, becomes a BadDocument of one file; the server and the
other files go on. The workers come from a fork server with the vocabulary loaded, so that one starts in milliseconds.
"""

import asyncio
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from bookwheel import errors
from bookwheel.errors import BadDocument, ParsingError
from bookwheel.extraction.child import Extract, Outcome, confine, run_extract
from bookwheel.extraction.extract import ExtractionReport, extract_document

FILES_PER_WORKER = 50
PRELOAD = "bookwheel.extraction.preload"


class Sandbox:
    """A pool of worker processes that read one document at a time. Use it from one event loop.

    `memory_mb` is address space, the 110 MB of an idle worker included. Workers start with the first document; each is
    replaced after FILES_PER_WORKER documents or when it dies. `extract` is what they run: a function that pickle finds
    by its name.
    """

    def __init__(
        self, workers: int, memory_mb: int, timeout_seconds: float, *, extract: Extract = extract_document
    ) -> None:
        self._workers = workers
        self._memory_mb = memory_mb
        self._timeout_seconds = timeout_seconds
        self._extract = extract
        self._pool: ProcessPool | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._futures: set[Future[Outcome]] = set()

    async def run(self, source: Path, filename: str, text_path: Path, blocks_path: Path) -> ExtractionReport:
        """`extract_document` in a worker. Raises BadDocument for whatever went wrong with the document.

        Cancelling ends the worker that reads it; what stands in `text_path` and `blocks_path` then is the caller's to
        remove.
        """
        arguments = (self._extract, source, filename, text_path, blocks_path)
        try:
            outcome = await self._run_in_worker(arguments)
        except BrokenProcessPool:
            # Pebble gives a pool up when an idle worker is killed from outside: a new pool reads the document.
            outcome = await self._run_in_worker(arguments)
        if outcome.report is None:
            raise _as_bad_document(outcome)
        return outcome.report

    async def _run_in_worker(self, arguments: tuple[Any, ...]) -> Outcome:
        pool = await asyncio.to_thread(self._live_pool)
        try:
            future = pool.schedule(run_extract, args=arguments, timeout=self._timeout_seconds)
        except RuntimeError as error:
            raise BrokenProcessPool from error
        self._futures.add(future)
        try:
            return await asyncio.wrap_future(future)
        except TimeoutError:
            raise ParsingError(f"Reading it took longer than {self._timeout_seconds:g} seconds.") from None
        except ProcessExpired:
            raise ParsingError("The reader died on it.") from None
        finally:
            self._futures.discard(future)

    def _live_pool(self) -> ProcessPool:
        """The pool, started or replaced if need be. Takes up to a second: not for the event loop's thread."""
        with self._lock:
            if self._closed:
                raise RuntimeError("The sandbox is closed.")
            if self._pool is not None and not self._pool.active:
                self._stop_pool()
            if self._pool is None:
                self._pool = self._start_pool()
            return self._pool

    def _start_pool(self) -> ProcessPool:
        context = _WorkerContext()
        context.set_forkserver_preload([PRELOAD])
        pool = ProcessPool(
            max_workers=self._workers,
            max_tasks=FILES_PER_WORKER,
            initializer=confine,
            initargs=(self._memory_mb,),
            context=context,
        )
        _ = pool.active  # starts it
        return pool

    def _stop_pool(self) -> None:
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None

    def close(self) -> None:
        """End every worker and, if nothing else in this process uses them, multiprocessing's helper processes.

        Those who still wait for a document are cancelled.
        """
        for future in list(self._futures):
            future.cancel()
        with self._lock:
            self._closed = True
            self._stop_pool()
            if not multiprocessing.active_children():
                _stop_helper_processes()


def _as_bad_document(outcome: Outcome) -> BadDocument:
    kind = getattr(errors, outcome.error, None)
    if outcome.details is not None and isinstance(kind, type) and issubclass(kind, BadDocument):
        error = kind.__new__(kind, outcome.details["reason"])
        vars(error).update(outcome.details)
        return error
    if outcome.error == MemoryError.__name__:
        return ParsingError("It needs more memory than a document may take.")
    return ParsingError(f"The reader failed on it ({outcome.error}).")


def _stop_helper_processes() -> None:
    with suppress(ChildProcessError):
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001
    with suppress(ChildProcessError):
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]  # noqa: SLF001


_main_module_lock = threading.Lock()


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """While a worker is started, this process passes for one started with `python -m`, whose main is not run again.

    Otherwise every worker would run the console script, and so import the whole server.
    """
    main = sys.modules["__main__"]
    with _main_module_lock:
        spec = getattr(main, "__spec__", None)
        main.__spec__ = ModuleSpec("bookwheel.__main__", None)
        try:
            yield
        finally:
            main.__spec__ = spec


class _WorkerProcess(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802 - multiprocessing's name
        with _main_module_hidden():
            return ForkServerProcess._Popen(process_obj)  # noqa: SLF001


class _WorkerContext(ForkServerContext):
    Process = _WorkerProcess
