"""A client learns what a text or a question costs before it asks, with the stock OpenAI SDK's own HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from bookwheel.tokens import token_ids
from support.dialects import VllmStandIn
from support.engine import Desk, open_desk
from support.stand_in import StandIn

TIDES = "The tide at Dover rises 6.7 metres in spring.\nNeap tides rise only 3.2 metres there.\n"
QUESTION = {"role": "user", "content": "How high is the tide at Dover?"}


@pytest.fixture(scope="module")
def counting_engine() -> Iterator[StandIn]:
    engine = VllmStandIn(window_tokens=2_000)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, counting_engine: StandIn) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("desk")
    engines = {
        "counting": counting_engine.settings(window_tokens=2_000, max_output_tokens=100),
        "silent": counting_engine.settings(dialect="openai", window_tokens=9_000),
        "fake": {"kind": "fake", "window_tokens": 400, "max_output_tokens": 50},
    }
    models = {"default": "counting", "silent": "silent", "fake": "fake"}
    with open_desk(folder, {"engines": engines, "models": models, "accounts": {}}) as opened:
        yield opened


@pytest.fixture
def client(desk: Desk) -> OpenAI:
    return desk.client


def count(client: OpenAI, model: str = "qwen-long", **fields: Any) -> dict[str, Any]:
    counted: Any = client.post("/tokenize", body={"model": model} | fields, cast_to=object)
    assert isinstance(counted, dict)
    return counted


def refusal(client: OpenAI, body: dict[str, Any]) -> APIStatusError:
    with pytest.raises(APIStatusError) as caught:
        client.post("/tokenize", body=body, cast_to=object)
    return caught.value


def message_of(error: APIStatusError) -> str:
    assert isinstance(error.body, dict)
    return str(error.body["message"])


def question_about(file_id: str) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": "Be brief."}, {"role": "system", "content": f"fileid://{file_id}"}]
    return [*system, QUESTION]


# Texts


@pytest.mark.parametrize("prefix", ["/compatible-mode/v1", "/v1"])
@pytest.mark.parametrize("field", ["prompt", "content"])
def test_a_text_is_tokenized_by_the_engine(desk: Desk, prefix: str, field: str) -> None:
    counted = count(desk.new_client(prefix), **{field: "The tide rises."})
    assert counted == {
        "count": 3,
        "max_model_len": 2_000,
        "tokens": [0, 1, 2],
        "token_strs": None,
        "bookwheel": {"exact": True},
    }


def test_where_the_engine_cannot_say_it_is_qwens_tokens_and_said_to_be(client: OpenAI) -> None:
    text = "The tide rises 6.7 米, <|im_end|> said the keeper."
    counted = count(client, "silent", prompt=text)
    assert (counted["tokens"], counted["count"]) == (token_ids(text), len(token_ids(text)))
    assert (counted["bookwheel"], counted["max_model_len"]) == ({"exact": False}, 9_000)


def test_an_engine_that_counts_as_we_do_is_exact(client: OpenAI) -> None:
    counted = count(client, "fake", prompt="The tide rises.")
    assert (counted["tokens"], counted["bookwheel"]) == (token_ids("The tide rises."), {"exact": True})


def test_no_text_has_no_tokens(client: OpenAI) -> None:
    assert count(client, prompt="")["count"] == 0


def test_a_long_text_is_counted(client: OpenAI) -> None:
    text = "The tide rises and falls. " * 100_000
    counted = count(client, prompt=text)
    assert counted["count"] == len(counted["tokens"]) == len(token_ids(text))
    assert counted["bookwheel"] == {"exact": False}


# Questions


def test_a_question_costs_what_the_engine_says_that_it_was(client: OpenAI, counting_engine: StandIn) -> None:
    counting_engine.requests.clear()
    counted = count(client, messages=[QUESTION])
    assert counted["bookwheel"] == {"exact": True}
    assert counted["tokens"] == []
    assert counting_engine.requests == []
    answer = client.chat.completions.create(model="qwen-long", messages=[QUESTION])  # type: ignore[list-item]
    assert answer.usage is not None
    assert counted["count"] == answer.usage.prompt_tokens == 7


def test_a_question_about_a_file_costs_what_is_shown_of_it(desk: Desk, counting_engine: StandIn) -> None:
    messages: Any = question_about(desk.upload("tides.txt", TIDES))
    counting_engine.requests.clear()
    counted = count(desk.client, messages=messages)
    assert counting_engine.requests == []
    context = counted["bookwheel"]["context"]
    assert (context["reading"], context["files"][0]["filename"]) == ("full", "tides.txt")
    answer = desk.client.chat.completions.create(model="qwen-long", messages=messages)
    assert answer.usage is not None
    assert counted["count"] == answer.usage.prompt_tokens > 20


def test_the_reading_and_the_budget_are_those_of_the_question(desk: Desk) -> None:
    messages = question_about(desk.upload("long.txt", TIDES + "The lamp is lit at dusk.\n" * 2_000))
    options = {"reading": "relevant", "budget_tokens": 100}
    small = count(desk.client, messages=messages, bookwheel=options)
    large = count(desk.client, messages=messages, bookwheel=options | {"budget_tokens": 900})
    assert small["count"] < large["count"]
    assert small["bookwheel"]["context"]["selected_tokens"] <= 100
    assert large["count"] <= large["max_model_len"]


def test_documents_given_as_text_and_tools_are_counted(client: OpenAI) -> None:
    inline = [{"role": "system", "content": "Be brief."}, {"role": "system", "content": TIDES}, QUESTION]
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    counted = count(client, messages=inline)
    assert counted["bookwheel"]["context"]["document_tokens"] > 0
    assert count(client, messages=inline, tools=[tool])["count"] == counted["count"] + 3


def test_where_the_engine_cannot_count_a_question_we_do(client: OpenAI) -> None:
    counted = count(client, "silent", messages=[QUESTION])
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    assert counted["bookwheel"] == {"exact": False}
    assert 7 < counted["count"] < 20
    assert count(client, "silent", messages=[QUESTION], tools=[tool])["count"] > counted["count"]


# What is refused


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({"prompt": "x"}, "you must provide a model parameter.", "model"),
        ({"model": "qwen-long"}, "you must provide a prompt parameter or a messages parameter, one of them.", "prompt"),
        (
            {"model": "qwen-long", "prompt": "x", "messages": [QUESTION]},
            "you must provide a prompt parameter or a messages parameter, one of them.",
            "prompt",
        ),
        ({"model": "qwen-long", "prompt": ["x"]}, "Invalid 'prompt': Expected 'str | null', got 'array'.", "prompt"),
        ({"model": "qwen-long", "messages": []}, "[] is too short - 'messages'", "messages"),
        (
            {"model": "qwen-long", "messages": [{"role": "system", "content": "x"}]},
            "The input messages do not contain elements with the role of user.",
            "messages",
        ),
        ({"model": "qwen-long", "messages": question_about("file-fe-none")}, "Invalid file [id:file-fe-none].", "messages"),
        (
            {"model": "qwen-long", "messages": [QUESTION], "temperature": 7},
            "Temperature should be in [0.0, 2.0)",
            "temperature",
        ),
        (
            {"model": "qwen-long", "messages": [QUESTION], "bookwheel": {"reading": "thorough"}},
            "What a thorough reading costs is known after it: count with reading full, relevant or overview.",
            "bookwheel.reading",
        ),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_as_a_chat_is(
    client: OpenAI, body: dict[str, Any], message: str, param: str
) -> None:
    error = refusal(client, body)
    assert (error.status_code, message_of(error), error.param) == (400, message, param)


@pytest.mark.parametrize("asked", [{"prompt": "x"}, {"messages": [QUESTION]}])
def test_a_model_that_is_none_is_not_found(client: OpenAI, asked: dict[str, Any]) -> None:
    error = refusal(client, {"model": "gpt-9"} | asked)
    assert (error.status_code, error.code) == (404, "model_not_found")
