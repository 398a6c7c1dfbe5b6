"""Answers one line of a batch exactly as the same request would be answered, and tells failures that may pass from others."""

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from bookwheel.answering.answer import Answering
from bookwheel.answering.chat_request import read_chat
from bookwheel.batches.lines import CHAT_ENDPOINT, EMBEDDINGS_ENDPOINT, TEST_ENDPOINT, TEST_MODEL, BatchLine
from bookwheel.engines.embedding import embed, read_embedding
from bookwheel.engines.roster import Roster
from bookwheel.errors import ApiError, InvalidRequest
from bookwheel.logs import log
from bookwheel.wire.batches import LineError, LineResponse, LineResult

TEST_ANSWER = "This is a test result."
STREAM_FIELDS = ("stream", "stream_options")
"""What says that an answer is to come in pieces: here it comes in one."""
HANDLED_IN_THREAD_BYTES = 1024 * 1024
PASSING_STATUSES = frozenset({408, 409, 425, 429})

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BatchLine).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """How a line ended: its result as it is written; and the error, where there is one."""

    result: bytes
    error: ApiError | None = None


class LineAnswering:
    """See the module."""

    def __init__(self, answering: Answering, roster: Roster) -> None:
        self._answering = answering
        self._roster = roster
        self._endpoints: dict[str, Callable[[str, dict[str, Any]], Awaitable[Any]]] = {
            CHAT_ENDPOINT: self._chat,
            EMBEDDINGS_ENDPOINT: self._embed,
            TEST_ENDPOINT: _answer_test,
        }

    async def answer(self, account_id: str, endpoint: str, line: bytes, result_id: str) -> LineAnswer:
        """The answer to a line that was validated; what fails is part of it."""
        decoded = await _decode_line(line)
        request_id = str(uuid.uuid4())
        try:
            body = await self._endpoints[endpoint](account_id, await _decode_body(decoded.body))
            response = LineResponse(status_code=200, request_id=request_id, body=body)
            result = LineResult(id=result_id, custom_id=decoded.custom_id, response=response, error=None)
            is_large = endpoint == EMBEDDINGS_ENDPOINT
            return LineAnswer(await asyncio.to_thread(_encode, result) if is_large else _encode(result))
        except ApiError as error:
            return LineAnswer(failure(result_id, decoded.custom_id, error, request_id), error)
        except Exception as fault:  # noqa: BLE001 - the edge: what breaks on a line does not break the batch
            log.error("batch line broke", request_id=request_id, result_id=result_id, exc_info=fault)
            internal = ApiError("Internal error. The log names it by this request_id.")
            return LineAnswer(failure(result_id, decoded.custom_id, internal, request_id), internal)

    async def _chat(self, account_id: str, body: dict[str, Any]) -> Any:
        body = {name: value for name, value in body.items() if name not in STREAM_FIELDS}
        chat = read_chat(body)
        prepared = await self._answering.prepare(account_id, chat, body, is_background=True)
        return await self._answering.complete(prepared)

    async def _embed(self, account_id: str, body: dict[str, Any]) -> Any:
        wanted, inputs = read_embedding(body)
        engine = self._roster.embedding(wanted.model)
        answer = await embed(engine, body, inputs, account_id, is_background=True)
        return answer | {"model": wanted.model}


def failure(result_id: str, custom_id: str, error: ApiError, request_id: str) -> bytes:
    """The result of a line that failed with an error of the contract."""
    shown = error.as_error_object()
    envelope = {"error": shown, "request_id": request_id}
    response = LineResponse(status_code=error.http_status, request_id=request_id, body=envelope)
    reason = LineError(code=str(shown["code"] or shown["type"] or error.error_code), message=error.message)
    return _encode(LineResult(id=result_id, custom_id=custom_id, response=response, error=reason))


def unanswered(result_id: str, line: bytes, code: str, message: str) -> bytes:
    """The result of a line that was never asked. For a thread: see `_decode_line`."""
    custom_id = _decode(line).custom_id
    reason = LineError(code=code, message=message)
    return _encode(LineResult(id=result_id, custom_id=custom_id, response=None, error=reason))


def may_pass(error: ApiError) -> bool:
    """Whether the same line may be answered when it is asked again: 429, 5xx and their like."""
    if type(error) is ApiError or error.headers.get("x-should-retry") == "false":  # the first: a fault of ours
        return False
    return error.http_status in PASSING_STATUSES or error.http_status >= 500


async def _decode_line(line: bytes) -> BatchLine:
    try:
        return _decode(line)
    except RecursionError:  # nested deep: a thread has as much room on its stack as the scan had
        return await asyncio.to_thread(_decode, line)


async def _decode_body(raw: msgspec.Raw) -> dict[str, Any]:
    """Raises InvalidRequest for what the scan of its syntax does not find: 1e999, say, is too large for a number."""
    try:
        is_large = len(raw) >= HANDLED_IN_THREAD_BYTES
        body: dict[str, Any] = await asyncio.to_thread(_decode_object, raw) if is_large else _decode_object(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}") from None
    return body


async def _answer_test(_account_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """The fixed reply, for free dry runs. The request is checked as any other."""
    chat = read_chat(body)
    if chat.model != TEST_MODEL:
        raise InvalidRequest(f"Only {TEST_MODEL} answers here.", param="model")
    message = {"role": "assistant", "content": TEST_ANSWER}
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": TEST_MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26},
    }
