"""An engine without weights: it answers with the sentences of the documents that bear most on the question.

It never invents, and it says so when nothing in the documents bears on the question. It does not converse.
"""

import asyncio
from itertools import pairwise

from bookwheel.engines.engine import EngineRequest, Excerpt, ShownDocument
from bookwheel.engines.text import TextEngine, check_is_for_text
from bookwheel.sentences import SentenceIndex, is_mostly_cjk, question_terms, telling_terms

QUOTES = 2
QUOTES_OF_WHOLE = 5
LEAST_SHARE_OF_TERMS = 0.15
"""Of the question's terms, by weight, that the best sentence must share: less than that is chance."""
LEAST_SUPPORT = 0.25
"""The same of all that was searched, where it was: what the question names hardly stands together anywhere."""


class ExtractiveEngine(TextEngine):
    """See the module."""

    kind = "extractive"
    detail = "answers with quotes from the documents; no weights needed"

    async def write(self, request: EngineRequest) -> str:
        check_is_for_text(self.name, request)
        if request.is_about_whole and request.documents:
            return await asyncio.to_thread(quotes_of_whole, request.documents)
        return await asyncio.to_thread(best_quotes, request.question, request.documents, request.support)


def best_quotes(question: str, documents: tuple[ShownDocument, ...], support: float | None = None) -> str:
    """The best sentences in their documents' order, one a line, each file's under its name where there are several.

    `support` as `EngineRequest` has it.
    """
    if not documents:
        return _say(
            question, "请在问题中附上文档。", "Name a document to ask about: this engine answers from documents only."
        )
    shown = [(document, excerpt) for document in documents for excerpt in document.excerpts]
    index = SentenceIndex([excerpt.text for _, excerpt in shown])
    terms = question_terms(question)
    scores = index.scores_with_neighbours(terms)
    best = sorted(scores, key=lambda number: (-scores[number], number))[:QUOTES]
    told = telling_terms(terms)
    if support is None:
        is_held = bool(best) and max(index.share_of_terms(number, told) for number in best) >= LEAST_SHARE_OF_TERMS
    else:
        is_held = bool(best) and support >= LEAST_SUPPORT
    if not is_held:
        return _say(question, "文档中没有提到。", "The documents do not say.")
    return _quote(index, best, shown)


def quotes_of_whole(documents: tuple[ShownDocument, ...]) -> str:
    """Sentences that stand for the documents: of each of some equal stretches the one whose terms come again most there."""
    shown = [(document, excerpt) for document in documents for excerpt in document.excerpts]
    index = SentenceIndex([excerpt.text for _, excerpt in shown])
    count = len(index.sentences)
    edges = [count * part // QUOTES_OF_WHOLE for part in range(QUOTES_OF_WHOLE + 1)]
    best = [max(range(a, b), key=index.recurrence) for a, b in pairwise(edges) if a < b]
    return _quote(index, best, shown)


def _quote(index: SentenceIndex, numbers: list[int], shown: list[tuple[ShownDocument, Excerpt]]) -> str:
    lines: list[str] = []
    last_named = None
    several = len({id(document) for document, _ in shown}) > 1
    for number in sorted(numbers):
        sentence = index.sentences[number]
        document, excerpt = shown[sentence.source]
        if several and document is not last_named:
            lines.append(f"{document.title}:")
            last_named = document
        lines.append(excerpt.text[sentence.start : sentence.end])
    return "\n".join(lines)


def _say(question: str, chinese: str, english: str) -> str:
    return chinese if is_mostly_cjk(question) else english
