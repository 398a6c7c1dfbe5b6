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
    assert desk.client.files.retrieve(file_id).status == "processed"
    assert refusal(desk.client, [f"fileid://{file_id}"], reading=reading) == TOO_LONG


def test_files_and_text_are_counted_together(desk: Desk) -> None:
    text = "There are four bells in the tower.\n" * 180
    ids = [desk.upload(f"{number}.txt", text) for number in range(2)]
    named = [f"fileid://{file_id}" for file_id in ids]
    assert refusal(desk.client, [*named, text]) == TOO_LONG
    assert refusal(desk.client, [text * 3]) == TOO_LONG
    answer = desk.client.chat.completions.create(model="quotes", messages=about(named))  # type: ignore[arg-type]
    assert "four bells" in (answer.choices[0].message.content or "")
    assert desk.engine.requests == []


# As large as it gets


def test_more_than_ten_million_tokens_are_refused_and_one_line_of_150_mb_is_read(
    start_server: Callable[..., Server],
) -> None:
    """Digits have a token each. The letters are read as words of at most so many; either answer is right, silence is not."""
    limits = {"file_calls_per_second": 0}
    settings = {"engines": {"quotes": {"kind": "extractive"}}, "ingest": {"upload_wait_seconds": 0}, "limits": limits}
    server = start_server(settings)
    client = OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=300)
    most_bytes = _Watch(server)
    small = _upload(client, "bells.txt", b"There are four bells in the tower.\n")
    many = _upload(client, "digits.txt", b"0123456789" * 1_020_000)
    long = _upload(client, "line.txt", b"abcdefghijklmnopqrstuvwxyz" * (150 * MB // 26))
    _settled(client, small)
    answered = 0
    while client.files.retrieve(long).status == "uploaded":
        assert "four bells" in _answer(client, small)
        answered += 1
        time.sleep(0.2)
    assert answered > 1
    _settled(client, many)
    over = "Total message token length exceed model limit (10000000 tokens)."
    assert refusal(client, [f"fileid://{many}"]) == over
    assert client.files.retrieve(long).status == "processed"
    try:
        assert _answer(client, long)
    except BadRequestError as error:
        assert error.body["message"] == over  # type: ignore[index]
    assert "four bells" in _answer(client, small)
    assert most_bytes.stop() < 600 * MB


def _upload(client: OpenAI, filename: str, content: bytes) -> str:
    return client.files.create(file=(filename, content), purpose="user_data").id


def _settled(client: OpenAI, file_id: str) -> None:
    assert wait_until(lambda: client.files.retrieve(file_id).status != "uploaded", 300)


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
