"""A wrong body is refused in words that name the field; a large one as soon as it is too large."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from bookwheel.api.json_body import DECODE_IN_THREAD_BYTES, JsonResponse, read_json_object
from bookwheel.errors import BodyTooLarge, InvalidRequest

LIMIT_BYTES = 4 * DECODE_IN_THREAD_BYTES


def request_of(pieces: Iterator[bytes], headers: dict[str, str] | None = None) -> Request:
    """A request whose body arrives in these pieces."""

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


async def read(*pieces: bytes, limit_bytes: int = LIMIT_BYTES, **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await read_json_object(request_of(iter(pieces), named), limit_bytes)


async def test_an_object_is_read_from_any_pieces() -> None:
    assert await read(b'{"a": [1, "', b"", '孔"], '.encode(), b'"b": null}') == {"a": [1, "孔"], "b": None}


@pytest.mark.parametrize("size", [DECODE_IN_THREAD_BYTES - 9, DECODE_IN_THREAD_BYTES + 9])
async def test_a_large_object_is_read_too(size: int) -> None:
    text = "x" * size
    assert await read(b'{"a": "', text.encode(), b'"}') == {"a": text}


NOT_JSON = [
    b"",
    b"{",
    b"{'a': 1}",
    b'{"a": 1} x',
    b"\xff\xfe",
    b'{"a": "\xff"}',
    b"nonsense",
    b'{"a": \n',
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
async def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        await read(body)


@pytest.mark.parametrize("body", [b"[]", b"7", b'"text"', b"null", b"true"])
async def test_json_that_is_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        await read(body)


@given(st.binary(max_size=60))
async def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    with suppress(InvalidRequest):
        assert isinstance(await read(body), dict)


async def test_a_body_that_says_it_is_too_large_is_refused_unread() -> None:
    pieces = iter([b"{}"])
    with pytest.raises(BodyTooLarge):
        await read_json_object(request_of(pieces, {"content-length": "11"}), limit_bytes=10)
    assert list(pieces) == [b"{}"]


async def test_a_body_that_grows_too_large_is_refused_as_soon_as_it_is() -> None:
    pieces = iter([b"x" * 6] * 5)
    with pytest.raises(BodyTooLarge):
        await read_json_object(request_of(pieces), limit_bytes=10)
    assert len(list(pieces)) == 3


@pytest.mark.parametrize("declared", ["10", "2", "0", "-1", "ten", ""])
async def test_a_body_within_the_limit_is_read_whatever_its_length_is_said_to_be(declared: str) -> None:
    assert await read(b'{"a": 123}', limit_bytes=10, content_length=declared) == {"a": 123}


def test_a_response_holds_any_shape() -> None:
    class Shape(msgspec.Struct):
        name: str
        left_out: int | msgspec.UnsetType = msgspec.UNSET

    response = JsonResponse({"shape": Shape("孔")}, 201)
    assert bytes(response.body) == '{"shape":{"name":"孔"}}'.encode()
    assert (response.status_code, response.headers["content-type"]) == (201, "application/json")
