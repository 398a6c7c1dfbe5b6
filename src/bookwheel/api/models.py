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
        self._models = {
            name: ModelObject(id=name, created=created, owned_by=f"bookwheel:{engine}")
            for name, engine in roster.names.items()
        }

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
        return JsonResponse(ModelList(data=list(self._models.values())))

    async def retrieve_model(self, request: Request, _account_id: str) -> JsonResponse:
        model_id = request.path_params["id"]
        if model_id not in self._models:
            raise ModelNotFound(model_id)
        return JsonResponse(self._models[model_id])
