"""The SQL of files: rows in, `FileRecord`s out. Each function runs inside a transaction that its caller holds.

Every query that serves a request names the account, so that another account's file is the same as none.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import sqlite

from bookwheel.storage.tables import accounts, files

UPLOADED = "uploaded"
PROCESSED = "processed"
ERROR = "error"
ATTACHED = "file-data"
"""The purpose of files that came with a question: no listing shows them, and no count of files has them."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One row of `files`. Times are Unix seconds; `report` is the JSON of a `wire.files.ParseReport`."""

    sequence: int
    file_id: str
    account_id: str
    purpose: str
    filename: str
    size_bytes: int
    sha256: str
    created_at: int
    expires_at: int | None
    status: str
    status_details: str | None
    attempts: int
    file_type: str | None
    characters: int | None
    tokens: int | None
    report: str | None


@dataclass(frozen=True, slots=True)
class AccountUsage:
    """What an account keeps."""

    file_count: int
    file_bytes: int


_COLUMNS = tuple(files.c[name] for name in FileRecord.__dataclass_fields__)
_BY_IDS = select(*_COLUMNS).where(
    files.c.account_id == bindparam("account_id"), files.c.file_id.in_(bindparam("file_ids", expanding=True))
)


def reserve_room(connection: Connection, account_id: str, size_bytes: int, now: int, in_count: int = 1) -> AccountUsage:
    """Count one more file of `size_bytes` to the account, and return its usage with it. Makes the account if need be.

    `in_count` is 0 for one whose bytes alone count.
    """
    row = {"account_id": account_id, "created_at": now, "file_count": in_count, "file_bytes": size_bytes}
    counted = sqlite.insert(accounts).values(row)
    statement = counted.on_conflict_do_update(
        index_elements=[accounts.c.account_id],
        set_={"file_count": accounts.c.file_count + in_count, "file_bytes": accounts.c.file_bytes + size_bytes},
    ).returning(accounts.c.file_count, accounts.c.file_bytes)
    return AccountUsage(*connection.execute(statement).one())


def account_usage(connection: Connection, account_id: str) -> AccountUsage:
    """What the account keeps now; zeros for one that never kept anything."""
    query = select(accounts.c.file_count, accounts.c.file_bytes).where(accounts.c.account_id == account_id)
    row = connection.execute(query).one_or_none()
    return AccountUsage(*row) if row else AccountUsage(0, 0)


def count_attached(connection: Connection, account_id: str) -> int:
    """How many files that came with questions the account has. O(their number)."""
    query = select(func.count()).where(files.c.account_id == account_id, files.c.purpose == ATTACHED)
    return connection.execute(query).scalar_one()


def insert_file(connection: Connection, **values: Any) -> None:
    """Add a row. `values` are the columns but `sequence`."""
    connection.execute(insert(files).values(**values))


def find_files(connection: Connection, account_id: str, file_ids: Collection[str]) -> dict[str, FileRecord]:
    """Those of the files that the account owns, by id."""
    rows = connection.execute(_BY_IDS, {"account_id": account_id, "file_ids": list(file_ids)})
    return {row.file_id: _record(row) for row in rows}


