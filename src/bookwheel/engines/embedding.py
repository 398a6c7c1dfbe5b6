"""Asks an engine for vectors, and gives them in the form that the client asked for.

Stock SDKs ask for base64 and some read nothing else, while DashScope and others send floats whatever was asked for.
"""

import asyncio
import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bookwheel.conversion import convert
from bookwheel.engines.engine import Embeddings, Engine
from bookwheel.engines.guard import GuardedEngine
from bookwheel.errors import EngineUnreachable, InvalidRequest
from bookwheel.wire.embeddings import EmbeddingBody

MOST_INPUTS = 2_048


def read_embedding(body: dict[str, Any]) -> tuple[EmbeddingBody, int]:
    """The fields of a request that we read, and how many vectors it asks for. Raises InvalidRequest."""
    if not body.get("model"):
        raise InvalidRequest("you must provide a model parameter.", param="model")
    if body.get("input", "") in ("", []):
        raise InvalidRequest("'input' must not be empty.", param="input")
    wanted = convert(body, EmbeddingBody)
    inputs = _count_inputs(wanted.input)
    if inputs > MOST_INPUTS:
        raise InvalidRequest(f"Too many inputs: {inputs}; at most {MOST_INPUTS} in one request.", param="input")
    return wanted, inputs


async def embed(
    engine: GuardedEngine, body: dict[str, Any], inputs: int, account_id: str, *, is_background: bool = False
) -> Embeddings:
    """The engine's answer to an account's request for the vectors of so many texts: floats, or base64 of little-endian
    float32 where `encoding_format` says so. Raises what the engine does, and EngineUnreachable where it sends no vectors."""
    answer = await engine.embed(body, account_id, is_background=is_background)
    vectors = answer["data"]
    if len(vectors) != inputs:
        raise _broken(engine, f"{len(vectors)} vectors for {inputs} texts")
    wanted: type = str if body.get("encoding_format") == "base64" else list
    if not all(isinstance(vector, dict) and isinstance(vector.get("embedding"), wanted) for vector in vectors):
        await asyncio.to_thread(_turn, engine, vectors, wanted)
    return answer


def _turn(engine: Engine, vectors: list[Any], wanted: type) -> None:
    for vector in vectors:
        try:
            numbers = _numbers(vector["embedding"])
        except (TypeError, ValueError, KeyError):
            raise _broken(engine, "what is no vector") from None
        vector["embedding"] = base64.b64encode(numbers.tobytes()).decode() if wanted is str else numbers.tolist()


def _numbers(sent: Any) -> NDArray[np.float32]:
    """float32[dimensions]. Raises TypeError, ValueError."""
    as_bytes = base64.b64decode(sent, validate=True) if isinstance(sent, str) else None
    numbers = np.array(sent, "<f4") if as_bytes is None else np.frombuffer(as_bytes, "<f4")
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ValueError
    return numbers


def _broken(engine: Engine, what: str) -> EngineUnreachable:
    return EngineUnreachable(f"The engine {engine.name} sent {what}.")


def _count_inputs(given: str | list[str | int | list[int]]) -> int:
    """A text and a list of token ids are one input. Raises InvalidRequest for a list of several kinds."""
    kinds = {type(one) for one in given}
    if isinstance(given, str) or kinds == {int}:
        return 1
    if len(kinds) > 1:
        raise InvalidRequest("'input' must be all texts or all token ids.", param="input")
    return len(given)
