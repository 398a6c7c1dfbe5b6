"""The OpenAPI document, made of the operations and their msgspec shapes; and the page that shows it."""

import re
from collections.abc import Iterable
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from bookwheel import __version__
from bookwheel.api.json_body import encode
from bookwheel.api.operation import Operation, Parameter
from bookwheel.wire.errors import ErrorEnvelope

_REF = "#/components/schemas/{name}"
_REASONS = {
    400: "The request is wrong, or a document cannot be read",
    401: "Wrong key",
    404: "Not found",
    413: "The body is too large",
    429: "Over the rate or the quota",
    502: "The engine cannot be reached",
    504: "The engine is silent",
}
_DOCS_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Bookwheel API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/static/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="/docs/static/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});</script>
</body></html>
"""


def make_openapi(operations: Iterable[Operation], prefixes: tuple[str, ...]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the operations, under the first of the prefixes; the others are named as servers."""
    operations = list(operations)
    shapes = [shape for o in operations for shape in (o.answer, o.body, o.streamed) if shape is not None]
    shapes.append(ErrorEnvelope)
    refs, schemas = msgspec.json.schema_components(shapes, ref_template=_REF)
    schema_of = dict(zip((id(shape) for shape in shapes), refs, strict=True))
    paths: dict[str, Any] = {}
    for operation in operations:
        path = re.sub(r":path\}", "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _describe(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bookwheel",
            "version": __version__,
            "description": "Qwen-Long's API: files, and chat over documents. OpenAI's SDKs are its clients.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix} for prefix in prefixes],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def documentation_routes(document: dict[str, Any]) -> list[BaseRoute]:
    """`/openapi.json`, and `/docs` with all that it loads: nothing comes from elsewhere."""
    encoded = encode(document)

    async def openapi(_request: Request) -> Response:
        return Response(encoded, media_type="application/json")

    async def docs(_request: Request) -> Response:
        return HTMLResponse(_DOCS_PAGE)

    static = StaticFiles(directory=Path(str(package_files("swagger_ui").joinpath("static"))))
    return [Route("/openapi.json", openapi), Route("/docs", docs), Mount("/docs/static", static)]


def _describe(operation: Operation, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],
        "parameters": [_describe_parameter(parameter) for parameter in operation.parameters],
        "responses": {"200": _describe_answer(operation, schema_of)} | _describe_errors(operation, schema_of),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schema_of[id(operation.body)]}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.form is not None:
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": operation.form}}}
    return described


def _describe_parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "schema": parameter.schema,
        "description": parameter.description,
    }


def _describe_answer(operation: Operation, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    if operation.raw_answer:
        any_bytes = {"schema": {"type": "string"}}
        types = ("text/plain", "application/jsonl", "application/octet-stream")
        return {"description": operation.summary, "content": dict.fromkeys(types, any_bytes)}
    content = {"application/json": {"schema": schema_of[id(operation.answer)]}}
    if operation.streamed is not None:
        content["text/event-stream"] = {"schema": schema_of[id(operation.streamed)]}
    return {"description": operation.summary, "content": content}


def _describe_errors(operation: Operation, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    envelope = {"application/json": {"schema": schema_of[id(ErrorEnvelope)]}}
    return {str(s): {"description": _REASONS[s], "content": envelope} for s in sorted({401, *operation.errors})}
