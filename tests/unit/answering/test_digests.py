"""What was read once is kept with its file, and goes with it."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from bookwheel.answering import digests as module
from bookwheel.answering.digests import Digest, Digests, digest_name
from bookwheel.storage.blobs import Blobs

FILE = "file-fe-a"
OTHER = "file-fe-b"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """Blobs with the folders of two files."""
    blobs = Blobs(tmp_path)
    for file_id in (FILE, OTHER):
        blobs.path(file_id, "text").parent.mkdir(parents=True)
        blobs.path(file_id, "text").write_text("text")
    return blobs


def kept_files(blobs: Blobs, file_id: str = FILE) -> list[Path]:
    return sorted(blobs.path(file_id, "digests").glob("*"))


async def test_a_digest_is_found_again_by_another_process(blobs: Blobs) -> None:
    await Digests(blobs).keep((FILE,), "name", Digest("- a", is_cut=True))
    assert await Digests(blobs).find((FILE,), "name") == Digest("- a", is_cut=True)
    assert await Digests(blobs).find((FILE,), "other name") is None
    assert await Digests(blobs).find((OTHER,), "name") is None


async def test_its_file_is_its_owners_alone(blobs: Blobs) -> None:
    await Digests(blobs).keep((FILE,), "name", Digest("- a"))
    [path] = kept_files(blobs)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_what_is_about_several_files_or_given_inline_stays_in_memory(blobs: Blobs) -> None:
    digests = Digests(blobs)
    for owners in ((FILE, OTHER), (None,), (FILE, None)):
        await digests.keep(owners, "name", Digest("- a"))
        assert await digests.find(owners, "name") == Digest("- a")
        assert await Digests(blobs).find(owners, "name") is None
    assert kept_files(blobs) == kept_files(blobs, OTHER) == []


async def test_a_deleted_file_is_not_made_again(blobs: Blobs) -> None:
    await blobs.delete(FILE)
    await Digests(blobs).keep((FILE,), "name", Digest("- a"))
    assert not blobs.path(FILE, "text").parent.exists()


async def test_nothing_is_kept_of_a_file_that_is_being_deleted(blobs: Blobs) -> None:
    digests = Digests(blobs)
    await digests.keep((FILE, OTHER), "name", Digest("- a"))
    digests.forget(FILE)
    assert await digests.find((FILE, OTHER), "name") is None
    await digests.keep((FILE, OTHER), "name", Digest("- a"))
    await digests.keep((FILE,), "name", Digest("- a"))
    assert await digests.find((FILE, OTHER), "name") is None
    assert kept_files(blobs) == []


async def test_a_digest_that_is_written_while_its_file_is_deleted_goes_too(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = Digests(blobs)
    write = module._write

    def write_late(folder: Path, *rest: object) -> None:
        digests.forget(FILE)  # the deletion has begun, and gone past the folder of digests already
        blobs.path(FILE, "text").unlink()
        write(folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_write", write_late)
    await digests.keep((FILE,), "name", Digest("- a"))
    assert not blobs.path(FILE, "text").parent.exists()


async def test_a_cancelled_caller_leaves_a_whole_digest_or_none(blobs: Blobs) -> None:
    digests = Digests(blobs)
    for number in range(20):
        keeping = asyncio.create_task(digests.keep((FILE,), f"name {number}", Digest("- a" * 1000)))
        await asyncio.sleep(0.0005 * (number % 4))
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert [path for path in kept_files(blobs) if path.name.endswith(".incoming")] == []


@pytest.mark.parametrize("spoilt", [b"", b"\x91", b"\xc1", b"\x92\x01\x02", bytes(range(190, 254))])
async def test_a_spoilt_digest_is_as_good_as_none(blobs: Blobs, spoilt: bytes) -> None:
    digests = Digests(blobs)
    await digests.keep((FILE,), "name", Digest("- a"))
    kept_files(blobs)[0].write_bytes(spoilt)
    assert await digests.find((FILE,), "name") is None
    await digests.keep((FILE,), "name", Digest("- b"))
    assert await digests.find((FILE,), "name") == Digest("- b")


async def test_a_full_disk_loses_the_digest_and_nothing_else(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    await Digests(blobs).keep((FILE,), "name", Digest("- a"))
    assert kept_files(blobs) == []


async def test_the_newest_digests_of_a_file_stay(blobs: Blobs) -> None:
    digests = Digests(blobs, most_in_file=10)
    for number in range(10):
        await digests.keep((FILE,), f"name {number}", Digest("- a"))
        os.utime(blobs.path(FILE, "digests") / f"name {number}", (number, number))
    assert await digests.find((FILE,), "name 0") is not None  # which makes it new
    await digests.keep((FILE,), "one more", Digest("- a"))
    names = {path.name for path in kept_files(blobs)}
    assert len(names) == 9
    assert {"name 0", "one more", "name 9"} <= names


async def test_the_memory_is_bounded(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY_CHARACTERS", 1_000)
    digests = Digests(blobs)
    for number in range(10):
        await digests.keep((None,), f"name {number}", Digest("a" * 200))
    await digests.keep((None,), "too large", Digest("a" * 2_000))
    assert await digests.find((None,), "name 0") is None
    assert await digests.find((None,), "name 9") is not None
    assert await digests.find((None,), "too large") is None


def test_a_name_depends_on_every_field() -> None:
    names = {digest_name(*fields) for fields in [("a", 1), ("a", 2), ("b", 1), ("a", [1]), ("a", "1"), ("a1",)]}
    assert len(names) == 6
    assert digest_name("a", ["b", 1]) == digest_name("a", ["b", 1])
    assert all(len(name) == 64 for name in names)
