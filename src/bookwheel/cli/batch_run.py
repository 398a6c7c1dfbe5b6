"""`bookwheel batch run`: a file of requests in, files of results out, and nothing left behind.

A run that was killed is known again by the SHA-256 of its file, in the metadata of its batch.
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from bookwheel.cli.batch_steps import (
    INTERRUPTED,
    PAGE,
    Order,
    conclude,
    create_batch,
    fetch,
    look,
    until_interrupted,
    watch,
    whole_file,
)
from bookwheel.cli.batch_words import COMPLETED, UNDER_WAY, summary
from bookwheel.cli.client import Client, ServerRefused
from bookwheel.cli.console import err
from bookwheel.errors import BookwheelError

RUN_KEY = "bookwheel_run"
"""In the metadata of a batch that `run` made: the SHA-256 of its input file."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the results of a run are written."""

    output: Path
    errors: Path

    @classmethod
    def beside(cls, source: Path, output: Path | None, errors: Path | None) -> "Targets":
        """What was named, else files beside the source."""
        return cls(
            output or source.with_name(f"{source.stem}.output.jsonl"),
            errors or source.with_name(f"{source.stem}.errors.jsonl"),
        )

    def check(self, source: Path) -> None:
        """Raise BookwheelError where something cannot be written, before hours of work."""
        for path in (self.output, self.errors):
            if path.resolve() == source.resolve():
                raise BookwheelError(f"{path} is the input file: name another one.")
            if not os.access(path.resolve().parent, os.W_OK):
                raise BookwheelError(f"{path} cannot be written: {path.resolve().parent} is no folder to write to.")
        if self.output.resolve() == self.errors.resolve():
            raise BookwheelError(f"{self.output} cannot hold both the answers and the failures.")


def sha256_of(path: Path) -> str:
    """By what a run knows its batch again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def run_and_write(client: Client, order: Order, targets: Targets, *, keep: bool) -> None:
    """Run the lines and write their results. Ctrl-C cancels the batch; a second one leaves everything as it is.

    Raises BookwheelError where a line has no answer, and Exit where it was interrupted.
    """
    batch = await _begun(client, order) or await create_batch(client, order)
    ended = await until_interrupted(watch(client, batch))
    is_interrupted = ended is None
    if ended is None:
        err.print("Cancelling: what was answered is written.", markup=False)
        ended = await _end_now(client, batch["id"])
    if ended["request_counts"]["total"]:
        await _write_results(client, ended, targets)
    if not keep:
        await _remove_files(client, ended)
    if is_interrupted:
        err.print(summary(ended), markup=False)
        raise typer.Exit(INTERRUPTED)
    conclude(ended, f"See {targets.errors}" if ended["error_file_id"] else "")


async def _begun(client: Client, order: Order) -> dict[str, Any] | None:
    """The newest batch of a run of the very same lines that was not brought to its end: under way, or with results that
    nobody fetched."""
    async for batch in client.each("/batches", PAGE, status=",".join((*UNDER_WAY, COMPLETED))):
        is_same = (batch["metadata"] or {}).get(RUN_KEY) == order.metadata[RUN_KEY]
        if is_same and batch["endpoint"] == order.endpoint:
            return await _taken_up(client, batch)
    return None


async def _taken_up(client: Client, batch: dict[str, Any]) -> dict[str, Any] | None:
    """A batch of the same lines, and word of it; None where there is nothing to take up."""
    if batch["status"] != COMPLETED:
        err.print(f"{batch['id']} has these very lines and is under way: going on with it.", markup=False)
        return batch
    file_ids = _result_files(batch)
    try:
        for file_id in file_ids:
            await client.call("GET", f"/files/{file_id}")
    except ServerRefused:
        return None
    told = f"{batch['id']} has answered these very lines: its results are taken. As long as its files are on the server"
    err.print(f"{told} ({', '.join(file_ids)}), nothing is asked anew.", markup=False)
    return batch


async def _end_now(client: Client, batch_id: str) -> dict[str, Any]:
    """Cancel a batch and wait until it has ended."""
    with suppress(ServerRefused):  # it has ended by itself just now
        await client.call("POST", f"/batches/{batch_id}/cancel")
    return await watch(client, await look(client, batch_id))


async def _write_results(client: Client, batch: dict[str, Any], targets: Targets) -> None:
    """Write what there is: the file of answers always, also empty; that of failures only where there are some."""
    with whole_file(targets.output) as target:
        if batch["output_file_id"]:
            await fetch(client, batch["output_file_id"], target)
    if not batch["error_file_id"]:
        targets.errors.unlink(missing_ok=True)  # of an earlier run
        return
    with whole_file(targets.errors) as target:
        await fetch(client, batch["error_file_id"], target)


async def _remove_files(client: Client, batch: dict[str, Any]) -> None:
    for file_id in (batch["input_file_id"], *_result_files(batch)):
        with suppress(ServerRefused):  # somebody was faster
            await client.call("DELETE", f"/files/{file_id}")


def _result_files(batch: dict[str, Any]) -> list[str]:
    return [file_id for file_id in (batch["output_file_id"], batch["error_file_id"]) if file_id]
