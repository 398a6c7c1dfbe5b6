"""What a chat request says: its turns, and the documents named or given between them.

The first system message is the role. Further system messages are documents: `fileid://ID,fileid://ID`, or a document's
text, or a document as a JSON string. A message that is only a list of file ids may also stand first, or in lines of the
first. `developer` is read as `system`. Parts of type `file` or `input_file` with a `file_id` count as the same
reference, in any message; what came as `file_data` has an id by then (see `attachments`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bookwheel.errors import InvalidRequest

Message = dict[str, Any]

_SCHEME = "fileid://"
_LINE_END = re.compile(r"\r\n?")
_WORD = re.compile(r"[^\s,，、;；]+")


@dataclass(frozen=True, slots=True)
class FileReference:
    """A document by its file id. `place` is where the request names it, as errors have it; it does not tell two apart."""

    file_id: str
    place: str = field(default="messages", compare=False)


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
    """A request's turns in order. `role` is the first system message's text, where there is one.

    `opening` is that message with its fields, and without the files it names.
    """

    role: str | None
    turns: tuple[Turn, ...]
    trailing: tuple[DocumentSource, ...] = ()
    question: str = field(default="")
    opening: Message | None = None

    @property
    def earlier_questions(self) -> tuple[str, ...]:
        """What the user said before the question, the oldest first."""
        return tuple(_said_by_user(self.turns)[:-1])

    def documents(self) -> list[DocumentSource]:
        """Every document, in the order of the request, each file once."""
        named = [source for turn in self.turns for source in turn.documents]
        return list(dict.fromkeys([*named, *self.trailing]))

    def files(self) -> list[FileReference]:
        """The distinct files, in the order of the request, as each is named first."""
        return [source for source in self.documents() if isinstance(source, FileReference)]


def read_conversation(messages: list[Message]) -> Conversation:
    """Take a request's messages apart. Raises InvalidRequest where there is no user message or a part is unknown."""
    if not any(message.get("role") == "user" for message in messages):
        raise InvalidRequest("The input messages do not contain elements with the role of user.", param="messages")
    reader = _Reader()
    for number, message in enumerate(messages):
        reader.read(message, f"messages[{number}]")
    return reader.conversation()


def _said_by_user(turns: Sequence[Turn]) -> list[str]:
    said = (text_of(turn.message) for turn in turns if turn.message.get("role") == "user")
    return [text for text in said if text]


def _only_carries(turn: Turn) -> bool:
    """Whether a user's turn has documents and says nothing: what the user says next is about them."""
    return bool(turn.documents) and turn.message.get("role") == "user" and turn.message.get("content") == ""


def file_in(part: Message) -> dict[str, Any] | None:
    """What a part of type `file` or `input_file` says of its file; None for a part of another type."""
    if part.get("type") == "input_file":
        return part
    if part.get("type") == "file":
        file = part.get("file")
        return file if isinstance(file, dict) else {}
    return None


def place_in(part: Message, place: str) -> str:
    """Where the fields of such a part stand, which itself stands at `place`."""
    return place if part.get("type") == "input_file" else f"{place}.file"


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
        self._opening: Message | None = None
        self._turns: list[Turn] = []
        self._pending: list[DocumentSource] = []
        self._inline_count = 0
        self._at_start = True

    def read(self, message: Message, place: str) -> None:
        content = message.get("content")
        if isinstance(content, list):
            message = message | {"content": list(self._parts(content, place))}
        if message.get("role") in ("system", "developer"):
            self._read_system(message)
        else:
            self._read_turn(message)
        self._at_start = False

    def conversation(self) -> Conversation:
        said = _said_by_user(self._turns)
        question = said[-1] if said else ""
        return Conversation(self._role, tuple(self._turns), tuple(self._pending), question, self._opening)

    def _read_system(self, message: Message) -> None:
        text = text_of(message)
        if _is_only_references(text):
            self._pending += _references(text)
        elif self._at_start:
            self._role, references = _split_role(text)
            self._pending += references
            is_kept = not references and _is_more_than_text(message.get("content"))
            self._opening = message if is_kept else message | {"content": self._role}
        elif text.strip():
            self._inline_count += 1
            self._pending.append(InlineDocument(self._inline_count, _LINE_END.sub("\n", text)))

    def _read_turn(self, message: Message) -> None:
        is_user = message.get("role") == "user"
        if is_user and self._turns and _only_carries(self._turns[-1]):
            self._pending = [*self._turns.pop().documents, *self._pending]
        if is_user and self._pending and message.get("content") == []:  # only files: engines refuse a list of nothing
            if self._turns and self._turns[-1].message.get("role") == "user":
                return
            message = message | {"content": ""}
        if is_user or not self._pending:
            self._turns.append(Turn(message, tuple(self._pending)))
            self._pending = []
        else:  # documents come before a question, never before an assistant's or a tool's words
            self._turns.append(Turn(message))

    def _parts(self, parts: list[Message], place: str) -> Iterator[Message]:
        """The parts that stay in the message; documents among them become references."""
        for number, part in enumerate(parts):
            file = file_in(part)
            if file is None:
                yield part
            else:
                self._pending.append(_file_named(file, place_in(part, f"{place}.content[{number}]")))


def _file_named(file: dict[str, Any], place: str) -> FileReference:
    if file.get("file_url"):
        raise InvalidRequest(
            "Files are not fetched from URLs here: send the file's bytes as file_data, or upload it and name its file_id.",
            param=f"{place}.file_url",
        )
    file_id = file.get("file_id")
    if not isinstance(file_id, str) or not file_id:
        message = "A file part needs file_id, the id of an uploaded file, or file_data, the file's bytes as base64."
        raise InvalidRequest(message, param=place)
    return FileReference(file_id, place)


def _is_more_than_text(content: Any) -> bool:
    """Whether joining the parts of a content would lose something: a picture, or a mark for the engine's cache."""
    return isinstance(content, list) and any(part.get("type") != "text" or len(part) > 2 for part in content)


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
