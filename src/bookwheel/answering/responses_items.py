"""The items of a response while they are being said: each step of one gives the events that tell of it."""

import secrets
from collections.abc import Sequence
from typing import Any

from bookwheel.wire.responses import (
    AnnotationAdded,
    ArgumentsDelta,
    ArgumentsDone,
    FileCitation,
    FunctionCall,
    ItemAdded,
    ItemDone,
    OutputItem,
    OutputMessage,
    OutputRefusal,
    OutputText,
    PartAdded,
    PartDone,
    ReasoningDelta,
    ReasoningDone,
    ReasoningItem,
    ReasoningText,
    RefusalDelta,
    RefusalDone,
    ResponseEvent,
    Status,
    TextDelta,
    TextDone,
)


def make_id(prefix: str) -> str:
    """A new id, such as `msg_...`."""
    return f"{prefix}_{secrets.token_hex(16)}"


class Numbering:
    """The sequence numbers of a response's events."""

    def __init__(self) -> None:
        self._next = 0

    @property
    def has_begun(self) -> bool:
        return self._next > 0

    def next(self) -> int:
        number = self._next
        self._next += 1
        return number


class _Place:
    """Where a part stands: what every event of it says."""

    def __init__(self, numbers: Numbering, item_id: str, output_index: int, content_index: int) -> None:
        self._numbers = numbers
        self._fixed = {"item_id": item_id, "output_index": output_index, "content_index": content_index}

    def of_next(self) -> dict[str, Any]:
        """The fields of the next event."""
        return self._fixed | {"sequence_number": self._numbers.next()}


class _TextPart:
    """What the answer says."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._pieces: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._citations: list[FileCitation] = []

    def shape(self) -> OutputText:
        return OutputText(text="".join(self._pieces), annotations=self._citations, logprobs=self._logprobs)

    def open(self) -> ResponseEvent:
        return PartAdded(**self._place.of_next(), part=OutputText(text="", annotations=[], logprobs=[]))

    def add(self, text: str, logprobs: list[dict[str, Any]]) -> ResponseEvent:
        self._pieces.append(text)
        self._logprobs += logprobs
        return TextDelta(**self._place.of_next(), delta=text, logprobs=logprobs)

    def cite(self, citations: Sequence[FileCitation]) -> list[ResponseEvent]:
        self._citations = list(citations)
        return [
            AnnotationAdded(**self._place.of_next(), annotation_index=number, annotation=citation)
            for number, citation in enumerate(citations)
        ]

    def close(self) -> list[ResponseEvent]:
        shape = self.shape()
        done = TextDone(**self._place.of_next(), text=shape.text, logprobs=shape.logprobs)
        return [done, PartDone(**self._place.of_next(), part=shape)]


class _RefusalPart:
    """Why the model does not answer."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._pieces: list[str] = []

    def shape(self) -> OutputRefusal:
        return OutputRefusal(refusal="".join(self._pieces))

    def open(self) -> ResponseEvent:
        return PartAdded(**self._place.of_next(), part=OutputRefusal(refusal=""))

    def add(self, text: str) -> ResponseEvent:
        self._pieces.append(text)
        return RefusalDelta(**self._place.of_next(), delta=text)

    def close(self) -> list[ResponseEvent]:
        shape = self.shape()
        done = RefusalDone(**self._place.of_next(), refusal=shape.refusal)
        return [done, PartDone(**self._place.of_next(), part=shape)]


class _Draft:
    """An item: `status` is that of the API. Subclasses say what it is, and what closes it."""

    prefix: str

    def __init__(self, numbers: Numbering, output_index: int) -> None:
        self.id = make_id(self.prefix)
        self.status: Status = "in_progress"
        self.output_index = output_index
        self.numbers = numbers

    def item(self) -> OutputItem:
        """The item as it stands."""
        raise NotImplementedError

    def close_parts(self) -> list[ResponseEvent]:
        """Tell that what the item consists of is whole."""
        raise NotImplementedError

    def open(self) -> list[ResponseEvent]:
        return [ItemAdded(sequence_number=self.numbers.next(), output_index=self.output_index, item=self.item())]

    def close(self, status: Status) -> list[ResponseEvent]:
        """Tell that the item is whole, unless that was told."""
        if self.status != "in_progress":
            return []
        events = self.close_parts()
        self.status = status
        done = ItemDone(sequence_number=self.numbers.next(), output_index=self.output_index, item=self.item())
        return [*events, done]

    def break_off(self) -> None:
        """What is under way stays as it is."""
        if self.status == "in_progress":
            self.status = "incomplete"


