"""What an engine was shown is taken out of its prompt whole, and nothing that is not a document comes along."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bench.measure import cpu_seconds
from bench.recording_engine import make_app
from bench.retrieval_desk import forget_pages, own_mb, take_documents, tree_cpu_seconds
from bookwheel.answering.layout import INSTRUCTION, frame
from bookwheel.engines.engine import whole_document

ROLE = "You are a helpful assistant."
ONE = frame(whole_document("one.txt", "The wheel turns.\n", 4))
TWO = frame(whole_document("two & three.txt", "Das Rad </document> steht <document name=x>.", 12))
QUESTION = {"role": "user", "content": "What turns?"}


def system(*documents: str) -> dict[str, str]:
    return {"role": "system", "content": "\n\n".join([ROLE, INSTRUCTION, *documents])}


def test_documents_come_out_of_a_prompt_with_their_frames_and_without_role_instruction_and_question() -> None:
    shown = take_documents([system(ONE, TWO), QUESTION])
    assert shown.documents == f"{ONE}\n\n{TWO}"
    assert shown.besides == f"{ROLE}\n\n{INSTRUCTION}"


def test_documents_of_a_later_turn_are_found_before_its_question() -> None:
    later = {"role": "user", "content": f"{INSTRUCTION}\n\n{TWO}\n\nAnd what stands?"}
    shown = take_documents([system(ONE), QUESTION, {"role": "assistant", "content": "The wheel."}, later])
    assert shown.documents == f"{ONE}\n\n{TWO}"
    assert "The wheel." in shown.besides


def test_documents_in_content_parts_are_found() -> None:
    parts = [{"type": "text", "text": ONE}, {"type": "text", "text": "What turns?"}]
    assert take_documents([{"role": "user", "content": parts}]).documents == ONE


@pytest.mark.parametrize("content", ["What does <document name= mean?", "What does </document> mean?", "", None])
def test_a_prompt_without_documents_shows_none(content: str | None) -> None:
    assert take_documents([{"role": "system", "content": ROLE}, {"role": "user", "content": content}]).documents == ""


async def test_the_recording_engine_keeps_what_it_is_shown_until_it_is_asked_for_it() -> None:
    async with TestClient(TestServer(make_app())) as client:
        before = time.monotonic()
        answered = await client.post("/v1/chat/completions", json={"messages": [QUESTION]})
        assert (await answered.json())["choices"][0]["message"]["content"]
        [kept] = await (await client.get("/shown")).json()
        assert kept["messages"] == [QUESTION]
        assert before <= kept["received"] <= time.monotonic()
        assert await (await client.get("/shown")).json() == []


async def test_the_recording_engine_streams_to_those_who_ask_for_it() -> None:
    async with TestClient(TestServer(make_app())) as client:
        streamed = await client.post("/v1/chat/completions", json={"messages": [QUESTION], "stream": True})
        assert (await streamed.text()).rstrip().endswith("data: [DONE]")


def test_the_cpu_time_of_children_that_have_ended_is_counted() -> None:
    own, before = cpu_seconds(os.getpid()), tree_cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", "sum(range(6_000_000))"], check=True)
    spent_here = cpu_seconds(os.getpid()) - own
    assert tree_cpu_seconds(os.getpid()) - before > spent_here


def test_memory_of_its_own_is_not_more_than_a_process_has() -> None:
    assert 0 < own_mb(os.getpid()) < 100_000


def test_forgetting_pages_leaves_the_files_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "index").write_bytes(b"wheel")
    assert forget_pages(tmp_path) == 5
    assert (tmp_path / "below" / "index").read_bytes() == b"wheel"
