"""The client that commands use comes again where it was told to, and takes a refusal for one."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from bookwheel.cli.batch_steps import look
from bookwheel.cli.client import Address, Client, ServerRefused

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(answer: Answer, port: int = 0) -> AsyncIterator[str]:
    """A server that answers everything so; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(url: str, *, ends_with_command: bool = False) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, Address(url, "none", ends_with_command=ends_with_command))


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def refusal(message: str, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=429, headers=headers)


async def is_done(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"id": "batch_1", "status": "completed"})


class TestCall:
    async def test_over_the_rate_it_is_made_again(self) -> None:
        calls: list[str] = []

        async def answer(request: web.Request) -> web.StreamResponse:
            calls.append(request.path)
            return refusal("Too fast.", **{"retry-after": "0"}) if len(calls) < 3 else await is_done(request)

        async with served(answer) as url, client_of(url) as client:
            assert (await client.call("GET", "/batches/batch_1"))["status"] == "completed"
        assert calls == ["/v1/batches/batch_1"] * 3

    @pytest.mark.parametrize("headers", [{}, {"retry-after": "3600"}], ids=["no word when", "in an hour"])
    async def test_over_the_quota_or_for_long_it_is_refused(self, headers: dict[str, str]) -> None:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return refusal("Too much.", **headers)

        async with served(answer) as url, client_of(url) as client:
            with pytest.raises(ServerRefused, match="Too much"):
                await client.call("GET", "/batches/batch_1")


class TestEach:
    async def test_gives_the_objects_of_all_pages(self) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            first = int(request.query.get("after", "0")) + 1
            data = [{"id": str(number)} for number in range(first, min(first + int(request.query["limit"]), 6))]
            page = {"data": data, "has_more": first + len(data) < 6, "last_id": data[-1]["id"]}
            return web.json_response(page if request.query["status"] == "completed" else {})

        async with served(answer) as url, client_of(url) as client:
            found = [listed["id"] async for listed in client.each("/batches", 2, status="completed")]
        assert found == ["1", "2", "3", "4", "5"]


class TestLook:
    async def test_waits_for_a_server_that_has_gone_and_comes_back(self) -> None:
        port = free_port()
        async with client_of(f"http://127.0.0.1:{port}") as client:
            looking = asyncio.create_task(look(client, "batch_1"))
            await asyncio.sleep(0.1)  # so that it has looked: it finds the server in any case
            async with served(is_done, port):
                assert (await looking)["status"] == "completed"

    async def test_does_not_wait_for_a_server_of_its_own(self) -> None:
        async with client_of(f"http://127.0.0.1:{free_port()}", ends_with_command=True) as client:
            with pytest.raises(aiohttp.ClientConnectionError):
                await look(client, "batch_1")
