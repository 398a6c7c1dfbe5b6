"""Says at the end of an answer what was read and what the answer rests on: the `bookwheel` object and its parts."""

from typing import Any

import msgspec

from bookwheel.answering.documents import DocumentTokens
from bookwheel.answering.gather import Gathered
from bookwheel.answering.plan import Plan
from bookwheel.engines.engine import Engine, ShownDocument
from bookwheel.wire.chat import Citation, ContextReport, FileReading

MOST_ANCHORS = 100


def context_report(
    engine: Engine, tokens: DocumentTokens, plan: Plan, gathered: Gathered, milliseconds: dict[str, float]
) -> ContextReport:
    """What the engine was shown, and what that took."""
    readings = [_file_reading(document, number, gathered) for number, document in enumerate(gathered.documents)]
    selected = sum(reading.selected_tokens for reading in readings)
    coverage = gathered.notes.coverage if gathered.notes else selected / max(1, tokens.total)
    return ContextReport(
        reading=plan.reading,
        engine=engine.name,
        reason=plan.reason,
        window_tokens=engine.window_tokens,
        budget_tokens=plan.budget_tokens,
        document_tokens=tokens.total,
        selected_tokens=selected,
        coverage=round(min(1.0, coverage), 4),
        files=readings,
        milliseconds=milliseconds,
        support=msgspec.UNSET if gathered.support is None else gathered.support,
        thorough=gathered.thorough or msgspec.UNSET,
    )


def _file_reading(document: ShownDocument, number: int, gathered: Gathered) -> FileReading:
    excerpts = () if document.is_whole else document.excerpts[:MOST_ANCHORS]
    return FileReading(
        file_id=document.file_id,
        filename=document.title,
        tokens=document.tokens,
        selected_tokens=min(document.selected_tokens, document.tokens),
        anchors=list(dict.fromkeys(gathered.anchors[number](excerpt.start) for excerpt in excerpts)),
    )


def annotation(citation: Citation) -> dict[str, Any]:
    """A citation as OpenAI's `annotations` have it, `index` being where in the answer it belongs."""
    fields: dict[str, Any] = msgspec.to_builtins(citation)
    return fields | {"index": citation.answer_end}
