"""`POST /responses`: OpenAI's Responses API over the same answers as chat's.

Nothing is stored, so there is none to retrieve.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bookwheel.answering.answer import Answering
from bookwheel.answering.chat_request import read_chat
from bookwheel.answering.responses_input import as_chat, in_own_words, refuse_unsupported
from bookwheel.answering.responses_output import ResponseDraft
from bookwheel.api.event_stream import Comment, EventStream, until_disconnect
from bookwheel.api.json_body import JsonResponse, encode, read_json_object
from bookwheel.api.operation import Operation
from bookwheel.api.progress import answer_with_progress
from bookwheel.conversion import convert
from bookwheel.errors import ApiError, InvalidRequest, NotFound
from bookwheel.settings import MB, ServerSettings
from bookwheel.wire.chat import ChatBody
from bookwheel.wire.responses import ResponseEvent, ResponseObject, ResponsesBody


class ResponsesCalls:
    """See the module."""

    def __init__(self, answering: Answering, settings: ServerSettings) -> None:
        self._answering = answering
        self._limit_bytes = settings.max_body_mb * MB
        self._keep_alive_seconds = settings.keep_alive_seconds

    def operations(self) -> list[Operation]:
        return [
            Operation(
                "POST", "/responses", "createResponse", "Ask about documents (Responses API)", self.create, ResponseObject,
                body=ResponsesBody, streamed=ResponseEvent, errors=(400, 404, 413, 429, 502, 504),
            )
        ]  # fmt: skip

    async def create(self, request: Request, account_id: str) -> Response:
        chat, body, draft = _translate(await read_json_object(request, self._limit_bytes))
        if chat.stream:
            events = self._stream(account_id, chat, body, draft)
            return EventStream(events, ResponsesDialect(draft), self._keep_alive_seconds, request.scope["request_id"])
        return await until_disconnect(request.receive, self._complete(account_id, chat, body, draft))

    async def _stream(
        self, account_id: str, chat: ChatBody, body: dict[str, Any], draft: ResponseDraft
    ) -> AsyncGenerator[list[ResponseEvent] | Comment, None]:
        with in_own_words():
            async with aclosing(answer_with_progress(self._answering, account_id, chat, body)) as stream:
                async for sent in stream:
                    told = sent if isinstance(sent, Comment) else draft.add(sent)
                    if told:
                        yield told
        yield draft.end()

    async def _complete(self, account_id: str, chat: ChatBody, body: dict[str, Any], draft: ResponseDraft) -> Response:
        with in_own_words():
            prepared = await self._answering.prepare(account_id, chat, body)
            draft.add_completion(await self._answering.complete(prepared))
        draft.end()
        return JsonResponse(draft.response)


class ResponsesDialect:
    """Events by their names, and no mark at the end: the last event says that it is the last."""

    ending = b""

    def __init__(self, draft: ResponseDraft) -> None:
        self._draft = draft

    def events(self, told: list[ResponseEvent]) -> bytes:
        return b"".join(
            [f"event: {event.__struct_config__.tag}\ndata: ".encode() + encode(event) + b"\n\n" for event in told]
        )

    def failure(self, error: ApiError, request_id: str) -> bytes:
        return self.events(self._draft.fail(error, request_id))


def _translate(body: dict[str, Any]) -> tuple[ChatBody, dict[str, Any], ResponseDraft]:
    """The chat request that the body of a request means, as read and as it goes on; and the response, still empty.

    The body itself is let go: files in it are held once only.
    """
    asked = read_responses(body)
    with in_own_words():
        chat_body = as_chat(asked, body)
        return read_chat(chat_body), chat_body, ResponseDraft(asked)


def read_responses(body: dict[str, Any]) -> ResponsesBody:
    """The fields of a request that we read. Raises InvalidRequest."""
    if not body.get("model"):
        raise InvalidRequest("you must provide a model parameter.", param="model")
    refuse_unsupported(body)
    return convert(body, ResponsesBody)


def unstored_routes() -> list[Route]:
    """Calls about a response that was stored: they are answered, since clients have them, and say that there is none."""
    return [
        Route("/responses/{id}", _refuse_unstored, methods=["GET", "DELETE"]),
        Route("/responses/{id}/cancel", _refuse_unstored, methods=["POST"]),
        Route("/responses/{id}/input_items", _refuse_unstored, methods=["GET"]),
    ]


async def _refuse_unstored(request: Request) -> Response:
    raise NotFound(
        f"No such Response object: {request.path_params['id']}. Responses are not stored here: the answer to POST /responses "
        "is all there is of one."
    )
