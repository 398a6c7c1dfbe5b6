"""What a request may bring: a hundred files, ten million tokens, and a document that is one line of 150 MB."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from openai import BadRequestError, OpenAI

from support.engine import Desk, open_desk, wait_until
from support.server import Server

MOST_TOKENS = 3_000
MB = 1024 * 1024
UNKNOWN = "file-fe-" + "x" * 20


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose requests may have 3,000 tokens of documents."""
    limits = {"tokens_per_request": MOST_TOKENS, "file_calls_per_second": 0, "file_deletes_per_second": 0}
    with open_desk(tmp_path_factory.mktemp("desk"), {"limits": limits}) as opened:
        yield opened


def about(documents: list[str], question: str = "How many bells are there?") -> list[dict[str, Any]]:
    given = [{"role": "system", "content": document} for document in ["You are a helpful assistant.", *documents]]
    return [*given, {"role": "user", "content": question}]


def refusal(client: OpenAI, documents: list[str], **wanted: Any) -> str:
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(
            model="qwen-long",
            messages=about(documents),  # type: ignore[arg-type]
            extra_body={"bookwheel": wanted},
        )
    return str(caught.value.body["message"])  # type: ignore[index]


def numbered(count: int) -> list[str]:
    return [f"{UNKNOWN}{number:04}" for number in range(count)]


# Files


def test_a_hundred_and_one_files_are_too_many_wherever_they_are_named(desk: Desk) -> None:
    ids = numbered(101)
    in_one = [",".join(f"fileid://{file_id}" for file_id in ids)]
    apart = [f"fileid://{file_id}" for file_id in ids]
    assert refusal(desk.client, in_one) == refusal(desk.client, apart) == "Too many files provided."


def test_a_hundred_files_are_not_and_a_file_named_twice_counts_once(desk: Desk) -> None:
    ids = numbered(100)
    assert refusal(desk.client, [f"fileid://{file_id}" for file_id in [*ids, *ids]]) == f"Invalid file [id:{ids[0]}]."


def test_text_in_the_request_is_no_file(desk: Desk) -> None:
    named = [f"fileid://{file_id}" for file_id in numbered(100)]
    assert refusal(desk.client, [*named, "There are four bells."]).startswith("Invalid file")


# Tokens

TOO_LONG = f"Total message token length exceed model limit ({MOST_TOKENS} tokens)."


@pytest.mark.parametrize("reading", ["auto", "full", "relevant", "overview", "thorough"])
def test_a_file_of_more_tokens_than_a_request_may_have_is_refused_whatever_the_reading(
    desk: Desk, reading: str
) -> None:
    file_id = desk.upload("long.txt", "There are four bells in the tower.\n" * 500)
    assert desk.client.files.wait_for_processing(file_id, poll_interval=0.05).status == "processed"
    assert refusal(desk.client, [f"fileid://{file_id}"], reading=reading) == TOO_LONG


def test_files_and_text_are_counted_together(desk: Desk) -> None:
    text = "There are four bells in the tower.\n" * 180
    ids = [desk.upload(f"{number}.txt", text) for number in range(2)]
    named = [f"fileid://{file_id}" for file_id in ids]
    assert refusal(desk.client, [*named, text]) == TOO_LONG
    assert refusal(desk.client, [text * 3]) == TOO_LONG
    assert desk.engine.requests == []
    answer: Any = desk.client.chat.completions.create(model="qwen-long", messages=about(named))  # type: ignore[arg-type]
    assert MOST_TOKENS * 0.9 < answer.bookwheel["context"]["document_tokens"] <= MOST_TOKENS


def test_a_tenth_more_is_let_pass_because_clients_count_with_other_tokenizers(desk: Desk) -> None:
    text = "There are four bells in the tower.\n" * 400
    answer: Any = desk.client.chat.completions.create(model="qwen-long", messages=about([text]))  # type: ignore[arg-type]
    assert MOST_TOKENS < answer.bookwheel["context"]["document_tokens"] < 1.1 * MOST_TOKENS


# As large as it gets


def test_one_line_of_150_mb_passes_ten_million_tokens_while_others_are_answered_and_one_of_25_mb_is_searched(
    start_server: Callable[..., Server],
) -> None:
    """Eight letters x have a token, and so has the alphabet: 19.7 million tokens, and 1 million. Neither line has a space."""
    limits = {"file_calls_per_second": 0}
    settings = {"engines": {"quotes": {"kind": "extractive"}}, "ingest": {"upload_wait_seconds": 0}, "limits": limits}
    server = start_server(settings)
    client = OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=300)
    watch = _Watch(server)
    small = _upload(client, "bells.txt", b"There are four bells in the tower.\n")
    longest = _upload(client, "longest.txt", b"x" * (150 * MB))
    long = _upload(client, "long.txt", b"abcdefghijklmnopqrstuvwxyz" * MB)
    answered = 0
    while client.files.retrieve(longest).status == "uploaded":
        assert "four bells" in _answer(client, small)
        answered += 1
        time.sleep(0.2)
    assert answered > 1
    refused = refusal(client, [f"fileid://{longest}"])
    assert refused == "Total message token length exceed model limit (10000000 tokens)."
    assert wait_until(lambda: client.files.retrieve(long).status == "processed", 300)
    assert _answer(client, long)
    assert "four bells" in _answer(client, small)
    assert watch.stop() < 600 * MB


def _upload(client: OpenAI, filename: str, content: bytes) -> str:
    return client.files.create(file=(filename, content), purpose="user_data").id


def _answer(client: OpenAI, file_id: str) -> str:
    answer = client.chat.completions.create(model="qwen-long", messages=about([f"fileid://{file_id}"]))  # type: ignore[arg-type]
    return answer.choices[0].message.content or ""


class _Watch:
    """Looks at the server's own memory until it is stopped."""

    def __init__(self, server: Server) -> None:
        self._process = psutil.Process(server.process_id)
        self._most_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The most it was."""
        self._ended.set()
        self._thread.join()
        return self._most_bytes

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            self._most_bytes = max(self._most_bytes, self._process.memory_info().rss)
