"""Runs work on documents where a hostile document can do no harm: in a process of its own, with limits, without network.

Whatever happens to the worker, too much memory or time, a crash, becomes a BadDocument of one file; the server and the
other files go on. The workers come from a fork server with the vocabulary loaded, so that one starts in milliseconds.
"""

import asyncio
import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

from bookwheel import errors
from bookwheel.errors import BadDocument, ParsingError
from bookwheel.extraction.child import Outcome, Progress, serve
from bookwheel.extraction.notes import Say, say_nothing
from bookwheel.extraction.report import Answer, Work

JOBS_PER_WORKER = 50
IDLE_SECONDS = 300.0
"""A worker that had nothing to do for so long is ended, and gives its memory back: the models of OCR take much."""
LARGEST_ANSWER_BYTES = 16 * 1024 * 1024
PRELOAD = "bookwheel.extraction.preload"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker may take: address space (an idle worker's 250 MB included), and what one job may take."""

    memory_mb: int
    cpu_seconds: int
    timeout_seconds: float


class Sandbox:
    """Worker processes that do one job at a time. Use it from one event loop.

    Workers start with the first job; each is replaced after JOBS_PER_WORKER jobs or when it dies, and ended when it has had
    nothing to do for a while. Jobs are served in the order in which they come.
    """

    def __init__(self, workers: int, limits: Limits) -> None:
        self._limits = limits
        self._turns = asyncio.Semaphore(workers)
        self._threads = ThreadPoolExecutor(2 * workers, thread_name_prefix="sandbox")
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, asyncio.Task[Any] | None] = {}
        self._closed = False

    async def run(self, work: Work[Answer], *arguments: Any, say: Say = say_nothing) -> Answer:
        """Do a piece of work in a worker. Raises BadDocument for whatever went wrong with the document.

        `say` is called from another thread. Cancelling ends the worker; what it has written then is the caller's to
        remove.
        """
        async with self._turns:
            worker = await self._take_worker()
            outcome = await self._exchange(worker, (work.function, arguments), say)
        if outcome.error:
            raise _as_bad_document(outcome)
        try:
            return msgspec.msgpack.decode(outcome.answer, type=work.answer)
        except msgspec.MsgspecError:
            raise ParsingError("The reader died on it.") from None

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
        return await loop.run_in_executor(self._threads, _Worker, self._limits)

    async def _exchange(self, worker: "_Worker", job: tuple[str, tuple[Any, ...]], say: Say) -> Outcome:
        """Have a worker do a job. A worker that did not answer as it should is ended."""
        self._busy[worker] = asyncio.current_task()
        answer = self._threads.submit(worker.do, job, say)
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                outcome = await asyncio.wrap_future(answer)
        except TimeoutError:
            raise ParsingError(f"Reading it took longer than {self._limits.timeout_seconds:g} seconds.") from None
        except (EOFError, OSError, msgspec.MsgspecError):
            raise ParsingError(self._why_dead(worker)) from None
        else:
            self._put_back(worker)
            return outcome
        finally:
            del self._busy[worker]
            if worker not in self._idle:
                _end_after(worker, answer)

    def _why_dead(self, worker: "_Worker") -> str:
        if worker.end() == -signal.SIGXCPU:
            return f"Reading it took more than {self._limits.cpu_seconds} seconds of processor time."
        return "The reader died on it."

    def _put_back(self, worker: "_Worker") -> None:
        if worker.jobs_done < JOBS_PER_WORKER and not self._closed:
            loop = asyncio.get_running_loop()
            worker.idle_since = loop.time()
            self._idle.append(worker)
            loop.call_later(IDLE_SECONDS, self._end_idle, loop.time())

    def _end_idle(self, since: float) -> None:
        """End the workers that have had nothing to do since then."""
        for worker in [worker for worker in self._idle if worker.idle_since <= since]:
            self._idle.remove(worker)
            worker.end()
            worker.close()


class _Worker:
    """A process and the pipe to it. Starting and `do` block: for a thread."""

    def __init__(self, limits: Limits) -> None:
        self.jobs_done = 0
        self.idle_since = 0.0
        context = _WorkerContext()
        context.set_forkserver_preload([PRELOAD])
        ours, theirs = context.Pipe()
        self._pipe: Connection = ours
        self._process = context.Process(target=serve, args=(theirs, limits.memory_mb, limits.cpu_seconds), daemon=True)
        self._process.start()
        theirs.close()

    def do(self, job: tuple[str, tuple[Any, ...]], say: Say) -> Outcome:
        """Send a job, pass its progress on and wait for the outcome. Raises EOFError or OSError when the process dies."""
        self._pipe.send(job)
        while True:
            message = _decode(self._pipe.recv_bytes(LARGEST_ANSWER_BYTES))
            if isinstance(message, Outcome):
                self.jobs_done += 1
                return message
            say(message.unit, message.number, message.total)

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def end(self) -> int:
        """Kill the process, if it still lives, and return its exit code. The pipe then ends for whoever waits on it."""
        self._process.kill()
        self._process.join()
        return self._process.exitcode or 0

    def close(self) -> None:
        """Close the pipe. Only when no thread waits on it."""
        self._pipe.close()


_decode = msgspec.msgpack.Decoder(Progress | Outcome).decode


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
