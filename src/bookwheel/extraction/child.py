"""What runs in a sandbox's worker: the limits it puts on itself, and the edge at which everything is caught.

What goes wrong is sent to the server as data, because not every exception can be pickled. Only the report comes through
the pipe, never the document's text; and it comes as MessagePack of a known shape, so that a worker that was taken over
can send nothing that does harm.
"""

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from bookwheel.errors import BadDocument
from bookwheel.extraction.extract import ExtractionReport

Extract = Callable[[Path, str, Path, Path], ExtractionReport]

OPEN_FILES = 64
NICENESS = 10

MB = 1024 * 1024
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000


class Outcome(msgspec.Struct, frozen=True):
    """A report, or an exception's name and, for a BadDocument, its attributes."""

    report: ExtractionReport | None
    error: str = ""
    details: dict[str, str] | None = None


def serve(connection: Connection, memory_mb: int, extract: Extract) -> None:
    """A worker's life: one job after the other, until the server closes the pipe or is gone."""
    confine(memory_mb)
    encode = msgspec.msgpack.Encoder().encode
    with suppress(EOFError, OSError):
        while True:
            connection.send_bytes(encode(run_extract(extract, *connection.recv())))


def run_extract(extract: Extract, source: Path, filename: str, text_path: Path, blocks_path: Path) -> Outcome:
    """Run an extraction; whatever it raises, the worker goes on."""
    try:
        return Outcome(extract(source, filename, text_path, blocks_path))
    except BadDocument as error:
        return Outcome(None, type(error).__name__, {name: str(value) for name, value in vars(error).items()})
    except BaseException as error:  # noqa: BLE001 - the edge
        return Outcome(None, type(error).__name__)


def confine(memory_mb: int) -> None:
    """Give up what reading a document does not need, before the first one. What a system does not know is left out."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_mb * MB),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
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
