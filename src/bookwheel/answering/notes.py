"""Notes that an engine took on documents: how they are laid out, and how they are brought within a budget."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import log

from bookwheel.answering.parts import Part, span_in_words
from bookwheel.document import part_text
from bookwheel.sentences import is_mostly_cjk, question_terms
from bookwheel.terms import terms_of
from bookwheel.tokens import count_tokens

LEAST_NOTE_TOKENS = 24
"""A note that is trimmed to less than that says nothing: then those that bear least on the question go."""
MOST_TITLES = 8
NAMED_UNREAD = (20, 5, 1)
"""How many parts are named at most that could not be read: fewer where that takes too much."""
SURELY_BETTER = 1.5
"""A line is about the document that shares so many times more with it than the next best."""
_TRIMMED = " …"


@dataclass(frozen=True, slots=True)
class Note:
    """What was noted on these parts, which are in the documents' order."""

    parts: tuple[Part, ...]
    text: str

    @property
    def title(self) -> str:
        """The titles of its documents."""
        titles = list(dict.fromkeys(" ".join(part.title.split()) for part in self.parts))
        return "; ".join(titles[:MOST_TITLES]) + (_TRIMMED if len(titles) > MOST_TITLES else "")

    @property
    def anchors(self) -> str:
        """Where in its document it comes from; empty where there are several."""
        if len({part.document for part in self.parts}) > 1:
            return ""
        return span_in_words(self.parts[0].first_anchor, self.parts[-1].last_anchor)


@dataclass(frozen=True, slots=True)
class Notes:
    """What `thorough` read. `text` is what the engine is shown in the documents' place: at most the budget.

    `notes` are what stands in it, `unread` the parts that the engine failed on; `calls` were made of the engine, `reused`
    answers were kept from before. `is_trimmed` says that notes had to be cut to fit.
    """

    text: str
    tokens: int
    notes: tuple[Note, ...]
    parts: tuple[Part, ...]
    unread: tuple[Part, ...]
    calls: int
    reused: int
    is_trimmed: bool

    @property
    def coverage(self) -> float:
        """Share of the documents' tokens that was read."""
        total = sum(part.tokens for part in self.parts)
        return 1 - sum(part.tokens for part in self.unread) / total if total else 1.0


def render_notes(notes: Sequence[Note]) -> str:
    """The notes in order, each document's under its title, with their anchors."""
    return "\n\n".join(
        "\n".join([_heading(title), *(line for note in under for line in _lines(note))])
        for title, under in groupby(notes, key=lambda note: note.title)
    )


def tell_apart(text: str, sources: Sequence[str]) -> list[int | None]:
    """Which of the sources each line of a text is about, by the terms they share; None where two are as good.

    A term counts by its inverse document frequency among the sources.
    """
    having = [frozenset(terms_of(source)) for source in sources]
    counts = Counter(term for terms in having for term in terms)
    told: list[int | None] = []
    for line in text.splitlines():
        shared = [
            sum(log(len(sources) / counts[term]) for term in terms)
            for terms in (own & frozenset(terms_of(line)) for own in having)
        ]
        best = max(range(len(sources)), key=shared.__getitem__)
        second = max((score for number, score in enumerate(shared) if number != best), default=0.0)
        told.append(best if shared[best] > SURELY_BETTER * second else None)
    return told


def name_unread(unread: Sequence[Part], question: str, most_tokens: int) -> str:
    """A line that says what could not be read; empty where all was, or where not even one part can be named."""
    begin = "未能读到：" if is_mostly_cjk(question) else "Could not be read: "
    for most in NAMED_UNREAD:
        named = "; ".join(part.called for part in unread[:most]) + (_TRIMMED if len(unread) > most else "")
        if named and count_tokens(begin + named) <= most_tokens:
            return begin + named
    return ""


def fit_notes(notes: Sequence[Note], question: str, budget_tokens: int) -> list[Note]:
    """The notes within the budget, rendered: the long ones trimmed to one length, and if need be the least bearing gone."""
    if count_tokens(render_notes(notes)) <= budget_tokens:
        return list(notes)
    kept = _most_bearing(notes, question, budget_tokens)
    room = float(budget_tokens - sum(_frame_tokens(note) for note in kept))
    while kept:
        cap = _even_cap([count_tokens(note.text) for note in kept], room)
        trimmed = [_trim(note, cap) for note in kept]
        if count_tokens(render_notes(trimmed)) <= budget_tokens:
            return trimmed
        room *= 0.95
        if room < len(kept):
            break
    return []


def _heading(title: str) -> str:
    return f"## {title}"


def _lines(note: Note) -> list[str]:
    return [f"({note.anchors})", note.text] if note.anchors else [note.text]


def _frame_tokens(note: Note) -> int:
    return count_tokens(f"\n\n{_heading(note.title)}\n({note.anchors})\n{_TRIMMED}")


def _most_bearing(notes: Sequence[Note], question: str, budget_tokens: int) -> list[Note]:
    """Those that share most of the question's terms, as many as can have `LEAST_NOTE_TOKENS` each, in order."""
    asked = frozenset(question_terms(question))
    shared = [len(asked.intersection(terms_of(note.text))) for note in notes]
    chosen: list[int] = []
    left = budget_tokens
    for number in sorted(range(len(notes)), key=lambda n: (-shared[n], n)):
        left -= _frame_tokens(notes[number]) + min(LEAST_NOTE_TOKENS, count_tokens(notes[number].text))
        if left < 0:
            break
        chosen.append(number)
    return [notes[number] for number in sorted(chosen)]


def _even_cap(sizes: Sequence[int], room: float) -> int:
    """The most that each may have so that all together keep within the room: what short ones leave, long ones get."""
    left = room
    for done, size in enumerate(sorted(sizes)):
        share = left / (len(sizes) - done)
        if size > share:
            return int(share)
        left -= size
    return max(sizes, default=0)


def _trim(note: Note, cap_tokens: int) -> Note:
    text = note.text
    while (tokens := count_tokens(text)) > cap_tokens and len(text) > 1:
        text = _beginning(text, max(1, min(len(text) - 1, len(text) * cap_tokens // tokens)))
    return note if text is note.text else replace(note, text=text.rstrip() + _TRIMMED)


def _beginning(text: str, limit: int) -> str:
    """The beginning of a text, up to a natural end that leaves at least half of the limit."""
    end = part_text(text, limit)
    return text[: end if end > limit // 2 else limit]
