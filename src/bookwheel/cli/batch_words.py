"""What the command line says of batches: in words, as one line, as a table."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bookwheel.batches.request import NAME_KEY
from bookwheel.cli.console import how_far

DESCRIPTION_KEY = "ds_description"
COMPLETED = "completed"
UNDER_WAY = ("validating", "in_progress", "finalizing")
UNFINISHED = (*UNDER_WAY, "cancelling")


def summary(batch: dict[str, Any]) -> str:
    """How a batch has ended, in a line."""
    counts = batch["request_counts"]
    if not counts["total"]:
        return f"{batch['id']} {batch['status']}: no line was run."
    failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
    return f"{batch['id']} {batch['status']}: {counts['completed']:,} of {counts['total']:,} lines answered{failed}."


def why_no_file(batch: dict[str, Any], *, of_errors: bool) -> str:
    """Why a batch has no file of answers, or of failures, and what to do."""
    batch_id, status = batch["id"], batch["status"]
    if status in UNFINISHED:
        return f"{batch_id} is {status}: there are results when it has ended."
    if batch["errors"]:
        return f"{batch_id} failed, and there are no results: bookwheel batch show {batch_id} says why."
    if of_errors:
        return f"No line of {batch_id} failed."
    return f"No line of {batch_id} was answered. What failed: bookwheel batch results {batch_id} --errors"


def fields_of(batch: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """All about a batch, in words; what there is none of is left out."""
    metadata = dict(batch["metadata"] or {})
    shown: dict[str, Any] = {
        "id": batch["id"],
        "name": metadata.pop(NAME_KEY, None),
        "description": metadata.pop(DESCRIPTION_KEY, None),
        "status": batch["status"],
        "lines": how_far(batch) if batch["request_counts"]["total"] else None,
        "waiting": batch.get("bookwheel", {}).get("waiting"),
        "endpoint": batch["endpoint"],
        "model": batch["model"],
        "window": batch["completion_window"],
        "input file": batch["input_file_id"],
        "output file": batch["output_file_id"],
        "error file": batch["error_file_id"],
    }
    shown |= {name.removesuffix("_at").replace("_", " "): moment(batch[name]) for name in _times(batch)}
    shown |= {f"metadata {key}": value for key, value in metadata.items()}
    yield from ((name, str(value)) for name, value in shown.items() if value)


def _times(batch: dict[str, Any]) -> list[str]:
    return [name for name in batch if name.endswith("_at") and batch[name]]


def moment(seconds: int) -> str:
    """Unix seconds as a time of this place."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def wrong_lines(batch: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a batch's input file, by line."""
    for error in (batch["errors"] or {}).get("data", ()):
        where = f"line {error['line']}: " if error.get("line") else ""
        yield f"{where}{error['message']} ({error['code']})"
