"""What a chat request says: its turns, and the documents named or given between them.

The first system message is the role. Further system messages are documents: `fileid://ID,fileid://ID`, or a document's
text, or a document as a JSON string. A message that is only a list of file ids may also stand first, or in lines of the
first. `developer` is read as `system`. Parts of type `file` with a `file_id` count as the same reference.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from bookwheel.errors import InvalidRequest

Message = dict[str, Any]

_SCHEME = "fileid://"
_LINE_END = re.compile(r"\r\n?")
_WORD = re.compile(r"[^\s,，、;；]+")


@dataclass(frozen=True, slots=True)
class FileReference:
    """A document by its file id."""

    file_id: str


@dataclass(frozen=True, slots=True)
class InlineDocument:
    """A document given as text. `number` counts from 1 through the request. Lines end with a line feed, as in files' texts."""

    number: int
    text: str


DocumentSource = FileReference | InlineDocument


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that goes to the engine, and the documents that stand before it and since the last."""

    message: Message
    documents: tuple[DocumentSource, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request's turns in order. `role` is the first system message's text, where there is one."""

    role: str | None
    turns: tuple[Turn, ...]
    trailing: tuple[DocumentSource, ...] = ()
    question: str = field(default="")

    @property
    def earlier_questions(self) -> tuple[str, ...]:
        """What the user said before the question, the oldest first."""
        said = [text_of(turn.message) for turn in self.turns if turn.message.get("role") == "user"]
        return tuple(said[:-1])

    def documents(self) -> list[DocumentSource]:
        """Every document, in the order of the request, each file once."""
        named = [source for turn in self.turns for source in turn.documents]
        return list(dict.fromkeys([*named, *self.trailing]))

    def file_ids(self) -> list[str]:
        """The distinct file ids, in the order of the request."""
        return [source.file_id for source in self.documents() if isinstance(source, FileReference)]


def read_conversation(messages: list[Message]) -> Conversation:
    """Take a request's messages apart. Raises InvalidRequest where there is no user message or a part is unknown."""
    if not any(message.get("role") == "user" for message in messages):
        raise InvalidRequest("The input messages do not contain elements with the role of user.", param="messages")
    reader = _Reader()
    for message in messages:
        reader.read(message)
    return reader.conversation()


def text_of(message: Message) -> str:
    """A message's text, of all its text parts together."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or "") for part in content if part.get("type") == "text")
    return content or ""


class _Reader:
    """Goes through the messages in order; `_pending` are documents seen since the last turn."""

    def __init__(self) -> None:
        self._role: str | None = None
        self._turns: list[Turn] = []
        self._pending: list[DocumentSource] = []
        self._inline_count = 0
        self._at_start = True

    def read(self, message: Message) -> None:
        if message.get("role") in ("system", "developer"):
            self._read_system(message)
        else:
            self._read_turn(message)
        self._at_start = False

    def conversation(self) -> Conversation:
        question = next((text_of(t.message) for t in reversed(self._turns) if t.message.get("role") == "user"), "")
        return Conversation(self._role, tuple(self._turns), tuple(self._pending), question)

    def _read_system(self, message: Message) -> None:
        content = message.get("content")
        if isinstance(content, list):
            message = message | {"content": list(self._parts(content))}
        text = text_of(message)
        if _is_only_references(text):
            self._pending += _references(text)
        elif self._at_start:
            self._role, references = _split_role(text)
            self._pending += references
        elif text.strip():
            self._inline_count += 1
            self._pending.append(InlineDocument(self._inline_count, _LINE_END.sub("\n", text)))

    def _read_turn(self, message: Message) -> None:
        content = message.get("content")
        if isinstance(content, list):
            kept = list(self._parts(content))
            message = message | {"content": kept}
        if message.get("role") == "user" or not self._pending:
            self._turns.append(Turn(message, tuple(self._pending)))
            self._pending = []
        else:  # documents come before a question, never before an assistant's or a tool's words
            self._turns.append(Turn(message))

    def _parts(self, parts: list[Message]) -> Iterator[Message]:
        """The parts that stay in the message; documents among them become references."""
        for number, part in enumerate(parts):
            if part.get("type") != "file":
                yield part
                continue
            file = part.get("file")
            file_id = file.get("file_id") if isinstance(file, dict) else None
            if not isinstance(file_id, str):
                message = "A part of type 'file' needs file.file_id: upload the file first, then name its id."
                raise InvalidRequest(message, param=f"messages.content[{number}].file")
            self._pending.append(FileReference(file_id))


def _is_only_references(text: str) -> bool:
    """Whether a text is a list of file ids and nothing else. Ends at the first word that is not one."""
    words = 0
    for word in _WORD.finditer(text):
        if not word.group().startswith(_SCHEME):
            return False
        words += 1
    return words > 0


def _references(text: str) -> list[DocumentSource]:
    return [FileReference(word.removeprefix(_SCHEME)) for word in _WORD.findall(text)]


def _split_role(text: str) -> tuple[str, list[DocumentSource]]:
    """The role's text without the lines that only name files, and those files."""
    role_lines: list[str] = []
    references: list[DocumentSource] = []
    for line in text.splitlines(keepends=True):
        if _is_only_references(line):
            references += _references(line)
        else:
            role_lines.append(line)
    return "".join(role_lines).strip("\n") if references else text, references


def with_last_documents(conversation: Conversation) -> Conversation:
    """The same, with documents that came after the last question put before it: documents stand before questions."""
    if not conversation.trailing:
        return conversation
    turns = list(conversation.turns)
    last = max(i for i, turn in enumerate(turns) if turn.message.get("role") == "user")
    turns[last] = replace(turns[last], documents=(*turns[last].documents, *conversation.trailing))
    return replace(conversation, turns=tuple(turns), trailing=())
