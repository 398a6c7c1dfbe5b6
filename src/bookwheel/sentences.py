"""Sentences, and which of them bear on a question.

For what fits a window: a text is split and scored anew each time. Offsets are in characters of the text that was given.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bookwheel.document import is_page_mark
from bookwheel.terms import CJK, is_single_character, terms_of

BM25_K1 = 1.2
BM25_B = 0.5
NEIGHBOUR_SHARE = 0.25
"""How much of its neighbours' score a sentence is given: answers often stand next to the words of the question."""
LONGEST_SENTENCE_CHARACTERS = 1_000
LEAST_TELLING_TERMS = 8
"""Sentences of fewer terms tell little by themselves."""

_CJK_CHARACTER = re.compile(rf"[{CJK}]")
_CJK_RUN_OR_WORD = re.compile(rf"[{CJK}]+|[^\W_{CJK}]+(?:[.,]\d+)*")
_BREAK = re.compile(r"[。！？!?…]+[”’」』\"')\]）】》]*|[.;；][\"”’)\]]*(?=\s|$)|\n")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"“])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|No|Nos|vs|etc|cf|Mme|Mlle|Prof|Sr|Jr|Fig|Inc|Ltd|Co|Corp|e\.g|i\.e|U\.S)$"
)
_ITEM_NUMBER = re.compile(r"(?:^|\n)[ \t]*(?:\d{1,3}|[a-z]|[ivx]{2,5})$")
_WRAPPED = re.compile(
    r"[a-z0-9,;:’'\-]\n[ \t]*(?!(?:\d+|[a-z]|[ivx]{2,5})[.)]\s|\((?:\d+|[A-Za-z]|[ivx]{2,5})\)\s)[A-Za-z0-9“\"('$]"
)
"""A line end between a line and one that may go on with it: one that is no item of a list."""
_GOES_ON = re.compile(r"[ \t]*[a-z]")
_BETWEEN_COLUMNS = re.compile(r"\t|\||,(?!\d{3}(?!\d))(?=\"?[\w,.$€£¥+-])|;(?=\"?[\w;.$€£¥+-])| {3,}(?=\S)")
_LETTER = re.compile(r"[^\W\d_]")
_ENDS_IN_NUMBERS = re.compile(r"(?:^|\s)[$€£¥(]?[\d.,]*\d[%)]?[ \t]+[$€£¥(]{0,2}[\d.,]*\d[%)]?$")
MOST_LINE_CHARACTERS = 200
"""What is looked at of the lines on either side of a line end."""
LEAST_WRAPPED_CHARACTERS = 40
"""A shorter line is not wrapped where the next begins like a sentence: there was room for its first word."""
LEAST_COLUMNS = 4
"""A line of as many is a row, even if the line beside it has another number of them (commas within quotes)."""
_CHINESE_ASKING = re.compile(
    r"请问|請問|什么|什麼|多少|哪(?:些|个|個|里|裡|年|一|样子?|樣子?|种|種|位|家|国|國|月|天|座|所|本|部|次|届|屆)?|怎么|怎麼|怎样|如何|为什么|為什麼|为何|是否|有没有|吗|嗎|呢|是谁|是誰|谁|誰|几"
)
_ENGLISH_ASKING = frozenset(
    "a about an and are as at be been by can could did do does for from give had has have how i if in is it its "
    "many me much my of on or please so tell than that the their them there these they this to was were what when "
    "where which who whom whose why will with would you your".split()
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of one of several texts: `text[start:end]` of text number `source`, without white space around it."""

    source: int
    start: int
    end: int


def split_sentences(text: str, source: int = 0) -> list[Sentence]:
    """The sentences of a text in order. A line end parts sentences unless it only wraps running prose."""
    sentences: list[Sentence] = []
    start = 0
    for found in _BREAK.finditer(text):
        if _is_inside_sentence(text, found):
            continue
        _add_trimmed(sentences, text, source, start, found.end())
        start = found.end()
    _add_trimmed(sentences, text, source, start, len(text))
    return sentences


def question_terms(question: str) -> list[str]:
    """The terms of a question that say what is asked about, without those that only ask; all of them if none is left."""
    return terms_of(bare_words(question)) or terms_of(question)


def bare_words(question: str) -> str:
    """A question without the words that only ask."""
    bare = _CHINESE_ASKING.sub(" ", question)
    words = re.split(r"(\s+)", bare)
    return "".join(word for word in words if word.casefold().strip(",.?!\"'’“”():;") not in _ENGLISH_ASKING)


class SentenceIndex:
    """The sentences of some texts, ready to be scored by BM25 with statistics of just these texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.sentences = [sentence for source, text in enumerate(texts) for sentence in split_sentences(text, source)]
        self._counts = [Counter(terms_of(texts[s.source][s.start : s.end])) for s in self.sentences]
        self._lengths = [counts.total() for counts in self._counts]
        self._mean_length = sum(self._lengths) / max(1, len(self._lengths))
        self._postings: dict[str, list[int]] = {}
        for number, counts in enumerate(self._counts):
            for term in counts:
                self._postings.setdefault(term, []).append(number)

    def weight(self, term: str) -> float:
        """How much a term tells: its inverse document frequency (0 where no sentence has it)."""
        having = len(self._postings.get(term, ()))
        return math.log(1 + (len(self.sentences) - having + 0.5) / (having + 0.5)) if having else 0.0

    @property
    def rarest(self) -> float:
        """The weight of a term that would stand in no sentence."""
        return math.log(1 + (len(self.sentences) + 0.5) / 0.5)

    def scores(self, terms: Iterable[str]) -> dict[int, float]:
        """BM25 of every sentence that shares a term (Robertson and Zaragoza, 2009), by its number."""
        scores: dict[int, float] = {}
        for term in set(terms):
            weight = self.weight(term)
            for number in self._postings.get(term, ()):
                count = self._counts[number][term]
                relative = 1 - BM25_B + BM25_B * self._lengths[number] / self._mean_length
                gain = weight * count * (BM25_K1 + 1) / (count + BM25_K1 * relative)
                scores[number] = scores.get(number, 0.0) + gain
        return scores

    def scores_with_neighbours(self, terms: Iterable[str]) -> dict[int, float]:
        """The same, each sentence with a share of what the sentences beside it in the same text have."""
        alone = self.scores(terms)
        spread = dict(alone)
        for number, score in alone.items():
            for beside in (number - 1, number + 1):
                if 0 <= beside < len(self.sentences) and self.sentences[beside].source == self.sentences[number].source:
                    spread[beside] = spread.get(beside, 0.0) + NEIGHBOUR_SHARE * score
        return spread

    def shared_weights(self, weights: Mapping[str, float]) -> dict[int, float]:
        """The sum of the weights of those terms that a sentence has, by its number, where it has any."""
        sums: dict[int, float] = {}
        for term, weight in weights.items():
            for number in self._postings.get(term, ()):
                sums[number] = sums.get(number, 0.0) + weight
        return sums

    def recurrence(self, number: int) -> float:
        """How well a sentence stands for the texts: its terms count by how rare they are and how often they come again."""
        counts = self._counts[number]
        again = (self.weight(term) * math.log(len(self._postings[term])) for term in counts)
        return sum(again) / math.sqrt(self._lengths[number] + LEAST_TELLING_TERMS)

    def share_of_terms(self, number: int, terms: Iterable[str]) -> float:
        """What share of the terms' weight a sentence has, 0 to 1. Terms that no sentence has count as the rarest."""
        weights = {term: self.weight(term) or self.rarest for term in set(terms)}
        total = sum(weights.values())
        return sum(weights[term] for term in self._counts[number].keys() & weights.keys()) / total if total else 0.0


def telling_terms(terms: Sequence[str]) -> list[str]:
    """The terms without single characters of Chinese, Japanese and Korean, which stand anywhere; all if none is left."""
    return [term for term in terms if not is_single_character(term)] or list(terms)


def is_mostly_cjk(text: str) -> bool:
    """Whether a text is rather in Chinese, Japanese or Korean than in a spaced script."""
    return 2 * len(_CJK_CHARACTER.findall(text)) > len(_CJK_RUN_OR_WORD.findall(text))


def _is_inside_sentence(text: str, found: re.Match[str]) -> bool:
    if found.group() == "\n":
        return found.start() > 0 and _is_wrapped(text, found.start())
    if found.group().startswith("."):
        window = max(0, found.start() - 12), found.start()
        return any(pattern.search(text, *window) for pattern in (_ABBREVIATION, _ITEM_NUMBER))
    return False


def _is_wrapped(text: str, line_end: int) -> bool:
    """Whether a line end only wraps running prose: it parts neither rows of a table nor items of a list."""
    if not _WRAPPED.match(text, line_end - 1):
        return False
    earliest, latest = max(0, line_end - MOST_LINE_CHARACTERS), line_end + 1 + MOST_LINE_CHARACTERS
    before = text[max(earliest, text.rfind("\n", earliest, line_end) + 1) : line_end]
    after = text[line_end + 1 : latest].partition("\n")[0]
    if _are_rows(before, after):
        return False
    return _GOES_ON.match(after) is not None or len(before.strip()) >= LEAST_WRAPPED_CHARACTERS


def _are_rows(before: str, after: str) -> bool:
    """Whether two lines are rows of a table: as many columns in both, or many in one, or the first ends in numbers."""
    columns, columns_after = (1 + len(_BETWEEN_COLUMNS.findall(line.strip())) for line in (before, after))
    if columns == columns_after > 1 or max(columns, columns_after) >= LEAST_COLUMNS:
        return True
    return _ENDS_IN_NUMBERS.search(before) is not None or not _LETTER.search(before)


def _add_trimmed(sentences: list[Sentence], text: str, source: int, start: int, end: int) -> None:
    """Add what stands between two places, without white space around it and but for page marks; what is long, in pieces."""
    while True:
        while start < end and text[start].isspace():
            start += 1
        if start == end:
            return
        cut = _cut_of_long(text, start, end)
        stop = cut
        while text[stop - 1].isspace():
            stop -= 1
        if not is_page_mark(text[start:stop]):
            sentences.append(Sentence(source, start, stop))
        start = cut


def _cut_of_long(text: str, start: int, end: int) -> int:
    """Where a piece that begins at `start` ends: at white space if there is any, where the whole is too long."""
    limit = start + LONGEST_SENTENCE_CHARACTERS
    if end <= limit:
        return end
    space = max(text.rfind(white, start + 1, limit) for white in (" ", "\n", "\u3000"))
    return space if space > start else limit
