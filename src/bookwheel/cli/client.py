"""How commands talk to a server: one that runs already, or one of their own for as long as they need it."""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import aiohttp

from bookwheel.cli.serve import ADDRESS_FILE
from bookwheel.engines.sse import SseParser
from bookwheel.errors import BookwheelError, SettingsError
from bookwheel.settings import Settings, environment_without_settings, settings_as_toml

T = TypeVar("T")

START_SECONDS = 120.0
POLL_SECONDS = 0.2
UPLOAD_PIECE_BYTES = 256 * 1024
OVER_RATE = 429
LONGEST_REST_SECONDS = 60.0
"""A server that asks for a longer pause refuses."""
PATIENT = aiohttp.ClientTimeout(total=None, sock_connect=10)


class ServerRefused(BookwheelError):
    """The server's own error message."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and the key to show it."""

    url: str
    key: str
    ends_with_command: bool = False
    """Whether it was started for this command, and does not outlive it."""


def find_server(settings: Settings) -> Address | None:
    """The address of the configured server, or of the one that runs on the data folder."""
    key = _own_key(settings)
    if settings.client.base_url:
        return Address(_without_prefix(settings.client.base_url), key)
    running = _running_server(settings.data_dir)
    return Address(running, key) if running else None


@contextmanager
def find_or_start_server(settings: Settings) -> Iterator[Address]:
    """The address of a server that is there, or of one started for now."""
    found = find_server(settings)
    if found is not None:
        yield found
        return
    with _started_server(settings) as url:
        yield Address(url, _own_key(settings), ends_with_command=True)


