"""Lays documents and turns out for reading.

The documents of a conversation's beginning stand in its system message, later ones before the question they came with.
What was laid out once is the same for every later question, so that an engine that keeps prompts reads it once. There is
one system message at the most, at the start: some engines' templates refuse more. Control tokens and document marks that
stand in a document's own text are defused.
"""

import re
from collections.abc import Iterable, Mapping
from html import escape

from bookwheel.answering.conversation import Conversation, DocumentSource, Message, Turn
from bookwheel.engines.engine import ShownDocument

INSTRUCTION = (
    "Read the documents below and answer from them, in the language of the question. "
    "If they do not hold the answer, say so."
)
FRAME_TOKENS = 12
"""What a document's frame takes beside its name: `<document name="">`, line ends, `</document>`."""

_FEIGNED_MARK = re.compile(r"<(?=\|[A-Za-z0-9_]+\|>|/?document\b)", re.IGNORECASE)
_ZERO_WIDTH_SPACE = "\u200b"

Shown = Mapping[DocumentSource, ShownDocument]


def lay_out(conversation: Conversation, shown: Shown) -> list[Message]:
    """The messages for an engine. A document that is named twice stands where it was named first."""
    given: set[DocumentSource] = set()
    messages: list[Message] = []
    opening = True
    for turn in conversation.turns:
        fresh = [source for source in dict.fromkeys(turn.documents) if source not in given]
        given.update(fresh)
        documents = _frame_all(shown[source] for source in fresh)
        if opening and turn.message.get("role") == "user":
            opening = False
            _add_system(messages, conversation.role, documents)
            messages.append(turn.message)
        else:
            messages.append(_before_question(turn, documents))
    return messages


def frame(document: ShownDocument) -> str:
    """A document between its marks."""
    text = _FEIGNED_MARK.sub(f"<{_ZERO_WIDTH_SPACE}", document.text)
    line_end = "" if text.endswith("\n") else "\n"
    return f'<document name="{escape(document.title)}">\n{text}{line_end}</document>'


def _frame_all(documents: Iterable[ShownDocument]) -> str:
    framed = "\n\n".join(frame(document) for document in documents)
    return f"{INSTRUCTION}\n\n{framed}" if framed else ""


def _add_system(messages: list[Message], role: str | None, documents: str) -> None:
    content = "\n\n".join(part for part in (role, documents) if part)
    if content or role is not None:
        messages.insert(0, {"role": "system", "content": content})


def _before_question(turn: Turn, documents: str) -> Message:
    if not documents:
        return turn.message
    content = turn.message.get("content")
    if isinstance(content, list):
        return turn.message | {"content": [{"type": "text", "text": f"{documents}\n\n"}, *content]}
    return turn.message | {"content": f"{documents}\n\n{content or ''}"}
