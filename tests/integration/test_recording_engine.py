"""The test engine itself: what it records is what was sent."""

from collections.abc import Callable

from openai import OpenAI

from support.engine import RecordingEngine
from support.server import Server


def test_a_chat_reaches_the_engine_as_it_came(
    start_server: Callable[..., Server], recording_engine: RecordingEngine
) -> None:
    upstream = {"kind": "upstream", "base_url": recording_engine.url, "model": "mock"}
    server = start_server({"engines": {"up": upstream}})
    client = OpenAI(base_url=f"{server.url}/v1", api_key="any")
    answer = client.chat.completions.create(model="qwen-long", messages=[{"role": "user", "content": "Hi"}], top_p=0.5)
    assert answer.choices[0].message.content == "Hello world"
    sent = {"model": "mock", "messages": [{"role": "user", "content": "Hi"}], "top_p": 0.5, "stream": False}
    assert recording_engine.requests == [sent]
