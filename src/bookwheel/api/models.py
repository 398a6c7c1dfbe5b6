"""`GET /models` and `GET /models/{id}`."""

from starlette.requests import Request

from bookwheel.api.json_body import JsonResponse
from bookwheel.api.operation import Operation, Parameter
from bookwheel.engines.roster import Roster
from bookwheel.errors import ModelNotFound
from bookwheel.wire.models import ModelList, ModelObject


class ModelCalls:
    """The public model names. `created` is when the server started, in Unix seconds: it knows no better."""

    def __init__(self, roster: Roster, created: int) -> None:
        self._roster = roster
        self._created = created

    def operations(self) -> list[Operation]:
        name = Parameter("id", "path", {"type": "string"}, "A public model name.")
        return [
            Operation("GET", "/models", "listModels", "List the models", self.list_models, ModelList),
            Operation(
                "GET", "/models/{id:path}", "retrieveModel", "Retrieve a model", self.retrieve_model, ModelObject,
                parameters=(name,), errors=(404,),
            ),
        ]  # fmt: skip

    async def list_models(self, _request: Request, _account_id: str) -> JsonResponse:
        return JsonResponse(ModelList(data=[self._model(name) for name in self._roster.names]))

    async def retrieve_model(self, request: Request, _account_id: str) -> JsonResponse:
        model_id = request.path_params["id"]
        if model_id not in self._roster.names:
            raise ModelNotFound(model_id)
        return JsonResponse(self._model(model_id))

    def _model(self, name: str) -> ModelObject:
        return ModelObject(id=name, created=self._created, owned_by=f"bookwheel:{self._roster.names[name]}")
