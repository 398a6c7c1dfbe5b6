"""The stores that everything stands on: migrations, transactions, pages that hold still, and blobs that come and go whole."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import IntegrityError

from bookwheel.storage import batches as batch_rows
from bookwheel.storage import files as rows
from bookwheel.storage.batches import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    FINALIZING,
    IN_PROGRESS,
    UNFINISHED,
    VALIDATING,
    BatchFilter,
    BatchRecord,
    ResultFile,
)
from bookwheel.storage.blobs import BLOCKS, ORIGINAL, TEXT, Blobs
from bookwheel.storage.database import MIGRATIONS, Database
from bookwheel.storage.files import ATTACHED, PROCESSED, UPLOADED, AccountUsage
from bookwheel.storage.tables import metadata


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "bookwheel.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path)


class TestMigrations:
    def test_make_exactly_the_tables_of_the_code(self, database: Database, tmp_path: Path) -> None:
        engine = create_engine(f"sqlite:///{tmp_path / 'bookwheel.db'}")
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, metadata) == []
            made = {table.name: table for table in metadata.sorted_tables}
            for name, table in made.items():
                found = {row[1]: not row[3] for row in connection.exec_driver_sql(f"PRAGMA table_info({name})")}
                assert found == {column.name: column.nullable for column in table.columns}
        engine.dispose()

    def test_every_table_names_its_account(self) -> None:
        assert [table.name for table in metadata.sorted_tables if "account_id" not in table.columns] == []

    async def test_run_twice_keep_every_row(self, database: Database) -> None:
        await database.write(lambda c: _insert(c, "file-fe-1"))
        database.migrate()
        assert await database.read(lambda c: rows.existing_file_ids(c, ["file-fe-1"])) == {"file-fe-1"}

    async def test_of_a_database_from_before_there_were_batches_keep_every_row(self, tmp_path: Path) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        engine = create_engine(f"sqlite:///{tmp_path / 'kept.db'}")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0003")
            _insert(connection, "file-fe-1")
        engine.dispose()
        database = Database(tmp_path / "kept.db")
        database.migrate()
        assert await database.read(lambda c: rows.existing_file_ids(c, ["file-fe-1"])) == {"file-fe-1"}
        batch = await database.write(lambda c: _insert_batch(c, "batch_1"))
        assert await database.read(lambda c: batch_rows.find_batch(c, "ann", "batch_1")) == batch
        database.close()

    async def test_of_a_database_that_was_closed_keep_every_row(self, tmp_path: Path) -> None:
        for number in range(2):
            database = Database(tmp_path / "kept.db")
            database.migrate()
            await database.write(lambda c, number=number: _insert(c, f"file-fe-{number}"))  # type: ignore[misc]
            found = await database.read(lambda c: rows.existing_file_ids(c, ["file-fe-0", "file-fe-1"]))
            assert len(found) == number + 1
            database.close()


class TestTransactions:
    async def test_are_on_disk_for_another_connection_when_write_returns(
        self, database: Database, tmp_path: Path
    ) -> None:
        await database.write(lambda c: _insert(c, "file-fe-1"))
        with closing(sqlite3.connect(tmp_path / "bookwheel.db")) as other:
            assert other.execute("SELECT file_id FROM files").fetchall() == [("file-fe-1",)]

    async def test_that_raise_change_nothing(self, database: Database) -> None:
        def change(connection: Connection) -> None:
            _insert(connection, "file-fe-1")
            raise RuntimeError("in the middle")

        with pytest.raises(RuntimeError, match="in the middle"):
            await database.write(change)
        assert await database.read(lambda c: rows.account_usage(c, "ann")) == AccountUsage(0, 0)
        assert await database.read(rows.unfinished_file_ids) == []

    async def test_go_on_when_their_caller_is_cancelled(self, database: Database) -> None:
        writing = asyncio.ensure_future(database.write(lambda c: _insert(c, "file-fe-1")))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await database.write(lambda _: None)
        found = await database.read(rows.unfinished_file_ids)
        assert found in ([], ["file-fe-1"])
        assert (await database.read(lambda c: rows.account_usage(c, "ann"))).file_count == len(found)

    async def test_of_many_writers_lose_no_count(self, database: Database) -> None:
        ids = [f"file-fe-{number}" for number in range(60)]
        await asyncio.gather(*(database.write(lambda c, i=i: _insert(c, i)) for i in ids))  # type: ignore[misc]
        assert await database.read(lambda c: rows.account_usage(c, "ann")) == AccountUsage(60, 600)
        deletions = (database.write(lambda c, i=i: rows.delete_file(c, "ann", i)) for i in ids * 2)  # type: ignore[misc]
        assert sum(await asyncio.gather(*deletions)) == 60
        assert await database.read(lambda c: rows.account_usage(c, "ann")) == AccountUsage(0, 0)

    async def test_keep_files_without_an_account_out(self, database: Database) -> None:
        def change(connection: Connection) -> None:
            rows.insert_file(connection, **_row("file-fe-1", "nobody"))

        with pytest.raises(IntegrityError):
            await database.write(change)


class TestPages:
    @pytest.mark.parametrize("descending", [False, True])
    async def test_hold_still_while_others_insert_and_delete(self, database: Database, descending: bool) -> None:
        """Whatever was there all the time is listed once, in order; ties are many."""
        steady = [f"steady-{number:03}" for number in range(90)]
        for number, file_id in enumerate(steady):
            await database.write(lambda c, i=file_id, at=number // 30: _insert(c, i, created_at=1_000 + at))  # type: ignore[misc]
        stop = asyncio.Event()
        disturbing = asyncio.ensure_future(_disturb(database, stop))
        listed = [file_id async for file_id in _walk(database, descending)]
        stop.set()
        await disturbing
        seen = [file_id for file_id in listed if file_id.startswith("steady")]
        assert seen == (steady[::-1] if descending else steady)
        assert len(listed) == len(set(listed))

    async def test_of_one_account_never_begin_after_another_s_file(self, database: Database) -> None:
        await database.write(lambda c: _insert(c, "file-fe-1", "ann"))
        await database.write(lambda c: _insert(c, "file-fe-2", "ben"))
        assert await database.read(lambda c: _page(c, "ben", after="file-fe-1")) is None
        assert await database.read(lambda c: _page(c, "ben", after="file-fe-none")) is None
        assert await database.read(lambda c: _page(c, "ben", after="file-fe-2")) == []

    async def test_leave_out_what_has_expired(self, database: Database) -> None:
        await database.write(lambda c: _insert(c, "over", expires_at=4_999))
        await database.write(lambda c: _insert(c, "now", expires_at=5_000))
        await database.write(lambda c: _insert(c, "later", expires_at=5_001))
        assert [f.file_id for f in await database.read(lambda c: _page(c, "ann")) or []] == ["later"]
        assert await database.read(lambda c: rows.expired_files(c, 5_000)) == [("ann", "over"), ("ann", "now")]

    async def test_are_found_by_an_index_and_not_by_sorting(self, database: Database, tmp_path: Path) -> None:
        await database.write(lambda c: _insert(c, "file-fe-1"))
        statement = "SELECT * FROM files WHERE account_id = 'ann' ORDER BY created_at DESC, sequence DESC LIMIT 20"
        with closing(sqlite3.connect(tmp_path / "bookwheel.db")) as connection:
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall())
        assert "USING INDEX ix_files_account_id_created_at_sequence" in plan
        assert "TEMP B-TREE" not in plan


class TestAttachedRows:
    """Files that came with questions."""

    async def test_are_found_by_account_content_and_name_while_they_last(self, database: Database) -> None:
        put: dict[str, Any] = {"purpose": ATTACHED, "sha256": "a" * 64, "expires_at": 5_000}
        await database.write(lambda c: _insert(c, "over", **put))
        await database.write(lambda c: _insert(c, "first", **put | {"expires_at": 6_000}))
        await database.write(lambda c: _insert(c, "newest", **put | {"expires_at": 6_000}))
        await database.write(lambda c: _insert(c, "uploaded", sha256="a" * 64))
        await database.write(lambda c: _insert(c, "ben's", "ben", **put | {"expires_at": 7_000}))

        async def find(
            account_id: str = "ann", sha256: str = "a" * 64, name: str = "a.txt", at: int = 5_000
        ) -> str | None:
            found = await database.read(lambda c: rows.find_attached(c, account_id, sha256, name, at))
            return found.file_id if found else None

        assert await find() == "newest"
        assert await find(account_id="ben", at=6_999) == "ben's"
        assert [await find(at=6_000), await find("eve"), await find(sha256="b" * 64), await find(name="b")] == [
            None
        ] * 4
        assert await database.read(lambda c: rows.count_attached(c, "ann")) == 3

    async def test_are_found_by_an_index(self, database: Database, tmp_path: Path) -> None:
        statement = f"SELECT * FROM files WHERE account_id = 'ann' AND sha256 = '{'a' * 64}' AND purpose = 'file-data'"
        with closing(sqlite3.connect(tmp_path / "bookwheel.db")) as connection:
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall())
        assert "USING INDEX ix_files_account_id_sha256" in plan

    async def test_are_in_no_listing_and_no_cursor(self, database: Database) -> None:
        await database.write(lambda c: _insert(c, "attached", purpose=ATTACHED))
        await database.write(lambda c: _insert(c, "listed"))
        assert [file.file_id for file in await database.read(lambda c: _page(c, "ann")) or []] == ["listed"]
        assert await database.read(lambda c: _page(c, "ann", after="attached")) is None

    async def test_count_with_their_bytes_and_not_among_the_files(self, database: Database) -> None:
        await database.write(lambda c: rows.reserve_room(c, "ann", 10, 1_000, in_count=0))
        await database.write(lambda c: rows.insert_file(c, **_row("file-fe-1", purpose=ATTACHED)))
        assert await database.read(lambda c: rows.account_usage(c, "ann")) == AccountUsage(0, 10)
        assert await database.write(lambda c: rows.delete_file(c, "ann", "file-fe-1"))
        assert await database.read(lambda c: rows.account_usage(c, "ann")) == AccountUsage(0, 0)

    async def test_end_when_they_are_told_to(self, database: Database) -> None:
        await database.write(lambda c: _insert(c, "file-fe-1", purpose=ATTACHED))
        assert await database.write(lambda c: rows.set_expiry(c, "file-fe-1", 4_000))
        assert await database.read(lambda c: rows.expired_files(c, 4_000)) == [("ann", "file-fe-1")]
        assert not await database.write(lambda c: rows.set_expiry(c, "file-fe-none", 4_000))


class TestIngestRows:
    async def test_an_attempt_is_counted_before_the_work(self, database: Database) -> None:
        await database.write(lambda c: _insert(c, "file-fe-1"))
        counted = [await database.write(lambda c: rows.begin_attempt(c, "file-fe-1")) for _ in range(2)]
        assert [file.attempts for file in counted if file] == [1, 2]

    async def test_there_is_no_attempt_at_a_file_that_is_done_or_gone(self, database: Database) -> None:
        await database.write(lambda c: _insert(c, "file-fe-1"))
        assert await database.write(lambda c: rows.finish_file(c, "file-fe-1", status=PROCESSED, tokens=3))
        assert await database.write(lambda c: rows.begin_attempt(c, "file-fe-1")) is None
        assert await database.write(lambda c: rows.begin_attempt(c, "file-fe-none")) is None
        assert not await database.write(lambda c: rows.finish_file(c, "file-fe-none", status=PROCESSED))

    async def test_numbers_of_deleted_rows_are_not_given_again(self, database: Database) -> None:
        """A page's cursor would point to another file otherwise."""
        await database.write(lambda c: _insert(c, "first"))
        first = (await database.read(lambda c: rows.find_files(c, "ann", ["first"])))["first"]
        await database.write(lambda c: rows.delete_file(c, "ann", "first"))
        await database.write(lambda c: _insert(c, "second"))
        second = (await database.read(lambda c: rows.find_files(c, "ann", ["second"])))["second"]
        assert second.sequence > first.sequence


