"""`POST /embeddings`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bookwheel.api.event_stream import until_disconnect
from bookwheel.api.json_body import JsonResponse, read_json_object
from bookwheel.api.operation import Operation
from bookwheel.engines.embedding import embed, read_embedding
from bookwheel.engines.engine import Engine
from bookwheel.engines.roster import Roster
from bookwheel.errors import ModelNotFound
from bookwheel.settings import MB, ServerSettings
from bookwheel.wire.embeddings import EmbeddingBody, EmbeddingList


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
