"""`POST /embeddings`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bookwheel.api.event_stream import until_disconnect
from bookwheel.api.json_body import JsonResponse, convert, read_json_object
from bookwheel.api.operation import Operation
from bookwheel.engines.embedding import embed
from bookwheel.engines.engine import Engine
from bookwheel.engines.roster import Roster
from bookwheel.errors import InvalidRequest, ModelNotFound
from bookwheel.settings import MB, ServerSettings
from bookwheel.wire.embeddings import EmbeddingBody, EmbeddingList

MOST_INPUTS = 2_048


class EmbeddingCalls:
    """See the module."""

    def __init__(self, roster: Roster, settings: ServerSettings) -> None:
        self._roster = roster
        self._limit_bytes = settings.max_body_mb * MB

    def operations(self) -> list[Operation]:
        return [
            Operation(
                "POST", "/embeddings", "createEmbedding", "Turn texts into vectors", self.create, EmbeddingList,
                body=EmbeddingBody, errors=(400, 404, 413, 429, 502, 504),
            )
        ]  # fmt: skip

    async def create(self, request: Request, _account_id: str) -> Response:
        body = await read_json_object(request, self._limit_bytes)
        wanted, inputs = read_embedding(body)
        return await until_disconnect(request.receive, self._answer(wanted.model, body, inputs))

    async def _answer(self, model: str, body: dict[str, Any], inputs: int) -> Response:
        answer = await embed(self._engine(model), body, inputs)
        return JsonResponse(answer | {"model": model})

    def _engine(self, model: str) -> Engine:
        """The engine of the name and no other: vectors of different models cannot be compared."""
        if model not in self._roster.names:
            raise ModelNotFound(model)
        return self._roster.engines[self._roster.names[model]]


def read_embedding(body: dict[str, Any]) -> tuple[EmbeddingBody, int]:
    """The fields of a request that we read, and how many vectors it asks for. Raises InvalidRequest."""
    if not body.get("model"):
        raise InvalidRequest("you must provide a model parameter.", param="model")
    if body.get("input", "") in ("", []):
        raise InvalidRequest("'input' must not be empty.", param="input")
    wanted = convert(body, EmbeddingBody)
    inputs = _count_inputs(wanted.input)
    if inputs > MOST_INPUTS:
        raise InvalidRequest(f"Too many inputs: {inputs}; at most {MOST_INPUTS} in one request.", param="input")
    return wanted, inputs


def _count_inputs(given: str | list[str | int | list[int]]) -> int:
    """A text and a list of token ids are one input. Raises InvalidRequest for a list of several kinds."""
    kinds = {type(one) for one in given}
    if isinstance(given, str) or kinds == {int}:
        return 1
    if len(kinds) > 1:
        raise InvalidRequest("'input' must be all texts or all token ids.", param="input")
    return len(given)
