"""Answers end to end: the share that holds a gold answer, and whether an engine says so when the files do not hold it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.questions import normalise
from bench.report import Progress, Table
from bench.retrieval_desk import Desk
from evals.evaldata import EvalFolder, EvalQuestion

ANSWER_SLICES = ("zh_multi100", "zh_single", "zh_web100", "en_single", "en_multi100", "en_hotpot")
UNANSWERABLE_SLICES = ("zh_noanswer", "en_noanswer")
LONGEST_ANSWER = 40
"""Letters and digits. A longer answer is a sentence, which a right answer need not repeat word for word."""
NOT_FOUND = ("文档中没有提到", "The documents do not say")
"""How the extractive engine begins when it finds nothing."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with an engine's answer, and the seconds that took."""

    question: EvalQuestion
    answer: str
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the answer holds a gold answer, letters and digits compared."""
        plain = normalise(self.answer)
        return any(normalise(gold) in plain for gold in gold_answers(self.question))

    @property
    def abstains(self) -> bool:
        return self.answer.lstrip().startswith(NOT_FOUND)


@dataclass(frozen=True, slots=True)
class Abstaining:
    """How well an engine abstains: `right` of `abstained` were of the `unanswerable`; `asked` counts all questions."""

    asked: int
    unanswerable: int
    abstained: int
    right: int

    @property
    def precision(self) -> float | None:
        """Of the questions it abstained from, the share without an answer; None where it never abstained."""
        return self.right / self.abstained if self.abstained else None

    @property
    def recall(self) -> float | None:
        """Of the questions without an answer, the share it abstained from; None where there are none."""
        return self.right / self.unanswerable if self.unanswerable else None


def gold_answers(question: EvalQuestion) -> list[str]:
    """The right answers that are short enough to be repeated word for word."""
    answers = question.fields.get("answers") or []
    return [str(answer) for answer in answers if 0 < len(normalise(str(answer))) <= LONGEST_ANSWER]


def choose_answered(data: EvalFolder, limit: int) -> list[EvalQuestion]:
    """So many questions of each slice that have a short answer, and as many of those without any."""
    short = [q for q in data.choose(ANSWER_SLICES, len(data.questions)) if gold_answers(q)]
    ranked = sorted(short, key=lambda question: question.rank)
    chosen = [q for name in ANSWER_SLICES for q in [q for q in ranked if q.slice_name == name][:limit]]
    return [*chosen, *data.choose(UNANSWERABLE_SLICES, limit)]


def answer_all(
    desk: Desk,
    model: str,
    questions: Sequence[EvalQuestion],
    ids: Mapping[str, str],
    options: Mapping[str, Any],
    progress: Progress,
    answer_tokens: int | None = None,
) -> list[Answered]:
    """Every question's answer by one of the desk's engines, of so many tokens at most."""
    answered: list[Answered] = []
    for number, question in enumerate(questions, 1):
        progress.say(f"{model}: question {number} of {len(questions)}")
        asked = desk.ask(question.text, [ids[file] for file in question.files], options, model, answer_tokens)
        answered.append(Answered(question, asked.answer, asked.seconds))
    return answered


def measure_abstaining(answered: Iterable[Answered]) -> Abstaining:
    """Counts over answers to questions of both kinds."""
    pairs = [(one.question.answerable, one.abstains) for one in answered]
    return Abstaining(
        asked=len(pairs),
        unanswerable=sum(not answerable for answerable, _ in pairs),
        abstained=sum(abstains for _, abstains in pairs),
        right=sum(abstains and not answerable for answerable, abstains in pairs),
    )


def answers_table(by_engine: Mapping[str, Sequence[Answered]]) -> Table:
    """The share of right answers, by engine and slice."""
    answerable = {name: [one for one in answered if one.question.answerable] for name, answered in by_engine.items()}
    slices = [s for s in ANSWER_SLICES if any(one.question.slice_name == s for a in answerable.values() for one in a)]
    rows = [
        [name, *(_share([one for one in answered if one.question.slice_name == s]) for s in slices), _share(answered)]
        for name, answered in answerable.items()
    ]
    return Table(["engine", *slices, "all"], rows)


def abstaining_table(answered: Sequence[Answered]) -> Table:
    """By language, each slice without answers beside the slices with answers in that language."""
    rows = []
    for title, language in (("Chinese", "zh"), ("English", "en")):
        found = measure_abstaining(one for one in answered if one.question.slice_name.startswith(language))
        rows.append(_abstaining_row(title, found))
    rows.append(_abstaining_row("all", measure_abstaining(answered)))
    return Table(["questions", "asked", "without an answer", "abstained", "precision", "recall"], rows)


def _abstaining_row(title: str, found: Abstaining) -> list[str]:
    counts = [str(found.asked), str(found.unanswerable), str(found.abstained)]
    return [title, *counts, _percent(found.precision), _percent(found.recall)]


def _share(answered: Sequence[Answered]) -> str:
    right = sum(one.is_right for one in answered)
    return f"{_percent(right / len(answered))} ({right} of {len(answered)})" if answered else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
