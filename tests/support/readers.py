"""Readers that behave badly, for the sandbox to run: pickle finds them by name in its workers, so they stand in a module.

`filename` says what to do, `text_path` takes what a test wants to know while the reader runs.
"""

import os
import resource
import signal
import socket
import time
from pathlib import Path

from bookwheel import errors
from bookwheel.extraction.extract import ExtractionReport
from bookwheel.extraction.recognise import FileType


class Unpicklable(Exception):
    """An exception that pickle could not send."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)
        self.lock = socket.socket()


def report(*warnings: object) -> ExtractionReport:
    return ExtractionReport(FileType.TXT, "utf-8", 1, os.getpid(), 1, tuple(map(str, warnings)))


def behave(_source: Path, filename: str, text_path: Path, _blocks_path: Path) -> ExtractionReport:
    """Do what the name of the file says. `tokens` of the report is the worker's process id."""
    if filename == "abort":
        os.abort()
    if filename == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if filename == "memory":
        return report(len([bytearray(1 << 24) for _ in range(1 << 20)]))
    if filename in ("hang", "hang and not end"):
        text_path.write_text(str(os.getpid()), "utf-8")
        if filename == "hang and not end":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    if filename == "limits":
        kinds = (resource.RLIMIT_AS, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)
        return report(os.nice(0), *(resource.getrlimit(kind)[1] for kind in kinds))
    if filename == "network":
        return report(Path("/proc/self/ns/net").readlink())
    if filename.startswith("raise "):
        raise_by_name(filename.removeprefix("raise "))
    return report()


def raise_by_name(name: str) -> None:
    if name == "Unpicklable":
        raise Unpicklable("a", "b")
    if name == "FormatNotSupported":
        raise errors.FormatNotSupported("PNG image")
    if name == "PagesExceeded":
        raise errors.PagesExceeded(15_000)
    if name == "ContentBlank":
        raise errors.ContentBlank
    if name == "ParsingError":
        raise errors.ParsingError("It is torn.")
    raise {"ValueError": ValueError, "SystemExit": SystemExit, "RecursionError": RecursionError}[name]("no")
