"""An OpenAI-compatible engine that embeds, in a thread of the test: it records what it is sent and behaves as it is told."""

import asyncio
import base64
from typing import Any

import numpy as np
from aiohttp import web

from support.engine import Behaviour, RecordingEngine, answer_object

USAGE = {"prompt_tokens": 7, "total_tokens": 7}


class RecordingEmbedder(RecordingEngine):
    """As `RecordingEngine`, at `/embeddings`."""

    def __init__(self) -> None:
        super().__init__()
        self.behave = answer_vectors()

    def reset(self) -> None:
        super().reset()
        self.behave = answer_vectors()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1024**3)
        app.router.add_post("/v1/embeddings", self._chat)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{port}/v1"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()


def answer_vectors(encoding: str = "") -> Behaviour:
    """Answer with a vector for each text, in this encoding; in the one that was asked for where none is named."""

    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        texts = body["input"] if isinstance(body["input"], list) and not isinstance(body["input"][0], int) else [0]
        as_base64 = (encoding or body.get("encoding_format")) == "base64"
        vectors = [in_base64(vector_of(number)) if as_base64 else vector_of(number) for number in range(len(texts))]
        return await answer_object(embeddings(vectors))(request, body)

    return behave


def embeddings(vectors: list[Any]) -> dict[str, Any]:
    """The answer with these vectors, in whatever form."""
    data = [{"object": "embedding", "index": number, "embedding": vector} for number, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "mock", "usage": USAGE}


def vector_of(number: int) -> list[float]:
    """The vector of the text of that number: exact in 32 bits."""
    return [number + 0.5, -0.25, 1 / 1024]


def in_base64(vector: list[float]) -> str:
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode()
