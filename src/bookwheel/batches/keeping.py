"""Makes files of a batch's results, when it has ended."""

import asyncio
import string
from hashlib import sha256
from pathlib import Path

from bookwheel.batches.results import Results
from bookwheel.storage.batches import ResultFile
from bookwheel.storage.blobs import Blobs

HASH_BYTES = 1024 * 1024
ID_CHARACTERS = 24

_ALPHABET = string.ascii_letters + string.digits


async def keep_results(blobs: Blobs, batch_id: str, results: Results) -> tuple[ResultFile | None, ResultFile | None]:
    """Have output and failures stand where files stand; None for one that is empty. Both have settled.

    Done again, it comes to the same. A crash before their rows are there leaves what the next start sweeps, and the
    results where they were.
    """
    output, errors = [await _keep(blobs, batch_id, path, kind) for path, kind in results.files]
    return output, errors


async def _keep(blobs: Blobs, batch_id: str, path: Path, kind: str) -> ResultFile | None:
    digest, size_bytes = await asyncio.to_thread(_measure, path)
    if not size_bytes:
        return None
    file_id = _file_id(batch_id, kind)
    await blobs.adopt(path, file_id)
    return ResultFile(file_id, f"{batch_id}_{kind}.jsonl", size_bytes, digest)


def _file_id(batch_id: str, kind: str) -> str:
    """As hard to guess as the batch's own id."""
    number = int.from_bytes(sha256(f"{batch_id}/{kind}".encode()).digest())
    characters = []
    for _ in range(ID_CHARACTERS):
        number, remainder = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[remainder])
    return "file-batch_output-" + "".join(characters)


def _measure(path: Path) -> tuple[str, int]:
    """The SHA-256 and the size in bytes of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(HASH_BYTES):
            digest.update(piece)
        return digest.hexdigest(), file.tell()
