"""One call of the API: its route, its handler, and what the OpenAPI document says of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Handler = Callable[[Request, str], Awaitable[Response]]
"""(request, account id) → response."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path or query parameter. `schema` is JSON Schema."""

    name: str
    place: Literal["path", "query"]
    schema: dict[str, Any]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """See the module. `answer` and `body` are msgspec shapes; `form` is the JSON Schema of a multipart body."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    name: str
    summary: str
    handler: Handler
    answer: Any
    body: Any = None
    form: dict[str, Any] | None = None
    streamed: Any = None
    raw_answer: bool = False
    parameters: tuple[Parameter, ...] = field(default_factory=tuple)
    errors: tuple[int, ...] = ()

    def route(self) -> Route:
        """The operation as the router has it."""
        return Route(self.path, _Endpoint(self.handler), methods=[self.method], name=self.name)


class _Endpoint:
    """A handler as an ASGI application. What it raises is the edge's to answer, and nothing stands between the two."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handler(Request(scope, receive, send), scope["account_id"])
        await response(scope, receive, send)
