"""A chat request as it comes: the fields of it that are read, checked."""

from typing import Any

import msgspec

from bookwheel.answering.conversation import text_of
from bookwheel.conversion import convert
from bookwheel.errors import InvalidRequest
from bookwheel.wire.chat import ChatBody


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
