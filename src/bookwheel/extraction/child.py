"""What runs in a sandbox's worker: the limits it puts on itself, and the edge at which everything is caught.

What goes wrong is sent to the server as data, because not every exception can be pickled. Only progress and an answer
come through the pipe, never the document's text; and they come as MessagePack of a known shape, so that a worker that was
taken over can send nothing that does harm.
"""

import ctypes
import importlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from bookwheel.errors import BadDocument

OPEN_FILES = 64
NICENESS = 10
LARGEST_FILE_BYTES = 4 * 1024**3
"""What a worker may write at most into one file."""
PROGRESS_SECONDS = 0.2
"""How often progress is told at most."""

MB = 1024 * 1024
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """Which page (or other `unit`) is being read, from 1, of how many; 0 where that is not known."""

    unit: str
    number: int
    total: int


class Outcome(msgspec.Struct, frozen=True, tag="outcome"):
    """An answer, or an exception's name and, for a BadDocument, its attributes."""

    answer: msgspec.Raw
    error: str = ""
    details: dict[str, str] | None = None


def serve(connection: Connection, memory_mb: int, cpu_seconds: int) -> None:
    """A worker's life: one job after the other, until the server closes the pipe or is gone.

    A job is a function's name as `module:name`, and its arguments.
    """
    confine(memory_mb)
    encode = msgspec.msgpack.Encoder().encode
    with suppress(EOFError, OSError):
        while True:
            function, arguments = connection.recv()
            _limit_cpu(cpu_seconds)
            say = _Say(lambda progress: connection.send_bytes(encode(progress)))
            connection.send_bytes(encode(run_job(function, arguments, say)))


def run_job(function: str, arguments: tuple[Any, ...], say: Callable[[str, int, int], None]) -> Outcome:
    """Run a job; whatever it raises, the worker goes on."""
    try:
        module, _, name = function.partition(":")
        work = getattr(importlib.import_module(module), name)
        return Outcome(msgspec.Raw(msgspec.msgpack.encode(work(*arguments, say))))
    except BadDocument as error:
        return _failed(error, {name: str(value) for name, value in vars(error).items()})
    except BaseException as error:  # noqa: BLE001 - the edge
        return _failed(error, None)


def _failed(error: BaseException, details: dict[str, str] | None) -> Outcome:
    return Outcome(msgspec.Raw(msgspec.msgpack.encode(None)), type(error).__name__, details)


class _Say:
    """Tells progress, not too often: a file may have pages by the thousand."""

    def __init__(self, send: Callable[[Progress], None]) -> None:
        self._send = send
        self._next = 0.0

    def __call__(self, unit: str, number: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self._send(Progress(unit, number, total))


def _limit_cpu(seconds: int) -> None:
    """Have the system end this process when it has worked so much longer than until now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, resource.RLIM_INFINITY))


def confine(memory_mb: int) -> None:
    """Give up what reading a document does not need, before the first one. What a system does not know is left out."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_mb * MB),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, LARGEST_FILE_BYTES),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))
    os.nice(NICENESS)
    if sys.platform == "linux":
        _leave_network()
        _die_with_server()


def _leave_network() -> None:
    """Move to an empty network, where the system allows it.

    Root stays in its user namespace: in a new one it could no longer read what belongs to other users.
    """
    spaces = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    ctypes.CDLL(None).unshare(spaces)


def _die_with_server() -> None:
    """Be killed with the fork server, which ends with the server as soon as no worker holds its pipe open.

    Comes after `_leave_network`: a change of user clears the signal that is set here.
    """
    fork_server: Any = forkserver._forkserver  # noqa: SLF001
    os.close(fork_server._forkserver_alive_fd)  # noqa: SLF001
    fork_server._forkserver_alive_fd = None  # noqa: SLF001
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    server = multiprocessing.parent_process()
    if server is not None and not server.is_alive():
        os._exit(1)
