"""The OpenAPI document tells a client every call, every parameter and every answer, and holds together."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from bookwheel.api.chat import ChatCalls
from bookwheel.api.embeddings import EmbeddingCalls
from bookwheel.api.files import FileCalls
from bookwheel.api.json_body import encode
from bookwheel.api.models import ModelCalls
from bookwheel.api.openapi import make_openapi
from bookwheel.api.operation import Operation
from bookwheel.api.responses import ResponsesCalls
from bookwheel.api.tokenize import TokenizeCalls
from bookwheel.engines.roster import Roster
from bookwheel.settings import LimitSettings, ServerSettings, Settings

NONE = cast("Any", None)
"""What the calls are told of is not called upon: only what they say of themselves is read."""

OPERATIONS = [
    *ModelCalls(Roster({}, Settings()), created=0).operations(),
    *FileCalls(NONE, NONE, NONE, NONE, LimitSettings(), 0.0).operations(),
    *ChatCalls(NONE, ServerSettings()).operations(),
    *ResponsesCalls(NONE, ServerSettings()).operations(),
    *EmbeddingCalls(NONE, ServerSettings()).operations(),
    *TokenizeCalls(NONE, NONE, ServerSettings()).operations(),
]
DOCUMENT: dict[str, Any] = json.loads(encode(make_openapi(OPERATIONS, ("/compatible-mode/v1", "/v1"))))
CONTRACT = {
    ("get", "/models"),
    ("get", "/models/{id}"),
    ("post", "/files"),
    ("get", "/files"),
    ("get", "/files/{id}"),
    ("delete", "/files/{id}"),
    ("get", "/files/{id}/content"),
    ("post", "/chat/completions"),
    ("post", "/responses"),
    ("post", "/embeddings"),
    ("post", "/tokenize"),
}


def described(operation: Operation) -> dict[str, Any]:
    path = operation.path.replace(":path}", "}")
    return cast("dict[str, Any]", DOCUMENT["paths"][path][operation.method.lower()])


def every_operation() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, calls in DOCUMENT["paths"].items():
        for method, operation in calls.items():
            yield method, path, operation


def values_of(key: str, node: Any) -> Iterator[Any]:
    """Every value under `key`, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values_of(key, value)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(key, value)


def test_every_call_of_the_contract_is_described_and_no_other() -> None:
    assert {(method, path) for method, path, _ in every_operation()} == CONTRACT


def test_every_call_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [operation["operationId"] for _, _, operation in every_operation()]
    assert len(set(names)) == len(names) == len(OPERATIONS)
    assert all(operation["summary"] for _, _, operation in every_operation())


def test_every_reference_leads_to_a_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    references = list(values_of("$ref", DOCUMENT))
    assert len(references) > 20
    assert [r for r in references if r.removeprefix("#/components/schemas/") not in schemas] == []


def test_every_schema_is_referred_to() -> None:
    used = {reference.rpartition("/")[2] for reference in values_of("$ref", DOCUMENT)}
    assert set(DOCUMENT["components"]["schemas"]) == used


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_parameter_of_a_path_is_described_and_required(operation: Operation) -> None:
    in_path = set(re.findall(r"\{(\w+)", operation.path))
    parameters = described(operation)["parameters"]
    assert {p["name"] for p in parameters if p["in"] == "path"} == in_path
    assert all(p["required"] == (p["in"] == "path") and p["schema"] for p in parameters)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_call_says_how_it_answers_and_how_it_fails(operation: Operation) -> None:
    responses = described(operation)["responses"]
    assert set(responses) == {"200", "401", *map(str, operation.errors)}
    for status, response in responses.items():
        assert response["description"]
        if status != "200":
            envelope = response["content"]["application/json"]["schema"]
            assert envelope == {"$ref": "#/components/schemas/ErrorEnvelope"}


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.method == "POST"], ids=lambda o: o.name)
def test_every_call_that_takes_a_body_describes_it(operation: Operation) -> None:
    body = described(operation)["requestBody"]
    assert body["required"] is True
    assert set(body["content"]) == {"multipart/form-data" if operation.form else "application/json"}


def test_an_answer_can_be_streamed() -> None:
    content = DOCUMENT["paths"]["/chat/completions"]["post"]["responses"]["200"]["content"]
    assert content["text/event-stream"]["schema"] == {"$ref": "#/components/schemas/ChatChunk"}
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/ChatCompletion"}


def test_the_events_of_a_streamed_response_are_told_apart_by_their_type() -> None:
    content = DOCUMENT["paths"]["/responses"]["post"]["responses"]["200"]["content"]
    events = content["text/event-stream"]["schema"]
    assert events["discriminator"]["propertyName"] == "type"
    assert {"response.created", "response.output_text.delta", "response.completed", "error"} <= set(
        events["discriminator"]["mapping"]
    )
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/ResponseObject"}


def test_a_file_s_content_is_bytes() -> None:
    content = DOCUMENT["paths"]["/files/{id}/content"]["get"]["responses"]["200"]["content"]
    assert {"text/plain", "application/jsonl", "application/octet-stream"} == set(content)


def test_both_prefixes_are_servers_and_a_key_is_asked_for() -> None:
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/compatible-mode/v1", "/v1"]
    assert DOCUMENT["security"] == [{"bearer": []}]
    assert DOCUMENT["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    assert DOCUMENT["openapi"].startswith("3.1")
