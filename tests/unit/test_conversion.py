"""What does not fit its shape is refused in words that name the field."""

from typing import Any

import pytest

from bookwheel.conversion import convert
from bookwheel.errors import InvalidRequest
from bookwheel.wire.chat import ChatBody
from bookwheel.wire.files import FileListQuery, UploadFields

MESSAGES = [{"role": "user", "content": "Hi"}]
WRONG: list[tuple[type, dict[str, Any], str | None]] = [
    (ChatBody, {"model": "m", "messages": "Hi"}, "messages"),
    (ChatBody, {"model": "m", "messages": []}, "messages"),
    (ChatBody, {"model": 7, "messages": MESSAGES}, "model"),
    (ChatBody, {"model": "m", "messages": [{"role": "king", "content": "Hi"}]}, "messages[0].role"),
    (ChatBody, {"model": "m", "messages": [{"content": "Hi"}]}, "messages[0]"),
    (ChatBody, {"model": "m", "messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    (ChatBody, {"model": "m", "messages": MESSAGES, "stream": "yes"}, "stream"),
    (ChatBody, {"model": "m", "messages": MESSAGES, "max_tokens": 0}, "max_tokens"),
    (ChatBody, {"model": "m", "messages": MESSAGES, "n": 1000}, "n"),
    (ChatBody, {"model": "m", "messages": MESSAGES, "bookwheel": {"citation": True}}, "bookwheel"),
    (
        ChatBody,
        {"model": "m", "messages": MESSAGES, "stream_options": {"include_usage": 1}},
        "stream_options.include_usage",
    ),
    (ChatBody, {"model": "m"}, "messages"),
    (UploadFields, {}, "purpose"),
    (UploadFields, {"purpose": "fun"}, "purpose"),
    (
        UploadFields,
        {"purpose": "batch", "expires_after": {"anchor": "created_at", "seconds": 5}},
        "expires_after.seconds",
    ),
]


@pytest.mark.parametrize(("shape", "value", "param"), WRONG)
def test_a_wrong_field_is_named(shape: type, value: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        convert(value, shape)
    assert raised.value.param == param
    assert (param or "").partition("[")[0] in raised.value.message
    assert raised.value.message.endswith(".")
    assert "`" not in raised.value.message
    assert (raised.value.http_status, raised.value.error_code) == (400, "invalid_parameter_error")


@pytest.mark.parametrize("limit", ["0", "-1", "2001", "9" * 40, "many", "1.5", ""])
def test_a_wrong_limit_of_a_listing_is_named(limit: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        convert({"limit": limit}, FileListQuery, strict=False)
    assert raised.value.param == "limit"


def test_words_of_a_query_are_read_as_what_they_mean() -> None:
    query = convert({"limit": "7", "order": "asc", "unknown": "x"}, FileListQuery, strict=False)
    assert (query.limit, query.order, query.after) == (7, "asc", None)
