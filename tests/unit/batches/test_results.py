"""Results are on disk before they are counted, whatever the disk does; a crash tears off nothing that was counted."""

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookwheel.batches import results as module
from bookwheel.batches.results import ERRORS, OUTPUT, Results, open_results, result_id
from bookwheel.storage.blobs import sync_folder
from support.scripted_batch import BATCH_ID, results_in, until

Laid = list[tuple[int, bool, str]]

LAID = st.lists(
    st.tuples(st.integers(1, 2**31 - 1), st.booleans(), st.text(max_size=30)),
    max_size=6,
    unique_by=lambda result: result[0],
)


def result(number: int, text: str = "An answer.") -> bytes:
    return json.dumps(
        {"id": result_id(BATCH_ID, number), "custom_id": text, "response": {"body": {"x": 1}}}, separators=(",", ":")
    ).encode()


async def add_all(results: Results, laid: Laid) -> None:
    for number, is_failure, text in laid:
        await results.add(number, result(number, text), is_failure=is_failure)


def numbers_in(folder: Path, name: str) -> list[int]:
    return [int(found["id"].rpartition("_")[2]) for found in results_in(folder / name)]


@pytest.fixture
async def results(tmp_path: Path) -> AsyncIterator[Results]:
    opened = open_results(tmp_path / "batch")
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A fresh folder, each time."""
    base, numbers = tmp_path_factory.mktemp("results"), count()
    return lambda: base / f"batch-{next(numbers)}"


def write_to(folder: Path, laid: Laid) -> set[int]:
    """Open the results, have these added, close; the numbers that were done before."""

    async def write() -> set[int]:
        opened = open_results(folder)
        done = opened.done
        once = {one[0]: one for one in laid if one[0] not in done}
        await add_all(opened, list(once.values()))
        await opened.settle()
        assert (opened.completed, opened.failed) == (len(numbers_in(folder, OUTPUT)), len(numbers_in(folder, ERRORS)))
        await opened.close()
        return done

    return asyncio.run(write())


@settings(max_examples=25)
@given(LAID, LAID, st.data())
def test_a_crash_at_any_byte_leaves_the_whole_results_and_further_ones_follow(
    new_folder: Callable[[], Path], laid: Laid, more: Laid, data: st.DataObject
) -> None:
    folder = new_folder()
    assert write_to(folder, laid) == set()
    expected: set[int] = set()
    for name in (OUTPUT, ERRORS):
        written, numbers = (folder / name).read_bytes(), numbers_in(folder, name)
        cut = data.draw(st.integers(0, len(written)), label=f"bytes of {name} that are left")
        torn = data.draw(st.sampled_from([b"", bytes(7)]), label="and after them")
        (folder / name).write_bytes(written[:cut] + torn)
        expected.update(numbers[: written[:cut].count(b"\n")])
    assert write_to(folder, more + laid) == expected
    done = numbers_in(folder, OUTPUT) + numbers_in(folder, ERRORS)
    assert sorted(done) == sorted({number for number, _, _ in laid + more})


def test_a_result_in_the_middle_that_is_none_ends_what_is_trusted(new_folder: Callable[[], Path]) -> None:
    folder = new_folder()
    write_to(folder, [(1, False, "a"), (2, False, "b"), (3, False, "c")])
    first, second, third = (folder / OUTPUT).read_bytes().splitlines(keepends=True)
    (folder / OUTPUT).write_bytes(first + bytes(len(second) - 1) + b"\n" + third)
    assert write_to(folder, []) == {1}
    assert (folder / OUTPUT).read_bytes() == first


@pytest.mark.parametrize("number", [1, 50_000, 12_345_678, 499_999_999, 2**31 - 1])
def test_the_number_of_a_line_is_found_again_however_large(new_folder: Callable[[], Path], number: int) -> None:
    """Empty lines are counted, so that a file of a few MB may have numbers of eight digits."""
    folder = new_folder()
    write_to(folder, [(number, True, "a")])
    assert write_to(folder, []) == {number}


def test_the_id_of_a_result_is_the_same_whenever_it_is_made() -> None:
    assert result_id(BATCH_ID, 7) == result_id(BATCH_ID, 7)
    assert len({result_id(BATCH_ID, number) for number in range(100)}) == 100


async def test_nothing_is_counted_before_it_is_on_disk(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_sync = threading.Event()
    sync = os.fdatasync

    def wait_and_sync(descriptor: int) -> None:
        assert may_sync.wait(20)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", wait_and_sync)
    await results.add(1, result(1), is_failure=False)
    await until(lambda: numbers_in(tmp_path / "batch", OUTPUT) == [1])
    assert (results.done, results.completed, results.failed) == (set(), 0, 0)
    may_sync.set()
    await results.settle()
    assert (results.done, results.completed, results.failed) == ({1}, 1, 0)


async def test_many_at_once_go_to_disk_in_few_pieces(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fdatasync

    def note_and_sync(descriptor: int) -> None:
        synced.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", note_and_sync)
    adding = (results.add(number, result(number), is_failure=number % 10 == 0) for number in range(1, 1_001))
    await asyncio.gather(*adding)
    await results.settle()
    assert len(synced) <= 6
    assert sorted(numbers_in(tmp_path / "batch", OUTPUT)) == [n for n in range(1, 1_001) if n % 10]
    assert sorted(numbers_in(tmp_path / "batch", ERRORS)) == list(range(10, 1_001, 10))
    assert (results.completed, results.failed) == (900, 100)


async def test_whoever_brings_more_than_the_disk_takes_waits_for_it(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNWRITTEN_BYTES", 1_000)
    await results.add(1, result(1), is_failure=False)
    assert results.done == set()
    await results.add(2, result(2, "x" * 1_000), is_failure=False)
    assert results.done == {1, 2}
    await results.add(3, result(3), is_failure=False)
    assert results.done == {1, 2}


class Disk:
    """A disk that does what it is told and then, so many times, has no room: half of what is written there stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failures = 0
        self.failed = 0
        self._sync, self._write = os.fdatasync, module._write_all
        monkeypatch.setattr(module, "PAUSE_WHERE_DISK_FAILS_SECONDS", 0.001)
        monkeypatch.setattr(os, "fdatasync", self.sync)
        monkeypatch.setattr(module, "_write_all", self.write)
        self.fails_in_write = False

    def write(self, file: Any, data: bytes) -> None:
        if self.fails_in_write and self.failed < self.failures:
            self._write(file, data[: len(data) // 2])
            self._fail()
        self._write(file, data)

    def sync(self, descriptor: int) -> None:
        if not self.fails_in_write and self.failed < self.failures:
            self._fail()
        self._sync(descriptor)

    def _fail(self) -> None:
        self.failed += 1
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("fails_in_write", [True, False], ids=["in the middle of a result", "when all was written"])
@pytest.mark.parametrize("failures", [1, 3])
async def test_a_full_disk_loses_nothing_and_tears_nothing(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, fails_in_write: bool
) -> None:
    disk = Disk(monkeypatch)
    disk.failures, disk.fails_in_write = failures, fails_in_write
    await add_all(results, [(number, number % 2 == 0, "text") for number in range(1, 40)])
    await results.settle()
    assert disk.failed == failures
    assert numbers_in(tmp_path / "batch", OUTPUT) == list(range(1, 40, 2))
    assert numbers_in(tmp_path / "batch", ERRORS) == list(range(2, 40, 2))
    assert results.done == set(range(1, 40))


async def test_a_disk_that_does_not_even_cut_off_what_was_torn_loses_nothing(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.failures, disk.fails_in_write = 2, True
    truncate, refused = os.ftruncate, count()

    def refuse_once(descriptor: int, size_bytes: int) -> None:
        if disk.failed == 1 and next(refused) == 0:
            raise OSError(errno.EIO, "Input/output error")
        truncate(descriptor, size_bytes)

    monkeypatch.setattr(os, "ftruncate", refuse_once)
    await add_all(results, [(number, False, "text") for number in range(1, 10)])
    await results.settle()
    assert numbers_in(tmp_path / "batch", OUTPUT) == list(range(1, 10))


async def test_what_is_being_written_is_on_disk_when_they_are_closed(tmp_path: Path) -> None:
    opened = open_results(tmp_path / "batch")
    await add_all(opened, [(number, number % 3 == 0, "x" * 10_000) for number in range(1, 200)])
    assert len(opened.done) < 199
    await opened.close()
    again = open_results(tmp_path / "batch")
    assert again.done == set(range(1, 200))
    await again.close()


async def test_closing_does_not_wait_for_ever_for_a_disk_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    opened = open_results(tmp_path / "batch")
    await add_all(opened, [(1, False, "a")])
    await opened.settle()
    disk.failures, disk.fails_in_write = 10_000_000, True
    await add_all(opened, [(2, False, "b"), (3, True, "c")])
    await opened.close()
    disk.failures = 0
    again = open_results(tmp_path / "batch")
    assert again.done == {1}
    await add_all(again, [(2, False, "b"), (3, True, "c")])
    await again.settle()
    await again.close()
    assert (numbers_in(tmp_path / "batch", OUTPUT), numbers_in(tmp_path / "batch", ERRORS)) == ([1, 2], [3])


async def test_closing_waits_for_a_thread_that_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes later would stand among the results of those who open them again."""
    monkeypatch.setattr(module, "PAUSE_WHERE_DISK_FAILS_SECONDS", 0.001)
    may_sync, syncing, sync = threading.Event(), threading.Event(), os.fdatasync

    def wait_and_sync(descriptor: int) -> None:
        syncing.set()
        assert may_sync.wait(20)
        sync(descriptor)

    opened = open_results(tmp_path / "batch")
    monkeypatch.setattr(os, "fdatasync", wait_and_sync)
    await add_all(opened, [(1, False, "a")])
    await until(syncing.is_set)
    closing = asyncio.ensure_future(opened.close())
    done, _ = await asyncio.wait([closing], timeout=0.1)
    assert not done
    may_sync.set()
    await closing
    assert opened.done == {1}


async def test_one_who_is_cancelled_while_waiting_for_the_disk_takes_nothing_back(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNWRITTEN_BYTES", 1)
    adding = asyncio.ensure_future(results.add(1, result(1), is_failure=False))
    await asyncio.sleep(0)
    adding.cancel()
    with suppress(asyncio.CancelledError):
        await adding
    await results.settle()
    assert results.done == {1}


async def test_their_folder_is_made_and_its_names_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []

    def note_and_sync(folder: Path) -> None:
        synced.append(folder)
        sync_folder(folder)

    monkeypatch.setattr(module, "sync_folder", note_and_sync)
    opened = open_results(tmp_path / "batches" / "batch")
    await opened.close()
    assert synced == [tmp_path / "batches" / "batch", tmp_path / "batches"]
    assert sorted(path.name for path in synced[0].iterdir()) == [ERRORS, OUTPUT]
