"""Steps that several commands on batches take: order and create, watch until the end, fetch results."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, get_args

import aiohttp

from bookwheel.batches.request import LONGEST_VALUES, NAME_KEY, check_metadata, window_seconds
from bookwheel.cli.batch_words import COMPLETED, UNFINISHED, summary, wrong_lines
from bookwheel.cli.client import Client, ServerRefused
from bookwheel.cli.console import bytes_progress, err, running_lines
from bookwheel.errors import BookwheelError
from bookwheel.wire.batches import BatchEndpoint

T = TypeVar("T")

PAGE = 100
PURPOSE = "batch"
INTERRUPTED = 130
"""The exit status."""
LONGEST_FIRST_LINE_BYTES = 64 * 1024 * 1024
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0
AWAY_SECONDS = 120.0
"""How long a server that ran may be gone while its batch is waited for: it may be starting anew."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run, and how."""

    path: Path
    endpoint: str
    window: str
    metadata: dict[str, str]


def make_order(path: Path, endpoint: str | None, window: str, name: str | None, metadata: dict[str, str]) -> Order:
    """What the options say, checked before anything is sent. Raises BookwheelError."""
    window_seconds(window)
    metadata = {NAME_KEY: name or path.name[: LONGEST_VALUES[NAME_KEY]]} | metadata
    check_metadata(metadata)
    return Order(path, endpoint or _first_url(path), window, metadata)


async def create_batch(client: Client, order: Order) -> dict[str, Any]:
    """Upload the file and make a batch of it. Where that is refused, the file does not stay."""
    with bytes_progress() as progress:
        task = progress.add_task(f"Uploading {order.path.name}", total=order.path.stat().st_size)
        file = await client.upload(order.path, lambda sent: progress.advance(task, sent), PURPOSE)
    wanted = {
        "input_file_id": file["id"],
        "endpoint": order.endpoint,
        "completion_window": order.window,
        "metadata": order.metadata,
    }
    try:
        return await client.call("POST", "/batches", wanted)
    except ServerRefused:
        await client.call("DELETE", f"/files/{file['id']}")
        raise


async def watch(client: Client, batch: dict[str, Any]) -> dict[str, Any]:
    """Show how a batch goes on until it has ended; the batch as it is then."""
    pause_seconds = FIRST_PAUSE_SECONDS
    with running_lines() as show:
        while batch["status"] in UNFINISHED:
            show(batch)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(1.5 * pause_seconds, LONGEST_PAUSE_SECONDS)
            batch = await look(client, batch["id"])
    return batch


async def until_interrupted(work: Coroutine[Any, Any, T]) -> T | None:
    """What comes of some work; None where Ctrl-C came before. The next Ctrl-C ends the program."""
    loop, task = asyncio.get_running_loop(), asyncio.create_task(work)
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        this = asyncio.current_task()
        if this is not None and this.cancelling():  # it is not Ctrl-C: everything ends
            raise
        return None
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def fetch(client: Client, file_id: str, target: IO[bytes]) -> None:
    """Write a file of results somewhere, as it comes."""
    async with client.content(file_id, original=False) as content:
        async for piece in content.iter_any():
            target.write(piece)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that is in its place when all of it is written and on disk, and not before."""
    place = path.resolve()
    part = place.with_name(f"{place.name}.part") if place.is_file() or not place.exists() else place
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            if part != place:
                os.fsync(file.fileno())
        if part != place:
            part.replace(place)
    except OSError as error:
        if isinstance(error, aiohttp.ClientError):
            raise
        raise BookwheelError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        if part != place:
            part.unlink(missing_ok=True)


def conclude(batch: dict[str, Any], see: str) -> None:
    """Say how a batch has ended. Raises BookwheelError where a line has no answer."""
    for wrong in wrong_lines(batch):
        err.print(wrong, markup=False)
    if batch["status"] == COMPLETED and not batch["request_counts"]["failed"]:
        err.print(summary(batch), markup=False)
        return
    raise BookwheelError(f"{summary(batch)} {see}".strip())


async def look(client: Client, batch_id: str) -> dict[str, Any]:
    """A batch as it is now. A server that has gone is waited for: the batch goes on when it is back."""
    deadline = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return await client.call("GET", f"/batches/{batch_id}")
        except aiohttp.ClientConnectionError:
            if client.server_ends_with_command or time.monotonic() > deadline:
                raise
        await asyncio.sleep(LONGEST_PAUSE_SECONDS)


def _first_url(path: Path) -> str:
    """The endpoint that the first line names. Raises BookwheelError."""
    try:
        url = json.loads(_first_line(path))["url"]
    except (ValueError, KeyError, TypeError):
        raise BookwheelError(f"{path}: its first line is not a JSON object with a url.") from None
    if url not in get_args(BatchEndpoint):
        raise BookwheelError(
            f"{path}: the url of its first line is {url!r}; there are {', '.join(get_args(BatchEndpoint))}."
        )
    return str(url)


def _first_line(path: Path) -> bytes:
    """The first line that is not blank."""
    with path.open("rb") as file:
        while line := file.readline(LONGEST_FIRST_LINE_BYTES):
            if line.strip():
                return line
    raise BookwheelError(f"{path} has no lines.")
