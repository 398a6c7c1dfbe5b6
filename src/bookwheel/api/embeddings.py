"""`POST /embeddings`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bookwheel.api.event_stream import until_disconnect
from bookwheel.api.json_body import JsonResponse, read_json_object
from bookwheel.api.operation import Operation
from bookwheel.engines.embedding import embed, read_embedding
from bookwheel.engines.roster import Roster
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

    async def create(self, request: Request, account_id: str) -> Response:
        body = await read_json_object(request, self._limit_bytes)
        wanted, inputs = read_embedding(body)
        return await until_disconnect(request.receive, self._answer(account_id, wanted.model, body, inputs))

    async def _answer(self, account_id: str, model: str, body: dict[str, Any], inputs: int) -> Response:
        answer = await embed(self._roster.embedding(model), body, inputs, account_id)
        return JsonResponse(answer | {"model": model})
