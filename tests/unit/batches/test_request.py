"""What a request for batches may ask for."""

from datetime import datetime

import pytest

from bookwheel.batches.request import check_metadata, read_filter, window_seconds
from bookwheel.errors import InvalidRequest
from bookwheel.storage.batches import BatchFilter
from bookwheel.wire.batches import BatchListQuery


@pytest.mark.parametrize(
    ("window", "hours"), [("24h", 24), ("336h", 336), ("100h", 100), ("1d", 24), ("14d", 336), ("7d", 168)]
)
def test_a_window_is_in_hours_or_days(window: str, hours: int) -> None:
    assert window_seconds(window) == hours * 3_600


@pytest.mark.parametrize(
    "window",
    ["23h", "337h", "15d", "0d", "0h", "024h", "24", "h", "", "24H", " 24h", "24h\n", "1.5d", "-1d", "24m", "9999d",
     "99999h", "2٤h", "２４h", "1d12h"],
)  # fmt: skip
def test_any_other_window_is_refused(window: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        window_seconds(window)
    assert raised.value.param == "completion_window"


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {f"key-{number}": "" for number in range(16)},
        {"k" * 64: "v" * 512},
        {"ds_name": "n" * 100, "ds_description": "d" * 200},
        {"NAME": "n" * 512},
    ],
)
def test_metadata_may_have_so_much(metadata: dict[str, str]) -> None:
    check_metadata(metadata)


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({f"key-{number}": "" for number in range(17)}, "metadata"),
        ({"k" * 65: ""}, "metadata"),
        ({"": ""}, "metadata"),
        ({"key": "v" * 513}, "metadata.key"),
        ({"ds_name": "n" * 101}, "metadata.ds_name"),
        ({"ds_description": "d" * 201}, "metadata.ds_description"),
        ({"ds_batch_finish_callback": "u" * 513}, "metadata.ds_batch_finish_callback"),
    ],
)
def test_more_metadata_is_refused(metadata: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_metadata(metadata)
    assert raised.value.param == param


def test_a_filter_has_what_the_query_says() -> None:
    local = datetime(2026, 3, 1, 12, 30, 15).astimezone()
    query = BatchListQuery(
        ds_name="night",
        input_file_ids="file-batch-a, file-batch-b,",
        status="completed,failed",
        create_after="1700000000",
        create_before="20260301123015",
    )
    assert read_filter(query) == BatchFilter(
        "night", ("file-batch-a", "file-batch-b"), ("completed", "failed"), 1_700_000_000, int(local.timestamp())
    )


@pytest.mark.parametrize("query", [BatchListQuery(), BatchListQuery(ds_name="", status=" , ", create_after="")])
def test_without_a_query_nothing_is_filtered(query: BatchListQuery) -> None:
    assert read_filter(query) == BatchFilter()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "done"),
        ("status", "completed,Failed"),
        ("input_file_ids", ",".join(["f"] * 21)),
        ("create_after", "yesterday"),
        ("create_after", "20261301000000"),
        ("create_before", "2026-03-01"),
        ("create_before", "9" * 20),
        ("create_before", f"-{'9' * 20}"),
        ("create_before", "9" * 6_000),
        ("create_before", "1.5"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_filter(BatchListQuery(**{name: value}))  # type: ignore[arg-type]
    assert raised.value.param == name


def test_twenty_files_may_be_named() -> None:
    assert len(read_filter(BatchListQuery(input_file_ids=",".join(["f"] * 20))).input_file_ids) == 20
