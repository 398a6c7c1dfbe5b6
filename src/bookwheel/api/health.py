"""`GET /health`: whether the server is up, and what serves. No key is needed, and nothing of any account is told."""

import asyncio

from starlette.requests import Request

from bookwheel import __version__
from bookwheel.accounts.keys import Keys
from bookwheel.api.json_body import JsonResponse
from bookwheel.engines.roster import Roster


class HealthCall:
    """See the module. An engine that is not ready is said, but does not make the server unhealthy: files still work.

    Details, an engine's address among them, are told only where there are no keys: there every caller is on this machine.
    """

    def __init__(self, roster: Roster, keys: Keys) -> None:
        self._roster = roster
        self._keys = keys

    async def check(self, _request: Request) -> JsonResponse:
        engines: dict[str, dict[str, str | bool | int]] = {}
        asked = dict(self._roster.engines)
        answers = await asyncio.gather(*(engine.health() for engine in asked.values()))
        for (name, engine), health in zip(asked.items(), answers, strict=True):
            engines[name] = {
                "kind": engine.kind,
                "ready": health.ready,
                "running": engine.turns.running,
                "waiting": engine.turns.waiting,
                "running_background": engine.turns.running_background,
                "waiting_background": engine.turns.waiting_background,
            }
            if not self._keys.required:
                engines[name]["detail"] = health.detail
        return JsonResponse({"status": "ok", "server": "bookwheel", "version": __version__, "engines": engines})