class TestBatchRows:
    async def test_are_as_they_were_put_in(self, database: Database) -> None:
        values: dict[str, Any] = {
            "metadata": '{"a": "b"}',
            "callback_url": "https://x.com",
            "callback_pending": True,
            "output_seconds": 9,
        }
        record = await database.write(lambda c: _insert_batch(c, "batch_1", **values))
        assert {name: getattr(record, name) for name in values} == values
        assert (record.status, record.total, record.errors, record.output_file_id) == (VALIDATING, 0, None, None)
        assert await database.read(lambda c: batch_rows.get_batch(c, "batch_1")) == record
        assert await database.read(lambda c: batch_rows.get_batch(c, "batch_2")) is None

    async def test_are_their_account_s_alone(self, database: Database) -> None:
        await database.write(lambda c: _insert_batch(c, "batch_1", "ann"))
        await database.write(lambda c: _insert_batch(c, "batch_2", "ben"))
        assert await database.read(lambda c: batch_rows.find_batch(c, "ben", "batch_1")) is None
        assert await database.read(lambda c: _batch_page(c, "ben")) == ["batch_2"]
        assert await database.read(lambda c: _batch_page(c, "ben", after="batch_1")) is None
        assert await database.read(lambda c: _batch_page(c, "ben", after="batch_none")) is None
        assert await database.read(lambda c: _batch_page(c, "ben", after="batch_2")) == []

    async def test_need_an_account(self, database: Database) -> None:
        with pytest.raises(IntegrityError):
            await database.write(lambda c: batch_rows.insert_batch(c, **_batch_row("batch_1", "nobody")))

    async def test_are_listed_newest_first_and_hold_still_while_others_come(self, database: Database) -> None:
        """Ties are many: thirty batches of each second."""
        ids = [f"batch_{number:03}" for number in range(60)]
        for number, batch_id in enumerate(ids):
            await database.write(lambda c, i=batch_id, at=number // 30: _insert_batch(c, i, created_at=1_000 + at))  # type: ignore[misc]
        listed: list[str] = []
        after: str | None = None
        while page := await database.read(lambda c, at=after: _batch_page(c, "ann", after=at)):  # type: ignore[misc]
            listed += page
            after = page[-1]
            await database.write(lambda c, at=after: _insert_batch(c, f"after {at}", created_at=1_001))  # type: ignore[misc]
        assert listed == ids[::-1]

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (BatchFilter(), "dcba"),
            (BatchFilter(name_part="night"), "ba"),
            (BatchFilter(name_part="NIGHT SHIFT"), "a"),
            (BatchFilter(name_part="100%"), "c"),
            (BatchFilter(name_part="%"), "c"),
            (BatchFilter(name_part="_"), "d"),
            (BatchFilter(name_part="\\"), ""),
            (BatchFilter(input_file_ids=("file-a", "file-d")), "da"),
            (BatchFilter(statuses=(VALIDATING,)), "dc"),
            (BatchFilter(statuses=(VALIDATING, COMPLETED)), "dcb"),
            (BatchFilter(created_after=1_002), "dc"),
            (BatchFilter(created_before=1_002), "cba"),
            (BatchFilter(created_after=1_001, created_before=1_002), "cb"),
            (BatchFilter(created_after=2**62), ""),
            (BatchFilter(name_part="night", statuses=(COMPLETED,), created_after=1_001), "b"),
        ],
    )
    async def test_are_listed_as_the_filter_says(self, database: Database, wanted: BatchFilter, found: str) -> None:
        laid = {
            "a": ("Night shift", IN_PROGRESS),
            "b": ("over night", COMPLETED),
            "c": ("100% of it", VALIDATING),
            "d": ("day_1", VALIDATING),
        }
        for number, (letter, (name, status)) in enumerate(laid.items()):
            values = {"name": name, "status": status, "input_file_id": f"file-{letter}", "created_at": 1_000 + number}
            await database.write(lambda c, i=letter, v=values: _insert_batch(c, i, **v))  # type: ignore[misc]
        assert await database.read(lambda c: _batch_page(c, "ann", wanted)) == list(found)
        if found:
            after = await database.read(lambda c: _batch_page(c, "ann", wanted, after=found[0]))
            assert after == list(found[1:])

    async def test_are_listed_by_an_index(self, database: Database, tmp_path: Path) -> None:
        statement = "SELECT * FROM batches WHERE account_id = 'ann' ORDER BY created_at DESC, sequence DESC LIMIT 3"
        with closing(sqlite3.connect(tmp_path / "bookwheel.db")) as connection:
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall())
        assert "USING INDEX ix_batches_account_id_created_at_sequence" in plan
        assert "TEMP B-TREE" not in plan

    async def test_change_only_from_the_statuses_that_are_named(self, database: Database) -> None:
        await database.write(lambda c: _insert_batch(c, "batch_1"))
        await database.write(lambda c: _insert_batch(c, "batch_2"))

        async def change(*statuses: str, **values: Any) -> BatchRecord | None:
            return await database.write(lambda c: batch_rows.change_batch(c, "batch_1", statuses, **values))

        assert await change(IN_PROGRESS, CANCELLING, status=COMPLETED) is None
        changed = await change(VALIDATING, IN_PROGRESS, status=IN_PROGRESS, total=3)
        assert changed is not None
        assert (changed.status, changed.total) == (IN_PROGRESS, 3)
        assert await change(VALIDATING, status=FAILED) is None
        assert await database.read(lambda c: batch_rows.get_batch(c, "batch_1")) == changed
        other = await database.read(lambda c: batch_rows.get_batch(c, "batch_2"))
        assert other is not None
        assert (other.status, other.total) == (VALIDATING, 0)
        assert await database.write(lambda c: batch_rows.change_batch(c, "batch_3", UNFINISHED, total=1)) is None

    async def test_end_together_with_their_files(self, database: Database) -> None:
        record = await database.write(lambda c: _insert_batch(c, "batch_1", status=FINALIZING, output_seconds=50))
        output, errors = ResultFile("file-o", "o.jsonl", 30, "1" * 64), ResultFile("file-e", "e.jsonl", 5, "2" * 64)
        change = {"status": COMPLETED, "completed": 2, "failed": 1}
        ended = await database.write(lambda c: batch_rows.end_batch(c, record, output, errors, 2_000, change))
        assert (ended.status, ended.output_file_id, ended.error_file_id) == (COMPLETED, "file-o", "file-e")
        found = await database.read(lambda c: rows.find_files(c, "ann", ["file-o", "file-e"]))
        kept = [(file.purpose, file.filename, file.size_bytes, file.status) for file in found.values()]
        assert sorted(kept) == [
            ("batch_output", "e.jsonl", 5, PROCESSED),
            ("batch_output", "o.jsonl", 30, PROCESSED),
        ]
        assert {file.expires_at for file in found.values()} == {2_050}
        assert await database.read(lambda c: rows.account_usage(c, "ann")) == AccountUsage(2, 35)

    async def test_end_once_and_then_leave_no_second_files(self, database: Database) -> None:
        record = await database.write(lambda c: _insert_batch(c, "batch_1", status=COMPLETED))
        output = ResultFile("file-o", "o.jsonl", 30, "1" * 64)
        with pytest.raises(AssertionError):
            await database.write(lambda c: batch_rows.end_batch(c, record, output, None, 2_000, {"status": COMPLETED}))
        assert await database.read(lambda c: rows.existing_file_ids(c, ["file-o"])) == set()
        assert await database.read(lambda c: rows.account_usage(c, "ann")) == AccountUsage(0, 0)

    async def test_that_are_unfinished_or_untold_are_found_at_the_start(self, database: Database) -> None:
        statuses = [*sorted(UNFINISHED), COMPLETED, FAILED, EXPIRED, CANCELLED]
        for status in statuses:
            await database.write(lambda c, s=status: _insert_batch(c, s, status=s, callback_pending=s != FAILED))  # type: ignore[misc]
        unfinished = await database.read(batch_rows.unfinished_batches)
        untold = await database.read(batch_rows.untold_batches)
        assert [record.batch_id for record in unfinished] == sorted(UNFINISHED)
        assert [record.batch_id for record in untold] == [COMPLETED, EXPIRED, CANCELLED]


