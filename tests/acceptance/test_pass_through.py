"""Whatever a stock OpenAI client asks of an engine works with documents in the request, streamed and not.

Each feature is asked of two engines: of one that does all of them and keeps every byte, and of the embedded one, which is
real, with the weights of a tiny random model. What came of it is the table of docs/reference/pass-through.md:
`pytest tests/acceptance/test_pass_through.py --write-pages` writes it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI
from pydantic import BaseModel

from support.engine import RecordingEngine
from support.feature_checks import Fields
from support.feature_engine import FeatureEngine
from support.features import DOCUMENTS, FEATURES, Feature, Ignores, Refuses
from support.server import Server
from support.tiny_gguf import THINKING, TOOLS, write_tiny_gguf
from support.wire_tap import Exact, Wire, exactly, folded, tapped

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pass-through.md"
HEAD = """\
# What passes through

Whatever an OpenAI client asks of an engine, it may ask with documents in the request. This table is written by
`pytest tests/acceptance/test_pass_through.py --write-pages` from what the stock Python SDK was answered, over a server, with
documents in each request; a test fails where the two differ.

- **upstream**: an engine that does all of it and keeps every byte. Besides that the feature works, `yes` means: the engine
  was sent the client's body as it came, but for `model` and `messages`, where the documents stand in the system message; and
  the client was sent the engine's answer as it came, but for `model` and the `bookwheel` object. Order of keys, numbers
  (`1e-9`, 2^70) and characters included. `stream` is always said, and like `model` and `messages` stands last.
- **embedded**: llama.cpp with the weights of a tiny random model, which proves the form of answers, not their sense.
  `ignored`: it takes the field and answers as if it were not there. In quotes: its own error, which the client gets in the
  [envelope](errors.md). A call that is required has its form, but llama.cpp lets the model talk before it, and a small model
  may talk on.

| feature | upstream, whole | upstream, streamed | embedded, whole | embedded, streamed |
|---|---|---|---|---|
"""
OURS = ("model", "messages", "stream", "bookwheel")
ENGINES = ("upstream", "embedded")
WAYS = [(engine, is_streamed) for engine in ENGINES for is_streamed in (False, True)]


class Stage:
    """A client of a server with both engines, which is listened to. What was proved is kept in `proved`."""

    def __init__(self, client: OpenAI, wire: Wire, features: FeatureEngine) -> None:
        self.client = client
        self.wire = wire
        self.features = features
        self.proved: dict[tuple[str, str, bool], str] = {}
        self.files = {
            name: self.client.files.create(file=(f"{name}.txt", text.encode()), purpose="user_data").id
            for name, text in DOCUMENTS.items()
        }

    def prove(self, feature: Feature, engine: str, is_streamed: bool) -> str:
        """Ask for the feature and look at what comes; the table's cell."""
        key = (feature.name, engine, is_streamed)
        if key not in self.proved:
            self.proved[key] = self._prove(feature, engine, is_streamed)
        return self.proved[key]

    def _prove(self, feature: Feature, engine: str, is_streamed: bool) -> str:
        if engine == "upstream":
            answer = self._ask(feature, {"model": "qwen-long"}, is_streamed)
            feature.check(answer)
            self._check_bytes()
            return "yes"
        asked = {"model": feature.embedded_model} | feature.embedded_options
        expected = (is_streamed and feature.embedded_streamed) or feature.embedded
        if isinstance(expected, Refuses):
            return self._refusal(feature, expected.words, asked, is_streamed)
        answer = self._ask(feature, asked, is_streamed)
        if isinstance(expected, Ignores):
            expected.check(answer)
            return "ignored"
        expected(answer)
        return "yes"

    def _refusal(self, feature: Feature, words: str, asked: Fields, is_streamed: bool) -> str:
        with pytest.raises(APIStatusError) as caught:
            self._ask(feature, asked, is_streamed)
        assert caught.value.status_code == 400  # the request's fault: the engine is well
        envelope = caught.value.response.json()
        assert words in envelope["error"]["message"]
        assert envelope["request_id"]
        return f"“{words}”"

    def _ask(self, feature: Feature, asked: Fields, is_streamed: bool) -> Fields:
        answer = self._ask_once(feature, asked, is_streamed)
        if feature.repeats:
            again = self._ask_once(feature, asked, is_streamed)
            assert again["choices"] == answer["choices"]
        context = answer["bookwheel"]["context"]
        assert [reading["file_id"] for reading in context["files"]] == list(self.files.values())
        assert context["coverage"] == 1.0
        assert answer["model"] == asked["model"]
        return answer

    def _ask_once(self, feature: Feature, asked: Fields, is_streamed: bool) -> Fields:
        body: dict[str, Any] = feature.options | asked | {"messages": self._with_ids(feature.messages)}
        body["extra_body"] = body.get("extra_body", {}) | {"bookwheel": {"show_context": True}}
        body |= feature.streamed if is_streamed else {}
        chat: Any = self.client.chat.completions
        if feature.parsed is not None:
            return self._parse(feature.parsed, body, is_streamed)
        answer = chat.create(**body, stream=is_streamed)
        told = list(answer) if is_streamed else [answer]
        fields = [one.model_dump(exclude_unset=True) for one in told]
        return folded(fields) if is_streamed else fields[0]

    def _parse(self, shape: type[BaseModel], body: Fields, is_streamed: bool) -> Fields:
        """By the SDK's calls that turn answers into a model."""
        chat: Any = self.client.chat.completions
        if is_streamed:
            with chat.stream(**body, response_format=shape) as stream:
                stream.until_done()
                parsed = stream.get_final_completion()
        else:
            parsed = chat.parse(**body, response_format=shape)
        assert isinstance(parsed.choices[0].message.parsed, shape)
        told = [json.loads(data) for data in self.wire.answers() if data != b"[DONE]"]
        return folded(told) if is_streamed else told[0]

    def _with_ids(self, messages: tuple[Fields, ...]) -> list[Fields]:
        text = json.dumps(messages)
        for name, file_id in self.files.items():
            text = text.replace(name, file_id)
        found: list[Fields] = json.loads(text)
        return found

    def _check_bytes(self) -> None:
        """What the engine was sent is what the client sent, and what the client was sent is what the engine sent."""
        sent, received = exactly(self.wire.sent), exactly(self.features.received[-1])
        assert received.without(*OURS) == sent.without(*OURS)
        _check_messages(sent["messages"], received["messages"])
        told = [exactly(data).without("model", "bookwheel") for data in self.wire.answers() if data != b"[DONE]"]
        assert told == [exactly(data).without("model") for data in self.features.sent]


