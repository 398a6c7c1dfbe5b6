"""What the second question about a document costs, and the first one after a restart of the server.

A document of about 4,000 tokens is read in full by the embedded engine of a running server, asked by the stock client, its
answers streamed. What counts is the time to the first token.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI

from bench.asking import upload
from bench.measure import median_of_ratios
from bench.processes import RunningServer, ask_health, running_server
from bench.questions import make_excerpt, read_evaldata
from bench.report import ROOT, Table
from bookwheel.tokens import count_tokens

DEMO = ROOT / "demo" / "documents"
FIRST, SECOND, THIRD = "Who is named in it?", "What happens at its end?", "Where does it take place?"
ANSWER_TOKENS = 16
LOAD_SECONDS = 300.0
ASK_SECONDS = 1800.0
ENGINE = "measured"
AIMS = {"second question": "at most 0.25", "after a restart": "at most 0.33"}


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a question waited for its answer's first token, and how much of its prompt had been read before."""

    seconds: float
    prompt_tokens: int
    cached_tokens: int


def ask_about(weights: Path, documents: Sequence[str], begin: Callable[[int], None]) -> list[list[Wait]]:
    """Ask three times about each document, the third time after a restart. `begin` is told each one's number."""
    waits = []
    for number, document in enumerate(documents, 1):
        begin(number)
        waits.append(_ask_thrice(weights, document))
    return waits


def waits_table(waits: Sequence[Sequence[Wait]]) -> Table:
    """A row for each question, over all documents."""
    columns = list(zip(*waits, strict=True))
    rows = [_row(name, found, columns[0]) for name, found in zip(["first question", *AIMS], columns, strict=True)]
    return Table(["", "s to the first token", "of the first's", "aim", "prompt tokens", "of them cached"], rows)


def make_documents(count: int, tokens: int, evaldata: Path | None) -> list[str]:
    """So many different texts of about so many tokens, the same in every run."""
    if evaldata is not None:
        return _excerpts(count, tokens, evaldata)
    lines = [line for path in sorted(DEMO.glob("*.txt")) for line in path.read_text("utf-8").splitlines() if line]
    return [_make_document(random.Random(seed), lines, tokens) for seed in range(count)]


def _make_document(dice: random.Random, lines: Sequence[str], tokens: int) -> str:
    taken: list[str] = []
    missing = tokens
    while missing > 0:
        taken.append(dice.choice(lines))
        missing -= count_tokens(taken[-1])
    return "\n\n".join(taken)


def _excerpts(count: int, tokens: int, evaldata: Path) -> list[str]:
    data = read_evaldata(evaldata)
    questions = sorted(data.questions, key=lambda question: question.rank)
    found = (make_excerpt(data, question, tokens) for question in questions)
    return [excerpt.text for excerpt, _ in zip((e for e in found if e is not None), range(count), strict=False)]


def _ask_thrice(weights: Path, document: str) -> list[Wait]:
    settings = {"engines": {ENGINE: {"kind": "llama_cpp", "model": str(weights)}}}
    with tempfile.TemporaryDirectory(prefix="bookwheel-cache-") as folder:
        with running_server(Path(folder), settings) as server:
            client = _client(server)
            file_id = upload(client, "document.txt", document.encode())
            first, second = _ask(client, file_id, FIRST), _ask(client, file_id, SECOND)
        with running_server(Path(folder), settings) as server:
            return [first, second, _ask(_client(server), file_id, THIRD)]


def _client(server: RunningServer) -> OpenAI:
    """A client of a server whose engine has loaded and computed once. Raises RuntimeError where it does not load."""
    deadline = time.monotonic() + LOAD_SECONDS
    while not ask_health(server.url)["engines"][ENGINE]["ready"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the engine did not load within {LOAD_SECONDS:g} seconds")
        time.sleep(0.2)
    client = OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=ASK_SECONDS, max_retries=0)
    client.chat.completions.create(model="qwen-long", messages=[{"role": "user", "content": "Hello"}], max_tokens=1)
    return client


def _ask(client: OpenAI, file_id: str, question: str) -> Wait:
    began = time.perf_counter()
    stream = client.chat.completions.create(
        model="qwen-long",
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "system", "content": f"fileid://{file_id}"},
            {"role": "user", "content": question},
        ],
        temperature=0,
        max_tokens=ANSWER_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"bookwheel": {"reading": "full"}},
    )
    seconds, usage = 0.0, None
    for chunk in stream:
        if not seconds and any(choice.delta.content for choice in chunk.choices):
            seconds = time.perf_counter() - began
        usage = chunk.usage or usage
    if usage is None or not seconds:
        raise RuntimeError("the answer had no text or no usage")
    details = usage.prompt_tokens_details
    return Wait(seconds, usage.prompt_tokens, (details and details.cached_tokens) or 0)


def _row(name: str, waits: Sequence[Wait], first: Sequence[Wait]) -> list[str]:
    seconds = [wait.seconds for wait in waits]
    ratio = f"{median_of_ratios(seconds, [wait.seconds for wait in first]):.3f}" if waits is not first else ""
    prompt, cached = (
        statistics.median(getattr(w, field) for w in waits) for field in ("prompt_tokens", "cached_tokens")
    )
    return [name, f"{statistics.median(seconds):.2f}", ratio, AIMS.get(name, ""), f"{prompt:,.0f}", f"{cached:,.0f}"]
