"""`GET /health`: whether the server is up, and what serves. No key is needed, and nothing of any account is told."""

from starlette.requests import Request

from bookwheel import __version__
from bookwheel.api.json_body import JsonResponse
from bookwheel.engines.roster import Roster


class HealthCall:
    """See the module. An engine that is not ready is said, but does not make the server unhealthy: files still work.

    Details, an engine's address among them, are told only `with_details`: where every caller is on this machine.
    """

    def __init__(self, roster: Roster, *, with_details: bool) -> None:
        self._roster = roster
        self._with_details = with_details

    async def check(self, _request: Request) -> JsonResponse:
        engines: dict[str, dict[str, str | bool]] = {}
        for name, engine in self._roster.engines.items():
            health = await engine.health()
            engines[name] = {"kind": engine.kind, "ready": health.ready}
            if self._with_details:
                engines[name]["detail"] = health.detail
        return JsonResponse({"status": "ok", "server": "bookwheel", "version": __version__, "engines": engines})