def _check_messages(sent: list[Exact], received: list[Exact]) -> None:
    """One system message with the documents in front, then the turns as they came."""
    role, *turns = received
    assert role["role"] == "system"
    assert role.without("role", "content") == sent[0].without("role", "content")
    assert role["content"].startswith(sent[0]["content"])
    assert all(document in role["content"] for document in DOCUMENTS.values())
    assert turns == [_without_files(message) for message in sent if message["role"] not in ("system", "developer")]


def _without_files(message: Exact) -> Exact:
    pairs = [
        (
            name,
            [part for part in value if part["type"] != "file"]
            if name == "content" and isinstance(value, list)
            else value,
        )
        for name, value in message.pairs
    ]
    return Exact(pairs)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    upstream, features = RecordingEngine().start(), FeatureEngine()
    upstream.behave = features.behave
    embedded = {"kind": "llama_cpp", "window_tokens": 8192, "max_output_tokens": 200, "threads": 1, "slots": 2}
    engines = {
        "upstream": upstream.settings(window_tokens=100_000),
        "embedded": embedded | {"model": str(write_tiny_gguf(folder / "tools.gguf", template=TOOLS))},
        "thinking": embedded | {"model": str(write_tiny_gguf(folder / "thinking.gguf", template=THINKING))},
    }
    models = {"default": "upstream", "embedded": "embedded", "thinking": "thinking"}
    server, wire = Server(folder, {"engines": engines, "models": models}), Wire()
    try:
        with OpenAI(**tapped(server.start(), wire)) as client:
            yield Stage(client, wire, features)
    finally:
        server.stop()
        upstream.close()


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name.replace("`", ""))
def test_a_feature_works_with_documents_or_is_refused_in_the_engines_own_words(
    stage: Stage, feature: Feature, engine: str, is_streamed: bool
) -> None:
    assert stage.prove(feature, engine, is_streamed)


def test_each_choice_of_an_embedded_stream_opens_with_an_empty_text(stage: Stage) -> None:
    chat: Any = stage.client.chat.completions
    asked = [{"role": "user", "content": "Hi."}]
    told = list(chat.create(model="embedded", messages=asked, n=2, max_tokens=3, stream=True))
    opened = [choice for chunk in told for choice in chunk.choices if choice.delta.role]
    assert sorted((choice.index, choice.delta.content) for choice in opened) == [(0, ""), (1, "")]


def test_the_table_in_the_documents_is_what_was_proved(stage: Stage, request: pytest.FixtureRequest) -> None:
    rows = [[feature.name, *(stage.prove(feature, *way) for way in WAYS)] for feature in FEATURES]
    page = HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    if request.config.getoption("--write-pages", default=False):
        PAGE.write_text(page, "utf-8")
    assert PAGE.read_text("utf-8") == page, "write it anew: pytest tests/acceptance/test_pass_through.py --write-pages"
