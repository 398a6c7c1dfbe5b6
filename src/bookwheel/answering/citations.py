"""Which sentences of the documents the sentences of an answer rest on.

A quote is cut out of the document's own text at the place it names, so it stands there by construction; an answer's
sentence that shares too little with any gets no citation.
"""

from collections.abc import Callable, Sequence

from bookwheel.engines.engine import Excerpt, ShownDocument
from bookwheel.sentences import Sentence, SentenceIndex, question_terms, split_sentences
from bookwheel.terms import terms_of
from bookwheel.wire.chat import Citation

LEAST_SHARE = 0.37
"""Of the weight of an answer sentence's terms that its quote must have."""
WEIGHT_OF_ASKED = 0.3
"""Of a term that the question had already: an answer is borne out by what it adds."""
WEIGHT_OF_UNKNOWN = 0.5
"""Of a term that no document has, beside the rarest that one has: paraphrase is common, but so is invention."""
NEAR_QUESTION = 0.15
"""What bearing on the question adds at most: it parts quotes that share as much."""
MOST_CITATIONS = 50


AnchorAt = Callable[[int], str]
"""Character of a document → the anchor of what stands there."""


def cite(answer: str, question: str, documents: Sequence[ShownDocument], anchors: Sequence[AnchorAt]) -> list[Citation]:
    """One citation for each sentence of the answer that a document supports, in the answer's order, each quote once.

    `anchors` are those of the documents, in their order.
    """
    shown = [(number, excerpt) for number, document in enumerate(documents) for excerpt in document.excerpts]
    index = SentenceIndex([excerpt.text for _, excerpt in shown])
    bearing = index.scores_with_neighbours(question_terms(question))
    asked = frozenset(terms_of(question))
    citations: list[Citation] = []
    cited: set[int] = set()
    titles = {f"{document.title}:" for document in documents}
    for sentence in split_sentences(answer)[:MOST_CITATIONS]:
        if answer[sentence.start : sentence.end] in titles:  # says whose quotes follow
            continue
        number = _best_support(index, answer[sentence.start : sentence.end], asked, bearing)
        if number is None or number in cited:
            continue
        cited.add(number)
        quoted = index.sentences[number]
        document, excerpt = shown[quoted.source]
        citations.append(_citation(quoted, documents[document], excerpt, anchors[document], sentence))
    return citations


def _best_support(index: SentenceIndex, statement: str, asked: frozenset[str], bearing: dict[int, float]) -> int | None:
    """The number of the sentence that bears a statement out best, or None where none does enough."""
    weights = {term: _weight(index, term, asked) for term in set(terms_of(statement))}
    shared = index.shared_weights(weights)
    if not shared:
        return None
    total = sum(weights.values())
    most = max(bearing.values(), default=1.0)
    best = max(shared, key=lambda n: (shared[n] / total + NEAR_QUESTION * bearing.get(n, 0.0) / most, -n))
    return best if shared[best] / total >= LEAST_SHARE else None


def _weight(index: SentenceIndex, term: str, asked: frozenset[str]) -> float:
    weight = index.weight(term) or WEIGHT_OF_UNKNOWN * index.rarest
    return weight * WEIGHT_OF_ASKED if term in asked else weight


def line_anchor(text: str) -> AnchorAt:
    """The anchors of a text without blocks: its lines, from 1."""
    return lambda offset: f"line {1 + text.count(chr(10), 0, offset)}"


def _citation(
    quoted: Sentence, document: ShownDocument, excerpt: Excerpt, anchor_at: AnchorAt, statement: Sentence
) -> Citation:
    start = excerpt.start + quoted.start
    return Citation(
        file_id=document.file_id,
        filename=document.title,
        quote=excerpt.text[quoted.start : quoted.end],
        anchor=anchor_at(start),
        start=start,
        end=excerpt.start + quoted.end,
        answer_start=statement.start,
        answer_end=statement.end,
    )
