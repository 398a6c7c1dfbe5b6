"""Lays documents and turns out for reading.

The documents of a conversation's beginning stand in its system message, later ones before the question they came with.
What was laid out once is the same for every later question, so that an engine that keeps prompts reads it once. There is
one system message at the most, at the start: some engines' templates refuse more. Control tokens and document marks that
stand in a document's own text are defused.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape

from bookwheel.answering.conversation import Conversation, DocumentSource, Message, Turn
from bookwheel.engines.engine import Excerpt, ShownDocument
from bookwheel.tokens import count_tokens

INSTRUCTION = (
    "Read the documents below and answer from them, in the language of the question. "
    "If they do not hold the answer, say so."
)
FRAME_TOKENS = 12
"""What a document's frame takes beside its name: `<document name="">`, line ends, `</document>`."""
OMISSION = "…"
"""Stands where text of a document is left out."""

UNSHOWN_TOKENS = 12
"""What the list of documents that are not shown takes beside their names."""

_FEIGNED_MARK = re.compile(r"<(?=\|[A-Za-z0-9_]+\|>|/?document\b)", re.IGNORECASE)
_ZERO_WIDTH_SPACE = "\u200b"

Shown = Mapping[DocumentSource, ShownDocument]


def lay_out(conversation: Conversation, shown: Shown, listed_tokens: int = 0) -> list[Message]:
    """The messages for an engine. A document that is named twice stands where it was named first.

    Documents of which nothing is shown are listed after the others, in at most `listed_tokens`.
    """
    given: set[DocumentSource] = set()
    messages: list[Message] = []
    opening = True
    for turn in conversation.turns:
        fresh = [source for source in dict.fromkeys(turn.documents) if source not in given]
        given.update(fresh)
        documents = _frame_all([shown[source] for source in fresh], listed_tokens)
        if opening and turn.message.get("role") == "user":
            opening = False
            _add_system(messages, conversation.opening, documents)
            messages.append(turn.message)
        else:
            messages.append(_before_question(turn, documents))
    return messages


def frame(document: ShownDocument) -> str:
    """A document between its marks."""
    text = _FEIGNED_MARK.sub(f"<{_ZERO_WIDTH_SPACE}", _text_of(document))
    line_end = "" if text.endswith("\n") else "\n"
    return f'<document name="{escape(document.title)}">\n{text}{line_end}</document>'


def _text_of(document: ShownDocument) -> str:
    """A whole document's text, or its excerpts: each under its place, where text was left out before it a mark."""
    if document.is_whole:
        return "".join(excerpt.text for excerpt in document.excerpts)
    before = ("", *(excerpt.place for excerpt in document.excerpts))
    return "\n".join(
        f"{_mark(excerpt, last_place)}{excerpt.text}"
        for excerpt, last_place in zip(document.excerpts, before, strict=False)
    )


def _mark(excerpt: Excerpt, last_place: str) -> str:
    if excerpt.place and excerpt.place != last_place:
        return f"[{excerpt.place}]\n"
    return f"{OMISSION}\n" if excerpt.start else ""


def _frame_all(documents: Sequence[ShownDocument], listed_tokens: int) -> str:
    framed = [frame(document) for document in documents if document.is_whole or document.excerpts]
    titles = [document.title for document in documents if not document.is_whole and not document.excerpts]
    if titles:
        framed.append(_list_unshown(titles, listed_tokens))
    return "\n\n".join([INSTRUCTION, *framed]) if framed else ""


def _list_unshown(titles: Sequence[str], most_tokens: int) -> str:
    """A line that says of which documents nothing is shown: as many names as there is room for, and how many more."""
    names: list[str] = []
    left = most_tokens - UNSHOWN_TOKENS
    for title in titles:
        left -= count_tokens(title) + 1
        if left < 0:
            break
        names.append(escape(_FEIGNED_MARK.sub(f"<{_ZERO_WIDTH_SPACE}", title)))
    more = len(titles) - len(names)
    if more:
        names.append(f"{more} more" if names else f"{more} document{'s' if more > 1 else ''}")
    return f"(Nothing is shown of: {', '.join(names)}.)"


def _add_system(messages: list[Message], opening: Message | None, documents: str) -> None:
    if opening is None and not documents:
        return
    opening = opening or {"role": "system", "content": ""}
    content = opening["content"]
    if not isinstance(content, list):
        content = "\n\n".join(part for part in (content, documents) if part)
    elif documents:
        content = [*content, {"type": "text", "text": documents}]
    messages.insert(0, opening | {"role": "system", "content": content})


def _before_question(turn: Turn, documents: str) -> Message:
    if not documents:
        return turn.message
    content = turn.message.get("content")
    if isinstance(content, list):
        return turn.message | {"content": [{"type": "text", "text": f"{documents}\n\n"}, *content]}
    return turn.message | {"content": f"{documents}\n\n{content or ''}"}
