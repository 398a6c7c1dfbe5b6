"""What is made of a file goes with it, whatever is being asked about it; and nobody waits for another's file."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, BadRequestError

from bookwheel.indexing.artefact import ANY_INDEX, INDEX
from support.engine import Desk, answer_words, content_of, hold_until, open_desk, wait_until

LEDGER = "".join(
    f"Entry {number}: the miller of Wells paid {number * 37 % 911} pence in rent.\n" for number in range(400)
)


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk"), {"ingest": {"upload_wait_seconds": 30, "workers": 2}}) as opened:
        yield opened


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    shared_desk.engine.reset()
    return shared_desk


def about(*file_ids: str) -> list[dict[str, Any]]:
    named = ",".join(f"fileid://{file_id}" for file_id in file_ids)
    return [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "system", "content": named},
        {"role": "user", "content": "What did the miller of Wells pay?"},
    ]


def ask(desk: Desk, *file_ids: str, model: str = "narrow", **wanted: Any) -> Any:
    wanted = {"reading": "relevant"} | wanted
    return desk.client.chat.completions.create(
        model=model,
        messages=about(*file_ids),  # type: ignore[arg-type]
        extra_body={"bookwheel": wanted},
    )


def message_of(error: APIError) -> str:
    return str(error.body["message"])  # type: ignore[index]


def folder_of(desk: Desk, file_id: str) -> Path:
    (folder,) = (desk.server.data_dir / "files").glob(f"*/{file_id}")
    return folder


def mentions(desk: Desk, file_id: str) -> list[Path]:
    """What lies in the data folder under that file's name."""
    return list(desk.server.data_dir.rglob(f"*{file_id}*"))


def test_the_index_and_the_notes_go_with_the_file(desk: Desk) -> None:
    file_id = desk.upload("ledger.txt", LEDGER)
    desk.engine.behave = answer_words(["37 pence."])
    ask(desk, file_id, reading="thorough")
    folder = folder_of(desk, file_id)
    assert (folder / INDEX).stat().st_size > 0
    assert list((folder / "digests").iterdir())
    desk.client.files.delete(file_id)
    assert not folder.exists()
    assert mentions(desk, file_id) == []


@pytest.mark.parametrize("reading", ["full", "relevant", "overview"])
def test_a_question_under_way_is_answered_and_the_next_one_is_told_that_the_file_is_none(
    desk: Desk, reading: str
) -> None:
    """What a mapped index says stays there for who has it open."""
    file_id, kept = desk.upload("ledger.txt", LEDGER), desk.upload("kept.txt", "Nothing of note.\n")
    release = threading.Event()
    desk.engine.behave = hold_until(release, answer_words(["The miller of Wells paid 37 pence in rent."]))
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask, desk, file_id, kept, model="qwen-long", reading=reading, citations=True)
        assert desk.engine.started.wait(30)
        desk.client.files.delete(file_id)
        assert mentions(desk, file_id) == []
        release.set()
        answer = asking.result(30)
    assert [citation["file_id"] for citation in answer.bookwheel["citations"]] == [file_id]
    assert answer.bookwheel["citations"][0]["quote"] in LEDGER
    with pytest.raises(BadRequestError) as caught:
        ask(desk, file_id, kept, reading=reading)
    assert message_of(caught.value) == f"Invalid file [id:{file_id}]."


def test_a_file_deleted_while_the_engine_reads_it_thoroughly_keeps_nothing(desk: Desk) -> None:
    file_id = desk.upload("ledger.txt", LEDGER)
    release = threading.Event()
    desk.engine.behave = hold_until(release, answer_words(["37 pence."]))
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask, desk, file_id, reading="thorough", citations=True)
        assert desk.engine.started.wait(30)
        desk.client.files.delete(file_id)
        release.set()
        try:
            assert asking.result(60).bookwheel["context"]["reading"] == "thorough"
        except BadRequestError as error:
            assert message_of(error) == f"File [id:{file_id}] cannot be found."
    assert mentions(desk, file_id) == []


def test_a_lost_index_is_built_anew_by_the_question_that_needs_it(desk: Desk) -> None:
    file_id = desk.upload("ledger.txt", LEDGER)
    other = desk.upload("other.txt", LEDGER.replace("miller", "weaver"))
    (folder_of(desk, file_id) / INDEX).unlink()
    (folder_of(desk, other) / INDEX).write_bytes(b"\x08\0\0\0\0\0\0\0not what was written")
    ask(desk, file_id, other)
    opening = content_of(desk.engine.requests[-1]["messages"][0])
    assert "miller" in opening
    assert "weaver" in opening
    assert (folder_of(desk, file_id) / INDEX).stat().st_size == pytest.approx(
        (folder_of(desk, other) / INDEX).stat().st_size, rel=0.2
    )


def test_indexes_of_another_version_are_replaced_at_the_start(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        file_id = desk.upload("ledger.txt", LEDGER)
        desk.client.files.wait_for_processing(file_id, poll_interval=0.05)
        folder = folder_of(desk, file_id)
        desk.server.stop()
        (folder / INDEX).rename(folder / "index-0")
        desk.server.start()
        wait_until(lambda: [path.name for path in folder.glob(ANY_INDEX)] == [INDEX])
        ask(Desk(desk.server, desk.engine), file_id)
        assert "miller" in json.dumps(desk.engine.requests[-1])


@pytest.fixture(scope="module")
def busy_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, str, str]]:
    """A desk whose only worker reads a file of 23 MB, which takes far longer than questions do: it, a read file, that file."""
    settings = {"ingest": {"upload_wait_seconds": 0, "workers": 1}}
    with open_desk(tmp_path_factory.mktemp("busy"), settings) as desk:
        mine = desk.upload("ledger.txt", LEDGER)
        desk.client.files.wait_for_processing(mine, poll_interval=0.05)
        theirs = desk.upload("large.txt", LEDGER * 1_000)
        yield desk, mine, theirs
        assert desk.client.files.retrieve(theirs).status == "uploaded", "it did not take long enough to tell"
        desk.client.files.delete(theirs)


@pytest.mark.parametrize("reading", ["full", "relevant", "overview", "thorough"])
def test_a_question_does_not_wait_for_the_reading_of_a_file_that_is_not_its_own(
    busy_desk: tuple[Desk, str, str], reading: str
) -> None:
    desk, mine, _ = busy_desk
    assert ask(desk, mine, model="qwen-long", reading=reading).bookwheel["context"]["reading"] == reading


def test_nor_does_a_question_about_a_text_that_comes_with_it(busy_desk: tuple[Desk, str, str]) -> None:
    desk, _, _ = busy_desk
    messages = [{"role": "system", "content": ""}, {"role": "system", "content": LEDGER * 10}, about("")[-1]]
    wanted = {"bookwheel": {"reading": "relevant", "budget_tokens": 500}}
    answer: Any = desk.client.chat.completions.create(model="qwen-long", messages=messages, extra_body=wanted)  # type: ignore[arg-type]
    assert 0 < answer.bookwheel["context"]["selected_tokens"] <= 500
