"""The four calls of the Batches API."""

import msgspec
from msgspec import UNSET
from starlette.requests import Request

from bookwheel.api.json_body import JsonResponse, read_json_object
from bookwheel.api.operation import Operation, Parameter
from bookwheel.batches.batches import Batches
from bookwheel.batches.request import read_filter
from bookwheel.conversion import convert
from bookwheel.storage.batches import BatchRecord
from bookwheel.wire.batches import BatchCreate, BatchErrors, BatchList, BatchListQuery, BatchObject

LARGEST_BODY_BYTES = 1024 * 1024
_ID = Parameter("id", "path", {"type": "string"}, "A batch's id.")


class BatchCalls:
    """See the module."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def operations(self) -> list[Operation]:
        return [
            Operation(
                "POST", "/batches", "createBatch", "Run a file of requests", self.create, BatchObject,
                body=BatchCreate, errors=(400, 413),
            ),
            Operation(
                "GET", "/batches", "listBatches", "List batches, newest first", self.list_batches, BatchList,
                parameters=_list_parameters(), errors=(400,),
            ),
            Operation(
                "GET", "/batches/{id}", "retrieveBatch", "Retrieve a batch", self.retrieve, BatchObject,
                parameters=(_ID,), errors=(404,),
            ),
            Operation(
                "POST", "/batches/{id}/cancel", "cancelBatch", "End a batch where it is; what was done is kept", self.cancel,
                BatchObject, parameters=(_ID,), errors=(400, 404),
            ),
        ]  # fmt: skip

    async def create(self, request: Request, account_id: str) -> JsonResponse:
        wanted = convert(await read_json_object(request, LARGEST_BODY_BYTES), BatchCreate)
        return JsonResponse(self._batch_object(await self._batches.create(account_id, wanted)))

    async def list_batches(self, request: Request, account_id: str) -> JsonResponse:
        query = convert(dict(request.query_params), BatchListQuery, strict=False)
        page = await self._batches.page(account_id, read_filter(query), after=query.after, limit=query.limit)
        data = [self._batch_object(record) for record in page.batches]
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return JsonResponse(BatchList(data=data, has_more=page.has_more, first_id=first, last_id=last))

    async def retrieve(self, request: Request, account_id: str) -> JsonResponse:
        return JsonResponse(self._batch_object(await self._batches.get(account_id, request.path_params["id"])))

    async def cancel(self, request: Request, account_id: str) -> JsonResponse:
        return JsonResponse(self._batch_object(await self._batches.cancel(account_id, request.path_params["id"])))

    def _batch_object(self, record: BatchRecord) -> BatchObject:
        """A batch as the wire has it. Endpoint and status were checked before they became a row."""
        progress = self._batches.progress(record)
        return BatchObject(
            id=record.batch_id,
            endpoint=record.endpoint,  # type: ignore[arg-type]
            model=record.model,
            errors=msgspec.json.decode(record.errors, type=BatchErrors) if record.errors else None,
            input_file_id=record.input_file_id,
            completion_window=record.completion_window,
            status=record.status,  # type: ignore[arg-type]
            output_file_id=record.output_file_id,
            error_file_id=record.error_file_id,
            created_at=record.created_at,
            in_progress_at=record.in_progress_at,
            expires_at=record.expires_at,
            finalizing_at=record.finalizing_at,
            completed_at=record.completed_at,
            failed_at=record.failed_at,
            expired_at=record.expired_at,
            cancelling_at=record.cancelling_at,
            cancelled_at=record.cancelled_at,
            request_counts=self._batches.counts(record),
            metadata=msgspec.json.decode(record.metadata, type=dict[str, str]) if record.metadata else None,
            bookwheel=progress if progress is not None else UNSET,
        )


def _list_parameters() -> tuple[Parameter, ...]:
    text = {"type": "string"}
    when = "Unix seconds, or yyyyMMddHHmmss in the server's time zone."
    return (
        Parameter("after", "query", text, "The id of the last batch of the page before."),
        Parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        Parameter("ds_name", "query", text, "A part of `metadata.ds_name`, in any case."),
        Parameter("input_file_ids", "query", text, "Ids of input files, at most 20, separated by commas."),
        Parameter("status", "query", text, "Statuses, separated by commas."),
        Parameter("create_after", "query", text, f"Created then or later: {when}"),
        Parameter("create_before", "query", text, f"Created then or earlier: {when}"),
    )
