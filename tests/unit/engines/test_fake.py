"""A test that talks to the fake engine sees which documents came through, and gets the same answer every time."""

from bookwheel.engines.engine import EngineRequest, whole_document
from bookwheel.engines.fake import FakeEngine

DOCUMENTS = (whole_document("a.txt", "Some text.", 3, "file-fe-a"), whole_document("b.txt", "", 0))
REQUEST = EngineRequest([{"role": "user", "content": "Why?"}], {}, "Why?", DOCUMENTS)
ANSWER = "You asked: Why? I was shown: a.txt (10 characters); b.txt (0 characters)."

ENGINE = FakeEngine("test", window_tokens=1000, max_output_tokens=100)


async def test_it_repeats_the_question_and_says_what_it_was_shown() -> None:
    completion = await ENGINE.complete(REQUEST)
    assert completion["choices"][0]["message"]["content"] == ANSWER
    assert completion["model"] == "test"


async def test_it_streams_the_same() -> None:
    chunks = [chunk async for chunks in ENGINE.stream(REQUEST) for chunk in chunks]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == ANSWER


async def test_it_says_that_it_was_shown_nothing() -> None:
    completion = await ENGINE.complete(EngineRequest([], {}, "Why?"))
    assert completion["choices"][0]["message"]["content"] == "You asked: Why? I was shown: no documents."


async def test_it_is_always_ready() -> None:
    await ENGINE.start()
    assert (await ENGINE.health()).ready
    await ENGINE.close()
