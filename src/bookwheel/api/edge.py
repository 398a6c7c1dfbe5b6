"""The edge of HTTP: every request passes here once, on its way to the router and back.

It gives the request its id, finds the account, turns what was raised into the error envelope, and writes one log line.
The one place of the server that catches everything.
"""

import asyncio
import re
import time
import uuid
from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookwheel.accounts.keys import Keys
from bookwheel.api.json_body import JsonResponse
from bookwheel.errors import ApiError, CrossSiteRefused, MethodNotAllowed, NotFound, ServerStopping
from bookwheel.logs import log
from bookwheel.settings import is_loopback
from bookwheel.wire.errors import ErrorEnvelope, ErrorObject

CLIENT_CLOSED_REQUEST = 499
_OWN_ID = re.compile(r"[A-Za-z0-9._\-]{8,64}")


class Edge:
    """An ASGI application around a router; see the module. Paths under `prefixes` need a key when there are any."""

    def __init__(self, router: ASGIApp, keys: Keys, prefixes: tuple[str, ...]) -> None:
        self._router = router
        self._keys = keys
        self._prefixes = prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(scope, send).run(self, receive)

    async def pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the account and let the router answer. Raises InvalidKey, CrossSiteRefused, HTTPException."""
        scope["app"] = self  # has the router raise what it would answer by itself
        headers = Headers(scope=scope)
        if scope["path"].startswith(self._prefixes):
            scope["account_id"] = self._keys.account_of(headers.get("authorization"))
        if not self._keys.required:
            _refuse_other_sites(headers)
        await self._router(scope, receive, send)


class _Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._started = time.perf_counter()
        self._status: int | None = None
        own = Headers(scope=scope).get("x-request-id", "")
        self._request_id = own if _OWN_ID.fullmatch(own) else str(uuid.uuid4())
        scope["request_id"] = self._request_id

    async def run(self, edge: Edge, receive: Receive) -> None:
        try:
            await edge.pass_on(self._scope, receive, self._send_with_id)
        except ApiError as error:
            await self._answer(error, receive)
        except HTTPException as error:
            await self._answer(_unknown_route(self._scope, error), receive)
        except ClientDisconnect:
            self._status = self._status or CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError:  # the server ends before the answer
            await self._answer(ServerStopping(), receive)
            self._log()
            raise
        except Exception as error:  # noqa: BLE001 - the edge: a broken program answers 500 and is logged
            log.error("request failed", request_id=self._request_id, path=self._scope["path"], exc_info=error)
            await self._answer(ApiError("Internal error. The log names it by this request_id."), receive)
        self._log()

    async def _send_with_id(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self._request_id
        await self._send(message)

    async def _answer(self, error: ApiError, receive: Receive) -> None:
        if self._status is not None:  # too late for an answer: the response is under way
            return
        response = JsonResponse(error_body(error, self._request_id), error.http_status, headers=error.headers)
        await response(self._scope, receive, self._send_with_id)

    def _log(self) -> None:
        log.info(
            "request",
            request_id=self._request_id,
            method=self._scope["method"],
            path=self._scope["path"],
            account_id=self._scope.get("account_id"),
            status=self._status or CLIENT_CLOSED_REQUEST,
            seconds=round(time.perf_counter() - self._started, 4),
        )


def error_body(error: ApiError, request_id: str) -> dict[str, Any] | ErrorEnvelope:
    """The envelope. An engine's error object keeps fields of its own."""
    fields = error.as_error_object()
    if set(fields) == set(ErrorObject.__struct_fields__):
        return ErrorEnvelope(error=ErrorObject(**fields), request_id=request_id)
    return {"error": fields, "request_id": request_id}


def _unknown_route(scope: Scope, error: HTTPException) -> ApiError:
    if error.status_code == 405:
        return MethodNotAllowed(f"{scope['method']} is not allowed on {scope['path']}.")
    return NotFound(f"There is no {scope['path']} here: see /docs.")


def _refuse_other_sites(headers: Headers) -> None:
    """Without keys, being on this machine is all that a caller needs: so web pages of other sites are kept out.

    Browsers send pages' calls with `Origin` or `Sec-Fetch-Site`, and name the site in `Host` even where its name was made to
    point to this machine (DNS rebinding).
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    foreign_origin = origin is not None and _split(origin).netloc != host
    foreign_host = not is_loopback(_split(f"//{host}").hostname or "")
    if foreign_host or foreign_origin or headers.get("sec-fetch-site") == "cross-site":
        raise CrossSiteRefused(
            "Without keys this server answers programs and pages of this machine only: configure [accounts.NAME] keys."
        )


def _split(address: str) -> SplitResult:
    """An address taken apart; what is none has no parts."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")