class TestBlobs:
    async def test_of_a_batch_stand_as_a_file_when_its_folder_is_gone(self, blobs: Blobs, tmp_path: Path) -> None:
        folder = blobs.batch_folder("batch_1")
        folder.mkdir()
        (folder / "output.jsonl").write_bytes(b"{}\n")
        await blobs.adopt(folder / "output.jsonl", "file-o")
        await blobs.delete_batch_folder("batch_1")
        await blobs.delete_batch_folder("batch_none")
        assert not folder.exists()
        assert blobs.path("file-o", ORIGINAL).read_bytes() == b"{}\n"
        assert list((tmp_path / "incoming").iterdir()) == []

    async def test_of_batches_that_have_ended_are_swept(self, blobs: Blobs) -> None:
        for batch_id in ("batch_1", "batch_2", "batch_3"):
            blobs.batch_folder(batch_id).mkdir()
            (blobs.batch_folder(batch_id) / "output.jsonl").write_bytes(b"{}\n")
        assert blobs.sweep_batches({"batch_2", "batch_none"}) == 2
        assert [blobs.batch_folder(f"batch_{number}").exists() for number in (1, 2, 3)] == [False, True, False]

    async def test_are_kept_whole_and_hashed(self, blobs: Blobs, tmp_path: Path) -> None:
        incoming = blobs.new_incoming()
        for piece in (b"first ", b"second"):
            await incoming.write(piece)
        assert (incoming.size_bytes, incoming.sha256) == (12, sha256(b"first second").hexdigest())
        await blobs.keep(incoming.path, "file-fe-1", ORIGINAL)
        assert blobs.path("file-fe-1", ORIGINAL).read_bytes() == b"first second"
        incoming.discard()
        assert blobs.path("file-fe-1", ORIGINAL).exists()
        assert list((tmp_path / "incoming").iterdir()) == []

    async def test_that_are_discarded_are_gone(self, blobs: Blobs, tmp_path: Path) -> None:
        incoming = blobs.new_incoming()
        await incoming.write(b"half")
        incoming.discard()
        incoming.discard()
        assert list((tmp_path / "incoming").iterdir()) == []

    async def test_of_one_file_are_deleted_together_and_alone(self, blobs: Blobs) -> None:
        for file_id in ("file-fe-1", "file-fe-2"):
            for name in (ORIGINAL, TEXT, BLOCKS):
                await _keep(blobs, file_id, name)
        await blobs.delete("file-fe-1")
        await blobs.delete("file-fe-none")
        assert not blobs.path("file-fe-1", TEXT).parent.exists()
        assert all(blobs.path("file-fe-2", name).exists() for name in (ORIGINAL, TEXT, BLOCKS))

    async def test_that_nobody_finished_are_swept(self, blobs: Blobs, tmp_path: Path) -> None:
        await _keep(blobs, "file-fe-1", ORIGINAL)
        interrupted = blobs.new_incoming()
        await interrupted.write(b"half an upload")
        blobs.new_incoming_path().write_bytes(b"half a text")
        assert blobs.sweep_incoming() == 2
        interrupted.discard()
        assert list((tmp_path / "incoming").iterdir()) == []
        assert blobs.path("file-fe-1", ORIGINAL).exists()

    async def test_are_listed_by_their_files(self, blobs: Blobs) -> None:
        ids = {f"file-fe-{number}" for number in range(20)}
        for file_id in ids:
            await _keep(blobs, file_id, ORIGINAL)
        assert {folder.name for shard in blobs.folders() for folder in shard} == ids


