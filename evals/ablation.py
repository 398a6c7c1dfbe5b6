"""What each part of the method adds: the same questions with one part after the other switched off.

In this process and without a server, which would need switches that users must not have: a part is switched off by the
constants of its module, set for the time of a variant. What is searched, laid out and counted is the server's own code.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import fmean
from types import ModuleType

from bench.report import Progress, Section, Table
from bookwheel.answering.excerpts import Source, find_excerpts, find_overview
from bookwheel.answering.layout import frame
from bookwheel.answering.plan import Plan
from bookwheel.engines.engine import ShownDocument
from bookwheel.retrieval import question as weighing
from bookwheel.retrieval import scoring, search, selection
from bookwheel.retrieval.question import Question
from bookwheel.retrieval.scoring import Windows
from bookwheel.retrieval.search import Searchable
from evals.evaldata import BUDGETS, WHOLE_SLICES, EvalFolder, EvalQuestion
from evals.indexes import Bar, IndexFolder

SLICES_AT = 4_000
"""The budget at which slices are compared: at 1k all are hard, at 16k many are full."""
MOST_SLICES = 4
LEAST_LOSS = 0.5
"""Points that a slice must lose to be named."""
PASSAGE_ALONE: Windows = ((0, 1.0),)
NEVER_TOKENS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Constant:
    """A module's constant, and what it is set to."""

    module: ModuleType
    name: str
    value: object

    def __str__(self) -> str:
        name = f"{self.module.__name__.rpartition('.')[2]}.{self.name}"
        return f"`{name}` finds nothing" if callable(self.value) else f"`{name} = {self.value!r}`"


@dataclass(frozen=True, slots=True)
class Variant:
    """The method with something switched off. `has_overview`: questions about whole documents get their own reading."""

    name: str
    constants: tuple[Constant, ...] = ()
    has_overview: bool = True

    @property
    def how(self) -> str:
        return ", ".join(map(str, self.constants)) if self.has_overview else "`relevant` in place of `overview`"


@dataclass(frozen=True, slots=True)
class Scored:
    """The share of a question's evidence, 0 to 1, that a variant shows within a budget."""

    variant: str
    slice_name: str
    budget: int
    evidence: float


def _no_synonyms(text: str) -> list[str]:
    """In place of a share of 0, which would count them among words that stand nowhere and are looked for in other spellings."""
    del text
    return []


ALL_PARTS = Variant("all parts")
VARIANTS = (
    ALL_PARTS,
    Variant(
        "passages alone, no windows",
        (Constant(search, "NEAR_WINDOWS", PASSAGE_ALONE), Constant(search, "WIDE_WINDOWS", PASSAGE_ALONE)),
    ),
    Variant("near windows at every budget", (Constant(search, "WIDE_BUDGET_TOKENS", NEVER_TOKENS),)),
    Variant(
        "no weighing of the question's words",
        (
            Constant(weighing, "META_SHARE", 1.0),
            Constant(weighing, "INSTRUCTION_SHARE", 1.0),
            Constant(weighing, "QUOTED_SHARE", 1.0),
        ),
    ),
    Variant("no synonyms", (Constant(weighing, "synonyms_of", _no_synonyms),)),
    Variant("no misspelt words", (Constant(search, "ALIKE_SHARE", 0.0),)),
    Variant("no headings", (Constant(scoring, "HEADING_COUNT", 0.0), Constant(selection, "HEADED_WEIGHT", 0.0))),
    Variant("no titles", (Constant(scoring, "TITLE_COUNT", 0.0), Constant(search, "TITLE_FACTOR", 0.0))),
    Variant("no covering", (Constant(selection, "COVERED", 0.0),)),
    Variant("no lending to neighbours", (Constant(selection, "LENT", 0.0),)),
    Variant("no links", (Constant(selection, "LINK_WEIGHT", 0.0), Constant(selection, "HEADED_WEIGHT", 0.0))),
    Variant("no late terms", (Constant(selection, "LATE_WEIGHT", 0.0),)),
    Variant("no surroundings in conversations", (Constant(search, "CONVERSATION_REACHES", ()),)),
    Variant("whole documents searched like others", has_overview=False),
)


@contextmanager
def switched(constants: Sequence[Constant]) -> Iterator[None]:
    """Sets constants, and sets them back however it ends. Raises AttributeError for one that there is not."""
    before = [Constant(c.module, c.name, getattr(c.module, c.name)) for c in constants]
    try:
        _set(constants)
        yield
    finally:
        _set(before)


def _set(constants: Sequence[Constant]) -> None:
    for constant in constants:
        setattr(constant.module, constant.name, constant.value)


def measure(data: EvalFolder, questions: Sequence[EvalQuestion], kept: Path, progress: Progress) -> Section:
    """Score every variant on all questions, which are those of one request after another's; indexes are kept in `kept`."""
    indexes = IndexFolder(data, kept)
    indexes.prepare((file for question in questions for file in question.files), progress)
    tables = [ablation_table(_score_all(data, questions, indexes, progress)), variants_table()]
    return _section(tables, len(questions))


