"""Batches are found again: newest first, page by page, by name, file, status and time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from openai.types import Batch

from support.batches import (
    DRY_RUN,
    BatchDesk,
    create,
    dry_lines,
    jsonl,
    open_batch_desk,
    query,
    submit,
    upload,
    wait_for_end,
)

HOUR = 3_600
SERVER_TIME = timezone(timedelta(hours=8))


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchDesk]:
    with open_batch_desk(tmp_path_factory.mktemp("desk"), environment={"TZ": "CST-8"}) as opened:
        yield opened


@pytest.fixture(scope="module")
def input_file(shared_desk: BatchDesk) -> str:
    """A file for the test model, with one line."""
    return upload(shared_desk.client, jsonl(dry_lines(1)))


@pytest.fixture(scope="module")
def lister(shared_desk: BatchDesk) -> OpenAI:
    return shared_desk.new_client(api_key="key-of-lister")


@pytest.fixture(scope="module")
def batches(shared_desk: BatchDesk, lister: OpenAI) -> list[Batch]:
    """Five of an account of its own, an hour apart, newest first; the last one failed."""
    names = ["Morning tides", "Noon", "Evening TIDES 100%", None]
    made = [
        submit(lister, dry_lines(1), DRY_RUN, **({"metadata": {"ds_name": name}} if name else {})) for name in names
    ]
    made.append(submit(lister, b"{no line}\n"))
    for age, batch in enumerate(made):
        wait_for_end(lister, batch)
        then = batch.created_at - age * HOUR
        query(shared_desk.server, "UPDATE batches SET created_at = ? WHERE batch_id = ?", then, batch.id)
    return [lister.batches.retrieve(batch.id) for batch in made]


class TestListing:
    @staticmethod
    def found(lister: OpenAI, batches: list[Batch], **wanted: Any) -> list[int]:
        """Which of the batches a listing has."""
        ids = [batch.id for batch in batches]
        return [ids.index(batch.id) for batch in lister.batches.list(extra_query=wanted)]

    def test_has_all_newest_first_as_they_are_retrieved(self, lister: OpenAI, batches: list[Batch]) -> None:
        page = lister.batches.list()
        assert [batch.to_dict() for batch in page.data] == [batch.to_dict() for batch in batches]
        extra = page.model_extra or {}
        assert (page.has_more, extra["first_id"], extra["last_id"]) == (False, batches[0].id, batches[-1].id)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("tides", [0, 2]), ("Morning", [0]), ("n", [0, 1, 2]), ("100%", [2]), ("%", [2]), ("_", []), ("none", [])],
    )
    def test_finds_a_part_of_the_name(
        self, lister: OpenAI, batches: list[Batch], name: str, expected: list[int]
    ) -> None:
        assert self.found(lister, batches, ds_name=name) == expected

    def test_finds_input_files(self, lister: OpenAI, batches: list[Batch]) -> None:
        wanted = f"{batches[3].input_file_id},{batches[1].input_file_id}"
        assert self.found(lister, batches, input_file_ids=wanted) == [1, 3]
        assert self.found(lister, batches, input_file_ids=batches[4].input_file_id) == [4]
        assert self.found(lister, batches, input_file_ids=f"file-batch-{'x' * 24}") == []
        with pytest.raises(BadRequestError, match="at most 20"):
            self.found(lister, batches, input_file_ids=",".join(f"file-batch-{number}" for number in range(21)))

    def test_finds_statuses(self, lister: OpenAI, batches: list[Batch]) -> None:
        assert self.found(lister, batches, status="completed") == [0, 1, 2, 3]
        assert self.found(lister, batches, status="failed,completed") == [0, 1, 2, 3, 4]
        assert self.found(lister, batches, status="expired") == []
        with pytest.raises(BadRequestError, match="Invalid 'status'"):
            self.found(lister, batches, status="done")

    @pytest.mark.parametrize("as_text", [False, True])
    def test_finds_times_as_unix_seconds_and_as_the_vendor_writes_them(
        self, lister: OpenAI, batches: list[Batch], as_text: bool
    ) -> None:
        def written(at: int) -> str:
            return (
                datetime.fromtimestamp(at, UTC).astimezone(SERVER_TIME).strftime("%Y%m%d%H%M%S") if as_text else str(at)
            )

        second, fourth = batches[1].created_at, batches[3].created_at
        assert self.found(lister, batches, create_after=written(second)) == [0, 1]
        assert self.found(lister, batches, create_after=written(second + 1)) == [0]
        assert self.found(lister, batches, create_before=written(fourth)) == [3, 4]
        assert self.found(lister, batches, create_before=written(fourth - 1)) == [4]
        between = {"create_after": written(fourth), "create_before": written(second)}
        assert self.found(lister, batches, **between) == [1, 2, 3]

    @pytest.mark.parametrize("moment", ["yesterday", "20261301000000", "1e9", "99999999999999999999"])
    def test_refuses_what_is_no_time(self, lister: OpenAI, moment: str) -> None:
        with pytest.raises(BadRequestError, match="Invalid 'create_after'"):
            lister.batches.list(extra_query={"create_after": moment})

    def test_joins_filters(self, lister: OpenAI, batches: list[Batch]) -> None:
        wanted = {"ds_name": "n", "status": "completed", "create_before": str(batches[1].created_at)}
        assert self.found(lister, batches, **wanted) == [1, 2]

    def test_goes_page_by_page_also_through_a_filter(self, lister: OpenAI, batches: list[Batch]) -> None:
        page = lister.batches.list(limit=2)
        assert ([batch.id for batch in page.data], page.has_more) == ([batch.id for batch in batches[:2]], True)
        page = lister.batches.list(limit=2, after=batches[3].id)
        assert ([batch.id for batch in page.data], page.has_more) == ([batches[4].id], False)
        assert self.found(lister, batches, limit=1, status="completed") == [0, 1, 2, 3]

    def test_a_batch_that_is_made_between_two_pages_moves_nothing(
        self, shared_desk: BatchDesk, input_file: str
    ) -> None:
        made = [create(shared_desk.client, input_file, DRY_RUN, metadata={"ds_name": "Stable pages"}) for _ in range(5)]
        pages = iter(shared_desk.client.batches.list(limit=2, extra_query={"ds_name": "stable pages"}))
        seen = [next(pages).id, next(pages).id]
        create(shared_desk.client, input_file, DRY_RUN, metadata={"ds_name": "Stable pages"})
        assert [*seen, *(batch.id for batch in pages)] == [batch.id for batch in reversed(made)]

    @pytest.mark.parametrize("limit", [0, 101, -1])
    def test_refuses_a_limit_out_of_bounds(self, lister: OpenAI, limit: int) -> None:
        with pytest.raises(BadRequestError) as caught:
            lister.batches.list(limit=limit)
        assert caught.value.param == "limit"

    def test_has_twenty_unless_it_is_told(self, shared_desk: BatchDesk, input_file: str) -> None:
        for _ in range(21):
            create(shared_desk.client, input_file, DRY_RUN, metadata={"ds_name": "Twenty"})
        page = shared_desk.client.batches.list(extra_query={"ds_name": "Twenty"})
        assert (len(page.data), page.has_more) == (20, True)
        page = shared_desk.client.batches.list(limit=100, extra_query={"ds_name": "Twenty"})
        assert (len(page.data), page.has_more) == (21, False)