def _row(file_id: str, account_id: str = "ann", **values: Any) -> dict[str, Any]:
    row = {"purpose": "user_data", "filename": "a.txt", "size_bytes": 10, "sha256": "0" * 64, "created_at": 1_000}
    return row | {"file_id": file_id, "account_id": account_id, "status": UPLOADED, "attempts": 0} | values


def _insert(connection: Connection, file_id: str, account_id: str = "ann", **values: Any) -> None:
    rows.reserve_room(connection, account_id, 10, now=1_000)
    rows.insert_file(connection, **_row(file_id, account_id, **values))


def _batch_row(batch_id: str, account_id: str = "ann", **values: Any) -> dict[str, Any]:
    row = {"input_file_id": "file-batch-1", "endpoint": "/v1/chat/completions", "completion_window": "24h", "name": ""}
    row |= {"batch_id": batch_id, "account_id": account_id, "status": VALIDATING}
    counts = dict.fromkeys(("total", "completed", "failed"), 0)
    return row | counts | {"callback_pending": False, "created_at": 1_000, "expires_at": 90_000} | values


def _insert_batch(connection: Connection, batch_id: str, account_id: str = "ann", **values: Any) -> BatchRecord:
    rows.reserve_room(connection, account_id, 0, now=1_000, in_count=0)
    return batch_rows.insert_batch(connection, **_batch_row(batch_id, account_id, **values))


