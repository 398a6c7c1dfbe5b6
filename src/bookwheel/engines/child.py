"""A child process that serves OpenAI's protocol on loopback. It may die, and is then started again.

The child is a module of ours, run with `python -m`. It is told by one line of JSON on standard input what to serve and at
which `port` for which `api_key`, answers with one line, `{"address": ...}`, when it listens, and ends when its standard
input ends: it cannot outlive the process that started it. What it says besides goes to its log file. Calls that come while
it loads wait for it, also after a death.
"""

import asyncio
import json
import secrets
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bookwheel.engines.engine import EngineHealth
from bookwheel.engines.machine import THREADS_ENVIRONMENT
from bookwheel.engines.upstream import UpstreamEngine
from bookwheel.errors import EngineUnreachable
from bookwheel.logs import log
from bookwheel.settings import environment_without_settings

LOAD_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A child that listened for so long did not die of its start: the pauses begin anew."""


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """What to run: `module`, told `served` beside the port and the key, which are new at each start.

    The other fields but the log file are those of the upstream engine that it is once it listens.
    """

    module: str
    served: Mapping[str, object]
    log_file: Path
    model: str
    window_tokens: int
    max_output_tokens: int
    connect_seconds: float
    silence_seconds: float
    dialect: str = "openai"


@dataclass(frozen=True, slots=True, eq=False)
class Listening:
    """A child that listens. One that takes the place of a dead one is another object."""

    address: str
    """Its URL, without a path."""
    api_key: str
    upstream: UpstreamEngine


class EngineChild:
    """See the module. `name` is the engine's, for errors and logs."""

    def __init__(self, name: str, config: ChildConfig) -> None:
        self._name = name
        self._config = config
        self._listening: asyncio.Future[Listening] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._failure = "is not running"

    async def start(self) -> None:
        """Begin to load; `listening` waits for it."""
        self._listening = asyncio.get_running_loop().create_future()
        self._failure = "is loading its weights"
        self._supervisor = asyncio.create_task(self._keep_running())

    async def close(self) -> None:
        """End the child at once. Who waits for it gets EngineUnreachable."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
            self._failure = "is not running"
            self._fail_waiting()
            self._listening = None

    async def listening(self) -> Listening:
        """The child, once it listens. Raises EngineUnreachable where it could not load, or takes longer than it may."""
        if self._listening is None:
            raise EngineUnreachable(f"The engine {self._name} {self._failure}.")
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await asyncio.shield(self._listening)
        except TimeoutError:
            raise EngineUnreachable(f"The engine {self._name} {self._failure}: see {self._config.log_file}.") from None

    def health(self, detail: str) -> EngineHealth:
        """Ready with this detail, or not and why."""
        listening = self._listening
        if listening is None or not listening.done() or listening.exception() is not None:
            return EngineHealth(ready=False, detail=f"The embedded engine {self._failure}.")
        return EngineHealth(ready=True, detail=detail)

    async def _keep_running(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            self._failure = "is loading its weights"
            began = asyncio.get_running_loop().time()
            served = await self._run_once()
            if not served:
                self._failure = f"could not load its weights: see {self._config.log_file}"
                self._fail_waiting()
            if asyncio.get_running_loop().time() - began > STEADY_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            log.warning(
                "engine died", engine=self._name, log_file=str(self._config.log_file), pause_seconds=pause_seconds
            )
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            if not served:
                self._listening = asyncio.get_running_loop().create_future()

    async def _run_once(self) -> bool:
        """Start the child and stay until it ends; whether it ever listened."""
        try:
            with self._config.log_file.open("wb") as child_log:
                return await self._stay_with_child(child_log)
        except OSError as error:  # no room for the log, no process to be had: as if it had died
            log.warning("engine not started", engine=self._name, reason=str(error))
            return False

    async def _stay_with_child(self, child_log: IO[bytes]) -> bool:
        command = (sys.executable, "-m", self._config.module)
        environment = environment_without_settings() | THREADS_ENVIRONMENT
        child = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=child_log, env=environment
        )
        listening: Listening | None = None
        try:
            listening = await self._wait_until_listening(child)
            if listening is not None:
                await listening.upstream.start()
                self._set_listening(listening)
                await child.wait()
        finally:
            if listening is not None:  # from here on, calls wait for the next one
                self._failure = "died and is being started again"
                self._listening = asyncio.get_running_loop().create_future()
            await _end(child)
            if listening is not None:
                await listening.upstream.close()
        return listening is not None

    async def _wait_until_listening(self, child: Process) -> Listening | None:
        api_key = secrets.token_hex(16)
        assert child.stdin is not None  # noqa: S101 - both are pipes, asked for above
        assert child.stdout is not None  # noqa: S101
        told = {**self._config.served, "port": _free_port(), "api_key": api_key}
        child.stdin.write((json.dumps(told) + "\n").encode())
        address = _address_in(await child.stdout.readline())
        if address is None:
            return None
        log.info("engine ready", engine=self._name, model=self._config.model)
        return Listening(address, api_key, self._upstream_at(address, api_key))

    def _upstream_at(self, address: str, api_key: str) -> UpstreamEngine:
        config = self._config
        return UpstreamEngine(
            self._name,
            f"{address}/v1",
            config.model,
            api_key=api_key,
            window_tokens=config.window_tokens,
            max_output_tokens=config.max_output_tokens,
            connect_seconds=config.connect_seconds,
            silence_seconds=config.silence_seconds,
            dialect=config.dialect,
        )

    def _set_listening(self, listening: Listening) -> None:
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(listening)

    def _fail_waiting(self) -> None:
        """Answer the calls that wait, and those that come before the next try, with what is wrong."""
        if self._listening is not None and not self._listening.done():
            self._listening.set_exception(EngineUnreachable(f"The engine {self._name} {self._failure}."))
            self._listening.exception()  # nobody may have waited


def _address_in(line: bytes) -> str | None:
    """The address of a child's answer; None where it ended, or said something else."""
    try:
        return str(json.loads(line)["address"])
    except (ValueError, KeyError, TypeError):
        return None


async def _end(child: Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
