"""`POST /tokenize`: what a text or a question costs, before it is asked. The shape is vLLM's."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from bookwheel.answering.answer import Answering
from bookwheel.answering.chat_request import read_chat
from bookwheel.answering.conversation import text_of
from bookwheel.api.event_stream import until_disconnect
from bookwheel.api.json_body import encode, read_json_object
from bookwheel.api.operation import Operation
from bookwheel.conversion import convert
from bookwheel.engines.engine import EngineRequest
from bookwheel.engines.roster import Roster
from bookwheel.errors import EngineTimedOut, EngineUnreachable, InvalidRequest
from bookwheel.settings import MB, ServerSettings
from bookwheel.tokens import MESSAGE_OVERHEAD_TOKENS, count_tokens, token_ids
from bookwheel.wire.tokenize import TokenCount, TokenizeBody, TokenizeReport

T = TypeVar("T")

ENGINE_SECONDS = 10.0
"""How long the engine may take. One that is still loading its weights is not waited for."""


class TokenizeCalls:
    """See the module."""

    def __init__(self, answering: Answering, roster: Roster, settings: ServerSettings) -> None:
        self._answering = answering
        self._roster = roster
        self._limit_bytes = settings.max_body_mb * MB

    def operations(self) -> list[Operation]:
        return [
            Operation(
                "POST", "/tokenize", "tokenize", "Count tokens", self.create, TokenCount,
                body=TokenizeBody, errors=(400, 404, 413, 429, 502, 504),
            )
        ]  # fmt: skip

    async def create(self, request: Request, account_id: str) -> Response:
        body = await read_json_object(request, self._limit_bytes)
        return await until_disconnect(request.receive, self._answer(account_id, body))

    async def _answer(self, account_id: str, body: dict[str, Any]) -> Response:
        wanted = read_tokenize(body)
        if wanted.messages is not None:
            counted = await self._count_chat(account_id, body)
        else:
            counted = await self._tokenize(wanted.model, wanted.prompt or wanted.content or "")
        return Response(await asyncio.to_thread(encode, counted), media_type="application/json")

    async def _tokenize(self, model: str, text: str) -> TokenCount:
        engine = self._roster.serving(model)[0]
        tokens = await _said_in_time(engine.tokenize(text)) if engine.has_own_count else None
        report = TokenizeReport(exact=tokens is not None or not engine.has_own_count)
        if tokens is None:
            tokens = await asyncio.to_thread(token_ids, text)
        return TokenCount(count=len(tokens), max_model_len=engine.window_tokens, tokens=tokens, bookwheel=report)

    async def _count_chat(self, account_id: str, body: dict[str, Any]) -> TokenCount:
        """Prepare the chat as if it were to be answered, and count what the engine would be sent."""
        chat = read_chat(body)
        if chat.bookwheel is not None and chat.bookwheel.reading == "thorough":
            message = "What a thorough reading costs is known after it: count with reading full, relevant or overview."
            raise InvalidRequest(message, param="bookwheel.reading")
        prepared = await self._answering.prepare(account_id, chat, body)
        engine, request = prepared.engine, prepared.request
        count = await _said_in_time(engine.count_prompt(request)) if engine.has_own_count else None
        report = TokenizeReport(exact=count is not None or not engine.has_own_count, context=prepared.context or UNSET)
        if count is None:
            count = await asyncio.to_thread(_count, request, with_tools=engine.has_own_count)
        return TokenCount(count=count, max_model_len=engine.window_tokens, tokens=[], bookwheel=report)


def read_tokenize(body: dict[str, Any]) -> TokenizeBody:
    """The fields that we read. Raises InvalidRequest, in the words of a chat's errors."""
    if not body.get("model"):
        raise InvalidRequest("you must provide a model parameter.", param="model")
    wanted = convert(body, TokenizeBody)
    given = [name for name in ("prompt", "content", "messages") if getattr(wanted, name) is not None]
    if len(given) != 1:
        raise InvalidRequest(
            "you must provide a prompt parameter or a messages parameter, one of them.", param="prompt"
        )
    return wanted


async def _said_in_time(asking: Awaitable[T | None]) -> T | None:
    """What the engine says; None where it does not, or not in time."""
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            return await asking
    except (TimeoutError, EngineUnreachable, EngineTimedOut):
        return None


def _count(request: EngineRequest, *, with_tools: bool) -> int:
    """A prompt's tokens by our own count. Engines that write by themselves do not read tools."""
    counts = [count_tokens(text_of(message)) + MESSAGE_OVERHEAD_TOKENS for message in request.messages]
    tools = request.options.get("tools")
    return sum(counts) + (count_tokens(encode(tools).decode()) if tools and with_tools else 0)
