"""Runs extraction where a hostile document can do no harm: in a process of its own, with limits, without network.

Whatever happens to the worker, too much memory or time, a crash, becomes a BadDocument of one file; the server and the
other files go on. The workers come from a fork server with the vocabulary loaded, so that one starts in milliseconds.
"""

import asyncio
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec

from bookwheel import errors
from bookwheel.errors import BadDocument, ParsingError
from bookwheel.extraction.child import Extract, Outcome, serve
from bookwheel.extraction.extract import ExtractionReport, extract_document

FILES_PER_WORKER = 50
LARGEST_ANSWER_BYTES = 1024 * 1024
PRELOAD = "bookwheel.extraction.preload"

Job = tuple[Path, str, Path, Path]
"""The arguments of `extract_document`."""


class Sandbox:
    """Worker processes that read one document at a time. Use it from one event loop.

    `memory_mb` is address space, the 110 MB of an idle worker included. Workers start with the first document; each is
    replaced after FILES_PER_WORKER documents or when it dies. `extract` is what they run: a function that pickle finds
    by its name.
    """

    def __init__(
        self, workers: int, memory_mb: int, timeout_seconds: float, *, extract: Extract = extract_document
    ) -> None:
        self._memory_mb = memory_mb
        self._timeout_seconds = timeout_seconds
        self._extract = extract
        self._turns = asyncio.Semaphore(workers)
        self._threads = ThreadPoolExecutor(2 * workers, thread_name_prefix="sandbox")
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, asyncio.Task[Any] | None] = {}
        self._closed = False

    async def run(self, source: Path, filename: str, text_path: Path, blocks_path: Path) -> ExtractionReport:
        """`extract_document` in a worker. Raises BadDocument for whatever went wrong with the document.

        Cancelling ends the worker that reads it; what stands in `text_path` and `blocks_path` then is the caller's to
        remove.
        """
        async with self._turns:
            worker = await self._take_worker()
            outcome = await self._exchange(worker, (source, filename, text_path, blocks_path))
        if outcome.report is None:
            raise _as_bad_document(outcome)
        return outcome.report

    def close(self) -> None:
        """End every worker and, if nothing else in this process uses them, multiprocessing's helper processes.

        Those who still wait for a document are cancelled.
        """
        self._closed = True
        for task in self._busy.values():
            if task is not None:
                task.cancel()
        for worker in (*self._idle, *self._busy):
            worker.end()
        self._idle.clear()
        self._threads.shutdown(wait=True)
        if not multiprocessing.active_children():
            _stop_helper_processes()

    async def _take_worker(self) -> "_Worker":
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            worker.end()  # killed from outside while it was idle
            worker.close()
        if self._closed:
            raise RuntimeError("The sandbox is closed.")
        # One that starts for somebody who was cancelled meanwhile is dropped, its pipe with it: that ends the process.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _Worker, self._memory_mb, self._extract)

    async def _exchange(self, worker: "_Worker", job: Job) -> Outcome:
        """Have a worker do a job. A worker that did not answer as it should is ended."""
        self._busy[worker] = asyncio.current_task()
        answer = self._threads.submit(worker.do, job)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                outcome = await asyncio.wrap_future(answer)
        except TimeoutError:
            raise ParsingError(f"Reading it took longer than {self._timeout_seconds:g} seconds.") from None
        except (EOFError, OSError, msgspec.MsgspecError):
            raise ParsingError("The reader died on it.") from None
        else:
            self._put_back(worker)
            return outcome
        finally:
            del self._busy[worker]
            if worker not in self._idle:
                _end_after(worker, answer)

    def _put_back(self, worker: "_Worker") -> None:
        if worker.jobs_done < FILES_PER_WORKER and not self._closed:
            self._idle.append(worker)


class _Worker:
    """A process and the pipe to it. Starting and `do` block: for a thread."""

    def __init__(self, memory_mb: int, extract: Extract) -> None:
        self.jobs_done = 0
        context = _WorkerContext()
        context.set_forkserver_preload([PRELOAD])
        ours, theirs = context.Pipe()
        self._pipe: Connection = ours
        self._process = context.Process(target=serve, args=(theirs, memory_mb, extract), daemon=True)
        self._process.start()
        theirs.close()

    def do(self, job: Job) -> Outcome:
        """Send a job and wait for the answer. Raises EOFError or OSError when the process dies."""
        self._pipe.send(job)
        answer = self._pipe.recv_bytes(LARGEST_ANSWER_BYTES)
        self.jobs_done += 1
        return msgspec.msgpack.decode(answer, type=Outcome)

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def end(self) -> None:
        """Kill the process. The pipe then ends for whoever waits on it."""
        self._process.kill()
        self._process.join()

    def close(self) -> None:
        """Close the pipe. Only when no thread waits on it."""
        self._pipe.close()


def _end_after(worker: _Worker, answer: "Future[Outcome]") -> None:
    """Kill a worker now, and close its pipe when the thread that waits on it has noticed."""
    worker.end()
    answer.add_done_callback(lambda _: worker.close())


def _as_bad_document(outcome: Outcome) -> BadDocument:
    kind = getattr(errors, outcome.error, None)
    if outcome.details is not None and isinstance(kind, type) and issubclass(kind, BadDocument):
        error = kind.__new__(kind, outcome.details.get("reason", ""))
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