class Client:
    """The calls that commands make. Raises ServerRefused with the server's words."""

    def __init__(self, session: aiohttp.ClientSession, address: Address) -> None:
        self._session = session
        self._base = f"{address.url}/v1"
        self.server_ends_with_command = address.ends_with_command

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        """One call, made again where it was over the rate; the answer's JSON."""
        while True:
            async with self._session.request(method, f"{self._base}{path}", json=body, params=params) as response:
                if not await _is_to_come_again(response):
                    await _raise_refusal(response)
                    answer: dict[str, Any] = await response.json()
                    return answer

    async def each(self, path: str, limit: int, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """The objects of a listing, fetched `limit` at a time."""
        page = await self.call("GET", path, limit=limit, **params)
        while True:
            for listed in page["data"]:
                yield listed
            if not page["has_more"]:
                return
            page = await self.call("GET", path, limit=limit, after=page["last_id"], **params)

    async def upload(
        self, path: Path, progress: Callable[[int], None], purpose: str = "file-extract"
    ) -> dict[str, Any]:
        """Upload a file, again where it was over the rate; `progress` is told how many bytes went out each time."""
        while True:
            form = aiohttp.FormData(quote_fields=False)  # names go out as they are, in UTF-8
            form.add_field("purpose", purpose)
            form.add_field("file", _pieces(path, progress), filename=path.name, content_type="application/octet-stream")
            async with self._session.post(f"{self._base}/files", data=form) as response:
                if not await _is_to_come_again(response):
                    await _raise_refusal(response)
                    file: dict[str, Any] = await response.json()
                    return file

    async def wait_until_read(
        self, file: dict[str, Any], progress: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> dict[str, Any]:
        """Wait until a file is read; `progress` gets each `bookwheel.progress`. Raises ServerRefused where it cannot be."""
        while file["status"] == "uploaded":
            progress(file.get("bookwheel", {}).get("progress") or {})
            await asyncio.sleep(POLL_SECONDS)
            file = await self.call("GET", f"/files/{file['id']}")
        if file["status"] == "error":
            raise ServerRefused(f"{file['filename']}: {file['status_details']}")
        return file

    @asynccontextmanager
    async def content(self, file_id: str, *, original: bool) -> AsyncIterator[aiohttp.StreamReader]:
        """A file's text, or its bytes as they were uploaded."""
        params = {"original": "true"} if original else {}
        async with self._session.get(f"{self._base}/files/{file_id}/content", params=params) as response:
            await _raise_refusal(response)
            yield response.content

    async def ask(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a streamed answer."""
        async with self._session.post(f"{self._base}/chat/completions", json=body | {"stream": True}) as response:
            await _raise_refusal(response)
            parser = SseParser()
            async for data in response.content.iter_any():
                for event in parser.feed(data):
                    if event == b"[DONE]":
                        return
                    chunk: dict[str, Any] = json.loads(event)
                    if "error" in chunk:
                        raise ServerRefused(chunk["error"]["message"])
                    yield chunk


def with_client(settings: Settings, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """Run `work` with a client of a server that runs, or is started for it."""

    async def run(address: Address) -> T:
        headers = {"authorization": f"Bearer {address.key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=PATIENT) as session:
            try:
                return await work(Client(session, address))
            except aiohttp.ClientError as error:
                raise ServerRefused(f"{address.url} does not answer: {error}") from None

    with find_or_start_server(settings) as address:
        return asyncio.run(run(address))


async def _is_to_come_again(response: aiohttp.ClientResponse) -> bool:
    """Whether a call was over the rate and may be made again: when this returns."""
    pause = response.headers.get("retry-after", "")
    if response.status != OVER_RATE or not pause.isdigit() or int(pause) > LONGEST_REST_SECONDS:
        return False
    await asyncio.sleep(int(pause))
    return True


async def _raise_refusal(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    text = await response.text()
    try:
        raise ServerRefused(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        raise ServerRefused(f"The server answered with status {response.status}.") from None


async def _pieces(path: Path, progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, UPLOAD_PIECE_BYTES):
            yield piece
            progress(len(piece))


def _own_key(settings: Settings) -> str:
    if settings.client.api_key:
        return settings.client.api_key.get_secret_value()
    for account in settings.accounts.values():
        for key in account.keys:
            if not key.get_secret_value().startswith("sha256:"):
                return key.get_secret_value()
    if settings.accounts:
        raise SettingsError("client.api_key: set it (BOOKWHEEL_CLIENT__API_KEY), as this server asks for keys")
    return "none"


def _without_prefix(base_url: str) -> str:
    url = base_url.rstrip("/")
    for prefix in ("/compatible-mode/v1", "/v1"):
        url = url.removesuffix(prefix)
    return url


def _running_server(data_dir: Path) -> str | None:
    try:
        url = str(json.loads((data_dir / ADDRESS_FILE).read_text("utf-8"))["url"])
    except (OSError, ValueError, KeyError):
        return None
    return url if _is_bookwheel(url) else None


def _is_bookwheel(url: str) -> bool:
    direct = build_opener(ProxyHandler({}))  # a proxy has no way to this machine's own servers
    try:
        with direct.open(f"{url}/health", timeout=5) as response:
            return bool(json.load(response).get("server") == "bookwheel")
    except (URLError, OSError, ValueError):
        return False


@contextmanager
def _started_server(settings: Settings) -> Iterator[str]:
    """A server of our own on a free port, with the same settings, for as long as the with-statement lasts.

    It is not in the terminal's group: Ctrl-C is for the command, which may still need it then. It ends with the command.
    """
    with tempfile.TemporaryDirectory(prefix="bookwheel-") as folder:
        config, log_path = Path(folder) / "bookwheel.toml", Path(folder) / "server.log"
        config.write_text(settings_as_toml(settings, reveal_secrets=True), "utf-8")
        command = [
            sys.executable,
            "-m",
            "bookwheel.cli.companion",
            "serve",
            "--config",
            str(config),
            "--log-level",
            "warning",
        ]
        command += ["--host", "127.0.0.1", "--port", "0"]
        environment = environment_without_settings()
        with log_path.open("wb") as log_file:
            server = subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.PIPE, stdout=log_file, stderr=log_file, env=environment, process_group=0
            )
        try:
            with _leaving_when_told():
                yield _wait_for_address(server, settings.data_dir, log_path)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


@contextmanager
def _leaving_when_told() -> Iterator[None]:
    """Signals that end a program at once let it put its things away here."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_address(server: subprocess.Popen[bytes], data_dir: Path, log_path: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            last_line = (log_path.read_text("utf-8", "replace").strip().splitlines() or ["it gave no reason"])[-1]
            raise ServerRefused(f"A server for this command did not start: {last_line.removeprefix('bookwheel: ')}")
        url = _running_server(data_dir)
        if url:
            return url
        time.sleep(POLL_SECONDS)
    raise ServerRefused(f"A server for this command did not start within {START_SECONDS:g} seconds.")
