"""An answer of chat as a response of OpenAI's Responses API, in one piece or event by event.

Both ways go through the same drafts, so that a streamed response is the same as a whole one. An engine's chunks are taken as
they come: what in them is not of its shape is left out. Of several choices the first counts.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from bookwheel.answering.responses_items import CallDraft, MessageDraft, Numbering, ReasoningDraft, make_id
from bookwheel.engines.engine import Chunk, Completion
from bookwheel.errors import ApiError
from bookwheel.wire.chat import BookwheelReport, Citation
from bookwheel.wire.responses import (
    ErrorCode,
    ErrorEvent,
    FailureReason,
    FileCitation,
    IncompleteDetails,
    IncompleteReason,
    InputTokensDetails,
    OutputTokensDetails,
    ResponseCompleted,
    ResponseCreated,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInProgress,
    ResponseObject,
    ResponsesBody,
    ResponsesUsage,
)

Draft = MessageDraft | ReasoningDraft | CallDraft


class ResponseDraft:
    """A response that is being put together. Feed it what the engine says, then end it; each step gives its events."""

    def __init__(self, asked: ResponsesBody) -> None:
        self.response = _opening(asked)
        """The response as far as it is known. Its output is there when it has ended."""
        self._numbers = Numbering()
        self._drafts: list[Draft] = []
        self._message: MessageDraft | None = None
        self._reasoning: ReasoningDraft | None = None
        self._calls: dict[int, CallDraft] = {}
        self._finish_reason: str | None = None
        self._usage: ResponsesUsage | None = None
        self._report: BookwheelReport | None = None

    def add(self, chunks: Sequence[Chunk]) -> list[ResponseEvent]:
        """Take chunks of a stream in."""
        events = self._begin()
        for chunk in chunks:
            self._note(chunk)
            for choice in chunk.get("choices") or ():
                if not choice.get("index"):
                    self._finish_reason = choice.get("finish_reason") or self._finish_reason
                    events += self._take(choice.get("delta") or {}, choice.get("logprobs"))
        return events

    def add_completion(self, completion: Completion) -> None:
        """Take a whole answer in."""
        self._note(completion)
        for choice in completion["choices"][:1]:
            message = choice.get("message") or {}
            calls = [call | {"index": number} for number, call in enumerate(_calls_of(message))]
            self._finish_reason = choice.get("finish_reason")
            self._take(message | {"tool_calls": calls}, choice.get("logprobs"))

    def end(self) -> list[ResponseEvent]:
        """The engine has said all that it had to."""
        events = self._begin()
        cut_off = _why_cut_off(self._finish_reason)
        if not (cut_off or self._message or self._calls):  # whoever looks for a message finds one
            events += self._say("", [])
        events += self._cite()
        for draft in self._drafts:
            events += draft.close("incomplete" if cut_off and draft is self._drafts[-1] else "completed")
        self.response = msgspec.structs.replace(
            self.response,
            status="incomplete" if cut_off else "completed",
            completed_at=None if cut_off else int(time.time()),
            incomplete_details=IncompleteDetails(reason=cut_off) if cut_off else None,
            output=[draft.item() for draft in self._drafts],
            usage=self._usage,
            bookwheel=self._report or msgspec.UNSET,
        )
        event = ResponseIncomplete if cut_off else ResponseCompleted
        return [*events, event(sequence_number=self._numbers.next(), response=self.response)]

    def fail(self, error: ApiError, request_id: str) -> list[ResponseEvent]:
        """The answer broke off, unless it has ended. Stock SDKs raise at the last event; the one before has what there was."""
        if self.response.status != "in_progress":
            return []
        events = self._begin()
        for draft in self._drafts:
            draft.break_off()
        self.response = msgspec.structs.replace(
            self.response,
            status="failed",
            error=FailureReason(code=_failure_code(error), message=error.message),
            output=[draft.item() for draft in self._drafts],
            usage=self._usage,
        )
        failed = ResponseFailed(sequence_number=self._numbers.next(), response=self.response)
        return [*events, failed, _error_event(self._numbers.next(), error, request_id)]

    def _begin(self) -> list[ResponseEvent]:
        if self._numbers.has_begun:
            return []
        return [
            ResponseCreated(sequence_number=self._numbers.next(), response=self.response),
            ResponseInProgress(sequence_number=self._numbers.next(), response=self.response),
        ]

    def _note(self, said: dict[str, Any]) -> None:
        """What stands beside the choices."""
        if said.get("usage"):
            self._usage = _usage(said["usage"])
        report = said.get("bookwheel")
        if isinstance(report, BookwheelReport):  # not one that an engine sent
            self._report = report

    def _take(self, said: dict[str, Any], logprobs: Any) -> list[ResponseEvent]:
        """Take in what a message or a piece of one says."""
        events: list[ResponseEvent] = []
        if thought := _text(said, "reasoning_content") or _text(said, "reasoning"):
            events += self._think(thought)
        if text := _text(said, "content"):
            events += self._say(text, _logprobs(logprobs))
        if refusal := _text(said, "refusal"):
            events += self._refuse(refusal)
        for call in _calls_of(said):
            events += self._call(call)
        return events

    def _think(self, text: str) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        if self._reasoning is None:
            self._reasoning = ReasoningDraft(self._numbers, len(self._drafts))
            events += self._open(self._reasoning)
        return [*events, *self._reasoning.think(text)]

    def _say(self, text: str, logprobs: list[dict[str, Any]]) -> list[ResponseEvent]:
        if self._message is not None and self._reasoning is None:  # nearly always
            return self._message.say(text, logprobs)
        events, message = self._answer()
        return [*events, *message.say(text, logprobs)]

    def _refuse(self, text: str) -> list[ResponseEvent]:
        events, message = self._answer()
        return [*events, *message.refuse(text)]

    def _answer(self) -> tuple[list[ResponseEvent], MessageDraft]:
        """The message, and the events of thinking that ends and of a message that begins."""
        events = self._end_thinking()
        if self._message is None:
            self._message = MessageDraft(self._numbers, len(self._drafts))
            events += self._open(self._message)
        return events, self._message

    def _call(self, call: dict[str, Any]) -> list[ResponseEvent]:
        """Take a piece of a function call in.

        Pieces of one call have one `index`. Some engines give all their calls the same: then a name with another id begins
        the next.
        """
        events = self._end_thinking()
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        call_id, name, index = _text(call, "id"), _text(function, "name"), call.get("index")
        number = index if isinstance(index, int) else len(self._calls) - (0 if name else 1)
        known = self._calls.get(number)
        if known is None or (name and known.name and call_id not in ("", known.call_id)):
            known = CallDraft(self._numbers, len(self._drafts), call_id, name)
            self._calls[number] = known
            events += self._open(known)
        known.name = known.name or name
        return [*events, *known.add(_arguments(function))]

    def _end_thinking(self) -> list[ResponseEvent]:
        events = self._reasoning.close("completed") if self._reasoning else []
        self._reasoning = None
        return events

    def _open(self, draft: Draft) -> list[ResponseEvent]:
        self._drafts.append(draft)
        return draft.open()

    def _cite(self) -> list[ResponseEvent]:
        citations = self._report.citations if self._report else msgspec.UNSET
        if self._message is None or citations is msgspec.UNSET:
            return []
        return self._message.cite([_file_citation(citation) for citation in citations])


def _opening(asked: ResponsesBody) -> ResponseObject:
    """A response of which nothing is known but what was asked."""
    return ResponseObject(
        id=make_id("resp"),
        created_at=int(time.time()),
        status="in_progress",
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        model=asked.model,
        output=[],
        parallel_tool_calls=asked.parallel_tool_calls is not False,
        prompt_cache_key=asked.prompt_cache_key,
        reasoning={"effort": None, "summary": None} | (asked.reasoning or {}),
        safety_identifier=asked.safety_identifier,
        temperature=asked.temperature,
        text={"format": {"type": "text"}} | (asked.text or {}),
        tool_choice=asked.tool_choice or "auto",
        tools=asked.tools or [],
        top_logprobs=asked.top_logprobs or 0,
        top_p=asked.top_p,
        user=asked.user,
        metadata=asked.metadata or {},
    )


def _why_cut_off(finish_reason: str | None) -> IncompleteReason | None:
    if finish_reason == "length":
        return "max_output_tokens"
    return "content_filter" if finish_reason == "content_filter" else None


def _failure_code(error: ApiError) -> ErrorCode:
    """The nearest of the codes that responses may have; the `error` event has the true one."""
    if error.http_status == 429:
        return "rate_limit_exceeded"
    return "invalid_prompt" if error.http_status < 500 else "server_error"


def _error_event(number: int, error: ApiError, request_id: str) -> ErrorEvent:
    fields = error.as_error_object()
    return ErrorEvent(
        sequence_number=number,
        code=_text(fields, "code") or error.error_code,
        message=error.message,
        param=_text(fields, "param") or None,
        error=fields,
        request_id=request_id,
    )


def _file_citation(citation: Citation) -> FileCitation:
    return FileCitation(
        file_id=citation.file_id or "",
        filename=citation.filename,
        index=citation.answer_end,
        quote=citation.quote,
        anchor=citation.anchor,
        start=citation.start,
        end=citation.end,
        answer_start=citation.answer_start,
        answer_end=citation.answer_end,
    )


def _usage(said: Any) -> ResponsesUsage | None:
    """Chat's usage in a response's words."""
    if not isinstance(said, dict):
        return None
    read, written = _count(said, "prompt_tokens"), _count(said, "completion_tokens")
    return ResponsesUsage(
        input_tokens=read,
        input_tokens_details=InputTokensDetails(
            cached_tokens=_count(said.get("prompt_tokens_details"), "cached_tokens")
        ),
        output_tokens=written,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=_count(said.get("completion_tokens_details"), "reasoning_tokens")
        ),
        total_tokens=_count(said, "total_tokens") or read + written,
    )


def _count(fields: Any, name: str) -> int:
    number = fields.get(name) if isinstance(fields, dict) else None
    return number if isinstance(number, int) else 0


def _text(fields: dict[str, Any], name: str) -> str:
    text = fields.get(name)
    return text if isinstance(text, str) else ""


def _calls_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    calls = said.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _arguments(function: dict[str, Any]) -> str:
    """A string, though some engines send the object itself."""
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode()
    return _text(function, "arguments")


def _logprobs(said: Any) -> list[dict[str, Any]]:
    """Those of a piece of text. A token that is no text has no `bytes` in chat; here they are a list."""
    tokens = said.get("content") if isinstance(said, dict) else None
    if not isinstance(tokens, list):
        return []
    return [_logprob(token) | {"top_logprobs": _tops(token)} for token in tokens if isinstance(token, dict)]


def _tops(token: dict[str, Any]) -> list[dict[str, Any]]:
    tops = token.get("top_logprobs")
    return [_logprob(top) for top in tops if isinstance(top, dict)] if isinstance(tops, list) else []


def _logprob(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token.get("token"), "logprob": token.get("logprob"), "bytes": token.get("bytes") or []}
