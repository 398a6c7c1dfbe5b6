"""An engine that speaks OpenAI's protocol at a URL: vLLM, SGLang, Ollama, LM Studio, llama-server, DashScope, OpenAI.

Nothing is retried here, and nothing of the client's is changed but the model's name, and what `dialects` says for the
kind of engine that it is set to be.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec

from bookwheel.engines.dialects import DIALECTS, NoSuchCall, continued_text, name_thoughts, translate, without_echo
from bookwheel.engines.engine import Chunk, Completion, Embeddings, EngineHealth, EngineRequest, Message
from bookwheel.engines.sse import EventTooLarge, SseParser
from bookwheel.errors import ApiError, EngineRefused, EngineTimedOut, EngineUnreachable
from bookwheel.logs import log

T = TypeVar("T")

DONE = b"[DONE]"
READ_BUFFER_BYTES = 1024 * 1024
IDLE_SECONDS = 4.0
"""For how long an idle connection is kept. vLLM, SGLang and llama-server close theirs after five, whoever is about to write."""
ASIDE_SECONDS = 5.0
"""For all that is asked beside answers: whether it is there, its window, its counts."""
MOST_ASKED_CHARACTERS = 2_000_000
"""Longer texts have no window to go into, and would be tokenized for longer than is waited."""
REST_SECONDS = 60.0
"""For how long an engine that could not count is not asked to."""
SLACK = 1.1
"""Of the silence that is allowed, how much passes at the most before a stream is given up."""
LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
"""Of a whole answer: 32,768 tokens with twenty `top_logprobs` each."""
LARGEST_EMBEDDINGS_BYTES = 256 * 1024 * 1024
"""2,048 inputs of 4,096 dimensions, in digits."""
_OWN_KEY_REFUSED = (401, 403, 407)
_REFUSED = (400, 413, 422)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class UpstreamEngine:
    """See the module. `base_url` ends before `/chat/completions`."""

    kind = "upstream"
    has_own_count = True

    def __init__(  # noqa: PLR0913 - an engine's settings, one by one
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
        dialect: str = "openai",
    ) -> None:
        self.name = name
        self.model = model
        self.window_tokens = window_tokens
        self.max_output_tokens = max_output_tokens
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._connect_seconds = connect_seconds
        self._silence_seconds = silence_seconds
        self._dialect = DIALECTS[dialect]
        self._counts_again = 0.0
        """On the loop's clock: until then it is not asked to count."""
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool. The engine itself may come up later."""
        headers = {"content-type": "application/json"}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_seconds),
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=True,
            middlewares=(send_again,),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def health(self) -> EngineHealth:
        """Ask for its list of models, the one call that every engine of the kind has, and for its window."""
        timeout = aiohttp.ClientTimeout(total=ASIDE_SECONDS)
        try:
            async with self._open_session().get(f"{self._base_url}/models", timeout=timeout) as response:
                await self._read(response, LARGEST_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, EngineUnreachable) as error:
            return EngineHealth(ready=False, detail=f"{self._base_url} does not answer ({_reason(error)}).")
        if response.status in _OWN_KEY_REFUSED:
            return EngineHealth(ready=False, detail=f"It refuses engines.{self.name}.api_key.")
        warning = await self._window_warning()
        return EngineHealth(ready=True, detail=f"{self._base_url}, model {self.model}{warning and f'. {warning}'}")

    async def complete(self, request: EngineRequest) -> Completion:
        async with self._post("chat/completions", self._chat_body(request, stream=False)) as (response, _):
            answer = self._object(await self._read(response, LARGEST_ANSWER_BYTES))
            if not isinstance(answer.get("choices"), list) or not _has_shape(answer, "message"):
                raise self._unreachable("sent an answer without choices")
        if self._dialect.renames_thoughts:
            name_thoughts([answer], "message")
        if self._dialect.echoes_continued and not request.options.get("echo"):
            without_echo(answer, continued_text({"messages": request.messages}) or "")
        return answer

    async def count_prompt(self, request: EngineRequest) -> int | None:
        count = self._dialect.count
        if count is None or not _is_text(request.messages):
            return None
        return await self._aside(count(self._ask, self._chat_body(request, stream=False)))

    async def tokenize(self, text: str) -> list[int] | None:
        tokenize = self._dialect.tokenize
        if tokenize is None or len(text) > MOST_ASKED_CHARACTERS:
            return None
        return await self._aside(tokenize(self._ask, self.model, text))

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        async with self._post("embeddings", body | {"model": self.model}) as (response, _):
            answer = self._object(await self._read(response, LARGEST_EMBEDDINGS_BYTES))
            if not isinstance(answer.get("data"), list):
                raise self._unreachable("sent no embeddings")
        return answer

    async def forget(self, file_id: str) -> None:
        """Nothing is kept here; what the engine keeps of prompts is its own."""

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        has_begun = False
        try:
            async with self._post("chat/completions", self._chat_body(request, stream=True)) as (response, silence):
                if response.content_type == "application/json":  # an engine that does not stream
                    raise self._unreachable("answered a request for a stream with something else")
                parser, now = SseParser(), asyncio.get_running_loop().time
                while data := await response.content.readany():
                    if b"\n" in data:  # bytes of a line that never ends are no sign of life
                        self._put_off(silence, now())
                    chunks, ending = self._chunks(parser, data)
                    if chunks:
                        has_begun = True
                        yield chunks
                    if isinstance(ending, ApiError):
                        raise ending
                    if ending:
                        return
                raise self._unreachable("closed the stream before its end")
        except EngineUnreachable as error:
            error.had_begun = has_begun
            raise

    def _chunks(self, parser: SseParser, data: bytes) -> tuple[list[Chunk], ApiError | bool]:
        """The chunks that are whole now, and what comes after them: an error, or (True) the stream's end."""
        chunks: list[Chunk] = []
        ending: ApiError | bool = False
        try:
            for payload in parser.feed(data):
                if payload.strip() == DONE:
                    ending = True
                    break
                chunk = self._object(payload)
                if chunk.get("error") or chunk.get("object") == "error":  # the second is vLLM's, before 2025
                    raise self._failed_in_mid_stream(chunk.get("error") or chunk)
                if not _has_shape(chunk, "delta"):
                    raise self._unreachable("sent a chunk of another shape")
                chunks.append(chunk)
        except EventTooLarge:
            ending = self._unreachable("sent an event that does not end")
        except ApiError as error:
            ending = error
        if self._dialect.renames_thoughts:
            name_thoughts(chunks, "delta")
        return chunks, ending

    @asynccontextmanager
    async def _post(
        self, path: str, body: dict[str, Any]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.Timeout]]:
        """The response, and the time-out that ends it unless it is put off. Errors after its head say that it had begun."""
        url = f"{self._base_url}/{path}"
        headers = {"connection": "close"} if self._dialect.hangs_up and body.get("stream") else None
        has_answered = False
        try:
            async with (
                asyncio.timeout(self._silence_seconds) as silence,
                self._open_session().post(url, data=_encode(body), headers=headers, allow_redirects=False) as response,
            ):
                if response.status >= 300:
                    raise await self._refusal(response)
                has_answered = True
                yield response, silence
        except EngineUnreachable as error:
            error.had_begun = has_answered
            raise
        except (aiohttp.ServerTimeoutError, TimeoutError) as error:
            raise self._timed_out(error) from None
        except aiohttp.ClientError as error:
            raise self._unreachable(f"broke off ({_reason(error)})", had_begun=has_answered) from None

    def _chat_body(self, request: EngineRequest, *, stream: bool) -> dict[str, Any]:
        body = request.options | {"model": self.model, "messages": request.messages, "stream": stream}
        return translate(self._dialect, body)

    async def _aside(self, asking: Coroutine[Any, Any, T | None]) -> T | None:
        """What the engine says of its tokens; None where it does not. Where it cannot, it has a rest, and the log a line."""
        now = asyncio.get_running_loop().time()
        if now < self._counts_again:
            asking.close()
            return None
        try:
            return await asking
        except (aiohttp.ClientError, TimeoutError, NoSuchCall, EngineUnreachable) as error:
            log.warning("engine does not count", engine=self.name, why=_reason(error), rest_seconds=REST_SECONDS)
            self._counts_again = now + REST_SECONDS
            return None

    async def _window_warning(self) -> str:
        """What an operator should know of the engine's window; nothing where it is as large as is set."""
        dialect = self._dialect
        if dialect.find_window is None:
            return ""
        try:
            window = await dialect.find_window(self._ask, self.model)
        except (aiohttp.ClientError, TimeoutError, NoSuchCall):
            window = None
        if window is None:
            return dialect.caution.format(tokens=self.window_tokens)
        if window >= self.window_tokens:
            return ""
        return (
            f"Its window is {window:,} tokens, engines.{self.name}.window_tokens says {self.window_tokens:,}: set "
            f"window_tokens = {window}, or {dialect.widening.format(tokens=self.window_tokens)}."
        )

    async def _ask(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """`dialects.Ask`. Raises what aiohttp raises, too."""
        root = self._base_url.removesuffix("/v1")
        url = f"{root}{path}" if path.startswith("/") else f"{self._base_url}/{path}"
        method, data = ("GET", None) if body is None else ("POST", _encode(body))
        timeout = aiohttp.ClientTimeout(total=ASIDE_SECONDS)
        async with self._open_session().request(method, url, data=data, timeout=timeout) as response:
            answer = await self._read(response, LARGEST_ANSWER_BYTES)
        if response.status in _REFUSED:
            return {}
        if response.status != 200:
            raise NoSuchCall(f"{method} {url} answered with status {response.status}")
        try:
            fields = _decode(answer)
        except (msgspec.DecodeError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise NoSuchCall(f"{method} {url} answered with something else than JSON")
        return fields

    async def _read(self, response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
        """All of a body. Raises EngineUnreachable as soon as it is larger than it may be."""
        pieces: list[bytes] = []
        size = 0
        while data := await response.content.readany():
            size += len(data)
            if size > most_bytes:
                raise self._unreachable("sent an answer that does not end")
            pieces.append(data)
        return b"".join(pieces)

    def _put_off(self, silence: asyncio.Timeout, now: float) -> None:
        """Give a stream that just spoke its time again, and a tenth more.

        Moving a timer at every event costs more than all else that is done for it (aiohttp's `sock_read` moves two): so
        it is moved when less than the set time is left of it.
        """
        ends = silence.when()
        if ends is not None and ends < now + self._silence_seconds:
            silence.reschedule(now + SLACK * self._silence_seconds)

    async def _refusal(self, response: aiohttp.ClientResponse) -> ApiError:
        if response.status < 400:  # documents go where the settings say, and nowhere else
            return self._unreachable(
                f"leads elsewhere: set engines.{self.name}.base_url to its address", may_pass=False
            )
        error = _error_object(await self._read(response, LARGEST_ANSWER_BYTES))
        if response.status in _OWN_KEY_REFUSED:
            return self._unreachable(f"refuses Bookwheel's own key: check engines.{self.name}.api_key", may_pass=False)
        own_fault = self._dialect.own_fault
        if response.status >= 500 and own_fault is not None and own_fault.search(error["message"]):
            return EngineRefused(400, {"message": error["message"]})
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
        """Some engines have begun a stream, status 200, before they look at the request: then the error says its status."""
        shown = error if isinstance(error, dict) else {"message": str(error)}
        code = shown.get("code")
        return EngineRefused(code if isinstance(code, int) and 400 <= code < 500 else 502, shown)

    def _unreachable(self, what: str, *, had_begun: bool = False, may_pass: bool = True) -> EngineUnreachable:
        return EngineUnreachable(f"The engine {self.name} {what.rstrip('.')}.", had_begun=had_begun, may_pass=may_pass)

    def _timed_out(self, error: Exception) -> ApiError:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return self._unreachable(
                f"did not accept a connection within {self._connect_seconds:g} seconds", may_pass=False
            )
        return EngineTimedOut(f"The engine {self.name} was silent for {self._silence_seconds:g} seconds.")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise self._unreachable("is not running")
        return self._session


async def send_again(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A kept connection that the engine closes at that moment cannot be written to: what was not sent is sent again.

    aiohttp says so without an error number, and does it by itself for GET only.
    """
    try:
        return await send(request)
    except aiohttp.ClientOSError as error:
        if error.errno is not None or isinstance(error, aiohttp.ClientConnectorError):
            raise
    return await send(request)


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


def _is_text(messages: list[Message]) -> bool:
    """Whether messages hold text alone: what pictures and sounds cost is not asked for."""
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return all(isinstance(part, dict) and part.get("type") == "text" for part in parts)


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