def _score_all(
    data: EvalFolder, questions: Sequence[EvalQuestion], indexes: IndexFolder, progress: Progress
) -> list[Scored]:
    """The documents of one request at a time are in memory."""
    bar = Bar(progress, "questions of all variants", len(questions) * len(VARIANTS))
    scored: list[Scored] = []
    for _, group in groupby(questions, key=lambda question: question.haystack):
        asked = list(group)
        chooser = _Chooser(indexes.open(asked[0].files))
        evidence = _make_scorer(data)
        for variant in VARIANTS:
            scored += score_variant(variant, asked, chooser, evidence)
            bar.step(len(asked))
    return scored


Evidence = Callable[[EvalQuestion, int, str], float]


def score_variant(
    variant: Variant, questions: Sequence[EvalQuestion], chooser: "_Chooser", evidence: Evidence
) -> list[Scored]:
    """Every question of one request at every budget."""
    with switched(variant.constants):
        choose = chooser.start(variant)
        return [
            Scored(variant.name, question.slice_name, budget, evidence(question, budget, choose(question, budget)))
            for question in questions
            for budget in BUDGETS
        ]


class _Chooser:
    """Chooses what is shown of one request's documents, as the server does.

    An overview is made once for all variants: nothing that they switch off has a part in it.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._overview = cache(lambda room: _lay_out(find_overview(sources, room)))

    def start(self, variant: Variant) -> Callable[[EvalQuestion, int], str]:
        """(question, budget) → the framed documents. What is kept from question to question is made anew for the variant."""
        searchable = Searchable([source.document for source in self._sources])

        def choose(question: EvalQuestion, budget: int) -> str:
            room = self._room(budget)
            if variant.has_overview and question.slice_name in WHOLE_SLICES:
                return self._overview(room)
            shown, _ = find_excerpts(self._sources, searchable, Question(question.text), room)
            return _lay_out(shown)

        return choose

    def _room(self, budget: int) -> int:
        """The budget without what names the documents of which nothing is shown."""
        listed = Plan("relevant", budget, "").listed_tokens if len(self._sources) > 1 else 0
        return budget - listed


def _lay_out(shown: Sequence[ShownDocument]) -> str:
    return "\n\n".join(frame(document) for document in shown if document.excerpts)


def _make_scorer(data: EvalFolder) -> Evidence:
    """Scores by the definition; a text that another variant has shown for the same question is not scored again."""
    known: dict[tuple[str, int, int], float] = {}

    def evidence(question: EvalQuestion, budget: int, context: str) -> float:
        key = (question.question_id, budget, hash(context))
        if key not in known:
            within = data.score.cut(context, budget * data.score.SLACK)
            known[key] = float(data.score.score_one(question.fields, within)["evidence"])
        return known[key]

    return evidence


def ablation_table(scored: Sequence[Scored]) -> Table:
    """For each variant the mean over slices by budget, the difference to all parts, and the slices that lose most."""
    points = _points(scored)
    whole = points[ALL_PARTS.name]
    names = [f"{budget // 1000}k" for budget in BUDGETS]
    columns = ["variant", *names, *(f"{name} ±" for name in names), f"lose most at {SLICES_AT // 1000}k"]
    rows = []
    for variant in (variant for variant in VARIANTS if variant.name in points):
        own, is_whole = points[variant.name], variant is ALL_PARTS
        macro = [f"{_macro(own, budget):.1f}" for budget in BUDGETS]
        lost = ["" if is_whole else f"{_macro(own, b) - _macro(whole, b):+.1f}" for b in BUDGETS]
        rows.append([variant.name, *macro, *lost, _losers(own, whole)])
    return Table(columns, rows)


def variants_table() -> Table:
    """How each variant is made."""
    return Table(["variant", "how"], [[variant.name, variant.how] for variant in VARIANTS if variant.how])


Points = Mapping[tuple[str, int], float]
"""By slice and budget, in percent."""


def _points(scored: Sequence[Scored]) -> dict[str, Points]:
    evidence: dict[str, dict[tuple[str, int], list[float]]] = {}
    for one in scored:
        evidence.setdefault(one.variant, {}).setdefault((one.slice_name, one.budget), []).append(one.evidence)
    return {name: {key: 100 * fmean(found) for key, found in own.items()} for name, own in evidence.items()}


def _macro(points: Points, budget: int) -> float:
    return fmean(value for (_, at), value in points.items() if at == budget)


def _losers(own: Points, whole: Points) -> str:
    lost = {name: whole[name, budget] - value for (name, budget), value in own.items() if budget == SLICES_AT}
    most = sorted((name for name, loss in lost.items() if loss >= LEAST_LOSS), key=lambda name: (-lost[name], name))
    return ", ".join(f"{name} {-lost[name]:.1f}" for name in most[:MOST_SLICES])


def _section(tables: Sequence[Table], questions: int) -> Section:
    return Section(
        name="ablation",
        title="What each part of the method adds",
        command="python -m evals --full --parts ablation --evaldata DIR",
        tables=tables,
        notes=[
            (
                f"`MACRO`, the mean over slices of evidence found in percent, of {questions} questions by tokens of documents "
                "shown, with one part switched off at a time; ± is the difference to all parts. Named are the slices that lose "
                f"most at {SLICES_AT:,} tokens, with their points. The second table says which constants of "
                "`bookwheel.retrieval` are set for that. Parts stand in for each other: differences do not add up. Measured in "
                "one process, without a server."
            )
        ],
    )
