"""An engine that speaks OpenAI's protocol at a URL: vLLM, SGLang, Ollama, LM Studio, llama-server, DashScope, OpenAI.

Nothing is retried here, and nothing of the client's is changed but the model's name.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from bookwheel.engines.engine import Chunk, Completion, Embeddings, EngineHealth, EngineRequest
from bookwheel.engines.sse import EventTooLarge, SseParser
from bookwheel.errors import ApiError, EngineRefused, EngineTimedOut, EngineUnreachable

DONE = b"[DONE]"
READ_BUFFER_BYTES = 1024 * 1024
HEALTH_SECONDS = 5.0
SLACK = 1.1
"""Of the silence that is allowed, how much passes at the most before a stream is given up."""
_OWN_KEY_REFUSED = (401, 403, 407)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class UpstreamEngine:
    """See the module. `base_url` ends before `/chat/completions`."""

    kind = "upstream"

    def __init__(
        self,
        name: str,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        window_tokens: int,
        max_output_tokens: int,
        connect_seconds: float,
        silence_seconds: float,
    ) -> None:
        self.name = name
        self.model = model
        self.window_tokens = window_tokens
        self.max_output_tokens = max_output_tokens
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._connect_seconds = connect_seconds
        self._silence_seconds = silence_seconds
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool. The engine itself may come up later."""
        headers = {"content-type": "application/json"}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_seconds),
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=True,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def health(self) -> EngineHealth:
        """Ask for its list of models, the one call that every engine of the kind has."""
        timeout = aiohttp.ClientTimeout(total=HEALTH_SECONDS)
        try:
            async with self._open_session().get(f"{self._base_url}/models", timeout=timeout) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return EngineHealth(ready=False, detail=f"{self._base_url} does not answer ({_reason(error)}).")
        if response.status in _OWN_KEY_REFUSED:
            return EngineHealth(ready=False, detail=f"It refuses engines.{self.name}.api_key.")
        return EngineHealth(ready=True, detail=f"{self._base_url}, model {self.model}")

    async def complete(self, request: EngineRequest) -> Completion:
        async with self._post("chat/completions", self._chat_body(request, stream=False)) as (response, _):
            body = await response.read()
        answer = self._object(body)
        if not isinstance(answer.get("choices"), list) or not _has_shape(answer, "message"):
            raise self._unreachable("sent an answer without choices")
        return answer

    async def count_prompt(self, request: EngineRequest) -> int | None:  # noqa: ARG002 - not every engine can say
        return None

    async def tokenize(self, text: str) -> list[int] | None:  # noqa: ARG002
        return None

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        async with self._post("embeddings", body | {"model": self.model}) as (response, _):
            answer = self._object(await response.read())
        if not isinstance(answer.get("data"), list):
            raise self._unreachable("sent no embeddings")
        return answer

    async def forget(self, file_id: str) -> None:
        """Nothing is kept here; what the engine keeps of prompts is its own."""

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        async with self._post("chat/completions", self._chat_body(request, stream=True)) as (response, silence):
            if response.content_type == "application/json":  # an engine that does not stream
                raise self._unreachable("answered a request for a stream with something else")
            parser = SseParser()
            async for data in response.content.iter_any():
                self._put_off(silence)
                chunks, done = self._chunks(parser, data)
                if chunks:
                    yield chunks
                if done:
                    return
        raise self._unreachable("closed the stream before its end")

    def _chunks(self, parser: SseParser, data: bytes) -> tuple[list[Chunk], bool]:
        chunks: list[Chunk] = []
        try:
            payloads = parser.feed(data)
        except EventTooLarge:
            raise self._unreachable("sent an event that does not end") from None
        for payload in payloads:
            if payload.strip() == DONE:
                return chunks, True
            chunk = self._object(payload)
            if chunk.get("error"):
                raise self._failed_in_mid_stream(chunk["error"])
            if not _has_shape(chunk, "delta"):
                raise self._unreachable("sent a chunk of another shape")
            chunks.append(chunk)
        return chunks, False

    @asynccontextmanager
    async def _post(
        self, path: str, body: dict[str, Any]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.Timeout]]:
        """The response, and the time-out that ends it unless it is put off."""
        url = f"{self._base_url}/{path}"
        has_answered = False
        try:
            async with (
                asyncio.timeout(self._silence_seconds) as silence,
                self._open_session().post(url, data=_encode(body)) as response,
            ):
                if response.status >= 400:
                    raise await self._refusal(response)
                has_answered = True
                yield response, silence
        except (aiohttp.ServerTimeoutError, TimeoutError) as error:
            raise self._timed_out(error) from None
        except aiohttp.ClientError as error:
            raise self._unreachable(f"broke off ({_reason(error)})", had_begun=has_answered) from None

    def _chat_body(self, request: EngineRequest, *, stream: bool) -> dict[str, Any]:
        return request.options | {"model": self.model, "messages": request.messages, "stream": stream}

    def _put_off(self, silence: asyncio.Timeout) -> None:
        """Give a stream that just spoke its time again, and a tenth more.

        Moving a timer at every event costs more than all else that is done for it (aiohttp's `sock_read` moves two): so
        it is moved when less than the set time is left of it.
        """
        now = asyncio.get_running_loop().time()
        ends = silence.when()
        if ends is not None and ends < now + self._silence_seconds:
            silence.reschedule(now + SLACK * self._silence_seconds)

    async def _refusal(self, response: aiohttp.ClientResponse) -> ApiError:
        body = await response.content.read(READ_BUFFER_BYTES)
        error = _error_object(body)
        if response.status in _OWN_KEY_REFUSED:
            return self._unreachable(f"refuses Bookwheel's own key: check engines.{self.name}.api_key")
        if response.status >= 500:
            return self._unreachable(f"answered with status {response.status}: {error['message']}")
        return EngineRefused(response.status, error, response.headers.get("retry-after"))

    def _object(self, data: bytes) -> dict[str, Any]:
        try:
            value = _decode(data)
        except (msgspec.DecodeError, RecursionError):
            raise self._unreachable("sent what is not JSON") from None
        if not isinstance(value, dict):
            raise self._unreachable("sent JSON that is not an object")
        return value

    def _failed_in_mid_stream(self, error: Any) -> ApiError:
        shown = error if isinstance(error, dict) else {"message": str(error)}
        return EngineRefused(502, shown)

    def _unreachable(self, what: str, *, had_begun: bool = False) -> EngineUnreachable:
        return EngineUnreachable(f"The engine {self.name} {what.rstrip('.')}.", had_begun=had_begun)

    def _timed_out(self, error: Exception) -> ApiError:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return self._unreachable(f"did not accept a connection within {self._connect_seconds:g} seconds")
        return EngineTimedOut(f"The engine {self.name} was silent for {self._silence_seconds:g} seconds.")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise self._unreachable("is not running")
        return self._session


def _has_shape(answer: dict[str, Any], part: str) -> bool:
    """Whether the choices of an answer are objects whose `delta` or `message` is one, with a text in it if anything."""
    choices = answer.get("choices") or []
    if not isinstance(choices, list):
        return False
    for choice in choices:
        said = choice.get(part) or {} if isinstance(choice, dict) else None
        if not isinstance(said, dict) or not isinstance(said.get("content") or "", str):
            return False
    return True


def _reason(error: BaseException) -> str:
    """An error in few words, without addresses of memory or sockets."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error).__name__
    return str(error) or type(error).__name__


def _error_object(body: bytes) -> dict[str, Any]:
    """The engine's error in OpenAI's shape, whatever shape it came in."""
    try:
        value = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {"message": body[:300].decode("utf-8", "replace").strip() or "no reason given"}
    if isinstance(value, dict):
        error = value.get("error", value)
        if isinstance(error, dict):
            return error | {"message": str(error.get("message") or error.get("detail") or "no reason given")}
        return {"message": str(error)}
    return {"message": str(value)[:300]}
