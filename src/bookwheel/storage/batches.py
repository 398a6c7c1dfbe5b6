"""The SQL of batches: rows in, `BatchRecord`s out. Each function runs inside a transaction that its caller holds.

Every query that serves a request names the account, so that another account's batch is the same as none.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, Select, and_, exists, insert, not_, or_, select, update

from bookwheel.storage.files import PROCESSED, insert_file, reserve_room
from bookwheel.storage.tables import batches, files

VALIDATING = "validating"
IN_PROGRESS = "in_progress"
FINALIZING = "finalizing"
CANCELLING = "cancelling"
COMPLETED = "completed"
FAILED = "failed"
EXPIRED = "expired"
CANCELLED = "cancelled"
OUTPUT_PURPOSE = "batch_output"
"""Of the files that results become."""
UNFINISHED = frozenset({VALIDATING, IN_PROGRESS, FINALIZING, CANCELLING})


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One row of `batches`. Times are Unix seconds; `metadata` and `errors` are JSON; `output_seconds` is how long its files
    are kept, None: until they are deleted."""

    sequence: int
    batch_id: str
    account_id: str
    input_file_id: str
    endpoint: str
    completion_window: str
    name: str
    metadata: str | None
    callback_url: str | None
    callback_pending: bool
    output_seconds: int | None
    status: str
    model: str | None
    errors: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    total: int
    completed: int
    failed: int
    output_file_id: str | None
    error_file_id: str | None


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """Which batches are listed. Empty and None: no matter. `name_part`, casefolded as names
    are, stands anywhere in the name."""

    name_part: str = ""
    input_file_ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    created_after: int | None = None
    created_before: int | None = None


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of results that is in its place and has no row yet."""

    file_id: str
    filename: str
    size_bytes: int
    sha256: str


_COLUMNS = tuple(batches.c[name] for name in BatchRecord.__dataclass_fields__)


def insert_batch(connection: Connection, **values: Any) -> BatchRecord:
    """Add a row and return it. `values` are the columns that are not null."""
    row = connection.execute(insert(batches).values(**values).returning(*_COLUMNS)).one()
    return _record(row)


def find_batch(connection: Connection, account_id: str, batch_id: str) -> BatchRecord | None:
    """The account's batch of that id."""
    row = connection.execute(_of_account(account_id).where(batches.c.batch_id == batch_id)).one_or_none()
    return _record(row) if row else None


def get_batch(connection: Connection, batch_id: str) -> BatchRecord | None:
    """A batch, whosever it is: for what is done behind the requests."""
    row = connection.execute(select(*_COLUMNS).where(batches.c.batch_id == batch_id)).one_or_none()
    return _record(row) if row else None


def list_batches(
    connection: Connection, account_id: str, wanted: BatchFilter, *, after: str | None, limit: int
) -> list[BatchRecord] | None:
    """A page of the account's batches, newest first; None when `after` is not its batch.

    Keyset pagination: the cost does not grow with the number of batches before the page.
    """
    query = _filtered(_of_account(account_id), wanted)
    if after is not None:
        cursor = find_batch(connection, account_id, after)
        if cursor is None:
            return None
        created, sequence = batches.c.created_at, batches.c.sequence
        same_second = and_(created == cursor.created_at, sequence < cursor.sequence)
        query = query.where(or_(created < cursor.created_at, same_second))
    query = query.order_by(batches.c.created_at.desc(), batches.c.sequence.desc()).limit(limit)
    return [_record(row) for row in connection.execute(query)]


def change_batch(connection: Connection, batch_id: str, statuses: Collection[str], **values: Any) -> BatchRecord | None:
    """Change a batch that has one of the statuses, and return it as it is then; None where it has none of them."""
    statement = (
        update(batches)
        .where(batches.c.batch_id == batch_id, batches.c.status.in_(statuses))
        .values(**values)
        .returning(*_COLUMNS)
    )
    row = connection.execute(statement).one_or_none()
    return _record(row) if row else None


def end_batch(
    connection: Connection,
    record: BatchRecord,
    output: ResultFile | None,
    errors: ResultFile | None,
    now: int,
    change: dict[str, Any],
) -> BatchRecord:
    """End a batch: its files and its row. The files count for the quota and are not refused by it: the work is done."""
    for file in (output, errors):
        if file is not None:
            reserve_room(connection, record.account_id, file.size_bytes, now)
            insert_file(
                connection,
                file_id=file.file_id,
                account_id=record.account_id,
                purpose=OUTPUT_PURPOSE,
                filename=file.filename,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                created_at=now,
                expires_at=now + record.output_seconds if record.output_seconds else None,
                status=PROCESSED,
                attempts=0,
            )
    file_ids = {
        "output_file_id": output.file_id if output else None,
        "error_file_id": errors.file_id if errors else None,
    }
    ended = change_batch(connection, record.batch_id, UNFINISHED, **file_ids, **change)
    assert ended is not None  # noqa: S101 - one job at a time ends a batch
    return ended


def unfinished_batches(connection: Connection) -> list[BatchRecord]:
    """Batches that have not ended, oldest first."""
    query = select(*_COLUMNS).where(batches.c.status.in_(UNFINISHED)).order_by(batches.c.sequence)
    return [_record(row) for row in connection.execute(query)]


def batches_to_end(connection: Connection, now: int) -> list[BatchRecord]:
    """Batches in progress whose time is over or whose input file is gone, oldest first."""
    has_input = exists().where(files.c.file_id == batches.c.input_file_id)
    is_over = or_(batches.c.expires_at <= now, not_(has_input))
    query = select(*_COLUMNS).where(batches.c.status == IN_PROGRESS, is_over).order_by(batches.c.sequence)
    return [_record(row) for row in connection.execute(query)]


def untold_batches(connection: Connection) -> list[BatchRecord]:
    """Batches that have ended, and whose callback has not been made, oldest first."""
    query = select(*_COLUMNS).where(batches.c.callback_pending, batches.c.status.not_in(UNFINISHED))
    return [_record(row) for row in connection.execute(query.order_by(batches.c.sequence))]


def _of_account(account_id: str) -> Select[Any]:
    return select(*_COLUMNS).where(batches.c.account_id == account_id)


def _filtered(query: Select[Any], wanted: BatchFilter) -> Select[Any]:
    if wanted.name_part:
        query = query.where(batches.c.name.contains(wanted.name_part, autoescape=True))
    if wanted.input_file_ids:
        query = query.where(batches.c.input_file_id.in_(wanted.input_file_ids))
    if wanted.statuses:
        query = query.where(batches.c.status.in_(wanted.statuses))
    if wanted.created_after is not None:
        query = query.where(batches.c.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        query = query.where(batches.c.created_at <= wanted.created_before)
    return query


def _record(row: Row[Any]) -> BatchRecord:
    return BatchRecord(*cast("tuple[Any, ...]", row))
