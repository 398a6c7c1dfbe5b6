"""An engine without weights: it answers with the sentences of the documents that bear most on the question.

It never invents, and it says so when nothing in the documents bears on the question. It does not converse.
"""

import asyncio

from bookwheel.engines.engine import EngineRequest, ShownDocument
from bookwheel.engines.text import TextEngine
from bookwheel.sentences import SentenceIndex, is_mostly_cjk, question_terms, telling_terms

QUOTES = 2
LEAST_SHARE_OF_TERMS = 0.15
"""Of the question's terms, by weight, that the best sentence must share: less than that is chance."""


class ExtractiveEngine(TextEngine):
    """See the module."""

    kind = "extractive"
    detail = "answers with quotes from the documents; no weights needed"

    async def write(self, request: EngineRequest) -> str:
        return await asyncio.to_thread(best_quotes, request.question, request.documents)


def best_quotes(question: str, documents: tuple[ShownDocument, ...]) -> str:
    """The best sentences in their documents' order, one a line, each file's under its name where there are several."""
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
    if not best or max(index.share_of_terms(number, told) for number in best) < LEAST_SHARE_OF_TERMS:
        return _say(question, "文档中没有提到。", "The documents do not say.")
    lines: list[str] = []
    last_named = None
    for number in sorted(best):
        sentence = index.sentences[number]
        document, excerpt = shown[sentence.source]
        if len(documents) > 1 and document is not last_named:
            lines.append(f"{document.title}:")
            last_named = document
        lines.append(excerpt.text[sentence.start : sentence.end])
    return "\n".join(lines)


def _say(question: str, chinese: str, english: str) -> str:
    return chinese if is_mostly_cjk(question) else english
