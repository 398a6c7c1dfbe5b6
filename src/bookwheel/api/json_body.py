"""JSON in and out of HTTP, with msgspec."""

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bookwheel.errors import BodyTooLarge, InvalidRequest

DECODE_IN_THREAD_BYTES = 1024 * 1024

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class JsonResponse(Response):
    """A shape, or anything that msgspec encodes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)


async def read_json_object(request: Request, limit_bytes: int) -> dict[str, Any]:
    """A request's body. Raises BodyTooLarge as soon as it is, InvalidRequest when it is not a JSON object."""
    body = await _read_body(request, limit_bytes)
    try:
        value = await asyncio.to_thread(_decode, body) if len(body) > DECODE_IN_THREAD_BYTES else _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    return value


async def _read_body(request: Request, limit_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise BodyTooLarge
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit_bytes:
            raise BodyTooLarge
        pieces.append(piece)
    return b"".join(pieces)
