"""What a question asks for: its terms, and how much each counts.

Words that only ask or instruct ("highlight the parts related to", "请问") count little beside those that say about what;
what an instruction quotes counts double. Words of accounting and of contracts bring those in which documents state the same
(`synonyms`). A follow-up is searched with the questions before it, which count less.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from bookwheel.retrieval.synonyms import synonyms_of
from bookwheel.sentences import bare_words, split_sentences
from bookwheel.terms import fold, is_single_character, terms_of

META_SHARE = 0.3
"""Of a word that speaks of documents, questions or answers, not of what is in them."""
INSTRUCTION_SHARE = 0.3
"""Of the words of a sentence that only instructs."""
QUOTED_SHARE = 2.0
"""Of what an instruction puts in quotation marks."""
PART_SHARE = 0.4
"""Of a hyphenated word written as one."""
SYNONYM_SHARE = 0.5
EARLIER_SHARE = 0.3
"""Of the question before, and again of that for the one before it."""
FOLLOW_UP_SHARE = 0.7
"""The same where the question cannot stand alone."""
MOST_EARLIER = 4
FEW_TERMS = 2
"""A question of fewer telling terms cannot stand alone."""

_META = (
    "much many vs versus off out up into over under when while such only very just really do make made get "
    "got use used using base based way kind sort thing things here our so been being discuss discussion "
    "discussing summarize summarise summary think thought talk talking say said mention mentioned describe "
    "explain explanation according passage text document article paper author meeting contract agreement file "
    "study report question answer detail details part parts related relate regarding concerning highlight "
    "find list identify state should must then also like not certain any some more most one two category "
    "include including example please help want know tell give show review reviewed does whether because "
    "between during above following each other clause provide"
)
_INSTRUCTION = re.compile(
    r"^\W*(?:please\b|highlight|summari[sz]e|find|list|identify|extract|describe|explain|state|tell|give|show|provide|answer|help|write"
    r"|we want|i want|i need|if\b.*\b(?:then|please|state|explain|say|answer|respond))",
    re.IGNORECASE,
)
_AFTER_COLON = re.compile(r"(?<=[a-z]:)\s+")
_QUOTED = re.compile(r"[\"“«「『《]([^\"”»」』》]{2,80})[\"”»」』》]")
_HYPHENATED = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)+")
_LETTERS_DIGITS = re.compile(r"[a-z]+(\d{2,})")
_POINTS_BACK = re.compile(
    r"^\W*(?:and|but|so|then|also|what about|how about|why|那|那么|还有|另外|为什么|然后|它|他|她|其)|"
    r"\b(?:it|its|he|him|his|she|her|they|them|their|this|that|these|those"
    r"|the (?:first|second|third|last|other|same|former|latter))\b|"
    r"它|他们|她们|[他她](?!人)|该|此|前者|后者|上述|呢[？?]?\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what the same conversation asked before, the oldest first."""

    text: str
    earlier: tuple[str, ...] = ()


def weigh_terms(question: Question) -> dict[str, float]:
    """The terms to look for and how much each counts, most 1 to 2; never empty where the question has any term."""
    shares = _shares_of(question.text) or dict.fromkeys(terms_of(question.text), 1.0)
    earlier = EARLIER_SHARE
    if question.earlier and (len(telling(shares)) < FEW_TERMS or _POINTS_BACK.search(fold(question.text))):
        earlier = FOLLOW_UP_SHARE
    for said in reversed(question.earlier[-MOST_EARLIER:]):
        for term, share in _shares_of(said).items():
            shares.setdefault(term, share * earlier)
        earlier *= EARLIER_SHARE
    return shares


def telling(shares: dict[str, float]) -> list[str]:
    """The terms that say about what: no single characters, nothing that only asks; all of them if there are no such."""
    told = [term for term, share in shares.items() if share >= 1 and not is_single_character(term)]
    return told or list(shares)


def _shares_of(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    quoted = {term for found in _QUOTED.finditer(text) for term in _content(found[1])}
    sentences = [text[s.start : s.end] for s in split_sentences(text)]
    clauses = [clause for sentence in sentences for clause in _AFTER_COLON.split(sentence)]
    for clause in clauses:
        instructs = (len(clauses) > 1 or bool(quoted)) and _INSTRUCTION.match(clause) is not None
        for term in _content(clause):
            shares[term] = max(shares.get(term, 0.0), _share(term, instructs=instructs, is_quoted=term in quoted))
    for term, share in _written_otherwise(text, shares):
        shares.setdefault(term, share)
    for term in synonyms_of(text):
        shares.setdefault(term, SYNONYM_SHARE)
    return shares


def _share(term: str, *, instructs: bool, is_quoted: bool) -> float:
    if is_quoted:
        return QUOTED_SHARE if instructs else 1.0
    if term in _meta_terms():
        return META_SHARE
    return INSTRUCTION_SHARE if instructs else 1.0


def _content(text: str) -> list[str]:
    return terms_of(bare_words(text))


def _written_otherwise(text: str, terms: Iterable[str]) -> list[tuple[str, float]]:
    """Hyphenated words as one word, and the number in `fy2023`."""
    joined = [(term, PART_SHARE) for word in _HYPHENATED.findall(text) for term in terms_of(word.replace("-", ""))]
    numbers = [found[1] for term in terms if (found := _LETTERS_DIGITS.fullmatch(term))]
    return [*joined, *((number, 1.0) for number in numbers)]


@cache
def _meta_terms() -> frozenset[str]:
    return frozenset(terms_of(_META))
