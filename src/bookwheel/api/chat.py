"""`POST /chat/completions`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bookwheel.answering.answer import Answering
from bookwheel.answering.chat_request import read_chat
from bookwheel.api.event_stream import ChatDialect, EventStream, until_disconnect
from bookwheel.api.json_body import JsonResponse, read_json_object
from bookwheel.api.operation import Operation
from bookwheel.api.progress import answer_with_progress
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
