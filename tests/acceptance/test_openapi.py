"""The OpenAPI document is true: what is made from it, right and wrong, is answered as it says, and never with a 5xx."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openai import BadRequestError, OpenAI
from schemathesis import BaseSchema, GenerationMode
from schemathesis import checks as known

from bookwheel.wire.chat import ChatChunk
from bookwheel.wire.responses import ResponseEvent
from support.server import Server

EXAMPLES = 15
CALLS = [
    ("POST", "/chat/completions"),
    ("POST", "/responses"),
    ("POST", "/embeddings"),
    ("POST", "/tokenize"),
    ("GET", "/models"),
    ("GET", "/models/{id}"),
    ("POST", "/files"),
    ("GET", "/files"),
    ("GET", "/files/{id}"),
    ("DELETE", "/files/{id}"),
    ("GET", "/files/{id}/content"),
    ("POST", "/batches"),
    ("GET", "/batches"),
    ("GET", "/batches/{id}"),
    ("POST", "/batches/{id}/cancel"),
]
NEED_MORE = {"/embeddings"}
"""Calls that this server's engine does not answer."""
DRY_RUN: Any = "/v1/chat/ds-test"
LINE = (
    b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/ds-test", "body": {"model": "batch-test-model", '
    b'"messages": [{"role": "user", "content": "?"}]}}'
)
FILE = ("tides.txt", b"The tide at Dover rises 6.7 metres in spring.\n")
USER = {"role": "user", "content": "How high?"}
CHECKS = [
    known.not_a_server_error,
    known.status_code_conformance,
    known.content_type_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"file_calls_per_second": 0, "file_deletes_per_second": 0}
    running = Server(tmp_path_factory.mktemp("server"), {"limits": limits}).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def schema(server: Server) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_answers_as_the_document_says(
    server: Server, schema: BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    statuses: set[int] = set()
    known_ids = _make_some(OpenAI(base_url=f"{server.url}/v1", api_key="any"))

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def answer(case: schemathesis.Case) -> None:
        if mode is GenerationMode.POSITIVE:
            _name_what_exists(case, known_ids)
        statuses.add(_call(case).status_code)

    answer()
    assert mode is GenerationMode.NEGATIVE or 200 in statuses or path in NEED_MORE


def _call(case: schemathesis.Case) -> schemathesis.Response:
    """Of a stream the document describes each event's data."""
    response = case.call()
    if not response.headers.get("content-type", [""])[0].startswith("text/event-stream"):
        case.validate_response(response, checks=[*CHECKS, known.response_schema_conformance])
        return response
    case.validate_response(response, checks=CHECKS)
    *events, rest = response.text.split("\n\n")
    if case.path == "/chat/completions":
        assert events.pop() == "data: [DONE]"
    assert rest == ""
    shape: Any = ResponseEvent if case.path == "/responses" else ChatChunk
    for event in events:
        msgspec.json.decode(event.split("data: ", 1)[1], type=shape)
    return response


def _make_some(client: OpenAI) -> dict[str, str]:
    """Ids of a file, of a batch that was cancelled, and of its input, by the first part of the paths of their calls."""
    lines = client.files.create(file=("lines.jsonl", LINE), purpose="batch")
    cancelled = None
    while cancelled is None:
        batch = client.batches.create(input_file_id=lines.id, endpoint=DRY_RUN, completion_window="24h")
        with suppress(BadRequestError):  # it was quicker, and has ended
            cancelled = client.batches.cancel(batch.id)
    return {
        "models": "qwen-long",
        "files": client.files.create(file=FILE, purpose="user_data").id,
        "batches": cancelled.id,
        "input": lines.id,
    }


def _name_what_exists(case: schemathesis.Case, known_ids: dict[str, str]) -> None:
    """The document cannot say which models, files and batches there are."""
    file_id = known_ids["files"]
    if "id" in case.path_parameters:
        case.path_parameters["id"] = known_ids[case.path.split("/")[1]]
    if case.path == "/batches" and isinstance(case.body, dict):
        case.body |= {"input_file_id": known_ids["input"], "endpoint": DRY_RUN, "completion_window": "24h"}
        case.body.pop("metadata", None)  # its limits are not of the kind that the document can tell
    if case.path == "/chat/completions" and isinstance(case.body, dict):
        case.body["model"] = "qwen-long"
        case.body["messages"] = [{"role": "system", "content": f"fileid://{file_id}"}, *case.body["messages"], USER]
    if case.path == "/tokenize" and isinstance(case.body, dict):
        case.body |= {"model": "qwen-long", "prompt": "How high?"}
        for name in ("content", "messages"):  # one of the three
            case.body.pop(name, None)
    if case.path == "/responses" and isinstance(case.body, dict):
        part = {"type": "input_file", "file_id": file_id}
        case.body |= {"model": "qwen-long", "input": [{"role": "user", "content": [part]}, USER]}
        for name in ("tools", "tool_choice", "text"):  # the document cannot say what is in them
            case.body.pop(name, None)


def test_the_document_names_every_call_under_both_prefixes(server: Server) -> None:
    with urlopen(f"{server.url}/openapi.json", timeout=30) as response:
        document = json.load(response)
    assert {(m.upper(), path) for path, methods in document["paths"].items() for m in methods} == set(CALLS)
    assert {entry["url"] for entry in document["servers"]} == {"/compatible-mode/v1", "/v1"}
    assert document["openapi"].startswith("3.")


def test_the_page_loads_nothing_from_elsewhere(server: Server) -> None:
    with urlopen(f"{server.url}/docs", timeout=30) as response:
        page = response.read().decode()
    assert "http://" not in page
    assert "https://" not in page
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"/docs/static/{asset}" in page
        with urlopen(f"{server.url}/docs/static/{asset}", timeout=30) as response:
            assert response.status == 200
