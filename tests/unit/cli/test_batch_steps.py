"""Results are written so that they are whole or not there; work ends with the first Ctrl-C, and the second one ends all."""

import asyncio
import os
import signal
from pathlib import Path
from typing import IO

import aiohttp
import pytest

from bookwheel.cli.batch_steps import until_interrupted, whole_file
from bookwheel.errors import BookwheelError


class TestWholeFile:
    def test_is_in_its_place_when_all_of_it_is_written(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.jsonl"
        with whole_file(path) as file:
            file.write(b"one\n")
            file.flush()
            assert not path.exists()
            file.write(b"two\n")
        assert path.read_bytes() == b"one\ntwo\n"
        assert list(tmp_path.iterdir()) == [path]

    def test_that_breaks_off_leaves_what_was_there_before(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.jsonl"
        path.write_bytes(b"before\n")
        with pytest.raises(aiohttp.ClientPayloadError), whole_file(path) as file:
            _write_half(file)
        assert path.read_bytes() == b"before\n"
        assert list(tmp_path.iterdir()) == [path]

    def test_that_a_link_leads_to_is_replaced_and_the_link_stays(self, tmp_path: Path) -> None:
        (tmp_path / "real.jsonl").write_bytes(b"before\n")
        link = tmp_path / "answers.jsonl"
        link.symlink_to("real.jsonl")
        with whole_file(link) as file:
            file.write(b"after\n")
        assert link.is_symlink()
        assert (tmp_path / "real.jsonl").read_bytes() == b"after\n"

    def test_that_is_a_device_is_written_to_and_stays_one(self) -> None:
        with whole_file(Path(os.devnull)) as file:
            file.write(b"gone\n")
        assert Path(os.devnull).is_char_device()

    def test_that_cannot_be_written_is_said_to_be_so(self, tmp_path: Path) -> None:
        with (
            pytest.raises(BookwheelError, match=r"answers\.jsonl cannot be written: "),
            whole_file(tmp_path / "a/answers.jsonl"),
        ):
            pass


def _write_half(file: IO[bytes]) -> None:
    file.write(b"half of")
    raise aiohttp.ClientPayloadError


class TestUntilInterrupted:
    async def test_gives_what_the_work_gives(self) -> None:
        assert await until_interrupted(asyncio.sleep(0, "done")) == "done"

    async def test_gives_nothing_where_ctrl_c_came_first_and_stops_the_work(self) -> None:
        stopped: list[bool] = []

        async def work() -> str:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                return await asyncio.sleep(60, "done")
            except asyncio.CancelledError:
                stopped.append(True)
                raise

        assert await until_interrupted(work()) is None
        assert stopped == [True]

    async def test_afterwards_ctrl_c_is_what_it_was(self) -> None:
        assert await until_interrupted(asyncio.sleep(0, "done")) == "done"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    async def test_what_is_cancelled_from_elsewhere_stays_cancelled(self) -> None:
        waiting = asyncio.create_task(until_interrupted(asyncio.sleep(60)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
