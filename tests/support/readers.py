"""Readers that behave badly, for the sandbox to run: its workers find them by name, so they stand in a module.

The first argument says what to do, the second is a path that takes what a test wants to know while the reader runs.
"""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bookwheel import errors
from bookwheel.extraction.notes import Say
from bookwheel.extraction.recognise import FileType
from bookwheel.extraction.report import ExtractionReport, Work

BEHAVE = Work("support.readers:behave", ExtractionReport)
LIE = Work("support.readers:behave", int)
"""The same function, said to answer something else."""


class Unpicklable(Exception):
    """An exception that pickle could not send."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)
        self.lock = socket.socket()


def report(*warnings: object) -> ExtractionReport:
    return ExtractionReport(
        file_type=FileType.TXT, characters=1, tokens=os.getpid(), blocks=1, warnings=tuple(map(str, warnings))
    )


def behave(what: str, text_path: Path, say: Say) -> ExtractionReport:
    """Do `what`. `tokens` of the report is the worker's process id."""
    if what.startswith("raise "):
        raise_by_name(what.removeprefix("raise "))
    if what in ("progress", "talk"):
        tell(what, say)
    if what in ("hang", "hang and not end"):
        hang(text_path, deaf=what == "hang and not end")
    return DEEDS.get(what, report)()


def fill_memory() -> ExtractionReport:
    return report(len([bytearray(1 << 24) for _ in range(1 << 20)]))


def hang(text_path: Path, *, deaf: bool) -> None:
    text_path.write_text(str(os.getpid()), "utf-8")
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def work(seconds: float) -> ExtractionReport:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return report()


def tell(what: str, say: Say) -> None:
    """Three pages with time between them, or very many with none."""
    for number in range(1, 4 if what == "progress" else 100_000):
        say("page", number, 3)
        time.sleep(0.25 if what == "progress" else 0)


def tell_limits() -> ExtractionReport:
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)
    return report(os.nice(0), *(resource.getrlimit(kind)[1] for kind in kinds))


DEEDS: dict[str, Callable[[], Any]] = {
    "abort": os.abort,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "memory": fill_memory,
    "work": lambda: work(3600),
    "busy": lambda: work(0.4),
    "limits": tell_limits,
    "network": lambda: report(Path("/proc/self/ns/net").readlink()),
}


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