def _batch_page(
    connection: Connection,
    account_id: str,
    wanted: BatchFilter | None = None,
    *,
    after: str | None = None,
    limit: int = 7,
) -> list[str] | None:
    """The ids of a page of batches."""
    found = batch_rows.list_batches(connection, account_id, wanted or BatchFilter(), after=after, limit=limit)
    return None if found is None else [record.batch_id for record in found]


def _page(
    connection: Connection, account_id: str, *, after: str | None = None, limit: int = 7, descending: bool = False
) -> list[rows.FileRecord] | None:
    return rows.list_files(
        connection, account_id, after=after, limit=limit, descending=descending, purposes=[], now=5_000
    )


async def _walk(database: Database, descending: bool) -> AsyncIterator[str]:
    """All pages, a few files each. One goes on after the last steady file: the others may be gone by then."""
    after: str | None = None
    while True:
        page = await database.read(lambda c, at=after: _page(c, "ann", after=at, descending=descending))  # type: ignore[misc]
        ids = [file.file_id for file in page or ()]
        steady = [number for number, file_id in enumerate(ids) if file_id.startswith("steady")]
        if not steady:
            return
        for file_id in ids[: steady[-1] + 1]:
            yield file_id
        after = ids[steady[-1]]


async def _disturb(database: Database, stop: asyncio.Event) -> None:
    """Files come and go at both ends and in the middle."""
    number = 0
    while not stop.is_set():
        at = 999 + number % 5
        await database.write(lambda c, i=number, t=at: _insert(c, f"other-{i}", created_at=t))  # type: ignore[misc]
        if number >= 3:
            await database.write(lambda c, i=number - 3: rows.delete_file(c, "ann", f"other-{i}"))  # type: ignore[misc]
        number += 1


async def _keep(blobs: Blobs, file_id: str, name: str) -> None:
    incoming = blobs.new_incoming()
    await incoming.write(name.encode())
    await blobs.keep(incoming.path, file_id, name)
    incoming.discard()