class MessageDraft(_Draft):
    """The answer: its text, and a refusal where the model refuses."""

    prefix = "msg"

    def __init__(self, numbers: Numbering, output_index: int) -> None:
        super().__init__(numbers, output_index)
        self._parts: list[_TextPart | _RefusalPart] = []
        self._text: _TextPart | None = None
        self._refusal: _RefusalPart | None = None

    def item(self) -> OutputMessage:
        return OutputMessage(id=self.id, status=self.status, content=[part.shape() for part in self._parts])

    def say(self, text: str, logprobs: list[dict[str, Any]]) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        if self._text is None:
            self._text = _TextPart(self._place())
            self._parts.append(self._text)
            events.append(self._text.open())
        if text:
            events.append(self._text.add(text, logprobs))
        return events

    def refuse(self, text: str) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        if self._refusal is None:
            self._refusal = _RefusalPart(self._place())
            self._parts.append(self._refusal)
            events.append(self._refusal.open())
        return [*events, self._refusal.add(text)]

    def cite(self, citations: Sequence[FileCitation]) -> list[ResponseEvent]:
        """Say what the text rests on; a refusal rests on nothing."""
        return self._text.cite(citations) if self._text else []

    def close_parts(self) -> list[ResponseEvent]:
        return [event for part in self._parts for event in part.close()]

    def _place(self) -> _Place:
        return _Place(self.numbers, self.id, self.output_index, len(self._parts))


class ReasoningDraft(_Draft):
    """What the model thinks, in one part."""

    prefix = "rs"

    def __init__(self, numbers: Numbering, output_index: int) -> None:
        super().__init__(numbers, output_index)
        self._place = _Place(numbers, self.id, output_index, 0)
        self._pieces: list[str] = []

    def item(self) -> ReasoningItem:
        return ReasoningItem(id=self.id, status=self.status, content=[self._shape()] if self._pieces else [])

    def think(self, text: str) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        if not self._pieces:
            events.append(PartAdded(**self._place.of_next(), part=ReasoningText(text="")))
        self._pieces.append(text)
        return [*events, ReasoningDelta(**self._place.of_next(), delta=text)]

    def close_parts(self) -> list[ResponseEvent]:
        shape = self._shape()
        done = ReasoningDone(**self._place.of_next(), text=shape.text)
        return [done, PartDone(**self._place.of_next(), part=shape)]

    def _shape(self) -> ReasoningText:
        return ReasoningText(text="".join(self._pieces))


class CallDraft(_Draft):
    """A function call. Engines send its name and id with its first piece, and its arguments in any pieces."""

    prefix = "fc"

    def __init__(self, numbers: Numbering, output_index: int, call_id: str, name: str) -> None:
        super().__init__(numbers, output_index)
        self.call_id = call_id or make_id("call")
        self.name = name
        self._pieces: list[str] = []

    def item(self) -> FunctionCall:
        return FunctionCall(
            id=self.id, status=self.status, call_id=self.call_id, name=self.name, arguments="".join(self._pieces)
        )

    def add(self, arguments: str) -> list[ResponseEvent]:
        if not arguments:
            return []
        self._pieces.append(arguments)
        return [ArgumentsDelta(**self._fields(), delta=arguments)]

    def close_parts(self) -> list[ResponseEvent]:
        return [ArgumentsDone(**self._fields(), name=self.name, arguments="".join(self._pieces))]

    def _fields(self) -> dict[str, Any]:
        return {
            "sequence_number": self.numbers.next(),
            "item_id": self.id,
            "output_index": self.output_index,
        }
