"""The same questions over the same files put to other tools for retrieval: what they would show, scored the same way."""

from collections.abc import Sequence
from pathlib import Path

from bench.report import Progress
from bench.retrieval_peers import TITLES, PeerQuestion, PeerRequests, plain_text, run_peer
from evals.evaldata import BUDGETS, EvalFolder, EvalQuestion
from evals.recall import Scores, score_selections


def score_peers(
    data: EvalFolder, questions: Sequence[EvalQuestion], peers: Path, progress: Progress
) -> dict[str, Scores]:
    """Recall by the peer's name, from an earlier run's choice where nothing has changed since."""
    requests = make_requests(data, questions)
    scores: dict[str, Scores] = {}
    for tool, title in TITLES.items():
        progress.say(f"{title}: {len(questions)} questions")
        run = run_peer(tool, requests, keep=True, peers=peers)
        scores[title] = score_selections(data, questions, run.selections)
    return scores


def make_requests(data: EvalFolder, questions: Sequence[EvalQuestion]) -> PeerRequests:
    """The questions that have an answer. Peers read our extraction's text of what is no text file."""
    answerable = [question for question in questions if question.answerable]
    haystacks = {q.haystack: [str(plain_text(data.path(file))) for file in q.files] for q in answerable}
    asked = [PeerQuestion(q.question_id, q.text, q.haystack) for q in answerable]
    return PeerRequests(BUDGETS, kept=True, haystacks=haystacks, questions=asked)
