"""Where a prompt ends to be the same for the next question: behind its documents.

Only the engine knows the prompt, since its template makes it. So it is asked for it twice, once with a mark behind the
documents: up to the mark both are the same, whatever the template does with tools, roles and white space.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from bookwheel.engines.engine import EngineRequest, Message

DOCUMENT_END = "</document>"
"""How documents end in messages. What a user writes may look like it: then a beginning is kept that nobody asks for."""
LEAST_TOKENS = 256
"""Less is read again sooner than it is found."""
_MARK = f"[[{secrets.token_hex(16)}]]"

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of a prompt. `key` is the same for the same account, engine and text only, and tells nothing of them."""

    key: str
    text: str


def is_worth_keeping(request: EngineRequest) -> bool:
    """Whether a request's documents will be shown in the same words to another question of its account, and are files.

    What was given inline is nobody's to delete later, and excerpts are others for each question.
    """
    documents = request.documents
    return (
        request.account_id != ""
        and sum(document.selected_tokens for document in documents) >= LEAST_TOKENS
        and all(document.file_id is not None for document in documents)
        and (request.is_about_whole or all(document.is_whole for document in documents))
        and request.options.get("cache_prompt") is not False
    )


async def find_prefixes(
    render: Callable[[dict[str, Any]], Awaitable[str]], body: dict[str, Any], *owners: str
) -> list[Prefix]:
    """The beginnings of a chat's prompt that end behind documents, the longest first.

    `owners` tell whose they are: the engine and the account. Raises what `render` raises.
    """
    messages = body.get("messages") or []
    marked = [_marked(message) for message in messages]
    if marked == messages:
        return []
    prompt = await render(body)
    pieces = (await render(body | {"messages": marked})).split(_MARK)[:-1]
    beginnings = ("".join(pieces[: count + 1]) for count in range(len(pieces)))
    return [
        Prefix(_key(*owners, text), text) for text in reversed([text for text in beginnings if prompt.startswith(text)])
    ]


def conversation_path(request: EngineRequest) -> tuple[tuple[str, int], ...]:
    """A conversation step by step: after each message a hash of all up to it, and their size in bytes.

    Two conversations have as much in common as the steps that are the same.
    """
    hashed = sha256(_encode([request.account_id, request.options.get("tools")]))
    size_bytes = 0
    steps = []
    for message in request.messages:
        data = _encode(message)
        hashed.update(data)
        size_bytes += len(data)
        steps.append((hashed.hexdigest(), size_bytes))
    return tuple(steps)


def _marked(message: Message) -> Message:
    """The same with a mark behind its last document; as it is where it has none."""
    content = message.get("content")
    if isinstance(content, str):
        return message | {"content": _mark(content)}
    if not isinstance(content, list):
        return message
    return message | {"content": [_mark_part(part) for part in content]}


def _mark_part(part: Any) -> Any:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return part | {"text": _mark(part["text"])}
    return part


def _mark(text: str) -> str:
    before, end, after = text.rpartition(DOCUMENT_END)
    return f"{before}{end}{_MARK}{after}" if end else text


def _key(*parts: str) -> str:
    return sha256(_encode(parts)).hexdigest()
