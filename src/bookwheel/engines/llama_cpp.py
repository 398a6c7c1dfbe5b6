"""The embedded engine: llama.cpp's server in a child process, which may die and is started again.

Once it listens it is an upstream engine like any other. Requests that come while it loads its weights wait for it.
"""

import asyncio
import json
import os
import secrets
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bookwheel.engines.engine import Chunk, Completion, Embeddings, EngineHealth, EngineRequest
from bookwheel.engines.upstream import UpstreamEngine
from bookwheel.errors import EngineUnreachable, InvalidRequest
from bookwheel.logs import log

LOAD_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 30.0
CACHE_MB = 1024
"""Memory for prompts that were read before; llama.cpp's own default is 8 GB."""


@dataclass(frozen=True, slots=True)
class LlamaCppConfig:
    """What to serve. `threads` 0: as many as there are cores."""

    weights: Path
    model: str
    window_tokens: int
    max_output_tokens: int
    threads: int
    slots: int
    connect_seconds: float
    silence_seconds: float
    log_file: Path


class LlamaCppEngine:
    """See the module."""

    kind = "llama_cpp"

    def __init__(self, name: str, config: LlamaCppConfig) -> None:
        self.name = name
        self.model = config.model
        self.window_tokens = config.window_tokens
        self.max_output_tokens = config.max_output_tokens
        self._config = config
        self._listening: asyncio.Future[UpstreamEngine] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._failure = "is not running"

    async def start(self) -> None:
        """Begin to load; requests wait for it."""
        self._listening = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._keep_running())

    async def close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None

    async def health(self) -> EngineHealth:
        listening = self._listening
        if listening is None or not listening.done() or listening.exception() is not None:
            return EngineHealth(ready=False, detail=f"The embedded engine {self._failure}.")
        return EngineHealth(ready=True, detail=f"{self._config.model}, {self._threads()} threads")

    async def complete(self, request: EngineRequest) -> Completion:
        return await (await self._upstream()).complete(request)

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        upstream = await self._upstream()
        first = True
        async with aclosing(upstream.stream(request)) as stream:
            async for chunks in stream:
                if first:
                    first = False
                    _open_with_empty_text(chunks[0])
                yield chunks

    async def count_prompt(self, request: EngineRequest) -> int | None:
        return await (await self._upstream()).count_prompt(request)

    async def tokenize(self, text: str) -> list[int] | None:
        return await (await self._upstream()).tokenize(text)

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        raise InvalidRequest(f"The model {body.get('model')} does not embed.", param="model")

    async def forget(self, file_id: str) -> None:
        """Nothing is kept on disk."""

    async def _upstream(self) -> UpstreamEngine:
        if self._listening is None:
            raise EngineUnreachable(f"The engine {self.name} {self._failure}.")
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await asyncio.shield(self._listening)
        except TimeoutError:
            raise EngineUnreachable(f"The engine {self.name} {self._failure}: see {self._config.log_file}.") from None

    async def _keep_running(self) -> None:
        pause_seconds = 1.0
        while True:
            self._failure = "is loading its weights"
            with self._config.log_file.open("wb") as child_log:
                served = await self._run_once(child_log)
            if served:
                self._listening = asyncio.get_running_loop().create_future()
                self._failure = "died and is being started again"
                pause_seconds = 1.0
            else:
                self._failure = f"could not load its weights: see {self._config.log_file}"
                self._fail_waiting()
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            log.warning(
                "engine died", engine=self.name, log_file=str(self._config.log_file), pause_seconds=pause_seconds
            )
            await asyncio.sleep(pause_seconds)
            if not served:
                self._listening = asyncio.get_running_loop().create_future()

    async def _run_once(self, child_log: IO[bytes]) -> bool:
        """Start the child and stay until it ends; whether it ever listened."""
        command = (sys.executable, "-m", "bookwheel.engines.llama_cpp_server")
        child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=child_log)
        upstream: UpstreamEngine | None = None
        try:
            upstream = await self._wait_until_listening(child)
            if upstream is not None:
                await upstream.start()
                self._set_listening(upstream)
            await child.wait()
        finally:
            await _end(child)
            if upstream is not None:
                await upstream.close()
        return upstream is not None

    async def _wait_until_listening(self, child: Process) -> UpstreamEngine | None:
        api_key = secrets.token_hex(16)
        assert child.stdin is not None  # noqa: S101 - both are pipes, asked for above
        assert child.stdout is not None  # noqa: S101
        child.stdin.write((json.dumps(self._child_config(api_key)) + "\n").encode())
        line = await child.stdout.readline()
        if not line:
            return None
        address = json.loads(line)["address"]
        log.info("engine ready", engine=self.name, model=self._config.model, threads=self._threads())
        return UpstreamEngine(
            self.name,
            f"{address}/v1",
            self._config.model,
            api_key=api_key,
            window_tokens=self.window_tokens,
            max_output_tokens=self.max_output_tokens,
            connect_seconds=self._config.connect_seconds,
            silence_seconds=self._config.silence_seconds,
        )

    def _set_listening(self, upstream: UpstreamEngine) -> None:
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(upstream)

    def _fail_waiting(self) -> None:
        """Answer the requests that wait, and those that come before the next try, with what is wrong."""
        if self._listening is not None and not self._listening.done():
            self._listening.set_exception(EngineUnreachable(f"The engine {self.name} {self._failure}."))
            self._listening.exception()  # nobody may have waited

    def _child_config(self, api_key: str) -> dict[str, object]:
        config = self._config
        return {
            "weights": str(config.weights),
            "model": config.model,
            "port": _free_port(),
            "api_key": api_key,
            "window_tokens": config.window_tokens,
            "max_output_tokens": config.max_output_tokens,
            "slots": config.slots,
            "threads": self._threads(),
            "cache_mb": CACHE_MB,
        }

    def _threads(self) -> int:
        return self._config.threads or _usable_cores()


def _usable_cores() -> int:
    """The cores that this process may use; where the system does not say, all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def _end(child: Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _open_with_empty_text(chunk: Chunk) -> None:
    """llama.cpp opens a stream with `content: null`; OpenAI and Qwen-Long with an empty text."""
    for choice in chunk.get("choices", ()):
        delta = choice.get("delta", {})
        if delta.get("content", "") is None:
            delta["content"] = ""
