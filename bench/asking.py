"""Asking a server questions, and what was found: was the answer right, and how long did it take."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from openai import OpenAI, Stream
from openai.types.chat import ChatCompletionChunk
from openai.types.completion_usage import CompletionUsage

from bench.questions import Question

ANSWER_TOKENS = 100
READ_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A streamed answer. `read_tokens` are those that the engine had to read and had not kept."""

    text: str
    first_seconds: float
    seconds: float
    read_tokens: int
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question with the reply to it."""

    question: Question
    reply: Reply

    @property
    def is_right(self) -> bool:
        return self.question.is_right(self.reply.text)


def upload(client: OpenAI, title: str, content: bytes) -> str:
    """Upload a document and wait until it is read; its id. Raises RuntimeError where it cannot be."""
    file = client.files.create(file=(title, content), purpose="file-extract")  # type: ignore[arg-type]
    file = client.files.wait_for_processing(file.id, poll_interval=0.2, max_wait_seconds=READ_SECONDS)
    if file.status != "processed":
        raise RuntimeError(f"{title} could not be read: {file.status_details}")
    return file.id


def ask(client: OpenAI, model: str, file_ids: Sequence[str], question: str) -> Reply:
    """Ask one question about files, as a client of Qwen-Long does."""
    began = time.perf_counter()
    stream = client.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "system", "content": ",".join(f"fileid://{file_id}" for file_id in file_ids)},
            {"role": "user", "content": question},
        ],
        temperature=0,
        max_tokens=ANSWER_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
    )
    return _read(stream, began)


def share_right(outcomes: Iterable[Outcome]) -> str:
    """`71 % (25 of 35)`, or nothing where nothing was asked."""
    right = [outcome.is_right for outcome in outcomes]
    return f"{100 * sum(right) / len(right):.0f} % ({sum(right)} of {len(right)})" if right else ""


def median(outcomes: Sequence[Outcome], figure: Callable[[Reply], float]) -> float:
    return statistics.median(figure(outcome.reply) for outcome in outcomes)


def _read(stream: Stream[ChatCompletionChunk], began: float) -> Reply:
    text, usage, first_seconds = "", CompletionUsage(prompt_tokens=0, completion_tokens=0, total_tokens=0), 0.0
    for chunk in stream:
        usage = chunk.usage or usage
        added = "".join(choice.delta.content or "" for choice in chunk.choices)
        if added and not text:
            first_seconds = time.perf_counter() - began
        text += added
    seconds = time.perf_counter() - began
    cached = (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0
    return Reply(text, first_seconds or seconds, seconds, usage.prompt_tokens - cached, usage.completion_tokens)
