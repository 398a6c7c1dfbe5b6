"""States of prompts on disk: what is found again, what is never given back, what goes when there is no room or no file."""

import asyncio
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bookwheel.engines import prompt_states as module
from bookwheel.engines.prompt_states import PromptStates, identify_engine

ENGINE = "xllamacpp 1 abc"
KEY, OTHER_KEY, THIRD_KEY = "a" * 64, "b" * 64, "c" * 64


async def opened(
    folder: Path, engine: str = ENGINE, most_bytes: int = 10_000, is_there: Callable[[str], bool] = lambda _: True
) -> PromptStates:
    states = PromptStates(folder, engine, most_bytes)
    await states.open(is_there)
    return states


async def keep(
    states: PromptStates, folder: Path, key: str = KEY, size: int = 1_000, files: tuple[str, ...] = ()
) -> None:
    """Keep a state as the engine does: it writes to the name that it is given."""
    name = await states.begin(size)
    assert name is not None
    (folder / name).write_bytes(key[:1].encode() * size)
    await states.keep(name, key, size // 10, files)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prompts" / "engine-mill"


async def test_what_was_kept_is_found_as_it_was_written(folder: Path) -> None:
    states = await opened(folder)
    await keep(states, folder)
    found = await states.find(KEY)
    assert found is not None
    assert found.tokens == 100
    assert (folder / found.filename).read_bytes() == b"a" * 1_000
    assert await states.find(OTHER_KEY) is None


async def test_what_was_kept_is_found_after_a_restart(folder: Path) -> None:
    await keep(await opened(folder), folder)
    found = await (await opened(folder)).find(KEY)
    assert found is not None
    assert found.tokens == 100


async def test_the_folder_and_all_in_it_are_its_owners_alone(folder: Path) -> None:
    await keep(await opened(folder), folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    states = [path for path in folder.iterdir() if path.suffix == ".state"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in states] == [0o600]


async def test_a_folder_that_others_could_read_is_closed_to_them(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    await opened(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("left", ["state without a label", "label without a state", "unfinished", "no json", "list"])
async def test_what_a_crash_left_is_removed_at_the_start(folder: Path, left: str) -> None:
    await keep(await opened(folder), folder)
    state, label, unfinished = folder / f"{KEY}.state", folder / f"{KEY}.json", folder / "0f.tmp"
    match left:
        case "state without a label":
            label.unlink()
        case "label without a state":
            state.unlink()
        case "unfinished":
            label.rename(unfinished)
        case "no json":
            label.write_text('{"engine": ')
        case "list":
            label.write_text("[]")
    states = await opened(folder)
    assert await states.find(KEY) is None
    assert names(folder) == set()


async def test_what_others_put_into_the_folder_stays(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    await opened(folder)
    assert names(folder) == {"notes.txt"}


@pytest.mark.parametrize("damage", ["cut", "longer", "other bytes", "gone"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_damaged_state_is_never_given_back_and_goes(folder: Path, damage: str, restarted: bool) -> None:
    states = await opened(folder)
    await keep(states, folder)
    state = folder / f"{KEY}.state"
    match damage:
        case "cut":
            state.write_bytes(b"a" * 999)
        case "longer":
            state.write_bytes(b"a" * 1_001)
        case "other bytes":
            state.write_bytes(b"a" * 500 + b"b" + b"a" * 499)
        case "gone":
            state.unlink()
    if restarted:
        states = await opened(folder)
    assert await states.find(KEY) is None
    assert names(folder) == set()
    await keep(states, folder)
    assert await states.find(KEY) is not None


async def test_the_states_of_another_engine_are_removed_at_the_start(folder: Path) -> None:
    await keep(await opened(folder), folder)
    states = await opened(folder, engine="xllamacpp 2 abc")
    assert await states.find(KEY) is None
    assert names(folder) == set()


async def test_a_label_with_a_path_in_it_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (tmp_path / "prompts" / "outside.state").write_bytes(b"x")
    label = {"engine": ENGINE, "tokens": 1, "file_ids": [], "size_bytes": 1, "crc32": 0, "path": "../outside.state"}
    (folder / "outside.json").write_text(json.dumps(label))
    await opened(folder)
    assert (tmp_path / "prompts" / "outside.state").exists()


# Room


async def test_the_least_recently_used_goes_where_there_is_no_room(folder: Path) -> None:
    states = await opened(folder, most_bytes=2_500)
    await keep(states, folder, KEY)
    await keep(states, folder, OTHER_KEY)
    await states.find(KEY)
    await keep(states, folder, THIRD_KEY)
    assert [states.holds(key) for key in (KEY, OTHER_KEY, THIRD_KEY)] == [True, False, True]
    assert names(folder) == {f"{key}{ending}" for key in (KEY, THIRD_KEY) for ending in (".state", ".json")}


async def test_room_is_made_before_a_state_is_written(folder: Path) -> None:
    states = await opened(folder, most_bytes=1_500)
    await keep(states, folder)
    assert await states.begin(1_000) is not None
    assert names(folder) == set()


async def test_when_a_state_was_used_is_remembered_over_a_restart(folder: Path) -> None:
    states = await opened(folder)
    for seconds, key in enumerate((KEY, OTHER_KEY)):
        await keep(states, folder, key)
        os.utime(folder / f"{key}.json", (seconds, seconds))
    await states.find(KEY)  # now
    states = await opened(folder, most_bytes=1_000)
    assert [states.holds(key) for key in (KEY, OTHER_KEY)] == [True, False]


async def test_a_state_that_would_take_more_than_all_room_is_not_begun(folder: Path) -> None:
    states = await opened(folder)
    await keep(states, folder)
    assert await states.begin(10_001) is None
    assert states.holds(KEY)


async def test_a_state_that_turns_out_larger_than_all_room_is_not_kept(folder: Path) -> None:
    states = await opened(folder, most_bytes=900)
    name = await states.begin(100)
    assert name is not None
    (folder / name).write_bytes(b"a" * 1_000)
    await states.keep(name, KEY, 10, ())
    assert names(folder) == set()


async def test_without_room_nothing_stays(folder: Path) -> None:
    await keep(await opened(folder), folder)
    states = await opened(folder, most_bytes=0)
    assert names(folder) == set()
    assert await states.begin(1) is None


async def test_a_disk_that_is_nearly_full_is_left_to_uploads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = await opened(folder)
    monkeypatch.setattr(module, "FREE_MB", 10**9)
    assert await states.begin(1) is None


async def test_what_the_engine_did_not_write_is_not_kept_and_raises_nothing(folder: Path) -> None:
    states = await opened(folder)
    name = await states.begin(10)
    assert name is not None
    await states.keep(name, KEY, 10, ())
    assert not states.holds(KEY)
    assert names(folder) == set()


async def test_a_folder_that_is_gone_costs_the_states_only(folder: Path) -> None:
    states = await opened(folder)
    await keep(states, folder)
    shutil.rmtree(folder)
    assert await states.begin(1) is None
    assert await states.find(KEY) is None
    await states.forget("file-1")


async def test_a_state_that_goes_while_it_is_looked_at_is_not_given(folder: Path) -> None:
    states = await opened(folder)
    await keep(states, folder, files=("file-1",))
    found, _ = await asyncio.gather(states.find(KEY), states.forget("file-1"))
    assert found is None
    assert names(folder) == set()


async def test_a_state_that_is_discarded_leaves_nothing(folder: Path) -> None:
    states = await opened(folder)
    name = await states.begin(10)
    assert name is not None
    (folder / name).write_bytes(b"half")
    await states.discard(name)
    await states.discard("never-written.tmp")
    assert names(folder) == set()


async def test_a_state_that_is_kept_again_takes_the_others_place(folder: Path) -> None:
    states = await opened(folder)
    await keep(states, folder, size=1_000)
    await keep(states, folder, size=2_000)
    found = await states.find(KEY)
    assert found is not None
    assert found.tokens == 200
    assert len(names(folder)) == 2


# Files that are deleted


async def test_the_states_of_a_file_go_with_it(folder: Path) -> None:
    states = await opened(folder)
    await keep(states, folder, KEY, files=("file-1", "file-2"))
    await keep(states, folder, OTHER_KEY, files=("file-2",))
    await keep(states, folder, THIRD_KEY, files=("file-3",))
    await states.forget("file-2")
    assert names(folder) == {f"{THIRD_KEY}.state", f"{THIRD_KEY}.json"}


async def test_a_state_that_is_being_written_when_its_file_goes_is_not_kept(folder: Path) -> None:
    states = await opened(folder)
    name = await states.begin(10)
    assert name is not None
    (folder / name).write_bytes(b"text")
    await states.forget("file-1")
    await states.keep(name, KEY, 10, ("file-1",))
    assert names(folder) == set()


async def test_a_state_whose_file_went_while_nobody_ran_is_removed_at_the_start(folder: Path) -> None:
    states = await opened(folder)
    await keep(states, folder, KEY, files=("file-1", "file-2"))
    await keep(states, folder, OTHER_KEY, files=("file-2",))
    states = await opened(folder, is_there=lambda file_id: file_id == "file-2")
    assert [states.holds(key) for key in (KEY, OTHER_KEY)] == [False, True]
    assert len(names(folder)) == 2


# Whose they are


async def test_an_engine_is_known_by_its_weights_wherever_they_lie(tmp_path: Path) -> None:
    weights, elsewhere, others, edited = (tmp_path / name for name in "abcd")
    data = os.urandom(10_000_000)
    for path, written in (
        (weights, data),
        (elsewhere, data),
        (others, os.urandom(10_000_000)),
        (edited, bytes([data[0] ^ 1]) + data[1:]),
    ):
        path.write_bytes(written)
        os.utime(path, (1, 1))
    first, same, other, other_too = [await identify_engine(path) for path in (weights, elsewhere, others, edited)]
    assert first == same
    assert len({first, other, other_too}) == 3
    assert first.startswith("xllamacpp 20")


async def test_weights_that_were_written_to_are_others(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    before = await identify_engine(tmp_path / "a")
    os.utime(tmp_path / "a", (1, 1))
    assert await identify_engine(tmp_path / "a") != before


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1])
async def test_small_files_are_told_apart_too(tmp_path: Path, size: int) -> None:
    paths = tmp_path / "a", tmp_path / "b"
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * size + bytes([number]))
    assert await identify_engine(paths[0]) != await identify_engine(paths[1])
