"""`POST /chat/completions`."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bookwheel.answering.answer import Answering
from bookwheel.answering.conversation import text_of
from bookwheel.api.event_stream import ChatDialect, EventStream, until_disconnect
from bookwheel.api.json_body import JsonResponse, convert, read_json_object
from bookwheel.api.operation import Operation
from bookwheel.api.progress import answer_with_progress
from bookwheel.errors import InvalidRequest
from bookwheel.settings import MB, ServerSettings
from bookwheel.wire.chat import ChatBody, ChatChunk, ChatCompletion


class ChatCalls:
    """See the module."""

    def __init__(self, answering: Answering, settings: ServerSettings) -> None:
        self._answering = answering
        self._limit_bytes = settings.max_body_mb * MB
        self._keep_alive_seconds = settings.keep_alive_seconds

    def operations(self) -> list[Operation]:
        return [
            Operation(
                "POST", "/chat/completions", "createChatCompletion", "Ask about documents", self.create, ChatCompletion,
                body=ChatBody, streamed=ChatChunk, errors=(400, 404, 413, 429, 502, 504),
            )
        ]  # fmt: skip

    async def create(self, request: Request, account_id: str) -> Response:
        body = await read_json_object(request, self._limit_bytes)
        chat = read_chat(body)
        if chat.stream:
            chunks = answer_with_progress(self._answering, account_id, chat, body)
            return EventStream(chunks, ChatDialect(), self._keep_alive_seconds, request.scope["request_id"])
        return await until_disconnect(request.receive, self._complete(account_id, chat, body))

    async def _complete(self, account_id: str, chat: ChatBody, body: dict[str, Any]) -> Response:
        prepared = await self._answering.prepare(account_id, chat, body)
        return JsonResponse(await self._answering.complete(prepared))


def read_chat(body: dict[str, Any]) -> ChatBody:
    """The fields of a chat request that we read, but the messages. Raises InvalidRequest, in the wire contract's words."""
    if not body.get("model"):
        raise InvalidRequest("you must provide a model parameter.", param="model")
    if body.get("messages", []) == []:
        raise InvalidRequest("[] is too short - 'messages'", param="messages")
    chat = convert(body, ChatBody)
    _check_ranges(chat)
    if chat.response_format and chat.response_format.get("type") == "json_object":
        _check_mentions_json(body["messages"])
    return msgspec.structs.replace(chat, messages=[])  # `body` has them: a second copy would keep files given in them


def _check_ranges(chat: ChatBody) -> None:
    if chat.temperature is not None and not 0 <= chat.temperature < 2:
        raise InvalidRequest("Temperature should be in [0.0, 2.0)", param="temperature")
    if chat.top_p is not None and not 0 < chat.top_p <= 1:
        raise InvalidRequest("Range of top_p should be (0.0, 1.0]", param="top_p")
    if chat.presence_penalty is not None and not -2 <= chat.presence_penalty <= 2:
        raise InvalidRequest("Presence_penalty should be in [-2.0, 2.0]", param="presence_penalty")


def _check_mentions_json(messages: list[dict[str, Any]]) -> None:
    if not any("json" in text_of(message).lower() for message in messages):
        raise InvalidRequest(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            param="messages",
        )
