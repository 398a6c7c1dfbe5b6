"""The real server, watched from within: `python -m bench.watched_server LOG ARGUMENTS`, the arguments being `bookwheel`'s.

Told to by a line on standard input, it says how many tasks its loop has, by the functions that they run, and how many
asynchronous generators and other objects are alive. It ends, as when it is asked to stop, when standard input does.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from types import AsyncGeneratorType

import uvloop

from bench.processes import say
from bookwheel.cli.main import main

Loops = list[asyncio.AbstractEventLoop]


def count(loop: asyncio.AbstractEventLoop) -> None:
    """Say what is there, garbage given back. Runs on the loop, so nothing changes meanwhile."""
    gc.collect()
    _give_back()
    alive = gc.get_objects()
    tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks(loop))
    generators = sum(isinstance(one, AsyncGeneratorType) for one in alive)
    say(tasks=tasks, generators=generators, objects=len(alive))


def _give_back() -> None:
    """Have the C library return what memory it keeps free to the system, where it is one that can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _remember_loops(make: Callable[[], uvloop.Loop]) -> Loops:
    """The loops that uvloop makes from now on: the server keeps its own to itself."""
    made: Loops = []

    def make_and_remember() -> uvloop.Loop:
        loop = make()
        made.append(loop)
        return loop

    uvloop.new_event_loop = make_and_remember
    return made


def _listen(loops: Loops) -> None:
    for _ in sys.stdin:
        loops[-1].call_soon_threadsafe(count, loops[-1])
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stderr.fileno())
    threading.Thread(target=_listen, args=(_remember_loops(uvloop.new_event_loop),), daemon=True).start()
    sys.argv = ["bookwheel", *sys.argv[2:]]
    main()