def find_attached(
    connection: Connection, account_id: str, sha256: str, filename: str, alive_at: int
) -> FileRecord | None:
    """The account's file that came with a question, has that content and name, and is not expired at that time."""
    query = (
        select(*_COLUMNS)
        .where(files.c.account_id == account_id, files.c.sha256 == sha256, files.c.filename == filename)
        .where(files.c.purpose == ATTACHED, _not_expired(alive_at))
        .order_by(files.c.sequence.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return _record(row) if row else None


def set_expiry(connection: Connection, file_id: str, expires_at: int) -> bool:
    """Set when a file's time is over; False when the file is gone."""
    statement = update(files).where(files.c.file_id == file_id).values(expires_at=expires_at)
    return connection.execute(statement).rowcount == 1


def list_files(
    connection: Connection,
    account_id: str,
    *,
    after: str | None,
    limit: int,
    descending: bool,
    purposes: Collection[str],
    now: int,
) -> list[FileRecord] | None:
    """A page of the account's files by `created_at`, ties by the order of upload; None when `after` is not its file.

    Keyset pagination: the cost does not grow with the number of files before the page.
    """
    query = select(*_COLUMNS).where(files.c.account_id == account_id, files.c.purpose != ATTACHED, _not_expired(now))
    if purposes:
        query = query.where(files.c.purpose.in_(purposes))
    if after is not None:
        cursor = find_files(connection, account_id, [after]).get(after)
        if cursor is None or cursor.purpose == ATTACHED:
            return None
        query = query.where(_beyond(cursor, descending=descending))
    order = [files.c.created_at, files.c.sequence]
    query = query.order_by(*(column.desc() if descending else column.asc() for column in order)).limit(limit)
    return [_record(row) for row in connection.execute(query)]


def delete_file(connection: Connection, account_id: str, file_id: str) -> bool:
    """Remove the row and give its room back; False when the account has no such file."""
    statement = (
        delete(files)
        .where(files.c.account_id == account_id, files.c.file_id == file_id)
        .returning(files.c.size_bytes, files.c.purpose)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        return False
    counted = 0 if row.purpose == ATTACHED else 1
    connection.execute(
        update(accounts)
        .where(accounts.c.account_id == account_id)
        .values(file_count=accounts.c.file_count - counted, file_bytes=accounts.c.file_bytes - row.size_bytes)
    )
    return True


def begin_attempt(connection: Connection, file_id: str) -> FileRecord | None:
    """Count one more attempt at a file that is still `uploaded`, and return it; None when it is gone or done."""
    statement = (
        update(files)
        .where(files.c.file_id == file_id, files.c.status == UPLOADED)
        .values(attempts=files.c.attempts + 1)
        .returning(*_COLUMNS)
    )
    row = connection.execute(statement).one_or_none()
    return _record(row) if row else None


def undo_attempt(connection: Connection, file_id: str) -> None:
    """Take back an attempt that was stopped for reasons of ours."""
    connection.execute(update(files).where(files.c.file_id == file_id).values(attempts=files.c.attempts - 1))


def finish_file(
    connection: Connection,
    file_id: str,
    *,
    status: str,
    details: str | None = None,
    file_type: str | None = None,
    characters: int | None = None,
    tokens: int | None = None,
    report: str | None = None,
) -> bool:
    """Set the outcome of an ingest; False when the file was deleted meanwhile."""
    statement = (
        update(files)
        .where(files.c.file_id == file_id)
        .values(
            status=status,
            status_details=details,
            file_type=file_type,
            characters=characters,
            tokens=tokens,
            report=report,
        )
    )
    return connection.execute(statement).rowcount == 1


def unfinished_file_ids(connection: Connection) -> list[str]:
    """Files still `uploaded`, oldest first."""
    query = select(files.c.file_id).where(files.c.status == UPLOADED).order_by(files.c.sequence)
    return list(connection.scalars(query))


def find_processed(connection: Connection, file_id: str) -> FileRecord | None:
    """A file that was read, whosever it is: for what is made of it behind the requests."""
    query = select(*_COLUMNS).where(files.c.file_id == file_id, files.c.status == PROCESSED)
    row = connection.execute(query).one_or_none()
    return _record(row) if row else None


def processed_documents(connection: Connection) -> list[tuple[str, int]]:
    """(file, tokens) of every document that was read, oldest first."""
    query = select(files.c.file_id, files.c.tokens).where(files.c.status == PROCESSED, files.c.tokens.is_not(None))
    return [(row.file_id, row.tokens) for row in connection.execute(query.order_by(files.c.sequence))]


def expired_files(connection: Connection, now: int) -> list[tuple[str, str]]:
    """(account, file) of those whose time is over."""
    query = select(files.c.account_id, files.c.file_id).where(files.c.expires_at <= now)
    return [(row.account_id, row.file_id) for row in connection.execute(query)]


def existing_file_ids(connection: Connection, file_ids: Iterable[str]) -> set[str]:
    """Those of the ids that have a row, whosever they are."""
    return set(connection.scalars(select(files.c.file_id).where(files.c.file_id.in_(list(file_ids)))))


def _beyond(cursor: FileRecord, *, descending: bool) -> Any:
    created, sequence = files.c.created_at, files.c.sequence
    if descending:
        later_half = and_(created == cursor.created_at, sequence < cursor.sequence)
        return or_(created < cursor.created_at, later_half)
    return or_(created > cursor.created_at, and_(created == cursor.created_at, sequence > cursor.sequence))


def _not_expired(now: int) -> Any:
    return or_(files.c.expires_at.is_(None), files.c.expires_at > now)


def _record(row: Row[Any]) -> FileRecord:
    return FileRecord(*cast("tuple[Any, ...]", row))
