"""What a request for a batch or for a list of batches asks for, checked in the wire contract's words."""

import re
import time
import uuid
from datetime import datetime
from typing import Any, get_args

import msgspec

from bookwheel.errors import InvalidRequest
from bookwheel.storage.batches import VALIDATING, BatchFilter
from bookwheel.wire.batches import BatchCreate, BatchListQuery, BatchStatus

LEAST_HOURS = 24
MOST_HOURS = 336
MOST_PAIRS = 16
LONGEST_KEY = 64
LONGEST_VALUE = 512
NAME_KEY = "ds_name"
CALLBACK_KEY = "ds_batch_finish_callback"
LONGEST_VALUES = {NAME_KEY: 100, "ds_description": 200}
MOST_FILE_IDS = 20

_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")
_MOMENT = "%Y%m%d%H%M%S"
_LATEST = 2**63
"""What the database cannot hold any more."""


def new_row(account_id: str, wanted: BatchCreate) -> dict[str, Any]:
    """The row of a batch that was asked for. Raises InvalidRequest where it may not be."""
    now, seconds = int(time.time()), window_seconds(wanted.completion_window)
    metadata = wanted.metadata or {}
    check_metadata(metadata)
    callback_url = metadata.get(CALLBACK_KEY) or None
    expires_after = wanted.output_expires_after
    return {
        "batch_id": f"batch_{uuid.uuid4()}",
        "account_id": account_id,
        "input_file_id": wanted.input_file_id,
        "endpoint": wanted.endpoint,
        "completion_window": wanted.completion_window,
        "name": metadata.get(NAME_KEY, "").casefold(),
        "metadata": msgspec.json.encode(wanted.metadata).decode() if wanted.metadata is not None else None,
        "callback_url": callback_url,
        "callback_pending": callback_url is not None,
        "output_seconds": expires_after.seconds if expires_after else None,
        "status": VALIDATING,
        "created_at": now,
        "expires_at": now + seconds,
        "total": 0,
        "completed": 0,
        "failed": 0,
    }


def window_seconds(completion_window: str) -> int:
    """The seconds of a completion window. Raises InvalidRequest."""
    found = _WINDOW.fullmatch(completion_window)
    hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
    if not LEAST_HOURS <= hours <= MOST_HOURS:
        raise InvalidRequest(
            f"Invalid 'completion_window': it is {LEAST_HOURS}h to {MOST_HOURS}h, or 1d to {MOST_HOURS // 24}d.",
            param="completion_window",
        )
    return hours * 3_600


def check_metadata(metadata: dict[str, str]) -> None:
    """Raise InvalidRequest for metadata with too much in it."""
    if len(metadata) > MOST_PAIRS:
        raise InvalidRequest(f"Invalid 'metadata': at most {MOST_PAIRS} pairs.", param="metadata")
    for key, value in metadata.items():
        if not 1 <= len(key) <= LONGEST_KEY:
            message = f"Invalid 'metadata': a key has 1 to {LONGEST_KEY} characters."
            raise InvalidRequest(message, param="metadata")
        longest = LONGEST_VALUES.get(key, LONGEST_VALUE)
        if len(value) > longest:
            message = f"Invalid 'metadata.{key}': at most {longest} characters."
            raise InvalidRequest(message, param=f"metadata.{key}")


def read_filter(query: BatchListQuery) -> BatchFilter:
    """What a listing is narrowed to. Raises InvalidRequest."""
    file_ids, statuses = _listed(query.input_file_ids), _listed(query.status)
    if len(file_ids) > MOST_FILE_IDS:
        raise InvalidRequest(f"Invalid 'input_file_ids': at most {MOST_FILE_IDS} ids.", param="input_file_ids")
    allowed = get_args(BatchStatus)
    if not set(statuses) <= set(allowed):
        raise InvalidRequest(f"Invalid 'status': allowed are {', '.join(allowed)}.", param="status")
    return BatchFilter(
        name_part=(query.ds_name or "").casefold(),
        input_file_ids=file_ids,
        statuses=statuses,
        created_after=_moment(query.create_after, "create_after"),
        created_before=_moment(query.create_before, "create_before"),
    )


def _listed(value: str | None) -> tuple[str, ...]:
    parts = (part.strip() for part in (value or "").split(","))
    return tuple(part for part in parts if part)


def _moment(value: str | None, param: str) -> int | None:
    """Unix seconds of a time as the vendor writes it, in the server's time zone; or given as Unix seconds."""
    if not value:
        return None
    try:
        return _in_range(datetime.strptime(value, _MOMENT).astimezone().timestamp() if len(value) == 14 else int(value))
    except (ValueError, OverflowError, OSError):
        message = f"Invalid '{param}': it is a time as yyyyMMddHHmmss, or Unix seconds."
        raise InvalidRequest(message, param=param) from None


def _in_range(moment: float) -> int:
    if abs(moment) >= _LATEST:
        raise ValueError
    return int(moment)
