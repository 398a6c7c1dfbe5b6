"""Everything that takes part in a measurement runs in a process of its own, so that nobody's CPU time hides in another's."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

import tomli_w
import uvloop
from aiohttp import web

from bench.report import ROOT
from bookwheel.settings import environment_without_settings

START_SECONDS = 60.0
END_SECONDS = 15.0
_open = build_opener(ProxyHandler({})).open


class Participant:
    """A module of this package in its own process. It says what it has to say in lines of JSON on standard output, is told
    to go on by lines on standard input, and ends when that ends."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """The next thing it says. Raises RuntimeError where it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, self._process.args[1:]))} ended early")  # type: ignore[index]
        said: dict[str, Any] = json.loads(line)
        return said

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        """End it, whatever it is doing."""
        try:
            self._process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def say(**fields: Any) -> None:
    """What a participant says to the one who started it."""
    print(json.dumps(fields), flush=True)


def serve_as_participant(app: web.Application) -> None:
    """Serve an application on a free port, say its `url`, and end with standard input."""

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        say(url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        running.run(serve())


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A `bookwheel serve` process that listens."""

    url: str
    pid: int
    data_dir: Path


@contextmanager
def running_server(folder: Path, settings: Mapping[str, Any]) -> Iterator[RunningServer]:
    """The real server with these settings and its data under `folder`, on a free port, its log in a file."""
    data_dir, config, log_path = folder / "data", folder / "bookwheel.toml", folder / "server.log"
    config.write_text(tomli_w.dumps({**settings, "data_dir": str(data_dir)}), "utf-8")
    command = [sys.executable, "-m", "bookwheel", "serve", "--config", str(config), "--port", "0"]
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment_without_settings()
        )
    try:
        url = _wait_until_listening(process, data_dir / "server.json", log_path)
        yield RunningServer(url, process.pid, data_dir)
    finally:
        process.terminate()
        process.wait()


def ask_health(url: str) -> dict[str, Any]:
    """What `GET /health` answers."""
    with _open(f"{url}/health", timeout=10) as response:
        health: dict[str, Any] = json.load(response)
        return health


def url_if_listening(address_file: Path) -> str | None:
    """Where the server that writes this file listens; None where it does not yet."""
    try:
        url = str(json.loads(address_file.read_text("utf-8"))["url"])
        ask_health(url)
    except (OSError, ValueError):
        return None
    return url


def _wait_until_listening(process: subprocess.Popen[bytes], address_file: Path, log_path: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if url := url_if_listening(address_file):
            return url
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log_path.read_text('utf-8', 'replace')}")
