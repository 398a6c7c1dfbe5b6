"""Made documents and questions about them: registers of things that happened, between sentences of the demo's documents.

The same in every run. A document has some thousands of tokens, more than the budget: it is searched, and not shown whole.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from bench.batches_client import open_client
from bench.batches_desk import ROLE
from bench.overhead import upload_text
from bench.report import ROOT

BUDGET_TOKENS = 1_000
SECTIONS, FACTS, FILLERS = 8, 12, 6
"""Sections of a document, and sentences of both kinds in each."""
FILES_OF_SOME = 5
"""Every fifth question names two to five documents."""
UPLOADS_AT_ONCE = 4
SEED = 1495
TRADES = "keeper clerk pilot miller printer glazier cooper weaver binder ferryman".split()
PLACES = "Ardmore Belhaven Corvo Dunmere Eastwick Falmere Gorleston Harwick Inverly Jarrow Kelmont Lowfield".split()
THINGS = "lamp bridge mill press window barrel loom atlas ferry bell clock stair".split()
NAMES = "Abel Berta Cosmo Dora Emil Frida Gustav Hedda Ivo Judith Konrad Lena Milo Nora Otto Paula".split()
DEEDS = "mended painted sold bought moved measured lost found".split()


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and questions that it answers."""

    name: str
    text: str
    questions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the numbers of the documents that it names."""

    text: str
    documents: Sequence[int]


def make_documents(count: int) -> list[Document]:
    """So many, no two the same."""
    fillers = [
        line
        for path in sorted((ROOT / "demo" / "documents").glob("*.txt"))
        for line in path.read_text("utf-8").splitlines()
        if line
    ]
    return [_make_document(number, random.Random(SEED + number), fillers) for number in range(1, count + 1)]


def make_questions(documents: Sequence[Document], count: int) -> list[Question]:
    """So many, the documents taking turns."""
    dice = random.Random(SEED)
    return [_make_question(number, dice, documents) for number in range(count)]


def make_bodies(questions: Sequence[Question], file_ids: Sequence[str], count: int = 0) -> Iterator[dict[str, Any]]:
    """The requests that ask them; with `count` so many of them, from the beginning again where they end."""
    for question in islice(cycle(questions), count or len(questions)):
        named = ",".join(f"fileid://{file_ids[number]}" for number in question.documents)
        messages = [ROLE, {"role": "system", "content": named}, {"role": "user", "content": question.text}]
        yield {"model": "qwen-long", "messages": messages}


async def upload_documents(url: str, documents: Sequence[Document]) -> list[str]:
    """Their ids, when all are read."""
    places = asyncio.Semaphore(UPLOADS_AT_ONCE)
    async with open_client(url) as session:

        async def upload(document: Document) -> str:
            async with places:
                return await upload_text(session, url, document.name, document.text)

        return list(await asyncio.gather(*map(upload, documents)))


def _make_document(number: int, dice: random.Random, fillers: Sequence[str]) -> Document:
    paragraphs, questions = [f"Register {number}"], []
    for section in range(1, SECTIONS + 1):
        paragraphs.append(f"Chapter {section}")
        sentences = [dice.choice(fillers) for _ in range(FILLERS)]
        for _ in range(FACTS):
            fact, question = _make_fact(dice)
            sentences.append(fact)
            questions.append(question)
        dice.shuffle(sentences)
        paragraphs += sentences
    return Document(f"register-{number:03d}.txt", "\n\n".join(paragraphs), questions)


def _make_fact(dice: random.Random) -> tuple[str, str]:
    """A sentence, and what it answers."""
    trade, place, thing, deed = (dice.choice(words) for words in (TRADES, PLACES, THINGS, DEEDS))
    year, name, price = dice.randrange(1700, 1900), dice.choice(NAMES), dice.randrange(2, 900)
    fact = f"In {year} the {trade} {name} of {place} {deed} the {thing} of the old harbour for {price} crowns."
    return fact, f"Who {deed} the {thing} of {place} in {year}, and for how much?"


def _make_question(number: int, dice: random.Random, documents: Sequence[Document]) -> Question:
    first = number % len(documents)
    others = [other for other in range(len(documents)) if other != first]
    more = min(dice.randint(1, 4), len(others)) if number % FILES_OF_SOME == 0 else 0
    return Question(dice.choice(documents[first].questions), [first, *sorted(dice.sample(others, more))])
